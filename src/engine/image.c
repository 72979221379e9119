/*
 * image.c: making an image. Seven kinds of objects: a customer with his own counters and
 * remainders, a subject's scope with its counters, a grant, an open hold with its lines and the
 * keys that wait for its end, a key that is kept, an ended hold, an access key. One bit for each
 * says whether it is out: written, or not there at the mark.
 *
 * Whatever changes an object has it kept first: apply by what its fact is about to touch
 * (image_keep_touched), sweep one by one (image_keep). Trials keep nothing: they take back what
 * they did before anybody looks.
 */
#include "engine/image_walk.h"

#include <string.h>

static struct slab *slab_of(struct engine *engine, enum image_kind kind)
{
    switch (kind) {
    case IMAGE_CUSTOMER:
        return &engine->customers;
    case IMAGE_SCOPE:
        return &engine->scopes;
    case IMAGE_GRANT:
        return &engine->grants;
    case IMAGE_HOLD:
        return &engine->holds;
    case IMAGE_KEY:
        return &engine->keys;
    case IMAGE_ENDED:
        return &engine->ended;
    case IMAGE_ACCESS:
        return &engine->access;
    case IMAGE_KINDS:
        break;
    }
    ENSURE(false);
}

/* A record that was given back. */
static bool is_free(const struct engine *engine, enum image_kind kind, uint32_t number)
{
    switch (kind) {
    case IMAGE_CUSTOMER:
        return false;
    case IMAGE_SCOPE:
        return scope_at(engine, number)->customer == 0;
    case IMAGE_GRANT:
        return grant_at(engine, number)->state == GRANT_FREE;
    case IMAGE_HOLD:
        return hold_at(engine, number)->customer == 0;
    case IMAGE_KEY:
        return key_state(key_at(engine, number)) == KEY_FREE;
    case IMAGE_ENDED:
        return ended_at(engine, number)->changed == 0;
    case IMAGE_ACCESS:
        return access_at(engine, number)->id == 0;
    case IMAGE_KINDS:
        break;
    }
    ENSURE(false);
}

static bool bit_of(const uint64_t *bits, uint32_t number)
{
    return (bits[number / 64] >> (number % 64) & 1) != 0;
}

static void bit_set(uint64_t *bits, uint32_t number)
{
    bits[number / 64] |= UINT64_C(1) << (number % 64);
}

static void set_out(struct image *image, enum image_kind kind, uint32_t number)
{
    if (number <= image->last[kind]) bit_set(image->is_out[kind], number);
}

/* ---- records */

static void put_counters(const struct engine *engine, struct codec c, uint32_t first)
{
    for (uint32_t n = first; n != 0; n = slot_at(engine, n)->next) {
        struct slot *slot = slot_at(engine, n);
        struct ring *ring =
            slot->kind == SLOT_SLIDING ? slab_at(&engine->rings, slot->sliding.ring) : NULL;
        put_varint(c.out, image_slot_word(slot));
        walk_counter(c, true, slot, ring);
    }
    put_varint(c.out, IMAGE_CHAIN_END);
}

static void put_customer(const struct engine *engine, struct codec c, uint32_t number)
{
    struct customer *customer = customer_at(engine, number);
    put_varint(c.out, number);
    walk_customer(c, true, customer);
    put_counters(engine, c, customer->slots);
    for (uint32_t n = customer->remainders; n != 0;) {
        struct remainder *remainder = slab_at(&engine->remainders, n);
        put_varint(c.out, IMAGE_CHAIN_MORE);
        walk_remainder(c, true, remainder);
        n = remainder->next;
    }
    put_varint(c.out, IMAGE_CHAIN_END);
}

static void put_hold(struct engine *engine, struct codec c, uint32_t number)
{
    struct hold *hold = hold_at(engine, number);
    walk_hold(c, true, hold);
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next)
        walk_hold_line(c, true, hold_line_at(engine, n));
    for (uint32_t n = hold->keys; n != 0; n = (uint32_t)key_term(key_at(engine, n))) {
        put_varint(c.out, IMAGE_CHAIN_MORE);
        walk_key(c, true, key_at(engine, n), true);
        set_out(&engine->image, IMAGE_KEY, n);
    }
    put_varint(c.out, IMAGE_CHAIN_END);
}

static void put_access(struct codec c, struct access *access)
{
    struct access_terms terms = {.scopes = access->scopes,
                                 .customer = access_customer(access),
                                 .label = access_label(access),
                                 .expires_ms = access->expires_ms};
    memcpy(terms.hash, access->hash, sizeof terms.hash);
    walk_access(c, true, access, &terms);
}

