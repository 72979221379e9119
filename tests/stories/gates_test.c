/*
 * gates_test.c: G: gates.
 */
#include "stories.h"

static const char *const pace_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 3, per: 10s, burst: 4, scope: {level: "
    "1}}\n"
    "          - concurrency: {name: slots, limit: 2}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 50, per: day, start: calendar}]}\n",
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 6, per: 10s, burst: 10, scope: {level: "
    "1}}\n"
    "          - concurrency: {name: slots, limit: 1}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 4, per: day, start: calendar}]}\n",
};

/* Goal: gates to the millisecond; what they count and what they keep. */
static void gates_keep_pace_exactly(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"G2",     "consume a chat requests=4 subject=t/x","allow 4/4 | included 4"                                                           },
 /* 3 tokens in 10 s: the first after 3,333.3 ms, rounded up. */
        {"S8",     "consume a chat requests=1 subject=t/y",
         "deny 0/1 rate_limited(pace) retry +3s334ms"                                                   },
        {"G6",       "consume a chat requests=1 subject=u",                     "allow 1/1 | included 1"},
        {"G2",                               "at +3s333ms",                                         "ok"},
        {"G2",       "consume a chat requests=1 subject=t",     "deny 0/1 rate_limited(pace) retry +1ms"},
        {"G2",                               "at +3s334ms",                                         "ok"},
        {"G2",   "consume a chat requests=1 subject=t/z/k",                     "allow 1/1 | included 1"},
 /* Nothing is lost to rounding: 6 tokens by 20 s. */
        {"G2",                               "at +6s667ms",                                         "ok"},
        {"G2",       "consume a chat requests=1 subject=t",                     "allow 1/1 | included 1"},
        {"G2",                                   "at +10s",                                         "ok"},
        {"G2",       "consume a chat requests=1 subject=t",                     "allow 1/1 | included 1"},
        {"G2",       "consume a chat requests=5 subject=t",                "deny 0/5 rate_limited(pace)"},
 /* Pace stays counted through release (G3). */
        {"G3",  "A: authorize a chat requests=3 subject=v",                     "allow 3/3 | included 3"},
        {"G3",                                 "release A",                                   "released"},
        {"G3",       "consume a chat requests=2 subject=v", "deny 0/2 rate_limited(pace) retry +3s334ms"},
 /* A denial charges nothing. */
        {"G3",       "consume a chat requests=1 subject=v",                     "allow 1/1 | included 1"},
        {"G4", "B: authorize a chat requests=1 subject=w1",                     "allow 1/1 | included 1"},
        {"G4", "C: authorize a chat requests=1 subject=w2",                     "allow 1/1 | included 1"},
        {"G4",    "authorize a chat requests=1 subject=w3",        "deny 0/1 concurrency_limited(slots)"},
 /* Lowering limits ends nothing; tokens stay, clipped to the burst (W3, G4). */
        {"W3",       "consume b chat requests=3 subject=t",                     "allow 3/3 | included 3"},
        {"W3",                                  "policy 1",                                         "ok"},
 /* 1 token now, 2 soon; but only 1 of the day is left, so it is midnight that helps. */
        {"W3",       "consume b chat requests=2 subject=t",
         "deny 0/2 rate_limited(pace) retry +11h59m50s"                                                 },
        {"W3",       "consume b chat requests=1 subject=t",                     "allow 1/1 | included 1"},
        {"W3",       "consume b chat requests=1 subject=s",
         "deny 0/1 allowance_exhausted(included) retry +11h59m50s"                                      },
        {"G4",                                  "commit B",                     "allow 1/1 | included 1"},
        {"G4",    "authorize a chat requests=1 subject=w3",        "deny 0/1 concurrency_limited(slots)"},
        {"G4",                                  "commit C",                     "allow 1/1 | included 1"},
        {"W3",    "authorize a chat requests=1 subject=w3",
         "deny 0/1 allowance_exhausted(included) retry +11h59m50s"                                      },
        {"W3",                  "status a chat subject=w3",
         "allowance_exhausted retry +11h59m50s | pace 0 of 6 burst 10 left 10 | slots 0 of 1 left "
         "1 | "
         "included 11 of 4 left "
         "0"                                                                                            },
    };
    TELL(pace_policy, rows);
}

