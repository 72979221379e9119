#include "wire/wire.h"

#include "base/testing.h"
#include "wire/draft.h"
#include "wire/value.h"

static uint8_t memory[1 << 20];

#define DECISION "d_0000000000c81"
#define GRANT "g_0000000000a02"

/* A good value of every field; where it is a string, without its quotes. */
static const char *const samples[FIELDS] = {
    [FIELD_OP] = "", /* the call's own word */
    [FIELD_DECISION_ID] = DECISION,
    [FIELD_CUSTOMER] = "acme",
    [FIELD_SUBJECT] = "team-a/alice",
    [FIELD_FEATURE] = "chat",
    [FIELD_QUANTITIES] = "{\"requests\":3}",
    [FIELD_ATTRIBUTES] = "{\"model\":\"gpt-5.5\"}",
    [FIELD_KEY] = "req_01",
    [FIELD_TTL_MS] = "600000",
    [FIELD_MIN_UNITS] = "1",
    [FIELD_USE_CREDITS] = "true",
    [FIELD_PRIORITY] = "critical",
    [FIELD_EXPLAIN] = "true",
    [FIELD_STATUS] = "failed",
    [FIELD_DURATION_MS] = "0",
    [FIELD_COMPUTE] = "h100 x 8",
    [FIELD_TIME] = "2026-05-01T12:00:00Z",
    [FIELD_SPECVERSION] = "\"1.0\"",
    [FIELD_EVENT_SPECVERSION] = "1.0",
    [FIELD_EVENT_ID] = "e",
    [FIELD_EVENT_SOURCE] = "s",
    [FIELD_EVENT_TYPE] = "usage",
    [FIELD_EVENT_SUBJECT] = "x",
    [FIELD_EVENT_TIME] = "2026-05-01T12:00:00Z",
    [FIELD_EVENT_CONTENT_TYPE] = "application/json; charset=utf-8",
    [FIELD_EVENT_SCHEMA] = "https://example.com/usage",
    [FIELD_EVENT_DATA] = "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{}}",
    [FIELD_EVENT_DATA_BASE64] = "\"e30=\"",
    [FIELD_EVENT_KEY] = "\"req_01\"",
    [FIELD_PLAN] = "plus",
    [FIELD_CREDIT_MODE] = "ask",
    [FIELD_ANCHOR] = "2026-01-31T00:00:00Z",
    [FIELD_SUSPENDED] = "true",
    [FIELD_SUSPENDED_SUBJECTS] = "{\"team-a/alice\":true}",
    [FIELD_LIMITS] = "{\"included\":90}",
    [FIELD_BUDGETS] = "{\"monthly-cap\":\"1000\"}",
    [FIELD_AUTO_TOPUP] = "{\"credits\":\"10\"}",
    [FIELD_CATEGORY] = "paid",
    [FIELD_CREDITS] = "0.5",
    [FIELD_REFUND_CREDITS] = "0.5",
    [FIELD_GRANT_PRIORITY] = "-3",
    [FIELD_EFFECTIVE_AT] = "2026-05-01T12:00:00Z",
    [FIELD_EXPIRES_AT] = "2026-06-01T12:00:00.250+02:00",
    [FIELD_FEATURES] = "[\"chat\",\"codex\"]",
    [FIELD_REASON] = "sorry",
    [FIELD_LIMIT] = "included",
    [FIELD_ALL] = "true",
    [FIELD_NOW] = "2026-05-01T12:00:00Z",
    [FIELD_ADVANCE_MS] = "60000",
    [FIELD_CONFIRM_JUMP] = "true",
    [FIELD_SCOPES] = "[\"decide\",\"read\"]",
    [FIELD_LABEL] = "the gateway",
    [FIELD_STANDING] = "probation",
    [FIELD_SUBJECT_STANDINGS] = "{\"team-a/alice\":\"trusted\"}",
    [FIELD_OVERRIDE] = "0.5",
    [FIELD_SHED] = "sheddable",
    [FIELD_LOAD] = "0.9",
};

static bool is_string(enum field field)
{
    return field_rules[field].rule <= RULE_STRING_DECISION;
}

/* One way in which a call can be made: by itself, or as an operation of a batch. */
struct way {
    uint32_t call;
    bool is_operation;
};

struct verdict {
    bool is_fine;
    struct problem problem;
    struct command command;
};

static uint64_t fields_of(struct way way)
{
    uint64_t takes = call_rules[way.call].takes;
    if (way.is_operation) takes |= FIELD_BIT(FIELD_OP);
    if (way.is_operation && call_rules[way.call].target == TARGET_DECISION)
        takes |= FIELD_BIT(FIELD_DECISION_ID);
    return takes;
}

static uint64_t needed_of(struct way way)
{
    uint64_t requires = call_rules[way.call].requires | (FIELD_BIT(FIELD_OP) & fields_of(way)) |
                        (FIELD_BIT(FIELD_DECISION_ID) & fields_of(way));
    if (call_rules[way.call].kind == COMMAND_REFUND) requires |= FIELD_BIT(FIELD_REFUND_CREDITS);
    if (way.call == CALL_CLOCK) requires |= FIELD_BIT(FIELD_NOW);
    return requires;
}

/* Fields that would clash with what every body of the call has. */
static uint64_t left_out_for(struct way way, enum field field)
{
    if (call_rules[way.call].kind == COMMAND_REFUND && field == FIELD_ALL)
        return FIELD_BIT(FIELD_REFUND_CREDITS);
    if (way.call == CALL_CLOCK && field != FIELD_NOW) return FIELD_BIT(FIELD_NOW);
    return 0;
}

static void put_sample(struct buffer *body, struct way way, enum field field)
{
    const char *sample = field == FIELD_OP ? call_rules[way.call].op : samples[field];
    if (is_string(field)) buffer_put_text(body, "\"");
    buffer_put_text(body, sample);
    if (is_string(field)) buffer_put_text(body, "\"");
}

#define BODY_BYTES_MAX 16384u

/* All that the call needs, and `field` with the given JSON value (NULL: without the field). */
static struct bytes body_with(struct way way, enum field field, struct bytes value,
                              uint8_t block_out[BODY_BYTES_MAX])
{
    struct buffer body = buffer_over(block_out, BODY_BYTES_MAX);
    const char *comma = "{";
    const uint64_t needed =
        needed_of(way) & ~(value.at != NULL ? left_out_for(way, field) : UINT64_C(0));
    for (uint32_t other = 0; other < FIELDS; other++) {
        const bool is_needed = (needed & FIELD_BIT(other)) != 0;
        if (other == field ? value.at == NULL : !is_needed) continue;
        buffer_put_text(&body, comma);
        buffer_put_text(&body, "\"");
        buffer_put_text(&body, field_rules[other].name);
        buffer_put_text(&body, "\":");
        if (other == field)
            buffer_put(&body, value.at, value.length);
        else
            put_sample(&body, way, (enum field)other);
        comma = ",";
    }
    buffer_put_text(&body, comma[0] == '{' ? "{}" : "}");
    assert_false(body.overflowed);
    return buffer_bytes(&body);
}

static struct bytes target_of(uint32_t call)
{
    switch (call_rules[call].target) {
    case TARGET_CUSTOMER:
        return BYTES("acme");
    case TARGET_DECISION:
        return BYTES(DECISION);
    case TARGET_GRANT:
        return BYTES(GRANT);
    case TARGET_KEY:
        return BYTES("k_0000000000c81");
    case TARGET_POOL:
        return BYTES("gpu");
    case TARGET_NONE:
        break;
    }
    return BYTES_NONE;
}

/* Each part once, one behind the other. */
static struct bytes joined(struct arena *arena, const char *before, struct bytes body,
                           const char *after)
{
    const size_t size = strlen(before) + body.length + strlen(after);
    struct buffer whole = buffer_over(arena_take(arena, size), size);
    buffer_put_text(&whole, before);
    buffer_put(&whole, body.at, body.length);
    buffer_put_text(&whole, after);
    assert_false(whole.overflowed);
    return buffer_bytes(&whole);
}

#define ENVELOPE "\"specversion\":\"1.0\",\"id\":\"e1\",\"source\":\"gateway\",\"type\":\"usage\""

/* What problems in the body that is tested begin with. */
static const char *prefix_of(struct way way)
{
    if (way.is_operation) return "operations[7].";
    return way.call == CALL_EVENT_DATA ? "data." : "";
}

static struct verdict parse_in(struct arena *arena, struct way way, struct bytes body)
{
    struct verdict verdict = {0};
    if (way.call == CALL_EVENT_DATA) {
        body = joined(arena, "{" ENVELOPE ",\"data\":", body, "}");
        way.call = WIRE_EVENT;
    }
    if (way.call == CALL_CLOCK) {
        struct wire_clock clock;
        verdict.is_fine = wire_parse_clock(body, arena, &clock, &verdict.problem);
    } else if (!way.is_operation) {
        const struct wire_request request = {
            .call = (enum wire_call)way.call, .body = body, .target = target_of(way.call)};
        verdict.is_fine = wire_parse(&request, arena, &verdict.command, &verdict.problem);
    } else {
        /* The eighth of a batch, so that its number shows in problems. */
        body = joined(arena, "{\"operations\":[1,1,1,1,1,1,1,", body, "]}");
        struct wire_operation *operations;
        uint32_t count;
        if (!wire_parse_batch(body, arena, &operations, &count, &verdict.problem)) return verdict;
        assert_int_equal(count, 8);
        verdict.is_fine =
            wire_parse_operation(&operations[7], arena, &verdict.command, &verdict.problem);
    }
    return verdict;
}

