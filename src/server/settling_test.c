/*
 * settling_test.c: settlement beside the loop, over real files: the four numbers of a balance
 * between a decision and its settling, what a fault of the books does, the threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "platform/testing.h"
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

#define CONSUME "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}"
#define GRANT "{\"category\":\"paid\",\"credits\":\"10\"}"

struct scene {
    struct scratch scratch;
    struct world *world;
    struct settling *settling;
    struct asker *asker;
};

static int open_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct journal *journal = NULL;
    struct ledger_detail detail = {0};
    char journal_detail[256];
    const struct hash_key key = {
        {1, 2}
    };
    assert_non_null(scene);
    scene->scratch = scratch_make();
    assert_int_equal(journal_sqlite_open(scene->scratch.path, key, 1, &journal, journal_detail),
                     JOURNAL_OK);
    scene->settling = calloc(1, sizeof(*scene->settling));
    scene->asker = malloc(sizeof(*scene->asker));
    assert_true(scene->settling != NULL && scene->asker != NULL);
    scene->world = world_open(journal, policy);
    const struct settling_parts parts = {
        .directory = scene->scratch.path, .journal = journal, .customers_max = 1000};
    assert_int_equal(settling_open(scene->settling, &parts, &detail), LEDGER_OK);
    scene->world->journaling->settling = scene->settling;
    scene->world->loop->parts.settling = scene->settling;
    *state = scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    struct journal *journal = scene->world->journal;
    settling_close(scene->settling, 0);
    world_close(scene->world);
    journal->calls->close(journal);
    scratch_remove(&scene->scratch);
    free(scene->settling);
    free(scene->asker);
    free(scene);
    return 0;
}

/* Everything, the books too, until nothing happens. */
static void settle(struct scene *scene)
{
    do {
        world_settle(scene->world);
    } while (settling_step(scene->settling));
}

/* Everything but the books. */
static void go_on(struct scene *scene)
{
    world_settle(scene->world);
}

static void say(struct scene *scene, const char *path, const char *body)
{
    world_post(scene->world, scene->asker, path, body);
    go_on(scene);
    assert_true(scene->asker->is_answered);
}

static void assert_balance(struct scene *scene, const char *numbers)
{
    assert_true(scene->asker->is_answered);
    if (strstr(scene->asker->body, numbers) == NULL)
        print_error("no %s in %s\n", numbers, scene->asker->body);
    assert_non_null(strstr(scene->asker->body, numbers));
}

static void ask_balance(struct scene *scene)
{
    world_ask(scene->world, scene->asker, "GET", "/v1/customers/acme/balance", "");
    go_on(scene);
    assert_false(scene->asker->is_answered); /* the books are asked first */
}

/* Goal: what is decided and not in the books is pending, with its sign turned round.
 * Method: a step of the settler answers who asks before it settles what is new. */
static void what_is_not_settled_is_pending(void **state)
{
    struct scene *scene = *state;
    settle(scene);
    say(scene, "/v1/customers/acme/grants", GRANT);
    ask_balance(scene);
    assert_true(settling_step(scene->settling));
    go_on(scene);
    assert_balance(scene,
                   "\"settled\":\"0\",\"pending\":\"-10\",\"held\":\"0\",\"available\":\"10\"");
    say(scene, "/v1/consume", CONSUME);
    ask_balance(scene);
    assert_true(settling_step(scene->settling));
    go_on(scene);
    assert_balance(scene,
                   "\"settled\":\"10\",\"pending\":\"1\",\"held\":\"0\",\"available\":\"9\"");
    settle(scene);
    ask_balance(scene);
    settle(scene);
    assert_balance(scene, "\"settled\":\"9\",\"pending\":\"0\",\"held\":\"0\",\"available\":\"9\"");
}

/* What is decided between the question to the books and the answer is in the state alone. */
static void what_comes_while_the_books_are_asked_is_pending_too(void **state)
{
    struct scene *scene = *state;
    struct asker *other = malloc(sizeof(*other));
    assert_non_null(other);
    say(scene, "/v1/customers/acme/grants", GRANT);
    settle(scene);
    ask_balance(scene);
    assert_true(settling_step(scene->settling)); /* the head is on its way */
    world_post(scene->world, other, "/v1/consume", CONSUME);
    while (!other->is_answered)
        go_on(scene);
    assert_balance(scene, "\"settled\":\"10\"");
    free(other);
}

static void books_that_cannot_be_written_end_the_acknowledging(void **state)
{
    struct scene *scene = *state;
    settle(scene);
    assert_int_equal(sqlite3_exec(ledger_connection(scene->settling->ledger),
                                  "PRAGMA max_page_count=1", NULL, NULL, NULL),
                     SQLITE_OK);
    for (unsigned i = 0; i < 200 && scene->world->loop->failure == APPEND_NONE; ++i) {
        world_post(scene->world, scene->asker, "/v1/customers/acme/grants", GRANT);
        settle(scene);
        assert_true(scene->asker->is_answered);
    }
    assert_int_not_equal(scene->world->loop->failure, APPEND_NONE);
    say(scene, "/v1/consume", CONSUME);
    assert_int_equal(scene->asker->status, 503);
    assert_non_null(strstr(scene->asker->body, "outcome_unknown"));
    world_ask(scene->world, scene->asker, "GET", "/healthz", "");
    go_on(scene);
    assert_int_equal(scene->asker->status, 503);
    assert_non_null(strstr(scene->asker->body, "\"failed\":\"settlement\""));
}

static void the_threads_settle_all_there_is(void **state)
{
    struct scene *scene = *state;
    assert_true(settling_start_threads(scene->settling));
    for (unsigned i = 0; i < 50; ++i) {
        say(scene, "/v1/customers/acme/grants", GRANT);
        atomic_store(&scene->settling->hurries, i % 2 == 1); /* as if it were far behind */
    }
    const uint64_t durable = scene->world->loop->durable_sequence;
    settling_stop(scene->settling, 30000);
    assert_true(settler_cursor(scene->settling->settler) == durable);
}

static void each_transaction_is_timed_and_its_sync_in_it(void **state)
{
    struct scene *scene = *state;
    say(scene, "/v1/customers/acme/grants", GRANT);
    settle(scene);
    say(scene, "/v1/consume", CONSUME);
    settle(scene);
    const struct latency whole = latency_of_shared(&scene->settling->transactions);
    const struct latency syncs = latency_of_shared(&scene->settling->syncs);
    uint64_t transactions = 0, commits = 0;
    for (uint32_t i = 0; i <= LATENCY_BOUNDS; ++i) {
        transactions += whole.counts[i];
        commits += syncs.counts[i];
    }
    assert_true(transactions >= settler_counts(scene->settling->settler).transactions);
    assert_true(transactions >= 2 && commits == transactions);
    assert_true(syncs.sum_ns > 0 && syncs.sum_ns < whole.sum_ns);
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(what_is_not_settled_is_pending),
        SCENE_TEST(what_comes_while_the_books_are_asked_is_pending_too),
        SCENE_TEST(books_that_cannot_be_written_end_the_acknowledging),
        SCENE_TEST(the_threads_settle_all_there_is),
        SCENE_TEST(each_transaction_is_timed_and_its_sync_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
