/*
 * snapshots.c: see snapshots.h.
 */
#include "server/snapshots.h"

#include <string.h>

enum {
    IDLE_MS = 1000,
    HAND_BYTES = 256 << 10, /* a chunk is handed over when it has so many */
    TRIES_APART = 8 /* a snapshot that failed is tried again after so much of the interval */
};

#define ALIGNED(bytes) (((uint64_t)(bytes) + 63) / 64 * 64)

uint64_t snapshots_bytes(void)
{
    return ALIGNED(sizeof(struct snapshots)) + SNAPSHOT_CHUNKS * SNAPSHOT_PIECE_BYTES_MAX;
}

struct snapshots *snapshots_over(void *block, struct snapshots_parts parts)
{
    struct snapshots *snapshots = block;
    uint8_t *at = (uint8_t *)block + ALIGNED(sizeof(*snapshots));
    snapshots->parts = parts;
    snapshots->since_bytes = parts.since_bytes;
    snapshots->wanted_at = parts.every_bytes;
    snapshots->news.sequence = parts.newest;
    for (uint32_t i = 0; i < SNAPSHOT_CHUNKS; ++i) {
        snapshots->chunks[i] = buffer_over(at, SNAPSHOT_PIECE_BYTES_MAX);
        at += SNAPSHOT_PIECE_BYTES_MAX;
    }
    ring_start(&snapshots->orders, snapshots->order_items, sizeof(snapshots->order_items[0]),
               SNAPSHOT_ORDERS_MAX);
    ring_start(&snapshots->ends, snapshots->end_items, sizeof(snapshots->end_items[0]),
               SNAPSHOT_ORDERS_MAX);
    return snapshots;
}

bool snapshots_start_thread(struct snapshots *snapshots)
{
    snapshots->has_thread =
        runner_start(&snapshots->runner, "weir-snapshot", snapshots_step, snapshots, IDLE_MS);
    return snapshots->has_thread;
}

void snapshots_stop(struct snapshots *snapshots)
{
    if (snapshots->has_thread) runner_stop(&snapshots->runner);
    snapshots->has_thread = false;
    engine_image_stop(snapshots->parts.engine);
    if (snapshots->writer != NULL) snapshot_abandon(snapshots->writer);
    snapshots->writer = NULL;
}

uint64_t snapshots_kept(const struct snapshots *snapshots)
{
    return snapshots->parts.older;
}

/* ---- orders */

static void order(struct snapshots *snapshots, const struct snapshot_order *order)
{
    const bool is_put = ring_put(&snapshots->orders, order);
    ENSURE(is_put);
    ++snapshots->orders_open;
    if (snapshots->has_thread) runner_wake(&snapshots->runner);
}

static void hand_over(struct snapshots *snapshots, uint32_t piece_kind)
{
    const uint32_t chunk = snapshots->filling;
    snapshots->is_lent[chunk] = true;
    order(snapshots, &(struct snapshot_order){.kind = SNAPSHOT_ORDER_PIECE,
                                              .piece_kind = piece_kind,
                                              .chunk = chunk,
                                              .length = snapshots->chunks[chunk].used});
}

/* A chunk that nobody has, to be filled next; SNAPSHOT_CHUNKS: all are lent. */
static uint32_t free_chunk(const struct snapshots *snapshots)
{
    uint32_t chunk = 0;
    while (chunk < SNAPSHOT_CHUNKS && (snapshots->is_lent[chunk] || chunk == snapshots->filling))
        ++chunk;
    return chunk;
}

static void fill(struct snapshots *snapshots, uint32_t chunk)
{
    snapshots->filling = chunk;
    snapshots->chunks[chunk].used = 0;
    snapshots->chunks[chunk].overflowed = false;
}

static void tell(const struct snapshots *snapshots, enum log_level level, const char *event)
{
    struct log_line line = log_begin(level, event);
    log_number(&line, "sequence", (int64_t)snapshots->sequence);
    log_number(&line, "bytes", (int64_t)snapshots->file_bytes);
    log_number(&line, "ms", (clock_monotonic_ns() - snapshots->began_ns) / 1000000);
    log_end(&line);
}