static struct verdict parse(struct way way, struct bytes body)
{
    struct arena arena = arena_over(memory, sizeof memory);
    return parse_in(&arena, way, body);
}

static uint64_t checked; /* expectations met, so that generated tests show that they ran */

#define PATH_MAX_BYTES 512

static void expect_problem(struct way way, struct bytes body, enum problem_code code,
                           const char *field)
{
    char path[PATH_MAX_BYTES] = "";
    if (field != NULL) (void)snprintf(path, sizeof path, "%s%s", prefix_of(way), field);
    const struct verdict verdict = parse(way, body);
    const char *found = verdict.problem.field != NULL ? verdict.problem.field : "";
    if (verdict.is_fine || verdict.problem.code != code || strcmp(found, path) != 0)
        print_error("%.*s\nproblem %d at '%s', not %d at '%s'\n", (int)body.length,
                    (const char *)body.at, verdict.is_fine ? 0 : (int)verdict.problem.code, found,
                    (int)code, path);
    assert_false(verdict.is_fine);
    assert_int_equal(verdict.problem.code, code);
    assert_string_equal(found, path);
    checked++;
}

static struct command expect_fine(struct way way, struct bytes body)
{
    const struct verdict verdict = parse(way, body);
    if (!verdict.is_fine)
        print_error("%.*s\nproblem %d at '%s'\n", (int)body.length, (const char *)body.at,
                    (int)verdict.problem.code,
                    verdict.problem.field != NULL ? verdict.problem.field : "");
    assert_true(verdict.is_fine);
    checked++;
    return verdict.command;
}

/* Runs over every field of every call, both ways. */
static void each_field(void (*check)(struct way way, enum field field))
{
    checked = 0;
    for (uint32_t call = 0; call < CALLS; call++) {
        for (unsigned is_operation = 0; is_operation < 2; is_operation++) {
            const struct way way = {call, is_operation == 1};
            if (way.is_operation && call_rules[call].op == NULL) continue;
            for (uint32_t field = 0; field < FIELDS; field++)
                if ((fields_of(way) & FIELD_BIT(field)) != 0) check(way, (enum field)field);
        }
    }
    assert_true(checked >= 100);
}

static void with_text(struct way way, enum field field, const char *value, enum problem_code code)
{
    uint8_t block[BODY_BYTES_MAX];
    expect_problem(way, body_with(way, field, bytes_of_text(value), block), code,
                   field_rules[field].name);
}

static bool is_refused(enum field field)
{
    return field_rules[field].rule == RULE_UNSUPPORTED || field_rules[field].rule == RULE_REFUSED;
}

static void check_sample(struct way way, enum field field)
{
    uint8_t block[BODY_BYTES_MAX];
    uint8_t sample[256];
    struct buffer value = buffer_over(sample, sizeof sample);
    put_sample(&value, way, field);
    const struct bytes body = body_with(way, field, buffer_bytes(&value), block);
    if (is_refused(field))
        expect_problem(way, body,
                       field_rules[field].rule == RULE_REFUSED ? PROBLEM_INVALID_VALUE
                                                               : PROBLEM_UNSUPPORTED,
                       field_rules[field].name);
    else
        (void)expect_fine(way, body);
}

static void every_field_takes_its_sample(void **state)
{
    (void)state;
    each_field(check_sample);
}

static void check_types(struct way way, enum field field)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "1",
                                         "\"\"",
                                         "\"x\"",
                                         "{}",
                                         "[]",
                                         "{\"a\":{\"b\":[1]}}",
                                         "[[{}],[{\"x\":[]}]]"};
    const enum rule rule = field_rules[field].rule;
    if (is_refused(field)) return;
    for (size_t place = 0; place < COUNT_OF(values); place++) {
        const char first = values[place][0];
        const bool is_of_type =
            (first == '"' && is_string(field)) ||
            (first >= '0' && first <= '9' && rule == RULE_NUMBER_INTEGER) ||
            ((first == 't' || first == 'f') && rule == RULE_BOOL) ||
            (first == '{' && rule >= RULE_MAP_QUANTITIES && rule <= RULE_MAP_DATA) ||
            (first == 'n' && call_rules[way.call].is_event) ||
            (first == 'n' && value_may_be_null(rule)) ||
            (first == '[' && (rule == RULE_LIST_NAMES || rule == RULE_LIST_WORDS));
        if (!is_of_type) with_text(way, field, values[place], PROBLEM_INVALID_SHAPE);
    }
}

static void every_field_refuses_other_types_and_null(void **state)
{
    (void)state;
    each_field(check_types);
}

static void check_numbers(struct way way, enum field field)
{
    const struct field_rule *rule = &field_rules[field];
    if (rule->rule != RULE_NUMBER_INTEGER) return;
    static const char *const bad[] = {"1.0", "1.5", "1e3", "1E3", "-1.5", "0.1", "-1e0"};
    for (size_t place = 0; place < COUNT_OF(bad); place++)
        with_text(way, field, bad[place], PROBLEM_INVALID_VALUE);
    if (rule->least >= 0) {
        with_text(way, field, "-1", PROBLEM_INVALID_VALUE);
        with_text(way, field, "-0", PROBLEM_INVALID_VALUE);
        with_text(way, field, "-99999999999999999999", PROBLEM_INVALID_VALUE);
    }
    static const char *const large[] = {"9007199254740992", "9223372036854775808",
                                        "18446744073709551616", "99999999999999999999999999999999"};
    for (size_t place = 0; place < COUNT_OF(large); place++)
        with_text(way, field, large[place], PROBLEM_OUT_OF_RANGE);
    char text[32];
    uint8_t block[BODY_BYTES_MAX];
    for (int64_t step = 0; step < 2; step++) {
        (void)snprintf(text, sizeof text, "%lld", (long long)rule->least - step);
        if (step == 0)
            (void)expect_fine(way, body_with(way, field, bytes_of_text(text), block));
        else
            with_text(way, field, text, PROBLEM_INVALID_VALUE);
        (void)snprintf(text, sizeof text, "%lld", (long long)rule->most + step);
        if (step == 0)
            (void)expect_fine(way, body_with(way, field, bytes_of_text(text), block));
        else
            with_text(way, field, text,
                      rule->most == (int64_t)QUANTITY_MAX ? PROBLEM_OUT_OF_RANGE
                                                          : PROBLEM_INVALID_VALUE);
    }
}

static void every_integer_keeps_its_range(void **state)
{
    (void)state;
    each_field(check_numbers);
}

/* "aa...a" of that many bytes, quoted. */
static struct bytes long_text(size_t length, uint8_t *block)
{
    memset(block, 'a', length + 2);
    block[0] = '"';
    block[length + 1] = '"';
    return (struct bytes){block, length + 2};
}

static void check_strings(struct way way, enum field field)
{
    const struct field_rule *rule = &field_rules[field];
    uint8_t text[8192];
    uint8_t block[BODY_BYTES_MAX];
    if (!is_string(field)) return;
    const bool is_id = rule->rule == RULE_STRING_DECISION;
    const enum problem_code code = is_id ? PROBLEM_UNKNOWN_DECISION : PROBLEM_INVALID_VALUE;
    with_text(way, field, "\"\"", code);
    with_text(way, field, "\"a\\u0000b\"", code);
    const struct bytes far = long_text(4096, text);
    expect_problem(way, body_with(way, field, far, block), code, rule->name);
    if (rule->rule > RULE_STRING_TEXT) {
        with_text(way, field, "\"nonsense\"", code);
        with_text(way, field, "\" \"", code);
        return;
    }
    struct bytes value = long_text((size_t)rule->most, text);
    (void)expect_fine(way, body_with(way, field, value, block));
    value = long_text((size_t)rule->most + 1, text);
    expect_problem(way, body_with(way, field, value, block), PROBLEM_INVALID_VALUE, rule->name);
    if (rule->rule == RULE_STRING_TEXT) return;
    with_text(way, field, "\"a\\nb\"", PROBLEM_INVALID_VALUE);
    with_text(way, field, "\"a\\u007fb\"", PROBLEM_INVALID_VALUE);
    with_text(way, field, "\"a\\u001fb\"", PROBLEM_INVALID_VALUE);
}

static void every_string_keeps_its_length_and_its_characters(void **state)
{
    (void)state;
    each_field(check_strings);
}

static const char *const bad_words[] = {"\"Paid\"", "\"paid \"", "\"nobody\"", "\"a,b\"", NULL};
static const char *const bad_credits[] = {
    "\"0\"",   "\"-1\"", "\"+1\"",  "\"1.\"",  "\".5\"", "\"1e3\"", "\"0.0000000001\"",
    "\"1,5\"", "\" 1\"", "\"0x1\"", "\"NaN\"", NULL,
};
static const char *const bad_instants[] = {
    "\"2026-05-01\"",
    "\"2026-02-29T00:00:00Z\"",
    "\"2026-05-01T24:00:00Z\"",
    "\"1969-12-31T23:59:59Z\"",
    "\"2026-05-01T12:00:00\"",
    "\"2026-13-01T00:00:00Z\"",
    "\"now\"",
    NULL,
};
static const char *const bad_paths[] = {
    "\"/\"", "\"/a\"", "\"a/\"", "\"a//b\"", "\"a/\\u0000\"", "\"1/2/3/4/5/6/7/8/9\"", NULL};
