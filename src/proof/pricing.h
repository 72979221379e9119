/*
 * pricing.h (private): what usage costs, from the rows of the ledger, the policy's rules and the
 * formulas of SEMANTICS U1-U7 alone. Nothing here is shared with what decided or settled: rules are
 * matched anew, every sum and product is checked, 128 bits wide.
 */
#pragma once

#include "engine/engine.h"
#include "proof/books.h"

/* What is known of a settled decision beyond its rows. */
struct priced_hold {
    int64_t decided_from_ms; /* when it was decided, at the earliest and at the latest */
    int64_t decided_to_ms;
    bool has_held; /* what it held in all, extensions included: the journal has it */
    uint64_t held[METERS_MAX];
    bool is_as_held; /* its commit says no quantities: what it held was used */
};

struct pricing {
    const struct policy *policy; /* in force at the decision */
    struct symbols symbols;      /* its names */
    const struct value *usage;
    const struct value *monetization;
    struct priced_hold hold;
    struct proof_verdict *verdict;
};

/* Whether a usage event and its monetization event say what the price book makes of it: the rule,
 * the exact cost, the charge and the remainder, the units. False: the verdict says what is not. */
MUST_USE bool pricing_check(const struct pricing *pricing);
