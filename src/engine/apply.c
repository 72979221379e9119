/*
 * apply.c: the only way state changes. One case per effect kind; every moved number is checked
 * against what the fact says it was and became, so that a journal and a state that do not belong
 * together stop at the first difference. No policy, no clock, no arithmetic but before + delta.
 */
#include "engine/pace.h"

#include <string.h>

struct application {
    struct engine *engine;
    const struct fact *fact;
    uint32_t customer; /* number; 0 until EFFECT_CUSTOMER for a new one */
    bool due_moved;
    uint64_t scope_hash; /* the scope found last: effects of one fact share few */
    uint32_t scope;
    bool ends_long_hold;
};

static struct customer *application_customer(struct application *a)
{
    ENSURE(a->customer != 0);
    struct customer *customer = customer_at(a->engine, a->customer);
    state_touch(a->engine, customer, sizeof *customer);
    return customer;
}

static void apply_customer(struct application *a, const struct effect *effect)
{
    ENSURE(a->customer == 0);
    struct engine *engine = a->engine;
    a->customer = state_take(engine, &engine->customers);
    struct customer *customer = customer_at(engine, a->customer);
    customer->id = a->fact->customer;
    customer->created_ms = effect->customer.created_ms;
    customer->mode = CREDIT_AUTO;
    customer->next_due_ms = INSTANT_NEVER;
    state_index_insert(engine, &engine->customer_index, customer->id.word[0], a->customer);
}

/* The scope's block, made when missing. */
static struct scope *scope_claim(struct application *a, uint64_t hash)
{
    struct engine *engine = a->engine;
    uint32_t number = a->scope_hash == hash ? a->scope : scope_find(engine, a->customer, hash);
    if (number == 0) {
        struct customer *customer = application_customer(a);
        number = state_take(engine, &engine->scopes);
        struct scope *made = slab_at(&engine->scopes, number);
        made->hash = hash;
        made->customer = a->customer;
        made->next = customer->scopes;
        if (made->next != 0) {
            struct scope *next = scope_at(engine, made->next);
            state_touch(engine, next, sizeof *next);
            next->before = number;
        }
        customer->scopes = number;
        state_index_insert(engine, &engine->scope_index, hash_mix(customer->id.word[0], hash),
                           number);
    }
    a->scope_hash = hash;
    a->scope = number;
    struct scope *scope = scope_at(engine, number);
    state_touch(engine, scope, sizeof *scope);
    return scope;
}

static void apply_setting(struct application *a, const struct effect *effect)
{
    struct customer *customer = application_customer(a);
    const int64_t after = effect->setting.after;
    switch (effect->setting.which) {
    case SETTING_PLAN:
        ENSURE(customer->plan == (uint32_t)effect->setting.before);
        customer->plan = (uint32_t)after;
        if (effect->setting.before != SYMBOL_NONE) customer->limits_changed_ms = a->fact->at_ms;
        return;
    case SETTING_MODE:
        ENSURE(customer->mode == (uint8_t)effect->setting.before);
        customer->mode = (uint8_t)after;
        return;
    case SETTING_ANCHOR:
        customer->has_anchor = after != ANCHOR_NONE;
        customer->anchor_ms = after == ANCHOR_NONE ? 0 : after;
        return;
    case SETTING_STANDING:
        customer->limits_changed_ms = a->fact->at_ms;
        if (effect->setting.scope == 0) {
            ENSURE(customer->standing == effect->setting.before);
            customer->standing = (unsigned)after & 3u;
        } else {
            struct scope *scope = scope_claim(a, effect->setting.scope);
            ENSURE(scope->standing == effect->setting.before);
            scope->standing = (uint16_t)after;
        }
        return;
    case SETTING_SUSPENDED:
        if (effect->setting.scope == 0)
            customer->suspended = after != 0;
        else
            scope_claim(a, effect->setting.scope)->suspended = after != 0;
        return;
    }
    ENSURE(false);
}

