/*
 * resp_test.c: pipelines over real loopback sockets, with a stand-in for the loop that keeps every
 * exchange until the test answers it. One thread: the test is client and server.
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
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/listener.h"
#include "server/resp.h"
#include "server/routes.h"
#include "server/stream.h"

enum { TURNS_MAX = 2000, CONNECTIONS_MAX = 80 };

#define RELEASE "*2\r\n$12\r\nWEIR.RELEASE\r\n$3\r\nd_0\r\n"

struct scene {
    struct resp *resp;
    struct stream *stream;
    struct metrics_network network;
    struct listener_address address;
    struct exchange_queue kept;
};

static void take(void *self, struct exchange *exchange)
{
    struct scene *scene = self;
    exchange_queue_add(&scene->kept, exchange);
}

static bool opens(void *self, struct bytes authorization, uint32_t scopes,
                  struct problem *problem_out)
{
    (void)self;
    (void)authorization;
    (void)scopes;
    (void)problem_out;
    return true;
}

static void tell(void *self, struct buffer *out)
{
    (void)self;
    buffer_put_text(out, "# Test\r\n");
}

static struct scene *open_scene(void)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_true(listener_parse("127.0.0.1:0", &scene->address));
    const int fd = listener_open(&scene->address);
    assert_true(fd >= 0);
    scene->resp = resp_open(&(struct resp_options){
        .terms.listener_fd = fd,
        .terms.connections_max = CONNECTIONS_MAX,
        .terms.request_timeout_ms = 60000,
        .terms.write_timeout_ms = 60000,
        .terms.idle_timeout_ms = RESP_IDLE_TIMEOUT_MS,
        .terms.buffers_bytes_max = BUFFERS_BYTES_DEFAULT,
        .version = "test",
        .terms.network = &scene->network,
        .calls = {take, opens, tell},
        .self = scene
    });
    assert_non_null(scene->resp);
    scene->stream = resp_stream(scene->resp);
    return scene;
}

static void close_scene(struct scene *scene)
{
    assert_null(scene->kept.first);
    resp_close(scene->resp);
    assert_int_equal(scene->network.buffers_bytes, 0);
    free(scene);
}

static void turn(struct scene *scene)
{
    struct pollfd ready = {.fd = stream_fd(scene->stream), .events = POLLIN};
    if (poll(&ready, 1, stream_must_turn(scene->stream) ? 0 : 2) > 0) stream_poll(scene->stream);
    stream_turn(scene->stream);
}

static void turn_until_kept(struct scene *scene, uint32_t count)
{
    for (int i = 0; i < TURNS_MAX && scene->kept.count < count; ++i)
        turn(scene);
    for (int i = 0; i < 5; ++i)
        turn(scene);
    assert_int_equal(scene->kept.count, count);
}

static void answer(struct exchange *exchange, const char *text)
{
    exchange->answer = (struct answer){.status = 200, .body = bytes_of_text(text)};
    exchange->send(exchange);
}

static void answer_next(struct scene *scene, const char *text)
{
    struct exchange *exchange = exchange_queue_take(&scene->kept);
    assert_non_null(exchange);
    answer(exchange, text);
}

static int connect_client(struct scene *scene)
{
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons(scene->address.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&server, sizeof(server)), 0);
    turn(scene);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Sends so many commands. */
static void send_commands(struct scene *scene, int fd, uint32_t count)
{
    static const char command[] = RELEASE;
    for (uint32_t i = 0; i < count; ++i) {
        assert_int_equal(send(fd, command, sizeof(command) - 1, 0), (ssize_t)sizeof(command) - 1);
        if (i % 64 == 63) turn(scene);
    }
}

static void expect(struct scene *scene, int fd, const char *expected)
{
    char text[4096];
    size_t used = 0;
    assert_true(strlen(expected) < sizeof(text));
    for (int i = 0; i < TURNS_MAX && used < strlen(expected); ++i) {
        turn(scene);
        const ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, MSG_DONTWAIT);
        if (got == 0) break;
        if (got > 0) used += (size_t)got;
    }
    text[used] = '\0';
    assert_string_equal(text, expected);
}

