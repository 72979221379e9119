/*
 * view.h (private): what one command sees and changes.
 *
 * A view reads the state as it will be once the effects drafted so far are applied: the last effect
 * on a counter or a lot in the draft, else the block. Everything that a decision changes is drafted
 * here, as effects with their delta and after; the state itself stays as it is.
 */
#pragma once

#include "engine/price.h"
#include "engine/rate.h"
#include "engine/state.h"
#include "engine/window.h"

struct view {
    struct engine *engine;
    const struct policy *policy;
    struct fact *fact;
    int64_t now_ms;               /* the stamp, or a due fact's own time */
    uint32_t customer;            /* number; 0: a stranger */
    const struct customer *block; /* a stranger's is all zeroes */
    struct hash128 id;
    const struct plan *plan; /* NULL: none, or none of this policy */
    int64_t anchor_ms;
    int64_t available, held, debt; /* running */
    uint32_t level_count;
    uint64_t levels[LEVELS_MAX]; /* as many as that */
    uint32_t scopes[LEVELS_MAX]; /* their blocks; 0: none yet */
    uint32_t standings;          /* not 0: something was said of the customer's or of a level's */
    uint32_t drafted;            /* a bit for each kind of effect that the draft has */
    /* The remainder of the one price rule version that a command settles by. */
    uint64_t rem_version, rem_q, rem_before, rem;
};

/* Who a view is of: the identity, and the block's number, 0 for a stranger. */
struct owner {
    struct hash128 id;
    uint32_t customer;
};
struct owner owner_of_id(const struct engine *engine, struct hash128 id);
struct owner owner_of_customer(const struct engine *engine, uint32_t customer);

void view_open(struct view *view_out, struct engine *engine, const struct policy *policy,
               struct owner owner, int64_t now_ms, struct fact *fact);
void view_subject(struct view *view, struct bytes subject);
void view_subject_of(struct view *view, const struct command *command);
void view_levels(struct view *view, const uint64_t *levels, uint32_t level_count);
/* Drafts the coming to be of a stranger, on the default plan. */
void view_found_customer(struct view *view);

static inline struct effect *view_effect(struct view *view, enum effect_kind kind)
{
    ENSURE(view->fact->effect_count < EFFECTS_MAX);
    struct effect *effect = &view->fact->effects[view->fact->effect_count++];
    effect->kind = kind;
    view->drafted |= UINT32_C(1) << kind;
    return effect;
}

static inline uint64_t view_scope(const struct view *view, struct scope_rule rule)
{
    switch (rule.kind) {
    case SCOPE_CUSTOMER:
        return 0;
    case SCOPE_SUBJECT:
        return view->levels[view->level_count - 1];
    case SCOPE_LEVEL:
        return view->levels[(rule.level < view->level_count ? rule.level : view->level_count) - 1];
    }
    ENSURE(false);
}

/* A limit as the plan has it: of units (or tokens, or holds), or of nano-credits. */
struct limit {
    uint32_t feature;
    uint32_t name;
    uint32_t place;
    bool is_credits;
    uint64_t value;
};
/* The plan's limit, or the customer's own. */
uint64_t view_limit_overridden(const struct view *view, struct limit limit);
static inline uint64_t view_limit(const struct view *view, struct limit limit)
{
    return view->block->overrides == 0 ? limit.value : view_limit_overridden(view, limit);
}

/* A counter of a window: allowance, budget or overage. Read once; counter_add moves it with the
 * draft. */
struct counter {
    struct slot_name slot;
    struct period period;
    bool sliding; /* what is counted now counts in a ring */
    bool open;
    bool starts_anew; /* the ring, or the slot's kind, is of another shape */
    uint32_t generation;
    int64_t used;
    int64_t end_ms;     /* of a fixed window, while open */
    int64_t changes_at; /* when time alone changes `used`; INSTANT_NEVER */
};
void counter_read(const struct view *view, struct slot_name slot, struct period period,
                  struct counter *counter_out);
static inline uint64_t counter_left(const struct counter *counter, uint64_t limit)
{
    if (counter->used <= 0) return limit;
    return (uint64_t)counter->used >= limit ? 0 : limit - (uint64_t)counter->used;
}

/* For people: when the window that counts now is over; 0: none is open. */
int64_t counter_resets_at(const struct view *view, const struct counter *counter);
/* Counts, opening the window when it is closed; says where it was counted. */
struct window_ref counter_add(struct view *view, struct counter *counter, int64_t delta);
/* Gives back to the very instance; nothing when that is over (W4). */
void counter_return(struct view *view, struct window_ref ref, int64_t amount);

/* The worst standing of the customer and of the subject's levels down to the scope. */
enum standing view_standing_said(const struct view *view, struct scope_rule rule);
static inline enum standing view_standing(const struct view *view, struct scope_rule rule)
{
    return view->standings == 0 ? STANDING_NORMAL : view_standing_said(view, rule);
}
/* A bucket as it stands now, by a clock; taking moves it with the draft. */
void view_rate(const struct view *view, struct slot_name slot, struct rate_shape shape,
               const struct pace_clock *clock, struct rate_slot *bucket_out);
void view_rate_take(struct view *view, struct slot_name slot, const struct pace_clock *clock,
                    struct rate_slot *bucket, uint64_t tokens);
/* Whether it would hold `tokens` now, had the clock run at another speed for as long as the bucket
 * tells (rate_would_hold). */
bool view_rate_would_hold(const struct view *view, struct slot_name slot, struct rate_shape shape,
                          const struct pace_clock *clock, uint32_t speed, uint64_t tokens);
int64_t view_in_flight(const struct view *view, struct slot_name slot);
void view_in_flight_add(struct view *view, struct slot_name slot, int64_t delta);

/* A grant's remaining and held, running. */
struct lot {
    int64_t remaining;
    int64_t held;
};
struct lot view_lot(const struct view *view, uint32_t grant);
void view_lot_move(struct view *view, uint64_t grant_id, enum lot_cause cause,
                   int64_t remaining_delta, int64_t held_delta);
/* The same for one whose block is known. */
void view_grant_move(struct view *view, uint32_t number, enum lot_cause cause,
                     int64_t remaining_delta, int64_t held_delta);
void view_debt_move(struct view *view, int64_t delta);
/* What comes back to a grant that is over goes at once, by its own row (H7). Says how much went. */
int64_t view_lot_lapse(struct view *view, uint64_t grant_id, int64_t amount);

void view_remainder_load(struct view *view, const struct quote *quote);
void view_remainder_store(struct view *view);

/* Walks the lots that can pay now for a feature, in burn order: the first GRANTS_LIVE_MAX that hold
 * anything take part, so that a fact has a ceiling. Start with a walk of zeroes; 0 at the end. */
struct lot_walk {
    uint32_t next;
    uint32_t seen;
    bool is_begun;
};
uint32_t lot_walk_next(const struct view *view, struct lot_walk *walk, enum category category,
                       uint32_t feature);
