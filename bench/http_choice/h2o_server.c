/*
 * Candidate: libh2o-evloop 2.2.5, one event loop thread. POST /now answers at once, /durable parks
 * the request until the committer has made its batch durable, /echo tells what the handler was
 * given, /large answers 64 MB. The environment sets what probe.py varies: UPGRADE=1 lets HTTP/2 in,
 * TIMEOUT_MS, ENTITY_BYTES_MAX, WATCH=1 looks for disconnects while parked. SIGTERM drains and
 * leaves.
 *
 * usage: h2o_server <port> <file to fdatasync>
 */
#include "answer.h"
#include "committer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <h2o.h>
#include <h2o/http1.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTED_PER_TURN_MAX = 64, LARGE_BYTES = 64 << 20, SHOWN_BYTES_MAX = 60 };

/*
 * What the committer holds. It outlives a request whose client has gone, so it is not in the
 * request's pool; the tether is, and the tether's disposal is the request's end.
 */
struct ticket {
    struct parked link;
    h2o_req_t *request; /* NULL once h2o has disposed of it */
    struct tether *tether;
};

struct tether {
    struct ticket *ticket; /* NULL once answered */
};

static h2o_globalconf_t config;
static h2o_context_t context;
static h2o_accept_ctx_t accept_context;
static h2o_socket_t *listener;
static size_t connections_open;
static bool http2_allowed;
static bool watching;
static bool draining;

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

static h2o_socket_t *socket_of(h2o_req_t *request)
{
    return request->conn->callbacks->get_socket(request->conn);
}

static void answer(h2o_req_t *request, const char *body, size_t body_bytes)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t piece = h2o_iovec_init(body, body_bytes);
    request->res.status = 200;
    request->res.reason = "OK";
    request->res.content_length = body_bytes;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/json"));
    h2o_start_response(request, &generator);
    h2o_send(request, &piece, 1, H2O_SEND_STATE_FINAL);
}

static int on_now(h2o_handler_t *self, h2o_req_t *request)
{
    (void)self;
    answer(request, ANSWER_JSON, ANSWER_BYTES);
    return 0;
}

static int on_large(h2o_handler_t *self, h2o_req_t *request)
{
    static char zeros[LARGE_BYTES];
    (void)self;
    answer(request, zeros, LARGE_BYTES);
    return 0;
}

/* At most as much of a client's text as the echo has room for. */
static int shown(h2o_iovec_t text)
{
    return (int)(text.len < SHOWN_BYTES_MAX ? text.len : SHOWN_BYTES_MAX);
}

static int on_echo(h2o_handler_t *self, h2o_req_t *request)
{
    (void)self;
    char text[8 * SHOWN_BYTES_MAX];
    const int bytes = snprintf(
        text, sizeof(text),
        "{\"method\":\"%.*s\",\"path\":\"%.*s\",\"normalized\":\"%.*s\",\"authority\":\"%.*s\","
        "\"entity_null\":%d,\"entity_bytes\":%zu,\"headers\":%zu}",
        shown(request->method), request->method.base, shown(request->path), request->path.base,
        shown(request->path_normalized), request->path_normalized.base, shown(request->authority),
        request->authority.base, request->entity.base == NULL, request->entity.len,
        request->headers.size);
    h2o_iovec_t kept = h2o_strdup(&request->pool, text, (size_t)bytes);
    answer(request, kept.base, kept.len);
    return 0;
}

static void on_tether_disposed(void *memory)
{
    struct tether *tether = memory;
    if (tether->ticket != NULL) {
        tether->ticket->request = NULL;
    }
}

