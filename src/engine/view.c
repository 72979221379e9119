#include "engine/view.h"

#include <string.h>

struct owner owner_of_id(const struct engine *engine, struct hash128 id)
{
    return (struct owner){id, customer_find(engine, id)};
}

struct owner owner_of_customer(const struct engine *engine, uint32_t customer)
{
    return (struct owner){customer_at(engine, customer)->id, customer};
}

void view_open(struct view *view_out, struct engine *engine, const struct policy *policy,
               struct owner owner, int64_t now_ms, struct fact *fact)
{
    const struct customer *block = customer_at(engine, owner.customer);
    const bool is_known = owner.customer != 0;
    const uint32_t plan = is_known ? block->plan : policy->default_plan;
    fact->has_customer = true;
    fact->customer = owner.id;
    fact->customer_hint = owner.customer;
    view_out->engine = engine;
    view_out->policy = policy;
    view_out->fact = fact;
    view_out->now_ms = now_ms;
    view_out->customer = owner.customer;
    view_out->block = block;
    view_out->id = owner.id;
    view_out->plan = plan == SYMBOL_NONE ? NULL : policy_plan_of(policy, plan);
    view_out->anchor_ms = block->has_anchor ? block->anchor_ms : block->created_ms;
    if (!is_known) view_out->anchor_ms = now_ms;
    view_out->available = block->available;
    view_out->held = block->held;
    view_out->debt = block->debt;
    view_out->drafted = 0;
    view_out->level_count = 0;
    view_out->standings = block->standing;
    view_out->rem_version = 0;
    view_out->rem_q = 0;
    view_out->rem_before = 0;
    view_out->rem = 0;
}

/* Through a hint where it holds. */
static uint32_t find_scope(const struct view *view, uint64_t hash, uint32_t hint)
{
    if (view->customer == 0) return 0;
    const struct scope *scope = scope_at(view->engine, hint);
    if (hint != 0 && scope->customer == view->customer && scope->hash == hash) return hint;
    return scope_find(view->engine, view->customer, hash);
}

static void find_scopes(struct view *view, const uint32_t *hints)
{
    for (uint32_t i = 0; i < view->level_count; i++) {
        view->scopes[i] = find_scope(view, view->levels[i], hints == NULL ? 0 : hints[i]);
        view->standings |= scope_at(view->engine, view->scopes[i])->standing; /* of 0: none */
    }
    if (view->level_count == 0) return;
    view->fact->scope_hint = view->scopes[view->level_count - 1];
    view->fact->scope_hash = view->levels[view->level_count - 1];
}

void view_subject(struct view *view, struct bytes subject)
{
    view->level_count = subject_levels(view->engine, subject, view->levels);
    find_scopes(view, NULL);
}

static void view_known_levels(struct view *view, const uint64_t *levels, uint32_t level_count,
                              const uint32_t *hints)
{
    view->level_count = level_count;
    for (uint32_t i = 0; i < level_count; i++)
        view->levels[i] = levels[i];
    find_scopes(view, hints);
}

void view_subject_of(struct view *view, const struct command *command)
{
    const struct fetched *fetched = &command->fetched;
    if (fetched->level_count == 0)
        view_subject(view, command->subject);
    else
        view_known_levels(view, fetched->levels, fetched->level_count, fetched->scopes);
}

void view_levels(struct view *view, const uint64_t *levels, uint32_t level_count)
{
    view_known_levels(view, levels, level_count, NULL);
}

/* A slot of some kind, through the scopes already found; NULL when absent or of another kind. */
static const struct slot *stored_slot(const struct view *view, struct slot_name name,
                                      enum slot_kind kind)
{
    uint32_t number = 0;
    uint32_t level = 0;
    while (level < view->level_count && view->levels[level] != name.scope)
        level++;
    if (name.scope == 0)
        number = slot_in_chain(view->engine, view->block->slots, name.id);
    else if (level == view->level_count)
        number = slot_find(view->engine, view->customer, name);
    else if (view->scopes[level] != 0)
        number = slot_in_chain(view->engine, scope_at(view->engine, view->scopes[level])->slots,
                               name.id);
    if (number == 0) return NULL;
    const struct slot *slot = slot_at(view->engine, number);
    return slot->kind == (uint32_t)kind ? slot : NULL;
}

