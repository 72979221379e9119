#include "engine/window.h"

static int64_t floor_divide(int64_t dividend, int64_t divisor)
{
    const int64_t quotient = dividend / divisor;
    return dividend % divisor < 0 ? quotient - 1 : quotient;
}

static struct window_span span_of_steps(int64_t step_ms, int64_t now_ms, int64_t anchor_ms)
{
    const int64_t start_ms = anchor_ms + floor_divide(now_ms - anchor_ms, step_ms) * step_ms;
    return (struct window_span){start_ms, start_ms + step_ms};
}

/* The n-th boundary is anchor + n months, always counted from the original (W5). */
static struct window_span span_of_months(int64_t now_ms, int64_t anchor_ms)
{
    const struct civil now = calendar_civil(now_ms);
    const struct civil anchor = calendar_civil(anchor_ms);
    int64_t n = ((int64_t)now.year - anchor.year) * 12 + (int64_t)now.month - (int64_t)anchor.month;
    while (calendar_add_months(anchor_ms, n) > now_ms)
        n--;
    while (calendar_add_months(anchor_ms, n + 1) <= now_ms)
        n++;
    return (struct window_span){calendar_add_months(anchor_ms, n),
                                calendar_add_months(anchor_ms, n + 1)};
}

static struct window_span span_of_calendar_month(int64_t now_ms)
{
    const int64_t start_ms = calendar_month_start(now_ms);
    return (struct window_span){start_ms, calendar_add_months(start_ms, 1)};
}

struct window_span window_opens(struct period period, int64_t now_ms, int64_t anchor_ms)
{
    const bool anchored = period.start == START_ANCHOR;
    switch (period.kind) {
    case PERIOD_DURATION:
        ENSURE(period.start == START_FIRST_USE);
        return (struct window_span){now_ms, now_ms + period.duration_ms};
    case PERIOD_HOUR:
        return span_of_steps(HOUR_MS, now_ms, anchored ? anchor_ms : 0);
    case PERIOD_DAY:
        return span_of_steps(DAY_MS, now_ms, anchored ? anchor_ms : 0);
    case PERIOD_WEEK:
        return span_of_steps(WEEK_MS, now_ms, anchored ? anchor_ms : calendar_week_start(now_ms));
    case PERIOD_MONTH:
        return anchored ? span_of_months(now_ms, anchor_ms) : span_of_calendar_month(now_ms);
    }
    ENSURE(false);
}

int64_t window_next_boundary(struct period period, int64_t now_ms, int64_t anchor_ms)
{
    return window_opens(period, now_ms, anchor_ms).end_ms;
}

/* Sliding: 60 or more slots of one resolution; a slot counts until its last possible draw is `per`
 * old, so the error is on the strict side and at most one resolution. */

int64_t sliding_resolution(int64_t per_ms)
{
    return per_ms / 60;
}

static int64_t sliding_over_at(int64_t slot, int64_t per_ms)
{
    const int64_t resolution_ms = sliding_resolution(per_ms);
    return (slot + 1) * resolution_ms - 1 + per_ms;
}

bool sliding_is_live(int64_t slot_start_ms, int64_t per_ms, int64_t now_ms)
{
    return now_ms < sliding_over_at(slot_start_ms / sliding_resolution(per_ms), per_ms);
}

static int64_t sliding_oldest(const struct ring *ring, int64_t per_ms, int64_t now_ms)
{
    int64_t slot = ring->newest - (int64_t)RING_SLOTS + 1;
    if (slot < 0) slot = 0;
    while (slot <= ring->newest && now_ms >= sliding_over_at(slot, per_ms))
        slot++;
    return slot;
}

int64_t sliding_used(const struct ring *ring, int64_t per_ms, int64_t now_ms)
{
    int64_t used = 0;
    for (int64_t slot = sliding_oldest(ring, per_ms, now_ms); slot <= ring->newest; slot++)
        used += ring->counts[slot % RING_SLOTS];
    return used;
}

int64_t sliding_frees_at(const struct ring *ring, int64_t per_ms, int64_t now_ms)
{
    for (int64_t slot = sliding_oldest(ring, per_ms, now_ms); slot <= ring->newest; slot++)
        if (ring->counts[slot % RING_SLOTS] != 0) return sliding_over_at(slot, per_ms);
    return INSTANT_NEVER;
}

int64_t sliding_count(const struct ring *ring, int64_t per_ms, int64_t slot_start_ms)
{
    const int64_t slot = slot_start_ms / sliding_resolution(per_ms);
    if (slot > ring->newest || slot <= ring->newest - (int64_t)RING_SLOTS) return 0;
    return ring->counts[slot % RING_SLOTS];
}