static const char *const bad_decisions[] = {
    "\"d_0000000000C81\"",  "\"g_0000000000c81\"", "\"d_000000000c81\"",
    "\"d_0000000000c810\"", "\"d_00000000000il\"", NULL,
};

static void check_kinds(struct way way, enum field field)
{
    static const char *const *const bad[] = {
        [RULE_STRING_WORD] = bad_words,
        [RULE_STRING_CREDITS] = bad_credits,
        [RULE_STRING_INSTANT] = bad_instants,
        [RULE_INSTANT_OR_NULL] = bad_instants,
        [RULE_STRING_PATH] = bad_paths,
        [RULE_STRING_DECISION] = bad_decisions,
        [RULE_UNSUPPORTED] = NULL,
    };
    const enum rule rule = field_rules[field].rule;
    const enum problem_code code =
        rule == RULE_STRING_DECISION ? PROBLEM_UNKNOWN_DECISION : PROBLEM_INVALID_VALUE;
    for (size_t place = 0; bad[rule] != NULL && bad[rule][place] != NULL; place++)
        with_text(way, field, bad[rule][place], code);
    if (field == FIELD_CREDITS) {
        with_text(way, field, "\"18014398.509481985\"", PROBLEM_OUT_OF_RANGE);
        with_text(way, field, "\"4611686018\"", PROBLEM_OUT_OF_RANGE);
        with_text(way, field, "\"99999999999\"", PROBLEM_OUT_OF_RANGE);
        with_text(way, field, "\"99999999999999999999.000000001\"", PROBLEM_OUT_OF_RANGE);
        with_text(way, field, "\"-99999999999\"", PROBLEM_INVALID_VALUE);
        with_text(way, field, "5", PROBLEM_INVALID_SHAPE);
        with_text(way, field, "0.5", PROBLEM_INVALID_SHAPE);
    }
}

static void words_credits_times_paths_and_ids_are_checked(void **state)
{
    (void)state;
    each_field(check_kinds);
}

static void check_once(struct way way, enum field field)
{
    uint8_t block[BODY_BYTES_MAX];
    uint8_t text[512];
    struct buffer twice = buffer_over(text, sizeof text);
    if (is_refused(field)) return;
    put_sample(&twice, way, field);
    buffer_put_text(&twice, ",\"");
    buffer_put_text(&twice, field_rules[field].name);
    buffer_put_text(&twice, "\":");
    put_sample(&twice, way, field);
    expect_problem(way, body_with(way, field, buffer_bytes(&twice), block), PROBLEM_DUPLICATE_FIELD,
                   field_rules[field].name);

    if ((needed_of(way) & FIELD_BIT(field)) != 0)
        expect_problem(way, body_with(way, field, BYTES_NONE, block), PROBLEM_MISSING_FIELD,
                       field_rules[field].name);
    else
        (void)expect_fine(way, body_with(way, field, BYTES_NONE, block));
}

static void every_field_stands_once_and_required_ones_at_all(void **state)
{
    (void)state;
    each_field(check_once);
}

