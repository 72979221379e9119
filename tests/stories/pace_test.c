/*
 * pace_test.c: pools that are slowed and standings: which reason says so, and what they count.
 */
#include "stories.h"

#define PACED(gate)                                                                       \
    CHAT_FEATURES                                                                         \
    "pools:\n"                                                                            \
    "  gpu: {capacity: 100, per: 1s, meter: requests}\n"                                  \
    "  cpu: {capacity: 100, per: 1s, meter: requests}\n"                                  \
    "plans:\n"                                                                            \
    "  free:\n"                                                                           \
    "    features:\n"                                                                     \
    "      chat:\n"                                                                       \
    "        gates:\n"                                                                    \
    "          - rate: " gate "\n"                                                        \
    "          - concurrency: {name: slots, limit: 5, scope: subject}\n"                  \
    "        waterfall: [{unlimited: {}}]\n"                                              \
    "      solid:\n"                                                                      \
    "        gates:\n"                                                                    \
    "          - rate: {name: team, limit: 4, per: 1s, burst: 8, scope: {level: 1}}\n"    \
    "          - concurrency: {name: one, limit: 1}\n"                                    \
    "        waterfall: [{allowance: {name: day, windows: [{limit: 20, per: day, start: " \
    "calendar}]}}]\n"

/* One token a second throughout, so that tokens and seconds read alike. */
static const char *const paced_policy[] = {
    PACED("{name: pace, limit: 60, per: 1m, burst: 10, scope: subject, pool: gpu}"),
    PACED("{name: pace, limit: 60, per: 1m, burst: 10, scope: subject}"),
    PACED("{name: pace, limit: 120, per: 1m, burst: 20, scope: subject, pool: gpu}"),
};

/* Goal: why a rate gate refuses, in the order in which it is asked: more than a burst, the
 * standing, the pool, the pace itself. */