void view_found_customer(struct view *view)
{
    view_effect(view, EFFECT_CUSTOMER)->customer.created_ms = view->now_ms;
    if (view->plan == NULL) return;
    struct effect *effect = view_effect(view, EFFECT_SETTING);
    effect->setting.which = SETTING_PLAN;
    effect->setting.scope = 0;
    effect->setting.before = 0;
    effect->setting.after = view->plan->name;
}

uint64_t view_limit_overridden(const struct view *view, struct limit limit)
{
    const uint32_t features[] = {limit.feature, SYMBOL_NONE};
    for (unsigned i = 0; i < COUNT_OF(features); i++) {
        const struct slot_name slot = {
            0, slot_id_override(features[i], limit.name, limit.place, limit.is_credits)};
        const uint32_t number = slot_find(view->engine, view->customer, slot);
        if (number != 0) return slot_at(view->engine, number)->override;
    }
    return limit.value;
}

static bool has_drafted(const struct view *view, enum effect_kind kind)
{
    return (view->drafted >> kind & 1) != 0;
}

/* The newest effect of a kind on a slot in the draft; NULL. All counters begin with their slot. */
static const struct effect *drafted(const struct view *view, enum effect_kind kind,
                                    struct slot_name slot)
{
    if (!has_drafted(view, kind)) return NULL;
    for (uint32_t i = view->fact->effect_count; i-- > 0;) {
        const struct effect *effect = &view->fact->effects[i];
        if (effect->kind == kind && effect->window.slot.id == slot.id &&
            effect->window.slot.scope == slot.scope)
            return effect;
    }
    return NULL;
}

/* The newest on a bucket, of either kind. */
static const struct effect *drafted_bucket(const struct view *view, struct slot_name slot)
{
    const struct effect *plain = drafted(view, EFFECT_RATE, slot);
    if (!has_drafted(view, EFFECT_PACED)) return plain;
    const struct effect *paced = drafted(view, EFFECT_PACED, slot);
    return plain == NULL || (paced != NULL && paced > plain) ? paced : plain;
}

/* A fixed window's instance as drafted or stored; false: there is none. */
static bool window_running(const struct view *view, struct slot_name slot,
                           struct window_slot *window_out)
{
    const struct effect *effect = drafted(view, EFFECT_WINDOW, slot);
    if (effect != NULL) {
        *window_out = (struct window_slot){effect->window.after, effect->window.end_ms,
                                           effect->window.generation};
        return true;
    }
    const struct slot *stored = stored_slot(view, slot, SLOT_WINDOW);
    if (stored == NULL) return false;
    *window_out = stored->window;
    return true;
}

static const struct ring *ring_of(const struct view *view, const struct slot *slot)
{
    return slab_at(&view->engine->rings, slot->sliding.ring);
}

/* What the draft added to the stored ring in all. */
static int64_t sliding_drafted(const struct view *view, struct slot_name slot)
{
    int64_t sum = 0;
    if (!has_drafted(view, EFFECT_SLIDING)) return sum;
    for (uint32_t i = 0; i < view->fact->effect_count; i++) {
        const struct effect *effect = &view->fact->effects[i];
        if (effect->kind == EFFECT_SLIDING && effect->sliding.slot.id == slot.id &&
            effect->sliding.slot.scope == slot.scope)
            sum += effect->sliding.delta;
    }
    return sum;
}

/* The stored ring, as long as anything may count in it: when it is over, whether it has been
 * forgotten yet must not show. */
static const struct slot *stored_ring(const struct view *view, struct slot_name name)
{
    const struct slot *slot = stored_slot(view, name, SLOT_SLIDING);
    if (slot == NULL || slot_is_default(view->engine, view->block, slot, view->now_ms)) return NULL;
    return slot;
}

static void sliding_read(const struct view *view, struct counter *counter)
{
    const int64_t per_ms = counter->period.duration_ms;
    const struct slot *slot = stored_ring(view, counter->slot);
    counter->sliding = true;
    counter->open = true;
    counter->starts_anew = slot == NULL || slot->sliding.per_ms != per_ms;
    if (!counter->starts_anew) {
        counter->used = sliding_used(ring_of(view, slot), per_ms, view->now_ms);
        counter->changes_at = sliding_frees_at(ring_of(view, slot), per_ms, view->now_ms);
    }
    counter->used += sliding_drafted(view, counter->slot);
    counter->generation = slot == NULL ? 0 : slot->sliding.generation + counter->starts_anew;
    const struct effect *effect = drafted(view, EFFECT_SLIDING, counter->slot);
    if (effect == NULL) return;
    counter->starts_anew = false;
    counter->generation = effect->sliding.generation;
}

