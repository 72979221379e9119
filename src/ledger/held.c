#include "ledger/held.h"

#include <string.h>

#include "platform/platform.h"

#define RECORD_ALIGN 64u /* records start at such places, which are what the index numbers */
#define RECORD_BYTES_MAX 65536u

struct record {
    uint64_t decision; /* 0: nothing, up to the end of the block */
    uint32_t bytes;    /* of the whole record */
    uint32_t length;   /* of the command behind it */
};

static struct record *record_at(const struct held *held, uint64_t offset)
{
    return (struct record *)(held->block + offset % held->block_bytes);
}

static uint32_t number_at(const struct held *held, uint64_t offset)
{
    return (uint32_t)(offset % held->block_bytes / RECORD_ALIGN) + 1;
}

static uint64_t hash_of(uint64_t decision)
{
    return hash_mix(decision, 0);
}

bool held_start(struct held *held, uint64_t bytes)
{
    *held = (struct held){.block_bytes = bytes / RECORD_ALIGN * RECORD_ALIGN};
    ENSURE(held->block_bytes >= 2 * (uint64_t)RECORD_BYTES_MAX);
    const uint32_t records_max = (uint32_t)(held->block_bytes / RECORD_ALIGN);
    held->index_block_bytes = index_bytes(records_max);
    held->block = memory_reserve(held->block_bytes);
    held->index_block = memory_reserve(held->index_block_bytes);
    if (held->block == NULL || held->index_block == NULL) {
        held_end(held);
        return false;
    }
    held->by_decision = index_over(held->index_block, records_max);
    return true;
}

void held_end(struct held *held)
{
    if (held->block != NULL) memory_release(held->block, held->block_bytes);
    if (held->index_block != NULL) memory_release(held->index_block, held->index_block_bytes);
    *held = (struct held){0};
}

uint64_t held_bytes(const struct held *held)
{
    const uint64_t gone = held->end < held->block_bytes ? held->end : held->block_bytes;
    return gone + index_bytes(held->by_decision.entries + 1);
}

static void forget_oldest(struct held *held)
{
    const struct record *record = record_at(held, held->first);
    if (record->decision != 0)
        index_remove(&held->by_decision, hash_of(record->decision), number_at(held, held->first));
    held->first += record->bytes;
}

static struct record *take_record(struct held *held, uint32_t bytes)
{
    while (held->end + bytes - held->first > held->block_bytes)
        forget_oldest(held);
    struct record *record = record_at(held, held->end);
    record->bytes = bytes;
    return record;
}

void held_put(struct held *held, uint64_t decision, struct bytes command)
{
    const uint64_t wanted = sizeof(struct record) + command.length;
    const uint32_t bytes = (uint32_t)((wanted + RECORD_ALIGN - 1) / RECORD_ALIGN) * RECORD_ALIGN;
    if (wanted > RECORD_BYTES_MAX) return;
    const uint64_t left = held->block_bytes - held->end % held->block_bytes;
    if (left < bytes) { /* a record does not go round the end */
        take_record(held, (uint32_t)left)->decision = 0;
        held->end += left;
    }
    struct record *record = take_record(held, bytes);
    record->decision = decision;
    record->length = (uint32_t)command.length;
    memcpy(record + 1, command.at, command.length);
    index_insert(&held->by_decision, hash_of(decision), number_at(held, held->end));
    held->end += bytes;
}

bool held_find(const struct held *held, uint64_t decision, struct bytes *command_out)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&held->by_decision, hash_of(decision), &cursor)) != 0;) {
        const struct record *record = record_at(held, (uint64_t)(n - 1) * RECORD_ALIGN);
        if (record->decision != decision) continue;
        *command_out = (struct bytes){(const uint8_t *)(record + 1), record->length};
        return true;
    }
    return false;
}
