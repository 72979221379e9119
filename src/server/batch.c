/*
 * batch.c: see batch.h.
 */
#include "server/batch.h"

void batch_start(struct batch *batch, void *body_block, void *answers_block)
{
    batch->body = buffer_over(body_block, BATCH_BODY_BYTES);
    batch->answers = answers_block;
    batch_reset(batch, 0);
}

void batch_reset(struct batch *batch, uint64_t sequence)
{
    ENSURE(batch->waiting.first == NULL);
    batch->sequence = sequence;
    batch->body.used = 0;
    batch->entries = 0;
    batch->first_ms = 0;
    batch->last_ms = 0;
    batch->answers_used = 0;
}

bool batch_has_room(const struct batch *batch)
{
    return batch->entries < JOURNAL_BATCH_ENTRIES_MAX &&
           batch->body.used < (size_t)JOURNAL_BATCH_BYTES_TARGET &&
           BATCH_ANSWERS_BYTES - batch->answers_used >= (size_t)WIRE_REPORT_BYTES_MAX;
}

uint64_t batch_next_position(const struct batch *batch)
{
    return position_make(batch->sequence, batch->entries);
}

void batch_put(struct batch *batch, struct entry entry)
{
    ENSURE(batch->entries < JOURNAL_BATCH_ENTRIES_MAX);
    if (batch->entries == 0) batch->first_ms = entry.at_ms;
    ENSURE(entry.at_ms >= batch->last_ms);
    batch->last_ms = entry.at_ms;
    batch->entry_at[batch->entries++] = (uint32_t)batch->body.used;
    entry_put(&batch->body, entry);
    ENSURE(!batch->body.overflowed);
}

bool batch_entry(const struct batch *batch, uint64_t position, struct entry *entry_out)
{
    if (position_sequence(position) != batch->sequence) return false;
    const uint32_t index = position_index(position);
    if (index >= batch->entries) return false;
    const uint32_t at = batch->entry_at[index];
    struct reader reader = reader_over((struct bytes){batch->body.at + at, batch->body.used - at});
    const bool is_taken = entry_take(&reader, entry_out);
    ENSURE(is_taken);
    return true;
}

struct buffer batch_answer_buffer(const struct batch *batch)
{
    return buffer_over(batch->answers + batch->answers_used,
                       BATCH_ANSWERS_BYTES - batch->answers_used);
}

void batch_keep_answer(struct batch *batch, size_t length)
{
    ENSURE(length <= BATCH_ANSWERS_BYTES - batch->answers_used);
    batch->answers_used += length;
}
