/*
 * windows_test.c: W: windows and counters.
 */
#include "stories.h"

static const char *const windows_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 4, per: 5h, start: first_use}, "
    "{limit: 6, per: 7d, start: first_use}]}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: rolling, windows: [{limit: 6, per: 60s, start: sliding}]}\n"
    "      extra:\n"
    "        waterfall:\n"
    "          - allowance: {name: monthly, windows: [{limit: 2, per: month, start: anchor}]}\n",
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 9, per: 1h, start: first_use}, "
    "{limit: 60, per: day, start: calendar}]}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: rolling, windows: [{limit: 6, per: 120s, start: sliding}]}\n"
    "  other:\n"
    "    features:\n"
    "      extra: {waterfall: [{unlimited: {}}]}\n",
};

/* Goal: windows open, close, slide and change to the millisecond. */
static void windows_turn_to_the_millisecond(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {        "S2",              "consume a chat requests=0","allow 0/0"                                                                }, /* drawing nothing opens none */
        {        "S2",                                 "at +1h",                                                          "ok"},
        {        "S2",         "A: authorize a chat requests=3",                                      "allow 3/3 | included 3"},
        {        "S2",                              "release A",                                                    "released"}, /* open still, though all was returned */
        {        "W1",                                 "at +2h",                                                          "ok"},
        {        "S2",           "B: consume a chat requests=4",                                      "allow 4/4 | included 4"},
        {        "S8",              "consume a chat requests=1",            "deny 0/1 allowance_exhausted(included) retry +4h"},
        {        "S8",              "consume a chat requests=3",
         "deny 0/3 allowance_exhausted(included) retry +6d23h"                                                                }, /* 2 left in the week */
        {        "W1",                      "at +5h59m59s999ms",                                                          "ok"},
        {        "W1",              "consume a chat requests=1",           "deny 0/1 allowance_exhausted(included) retry +1ms"},
        {        "W1",                                 "at +6h",                                                          "ok"},
        {        "W1", "C: authorize a chat requests=2 ttl=10h",                                      "allow 2/2 | included 2"},
        {        "W1",              "consume a chat requests=1",
         "deny 0/1 allowance_exhausted(included) retry +10h"                                                                  }, /* the hold's expiry */
  /* A return to a rolled window frees nothing; to the week's, it does (W4). */
        {        "W4",                                "at +11h",                                                          "ok"},
        {        "W4",                    "commit C requests=0",                                                   "allow 0/0"},
        {        "W4",                          "status a chat",   "allowed | included 0 of 4 left 4 | included 4 of 6 left 2"},
        {        "W6",                       "reset a included",                                                     "reset 1"},
        {        "W6",                          "status a chat",   "allowed | included 0 of 4 left 4 | included 0 of 6 left 6"},
 /* Sliding: 60 slots of a second, strict side. The draw at 11h counts until the last moment
  * of its slot is 60 s old. */
        {"W1 sliding",             "consume a solid requests=4",                                       "allow 4/4 | rolling 4"},
        {"W1 sliding",                             "at +11h30s",                                                          "ok"},
        {"W1 sliding",             "consume a solid requests=2",                                       "allow 2/2 | rolling 2"},
        {"W1 sliding",             "consume a solid requests=1",
         "deny 0/1 allowance_exhausted(rolling) retry +30s999ms"                                                              },
        {"W1 sliding",                         "at +11h1m998ms",                                                          "ok"},
        {"W1 sliding",             "consume a solid requests=1",
         "deny 0/1 allowance_exhausted(rolling) retry +1ms"                                                                   },
        {"W1 sliding",                         "at +11h1m999ms",                                                          "ok"},
        {"W1 sliding",             "consume a solid requests=4",                                       "allow 4/4 | rolling 4"},
        {"W3 sliding",                               "policy 1",                                                          "ok"},
        {"W3 sliding",             "consume a solid requests=6",                                       "allow 6/6 | rolling 6"}, /* anew */
  /* New shapes: an open window runs to its end, new amounts bind now (W3). */
        {        "W3",                          "status a chat", "allowed | included 0 of 9 left 9 | included 0 of 60 left 60"},
        {        "W3",              "consume a chat requests=9",                                      "allow 9/9 | included 9"},
        {        "W3",                         "at +12h1m998ms",                                                          "ok"},
        {        "W3",              "consume a chat requests=1",           "deny 0/1 allowance_exhausted(included) retry +1ms"},
        {        "W3",                               "at +7d1h",                                                          "ok"}, /* the old week ends here; now a calendar day */
        {        "W3",              "consume a chat requests=9",                                      "allow 9/9 | included 9"},
        {        "W3",                          "status a chat",
         "allowance_exhausted retry +1h | included 9 of 9 left 0 | included 9 of 60 left 51"                                  },
        {        "W3",                              "at +7d12h",                                                          "ok"},
        {        "W3",                          "status a chat", "allowed | included 0 of 9 left 9 | included 0 of 60 left 60"},
        {        "G1",             "consume a extra requests=1",                                       "deny 0/1 not_entitled"},
    };
    TELL(windows_policy, rows);
}

