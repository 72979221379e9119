/*
 * json.h: JSON text -> events; writing is in json_write.h. Private to src/wire.
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
#include "wire/json_write.h"

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

/* The longest prefix of at most `bytes_max` bytes that does not cut a character. */
struct bytes json_cut(struct bytes text, size_t bytes_max);
