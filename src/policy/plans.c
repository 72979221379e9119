/*
 * plans.c: the waterfalls. Every gate and every source of a feature has a name of its own there,
 * because a limit is known to customers, overrides and resets by feature and name (SEMANTICS W2).
 */
#include "policy/plans.h"

#define TIER_MAX 1000u
#define GRANT_PRIORITY_MAX 1000000
/* Limits that may shut a thing off; overrides can open it again for a customer. */
#define LIMIT_RANGE ((struct whole_range){0, QUANTITY_MAX})

_Static_assert(METERS_MAX == GRANT_FEATURES_MAX, "recurring grants are grants");

struct taken_name {
    uint32_t symbol;
    struct place place;
};

/* One feature of one plan while it is read. */
struct feature_reader {
    struct compiler *compiler;
    const struct draft *draft;
    const struct feature_draft *feature;
    struct taken_name taken[GATES_MAX + SOURCES_MAX];
    uint32_t taken_count;
    uint32_t budget_count;
};

static const struct choice categories[] = {
    {"promotional", CATEGORY_PROMOTIONAL},
    {"entitlement", CATEGORY_ENTITLEMENT},
    {       "paid",        CATEGORY_PAID},
};

void settings_read(struct compiler *compiler, const struct node *const *values, bool *is_reported,
                   struct settings *settings)
{
    static const struct choice failures[] = {
        {  "none",   FAILURE_NONE},
        {  "full",   FAILURE_FULL},
        {"actual", FAILURE_ACTUAL}
    };
    static const struct choice overshoots[] = {
        { "refund",  OVERSHOOT_REFUND},
        {   "debt",    OVERSHOOT_DEBT},
        {"overage", OVERSHOOT_OVERAGE}
    };
    static const struct duration_range ttl_range = {SECOND_MS, TTL_MS_MAX, "from 1s to 30d"};
    int value = 0;
    if (values[SETTING_ON_FAILURE] != NULL &&
        read_choice(compiler, values[SETTING_ON_FAILURE], failures, COUNT_OF(failures), &value))
        settings->on_failure = (enum failure_cost)value;
    if (values[SETTING_OVERSHOOT] != NULL &&
        read_choice(compiler, values[SETTING_OVERSHOOT], overshoots, COUNT_OF(overshoots),
                    &value)) {
        settings->overshoot = (enum overshoot_kind)value;
        settings->overshoot_node = values[SETTING_OVERSHOOT];
        settings->is_overshoot_reported = is_reported;
    }
    if (values[SETTING_HOLD_TTL] != NULL)
        (void)read_duration(compiler, values[SETTING_HOLD_TTL], ttl_range, &settings->hold_ttl_ms);
}

static bool find_named(struct compiler *compiler, struct place place, struct bytes name,
                       const char *kind, const struct bytes *names, uint32_t count,
                       uint32_t *place_out)
{
    for (uint32_t at = 0; at < count; at++) {
        if (!bytes_equal(names[at], name)) continue;
        *place_out = at;
        return true;
    }
    const struct bytes best = suggest_among(compiler, name, names, count);
    if (best.length > 0)
        complaints_add(compiler->complaints, place, "there is no %s '%s', did you mean '%s'?", kind,
                       quote(name).text, quote(best).text);
    else
        complaints_add(compiler->complaints, place,
                       "there is no %s '%s', expected one that this policy defines", kind,
                       quote(name).text);
    return false;
}

bool find_name(struct compiler *compiler, const struct node *node, const char *kind,
               const struct bytes *names, uint32_t count, uint32_t *place_out)
{
    struct bytes name = BYTES_NONE;
    return read_name(compiler, node, &name) &&
           find_named(compiler, node->place, name, kind, names, count, place_out);
}

static void limit_name_read(struct feature_reader *reader, const struct node *node,
                            uint32_t *symbol_out)
{
    struct compiler *compiler = reader->compiler;
    struct bytes name = BYTES_NONE;
    if (node == NULL || !read_name(compiler, node, &name)) return;
    const uint32_t symbol = names_symbol(&compiler->names, node->place, name);
    if (symbol == SYMBOL_NONE) return;
    if (symbol < SYMBOL_FIRST_FREE) {
        complaints_add(compiler->complaints, node->place,
                       "the name '%s' belongs to sources without a name of their own, expected "
                       "another one",
                       quote(name).text);
        return;
    }
    for (uint32_t at = 0; at < reader->taken_count; at++) {
        if (reader->taken[at].symbol != symbol) continue;
        complaints_add(compiler->complaints, node->place,
                       "the name '%s' is taken in line %u, expected one of its own for every gate "
                       "and source of a feature",
                       quote(name).text, reader->taken[at].place.line);
        return;
    }
    reader->taken[reader->taken_count++] = (struct taken_name){symbol, node->place};
    *symbol_out = symbol;
}

