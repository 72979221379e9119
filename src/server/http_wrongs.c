/*
 * http_wrongs.c: what is wrong with a request must be told as a problem, also where no request
 * comes of it (docs/decisions/0004-what-h2o-refuses.md). A head that h2o refuses it answers past
 * all filters, and a connection that ends or times out in the middle it just closes: so its
 * callbacks for reading and writing are called through ours (on_bytes, on_written), which look at
 * the bytes first. What they refuse they answer themselves, and then let h2o take the connection
 * for closed.
 *
 * On a TLS connection nothing may be written that is not sealed: last words go through http_tls.c.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http_inner.h"

static void on_bytes(h2o_socket_t *socket, const char *error);
static void on_written(h2o_socket_t *socket, const char *error);

void http_stand_between(struct connection *connection)
{
    h2o_socket_t *socket = connection->socket;
    if (socket == NULL) return;
    const h2o_socket_cb read = socket->_cb.read;
    if (read != NULL && read != on_bytes && read != http_on_parked_readable) {
        connection->read = read;
        socket->_cb.read = on_bytes;
        h2o_socket_dont_read(socket, 0);
    }
    const h2o_socket_cb write = socket->_cb.write;
    if (write != NULL && write != on_written) {
        connection->write = write;
        socket->_cb.write = on_written;
    }
}

bool http_is_reading(const struct connection *connection)
{
    return connection->stage == STAGE_OPEN && connection->socket->_cb.read == on_bytes;
}

/* ---- last words */

/* What is still to be read when a socket is closed resets the connection, and the answer with it.
 */
static void drain_input(int fd)
{
    uint8_t block[16384];
    for (int i = 0; i < 64; ++i)
        if (recv(fd, block, sizeof(block), MSG_DONTWAIT) <= 0) return;
}

static void write_problem(struct http *http, struct problem problem, struct buffer *out)
{
    ++http->network->problems[problem.code];
    uint8_t block[WIRE_PROBLEM_BYTES_MAX];
    struct buffer body = buffer_over(block, sizeof(block));
    const unsigned status = wire_problem_status(problem.code);
    const struct request_id id = http_name_request(http, NULL);
    wire_render_problem(&problem, request_id_bytes(&id), &body);
    buffer_put_text(out, "HTTP/1.1 ");
    buffer_put_decimal(out, status);
    buffer_put_byte(out, ' ');
    buffer_put_text(out, http_reason(status));
    if (status == 503) buffer_put_text(out, "\r\nretry-after: 1");
    buffer_put_text(out, "\r\nConnection: close\r\nContent-Length: ");
    buffer_put_decimal(out, body.used);
    buffer_put_text(out, "\r\ncontent-type: application/problem+json\r\nx-request-id: ");
    buffer_put(out, id.text, sizeof(id.text));
    buffer_put_text(out, "\r\n\r\n");
    buffer_put(out, body.at, body.used);
    ENSURE(!body.overflowed && !out->overflowed);
}

static void say_bare(int fd, struct bytes text)
{
    (void)send(fd, text.at, text.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    drain_input(fd);
}

void http_tell_bare(struct http *http, int fd, struct problem problem)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX + 256];
    struct buffer out = buffer_over(block, sizeof(block));
    write_problem(http, problem, &out);
    say_bare(fd, buffer_bytes(&out));
}

/* Whoever cannot take it at once does without. */
static void tell_problem(struct connection *connection, struct problem problem)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX + 256];
    struct buffer out = buffer_over(block, sizeof(block));
    write_problem(connection->http, problem, &out);
    if (connection->socket->ssl == NULL) {
        say_bare(h2o_socket_get_fd(connection->socket), buffer_bytes(&out));
        return;
    }
    http_tls_say_last(connection, buffer_bytes(&out));
    drain_input(h2o_socket_get_fd(connection->socket));
}

void http_refuse_unfinished(struct connection *connection, struct problem problem)
{
    h2o_socket_t *socket = connection->socket;
    tell_problem(connection, problem);
    connection->read(socket, h2o_socket_error_closed);
}

static struct problem torn(const struct connection *connection)
{
    return (struct problem){.code = PROBLEM_BAD_REQUEST,
                            .field = connection->has_head ? "body" : "request",
                            .expected = connection->has_head ? "a body as long as its headers say"
                                                             : "a request to its end"};
}

/* ---- reading */

bool http_judge_input(struct connection *connection)
{
    const struct bytes input = input_of(connection->socket);
    struct problem problem;
    if (connection->has_head || input.length == 0) return true;
    const enum http_head head = http_head_judge(input, &connection->request_bytes, &problem);
    connection->has_head = head == HTTP_HEAD_WHOLE;
    if (head != HTTP_HEAD_WRONG) return true;
    tell_problem(connection, problem);
    return false;
}

/* The client of a TLS connection has ended its stream; what it sends beyond that would be kept and
 * never read. Its request, if it is whole, is being answered. */
static void end_if_tls_ended(struct connection *connection)
{
    if (connection->socket == NULL || connection->ssl == NULL) return;
    if (!http_tls_has_ended(connection) || !http_is_reading(connection)) return;
    if (connection->socket->input->size > 0)
        http_refuse_unfinished(connection, torn(connection));
    else
        connection->read(connection->socket, h2o_socket_error_closed);
}

/* Bytes have come for h2o, or the client's end of them. */
static void on_bytes(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    if (error != NULL) {
        if (socket->input->size > 0)
            tell_problem(connection, torn(connection));
        else if (connection->ssl != NULL)
            http_tls_say_last(connection, BYTES_NONE);
    } else {
        http_hold(connection, false);
        if (connection->socket == NULL) return; /* it was refused for its size */
        if (!http_judge_input(connection)) error = h2o_socket_error_closed;
    }
    connection->read(socket, error);
    http_stand_between(connection);
    end_if_tls_ended(connection);
}

/* Nobody takes what arrives now: while a request is parked it is only looked at, for later, and
 * while an answer is on its way out some of it is read, for h2o to find. Who sends on and takes no
 * answers fills his own socket. */
void http_on_parked_readable(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    if (error != NULL || connection->is_parked || http_is_ahead(connection))
        h2o_socket_read_stop(socket);
    http_hold(connection, true);
}

/* ---- writing */

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
    tell_problem(connection, problem);
    connection->request->http1_is_persistent = 0;
}

/* h2o's bytes are out: of an answer, of a piece of one, or of a 100. */
static void on_written(h2o_socket_t *socket, const char *error)
{
    struct connection *connection = connection_of(socket);
    connection->answer_bytes = 0;
    connection->deadline_ns = 0;
    if (connection->is_answered) {
        connection->is_answered = false;
        if (error == NULL) judge_next(connection);
        if (connection->ssl != NULL && !connection->request->http1_is_persistent)
            http_tls_say_last(connection, BYTES_NONE);
        http_await(connection);
    }
    connection->write(socket, error);
    http_stand_between(connection);
    if (connection->held_bytes > 0) http_hold(connection, true);
}