void counter_read(const struct view *view, struct slot_name slot, struct period period,
                  struct counter *counter_out)
{
    *counter_out = (struct counter){.slot = slot, .period = period, .changes_at = INSTANT_NEVER};
    struct window_slot window;
    if (window_running(view, slot, &window) && view->now_ms < window.end_ms) {
        counter_out->open = true;
        counter_out->used = window.used;
        counter_out->end_ms = window.end_ms;
        counter_out->generation = window.generation;
        counter_out->changes_at = window.end_ms;
        return;
    }
    if (period.start == START_SLIDING) sliding_read(view, counter_out);
}

int64_t counter_resets_at(const struct view *view, const struct counter *counter)
{
    if (counter->sliding) {
        if (counter->used <= 0) return 0;
        if (counter->changes_at != INSTANT_NEVER) return counter->changes_at;
        /* Only this decision counts in it. */
        const int64_t resolution_ms = sliding_resolution(counter->period.duration_ms);
        return view->now_ms / resolution_ms * resolution_ms + resolution_ms - 1 +
               counter->period.duration_ms;
    }
    if (counter->open) return counter->end_ms;
    if (counter->period.kind == PERIOD_DURATION) return 0;
    return window_opens(counter->period, view->now_ms, view->anchor_ms).end_ms;
}

/* What counts in one slot of a ring, the draft included. */
static int64_t sliding_running(const struct view *view, struct slot_name slot, int64_t per_ms,
                               int64_t start_ms)
{
    const struct slot *stored = stored_slot(view, slot, SLOT_SLIDING);
    int64_t count = 0;
    if (stored != NULL && stored->sliding.per_ms == per_ms)
        count = sliding_count(ring_of(view, stored), per_ms, start_ms);
    for (uint32_t i = 0; i < view->fact->effect_count; i++) {
        const struct effect *effect = &view->fact->effects[i];
        if (effect->kind == EFFECT_SLIDING && effect->sliding.slot.id == slot.id &&
            effect->sliding.slot.scope == slot.scope && effect->sliding.start_ms == start_ms)
            count = effect->sliding.after;
    }
    return count;
}

static void sliding_add(struct view *view, const struct counter *counter, int64_t start_ms,
                        int64_t delta)
{
    const int64_t per_ms = counter->period.duration_ms;
    const int64_t before =
        counter->starts_anew ? 0 : sliding_running(view, counter->slot, per_ms, start_ms);
    struct effect *effect = view_effect(view, EFFECT_SLIDING);
    effect->sliding.slot = counter->slot;
    effect->sliding.per_ms = per_ms;
    effect->sliding.start_ms = start_ms;
    effect->sliding.delta = delta;
    effect->sliding.after = before + delta;
    effect->sliding.cleared = counter->starts_anew;
    effect->sliding.generation = counter->generation;
}

static void window_add(struct view *view, const struct counter *counter, int64_t delta)
{
    struct effect *effect = view_effect(view, EFFECT_WINDOW);
    effect->window.slot = counter->slot;
    effect->window.end_ms = counter->end_ms;
    effect->window.generation = counter->generation;
    effect->window.delta = delta;
    effect->window.after = counter->used;
}

struct window_ref counter_add(struct view *view, struct counter *counter, int64_t delta)
{
    struct window_ref ref = {.slot = counter->slot, .sliding = counter->sliding};
    if (counter->used > BALANCE_NANO_MAX - delta)
        view->fact->is_out_of_range = true;
    else
        counter->used += delta;
    if (counter->sliding) {
        const int64_t resolution_ms = sliding_resolution(counter->period.duration_ms);
        ref.instance_ms = view->now_ms / resolution_ms * resolution_ms;
        ref.generation = counter->generation;
        sliding_add(view, counter, ref.instance_ms, delta);
        counter->starts_anew = false;
        return ref;
    }
    if (!counter->open) {
        counter->end_ms = window_opens(counter->period, view->now_ms, view->anchor_ms).end_ms;
        counter->generation = 0;
        counter->open = true;
        counter->changes_at = counter->end_ms;
    }
    ref.instance_ms = counter->end_ms;
    ref.generation = counter->generation;
    window_add(view, counter, delta);
    return ref;
}

