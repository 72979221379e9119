/*
 * command.c: the codec of commands. A mask says which fields follow; quantities and attributes are
 * sorted by name; what belongs to no body (evidence, key) comes last, so that the body is a prefix.
 */
#include "engine/command.h"

#include "engine/codec.h"

#include <string.h>

/* Bits of the mask are journaled: never renumber. */
enum {
    HAS_CUSTOMER = 1u << 0,
    HAS_SUBJECT = 1u << 1,
    HAS_FEATURE = 1u << 2,
    HAS_TARGET = 1u << 3,
    HAS_QUANTITIES = 1u << 4,
    HAS_ATTRIBUTES = 1u << 5,
    HAS_TTL = 1u << 6,
    HAS_MIN_UNITS = 1u << 7,
    HAS_CHOICES = 1u << 8, /* consent, priority, explain, status */
    HAS_DURATION = 1u << 9,
    HAS_COMPUTE = 1u << 10,
    HAS_EVENT_TIME = 1u << 11,
    HAS_SETTINGS = 1u << 12, /* plan, mode, anchor, suspensions, overrides */
    HAS_GRANT = 1u << 13,
    HAS_NANO = 1u << 14,
    HAS_REASON = 1u << 15,
    HAS_LIMIT = 1u << 16,
    HAS_ALL = 1u << 17,
    HAS_YAML = 1u << 18,
    HAS_DUE = 1u << 19,
    HAS_STANDING = 1u << 20,
    SAYS_AS_HELD = 1u << 21,
    SAYS_NO_ANCHOR = 1u << 22,
    HAS_KNOWN = (1u << 23) - 1
};

static bool says_standing(const struct command *k)
{
    bool says = k->has_standing;
    for (uint32_t i = 0; i < k->suspension_count; i++)
        says = says || k->suspensions[i].is_standing;
    return says;
}

static uint32_t command_mask(const struct command *k)
{
    const bool choices = k->consent != CONSENT_UNSAID || k->priority != PRIORITY_DEFAULT ||
                         k->explain || k->status != JOB_SUCCEEDED;
    return (k->customer.length != 0 ? HAS_CUSTOMER : 0u) |
           (k->subject.length != 0 ? HAS_SUBJECT : 0u) |
           (k->feature.length != 0 ? HAS_FEATURE : 0u) | (k->target != 0 ? HAS_TARGET : 0u) |
           (k->quantity_count != 0 ? HAS_QUANTITIES : 0u) |
           (k->attribute_count != 0 ? HAS_ATTRIBUTES : 0u) | (k->has_ttl ? HAS_TTL : 0u) |
           (k->has_min_units ? HAS_MIN_UNITS : 0u) | (choices ? HAS_CHOICES : 0u) |
           (k->has_duration ? HAS_DURATION : 0u) | (k->compute.length != 0 ? HAS_COMPUTE : 0u) |
           (k->has_event_time ? HAS_EVENT_TIME : 0u) |
           (k->kind == COMMAND_CUSTOMER ? HAS_SETTINGS : 0u) |
           (k->kind == COMMAND_GRANT ? HAS_GRANT : 0u) | (k->nano != 0 ? HAS_NANO : 0u) |
           (k->reason.length != 0 ? HAS_REASON : 0u) | (k->limit.length != 0 ? HAS_LIMIT : 0u) |
           (k->all ? HAS_ALL : 0u) | (k->kind == COMMAND_POLICY ? HAS_YAML : 0u) |
           (k->kind == COMMAND_DUE ? HAS_DUE : 0u) | (says_standing(k) ? HAS_STANDING : 0u) |
           (k->as_held ? SAYS_AS_HELD : 0u) | (k->anchor_removed ? SAYS_NO_ANCHOR : 0u);
}

static int quantity_order(const struct command *k, uint8_t left, uint8_t right)
{
    return bytes_compare(k->quantities[left].meter, k->quantities[right].meter);
}

static int attribute_order(const struct command *k, uint8_t left, uint8_t right)
{
    return bytes_compare(k->attributes[left].name, k->attributes[right].name);
}

/* The numbers 0..count-1 in the order of the names; count is small. */
static void order_by(const struct command *k,
                     int (*order)(const struct command *, uint8_t, uint8_t), uint32_t count,
                     uint8_t *order_out)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;
        for (; place > 0 && order(k, (uint8_t)i, order_out[place - 1]) < 0; place--)
            order_out[place] = order_out[place - 1];
        order_out[place] = (uint8_t)i;
    }
}