static void a_slower_pace_says_whose_it_is(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {                            "P",                             "pool tpu 0.5","! unknown_pool pool:tpu"                                                                                     },
        {                            "P",                             "pool gpu 0.5",                 "factor 32/64 override"},
        {                           "G2", "consume a chat requests=10 subject=alice",            "allow 10/10 | unlimited 10"},
        {                           "G2",  "consume a chat requests=1 subject=alice", "deny 0/1 rate_limited(pace) retry +2s"},
        {                           "G2",                                   "at +1s",                                    "ok"},
        {"S8 temporary_reduced_capacity",  "consume a chat requests=1 subject=alice",
         "deny 0/1 temporary_reduced_capacity(pace) retry +1s"                                                               },
        {                           "G2",  "consume a chat requests=2 subject=alice", "deny 0/2 rate_limited(pace) retry +3s"},
        {              "G2 rate_limited", "consume a chat requests=11 subject=alice",
         "deny 0/11 rate_limited(pace)"                                                                                      },
        {                           "A4",    "check a chat requests=1 subject=alice",
         "deny 0/1 temporary_reduced_capacity(pace) retry +1s"                                                               },
        {                           "G2",                              "at +1s999ms",                                    "ok"},
        {                           "S8",  "consume a chat requests=1 subject=alice",
         "deny 0/1 temporary_reduced_capacity(pace) retry +1ms"                                                              },
        {                           "G2",                                   "at +2s",                                    "ok"},
        {                           "G2",  "consume a chat requests=1 subject=alice",               "allow 1/1 | unlimited 1"},
 /* A standing on top of it: an eighth of a token a second. */
        {                           "G2",              "standing a/alice restricted",                                    "ok"},
        {                           "G2",                                   "at +3s",                                    "ok"},
        {"S8 temporary_reduced_capacity",  "consume a chat requests=1 subject=alice",
         "deny 0/1 temporary_reduced_capacity(pace) retry +7s"                                                               },
        {                           "G2",                                   "at +4s",                                    "ok"},
        {            "S8 abnormal_usage",  "consume a chat requests=1 subject=alice",
         "deny 0/1 abnormal_usage(pace) retry +6s"                                                                           },
        {                           "G2",              "status a chat subject=alice",
         "abnormal_usage retry +6s | pace 10 of 60 burst 10 left 0 at 32/256 restricted | slots 0 "
         "of 2 left "
         "2 "
         "at 64/256 restricted | unlimited unlimited"                                                                        },
        {                           "G2",   "consume a chat requests=10 subject=bob",            "allow 10/10 | unlimited 10"},
        {                           "G2",                                   "at +6s",                                    "ok"},
        {                           "G2",    "consume a chat requests=1 subject=bob",               "allow 1/1 | unlimited 1"},
        {                           "G2",                                  "at +10s",                                    "ok"},
        {                           "G2",  "consume a chat requests=1 subject=alice",               "allow 1/1 | unlimited 1"},
 /* Half a token so far; at a quarter a second from now on. */
        {                           "G2",                                  "at +14s",                                    "ok"},
        {                           "G2",                            "pool gpu none",                          "factor 64/64"},
        {                           "S8",  "consume a chat requests=1 subject=alice", "deny 0/1 rate_limited(pace) retry +2s"},
        {                           "G2",                                  "at +15s",                                    "ok"},
        {            "S8 abnormal_usage",  "consume a chat requests=1 subject=alice",
         "deny 0/1 abnormal_usage(pace) retry +1s"                                                                           },
        {                           "G2",                                  "at +16s",                                    "ok"},
        {                           "G2",  "consume a chat requests=1 subject=alice",               "allow 1/1 | unlimited 1"},
        {                           "G2",                  "standing a/alice normal",                                    "ok"},
        {                           "G2",                                  "at +17s",                                    "ok"},
        {                           "G2",  "consume a chat requests=1 subject=alice",               "allow 1/1 | unlimited 1"},
 /* Nothing passed between a standing and the pool's next change: it counts from that on. */
        {                           "G2",              "standing a/alice restricted",                                    "ok"},
        {                           "G2",                                  "at +19s",                                    "ok"},
        {                           "G2",                             "pool gpu 0.5",                 "factor 32/64 override"},
        {                           "G2",    "check a chat requests=2 subject=alice",               "allow 2/2 | unlimited 2"},
        {                           "G2",    "check a chat requests=3 subject=alice", "deny 0/3 rate_limited(pace) retry +8s"},
    };
    TELL(paced_policy, rows);
}

