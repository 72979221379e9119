/*
 * http_response.c: status line, headers, then a body whose end is told by Content-Length, by chunks
 * or by the end of the connection (RFC 9112 §6). Everything is read anew at each call: answers are
 * short, and there is no half-read state to keep.
 */
#include "main/http_response.h"

#include <string.h>
#include <strings.h>

struct framing {
    bool has_length;
    bool is_chunked;
    size_t length;
};

/* Digits up to `end` in base 10 or 16. At most 2^40: no answer of ours is longer. */
static bool read_number(const char *at, const char *end, unsigned base, size_t *value_out)
{
    size_t value = 0;
    if (at == end) return false;
    for (; at < end; ++at) {
        unsigned digit = 16;
        if (*at >= '0' && *at <= '9')
            digit = (unsigned)(*at - '0');
        else if ((*at | 32) >= 'a' && (*at | 32) <= 'f')
            digit = (unsigned)((*at | 32) - 'a' + 10);
        if (digit >= base) return false;
        value = value * base + digit;
        if (value >> 40 != 0) return false;
    }
    *value_out = value;
    return true;
}

static bool read_status(const char *line, const char *end, struct http_response *response)
{
    static const char version[] = "HTTP/1.1 ";
    const size_t prefix = sizeof(version) - 1;
    size_t status = 0;
    if ((size_t)(end - line) < prefix + 3 || memcmp(line, version, prefix) != 0) return false;
    if (!read_number(line + prefix, line + prefix + 3, 10, &status)) return false;
    response->status = (unsigned)status;
    response->keeps_alive = true;
    return true;
}

static bool is_header(const char *line, const char *colon, const char *name)
{
    const size_t length = strlen(name);
    return (size_t)(colon - line) == length && strncasecmp(line, name, length) == 0;
}

static bool read_header(const char *line, const char *end, struct http_response *response,
                        struct framing *framing)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (colon == NULL) return false;
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        ++value;
    const size_t length = (size_t)(end - value);
    if (is_header(line, colon, "content-length")) {
        framing->has_length = true;
        return read_number(value, end, 10, &framing->length);
    }
    if (is_header(line, colon, "transfer-encoding"))
        framing->is_chunked = length == 7 && strncasecmp(value, "chunked", 7) == 0;
    if (is_header(line, colon, "connection") && length == 5 && strncasecmp(value, "close", 5) == 0)
        response->keeps_alive = false;
    return true;
}

/* Reads the chunks; joins them in place once the last one is here. */
static enum http_progress read_chunks(char *body, char *end, struct http_response *response)
{
    for (int is_joining = 0; is_joining < 2; ++is_joining) {
        char *at = body;
        size_t joined = 0;
        for (;;) {
            size_t chunk = 0;
            char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
            if (line_end == NULL) return HTTP_MORE;
            char *extension = memchr(at, ';', (size_t)(line_end - at));
            if (!read_number(at, extension != NULL ? extension : line_end, 16, &chunk))
                return HTTP_BROKEN;
            at = line_end + 2;
            if ((size_t)(end - at) < chunk + 2) return HTTP_MORE;
            if (memcmp(at + chunk, "\r\n", 2) != 0) return HTTP_BROKEN;
            if (chunk == 0) break;
            if (is_joining) memmove(body + joined, at, chunk);
            joined += chunk;
            at += chunk + 2;
        }
        response->body_length = joined;
    }
    return HTTP_COMPLETE;
}

static enum http_progress read_body(char *body, char *end, bool is_ended,
                                    const struct framing *framing, struct http_response *response)
{
    if (framing->is_chunked) return read_chunks(body, end, response);
    response->body_length = (size_t)(end - body);
    if (!framing->has_length) {
        response->keeps_alive = false;
        return is_ended ? HTTP_COMPLETE : HTTP_MORE;
    }
    if (response->body_length < framing->length) return HTTP_MORE;
    response->body_length = framing->length;
    return HTTP_COMPLETE;
}

enum http_progress http_response_read(char *received, size_t length, bool is_ended,
                                      struct http_response *response_out)
{
    struct http_response response = {0};
    struct framing framing = {0};
    const enum http_progress unfinished = is_ended ? HTTP_BROKEN : HTTP_MORE;
    char *head_end = memmem(received, length, "\r\n\r\n", 4);
    if (head_end == NULL) return unfinished;

    const char *line = received;
    for (bool is_first = true; line < head_end + 2; is_first = false) {
        const char *line_end = memmem(line, (size_t)(head_end + 2 - line), "\r\n", 2);
        const bool is_good = is_first ? read_status(line, line_end, &response)
                                      : read_header(line, line_end, &response, &framing);
        if (!is_good) return HTTP_BROKEN;
        line = line_end + 2;
    }
    char *body = head_end + 4;
    const enum http_progress progress =
        read_body(body, received + length, is_ended, &framing, &response);
    if (progress == HTTP_MORE) return unfinished;
    if (progress == HTTP_BROKEN) return HTTP_BROKEN;
    response.body = body;
    body[response.body_length] = '\0';
    *response_out = response;
    return HTTP_COMPLETE;
}
