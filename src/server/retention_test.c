/*
 * retention_test.c: which batches go, through the loop over the journal in memory: none that
 * anything still needs, all others in time, and behind an entry that says so.
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

enum { RECEIPTS_MS = 10000, ROUNDS = 100 };

static const char policy[] =
    "version: 1\n"
    "defaults: {plan: free, idempotency_retention: 1h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [{grants: {category: paid}}]}}}\n";

#define ONE(more) \
    "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}" more "}"

struct scene {
    struct world *world;
    struct asker *asker;
};

static int open_scene(void **state)
{
    struct scene *scene = malloc(sizeof(*scene));
    assert_non_null(scene);
    scene->world = world_open(NULL, policy);
    scene->world->loop->parts.receipts_for_ms = RECEIPTS_MS;
    scene->asker = malloc(sizeof(*scene->asker));
    assert_non_null(scene->asker);
    world_do(scene->world, scene->asker, "POST", "/v1/customers/acme/grants",
             "{\"category\":\"paid\",\"credits\":\"1000000\"}");
    assert_int_equal(scene->asker->status, 200);
    *state = scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    struct journal *journal = scene->world->journal;
    world_close(scene->world);
    journal->calls->close(journal);
    free(scene->asker);
    free(scene);
    return 0;
}

static const char *say(struct scene *scene, const char *path, const char *body)
{
    world_do(scene->world, scene->asker, "POST", path, body);
    return scene->asker->body;
}

static uint64_t id_in(const char *body, char text_out[64])
{
    uint64_t position = 0;
    const char *found = strstr(body, "\"decision_id\":\"");
    assert_non_null(found);
    (void)snprintf(text_out, 64, "%.*s", (int)strcspn(found + 15, "\""), found + 15);
    assert_true(id_parse('d', bytes_of_text(text_out), &position));
    return position;
}

/* Batches come, time goes, and nothing but the state and the time keeps them. */
static void live_on(struct scene *scene, unsigned rounds, const char *step)
{
    struct loop *loop = scene->world->loop;
    for (unsigned round = 0; round < rounds; ++round) {
        assert_non_null(strstr(say(scene, "/v1/consume", ONE("")), "\"outcome\":\"allow\""));
        (void)say(scene, "/v1/clock", step);
        loop->settled_sequence = loop->snapshot_kept = loop->durable_sequence;
    }
}

static uint64_t first_of(const struct scene *scene)
{
    return scene->world->journal->first;
}

static void assert_bound_is(struct scene *scene, uint64_t sequence, const char *by)
{
    char expected[96];
    (void)snprintf(expected, sizeof(expected),
                   "\"retention\":{\"sequence\":%" PRIu64 ",\"by\":\"%s\"}", sequence, by);
    world_do(scene->world, scene->asker, "GET", "/healthz", "");
    if (strstr(scene->asker->body, expected) != NULL) return;
    print_error("expected %s in: %s\n", expected, scene->asker->body);
    fail();
}

static void without_a_term_everything_is_kept(void **state)
{
    struct scene *scene = *state;
    scene->world->loop->parts.receipts_for_ms = 0;
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_int_equal(first_of(scene), 2);
}

static void old_batches_go_behind_a_seal_and_the_young_stay(void **state)
{
    struct scene *scene = *state;
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    const uint64_t tip = scene->world->journal->tip.sequence;
    const struct journal_cut cut = engine_cut(scene->world->engine);
    assert_true(first_of(scene) > 2);
    assert_true(cut.first >= first_of(scene) && cut.first < tip - RECEIPTS_MS / 1000);
    assert_bound_is(scene, cut.first, "age");
    /* Whoever comes after the crash finds the same, and reads on from there. */
    struct batch_header header;
    struct bytes body;
    for (uint64_t sequence = first_of(scene); sequence <= tip; ++sequence)
        assert_int_equal(
            scene->world->journal->calls->read(scene->world->journal, sequence, &header, &body),
            JOURNAL_OK);
    if (cut.first > first_of(scene)) {
        assert_int_equal(scene->world->journal->calls->read(scene->world->journal, cut.first - 1,
                                                            &header, &body),
                         JOURNAL_OK);
        assert_int_equal(header.hash.byte[0], cut.before[0] & 0xff);
        assert_int_equal(header.hash.byte[31], cut.before[3] >> 56);
    }
}