/* The counter as it stands, whatever the policy says of it by now; false: nothing counts there. */
static bool counter_standing(const struct view *view, struct window_ref ref,
                             struct counter *counter_out)
{
    struct counter counter = {.slot = ref.slot, .sliding = ref.sliding, .open = true};
    struct window_slot window;
    if (!ref.sliding) {
        if (!window_running(view, ref.slot, &window) || view->now_ms >= window.end_ms) return false;
        counter.end_ms = window.end_ms;
        counter.used = window.used;
        counter.generation = window.generation;
        *counter_out = counter;
        return window.end_ms == ref.instance_ms;
    }
    const struct slot *slot = stored_slot(view, ref.slot, SLOT_SLIDING);
    if (slot == NULL || ref.instance_ms % sliding_resolution(slot->sliding.per_ms) != 0)
        return false;
    counter.period = (struct period){PERIOD_DURATION, START_SLIDING, slot->sliding.per_ms};
    counter.generation = slot->sliding.generation;
    counter.used = sliding_running(view, ref.slot, slot->sliding.per_ms, ref.instance_ms);
    *counter_out = counter;
    return sliding_is_live(ref.instance_ms, slot->sliding.per_ms, view->now_ms);
}

void counter_return(struct view *view, struct window_ref ref, int64_t amount)
{
    struct counter counter;
    if (amount == 0 || !counter_standing(view, ref, &counter)) return;
    if (counter.generation != ref.generation) return; /* a goodwill reset forgave it already */
    if (amount > counter.used) amount = counter.used;
    if (amount <= 0) return;
    counter.used -= amount;
    if (ref.sliding)
        sliding_add(view, &counter, ref.instance_ms, -amount);
    else
        window_add(view, &counter, -amount);
}

SELDOM enum standing view_standing_said(const struct view *view, struct scope_rule rule)
{
    enum standing worst = (enum standing)view->block->standing;
    uint32_t levels = rule.kind == SCOPE_CUSTOMER ? 0 : view->level_count;
    if (rule.kind == SCOPE_LEVEL && rule.level < levels) levels = rule.level;
    for (uint32_t level = 0; level < levels; level++)
        if (view->scopes[level] != 0)
            worst = standing_worse(
                worst, (enum standing)scope_at(view->engine, view->scopes[level])->standing);
    return worst;
}

/* A bucket as drafted or stored, and the clock that it was counted by. */
struct kept_bucket {
    const struct rate_slot *rate; /* NULL: never used */
    const struct pace_clock *own;
    uint32_t ticks;
    struct rate_slot drafted;
    struct pace_clock behind;
};

SELDOM static void bucket_kept(const struct view *view, struct slot_name slot,
                               const struct pace_clock *clock, struct kept_bucket *kept_out)
{
    uint8_t pool = 0;
    enum standing standing = STANDING_NORMAL;
    const struct effect *effect = drafted_bucket(view, slot);
    if (effect != NULL) {
        kept_out->drafted = (struct rate_slot){effect->rate.level_after, effect->rate.part_after,
                                               effect->rate.limit,       effect->rate.burst,
                                               effect->rate.per_ms,      effect->rate.at};
        kept_out->rate = &kept_out->drafted;
        if (effect->kind == EFFECT_PACED) {
            if (effect->rate.pool != SYMBOL_NONE) pool = pool_find(view->engine, effect->rate.pool);
            standing = effect->rate.standing;
        }
    } else {
        const struct slot *stored = stored_slot(view, slot, SLOT_RATE);
        kept_out->rate = NULL;
        kept_out->own = clock;
        kept_out->ticks = clock->ticks;
        if (stored == NULL) return;
        kept_out->rate = &stored->rate;
        pool = stored->pool;
        standing = (enum standing)stored->standing;
    }
    kept_out->ticks = pace_is_plain(pool, (uint8_t)standing) ? 1 : PACE_ONE;
    kept_out->own = clock;
    if (pool == clock->pool && standing == (enum standing)clock->standing) return;
    kept_out->behind = pace_clock_behind(view->engine, pool, standing, kept_out->rate->at, clock);
    kept_out->own = &kept_out->behind;
}

static struct rate_terms rate_terms_of(const struct view *view, struct rate_shape shape,
                                       const struct pace_clock *clock)
{
    return (struct rate_terms){.shape = shape,
                               .clock = clock,
                               .changed_ms = limits_changed_ms(view->engine, view->block),
                               .now_ms = view->now_ms};
}

