/*
 * compare.h (private): rows as they are against rows as they must be, column by column.
 */
#pragma once

#include "proof/books.h"

/* The rows of one entry against what stands in the ledger. `actual` NULL: the row is not there.
 * False: the verdict names the row and the first column that differs. */
MUST_USE bool compare_usage(struct proof_verdict *verdict, const struct usage_row *expected,
                            const struct value *actual);
MUST_USE bool compare_monetization(struct proof_verdict *verdict,
                                   const struct monetization_row *expected,
                                   const struct value *actual);
/* All but the chain, which is judged apart. */
MUST_USE bool compare_balance(struct proof_verdict *verdict, const struct balance_row *expected,
                              const struct value *actual);

/* Rows of the lesser tables are looked up by their keys. */
MUST_USE bool compare_refund(struct books *books, const struct refund_row *expected);
MUST_USE bool compare_grant(struct books *books, const struct grant_row *expected);
MUST_USE bool compare_policy(struct books *books, const struct policy_row *expected);
