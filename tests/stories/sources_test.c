/*
 * sources_test.c: S: sources, and how long to wait for them.
 */
#include "stories.h"

/* Goal: burn order, times, voids, refunds, renewals. */
static void grants_burn_expire_and_come_back(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S3",                          "A: grant a paid 2","granted 2"                                                            },
        {"S3",               "B: grant a paid 2 until=+10h",                                                   "granted 2"},
        {"S3",              "C: grant a paid 2 priority=-1",                                                   "granted 2"},
        {"S3", "D: grant a paid 2 until=+9h features=solid",                                                   "granted 2"},
        {"S3",          "E: grant a promotional 1 from=+1h",                                                   "granted 1"},
        {"B2",                                  "balance a",            "available 8 held 0 | E 0 | C 2 | D 2 | B 2 | A 2"},
        {"S3",               "X: consume a chat requests=5",
         "allow 5/5 =5 | paid[C] 2=2 | paid[B] 2=2 | paid[A] 1=1"                                                         },
        {"S3",                  "consume a chat requests=2",                         "deny 0/2 insufficient_credits(paid)"},
        {"T2",                                     "at +1h",                                                          "ok"},
        {"S3",                  "consume a chat requests=2",             "allow 2/2 =2 | promotional[E] 1=1 | paid[A] 1=1"},
 /* Refunds: the last that paid first; to an expired one, and gone at once. */
        {"H7",                                 "refund X 1",                               "refunded 1 of 1 | paid[A] 0=1"},
        {"H7",                                    "at +10h",                                                          "ok"},
        {"H7",                                  "balance a",                                    "available 1 held 0 | A 1"},
        {"H7",                           "refund X 3 key=r",       "refunded 3 expired 2 of 4 | paid[B] 0=2 | paid[C] 0=1"},
        {"I1",                           "refund X 3 key=r", "again refunded 3 expired 2 of 4 | paid[B] 0=2 | paid[C] 0=1"},
        {"H7",                                 "refund X 2",                                    "! refund_exceeds credits"},
        {"H7",                               "refund X all",                               "refunded 1 of 5 | paid[C] 0=1"},
        {"H7",                               "refund X all",                                             "refunded 0 of 5"},
        {"H7",                                  "balance a",                              "available 3 held 0 | C 2 | A 1"},
 /* Expiry in mid-hold: the held part may still be committed, what returns goes (H7). */
        {"H7",                "F: grant b paid 5 until=+1h",                                                   "granted 5"},
        {"H7",      "G: authorize b chat requests=3 ttl=2h",                                  "allow 3/3 =3 | paid[F] 3=3"},
        {"H7",                                    "at +11h",                                                          "ok"},
        {"H7",                                  "balance b",                                    "available 0 held 3 | F 0"},
        {"H7",                        "commit G requests=1",                                  "allow 1/1 =1 | paid[F] 1=1"},
        {"H7",                                  "balance b",                                          "available 0 held 0"},
        {"H7",                               "refund G all",                     "refunded 1 expired 1 of 1 | paid[F] 0=1"},
 /* Void likewise. */
        {"H7",                          "H: grant c paid 5",                                                   "granted 5"},
        {"H7",             "I: authorize c chat requests=2",                                  "allow 2/2 =2 | paid[H] 2=2"},
        {"H7",                                     "void H",                                                    "voided 3"},
        {"H7",                                     "void H",                                                    "voided 0"},
        {"H7",                                  "balance c",                                    "available 0 held 2 | H 0"},
        {"H7",                                  "release I",                                                    "released"},
        {"H7",                                  "balance c",                                          "available 0 held 0"},
        {"H7",                                     "void Z",                                             "! unknown_grant"},
        {"H7",                               "refund I all",                                            "! refund_exceeds"},
        {"A3",              "grant c paid 1 features=chess",                            "! unknown_feature features:chess"},
 /* Recurring: the first at once, the next at the anchor; up to 4 roll over. */
        {"T2",                                    "at +12h",                                                          "ok"},
        {"T2",                     "customer m plan=member",                                                          "ok"},
        {"T2",                                  "balance m",                                  "available 10 held 0 | ? 10"},
        {"T2",                  "consume m chat requests=3",                           "allow 3/3 =3 | entitlement[?] 3=3"},
        {"T2",     "J: authorize m chat requests=2 ttl=30d",                           "allow 2/2 =2 | entitlement[?] 2=2"},
 /* 2 May -> 2 June: 5 left, 4 roll over, 1 expires; the hold's expiry goes before. */
        {"T2",                      "at +31d11h59m59s999ms",                                                          "ok"},
        {"T2",                                  "balance m",                                    "available 7 held 0 | ? 7"},
        {"T2",                                 "at +31d12h",                                                          "ok"},
        {"T2",                                  "balance m",                                  "available 14 held 0 | ? 14"},
        {"T2",                                 "at +61d12h",                                                          "ok"},
        {"T2",                                  "balance m",                                  "available 14 held 0 | ? 14"},
        {"P2",                       "customer m plan=free",                                                          "ok"},
        {"P2",                                  "balance m",                                  "available 14 held 0 | ? 14"},
        {"T2",                                 "at +92d12h",                                                          "ok"},
        {"T2",                                  "balance m",                                          "available 0 held 0"},
    };
    TELL(grants_policy, rows);
}

