/*
 * value.c: numbers stay text until here, so that every integer is exact and 1.0 is not 1.
 */
#include "wire/value.h"

#include <string.h>

static enum value_fault check_integer(const struct field_rule *rule, struct bytes text,
                                      struct value *value_out)
{
    const bool is_negative = text.at[0] == '-';
    int64_t number = 0;
    bool is_too_large = false;
    for (size_t at = is_negative ? 1 : 0; at < text.length; at++) {
        const uint8_t digit = text.at[at];
        if (digit < '0' || digit > '9') return VALUE_BAD;
        number = number * 10 + (digit - '0');
        is_too_large = is_too_large || number > (int64_t)QUANTITY_MAX;
        if (is_too_large) number = 0;
    }
    if (is_negative && rule->least >= 0) return VALUE_BAD;
    if (is_too_large) return VALUE_TOO_LARGE;
    if (is_negative) number = -number;
    if (number < rule->least || number > rule->most) return VALUE_BAD;
    value_out->number = number;
    return VALUE_FINE;
}

static enum value_fault check_credits(const struct field_rule *rule, struct bytes text,
                                      struct value *value_out)
{
    if (!credits_parse(text, &value_out->number))
        return credits_has_form(text) && text.at[0] != '-' ? VALUE_TOO_LARGE : VALUE_BAD;
    if (value_out->number < rule->least) return VALUE_BAD;
    return value_out->number > rule->most ? VALUE_TOO_LARGE : VALUE_FINE;
}

static enum value_fault check_word(const struct field_rule *rule, struct bytes text,
                                   struct value *value_out)
{
    for (uint32_t word = 0; rule->words[word] != NULL; word++) {
        if (text.length == 0 || !bytes_equal(text, bytes_of_text(rule->words[word]))) continue;
        value_out->number = word;
        return VALUE_FINE;
    }
    return VALUE_BAD;
}

static bool is_text(struct bytes text, int64_t least, int64_t most)
{
    if (text.length < (size_t)least || text.length > (size_t)most) return false;
    return memchr(text.at, 0, text.length) == NULL;
}

static enum value_fault check_string(const struct field_rule *rule, struct bytes text,
                                     struct value *value_out)
{
    bool is_fine = false;
    switch (rule->rule) {
    case RULE_STRING_NAME:
        is_fine = schema_is_name(text, (size_t)rule->least, (size_t)rule->most);
        break;
    case RULE_STRING_PATH:
        is_fine = schema_is_path(text, (size_t)rule->most);
        break;
    case RULE_STRING_TEXT:
        is_fine = is_text(text, rule->least, rule->most);
        break;
    case RULE_STRING_WORD:
        return check_word(rule, text, value_out);
    case RULE_STRING_CREDITS:
        return check_credits(rule, text, value_out);
    case RULE_STRING_FACTOR:
        return check_credits(rule, text, value_out) == VALUE_FINE ? VALUE_FINE : VALUE_BAD;
    case RULE_STRING_INSTANT:
    case RULE_INSTANT_OR_NULL:
        is_fine = calendar_parse(text, &value_out->number);
        break;
    case RULE_STRING_JSON:
        is_fine = schema_is_json_type(text);
        break;
    case RULE_STRING_DECISION:
        return id_parse('d', text, &value_out->id) ? VALUE_FINE : VALUE_UNKNOWN;
    case RULE_NUMBER_INTEGER:
    case RULE_BOOL:
    case RULE_MAP_QUANTITIES:
    case RULE_MAP_ATTRIBUTES:
    case RULE_MAP_LIMITS:
    case RULE_MAP_BUDGETS:
    case RULE_MAP_SUBJECTS:
    case RULE_MAP_STANDINGS:
    case RULE_MAP_DATA:
    case RULE_LIST_NAMES:
    case RULE_LIST_WORDS:
    case RULE_REFUSED:
    case RULE_UNSUPPORTED:
        return VALUE_SHAPE;
    }
    return is_fine ? VALUE_FINE : VALUE_BAD;
}

bool value_may_be_null(enum rule rule)
{
    return rule == RULE_STRING_FACTOR || rule == RULE_INSTANT_OR_NULL;
}

enum value_fault value_check(const struct field_rule *rule, const struct json_event *event,
                             struct value *value_out)
{
    *value_out = (struct value){.text = event->text};
    if (event->kind == JSON_STRING) return check_string(rule, event->text, value_out);
    if (event->kind == JSON_NUMBER && rule->rule == RULE_NUMBER_INTEGER)
        return check_integer(rule, event->text, value_out);
    value_out->is_null = event->kind == JSON_NULL;
    if (value_out->is_null && value_may_be_null(rule->rule)) return VALUE_FINE;
    value_out->boolean = event->kind == JSON_TRUE;
    const bool is_bool = event->kind == JSON_TRUE || event->kind == JSON_FALSE;
    return is_bool && rule->rule == RULE_BOOL ? VALUE_FINE : VALUE_SHAPE;
}

const char *value_type_expected(enum rule rule)
{
    switch (rule) {
    case RULE_STRING_NAME:
    case RULE_STRING_PATH:
    case RULE_STRING_TEXT:
    case RULE_STRING_WORD:
    case RULE_STRING_INSTANT:
    case RULE_STRING_JSON:
    case RULE_STRING_DECISION:
        return "a string";
    case RULE_INSTANT_OR_NULL:
        return "a string, or null";
    case RULE_STRING_CREDITS:
        return "a string (credits are decimal strings)";
    case RULE_STRING_FACTOR:
        return "a string (a factor is a decimal string), or null";
    case RULE_NUMBER_INTEGER:
        return "an integer";
    case RULE_BOOL:
        return "true or false";
    case RULE_MAP_QUANTITIES:
    case RULE_MAP_ATTRIBUTES:
    case RULE_MAP_LIMITS:
    case RULE_MAP_BUDGETS:
    case RULE_MAP_SUBJECTS:
    case RULE_MAP_STANDINGS:
    case RULE_MAP_DATA:
        return "an object";
    case RULE_LIST_NAMES:
    case RULE_LIST_WORDS:
        return "an array";
    case RULE_REFUSED:
    case RULE_UNSUPPORTED:
        break;
    }
    return NULL;
}
