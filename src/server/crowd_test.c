/*
 * crowd_test.c: denials in crowds, through the loop and the journal: how many entries they make,
 * whose ids are told, and what a recovery finds.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/world.h"

static const char policy[] =
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [{grants: {category: paid}}]}}}\n";

#define CONSUME(customer) \
    "{\"customer\":\"" customer "\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}"

/* What the denials of a journal say: how many of their own, in how many entries how many that
 * joined a crowd. */
struct denials {
    unsigned alone;
    unsigned rests;
    uint64_t joined;
};

static struct denials denials_from(struct world *world, uint64_t sequence)
{
    struct denials found = {0};
    struct fact *fact = malloc(sizeof *fact);
    assert_non_null(fact);
    for (; sequence <= world->journal->tip.sequence; sequence++) {
        struct batch_header header;
        struct bytes body;
        struct entry entry;
        assert_int_equal(world->journal->calls->read(world->journal, sequence, &header, &body),
                         JOURNAL_OK);
        struct reader reader = reader_over(body);
        while (entry_take(&reader, &entry)) {
            assert_true(fact_decode(entry.fact, fact));
            assert_int_equal(fact->report.outcome, OUTCOME_DENY);
            found.alone += fact->report.crowd == 0;
            found.rests += fact->report.crowd != 0;
            found.joined += fact->report.crowd;
        }
    }
    free(fact);
    return found;
}

static void assert_denials(struct world *world, uint64_t from, unsigned alone, unsigned rests,
                           uint64_t joined)
{
    const struct denials denials = denials_from(world, from);
    assert_int_equal(denials.alone, alone);
    assert_int_equal(denials.rests, rests);
    assert_int_equal(denials.joined, joined);
}

enum {
    FACTS_MAX = CROWD_ALONE_MAX + 1
}; /* of equal denials in a second: the last is the first of a crowd */

/* The decision that an answer names; it must be a denial in the journal. */
static uint64_t denial_of(struct world *world, const struct asker *asker)
{
    uint64_t position = 0;
    assert_int_equal(asker->status, 200);
    assert_non_null(strstr(asker->body, "\"outcome\":\"deny\""));
    const char *id = strstr(asker->body, "\"decision_id\":\"");
    assert_non_null(id);
    id += strlen("\"decision_id\":\"");
    assert_true(id_parse('d', (struct bytes){(const uint8_t *)id, strcspn(id, "\"")}, &position));
    assert_true(position_sequence(position) <= asker->durable_sequence);
    struct batch_header header;
    struct bytes body;
    assert_int_equal(
        world->journal->calls->read(world->journal, position_sequence(position), &header, &body),
        JOURNAL_OK);
    assert_true(position_index(position) < header.entries);
    return position;
}

static void ask_for_all(struct world *world, struct asker **askers, unsigned count,
                        const char *target, const char *body)
{
    for (unsigned i = 0; i < count; i++) {
        askers[i] = malloc(sizeof *askers[i]);
        assert_non_null(askers[i]);
        world_post(world, askers[i], target, body);
    }
}

/* The ids of so many answers: those told apart ascend, all behind them are the crowd's first's. */
static uint64_t first_of_crowd(struct world *world, struct asker **askers, unsigned count)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint64_t position = denial_of(world, askers[i]);
        if (i < FACTS_MAX)
            assert_true(position > last);
        else
            assert_true(position == last);
        last = position;
        free(askers[i]);
    }
    return last;
}

static void pass(struct world *world, const char *body)
{
    static struct asker asker;
    world_do(world, &asker, "POST", "/v1/clock", body);
    assert_int_equal(asker.status, 200);
}

static void close_world(struct world *world)
{
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
}

/* As a crash and a start, from the journal alone. */
static struct world *start_again(struct world *world)
{
    struct journal *journal = world->journal;
    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t hash = engine_state_hash(world->engine, now_ms);
    world_close(world);
    world = world_open(journal, NULL);
    assert_true(engine_state_hash(world->engine, now_ms) == hash);
    return world;
}

