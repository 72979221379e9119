/*
 * pool.c: pools as the state keeps them, what an operator says of them, and their clocks (pace.h).
 *
 * A pool has a place from the first time that something was said of it, for good: buckets are
 * labelled with it. A change of the factor costs the same however many users there are: it moves
 * the base of four clocks; no bucket is touched, and nothing that was spent is worth more or less.
 */
#include "engine/decide.h"
#include "engine/pace.h"

/* ---- clocks */

uint32_t pace_speed(uint32_t factor, enum standing standing)
{
    const uint32_t whole = PACE_ONE / FACTOR_ONE * factor;
    switch (standing) {
    case STANDING_RESTRICTED:
        return whole / 4;
    case STANDING_PROBATION:
        return whole / 2;
    case STANDING_TRUSTED: /* half the cut; a quarter more where there is room */
        return factor == FACTOR_ONE ? PACE_ONE / 4 * 5 : (PACE_ONE + whole) / 2;
    case STANDING_NORMAL:
        break;
    }
    return whole;
}
_Static_assert(PACE_ONE / FACTOR_ONE == 4, "a quarter of any factor is whole ticks");

struct pace_clock pace_clock_of(const struct engine *engine, uint8_t pool, enum standing standing)
{
    if (pace_is_plain(pool, (uint8_t)standing)) return (struct pace_clock){.ticks = 1, .speed = 1};
    struct pace_clock clock = {.pool = pool,
                               .standing = (uint8_t)standing,
                               .ticks = PACE_ONE,
                               .speed = pace_speed(FACTOR_ONE, standing)};
    if (pool == 0) return clock;
    const struct pool *kept = &engine->pools[pool];
    clock.speed = pace_speed(kept->factor, standing);
    clock.since_ms = kept->since_ms;
    clock.base = kept->base[standing];
    return clock;
}

uint8_t pool_find(const struct engine *engine, uint32_t name)
{
    uint32_t place = engine->pool_count;
    while (place != 0 && engine->pools[place].name != name)
        place--;
    return (uint8_t)place;
}

struct pace_clock pace_clock_behind(const struct engine *engine, uint8_t pool,
                                    enum standing standing, int64_t at,
                                    const struct pace_clock *clock)
{
    const struct pace_clock own = pace_clock_of(engine, pool, standing);
    if (pool == 0 && clock->pool != 0 && at <= pace_at(&own, engine->pools[clock->pool].began_ms))
        return pace_clock_of(engine, clock->pool, standing);
    return own;
}

uint32_t standing_share(enum standing standing)
{
    const uint32_t speed = pace_speed(FACTOR_ONE, standing);
    return speed < PACE_ONE ? speed : PACE_ONE;
}

uint64_t standing_cut(uint64_t limit, enum standing standing)
{
    const uint64_t divisor = PACE_ONE / standing_share(standing);
    return limit / divisor + (limit % divisor != 0);
}

/* ---- what an operator says */

/* What the pool would be like; one that nothing was said of runs at 1. */
static struct pool pool_as_kept(const struct engine *engine, uint32_t name)
{
    const uint8_t place = pool_find(engine, name);
    if (place != 0) return engine->pools[place];
    return (struct pool){.name = name, .factor = FACTOR_ONE, .override = FACTOR_ONE};
}

static bool policy_has_pool(const struct policy *policy, uint32_t name)
{
    for (uint32_t i = 0; i < policy->pool_count; i++)
        if (policy->pools[i].name == name) return true;
    return false;
}

/* In 64ths, rounded down; but what is not nothing stays so. */
static uint8_t quantise(int64_t nano)
{
    const int64_t factor = nano * FACTOR_ONE / NANO_PER_CREDIT;
    return (uint8_t)(factor == 0 && nano != 0 ? 1 : factor);
}

static bool says_the_same(const struct pool *left, const struct pool *right)
{
    return left->has_override == right->has_override && left->override == right->override &&
           left->shed == right->shed;
}