static void expect_end(struct scene *scene, int fd)
{
    char byte;
    ssize_t got = -1;
    for (int i = 0; i < TURNS_MAX && got < 0; ++i) {
        turn(scene);
        got = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    assert_int_equal(got, 0);
    (void)close(fd);
}

/* ---- */

static void an_exchange_is_whole(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    client_send(fd, "*3\r\n$11\r\nweir.comMIT\r\n$3\r\nd_7\r\n$1\r\nm\r\n");
    turn_until_kept(scene, 1);
    const struct exchange *exchange = scene->kept.first;
    assert_int_equal(exchange->form, WIRE_FORM_RESP);
    assert_ptr_equal(exchange->route, route_of(WIRE_FORM_RESP, WIRE_COMMIT));
    assert_true(bytes_equal(exchange->target, BYTES("d_7")));
    assert_true(
        bytes_equal(exchange->body, BYTES("*3\r\n$11\r\nweir.comMIT\r\n$3\r\nd_7\r\n$1\r\nm\r\n")));
    assert_non_null(exchange->line);
    assert_true(exchange->taken_ns > 0 && request_id_bytes(&exchange->request_id).length > 0);
    assert_null(exchange->authorization.at);
    answer_next(scene, "+OK\r\n");
    expect(scene, fd, "+OK\r\n");
    (void)close(fd);
    turn(scene);
    close_scene(scene);
}

static void answers_leave_in_order_whoever_is_answered_first(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    static char large[2001];
    send_commands(scene, fd, 4);
    turn_until_kept(scene, 4);
    struct exchange *exchanges[4];
    for (int i = 0; i < 4; ++i)
        exchanges[i] = exchange_queue_take(&scene->kept);
    memset(large, 'x', sizeof(large) - 1);
    answer(exchanges[2], large); /* more than a command's own memory */
    answer(exchanges[1], "+one\r\n");
    turn(scene);
    answer(exchanges[0], "+zero\r\n");
    char expected[sizeof(large) + 32];
    (void)snprintf(expected, sizeof(expected), "+zero\r\n+one\r\n%s", large);
    expect(scene, fd, expected);
    answer(exchanges[3], "+three\r\n");
    expect(scene, fd, "+three\r\n");
    (void)close(fd);
    turn(scene);
    close_scene(scene);
}

static void what_the_front_end_answers_waits_for_what_was_before(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    client_send(fd, RELEASE "PING\r\n" RELEASE "*1\r\n$4\r\nNOPE\r\n" RELEASE "*x\r\nPING\r\n");
    turn_until_kept(scene, 1);
    answer_next(scene, "+a\r\n");
    expect(scene, fd, "+a\r\n+PONG\r\n");
    turn_until_kept(scene, 1);
    answer_next(scene, "+b\r\n");
    expect(scene, fd, "+b\r\n-ERR unknown command 'NOPE'\r\n");
    turn_until_kept(scene, 1);
    answer_next(scene, "+c\r\n");
    expect(scene, fd, "+c\r\n-ERR Protocol error: invalid multibulk length\r\n");
    expect_end(scene, fd);
    close_scene(scene);
}

static void a_pipeline_has_so_many_at_work(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    send_commands(scene, fd, 2 * RESP_PIPELINE_MAX);
    turn_until_kept(scene, RESP_PIPELINE_MAX);
    for (uint32_t i = 0; i + 1 < RESP_PIPELINE_MAX / 2; ++i)
        answer_next(scene, "+\r\n");
    turn(scene);
    assert_int_equal(scene->kept.count, RESP_PIPELINE_MAX / 2 + 1);
    answer_next(scene, "+\r\n");
    turn_until_kept(scene, RESP_PIPELINE_MAX);
    while (scene->kept.first != NULL) {
        answer_next(scene, "+\r\n");
        turn(scene);
    }
    (void)close(fd);
    turn(scene);
    close_scene(scene);
}

static void who_leaves_is_told_of_to_the_loop(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    send_commands(scene, fd, 3);
    turn_until_kept(scene, 3);
    struct exchange *exchanges[3];
    for (int i = 0; i < 3; ++i)
        exchanges[i] = exchange_queue_take(&scene->kept);
    answer(exchanges[1], "+held\r\n");
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)close(fd);
    for (int i = 0; i < TURNS_MAX && stream_connections(scene->stream) > 0; ++i)
        turn(scene);
    assert_int_equal(stream_connections(scene->stream), 0);
    assert_true(exchanges[0]->is_gone && exchanges[2]->is_gone);
    assert_int_equal(exchanges[2]->line->waiting.count, 0); /* the line is still there */
    answer(exchanges[2], "+\r\n");
    answer(exchanges[0], "+\r\n");
    close_scene(scene);
}

