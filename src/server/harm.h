/*
 * harm.h: damage that nobody looked for and somebody met: what was kept and cannot be read, or is
 * not what names it. Counted from the start of the server; health tells it.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "journal/journal.h"

struct harm {
    _Atomic uint64_t batches; /* times that a batch of the journal could not be read */
    _Atomic uint64_t batch;   /* the last of them */
    _Atomic uint64_t keys;    /* times that a key file could not be read, or a key named an entry
                                 that did not bind it */
};

/* Counts and logs it. The fault is the one that reading the batch gave. */
void harm_batch(struct harm *harm, const struct journal *journal, uint64_t sequence,
                enum journal_fault fault);
/* Counts; whoever met it logs. */
static inline void harm_key(struct harm *harm)
{
    (void)atomic_fetch_add(&harm->keys, 1);
}
