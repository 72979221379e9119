/*
 * access_test.c: access keys in the engine: which may be made and which may go, what a bound one
 * sees, and that a full table makes room of what is expired.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state.h"
#include "world.h"

static const char *const policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: paid}\n"};

static void expect(struct world *world, const char *line, const char *answer)
{
    const char *given = world_do(world, line);
    if (strcmp(given, answer) != 0) print_error("%s\n  %s\n  %s\n", line, answer, given);
    assert_string_equal(given, answer);
}

static void nobody_locks_himself_out(void **state)
{
    (void)state;
    struct world *world = world_open(policy, 1);
    assert_false(engine_access_is_needed(world_engine(world)));
    expect(world, "key decide", "! last_admin_key scopes");
    expect(world, "key admin of=a", "! last_admin_key scopes");
    expect(world, "key admin ends=+1h", "! last_admin_key scopes");
    assert_false(engine_access_is_needed(world_engine(world)));

    expect(world, "A: key admin", "made");
    assert_true(engine_access_is_needed(world_engine(world)));
    expect(world, "D: key decide+read of=a", "made");
    expect(world, "T: key admin ends=+1h", "made");
    expect(world, "revoke A", "! last_admin_key key_id");
    expect(world, "B: key admin", "made");
    expect(world, "revoke A", "revoked");
    expect(world, "revoke A", "! unknown_key key_id");
    expect(world, "revoke B", "! last_admin_key key_id");
    expect(world, "revoke D", "revoked");

    /* Who has --admin-key may. Keys are needed from then on all the same. */
    expect(world, "revoke B way=back", "revoked");
    expect(world, "revoke T way=back", "revoked");
    expect(world, "key read", "! last_admin_key scopes");
    assert_true(engine_access_is_needed(world_engine(world)));
    assert_false(engine_access_has_master(world_engine(world)));
    expect(world, "key read way=back", "made");
    world_close(world);
}

static void an_end_is_in_the_future(void **state)
{
    (void)state;
    struct world *world = world_open(policy, 1);
    expect(world, "key admin", "made");
    expect(world, "at +1h", "ok");
    expect(world, "key read ends=+0s", "! invalid_value expires_at");
    expect(world, "key read ends=+1s", "made");
    world_close(world);
}

/* Goal: whoever is bound cannot tell another's ids from ids that nobody has. */
static void another_customers_ids_are_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *verb;
        const char *rest;
    } lines[] = {
        { "commit",    "requests=1"},
        {"release",              ""},
        { "extend",       "ttl=90s"},
        { "refund",           "all"},
        {   "void",              ""},
        { "refund",     "0.5 key=k"},
        { "extend", "ttl=90s key=k"},
    };
    static const char *const ids[] = {"H", "C", "E", "G", "R", "K"};
    struct world *world = world_open(policy, 1);
    expect(world, "G: grant a paid 50", "granted 50");
    (void)world_do(world, "H: authorize a chat requests=2");
    (void)world_do(world, "C: consume a chat requests=2");
    (void)world_do(world, "E: authorize a chat requests=2 ttl=1s");
    (void)world_do(world, "R: authorize a chat requests=2");
    (void)world_do(world, "release R");
    (void)world_do(world, "K: authorize a chat requests=2");
    (void)world_do(world, "extend K ttl=90s key=k");
    world_skip(world, 5000); /* E is due, and stays so: its owner did not ask */
    const uint64_t before = engine_state_hash(world_engine(world), world_now(world));
    for (unsigned i = 0; i < COUNT_OF(lines); i++) {
        char line[128];
        char unknown[256];
        (void)snprintf(line, sizeof line, "%s Z %s bound=b", lines[i].verb, lines[i].rest);
        (void)snprintf(unknown, sizeof unknown, "%s", world_do(world, line));
        assert_true(strncmp(unknown, "! unknown_", 10) == 0);
        for (unsigned n = 0; n < COUNT_OF(ids); n++) {
            (void)snprintf(line, sizeof line, "%s %s %s bound=b", lines[i].verb, ids[n],
                           lines[i].rest);
            expect(world, line, unknown);
        }
    }
    assert_true(engine_state_hash(world_engine(world), world_now(world)) == before);
    /* His own, he has. */
    assert_true(strncmp(world_do(world, "commit H requests=1 bound=a"), "allow", 5) == 0);
    assert_true(strncmp(world_do(world, "refund C all bound=a"), "refunded", 8) == 0);
    world_close(world);
}

static void a_full_table_makes_room_of_what_is_expired(void **state)
{
    (void)state;
    struct world *world = world_open(policy, 1);
    world_check_purity(world, false);
    expect(world, "key admin", "made");
    for (unsigned i = 1; i < ACCESS_KEYS_MAX; i++)
        expect(world, i % 2 == 0 ? "key read" : "key read ends=+1h", "made");
    expect(world, "key read", "! capacity");
    expect(world, "at +1h", "ok");
    world_check_purity(world, true);
    expect(world, "key read", "made"); /* also in the twin, of the journaled fact */
    assert_int_equal(world_engine(world)->access.live, ACCESS_KEYS_MAX / 2 + 1);
    world_close(world);
}

static void a_key_is_found_by_its_hash(void **state)
{
    (void)state;
    struct world *world = world_open(policy, 1);
    struct engine *engine = world_engine(world);
    struct access_view view;
    const uint64_t changes = engine_access_changes(engine);
    expect(world, "A: key admin", "made");
    expect(world, "B: key decide of=acme ends=+2h", "made");
    assert_true(engine_access_changes(engine) > changes);
    assert_true(engine_access_at(engine, 2, &view));
    uint64_t cursor = 0;
    assert_int_equal(engine_access_like(engine, view.hash[0], &cursor), 2);
    assert_int_equal(view.scopes, ACCESS_DECIDE);
    assert_true(bytes_equal(view.customer, BYTES("acme")));
    assert_int_equal(view.expires_ms, world_now(world) + 2 * HOUR_MS);
    expect(world, "revoke B", "revoked");
    cursor = 0;
    assert_int_equal(engine_access_like(engine, view.hash[0], &cursor), 0);
    assert_false(engine_access_at(engine, 2, &view));
    assert_false(engine_access_at(engine, 0, &view));
    assert_false(engine_access_at(engine, 3, &view));
    world_close(world);
}

/* Who did it is journaled, and no part of what an idempotency key is bound to. */
static void an_actor_is_no_part_of_the_body(void **state)
{
    (void)state;
    struct world *world = world_open(policy, 1);
    expect(world, "grant a paid 5 key=k by=k_1", "granted 5");
    expect(world, "grant a paid 5 key=k by=k_2", "again granted 5");
    uint8_t block[1024];
    static struct command command;
    for (enum command_kind kind = COMMAND_AUTHORIZE; kind <= COMMAND_POOL; kind++) {
        struct command made = {.kind = kind, .actor = BYTES("admin-key")};
        struct buffer out = buffer_over(block, sizeof block);
        command_encode(&made, &out);
        assert_true(command_decode(buffer_bytes(&out), &command));
        assert_int_equal(command.actor.length, command_has_actor(kind) ? 9 : 0);
    }
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_locks_himself_out),
        cmocka_unit_test(an_end_is_in_the_future),
        cmocka_unit_test(another_customers_ids_are_unknown),
        cmocka_unit_test(a_full_table_makes_room_of_what_is_expired),
        cmocka_unit_test(a_key_is_found_by_its_hash),
        cmocka_unit_test(an_actor_is_no_part_of_the_body),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
