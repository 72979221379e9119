/*
 * signals.h: signals as something to read. SIGTERM, SIGINT and SIGHUP arrive on a descriptor that
 * the event loop watches; a peer that goes away (SIGPIPE) or a file at its limit (SIGXFSZ) is an
 * error code where it happens, not a death.
 */
#pragma once

#include "base/base.h"

/* Before any thread is started. -1: no descriptors left. */
MUST_USE int signals_open(void);
/* The number of the next signal that arrived; 0 when there is none. Never waits. */
int signals_take(int fd);
