/*
 * key_files_test.c: idempotency keys over hours, in the state and in files: the first answer, byte
 * for byte, as long as it is promised, and not a millisecond longer; through races, restarts, full
 * memory and damage. Files are real, time and exchanges are not.
 */
#include <fcntl.h>
#include <stdio.h>

#include "platform/testing.h"
#include "server/key_start.h"
#include "server/recovery.h"
#include "server/world.h"

#define POLICY_OF(retention)                                                            \
    "version: 1\n"                                                                      \
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: " retention "}\n"     \
    "features:\n"                                                                       \
    "  chat: {meters: [requests], unit: requests, divisible: true}\n"                   \
    "  paid: {meters: [requests], unit: requests, divisible: true, prices: paid}\n"     \
    "prices:\n"                                                                         \
    "  paid: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"          \
    "plans:\n"                                                                          \
    "  free:\n"                                                                         \
    "    features:\n"                                                                   \
    "      chat:\n"                                                                     \
    "        waterfall:\n"                                                              \
    "          - allowance: {name: all, windows: [{limit: 9000000, per: month, start: " \
    "calendar}]}\n"                                                                     \
    "      paid: {waterfall: [grants: {category: paid}]}\n"
static const char *const POLICY = POLICY_OF("24h");
static const char *const POLICY_OF_A_WEEK = POLICY_OF("7d");

struct fixture {
    struct scratch *scratch; /* its path is used where it is */
    struct engine_ceilings ceilings;
    uint64_t snapshot_bytes; /* of journal between two snapshots */
    struct world *world;
    struct asker *asker;
};

static struct engine_ceilings ceilings_of(uint32_t keys)
{
    struct engine_ceilings ceilings = engine_ceilings_for((uint64_t)16 << 20);
    ceilings.keys = keys;
    return ceilings;
}

static struct fixture open_snapshotting(uint32_t keys, uint64_t snapshot_bytes)
{
    struct fixture f = {.scratch = malloc(sizeof(*f.scratch)),
                        .ceilings = ceilings_of(keys),
                        .snapshot_bytes = snapshot_bytes,
                        .asker = malloc(sizeof(*f.asker))};
    assert_true(f.scratch != NULL && f.asker != NULL);
    *f.scratch = scratch_make();
    f.world = world_open_snapshotting(NULL, POLICY, f.ceilings, f.scratch->path, f.snapshot_bytes);
    return f;
}

static struct fixture open_fixture(uint32_t keys)
{
    return open_snapshotting(keys, UINT64_MAX);
}

/* As after kill -9: what is durable is there, and nothing else. Time goes on: no journal knows of
 * moments in which nothing happened. */
static void restart(struct fixture *f)
{
    struct journal *journal = f->world->journal;
    const int64_t now_ms = clock_now_ms(&f->world->clock);
    world_close(f->world);
    journal_memory_reopen(journal, 2);
    f->world =
        world_open_snapshotting(journal, NULL, f->ceilings, f->scratch->path, f->snapshot_bytes);
    const bool goes_on = clock_test_set(&f->world->clock, now_ms);
    assert_true(goes_on);
}

static void close_fixture(struct fixture *f)
{
    struct journal *journal = f->world->journal;
    world_close(f->world);
    journal->calls->close(journal);
    free(f->asker);
    scratch_remove(f->scratch);
    free(f->scratch);
}

static void keep(char *copy_out, size_t size, const char *text)
{
    assert_true(strlen(text) < size);
    memcpy(copy_out, text, strlen(text) + 1);
}

static void advance(struct fixture *f, int64_t ms)
{
    char body[64];
    (void)snprintf(body, sizeof(body), "{\"advance_ms\":%lld}", (long long)ms);
    world_do(f->world, f->asker, "POST", "/v1/clock", body);
    assert_int_equal(f->asker->status, 200);
}

/* In steps of half an hour, so that every hour's file is written. */
static void live_on(struct fixture *f, int64_t ms)
{
    for (; ms > 0; ms -= HOUR_MS / 2)
        advance(f, ms < HOUR_MS / 2 ? ms : HOUR_MS / 2);
}

static void consume_body(char body[256], const char *key, unsigned requests)
{
    (void)snprintf(body, 256,
                   "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":%u},"
                   "\"idempotency_key\":\"%s\"}",
                   requests, key);
}

static const char *consume(struct fixture *f, const char *key, unsigned requests)
{
    char body[256];
    consume_body(body, key, requests);
    world_do(f->world, f->asker, "POST", "/v1/consume", body);
    return f->asker->body;
}

static const char *post(struct fixture *f, const char *target, const char *body)
{
    world_do(f->world, f->asker, "POST", target, body);
    return f->asker->body;
}

static uint32_t hot_keys(const struct fixture *f)
{
    return engine_counts(f->world->engine).keys;
}

static uint32_t key_files(const struct fixture *f)
{
    return keys_status(f->world->keys).files;
}

static void assert_says(const char *body, const char *text)
{
    if (strstr(body, text) != NULL) return;
    print_error("expected %s in: %s\n", text, body);
    fail();
}