/* Goal: what each standing makes of each factor, to the millisecond. */
static void standings_have_their_shares(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"G2",                           "customer a","ok"                                                      },
        {"G2",              "standing a/r restricted",                                         "ok"},
        {"G2",               "standing a/p probation",                                         "ok"},
        {"G2",                 "standing a/t trusted",                                         "ok"},
        {"G2", "consume a chat requests=10 subject=r",                 "allow 10/10 | unlimited 10"},
        {"G2", "consume a chat requests=10 subject=p",                 "allow 10/10 | unlimited 10"},
        {"G2", "consume a chat requests=10 subject=n",                 "allow 10/10 | unlimited 10"},
        {"G2", "consume a chat requests=10 subject=t",                 "allow 10/10 | unlimited 10"},
        {"S8",    "check a chat requests=1 subject=r",      "deny 0/1 rate_limited(pace) retry +4s"},
        {"S8",    "check a chat requests=1 subject=p",      "deny 0/1 rate_limited(pace) retry +2s"},
        {"S8",    "check a chat requests=1 subject=n",      "deny 0/1 rate_limited(pace) retry +1s"},
        {"S8",    "check a chat requests=1 subject=t",   "deny 0/1 rate_limited(pace) retry +800ms"},
        {"G2",                        "pool gpu 0.75",                      "factor 48/64 override"},
        {"S8",    "check a chat requests=3 subject=r",     "deny 0/3 rate_limited(pace) retry +16s"},
        {"S8",    "check a chat requests=3 subject=p",      "deny 0/3 rate_limited(pace) retry +8s"},
        {"S8",    "check a chat requests=3 subject=n",      "deny 0/3 rate_limited(pace) retry +4s"},
        {"S8",    "check a chat requests=7 subject=t",      "deny 0/7 rate_limited(pace) retry +8s"},
        {"G2",                               "at +4s",                                         "ok"},
        {"G2",    "check a chat requests=4 subject=r",
         "deny 0/4 temporary_reduced_capacity(pace) retry +17s334ms"                               },
        {"G2",    "check a chat requests=3 subject=r",   "deny 0/3 abnormal_usage(pace) retry +12s"},
        {"G2",    "check a chat requests=3 subject=n",                    "allow 3/3 | unlimited 3"},
        {"G2",    "check a chat requests=4 subject=n",
         "deny 0/4 temporary_reduced_capacity(pace) retry +1s334ms"                                },
        {"G2",    "check a chat requests=5 subject=t",
         "deny 0/5 temporary_reduced_capacity(pace) retry +1s715ms"                                },
        {"G2",    "check a chat requests=6 subject=t", "deny 0/6 rate_limited(pace) retry +2s858ms"},
 /* A factor is kept in 64ths: rounded down, but nothing only where nothing was said. */
        { "P",                 "pool gpu 0.999999999",                      "factor 63/64 override"},
        { "P",                 "pool gpu 0.000000001",                       "factor 1/64 override"},
        { "P",                           "pool gpu 1",                      "factor 64/64 override"},
 /* Who is worse: the customer, or a level of the path down to the gate's scope. */
        {"G6",                   "standing a trusted",                                         "ok"},
        {"G6",              "status a chat subject=r",
         "rate_limited retry +1s | pace 10 of 60 burst 10 left 0 at 64/256 restricted | slots 0 of "
         "2 left 2 "
         "at 64/256 "
         "restricted | unlimited unlimited"                                                        },
        {"G6",            "status a chat subject=n/x",
         "allowed | pace 0 of 60 burst 10 left 10 at 320/256 trusted | slots 0 of 5 left 5 at "
         "256/256 "
         "trusted | unlimited unlimited"                                                           },
        {"G6",                 "standing a probation",                                         "ok"},
        {"G6",            "status a chat subject=t/x",
         "allowed | pace 0 of 60 burst 10 left 10 at 128/256 probation | slots 0 of 3 left 3 at "
         "128/256 "
         "probation | unlimited unlimited"                                                         },
        {"G6",          "status a chat subject=r/x/y",
         "allowed | pace 0 of 60 burst 10 left 10 at 64/256 restricted | slots 0 of 2 left 2 at "
         "64/256 "
         "restricted | unlimited unlimited"                                                        },
        {"G6",                    "standing a normal",                                         "ok"},
        {"G6",            "standing a/n/x restricted",                                         "ok"},
 /* `team` is of the first level, `one` of the customer: what is said deeper is not theirs.
  */
        {"G6",           "status a solid subject=n/x",
         "allowed | team 0 of 4 burst 8 left 8 | one 0 of 1 left 1 | day 0 of 20 left 20"          },
        {"G6",            "status a chat subject=n/x",
         "allowed | pace 0 of 60 burst 10 left 10 at 64/256 restricted | slots 0 of 2 left 2 at "
         "64/256 "
         "restricted | unlimited unlimited"                                                        },
 /* Allowances, and a slot where there is only one, are nobody's to cut. */
        {"G4",                "standing a restricted",                                         "ok"},
        {"G4",             "status a solid subject=n",
         "allowed | team 0 of 4 burst 8 left 8 at 64/256 restricted | one 0 of 1 left 1 at 64/256 "
         "restricted | day 0 of 20 left 20"                                                        },
    };
    TELL(paced_policy, rows);
}

