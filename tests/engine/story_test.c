/*
 * story_test.c: the rules of the decision as stories, row by row, in the order of precedence: a row
 * for every reason code and for every numbered rule that one engine can show. Expected answers were
 * worked out by hand from the rules; world.c says what a line means and what is checked behind it.
 *
 * Rules that one engine cannot show have their rows elsewhere, and a few reasons cannot occur yet:
 * tests/rules.py says which and where, and fails when a rule is shown nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

struct row {
    const char *rule;
    const char *line;
    const char *answer;
};

static void tell(const char *const *policies, unsigned policy_count, const struct row *rows,
                 unsigned row_count)
{
    struct world *world = world_open(policies, policy_count);
    unsigned wrong = 0;
    for (unsigned i = 0; i < row_count; i++) {
        const char *answer = world_do(world, rows[i].line);
        if (strcmp(answer, rows[i].answer) == 0) continue;
        wrong++;
        print_error("row %u, %s: %s\n  expected: %s\n  answered: %s\n", i, rows[i].rule,
                    rows[i].line, rows[i].answer, answer);
    }
    world_close(world);
    assert_int_equal(wrong, 0);
}

#define TELL(policies, rows) tell(policies, COUNT_OF(policies), rows, COUNT_OF(rows))

/* One credit a message throughout, so that units and credits read alike. */
#define CHAT_FEATURES                                                                 \
    "version: 1\n"                                                                    \
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"             \
    "features:\n"                                                                     \
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"   \
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n" \
    "  extra: {meters: [requests], unit: requests, prices: chat}\n"                   \
    "prices:\n"                                                                       \
    "  chat:\n"                                                                       \
    "    - {name: message, rates: {requests: {credits: \"1\", per: 1}}}\n"

static const char *const precedence_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: "
    "subject}\n"
    "          - concurrency: {name: in-flight, limit: 2, scope: subject}\n"
    "          - budget: {name: cap, credits: \"7\", per: month, start: calendar}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, scope: subject, windows: [{limit: 5, per: 5h, start: "
    "first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: trial, windows: [{limit: 3, per: day, start: calendar}]}\n"
    "          - grants: {category: paid}\n"
    "  metered:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: over, credits: \"3\", per: month, start: calendar}\n"
    "      extra:\n"
    "        waterfall: [{unlimited: {}}]\n"
    "  trial:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, windows: [{limit: 2, per: 5h, start: first_use}, {limit: "
    "3, per: 7d, start: first_use}]}\n"
    "          - grants: {category: promotional}\n",
};

/* Goal: every refusal, in the order in which they are asked. */
static void refusals_come_in_the_order_of_precedence(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* 422 before any gate: unknown names change nothing (U6). */
        {                     "U6",                   "consume a chess requests=1","! unknown_feature feature:chess"                                                                                   },
        {                     "U6",                      "consume a chat tokens=1",   "! unknown_meter quantities.tokens"},
        {                     "U7",     "consume a chat requests=9007199254740992",  "! out_of_range quantities.requests"},
        {                     "S6",              "consume a chat requests=3 min=4",           "! invalid_value min_units"},
        {                     "S6",              "consume a chat requests=3 min=0",           "! invalid_value min_units"},
        {                     "B2",                                    "balance a",                  "! unknown_customer"}, /* refused strangers leave nothing */
  /* Not in this plan, only in others. */
        {        "G1 not_entitled",                   "consume a extra requests=1",               "deny 0/1 not_entitled"},
 /* Suspended, before the plan's gates; a subject, or the whole customer. */
        {           "G1 suspended",                     "customer a suspended=yes",                                  "ok"},
        {           "G1 suspended",                   "consume a chat requests=30",                 "deny 0/30 suspended"},
        {           "G1 suspended",         "customer a suspended=no suspend=team",                                  "ok"},
        {           "G1 suspended", "consume a chat requests=1 subject=team/alice",                  "deny 0/1 suspended"},
        {           "G1 suspended",      "consume a chat requests=1 subject=other",              "allow 1/1 | included 1"},
        {                     "G1",                       "customer a resume=team",                                  "ok"},
        {                     "G1", "consume a chat requests=1 subject=team/alice",              "allow 1/1 | included 1"},
 /* Rate before concurrency, budget and sources; it is never cut (G2). */
        {        "G2 rate_limited",             "consume a chat requests=21 min=1",        "deny 0/21 rate_limited(pace)"},
        {                     "G2",               "A: authorize a chat requests=5",              "allow 5/5 | included 5"},
        {        "G1 rate_limited",                   "consume a chat requests=16",
         "deny 0/16 rate_limited(pace)"                                                                                  }, /* never: nothing could pay for it either (S8) */
  /* Concurrency: a slot per hold, whatever its quantities (G4). */
        {                     "G4",                             "grant a paid 100",                         "granted 100"},
        {                     "G4",               "B: authorize a chat requests=0",                           "allow 0/0"},
        { "G4 concurrency_limited",                  "authorize a chat requests=1",
         "deny 0/1 concurrency_limited(in-flight)"                                                                       },
        { "G4 concurrency_limited",                    "consume a chat requests=1",
         "deny 0/1 concurrency_limited(in-flight)"                                                                       },
        {                     "G4",                                    "release B",                            "released"},
 /* Budget: measured with the sources (G5). */
        {                     "G5",                    "consume a chat requests=7",          "allow 7/7 =7 | paid[?] 7=7"},
        {      "S7 budget_reached",                    "consume a chat requests=1",        "deny 0/1 budget_reached(cap)"},
 /* Indivisible: all together would, no one alone does. */
        {                     "S7",                            "P: grant b paid 2",                           "granted 2"},
        {         "S7 indivisible",                   "consume b solid requests=5",         "deny 0/5 indivisible(trial)"},
        {                     "S1",                   "consume b solid requests=3",                 "allow 3/3 | trial 3"},
        {                     "S1",                   "consume b solid requests=2",          "allow 2/2 =2 | paid[P] 2=2"},
        {"S7 insufficient_credits",                   "consume b solid requests=1",
         "deny 0/1 insufficient_credits(paid)"                                                                           },
 /* Consent. */
        {                     "S5",                          "customer c mode=ask",                                  "ok"},
        {                     "S5",                            "Q: grant c paid 2",                           "granted 2"},
        {                     "S5",                    "consume c chat requests=5",              "allow 5/5 | included 5"},
        {"S7 credits_need_consent",                    "consume c chat requests=2",
         "deny 0/2 credits_need_consent(paid)"                                                                           },
        {                     "S7",                    "consume c chat requests=3", "deny 0/3 insufficient_credits(paid)"},
        {                     "S5",        "consume c chat requests=2 credits=yes",          "allow 2/2 =2 | paid[Q] 2=2"},
 /* Mode off: wins over consent; false means off for this request. */
        {                     "S5",                          "customer d mode=off",                                  "ok"},
        {                     "S5",                               "grant d paid 9",                           "granted 9"},
        {                     "S5",                    "consume d chat requests=5",              "allow 5/5 | included 5"},
        { "S7 allowance_exhausted",        "consume d chat requests=1 credits=yes",
         "deny 0/1 allowance_exhausted(included) retry +5h"                                                              },
        {                     "S5",                         "customer d mode=auto",                                  "ok"},
        { "S7 allowance_exhausted",         "consume d chat requests=1 credits=no",
         "deny 0/1 allowance_exhausted(included) retry +5h"                                                              },
 /* No paid grants, no overage: waiting is all that helps; the window that binds then. */
        {                     "S7",                        "customer e plan=trial",                                  "ok"},
        {                     "S8",                    "consume e chat requests=2",                 "allow 2/2 | daily 2"},
        { "S8 allowance_exhausted",                    "consume e chat requests=1",
         "deny 0/1 allowance_exhausted(daily) retry +5h"                                                                 },
        { "S8 allowance_exhausted",                    "consume e chat requests=2",
         "deny 0/2 allowance_exhausted(daily) retry +7d"                                                                 },
        { "S8 allowance_exhausted",                    "consume e chat requests=4",
         "deny 0/4 allowance_exhausted(daily)"                                                                           },
 /* Overage is full. */
        {                     "S7",                      "customer f plan=metered",                                  "ok"},
        {                     "S4",                    "consume f chat requests=3",             "allow 3/3 =3 | over 3=3"},
        { "S7 overage_cap_reached",                    "consume f chat requests=1",
         "deny 0/1 overage_cap_reached(over)"                                                                            },
        {                     "S4",                                    "balance f",                  "available 0 held 0"},
        {                     "G1",                "consume f extra requests=1000",    "allow 1000/1000 | unlimited 1000"},
    };
    TELL(precedence_policy, rows);
}

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
         "allowance_exhausted retry +11h59m50s | pace 0 of 10 left 10 | slots 0 of 1 left 1 | "
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

static const char *const holds_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - budget: {name: cap, credits: \"50\", per: 1h, start: first_use}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 3, per: 5h, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      solid:\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "  debtor:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: debt\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        on_failure: full\n"
    "        waterfall:\n"
    "          - overage: {name: over, credits: \"2\", per: month, start: calendar}\n",
};

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
    };
    TELL(windows_policy, rows);
}

