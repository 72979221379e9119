/*
 * read.c: the typed readers. Numbers are read from their digits alone: what YAML would also call an
 * integer (0x10, 1_000, 1e3, 010) is somebody's slip in a policy.
 */
#include "policy/read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *arena_take_sized(struct arena *arena, size_t bytes)
{
    void *taken = arena_take(arena, bytes);
    ENSURE(taken != NULL);
    return taken;
}

struct bytes bytes_kept(struct compiler *compiler, struct bytes text)
{
    uint8_t *copy = arena_take_sized(compiler->kept, text.length);
    if (text.length > 0) memcpy(copy, text.at, text.length);
    return (struct bytes){copy, text.length};
}

void complain_found(struct compiler *compiler, const struct node *node, const char *format, ...)
{
    if (node->kind == NODE_REFUSED) return;
    char expected[POLICY_COMPLAINT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(expected, sizeof expected, format, arguments);
    va_end(arguments);

    const bool is_nothing = node->kind == NODE_SCALAR && node->is_plain && node->text.length == 0;
    char what[QUOTED_BYTES_MAX + 32];
    if (node->kind == NODE_LIST)
        (void)snprintf(what, sizeof what, node->count == 0 ? "an empty list" : "a list");
    else if (node->kind == NODE_MAPPING)
        (void)snprintf(what, sizeof what, node->count == 0 ? "an empty mapping" : "a mapping");
    else
        (void)snprintf(what, sizeof what, node->is_plain ? "'%s'" : "the text '%s'",
                       quote(node->text).text);

    if (node->key.length > 0)
        complaints_add(compiler->complaints, node->place, "'%s' is %s, expected %s",
                       quote(node->key).text, is_nothing ? "empty" : what, expected);
    else
        complaints_add(compiler->complaints, node->place, "found %s, expected %s",
                       is_nothing ? "nothing" : what, expected);
}

/* A file that is wrong all over does not deserve the time that good guesses take. */
struct bytes suggest_among(const struct compiler *compiler, struct bytes word,
                           const struct bytes *names, uint32_t count)
{
    struct suggestion suggestion = suggestion_for(word);
    if (compiler->complaints->count == POLICY_COMPLAINTS_MAX) return BYTES_NONE;
    for (uint32_t place = 0; place < count; place++)
        suggestion_offer(&suggestion, names[place]);
    return suggestion.best;
}

/* "a, b, c"; what does not fit a message is left out. */
struct name_list {
    char text[POLICY_COMPLAINT_BYTES_MAX];
    size_t length;
};

static void name_list_add(struct name_list *list, const char *name)
{
    const size_t room = sizeof list->text - list->length;
    const int length =
        snprintf(list->text + list->length, room, "%s%s", list->length == 0 ? "" : ", ", name);
    if (length > 0 && (size_t)length < room) list->length += (size_t)length;
}

static struct name_list key_names(const struct key *keys, uint32_t count, bool only_required)
{
    struct name_list list = {0};
    for (uint32_t place = 0; place < count; place++)
        if (keys[place].is_required || !only_required) name_list_add(&list, keys[place].name);
    return list;
}

static void complain_unknown_key(struct compiler *compiler, const struct node *node,
                                 struct suggestion suggestion, const char *expected)
{
    if (suggestion.best.length > 0)
        complaints_add(compiler->complaints, node->key_place,
                       "unknown key '%s', did you mean '%s'?", quote(node->key).text,
                       quote(suggestion.best).text);
    else
        complaints_add(compiler->complaints, node->key_place, "unknown key '%s', expected %s%s",
                       quote(node->key).text,
                       expected[0] == '\0' ? "no keys" : "one of: ", expected);
}

static uint32_t key_place(struct bytes name, const struct key *keys, uint32_t count)
{
    uint32_t place = 0;
    while (place < count && !bytes_equal(bytes_of_text(keys[place].name), name))
        place++;
    return place;
}

/* The place of the key that was probably meant, or `count`. */
static uint32_t unknown_key(struct compiler *compiler, const struct node *node,
                            const struct key *keys, uint32_t count)
{
    struct suggestion suggestion = suggestion_for(node->key);
    for (uint32_t place = 0; place < count; place++)
        suggestion_offer(&suggestion, bytes_of_text(keys[place].name));
    complain_unknown_key(compiler, node, suggestion, key_names(keys, count, false).text);
    return key_place(suggestion.best, keys, count);
}

bool read_keys(struct compiler *compiler, const struct node *node, const struct key *keys,
               uint32_t count, const struct node **values_out)
{
    ENSURE(count <= KEYS_MAX);
    if (node->kind != NODE_MAPPING) {
        complain_found(compiler, node, count == 0 ? "{}" : "a mapping with keys of: %s",
                       key_names(keys, count, false).text);
        return false;
    }
    bool is_misspelt[KEYS_MAX + 1] = {false};
    for (uint32_t place = 0; place < count; place++)
        values_out[place] = NULL;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        const uint32_t place = key_place(child->key, keys, count);
        if (place < count)
            values_out[place] = child;
        else
            is_misspelt[unknown_key(compiler, child, keys, count)] = true;
    }
    /* A misspelt key is one mistake, not two. */
    for (uint32_t place = 0; place < count; place++)
        if (keys[place].is_required && values_out[place] == NULL && !is_misspelt[place])
            complaints_add(compiler->complaints, node->place,
                           "missing key '%s', expected the keys: %s", keys[place].name,
                           key_names(keys, count, true).text);
    return true;
}

