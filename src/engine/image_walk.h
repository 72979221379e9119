/*
 * image_walk.h (private): one description of each record of an image, for both directions.
 *
 * A field that is added to a block is walked here too (or is made anew at loading: the list is in
 * image_test.c, which fails otherwise) and raises IMAGE_VERSION; older images lack it.
 */
#pragma once

#include "engine/state.h"

#include "engine/codec.h"

/* What a record begins with. Objects are IMAGE_CUSTOMER.. + IMAGE_RECORD_FIRST. */
enum image_record { IMAGE_RECORD_HEAD = 1, IMAGE_RECORD_END, IMAGE_RECORD_FIRST };

struct image_head {
    uint32_t version;
    uint64_t key_check; /* of the hash key, which is the journal's */
    int64_t at_ms;
    uint32_t customers; /* numbers 1..customers, all of them */
    uint32_t recurring_cursor;
    struct engine_policy_info policy;
    struct journal_cut cut;
    uint64_t forgotten_through;
    uint64_t access_made;
    uint32_t crowd_count;  /* of the second that runs; they follow */
    uint32_t symbol_count; /* whose names follow, without those that every state is born with */
    uint32_t pool_count;   /* they follow, in the order of their places; version 2 has none */
};

struct image_end {
    uint64_t counts[IMAGE_KINDS]; /* objects written */
};

/* What a chain's next element begins with, where its length is not known: 0 ends it. */
enum { IMAGE_CHAIN_END = 0, IMAGE_CHAIN_MORE = 1 };

static inline uint64_t image_key_check(const struct engine *engine)
{
    return hash_64(engine->hash_key, BYTES("weir image"));
}

WALK walk_image_head(struct codec c, bool w, struct image_head *head)
{
    walk_u32(c, w, &head->version);
    walk_word(c, w, &head->key_check);
    walk_i64(c, w, &head->at_ms);
    walk_u32(c, w, &head->customers);
    walk_u32(c, w, &head->recurring_cursor);
    walk_u64(c, w, &head->policy.version);
    walk_word(c, w, &head->policy.content_hash);
    walk_word(c, w, &head->policy.file_hash);
    walk_u64(c, w, &head->policy.position);
    walk_i64(c, w, &head->policy.installed_ms);
    walk_cut(c, w, &head->cut);
    walk_u64(c, w, &head->forgotten_through);
    walk_u64(c, w, &head->access_made);
    walk_count(c, w, &head->crowd_count, CROWDS);
    walk_count(c, w, &head->symbol_count, SYMBOLS_MAX);
    if (head->version > 2) walk_count(c, w, &head->pool_count, POOL_STATES_MAX);
}

WALK walk_crowd(struct codec c, bool w, struct crowd *crowd)
{
    walk_word(c, w, &crowd->of);
    walk_i64(c, w, &crowd->second);
    walk_u64(c, w, &crowd->first);
    walk_count(c, w, &crowd->count, CROWD_ALONE_MAX + 1);
}

WALK walk_pool(struct codec c, bool w, struct pool *pool)
{
    walk_u32(c, w, &pool->name);
    WALK_ENUM(c, w, pool->factor, FACTOR_ONE);
    walk_bool(c, w, &pool->has_override);
    WALK_ENUM(c, w, pool->override, FACTOR_ONE);
    WALK_ENUM(c, w, pool->shed, SHED_ALL);
    walk_i64(c, w, &pool->began_ms);
    walk_i64(c, w, &pool->since_ms);
    for (unsigned i = 0; i < STANDINGS; i++)
        walk_i64(c, w, &pool->base[i]);
}

/* What a counter begins with: its kind, and a bucket's clock above that. Never 0. */
static inline uint32_t image_slot_word(const struct slot *slot)
{
    return slot->kind | (uint32_t)slot->standing << 8 | (uint32_t)slot->pool << 16;
}

WALK walk_image_end(struct codec c, bool w, struct image_end *end)
{
    for (unsigned kind = 0; kind < IMAGE_KINDS; kind++)
        walk_u64(c, w, &end->counts[kind]);
}

WALK walk_ring(struct codec c, bool w, struct ring *ring)
{
    uint32_t count = 0;
    ENSURE(ring != NULL);
    walk_i64(c, w, &ring->newest);
    if (w)
        for (uint32_t i = 0; i < RING_SLOTS; i++)
            count += ring->counts[i] != 0;
    walk_count(c, w, &count, RING_SLOTS);
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++, next++) {
        while (w && ring->counts[next] == 0)
            next++;
        walk_u32(c, w, &next);
        if (!w && (next >= RING_SLOTS || c.in->bad)) {
            c.in->bad = true;
            return;
        }
        walk_i64(c, w, &ring->counts[next]);
    }
}

