/*
 * journal.c: the part of the seam that does not depend on where the rows are.
 */
#include "journal/journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "journal/core.h"

_Static_assert(sizeof((struct journal){0}.detail) == JOURNAL_DETAIL_SIZE, "one size of detail");

const char *journal_fault_text(enum journal_fault fault)
{
    switch (fault) {
#define X(name, text) \
    case name:        \
        return text;
        JOURNAL_FAULT_TABLE(X)
#undef X
    }
    assertion_failed("a fault of the table", __FILE__, __LINE__);
}

enum journal_fault core_refuse(struct journal_core *core, enum journal_fault fault,
                               const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(core->journal.detail, sizeof core->journal.detail, format, arguments);
    va_end(arguments);
    return fault;
}

struct genesis core_genesis(const struct chain *chain, struct hash_key key, uint64_t writer)
{
    struct genesis genesis = {
        .header =
            {
                     .sequence = 1,
                     .epoch = 1,
                     .kind = BATCH_GENESIS,
                     .version = JOURNAL_VERSION,
                     .writer = writer,
                     },
    };
    for (unsigned at = 0; at < 16; at++)
        genesis.body[at] = (uint8_t)(key.word[at / 8] >> (8 * (at % 8)));
    memcpy(genesis.body + 16, GENESIS_FORMAT, sizeof GENESIS_FORMAT - 1);
    genesis.header.hash =
        chain_hash(chain, &genesis.header, (struct bytes){genesis.body, sizeof genesis.body});
    return genesis;
}

bool core_genesis_key(struct bytes body, struct hash_key *key_out)
{
    if (body.length != GENESIS_BODY_BYTES) return false;
    if (memcmp(body.at + 16, GENESIS_FORMAT, sizeof GENESIS_FORMAT - 1) != 0) return false;
    struct hash_key key = {0};
    for (unsigned at = 0; at < 16; at++)
        key.word[at / 8] |= (uint64_t)body.at[at] << (8 * (at % 8));
    *key_out = key;
    return true;
}

void core_append_start(struct journal *journal, struct batch_header header, struct bytes body)
{
    struct journal_core *core = (struct journal_core *)journal;
    ENSURE(!core->is_pending);
    ENSURE(header.partition == 0);
    ENSURE(header.kind == BATCH_ENTRIES);
    ENSURE(header.version == JOURNAL_VERSION);
    ENSURE(header.entries >= 1 && header.entries <= JOURNAL_BATCH_ENTRIES_MAX);
    ENSURE(body.length >= 1 && body.length <= JOURNAL_BODY_BYTES_MAX);
    ENSURE(header.first_ms >= journal->tip.last_ms && header.last_ms >= header.first_ms);
    ENSURE(journal->tip.sequence < POSITION_SEQUENCE_MAX);

    header.sequence = journal->tip.sequence + 1;
    header.epoch = core->epoch;
    header.writer = core->writer;
    header.previous = journal->tip.hash;
    header.hash = chain_hash(&core->chain, &header, body);
    const uint64_t first = journal->first;
    const uint64_t left = core->keep_from > first ? core->keep_from - first : 0;
    core->first_after = first + (left < JOURNAL_CUT_PER_APPEND ? left : JOURNAL_CUT_PER_APPEND);
    core->pending = header;
    core->pending_body = body;
    core->is_pending = true;
}

void core_keep_from(struct journal *journal, uint64_t sequence)
{
    struct journal_core *core = (struct journal_core *)journal;
    ENSURE(sequence >= core->keep_from && sequence <= journal->tip.sequence);
    core->keep_from = sequence;
}

bool core_append_is_pending(const struct journal_core *core)
{
    return core->is_pending && core->end == APPEND_NONE;
}

enum append_result core_append_end(struct journal_core *core, enum append_result result)
{
    if (!core->is_pending) return APPEND_NONE;
    core->is_pending = false;
    if (core->end != APPEND_NONE) return core->end;
    if (result == APPEND_COMMITTED) {
        core->journal.tip = (struct journal_tip){
            .sequence = core->pending.sequence,
            .hash = core->pending.hash,
            .last_ms = core->pending.last_ms,
        };
        core->journal.first = core->first_after;
        core->journal.committed = core->pending;
    } else {
        core->end = result;
    }
    return result;
}

enum journal_fault core_check(struct journal_core *core, uint64_t sequence,
                              const struct batch_header *header, struct bytes body)
{
    const struct journal_hash hash = chain_hash(&core->chain, header, body);
    if (header->sequence != sequence || !journal_hash_equal(&hash, &header->hash))
        return core_refuse(core, JOURNAL_DAMAGED,
                           "batch %" PRIu64 " is not what was written: its bytes do not give its "
                           "hash. Restore the data directory from a backup",
                           sequence);
    /* From here on the row is as somebody who knows the chain wrote it. */
    if (header->version != JOURNAL_VERSION)
        return core_refuse(core, JOURNAL_OTHER_VERSION,
                           "batch %" PRIu64 " is of format %" PRIu32 ", this program reads %u",
                           sequence, header->version, JOURNAL_VERSION);
    if (header->partition != 0 || header->last_ms < header->first_ms ||
        (header->kind == BATCH_GENESIS) != (sequence == 1) || header->kind < BATCH_GENESIS ||
        header->kind > BATCH_ENTRIES)
        return core_refuse(core, JOURNAL_DAMAGED,
                           "batch %" PRIu64 " is not a batch of this journal", sequence);

    static const struct journal_hash NOBODY = {0};
    const struct journal_hash *previous = &header->previous;
    if (sequence == 1)
        previous = &NOBODY;
    else if (sequence == 2)
        previous = &core->genesis_hash;
    else if (sequence == core->read_sequence + 1)
        previous = &core->read_hash;
    if (!journal_hash_equal(previous, &header->previous))
        return core_refuse(core, JOURNAL_DAMAGED,
                           "the chain is broken between batches %" PRIu64 " and %" PRIu64
                           ": one of them was replaced. Restore the data directory from a backup",
                           sequence - 1, sequence);
    if (sequence == core->journal.tip.sequence &&
        !journal_hash_equal(&header->hash, &core->journal.tip.hash))
        return core_refuse(core, JOURNAL_DAMAGED,
                           "batch %" PRIu64 " was replaced since the journal was opened", sequence);
    core->read_sequence = sequence;
    core->read_hash = header->hash;
    return JOURNAL_OK;
}