static void check_text(struct way way, enum field field)
{
    uint8_t block[BODY_BYTES_MAX];
    /* As the value: bytes that are not UTF-8, half a surrogate pair, endless nesting. */
    struct bytes body = body_with(way, field, BYTES("\"\xff\""), block);
    assert_false(parse(way, body).is_fine);
    assert_int_equal(parse(way, body).problem.code, PROBLEM_MALFORMED);
    body = body_with(way, field, BYTES("\"\\ud800\""), block);
    assert_int_equal(parse(way, body).problem.code, PROBLEM_MALFORMED);
    body = body_with(way, field, BYTES("[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]"), block);
    const struct verdict verdict = parse(way, body);
    assert_int_equal(verdict.problem.code, PROBLEM_TOO_DEEP);
    char path[PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s%s", prefix_of(way), field_rules[field].name);
    if (!way.is_operation) assert_memory_equal(verdict.problem.field, path, strlen(path));
    body = body_with(way, field,
                     BYTES("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
                           "\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}}}}}}}"),
                     block);
    assert_int_equal(parse(way, body).problem.code, PROBLEM_TOO_DEEP);
    checked++;
}

static void every_value_must_be_utf8_and_flat(void **state)
{
    (void)state;
    each_field(check_text);
}

static void check_torn(struct way way, enum field field)
{
    uint8_t block[BODY_BYTES_MAX];
    uint8_t sample[256];
    struct buffer value = buffer_over(sample, sizeof sample);
    if (way.is_operation || way.call == CALL_EVENT_DATA) return; /* the whole is torn elsewhere */
    put_sample(&value, way, field);
    const struct bytes body = body_with(way, field, buffer_bytes(&value), block);
    for (size_t length = 0; length < body.length; length++) {
        if (length == 0 && call_rules[way.call].may_be_empty) continue;
        const struct verdict verdict = parse(way, (struct bytes){body.at, length});
        assert_false(verdict.is_fine);
        assert_int_equal(verdict.problem.code, PROBLEM_MALFORMED);
        assert_non_null(verdict.problem.field);
    }
    block[body.length] = '}';
    expect_problem(way, (struct bytes){body.at, body.length + 1}, PROBLEM_MALFORMED, "body");
    block[body.length] = 0;
    expect_problem(way, (struct bytes){body.at, body.length + 1}, PROBLEM_MALFORMED, "body");
    block[body.length] = '"';
    expect_problem(way, (struct bytes){body.at, body.length + 1}, PROBLEM_MALFORMED, "body");
}

static void torn_bodies_and_trailing_garbage_are_malformed(void **state)
{
    (void)state;
    each_field(check_torn);
}

static void told_where(struct bytes body, const char *field)
{
    struct way way = {WIRE_CONSUME, false};
    expect_problem(way, body, PROBLEM_MALFORMED, field);
}

static void what_is_no_json_names_the_field_it_is_in(void **state)
{
    (void)state;
    told_where(BYTES(""), "body");
    told_where(BYTES("nonsense"), "body");
    told_where(BYTES("{\"customer\":tru"), "customer");
    told_where(BYTES("{\"customer\":\"acme"), "customer");
    told_where(BYTES("{\"customer\":\"acme\" \"feature\":1}"), "customer");
    told_where(BYTES("{\"customer\":\"acme\",\"feat"), "body");
    told_where(BYTES("{\"customer\":\"acme\",\"feature\""), "body");
    told_where(BYTES("{\"customer\":\"acme\",\"feature\":"), "feature");
    told_where(BYTES("{\"quantities\":{\"requests\":01}}"), "quantities.requests");
    told_where(BYTES("{\"quantities\":{\"requests\":1,}}"), "quantities");
    told_where(BYTES("{\"quantities\":{\"a,b:{[\\\"\":-}}"), "quantities.a,b:{[\\\"");
    told_where(BYTES("{\"quantities\":{\"requests\":\"\xff\"}}"), "quantities.requests");
    told_where(BYTES("{\"quantities\":{\"re\xff\":1}}"), "quantities");
    told_where(BYTES("{\"attributes\":{\"m\":\"\\ud800\",\"n\":\"\\ud800\"}}"), "attributes.m");
    told_where(BYTES("{\"a\":[1,{\"b\":[2,3,x]}]}"), "a[1].b[2]");
    told_where(BYTES("{\"a\":[1,{\"b\":[2,3,[4,x]]}]}"), "a[1].b[2]");
    told_where(BYTES("{}}"), "body");
    told_where(BYTES("]{\"a\":"), "body");
}

static void check_unknown(struct way way, enum field field)
{
    char text[128];
    char name[64];
    uint8_t block[BODY_BYTES_MAX];
    uint8_t sample[256];
    struct buffer value = buffer_over(sample, sizeof sample);
    if (is_refused(field)) return;
    put_sample(&value, way, field);
    (void)snprintf(name, sizeof name, "%s_", field_rules[field].name);
    (void)snprintf(text, sizeof text, ",\"%s\":{\"a\":[1,{}]}", name);
    buffer_put_text(&value, text);
    expect_problem(way, body_with(way, field, buffer_bytes(&value), block), PROBLEM_UNKNOWN_FIELD,
                   name);
}

static void unknown_fields_are_refused_by_name(void **state)
{
    (void)state;
    each_field(check_unknown);
}

/* Fields of other calls are unknown to this one. */
static void calls_take_their_own_fields_only(void **state)
{
    (void)state;
    uint8_t block[BODY_BYTES_MAX];
    checked = 0;
    for (uint32_t call = 0; call < CALLS; call++) {
        const struct way way = {call, false};
        for (uint32_t field = 0; field < FIELDS; field++) {
            bool is_known = false;
            for (uint32_t other = 0; other < FIELDS; other++)
                is_known =
                    is_known || ((fields_of(way) & FIELD_BIT(other)) != 0 &&
                                 strcmp(field_rules[field].name, field_rules[other].name) == 0);
            if (is_known) continue;
            const struct bytes body = body_with(way, (enum field)field, BYTES("1"), block);
            const char *name = field_rules[field].name;
            if (call_rules[call].is_event && schema_is_attribute(bytes_of_text(name)))
                (void)expect_fine(way, body);
            else
                expect_problem(way, body, PROBLEM_UNKNOWN_FIELD, name);
        }
    }
    assert_true(checked >= 200);
}

/* What is expected is told in numbers that are the rule's own. */
static void expectations_tell_the_range_that_holds(void **state)
{
    (void)state;
    for (uint32_t field = 0; field < FIELDS; field++) {
        const struct field_rule *rule = &field_rules[field];
        char text[CREDITS_TEXT_SIZE];
        if (rule->most == 0) continue;
        if (rule->rule == RULE_STRING_CREDITS || rule->rule == RULE_STRING_FACTOR)
            (void)credits_format(rule->most, text);
        else
            (void)snprintf(text, sizeof text, "%lld", (long long)rule->most);
        assert_non_null(strstr(rule->expected, text));
    }
    assert_int_equal(LEVELS_MAX, 8);
    assert_int_equal(WIRE_DEPTH_MAX, 16);
    assert_int_equal(WIRE_OPERATIONS_MAX, 1000);
    for (uint32_t field = 0; field < FIELDS; field++)
        for (size_t word = 0; field_rules[field].words != NULL && field_rules[field].words[word];
             word++)
            assert_non_null(strstr(field_rules[field].expected, field_rules[field].words[word]));
}

static const struct way authorize = {WIRE_AUTHORIZE, false};
static const struct way customer = {WIRE_CUSTOMER, false};

/* Of the call, with this value of one field. */
static void refuse(enum wire_call call, enum field field, const char *value, enum problem_code code,
                   const char *path)
{
    const struct way way = {call, false};
    uint8_t block[BODY_BYTES_MAX];
    expect_problem(way, body_with(way, field, bytes_of_text(value), block), code, path);
}

static void members_of_objects_are_checked_and_named(void **state)
{
    (void)state;
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":-1}", PROBLEM_INVALID_VALUE, "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":1.0}", PROBLEM_INVALID_VALUE, "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":1e2}", PROBLEM_INVALID_VALUE, "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":9007199254740992}", PROBLEM_OUT_OF_RANGE,
           "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":\"1\"}", PROBLEM_INVALID_SHAPE,
           "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":null}", PROBLEM_INVALID_SHAPE, "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":{\"b\":1}}", PROBLEM_INVALID_SHAPE,
           "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":[1]}", PROBLEM_INVALID_SHAPE, "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":1,\"a\":1}", PROBLEM_DUPLICATE_FIELD,
           "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\":1,\"\\u0061\":1}", PROBLEM_DUPLICATE_FIELD,
           "quantities.a");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"\":1}", PROBLEM_INVALID_VALUE, "quantities.");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES, "{\"a\\u0000b\":1}", PROBLEM_INVALID_VALUE,
           "quantities.a?b");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES,
           "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1}",
           PROBLEM_INVALID_VALUE, "quantities.9");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES, "{\"model\":1}", PROBLEM_INVALID_SHAPE,
           "attributes.model");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES, "{\"model\":\"\"}", PROBLEM_INVALID_VALUE,
           "attributes.model");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES, "{\"model\":\"a\\u0000\"}", PROBLEM_INVALID_VALUE,
           "attributes.model");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES, "{\"model\":null}", PROBLEM_INVALID_SHAPE,
           "attributes.model");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES, "{\"a\":\"x\",\"a\":\"y\"}", PROBLEM_DUPLICATE_FIELD,
           "attributes.a");
    refuse(WIRE_AUTHORIZE, FIELD_ATTRIBUTES,
           "{\"1\":\"x\",\"2\":\"x\",\"3\":\"x\",\"4\":\"x\",\"5\":\"x\",\"6\":\"x\",\"7\":\"x\","
           "\"8\":\"x\",\"9\":\"x\",\"10\":\"x\",\"11\":\"x\",\"12\":\"x\",\"13\":\"x\",\"14\":"
           "\"x\",\"15\":\"x\",\"16\":\"x\",\"17\":\"x\"}",
           PROBLEM_INVALID_VALUE, "attributes.17");
    refuse(WIRE_CUSTOMER, FIELD_SUSPENDED_SUBJECTS, "{\"a//b\":true}", PROBLEM_INVALID_VALUE,
           "suspended_subjects.a//b");
    refuse(WIRE_CUSTOMER, FIELD_SUSPENDED_SUBJECTS, "{\"a\":1}", PROBLEM_INVALID_SHAPE,
           "suspended_subjects.a");
    refuse(WIRE_CUSTOMER, FIELD_SUSPENDED_SUBJECTS, "{\"a\":null}", PROBLEM_INVALID_SHAPE,
           "suspended_subjects.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":true}", PROBLEM_INVALID_SHAPE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":{}}", PROBLEM_INVALID_SHAPE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":-1}", PROBLEM_INVALID_VALUE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":9007199254740992}", PROBLEM_OUT_OF_RANGE,
           "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":\"x\"}", PROBLEM_INVALID_VALUE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":\"-1\"}", PROBLEM_INVALID_VALUE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":[]}", PROBLEM_INVALID_VALUE, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":[1,2,3,4,5]}", PROBLEM_INVALID_VALUE,
           "limits.a[4]");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":[1,true]}", PROBLEM_INVALID_SHAPE, "limits.a[1]");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":[[1]]}", PROBLEM_INVALID_SHAPE, "limits.a[0]");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a/\":1}", PROBLEM_INVALID_VALUE, "limits.a/");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"/a\":1}", PROBLEM_INVALID_VALUE, "limits./a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"\":1}", PROBLEM_INVALID_VALUE, "limits.");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"a\":1,\"a\":2}", PROBLEM_DUPLICATE_FIELD, "limits.a");
    refuse(WIRE_CUSTOMER, FIELD_BUDGETS, "{\"a\":1000}", PROBLEM_INVALID_SHAPE, "budgets.a");
    refuse(WIRE_CUSTOMER, FIELD_BUDGETS, "{\"a\":[\"1\"]}", PROBLEM_INVALID_SHAPE, "budgets.a");
    refuse(WIRE_CUSTOMER, FIELD_BUDGETS, "{\"a\":\"-1\"}", PROBLEM_INVALID_VALUE, "budgets.a");
    refuse(WIRE_CUSTOMER, FIELD_BUDGETS, "{\"a\":\"4611686018.427387905\"}", PROBLEM_OUT_OF_RANGE,
           "budgets.a");
    refuse(WIRE_CUSTOMER, FIELD_BUDGETS, "{\"a\":\"1\"},\"limits\":{\"a\":2}",
           PROBLEM_INVALID_VALUE, "budgets.a");
    refuse(WIRE_CUSTOMER, FIELD_LIMITS, "{\"f/a\":[2,1]},\"budgets\":{\"f/a\":\"1\"}",
           PROBLEM_INVALID_VALUE, "budgets.f/a");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[]", PROBLEM_INVALID_VALUE, "features");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[1]", PROBLEM_INVALID_SHAPE, "features[0]");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[\"a\",null]", PROBLEM_INVALID_SHAPE, "features[1]");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[\"a\",{\"b\":[]}]", PROBLEM_INVALID_SHAPE, "features[1]");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[\"\"]", PROBLEM_INVALID_VALUE, "features[0]");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[\"a\",\"b\",\"a\"]", PROBLEM_INVALID_VALUE, "features[2]");
    refuse(WIRE_GRANT, FIELD_FEATURES, "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
           PROBLEM_INVALID_VALUE, "features[8]");
    refuse(WIRE_AUTHORIZE, FIELD_QUANTITIES,
           "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1},\"quantities\":"
           "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1}",
           PROBLEM_DUPLICATE_FIELD, "quantities");
    const struct way commit = {WIRE_COMMIT, true};
    uint8_t block[BODY_BYTES_MAX];
    expect_problem(commit,
                   body_with(commit, FIELD_QUANTITIES, BYTES("{\"input_tokens\":-1}"), block),
                   PROBLEM_INVALID_VALUE, "quantities.input_tokens");
}

static void names_too_long_for_their_place_are_cut_in_the_problem(void **state)
{
    (void)state;
    uint8_t block[BODY_BYTES_MAX];
    uint8_t text[1024];
    struct buffer value = buffer_over(text, sizeof text);
    buffer_put_text(&value, "{\"");
    for (unsigned i = 0; i < 300; i++)
        buffer_put_text(&value, "m");
    buffer_put_text(&value, "\":1}");
    const struct verdict verdict =
        parse(authorize, body_with(authorize, FIELD_QUANTITIES, buffer_bytes(&value), block));
    assert_int_equal(verdict.problem.code, PROBLEM_INVALID_VALUE);
    assert_int_equal(strlen(verdict.problem.field), strlen("quantities.") + 128);
    assert_int_equal(verdict.problem.value.length, 300);
}

