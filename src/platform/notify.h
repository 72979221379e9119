/*
 * notify.h: the service manager that started this process, if one did: datagrams of VARIABLE=value
 * lines to the socket that $NOTIFY_SOCKET names, as sd_notify(3) lays down. Without that variable
 * nothing is sent and nothing costs anything (docs/decisions/0011-service-manager.md).
 *
 * What is told never stops the teller for long: the news that come once (ready, stopping) wait up
 * to a second for a manager that is behind, the rest is left out then. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct notifier {
    int fd;              /* -1: nobody listens */
    int64_t watchdog_ns; /* a sign of life is wanted at least this often; 0: never */
};

#define NOTIFIER_NONE ((struct notifier){.fd = -1})
#define NOTIFY_STATUS_BYTES_MAX 512 /* what is longer is cut */

/* Reads the environment, once, before other threads, and takes from it what it has read, so that no
 * child process speaks in this one's name. False, `detail_out` filled: the variables are there, but
 * are of no use; nobody will be told anything. */
#define NOTIFY_DETAIL_SIZE 160
MUST_USE bool notifier_open(struct notifier *notifier_out, char detail_out[NOTIFY_DETAIL_SIZE]);
void notifier_close(struct notifier *notifier);

/* It answers. */
void notify_ready(const struct notifier *notifier, const char *status);
/* It reads its files anew; notify_ready ends that. */
void notify_reloading(const struct notifier *notifier, const char *status);
/* It is on its way out. */
void notify_stopping(const struct notifier *notifier, const char *status);
/* One line for people, without control characters. */
void notify_status(const struct notifier *notifier, const char *status);
/* The same with a sign of life. */
void notify_alive(const struct notifier *notifier, const char *status);
