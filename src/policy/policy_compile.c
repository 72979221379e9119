/*
 * policy_compile.c: the sections of a policy file in the order in which they need each other:
 * features, prices, pools, plans. A section that is broken does not stop the others: what can be
 * said about a file is said at once.
 *
 * The arena has two ends: the policy grows from its front, the tree and everything else that ends
 * with the compilation is taken from its back.
 */
#include "policy/policy_compile.h"

#include <string.h>

#include "policy/plans.h"
#include "policy/prices.h"

#define SCRATCH_BYTES ((size_t)32 << 20)
#define KEPT_BYTES (POLICY_ARENA_BYTES - SCRATCH_BYTES)

/* What the ceilings allow at most, of files with mistakes too. A price rule, a rate, a match or a
 * multiplier is one value of the file at least; four multipliers need a rule and its `multiply`
 * besides. Texts are no longer than the file, escapes half as long again. */
#define ALIGNMENT_BYTES ((size_t)16)
#define TEXT_BYTES_ALL ((size_t)2 * POLICY_BYTES_MAX + 2 * ALIGNMENT_BYTES * TREE_NODES_MAX)
_Static_assert(sizeof(struct plan_feature) * PLANS_MAX * FEATURES_MAX +
                       sizeof(struct price_rule) * FEATURES_MAX * PRICE_RULES_MAX +
                       sizeof(struct price_multiplier) * (TREE_NODES_MAX / 6 + 1) * 4 +
                       sizeof(struct policy_feature) * FEATURES_MAX +
                       sizeof(struct plan) * PLANS_MAX + sizeof(struct pool_rule) * POOLS_MAX +
                       sizeof(uint16_t) * 2 * (SYMBOLS_MAX + 1) +
                       sizeof(struct bytes) * POLICY_SYMBOLS_NEW_MAX + TEXT_BYTES_ALL +
                       ((size_t)1 << 20) <=
                   KEPT_BYTES,
               "the largest policy fits the arena");
_Static_assert((sizeof(struct node) + ALIGNMENT_BYTES) * TREE_NODES_MAX + TEXT_BYTES_ALL +
                       (sizeof(struct price_draft) + 2 * ALIGNMENT_BYTES) * TREE_NODES_MAX +
                       sizeof(struct price_rate) * TREE_NODES_MAX +
                       sizeof(struct price_match) * TREE_NODES_MAX +
                       sizeof(struct price_list) * PRICE_LISTS_MAX +
                       sizeof(struct feature_draft) * FEATURES_MAX + ((size_t)1 << 20) <=
                   SCRATCH_BYTES,
               "reading the largest file fits the arena");

enum { ROOT_VERSION, ROOT_DEFAULTS, ROOT_FEATURES, ROOT_PRICES, ROOT_POOLS, ROOT_PLANS, ROOT_KEYS };

static void version_check(struct compiler *compiler, const struct node *node)
{
    if (node == NULL) return;
    if (node->kind != NODE_SCALAR || !node->is_plain || !bytes_equal(node->text, BYTES("1")))
        complain_found(compiler, node, "1, the version of this format");
}

/* Meter names stand beside keywords in a RESP command (SEMANTICS A6). */
static bool is_reserved(struct bytes name)
{
    static const char *const keywords[] = {"ATTR", "MIN", "CREDITS", "TTL", "STATUS"};
    for (size_t place = 0; place < COUNT_OF(keywords); place++) {
        const struct bytes keyword = bytes_of_text(keywords[place]);
        bool is_equal = keyword.length == name.length;
        for (size_t at = 0; is_equal && at < name.length; at++)
            is_equal = (name.at[at] & 0xdf) == keyword.at[at];
        if (is_equal) return true;
    }
    return false;
}

static bool meter_read(struct compiler *compiler, const struct node *item,
                       const struct feature_draft *feature, struct bytes *name_out)
{
    struct bytes name = BYTES_NONE;
    if (!read_name(compiler, item, &name)) return false;
    if (is_reserved(name) || bytes_equal(name, BYTES("cost"))) {
        complaints_add(compiler->complaints, item->place,
                       "'%s' is a reserved word, expected another name for the meter",
                       quote(name).text);
        return false;
    }
    for (uint32_t place = 0; place < feature->compiled.meter_count; place++) {
        if (!bytes_equal(feature->meters[place], name)) continue;
        complaints_add(compiler->complaints, item->place,
                       "meter '%s' is in this list twice, expected it once", quote(name).text);
        return false;
    }
    *name_out = name;
    return true;
}

