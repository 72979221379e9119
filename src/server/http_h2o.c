/*
 * http_h2o.c: HTTP/1.1 by libh2o, and the only file that knows it. What was observed of version
 * 2.2.5 and shapes this file is in docs/decisions.
 *
 * HTTP/2 stays off (its h2 predates the rapid-reset mend). h2o reads no further from a connection
 * while its request is being handled, so the request's bytes stay where they are until it is
 * answered, and a connection has one exchange at most. Routing is ours: one handler takes all.
 *
 * While a request is parked its socket stays registered for reading, with a callback that reads
 * nothing: taking it out of the epoll set and putting it back cost two system calls a request, a
 * tenth of the loop's time.
 *
 * An answer in pieces is a generator: one piece is lent to h2o, its proceed asks the loop for the
 * next. The socket stays parked until the last piece.
 *
 * What is wrong with a request must be told as a problem, also where no request comes of it. h2o
 * has three ways with that, and each has its answer here. A body that it refuses it answers itself,
 * in text/plain: a filter on the path that it uses for that makes a problem of it. A head that it
 * refuses it answers past all filters, and a connection that ends or times out in the middle it
 * just closes: so its callbacks for reading and writing are called through ours (on_bytes,
 * on_written), which look at the bytes first. What they refuse they answer on the bare socket, and
 * then let h2o take the connection for closed.
 */
#define H2O_USE_LIBUV 0

#include "server/http.h"

#include <errno.h>
#include <h2o.h>
#include <h2o/http1.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/platform.h"
#include "wire/wire.h"

enum { ACCEPTED_PER_TURN_MAX = 64, WATCHES_MAX = 4 };

/* What h2o's socket does not tell of its connection. */
struct connection {
    struct http *http;
    h2o_socket_t *socket; /* NULL: closed */
    h2o_socket_cb read;   /* h2o's own callbacks, called through ours */
    h2o_socket_cb write;
    h2o_req_t *request;   /* while it is answered */
    size_t request_bytes; /* of its head, then of all of it, in the socket's input */
    int64_t since_ns;     /* the accept, or the end of the last answer */
    bool has_head;        /* of the request under way */
    bool is_parked;       /* its request is with the loop */
    bool was_parked;      /* already when connections were last looked over */
    bool can_be_asked;    /* while parked: an interim answer may still come */
    bool is_answered;     /* and the answer may still be on its way out */
    struct connection *next_free;
};

struct piece_generator {
    h2o_generator_t base;
    struct http_exchange *held;
};

/* An exchange as h2o's request has it. It outlives a request whose client has gone, so it is not in
 * the request's pool; the tether is, and the tether's disposal is the request's end. */
struct http_exchange {
    struct exchange exchange;
    struct http *http;
    h2o_req_t *request; /* NULL: the client is gone */
    struct tether *tether;
    struct piece_generator generator; /* of an answer in pieces */
    bool has_begun;                   /* its headers are out */
    bool is_sending;                  /* a piece is with h2o */
    struct http_exchange *next_free;
};

struct tether {
    struct http_exchange *held; /* NULL once answered */
};

struct watch {
    void (*on_readable)(void *self);
    void *self;
};

struct http_handler {
    h2o_handler_t base;
    struct http *http;
};

struct http {
    struct http_options options;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept_context;
    h2o_socket_t *listener; /* NULL: draining */
    bool is_listener_paused;
    bool has_responded; /* since the last turn */
    int64_t swept_ns;   /* connections were last looked over for their time */
    struct prng request_ids;
    uint32_t connections;
    struct metrics_network *network;
    struct metrics_network own; /* where nobody asks */
    struct http_exchange *exchanges;
    struct http_exchange *free;
    struct connection *connection_items;
    struct connection *connection_free;
    struct watch watches[WATCHES_MAX];
    uint32_t watch_count;
};

static const char *reason_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Payload Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Entity";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Answer";
    }
}

static struct bytes bytes_of(h2o_iovec_t iovec)
{
    return (struct bytes){(const uint8_t *)iovec.base, iovec.len};
}

static struct bytes header_of(h2o_req_t *request, ssize_t at)
{
    if (at == -1) return BYTES_NONE;
    const h2o_iovec_t value = request->headers.entries[at].value;
    /* Present but empty is not absent. */
    return value.base != NULL ? bytes_of(value) : BYTES("");
}