static void what_is_not_settled_or_in_no_snapshot_stays(void **state)
{
    struct scene *scene = *state;
    struct loop *loop = scene->world->loop;
    live_on(scene, 5, "{\"advance_ms\":1000}");
    const uint64_t bound = loop->durable_sequence;
    for (unsigned which = 0; which < 2; ++which) {
        for (unsigned round = 0; round < ROUNDS; ++round) {
            (void)say(scene, "/v1/consume", ONE(""));
            (void)say(scene, "/v1/clock", "{\"advance_ms\":1000}");
            loop->settled_sequence = which == 0 ? bound : loop->durable_sequence;
            loop->snapshot_kept = which == 1 ? bound : loop->durable_sequence;
        }
        assert_true(first_of(scene) <= bound);
        assert_true(engine_cut(scene->world->engine).first <= bound);
        assert_bound_is(scene, bound, which == 0 ? "settlement" : "snapshot");
    }
}

static void an_open_hold_keeps_its_entry_and_so_does_its_end(void **state)
{
    struct scene *scene = *state;
    char id[64];
    char path[128];
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    const uint64_t position = id_in(say(scene, "/v1/authorize", ONE(",\"ttl_ms\":2592000000")), id);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first <= position_sequence(position));
    assert_bound_is(scene, position_sequence(position), "hold");
    (void)snprintf(path, sizeof(path), "/v1/holds/%s/commit", id);
    const char commit[] = "{\"quantities\":{\"requests\":1}}";
    char first[WORLD_BODY_SIZE];
    (void)snprintf(first, sizeof(first), "%s", say(scene, path, commit));
    assert_int_equal(scene->asker->status, 200);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first <= position_sequence(position));
    assert_bound_is(scene, position_sequence(position), "ended_hold");
    assert_string_equal(say(scene, path, commit), first);
    /* Remembered as long as keys are: an hour. */
    (void)say(scene, "/v1/clock", "{\"advance_ms\":3700000}");
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first > position_sequence(position));
}

static void a_key_keeps_its_entry_as_long_as_it_counts(void **state)
{
    struct scene *scene = *state;
    char id[64];
    char first[WORLD_BODY_SIZE];
    (void)snprintf(first, sizeof(first), "%s",
                   say(scene, "/v1/consume", ONE(",\"idempotency_key\":\"k\"")));
    const uint64_t position = id_in(first, id);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first <= position_sequence(position));
    assert_bound_is(scene, position_sequence(position), "key");
    assert_string_equal(say(scene, "/v1/consume", ONE(",\"idempotency_key\":\"k\"")), first);
    (void)say(scene, "/v1/clock", "{\"advance_ms\":3700000}");
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first > position_sequence(position));
}

static void a_decision_that_was_cut_is_unknown_and_says_why(void **state)
{
    struct scene *scene = *state;
    char id[64];
    char path[128];
    (void)id_in(say(scene, "/v1/consume", ONE("")), id);
    (void)snprintf(path, sizeof(path), "/v1/decisions/%s/refund", id);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    (void)say(scene, path, "{\"all\":true}");
    assert_int_equal(scene->asker->status, 404);
    assert_non_null(strstr(scene->asker->body, "older than receipts are kept"));
}

/* Books that have all that is settled, of which nobody asks here. */
static bool look_up(void *self, uint64_t decision, struct desk_ending *ending_out)
{
    (void)self;
    (void)decision;
    *ending_out = (struct desk_ending){0};
    return true;
}

static void what_was_refunded_goes_when_receipts_do_and_an_ended_hold_when_keys_do(void **state)
{
    struct scene *scene = *state;
    const char commit[] = "{\"quantities\":{\"requests\":1}}";
    char id[64];
    char path[128];
    desk_set_books(scene->world->desk, (struct desk_books){.look_up = look_up});
    const uint64_t used = id_in(say(scene, "/v1/consume", ONE("")), id);
    (void)snprintf(path, sizeof(path), "/v1/decisions/%s/refund", id);
    (void)say(scene, path, "{\"all\":true}");
    assert_int_equal(scene->asker->status, 200);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first > position_sequence(used));

    const uint64_t held = id_in(say(scene, "/v1/authorize", ONE("")), id);
    (void)snprintf(path, sizeof(path), "/v1/holds/%s/commit", id);
    (void)say(scene, path, commit);
    (void)snprintf(path, sizeof(path), "/v1/decisions/%s/refund", id);
    (void)say(scene, path, "{\"all\":true}");
    assert_int_equal(scene->asker->status, 200);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first <= position_sequence(held));
    (void)say(scene, "/v1/clock", "{\"advance_ms\":3700000}");
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(engine_cut(scene->world->engine).first > position_sequence(held));
}