static void scope_read(struct feature_reader *reader, const struct node *node,
                       struct scope_rule *scope)
{
    if (node != NULL) (void)read_scope(reader->compiler, node, scope);
}

static void credits_limit_read(struct feature_reader *reader, const struct node *node,
                               uint64_t *limit)
{
    int64_t nano = 0;
    if (node != NULL && read_decimal(reader->compiler, node, CREDITS_ANY, &nano))
        *limit = (uint64_t)nano;
}

static void rate_meter_read(struct feature_reader *reader, const struct node *node,
                            const struct node *meter, struct gate_rule *gate)
{
    const struct feature_draft *feature = reader->feature;
    if (!feature->is_sound) return;
    if (meter != NULL) {
        (void)find_name(reader->compiler, meter, "meter", feature->meters,
                        feature->compiled.meter_count, &gate->meter);
        return;
    }
    if (feature->compiled.requests_meter == METERS_MAX)
        complaints_add(reader->compiler->complaints, node->place,
                       "missing key 'meter', expected a meter of '%s', which has no 'requests' to "
                       "count without it",
                       quote(feature->name).text);
    gate->meter = feature->compiled.requests_meter;
}

static void rate_gate_read(struct feature_reader *reader, const struct node *node,
                           struct gate_rule *gate)
{
    enum { NAME, METER, LIMIT, PER, BURST, SCOPE, POOL, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = { "name",  true},
          [METER] = {"meter", false},
          [LIMIT] = {"limit",  true},
        [PER] = {  "per",  true},
          [BURST] = {"burst", false},
          [SCOPE] = {"scope", false},
        [POOL] = { "pool", false},
    };
    static const struct whole_range tokens = {1, QUANTITY_MAX};
    const struct node *values[KEYS];
    struct compiler *compiler = reader->compiler;
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    gate->kind = GATE_RATE;
    limit_name_read(reader, values[NAME], &gate->name);
    rate_meter_read(reader, node, values[METER], gate);
    if (values[LIMIT] != NULL) (void)read_whole(compiler, values[LIMIT], tokens, &gate->limit);
    if (values[PER] != NULL)
        (void)read_duration(compiler, values[PER], DURATION_PERIOD, &gate->per_ms);
    gate->burst = gate->limit;
    if (values[BURST] != NULL) (void)read_whole(compiler, values[BURST], tokens, &gate->burst);
    scope_read(reader, values[SCOPE], &gate->scope);
    uint32_t pool = 0;
    if (values[POOL] != NULL && find_name(compiler, values[POOL], "pool", reader->draft->pool_names,
                                          reader->draft->pool_count, &pool))
        gate->pool = reader->draft->pools[pool].name;
}

static void concurrency_gate_read(struct feature_reader *reader, const struct node *node,
                                  struct gate_rule *gate)
{
    enum { NAME, LIMIT, SCOPE, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = { "name",  true},
          [LIMIT] = {"limit",  true},
          [SCOPE] = {"scope", false}
    };
    const struct node *values[KEYS];
    if (!read_keys(reader->compiler, node, keys, KEYS, values)) return;
    gate->kind = GATE_CONCURRENCY;
    limit_name_read(reader, values[NAME], &gate->name);
    if (values[LIMIT] != NULL)
        (void)read_whole(reader->compiler, values[LIMIT], LIMIT_RANGE, &gate->limit);
    scope_read(reader, values[SCOPE], &gate->scope);
}

/* What budgets and overage say alike: so many credits in every period. */
struct spending {
    uint32_t *name;
    struct scope_rule *scope;
    uint64_t *limit;
    struct period *period;
};

