#include "platform/thread.h"

#include <signal.h>
#include <stdio.h>

static void *thread_main(void *argument)
{
    struct thread *thread = argument;
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->body(thread->argument);
    return NULL;
}

bool thread_start(struct thread *thread, const char *name, void (*body)(void *argument),
                  void *argument)
{
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    thread->body = body;
    thread->argument = argument;

    /* A thread inherits the mask: with all blocked, signals find only the one that reads them. */
    sigset_t all;
    sigset_t before;
    ENSURE(sigfillset(&all) == 0);
    ENSURE(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    const int failure = pthread_create(&thread->handle, NULL, thread_main, thread);
    ENSURE(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return failure == 0;
}

void thread_join(struct thread *thread)
{
    ENSURE(pthread_join(thread->handle, NULL) == 0);
}

static void runner_main(void *argument)
{
    struct runner *runner = argument;
    for (;;) {
        /* Read before the step: work made visible before the stop was asked for is still done. */
        const bool is_stopping = atomic_load_explicit(&runner->is_stopping, memory_order_acquire);
        if (runner->step(runner->self)) continue;
        if (is_stopping) return;
        wake_wait(&runner->wake, runner->idle_ms);
        wake_clear(&runner->wake);
    }
}

bool runner_start(struct runner *runner, const char *name, bool (*step)(void *self), void *self,
                  int32_t idle_ms)
{
    ENSURE(idle_ms >= 0);
    runner->step = step;
    runner->self = self;
    runner->idle_ms = idle_ms;
    atomic_init(&runner->is_stopping, false);
    if (!wake_open(&runner->wake)) return false;
    if (thread_start(&runner->thread, name, runner_main, runner)) return true;
    wake_close(&runner->wake);
    return false;
}

void runner_wake(struct runner *runner)
{
    wake_signal(&runner->wake);
}

void runner_stop(struct runner *runner)
{
    atomic_store_explicit(&runner->is_stopping, true, memory_order_release);
    wake_signal(&runner->wake);
    thread_join(&runner->thread);
    wake_close(&runner->wake);
}
