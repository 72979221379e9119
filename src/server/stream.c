/*
 * stream.c: see stream.h.
 *
 * A connection that is done with is closed in two steps. stream_end and stream_reset only mark it,
 * since a front end calls them from within its own work; what is marked is on the list of those
 * that the next stream_turn looks at. There its socket is closed and on_closed called, and at the
 * end of a turn its memory is free again, so that no event of the same turn can mean a newcomer.
 *
 * Input is read into one block that all connections share; only what a front end leaves of it is
 * copied to a buffer of the connection's own. So a connection that is idle holds nothing.
 *
 * Every kind of waiting has one length of time, so connections stand in a line for each, by when it
 * began, and the line's head is all that is looked at.
 */
#include "server/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/platform.h"

enum {
    EVENTS_MAX = 256,
    WORDS_BYTES_MAX = 1024, /* of last words */
    LINGER_READS = 16,      /* of what is thrown away behind last words */
    TLS_READS = 16,         /* of a socket that OpenSSL may do at once; a record takes two */
    TELL_NS = 1000000000
};

enum line_of {
    LINE_HELLO,   /* the first byte of a TLS handshake is waited for */
    LINE_SHAKING, /* the end of the handshake is */
    LINE_FIRST,   /* these three as enum stream_wait */
    LINE_REQUEST,
    LINE_REST,
    LINE_HOLDING, /* more bytes than a connection's first block */
    LINE_WRITING, /* the socket does not take what is sent */
    LINE_LOOK,    /* something may be done with it in the next stream_turn */
    LINES
};

enum stage {
    STAGE_HELLO,     /* TLS: no byte has come */
    STAGE_HANDSHAKE, /* TLS */
    STAGE_OPEN,
    STAGE_ENDING,    /* what was sent is written out, then it is closed */
    STAGE_RESETTING, /* it is closed as soon as somebody looks */
    STAGE_CLOSED
};

struct stream_connection {
    struct stream *stream;
    void *client; /* the front end's; NULL: it has none yet */
    int fd;
    enum stage stage;
    uint32_t events; /* that epoll tells of */
    SSL *ssl;
    uint8_t *input; /* what was left of it; NULL: nothing */
    size_t input_used;
    size_t input_size;
    uint8_t *output; /* what is not written out; NULL: nothing */
    size_t output_at;
    size_t output_used;
    size_t output_size;
    size_t held_bytes; /* of the sum */
    uint64_t taken; /* bytes that the socket took since it last was looked whether it takes any */
    bool is_held;   /* by the front end */
    bool is_full;   /* of output: not read from */
    bool has_leftover;   /* on_bytes is owed a call with what is there */
    bool has_ended;      /* the client sends no more */
    bool is_told_ended;  /* on_end was called */
    unsigned tls_reads;  /* that OpenSSL may still do */
    bool wants_write;    /* TLS: the next read needs a socket that takes bytes */
    bool reads_to_write; /* TLS: the next write needs bytes */
    enum stream_wait waits;
    struct list_place places[LINES];
    int64_t since_ns[LINES];        /* it has been there */
    struct stream_connection *next; /* of those that are free, or soon */
};

struct stream {
    struct stream_options options;
    int epoll;
    int listener;     /* -1: draining */
    SSL_CTX *context; /* NULL: no TLS */
    struct stream_connection *items;
    struct stream_connection *free;
    struct stream_connection *closed;  /* free when the turn is over */
    struct stream_connection *handing; /* on_bytes has its input; NULL: nobody's */
    struct list lines[LINES];
    uint32_t connections;
    bool makes_room;
    uint32_t shaking;
    uint32_t shake_steps; /* left in this turn */
    int64_t now_ns;       /* of this turn */
    int64_t told_ns;
    uint64_t told;
    uint8_t block[STREAM_READ_BYTES];
};

/* ---- lines */

static void line_add(enum line_of which, struct stream_connection *connection)
{
    struct stream *stream = connection->stream;
    connection->since_ns[which] = stream->now_ns;
    list_append(&stream->lines[which], &connection->places[which], connection);
}

/* Of a handshake, too, which is over then. */
static void stop_waiting(struct stream_connection *connection)
{
    if (list_has(&connection->places[LINE_SHAKING])) --connection->stream->shaking;
    for (enum line_of which = LINE_HELLO; which <= LINE_REST; ++which)
        list_leave(&connection->places[which]);
}

