/*
 * resp_parse.c: a RESP command as the events that the same request in JSON would make, so that the
 * draft judges it by the very same rules:
 *
 *   WEIR.CONSUME acme - chat req_1 requests 3 ATTR model gpt-5.5 MIN 1
 *   {"customer": "acme", "feature": "chat", "idempotency_key": "req_1", "min_units": 1,
 *    "quantities": {"requests": 3}, "attributes": {"model": "gpt-5.5"}}
 */
#include "wire/draft.h"

#include "wire/resp.h"

enum word { WORD_METER, WORD_ATTR, WORD_MIN, WORD_CREDITS, WORD_TTL, WORD_STATUS };

/* What is none of these is a meter. A policy has no meters of these names (SEMANTICS A6). */
static const struct {
    const char *word;
    const char *field;
    uint32_t values; /* arguments that follow it */
} words[] = {
    [WORD_METER] = {     NULL,  "quantities", 1},
      [WORD_ATTR] = {   "ATTR",  "attributes", 2},
    [WORD_MIN] = {    "MIN",   "min_units", 1},
      [WORD_CREDITS] = {"CREDITS", "use_credits", 0},
    [WORD_TTL] = {    "TTL",      "ttl_ms", 1},
      [WORD_STATUS] = { "STATUS",      "status", 1},
};

static enum word word_of(struct bytes argument)
{
    for (enum word word = WORD_ATTR; word <= WORD_STATUS; ++word)
        if (resp_is_word(argument, words[word].word)) return word;
    return WORD_METER;
}

static void emit(struct draft *draft, enum json_kind kind, uint32_t depth, struct bytes text)
{
    draft_hear(draft, &(struct json_event){.kind = kind, .depth = depth, .text = text});
}

/* JSON's reader lets nothing else through. */
static bool check_utf8(struct draft *draft, struct place place, struct bytes text)
{
    if (bytes_is_utf8(text)) return true;
    draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, place, text, "UTF-8");
    return false;
}

static void emit_text(struct draft *draft, const char *field, struct bytes text)
{
    emit(draft, JSON_KEY, 1, bytes_of_text(field));
    if (check_utf8(draft, (struct place){.field = field}, text)) emit(draft, JSON_STRING, 1, text);
}

/* What begins like a number is one, and judged as such; anything else is of another type. */
static void emit_value(struct draft *draft, uint32_t depth, bool may_be_number, struct bytes text)
{
    const bool is_number = may_be_number && text.length > 0 &&
                           (text.at[0] == '-' || (text.at[0] >= '0' && text.at[0] <= '9'));
    emit(draft, is_number ? JSON_NUMBER : JSON_STRING, depth, text);
}

static void missing(struct draft *draft, enum word word, struct bytes member)
{
    draft_fault(draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD,
                (struct place){.field = words[word].field, .member = member}, BYTES_NONE,
                word == WORD_METER  ? "an amount behind each meter"
                : word == WORD_ATTR ? "a name and a value behind ATTR"
                                    : "a value behind the keyword");
}

/* Fields that stand for themselves; says where meters and attributes are. */
static void hear_plain(struct draft *draft, const struct resp_arguments *arguments, uint32_t from,
                       uint32_t counts_out[WORD_STATUS + 1])
{
    for (uint32_t at = from; at < arguments->count;) {
        const enum word word = word_of(arguments->at[at]);
        const uint32_t following = arguments->count - at - 1;
        const struct bytes *values = &arguments->at[at + 1];
        ++counts_out[word];
        if (following < words[word].values) {
            missing(draft, word,
                    word == WORD_METER                    ? arguments->at[at]
                    : word == WORD_ATTR && following == 1 ? values[0]
                                                          : BYTES_NONE);
            return;
        }
        if (word == WORD_CREDITS) {
            emit(draft, JSON_KEY, 1, bytes_of_text(words[word].field));
            emit(draft, JSON_TRUE, 1, BYTES_NONE);
        } else if (word > WORD_ATTR) {
            emit(draft, JSON_KEY, 1, bytes_of_text(words[word].field));
            if (check_utf8(draft, (struct place){.field = words[word].field}, values[0]))
                emit_value(draft, 1, word != WORD_STATUS, values[0]);
        }
        at += 1 + words[word].values;
    }
}

/* Meters, or attributes, as the object that they are in JSON. */
static void hear_members(struct draft *draft, const struct resp_arguments *arguments, uint32_t from,
                         enum word which)
{
    emit(draft, JSON_KEY, 1, bytes_of_text(words[which].field));
    emit(draft, JSON_MAP, 1, BYTES_NONE);
    for (uint32_t at = from; at < arguments->count;) {
        const enum word word = word_of(arguments->at[at]);
        const uint32_t end = at + 1 + words[word].values;
        if (end > arguments->count) break;
        if (word == which) {
            const struct bytes name = arguments->at[end - 2];
            const struct bytes value = arguments->at[end - 1];
            const struct place place = {.field = words[which].field, .member = name};
            if (check_utf8(draft, (struct place){.field = words[which].field}, name) &&
                check_utf8(draft, place, value)) {
                emit(draft, JSON_KEY, 2, name);
                emit_value(draft, 2, which == WORD_METER, value);
            }
        }
        at = end;
    }
    emit(draft, JSON_MAP_END, 1, BYTES_NONE);
}

/* customer subject|- feature key|- */
static uint32_t hear_names(struct draft *draft, const struct resp_arguments *arguments)
{
    static const struct {
        const char *field;
        bool may_be_none; /* "-" */
    } places[] = {
        {       "customer", false},
        {        "subject",  true},
        {        "feature", false},
        {"idempotency_key",  true}
    };
    uint32_t at = 1;
    for (uint32_t i = 0; i < COUNT_OF(places) && at < arguments->count; ++i, ++at) {
        const struct bytes text = arguments->at[at];
        if (places[i].may_be_none && bytes_equal(text, BYTES("-"))) continue;
        emit_text(draft, places[i].field, text);
    }
    return at;
}

void draft_read_resp(struct draft *draft, struct bytes command)
{
    struct resp_arguments arguments;
    uint32_t counts[WORD_STATUS + 1] = {0};
    resp_split(command, &arguments);
    emit(draft, JSON_MAP, 0, BYTES_NONE);
    uint32_t at = 2; /* behind the decision's id */
    if (draft->call->target != TARGET_DECISION)
        at = hear_names(draft, &arguments);
    else if (arguments.count < 2)
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD,
                    (struct place){.field = field_rules[FIELD_DECISION_ID].name}, BYTES_NONE,
                    field_rules[FIELD_DECISION_ID].expected);
    hear_plain(draft, &arguments, at, counts);
    if (counts[WORD_METER] > 0) hear_members(draft, &arguments, at, WORD_METER);
    if (counts[WORD_ATTR] > 0) hear_members(draft, &arguments, at, WORD_ATTR);
    emit(draft, JSON_MAP_END, 0, BYTES_NONE);
}
