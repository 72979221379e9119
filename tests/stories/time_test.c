/*
 * time_test.c: T and P: time, and policies that change on the way.
 */
#include "stories.h"

/* Goal: renewals that a trial makes on its way are told apart. */
static void trials_see_many_renewals(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* A refused stranger leaves nothing; one who is let in has his recurring grants at once. */
        {"T2",           "consume a chess requests=1","! unknown_feature feature:chess"                                                      },
        {"T2",            "consume a chat requests=7",                    "deny 0/7 insufficient_credits(paid)"},
        {"T2",                            "balance a",                                     "! unknown_customer"},
        {"T2",            "consume a chat requests=6",
         "allow 6/6 =3 | included 3 | entitlement[?] 1=1 | entitlement[?] 2=2"                                 },
 /* Both renew every hour; at 17:00 the allowance is back as well. */
        {"S8", "consume a chat requests=3 credits=no",
         "deny 0/3 allowance_exhausted(included) retry +1h"                                                    },
        {"S8", "consume a chat requests=6 credits=no",
         "deny 0/6 allowance_exhausted(included) retry +5h"                                                    },
        {"S8", "consume a chat requests=7 credits=no",                 "deny 0/7 allowance_exhausted(included)"},
        {"T2",                               "at +1h",                                                     "ok"},
        {"T2",                            "balance a",                         "available 3 held 0 | ? 1 | ? 2"},
        {"S8",              "check a chat requests=3", "allow 3/3 =3 | entitlement[?] 1=1 | entitlement[?] 2=2"},
        {"T2",                              "at +40h",                                                     "ok"},
        {"T2",                            "balance a",                         "available 3 held 0 | ? 1 | ? 2"},
    };
    TELL(rhythm_policy, rows);
}

static const char *const gift_policy[] = {
    CHAT_FEATURES "plans:\n"
                  "  free:\n"
                  "    features: {chat: {waterfall: [{grants: {category: promotional}}]}}\n",
    CHAT_FEATURES "plans:\n"
                  "  free:\n"
                  "    features: {chat: {waterfall: [{grants: {category: promotional}}]}}\n"
                  "    recurring:\n"
                  "      - grant: {name: gift, category: promotional, credits: \"2\", per: day, "
                  "start: calendar}\n",
};

/* Goal: a recurring grant that a policy brings starts then, for the idle as well. */
static void a_policy_brings_its_gifts_to_the_idle(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"T2", "consume a chat requests=0",                         "allow 0/0"},
        {"T2", "consume b chat requests=0",                         "allow 0/0"},
        {"T2",                  "policy 1",                                "ok"},
        {"T2",                 "balance a",          "available 2 held 0 | ? 2"},
        {"T2",                    "at +1h",                                "ok"},
        {"T2",                   "at +20d",                                "ok"},
        {"T2", "consume b chat requests=2", "allow 2/2 =2 | promotional[?] 2=2"},
        {"T2",                  "policy 0",                                "ok"},
        {"T2",                 "balance a",          "available 2 held 0 | ? 2"},
        {"T2",                   "at +21d",                                "ok"},
        {"T2",                 "balance a",                "available 0 held 0"},
    };
    TELL(gift_policy, rows);
}

/* Goal: at one instant, a hold gives back before its lot renews (T2). */
static void what_returns_at_the_renewal_rolls_over(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"T2",                "customer m plan=member",                                     "ok"},
        {"T2",                      "at +30d23h59m59s",                                     "ok"},
        {"T2", "A: authorize m chat requests=8 ttl=1s",      "allow 8/8 =8 | entitlement[?] 8=8"},
        {"T2",                               "at +31d",                                     "ok"},
        {"T2",                             "balance m",             "available 14 held 0 | ? 14"},
        {"T2",                   "commit A requests=8", "allow 8/8 =8 | entitlement[?] 8=8 late"},
    };
    TELL(grants_policy, rows);
}

