/*
 * server_test.c: the loop with simulated exchanges over the journal in memory: when answers leave,
 * what is told when the journal fails, how batches fill, replays, recalls, policies, the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/recovery.h"
#include "server/world.h"

#define PRICED                                                     \
    "version: 1\n"                                                 \
    "defaults: {plan: free}\n"                                     \
    "features:\n"                                                  \
    "  chat: {meters: [requests], unit: requests, prices: chat}\n" \
    "prices:\n"                                                    \
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"

static const char *const POLICY = PRICED
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, windows: [{limit: 1000000, per: day, start: calendar}]}\n"
    "          - grants: {category: paid}\n";

static const char *const POLICY_OF_TWO = PRICED
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, windows: [{limit: 2, per: day, start: calendar}]}\n";

static const char *const POLICY_OF_CREDITS = PRICED "plans:\n"
                                                    "  free:\n"
                                                    "    features:\n"
                                                    "      chat:\n"
                                                    "        waterfall:\n"
                                                    "          - grants: {category: paid}\n";

static const char *const POLICY_FOR_NO_STRANGERS =
    "version: 1\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests}\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [unlimited: {}]}}}\n";

#define ONE "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}"
#define KEYED(key, count)                                                                  \
    "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":" count "}," \
    "\"idempotency_key\":\"" key "\"}"

static struct asker *new_asker(void)
{
    struct asker *asker = malloc(sizeof(*asker));
    assert_non_null(asker);
    return asker;
}

static void assert_says(const struct asker *asker, const char *text)
{
    if (strstr(asker->body, text) != NULL) return;
    print_error("expected %s in: %s\n", text, asker->body);
    fail();
}

/* The value of the first "name":"..." of the answer. */
static const char *text_of(const struct asker *asker, const char *name, char value_out[64])
{
    char pattern[64];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
    const char *found = strstr(asker->body, pattern);
    assert_non_null(found);
    found += strlen(pattern);
    const size_t length = strcspn(found, "\"");
    assert_true(length < 64);
    memcpy(value_out, found, length);
    value_out[length] = '\0';
    return value_out;
}

static uint64_t position_of(const struct asker *asker)
{
    char id[64];
    uint64_t position = 0;
    assert_true(id_parse('d', bytes_of_text(text_of(asker, "decision_id", id)), &position));
    return position;
}

static void close_world(struct world *world)
{
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
}

/* ---- the release rule */

static void a_decision_is_told_only_when_it_is_durable(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_post(world, asker, "/v1/consume", ONE);
    assert_false(asker->is_answered);
    (void)loop_step(world->loop);
    (void)loop_step(world->loop);
    assert_false(asker->is_answered);
    assert_true(journal_step(world->journaling));
    assert_false(asker->is_answered);
    assert_true(loop_step(world->loop));
    assert_true(asker->is_answered);
    assert_int_equal(asker->status, 200);
    assert_string_equal(asker->content_type, "application/json");
    assert_int_equal(position_sequence(position_of(asker)), asker->durable_sequence);
    free(asker);
    close_world(world);
}

static void a_read_leaves_at_once_when_all_is_durable(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/consume", ONE);
    world_ask(world, asker, "GET", "/v1/customers/acme", "");
    (void)loop_step(world->loop);
    assert_true(asker->is_answered);
    assert_int_equal(asker->status, 200);
    free(asker);
    close_world(world);
}

static void a_read_waits_for_what_it_may_have_seen(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *consume = new_asker();
    struct asker *together = new_asker();
    struct asker *later = new_asker();
    struct asker *unknown = new_asker();
    world_post(world, consume, "/v1/consume", ONE);
    world_ask(world, together, "GET", "/v1/customers/acme", "");
    (void)loop_step(world->loop);
    /* The batch is in flight and nothing is open: these read what is not durable yet. */
    world_ask(world, later, "GET", "/v1/customers/acme/balance", "");
    world_ask(world, unknown, "GET", "/v1/customers/nobody", "");
    (void)loop_step(world->loop);
    assert_false(together->is_answered);
    assert_false(later->is_answered);
    assert_false(unknown->is_answered);
    (void)journal_step(world->journaling);
    (void)loop_step(world->loop);
    assert_true(consume->is_answered && together->is_answered && later->is_answered);
    assert_int_equal(later->status, 200);
    assert_int_equal(unknown->status, 404);
    assert_says(later, "\"available\":\"0\"");
    assert_true(consume->order < together->order && together->order < later->order);
    free(consume);
    free(together);
    free(later);
    free(unknown);
    close_world(world);
}

