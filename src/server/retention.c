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

const char *retained_by_text(enum retained_by by)
{
    static const char *const texts[] = {
        [RETAINED_BY_NOTHING] = "nothing",
        [RETAINED_BY_JOURNAL] = "journal",
        [RETAINED_BY_SETTLEMENT] = "settlement",
        [RETAINED_BY_SNAPSHOT] = "snapshot",
        [RETAINED_BY_KEY_FILE] = "key_file",
        [RETAINED_BY_HOLD] = "hold",
        [RETAINED_BY_ENDED] = "ended_hold",
        [RETAINED_BY_KEY] = "key",
        [RETAINED_BY_AGE] = "age",
    };
    return texts[by];
}

static void lower(struct retention_bound *bound, uint64_t sequence, enum retained_by by)
{
    if (sequence < bound->sequence) *bound = (struct retention_bound){sequence, by};
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

/* By what all else needs, the state aside. */
static void lower_for_others(struct loop *loop, struct retention_bound *bound)
{
    const struct keys *keys = loop->parts.keys;
    lower(bound, loop->durable_sequence, RETAINED_BY_JOURNAL);
    lower(bound, loop->settled_sequence, RETAINED_BY_SETTLEMENT);
    lower(bound, loop->snapshot_kept, RETAINED_BY_SNAPSHOT);
    lower(bound, position_sequence(crowds_need(&loop->crowds, loop->settled_sequence)),
          RETAINED_BY_HOLD);
    if (keys != NULL)
        lower(bound, position_sequence(keys_status(keys).position_first), RETAINED_BY_KEY_FILE);
}

static void lower_for_state(struct retention_bound *bound, enum recall_by by, uint64_t position)
{
    static const enum retained_by retained_by[] = {[RECALL_BY_HOLD] = RETAINED_BY_HOLD,
                                                   [RECALL_BY_ENDED] = RETAINED_BY_ENDED,
                                                   [RECALL_BY_KEY] = RETAINED_BY_KEY};
    lower(bound, position_sequence(position), retained_by[by]);
}

/* False: too little may go, and that is how it stays until the next look. */
static bool is_worth_it(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    if (retention->bound.sequence >= first_kept(loop) + CUT_BATCHES_MIN) return true;
    retention->found = retention->bound;
    retention->stage = RETENTION_RESTS;
    return false;
}

static bool begin(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    if (loop->parts.receipts_for_ms == 0 || retention->seal_sequence != 0) return false;
    if (loop->durable_sequence < retention->look_at || loop->now_ms < retention->look_at_ms)
        return false;
    retention->look_at = loop->durable_sequence + LOOK_EVERY;
    retention->look_at_ms = loop->now_ms + pause_ms(loop->parts.receipts_for_ms);
    retention->bound = (struct retention_bound){.sequence = UINT64_MAX};
    lower_for_others(loop, &retention->bound);
    if (!is_worth_it(loop)) return false;
    retention->kind = RECALL_BY_HOLD;
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
    job->cut_last = loop->retention.bound.sequence;
    job->before_ms = loop->now_ms - loop->parts.receipts_for_ms;
    desk_order(loop->parts.desk, job);
    loop->retention.stage = RETENTION_WAITS;
    return true;
}

static bool walk(struct loop *loop)
{
    struct retention *retention = &loop->retention;
    const struct engine *engine = loop->parts.engine;
    lower_for_state(&retention->bound, retention->kind,
                    engine_recall_first(engine, retention->kind, retention->record, WALK_RECORDS));
    if (!is_worth_it(loop)) return true;
    retention->record += WALK_RECORDS;
    if (retention->record <= engine_recall_records(engine, retention->kind)) return true;
    if (retention->kind < RECALL_BY_KEY) {
        ++retention->kind;
        retention->record = 1;
        return true;
    }
    /* Keys that went to a file before the walk came to them. */
    lower_for_others(loop, &retention->bound);
    return ask_desk(loop);
}

void loop_take_cut(struct loop *loop, struct desk_job *job)
{
    struct retention *retention = &loop->retention;
    retention->cut = job->cut;
    if (job->result == DESK_FOUND) {
        lower(&retention->bound, job->cut.first, RETAINED_BY_AGE);
        retention->stage = RETENTION_SEALS;
        if (is_worth_it(loop)) retention->found = retention->bound;
    } else {
        retention->stage = RETENTION_RESTS;
    }
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
    struct log_line line = log_begin(LOG_INFO, "journal_cut");
    log_number(&line, "first", (int64_t)retention->cut.first);
    log_end(&line);
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
