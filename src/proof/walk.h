/*
 * walk.h (private): every batch and every entry of a journal, in order, judged on the way: hashes
 * over the exact bytes, the chain, density, epochs, stamps that never go back, entries that can be
 * read and are as many as the batch says. Where the beginning is missing, a seal must say so: an
 * entry with the hash of the last batch that went. Memory does not grow with the journal.
 */
#pragma once

#include "engine/engine.h"
#include "journal/journal.h"
#include "proof/place.h"

struct walked {
    uint64_t position;
    int64_t at_ms;
    const struct command *command;
    const struct fact *fact;
    struct entry entry; /* its bytes */
};

struct walk {
    struct journal *journal;
    const struct proof_parts *parts;
    struct proof_verdict *verdict;
    bool is_served;
    struct fact *fact;
    struct command *command;

    uint64_t newest;            /* at the start: what came later is left alone */
    uint64_t first;             /* after genesis; 0: there is none; above 2: a beginning was cut */
    struct journal_cut cut;     /* what the newest seal says of that; first 0: there is none */
    struct batch_header header; /* of the batch last read */
    int64_t last_ms;

    uint64_t batches;
    uint64_t entries;
    uint64_t bytes;
    uint64_t writers; /* processes that wrote it, one after the other */
};

/* False: the verdict says why. */
MUST_USE bool walk_open(struct walk *walk, const struct place *place,
                        const struct proof_parts *parts, struct proof_verdict *verdict);
void walk_close(struct walk *walk); /* of one that was not opened: nothing */

/* Called for each; false ends the walk. */
typedef bool walk_entry(void *self, const struct walked *walked);
typedef bool walk_batch(void *self, const struct batch_header *header); /* after its entries */

/* Up to and with `newest`. Either function may be NULL. */
MUST_USE bool walk_run(struct walk *walk, void *self, walk_entry *on_entry, walk_batch *on_batch);