static void what_tells_nothing_of_the_state_never_waits(void **state)
{
    (void)state;
    static const char *const targets[] = {"/healthz", "/readyz", "/nowhere"};
    struct world *world = world_open(NULL, POLICY);
    struct asker *consume = new_asker();
    struct asker *asker = new_asker();
    world_post(world, consume, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    for (size_t i = 0; i < COUNT_OF(targets); ++i) {
        world_ask(world, asker, "GET", targets[i], "");
        (void)loop_step(world->loop);
        assert_true(asker->is_answered);
    }
    world_post(world, asker, "/v1/consume", "{");
    (void)loop_step(world->loop);
    assert_true(asker->is_answered);
    assert_int_equal(asker->status, 400);
    assert_string_equal(asker->content_type, "application/problem+json");
    assert_false(consume->is_answered);
    world_settle(world);
    free(consume);
    free(asker);
    close_world(world);
}

/* ---- the journal fails */

static void fail_with(enum append_result result)
{
    struct world *world = world_open(NULL, POLICY);
    struct asker *in_flight = new_asker();
    struct asker *in_open = new_asker();
    struct asker *queued = new_asker();
    struct asker *later = new_asker();
    struct asker *health = new_asker();
    world_post(world, in_flight, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    world_post(world, in_open, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    journal_memory_fail_next(world->journal, result, true);
    (void)journal_step(world->journaling);
    world_post(world, queued, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    world_post(world, later, "/v1/check", ONE);
    world_ask(world, health, "GET", "/healthz", "");
    (void)loop_step(world->loop);
    struct asker *const all[] = {in_flight, in_open, queued, later};
    for (size_t i = 0; i < COUNT_OF(all); ++i) {
        assert_true(all[i]->is_answered);
        assert_int_equal(all[i]->status, 503);
        assert_says(all[i], "\"code\":\"outcome_unknown\"");
        free(all[i]);
    }
    assert_int_equal(health->status, 503);
    assert_says(health, "\"status\":\"failed\"");
    free(health);
    close_world(world);
}

static void an_unknown_end_is_told_to_all_who_wait(void **state)
{
    (void)state;
    fail_with(APPEND_UNKNOWN);
}

static void a_fenced_server_tells_all_who_wait(void **state)
{
    (void)state;
    fail_with(APPEND_FENCED);
}

/* ---- group commit */

static void what_arrives_during_a_sync_shares_the_next_batch(void **state)
{
    (void)state;
    enum { MANY = 100 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *many[MANY];
    const uint64_t tip = world->journal->tip.sequence;
    world_post(world, first, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    for (int i = 0; i < MANY; ++i) {
        many[i] = new_asker();
        world_post(world, many[i], "/v1/consume", ONE);
        if (i % 10 == 0) (void)loop_step(world->loop);
    }
    world_settle(world);
    assert_int_equal(world->journal->tip.sequence, tip + 2);
    assert_int_equal(position_of(first), position_make(tip + 1, 0));
    for (uint32_t i = 0; i < MANY; ++i) {
        assert_int_equal(position_of(many[i]), position_make(tip + 2, i));
        free(many[i]);
    }
    free(first);
    close_world(world);
}

static void a_full_batch_makes_the_rest_wait_and_loses_nobody(void **state)
{
    (void)state;
    enum { MANY = JOURNAL_BATCH_ENTRIES_MAX * 2 + 1000 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *many = calloc(MANY, sizeof(*many));
    assert_non_null(many);
    const uint64_t tip = world->journal->tip.sequence;
    for (size_t i = 0; i < MANY; ++i)
        world_post(world, &many[i], "/v1/consume", ONE);
    (void)loop_step(world->loop);
    assert_true(world->loop->arrived.count > 0);
    world_settle(world);
    uint64_t last = position_make(tip, 0);
    for (size_t i = 0; i < MANY; ++i) {
        const struct asker *asker = &many[i];
        assert_true(asker->is_answered);
        assert_int_equal(asker->status, 200);
        const uint64_t position = position_of(asker);
        assert_true(position > last);
        assert_true(asker->durable_sequence >= position_sequence(position));
        last = position;
    }
    assert_true(world->journal->tip.sequence >= tip + 3);
    free(many);
    close_world(world);
}

/* ---- replay and recall */

/* The second is the same key again, whose entry the desk must fetch from the journal. */
static void a_line_is_decided_in_order_whoever_of_it_is_parked(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *asked[4];
    struct asker *other = new_asker();
    struct exchange_line line = {0};
    world_do(world, first, "POST", "/v1/consume", KEYED("k", "1"));
    for (unsigned i = 0; i < COUNT_OF(asked); ++i) {
        asked[i] = new_asker();
        world_post(world, asked[i], "/v1/consume", i == 1 ? KEYED("k", "1") : ONE);
        asked[i]->exchange.line = &line;
    }
    world_post(world, other, "/v1/consume", ONE);
    world_settle(world);
    for (unsigned i = 0; i < COUNT_OF(asked); ++i) {
        assert_int_equal(asked[i]->status, 200);
        if (i > 0) assert_true(asked[i]->order > asked[i - 1]->order);
    }
    assert_true(other->order < asked[1]->order); /* who is of no line did not wait */
    assert_null(line.parked);
    assert_int_equal(line.waiting.count, 0);
    for (unsigned i = 0; i < COUNT_OF(asked); ++i)
        free(asked[i]);
    free(first);
    free(other);
    close_world(world);
}

static void a_replay_is_the_first_answer_byte_for_byte(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *open = new_asker();
    struct asker *flying = new_asker();
    struct asker *old = new_asker();
    const char *const body = KEYED("k1", "3");
    world_post(world, first, "/v1/authorize", body);
    world_post(world, open, "/v1/authorize", body); /* the entry is in the open batch */
    (void)loop_step(world->loop);
    world_post(world, flying, "/v1/authorize", body); /* the entry is in flight */
    (void)loop_step(world->loop);
    assert_false(first->is_answered || flying->is_answered);
    world_settle(world);
    world_post(world, old, "/v1/authorize", body);
    (void)loop_step(world->loop);
    assert_false(old->is_answered);
    assert_true(desk_step(world->desk));
    (void)loop_step(world->loop);
    assert_true(old->is_answered);
    assert_string_equal(open->body, first->body);
    assert_string_equal(flying->body, first->body);
    assert_string_equal(old->body, first->body);

    struct journal *journal = world->journal;
    world_close(world);
    world = world_open(journal, NULL);
    world_do(world, old, "POST", "/v1/authorize", body);
    assert_string_equal(old->body, first->body);
    world_do(world, old, "POST", "/v1/authorize", KEYED("k1", "4"));
    assert_int_equal(old->status, 409);
    free(first);
    free(open);
    free(flying);
    free(old);
    close_world(world);
}

static void an_old_decision_is_refunded_by_recall(void **state)
{
    (void)state;
    char id[64];
    char target[128];
    struct world *world = world_open(NULL, POLICY_OF_CREDITS);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/customers/acme/grants",
             "{\"category\":\"paid\",\"credits\":\"10\"}");
    assert_int_equal(asker->status, 200);
    world_do(world, asker, "POST", "/v1/consume", ONE);
    assert_says(asker, "\"charged\":\"1\"");
    (void)snprintf(target, sizeof(target), "/v1/decisions/%s/refund",
                   text_of(asker, "decision_id", id));
    world_do(world, asker, "POST", target, "{\"all\":true,\"reason\":\"test\"}");
    assert_int_equal(asker->status, 200);
    assert_says(asker, "\"refunded\":\"1\"");
    world_do(world, asker, "GET", "/v1/customers/acme/balance", "");
    assert_says(asker, "\"available\":\"10\"");
    free(asker);
    close_world(world);
}

static void what_is_due_is_done_before_a_refund(void **state)
{
    (void)state;
    char id[ID_TEXT_SIZE];
    char target[64];
    struct world *world = world_open(NULL, POLICY_OF_CREDITS);
    struct asker *consume = new_asker();
    struct asker *refund = new_asker();
    world_do(world, consume, "POST", "/v1/customers/acme/grants",
             "{\"category\":\"paid\",\"credits\":\"10\",\"expires_at\":\"2026-05-01T13:00:00Z\"}");
    const uint64_t tip = world->journal->tip.sequence;
    world_post(world, consume, "/v1/consume", ONE);
    (void)loop_step(world->loop);
    /* The loop rules what has arrived before it looks for what is due. */
    assert_true(clock_test_set(&world->clock, WORLD_START_MS + HOUR_MS));
    id_format('d', position_make(tip + 1, 0), id);
    (void)snprintf(target, sizeof(target), "/v1/decisions/%s/refund", id);
    world_post(world, refund, target, "{\"all\":true,\"reason\":\"test\"}");
    world_settle(world);
    assert_says(consume, "\"charged\":\"1\"");
    assert_int_equal(refund->status, 200);
    assert_says(refund, "\"expired\":\"1\"");
    struct batch_header header;
    struct bytes body;
    struct entry entry;
    struct command *command = malloc(sizeof(*command));
    assert_int_equal(world->journal->calls->read(world->journal, tip + 2, &header, &body),
                     JOURNAL_OK);
    struct reader reader = reader_over(body);
    assert_true(entry_take(&reader, &entry) && command_decode(entry.command, command));
    assert_int_equal(command->kind, COMMAND_DUE);
    assert_true(entry_take(&reader, &entry) && command_decode(entry.command, command));
    assert_int_equal(command->kind, COMMAND_REFUND);
    free(command);
    free(consume);
    free(refund);
    close_world(world);
}

static void ids_that_were_never_given_are_unknown(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/consume", ONE);
    const uint64_t tip = world->journal->tip.sequence;
    const uint64_t positions[] = {0, position_make(1, 0), position_make(tip, 7),
                                  position_make(tip + 1, 0), position_make(tip + 1000, 0)};
    for (size_t i = 0; i < COUNT_OF(positions); ++i) {
        char id[ID_TEXT_SIZE];
        char target[64];
        id_format('d', positions[i], id);
        (void)snprintf(target, sizeof(target), "/v1/decisions/%s/refund", id);
        world_do(world, asker, "POST", target, "{\"all\":true}");
        assert_int_equal(asker->status, 404);
        (void)snprintf(target, sizeof(target), "/v1/holds/%s/commit", id);
        world_do(world, asker, "POST", target, "{\"quantities\":{}}");
        assert_int_equal(asker->status, 404);
    }
    free(asker);
    close_world(world);
}

static void more_recalls_than_the_desk_has_jobs_are_all_served(void **state)
{
    (void)state;
    enum { MANY = DESK_JOBS_MAX * 2 + 5 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *many[MANY];
    world_do(world, first, "POST", "/v1/authorize", KEYED("k1", "3"));
    for (int i = 0; i < MANY; ++i) {
        many[i] = new_asker();
        world_post(world, many[i], "/v1/authorize", KEYED("k1", "3"));
    }
    world_settle(world);
    for (int i = 0; i < MANY; ++i) {
        assert_true(many[i]->is_answered);
        assert_string_equal(many[i]->body, first->body);
        free(many[i]);
    }
    assert_true(loop_is_idle(world->loop));
    free(first);
    close_world(world);
}

/* Nobody else comes who would let him on. */
static void who_waits_for_the_desk_is_served_though_all_before_him_have_left(void **state)
{
    (void)state;
    enum { MANY = DESK_JOBS_MAX * 2 + 1 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *many[MANY];
    world_do(world, first, "POST", "/v1/authorize", KEYED("k1", "3"));
    for (int i = 0; i < MANY; ++i) {
        many[i] = new_asker();
        world_post(world, many[i], "/v1/authorize", KEYED("k1", "3"));
    }
    (void)loop_step(world->loop);
    assert_int_equal(world->loop->desk_waiting.count, MANY - DESK_JOBS_MAX);
    for (int i = DESK_JOBS_MAX; i < MANY - 1; ++i)
        world_leave(many[i]);
    world_settle(world);
    assert_true(many[MANY - 1]->is_answered);
    assert_string_equal(many[MANY - 1]->body, first->body);
    assert_true(loop_is_idle(world->loop));
    for (int i = 0; i < MANY; ++i)
        free(many[i]);
    free(first);
    close_world(world);
}

/* ---- restart */

static void a_restart_rebuilds_the_same_state(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/customers/acme/grants",
             "{\"category\":\"paid\",\"credits\":\"10\"}");
    for (int i = 0; i < 20; ++i)
        world_do(world, asker, "POST", "/v1/authorize", ONE);
    world_do(world, asker, "POST", "/v1/clock", "{\"advance_ms\":61000}");
    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t before = engine_state_hash(world->engine, now_ms);
    const struct engine_policy_info info = engine_policy_info(world->engine);
    struct journal *journal = world->journal;
    world_close(world);
    world = world_open(journal, NULL);
    assert_true(engine_state_hash(world->engine, now_ms) == before);
    assert_int_equal(engine_policy_info(world->engine).version, info.version);
    assert_int_equal(clock_now_ms(&world->clock), now_ms);
    free(asker);
    close_world(world);
}

/* One after the other: a hold with a key, and its commit. */
static void settle_holds(struct world *world, struct asker *asker, int from, int to)
{
    char body[256];
    char id[64];
    char target[128];
    for (int i = from; i < to; ++i) {
        (void)snprintf(body, sizeof(body), KEYED("k%d", "1"), i);
        world_do(world, asker, "POST", "/v1/authorize", body);
        assert_int_equal(asker->status, 200);
        (void)snprintf(target, sizeof(target), "/v1/holds/%s/commit",
                       text_of(asker, "decision_id", id));
        world_do(world, asker, "POST", target, "{\"quantities\":{\"requests\":1}}");
        assert_int_equal(asker->status, 200);
    }
}

static void what_was_forgotten_takes_no_room_after_a_restart(void **state)
{
    (void)state;
    enum { ROUNDS = 6, HOLDS = 100 };
    struct engine_ceilings ceilings = engine_ceilings_for((uint64_t)16 << 20);
    ceilings.keys = 256;
    struct world *world = world_open_within(NULL, POLICY, ceilings);
    struct asker *asker = new_asker();
    for (int round = 0; round < ROUNDS; ++round) {
        settle_holds(world, asker, round * HOLDS, (round + 1) * HOLDS);
        world_do(world, asker, "POST", "/v1/clock", "{\"advance_ms\":172800000}");
    }
    settle_holds(world, asker, 0, HOLDS);
    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t before = engine_state_hash(world->engine, now_ms);
    struct journal *journal = world->journal;
    world_close(world);
    world = world_open_within(journal, NULL, ceilings);
    assert_true(engine_state_hash(world->engine, now_ms) == before);
    free(asker);
    close_world(world);
}

static bool go_on(void *self, uint64_t sequence, uint64_t sequence_last)
{
    (void)self;
    return sequence <= sequence_last;
}

static void a_state_beyond_the_memory_is_told_and_not_recovered(void **state)
{
    (void)state;
    enum { HOLDS = 300 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    settle_holds(world, asker, 0, HOLDS);
    struct engine_ceilings ceilings = engine_ceilings_for((uint64_t)16 << 20);
    ceilings.keys = 256;
    const uint64_t bytes = engine_bytes(ceilings);
    void *block = memory_reserve(bytes);
    struct recovery_scratch *scratch = calloc(1, sizeof(*scratch));
    assert_true(block != NULL && scratch != NULL);
    struct recovery recovery;
    const struct recovery_parts parts = {.journal = world->journal,
                                         .engine =
                                             engine_over(block, ceilings, world->journal->key),
                                         .ceilings = ceilings,
                                         .policies = world->policies,
                                         .scratch = scratch,
                                         .progress = go_on};
    assert_int_equal(recovery_run(&parts, &recovery), RECOVERY_FAILED);
    assert_non_null(strstr(recovery.detail, "--memory"));
    free(scratch);
    memory_release(block, bytes);
    free(asker);
    close_world(world);
}

/* ---- the policy */

static void a_policy_is_in_force_from_the_next_decision(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    const char *const three =
        "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":3}}";
    world_do(world, asker, "POST", "/v1/check", three);
    assert_says(asker, "\"outcome\":\"allow\"");
    world_do(world, asker, "PUT", "/v1/policy", POLICY_OF_TWO);
    assert_int_equal(asker->status, 200);
    assert_says(asker, "\"version\":2");
    world_do(world, asker, "POST", "/v1/check", three);
    assert_says(asker, "\"outcome\":\"deny\"");
    world_do(world, asker, "GET", "/v1/policy", "");
    assert_string_equal(asker->body, POLICY_OF_TWO);
    assert_string_equal(asker->content_type, "application/yaml");
    world_do(world, asker, "GET", "/v1/policy/versions", "");
    assert_says(asker, "{\"versions\":[{\"version\":2,");
    assert_says(asker, "\"from_file\":false,\"actor\":null},{\"version\":1,");
    free(asker);
    close_world(world);
}

static void a_policy_with_mistakes_changes_nothing(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    const uint64_t tip = world->journal->tip.sequence;
    world_do(world, asker, "PUT", "/v1/policy", "version: 1\nfeatuers: {}\n");
    assert_int_equal(asker->status, 422);
    assert_string_equal(asker->content_type, "application/problem+json");
    assert_says(asker, "\"code\":\"policy_invalid\"");
    assert_says(asker, "\"policy:2:1: ");
    assert_int_equal(world->journal->tip.sequence, tip);
    world_do(world, asker, "GET", "/v1/policy", "");
    assert_string_equal(asker->body, POLICY);
    world_do(world, asker, "POST", "/v1/check", ONE);
    assert_says(asker, "\"outcome\":\"allow\"");
    free(asker);
    close_world(world);
}

static void policies_put_at_once_are_taken_one_after_the_other(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *askers[4];
    const char *const bodies[] = {POLICY_OF_TWO, "version: 7", POLICY_OF_CREDITS, POLICY};
    const unsigned statuses[] = {200, 422, 200, 200};
    for (size_t i = 0; i < COUNT_OF(askers); ++i) {
        askers[i] = new_asker();
        world_ask(world, askers[i], "PUT", "/v1/policy", bodies[i]);
    }
    world_settle(world);
    for (size_t i = 0; i < COUNT_OF(askers); ++i) {
        assert_true(askers[i]->is_answered);
        assert_int_equal(askers[i]->status, statuses[i]);
    }
    assert_says(askers[0], "\"version\":2");
    assert_says(askers[2], "\"version\":3");
    assert_says(askers[3], "\"version\":4");
    world_do(world, askers[0], "GET", "/v1/policy", "");
    assert_string_equal(askers[0]->body, POLICY);
    for (size_t i = 0; i < COUNT_OF(askers); ++i)
        free(askers[i]);
    close_world(world);
}

/* ---- the clock */

static void all_that_falls_due_has_happened_when_the_clock_answers(void **state)
{
    (void)state;
    enum { MANY = JOURNAL_BATCH_ENTRIES_MAX + 500 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    for (int i = 0; i < MANY; ++i) {
        char body[160];
        (void)snprintf(body, sizeof(body),
                       "{\"customer\":\"c%d\",\"feature\":\"chat\",\"quantities\":{\"requests\":1},"
                       "\"ttl_ms\":60000}",
                       i);
        world_do(world, asker, "POST", "/v1/authorize", body);
    }
    assert_int_equal(engine_counts(world->engine).holds, MANY);
    world_post(world, asker, "/v1/clock", "{\"advance_ms\":59999}");
    world_settle(world);
    assert_int_equal(engine_counts(world->engine).holds, MANY);
    const uint64_t tip = world->journal->tip.sequence;
    world_post(world, asker, "/v1/clock", "{\"advance_ms\":1}");
    (void)loop_step(world->loop);
    assert_false(asker->is_answered);
    world_settle(world);
    assert_string_equal(asker->body, "{\"now\":\"2026-05-01T12:01:00Z\"}");
    assert_int_equal(engine_counts(world->engine).holds, 0);
    assert_true(world->journal->tip.sequence >= tip + 2);
    free(asker);
    close_world(world);
}

/* A wall clock an hour behind the world. */
static int64_t standing(void *context)
{
    (void)context;
    return WORLD_START_MS - HOUR_MS;
}

static void the_clock_does_not_go_back(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/clock", "{\"now\":\"2026-05-01T11:59:59Z\"}");
    assert_int_equal(asker->status, 422);
    assert_says(asker, "\"code\":\"clock_backward\"");
    world_do(world, asker, "POST", "/v1/clock", "{\"now\":\"2026-05-01T12:00:00Z\"}");
    assert_int_equal(asker->status, 200);
    world_do(world, asker, "POST", "/v1/clock", "{\"advance_ms\":253402300799999}");
    assert_int_equal(asker->status, 422);
    world_do(world, asker, "POST", "/v1/clock", "{\"confirm_jump\":true}");
    assert_int_equal(asker->status, 422);
    free(asker);
    close_world(world);
}

static void health_says_how_far_time_is_ahead_of_the_wall_clock(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "GET", "/healthz", "");
    assert_says(asker, "\"ahead_ms\":0");
    world->clock = clock_over((struct clock_source){.wall_ms = standing, .boot_ms = standing},
                              clock_now_ms(&world->clock));
    world_do(world, asker, "GET", "/healthz", "");
    assert_says(asker, "\"ahead_ms\":3600000");
    free(asker);
    close_world(world);
}

static void the_wall_clock_is_not_moved_by_request(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world->clock = clock_real(clock_now_ms(&world->clock));
    world_do(world, asker, "POST", "/v1/clock", "{\"advance_ms\":1}");
    assert_int_equal(asker->status, 422);
    assert_says(asker, "--test-clock");
    world_do(world, asker, "POST", "/v1/clock", "{\"confirm_jump\":true}");
    assert_int_equal(asker->status, 200);
    free(asker);
    close_world(world);
}

/* ---- batches of operations */

static void operations_are_done_in_order_each_with_its_own_end(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY_OF_TWO);
    struct asker *asker = new_asker();
    struct asker *again = new_asker();
    const char *const op = "{\"op\":\"consume\",\"customer\":\"acme\",\"feature\":\"chat\","
                           "\"quantities\":{\"requests\":1},\"idempotency_key\":\"k\"}";
    char body[1024];
    (void)snprintf(body, sizeof(body),
                   "{\"operations\":[%s,%s,{\"op\":\"consume\",\"customer\":\"acme\","
                   "\"feature\":\"nothing\",\"quantities\":{}},{\"op\":\"consume\","
                   "\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":2}},"
                   "{\"op\":\"consume\",\"customer\":\"acme\"}]}",
                   op, op);
    world_do(world, asker, "POST", "/v1/batch", body);
    assert_int_equal(asker->status, 200);
    const char *first = strstr(asker->body, "{\"decision_id\":");
    assert_non_null(first);
    const char *second = strstr(first + 1, "{\"decision_id\":");
    assert_non_null(second);
    /* The repeated key got the first answer, the comma between them aside. */
    assert_memory_equal(first, second, (size_t)(second - first) - 1);
    assert_says(asker, "\"code\":\"unknown_feature\"");
    assert_says(asker, "\"code\":\"allowance_exhausted\"");
    assert_says(asker, "\"code\":\"missing_field\"");
    world_do(world, again, "POST", "/v1/batch", body);
    assert_memory_equal(asker->body, again->body, (size_t)(second - asker->body));
    free(asker);
    free(again);
    close_world(world);
}

static void more_batches_than_there_is_room_for_wait_their_turn(void **state)
{
    (void)state;
    enum { MANY = LOOP_RUNS_MAX * 3 };
    struct world *world = world_open(NULL, POLICY);
    struct asker *many[MANY];
    const char *const body = "{\"operations\":[{\"op\":\"consume\",\"customer\":\"acme\","
                             "\"feature\":\"chat\",\"quantities\":{\"requests\":1}}]}";
    for (int i = 0; i < MANY; ++i) {
        many[i] = new_asker();
        world_post(world, many[i], "/v1/batch", i % 4 == 3 ? "{\"operations\":[]}" : body);
    }
    world_settle(world);
    for (int i = 0; i < MANY; ++i) {
        assert_true(many[i]->is_answered);
        assert_int_equal(many[i]->status == 200, i % 4 != 3);
        free(many[i]);
    }
    assert_true(loop_is_idle(world->loop));
    close_world(world);
}

/* ---- usage in its forms */

static void ask_typed(struct world *world, struct asker *asker, const char *method,
                      const char *target, const char *type, const char *body)
{
    world_ask(world, asker, method, target, body);
    asker->exchange.content_type = bytes_of_text(type);
    world_settle(world);
    assert_true(asker->is_answered);
}

#define EVENT(id) \
    "{\"specversion\":\"1.0\",\"id\":\"" id "\",\"source\":\"s\",\"type\":\"t\",\"data\":" ONE "}"
#define CLOUD_EVENT "application/cloudevents+json"
#define CLOUD_EVENTS "application/cloudevents-batch+json"

static void expect_usage(struct world *world, const char *type, const char *body, unsigned status,
                         const char *says)
{
    struct asker *asker = new_asker();
    ask_typed(world, asker, "POST", "/v1/usage", type, body);
    if (asker->status != status) print_error("%s: %s\n%s\n", type, body, asker->body);
    assert_int_equal(asker->status, status);
    assert_says(asker, says);
    free(asker);
}

static void usage_is_read_by_its_content_type(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    const char *const decision = "{\"decision_id\":";
    const char *const decisions = "{\"results\":[{\"decision_id\":";
    expect_usage(world, "application/json", ONE, 200, decision);
    expect_usage(world, "application/json", " \r\n\t[" ONE "]", 200, decisions);
    expect_usage(world, "application/json", "[]", 200, "{\"results\":[]}");
    expect_usage(world, "application/json", EVENT("e"), 422, CLOUD_EVENT);
    expect_usage(world, "application/json", "[" EVENT("e") "]", 200, CLOUD_EVENTS);
    expect_usage(world, CLOUD_EVENT "; charset=utf-8", EVENT("e"), 200, decision);
    expect_usage(world, CLOUD_EVENT, "[" EVENT("e") "]", 400, "an object");
    expect_usage(world, CLOUD_EVENT, ONE, 400, "specversion");
    expect_usage(world, CLOUD_EVENTS, "[" EVENT("e") ",{}]", 200, decisions);
    expect_usage(world, CLOUD_EVENTS, EVENT("e"), 400, "an array");
    expect_usage(world, "application/cloudevents+avro", EVENT("e"), 415, CLOUD_EVENT);
    expect_usage(world, "text/plain", ONE, 415, CLOUD_EVENTS);
    struct asker *asker = new_asker();
    ask_typed(world, asker, "POST", "/v1/consume", CLOUD_EVENT, EVENT("e"));
    assert_int_equal(asker->status, 415);
    free(asker);
    close_world(world);
}

static void an_event_told_again_gets_its_first_answer(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *first = new_asker();
    struct asker *again = new_asker();
    ask_typed(world, first, "POST", "/v1/usage", CLOUD_EVENT, EVENT("e1"));
    ask_typed(world, again, "POST", "/v1/usage", CLOUD_EVENT, EVENT("e1"));
    assert_string_equal(first->body, again->body);
    ask_typed(world, again, "POST", "/v1/usage", CLOUD_EVENTS,
              "[" EVENT("e1") ",[]," EVENT("e2") "," EVENT("e2") "]");
    const size_t start = strlen("{\"results\":[");
    assert_memory_equal(again->body + start, first->body, first->length);
    assert_says(again, "\"field\":\"[1]\"");
    const char *second = strstr(again->body + start + 1, "{\"decision_id\":");
    assert_non_null(second);
    const char *third = strstr(second + 1, "{\"decision_id\":");
    assert_non_null(third);
    assert_memory_equal(second, third, (size_t)(third - second) - 1);
    assert_memory_not_equal(second, first->body, first->length);
    free(first);
    free(again);
    close_world(world);
}

static void a_list_has_no_key_of_its_own(void **state)
{
    (void)state;
    static const char *const types[] = {"application/json", CLOUD_EVENTS};
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    for (size_t i = 0; i < COUNT_OF(types); ++i) {
        world_ask(world, asker, "POST", "/v1/usage", "[]");
        asker->exchange.content_type = bytes_of_text(types[i]);
        asker->exchange.idempotency_key = BYTES("k");
        world_settle(world);
        assert_int_equal(asker->status, 422);
        assert_says(asker, "Idempotency-Key");
    }
    free(asker);
    close_world(world);
}

static void a_list_may_be_as_long_as_a_batch(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    const size_t length = LOOP_BATCH_BYTES_MAX + 1;
    uint8_t *large = malloc(length);
    memset(large, ' ', length);
    large[0] = '[';
    large[length - 2] = ']';
    world_ask_bytes(world, asker, "POST", "/v1/usage", (struct bytes){large, length});
    world_settle(world);
    assert_int_equal(asker->status, 413);
    world_ask_bytes(world, asker, "POST", "/v1/usage", (struct bytes){large, length - 1});
    world_settle(world);
    assert_int_equal(asker->status, 200);
    large[0] = ' ';
    world_ask_bytes(world, asker, "POST", "/v1/usage", (struct bytes){large, length - 1});
    world_settle(world);
    assert_int_equal(asker->status, 413);
    free(large);
    free(asker);
    close_world(world);
}

/* ---- requests that get no decision */

static void ask_wrongly(struct world *world, struct asker *asker, const char *method,
                        const char *target, unsigned status, const char *code)
{
    char text[64];
    world_do(world, asker, method, target, "");
    if (asker->status != status) print_error("%s %s: %s\n", method, target, asker->body);
    assert_int_equal(asker->status, status);
    assert_string_equal(asker->content_type, "application/problem+json");
    (void)snprintf(text, sizeof(text), "\"code\":\"%s\"", code);
    assert_says(asker, text);
}

static void wrong_requests_get_their_own_problem(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    ask_wrongly(world, asker, "GET", "/", 404, "not_found");
    ask_wrongly(world, asker, "GET", "/v1/customers//balance", 404, "not_found");
    ask_wrongly(world, asker, "POST", "/v1/consume/", 404, "not_found");
    ask_wrongly(world, asker, "GET", "/v1/consume", 405, "method_not_allowed");
    assert_string_equal(world_header(asker, "allow"), "POST");
    ask_wrongly(world, asker, "DELETE", "/v1/customers/a", 405, "method_not_allowed");
    assert_string_equal(world_header(asker, "allow"), "GET, HEAD, PUT");
    ask_wrongly(world, asker, "POST", "/healthz", 405, "method_not_allowed");
    assert_string_equal(world_header(asker, "allow"), "GET, HEAD");
    ask_wrongly(world, asker, "GET", "/v1/customers/a%2/balance", 422, "invalid_value");
    ask_wrongly(world, asker, "GET", "/v1/customers/a%ff/balance", 422, "invalid_value");
    ask_wrongly(world, asker, "GET", "/v1/customers/a%00/balance", 422, "invalid_value");
    ask_wrongly(world, asker, "GET", "/v1/customers/nobody", 404, "unknown_customer");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?subjcet=x", 400, "invalid_query");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?feature=chat&feature=chat", 400,
                "invalid_query");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?feature=%zz", 400, "invalid_query");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?subject=&subject=x", 400,
                "invalid_query");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?subject=/", 422, "invalid_value");
    assert_says(asker, "\"field\":\"subject\"");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/status?feature=nothing", 422,
                "unknown_feature");
    ask_wrongly(world, asker, "GET", "/v1/customers/a/balance?limit=1", 400, "invalid_query");
    ask_wrongly(world, asker, "POST", "/v1/holds/d_nonsense/release", 404, "unknown_decision");
    ask_wrongly(world, asker, "POST", "/v1/grants/g_0000000000000/void", 404, "unknown_grant");
    free(asker);
    close_world(world);
}

