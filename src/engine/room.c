/*
 * room.c: ceilings. What a draft will take is counted before it becomes a fact, so that apply never
 * refuses: a decision that does not fit is refused whole. Newcomers are refused while there is
 * still room for those who are known.
 */
#include "engine/state.h"

struct need {
    uint32_t customers, scopes, slots, rings, grants, holds, lines, keys, ended, remainders;
};

static bool slab_fits(const struct slab *slab, uint32_t need, uint32_t spare)
{
    return slab_room(slab) >= (uint64_t)need + spare;
}

/* Every open hold will leave an ended one. */
static bool fits(const struct engine *engine, const struct need *need)
{
    const uint32_t kept = need->customers == 0 ? 0 : UINT32_MAX;
#define SPARE(slab) (engine->slab.records_max / 16 & kept)
    return slab_fits(&engine->customers, need->customers, 0) &&
           slab_fits(&engine->scopes, need->scopes, SPARE(scopes)) &&
           slab_fits(&engine->slots, need->slots, SPARE(slots)) &&
           slab_fits(&engine->rings, need->rings, SPARE(rings)) &&
           slab_fits(&engine->grants, need->grants, SPARE(grants)) &&
           slab_fits(&engine->holds, need->holds, SPARE(holds)) &&
           slab_fits(&engine->lines, need->lines, SPARE(lines)) &&
           slab_fits(&engine->keys, need->keys, need->keys == 0 ? 0 : SPARE(keys)) &&
           slab_fits(&engine->ended, need->ended + engine->holds.live, 0) &&
           slab_fits(&engine->remainders, need->remainders, SPARE(remainders));
#undef SPARE
}

static void need_slot(const struct engine *engine, uint32_t customer, struct slot_name name,
                      bool is_sliding, struct need *need)
{
    const uint32_t number = slot_find(engine, customer, name);
    if (number == 0) need->slots++;
    if (number == 0 && name.scope != 0 &&
        (customer == 0 || scope_find(engine, customer, name.scope) == 0))
        need->scopes++;
    if (is_sliding && (number == 0 || slot_at(engine, number)->kind != SLOT_SLIDING)) need->rings++;
}

static void need_of(const struct engine *engine, uint32_t customer, const struct effect *effect,
                    struct need *need)
{
    switch (effect->kind) {
    case EFFECT_CUSTOMER:
        need->customers++;
        return;
    case EFFECT_SETTING:
        if (effect->setting.scope != 0) need->scopes++;
        return;
    case EFFECT_WINDOW:
        need_slot(engine, customer, effect->window.slot, false, need);
        return;
    case EFFECT_SLIDING:
        need_slot(engine, customer, effect->sliding.slot, true, need);
        return;
    case EFFECT_RATE:
    case EFFECT_PACED:
        need_slot(engine, customer, effect->rate.slot, false, need);
        return;
    case EFFECT_CONCURRENCY:
        need_slot(engine, customer, effect->concurrency.slot, false, need);
        return;
    case EFFECT_OVERRIDE:
    case EFFECT_RENEWAL:
        need->slots++;
        return;
    case EFFECT_GRANT:
        need->grants++;
        return;
    case EFFECT_HOLD:
        need->holds += effect->hold.is_new;
        need->ended += effect->hold.is_new;
        return;
    case EFFECT_HOLD_LINE:
        need->lines++;
        return;
    case EFFECT_HOLD_END:
        return;
    case EFFECT_ENDED:
        /* A hold that ends has its place kept since it began. */
        need->ended +=
            ended_find(engine, effect->ended.id) == 0 && hold_find(engine, effect->ended.id) == 0;
        return;
    case EFFECT_KEY:
        need->keys += key_find(engine, effect->key.hash) == 0;
        return;
    case EFFECT_REMAINDER:
        need->remainders += remainder_find(engine, customer, effect->remainder.version) == 0;
        return;
    case EFFECT_LOT:
    case EFFECT_GRANT_STATE:
    case EFFECT_DEBT:
    case EFFECT_SYMBOL:
    case EFFECT_POLICY:
    case EFFECT_SEAL:
    case EFFECT_CROWD:
    case EFFECT_POOL:   /* decide_pool has looked */
    case EFFECT_ACCESS: /* decide_access has looked */
    case EFFECT_ACCESS_END:
        return;
    }
    ENSURE(false);
}

bool engine_has_room_for(const struct engine *engine, const struct fact *fact)
{
    /* As if every effect took one of each: nearly always there is room for that too. */
    const uint32_t n = fact->effect_count;
    const struct need most = {1, n, n, n, n, 1, n, n, n, n};
    if (fits(engine, &most)) return true;
    const uint32_t customer = fact->has_customer ? customer_find(engine, fact->customer) : 0;
    struct need need = {0};
    for (uint32_t i = 0; i < n; i++)
        need_of(engine, customer, &fact->effects[i], &need);
    return fits(engine, &need);
}
