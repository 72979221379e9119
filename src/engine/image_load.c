/*
 * image_load.c: a state out of an image's bytes.
 *
 * Objects come in any order, so they are placed as they come (a customer's block is there from the
 * head on, whenever his own record comes), and what needs all of them is done at the end: indexes,
 * sums, the keys of holds, who is due when.
 *
 * The bytes were hashed by whoever wrote them; still, what a later decision would trip over is
 * refused here: numbers and symbols out of range, objects that nobody has, two of one identity,
 * holds of credits that no grant holds.
 */
#include "engine/image_walk.h"
#include "engine/pace.h"

#include <string.h>

const char *image_fault_text(enum image_fault fault)
{
    static const char *const texts[] = {
#define X(name, text) [name] = (text),
        IMAGE_FAULT_TABLE(X)
#undef X
    };
    ENSURE((unsigned)fault < COUNT_OF(texts));
    return texts[fault];
}

int64_t engine_image_at_ms(const struct engine *engine)
{
    return engine->image.load.at_ms;
}

static bool is_symbol(const struct engine *engine, uint32_t symbol)
{
    return symbol <= engine->symbol_count;
}

static bool is_customer(const struct engine *engine, uint32_t number)
{
    return number >= 1 && number <= engine->customers.used;
}

/* ---- head and end */

static enum image_fault load_symbols(struct engine *engine, struct codec c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bytes name = BYTES_NONE;
        walk_bytes(c, false, &name);
        if (c.in->bad || !symbol_fits(engine, name)) return IMAGE_DAMAGED;
        symbol_add(engine, name);
    }
    return IMAGE_OK;
}

static enum image_fault load_crowds(struct engine *engine, struct codec c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct crowd crowd = {0};
        walk_crowd(c, false, &crowd);
        if (c.in->bad || crowd.of == 0 || crowd.count == 0 ||
            (crowd.first != 0) != (crowd.count > CROWD_ALONE_MAX))
            return IMAGE_DAMAGED;
        *crowd_at(engine, crowd.of) = crowd;
    }
    return IMAGE_OK;
}

static bool pool_is_sound(const struct engine *engine, const struct pool *pool)
{
    const int64_t at_ms = engine->image.load.at_ms;
    if (pool->name == SYMBOL_NONE || !is_symbol(engine, pool->name)) return false;
    if (pool_find(engine, pool->name) != 0) return false;
    if (pool->began_ms < 0 || pool->began_ms > pool->since_ms || pool->since_ms > at_ms)
        return false;
    for (enum standing standing = 0; standing < STANDINGS; standing++)
        if (pool->base[standing] < 0 ||
            pool->base[standing] > (int64_t)pace_speed(FACTOR_ONE, standing) * pool->since_ms)
            return false;
    return true;
}

static enum image_fault load_pools(struct engine *engine, struct codec c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pool pool = {0};
        walk_pool(c, false, &pool);
        if (c.in->bad || !pool_is_sound(engine, &pool)) return IMAGE_DAMAGED;
        engine->pools[++engine->pool_count] = pool;
    }
    return IMAGE_OK;
}

static enum image_fault load_head(struct engine *engine, struct codec c)
{
    struct image_load *load = &engine->image.load;
    struct image_head head = {0};
    walk_image_head(c, false, &head);
    if (load->has_head) return IMAGE_DAMAGED;
    if (head.version != IMAGE_VERSION && head.version != IMAGE_VERSION - 1)
        return IMAGE_OTHER_VERSION;
    if (c.in->bad) return IMAGE_DAMAGED;
    if (head.key_check != image_key_check(engine)) return IMAGE_FOREIGN;
    if (head.policy.installed_ms > head.at_ms || head.at_ms > INSTANT_MS_MAX) return IMAGE_DAMAGED;
    if (head.recurring_cursor > (uint64_t)head.customers + 1) return IMAGE_DAMAGED;
    if (head.customers > engine->customers.records_max) return IMAGE_NO_ROOM;
    load->has_head = true;
    load->at_ms = head.at_ms;
    engine->policy = head.policy;
    engine->cut = head.cut;
    engine->forgotten_through = head.forgotten_through;
    engine->access_made = head.access_made;
    engine->recurring_cursor = head.recurring_cursor;
    for (uint32_t i = 0; i < head.customers; i++)
        customer_at(engine, slab_take(&engine->customers))->next_due_ms = INSTANT_NEVER;
    enum image_fault fault = load_crowds(engine, c, head.crowd_count);
    if (fault == IMAGE_OK) fault = load_symbols(engine, c, head.symbol_count);
    return fault != IMAGE_OK ? fault : load_pools(engine, c, head.pool_count);
}

