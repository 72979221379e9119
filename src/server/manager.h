/*
 * manager.h: what the service manager hears of a server (platform/notify.h), and when: how far a
 * start is, that it answers, every now and then how it is doing, that it stops or has failed.
 *
 * The sign of life is tied to the loop's turns: manager_turn is called between them, so a loop that
 * hangs in one gives none, and the manager ends the process. What only waits (for a disk, for the
 * journal's thread) turns: a new start would wait for the same disk.
 */
#pragma once

#include <stdint.h>

#include "platform/platform.h"
#include "server/http.h"
#include "server/listener.h"
#include "server/loop.h"

#define MANAGER_TELL_EVERY_NS INT64_C(10000000000) /* where no watchdog wants it more often */

struct manager {
    struct notifier notifier;
    char where[LISTENER_TEXT_SIZE + 8]; /* it listens: "http://127.0.0.1:7878" */
    int64_t every_ns;
    int64_t next_ns; /* monotonic, of the next sign of life; 0: it does not answer yet */
};

/* Says on stderr what keeps it from telling anything. */
struct manager manager_open(void);
void manager_close(struct manager *manager);

void manager_recovering(const struct manager *manager, uint64_t sequence, uint64_t sequence_last);
void manager_ready(struct manager *manager, const char *where, const struct loop *loop,
                   const struct http *http);
/* Around whatever SIGHUP has read anew. */
void manager_reloading(const struct manager *manager);
void manager_reloaded(struct manager *manager, const struct loop *loop, const struct http *http);
/* Between two turns. */
void manager_turn(struct manager *manager, const struct loop *loop, const struct http *http);
/* How long a turn may sleep at most, in ms, that manager_turn is not late. */
int32_t manager_wait_ms(const struct manager *manager);
void manager_stopping(struct manager *manager, const char *status);