/* What a request is called that no exchange was made of; NULL: of none that was read. */
static struct request_id name_request(struct http *http, h2o_req_t *request)
{
    struct request_id id;
    if (request != NULL) {
        const ssize_t at = h2o_find_header_by_str(&request->headers, H2O_STRLIT("traceparent"), -1);
        if (request_id_of_trace(header_of(request, at), &id)) return id;
    }
    return request_id_make(&http->request_ids);
}

/* Of two, neither is believed: empty. */
static struct bytes sole_header_of(h2o_req_t *request, const h2o_token_t *token)
{
    const ssize_t index = h2o_find_header(&request->headers, token, -1);
    if (index >= 0 && h2o_find_header(&request->headers, token, index) >= 0) return BYTES("");
    return header_of(request, index);
}

static h2o_socket_t *socket_of(h2o_req_t *request)
{
    return request->conn->callbacks->get_socket(request->conn);
}

static struct connection *connection_of(h2o_socket_t *socket)
{
    return socket->on_close.data;
}

/* ---- what h2o would close or answer past us */

static void on_bytes(h2o_socket_t *socket, const char *error);
static void on_written(h2o_socket_t *socket, const char *error);
static void on_parked_readable(h2o_socket_t *socket, const char *error);

/* Puts our callbacks in front of those that h2o has set. */
static void stand_between(struct connection *connection)
{
    h2o_socket_t *socket = connection->socket;
    if (socket == NULL) return;
    const h2o_socket_cb read = socket->_cb.read;
    if (read != NULL && read != on_bytes && read != on_parked_readable) {
        connection->read = read;
        socket->_cb.read = on_bytes;
    }
    const h2o_socket_cb write = socket->_cb.write;
    if (write != NULL && write != on_written) {
        connection->write = write;
        socket->_cb.write = on_written;
    }
}

/* What is still to be read when a socket is closed resets the connection, and the answer with it.
 */
static void drain_input(int fd)
{
    uint8_t block[16384];
    for (int i = 0; i < 64; ++i)
        if (recv(fd, block, sizeof(block), MSG_DONTWAIT) <= 0) return;
}

