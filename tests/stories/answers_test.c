/*
 * answers_test.c: A: what is answered, as the wire reads and writes it.
 */
#include "stories.h"

static const char *const answers_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"
    "  free: {meters: [requests], unit: requests}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"0.5\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 2, per: 5h, start: first_use}]}\n"
    "          - grants: {category: paid}\n"
    "      free: {waterfall: [{unlimited: {}}]}\n",
    "version: 1\n"
    "features: {chat: {meters: [requests, attr], unit: requests}}\n"
    "plans: {free: {features: {chat: {waterfall: [{unlimited: {}}]}}}}\n",
};

/* Goal: amounts of credits have one form, the shortest; counts are what JSON can carry. */
static void amounts_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"A2",                             "grant a paid 9.000000001","granted 9.000000001"                                                                      },
        {"A2",                                         "json credits",                    "\"9.000000001\""},
        {"A2",                            "consume a chat requests=2",             "allow 2/2 | included 2"},
        {"A2",                                         "json charged",                        "\"0\" \"0\""},
        {"A2",                       "A: authorize a chat requests=1",     "allow 1/1 =0.5 | paid[?] 1=0.5"},
        {"A2",                                         "json charged",                    "\"0.5\" \"0.5\""},
        {"A1",                                  "commit A requests=1",     "allow 1/1 =0.5 | paid[?] 1=0.5"},
        {"A1",                                         "json charged",                    "\"0.5\" \"0.5\""},
        {"A2",                           "consume a chat requests=12",      "allow 12/12 =6 | paid[?] 12=6"},
        {"A2",                                         "json charged",                        "\"6\" \"6\""},
        {"A2", "consume a free requests=9007199254740991 explain=yes",
         "allow 9007199254740991/9007199254740991 | unlimited 9007199254740991"                            },
        {"A2",                                         "json offered",                   "9007199254740991"},
        {"A2",             "consume a free requests=9007199254740992", "! out_of_range quantities.requests"},
    };
    TELL(answers_policy, rows);
}

/* Goal: a batch is its operations one after the other, each with its own answer (A5). */
static void a_batch_is_its_operations_in_order(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /* The second falls on to what the first left; a failure stops nothing. */
        {"A5",
         "batch {\"operations\": ["
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "2}},"
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "1}},"
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chess\",\"quantities\":{"
         "\"requests\":1}},"
         "{\"op\":\"dance\"},"
         "{\"op\":\"consume\",\"customer\":\"b\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "-1}},"
         "{\"op\":\"consume\",\"customer\":\"b\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "1}}]}", "allow 2/2 | included 2 ; deny 0/1 insufficient_credits(paid) ; "
 "! unknown_feature feature:chess ; ! invalid_value operations[3].op ; "
 "! invalid_value operations[4].quantities.requests ; allow 1/1 | included 1"                               },
 /* A key repeated inside it gets the first answer; with another body, a conflict. */
        {"A5",         "grant a paid 2",                                                                          "granted 2"},
        {"A5",
         "batch {\"operations\": ["
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "1},"
         "\"idempotency_key\":\"k\"},"
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "1},"
         "\"idempotency_key\":\"k\"},"
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "2},"
         "\"idempotency_key\":\"k\"}]}",                                   "allow 1/1 =0.5 | paid[?] 1=0.5 ; again allow 1/1 =0.5 | paid[?] 1=0.5 ; "
                                   "! idempotency_conflict idempotency_key:k"        },
        {"A5",              "balance a",                                                       "available 1.5 held 0 | ? 1.5"},
 /* Torn: nothing at all is done. */
        {"A3",
         "batch {\"operations\": ["
         "{\"op\":\"consume\",\"customer\":\"a\",\"feature\":\"chat\",\"quantities\":{\"requests\":"
         "1}},",                                                                        "! malformed"                        },
        {"A5",              "balance a",                                                       "available 1.5 held 0 | ? 1.5"},
    };
    TELL(answers_policy, rows);
}

/* Goal: RESP has the same decisions in arrays, and its keywords are no meters (A6). */
static void resp_answers_in_arrays(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"A6",                                                               "grant a paid 9","granted 9"                                                                                              },
        {"A6",                                           "resp consume a - chat - requests 3",
         "*8 allow d_? :3 0.5 ok :-1 *3 included :2 0 *3 paid :1 0.5"                                                                                            },
        {"A6", "resp authorize a team/x chat k TTL 60000 requests 2 ATTR model m ATTR tier t",
         "*7 allow d_? :2 1 ok :-1 *3 paid :2 1"                                                                                                                 },
        {"A6",                                                     "resp commit $ requests 1",                    "*7 committed d_? :1 0.5 ok :-1 *3 paid :1 0.5"},
        {"A6",                               "resp authorize a - chat - requests 1 ttl 60000",
         "*7 allow d_? :1 0.5 ok :-1 *3 paid :1 0.5"                                                                                                             },
        {"A6",                                                               "resp release $",                                                              "+OK"},
        {"H6",                                                               "resp release $",                                                              "+OK"},
        {"H6",                                                                "resp commit $",
         "-HOLD_RELEASED The hold was released: expected a hold that is open"                                                                                    },
        {"I1", "resp authorize a team/x chat k ATTR tier t requests 2 ATTR model m TTL 60000",
         "*7 allow d_? :2 1 ok :-1 *3 paid :2 1"                                                                                                                 },
        {"A6",                                          "resp consume a - chess - requests 1",
         "-UNKNOWN_FEATURE The policy has no such feature: feature (found 'chess'), expected a "
         "feature of the policy"                                                                                                                                 },
        {"A6",                                                                       "file 1", "! 'attr' is a reserved word, expected another name for the meter"},
        {"A6",                               "resp authorize a - chat - requests 1 TTL 10000",
         "*7 allow d_? :1 0.5 ok :-1 *3 paid :1 0.5"                                                                                                             },
        {"A6",                                                                      "at +10s",                                                               "ok"},
        {"A6",                                                                "resp commit $",                         "*7 late d_? :1 0.5 ok :-1 *3 paid :1 0.5"},
        {"A6",                               "resp authorize a - chat - requests 1 TTL 60000",
         "*7 allow d_? :1 0.5 ok :-1 *3 paid :1 0.5"                                                                                                             },
        {"A6",                                       "resp commit $ requests 1 STATUS failed",                                     "*6 committed d_? :0 0 ok :-1"},
        {"A6",                                           "resp consume b - chat - requests 3",                        "*6 deny d_? :0 0 insufficient_credits :-1"},
        {"A6",                                     "resp consume b - chat - requests 3 MIN 1",
         "*7 partial d_? :2 0 ok :-1 *3 included :2 0"                                                                                                           },
        {"A6",                                "resp consume a - chat - requests 1 ATTR model",
         "-MISSING_FIELD A required field is missing: attributes.model, expected a name and a "
         "value behind ATTR"                                                                                                                                     },
        {"A6",                                         "resp consume a - chat - TTL requests",
         "-INVALID_SHAPE The body is not of the contract's shape: ttl_ms (found 'requests'), "
         "expected an integer"                                                                                                                                   },
        {"A6",                                                           "resp release d_zzz",
         "-UNKNOWN_DECISION No such decision, or no longer remembered: decision_id (found "
         "'d_zzz'), expected a decision id"                                                                                                                      },
    };
    TELL(answers_policy, rows);
}

int tell_answers(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_written_in_their_shortest_form),
        cmocka_unit_test(a_batch_is_its_operations_in_order),
        cmocka_unit_test(resp_answers_in_arrays),
    };
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