static void a_stranger_has_the_default_plan_and_an_empty_wallet(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "GET", "/v1/customers/nobody/balance", "");
    assert_int_equal(asker->status, 200);
    assert_says(asker, "\"available\":\"0\",\"grants\":[]");
    world_do(world, asker, "GET", "/v1/customers/nobody/status", "");
    assert_says(asker, "\"feature\":\"chat\"");
    assert_says(asker, "\"allowed\":true");
    world_do(world, asker, "PUT", "/v1/policy", POLICY_FOR_NO_STRANGERS);
    assert_int_equal(asker->status, 200);
    world_do(world, asker, "GET", "/v1/customers/nobody/balance", "");
    assert_int_equal(asker->status, 404);
    world_do(world, asker, "GET", "/v1/customers/nobody/status", "");
    assert_int_equal(asker->status, 404);
    free(asker);
    close_world(world);
}

static void an_empty_parameter_of_status_is_an_absent_one(void **state)
{
    (void)state;
    static const char *const queries[] = {"?subject=&feature=", "?feature",
                                          "?subject=&feature=chat"};
    struct world *world = world_open(NULL, POLICY);
    struct asker *plain = new_asker();
    struct asker *asker = new_asker();
    char target[64];
    for (size_t i = 0; i < COUNT_OF(queries); ++i) {
        const bool has_feature = strstr(queries[i], "=chat") != NULL;
        world_do(world, plain, "GET",
                 has_feature ? "/v1/customers/a/status?feature=chat" : "/v1/customers/a/status",
                 "");
        (void)snprintf(target, sizeof(target), "/v1/customers/a/status%s", queries[i]);
        world_do(world, asker, "GET", target, "");
        assert_int_equal(asker->status, 200);
        assert_string_equal(asker->body, plain->body);
    }
    free(plain);
    free(asker);
    close_world(world);
}