static const char *const grants_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "  member:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall: [{grants: {category: entitlement}}]\n"
    "    recurring:\n"
    "      - grant: {name: monthly, category: entitlement, credits: \"10\", per: month, start: "
    "anchor, rollover_max: \"4\"}\n",
};

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

static const char *const prices_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  codex: {meters: [requests, input, output], unit: cost, prices: codex}\n"
    "  video: {meters: [seconds], unit: seconds, prices: video}\n"
    "  straddle: {meters: [requests], unit: requests, prices: four}\n"
    "  thirds: {meters: [requests], unit: requests, prices: thirds}\n"
    "prices:\n"
    "  codex:\n"
    "    - name: big\n"
    "      match: {model: big}\n"
    "      rates: {input: {credits: \"0.0000001\", per: 7}, output: {credits: \"0.000001\", per: "
    "3}}\n"
    "      multiply: {speed: {standard: \"1\", fast: \"1.5\"}}\n"
    "    - name: default\n"
    "      from: 2026-05-01T13:00:00Z\n"
    "      rates: {input: {credits: \"2\", per: 1}}\n"
    "    - name: default\n"
    "      rates: {input: {credits: \"1\", per: 1}}\n"
    "  video:\n"
    "    - {name: clip, rates: {seconds: {credits: \"2\", per: 1}}, minimum: \"5\"}\n"
    "  four:\n"
    "    - {name: four, rates: {requests: {credits: \"4\", per: 1}}}\n"
    "  thirds:\n"
    "    - {name: third, rates: {requests: {credits: \"0.000000001\", per: 3}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      codex:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{credits: \"0.00000001\", per: 5h, start: "
    "first_use}]}\n"
    "          - grants: {category: paid}\n"
    "      video: {waterfall: [{grants: {category: paid}}]}\n"
    "      straddle: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}\n"
    "      thirds: {waterfall: [{grants: {category: paid}}]}\n",
};