WALK walk_quantities(struct codec c, bool w, struct command *k)
{
    uint8_t order[METERS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
    walk_count(c, w, &k->quantity_count, METERS_MAX);
    if (w) order_by(k, quantity_order, k->quantity_count, order);
    for (uint32_t i = 0; i < k->quantity_count; i++) {
        walk_bytes(c, w, &k->quantities[order[i]].meter);
        walk_u64(c, w, &k->quantities[order[i]].amount);
    }
}

WALK walk_attributes(struct codec c, bool w, struct command *k)
{
    uint8_t order[ATTRIBUTES_MAX] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    walk_count(c, w, &k->attribute_count, ATTRIBUTES_MAX);
    if (w) order_by(k, attribute_order, k->attribute_count, order);
    for (uint32_t i = 0; i < k->attribute_count; i++) {
        walk_bytes(c, w, &k->attributes[order[i]].name);
        walk_bytes(c, w, &k->attributes[order[i]].value);
    }
}

WALK walk_choices(struct codec c, bool w, struct command *k)
{
    WALK_ENUM(c, w, k->consent, CONSENT_REFUSED);
    WALK_ENUM(c, w, k->priority, PRIORITY_SHEDDABLE);
    walk_bool(c, w, &k->explain);
    WALK_ENUM(c, w, k->status, JOB_MODERATED);
}

static uint32_t count_standings(const struct command *k)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < k->suspension_count; i++)
        count += k->suspensions[i].is_standing;
    return count;
}

/* Standings have a place of their own: journals of before know none. */
WALK walk_suspensions(struct codec c, bool w, struct command *k)
{
    uint32_t count = w ? k->suspension_count - count_standings(k) : 0;
    walk_count(c, w, &count, SUSPENSIONS_MAX);
    if (!w) k->suspension_count = count;
    for (uint32_t i = 0; i < k->suspension_count; i++) {
        if (k->suspensions[i].is_standing) continue;
        walk_bytes(c, w, &k->suspensions[i].subject);
        walk_bool(c, w, &k->suspensions[i].suspended);
    }
}

WALK walk_standings(struct codec c, bool w, struct command *k)
{
    uint32_t count = w ? count_standings(k) : 0;
    walk_bool(c, w, &k->has_standing);
    WALK_ENUM(c, w, k->standing, STANDING_TRUSTED);
    walk_count(c, w, &count, SUSPENSIONS_MAX);
    if (!w) {
        if (count > SUSPENSIONS_MAX - k->suspension_count || (count == 0 && !k->has_standing)) {
            c.in->bad = true;
            return;
        }
        for (uint32_t i = 0; i < count; i++)
            k->suspensions[k->suspension_count++].is_standing = true;
    }
    for (uint32_t i = 0; i < k->suspension_count; i++) {
        if (!k->suspensions[i].is_standing) continue;
        walk_bytes(c, w, &k->suspensions[i].subject);
        WALK_ENUM(c, w, k->suspensions[i].standing, STANDING_TRUSTED);
    }
}

WALK walk_pool(struct codec c, bool w, struct pool_terms *pool)
{
    walk_bytes(c, w, &pool->name);
    walk_bool(c, w, &pool->says_override);
    walk_bool(c, w, &pool->has_override);
    walk_i64(c, w, &pool->override_nano);
    walk_bool(c, w, &pool->says_shed);
    WALK_ENUM(c, w, pool->shed, SHED_ALL);
}

WALK walk_settings(struct codec c, bool w, struct command *k)
{
    walk_bytes(c, w, &k->plan);
    WALK_ENUM(c, w, k->credit_mode, CREDIT_OFF);
    walk_bool(c, w, &k->has_anchor);
    walk_i64(c, w, &k->anchor_ms);
    WALK_ENUM(c, w, k->suspended, BOOL_FALSE);
    walk_suspensions(c, w, k);
    walk_count(c, w, &k->override_count, OVERRIDES_MAX);
    for (uint32_t i = 0; i < k->override_count; i++) {
        walk_bytes(c, w, &k->overrides[i].feature);
        walk_bytes(c, w, &k->overrides[i].name);
        walk_u32(c, w, &k->overrides[i].place);
        walk_bool(c, w, &k->overrides[i].removed);
        walk_bool(c, w, &k->overrides[i].is_credits);
        walk_u64(c, w, &k->overrides[i].value);
    }
}

WALK walk_grant_terms(struct codec c, bool w, struct command *k)
{
    WALK_ENUM(c, w, k->category, CATEGORY_PAID);
    walk_i32(c, w, &k->grant_priority);
    walk_bool(c, w, &k->has_effective);
    walk_i64(c, w, &k->effective_ms);
    walk_bool(c, w, &k->has_expires);
    walk_i64(c, w, &k->expires_ms);
    walk_count(c, w, &k->grant_feature_count, GRANT_FEATURES_MAX);
    for (uint32_t i = 0; i < k->grant_feature_count; i++)
        walk_bytes(c, w, &k->grant_features[i]);
}

