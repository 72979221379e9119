/*
 * draft.c: the walk through one body, event by event, against the tables of schema.c.
 */
#include "wire/draft.h"

#include <string.h>

#include "wire/value.h"

#define PATH_BYTES_MAX 256u
#define PATH_MEMBER_BYTES_MAX 128u

static const struct field_rule amount_rule = {
    .rule = RULE_NUMBER_INTEGER,
    .least = 0,
    .most = (int64_t)QUANTITY_MAX,
    .expected = "an integer from 0 to 9007199254740991",
};
static const struct field_rule meter_rule = {
    .rule = RULE_STRING_NAME,
    .least = 1,
    .most = NAME_BYTES_MAX,
    .expected = "a meter of 1 to 64 bytes without control characters",
};
static const struct field_rule attribute_name_rule = {
    .rule = RULE_STRING_NAME,
    .least = 1,
    .most = ATTRIBUTE_NAME_BYTES_MAX,
    .expected = "an attribute's name of 1 to 64 bytes without control characters",
};
static const struct field_rule attribute_value_rule = {
    .rule = RULE_STRING_NAME,
    .least = 1,
    .most = ATTRIBUTE_VALUE_BYTES_MAX,
    .expected = "1 to 256 bytes without control characters",
};
static const struct field_rule subject_rule = {
    .rule = RULE_STRING_PATH,
    .least = 1,
    .most = SUBJECT_BYTES_MAX,
    .expected = "a subject: 1 to 8 non-empty parts divided by '/', 1 to 512 bytes without control "
                "characters",
};
static const struct field_rule standing_rule = {
    .rule = RULE_STRING_WORD,
    .words = standing_words,
    .expected = "one of normal, restricted, probation, trusted",
};
static const struct field_rule answer_rule = {.rule = RULE_BOOL, .expected = "true or false"};
static const struct field_rule money_rule = {
    .rule = RULE_STRING_CREDITS,
    .least = 0,
    .most = BALANCE_NANO_MAX,
    .expected = "credits from 0 to 4611686018.427387904, at most 9 decimals, or null",
};
static const struct field_rule name_rule = {
    .rule = RULE_STRING_NAME,
    .least = 1,
    .most = NAME_BYTES_MAX,
    .expected = "1 to 64 bytes without control characters",
};

static const struct field_rule scope_rule = {
    .rule = RULE_STRING_WORD,
    .words = access_scope_words,
    .expected = "one of decide, report, read, admin",
};

static const char limit_name_expected[] =
    "a limit's name, or a feature's and a limit's divided by '/', each of 1 to 64 bytes without "
    "control characters";
static const char limit_expected[] =
    "an integer, credits as a string, null, or an array of 1 to 4 of these";

static void put_index(struct buffer *path, uint32_t index)
{
    buffer_put_byte(path, '[');
    buffer_put_decimal(path, index);
    buffer_put_byte(path, ']');
}

static void put_step(struct buffer *path, struct bytes name)
{
    if (path->used > 0) buffer_put_byte(path, '.');
    for (size_t at = 0; at < name.length; at++)
        buffer_put_byte(path, name.at[at] == 0 ? '?' : name.at[at]);
}

/* "operations[3].limits.codex/included[1]"; NULL when the arena has no room for it. */
static const char *path_of(struct draft *draft, struct place place)
{
    char *text = arena_take(draft->arena, PATH_BYTES_MAX);
    if (text == NULL) return NULL;
    struct buffer path = buffer_over(text, PATH_BYTES_MAX - 1);
    if (draft->is_operation) buffer_put_text(&path, "operations");
    if (draft->is_operation || draft->is_element) put_index(&path, draft->place);
    if (draft->in_data && place.field != NULL)
        put_step(&path, bytes_of_text(field_rules[FIELD_EVENT_DATA].name));
    if (place.field != NULL && place.field[0] != 0) put_step(&path, bytes_of_text(place.field));
    if (place.member.at != NULL) put_step(&path, json_cut(place.member, PATH_MEMBER_BYTES_MAX));
    if (place.in_list) put_index(&path, place.element);
    return text;
}

