/*
 * policy.h: the compiled policy, immutable once published. src/policy makes it from YAML; the
 * engine only reads it.
 *
 * Names are symbols: numbers into an append-only table that the state keeps and the journal defines
 * (EFFECT_SYMBOL). A symbol never changes its meaning, so facts and holds may carry it for ever,
 * and a policy that drops a plan and one that brings it back mean the same plan. Compiling takes
 * the symbols known so far and numbers new names from there.
 *
 * Money is nano-credits; a rate is a numerator over its rule's one denominator q (SEMANTICS U3).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Ceilings. Policies beyond them are refused by src/policy, with the ceiling in the message. */
#define POLICY_BYTES_MAX (1u << 20)
#define NAME_BYTES_MAX 64u
#define SYMBOLS_MAX 16384u
#define FEATURES_MAX 256u
#define METERS_MAX 8u /* of one feature */
#define PLANS_MAX 64u
#define POOLS_MAX 64u
#define GATES_MAX 12u        /* of one feature in one plan */
#define SOURCES_MAX 12u      /* likewise */
#define WINDOWS_MAX 4u       /* of one allowance */
#define RECURRING_MAX 8u     /* of one plan */
#define PRICE_RULES_MAX 512u /* of one price list */
#define MATCHES_MAX 4u       /* attributes in one rule's match */
#define MULTIPLIERS_MAX 4u   /* attributes in one rule's multiply */
#define MULTIPLIER_VALUES_MAX 32u
#define LEVELS_MAX 8u /* parts of a subject path */
#define PERIOD_MS_MAX (INT64_C(366) * DAY_MS)
#define PERIOD_MS_MIN SECOND_MS

/* Symbols that every state is born with, in this order from 1. 0 is no name. */
enum {
    SYMBOL_NONE,
    SYMBOL_PROMOTIONAL, /* a grants source is named after its category */
    SYMBOL_ENTITLEMENT,
    SYMBOL_PAID,
    SYMBOL_UNLIMITED,
    SYMBOL_FIRST_FREE
};

struct symbols {
    const struct bytes *name; /* [1..count]; name[0] is unused */
    uint32_t count;
};

enum category { CATEGORY_PROMOTIONAL = 1, CATEGORY_ENTITLEMENT, CATEGORY_PAID };

enum scope_kind { SCOPE_CUSTOMER, SCOPE_SUBJECT, SCOPE_LEVEL };

struct scope_rule {
    enum scope_kind kind;
    uint32_t level; /* SCOPE_LEVEL: 1..LEVELS_MAX, the first so many parts of the path */
};

enum period_kind { PERIOD_DURATION = 1, PERIOD_HOUR, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };

enum window_start { START_FIRST_USE = 1, START_CALENDAR, START_ANCHOR, START_SLIDING };

/* PERIOD_DURATION goes with START_FIRST_USE and START_SLIDING, the others with START_CALENDAR and
 * START_ANCHOR. */
struct period {
    enum period_kind kind;
    enum window_start start;
    int64_t duration_ms; /* PERIOD_DURATION: PERIOD_MS_MIN..PERIOD_MS_MAX; else 0 */
};

struct window_rule {
    uint64_t limit; /* feature units; nano-credits when the unit is cost */
    struct period period;
};

enum gate_kind { GATE_RATE = 1, GATE_CONCURRENCY, GATE_BUDGET };

struct gate_rule {
    enum gate_kind kind;
    uint32_t name; /* symbol */
    struct scope_rule scope;
    uint64_t limit; /* RATE: tokens per `per_ms`; CONCURRENCY: holds; BUDGET: nano-credits */
    /* GATE_RATE */
    uint32_t meter; /* index into the feature's meters */
    uint64_t burst; /* tokens, at least 1; `limit` where the policy names none */
    int64_t per_ms; /* PERIOD_MS_MIN..PERIOD_MS_MAX */
    uint32_t pool;  /* symbol, or 0 */
    /* GATE_BUDGET: calendar, anchor, first_use or sliding */
    struct period period;
};

enum source_kind { SOURCE_ALLOWANCE = 1, SOURCE_GRANTS, SOURCE_OVERAGE, SOURCE_UNLIMITED };

struct source_rule {
    enum source_kind kind;
    uint32_t name;           /* symbol */
    struct scope_rule scope; /* ALLOWANCE, OVERAGE (customer by default) */
    enum category category;  /* GRANTS */
    uint32_t window_count;   /* ALLOWANCE: 1..WINDOWS_MAX; OVERAGE: 1 */
    struct window_rule windows[WINDOWS_MAX];
};

enum failure_cost { FAILURE_NONE = 1, FAILURE_FULL, FAILURE_ACTUAL };
enum overshoot_kind { OVERSHOOT_REFUND = 1, OVERSHOOT_DEBT, OVERSHOOT_OVERAGE };

