/*
 * pricebook.h (private): every policy the ledger has the text of, compiled when a price of it is
 * asked for. A few stay compiled.
 */
#pragma once

#include "proof/books.h"

#define PRICEBOOK_COMPILED 4u

struct priced_policy {
    uint64_t position; /* of the entry that installed it; 0: the place is free */
    int64_t installed_ms;
    uint64_t used; /* when it was asked for last, counted in questions */
    void *block;
    const struct policy *policy;
};

struct pricebook {
    struct books *books;
    struct proof_verdict *verdict;
    uint64_t *positions; /* of all policies, ascending */
    uint32_t position_count;
    uint64_t asked;
    uint64_t compiled; /* how often */
    struct priced_policy compiled_ones[PRICEBOOK_COMPILED];
};

MUST_USE bool pricebook_start(struct pricebook *book, struct books *books);
void pricebook_end(struct pricebook *book);

/* The names that every state is born with: what compiled policies here know. */
struct symbols pricebook_symbols(void);

/* The policy in force at a decision. False: the verdict says why there is none. */
MUST_USE bool pricebook_at(struct pricebook *book, uint64_t decision,
                           const struct priced_policy **policy_out);
