/*
 * Denials in crowds (DESIGN.md section 5): which are facts of their own, and which stand for many.
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
    "defaults: {plan: base, hold_ttl: 60s}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: one}\n"
    "  other: {meters: [requests], unit: requests, prices: one}\n"
    "prices:\n"
    "  one: [{name: one, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  base:\n"
    "    features:\n"
    "      chat:\n"
    "        gates: [{rate: {name: pace, meter: requests, limit: 9, per: 1h}}]\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "      other: {waterfall: [{grants: {category: paid}}]}\n"};

/* So many of `lines` denials are facts of their own; the last of them may be the first of a crowd,
 * whose id the rest have. */
static unsigned alone(struct world *world, const char *line, unsigned lines)
{
    unsigned count = 0;
    uint64_t first = 0;
    for (unsigned i = 0; i < lines; i++) {
        assert_memory_equal(world_do(world, line), "deny", 4);
        const struct fact *fact = world_fact(world);
        if (fact->report.crowd == 0) {
            assert_int_equal(count, i); /* the first ones */
            assert_int_equal(fact->effect_count, 1);
            assert_int_equal(fact->effects[0].kind, EFFECT_CROWD);
            if (fact->effects[0].crowd.after > CROWD_ALONE_MAX) first = fact->report.id;
            count++;
            continue;
        }
        assert_int_equal(fact->report.crowd, 1);
        assert_int_equal(fact->effect_count, 0);
        if (first != 0) assert_int_equal(fact->report.id, first);
    }
    return count;
}

enum { FACTS_MAX = CROWD_ALONE_MAX + 1 }; /* of equal denials in a second */

static void sixteen_equal_denials_a_second_are_told_apart(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    assert_int_equal(alone(world, "consume a chat requests=1", 40), FACTS_MAX);
    /* Another second, another customer, subject, feature, reason: each its own. */
    world_do(world, "at +999ms");
    assert_int_equal(alone(world, "consume a chat requests=1", 3), 0);
    world_do(world, "at +1s");
    assert_int_equal(alone(world, "consume a chat requests=1", 3), 3);
    assert_int_equal(alone(world, "consume b chat requests=1", 20), FACTS_MAX);
    assert_int_equal(alone(world, "consume a chat requests=1 subject=t", 20), FACTS_MAX);
    assert_int_equal(alone(world, "consume a chat requests=1 subject=t/x", 20), FACTS_MAX);
    assert_int_equal(alone(world, "consume a other requests=1", 20), FACTS_MAX);
    assert_int_equal(alone(world, "consume a chat requests=10", 20), FACTS_MAX);
    /* How much was asked for, and by which call, does not matter. */
    assert_int_equal(alone(world, "authorize a chat requests=2", 20), FACTS_MAX - 3);
    world_close(world);
}

static void checks_count_in_no_crowd(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    for (unsigned i = 0; i < 40; i++)
        assert_string_equal(world_do(world, "check a chat requests=1"),
                            "deny 0/1 insufficient_credits(paid)");
    assert_int_equal(alone(world, "consume a chat requests=1", 20), FACTS_MAX);
    world_close(world);
}

/* Goal: an extend's answer names its hold, so each hold's denials are counted by themselves. */
static void extends_are_counted_hold_by_hold(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    world_do(world, "grant a paid 2");
    world_do(world, "A: authorize a chat requests=1");
    world_do(world, "B: authorize a chat requests=1");
    assert_int_equal(alone(world, "extend A requests=1", 20), FACTS_MAX);
    assert_int_equal(alone(world, "extend B requests=1", 20), FACTS_MAX);
    assert_int_equal(alone(world, "consume a chat requests=1", 20), FACTS_MAX);
    world_close(world);
}