/* One feature in one plan. OVERSHOOT_OVERAGE only where the waterfall has an overage source. */
struct plan_feature {
    uint32_t feature; /* index into policy.features */
    enum failure_cost on_failure;
    enum overshoot_kind overshoot;
    int64_t hold_ttl_ms;
    uint32_t gate_count;
    uint32_t source_count;
    struct gate_rule gates[GATES_MAX];
    struct source_rule sources[SOURCES_MAX];
};

struct recurring_rule {
    uint32_t name; /* symbol */
    enum category category;
    int64_t nano;              /* of each renewal, at least 1 */
    struct period period;      /* calendar or anchor */
    int64_t rollover_nano_max; /* 0: nothing rolls over */
    int64_t expires_ms;        /* lifetime of each lot; 0: until the next renewal */
    int32_t priority;
    uint32_t feature_count;        /* 0: any feature */
    uint32_t features[METERS_MAX]; /* symbols */
};

struct plan {
    uint32_t name; /* symbol */
    uint32_t tier;
    uint32_t feature_count;
    const struct plan_feature *features;
    uint32_t recurring_count;
    struct recurring_rule recurring[RECURRING_MAX];
};

struct price_match {
    struct bytes attribute;
    struct bytes value;
};

/* One attribute that multiplies: absent, the factor is 1 = one_num / one_num; a value in the list,
 * num[i] / one_num; any other value is refused (U6). */
struct price_multiplier {
    struct bytes attribute;
    uint32_t value_count;
    uint64_t one_num;
    struct bytes value[MULTIPLIER_VALUES_MAX];
    uint64_t num[MULTIPLIER_VALUES_MAX];
};

/* Compiled for one feature: base_num follows the feature's meters. The exact price of one unit of
 * meter m is base_num[m] x product of the picked multiplier nums / q nano-credits; the compiler
 * guarantees that base_num[m] x the largest product fits 64 bits. A meter without a rate costs 0.
 */
struct price_rule {
    uint64_t version; /* hash of the content: the same rule uploaded again is the same version */
    uint32_t name;    /* symbol of "list/rule" */
    uint32_t match_count;
    uint32_t multiplier_count;
    int64_t from_ms; /* in force from here on; 0: always */
    uint64_t q;
    int64_t minimum_nano;
    uint64_t base_num[METERS_MAX];
    struct price_match match[MATCHES_MAX];
    const struct price_multiplier *multipliers;
};

#define UNIT_COST UINT32_MAX

struct policy_feature {
    uint32_t name; /* symbol */
    uint32_t meter_count;
    uint32_t meters[METERS_MAX]; /* symbols */
    uint32_t requests_meter;     /* index of the meter called "requests"; METERS_MAX: has none */
    uint32_t unit;               /* index of the unit's meter, or UNIT_COST */
    bool divisible;
    uint32_t rule_count; /* 0: no prices (only free sources may fund it) */
    /* Most specific (largest match_count) first, among equals with the same match latest from_ms
     * first; otherwise in the file's order. So the first that matches and is in force wins. */
    const struct price_rule *rules;
};

struct pool_rule {
    uint32_t name; /* symbol */
    uint64_t capacity;
    int64_t per_ms;
    uint32_t meter; /* symbol */
    int64_t stale_after_ms;
    uint64_t safe_factor_nano; /* 0..10^9 */
};

struct policy {
    uint64_t content_hash; /* of the YAML's bytes */
    uint32_t default_plan; /* symbol; 0: strangers are refused */
    int64_t retention_ms;  /* idempotency_retention */
    uint32_t feature_count;
    const struct policy_feature *features;
    uint32_t plan_count;
    const struct plan *plans;
    uint32_t pool_count;
    const struct pool_rule *pools;
    /* symbol -> index + 1 into features and plans, 0 where the symbol is none */
    const uint16_t *feature_of_symbol;
    const uint16_t *plan_of_symbol;
    uint32_t symbol_count; /* entries in the two maps above: 0..symbol_count */
    /* Names that the table did not have yet; they take the numbers after `known.count` in order. */
    const struct bytes *new_symbols;
    uint32_t new_symbol_count;
};

const struct policy_feature *policy_feature_named(const struct policy *policy,
                                                  const struct symbols *symbols, struct bytes name);
static inline const struct plan *policy_plan_of(const struct policy *policy, uint32_t symbol)
{
    if (symbol > policy->symbol_count) return NULL;
    const uint16_t place = policy->plan_of_symbol[symbol];
    return place == 0 ? NULL : &policy->plans[place - 1];
}
const struct plan *policy_plan_named(const struct policy *policy, const struct symbols *symbols,
                                     struct bytes name);
const struct plan_feature *plan_feature_of(const struct plan *plan, uint32_t feature_index);
