/*
 * json.h: JSON text -> events, JSON values -> text. Private to src/wire.
 *
 * Reading goes through yajl (SAX), closed where yajl is open: the text must be UTF-8 without
 * surrogates, escaped surrogates come in pairs, no string may be left open after the value, nesting
 * has a ceiling, and all memory is one piece of the arena, measured before yajl starts, because
 * yajl does not survive an allocation that fails.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* text: as written */
    JSON_STRING, /* text: decoded */
    JSON_KEY,    /* text: decoded; the event of its value follows */
    JSON_MAP,
    JSON_LIST,
    JSON_MAP_END,
    JSON_LIST_END
};

struct json_event {
    enum json_kind kind;
    uint32_t depth;    /* maps and lists around it; of a start or an end: without its own */
    size_t offset;     /* of the first byte after the token */
    struct bytes text; /* lives as long as the body and the arena */
};

typedef void json_listener(void *self, const struct json_event *event);

enum json_verdict {
    JSON_READ,
    JSON_NOT_UTF8,
    JSON_MALFORMED,
    JSON_TOO_DEEP,
    JSON_NO_ROOM /* a string too long for the arena */
};

struct json_result {
    enum json_verdict verdict;
    size_t offset; /* unless JSON_READ: of the byte that is wrong, or of what is missing */
};

/* The listener may have heard part of a text that turns out to be malformed or too deep. */
MUST_USE struct json_result json_read(struct bytes text, uint32_t depth_max, struct arena *arena,
                                      json_listener *listener, void *self);

/* The path of the value that the byte at `offset` is in, or was to be in: "quantities.requests",
 * "operations[3].quantities"; "" for the text as a whole. The text may be anything. Keys are shown
 * as they are spelt. NULL: the arena has no room. */
const char *json_where(struct bytes text, size_t offset, struct arena *arena);

/* Writing. Commas take care of themselves: whether one is due shows in the last byte written. An
 * answer's outermost brace is json_begin: what stands before it in the buffer is not its business.
 * Everything else inside an object is a key and a value, inside a list a value. */
void json_begin(struct buffer *buffer);
void json_open(struct buffer *buffer, char bracket); /* '{' or '[' as a value */
void json_close(struct buffer *buffer, char bracket);
void json_key(struct buffer *buffer, const char *key);

void json_text(struct buffer *buffer, struct bytes text); /* bad UTF-8 becomes U+FFFD */
void json_words(struct buffer *buffer, const char *text);
void json_number(struct buffer *buffer, int64_t value);
void json_count(struct buffer *buffer, uint64_t value);
void json_bool(struct buffer *buffer, bool value);
void json_null(struct buffer *buffer);
void json_credits(struct buffer *buffer, int64_t nano);
void json_instant(struct buffer *buffer, int64_t instant_ms);
void json_id(struct buffer *buffer, char letter, uint64_t number);

/* A string made of pieces. */
void json_text_begin(struct buffer *buffer);
void json_text_part(struct buffer *buffer, struct bytes part);
void json_words_part(struct buffer *buffer, const char *part);
void json_count_part(struct buffer *buffer, uint64_t value);
void json_text_end(struct buffer *buffer);

/* The longest prefix of at most `bytes_max` bytes that does not cut a character. */
struct bytes json_cut(struct bytes text, size_t bytes_max);
