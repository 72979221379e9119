#include "engine/rate.h"

static void rate_refill(struct rate_slot *slot, uint32_t ticks, int64_t to)
{
    ENSURE(to >= slot->at);
    const uint128 parts = (uint128)slot->limit * (uint64_t)(to - slot->at) + slot->part;
    const uint128 tokens = number_divide(parts, (uint64_t)slot->per_ms * ticks, &slot->part);
    const int128 level = (int128)slot->level + (int128)tokens;
    slot->at = to;
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

static int64_t latest(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static bool has_shape(const struct rate_slot *slot, struct rate_shape shape)
{
    return slot->limit == shape.limit && slot->burst == shape.burst && slot->per_ms == shape.per_ms;
}

void rate_scale(struct rate_slot *slot, uint32_t from_ticks, uint32_t to_ticks)
{
    slot->part = slot->part * to_ticks / from_ticks;
    slot->at = slot->at * to_ticks / from_ticks;
}

/* A bucket of another clock or shape: both of its own count until the new ones came into force, or
 * as soon after it as both clocks can be told. */
SELDOM static void rate_hand_over(struct rate_slot *slot, const struct pace_clock *own,
                                  const struct rate_terms *terms)
{
    const struct pace_clock *clock = terms->clock;
    const bool same_clock =
        own == clock || (own->pool == clock->pool && own->standing == clock->standing);
    if (same_clock && has_shape(slot, terms->shape)) return;
    int64_t over_ms = terms->changed_ms;
    if (!same_clock) over_ms = latest(over_ms, latest(own->since_ms, clock->since_ms));
    if (over_ms > terms->now_ms) over_ms = terms->now_ms;
    const int64_t over = pace_at(own, over_ms);
    if (over > slot->at) rate_refill(slot, own->ticks, over);
    if (!same_clock) {
        rate_scale(slot, own->ticks, clock->ticks);
        slot->at = pace_at(clock, over_ms);
    }
    rate_reshape(slot, terms->shape);
}

void rate_at(const struct rate_slot *slot, const struct pace_clock *own, uint32_t ticks,
             const struct rate_terms *terms, struct rate_slot *now_out)
{
    const int64_t now = pace_at(terms->clock, terms->now_ms);
    if (slot == NULL) {
        *now_out = (struct rate_slot){
            .level = (int64_t)terms->shape.burst,
            .limit = terms->shape.limit,
            .burst = terms->shape.burst,
            .per_ms = terms->shape.per_ms,
            .at = now,
        };
        return;
    }
    *now_out = *slot;
    if (ticks != own->ticks) rate_scale(now_out, ticks, own->ticks);
    if (own != terms->clock || !has_shape(now_out, terms->shape))
        rate_hand_over(now_out, own, terms);
    rate_refill(now_out, terms->clock->ticks, now);
}

bool rate_would_hold(const struct rate_slot *slot, const struct pace_clock *own, uint32_t ticks,
                     const struct rate_terms *terms, uint32_t speed, uint64_t tokens)
{
    const struct pace_clock *clock = terms->clock;
    struct rate_slot then = *slot;
    if (ticks != own->ticks) rate_scale(&then, ticks, own->ticks);
    rate_hand_over(&then, own, terms);
    if (then.at < clock->base) rate_refill(&then, clock->ticks, clock->base);
    int64_t from_ms = clock->since_ms;
    if (clock->speed != 0) from_ms += (then.at - clock->base) / clock->speed;
    if (from_ms > terms->now_ms) from_ms = terms->now_ms;
    rate_refill(&then, clock->ticks, then.at + speed * (terms->now_ms - from_ms));
    return then.level >= (int64_t)tokens;
}

int64_t rate_wait_ms(const struct rate_slot *slot, const struct pace_clock *clock, uint64_t tokens)
{
    if (tokens > slot->burst) return INSTANT_NEVER;
    if (slot->level >= (int64_t)tokens) return 0;
    if (clock->speed == 0) return INSTANT_NEVER;
    const uint128 token = (uint128)(uint64_t)slot->per_ms * clock->ticks;
    const uint128 missing = (uint128)((int128)tokens - slot->level) * token - slot->part;
    uint128 wait_ms = number_divide_up(missing, slot->limit);
    if (clock->speed != 1) wait_ms = number_divide_up(wait_ms, clock->speed);
    return wait_ms > (uint128)INSTANT_MS_MAX ? INSTANT_NEVER : (int64_t)wait_ms;
}

int64_t rate_full_at(const struct rate_slot *slot, const struct pace_clock *clock, int64_t now_ms)
{
    const int64_t wait_ms = rate_wait_ms(slot, clock, slot->burst);
    return wait_ms > INSTANT_MS_MAX - now_ms ? 0 : now_ms + wait_ms;
}

bool rate_is_full(const struct rate_slot *slot, uint32_t ticks, int64_t at)
{
    struct rate_slot then = *slot;
    rate_refill(&then, ticks, at);
    return then.level >= (int64_t)slot->burst;
}