/* Goal: prices are exact; what rounding leaves is carried, not lost. */
static void prices_are_exact_and_carry_their_remainder(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {     "S3",                             "G: grant a paid 100","granted 100"                                                                      },
 /* A third of a nano-credit each: hold 1, charge 0, 0, 1. */
        {     "U4",                     "consume a thirds requests=1",                                 "allow 1/1 | paid[G] 1"},
        {     "U4",                "A: authorize a thirds requests=1",
         "allow 1/1 =0.000000001 | paid[G] 1=0.000000001"                                                                     },
        {     "A1",                             "commit A requests=1",                                 "allow 1/1 | paid[G] 1"},
        {     "U4",                     "consume a thirds requests=1",        "allow 1/1 =0.000000001 | paid[G] 1=0.000000001"},
        {     "U4",                     "consume a thirds requests=3",        "allow 3/3 =0.000000001 | paid[G] 3=0.000000001"},
        {     "U4",                     "consume a thirds requests=5",        "allow 5/5 =0.000000001 | paid[G] 5=0.000000001"},
        {     "U4",                     "consume a thirds requests=1",        "allow 1/1 =0.000000001 | paid[G] 1=0.000000001"},
 /* Cost: (100/7) x 7 + (1000/3) x 3 nano = 100 + 1000. Allowance 10 nano first. */
        {"U4 cost",     "consume a codex input=7 output=3 .model=big",
         "allow 1100/1100 =0.00000109 | included 10 | paid[G] 1090=0.00000109"                                                },
 /* 1/7 of 100 = 14.28..: hold 15, charge 14 and carry 2/7 .. */
        {"U4 cost",         "B: authorize a codex input=1 .model=big",
         "allow 15/15 =0.000000015 | paid[G] 15=0.000000015"                                                                  },
        {"U4 cost",                                "commit B input=1",     "allow 14/14 =0.000000014 | paid[G] 14=0.000000014"},
        {"U4 cost",              "consume a codex input=6 .model=big",
         "allow 86/86 =0.000000086 | paid[G] 86=0.000000086"                                                                  }, /* 85.71 + 0.28 */
        {     "U6", "consume a codex input=14 .model=big .speed=fast",
         "allow 300/300 =0.0000003 | paid[G] 300=0.0000003"                                                                   },
        {     "U6", "consume a codex input=14 .model=big .speed=slow",
         "! unlisted_value attributes.speed:slow"                                                                             },
        {     "U6",                         "consume a codex input=1", "allow 1000000000/1000000000 =1 | paid[G] 1000000000=1"},
 /* The rule quoted at the decision is honoured after another came into force (U5). */
        {     "U5",             "C: authorize a codex input=2 ttl=2h",
         "allow 2000000000/2000000000 =2 | paid[G] 2000000000=2"                                                              },
        {     "U5",                                          "at +1h",                                                    "ok"},
        {     "U5",                         "consume a codex input=1", "allow 2000000000/2000000000 =2 | paid[G] 2000000000=2"},
        {     "U5",                         "extend C input=1 ttl=1h",
         "allow 1000000000/1000000000 =1 | paid[G] 1000000000=1 until +2h"                                                    },
        {     "U5",                                "commit C input=4",
         "allow 4000000000/4000000000 =4 | paid[G] 2000000000=2 | paid[G] 1000000000=1 | paid[G] "
         "1000000000=1"                                                                                                       },
 /* A minimum: the first credit-funded unit costs max(2, 5), the third brings 6. */
        {     "U3",                       "consume a video seconds=1",                            "allow 1/1 =5 | paid[G] 1=5"},
        {     "U3",                       "consume a video seconds=3",                            "allow 3/3 =6 | paid[G] 3=6"},
        {     "U3",                  "D: authorize a video seconds=1",                            "allow 1/1 =5 | paid[G] 1=5"},
        {     "U3",                              "commit D seconds=4",              "allow 4/4 =8 | paid[G] 1=5 | paid[G] 3=3"},
        {     "U2",                       "consume a video seconds=0",                                             "allow 0/0"},
 /* A unit that two grants pay counts on the later line. */
        {     "S3",                               "H: grant b paid 6",                                             "granted 6"},
        {     "S3",                              "I: grant b paid 10",                                            "granted 10"},
        {     "S3",              "E: authorize b straddle requests=3",             "allow 3/3 =12 | paid[H] 1=6 | paid[I] 2=6"},
        {     "H1",                             "commit E requests=2",              "allow 2/2 =8 | paid[H] 1=6 | paid[I] 1=2"},
        {     "S3",                        "J: grant b promotional 3",                                             "granted 3"},
        {     "S3",                   "consume b straddle requests=1",                            "allow 1/1 =4 | paid[I] 1=4"}, /* 3 carry no unit */
        {     "S3",                        "K: grant b promotional 3",                                             "granted 3"},
        {     "S3",                   "consume b straddle requests=2",
         "allow 2/2 =8 | promotional[J] 0=3 | promotional[K] 1=1 | paid[I] 1=4"                                               },
 /* Parts. */
        {     "S6",             "consume b straddle requests=9 min=1",                   "deny 0/9 insufficient_credits(paid)"},
        {     "S6",                               "L: grant b paid 8",                                             "granted 8"},
        {     "S6",             "consume b straddle requests=9 min=3",                   "deny 0/9 insufficient_credits(paid)"},
        {     "S6",             "consume b straddle requests=9 min=2",                          "partial 2/9 =8 | paid[L] 2=8"},
 /* Nobody has the money for it; after the fact it is beyond what can be counted. */
        {     "U7",    "consume b straddle requests=9007199254740991",
         "deny 0/9007199254740991 insufficient_credits(paid)"                                                                 },
        {     "U7",      "usage b straddle requests=9007199254740991",                             "! out_of_range quantities"},
    };
    TELL(prices_policy, rows);
}

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