/* On the bare socket, as the last word on it. Whoever cannot take it at once does without. */
static void tell_problem(h2o_socket_t *socket, struct problem problem)
{
    ++connection_of(socket)->http->network->problems[problem.code];
    uint8_t body_block[WIRE_PROBLEM_BYTES_MAX];
    uint8_t block[WIRE_PROBLEM_BYTES_MAX + 256];
    struct buffer body = buffer_over(body_block, sizeof(body_block));
    struct buffer out = buffer_over(block, sizeof(block));
    const unsigned status = wire_problem_status(problem.code);
    const int fd = h2o_socket_get_fd(socket);
    const struct request_id id = name_request(connection_of(socket)->http, NULL);
    wire_render_problem(&problem, request_id_bytes(&id), &body);
    buffer_put_text(&out, "HTTP/1.1 ");
    buffer_put_decimal(&out, status);
    buffer_put_byte(&out, ' ');
    buffer_put_text(&out, reason_phrase(status));
    buffer_put_text(&out, "\r\nConnection: close\r\nContent-Length: ");
    buffer_put_decimal(&out, body.used);
    buffer_put_text(&out, "\r\ncontent-type: application/problem+json\r\nx-request-id: ");
    buffer_put(&out, id.text, sizeof(id.text));
    buffer_put_text(&out, "\r\n\r\n");
    buffer_put(&out, body.at, body.used);
    ENSURE(!body.overflowed && !out.overflowed);
    (void)send(fd, out.at, out.used, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    drain_input(fd);
}

/* Between requests: tells what is wrong, if anything is, and lets h2o close. */
static void refuse_unfinished(struct connection *connection, struct problem problem)
{
    h2o_socket_t *socket = connection->socket;
    tell_problem(socket, problem);
    connection->read(socket, h2o_socket_error_closed);
}

static struct problem torn(const struct connection *connection)
{
    return (struct problem){.code = PROBLEM_BAD_REQUEST,
                            .field = connection->has_head ? "body" : "request",
                            .expected = connection->has_head ? "a body as long as its headers say"
                                                             : "a request to its end"};
}

/* Bytes have come for h2o, or the client's end of them. */
static void on_bytes(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    const struct bytes input = {(const uint8_t *)socket->input->bytes, socket->input->size};
    struct problem problem;
    if (error != NULL) {
        if (input.length > 0) tell_problem(socket, torn(connection));
    } else if (!connection->has_head && input.length > 0) {
        const enum http_head head = http_head_judge(input, &connection->request_bytes, &problem);
        connection->has_head = head == HTTP_HEAD_WHOLE;
        if (head == HTTP_HEAD_WRONG) {
            refuse_unfinished(connection, problem);
            return;
        }
    }
    connection->read(socket, error);
    stand_between(connection);
}

/* What came behind the request that is answered now is the next one's, and h2o turns to it without
 * asking anybody. */
static void judge_next(struct connection *connection)
{
    h2o_socket_t *socket = connection->socket;
    const size_t taken = connection->request_bytes;
    connection->has_head = false;
    if (!connection->request->http1_is_persistent || socket->input->size <= taken) return;
    const struct bytes next = {(const uint8_t *)socket->input->bytes + taken,
                               socket->input->size - taken};
    struct problem problem;
    switch (http_head_judge(next, &connection->request_bytes, &problem)) {
    case HTTP_HEAD_PART:
        return;
    case HTTP_HEAD_WHOLE:
        connection->has_head = true;
        return;
    case HTTP_HEAD_WRONG:
        break;
    }
    tell_problem(socket, problem);
    connection->request->http1_is_persistent = 0;
}

/* h2o's bytes are out: of an answer, of a piece of one, or of a 100. */
static void on_written(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    if (connection->is_answered && error == NULL) {
        judge_next(connection);
        connection->is_answered = false;
        connection->since_ns = clock_monotonic_ns();
    }
    connection->write(socket, error);
    stand_between(connection);
}

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
    else if (connection->can_be_asked)
        (void)send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Who has not sent a request in time, and who has left. h2o's own timeout is longer. */
static void sweep_late(struct http *http)
{
    const int64_t now_ns = clock_monotonic_ns();
    const int64_t time_ns = (int64_t)http->options.request_timeout_ms * 1000000;
    if (now_ns - http->swept_ns < time_ns / 60) return;
    http->swept_ns = now_ns;
    for (uint32_t i = 0; i < http->options.connections_max; ++i) {
        struct connection *connection = &http->connection_items[i];
        if (connection->socket == NULL || connection->is_answered) continue;
        if (connection->is_parked) {
            look_after_parked(connection);
            continue;
        }
        if (now_ns - connection->since_ns < time_ns) continue;
        if (connection->socket->_cb.read != on_bytes) continue; /* a 100 is on its way out */
        if (connection->socket->input->size > 0)
            refuse_unfinished(connection,
                              (struct problem){.code = PROBLEM_TIMEOUT,
                                               .field = connection->has_head ? "body" : "request",
                                               .expected = "all of it within a minute"});
        else
            connection->read(connection->socket, h2o_socket_error_closed);
    }
}

/* ---- answers */

/* Only while parked: more arrived, or the client left. Either is for later. In the moment between
 * an answer and h2o's next look at the connection, what arrives is read for h2o to find. */
static void on_parked_readable(h2o_socket_t *socket, const char *error)
{
    (void)error;
    if (connection_of(socket)->is_parked) h2o_socket_read_stop(socket);
}

static void park(h2o_socket_t *socket, const h2o_req_t *request)
{
    struct connection *connection = connection_of(socket);
    connection->is_parked = true;
    connection->was_parked = false;
    connection->can_be_asked = request->version >= 0x101 && socket->ssl == NULL;
    h2o_socket_dont_read(socket, 1);
    h2o_socket_read_start(socket, on_parked_readable);
}

static void unpark(h2o_socket_t *socket)
{
    connection_of(socket)->is_parked = false;
    h2o_socket_dont_read(socket, 0);
}

static bool is_head(const h2o_req_t *request)
{
    return h2o_memis(request->method.base, request->method.len, H2O_STRLIT("HEAD"));
}

/* The end of an answer, of one that has not begun if there is a generator. The request may be gone
 * on return. */
static void send_last(h2o_req_t *request, h2o_generator_t *generator, h2o_iovec_t *body,
                      h2o_send_state_t state)
{
    h2o_socket_t *socket = socket_of(request);
    struct connection *connection = connection_of(socket);
    connection->request = request;
    connection->is_answered = true;
    if (generator != NULL) h2o_start_response(request, generator);
    h2o_send(request, body, body->len > 0 ? 1 : 0, state);
    stand_between(connection);
}

static void add_header(h2o_req_t *request, const h2o_token_t *name, const char *value)
{
    h2o_add_header(&request->pool, &request->res.headers, name, NULL, value, strlen(value));
}

/* Values are copied, as the body is. */
static void add_request_id(h2o_req_t *request, const struct request_id *id)
{
    const h2o_iovec_t value = h2o_strdup(&request->pool, id->text, sizeof(id->text));
    h2o_add_header_by_str(&request->pool, &request->res.headers, H2O_STRLIT("x-request-id"), 0,
                          NULL, value.base, value.len);
}

static void add_own_headers(h2o_req_t *request, const struct answer *answer)
{
    for (uint32_t i = 0; i < answer->header_count; ++i) {
        const struct answer_header *header = &answer->headers[i];
        const h2o_iovec_t value =
            h2o_strdup(&request->pool, (const char *)header->value.at, header->value.length);
        h2o_add_header_by_str(&request->pool, &request->res.headers, header->name,
                              strlen(header->name), 1, NULL, value.base, value.len);
    }
}

/* The answer's memory is not ours beyond this call: the body is copied. */
static void respond(struct http *http, h2o_req_t *request, const struct request_id *id,
                    const struct answer *answer)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t body = h2o_iovec_init(NULL, 0);
    http->has_responded = true;
    if (http->listener == NULL) request->http1_is_persistent = 0;
    request->res.status = (int)answer->status;
    request->res.reason = reason_phrase(answer->status);
    /* What is not modified has a length, but not this one. */
    request->res.content_length = answer->status == 304 ? SIZE_MAX : answer->body.length;
    add_request_id(request, id);
    add_header(request, H2O_TOKEN_CONTENT_TYPE, answer->content_type);
    add_own_headers(request, answer);
    if (answer->status == 503) add_header(request, H2O_TOKEN_RETRY_AFTER, "1");
    if (!is_head(request)) {
        body.base = h2o_mem_alloc_pool(&request->pool, answer->body.length);
        body.len = answer->body.length;
        memcpy(body.base, answer->body.at, body.len);
    }
    send_last(request, &generator, &body, H2O_SEND_STATE_FINAL);
}

