/*
 * units_test.c: U: units and prices.
 */
#include "stories.h"

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

static const char *const newcomer_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: false, prices: chat}\n"
    "prices:\n"
    "  chat:\n"
    "    - {name: m, rates: {requests: {credits: \"3\", per: 1}}}\n"
    "    - {name: m, from: 2026-05-01T14:30:00Z, rates: {requests: {credits: \"1\", per: 1}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat: {waterfall: [{grants: {category: entitlement}}]}\n"
    "    recurring:\n"
    "      - grant: {name: hourly, category: entitlement, credits: \"2\", per: hour, start: "
    "calendar, rollover_max: \"4\"}\n",
};

/* Goal: to whom nobody has let in yet nothing accrues, and no more than rolls over to anybody: who
 * waits is told neither (S8). */
static void nobody_waits_for_what_never_accrues(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"S8", "consume a chat requests=2", "deny 0/2 allowance_exhausted retry +2h30m"},
        {"S8",   "check a chat requests=2", "deny 0/2 allowance_exhausted retry +2h30m"},
        {"S8", "consume a chat requests=3",              "deny 0/3 allowance_exhausted"},
        {"S8",            "grant b paid 1",                                 "granted 1"},
        {"S8", "consume b chat requests=2",    "deny 0/2 allowance_exhausted retry +2h"},
        {"S8", "consume b chat requests=6", "deny 0/6 allowance_exhausted retry +2h30m"},
        {"S8", "consume b chat requests=7",              "deny 0/7 allowance_exhausted"},
        {"S8",                    "at +2h",                                        "ok"},
        {"S8", "consume a chat requests=2",   "deny 0/2 allowance_exhausted retry +30m"},
        {"S8",   "check b chat requests=2",         "allow 2/2 =6 | entitlement[?] 2=6"},
        {"S8",                 "at +2h30m",                                        "ok"},
        {"S8", "consume b chat requests=6",         "allow 6/6 =6 | entitlement[?] 6=6"},
        {"S8", "consume a chat requests=2",         "allow 2/2 =2 | entitlement[?] 2=2"},
    };
    TELL(newcomer_policy, rows);
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
        {"U6", "consume a later requests=1",                                        "! no_price attributes"},
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

int tell_units(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_are_exact_and_carry_their_remainder),
        cmocka_unit_test(units_order_and_offers),
        cmocka_unit_test(a_part_that_stands_costs_what_was_held),
        cmocka_unit_test(waiting_knows_prices_to_come),
        cmocka_unit_test(nobody_waits_for_what_never_accrues),
        cmocka_unit_test(status_does_not_invent_a_price),
        cmocka_unit_test(an_empty_lot_carries_nothing),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
