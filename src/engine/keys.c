/*
 * keys.c: idempotency keys (SEMANTICS I1-I3).
 *
 * The state holds every key of an open hold, and the settled ones that were bound of late. Settled
 * keys may leave for files: count, list, forget, each a walk over all records in pieces as small as
 * the caller likes. Where the state lacks a key, the command says whether a file has it.
 */
#include "engine/decide.h"

enum { FORGET_AHEAD = 8 }; /* whose place in the index is fetched meanwhile */

bool key_is_taken_by(enum command_kind kind)
{
    return kind == COMMAND_AUTHORIZE || kind == COMMAND_CONSUME || kind == COMMAND_USAGE ||
           kind == COMMAND_EXTEND || kind == COMMAND_GRANT || kind == COMMAND_REFUND;
}

static bool is_over(const struct key *key, int64_t now_ms)
{
    return key_state(key) != KEY_WAITS && now_ms >= (int64_t)key_term(key);
}

static struct ruling answer_again(struct engine *engine, const struct command *command,
                                  struct hash128 hash, uint64_t body_hash, uint64_t position)
{
    if (body_hash != command_body_hash(engine->hash_key, command))
        return ruling_problem(PROBLEM_KEY_CONFLICT, "idempotency_key", command->key,
                              "a key that was not used with another body");
    return (struct ruling){.kind = RULING_REPLAY, .position = position, .key = hash};
}

struct ruling key_rule(struct engine *engine, const struct command *command, struct hash128 hash,
                       int64_t now_ms)
{
    const uint32_t number = key_find(engine, hash);
    if (number != 0) {
        const struct key *key = slab_at(&engine->keys, number);
        if (!is_over(key, now_ms))
            return answer_again(engine, command, hash, key->body_hash, key->position);
    }
    if (command->key_elsewhere == KEY_UNSOUGHT)
        return (struct ruling){.kind = RULING_KEY, .key = hash};
    const struct kept_key *kept = &command->key_kept;
    if (command->key_elsewhere == KEY_NOWHERE || now_ms >= kept->until_ms) return ruling_fact();
    ENSURE(hash_128_equal(kept->hash, hash));
    return answer_again(engine, command, hash, kept->body_hash, kept->position);
}

void key_bind(struct engine *engine, const struct policy *policy, const struct command *command,
              struct hash128 hash, struct fact *fact)
{
    if (fact->report.outcome == OUTCOME_DENY) return;
    const bool waits = command->kind == COMMAND_AUTHORIZE || command->kind == COMMAND_EXTEND;
    ENSURE(fact->effect_count < EFFECTS_MAX);
    struct effect *effect = &fact->effects[fact->effect_count++];
    effect->kind = EFFECT_KEY;
    effect->key.hash = hash;
    effect->key.body_hash = command_body_hash(engine->hash_key, command);
    effect->key.position = fact->position;
    effect->key.hold = waits ? fact->report.id : 0;
    effect->key.until_ms = waits ? INSTANT_NEVER : fact->at_ms + policy->retention_ms;
}

void key_forget(struct engine *engine, uint32_t number)
{
    struct key *key = slab_at(&engine->keys, number);
    image_keep(engine, IMAGE_KEY, number);
    state_touch(engine, key, sizeof *key);
    key_set(key, KEY_FREE, 0);
    state_index_remove(engine, &engine->key_index, key->hash.word[0], number);
    state_give(engine, &engine->keys, number);
}

/* Leaving. */

uint32_t engine_key_records(const struct engine *engine)
{
    return engine->keys.used;
}

static uint32_t end_of(const struct engine *engine, uint32_t from, uint32_t records)
{
    ENSURE(from >= 1 && !engine->trial.is_running);
    const uint64_t end = (uint64_t)from + records;
    return end > engine->keys.used ? engine->keys.used + 1 : (uint32_t)end;
}

static bool is_wanted(const struct key *key, const struct keys_wanted *wanted)
{
    return key_state(key) == KEY_KEPT && key->position < wanted->before &&
           wanted->now_ms < (int64_t)key_term(key) && key->hash.word[0] >= wanted->first &&
           key->hash.word[0] <= wanted->last;
}

uint32_t engine_keys_count(struct engine *engine, const struct keys_wanted *wanted, uint32_t from,
                           uint32_t records)
{
    const uint32_t end = end_of(engine, from, records);
    uint32_t count = 0;
    for (uint32_t n = from; n < end; n++) {
        struct key *key = slab_at(&engine->keys, n);
        if (key_state(key) == KEY_FILED) key_set(key, KEY_KEPT, key_term(key));
        count += is_wanted(key, wanted);
    }
    return count;
}

uint32_t engine_keys_list(struct engine *engine, const struct keys_wanted *wanted, uint32_t from,
                          uint32_t records, struct kept_key *out, uint32_t room)
{
    const uint32_t end = end_of(engine, from, records);
    uint32_t count = 0;
    for (uint32_t n = from; n < end && count < room; n++) {
        struct key *key = slab_at(&engine->keys, n);
        if (!is_wanted(key, wanted)) continue;
        key_set(key, KEY_FILED, key_term(key));
        out[count++] = (struct kept_key){.hash = key->hash,
                                         .body_hash = key->body_hash,
                                         .position = key->position,
                                         .until_ms = (int64_t)key_term(key)};
    }
    return count;
}

void engine_keys_forget(struct engine *engine, uint32_t from, uint32_t records)
{
    const uint32_t end = end_of(engine, from, records);
    for (uint32_t n = from; n < end; n++) {
        const struct key *key = slab_at(&engine->keys, n);
        if (n + FORGET_AHEAD < end)
            index_prefetch(&engine->key_index, (key + FORGET_AHEAD)->hash.word[0]);
        if (key_state(key) == KEY_FILED) key_forget(engine, n);
    }
}

bool engine_key_forget(struct engine *engine, struct kept_key kept)
{
    const uint32_t number = key_find(engine, kept.hash);
    if (number == 0) return false;
    const struct key *key = slab_at(&engine->keys, number);
    if (key_state(key) == KEY_WAITS || key->position != kept.position) return false;
    key_forget(engine, number);
    return true;
}