/* Only with WATCH: h2o itself does not look at the socket of a request that is being handled. */
static void on_parked_readable(h2o_socket_t *socket, const char *error)
{
    (void)error;
    char byte;
    const ssize_t got = recv(h2o_socket_get_fd(socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    const bool is_gone = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    h2o_socket_read_stop(socket);
    fprintf(stderr, "%s while parked\n", is_gone ? "client left" : "next request arrived");
}

static int on_durable(h2o_handler_t *self, h2o_req_t *request)
{
    (void)self;
    struct ticket *ticket = malloc(sizeof(*ticket));
    if (ticket == NULL) {
        abort();
    }
    ticket->request = request;
    ticket->tether =
        h2o_mem_alloc_shared(&request->pool, sizeof(*ticket->tether), on_tether_disposed);
    ticket->tether->ticket = ticket;
    if (watching) {
        h2o_socket_dont_read(socket_of(request), 1);
        h2o_socket_read_start(socket_of(request), on_parked_readable);
    }
    committer_park(&ticket->link);
    return 0;
}

static void answer_ticket(struct ticket *ticket)
{
    h2o_req_t *request = ticket->request;
    if (request == NULL) {
        fprintf(stderr, "durable, but the request is gone\n");
        free(ticket);
        return;
    }
    ticket->tether->ticket = NULL;
    free(ticket);
    if (watching) {
        h2o_socket_dont_read(socket_of(request), 0);
        h2o_socket_read_stop(socket_of(request));
    }
    if (draining) {
        request->http1_is_persistent = 0;
    }
    answer(request, ANSWER_JSON, ANSWER_BYTES);
}

static void on_batch_durable(h2o_socket_t *socket, const char *error)
{
    (void)socket;
    (void)error;
    struct parked *batch = committer_take();
    while (batch != NULL) {
        struct parked *next = batch->next;
        answer_ticket((struct ticket *)batch);
        batch = next;
    }
}

static void on_connection_closed(void *unused)
{
    (void)unused;
    --connections_open;
}

static void on_accept(h2o_socket_t *socket, const char *error)
{
    if (error != NULL) {
        return;
    }
    for (int accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; ++accepted) {
        h2o_socket_t *connection = h2o_evloop_socket_accept(socket);
        if (connection == NULL) {
            break;
        }
        ++connections_open;
        connection->on_close.cb = on_connection_closed;
        const long user_timeout_ms = setting("USER_TIMEOUT_MS", 0);
        if (user_timeout_ms > 0) {
            const unsigned value = (unsigned)user_timeout_ms;
            setsockopt(h2o_socket_get_fd(connection), IPPROTO_TCP, TCP_USER_TIMEOUT, &value,
                       sizeof(value));
        }
        if (http2_allowed) {
            h2o_accept(&accept_context, connection);
        } else {
            struct timeval now = *h2o_get_timestamp(&context, NULL, NULL);
            h2o_http1_accept(&accept_context, connection, now);
        }
    }
}

/* A request with no beginning is a connection waiting for its next one: it ends by our FIN. */
static int end_if_idle(h2o_req_t *request, void *unused)
{
    (void)unused;
    if (request->timestamps.request_begin_at.tv_sec == 0) {
        shutdown(h2o_socket_get_fd(socket_of(request)), SHUT_RD);
    }
    return 0;
}

static void on_signal(h2o_socket_t *socket, const char *error)
{
    (void)error;
    struct signalfd_siginfo what;
    if (read(h2o_socket_get_fd(socket), &what, sizeof(what)) != sizeof(what) || draining) {
        return;
    }
    draining = true;
    h2o_socket_read_stop(listener);
    h2o_socket_close(listener);
    h2o_context_request_shutdown(&context);
    config.http1.callbacks.foreach_request(&context, end_if_idle, NULL);
    fprintf(stderr, "draining %zu connections\n", connections_open);
}

static void register_handler(h2o_hostconf_t *host, const char *path,
                             int (*on_req)(h2o_handler_t *, h2o_req_t *))
{
    h2o_pathconf_t *path_config = h2o_config_register_path(host, path, 0);
    h2o_handler_t *handler = h2o_create_handler(path_config, sizeof(*handler));
    handler->on_req = on_req;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void configure(void)
{
    h2o_config_init(&config);
    config.server_name = h2o_iovec_init(H2O_STRLIT("")); /* sends no Server header */
    config.http1.upgrade_to_http2 = http2_allowed;
    config.http1.req_timeout = (uint64_t)setting("TIMEOUT_MS", 75000);
    config.max_request_entity_size = (size_t)setting("ENTITY_BYTES_MAX", 65536);
    h2o_hostconf_t *host =
        h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("any")), 65535);
    register_handler(host, "/now", on_now);
    register_handler(host, "/durable", on_durable);
    register_handler(host, "/large", on_large);
    register_handler(host, "/echo", on_echo);
}

static h2o_socket_t *watch(int fd, h2o_socket_cb on_readable)
{
    h2o_socket_t *socket = h2o_evloop_socket_create(context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(socket, on_readable);
    return socket;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 3) {
        fprintf(stderr, "usage: h2o_server <port> <file to fdatasync>\n");
        return 2;
    }
    sigset_t termination;
    sigemptyset(&termination);
    sigaddset(&termination, SIGTERM);
    sigprocmask(SIG_BLOCK, &termination, NULL);
    signal(SIGPIPE, SIG_IGN);

    http2_allowed = setting("UPGRADE", 0) != 0;
    watching = setting("WATCH", 0) != 0;
    configure();
    h2o_context_init(&context, h2o_evloop_create(), &config);
    accept_context.ctx = &context;
    accept_context.hosts = config.hosts;

    watch(committer_start(arguments[2]), on_batch_durable);
    watch(signalfd(-1, &termination, SFD_NONBLOCK | SFD_CLOEXEC), on_signal);
    listener = watch(listen_on((uint16_t)atoi(arguments[1])), on_accept);
    while (!draining || connections_open > 0) {
        h2o_evloop_run(context.loop, INT32_MAX);
    }
    fprintf(stderr, "drained\n");
    return 0;
}
