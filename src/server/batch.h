/*
 * batch.h: one journal batch while it is in memory: its body, who waits for it, and the bytes of
 * their answers. There are two: one fills while the other is being made durable.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "server/exchange.h"
#include "wire/wire.h"

/* Room for the largest entry behind a body that is just short of its target. */
#define BATCH_BODY_BYTES (JOURNAL_BATCH_BYTES_TARGET + ENTRY_BYTES_MAX)
/* Room for the largest read; decisions stop being taken when the largest of them may not fit. */
#define BATCH_ANSWERS_BYTES \
    (WIRE_STATUS_BYTES_MAX(FEATURES_MAX) + WIRE_BALANCE_BYTES_MAX + WIRE_REPORT_BYTES_MAX)

struct batch {
    uint64_t sequence;
    struct buffer body;
    uint32_t entries;
    uint32_t entry_at[JOURNAL_BATCH_ENTRIES_MAX]; /* where each starts in the body */
    int64_t first_ms;
    int64_t last_ms;
    struct exchange_queue waiting; /* for its durability */
    uint8_t *answers;
    size_t answers_used;
};

/* The blocks are BATCH_BODY_BYTES and BATCH_ANSWERS_BYTES. */
void batch_start(struct batch *batch, void *body_block, void *answers_block);
/* Empty, for its next life. */
void batch_reset(struct batch *batch, uint64_t sequence);

/* Whether one more entry may be put, and its answer rendered. */
MUST_USE bool batch_has_room(const struct batch *batch);
/* The position that the next entry gets. */
uint64_t batch_next_position(const struct batch *batch);
void batch_put(struct batch *batch, struct entry entry);
/* False: the batch has no such entry. */
MUST_USE bool batch_entry(const struct batch *batch, uint64_t position, struct entry *entry_out);

/* All that is left for answers; batch_keep_answer keeps what was written. */
struct buffer batch_answer_buffer(const struct batch *batch);
void batch_keep_answer(struct batch *batch, size_t length);