static void a_customer_may_be_called_anything(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "POST", "/v1/consume",
             "{\"customer\":\"a/b ü\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    world_do(world, asker, "GET", "/v1/customers/a%2Fb%20%C3%BC", "");
    assert_int_equal(asker->status, 200);
    world_do(world, asker, "GET", "/v1/customers/a%2fb%20%c3%bc/status?&feature=chat&", "");
    assert_int_equal(asker->status, 200);
    world_do(world, asker, "HEAD", "/v1/customers/a%2fb%20%c3%bc/status", "");
    assert_int_equal(asker->status, 200);
    free(asker);
    close_world(world);
}

static void bodies_of_other_types_and_sizes_are_refused(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    ask_typed(world, asker, "POST", "/v1/consume", "application/json; charset=utf-8", ONE);
    assert_int_equal(asker->status, 200);
    ask_typed(world, asker, "POST", "/v1/consume", "Application/JSON", ONE);
    assert_int_equal(asker->status, 200);
    ask_typed(world, asker, "POST", "/v1/consume", "text/plain", ONE);
    assert_int_equal(asker->status, 415);
    ask_typed(world, asker, "POST", "/v1/consume", "application/jsonx", ONE);
    assert_int_equal(asker->status, 415);
    ask_typed(world, asker, "PUT", "/v1/policy", "application/json", POLICY);
    assert_int_equal(asker->status, 415);
    ask_typed(world, asker, "PUT", "/v1/policy", "text/x-yaml", POLICY);
    assert_int_equal(asker->status, 200);

    const size_t length = LOOP_BODY_BYTES_MAX + 1;
    uint8_t *large = malloc(length);
    memset(large, ' ', length);
    world_ask_bytes(world, asker, "POST", "/v1/consume", (struct bytes){large, length});
    world_settle(world);
    assert_int_equal(asker->status, 413);
    world_ask_bytes(world, asker, "POST", "/v1/consume", (struct bytes){large, length - 1});
    world_settle(world);
    assert_int_equal(asker->status, 400);
    free(large);
    free(asker);
    close_world(world);
}

