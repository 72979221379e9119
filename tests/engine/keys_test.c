/*
 * Keys that leave the state: what may go, what stays, and what is answered meanwhile and after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "world.h"

static const char policy[] =
    "version: 1\n"
    "defaults: {plan: base, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: true}\n"
    "plans:\n"
    "  base: {tier: 1, features: {chat: {waterfall: [{unlimited: {}}]}}}\n";
static const char *const policies[] = {policy};

#define LISTED_MAX 65536u
#define NEVER_ASKED UINT64_C(0xffffffffffffffff)

static struct world *open_world(void)
{
    struct world *world = world_open(policies, 1);
    world_check_purity(world, false);
    return world;
}

static struct keys_wanted all_of(const struct world *world)
{
    return (struct keys_wanted){
        .now_ms = world_now(world), .before = NEVER_ASKED, .last = UINT64_MAX};
}

/* A replay knows all that left; it too must end with the same state. */
static void forget_in_twin(struct world *world, const struct kept_key *listed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)engine_key_forget(world_twin(world), listed[i]);
}

/* Lists and forgets everything that may go. */
static uint32_t take_away(struct world *world, struct kept_key *listed)
{
    struct engine *engine = world_engine(world);
    const struct keys_wanted wanted = all_of(world);
    const uint32_t records = engine_key_records(engine);
    const uint32_t counted = engine_keys_count(engine, &wanted, 1, records);
    const uint32_t count = engine_keys_list(engine, &wanted, 1, records, listed, LISTED_MAX);
    assert_int_equal(count, counted);
    engine_keys_forget(engine, 1, records);
    forget_in_twin(world, listed, count);
    return count;
}

static struct ruling ask(struct world *world, const char *key, enum key_elsewhere elsewhere,
                         struct kept_key kept, uint64_t requests)
{
    static struct fact fact;
    const struct command command = {
        .kind = COMMAND_CONSUME,
        .customer = BYTES("a"),
        .feature = BYTES("chat"),
        .key = bytes_of_text(key),
        .quantity_count = 1,
        .quantities = {{BYTES("requests"), requests}},
        .key_elsewhere = elsewhere,
        .key_kept = kept,
    };
    return engine_decide(
        world_engine(world), world_policy(world), &command,
        (struct stamp){.now_ms = world_now(world), .position = position_make(1 << 30, 0)}, &fact);
}

static void a_key_that_left_is_asked_for_and_counts_until_it_is_over(void **state)
{
    (void)state;
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    const struct kept_key none = {0};
    struct world *world = open_world();
    assert_string_equal(world_do(world, "consume a chat requests=1 key=k"),
                        "allow 1/1 | unlimited 1");
    assert_int_equal(ask(world, "k", KEY_UNSOUGHT, none, 1).kind, RULING_REPLAY);
    assert_int_equal(take_away(world, listed), 1);
    assert_int_equal(engine_counts(world_engine(world)).keys, 0);

    const struct kept_key kept = listed[0];
    assert_int_equal(kept.until_ms, WORLD_START_MS + DAY_MS);
    const struct ruling asked = ask(world, "k", KEY_UNSOUGHT, none, 1);
    assert_int_equal(asked.kind, RULING_KEY);
    assert_true(hash_128_equal(asked.key, kept.hash));
    assert_int_equal(ask(world, "k", KEY_NOWHERE, none, 1).kind, RULING_FACT);
    const struct ruling again = ask(world, "k", KEY_FOUND, kept, 1);
    assert_int_equal(again.kind, RULING_REPLAY);
    assert_int_equal(again.position, kept.position);
    const struct ruling other = ask(world, "k", KEY_FOUND, kept, 2);
    assert_int_equal(other.kind, RULING_PROBLEM);
    assert_int_equal(other.problem.code, PROBLEM_KEY_CONFLICT);

    (void)world_do(world, "at +23h59m59s999ms");
    assert_int_equal(ask(world, "k", KEY_FOUND, kept, 1).kind, RULING_REPLAY);
    (void)world_do(world, "at +24h");
    assert_int_equal(ask(world, "k", KEY_FOUND, kept, 1).kind, RULING_FACT);
    free(listed);
    world_close(world);
}