/* The first "name":"..." of the last answer. */
static void value_of(const struct fixture *f, const char *name, char value_out[64])
{
    char pattern[64];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
    const char *found = strstr(f->asker->body, pattern);
    assert_non_null(found);
    found += strlen(pattern);
    (void)snprintf(value_out, 64, "%.*s", (int)strcspn(found, "\""), found);
}

/* ---- time */

static void a_key_counts_to_the_millisecond_wherever_it_is(void **state)
{
    (void)state;
    static const struct {
        int64_t after_ms;
        bool is_kept;
        bool is_filed;
    } rows[] = {
        {              1,  true, false},
        { 59 * MINUTE_MS,  true, false},
        { 61 * MINUTE_MS,  true, false},
        {121 * MINUTE_MS,  true,  true},
        {   23 * HOUR_MS,  true,  true},
        {     DAY_MS - 1,  true,  true},
        {         DAY_MS, false,  true},
        {     DAY_MS + 1, false,  true}
    };
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        struct fixture f = open_fixture(4096);
        char first[1024];
        keep(first, sizeof(first), consume(&f, "k", 2));
        assert_int_equal(f.asker->status, 200);
        live_on(&f, rows[i].after_ms);
        if (rows[i].is_kept) assert_int_equal(hot_keys(&f), !rows[i].is_filed);
        (void)consume(&f, "k", 3);
        assert_int_equal(f.asker->status, rows[i].is_kept ? 409 : 200);
        if (rows[i].is_kept) assert_says(f.asker->body, "\"idempotency_conflict\"");
        (void)consume(&f, "k", rows[i].is_kept ? 2 : 3);
        assert_int_equal(f.asker->status, 200);
        assert_int_equal(strcmp(f.asker->body, first) == 0, rows[i].is_kept);
        close_fixture(&f);
    }
}

static void files_come_by_the_hour_and_go_when_all_in_them_is_over(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char key[16];
    for (int hour = 0; hour < 48; ++hour) {
        (void)snprintf(key, sizeof(key), "h%d", hour);
        (void)consume(&f, key, 1);
        live_on(&f, HOUR_MS);
        assert_in_range(hot_keys(&f), 0, 2);
        assert_in_range(key_files(&f), 0, 25);
    }
    assert_in_range(key_files(&f), 20, 25);
    live_on(&f, 27 * HOUR_MS);
    assert_int_equal(hot_keys(&f), 0);
    assert_int_equal(key_files(&f), 0);
    char path[FILE_PATH_SIZE];
    assert_true(file_path(f.scratch->path, "keys-000001.weir", path));
    assert_int_not_equal(access(path, F_OK), 0);
    close_fixture(&f);
}

static void a_hold_keeps_its_keys_until_it_ends_and_a_day_more(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    static const char hold[] = "{\"customer\":\"acme\",\"feature\":\"chat\",\"ttl_ms\":2592000000,"
                               "\"quantities\":{\"requests\":1},\"idempotency_key\":\"h\"}";
    char first[1024];
    char extended[1024];
    char id[64];
    char target[128];
    keep(first, sizeof(first), post(&f, "/v1/authorize", hold));
    value_of(&f, "decision_id", id);
    (void)snprintf(target, sizeof(target), "/v1/holds/%s/extend", id);
    keep(extended, sizeof(extended), post(&f, target, "{\"idempotency_key\":\"e\"}"));
    assert_int_equal(f.asker->status, 200);
    live_on(&f, 29 * DAY_MS);
    assert_int_equal(hot_keys(&f), 2); /* no file has them while the hold is open */
    assert_string_equal(post(&f, "/v1/authorize", hold), first);
    assert_string_equal(post(&f, target, "{\"idempotency_key\":\"e\"}"), extended);
    char commit[128];
    (void)snprintf(commit, sizeof(commit), "/v1/holds/%s/commit", id);
    (void)post(&f, commit, "{\"quantities\":{\"requests\":1}}");
    assert_int_equal(f.asker->status, 200);
    live_on(&f, DAY_MS - 1);
    assert_int_equal(hot_keys(&f), 0);
    assert_string_equal(post(&f, "/v1/authorize", hold), first);
    assert_string_equal(post(&f, target, "{\"idempotency_key\":\"e\"}"), extended);
    advance(&f, 1);
    assert_string_not_equal(post(&f, "/v1/authorize", hold), first);
    assert_int_equal(f.asker->status, 200);
    close_fixture(&f);
}

static void the_retention_is_that_of_the_decision(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char day[1024];
    char week[1024];
    keep(day, sizeof(day), consume(&f, "day", 1));
    world_do(f.world, f.asker, "PUT", "/v1/policy", POLICY_OF_A_WEEK);
    assert_int_equal(f.asker->status, 200);
    keep(week, sizeof(week), consume(&f, "week", 1));
    live_on(&f, DAY_MS - 1);
    assert_string_equal(consume(&f, "day", 1), day);
    live_on(&f, 1);
    assert_string_not_equal(consume(&f, "day", 1), day);
    world_do(f.world, f.asker, "PUT", "/v1/policy", POLICY);
    live_on(&f, 6 * DAY_MS - 1);
    assert_int_equal(hot_keys(&f), 0);
    assert_string_equal(consume(&f, "week", 1), week);
    live_on(&f, 1);
    assert_string_not_equal(consume(&f, "week", 1), week);
    close_fixture(&f);
}

/* ---- every call that takes a key */