void draft_fault(struct draft *draft, enum gravity gravity, enum problem_code code,
                 struct place place, struct bytes value, const char *expected)
{
    if (gravity <= draft->gravity) return;
    draft->gravity = gravity;
    const bool is_within =
        draft->is_operation || draft->is_element || (draft->in_data && place.field != NULL);
    const bool is_plain = !is_within && place.member.at == NULL && !place.in_list;
    const char *field = is_plain ? place.field : path_of(draft, place);
    if (field == NULL) field = place.field;
    draft->problem = (struct problem){
        .code = code,
        .field = field != NULL && field[0] != '\0' ? field : "body",
        .value = value,
        .expected = expected,
    };
}

static struct place here(const struct draft *draft)
{
    return (struct place){
        .field = field_rules[draft->field].name,
        .member = draft->member,
        .in_list = draft->in_list,
        .element = draft->element,
    };
}

/* What goes on inside of this value does not count any more. */
static void ignore(struct draft *draft, const struct json_event *event)
{
    if (event->kind == JSON_MAP || event->kind == JSON_LIST)
        draft->ignored_depth = event->depth + 1;
}

static void fault_value(struct draft *draft, const struct field_rule *rule, enum value_fault fault,
                        const struct json_event *event)
{
    const struct place place = here(draft);
    ignore(draft, event);
    switch (fault) {
    case VALUE_FINE:
        break;
    case VALUE_SHAPE:
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, place, event->text,
                    value_type_expected(rule->rule));
        break;
    case VALUE_BAD:
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, place, event->text,
                    rule->expected);
        break;
    case VALUE_TOO_LARGE:
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_OUT_OF_RANGE, place, event->text, rule->expected);
        break;
    case VALUE_UNKNOWN:
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_UNKNOWN_DECISION, place, event->text,
                    rule->expected);
        break;
    }
}

/* False, with the fault noted, unless the value is as the rule says. */
static bool take(struct draft *draft, const struct field_rule *rule, const struct json_event *event,
                 struct value *value_out)
{
    const enum value_fault fault = value_check(rule, event, value_out);
    if (fault != VALUE_FINE) fault_value(draft, rule, fault, event);
    return fault == VALUE_FINE;
}

bool draft_has(const struct draft *draft, enum field field)
{
    return (draft->seen & ~draft->unset & FIELD_BIT(field)) != 0;
}

static void begin_field(struct draft *draft, struct bytes key)
{
    const struct call_rule *call = draft->in_data ? &call_rules[CALL_EVENT_DATA] : draft->call;
    draft->field = FIELDS;
    draft->member = BYTES_NONE;
    draft->in_list = false;
    for (uint32_t field = 0; field < FIELDS; field++) {
        if ((call->takes & FIELD_BIT(field)) == 0 ||
            !bytes_equal(key, bytes_of_text(field_rules[field].name)))
            continue;
        if ((draft->seen & FIELD_BIT(field)) == 0)
            draft->field = (enum field)field;
        else
            draft_fault(draft, GRAVITY_SHAPE, PROBLEM_DUPLICATE_FIELD,
                        (struct place){.field = field_rules[field].name}, BYTES_NONE, NULL);
        draft->seen |= FIELD_BIT(field);
        return;
    }
    if (call->is_event && schema_is_attribute(key)) return;
    draft_fault(draft, GRAVITY_SHAPE, PROBLEM_UNKNOWN_FIELD,
                (struct place){.field = "", .member = key}, BYTES_NONE, NULL);
}

static bool is_limit_name(struct bytes name)
{
    const uint8_t *slash = memchr(name.at, '/', name.length);
    if (slash == NULL) return schema_is_name(name, 1, NAME_BYTES_MAX);
    const size_t length = (size_t)(slash - name.at);
    return schema_is_name((struct bytes){name.at, length}, 1, NAME_BYTES_MAX) &&
           schema_is_name((struct bytes){slash + 1, name.length - length - 1}, 1, NAME_BYTES_MAX);
}