static void draft_pool(const struct decision_context *c, const struct pool *before,
                       const struct pool *after)
{
    struct effect *effect = &c->fact->effects[c->fact->effect_count++];
    effect->kind = EFFECT_POOL;
    effect->pool.name = after->name;
    effect->pool.has_override = after->has_override;
    effect->pool.override = after->override;
    effect->pool.shed = after->shed;
    effect->pool.factor_before = before->factor;
    effect->pool.factor_after = after->has_override ? after->override : FACTOR_ONE;
    const uint8_t place = pool_find(c->engine, after->name);
    for (enum standing standing = 0; standing < STANDINGS; standing++) {
        /* The plain clock counts in milliseconds, what begins as it does not. */
        const struct pace_clock clock = pace_clock_of(c->engine, place, standing);
        effect->pool.base[standing] =
            pace_at(&clock, c->stamp.now_ms) * (int64_t)(PACE_ONE / clock.ticks);
    }
}

struct ruling decide_pool(const struct decision_context *c)
{
    const struct pool_terms *terms = &c->command->pool;
    const uint32_t name = symbol_find(c->engine, terms->name);
    c->fact->has_customer = false;
    if (name == SYMBOL_NONE || !policy_has_pool(c->policy, name))
        return ruling_problem(PROBLEM_UNKNOWN_POOL, "pool", terms->name, "a pool of the policy");
    const struct pool before = pool_as_kept(c->engine, name);
    struct pool after = before;
    if (terms->says_override) {
        after.has_override = terms->has_override;
        after.override = terms->has_override ? quantise(terms->override_nano) : FACTOR_ONE;
    }
    if (terms->says_shed) after.shed = (uint8_t)terms->shed;
    struct report *report = &c->fact->report;
    report->kind = COMMAND_POOL;
    report->limit = name;
    report->nano = after.has_override ? after.override : FACTOR_NONE;
    report->total = after.has_override ? after.override : FACTOR_ONE;
    report->count = after.shed;
    if (says_the_same(&before, &after)) return ruling_fact();
    if (pool_find(c->engine, name) == 0 && c->engine->pool_count == POOL_STATES_MAX)
        return ruling_problem(PROBLEM_CAPACITY, NULL, BYTES_NONE,
                              "one of the 255 pools that were ever slowed here");
    draft_pool(c, &before, &after);
    return ruling_fact();
}

/* ---- changes; facts of pools are never tried out */

void pool_apply(struct engine *engine, const struct fact *fact, const struct effect *effect)
{
    ENSURE(!engine->trial.is_running);
    uint8_t place = pool_find(engine, effect->pool.name);
    const bool is_new = place == 0;
    if (is_new) {
        ENSURE(engine->pool_count < POOL_STATES_MAX);
        ENSURE(effect->pool.factor_before == FACTOR_ONE);
        place = (uint8_t)++engine->pool_count;
    }
    struct pool *pool = &engine->pools[place];
    ENSURE(is_new || pool->factor == effect->pool.factor_before);
    for (enum standing standing = 0; standing < STANDINGS; standing++) {
        const struct pace_clock clock = pace_clock_of(engine, is_new ? 0 : place, standing);
        ENSURE(pace_at(&clock, fact->at_ms) * (int64_t)(PACE_ONE / clock.ticks) ==
               effect->pool.base[standing]);
        pool->base[standing] = effect->pool.base[standing];
    }
    pool->name = effect->pool.name;
    if (is_new) pool->began_ms = fact->at_ms;
    pool->since_ms = fact->at_ms;
    pool->factor = (uint8_t)effect->pool.factor_after;
    pool->has_override = effect->pool.has_override;
    pool->override = (uint8_t)effect->pool.override;
    pool->shed = (uint8_t)effect->pool.shed;
}

/* ---- asking */

bool pool_sheds(const struct engine *engine, uint32_t name, enum priority priority)
{
    const struct pool *pool = &engine->pools[pool_find(engine, name)]; /* of 0: nothing is shed */
    if (pool->has_override && pool->override == 0) return true;
    switch ((enum shed)pool->shed) {
    case SHED_NONE:
        return false;
    case SHED_SHEDDABLE:
        return priority == PRIORITY_SHEDDABLE;
    case SHED_DEFAULT:
        return priority != PRIORITY_CRITICAL;
    case SHED_ALL:
        break;
    }
    return true;
}

struct pool_view engine_pool(const struct engine *engine, uint32_t name)
{
    const struct pool pool = pool_as_kept(engine, name);
    return (struct pool_view){.factor = pool.factor,
                              .has_override = pool.has_override,
                              .override = pool.override,
                              .shed = (enum shed)pool.shed,
                              .since_ms = pool.since_ms};
}
