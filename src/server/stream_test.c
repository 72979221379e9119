/*
 * stream_test.c: connections over real loopback sockets, with a front end that tells lines back.
 * One thread: the test is client and server.
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
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"
#include "server/listener.h"
#include "server/stream.h"

enum { TURNS_MAX = 600, CONNECTIONS_MAX = 3, TIME_MS = 120, MORE_MAX = 100000 };

/* Answers each line with itself. "hold" holds the connection; "more N" answers N bytes; "end" ends;
 * "work" leaves a request at work until the test answers it. */
struct talker {
    struct stream_connection *connection;
    unsigned lines;
    bool has_ended;
    bool is_drained;
    bool is_gone;
};

struct scene {
    struct stream *stream;
    struct metrics_network network;
    struct listener_address address;
    struct talker talkers[16];
    unsigned talker_count;
};

static void *on_open(void *self, struct stream_connection *connection)
{
    struct scene *scene = self;
    assert_true(scene->talker_count < COUNT_OF(scene->talkers));
    struct talker *talker = &scene->talkers[scene->talker_count++];
    talker->connection = connection;
    return talker;
}

static void take_line(struct talker *talker, struct bytes line)
{
    static char block[MORE_MAX];
    unsigned bytes = 0;
    char text[32] = "";
    ++talker->lines;
    memcpy(text, line.at, line.length < sizeof(text) ? line.length : sizeof(text) - 1);
    stream_await(talker->connection, STREAM_FOR_ANSWER);
    if (strcmp(text, "work") == 0) return;
    if (strcmp(text, "hold") == 0) {
        stream_hold(talker->connection);
    } else if (strcmp(text, "end") == 0) {
        stream_end(talker->connection);
    } else if (sscanf(text, "more %u", &bytes) == 1) {
        assert_true(bytes <= sizeof(block));
        memset(block, 'x', sizeof(block));
        stream_send(talker->connection, (struct bytes){(const uint8_t *)block, bytes});
    } else {
        stream_send(talker->connection, (struct bytes){line.at, line.length + 1});
    }
    stream_await(talker->connection, STREAM_FOR_REQUEST);
}

static size_t on_bytes(void *client, struct bytes input)
{
    struct talker *talker = client;
    size_t at = 0;
    while (at < input.length && stream_unsent(talker->connection) < STREAM_READ_BYTES) {
        const uint8_t *end = memchr(input.at + at, '\n', input.length - at);
        if (end == NULL) break;
        const size_t length = (size_t)(end - input.at) - at;
        take_line(talker, (struct bytes){input.at + at, length});
        at += length + 1;
        if (length == 4 && memcmp(end - 4, "hold", 4) == 0) return at;
    }
    if (at < input.length) stream_await(talker->connection, STREAM_FOR_REST);
    assert_true(input.length > 0);
    return at;
}

static void on_end(void *client)
{
    struct talker *talker = client;
    talker->has_ended = true;
    stream_end(talker->connection);
}

static void on_closed(void *client)
{
    ((struct talker *)client)->is_gone = true;
}

static void on_refused(void *self, void *client, enum stream_refusal why, struct buffer *out)
{
    static const char *const words[] = {[STREAM_TOO_MANY] = "too many\n",
                                        [STREAM_TIMED_OUT] = "timed out\n",
                                        [STREAM_NO_BUFFERS] = "no buffers\n",
                                        [STREAM_STOPPING] = "stopping\n"};
    (void)self;
    (void)client;
    buffer_put_text(out, words[why]);
}

static void on_drain(void *client)
{
    ((struct talker *)client)->is_drained = true;
}

static const struct stream_calls calls = {.on_open = on_open,
                                          .on_bytes = on_bytes,
                                          .on_end = on_end,
                                          .on_closed = on_closed,
                                          .on_refused = on_refused,
                                          .on_drain = on_drain};

static const struct stream_options usual = {.name = "test",
                                            .terms.connections_max = CONNECTIONS_MAX,
                                            .terms.request_timeout_ms = 60000,
                                            .terms.idle_timeout_ms = 60000,
                                            .terms.write_timeout_ms = 60000,
                                            .terms.buffers_bytes_max = BUFFERS_BYTES_MIN,
                                            .input_bytes_max = STREAM_READ_BYTES,
                                            .output_bytes_max = STREAM_READ_BYTES,
                                            .protocol = "",
                                            .calls = &calls};

