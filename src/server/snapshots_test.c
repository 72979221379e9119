/*
 * snapshots_test.c: a server that starts from a snapshot is the one that starts from the journal;
 * a snapshot that cannot be trusted is named and passed over. Files are real, time and exchanges
 * are not.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "platform/testing.h"
#include "server/world.h"

static const char POLICY[] =
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 1h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"0.7\", per: 3}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 600, per: 1m, scope: subject}\n"
    "          - concurrency: {name: slots, limit: 50}\n"
    "        waterfall:\n"
    "          - allowance: {name: inc, scope: subject, windows: [{limit: 9, per: 5h, start: "
    "first_use}]}\n"
    "          - grants: {category: paid}\n";
static const char OTHER_POLICY[] =
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features: {chat: {meters: [requests], unit: requests}}\n"
    "plans: {free: {features: {chat: {waterfall: [{allowance: {name: wide, windows: [{limit: "
    "100000, per: 5h, start: first_use}]}}]}}}}\n";

enum { EVERY_BYTES = 3000 };

struct scene {
    struct scratch scratch;
    struct engine_ceilings ceilings;
    struct world *world;
    struct asker *asker;
    struct prng prng;
    uint64_t holds[16];
};

/* In place: the directory's name is used where it is. */
static void open_scene(struct scene *scene, uint64_t seed)
{
    *scene = (struct scene){.scratch = scratch_make(),
                            .ceilings = engine_ceilings_for((uint64_t)16 << 20),
                            .asker = malloc(sizeof(struct asker)),
                            .prng = {seed}};
    assert_non_null(scene->asker);
    scene->world =
        world_open_snapshotting(NULL, POLICY, scene->ceilings, scene->scratch.path, EVERY_BYTES);
}

static void close_scene(struct scene *scene)
{
    struct journal *journal = scene->world->journal;
    world_close(scene->world);
    journal->calls->close(journal);
    free(scene->asker);
    scratch_remove(&scene->scratch);
}

/* As after kill -9. */
static void restart(struct scene *scene)
{
    struct journal *journal = scene->world->journal;
    world_close(scene->world);
    scene->world =
        world_open_snapshotting(journal, NULL, scene->ceilings, scene->scratch.path, EVERY_BYTES);
}

static void random_request(struct scene *scene, char target[64], char body[256])
{
    const unsigned customer = (unsigned)prng_below(&scene->prng, 5);
    const unsigned place = (unsigned)prng_below(&scene->prng, COUNT_OF(scene->holds));
    char id[ID_TEXT_SIZE];
    (void)snprintf(body, 256,
                   "{\"customer\":\"c%u\",\"subject\":\"t%u\",\"feature\":\"chat\","
                   "\"quantities\":{\"requests\":%u},\"idempotency_key\":\"k%u\"}",
                   customer, (unsigned)prng_below(&scene->prng, 3),
                   1 + (unsigned)prng_below(&scene->prng, 4),
                   (unsigned)prng_below(&scene->prng, 2000));
    switch (prng_below(&scene->prng, 8)) {
    case 0:
        (void)snprintf(target, 64, "/v1/customers/c%u/grants", customer);
        (void)snprintf(body, 256, "{\"category\":\"paid\",\"credits\":\"2.5\"}");
        return;
    case 1:
        id_format('d', scene->holds[place], id);
        (void)snprintf(target, 64, "/v1/holds/%s/commit", id);
        (void)snprintf(body, 256, "{\"quantities\":{\"requests\":1}}");
        return;
    case 2:
    case 3:
        (void)snprintf(target, 64, "/v1/authorize");
        scene->holds[place] = batch_next_position(scene->world->loop->open);
        return;
    default:
        (void)snprintf(target, 64, "/v1/consume");
        return;
    }
}

static void live(struct scene *scene, unsigned steps)
{
    for (unsigned i = 0; i < steps; ++i) {
        char target[64];
        char body[256];
        if (prng_below(&scene->prng, 10) == 0) {
            (void)snprintf(body, sizeof(body), "{\"advance_ms\":%u}",
                           (unsigned)prng_below(&scene->prng, 20000));
            world_do(scene->world, scene->asker, "POST", "/v1/clock", body);
            continue;
        }
        random_request(scene, target, body);
        world_do(scene->world, scene->asker, "POST", target, body);
        assert_true(scene->asker->status < 500);
    }
}

