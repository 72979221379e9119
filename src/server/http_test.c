/*
 * http_test.c: the HTTP front end over real loopback sockets, with a stand-in for the loop that
 * parks every exchange until the test answers it. One thread: the test is client and server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/http.h"
#include "server/http_inner.h"
#include "server/listener.h"

enum { TURNS_MAX = 400, CONNECTIONS_MAX = 4 };

/* h2o's state cannot be taken down again: one front end serves all tests but the last. */
static struct http *http;
static struct metrics_network usual_counts;
static struct metrics_network other_counts;
static const struct metrics_network *counted = &usual_counts;
static struct listener_address address;
static struct exchange_queue parked;

static void park(void *self, struct exchange *exchange)
{
    (void)self;
    exchange_queue_add(&parked, exchange);
}

static int open_front_end(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_true(listener_parse("127.0.0.1:0", &address));
    const int fd = listener_open(&address);
    assert_true(fd >= 0);
    http = http_open(&(struct http_options){.listener_fd = fd,
                                            .connections_max = CONNECTIONS_MAX,
                                            .request_timeout_ms = REQUEST_TIMEOUT_MS_DEFAULT / 5,
                                            .write_timeout_ms = WRITE_TIMEOUT_MS_DEFAULT,
                                            .buffers_bytes_max = BUFFERS_BYTES_DEFAULT,
                                            .network = &usual_counts,
                                            .take = park});
    assert_non_null(http);
    return 0;
}

static int connect_client(void)
{
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons(address.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&server, sizeof(server)), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Turns until the queue holds so many, within bounds. */
static void turn_until_parked(uint32_t count)
{
    for (int i = 0; i < TURNS_MAX && parked.count < count; ++i)
        http_turn(http, 10);
    assert_int_equal(parked.count, count);
}

static void turn_until_connections(uint32_t count)
{
    for (int i = 0; i < TURNS_MAX && http_connections(http) != count; ++i)
        http_turn(http, 10);
    assert_int_equal(http_connections(http), count);
}

static void answer_next(unsigned status, const char *body)
{
    struct exchange *exchange = exchange_queue_take(&parked);
    assert_non_null(exchange);
    exchange->answer = (struct answer){
        .status = status, .content_type = "application/json", .body = bytes_of_text(body)};
    exchange->send(exchange);
}

/* Gives the exchange parked first a piece, to be followed by another. */
static struct exchange *send_piece(const char *text, size_t length)
{
    struct exchange *exchange = exchange_queue_take(&parked);
    assert_non_null(exchange);
    assert_false(exchange->is_gone);
    exchange->answer = (struct answer){
        .status = 200,
        .content_type = "text/csv",
        .body = {(const uint8_t *)text, length},
        .has_more = true
    };
    exchange->send(exchange);
    return exchange;
}

/* Reads until the text holds what is expected, or the other end closes. */
static void expect(int fd, const char *expected)
{
    char text[16384];
    size_t used = 0;
    for (int i = 0; i < TURNS_MAX; ++i) {
        http_turn(http, 10);
        const ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, MSG_DONTWAIT);
        if (got > 0) used += (size_t)got;
        text[used] = '\0';
        if (strstr(text, expected) != NULL) return;
        if (got == 0) break;
    }
    print_error("expected %s in: %s\n", expected, text);
    fail();
}

static void expect_end(int fd)
{
    char text[16384];
    for (int i = 0; i < TURNS_MAX; ++i) {
        http_turn(http, 10);
        const ssize_t got = recv(fd, text, sizeof(text), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET)) return;
    }
    fail();
}

/* All there is until the other end closes. */
static void receive_all(int fd, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < TURNS_MAX; ++i) {
        http_turn(http, 10);
        const ssize_t got = recv(fd, text + used, size - 1 - used, MSG_DONTWAIT);
        if (got > 0) used += (size_t)got;
        text[used] = '\0';
        if (got == 0 || (got < 0 && errno == ECONNRESET)) return;
    }
    print_error("no end after: %s\n", text);
    fail();
}

static void close_client(int fd)
{
    (void)close(fd);
    turn_until_connections(0);
}

static bool is_text(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_of_text(text));
}

