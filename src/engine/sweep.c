/*
 * sweep.c: forgetting. What is over, spent or at its default is already treated as absent, so
 * giving its memory back is not a fact: nobody can tell whether it has happened. Each call looks at
 * a bounded number of records of each kind, going round.
 */
#include "engine/rate.h"
#include "engine/state.h"

static void sweep_keys(struct engine *engine, int64_t now_ms, struct books_known books)
{
    (void)books;
    engine->sweep_key = engine->sweep_key % engine->keys.used + 1;
    const struct key *key = slab_at(&engine->keys, engine->sweep_key);
    const bool is_kept = key_state(key) == KEY_KEPT || key_state(key) == KEY_FILED;
    if (is_kept && now_ms >= (int64_t)key_term(key)) key_forget(engine, engine->sweep_key);
}

static bool may_forget(const struct ended *ended, int64_t now_ms, struct books_known books)
{
    const bool is_over = now_ms >= ended->until_ms;
    if (!books.are_kept) return is_over && ended->refunded == 0;
    if (ended->changed > books.through) return false;
    /* Of what was settled at once only the refunds are remembered: they have no end. */
    return !(books.lose_holds || ended->was_long) || is_over || ended->until_ms == INSTANT_NEVER;
}

static void sweep_ended(struct engine *engine, int64_t now_ms, struct books_known books)
{
    engine->sweep_ended = engine->sweep_ended % engine->ended.used + 1;
    struct ended *ended = ended_at(engine, engine->sweep_ended);
    if (ended->changed == 0 || !may_forget(ended, now_ms, books)) return;
    if (books.are_kept && ended->changed > engine->forgotten_through)
        engine->forgotten_through = ended->changed;
    image_keep(engine, IMAGE_ENDED, engine->sweep_ended);
    index_remove(&engine->ended_index, hash_mix(ended->id, 1), engine->sweep_ended);
    ended->changed = 0;
    slab_give(&engine->ended, engine->sweep_ended);
}

static void sweep_grants(struct engine *engine, int64_t now_ms, struct books_known books)
{
    (void)books;
    engine->sweep_grant = engine->sweep_grant % engine->grants.used + 1;
    const struct grant *grant = grant_at(engine, engine->sweep_grant);
    if (grant->state == GRANT_FREE || grant_is_linked(grant) || now_ms < grant->expires_ms) return;
    image_keep(engine, IMAGE_GRANT, engine->sweep_grant);
    grant_forget(engine, engine->sweep_grant);
}

int64_t limits_changed_ms(const struct engine *engine, const struct customer *customer)
{
    const int64_t installed_ms = engine->policy.installed_ms;
    return customer->limits_changed_ms > installed_ms ? customer->limits_changed_ms : installed_ms;
}

/* What a bucket's clock said when the bucket's terms may have changed, or says now if they have not
 * since it was written; at the very same moment either may have come first: then the slot is kept.
 */
static int64_t pace_until(const struct pace_clock *clock, int64_t at, int64_t changed_ms,
                          int64_t now_ms)
{
    const int64_t changed = pace_at(clock, changed_ms);
    return changed_ms < now_ms && changed >= at ? changed : pace_at(clock, now_ms);
}

/* By whichever clock it will turn out to be counted: a pool's may have begun since. */
static bool bucket_is_full(const struct engine *engine, const struct customer *customer,
                           const struct slot *slot, int64_t now_ms)
{
    const enum standing standing = (enum standing)slot->standing;
    const struct pace_clock clock = pace_clock_of(engine, slot->pool, standing);
    const int64_t changed_ms = limits_changed_ms(engine, customer);
    int64_t until = pace_until(&clock, slot->rate.at, changed_ms, now_ms);
    if (!rate_is_full(&slot->rate, clock.ticks, until)) return false;
    for (uint32_t place = 1; slot->pool == 0 && place <= engine->pool_count; place++) {
        const struct pace_clock other = pace_clock_behind(
            engine, 0, standing, slot->rate.at, &(struct pace_clock){.pool = (uint8_t)place});
        if (other.pool == 0) continue;
        struct rate_slot scaled = slot->rate;
        rate_scale(&scaled, clock.ticks, other.ticks);
        until = pace_until(&other, scaled.at, changed_ms, now_ms);
        if (!rate_is_full(&scaled, other.ticks, until)) return false;
    }
    return true;
}

