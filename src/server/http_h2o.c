/*
 * http_h2o.c: HTTP/1.1 by libh2o, which only the files http_*.c know. What was observed of version
 * 2.2.5 and shapes them is in docs/decisions.
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
 * A body that h2o refuses it answers itself, in text/plain: a filter on the path that it uses for
 * that makes a problem of it. What else it would answer or close past us is in http_wrongs.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http_inner.h"

struct tether {
    struct http_exchange *held; /* NULL once answered */
};

struct http_handler {
    h2o_handler_t base;
    struct http *http;
};

const char *http_reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
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
struct request_id http_name_request(struct http *http, h2o_req_t *request)
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

/* The same key twice is one. */
static void take_key(h2o_req_t *request, struct exchange *exchange)
{
    ssize_t index = -1;
    while ((index = h2o_find_header_by_str(&request->headers, H2O_STRLIT("idempotency-key"),
                                           index)) >= 0) {
        const struct bytes key = header_of(request, index);
        if (exchange->idempotency_key.at == NULL) exchange->idempotency_key = key;
        exchange->has_two_keys |= !bytes_equal(key, exchange->idempotency_key);
    }
}

static h2o_socket_t *socket_of(h2o_req_t *request)
{
    return request->conn->callbacks->get_socket(request->conn);
}

/* ---- answers */

static void park(h2o_socket_t *socket, const h2o_req_t *request)
{
    struct connection *connection = connection_of(socket);
    list_leave(&connection->places[LINE_WAITING]);
    connection->is_parked = true;
    connection->was_parked = false;
    connection->can_be_asked = request->version >= 0x101;
    h2o_socket_dont_read(socket, 1);
    h2o_socket_read_start(socket, http_on_parked_readable);
}

static void unpark(h2o_socket_t *socket)
{
    struct connection *connection = connection_of(socket);
    connection->is_parked = false;
    h2o_socket_dont_read(socket, http_is_ahead(connection));
}

static bool is_head(const h2o_req_t *request)
{
    return h2o_memis(request->method.base, request->method.len, H2O_STRLIT("HEAD"));
}

static struct connection *begin_answer(h2o_req_t *request, size_t bytes)
{
    struct connection *connection = connection_of(socket_of(request));
    list_leave(&connection->places[LINE_WAITING]);
    connection->request = request;
    connection->is_answered = true;
    connection->deadline_ns = 0;
    connection->answer_bytes = bytes;
    return connection;
}

/* The end of an answer, of one that has not begun if there is a generator. The request may be gone
 * on return. */