/* Goal: anchored months, always from the original day (W5); 2028 is a leap year. */
static void anchors_are_clamped_from_the_original_day(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"W5", "customer a anchor=2026-01-31T06:00:00Z","ok"                                                        },
        {"W5",             "consume a extra requests=2",                               "allow 2/2 | monthly 2"},
 /* Now 1 May 12:00; boundaries 30 April, 31 May, 30 June, all at 06:00. */
        {"W5",             "consume a extra requests=1", "deny 0/1 allowance_exhausted(monthly) retry +29d18h"},
        {"W5",                  "at +29d17h59m59s999ms",                                                  "ok"},
        {"W5",             "consume a extra requests=1",    "deny 0/1 allowance_exhausted(monthly) retry +1ms"},
        {"W5",                             "at +29d18h",                                                  "ok"},
        {"W5",             "consume a extra requests=2",                               "allow 2/2 | monthly 2"},
        {"W5",             "consume a extra requests=1",
         "deny 0/1 allowance_exhausted(monthly) retry +30d"                                                   }, /* 31 May -> 30 June */
  /* A changed anchor leaves the open window its end. */
        {"W5", "customer a anchor=2026-01-10T00:00:00Z",                                                  "ok"},
        {"W5",             "consume a extra requests=1",    "deny 0/1 allowance_exhausted(monthly) retry +30d"},
        {"W5",                             "at +59d18h",                                                  "ok"},
        {"W5",             "consume a extra requests=2",                               "allow 2/2 | monthly 2"},
        {"W5",             "consume a extra requests=1",
         "deny 0/1 allowance_exhausted(monthly) retry +9d18h"                                                 }, /* 10 July 00:00 */
  /* Without an anchor: the creation. b comes to be on 31 January 2028, 12:00. */
        {"W5",                               "at +640d",                                                  "ok"},
        {"W5",             "consume b extra requests=2",                               "allow 2/2 | monthly 2"},
        {"W5",             "consume b extra requests=1",
         "deny 0/1 allowance_exhausted(monthly) retry +29d"                                                   }, /* 29 February 2028 */
        {"W5",                               "at +669d",                                                  "ok"},
        {"W5",             "consume b extra requests=2",                               "allow 2/2 | monthly 2"},
        {"W5",             "consume b extra requests=1",
         "deny 0/1 allowance_exhausted(monthly) retry +31d"                                                   }, /* 31 March */
  /* Taken back, the creation is the anchor again. */
        {"W5", "customer b anchor=2028-01-10T00:00:00Z",                                                  "ok"},
        {"W5",                 "customer b anchor=none",                                                  "ok"},
        {"W5",             "consume b extra requests=1",    "deny 0/1 allowance_exhausted(monthly) retry +31d"},
        {"W5",                               "at +700d",                                                  "ok"},
        {"W5",             "consume b extra requests=2",                               "allow 2/2 | monthly 2"},
        {"W5",             "consume b extra requests=1",    "deny 0/1 allowance_exhausted(monthly) retry +30d"},
    };
    TELL(windows_policy, rows);
}