/* A client that was promised more takes a plain end for the whole, where no chunk says otherwise
 * (HTTP/1.0): it gets a reset. */
static void reset_at_close(h2o_socket_t *socket)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/* The piece is written out: the loop may make the next one. */
static void on_piece_sent(h2o_generator_t *generator, h2o_req_t *request)
{
    (void)request;
    struct http_exchange *held = ((struct piece_generator *)generator)->held;
    held->is_sending = false;
    held->http->options.take(held->http->options.self, &held->exchange);
}

static void begin_pieces(struct http_exchange *held)
{
    h2o_req_t *request = held->request;
    const struct answer *answer = &held->exchange.answer;
    held->generator = (struct piece_generator){
        .base = {.proceed = on_piece_sent, .stop = NULL},
          .held = held
    };
    /* Without chunks the end of the connection is the end of the answer. */
    if (request->version < 0x101 || held->http->listener == NULL) request->http1_is_persistent = 0;
    request->res.status = (int)answer->status;
    request->res.reason = reason_phrase(answer->status);
    request->res.content_length = SIZE_MAX;
    add_request_id(request, &held->exchange.request_id);
    add_header(request, H2O_TOKEN_CONTENT_TYPE, answer->content_type);
    add_own_headers(request, answer);
    held->has_begun = true;
    connection_of(socket_of(request))->can_be_asked = false;
    h2o_start_response(request, &held->generator.base);
}

