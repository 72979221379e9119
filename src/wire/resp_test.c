/*
 * resp_test.c: where commands end, what they mean beside the same request in JSON, and how answers
 * are written.
 */
#include "wire/resp_trial.h"

#include "base/testing.h"

static uint8_t memory[WIRE_PARSE_ARENA_BYTES(RESP_COMMAND_BYTES_MAX)];
static uint8_t json_memory[WIRE_PARSE_ARENA_BYTES(RESP_COMMAND_BYTES_MAX)];

/* Words of a line as the front end gives a command on. */
static struct bytes multibulk(const char *line)
{
    static uint8_t block[4096];
    struct buffer out = buffer_over(block, sizeof block);
    const char *wrong = NULL;
    assert_true(resp_from_line(bytes_of_text(line), &out, &wrong));
    assert_false(out.overflowed);
    return buffer_bytes(&out);
}

static bool parse(enum wire_call call, const char *line, struct command *command_out,
                  struct problem *problem_out)
{
    struct arena arena = arena_over(memory, sizeof memory);
    struct resp_arguments arguments;
    const struct bytes command = multibulk(line);
    resp_split(command, &arguments);
    const struct wire_request request = {.call = call,
                                         .form = WIRE_FORM_RESP,
                                         .body = command,
                                         .target =
                                             arguments.count > 1 ? arguments.at[1] : BYTES_NONE};
    return wire_parse(&request, &arena, command_out, problem_out);
}

/* ---- the same request in another form */

static void equal_requests_make_equal_commands(void **state)
{
    static const struct {
        enum wire_call call;
        const char *line;
        const char *json;
        const char *target;
    } rows[] = {
        {  WIRE_CONSUME,                                                 "X acme - chat - requests 3",
         "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":3}}",                ""                    },
        {  WIRE_CONSUME, "X acme a/b chat k1 tokens 5 requests 3 ATTR z 1 ATTR model \"gpt 5\" MIN 2",
         "{\"customer\":\"acme\",\"subject\":\"a/"
         "b\",\"feature\":\"chat\",\"idempotency_key\":\"k1\","
         "\"quantities\":{\"requests\":3,\"tokens\":5},\"attributes\":{\"model\":\"gpt 5\",\"z\":"
         "\"1\"},\"min_units\":2}",                ""                                                                         },
        {WIRE_AUTHORIZE,                                      "X - - - - TTL 5000 requests 0 CREDITS",
         "{\"customer\":\"-\",\"feature\":\"-\",\"quantities\":{\"requests\":0},\"ttl_ms\":5000,"
         "\"use_credits\":true}",                ""                                                                           },
        {WIRE_AUTHORIZE,                      "X c - f - m 9007199254740991 min 1 Attr MIN MIN ttl 1",
         "{\"customer\":\"c\",\"feature\":\"f\",\"quantities\":{\"m\":9007199254740991},"
         "\"min_units\":1,\"attributes\":{\"MIN\":\"MIN\"},\"ttl_ms\":1}",                ""                                  },
        {   WIRE_COMMIT,                              "X d_0000000000c81 requests 1 STATUS moderated",
         "{\"quantities\":{\"requests\":1},\"status\":\"moderated\"}", "d_0000000000c81"                                      },
        {  WIRE_RELEASE,                                                          "X d_0000000000c81", "{}", "d_0000000000c81"},
    };
    static struct command one;
    static struct command other;
    static uint8_t blocks[2][COMMAND_BYTES_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        struct problem problem;
        struct arena arena = arena_over(json_memory, sizeof json_memory);
        const struct wire_request request = {.call = rows[i].call,
                                             .body = bytes_of_text(rows[i].json),
                                             .target = bytes_of_text(rows[i].target)};
        assert_true(parse(rows[i].call, rows[i].line, &one, &problem));
        assert_true(wire_parse(&request, &arena, &other, &problem));
        struct buffer first = buffer_over(blocks[0], sizeof blocks[0]);
        struct buffer second = buffer_over(blocks[1], sizeof blocks[1]);
        command_encode(&one, &first);
        command_encode(&other, &second);
        assert_int_equal(first.used, second.used);
        assert_memory_equal(blocks[0], blocks[1], first.used);
    }
}

