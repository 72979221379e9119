/*
 * snapfiles.h (private): snapshot files: each whole to its last bit, of this journal, and of the
 * very batch that the journal has.
 */
#pragma once

#include "proof/place.h"
#include "proof/walk.h"

MUST_USE bool snapfiles_check(const struct place *place, const struct walk *walk,
                              const struct journal_hash *genesis, struct proof_verdict *verdict);
/* A server keeps two: one that was listed may be gone by now. */
bool snapfiles_is_gone(const struct place *place, uint64_t sequence);