static void send_last(h2o_req_t *request, h2o_generator_t *generator, h2o_iovec_t *body,
                      h2o_send_state_t state)
{
    struct connection *connection = begin_answer(request, body->len);
    if (generator != NULL) h2o_start_response(request, generator);
    h2o_send(request, body, body->len > 0 ? 1 : 0, state);
    http_stand_between(connection);
    if (connection->answer_bytes > BUFFER_FREE_BYTES) http_hold(connection, true);
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
    http->must_turn = true;
    if (http->listener == NULL) request->http1_is_persistent = 0;
    request->res.status = (int)answer->status;
    request->res.reason = http_reason(answer->status);
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
    request->res.reason = http_reason(answer->status);
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
    held->http->must_turn = true;
    held->is_sending = true;
    struct connection *connection = connection_of(socket_of(held->request));
    connection->deadline_ns = 0;
    h2o_send(held->request, &piece, 1, H2O_SEND_STATE_IN_PROGRESS);
    http_stand_between(connection);
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
    held->http->must_turn = true;
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
        http_reset_at_close(socket_of(request)); /* where no chunk says it (HTTP/1.0): a reset */
    } else if (answer->body.length > 0) {
        body.base = h2o_mem_alloc_pool(&request->pool, answer->body.length);
        body.len = answer->body.length;
        memcpy(body.base, answer->body.at, body.len);
    }
    held->http->must_turn = true;
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
    const struct request_id id = http_name_request(http, request);
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
        respond_problem(http, request, (struct problem){.code = PROBLEM_OVERLOADED});
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
    take_key(request, exchange);
    exchange->accept = header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_ACCEPT, -1));
    exchange->if_none_match =
        header_of(request, h2o_find_header(&request->headers, H2O_TOKEN_IF_NONE_MATCH, -1));
    exchange->authorization = sole_header_of(request, H2O_TOKEN_AUTHORIZATION);
    exchange->traceparent = header_of(
        request, h2o_find_header_by_str(&request->headers, H2O_STRLIT("traceparent"), -1));
    exchange->body = bytes_of(request->entity);
    exchange->taken_ns = clock_monotonic_ns();
    http_note_unread(connection_of(socket_of(request)), exchange);
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
    const struct request_id id = http_name_request(http, request);
    add_request_id(request, &id);
    wire_render_problem(&problem, request_id_bytes(&id), &out);
    ENSURE(!out.overflowed);
    request->res.status = (int)wire_problem_status(problem.code);
    request->res.reason = http_reason((unsigned)request->res.status);
    request->res.content_length = out.used;
    h2o_iovec_t body = h2o_iovec_init((char *)out.at, is_head(request) ? 0 : out.used);
    begin_answer(request, body.len);
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

/* ---- other descriptors */

h2o_socket_t *http_watch_fd(struct http *http, int fd, h2o_socket_cb on_readable, void *data)
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
    (void)http_watch_fd(http, fd, on_watched, watch);
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
    http->network->buffers_bytes_max = options->buffers_bytes_max;
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
        http_give_connection(http, &http->connection_items[i - 1]);
        http->exchanges[i - 1].http = http;
        give_exchange(&http->exchanges[i - 1]);
    }
    configure(http);
    h2o_context_init(&http->context, h2o_evloop_create(), &http->config);
    http->accept_context.ctx = &http->context;
    http->accept_context.hosts = http->config.hosts;
    http->swept_ns = clock_monotonic_ns();
    if (options->tls != NULL) http_set_tls(http, options->tls);
    http->listener = http_watch_fd(http, options->listener_fd, http_on_accept, http);
    return http;
}

void http_turn(struct http *http, int32_t wait_ms)
{
    /* What was sent between turns is completed by the next one, after its sleep: it must not
     * sleep, or the next request of a connection would not be read. */
    const int32_t sleep_ms = http->must_turn ? 0 : wait_ms;
    http->must_turn = false;
    http->shake_steps = HANDSHAKE_STEPS_PER_TURN;
    http->shake_begins = HANDSHAKE_BEGINS_PER_TURN;
    (void)h2o_evloop_run(http->context.loop, sleep_ms);
    http_sweep(http);
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
    for (enum line_of which = LINE_HELLO; which <= LINE_SHAKING; ++which)
        while (list_first(&http->lines[which]) != NULL)
            http_tls_give_up(list_first(&http->lines[which]));
    http->config.http1.callbacks.foreach_request(&http->context, end_if_idle, NULL);
}

void http_cut(struct http *http)
{
    struct connection *connection = list_first(&http->lines[LINE_WAITING]);
    while (connection != NULL) {
        struct connection *after = list_after(&connection->places[LINE_WAITING]);
        if (http_is_reading(connection) && connection->socket->input->size > 0)
            http_refuse_unfinished(connection, (struct problem){.code = PROBLEM_STOPPING});
        connection = after;
    }
    for (uint32_t i = 0; i < http->options.connections_max; ++i) {
        struct http_exchange *held = &http->exchanges[i];
        if (held->request == NULL || !held->has_begun) continue;
        http_reset(connection_of(socket_of(held->request)));
    }
}

uint32_t http_connections(const struct http *http)
{
    return http->connections;
}
