#include "wire/trial.h"

#include "base/testing.h"

#define ROUNDS 20000u
#define BODY_BYTES_MAX 2048u

static const struct {
    uint8_t call;
    const char *body;
} seeds[] = {
    {WIRE_AUTHORIZE,
     "{\"customer\":\"acme\",\"subject\":\"team-a/alice\",\"feature\":\"chat\",\"quantities\":{"
     "\"requests\":3,\"tokens\":9007199254740991},\"attributes\":{\"model\":\"gpt\\u002d5.5\"},"
     "\"idempotency_key\":\"req_01\",\"ttl_ms\":600000,\"min_units\":1,\"use_credits\":true,"
     "\"priority\":\"default\",\"explain\":true}"                                               },
    {    WIRE_USAGE,
     "{\"customer\":\"\\ud83d\\ude00\",\"feature\":\"f\",\"quantities\":{},\"time\":"
     "\"2026-05-01T12:00:00Z\",\"status\":\"failed\",\"duration_ms\":12,\"compute\":\"x\"}"     },
    {   WIRE_COMMIT,                "{\"quantities\":{\"requests\":1},\"status\":\"moderated\"}"},
    {   WIRE_EXTEND,
     "{\"quantities\":{\"requests\":1},\"ttl_ms\":1,\"idempotency_key\":\"\xc3\xa9\"}"          },
    { WIRE_CUSTOMER,
     "{\"plan\":\"plus\",\"credit_mode\":\"off\",\"anchor\":\"2026-01-31T00:00:00Z\",\"suspended\":"
     "false,\"suspended_subjects\":{\"a/b\":true},\"subject_standings\":{\"a/"
     "b\":\"trusted\"},\"limits\":{\"included\":[90,null,\"0.5\"],"
     "\"codex/included\":\"20\"},\"budgets\":{\"monthly-cap\":\"1000\",\"x\":null}}"            },
    {    WIRE_GRANT,
     "{\"category\":\"paid\",\"credits\":\"12.5\",\"priority\":-7,\"effective_at\":"
     "\"2026-05-01T14:00:00+02:00\",\"features\":[\"codex\",\"chat\"],\"reason\":\"order\\n7\"}"},
    {   WIRE_REFUND,          "{\"credits\":\"1.5\",\"reason\":\"x\",\"idempotency_key\":\"k\"}"},
    {     WIRE_POOL,                               "{\"override\":\"0.5\",\"shed\":\"default\"}"},
    {    WIRE_RESET,                              "{\"limit\":\"included\",\"subject\":\"a/b\"}"},
    {    WIRE_EVENT,
     "{\"specversion\":\"1.0\",\"id\":\"e\\u0031\",\"source\":\"/"
     "gateway\",\"type\":\"usage\",\"time\":"
     "\"2026-05-01T12:00:00Z\",\"subject\":null,\"traceparent\":\"00-1\",\"datacontenttype\":"
     "\"application/"
     "json\",\"data\":{\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{\"m\":1}}}"         },
    {    TRIAL_LIST,
     "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{"
     "\"customer\":"
     "\"a\",\"feature\":\"f\",\"quantities\":{}}},{},[],{\"data\":{\"idempotency_key\":1}}]"    },
    {   TRIAL_CLOCK,                                                    "{\"advance_ms\":60000}"},
    {   TRIAL_BATCH,
     "{\"operations\":[{\"op\":\"check\",\"customer\":\"a\",\"feature\":\"f\",\"quantities\":{}},"
     "{\"op\":\"extend\",\"decision_id\":\"d_0000000000c81\",\"ttl_ms\":5},[],{\"op\":1}]}"     },
};

/* What mistakes and attacks are made of. */
#define PIECE(literal)                                  \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }
static const struct bytes pieces[] = {
    PIECE("\""),       PIECE("{"),       PIECE("}"),       PIECE("["),
    PIECE("]"),        PIECE(":"),       PIECE(","),       PIECE("\\"),
    PIECE("\\u"),      PIECE("\xff"),    PIECE("\xc3"),    PIECE("0"),
    PIECE("-"),        PIECE("e9"),      PIECE(".5"),      PIECE("null"),
    PIECE("true"),     PIECE("[["),      PIECE(" "),       PIECE("\n"),
    PIECE("{\"a\":"),  PIECE("\\ud800"), PIECE("\\u0000"), PIECE("99999999999999999999"),
    PIECE("\"a\":1,"),
};

static size_t mutate(struct prng *prng, uint8_t *body, size_t length)
{
    const size_t place = prng_below(prng, length + 1);
    const struct bytes piece = pieces[prng_below(prng, COUNT_OF(pieces))];
    const size_t rest = length - place;
    const size_t cut = prng_below(prng, (rest < 8 ? rest : 8) + 1);
    switch (prng_below(prng, 5)) {
    case 0: /* one byte becomes another */
        if (rest > 0) body[place] = (uint8_t)prng_next(prng);
        return length;
    case 1: /* torn */
        return prng_below(prng, 4) == 0 ? place : length;
    case 2: /* something is missing */
        memmove(body + place, body + place + cut, rest - cut);
        return length - cut;
    case 3: /* something is twice */
        if (length + cut > BODY_BYTES_MAX) return length;
        memmove(body + place + cut, body + place, rest);
        return length + cut;
    default: /* something is too much */
        if (length + piece.length > BODY_BYTES_MAX) return length;
        memmove(body + place + piece.length, body + place, rest);
        memcpy(body + place, piece.at, piece.length);
        return length + piece.length;
    }
}

static void whatever_comes_is_a_command_or_a_problem(void **state)
{
    (void)state;
    const uint64_t seed = 20260501;
    struct prng prng = {seed};
    unsigned accepted = 0;
    print_message("seed %llu, %u rounds\n", (unsigned long long)seed, ROUNDS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const size_t from = prng_below(&prng, COUNT_OF(seeds));
        size_t length = strlen(seeds[from].body);
        uint8_t body[BODY_BYTES_MAX];
        memcpy(body, seeds[from].body, length);
        for (uint64_t times = prng_below(&prng, 4); times > 0; times--)
            length = mutate(&prng, body, length);
        /* A block of its own, so that reading past its end shows. */
        uint8_t *input = malloc(length + 1);
        assert_non_null(input);
        input[0] = seeds[from].call;
        memcpy(input + 1, body, length);
        accepted += trial(input, length + 1);
        free(input);
    }
    /* Both ways are walked: a test in which nothing passes would show nothing. */
    assert_true(accepted > ROUNDS / 10 && accepted < ROUNDS - ROUNDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_comes_is_a_command_or_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