/* The slot, made when missing; a slot of another kind starts anew. */
static struct slot *slot_claim(struct application *a, struct slot_name name, enum slot_kind kind)
{
    struct engine *engine = a->engine;
    const uint32_t first = name.scope == 0 ? customer_at(engine, a->customer)->slots
                                           : scope_claim(a, name.scope)->slots;
    uint32_t number = slot_in_chain(engine, first, name.id);
    if (number == 0) {
        number = state_take(engine, &engine->slots);
        struct slot *made = slot_at(engine, number);
        made->id = name.id;
        made->kind = (uint8_t)kind;
        uint32_t *head =
            name.scope == 0 ? &application_customer(a)->slots : &scope_claim(a, name.scope)->slots;
        made->next = *head;
        *head = number;
        return made;
    }
    struct slot *slot = slot_at(engine, number);
    state_touch(engine, slot, sizeof *slot);
    if (slot->kind != kind) {
        if (slot->kind == SLOT_SLIDING) state_give(engine, &engine->rings, slot->sliding.ring);
        *slot = (struct slot){.next = slot->next, .kind = (uint8_t)kind, .id = slot->id};
    }
    return slot;
}

static void slot_drop(struct application *a, struct slot_name name)
{
    struct engine *engine = a->engine;
    const uint32_t number = slot_find(engine, a->customer, name);
    if (number == 0) return;
    ENSURE(name.scope == 0);
    struct customer *customer = application_customer(a);
    uint32_t *link = &customer->slots;
    while (*link != number) {
        struct slot *slot = slot_at(engine, *link);
        state_touch(engine, slot, sizeof *slot);
        link = &slot->next;
    }
    *link = slot_at(engine, number)->next;
    state_give(engine, &engine->slots, number);
}

static void apply_window(struct application *a, const struct effect *effect)
{
    struct slot *slot = slot_claim(a, effect->window.slot, SLOT_WINDOW);
    const bool opens = slot->window.end_ms != effect->window.end_ms;
    const int64_t before = opens ? 0 : slot->window.used;
    ENSURE(before + effect->window.delta == effect->window.after);
    ENSURE(effect->window.after >= 0);
    slot->window = (struct window_slot){
        .used = effect->window.after,
        .end_ms = effect->window.end_ms,
        .generation = effect->window.generation,
    };
}

static void apply_sliding(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    struct slot *slot = slot_claim(a, effect->sliding.slot, SLOT_SLIDING);
    if (slot->sliding.ring == 0) slot->sliding.ring = state_take(engine, &engine->rings);
    struct ring *ring = slab_at(&engine->rings, slot->sliding.ring);
    state_touch(engine, ring, sizeof *ring);
    if (effect->sliding.cleared) memset(ring, 0, sizeof *ring);
    slot->sliding.per_ms = effect->sliding.per_ms;
    slot->sliding.generation = effect->sliding.generation;
    const int64_t at = effect->sliding.start_ms / (effect->sliding.per_ms / 60);
    if (at > ring->newest) {
        int64_t from = ring->newest + 1;
        if (from < at - (int64_t)RING_SLOTS + 1) from = at - (int64_t)RING_SLOTS + 1;
        for (int64_t n = from; n <= at; n++)
            ring->counts[n % RING_SLOTS] = 0;
        ring->newest = at;
    }
    ENSURE(at > ring->newest - (int64_t)RING_SLOTS);
    int64_t *count = &ring->counts[at % RING_SLOTS];
    ENSURE(*count + effect->sliding.delta == effect->sliding.after);
    ENSURE(effect->sliding.after >= 0);
    *count = effect->sliding.after;
}

static void apply_rate(struct application *a, const struct effect *effect)
{
    struct slot *slot = slot_claim(a, effect->rate.slot, SLOT_RATE);
    slot->rate = (struct rate_slot){
        .level = effect->rate.level_after,
        .part = effect->rate.part_after,
        .limit = effect->rate.limit,
        .burst = effect->rate.burst,
        .per_ms = effect->rate.per_ms,
        .at = effect->rate.at,
    };
    slot->pool = 0;
    slot->standing = STANDING_NORMAL;
    if (effect->kind == EFFECT_RATE) return;
    if (effect->rate.pool != SYMBOL_NONE) slot->pool = pool_find(a->engine, effect->rate.pool);
    slot->standing = (uint8_t)effect->rate.standing;
    ENSURE(!pace_is_plain(slot->pool, slot->standing));
}

static void apply_concurrency(struct application *a, const struct effect *effect)
{
    struct slot *slot = slot_claim(a, effect->concurrency.slot, SLOT_CONCURRENCY);
    ENSURE(slot->in_flight + effect->concurrency.delta == effect->concurrency.after);
    ENSURE(effect->concurrency.after >= 0);
    slot->in_flight = effect->concurrency.after;
}