static void keys_of_open_holds_stay_until_the_end(void **state)
{
    (void)state;
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    struct world *world = open_world();
    (void)world_do(world, "H: authorize a chat requests=1 key=h ttl=30d");
    (void)world_do(world, "extend H key=e");
    (void)world_do(world, "authorize a chat requests=1 key=short ttl=1m");
    assert_int_equal(take_away(world, listed), 0);
    (void)world_do(world, "at +29d");
    assert_int_equal(take_away(world, listed), 0); /* the short one's key is over */
    assert_string_equal(world_do(world, "authorize a chat requests=1 key=h ttl=30d"),
                        "again allow 1/1 | unlimited 1");
    (void)world_do(world, "commit H requests=1");
    assert_int_equal(take_away(world, listed), 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(listed[i].until_ms, WORLD_START_MS + 30 * DAY_MS);
    free(listed);
    world_close(world);
}

static void what_is_bound_anew_between_list_and_forget_stays(void **state)
{
    (void)state;
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    struct world *world = open_world();
    struct engine *engine = world_engine(world);
    (void)world_do(world, "consume a chat requests=1 key=k");
    (void)world_do(world, "consume a chat requests=1 key=l");
    (void)world_do(world, "at +23h59m");
    const struct keys_wanted wanted = all_of(world);
    assert_int_equal(engine_keys_list(engine, &wanted, 1, UINT32_MAX, listed, LISTED_MAX), 2);
    (void)world_do(world, "at +24h");
    assert_string_equal(world_do(world, "consume a chat requests=3 key=k"),
                        "allow 3/3 | unlimited 3");
    engine_keys_forget(engine, 1, UINT32_MAX);
    assert_int_equal(engine_counts(engine).keys, 1);
    assert_string_equal(world_do(world, "consume a chat requests=3 key=k"),
                        "again allow 3/3 | unlimited 3");
    assert_false(engine_key_forget(engine, listed[0]) && engine_key_forget(engine, listed[1]));
    assert_int_equal(engine_counts(engine).keys, 1);
    free(listed);
    world_close(world);
}

static void a_list_that_came_to_nothing_is_listed_again(void **state)
{
    (void)state;
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    struct world *world = open_world();
    struct engine *engine = world_engine(world);
    (void)world_do(world, "consume a chat requests=1 key=k");
    const struct keys_wanted wanted = all_of(world);
    assert_int_equal(engine_keys_list(engine, &wanted, 1, 9, listed, LISTED_MAX), 1);
    assert_int_equal(engine_keys_list(engine, &wanted, 1, 9, listed, LISTED_MAX), 0);
    assert_int_equal(engine_keys_count(engine, &wanted, 1, 9), 1);
    assert_int_equal(take_away(world, listed), 1);
    assert_int_equal(engine_key_records(engine), 1);
    free(listed);
    world_close(world);
}

static void slices_and_pieces_together_list_everything_once(void **state)
{
    (void)state;
    enum { KEYS = 1000 };
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    struct world *world = open_world();
    struct engine *engine = world_engine(world);
    char line[64];
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof line, "consume a chat requests=1 key=k%u", i);
        (void)world_do(world, line);
    }
    const uint64_t middle = world_fact(world)->position;
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof line, "consume a chat requests=1 key=young%u", i);
        (void)world_do(world, line);
    }
    struct keys_wanted wanted = all_of(world);
    wanted.before = middle;
    uint32_t count = 0;
    for (unsigned slice = 0; slice < 4; slice++) {
        wanted.first = (uint64_t)slice << 62;
        wanted.last = wanted.first + (UINT64_MAX >> 2);
        const uint32_t from = count;
        for (uint32_t n = 1; n <= engine_key_records(engine); n += 7)
            count += engine_keys_list(engine, &wanted, n, 7, listed + count, LISTED_MAX - count);
        for (uint32_t i = from; i < count; i++)
            assert_true(listed[i].hash.word[0] >> 62 == slice && listed[i].position < middle);
    }
    assert_int_equal(count, KEYS - 1); /* the one at `middle` is not before it */
    engine_keys_forget(engine, 1, UINT32_MAX);
    forget_in_twin(world, listed, count);
    assert_int_equal(engine_counts(engine).keys, KEYS + 1);
    free(listed);
    world_close(world);
}