/* Goal: slots that only a standing took are told from those that are in use. */
static void a_standing_takes_slots(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {                    "G4",         "A: authorize a chat requests=1 subject=s","allow 1/1 | unlimited 1"                                                                                      },
        {                    "G4",         "B: authorize a chat requests=1 subject=s", "allow 1/1 | unlimited 1"},
        {                    "G4", "C: authorize a chat requests=1 subject=s ttl=90s", "allow 1/1 | unlimited 1"},
        {                    "G4",                           "standing a/s probation",                      "ok"},
        {     "S8 abnormal_usage",            "authorize a chat requests=1 subject=s",
         "deny 0/1 abnormal_usage(slots) retry +1m"                                                             },
        {                    "G4",                          "standing a/s restricted",                      "ok"},
        {     "S8 abnormal_usage",              "consume a chat requests=1 subject=s",
         "deny 0/1 abnormal_usage(slots) retry +1m"                                                             },
        {                    "G4",                                        "release A",                "released"},
        {                    "G4",                                        "release B",                "released"},
        {                    "G4",         "D: authorize a chat requests=1 subject=s", "allow 1/1 | unlimited 1"},
        {                    "G4",                              "standing a/s normal",                      "ok"},
        {                    "G4",         "E: authorize a chat requests=0 subject=s",               "allow 0/0"},
        {                    "G4",         "F: authorize a chat requests=0 subject=s",               "allow 0/0"},
        {                    "G4",         "G: authorize a chat requests=0 subject=s",               "allow 0/0"},
        {                    "G4",                          "standing a/s restricted",                      "ok"},
        {"G4 concurrency_limited",            "authorize a chat requests=0 subject=s",
         "deny 0/0 concurrency_limited(slots)"                                                                  },
        {                    "G4",                         "customer a limit.slots=0",                      "ok"},
        {"G4 concurrency_limited",            "authorize a chat requests=0 subject=u",
         "deny 0/0 concurrency_limited(slots)"                                                                  },
    };
    TELL(paced_policy, rows);
}

/* Goal: a pool that turns away does so before tokens are looked at, by priority; only an operator
 * can change that, so there is nothing to wait for. */
static void a_pool_turns_away_by_priority(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {                           "G1",               "pool gpu - shed=sheddable","factor 64/64 shed 1"                                                                                    },
        {"S8 temporary_reduced_capacity",  "consume a chat requests=1 as=sheddable",
         "deny 0/1 temporary_reduced_capacity(pace)"                                                                                      },
        {"S8 temporary_reduced_capacity",  "consume a chat requests=0 as=sheddable",
         "deny 0/0 temporary_reduced_capacity(pace)"                                                                                      },
        {                           "G1",          "H: authorize a chat requests=1",                             "allow 1/1 | unlimited 1"},
        {                           "G1",   "consume a chat requests=1 as=critical",                             "allow 1/1 | unlimited 1"},
        {                           "G1", "consume a solid requests=1 as=sheddable",                                   "allow 1/1 | day 1"},
        {                           "G1",                 "pool gpu - shed=default",                                 "factor 64/64 shed 2"},
        {"S8 temporary_reduced_capacity",              "consume a chat requests=30",
         "deny 0/30 temporary_reduced_capacity(pace)"                                                                                     },
        {                           "S8",                           "status a chat",
         "temporary_reduced_capacity | pace 2 of 60 burst 10 left 8 | slots 1 of 5 left 4 | "
         "unlimited "
         "unlimited"                                                                                                                      },
        {                           "G1",   "consume a chat requests=1 as=critical",                             "allow 1/1 | unlimited 1"},
        {                           "H5",                     "extend H requests=1", "deny 0/1 temporary_reduced_capacity(pace) until +1m"},
        {                           "H5",                        "extend H ttl=50s",                                 "allow 0/0 until +1m"},
        {                           "G1",                     "pool gpu - shed=all",                                 "factor 64/64 shed 3"},
        {"S8 temporary_reduced_capacity",   "consume a chat requests=1 as=critical",
         "deny 0/1 temporary_reduced_capacity(pace)"                                                                                      },
        {                           "H2",                 "usage a chat requests=1",                             "allow 1/1 | unlimited 1"},
        {                           "H1",                     "commit H requests=1",                             "allow 1/1 | unlimited 1"},
        {                           "G1",                    "pool gpu 0 shed=none",                                "factor 0/64 override"},
        {"S8 temporary_reduced_capacity",   "consume a chat requests=1 as=critical",
         "deny 0/1 temporary_reduced_capacity(pace)"                                                                                      },
        {                           "S8",                           "status a chat",
         "temporary_reduced_capacity | pace 4 of 60 burst 10 left 6 at 0/256 | slots 0 of 5 left 5 "
         "| "
         "unlimited unlimited"                                                                                                            },
        {                           "G1",                "customer a suspended=yes",                                                  "ok"},
        {                 "G1 suspended",               "consume a chat requests=1",                                  "deny 0/1 suspended"},
        {                           "G1",                 "customer a suspended=no",                                                  "ok"},
 /* Nothing was refilled while it stood still. */
        {                           "G2",                                  "at +1m",                                                  "ok"},
        {                           "G2",                           "pool gpu none",                                        "factor 64/64"},
        {                           "G2",               "consume a chat requests=7",               "deny 0/7 rate_limited(pace) retry +1s"},
        {                           "G2",               "consume a chat requests=6",                             "allow 6/6 | unlimited 6"},
    };
    TELL(paced_policy, rows);
}

