/*
 * thread.h: threads with names, and the runner: a thread that calls one step function until told to
 * stop. All signals stay with the thread that called signals_open.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "platform/wake.h"

#define THREAD_NAME_SIZE 16

struct thread {
    pthread_t handle;
    char name[THREAD_NAME_SIZE];
    void (*body)(void *argument);
    void *argument;
};

/* The struct must stay where it is until thread_join. False: the system has no thread to give. */
MUST_USE bool thread_start(struct thread *thread, const char *name, void (*body)(void *argument),
                           void *argument);
void thread_join(struct thread *thread);

struct runner {
    struct thread thread;
    struct wake wake;
    bool (*step)(void *self); /* does some work, never waits for a peer; false: there was none */
    void *self;
    int32_t idle_ms; /* the longest sleep between two steps */
    _Atomic bool is_stopping;
};

/* Calls step(self) on a thread of its own: again at once while it does work, else after runner_wake
 * or at most idle_ms. The struct must stay where it is until runner_stop. */
MUST_USE bool runner_start(struct runner *runner, const char *name, bool (*step)(void *self),
                           void *self, int32_t idle_ms);
void runner_wake(struct runner *runner); /* any thread */
/* Lets it go on until a step finds nothing to do, then joins it. */
void runner_stop(struct runner *runner);