/* Goal: a flood of names takes no memory, whoever is refused. */
static void refusals_leave_nothing_behind(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    world_check_purity(world, false);
    world_do(world, "customer a");
    const struct engine_counts before = engine_counts(world_engine(world));
    for (unsigned i = 0; i < 40000; i++) {
        char line[96];
        snprintf(line, sizeof line, "consume %c chat requests=1 subject=s%u", 'a' + (char)(i % 2),
                 i / 2);
        assert_memory_equal(world_do(world, line), "deny", 4);
    }
    const struct engine_counts after = engine_counts(world_engine(world));
    assert_int_equal(after.bytes_live, before.bytes_live);
    world_close(world);
}

/* Goal: what is said to have joined a crowd is found out where no such crowd ran then. */
static void what_joined_is_of_a_crowd_that_ran(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    const struct engine *engine = world_engine(world);
    const int64_t now_ms = world_now(world);
    const struct command command = {
        .kind = COMMAND_CONSUME, .customer = BYTES("a"), .feature = BYTES("chat")};
    static struct fact fact;
    (void)alone(world, "consume a chat requests=1", FACTS_MAX + 1);
    fact = *world_fact(world);
    assert_true(engine_crowd_runs(engine, &command, &fact, now_ms));
    assert_true(engine_crowd_runs(engine, &command, &fact, now_ms / SECOND_MS * SECOND_MS + 999));
    assert_false(engine_crowd_runs(engine, &command, &fact, now_ms + SECOND_MS));

    struct command other = command;
    other.customer = BYTES("b");
    assert_false(engine_crowd_runs(engine, &other, &fact, now_ms));
    other = command;
    other.feature = BYTES("other");
    assert_false(engine_crowd_runs(engine, &other, &fact, now_ms));
    other = command;
    other.subject = BYTES("team");
    assert_false(engine_crowd_runs(engine, &other, &fact, now_ms));
    other = command;
    other.kind = COMMAND_AUTHORIZE;
    assert_false(engine_crowd_runs(engine, &other, &fact, now_ms));
    struct report *report = &fact.report;
    report->reason = REASON_RATE_LIMITED;
    assert_false(engine_crowd_runs(engine, &command, &fact, now_ms));
    report->reason = REASON_INSUFFICIENT_CREDITS;
    report->id += 1; /* after the first of it */
    assert_false(engine_crowd_runs(engine, &command, &fact, now_ms));
    report->id -= 1;
    report->outcome = OUTCOME_ALLOW;
    assert_false(engine_crowd_runs(engine, &command, &fact, now_ms));
    report->outcome = OUTCOME_DENY;
    fact.effect_count = 1;
    assert_false(engine_crowd_runs(engine, &command, &fact, now_ms));
    fact.effect_count = 0;
    assert_true(engine_crowd_runs(engine, &command, &fact, now_ms));
    world_close(world);
}

/* Goal: the bytes of a fact are raised in place, and decode to the count. */
static void a_crowd_is_joined_in_its_bytes(void **state)
{
    (void)state;
    struct world *world = world_open(policies, 1);
    static uint8_t block[FACT_BYTES_MAX];
    static struct fact decoded;
    (void)alone(world, "consume a chat requests=1", FACTS_MAX + 1);
    struct buffer buffer = buffer_over(block, sizeof block);
    fact_encode(world_fact(world), &buffer);
    for (unsigned i = 0; i < 300; i++)
        fact_crowd_join(block, buffer.used);
    assert_true(fact_decode(buffer_bytes(&buffer), &decoded));
    assert_int_equal(decoded.report.crowd, 301);
    assert_int_equal(decoded.report.reason, REASON_INSUFFICIENT_CREDITS);
    assert_int_equal(decoded.report.note_count, world_fact(world)->report.note_count);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_equal_denials_a_second_are_told_apart),
        cmocka_unit_test(checks_count_in_no_crowd),
        cmocka_unit_test(extends_are_counted_hold_by_hold),
        cmocka_unit_test(refusals_leave_nothing_behind),
        cmocka_unit_test(a_crowd_is_joined_in_its_bytes),
        cmocka_unit_test(what_joined_is_of_a_crowd_that_ran),
    };
    return cmocka_run_group_tests_name("crowds", tests, NULL, NULL);
}