static void begin_member(struct draft *draft, struct bytes key)
{
    const struct field_rule *rule = &field_rules[draft->field];
    draft->member = key;
    draft->member_counts = false;
    for (uint32_t place = 0; place < draft->member_count; place++) {
        if (!bytes_equal(draft->members[place], key)) continue;
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_DUPLICATE_FIELD, here(draft), BYTES_NONE, NULL);
        return;
    }
    ENSURE(rule->most <= MEMBERS_MAX);
    if (draft->member_count == (uint32_t)rule->most) {
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), BYTES_NONE,
                    rule->expected);
        return;
    }
    draft->members[draft->member_count++] = key;

    const char *expected = limit_name_expected;
    if (rule->rule == RULE_MAP_QUANTITIES) {
        expected = meter_rule.expected;
        draft->member_counts = schema_is_name(key, 1, NAME_BYTES_MAX);
    } else if (rule->rule == RULE_MAP_ATTRIBUTES) {
        expected = attribute_name_rule.expected;
        draft->member_counts = schema_is_name(key, 1, ATTRIBUTE_NAME_BYTES_MAX);
    } else if (rule->rule == RULE_MAP_SUBJECTS || rule->rule == RULE_MAP_STANDINGS) {
        expected = subject_rule.expected;
        draft->member_counts = schema_is_path(key, SUBJECT_BYTES_MAX);
    } else {
        draft->member_counts = is_limit_name(key);
    }
    if (!draft->member_counts)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), key, expected);
}

/* "chat/included[1]" */
static struct bytes override_member(struct draft *draft)
{
    const struct bytes name = draft->member;
    char *text = draft->in_list ? arena_take(draft->arena, PATH_MEMBER_BYTES_MAX + 16) : NULL;
    if (text == NULL) return name;
    struct buffer member = buffer_over(text, PATH_MEMBER_BYTES_MAX + 16);
    buffer_put(&member, name.at, name.length);
    put_index(&member, draft->element);
    return member.overflowed ? name : buffer_bytes(&member);
}

static void add_override(struct draft *draft, const struct override *amount)
{
    struct command *command = &draft->command;
    if (command->override_count == OVERRIDES_MAX) {
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), BYTES_NONE,
                    field_rules[FIELD_LIMITS].expected);
        return;
    }
    struct override *override = &command->overrides[command->override_count++];
    *override = *amount;
    override->place = draft->in_list ? draft->element : 0;
    override->field = field_rules[draft->field].name;
    override->member = override_member(draft);
    override->name = draft->member;
    const uint8_t *slash = memchr(draft->member.at, '/', draft->member.length);
    if (slash == NULL) return;
    const size_t length = (size_t)(slash - draft->member.at);
    override->feature = (struct bytes){draft->member.at, length};
    override->name = (struct bytes){slash + 1, draft->member.length - length - 1};
}

static void hear_override(struct draft *draft, const struct json_event *event, bool is_limit)
{
    struct value value = {0};
    struct override amount = {0};
    if (event->kind == JSON_NULL) {
        amount.removed = true;
    } else if (is_limit && event->kind == JSON_NUMBER) {
        if (!take(draft, &amount_rule, event, &value)) return;
    } else if (event->kind == JSON_STRING) {
        if (!take(draft, &money_rule, event, &value)) return;
        amount.is_credits = true;
    } else {
        ignore(draft, event);
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, here(draft), event->text,
                    is_limit ? limit_expected : "credits as a string, or null");
        return;
    }
    amount.value = (uint64_t)value.number;
    add_override(draft, &amount);
}

static void add_suspension(struct draft *draft, struct suspension suspension)
{
    struct command *command = &draft->command;
    if (command->suspension_count == SUSPENSIONS_MAX)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), BYTES_NONE,
                    subject_settings_expected);
    else
        command->suspensions[command->suspension_count++] = suspension;
}

