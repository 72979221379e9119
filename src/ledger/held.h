/*
 * held.h: the commands of recent authorizations, so that what ends a hold need not be looked up in
 * the journal for who asked for what. Bounded: the oldest go first, and are read from the journal
 * if their hold ends after all. Private to src/ledger.
 */
#pragma once

#include "base/base.h"

struct held {
    uint8_t *block; /* records one behind the other, in a circle */
    uint64_t block_bytes;
    void *index_block;
    uint64_t index_block_bytes;
    struct index by_decision;
    uint64_t first; /* where the oldest record is, counted from the beginning of time */
    uint64_t end;   /* where the next one goes */
};

MUST_USE bool held_start(struct held *held, uint64_t bytes); /* false: no memory */
void held_end(struct held *held);
/* Of memory: the circle as far as it was ever gone round, and the index. */
uint64_t held_bytes(const struct held *held);

void held_put(struct held *held, uint64_t decision, struct bytes command);
/* A view that lives until the next put. */
MUST_USE bool held_find(const struct held *held, uint64_t decision, struct bytes *command_out);
