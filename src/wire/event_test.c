/*
 * event_test.c: CloudEvents and lists of them, beyond what parse_test.c asks of every field.
 */
#include "wire/wire.h"

#include "base/testing.h"

static uint8_t memory[1 << 20];

#define ENVELOPE "\"specversion\":\"1.0\",\"id\":\"e1\",\"source\":\"gateway\",\"type\":\"usage\""
#define USAGE "\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":3}"
#define EVENT(specversion, id, source, type)                                              \
    "{\"specversion\":" specversion ",\"id\":" id ",\"source\":" source ",\"type\":" type \
    ",\"data\":{" USAGE "}}"

struct verdict {
    bool is_fine;
    struct problem problem;
    struct command command;
};

static struct verdict parse_in(struct arena *arena, const char *body)
{
    struct verdict verdict = {0};
    const struct wire_request request = {.call = WIRE_EVENT, .body = bytes_of_text(body)};
    verdict.is_fine = wire_parse(&request, arena, &verdict.command, &verdict.problem);
    return verdict;
}

static struct command expect_fine(const char *body)
{
    struct arena arena = arena_over(memory, sizeof memory);
    const struct verdict verdict = parse_in(&arena, body);
    if (!verdict.is_fine)
        print_error("%s\nproblem %d at '%s'\n", body, (int)verdict.problem.code,
                    verdict.problem.field != NULL ? verdict.problem.field : "");
    assert_true(verdict.is_fine);
    return verdict.command;
}

static void expect_problem(const struct problem *problem, enum problem_code code, const char *field)
{
    assert_int_equal(problem->code, code);
    assert_string_equal(problem->field, field);
}

static void refuse(const char *body, enum problem_code code, const char *field)
{
    struct arena arena = arena_over(memory, sizeof memory);
    const struct verdict verdict = parse_in(&arena, body);
    if (verdict.is_fine || verdict.problem.code != code) print_error("%s\n", body);
    assert_false(verdict.is_fine);
    expect_problem(&verdict.problem, code, field);
}

static void an_event_becomes_usage(void **state)
{
    (void)state;
    struct command command =
        expect_fine("{" ENVELOPE ",\"time\":\"2026-05-01T12:00:00Z\",\"subject\":\"x\","
                    "\"traceparent\":\"00-1\",\"sampledrate\":{\"a\":[1]},"
                    "\"data\":{" USAGE ",\"subject\":\"team-a/alice\"}}");
    assert_int_equal(command.kind, COMMAND_USAGE);
    assert_true(bytes_equal(command.customer, BYTES("acme")));
    assert_true(bytes_equal(command.subject, BYTES("team-a/alice")));
    assert_true(bytes_equal(command.key, BYTES("7:gateway:e1")));
    assert_int_equal(command.quantity_count, 1);
    assert_true(command.has_event_time && command.event_time_ms == INT64_C(1777636800000));

    command = expect_fine("{\"data\":{\"time\":\"2026-05-01T12:00:01Z\"," USAGE "},"
                          "\"time\":\"2026-05-01T12:00:00Z\"," ENVELOPE "}");
    assert_true(command.has_event_time && command.event_time_ms == INT64_C(1777636801000));
    command = expect_fine("{" ENVELOPE ",\"data\":{" USAGE "}}");
    assert_false(command.has_event_time);
}

static void attributes_that_are_null_are_absent(void **state)
{
    (void)state;
    const struct command command = expect_fine(
        "{" ENVELOPE ",\"time\":null,\"subject\":null,\"datacontenttype\":null,"
        "\"dataschema\":null,\"data_base64\":null,\"other\":null,\"data\":{" USAGE "}}");
    assert_false(command.has_event_time);
    refuse(EVENT("null", "\"e\"", "\"s\"", "\"t\""), PROBLEM_MISSING_FIELD, "specversion");
    refuse(EVENT("\"1.0\"", "null", "\"s\"", "\"t\""), PROBLEM_MISSING_FIELD, "id");
    refuse(EVENT("\"1.0\"", "\"e\"", "null", "\"t\""), PROBLEM_MISSING_FIELD, "source");
    refuse(EVENT("\"1.0\"", "\"e\"", "\"s\"", "null"), PROBLEM_MISSING_FIELD, "type");
    refuse("{" ENVELOPE ",\"data\":null}", PROBLEM_MISSING_FIELD, "data");
    refuse("{" ENVELOPE ",\"time\":null,\"time\":null,\"data\":{" USAGE "}}",
           PROBLEM_DUPLICATE_FIELD, "time");
    /* That is said of attributes, not of the data. */
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"time\":null}}", PROBLEM_INVALID_SHAPE, "data.time");
}

