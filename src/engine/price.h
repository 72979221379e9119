/*
 * price.h (private): exact prices (SEMANTICS U1-U7; research/ledger.md section 6 for the carried
 * remainder). Everything is an integer over the rule's one denominator q.
 */
#pragma once

#include "engine/state.h"

/* What one unit of the waterfall costs: num / q nano-credits, at least minimum_nano in all. For
 * `unit: cost` units are nano-credits themselves: 1 / 1. */
struct unit_price {
    uint64_t num;
    uint64_t q;
    int64_t minimum_nano;
};

/* The rule in force for these attributes. A feature without prices quotes 0. */
struct problem price_quote(const struct policy_feature *feature, const struct command *command,
                           int64_t now_ms, struct quote *quote_out);

/* When another rule than now begins to count for these attributes; INSTANT_NEVER. */
int64_t price_changes_at(const struct policy_feature *feature, const struct command *command,
                         int64_t now_ms);

/* Without attributes; where no rule matches that, with those of the rule by which one unit is
 * cheapest, which attributes_out then has. PROBLEM_NO_PRICE: no rule is in force yet. */
struct problem price_quote_cheapest(const struct policy_feature *feature, uint32_t unit,
                                    int64_t now_ms, struct command *attributes_out,
                                    struct quote *quote_out);

/* quantities x numerators, the minimum included when anything was used: over q. At most 2^125. */
uint128 price_cost(const struct quote *quote, const uint64_t quantities[METERS_MAX]);

static inline struct unit_price price_of_unit(const struct quote *quote, uint32_t unit)
{
    if (unit == UNIT_COST) return (struct unit_price){.num = 1, .q = 1};
    return (struct unit_price){quote->num[unit], quote->q, quote->minimum_nano};
}

/* f of U3: the exact cost, over q, of the first `units` credit-funded units. */
static inline uint128 price_through(struct unit_price price, uint64_t units)
{
    if (units == 0) return 0;
    const uint128 cost = (uint128)units * price.num;
    const uint128 minimum = (uint128)(uint64_t)price.minimum_nano * price.q;
    return cost < minimum ? minimum : cost;
}

/* f(from + units) - f(from), over q, and what a hold must reserve for it, rounded up. */
static inline uint128 price_of_draw(struct unit_price price, uint64_t from, uint64_t units)
{
    return price_through(price, from + units) - price_through(price, from);
}

/* The most units, from `from` on and at most `units_max`, whose reserve is within nano. */
uint64_t price_affordable(struct unit_price price, uint64_t from, uint64_t units_max, int64_t nano);

/* One settled line: charges floor((x + rem) / q) and carries the rest. False, nothing changed, when
 * the charge leaves the range of balances. */
bool price_settle(uint128 x, uint64_t q, uint64_t *rem, int64_t *charge_out);
