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
#include "main/transport.h"

enum { CALL_SECONDS_MAX = 30, REQUEST_BYTES_MAX = 64 << 10, RECEIVE_BYTES_START = 16 << 10 };

struct url {
    bool is_https;
    char host[256];
    char port[8];
};

static void complain_address(const char *command, const char *url, const char *expected)
{
    (void)fprintf(stderr, "weir %s: server '%s': %s\n", command, url, expected);
}

/* "http://name:port/", with or without the scheme, the port and the slash. */
static bool cut_url(const char *command, const char *text, struct url *url_out)
{
    struct url url = {.is_https = strncmp(text, "https://", 8) == 0};
    const char *scheme_end = strstr(text, "://");
    const char *at = scheme_end != NULL ? scheme_end + 3 : text;
    const bool is_known_scheme =
        scheme_end == NULL || url.is_https || strncmp(text, "http://", 7) == 0;
    const char *host = *at == '[' ? at + 1 : at;
    const size_t host_length = *at == '[' ? strcspn(host, "]") : strcspn(host, ":/");
    const bool is_closed = *at != '[' || host[host_length] == ']';
    const char *behind = host + host_length + (*at == '[' && is_closed ? 1 : 0);
    const char *port = *behind == ':' ? behind + 1 : "7878/";
    const size_t port_length = strcspn(port, "/");
    const char *rest = *behind == ':' ? port + port_length : behind;
    if (!is_known_scheme || !is_closed || host_length == 0 || host_length > 255 ||
        port_length == 0 || port_length > 5 || strspn(port, "0123456789") != port_length ||
        (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)) {
        complain_address(command, text, "expected http://HOST:PORT or https://HOST:PORT");
        return false;
    }
    memcpy(url.host, host, host_length);
    memcpy(url.port, port, port_length);
    *url_out = url;
    return true;
}

struct option_rule client_server_option(struct client_options *options)
{
    return (struct option_rule){.name = "server",
                                .argument = "URL",
                                .help = "default: $WEIR_SERVER, else " CLIENT_SERVER_DEFAULT,
                                .kind = OPTION_TEXT,
                                .section = SECTION_SERVER,
                                .value_out = &options->server};
}

struct option_rule client_key_file_option(struct client_options *options)
{
    return (struct option_rule){.name = "key-file",
                                .argument = "FILE",
                                .help =
                                    "access key to show the server; default: the key in $WEIR_KEY, "
                                    "else none",
                                .kind = OPTION_TEXT,
                                .section = SECTION_SERVER,
                                .value_out = &options->key_file};
}

struct option_rule client_ca_option(struct client_options *options)
{
    return (struct option_rule){.name = "ca",
                                .argument = "FILE",
                                .help = "certificates to trust for https; default: the system's",
                                .kind = OPTION_TEXT,
                                .section = SECTION_SERVER,
                                .value_out = &options->ca};
}

struct option_rule client_json_option(bool *is_json_out)
{
    return (struct option_rule){.name = "json",
                                .help = "the answer as it came",
                                .kind = OPTION_FLAG,
                                .value_out = is_json_out};
}

/* One line of visible characters: it becomes a header. */
static bool take_key(const char *command, const char *from, char *text,
                     struct server_address *address)
{
    size_t length = strcspn(text, "\r\n");
    const bool is_one_line = text[length + strspn(text + length, "\r\n")] == '\0';
    text[length] = '\0';
    for (size_t i = 0; i < length; ++i)
        if (text[i] <= ' ' || text[i] > '~') length = 0;
    if (length == 0 || length > CLIENT_KEY_BYTES_MAX || !is_one_line) {
        (void)fprintf(stderr,
                      "weir %s: %s: expected an access key: one line, at most %u characters\n",
                      command, from, CLIENT_KEY_BYTES_MAX);
        return false;
    }
    memcpy(address->key, text, length + 1);
    return true;
}

static bool find_key(const char *command, const char *path, struct server_address *address)
{
    char text[CLIENT_KEY_BYTES_MAX + 8];
    char from[300];
    if (path == NULL) {
        const char *key = getenv("WEIR_KEY");
        if (key == NULL || key[0] == '\0') return true;
        (void)snprintf(text, sizeof(text), "%s", key);
        return take_key(command, "$WEIR_KEY", text, address);
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)fprintf(stderr, "weir %s: --key-file %s: %s\n", command, path, strerror(errno));
        return false;
    }
    const size_t length = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    (void)snprintf(from, sizeof(from), "--key-file %s", path);
    return take_key(command, from, text, address);
}

/* The first of a name's addresses that somebody listens on, else the first: "localhost" is often
 * ::1 before it is 127.0.0.1. */
static const struct addrinfo *listening_one(const struct addrinfo *first)
{
    for (const struct addrinfo *one = first; first->ai_next != NULL && one != NULL;
         one = one->ai_next) {
        const int attempt = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool is_listening =
            attempt >= 0 && connect(attempt, one->ai_addr, one->ai_addrlen) == 0;
        if (attempt >= 0) (void)close(attempt);
        if (is_listening) return one;
    }
    return first;
}

