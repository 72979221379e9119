/*
 * client.c: a connection per request, closed by the answer. What is slow about that is nothing next
 * to a person's command; what needs speed goes through pool.c.
 */
#include "main/client.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "main/answer.h"
#include "main/http_response.h"

enum { CALL_SECONDS_MAX = 30, REQUEST_BYTES_MAX = 64 << 10, RECEIVE_BYTES_START = 16 << 10 };

static void complain_address(const char *command, const char *url, const char *expected)
{
    (void)fprintf(stderr, "weir %s: server '%s': %s\n", command, url, expected);
}

/* "http://name:port/", with or without the scheme, the port and the slash. */
static bool cut_url(const char *command, const char *url, char host_out[256], char port_out[8])
{
    const char *at = url;
    if (strncmp(at, "http://", 7) == 0) {
        at += 7;
    } else if (strstr(at, "://") != NULL) {
        complain_address(command, url, "expected http://HOST:PORT");
        return false;
    }
    const char *host = *at == '[' ? at + 1 : at;
    const size_t host_length = *at == '[' ? strcspn(host, "]") : strcspn(host, ":/");
    const char *behind = host + host_length + (*at == '[' ? 1 : 0);
    const char *port = *behind == ':' ? behind + 1 : "7878/";
    const size_t port_length = strcspn(port, "/");
    const char *rest = *behind == ':' ? port + port_length : behind;
    if (host_length == 0 || host_length > 255 || port_length == 0 || port_length > 5 ||
        strspn(port, "0123456789") != port_length ||
        (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)) {
        complain_address(command, url, "expected http://HOST:PORT");
        return false;
    }
    memcpy(host_out, host, host_length);
    host_out[host_length] = '\0';
    memcpy(port_out, port, port_length);
    port_out[port_length] = '\0';
    return true;
}

struct option_rule client_server_option(const char **url_out)
{
    return (struct option_rule){.name = "server",
                                .argument = "URL",
                                .help = "default: $WEIR_SERVER, else " CLIENT_SERVER_DEFAULT,
                                .kind = OPTION_TEXT,
                                .value_out = url_out};
}

struct option_rule client_json_option(bool *is_json_out)
{
    return (struct option_rule){.name = "json",
                                .help = "the answer as it came",
                                .kind = OPTION_FLAG,
                                .value_out = is_json_out};
}

bool server_address_find(const char *command, const char *url, struct server_address *address_out)
{
    char host[256];
    char port[8];
    if (url == NULL) url = getenv("WEIR_SERVER");
    if (url == NULL || url[0] == '\0') url = CLIENT_SERVER_DEFAULT;
    if (!cut_url(command, url, host, port)) return false;

    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0) {
        complain_address(command, url, gai_strerror(result));
        return false;
    }
    *address_out = (struct server_address){.socket_length = found->ai_addrlen};
    memcpy(&address_out->socket, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    const bool is_bracketed = strchr(host, ':') != NULL;
    (void)snprintf(address_out->host, sizeof(address_out->host), is_bracketed ? "[%s]:%s" : "%s:%s",
                   host, port);
    return true;
}

void client_request_put(struct buffer *buffer, const struct server_address *address,
                        const struct client_request *request)
{
    buffer_put_text(buffer, request->method);
    buffer_put_text(buffer, " ");
    buffer_put_text(buffer, request->path);
    buffer_put_text(buffer, " HTTP/1.1\r\nHost: ");
    buffer_put_text(buffer, address->host);
    if (request->body.length > 0)
        buffer_put_text(buffer, "\r\nContent-Type: application/json\r\nContent-Length: ");
    else
        buffer_put_text(buffer, "\r\nContent-Length: ");
    buffer_put_decimal(buffer, request->body.length);
    buffer_put_text(buffer, "\r\n\r\n");
    buffer_put(buffer, request->body.at, request->body.length);
}

static void close_socket(int *socket)
{
    if (*socket >= 0) (void)close(*socket);
    *socket = -1;
}

