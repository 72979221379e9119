/*
 * json_read.c: yajl in a box. One pass over the text before yajl sees it finds what yajl would let
 * through (lone surrogates, a string left open behind the value) and how long the longest token is,
 * which is what yajl's memory depends on; then yajl runs on memory that is known to suffice.
 */
#include "wire/json.h"

#include <string.h>

#include <yajl/yajl_parse.h>

/* yajl keeps a handle, a lexer, a stack of states and two buffers that start at 2 KiB and double
 * until a token fits. With growth in place both together stay below this. */
#define YAJL_FIXED_BYTES ((size_t)8 * 1024)
#define YAJL_BYTES_PER_TOKEN_BYTE ((size_t)4)

struct survey {
    size_t token_bytes; /* of the longest token */
    size_t token_at;    /* where that begins */
    bool has_escapes;
    bool is_open;    /* ends within a string */
    bool has_halves; /* of surrogate pairs */
    size_t half_at;  /* the first of them */
};

/* The code unit of the \uXXXX at the start of the text; -1: there is none. */
static int32_t escaped_unit(struct bytes text)
{
    if (text.length < 6 || text.at[0] != '\\' || text.at[1] != 'u') return -1;
    int32_t unit = 0;
    for (size_t place = 2; place < 6; place++) {
        const int32_t digit = bytes_hex_digit(text.at[place]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* How many bytes the escape at the start of the text takes; 0: half a surrogate pair. */
static size_t escape_length(struct bytes text)
{
    const int32_t unit = escaped_unit(text);
    if (unit < 0xd800 || unit > 0xdfff) return 2;
    if (unit >= 0xdc00) return 0;
    const int32_t second = escaped_unit((struct bytes){text.at + 6, text.length - 6});
    return second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

static bool ends_token(uint8_t byte)
{
    return byte <= ' ' || byte == ',' || byte == ':' || byte == '{' || byte == '}' || byte == '[' ||
           byte == ']';
}

static struct survey survey_of(struct bytes text)
{
    struct survey survey = {0};
    size_t start = 0;
    for (size_t at = 0; at < text.length; at++) {
        const uint8_t byte = text.at[at];
        if (survey.is_open && byte == '\\') {
            survey.has_escapes = true;
            const size_t length = escape_length((struct bytes){text.at + at, text.length - at});
            if (length == 0 && !survey.has_halves) survey.half_at = at;
            survey.has_halves = survey.has_halves || length == 0;
            at += length > 2 ? length - 1 : 1;
        } else if (byte == '"') {
            survey.is_open = !survey.is_open;
        } else if (!survey.is_open && ends_token(byte)) {
            start = at + 1;
        }
        const size_t length = at < text.length ? at + 1 - start : text.length - start;
        if (length <= survey.token_bytes) continue;
        survey.token_bytes = length;
        survey.token_at = start;
    }
    return survey;
}

/* Memory for one run of yajl: taken from the front, the last piece can grow in place, nothing is
 * given back. */
struct box {
    uint8_t *at;
    size_t used;
    size_t size;
    uint8_t *last;
    size_t last_bytes;
};

static void *box_take(void *context, size_t bytes)
{
    struct box *box = context;
    box->used = (box->used + 15) & ~(size_t)15;
    ENSURE(bytes <= box->size && box->used <= box->size - bytes);
    box->last = box->at + box->used;
    box->last_bytes = bytes;
    box->used += bytes;
    return box->last;
}

static void *box_grow(void *context, void *piece, size_t bytes)
{
    struct box *box = context;
    if (piece == NULL) return box_take(box, bytes);
    /* yajl's buffers never grow while another was taken after them (its stack of states does not
     * outgrow its first piece below the depth ceiling). */
    ENSURE(piece == box->last && bytes >= box->last_bytes);
    box->used -= box->last_bytes;
    ENSURE(bytes <= box->size - box->used);
    box->used += bytes;
    box->last_bytes = bytes;
    return piece;
}

static void box_give(void *context, void *piece)
{
    (void)context;
    (void)piece;
}

struct reading {
    struct bytes text;
    struct box box;
    struct buffer copies; /* decoded strings: shorter than what they were decoded from */
    yajl_handle yajl;
    uint32_t depth;
    uint32_t depth_max;
    bool too_deep;
    json_listener *listener;
    void *self;
};

static int tell(struct reading *reading, enum json_kind kind, struct bytes text)
{
    const struct json_event event = {
        .kind = kind,
        .depth = reading->depth,
        .offset = yajl_get_bytes_consumed(reading->yajl),
        .text = text,
    };
    reading->listener(reading->self, &event);
    return 1;
}

static bool is_within(struct bytes text, const void *at)
{
    return (uintptr_t)at >= (uintptr_t)text.at && (uintptr_t)at - (uintptr_t)text.at < text.length;
}

/* yajl's own memory ends with the run; what the listener may keep does not. */
static struct bytes kept(struct reading *reading, const void *at, size_t length)
{
    if (is_within(reading->text, at)) return (struct bytes){at, length};
    const struct bytes copy = {reading->copies.at + reading->copies.used, length};
    buffer_put(&reading->copies, at, length);
    ENSURE(!reading->copies.overflowed);
    return copy;
}

static int on_null(void *context)
{
    return tell(context, JSON_NULL, BYTES("null"));
}

static int on_bool(void *context, int value)
{
    return value != 0 ? tell(context, JSON_TRUE, BYTES("true"))
                      : tell(context, JSON_FALSE, BYTES("false"));
}

static int on_number(void *context, const char *at, size_t length)
{
    const struct bytes text = ((struct reading *)context)->text;
    /* A number that the text ends with is told from yajl's memory. */
    const void *from = is_within(text, at) ? (const void *)at : text.at + text.length - length;
    return tell(context, JSON_NUMBER, (struct bytes){from, length});
}

static int on_string(void *context, const unsigned char *at, size_t length)
{
    return tell(context, JSON_STRING, kept(context, at, length));
}

static int on_key(void *context, const unsigned char *at, size_t length)
{
    return tell(context, JSON_KEY, kept(context, at, length));
}

static int go_in(struct reading *reading, enum json_kind kind)
{
    reading->too_deep = reading->depth == reading->depth_max;
    if (reading->too_deep) return 0;
    (void)tell(reading, kind, kind == JSON_MAP ? BYTES("{...}") : BYTES("[...]"));
    reading->depth++;
    return 1;
}

static int on_map(void *context)
{
    return go_in(context, JSON_MAP);
}

static int on_list(void *context)
{
    return go_in(context, JSON_LIST);
}

static int on_map_end(void *context)
{
    ((struct reading *)context)->depth--;
    return tell(context, JSON_MAP_END, BYTES_NONE);
}

static int on_list_end(void *context)
{
    ((struct reading *)context)->depth--;
    return tell(context, JSON_LIST_END, BYTES_NONE);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_list,
    .yajl_end_array = on_list_end,
};

static struct json_result run(struct reading *reading, bool is_open)
{
    yajl_alloc_funcs functions = {box_take, box_grow, box_give, &reading->box};
    reading->yajl = yajl_alloc(&callbacks, &functions, reading);
    yajl_status status = yajl_parse(reading->yajl, reading->text.at, reading->text.length);
    /* What yajl stumbled over is consumed already. */
    const size_t consumed = yajl_get_bytes_consumed(reading->yajl);
    const size_t offset = consumed > 0 ? consumed - 1 : 0;
    if (reading->too_deep) return (struct json_result){JSON_TOO_DEEP, offset};
    if (status != yajl_status_ok) return (struct json_result){JSON_MALFORMED, offset};
    status = yajl_complete_parse(reading->yajl);
    /* A string left open behind a whole value does not disturb yajl. */
    if (status == yajl_status_ok && !is_open) return (struct json_result){JSON_READ, 0};
    return (struct json_result){JSON_MALFORMED, reading->text.length};
}

struct json_result json_read(struct bytes text, uint32_t depth_max, struct arena *arena,
                             json_listener *listener, void *self)
{
    if (text.length == 0) return (struct json_result){JSON_MALFORMED, 0};
    const size_t utf8_length = bytes_utf8_length(text);
    if (utf8_length < text.length) return (struct json_result){JSON_NOT_UTF8, utf8_length};
    const struct survey survey = survey_of(text);
    if (survey.has_halves) return (struct json_result){JSON_NOT_UTF8, survey.half_at};

    struct reading reading = {
        .text = text, .depth_max = depth_max, .listener = listener, .self = self};
    const size_t copies_bytes = survey.has_escapes ? text.length : 0;
    reading.copies = buffer_over(arena_take(arena, copies_bytes), copies_bytes);
    /* The copies stay, yajl's memory goes back before this returns; while it is in use, the
     * listener may take from the arena, so it is cut out of the arena's end. */
    reading.box.size = YAJL_FIXED_BYTES + YAJL_BYTES_PER_TOKEN_BYTE * (survey.token_bytes + 1);
    if (arena->size < reading.box.size + 16 || arena->used > arena->size - reading.box.size - 16)
        return (struct json_result){JSON_NO_ROOM, survey.token_at};
    if (survey.has_escapes && reading.copies.at == NULL)
        return (struct json_result){JSON_NO_ROOM, survey.token_at};
    const size_t size = arena->size;
    arena->size -= reading.box.size + 16;
    reading.box.at = arena->block + arena->size;
    reading.box.at += -(uintptr_t)reading.box.at & 15;
    const struct json_result result = run(&reading, survey.is_open);
    arena->size = size;
    return result;
}