/* Decisions go on; what the thread was asked is waited for, and then it rests. */
static void give_up(struct snapshots *snapshots, const char *failure)
{
    engine_image_stop(snapshots->parts.engine);
    if (snapshots->stage == SNAPSHOTS_GIVE_UP) return;
    snapshots->stage = SNAPSHOTS_GIVE_UP;
    snapshots->news.failures++;
    snapshots->totals.failed++;
    snapshots->news.failed_sequence = snapshots->sequence;
    snapshots->news.failed_at_ms = snapshots->at_ms;
    snapshots->news.failure = failure;
    snapshots->wanted_at = snapshots->since_bytes + snapshots->parts.every_bytes / TRIES_APART + 1;
    tell(snapshots, LOG_ERROR, "snapshot_given_up");
}

/* ---- the mark */

/* The policy that the batches before the mark left in force, since their rows may go; and which
 * list of key files has the keys that left the state. */
static void put_policy(const struct snapshots_parts *parts, struct buffer *out)
{
    const struct policies *policies = parts->policies;
    buffer_put_bytes(out, policies->current->policy == NULL ? BYTES_NONE : policies->current->yaml);
    policies_put_versions(policies, out);
    buffer_put_unsigned(out, parts->keys == NULL ? 0 : keys_status(parts->keys).generation);
}

static void begin(struct snapshots *snapshots, uint64_t sequence, int64_t now_ms)
{
    snapshots->stage = SNAPSHOTS_WALK;
    snapshots->sequence = sequence;
    snapshots->is_durable = false;
    snapshots->since_bytes = 0;
    snapshots->file_bytes = 0;
    snapshots->began_ns = clock_monotonic_ns();
    snapshots->at_ms = now_ms;
    order(snapshots,
          &(struct snapshot_order){
              .kind = SNAPSHOT_ORDER_CREATE,
              .header = {
                         .genesis = snapshots->parts.genesis, .sequence = sequence, .at_ms = now_ms}
    });
    fill(snapshots, 0);
    put_policy(&snapshots->parts, &snapshots->chunks[0]);
    hand_over(snapshots, SNAPSHOT_PIECE_POLICY);
    fill(snapshots, free_chunk(snapshots));
    engine_image_begin(snapshots->parts.engine, now_ms, &snapshots->chunks[snapshots->filling]);
}

void snapshots_note_sealed(struct snapshots *snapshots, uint64_t sequence, uint64_t bytes,
                           int64_t now_ms)
{
    snapshots->since_bytes += bytes;
    if (snapshots->stage == SNAPSHOTS_REST && snapshots->since_bytes >= snapshots->wanted_at)
        begin(snapshots, sequence, now_ms);
}

void snapshots_note_durable(struct snapshots *snapshots, uint64_t sequence,
                            struct journal_hash hash)
{
    if (snapshots->stage == SNAPSHOTS_REST || sequence != snapshots->sequence) return;
    snapshots->is_durable = true;
    snapshots->batch = hash;
}

/* ---- the turn */

static void take_finished(struct snapshots *snapshots, uint64_t bytes)
{
    snapshots->stage = SNAPSHOTS_REST;
    snapshots->file_bytes = bytes;
    /* What is written to shorten a restart must not be more than what it saves reading. */
    snapshots->wanted_at =
        bytes > snapshots->parts.every_bytes ? bytes : snapshots->parts.every_bytes;
    snapshots->parts.older = snapshots->parts.newest;
    snapshots->parts.newest = snapshots->sequence;
    snapshots->news = (struct snapshots_news){
        .sequence = snapshots->sequence, .at_ms = snapshots->at_ms, .bytes = bytes};
    snapshots->totals.made++;
    snapshots->totals.took_ns = clock_monotonic_ns() - snapshots->began_ns;
    tell(snapshots, LOG_INFO, "snapshot");
}

static bool take_ends(struct snapshots *snapshots)
{
    bool has_worked = false;
    struct snapshot_end end;
    while (ring_take(&snapshots->ends, &end)) {
        has_worked = true;
        --snapshots->orders_open;
        if (end.kind == SNAPSHOT_ORDER_PIECE) snapshots->is_lent[end.chunk] = false;
        if (end.fault != SNAPSHOT_OK)
            give_up(snapshots, snapshot_fault_text(end.fault));
        else if (end.kind == SNAPSHOT_ORDER_FINISH)
            take_finished(snapshots, end.bytes);
    }
    if (snapshots->stage == SNAPSHOTS_GIVE_UP && snapshots->orders_open == 0) {
        snapshots->stage = SNAPSHOTS_REST;
        has_worked = true;
    }
    return has_worked;
}

static void abandon(struct snapshots *snapshots)
{
    give_up(snapshots, "the state changed faster than the image could be written");
    order(snapshots, &(struct snapshot_order){.kind = SNAPSHOT_ORDER_ABANDON});
}

