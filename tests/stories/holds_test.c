/*
 * holds_test.c: H: holds, and how they end.
 */
#include "stories.h"

/* Goal: a hold ends once, and everything goes where the rules say. */
static void holds_end_once_and_exactly(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {        "S3",                    "G: grant a promotional 2","granted 2"                                                                     },
        {        "S3",                          "P: grant a paid 10",                                           "granted 10"},
        {        "H1",      "A: authorize a chat requests=8 ttl=10s",
         "allow 8/8 =5 | included 3 | promotional[G] 2=2 | paid[P] 3=3"                                                     },
        {        "B2",                                   "balance a",                       "available 7 held 5 | G 0 | P 7"},
 /* Less: cut in drawing order; the rest returns, last line first. */
        {        "H1",                         "commit A requests=4",       "allow 4/4 =1 | included 3 | promotional[G] 1=1"},
        {        "H6",                         "commit A requests=4", "again allow 4/4 =1 | included 3 | promotional[G] 1=1"},
        {        "H6",                         "commit A requests=5",                                     "! hold_committed"},
        {        "H6",                                   "release A",                                     "! hold_committed"},
        {        "H6",                         "extend A requests=1",                                     "! hold_committed"},
        {        "B2",                                   "balance a",                     "available 11 held 0 | G 1 | P 10"},
 /* Commit without quantities: requests as held (U2). */
        {        "U2",              "B: authorize a chat requests=2",      "allow 2/2 =2 | promotional[G] 1=1 | paid[P] 1=1"},
        {        "U2",                                    "commit B",      "allow 2/2 =2 | promotional[G] 1=1 | paid[P] 1=1"},
 /* More: through the waterfall; what nothing carries is overshoot, refunded. */
        {        "H2",              "C: authorize a chat requests=2",                           "allow 2/2 =2 | paid[P] 2=2"},
        {        "H2",                         "commit C requests=4",             "allow 4/4 =4 | paid[P] 2=2 | paid[P] 2=2"},
        {        "H2",              "D: authorize a chat requests=4",                           "allow 4/4 =4 | paid[P] 4=4"},
        {        "H3",                         "commit D requests=9",  "allow 5/9 =5 | paid[P] 4=4 | paid[P] 1=1 over 4=4-4"},
        {        "H3",                                   "balance a",                                   "available 0 held 0"},
 /* Release and expiry. */
        {        "H6",             "E: authorize a solid requests=1",                  "deny 0/1 insufficient_credits(paid)"},
        {        "H6",                           "Q: grant a paid 5",                                            "granted 5"},
        {        "H6",     "F: authorize a solid requests=2 ttl=10s",                           "allow 2/2 =2 | paid[Q] 2=2"},
        {        "H6",                                   "release F",                                             "released"},
        {        "H6",                                   "release F",                                             "released"},
        {        "H6",                         "commit F requests=1",                                      "! hold_released"},
        {        "H6",     "I: authorize a solid requests=2 ttl=10s",                           "allow 2/2 =2 | paid[Q] 2=2"},
        {        "H5",                  "extend I requests=1 ttl=5s",                "allow 1/1 =1 | paid[Q] 1=1 until +10s"},
        {        "H5",                            "extend I ttl=20s",                                 "allow 0/0 until +20s"},
        {        "H5",                         "extend I requests=9",       "deny 0/9 insufficient_credits(paid) until +20s"},
        {        "B2",                                   "balance a",                             "available 2 held 3 | Q 2"},
        {        "W1",                                "at +19s999ms",                                                   "ok"},
        {        "B2",                                   "balance a",                             "available 2 held 3 | Q 2"},
        {        "W1",                                     "at +20s",                                                   "ok"},
        {        "B2",                                   "balance a",                             "available 5 held 0 | Q 5"},
        {        "H6",                                   "release I",                                              "expired"},
        {        "H6",                         "extend I requests=1",                                       "! hold_expired"},
 /* Late: usage is never lost. */
        {   "H6 late",                         "commit I requests=4",                      "allow 4/4 =4 | paid[Q] 4=4 late"},
        {   "H6 late",                         "commit I requests=4",                "again allow 4/4 =4 | paid[Q] 4=4 late"},
        {   "H6 late",                         "commit I requests=3",                                     "! hold_committed"},
        {        "H6",                         "commit Z requests=1",                                   "! unknown_decision"},
 /* Failure costs nothing by default; the hold is returned. */
        {        "H4",             "J: authorize a solid requests=1",                           "allow 1/1 =1 | paid[Q] 1=1"},
        {        "H4",           "commit J requests=1 status=failed",                                            "allow 0/0"},
        {        "H4", "consume a solid requests=1 status=moderated",                                            "allow 0/0"},
        {        "H4",                                   "balance a",                             "available 1 held 0 | Q 1"},
 /* Debt, repaid by the next paid grant. */
        {   "H3 debt",                      "customer b plan=debtor",                                                   "ok"},
        {   "H3 debt",                           "R: grant b paid 2",                                            "granted 2"},
        {   "H3 debt",              "K: authorize b chat requests=2",                           "allow 2/2 =2 | paid[R] 2=2"},
        {   "H3 debt",                         "commit K requests=5",                "allow 2/5 =2 | paid[R] 2=2 over 3=3-0"},
        {        "S4",                                   "balance b",                          "available -3 held 0 debt -3"},
        {        "S4",                       "grant b promotional 4",                                            "granted 4"},
        {        "S4",                          "T: grant b paid 10",                                           "granted 10"},
        {        "S4",                                   "balance b",                      "available 11 held 0 | ? 4 | T 7"},
 /* Overage above its cap; failure in full. */
        {"H3 overage",                        "customer c plan=over",                                                   "ok"},
        {"H3 overage",              "L: authorize c chat requests=1",                              "allow 1/1 =1 | over 1=1"},
        {"H3 overage",                         "commit L requests=5",        "allow 2/5 =2 | over 1=1 | over 1=1 over 3=3-0"},
        {"H3 overage",                               "status c chat",
         "overage_cap_reached | over 5000000000 of 2000000000 left 0"                                                       },
        {   "H4 full",                        "customer d plan=over",                                                   "ok"},
        {   "H4 full",              "M: authorize d chat requests=2",                              "allow 2/2 =2 | over 2=2"},
        {   "H4 full",           "commit M requests=0 status=failed",                              "allow 2/2 =2 | over 2=2"},
 /* Usage after the fact is never refused. */
        {  "H2 usage",                              "grant e paid 2",                                            "granted 2"},
        {  "H2 usage",                     "usage e chat requests=7",
         "allow 5/7 =2 | included 3 | paid[?] 2=2 over 2=2-2"                                                               },
        {  "H2 usage",                    "usage e extra requests=2",                                 "allow 0/2 over 2=2-2"},
 /* Budgets count it too; returns restore the window they were drawn in (G5). */
        {        "G5",                               "status e chat",
         "insufficient_credits | cap 2000000000 of 50000000000 left "
         "48000000000 | included 3 of 3 left 0 | promotional 0 of 0 left 0 "
         "| paid 0 of 0 left 0"                                                                                             },
    };
    TELL(holds_policy, rows);
}

