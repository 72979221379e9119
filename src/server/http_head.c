/*
 * http_head.c: see http_head.h.
 */
#include "server/http_head.h"

#include <string.h>
#include <sys/types.h>

/* picohttpparser, as libh2o exports it; Debian has no header of it. */
struct phr_header {
    const char *name; /* NULL: goes on with the value before (a folded line) */
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_request(const char *text, size_t length, const char **method, size_t *method_length,
                      const char **path, size_t *path_length, int *minor_version,
                      struct phr_header *headers, size_t *header_count, size_t length_before);

static const struct problem malformed = {
    .code = PROBLEM_BAD_REQUEST, .field = "request", .expected = "well-formed HTTP/1.1"};
static const struct problem target_too_long = {.code = PROBLEM_TARGET_TOO_LONG,
                                               .field = "path",
                                               .expected = "a path and query of at most 8 KiB"};
static const struct problem headers_too_large = {
    .code = PROBLEM_HEADERS_TOO_LARGE, .field = "headers", .expected = "at most 32 KiB in all"};
static const struct problem too_many_headers = {
    .code = PROBLEM_HEADERS_TOO_LARGE, .field = "headers", .expected = "at most 100 headers"};

static bool first_line_is_open(struct bytes text)
{
    const size_t most = HTTP_TARGET_BYTES_MAX + 512; /* methods and versions are words */
    return memchr(text.at, '\n', text.length < most ? text.length : most) == NULL;
}

static bool has_too_many_headers(struct bytes text)
{
    size_t lines = 0;
    for (size_t at = 0; at < text.length; ++at) {
        if (text.at[at] != '\n') continue;
        ++lines;
        const bool is_end =
            at + 1 < text.length && (text.at[at + 1] == '\r' || text.at[at + 1] == '\n');
        if (is_end) break;
    }
    return lines > HTTP_HEADERS_MAX + 1;
}

static bool is_named(const struct phr_header *header, const char *lower_case)
{
    if (header->name == NULL || header->name_len != strlen(lower_case)) return false;
    for (size_t at = 0; at < header->name_len; ++at) {
        const char letter = header->name[at];
        const char lower = letter >= 'A' && letter <= 'Z' ? (char)(letter + ('a' - 'A')) : letter;
        if (lower != lower_case[at]) return false;
    }
    return true;
}

/* A proxy in front may go by the one where h2o goes by the other, and then what is the body for
 * one of them is the next request for the other. */
static bool is_ambiguous(const struct phr_header *headers, size_t count,
                         struct problem *problem_out)
{
    size_t lengths = 0;
    size_t codings = 0;
    for (size_t i = 0; i < count; ++i) {
        lengths += is_named(&headers[i], "content-length");
        codings += is_named(&headers[i], "transfer-encoding");
    }
    if (lengths + codings <= 1) return false;
    *problem_out = (struct problem){.code = PROBLEM_BAD_REQUEST,
                                    .field = codings > 1 ? "Transfer-Encoding" : "Content-Length",
                                    .expected = "one Content-Length or one Transfer-Encoding"};
    return true;
}

enum http_head http_head_judge(struct bytes text, size_t *bytes_out, struct problem *problem_out)
{
    struct phr_header headers[HTTP_HEADERS_MAX];
    size_t count = COUNT_OF(headers);
    const char *method = NULL;
    const char *path = NULL;
    size_t method_length = 0;
    size_t path_length = 0;
    int minor_version = 0;
    const int parsed =
        phr_parse_request((const char *)text.at, text.length, &method, &method_length, &path,
                          &path_length, &minor_version, headers, &count, 0);
    if (parsed > 0) {
        if (is_ambiguous(headers, count, problem_out)) return HTTP_HEAD_WRONG;
        *bytes_out = (size_t)parsed;
        return HTTP_HEAD_WHOLE;
    }
    if (parsed == -2 && text.length <= HTTP_HEAD_BYTES_MAX) return HTTP_HEAD_PART;
    if (parsed == -2)
        *problem_out = first_line_is_open(text) ? target_too_long : headers_too_large;
    else
        *problem_out = has_too_many_headers(text) ? too_many_headers : malformed;
    return HTTP_HEAD_WRONG;
}