static const char *const subjects_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features: {mine: {meters: [requests], unit: requests}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      mine:\n"
    "        gates: [{rate: {name: pace, meter: requests, limit: 1, per: 1m, scope: subject}}]\n"
    "        waterfall:\n"
    "          - allowance: {name: a, scope: subject, windows: [{limit: 3, per: 5h, start: "
    "first_use}, {limit: 9, per: 7d, start: sliding}]}\n",
};

/* Goal: memory does not grow with subjects that are gone. */
static void subjects_whose_counters_are_over_are_forgotten(void **state)
{
    (void)state;
    struct world *world = world_open(subjects_policy, 1);
    world_check_purity(world, false);
    world_do(world, "at +1s"); /* not in the millisecond in which the policy came */
    for (unsigned round = 0; round < 20; round++) {
        char line[96];
        for (unsigned i = 0; i < 300; i++) {
            snprintf(line, sizeof line, "consume a mine requests=1 subject=r%u/s%u", round, i);
            world_do(world, line);
        }
        snprintf(line, sizeof line, "at +%uh", 300 * (round + 1));
        world_do(world, line);
    }
    for (unsigned i = 0; i < 10000; i++)
        world_do(world, "consume a mine requests=0");
    const struct engine_counts counts = engine_counts(world_engine(world));
    assert_true(counts.slots < 20 && counts.scopes < 20);
    world_close(world);
}

/* Goal: a wall clock that leaps does not open windows; an operator says when it is right (T3). */
static void the_clock_does_not_follow_leaps(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"T3", "consume a chat requests=3",              "allow 3/3 | included 3"},
        {"T3",                 "clock +1h",                             "now +1h"},
        {"T3",                  "wall +1h",                             "now +2h"}, /* an hour is followed */
        {"T3",               "wall +1h1ms",        "now +2h, +1h1ms not followed"},
        {"T3",                "clock +30m",     "now +2h30m, +1h1ms not followed"},
        {"T3",                  "wall +6h",     "now +2h30m, +7h1ms not followed"},
        {"T3", "consume a chat requests=1", "deny 0/1 insufficient_credits(paid)"},
        {"T3",             "clock confirm",                       "now +9h30m1ms"},
        {"T3", "consume a chat requests=3",              "allow 3/3 | included 3"},
 /* Back: time goes on, slower, until it is caught up (T1). */
        {"T1",                  "wall -1h",                       "now +9h30m1ms"},
        {"T1",                "clock +16m",                       "now +9h45m1ms"},
        {"T1",             "clock +15h44m",                       "now +1d30m1ms"},
        {"T1",                 "clock +1h",                     "now +1d1h30m1ms"},
    };
    TELL(holds_policy, rows);
}

/* Goal: a file counts at a start if it is not the one last applied from there (P1). */
static void a_file_is_applied_once(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"P1", "consume a chat requests=0",                         "allow 0/0"},
        {"P1",                    "file 1",                           "applied"},
        {"P1",                 "balance a",          "available 2 held 0 | ? 2"},
        {"P1", "consume a chat requests=2", "allow 2/2 =2 | promotional[?] 2=2"},
        {"P1",                    "file 1",                              "kept"},
        {"P1",                  "policy 0",                                "ok"}, /* by PUT */
        {"P1",                    "file 1",                              "kept"},
        {"P1",                    "at +1d",                                "ok"},
        {"P1",                 "balance a",                "available 0 held 0"}, /* the plan of the PUT gives nothing */
        {"P1",                    "file 0",                           "applied"},
        {"P1",                    "file 1",                           "applied"},
        {"P1",                 "balance a",          "available 2 held 0 | ? 2"},
    };
    TELL(gift_policy, rows);
}

int tell_time(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_does_not_follow_leaps),
        cmocka_unit_test(trials_see_many_renewals),
        cmocka_unit_test(a_policy_brings_its_gifts_to_the_idle),
        cmocka_unit_test(what_returns_at_the_renewal_rolls_over),
        cmocka_unit_test(subjects_whose_counters_are_over_are_forgotten),
        cmocka_unit_test(a_file_is_applied_once),
    };
    return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