static const char *health(struct scene *scene)
{
    world_do(scene->world, scene->asker, "GET", "/healthz", "");
    assert_int_equal(scene->asker->status, 200);
    return scene->asker->body;
}

static uint32_t listed(const struct scene *scene, struct snapshot_list *list_out)
{
    assert_true(snapshot_list(scene->scratch.path, list_out));
    return list_out->count;
}

static void file_of(const struct scene *scene, uint64_t sequence, char path_out[FILE_PATH_SIZE])
{
    (void)snprintf(path_out, FILE_PATH_SIZE, "%s/snapshot-%" PRIu64 ".weir", scene->scratch.path,
                   sequence);
}

/* What a server sees that has the journal alone. */
static void assert_same_as_from_journal(struct scene *scene)
{
    struct world *from_journal = world_open_within(scene->world->journal, NULL, scene->ceilings);
    const int64_t now_ms = scene->world->loop->now_ms;
    assert_int_equal(from_journal->recovered.snapshot, 0);
    assert_int_equal(engine_state_hash(scene->world->engine, now_ms),
                     engine_state_hash(from_journal->engine, now_ms));
    assert_int_equal(scene->world->policies->version_count, from_journal->policies->version_count);
    assert_memory_equal(scene->world->policies->versions, from_journal->policies->versions,
                        sizeof(scene->world->policies->versions));
    assert_true(
        bytes_equal(scene->world->policies->current->yaml, from_journal->policies->current->yaml));
    world_close(from_journal);
}

/* Goal: whenever the server dies, it comes back as the one that had read the whole journal.
 * Method: random requests with a snapshot every few batches, deaths in between. */
static void a_server_from_a_snapshot_is_the_one_from_the_journal(void **state)
{
    (void)state;
    unsigned from_snapshots = 0;
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        struct scene scene;
        open_scene(&scene, seed);
        for (unsigned round = 0; round < 8; ++round) {
            struct snapshot_list list;
            live(&scene, 10 + (unsigned)prng_below(&scene.prng, 60));
            restart(&scene);
            assert_int_equal(scene.world->refused_snapshots, 0);
            from_snapshots += scene.world->recovered.snapshot != 0;
            assert_same_as_from_journal(&scene);
            assert_true(listed(&scene, &list) <= 2);
        }
        close_scene(&scene);
    }
    assert_true(from_snapshots > 60);
}

static void a_policy_comes_with_the_snapshot_or_from_behind_it(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, 3);
    live(&scene, 60);
    world_do(scene.world, scene.asker, "PUT", "/v1/policy", OTHER_POLICY);
    assert_int_equal(scene.asker->status, 200);
    restart(&scene);
    assert_int_not_equal(scene.world->recovered.snapshot, 0);
    assert_same_as_from_journal(&scene);
    assert_true(bytes_equal(scene.world->policies->current->yaml, bytes_of_text(OTHER_POLICY)));
    live(&scene, 80);
    restart(&scene);
    assert_true(position_sequence(engine_policy_info(scene.world->engine).position) <
                scene.world->recovered.snapshot);
    assert_same_as_from_journal(&scene);
    assert_true(bytes_equal(scene.world->policies->current->yaml, bytes_of_text(OTHER_POLICY)));
    close_scene(&scene);
}

/* Lives until there are two snapshots, and some journal behind them. */
static void open_with_two(struct scene *scene, struct snapshot_list *list_out)
{
    open_scene(scene, 7);
    for (unsigned i = 0; i < 50 && listed(scene, list_out) < 2; ++i)
        live(scene, 20);
    live(scene, 5);
    assert_int_equal(listed(scene, list_out), 2);
}

static void overwrite(const char *path, long at, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    (void)fclose(file);
}

enum damage { FLIPPED, FLIPPED_AT_END, CUT, EMPTIED, A_DIRECTORY, SWAPPED, DAMAGES };