/* Goal: units are priced as the feature says, at the stamp's time, in the journal's order. */
static void units_order_and_offers(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* A meter's feature is priced by that meter alone; anything else is unit: cost (U1). */
        {"U1",                     "G: grant a paid 50","granted 50"                                                        },
        {"U1",          "consume a straddle requests=1",                            "allow 1/1 =4 | paid[G] 1=4"},
        {"U1", "consume a codex input=1 output=9000000",
         "allow 1000000000/1000000000 =0.99999999 | included 10 | paid[G] 999999990=0.99999999"                 },
 /* One millisecond, two purchases: the journal's order is the burn order (T1). */
        {"T1",            "H: grant b paid 1 until=+1h",                                             "granted 1"},
        {"T1",            "I: grant b paid 1 until=+1h",                                             "granted 1"},
        {"T1",   "consume b thirds requests=6000000000",
         "allow 6000000000/6000000000 =2 | paid[H] 3000000000=1 | paid[I] 3000000000=1"                         },
 /* Usage is priced at the server's stamp (A7): from 13:00 the default doubles. */
        {"A7",                  "usage a codex input=1", "allow 1000000000/1000000000 =1 | paid[G] 1000000000=1"},
        {"A7",                                 "at +1h",                                                    "ok"},
        {"A7",                  "usage a codex input=1", "allow 2000000000/2000000000 =2 | paid[G] 2000000000=2"},
    };
    TELL(prices_policy, rows);
    /* What is offered is clamped to what JSON can carry (A2). */
    struct world *world = world_open(precedence_policy, 1);
    world_do(world, "customer f plan=metered");
    assert_string_equal(world_do(world, "consume f extra requests=9007199254740991"),
                        "allow 9007199254740991/9007199254740991 | unlimited 9007199254740991");
    assert_int_equal(world_fact(world)->report.notes[0].amount, QUANTITY_MAX);
    world_close(world);
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