/* Goal: a late commit knows what extends had added (H4, H5, H6). */
static void late_commits_know_the_whole_hold(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"H4",                   "customer d plan=over",                                 "ok"},
        {"H4", "A: authorize d chat requests=1 ttl=10s",            "allow 1/1 =1 | over 1=1"},
        {"H5",             "extend A requests=1 ttl=5s", "allow 1/1 =1 | over 1=1 until +10s"},
        {"H6",                                "at +10s",                                 "ok"},
        {"H4",      "commit A requests=0 status=failed",       "allow 2/2 =2 | over 2=2 late"},
        {"H6", "B: authorize a chat requests=1 ttl=10s",             "allow 1/1 | included 1"},
        {"H5",             "extend B requests=2 ttl=5s",  "allow 2/2 | included 2 until +20s"},
        {"H6",                                "at +20s",                                 "ok"},
        {"U2",                               "commit B",        "allow 3/3 | included 3 late"},
    };
    TELL(holds_policy, rows);
}

static const char *const meters_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  talk: {meters: [requests, input, output], unit: input, divisible: true, prices: talk}\n"
    "  code: {meters: [requests, input, output], unit: cost, divisible: true, prices: code}\n"
    "prices:\n"
    "  talk:\n"
    "    - {name: talk, rates: {input: {credits: \"1\", per: 1}}}\n"
    "  code:\n"
    "    - {name: code, rates: {input: {credits: \"0.000000001\", per: 3}, output: {credits: "
    "\"2\", per: 1}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      talk:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: output, limit: 60, per: 1m}\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "      code: {waterfall: [{grants: {category: paid}}]}\n"
    "  full:\n"
    "    features:\n"
    "      code: {on_failure: full, waterfall: [{grants: {category: paid}}]}\n"
    "  actual:\n"
    "    features:\n"
    "      talk: {on_failure: actual, waterfall: [{grants: {category: paid}}]}\n",
};

