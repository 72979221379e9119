/*
 * project.h: what one journal entry adds to the books. A pure function: it prices nothing, looks up
 * nothing, and knows no balance. All it needs is in the entry, in the command of the authorizing
 * decision, and in three names.
 *
 * The customer's chain (number, previous, hash, and the running sums of overage) is not its
 * business: whoever keeps the heads fills that in (heads.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "ledger/rows.h"

struct projection_parts {
    const struct command *command;
    const struct fact *fact; /* at_ms and position are the entry's */
    /* The command of the entry at projection_decision(); NULL where that is 0. */
    const struct command *decision;
    struct bytes customer; /* his name; none: an entry about nobody */
    struct symbols symbols;
    /* Of a grant that neither the fact nor its lines say the category of; 0: not known. */
    enum category (*category_of)(void *self, uint64_t grant_id);
    void *self;
};

/* Rows of one entry. Texts are views into the entry, the parts and `text`. */
struct projection {
    bool has_usage;
    struct usage_row usage;
    bool has_monetization;
    struct monetization_row monetization;
    uint32_t balance_count;
    struct balance_row *balances; /* PROJECTION_BALANCES_MAX */
    bool has_refund;
    struct refund_row refund;
    bool has_grant;
    struct grant_row grant;
    bool has_policy;
    struct policy_row policy;

    /* What the engine says the customer's settled balance is once the rows are in; not every fact
     * says it. The one check of the books against the engine that costs nothing. */
    bool says_settled;
    int64_t settled_after;

    const char *complaint; /* after false */
    struct buffer text;    /* over PROJECTION_TEXT_BYTES */
};

/* At most two rows an effect, and those of overage lines and overshoots. */
#define PROJECTION_BALANCES_MAX (EFFECTS_MAX + LINES_MAX + 2u)
/* Every name of its longest, every byte of it escaped. */
#define PROJECTION_TEXT_BYTES (1u << 20)

/* Memory for one projection; the struct is used again and again. */
uint64_t projection_bytes(void);
struct projection *projection_over(void *block);

/* The position of the authorizing decision whose command a projection of this entry needs; 0: none,
 * the entry's own says all. */
uint64_t projection_decision(const struct command *command, const struct fact *fact);

/* False: this is no entry that an engine makes, and `complaint` says why. */
MUST_USE bool project(const struct projection_parts *parts, struct projection *projection);