static const char *const parts_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s}\n"
    "features:\n"
    "  cost: {meters: [in], unit: cost, prices: thirds}\n"
    "prices:\n"
    "  thirds: [{name: t, rates: {in: {credits: \"0.00000001\", per: 3}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      cost: {on_failure: full, waterfall: [{grants: {category: paid}}]}\n",
};

/* Goal: a part that stands is charged as held, and no more of it is carried on (H4, U4). */
static void a_part_that_stands_costs_what_was_held(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S6",    "G: grant a paid 0.000000004","granted 0.000000004"                                                },
        {"S6", "A: authorize a cost in=3 min=1",
         "partial 4/10 =0.000000004 | paid[G] 4=0.000000004"                                     },
        {"H4",    "commit A in=0 status=failed", "allow 4/4 =0.000000004 | paid[G] 4=0.000000004"},
        {"U4",              "P: grant a paid 1",                                      "granted 1"},
        {"U4",            "consume a cost in=1", "allow 3/3 =0.000000003 | paid[P] 3=0.000000003"},
        {"U4",            "consume a cost in=2", "allow 7/7 =0.000000007 | paid[P] 7=0.000000007"},
    };
    TELL(parts_policy, rows);
}

/* Everything costs something else from +1h and from +2h on. */
static const char *const season_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s}\n"
    "features:\n"
    "  cost: {meters: [in], unit: cost, prices: cost}\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "  named: {meters: [requests], unit: requests, prices: named}\n"
    "  later: {meters: [requests], unit: requests, prices: later}\n"
    "prices:\n"
    "  cost:\n"
    "    - {name: c, rates: {in: {credits: \"10\", per: 1}}}\n"
    "    - {name: c, from: 2026-05-01T13:00:00Z, rates: {in: {credits: \"2\", per: 1}}}\n"
    "    - {name: c, from: 2026-05-01T14:00:00Z, rates: {in: {credits: \"4\", per: 1}}}\n"
    "  chat:\n"
    "    - {name: m, rates: {requests: {credits: \"3\", per: 1}}}\n"
    "    - {name: m, from: 2026-05-01T13:00:00Z, rates: {requests: {credits: \"1\", per: 1}}}\n"
    "    - {name: n, match: {model: big}, rates: {requests: {credits: \"9\", per: 1}}, multiply: "
    "{speed: {fast: \"2\"}}}\n"
    "    - {name: n, match: {model: big}, from: 2026-05-01T14:00:00Z, rates: {requests: {credits: "
    "\"2\", per: 1}}, multiply: {speed: {slow: \"0.5\"}}}\n"
    "  named:\n"
    "    - {name: a, match: {model: a}, rates: {requests: {credits: \"5\", per: 1}}}\n"
    "    - {name: b, match: {model: b}, rates: {requests: {credits: \"2\", per: 1}}}\n"
    "    - {name: z, match: {model: z}, from: 2026-05-01T13:00:00Z, rates: {requests: {credits: "
    "\"1\", per: 1}}}\n"
    "  later:\n"
    "    - {name: l, from: 2026-05-01T13:00:00Z, rates: {requests: {credits: \"1\", per: 1}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      cost:\n"
    "        waterfall: [{allowance: {name: inc, windows: [{credits: \"5\", per: 90m, start: "
    "first_use}]}}]\n"
    "      chat: {waterfall: [{grants: {category: promotional}}]}\n"
    "      named: {waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]}\n"
    "      later:\n"
    "        waterfall:\n"
    "          - allowance: {name: day, windows: [{limit: 2, per: day, start: calendar}]}\n"
    "          - grants: {category: promotional}\n",
};