bool read_tagged(struct compiler *compiler, const struct node *item, const char *const *tags,
                 uint32_t count, uint32_t *tag_out, const struct node **value_out)
{
    struct name_list all = {0};
    for (uint32_t tag = 0; tag < count; tag++)
        name_list_add(&all, tags[tag]);
    if (item->kind != NODE_MAPPING || item->count == 0) {
        complain_found(compiler, item, "a mapping with one key of: %s", all.text);
        return false;
    }
    const struct node *value = item->first;
    if (value->next != NULL) {
        complaints_add(compiler->complaints, value->next->key_place,
                       "found the key '%s' beside '%s', expected it indented further, under '%s', "
                       "or in a list item of its own",
                       quote(value->next->key).text, quote(value->key).text,
                       quote(value->key).text);
        return false;
    }
    struct suggestion suggestion = suggestion_for(value->key);
    for (uint32_t tag = 0; tag < count; tag++) {
        const struct bytes name = bytes_of_text(tags[tag]);
        suggestion_offer(&suggestion, name);
        if (!bytes_equal(name, value->key)) continue;
        *tag_out = tag;
        *value_out = value;
        return true;
    }
    complain_unknown_key(compiler, value, suggestion, all.text);
    return false;
}

static bool is_short_enough(struct compiler *compiler, const struct node *node, uint32_t count_max,
                            const char *of_what)
{
    if (node->count <= count_max) return true;
    const struct node *child = node->first;
    for (uint32_t place = 0; place < count_max; place++)
        child = child->next;
    complaints_add(compiler->complaints, child->key_place, "too many %s, expected at most %u",
                   of_what, count_max);
    return false;
}

static void complain_counted(struct compiler *compiler, const struct node *node, const char *kind,
                             struct whole_range range, const char *of_what)
{
    if (range.min == 0)
        complain_found(compiler, node, "%s of at most %u %s", kind, (unsigned)range.max, of_what);
    else
        complain_found(compiler, node, "%s of %u to %u %s", kind, (unsigned)range.min,
                       (unsigned)range.max, of_what);
}

bool read_list(struct compiler *compiler, const struct node *node, uint32_t count_min,
               uint32_t count_max, const char *of_what)
{
    if (node->kind != NODE_LIST || node->count < count_min) {
        complain_counted(compiler, node, "a list", (struct whole_range){count_min, count_max},
                         of_what);
        return false;
    }
    return is_short_enough(compiler, node, count_max, of_what);
}

