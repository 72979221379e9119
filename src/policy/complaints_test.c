/*
 * complaints_test.c: every mistake that a policy can have, with the complaint that it gets, in the
 * order of the file's sections. What the mistake stands in is valid, so one mistake gives what it
 * says here and nothing else.
 */
#include "policy/testing.h"

/* Three features: one priced by its unit, one without prices, one by cost. */
#define HEAD_REST                                                        \
    "features: {chat: {meters: [requests], unit: requests, prices: p}, " \
    "bare: {meters: [seconds], unit: seconds}, "                         \
    "codex: {meters: [input, output], unit: cost, prices: c}}\n"         \
    "prices: {p: [{name: r, rates: {requests: {credits: 1, per: 1}}}], " \
    "c: [{name: r, rates: {input: {credits: 1, per: 3}}}]}\n"
#define HEAD "version: 1\n" HEAD_REST
#define TAIL "plans: {free: {features: {chat: {waterfall: [{unlimited: {}}]}}}}\n"

#define DEFAULTS(keys) HEAD TAIL "defaults: {" keys "}\n"
#define FEATURES(lines) "version: 1\nfeatures:\n" lines "plans: {free: {}}\n"
#define PRICES(lines)                                                                   \
    "version: 1\nfeatures: {f: {meters: [requests, seconds], unit: cost, prices: p}}\n" \
    "plans: {free: {}}\nprices:\n  p:\n" lines
#define RATES(rates) PRICES("    - {name: r, rates: {" rates "}}\n")
#define RULE(keys) PRICES("    - {name: r, rates: {requests: {credits: 1, per: 1}}, " keys "}\n")
#define POOL(keys) HEAD TAIL "pools: {gpu: {" keys "}}\n"
#define PLAN(keys) HEAD "plans: {free: {" keys "}}\n"
#define PLAN_OF(feature) HEAD "plans:\n  free:\n    features:\n      " feature ":\n"
#define GATES(feature, items) \
    PLAN_OF(feature) "        waterfall: [{unlimited: {}}]\n        gates:\n" items
#define GATE(item) GATES("chat", "          - " item "\n")
#define WATERFALL(feature, items) PLAN_OF(feature) "        waterfall:\n" items
#define WINDOWS(feature, windows) \
    WATERFALL(feature, "          - allowance: {name: a, windows: [" windows "]}\n")
#define RECURRING(items) HEAD "plans:\n  free:\n    recurring:\n" items
#define GRANT(keys)                                                                             \
    RECURRING(                                                                                  \
        "      - grant: {name: a, category: paid, credits: 1, per: month, start: anchor, " keys \
        "}\n")

#define COMPLAINS(yaml, expected) assert_string_equal(complaints_of(bytes_of_text(yaml)), expected)

static void what_is_not_one_plain_yaml_document_is_refused(void **state)
{
    (void)state;
    COMPLAINS("", "1:1: the file is empty, expected a policy that begins with 'version: 1'\n");
    COMPLAINS("# only a comment\n",
              "1:1: the file is empty, expected a policy that begins with 'version: 1'\n");
    COMPLAINS("---\n", "2:1: found nothing, expected a mapping with keys of: version, defaults, "
                       "features, prices, pools, plans\n");
    COMPLAINS("just words\n", "1:1: found 'just words', expected a mapping with keys of: version, "
                              "defaults, features, prices, pools, plans\n");
    COMPLAINS("- a\n- b\n", "1:1: found a list, expected a mapping with keys of: version, "
                            "defaults, features, prices, pools, plans\n");
    COMPLAINS("version: 1\nversion: 1\n" HEAD_REST TAIL,
              "2:1: the key 'version' is here twice, expected it once (the first is in line 1)\n");
    COMPLAINS(HEAD TAIL "---\nversion: 1\n",
              "5:1: a second document begins here, expected one policy in one document\n");
    COMPLAINS(HEAD TAIL "plans: {}\n",
              "5:1: the key 'plans' is here twice, expected it once (the first is in line 4)\n");
    COMPLAINS(
        "version: 1\nplans: &a {}\nfeatures: *a\n",
        "2:8: found the anchor '&a', expected no anchors: write the value out where it is needed\n"
        "2:8: 'plans' is an empty mapping, expected a mapping of 1 to 64 plans by name\n"
        "3:11: found the alias '*a', expected no aliases: write the value out where it is "
        "needed\n");
    COMPLAINS("version: !!str 1\n" HEAD_REST TAIL,
              "1:10: found the tag 'tag:yaml.org,2002:str', expected no tags\n");
    COMPLAINS("? [a]\n: b\n", "1:3: found a list as a key, expected a name\n");
    COMPLAINS("{{a: b}: c}\n", "1:2: found a mapping as a key, expected a name\n");
    COMPLAINS("version: 1\n\011features: {}\n",
              "2:1: malformed YAML: found a tab character that violates indentation while scanning "
              "a plain scalar, expected well-formed YAML\n");
    COMPLAINS("version: [1\nplans: 2\n",
              "2:6: malformed YAML: did not find expected ',' or ']' while parsing a flow "
              "sequence, expected well-formed YAML\n");
    COMPLAINS("version: \"1\n", "2:1: malformed YAML: found unexpected end of stream while "
                                "scanning a quoted scalar, expected well-formed YAML\n");
    COMPLAINS("version: 1\nplans: a: b\n", "2:9: malformed YAML: mapping values are not allowed in "
                                           "this context, expected well-formed YAML\n");
    COMPLAINS("version: 1\n\377\n",
              "2:1: the file is not text: invalid leading UTF-8 octet, expected YAML in UTF-8\n");
    COMPLAINS(
        "a: \001\n",
        "1:4: the file is not text: control characters are not allowed, expected YAML in UTF-8\n");
    COMPLAINS("%YAML 3.0\n---\nversion: 1\n",
              "1:1: malformed YAML: found incompatible YAML document, expected well-formed YAML\n");
    COMPLAINS("x: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n",
              "1:19: the file is nested too deeply, expected at most 16 levels\n");
}

static void the_sections_are_known(void **state)
{
    (void)state;
    COMPLAINS("{}\n", "1:1: missing key 'version', expected the keys: version, features, plans\n"
                      "1:1: missing key 'features', expected the keys: version, features, plans\n"
                      "1:1: missing key 'plans', expected the keys: version, features, plans\n");
    COMPLAINS("version: 2\n" HEAD_REST TAIL,
              "1:10: 'version' is '2', expected 1, the version of this format\n");
    COMPLAINS("version: \"1\"\n" HEAD_REST TAIL,
              "1:10: 'version' is the text '1', expected 1, the version of this format\n");
    COMPLAINS("version: 1.0\n" HEAD_REST TAIL,
              "1:10: 'version' is '1.0', expected 1, the version of this format\n");
    COMPLAINS(HEAD TAIL "plan: {}\n", "5:1: unknown key 'plan', did you mean 'plans'?\n");
    COMPLAINS(HEAD TAIL "pool: {}\n", "5:1: unknown key 'pool', did you mean 'pools'?\n");
    COMPLAINS(HEAD TAIL "surprise: {}\n", "5:1: unknown key 'surprise', expected one of: version, "
                                          "defaults, features, prices, pools, plans\n");
    COMPLAINS(HEAD TAIL "\"\": {}\n", "5:1: unknown key '', expected one of: version, defaults, "
                                      "features, prices, pools, plans\n");
    COMPLAINS(
        "version: 1\nfeatures: {}\nplans:\n",
        "2:11: 'features' is an empty mapping, expected a mapping of 1 to 256 features by name\n"
        "3:7: 'plans' is empty, expected a mapping of 1 to 64 plans by name\n");
}