static void put_object(struct engine *engine, struct codec c, enum image_kind kind, uint32_t number)
{
    switch (kind) {
    case IMAGE_CUSTOMER:
        put_customer(engine, c, number);
        return;
    case IMAGE_SCOPE:
        walk_scope(c, true, scope_at(engine, number));
        put_counters(engine, c, scope_at(engine, number)->slots);
        return;
    case IMAGE_GRANT:
        walk_grant(c, true, grant_at(engine, number));
        return;
    case IMAGE_HOLD:
        put_hold(engine, c, number);
        return;
    case IMAGE_KEY:
        walk_key(c, true, key_at(engine, number), false);
        return;
    case IMAGE_ENDED:
        walk_ended(c, true, ended_at(engine, number));
        return;
    case IMAGE_ACCESS:
        put_access(c, access_at(engine, number));
        return;
    case IMAGE_KINDS:
        break;
    }
    ENSURE(false);
}

/* Those of a second that is over are nobody's any more. */
static bool crowd_runs(const struct crowd *crowd, int64_t at_ms)
{
    return crowd->of != 0 && crowd->second >= at_ms / SECOND_MS;
}

static uint32_t crowds_running(const struct engine *engine, int64_t at_ms)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < CROWDS; n++)
        count += crowd_runs(&engine->crowds[n], at_ms);
    return count;
}

static void put_head(const struct engine *engine, struct buffer *out, int64_t at_ms)
{
    struct image_head head = {
        .version = IMAGE_VERSION,
        .key_check = image_key_check(engine),
        .at_ms = at_ms,
        .customers = engine->customers.used,
        .recurring_cursor = engine->recurring_cursor,
        .policy = engine->policy,
        .cut = engine->cut,
        .forgotten_through = engine->forgotten_through,
        .access_made = engine->access_made,
        .crowd_count = crowds_running(engine, at_ms),
        .pool_count = engine->pool_count,
        .symbol_count = engine->symbol_count - (SYMBOL_FIRST_FREE - 1),
    };
    const struct codec c = {.out = out};
    put_varint(out, IMAGE_RECORD_HEAD);
    walk_image_head(c, true, &head);
    for (uint32_t n = 0; n < CROWDS; n++)
        if (crowd_runs(&engine->crowds[n], at_ms)) walk_crowd(c, true, &engine->crowds[n]);
    for (uint32_t n = SYMBOL_FIRST_FREE; n <= engine->symbol_count; n++)
        walk_bytes(c, true, &engine->symbol_names[n]);
    for (uint32_t n = 1; n <= engine->pool_count; n++)
        walk_pool(c, true, &engine->pools[n]);
}

/* ---- keeping */

void image_keep(struct engine *engine, enum image_kind kind, uint32_t number)
{
    struct image *image = &engine->image;
    if (image->out == NULL || engine->trial.is_running) return;
    if (number == 0 || number > image->last[kind]) return;
    if (bit_of(image->is_out[kind], number)) return;
    bit_set(image->is_out[kind], number);
    struct buffer out = *image->out; /* in registers: see codec.h */
    put_varint(&out, (uint64_t)kind + IMAGE_RECORD_FIRST);
    put_object(engine, (struct codec){.out = &out}, kind, number);
    *image->out = out;
    image->counts[kind]++;
}

void image_skip(struct engine *engine, const struct slab *slab, uint32_t number)
{
    if (engine->trial.is_running) return;
    for (enum image_kind kind = 0; kind < IMAGE_KINDS; kind++)
        if (slab_of(engine, kind) == slab) set_out(&engine->image, kind, number);
}

static void keep_hold(struct engine *engine, uint64_t id)
{
    const uint32_t number = hold_find(engine, id);
    image_keep(engine, IMAGE_HOLD, number);
}

static void keep_scope(struct engine *engine, uint32_t customer, uint64_t hash)
{
    if (hash != 0) image_keep(engine, IMAGE_SCOPE, scope_find(engine, customer, hash));
}