bool read_mapping(struct compiler *compiler, const struct node *node, uint32_t count_min,
                  uint32_t count_max, const char *of_what)
{
    if (node->kind != NODE_MAPPING || node->count < count_min) {
        complain_counted(compiler, node, "a mapping", (struct whole_range){count_min, count_max},
                         of_what);
        return false;
    }
    return is_short_enough(compiler, node, count_max, of_what);
}

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == ':' ||
           byte == '/' || byte == '-';
}

static bool is_name(struct bytes name)
{
    for (size_t place = 0; place < name.length; place++)
        if (!is_name_byte(name.at[place])) return false;
    return name.length >= 1 && name.length <= NAME_BYTES_MAX;
}

#define NAME_EXPECTED "1 to 64 of the characters A-Z a-z 0-9 . _ : / -"
_Static_assert(NAME_BYTES_MAX == 64, "said in the message");

bool check_name(struct compiler *compiler, struct place place, struct bytes name)
{
    if (is_name(name)) return true;
    complaints_add(compiler->complaints, place, "'%s' is no name, expected " NAME_EXPECTED,
                   quote(name).text);
    return false;
}

bool read_name(struct compiler *compiler, const struct node *node, struct bytes *name_out)
{
    if (node->kind != NODE_SCALAR || !is_name(node->text)) {
        complain_found(compiler, node, "a name of " NAME_EXPECTED);
        return false;
    }
    *name_out = node->text;
    return true;
}

bool read_text(struct compiler *compiler, const struct node *node, uint32_t bytes_max,
               struct bytes *text_out)
{
    if (node->kind != NODE_SCALAR || node->text.length == 0 || node->text.length > bytes_max) {
        complain_found(compiler, node, "a text of 1 to %u bytes", bytes_max);
        return false;
    }
    *text_out = node->text;
    return true;
}

static bool parse_digits(struct bytes text, uint64_t *value_out)
{
    uint64_t value = 0;
    for (size_t place = 0; place < text.length; place++) {
        const uint8_t byte = text.at[place];
        if (byte < '0' || byte > '9') return false;
        if (!number_multiply_u64(value, 10, &value)) return false;
        if (!number_add_u64(value, (uint64_t)(byte - '0'), &value)) return false;
    }
    *value_out = value;
    return text.length > 0;
}

/* No leading zero: 010 is eight to some readers of YAML and ten to others. */
static bool parse_whole(struct bytes text, uint64_t *value_out)
{
    if (text.length > 1 && text.at[0] == '0') return false;
    return parse_digits(text, value_out);
}

bool read_whole(struct compiler *compiler, const struct node *node, struct whole_range range,
                uint64_t *value_out)
{
    uint64_t value = 0;
    if (node->kind != NODE_SCALAR || !node->is_plain || !parse_whole(node->text, &value) ||
        value < range.min || value > range.max) {
        complain_found(compiler, node, "an integer from %llu to %llu",
                       (unsigned long long)range.min, (unsigned long long)range.max);
        return false;
    }
    *value_out = value;
    return true;
}

bool read_signed(struct compiler *compiler, const struct node *node, int32_t magnitude_max,
                 int32_t *value_out)
{
    struct bytes digits = node->text;
    const bool is_negative = digits.length > 0 && digits.at[0] == '-';
    if (is_negative) digits = (struct bytes){digits.at + 1, digits.length - 1};
    uint64_t value = 0;
    if (node->kind != NODE_SCALAR || !node->is_plain || !parse_whole(digits, &value) ||
        value > (uint64_t)magnitude_max) {
        complain_found(compiler, node, "an integer from %d to %d", -magnitude_max, magnitude_max);
        return false;
    }
    *value_out = is_negative ? -(int32_t)value : (int32_t)value;
    return true;
}