static bool meters_read(struct compiler *compiler, const struct node *node,
                        struct feature_draft *feature)
{
    struct policy_feature *compiled = &feature->compiled;
    compiled->requests_meter = METERS_MAX;
    if (!read_list(compiler, node, 1, METERS_MAX, "meters")) return false;
    bool is_sound = true;
    for (const struct node *item = node->first; item != NULL; item = item->next) {
        struct bytes name = BYTES_NONE;
        if (!meter_read(compiler, item, feature, &name)) {
            is_sound = false;
            continue;
        }
        if (bytes_equal(name, BYTES("requests"))) compiled->requests_meter = compiled->meter_count;
        feature->meters[compiled->meter_count] = name;
        compiled->meters[compiled->meter_count++] =
            names_symbol(&compiler->names, item->place, name);
    }
    return is_sound;
}

static bool unit_read(struct compiler *compiler, const struct node *node, bool are_meters_sound,
                      struct feature_draft *feature)
{
    struct bytes name = BYTES_NONE;
    if (!read_name(compiler, node, &name)) return false;
    feature->compiled.unit = UNIT_COST;
    if (bytes_equal(name, BYTES("cost"))) return are_meters_sound;
    if (!are_meters_sound) return false;
    struct suggestion suggestion = suggestion_for(name);
    suggestion_offer(&suggestion, BYTES("cost"));
    for (uint32_t meter = 0; meter < feature->compiled.meter_count; meter++) {
        feature->compiled.unit = meter;
        if (bytes_equal(feature->meters[meter], name)) return true;
        suggestion_offer(&suggestion, feature->meters[meter]);
    }
    if (suggestion.best.length > 0)
        complain_found(compiler, node, "cost or one of the feature's meters; did you mean '%s'?",
                       quote(suggestion.best).text);
    else
        complain_found(compiler, node, "cost or one of the feature's meters");
    return false;
}

static void feature_read(struct compiler *compiler, const struct node *node,
                         struct feature_draft *feature)
{
    enum { METERS, UNIT, DIVISIBLE, PRICES, KEYS };
    static const struct key keys[KEYS] = {
        [METERS] = {   "meters",  true},
        [UNIT] = {     "unit",  true},
        [DIVISIBLE] = {"divisible", false},
        [PRICES] = {   "prices", false}
    };
    const struct node *values[KEYS];
    feature->name = node->key;
    feature->compiled.divisible = true;
    if (check_name(compiler, node->key_place, node->key))
        feature->compiled.name = names_symbol(&compiler->names, node->key_place, node->key);
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    const bool are_meters_sound =
        values[METERS] != NULL && meters_read(compiler, values[METERS], feature);
    feature->is_sound =
        values[UNIT] != NULL && unit_read(compiler, values[UNIT], are_meters_sound, feature);
    if (values[DIVISIBLE] != NULL)
        (void)read_boolean(compiler, values[DIVISIBLE], &feature->compiled.divisible);
    feature->prices = values[PRICES];
    if (feature->is_sound && feature->compiled.unit == UNIT_COST && feature->prices == NULL)
        complaints_add(compiler->complaints, node->key_place,
                       "feature '%s' has no prices, expected 'prices': its unit is cost",
                       quote(feature->name).text);
}

static void features_read(struct compiler *compiler, const struct node *node, struct draft *draft)
{
    if (node == NULL || !read_mapping(compiler, node, 1, FEATURES_MAX, "features by name")) return;
    draft->features = arena_take_sized(compiler->scratch, node->count * sizeof draft->features[0]);
    draft->feature_names =
        arena_take_sized(compiler->scratch, node->count * sizeof draft->feature_names[0]);
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        draft->feature_names[draft->feature_count] = child->key;
        feature_read(compiler, child, &draft->features[draft->feature_count++]);
    }
}

static void features_price(struct compiler *compiler, const struct price_book *book,
                           struct draft *draft)
{
    for (uint32_t place = 0; place < draft->feature_count; place++) {
        struct feature_draft *feature = &draft->features[place];
        uint32_t list = 0;
        if (feature->prices == NULL ||
            !find_name(compiler, feature->prices, "price list", book->names, book->count, &list))
            continue;
        if (feature->is_sound)
            prices_bind(compiler, &book->lists[list], feature->name, feature->meters,
                        &feature->compiled);
    }
}