static void a_request_becomes_an_exchange(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "POST /v1/a%20b/c?x=1&y=%20 HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
                    "Idempotency-Key: k1\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nbo");
    for (int i = 0; i < 10; ++i)
        http_turn(http, 1);
    assert_int_equal(parked.count, 0);
    client_send(fd, "dy");
    turn_until_parked(1);
    const struct exchange *exchange = parked.first;
    assert_true(is_text(exchange->method, "POST"));
    assert_true(is_text(exchange->path, "/v1/a%20b/c"));
    assert_true(is_text(exchange->query, "x=1&y=%20"));
    assert_true(is_text(exchange->content_type, "text/plain"));
    assert_true(is_text(exchange->content_encoding, "br"));
    assert_true(is_text(exchange->idempotency_key, "k1"));
    assert_true(is_text(exchange->body, "body"));
    answer_next(409, "{\"a\":1}");
    expect(fd, "HTTP/1.1 409 Conflict\r\n");
    close_client(fd);
}

static void what_is_absent_is_told_from_what_is_empty(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /? HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    assert_null(parked.first->content_type.at);
    assert_null(parked.first->content_encoding.at);
    assert_null(parked.first->idempotency_key.at);
    assert_int_equal(parked.first->query.length, 0);
    assert_int_equal(parked.first->body.length, 0);
    answer_next(200, "x");
    expect(fd, "\r\n\r\nx");
    client_send(fd, "GET / HTTP/1.1\r\nHost: a\r\nIdempotency-Key:\r\n\r\n");
    turn_until_parked(1);
    assert_non_null(parked.first->idempotency_key.at);
    assert_int_equal(parked.first->idempotency_key.length, 0);
    answer_next(200, "y");
    expect(fd, "\r\n\r\ny");
    close_client(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    assert_true(is_text(parked.first->path, "/1"));
    answer_next(200, "twelve bytes");
    turn_until_parked(1);
    assert_true(is_text(parked.first->path, "/2"));
    answer_next(200, "second");
    /* The answer to HEAD has a length and no body, so the next one starts right behind it. */
    expect(fd, "\r\n\r\nHTTP/1.1 200 OK\r\n");
    close_client(fd);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

static void an_answer_says_what_its_request_is_called(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\ntraceparent: 00-" TRACE
                    "-00f067aa0ba902b7-01\r\n\r\n");
    turn_until_parked(1);
    assert_memory_equal(parked.first->request_id.text, TRACE, REQUEST_ID_LENGTH);
    answer_next(200, "first");
    expect(fd, "x-request-id: " TRACE "\r\n");
    client_send(fd, "GET /2 HTTP/1.1\r\nHost: a\r\ntraceparent: 00-" TRACE "-01\r\n\r\n");
    turn_until_parked(1);
    char made[64];
    (void)snprintf(made, sizeof(made), "x-request-id: %.32s\r\n", parked.first->request_id.text);
    assert_null(strstr(made, TRACE));
    answer_next(200, "second");
    expect(fd, made);
    close_client(fd);
}

/* Also where no exchange was made of it, and where h2o answers itself. */
static void what_is_refused_early_is_called_by_its_trace_too(void **state)
{
    (void)state;
    int fd = connect_client();
    client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-" TRACE
                    "-00f067aa0ba902b7-01\r\nContent-Length: 99999999\r\n\r\n");
    expect(fd, "\"request_id\":\"" TRACE "\"");
    close_client(fd);
    fd = connect_client();
    client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\ntraceparent: 00-" TRACE
                    "-00f067aa0ba902b7-01\r\nTransfer-Encoding: gzip\r\n\r\nabc");
    expect(fd, "x-request-id: " TRACE "\r\n");
    close_client(fd);
}

static void after_an_answer_the_next_request_needs_no_sleep_to_be_read(void **state)
{
    (void)state;
    enum { LONG_MS = 600000 }; /* whoever sleeps here fails by the test's own time limit */
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    http_turn(http, 1); /* the front end notes that it does not read for now */
    answer_next(200, "first");
    client_send(fd, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 3 && parked.count == 0; ++i)
        http_turn(http, LONG_MS);
    assert_int_equal(parked.count, 1);
    answer_next(200, "second");
    close_client(fd);
}

static void what_http_refuses_itself_is_a_problem_too(void **state)
{
    (void)state;
    int fd = connect_client();
    client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    expect(fd, "\"code\":\"too_large\"");
    expect_end(fd);
    close_client(fd);
    fd = connect_client();
    client_send(fd, "GET /");
    for (int i = 0; i < 9; ++i) {
        char piece[1001];
        memset(piece, 'a', sizeof(piece) - 1);
        piece[sizeof(piece) - 1] = '\0';
        client_send(fd, piece);
    }
    client_send(fd, " HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, "\"code\":\"target_too_long\"");
    close_client(fd);
}

/* One connection: sends, perhaps ends its side, and must be told this before the other end closes.
 */