static void apply_override(struct application *a, const struct effect *effect)
{
    const struct slot_name name = {0, effect->override.id};
    const bool existed = slot_find(a->engine, a->customer, name) != 0;
    struct customer *customer = application_customer(a);
    customer->limits_changed_ms = a->fact->at_ms;
    if (effect->override.removed) {
        slot_drop(a, name);
        if (existed) customer->overrides--;
        return;
    }
    slot_claim(a, name, SLOT_OVERRIDE)->override = effect->override.value;
    if (!existed) customer->overrides++;
}

/* Burn order (SEMANTICS S3); ids grow with creation. */
static bool grant_burns_before(const struct grant *left, const struct grant *right)
{
    if (left->priority != right->priority) return left->priority < right->priority;
    if (left->expires_ms != right->expires_ms) return left->expires_ms < right->expires_ms;
    if (left->effective_ms != right->effective_ms) return left->effective_ms < right->effective_ms;
    return left->id < right->id;
}

uint32_t *grant_link(struct engine *engine, uint32_t customer, const struct grant *grant)
{
    struct customer *owner = customer_at(engine, customer);
    state_touch(engine, owner, sizeof *owner);
    uint32_t *link = &owner->grants;
    while (*link != 0 && grant_burns_before(grant_at(engine, *link), grant)) {
        struct grant *at = grant_at(engine, *link);
        state_touch(engine, at, sizeof *at);
        link = &at->next;
    }
    return link;
}

bool grant_counts_as_live(const struct grant *grant)
{
    return grant->state == GRANT_PENDING ||
           (grant->state == GRANT_LIVE && (grant->remaining != 0 || grant->held != 0));
}

bool grant_is_linked(const struct grant *grant)
{
    return grant->state == GRANT_PENDING || grant->remaining != 0 || grant->held != 0;
}

void grant_forget(struct engine *engine, uint32_t number)
{
    struct grant *grant = grant_at(engine, number);
    state_index_remove(engine, &engine->grant_index, hash_mix(grant->id, 1), number);
    state_touch(engine, grant, sizeof *grant);
    grant->state = GRANT_FREE;
    state_give(engine, &engine->grants, number);
}

/* Puts the grant where its new contents belong, after a change. */
static void grant_settle(struct application *a, uint32_t number, const struct grant *before)
{
    struct engine *engine = a->engine;
    struct customer *customer = application_customer(a);
    struct grant *grant = grant_at(engine, number);
    customer->grants_live = (uint16_t)(customer->grants_live + grant_counts_as_live(grant) -
                                       grant_counts_as_live(before));
    if (grant_is_linked(grant) != grant_is_linked(before)) {
        uint32_t *link = grant_link(engine, a->customer, grant);
        if (grant_is_linked(grant)) {
            grant->next = *link;
            *link = number;
        } else {
            ENSURE(*link == number);
            *link = grant->next;
        }
        a->due_moved = true;
    }
    if (grant->state != GRANT_EXPIRED || grant_is_linked(grant)) return;
    grant_forget(engine, number);
}

static void apply_grant(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    const uint32_t number = state_take(engine, &engine->grants);
    struct grant *grant = grant_at(engine, number);
    *grant = (struct grant){
        .id = effect->grant.id,
        .customer = a->customer,
        .category = (uint8_t)effect->grant.category,
        .state = GRANT_EXPIRED, /* until settled below */
        .feature_count = (uint16_t)effect->grant.feature_count,
        .priority = effect->grant.priority,
        .amount = effect->grant.amount,
        .effective_ms = effect->grant.effective_ms,
        .expires_ms = effect->grant.expires_ms,
        .recurring = effect->grant.recurring,
    };
    for (uint32_t i = 0; i < GRANT_FEATURES_MAX; i++)
        grant->features[i] = (uint16_t)effect->grant.features[i];
    state_index_insert(engine, &engine->grant_index, hash_mix(grant->id, 1), number);
    const struct grant nothing = *grant;
    grant->state = GRANT_PENDING;
    grant_settle(a, number, &nothing);
}

static void apply_lot(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    struct customer *customer = application_customer(a);
    customer->available += effect->lot.remaining_delta;
    customer->held += effect->lot.held_delta;
    ENSURE(customer->available == effect->lot.available_after);
    ENSURE(customer->held == effect->lot.customer_held_after);
    const uint32_t number = grant_find(engine, effect->lot.id);
    if (number == 0) {
        /* A refund to a grant that is gone comes and lapses at once: rows, but no state. */
        ENSURE(effect->lot.cause == LOT_REFUND || effect->lot.cause == LOT_EXPIRE ||
               effect->lot.cause == LOT_VOID);
        ENSURE(effect->lot.held_delta == 0);
        return;
    }
    struct grant *grant = grant_at(engine, number);
    const struct grant before = *grant;
    state_touch(engine, grant, sizeof *grant);
    ENSURE(grant->remaining + effect->lot.remaining_delta == effect->lot.remaining_after);
    ENSURE(grant->held + effect->lot.held_delta == effect->lot.held_after);
    ENSURE(effect->lot.remaining_after >= 0 && effect->lot.held_after >= 0);
    grant->remaining = effect->lot.remaining_after;
    grant->held = effect->lot.held_after;
    grant_settle(a, number, &before);
}