static void every_mistake_names_its_field(void **state)
{
    static const struct {
        enum wire_call call;
        const char *line;
        const char *told;
    } rows[] = {
        {WIRE_CONSUME,                                 "X","-MISSING_FIELD A required field is missing: customer, expected "                                                           },
        {WIRE_CONSUME,                       "X a - f - m",      "-MISSING_FIELD A required field is missing: quantities.m, "},
        {WIRE_CONSUME,                  "X a - f - m \"\"",
         "-INVALID_SHAPE The body is not of the contract's shape: "
         "quantities.m (found ''), expected an integer\r\n"                                                                  },
        {WIRE_CONSUME,              "X a - f - m 1 ATTR x",
         "-MISSING_FIELD A required field is missing: attributes.x,"                                                         },
        {WIRE_CONSUME,            "X a \"b\\x00\" f - m 1",
         "-INVALID_VALUE A value is out of range or malformed: subject"                                                      },
        {WIRE_CONSUME,             "X a - f \"\\xff\" m 1",
         "-INVALID_VALUE A value is out of range or malformed: idempotency_key"                                              },
        {WIRE_CONSUME,            "X a - f - \"m\\xff\" 1",
         "-INVALID_VALUE A value is out of range or malformed: quantities"                                                   },
        {WIRE_CONSUME,                 "X a - f - m 1 m 1",
         "-DUPLICATE_FIELD The body has a field twice: quantities.m\r\n"                                                     },
        { WIRE_COMMIT,                                 "X",
         "-MISSING_FIELD A required field is missing: decision_id, expected a decision id\r\n"                               },
        { WIRE_COMMIT, "X d_0000000000c81 m 1 STATUS lost",
         "-INVALID_VALUE A value is out of range or malformed: status (found 'lost'), expected one "
         "of "                                                                                                               },
        {WIRE_RELEASE,                   "X \"\\r\\n+OK\"",
         "-UNKNOWN_DECISION No such decision, or no longer remembered: decision_id (found "
         "'\\u000d\\n+OK'), expected a decision id\r\n"                                                                      },
    };
    static struct command command;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        uint8_t block[WIRE_PROBLEM_BYTES_MAX + 1];
        struct buffer out = buffer_over(block, sizeof block - 1);
        struct problem problem;
        assert_false(parse(rows[i].call, rows[i].line, &command, &problem));
        wire_answer_problem(WIRE_FORM_RESP, &problem, BYTES_NONE, &out);
        block[out.used] = '\0';
        if (strncmp((const char *)block, rows[i].told, strlen(rows[i].told)) != 0)
            fail_msg("%s: %s", rows[i].line, (const char *)block);
    }
}

/* ---- bytes */

static const char stream[] = "*1\r\n$4\r\nPING\r\n"
                             "PING 'a b'\n"
                             "*0\r\n\r\n"
                             "*7\r\n$12\r\nWEIR.CONSUME\r\n$4\r\nacme\r\n$1\r\n-\r\n$4\r\nchat\r\n$"
                             "0\r\n\r\n$1\r\nm\r\n$1\r\n1\r\n"
                             "weir.release d_0000000000c81\r\n"
                             "*-1\r\n*2\r\n$4\r\nEC";

static void commands_end_where_they_end_however_they_come(void **state)
{
    (void)state;
    const struct bytes bytes = {(const uint8_t *)stream, sizeof stream - 1};
    const struct resp_told whole = resp_trial(bytes, bytes.length);
    assert_int_equal(whole.commands, 7);
    assert_false(whole.is_wrong);
    assert_int_equal(whole.left, strlen("*2\r\n$4\r\nEC"));
    for (size_t step = 1; step < 40; ++step) {
        const struct resp_told told = resp_trial(bytes, step);
        assert_memory_equal(&told, &whole, sizeof told);
    }
}

