/*
 * grpc_test.c: the gRPC front end over real loopback sockets, with a stand-in for the loop that
 * parks every exchange until the test answers it, and frames written by hand. One thread: the test
 * is client and server.
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
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/grpc.h"
#include "server/grpc_inner.h"
#include "server/listener.h"

enum { TURNS_MAX = 60000, CALLS_MAX = 4, TIME_MS = 100, CHECK_PATH_BYTES = 19 };

struct scene {
    struct grpc *grpc;
    struct metrics_network network;
    struct listener_address address;
    struct exchange_queue parked;
};

static void park(void *self, struct exchange *exchange)
{
    struct scene *scene = self;
    exchange_queue_add(&scene->parked, exchange);
}

static struct grpc_options usual(void)
{
    return (struct grpc_options){.terms.connections_max = 16,
                                 .calls_max = CALLS_MAX,
                                 .terms.request_timeout_ms = REQUEST_TIMEOUT_MS_DEFAULT,
                                 .terms.idle_timeout_ms = GRPC_IDLE_TIMEOUT_MS,
                                 .terms.write_timeout_ms = WRITE_TIMEOUT_MS_DEFAULT,
                                 .terms.buffers_bytes_max = BUFFERS_BYTES_MIN,
                                 .request_ids_seed = 1};
}

static void open_scene(struct scene *scene, struct grpc_options options)
{
    *scene = (struct scene){0};
    (void)signal(SIGPIPE, SIG_IGN);
    assert_true(listener_parse("127.0.0.1:0", &scene->address));
    options.terms.listener_fd = listener_open(&scene->address);
    assert_true(options.terms.listener_fd >= 0);
    options.terms.network = &scene->network;
    options.take = park;
    options.self = scene;
    scene->grpc = grpc_open(&options);
    assert_non_null(scene->grpc);
}

static void turn(struct scene *scene)
{
    stream_poll(grpc_stream(scene->grpc));
    grpc_turn(scene->grpc);
    stream_turn(grpc_stream(scene->grpc));
}

static void answer(struct exchange *exchange, unsigned status, const char *body)
{
    exchange->answer = (struct answer){.status = status, .body = bytes_of_text(body)};
    exchange->send(exchange);
}

static void answer_next(struct scene *scene, unsigned status, const char *body)
{
    struct exchange *exchange = exchange_queue_take(&scene->parked);
    assert_non_null(exchange);
    answer(exchange, status, body);
}

/* All calls are given back, and nothing counts any more. */
static void close_scene(struct scene *scene)
{
    while (scene->parked.first != NULL)
        answer_next(scene, 200, "");
    stream_drain(grpc_stream(scene->grpc));
    turn(scene);
    grpc_close(scene->grpc);
    assert_int_equal(scene->network.buffers_bytes, 0);
}

/* ---- a client */

static void put_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t stream,
                      struct bytes payload)
{
    const uint8_t head[] = {(uint8_t)(payload.length >> 16),
                            (uint8_t)(payload.length >> 8),
                            (uint8_t)payload.length,
                            type,
                            flags,
                            (uint8_t)(stream >> 24),
                            (uint8_t)(stream >> 16),
                            (uint8_t)(stream >> 8),
                            (uint8_t)stream};
    buffer_put(out, head, sizeof(head));
    buffer_put(out, payload.at, payload.length);
}

/* HPACK: a literal that no table keeps. */
static void put_header(struct buffer *block, const char *name, const char *value)
{
    buffer_put_byte(block, 0);
    buffer_put_byte(block, (uint8_t)strlen(name));
    buffer_put_text(block, name);
    buffer_put_byte(block, (uint8_t)strlen(value));
    buffer_put_text(block, value);
}

static void send_all(int fd, const struct buffer *out)
{
    assert_false(out->overflowed);
    assert_int_equal(send(fd, out->at, out->used, 0), (ssize_t)out->used);
}