/* Goal: who waits is quoted anew: a rule that comes into force on the way counts (S8, U5). */
static void waiting_knows_prices_to_come(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* 10 credits now, 2 from +1h on, 4 from +2h on; an allowance of 5. */
        {"S8",                                "check a cost in=1",   "deny 0/10000000000 allowance_exhausted(inc) retry +1h"},
        {"S8",                              "consume a cost in=2",   "deny 0/20000000000 allowance_exhausted(inc) retry +1h"},
        {"S8",                            "authorize a cost in=2",   "deny 0/20000000000 allowance_exhausted(inc) retry +1h"},
        {"S8",                              "consume a cost in=3",             "deny 0/30000000000 allowance_exhausted(inc)"},
 /* By then it asks for less than the part that it would accept: never valid again. */
        {"S6",               "consume a cost in=1 min=9000000000",             "deny 0/10000000000 allowance_exhausted(inc)"},
        {"S8",                         "G: grant b promotional 2",                                               "granted 2"},
        {"S8",                        "consume b chat requests=2",                  "deny 0/2 allowance_exhausted retry +1h"},
        {"S8",                        "consume b chat requests=3",                            "deny 0/3 allowance_exhausted"},
        {"U6",             "consume b chat requests=1 .model=big",                  "deny 0/1 allowance_exhausted retry +2h"},
 /* The rule to come does not list the value. */
        {"U6", "consume b chat requests=1 .model=big .speed=fast",                            "deny 0/1 allowance_exhausted"},
 /* A hold keeps its price. */
        {"U5",                         "H: grant c promotional 4",                                               "granted 4"},
        {"U5",            "A: authorize c chat requests=1 ttl=3h",                       "allow 1/1 =3 | promotional[H] 1=3"},
        {"H5",                              "extend A requests=1",                  "deny 0/1 allowance_exhausted until +3h"},
 /* Dearer by the time that the window is over. */
        {"S8",                                           "at +1h",                                                      "ok"},
        {"S8",                              "consume a cost in=2",            "allow 4000000000/4000000000 | inc 4000000000"},
        {"S8",                              "consume a cost in=1", "deny 0/2000000000 allowance_exhausted(inc) retry +1h30m"},
        {"S8",                              "consume a cost in=2",              "deny 0/4000000000 allowance_exhausted(inc)"},
    };
    TELL(season_policy, rows);
}