static struct bytes key_of(const char *source, const char *id, struct arena *arena)
{
    char body[1024];
    (void)snprintf(body, sizeof body, EVENT("\"1.0\"", "\"%s\"", "\"%s\"", "\"t\""), id, source);
    const struct verdict verdict = parse_in(arena, body);
    if (!verdict.is_fine) {
        assert_int_equal(verdict.problem.code, PROBLEM_INVALID_VALUE);
        assert_string_equal(verdict.problem.field, "id");
    }
    return verdict.is_fine ? verdict.command.key : BYTES_NONE;
}

static void an_event_is_known_by_its_source_and_id(void **state)
{
    (void)state;
    struct arena arena = arena_over(memory, sizeof memory);
    assert_true(bytes_equal(key_of("a", "b", &arena), BYTES("1:a:b")));
    static const char *const names[] = {"a",   "b",   ":", "a:",  ":a",
                                        "1:a", "a:1", "1", "a:b", "2:a:"};
    struct bytes keys[COUNT_OF(names) * COUNT_OF(names)];
    size_t count = 0;
    for (size_t source = 0; source < COUNT_OF(names); source++)
        for (size_t id = 0; id < COUNT_OF(names); id++)
            keys[count++] = key_of(names[source], names[id], &arena);
    for (size_t one = 0; one < count; one++)
        for (size_t other = 0; other < one; other++)
            assert_false(bytes_equal(keys[one], keys[other]));

    char source[256] = {0};
    char id[256] = {0};
    for (size_t length = 1; length <= 250; length++) {
        memset(source, 's', length);
        memset(id, 'i', 251 - length);
        id[251 - length] = 0;
        arena = arena_over(memory, sizeof memory);
        assert_in_range(key_of(source, id, &arena).length, 251, KEY_BYTES_MAX);
        id[251 - length] = 'i';
        id[252 - length] = 0;
        assert_null(key_of(source, id, &arena).at);
    }
}

static void an_event_has_no_other_key(void **state)
{
    (void)state;
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"idempotency_key\":\"k\"}}", PROBLEM_INVALID_VALUE,
           "data.idempotency_key");
    struct arena arena = arena_over(memory, sizeof memory);
    struct command command;
    struct problem problem;
    const struct wire_request request = {.call = WIRE_EVENT,
                                         .body = BYTES("{" ENVELOPE ",\"data\":{" USAGE "}}"),
                                         .header_key = BYTES("k")};
    assert_false(wire_parse(&request, &arena, &command, &problem));
    assert_int_equal(problem.code, PROBLEM_INVALID_VALUE);
    assert_string_equal(problem.field, "idempotency_key");
    assert_non_null(strstr(problem.expected, "id and source"));
}

static void data_must_be_of_a_type_that_is_json(void **state)
{
    (void)state;
    static const char *const good[] = {"\"application/json\"",
                                       "\"APPLICATION/Json\"",
                                       "\"text/json\"",
                                       "\"application/vnd.weir.usage+json\"",
                                       "\"application/json;charset=utf-8\"",
                                       "\"application/json ; charset=utf-8\""};
    static const char *const bad[] = {"\"application/xml\"",
                                      "\"application/jsonx\"",
                                      "\"json\"",
                                      "\"/json\"",
                                      "\"a/+json\"",
                                      "\"a/xjson\"",
                                      "\"application/\"",
                                      "\"text/plain; x=/json\"",
                                      "\"a/json;\\n\""};
    char body[1024];
    for (size_t place = 0; place < COUNT_OF(good); place++) {
        (void)snprintf(body, sizeof body,
                       "{" ENVELOPE ",\"datacontenttype\":%s,\"data\":{" USAGE "}}", good[place]);
        (void)expect_fine(body);
    }
    for (size_t place = 0; place < COUNT_OF(bad); place++) {
        (void)snprintf(body, sizeof body,
                       "{" ENVELOPE ",\"datacontenttype\":%s,\"data\":{" USAGE "}}", bad[place]);
        refuse(body, PROBLEM_INVALID_VALUE, "datacontenttype");
    }
}