static void what_is_no_command_is_wrong_at_its_first_byte(void **state)
{
    static const char *const rows[] = {
        "*129\r\n",
        "*12345678901\r\n",
        "*x",
        "*1\n",
        "*--1\r\n",
        "*\r\n",
        "*1\r\n:",
        "*1\r\n$-1\r\n",
        "*1\r\n$65537\r\n",
        "*1\r\n$4\r\nPINGx",
        "*1\r\n$ 4",
        "PING \"a\r\n",
        "PING 'a'b\r\n",
        "PING a\"b\"\r\n",
        "*2\r\n$65000\r\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows) - 1; ++i)
        if (!resp_trial(bytes_of_text(rows[i]), 1).is_wrong) fail_msg("row %zu", i);
    assert_false(resp_trial(bytes_of_text(rows[COUNT_OF(rows) - 1]), 1).is_wrong);
}

static void a_line_has_a_ceiling(void **state)
{
    static char line[RESP_LINE_BYTES_MAX + 2];
    (void)state;
    memset(line, 'x', sizeof line);
    line[RESP_LINE_BYTES_MAX - 1] = '\n';
    assert_false(resp_trial((struct bytes){(uint8_t *)line, RESP_LINE_BYTES_MAX}, 4096).is_wrong);
    line[RESP_LINE_BYTES_MAX - 1] = 'x';
    assert_true(
        resp_trial((struct bytes){(uint8_t *)line, RESP_LINE_BYTES_MAX + 1}, 4096).is_wrong);
    memset(line, ' ', sizeof line);
    for (size_t i = 0; i <= RESP_ARGUMENTS_MAX; ++i)
        line[2 * i] = 'w';
    line[RESP_LINE_BYTES_MAX - 1] = '\n';
    assert_true(resp_trial((struct bytes){(uint8_t *)line, RESP_LINE_BYTES_MAX}, 4096).is_wrong);
    line[0] = ' ';
    assert_false(resp_trial((struct bytes){(uint8_t *)line, RESP_LINE_BYTES_MAX}, 4096).is_wrong);
}

/* An argument that ends near the ceiling, and the next one's length line across it. */
static void no_part_of_a_command_is_as_long_as_a_whole_one_may_be(void **state)
{
    static uint8_t block[RESP_COMMAND_BYTES_MAX + 64];
    (void)state;
    for (size_t bulk = RESP_COMMAND_BYTES_MAX - 40; bulk <= RESP_COMMAND_BYTES_MAX; ++bulk) {
        struct buffer out = buffer_over(block, sizeof block);
        buffer_put_text(&out, "*3\r\n$");
        buffer_put_decimal(&out, bulk);
        buffer_put_text(&out, "\r\n");
        memset(block + out.used, 'a', bulk);
        out.used += bulk;
        buffer_put_text(&out, "\r\n$0000001");
        assert_false(out.overflowed);
        const bool must_be_wrong = out.used >= RESP_COMMAND_BYTES_MAX;
        for (size_t left = 0; left < 9; ++left) {
            const struct bytes input = {block, out.used - left};
            for (size_t step = 4093; step <= 131072; step *= 32) {
                const struct resp_told told = resp_trial(input, step);
                if (left == 0) assert_int_equal(told.is_wrong, must_be_wrong);
                assert_int_equal(told.commands, 0);
            }
        }
    }
}

/* A command's bytes cut, doubled, changed and split at any place. */
static void whatever_comes_is_commands_or_wrong(void **state)
{
    const uint64_t seed = 20260607;
    struct prng prng = {seed};
    unsigned wrong = 0;
    unsigned accepted = 0;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < 20000; ++round) {
        uint8_t bytes[sizeof stream];
        size_t length = sizeof stream - 1;
        memcpy(bytes, stream, length);
        for (uint64_t times = prng_below(&prng, 4); times > 0; --times) {
            const size_t at = prng_below(&prng, length);
            const size_t cut = prng_below(&prng, length - at < 9 ? length - at : 9);
            switch (prng_below(&prng, 3)) {
            case 0:
                bytes[at] = (uint8_t)prng_next(&prng);
                break;
            case 1:
                memmove(bytes + at, bytes + at + cut, length - at - cut);
                length -= cut;
                break;
            default:
                bytes[at] = (uint8_t) "*$\r\n-0912 '\"\\x"[prng_below(&prng, 14)];
                break;
            }
        }
        const struct bytes input = {bytes, length};
        const struct resp_told whole = resp_trial(input, length);
        const struct resp_told split = resp_trial(input, 1 + prng_below(&prng, 30));
        assert_int_equal(split.is_wrong, whole.is_wrong);
        assert_int_equal(split.commands, whole.commands);
        wrong += whole.is_wrong;
        accepted += whole.accepted;
    }
    assert_true(wrong > 2000 && wrong < 18000 && accepted > 2000);
}

/* ---- answers */

