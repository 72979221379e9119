/*
 * crowds.h: how many denials joined crowds in the second that runs (engine/crowd.c). The first of a
 * crowd is a journal entry; of those that join it, what one of them would have been as an entry is
 * kept here, and its count raised. When the second is over that becomes one entry more.
 *
 * So what is in here is not durable: a crash takes back how many more were denied in its second,
 * and nothing else. Whoever was denied was told the id of an entry that is durable.
 *
 * Bounded: a crowd that finds no room is counted by an entry for each of its denials.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"

#define CROWDS_MAX 1024u
#define CROWDS_BYTES ((size_t)512 << 10)
#define CROWDS_PLACES 2048u

/* Of one crowd: command and fact of an entry, encoded behind each other. */
struct crowd_rest {
    uint64_t first; /* position of the crowd's first */
    uint32_t at;
    uint32_t command_length;
    uint32_t fact_length;
};

struct crowds {
    int64_t second; /* that they are of; nothing while count is 0 */
    uint32_t count;
    uint32_t taken; /* of them */
    struct crowd_rest rests[CROWDS_MAX];
    uint16_t places[CROWDS_PLACES]; /* by hash: 1 + number of a rest; 0: nobody's */
    struct buffer bytes;

    uint64_t told_in; /* batch of the rest that was journaled last; 0: none was */
    /* Of denied extends settlement needs the entry that made the hold, even where that has ended
     * before the rest is told: the oldest such position, 0: none. */
    uint64_t hold_first;
};

/* Of zeroes; the block is CROWDS_BYTES. */
void crowds_start(struct crowds *crowds, void *block);
bool crowds_are_open(const struct crowds *crowds);
/* Their second has passed. */
bool crowds_are_over(const struct crowds *crowds, int64_t now_ms);

/* Counts one more into the crowd whose first is at that position; false: nobody has joined it yet.
 */
MUST_USE bool crowds_join(struct crowds *crowds, uint64_t first);
/* The first that joins it: the entry that it would have been, of the same second as all others.
 * `hold`: which an extend names, else 0. False: there is no room. */
MUST_USE bool crowds_open(struct crowds *crowds, uint64_t first, const struct entry *entry,
                          uint64_t hold);
/* The next one's entry, to be journaled in this batch, as of now or of the last moment of its
 * second, whichever is earlier; it lives until the next crowds_open. False: there is none. */
MUST_USE bool crowds_take(struct crowds *crowds, int64_t now_ms, uint64_t sequence,
                          struct entry *entry_out);

/* From which position on the journal is needed, when so many batches are settled; UINT64_MAX. */
uint64_t crowds_need(struct crowds *crowds, uint64_t settled_sequence);