static enum image_fault load_end(struct engine *engine, struct codec c)
{
    struct image_load *load = &engine->image.load;
    struct image_end end = {0};
    walk_image_end(c, false, &end);
    load->has_end = true;
    if (c.in->bad || memcmp(end.counts, load->counts, sizeof end.counts) != 0) return IMAGE_DAMAGED;
    return IMAGE_OK;
}

/* ---- counters and remainders */

static bool bucket_is_sound(const struct engine *engine, const struct slot *slot)
{
    if (slot->pool > engine->pool_count) return false;
    const struct pace_clock clock =
        pace_clock_of(engine, slot->pool, (enum standing)slot->standing);
    return slot->rate.per_ms >= 1 && slot->rate.per_ms <= PERIOD_MS_MAX &&
           slot->rate.part < (uint64_t)slot->rate.per_ms * clock.ticks &&
           slot->rate.at <= pace_at(&clock, engine->image.load.at_ms);
}

static bool counter_is_sound(const struct engine *engine, const struct slot *slot,
                             const struct ring *ring, bool is_customers)
{
    switch ((enum slot_kind)slot->kind) {
    case SLOT_WINDOW:
        return slot->window.used >= 0;
    case SLOT_SLIDING: {
        const int64_t per_ms = slot->sliding.per_ms;
        if (per_ms < PERIOD_MS_MIN || per_ms > PERIOD_MS_MAX) return false;
        if (ring->newest < 0 ||
            ring->newest > engine->image.load.at_ms / sliding_resolution(per_ms))
            return false;
        for (uint32_t i = 0; i < RING_SLOTS; i++)
            if (ring->counts[i] < 0) return false;
        return true;
    }
    case SLOT_RATE:
        return bucket_is_sound(engine, slot);
    case SLOT_CONCURRENCY:
        return slot->in_flight >= 0;
    case SLOT_OVERRIDE:
    case SLOT_RENEWAL:
        return is_customers;
    }
    return false;
}

static enum image_fault load_counters(struct engine *engine, struct codec c, uint32_t *link,
                                      bool is_customers)
{
    for (;;) {
        struct slot slot = {0};
        struct ring ring = {0};
        uint32_t word = IMAGE_CHAIN_END;
        walk_u32(c, false, &word);
        if (c.in->bad) return IMAGE_DAMAGED;
        if (word == IMAGE_CHAIN_END) return IMAGE_OK;
        slot.kind = (uint8_t)word;
        slot.standing = (uint8_t)(word >> 8 & (STANDINGS - 1));
        slot.pool = (uint8_t)(word >> 16);
        if (image_slot_word(&slot) != word || (slot.kind != SLOT_RATE && word > UINT8_MAX))
            return IMAGE_DAMAGED;
        walk_counter(c, false, &slot, &ring);
        if (c.in->bad || !counter_is_sound(engine, &slot, &ring, is_customers))
            return IMAGE_DAMAGED;
        if (slab_room(&engine->slots) == 0) return IMAGE_NO_ROOM;
        if (slot.kind == SLOT_SLIDING) {
            if (slab_room(&engine->rings) == 0) return IMAGE_NO_ROOM;
            slot.sliding.ring = slab_take(&engine->rings);
            *(struct ring *)slab_at(&engine->rings, slot.sliding.ring) = ring;
        }
        *link = slab_take(&engine->slots);
        struct slot *made = slot_at(engine, *link);
        *made = slot;
        link = &made->next;
    }
}

