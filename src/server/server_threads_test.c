/*
 * server_threads_test.c: the loop with its real threads over a real journal: whatever the
 * scheduling, every exchange is answered once, with what is durable. Also run under the thread
 * sanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/testing.h"
#include "server/world.h"

enum { ASKERS = 64, ANSWERS = 6000, PUT_EVERY = 500, SNAPSHOT_EVERY_BYTES = 50000 };

static const char *const POLICY = "version: 1\n"
                                  "defaults: {plan: free}\n"
                                  "features:\n"
                                  "  chat: {meters: [requests], unit: requests}\n"
                                  "plans:\n"
                                  "  free:\n"
                                  "    features:\n"
                                  "      chat: {waterfall: [unlimited: {}]}\n";

static struct journal *open_journal(const char *directory, struct journal **reader_out)
{
    struct journal *journal = NULL;
    char detail[256];
    const struct hash_key key = {
        {1, 2}
    };
    enum journal_fault fault = journal_sqlite_open(directory, key, 1, &journal, detail);
    if (fault == JOURNAL_OK) fault = journal_sqlite_open_reader(directory, reader_out, detail);
    if (fault != JOURNAL_OK) print_error("%s\n", detail);
    assert_int_equal(fault, JOURNAL_OK);
    return journal;
}

static void ask_anything(struct world *world, struct prng *prng, struct asker *asker,
                         char body[256], uint64_t count)
{
    if (count % PUT_EVERY == 0) {
        world_ask(world, asker, "PUT", "/v1/policy", POLICY);
        return;
    }
    /* Few keys, so that replays go through the desk. */
    (void)snprintf(body, 256,
                   "{\"customer\":\"c%u\",\"feature\":\"chat\",\"quantities\":{\"requests\":1},"
                   "\"idempotency_key\":\"k%u\"}",
                   (unsigned)prng_below(prng, 20), (unsigned)prng_below(prng, 50));
    world_post(world, asker, "/v1/consume", body);
}

static void every_exchange_is_answered_once_with_what_is_durable(void **state)
{
    (void)state;
    static struct asker askers[ASKERS];
    static char bodies[ASKERS][256];
    const uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = {seed};
    struct scratch scratch = scratch_make();
    const char *directory = scratch.path;
    struct journal *reader = NULL;
    struct wake wake;
    struct engine_ceilings ceilings = engine_ceilings_for(UINT64_C(64) << 20);
    struct world *world = world_open_snapshotting(open_journal(directory, &reader), POLICY,
                                                  ceilings, directory, SNAPSHOT_EVERY_BYTES);
    assert_true(wake_open(&wake));
    world->journaling->loop_wake = &wake;
    world->desk->loop_wake = &wake;
    world->desk->journal = reader;
    assert_true(journaling_start_thread(world->journaling));
    assert_true(desk_start_thread(world->desk));
    world->snapshots->parts.loop_wake = &wake;
    assert_true(snapshots_start_thread(world->snapshots));

    uint64_t asked = 0;
    for (; asked < ASKERS; ++asked)
        ask_anything(world, &prng, &askers[asked], bodies[asked], asked);
    while (world->answers < ANSWERS + 1) { /* and the policy of the beginning */
        wake_clear(&wake);
        if (!loop_step(world->loop)) wake_wait(&wake, loop_wait_ms(world->loop));
        for (size_t i = 0; i < ASKERS && asked < ANSWERS; ++i) {
            if (!askers[i].is_answered) continue;
            assert_int_equal(askers[i].status, 200);
            ask_anything(world, &prng, &askers[i], bodies[i], asked++);
        }
    }
    assert_int_equal(asked, ANSWERS);
    assert_int_not_equal(world->snapshots->parts.newest, 0);
    snapshots_stop(world->snapshots);
    desk_stop(world->desk);
    journaling_stop(world->journaling);
    const int64_t now_ms = clock_now_ms(&world->clock);
    const uint64_t hash = engine_state_hash(world->engine, now_ms);
    reader->calls->close(reader);
    world->journal->calls->close(world->journal);
    world_close(world);

    world = world_open_snapshotting(open_journal(directory, &reader), NULL, ceilings, directory,
                                    SNAPSHOT_EVERY_BYTES);
    assert_int_not_equal(world->recovered.snapshot, 0);
    assert_true(engine_state_hash(world->engine, now_ms) == hash);
    reader->calls->close(reader);
    world->journal->calls->close(world->journal);
    world_close(world);
    wake_close(&wake);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exchange_is_answered_once_with_what_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
