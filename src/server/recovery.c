/*
 * recovery.c: see recovery.h.
 */
#include "server/recovery.h"

#include <inttypes.h>
#include <stdio.h>

enum { PROGRESS_BATCHES = 64 };

static enum recovery_end damaged(struct recovery *recovery, uint64_t sequence, uint32_t index,
                                 const char *what)
{
    (void)snprintf(recovery->detail, sizeof(recovery->detail),
                   "batch %" PRIu64 ", entry %" PRIu32 ": %s", sequence, index, what);
    return RECOVERY_FAILED;
}

static enum recovery_end apply_batch(const struct recovery_parts *parts,
                                     const struct batch_header *header, struct bytes body,
                                     struct recovery *recovery)
{
    struct reader reader = reader_over(body);
    struct entry entry;
    uint32_t index = 0;
    while (entry_take(&reader, &entry)) {
        if (index > POSITION_INDEX_MAX)
            return damaged(recovery, header->sequence, index, "more entries than a batch has");
        if (entry.at_ms < recovery->last_ms)
            return damaged(recovery, header->sequence, index, "its stamp goes back");
        struct fact *fact = parts->scratch;
        if (!fact_decode(entry.fact, fact))
            return damaged(recovery, header->sequence, index, "its fact cannot be read");
        fact->at_ms = entry.at_ms;
        fact->position = position_make(header->sequence, index);
        engine_apply(parts->engine, fact);
        policies_record(parts->policies, fact);
        recovery->last_ms = entry.at_ms;
        ++index;
    }
    recovery->entries += index;
    ++recovery->batches;
    if (reader.bad || index != header->entries)
        return damaged(recovery, header->sequence, index, "the body ends where it should not");
    return RECOVERY_DONE;
}

enum recovery_end recovery_run(const struct recovery_parts *parts, struct recovery *recovery_out)
{
    struct journal *journal = parts->journal;
    const uint64_t last = journal->tip.sequence;
    *recovery_out = (struct recovery){0};
    for (uint64_t sequence = 1; sequence <= last; ++sequence) {
        struct batch_header header;
        struct bytes body;
        if (sequence % PROGRESS_BATCHES == 0 && !parts->progress(parts->self, sequence, last))
            return RECOVERY_STOPPED;
        const enum journal_fault fault = journal->calls->read(journal, sequence, &header, &body);
        if (fault != JOURNAL_OK) {
            (void)snprintf(recovery_out->detail, sizeof(recovery_out->detail),
                           "batch %" PRIu64 ": %s: %s", sequence, journal_fault_text(fault),
                           journal->detail);
            return RECOVERY_FAILED;
        }
        if (header.kind != BATCH_ENTRIES) continue;
        const enum recovery_end end = apply_batch(parts, &header, body, recovery_out);
        if (end != RECOVERY_DONE) return end;
    }
    return RECOVERY_DONE;
}

bool recovery_policy(struct journal *journal, uint64_t position, struct command *scratch,
                     struct bytes *yaml_out)
{
    struct batch_header header;
    struct bytes body;
    if (journal->calls->read(journal, position_sequence(position), &header, &body) != JOURNAL_OK)
        return false;
    struct reader reader = reader_over(body);
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(position); ++i)
        if (!entry_take(&reader, &entry)) return false;
    if (!command_decode(entry.command, scratch) || scratch->kind != COMMAND_POLICY) return false;
    *yaml_out = scratch->yaml;
    return true;
}
