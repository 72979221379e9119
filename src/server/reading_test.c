/*
 * reading_test.c: the books are read beside decisions: what was answered is found, exports leave at
 * the reader's pace and hold up nobody, and who leaves gives back all that he had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/store.h"
#include "platform/testing.h"
#include "server/settling.h"
#include "server/world.h"

enum { EVENTS = 3000, WHOLE_BYTES = 4 << 20 };

static const char policy[] =
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [{grants: {category: paid}}]}}}\n";

/* A world whose journal and books are on a disk. */
struct scene {
    struct scratch scratch;
    struct journal *journal;
    struct world *world;
    struct settling settling;
    struct ledger_reader *books;
    struct asker *asker;
    struct asker *other;
    uint8_t *whole;
    char next[256];
};

static int open_scene(void **state)
{
    char detail[256];
    struct ledger_detail ledger_detail;
    struct ledger *connection = NULL;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->scratch = scratch_make();
    assert_int_equal(JOURNAL_OK, journal_sqlite_open(scene->scratch.path,
                                                     (struct hash_key){
                                                         {1, 2}
    },
                                                     1, &scene->journal, detail));
    scene->world = world_open(scene->journal, policy);
    assert_int_equal(LEDGER_OK,
                     settling_open(&scene->settling,
                                   &(struct settling_parts){.directory = scene->scratch.path,
                                                            .journal = scene->journal,
                                                            .customers_max = 1000},
                                   &ledger_detail));
    assert_int_equal(LEDGER_OK,
                     ledger_open_reader(scene->scratch.path, NULL, &connection, &ledger_detail));
    scene->books = ledger_reader_over(connection);
    assert_non_null(scene->books);
    desk_open_books(scene->world->desk, scene->books);
    scene->world->journaling->settling = &scene->settling;
    scene->world->loop->parts.settling = &scene->settling;
    scene->asker = malloc(sizeof *scene->asker);
    scene->other = malloc(sizeof *scene->other);
    scene->whole = malloc(WHOLE_BYTES);
    assert_true(scene->asker != NULL && scene->other != NULL && scene->whole != NULL);
    *state = scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    ledger_reader_close(scene->books);
    settling_close(&scene->settling, 0);
    world_close(scene->world);
    scene->journal->calls->close(scene->journal);
    scratch_remove(&scene->scratch);
    free(scene->asker);
    free(scene->other);
    free(scene->whole);
    free(scene);
    return 0;
}

/* Until nothing happens, settlement with it. */
static void run(struct scene *scene)
{
    do {
        world_settle(scene->world);
    } while (settling_step(&scene->settling));
}

static void ask(struct scene *scene, struct asker *asker, const char *method, const char *target,
                const char *body)
{
    world_ask(scene->world, asker, method, target, body);
    asker->whole = buffer_over(scene->whole, WHOLE_BYTES);
}

static const char *answer(struct scene *scene, unsigned status, const char *method,
                          const char *target, const char *body)
{
    ask(scene, scene->asker, method, target, body);
    run(scene);
    assert_true(scene->asker->is_answered);
    if (scene->asker->status != status) print_error("%s: %s\n", target, scene->asker->body);
    assert_int_equal(status, scene->asker->status);
    return scene->asker->body;
}

/* EVENTS consumes of one customer, a thousand a batch. */
static void spend(struct scene *scene)
{
    static const char operation[] = "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\","
                                    "\"quantities\":{\"requests\":1},\"attributes\":{\"note\":"
                                    "\"some words that take their room in every row of it\"}}";
    enum { COUNT = 1000, SIZE = COUNT * (sizeof(operation) + 1) + 64 };
    char *body = malloc(SIZE);
    assert_non_null(body);
    struct buffer text = buffer_over(body, SIZE);
    buffer_put_text(&text, "{\"operations\":[");
    for (int i = 0; i < COUNT; ++i) {
        if (i > 0) buffer_put_text(&text, ",");
        buffer_put_text(&text, operation);
    }
    buffer_put_text(&text, "]}");
    buffer_put_byte(&text, 0);
    assert_false(text.overflowed);
    (void)answer(scene, 200, "POST", "/v1/customers/a/grants",
                 "{\"category\":\"paid\",\"credits\":\"10000\"}");
    for (int i = 0; i < EVENTS / COUNT; ++i) {
        world_ask(scene->world, scene->asker, "POST", "/v1/batch", body);
        scene->asker->is_dropping = true; /* its answer is longer than an asker's memory */
        run(scene);
        assert_int_equal(200, scene->asker->status);
    }
    free(body);
}