static struct scene *open_scene(struct stream_options options)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_true(listener_parse("127.0.0.1:0", &scene->address));
    options.terms.listener_fd = listener_open(&scene->address);
    assert_true(options.terms.listener_fd >= 0);
    options.terms.network = &scene->network;
    options.self = scene;
    scene->stream = stream_open(&options);
    assert_non_null(scene->stream);
    return scene;
}

static void close_scene(struct scene *scene)
{
    stream_close(scene->stream);
    for (unsigned i = 0; i < scene->talker_count; ++i)
        assert_true(scene->talkers[i].is_gone);
    assert_int_equal(scene->network.connections, 0);
    assert_int_equal(scene->network.buffers_bytes, 0);
    free(scene);
}

static void turn(struct scene *scene)
{
    struct pollfd ready = {.fd = stream_fd(scene->stream), .events = POLLIN};
    if (poll(&ready, 1, stream_must_turn(scene->stream) ? 0 : 2) > 0) stream_poll(scene->stream);
    stream_turn(scene->stream);
}

static int connect_client(const struct scene *scene)
{
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons(scene->address.port),
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

/* Turns until the client has read exactly this. */
static void expect(struct scene *scene, int fd, const char *expected)
{
    char text[4096];
    size_t used = 0;
    const size_t length = strlen(expected);
    assert_true(length < sizeof(text));
    for (int i = 0; i < TURNS_MAX && used < length; ++i) {
        turn(scene);
        const ssize_t got = recv(fd, text + used, length - used, MSG_DONTWAIT);
        if (got == 0) break;
        if (got > 0) used += (size_t)got;
    }
    text[used] = '\0';
    assert_string_equal(text, expected);
}

/* Turns until the other end is closed; says how many bytes came before. */
static size_t expect_end(struct scene *scene, int fd, bool is_reset)
{
    char block[65536];
    size_t bytes = 0;
    for (int i = 0; i < TURNS_MAX; ++i) {
        turn(scene);
        const ssize_t got = recv(fd, block, sizeof(block), MSG_DONTWAIT);
        if (got > 0) bytes += (size_t)got;
        if (got > 0 || (got < 0 && errno == EAGAIN)) continue;
        assert_int_equal(got < 0, is_reset);
        (void)close(fd);
        return bytes;
    }
    fail_msg("the connection was not closed");
    return 0;
}

static void turn_times(struct scene *scene, int times)
{
    for (int i = 0; i < times; ++i)
        turn(scene);
}

/* ---- */

static void what_a_front_end_leaves_comes_again_with_what_follows(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int fd = connect_client(scene);
    client_send(fd, "one\ntw");
    expect(scene, fd, "one\n");
    client_send(fd, "o\nthree\n");
    expect(scene, fd, "two\nthree\n");
    assert_int_equal(scene->talkers[0].lines, 3);
    (void)close(fd);
    turn_times(scene, 3);
    assert_true(scene->talkers[0].is_gone);
    close_scene(scene);
}

static void a_held_connection_is_not_read_from_until_it_goes_on(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int fd = connect_client(scene);
    client_send(fd, "one\nhold\ntwo\n");
    expect(scene, fd, "one\n");
    client_send(fd, "three\n");
    turn_times(scene, 5);
    assert_int_equal(scene->talkers[0].lines, 2);
    stream_go_on(scene->talkers[0].connection);
    assert_true(stream_must_turn(scene->stream));
    expect(scene, fd, "two\nthree\n");
    (void)close(fd);
    close_scene(scene);
}

static void who_sends_no_more_is_answered_before_the_end(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int fd = connect_client(scene);
    client_send(fd, "hold\ntwo\nand a part");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turn_times(scene, 5);
    assert_false(scene->talkers[0].has_ended);
    stream_go_on(scene->talkers[0].connection);
    expect(scene, fd, "two\n");
    assert_int_equal(expect_end(scene, fd, false), 0);
    assert_true(scene->talkers[0].has_ended);
    close_scene(scene);
}

static void an_end_comes_behind_all_that_was_sent(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int fd = connect_client(scene);
    client_send(fd, "more 90000\nend\nnot read\n");
    assert_int_equal(expect_end(scene, fd, false), 90000);
    assert_true(scene->talkers[0].is_gone);
    close_scene(scene);
}

/* Sends it again and again, as long as the sockets take any. */
static void pour(struct scene *scene, int fd, const char *text)
{
    static char block[32768];
    size_t length = 0;
    const struct bytes line = bytes_of_text(text);
    for (; length + line.length < sizeof(block); length += line.length)
        memcpy(block + length, line.at, line.length);
    for (int idle = 0; idle < 5;) {
        const ssize_t sent = send(fd, block, length, MSG_DONTWAIT);
        idle = sent > 0 ? 0 : idle + 1;
        turn(scene);
    }
}

static void who_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int fd = connect_client(scene);
    const int other = connect_client(scene);
    pour(scene, fd, "more 60000\n");
    const struct stream_connection *connection = scene->talkers[0].connection;
    const unsigned lines = scene->talkers[0].lines;
    assert_true(stream_unsent(connection) > usual.output_bytes_max / 2);
    assert_true(scene->network.buffers_bytes > 0);
    turn_times(scene, 5);
    assert_int_equal(scene->talkers[0].lines, lines);
    client_send(other, "hello\n");
    expect(scene, other, "hello\n");
    char block[65536];
    for (int i = 0; i < 100 * TURNS_MAX && scene->talkers[0].lines == lines; ++i) {
        (void)recv(fd, block, sizeof(block), MSG_DONTWAIT);
        turn(scene);
    }
    assert_true(scene->talkers[0].lines > lines);
    (void)close(fd);
    (void)close(other);
    close_scene(scene);
}

