/*
 * entries.h (private): the journal's entries, one after the other, as the rows that they must have
 * made: settlement's own projection, fed with what it needs to know of earlier entries.
 *
 * Memory: the name of every customer, and one record a hold that is open or may still be committed
 * late.
 */
#pragma once

#include "proof/books.h"
#include "proof/map.h"
#include "proof/pricebook.h"
#include "proof/pricing.h"
#include "proof/walk.h"

struct entries {
    struct books *books;
    struct proof_verdict *verdict;
    struct journal *lookup; /* for what has been forgotten here; another reader */
    struct hash_key key;
    struct map names; /* of customers */
    struct map holds;
    struct map grants; /* categories of those that settlement has yet to add */
    uint32_t symbol_count;
    struct bytes *symbols;    /* [1..symbol_count] */
    uint32_t symbols_stored;  /* in table symbols */
    uint32_t symbols_settled; /* that settled entries made, or that every state is born with */
    struct sqlite3_stmt *category;
    struct projection *projection;
    struct command *decision; /* scratch */
    uint8_t *decision_bytes;
    uint64_t taken;
    uint64_t unknown; /* entries whose decision is no longer in the journal: not projected */
};

/* What is remembered of a hold. */
struct hold_record {
    struct hash128 id;
    uint64_t decision;
    int64_t decided_ms;
    int64_t until_ms; /* INSTANT_NEVER while it is open */
    bool has_held;
    uint64_t held[METERS_MAX];
    bool is_as_held;  /* its commit says that all of that was used */
    uint8_t *command; /* its own; NULL once the hold has ended */
    uint32_t command_bytes;
};

MUST_USE bool entries_start(struct entries *entries, struct books *books, const struct place *place,
                            struct hash_key key);
void entries_end(struct entries *entries);

/* Takes the next entry. *projection_out: its rows, good until the next; NULL: they are not known.
 */
MUST_USE bool entries_take(struct entries *entries, const struct walked *walked,
                           const struct projection **projection_out);
/* After its rows were looked at: forgets what is over. */
void entries_pass(struct entries *entries, const struct walked *walked);

/* What is known of a decision; `usage` is one of its ends. */
struct priced_hold entries_hold(const struct entries *entries, const struct value *usage,
                                int64_t installed_ms);
struct bytes entries_name(const struct entries *entries, struct hash128 customer);