static enum image_fault load_remainders(struct engine *engine, struct codec c, uint32_t *link)
{
    for (;;) {
        struct remainder remainder = {0};
        uint32_t more = 0;
        walk_count(c, false, &more, IMAGE_CHAIN_MORE);
        if (c.in->bad) return IMAGE_DAMAGED;
        if (more == IMAGE_CHAIN_END) return IMAGE_OK;
        walk_remainder(c, false, &remainder);
        if (c.in->bad || remainder.rem >= remainder.q) return IMAGE_DAMAGED;
        if (slab_room(&engine->remainders) == 0) return IMAGE_NO_ROOM;
        *link = slab_take(&engine->remainders);
        struct remainder *made = slab_at(&engine->remainders, *link);
        *made = remainder;
        link = &made->next;
    }
}

/* ---- objects */

static enum image_fault load_customer(struct engine *engine, struct codec c)
{
    uint32_t number = 0;
    walk_u32(c, false, &number);
    if (c.in->bad || !is_customer(engine, number)) return IMAGE_DAMAGED;
    struct customer *customer = customer_at(engine, number);
    if (customer->mode != CREDIT_UNSAID) return IMAGE_DAMAGED; /* came before */
    walk_customer(c, false, customer);
    if (c.in->bad || customer->mode == CREDIT_UNSAID || customer->debt > 0 ||
        customer->debt < -BALANCE_NANO_MAX || !is_symbol(engine, customer->plan) ||
        customer->limits_changed_ms > engine->image.load.at_ms)
        return IMAGE_DAMAGED;
    const enum image_fault fault = load_counters(engine, c, &customer->slots, true);
    if (fault != IMAGE_OK) return fault;
    for (uint32_t n = customer->slots; n != 0; n = slot_at(engine, n)->next)
        customer->overrides += slot_at(engine, n)->kind == SLOT_OVERRIDE;
    return load_remainders(engine, c, &customer->remainders);
}

static enum image_fault load_scope(struct engine *engine, struct codec c)
{
    struct scope scope = {0};
    walk_scope(c, false, &scope);
    if (c.in->bad || scope.hash == 0 || !is_customer(engine, scope.customer)) return IMAGE_DAMAGED;
    if (slab_room(&engine->scopes) == 0) return IMAGE_NO_ROOM;
    const uint32_t number = slab_take(&engine->scopes);
    struct customer *customer = customer_at(engine, scope.customer);
    scope.next = customer->scopes;
    if (scope.next != 0) scope_at(engine, scope.next)->before = number;
    customer->scopes = number;
    *scope_at(engine, number) = scope;
    return load_counters(engine, c, &scope_at(engine, number)->slots, false);
}

static bool grant_is_sound(const struct engine *engine, const struct grant *grant)
{
    if (!is_customer(engine, grant->customer) || grant->category == 0) return false;
    if (grant->amount < 0 || grant->remaining < 0 || grant->held < 0) return false;
    if (grant->remaining > BALANCE_NANO_MAX || grant->held > BALANCE_NANO_MAX) return false;
    if (!is_symbol(engine, grant->recurring)) return false;
    for (uint32_t i = 0; i < grant->feature_count; i++)
        if (!is_symbol(engine, grant->features[i])) return false;
    return grant->state != GRANT_EXPIRED || grant_is_linked(grant);
}

static enum image_fault load_grant(struct engine *engine, struct codec c)
{
    struct grant grant = {0};
    walk_grant(c, false, &grant);
    if (c.in->bad || !grant_is_sound(engine, &grant)) return IMAGE_DAMAGED;
    if (slab_room(&engine->grants) == 0) return IMAGE_NO_ROOM;
    struct customer *customer = customer_at(engine, grant.customer);
    if (grant_counts_as_live(&grant)) customer->grants_live++;
    customer->available += grant.remaining;
    customer->held += grant.held;
    if (customer->grants_live > GRANTS_LIVE_MAX || customer->available > BALANCE_NANO_MAX ||
        customer->held > BALANCE_NANO_MAX)
        return IMAGE_DAMAGED;
    const uint32_t number = slab_take(&engine->grants);
    if (grant_is_linked(&grant)) {
        uint32_t *link = grant_link(engine, grant.customer, &grant);
        grant.next = *link;
        *link = number;
    }
    *grant_at(engine, number) = grant;
    return IMAGE_OK;
}

