/*
 * seals.h (private): every row of the three datasets, in order, against the seals, and on its way
 * past the customers' chains.
 */
#pragma once

#include "proof/chains.h"

MUST_USE bool seals_check(struct books *books, struct chains *chains,
                          const struct proof_parts *parts, struct proof_verdict *verdict);