static bool spending_read(struct feature_reader *reader, const struct node *node,
                          struct spending spending)
{
    enum { NAME, CREDITS, PER, START, SCOPE, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = {   "name",  true},
          [CREDITS] = {"credits",  true},
          [PER] = {    "per",  true},
        [START] = {  "start",  true},
          [SCOPE] = {  "scope", false},
    };
    const struct node *values[KEYS];
    if (!read_keys(reader->compiler, node, keys, KEYS, values)) return false;
    limit_name_read(reader, values[NAME], spending.name);
    credits_limit_read(reader, values[CREDITS], spending.limit);
    (void)read_period(reader->compiler, values[PER], values[START], false, spending.period);
    scope_read(reader, values[SCOPE], spending.scope);
    return true;
}

static void budget_gate_read(struct feature_reader *reader, const struct node *node,
                             struct gate_rule *gate)
{
    if (!spending_read(reader, node,
                       (struct spending){.name = &gate->name,
                                         .scope = &gate->scope,
                                         .limit = &gate->limit,
                                         .period = &gate->period}))
        return;
    gate->kind = GATE_BUDGET;
    if (++reader->budget_count > LINE_BUDGETS_MAX)
        complaints_add(reader->compiler->complaints, node->key_place,
                       "too many budgets, expected at most %u", LINE_BUDGETS_MAX);
}

static void gate_read(struct feature_reader *reader, const struct node *item,
                      struct gate_rule *gate)
{
    enum { RATE, CONCURRENCY, BUDGET, TAGS };
    static const char *const tags[TAGS] = {"rate", "concurrency", "budget"};
    uint32_t tag = 0;
    const struct node *value = NULL;
    if (!read_tagged(reader->compiler, item, tags, TAGS, &tag, &value)) return;
    if (tag == RATE)
        rate_gate_read(reader, value, gate);
    else if (tag == CONCURRENCY)
        concurrency_gate_read(reader, value, gate);
    else
        budget_gate_read(reader, value, gate);
}

/* A window counts the unit: `limit` where that is a meter, `credits` where it is cost. */
static void window_limit_read(struct feature_reader *reader, const struct node *node,
                              const struct node *limit, const struct node *credits,
                              struct window_rule *window)
{
    struct compiler *compiler = reader->compiler;
    const struct feature_draft *feature = reader->feature;
    if (!feature->is_sound) return;
    const bool is_cost = feature->compiled.unit == UNIT_COST;
    const struct node *right = is_cost ? credits : limit;
    const struct node *wrong = is_cost ? limit : credits;
    const char *name = is_cost ? "credits" : "limit";
    if (wrong != NULL)
        complaints_add(compiler->complaints, wrong->key_place,
                       "'%s' does not go with the unit of '%s', which is '%s', expected '%s'",
                       is_cost ? "limit" : "credits", quote(feature->name).text,
                       is_cost ? "cost" : quote(feature->meters[feature->compiled.unit]).text,
                       name);
    else if (right == NULL)
        complaints_add(compiler->complaints, node->place,
                       "missing key '%s', expected the keys: %s, per, start", name, name);
    else if (is_cost)
        credits_limit_read(reader, right, &window->limit);
    else
        (void)read_whole(compiler, right, LIMIT_RANGE, &window->limit);
}

static void window_read(struct feature_reader *reader, const struct node *node,
                        struct window_rule *window)
{
    enum { LIMIT, CREDITS, PER, START, KEYS };
    static const struct key keys[KEYS] = {
        [LIMIT] = {  "limit", false},
        [CREDITS] = {"credits", false},
        [PER] = {    "per",  true},
        [START] = {  "start",  true}
    };
    const struct node *values[KEYS];
    if (!read_keys(reader->compiler, node, keys, KEYS, values)) return;
    window_limit_read(reader, node, values[LIMIT], values[CREDITS], window);
    (void)read_period(reader->compiler, values[PER], values[START], false, &window->period);
}

static void allowance_read(struct feature_reader *reader, const struct node *node,
                           struct source_rule *source)
{
    enum { NAME, SCOPE, WINDOW_LIST, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = {   "name",  true},
          [SCOPE] = {  "scope", false},
          [WINDOW_LIST] = {"windows",  true}
    };
    const struct node *values[KEYS];
    if (!read_keys(reader->compiler, node, keys, KEYS, values)) return;
    source->kind = SOURCE_ALLOWANCE;
    limit_name_read(reader, values[NAME], &source->name);
    scope_read(reader, values[SCOPE], &source->scope);
    if (values[WINDOW_LIST] == NULL ||
        !read_list(reader->compiler, values[WINDOW_LIST], 1, WINDOWS_MAX, "windows"))
        return;
    for (const struct node *item = values[WINDOW_LIST]->first; item != NULL; item = item->next)
        window_read(reader, item, &source->windows[source->window_count++]);
}

