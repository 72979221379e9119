/*
 * read.c: reading the deciding state. Reads see what is due as done: they settle it in a trial and
 * take it back (SEMANTICS T2).
 */
#include "engine/decide.h"

#include <string.h>

/* Limits of the customer's own: the state knows them by hashes, so it is asked for each that there
 * can be, until all are found. */

struct own_limits {
    const struct engine *engine;
    uint32_t customer; /* number */
    uint32_t left;     /* of his overrides, those that were not found yet */
    struct customer_view *view;
};

static bool is_listed(const struct customer_view *view, uint32_t feature, uint32_t name,
                      bool is_credits)
{
    for (uint32_t i = 0; i < view->limit_count; i++) {
        const struct limit_view *limit = &view->limits[i];
        if (limit->feature == feature && limit->name == name && limit->is_credits == is_credits)
            return true;
    }
    return false;
}

static void list_limit(struct own_limits *own, uint32_t feature, uint32_t name, bool is_credits)
{
    struct customer_view *view = own->view;
    struct limit_view limit = {.feature = feature, .name = name, .is_credits = is_credits};
    for (uint32_t place = 0; place < WINDOWS_MAX && own->left != 0; place++) {
        const struct slot_name slot = {0, slot_id_override(feature, name, place, is_credits)};
        const uint32_t number = slot_find(own->engine, own->customer, slot);
        if (number == 0) continue;
        limit.is_own[place] = true;
        limit.values[place] = slot_at(own->engine, number)->override;
        limit.window_count = place + 1;
    }
    if (limit.window_count == 0 || view->limit_count == LIMIT_VIEWS_MAX ||
        is_listed(view, feature, name, is_credits))
        return;
    for (uint32_t place = 0; place < limit.window_count; place++)
        own->left -= limit.is_own[place];
    view->limits[view->limit_count++] = limit;
}

static void list_limits_of(struct own_limits *own, uint32_t feature, bool unit_is_cost,
                           const struct plan_feature *terms)
{
    const uint32_t features[] = {feature, SYMBOL_NONE};
    for (uint32_t n = 0; n < COUNT_OF(features); n++) {
        for (uint32_t i = 0; i < terms->gate_count; i++)
            list_limit(own, features[n], terms->gates[i].name, terms->gates[i].kind == GATE_BUDGET);
        for (uint32_t i = 0; i < terms->source_count; i++)
            if (terms->sources[i].window_count != 0)
                list_limit(own, features[n], terms->sources[i].name,
                           unit_is_cost || terms->sources[i].kind == SOURCE_OVERAGE);
    }
}

void engine_customer_limits(struct engine *engine, const struct policy *policy,
                            struct bytes customer, struct customer_view *view)
{
    const uint32_t number = customer_find(engine, customer_id(engine, customer));
    struct own_limits own = {engine, number, customer_at(engine, number)->overrides, view};
    for (uint32_t p = 0; p < policy->plan_count; p++)
        for (uint32_t f = 0; f < policy->plans[p].feature_count && own.left != 0; f++) {
            const struct plan_feature *terms = &policy->plans[p].features[f];
            const struct policy_feature *feature = &policy->features[terms->feature];
            list_limits_of(&own, feature->name, feature->unit == UNIT_COST, terms);
        }
}

bool engine_customer(struct engine *engine, struct bytes customer, struct customer_view *view_out)
{
    const uint32_t number = customer_find(engine, customer_id(engine, customer));
    if (number == 0) return false;
    const struct customer *found = customer_at(engine, number);
    view_out->plan = found->plan;
    view_out->credit_mode = (enum credit_mode)found->mode;
    view_out->suspended = found->suspended;
    view_out->standing = (enum standing)found->standing;
    view_out->has_anchor = found->has_anchor;
    view_out->anchor_ms = found->anchor_ms;
    view_out->created_ms = found->created_ms;
    view_out->open_holds = found->open_holds;
    view_out->override_count = found->overrides;
    view_out->limit_count = 0;
    return true;
}

static bool grant_is_shown(const struct grant *grant)
{
    if (grant->state == GRANT_PENDING) return true;
    return grant->remaining != 0 || grant->held != 0;
}

