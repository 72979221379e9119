/*
 * keyfiles.h (private): the files of idempotency keys: the list of them, and every file on it, to
 * the last bit.
 */
#pragma once

#include "journal/journal.h"
#include "proof/place.h"

MUST_USE bool keyfiles_check(const struct place *place, const struct journal_hash *genesis,
                             const struct proof_parts *parts, struct proof_verdict *verdict);