/* A value in an object within the body. */
static void hear_member(struct draft *draft, const struct json_event *event)
{
    struct command *command = &draft->command;
    struct value value;
    if (!draft->member_counts) {
        ignore(draft, event);
        return;
    }
    const enum rule rule = field_rules[draft->field].rule;
    if (rule == RULE_MAP_QUANTITIES) {
        if (!take(draft, &amount_rule, event, &value)) return;
        command->quantities[command->quantity_count++] =
            (struct quantity){.meter = draft->member, .amount = (uint64_t)value.number};
    } else if (rule == RULE_MAP_ATTRIBUTES) {
        if (!take(draft, &attribute_value_rule, event, &value)) return;
        command->attributes[command->attribute_count++] =
            (struct attribute){.name = draft->member, .value = value.text};
    } else if (rule == RULE_MAP_SUBJECTS) {
        if (!take(draft, &answer_rule, event, &value)) return;
        add_suspension(draft,
                       (struct suspension){.subject = draft->member, .suspended = value.boolean});
    } else if (rule == RULE_MAP_STANDINGS) {
        if (!take(draft, &standing_rule, event, &value)) return;
        add_suspension(draft, (struct suspension){.subject = draft->member,
                                                  .is_standing = true,
                                                  .standing = (enum standing)value.number});
    } else if (rule == RULE_MAP_LIMITS && event->kind == JSON_LIST) {
        draft->in_list = true;
        draft->element = 0;
    } else {
        hear_override(draft, event, rule == RULE_MAP_LIMITS);
    }
}

static void hear_feature(struct draft *draft, const struct json_event *event)
{
    struct command *command = &draft->command;
    struct value value;
    if (!take(draft, &name_rule, event, &value)) return;
    for (uint32_t place = 0; place < command->grant_feature_count; place++)
        if (bytes_equal(command->grant_features[place], value.text))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), value.text,
                        "each feature once");
    if (command->grant_feature_count < GRANT_FEATURES_MAX)
        command->grant_features[command->grant_feature_count++] = value.text;
}

static void hear_scope(struct draft *draft, const struct json_event *event)
{
    struct access_terms *terms = &draft->command.access;
    struct value value;
    if (!take(draft, &scope_rule, event, &value)) return;
    const uint32_t scope = 1u << value.number;
    if ((terms->scopes & scope) != 0)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), value.text,
                    "each scope once");
    terms->scopes |= scope;
}

/* A value in a list: a grant's features, a key's scopes, or a limit's windows. */
static void hear_element(struct draft *draft, const struct json_event *event)
{
    const bool is_limit = field_rules[draft->field].rule == RULE_MAP_LIMITS;
    const uint32_t elements_max = is_limit ? WINDOWS_MAX : (uint32_t)field_rules[draft->field].most;
    if (draft->element >= elements_max) {
        ignore(draft, event);
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), event->text,
                    is_limit ? limit_expected : field_rules[draft->field].expected);
    } else if (is_limit) {
        hear_override(draft, event, true);
    } else if (draft->field == FIELD_SCOPES) {
        hear_scope(draft, event);
    } else {
        hear_feature(draft, event);
    }
    draft->element++;
}

static void end_list(struct draft *draft)
{
    const bool is_limit = field_rules[draft->field].rule == RULE_MAP_LIMITS;
    const bool is_empty = draft->element == 0;
    draft->in_list = false;
    if (is_empty)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), BYTES("[]"),
                    is_limit ? limit_expected : field_rules[draft->field].expected);
}

static bool is_map_rule(enum rule rule)
{
    return rule == RULE_MAP_QUANTITIES || rule == RULE_MAP_ATTRIBUTES || rule == RULE_MAP_LIMITS ||
           rule == RULE_MAP_BUDGETS || rule == RULE_MAP_SUBJECTS || rule == RULE_MAP_STANDINGS;
}

static bool is_list_rule(enum rule rule)
{
    return rule == RULE_LIST_NAMES || rule == RULE_LIST_WORDS;
}

/* The value of a field of the body itself. */
static void hear_field(struct draft *draft, const struct json_event *event)
{
    if (draft->field == FIELDS) {
        ignore(draft, event);
        return;
    }
    const struct field_rule *rule = &field_rules[draft->field];
    if (event->kind == JSON_NULL && draft->call->is_event && !draft->in_data) {
        draft->unset |= FIELD_BIT(draft->field);
    } else if (rule->rule == RULE_UNSUPPORTED) {
        ignore(draft, event);
        draft_fault(draft, GRAVITY_UNSUPPORTED, PROBLEM_UNSUPPORTED, here(draft), event->text,
                    rule->expected);
    } else if (rule->rule == RULE_REFUSED) {
        ignore(draft, event);
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, here(draft), event->text,
                    rule->expected);
    } else if (event->kind == JSON_MAP && rule->rule == RULE_MAP_DATA) {
        draft->in_data = true;
        draft->field = FIELDS;
    } else if (event->kind == JSON_MAP && is_map_rule(rule->rule)) {
        draft->member_count = 0;
    } else if (event->kind == JSON_LIST && is_list_rule(rule->rule)) {
        draft->in_list = true;
        draft->element = 0;
    } else {
        struct value value;
        if (take(draft, rule, event, &value)) draft_store(draft, draft->field, &value);
    }
}