/* The walker rests while the thread has all other chunks and this one is full enough; what apply
 * keeps still has room behind it. */
static bool can_walk(const struct snapshots *snapshots)
{
    return snapshots->chunks[snapshots->filling].used < HAND_BYTES ||
           free_chunk(snapshots) < SNAPSHOT_CHUNKS;
}

static bool walk(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->parts.engine;
    struct buffer *chunk = &snapshots->chunks[snapshots->filling];
    const bool can = can_walk(snapshots);
    const bool is_whole = can && engine_image_step(engine, SNAPSHOT_STEP_BYTES);
    if (chunk->overflowed) {
        abandon(snapshots);
        return true;
    }
    if (is_whole) {
        hand_over(snapshots, SNAPSHOT_PIECE_IMAGE);
        snapshots->stage = SNAPSHOTS_WAIT;
        return true;
    }
    const uint32_t next = free_chunk(snapshots);
    if (chunk->used >= HAND_BYTES && next < SNAPSHOT_CHUNKS) {
        hand_over(snapshots, SNAPSHOT_PIECE_IMAGE);
        fill(snapshots, next);
        engine_image_redirect(engine, &snapshots->chunks[next]);
    }
    return can;
}

bool snapshots_turn(struct snapshots *snapshots)
{
    bool has_worked = take_ends(snapshots);
    if (snapshots->stage == SNAPSHOTS_WALK) has_worked |= walk(snapshots);
    if (snapshots->stage == SNAPSHOTS_WAIT && snapshots->is_durable) {
        snapshots->stage = SNAPSHOTS_FINISH;
        order(snapshots, &(struct snapshot_order){.kind = SNAPSHOT_ORDER_FINISH,
                                                  .header.sequence = snapshots->sequence,
                                                  .batch = snapshots->batch,
                                                  .older = snapshots->parts.newest});
        has_worked = true;
    }
    return has_worked;
}

bool snapshots_has_work(const struct snapshots *snapshots)
{
    return snapshots->stage == SNAPSHOTS_WALK && can_walk(snapshots);
}

/* ---- the thread */

static enum snapshot_fault carry_out(struct snapshots *snapshots,
                                     const struct snapshot_order *order, uint64_t *bytes_out)
{
    struct snapshot_detail detail = {""};
    struct snapshot_writer *writer = snapshots->writer;
    enum snapshot_fault fault = SNAPSHOT_OK;
    switch (order->kind) {
    case SNAPSHOT_ORDER_CREATE:
        fault =
            snapshot_create(snapshots->parts.directory, order->header, &snapshots->writer, &detail);
        break;
    case SNAPSHOT_ORDER_PIECE:
        if (writer == NULL) return SNAPSHOT_UNWRITABLE;
        fault = snapshot_put(writer, order->piece_kind,
                             (struct bytes){snapshots->chunks[order->chunk].at, order->length},
                             &detail);
        if (fault != SNAPSHOT_OK) snapshots->writer = NULL;
        break;
    case SNAPSHOT_ORDER_FINISH:
        if (writer == NULL) return SNAPSHOT_UNWRITABLE;
        snapshots->writer = NULL;
        fault = snapshot_finish(writer, order->batch, bytes_out, &detail);
        if (fault == SNAPSHOT_OK)
            snapshot_sweep(snapshots->parts.directory, order->header.sequence, order->older);
        break;
    case SNAPSHOT_ORDER_ABANDON:
        if (writer != NULL) snapshot_abandon(writer);
        snapshots->writer = NULL;
        break;
    }
    if (fault == SNAPSHOT_OK) return fault;
    struct log_line line = log_begin(LOG_ERROR, "snapshot_failed");
    log_text(&line, "fault", snapshot_fault_text(fault));
    log_text(&line, "detail", detail.text);
    log_end(&line);
    return fault;
}

bool snapshots_step(void *self)
{
    struct snapshots *snapshots = self;
    struct snapshot_order order;
    if (!ring_take(&snapshots->orders, &order)) return false;
    struct snapshot_end end = {.kind = order.kind, .chunk = order.chunk};
    end.fault = carry_out(snapshots, &order, &end.bytes);
    const bool is_put = ring_put(&snapshots->ends, &end);
    ENSURE(is_put);
    if (snapshots->parts.loop_wake != NULL) wake_signal(snapshots->parts.loop_wake);
    return true;
}