/* The factor of a pool is 1 until its load moves it: then its gates are gates like any other, and
 * nobody is told of a capacity that is not reduced. */
static const char *const pool_policy[] = {
    CHAT_FEATURES "pools:\n"
                  "  fleet: {capacity: 2000, per: 1s, meter: requests, stale_after: 10s, "
                  "safe_factor: \"0.5\"}\n"
                  "plans:\n"
                  "  free:\n"
                  "    features:\n"
                  "      chat:\n"
                  "        gates:\n"
                  "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 1, "
                  "pool: fleet}\n"
                  "        waterfall: [{unlimited: {}}]\n",
};

static void pools_with_room_reduce_nothing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"G2", "consume a chat requests=1",               "allow 1/1 | unlimited 1"},
        {"G2", "consume a chat requests=1", "deny 0/1 rate_limited(pace) retry +1s"},
        {"G2",                    "at +1s",                                    "ok"},
        {"G2", "consume a chat requests=1",               "allow 1/1 | unlimited 1"},
    };
    TELL(pool_policy, rows);
}

static const char *const reshape_policy[] = {
    CHAT_FEATURES
    "plans: {free: {features: {chat: {gates: [{rate: {name: pace, meter: requests, limit: 7, per: "
    "10s}}], waterfall: [{unlimited: {}}]}}}}\n",
    CHAT_FEATURES
    "plans: {free: {features: {chat: {gates: [{rate: {name: pace, meter: requests, limit: 60, per: "
    "1h, burst: 180}}], waterfall: [{unlimited: {}}]}}}}\n",
};

/* Goal: forgetting a bucket never fills it: full counts by the time its shape changed. */
static void a_bucket_is_not_forgotten_into_another_shape(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"W3", "consume a chat requests=1",                                          "allow 1/1 | unlimited 1"},
        {"W3",                  "policy 1",                                                               "ok"},
        {"W3",                   "at +30m",                                                               "ok"},
        {"W3",             "status a chat", "allowed | pace 144 of 60 burst 180 left 36 | unlimited unlimited"},
        {"W3",                    "at +1h",                                                               "ok"},
        {"W3", "consume a chat requests=0",                                                        "allow 0/0"},
        {"W3", "consume a chat requests=2",                                          "allow 2/2 | unlimited 2"},
        {"W3",             "status a chat", "allowed | pace 116 of 60 burst 180 left 64 | unlimited unlimited"},
 /* Full at the change is full after it. */
        {"W3",                   "at +20h",                                                               "ok"},
        {"W3",                  "policy 0",                                                               "ok"},
        {"W3",                  "policy 1",                                                               "ok"},
        {"W3",             "status a chat",  "allowed | pace 0 of 60 burst 180 left 180 | unlimited unlimited"},
    };
    TELL(reshape_policy, rows);
}

/* Goal: what a pace says of itself is the policy's limit, a customer's own, and never more than can
 * be counted. */
static void a_pace_tells_its_limit_and_its_burst(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"A2", "3x usage a chat requests=9007199254740991",
         "allow 9007199254740991/9007199254740991 | unlimited 9007199254740991"                                               },
        {"A2",                             "status a chat",
         "rate_limited | pace 9007199254740991 of 60 burst 180 left 0 | unlimited unlimited"                                  },
        {"W3",                 "customer b limit.pace=120",                                                               "ok"},
        {"W3",                             "status b chat", "allowed | pace 0 of 120 burst 180 left 180 | unlimited unlimited"},
        {"W3",                   "customer b limit.pace=0",                                                               "ok"},
        {"W3",                             "status b chat",          "rate_limited | pace 0 of 0 left 0 | unlimited unlimited"},
    };
    tell(&reshape_policy[1], 1, rows, COUNT_OF(rows));
}

int tell_gates(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gates_keep_pace_exactly),
        cmocka_unit_test(pools_with_room_reduce_nothing),
        cmocka_unit_test(a_bucket_is_not_forgotten_into_another_shape),
        cmocka_unit_test(a_pace_tells_its_limit_and_its_burst),
    };
    return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