/* Goal: where attributes alone say the price, status counts credits, and says whether the cheapest
 * request would pass; before any price is in force, none does. */
static void status_does_not_invent_a_price(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"U6",             "status a named",
         "insufficient_credits | promotional 0 of 0 left 0 | paid 0 of 0 left 0"                           },
        {"U6",             "grant a paid 1",                                                    "granted 1"},
        {"U6",             "status a named",
         "insufficient_credits | promotional 0 of 0 left 0 | paid 0 of 0 left 1000000000"                  },
        {"U6",             "grant a paid 2",                                                    "granted 2"},
        {"U6",             "status a named",
         "allowed | promotional 0 of 0 left 0 | paid 0 of 0 left 3000000000"                               },
        {"U6",              "status a chat",              "allowance_exhausted | promotional 0 of 0 left 0"},
        {"U6", "consume a later requests=1",                                  "! no_price attributes:later"},
        {"U6",             "status a later", "not_entitled | day 0 of 2 left 2 | promotional 0 of 0 left 0"},
        {"U6",                     "at +1h",                                                           "ok"},
        {"U6",             "status a later",      "allowed | day 0 of 2 left 2 | promotional 0 of 0 left 0"},
        {"U6",             "grant b paid 1",                                                    "granted 1"},
        {"U6",             "status b named",
         "allowed | promotional 0 of 0 left 0 | paid 0 of 0 left 1000000000"                               },
    };
    TELL(season_policy, rows);
}

/* Goal: a lot with nothing left carries nothing, not even what a minimum has paid for (S3). */
static void an_empty_lot_carries_nothing(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S3",              "G: grant a paid 5",                                     "granted 5"},
        {"U3", "A: authorize a video seconds=1",                    "allow 1/1 =5 | paid[G] 1=5"},
        {"S3",             "extend A seconds=1", "deny 0/1 insufficient_credits(paid) until +1m"},
        {"S3",             "commit A seconds=2",         "allow 1/2 =5 | paid[G] 1=5 over 1=0-0"},
        {"S3",              "H: grant b paid 5",                                     "granted 5"},
        {"U3", "B: authorize b video seconds=1",                    "allow 1/1 =5 | paid[H] 1=5"},
        {"S3",              "I: grant b paid 1",                                     "granted 1"},
        {"S3",             "extend B seconds=1",               "allow 1/1 | paid[I] 1 until +1m"},
        {"S3",             "commit B seconds=2",        "allow 2/2 =5 | paid[H] 1=5 | paid[I] 1"},
    };
    TELL(prices_policy, rows);
}

static const char *const rhythm_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 3, per: 5h, start: first_use}]}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "    recurring:\n"
    "      - grant: {name: one, category: entitlement, credits: \"1\", per: hour, start: "
    "calendar}\n"
    "      - grant: {name: two, category: entitlement, credits: \"2\", per: hour, start: "
    "calendar}\n",
};

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