/* Everything that a request says, its key and what the server attached to it aside. */
WALK walk_body(struct codec c, bool w, struct command *k)
{
    uint32_t mask = w ? command_mask(k) : 0;
    WALK_ENUM(c, w, k->kind, COMMAND_POOL);
    walk_u32(c, w, &mask);
    if (!w && (mask & ~(uint32_t)HAS_KNOWN) != 0) c.in->bad = true;
    if (mask & HAS_CUSTOMER) walk_bytes(c, w, &k->customer);
    if (mask & HAS_SUBJECT) walk_bytes(c, w, &k->subject);
    if (mask & HAS_FEATURE) walk_bytes(c, w, &k->feature);
    if (mask & HAS_TARGET) walk_u64(c, w, &k->target);
    if (mask & HAS_QUANTITIES) walk_quantities(c, w, k);
    if (mask & HAS_ATTRIBUTES) walk_attributes(c, w, k);
    if (mask & HAS_TTL) walk_i64(c, w, &k->ttl_ms);
    if (mask & HAS_MIN_UNITS) walk_u64(c, w, &k->min_units);
    if (mask & HAS_CHOICES) walk_choices(c, w, k);
    if (mask & HAS_DURATION) walk_u64(c, w, &k->duration_ms);
    if (mask & HAS_COMPUTE) walk_bytes(c, w, &k->compute);
    if (mask & HAS_EVENT_TIME) walk_i64(c, w, &k->event_time_ms);
    if (mask & HAS_SETTINGS) walk_settings(c, w, k);
    if (mask & HAS_GRANT) walk_grant_terms(c, w, k);
    if (mask & HAS_NANO) walk_i64(c, w, &k->nano);
    if (mask & HAS_REASON) walk_bytes(c, w, &k->reason);
    if (mask & HAS_LIMIT) walk_bytes(c, w, &k->limit);
    if (mask & HAS_STANDING) walk_standings(c, w, k);
    if (w) return;
    k->has_ttl = (mask & HAS_TTL) != 0;
    k->has_min_units = (mask & HAS_MIN_UNITS) != 0;
    k->has_duration = (mask & HAS_DURATION) != 0;
    k->has_event_time = (mask & HAS_EVENT_TIME) != 0;
    k->all = (mask & HAS_ALL) != 0;
    k->anchor_removed = (mask & SAYS_NO_ANCHOR) != 0;
    if (k->anchor_removed && (k->kind != COMMAND_CUSTOMER || k->has_anchor)) c.in->bad = true;
    k->as_held = (mask & SAYS_AS_HELD) != 0;
    if (k->as_held && (k->kind != COMMAND_COMMIT || (mask & HAS_QUANTITIES) != 0)) c.in->bad = true;
}

bool command_has_actor(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_CUSTOMER:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_REFUND:
    case COMMAND_POLICY:
    case COMMAND_ACCESS:
    case COMMAND_POOL:
        return true;
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
    case COMMAND_COMMIT:
    case COMMAND_RELEASE:
    case COMMAND_EXTEND:
    case COMMAND_USAGE:
    case COMMAND_DUE:
    case COMMAND_SEAL:
        break;
    }
    return false;
}

WALK walk_attached(struct codec c, bool w, struct command *k)
{
    if (k->kind == COMMAND_POLICY) {
        walk_bytes(c, w, &k->yaml);
        walk_bool(c, w, &k->from_file);
    }
    if (k->kind == COMMAND_DUE) {
        walk_i64(c, w, &k->due_ms);
        walk_u32(c, w, &k->due_what);
        walk_u64(c, w, &k->due_id);
        walk_word(c, w, &k->owner.word[0]);
        walk_word(c, w, &k->owner.word[1]);
    }
    if (k->kind == COMMAND_SEAL) walk_cut(c, w, &k->cut);
    if (k->kind == COMMAND_ACCESS) {
        walk_access_terms(c, w, &k->access);
        walk_bool(c, w, &k->has_way_back);
    }
    if (k->kind == COMMAND_POOL) walk_pool(c, w, &k->pool);
    if (command_has_actor(k->kind)) walk_bytes(c, w, &k->actor);
    walk_bytes(c, w, &k->evidence);
    walk_bytes(c, w, &k->key);
}

void command_encode(const struct command *command, struct buffer *buffer)
{
    struct buffer out = *buffer;
    const struct codec c = {.out = &out};
    struct command *fields = (struct command *)(uintptr_t)command; /* a writing walk only reads */
    walk_body(c, true, fields);
    walk_attached(c, true, fields);
    *buffer = out;
}

bool command_decode(struct bytes bytes, struct command *command_out)
{
    struct reader reader = reader_over(bytes);
    const struct codec c = {.in = &reader};
    memset(command_out, 0, sizeof *command_out);
    walk_body(c, false, command_out);
    walk_attached(c, false, command_out);
    return reader_is_done(&reader);
}

/* All texts at their ceilings, of the kinds that are hashed. */
#define BODY_BYTES_MAX (16u * 1024u)

uint64_t command_body_hash(struct hash_key key, const struct command *command)
{
    uint8_t block[BODY_BYTES_MAX];
    struct buffer buffer = buffer_over(block, sizeof block);
    const struct codec c = {.out = &buffer};
    walk_body(c, true, (struct command *)(uintptr_t)command);
    ENSURE(!buffer.overflowed);
    return hash_64(key, buffer_bytes(&buffer));
}