/* `window`: how much of each answer may be sent before the client says more. */
static int connect_client(const struct scene *scene, uint32_t window)
{
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons(scene->address.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&server, sizeof(server)), 0);
    const int yes = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)), 0);
    uint8_t block[256];
    struct buffer out = buffer_over(block, sizeof(block));
    const uint8_t settings[] = {0,
                                NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                (uint8_t)(window >> 24),
                                (uint8_t)(window >> 16),
                                (uint8_t)(window >> 8),
                                (uint8_t)window};
    buffer_put_text(&out, NGHTTP2_CLIENT_MAGIC);
    put_frame(&out, NGHTTP2_SETTINGS, 0, 0, (struct bytes){settings, sizeof(settings)});
    send_all(fd, &out);
    return fd;
}

/* A call whose message has `length` bytes, of which none is sent here. */
static void send_head(int fd, uint32_t stream, const char *timeout, uint32_t length)
{
    uint8_t block[512];
    uint8_t headers_block[400];
    struct buffer out = buffer_over(block, sizeof(block));
    struct buffer headers = buffer_over(headers_block, sizeof(headers_block));
    put_header(&headers, ":method", "POST");
    put_header(&headers, ":scheme", "http");
    put_header(&headers, ":path", "/weir.v1.Weir/Check");
    put_header(&headers, ":authority", "a");
    put_header(&headers, "content-type", "application/grpc");
    if (timeout != NULL) put_header(&headers, "grpc-timeout", timeout);
    assert_false(headers.overflowed);
    put_frame(&out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, buffer_bytes(&headers));
    const uint8_t prefix[GRPC_PREFIX_BYTES] = {0, 0, (uint8_t)(length >> 16),
                                               (uint8_t)(length >> 8), (uint8_t)length};
    put_frame(&out, NGHTTP2_DATA, 0, stream, (struct bytes){prefix, sizeof(prefix)});
    send_all(fd, &out);
}

/* So many bytes of its message; the last ones end it. */
static void send_rest(int fd, uint32_t stream, size_t length, bool is_last)
{
    static const uint8_t nothing[16384];
    static uint8_t block[sizeof(nothing) + 16];
    assert_true(length <= sizeof(nothing));
    struct buffer out = buffer_over(block, sizeof(block));
    put_frame(&out, NGHTTP2_DATA, is_last ? NGHTTP2_FLAG_END_STREAM : 0, stream,
              (struct bytes){nothing, length});
    send_all(fd, &out);
}

static void send_call(int fd, uint32_t stream, const char *timeout)
{
    send_head(fd, stream, timeout, 0);
    send_rest(fd, stream, 0, true);
}

/* The last frame of a type that came on a stream. */
struct seen {
    bool is_closed; /* the connection */
    uint32_t count;
    uint8_t flags;
    uint32_t code; /* of RST_STREAM, GOAWAY */
};

struct client {
    uint8_t input[1 << 20];
    size_t used;
    bool is_closed;
};

/* What has come, frame by frame; it is looked at from the start each time. */
static struct seen look(struct client *client, int fd, uint8_t type, uint32_t stream)
{
    struct seen seen = {0};
    ssize_t got;
    while ((got = recv(fd, client->input + client->used, sizeof(client->input) - client->used,
                       MSG_DONTWAIT)) > 0)
        client->used += (size_t)got;
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) client->is_closed = true;
    for (size_t at = 0; at + 9 <= client->used;) {
        const uint8_t *head = client->input + at;
        const size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        uint32_t id;
        memcpy(&id, head + 5, sizeof(id));
        if (at + 9 + length > client->used) break;
        if (head[3] == type && ntohl(id) == stream) {
            ++seen.count;
            seen.flags = head[4];
            const uint8_t *code = head + 9 + (type == NGHTTP2_GOAWAY ? 4 : 0);
            if (type == NGHTTP2_GOAWAY || type == NGHTTP2_RST_STREAM) {
                memcpy(&seen.code, code, sizeof(seen.code));
                seen.code = ntohl(seen.code);
            }
        }
        at += 9 + length;
    }
    seen.is_closed = client->is_closed;
    return seen;
}