static void defaults_are_checked(void **state)
{
    (void)state;
    COMPLAINS(DEFAULTS("plan: fre"), "5:18: there is no plan 'fre', did you mean 'free'?\n");
    COMPLAINS(DEFAULTS("plan: nothing-like-it"),
              "5:18: there is no plan 'nothing-like-it', expected one that this policy defines\n");
    COMPLAINS(DEFAULTS("plan: [free]"), "5:18: 'plan' is a list, expected a name of 1 to 64 of the "
                                        "characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(DEFAULTS("hold_ttl: 60"), "5:22: 'hold_ttl' is '60', expected a duration such as "
                                        "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 500ms"), "5:22: 'hold_ttl' is '500ms', expected a duration such "
                                           "as 30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 31d"), "5:22: 'hold_ttl' is '31d', expected a duration such as "
                                         "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 1w"), "5:22: 'hold_ttl' is '1w', expected a duration such as "
                                        "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 00m"), "5:22: 'hold_ttl' is '00m', expected a duration such as "
                                         "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 99999999999999999999d"),
              "5:22: 'hold_ttl' is '99999999999999999999d', expected a duration such as 30s, 5m, "
              "5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: 1.5h"), "5:22: 'hold_ttl' is '1.5h', expected a duration such as "
                                          "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("hold_ttl: -1m"), "5:22: 'hold_ttl' is '-1m', expected a duration such as "
                                         "30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(DEFAULTS("idempotency_retention: 59s"),
              "5:35: 'idempotency_retention' is '59s', expected a duration such as 30s, 5m, 5h or "
              "7d, from 1m to 366d\n");
    COMPLAINS(DEFAULTS("idempotency_retention: 367d"),
              "5:35: 'idempotency_retention' is '367d', expected a duration such as 30s, 5m, 5h or "
              "7d, from 1m to 366d\n");
    COMPLAINS(
        DEFAULTS("on_failure: ful"),
        "5:24: 'on_failure' is 'ful', expected one of: none, full, actual; did you mean 'full'?\n");
    COMPLAINS(DEFAULTS("on_failure: never"),
              "5:24: 'on_failure' is 'never', expected one of: none, full, actual\n");
    COMPLAINS(DEFAULTS("overshoot: refunds"), "5:23: 'overshoot' is 'refunds', expected one of: "
                                              "refund, debt, overage; did you mean 'refund'?\n");
    COMPLAINS(DEFAULTS("overshoot: {}"),
              "5:23: 'overshoot' is an empty mapping, expected one of: refund, debt, overage\n");
    COMPLAINS(DEFAULTS("overshoot: overage"),
              "5:23: 'overshoot' is 'overage', but feature 'chat' of plan 'free' has no overage "
              "source, expected one in its waterfall, or 'overshoot' refund or debt there\n");
    COMPLAINS(DEFAULTS("hold-ttl: 60s"),
              "5:12: unknown key 'hold-ttl', did you mean 'hold_ttl'?\n");
    COMPLAINS(DEFAULTS("retention: 24h"),
              "5:12: unknown key 'retention', expected one of: on_failure, overshoot, hold_ttl, "
              "plan, idempotency_retention\n");
}

static void features_are_checked(void **state)
{
    (void)state;
    COMPLAINS(FEATURES("  chat: {unit: requests}\n"),
              "3:9: missing key 'meters', expected the keys: meters, unit\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests]}\n"),
              "3:9: missing key 'unit', expected the keys: meters, unit\n");
    COMPLAINS(FEATURES("  chat: requests\n"), "3:9: 'chat' is 'requests', expected a mapping with "
                                              "keys of: meters, unit, divisible, prices\n");
    COMPLAINS(FEATURES("  chat: {meters: requests, unit: requests}\n"),
              "3:18: 'meters' is 'requests', expected a list of 1 to 8 meters\n");
    COMPLAINS(FEATURES("  chat: {meters: [], unit: requests}\n"),
              "3:18: 'meters' is an empty list, expected a list of 1 to 8 meters\n");
    COMPLAINS(FEATURES("  chat: {meters: [a, b, c, d, e, f, g, h, i], unit: a}\n"),
              "3:43: too many meters, expected at most 8\n");
    COMPLAINS(FEATURES("  chat: {meters: [a, b, a], unit: a}\n"),
              "3:25: meter 'a' is in this list twice, expected it once\n");
    COMPLAINS(
        FEATURES("  chat: {meters: [a b, \"\", [x], \303\251], unit: cost, prices: p}\n"),
        "3:19: found 'a b', expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n"
        "3:24: found the text '', expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ : / "
        "-\n"
        "3:28: found a list, expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n"
        "3:33: found '\303\251', expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ : / "
        "-\n"
        "3:57: there is no price list 'p', expected one that this policy defines\n");
    COMPLAINS(FEATURES("  chat: {meters: [Attr, MIN, credits, ttl, sTatus, cost], unit: cost}\n"),
              "3:19: 'Attr' is a reserved word, expected another name for the meter\n"
              "3:25: 'MIN' is a reserved word, expected another name for the meter\n"
              "3:30: 'credits' is a reserved word, expected another name for the meter\n"
              "3:39: 'ttl' is a reserved word, expected another name for the meter\n"
              "3:44: 'sTatus' is a reserved word, expected another name for the meter\n"
              "3:52: 'cost' is a reserved word, expected another name for the meter\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: request}\n"),
              "3:36: 'unit' is 'request', expected cost or one of the feature's meters; did you "
              "mean 'requests'?\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: bananas}\n"),
              "3:36: 'unit' is 'bananas', expected cost or one of the feature's meters\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: costs}\n"),
              "3:36: 'unit' is 'costs', expected cost or one of the feature's meters; did you mean "
              "'cost'?\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: requests, divisible: yes}\n"),
              "3:57: 'divisible' is 'yes', expected one of: true, false\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: requests, divisible: \"true\"}\n"),
              "3:57: 'divisible' is the text 'true', expected true or false, without quotes\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: cost}\n"),
              "3:3: feature 'chat' has no prices, expected 'prices': its unit is cost\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: cost, prices: p}\n"),
              "3:50: there is no price list 'p', expected one that this policy defines\n");
    COMPLAINS(FEATURES("  chat: {meters: [requests], unit: requests, price: p}\n"),
              "3:46: unknown key 'price', did you mean 'prices'?\n");
    COMPLAINS(
        FEATURES("  a chat: {meters: [requests], unit: requests}\n"),
        "3:3: 'a chat' is no name, expected 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(FEATURES("  nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: "
                       "{meters: [requests], unit: requests}\n"),
              "3:3: 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...' is no "
              "name, expected 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(FEATURES("  a: {meters: [requests], unit: requests}\n  a: {meters: [requests], unit: "
                       "requests}\n"),
              "4:3: the key 'a' is here twice, expected it once (the first is in line 3)\n");
    COMPLAINS("version: 1\nfeatures: {chat: {meters: [requests], unit: requests, prices: q}, bare: "
              "{meters: [seconds], unit: seconds}, codex: {meters: [input, output], unit: cost, "
              "prices: c}}\nprices: {p: [{name: r, rates: {requests: {credits: 1, per: 1}}}], c: "
              "[{name: r, rates: {input: {credits: 1, per: 3}}}]}\nplans: {free: {features: {chat: "
              "{waterfall: [{unlimited: {}}]}}}}\n",
              "2:63: there is no price list 'q', expected one that this policy defines\n");
    COMPLAINS("version: 1\nfeatures: {chat: {meters: [requests], unit: requests, prices: chat}, "
              "bare: {meters: [seconds], unit: seconds}, codex: {meters: [input, output], unit: "
              "cost, prices: c}}\nprices: {p: [{name: r, rates: {requests: {credits: 1, per: "
              "1}}}], c: [{name: r, rates: {input: {credits: 1, per: 3}}}]}\nplans: {free: "
              "{features: {chat: {waterfall: [{unlimited: {}}]}}}}\n",
              "2:63: there is no price list 'chat', expected one that this policy defines\n");
}

