/*
 * overload_test.c: more comes than can be done. Who is refused, in which order, and that whoever
 * was let in is answered. Nobody waits here: requests are made to have come long ago.
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

#define ASK "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}"
#define ONE ASK "}"
#define OF_PRIORITY(name) ASK ",\"priority\":\"" name "\"}"
#define KEYED ASK ",\"idempotency_key\":\"k\"}"

static const char policy[] = "version: 1\n"
                             "defaults: {plan: free}\n"
                             "features:\n"
                             "  chat: {meters: [requests], unit: requests}\n"
                             "plans:\n"
                             "  free: {features: {chat: {waterfall: [unlimited: {}]}}}\n";

enum { FILLERS = 2 * JOURNAL_BATCH_ENTRIES_MAX + 100 };

/* A loop whose two batches are full and whose journal stands still. */
struct jam {
    struct world *world;
    struct asker *fillers; /* usage reports */
    struct asker *askers;
    int64_t waited_ms;
};

static void age(struct asker *asker, int64_t waited_ms)
{
    asker->exchange.taken_ns = clock_monotonic_ns() - waited_ms * 1000000;
}

static struct jam open_jam(int64_t waited_ms)
{
    struct jam jam = {.waited_ms = waited_ms,
                      .world = world_open(NULL, policy),
                      .fillers = calloc(FILLERS, sizeof(struct asker)),
                      .askers = calloc(16, sizeof(struct asker))};
    assert_true(jam.fillers != NULL && jam.askers != NULL);
    for (unsigned i = 0; i < FILLERS; ++i) {
        world_post(jam.world, &jam.fillers[i], "/v1/usage", ONE);
    }
    (void)loop_step(jam.world->loop);
    assert_true(jam.world->loop->is_blocked);
    assert_true(jam.world->loop->arrived.count > 0);
    return jam;
}

/* The journal goes on: whoever was let in is answered. */
static void close_jam(struct jam *jam, uint64_t refused)
{
    uint64_t shed = 0;
    world_settle(jam->world);
    for (unsigned i = 0; i < FILLERS; ++i)
        assert_int_equal(jam->fillers[i].status, 200);
    for (unsigned i = 0; i < TURN_CLASSES; ++i)
        shed += jam->world->loop->shed[i];
    assert_int_equal(shed, refused);
    assert_true(loop_is_idle(jam->world->loop));
    struct journal *journal = jam->world->journal;
    world_close(jam->world);
    journal->calls->close(journal);
    free(jam->fillers);
    free(jam->askers);
}

/* The queue is looked over at its next step. */
static void step(struct jam *jam)
{
    for (unsigned i = 0; i < FILLERS; ++i)
        if (!jam->fillers[i].is_answered) age(&jam->fillers[i], jam->waited_ms);
    jam->world->loop->waited_ns = 0;
    (void)loop_step(jam->world->loop);
}

static void assert_refused(const struct asker *asker)
{
    assert_true(asker->is_answered);
    assert_int_equal(asker->status, 503);
    assert_non_null(strstr(asker->body, "\"code\":\"overloaded\""));
}

static void while_the_queue_is_late_newcomers_are_refused_by_priority(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *body;
        int64_t patience_ms;
    } rows[] = {
        {"/v1/authorize", OF_PRIORITY("sheddable"), PATIENCE_SHEDDABLE_MS},
        {  "/v1/consume",                      ONE,   PATIENCE_DEFAULT_MS},
        {    "/v1/check",                      ONE,   PATIENCE_DEFAULT_MS},
        {"/v1/authorize",  OF_PRIORITY("critical"),  PATIENCE_CRITICAL_MS},
    };
    for (size_t late = 0; late <= COUNT_OF(rows); ++late) {
        /* Less than it has, more than those before it have. */
        const int64_t waited_ms = late < COUNT_OF(rows) ? rows[late].patience_ms / 2 : 9000;
        struct jam jam = open_jam(waited_ms);
        uint64_t refused = 0;
        for (size_t i = 0; i < COUNT_OF(rows); ++i) {
            world_post(jam.world, &jam.askers[i], rows[i].target, rows[i].body);
            age(&jam.askers[i], 0);
        }
        step(&jam);
        for (size_t i = 0; i < COUNT_OF(rows); ++i) {
            const bool is_refused = rows[i].patience_ms <= waited_ms;
            assert_int_equal(jam.askers[i].is_answered, is_refused);
            if (is_refused) assert_refused(&jam.askers[i]);
            refused += is_refused;
        }
        world_settle(jam.world);
        for (size_t i = 0; i < COUNT_OF(rows); ++i)
            if (rows[i].patience_ms > waited_ms) assert_int_equal(jam.askers[i].status, 200);
        close_jam(&jam, refused);
    }
}