/* A pool counts a meter that some feature has. */
static void pool_meter_read(struct compiler *compiler, const struct node *node,
                            const struct draft *draft, struct pool_rule *pool)
{
    struct bytes name = BYTES_NONE;
    if (node == NULL || !read_name(compiler, node, &name)) return;
    pool->meter = names_symbol(&compiler->names, node->place, name);
    struct suggestion suggestion = suggestion_for(name);
    bool is_all_known = true;
    for (uint32_t place = 0; place < draft->feature_count; place++) {
        const struct feature_draft *feature = &draft->features[place];
        is_all_known &= feature->is_sound;
        for (uint32_t meter = 0; meter < feature->compiled.meter_count; meter++) {
            if (bytes_equal(feature->meters[meter], name)) return;
            suggestion_offer(&suggestion, feature->meters[meter]);
        }
    }
    if (suggestion.best.length > 0)
        complain_found(compiler, node, "a meter of some feature; did you mean '%s'?",
                       quote(suggestion.best).text);
    else if (is_all_known)
        complain_found(compiler, node, "a meter of some feature");
}

static void pool_read(struct compiler *compiler, const struct node *node, const struct draft *draft,
                      struct pool_rule *pool)
{
    enum { CAPACITY, PER, METER, STALE_AFTER, SAFE_FACTOR, KEYS };
    static const struct key keys[KEYS] = {
        [CAPACITY] = {   "capacity",  true},
        [PER] = {        "per",  true},
        [METER] = {      "meter",  true},
        [STALE_AFTER] = {"stale_after", false},
        [SAFE_FACTOR] = {"safe_factor", false}
    };
    static const struct decimal_range factor_range = {
        0, NANO_PER_CREDIT, "a decimal from 0 to 1 such as \"0.5\", with at most 9 decimals"};
    const struct node *values[KEYS];
    if (check_name(compiler, node->key_place, node->key))
        pool->name = names_symbol(&compiler->names, node->key_place, node->key);
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    if (values[CAPACITY] != NULL)
        (void)read_whole(compiler, values[CAPACITY], (struct whole_range){1, QUANTITY_MAX},
                         &pool->capacity);
    if (values[PER] != NULL)
        (void)read_duration(compiler, values[PER], DURATION_PERIOD, &pool->per_ms);
    pool_meter_read(compiler, values[METER], draft, pool);
    pool->stale_after_ms = 10 * SECOND_MS;
    if (values[STALE_AFTER] != NULL)
        (void)read_duration(compiler, values[STALE_AFTER], DURATION_PERIOD, &pool->stale_after_ms);
    int64_t factor_nano = NANO_PER_CREDIT / 2;
    if (values[SAFE_FACTOR] != NULL)
        (void)read_decimal(compiler, values[SAFE_FACTOR], factor_range, &factor_nano);
    pool->safe_factor_nano = (uint64_t)factor_nano;
}

static void pools_read(struct compiler *compiler, const struct node *node, struct draft *draft)
{
    if (node == NULL || !read_mapping(compiler, node, 0, POOLS_MAX, "pools by name")) return;
    draft->pools = arena_take_sized(compiler->kept, node->count * sizeof draft->pools[0]);
    draft->pool_names =
        arena_take_sized(compiler->scratch, node->count * sizeof draft->pool_names[0]);
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        draft->pool_names[draft->pool_count] = child->key;
        pool_read(compiler, child, draft, &draft->pools[draft->pool_count++]);
    }
}

/* `plan` is left to be looked up when the plans are known. */
static void defaults_read(struct compiler *compiler, const struct node *node, bool *is_reported,
                          struct policy *policy, struct draft *draft, const struct node **plan_out)
{
    enum { PLAN = SETTINGS, RETENTION, KEYS };
    static const struct key keys[KEYS] = {
        SETTINGS_KEYS, [PLAN] = {                 "plan", false},
           [RETENTION] = {"idempotency_retention", false}
    };
    static const struct duration_range retention_range = {MINUTE_MS, 366 * DAY_MS,
                                                          "from 1m to 366d"};
    const struct node *values[KEYS];
    draft->defaults = (struct settings){
        .on_failure = FAILURE_NONE, .overshoot = OVERSHOOT_REFUND, .hold_ttl_ms = MINUTE_MS};
    policy->retention_ms = DAY_MS;
    if (node == NULL || !read_keys(compiler, node, keys, KEYS, values)) return;
    settings_read(compiler, values, is_reported, &draft->defaults);
    if (values[RETENTION] != NULL)
        (void)read_duration(compiler, values[RETENTION], retention_range, &policy->retention_ms);
    *plan_out = values[PLAN];
}