static void every_keyed_call_is_answered_again_from_a_file(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char refund[128];
    char id[64];
    static const char use[] = "{\"customer\":\"acme\",\"feature\":\"%s\",\"quantities\":"
                              "{\"requests\":%u},\"idempotency_key\":\"%s\"}";
    struct {
        const char *target;
        char body[256];
        char other[256];
        char first[2048];
    } calls[] = {
        {"/v1/customers/acme/grants",
         "{\"category\":\"paid\",\"credits\":\"5\",\"idempotency_key\":\"g\"}","{\"category\":\"paid\",\"credits\":\"6\",\"idempotency_key\":\"g\"}", ""                                                                                      },
        {              "/v1/consume",                                              "",                                                                    "", ""},
        {                "/v1/usage",                                              "",                                                                    "", ""},
        {                     refund, "{\"credits\":\"1\",\"idempotency_key\":\"r\"}",
         "{\"credits\":\"0.5\",\"idempotency_key\":\"r\"}", ""                                                                                                  },
    };
    (void)snprintf(calls[1].body, 256, use, "paid", 2, "c");
    (void)snprintf(calls[1].other, 256, use, "paid", 1, "c");
    (void)snprintf(calls[2].body, 256, use, "chat", 2, "u");
    (void)snprintf(calls[2].other, 256, use, "chat", 1, "u");
    for (size_t i = 0; i < COUNT_OF(calls); ++i) {
        keep(calls[i].first, sizeof(calls[i].first), post(&f, calls[i].target, calls[i].body));
        assert_int_equal(f.asker->status, 200);
        if (i != 1) continue;
        value_of(&f, "decision_id", id);
        (void)snprintf(refund, sizeof(refund), "/v1/decisions/%s/refund", id);
    }
    live_on(&f, 3 * HOUR_MS);
    assert_int_equal(hot_keys(&f), 0);
    const uint64_t entries = f.world->journal->tip.sequence;
    for (size_t i = 0; i < COUNT_OF(calls); ++i) {
        assert_string_equal(post(&f, calls[i].target, calls[i].body), calls[i].first);
        (void)post(&f, calls[i].target, calls[i].other);
        assert_int_equal(f.asker->status, 409);
    }
    /* In a batch and in a list, twice in each: each time the first answer. */
    char block[2048];
    struct buffer batch = buffer_over(block, sizeof(block));
    const char *const operations[] = {"{\"operations\":[{\"op\":\"consume\",",
                                      calls[1].body + 1,
                                      ",{\"op\":\"usage\",",
                                      calls[2].body + 1,
                                      ",{\"op\":\"consume\",",
                                      calls[1].other + 1,
                                      "]}"};
    for (size_t i = 0; i < COUNT_OF(operations); ++i)
        buffer_put_text(&batch, operations[i]);
    buffer_put_byte(&batch, 0);
    (void)post(&f, "/v1/batch", block);
    assert_int_equal(f.asker->status, 200);
    assert_says(f.asker->body, calls[1].first);
    assert_says(f.asker->body, calls[2].first);
    assert_says(f.asker->body, "\"idempotency_conflict\"");
    batch = buffer_over(block, sizeof(block));
    const char *const list[] = {"[", calls[2].body, ",", calls[2].body, "]"};
    for (size_t i = 0; i < COUNT_OF(list); ++i)
        buffer_put_text(&batch, list[i]);
    buffer_put_byte(&batch, 0);
    (void)post(&f, "/v1/usage", block);
    const char *usage = strstr(f.asker->body, calls[2].first);
    assert_non_null(usage);
    assert_says(usage + strlen(calls[2].first), calls[2].first);
    assert_int_equal(f.world->journal->tip.sequence, entries); /* none of it made a fact */
    close_fixture(&f);
}

static void a_denial_binds_no_key_and_a_check_asks_for_none(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    (void)consume(&f, "k", 9000001);
    assert_says(f.asker->body, "\"outcome\":\"deny\"");
    live_on(&f, 3 * HOUR_MS);
    assert_int_equal(key_files(&f), 0);
    (void)consume(&f, "k", 5);
    assert_says(f.asker->body, "\"outcome\":\"allow\"");
    live_on(&f, 3 * HOUR_MS);
    char body[256];
    consume_body(body, "k", 7);
    (void)post(&f, "/v1/check", body);
    assert_int_equal(f.asker->status, 200);
    assert_says(f.asker->body, "\"outcome\":\"allow\"");
    close_fixture(&f);
}

/* ---- races */

/* Steps the loop alone until the stage; the desk one order at a time. */
static void step_to(struct fixture *f, enum filing_stage stage)
{
    for (int i = 0; f->world->loop->filing.stage != stage; ++i) {
        assert_in_range(i, 0, 1000);
        (void)loop_step(f->world->loop);
        if (f->world->loop->filing.stage != stage) (void)desk_step(f->world->desk);
    }
}