static struct seen expect_frame(struct scene *scene, struct client *client, int fd, uint8_t type,
                                uint32_t stream)
{
    for (unsigned turns = 0; turns < TURNS_MAX; ++turns) {
        turn(scene);
        const struct seen seen = look(client, fd, type, stream);
        if (seen.count > 0) return seen;
        if (seen.is_closed) break;
        (void)usleep(100);
    }
    fail_msg("no frame of type %u on stream %u", type, stream);
    return (struct seen){0};
}

static void expect_end(struct scene *scene, struct client *client, int fd)
{
    for (unsigned turns = 0; turns < TURNS_MAX; ++turns) {
        turn(scene);
        if (look(client, fd, 0, 0).is_closed) return;
        (void)usleep(100);
    }
    fail_msg("the connection stays");
}

static void turn_until_parked(struct scene *scene, uint32_t count)
{
    for (unsigned turns = 0; turns < TURNS_MAX && scene->parked.count < count; ++turns) {
        turn(scene);
        (void)usleep(scene->parked.count < count ? 50 : 0);
    }
    assert_int_equal(scene->parked.count, count);
}

/* Trailers, or headers alone: what ends a stream that was answered. */
static bool is_last(struct seen seen)
{
    return (seen.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

/* ---- words */

static void every_problem_is_an_error_and_those_of_the_client_are_not_the_servers(void **state)
{
    (void)state;
#define X(name, code, status, title)                                                        \
    if ((name) != PROBLEM_NONE) {                                                           \
        const enum grpc_status told = grpc_status_of(name);                                 \
        assert_int_not_equal(told, GRPC_OK);                                                \
        if ((status) < 500) assert_true(told != GRPC_INTERNAL && told != GRPC_UNAVAILABLE); \
        enum problem_code found = PROBLEM_NONE;                                             \
        assert_true(wire_problem_find(BYTES(code), &found));                                \
        assert_int_equal(found, name);                                                      \
    }
    PROBLEM_TABLE(X)
#undef X
    enum problem_code none;
    assert_false(wire_problem_find(BYTES("overloade"), &none));
}

static void a_timeout_is_digits_and_a_unit(void **state)
{
    (void)state;
    int64_t ns = 0;
    assert_true(grpc_timeout_parse(BYTES("250m"), &ns));
    assert_int_equal(ns, 250000000);
    assert_true(grpc_timeout_parse(BYTES("0n"), &ns));
    assert_int_equal(ns, 0);
    assert_true(grpc_timeout_parse(BYTES("99999999H"), &ns));
    assert_int_equal(ns, INT64_MAX);
    static const char *const wrong[] = {"", "1", "m", "123456789m", "1h", "-1S", "1.5S", "1 S"};
    for (size_t i = 0; i < COUNT_OF(wrong); ++i)
        assert_false(grpc_timeout_parse(bytes_of_text(wrong[i]), &ns));
}

static void a_message_is_printable_whatever_it_tells(void **state)
{
    (void)state;
    uint8_t block[32];
    struct buffer out = buffer_over(block, sizeof(block));
    grpc_message_put(&out, BYTES("100% \xc3\xb6\n"));
    assert_true(bytes_equal(buffer_bytes(&out), BYTES("100%25 %C3%B6%0A")));
    out = buffer_over(block, 7);
    grpc_message_put(&out, BYTES("abcde\xff"));
    assert_true(bytes_equal(buffer_bytes(&out), BYTES("abcde"))); /* nothing is cut in two */
    assert_false(out.overflowed);
}

/* ---- calls */

static void a_call_becomes_an_exchange_and_its_answer_a_message(void **state)
{
    (void)state;
    static struct client client;
    struct scene scene;
    open_scene(&scene, usual());
    const int fd = connect_client(&scene, 65535);
    send_head(fd, 1, NULL, 7);
    send_rest(fd, 1, 3, false);
    turn(&scene);
    assert_int_equal(scene.parked.count, 0);
    send_rest(fd, 1, 4, true);
    turn_until_parked(&scene, 1);
    const struct exchange *exchange = scene.parked.first;
    assert_int_equal(exchange->form, WIRE_FORM_PROTOBUF);
    assert_int_equal(exchange->body.length, 7);
    assert_int_equal(exchange->route->wire, WIRE_CHECK);
    assert_int_equal(request_id_bytes(&exchange->request_id).length, REQUEST_ID_LENGTH);
    answer_next(&scene, 200, "the answer");
    const struct seen data = expect_frame(&scene, &client, fd, NGHTTP2_DATA, 1);
    assert_int_equal(data.count, 1);
    assert_true(is_last(look(&client, fd, NGHTTP2_HEADERS, 1)));
    assert_non_null(memmem(client.input, client.used, "\0\0\0\0\x0athe answer", 15));
    send_call(fd, 3, NULL);
    turn_until_parked(&scene, 1);
    answer_next(&scene, 422, "invalid_value It is wrong");
    assert_true(is_last(expect_frame(&scene, &client, fd, NGHTTP2_HEADERS, 3)));
    assert_int_equal(look(&client, fd, NGHTTP2_DATA, 3).count, 0);
    (void)close(fd);
    close_scene(&scene);
}

static void an_answer_for_a_client_that_has_left_is_dropped(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, usual());
    const int fd = connect_client(&scene, 65535);
    send_call(fd, 1, NULL);
    send_call(fd, 3, NULL);
    turn_until_parked(&scene, 2);
    (void)close(fd);
    for (unsigned turns = 0; turns < TURNS_MAX && stream_connections(grpc_stream(scene.grpc)) > 0;
         ++turns)
        turn(&scene);
    assert_int_equal(stream_connections(grpc_stream(scene.grpc)), 0);
    assert_true(scene.parked.first->is_gone);
    answer_next(&scene, 200, "late");
    assert_int_equal(scene.grpc->calls, 1);
    answer_next(&scene, 503, "overloaded It is");
    assert_int_equal(scene.grpc->calls, 0);
    close_scene(&scene);
}

static void a_deadline_ends_the_waiting_and_the_loops_answer_comes_to_nothing(void **state)
{
    (void)state;
    static struct client client;
    struct scene scene;
    open_scene(&scene, usual());
    const int fd = connect_client(&scene, 65535);
    send_call(fd, 1, "50m");
    send_call(fd, 3, "1H");
    turn_until_parked(&scene, 2);
    assert_in_range(grpc_wait_ms(scene.grpc, 1000), 0, 50);
    struct exchange *first = exchange_queue_take(&scene.parked);
    assert_true(is_last(expect_frame(&scene, &client, fd, NGHTTP2_HEADERS, 1)));
    assert_true(first->is_gone);
    answer(first, 200, "late");
    assert_int_equal(scene.grpc->calls, 1);
    answer_next(&scene, 200, "in time");
    assert_int_equal(expect_frame(&scene, &client, fd, NGHTTP2_DATA, 3).count, 1);
    assert_int_equal(look(&client, fd, NGHTTP2_DATA, 1).count, 0);
    assert_int_equal(grpc_wait_ms(scene.grpc, 1000), 1000);
    (void)close(fd);
    close_scene(&scene);
}

/* ---- ceilings */

static void a_connection_without_a_call_is_idle_for_so_long(void **state)
{
    (void)state;
    static struct client client;
    struct scene scene;
    struct grpc_options options = usual();
    options.terms.idle_timeout_ms = TIME_MS;
    open_scene(&scene, options);
    const int fd = connect_client(&scene, 65535);
    send_call(fd, 1, NULL);
    turn_until_parked(&scene, 1);
    answer_next(&scene, 200, "");
    (void)expect_frame(&scene, &client, fd, NGHTTP2_DATA, 1);
    expect_end(&scene, &client, fd);
    (void)close(fd);
    close_scene(&scene);
}

static void a_client_that_says_nothing_has_the_time_of_a_request(void **state)
{
    (void)state;
    static struct client client;
    struct scene scene;
    struct grpc_options options = usual();
    options.terms.request_timeout_ms = TIME_MS;
    open_scene(&scene, options);
    const int fd = connect_client(&scene, 65535);
    expect_end(&scene, &client, fd);
    (void)close(fd);
    close_scene(&scene);
}

static void at_the_ceiling_of_calls_who_has_waited_longest_gives_way(void **state)
{
    (void)state;
    static struct client client;
    static struct client newcomer;
    struct scene scene;
    open_scene(&scene, usual());
    const int fd = connect_client(&scene, 65535);
    const int other = connect_client(&scene, 65535);
    for (uint32_t call = 0; call < CALLS_MAX; ++call)
        send_head(fd, 2 * call + 1, NULL, 1);
    for (unsigned turns = 0; turns < TURNS_MAX && scene.grpc->unanswered < CALLS_MAX; ++turns)
        turn(&scene);
    send_call(other, 1, NULL);
    const struct seen refused = expect_frame(&scene, &newcomer, other, NGHTTP2_RST_STREAM, 1);
    assert_int_equal(refused.code, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(scene.network.turned_away, 1);
    const int64_t since_ns = clock_monotonic_ns();
    while (clock_monotonic_ns() - since_ns < (SHED_AFTER_MS + 1) * INT64_C(1000000))
        turn(&scene);
    send_call(other, 3, NULL);
    turn_until_parked(&scene, 1);
    assert_true(is_last(expect_frame(&scene, &client, fd, NGHTTP2_HEADERS, 1)));
    assert_int_equal(look(&client, fd, NGHTTP2_HEADERS, 3).count, 0);
    assert_int_equal(scene.network.shed, 1);
    (void)close(fd);
    (void)close(other);
    close_scene(&scene);
}

static void answers_that_nobody_takes_cost_their_connection_when_places_are_needed(void **state)
{
    (void)state;
    static struct client client;
    static struct client newcomer;
    struct scene scene;
    open_scene(&scene, usual());
    const int fd = connect_client(&scene, 0); /* it opens no window */
    const int other = connect_client(&scene, 65535);
    for (uint32_t call = 0; call < 2 * CALLS_MAX; ++call) {
        send_call(fd, 2 * call + 1, NULL);
        turn_until_parked(&scene, 1);
        answer_next(&scene, 200, "answer");
    }
    const int64_t since_ns = clock_monotonic_ns();
    while (clock_monotonic_ns() - since_ns < (SHED_AFTER_MS + 1) * INT64_C(1000000))
        turn(&scene);
    assert_int_equal(scene.grpc->calls, 2 * CALLS_MAX);
    send_call(other, 1, NULL);
    const struct seen refused = expect_frame(&scene, &newcomer, other, NGHTTP2_RST_STREAM, 1);
    assert_int_equal(refused.code, NGHTTP2_REFUSED_STREAM);
    expect_end(&scene, &client, fd);
    assert_int_equal(scene.network.readers_cut, 1);
    send_call(other, 3, NULL);
    turn_until_parked(&scene, 1);
    (void)close(fd);
    (void)close(other);
    close_scene(&scene);
}

static void large_messages_give_way_and_small_ones_are_not_counted(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20, PIECES = 3 };
    static struct client client;
    struct scene scene;
    struct grpc_options options = usual();
    options.terms.buffers_bytes_max = 80 << 10;
    open_scene(&scene, options);
    const int fd = connect_client(&scene, 65535);
    /* 48 KiB sent are 64 KiB held: the next one has no room beside it. */
    send_head(fd, 1, NULL, LARGE);
    for (unsigned piece = 0; piece < PIECES; ++piece)
        send_rest(fd, 1, 16384, false);
    for (unsigned turns = 0; turns < TURNS_MAX && scene.network.buffers_bytes < (64 << 10); ++turns)
        turn(&scene);
    assert_int_equal(scene.network.buffers_bytes, 64 << 10);
    const int small = connect_client(&scene, 65535);
    send_head(small, 1, NULL, 4096);
    send_rest(small, 1, 4096, true);
    turn_until_parked(&scene, 1);
    assert_int_equal(scene.network.buffers_bytes, 64 << 10);
    const int large = connect_client(&scene, 65535);
    send_head(large, 1, NULL, LARGE);
    for (unsigned piece = 0; piece < PIECES; ++piece)
        send_rest(large, 1, 16384, false);
    assert_true(is_last(expect_frame(&scene, &client, fd, NGHTTP2_HEADERS, 1)));
    for (unsigned turns = 0; turns < TURNS_MAX && scene.network.buffers_bytes != (64 << 10);
         ++turns)
        turn(&scene);
    assert_int_equal(scene.network.buffers_bytes, 64 << 10);
    assert_int_equal(scene.network.out_of_buffers, 1);
    (void)close(fd);
    (void)close(small);
    (void)close(large);
    close_scene(&scene);
}

static void a_client_that_reads_nothing_is_not_read_from(void **state)
{
    (void)state;
    enum { ANSWER = 400 << 10, WINDOW = 0x7fffffff };
    static char block[ANSWER];
    struct scene scene;
    struct grpc_options options = usual();
    options.calls_max = 1000;
    options.terms.buffers_bytes_max = 64 << 20;
    open_scene(&scene, options);
    const int fd = connect_client(&scene, WINDOW);
    uint8_t update_block[16];
    struct buffer update = buffer_over(update_block, sizeof(update_block));
    put_frame(&update, NGHTTP2_WINDOW_UPDATE, 0, 0, BYTES("\x7f\xff\x00\x00"));
    send_all(fd, &update);
    memset(block, 'x', sizeof(block) - 1);
    uint32_t calls = 0;
    for (unsigned idle = 0; idle < 50 && calls < 200; ++idle) {
        send_call(fd, 2 * calls + 1, NULL);
        turn(&scene);
        turn(&scene);
        if (scene.parked.count == 0) continue;
        ++calls;
        idle = 0;
        answer_next(&scene, 200, block);
    }
    /* Its socket's buffers, and so much more: calls that it sends are left where they are. */
    assert_in_range(calls, 2, 100);
    (void)close(fd);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_problem_is_an_error_and_those_of_the_client_are_not_the_servers),
        cmocka_unit_test(a_timeout_is_digits_and_a_unit),
        cmocka_unit_test(a_message_is_printable_whatever_it_tells),
        cmocka_unit_test(a_call_becomes_an_exchange_and_its_answer_a_message),
        cmocka_unit_test(an_answer_for_a_client_that_has_left_is_dropped),
        cmocka_unit_test(a_deadline_ends_the_waiting_and_the_loops_answer_comes_to_nothing),
        cmocka_unit_test(a_connection_without_a_call_is_idle_for_so_long),
        cmocka_unit_test(a_client_that_says_nothing_has_the_time_of_a_request),
        cmocka_unit_test(at_the_ceiling_of_calls_who_has_waited_longest_gives_way),
        cmocka_unit_test(answers_that_nobody_takes_cost_their_connection_when_places_are_needed),
        cmocka_unit_test(large_messages_give_way_and_small_ones_are_not_counted),
        cmocka_unit_test(a_client_that_reads_nothing_is_not_read_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