bool read_decimal(struct compiler *compiler, const struct node *node, struct decimal_range range,
                  int64_t *nano_out)
{
    int64_t nano = 0;
    if (node->kind != NODE_SCALAR || !credits_parse(node->text, &nano) || node->text.at[0] == '-' ||
        nano < range.min || nano > range.max) {
        complain_found(compiler, node, "%s", range.expected);
        return false;
    }
    *nano_out = nano;
    return true;
}

static bool parse_duration(struct bytes text, uint64_t *duration_ms_out)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        {"ms",         1},
        { "s", SECOND_MS},
        { "m", MINUTE_MS},
        { "h",   HOUR_MS},
        { "d",    DAY_MS}
    };
    size_t digits = 0;
    while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    uint64_t value = 0;
    if (!parse_digits((struct bytes){text.at, digits}, &value)) return false;
    const struct bytes unit = {text.at + digits, text.length - digits};
    for (size_t place = 0; place < COUNT_OF(units); place++)
        if (bytes_equal(unit, bytes_of_text(units[place].name)))
            return number_multiply_u64(value, (uint64_t)units[place].ms, duration_ms_out);
    return false;
}

bool read_duration(struct compiler *compiler, const struct node *node, struct duration_range range,
                   int64_t *duration_ms_out)
{
    uint64_t duration_ms = 0;
    if (node->kind != NODE_SCALAR || !parse_duration(node->text, &duration_ms) ||
        duration_ms < (uint64_t)range.min_ms || duration_ms > (uint64_t)range.max_ms) {
        complain_found(compiler, node, "a duration such as 30s, 5m, 5h or 7d, %s", range.text);
        return false;
    }
    *duration_ms_out = (int64_t)duration_ms;
    return true;
}

bool read_instant(struct compiler *compiler, const struct node *node, int64_t *instant_ms_out)
{
    if (node->kind == NODE_SCALAR && calendar_parse(node->text, instant_ms_out)) return true;
    complain_found(compiler, node, INSTANT_EXPECTED);
    return false;
}

bool read_boolean(struct compiler *compiler, const struct node *node, bool *value_out)
{
    static const struct choice choices[] = {
        { "true", 1},
        {"false", 0}
    };
    int value = 0;
    if (node->kind == NODE_SCALAR && !node->is_plain) {
        complain_found(compiler, node, "true or false, without quotes");
        return false;
    }
    if (!read_choice(compiler, node, choices, COUNT_OF(choices), &value)) return false;
    *value_out = value != 0;
    return true;
}

/* `besides`: what else would have been right, as the beginning of a phrase. */
static bool read_choice_besides(struct compiler *compiler, const struct node *node,
                                const char *besides, const struct choice *choices, uint32_t count,
                                int *value_out)
{
    struct name_list all = {0};
    struct suggestion suggestion =
        suggestion_for(node->kind == NODE_SCALAR ? node->text : BYTES_NONE);
    for (uint32_t place = 0; place < count; place++) {
        const struct bytes name = bytes_of_text(choices[place].name);
        if (node->kind == NODE_SCALAR && bytes_equal(node->text, name)) {
            *value_out = choices[place].value;
            return true;
        }
        name_list_add(&all, choices[place].name);
        if (node->text.length > 0) suggestion_offer(&suggestion, name);
    }
    if (suggestion.best.length > 0)
        complain_found(compiler, node, "%sone of: %s; did you mean '%s'?", besides, all.text,
                       quote(suggestion.best).text);
    else
        complain_found(compiler, node, "%sone of: %s", besides, all.text);
    return false;
}

bool read_choice(struct compiler *compiler, const struct node *node, const struct choice *choices,
                 uint32_t count, int *value_out)
{
    return read_choice_besides(compiler, node, "", choices, count, value_out);
}

#define SCOPE_EXPECTED "customer, subject or {level: N} with N from 1 to 8"
_Static_assert(LEVELS_MAX == 8, "said in the message");

