/*
 * recall_test.c: a server whose engine forgets at once whatever the books have: every answer about
 * the past is the one that it would give if it remembered (SEMANTICS H6, H7), byte for byte where
 * that is promised. The books here are a reader of the journal, as whole and as slow as can be.
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
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [{grants: {category: paid}}]}}}\n";

struct scene {
    struct world *world;
    struct asker *asker;
    struct fact *fact;
    bool are_books_broken;
    unsigned look_ups;
};

/* Everything up to the newest batch is in these books. */
static bool look_up(void *self, uint64_t decision, struct desk_ending *ending_out)
{
    struct scene *scene = self;
    struct journal *journal = scene->world->journal;
    scene->look_ups++;
    if (scene->are_books_broken) return false;
    *ending_out = (struct desk_ending){.through = journal->tip.sequence};
    for (uint64_t sequence = 2; sequence <= journal->tip.sequence; sequence++) {
        struct batch_header header;
        struct bytes body;
        struct entry entry;
        assert_int_equal(journal->calls->read(journal, sequence, &header, &body), JOURNAL_OK);
        struct reader reader = reader_over(body);
        for (uint32_t index = 0; entry_take(&reader, &entry); index++) {
            assert_true(fact_decode(entry.fact, scene->fact));
            for (uint32_t i = 0; i < scene->fact->effect_count; i++) {
                const struct effect *effect = &scene->fact->effects[i];
                if (effect->kind != EFFECT_ENDED || effect->ended.id != decision) continue;
                ending_out->refunded = effect->ended.refunded_after;
                if (scene->fact->report.kind != COMMAND_REFUND)
                    ending_out->position = position_make(sequence, index);
            }
        }
    }
    return true;
}

static int open_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->world = world_open(NULL, policy);
    scene->asker = malloc(sizeof *scene->asker);
    scene->fact = malloc(sizeof *scene->fact);
    assert_true(scene->asker != NULL && scene->fact != NULL);
    desk_set_books(scene->world->desk, (struct desk_books){.self = scene, .look_up = look_up});
    *state = scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    struct journal *journal = scene->world->journal;
    world_close(scene->world);
    journal->calls->close(journal);
    free(scene->fact);
    free(scene->asker);
    free(scene);
    return 0;
}

/* All is settled; the loop's turns sweep what it can forget. */
static void forget(struct scene *scene)
{
    struct loop *loop = scene->world->loop;
    loop->settled_sequence = loop->durable_sequence;
    for (unsigned turn = 0; turn < 8; turn++)
        (void)loop_step(loop);
    assert_int_equal(engine_counts(scene->world->engine).ended, 0);
}

static const char *say(struct scene *scene, unsigned status, const char *path, const char *body)
{
    world_do(scene->world, scene->asker, "POST", path, body);
    if (scene->asker->status != status) print_error("%s: %s\n", path, scene->asker->body);
    assert_int_equal(scene->asker->status, status);
    forget(scene);
    return scene->asker->body;
}

static void assert_says(const struct scene *scene, const char *text)
{
    if (strstr(scene->asker->body, text) != NULL) return;
    print_error("expected %s in: %s\n", text, scene->asker->body);
    fail();
}

/* The id that the last answer named, in a path. */
static void path_of(const struct scene *scene, const char *name, const char *before,
                    const char *behind, char path_out[96])
{
    char pattern[32];
    (void)snprintf(pattern, sizeof pattern, "\"%s\":\"", name);
    const char *found = strstr(scene->asker->body, pattern);
    assert_non_null(found);
    found += strlen(pattern);
    (void)snprintf(path_out, 96, "%s%.*s%s", before, (int)strcspn(found, "\""), found, behind);
}

#define ASK(count) \
    "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":" count "}}"
#define USED(count) "{\"quantities\":{\"requests\":" count "}}"
#define GRANTS "/v1/customers/acme/grants"

static void a_commit_told_again_is_the_same_to_the_byte(void **state)
{
    struct scene *scene = *state;
    char commit[96];
    char first[WORLD_BODY_SIZE];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    (void)say(scene, 200, "/v1/authorize", ASK("3"));
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    (void)snprintf(first, sizeof first, "%s", say(scene, 200, commit, USED("2")));
    assert_string_equal(say(scene, 200, commit, USED("2")), first);
    (void)say(scene, 409, commit, USED("3"));
    assert_says(scene, "hold_committed");
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":86399999}");
    assert_string_equal(say(scene, 200, commit, USED("2")), first);
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":1}");
    (void)say(scene, 404, commit, USED("2"));
    assert_true(scene->look_ups >= 4);
}