static void price_rules_are_checked(void **state)
{
    (void)state;
    COMPLAINS(PRICES("    {}\n"),
              "6:5: 'p' is an empty mapping, expected a list of 1 to 512 price rules\n");
    COMPLAINS(PRICES("    []\n"),
              "6:5: 'p' is an empty list, expected a list of 1 to 512 price rules\n");
    COMPLAINS(PRICES("    - r\n"), "6:7: found 'r', expected a mapping with keys of: name, match, "
                                   "from, rates, multiply, minimum\n");
    COMPLAINS(PRICES("    - {}\n"), "6:7: missing key 'name', expected the keys: name, rates\n"
                                    "6:7: missing key 'rates', expected the keys: name, rates\n");
    COMPLAINS(PRICES("    - {name: r, rates: {requests: {credits: 1, per: 1}}}\n  unused:\n    - "
                     "{name: x y, rates: {any: {credits: 1}}}\n"),
              "8:14: 'name' is 'x y', expected a name of 1 to 64 of the characters A-Z a-z 0-9 . _ "
              ": / -\n"
              "8:32: missing key 'per', expected the keys: credits, per\n");
    COMPLAINS(PRICES("    - {name: r, rate: {requests: {credits: 1, per: 1}}}\n"),
              "6:17: unknown key 'rate', did you mean 'rates'?\n");
    COMPLAINS(RATES("requests: 1"),
              "6:35: 'requests' is '1', expected a mapping with keys of: credits, per\n");
    COMPLAINS(RATES("requests: {}"),
              "6:35: missing key 'credits', expected the keys: credits, per\n"
              "6:35: missing key 'per', expected the keys: credits, per\n");
    COMPLAINS(RATES("requests: {credits: -1, per: 1}"),
              "6:45: 'credits' is '-1', expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: -0, per: 1}"),
              "6:45: 'credits' is '-0', expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: 1e3, per: 1}"),
              "6:45: 'credits' is '1e3', expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: \"1,5\", per: 1}"),
              "6:45: 'credits' is the text '1,5', expected credits as a decimal such as \"2.5\", "
              "from 0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: .5, per: 1}"),
              "6:45: 'credits' is '.5', expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: \"1.\", per: 1}"),
              "6:45: 'credits' is the text '1.', expected credits as a decimal such as \"2.5\", "
              "from 0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: 1.0000000001, per: 1}"),
              "6:45: 'credits' is '1.0000000001', expected credits as a decimal such as \"2.5\", "
              "from 0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: 9223372037, per: 1}"),
              "6:45: 'credits' is '9223372037', expected credits as a decimal such as \"2.5\", "
              "from 0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: \"\", per: 1}"),
              "6:45: 'credits' is the text '', expected credits as a decimal such as \"2.5\", from "
              "0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: [1], per: 1}"),
              "6:45: 'credits' is a list, expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: , per: 1}"),
              "6:45: 'credits' is empty, expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 0}"),
              "6:53: 'per' is '0', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: -1}"),
              "6:53: 'per' is '-1', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 1.5}"),
              "6:53: 'per' is '1.5', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 1_000}"),
              "6:53: 'per' is '1_000', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 0x10}"),
              "6:53: 'per' is '0x10', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 010}"),
              "6:53: 'per' is '010', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: \"1\"}"),
              "6:53: 'per' is the text '1', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(
        RATES("requests: {credits: 1, per: 9007199254740992}"),
        "6:53: 'per' is '9007199254740992', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(
        RATES("requests: {credits: 1, per: 99999999999999999999}"),
        "6:53: 'per' is '99999999999999999999', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 1m}"),
              "6:53: 'per' is '1m', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(RATES("request: {credits: 1, per: 1}"),
              "6:25: feature 'f' has no meter 'request', did you mean 'requests'?\n");
    COMPLAINS(RATES("tokens: {credits: 1, per: 1}"),
              "6:25: feature 'f' has no meter 'tokens', expected one of its meters\n");
    COMPLAINS("version: 1\nfeatures: {f: {meters: [requests, seconds], unit: seconds, prices: "
              "p}}\nplans: {free: {}}\nprices:\n  p:\n    - {name: r, rates: {requests: {credits: "
              "1, per: 1}}}\n",
              "6:25: feature 'f' is priced by its unit alone, expected a rate for 'seconds' only, "
              "or 'unit: cost'\n");
    COMPLAINS(RULE("from: yesterday"),
              "6:64: 'from' is 'yesterday', expected " INSTANT_EXPECTED "\n");
    COMPLAINS(RULE("from: 2026-02-30T00:00:00Z"),
              "6:64: 'from' is '2026-02-30T00:00:00Z', expected " INSTANT_EXPECTED "\n");
    COMPLAINS(RULE("match: model"),
              "6:65: 'match' is 'model', expected a mapping of at most 4 attributes to match\n");
    COMPLAINS(RULE("match: {model: [a]}"),
              "6:73: 'model' is a list, expected a text of 1 to 256 bytes\n");
    COMPLAINS(RULE("match: {model: \"\"}"),
              "6:73: 'model' is the text '', expected a text of 1 to 256 bytes\n");
    COMPLAINS(RULE("match: {a b: c}"),
              "6:66: 'a b' is no name, expected 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(RULE("match: {a: x, b: x, c: x, d: x, e: x}"),
              "6:90: too many attributes to match, expected at most 4\n");
    COMPLAINS(RULE("multiply: {speed: \"2\"}"),
              "6:76: 'speed' is the text '2', expected a mapping of 1 to 32 factors by value\n");
    COMPLAINS(
        RULE("multiply: {speed: {}}"),
        "6:76: 'speed' is an empty mapping, expected a mapping of 1 to 32 factors by value\n");
    COMPLAINS(RULE("multiply: {speed: {fast: twice}}"),
              "6:83: 'fast' is 'twice', expected a factor as a decimal such as \"1.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RULE("multiply: {speed: {fast: -2}}"),
              "6:83: 'fast' is '-2', expected a factor as a decimal such as \"1.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(RULE("multiply: {a: {x: 1}, b: {x: 1}, c: {x: 1}, d: {x: 1}, e: {x: 1}}"),
              "6:113: too many attributes that multiply, expected at most 4\n");
    COMPLAINS(RULE("multiply: {speed: {\"\": 1}}"),
              "6:77: '' cannot be an attribute's value, expected 1 to 256 bytes\n");
    COMPLAINS(RULE("multiply: {speed: {v0: 1, v1: 1, v2: 1, v3: 1, v4: 1, v5: 1, v6: 1, v7: 1, v8: "
                   "1, v9: 1, v10: 1, v11: 1, v12: 1, v13: 1, v14: 1, v15: 1, v16: 1, v17: 1, v18: "
                   "1, v19: 1, v20: 1, v21: 1, v22: 1, v23: 1, v24: 1, v25: 1, v26: 1, v27: 1, "
                   "v28: 1, v29: 1, v30: 1, v31: 1, v32: 1}}"),
              "6:323: too many factors by value, expected at most 32\n");
    COMPLAINS(RULE("minimum: -4"), "6:67: 'minimum' is '-4', expected credits as a decimal such as "
                                   "\"2.5\", from 0 to 9223372036, with at most 9 decimals\n");
    COMPLAINS(RULE("multiply: {a: {x: \"0.000000001\"}, b: {x: \"0.000000001\"}, c: {x: "
                   "\"0.000000001\"}}"),
              "6:7: the common denominator of rule 'r' is beyond 2^62, expected rates and factors "
              "with fewer decimals, or a rounder 'per'\n");
    COMPLAINS(RATES("requests: {credits: 1, per: 9007199254740991}, seconds: {credits: 1, per: "
                    "9007199254740881}"),
              "6:7: the common denominator of rule 'r' is beyond 2^62, expected rates and factors "
              "with fewer decimals, or a rounder 'per'\n");
    COMPLAINS(PRICES("    - {name: r, rates: {requests: {credits: 9000000000, per: 1}}, multiply: "
                     "{a: {x: 3}}}\n"),
              "6:7: the largest price of rule 'r' does not fit 64 bits over its common "
              "denominator, expected lower rates or factors, or fewer decimals\n");
    COMPLAINS(PRICES("    - {name: r, rates: {requests: {credits: 0, per: 1}}, multiply: {a: {x: "
                     "9000000000}, b: {x: 9000000000}, c: {x: 9000000000}}}\n"),
              "6:7: the largest price of rule 'r' does not fit 64 bits over its common "
              "denominator, expected lower rates or factors, or fewer decimals\n");
    COMPLAINS(
        PRICES("    - {name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn, "
               "rates: {requests: {credits: 1, per: 1}}}\n"),
        "6:14: the full name 'p/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' "
        "is too long, expected at most 64 bytes\n");
    COMPLAINS(PRICES("    - {name: a, rates: {requests: {credits: 1, per: 1}}}\n    - {name: a, "
                     "rates: {requests: {credits: 1, per: 1}}, match: {m: x}}\n"),
              "7:7: the rule in line 6 has the same name 'a' and the same 'from', expected another "
              "name or another 'from'\n");
    COMPLAINS(PRICES("    - {name: a, rates: {requests: {credits: 1, per: 1}}}\n    - {name: b, "
                     "rates: {requests: {credits: 1, per: 1}}}\n"),
              "7:7: the rule 'a' in line 6 has the same match and the same 'from', expected "
              "another match or a later 'from'\n");
    COMPLAINS(PRICES("    - {name: a, rates: {requests: {credits: 1, per: 1}}, match: {m: x}}\n    "
                     "- {name: b, rates: {requests: {credits: 1, per: 1}}, match: {n: y}}\n"),
              "7:7: a request can match this rule and 'a' in line 6 alike, expected one of them to "
              "match more attributes, or another value of the same attribute\n");
    COMPLAINS(PRICES("    - {name: a, rates: {requests: {credits: 1, per: 1}}, match: {m: x, k: "
                     "z}}\n    - {name: b, rates: {requests: {credits: 1, per: 1}}, match: {n: y, "
                     "m: x}, from: 2027-01-01T00:00:00Z}\n"),
              "7:7: a request can match this rule and 'a' in line 6 alike, expected one of them to "
              "match more attributes, or another value of the same attribute\n");
    COMPLAINS(PRICES("    - {name: a, rates: {requests: {credits: 1, per: 1}}, match: {m: x, k: "
                     "z}, from: 2026-01-01T00:00:00Z}\n    - {name: b, rates: {requests: {credits: "
                     "1, per: 1}}, match: {k: z, m: x}, from: 2026-01-01T01:00:00+01:00}\n"),
              "7:7: the rule 'a' in line 6 has the same match and the same 'from', expected "
              "another match or a later 'from'\n");
}