/* The kind comes first (image_slot_word) and has been read: it ends the chain where it is 0. */
WALK walk_counter(struct codec c, bool w, struct slot *slot, struct ring *ring)
{
    walk_u64(c, w, &slot->id);
    switch ((enum slot_kind)slot->kind) {
    case SLOT_WINDOW:
        walk_i64(c, w, &slot->window.used);
        walk_i64(c, w, &slot->window.end_ms);
        walk_u32(c, w, &slot->window.generation);
        return;
    case SLOT_SLIDING:
        walk_u32(c, w, &slot->sliding.generation);
        walk_i64(c, w, &slot->sliding.per_ms);
        walk_ring(c, w, ring);
        return;
    case SLOT_RATE:
        walk_i64(c, w, &slot->rate.level);
        walk_u64(c, w, &slot->rate.part);
        walk_u64(c, w, &slot->rate.limit);
        walk_u64(c, w, &slot->rate.burst);
        walk_i64(c, w, &slot->rate.per_ms);
        walk_i64(c, w, &slot->rate.at);
        return;
    case SLOT_CONCURRENCY:
        walk_i64(c, w, &slot->in_flight);
        return;
    case SLOT_OVERRIDE:
        walk_u64(c, w, &slot->override);
        return;
    case SLOT_RENEWAL:
        walk_i64(c, w, &slot->renewal.next_ms);
        walk_u64(c, w, &slot->renewal.grant);
        return;
    }
    if (!w) c.in->bad = true;
}

WALK walk_remainder(struct codec c, bool w, struct remainder *remainder)
{
    walk_word(c, w, &remainder->version);
    walk_u64(c, w, &remainder->rem);
    walk_u64(c, w, &remainder->q);
}

enum { CUSTOMER_SUSPENDED = 1, CUSTOMER_ANCHORED = 2, CUSTOMER_STANDING = 2, CUSTOMER_FLAGS = 15 };

WALK walk_customer(struct codec c, bool w, struct customer *customer)
{
    walk_word(c, w, &customer->id.word[0]);
    walk_word(c, w, &customer->id.word[1]);
    walk_i64(c, w, &customer->created_ms);
    walk_i64(c, w, &customer->anchor_ms);
    walk_i64(c, w, &customer->debt);
    walk_i64(c, w, &customer->limits_changed_ms);
    walk_u32(c, w, &customer->plan);
    WALK_ENUM(c, w, customer->mode, CREDIT_OFF);
    uint32_t flags = 0;
    if (w)
        flags = (customer->suspended ? CUSTOMER_SUSPENDED : 0u) |
                (customer->has_anchor ? CUSTOMER_ANCHORED : 0u) |
                (uint32_t)customer->standing << CUSTOMER_STANDING;
    walk_count(c, w, &flags, CUSTOMER_FLAGS);
    if (w) return;
    customer->suspended = (flags & CUSTOMER_SUSPENDED) != 0;
    customer->has_anchor = (flags & CUSTOMER_ANCHORED) != 0;
    customer->standing = flags >> CUSTOMER_STANDING & 3;
}

WALK walk_scope(struct codec c, bool w, struct scope *scope)
{
    walk_word(c, w, &scope->hash);
    walk_u32(c, w, &scope->customer);
    uint32_t flags = scope->suspended | (uint32_t)scope->standing << 1;
    walk_count(c, w, &flags, 7);
    if (w) return;
    scope->suspended = flags & 1;
    scope->standing = (uint16_t)(flags >> 1);
}

WALK walk_grant(struct codec c, bool w, struct grant *grant)
{
    walk_u64(c, w, &grant->id);
    walk_u32(c, w, &grant->customer);
    WALK_ENUM(c, w, grant->category, CATEGORY_PAID);
    WALK_ENUM(c, w, grant->state, GRANT_VOIDED);
    walk_i32(c, w, &grant->priority);
    walk_i64(c, w, &grant->amount);
    walk_i64(c, w, &grant->remaining);
    walk_i64(c, w, &grant->held);
    walk_i64(c, w, &grant->effective_ms);
    walk_i64(c, w, &grant->expires_ms);
    walk_u32(c, w, &grant->recurring);
    uint32_t count = grant->feature_count;
    walk_count(c, w, &count, GRANT_FEATURES_MAX);
    if (!w) grant->feature_count = (uint16_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t symbol = grant->features[i];
        walk_count(c, w, &symbol, SYMBOLS_MAX);
        if (!w) grant->features[i] = (uint16_t)symbol;
    }
}

WALK walk_slot_name(struct codec c, bool w, struct slot_name *slot)
{
    walk_word(c, w, &slot->scope);
    walk_word(c, w, &slot->id);
}