static void keys_that_leave_while_an_image_is_made_are_in_it(void **state)
{
    (void)state;
    enum { KEYS = 300, IMAGE_BYTES = 1 << 20 };
    const struct engine_ceilings ceilings = engine_ceilings_for(UINT64_C(16) << 20);
    struct kept_key *listed = malloc(LISTED_MAX * sizeof *listed);
    struct world *world = open_world();
    struct engine *engine = world_engine(world);
    char line[64];
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof line, "consume a chat requests=1 key=k%u", i);
        (void)world_do(world, line);
    }
    (void)world_do(world, "authorize a chat requests=1 key=h ttl=10h");
    const uint64_t before = engine_state_hash(engine, world_now(world));
    void *bytes = malloc(IMAGE_BYTES);
    struct buffer image = buffer_over(bytes, IMAGE_BYTES);
    engine_image_begin(engine, world_now(world), &image);
    assert_false(engine_image_step(engine, 2000));
    assert_int_equal(take_away(world, listed), KEYS);
    while (!engine_image_step(engine, 1000)) {
    }
    assert_false(image.overflowed);

    void *block = mmap(NULL, engine_bytes(ceilings), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(block != MAP_FAILED);
    struct engine *loaded = engine_over(block, ceilings,
                                        (struct hash_key){
                                            {1, 2}
    });
    assert_int_equal(engine_image_load(loaded, buffer_bytes(&image)), IMAGE_OK);
    assert_int_equal(engine_image_loaded(loaded), IMAGE_OK);
    assert_int_equal(engine_counts(loaded).keys, KEYS + 1);
    assert_true(engine_state_hash(loaded, world_now(world)) == before);
    munmap(block, engine_bytes(ceilings));
    free(bytes);
    free(listed);
    world_close(world);
}

/* The table is full of keys: whoever brings none, or an old one, goes on. */
static void a_full_table_refuses_new_keys_alone(void **state)
{
    (void)state;
    const struct engine_ceilings ceilings = {.customers = 64,
                                             .scopes = 64,
                                             .slots = 256,
                                             .rings = 32,
                                             .grants = 96,
                                             .holds = 64,
                                             .lines = 640,
                                             .keys = 128};
    struct world *world = world_open_with(policies, 1, ceilings);
    world_check_purity(world, false);
    char line[64];
    for (unsigned i = 0; i < 128; i++) {
        (void)snprintf(line, sizeof line, "consume a chat requests=1 key=k%u", i);
        assert_string_equal(world_do(world, line), "allow 1/1 | unlimited 1");
    }
    assert_string_equal(world_do(world, "consume a chat requests=1 key=new"), "! capacity");
    assert_string_equal(world_do(world, "consume a chat requests=1 key=k0"),
                        "again allow 1/1 | unlimited 1");
    assert_string_equal(world_do(world, "consume a chat requests=1"), "allow 1/1 | unlimited 1");
    assert_string_equal(world_do(world, "consume newcomer chat requests=1"),
                        "allow 1/1 | unlimited 1");
    assert_string_equal(world_do(world, "A: authorize a chat requests=1"),
                        "allow 1/1 | unlimited 1");
    assert_string_equal(world_do(world, "commit A requests=1"), "allow 1/1 | unlimited 1");
    (void)world_do(world, "at +24h"); /* the old ones are over, and their room is the next one's */
    assert_string_equal(world_do(world, "consume a chat requests=1 key=new"),
                        "allow 1/1 | unlimited 1");
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_left_is_asked_for_and_counts_until_it_is_over),
        cmocka_unit_test(keys_of_open_holds_stay_until_the_end),
        cmocka_unit_test(what_is_bound_anew_between_list_and_forget_stays),
        cmocka_unit_test(a_list_that_came_to_nothing_is_listed_again),
        cmocka_unit_test(slices_and_pieces_together_list_everything_once),
        cmocka_unit_test(keys_that_leave_while_an_image_is_made_are_in_it),
        cmocka_unit_test(a_full_table_refuses_new_keys_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