static void only_utf8_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        unsigned status;
    } rows[] = {
        {                     "application/json;charset=UTF-8", 200},
        {               "application/json ; Charset=\"utf-8\"", 200},
        {        "application/json; version=1; charset=utf-8 ", 200},
        {                  "application/json; xcharset=latin1", 200},
        {                                 "application/json;;", 200},
        {               "application/json; charset=iso-8859-1", 415},
        {                   "application/json; charset=utf-80", 415},
        {"application/json; charset=utf-8; charset=iso-8859-1", 415},
        {                         "application/json; charset=", 415},
    };
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        ask_typed(world, asker, "POST", "/v1/consume", rows[i].type, ONE);
        if (asker->status != rows[i].status) print_error("%s: %s\n", rows[i].type, asker->body);
        assert_int_equal(asker->status, rows[i].status);
    }
    assert_says(asker, "\"field\":\"Content-Type\"");
    ask_typed(world, asker, "PUT", "/v1/policy", "text/yaml; charset=utf-16", POLICY);
    assert_int_equal(asker->status, 415);
    free(asker);
    close_world(world);
}

static void only_bodies_as_they_are_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *encoding;
        unsigned status;
    } rows[] = {
        {"identity", 200},
        {"Identity", 200},
        {    "gzip", 415},
        {        "", 415}
    };
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        world_post(world, asker, "/v1/consume", ONE);
        asker->exchange.content_encoding = bytes_of_text(rows[i].encoding);
        world_settle(world);
        assert_int_equal(asker->status, rows[i].status);
    }
    assert_says(asker, "\"field\":\"Content-Encoding\"");
    free(asker);
    close_world(world);
}