/* Goal: a commit that says no quantities used what was held, of every meter; one that says that
 * there are none used none, but for requests (U2). */
static void silence_is_what_was_held(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {     "S3",      "G: grant a paid 100",           "granted 100"                                                                  },
        {     "U2",        "A: authorize a talk input=5 output=7",                                           "allow 5/5 =5 | paid[G] 5=5"},
        {     "U2",                                    "commit A",                                           "allow 5/5 =5 | paid[G] 5=5"},
        {     "H6",                                    "commit A",                                     "again allow 5/5 =5 | paid[G] 5=5"},
        {     "I1",                                 "commit A {}",                                                     "! hold_committed"},
        {     "I1",                   "commit A input=5 output=7",                                                     "! hold_committed"},
        {     "U2",                 "B: authorize a talk input=5",                                           "allow 5/5 =5 | paid[G] 5=5"},
        {     "U2",                                 "commit B {}",                                                            "allow 0/0"},
        {     "H6",                                 "commit B {}",                                                      "again allow 0/0"},
        {     "I1",                                    "commit B",                                                     "! hold_committed"},
 /* Extended, cost: what was held in all. */
        {     "U2",        "C: authorize a code input=3 output=1",
         "allow 2000000001/2000000001 =2.000000001 | paid[G] 2000000001=2.000000001"                                                     },
        {     "H5",                           "extend C output=1",
         "allow 2000000000/2000000000 =2 | paid[G] 2000000000=2 until +1m"                                                               },
        {     "U2",                                    "commit C",
         "allow 4000000001/4000000001 =4.000000001 | paid[G] 2000000001=2.000000001 | paid[G] "
         "2000000000=2"                                                                                                                  },
        {     "U2",
         "batch "
         "{\"operations\":[{\"op\":\"authorize\",\"customer\":\"a\",\"feature\":\"talk\","
         "\"quantities\":{\"input\":2}}]}",                                           "allow 2/2 =2 | paid[G] 2=2"                       },
        {     "U2",                               "resp commit $",                            "*7 committed d_? :2 2 ok :-1 *3 paid :2 2"},
        {     "A6",           "resp authorize a - talk - input 2",                                "*7 allow d_? :2 2 ok :-1 *3 paid :2 2"},
        {     "A6",                    "resp commit $ requests 1",                                         "*6 committed d_? :0 0 ok :-1"},
 /* Late. */
        {"U2 late", "D: authorize a talk input=4 output=1 ttl=1s",                                           "allow 4/4 =4 | paid[G] 4=4"},
        {     "H6",                                      "at +1s",                                                                   "ok"},
        {"U2 late",                                    "commit D",                                      "allow 4/4 =4 | paid[G] 4=4 late"},
        {     "I1",                                 "commit D {}",                                                     "! hold_committed"},
        {"U2 late",          "E: authorize a talk input=4 ttl=1s",                                           "allow 4/4 =4 | paid[G] 4=4"},
        {     "H6",                                      "at +2s",                                                                   "ok"},
        {"U2 late",                                 "commit E {}",                                                       "allow 0/0 late"},
 /* What failed is as the plan says, first of all. */
        {     "H4",                 "F: authorize a talk input=4",                                           "allow 4/4 =4 | paid[G] 4=4"},
        {     "H4",                      "commit F status=failed",                                                            "allow 0/0"},
        {     "H4",                      "customer a plan=actual",                                                                   "ok"},
        {     "H4",                 "H: authorize a talk input=4",                                           "allow 4/4 =4 | paid[G] 4=4"},
        {     "H4",                      "commit H status=failed",                                           "allow 4/4 =4 | paid[G] 4=4"},
 /* A part: of what it measures no more is charged than it holds (A1), and nothing is
  carried. */
        {     "S3",                           "P: grant b paid 3",                                                            "granted 3"},
        {     "A1",  "I: authorize b code input=1 output=4 min=1",
         "partial 3000000000/8000000001 =3 | paid[P] 3000000000=3"                                                                       },
        {     "A1",                                    "commit I",                "allow 3000000000/3000000000 =3 | paid[P] 3000000000=3"},
        {     "B3",                                     "books b", "usage commit | cost 3000000000=3 | moves purchase+3 charge-3 | now 0"},
        {     "B3",                                     "books a",
         "usage commit commit commit commit commit expiry late_commit expiry late_commit commit "
         "commit | cost 5=5 0=0 4000000001=4.000000001 2=2 0=0 4=4 0=0 0=0 4=4 | moves "
         "purchase+100 charge-5 charge-4.000000001 charge-2 charge-4 charge-4 | now 80.999999999"                                        },
    };
    TELL(meters_policy, rows);
}