static void pools_are_checked(void **state)
{
    (void)state;
    COMPLAINS(POOL("capacity: 0, per: 1s, meter: requests"),
              "5:25: 'capacity' is '0', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(
        POOL("capacity: 1, per: 10ms, meter: requests"),
        "5:33: 'per' is '10ms', expected a duration such as 30s, 5m, 5h or 7d, from 1s to 366d\n");
    COMPLAINS(
        POOL("capacity: 1, per: 1s, meter: request"),
        "5:44: 'meter' is 'request', expected a meter of some feature; did you mean 'requests'?\n");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: bananas"),
              "5:44: 'meter' is 'bananas', expected a meter of some feature\n");
    COMPLAINS(POOL(""), "5:14: missing key 'capacity', expected the keys: capacity, per, meter\n"
                        "5:14: missing key 'per', expected the keys: capacity, per, meter\n"
                        "5:14: missing key 'meter', expected the keys: capacity, per, meter\n");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: requests, safe_factor: \"1.5\""),
              "5:67: 'safe_factor' is the text '1.5', expected a decimal from 0 to 1 such as "
              "\"0.5\", with at most 9 decimals\n");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: requests, safe_factor: half"),
              "5:67: 'safe_factor' is 'half', expected a decimal from 0 to 1 such as \"0.5\", with "
              "at most 9 decimals\n");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: requests, stale_after: never"),
              "5:67: 'stale_after' is 'never', expected a duration such as 30s, 5m, 5h or 7d, from "
              "1s to 366d\n");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: requests, safe-factor: \"0.5\""),
              "5:54: unknown key 'safe-factor', did you mean 'safe_factor'?\n");
    COMPLAINS(
        HEAD TAIL "pools: {\"g p u\": {capacity: 1, per: 1s, meter: requests}}\n",
        "5:9: 'g p u' is no name, expected 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(HEAD TAIL "pools: []\n",
              "5:8: 'pools' is an empty list, expected a mapping of at most 64 pools by name\n");
}