static size_t count(struct bytes text, const char *part)
{
    size_t found = 0;
    const size_t length = strlen(part);
    for (size_t at = 0; at + length <= text.length; ++at)
        if (memcmp(text.at + at, part, length) == 0) ++found;
    return found;
}

static void who_reads_finds_what_he_was_answered(void **state)
{
    struct scene *scene = *state;
    (void)answer(scene, 200, "POST", "/v1/customers/a/grants",
                 "{\"category\":\"paid\",\"credits\":\"5\"}");
    world_do(scene->world, scene->asker, "POST", "/v1/consume",
             "{\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    ask(scene, scene->other, "GET", "/v1/customers/a/ledger", "");
    world_settle(scene->world);
    assert_false(scene->other->is_answered); /* nothing of it is settled yet */
    run(scene);
    assert_true(scene->other->is_answered);
    assert_non_null(strstr(scene->other->body, "\"number\":2"));
    assert_non_null(strstr(scene->other->body, "\"delta\":\"-1\""));
    assert_non_null(strstr(scene->other->body, "\"customer_after\":\"4\""));
}

static void an_export_leaves_in_pieces_whole_and_in_order(void **state)
{
    struct scene *scene = *state;
    spend(scene);
    ask(scene, scene->asker, "GET", "/v1/customers/a/events?format=ndjson", "");
    run(scene);
    assert_true(scene->asker->is_answered && !scene->asker->is_cut);
    assert_true(scene->asker->pieces > 20);
    const struct bytes whole = buffer_bytes(&scene->asker->whole);
    assert_int_equal(EVENTS, count(whole, "\"decision_id\""));
    assert_int_equal(EVENTS, count(whole, "}\n"));
    assert_int_equal('\n', whole.at[whole.length - 1]);
    assert_int_equal(0, scene->world->loop->streams);
    ask(scene, scene->asker, "GET", "/v1/customers/a/ledger?format=csv", "");
    run(scene);
    const struct bytes table = buffer_bytes(&scene->asker->whole);
    assert_int_equal(1 + 1 + EVENTS, count(table, "\r\n"));
    for (int number = EVENTS + 1; number >= 1; number -= 500) {
        char part[32];
        (void)snprintf(part, sizeof(part), ",%d,2026", number);
        assert_int_equal(1, count(table, part));
    }
}

static void a_reader_who_does_not_read_holds_up_nobody(void **state)
{
    struct scene *scene = *state;
    spend(scene);
    ask(scene, scene->other, "GET", "/v1/customers/a/events?format=ndjson", "");
    scene->other->reads_slowly = true;
    run(scene);
    assert_true(scene->other->is_lent && scene->other->pieces == 1);
    assert_true(scene->other->bytes < 2 * READING_PIECE_BYTES);
    (void)answer(scene, 200, "POST", "/v1/consume",
                 "{\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    assert_non_null(
        strstr(answer(scene, 200, "GET", "/v1/customers/a/ledger?limit=1", ""), "\"number\":3002"));
    unsigned pieces = 1;
    while (scene->other->is_lent) {
        world_read_on(scene->other);
        run(scene);
        assert_int_equal(++pieces, scene->other->pieces);
    }
    assert_true(scene->other->is_answered && !scene->other->is_cut);
}

static void a_reader_who_leaves_gives_back_all(void **state)
{
    struct scene *scene = *state;
    spend(scene);
    ask(scene, scene->other, "GET", "/v1/usage?group_by=subject,hour&format=csv", "");
    run(scene);
    assert_true(scene->other->is_answered);
    for (unsigned i = 0; i < 2 * READINGS_MAX; ++i) { /* more than there are */
        ask(scene, scene->other, "GET", "/v1/customers/a/events?format=csv", "");
        scene->other->reads_slowly = true;
        run(scene);
        assert_true(scene->other->is_lent);
        assert_int_equal(1, scene->world->loop->streams);
        world_leave(scene->other);
        run(scene);
        assert_true(scene->other->is_answered);
        assert_int_equal(0, scene->world->loop->streams);
        assert_int_equal(0, scene->world->loop->exchanges);
    }
}

/* Nobody waits for what is summed up: the desk does not go on with it. */
static void a_reader_who_leaves_in_the_middle_of_a_sum_is_not_summed_for(void **state)
{
    struct scene *scene = *state;
    spend(scene);
    ask(scene, scene->other, "GET", "/v1/usage?group_by=subject,hour", "");
    struct reading *reading = NULL;
    for (int i = 0; i < 100 && reading == NULL; ++i) { /* until it is begun */
        (void)loop_step(scene->world->loop);
        (void)settling_step(&scene->settling);
        (void)desk_step(scene->world->desk);
        if (scene->world->loop->readings[0].has_begun) reading = &scene->world->loop->readings[0];
    }
    assert_non_null(reading);
    assert_int_equal(READING_GOES_ON, reading->end);
    world_leave(scene->other);
    (void)desk_step(scene->world->desk);
    assert_int_equal(READING_FAILED, reading->end);
    assert_int_not_equal(USAGE_SUMMED, reading->scan.phase);
    run(scene);
    assert_true(scene->other->is_answered && !reading->is_taken);
    assert_true(loop_is_idle(scene->world->loop));
    (void)answer(scene, 200, "GET", "/v1/usage?group_by=subject,hour", "");
}

/* What retention of usage does, all at once. */
static void take_all_usage(struct scene *scene)
{
    static const char cut[] = "UPDATE meta SET value=(SELECT value FROM meta WHERE "
                              "name='cursor_sequence') WHERE name='usage_cut'";
    while (settling_step(&scene->settling)) {
    }
    assert_true(ledger_exec(scene->settling.ledger, "DELETE FROM usage_events"));
    assert_true(ledger_exec(scene->settling.ledger, cut));
}

/* Turn by turn until its sum is under way; then retention takes what it would have summed. */
static void ask_and_take(struct scene *scene, const char *target)
{
    struct reading *reading = &scene->world->loop->readings[0];
    ask(scene, scene->other, "GET", target, "");
    scene->other->reads_slowly = true;
    for (int i = 0; i < 100 && !(reading->is_taken && reading->has_begun); ++i) {
        (void)loop_step(scene->world->loop);
        (void)settling_step(&scene->settling);
        (void)desk_step(scene->world->desk);
    }
    assert_true(reading->has_begun && reading->end == READING_GOES_ON);
    take_all_usage(scene);
    run(scene);
}

static void a_sum_whose_hour_is_taken_meanwhile_is_refused_as_it_is_afterwards(void **state)
{
    static const char *const targets[] = {
        "/v1/usage?to=2026-05-01T12:30:00Z&group_by=feature",
        "/v1/usage?to=2026-05-01T12:30:00Z&group_by=customer",
        "/v1/usage?to=2026-05-01T12:30:00Z&customer=a",
        "/v1/usage?to=2026-05-01T12:30:00Z&format=ndjson",
        "/v1/usage?to=2026-05-01T12:30:00Z&group_by=customer,hour&format=csv",
    };
    for (unsigned i = 0; i < COUNT_OF(targets); ++i) {
        struct scene *scene = *state;
        spend(scene);
        ask_and_take(scene, targets[i]);
        assert_true(scene->other->is_answered);
        assert_int_equal(422, scene->other->status);
        assert_non_null(strstr(scene->other->body, "usage events are no longer kept"));
        assert_non_null(strstr(answer(scene, 422, "GET", targets[i], ""), "no longer kept"));
        assert_int_equal(0, close_scene(state));
        assert_int_equal(0, open_scene(state));
    }
}

/* A thousand consumes, each of a subject of its own. */
static void spend_by_subject(struct scene *scene, const char *customer)
{
    enum { COUNT = 1000, SIZE = COUNT * 160 };
    char *body = malloc(SIZE);
    assert_non_null(body);
    size_t used = (size_t)snprintf(body, SIZE, "{\"operations\":[");
    for (int i = 0; i < COUNT; ++i)
        used += (size_t)snprintf(body + used, SIZE - used,
                                 "%s{\"op\":\"consume\",\"customer\":\"%s\",\"feature\":\"chat\","
                                 "\"quantities\":{\"requests\":1},\"subject\":\"somebody-%d\"}",
                                 i > 0 ? "," : "", customer, i);
    used += (size_t)snprintf(body + used, SIZE - used, "]}");
    assert_true(used < SIZE);
    world_ask(scene->world, scene->asker, "POST", "/v1/batch", body);
    scene->asker->is_dropping = true;
    run(scene);
    assert_int_equal(200, scene->asker->status);
    free(body);
}

/* Its first customers are out when what the last ones used goes. */
static void an_export_whose_hour_is_taken_while_it_is_sent_is_cut(void **state)
{
    struct scene *scene = *state;
    static const char *const customers[] = {"a", "b", "c", "d"};
    for (unsigned i = 0; i < COUNT_OF(customers); ++i)
        spend_by_subject(scene, customers[i]);
    ask(scene, scene->other, "GET",
        "/v1/usage?to=2026-05-01T12:30:00Z&group_by=customer,subject&format=ndjson", "");
    scene->other->reads_slowly = true;
    run(scene);
    assert_true(scene->other->is_lent);
    take_all_usage(scene);
    while (scene->other->is_lent) {
        world_read_on(scene->other);
        run(scene);
    }
    assert_true(scene->other->is_answered && scene->other->is_cut);
    assert_true(loop_is_idle(scene->world->loop));
}

/* Consumes by three subjects, one request each. */
static void use(struct scene *scene)
{
    static const char *const subjects[] = {"x", "y", "z"};
    for (size_t i = 0; i < COUNT_OF(subjects); ++i) {
        char body[128];
        (void)snprintf(body, sizeof body,
                       "{\"customer\":\"a\",\"subject\":\"%s\",\"feature\":\"chat\","
                       "\"quantities\":{\"requests\":1}}",
                       subjects[i]);
        (void)answer(scene, 200, "POST", "/v1/consume", body);
    }
}

/* A page; where the next one begins is kept. */
static const char *read_page(struct scene *scene, const char *target)
{
    const char *body = answer(scene, 200, "GET", target, "");
    const char *next = strstr(body, "\"next\":\"");
    if (next != NULL)
        (void)snprintf(scene->next, sizeof scene->next, "%.*s", (int)strcspn(next + 8, "\""),
                       next + 8);
    return body;
}

static const char *turn_page(struct scene *scene, const char *query)
{
    char target[512];
    (void)snprintf(target, sizeof target, "%s&after=%s", query, scene->next);
    return read_page(scene, target);
}

static unsigned kept(const struct scene *scene)
{
    unsigned count = 0;
    for (unsigned i = 0; i < READING_SUMS_MAX; ++i)
        count += scene->world->desk->sums.kept[i].is_kept;
    return count;
}

#define BY_SUBJECT "/v1/usage?group_by=subject&limit=1"

static void pages_of_usage_are_of_the_moment_of_the_first(void **state)
{
    struct scene *scene = *state;
    use(scene);
    assert_non_null(strstr(read_page(scene, BY_SUBJECT), "\"requests\":1,"));
    assert_int_equal(1, kept(scene));
    use(scene);
    assert_non_null(strstr(turn_page(scene, BY_SUBJECT), "\"requests\":1,"));
    use(scene);
    const char *last = turn_page(scene, BY_SUBJECT);
    assert_non_null(strstr(last, "\"subject\":\"z\""));
    assert_non_null(strstr(last, "\"requests\":1,"));
    assert_non_null(strstr(last, "\"next\":null"));
    assert_int_equal(0, kept(scene)); /* there is nothing behind it */
    assert_non_null(strstr(read_page(scene, BY_SUBJECT), "\"requests\":3,"));
}

static void sums_that_are_no_longer_kept_are_made_anew(void **state)
{
    struct scene *scene = *state;
    use(scene);
    (void)read_page(scene, BY_SUBJECT);
    use(scene);
    scene->world->desk->sums.kept[0].kept_ns -= (READING_SUMS_KEPT_MS + 1) * INT64_C(1000000);
    assert_non_null(strstr(turn_page(scene, BY_SUBJECT), "\"requests\":2,"));
    assert_int_equal(1, kept(scene)); /* those of this page */
}

static void sums_are_kept_for_their_own_query_and_for_so_many(void **state)
{
    struct scene *scene = *state;
    use(scene);
    (void)read_page(scene, BY_SUBJECT);
    use(scene);
    /* Another filter, another time: their sums are their own. */
    assert_non_null(strstr(turn_page(scene, BY_SUBJECT "&feature=chat"), "\"requests\":2,"));
    assert_int_equal(2, kept(scene));
    (void)read_page(scene, BY_SUBJECT);
    use(scene);
    assert_non_null(
        strstr(turn_page(scene, BY_SUBJECT "&from=2020-01-01T00:00:00Z"), "\"requests\":3,"));
    assert_int_equal(READING_SUMS_MAX, kept(scene));
    /* Of one customer they are found where they lie: nothing is kept. */
    (void)read_page(scene, BY_SUBJECT "&customer=a");
    assert_non_null(strstr(turn_page(scene, BY_SUBJECT "&customer=a"), "\"subject\":\"y\""));
    assert_int_equal(READING_SUMS_MAX, kept(scene));
}

static void exports_are_cut_when_the_server_has_to_stop(void **state)
{
    struct scene *scene = *state;
    spend(scene);
    ask(scene, scene->other, "GET", "/v1/customers/a/events?format=ndjson", "");
    scene->other->reads_slowly = true;
    run(scene);
    assert_true(scene->other->is_lent);
    loop_stop(scene->world->loop);
    loop_cut(scene->world->loop);
    world_read_on(scene->other);
    run(scene);
    assert_true(scene->other->is_answered && scene->other->is_cut);
    assert_true(loop_is_idle(scene->world->loop));
}

static uint64_t number_behind(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    assert_non_null(found);
    return strtoull(found + strlen(name), NULL, 10);
}

static void health_says_what_the_books_have_in_memory(void **state)
{
    struct scene *scene = *state;
    (void)answer(scene, 200, "POST", "/v1/customers/a/grants",
                 "{\"category\":\"paid\",\"credits\":\"5\"}");
    (void)answer(scene, 200, "POST", "/v1/authorize",
                 "{\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    const char *health = answer(scene, 200, "GET", "/healthz", "");
    assert_true(number_behind(health, "\"books_bytes\":{\"heads\":") >= sizeof(struct hash128));
    assert_true(number_behind(health, ",\"holds\":") > 0);
    assert_true(number_behind(health, ",\"sqlite\":") > 0);
}

/* Asks so many at once and says how many were refused; the others are answered. */
static unsigned refused_of(struct scene *scene, unsigned count, const char *target)
{
    unsigned refused = 0;
    struct asker *askers = calloc(count, sizeof(*askers));
    assert_non_null(askers);
    for (unsigned i = 0; i < count; ++i)
        world_ask(scene->world, &askers[i], "GET", target, "");
    run(scene);
    for (unsigned i = 0; i < count; ++i) {
        assert_true(askers[i].status == 200 || askers[i].status == 503);
        if (askers[i].status == 200) continue;
        assert_non_null(strstr(askers[i].body, "\"code\":\"overloaded\""));
        ++refused;
    }
    assert_int_equal(scene->world->loop->turned_away, refused);
    assert_true(loop_is_idle(scene->world->loop));
    free(askers);
    return refused;
}

/* The desk works a slice at a time for each of them; decisions do not wait for all those. */
static void what_a_decision_waits_for_comes_before_the_next_slice_of_a_reading(void **state)
{
    enum { READERS = 3 };
    static const char keyed[] = "{\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":"
                                "{\"requests\":1},\"idempotency_key\":\"k\"}";
    struct scene *scene = *state;
    struct loop *loop = scene->world->loop;
    spend(scene);
    (void)answer(scene, 200, "POST", "/v1/consume", keyed);
    struct asker *readers = calloc(READERS, sizeof *readers);
    assert_non_null(readers);
    for (unsigned i = 0; i < READERS; ++i) {
        world_ask(scene->world, &readers[i], "GET", "/v1/usage?group_by=subject,hour", "");
        readers[i].is_dropping = true;
    }
    for (int i = 0; i < 100 && !loop->readings[READERS - 1].has_begun; ++i) {
        (void)loop_step(loop);
        (void)settling_step(&scene->settling);
        (void)desk_step(scene->world->desk);
    }
    for (unsigned i = 0; i < READERS; ++i)
        assert_true(loop->readings[i].has_begun && !readers[i].is_answered);
    ask(scene, scene->other, "POST", "/v1/consume", keyed);
    (void)loop_step(loop);
    assert_false(scene->other->is_answered);
    (void)desk_step(scene->world->desk);
    (void)loop_step(loop);
    assert_true(scene->other->is_answered);
    assert_string_equal(scene->asker->body, scene->other->body);
    run(scene);
    for (unsigned i = 0; i < READERS; ++i)
        assert_int_equal(200, readers[i].status);
    free(readers);
}

static void who_waits_to_read_reads_though_all_before_him_have_left(void **state)
{
    enum { ASKERS = 2 * READINGS_MAX + 1 };
    struct scene *scene = *state;
    spend(scene);
    struct asker *askers = calloc(ASKERS, sizeof *askers);
    assert_non_null(askers);
    for (unsigned i = 0; i < ASKERS; ++i)
        world_ask(scene->world, &askers[i], "GET", "/v1/customers/a/events?limit=1", "");
    (void)loop_step(scene->world->loop);
    assert_int_equal(scene->world->loop->reading_waiting.count, ASKERS - READINGS_MAX);
    for (unsigned i = READINGS_MAX; i < ASKERS - 1; ++i)
        world_leave(&askers[i]);
    run(scene);
    assert_true(askers[ASKERS - 1].is_answered);
    assert_int_equal(askers[ASKERS - 1].status, 200);
    assert_true(loop_is_idle(scene->world->loop));
    free(askers);
}

static void the_line_for_readings_is_so_long_and_no_longer(void **state)
{
    spend(*state);
    assert_int_equal(3, refused_of(*state, READINGS_MAX + WAITING_READINGS_MAX + 3,
                                   "/v1/customers/a/events?limit=1"));
}

static void the_line_for_the_settler_is_so_long_and_no_longer(void **state)
{
    spend(*state);
    assert_int_equal(
        3, refused_of(*state, SETTLER_ASKS_MAX + WAITING_HEADS_MAX + 3, "/v1/customers/a/balance"));
}

static void a_server_without_books_says_so(void **state)
{
    struct scene *scene = *state;
    scene->world->loop->parts.settling = NULL;
    assert_non_null(strstr(answer(scene, 422, "GET", "/v1/customers/a/ledger", ""), "unsupported"));
}

int main(void)
{
#define SCENE_TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
    const struct CMUnitTest tests[] = {
        SCENE_TEST(who_reads_finds_what_he_was_answered),
        SCENE_TEST(an_export_leaves_in_pieces_whole_and_in_order),
        SCENE_TEST(a_reader_who_does_not_read_holds_up_nobody),
        SCENE_TEST(a_reader_who_leaves_gives_back_all),
        SCENE_TEST(a_reader_who_leaves_in_the_middle_of_a_sum_is_not_summed_for),
        SCENE_TEST(a_sum_whose_hour_is_taken_meanwhile_is_refused_as_it_is_afterwards),
        SCENE_TEST(an_export_whose_hour_is_taken_while_it_is_sent_is_cut),
        SCENE_TEST(pages_of_usage_are_of_the_moment_of_the_first),
        SCENE_TEST(sums_that_are_no_longer_kept_are_made_anew),
        SCENE_TEST(sums_are_kept_for_their_own_query_and_for_so_many),
        SCENE_TEST(exports_are_cut_when_the_server_has_to_stop),
        SCENE_TEST(health_says_what_the_books_have_in_memory),
        SCENE_TEST(what_a_decision_waits_for_comes_before_the_next_slice_of_a_reading),
        SCENE_TEST(who_waits_to_read_reads_though_all_before_him_have_left),
        SCENE_TEST(the_line_for_readings_is_so_long_and_no_longer),
        SCENE_TEST(the_line_for_the_settler_is_so_long_and_no_longer),
        SCENE_TEST(a_server_without_books_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