/* Lends a piece to h2o. The socket stays as parked: what a client sends meanwhile is for later. */
static void send_piece(struct http_exchange *held)
{
    const struct bytes body = held->exchange.answer.body;
    h2o_iovec_t piece = h2o_iovec_init((const char *)body.at, body.length);
    ENSURE(body.length > 0);
    if (!held->has_begun) begin_pieces(held);
    held->http->has_responded = true;
    held->is_sending = true;
    struct connection *connection = connection_of(socket_of(held->request));
    h2o_send(held->request, &piece, 1, H2O_SEND_STATE_IN_PROGRESS);
    stand_between(connection);
}

/* Headers alone answer HEAD: the loop is told that nobody waits for the rest. */
static void send_head(struct http_exchange *held)
{
    h2o_req_t *request = held->request;
    held->tether->held = NULL;
    unpark(socket_of(request));
    begin_pieces(held);
    held->request = NULL;
    held->exchange.is_gone = true;
    held->http->has_responded = true;
    h2o_iovec_t nothing = h2o_iovec_init(NULL, 0);
    send_last(request, NULL, &nothing, H2O_SEND_STATE_FINAL);
    held->http->options.take(held->http->options.self, &held->exchange);
}

/* The last piece, copied: the loop has the exchange no longer. */
static void end_pieces(struct http_exchange *held)
{
    h2o_req_t *request = held->request;
    const struct answer *answer = &held->exchange.answer;
    h2o_iovec_t body = h2o_iovec_init(NULL, 0);
    if (answer->is_cut) {
        reset_at_close(socket_of(request));
    } else if (answer->body.length > 0) {
        body.base = h2o_mem_alloc_pool(&request->pool, answer->body.length);
        body.len = answer->body.length;
        memcpy(body.base, answer->body.at, body.len);
    }
    held->http->has_responded = true;
    send_last(request, NULL, &body, answer->is_cut ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_FINAL);
}

static void give_exchange(struct http_exchange *held)
{
    held->request = NULL;
    held->next_free = held->http->free;
    held->http->free = held;
}

static void send_exchange(struct exchange *exchange)
{
    struct http_exchange *held = (struct http_exchange *)exchange;
    h2o_req_t *request = held->request;
    if (exchange->answer.has_more) {
        if (request == NULL)
            held->http->options.take(held->http->options.self, exchange);
        else if (!held->has_begun && is_head(request))
            send_head(held);
        else
            send_piece(held);
        return;
    }
    if (request != NULL) {
        held->tether->held = NULL;
        unpark(socket_of(request));
        if (held->has_begun)
            end_pieces(held);
        else
            respond(held->http, request, &exchange->request_id, &exchange->answer);
    }
    give_exchange(held);
}

/* The client is gone. A piece that was on its way to him goes back to the loop with the exchange.
 */
static void on_tether_disposed(void *memory)
{
    struct tether *tether = memory;
    struct http_exchange *held = tether->held;
    if (held == NULL) return;
    held->request = NULL;
    held->exchange.is_gone = true;
    if (!held->is_sending) return;
    held->is_sending = false;
    held->http->options.take(held->http->options.self, &held->exchange);
}

/* ---- requests */

static void respond_problem(struct http *http, h2o_req_t *request, struct problem problem)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX];
    struct buffer out = buffer_over(block, sizeof(block));
    const struct request_id id = name_request(http, request);
    wire_render_problem(&problem, request_id_bytes(&id), &out);
    ENSURE(!out.overflowed);
    ++http->network->problems[problem.code];
    const struct answer answer = {.status = wire_problem_status(problem.code),
                                  .content_type = "application/problem+json",
                                  .body = buffer_bytes(&out)};
    respond(http, request, &id, &answer);
}

