/*
 * What is asked of the past (SEMANTICS H6, H7, I3): the same answers whether the engine remembers
 * or the books do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

static const char *const policies[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: one}\n"
    "prices:\n"
    "  one: [{name: one, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: inc, windows: [{limit: 1, per: day, start: calendar}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: over, credits: \"2\", per: month, start: calendar}\n"};

struct row {
    const char *line;
    const char *answer;
    const char *without_books; /* NULL: the same */
};

static void tell(const struct row *rows, unsigned count)
{
    for (enum world_memory memory = MEMORY_NONE; memory <= MEMORY_WITHOUT_BOOKS; memory++) {
        struct world *world = world_open(policies, 1);
        world_remember(world, memory);
        unsigned wrong = 0;
        for (unsigned i = 0; i < count; i++) {
            const bool differs = memory == MEMORY_WITHOUT_BOOKS && rows[i].without_books != NULL;
            const char *expected = differs ? rows[i].without_books : rows[i].answer;
            const char *answer = world_do(world, rows[i].line);
            if (strcmp(answer, expected) == 0) continue;
            wrong++;
            print_error("memory %u, row %u: %s\n  expected: %s\n  answered: %s\n", memory, i,
                        rows[i].line, expected, answer);
        }
        world_close(world);
        assert_int_equal(wrong, 0);
    }
}

#define TELL(rows) tell(rows, COUNT_OF(rows))

static void holds_are_remembered_for_as_long_as_keys_are(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {                           "P: grant a paid 9",                                   "granted 9", NULL},
        {              "A: authorize a chat requests=3",          "allow 3/3 =2 | inc 1 | paid[P] 2=2", NULL},
        {              "B: authorize a chat requests=1",                  "allow 1/1 =1 | paid[P] 1=1", NULL},
        {"C: authorize a chat requests=1 ttl=10s key=k",                  "allow 1/1 =1 | paid[P] 1=1", NULL},
        {            "extend C requests=1 ttl=5s key=x",       "allow 1/1 =1 | paid[P] 1=1 until +10s", NULL},
        {                                "refund A all",                               "! not_settled", NULL},
        {                         "commit A requests=2",          "allow 2/2 =1 | inc 1 | paid[P] 1=1", NULL},
        {                                   "release B",                                    "released", NULL},
        {                         "commit A requests=2",    "again allow 2/2 =1 | inc 1 | paid[P] 1=1", NULL},
        {                         "commit A requests=3",                            "! hold_committed", NULL},
        {                                   "release A",                            "! hold_committed", NULL},
        {                         "extend A requests=1",                            "! hold_committed", NULL},
        {                                   "release B",                                    "released", NULL},
        {                         "commit B requests=1",                             "! hold_released", NULL},
        {                                "refund B all",                            "! refund_exceeds", NULL},
        {                                     "at +10s",                                          "ok", NULL},
        {                                   "release C",                                     "expired", NULL},
        {                         "extend C requests=1",                              "! hold_expired", NULL},
        {            "extend C requests=1 ttl=5s key=x", "again allow 1/1 =1 | paid[P] 1=1 until +10s", NULL},
        {                                "refund C all",                            "! refund_exceeds", NULL},
 /* Late: everything that was held, extends included, when nothing is said. */
        {                                    "commit C",             "allow 2/2 =2 | paid[P] 2=2 late", NULL},
        {                                    "commit C",       "again allow 2/2 =2 | paid[P] 2=2 late", NULL},
        {                         "commit C requests=1",                            "! hold_committed", NULL},
        {                                "refund C 0.5",         "refunded 0.5 of 0.5 | paid[P] 0=0.5", NULL},
        {                                    "commit C",       "again allow 2/2 =2 | paid[P] 2=2 late", NULL},
        {                                   "balance a",                "available 6.5 held 0 | P 6.5", NULL},
        {                          "at +23h59m59s999ms",                                          "ok", NULL},
        {                         "commit A requests=2",    "again allow 2/2 =1 | inc 1 | paid[P] 1=1", NULL},
        {                                   "release B",                                    "released", NULL},
        {                                     "at +24h",                                          "ok", NULL},
        {                         "commit A requests=2",                          "! unknown_decision", NULL},
        {                                   "release B",                          "! unknown_decision", NULL},
        {                         "extend A requests=1",                          "! unknown_decision", NULL},
 /* From the late commit on, refunds or none. */
        {                                    "commit C",       "again allow 2/2 =2 | paid[P] 2=2 late", NULL},
        {                                  "at +24h10s",                                          "ok", NULL},
        {                                    "commit C",                          "! unknown_decision", NULL},
        {            "extend C requests=1 ttl=5s key=x",                          "! unknown_decision", NULL},
    };
    TELL(rows);
}

