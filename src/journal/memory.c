/*
 * memory.c: the journal's twin in memory, for tests and the simulator: the same chain, the same
 * ends, and an end of the next append that can be chosen.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/core.h"
#include "journal/journal.h"

struct row {
    struct batch_header header;
    uint8_t *body;
    size_t length;
};

struct memory {
    struct journal_core core; /* first: the one is the other */
    struct row *rows;         /* rows[0] is batch 1 */
    size_t rows_used;
    size_t rows_size;
    uint64_t first; /* the oldest row behind genesis */
    bool fails_next;
    enum append_result next_result;
    bool next_is_kept;
};

static void keep(struct memory *memory, const struct batch_header *header, struct bytes body)
{
    if (memory->rows_used == memory->rows_size) {
        memory->rows_size = memory->rows_size == 0 ? 16 : 2 * memory->rows_size;
        memory->rows = realloc(memory->rows, memory->rows_size * sizeof *memory->rows);
        ENSURE(memory->rows != NULL);
    }
    struct row *row = &memory->rows[memory->rows_used++];
    *row = (struct row){.header = *header, .body = malloc(body.length), .length = body.length};
    ENSURE(row->body != NULL);
    memcpy(row->body, body.at, body.length);
}

/* Everything between genesis and that batch. */
static void cut(struct memory *memory, uint64_t first)
{
    for (uint64_t sequence = memory->first; sequence < first; sequence++) {
        struct row *row = &memory->rows[sequence - 1];
        free(row->body);
        *row = (struct row){0};
    }
    memory->first = first;
}

static enum append_result append_finish(struct journal *journal)
{
    struct memory *memory = (struct memory *)journal;
    enum append_result result = APPEND_NONE;
    if (core_append_is_pending(&memory->core)) {
        bool is_kept = true;
        result = APPEND_COMMITTED;
        if (memory->fails_next) {
            result = memory->next_result;
            is_kept = memory->next_is_kept;
            memory->fails_next = false;
        }
        if (result == APPEND_NONE) return APPEND_NONE;
        if (is_kept) {
            keep(memory, &memory->core.pending, memory->core.pending_body);
            cut(memory, memory->core.first_after);
        }
    }
    return core_append_end(&memory->core, result);
}

static enum journal_fault read_row(struct journal *journal, uint64_t sequence,
                                   struct batch_header *header_out, struct bytes *body_out)
{
    struct memory *memory = (struct memory *)journal;
    if (sequence == 0 || sequence > memory->rows_used)
        return core_refuse(&memory->core, JOURNAL_READ_FAILED,
                           "there is no batch %" PRIu64 " in the journal", sequence);
    if (sequence >= 2 && sequence < memory->first)
        return core_refuse(&memory->core, JOURNAL_CUT,
                           "batch %" PRIu64 " was cut: the journal begins at %" PRIu64, sequence,
                           memory->first);
    const struct row *row = &memory->rows[sequence - 1];
    const struct bytes body = {row->body, row->length};
    const enum journal_fault fault = core_check(&memory->core, sequence, &row->header, body);
    if (fault != JOURNAL_OK) return fault;
    *header_out = row->header;
    *body_out = body;
    return JOURNAL_OK;
}

static void close_all(struct journal *journal)
{
    struct memory *memory = (struct memory *)journal;
    for (size_t at = 0; at < memory->rows_used; at++)
        free(memory->rows[at].body);
    free(memory->rows);
    chain_end(&memory->core.chain);
    free(memory);
}

struct journal *journal_memory_open(struct hash_key genesis_key, uint64_t writer)
{
    static const struct journal_calls CALLS = {
        .append_start = core_append_start,
        .append_finish = append_finish,
        .keep_from = core_keep_from,
        .read = read_row,
        .close = close_all,
    };
    struct memory *memory = calloc(1, sizeof *memory);
    ENSURE(memory != NULL);
    struct journal_core *core = &memory->core;
    ENSURE(chain_start(&core->chain));
    core->journal.calls = &CALLS;
    core->journal.key = genesis_key;
    core->journal.is_new = true;
    core->journal.first = memory->first = 2;
    core->epoch = 1;
    core->writer = writer;

    const struct genesis genesis = core_genesis(&core->chain, genesis_key, writer);
    keep(memory, &genesis.header, (struct bytes){genesis.body, sizeof genesis.body});
    core->genesis_hash = genesis.header.hash;
    core->journal.tip = (struct journal_tip){.sequence = 1, .hash = genesis.header.hash};
    return &core->journal;
}

void journal_memory_fail_next(struct journal *journal, enum append_result result,
                              bool batch_is_kept)
{
    struct memory *memory = (struct memory *)journal;
    memory->fails_next = true;
    memory->next_result = result;
    memory->next_is_kept = batch_is_kept;
}

void journal_memory_reopen(struct journal *journal, uint64_t writer)
{
    struct memory *memory = (struct memory *)journal;
    struct journal_core *core = &memory->core;
    const struct batch_header *newest = &memory->rows[memory->rows_used - 1].header;
    core->journal.tip = (struct journal_tip){
        .sequence = newest->sequence,
        .hash = newest->hash,
        .last_ms = newest->last_ms,
    };
    core->journal.first = memory->first;
    core->keep_from = 0;
    core->journal.is_new = false;
    core->journal.detail[0] = '\0';
    core->writer = writer;
    core->is_pending = false;
    core->end = APPEND_NONE;
    core->read_sequence = 0;
    memory->fails_next = false;
}