static void a_key_on_its_way_to_a_file_is_answered_at_every_step(void **state)
{
    (void)state;
    static const enum filing_stage stages[] = {FILING_COUNT, FILING_LIST, FILING_WRITE,
                                               FILING_WRITE};
    for (size_t i = 0; i < COUNT_OF(stages); ++i) {
        for (int is_killed = 0; is_killed < 2; ++is_killed) {
            struct fixture f = open_fixture(4096);
            char first[1024];
            keep(first, sizeof(first), consume(&f, "k", 1));
            live_on(&f, HOUR_MS);
            const bool has_moved =
                clock_test_set(&f.world->clock, clock_now_ms(&f.world->clock) + HOUR_MS);
            assert_true(has_moved);
            step_to(&f, stages[i]);
            if (i == 3) assert_true(desk_step(f.world->desk)); /* it stands, and is not asked yet */
            if (is_killed) restart(&f);
            assert_string_equal(consume(&f, "k", 1), first);
            (void)consume(&f, "k", 2);
            assert_int_equal(f.asker->status, 409);
            live_on(&f, 3 * HOUR_MS);
            assert_int_equal(hot_keys(&f), 0);
            assert_string_equal(consume(&f, "k", 1), first);
            restart(&f);
            assert_string_equal(consume(&f, "k", 1), first);
            close_fixture(&f);
        }
    }
}

/* The desk looked before the key came to its file: what it said is not the last word. */
static void an_answer_from_before_a_file_asks_that_file(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char first[1024];
    char body[256];
    keep(first, sizeof(first), consume(&f, "k", 1));
    live_on(&f, 3 * HOUR_MS);
    assert_int_equal(hot_keys(&f), 0);
    consume_body(body, "k", 1);
    world_ask(f.world, f.asker, "POST", "/v1/consume", body);
    (void)loop_step(f.world->loop); /* parked: its question is with the desk */
    const struct key_question question = f.world->loop->key_question;
    (void)desk_step(f.world->desk);
    struct asker *late = malloc(sizeof(*late));
    world_ask(f.world, late, "POST", "/v1/consume", body);
    late->exchange.key = (struct key_answer){
        .found = KEY_LOOK_ABSENT, .hash = question.hash, .through = question.through - 1};
    world_settle(f.world);
    assert_true(f.asker->is_answered && late->is_answered);
    assert_string_equal(f.asker->body, first);
    assert_string_equal(late->body, first);
    free(late);
    close_fixture(&f);
}

/* While the question waits, its file ends: the look comes before the drop, and what was found is
 * over. */
static void a_file_that_goes_while_it_is_asked_is_still_read(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char first[1024];
    char body[256];
    keep(first, sizeof(first), consume(&f, "k", 1));
    live_on(&f, DAY_MS - 1);
    consume_body(body, "k", 1);
    world_ask(f.world, f.asker, "POST", "/v1/consume", body);
    (void)loop_step(f.world->loop);
    assert_int_equal(f.world->loop->key_looks, 1);
    const bool has_moved =
        clock_test_set(&f.world->clock, clock_now_ms(&f.world->clock) + MINUTE_MS);
    assert_true(has_moved);
    (void)loop_step(f.world->loop);
    assert_int_equal(f.world->loop->filing.stage, FILING_DROP);
    world_settle(f.world);
    assert_true(f.asker->is_answered);
    assert_int_equal(f.asker->status, 200);
    assert_string_not_equal(f.asker->body, first);
    assert_int_equal(key_files(&f), 0);
    close_fixture(&f);
}

static void more_looks_than_the_desk_takes_wait_their_turn(void **state)
{
    (void)state;
    enum { ASKERS = 3 * KEY_LOOKS_MAX };
    struct fixture f = open_fixture(4096);
    char first[1024];
    char body[256];
    keep(first, sizeof(first), consume(&f, "k", 1));
    live_on(&f, 3 * HOUR_MS);
    struct asker *askers = malloc(ASKERS * sizeof(*askers));
    consume_body(body, "k", 1);
    for (int i = 0; i < ASKERS; ++i)
        world_ask(f.world, &askers[i], "POST", "/v1/consume", body);
    world_settle(f.world);
    for (int i = 0; i < ASKERS; ++i) {
        assert_true(askers[i].is_answered);
        assert_string_equal(askers[i].body, first);
    }
    free(askers);
    close_fixture(&f);
}

static void who_waits_for_a_look_has_one_though_all_before_him_have_left(void **state)
{
    (void)state;
    enum { SAME = 2 * KEY_LOOKS_MAX, ASKERS = SAME + 1 };
    struct fixture f = open_fixture(4096);
    char body[256];
    (void)consume(&f, "k", 1);
    live_on(&f, 3 * HOUR_MS);
    struct asker *askers = calloc(ASKERS, sizeof(*askers));
    assert_non_null(askers);
    consume_body(body, "k", 1);
    for (int i = 0; i < ASKERS; ++i)
        world_ask(f.world, &askers[i], "POST", "/v1/consume", body);
    (void)loop_step(f.world->loop);
    assert_int_equal(f.world->loop->key_waiting.count, ASKERS - KEY_LOOKS_MAX);
    for (int i = KEY_LOOKS_MAX; i < SAME; ++i)
        world_leave(&askers[i]);
    world_settle(f.world);
    assert_true(askers[ASKERS - 1].is_answered);
    assert_int_equal(askers[ASKERS - 1].status, 200);
    free(askers);
    close_fixture(&f);
}