static void who_does_not_read_for_too_long_is_reset(void **state)
{
    (void)state;
    struct stream_options options = usual;
    options.terms.write_timeout_ms = TIME_MS;
    struct scene *scene = open_scene(options);
    const int fd = connect_client(scene);
    pour(scene, fd, "more 60000\n");
    for (int i = 0; i < TURNS_MAX && !scene->talkers[0].is_gone; ++i)
        turn(scene);
    assert_true(scene->talkers[0].is_gone);
    assert_int_equal(scene->network.readers_cut, 1);
    (void)close(fd);
    close_scene(scene);
}

static void each_kind_of_waiting_has_its_time(void **state)
{
    (void)state;
    struct stream_options options = usual;
    options.terms.request_timeout_ms = TIME_MS;
    options.terms.idle_timeout_ms = 4 * TIME_MS;
    struct scene *scene = open_scene(options);
    const int silent = connect_client(scene);
    const int part = connect_client(scene);
    const int idle = connect_client(scene);
    const int64_t began_ns = clock_monotonic_ns();
    client_send(part, "a part");
    client_send(idle, "a line\n");
    expect(scene, idle, "a line\n");
    assert_int_equal(expect_end(scene, silent, false), 0);
    assert_int_equal(expect_end(scene, part, false), strlen("timed out\n"));
    assert_false(scene->talkers[2].is_gone);
    assert_int_equal(expect_end(scene, idle, false), 0);
    assert_true(clock_monotonic_ns() - began_ns >= 4 * (int64_t)TIME_MS * 1000000);
    assert_int_equal(scene->network.timed_out, 1);
    close_scene(scene);
}

static void reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    (void)close(fd);
}

/* What it is waited for is over before the next turn. */
static void reset_too_late(struct scene *scene, int fd)
{
    const int64_t until_ns = clock_monotonic_ns() + (int64_t)TIME_MS * 1000000;
    struct pollfd ready = {.fd = stream_fd(scene->stream), .events = POLLIN};
    reset(fd);
    assert_int_equal(poll(&ready, 1, 1000), 1);
    while (clock_monotonic_ns() < until_ns)
        (void)poll(NULL, 0, 1);
    stream_poll(scene->stream);
}