static void take_request(struct http *http, h2o_req_t *request)
{
    struct http_exchange *held = http->free;
    if (held == NULL) { /* all connections' exchanges, and some of clients that left meanwhile */
        respond_problem(http, request, (struct problem){.code = PROBLEM_CAPACITY});
        return;
    }
    http->free = held->next_free;
    memset(held, 0, sizeof(*held));
    held->http = http;
    held->request = request;
    held->tether = h2o_mem_alloc_shared(&request->pool, sizeof(*held->tether), on_tether_disposed);
    held->tether->held = held;

    struct exchange *exchange = &held->exchange;
    const struct bytes target = bytes_of(request->path);
    const bool has_query = request->query_at != SIZE_MAX;
    const size_t path_length = has_query ? request->query_at : target.length;
    exchange->method = bytes_of(request->method);
    exchange->path = (struct bytes){target.at, path_length};
    if (has_query)
        exchange->query =
            (struct bytes){target.at + path_length + 1, target.length - path_length - 1};
    exchange->content_type =
        header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_CONTENT_TYPE, -1));
    exchange->content_encoding =
        header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_CONTENT_ENCODING, -1));
    exchange->idempotency_key = header_of(
        request, h2o_find_header_by_str(&request->headers, H2O_STRLIT("idempotency-key"), -1));
    exchange->accept = header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_ACCEPT, -1));
    exchange->if_none_match =
        header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_IF_NONE_MATCH, -1));
    exchange->authorization = sole_header_of(request, H2O_TOKEN_AUTHORIZATION);
    exchange->traceparent = header_of(
        request, h2o_find_header_by_str(&request->headers, H2O_STRLIT("traceparent"), -1));
    exchange->body = bytes_of(request->entity);
    exchange->taken_ns = clock_monotonic_ns();
    if (!request_id_of_trace(exchange->traceparent, &exchange->request_id))
        exchange->request_id = request_id_make(&http->request_ids);
    exchange->send = send_exchange;
    park(socket_of(request), request);
    http->options.take(http->options.self, exchange);
}

/* Host and Upgrade are not among h2o's headers. */
static size_t headers_bytes(const h2o_req_t *request)
{
    size_t bytes = request->input.authority.len + request->upgrade.len;
    for (size_t i = 0; i < request->headers.size; ++i)
        bytes += request->headers.entries[i].name->len + request->headers.entries[i].value.len;
    return bytes;
}

/* Where in the input this request ends. A body lies there too, decoded if it came in chunks. */
static void note_end(h2o_req_t *request)
{
    h2o_socket_t *socket = socket_of(request);
    if (request->entity.base == NULL) return;
    connection_of(socket)->request_bytes =
        (size_t)(request->entity.base - socket->input->bytes) + request->entity.len;
}

static int on_request(h2o_handler_t *self, h2o_req_t *request)
{
    struct http *http = ((struct http_handler *)self)->http;
    note_end(request);
    if (request->path.len > HTTP_TARGET_BYTES_MAX)
        respond_problem(http, request,
                        (struct problem){.code = PROBLEM_TARGET_TOO_LONG,
                                         .field = "path",
                                         .expected = "a path and query of at most 8 KiB"});
    else if (headers_bytes(request) > HTTP_HEADERS_BYTES_MAX)
        respond_problem(http, request,
                        (struct problem){.code = PROBLEM_HEADERS_TOO_LARGE,
                                         .field = "headers",
                                         .expected = "at most 32 KiB in all"});
    else
        take_request(http, request);
    return 0;
}

/* ---- what h2o answers itself */

/* By h2o's words for it, or the status where there are none (HEAD). */
static struct problem problem_for(int status, struct bytes words)
{
    static const struct {
        const char *words;
        struct problem problem;
    } rows[] = {
        {     "broken chunked-encoding",
         {.code = PROBLEM_BAD_REQUEST, .field = "body", .expected = "well-formed chunks"}        },
        {   "unknown transfer-encoding",
         {.code = PROBLEM_BAD_REQUEST,
         .field = "Transfer-Encoding",
         .expected = "chunked, or none"}                                                         },
        {"broken content-length header",
         {.code = PROBLEM_BAD_REQUEST, .field = "Content-Length", .expected = "a decimal number"}},
        {         "unknown expectation",
         {.code = PROBLEM_BAD_REQUEST, .field = "Expect", .expected = "100-continue, or none"}   },
    };
    for (size_t i = 0; i < COUNT_OF(rows); ++i)
        if (bytes_equal(words, bytes_of_text(rows[i].words))) return rows[i].problem;
    if (status == 413)
        return (struct problem){
            .code = PROBLEM_TOO_LARGE, .field = "body", .expected = "at most 4 MiB"};
    if (status == 404) return (struct problem){.code = PROBLEM_NO_ROUTE, .field = "path"};
    return (struct problem){
        .code = PROBLEM_BAD_REQUEST, .field = "request", .expected = "well-formed HTTP/1.1"};
}