/* Everything of a customer's own was kept with him. */
static void keep_touched_by(struct engine *engine, uint32_t customer, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_SETTING:
        keep_scope(engine, customer, effect->setting.scope);
        return;
    case EFFECT_WINDOW:
        keep_scope(engine, customer, effect->window.slot.scope);
        return;
    case EFFECT_SLIDING:
        keep_scope(engine, customer, effect->sliding.slot.scope);
        return;
    case EFFECT_RATE:
    case EFFECT_PACED:
        keep_scope(engine, customer, effect->rate.slot.scope);
        return;
    case EFFECT_CONCURRENCY:
        keep_scope(engine, customer, effect->concurrency.slot.scope);
        return;
    case EFFECT_LOT:
        image_keep(engine, IMAGE_GRANT, grant_find(engine, effect->lot.id));
        return;
    case EFFECT_GRANT_STATE:
        image_keep(engine, IMAGE_GRANT, grant_find(engine, effect->grant_state.id));
        return;
    case EFFECT_HOLD:
        keep_hold(engine, effect->hold.id);
        return;
    case EFFECT_HOLD_LINE:
        keep_hold(engine, effect->hold_line.hold);
        return;
    case EFFECT_HOLD_END:
        keep_hold(engine, effect->hold_end.id);
        return;
    case EFFECT_ENDED:
        image_keep(engine, IMAGE_ENDED, ended_find(engine, effect->ended.id));
        return;
    case EFFECT_KEY:
        image_keep(engine, IMAGE_KEY, key_find(engine, effect->key.hash));
        keep_hold(engine, effect->key.hold);
        return;
    case EFFECT_ACCESS_END:
        image_keep(engine, IMAGE_ACCESS, access_find(engine, effect->access_end.id));
        return;
    case EFFECT_ACCESS:
    case EFFECT_CUSTOMER:
    case EFFECT_OVERRIDE:
    case EFFECT_GRANT:
    case EFFECT_DEBT:
    case EFFECT_REMAINDER:
    case EFFECT_RENEWAL:
    case EFFECT_SYMBOL: /* from here on: in the head */
    case EFFECT_POLICY:
    case EFFECT_SEAL:
    case EFFECT_POOL:
    case EFFECT_CROWD:
        return;
    }
    ENSURE(false);
}

void image_keep_touched(struct engine *engine, const struct fact *fact, uint32_t customer)
{
    if (engine->trial.is_running) return;
    if (fact->has_customer && customer == 0) return; /* nothing of his was there at the mark */
    image_keep(engine, IMAGE_CUSTOMER, customer);    /* 0: it is about nobody */
    for (uint32_t i = 0; i < fact->effect_count; i++)
        keep_touched_by(engine, customer, &fact->effects[i]);
}

/* ---- from the mark to the end */

void engine_image_begin(struct engine *engine, int64_t at_ms, struct buffer *out)
{
    struct image *image = &engine->image;
    ENSURE(image->out == NULL && !engine->trial.is_running);
    for (enum image_kind kind = 0; kind < IMAGE_KINDS; kind++) {
        const uint32_t last = slab_of(engine, kind)->used;
        image->last[kind] = last;
        image->counts[kind] = 0;
        memset(image->is_out[kind], 0, ((size_t)last / 64 + 1) * sizeof(uint64_t));
    }
    image->out = out;
    image->kind = 0;
    image->next = 1;
    put_head(engine, out, at_ms);
}

void engine_image_redirect(struct engine *engine, struct buffer *out)
{
    ENSURE(engine->image.out != NULL);
    engine->image.out = out;
}

void engine_image_stop(struct engine *engine)
{
    engine->image.out = NULL;
}

bool engine_image_is_running(const struct engine *engine)
{
    return engine->image.out != NULL;
}

/* The next object from `number` on that is not out; image->last + 1: there is none. Looks at 64 a
 * time. */
static uint32_t next_not_out(const struct image *image, enum image_kind kind, uint32_t number)
{
    const uint32_t last = image->last[kind];
    while (number <= last) {
        const uint64_t missing = ~image->is_out[kind][number / 64] >> (number % 64);
        if (missing != 0) {
            number += (uint32_t)__builtin_ctzll(missing);
            break;
        }
        number = (number / 64 + 1) * 64;
    }
    return number <= last ? number : last + 1;
}

static void put_end(struct image *image)
{
    struct image_end end;
    memcpy(end.counts, image->counts, sizeof end.counts);
    put_varint(image->out, IMAGE_RECORD_END);
    walk_image_end((struct codec){.out = image->out}, true, &end);
}

#define LOOK_BYTES 16 /* what looking at an object costs, as if it were written */

bool engine_image_step(struct engine *engine, uint64_t bytes)
{
    struct image *image = &engine->image;
    ENSURE(image->out != NULL && !engine->trial.is_running);
    const struct buffer *out = image->out;
    const size_t used = out->used;
    for (uint64_t looks = 0; out->used - used + looks * LOOK_BYTES < bytes; looks++) {
        image->next = next_not_out(image, image->kind, image->next);
        if (image->next <= image->last[image->kind]) {
            if (!is_free(engine, image->kind, image->next))
                image_keep(engine, image->kind, image->next);
            image->next++;
            continue;
        }
        image->next = 1;
        image->kind++;
        if (image->kind < IMAGE_KINDS) continue;
        put_end(image);
        image->out = NULL;
        return true;
    }
    return false;
}