/* Every entry that was cut was acme's; those of grants, paid ones. */
static uint64_t grant_cut;

static bool look_up_owner(void *self, uint64_t id, struct desk_owner *owner_out)
{
    const struct scene *scene = self;
    *owner_out =
        (struct desk_owner){.is_known = true,
                            .customer = engine_customer_id(scene->world->engine, BYTES("acme")),
                            .category = id == grant_cut ? CATEGORY_PAID : 0};
    return true;
}

static void keep_books(struct scene *scene)
{
    desk_set_books(
        scene->world->desk,
        (struct desk_books){.self = scene, .look_up = look_up, .look_up_owner = look_up_owner});
}

/* Goal: a key counts as long as was promised, whatever happened to the decision that it is about.
 */
static void a_refund_told_again_is_the_same_after_its_decision_was_cut(void **state)
{
    static const char refund[] = "{\"all\":true,\"idempotency_key\":\"r\"}";
    struct scene *scene = *state;
    char first[WORLD_BODY_SIZE];
    char id[64];
    char path[128];
    keep_books(scene);
    const uint64_t position = id_in(say(scene, "/v1/consume", ONE("")), id);
    (void)snprintf(path, sizeof(path), "/v1/decisions/%s/refund", id);
    live_on(scene, 20, "{\"advance_ms\":100}");
    (void)snprintf(first, sizeof(first), "%s", say(scene, path, refund));
    assert_int_equal(scene->asker->status, 200);
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(first_of(scene) > position_sequence(position));
    assert_string_equal(say(scene, path, refund), first);
    assert_int_equal(scene->asker->status, 200);
    (void)say(scene, path, "{\"credits\":\"1\",\"idempotency_key\":\"r\"}");
    assert_int_equal(scene->asker->status, 409);
    (void)say(scene, path, "{\"all\":true,\"idempotency_key\":\"another\"}");
    assert_int_equal(scene->asker->status, 404);
    assert_non_null(strstr(scene->asker->body, "older than receipts are kept"));
    /* An hour after the refund the key is new, and finds nothing to refund. */
    (void)say(scene, "/v1/clock", "{\"advance_ms\":3500000}");
    (void)say(scene, path, refund);
    assert_int_equal(scene->asker->status, 404);
}

static void a_grant_that_is_gone_and_was_cut_has_nothing_to_void(void **state)
{
    struct scene *scene = *state;
    char path[128];
    (void)say(scene, "/v1/customers/acme/grants",
              "{\"category\":\"paid\",\"credits\":\"1\",\"expires_at\":\"2026-05-01T12:00:05Z\"}");
    const char *found = strstr(scene->asker->body, "\"grant_id\":\"");
    assert_non_null(found);
    (void)snprintf(path, sizeof(path), "/v1/grants/%.*s/void", (int)strcspn(found + 12, "\""),
                   found + 12);
    assert_true(id_parse(
        'g', (struct bytes){(const uint8_t *)found + 12, strcspn(found + 12, "\"")}, &grant_cut));
    live_on(scene, ROUNDS, "{\"advance_ms\":1000}");
    assert_true(first_of(scene) > position_sequence(grant_cut));
    (void)say(scene, path, "{}"); /* nobody keeps books */
    assert_int_equal(scene->asker->status, 404);
    assert_non_null(strstr(scene->asker->body, "unknown_grant"));
    keep_books(scene);
    (void)say(scene, path, "{}");
    assert_int_equal(scene->asker->status, 200);
    assert_non_null(strstr(scene->asker->body, "\"voided\":\"0\""));
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(without_a_term_everything_is_kept),
        SCENE_TEST(old_batches_go_behind_a_seal_and_the_young_stay),
        SCENE_TEST(what_is_not_settled_or_in_no_snapshot_stays),
        SCENE_TEST(an_open_hold_keeps_its_entry_and_so_does_its_end),
        SCENE_TEST(a_key_keeps_its_entry_as_long_as_it_counts),
        SCENE_TEST(a_decision_that_was_cut_is_unknown_and_says_why),
        SCENE_TEST(a_refund_told_again_is_the_same_after_its_decision_was_cut),
        SCENE_TEST(a_grant_that_is_gone_and_was_cut_has_nothing_to_void),
        SCENE_TEST(what_was_refunded_goes_when_receipts_do_and_an_ended_hold_when_keys_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