/* Goal: a change of the pace re-values no debt, and a bucket knows all of them though nobody asked
 * it meanwhile. */
static void debt_is_tokens_whatever_the_pace_was(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"H2",   "usage a chat requests=40",                          "allow 40/40 | unlimited 40"},
        {"H2", "consume b chat requests=10",                          "allow 10/10 | unlimited 10"},
        {"G2",                     "at +2s",                                                  "ok"},
        {"G2",             "pool cpu 0.125",                                "factor 8/64 override"},
        {"G2",               "pool gpu 0.5",                               "factor 32/64 override"}, /* 2 tokens so far */
        {"G2",                     "at +6s",                                                  "ok"},
        {"G2",              "pool gpu 0.25",                               "factor 16/64 override"}, /* 4 */
        {"G2",                    "at +10s",                                                  "ok"},
        {"G2",    "check b chat requests=5",                             "allow 5/5 | unlimited 5"},
        {"G2",    "check b chat requests=6", "deny 0/6 temporary_reduced_capacity(pace) retry +4s"},
        {"G2",              "pool gpu none",                                        "factor 64/64"}, /* 5 */
        {"G2",    "check a chat requests=1",              "deny 0/1 rate_limited(pace) retry +26s"},
        {"G2",    "check b chat requests=6",               "deny 0/6 rate_limited(pace) retry +1s"},
        {"G2",                    "at +15s",                                                  "ok"},
        {"G2", "consume b chat requests=10",                          "allow 10/10 | unlimited 10"},
        {"G2",               "at +35s999ms",                                                  "ok"},
        {"G2",    "check a chat requests=1",              "deny 0/1 rate_limited(pace) retry +1ms"},
        {"G2",                    "at +36s",                                                  "ok"},
        {"G2",  "consume a chat requests=1",                             "allow 1/1 | unlimited 1"},
 /* Without the pool, and of another shape: what it held by then goes on by the new terms. */
        {"W3",               "pool gpu 0.5",                               "factor 32/64 override"},
        {"W3",                    "at +40s",                                                  "ok"},
        {"W3",                   "policy 1",                                                  "ok"},
        {"W3",    "check a chat requests=2",                             "allow 2/2 | unlimited 2"},
        {"W3",    "check a chat requests=3",               "deny 0/3 rate_limited(pace) retry +1s"},
        {"W3",                    "at +41s",                                                  "ok"},
        {"W3",  "consume a chat requests=3",                             "allow 3/3 | unlimited 3"},
        {"W3",                   "policy 2",                                                  "ok"},
        {"W3",    "check a chat requests=1",               "deny 0/1 rate_limited(pace) retry +1s"},
        {"W3",                    "at +43s",                                                  "ok"},
        {"W3",    "check a chat requests=2",                             "allow 2/2 | unlimited 2"},
        {"W3",    "check a chat requests=3", "deny 0/3 temporary_reduced_capacity(pace) retry +1s"},
    };
    TELL(paced_policy, rows);
}

int tell_pace(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_pace_says_whose_it_is),
        cmocka_unit_test(standings_have_their_shares),
        cmocka_unit_test(a_standing_takes_slots),
        cmocka_unit_test(a_pool_turns_away_by_priority),
        cmocka_unit_test(debt_is_tokens_whatever_the_pace_was),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
