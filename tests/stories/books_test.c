/*
 * books_test.c: B: what the books say of it. Behind every `books` line stand the checks of B3:
 * exact costs, sums, links, chains, and that the ledger and the engine agree.
 */
#include "stories.h"

static const char *const books_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"
    "  thirds: {meters: [requests], unit: requests, prices: thirds}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "  thirds: [{name: third, rates: {requests: {credits: \"0.000000001\", per: 3}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 2, per: 5h, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      thirds: {waterfall: [{grants: {category: paid}}]}\n"
    "  debtor:\n"
    "    features:\n"
    "      chat: {overshoot: debt, waterfall: [{grants: {category: paid}}]}\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        waterfall: [{overage: {name: extra, credits: \"2\", per: month, start: calendar}}]\n",
};

/* Goal: one usage event for each end, one monetization event for each settled usage, one balance
 * update for each account moved. */
static void every_end_is_one_row_and_every_move_is_one(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"B1",                     "P: grant a paid 10","granted 10"                                                        },
        {"B1",              "consume a chat requests=3",                       "allow 3/3 =1 | included 2 | paid[P] 1=1"},
        {"B1",         "A: authorize a chat requests=2",                                    "allow 2/2 =2 | paid[P] 2=2"},
 /* What is held has not ended. */
        {"B1",                                "books a", "usage consume | cost 1=1 | moves purchase+10 charge-1 | now 9"},
        {"B1",                    "commit A requests=1",                                    "allow 1/1 =1 | paid[P] 1=1"},
        {"B1", "B: authorize a chat requests=1 ttl=10s",                                    "allow 1/1 =1 | paid[P] 1=1"},
        {"B1",         "C: authorize a chat requests=1",                                    "allow 1/1 =1 | paid[P] 1=1"},
        {"B1",                              "release C",                                                      "released"},
        {"B1",                                "at +10s",                                                            "ok"},
        {"B1",             "consume a chat requests=99",                          "deny 0/99 insufficient_credits(paid)"},
        {"B1",                "check a chat requests=1",                                    "allow 1/1 =1 | paid[P] 1=1"},
        {"B1",                    "commit B requests=1",                               "allow 1/1 =1 | paid[P] 1=1 late"},
        {"B1",              "consume a chat requests=0",                                                     "allow 0/0"},
        {"B1",                "usage a chat requests=1",                                    "allow 1/1 =1 | paid[P] 1=1"},
        {"B1",                                "books a",
         "usage consume commit release expiry denial late_commit consume usage | cost 1=1 1=1 1=1 "
         "0=0 1=1 | moves purchase+10 charge-1 charge-1 charge-1 charge-1 | now 6"                                      },
 /* Of equal denials in a second 16 have a row each, the next stands for a crowd, and one row
  * says how many joined it. */
        {"B1",          "40x consume c chat requests=9",                           "deny 0/9 insufficient_credits(paid)"},
        {"B1",                                "books c",               "usage 17x denial denial*23 | cost | moves | now"},
        {"B1",                                "at +11s",                                                            "ok"},
        {"B1",              "consume c chat requests=9",                           "deny 0/9 insufficient_credits(paid)"},
        {"B1",                                "books c",        "usage 17x denial denial*23 denial | cost | moves | now"},
 /* The remainder before and after, over its denominator; nothing moves for nothing. */
        {"B1",                         "grant b paid 1",                                                     "granted 1"},
        {"B1",            "consume b thirds requests=1",                                         "allow 1/1 | paid[?] 1"},
        {"B1",            "consume b thirds requests=1",                                         "allow 1/1 | paid[?] 1"},
        {"B1",            "consume b thirds requests=1",                "allow 1/1 =0.000000001 | paid[?] 1=0.000000001"},
        {"B1",                                "books b",
         "usage consume consume consume | cost 1=0(0>1/3) 1=0(1>2/3) 1=0.000000001(2>0/3) | moves "
         "purchase+1 charge-0.000000001 | now 0.999999999"                                                              },
    };
    TELL(books_policy, rows);
}

/* Goal: grants enter and leave by rows of their own; what overshoots nets to zero, or is owed. */
static void balances_move_by_rows_and_add_up(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"B2", "G: grant a promotional 3 from=+1h until=+2h","granted 3"                                                             },
        {"B2",                                     "books a",                                           "usage | cost | moves | now"},
        {"B2",                                      "at +1h",                                                                   "ok"},
        {"B2",                "X: consume a chat requests=3",                       "allow 3/3 =1 | included 2 | promotional[G] 1=1"},
        {"B2",              "A: authorize a chat requests=1",                                    "allow 1/1 =1 | promotional[G] 1=1"},
        {"B2",                                   "balance a",                                             "available 1 held 1 | G 1"},
        {"B2",                                     "books a",            "usage consume | cost 1=1 | moves grant+3 charge-1 | now 2"},
 /* Over: what is not held goes; what comes back goes by its own row. */
        {"B2",                             "extend A ttl=2h",                                                  "allow 0/0 until +3h"},
        {"B2",                                      "at +2h",                                                                   "ok"},
        {"B2",                                   "release A",                                                             "released"},
        {"B2",                                  "refund X 1",                       "refunded 1 expired 1 of 1 | promotional[G] 0=1"},
        {"B2",                                     "books a",
         "usage consume release | cost 1=1 | moves grant+3 charge-1 expiry-1 expiry-1 refund+1 "
         "expiry-1 | now 0"                                                                                                         },
 /* Overshoot: the refund before the charge, and both net to zero. */
        {"B3",                           "P: grant b paid 2",                                                            "granted 2"},
        {"B3",              "B: authorize b chat requests=3",                              "allow 3/3 =1 | included 2 | paid[P] 1=1"},
        {"B3",                         "commit B requests=9",
         "allow 4/9 =2 | included 2 | paid[P] 1=1 | paid[P] 1=1 over 5=5-5"                                                         },
        {"B3",                                      "void P",                                                             "voided 0"},
        {"B3",                                     "books b",
         "usage commit | cost 2=2+5 | moves purchase+2 charge-2 overshoot_refund+5 "
         "overshoot_charge-5 | now 0"                                                                                               },
 /* Booked as debt, repaid by the next paid grant. */
        {"B3",                      "customer c plan=debtor",                                                                   "ok"},
        {"B3",                     "usage c chat requests=2",                                                 "allow 0/2 over 2=2-0"},
        {"B3",                              "grant c paid 5",                                                            "granted 5"},
        {"B3",                                     "books c",
         "usage usage | cost 0=0+2 | moves debt-2 purchase+5 repayment-2 repayment+2 | now 3"                                       },
 /* Overage is outside the balance. */
        {"B3",                        "customer d plan=over",                                                                   "ok"},
        {"B3",                     "usage d chat requests=3",                                  "allow 2/3 =2 | extra 2=2 over 1=1-0"},
        {"B3",                                     "books d", "usage usage | cost 2=2+1 | moves charge-2 overshoot_charge-1 | now 0"},
    };
    TELL(books_policy, rows);
}

int tell_books(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_end_is_one_row_and_every_move_is_one),
        cmocka_unit_test(balances_move_by_rows_and_add_up),
    };
    return cmocka_run_group_tests_name("books", tests, NULL, NULL);
}