static void who_was_let_in_is_refused_when_his_patience_is_over(void **state)
{
    (void)state;
    struct jam jam = open_jam(300);
    struct asker *asker = &jam.askers[0];
    world_post(jam.world, asker, "/v1/consume", ONE);
    age(asker, 0);
    step(&jam);
    assert_false(asker->is_answered);
    age(asker, PATIENCE_DEFAULT_MS);
    step(&jam);
    assert_refused(asker);
    assert_int_equal(asker->exchange.answer.header_count, 0);
    close_jam(&jam, 1);
}

static void what_settles_work_is_refused_last(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, policy);
    struct asker *hold = calloc(1, sizeof(*hold));
    char target[128];
    world_do(world, hold, "POST", "/v1/authorize", ONE);
    const char *id = strstr(hold->body, "\"decision_id\":\"");
    assert_non_null(id);
    id += strlen("\"decision_id\":\"");
    (void)snprintf(target, sizeof(target), "/v1/holds/%.*s/commit", (int)strcspn(id, "\""), id);
    struct asker *fillers = calloc(FILLERS, sizeof(*fillers));
    struct asker *commit = calloc(1, sizeof(*commit));
    for (unsigned i = 0; i < FILLERS; ++i) {
        world_post(world, &fillers[i], "/v1/usage", ONE);
        age(&fillers[i], 9000);
    }
    (void)loop_step(world->loop);
    assert_true(world->loop->is_blocked);
    world_post(world, commit, target, "{\"quantities\":{\"requests\":1}}");
    age(commit, 8000);
    world->loop->waited_ns = 0;
    (void)loop_step(world->loop);
    assert_false(commit->is_answered);
    world_settle(world);
    assert_int_equal(commit->status, 200);
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
    free(fillers);
    free(commit);
    free(hold);
}

static void health_and_what_is_wrong_need_no_turn(void **state)
{
    (void)state;
    struct jam jam = open_jam(9000);
    world_ask(jam.world, &jam.askers[0], "GET", "/healthz", "");
    world_ask(jam.world, &jam.askers[1], "POST", "/v1/consume", "{");
    world_ask(jam.world, &jam.askers[2], "GET", "/nowhere", "");
    step(&jam);
    assert_int_equal(jam.askers[0].status, 200);
    assert_int_equal(jam.askers[1].status, 400);
    assert_int_equal(jam.askers[2].status, 404);
    close_jam(&jam, 0);
}

static void without_a_jam_nobody_is_refused_however_late(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, policy);
    struct asker *asker = calloc(1, sizeof(*asker));
    world_post(world, asker, "/v1/authorize", OF_PRIORITY("sheddable"));
    age(asker, 3600000);
    world_settle(world);
    assert_int_equal(asker->status, 200);
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
    free(asker);
}

/* ---- what lay unread */

/* Who has lain unread longer than any patience; how many of them were refused. */
static unsigned refused_unread(struct world *world, struct asker *askers, unsigned count,
                               const char *target, const char *body)
{
    unsigned refused = 0;
    for (unsigned i = 0; i < count; ++i) {
        world_post(world, &askers[i], target, body);
        askers[i].exchange.unread_ns = INT64_C(3600) * 1000000000;
    }
    world_settle(world);
    for (unsigned i = 0; i < count; ++i) {
        if (askers[i].status == 503) assert_refused(&askers[i]);
        assert_true(askers[i].status == 200 || askers[i].status == 503);
        refused += askers[i].status == 503;
    }
    return refused;
}

static void of_what_lay_unread_only_the_sheddable_are_refused(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, policy);
    struct asker *askers = calloc(16, sizeof(*askers));
    assert_int_equal(refused_unread(world, askers, 16, "/v1/consume", ONE), 0);
    assert_int_equal(refused_unread(world, askers, 16, "/v1/authorize", OF_PRIORITY("critical")),
                     0);
    assert_int_equal(refused_unread(world, askers, 16, "/v1/usage", ONE), 0);
    assert_int_equal(refused_unread(world, askers, 16, "/v1/authorize", OF_PRIORITY("sheddable")),
                     16);
    /* As long as the shortest patience, and not a moment less. */
    world_post(world, askers, "/v1/consume", OF_PRIORITY("sheddable"));
    askers->exchange.unread_ns = PATIENCE_SHEDDABLE_MS * INT64_C(1000000) - 1;
    world_settle(world);
    assert_int_equal(askers->status, 200);
    /* What is wrong is told what is wrong. */
    world_post(world, askers, "/v1/consume", "{\"priority\":\"sheddable\"}");
    askers->exchange.unread_ns = INT64_C(3600) * 1000000000;
    world_settle(world);
    assert_int_equal(askers->status, 400);
    assert_int_equal(world->loop->shed[TURN_SHEDDABLE], 16);
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
    free(askers);
}