static void balance_grants(const struct engine *engine, const struct customer *customer,
                           enum category category, struct balance_view *view)
{
    for (uint32_t n = customer->grants; n != 0; n = grant_at(engine, n)->next) {
        const struct grant *grant = grant_at(engine, n);
        if (grant->category != category || !grant_is_shown(grant)) continue;
        if (view->grant_count == GRANT_VIEWS_MAX) return;
        struct grant_view *shown = &view->grants[view->grant_count++];
        *shown = (struct grant_view){
            .id = grant->id,
            .category = category,
            .state = (enum grant_state)grant->state,
            .priority = grant->priority,
            .amount = grant->amount,
            .remaining = grant->remaining,
            .held = grant->held,
            .effective_ms = grant->effective_ms,
            .expires_ms = grant->expires_ms,
            .feature_count = grant->feature_count,
        };
        for (uint32_t i = 0; i < grant->feature_count; i++)
            shown->features[i] = grant->features[i];
    }
}

bool engine_balance(struct engine *engine, const struct policy *policy, struct bytes customer,
                    int64_t now_ms, struct balance_view *view_out)
{
    const struct hash128 id = customer_id(engine, customer);
    const uint32_t number = customer_find(engine, id);
    if (number == 0) return false;
    trial_begin(engine);
    (void)due_settle_trial(engine, policy, id, now_ms, UINT32_MAX);
    const struct customer *found = customer_at(engine, number);
    view_out->available = found->available;
    view_out->held = found->held;
    view_out->debt = found->debt;
    view_out->grant_count = 0;
    balance_grants(engine, found, CATEGORY_PROMOTIONAL, view_out);
    balance_grants(engine, found, CATEGORY_ENTITLEMENT, view_out);
    balance_grants(engine, found, CATEGORY_PAID, view_out);
    trial_end(engine);
    return true;
}

bool engine_hold(const struct engine *engine, uint64_t decision, int64_t now_ms,
                 struct hold_view *view_out)
{
    const uint32_t open = hold_find(engine, decision);
    if (open != 0) {
        const int64_t expires_ms = hold_at(engine, open)->expires_ms;
        const bool is_over = expires_ms <= now_ms; /* due, though not yet done (T2) */
        *view_out = (struct hold_view){is_over ? HOLD_EXPIRED : HOLD_HELD, expires_ms};
        return true;
    }
    const uint32_t ended = ended_find(engine, decision);
    if (ended == 0) return false;
    *view_out = (struct hold_view){.state = (enum hold_state)ended_at(engine, ended)->state};
    return view_out->state != HOLD_NONE;
}

/* Status. */

static struct status_row *status_row(struct status_view *view, enum note_kind kind, uint32_t name,
                                     struct scope_rule scope)
{
    struct status_row *row = &view->rows[view->row_count++];
    *row = (struct status_row){.kind = kind, .name = name, .scope = scope};
    return row;
}

static void status_counter(const struct view *view, const struct counter *counter, uint64_t limit,
                           struct status_row *row)
{
    row->has_window = true;
    row->period = counter->period;
    row->limit = limit;
    row->used = counter->used;
    row->remaining = counter_left(counter, limit);
    row->resets_at_ms = counter_resets_at(view, counter);
}

static void status_pace(const struct gate_rule *gate, const struct gate_reading *reading,
                        struct status_row *row)
{
    row->factor = gate_factor(gate, reading);
    row->standing = reading->standing;
    row->is_paced = row->factor != PACE_ONE || row->standing != STANDING_NORMAL;
}

static void status_gate(const struct view *view, const struct ask *ask,
                        const struct gate_rule *gate, struct status_view *out)
{
    struct gate_reading reading;
    gate_read(view, ask, gate, &reading);
    switch (gate->kind) {
    case GATE_RATE: {
        const struct rate_slot *bucket = &reading.bucket;
        struct status_row *row = status_row(out, NOTE_RATE, gate->name, gate->scope);
        row->has_window = true;
        row->period = (struct period){PERIOD_DURATION, START_SLIDING, bucket->per_ms};
        const int64_t used = (int64_t)bucket->burst - bucket->level;
        row->limit = reading.limit;
        row->burst = bucket->burst;
        row->remaining = bucket->level > 0 ? (uint64_t)bucket->level : 0;
        row->used = used < (int64_t)QUANTITY_MAX ? used : (int64_t)QUANTITY_MAX;
        row->resets_at_ms = used <= 0 ? 0 : rate_full_at(bucket, &reading.clock, view->now_ms);
        status_pace(gate, &reading, row);
        return;
    }
    case GATE_CONCURRENCY: {
        struct status_row *row = status_row(out, NOTE_CONCURRENCY, gate->name, gate->scope);
        row->limit = reading.limit;
        row->used = reading.in_flight;
        row->remaining = (uint64_t)row->used < row->limit ? row->limit - (uint64_t)row->used : 0;
        status_pace(gate, &reading, row);
        return;
    }
    case GATE_BUDGET: {
        struct status_row *row = status_row(out, NOTE_BUDGET, gate->name, gate->scope);
        status_counter(view, &reading.counter, reading.limit, row);
        row->is_credits = true;
        return;
    }
    }
    ENSURE(false);
}