static void plans_are_checked(void **state)
{
    (void)state;
    COMPLAINS(HEAD "plans: {}\n",
              "4:8: 'plans' is an empty mapping, expected a mapping of 1 to 64 plans by name\n");
    COMPLAINS(HEAD "plans: {free: }\n",
              "4:15: 'free' is empty, expected a mapping with keys of: on_failure, overshoot, "
              "hold_ttl, tier, features, recurring\n");
    COMPLAINS(
        HEAD "plans: {my plan: {}}\n",
        "4:9: 'my plan' is no name, expected 1 to 64 of the characters A-Z a-z 0-9 . _ : / -\n");
    COMPLAINS(PLAN("tier: 0"), "4:22: 'tier' is '0', expected an integer from 1 to 1000\n");
    COMPLAINS(PLAN("tier: 1001"), "4:22: 'tier' is '1001', expected an integer from 1 to 1000\n");
    COMPLAINS(PLAN("tier: high"), "4:22: 'tier' is 'high', expected an integer from 1 to 1000\n");
    COMPLAINS(PLAN("teir: 1"), "4:16: unknown key 'teir', did you mean 'tier'?\n");
    COMPLAINS(PLAN("features: []"),
              "4:26: 'features' is an empty list, expected a mapping of at most 256 features\n");
    COMPLAINS(PLAN("features: {chta: {}}"),
              "4:27: there is no feature 'chta', did you mean 'chat'?\n");
    COMPLAINS(PLAN("features: {zebra: {}}"),
              "4:27: there is no feature 'zebra', expected one that this policy defines\n");
    COMPLAINS(PLAN("features: {chat: {}}"),
              "4:33: missing key 'waterfall', expected the keys: waterfall\n");
    COMPLAINS(PLAN("features: {chat: {waterfal: []}}"),
              "4:34: unknown key 'waterfal', did you mean 'waterfall'?\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: []}}"),
              "4:45: 'waterfall' is an empty list, expected a list of 1 to 12 sources\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: {}}}"),
              "4:45: 'waterfall' is an empty mapping, expected a list of 1 to 12 sources\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [unlimited]}}"),
              "4:46: found 'unlimited', expected a mapping with one key of: allowance, grants, "
              "overage, unlimited\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [{}]}}"),
              "4:46: found an empty mapping, expected a mapping with one key of: allowance, "
              "grants, overage, unlimited\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [{unlimited: }]}}"),
              "4:58: 'unlimited' is empty, expected {}\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [{unlimited: {forever: true}}]}}"),
              "4:59: unknown key 'forever', expected no keys\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [{unlimitd: {}}]}}"),
              "4:47: unknown key 'unlimitd', did you mean 'unlimited'?\n");
    COMPLAINS(
        PLAN("features: {chat: {waterfall: [{money: {}}]}}"),
        "4:47: unknown key 'money', expected one of: allowance, grants, overage, unlimited\n");
    COMPLAINS(PLAN("overshoot: overage, features: {chat: {waterfall: [{unlimited: {}}]}, bare: "
                   "{waterfall: [{unlimited: {}}]}}"),
              "4:27: 'overshoot' is 'overage', but feature 'chat' of plan 'free' has no overage "
              "source, expected one in its waterfall, or 'overshoot' refund or debt there\n");
    COMPLAINS(PLAN("features: {chat: {overshoot: overage, waterfall: [{unlimited: {}}]}}"),
              "4:45: 'overshoot' is 'overage', but feature 'chat' of plan 'free' has no overage "
              "source, expected one in its waterfall, or 'overshoot' refund or debt there\n");
    COMPLAINS(PLAN("on_failure: x"),
              "4:28: 'on_failure' is 'x', expected one of: none, full, actual\n");
    COMPLAINS(
        PLAN("hold_ttl: x"),
        "4:26: 'hold_ttl' is 'x', expected a duration such as 30s, 5m, 5h or 7d, from 1s to 30d\n");
    COMPLAINS(
        WATERFALL("chat", "          - unlimited: {}\n          - grants: {category: paid}\n"),
        "10:13: nothing after 'unlimited' is ever reached, expected it to be the last source\n");
    COMPLAINS(WATERFALL("chat", "          - allowance:\n            name: a\n"),
              "10:13: found the key 'name' beside 'allowance', expected it indented further, under "
              "'allowance', or in a list item of its own\n");
    COMPLAINS(HEAD "defaults: {overshoot: overage}\nplans:\n  free: {features: {chat: {waterfall: "
                   "[{unlimited: {}}]}}}\n  plus: {features: {chat: {waterfall: [{overage: {name: "
                   "o, credits: 1, per: day, start: calendar}}]}}}\n",
              "4:23: 'overshoot' is 'overage', but feature 'chat' of plan 'free' has no overage "
              "source, expected one in its waterfall, or 'overshoot' refund or debt there\n");
    COMPLAINS(PLAN("features: {chat: {waterfall: [{unlimited: {}}, {unlimited: {}}, {unlimited: "
                   "{}}, {unlimited: {}}, {unlimited: {}}, {unlimited: {}}, {unlimited: {}}, "
                   "{unlimited: {}}, {unlimited: {}}, {unlimited: {}}, {unlimited: {}}, "
                   "{unlimited: {}}, {unlimited: {}}]}}"),
              "4:250: too many sources, expected at most 12\n");
}

static void gates_are_checked(void **state)
{
    (void)state;
    COMPLAINS(GATE("rate: {name: a, limit: 1}"),
              "10:19: missing key 'per', expected the keys: name, limit, per\n");
    COMPLAINS(GATE("rate: {name: a, limit: 0, per: 1s}"),
              "10:36: 'limit' is '0', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(
        GATE("rate: {name: a, limit: 1, per: day}"),
        "10:44: 'per' is 'day', expected a duration such as 30s, 5m, 5h or 7d, from 1s to 366d\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, burst: 0}"),
              "10:55: 'burst' is '0', expected an integer from 1 to 9007199254740991\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, meter: request}"),
              "10:55: there is no meter 'request', did you mean 'requests'?\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, pool: gpu}"),
              "10:54: there is no pool 'gpu', expected one that this policy defines\n");
    COMPLAINS(
        GATE("rate: {name: a, limit: 1, per: 1s, scope: team}"),
        "10:55: 'scope' is 'team', expected customer, subject or {level: N} with N from 1 to 8\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, scope: {level: 9}}"),
              "10:63: 'level' is '9', expected an integer from 1 to 8\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, scope: {level: 0}}"),
              "10:63: 'level' is '0', expected an integer from 1 to 8\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, scope: \"level: x\"}"),
              "10:55: 'scope' is the text 'level: x', expected customer, subject or {level: N} "
              "with N from 1 to 8\n");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s, scope: {depth: 1}}"),
              "10:55: missing key 'level', expected the keys: level\n"
              "10:56: unknown key 'depth', expected one of: level\n");
    COMPLAINS(GATE("rate: {name: paid, limit: 1, per: 1s}"),
              "10:26: the name 'paid' belongs to sources without a name of their own, expected "
              "another one\n");
    COMPLAINS(GATE("rate: {name: unlimited, limit: 1, per: 1s}"),
              "10:26: the name 'unlimited' belongs to sources without a name of their own, "
              "expected another one\n");
    COMPLAINS(GATE("rate: {name: a b, limit: 1, per: 1s}"),
              "10:26: 'name' is 'a b', expected a name of 1 to 64 of the characters A-Z a-z 0-9 . "
              "_ : / -\n");
    COMPLAINS(GATE("rate: {naem: a, limit: 1, per: 1s}"),
              "10:20: unknown key 'naem', did you mean 'name'?\n");
    COMPLAINS(GATE("rate: fast"), "10:19: 'rate' is 'fast', expected a mapping with keys of: name, "
                                  "meter, limit, per, burst, scope, pool\n");
    COMPLAINS(
        GATE("rate"),
        "10:13: found 'rate', expected a mapping with one key of: rate, concurrency, budget\n");
    COMPLAINS(GATE("pace: {}"),
              "10:13: unknown key 'pace', expected one of: rate, concurrency, budget\n");
    COMPLAINS(GATE("concurrencyy: {}"),
              "10:13: unknown key 'concurrencyy', did you mean 'concurrency'?\n");
    COMPLAINS(GATE("concurrency: {name: a}"),
              "10:26: missing key 'limit', expected the keys: name, limit\n");
    COMPLAINS(GATE("concurrency: {name: a, limit: -1}"),
              "10:43: 'limit' is '-1', expected an integer from 0 to 9007199254740991\n");
    COMPLAINS(GATE("concurrency: {name: a, limit: 1, per: 1s}"),
              "10:46: unknown key 'per', expected one of: name, limit, scope\n");
    COMPLAINS(GATE("budget: {name: a, limit: 5, per: day, start: calendar}"),
              "10:21: missing key 'credits', expected the keys: name, credits, per, start\n"
              "10:31: unknown key 'limit', expected one of: name, credits, per, start, scope\n");
    COMPLAINS(GATE("budget: {name: a, credits: x, per: day, start: calendar}"),
              "10:40: 'credits' is 'x', expected credits as a decimal such as \"2.5\", from 0 to "
              "9223372036, with at most 9 decimals\n");
    COMPLAINS(GATE("budget: {name: a, credits: 1, per: year, start: calendar}"),
              "10:48: 'per' is 'year', expected a duration such as 5h or 7d, or one of: hour, day, "
              "week, month\n");
    COMPLAINS(GATE("budget: {name: a, credits: 1, per: day, start: first_use}"),
              "10:60: 'start' is 'first_use', expected calendar or anchor with 'per: day'\n");
    COMPLAINS(GATES("bare", "          - rate: {name: a, limit: 1, per: 1s}\n"),
              "10:19: missing key 'meter', expected a meter of 'bare', which has no 'requests' to "
              "count without it\n");
    COMPLAINS(GATES("chat", "          - concurrency: {name: a, limit: 1}\n          - rate: "
                            "{name: a, limit: 1, per: 1s}\n"),
              "11:26: the name 'a' is taken in line 10, expected one of its own for every gate and "
              "source of a feature\n");
    COMPLAINS(
        GATES("chat",
              "          - concurrency: {name: a0, limit: 1}\n          - concurrency: {name: a1, "
              "limit: 1}\n          - concurrency: {name: a2, limit: 1}\n          - concurrency: "
              "{name: a3, limit: 1}\n          - concurrency: {name: a4, limit: 1}\n          - "
              "concurrency: {name: a5, limit: 1}\n          - concurrency: {name: a6, limit: 1}\n  "
              "        - concurrency: {name: a7, limit: 1}\n          - concurrency: {name: a8, "
              "limit: 1}\n          - concurrency: {name: a9, limit: 1}\n          - concurrency: "
              "{name: a10, limit: 1}\n          - concurrency: {name: a11, limit: 1}\n          - "
              "concurrency: {name: a12, limit: 1}\n"),
        "22:13: too many gates, expected at most 12\n");
    COMPLAINS(GATES("chat", "          - budget: {name: a0, credits: 1, per: 1d, start: sliding}\n "
                            "         - budget: {name: a1, credits: 1, per: 1d, start: sliding}\n  "
                            "        - budget: {name: a2, credits: 1, per: 1d, start: sliding}\n   "
                            "       - budget: {name: a3, credits: 1, per: 1d, start: sliding}\n    "
                            "      - budget: {name: a4, credits: 1, per: 1d, start: sliding}\n"),
              "14:13: too many budgets, expected at most 4\n");
}