/* `level: 2` in quotes; without them YAML takes only the mapping. */
static bool parse_level(struct bytes text, uint64_t *level_out)
{
    const struct bytes prefix = BYTES("level:");
    if (text.length <= prefix.length || memcmp(text.at, prefix.at, prefix.length) != 0)
        return false;
    struct bytes digits = {text.at + prefix.length, text.length - prefix.length};
    if (digits.at[0] == ' ') digits = (struct bytes){digits.at + 1, digits.length - 1};
    return parse_whole(digits, level_out) && *level_out >= 1 && *level_out <= LEVELS_MAX;
}

bool read_scope(struct compiler *compiler, const struct node *node, struct scope_rule *scope_out)
{
    static const struct key keys[] = {
        {"level", true}
    };
    uint64_t level = 0;
    if (node->kind == NODE_MAPPING) {
        const struct node *value = NULL;
        if (!read_keys(compiler, node, keys, COUNT_OF(keys), &value) || value == NULL) return false;
        if (!read_whole(compiler, value, (struct whole_range){1, LEVELS_MAX}, &level)) return false;
    } else if (node->kind == NODE_SCALAR && bytes_equal(node->text, BYTES("customer"))) {
        *scope_out = (struct scope_rule){.kind = SCOPE_CUSTOMER};
        return true;
    } else if (node->kind == NODE_SCALAR && bytes_equal(node->text, BYTES("subject"))) {
        *scope_out = (struct scope_rule){.kind = SCOPE_SUBJECT};
        return true;
    } else if (node->kind != NODE_SCALAR || !parse_level(node->text, &level)) {
        complain_found(compiler, node, SCOPE_EXPECTED);
        return false;
    }
    *scope_out = (struct scope_rule){.kind = SCOPE_LEVEL, .level = (uint32_t)level};
    return true;
}

static const struct choice period_kinds[] = {
    { "hour",  PERIOD_HOUR},
    {  "day",   PERIOD_DAY},
    { "week",  PERIOD_WEEK},
    {"month", PERIOD_MONTH}
};

static bool read_per(struct compiler *compiler, const struct node *per, bool calendar_only,
                     struct period *period_out)
{
    const bool is_scalar = per->kind == NODE_SCALAR && per->text.length > 0;
    const bool is_number = is_scalar && per->text.at[0] >= '0' && per->text.at[0] <= '9';
    if (is_number && !calendar_only) {
        period_out->kind = PERIOD_DURATION;
        return read_duration(compiler, per, DURATION_PERIOD, &period_out->duration_ms);
    }
    int kind = 0;
    if (!read_choice_besides(compiler, per, calendar_only ? "" : "a duration such as 5h or 7d, or ",
                             period_kinds, COUNT_OF(period_kinds), &kind))
        return false;
    period_out->kind = (enum period_kind)kind;
    return true;
}

bool read_period(struct compiler *compiler, const struct node *per, const struct node *start,
                 bool calendar_only, struct period *period_out)
{
    static const struct choice starts[] = {
        {"first_use", START_FIRST_USE},
        {  "sliding",   START_SLIDING},
        { "calendar",  START_CALENDAR},
        {   "anchor",    START_ANCHOR}
    };
    struct period period = {0};
    int value = 0;
    const bool has_per = per != NULL && read_per(compiler, per, calendar_only, &period);
    const bool has_start =
        start != NULL && read_choice(compiler, start, starts, COUNT_OF(starts), &value);
    if (!has_per || !has_start) return false;

    period.start = (enum window_start)value;
    const bool is_aligned = period.start == START_CALENDAR || period.start == START_ANCHOR;
    if (is_aligned != (period.kind != PERIOD_DURATION)) {
        complain_found(compiler, start,
                       is_aligned ? "first_use or sliding with 'per: %s'"
                                  : "calendar or anchor with 'per: %s'",
                       quote(per->text).text);
        return false;
    }
    *period_out = period;
    return true;
}