static const char *const edges_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 1, per: 1m, burst: 100}\n"
    "        waterfall:\n"
    "          - allowance: {name: roll, windows: [{limit: 1000, per: 1h, start: sliding}]}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: roll, windows: [{limit: 10, per: 1h, start: sliding}]}\n"
    "          - allowance: {name: fixed, windows: [{limit: 10, per: 5h, start: first_use}]}\n"
    "      extra: {waterfall: [{unlimited: {}}]}\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        waterfall:\n"
    "          - overage: {name: over, credits: \"2\", per: month, start: calendar}\n",
};

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
         "rate_limited retry +2777777d17h1m | pace 4000000000 of 100 left 0 | roll 1000 of 1000 "
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
         "left 2"                                                                             },
    };
    TELL(units_policy, rows);
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
        {"W3", "consume a chat requests=1",                                 "allow 1/1 | unlimited 1"},
        {"W3",                  "policy 1",                                                      "ok"},
        {"W3",                   "at +30m",                                                      "ok"},
        {"W3",             "status a chat", "allowed | pace 144 of 180 left 36 | unlimited unlimited"},
        {"W3",                    "at +1h",                                                      "ok"},
        {"W3", "consume a chat requests=0",                                               "allow 0/0"},
        {"W3", "consume a chat requests=2",                                 "allow 2/2 | unlimited 2"},
        {"W3",             "status a chat", "allowed | pace 116 of 180 left 64 | unlimited unlimited"},
 /* Full at the change is full after it. */
        {"W3",                   "at +20h",                                                      "ok"},
        {"W3",                  "policy 0",                                                      "ok"},
        {"W3",                  "policy 1",                                                      "ok"},
        {"W3",             "status a chat",  "allowed | pace 0 of 180 left 180 | unlimited unlimited"},
    };
    TELL(reshape_policy, rows);
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
    assert_non_null(strstr(world_do(world, "extend A requests=1"), "! out_of_range"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_come_in_the_order_of_precedence),
        cmocka_unit_test(gates_keep_pace_exactly),
        cmocka_unit_test(pools_with_room_reduce_nothing),
        cmocka_unit_test(holds_end_once_and_exactly),
        cmocka_unit_test(late_commits_know_the_whole_hold),
        cmocka_unit_test(a_part_that_stands_costs_what_was_held),
        cmocka_unit_test(waiting_knows_prices_to_come),
        cmocka_unit_test(status_does_not_invent_a_price),
        cmocka_unit_test(an_empty_lot_carries_nothing),
        cmocka_unit_test(windows_turn_to_the_millisecond),
        cmocka_unit_test(anchors_are_clamped_from_the_original_day),
        cmocka_unit_test(grants_burn_expire_and_come_back),
        cmocka_unit_test(prices_are_exact_and_carry_their_remainder),
        cmocka_unit_test(keys_bind_allows_and_nothing_else),
        cmocka_unit_test(units_order_and_offers),
        cmocka_unit_test(overrides_replace_limits_from_the_next_decision),
        cmocka_unit_test(trials_see_many_renewals),
        cmocka_unit_test(edges_hold),
        cmocka_unit_test(a_bucket_is_not_forgotten_into_another_shape),
        cmocka_unit_test(what_returns_at_the_renewal_rolls_over),
        cmocka_unit_test(full_memory_refuses_newcomers_and_nobody_else),
        cmocka_unit_test(another_unit_is_another_feature),
        cmocka_unit_test(a_policy_brings_its_gifts_to_the_idle),
        cmocka_unit_test(subjects_whose_counters_are_over_are_forgotten),
        cmocka_unit_test(spent_lots_are_out_of_the_way),
        cmocka_unit_test(waiting_is_honest_beside_many_holds),
        cmocka_unit_test(the_longest_hold_is_settled),
        cmocka_unit_test(many_holds_expire_in_one_trial),
    };
    return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