static void sources_are_checked(void **state)
{
    (void)state;
    COMPLAINS(WINDOWS("chat", "{limit: 1}"),
              "9:44: missing key 'per', expected the keys: per, start\n"
              "9:44: missing key 'start', expected the keys: per, start\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: 5h}"),
              "9:44: missing key 'start', expected the keys: per, start\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: 5h, start: calendar}"),
              "9:71: 'start' is 'calendar', expected first_use or sliding with 'per: 5h'\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: day, start: sliding}"),
              "9:72: 'start' is 'sliding', expected calendar or anchor with 'per: day'\n");
    COMPLAINS(
        WINDOWS("chat", "{limit: 1, per: mnoth, start: anchor}"),
        "9:60: 'per' is 'mnoth', expected a duration such as 5h or 7d, or one of: hour, day, week, "
        "month; did you mean 'month'?\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: fortnight, start: anchor}"),
              "9:60: 'per' is 'fortnight', expected a duration such as 5h or 7d, or one of: hour, "
              "day, week, month\n");
    COMPLAINS(
        WINDOWS("chat", "{limit: 1, per: 500ms, start: sliding}"),
        "9:60: 'per' is '500ms', expected a duration such as 30s, 5m, 5h or 7d, from 1s to 366d\n");
    COMPLAINS(
        WINDOWS("chat", "{limit: 1, per: 367d, start: sliding}"),
        "9:60: 'per' is '367d', expected a duration such as 30s, 5m, 5h or 7d, from 1s to 366d\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: day, start: calendarr}"),
              "9:72: 'start' is 'calendarr', expected one of: first_use, sliding, calendar, "
              "anchor; did you mean 'calendar'?\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: day, start: now}"),
              "9:72: 'start' is 'now', expected one of: first_use, sliding, calendar, anchor\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: , start: now}"),
              "9:60: 'per' is empty, expected a duration such as 5h or 7d, or one of: hour, day, "
              "week, month\n"
              "9:69: 'start' is 'now', expected one of: first_use, sliding, calendar, anchor\n");
    COMPLAINS(
        WINDOWS("chat", "{limit: 9007199254740992, per: 1d, start: sliding}"),
        "9:52: 'limit' is '9007199254740992', expected an integer from 0 to 9007199254740991\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1.5, per: 1d, start: sliding}"),
              "9:52: 'limit' is '1.5', expected an integer from 0 to 9007199254740991\n");
    COMPLAINS(WINDOWS("chat", "{credits: 1, per: 1d, start: sliding}"),
              "9:45: 'credits' does not go with the unit of 'chat', which is 'requests', expected "
              "'limit'\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, credits: 1, per: 1d, start: sliding}"),
              "9:55: 'credits' does not go with the unit of 'chat', which is 'requests', expected "
              "'limit'\n");
    COMPLAINS(WINDOWS("chat", "{per: 1d, start: sliding}"),
              "9:44: missing key 'limit', expected the keys: limit, per, start\n");
    COMPLAINS(WINDOWS("codex", "{limit: 1, per: 1d, start: sliding}"),
              "9:45: 'limit' does not go with the unit of 'codex', which is 'cost', expected "
              "'credits'\n");
    COMPLAINS(WINDOWS("codex", "{per: 1d, start: sliding}"),
              "9:44: missing key 'credits', expected the keys: credits, per, start\n");
    COMPLAINS(WINDOWS("chat", ""),
              "9:43: 'windows' is an empty list, expected a list of 1 to 4 windows\n");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: 1d, start: sliding}, {limit: 1, per: 1d, start: "
                              "sliding}, {limit: 1, per: 1d, start: sliding}, {limit: 1, per: 1d, "
                              "start: sliding}, {limit: 1, per: 1d, start: sliding}"),
              "9:192: too many windows, expected at most 4\n");
    COMPLAINS(WATERFALL("chat", "          - allowance: {}\n"),
              "9:24: missing key 'name', expected the keys: name, windows\n"
              "9:24: missing key 'windows', expected the keys: name, windows\n");
    COMPLAINS(WATERFALL("chat", "          - allowance: {name: entitlement, windows: [{limit: 1, "
                                "per: 1d, start: sliding}]}\n"),
              "9:31: the name 'entitlement' belongs to sources without a name of their own, "
              "expected another one\n");
    COMPLAINS(WATERFALL("chat", "          - grants: {}\n"),
              "9:21: missing key 'category', expected the keys: category\n");
    COMPLAINS(WATERFALL("chat", "          - grants: {category: payd}\n"),
              "9:32: 'category' is 'payd', expected one of: promotional, entitlement, paid; did "
              "you mean 'paid'?\n");
    COMPLAINS(WATERFALL("chat", "          - grants: {category: gold}\n"),
              "9:32: 'category' is 'gold', expected one of: promotional, entitlement, paid\n");
    COMPLAINS(WATERFALL("chat", "          - grants: {category: paid, name: x}\n"),
              "9:38: unknown key 'name', expected one of: category\n");
    COMPLAINS(WATERFALL("chat", "          - grants: paid\n"),
              "9:21: 'grants' is 'paid', expected a mapping with keys of: category\n");
    COMPLAINS(WATERFALL("chat", "          - overage: {name: o, credits: 1}\n"),
              "9:22: missing key 'per', expected the keys: name, credits, per, start\n"
              "9:22: missing key 'start', expected the keys: name, credits, per, start\n");
    COMPLAINS(WATERFALL("chat",
                        "          - overage: {name: o, limit: 1, per: month, start: calendar}\n"),
              "9:22: missing key 'credits', expected the keys: name, credits, per, start\n"
              "9:32: unknown key 'limit', expected one of: name, credits, per, start, scope\n");
    COMPLAINS(
        WATERFALL("chat",
                  "          - grants: {category: paid}\n          - grants: {category: paid}\n"),
        "10:32: grants of category 'paid' are in this waterfall already, in line 9, expected them "
        "once\n");
    COMPLAINS(WATERFALL("bare", "          - grants: {category: paid}\n          - overage: {name: "
                                "o, credits: 1, per: month, start: calendar}\n"),
              "9:13: feature 'bare' has no prices, expected 'prices' there, because 'grants' "
              "charges credits\n"
              "10:13: feature 'bare' has no prices, expected 'prices' there, because 'overage' "
              "charges credits\n");
    COMPLAINS(
        WATERFALL(
            "chat",
            "          - allowance: {name: x, windows: [{limit: 1, per: 1d, start: sliding}]}\n    "
            "      - overage: {name: x, credits: 1, per: month, start: calendar}\n"),
        "10:29: the name 'x' is taken in line 9, expected one of its own for every gate and source "
        "of a feature\n");
}

