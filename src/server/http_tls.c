/*
 * http_tls.c: TLS on connections: the handshake before h2o speaks HTTP on them, and last words.
 *
 * A handshake's expensive step (a signature: 0.03 ms for ECDSA P-256, about 1 ms for RSA 2048) runs
 * on the loop's thread. So a turn grants so many steps (HANDSHAKE_STEPS_PER_TURN) and decisions of
 * others run in between; without a grant a connection is not even read from. Nothing is set up for
 * a client until its first byte has come, and handshakes under way have a ceiling, since 9 bytes of
 * a client can make OpenSSL reserve 128 KiB: beyond it the oldest that has owed us bytes for a
 * while is given up for who comes.
 *
 * h2o keeps OpenSSL's object of a connection to itself; OpenSSL gives it to us when the handshake
 * is done, with a BIO whose data is h2o's socket. With it we can seal bytes of our own, where h2o
 * would just close. h2o passes no renegotiation and no key update that asks for an answer: it takes
 * either for an error and closes. Key updates that ask for none cost us more than the client, and
 * have a ceiling, too.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http_inner.h"

static void on_shake_bytes(h2o_socket_t *socket, const char *error);
static void on_shake_written(h2o_socket_t *socket, const char *error);

/* ---- saying */

static void send_sealed(struct connection *connection, BIO *sealed)
{
    char *bytes = NULL;
    const long length = BIO_get_mem_data(sealed, &bytes);
    if (length > 0)
        (void)send(h2o_socket_get_fd(connection->socket), bytes, (size_t)length,
                   MSG_NOSIGNAL | MSG_DONTWAIT);
}

void http_tls_say(struct connection *connection, struct bytes text)
{
    BIO *sealed = BIO_new(BIO_s_mem());
    BIO *usual = SSL_get_wbio(connection->ssl);
    if (sealed == NULL || BIO_up_ref(usual) != 1) return;
    ERR_clear_error();
    SSL_set0_wbio(connection->ssl, sealed);
    if (SSL_write(connection->ssl, text.at, (int)text.length) == (int)text.length)
        send_sealed(connection, sealed);
    SSL_set0_wbio(connection->ssl, usual);
}

void http_tls_say_last(struct connection *connection, struct bytes text)
{
    BIO *sealed = connection->ssl == NULL ? NULL : BIO_new(BIO_s_mem());
    if (sealed == NULL) return;
    ERR_clear_error();
    SSL_set0_wbio(connection->ssl, sealed); /* for good: nothing comes after */
    const bool is_said = text.length == 0 ||
                         SSL_write(connection->ssl, text.at, (int)text.length) == (int)text.length;
    SSL_set_quiet_shutdown(connection->ssl, 0);
    if (is_said && SSL_shutdown(connection->ssl) >= 0) send_sealed(connection, sealed);
    SSL_set_quiet_shutdown(connection->ssl, 1);
    (void)shutdown(h2o_socket_get_fd(connection->socket), SHUT_WR);
    connection->ssl = NULL; /* its close says nothing more */
}