static void a_client_that_left_is_not_decided_for(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    const uint64_t tip = world->journal->tip.sequence;
    world_post(world, asker, "/v1/consume", ONE);
    asker->exchange.is_gone = true;
    world_settle(world);
    assert_true(asker->is_answered); /* given back */
    assert_int_equal(world->journal->tip.sequence, tip);
    assert_true(loop_is_idle(world->loop));
    free(asker);
    close_world(world);
}

static void a_stopping_server_is_not_ready_and_still_answers(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    struct asker *asker = new_asker();
    world_do(world, asker, "GET", "/readyz", "");
    assert_int_equal(asker->status, 200);
    loop_stop(world->loop);
    world_do(world, asker, "GET", "/readyz", "");
    assert_int_equal(asker->status, 503);
    assert_says(asker, "\"code\":\"stopping\"");
    world_do(world, asker, "POST", "/v1/consume", ONE);
    assert_int_equal(asker->status, 200);
    free(asker);
    close_world(world);
}

/* ---- any order of steps */

/* Whatever the order in which loop, journal and desk get their turns: nobody is told what is not
 * durable, everybody is told, and a restart has it all. */
static void in_any_order_of_steps_answers_are_durable(void **state)
{
    (void)state;
    enum { ROUNDS = 60, MANY = 40 };
    const uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = {seed};
    struct world *world = world_open(NULL, POLICY);
    struct asker *many[MANY];
    char bodies[MANY][256];
    for (int i = 0; i < MANY; ++i) {
        many[i] = new_asker();
        many[i]->is_answered = true;
        many[i]->length = 0;
    }
    for (int step = 0; step < ROUNDS * MANY; ++step) {
        const uint64_t which = prng_below(&prng, MANY);
        struct asker *asker = many[which];
        if (asker->is_answered) {
            if (asker->length > 0) {
                assert_int_equal(asker->status, 200);
                assert_true(asker->durable_sequence >= position_sequence(position_of(asker)));
            }
            (void)snprintf(bodies[which], sizeof(bodies[which]), KEYED("k%u", "1"),
                           (unsigned)prng_below(&prng, 200));
            world_post(world, asker, "/v1/consume", bodies[which]);
        }
        switch (prng_below(&prng, 3)) {
        case 0:
            (void)loop_step(world->loop);
            break;
        case 1:
            (void)journal_step(world->journaling);
            break;
        default:
            (void)desk_step(world->desk);
            break;
        }
    }
    world_settle(world);
    for (int i = 0; i < MANY; ++i) {
        assert_true(many[i]->is_answered);
        free(many[i]);
    }
    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t hash = engine_state_hash(world->engine, now_ms);
    struct journal *journal = world->journal;
    world_close(world);
    world = world_open(journal, NULL);
    assert_true(engine_state_hash(world->engine, now_ms) == hash);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decision_is_told_only_when_it_is_durable),
        cmocka_unit_test(a_read_leaves_at_once_when_all_is_durable),
        cmocka_unit_test(a_read_waits_for_what_it_may_have_seen),
        cmocka_unit_test(what_tells_nothing_of_the_state_never_waits),
        cmocka_unit_test(an_unknown_end_is_told_to_all_who_wait),
        cmocka_unit_test(a_fenced_server_tells_all_who_wait),
        cmocka_unit_test(what_arrives_during_a_sync_shares_the_next_batch),
        cmocka_unit_test(a_full_batch_makes_the_rest_wait_and_loses_nobody),
        cmocka_unit_test(a_line_is_decided_in_order_whoever_of_it_is_parked),
        cmocka_unit_test(a_replay_is_the_first_answer_byte_for_byte),
        cmocka_unit_test(an_old_decision_is_refunded_by_recall),
        cmocka_unit_test(what_is_due_is_done_before_a_refund),
        cmocka_unit_test(ids_that_were_never_given_are_unknown),
        cmocka_unit_test(more_recalls_than_the_desk_has_jobs_are_all_served),
        cmocka_unit_test(who_waits_for_the_desk_is_served_though_all_before_him_have_left),
        cmocka_unit_test(a_restart_rebuilds_the_same_state),
        cmocka_unit_test(what_was_forgotten_takes_no_room_after_a_restart),
        cmocka_unit_test(a_state_beyond_the_memory_is_told_and_not_recovered),
        cmocka_unit_test(a_policy_is_in_force_from_the_next_decision),
        cmocka_unit_test(a_policy_with_mistakes_changes_nothing),
        cmocka_unit_test(policies_put_at_once_are_taken_one_after_the_other),
        cmocka_unit_test(all_that_falls_due_has_happened_when_the_clock_answers),
        cmocka_unit_test(the_clock_does_not_go_back),
        cmocka_unit_test(health_says_how_far_time_is_ahead_of_the_wall_clock),
        cmocka_unit_test(the_wall_clock_is_not_moved_by_request),
        cmocka_unit_test(operations_are_done_in_order_each_with_its_own_end),
        cmocka_unit_test(more_batches_than_there_is_room_for_wait_their_turn),
        cmocka_unit_test(usage_is_read_by_its_content_type),
        cmocka_unit_test(an_event_told_again_gets_its_first_answer),
        cmocka_unit_test(a_list_has_no_key_of_its_own),
        cmocka_unit_test(a_list_may_be_as_long_as_a_batch),
        cmocka_unit_test(wrong_requests_get_their_own_problem),
        cmocka_unit_test(a_stranger_has_the_default_plan_and_an_empty_wallet),
        cmocka_unit_test(an_empty_parameter_of_status_is_an_absent_one),
        cmocka_unit_test(a_customer_may_be_called_anything),
        cmocka_unit_test(bodies_of_other_types_and_sizes_are_refused),
        cmocka_unit_test(only_utf8_is_read),
        cmocka_unit_test(only_bodies_as_they_are_are_read),
        cmocka_unit_test(a_client_that_left_is_not_decided_for),
        cmocka_unit_test(a_stopping_server_is_not_ready_and_still_answers),
        cmocka_unit_test(in_any_order_of_steps_answers_are_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