static void recurring_grants_are_checked(void **state)
{
    (void)state;
    COMPLAINS(RECURRING("      - {}\n"),
              "7:9: found an empty mapping, expected a mapping with one key of: grant\n");
    COMPLAINS(
        RECURRING("      - grant: {}\n"),
        "7:16: missing key 'name', expected the keys: name, category, credits, per, start\n"
        "7:16: missing key 'category', expected the keys: name, category, credits, per, start\n"
        "7:16: missing key 'credits', expected the keys: name, category, credits, per, start\n"
        "7:16: missing key 'per', expected the keys: name, category, credits, per, start\n"
        "7:16: missing key 'start', expected the keys: name, category, credits, per, start\n");
    COMPLAINS(RECURRING("      - bonus: {}\n"),
              "7:9: unknown key 'bonus', expected one of: grant\n");
    COMPLAINS(
        RECURRING(
            "      - grant: {name: a, category: paid, credits: 0, per: month, start: anchor}\n"),
        "7:51: 'credits' is '0', expected credits as a decimal, more than 0 and at most "
        "18014398.509481984, with at most 9 decimals\n");
    COMPLAINS(RECURRING("      - grant: {name: a, category: paid, credits: 18014398.509481985, "
                        "per: month, start: anchor}\n"),
              "7:51: 'credits' is '18014398.509481985', expected credits as a decimal, more than 0 "
              "and at most 18014398.509481984, with at most 9 decimals\n");
    COMPLAINS(
        RECURRING(
            "      - grant: {name: a, category: paid, credits: 1, per: 30d, start: anchor}\n"),
        "7:59: 'per' is '30d', expected one of: hour, day, week, month\n");
    COMPLAINS(
        RECURRING(
            "      - grant: {name: a, category: paid, credits: 1, per: month, start: first_use}\n"),
        "7:73: 'start' is 'first_use', expected calendar or anchor with 'per: month'\n");
    COMPLAINS(GRANT("rollover_max: -1"),
              "7:95: 'rollover_max' is '-1', expected credits as a decimal such as \"2.5\", from 0 "
              "to 9223372036, with at most 9 decimals\n");
    COMPLAINS(GRANT("rollover_max: 18014398"),
              "7:95: 'rollover_max' is '18014398', expected together with 'credits' at most "
              "18014398.509481984, what one grant holds\n");
    COMPLAINS(RECURRING("      - grant: {name: a, category: paid, credits: 18014398, per: month, "
                        "start: anchor, rollover_max: 1}\n"),
              "7:102: 'rollover_max' is '1', expected together with 'credits' at most "
              "18014398.509481984, what one grant holds\n");
    COMPLAINS(GRANT("expires: never"), "7:90: 'expires' is 'never', expected a duration such as "
                                       "30s, 5m, 5h or 7d, from 1s to 366d\n");
    COMPLAINS(GRANT("priority: 1000001"),
              "7:91: 'priority' is '1000001', expected an integer from -1000000 to 1000000\n");
    COMPLAINS(GRANT("priority: low"),
              "7:91: 'priority' is 'low', expected an integer from -1000000 to 1000000\n");
    COMPLAINS(GRANT("features: [chta]"),
              "7:92: there is no feature 'chta', did you mean 'chat'?\n");
    COMPLAINS(GRANT("features: [chat, chat]"),
              "7:98: feature 'chat' is in this list twice, expected it once\n");
    COMPLAINS(GRANT("features: chat"),
              "7:91: 'features' is 'chat', expected a list of 1 to 8 features\n");
    COMPLAINS(GRANT("rollover: 1"),
              "7:81: unknown key 'rollover', expected one of: name, category, credits, per, start, "
              "rollover_max, expires, priority, features\n");
    COMPLAINS(
        RECURRING(
            "      - grant: {name: a, category: paid, credits: 1, per: month, start: anchor}\n     "
            " - grant: {name: a, category: paid, credits: 1, per: month, start: anchor}\n"),
        "8:23: the name 'a' is taken by a recurring grant above, expected another one\n");
    COMPLAINS(
        RECURRING("      - grant: {name: a, category: paid, credits: 1, per: month, start: anchor, "
                  "rollover_max: 1}\n      - grant: {name: a0, category: paid, credits: 1, per: "
                  "month, start: anchor}\n      - grant: {name: a1, category: paid, credits: 1, "
                  "per: month, start: anchor}\n      - grant: {name: a2, category: paid, credits: "
                  "1, per: month, start: anchor}\n      - grant: {name: a3, category: paid, "
                  "credits: 1, per: month, start: anchor}\n      - grant: {name: a4, category: "
                  "paid, credits: 1, per: month, start: anchor}\n      - grant: {name: a5, "
                  "category: paid, credits: 1, per: month, start: anchor}\n      - grant: {name: "
                  "a6, category: paid, credits: 1, per: month, start: anchor}\n      - grant: "
                  "{name: a7, category: paid, credits: 1, per: month, start: anchor}\n"),
        "15:9: too many recurring grants, expected at most 8\n");
}

static void what_the_table_stands_in_is_valid(void **state)
{
    (void)state;
    COMPLAINS(HEAD TAIL, "");
    COMPLAINS(DEFAULTS("plan: free"), "");
    COMPLAINS(FEATURES("  a: {meters: [requests], unit: requests}\n"), "");
    COMPLAINS(RULE("match: {}"), "");
    COMPLAINS(POOL("capacity: 1, per: 1s, meter: requests"), "");
    COMPLAINS(GATE("rate: {name: a, limit: 1, per: 1s}"), "");
    COMPLAINS(WINDOWS("chat", "{limit: 1, per: 1d, start: sliding}"), "");
    COMPLAINS(WINDOWS("codex", "{credits: 1, per: 1d, start: sliding}"), "");
    COMPLAINS(GRANT("priority: -1"), "");
}

