/*
 * Candidate: libmicrohttpd 0.9.75, driven from our own thread through its epoll descriptor, so that
 * one thread serves and resumes as in the other candidates. POST /now answers at once; /durable
 * suspends the connection until the committer has made its batch durable. INTERNAL=1 lets
 * libmicrohttpd run its own thread instead; this thread then only resumes.
 *
 * usage: mhd_server <port> <file to fdatasync>
 */
#include "answer.h"
#include "committer.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { CONNECTIONS_MAX = 2000 };

struct exchange {
    struct parked link;
    struct MHD_Connection *connection;
    bool is_durable;
};

static struct MHD_Response *answer;

static enum MHD_Result on_request(void *unused, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **state)
{
    (void)unused;
    (void)method;
    (void)version;
    (void)upload;
    if (*state == NULL) {
        struct exchange *exchange = calloc(1, sizeof(*exchange));
        if (exchange == NULL) {
            return MHD_NO;
        }
        exchange->connection = connection;
        *state = exchange;
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        *upload_bytes = 0;
        return MHD_YES;
    }
    struct exchange *exchange = *state;
    if (!exchange->is_durable && strcmp(url, "/durable") == 0) {
        exchange->is_durable = true;
        MHD_suspend_connection(connection);
        committer_park(&exchange->link);
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, answer);
}

static void on_completed(void *unused, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)unused;
    (void)connection;
    (void)why;
    free(*state);
    *state = NULL;
}

static struct MHD_Daemon *start(uint16_t port, bool is_internal)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned flags = MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME;
    if (is_internal) {
        flags |= MHD_USE_INTERNAL_POLLING_THREAD;
    }
    return MHD_start_daemon(flags, port, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR,
                            (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                            NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, 75u, MHD_OPTION_END);
}

static void watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 3) {
        fprintf(stderr, "usage: mhd_server <port> <file to fdatasync>\n");
        return 2;
    }
    const bool is_internal = getenv("INTERNAL") != NULL;
    answer = MHD_create_response_from_buffer(ANSWER_BYTES, (void *)(uintptr_t)ANSWER_JSON,
                                             MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(answer, "Content-Type", "application/json");
    struct MHD_Daemon *daemon = start((uint16_t)atoi(arguments[1]), is_internal);
    if (daemon == NULL) {
        fprintf(stderr, "cannot start\n");
        return 1;
    }
    const int durable_fd = committer_start(arguments[2]);
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll_fd, durable_fd);
    if (!is_internal) {
        watch(epoll_fd, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    }
    for (;;) {
        MHD_UNSIGNED_LONG_LONG wait_ms = 0;
        const bool is_bounded = !is_internal && MHD_get_timeout(daemon, &wait_ms) == MHD_YES;
        struct epoll_event events[2];
        epoll_wait(epoll_fd, events, 2, is_bounded ? (int)wait_ms : -1);
        struct parked *batch = committer_take();
        while (batch != NULL) {
            struct parked *next = batch->next;
            MHD_resume_connection(((struct exchange *)batch)->connection);
            batch = next;
        }
        if (!is_internal) {
            MHD_run(daemon);
        }
    }
}