static void the_line_for_looks_is_so_long_and_no_longer(void **state)
{
    (void)state;
    enum { SERVED = KEY_LOOKS_MAX + WAITING_KEYS_MAX, BEYOND = 3 };
    struct fixture f = open_fixture(4096);
    char body[256];
    (void)consume(&f, "k", 1);
    live_on(&f, 3 * HOUR_MS);
    struct asker *askers = calloc(SERVED + BEYOND, sizeof(*askers));
    assert_non_null(askers);
    consume_body(body, "k", 1);
    for (int i = 0; i < SERVED + BEYOND; ++i)
        world_ask(f.world, &askers[i], "POST", "/v1/consume", body);
    world_settle(f.world);
    for (int i = 0; i < SERVED + BEYOND; ++i)
        assert_int_equal(askers[i].status, i < SERVED ? 200 : 503);
    assert_non_null(strstr(askers[SERVED].body, "\"code\":\"overloaded\""));
    free(askers);
    close_fixture(&f);
}

/* ---- memory */

static void a_day_of_keys_passes_through_a_small_state(void **state)
{
    (void)state;
    enum { KEYS = 3000, ROOM = 256 };
    struct fixture f = open_fixture(ROOM);
    char(*answers)[512] = calloc(KEYS, sizeof(*answers));
    char key[16];
    for (int i = 0; i < KEYS; ++i) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        keep(answers[i], sizeof(answers[i]), consume(&f, key, 1));
        assert_int_equal(f.asker->status, 200);
        assert_in_range(hot_keys(&f), 0, ROOM);
    }
    for (int restarts = 0; restarts < 2; ++restarts) {
        for (int i = 0; i < KEYS; ++i) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            assert_string_equal(consume(&f, key, 1), answers[i]);
        }
        restart(&f); /* the journal has more keys than the state has room for */
    }
    free(answers);
    close_fixture(&f);
}

static void full_filters_refuse_new_keys_and_nothing_else(void **state)
{
    (void)state;
    enum { ROOM = 256 };
    struct fixture f = open_fixture(ROOM);
    char key[16];
    char first[1024];
    int taken = 0;
    keep(first, sizeof(first), consume(&f, "k", 1));
    f.world->keys = keys_over(f.world->keys, (struct keys_parts){.directory = f.scratch->path,
                                                                 .memory_max = 0,
                                                                 .piece = filing_piece(ROOM)});
    for (; taken < 2 * ROOM; ++taken) {
        (void)snprintf(key, sizeof(key), "k%d", taken);
        (void)consume(&f, key, 1);
        if (f.asker->status != 200) break;
    }
    assert_int_equal(taken, ROOM - 1);
    assert_int_equal(f.asker->status, 503);
    assert_says(f.asker->body, "\"capacity\"");
    assert_string_equal(consume(&f, "k", 1), first);
    (void)post(&f, "/v1/consume",
               "{\"customer\":\"new\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    assert_int_equal(f.asker->status, 200);
    live_on(&f, DAY_MS);
    (void)consume(&f, key, 1);
    assert_int_equal(f.asker->status, 200);
    close_fixture(&f);
}

/* ---- damage */

static void keys_of_damaged_and_missing_files_come_back_from_the_journal(void **state)
{
    (void)state;
    enum { KEYS = 50 };
    struct fixture f = open_fixture(4096);
    char answers[KEYS][512];
    char key[16];
    char path[FILE_PATH_SIZE];
    for (int i = 0; i < KEYS; ++i) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        keep(answers[i], sizeof(answers[i]), consume(&f, key, 1));
        if (i % 10 == 0) live_on(&f, HOUR_MS);
    }
    live_on(&f, 2 * HOUR_MS);
    assert_int_equal(hot_keys(&f), 0);
    assert_true(file_path(f.scratch->path, "keys-000002.weir", path));
    assert_int_equal(truncate(path, 5000), 0);
    assert_true(file_path(f.scratch->path, "keys-000003.weir", path));
    assert_int_equal(unlink(path), 0);
    restart(&f);
    assert_in_range(f.world->told_of_keys, 3, 4); /* two files, a stranger, what was done */
    for (int i = 0; i < KEYS; ++i) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_string_equal(consume(&f, key, 1), answers[i]);
    }
    live_on(&f, 3 * HOUR_MS);
    restart(&f);
    assert_int_equal(f.world->told_of_keys, 1); /* the one cut off lies there still */
    for (int i = 0; i < KEYS; ++i) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_string_equal(consume(&f, key, 1), answers[i]);
    }
    close_fixture(&f);
}

static int64_t now_of(const struct fixture *f)
{
    return f->world->loop->now_ms;
}

