/*
 * keyfiles.h (private): the files of idempotency keys: the list of them, and every file on it, to
 * the last bit.
 */
#pragma once

#include "journal/journal.h"
#include "proof/place.h"
#include "proof/walk.h"

MUST_USE bool keyfiles_check(const struct place *place, const struct walk *walk,
                             const struct journal_hash *genesis, const struct proof_parts *parts,
                             struct proof_verdict *verdict);
/* A snapshot (its name) was taken beside the list of that number: an older one lacks keys that had
 * left the state by then. */
MUST_USE bool keyfiles_check_older(const struct place *place, const struct journal_hash *genesis,
                                   uint64_t generation, const char *snapshot,
                                   struct proof_verdict *verdict);