/* API.md section 3, field by field. */
static void the_example_becomes_its_command(void **state)
{
    (void)state;
    const struct command command = expect_fine(
        authorize,
        BYTES("{\n"
              "  \"customer\": \"acme\", \"subject\": \"team-a/alice\", \"feature\": \"chat\",\n"
              "  \"quantities\": {\"requests\": 3},\n"
              "  \"attributes\": {\"model\": \"gpt-5.5\", \"endpoint\": \"/v1/responses\", "
              "\"origin\": \"interactive\"},\n"
              "  \"idempotency_key\": \"req_01\", \"ttl_ms\": 600000,\n"
              "  \"min_units\": 1,\n"
              "  \"use_credits\": true,\n"
              "  \"priority\": \"default\",\n"
              "  \"explain\": true\n"
              "}\n"));
    assert_int_equal(command.kind, COMMAND_AUTHORIZE);
    assert_true(bytes_equal(command.customer, BYTES("acme")));
    assert_true(bytes_equal(command.subject, BYTES("team-a/alice")));
    assert_true(bytes_equal(command.feature, BYTES("chat")));
    assert_true(bytes_equal(command.key, BYTES("req_01")));
    assert_int_equal(command.quantity_count, 1);
    assert_true(bytes_equal(command.quantities[0].meter, BYTES("requests")));
    assert_int_equal(command.quantities[0].amount, 3);
    assert_int_equal(command.attribute_count, 3);
    assert_true(bytes_equal(command.attributes[0].name, BYTES("endpoint")));
    assert_true(bytes_equal(command.attributes[1].name, BYTES("model")));
    assert_true(bytes_equal(command.attributes[1].value, BYTES("gpt-5.5")));
    assert_true(bytes_equal(command.attributes[2].name, BYTES("origin")));
    assert_true(command.has_ttl && command.ttl_ms == 600000);
    assert_true(command.has_min_units && command.min_units == 1);
    assert_int_equal(command.consent, CONSENT_GIVEN);
    assert_int_equal(command.priority, PRIORITY_DEFAULT);
    assert_true(command.explain);
}

static uint64_t encoding_hash(const struct command *command)
{
    static uint8_t block[64 * 1024];
    struct buffer buffer = buffer_over(block, sizeof block);
    command_encode(command, &buffer);
    assert_false(buffer.overflowed);
    return hash_64(
        (struct hash_key){
            {1, 2}
    },
        buffer_bytes(&buffer));
}

static uint64_t hash_of(struct way way, const char *body)
{
    const struct verdict verdict = parse(way, bytes_of_text(body));
    assert_true(verdict.is_fine);
    return encoding_hash(&verdict.command);
}

static void equal_requests_are_equal_commands(void **state)
{
    (void)state;
    const uint64_t first =
        hash_of(authorize, "{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{\"x\":1,\"y\":2},"
                           "\"attributes\":{\"m\":\"1\",\"n\":\"2\",\"o\":\"3\"}}");
    assert_true(first ==
                hash_of(authorize,
                        " {\"attributes\" : {\"o\":\"3\",\"m\":\"1\",\"\\u006e\":\"2\"},\r\n\t"
                        "\"quantities\":{\"y\":2,\"x\":1},\"f\\u0065ature\":\"f\","
                        "\"customer\":\"\\u0061\"} "));
    assert_false(first == hash_of(authorize, "{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":"
                                             "{\"x\":1,\"y\":3},\"attributes\":{\"m\":\"1\",\"n\":"
                                             "\"2\",\"o\":\"3\"}}"));
    assert_true(hash_of(customer, "{\"limits\":{\"b\":1,\"a\":[2,3]},\"suspended_subjects\":{\"y\":"
                                  "true,\"x\":false}}") ==
                hash_of(customer, "{\"suspended_subjects\":{\"x\":false,\"y\":true},\"limits\":{"
                                  "\"a\":[2,3],\"b\":1}}"));
}

static void standings_are_told_from_suspensions(void **state)
{
    (void)state;
    const struct command command =
        expect_fine(customer, BYTES("{\"standing\":\"restricted\",\"subject_standings\":{\"b\":"
                                    "\"normal\",\"a/x\":\"trusted\"},\"suspended_subjects\":{"
                                    "\"b\":true}}"));
    assert_true(command.has_standing && command.standing == STANDING_RESTRICTED);
    assert_int_equal(command.suspension_count, 3);
    assert_true(bytes_equal(command.suspensions[0].subject, BYTES("a/x")));
    assert_true(command.suspensions[0].is_standing);
    assert_int_equal(command.suspensions[0].standing, STANDING_TRUSTED);
    assert_true(!command.suspensions[1].is_standing && command.suspensions[1].suspended);
    assert_true(command.suspensions[2].is_standing);
    assert_int_equal(command.suspensions[2].standing, STANDING_NORMAL);
    expect_problem(customer, BYTES("{\"subject_standings\":{\"a\":\"fine\"}}"),
                   PROBLEM_INVALID_VALUE, "subject_standings.a");
    expect_problem(customer, BYTES("{\"subject_standings\":{\"a\":true}}"), PROBLEM_INVALID_SHAPE,
                   "subject_standings.a");
    expect_problem(customer, BYTES("{\"subject_standings\":{\"a//b\":\"trusted\"}}"),
                   PROBLEM_INVALID_VALUE, "subject_standings.a//b");
    assert_false(expect_fine(customer, BYTES("{}")).has_standing);
}

/* 32 of both together: they lie in one list. */
static void subjects_settings_have_one_ceiling(void **state)
{
    (void)state;
    uint8_t block[4096];
    for (unsigned more = 0; more < 2; more++) {
        struct buffer body = buffer_over(block, sizeof block);
        buffer_put_text(&body, "{\"suspended_subjects\":{");
        for (unsigned n = 0; n < 16; n++) {
            buffer_put_text(&body, n == 0 ? "\"a" : ",\"a");
            buffer_put_decimal(&body, n);
            buffer_put_text(&body, "\":true");
        }
        buffer_put_text(&body, "},\"subject_standings\":{");
        for (unsigned n = 0; n < 16 + more; n++) {
            buffer_put_text(&body, n == 0 ? "\"a" : ",\"a");
            buffer_put_decimal(&body, n);
            buffer_put_text(&body, "\":\"trusted\"");
        }
        buffer_put_text(&body, "}}");
        if (more == 0)
            assert_int_equal(expect_fine(customer, buffer_bytes(&body)).suspension_count, 32);
        else
            expect_problem(customer, buffer_bytes(&body), PROBLEM_INVALID_VALUE,
                           "subject_standings.a16");
    }
}

static void pools_are_slowed_by_hand(void **state)
{
    (void)state;
    const struct way pool = {WIRE_POOL, false};
    struct command command = expect_fine(pool, BYTES("{\"override\":\"0.125\",\"shed\":\"all\"}"));
    assert_true(bytes_equal(command.pool.name, BYTES("gpu")));
    assert_true(command.pool.says_override && command.pool.has_override);
    assert_int_equal(command.pool.override_nano, 125000000);
    assert_true(command.pool.says_shed && command.pool.shed == SHED_ALL);
    command = expect_fine(pool, BYTES("{\"override\":null}"));
    assert_true(command.pool.says_override && !command.pool.has_override);
    assert_false(command.pool.says_shed);
    assert_false(expect_fine(pool, BYTES("{}")).pool.says_override);
    (void)expect_fine(pool, BYTES("{\"override\":\"0\"}"));
    (void)expect_fine(pool, BYTES("{\"override\":\"1\"}"));
    static const char *const bad[] = {"1.000000001", "-0.5", "2", "0.0000000001", ".5", "50%"};
    uint8_t block[64];
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct buffer body = buffer_over(block, sizeof block);
        buffer_put_text(&body, "{\"override\":\"");
        buffer_put_text(&body, bad[i]);
        buffer_put_text(&body, "\"}");
        expect_problem(pool, buffer_bytes(&body), PROBLEM_INVALID_VALUE, "override");
    }
    expect_problem(pool, BYTES("{\"override\":0.5}"), PROBLEM_INVALID_SHAPE, "override");
    expect_problem(pool, BYTES("{\"load\":\"0.9\"}"), PROBLEM_UNSUPPORTED, "load");
    expect_problem(pool, BYTES("{\"factor\":\"0.9\"}"), PROBLEM_UNKNOWN_FIELD, "factor");
}