static bool find_socket(const char *command, const char *text, const struct url *url,
                        struct server_address *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int result = getaddrinfo(url->host, url->port, &hints, &found);
    if (result != 0) {
        complain_address(command, text, gai_strerror(result));
        return false;
    }
    const struct addrinfo *one = listening_one(found);
    address->socket_length = one->ai_addrlen;
    memcpy(&address->socket, one->ai_addr, one->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

bool server_address_find(const char *command, const struct client_options *options,
                         struct server_address *address_out)
{
    const char *text = options->server;
    struct server_address address = {0};
    struct url url;
    if (text == NULL) text = getenv("WEIR_SERVER");
    if (text == NULL || text[0] == '\0') text = CLIENT_SERVER_DEFAULT;
    if (!cut_url(command, text, &url) || !find_key(command, options->key_file, &address) ||
        !find_socket(command, text, &url, &address))
        return false;
    if (options->ca != NULL && !url.is_https) {
        complain_address(command, text, "--ca is for https://HOST:PORT");
        return false;
    }
    const bool is_bracketed = strchr(url.host, ':') != NULL;
    (void)snprintf(address.host, sizeof(address.host), is_bracketed ? "[%s]:%s" : "%s:%s", url.host,
                   url.port);
    (void)snprintf(address.url, sizeof(address.url), "%s://%s", url.is_https ? "https" : "http",
                   address.host);
    if (url.is_https) {
        char complaint[TLS_COMPLAINT_BYTES];
        address.tls = tls_client_open(url.host, options->ca, complaint);
        if (address.tls == NULL) {
            (void)fprintf(stderr, "weir %s: --ca %s\n", command, complaint);
            return false;
        }
    }
    *address_out = address;
    return true;
}

void server_address_close(struct server_address *address)
{
    tls_client_close(address->tls);
    address->tls = NULL;
}

void client_request_put(struct buffer *buffer, const struct server_address *address,
                        const struct client_request *request)
{
    buffer_put_text(buffer, request->method);
    buffer_put_text(buffer, " ");
    buffer_put_text(buffer, request->path);
    buffer_put_text(buffer, " HTTP/1.1\r\nHost: ");
    buffer_put_text(buffer, address->host);
    if (address->key[0] != '\0') {
        buffer_put_text(buffer, "\r\nAuthorization: Bearer ");
        buffer_put_text(buffer, address->key);
    }
    if (request->body.length > 0)
        buffer_put_text(buffer, "\r\nContent-Type: application/json\r\nContent-Length: ");
    else
        buffer_put_text(buffer, "\r\nContent-Length: ");
    buffer_put_decimal(buffer, request->body.length);
    buffer_put_text(buffer, "\r\n\r\n");
    buffer_put(buffer, request->body.at, request->body.length);
}

static bool send_all(struct transport *transport, struct bytes bytes)
{
    while (bytes.length > 0) {
        const ssize_t sent = transport_send(transport, bytes.at, bytes.length);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes.at += sent;
        bytes.length -= (size_t)sent;
    }
    return true;
}

/* Reads until the answer is whole. On failure errno says why; 0: the answer makes no sense. */
static bool receive_answer(struct transport *transport, struct client_answer *answer)
{
    size_t size = RECEIVE_BYTES_START;
    size_t length = 0;
    for (;;) {
        char *grown = realloc(answer->received, size);
        if (grown == NULL) return false;
        answer->received = grown;
        const ssize_t got = transport_receive(transport, grown + length, size - length - 1);
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
                           const struct transport *transport, const char *doing)
{
    char complaint[TLS_COMPLAINT_BYTES];
    const int number = errno;
    if (command == NULL) return false;
    if (number == ECONNREFUSED)
        (void)fprintf(stderr, "weir %s: nobody listens on %s; is `weir serve` running?\n", command,
                      address->url);
    else if (number == EAGAIN || number == EINPROGRESS)
        (void)fprintf(stderr, "weir %s: %s: no answer within %d s\n", command, address->url,
                      CALL_SECONDS_MAX);
    else if (transport_tls_complaint(transport, complaint))
        (void)fprintf(stderr, "weir %s: %s: TLS: %s\n", command, address->url, complaint);
    else
        (void)fprintf(stderr, "weir %s: %s: %s: %s\n", command, address->url, doing,
                      number != 0 ? strerror(number) : "not an HTTP/1.1 answer");
    return false;
}

bool client_call(const char *command, const struct server_address *address,
                 const struct client_request *request, struct client_answer *answer_out)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    CLEANUP(transport_close) struct transport transport = TRANSPORT_CLOSED;
    const struct timeval patience = {.tv_sec = CALL_SECONDS_MAX};
    if (!transport_open(&transport, address, &patience))
        return complain_world(command, address, &transport, "cannot connect");

    uint8_t block[REQUEST_BYTES_MAX];
    struct buffer buffer = buffer_over(block, sizeof(block));
    client_request_put(&buffer, address, request);
    if (buffer.overflowed) {
        (void)fprintf(stderr, "weir %s: the request is longer than %d bytes\n", command,
                      REQUEST_BYTES_MAX);
        return false;
    }
    if (!send_all(&transport, buffer_bytes(&buffer)))
        return complain_world(command, address, &transport, "cannot send");
    if (!receive_answer(&transport, &answer))
        return complain_world(command, address, &transport, "cannot receive");
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