static void status_source(const struct view *view, const struct ask *ask,
                          const struct source_rule *source, bool price_is_assumed,
                          struct status_view *out)
{
    struct source_reading reading;
    source_read(view, ask, source, &reading);
    for (uint32_t place = 0; place < source->window_count; place++) {
        struct status_row *row = status_row(out, NOTE_SOURCE, source->name, source->scope);
        row->source = source->kind;
        row->place = place;
        status_counter(view, &reading.counter[place], reading.limit[place], row);
        row->is_credits = source->kind == SOURCE_OVERAGE || ask->unit == UNIT_COST;
    }
    if (source->window_count != 0) return;
    struct status_row *row =
        status_row(out, NOTE_SOURCE, source->name, (struct scope_rule){.kind = SCOPE_CUSTOMER});
    row->source = source->kind;
    row->unlimited = source->kind == SOURCE_UNLIMITED;
    row->is_credits = ask->unit == UNIT_COST || price_is_assumed;
    row->remaining = price_is_assumed && source->kind == SOURCE_GRANTS
                         ? (uint64_t)ask_credits(view, ask, source->category)
                         : source_has(view, ask, source, &reading);
}

/* The next request, as small as one can be: one unit, one request. */
static struct ask smallest_ask(const struct policy_feature *feature, const struct quote *quote)
{
    struct ask ask = {
        .feature = feature->name,
        .unit = feature->unit,
        .meter_count = feature->meter_count,
        .quote = *quote,
        .units = 1,
        .divisible = feature->divisible,
        .takes_slot = true,
    };
    memcpy(ask.meters, feature->meters, sizeof ask.meters);
    if (feature->requests_meter < METERS_MAX) ask.quantities[feature->requests_meter] = 1;
    if (feature->unit != UNIT_COST) {
        ask.quantities[feature->unit] = 1;
        if (feature->rule_count != 0) ask.priced_by = feature;
    }
    ask.price = price_of_unit(quote, feature->unit);
    return ask;
}

/* Which price the next request has depends on its attributes. Without any, as far as a rule in
 * force matches that; else as cheap as it can be, and lots are shown in credits, as it cannot be
 * said how many units they are. While no price is in force nothing is let in. */
static void status_fill(const struct decision_context *c, struct command *attributes,
                        const struct policy_feature *feature, struct bytes subject,
                        struct status_view *out)
{
    struct view view;
    view_open(&view, c->engine, c->policy, owner_of_id(c->engine, c->fact->customer),
              c->stamp.now_ms, c->fact);
    view_subject(&view, subject);
    struct quote quote = {.q = 1};
    const bool has_price =
        price_quote_cheapest(feature, feature->unit, c->stamp.now_ms, attributes, &quote).code ==
        PROBLEM_NONE;
    const bool price_is_assumed = !has_price || attributes->attribute_count != 0;
    const struct ask ask = smallest_ask(feature, &quote);
    const struct plan_feature *terms = current_terms(&view, &ask);
    struct evaluation evaluation;
    ladder_evaluate(&view, terms, &ask, &evaluation);
    out->reason = has_price ? evaluation.reason : REASON_NOT_ENTITLED;
    out->allowed = out->reason == REASON_OK;
    for (uint32_t i = 0; terms != NULL && i < terms->gate_count; i++)
        status_gate(&view, &ask, &terms->gates[i], out);
    for (uint32_t i = 0; terms != NULL && i < terms->source_count; i++)
        status_source(&view, &ask, &terms->sources[i], price_is_assumed, out);
    if (reason_has_retry(out->reason))
        out->retry_after_ms = retry_search(c, &ask, view.levels, view.level_count, &evaluation);
}