static void settings_become_overrides_and_suspensions(void **state)
{
    (void)state;
    const struct command command = expect_fine(
        customer,
        BYTES("{\"plan\":\"plus\",\"credit_mode\":\"off\",\"anchor\":\"2026-01-31T00:00:00Z\","
              "\"suspended\":false,\"suspended_subjects\":{\"team-a/alice\":true,\"b\":false},"
              "\"limits\":{\"included\":[90,null,\"0.5\"],\"codex/included\":\"20\",\"pace\":null},"
              "\"budgets\":{\"monthly-cap\":\"1000\",\"chat/cap\":null}}"));
    assert_true(bytes_equal(command.customer, BYTES("acme")));
    assert_true(bytes_equal(command.plan, BYTES("plus")));
    assert_int_equal(command.credit_mode, CREDIT_OFF);
    assert_true(command.has_anchor && command.anchor_ms == INT64_C(1769817600000));
    assert_int_equal(command.suspended, BOOL_FALSE);
    assert_int_equal(command.suspension_count, 2);
    assert_true(bytes_equal(command.suspensions[0].subject, BYTES("b")));
    assert_false(command.suspensions[0].suspended);
    assert_true(command.suspensions[1].suspended);
    const struct override expected[] = {
        {    BYTES_NONE,    BYTES("included"), 0, false, false,                      90,  "limits",BYTES("included[0]")                                                                                                   },
        {    BYTES_NONE,    BYTES("included"), 1,  true, false,                       0,  "limits", BYTES("included[1]")},
        {    BYTES_NONE,    BYTES("included"), 2, false,  true,               500000000,  "limits", BYTES("included[2]")},
        {    BYTES_NONE, BYTES("monthly-cap"), 0, false,  true, UINT64_C(1000000000000), "budgets",
         BYTES("monthly-cap")                                                                                           },
        {    BYTES_NONE,        BYTES("pace"), 0,  true, false,                       0,  "limits",        BYTES("pace")},
        { BYTES("chat"),         BYTES("cap"), 0,  true, false,                       0, "budgets",    BYTES("chat/cap")},
        {BYTES("codex"),    BYTES("included"), 0, false,  true,   UINT64_C(20000000000),  "limits",
         BYTES("codex/included")                                                                                        },
    };
    assert_int_equal(command.override_count, COUNT_OF(expected));
    for (size_t place = 0; place < COUNT_OF(expected); place++) {
        const struct override *override = &command.overrides[place];
        assert_true(bytes_equal(override->feature, expected[place].feature));
        assert_true(bytes_equal(override->name, expected[place].name));
        assert_int_equal(override->place, expected[place].place);
        assert_int_equal(override->removed, expected[place].removed);
        assert_int_equal(override->is_credits, expected[place].is_credits);
        assert_true(override->value == expected[place].value);
        assert_string_equal(override->field, expected[place].field);
        assert_true(bytes_equal(override->member, expected[place].member));
    }
}

static void limits_and_budgets_share_one_ceiling(void **state)
{
    (void)state;
    for (unsigned count = OVERRIDES_MAX; count <= OVERRIDES_MAX + 1; count++) {
        uint8_t block[4096];
        char name[32];
        struct buffer body = buffer_over(block, sizeof block);
        buffer_put_text(&body, "{\"budgets\":{\"cap\":\"1\"},\"limits\":{");
        for (unsigned i = 1; i < count; i++) {
            (void)snprintf(name, sizeof name, "%s\"l%u\":%u", i == 1 ? "" : ",", i, i);
            buffer_put_text(&body, name);
        }
        buffer_put_text(&body, "}}");
        if (count == OVERRIDES_MAX)
            (void)expect_fine(customer, buffer_bytes(&body));
        else
            expect_problem(customer, buffer_bytes(&body), PROBLEM_INVALID_VALUE, "limits.l32");
    }
}

static void other_calls_become_their_commands(void **state)
{
    (void)state;
    struct command command = expect_fine(
        (struct way){WIRE_GRANT, false},
        BYTES("{\"category\":\"paid\",\"credits\":\"12.5\",\"priority\":-7,\"effective_at\":"
              "\"2026-05-01T14:00:00+02:00\",\"expires_at\":\"2026-06-01T00:00:00.5Z\","
              "\"features\":[\"codex\",\"chat\"],\"reason\":\"order 7\\n\"}"));
    assert_int_equal(command.kind, COMMAND_GRANT);
    assert_int_equal(command.category, CATEGORY_PAID);
    assert_true(command.nano == INT64_C(12500000000));
    assert_int_equal(command.grant_priority, -7);
    assert_true(command.has_effective && command.effective_ms == INT64_C(1777636800000));
    assert_true(command.has_expires && command.expires_ms == INT64_C(1780272000500));
    assert_int_equal(command.grant_feature_count, 2);
    assert_true(bytes_equal(command.grant_features[0], BYTES("codex")));
    assert_true(bytes_equal(command.reason, BYTES("order 7\n")));

    command = expect_fine((struct way){WIRE_USAGE, false},
                          BYTES("{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{},\"time\":"
                                "\"2026-05-01T12:00:00Z\",\"status\":\"moderated\",\"duration_ms\":"
                                "9007199254740991,\"compute\":\"x\",\"use_credits\":false}"));
    assert_int_equal(command.kind, COMMAND_USAGE);
    assert_int_equal(command.quantity_count, 0);
    assert_true(command.has_event_time && command.event_time_ms == INT64_C(1777636800000));
    assert_int_equal(command.status, JOB_MODERATED);
    assert_true(command.has_duration && command.duration_ms == QUANTITY_MAX);
    assert_int_equal(command.consent, CONSENT_REFUSED);

    command = expect_fine((struct way){WIRE_RESET, false},
                          BYTES("{\"limit\":\"included\",\"subject\":\"a/b\"}"));
    assert_int_equal(command.kind, COMMAND_RESET);
    assert_true(bytes_equal(command.limit, BYTES("included")));
    command = expect_fine((struct way){WIRE_REFUND, false}, BYTES("{\"all\":true}"));
    assert_true(command.all && command.nano == 0);
}

static void an_anchor_is_taken_back_by_null(void **state)
{
    (void)state;
    static const struct way way = {WIRE_CUSTOMER, false};
    const struct command command = expect_fine(way, BYTES("{\"anchor\":null}"));
    assert_true(command.anchor_removed && !command.has_anchor);
    assert_false(expect_fine(way, BYTES("{}")).anchor_removed);
    assert_false(expect_fine(way, BYTES("{\"anchor\":\"2026-05-01T12:00:00Z\"}")).anchor_removed);
}

static void commits_tell_no_quantities_from_none(void **state)
{
    (void)state;
    static const struct way commit = {WIRE_COMMIT, false};
    assert_true(expect_fine(commit, BYTES("{}")).as_held);
    assert_true(expect_fine(commit, BYTES("{\"status\":\"failed\"}")).as_held);
    assert_false(expect_fine(commit, BYTES("{\"quantities\":{}}")).as_held);
    assert_false(expect_fine(commit, BYTES("{\"quantities\":{\"requests\":1}}")).as_held);
    assert_true(expect_fine((struct way){WIRE_COMMIT, true},
                            BYTES("{\"op\":\"commit\",\"decision_id\":\"d_0000000000c81\"}"))
                    .as_held);
    assert_false(expect_fine((struct way){WIRE_EXTEND, false}, BYTES("{}")).as_held);

    struct command command = expect_fine(commit, BYTES("{}"));
    const struct hash_key key = {
        {1, 2}
    };
    const uint64_t silent = command_body_hash(key, &command);
    command.as_held = false;
    assert_true(silent != command_body_hash(key, &command));
}