bool http_tls_has_ended(const struct connection *connection)
{
    return (SSL_get_shutdown(connection->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

/* ---- the handshake */

/* What is said beside requests once the handshake is over: updates of keys, hellos that are
 * refused. h2o reads what there is and OpenSSL goes through all of it at once, so a client who
 * sends little else would have the loop to himself. */
static void on_aside(int is_written, int version, int type, const void *at, size_t length, SSL *ssl,
                     void *self)
{
    struct connection *connection = self;
    (void)is_written;
    (void)version;
    (void)at;
    (void)length;
    (void)ssl;
    connection->asides += type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT;
}

/* OpenSSL takes it for a fault of the connection that no more can be read, and h2o closes. */
static long on_read(BIO *bio, int what, const char *at, size_t length, int number, long more,
                    int result, size_t *done)
{
    const struct connection *connection = (struct connection *)BIO_get_callback_arg(bio);
    (void)at;
    (void)length;
    (void)number;
    (void)more;
    (void)done;
    if (what != BIO_CB_READ || connection->asides <= TLS_ASIDES_MAX) return result;
    BIO_clear_retry_flags(bio);
    return -1;
}

/* OpenSSL says where a handshake is; the first time, who it is. */
static void on_info(const SSL *ssl, int where, int value)
{
    (void)value;
    if ((where & SSL_CB_HANDSHAKE_DONE) == 0) return;
    BIO *bio = SSL_get_rbio(ssl);
    ENSURE(strcmp(BIO_method_name(bio), "h2o_socket") == 0);
    struct connection *connection = connection_of(BIO_get_data(bio));
    connection->ssl = (SSL *)(uintptr_t)ssl;
    SSL_set_msg_callback(connection->ssl, on_aside);
    SSL_set_msg_callback_arg(connection->ssl, connection);
    BIO_set_callback_ex(bio, on_read);
    BIO_set_callback_arg(bio, (char *)connection);
}

void http_tls_give_up(struct connection *connection)
{
    ++connection->http->network->handshakes_failed;
    h2o_socket_close(connection->socket);
}

void http_tls_end_handshake(struct connection *connection)
{
    if (!list_has(&connection->places[LINE_SHAKING])) return;
    --connection->http->shaking;
    list_leave(&connection->places[LINE_SHAKING]);
    SSL_CTX_free(connection->ssl_context); /* OpenSSL's object has its own hold on it */
    connection->ssl_context = NULL;
}

static void on_shaken(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    struct http *http = connection->http;
    if (error != NULL || connection->ssl == NULL) {
        http_tls_give_up(connection);
        return;
    }
    http_tls_end_handshake(connection);
    ++http->network->handshakes;
    connection->stage = STAGE_OPEN;
    h2o_socket_dont_read(socket, 0);
    http_await(connection);
    /* A request may have come with the last of the handshake; h2o turns to it without asking. */
    if (!http_judge_input(connection)) {
        h2o_socket_close(socket);
        return;
    }
    http_hold(connection, true);
    h2o_http1_accept(&http->accept_context, socket, *h2o_get_timestamp(&http->context, NULL, NULL));
    http_stand_between(connection);
}

/* From one step to the next the socket tells that there is something to read, and does not read. */
static void stand_in_handshake(struct connection *connection)
{
    h2o_socket_t *socket = connection->socket;
    if (socket == NULL || connection->stage != STAGE_HANDSHAKE) return;
    if (socket->_cb.read != NULL && socket->_cb.read != on_shake_bytes) {
        connection->read = socket->_cb.read;
        socket->_cb.read = on_shake_bytes;
    }
    if (socket->_cb.write != NULL && socket->_cb.write != on_shake_written) {
        connection->write = socket->_cb.write;
        socket->_cb.write = on_shake_written;
    }
    connection->is_granted = connection->wants_step = false;
    connection->owes_ns = clock_monotonic_ns();
    h2o_socket_dont_read(socket, 1);
}

static void on_shake_bytes(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    struct http *http = connection->http;
    if (connection->is_granted) {
        connection->read(socket, error);
        stand_in_handshake(connection);
    } else if (http->shake_steps > 0) {
        --http->shake_steps;
        connection->is_granted = true;
        h2o_socket_dont_read(socket, 0);
    } else {
        connection->wants_step = true;
    }
}

static void on_shake_written(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    h2o_socket_dont_read(socket, 0);
    connection->write(socket, error);
    stand_in_handshake(connection);
}

/* False: nobody has owed us bytes for long. Who waits for us, or has just heard of us, is not given
 * up for who comes. */
static bool make_place(struct http *http)
{
    const int64_t since_ns = clock_monotonic_ns() - (int64_t)HANDSHAKE_OWED_MS * 1000000;
    struct connection *oldest = list_first(&http->lines[LINE_SHAKING]);
    if (http->shaking < HANDSHAKES_MAX) return true;
    while (oldest != NULL &&
           (oldest->is_granted || oldest->wants_step || oldest->owes_ns > since_ns))
        oldest = list_after(&oldest->places[LINE_SHAKING]);
    if (oldest == NULL) return false;
    http_tls_give_up(oldest);
    return true;
}

static void begin_handshake(struct connection *connection)
{
    struct http *http = connection->http;
    if (http->shake_begins > 0 && !make_place(http)) http->shake_begins = 0;
    if (http->shake_begins == 0) return; /* it is asked again in the next turn */
    --http->shake_begins;
    ++http->shaking;
    list_leave(&connection->places[LINE_HELLO]);
    http_line_add(LINE_SHAKING, connection);
    connection->since_ns = clock_monotonic_ns();
    connection->stage = STAGE_HANDSHAKE;
    connection->ssl_context = http->tls->context;
    ENSURE(SSL_CTX_up_ref(connection->ssl_context) == 1);
    h2o_socket_ssl_handshake(connection->socket, connection->ssl_context, NULL, on_shaken);
    stand_in_handshake(connection);
}

/* ---- the first byte */

/* Who speaks HTTP without TLS here is told so; that is no TLS stream. */
static void refuse_plain(struct http *http, h2o_socket_t *socket)
{
    http_tell_bare(http, h2o_socket_get_fd(socket),
                   (struct problem){.code = PROBLEM_BAD_REQUEST,
                                    .field = "request",
                                    .expected = "TLS (https://)"});
}

static void on_hello(h2o_socket_t *socket, const char *error)
{
    enum { RECORD_HANDSHAKE = 22 };
    struct connection *connection = connection_of(socket);
    uint8_t first = 0;
    if (error != NULL) {
        http_tls_give_up(connection);
        return;
    }
    const ssize_t got =
        recv(h2o_socket_get_fd(socket), &first, 1, MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got != 1 || first != RECORD_HANDSHAKE) {
        if (got == 1 && first >= 'A' && first <= 'Z') refuse_plain(connection->http, socket);
        http_tls_give_up(connection);
        return;
    }
    begin_handshake(connection);
}

void http_tls_accept(struct connection *connection)
{
    connection->stage = STAGE_HELLO;
    http_line_add(LINE_HELLO, connection);
    h2o_socket_dont_read(connection->socket, 1);
    h2o_socket_read_start(connection->socket, on_hello);
}

/* ---- the certificate */

void http_set_tls(struct http *http, struct tls *tls)
{
    SSL_CTX_set_info_callback(tls->context, on_info);
    tls_free(http->tls);
    http->tls = tls;
    http->network->certificate_ends_at_s = tls->ends_at_s;
}