/* "JSON, which this is up to byte 37": where the text stops making sense. */
static const char *expected_up_to(struct arena *arena, const char *what, size_t offset)
{
    enum { BYTES_MAX = 96 };
    char *text = arena_take(arena, BYTES_MAX);
    if (text == NULL) return what;
    struct buffer buffer = buffer_over(text, BYTES_MAX - 1);
    buffer_put_text(&buffer, what);
    buffer_put_text(&buffer, ", which this is up to byte ");
    buffer_put_decimal(&buffer, offset);
    ENSURE(!buffer.overflowed);
    text[buffer.used] = '\0';
    return text;
}

void draft_read(struct draft *draft, struct bytes body, json_listener *listener, void *self)
{
    const struct json_result result = json_read(body, WIRE_DEPTH_MAX, draft->arena, listener, self);
    enum problem_code code = PROBLEM_MALFORMED;
    const char *expected = NULL;
    switch (result.verdict) {
    case JSON_READ:
        return;
    case JSON_NOT_UTF8:
        expected = expected_up_to(draft->arena, "UTF-8 without lone surrogates", result.offset);
        break;
    case JSON_MALFORMED:
        expected = expected_up_to(draft->arena, "JSON", result.offset);
        break;
    case JSON_TOO_DEEP:
        code = PROBLEM_TOO_DEEP;
        expected = "at most 16 levels of objects and arrays";
        break;
    case JSON_NO_ROOM:
        code = PROBLEM_TOO_LARGE;
        expected = "shorter strings";
        break;
    }
    /* The text tells where, not the fields: they may not have been reached. */
    const char *where = json_where(body, result.offset, draft->arena);
    draft->in_data = false;
    draft_fault(draft, GRAVITY_TEXT, code, (struct place){.field = where}, BYTES_NONE, expected);
}

static void hear(struct draft *draft, const struct json_event *event)
{
    if (draft->ignored_depth != 0) {
        if (event->depth < draft->ignored_depth) draft->ignored_depth = 0;
        return;
    }
    if (event->depth == 0) {
        if (event->kind == JSON_MAP_END) draft->in_data = false;
        if (event->kind == JSON_MAP || event->kind == JSON_MAP_END) return;
        ignore(draft, event);
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, (struct place){0}, event->text,
                    "an object");
    } else if (event->kind == JSON_KEY) {
        if (event->depth == 1)
            begin_field(draft, event->text);
        else
            begin_member(draft, event->text);
    } else if (event->kind == JSON_LIST_END) {
        end_list(draft);
    } else if (event->kind == JSON_MAP_END) {
        draft->member = BYTES_NONE;
    } else if (event->depth == 1) {
        hear_field(draft, event);
    } else if (draft->in_list) {
        hear_element(draft, event);
    } else {
        hear_member(draft, event);
    }
}

void draft_hear(void *self, const struct json_event *event)
{
    struct draft *draft = self;
    struct json_event within = *event;
    if (draft->in_data) within.depth--;
    hear(draft, &within);
}