/* Goal: a customer's own limits. */
static void overrides_replace_limits_from_the_next_decision(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"PUT",    "customer a limit.included=6 budget.cap=1",                             "ok"},
        {"PUT",                              "grant a paid 9",                      "granted 9"},
        {"PUT",                   "consume a chat requests=6",         "allow 6/6 | included 6"},
        {"PUT",                   "consume a chat requests=1",     "allow 1/1 =1 | paid[?] 1=1"},
        {"PUT",                   "consume a chat requests=1",   "deny 0/1 budget_reached(cap)"},
        {"PUT", "customer a limit.included=none budget.cap=2",                             "ok"},
        {"PUT",                   "consume a chat requests=1",     "allow 1/1 =1 | paid[?] 1=1"},
        {"PUT",                  "customer a limit.nothing=6", "! unknown_limit limits.nothing"},
        {"PUT",                      "customer a limit.cap=6",     "! invalid_value limits.cap"},
        {"PUT",                        "customer a plan=gold",       "! unknown_plan plan:gold"},
    };
    TELL(holds_policy, rows);
}

/* Goal: what is spent is out of the way, and can still get its money back. */
static void spent_lots_are_out_of_the_way(void **state)
{
    (void)state;
    struct world *world = world_open(grants_policy, 1);
    world_check_purity(world, false);
    assert_string_equal(world_do(world, "G: grant a paid 1 until=+1h"), "granted 1");
    assert_string_equal(world_do(world, "X: consume a chat requests=1"),
                        "allow 1/1 =1 | paid[G] 1=1");
    for (unsigned i = 0; i < 1000; i++) {
        world_do(world, "grant a paid 1");
        world_do(world, "consume a chat requests=1");
    }
    world_do(world, "at +0s"); /* the policy is new: has it brought something to anyone? */
    assert_int_equal(engine_due_at(world_engine(world)), INSTANT_NEVER);
    assert_string_equal(world_do(world, "balance a"), "available 0 held 0");
    assert_string_equal(world_do(world, "refund X 0.5"), "refunded 0.5 of 0.5 | paid[G] 0=0.5");
    assert_string_equal(world_do(world, "balance a"), "available 0.5 held 0 | G 0.5");
    assert_string_equal(world_do(world, "at +1h"), "ok");
    assert_string_equal(world_do(world, "balance a"), "available 0 held 0");
    assert_string_equal(world_do(world, "refund X 0.5"),
                        "refunded 0.5 expired 0.5 of 1 | paid[G] 0=0.5");
    world_close(world);
}