static void an_event_and_its_data_are_told_apart_in_problems(void **state)
{
    (void)state;
    refuse("{" ENVELOPE ",\"data\":{\"customer\":\"acme\"}}", PROBLEM_MISSING_FIELD,
           "data.feature");
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"extra\":1}}", PROBLEM_UNKNOWN_FIELD, "data.extra");
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"specversion\":1}}", PROBLEM_UNKNOWN_FIELD,
           "data.specversion");
    refuse("{" ENVELOPE ",\"data\":{" USAGE "},\"Extra\":1}", PROBLEM_UNKNOWN_FIELD, "Extra");
    refuse("{" ENVELOPE ",\"data\":{" USAGE "},\"\":1}", PROBLEM_UNKNOWN_FIELD, "body");
    refuse("{" ENVELOPE ",\"data\":\"x\"}", PROBLEM_INVALID_SHAPE, "data");
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"attributes\":{\"m\":1}}}", PROBLEM_INVALID_SHAPE,
           "data.attributes.m");
    refuse("{" ENVELOPE ",\"data\":{\"customer\":\"\",\"feature\":\"f\",\"quantities\":{}},"
           "\"time\":\"now\"}",
           PROBLEM_INVALID_VALUE, "data.customer");
    refuse("{" ENVELOPE ",\"time\":\"now\",\"data\":{\"customer\":\"\",\"feature\":\"f\","
           "\"quantities\":{}}}",
           PROBLEM_INVALID_VALUE, "time");
    refuse("{" ENVELOPE ",\"data\":{" USAGE ",\"x\":", PROBLEM_MALFORMED, "data.x");
    refuse("{" ENVELOPE ",\"data\":{\"customer\":1}", PROBLEM_MALFORMED, "data");
    refuse("{" ENVELOPE ",\"data\":{" USAGE "},\"data\":{\"customer\":1}}", PROBLEM_DUPLICATE_FIELD,
           "data");
    refuse("[{" ENVELOPE "}]", PROBLEM_INVALID_SHAPE, "body");
}

static bool list(enum wire_call call, const char *body, struct wire_operation **operations_out,
                 uint32_t *count_out, struct problem *problem_out)
{
    static struct arena arena;
    arena = arena_over(memory, sizeof memory);
    return wire_parse_list(call, bytes_of_text(body), &arena, operations_out, count_out,
                           problem_out);
}

/* The third element of a list. */
static void told_of_element(enum wire_call call, const char *element, enum problem_code code,
                            const char *field)
{
    static uint8_t room[64 * 1024];
    struct arena arena = arena_over(room, sizeof room);
    char body[1024];
    struct wire_operation *operations;
    struct command command;
    struct problem problem;
    uint32_t count;
    (void)snprintf(body, sizeof body, " [ {} , 1 , %s ] ", element);
    assert_true(list(call, body, &operations, &count, &problem));
    assert_int_equal(count, 3);
    const bool is_fine = wire_parse_operation(&operations[2], &arena, &command, &problem);
    assert_int_equal(is_fine, code == PROBLEM_NONE);
    if (is_fine) {
        assert_int_equal(command.kind, COMMAND_USAGE);
        assert_true(command.key.length > 0);
        return;
    }
    expect_problem(&problem, code, field);
}

static void a_bad_element_is_its_own_problem_only(void **state)
{
    (void)state;
    told_of_element(WIRE_USAGE, "{" USAGE ",\"idempotency_key\":\"k\"}", PROBLEM_NONE, NULL);
    told_of_element(WIRE_USAGE, "{" USAGE ",\"op\":\"usage\"}", PROBLEM_UNKNOWN_FIELD, "[2].op");
    told_of_element(WIRE_USAGE, "{}", PROBLEM_MISSING_FIELD, "[2].customer");
    told_of_element(WIRE_USAGE, "[{" USAGE "}]", PROBLEM_INVALID_SHAPE, "[2]");
    told_of_element(WIRE_USAGE, "7", PROBLEM_INVALID_SHAPE, "[2]");
    told_of_element(WIRE_USAGE, "{" USAGE ",\"specversion\":\"1.0\"}", PROBLEM_UNSUPPORTED,
                    "[2].specversion");
    told_of_element(WIRE_EVENT, "{" ENVELOPE ",\"data\":{" USAGE "}}", PROBLEM_NONE, NULL);
    told_of_element(WIRE_EVENT, "{" ENVELOPE ",\"op\":\"check\",\"data\":{" USAGE "}}",
                    PROBLEM_NONE, NULL);
    told_of_element(WIRE_EVENT, "{" ENVELOPE ",\"data\":{}}", PROBLEM_MISSING_FIELD,
                    "[2].data.customer");
    told_of_element(WIRE_EVENT, "{" ENVELOPE ",\"data\":{\"quantities\":{\"a\":\"1\"}}}",
                    PROBLEM_INVALID_SHAPE, "[2].data.quantities.a");
    told_of_element(WIRE_EVENT, "{" ENVELOPE "}", PROBLEM_MISSING_FIELD, "[2].data");
    told_of_element(WIRE_EVENT, "null", PROBLEM_INVALID_SHAPE, "[2]");
}