void draft_store(struct draft *draft, enum field field, const struct value *value)
{
    struct command *command = &draft->command;
    switch (field) {
    case FIELD_OP:
        break; /* known before */
    case FIELD_DECISION_ID:
        draft->target = value->id;
        break;
    case FIELD_CUSTOMER:
        command->customer = value->text;
        break;
    case FIELD_SUBJECT:
        command->subject = value->text;
        break;
    case FIELD_FEATURE:
        command->feature = value->text;
        break;
    case FIELD_KEY:
        command->key = value->text;
        break;
    case FIELD_TTL_MS:
        command->has_ttl = true;
        command->ttl_ms = value->number;
        break;
    case FIELD_MIN_UNITS:
        command->has_min_units = true;
        command->min_units = (uint64_t)value->number;
        break;
    case FIELD_USE_CREDITS:
        command->consent = value->boolean ? CONSENT_GIVEN : CONSENT_REFUSED;
        break;
    case FIELD_PRIORITY:
        command->priority = (enum priority)value->number;
        break;
    case FIELD_EXPLAIN:
        command->explain = value->boolean;
        break;
    case FIELD_STATUS:
        command->status = (enum job_status)value->number;
        break;
    case FIELD_DURATION_MS:
        command->has_duration = true;
        command->duration_ms = (uint64_t)value->number;
        break;
    case FIELD_COMPUTE:
        command->compute = value->text;
        break;
    case FIELD_TIME:
        command->has_event_time = true;
        command->event_time_ms = value->number;
        break;
    case FIELD_EVENT_ID:
        draft->event_id = value->text;
        break;
    case FIELD_EVENT_SOURCE:
        draft->event_source = value->text;
        break;
    case FIELD_EVENT_TIME:
        draft->event_time_ms = value->number;
        break;
    case FIELD_EVENT_SPECVERSION:
    case FIELD_EVENT_TYPE:
    case FIELD_EVENT_SUBJECT:
    case FIELD_EVENT_CONTENT_TYPE:
    case FIELD_EVENT_SCHEMA:
        break; /* only checked */
    case FIELD_PLAN:
        command->plan = value->text;
        break;
    case FIELD_CREDIT_MODE:
        command->credit_mode = (enum credit_mode)value->number;
        break;
    case FIELD_ANCHOR:
        command->has_anchor = !value->is_null;
        command->anchor_removed = value->is_null;
        command->anchor_ms = value->number;
        break;
    case FIELD_SUSPENDED:
        command->suspended = value->boolean ? BOOL_TRUE : BOOL_FALSE;
        break;
    case FIELD_STANDING:
        command->has_standing = true;
        command->standing = (enum standing)value->number;
        break;
    case FIELD_OVERRIDE:
        command->pool.says_override = true;
        command->pool.has_override = !value->is_null;
        command->pool.override_nano = value->number;
        break;
    case FIELD_SHED:
        command->pool.says_shed = true;
        command->pool.shed = (enum shed)value->number;
        break;
    case FIELD_CATEGORY:
        command->category = (enum category)value->number;
        break;
    case FIELD_CREDITS:
    case FIELD_REFUND_CREDITS:
        command->nano = value->number;
        break;
    case FIELD_GRANT_PRIORITY:
        command->grant_priority = (int32_t)value->number;
        break;
    case FIELD_EFFECTIVE_AT:
        command->has_effective = true;
        command->effective_ms = value->number;
        break;
    case FIELD_EXPIRES_AT:
        command->has_expires = true;
        command->expires_ms = value->number;
        break;
    case FIELD_REASON:
        command->reason = value->text;
        break;
    case FIELD_LIMIT:
        command->limit = value->text;
        break;
    case FIELD_LABEL:
        command->access.label = value->text;
        break;
    case FIELD_ALL:
        command->all = value->boolean;
        break;
    case FIELD_NOW:
        draft->now_ms = value->number;
        break;
    case FIELD_ADVANCE_MS:
        draft->advance_ms = value->number;
        break;
    case FIELD_CONFIRM_JUMP:
        draft->confirm_jump = value->boolean;
        break;
    case FIELD_QUANTITIES:
    case FIELD_ATTRIBUTES:
    case FIELD_SPECVERSION:
    case FIELD_EVENT_DATA:
    case FIELD_EVENT_DATA_BASE64:
    case FIELD_EVENT_KEY:
    case FIELD_SUSPENDED_SUBJECTS:
    case FIELD_SUBJECT_STANDINGS:
    case FIELD_LOAD:
    case FIELD_LIMITS:
    case FIELD_BUDGETS:
    case FIELD_AUTO_TOPUP:
    case FIELD_FEATURES:
    case FIELD_SCOPES:
    case FIELDS:
        ENSURE(false); /* these hold no single value */
        break;
    }
}