static bool hold_is_sound(const struct engine *engine, const struct hold *hold)
{
    const struct hold_terms *terms = &hold->terms;
    if (!is_customer(engine, hold->customer)) return false;
    if (terms->unit != UNIT_COST && terms->unit >= terms->meter_count) return false;
    if (!is_symbol(engine, terms->feature) || !is_symbol(engine, terms->quote.name)) return false;
    for (uint32_t i = 0; i < terms->meter_count; i++)
        if (!is_symbol(engine, terms->meters[i])) return false;
    for (uint32_t i = 0; i < METERS_MAX; i++)
        if (hold->quantities[i] > QUANTITY_MAX) return false;
    return terms->quote.version == 0 || terms->quote.q != 0;
}

static enum image_fault load_hold_lines(struct engine *engine, struct codec c, struct hold *hold)
{
    for (uint32_t i = 0; i < hold->line_count; i++) {
        struct hold_line line = {0};
        walk_hold_line(c, false, &line);
        if (c.in->bad || !is_symbol(engine, line.line.source) || line.line.kind == 0 ||
            line.line.units > QUANTITY_MAX || line.line.charged < 0)
            return IMAGE_DAMAGED;
        if (slab_room(&engine->lines) == 0) return IMAGE_NO_ROOM;
        const uint32_t number = slab_take(&engine->lines);
        *hold_line_at(engine, number) = line;
        if (hold->lines_last == 0)
            hold->lines_first = number;
        else
            hold_line_at(engine, hold->lines_last)->next = number;
        hold->lines_last = number;
    }
    return IMAGE_OK;
}

/* In the order of the chain. */
static enum image_fault load_hold_keys(struct engine *engine, struct codec c, struct hold *hold)
{
    for (uint32_t before = 0;;) {
        struct key key = {0};
        uint32_t more = 0;
        walk_count(c, false, &more, IMAGE_CHAIN_MORE);
        if (c.in->bad) return IMAGE_DAMAGED;
        if (more == IMAGE_CHAIN_END) return IMAGE_OK;
        walk_key(c, false, &key, true);
        if (c.in->bad) return IMAGE_DAMAGED;
        if (slab_room(&engine->keys) == 0) return IMAGE_NO_ROOM;
        const uint32_t number = slab_take(&engine->keys);
        key_set(&key, KEY_WAITS, 0);
        *key_at(engine, number) = key;
        if (before == 0)
            hold->keys = number;
        else
            key_set(key_at(engine, before), KEY_WAITS, number);
        before = number;
    }
}

static enum image_fault load_hold(struct engine *engine, struct codec c)
{
    struct hold hold = {0};
    walk_hold(c, false, &hold);
    if (c.in->bad || !hold_is_sound(engine, &hold)) return IMAGE_DAMAGED;
    if (slab_room(&engine->holds) == 0) return IMAGE_NO_ROOM;
    const uint32_t number = slab_take(&engine->holds);
    enum image_fault fault = load_hold_lines(engine, c, &hold);
    if (fault == IMAGE_OK) fault = load_hold_keys(engine, c, &hold);
    if (fault != IMAGE_OK) return fault;
    *hold_at(engine, number) = hold;
    customer_at(engine, hold.customer)->open_holds++;
    holds_insert(engine, hold.customer, number);
    return IMAGE_OK;
}

static enum image_fault load_key(struct engine *engine, struct codec c)
{
    struct key key = {0};
    walk_key(c, false, &key, false);
    if (c.in->bad || key_term(&key) > (uint64_t)INSTANT_NEVER >> 8) return IMAGE_DAMAGED;
    if (slab_room(&engine->keys) == 0) return IMAGE_NO_ROOM;
    *key_at(engine, slab_take(&engine->keys)) = key;
    return IMAGE_OK;
}

static enum image_fault load_ended(struct engine *engine, struct codec c)
{
    struct ended ended = {0};
    walk_ended(c, false, &ended);
    if (c.in->bad || ended.changed == 0 || ended.refunded < 0 ||
        !is_customer(engine, ended.customer))
        return IMAGE_DAMAGED;
    if (slab_room(&engine->ended) == 0) return IMAGE_NO_ROOM;
    *ended_at(engine, slab_take(&engine->ended)) = ended;
    return IMAGE_OK;
}