/* Goal: holds that expire on the way neither hide a later window's end nor exhaust the search. */
static void waiting_is_honest_beside_many_holds(void **state)
{
    (void)state;
    struct world *world = world_open(edges_policy, 1);
    world_check_purity(world, false);
    world_do(world, "consume a solid requests=10");
    world_do(world, "consume a solid requests=10");
    for (unsigned i = 0; i < 300; i++) {
        char line[64];
        snprintf(line, sizeof line, "authorize a extra requests=1 ttl=1%03ums", i);
        world_do(world, line);
    }
    /* The sliding slot of 12:00 counts to 13:00:59.999. */
    assert_string_equal(world_do(world, "consume a solid requests=10"),
                        "deny 0/10 allowance_exhausted(roll) retry +1h59s999ms");
    for (unsigned i = 0; i < 8000; i++)
        world_do(world, "authorize a extra requests=1 ttl=10m");
    assert_string_equal(world_do(world, "consume a solid requests=10"),
                        "deny 0/10 allowance_exhausted(roll) retry +1h59s999ms");
    assert_string_equal(world_do(world, "A: authorize b solid requests=10 ttl=1m"),
                        "allow 10/10 | roll 10");
    world_do(world, "consume b solid requests=10");
    /* An extend cannot wait for the end of its own hold. */
    assert_string_equal(world_do(world, "extend A requests=1"),
                        "deny 0/1 allowance_exhausted(roll) until +1m");
    world_close(world);
}

/* Goal: status says what each source has, whoever says no to the next request. */
static void status_tells_what_sources_have(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S3",             "grant a promotional 2","granted 2"                                                   },
        {"S3",                   "grant a paid 10",                                     "granted 10"},
        {"S2",         "consume a chat requests=4",                         "allow 4/4 | included 4"},
        {"G4",    "A: authorize a chat requests=1",                         "allow 1/1 | included 1"},
        {"G4",    "B: authorize a chat requests=1",              "allow 1/1 =1 | promotional[?] 1=1"},
 /* A gate says no. */
        {"G4",                     "status a chat",
         "concurrency_limited | pace 6 of 60 burst 20 left 14 | in-flight 2 of 2 left 0 | cap "
         "1000000000 of "
         "7000000000 left 6000000000 | included 5 of 5 left 0 | promotional 0 of 0 left 1 | paid 0 "
         "of 0 left 10"                                                                             },
        {"G4",                         "release A",                                       "released"},
 /* The operator does, or consent lacks, or it is refused. */
        {"G1",          "customer a suspended=yes",                                             "ok"},
        {"G1",                     "status a chat",
         "suspended | pace 6 of 60 burst 20 left 14 | in-flight 1 of 2 left 1 | cap 1000000000 of "
         "7000000000 left 6000000000 | included 4 of 5 left 1 | promotional 0 of 0 left 1 | paid 0 "
         "of 0 left 10"                                                                             },
        {"S5",  "customer a suspended=no mode=ask",                                             "ok"},
        {"S5",         "consume a chat requests=2", "allow 2/2 =1 | included 1 | promotional[?] 1=1"},
        {"S5",                     "status a chat",
         "credits_need_consent | pace 8 of 60 burst 20 left 12 | in-flight 1 of 2 left 1 | cap "
         "2000000000 "
         "of 7000000000 left 5000000000 | included 5 of 5 left 0 | promotional 0 of 0 left 0 | "
         "paid 0 of 0 left 10"                                                                      },
        {"S5",               "customer a mode=off",                                             "ok"},
        {"S5",                     "status a chat",
         "allowance_exhausted retry +1m | pace 8 of 60 burst 20 left 12 | in-flight 1 of 2 left 1 "
         "| cap "
         "2000000000 of 7000000000 left 5000000000 | included 5 of 5 left 0 | promotional 0 of 0 "
         "left 0 | paid 0 of 0 left 10"                                                             },
 /* A budget lets no more of it be spent: it is there all the same. */
        {"G5", "customer a mode=auto budget.cap=2",                                             "ok"},
        {"G5",                     "status a chat",
         "budget_reached | pace 8 of 60 burst 20 left 12 | in-flight 1 of 2 left 1 | cap "
         "2000000000 of "
         "2000000000 left 0 | included 5 of 5 left 0 | promotional 0 of 0 left 0 | paid 0 of 0 "
         "left 10"                                                                                  },
    };
    TELL(precedence_policy, rows);
}

int tell_sources(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_burn_expire_and_come_back),
        cmocka_unit_test(overrides_replace_limits_from_the_next_decision),
        cmocka_unit_test(spent_lots_are_out_of_the_way),
        cmocka_unit_test(waiting_is_honest_beside_many_holds),
        cmocka_unit_test(status_tells_what_sources_have),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