/* Keys of calls, of a hold that has ended and of one that has not: all of it without a list. */
static void a_missing_list_is_made_again_from_the_journal(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    static const char *const holds[] = {
        "{\"customer\":\"acme\",\"feature\":\"chat\",\"ttl_ms\":864000000,"
        "\"quantities\":{\"requests\":1},\"idempotency_key\":\"open\"}",
        "{\"customer\":\"acme\",\"feature\":\"chat\",\"ttl_ms\":864000000,"
        "\"quantities\":{\"requests\":1},\"idempotency_key\":\"ended\"}"};
    char first[3][1024];
    char id[64];
    char target[128];
    char list[FILE_PATH_SIZE];
    assert_true(file_path(f.scratch->path, "keys.weir", list));
    for (int i = 0; i < 2; ++i) {
        keep(first[i], sizeof(first[i]), post(&f, "/v1/authorize", holds[i]));
        value_of(&f, "decision_id", id);
    }
    live_on(&f, 5 * DAY_MS);
    (void)snprintf(target, sizeof(target), "/v1/holds/%s/commit", id);
    (void)post(&f, target, "{\"quantities\":{\"requests\":1}}");
    assert_int_equal(f.asker->status, 200);
    keep(first[2], sizeof(first[2]), consume(&f, "k", 1));
    (void)consume(&f, "over", 1);
    live_on(&f, 3 * HOUR_MS);
    assert_int_equal(keys_status(f.world->keys).kept, 3);
    assert_int_equal(unlink(list), 0);
    restart(&f);
    assert_int_equal(keys_status(f.world->keys).kept, 3);
    for (int i = 0; i < 2; ++i)
        assert_string_equal(post(&f, "/v1/authorize", holds[i]), first[i]);
    assert_string_equal(consume(&f, "k", 1), first[2]);
    live_on(&f, 21 * HOUR_MS);
    assert_string_equal(post(&f, "/v1/authorize", holds[0]), first[0]);
    assert_string_not_equal(post(&f, "/v1/authorize", holds[1]), first[1]);
    assert_string_not_equal(consume(&f, "k", 1), first[2]);
    close_fixture(&f);
}

static bool go_on(void *self, uint64_t sequence, uint64_t sequence_last)
{
    (void)self;
    return sequence <= sequence_last;
}

static void be_told(void *self, const char *text)
{
    (void)self;
    (void)text;
}

/* The directory's files once more, beside the server. */
static struct keys *make_keys(const struct fixture *f)
{
    struct batch_header genesis;
    struct bytes body;
    struct journal *journal = f->world->journal;
    struct keys_parts parts = {
        .directory = f->scratch->path, .memory_max = 1 << 20, .piece = filing_piece(0)};
    assert_int_equal(journal->calls->read(journal, 1, &genesis, &body), JOURNAL_OK);
    memcpy(parts.genesis.byte, genesis.hash.byte, sizeof(parts.genesis.byte));
    return keys_over(memory_reserve(keys_bytes(parts.piece)), parts);
}

static struct key_start start_of(const struct fixture *f)
{
    return (struct key_start){.journal = f->world->journal,
                              .keys = make_keys(f),
                              .now_ms = now_of(f),
                              .scratch = malloc(sizeof(struct fact)),
                              .tell = be_told};
}

static void end_start(const struct key_start *start)
{
    keys_close(start->keys);
    memory_release(start->keys, keys_bytes(filing_piece(0)));
    free(start->scratch);
}

/* Over a journal that begins later. */
static bool start_over(const struct fixture *f, uint64_t first,
                       char detail_out[KEY_START_DETAIL_SIZE])
{
    const struct key_start start = start_of(f);
    struct journal *journal = f->world->journal;
    const uint64_t first_before = journal->first;
    journal->first = first;
    const bool is_open = key_start(&start, detail_out);
    journal->first = first_before;
    end_start(&start);
    return is_open;
}

/* The list of an hour ago, beside a snapshot that counts on the one after it. */
static void an_older_list_is_refused_beside_a_snapshot(void **state)
{
    (void)state;
    struct fixture f = open_snapshotting(4096, 2000);
    char list[FILE_PATH_SIZE];
    char older[FILE_PATH_SIZE];
    char aside[FILE_PATH_SIZE];
    char first[1024];
    char key[16];
    assert_true(file_path(f.scratch->path, "keys.weir", list));
    assert_true(file_path(f.scratch->path, "older", older));
    assert_true(file_path(f.scratch->path, "aside", aside));
    assert_int_equal(link(list, older), 0);
    keep(first, sizeof(first), consume(&f, "k", 1));
    live_on(&f, 3 * HOUR_MS);
    for (int i = 0; i < 40; ++i) { /* a snapshot, by then */
        (void)snprintf(key, sizeof(key), "later%d", i);
        (void)consume(&f, key, 1);
    }
    restart(&f);
    assert_true(f.world->recovered.snapshot > 0);
    assert_string_equal(consume(&f, "k", 1), first);

    assert_int_equal(rename(list, aside), 0);
    assert_int_equal(rename(older, list), 0);
    struct recovery recovery;
    struct recovery_scratch *scratch = calloc(1, sizeof(*scratch));
    assert_non_null(scratch);
    char detail[KEY_START_DETAIL_SIZE];
    const struct key_start start = start_of(&f);
    assert_true(key_start(&start, detail)); /* by itself it is a list */
    const struct recovery_parts parts = {.journal = f.world->journal,
                                         .engine = f.world->engine,
                                         .ceilings = f.ceilings,
                                         .policies = f.world->policies,
                                         .keys = start.keys,
                                         .scratch = scratch,
                                         .directory = f.scratch->path,
                                         .progress = go_on};
    memory_clear(f.world->engine, engine_bytes(f.ceilings));
    (void)engine_over(f.world->engine, f.ceilings, f.world->journal->key);
    assert_int_equal(recovery_run(&parts, &recovery), RECOVERY_FAILED);
    assert_says(recovery.detail, "keys.weir is an older list");
    end_start(&start);
    free(scratch);

    assert_int_equal(unlink(list), 0); /* moved away, as it says */
    restart(&f);
    assert_string_equal(consume(&f, "k", 1), first);
    restart(&f);
    assert_string_equal(consume(&f, "k", 1), first);
    close_fixture(&f);
}