/* Goal: what a reviewer broke stays mended. */
static void edges_hold(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* A new limit of one's own re-values nothing that is past (W3). */
        {"W3",            "consume a chat requests=100","allow 100/100 | roll 100"                                                        },
        {"W3",                                "at +10m",                                                     "ok"},
        {"W3",             "consume a chat requests=11",                 "deny 0/11 rate_limited(pace) retry +1m"},
        {"W3",              "customer a limit.pace=600",                                                     "ok"},
        {"W3",            "consume a chat requests=100",                "deny 0/100 rate_limited(pace) retry +9s"},
        {"W3",                "customer a limit.pace=0",                                                     "ok"},
        {"W3",              "consume a chat requests=1",                            "deny 0/1 rate_limited(pace)"},
        {"W3",              "consume a chat requests=0",                                              "allow 0/0"},
        {"U7", "usage b chat requests=9007199254740991",                              "! out_of_range quantities"},
        {"U7",       "usage b chat requests=4000000000",
         "allow 1000/4000000000 | roll 1000 over 3999999000=3999999000-3999999000"                               },
        {"U7",              "consume b chat requests=1",       "deny 0/1 rate_limited(pace) retry +2777777d17h1m"},
        {"U7",                          "status b chat",
         "rate_limited retry +2777777d17h1m | pace 4000000000 of 1 burst 100 left 0 | roll 1000 of "
         "1000 "
         "left 0"                                                                                                },
 /* Overage beyond counting is refused whole, and the cap stays reached. */
        {"H3",                   "customer c plan=over",                                                     "ok"},
        {"H3",       "usage c chat requests=4600000000",
         "allow 2/4600000000 =2 | over 2=2 over 4599999998=4599999998-0"                                         },
        {"U7",       "usage c chat requests=4600000000",                                         "! out_of_range"},
        {"H3",              "consume c chat requests=1",                     "deny 0/1 overage_cap_reached(over)"},
 /* What a reset forgave is not given back a second time (W4, W6). */
        {"W6",        "A: authorize d solid requests=3",                                     "allow 3/3 | roll 3"},
        {"W6",                    "extend A requests=3",                          "allow 3/3 | roll 3 until +11m"},
        {"W6",                           "reset d roll",                                                "reset 1"},
        {"W6",             "consume d solid requests=4",                                     "allow 4/4 | roll 4"},
        {"W6",                              "release A",                                               "released"},
        {"W6",                         "status d solid",  "allowed | roll 4 of 10 left 6 | fixed 0 of 10 left 10"},
        {"W6",        "B: authorize d solid requests=7",                                    "allow 7/7 | fixed 7"},
        {"W6",                          "reset d fixed",                                                "reset 1"},
        {"W6",             "consume d solid requests=8",                                    "allow 8/8 | fixed 8"},
        {"W6",                              "release B",                                               "released"},
        {"W6",                         "status d solid",   "allowed | roll 4 of 10 left 6 | fixed 8 of 10 left 2"},
 /* Two returns to one slot of a ring. */
        {"W4",        "C: authorize e solid requests=3",                                     "allow 3/3 | roll 3"},
        {"W4",                    "extend C requests=3",                          "allow 3/3 | roll 3 until +11m"},
        {"W4",                              "release C",                                               "released"},
        {"W4",                         "status e solid", "allowed | roll 0 of 10 left 10 | fixed 0 of 10 left 10"},
    };
    TELL(edges_policy, rows);
}