static void who_resets_when_his_time_is_over_is_gone_like_others(void **state)
{
    static const char *const sent[] = {"", "a line\n", "a part", "a part"};
    (void)state;
    struct stream_options options = usual;
    options.terms.request_timeout_ms = options.terms.idle_timeout_ms = TIME_MS;
    for (unsigned i = 0; i < COUNT_OF(sent); ++i) {
        struct scene *scene = open_scene(options);
        const int fd = connect_client(scene);
        client_send(fd, sent[i]);
        turn_times(scene, 5);
        assert_int_equal(scene->talkers[0].lines, i == 1);
        reset_too_late(scene, fd);
        if (i == 3) stream_cut(scene->stream);
        stream_turn(scene->stream);
        assert_true(scene->talkers[0].is_gone);
        assert_int_equal(scene->network.timed_out, 0);
        close_scene(scene);
    }
}

static void a_request_at_work_has_all_the_time_it_needs(void **state)
{
    (void)state;
    struct stream_options options = usual;
    options.terms.request_timeout_ms = options.terms.idle_timeout_ms = TIME_MS;
    struct scene *scene = open_scene(options);
    const int fd = connect_client(scene);
    const int other = connect_client(scene);
    client_send(fd, "work\n");
    client_send(other, "a part");
    assert_int_equal(expect_end(scene, other, false), strlen("timed out\n"));
    assert_false(scene->talkers[0].is_gone);
    stream_send(scene->talkers[0].connection, BYTES("done\n"));
    stream_await(scene->talkers[0].connection, STREAM_FOR_REQUEST);
    expect(scene, fd, "done\n");
    (void)close(fd);
    close_scene(scene);
}

static void at_the_ceiling_who_waited_longest_gives_way(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int working = connect_client(scene);
    client_send(working, "work\n");
    turn_times(scene, 5);
    const int part = connect_client(scene);
    client_send(part, "a part");
    turn_times(scene, 5);
    const int silent = connect_client(scene);
    turn_times(scene, 5);
    assert_int_equal(stream_connections(scene->stream), CONNECTIONS_MAX);

    const int early = connect_client(scene); /* nobody has waited for a second */
    assert_int_equal(expect_end(scene, early, false), strlen("too many\n"));
    assert_int_equal(scene->network.turned_away, 1);

    const int64_t began_ns = clock_monotonic_ns();
    while (clock_monotonic_ns() - began_ns < (int64_t)(SHED_AFTER_MS + 50) * 1000000)
        turn(scene);
    const int first = connect_client(scene);
    const int second = connect_client(scene);
    assert_int_equal(expect_end(scene, part, false), strlen("too many\n"));
    assert_int_equal(expect_end(scene, silent, false), 0);
    client_send(first, "first\n");
    client_send(second, "second\n");
    expect(scene, first, "first\n");
    expect(scene, second, "second\n");
    assert_false(scene->talkers[0].is_gone);
    assert_int_equal(scene->network.shed, 2);
    (void)close(working);
    (void)close(first);
    (void)close(second);
    close_scene(scene);
}

static void beyond_the_sum_of_bytes_who_holds_longest_gives_way(void **state)
{
    (void)state;
    static char part[50001];
    struct stream_options options = usual;
    options.terms.buffers_bytes_max = 200000;
    struct scene *scene = open_scene(options);
    memset(part, 'p', sizeof(part) - 1);
    const int first = connect_client(scene);
    client_send(first, part);
    turn_times(scene, 20);
    assert_true(scene->network.buffers_bytes > 0);
    const int second = connect_client(scene);
    pour(scene, second, "more 90000\nmore 90000\n");
    assert_int_equal(expect_end(scene, first, false), strlen("no buffers\n"));
    assert_int_equal(scene->network.out_of_buffers, 1);
    assert_false(scene->talkers[1].is_gone);
    const int third = connect_client(scene);
    pour(scene, third, "more 90000\nmore 90000\n");
    turn_times(scene, 5);
    assert_true(scene->talkers[1].is_gone);
    assert_int_equal(scene->network.readers_cut, 1);
    (void)close(second);
    (void)close(third);
    close_scene(scene);
}

