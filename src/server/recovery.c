/*
 * recovery.c: see recovery.h.
 */
#include "server/recovery.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/restore.h"

enum {
    PROGRESS_BATCHES = 64,
    SWEEP_RECORDS = 16,        /* per batch, besides two per entry */
    SWEEP_RECORDS_FULL = 4096, /* at a time, when there is no room */
    KEYS_AT_ONCE = 4096
};

static enum recovery_end stop_at(struct recovery *recovery, uint64_t sequence, uint32_t index,
                                 const char *what)
{
    (void)snprintf(recovery->detail, sizeof(recovery->detail),
                   "batch %" PRIu64 ", entry %" PRIu32 ": %s", sequence, index, what);
    return RECOVERY_FAILED;
}

/* So many that every kind is swept whole. */
static uint32_t records_most(const struct engine_ceilings *ceilings)
{
    const uint32_t kinds[] = {ceilings->customers, ceilings->scopes, ceilings->grants,
                              ceilings->keys};
    uint32_t most = 0;
    for (unsigned i = 0; i < COUNT_OF(kinds); ++i)
        if (kinds[i] > most) most = kinds[i];
    return most;
}

/* Keys that left the state for files are back when the journal is read from before: those go again.
 */
static void forget_filed(const struct recovery_parts *parts, int64_t now_ms)
{
    static struct kept_key listed[KEYS_AT_ONCE];
    const struct keys_wanted wanted = {.now_ms = now_ms, .before = UINT64_MAX, .last = UINT64_MAX};
    if (parts->keys == NULL || keys_status(parts->keys).files == 0) return;
    const uint32_t records = engine_key_records(parts->engine);
    (void)engine_keys_count(parts->engine, &wanted, 1, records);
    for (uint32_t at = 1; at <= records; at += KEYS_AT_ONCE) {
        const uint32_t count =
            engine_keys_list(parts->engine, &wanted, at, KEYS_AT_ONCE, listed, KEYS_AT_ONCE);
        for (uint32_t i = 0; i < count; ++i)
            if (keys_has(parts->keys, listed[i])) (void)engine_key_forget(parts->engine, listed[i]);
    }
    (void)engine_keys_count(parts->engine, &wanted, 1, records); /* nothing is listed any more */
}

/* What is over takes room until it is swept, and whoever wrote the journal had swept at times of
 * its own. False: there is none, all swept. */
static bool make_room(const struct recovery_parts *parts, const struct fact *fact, uint64_t entries,
                      struct recovery *recovery)
{
    const uint32_t most = records_most(&parts->ceilings);
    if (!engine_has_room_for(parts->engine, fact) && entries >= recovery->keys_next) {
        forget_filed(parts, fact->at_ms);
        recovery->keys_next = entries + parts->ceilings.keys / 64;
    }
    for (uint32_t swept = 0; !engine_has_room_for(parts->engine, fact);
         swept += SWEEP_RECORDS_FULL) {
        if (swept >= most) return false;
        engine_sweep(parts->engine, fact->at_ms, SWEEP_RECORDS_FULL, parts->books);
    }
    return true;
}

/* The entries of one batch, on their way from bytes to state. */
struct replay {
    const struct recovery_parts *parts;
    const struct batch_header *header;
    struct recovery *recovery;
    struct reader reader;
    uint32_t taken; /* decoded */
    uint32_t index; /* applied */
    int64_t last_ms;
};

/* False: there is none, or (detail says so) it cannot be. */
static bool take_ahead(struct replay *replay)
{
    struct recovery *recovery = replay->recovery;
    const uint64_t sequence = replay->header->sequence;
    const uint32_t index = replay->taken;
    struct recovery_scratch *scratch = replay->parts->scratch;
    struct fact *fact = &scratch->facts[index % RECOVERY_AHEAD];
    struct entry entry;
    const char *wrong = NULL;
    if (!entry_take(&replay->reader, &entry)) return false;
    if (index > POSITION_INDEX_MAX)
        wrong = "more entries than a batch has";
    else if (entry.at_ms < replay->last_ms)
        wrong = "its stamp goes back";
    else if (!fact_decode(entry.fact, fact))
        wrong = "its fact cannot be read";
    if (wrong != NULL) {
        (void)stop_at(recovery, sequence, index, wrong);
        return false;
    }
    fact->at_ms = replay->last_ms = entry.at_ms;
    fact->position = position_make(sequence, index);
    engine_prefetch_fact(replay->parts->engine, fact, &scratch->ahead[index % RECOVERY_AHEAD]);
    ++replay->taken;
    return true;
}