static const char *const units_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: c, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: debt\n"
    "        gates: [{budget: {name: cap, credits: \"5\", per: month, start: calendar}}]\n"
    "        waterfall:\n"
    "          - allowance: {name: a, windows: [{limit: 3, per: 5h, start: first_use}]}\n"
    "          - grants: {category: paid}\n",
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: cost, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: c, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: a, windows: [{credits: \"3\", per: 5h, start: first_use}]}\n"
    "          - grants: {category: paid}\n",
};

/* Goal: a feature that counts another unit is another feature to whoever asked before; what
 * overshoot charges counts in budgets. */
static void another_unit_is_another_feature(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"G5",                 "grant a paid 9","granted 9"                                                },
        {"G5",      "consume a chat requests=5",            "allow 5/5 =2 | a 3 | paid[?] 2=2"},
        {"G5",                 "grant b paid 1",                                   "granted 1"},
        {"G5",        "usage b chat requests=7", "allow 4/7 =1 | a 3 | paid[?] 1=1 over 3=3-0"},
        {"G5",                  "status b chat",
         "insufficient_credits | cap 4000000000 of 5000000000 left 1000000000 | a 3 of 3 left 0 | "
         "paid 0 of 0 left 0"                                                                 },
        {"H2", "A: authorize a chat requests=1",                  "allow 1/1 =1 | paid[?] 1=1"},
        {"H2",                       "policy 1",                                          "ok"},
        {"H5",            "extend A requests=2",             "deny 0/2 not_entitled until +1m"},
        {"H2",            "commit A requests=3",       "allow 1/3 =1 | paid[?] 1=1 over 2=2-2"},
        {"W2",      "consume a chat requests=3",  "allow 3000000000/3000000000 | a 3000000000"},
        {"W2",                       "policy 0",                                          "ok"},
        {"W2",                  "status a chat",
         "allowed | cap 3000000000 of 5000000000 left 2000000000 | a 3 of 3 left 0 | paid 0 of 0 "
         "left 6"                                                                             },
    };
    TELL(units_policy, rows);
}

static const char *const tie_policy[] = {
    CHAT_FEATURES "plans:\n"
                  "  free:\n"
                  "    features:\n"
                  "      chat:\n"
                  "        waterfall:\n"
                  "          - allowance: {name: a, windows: [{limit: 2, per: 1h, start: "
                  "first_use}, {limit: 2, per: "
                  "3h, start: first_use}, {limit: 5, per: 7d, start: first_use}]}\n",
};

/* Goal: of windows that have equally little left, the one that frees last is named everywhere. */
static void the_window_that_binds_is_named(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S8", "consume a chat requests=1 explain=yes","allow 1/1 | a 1"                                                       },
        {"S8",                           "json window",                                            "\"3h\""},
        {"S8",             "consume a chat requests=1",                                   "allow 1/1 | a 1"},
        {"S8", "consume a chat requests=1 explain=yes",
         "deny 0/1 allowance_exhausted(a) retry +3h"                                                       },
        {"S8",                           "json window",                                            "\"3h\""},
        {"S8",                        "json resets_at", "\"2026-05-01T15:00:00Z\" \"2026-05-01T15:00:00Z\""},
        {"S8",                          "json message",
         "\"The allowance 'a' (2 per 3h) for this customer is used up for now. The same request "
         "can pass "
         "in 10800 s.\""                                                                                   },
        {"S8",                        "json RateLimit",                         "\"\\\"a\\\";r=0;t=10800\""},
        {"S8",                 "json RateLimit-Policy",                         "\"\\\"a\\\";q=2;w=10800\""},
 /* Until the long one has least left. */
        {"S8",                                "at +3h",                                                "ok"},
        {"S8", "consume a chat requests=2 explain=yes",                                   "allow 2/2 | a 2"},
        {"S8",                                "at +4h",                                                "ok"},
        {"S8",   "check a chat requests=1 explain=yes",         "deny 0/1 allowance_exhausted(a) retry +2h"},
        {"S8",                           "json window",                                            "\"3h\""},
        {"S8",                                "at +6h",                                                "ok"},
        {"S8",   "check a chat requests=2 explain=yes",
         "deny 0/2 allowance_exhausted(a) retry +6d18h"                                                    },
        {"S8",                           "json window",                                            "\"7d\""},
    };
    TELL(tie_policy, rows);
}

int tell_windows(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_turn_to_the_millisecond),
        cmocka_unit_test(anchors_are_clamped_from_the_original_day),
        cmocka_unit_test(edges_hold),
        cmocka_unit_test(another_unit_is_another_feature),
        cmocka_unit_test(the_window_that_binds_is_named),
    };
    return cmocka_run_group_tests_name("windows", tests, NULL, NULL);
}