WALK walk_window_refs(struct codec c, bool w, uint32_t *count, struct window_ref *refs,
                      uint32_t max)
{
    walk_count(c, w, count, max);
    for (uint32_t i = 0; i < *count; i++) {
        walk_slot_name(c, w, &refs[i].slot);
        walk_i64(c, w, &refs[i].instance_ms);
        walk_u32(c, w, &refs[i].generation);
        walk_bool(c, w, &refs[i].sliding);
    }
}

WALK walk_hold_line(struct codec c, bool w, struct hold_line *line)
{
    walk_u32(c, w, &line->draw);
    walk_u32(c, w, &line->line.source);
    WALK_ENUM(c, w, line->line.kind, SOURCE_UNLIMITED);
    walk_u64(c, w, &line->line.grant_id);
    walk_u64(c, w, &line->line.units);
    walk_i64(c, w, &line->line.charged);
    walk_window_refs(c, w, &line->window_count, line->windows, LINE_WINDOWS_MAX);
    walk_window_refs(c, w, &line->budget_count, line->budgets, LINE_BUDGETS_MAX);
}

WALK walk_terms(struct codec c, bool w, struct hold_terms *terms)
{
    walk_u32(c, w, &terms->feature);
    walk_u32(c, w, &terms->unit);
    walk_count(c, w, &terms->requests_meter, METERS_MAX);
    WALK_ENUM(c, w, terms->consent, CONSENT_REFUSED);
    WALK_ENUM(c, w, terms->on_failure, FAILURE_ACTUAL);
    walk_i64(c, w, &terms->ttl_ms);
    walk_i64(c, w, &terms->retention_ms);
    walk_count(c, w, &terms->meter_count, METERS_MAX);
    for (uint32_t i = 0; i < terms->meter_count; i++) {
        walk_u32(c, w, &terms->meters[i]);
        walk_u64(c, w, &terms->quote.num[i]);
    }
    walk_word(c, w, &terms->quote.version);
    walk_u32(c, w, &terms->quote.name);
    walk_u64(c, w, &terms->quote.q);
    walk_i64(c, w, &terms->quote.minimum_nano);
    walk_count(c, w, &terms->level_count, LEVELS_MAX);
    for (uint32_t i = 0; i < terms->level_count; i++)
        walk_word(c, w, &terms->levels[i]);
}

/* Its lines follow, then the chain of the keys that wait for its end. */
WALK walk_hold(struct codec c, bool w, struct hold *hold)
{
    walk_u64(c, w, &hold->id);
    walk_u64(c, w, &hold->position);
    walk_i64(c, w, &hold->opened_ms);
    walk_i64(c, w, &hold->expires_ms);
    walk_u32(c, w, &hold->customer);
    walk_count(c, w, &hold->concurrency_count, GATES_MAX);
    for (uint32_t i = 0; i < hold->concurrency_count; i++)
        walk_slot_name(c, w, &hold->concurrency[i]);
    for (uint32_t i = 0; i < METERS_MAX; i++)
        walk_u64(c, w, &hold->quantities[i]);
    walk_terms(c, w, &hold->terms);
    walk_count(c, w, &hold->line_count, HOLD_LINES_MAX);
}

/* One that waits has no time; until then it is listed for a file or not, which is no state of an
 * image's. */
WALK walk_key(struct codec c, bool w, struct key *key, bool waits)
{
    walk_word(c, w, &key->hash.word[0]);
    walk_word(c, w, &key->hash.word[1]);
    walk_word(c, w, &key->body_hash);
    walk_u64(c, w, &key->position);
    if (waits) return;
    uint64_t until_ms = w ? key_term(key) : 0;
    walk_u64(c, w, &until_ms);
    if (!w) key_set(key, KEY_KEPT, until_ms);
}

WALK walk_ended(struct codec c, bool w, struct ended *ended)
{
    walk_u64(c, w, &ended->id);
    walk_u64(c, w, &ended->changed);
    walk_u64(c, w, &ended->position);
    walk_word(c, w, &ended->body_hash);
    walk_i64(c, w, &ended->refunded);
    walk_i64(c, w, &ended->until_ms);
    walk_u32(c, w, &ended->customer);
    WALK_ENUM(c, w, ended->state, HOLD_EXPIRED);
    WALK_ENUM(c, w, ended->late, 1);
    WALK_ENUM(c, w, ended->was_long, 1);
}

/* Its texts are in the terms. */
WALK walk_access(struct codec c, bool w, struct access *access, struct access_terms *terms)
{
    walk_u64(c, w, &access->id);
    walk_i64(c, w, &access->created_ms);
    walk_access_terms(c, w, terms);
}