/* The tables that depend on all names being numbered. */
static void policy_index(struct compiler *compiler, struct policy *policy)
{
    const struct names *names = &compiler->names;
    policy->symbol_count = names->known->count + names->more_count;
    policy->new_symbol_count = names->more_count;
    struct bytes *new_symbols =
        arena_take_sized(compiler->kept, names->more_count * sizeof new_symbols[0]);
    memcpy(new_symbols, names->more, names->more_count * sizeof new_symbols[0]);
    policy->new_symbols = new_symbols;

    const size_t map_bytes = (policy->symbol_count + 1) * sizeof(uint16_t);
    uint16_t *feature_of_symbol = arena_take_sized(compiler->kept, map_bytes);
    for (uint32_t place = 0; place < policy->feature_count; place++)
        feature_of_symbol[policy->features[place].name] = (uint16_t)(place + 1);
    policy->feature_of_symbol = feature_of_symbol;
    uint16_t *plan_of_symbol = arena_take_sized(compiler->kept, map_bytes);
    for (uint32_t place = 0; place < policy->plan_count; place++)
        plan_of_symbol[policy->plans[place].name] = (uint16_t)(place + 1);
    policy->plan_of_symbol = plan_of_symbol;
}

static void sections_read(struct compiler *compiler, const struct node *const *root,
                          struct policy *policy)
{
    struct draft draft = {0};
    struct price_book book = {0};
    const struct node *default_plan = NULL;
    bool is_reported = false;
    version_check(compiler, root[ROOT_VERSION]);
    defaults_read(compiler, root[ROOT_DEFAULTS], &is_reported, policy, &draft, &default_plan);
    features_read(compiler, root[ROOT_FEATURES], &draft);
    if (root[ROOT_PRICES] != NULL) book = prices_read(compiler, root[ROOT_PRICES]);
    features_price(compiler, &book, &draft);
    pools_read(compiler, root[ROOT_POOLS], &draft);

    const struct bytes *plan_names = NULL;
    if (root[ROOT_PLANS] != NULL)
        policy->plan_count =
            plans_read(compiler, root[ROOT_PLANS], &draft, &policy->plans, &plan_names);
    uint32_t place = 0;
    if (default_plan != NULL &&
        find_name(compiler, default_plan, "plan", plan_names, policy->plan_count, &place))
        policy->default_plan = policy->plans[place].name;

    struct policy_feature *features =
        arena_take_sized(compiler->kept, draft.feature_count * sizeof features[0]);
    for (uint32_t at = 0; at < draft.feature_count; at++)
        features[at] = draft.features[at].compiled;
    policy->features = features;
    policy->feature_count = draft.feature_count;
    policy->pools = draft.pools;
    policy->pool_count = draft.pool_count;
}

const struct policy *policy_compile(struct arena *arena, struct bytes yaml,
                                    const struct symbols *known,
                                    struct policy_complaints *complaints_out)
{
    static const struct key keys[ROOT_KEYS] = {
        [ROOT_VERSION] = { "version",  true},
          [ROOT_DEFAULTS] = {"defaults", false},
        [ROOT_FEATURES] = {"features",  true},
          [ROOT_PRICES] = {  "prices", false},
        [ROOT_POOLS] = {   "pools", false},
          [ROOT_PLANS] = {   "plans",  true}
    };
    ENSURE(arena->size - arena->used >= POLICY_ARENA_BYTES);
    *complaints_out = (struct policy_complaints){0};
    if (yaml.length > POLICY_BYTES_MAX) {
        complaints_add(complaints_out, (struct place){1, 1},
                       "the file has %zu bytes, expected at most %u", yaml.length,
                       POLICY_BYTES_MAX);
        return NULL;
    }
    struct arena kept = *arena;
    kept.size -= SCRATCH_BYTES;
    struct arena scratch = arena_over(arena->block + kept.size, SCRATCH_BYTES);
    const struct node *root = tree_read(&scratch, yaml, complaints_out);
    if (root == NULL) return NULL;

    struct compiler compiler = {
        .kept = &kept,
        .scratch = &scratch,
        .complaints = complaints_out,
        .names = names_over(&kept, &scratch, complaints_out, known),
    };
    struct policy *policy = arena_take_sized(&kept, sizeof *policy);
    const struct node *sections[ROOT_KEYS];
    if (!read_keys(&compiler, root, keys, ROOT_KEYS, sections)) return NULL;
    sections_read(&compiler, sections, policy);
    if (complaints_out->count > 0) return NULL;

    const struct hash_key no_key = {
        {0, 0}
    };
    policy->content_hash = hash_64(no_key, yaml);
    policy_index(&compiler, policy);
    arena->used = kept.used;
    return policy;
}
