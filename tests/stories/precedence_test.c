/*
 * precedence_test.c: why a request is refused: every reason code, in the order in which they are
 * asked.
 */
#include "stories.h"

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

int tell_precedence(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_come_in_the_order_of_precedence),
    };
    return cmocka_run_group_tests_name("precedence", tests, NULL, NULL);
}
