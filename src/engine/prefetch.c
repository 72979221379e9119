/*
 * prefetch.c: fetching ahead. What a decision touches lies in a dozen cache lines that lead to each
 * other: index, customer, scope, then the chains of counters and grants. From memory each costs
 * what a third of a decision does. So commands at hand are walked ahead one step at a time: a step
 * reads only what the one before asked for, and meanwhile other commands are decided.
 *
 * Nothing here decides: what is found is a hint, checked before it is used.
 */
#include "engine/decide.h"

/* Every line that the record lies in: few begin where a line does. */
static void fetch(const void *at, uint32_t bytes)
{
    const uintptr_t first = (uintptr_t)at / 64 * 64;
    for (uintptr_t line = first; line < (uintptr_t)at + bytes; line += 64)
        __builtin_prefetch((const void *)line);
}

static uint64_t scope_key(const struct command *command, uint32_t level)
{
    return hash_mix(command->owner.word[0], command->fetched.levels[level]);
}

static bool has_subject(enum command_kind kind)
{
    return kind == COMMAND_AUTHORIZE || kind == COMMAND_CONSUME || kind == COMMAND_CHECK ||
           kind == COMMAND_USAGE;
}

/* Whose is it? */
static void fetch_indexes(const struct engine *engine, struct command *command)
{
    struct fetched *fetched = &command->fetched;
    command->owner = customer_id(engine, command->customer);
    command->has_owner = true;
    index_prefetch(&engine->customer_index, command->owner.word[0]);
    if (has_subject(command->kind))
        fetched->level_count = subject_levels(engine, command->subject, fetched->levels);
    for (uint32_t i = 0; i < fetched->level_count; i++)
        index_prefetch(&engine->scope_index, scope_key(command, i));
    command->has_key_hash = command->key.length != 0 && key_is_taken_by(command->kind);
    if (!command->has_key_hash) return;
    command->key_hash = key_id(engine, command->owner, command->key);
    index_prefetch(&engine->key_index, command->key_hash.word[0]);
}

/* The first candidate of each: to compare identities would be to wait for the blocks. */
static void fetch_blocks(const struct engine *engine, struct command *command)
{
    struct fetched *fetched = &command->fetched;
    uint64_t cursor = 0;
    fetched->customer = index_find(&engine->customer_index, command->owner.word[0], &cursor);
    fetch(customer_at(engine, fetched->customer), sizeof(struct customer));
    for (uint32_t i = 0; i < fetched->level_count; i++) {
        cursor = 0;
        fetched->scopes[i] = index_find(&engine->scope_index, scope_key(command, i), &cursor);
        fetch(scope_at(engine, fetched->scopes[i]), sizeof(struct scope));
    }
}

static void add_chain(struct fetched *fetched, uint32_t slot)
{
    if (slot != 0) fetched->slots[fetched->chain_count++] = slot;
}

static void find_chains(const struct engine *engine, struct command *command)
{
    struct fetched *fetched = &command->fetched;
    if (fetched->customer == 0) return;
    const struct customer *customer = customer_at(engine, fetched->customer);
    command->owner_hint = hash_128_equal(customer->id, command->owner)
                              ? fetched->customer
                              : customer_find(engine, command->owner);
    fetched->grant = customer->grants;
    add_chain(fetched, customer->slots);
    for (uint32_t i = 0; i < fetched->level_count; i++)
        add_chain(fetched, scope_at(engine, fetched->scopes[i])->slots);
}

static void follow_chains(const struct engine *engine, struct fetched *fetched)
{
    if (fetched->grant != 0) fetched->grant = grant_at(engine, fetched->grant)->next;
    const uint32_t count = fetched->chain_count;
    fetched->chain_count = 0;
    for (uint32_t i = 0; i < count; i++)
        add_chain(fetched, slot_at(engine, fetched->slots[i])->next);
}

/* The records that this step found, and nothing behind them yet. */
static void fetch_links(const struct engine *engine, const struct fetched *fetched)
{
    if (fetched->grant != 0) fetch(grant_at(engine, fetched->grant), sizeof(struct grant));
    for (uint32_t i = 0; i < fetched->chain_count; i++)
        fetch(slot_at(engine, fetched->slots[i]), sizeof(struct slot));
}

/* The subject's scope that an effect counts in; 0: none. */
static uint64_t scope_of(const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_WINDOW:
        return effect->window.slot.scope;
    case EFFECT_SLIDING:
        return effect->sliding.slot.scope;
    case EFFECT_RATE:
    case EFFECT_PACED:
        return effect->rate.slot.scope;
    case EFFECT_CONCURRENCY:
        return effect->concurrency.slot.scope;
    case EFFECT_CUSTOMER:
    case EFFECT_SETTING:
    case EFFECT_OVERRIDE:
    case EFFECT_GRANT:
    case EFFECT_LOT:
    case EFFECT_GRANT_STATE:
    case EFFECT_DEBT:
    case EFFECT_REMAINDER:
    case EFFECT_HOLD:
    case EFFECT_HOLD_LINE:
    case EFFECT_HOLD_END:
    case EFFECT_ENDED:
    case EFFECT_KEY:
    case EFFECT_RENEWAL:
    case EFFECT_SYMBOL:
    case EFFECT_POLICY:
    case EFFECT_CROWD:
    case EFFECT_ACCESS:
    case EFFECT_ACCESS_END:
    case EFFECT_SEAL:
    case EFFECT_POOL:
        return 0;
    }
    return 0;
}

/* Where an effect finds its grant, hold or key. */
static void fetch_found(const struct engine *engine, const struct effect *effect)
{
    if (effect->kind == EFFECT_LOT)
        index_prefetch(&engine->grant_index, hash_mix(effect->lot.id, 1));
    else if (effect->kind == EFFECT_HOLD)
        index_prefetch(&engine->hold_index, hash_mix(effect->hold.id, 1));
    else if (effect->kind == EFFECT_KEY)
        index_prefetch(&engine->key_index, effect->key.hash.word[0]);
}

#define EFFECTS_FETCHED_MAX 8u /* the first ones; most facts have no more */

void engine_prefetch_fact(const struct engine *engine, const struct fact *fact,
                          struct command *ahead)
{
    struct fetched *fetched = &ahead->fetched;
    *fetched = (struct fetched){.steps = 1};
    ahead->owner_hint = 0;
    ahead->owner = fact->customer;
    ahead->has_owner = fact->has_customer;
    if (!ahead->has_owner) return;
    index_prefetch(&engine->customer_index, ahead->owner.word[0]);
    for (uint32_t i = 0; i < fact->effect_count && i < EFFECTS_FETCHED_MAX; i++) {
        const uint64_t scope = scope_of(&fact->effects[i]);
        const uint32_t count = fetched->level_count;
        fetch_found(engine, &fact->effects[i]);
        if (scope == 0 || count == LEVELS_MAX) continue;
        if (count != 0 && fetched->levels[count - 1] == scope) continue;
        fetched->levels[fetched->level_count++] = scope;
        index_prefetch(&engine->scope_index, scope_key(ahead, count));
    }
}

void engine_prefetch(const struct engine *engine, struct command *command)
{
    struct fetched *fetched = &command->fetched;
    if (!command->has_owner && command->customer.length == 0) return;
    switch (fetched->steps++) {
    case 0:
        fetch_indexes(engine, command);
        return;
    case 1:
        fetch_blocks(engine, command);
        return;
    case 2:
        find_chains(engine, command);
        break;
    default:
        if (fetched->grant == 0 && fetched->chain_count == 0) return;
        follow_chains(engine, fetched);
        break;
    }
    fetch_links(engine, fetched);
}
