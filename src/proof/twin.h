/*
 * twin.h (private): the engine's state, rebuilt from the journal by apply alone, and compared with
 * the ledger: every grant's account, debt, and each customer's settled balance.
 */
#pragma once

#include "proof/chains.h"
#include "proof/entries.h"

struct twin {
    struct proof_verdict *verdict;
    void *block;
    uint64_t block_bytes;
    struct engine *engine;
    struct hash_key key;
    uint64_t sequence; /* the state is that of all batches up to it */
    struct bytes yaml; /* of the policy in force at a snapshot that was loaded; owned */
    struct engine_ceilings ceilings;
    struct balance_view *view;
    uint64_t memory_bytes;
    uint64_t snapshots; /* compared */
    uint64_t customers; /* likewise */
    uint64_t grants;
};

MUST_USE bool twin_start(struct twin *twin, uint64_t memory_bytes, struct hash_key key,
                         struct proof_verdict *verdict);
void twin_end(struct twin *twin);

/* The state as of batch `sequence`, from its snapshot, instead of replaying all up to there.
 * Nothing was applied yet. */
MUST_USE bool twin_load(struct twin *twin, const char *directory, uint64_t sequence);
/* Where the state of the entries that are left begins: from nothing if the journal's beginning is
 * there, else from the oldest snapshot of the list that the journal goes on from. *has_out: there
 * is such a state. */
MUST_USE bool twin_begin(struct twin *twin, const struct walk *walk, const char *directory,
                         const struct snapshot_list *list, bool *has_out);
/* A snapshot against the replay, which is at its batch: every customer has the same in both. */
MUST_USE bool twin_compare_snapshot(struct twin *twin, const struct entries *entries,
                                    const char *directory, uint64_t sequence);

MUST_USE bool twin_apply(struct twin *twin, const struct walked *walked);
void twin_sweep(struct twin *twin, int64_t now_ms, uint32_t entries);
/* `when` is "at the cursor" or "at the tip". */
MUST_USE bool twin_compare(struct twin *twin, const struct entries *entries,
                           const struct chains *chains, const char *when);