static bool send_all(int socket, struct bytes bytes)
{
    while (bytes.length > 0) {
        const ssize_t sent = send(socket, bytes.at, bytes.length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes.at += sent;
        bytes.length -= (size_t)sent;
    }
    return true;
}

/* Reads until the answer is whole. On failure errno says why; 0: the answer makes no sense. */
static bool receive_answer(int socket, struct client_answer *answer)
{
    size_t size = RECEIVE_BYTES_START;
    size_t length = 0;
    for (;;) {
        char *grown = realloc(answer->received, size);
        if (grown == NULL) return false;
        answer->received = grown;
        const ssize_t got = recv(socket, grown + length, size - length - 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        length += (size_t)got;
        struct http_response response;
        const enum http_progress progress = http_response_read(grown, length, got == 0, &response);
        if (progress == HTTP_COMPLETE) {
            answer->status = response.status;
            answer->body = response.body;
            answer->body_length = response.body_length;
            return true;
        }
        errno = 0;
        if (progress == HTTP_BROKEN || size > CLIENT_ANSWER_BYTES_MAX) return false;
        if (size - length < RECEIVE_BYTES_START / 4) size *= 2;
    }
}

static bool complain_world(const char *command, const struct server_address *address,
                           const char *doing)
{
    if (errno == ECONNREFUSED)
        (void)fprintf(stderr, "weir %s: nobody listens on http://%s; is `weir serve` running?\n",
                      command, address->host);
    else if (errno == EAGAIN || errno == EINPROGRESS)
        (void)fprintf(stderr, "weir %s: http://%s: no answer within %d s\n", command, address->host,
                      CALL_SECONDS_MAX);
    else
        (void)fprintf(stderr, "weir %s: http://%s: %s: %s\n", command, address->host, doing,
                      errno != 0 ? strerror(errno) : "not an HTTP/1.1 answer");
    return false;
}

bool client_call(const char *command, const struct server_address *address,
                 const struct client_request *request, struct client_answer *answer_out)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    CLEANUP(close_socket)
    int connection = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = CALL_SECONDS_MAX};
    if (connection < 0 ||
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(connection, (const struct sockaddr *)&address->socket, address->socket_length) != 0)
        return complain_world(command, address, "cannot connect");

    uint8_t block[REQUEST_BYTES_MAX];
    struct buffer buffer = buffer_over(block, sizeof(block));
    client_request_put(&buffer, address, request);
    if (buffer.overflowed) {
        (void)fprintf(stderr, "weir %s: the request is longer than %d bytes\n", command,
                      REQUEST_BYTES_MAX);
        return false;
    }
    if (!send_all(connection, buffer_bytes(&buffer)))
        return complain_world(command, address, "cannot send");
    if (!receive_answer(connection, &answer))
        return complain_world(command, address, "cannot receive");
    *answer_out = answer;
    answer.received = NULL;
    return true;
}

bool client_expect(const char *command, const struct server_address *address,
                   const struct client_request *request, struct client_answer *answer_out)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    if (!client_call(command, address, request, &answer)) return false;
    if (answer.status < 200 || answer.status > 299) {
        client_complain(command, &answer);
        return false;
    }
    *answer_out = answer;
    answer.received = NULL;
    return true;
}

void client_answer_free(struct client_answer *answer)
{
    free(answer->received);
    answer->received = NULL;
}

void client_complain(const char *command, const struct client_answer *answer)
{
    CLEANUP(answer_free) yajl_val problem = answer_parse(answer->body);
    const char *detail = answer_text(problem, "detail");
    const char *code = answer_text(problem, "code");
    (void)fprintf(stderr, "weir %s: %s", command,
                  detail[0] != '\0' ? detail : "the server refused without saying why");
    if (code[0] != '\0')
        (void)fprintf(stderr, " (%s)\n", code);
    else
        (void)fprintf(stderr, " (HTTP status %u)\n", answer->status);
}

static void put_hexadecimal(struct buffer *buffer, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    buffer_put_byte(buffer, (uint8_t)digits[byte >> 4]);
    buffer_put_byte(buffer, (uint8_t)digits[byte & 15]);
}

void put_path_part(struct buffer *buffer, const char *part)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    for (; *part != '\0'; ++part) {
        if (strchr(unreserved, *part) != NULL) {
            buffer_put_byte(buffer, (uint8_t)*part);
        } else {
            buffer_put_byte(buffer, '%');
            put_hexadecimal(buffer, (uint8_t)*part);
        }
    }
}

void put_json_string(struct buffer *buffer, struct bytes text)
{
    buffer_put_byte(buffer, '"');
    for (size_t i = 0; i < text.length; ++i) {
        const uint8_t byte = text.at[i];
        if (byte < ' ') {
            buffer_put_text(buffer, "\\u00");
            put_hexadecimal(buffer, byte);
            continue;
        }
        if (byte == '"' || byte == '\\') buffer_put_byte(buffer, '\\');
        buffer_put_byte(buffer, byte);
    }
    buffer_put_byte(buffer, '"');
}