void view_rate(const struct view *view, struct slot_name slot, struct rate_shape shape,
               const struct pace_clock *clock, struct rate_slot *bucket_out)
{
    struct kept_bucket kept;
    const struct rate_terms terms = rate_terms_of(view, shape, clock);
    if (clock->ticks == 1 && !has_drafted(view, EFFECT_RATE) && !has_drafted(view, EFFECT_PACED)) {
        const struct slot *stored = stored_slot(view, slot, SLOT_RATE);
        if (stored == NULL || pace_is_plain(stored->pool, stored->standing)) {
            rate_at(stored == NULL ? NULL : &stored->rate, clock, 1, &terms, bucket_out);
            return;
        }
    }
    bucket_kept(view, slot, clock, &kept);
    rate_at(kept.rate, kept.own, kept.ticks, &terms, bucket_out);
}

bool view_rate_would_hold(const struct view *view, struct slot_name slot, struct rate_shape shape,
                          const struct pace_clock *clock, uint32_t speed, uint64_t tokens)
{
    struct kept_bucket kept;
    const struct rate_terms terms = rate_terms_of(view, shape, clock);
    bucket_kept(view, slot, clock, &kept);
    if (kept.rate == NULL) return tokens <= shape.burst;
    return rate_would_hold(kept.rate, kept.own, kept.ticks, &terms, speed, tokens);
}

/* Levels below this stay there: far below zero is far enough. */
#define RATE_LEVEL_MIN (-(INT64_C(1) << 62))

void view_rate_take(struct view *view, struct slot_name slot, const struct pace_clock *clock,
                    struct rate_slot *bucket, uint64_t tokens)
{
    if (tokens == 0) return;
    const int128 level = (int128)bucket->level - (int128)tokens;
    bucket->level = level < RATE_LEVEL_MIN ? RATE_LEVEL_MIN : (int64_t)level;
    const bool is_plain = pace_is_plain(clock->pool, clock->standing);
    struct effect *effect = view_effect(view, is_plain ? EFFECT_RATE : EFFECT_PACED);
    effect->rate.slot = slot;
    effect->rate.level_after = bucket->level;
    effect->rate.part_after = bucket->part;
    effect->rate.limit = bucket->limit;
    effect->rate.burst = bucket->burst;
    effect->rate.per_ms = bucket->per_ms;
    effect->rate.at = bucket->at;
    if (is_plain) return;
    effect->rate.pool = view->engine->pools[clock->pool].name;
    effect->rate.standing = (enum standing)clock->standing;
}

int64_t view_in_flight(const struct view *view, struct slot_name slot)
{
    const struct effect *effect = drafted(view, EFFECT_CONCURRENCY, slot);
    if (effect != NULL) return effect->concurrency.after;
    const struct slot *stored = stored_slot(view, slot, SLOT_CONCURRENCY);
    return stored == NULL ? 0 : stored->in_flight;
}

void view_in_flight_add(struct view *view, struct slot_name slot, int64_t delta)
{
    const int64_t before = view_in_flight(view, slot);
    if (before + delta < 0) return; /* the counter became another limit's meanwhile */
    struct effect *effect = view_effect(view, EFFECT_CONCURRENCY);
    effect->concurrency.slot = slot;
    effect->concurrency.delta = delta;
    effect->concurrency.after = before + delta;
}

static bool lot_drafted(const struct view *view, uint64_t grant_id, struct lot *lot_out)
{
    if (!has_drafted(view, EFFECT_LOT)) return false;
    for (uint32_t i = view->fact->effect_count; i-- > 0;) {
        const struct effect *effect = &view->fact->effects[i];
        if (effect->kind != EFFECT_LOT || effect->lot.id != grant_id) continue;
        *lot_out = (struct lot){effect->lot.remaining_after, effect->lot.held_after};
        return true;
    }
    return false;
}

struct lot view_lot(const struct view *view, uint32_t number)
{
    const struct grant *grant = grant_at(view->engine, number);
    struct lot lot = {grant->remaining, grant->held};
    (void)lot_drafted(view, grant->id, &lot);
    return lot;
}