static void inflict(const struct scene *scene, enum damage damage, const struct snapshot_list *list)
{
    char newer[FILE_PATH_SIZE];
    char older[FILE_PATH_SIZE];
    char aside[FILE_PATH_SIZE];
    file_of(scene, list->sequences[0], newer);
    file_of(scene, list->sequences[1], older);
    file_of(scene, 1, aside);
    switch (damage) {
    case FLIPPED:
        overwrite(newer, 300, "!", 1);
        return;
    case FLIPPED_AT_END:
        overwrite(newer, -1, "!", 1);
        return;
    case CUT:
        assert_int_equal(truncate(newer, 200), 0);
        return;
    case EMPTIED:
        assert_int_equal(truncate(newer, 0), 0);
        return;
    case A_DIRECTORY:
        assert_int_equal(remove(newer), 0);
        assert_int_equal(mkdir(newer, 0700), 0);
        return;
    case SWAPPED:
        assert_int_equal(rename(newer, aside), 0);
        assert_int_equal(rename(older, newer), 0);
        assert_int_equal(rename(aside, older), 0);
        return;
    case DAMAGES:
        break;
    }
    fail();
}

static void a_damaged_snapshot_is_named_and_the_older_one_used(void **state)
{
    (void)state;
    for (enum damage damage = 0; damage < DAMAGES; ++damage) {
        struct snapshot_list list;
        struct scene scene;
        open_with_two(&scene, &list);
        char name[64];
        inflict(&scene, damage, &list);
        restart(&scene);
        (void)snprintf(name, sizeof(name), "snapshot-%" PRIu64 ".weir",
                       list.sequences[damage == SWAPPED ? 1 : 0]);
        assert_int_equal(scene.world->refused_snapshots, damage == SWAPPED ? 2 : 1);
        assert_non_null(strstr(scene.world->refused, name));
        assert_int_equal(scene.world->recovered.snapshot,
                         damage == SWAPPED ? 0 : list.sequences[1]);
        assert_same_as_from_journal(&scene);
        close_scene(&scene);
    }
}

static void without_a_good_snapshot_the_journal_is_read_from_its_beginning(void **state)
{
    (void)state;
    struct snapshot_list list;
    struct scene scene;
    open_with_two(&scene, &list);
    for (unsigned i = 0; i < 2; ++i) {
        char path[FILE_PATH_SIZE];
        file_of(&scene, list.sequences[i], path);
        overwrite(path, 40, "?", 1);
    }
    restart(&scene);
    assert_int_equal(scene.world->refused_snapshots, 2);
    assert_int_equal(scene.world->recovered.snapshot, 0);
    assert_same_as_from_journal(&scene);
    live(&scene, 60); /* a new one takes the place of the damaged ones */
    restart(&scene);
    assert_int_equal(scene.world->refused_snapshots, 0);
    assert_int_not_equal(scene.world->recovered.snapshot, 0);
    close_scene(&scene);
}

/* The snapshots of one directory beside another journal. */
static void refused_beside(struct hash_key key, unsigned batches, const char *why)
{
    struct snapshot_list list;
    struct scene scene;
    open_with_two(&scene, &list);
    struct journal *own = scene.world->journal;
    world_close(scene.world);
    struct journal *other = journal_memory_open(key, 1);
    scene.world = world_open_within(other, POLICY, scene.ceilings);
    for (unsigned i = 0; i < batches; ++i)
        world_do(scene.world, scene.asker, "POST", "/v1/consume",
                 "{\"customer\":\"z\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}");
    char keys[FILE_PATH_SIZE];
    assert_true(file_path(scene.scratch.path, "keys.weir", keys));
    assert_int_equal(unlink(keys), 0); /* another journal's, too */
    restart(&scene);
    assert_int_equal(scene.world->refused_snapshots, 2);
    assert_int_equal(scene.world->recovered.snapshot, 0);
    assert_non_null(strstr(scene.world->refused, why));
    assert_same_as_from_journal(&scene);
    own->calls->close(own);
    close_scene(&scene);
}

static void a_snapshot_of_another_journal_is_named(void **state)
{
    (void)state;
    const struct hash_key same = {
        {1, 2}
    };
    const struct hash_key another = {
        {1, 3}
    };
    refused_beside(another, 3, "it belongs to another journal");
    refused_beside(same, 1, "it is ahead of the journal");
    refused_beside(same, 200, "the journal's batch is another one");
}