enum problem_code engine_status(struct engine *engine, const struct policy *policy,
                                struct bytes customer, struct bytes subject, struct bytes feature,
                                int64_t now_ms, struct status_view *view_out)
{
    const struct symbols symbols = engine_symbols(engine);
    const struct hash128 id = customer_id(engine, customer);
    if (customer_find(engine, id) == 0 && policy->default_plan == SYMBOL_NONE)
        return PROBLEM_UNKNOWN_CUSTOMER;
    const struct policy_feature *found = policy_feature_named(policy, &symbols, feature);
    if (found == NULL) return PROBLEM_UNKNOWN_FEATURE;
    view_out->feature = found->name;
    view_out->unit = found->unit == UNIT_COST ? UNIT_COST : found->meters[found->unit];
    view_out->retry_after_ms = -1;
    view_out->row_count = 0;
    struct command attributes = {0};
    struct decision_context c = {.engine = engine,
                                 .policy = policy,
                                 .command = &attributes,
                                 .stamp = {.now_ms = now_ms},
                                 .fact = engine->reading,
                                 .owner = {.id = id},
                                 .is_outside = customer_find(engine, id) == 0};
    trial_begin(engine);
    (void)due_settle_trial(engine, policy, id, now_ms, UINT32_MAX);
    fact_clear(c.fact, c.stamp);
    c.fact->customer = id;
    status_fill(&c, &attributes, found, subject, view_out);
    trial_end(engine);
    return PROBLEM_NONE;
}

/* The state's hash: a sum over blocks of what each says, so that order does not matter. */

static uint64_t mix(uint64_t hash, int64_t value)
{
    return hash_mix(hash, (uint64_t)value);
}

static uint64_t hash_slots(const struct engine *engine, const struct customer *customer,
                           uint64_t seed, uint32_t first, int64_t now_ms)
{
    uint64_t sum = 0;
    for (uint32_t n = first; n != 0; n = slot_at(engine, n)->next) {
        const struct slot *slot = slot_at(engine, n);
        if (slot_is_default(engine, customer, slot, now_ms)) continue;
        uint64_t hash = mix(hash_mix(seed, slot->id), slot->kind);
        switch ((enum slot_kind)slot->kind) {
        case SLOT_WINDOW:
            hash = mix(mix(hash, slot->window.used), slot->window.end_ms);
            break;
        case SLOT_SLIDING: {
            const struct ring *ring = slab_at(&engine->rings, slot->sliding.ring);
            const int64_t per_ms = slot->sliding.per_ms;
            hash = mix(mix(hash, per_ms), slot->sliding.generation);
            for (int64_t at = ring->newest; at >= 0 && at > ring->newest - (int64_t)RING_SLOTS;
                 at--) {
                const int64_t count = ring->counts[at % RING_SLOTS];
                if (count == 0 || !sliding_is_live(at * sliding_resolution(per_ms), per_ms, now_ms))
                    continue;
                hash = mix(mix(hash, at), count);
            }
            break;
        }
        case SLOT_RATE:
            hash = mix(mix(hash_mix(hash, slot->rate.part), slot->rate.level), slot->rate.at);
            hash = mix(mix(hash, slot->pool), slot->standing);
            hash = mix(hash_mix(hash_mix(hash, slot->rate.limit), slot->rate.burst),
                       slot->rate.per_ms);
            break;
        case SLOT_CONCURRENCY:
            hash = mix(hash, slot->in_flight);
            break;
        case SLOT_OVERRIDE:
            hash = hash_mix(hash, slot->override);
            break;
        case SLOT_RENEWAL:
            hash = hash_mix(mix(hash, slot->renewal.next_ms), slot->renewal.grant);
            break;
        }
        sum += hash;
    }
    return sum;
}

static uint64_t hash_grant(const struct grant *grant)
{
    uint64_t hash = hash_mix(grant->id, 5);
    const int64_t fields[] = {grant->category,     grant->state,      grant->priority,
                              grant->amount,       grant->remaining,  grant->held,
                              grant->effective_ms, grant->expires_ms, grant->recurring,
                              grant->feature_count};
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        hash = mix(hash, fields[i]);
    for (unsigned i = 0; i < GRANT_FEATURES_MAX; i++)
        hash = mix(hash, grant->features[i]);
    return hash;
}