static enum image_fault load_access(struct engine *engine, struct codec c)
{
    struct access access = {0};
    struct access_terms terms = {0};
    walk_access(c, false, &access, &terms);
    if (c.in->bad || access.id == 0 || terms.scopes == 0 || (terms.scopes & ~ACCESS_SCOPES) != 0 ||
        !access_set(&access, &terms) || engine->access.live >= engine->access_made)
        return IMAGE_DAMAGED;
    if (slab_room(&engine->access) == 0) return IMAGE_NO_ROOM;
    *access_at(engine, slab_take(&engine->access)) = access;
    return IMAGE_OK;
}

static enum image_fault load_object(struct engine *engine, struct codec c, uint64_t record)
{
    struct image_load *load = &engine->image.load;
    const uint64_t kind = record - IMAGE_RECORD_FIRST;
    if (record < IMAGE_RECORD_FIRST || kind >= IMAGE_KINDS) return IMAGE_DAMAGED;
    load->counts[kind]++;
    switch ((enum image_kind)kind) {
    case IMAGE_CUSTOMER:
        return load_customer(engine, c);
    case IMAGE_SCOPE:
        return load_scope(engine, c);
    case IMAGE_GRANT:
        return load_grant(engine, c);
    case IMAGE_HOLD:
        return load_hold(engine, c);
    case IMAGE_KEY:
        return load_key(engine, c);
    case IMAGE_ENDED:
        return load_ended(engine, c);
    case IMAGE_ACCESS:
        return load_access(engine, c);
    case IMAGE_KINDS:
        break;
    }
    return IMAGE_DAMAGED;
}

enum image_fault engine_image_load(struct engine *engine, struct bytes records)
{
    struct image_load *load = &engine->image.load;
    struct reader reader = reader_over(records);
    const struct codec c = {.in = &reader};
    while (reader.at != reader.end) {
        const uint64_t record = reader_take_unsigned(&reader);
        enum image_fault fault = IMAGE_DAMAGED;
        if (reader.bad || load->has_end) return IMAGE_DAMAGED;
        if (record == IMAGE_RECORD_HEAD)
            fault = load_head(engine, c);
        else if (load->has_head)
            fault =
                record == IMAGE_RECORD_END ? load_end(engine, c) : load_object(engine, c, record);
        if (fault != IMAGE_OK) return fault;
    }
    return IMAGE_OK;
}

/* ---- what needs all of them */

/* A bucket of a large index is far away: it is asked for some records ahead. */
#define AHEAD 16u

static bool index_customers(struct engine *engine)
{
    const uint32_t used = engine->customers.used;
    for (uint32_t n = 1; n <= used; n++) {
        if (used - n >= AHEAD)
            index_prefetch(&engine->customer_index, customer_at(engine, n + AHEAD)->id.word[0]);
        const struct hash128 id = customer_at(engine, n)->id;
        if (customer_find(engine, id) != 0) return false;
        index_insert(&engine->customer_index, id.word[0], n);
    }
    return true;
}

static uint64_t scope_mixed(const struct engine *engine, uint32_t number)
{
    const struct scope *scope = scope_at(engine, number);
    return hash_mix(customer_at(engine, scope->customer)->id.word[0], scope->hash);
}

static bool index_scopes(struct engine *engine)
{
    const uint32_t used = engine->scopes.used;
    for (uint32_t n = 1; n <= used; n++) {
        if (used - n >= AHEAD) index_prefetch(&engine->scope_index, scope_mixed(engine, n + AHEAD));
        const struct scope *scope = scope_at(engine, n);
        if (scope_find(engine, scope->customer, scope->hash) != 0) return false;
        index_insert(&engine->scope_index, scope_mixed(engine, n), n);
    }
    return true;
}

static bool index_grants(struct engine *engine)
{
    const uint32_t used = engine->grants.used;
    for (uint32_t n = 1; n <= used; n++) {
        if (used - n >= AHEAD)
            index_prefetch(&engine->grant_index, hash_mix(grant_at(engine, n + AHEAD)->id, 1));
        const uint64_t id = grant_at(engine, n)->id;
        if (grant_find(engine, id) != 0) return false;
        index_insert(&engine->grant_index, hash_mix(id, 1), n);
    }
    return true;
}