static void targets_come_by_path_or_in_the_operation(void **state)
{
    (void)state;
    uint64_t decision;
    uint64_t grant;
    assert_true(id_parse('d', BYTES(DECISION), &decision));
    assert_true(id_parse('g', BYTES(GRANT), &grant));
    assert_true(expect_fine((struct way){WIRE_RELEASE, false}, BYTES("{}")).target == decision);
    assert_true(expect_fine((struct way){WIRE_RELEASE, false}, BYTES_NONE).target == decision);
    assert_true(expect_fine((struct way){WIRE_VOID, false}, BYTES_NONE).target == grant);
    assert_true(expect_fine((struct way){WIRE_COMMIT, true},
                            BYTES("{\"op\":\"commit\",\"decision_id\":\"" DECISION "\"}"))
                    .target == decision);

    const struct {
        enum wire_call call;
        struct bytes target;
        enum problem_code code;
        const char *field;
    } rows[] = {
        { WIRE_RELEASE,    BYTES(GRANT), PROBLEM_UNKNOWN_DECISION, "decision_id"},
        {  WIRE_COMMIT,      BYTES("x"), PROBLEM_UNKNOWN_DECISION, "decision_id"},
        {  WIRE_EXTEND,       BYTES(""), PROBLEM_UNKNOWN_DECISION, "decision_id"},
        {    WIRE_VOID, BYTES(DECISION),    PROBLEM_UNKNOWN_GRANT,    "grant_id"},
        {WIRE_CUSTOMER,       BYTES(""),    PROBLEM_INVALID_VALUE,    "customer"},
        {WIRE_CUSTOMER,   BYTES("a\nb"),    PROBLEM_INVALID_VALUE,    "customer"},
        {WIRE_CUSTOMER,  BYTES("a\xff"),    PROBLEM_INVALID_VALUE,    "customer"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct arena arena = arena_over(memory, sizeof memory);
        struct command command;
        struct problem problem;
        const struct wire_request request = {
            .call = rows[row].call, .body = BYTES("{}"), .target = rows[row].target};
        assert_false(wire_parse(&request, &arena, &command, &problem));
        assert_int_equal(problem.code, rows[row].code);
        assert_string_equal(problem.field, rows[row].field);
        assert_true(bytes_equal(problem.value, rows[row].target));
    }
}

static void names_are_checked_alike_in_paths_and_queries(void **state)
{
    (void)state;
    struct problem problem;
    assert_true(wire_check_name(WIRE_NAME_CUSTOMER, BYTES("a/b c"), &problem));
    assert_true(wire_check_name(WIRE_NAME_SUBJECT, BYTES("1/2/3/4/5/6/7/8"), &problem));
    assert_true(wire_check_name(WIRE_NAME_FEATURE, BYTES("chat"), &problem));
    assert_false(wire_check_name(WIRE_NAME_SUBJECT, BYTES("1/2/3/4/5/6/7/8/9"), &problem));
    assert_string_equal(problem.field, "subject");
    assert_false(wire_check_name(WIRE_NAME_FEATURE, BYTES(""), &problem));
    assert_false(wire_check_name(WIRE_NAME_SUBJECT, BYTES("a/\xc3"), &problem));
}

static void the_header_serves_as_the_key(void **state)
{
    (void)state;
    const struct bytes with = BYTES("{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{},"
                                    "\"idempotency_key\":\"k\"}");
    const struct bytes without = BYTES("{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{}}");
    static char long_key[300];
    memset(long_key, 'k', sizeof long_key);
    const struct bytes longest = {(uint8_t *)long_key, KEY_BYTES_MAX};
    const struct bytes too_long = {(uint8_t *)long_key, KEY_BYTES_MAX + 1};
    const struct {
        enum wire_call call;
        struct bytes body;
        struct bytes header;
        bool is_fine;
        struct bytes key;
    } rows[] = {
        {WIRE_AUTHORIZE,                 without,     BYTES_NONE,  true, BYTES_NONE},
        {WIRE_AUTHORIZE,                 without,     BYTES("h"),  true, BYTES("h")},
        {WIRE_AUTHORIZE,                    with,     BYTES_NONE,  true, BYTES("k")},
        {WIRE_AUTHORIZE,                    with,     BYTES("k"),  true, BYTES("k")},
        {WIRE_AUTHORIZE,                    with,     BYTES("h"), false, BYTES_NONE},
        {WIRE_AUTHORIZE,                 without,      BYTES(""), false, BYTES_NONE},
        {WIRE_AUTHORIZE,                 without, BYTES("a\x01"), false, BYTES_NONE},
        {WIRE_AUTHORIZE,                 without,  BYTES("\xff"), false, BYTES_NONE},
        {WIRE_AUTHORIZE,                 without,        longest,  true,    longest},
        {WIRE_AUTHORIZE,                 without,       too_long, false, BYTES_NONE},
        {    WIRE_CHECK,                    with,     BYTES("k"),  true, BYTES_NONE},
        {   WIRE_COMMIT,             BYTES("{}"),     BYTES("h"),  true, BYTES_NONE},
        {   WIRE_EXTEND,             BYTES("{}"),     BYTES("h"),  true, BYTES("h")},
        {   WIRE_REFUND, BYTES("{\"all\":true}"),     BYTES("h"),  true, BYTES("h")},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct arena arena = arena_over(memory, sizeof memory);
        struct command command;
        struct problem problem;
        const struct wire_request request = {.call = rows[row].call,
                                             .body = rows[row].body,
                                             .target = target_of(rows[row].call),
                                             .header_key = rows[row].header};
        assert_int_equal(wire_parse(&request, &arena, &command, &problem), rows[row].is_fine);
        if (rows[row].is_fine) {
            assert_true(bytes_equal(command.key, rows[row].key));
        } else {
            assert_int_equal(problem.code, PROBLEM_INVALID_VALUE);
            assert_string_equal(problem.field, "idempotency_key");
        }
    }
}

static void told(const char *body, enum problem_code code, const char *field)
{
    expect_problem((struct way){WIRE_USAGE, false}, bytes_of_text(body), code, field);
}

static void the_gravest_mistake_is_told_and_of_equals_the_first(void **state)
{
    (void)state;
    told("{\"customer\":\"\",\"x\":1,\"feature\":2", PROBLEM_MALFORMED, "feature");
    told("{\"customer\":\"\",\"specversion\":\"1.0\",\"x\":1}", PROBLEM_UNSUPPORTED, "specversion");
    told("{\"customer\":\"\",\"x\":1,\"feature\":2}", PROBLEM_UNKNOWN_FIELD, "x");
    told("{\"customer\":\"\",\"feature\":2,\"x\":1}", PROBLEM_INVALID_SHAPE, "feature");
    told("{\"customer\":\"\",\"feature\":\"\"}", PROBLEM_MISSING_FIELD, "quantities");
    told("{\"feature\":\"\",\"customer\":\"\",\"quantities\":{}}", PROBLEM_INVALID_VALUE,
         "feature");
    told("[]", PROBLEM_INVALID_SHAPE, "body");
    told("[{\"customer\":1}]", PROBLEM_INVALID_SHAPE, "body");
    told("\"x\"", PROBLEM_INVALID_SHAPE, "body");
    told("3", PROBLEM_INVALID_SHAPE, "body");
    told("null", PROBLEM_INVALID_SHAPE, "body");
}

static void refunds_say_either_an_amount_or_all(void **state)
{
    (void)state;
    const struct way refund = {WIRE_REFUND, false};
    expect_problem(refund, BYTES("{}"), PROBLEM_MISSING_FIELD, "credits");
    expect_problem(refund, BYTES("{\"all\":false}"), PROBLEM_MISSING_FIELD, "credits");
    expect_problem(refund, BYTES("{\"all\":true,\"credits\":\"1\"}"), PROBLEM_INVALID_VALUE, "all");
    const struct command command = expect_fine(refund, BYTES("{\"all\":false,\"credits\":\"1\"}"));
    assert_true(!command.all && command.nano == NANO_PER_CREDIT);
}

static bool parse_clock(const char *body, struct wire_clock *clock_out, struct problem *problem_out)
{
    struct arena arena = arena_over(memory, sizeof memory);
    return wire_parse_clock(bytes_of_text(body), &arena, clock_out, problem_out);
}

static void the_clock_takes_exactly_one_field(void **state)
{
    (void)state;
    struct wire_clock clock;
    struct problem problem;
    assert_true(parse_clock("{\"now\":\"2026-05-01T12:00:00Z\"}", &clock, &problem));
    assert_int_equal(clock.kind, WIRE_CLOCK_NOW);
    assert_true(clock.ms == INT64_C(1777636800000));
    assert_true(parse_clock("{\"advance_ms\":5}", &clock, &problem));
    assert_int_equal(clock.kind, WIRE_CLOCK_ADVANCE);
    assert_true(clock.ms == 5);
    assert_true(parse_clock("{\"confirm_jump\":true}", &clock, &problem));
    assert_int_equal(clock.kind, WIRE_CLOCK_CONFIRM_JUMP);
    assert_false(parse_clock("{}", &clock, &problem));
    assert_int_equal(problem.code, PROBLEM_MISSING_FIELD);
    assert_false(
        parse_clock("{\"now\":\"2026-05-01T12:00:00Z\",\"advance_ms\":5}", &clock, &problem));
    assert_int_equal(problem.code, PROBLEM_INVALID_VALUE);
    assert_false(parse_clock("", &clock, &problem));
    assert_int_equal(problem.code, PROBLEM_MALFORMED);
}

static bool frame(const char *body, struct wire_operation **operations_out, uint32_t *count_out,
                  struct problem *problem_out)
{
    static struct arena arena;
    arena = arena_over(memory, sizeof memory);
    return wire_parse_batch(bytes_of_text(body), &arena, operations_out, count_out, problem_out);
}

static void refuse_batch(const char *body, enum problem_code code, const char *field)
{
    struct wire_operation *operations;
    uint32_t count;
    struct problem problem;
    assert_false(frame(body, &operations, &count, &problem));
    assert_int_equal(problem.code, code);
    assert_string_equal(problem.field, field);
}

static void batches_of_another_shape_are_refused_whole(void **state)
{
    (void)state;
    refuse_batch("", PROBLEM_MALFORMED, "body");
    refuse_batch("{}", PROBLEM_MISSING_FIELD, "operations");
    refuse_batch("[]", PROBLEM_INVALID_SHAPE, "body");
    refuse_batch("[{\"op\":\"check\"}]", PROBLEM_INVALID_SHAPE, "body");
    refuse_batch("1", PROBLEM_INVALID_SHAPE, "body");
    refuse_batch("{\"operations\":{}}", PROBLEM_INVALID_SHAPE, "operations");
    refuse_batch("{\"operations\":{\"op\":[{\"op\":1}]}}", PROBLEM_INVALID_SHAPE, "operations");
    refuse_batch("{\"operations\":null}", PROBLEM_INVALID_SHAPE, "operations");
    refuse_batch("{\"operations\":[]}", PROBLEM_INVALID_VALUE, "operations");
    refuse_batch("{\"operations\":[{}],\"x\":[{}]}", PROBLEM_UNKNOWN_FIELD, "x");
    refuse_batch("{\"operations\":[{}],\"operations\":[{}]}", PROBLEM_DUPLICATE_FIELD,
                 "operations");
    refuse_batch("{\"operations\":[{\"op\":\"check\"},{\"op\":}]}", PROBLEM_MALFORMED,
                 "operations[1].op");
    refuse_batch("{\"operations\":[{\"op\":\"check\"}", PROBLEM_MALFORMED, "operations[0]");
    refuse_batch("{\"operations\":[{\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}]}", PROBLEM_TOO_DEEP,
                 "operations[0].a[0]");
}

/* Operations of one batch, each with the problem that it must come to. */
struct mixture {
    char body[8192];
    size_t length;
    uint32_t count;
    enum problem_code codes[32];
    const char *fields[32]; /* NULL: the operation as a whole */
};

static void add(struct mixture *batch, const char *operation, enum problem_code code,
                const char *field)
{
    assert_true(batch->count < COUNT_OF(batch->codes));
    batch->codes[batch->count] = code;
    batch->fields[batch->count] = field;
    batch->length +=
        (size_t)snprintf(batch->body + batch->length, sizeof batch->body - batch->length, "%s%s",
                         batch->count == 0 ? "" : " , ", operation);
    batch->count++;
}

static void expect_mixture(const struct mixture *batch, const struct wire_operation *operations)
{
    for (uint32_t row = 0; row < batch->count; row++) {
        static uint8_t room[64 * 1024];
        struct arena arena = arena_over(room, sizeof room);
        struct command command;
        struct problem problem;
        char path[128];
        (void)snprintf(path, sizeof path, "operations[%u]%s%s", row,
                       batch->fields[row] == NULL ? "" : ".",
                       batch->fields[row] == NULL ? "" : batch->fields[row]);
        const bool is_fine = wire_parse_operation(&operations[row], &arena, &command, &problem);
        assert_int_equal(is_fine, batch->codes[row] == PROBLEM_NONE);
        if (is_fine) continue;
        assert_int_equal(problem.code, batch->codes[row]);
        assert_string_equal(problem.field, path);
    }
}

static void a_bad_operation_is_its_own_problem_only(void **state)
{
    (void)state;
    static struct mixture batch;
    static char body[sizeof batch.body + 64];
    add(&batch, "{\"op\":\"release\",\"decision_id\":\"" DECISION "\"}", PROBLEM_NONE, "");
    add(&batch, "{}", PROBLEM_MISSING_FIELD, "op");
    add(&batch, "{\"op\":1}", PROBLEM_INVALID_SHAPE, "op");
    add(&batch, "{\"op\":[\"check\"]}", PROBLEM_INVALID_SHAPE, "op");
    add(&batch, "{\"op\":{\"op\":\"check\"}}", PROBLEM_INVALID_SHAPE, "op");
    add(&batch, "{\"x\":{\"op\":\"check\"}}", PROBLEM_MISSING_FIELD, "op");
    add(&batch, "{\"op\":\"refund\"}", PROBLEM_INVALID_VALUE, "op");
    add(&batch, "{\"op\":\"nope\"}", PROBLEM_INVALID_VALUE, "op");
    add(&batch, "[]", PROBLEM_INVALID_SHAPE, NULL);
    add(&batch, "[[{\"op\":\"check\"}]]", PROBLEM_INVALID_SHAPE, NULL);
    add(&batch, "\"op\"", PROBLEM_INVALID_SHAPE, NULL);
    add(&batch, "null", PROBLEM_INVALID_SHAPE, NULL);
    add(&batch, "{\"op\":\"release\"}", PROBLEM_MISSING_FIELD, "decision_id");
    add(&batch, "{\"op\":\"release\",\"decision_id\":\"d_1\"}", PROBLEM_UNKNOWN_DECISION,
        "decision_id");
    add(&batch, "{\"op\":\"release\",\"op\":\"release\",\"decision_id\":\"" DECISION "\"}",
        PROBLEM_DUPLICATE_FIELD, "op");
    add(&batch, "{\"decision_id\":\"" DECISION "\",\"ttl_ms\":0,\"op\":\"extend\"}",
        PROBLEM_INVALID_VALUE, "ttl_ms");
    add(&batch, "{\"op\":\"commit\",\"decision_id\":\"" DECISION "\",\"idempotency_key\":\"k\"}",
        PROBLEM_UNKNOWN_FIELD, "idempotency_key");
    add(&batch, "{\"op\":\"\\u0063heck\",\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{}}",
        PROBLEM_NONE, "");
    (void)snprintf(body, sizeof body, " { \"operations\" : [ %s ] } ", batch.body);
    struct wire_operation *operations;
    uint32_t count;
    struct problem problem;
    assert_true(frame(body, &operations, &count, &problem));
    assert_int_equal(count, batch.count);
    expect_mixture(&batch, operations);
}

static void a_batch_holds_a_thousand_operations(void **state)
{
    (void)state;
    static char body[64 * 1024];
    for (uint32_t wanted = WIRE_OPERATIONS_MAX; wanted <= WIRE_OPERATIONS_MAX + 1; wanted++) {
        size_t length = (size_t)snprintf(body, sizeof body, "{\"operations\":[");
        for (uint32_t i = 0; i < wanted; i++)
            length += (size_t)snprintf(body + length, sizeof body - length,
                                       "%s{\"op\":\"release\",\"x\":\"%u\"}", i == 0 ? "" : ",", i);
        (void)snprintf(body + length, sizeof body - length, "]}");
        struct wire_operation *operations;
        uint32_t count;
        struct problem problem;
        const bool is_fine = frame(body, &operations, &count, &problem);
        assert_int_equal(is_fine, wanted == WIRE_OPERATIONS_MAX);
        if (!is_fine) {
            assert_int_equal(problem.code, PROBLEM_INVALID_VALUE);
            assert_string_equal(problem.field, "operations");
            continue;
        }
        assert_int_equal(count, wanted);
        assert_true(bytes_equal(operations[999].body, BYTES("{\"op\":\"release\",\"x\":\"999\"}")));
    }
}

static void commands_keep_decoded_text_and_give_other_room_back(void **state)
{
    (void)state;
    struct arena arena = arena_over(memory, sizeof memory);
    const struct bytes body =
        BYTES("{\"customer\":\"\\u0061\\\"\",\"feature\":\"f\",\"quantities\":"
              "{\"\\u0078\":1}}");
    const struct verdict verdict = parse_in(&arena, authorize, body);
    assert_true(verdict.is_fine);
    assert_true(arena.size == sizeof memory && arena.used <= body.length + 16);
    /* Whatever comes next in the arena does not disturb them. */
    memset(arena_take(&arena, 4096), 'z', 4096);
    assert_true(bytes_equal(verdict.command.customer, BYTES("a\"")));
    assert_true(bytes_equal(verdict.command.quantities[0].meter, BYTES("x")));
}

static void full_arenas_are_answered_not_asserted(void **state)
{
    (void)state;
    uint8_t block[BODY_BYTES_MAX];
    const struct bytes body = body_with(authorize, FIELD_KEY, BYTES("\"\\n\""), block);
    for (size_t size = 0; size < (size_t)16 * 1024; size += 61) {
        struct arena arena = arena_over(memory, size);
        const struct verdict verdict = parse_in(&arena, authorize, body);
        assert_false(verdict.is_fine);
        assert_true(verdict.problem.code == PROBLEM_TOO_LARGE ||
                    verdict.problem.code == PROBLEM_INVALID_VALUE);
    }
    struct arena arena = arena_over(memory, WIRE_PARSE_ARENA_BYTES(body.length));
    assert_int_equal(parse_in(&arena, authorize, body).problem.code, PROBLEM_INVALID_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_takes_its_sample),
        cmocka_unit_test(every_field_refuses_other_types_and_null),
        cmocka_unit_test(every_integer_keeps_its_range),
        cmocka_unit_test(every_string_keeps_its_length_and_its_characters),
        cmocka_unit_test(words_credits_times_paths_and_ids_are_checked),
        cmocka_unit_test(every_field_stands_once_and_required_ones_at_all),
        cmocka_unit_test(every_value_must_be_utf8_and_flat),
        cmocka_unit_test(torn_bodies_and_trailing_garbage_are_malformed),
        cmocka_unit_test(what_is_no_json_names_the_field_it_is_in),
        cmocka_unit_test(unknown_fields_are_refused_by_name),
        cmocka_unit_test(calls_take_their_own_fields_only),
        cmocka_unit_test(expectations_tell_the_range_that_holds),
        cmocka_unit_test(members_of_objects_are_checked_and_named),
        cmocka_unit_test(names_too_long_for_their_place_are_cut_in_the_problem),
        cmocka_unit_test(the_example_becomes_its_command),
        cmocka_unit_test(equal_requests_are_equal_commands),
        cmocka_unit_test(standings_are_told_from_suspensions),
        cmocka_unit_test(subjects_settings_have_one_ceiling),
        cmocka_unit_test(pools_are_slowed_by_hand),
        cmocka_unit_test(settings_become_overrides_and_suspensions),
        cmocka_unit_test(limits_and_budgets_share_one_ceiling),
        cmocka_unit_test(other_calls_become_their_commands),
        cmocka_unit_test(an_anchor_is_taken_back_by_null),
        cmocka_unit_test(commits_tell_no_quantities_from_none),
        cmocka_unit_test(targets_come_by_path_or_in_the_operation),
        cmocka_unit_test(names_are_checked_alike_in_paths_and_queries),
        cmocka_unit_test(the_header_serves_as_the_key),
        cmocka_unit_test(the_gravest_mistake_is_told_and_of_equals_the_first),
        cmocka_unit_test(refunds_say_either_an_amount_or_all),
        cmocka_unit_test(the_clock_takes_exactly_one_field),
        cmocka_unit_test(batches_of_another_shape_are_refused_whole),
        cmocka_unit_test(a_bad_operation_is_its_own_problem_only),
        cmocka_unit_test(a_batch_holds_a_thousand_operations),
        cmocka_unit_test(commands_keep_decoded_text_and_give_other_room_back),
        cmocka_unit_test(full_arenas_are_answered_not_asserted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