static uint64_t hash_refs(uint64_t hash, const struct window_ref *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hash = hash_mix(hash_mix(hash, refs[i].slot.scope), refs[i].slot.id);
        hash = mix(mix(mix(hash, refs[i].instance_ms), refs[i].generation), refs[i].sliding);
    }
    return hash;
}

static uint64_t hash_terms(uint64_t hash, const struct hold_terms *terms)
{
    const int64_t fields[] = {terms->feature,      terms->unit,       terms->requests_meter,
                              terms->consent,      terms->on_failure, terms->ttl_ms,
                              terms->retention_ms, terms->quote.name, terms->quote.minimum_nano};
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        hash = mix(hash, fields[i]);
    hash = hash_mix(hash_mix(hash, terms->quote.version), terms->quote.q);
    for (uint32_t i = 0; i < terms->meter_count; i++)
        hash = hash_mix(hash_mix(hash, terms->meters[i]), terms->quote.num[i]);
    for (uint32_t i = 0; i < terms->level_count; i++)
        hash = hash_mix(hash, terms->levels[i]);
    return hash;
}

static uint64_t hash_holds(const struct engine *engine, uint32_t root)
{
    if (root == 0) return 0;
    const struct hold *hold = hold_at(engine, root);
    uint64_t hash = mix(hash_mix(hash_mix(hold->id, 11), hold->position), hold->expires_ms);
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next) {
        const struct hold_line *held = hold_line_at(engine, n);
        const struct line *line = &held->line;
        hash = mix(hash_mix(hash_mix(hash, line->units), line->grant_id), line->charged);
        hash = mix(mix(mix(hash, held->draw), line->source), line->kind);
        hash = hash_refs(hash, held->windows, held->window_count);
        hash = hash_refs(hash, held->budgets, held->budget_count);
    }
    hash = hash_terms(hash, &hold->terms);
    for (uint32_t i = 0; i < hold->concurrency_count; i++)
        hash = hash_mix(hash_mix(hash, hold->concurrency[i].scope), hold->concurrency[i].id);
    for (uint32_t n = hold->keys; n != 0;) {
        const struct key *key = slab_at(&engine->keys, n);
        hash = hash_mix(hash, key->hash.word[0]);
        n = (uint32_t)key_term(key);
    }
    for (uint32_t i = 0; i < METERS_MAX; i++)
        hash = hash_mix(hash, hold->quantities[i]);
    return hash + hash_holds(engine, hold->left) + hash_holds(engine, hold->right);
}

static uint64_t hash_customer(const struct engine *engine, const struct customer *customer,
                              int64_t now_ms)
{
    uint64_t hash = hash_mix(customer->id.word[0], customer->id.word[1]);
    const int64_t fields[] = {customer->created_ms,  customer->anchor_ms,
                              customer->available,   customer->held,
                              customer->debt,        customer->next_due_ms,
                              customer->plan,        customer->open_holds,
                              customer->overrides,   customer->mode,
                              customer->suspended,   customer->has_anchor,
                              customer->grants_live, customer->limits_changed_ms,
                              customer->standing};
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        hash = mix(hash, fields[i]);
    uint64_t sum = hash + hash_slots(engine, customer, hash_mix(customer->id.word[0], 3),
                                     customer->slots, now_ms);
    for (uint32_t n = customer->scopes; n != 0;) {
        const struct scope *scope = slab_at(&engine->scopes, n);
        const uint64_t seed = hash_mix(customer->id.word[0], scope->hash);
        if (scope->suspended != 0) sum += mix(seed, scope->suspended);
        if (scope->standing != 0) sum += mix(hash_mix(seed, 7), scope->standing);
        sum += hash_slots(engine, customer, seed, scope->slots, now_ms);
        n = scope->next;
    }
    for (uint32_t n = customer->grants; n != 0; n = grant_at(engine, n)->next) {
        const struct grant *grant = grant_at(engine, n);
        sum += hash_grant(grant);
    }
    for (uint32_t n = customer->remainders; n != 0;) {
        const struct remainder *remainder = slab_at(&engine->remainders, n);
        if (remainder->rem != 0)
            sum += hash_mix(
                hash_mix(hash_mix(customer->id.word[0], remainder->version), remainder->rem),
                remainder->q);
        n = remainder->next;
    }
    return sum + hash_holds(engine, customer->holds);
}

