/*
 * http_connection.c: connections as such: who is let in, who must go, and when.
 *
 * Whoever waits longest without having sent a request goes first: for newcomers when there are as
 * many connections as there may be, and for time. So connections stand in a line by the time at
 * which their waiting began, and the line's head is all that is looked at.
 *
 * What connections hold beyond their first block (large requests on their way in, large answers on
 * their way out) has a sum, and the sum a ceiling. Beyond it the one that has held most of its time
 * gives way: a body that crawls in, or an answer that nobody takes. Who sends quickly is in before
 * his turn to go comes.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http_inner.h"

enum {
    SWEEPS = 16,          /* in which all connections are looked over */
    SWEEPS_PER_TIME = 60, /* of the shorter time-out: all are, so often */
    TELL_NS = 1000000000,
    SHED_LOOKS_MAX = 16 /* connections asked whether bytes of them lie unread */
};

/* ---- lines */

void http_line_add(enum line_of which, struct connection *connection)
{
    list_append(&connection->http->lines[which], &connection->places[which], connection);
}

void http_await(struct connection *connection)
{
    connection->since_ns = clock_monotonic_ns();
    list_leave(&connection->places[LINE_WAITING]);
    http_line_add(LINE_WAITING, connection);
}

/* ---- the bytes they hold */

/* Part of an answer may be out already: its client must notice that the rest does not come. */
void http_reset_at_close(h2o_socket_t *socket)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void http_reset(struct connection *connection)
{
    http_reset_at_close(connection->socket);
    (void)shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}

/* The first in the line whose bytes are not being worked on. */
static struct connection *find_holder(struct http *http, const struct connection *kept)
{
    struct connection *connection = list_first(&http->lines[LINE_HOLDING]);
    for (; connection != NULL; connection = list_after(&connection->places[LINE_HOLDING])) {
        if (connection == kept) continue;
        if (connection->is_answered || (!connection->is_parked && http_is_reading(connection)))
            return connection;
    }
    return NULL;
}

static void make_room(struct http *http, const struct connection *kept)
{
    while (http->network->buffers_bytes > http->options.buffers_bytes_max) {
        struct connection *holder = find_holder(http, kept);
        if (holder == NULL) return;
        if (holder->is_answered) {
            ++http->network->readers_cut;
            http->network->buffers_bytes -= holder->held_bytes; /* given back a turn later */
            holder->held_bytes = holder->answer_bytes = 0;
            list_leave(&holder->places[LINE_HOLDING]);
            http_reset(holder);
        } else {
            ++http->network->out_of_buffers;
            http_refuse_unfinished(
                holder, (struct problem){.code = PROBLEM_OVERLOADED,
                                         .field = holder->has_head ? "body" : "request",
                                         .expected = "fewer or smaller requests at once"});
        }
    }
}

void http_hold(struct connection *connection, bool is_kept)
{
    struct http *http = connection->http;
    const h2o_socket_t *socket = connection->socket;
    const bool has_input = socket != NULL && socket->input->size > 0;
    const size_t input = has_input ? socket->input->capacity : 0;
    const size_t answer = connection->answer_bytes;
    const size_t bytes =
        (input > BUFFER_FREE_BYTES ? input : 0) + (answer > BUFFER_FREE_BYTES ? answer : 0);
    const size_t before = connection->held_bytes;
    if (bytes == before) return;
    connection->held_bytes = bytes;
    http->network->buffers_bytes += bytes - before;
    if (bytes == 0) list_leave(&connection->places[LINE_HOLDING]);
    if (before == 0) http_line_add(LINE_HOLDING, connection);
    if (bytes > before) make_room(http, is_kept ? connection : NULL);
}

/* ---- letting in */

void http_give_connection(struct http *http, struct connection *connection)
{
    connection->next_free = http->connection_free;
    http->connection_free = connection;
}

static void on_connection_closed(void *self)
{
    struct connection *connection = self;
    struct http *http = connection->http;
    connection->socket = NULL;
    connection->ssl = NULL;
    connection->answer_bytes = 0;
    http_hold(connection, true);
    http_tls_end_handshake(connection);
    list_leave(&connection->places[LINE_WAITING]);
    list_leave(&connection->places[LINE_HELLO]);
    http_give_connection(http, connection);
    http->network->connections = --http->connections;
}

static void accept_one(struct http *http, h2o_socket_t *socket)
{
    const unsigned timeout_ms = 2 * http->options.write_timeout_ms; /* ours comes first */
    struct connection *connection = http->connection_free;
    ENSURE(connection != NULL);
    http->connection_free = connection->next_free;
    *connection = (struct connection){
        .http = http, .socket = socket, .since_ns = clock_monotonic_ns(), .stage = STAGE_OPEN};
    http->network->connections = ++http->connections;
    ++http->network->accepted;
    socket->on_close.cb = on_connection_closed;
    socket->on_close.data = connection;
    (void)setsockopt(h2o_socket_get_fd(socket), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                     sizeof(timeout_ms));
    if (http->tls != NULL) {
        http_tls_accept(connection);
        return;
    }
    http_line_add(LINE_WAITING, connection);
    h2o_http1_accept(&http->accept_context, socket, *h2o_get_timestamp(&http->context, NULL, NULL));
    http_stand_between(connection);
}