static void answers_are_written_as_the_contract_says(void **state)
{
    static const struct bytes names[] = {
        {                       NULL, 0},
        {(const uint8_t *)"included", 8},
        {    (const uint8_t *)"paid", 4}
    };
    static struct report report;
    struct wire_fields fields;
    uint8_t block[1024];
    const struct symbols symbols = {.name = names, .count = 2};
    struct buffer out = buffer_over(block, sizeof block);
    (void)state;
    report = (struct report){.kind = COMMAND_CONSUME,
                             .id = 0xc81,
                             .outcome = OUTCOME_PARTIAL,
                             .reason = REASON_OK,
                             .units_requested = 9,
                             .units_allowed = 5,
                             .charged = 3500000000,
                             .retry_after_ms = -1,
                             .line_count = 2};
    report.lines[0] = (struct line){.source = 1, .kind = SOURCE_ALLOWANCE, .units = 1};
    report.lines[1] =
        (struct line){.source = 2, .kind = SOURCE_GRANTS, .units = 4, .charged = 3500000000};
    char id[ID_TEXT_SIZE];
    id_format('d', report.id, id);
    wire_answer_report(WIRE_FORM_RESP, &report, 0, symbols, &out, &fields);
    char expected[1024];
    (void)snprintf(
        expected, sizeof expected,
        "*8\r\n$7\r\npartial\r\n$15\r\n%s\r\n:5\r\n$3\r\n3.5\r\n$2\r\nok\r\n:-1\r\n"
        "*3\r\n$8\r\nincluded\r\n:1\r\n$1\r\n0\r\n*3\r\n$4\r\npaid\r\n:4\r\n$3\r\n3.5\r\n",
        id);
    assert_int_equal(out.used, strlen(expected));
    assert_memory_equal(block, expected, out.used);
    assert_int_equal(fields.policy_length + fields.limit_length, 0);

    out.used = 0;
    report = (struct report){.kind = COMMAND_AUTHORIZE,
                             .id = 0xc81,
                             .outcome = OUTCOME_DENY,
                             .reason = REASON_RATE_LIMITED,
                             .retry_after_ms = 1250};
    wire_answer_report(WIRE_FORM_RESP, &report, 0, symbols, &out, &fields);
    block[out.used] = '\0';
    assert_non_null(strstr((const char *)block, "$4\r\ndeny\r\n"));
    assert_non_null(
        strstr((const char *)block, ":0\r\n$1\r\n0\r\n$12\r\nrate_limited\r\n:1250\r\n"));

    out.used = 0;
    report = (struct report){.kind = COMMAND_COMMIT, .id = 0xc81, .late = true};
    wire_answer_report(WIRE_FORM_RESP, &report, 0, symbols, &out, &fields);
    assert_memory_equal(block, "*6\r\n$4\r\nlate\r\n", 14);
    out.used = 0;
    report.kind = COMMAND_RELEASE;
    wire_answer_report(WIRE_FORM_RESP, &report, 0, symbols, &out, &fields);
    assert_int_equal(out.used, 5);
    assert_memory_equal(block, "+OK\r\n", 5);
}

static void a_fault_of_the_server_names_the_request(void **state)
{
    uint8_t block[1024];
    struct buffer out = buffer_over(block, sizeof block);
    (void)state;
    wire_answer_problem(WIRE_FORM_RESP, &(struct problem){.code = PROBLEM_OUTCOME_UNKNOWN},
                        BYTES("abc"), &out);
    assert_memory_equal(
        block, "-OUTCOME_UNKNOWN Durability could not be confirmed (request abc)\r\n", out.used);
    out.used = 0;
    wire_answer_problem(WIRE_FORM_RESP, &(struct problem){.code = PROBLEM_UNAUTHORIZED},
                        BYTES("abc"), &out);
    assert_memory_equal(block, "-NOAUTH Authentication required", 31);
    out.used = 0;
    wire_answer_problem(WIRE_FORM_RESP, &(struct problem){.code = PROBLEM_FORBIDDEN}, BYTES("abc"),
                        &out);
    assert_memory_equal(block, "-NOPERM ", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_requests_make_equal_commands),
        cmocka_unit_test(every_mistake_names_its_field),
        cmocka_unit_test(commands_end_where_they_end_however_they_come),
        cmocka_unit_test(what_is_no_command_is_wrong_at_its_first_byte),
        cmocka_unit_test(a_line_has_a_ceiling),
        cmocka_unit_test(no_part_of_a_command_is_as_long_as_a_whole_one_may_be),
        cmocka_unit_test(whatever_comes_is_commands_or_wrong),
        cmocka_unit_test(answers_are_written_as_the_contract_says),
        cmocka_unit_test(a_fault_of_the_server_names_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
