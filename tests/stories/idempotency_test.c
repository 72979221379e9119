/*
 * idempotency_test.c: I: keys, and memory that is full.
 */
#include "stories.h"

/* Goal: keys: one effect, one answer, and no key dropped early. */
static void keys_bind_allows_and_nothing_else(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"I2",              "consume a chat requests=4 key=k",           "deny 0/4 insufficient_credits(paid)"},
        {"I2",                      "G: grant a paid 3 key=g",                                     "granted 3"},
        {"I1",                         "grant a paid 3 key=g",                               "again granted 3"},
        {"I1",                         "grant a paid 4 key=g",      "! idempotency_conflict idempotency_key:g"},
        {"I2",              "consume a chat requests=5 key=k",       "allow 5/5 =2 | included 3 | paid[G] 2=2"},
        {"I1",              "consume a chat requests=5 key=k", "again allow 5/5 =2 | included 3 | paid[G] 2=2"},
        {"I1",              "consume a chat requests=4 key=k",      "! idempotency_conflict idempotency_key:k"},
        {"I1",            "authorize a chat requests=5 key=k",      "! idempotency_conflict idempotency_key:k"},
        {"I1",              "consume b chat requests=1 key=k",                        "allow 1/1 | included 1"}, /* per customer */
        {"I1", "A: authorize a chat requests=1 key=h ttl=10h",                    "allow 1/1 =1 | paid[G] 1=1"},
        {"H5",                       "extend A key=e ttl=11h",                          "allow 0/0 until +11h"},
        {"H5",                       "extend A key=e ttl=11h",                    "again allow 0/0 until +11h"},
        {"A4",                "check a chat requests=1 key=h",           "deny 0/1 insufficient_credits(paid)"},
        {"I3",                           "at +23h59m59s999ms",                                            "ok"},
        {"I3",              "consume a chat requests=5 key=k", "again allow 5/5 =2 | included 3 | paid[G] 2=2"},
        {"I3",                                      "at +24h",                                            "ok"},
        {"I3",              "consume a chat requests=3 key=k",                        "allow 3/3 | included 3"}, /* new */
  /* The hold ended by expiry at 11h: its keys are kept until 35h. */
        {"I3",                           "at +34h59m59s999ms",                                            "ok"},
        {"I3",    "authorize a chat requests=1 key=h ttl=10h",              "again allow 1/1 =1 | paid[G] 1=1"},
        {"H5",                       "extend A key=e ttl=11h",                    "again allow 0/0 until +11h"},
        {"H6",                                    "release A",                                       "expired"},
        {"I3",                                      "at +35h",                                            "ok"},
        {"H6",                                    "release A",                            "! unknown_decision"},
        {"I3",    "authorize a chat requests=2 key=h ttl=10h",                        "allow 2/2 | included 2"},
        {"S6",                          "customer c mode=ask",                                            "ok"},
        {"S6",                               "grant c paid 5",                                     "granted 5"},
        {"S6",              "consume c chat requests=5 min=1",   "partial 3/5 remedy use_credits | included 3"},
    };
    TELL(holds_policy, rows);
}

/* Goal: a full memory refuses newcomers by name, goes on with those who are known, and no command,
 * due fact or trial ever finds less room than it needs. */
static void full_memory_refuses_newcomers_and_nobody_else(void **state)
{
    (void)state;
    const struct engine_ceilings tiny = {.customers = 64,
                                         .scopes = 64,
                                         .slots = 256,
                                         .rings = 32,
                                         .grants = 96,
                                         .holds = 64,
                                         .lines = 640,
                                         .keys = 128};
    struct world *world = world_open_with(rhythm_policy, 1, tiny);
    world_check_purity(world, false);
    char line[96];
    unsigned refused = 0;
    unsigned known = 0;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "H%u: authorize c%u chat requests=2 ttl=90m", i, i);
        const char *answer = world_do(world, line);
        if (strncmp(answer, "allow", 5) == 0)
            known++;
        else if (strcmp(answer, "! capacity") == 0)
            refused++;
        else
            fail_msg("%s -> %s", line, answer);
    }
    assert_true(known > 16 && refused > 16);
    /* Whoever is known goes on: his counters, his holds, his balance. */
    for (unsigned i = 0; i < known; i++) {
        snprintf(line, sizeof line, "consume c%u chat requests=1", i);
        assert_int_equal(strncmp(world_do(world, line), "allow", 5), 0);
        snprintf(line, sizeof line, "commit H%u requests=%u", i, 1 + i % 4);
        assert_int_equal(strncmp(world_do(world, line), "allow", 5), 0);
        snprintf(line, sizeof line, "balance c%u", i);
        assert_int_equal(strncmp(world_do(world, line), "available", 9), 0);
    }
    assert_string_equal(world_do(world, "check stranger chat requests=9"),
                        "deny 0/9 insufficient_credits(paid)");
    world_do(world, "at +5h"); /* renewals find room, or wait */
    world_do(world, "at +50h");
    for (unsigned i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "consume c0 chat requests=0 key=k%u", i);
        world_do(world, line);
    }
    assert_string_equal(world_do(world, "consume c1 chat requests=0 key=k"), "! capacity");
    assert_int_equal(strncmp(world_do(world, "consume c1 chat requests=0"), "allow", 5), 0);
    world_close(world);
}

int tell_idempotency(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_bind_allows_and_nothing_else),
        cmocka_unit_test(full_memory_refuses_newcomers_and_nobody_else),
    };
    return cmocka_run_group_tests_name("idempotency", tests, NULL, NULL);
}