static void refuse_list(const char *body, enum problem_code code, const char *field)
{
    struct wire_operation *operations;
    uint32_t count;
    struct problem problem;
    assert_false(list(WIRE_EVENT, body, &operations, &count, &problem));
    expect_problem(&problem, code, field);
}

static void lists_of_another_shape_are_refused_whole(void **state)
{
    (void)state;
    refuse_list("", PROBLEM_MALFORMED, "body");
    refuse_list("{}", PROBLEM_INVALID_SHAPE, "body");
    refuse_list("{\"operations\":[{}]}", PROBLEM_INVALID_SHAPE, "body");
    refuse_list("null", PROBLEM_INVALID_SHAPE, "body");
    refuse_list("[{}", PROBLEM_MALFORMED, "[0]");
    refuse_list("[{},]", PROBLEM_MALFORMED, "[1]");
    refuse_list("[] []", PROBLEM_MALFORMED, "body");
    refuse_list("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", PROBLEM_TOO_DEEP, "[0][0][0][0]");
}

static void a_list_holds_up_to_a_thousand(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, WIRE_OPERATIONS_MAX, WIRE_OPERATIONS_MAX + 1};
    static char body[64 * 1024];
    for (size_t row = 0; row < COUNT_OF(counts); row++) {
        struct wire_operation *operations;
        uint32_t count;
        struct problem problem;
        size_t length = (size_t)snprintf(body, sizeof body, "[");
        for (uint32_t i = 0; i < counts[row]; i++)
            length += (size_t)snprintf(body + length, sizeof body - length, "%s{\"id\":\"%u\"}",
                                       i == 0 ? "" : ",", i);
        (void)snprintf(body + length, sizeof body - length, "]");
        if (counts[row] > WIRE_OPERATIONS_MAX) {
            refuse_list(body, PROBLEM_INVALID_VALUE, "[1000]");
            continue;
        }
        assert_true(list(WIRE_EVENT, body, &operations, &count, &problem));
        assert_int_equal(count, counts[row]);
        if (count == WIRE_OPERATIONS_MAX)
            assert_true(bytes_equal(operations[999].body, BYTES("{\"id\":\"999\"}")));
    }
}

static void an_event_too_large_for_its_arena_is_answered(void **state)
{
    (void)state;
    const char *const told = "{" ENVELOPE ",\"data\":{" USAGE "}}";
    size_t fine = 0;
    for (size_t size = 0; size < (size_t)16 * 1024; size++) {
        struct arena arena = arena_over(memory, size);
        const struct verdict verdict = parse_in(&arena, told);
        fine += verdict.is_fine;
        assert_true(verdict.is_fine || verdict.problem.code == PROBLEM_TOO_LARGE);
    }
    assert_true(fine > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_becomes_usage),
        cmocka_unit_test(attributes_that_are_null_are_absent),
        cmocka_unit_test(an_event_is_known_by_its_source_and_id),
        cmocka_unit_test(an_event_has_no_other_key),
        cmocka_unit_test(data_must_be_of_a_type_that_is_json),
        cmocka_unit_test(an_event_and_its_data_are_told_apart_in_problems),
        cmocka_unit_test(a_bad_element_is_its_own_problem_only),
        cmocka_unit_test(lists_of_another_shape_are_refused_whole),
        cmocka_unit_test(a_list_holds_up_to_a_thousand),
        cmocka_unit_test(an_event_too_large_for_its_arena_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
