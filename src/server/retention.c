/*
 * retention.c: see retention.h.
 */
#include "server/retention.h"

#include <string.h>

#include "server/loop_inner.h"

enum {
    LOOK_EVERY = 32,      /* batches */
    CUT_BATCHES_MIN = 16, /* fewer are not worth a seal */
    WALK_RECORDS = 4096   /* a step */
};

static uint64_t least(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* Where the journal begins, or soon will. */
static uint64_t first_kept(const struct loop *loop)
{
    const uint64_t first = engine_cut(loop->parts.engine).first;
    return first > 2 ? first : 2;
}

/* Between two looks, at least: they cost a walk through the state, and a seal. */
static int64_t pause_ms(int64_t receipts_for_ms)
{
    const int64_t share_ms = receipts_for_ms / 64;
    return share_ms < MINUTE_MS ? share_ms : MINUTE_MS;
}

/* The batch that all else needs, the state aside. */
static uint64_t bound_of_others(const struct loop *loop)
{
    const struct keys *keys = loop->parts.keys;
    uint64_t bound = least(loop->durable_sequence, loop->settled_sequence);
    bound = least(bound, loop->snapshot_kept);
    if (keys == NULL) return bound;
    return least(bound, position_sequence(keys_status(keys).position_first));
}

static bool begin(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    if (loop->parts.receipts_for_ms == 0 || retention->seal_sequence != 0) return false;
    if (loop->durable_sequence < retention->look_at || loop->now_ms < retention->look_at_ms)
        return false;
    retention->look_at = loop->durable_sequence + LOOK_EVERY;
    retention->look_at_ms = loop->now_ms + pause_ms(loop->parts.receipts_for_ms);
    retention->bound = bound_of_others(loop);
    if (retention->bound < first_kept(loop) + CUT_BATCHES_MIN) return false;
    retention->record = 1;
    retention->stage = RETENTION_WALKS;
    return true;
}

/* False: no job is free, the same again later. */
static bool ask_desk(struct loop *loop)
{
    struct desk_job *job = desk_take_job(loop->parts.desk);
    if (job == NULL) return false;
    job->kind = DESK_CUT;
    job->exchange = NULL;
    job->cut.first = first_kept(loop);
    job->cut_last = loop->retention.bound;
    job->before_ms = loop->now_ms - loop->parts.receipts_for_ms;
    desk_order(loop->parts.desk, job);
    loop->retention.stage = RETENTION_WAITS;
    return true;
}

static bool walk(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    const struct engine *engine = loop->parts.engine;
    if (retention->record <= engine_recall_records(engine)) {
        const uint64_t position = engine_recall_first(engine, retention->record, WALK_RECORDS);
        retention->bound = least(retention->bound, position_sequence(position));
        retention->record += WALK_RECORDS;
    }
    if (retention->bound < first_kept(loop) + CUT_BATCHES_MIN) {
        retention->stage = RETENTION_RESTS;
        return true;
    }
    if (retention->record <= engine_recall_records(engine)) return true;
    /* Keys that went to a file before the walk came to them. */
    retention->bound = least(retention->bound, bound_of_others(loop));
    return ask_desk(loop);
}

void loop_take_cut(struct loop *loop, struct desk_job *job)
{
    struct retention *retention = &loop->retention;
    const bool is_worth_it =
        job->result == DESK_FOUND && job->cut.first >= first_kept(loop) + CUT_BATCHES_MIN;
    retention->cut = job->cut;
    retention->stage = is_worth_it ? RETENTION_SEALS : RETENTION_RESTS;
    desk_give_job(loop->parts.desk, job);
}

static bool put_seal(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    struct command *command = &loop->due_command;
    if (!batch_has_room(loop->open)) return false;
    memset(command, 0, sizeof(*command));
    command->kind = COMMAND_SEAL;
    command->cut = retention->cut;
    loop_journal_seal(loop, command);
    retention->seal_sequence = loop->open->sequence;
    retention->stage = RETENTION_RESTS;
    return true;
}

bool loop_retain(struct loop *loop)
{
    switch (loop->retention.stage) {
    case RETENTION_RESTS:
        return begin(loop);
    case RETENTION_WALKS:
        return walk(loop);
    case RETENTION_WAITS:
        return false;
    case RETENTION_SEALS:
        return put_seal(loop);
    }
    return false;
}

void loop_note_durable_seal(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    if (retention->seal_sequence == 0 || loop->durable_sequence < retention->seal_sequence) return;
    retention->seal_sequence = 0;
    retention->keep_from = retention->cut.first;
}
