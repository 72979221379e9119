/*
 * filing.c: see filing.h.
 */
#include "server/filing.h"

enum { PERIODS = 24, LOOK_MS = MINUTE_MS };

uint32_t filing_piece(uint32_t keys_max)
{
    const uint32_t share = keys_max / 16;
    return share < 4096 ? 4096 : share > (1u << 19) ? 1u << 19 : share;
}

void filing_start(struct filing *filing, struct engine *engine, struct keys *keys, uint32_t piece,
                  struct filing_time time)
{
    *filing = (struct filing){.engine = engine,
                              .keys = keys,
                              .piece = piece,
                              .mark_ms = time.now_ms,
                              .mark_position = time.durable_before,
                              .looked_ms = INT64_MIN / 2,
                              .pressed_ms = INT64_MIN / 2};
}

static int64_t period_ms(int64_t retention_ms)
{
    const int64_t share = retention_ms / PERIODS;
    return share < HOUR_MS ? HOUR_MS : share;
}

/* Room is short, and trying again may help: time has passed, or many keys came or went. */
static bool is_pressed(struct filing *filing, int64_t now_ms)
{
    const struct engine_counts counts = engine_counts(filing->engine);
    if ((uint64_t)counts.keys * 4 < (uint64_t)counts.keys_max * 3) return false;
    const uint32_t moved = counts.keys > filing->pressed_at ? counts.keys - filing->pressed_at
                                                            : filing->pressed_at - counts.keys;
    if (moved < counts.keys_max / 64 && now_ms - filing->pressed_ms < LOOK_MS) return false;
    filing->pressed_ms = now_ms;
    filing->pressed_at = counts.keys;
    return true;
}

static bool walk_begins(struct filing *filing, enum filing_stage stage)
{
    filing->stage = stage;
    filing->at = 1;
    return true;
}

static bool begin(struct filing *filing, struct filing_time time, uint64_t before)
{
    filing->mark_ms = time.now_ms;
    filing->mark_position = time.durable_before;
    filing->wanted =
        (struct keys_wanted){.now_ms = time.now_ms, .before = before, .last = UINT64_MAX};
    filing->count = 0;
    return walk_begins(filing, FILING_COUNT);
}

static bool idle(struct filing *filing, struct filing_time time, struct key_order *order_out,
                 bool *has_order_out)
{
    if (time.now_ms - filing->looked_ms >= LOOK_MS) {
        if (keys_hide_over(filing->keys, time.now_ms)) {
            *order_out = (struct key_order){.kind = KEY_ORDER_DROP};
            *has_order_out = true;
            filing->stage = FILING_DROP;
            return false;
        }
        filing->looked_ms = time.now_ms;
    }
    if (time.now_ms - filing->mark_ms >= period_ms(time.retention_ms))
        return begin(filing, time, filing->mark_position);
    if (is_pressed(filing, time.now_ms)) return begin(filing, time, time.durable_before);
    return false;
}

/* Where the walk is after one piece; true: it is through. */
static bool walk(struct filing *filing, uint32_t records)
{
    filing->at += records;
    return filing->at > engine_key_records(filing->engine);
}

static void slice_begins(struct filing *filing)
{
    const uint64_t width = UINT64_MAX / filing->slices;
    filing->wanted.first = filing->slice * width + (filing->slice > 0);
    filing->wanted.last =
        filing->slice + 1 == filing->slices ? UINT64_MAX : (filing->slice + 1) * width;
    filing->listed = 0;
    (void)walk_begins(filing, FILING_LIST);
}

static void counted(struct filing *filing, struct filing_time time)
{
    filing->stage = FILING_IDLE;
    if (filing->count == 0) return;
    /* Keys whose holds end meanwhile come along. */
    filing->room = filing->count + filing->count / 64 + 64;
    if (!keys_plan(filing->keys, filing->room, time.now_ms, filing->wanted.before)) {
        if (!filing->is_short) log_event(LOG_WARN, "key_filters_full");
        filing->is_short = true;
        return;
    }
    filing->is_short = false;
    filing->slices = filing->count / (filing->piece - filing->piece / 8) + 1;
    filing->slice = 0;
    slice_begins(filing);
}

static bool count(struct filing *filing, struct filing_time time)
{
    filing->count += engine_keys_count(filing->engine, &filing->wanted, filing->at, FILING_RECORDS);
    if (walk(filing, FILING_RECORDS)) counted(filing, time);
    return filing->stage != FILING_IDLE;
}

static bool list(struct filing *filing, struct key_order *order_out, bool *has_order_out)
{
    const uint64_t left = filing->piece - filing->listed;
    const uint32_t room = (uint32_t)(left < filing->room ? left : filing->room);
    const uint32_t taken =
        engine_keys_list(filing->engine, &filing->wanted, filing->at, FILING_RECORDS,
                         keys_piece(filing->keys) + filing->listed, room);
    filing->listed += taken;
    filing->room -= taken;
    if (!walk(filing, FILING_RECORDS)) return true;
    *order_out = (struct key_order){.kind = KEY_ORDER_WRITE,
                                    .count = filing->listed,
                                    .first = filing->wanted.first,
                                    .last = filing->wanted.last,
                                    .is_last = filing->slice + 1 == filing->slices};
    *has_order_out = true;
    filing->stage = FILING_WRITE;
    return false;
}

static bool forget(struct filing *filing)
{
    engine_keys_forget(filing->engine, filing->at, FILING_FORGOTTEN);
    if (walk(filing, FILING_FORGOTTEN)) filing->stage = FILING_IDLE;
    return true;
}

bool filing_step(struct filing *filing, struct filing_time time, struct key_order *order_out,
                 bool *has_order_out)
{
    *has_order_out = false;
    switch (filing->stage) {
    case FILING_IDLE:
        return idle(filing, time, order_out, has_order_out);
    case FILING_COUNT:
        return count(filing, time);
    case FILING_LIST:
        return list(filing, order_out, has_order_out);
    case FILING_FORGET:
        return forget(filing);
    case FILING_WRITE:
    case FILING_DROP:
        return false;
    }
    ENSURE(false);
    return false;
}

static void failed(struct filing *filing, int64_t now_ms)
{
    keys_write_abandon(filing->keys);
    filing->stage = FILING_IDLE;
    filing->pressed_ms = filing->looked_ms = now_ms;
}

void filing_end(struct filing *filing, const struct key_end *end, int64_t now_ms)
{
    switch (end->kind) {
    case KEY_ORDER_WRITE:
        ENSURE(filing->stage == FILING_WRITE);
        if (end->fault != KEY_FILE_OK) {
            failed(filing, now_ms);
            return;
        }
        if (++filing->slice < filing->slices) {
            slice_begins(filing);
            return;
        }
        keys_show(filing->keys);
        (void)walk_begins(filing, FILING_FORGET);
        return;
    case KEY_ORDER_DROP:
        ENSURE(filing->stage == FILING_DROP);
        keys_dropped(filing->keys);
        filing->stage = FILING_IDLE;
        return;
    case KEY_ORDER_LOOK:
        break;
    }
    ENSURE(false);
}