static void a_hold_ends_once_whatever_is_forgotten(void **state)
{
    struct scene *scene = *state;
    char release[96];
    char commit[96];
    char extend[96];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    (void)say(scene, 200, "/v1/authorize", ASK("3"));
    path_of(scene, "decision_id", "/v1/holds/", "/release", release);
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    (void)say(scene, 200, release, "{}");
    (void)say(scene, 200, release, "{}");
    assert_says(scene, "\"state\":\"released\"");
    (void)say(scene, 409, commit, USED("1"));
    assert_says(scene, "hold_released");

    (void)say(scene, 200, "/v1/authorize", ASK("2"));
    path_of(scene, "decision_id", "/v1/holds/", "/release", release);
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    path_of(scene, "decision_id", "/v1/holds/", "/extend", extend);
    (void)say(scene, 200, extend, USED("1"));
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":60000}");
    (void)say(scene, 200, release, "{}");
    assert_says(scene, "\"state\":\"expired\"");
    (void)say(scene, 409, extend, USED("1"));
    (void)say(scene, 200, commit, "{}"); /* late, with what the extend had added */
    assert_says(scene, "\"late\":true");
    assert_says(scene, "\"charged\":\"3\"");
    (void)say(scene, 200, commit, "{}");
    (void)say(scene, 409, release, "{}");
    world_do(scene->world, scene->asker, "GET", "/v1/customers/acme/balance", "");
    assert_says(scene, "\"available\":\"6\"");
}

static void refunds_never_exceed_the_charge_whatever_is_forgotten(void **state)
{
    struct scene *scene = *state;
    char commit[96];
    char refund[96];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    (void)say(scene, 200, "/v1/consume", ASK("3"));
    path_of(scene, "decision_id", "/v1/decisions/", "/refund", refund);
    (void)say(scene, 200, refund, "{\"credits\":\"2\"}");
    (void)say(scene, 422, refund, "{\"credits\":\"1.5\"}");
    (void)say(scene, 200, refund, "{\"all\":true,\"idempotency_key\":\"r\"}");
    assert_says(scene, "\"refunded\":\"1\"");
    (void)say(scene, 200, refund, "{\"all\":true,\"idempotency_key\":\"r\"}");
    assert_says(scene, "\"refunded\":\"1\"");

    (void)say(scene, 200, "/v1/authorize", ASK("4"));
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    path_of(scene, "decision_id", "/v1/decisions/", "/refund", refund);
    (void)say(scene, 200, commit, USED("4"));
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":8640000000}"); /* a hundred days */
    (void)say(scene, 200, refund, "{\"credits\":\"1\"}");
    (void)say(scene, 200, refund, "{\"all\":true}");
    assert_says(scene, "\"refunded\":\"3\"");
    (void)say(scene, 422, refund, "{\"credits\":\"0.000000001\"}");
    world_do(scene->world, scene->asker, "GET", "/v1/customers/acme/balance", "");
    assert_says(scene, "\"available\":\"9\"");
}

/* Goal: a journal that is cut early keeps no batch for ever because of a refund. */
static void a_refund_is_forgotten_where_the_journal_is_cut_early_too(void **state)
{
    struct scene *scene = *state;
    struct loop *loop = scene->world->loop;
    char commit[96];
    char refund[2][96];
    loop->parts.receipts_for_ms = 60000;
    world_do(scene->world, scene->asker, "POST", GRANTS,
             "{\"category\":\"paid\",\"credits\":\"9\"}");
    world_do(scene->world, scene->asker, "POST", "/v1/consume", ASK("3"));
    path_of(scene, "decision_id", "/v1/decisions/", "/refund", refund[0]);
    world_do(scene->world, scene->asker, "POST", "/v1/authorize", ASK("2"));
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    path_of(scene, "decision_id", "/v1/decisions/", "/refund", refund[1]);
    world_do(scene->world, scene->asker, "POST", commit, USED("2"));
    for (unsigned of = 0; of < 2; of++) {
        world_do(scene->world, scene->asker, "POST", refund[of], "{\"credits\":\"1\"}");
        assert_int_equal(scene->asker->status, 200);
    }
    /* Of the hold, a commit may be told again; of the charge, nobody asks but a refund. */
    loop->settled_sequence = loop->durable_sequence;
    for (unsigned turn = 0; turn < 8; turn++)
        (void)loop_step(loop);
    assert_int_equal(engine_counts(scene->world->engine).ended, 1);
    world_do(scene->world, scene->asker, "POST", commit, USED("2"));
    assert_int_equal(scene->asker->status, 200);
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":86400000}");
    (void)say(scene, 404, commit, USED("2"));
    (void)say(scene, 422, refund[0], "{\"credits\":\"2.5\"}");
    (void)say(scene, 422, refund[1], "{\"credits\":\"1.5\"}");
    (void)say(scene, 200, refund[0], "{\"all\":true}");
    assert_says(scene, "\"refunded\":\"2\"");
    (void)say(scene, 200, refund[1], "{\"all\":true}");
    assert_says(scene, "\"refunded\":\"1\"");
}

