/*
 * proof.h: the door of src/proof: commands that read a data directory, change nothing in it, and
 * say either what they checked or the first thing that is not as it must be.
 *
 * All work beside a live server (short read-only transactions; everything newer than what was there
 * at the start is left alone) and on a copy that nobody serves, also where nothing may be written.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define PROOF_TEXT_SIZE 512
#define PROOF_COUNTS_MAX 48u
#define PROOF_MEMORY_DEFAULT (UINT64_C(1) << 30)
#define PROOF_MEMORY_MIN (UINT64_C(16) << 20)
#define PROOF_MEMORY_MAX (UINT64_C(4) << 40)

/* The first discrepancy. Empty texts: there is nothing to say. */
struct proof_finding {
    char file[PROOF_TEXT_SIZE];     /* "journal.db" */
    char place[PROOF_TEXT_SIZE];    /* "batch 17, entry 3 (d_00000000012c3)" */
    char what[PROOF_TEXT_SIZE];     /* what is wrong with it */
    char expected[PROOF_TEXT_SIZE]; /* against found */
    char found[PROOF_TEXT_SIZE];
    char advice[PROOF_TEXT_SIZE]; /* what an operator can do */
};

/* So much of something was checked. */
struct proof_count {
    const char *of;   /* "journal" */
    const char *what; /* "batches" */
    uint64_t number;
};

struct proof_verdict {
    bool is_clean;
    bool journal_is_cut;          /* its beginning is gone */
    struct proof_finding finding; /* unless clean */
    uint32_t count_count;
    struct proof_count counts[PROOF_COUNTS_MAX]; /* up to the finding */
    char notes[4][PROOF_TEXT_SIZE];              /* what was left out, and why; empty: nothing */
};

struct proof_parts {
    const char *directory;
    uint64_t memory_bytes; /* reconcile, replay: address space for the engine's state */
    /* Work is under way: `done` of `whole` of what (whole 0: nobody knows). May be called
     * often. */
    void (*progress)(void *self, const char *what, uint64_t done, uint64_t whole);
    void *self;
};

/* Are the files what was written? Hashes, order, chains. */
void proof_verify(const struct proof_parts *parts, struct proof_verdict *verdict_out);
/* Is it the same money all the way: usage x price book = monetization = balance updates = balances
 * = engine state, and is every row what its journal entry makes? */
void proof_reconcile(const struct proof_parts *parts, struct proof_verdict *verdict_out);
/* Does every command, decided again, give the fact that the journal has? */
void proof_replay(const struct proof_parts *parts, struct proof_verdict *verdict_out);