static bool is_talking(const struct stream_connection *connection)
{
    return connection->stage == STAGE_OPEN;
}

static void look_soon(struct stream_connection *connection)
{
    if (connection->stage == STAGE_CLOSED || list_has(&connection->places[LINE_LOOK])) return;
    line_add(LINE_LOOK, connection);
}

void stream_await(struct stream_connection *connection, enum stream_wait what)
{
    static const enum line_of lines[] = {[STREAM_FOR_FIRST] = LINE_FIRST,
                                         [STREAM_FOR_REQUEST] = LINE_REQUEST,
                                         [STREAM_FOR_REST] = LINE_REST};
    if (!is_talking(connection) || connection->waits == what) return;
    stop_waiting(connection);
    connection->waits = what;
    if (what != STREAM_FOR_ANSWER) line_add(lines[what], connection);
    if (connection->stream->listener < 0) look_soon(connection);
}

/* ---- what epoll tells of */

static bool may_read(const struct stream_connection *connection)
{
    const struct stream *stream = connection->stream;
    if (connection->has_ended) return false;
    if (connection->stage != STAGE_OPEN) return connection->stage < STAGE_OPEN;
    if (connection->is_held || connection->is_full) return false;
    return stream->listener >= 0 || connection->waits == STREAM_FOR_REST;
}