static void a_drained_stream_finishes_what_it_is_at(void **state)
{
    (void)state;
    struct scene *scene = open_scene(usual);
    const int idle = connect_client(scene);
    const int working = connect_client(scene);
    const int part = connect_client(scene);
    client_send(idle, "hello\n");
    client_send(working, "work\n");
    client_send(part, "a part");
    expect(scene, idle, "hello\n");
    turn_times(scene, 5);
    stream_drain(scene->stream);
    assert_true(scene->talkers[1].is_drained);
    assert_int_equal(expect_end(scene, idle, false), 0);
    turn_times(scene, 5);
    assert_int_equal(stream_connections(scene->stream), 2);
    stream_send(scene->talkers[1].connection, BYTES("done\n"));
    stream_await(scene->talkers[1].connection, STREAM_FOR_REQUEST);
    assert_int_equal(expect_end(scene, working, false), strlen("done\n"));
    client_send(part, " and more");
    turn_times(scene, 5);
    stream_cut(scene->stream);
    assert_int_equal(expect_end(scene, part, false), strlen("stopping\n"));
    assert_int_equal(stream_connections(scene->stream), 0);
    close_scene(scene);
}

/* ---- TLS */

static struct tls *make_tls(void)
{
    char cert_path[] = "/tmp/weir-stream-cert-XXXXXX";
    char key_path[] = "/tmp/weir-stream-key-XXXXXX";
    char detail[TLS_DETAIL_SIZE];
    FILE *cert_file = fdopen(mkstemp(cert_path), "w");
    FILE *key_file = fdopen(mkstemp(key_path), "w");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_true(cert_file != NULL && key_file != NULL && key != NULL && cert != NULL);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(cert_file, cert), 1);
    assert_int_equal(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(cert_file);
    (void)fclose(key_file);
    X509_free(cert);
    EVP_PKEY_free(key);
    struct tls *tls = tls_load((struct tls_files){cert_path, key_path}, detail);
    assert_non_null(tls);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return tls;
}

static SSL *client_shakes(struct scene *scene, int fd, SSL_CTX *context, const char *protocols)
{
    SSL *ssl = SSL_new(context);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (protocols != NULL)
        assert_int_equal(
            SSL_set_alpn_protos(ssl, (const unsigned char *)protocols, (unsigned)strlen(protocols)),
            0);
    for (int i = 0; i < TURNS_MAX; ++i) {
        turn(scene);
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (i > 0 && poll(&ready, 1, 0) == 0) continue;
        if (SSL_connect(ssl) == 1) return ssl;
        if (SSL_get_error(ssl, -1) != SSL_ERROR_WANT_READ) break;
    }
    SSL_free(ssl);
    return NULL;
}

static void expect_sealed(struct scene *scene, SSL *ssl, const char *expected)
{
    char text[4096] = "";
    size_t used = 0;
    for (int i = 0; i < TURNS_MAX && used < strlen(expected); ++i) {
        size_t got = 0;
        turn(scene);
        if (SSL_read_ex(ssl, text + used, sizeof(text) - 1 - used, &got) == 1) used += got;
    }
    assert_string_equal(text, expected);
}

static void set_nonblocking(int fd)
{
    const struct timeval soon = {.tv_usec = 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
}

static void tls_is_spoken_and_the_protocol_agreed_on(void **state)
{
    (void)state;
    struct stream_options options = usual;
    struct tls *tls = make_tls();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    options.terms.tls = tls;
    options.protocol = "\2h2";
    struct scene *scene = open_scene(options);
    tls_free(tls); /* the stream has its own hold on it */
    const int fd = connect_client(scene);
    set_nonblocking(fd);
    SSL *ssl = client_shakes(scene, fd, context, "\2h2\x8http/1.1");
    assert_non_null(ssl);
    const unsigned char *chosen = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &length);
    assert_int_equal(length, 2);
    assert_memory_equal(chosen, "h2", 2);
    assert_int_equal(SSL_write(ssl, "one\ntwo\nth", 10), 10);
    expect_sealed(scene, ssl, "one\ntwo\n");
    assert_int_equal(SSL_write(ssl, "ree\nmore 90000\nend\n", 19), 19);
    size_t bytes = 0;
    char block[65536];
    for (int i = 0; i < TURNS_MAX; ++i) {
        size_t got = 0;
        turn(scene);
        if (SSL_read_ex(ssl, block, sizeof(block), &got) == 1) bytes += got;
        if (SSL_get_shutdown(ssl) != 0) break;
    }
    assert_int_equal(bytes, 6 + 90000);
    assert_int_equal(SSL_get_shutdown(ssl), SSL_RECEIVED_SHUTDOWN);
    assert_int_equal(scene->network.handshakes, 1);
    SSL_free(ssl);
    (void)close(fd);

    const int wrong = connect_client(scene);
    set_nonblocking(wrong);
    assert_null(client_shakes(scene, wrong, context, "\x8http/1.1"));
    (void)close(wrong);
    const int bare = connect_client(scene);
    client_send(bare, "hello\n");
    (void)expect_end(scene, bare, true);
    turn_times(scene, 5);
    assert_int_equal(scene->network.handshakes_failed, 2);
    SSL_CTX_free(context);
    close_scene(scene);
}