static void apply_grant_state(struct application *a, const struct effect *effect)
{
    const uint32_t number = grant_find(a->engine, effect->grant_state.id);
    ENSURE(number != 0);
    struct grant *grant = grant_at(a->engine, number);
    const struct grant before = *grant;
    state_touch(a->engine, grant, sizeof *grant);
    grant->state = (uint8_t)effect->grant_state.after;
    a->due_moved = true;
    grant_settle(a, number, &before);
}

static void apply_debt(struct application *a, const struct effect *effect)
{
    struct customer *customer = application_customer(a);
    ENSURE(customer->debt + effect->debt.delta == effect->debt.after);
    ENSURE(effect->debt.after <= 0);
    customer->debt = effect->debt.after;
    customer->available += effect->debt.delta;
    ENSURE(customer->available == effect->debt.available_after);
}

static void apply_remainder(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    uint32_t number = remainder_find(engine, a->customer, effect->remainder.version);
    if (number == 0) {
        struct customer *customer = application_customer(a);
        number = state_take(engine, &engine->remainders);
        struct remainder *made = slab_at(&engine->remainders, number);
        made->version = effect->remainder.version;
        made->q = effect->remainder.q;
        made->next = customer->remainders;
        customer->remainders = number;
    }
    struct remainder *remainder = slab_at(&engine->remainders, number);
    state_touch(engine, remainder, sizeof *remainder);
    ENSURE(remainder->rem == effect->remainder.before);
    ENSURE(effect->remainder.after < effect->remainder.q);
    remainder->rem = effect->remainder.after;
}

static void hold_fill(struct hold *hold, const struct effect *effect)
{
    hold->terms = (struct hold_terms){
        .feature = effect->hold.feature,
        .unit = effect->hold.unit,
        .requests_meter = effect->hold.requests_meter,
        .consent = effect->hold.consent,
        .on_failure = effect->hold.on_failure,
        .ttl_ms = effect->hold.ttl_ms,
        .retention_ms = effect->hold.retention_ms,
        .meter_count = effect->hold.meter_count,
        .quote = effect->hold.quote,
        .level_count = effect->hold.level_count,
    };
    memcpy(hold->terms.meters, effect->hold.meters, sizeof hold->terms.meters);
    memcpy(hold->terms.levels, effect->hold.levels, sizeof hold->terms.levels);
    hold->concurrency_count = effect->hold.concurrency_count;
    memcpy(hold->concurrency, effect->hold.concurrency, sizeof hold->concurrency);
}

static void apply_hold(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    uint32_t number = hold_find(engine, effect->hold.id);
    ENSURE((number == 0) == effect->hold.is_new);
    if (effect->hold.is_new) {
        number = state_take(engine, &engine->holds);
        struct hold *made = hold_at(engine, number);
        made->id = effect->hold.id;
        made->customer = a->customer;
        made->opened_ms = a->fact->at_ms;
        hold_fill(made, effect);
        state_index_insert(engine, &engine->hold_index, hash_mix(made->id, 1), number);
        application_customer(a)->open_holds++;
    } else {
        holds_remove(engine, a->customer, number);
    }
    struct hold *hold = hold_at(engine, number);
    state_touch(engine, hold, sizeof *hold);
    hold->position = a->fact->position;
    hold->expires_ms = effect->hold.expires_ms;
    memcpy(hold->quantities, effect->hold.quantities, sizeof hold->quantities);
    holds_insert(engine, a->customer, number);
    a->due_moved = true;
}