static void choose_events(struct stream_connection *connection)
{
    const bool has_output = connection->output != NULL && !connection->reads_to_write;
    const bool reads =
        may_read(connection) || (connection->reads_to_write && !connection->has_ended);
    const uint32_t events = (reads ? (uint32_t)EPOLLIN : 0) |
                            (has_output || connection->wants_write ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (events == connection->events) return;
    connection->events = events;
    ENSURE(epoll_ctl(connection->stream->epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0);
}

/* ---- the bytes they hold */

static void refuse(struct stream_connection *connection, enum stream_refusal why);

static void reset_at_close(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/* Nothing more can be done with its socket. It is waited for no longer: whoever ends those whose
 * time is over would find it at the head of their line and could not end it. */
static void break_off(struct stream_connection *connection)
{
    if (connection->stage >= STAGE_RESETTING) return;
    stop_waiting(connection);
    connection->stage = STAGE_RESETTING;
    look_soon(connection);
}

void stream_reset(struct stream_connection *connection)
{
    if (connection->stage >= STAGE_RESETTING) return;
    reset_at_close(connection->fd);
    break_off(connection);
}

/* The one that has held more than its first block for longest, of those that nobody works for. */
static struct stream_connection *find_holder(const struct stream *stream,
                                             const struct stream_connection *kept)
{
    struct stream_connection *holder = list_first(&stream->lines[LINE_HOLDING]);
    for (; holder != NULL; holder = list_after(&holder->places[LINE_HOLDING])) {
        if (holder == kept || holder == stream->handing) continue;
        const bool is_rest = is_talking(holder) && holder->waits == STREAM_FOR_REST;
        if (is_rest || stream_unsent(holder) > BUFFER_FREE_BYTES) return holder;
    }
    return NULL;
}

static void make_room(struct stream *stream, const struct stream_connection *kept)
{
    struct metrics_network *network = stream->options.terms.network;
    if (stream->makes_room) return; /* the last words to one who gives way take room, too */
    stream->makes_room = true;
    while (network->buffers_bytes > stream->options.terms.buffers_bytes_max) {
        struct stream_connection *holder = find_holder(stream, kept);
        if (holder == NULL) break;
        if (stream_unsent(holder) <= BUFFER_FREE_BYTES) {
            ++network->out_of_buffers;
            refuse(holder, STREAM_NO_BUFFERS);
            continue;
        }
        ++network->readers_cut;
        network->buffers_bytes -= holder->held_bytes; /* given back in the next turn */
        holder->held_bytes = 0;
        list_leave(&holder->places[LINE_HOLDING]);
        stream_reset(holder);
    }
    stream->makes_room = false;
}

static void count_held(struct stream_connection *connection)
{
    struct metrics_network *network = connection->stream->options.terms.network;
    const size_t input = connection->input_size;
    const size_t output = connection->output_size;
    const size_t before = connection->held_bytes;
    const size_t bytes =
        (input > BUFFER_FREE_BYTES ? input : 0) + (output > BUFFER_FREE_BYTES ? output : 0);
    if (bytes == before || connection->stage >= STAGE_RESETTING) return;
    connection->held_bytes = bytes;
    network->buffers_bytes += bytes - before;
    if (bytes == 0) list_leave(&connection->places[LINE_HOLDING]);
    if (before == 0) line_add(LINE_HOLDING, connection);
    if (bytes > before) make_room(connection->stream, connection);
}

/* So that `more` fit behind what is used; false: no memory. */
static bool make_fit(uint8_t **at, size_t *size, size_t used, size_t more)
{
    if (*size - used >= more) return true;
    size_t wanted = *size < 1024 ? 1024 : 2 * *size;
    if (wanted < used + more) wanted = used + more;
    uint8_t *moved = realloc(*at, wanted);
    if (moved == NULL) return false;
    *at = moved;
    *size = wanted;
    return true;
}

static void drop_output(struct stream_connection *connection)
{
    free(connection->output);
    connection->output = NULL;
    connection->output_at = connection->output_used = connection->output_size = 0;
    list_leave(&connection->places[LINE_WRITING]);
    count_held(connection);
}

static void drop_input(struct stream_connection *connection)
{
    free(connection->input);
    connection->input = NULL;
    connection->input_used = connection->input_size = 0;
    connection->has_leftover = false;
    count_held(connection);
}

/* ---- closing */

/* What is still to be read when a socket is closed resets the connection, and the answer with it.
 */
static void throw_away_input(struct stream *stream, int fd)
{
    for (int i = 0; i < LINGER_READS; ++i)
        if (recv(fd, stream->block, sizeof(stream->block), MSG_DONTWAIT) <= 0) return;
}

static void say_bare(struct stream *stream, int fd, struct bytes words)
{
    if (words.length > 0) (void)send(fd, words.at, words.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    throw_away_input(stream, fd);
}

/* Only from stream_poll, stream_turn and those that end a stream. */
static void close_now(struct stream_connection *connection)
{
    if (connection->stage == STAGE_CLOSED) return; /* or never was one */
    struct stream *stream = connection->stream;
    struct metrics_network *network = stream->options.terms.network;
    if (connection->stage < STAGE_OPEN) ++network->handshakes_failed;
    stop_waiting(connection);
    drop_input(connection);
    drop_output(connection);
    network->buffers_bytes -= connection->held_bytes;
    connection->held_bytes = 0;
    list_leave(&connection->places[LINE_HOLDING]);
    if (connection->stage == STAGE_ENDING) {
        if (connection->ssl != NULL) {
            ERR_clear_error();
            SSL_set_quiet_shutdown(connection->ssl, 0);
            (void)SSL_shutdown(connection->ssl);
        }
        say_bare(stream, connection->fd, BYTES_NONE);
    }
    connection->stage = STAGE_CLOSED;
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    (void)close(connection->fd); /* and out of the epoll set */
    network->connections = --stream->connections;
    if (connection->client != NULL) stream->options.calls->on_closed(connection->client);
    connection->client = NULL;
    list_leave(&connection->places[LINE_LOOK]);
    connection->next = stream->closed;
    stream->closed = connection;
}

void stream_end(struct stream_connection *connection)
{
    if (connection->stage >= STAGE_ENDING) return;
    stop_waiting(connection);
    connection->stage = STAGE_ENDING;
    if (connection->stream->handing != connection) drop_input(connection);
    look_soon(connection);
}

/* ---- writing */

/* What the socket takes of it, as TLS or as it is; 0: nothing now. False: it is over. */
static bool write_some(struct stream_connection *connection, const uint8_t *at, size_t length,
                       size_t *written_out)
{
    *written_out = 0;
    connection->reads_to_write = false;
    if (connection->ssl == NULL) {
        const ssize_t sent = send(connection->fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        *written_out = (size_t)sent;
        return true;
    }
    ERR_clear_error();
    if (SSL_write_ex(connection->ssl, at, length, written_out) == 1) return true;
    *written_out = 0;
    const int error = SSL_get_error(connection->ssl, 0);
    connection->reads_to_write = error == SSL_ERROR_WANT_READ;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* False: it was closed. */
static bool write_out(struct stream_connection *connection)
{
    while (connection->output_at < connection->output_used) {
        size_t written = 0;
        if (!write_some(connection, connection->output + connection->output_at,
                        connection->output_used - connection->output_at, &written)) {
            connection->stage = STAGE_RESETTING;
            close_now(connection);
            return false;
        }
        if (written == 0) break;
        connection->output_at += written;
        connection->taken += written;
    }
    const size_t left = connection->output_used - connection->output_at;
    if (left == 0)
        drop_output(connection);
    else if (!list_has(&connection->places[LINE_WRITING])) {
        connection->taken = 0;
        line_add(LINE_WRITING, connection);
    }
    if (connection->is_full && left <= connection->stream->options.output_bytes_max / 2) {
        connection->is_full = false;
        connection->has_leftover = connection->input_used > 0;
        look_soon(connection);
    }
    return true;
}

void stream_send(struct stream_connection *connection, struct bytes bytes)
{
    if (!is_talking(connection) || bytes.length == 0) return;
    if (connection->output_at > 0 &&
        connection->output_size - connection->output_used < bytes.length) {
        memmove(connection->output, connection->output + connection->output_at,
                connection->output_used - connection->output_at);
        connection->output_used -= connection->output_at;
        connection->output_at = 0;
    }
    if (!make_fit(&connection->output, &connection->output_size, connection->output_used,
                  bytes.length)) {
        stream_reset(connection);
        return;
    }
    memcpy(connection->output + connection->output_used, bytes.at, bytes.length);
    connection->output_used += bytes.length;
    if (stream_unsent(connection) >= connection->stream->options.output_bytes_max)
        connection->is_full = true;
    count_held(connection);
    look_soon(connection);
}

size_t stream_unsent(const struct stream_connection *connection)
{
    return connection->output_used - connection->output_at;
}

/* ---- last words */

static struct bytes words_for(struct stream *stream, void *client, enum stream_refusal why,
                              uint8_t block[WORDS_BYTES_MAX])
{
    struct buffer out = buffer_over(block, WORDS_BYTES_MAX);
    if (stream->options.calls->on_refused == NULL) return BYTES_NONE;
    stream->options.calls->on_refused(stream->options.self, client, why, &out);
    ENSURE(!out.overflowed);
    return buffer_bytes(&out);
}

static void refuse(struct stream_connection *connection, enum stream_refusal why)
{
    uint8_t block[WORDS_BYTES_MAX];
    if (connection->stage < STAGE_OPEN) {
        stream_reset(connection);
        return;
    }
    if (connection->stage != STAGE_OPEN) return;
    stream_send(connection, words_for(connection->stream, connection->client, why, block));
    stream_end(connection);
}

/* ---- reading */

/* Gives the front end what there is, and keeps what it leaves. */
static void hand_over(struct stream_connection *connection, struct bytes input)
{
    struct stream *stream = connection->stream;
    stream->handing = connection;
    const size_t used = stream->options.calls->on_bytes(connection->client, input);
    const size_t left = input.length - used;
    stream->handing = NULL;
    ENSURE(used <= input.length);
    connection->has_leftover = false;
    if (left == 0 || !is_talking(connection)) {
        drop_input(connection);
        return;
    }
    ENSURE(connection->is_held || connection->is_full || left <= stream->options.input_bytes_max);
    const uint8_t *at = input.at + used;
    if (input.at == connection->input) {
        if (used > 0) memmove(connection->input, at, left);
    } else if (!make_fit(&connection->input, &connection->input_size, 0, left)) {
        stream_reset(connection);
        return;
    } else {
        memcpy(connection->input, at, left);
    }
    connection->input_used = left;
    count_held(connection);
}

static void tell_ended(struct stream_connection *connection)
{
    const bool waits_for_room = connection->is_full && connection->input_used > 0;
    const bool is_all_seen = !connection->is_held && !connection->has_leftover && !waits_for_room;
    if (!connection->has_ended || connection->is_told_ended || !is_all_seen) return;
    if (connection->stage != STAGE_OPEN) return;
    connection->is_told_ended = true;
    connection->stream->options.calls->on_end(connection->client);
}

enum read { READ_SOME, READ_NOTHING, READ_END, READ_FAULT };

static enum read read_some(struct stream_connection *connection, uint8_t *at, size_t room,
                           size_t *length_out)
{
    *length_out = 0;
    connection->wants_write = false;
    if (connection->ssl == NULL) {
        const ssize_t got = recv(connection->fd, at, room, MSG_DONTWAIT);
        if (got == 0) return READ_END;
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? READ_NOTHING
                                                                             : READ_FAULT;
        *length_out = (size_t)got;
        return READ_SOME;
    }
    ERR_clear_error();
    connection->tls_reads = TLS_READS;
    if (SSL_read_ex(connection->ssl, at, room, length_out) == 1) return READ_SOME;
    switch (SSL_get_error(connection->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
        connection->wants_write = true;
        return READ_NOTHING;
    case SSL_ERROR_WANT_READ:
        return READ_NOTHING;
    case SSL_ERROR_ZERO_RETURN:
        return READ_END;
    default:
        return READ_FAULT;
    }
}

static void take_bytes(struct stream_connection *connection)
{
    struct stream *stream = connection->stream;
    uint8_t *at = stream->block;
    size_t length = 0;
    if (connection->input != NULL) {
        if (!make_fit(&connection->input, &connection->input_size, connection->input_used,
                      sizeof(stream->block))) {
            stream_reset(connection);
            return;
        }
        at = connection->input + connection->input_used;
    }
    switch (read_some(connection, at, sizeof(stream->block), &length)) {
    case READ_SOME:
        break;
    case READ_NOTHING:
        return;
    case READ_END:
        connection->has_ended = true;
        tell_ended(connection);
        return;
    case READ_FAULT:
        break_off(connection);
        return;
    }
    if (connection->input == NULL) {
        hand_over(connection, (struct bytes){at, length});
    } else {
        connection->input_used += length;
        hand_over(connection, (struct bytes){connection->input, connection->input_used});
    }
}

void stream_hold(struct stream_connection *connection)
{
    connection->is_held = true;
}

void stream_go_on(struct stream_connection *connection)
{
    if (!connection->is_held) return;
    connection->is_held = false;
    connection->has_leftover = connection->input_used > 0;
    look_soon(connection);
}

/* ---- beginning */

static void open_connection(struct stream_connection *connection)
{
    struct stream *stream = connection->stream;
    connection->stage = STAGE_OPEN;
    connection->waits = STREAM_FOR_FIRST;
    line_add(LINE_FIRST, connection);
    connection->client = stream->options.calls->on_open(stream->options.self, connection);
    if (connection->client == NULL) stream_reset(connection);
}

/* OpenSSL would call HTTP's, which the context has. */
static void on_info(const SSL *ssl, int where, int value)
{
    (void)ssl;
    (void)where;
    (void)value;
}

/* OpenSSL reads on for as long as records come that have nothing in them for us, such as updates of
 * keys: a client who sends enough of them would have it to himself. So after some it is told that
 * no more is there; the socket tells again in the next turn. */
static long on_tls_read(BIO *bio, int what, const char *at, size_t length, int number, long more,
                        int result, size_t *done)
{
    struct stream_connection *connection = (struct stream_connection *)BIO_get_callback_arg(bio);
    (void)at;
    (void)length;
    (void)number;
    (void)more;
    (void)done;
    if (what != BIO_CB_READ) return result;
    if (connection->tls_reads > 0) {
        --connection->tls_reads;
        return result;
    }
    BIO_clear_retry_flags(bio);
    BIO_set_retry_read(bio);
    return -1;
}

static bool begin_tls(struct stream_connection *connection)
{
    struct stream *stream = connection->stream;
    connection->ssl = SSL_new(stream->context);
    if (connection->ssl == NULL || SSL_set_fd(connection->ssl, connection->fd) != 1) return false;
    (void)SSL_set_mode(connection->ssl,
                       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    BIO_set_callback_ex(SSL_get_rbio(connection->ssl), on_tls_read);
    BIO_set_callback_arg(SSL_get_rbio(connection->ssl), (char *)connection);
    SSL_set_info_callback(connection->ssl, on_info);
    SSL_set_accept_state(connection->ssl);
    tls_speak(connection->ssl, stream->options.protocol);
    list_leave(&connection->places[LINE_HELLO]);
    line_add(LINE_SHAKING, connection);
    ++stream->shaking;
    connection->stage = STAGE_HANDSHAKE;
    return true;
}

/* Whether one more handshake may begin: the oldest gives way if it has had its time. */
static bool may_shake(struct stream *stream)
{
    struct stream_connection *oldest = list_first(&stream->lines[LINE_SHAKING]);
    if (stream->shaking < HANDSHAKES_MAX) return true;
    if (stream->now_ns - oldest->since_ns[LINE_SHAKING] < (int64_t)HANDSHAKE_OWED_MS * 1000000)
        return false;
    close_now(oldest);
    return true;
}

/* A step of a handshake costs up to a signature, so a turn has so many. */
static void shake(struct stream_connection *connection)
{
    struct stream *stream = connection->stream;
    if (stream->shake_steps == 0) return; /* the socket tells again in the next turn */
    --stream->shake_steps;
    if (connection->stage == STAGE_HELLO && !may_shake(stream)) return;
    if (connection->stage == STAGE_HELLO && !begin_tls(connection)) {
        close_now(connection);
        return;
    }
    ERR_clear_error();
    connection->wants_write = false;
    connection->tls_reads = TLS_READS;
    const int result = SSL_do_handshake(connection->ssl);
    if (result == 1) {
        ++stream->options.terms.network->handshakes;
        stop_waiting(connection);
        open_connection(connection);
        look_soon(connection);
        return;
    }
    const int error = SSL_get_error(connection->ssl, result);
    connection->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) close_now(connection);
}

static void begin_connection(struct stream *stream, int fd)
{
    const int yes = 1;
    const unsigned timeout_ms = 2 * stream->options.terms.write_timeout_ms; /* ours comes first */
    struct stream_connection *connection = stream->free;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    ENSURE(connection != NULL);
    if (epoll_ctl(stream->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        (void)close(fd);
        return;
    }
    stream->free = connection->next;
    *connection = (struct stream_connection){.stream = stream, .fd = fd, .events = EPOLLIN};
    stream->options.terms.network->connections = ++stream->connections;
    ++stream->options.terms.network->accepted;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    if (stream->context == NULL) {
        open_connection(connection);
        return;
    }
    connection->stage = STAGE_HELLO;
    line_add(LINE_HELLO, connection);
}

/* The one that has waited longest, for a second at least; NULL: nobody has. */
static struct stream_connection *find_waiting(const struct stream *stream)
{
    const int64_t since_ns = stream->now_ns - (int64_t)SHED_AFTER_MS * 1000000;
    struct stream_connection *found = NULL;
    int64_t found_ns = since_ns;
    for (enum line_of which = LINE_HELLO; which <= LINE_REST; ++which) {
        struct stream_connection *first = list_first(&stream->lines[which]);
        if (first == NULL || first->since_ns[which] >= found_ns) continue;
        found = first;
        found_ns = first->since_ns[which];
    }
    return found;
}

static void shed(struct stream_connection *connection)
{
    const bool has_begun = is_talking(connection) && connection->waits == STREAM_FOR_REST;
    ++connection->stream->options.terms.network->shed;
    if (has_begun) {
        refuse(connection, STREAM_TOO_MANY);
        (void)write_out(connection);
    }
    close_now(connection);
}

static void turn_away(struct stream *stream, int fd)
{
    uint8_t block[WORDS_BYTES_MAX];
    ++stream->options.terms.network->turned_away;
    if (stream->context == NULL)
        say_bare(stream, fd, words_for(stream, NULL, STREAM_TOO_MANY, block));
    (void)close(fd);
}

/* Nobody can mean them any more. */
static void free_closed(struct stream *stream)
{
    while (stream->closed != NULL) {
        struct stream_connection *gone = stream->closed;
        stream->closed = gone->next;
        gone->next = stream->free;
        stream->free = gone;
    }
}

static void accept_some(struct stream *stream)
{
    for (unsigned accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; ++accepted) {
        const int fd = accept4(stream->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        free_closed(stream);
        if (stream->free == NULL) {
            struct stream_connection *waiting = find_waiting(stream);
            if (waiting != NULL) shed(waiting);
            free_closed(stream);
        }
        if (stream->free == NULL)
            turn_away(stream, fd);
        else
            begin_connection(stream, fd);
    }
}

/* ---- time */

static bool is_late(const struct stream *stream, enum line_of which, uint32_t ms)
{
    const struct stream_connection *first = list_first(&stream->lines[which]);
    return first != NULL && stream->now_ns - first->since_ns[which] >= (int64_t)ms * 1000000;
}

/* Whoever takes nothing, or next to nothing, for as long as a whole answer may take. */
static void look_after_readers(struct stream *stream)
{
    const uint32_t ms = stream->options.terms.write_timeout_ms;
    const uint64_t least = (uint64_t)SLOW_READER_BYTES * ms / 1000;
    while (is_late(stream, LINE_WRITING, ms)) {
        struct stream_connection *connection = list_first(&stream->lines[LINE_WRITING]);
        list_leave(&connection->places[LINE_WRITING]);
        if (connection->taken < least) {
            ++stream->options.terms.network->readers_cut;
            reset_at_close(connection->fd);
            connection->stage = STAGE_RESETTING;
            close_now(connection);
            continue;
        }
        connection->taken = 0;
        line_add(LINE_WRITING, connection);
    }
}

static void end_late(struct stream *stream)
{
    const struct stream_options *options = &stream->options;
    while (is_late(stream, LINE_HELLO, HANDSHAKE_TIMEOUT_MS))
        close_now(list_first(&stream->lines[LINE_HELLO]));
    while (is_late(stream, LINE_SHAKING, HANDSHAKE_TIMEOUT_MS))
        close_now(list_first(&stream->lines[LINE_SHAKING]));
    while (is_late(stream, LINE_FIRST, options->terms.request_timeout_ms))
        stream_end(list_first(&stream->lines[LINE_FIRST]));
    while (is_late(stream, LINE_REQUEST, options->terms.idle_timeout_ms))
        stream_end(list_first(&stream->lines[LINE_REQUEST]));
    while (is_late(stream, LINE_REST, options->terms.request_timeout_ms)) {
        ++options->terms.network->timed_out;
        refuse(list_first(&stream->lines[LINE_REST]), STREAM_TIMED_OUT);
    }
    look_after_readers(stream);
}

/* At most a line a second, and none while nothing is refused. */
static void tell_log(struct stream *stream)
{
    const struct metrics_network *network = stream->options.terms.network;
    const uint64_t refused =
        network->shed + network->turned_away + network->out_of_buffers + network->readers_cut;
    if (refused == stream->told || stream->now_ns - stream->told_ns < TELL_NS) return;
    struct log_line line = log_begin(LOG_WARN, "connections_refused");
    log_text(&line, "listener", stream->options.name);
    log_number(&line, "connections", stream->connections);
    log_number(&line, "shed", (int64_t)network->shed);
    log_number(&line, "turned_away", (int64_t)network->turned_away);
    log_number(&line, "out_of_buffers", (int64_t)network->out_of_buffers);
    log_number(&line, "readers_cut", (int64_t)network->readers_cut);
    log_number(&line, "buffers_bytes", (int64_t)network->buffers_bytes);
    log_end(&line);
    stream->told_ns = stream->now_ns;
    stream->told = refused;
}

/* ---- turns */

/* Everything that can be done with it now. */
static void go_on(struct stream_connection *connection)
{
    if (connection->stage == STAGE_CLOSED) return;
    if (connection->stage == STAGE_OPEN && !connection->is_held && !connection->is_full) {
        if (connection->has_leftover)
            hand_over(connection, (struct bytes){connection->input, connection->input_used});
        else if (connection->ssl != NULL && SSL_has_pending(connection->ssl) &&
                 may_read(connection))
            take_bytes(connection); /* what OpenSSL has, the socket does not tell of */
    }
    tell_ended(connection);
    if (connection->output != NULL && connection->stage <= STAGE_ENDING && !write_out(connection))
        return;
    const bool is_over = connection->stage == STAGE_RESETTING ||
                         (connection->stage == STAGE_ENDING && connection->output == NULL);
    const bool is_idle = connection->stream->listener < 0 && is_talking(connection) &&
                         connection->waits <= STREAM_FOR_REQUEST && connection->output == NULL;
    if (is_over || is_idle) {
        if (is_idle) connection->stage = STAGE_ENDING;
        close_now(connection);
        return;
    }
    choose_events(connection);
}

static void on_event(struct stream_connection *connection, uint32_t events)
{
    if (connection->stage == STAGE_CLOSED) return;
    if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && !may_read(connection))) {
        break_off(connection);
    } else if (connection->stage < STAGE_OPEN) {
        shake(connection);
    } else {
        if ((events & EPOLLOUT) != 0 && connection->output != NULL && !write_out(connection))
            return;
        const bool may_take = (events & EPOLLIN) != 0 || connection->wants_write;
        if (may_take && may_read(connection)) take_bytes(connection);
    }
    look_soon(connection);
}

void stream_poll(void *self)
{
    struct stream *stream = self;
    struct epoll_event events[EVENTS_MAX];
    stream->now_ns = clock_monotonic_ns();
    stream->shake_steps = HANDSHAKE_STEPS_PER_TURN;
    const int count = epoll_wait(stream->epoll, events, EVENTS_MAX, 0);
    bool has_newcomers = false;
    for (int i = 0; i < count; ++i)
        if (events[i].data.ptr == stream)
            has_newcomers = true;
        else
            on_event(events[i].data.ptr, events[i].events);
    /* Behind the others: no event is left that could mean one whose place they take. */
    if (has_newcomers && stream->listener >= 0) accept_some(stream);
}

void stream_turn(struct stream *stream)
{
    stream->now_ns = clock_monotonic_ns();
    end_late(stream);
    /* What is put into the line meanwhile has its look in the next turn. */
    const struct stream_connection *last = list_last(&stream->lines[LINE_LOOK]);
    struct stream_connection *connection;
    do {
        connection = list_first(&stream->lines[LINE_LOOK]);
        if (connection == NULL) break;
        list_leave(&connection->places[LINE_LOOK]);
        go_on(connection);
    } while (connection != last);
    free_closed(stream);
    tell_log(stream);
}

bool stream_must_turn(const struct stream *stream)
{
    return list_first(&stream->lines[LINE_LOOK]) != NULL;
}

/* ---- from open to close */

struct stream *stream_open(const struct stream_options *options)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) return NULL;
    ENSURE(options->input_bytes_max >= STREAM_READ_BYTES && options->terms.network != NULL);
    stream->options = *options;
    stream->listener = options->terms.listener_fd;
    stream->epoll = epoll_create1(EPOLL_CLOEXEC);
    stream->items = calloc(options->terms.connections_max, sizeof(*stream->items));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    if (stream->epoll < 0 || stream->items == NULL ||
        epoll_ctl(stream->epoll, EPOLL_CTL_ADD, stream->listener, &event) != 0) {
        if (stream->epoll >= 0) (void)close(stream->epoll);
        free(stream->items);
        free(stream);
        return NULL;
    }
    for (uint32_t i = options->terms.connections_max; i > 0; --i) {
        stream->items[i - 1].stage = STAGE_CLOSED;
        stream->items[i - 1].next = stream->free;
        stream->free = &stream->items[i - 1];
    }
    options->terms.network->connections_max = options->terms.connections_max;
    options->terms.network->buffers_bytes_max = options->terms.buffers_bytes_max;
    stream->now_ns = clock_monotonic_ns();
    if (options->terms.tls != NULL) stream_set_tls(stream, options->terms.tls);
    return stream;
}

int stream_fd(const struct stream *stream)
{
    return stream->epoll;
}

uint32_t stream_connections(const struct stream *stream)
{
    return stream->connections;
}

void stream_set_tls(struct stream *stream, const struct tls *tls)
{
    ENSURE(SSL_CTX_up_ref(tls->context) == 1);
    SSL_CTX_free(stream->context);
    stream->context = tls->context;
    stream->options.terms.network->certificate_ends_at_s = tls->ends_at_s;
}

static void close_listener(struct stream *stream)
{
    if (stream->listener >= 0) (void)close(stream->listener);
    stream->listener = -1;
}

void stream_drain(struct stream *stream)
{
    if (stream->listener < 0) return;
    close_listener(stream);
    for (uint32_t i = 0; i < stream->options.terms.connections_max; ++i) {
        struct stream_connection *connection = &stream->items[i];
        if (connection->stage == STAGE_CLOSED) continue;
        if (connection->stage < STAGE_OPEN) {
            close_now(connection);
            continue;
        }
        if (stream->options.calls->on_drain != NULL && is_talking(connection))
            stream->options.calls->on_drain(connection->client);
        look_soon(connection);
    }
}

void stream_cut(struct stream *stream)
{
    while (list_first(&stream->lines[LINE_REST]) != NULL)
        refuse(list_first(&stream->lines[LINE_REST]), STREAM_STOPPING);
}

void stream_close(struct stream *stream)
{
    if (stream == NULL) return;
    close_listener(stream);
    for (uint32_t i = 0; i < stream->options.terms.connections_max; ++i)
        close_now(&stream->items[i]);
    SSL_CTX_free(stream->context);
    (void)close(stream->epoll);
    free(stream->items);
    free(stream);
}