/* Goal: a hold that was extended for so long that its entry may be cut is remembered (H6). */
static void the_end_of_a_hold_that_was_open_for_long_is_remembered(void **state)
{
    struct scene *scene = *state;
    struct loop *loop = scene->world->loop;
    char commit[96];
    char extend[96];
    loop->parts.receipts_for_ms = 32 * DAY_MS;
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    (void)say(scene, 200, "/v1/authorize",
              "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":2},"
              "\"ttl_ms\":2592000000}");
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    path_of(scene, "decision_id", "/v1/holds/", "/extend", extend);
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":1728000000}");
    (void)say(scene, 200, extend, "{\"quantities\":{\"requests\":0},\"ttl_ms\":2592000000}");
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":1728000000}");
    world_do(scene->world, scene->asker, "POST", commit, USED("2"));
    assert_int_equal(scene->asker->status, 200);
    loop->settled_sequence = loop->durable_sequence;
    for (unsigned turn = 0; turn < 8; turn++)
        (void)loop_step(loop);
    assert_int_equal(engine_counts(scene->world->engine).ended, 1);
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":86400000}");
}

/* Goal: where usage events go before keys do, an end is remembered: the books could not tell it. */
static void an_end_whose_usage_event_goes_early_is_remembered(void **state)
{
    struct scene *scene = *state;
    struct loop *loop = scene->world->loop;
    char commit[96];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    loop->parts.usage_for_ms = 60000;
    (void)say(scene, 200, "/v1/authorize", ASK("3"));
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    world_do(scene->world, scene->asker, "POST", commit, USED("2"));
    loop->settled_sequence = loop->durable_sequence;
    for (unsigned turn = 0; turn < 8; turn++)
        (void)loop_step(loop);
    assert_int_equal(engine_counts(scene->world->engine).ended, 1);
    loop->parts.usage_for_ms = INT64_C(86400000);
    forget(scene);
}

static void a_grant_that_is_gone_has_nothing_to_void(void **state)
{
    struct scene *scene = *state;
    char path[96];
    (void)say(scene, 200, GRANTS,
              "{\"category\":\"paid\",\"credits\":\"9\",\"expires_at\":\"2026-05-01T13:00:00Z\"}");
    path_of(scene, "grant_id", "/v1/grants/", "/void", path);
    (void)say(scene, 200, "/v1/clock", "{\"advance_ms\":86400000}");
    (void)say(scene, 200, path, "{}");
    assert_says(scene, "\"voided\":\"0\"");
    (void)say(scene, 404, "/v1/grants/g_00000000fff00/void", "{}");
}

static void books_that_cannot_be_read_are_an_error_and_no_answer(void **state)
{
    struct scene *scene = *state;
    char commit[96];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    (void)say(scene, 200, "/v1/authorize", ASK("3"));
    path_of(scene, "decision_id", "/v1/holds/", "/commit", commit);
    (void)say(scene, 200, commit, USED("2"));
    scene->are_books_broken = true;
    (void)say(scene, 500, commit, USED("2"));
    scene->are_books_broken = false;
    (void)say(scene, 200, commit, USED("2"));
}

/* Goal: what is still in the open batch or in flight needs no books. */
static void what_was_just_decided_is_recalled_from_memory(void **state)
{
    struct scene *scene = *state;
    struct asker *consumed = malloc(sizeof *consumed);
    assert_non_null(consumed);
    char id[ID_TEXT_SIZE];
    char refund[96];
    (void)say(scene, 200, GRANTS, "{\"category\":\"paid\",\"credits\":\"9\"}");
    id_format('d', position_make(scene->world->journal->tip.sequence + 1, 0), id);
    (void)snprintf(refund, sizeof refund, "/v1/decisions/%s/refund", id);
    world_post(scene->world, consumed, "/v1/consume", ASK("3"));
    world_post(scene->world, scene->asker, refund, "{\"all\":true}");
    world_settle(scene->world);
    assert_int_equal(consumed->status, 200);
    assert_int_equal(scene->asker->status, 200);
    assert_says(scene, "\"refunded\":\"3\"");
    assert_int_equal(scene->look_ups, 0);
    free(consumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_told_again_is_the_same_to_the_byte, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(a_hold_ends_once_whatever_is_forgotten, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(refunds_never_exceed_the_charge_whatever_is_forgotten,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(a_refund_is_forgotten_where_the_journal_is_cut_early_too,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(the_end_of_a_hold_that_was_open_for_long_is_remembered,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(an_end_whose_usage_event_goes_early_is_remembered,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(a_grant_that_is_gone_has_nothing_to_void, open_scene,
                                        close_scene),
        cmocka_unit_test_setup_teardown(books_that_cannot_be_read_are_an_error_and_no_answer,
                                        open_scene, close_scene),
        cmocka_unit_test_setup_teardown(what_was_just_decided_is_recalled_from_memory, open_scene,
                                        close_scene),
    };
    return cmocka_run_group_tests_name("recall", tests, NULL, NULL);
}