static uint64_t hash_text(struct bytes text)
{
    return hash_64((struct hash_key){0}, text);
}

static uint64_t hash_access(const struct access *access)
{
    if (access->id == 0) return 0;
    uint64_t sum = mix(hash_mix(access->id, access->scopes), access->created_ms);
    sum = mix(sum, access->expires_ms);
    for (unsigned i = 0; i < COUNT_OF(access->hash); i++)
        sum = hash_mix(sum, access->hash[i]);
    return hash_mix(hash_mix(sum, hash_text(access_customer(access))),
                    hash_text(access_label(access)));
}

static uint64_t hash_pool(const struct pool *pool)
{
    const int64_t fields[] = {pool->factor,       pool->override, pool->shed,
                              pool->has_override, pool->began_ms, pool->since_ms};
    uint64_t hash = hash_mix(pool->name, 17);
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        hash = mix(hash, fields[i]);
    for (unsigned i = 0; i < STANDINGS; i++)
        hash = mix(hash, pool->base[i]);
    return hash;
}

uint64_t engine_state_hash(const struct engine *engine, int64_t now_ms)
{
    uint64_t sum = hash_mix(engine->policy.version, engine->policy.content_hash);
    sum = mix(hash_mix(hash_mix(sum, engine->policy.file_hash), engine->policy.position),
              engine->policy.installed_ms);
    sum = hash_mix(hash_mix(sum, engine->cut.first), engine->cut.before[0]);
    for (uint32_t n = 1; n <= engine->symbol_count; n++)
        sum += hash_mix(hash_64(
                            (struct hash_key){
                                {n, 0}
        },
                            engine->symbol_names[n]),
                        n);
    for (uint32_t n = 0; n < CROWDS; n++) {
        const struct crowd *crowd = &engine->crowds[n];
        if (crowd->of == 0 || crowd->second != now_ms / SECOND_MS) continue; /* it is over */
        sum += hash_mix(hash_mix(crowd->of, crowd->count), crowd->first);
    }
    for (uint32_t n = 1; n <= engine->customers.used; n++)
        sum += hash_customer(engine, customer_at(engine, n), now_ms);
    for (uint32_t n = 1; n <= engine->pool_count; n++)
        sum = hash_mix(sum, hash_pool(&engine->pools[n]));
    sum = hash_mix(sum, engine->access_made);
    for (uint32_t n = 1; n <= engine->access.used; n++)
        sum += hash_access(access_at(engine, n));
    for (uint32_t n = 1; n <= engine->keys.used; n++) {
        const struct key *key = slab_at(&engine->keys, n);
        const bool waits = key_state(key) == KEY_WAITS;
        if (key_state(key) == KEY_FREE || (!waits && (int64_t)key_term(key) <= now_ms)) continue;
        sum += hash_mix(hash_mix(hash_mix(key->hash.word[0], key->body_hash), key->position),
                        waits ? 0 : key_term(key));
    }
    return sum;
}

uint64_t engine_endings_hash(const struct engine *engine, uint64_t after, int64_t now_ms)
{
    uint64_t sum = 0;
    for (uint32_t n = 1; n <= engine->ended.used; n++) {
        const struct ended *ended = slab_at(&engine->ended, n);
        if (ended->changed == 0 || ended->changed <= after) continue;
        if (ended->refunded == 0 && ended->until_ms <= now_ms) continue; /* it may be swept */
        const int64_t fields[] = {(int64_t)ended->changed,
                                  (int64_t)ended->position,
                                  (int64_t)ended->body_hash,
                                  ended->refunded,
                                  ended->until_ms,
                                  ended->state,
                                  ended->late};
        uint64_t hash = hash_mix(ended->id, 13);
        for (unsigned i = 0; i < COUNT_OF(fields); i++)
            hash = mix(hash, fields[i]);
        sum += hash;
    }
    return sum;
}

uint64_t engine_forgotten_through(const struct engine *engine)
{
    return engine->forgotten_through;
}