bool slot_is_default(const struct engine *engine, const struct customer *customer,
                     const struct slot *slot, int64_t now_ms)
{
    switch ((enum slot_kind)slot->kind) {
    case SLOT_WINDOW:
        return now_ms >= slot->window.end_ms;
    case SLOT_SLIDING: {
        /* Not before all that was drawn is over, returned or not: a reset's generation must stand.
         */
        const struct ring *ring = slab_at(&engine->rings, slot->sliding.ring);
        const int64_t per_ms = slot->sliding.per_ms;
        return !sliding_is_live(ring->newest * sliding_resolution(per_ms), per_ms, now_ms);
    }
    case SLOT_RATE:
        return bucket_is_full(engine, customer, slot, now_ms);
    case SLOT_CONCURRENCY:
        return slot->in_flight == 0;
    case SLOT_OVERRIDE:
    case SLOT_RENEWAL:
        return false;
    }
    ENSURE(false);
}

/* Whose counters a chain has. */
struct owned {
    enum image_kind kind;
    uint32_t number;
};

static void sweep_chain(struct engine *engine, const struct customer *customer, struct owned owner,
                        uint32_t *link, int64_t now_ms)
{
    while (*link != 0) {
        const uint32_t number = *link;
        struct slot *slot = slot_at(engine, number);
        if (!slot_is_default(engine, customer, slot, now_ms)) {
            link = &slot->next;
            continue;
        }
        image_keep(engine, owner.kind, owner.number);
        *link = slot->next;
        if (slot->kind == SLOT_SLIDING) slab_give(&engine->rings, slot->sliding.ring);
        slab_give(&engine->slots, number);
    }
}

static void sweep_scopes(struct engine *engine, int64_t now_ms, struct books_known books)
{
    (void)books;
    engine->sweep_scope = engine->sweep_scope % engine->scopes.used + 1;
    struct scope *scope = scope_at(engine, engine->sweep_scope);
    if (scope->customer == 0) return;
    struct customer *customer = customer_at(engine, scope->customer);
    const struct owned owner = {IMAGE_SCOPE, engine->sweep_scope};
    sweep_chain(engine, customer, owner, &scope->slots, now_ms);
    if (scope->slots != 0 || scope->suspended != 0 || scope->standing != 0) return;
    image_keep(engine, owner.kind, owner.number);
    if (scope->before != 0)
        scope_at(engine, scope->before)->next = scope->next;
    else
        customer->scopes = scope->next;
    if (scope->next != 0) scope_at(engine, scope->next)->before = scope->before;
    index_remove(&engine->scope_index, hash_mix(customer->id.word[0], scope->hash),
                 engine->sweep_scope);
    scope->customer = 0;
    slab_give(&engine->scopes, engine->sweep_scope);
}

static void sweep_customers(struct engine *engine, int64_t now_ms, struct books_known books)
{
    (void)books;
    engine->sweep_customer = engine->sweep_customer % engine->customers.used + 1;
    struct customer *customer = customer_at(engine, engine->sweep_customer);
    const struct owned owner = {IMAGE_CUSTOMER, engine->sweep_customer};
    sweep_chain(engine, customer, owner, &customer->slots, now_ms);
    for (uint32_t *link = &customer->remainders; *link != 0;) {
        struct remainder *remainder = slab_at(&engine->remainders, *link);
        if (remainder->rem != 0) {
            link = &remainder->next;
            continue;
        }
        const uint32_t number = *link;
        image_keep(engine, owner.kind, owner.number);
        *link = remainder->next;
        slab_give(&engine->remainders, number);
    }
}

void engine_sweep(struct engine *engine, int64_t now_ms, uint32_t records, struct books_known books)
{
    ENSURE(!engine->trial.is_running);
    const struct {
        const struct slab *slab;
        void (*one)(struct engine *engine, int64_t now_ms, struct books_known books);
    } sweeps[] = {
        {     &engine->keys,      sweep_keys},
        {    &engine->ended,     sweep_ended},
        {   &engine->grants,    sweep_grants},
        {   &engine->scopes,    sweep_scopes},
        {&engine->customers, sweep_customers}
    };
    for (unsigned kind = 0; kind < COUNT_OF(sweeps); kind++) {
        const uint32_t used = sweeps[kind].slab->used;
        for (uint32_t i = 0; i < (records < used ? records : used); i++)
            sweeps[kind].one(engine, now_ms, books);
    }
}