static void prices_require(struct feature_reader *reader, const struct node *node)
{
    if (reader->feature->prices != NULL || !reader->feature->is_sound) return;
    complaints_add(
        reader->compiler->complaints, node->key_place,
        "feature '%s' has no prices, expected 'prices' there, because '%s' charges credits",
        quote(reader->feature->name).text, quote(node->key).text);
}

static void grants_read(struct feature_reader *reader, const struct node *node,
                        struct source_rule *source)
{
    enum { CATEGORY, KEYS };
    static const struct key keys[KEYS] = {
        [CATEGORY] = {"category", true}
    };
    const struct node *values[KEYS];
    struct compiler *compiler = reader->compiler;
    prices_require(reader, node);
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    source->kind = SOURCE_GRANTS;
    int category = 0;
    if (values[CATEGORY] == NULL ||
        !read_choice(compiler, values[CATEGORY], categories, COUNT_OF(categories), &category))
        return;
    source->category = (enum category)category;
    source->name = names_symbol(&compiler->names, node->place, values[CATEGORY]->text);
    for (uint32_t at = 0; at < reader->taken_count; at++) {
        if (reader->taken[at].symbol != source->name) continue;
        complaints_add(compiler->complaints, values[CATEGORY]->place,
                       "grants of category '%s' are in this waterfall already, in line %u, "
                       "expected them once",
                       quote(values[CATEGORY]->text).text, reader->taken[at].place.line);
        return;
    }
    reader->taken[reader->taken_count++] =
        (struct taken_name){source->name, values[CATEGORY]->place};
}

static void overage_read(struct feature_reader *reader, const struct node *node,
                         struct source_rule *source)
{
    prices_require(reader, node);
    if (!spending_read(reader, node,
                       (struct spending){.name = &source->name,
                                         .scope = &source->scope,
                                         .limit = &source->windows[0].limit,
                                         .period = &source->windows[0].period}))
        return;
    source->kind = SOURCE_OVERAGE;
    source->window_count = 1;
}

static void source_read(struct feature_reader *reader, const struct node *item,
                        struct source_rule *source)
{
    enum { ALLOWANCE, GRANTS, OVERAGE, UNLIMITED, TAGS };
    static const char *const tags[TAGS] = {"allowance", "grants", "overage", "unlimited"};
    uint32_t tag = 0;
    const struct node *value = NULL;
    if (!read_tagged(reader->compiler, item, tags, TAGS, &tag, &value)) return;
    if (tag == ALLOWANCE) {
        allowance_read(reader, value, source);
    } else if (tag == GRANTS) {
        grants_read(reader, value, source);
    } else if (tag == OVERAGE) {
        overage_read(reader, value, source);
    } else {
        (void)read_keys(reader->compiler, value, NULL, 0, NULL);
        source->kind = SOURCE_UNLIMITED;
        source->name = SYMBOL_UNLIMITED;
    }
}

static void waterfall_read(struct feature_reader *reader, const struct node *node,
                           struct plan_feature *feature)
{
    if (!read_list(reader->compiler, node, 1, SOURCES_MAX, "sources")) return;
    for (const struct node *item = node->first; item != NULL; item = item->next) {
        struct source_rule *source = &feature->sources[feature->source_count++];
        source_read(reader, item, source);
        if (source->kind == SOURCE_UNLIMITED && item->next != NULL)
            complaints_add(reader->compiler->complaints, item->next->place,
                           "nothing after 'unlimited' is ever reached, expected it to be the last "
                           "source");
    }
}

/* Overshoot beyond the cap needs an account that it is booked on (SEMANTICS H3). Said once, where
 * the setting stands, which may be far from the feature that it does not suit. */