static void refused(struct bytes sent, bool is_ended, const char *status, const char *field)
{
    char expected[128];
    const int fd = connect_client();
    assert_int_equal(send(fd, sent.at, sent.length, 0), (ssize_t)sent.length);
    if (is_ended) assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)snprintf(expected, sizeof(expected), "HTTP/1.1 %s\r\n", status);
    char text[4096];
    receive_all(fd, text, sizeof(text));
    if (strstr(text, expected) != text) print_error("sent %s\n", (const char *)sent.at);
    assert_memory_equal(text, expected, strlen(expected));
    assert_non_null(strstr(text, "\r\ncontent-type: application/problem+json\r\n"));
    assert_non_null(strstr(text, "\r\nx-request-id: "));
    assert_non_null(strstr(text, "\"request_id\":\""));
    (void)snprintf(expected, sizeof(expected), "\"field\":\"%s\"", field);
    if (strstr(text, expected) == NULL) print_error("no %s in %s\n", expected, text);
    assert_non_null(strstr(text, expected));
    assert_int_equal(parked.count, 0);
    close_client(fd);
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

static void what_cannot_be_a_request_is_told_as_a_problem(void **state)
{
    (void)state;
    const struct {
        struct bytes sent;
        const char *field;
    } rows[] = {
        {                                                      BYTES("garbage\r\n\r\n"),"request"                                                                                        },
        {                                     BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),           "request"},
        {                                        BYTES("GET / HTTP/1.1\r\n: x\r\n\r\n"),           "request"},
        {                                         BYTES("\x16\x03\x01\x02\x00\x01\x00"),           "request"},
        {                 BYTES(POST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"),              "body"},
        {                              BYTES(POST "Transfer-Encoding: gzip\r\n\r\nabc"), "Transfer-Encoding"},
        {                                     BYTES(POST "Content-Length: 1x\r\n\r\na"),    "Content-Length"},
        {                BYTES(POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),    "Content-Length"},
        {BYTES(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
         "Content-Length"                                                                                   },
        {                      BYTES(POST "Expect: gold\r\nContent-Length: 1\r\n\r\na"),            "Expect"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); ++i)
        refused(rows[i].sent, false, "400 Bad Request", rows[i].field);
}

static void a_request_that_ends_before_it_is_whole_is_told_so(void **state)
{
    (void)state;
    const struct {
        struct bytes sent;
        const char *field;
    } rows[] = {
        {                                                     BYTES("P"), "request"},
        {                                                    BYTES(POST), "request"},
        {                  BYTES(POST "Content-Length: 9\r\n\r\n{\"a\""),    "body"},
        {        BYTES(POST "Transfer-Encoding: chunked\r\n\r\n5\r\nab"),    "body"},
        {BYTES(POST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"),    "body"},
    };
    for (size_t i = 0; i < COUNT_OF(rows) - 1; ++i)
        refused(rows[i].sent, true, "400 Bad Request", rows[i].field);
    const int fd = connect_client();
    const struct bytes sent = rows[COUNT_OF(rows) - 1].sent;
    assert_int_equal(send(fd, sent.at, sent.length, 0), (ssize_t)sent.length);
    expect(fd, "100 Continue\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect(fd, "HTTP/1.1 400 Bad Request\r\n");
    close_client(fd);
}

static void heads_beyond_their_ceilings_are_told_which(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_BYTES_MAX + 4096];
    size_t used = (size_t)snprintf(text, sizeof(text), "GET /");
    memset(text + used, 'a', HTTP_HEAD_BYTES_MAX);
    refused((struct bytes){(uint8_t *)text, HTTP_HEAD_BYTES_MAX + 5}, false, "414 URI Too Long",
            "path");
    used = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\na: ");
    memset(text + used, 'a', HTTP_HEAD_BYTES_MAX);
    refused((struct bytes){(uint8_t *)text, HTTP_HEAD_BYTES_MAX + 8}, false,
            "431 Request Header Fields Too Large", "headers");
    used = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i <= HTTP_HEADERS_MAX; ++i)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "h%u: x\r\n", i);
    used += (size_t)snprintf(text + used, sizeof(text) - used, "\r\n");
    refused((struct bytes){(uint8_t *)text, used}, false, "431 Request Header Fields Too Large",
            "headers");
}

static void what_follows_a_request_is_judged_like_the_first(void **state)
{
    (void)state;
    static const char *const whole[] = {
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", POST "Content-Length: 2\r\n\r\nab",
        POST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(whole); ++i) {
        for (unsigned at_once = 0; at_once < 2; ++at_once) {
            const int fd = connect_client();
            client_send(fd, whole[i]);
            if (at_once) client_send(fd, "nonsense\r\n\r\n");
            turn_until_parked(1);
            answer_next(200, "first");
            if (!at_once) expect(fd, "\r\n\r\nfirst");
            if (!at_once) client_send(fd, "nonsense\r\n\r\n");
            char text[4096];
            receive_all(fd, text, sizeof(text));
            assert_non_null(strstr(text, "application/problem+json"));
            close_client(fd);
        }
    }
}

/* Sends pieces to a client that does not read, until one does not get out. */
static struct exchange *send_until_stuck(void)
{
    static char piece[65536];
    memset(piece, 'x', sizeof(piece));
    struct exchange *exchange = NULL;
    for (int i = 0; i < 4096; ++i) {
        exchange = send_piece(piece, sizeof(piece));
        for (int turn = 0; turn < 4 && parked.count == 0; ++turn)
            http_turn(http, 5);
        if (parked.count == 0) return exchange;
    }
    fail();
    return NULL;
}

/* Another front end beside the one that serves the other tests, until close_other. */
static struct http *usual;
static struct listener_address usual_address;

static void open_other(struct http_options options)
{
    usual = http;
    usual_address = address;
    assert_true(listener_parse("127.0.0.1:0", &address));
    options.listener_fd = listener_open(&address);
    assert_true(options.listener_fd >= 0);
    options.connections_max = CONNECTIONS_MAX;
    options.take = park;
    other_counts = (struct metrics_network){0};
    options.network = &other_counts;
    counted = &other_counts;
    if (options.request_timeout_ms == 0) options.request_timeout_ms = REQUEST_TIMEOUT_MS_DEFAULT;
    if (options.write_timeout_ms == 0) options.write_timeout_ms = WRITE_TIMEOUT_MS_DEFAULT;
    if (options.buffers_bytes_max == 0) options.buffers_bytes_max = BUFFERS_BYTES_DEFAULT;
    http = http_open(&options);
    assert_non_null(http);
}

static void close_other(void)
{
    turn_until_connections(0);
    assert_int_equal(counted->buffers_bytes, 0);
    http_drain(http);
    http = usual;
    counted = &usual_counts;
    address = usual_address;
}

static void a_request_that_takes_too_long_is_told_so(void **state)
{
    (void)state;
    open_other((struct http_options){.request_timeout_ms = 200});
    refused(BYTES("GET / HT"), false, "408 Request Timeout", "request");
    refused(BYTES(POST "Content-Length: 9\r\n\r\n{"), false, "408 Request Timeout", "body");
    const int idle = connect_client();
    client_send(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    for (int i = 0; i < 40; ++i)
        http_turn(http, 10); /* the request is in: now it is the answer that takes its time */
    answer_next(200, "late");
    expect(idle, "late");
    expect_end(idle);
    (void)close(idle);
    close_other();
}

/* Sends a head that promises a body, and so many bytes of it. */
static void send_part_of_body(int fd, size_t promised, size_t sent)
{
    char text[128];
    static char body[64 << 10];
    assert_true(sent <= sizeof(body));
    memset(body, 'b', sizeof(body));
    if (promised > 0) {
        (void)snprintf(text, sizeof(text), POST "Content-Length: %zu\r\n\r\n", promised);
        client_send(fd, text);
    }
    assert_int_equal(send(fd, body, sent, 0), (ssize_t)sent);
}

static void turn_until_held(uint64_t bytes)
{
    for (int i = 0; i < TURNS_MAX && counted->buffers_bytes < bytes; ++i)
        http_turn(http, 5);
    assert_true(counted->buffers_bytes >= bytes);
}

static void large_requests_have_a_ceiling_in_sum(void **state)
{
    (void)state;
    open_other((struct http_options){.buffers_bytes_max = 120 << 10});
    const int slow = connect_client();
    send_part_of_body(slow, 64 << 10, 40 << 10);
    turn_until_held(40 << 10);
    const int small = connect_client();
    const int quick = connect_client();
    send_part_of_body(quick, 60 << 10, 59 << 10);
    expect(slow, "\"code\":\"overloaded\"");
    expect_end(slow);
    assert_int_equal(counted->out_of_buffers, 1);
    client_send(small, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "small ones pass");
    expect(small, "small ones pass");
    send_part_of_body(quick, 0, 1 << 10);
    turn_until_parked(1);
    assert_int_equal(parked.first->body.length, 60 << 10);
    answer_next(200, "quick");
    expect(quick, "quick");
    /* Alone beyond the ceiling: nobody else can give way. */
    send_part_of_body(quick, 300 << 10, 63 << 10);
    turn_until_held(64 << 10);
    send_part_of_body(quick, 0, 63 << 10);
    expect(quick, "\"code\":\"overloaded\"");
    (void)close(slow);
    (void)close(quick);
    (void)close(small);
    close_other();
}

static void answer_large(void)
{
    static char body[24 << 20];
    struct exchange *exchange = exchange_queue_take(&parked);
    memset(body, 'a', sizeof(body));
    exchange->answer = (struct answer){
        .status = 200, .content_type = "text/plain", .body = {(const uint8_t *)body, sizeof(body)}
    };
    exchange->send(exchange);
}

static void answers_that_nobody_takes_count_in_the_sum(void **state)
{
    (void)state;
    char text[65536];
    open_other((struct http_options){.buffers_bytes_max = 30 << 20});
    const int first = connect_client();
    client_send(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_large();
    turn_until_held(24 << 20);
    const int second = connect_client();
    client_send(second, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_large();
    turn_until_connections(1);
    assert_int_equal(counted->readers_cut, 1);
    assert_int_equal(counted->buffers_bytes, 24 << 20);
    size_t got = 0;
    for (int i = 0; i < 100 * TURNS_MAX && got < (24 << 20); ++i) {
        http_turn(http, 0);
        const ssize_t more = recv(second, text, sizeof(text), MSG_DONTWAIT);
        if (more > 0) got += (size_t)more;
    }
    assert_true(got > (24 << 20));
    (void)close(first);
    (void)close(second);
    close_other();
}

static void an_answer_that_nobody_takes_in_time_is_cut(void **state)
{
    (void)state;
    open_other((struct http_options){.write_timeout_ms = 200});
    const int fd = connect_client();
    client_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)send_until_stuck();
    turn_until_parked(1); /* back from the network: its reader is gone */
    assert_true(parked.first->is_gone);
    assert_int_equal(counted->readers_cut, 1);
    answer_next(200, "");
    (void)close(fd);
    close_other();
}

static void a_length_that_is_none_is_not_called_a_wrong_body(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n");
    expect(fd, "\"code\":\"bad_request\"");
    expect_end(fd);
    close_client(fd);
}

/* A request whose one header, of this name, makes its headers so long in all. */
static void send_headers_of(int fd, const char *name, size_t bytes)
{
    static char value[HTTP_HEADERS_BYTES_MAX + 2];
    const size_t length = bytes - strlen(name);
    assert_true(length < sizeof(value));
    memset(value, 'v', length);
    value[length] = '\0';
    client_send(fd, "GET / HTTP/1.1\r\n");
    client_send(fd, name);
    client_send(fd, ": ");
    client_send(fd, value);
    client_send(fd, "\r\n\r\n");
}

static void headers_have_a_ceiling(void **state)
{
    (void)state;
    static const char *const names[] = {"x-long", "host"};
    for (size_t i = 0; i < COUNT_OF(names); ++i) {
        const int fd = connect_client();
        send_headers_of(fd, names[i], HTTP_HEADERS_BYTES_MAX - 16);
        turn_until_parked(1);
        answer_next(200, "within");
        expect(fd, "within");
        send_headers_of(fd, names[i], HTTP_HEADERS_BYTES_MAX + 1 + strlen(names[i]));
        expect(fd, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
        assert_int_equal(parked.count, 0);
        close_client(fd);
    }
}

static void nonsense_ends_only_its_own_connection(void **state)
{
    (void)state;
    static const char *const texts[] = {"garbage\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"};
    const int good = connect_client();
    for (size_t i = 0; i < COUNT_OF(texts); ++i) {
        const int fd = connect_client();
        client_send(fd, texts[i]);
        expect(fd, "HTTP/1.1 400 Bad Request");
        expect_end(fd);
        (void)close(fd);
    }
    client_send(good, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "fine");
    expect(good, "fine");
    close_client(good);
}

static void a_client_that_left_costs_nothing(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)close(fd);
    for (int i = 0; i < 10; ++i)
        http_turn(http, 1);
    answer_next(200, "to nobody");
    turn_until_connections(0);
}

static void past_the_ceiling_newcomers_are_turned_away_while_all_are_at_work(void **state)
{
    (void)state;
    int fds[CONNECTIONS_MAX];
    char text[4096];
    for (size_t i = 0; i < COUNT_OF(fds); ++i) {
        fds[i] = connect_client();
        client_send(fds[i], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    turn_until_parked(CONNECTIONS_MAX);
    const int newcomer = connect_client();
    client_send(newcomer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    receive_all(newcomer, text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_non_null(strstr(text, "\"code\":\"overloaded\""));
    assert_non_null(strstr(text, "retry-after: "));
    assert_int_equal(counted->turned_away, 1);
    assert_int_equal(parked.count, CONNECTIONS_MAX);
    for (size_t i = 0; i < CONNECTIONS_MAX; ++i)
        answer_next(200, "served");
    for (size_t i = 0; i < CONNECTIONS_MAX; ++i) {
        expect(fds[i], "served");
        (void)close(fds[i]);
    }
    (void)close(newcomer);
    turn_until_connections(0);
}

/* Tries until the newcomer is let in: nobody gives way before he has waited for a while. */
static int connect_served(void)
{
    char text[4096];
    for (int i = 0; i < TURNS_MAX; ++i) {
        const int fd = connect_client();
        client_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int turn = 0; turn < 20 && parked.count == 0; ++turn)
            http_turn(http, 5);
        if (parked.count == 1) return fd;
        receive_all(fd, text, sizeof(text));
        (void)close(fd);
    }
    fail();
    return -1;
}

static void past_the_ceiling_who_waits_longest_gives_way(void **state)
{
    (void)state;
    int fds[CONNECTIONS_MAX];
    for (size_t i = 0; i < COUNT_OF(fds); ++i) {
        fds[i] = connect_client();
        turn_until_connections((uint32_t)i + 1);
    }
    /* The first is the oldest, but sends and so begins to wait anew; the second has begun. */
    client_send(fds[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "first");
    expect(fds[0], "first");
    client_send(fds[1], "GET / HT");
    const int newcomer = connect_served();
    expect(fds[1], "\"code\":\"overloaded\"");
    expect_end(fds[1]);
    const int another = connect_client(); /* idle: no word */
    for (int i = 0; i < TURNS_MAX && counted->shed < 2; ++i)
        http_turn(http, 5);
    char text[4096];
    receive_all(fds[2], text, sizeof(text));
    assert_string_equal(text, "");
    answer_next(200, "newcomer");
    expect(newcomer, "newcomer");
    client_send(fds[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "again");
    expect(fds[0], "again");
    (void)close(another);
    (void)close(newcomer);
    for (size_t i = 0; i < COUNT_OF(fds); ++i)
        (void)close(fds[i]);
    turn_until_connections(0);
}

static void an_answer_in_pieces_asks_for_the_next_when_one_is_out(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    struct exchange *exchange = send_piece("first", 5);
    assert_int_equal(parked.count, 0);
    turn_until_parked(1);
    assert_ptr_equal(parked.first, exchange);
    (void)send_piece("second", 6);
    turn_until_parked(1);
    assert_ptr_equal(parked.first, exchange);
    answer_next(200, "third");
    expect(fd, "transfer-encoding: chunked\r\n");
    turn_until_parked(1);
    assert_true(is_text(parked.first->path, "/2"));
    answer_next(200, "after");
    expect(fd, "after");
    close_client(fd);
}

static void pieces_arrive_in_order_and_whole(void **state)
{
    (void)state;
    int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)send_piece("first", 5);
    turn_until_parked(1);
    (void)send_piece("second", 6);
    turn_until_parked(1);
    answer_next(200, "");
    expect(fd, "\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n");
    close_client(fd);
    /* Where chunks are unknown, the end is the connection's, whatever the client asked for. */
    fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    turn_until_parked(1);
    (void)send_piece("first", 5);
    turn_until_parked(1);
    answer_next(200, "");
    expect(fd, "\r\ncontent-type: text/csv\r\n\r\nfirst");
    expect_end(fd);
    close_client(fd);
}

static void head_is_answered_without_pieces(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    struct exchange *exchange = send_piece("first", 5);
    assert_int_equal(parked.count, 1);
    assert_ptr_equal(parked.first, exchange);
    assert_true(exchange->is_gone);
    answer_next(200, "");
    client_send(fd, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "after");
    /* No body stands between the two. */
    expect(fd, "content-type: text/csv\r\n\r\nHTTP/1.1 200 OK\r\n");
    close_client(fd);
}

static void a_reader_who_stops_is_sent_no_more_and_gone_gives_it_back(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    struct exchange *exchange = send_until_stuck();
    assert_false(exchange->is_gone);
    const int other = connect_client();
    client_send(other, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    answer_next(200, "others go on");
    expect(other, "others go on");
    (void)close(fd);
    turn_until_parked(1);
    assert_ptr_equal(parked.first, exchange);
    assert_true(exchange->is_gone);
    answer_next(200, "");
    (void)close(other);
    turn_until_connections(0);
}

static void a_reader_who_leaves_between_pieces_is_noticed_at_the_next(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    struct exchange *exchange = send_piece("first", 5);
    turn_until_parked(1);
    (void)close(fd);
    for (int i = 0; i < TURNS_MAX && !exchange->is_gone; ++i) {
        if (parked.count > 0) (void)send_piece("more", 4);
        http_turn(http, 5);
    }
    assert_true(exchange->is_gone);
    assert_int_equal(parked.count, 1);
    answer_next(200, "");
    turn_until_connections(0);
}

static void turn_until_gone(struct exchange *exchange)
{
    for (int i = 0; i < TURNS_MAX && !exchange->is_gone; ++i)
        http_turn(http, 10);
    assert_true(exchange->is_gone);
}

static void a_client_that_closes_before_its_answer_is_noticed(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)close(fd);
    turn_until_gone(parked.first);
    assert_int_equal(http_connections(http), 0);
    answer_next(200, "for nobody");
}

static void a_client_that_resets_before_its_answer_is_noticed(void **state)
{
    (void)state;
    const struct linger at_once = {.l_onoff = 1};
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.0\r\n\r\n");
    turn_until_parked(1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    (void)close(fd);
    turn_until_gone(parked.first);
    answer_next(200, "for nobody");
}

static void a_client_that_leaves_between_pieces_is_noticed_without_another(void **state)
{
    (void)state;
    const int fd = connect_client();
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    struct exchange *exchange = send_piece("first", 5);
    turn_until_parked(1);
    (void)close(fd); /* with the piece unread */
    turn_until_gone(exchange);
    answer_next(200, "");
}

/* The answer's first line is what it waits for; an interim answer before it is no answer. */
static void who_ends_his_requests_alone_is_answered(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /1 HTTP/1.0\r\n\r\n"};
    char text[4096];
    for (size_t i = 0; i < COUNT_OF(requests); ++i) {
        const bool is_asked = i == 0;
        const int fd = connect_client();
        client_send(fd, requests[i]);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn_until_parked(1);
        if (is_asked) {
            expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
            expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        } else {
            for (int turn = 0; turn < TURNS_MAX / 2; ++turn)
                http_turn(http, 10);
        }
        assert_false(parked.first->is_gone);
        answer_next(200, "to a listener");
        receive_all(fd, text, sizeof(text));
        assert_non_null(strstr(text, "to a listener"));
        assert_int_equal(strstr(text, "100 Continue") != NULL, 0);
        close_client(fd);
    }
}

/* Reads to the end; whether the connection was reset. */
static bool ends_by_reset(int fd, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < TURNS_MAX; ++i) {
        http_turn(http, 10);
        const ssize_t got = recv(fd, text + used, size - 1 - used, MSG_DONTWAIT);
        if (got > 0) used += (size_t)got;
        text[used] = '\0';
        if (got == 0) return false;
        if (got < 0 && errno == ECONNRESET) return true;
    }
    fail();
    return false;
}

static void a_cut_answer_does_not_look_whole(void **state)
{
    (void)state;
    static const char *const requests[] = {"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /1 HTTP/1.0\r\n\r\n"};
    char text[4096];
    for (size_t i = 0; i < COUNT_OF(requests); ++i) {
        const int fd = connect_client();
        client_send(fd, requests[i]);
        turn_until_parked(1);
        (void)send_piece("first", 5);
        turn_until_parked(1);
        struct exchange *exchange = exchange_queue_take(&parked);
        exchange->answer = (struct answer){.is_cut = true};
        exchange->send(exchange);
        assert_true(ends_by_reset(fd, text, sizeof(text)));
        assert_null(strstr(text, "\r\n0\r\n"));
        close_client(fd);
    }
}

static void cutting_ends_the_answers_under_way_alone(void **state)
{
    (void)state;
    char text[4096];
    const int stuck = connect_client();
    client_send(stuck, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)send_until_stuck();
    const int lent = connect_client();
    client_send(lent, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    (void)send_piece("first", 5);
    turn_until_parked(1);
    struct exchange *with_the_loop = exchange_queue_take(&parked);
    const int plain = connect_client();
    client_send(plain, "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    http_cut(http);
    turn_until_parked(2);
    assert_false(parked.first->is_gone);
    answer_next(200, "plain goes on");
    expect(plain, "plain goes on");
    assert_true(parked.first->is_gone);
    answer_next(200, "");
    exchange_queue_add(&parked, with_the_loop);
    answer_next(200, "too late");
    turn_until_connections(1);
    (void)ends_by_reset(lent, text, sizeof(text));
    assert_null(strstr(text, "\r\n0\r\n"));
    (void)close(stuck);
    (void)close(lent);
    close_client(plain);
}

static void draining_answers_what_was_read_and_closes_the_rest(void **state)
{
    (void)state;
    const int idle = connect_client();
    const int busy = connect_client();
    client_send(busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn_until_parked(1);
    turn_until_connections(2);
    http_drain(http);
    expect_end(idle);
    assert_int_equal(http_connections(http), 1);
    answer_next(200, "last words");
    expect(busy, "last words");
    expect_end(busy);
    turn_until_connections(0);
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons(address.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (const struct sockaddr *)&server, sizeof(server)), -1);
    (void)close(late);
    (void)close(idle);
    (void)close(busy);
}

static void addresses_are_numbers_with_a_port(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",         "127.0.0.1", ":80",       "127.0.0.1:",      "host:80", "127.0.0.1:x",
        "1.2.3:80", "::1:80",    "[::1]:80x", "127.0.0.1:65536", "[]:80",   "127.0.0.1:-1"};
    struct listener_address parsed;
    char text[LISTENER_TEXT_SIZE];
    for (size_t i = 0; i < COUNT_OF(wrong); ++i)
        assert_false(listener_parse(wrong[i], &parsed));
    assert_true(listener_parse("[::1]:0", &parsed));
    assert_true(listener_is_loopback(&parsed));
    assert_true(listener_parse("localhost:7878", &parsed));
    assert_true(listener_is_loopback(&parsed));
    listener_format(&parsed, text);
    assert_string_equal(text, "127.0.0.1:7878");
    assert_true(listener_parse("[2001:db8::1]:65535", &parsed));
    assert_false(listener_is_loopback(&parsed));
    listener_format(&parsed, text);
    assert_string_equal(text, "[2001:db8::1]:65535");
    assert_true(listener_parse("0.0.0.0:1", &parsed));
    assert_false(listener_is_loopback(&parsed));
}

static void every_status_of_a_problem_has_a_reason(void **state)
{
    static const unsigned statuses[] = {
#define X(name, code, status, title) status,
        PROBLEM_TABLE(X)
#undef X
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(statuses); ++i)
        if (strcmp(http_reason(statuses[i]), "Answer") == 0) fail_msg("%u has none", statuses[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_numbers_with_a_port),
        cmocka_unit_test(a_request_becomes_an_exchange),
        cmocka_unit_test(what_is_absent_is_told_from_what_is_empty),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(after_an_answer_the_next_request_needs_no_sleep_to_be_read),
        cmocka_unit_test(an_answer_says_what_its_request_is_called),
        cmocka_unit_test(what_is_refused_early_is_called_by_its_trace_too),
        cmocka_unit_test(what_http_refuses_itself_is_a_problem_too),
        cmocka_unit_test(a_length_that_is_none_is_not_called_a_wrong_body),
        cmocka_unit_test(what_cannot_be_a_request_is_told_as_a_problem),
        cmocka_unit_test(a_request_that_ends_before_it_is_whole_is_told_so),
        cmocka_unit_test(heads_beyond_their_ceilings_are_told_which),
        cmocka_unit_test(what_follows_a_request_is_judged_like_the_first),
        cmocka_unit_test(a_request_that_takes_too_long_is_told_so),
        cmocka_unit_test(headers_have_a_ceiling),
        cmocka_unit_test(every_status_of_a_problem_has_a_reason),
        cmocka_unit_test(nonsense_ends_only_its_own_connection),
        cmocka_unit_test(a_client_that_left_costs_nothing),
        cmocka_unit_test(past_the_ceiling_newcomers_are_turned_away_while_all_are_at_work),
        cmocka_unit_test(past_the_ceiling_who_waits_longest_gives_way),
        cmocka_unit_test(large_requests_have_a_ceiling_in_sum),
        cmocka_unit_test(answers_that_nobody_takes_count_in_the_sum),
        cmocka_unit_test(an_answer_that_nobody_takes_in_time_is_cut),
        cmocka_unit_test(an_answer_in_pieces_asks_for_the_next_when_one_is_out),
        cmocka_unit_test(pieces_arrive_in_order_and_whole),
        cmocka_unit_test(head_is_answered_without_pieces),
        cmocka_unit_test(a_reader_who_stops_is_sent_no_more_and_gone_gives_it_back),
        cmocka_unit_test(a_reader_who_leaves_between_pieces_is_noticed_at_the_next),
        cmocka_unit_test(a_client_that_closes_before_its_answer_is_noticed),
        cmocka_unit_test(a_client_that_resets_before_its_answer_is_noticed),
        cmocka_unit_test(a_client_that_leaves_between_pieces_is_noticed_without_another),
        cmocka_unit_test(who_ends_his_requests_alone_is_answered),
        cmocka_unit_test(a_cut_answer_does_not_look_whole),
        cmocka_unit_test(cutting_ends_the_answers_under_way_alone),
        cmocka_unit_test(draining_answers_what_was_read_and_closes_the_rest),
    };
    return cmocka_run_group_tests(tests, open_front_end, NULL);
}