static void who_sends_no_more_is_answered_first(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    client_send(fd, RELEASE RELEASE "*2\r\n$4\r\nPI");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn_until_kept(scene, 2);
    answer_next(scene, "+a\r\n");
    answer_next(scene, "+b\r\n");
    expect(scene, fd, "+a\r\n+b\r\n");
    expect_end(scene, fd);
    close_scene(scene);
}

static void a_draining_front_end_works_off_what_it_has_read(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    const int fd = connect_client(scene);
    client_send(fd, RELEASE "PING\r\n" RELEASE);
    turn_until_kept(scene, 1);
    stream_drain(scene->stream);
    answer_next(scene, "+a\r\n");
    turn_until_kept(scene, 1);
    answer_next(scene, "+b\r\n");
    expect(scene, fd, "+a\r\n+PONG\r\n+b\r\n");
    expect_end(scene, fd);
    close_scene(scene);
}

static void beyond_the_sum_of_commands_a_connection_has_one(void **state)
{
    (void)state;
    struct scene *scene = open_scene();
    enum { MANY = RESP_COMMANDS_MAX / RESP_PIPELINE_MAX };
    int fds[MANY + 1];
    for (uint32_t i = 0; i <= MANY; ++i)
        fds[i] = connect_client(scene);
    for (uint32_t i = 0; i < MANY; ++i) {
        send_commands(scene, fds[i], RESP_PIPELINE_MAX);
        turn_until_kept(scene, (i + 1) * RESP_PIPELINE_MAX);
    }
    send_commands(scene, fds[MANY], 3);
    turn_until_kept(scene, RESP_COMMANDS_MAX + 1);
    while (scene->kept.count > RESP_COMMANDS_MAX - 2)
        answer_next(scene, "+\r\n");
    /* The one that waits longest is not the one that is asked first: its own answers wake it. */
    turn_until_kept(scene, RESP_COMMANDS_MAX - 2);
    while (scene->kept.first != NULL) {
        answer_next(scene, "+\r\n");
        if (scene->kept.count % 512 == 0) turn(scene);
        if (scene->kept.first == NULL) turn(scene);
    }
    expect(scene, fds[MANY], "+\r\n+\r\n+\r\n");
    for (uint32_t i = 0; i <= MANY; ++i)
        (void)close(fds[i]);
    for (int i = 0; i < TURNS_MAX && stream_connections(scene->stream) > 0; ++i)
        turn(scene);
    close_scene(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_is_whole),
        cmocka_unit_test(answers_leave_in_order_whoever_is_answered_first),
        cmocka_unit_test(what_the_front_end_answers_waits_for_what_was_before),
        cmocka_unit_test(a_pipeline_has_so_many_at_work),
        cmocka_unit_test(who_leaves_is_told_of_to_the_loop),
        cmocka_unit_test(who_sends_no_more_is_answered_first),
        cmocka_unit_test(a_draining_front_end_works_off_what_it_has_read),
        cmocka_unit_test(beyond_the_sum_of_commands_a_connection_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