static void apply_hold_line(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    const uint32_t owner = hold_find(engine, effect->hold_line.hold);
    ENSURE(owner != 0);
    struct hold *hold = hold_at(engine, owner);
    state_touch(engine, hold, sizeof *hold);
    const uint32_t number = state_take(engine, &engine->lines);
    struct hold_line *line = hold_line_at(engine, number);
    line->draw = effect->hold_line.draw;
    line->line = effect->hold_line.line;
    line->window_count = effect->hold_line.window_count;
    line->budget_count = effect->hold_line.budget_count;
    memcpy(line->windows, effect->hold_line.windows, sizeof line->windows);
    memcpy(line->budgets, effect->hold_line.budgets, sizeof line->budgets);
    if (hold->lines_last == 0) {
        hold->lines_first = number;
    } else {
        struct hold_line *last = hold_line_at(engine, hold->lines_last);
        state_touch(engine, last, sizeof *last);
        last->next = number;
    }
    hold->lines_last = number;
    hold->line_count++;
}

static void apply_hold_end(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    const uint32_t number = hold_find(engine, effect->hold_end.id);
    ENSURE(number != 0);
    struct hold *hold = hold_at(engine, number);
    a->ends_long_hold = a->fact->at_ms - hold->opened_ms > TTL_MS_MAX;
    holds_remove(engine, a->customer, number);
    for (uint32_t n = hold->lines_first; n != 0;) {
        const uint32_t next = hold_line_at(engine, n)->next;
        state_give(engine, &engine->lines, n);
        n = next;
    }
    for (uint32_t n = hold->keys; n != 0;) {
        struct key *key = slab_at(&engine->keys, n);
        ENSURE(key_state(key) == KEY_WAITS);
        n = (uint32_t)key_term(key);
        state_touch(engine, key, sizeof *key);
        key_set(key, KEY_KEPT, (uint64_t)effect->hold_end.keys_until_ms);
    }
    state_index_remove(engine, &engine->hold_index, hash_mix(hold->id, 1), number);
    state_give(engine, &engine->holds, number);
    hold->customer = 0;
    application_customer(a)->open_holds--;
    a->due_moved = true;
}

static void apply_ended(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    uint32_t number = ended_find(engine, effect->ended.id);
    if (number == 0) {
        number = state_take(engine, &engine->ended);
        struct ended *made = slab_at(&engine->ended, number);
        made->id = effect->ended.id;
        made->customer = a->customer;
        made->was_long = a->ends_long_hold;
        state_index_insert(engine, &engine->ended_index, hash_mix(made->id, 1), number);
    }
    struct ended *ended = slab_at(&engine->ended, number);
    state_touch(engine, ended, sizeof *ended);
    ended->changed = a->fact->position;
    ended->state = (uint8_t)effect->ended.state;
    ended->late = effect->ended.late;
    ended->position = effect->ended.position;
    ended->body_hash = effect->ended.body_hash;
    ended->refunded = effect->ended.refunded_after;
    ended->until_ms = effect->ended.until_ms;
}

static void apply_key(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    uint32_t number = key_find(engine, effect->key.hash);
    if (number == 0) {
        number = state_take(engine, &engine->keys);
        struct key *made = slab_at(&engine->keys, number);
        made->hash = effect->key.hash;
        state_index_insert(engine, &engine->key_index, made->hash.word[0], number);
    }
    struct key *key = slab_at(&engine->keys, number);
    state_touch(engine, key, sizeof *key);
    key->body_hash = effect->key.body_hash;
    key->position = effect->key.position;
    if (effect->key.hold == 0) {
        key_set(key, KEY_KEPT, (uint64_t)effect->key.until_ms);
        return;
    }
    const uint32_t owner = hold_find(engine, effect->key.hold);
    ENSURE(owner != 0);
    struct hold *hold = hold_at(engine, owner);
    state_touch(engine, hold, sizeof *hold);
    key_set(key, KEY_WAITS, hold->keys);
    hold->keys = number;
}

static void apply_renewal(struct application *a, const struct effect *effect)
{
    const struct slot_name name = {0, slot_id_renewal(effect->renewal.name)};
    a->due_moved = true;
    if (effect->renewal.next_ms == 0) {
        slot_drop(a, name);
        return;
    }
    slot_claim(a, name, SLOT_RENEWAL)->renewal = (struct renewal_slot){
        .next_ms = effect->renewal.next_ms,
        .grant = effect->renewal.grant_id,
    };
}

static void apply_symbol(struct application *a, const struct effect *effect)
{
    struct engine *engine = a->engine;
    ENSURE(effect->symbol.number == engine->symbol_count + 1);
    ENSURE(symbol_fits(engine, effect->symbol.name));
    symbol_add(engine, effect->symbol.name);
}