/* Goal: the longest hold there can be ends well, whatever is used beyond it. */
static void the_longest_hold_is_settled(void **state)
{
    (void)state;
    struct world *world = world_open(holds_policy, 1);
    world_check_purity(world, false);
    world_do(world, "grant a paid 2000");
    world_do(world, "A: authorize a solid requests=1 ttl=1h");
    unsigned extended = 0;
    while (strncmp(world_do(world, "extend A requests=1"), "allow", 5) == 0)
        extended++;
    assert_int_equal(extended, HOLD_LINES_MAX - 1);
    assert_string_equal(world_do(world, "extend A requests=1"), "! out_of_range quantities");
    assert_string_equal(world_do(world, "extend A ttl=2h"), "allow 0/0 until +2h");
    for (unsigned i = 0; i < GRANTS_LIVE_MAX - 1; i++)
        world_do(world, "grant a paid 1 priority=-1");
    assert_string_equal(world_do(world, "grant a paid 1"), "! too_many_grants customer:a");
    char line[64];
    snprintf(line, sizeof line, "commit A requests=%u", HOLD_LINES_MAX + 300);
    world_do(world, line);
    const struct report *report = &world_fact(world)->report;
    assert_int_equal(report->units_allowed, HOLD_LINES_MAX + 300);
    assert_int_equal(report->line_count, HOLD_LINES_MAX + GRANTS_LIVE_MAX);
    world_close(world);
}

/* Goal: thousands of holds that expire together do not exhaust a trial. */
static void many_holds_expire_in_one_trial(void **state)
{
    (void)state;
    struct world *world = world_open(holds_policy, 1);
    world_check_purity(world, false);
    world_do(world, "grant a paid 5000");
    for (unsigned i = 0; i < 5000; i++)
        world_do(world, "authorize a solid requests=1 ttl=10s");
    assert_string_equal(world_do(world, "balance a"), "available 0 held 5000 | ? 0");
    world_skip(world, 10000); /* nobody has journaled what fell due */
    assert_string_equal(world_do(world, "balance a"), "available 5000 held 0 | ? 5000");
    assert_string_equal(world_do(world, "check a solid requests=5000"),
                        "allow 5000/5000 =5000 | paid[?] 5000=5000");
    world_close(world);
}

int tell_holds(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_end_once_and_exactly),
        cmocka_unit_test(late_commits_know_the_whole_hold),
        cmocka_unit_test(silence_is_what_was_held),
        cmocka_unit_test(the_longest_hold_is_settled),
        cmocka_unit_test(many_holds_expire_in_one_trial),
    };
    return cmocka_run_group_tests_name("holds", tests, NULL, NULL);
}
