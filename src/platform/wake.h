/*
 * wake.h: how one thread ends another's sleep: an eventfd that an event loop can watch, behind a
 * flag so that waking somebody who is already being woken costs no system call.
 *
 * The sleeper: wake_clear, then look for work, then sleep again. The waker: make the work visible,
 * then wake_signal. In that order no wake-up is lost. Any thread may signal; one clears and waits.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct wake {
    int fd; /* readable while there is something to wake for */
    _Atomic bool is_signalled;
};

MUST_USE bool wake_open(struct wake *wake); /* false: no descriptors left */
void wake_close(struct wake *wake);
void wake_signal(struct wake *wake);
void wake_clear(struct wake *wake);
/* Sleeps until signalled or `wait_ms` are over. Does not clear. */
void wake_wait(struct wake *wake, int32_t wait_ms);