static void what_the_journal_no_longer_holds_is_refused_by_name(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char detail[KEY_START_DETAIL_SIZE];
    char path[FILE_PATH_SIZE];
    (void)consume(&f, "k", 1);
    live_on(&f, 3 * HOUR_MS);
    (void)consume(&f, "l", 1);
    assert_true(start_over(&f, 2, detail));
    assert_true(file_path(f.scratch->path, "keys-000001.weir", path));
    assert_int_equal(truncate(path, 100), 0);
    assert_false(start_over(&f, f.world->journal->tip.sequence, detail));
    assert_says(detail, "keys-000001.weir: its keys cannot be taken from the journal");
    assert_says(detail, "start again after 2026-05-02T12:00:00");
    assert_true(start_over(&f, 2, detail));
    close_fixture(&f);
}

static void a_file_that_rots_under_the_server_gives_no_answer_at_all(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    char path[FILE_PATH_SIZE];
    (void)consume(&f, "k", 1);
    live_on(&f, 3 * HOUR_MS);
    assert_true(file_path(f.scratch->path, "keys-000001.weir", path));
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 4096 + 30), 1);
    assert_int_equal(close(fd), 0);
    (void)consume(&f, "k", 1);
    assert_int_equal(f.asker->status, 500);
    (void)consume(&f, "other", 1);
    assert_int_equal(f.asker->status, 200);
    close_fixture(&f);
}

/* A file that is whole to the last bit, in which a key has this position. */
static void put_misplaced(struct fixture *f, struct kept_key kept, uint64_t position)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    struct keys *keys = f->world->keys;
    kept.position = position; /* the latest of a key's counts */
    assert_true(keys_plan(keys, 1, now_of(f), 1));
    keys_piece(keys)[0] = kept;
    assert_int_equal(keys_write(keys, 1, 0, UINT64_MAX, detail), KEY_FILE_OK);
    assert_int_equal(keys_write_end(keys, detail), KEY_FILE_OK);
    keys_show(keys);
}

static uint64_t position_of(const char *answer)
{
    uint64_t position = 0;
    const char *id = strstr(answer, "\"decision_id\":\"");
    assert_non_null(id);
    id += strlen("\"decision_id\":\"");
    assert_true(id_parse('d', (struct bytes){(const uint8_t *)id, strcspn(id, "\"")}, &position));
    return position;
}

/* Another's entry, none of its batch, none of the journal: what names them is answered nothing, and
 * decided no second time. */
static void a_key_that_names_an_entry_not_its_own_gets_no_answer(void **state)
{
    (void)state;
    struct fixture f = open_fixture(4096);
    struct kept_key kept;
    char other[1024];
    char health[64];
    (void)consume(&f, "k", 1);
    live_on(&f, 3 * HOUR_MS);
    assert_int_equal(key_file_first(keys_file(f.world->keys, 0), 0, &kept), KEY_FILE_OK);
    keep(other, sizeof(other), consume(&f, "other", 1));
    const uint64_t position = position_of(other);
    const uint64_t positions[] = {position, position + 9,
                                  position_make(position_sequence(position) + 99, 0)};
    for (unsigned i = 0; i < COUNT_OF(positions); ++i) {
        put_misplaced(&f, kept, positions[i]);
        const uint64_t tip = f.world->journal->tip.sequence;
        (void)consume(&f, "k", 1);
        assert_int_equal(f.asker->status, 500);
        assert_null(strstr(f.asker->body, "decision_id"));
        assert_int_equal(f.world->journal->tip.sequence, tip);
        assert_string_equal(consume(&f, "other", 1), other);
        world_do(f.world, f.asker, "GET", "/healthz", "");
        (void)snprintf(health, sizeof(health), "\"damage\":{\"batches\":0,\"batch\":0,\"keys\":%u}",
                       i + 1);
        assert_says(f.asker->body, health);
        assert_says(f.asker->body, "\"conditions\":[\"keys_damaged\"]");
    }
    close_fixture(&f);
}

/* ---- a model */

enum { NAMES = 60, MODEL_STEPS = 4000 };

struct remembered {
    bool is_bound;
    bool waits; /* for its hold, which expires at until_ms */
    unsigned requests;
    bool is_hold;
    int64_t until_ms;
    char answer[700];
    char id[64];
};

static void model_body(char body[320], unsigned name, unsigned requests, bool is_hold)
{
    (void)snprintf(body, 320,
                   "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":%u},"
                   "\"idempotency_key\":\"n%u\"%s}",
                   requests, name, is_hold ? ",\"ttl_ms\":72000000" : "");
}