/* A server that does nothing but refuse does nothing. */
static void where_all_are_sheddable_every_other_is_done(void **state)
{
    (void)state;
    enum { MANY = 3 * REFUSALS_SAVED_MAX };
    struct world *world = world_open(NULL, policy);
    struct asker *askers = calloc(MANY, sizeof(*askers));
    const char *body = OF_PRIORITY("sheddable");
    assert_int_equal(refused_unread(world, askers, MANY, "/v1/authorize", body), MANY / 2);
    /* Whatever was done before, no more than so many may follow each other. */
    for (unsigned i = 0; i < 2; ++i) {
        for (unsigned at = 0; at < MANY; ++at)
            world_post(world, &askers[at], "/v1/authorize", ONE);
        world_settle(world);
    }
    assert_int_equal(refused_unread(world, askers, REFUSALS_SAVED_MAX + 2, "/v1/authorize", body),
                     REFUSALS_SAVED_MAX);
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
    free(askers);
}

/* ---- lines */

/* Asks so many at once, the journal standing still, and says how many were refused. */
static unsigned refused_of(struct world *world, unsigned count, const char *method,
                           const char *target, const char *body)
{
    unsigned refused = 0;
    struct asker *askers = calloc(count, sizeof(*askers));
    assert_non_null(askers);
    for (unsigned i = 0; i < count; ++i)
        world_ask(world, &askers[i], method, target, body);
    (void)loop_step(world->loop);
    for (unsigned i = 0; i < count; ++i) {
        if (!askers[i].is_answered) continue;
        assert_refused(&askers[i]);
        ++refused;
    }
    assert_int_equal(world->loop->turned_away, refused);
    world_settle(world);
    for (unsigned i = 0; i < count; ++i)
        assert_true(askers[i].status == 200 || askers[i].status == 503);
    assert_true(loop_is_idle(world->loop));
    free(askers);
    return refused;
}

static void lines_are_so_long_and_no_longer(void **state)
{
    (void)state;
    enum { BEYOND = 3 };
    static const char *const batch = "{\"operations\":[{\"op\":\"consume\",\"customer\":\"acme\","
                                     "\"feature\":\"chat\",\"quantities\":{\"requests\":1}}]}";
    const struct {
        unsigned served;
        const char *method;
        const char *target;
        const char *body;
    } rows[] = {
  /* A key that is told again needs the desk. */
        {    DESK_JOBS_MAX + WAITING_DESK_MAX, "POST", "/v1/consume",       KEYED},
        {    LOOP_RUNS_MAX + WAITING_RUNS_MAX, "POST",   "/v1/batch",       batch},
        {LOOP_RUNS_MAX + 2 * WAITING_RUNS_MAX, "POST",   "/v1/usage", "[" ONE "]"},
        {            1 + WAITING_POLICIES_MAX,  "PUT",  "/v1/policy",      policy},
    };
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        struct world *world = world_open(NULL, policy);
        struct asker *first = calloc(1, sizeof(*first));
        world_do(world, first, "POST", "/v1/consume", KEYED);
        assert_int_equal(first->status, 200);
        assert_int_equal(refused_of(world, rows[i].served + BEYOND, rows[i].method, rows[i].target,
                                    rows[i].body),
                         BEYOND);
        struct journal *journal = world->journal;
        world_close(world);
        journal->calls->close(journal);
        free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_the_queue_is_late_newcomers_are_refused_by_priority),
        cmocka_unit_test(who_was_let_in_is_refused_when_his_patience_is_over),
        cmocka_unit_test(what_settles_work_is_refused_last),
        cmocka_unit_test(health_and_what_is_wrong_need_no_turn),
        cmocka_unit_test(without_a_jam_nobody_is_refused_however_late),
        cmocka_unit_test(of_what_lay_unread_only_the_sheddable_are_refused),
        cmocka_unit_test(where_all_are_sheddable_every_other_is_done),
        cmocka_unit_test(lines_are_so_long_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
