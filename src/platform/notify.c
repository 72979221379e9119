#include "platform/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/clock.h"

#define PATIENCE_MS 1000 /* for news that come once */

/* "/run/systemd/notify", or "@name" for one without a file. */
static bool address_of(const char *text, struct sockaddr_un *address_out, socklen_t *length_out)
{
    const size_t length = strlen(text);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (length < 2 || length >= sizeof address.sun_path) return false;
    if (text[0] != '/' && text[0] != '@') return false;
    memcpy(address.sun_path, text, length);
    if (text[0] == '@') address.sun_path[0] = '\0';
    *address_out = address;
    *length_out = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static bool read_number(const char *text, uint64_t *number_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    *number_out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* 0 when no watchdog is set, or it is set for another process. */
static bool read_watchdog(const char *every, const char *whose, int64_t *watchdog_ns_out)
{
    uint64_t process = 0;
    uint64_t microseconds = 0;
    if (whose != NULL && !read_number(whose, &process)) return false;
    if (every != NULL && (!read_number(every, &microseconds) || microseconds == 0)) return false;
    if (microseconds > INT64_MAX / 1000) return false;
    const bool is_ours = whose == NULL || process == (uint64_t)getpid();
    *watchdog_ns_out = is_ours ? (int64_t)microseconds * 1000 : 0;
    return true;
}

static int connect_to(const struct sockaddr_un *address, socklen_t length)
{
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (const struct sockaddr *)address, length) == 0)
        return fd;
    const int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

bool notifier_open(struct notifier *notifier_out, char detail_out[NOTIFY_DETAIL_SIZE])
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct notifier notifier = NOTIFIER_NONE;
    struct sockaddr_un address;
    socklen_t length;
    bool is_right = true;
    if (!read_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), &notifier.watchdog_ns)) {
        (void)snprintf(detail_out, NOTIFY_DETAIL_SIZE,
                       "WATCHDOG_USEC, WATCHDOG_PID: expected whole numbers above 0");
        is_right = false;
    } else if (path != NULL && !address_of(path, &address, &length)) {
        (void)snprintf(detail_out, NOTIFY_DETAIL_SIZE,
                       "NOTIFY_SOCKET: expected an absolute path, or @ and a name");
        is_right = false;
    } else if (path != NULL && (notifier.fd = connect_to(&address, length)) < 0) {
        (void)snprintf(detail_out, NOTIFY_DETAIL_SIZE, "NOTIFY_SOCKET: %s", strerror(errno));
        is_right = false;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    if (is_right) *notifier_out = notifier;
    return is_right;
}

void notifier_close(struct notifier *notifier)
{
    if (notifier->fd >= 0) (void)close(notifier->fd);
    notifier->fd = -1;
}

/* Whether the manager takes it is its own affair: a server does not stop deciding over that. */
static void tell(const struct notifier *notifier, const char *news, const char *status, int flags)
{
    if (notifier->fd < 0) return;
    char text[NOTIFY_STATUS_BYTES_MAX + 128];
    const int length =
        snprintf(text, sizeof text, "%sSTATUS=%.*s\n", news, NOTIFY_STATUS_BYTES_MAX, status);
    ssize_t sent;
    do
        sent = send(notifier->fd, text, (size_t)length, MSG_NOSIGNAL | flags);
    while (sent < 0 && errno == EINTR);
}

void notify_ready(const struct notifier *notifier, const char *status)
{
    tell(notifier, "READY=1\n", status, 0);
}

/* The time lets managers since version 253 tell this reload from an earlier one. */
void notify_reloading(const struct notifier *notifier, const char *status)
{
    char news[64];
    (void)snprintf(news, sizeof news, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
                   clock_monotonic_ns() / 1000);
    tell(notifier, news, status, 0);
}

void notify_stopping(const struct notifier *notifier, const char *status)
{
    tell(notifier, "STOPPING=1\n", status, 0);
}

void notify_status(const struct notifier *notifier, const char *status)
{
    tell(notifier, "", status, MSG_DONTWAIT);
}

void notify_alive(const struct notifier *notifier, const char *status)
{
    tell(notifier, "WATCHDOG=1\n", status, MSG_DONTWAIT);
}
