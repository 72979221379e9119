/*
 * json_where.c: where in a text a byte is, told as the path of the value that it belongs to. For
 * texts that are no JSON, so this reads what is there and judges nothing: strings, brackets, colons
 * and commas are all it knows, and whatever stands between them is somebody's value.
 */
#include "wire/json.h"

/* The contract nests no deeper than "operations[3].quantities.input_tokens". */
#define STEPS_MAX 4u
#define STEP_BYTES_MAX 128u
#define PATH_BYTES_MAX ((size_t)STEPS_MAX * (STEP_BYTES_MAX + 16))

/* A container that is open where the reading is. */
struct level {
    bool is_list;
    bool has_value; /* of a map: the colon was there */
    uint32_t element;
    struct bytes key;
};

struct walk {
    struct level levels[STEPS_MAX];
    uint32_t depth; /* may be beyond the levels, which then are the outermost */
    bool in_string;
    size_t string_start;
};

static struct level *innermost(struct walk *walk)
{
    return walk->depth >= 1 && walk->depth <= STEPS_MAX ? &walk->levels[walk->depth - 1] : NULL;
}

static void open_level(struct walk *walk, bool is_list)
{
    walk->depth++;
    struct level *level = innermost(walk);
    if (level != NULL) *level = (struct level){.is_list = is_list};
}

static void end_string(struct walk *walk, struct bytes text, size_t at)
{
    struct level *level = innermost(walk);
    walk->in_string = false;
    if (level == NULL || level->is_list || level->has_value) return;
    level->key = (struct bytes){text.at + walk->string_start, at - walk->string_start};
}

static void take_mark(struct walk *walk, uint8_t mark)
{
    struct level *level = innermost(walk);
    if (mark == '{' || mark == '[') {
        open_level(walk, mark == '[');
    } else if (mark == '}' || mark == ']') {
        if (walk->depth > 0) walk->depth--;
    } else if (level == NULL) {
        return;
    } else if (mark == ':') {
        level->has_value = true;
    } else if (mark == ',') {
        level->has_value = false;
        level->element++;
    }
}

static struct walk walk_to(struct bytes text, size_t offset)
{
    struct walk walk = {0};
    for (size_t at = 0; at < offset && at < text.length; at++) {
        const uint8_t byte = text.at[at];
        if (walk.in_string && byte == '\\') {
            at++;
        } else if (walk.in_string && byte == '"') {
            end_string(&walk, text, at);
        } else if (byte == '"') {
            walk.in_string = true;
            walk.string_start = at + 1;
        } else if (!walk.in_string) {
            take_mark(&walk, byte);
        }
    }
    return walk;
}

static void put_key(struct buffer *path, struct bytes key)
{
    const struct bytes cut = json_cut(key, STEP_BYTES_MAX);
    if (path->used > 0) buffer_put_byte(path, '.');
    for (size_t at = 0; at < cut.length; at++)
        buffer_put_byte(path, cut.at[at] == 0 ? '?' : cut.at[at]);
}

const char *json_where(struct bytes text, size_t offset, struct arena *arena)
{
    const struct walk walk = walk_to(text, offset);
    char *block = arena_take(arena, PATH_BYTES_MAX);
    if (block == NULL) return NULL;
    struct buffer path = buffer_over(block, PATH_BYTES_MAX - 1);
    for (uint32_t at = 0; at < walk.depth && at < STEPS_MAX; at++) {
        const struct level *level = &walk.levels[at];
        if (!level->is_list && !level->has_value) break;
        if (!level->is_list) {
            put_key(&path, level->key);
            continue;
        }
        buffer_put_byte(&path, '[');
        buffer_put_decimal(&path, level->element);
        buffer_put_byte(&path, ']');
    }
    ENSURE(!path.overflowed);
    block[path.used] = '\0';
    return block;
}