static struct problem too_many(void)
{
    return (struct problem){.code = PROBLEM_OVERLOADED, .expected = "fewer connections at once"};
}

/* It is we who are late, not its client. */
static bool has_unread(const struct connection *connection)
{
    char byte;
    return recv(h2o_socket_get_fd(connection->socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The one that has waited longest; NULL: nobody has for long. */
static struct connection *find_waiting(const struct http *http)
{
    const int64_t since_ns = clock_monotonic_ns() - (int64_t)SHED_AFTER_MS * 1000000;
    struct connection *oldest = list_first(&http->lines[LINE_WAITING]);
    unsigned looks = 0;
    for (; oldest != NULL; oldest = list_after(&oldest->places[LINE_WAITING])) {
        if (!http_is_reading(oldest)) continue; /* h2o says something on it */
        if (oldest->since_ns >= since_ns || !has_unread(oldest)) break;
        if (++looks == SHED_LOOKS_MAX) return NULL;
    }
    for (enum line_of which = LINE_HELLO; which <= LINE_SHAKING; ++which) {
        struct connection *first = list_first(&http->lines[which]);
        if (first != NULL && (oldest == NULL || first->since_ns < oldest->since_ns)) oldest = first;
    }
    return oldest != NULL && oldest->since_ns < since_ns ? oldest : NULL;
}

static void shed(struct connection *connection)
{
    ++connection->http->network->shed;
    if (connection->stage != STAGE_OPEN)
        http_tls_give_up(connection);
    else if (connection->socket->input->size > 0)
        http_refuse_unfinished(connection, too_many());
    else
        connection->read(connection->socket, h2o_socket_error_closed);
}

/* Nobody can be shed: the newcomer is told so, where he would not take it for nonsense. */
static bool turn_away(struct http *http, h2o_socket_t *listener)
{
    const int fd = accept4(h2o_socket_get_fd(listener), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return false;
    ++http->network->turned_away;
    if (http->tls == NULL) http_tell_bare(http, fd, too_many());
    (void)close(fd);
    return true;
}

void http_on_accept(h2o_socket_t *listener, const char *error)
{
    struct http *http = listener->data;
    if (error != NULL) return;
    for (unsigned accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; ++accepted) {
        const bool is_full = http->connections == http->options.connections_max;
        struct connection *waiting = is_full ? find_waiting(http) : NULL;
        if (is_full && waiting == NULL) {
            if (!turn_away(http, listener)) return;
            continue;
        }
        h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
        if (socket == NULL) return;
        if (waiting != NULL) shed(waiting);
        accept_one(http, socket);
    }
}

/* ---- what lies unread */

/* Where the processor is what there is too little of, requests do not wait here but in the kernel:
 * it knows when the last bytes of a connection came. To ask costs a system call, so one in
 * UNREAD_LOOKS is asked for until one is late; then all are. A request behind another of its
 * connection's has not waited for us before that one's answer. */
void http_note_unread(struct connection *connection, struct exchange *exchange)
{
    enum { UNREAD_LOOKS = 16 };
    struct http *http = connection->http;
    struct tcp_info info;
    socklen_t length = sizeof(info);
    const int64_t now_ns = exchange->taken_ns;
    const bool had_asked = connection->has_asked;
    connection->has_asked = true;
    const bool are_late = now_ns - http->unread_ns < UNREAD_BREAK_MS * INT64_C(1000000);
    if (!are_late && ++http->unread_looks < UNREAD_LOOKS) return;
    http->unread_looks = 0;
    const int fd = h2o_socket_get_fd(connection->socket);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return;
    int64_t unread_ns = (int64_t)info.tcpi_last_data_recv * 1000000;
    if (had_asked && unread_ns > now_ns - connection->since_ns)
        unread_ns = now_ns - connection->since_ns;
    if (unread_ns < PATIENCE_SHEDDABLE_MS * INT64_C(1000000)) return;
    if (!are_late) http->unread_from_ns = now_ns;
    http->unread_ns = now_ns;
    if (now_ns - http->unread_from_ns < UNREAD_STANDS_MS * INT64_C(1000000)) return;
    exchange->unread_ns = unread_ns;
}

/* ---- time */

/* Whoever waits longer for an answer may have left. His end of the connection alone does not say
 * so: who only ends his requests still reads. So he is asked by an interim answer, of which there
 * may be any number before the last (RFC 9110, 15.2): who reads passes over it, the system of who
 * has left resets the connection, and the next look finds that. In between h2o has no way to hear
 * of it: its socket is not read. */
static void look_after_parked(struct connection *connection)
{
    static const char question[] = "HTTP/1.1 100 Continue\r\n\r\n";
    h2o_socket_t *socket = connection->socket;
    const int fd = h2o_socket_get_fd(socket);
    struct pollfd look = {.fd = fd, .events = POLLRDHUP};
    const bool was_parked = connection->was_parked;
    connection->was_parked = true;
    if (!was_parked || h2o_socket_is_writing(socket) || poll(&look, 1, 0) <= 0) return;
    if ((look.revents & (POLLERR | POLLHUP)) != 0)
        connection->read(socket, h2o_socket_error_closed); /* h2o closes, and disposes the tether */
    else if (connection->can_be_asked && connection->ssl != NULL)
        http_tls_say(connection, BYTES(question));
    else if (connection->can_be_asked)
        (void)send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What h2o has been writing for too long. */
static void look_after_reader(struct connection *connection, int64_t now_ns)
{
    const struct http *http = connection->http;
    const int64_t slow_ms = (int64_t)connection->answer_bytes * 1000 / SLOW_READER_BYTES;
    if (connection->deadline_ns == 0)
        connection->deadline_ns =
            now_ns + ((int64_t)http->options.write_timeout_ms + slow_ms) * 1000000;
    if (now_ns < connection->deadline_ns) return;
    connection->deadline_ns = INT64_MAX; /* once */
    ++connection->http->network->readers_cut;
    http_reset(connection);
}

static void look_after(struct connection *connection, int64_t now_ns)
{
    if (connection->socket == NULL || connection->stage != STAGE_OPEN) return;
    if (connection->is_parked && !h2o_socket_is_writing(connection->socket))
        look_after_parked(connection);
    else if (h2o_socket_is_writing(connection->socket))
        look_after_reader(connection, now_ns);
}

static void end_late(struct connection *connection)
{
    if (connection->socket->input->size == 0) {
        connection->read(connection->socket, h2o_socket_error_closed);
        return;
    }
    ++connection->http->network->timed_out;
    http_refuse_unfinished(connection,
                           (struct problem){.code = PROBLEM_TIMEOUT,
                                            .field = connection->has_head ? "body" : "request",
                                            .expected = "all of it in time"});
}

/* Who has not sent a request in time. h2o's own timeout is longer. */
static void end_all_late(struct http *http, int64_t now_ns)
{
    const int64_t request_ns = (int64_t)http->options.request_timeout_ms * 1000000;
    const int64_t handshake_ns = (int64_t)HANDSHAKE_TIMEOUT_MS * 1000000;
    struct connection *connection = list_first(&http->lines[LINE_WAITING]);
    while (connection != NULL && now_ns - connection->since_ns >= request_ns) {
        struct connection *after = list_after(&connection->places[LINE_WAITING]);
        if (http_is_reading(connection)) end_late(connection);
        connection = after;
    }
    for (enum line_of which = LINE_HELLO; which <= LINE_SHAKING; ++which)
        while ((connection = list_first(&http->lines[which])) != NULL &&
               now_ns - connection->since_ns >= handshake_ns)
            http_tls_give_up(connection);
}

/* At most a line a second, and none while nothing is refused. */
static void tell_log(struct http *http, int64_t now_ns)
{
    const struct metrics_network *network = http->network;
    const uint64_t refused =
        network->shed + network->turned_away + network->out_of_buffers + network->readers_cut;
    if (refused == http->told || now_ns - http->told_ns < TELL_NS) return;
    struct log_line line = log_begin(LOG_WARN, "connections_refused");
    log_text(&line, "listener", "http");
    log_number(&line, "connections", http->connections);
    log_number(&line, "shed", (int64_t)network->shed);
    log_number(&line, "turned_away", (int64_t)network->turned_away);
    log_number(&line, "out_of_buffers", (int64_t)network->out_of_buffers);
    log_number(&line, "readers_cut", (int64_t)network->readers_cut);
    log_number(&line, "buffers_bytes", (int64_t)network->buffers_bytes);
    log_end(&line);
    http->told_ns = now_ns;
    http->told = refused;
}

void http_sweep(struct http *http)
{
    const uint32_t request_ms = http->options.request_timeout_ms;
    const uint32_t write_ms = http->options.write_timeout_ms;
    const uint32_t shorter_ms = request_ms < write_ms ? request_ms : write_ms;
    const int64_t step_ns = (int64_t)shorter_ms * 1000000 / SWEEPS_PER_TIME / SWEEPS;
    const int64_t now_ns = clock_monotonic_ns();
    const uint32_t all = http->options.connections_max;
    int64_t steps = (now_ns - http->swept_ns) / step_ns;
    if (steps == 0) return;
    http->swept_ns = now_ns;
    for (; steps > 0 && http->swept < all; --steps) {
        const uint32_t step = (all + SWEEPS - 1) / SWEEPS;
        const uint32_t end = all - http->swept < step ? all : http->swept + step;
        for (; http->swept < end; ++http->swept)
            look_after(&http->connection_items[http->swept], now_ns);
    }
    if (http->swept == all) http->swept = 0;
    end_all_late(http, now_ns);
    tell_log(http, now_ns);
}