static void a_journal_without_its_beginning_and_without_a_snapshot_is_refused(void **state)
{
    (void)state;
    struct snapshot_list list;
    struct scene scene;
    open_with_two(&scene, &list);
    struct journal *journal = scene.world->journal;
    journal->calls->keep_from(journal, list.sequences[1]);
    live(&scene, 20);
    assert_true(journal->first > 2);
    const int64_t now_ms = scene.world->loop->now_ms;
    const uint64_t before = engine_state_hash(scene.world->engine, now_ms);
    restart(&scene);
    assert_int_not_equal(scene.world->recovered.snapshot, 0);
    assert_int_equal(engine_state_hash(scene.world->engine, now_ms), before);

    assert_int_equal(listed(&scene, &list), 2);
    for (unsigned i = 0; i < 2; ++i) {
        char path[FILE_PATH_SIZE];
        file_of(&scene, list.sequences[i], path);
        assert_int_equal(remove(path), 0);
    }
    struct recovery recovery;
    const struct recovery_parts parts = {.journal = journal,
                                         .engine = scene.world->engine,
                                         .ceilings = scene.ceilings,
                                         .policies = scene.world->policies,
                                         .directory = scene.scratch.path};
    assert_int_equal(recovery_run(&parts, &recovery), RECOVERY_FAILED);
    assert_non_null(strstr(recovery.detail, "restore a snapshot-*.weir from a backup"));
    close_scene(&scene);
}

static void a_snapshot_that_cannot_be_written_is_tried_again_and_nobody_notices(void **state)
{
    (void)state;
    struct snapshot_list list;
    struct scene scene;
    open_scene(&scene, 9);
    char busy[FILE_PATH_SIZE];
    (void)snprintf(busy, sizeof(busy), "%s/snapshot.new", scene.scratch.path);
    assert_int_equal(mkdir(busy, 0700), 0);
    live(&scene, 100);
    assert_int_equal(listed(&scene, &list), 0);
    const char *told = health(&scene);
    assert_non_null(strstr(told, "\"status\":\"degraded\""));
    assert_non_null(strstr(told, "\"conditions\":[\"snapshot_failed\"]"));
    assert_non_null(strstr(told, "\"snapshots\":{\"sequence\":0,\"older\":0,\"failures\":"));
    assert_non_null(strstr(told, "\"why\":\"the snapshot cannot be written\"}"));
    assert_int_equal(rmdir(busy), 0);
    live(&scene, 60);
    assert_int_not_equal(listed(&scene, &list), 0);
    told = health(&scene);
    char newest[64];
    (void)snprintf(newest, sizeof(newest), "\"snapshots\":{\"sequence\":%" PRIu64 ",",
                   list.sequences[0]);
    assert_non_null(strstr(told, newest));
    assert_non_null(strstr(told, "\"age_ms\":"));
    assert_non_null(strstr(told, "\"failures\":0}"));
    assert_non_null(strstr(told, "\"conditions\":[]"));
    restart(&scene);
    assert_int_not_equal(scene.world->recovered.snapshot, 0);
    assert_same_as_from_journal(&scene);
    close_scene(&scene);
}

static void a_snapshot_waits_for_its_batch(void **state)
{
    (void)state;
    struct snapshot_list list;
    struct scene scene;
    open_scene(&scene, 11);
    while (scene.world->snapshots->stage == SNAPSHOTS_REST) {
        char target[64];
        char body[256];
        random_request(&scene, target, body);
        world_post(scene.world, scene.asker, target, body);
        while (loop_step(scene.world->loop))
            continue;
        if (scene.world->snapshots->stage == SNAPSHOTS_REST) world_settle(scene.world);
    }
    /* The journal's thread does not get its turn. */
    for (unsigned i = 0; i < 100; ++i) {
        (void)loop_step(scene.world->loop);
        (void)snapshots_step(scene.world->snapshots);
    }
    assert_int_equal(scene.world->snapshots->stage, SNAPSHOTS_WAIT);
    assert_int_equal(listed(&scene, &list), 0);
    world_settle(scene.world);
    assert_int_equal(listed(&scene, &list), 1);
    assert_int_equal(list.sequences[0], scene.world->snapshots->sequence);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_from_a_snapshot_is_the_one_from_the_journal),
        cmocka_unit_test(a_policy_comes_with_the_snapshot_or_from_behind_it),
        cmocka_unit_test(a_damaged_snapshot_is_named_and_the_older_one_used),
        cmocka_unit_test(without_a_good_snapshot_the_journal_is_read_from_its_beginning),
        cmocka_unit_test(a_snapshot_of_another_journal_is_named),
        cmocka_unit_test(a_journal_without_its_beginning_and_without_a_snapshot_is_refused),
        cmocka_unit_test(a_snapshot_that_cannot_be_written_is_tried_again_and_nobody_notices),
        cmocka_unit_test(a_snapshot_waits_for_its_batch),
    };
    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