static void ceilings_are_said(void **state)
{
    (void)state;
    struct text text = {0};
    text_put(&text, HEAD TAIL "#");
    text_repeat(&text, "-", POLICY_BYTES_MAX - (unsigned)text.length);
    assert_string_equal(complaints_of(text_bytes(&text)), "");
    text_put(&text, "-");
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "1:1: the file has 1048577 bytes, expected at most 1048576\n");

    /* HEAD and TAIL are 40 values, "x" one, every list 1,001: the 430th of the 66th is too many. */
    text = (struct text){0};
    text_put(&text, HEAD TAIL "x: [");
    for (unsigned list = 0; list < 66; list++) {
        text_put(&text, "[");
        text_repeat(&text, "a,", 1000);
        text_put(&text, "],");
    }
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "5:131059: the file has too many values, expected at most 65536\n");

    text = (struct text){0};
    text_put(&text, HEAD TAIL "x: [");
    text_repeat(&text, "a,", 1025);
    assert_string_equal(
        complaints_of(text_bytes(&text)),
        "5:2053: this mapping or list is too long, expected at most 1024 entries\n");

    text = (struct text){0};
    text_put(&text, "version: 1\nplans: {free: {}}\nfeatures:\n");
    for (unsigned feature = 0; feature < FEATURES_MAX + 1; feature++)
        text_put_numbered(&text, "  f#: {meters: [a], unit: a}\n", feature);
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "260:3: too many features by name, expected at most 256\n");

    text = (struct text){0};
    text_put(&text, HEAD "plans:\n");
    for (unsigned plan = 0; plan < PLANS_MAX + 1; plan++)
        text_put_numbered(&text, "  p#: {}\n", plan);
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "69:3: too many plans by name, expected at most 64\n");

    text = (struct text){0};
    text_put(&text, HEAD TAIL "pools:\n");
    for (unsigned pool = 0; pool < POOLS_MAX + 1; pool++)
        text_put_numbered(&text, "  p#: {capacity: 1, per: 1s, meter: input}\n", pool);
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "70:3: too many pools by name, expected at most 64\n");

    text = (struct text){0};
    text_put(&text, PRICES(""));
    for (unsigned rule = 0; rule < PRICE_RULES_MAX + 1; rule++)
        text_put_numbered(&text, "    - {name: r, match: {m: v#}, rates: {}}\n", rule);
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "518:7: too many price rules, expected at most 512\n");
}

/* One fact has to carry all names that a policy brings. */
static void names_have_a_ceiling(void **state)
{
    (void)state;
    struct text text = {0};
    text_put(&text, "version: 1\nplans: {free: {}}\nfeatures:\n");
    for (unsigned feature = 0; feature < 16; feature++)
        text_put_numbered(&text, "  f#: {meters: [m], unit: cost, prices: p#}\n", feature);
    text_put(&text, "prices:\n");
    for (unsigned list = 0; list < 16; list++) {
        text_put_numbered(&text, "  p#:\n", list);
        for (unsigned rule = 0; rule < 256; rule++)
            text_put_numbered(&text, "    - {name: r#, match: {m: v#}, rates: {}}\n", rule);
    }
    /* 16 features and a meter leave room for 4,063 rules: for 15 lists and 223 rules of the last,
     * which begins in line 21 + 15 x 257. */
    assert_string_equal(complaints_of(text_bytes(&text)),
                        "4100:7: too many names that were not in use before, expected at most "
                        "4080\n");
}

static void only_the_first_complaints_of_a_file_are_kept(void **state)
{
    (void)state;
    struct text text = {0};
    text_put(&text, "plans: {free: {features: {nothing: {}}}}\n"
                    "version: 1\nprices: {p: [x, y]}\nfeatures:\n");
    for (unsigned feature = 0; feature < 100; feature++)
        text_put_numbered(&text, "  f#: broken\n", feature);
    static struct policy_complaints complaints;
    assert_null(compiled(text_bytes(&text), &complaints));
    assert_int_equal(complaints.count, POLICY_COMPLAINTS_MAX);
    assert_true(complaints.more);
    assert_int_equal(complaints.at[0].line, 1);
    assert_int_equal(complaints.at[1].line, 3);
    assert_int_equal(complaints.at[2].line, 3);
    for (uint32_t place = 3; place < complaints.count; place++)
        assert_int_equal(complaints.at[place].line, 5 + place - 3);

    /* As many as fit are all there is. */
    text = (struct text){0};
    text_put(&text, "version: 1\nplans: {free: {}}\nfeatures:\n");
    for (unsigned feature = 0; feature < POLICY_COMPLAINTS_MAX; feature++)
        text_put_numbered(&text, "  f#: broken\n", feature);
    assert_null(compiled(text_bytes(&text), &complaints));
    assert_int_equal(complaints.count, POLICY_COMPLAINTS_MAX);
    assert_false(complaints.more);
}

static void mistakes_all_over_the_file_are_said_at_once(void **state)
{
    (void)state;
    COMPLAINS(
        "version: 2\n"
        "defaults: {plan: fre, hold_tll: 60s}\n"
        "features:\n"
        "  chat: {meters: [requests], unit: requests, prices: chta}\n"
        "prices:\n"
        "  chat: [{name: r, rates: {requests: {credits: one, per: 1}}}]\n"
        "plans:\n"
        "  free:\n"
        "    features:\n"
        "      chat:\n"
        "        waterfall:\n"
        "          - allowance: {name: a, windows: [{limit: -1, per: day, start: calendar}]}\n"
        "          - grant: {category: paid}\n",
        "1:10: 'version' is '2', expected 1, the version of this format\n"
        "2:18: there is no plan 'fre', did you mean 'free'?\n"
        "2:23: unknown key 'hold_tll', did you mean 'hold_ttl'?\n"
        "4:54: there is no price list 'chta', did you mean 'chat'?\n"
        "6:48: 'credits' is 'one', expected credits as a decimal such as \"2.5\", from 0 to "
        "9223372036, with at most 9 decimals\n"
        "12:52: 'limit' is '-1', expected an integer from 0 to 9007199254740991\n"
        "13:13: unknown key 'grant', did you mean 'grants'?\n");
}

static void a_complaint_is_written_with_file_line_and_column(void **state)
{
    (void)state;
    static struct policy_complaints complaints;
    assert_null(compiled(BYTES("version: 2\nfeatures: {}\nplans: {}\n"), &complaints));
    char line[512] = {0};
    struct buffer buffer = buffer_over(line, sizeof line - 1);
    policy_complaint_format("policy.yaml", &complaints.at[0], &buffer);
    assert_false(buffer.overflowed);
    assert_string_equal(
        line, "policy.yaml:1:10: 'version' is '2', expected 1, the version of this format");
}

/* Complaints travel in JSON and to terminals. */
static void what_a_complaint_quotes_is_short_clean_text(void **state)
{
    (void)state;
    COMPLAINS(HEAD TAIL "\"a\\e[2J\\n\\0\": 1\n",
              "5:1: unknown key 'a?[2J?"
              "?', expected one of: version, defaults, features, prices, "
              "pools, plans\n");
    /* 63 bytes and then a character of two: cut before it, never within. */
    COMPLAINS(
        PLAN("tier: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\303\251a"),
        "4:22: 'tier' is 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', "
        "expected an integer from 1 to 1000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_one_plain_yaml_document_is_refused),
        cmocka_unit_test(the_sections_are_known),
        cmocka_unit_test(defaults_are_checked),
        cmocka_unit_test(features_are_checked),
        cmocka_unit_test(price_rules_are_checked),
        cmocka_unit_test(pools_are_checked),
        cmocka_unit_test(plans_are_checked),
        cmocka_unit_test(gates_are_checked),
        cmocka_unit_test(sources_are_checked),
        cmocka_unit_test(recurring_grants_are_checked),
        cmocka_unit_test(what_the_table_stands_in_is_valid),
        cmocka_unit_test(ceilings_are_said),
        cmocka_unit_test(names_have_a_ceiling),
        cmocka_unit_test(only_the_first_complaints_of_a_file_are_kept),
        cmocka_unit_test(mistakes_all_over_the_file_are_said_at_once),
        cmocka_unit_test(a_complaint_is_written_with_file_line_and_column),
        cmocka_unit_test(what_a_complaint_quotes_is_short_clean_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