static void overshoot_check(struct feature_reader *reader, const struct settings *settings,
                            const struct plan_feature *feature, struct bytes plan_name)
{
    if (settings->overshoot != OVERSHOOT_OVERAGE || *settings->is_overshoot_reported) return;
    for (uint32_t place = 0; place < feature->source_count; place++) {
        const enum source_kind kind = feature->sources[place].kind;
        if (kind == SOURCE_OVERAGE || kind == 0) return; /* 0: complained about already */
    }
    *settings->is_overshoot_reported = true;
    complaints_add(reader->compiler->complaints, settings->overshoot_node->place,
                   "'overshoot' is 'overage', but feature '%s' of plan '%s' has no overage source, "
                   "expected one in its waterfall, or 'overshoot' refund or debt there",
                   quote(reader->feature->name).text, quote(plan_name).text);
}

static void plan_feature_read(struct compiler *compiler, const struct node *node,
                              const struct draft *draft, uint32_t place, struct bytes plan_name,
                              struct settings settings, struct plan_feature *feature)
{
    enum { GATES = SETTINGS, WATERFALL, KEYS };
    static const struct key keys[KEYS] = {
        SETTINGS_KEYS, [GATES] = {    "gates", false},
           [WATERFALL] = {"waterfall",  true}
    };
    const struct node *values[KEYS];
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    bool is_reported = false;
    struct feature_reader reader = {
        .compiler = compiler, .draft = draft, .feature = &draft->features[place]};
    settings_read(compiler, values, &is_reported, &settings);
    feature->feature = place;
    feature->on_failure = settings.on_failure;
    feature->overshoot = settings.overshoot;
    feature->hold_ttl_ms = settings.hold_ttl_ms;
    if (values[GATES] != NULL && read_list(compiler, values[GATES], 0, GATES_MAX, "gates"))
        for (const struct node *item = values[GATES]->first; item != NULL; item = item->next)
            gate_read(&reader, item, &feature->gates[feature->gate_count++]);
    if (values[WATERFALL] == NULL) return;
    waterfall_read(&reader, values[WATERFALL], feature);
    if (feature->source_count > 0) overshoot_check(&reader, &settings, feature, plan_name);
}

static void plan_features_read(struct compiler *compiler, const struct node *node,
                               const struct draft *draft, struct bytes plan_name,
                               const struct settings *settings, struct plan *plan)
{
    if (!read_mapping(compiler, node, 0, FEATURES_MAX, "features")) return;
    struct plan_feature *features =
        arena_take_sized(compiler->kept, node->count * sizeof features[0]);
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        uint32_t place = 0;
        if (find_named(compiler, child->key_place, child->key, "feature", draft->feature_names,
                       draft->feature_count, &place))
            plan_feature_read(compiler, child, draft, place, plan_name, *settings,
                              &features[plan->feature_count++]);
    }
    plan->features = features;
}

static void recurring_features_read(struct compiler *compiler, const struct node *node,
                                    const struct draft *draft, struct recurring_rule *rule)
{
    if (!read_list(compiler, node, 1, COUNT_OF(rule->features), "features")) return;
    for (const struct node *item = node->first; item != NULL; item = item->next) {
        uint32_t place = 0;
        if (!find_name(compiler, item, "feature", draft->feature_names, draft->feature_count,
                       &place))
            continue;
        const uint32_t symbol = draft->features[place].compiled.name;
        for (uint32_t at = 0; at < rule->feature_count; at++)
            if (rule->features[at] == symbol)
                complaints_add(compiler->complaints, item->place,
                               "feature '%s' is in this list twice, expected it once",
                               quote(item->text).text);
        rule->features[rule->feature_count++] = symbol;
    }
}

static void recurring_credits_read(struct compiler *compiler, const struct node *credits,
                                   const struct node *rollover, struct recurring_rule *rule)
{
    static const struct decimal_range range = {1, GRANT_NANO_MAX,
                                               "credits as a decimal, more than 0 and at most "
                                               "18014398.509481984, with at most 9 decimals"};
    _Static_assert(GRANT_NANO_MAX == INT64_C(18014398509481984), "said in the message");
    if (credits != NULL) (void)read_decimal(compiler, credits, range, &rule->nano);
    if (rollover == NULL ||
        !read_decimal(compiler, rollover, CREDITS_ANY, &rule->rollover_nano_max))
        return;
    if (rule->rollover_nano_max > GRANT_NANO_MAX - rule->nano)
        complain_found(compiler, rollover,
                       "together with 'credits' at most 18014398.509481984, what one grant holds");
}