static void apply_policy(struct application *a, const struct effect *effect)
{
    struct engine_policy_info *info = &a->engine->policy;
    ENSURE(effect->policy.version == info->version + 1);
    info->version = effect->policy.version;
    info->content_hash = effect->policy.content_hash;
    if (effect->policy.from_file) info->file_hash = effect->policy.content_hash;
    info->position = a->fact->position;
    info->installed_ms = a->fact->at_ms;
    a->engine->recurring_cursor = 1;
}

static void apply_seal(struct application *a, const struct effect *effect)
{
    ENSURE(effect->seal.first > a->engine->cut.first);
    a->engine->cut = effect->seal;
}

static void apply_crowd(struct application *a, const struct effect *effect)
{
    struct crowd *crowd = crowd_at(a->engine, effect->crowd.of);
    state_touch(a->engine, crowd, sizeof *crowd);
    const bool is_running = crowd->of == effect->crowd.of && crowd->second == effect->crowd.second;
    ENSURE((is_running ? crowd->count : 0) + 1 == effect->crowd.after);
    ENSURE(effect->crowd.after <= CROWD_ALONE_MAX + 1);
    *crowd = (struct crowd){
        .of = effect->crowd.of,
        .second = effect->crowd.second,
        .first = effect->crowd.after > CROWD_ALONE_MAX ? a->fact->position : 0,
        .count = effect->crowd.after,
    };
}

static void apply_effect(struct application *a, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_CUSTOMER:
        apply_customer(a, effect);
        return;
    case EFFECT_SETTING:
        apply_setting(a, effect);
        return;
    case EFFECT_WINDOW:
        apply_window(a, effect);
        return;
    case EFFECT_SLIDING:
        apply_sliding(a, effect);
        return;
    case EFFECT_RATE:
    case EFFECT_PACED:
        apply_rate(a, effect);
        return;
    case EFFECT_CONCURRENCY:
        apply_concurrency(a, effect);
        return;
    case EFFECT_OVERRIDE:
        apply_override(a, effect);
        return;
    case EFFECT_GRANT:
        apply_grant(a, effect);
        return;
    case EFFECT_LOT:
        apply_lot(a, effect);
        return;
    case EFFECT_GRANT_STATE:
        apply_grant_state(a, effect);
        return;
    case EFFECT_DEBT:
        apply_debt(a, effect);
        return;
    case EFFECT_REMAINDER:
        apply_remainder(a, effect);
        return;
    case EFFECT_HOLD:
        apply_hold(a, effect);
        return;
    case EFFECT_HOLD_LINE:
        apply_hold_line(a, effect);
        return;
    case EFFECT_HOLD_END:
        apply_hold_end(a, effect);
        return;
    case EFFECT_ENDED:
        apply_ended(a, effect);
        return;
    case EFFECT_KEY:
        apply_key(a, effect);
        return;
    case EFFECT_RENEWAL:
        apply_renewal(a, effect);
        return;
    case EFFECT_SYMBOL:
        apply_symbol(a, effect);
        return;
    case EFFECT_POLICY:
        apply_policy(a, effect);
        return;
    case EFFECT_SEAL:
        apply_seal(a, effect);
        return;
    case EFFECT_CROWD:
        apply_crowd(a, effect);
        return;
    case EFFECT_POOL:
        pool_apply(a->engine, a->fact, effect);
        return;
    case EFFECT_ACCESS:
        access_apply(a->engine, a->fact, effect);
        return;
    case EFFECT_ACCESS_END:
        access_apply_end(a->engine, effect);
        return;
    }
    ENSURE(false);
}

void engine_apply(struct engine *engine, const struct fact *fact)
{
    struct application a = {.engine = engine, .fact = fact};
    if (fact->has_customer) {
        const uint32_t hint = fact->customer_hint;
        a.customer = hint != 0 ? hint : customer_find(engine, fact->customer);
        ENSURE(hint == 0 || hash_128_equal(customer_at(engine, hint)->id, fact->customer));
        if (fact->scope_hint != 0) {
            const struct scope *scope = scope_at(engine, fact->scope_hint);
            ENSURE(scope->customer == a.customer && scope->hash == fact->scope_hash);
            a.scope = fact->scope_hint;
            a.scope_hash = fact->scope_hash;
        }
    }
    if (engine->image.out != NULL) image_keep_touched(engine, fact, a.customer);
    for (uint32_t i = 0; i < fact->effect_count; i++)
        apply_effect(&a, &fact->effects[i]);
    if (a.due_moved) due_refresh(engine, a.customer);
}