static void model_ask(struct fixture *f, struct remembered *names, struct prng *prng)
{
    const int64_t now_ms = clock_now_ms(&f->world->clock);
    const unsigned name = (unsigned)prng_below(prng, NAMES);
    const unsigned requests = 1 + (unsigned)prng_below(prng, 2);
    const bool is_hold = prng_below(prng, 4) == 0;
    struct remembered *one = &names[name];
    char body[320];
    model_body(body, name, requests, is_hold);
    (void)post(f, is_hold ? "/v1/authorize" : "/v1/consume", body);
    const bool is_kept = one->is_bound && (one->waits || now_ms < one->until_ms);
    if (is_kept && (one->requests != requests || one->is_hold != is_hold)) {
        assert_int_equal(f->asker->status, 409);
        return;
    }
    assert_int_equal(f->asker->status, 200);
    if (is_kept) {
        assert_string_equal(f->asker->body, one->answer);
        return;
    }
    *one = (struct remembered){.is_bound = true,
                               .waits = is_hold,
                               .requests = requests,
                               .is_hold = is_hold,
                               .until_ms = now_ms + (is_hold ? 20 * HOUR_MS : DAY_MS)};
    keep(one->answer, sizeof(one->answer), f->asker->body);
    value_of(f, "decision_id", one->id);
    for (unsigned i = 0; i < NAMES; ++i) /* no two names have one answer */
        assert_true(i == name || !names[i].is_bound || strcmp(names[i].answer, one->answer) != 0);
}

static void model_end_hold(struct fixture *f, struct remembered *names, struct prng *prng)
{
    struct remembered *one = &names[prng_below(prng, NAMES)];
    char target[128];
    if (!one->waits) return;
    (void)snprintf(target, sizeof(target), "/v1/holds/%s/commit", one->id);
    (void)post(f, target, "{\"quantities\":{\"requests\":1}}");
    assert_int_equal(f->asker->status, 200);
    one->waits = false;
    one->until_ms = clock_now_ms(&f->world->clock) + DAY_MS;
}

/* Holds expire when the clock passes their end, and as of then. */
static void model_advance(struct fixture *f, struct remembered *names, int64_t ms)
{
    advance(f, ms);
    for (unsigned i = 0; i < NAMES; ++i) {
        struct remembered *one = &names[i];
        if (!one->waits || clock_now_ms(&f->world->clock) < one->until_ms) continue;
        one->waits = false;
        one->until_ms += DAY_MS;
    }
}

static void agrees_with_a_plain_table_over_random_hours(void **state)
{
    (void)state;
    const char *text = getenv("WEIR_SEED");
    const uint64_t first_seed = text == NULL ? 1 : strtoull(text, NULL, 10);
    for (uint64_t seed = first_seed; seed < first_seed + 3; ++seed) {
        print_message("seed %llu\n", (unsigned long long)seed);
        struct prng prng = {seed};
        struct fixture f =
            open_snapshotting(seed % 2 == 0 ? 4096 : 512, seed % 3 == 0 ? UINT64_MAX : 20000);
        struct remembered *names = calloc(NAMES, sizeof(*names));
        for (int i = 0; i < MODEL_STEPS; ++i) {
            switch (prng_below(&prng, 40)) {
            case 0:
            case 1:
            case 2:
                model_advance(&f, names, (int64_t)prng_below(&prng, 2 * HOUR_MS));
                break;
            case 3:
            case 4:
                model_end_hold(&f, names, &prng);
                break;
            case 5:
                if (prng_below(&prng, 8) == 0) restart(&f);
                break;
            default:
                model_ask(&f, names, &prng);
            }
        }
        assert_in_range(keys_status(f.world->keys).generation, 5, UINT64_MAX);
        free(names);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_counts_to_the_millisecond_wherever_it_is),
        cmocka_unit_test(files_come_by_the_hour_and_go_when_all_in_them_is_over),
        cmocka_unit_test(a_hold_keeps_its_keys_until_it_ends_and_a_day_more),
        cmocka_unit_test(the_retention_is_that_of_the_decision),
        cmocka_unit_test(every_keyed_call_is_answered_again_from_a_file),
        cmocka_unit_test(a_denial_binds_no_key_and_a_check_asks_for_none),
        cmocka_unit_test(a_key_on_its_way_to_a_file_is_answered_at_every_step),
        cmocka_unit_test(an_answer_from_before_a_file_asks_that_file),
        cmocka_unit_test(a_file_that_goes_while_it_is_asked_is_still_read),
        cmocka_unit_test(more_looks_than_the_desk_takes_wait_their_turn),
        cmocka_unit_test(who_waits_for_a_look_has_one_though_all_before_him_have_left),
        cmocka_unit_test(the_line_for_looks_is_so_long_and_no_longer),
        cmocka_unit_test(a_day_of_keys_passes_through_a_small_state),
        cmocka_unit_test(full_filters_refuse_new_keys_and_nothing_else),
        cmocka_unit_test(keys_of_damaged_and_missing_files_come_back_from_the_journal),
        cmocka_unit_test(a_missing_list_is_made_again_from_the_journal),
        cmocka_unit_test(an_older_list_is_refused_beside_a_snapshot),
        cmocka_unit_test(what_the_journal_no_longer_holds_is_refused_by_name),
        cmocka_unit_test(a_file_that_rots_under_the_server_gives_no_answer_at_all),
        cmocka_unit_test(a_key_that_names_an_entry_not_its_own_gets_no_answer),
        cmocka_unit_test(agrees_with_a_plain_table_over_random_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