/* Before the headers are written: the status and the length can still be those of the problem. */
static void send_problem(h2o_ostream_t *base, h2o_req_t *request, h2o_iovec_t *pieces, size_t count,
                         h2o_send_state_t state)
{
    const struct bytes words = count == 1 ? bytes_of(pieces[0]) : BYTES_NONE;
    const struct problem problem = problem_for(request->res.status, words);
    ++connection_of(socket_of(request))->http->network->problems[problem.code];
    struct buffer out = buffer_over(h2o_mem_alloc_pool(&request->pool, WIRE_PROBLEM_BYTES_MAX),
                                    WIRE_PROBLEM_BYTES_MAX);
    struct http *http = connection_of(socket_of(request))->http;
    const struct request_id id = name_request(http, request);
    add_request_id(request, &id);
    wire_render_problem(&problem, request_id_bytes(&id), &out);
    ENSURE(!out.overflowed);
    request->res.status = (int)wire_problem_status(problem.code);
    request->res.reason = reason_phrase((unsigned)request->res.status);
    request->res.content_length = out.used;
    h2o_iovec_t body = h2o_iovec_init((char *)out.at, is_head(request) ? 0 : out.used);
    h2o_ostream_send_next(base, request, &body, body.len > 0 ? 1 : 0, state);
}