/* One more of them than may be under way at once. */
static void handshakes_that_are_reset_are_over(void **state)
{
    (void)state;
    struct stream_options options = usual;
    struct tls *tls = make_tls();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    options.terms.tls = tls;
    options.protocol = "";
    struct scene *scene = open_scene(options);
    tls_free(tls);
    for (unsigned i = 0; i <= HANDSHAKES_MAX; ++i) {
        const int fd = connect_client(scene);
        client_send(fd, "\x16\x03\x01\x02");
        turn_times(scene, 2);
        reset(fd);
        for (int turns = 0; turns < TURNS_MAX && scene->network.connections > 0; ++turns)
            turn(scene);
    }
    assert_int_equal(scene->network.accepted, HANDSHAKES_MAX + 1);
    const int fd = connect_client(scene);
    set_nonblocking(fd);
    SSL *ssl = client_shakes(scene, fd, context, NULL);
    assert_non_null(ssl);
    SSL_free(ssl);
    (void)close(fd);
    SSL_CTX_free(context);
    close_scene(scene);
}

/* Whoever sends them without end would have the loop to himself if all were read at once. */
static void updates_of_keys_are_read_some_at_a_time(void **state)
{
    (void)state;
    struct stream_options options = usual;
    struct tls *tls = make_tls();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    options.terms.tls = tls;
    options.protocol = "\2h2";
    struct scene *scene = open_scene(options);
    tls_free(tls);
    const int fd = connect_client(scene);
    set_nonblocking(fd);
    SSL *ssl = client_shakes(scene, fd, context, NULL);
    assert_non_null(ssl);
    for (unsigned i = 0; i < 200; ++i) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
    assert_int_equal(SSL_write(ssl, "one\n", 4), 4);
    for (unsigned i = 0; i < 3; ++i)
        turn(scene);
    assert_int_equal(scene->talkers[0].lines, 0);
    turn_times(scene, 100);
    expect_sealed(scene, ssl, "one\n");
    SSL_free(ssl);
    (void)close(fd);
    SSL_CTX_free(context);
    close_scene(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_front_end_leaves_comes_again_with_what_follows),
        cmocka_unit_test(a_held_connection_is_not_read_from_until_it_goes_on),
        cmocka_unit_test(who_sends_no_more_is_answered_before_the_end),
        cmocka_unit_test(an_end_comes_behind_all_that_was_sent),
        cmocka_unit_test(who_does_not_read_is_not_read_from),
        cmocka_unit_test(who_does_not_read_for_too_long_is_reset),
        cmocka_unit_test(each_kind_of_waiting_has_its_time),
        cmocka_unit_test(who_resets_when_his_time_is_over_is_gone_like_others),
        cmocka_unit_test(a_request_at_work_has_all_the_time_it_needs),
        cmocka_unit_test(at_the_ceiling_who_waited_longest_gives_way),
        cmocka_unit_test(beyond_the_sum_of_bytes_who_holds_longest_gives_way),
        cmocka_unit_test(a_drained_stream_finishes_what_it_is_at),
        cmocka_unit_test(tls_is_spoken_and_the_protocol_agreed_on),
        cmocka_unit_test(handshakes_that_are_reset_are_over),
        cmocka_unit_test(updates_of_keys_are_read_some_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