enum { MANY = 1000 };

static void a_thousand_denials_are_eighteen_entries(void **state)
{
    (void)state;
    static struct asker *askers[MANY];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    ask_for_all(world, askers, MANY, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    (void)first_of_crowd(world, askers, MANY);
    pass(world, "{\"advance_ms\":1000}");
    assert_denials(world, first, FACTS_MAX, 1, MANY - FACTS_MAX);
    world = start_again(world);
    assert_denials(world, first, FACTS_MAX, 1, MANY - FACTS_MAX);
    close_world(world);
}

/* Goal: who waits for each answer before he asks again makes no more entries. */
static void a_lone_client_is_a_crowd_too(void **state)
{
    (void)state;
    static struct asker *askers[100];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    uint64_t crowds[2];
    for (unsigned second = 0; second < 2; second++) {
        for (unsigned i = 0; i < COUNT_OF(askers); i++) {
            ask_for_all(world, &askers[i], 1, "/v1/authorize", CONSUME("acme"));
            world_settle(world);
            if (i == 50) pass(world, "{\"advance_ms\":400}"); /* the second is not over */
        }
        crowds[second] = first_of_crowd(world, askers, COUNT_OF(askers));
        pass(world, "{\"advance_ms\":600}");
    }
    assert_true(crowds[0] < crowds[1]);
    assert_denials(world, first, 2 * FACTS_MAX, 2, 2 * (COUNT_OF(askers) - FACTS_MAX));
    close_world(world);
}

/* Goal: they are journaled as of their second, whatever comes first in the next. */
static void a_crowd_is_told_of_in_its_second(void **state)
{
    (void)state;
    static struct asker *askers[20];
    struct world *world = world_open(NULL, policy);
    ask_for_all(world, askers, COUNT_OF(askers), "/v1/consume", CONSUME("acme"));
    world_settle(world);
    (void)first_of_crowd(world, askers, COUNT_OF(askers));
    struct batch_header header;
    struct bytes body;
    const uint64_t sequence = world->journal->tip.sequence + 1;
    assert_true(clock_test_set(&world->clock, WORLD_START_MS + 5000)); /* as time passes */
    world_settle(world);
    assert_int_equal(world->journal->tip.sequence, sequence);
    assert_int_equal(world->journal->calls->read(world->journal, sequence, &header, &body),
                     JOURNAL_OK);
    assert_int_equal(header.first_ms, WORLD_START_MS + 999);
    assert_denials(world, sequence, 0, 1, COUNT_OF(askers) - FACTS_MAX);
    close_world(world);
}

/* Goal: who reads the books knows from when on they have every denial that was told. */
static void health_says_which_counts_are_still_kept(void **state)
{
    (void)state;
    static struct asker *askers[2][20];
    static struct asker health;
    char told[128];
    struct world *world = world_open(NULL, policy);
    world_do(world, &health, "GET", "/healthz", "");
    assert_non_null(strstr(health.body, "\"crowds\":{\"open\":0,\"told_in\":0}"));
    ask_for_all(world, askers[0], 20, "/v1/consume", CONSUME("acme"));
    ask_for_all(world, askers[1], 20, "/v1/consume", CONSUME("other"));
    world_settle(world);
    for (unsigned i = 0; i < COUNT_OF(askers); i++)
        (void)first_of_crowd(world, askers[i], 20);
    world_do(world, &health, "GET", "/healthz", "");
    assert_non_null(strstr(
        health.body, "\"crowds\":{\"open\":2,\"second\":\"2026-05-01T12:00:00Z\",\"told_in\":0}"));
    pass(world, "{\"advance_ms\":1000}");
    (void)snprintf(told, sizeof(told), "\"crowds\":{\"open\":0,\"told_in\":%" PRIu64 "}",
                   world->journal->tip.sequence);
    world_do(world, &health, "GET", "/healthz", "");
    assert_non_null(strstr(health.body, told));
    close_world(world);
}

/* Goal: a crash takes back the count of its second, and nothing that anybody was told. */
static void a_crash_costs_a_count_and_no_id(void **state)
{
    (void)state;
    static struct asker *askers[2][30];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    ask_for_all(world, askers[0], 30, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    const uint64_t crowd = first_of_crowd(world, askers[0], 30);
    assert_denials(world, first, FACTS_MAX, 0, 0);
    world = start_again(world);
    ask_for_all(world, askers[1], 30, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    for (unsigned i = 0; i < 30; i++) {
        assert_true(denial_of(world, askers[1][i]) == crowd);
        free(askers[1][i]);
    }
    pass(world, "{\"advance_ms\":1000}");
    assert_denials(world, first, FACTS_MAX, 1, 30);
    close_world(world);
}

/* Goal: a server that stops in order loses no count. */
static void a_stop_tells_of_the_crowds(void **state)
{
    (void)state;
    static struct asker *askers[30];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    ask_for_all(world, askers, 30, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    (void)first_of_crowd(world, askers, 30);
    loop_stop(world->loop);
    assert_false(loop_is_idle(world->loop));
    assert_int_equal(loop_wait_ms(world->loop), 0);
    world_settle(world);
    assert_true(loop_is_idle(world->loop));
    assert_denials(world, first, FACTS_MAX, 1, 30 - FACTS_MAX);
    close_world(world);
}

static void crowds_of_two_do_not_mix(void **state)
{
    (void)state;
    static struct asker *askers[2][40];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    ask_for_all(world, askers[0], 20, "/v1/consume", CONSUME("acme"));
    ask_for_all(world, askers[1], 40, "/v1/consume", CONSUME("bolt"));
    ask_for_all(world, askers[0] + 20, 20, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    const uint64_t crowd = first_of_crowd(world, askers[0], 40);
    assert_true(crowd != first_of_crowd(world, askers[1], 40));
    pass(world, "{\"advance_ms\":1000}");
    assert_denials(world, first, 2 * FACTS_MAX, 2, 80 - 2 * FACTS_MAX);
    close_world(world);
}

/* Of one customer, as a number, in one second. */
enum { CUSTOMERS = 3, SECONDS = 40 };
struct tally {
    uint64_t told;
    uint64_t counted;
    unsigned rows;
};

static void add_rows(struct world *world, uint64_t sequence, const struct hash128 *customers,
                     struct tally tallies[CUSTOMERS][SECONDS])
{
    static struct fact fact;
    for (; sequence <= world->journal->tip.sequence; sequence++) {
        struct batch_header header;
        struct bytes body;
        struct entry entry;
        assert_int_equal(world->journal->calls->read(world->journal, sequence, &header, &body),
                         JOURNAL_OK);
        struct reader reader = reader_over(body);
        while (entry_take(&reader, &entry)) {
            assert_true(fact_decode(entry.fact, &fact));
            unsigned who = 0;
            while (!hash_128_equal(customers[who], fact.customer))
                who++;
            assert_true(who < CUSTOMERS);
            struct tally *tally = &tallies[who][(entry.at_ms - WORLD_START_MS) / SECOND_MS];
            tally->counted += fact.report.crowd == 0 ? 1 : fact.report.crowd;
            tally->rows++;
        }
    }
}

/* Goal: however denials come, one by one or many at once, with time passing in any steps: each
 * second has at most 18 rows of a kind, and they count what was told. */
static void every_denial_is_counted_in_its_second(void **state)
{
    (void)state;
    static const char *const bodies[CUSTOMERS] = {CONSUME("a"), CONSUME("b"), CONSUME("c")};
    static struct asker *askers[64];
    static struct tally tallies[CUSTOMERS][SECONDS];
    struct prng prng = {5};
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    const struct hash128 customers[CUSTOMERS] = {engine_customer_id(world->engine, BYTES("a")),
                                                 engine_customer_id(world->engine, BYTES("b")),
                                                 engine_customer_id(world->engine, BYTES("c"))};
    for (int64_t at_ms = 0; at_ms < (SECONDS - 2) * SECOND_MS;) {
        const unsigned who = (unsigned)prng_below(&prng, CUSTOMERS);
        const unsigned count = 1 + (unsigned)prng_below(&prng, prng_below(&prng, 4) == 0 ? 60 : 3);
        ask_for_all(world, askers, count, "/v1/consume", bodies[who]);
        world_settle(world);
        tallies[who][at_ms / SECOND_MS].told += count;
        if (prng_below(&prng, 4) == 0) {
            at_ms += (int64_t)prng_below(&prng, 700);
            assert_true(clock_test_set(&world->clock, WORLD_START_MS + at_ms));
        }
        for (unsigned i = 0; i < count; i++) {
            (void)denial_of(world, askers[i]);
            free(askers[i]);
        }
    }
    assert_true(clock_test_set(&world->clock, WORLD_START_MS + SECONDS * SECOND_MS));
    world_settle(world);
    add_rows(world, first, customers, tallies);
    unsigned crowds = 0;
    for (unsigned who = 0; who < CUSTOMERS; who++)
        for (unsigned second = 0; second < SECONDS; second++) {
            const struct tally *tally = &tallies[who][second];
            assert_int_equal(tally->counted, tally->told);
            assert_in_range(tally->rows, 0, FACTS_MAX + 1);
            crowds += tally->rows > FACTS_MAX;
        }
    assert_true(crowds > SECONDS / 2);
    world = start_again(world);
    close_world(world);
}

/* ---- the table of those that wait for the end of their second */

static uint8_t block[CROWDS_BYTES];

static struct crowds *crowds_of(void)
{
    static struct crowds crowds;
    memset(&crowds, 0, sizeof(crowds));
    crowds_start(&crowds, block);
    return &crowds;
}

/* An entry of a denial; its fact lives until the next one is made. */
static struct entry denial(int64_t at_ms, size_t command_length)
{
    static uint8_t command[4096];
    static uint8_t bytes[4096];
    static struct fact fact;
    memset(&fact, 0, offsetof(struct fact, effects));
    fact.report.kind = COMMAND_CONSUME;
    fact.report.outcome = OUTCOME_DENY;
    fact.report.reason = REASON_INSUFFICIENT_CREDITS;
    fact.report.crowd = 1;
    struct buffer out = buffer_over(bytes, sizeof(bytes));
    fact_encode(&fact, &out);
    assert_true(!out.overflowed && command_length <= sizeof(command));
    return (struct entry){
        .at_ms = at_ms, .command = {command, command_length},
             .fact = buffer_bytes(&out)
    };
}

static uint64_t count_of(const struct entry *entry)
{
    static struct fact fact;
    assert_true(fact_decode(entry->fact, &fact));
    return fact.report.crowd;
}

static void each_crowd_is_counted_and_taken_once(void **state)
{
    (void)state;
    struct crowds *crowds = crowds_of();
    struct entry entry = denial(5500, 100);
    for (unsigned second = 5; second < 7; second++) {
        entry.at_ms = second * SECOND_MS + 500;
        for (uint64_t first = 1; first <= CROWDS_MAX; first++) {
            assert_false(crowds_join(crowds, first << 12));
            assert_true(crowds_open(crowds, first << 12, &entry, 0));
            for (uint64_t more = 0; more < first % 7; more++)
                assert_true(crowds_join(crowds, first << 12));
        }
        assert_false(crowds_open(crowds, 1, &entry, 0)); /* no place is left */
        assert_false(crowds_are_over(crowds, second * SECOND_MS + 999));
        assert_true(crowds_are_over(crowds, (second + 1) * SECOND_MS));
        for (uint64_t first = 1; first <= CROWDS_MAX; first++) {
            struct entry taken;
            assert_true(crowds_take(crowds, (second + 9) * SECOND_MS, 77, &taken));
            assert_int_equal(taken.at_ms, second * SECOND_MS + 999);
            assert_int_equal(taken.command.length, 100);
            assert_int_equal(count_of(&taken), 1 + first % 7);
        }
        assert_false(crowds_are_open(crowds));
    }
}

/* Goal: one that is taken in mid-second begins anew, also while others still wait. */
static void a_crowd_that_was_taken_begins_anew(void **state)
{
    (void)state;
    struct crowds *crowds = crowds_of();
    const struct entry entry = denial(5500, 10);
    struct entry taken;
    assert_true(crowds_open(crowds, 1, &entry, 0));
    assert_true(crowds_open(crowds, 2, &entry, 0));
    assert_true(crowds_take(crowds, 5600, 7, &taken));
    assert_int_equal(taken.at_ms, 5600);
    assert_false(crowds_join(crowds, 1));
    assert_true(crowds_open(crowds, 1, &entry, 0));
    assert_true(crowds_join(crowds, 1));
    assert_true(crowds_join(crowds, 2));
    assert_true(crowds_take(crowds, 5600, 7, &taken) && count_of(&taken) == 2);
    assert_true(crowds_take(crowds, 5600, 7, &taken) && count_of(&taken) == 2);
    assert_false(crowds_take(crowds, 5600, 7, &taken));
}

static void crowds_fill_their_room_and_no_more(void **state)
{
    (void)state;
    struct crowds *crowds = crowds_of();
    const struct entry entry = denial(5500, 4096);
    uint64_t first = 1;
    while (crowds_open(crowds, first, &entry, 0))
        first++;
    assert_in_range(first, CROWDS_BYTES / 4200, CROWDS_BYTES / 4096);
    assert_true(crowds_join(crowds, first - 1));
    assert_false(crowds_join(crowds, first));
}

/* Goal: of denied extends, settlement finds the entry that made the hold. */
static void the_journal_is_needed_until_what_joined_is_settled(void **state)
{
    (void)state;
    struct crowds *crowds = crowds_of();
    const struct entry entry = denial(5500, 10);
    struct entry taken;
    assert_true(crowds_open(crowds, 1, &entry, 0));
    assert_true(crowds_need(crowds, 100) == UINT64_MAX);
    assert_true(crowds_open(crowds, 2, &entry, 900));
    assert_true(crowds_open(crowds, 3, &entry, 800));
    assert_int_equal(crowds_need(crowds, 100), 800);
    while (crowds_take(crowds, 6000, 101, &taken))
        assert_int_equal(crowds_need(crowds, 100), 800);
    assert_int_equal(crowds_need(crowds, 100), 800);
    assert_true(crowds_need(crowds, 101) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_denials_are_eighteen_entries),
        cmocka_unit_test(a_lone_client_is_a_crowd_too),
        cmocka_unit_test(a_crowd_is_told_of_in_its_second),
        cmocka_unit_test(health_says_which_counts_are_still_kept),
        cmocka_unit_test(a_crash_costs_a_count_and_no_id),
        cmocka_unit_test(a_stop_tells_of_the_crowds),
        cmocka_unit_test(crowds_of_two_do_not_mix),
        cmocka_unit_test(every_denial_is_counted_in_its_second),
        cmocka_unit_test(each_crowd_is_counted_and_taken_once),
        cmocka_unit_test(a_crowd_that_was_taken_begins_anew),
        cmocka_unit_test(crowds_fill_their_room_and_no_more),
        cmocka_unit_test(the_journal_is_needed_until_what_joined_is_settled),
    };
    return cmocka_run_group_tests_name("crowds", tests, NULL, NULL);
}
