/*
 * prices.h: price lists, read once, checked against each other, and bound to each feature that
 * uses them.
 */
#pragma once

#include "policy/read.h"

#define PRICE_LISTS_MAX 256u
#define PRICE_DENOMINATOR_MAX (UINT64_C(1) << 62)

/* num / den nano-credits a unit, in lowest terms. */
struct price_rate {
    struct bytes meter;
    struct place place;
    uint64_t num, den;
};

struct price_draft {
    struct bytes name;
    struct place place;
    bool is_sound;       /* whole, so that it can be compared and bound */
    uint32_t file_order; /* of the first rule with the same match */
    uint32_t match_count;
    struct price_match *match; /* by attribute */
    int64_t from_ms;
    uint32_t rate_count;
    struct price_rate *rates; /* by meter */
    uint32_t multiplier_count;
    struct price_multiplier *multipliers; /* by attribute, values in order; kept */
    int64_t minimum_nano;
    uint64_t q;
    uint64_t rates_den; /* the part of q that clears the rates */
    uint64_t version;
};

struct price_list {
    struct bytes name;
    uint32_t rule_count;
    struct price_draft *rules; /* in the order of policy_feature.rules */
    bool is_sound;
};

struct price_book {
    uint32_t count;
    struct price_list *lists;
    struct bytes *names;
};

struct price_book prices_read(struct compiler *compiler, const struct node *node);

/* Gives the feature its rules. Its meters are named by `meters`; complains about rates that they
 * do not have, or that the unit rules out (SEMANTICS U1). */
void prices_bind(struct compiler *compiler, const struct price_list *list,
                 struct bytes feature_name, const struct bytes *meters,
                 struct policy_feature *feature);
