/*
 * crowd_test.c: denials in crowds, through the loop and the journal: how many entries they make,
 * whose ids are told, and what a recovery finds.
 */
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

/* What the denials of a journal say: how many of their own, how many crowds, how many in these. */
struct denials {
    unsigned alone;
    unsigned crowds;
    uint64_t crowded;
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
            found.crowds += fact->report.crowd != 0;
            found.crowded += fact->report.crowd;
        }
    }
    free(fact);
    return found;
}

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

enum { MANY = 1000 };

static void a_thousand_denials_are_sixteen_entries_and_a_few_crowds(void **state)
{
    (void)state;
    static struct asker *askers[MANY];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    ask_for_all(world, askers, MANY, "/v1/consume", CONSUME("acme"));
    world_settle(world);
    const struct denials denials = denials_from(world, first);
    assert_int_equal(denials.alone, CROWD_ALONE_MAX);
    assert_int_equal(denials.crowded, MANY - CROWD_ALONE_MAX);
    assert_in_range(denials.crowds, 1, world->journal->tip.sequence - first + 1);
    uint64_t last = 0;
    unsigned ids = 0;
    for (unsigned i = 0; i < MANY; i++) {
        const uint64_t position = denial_of(world, askers[i]);
        assert_true(position >= last);
        ids += position != last;
        last = position;
        free(askers[i]);
    }
    assert_int_equal(ids, CROWD_ALONE_MAX + denials.crowds);

    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t hash = engine_state_hash(world->engine, now_ms);
    struct journal *journal = world->journal;
    world_close(world);
    world = world_open(journal, NULL);
    assert_true(engine_state_hash(world->engine, now_ms) == hash);
    world_close(world);
    journal->calls->close(journal);
}

/* Goal: a crowd is closed with its batch: the next batch's denials are another one. */
static void a_crowd_ends_with_its_batch(void **state)
{
    (void)state;
    static struct asker *askers[3 * 20];
    struct world *world = world_open(NULL, policy);
    const uint64_t first = world->journal->tip.sequence + 1;
    for (unsigned piece = 0; piece < 3; piece++) {
        ask_for_all(world, askers + 20 * (size_t)piece, 20, "/v1/authorize", CONSUME("acme"));
        world_settle(world);
    }
    const struct denials denials = denials_from(world, first);
    assert_int_equal(denials.alone, CROWD_ALONE_MAX);
    assert_int_equal(denials.crowds, 3);
    assert_int_equal(denials.crowded, 3 * 20 - CROWD_ALONE_MAX);
    for (unsigned i = 0; i < COUNT_OF(askers); i++) {
        (void)denial_of(world, askers[i]);
        free(askers[i]);
    }
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
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
    const struct denials denials = denials_from(world, first);
    assert_int_equal(denials.alone, 2 * CROWD_ALONE_MAX);
    assert_int_equal(denials.crowds, 2);
    assert_int_equal(denials.crowded, 80 - 2 * CROWD_ALONE_MAX);
    const uint64_t crowds[] = {denial_of(world, askers[0][39]), denial_of(world, askers[1][39])};
    assert_true(crowds[0] != crowds[1]);
    for (unsigned who = 0; who < 2; who++)
        for (unsigned i = 0; i < 40; i++) {
            if (i >= CROWD_ALONE_MAX) assert_true(denial_of(world, askers[who][i]) == crowds[who]);
            free(askers[who][i]);
        }
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_denials_are_sixteen_entries_and_a_few_crowds),
        cmocka_unit_test(a_crowd_ends_with_its_batch),
        cmocka_unit_test(crowds_of_two_do_not_mix),
    };
    return cmocka_run_group_tests_name("crowds", tests, NULL, NULL);
}
