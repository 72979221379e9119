/*
 * walk.c: see walk.h.
 */
#include "proof/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof/verdict.h"

#define JOURNAL_FILE "journal.db"

enum { BATCHES_PER_PROGRESS = 16 };

static const char *advice_of(enum journal_fault fault)
{
    switch (fault) {
    case JOURNAL_FOREIGN:
        return "Name the data directory of a Weir server, or put its journal.db back from a backup";
    case JOURNAL_OTHER_VERSION:
        return "Use the program that wrote it";
    case JOURNAL_OK:
    case JOURNAL_CANNOT_OPEN:
    case JOURNAL_SETTING_REFUSED:
    case JOURNAL_READ_FAILED:
    case JOURNAL_WRITE_FAILED:
    case JOURNAL_DAMAGED:
    case JOURNAL_CUT:
        break;
    }
    return ADVICE_RESTORE;
}

static bool find_fault(struct proof_verdict *verdict, enum journal_fault fault, const char *detail)
{
    verdict_found(verdict, "%s", detail);
    return verdict_find(verdict, JOURNAL_FILE, journal_fault_text(fault), advice_of(fault));
}

bool walk_open(struct walk *walk, const struct place *place, const struct proof_parts *parts,
               struct proof_verdict *verdict)
{
    char detail[256];
    *walk = (struct walk){
        .parts = parts, .verdict = verdict, .is_served = place->access == JOURNAL_SERVED};
    enum journal_fault fault =
        journal_sqlite_open_witness(place->directory, place->access, &walk->journal, detail);
    if (fault != JOURNAL_OK) return find_fault(verdict, fault, detail);
    fault = journal_sqlite_find(walk->journal, 2, &walk->first, &walk->newest);
    if (fault != JOURNAL_OK) return find_fault(verdict, fault, walk->journal->detail);
    walk->fact = malloc(sizeof(*walk->fact));
    walk->command = malloc(sizeof(*walk->command));
    ENSURE(walk->fact != NULL && walk->command != NULL);
    return true;
}

void walk_close(struct walk *walk)
{
    if (walk->journal != NULL) walk->journal->calls->close(walk->journal);
    free(walk->fact);
    free(walk->command);
    walk->journal = NULL;
    walk->fact = NULL;
    walk->command = NULL;
}

static bool find_in_entry(const struct walk *walk, uint32_t index, const char *what)
{
    char id[ID_TEXT_SIZE];
    id_format('d', position_make(walk->header.sequence, index), id);
    verdict_place(walk->verdict, "batch %" PRIu64 ", entry %" PRIu32 " (%s)", walk->header.sequence,
                  index, id);
    return verdict_find(walk->verdict, JOURNAL_FILE, what, ADVICE_RESTORE);
}

static bool find_in_batch(const struct walk *walk, const char *what)
{
    verdict_place(walk->verdict, "batch %" PRIu64, walk->header.sequence);
    return verdict_find(walk->verdict, JOURNAL_FILE, what, ADVICE_RESTORE);
}

static bool check_entry(struct walk *walk, uint32_t index, struct entry entry)
{
    if (index > POSITION_INDEX_MAX)
        return find_in_entry(walk, POSITION_INDEX_MAX, "more entries follow than a batch can have");
    const bool is_within =
        entry.at_ms >= walk->header.first_ms && entry.at_ms <= walk->header.last_ms;
    if (entry.at_ms < walk->last_ms || !is_within) {
        verdict_expected(walk->verdict, "a stamp from %" PRId64 " to %" PRId64,
                         walk->last_ms > walk->header.first_ms ? walk->last_ms
                                                               : walk->header.first_ms,
                         walk->header.last_ms);
        verdict_found(walk->verdict, "%" PRId64, entry.at_ms);
        return find_in_entry(walk, index, "its stamp goes back, or leaves its batch's span");
    }
    walk->last_ms = entry.at_ms;
    if (!command_decode(entry.command, walk->command))
        return find_in_entry(walk, index, "its command cannot be read");
    if (!fact_decode(entry.fact, walk->fact))
        return find_in_entry(walk, index, "its fact cannot be read");
    walk->fact->at_ms = entry.at_ms;
    walk->fact->position = position_make(walk->header.sequence, index);
    if (walk->command->kind == COMMAND_SEAL) walk->cut = walk->command->cut;
    return true;
}

static bool check_entries(struct walk *walk, struct bytes body, void *self, walk_entry *on_entry)
{
    struct reader reader = reader_over(body);
    struct entry entry;
    uint32_t index = 0;
    while (entry_take(&reader, &entry)) {
        if (!check_entry(walk, index, entry)) return false;
        const struct walked walked = {.position = walk->fact->position,
                                      .at_ms = entry.at_ms,
                                      .command = walk->command,
                                      .fact = walk->fact,
                                      .entry = entry};
        if (on_entry != NULL && !on_entry(self, &walked)) return false;
        ++index;
    }
    walk->entries += index;
    if (reader.bad) return find_in_entry(walk, index, "its bytes are no entry");
    if (index == walk->header.entries) return true;
    verdict_expected(walk->verdict, "%" PRIu32 " entries", walk->header.entries);
    verdict_found(walk->verdict, "%" PRIu32, index);
    return find_in_batch(walk, "it has not as many entries as it says");
}

