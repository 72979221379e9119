#include "engine/rate.h"

static void rate_refill(struct rate_slot *slot, int64_t to_ms)
{
    ENSURE(to_ms >= slot->at_ms);
    const uint128 parts = (uint128)slot->limit * (uint64_t)(to_ms - slot->at_ms) + slot->part;
    const uint128 tokens = number_divide(parts, (uint64_t)slot->per_ms, &slot->part);
    const int128 level = (int128)slot->level + (int128)tokens;
    slot->at_ms = to_ms;
    if (level >= (int128)slot->burst) {
        slot->level = (int64_t)slot->burst;
        slot->part = 0;
    } else {
        slot->level = (int64_t)level;
    }
}

/* The tokens stay, clipped to the new burst (SEMANTICS W3). */
static void rate_reshape(struct rate_slot *slot, struct rate_shape shape)
{
    if (slot->level >= (int64_t)slot->burst) slot->level = INT64_MAX; /* full is full */
    slot->part = (uint64_t)((uint128)slot->part * (uint64_t)shape.per_ms / (uint64_t)slot->per_ms);
    slot->limit = shape.limit;
    slot->burst = shape.burst;
    slot->per_ms = shape.per_ms;
    if (slot->level >= (int64_t)slot->burst) {
        slot->level = (int64_t)slot->burst;
        slot->part = 0;
    }
}

void rate_at(const struct rate_slot *slot, struct rate_shape shape, int64_t changed_ms,
             int64_t now_ms, struct rate_slot *now_out)
{
    if (slot == NULL) {
        *now_out = (struct rate_slot){
            .level = (int64_t)shape.burst,
            .limit = shape.limit,
            .burst = shape.burst,
            .per_ms = shape.per_ms,
            .at_ms = now_ms,
        };
        return;
    }
    *now_out = *slot;
    const bool same =
        slot->limit == shape.limit && slot->burst == shape.burst && slot->per_ms == shape.per_ms;
    if (!same) {
        if (changed_ms > slot->at_ms)
            rate_refill(now_out, changed_ms < now_ms ? changed_ms : now_ms);
        rate_reshape(now_out, shape);
    }
    rate_refill(now_out, now_ms);
}

int64_t rate_wait_ms(const struct rate_slot *slot, uint64_t tokens)
{
    if (tokens > slot->burst) return INSTANT_NEVER;
    if (slot->level >= (int64_t)tokens) return 0;
    const uint128 missing =
        (uint128)((int128)tokens - slot->level) * (uint64_t)slot->per_ms - slot->part;
    const uint128 wait_ms = number_divide_up(missing, slot->limit);
    return wait_ms > (uint128)INSTANT_MS_MAX ? INSTANT_NEVER : (int64_t)wait_ms;
}

int64_t rate_full_at(const struct rate_slot *slot)
{
    const int64_t wait_ms = rate_wait_ms(slot, slot->burst);
    return wait_ms > INSTANT_MS_MAX - slot->at_ms ? 0 : slot->at_ms + wait_ms;
}

bool rate_is_full(const struct rate_slot *slot, int64_t changed_ms, int64_t now_ms)
{
    /* At the very same millisecond either may have come first: then the slot is kept. */
    const int64_t until_ms = changed_ms >= slot->at_ms && changed_ms < now_ms ? changed_ms : now_ms;
    struct rate_slot then = *slot;
    rate_refill(&then, until_ms);
    return then.level >= (int64_t)slot->burst;
}