static void on_own_answer(h2o_filter_t *self, h2o_req_t *request, h2o_ostream_t **slot)
{
    (void)self;
    const ssize_t type = h2o_find_header(&request->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (type != -1)
        request->res.headers.entries[type].value =
            h2o_iovec_init(H2O_STRLIT("application/problem+json"));
    request->res.content_length = 0; /* known later, but known: no chunks */
    h2o_ostream_t *stream = h2o_add_ostream(request, sizeof(*stream), slot);
    stream->do_send = send_problem;
    h2o_setup_next_ostream(request, &stream->next);
}

/* ---- connections */

static void on_accept(h2o_socket_t *listener, const char *error);

static void give_connection(struct http *http, struct connection *connection)
{
    connection->next_free = http->connection_free;
    http->connection_free = connection;
}

static void on_connection_closed(void *self)
{
    struct connection *connection = self;
    struct http *http = connection->http;
    connection->socket = NULL;
    give_connection(http, connection);
    http->network->connections = --http->connections;
    if (!http->is_listener_paused || http->listener == NULL) return;
    http->is_listener_paused = false;
    h2o_socket_read_start(http->listener, on_accept);
}

static void accept_one(struct http *http, h2o_socket_t *socket)
{
    const unsigned timeout_ms = HTTP_WRITE_TIMEOUT_MS;
    struct connection *connection = http->connection_free;
    http->connection_free = connection->next_free;
    *connection =
        (struct connection){.http = http, .socket = socket, .since_ns = clock_monotonic_ns()};
    http->network->connections = ++http->connections;
    ++http->network->accepted;
    socket->on_close.cb = on_connection_closed;
    socket->on_close.data = connection;
    (void)setsockopt(h2o_socket_get_fd(socket), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
                     sizeof(timeout_ms));
    struct timeval now = *h2o_get_timestamp(&http->context, NULL, NULL);
    h2o_http1_accept(&http->accept_context, socket, now);
    stand_between(connection);
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
    struct http *http = listener->data;
    if (error != NULL) return;
    for (int accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; ++accepted) {
        if (http->connections == http->options.connections_max) {
            h2o_socket_read_stop(listener);
            http->is_listener_paused = true;
            ++http->network->pauses;
            return;
        }
        h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
        if (socket == NULL) return;
        accept_one(http, socket);
    }
}

static h2o_socket_t *watch_fd(struct http *http, int fd, h2o_socket_cb on_readable, void *data)
{
    h2o_socket_t *socket =
        h2o_evloop_socket_create(http->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    socket->data = data;
    h2o_socket_read_start(socket, on_readable);
    return socket;
}

static void on_watched(h2o_socket_t *socket, const char *error)
{
    (void)error;
    const struct watch *watch = socket->data;
    watch->on_readable(watch->self);
}

void http_watch(struct http *http, int fd, void (*on_readable)(void *self), void *self)
{
    ENSURE(http->watch_count < WATCHES_MAX);
    struct watch *watch = &http->watches[http->watch_count++];
    *watch = (struct watch){.on_readable = on_readable, .self = self};
    (void)watch_fd(http, fd, on_watched, watch);
}

/* ---- start, turn, end */

static void configure(struct http *http)
{
    h2o_config_init(&http->config);
    http->config.server_name = h2o_iovec_init(H2O_STRLIT("")); /* sends no Server header */
    http->config.http1.upgrade_to_http2 = 0;
    http->config.http1.req_timeout = 2 * (uint64_t)http->options.request_timeout_ms;
    /* Chunked bodies must stay below it. */
    http->config.max_request_entity_size = HTTP_BODY_BYTES_MAX + 1024;
    h2o_hostconf_t *host =
        h2o_config_register_host(&http->config, h2o_iovec_init(H2O_STRLIT("any")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct http_handler *handler =
        (struct http_handler *)h2o_create_handler(path, sizeof(*handler));
    handler->base.on_req = on_request;
    handler->http = http;
    h2o_filter_t *filter = h2o_create_filter(&host->fallback_path, sizeof(*filter));
    filter->on_setup_ostream = on_own_answer;
}

struct http *http_open(const struct http_options *options)
{
    struct http *http = calloc(1, sizeof(*http));
    if (http == NULL) return NULL;
    http->options = *options;
    http->request_ids.state = options->request_ids_seed;
    http->network = options->network != NULL ? options->network : &http->own;
    http->network->connections_max = options->connections_max;
    http->exchanges = calloc(options->connections_max, sizeof(*http->exchanges));
    http->connection_items = calloc(options->connections_max, sizeof(*http->connection_items));
    if (http->exchanges == NULL || http->connection_items == NULL) {
        free(http->exchanges);
        free(http->connection_items);
        free(http);
        return NULL;
    }
    for (uint32_t i = options->connections_max; i > 0; --i) {
        http->connection_items[i - 1].http = http;
        give_connection(http, &http->connection_items[i - 1]);
        http->exchanges[i - 1].http = http;
        give_exchange(&http->exchanges[i - 1]);
    }
    configure(http);
    h2o_context_init(&http->context, h2o_evloop_create(), &http->config);
    http->accept_context.ctx = &http->context;
    http->accept_context.hosts = http->config.hosts;
    http->listener = watch_fd(http, options->listener_fd, on_accept, http);
    return http;
}

void http_turn(struct http *http, int32_t wait_ms)
{
    /* What was sent between turns is completed by the next one, after its sleep: it must not
     * sleep, or the next request of a connection would not be read. */
    const int32_t sleep_ms = http->has_responded ? 0 : wait_ms;
    http->has_responded = false;
    (void)h2o_evloop_run(http->context.loop, sleep_ms);
    sweep_late(http);
}

/* h2o does not close what is idle: our end of reading is its end of file. */
static int end_if_idle(h2o_req_t *request, void *unused)
{
    (void)unused;
    if (request->timestamps.request_begin_at.tv_sec == 0)
        (void)shutdown(h2o_socket_get_fd(socket_of(request)), SHUT_RD);
    return 0;
}

void http_drain(struct http *http)
{
    if (http->listener == NULL) return;
    h2o_socket_read_stop(http->listener);
    h2o_socket_close(http->listener);
    http->listener = NULL;
    h2o_context_request_shutdown(&http->context);
    http->config.http1.callbacks.foreach_request(&http->context, end_if_idle, NULL);
}

void http_cut(struct http *http)
{
    for (uint32_t i = 0; i < http->options.connections_max; ++i) {
        struct http_exchange *held = &http->exchanges[i];
        if (held->request == NULL || !held->has_begun) continue;
        h2o_socket_t *socket = socket_of(held->request);
        reset_at_close(socket);
        (void)shutdown(h2o_socket_get_fd(socket), SHUT_RDWR);
    }
}

uint32_t http_connections(const struct http *http)
{
    return http->connections;
}