static void lot_move(struct view *view, uint64_t grant_id, struct lot lot, enum lot_cause cause,
                     int64_t remaining_delta, int64_t held_delta)
{
    if (remaining_delta == 0 && held_delta == 0) return;
    if (lot.remaining > BALANCE_NANO_MAX - remaining_delta ||
        view->available > BALANCE_NANO_MAX - remaining_delta) {
        view->fact->is_out_of_range = true;
        return;
    }
    view->available += remaining_delta;
    view->held += held_delta;
    struct effect *effect = view_effect(view, EFFECT_LOT);
    effect->lot.id = grant_id;
    effect->lot.cause = cause;
    effect->lot.remaining_delta = remaining_delta;
    effect->lot.remaining_after = lot.remaining + remaining_delta;
    effect->lot.held_delta = held_delta;
    effect->lot.held_after = lot.held + held_delta;
    effect->lot.available_after = view->available;
    effect->lot.customer_held_after = view->held;
}

void view_lot_move(struct view *view, uint64_t grant_id, enum lot_cause cause,
                   int64_t remaining_delta, int64_t held_delta)
{
    struct lot lot = {0};
    if (!lot_drafted(view, grant_id, &lot)) {
        const uint32_t number = grant_find(view->engine, grant_id);
        if (number != 0) lot = view_lot(view, number);
    }
    lot_move(view, grant_id, lot, cause, remaining_delta, held_delta);
}

void view_grant_move(struct view *view, uint32_t number, enum lot_cause cause,
                     int64_t remaining_delta, int64_t held_delta)
{
    lot_move(view, grant_at(view->engine, number)->id, view_lot(view, number), cause,
             remaining_delta, held_delta);
}

void view_debt_move(struct view *view, int64_t delta)
{
    if (delta == 0) return;
    view->debt += delta;
    view->available += delta;
    struct effect *effect = view_effect(view, EFFECT_DEBT);
    effect->debt.delta = delta;
    effect->debt.after = view->debt;
    effect->debt.available_after = view->available;
}

int64_t view_lot_lapse(struct view *view, uint64_t grant_id, int64_t amount)
{
    const uint32_t number = grant_find(view->engine, grant_id);
    const struct grant *grant = grant_at(view->engine, number);
    /* A spent lot has no expiry row to come; one that holds something has, and is not over before.
     */
    const bool is_over =
        number == 0 || (!grant_is_linked(grant) && view->now_ms >= grant->expires_ms);
    const bool is_voided = !is_over && grant->state == GRANT_VOIDED;
    if (amount == 0 || (!is_over && grant->state == GRANT_LIVE)) return 0;
    view_lot_move(view, grant_id, is_voided ? LOT_VOID : LOT_EXPIRE, -amount, 0);
    return amount;
}

void view_remainder_load(struct view *view, const struct quote *quote)
{
    const uint32_t number = remainder_find(view->engine, view->customer, quote->version);
    const struct remainder *stored = slab_at(&view->engine->remainders, number);
    view->rem_version = quote->version;
    view->rem_q = quote->q;
    view->rem_before = number == 0 ? 0 : stored->rem;
    view->rem = view->rem_before;
}

void view_remainder_store(struct view *view)
{
    if (view->rem_version == 0) return;
    view->fact->report.price_settled = (struct settled_price){
        .version = view->rem_version,
        .q = view->rem_q,
        .rem_before = view->rem_before,
        .rem_after = view->rem,
    };
    if (view->rem == view->rem_before) return;
    struct effect *effect = view_effect(view, EFFECT_REMAINDER);
    effect->remainder.version = view->rem_version;
    effect->remainder.q = view->rem_q;
    effect->remainder.before = view->rem_before;
    effect->remainder.after = view->rem;
}

static bool grant_pays_for(const struct grant *grant, uint32_t feature, int64_t now_ms)
{
    if (now_ms < grant->effective_ms || now_ms >= grant->expires_ms) return false;
    if (grant->feature_count == 0) return true;
    for (uint32_t i = 0; i < grant->feature_count; i++)
        if (grant->features[i] == feature) return true;
    return false;
}

uint32_t lot_walk_next(const struct view *view, struct lot_walk *walk, enum category category,
                       uint32_t feature)
{
    if (!walk->is_begun) walk->next = view->block->grants;
    walk->is_begun = true;
    while (walk->next != 0 && walk->seen < GRANTS_LIVE_MAX) {
        const uint32_t number = walk->next;
        const struct grant *grant = grant_at(view->engine, number);
        walk->next = grant->next;
        if (grant->state != GRANT_LIVE || (grant->remaining == 0 && grant->held == 0)) continue;
        walk->seen++;
        if (grant->category == category && grant_pays_for(grant, feature, view->now_ms))
            return number;
    }
    return 0;
}