static bool index_holds(struct engine *engine)
{
    for (uint32_t n = 1; n <= engine->holds.used; n++) {
        const uint64_t id = hold_at(engine, n)->id;
        if (hold_find(engine, id) != 0) return false;
        index_insert(&engine->hold_index, hash_mix(id, 1), n);
    }
    for (uint32_t n = 1; n <= engine->ended.used; n++) {
        const uint64_t id = ended_at(engine, n)->id;
        if (ended_find(engine, id) != 0) return false;
        index_insert(&engine->ended_index, hash_mix(id, 1), n);
    }
    return true;
}

static bool index_keys(struct engine *engine)
{
    const uint32_t used = engine->keys.used;
    for (uint32_t n = 1; n <= used; n++) {
        if (used - n >= AHEAD)
            index_prefetch(&engine->key_index, key_at(engine, n + AHEAD)->hash.word[0]);
        const struct key *key = key_at(engine, n);
        if (key_find(engine, key->hash) != 0) return false;
        index_insert(&engine->key_index, key->hash.word[0], n);
    }
    return true;
}

static bool index_access(struct engine *engine)
{
    for (uint32_t n = 1; n <= engine->access.used; n++) {
        const struct access *access = access_at(engine, n);
        if (access_find(engine, access->id) != n) return false;
        index_insert(&engine->access_index, access->hash[0], n);
    }
    engine->access_changes++;
    return true;
}

/* Takes from the grants what holds say is held of them, or puts it back. */
static bool move_held(struct engine *engine, const struct hold *hold, bool puts_back)
{
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next) {
        const struct line *line = &hold_line_at(engine, n)->line;
        if (line->kind != SOURCE_GRANTS || line->charged == 0) continue;
        const uint32_t number = grant_find(engine, line->grant_id);
        if (number == 0) return false;
        struct grant *grant = grant_at(engine, number);
        if (puts_back) {
            grant->held += line->charged;
            continue;
        }
        if (grant->customer != hold->customer || grant->held < line->charged) return false;
        grant->held -= line->charged;
    }
    return true;
}

/* Every credit that a hold would settle or return is held by the grant that it names. */
static bool holds_are_covered(struct engine *engine)
{
    for (uint32_t n = 1; n <= engine->holds.used; n++)
        if (!move_held(engine, hold_at(engine, n), false)) return false;
    for (uint32_t n = 1; n <= engine->holds.used; n++)
        (void)move_held(engine, hold_at(engine, n), true);
    return true;
}

/* The lot that a recurring grant renews, where there still is one, is the customer's. */
static bool renewals_are_his(const struct engine *engine, uint32_t number)
{
    for (uint32_t n = customer_at(engine, number)->slots; n != 0; n = slot_at(engine, n)->next) {
        const struct slot *slot = slot_at(engine, n);
        if (slot->kind != SLOT_RENEWAL) continue;
        const uint32_t grant = grant_find(engine, slot->renewal.grant);
        if (grant != 0 && grant_at(engine, grant)->customer != number) return false;
    }
    return true;
}

enum image_fault engine_image_loaded(struct engine *engine)
{
    const struct image_load *load = &engine->image.load;
    if (!load->has_end || load->counts[IMAGE_CUSTOMER] != engine->customers.used)
        return IMAGE_DAMAGED;
    /* Every open hold will leave an ended one. */
    if (slab_room(&engine->ended) < engine->holds.live) return IMAGE_NO_ROOM;
    if (!index_customers(engine) || !index_scopes(engine) || !index_grants(engine) ||
        !index_holds(engine) || !index_keys(engine) || !index_access(engine) ||
        !holds_are_covered(engine))
        return IMAGE_DAMAGED;
    for (uint32_t n = 1; n <= engine->customers.used; n++) {
        if (!renewals_are_his(engine, n)) return IMAGE_DAMAGED;
        struct customer *customer = customer_at(engine, n);
        customer->available += customer->debt;
        due_refresh(engine, n);
    }
    return IMAGE_OK;
}