static bool find_missing(struct walk *walk, uint64_t sequence, uint64_t next)
{
    if (next == sequence + 1)
        verdict_place(walk->verdict, "batch %" PRIu64, sequence);
    else
        verdict_place(walk->verdict, "batches %" PRIu64 " to %" PRIu64, sequence, next - 1);
    verdict_expected(walk->verdict, "batch %" PRIu64 " after batch %" PRIu64, sequence,
                     walk->header.sequence);
    verdict_found(walk->verdict, "batch %" PRIu64, next);
    return verdict_find(walk->verdict, JOURNAL_FILE, "missing: the journal is not dense",
                        ADVICE_RESTORE);
}

/* The header's own story; hash and link were judged by reading it. */
static bool check_header(struct walk *walk, const struct batch_header *header)
{
    const uint64_t epoch_before = walk->batches > 0 ? walk->header.epoch : header->epoch;
    const uint64_t writer_before = walk->batches > 0 ? walk->header.writer : 0;
    walk->header = *header;
    if (header->epoch != epoch_before) {
        verdict_expected(walk->verdict, "epoch %" PRIu64, epoch_before);
        verdict_found(walk->verdict, "epoch %" PRIu64, header->epoch);
        return find_in_batch(walk, "its epoch is not its predecessor's");
    }
    if (header->kind == BATCH_ENTRIES && header->first_ms < walk->last_ms) {
        verdict_expected(walk->verdict, "a span from %" PRId64 " on", walk->last_ms);
        verdict_found(walk->verdict, "%" PRId64, header->first_ms);
        return find_in_batch(walk, "its span begins before its predecessor ends");
    }
    walk->writers += header->writer != writer_before || walk->batches == 0;
    return true;
}

static bool take_batch(struct walk *walk, uint64_t sequence, void *self, walk_entry *on_entry)
{
    struct journal *journal = walk->journal;
    struct batch_header header;
    struct bytes body;
    const enum journal_fault fault = journal->calls->read(journal, sequence, &header, &body);
    if (fault == JOURNAL_READ_FAILED) {
        uint64_t next = 0;
        uint64_t newest = 0;
        if (journal_sqlite_find(journal, sequence, &next, &newest) == JOURNAL_OK && next > sequence)
            return find_missing(walk, sequence, next);
    }
    if (fault != JOURNAL_OK) {
        verdict_place(walk->verdict, "batch %" PRIu64, sequence);
        return find_fault(walk->verdict, fault, journal->detail);
    }
    if (!check_header(walk, &header)) return false;
    if (header.kind == BATCH_ENTRIES && !check_entries(walk, body, self, on_entry)) return false;
    ++walk->batches;
    walk->bytes += body.length;
    return true;
}

/* Genesis, then whatever comes first. A server may cut between the question and the reading. */
static bool take_first(struct walk *walk, void *self, walk_entry *on_entry)
{
    struct batch_header header;
    struct bytes body;
    uint64_t newest = 0;
    do {
        const enum journal_fault fault =
            journal_sqlite_find(walk->journal, 2, &walk->first, &newest);
        if (fault != JOURNAL_OK) return find_fault(walk->verdict, fault, walk->journal->detail);
    } while (walk->first > 2 && walk->journal->calls->read(walk->journal, walk->first, &header,
                                                           &body) == JOURNAL_READ_FAILED);
    return take_batch(walk, 1, self, on_entry);
}

static void hash_of_cut(const struct journal_cut *cut, struct journal_hash *hash_out)
{
    for (unsigned i = 0; i < JOURNAL_HASH_BYTES; ++i)
        hash_out->byte[i] = (uint8_t)(cut->before[i / 8] >> (8 * (i % 8)));
}

/* The newest seal covers all that went, and names the very batch before the first that had to stay:
 * from there back to the oldest that is left, each names the one before. */
static bool check_cut(struct walk *walk)
{
    struct batch_header header;
    struct bytes body;
    struct journal_hash before;
    if (walk->first <= 2) return true;
    if (walk->cut.first < walk->first) {
        verdict_place(walk->verdict, "batches 2 to %" PRIu64, walk->first - 1);
        verdict_expected(walk->verdict, "a seal that says they were cut");
        if (walk->cut.first == 0)
            verdict_found(walk->verdict, "no seal");
        else
            verdict_found(walk->verdict, "the newest says that the journal begins at %" PRIu64,
                          walk->cut.first);
        return verdict_find(walk->verdict, JOURNAL_FILE, "missing", ADVICE_RESTORE);
    }
    const enum journal_fault fault =
        walk->journal->calls->read(walk->journal, walk->cut.first, &header, &body);
    if (fault == JOURNAL_READ_FAILED && walk->is_served) return true; /* cut by a newer seal */
    if (fault != JOURNAL_OK) return find_fault(walk->verdict, fault, walk->journal->detail);
    hash_of_cut(&walk->cut, &before);
    if (memcmp(before.byte, header.previous.byte, JOURNAL_HASH_BYTES) == 0) return true;
    verdict_place(walk->verdict, "batch %" PRIu64, walk->cut.first);
    return verdict_find(walk->verdict, JOURNAL_FILE,
                        "it does not follow the batch that the seal says was cut before it",
                        ADVICE_RESTORE);
}

bool walk_run(struct walk *walk, void *self, walk_entry *on_entry, walk_batch *on_batch)
{
    if (!take_first(walk, self, on_entry)) return false;
    if (on_batch != NULL && !on_batch(self, &walk->header)) return false;
    for (uint64_t sequence = walk->first; sequence != 0 && sequence <= walk->newest; ++sequence) {
        if (sequence % BATCHES_PER_PROGRESS == 0)
            walk->parts->progress(walk->parts->self, "batches", sequence, walk->newest);
        if (!take_batch(walk, sequence, self, on_entry)) return false;
        if (on_batch != NULL && !on_batch(self, &walk->header)) return false;
    }
    return check_cut(walk);
}