/* False: there is no room. */
static bool apply_next(struct replay *replay)
{
    const struct recovery_parts *parts = replay->parts;
    struct recovery *recovery = replay->recovery;
    for (uint32_t i = replay->index; i < replay->taken; ++i)
        engine_prefetch(parts->engine, &parts->scratch->ahead[i % RECOVERY_AHEAD]);
    struct fact *fact = &parts->scratch->facts[replay->index % RECOVERY_AHEAD];
    fact->customer_hint = parts->scratch->ahead[replay->index % RECOVERY_AHEAD].owner_hint;
    if (!make_room(parts, fact, recovery->entries + replay->index, recovery)) return false;
    engine_apply(parts->engine, fact);
    policies_record(parts->policies, fact);
    recovery->last_ms = fact->at_ms;
    ++replay->index;
    return true;
}

static enum recovery_end apply_batch(const struct recovery_parts *parts,
                                     const struct batch_header *header, struct bytes body,
                                     struct recovery *recovery)
{
    struct replay replay = {.parts = parts,
                            .header = header,
                            .recovery = recovery,
                            .reader = reader_over(body),
                            .last_ms = recovery->last_ms};
    bool has_more = true;
    while (has_more || replay.index < replay.taken) {
        while (has_more && replay.taken - replay.index < RECOVERY_AHEAD)
            has_more = take_ahead(&replay);
        if (recovery->detail[0] != '\0') return RECOVERY_FAILED;
        if (replay.index < replay.taken && !apply_next(&replay))
            return stop_at(recovery, header->sequence, replay.index,
                           "the state has no room for it: start with a larger --memory");
    }
    engine_sweep(parts->engine, recovery->last_ms, SWEEP_RECORDS + 2 * replay.index, parts->books);
    recovery->entries += replay.index;
    ++recovery->batches;
    if (replay.reader.bad || replay.index != header->entries)
        return stop_at(recovery, header->sequence, replay.index,
                       "the body ends where it should not");
    return RECOVERY_DONE;
}

/* Keys that left the state before the snapshot are in files that an older list does not have. */
static bool has_older_list(const struct recovery_parts *parts, uint64_t generation,
                           struct recovery *recovery)
{
    if (parts->keys == NULL || keys_status(parts->keys).generation >= generation) return false;
    (void)snprintf(recovery->detail, sizeof(recovery->detail),
                   "keys.weir is an older list of key files, number %" PRIu64
                   " where there was %" PRIu64
                   ": restore the one of the same moment, or move it away: then the keys "
                   "that count are taken from the journal",
                   keys_status(parts->keys).generation, generation);
    return true;
}

enum recovery_end recovery_run(const struct recovery_parts *parts, struct recovery *recovery_out)
{
    struct journal *journal = parts->journal;
    const uint64_t last = journal->tip.sequence;
    *recovery_out = (struct recovery){0};
    struct restored restored = {0};
    if (parts->directory != NULL) restored = restore_newest(parts);
    recovery_out->snapshot = restored.sequence;
    recovery_out->snapshot_before = restored.older;
    recovery_out->last_ms = restored.at_ms;
    if (restored.sequence == 0 && journal->first > 2) {
        (void)snprintf(recovery_out->detail, sizeof(recovery_out->detail),
                       "the journal begins at batch %" PRIu64
                       "; what came before is in snapshots only, and none can be used: restore a "
                       "snapshot-*.weir from a backup of this directory",
                       journal->first);
        return RECOVERY_FAILED;
    }
    if (has_older_list(parts, restored.keys_generation, recovery_out)) return RECOVERY_FAILED;
    for (uint64_t sequence = restored.sequence + 1; sequence <= last; ++sequence) {
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
        recovery_out->bytes += body.length;
        const enum recovery_end end = apply_batch(parts, &header, body, recovery_out);
        if (end != RECOVERY_DONE) return end;
    }
    return RECOVERY_DONE;
}

bool recovery_policy(struct journal *journal, const struct recovery *recovery, uint64_t position,
                     struct command *scratch, struct policies *policies)
{
    struct batch_header header;
    struct bytes body;
    if (position_sequence(position) <= recovery->snapshot) return true;
    if (journal->calls->read(journal, position_sequence(position), &header, &body) != JOURNAL_OK)
        return false;
    struct reader reader = reader_over(body);
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(position); ++i)
        if (!entry_take(&reader, &entry)) return false;
    if (!command_decode(entry.command, scratch) || scratch->kind != COMMAND_POLICY) return false;
    policies_stage(policies, scratch->yaml);
    return true;
}