static void charges_are_refunded_at_any_age(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {   "P: grant a paid 3 until=+1h",                                             "granted 3",NULL                                                                                                   },
        {             "Q: grant a paid 3",                                             "granted 3",                 NULL},
        {"A: authorize a chat requests=6",      "allow 6/6 =5 | inc 1 | paid[P] 3=3 | paid[Q] 2=2",
         NULL                                                                                                           },
        {           "commit A requests=6",      "allow 6/6 =5 | inc 1 | paid[P] 3=3 | paid[Q] 2=2",                 NULL},
        {  "B: consume a chat requests=2",                 "allow 2/2 =2 | paid[Q] 1=1 | over 1=1",                 NULL},
        {    "C: usage a chat requests=3",                    "allow 1/3 =1 | over 1=1 over 2=2-2",                 NULL},
        {  "D: consume a chat requests=1",                    "deny 0/1 overage_cap_reached(over)",                 NULL},
        {"E: authorize a chat requests=1",                    "deny 0/1 overage_cap_reached(over)",                 NULL},
        {            "refund B 1.5 key=r",        "refunded 1.5 of 1.5 | over 0=1 | paid[Q] 0=0.5",                 NULL},
        {                  "refund D all",                                    "! unknown_decision",                 NULL},
        {           "commit E requests=1",                                    "! unknown_decision",                 NULL},
        {                       "at +40d",                                                    "ok",                 NULL},
        {                  "refund B 0.6",                              "! refund_exceeds credits",                 NULL},
        {                  "refund B all",                     "refunded 0.5 of 2 | paid[Q] 0=0.5",                 NULL},
        {                  "refund B all",                                       "refunded 0 of 2",                 NULL},
        {                  "refund C all",                            "refunded 1 of 1 | over 0=1",                 NULL},
 /* Where no books are kept nothing knows any more how the hold ended. */
        {                    "refund A 4", "refunded 4 expired 2 of 4 | paid[Q] 0=2 | paid[P] 0=2",
         "! unknown_decision"                                                                                           },
        {                    "refund A 2",                              "! refund_exceeds credits", "! unknown_decision"},
        {                  "refund A all",               "refunded 1 expired 1 of 5 | paid[P] 0=1", "! unknown_decision"},
        {                  "refund Z all",                                    "! unknown_decision",                 NULL},
        {           "commit B requests=1",                                    "! unknown_decision",                 NULL},
        {                     "release C",                                    "! unknown_decision",                 NULL},
    };
    TELL(rows);
}

static void grants_that_are_gone_have_nothing_to_void(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "P: grant a paid 3 until=+1h",                                 "granted 3", NULL},
        {    "Q: grant a promotional 1",                                 "granted 1", NULL},
        {"B: consume a chat requests=2", "allow 2/2 =1 | inc 1 | promotional[Q] 1=1", NULL},
        {                      "void Q",                                  "voided 0", NULL},
        {                      "at +1h",                                        "ok", NULL},
        {                      "void P",                                  "voided 0", NULL},
        {                     "at +40d",                                        "ok", NULL},
        {                      "void P",                                  "voided 0", NULL},
        {                      "void Q",                                  "voided 0", NULL},
        {                      "void B",                           "! unknown_grant", NULL},
        {                      "void Z",                           "! unknown_grant", NULL},
        {                "refund P all",                        "! unknown_decision", NULL},
    };
    TELL(rows);
}

static void at_least(uint64_t *least, uint64_t position)
{
    if (position < *least) *least = position;
}

/* Goal: what the journal must keep is seen by a walk in pieces, whatever ends between them.
 * Method: a hold ends when the walk has passed the place where its end is remembered. */
static void a_hold_that_ends_during_a_walk_is_seen(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    struct engine *engine = world_engine(world);
    uint64_t least = UINT64_MAX;
    world_remember(world, MEMORY_NONE);
    world_do(world, "grant a paid 9");
    world_do(world, "A: authorize a chat requests=1");
    world_do(world, "B: authorize a chat requests=1");
    const uint64_t old = world_fact(world)->report.id;
    world_do(world, "commit A requests=1");
    world_do(world, "grant a paid 1"); /* how A ended is forgotten */
    assert_int_equal(engine_counts(engine).ended, 0);
    world_do(world, "C: authorize a chat requests=1"); /* where A was */
    world_remember(world, MEMORY_WITHOUT_BOOKS);
    at_least(&least, engine_recall_first(engine, RECALL_BY_HOLD, 1, 1));
    assert_true(least > old && least != UINT64_MAX);
    world_do(world, "commit B requests=1");
    at_least(&least, engine_recall_first(engine, RECALL_BY_HOLD, 2, 1));
    assert_int_equal(engine_recall_records(engine, RECALL_BY_HOLD), 2);
    at_least(&least, engine_recall_first(engine, RECALL_BY_ENDED, 1, 1));
    assert_true(least == old);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_are_remembered_for_as_long_as_keys_are),
        cmocka_unit_test(charges_are_refunded_at_any_age),
        cmocka_unit_test(grants_that_are_gone_have_nothing_to_void),
        cmocka_unit_test(a_hold_that_ends_during_a_walk_is_seen),
    };
    return cmocka_run_group_tests_name("recall", tests, NULL, NULL);
}