static void recurring_read(struct compiler *compiler, const struct node *item,
                           const struct draft *draft, struct plan *plan)
{
    enum { NAME, CATEGORY, CREDITS, PER, START, ROLLOVER, EXPIRES, PRIORITY, FEATURES, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = {        "name",  true},
          [CATEGORY] = {    "category",  true},
        [CREDITS] = {     "credits",  true},
          [PER] = {         "per",  true},
        [START] = {       "start",  true},
          [ROLLOVER] = {"rollover_max", false},
        [EXPIRES] = {     "expires", false},
          [PRIORITY] = {    "priority", false},
        [FEATURES] = {    "features", false},
    };
    static const char *const tags[] = {"grant"};
    uint32_t tag = 0;
    const struct node *value = NULL;
    const struct node *values[KEYS];
    struct recurring_rule *rule = &plan->recurring[plan->recurring_count++];
    if (!read_tagged(compiler, item, tags, COUNT_OF(tags), &tag, &value) ||
        !read_keys(compiler, value, keys, KEYS, values))
        return;
    struct bytes name = BYTES_NONE;
    if (values[NAME] != NULL && read_name(compiler, values[NAME], &name)) {
        rule->name = names_symbol(&compiler->names, values[NAME]->place, name);
        for (uint32_t at = 0; at + 1 < plan->recurring_count; at++)
            if (plan->recurring[at].name == rule->name)
                complaints_add(compiler->complaints, values[NAME]->place,
                               "the name '%s' is taken by a recurring grant above, expected "
                               "another one",
                               quote(name).text);
    }
    int category = 0;
    if (values[CATEGORY] != NULL &&
        read_choice(compiler, values[CATEGORY], categories, COUNT_OF(categories), &category))
        rule->category = (enum category)category;
    recurring_credits_read(compiler, values[CREDITS], values[ROLLOVER], rule);
    (void)read_period(compiler, values[PER], values[START], true, &rule->period);
    if (values[EXPIRES] != NULL)
        (void)read_duration(compiler, values[EXPIRES], DURATION_PERIOD, &rule->expires_ms);
    if (values[PRIORITY] != NULL)
        (void)read_signed(compiler, values[PRIORITY], GRANT_PRIORITY_MAX, &rule->priority);
    if (values[FEATURES] != NULL) recurring_features_read(compiler, values[FEATURES], draft, rule);
}

static void plan_read(struct compiler *compiler, const struct node *node, const struct draft *draft,
                      struct plan *plan)
{
    enum { TIER = SETTINGS, FEATURES, RECURRING, KEYS };
    static const struct key keys[KEYS] = {
        SETTINGS_KEYS, [TIER] = {     "tier", false},
           [FEATURES] = { "features", false},
        [RECURRING] = {"recurring", false}
    };
    const struct node *values[KEYS];
    if (check_name(compiler, node->key_place, node->key))
        plan->name = names_symbol(&compiler->names, node->key_place, node->key);
    plan->tier = 1;
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    uint64_t tier = 1;
    if (values[TIER] != NULL &&
        read_whole(compiler, values[TIER], (struct whole_range){1, TIER_MAX}, &tier))
        plan->tier = (uint32_t)tier;
    bool is_reported = false;
    struct settings settings = draft->defaults;
    settings_read(compiler, values, &is_reported, &settings);
    if (values[FEATURES] != NULL)
        plan_features_read(compiler, values[FEATURES], draft, node->key, &settings, plan);
    if (values[RECURRING] != NULL &&
        read_list(compiler, values[RECURRING], 0, RECURRING_MAX, "recurring grants"))
        for (const struct node *item = values[RECURRING]->first; item != NULL; item = item->next)
            recurring_read(compiler, item, draft, plan);
}

uint32_t plans_read(struct compiler *compiler, const struct node *node, const struct draft *draft,
                    const struct plan **plans_out, const struct bytes **names_out)
{
    if (!read_mapping(compiler, node, 1, PLANS_MAX, "plans by name")) return 0;
    struct plan *plans = arena_take_sized(compiler->kept, node->count * sizeof plans[0]);
    struct bytes *names = arena_take_sized(compiler->scratch, node->count * sizeof names[0]);
    uint32_t count = 0;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        names[count] = child->key;
        plan_read(compiler, child, draft, &plans[count++]);
    }
    *plans_out = plans;
    *names_out = names;
    return count;
}
