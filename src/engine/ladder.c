/*
 * ladder.c: the decision as a flat ladder of questions (SEMANTICS G1-G6, S1-S7). Reads only.
 */
#include "engine/ladder.h"

uint64_t ask_quantity(const struct ask *ask, uint32_t meter_symbol)
{
    for (uint32_t i = 0; i < ask->meter_count; i++)
        if (ask->meters[i] == meter_symbol) return ask->quantities[i];
    return 0;
}

static void sooner(int64_t *at_ms, int64_t other_ms)
{
    if (other_ms < *at_ms) *at_ms = other_ms;
}

/* Gates. */

/* A customer's own limit of 0 closes the gate: a bucket that holds nothing. */
static struct rate_shape gate_shape(const struct gate_rule *gate, uint64_t limit)
{
    if (limit == 0) return (struct rate_shape){.limit = 1, .burst = 0, .per_ms = gate->per_ms};
    const bool burst_follows = gate->burst == gate->limit;
    return (struct rate_shape){
        .limit = limit,
        .burst = burst_follows ? limit : gate->burst,
        .per_ms = gate->per_ms,
    };
}

static struct pace_clock gate_clock(const struct view *view, const struct gate_rule *gate,
                                    enum standing standing)
{
    const bool is_pooled = gate->pool != SYMBOL_NONE && view->engine->pool_count != 0;
    if (!is_pooled && standing == STANDING_NORMAL) return PACE_PLAIN;
    return pace_clock_of(view->engine, is_pooled ? pool_find(view->engine, gate->pool) : 0,
                         standing);
}

void gate_read(const struct view *view, const struct ask *ask, const struct gate_rule *gate,
               struct gate_reading *reading_out)
{
    const struct slot_name slot = {view_scope(view, gate->scope),
                                   slot_id_limit(ask->feature, 0, gate->name, 0)};
    reading_out->slot = slot;
    reading_out->limit = view_limit(view, (struct limit){.feature = ask->feature,
                                                         .name = gate->name,
                                                         .is_credits = gate->kind == GATE_BUDGET,
                                                         .value = gate->limit});
    switch (gate->kind) {
    case GATE_RATE:
        reading_out->standing = view_standing(view, gate->scope);
        reading_out->clock = gate_clock(view, gate, reading_out->standing);
        view_rate(view, slot, gate_shape(gate, reading_out->limit), &reading_out->clock,
                  &reading_out->bucket);
        return;
    case GATE_CONCURRENCY:
        reading_out->standing = view_standing(view, gate->scope);
        reading_out->uncut = reading_out->limit;
        if (reading_out->standing != STANDING_NORMAL)
            reading_out->limit = standing_cut(reading_out->limit, reading_out->standing);
        reading_out->in_flight = view_in_flight(view, slot);
        return;
    case GATE_BUDGET:
        counter_read(view, slot, gate->period, &reading_out->counter);
        return;
    }
    ENSURE(false);
}

static uint32_t gate_meter(const struct view *view, const struct ask *ask,
                           const struct gate_rule *gate)
{
    const uint16_t place = view->policy->feature_of_symbol[ask->feature];
    return place == 0 ? SYMBOL_NONE : view->policy->features[place - 1].meters[gate->meter];
}

static void refuse_by_gate(struct evaluation *out, const struct gate_rule *gate, enum reason reason,
                           enum who who, enum remedy remedy)
{
    out->reason = reason;
    out->limit = gate->name;
    out->scope = gate->scope;
    out->who = who;
    out->remedy = remedy;
}

/* Why a bucket lacks tokens: what of its pace the standing, and then the pool, took away since it
 * was written, as far as that is known. */
SELDOM static enum reason why_paced(const struct view *view, const struct gate_rule *gate,
                                    const struct gate_reading *reading, uint64_t tokens)
{
    const struct pace_clock *clock = &reading->clock;
    if (pace_is_plain(clock->pool, clock->standing) || tokens > reading->bucket.burst)
        return REASON_RATE_LIMITED;
    const struct rate_shape shape = gate_shape(gate, reading->limit);
    const struct pace_clock ordinary = pace_clock_of(view->engine, clock->pool, STANDING_NORMAL);
    const uint32_t normal = pace_per_ms(&ordinary);
    if (normal > clock->speed &&
        view_rate_would_hold(view, reading->slot, shape, clock, normal, tokens))
        return REASON_ABNORMAL_USAGE;
    const uint32_t unslowed = pace_speed(FACTOR_ONE, reading->standing);
    const uint32_t whole = unslowed > PACE_ONE ? unslowed : PACE_ONE;
    if (whole > clock->speed &&
        view_rate_would_hold(view, reading->slot, shape, clock, whole, tokens))
        return REASON_TEMPORARY_REDUCED_CAPACITY;
    return REASON_RATE_LIMITED;
}

static bool gate_sheds(const struct view *view, const struct gate_rule *gate,
                       enum priority priority)
{
    return gate->pool != SYMBOL_NONE && view->engine->pool_count != 0 &&
           pool_sheds(view->engine, gate->pool, priority);
}

static bool rate_passes(const struct view *view, const struct ask *ask,
                        const struct gate_rule *gate, const struct gate_reading *reading,
                        struct evaluation *out)
{
    const uint64_t tokens = ask_quantity(ask, gate_meter(view, ask, gate));
    /* What only lasts longer takes nothing of the pool. */
    if ((ask->takes_slot || tokens != 0) && gate_sheds(view, gate, ask->priority)) {
        refuse_by_gate(out, gate, REASON_TEMPORARY_REDUCED_CAPACITY, WHO_OPERATOR, REMEDY_WAIT);
        return false;
    }
    const int64_t wait_ms =
        tokens == 0 ? 0 : rate_wait_ms(&reading->bucket, &reading->clock, tokens);
    if (wait_ms == 0) return true;
    const enum reason reason = why_paced(view, gate, reading, tokens);
    refuse_by_gate(out, gate, reason, reason == REASON_RATE_LIMITED ? WHO_CALLER : WHO_OPERATOR,
                   REMEDY_WAIT);
    if (wait_ms <= INSTANT_MS_MAX - view->now_ms) {
        out->changes_at_ms = view->now_ms + wait_ms;
        out->resets_at_ms = out->changes_at_ms;
    }
    return false;
}

static bool concurrency_passes(const struct ask *ask, const struct gate_rule *gate,
                               const struct gate_reading *reading, struct evaluation *out)
{
    if (!ask->takes_slot) return true;
    if (reading->in_flight < 0 || (uint64_t)reading->in_flight < reading->limit) return true;
    if ((uint64_t)reading->in_flight < reading->uncut)
        refuse_by_gate(out, gate, REASON_ABNORMAL_USAGE, WHO_OPERATOR, REMEDY_FINISH_HOLDS);
    else
        refuse_by_gate(out, gate, REASON_CONCURRENCY_LIMITED, WHO_CALLER, REMEDY_FINISH_HOLDS);
    return false;
}

/* A budget never refuses here: it is measured with the sources (G5). */
static void budget_count(uint32_t place, struct evaluation *out)
{
    if (out->budget_count == LINE_BUDGETS_MAX) return; /* src/policy allows no more */
    out->budgets[out->budget_count++] = place;
}

static uint64_t budget_left(const struct evaluation *evaluation, uint32_t n)
{
    const struct gate_reading *budget = &evaluation->gates[evaluation->budgets[n]];
    return counter_left(&budget->counter, budget->limit);
}

static bool gate_passes(const struct view *view, const struct ask *ask,
                        const struct gate_rule *gate, uint32_t place, struct evaluation *out)
{
    struct gate_reading *reading = &out->gates[place];
    gate_read(view, ask, gate, reading);
    switch (gate->kind) {
    case GATE_RATE:
        return rate_passes(view, ask, gate, reading, out);
    case GATE_CONCURRENCY:
        return concurrency_passes(ask, gate, reading, out);
    case GATE_BUDGET:
        budget_count(place, out);
        return true;
    }
    ENSURE(false);
}

/* Sources. */

void source_read(const struct view *view, const struct ask *ask, const struct source_rule *source,
                 struct source_reading *reading_out)
{
    if (source->window_count == 0) return;
    const bool counts_money = source->kind == SOURCE_OVERAGE || ask->unit == UNIT_COST;
    const uint32_t unit = counts_money ? SYMBOL_NONE : ask->meters[ask->unit];
    const uint64_t scope = view_scope(view, source->scope);
    for (uint32_t place = 0; place < source->window_count; place++) {
        const struct slot_name slot = {scope,
                                       slot_id_limit(ask->feature, unit, source->name, place)};
        counter_read(view, slot, source->windows[place].period, &reading_out->counter[place]);
        reading_out->limit[place] = view_limit(view, (struct limit){
                                                         .feature = ask->feature,
                                                         .name = source->name,
                                                         .place = place,
                                                         .is_credits = counts_money,
                                                         .value = source->windows[place].limit,
                                                     });
    }
}

static void sources_read(const struct view *view, const struct plan_feature *plan_feature,
                         const struct ask *ask, struct evaluation *out)
{
    for (uint32_t i = 0; i < plan_feature->source_count; i++)
        source_read(view, ask, &plan_feature->sources[i], &out->sources[i]);
}

static uint64_t window_left(const struct source_reading *reading, uint32_t place)
{
    return counter_left(&reading->counter[place], reading->limit[place]);
}

/* The least of what an allowance's windows have left (S2). */
static uint64_t allowance_offer(const struct source_rule *source,
                                const struct source_reading *reading)
{
    uint64_t least = QUANTITY_MAX;
    for (uint32_t place = 0; place < source->window_count; place++) {
        const uint64_t left = window_left(reading, place);
        if (left < least) least = left;
    }
    return least;
}

int64_t ask_credits(const struct view *view, const struct ask *ask, enum category category)
{
    int64_t sum = 0;
    struct lot_walk walk = {0};
    for (uint32_t n; (n = lot_walk_next(view, &walk, category, ask->feature)) != 0;)
        sum += view_lot(view, n).remaining;
    return sum;
}

/* What the waterfall is tried with: as asked, or with one thing changed (S7). */
struct trial_terms {
    bool ignore_budgets;
    bool divisible;
    bool consented;
    const int64_t *credits; /* of each category, instead of what the lots have; NULL */
};

struct waterfall {
    const struct view *view;
    const struct plan_feature *plan_feature;
    const struct ask *ask;
    struct trial_terms terms;
    uint64_t budget_left; /* nano-credits that budgets leave to grants and overage together */
};

static uint64_t credit_offer(const struct waterfall *w, const struct source_rule *source,
                             const struct source_reading *reading, uint64_t from)
{
    uint64_t nano = 0;
    if (source->kind == SOURCE_OVERAGE) {
        nano = window_left(reading, 0);
    } else {
        nano =
            (uint64_t)(w->terms.credits != NULL ? w->terms.credits[source->category]
                                                : ask_credits(w->view, w->ask, source->category));
        if (nano == 0) return 0; /* not even what costs nothing */
    }
    if (nano > w->budget_left) nano = w->budget_left;
    return price_affordable(w->ask->price, from, QUANTITY_MAX, (int64_t)nano);
}

static bool source_needs_consent(const struct source_rule *source)
{
    return source->kind == SOURCE_OVERAGE ||
           (source->kind == SOURCE_GRANTS && source->category == CATEGORY_PAID);
}

static uint64_t source_offer(const struct waterfall *w, const struct source_rule *source,
                             const struct source_reading *reading, uint64_t from)
{
    switch (source->kind) {
    case SOURCE_ALLOWANCE:
        return allowance_offer(source, reading);
    case SOURCE_GRANTS:
    case SOURCE_OVERAGE:
        return credit_offer(w, source, reading, from);
    case SOURCE_UNLIMITED:
        return QUANTITY_MAX;
    }
    ENSURE(false);
}

uint64_t source_has(const struct view *view, const struct ask *ask,
                    const struct source_rule *source, const struct source_reading *reading)
{
    const struct waterfall w = {
        .view = view, .ask = ask, .budget_left = (uint64_t)BALANCE_NANO_MAX};
    return source_offer(&w, source, reading, 0);
}

static uint64_t budgets_left(const struct evaluation *evaluation)
{
    uint64_t left = (uint64_t)BALANCE_NANO_MAX;
    for (uint32_t i = 0; i < evaluation->budget_count; i++)
        if (budget_left(evaluation, i) < left) left = budget_left(evaluation, i);
    return left;
}

/* Top to bottom: each offers, the request takes what it needs, the rest falls on (S1). */
static void split_over_sources(const struct view *view, const struct plan_feature *plan_feature,
                               const struct ask *ask, const struct evaluation *evaluation,
                               struct trial_terms terms, struct split *out)
{
    struct waterfall w = {view, plan_feature, ask, terms,
                          terms.ignore_budgets ? (uint64_t)BALANCE_NANO_MAX
                                               : budgets_left(evaluation)};
    if (terms.credits != NULL) w.budget_left += SOURCES_MAX;
    uint64_t need = ask->units;
    uint64_t from = ask->from;
    out->lacked_consent = false;
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        out->offered[i] = 0;
        out->drawn[i] = 0;
        out->skipped[i] = false;
        if (source_needs_consent(source) && !terms.consented) {
            out->skipped[i] = true;
            out->lacked_consent = true;
            continue;
        }
        const uint64_t offer = source_offer(&w, source, &evaluation->sources[i], from);
        out->offered[i] = offer;
        if (!terms.divisible && offer < need) {
            out->skipped[i] = need != 0;
            continue;
        }
        const uint64_t drawn = offer < need ? offer : need;
        out->drawn[i] = drawn;
        need -= drawn;
        if (drawn != 0 && (source->kind == SOURCE_GRANTS || source->kind == SOURCE_OVERAGE)) {
            const uint128 nano =
                number_divide_up(price_of_draw(ask->price, from, drawn), ask->price.q);
            w.budget_left -= (uint64_t)nano;
            from += drawn;
        }
    }
    out->total = ask->units - need;
    out->passes =
        need == 0 || (terms.divisible && ask->min_units != 0 && out->total >= ask->min_units);
}

static bool is_consented(const struct view *view, const struct ask *ask)
{
    const enum credit_mode mode =
        view->customer == 0 ? CREDIT_AUTO
                            : (enum credit_mode)customer_at(view->engine, view->customer)->mode;
    if (mode == CREDIT_OFF || ask->consent == CONSENT_REFUSED) return false;
    return mode == CREDIT_AUTO || ask->consent == CONSENT_GIVEN;
}

static bool is_mode_off(const struct view *view, const struct ask *ask)
{
    return ask->consent == CONSENT_REFUSED ||
           (view->customer != 0 && customer_at(view->engine, view->customer)->mode == CREDIT_OFF);
}

static const struct source_rule *source_where(const struct plan_feature *plan_feature,
                                              enum source_kind kind, enum category category)
{
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        if (source->kind == kind && (kind != SOURCE_GRANTS || source->category == category))
            return source;
    }
    return NULL;
}

/* 0: it has nothing to free. */
static int64_t window_frees_at(const struct view *view, const struct counter *counter)
{
    return counter->used > 0 ? counter_resets_at(view, counter) : 0;
}

/* The window that binds a source: of those with the least left, the one that frees last (S8). */
static uint32_t window_binding(const struct view *view, const struct source_rule *source,
                               const struct source_reading *reading)
{
    uint32_t binding = 0;
    for (uint32_t place = 1; place < source->window_count; place++) {
        const uint64_t left = window_left(reading, place);
        const uint64_t least = window_left(reading, binding);
        if (left < least ||
            (left == least && window_frees_at(view, &reading->counter[place]) >
                                  window_frees_at(view, &reading->counter[binding])))
            binding = place;
    }
    return binding;
}

/* When the waterfall's windows change by time alone, and which allowance frees first. */
static void waterfall_times(const struct view *view, const struct plan_feature *plan_feature,
                            struct evaluation *out)
{
    const struct source_rule *named = NULL;
    int64_t first_ms = INSTANT_NEVER;
    for (uint32_t i = 0; i < out->budget_count; i++)
        sooner(&out->changes_at_ms, out->gates[out->budgets[i]].counter.changes_at);
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        for (uint32_t place = 0; place < source->window_count; place++)
            sooner(&out->changes_at_ms, out->sources[i].counter[place].changes_at);
        if (source->kind != SOURCE_ALLOWANCE) continue;
        const int64_t frees_ms = window_frees_at(
            view, &out->sources[i].counter[window_binding(view, source, &out->sources[i])]);
        if (named == NULL || (frees_ms != 0 && frees_ms < first_ms)) named = source;
        if (frees_ms != 0) sooner(&first_ms, frees_ms);
    }
    if (named == NULL) return;
    out->limit = named->name;
    out->scope = named->scope;
    out->resets_at_ms = first_ms == INSTANT_NEVER ? 0 : first_ms;
}

static void refuse_by_source(struct evaluation *out, enum reason reason, enum who who,
                             enum remedy remedy, const struct source_rule *source)
{
    out->reason = reason;
    out->who = who;
    out->remedy = remedy;
    if (source == NULL) return;
    out->limit = source->name;
    out->scope = source->scope;
}

static bool budget_refuses(const struct plan_feature *plan_feature, struct evaluation *out)
{
    if (out->budget_count == 0) return false;
    uint32_t tightest = 0;
    for (uint32_t i = 1; i < out->budget_count; i++)
        if (budget_left(out, i) < budget_left(out, tightest)) tightest = i;
    const uint32_t place = out->budgets[tightest];
    const struct counter *counter = &out->gates[place].counter;
    refuse_by_gate(out, &plan_feature->gates[place], REASON_BUDGET_REACHED, WHO_CUSTOMER,
                   REMEDY_RAISE_BUDGET);
    out->resets_at_ms = counter->open && !counter->sliding ? counter->end_ms : 0;
    return true;
}

/* Why the sources deny, first that holds (S7). */
static void refuse_by_sources(const struct view *view, const struct plan_feature *plan_feature,
                              const struct ask *ask, struct evaluation *out)
{
    const struct trial_terms as_asked = {.divisible = ask->divisible,
                                         .consented = is_consented(view, ask)};
    const struct source_rule *paid = source_where(plan_feature, SOURCE_GRANTS, CATEGORY_PAID);
    const struct source_rule *overage = source_where(plan_feature, SOURCE_OVERAGE, 0);
    struct split other;
    struct trial_terms terms = as_asked;

    waterfall_times(view, plan_feature, out);

    terms.ignore_budgets = true;
    split_over_sources(view, plan_feature, ask, out, terms, &other);
    if (other.passes && budget_refuses(plan_feature, out)) return;

    terms = as_asked;
    terms.divisible = true;
    split_over_sources(view, plan_feature, ask, out, terms, &other);
    if (other.passes) {
        refuse_by_source(out, REASON_INDIVISIBLE, WHO_CALLER, REMEDY_SPLIT_REQUEST, NULL);
        return;
    }
    terms = as_asked;
    terms.consented = true;
    if (!is_mode_off(view, ask)) {
        split_over_sources(view, plan_feature, ask, out, terms, &other);
        if (other.passes) {
            refuse_by_source(out, REASON_CREDITS_NEED_CONSENT, WHO_CALLER, REMEDY_USE_CREDITS,
                             paid != NULL ? paid : overage);
            return;
        }
    }
    if (is_mode_off(view, ask) || (paid == NULL && overage == NULL)) {
        refuse_by_source(out, REASON_ALLOWANCE_EXHAUSTED,
                         paid == NULL && overage == NULL ? WHO_OPERATOR : WHO_CUSTOMER, REMEDY_WAIT,
                         NULL);
        return;
    }
    if (overage != NULL) {
        refuse_by_source(out, REASON_OVERAGE_CAP_REACHED, WHO_CUSTOMER, REMEDY_RAISE_CAP, overage);
        const struct source_reading *reading = &out->sources[overage - plan_feature->sources];
        out->resets_at_ms = counter_resets_at(view, &reading->counter[0]);
        return;
    }
    refuse_by_source(out, REASON_INSUFFICIENT_CREDITS, WHO_CUSTOMER, REMEDY_ADD_CREDITS, paid);
}

/* A part given because consent is missing says so (S6). */
static void remark_on_part(const struct view *view, const struct plan_feature *plan_feature,
                           const struct ask *ask, struct evaluation *out)
{
    if (out->units == ask->units || !out->split.lacked_consent || is_mode_off(view, ask)) return;
    const struct trial_terms terms = {.divisible = ask->divisible, .consented = true};
    struct split other;
    split_over_sources(view, plan_feature, ask, out, terms, &other);
    if (other.total > out->units) out->remedy = REMEDY_USE_CREDITS;
}

static bool is_suspended(const struct view *view, struct evaluation *out)
{
    if (view->customer == 0) return false;
    bool suspended = customer_at(view->engine, view->customer)->suspended;
    struct scope_rule scope = {.kind = SCOPE_CUSTOMER};
    for (uint32_t level = 0; level < view->level_count && !suspended; level++) {
        if (view->scopes[level] == 0) continue;
        suspended = scope_at(view->engine, view->scopes[level])->suspended != 0;
        scope = (struct scope_rule){SCOPE_LEVEL, level + 1};
        if (level + 1 == view->level_count) scope.kind = SCOPE_SUBJECT;
    }
    if (!suspended) return false;
    out->reason = REASON_SUSPENDED;
    out->scope = scope;
    out->who = WHO_OPERATOR;
    out->remedy = REMEDY_CONTACT;
    return true;
}

static void evaluation_clear(struct evaluation *out)
{
    out->reason = REASON_OK;
    out->units = 0;
    out->limit = SYMBOL_NONE;
    out->scope = (struct scope_rule){0};
    out->who = WHO_NOBODY;
    out->remedy = REMEDY_NONE;
    out->resets_at_ms = 0;
    out->changes_at_ms = INSTANT_NEVER;
    out->gates_asked = 0;
    out->budget_count = 0;
    out->split = (struct split){0};
}

void ladder_evaluate(const struct view *view, const struct plan_feature *plan_feature,
                     const struct ask *ask, struct evaluation *out)
{
    evaluation_clear(out);
    if (plan_feature == NULL) {
        out->reason = REASON_NOT_ENTITLED;
        out->who = WHO_CUSTOMER;
        out->remedy = REMEDY_UPGRADE_PLAN;
        return;
    }
    if (is_suspended(view, out)) return;
    for (uint32_t i = 0; i < plan_feature->gate_count; i++) {
        out->gates_asked = i + 1;
        if (!gate_passes(view, ask, &plan_feature->gates[i], i, out)) return;
    }
    sources_read(view, plan_feature, ask, out);
    const struct trial_terms terms = {.divisible = ask->divisible,
                                      .consented = is_consented(view, ask)};
    split_over_sources(view, plan_feature, ask, out, terms, &out->split);
    if (!out->split.passes) {
        refuse_by_sources(view, plan_feature, ask, out);
        return;
    }
    out->units = out->split.total;
    remark_on_part(view, plan_feature, ask, out);
}

void ladder_evaluate_unrefusable(const struct view *view, const struct plan_feature *plan_feature,
                                 const struct ask *ask, struct evaluation *out)
{
    evaluation_clear(out);
    if (plan_feature == NULL) return;
    for (uint32_t i = 0; i < plan_feature->gate_count; i++) {
        if (plan_feature->gates[i].kind != GATE_BUDGET) continue;
        gate_read(view, ask, &plan_feature->gates[i], &out->gates[i]);
        budget_count(i, out);
    }
    sources_read(view, plan_feature, ask, out);
    const struct trial_terms terms = {
        .ignore_budgets = true, .divisible = true, .consented = is_consented(view, ask)};
    split_over_sources(view, plan_feature, ask, out, terms, &out->split);
    out->units = out->split.total;
}

/* Waiting. */

uint32_t ladder_categories(const struct view *view, const struct plan_feature *plan_feature,
                           const struct ask *ask)
{
    const bool consented = is_consented(view, ask);
    uint32_t categories = 0;
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        if (source->kind == SOURCE_GRANTS && (consented || !source_needs_consent(source)))
            categories |= UINT32_C(1) << source->category;
    }
    return categories;
}

int64_t ladder_paced_at(const struct view *view, const struct plan_feature *plan_feature,
                        const struct ask *ask, struct evaluation *scratch)
{
    int64_t paced_ms = view->now_ms;
    for (uint32_t i = 0; i < plan_feature->gate_count; i++) {
        if (plan_feature->gates[i].kind != GATE_RATE) continue;
        scratch->changes_at_ms = INSTANT_NEVER;
        if (gate_passes(view, ask, &plan_feature->gates[i], i, scratch)) continue;
        if (scratch->changes_at_ms > paced_ms) paced_ms = scratch->changes_at_ms;
    }
    return paced_ms;
}

void ladder_read(const struct view *view, const struct plan_feature *plan_feature,
                 const struct ask *ask, struct evaluation *out)
{
    out->changes_at_ms = INSTANT_NEVER;
    out->budget_count = 0;
    for (uint32_t i = 0; i < plan_feature->gate_count; i++) {
        const struct gate_rule *gate = &plan_feature->gates[i];
        if (gate->kind == GATE_RATE) continue;
        gate_read(view, ask, gate, &out->gates[i]);
        if (gate->kind != GATE_BUDGET) continue;
        budget_count(i, out);
        sooner(&out->changes_at_ms, out->gates[i].counter.changes_at);
    }
    sources_read(view, plan_feature, ask, out);
    for (uint32_t i = 0; i < plan_feature->source_count; i++)
        for (uint32_t place = 0; place < plan_feature->sources[i].window_count; place++)
            sooner(&out->changes_at_ms, out->sources[i].counter[place].changes_at);
}

/* More in one place leaves less to be drawn in the others, and every draw rounds its own charge up:
 * so a budget has a nano-credit more for each. */
bool ladder_could_pass(const struct view *view, const struct plan_feature *plan_feature,
                       const struct ask *ask, const struct evaluation *read,
                       const int64_t credits[CATEGORY_PAID + 1])
{
    struct evaluation unused;
    for (uint32_t i = 0; i < plan_feature->gate_count; i++)
        if (plan_feature->gates[i].kind == GATE_CONCURRENCY &&
            !concurrency_passes(ask, &plan_feature->gates[i], &read->gates[i], &unused))
            return false;
    const struct trial_terms terms = {
        .divisible = ask->divisible, .consented = is_consented(view, ask), .credits = credits};
    struct split split;
    split_over_sources(view, plan_feature, ask, read, terms, &split);
    return split.passes;
}

/* Explaining. */

uint32_t gate_factor(const struct gate_rule *gate, const struct gate_reading *reading)
{
    if (gate->kind == GATE_RATE) return pace_per_ms(&reading->clock);
    return gate->kind == GATE_CONCURRENCY ? standing_share(reading->standing) : PACE_ONE;
}

static void note_pace(const struct gate_rule *gate, const struct gate_reading *reading,
                      struct note *note)
{
    note->factor = gate_factor(gate, reading);
    if (note->factor == PACE_ONE && reading->standing == STANDING_NORMAL) {
        note->factor = 0;
        return;
    }
    note->standing = reading->standing;
    note->is_paced = true;
}

static void explain_gate(const struct view *view, const struct gate_rule *gate,
                         const struct gate_reading *reading, bool refused, struct note *note)
{
    *note = (struct note){.name = gate->name, .refused = refused};
    if (gate->kind != GATE_BUDGET) note_pace(gate, reading, note);
    switch (gate->kind) {
    case GATE_RATE: {
        const struct rate_slot *bucket = &reading->bucket;
        note->kind = NOTE_RATE;
        note->limit = bucket->burst == 0 ? 0 : bucket->limit;
        note->amount = bucket->level > 0 ? (uint64_t)bucket->level : 0;
        note->has_window = true;
        note->left = note->amount;
        note->period = (struct period){PERIOD_DURATION, START_SLIDING, bucket->per_ms};
        note->resets_at_ms = rate_full_at(bucket, &reading->clock, view->now_ms);
        return;
    }
    case GATE_CONCURRENCY: {
        const uint64_t in_flight = (uint64_t)reading->in_flight;
        note->kind = NOTE_CONCURRENCY;
        note->limit = reading->limit;
        note->amount = in_flight < note->limit ? note->limit - in_flight : 0;
        return;
    }
    case GATE_BUDGET:
        note->kind = NOTE_BUDGET;
        note->limit = reading->limit;
        note->amount = counter_left(&reading->counter, note->limit);
        note->has_window = true;
        note->left = note->amount;
        note->period = gate->period;
        note->resets_at_ms = counter_resets_at(view, &reading->counter);
        return;
    }
    ENSURE(false);
}

static void explain_source(const struct view *view, const struct source_rule *source,
                           const struct source_reading *reading, struct note *note)
{
    if (source->window_count == 0) return;
    const uint32_t binding = window_binding(view, source, reading);
    note->has_window = true;
    note->limit = reading->limit[binding];
    note->left = window_left(reading, binding);
    note->period = source->windows[binding].period;
    note->resets_at_ms = counter_resets_at(view, &reading->counter[binding]);
}

void ladder_explain(const struct view *view, const struct plan_feature *plan_feature,
                    const struct evaluation *evaluation)
{
    struct report *report = &view->fact->report;
    if (plan_feature == NULL) return;
    const bool by_budget = evaluation->reason == REASON_BUDGET_REACHED;
    const bool by_gate = evaluation->reason == REASON_RATE_LIMITED ||
                         evaluation->reason == REASON_CONCURRENCY_LIMITED ||
                         evaluation->reason == REASON_TEMPORARY_REDUCED_CAPACITY ||
                         evaluation->reason == REASON_ABNORMAL_USAGE;
    for (uint32_t i = 0; i < evaluation->gates_asked; i++) {
        const struct gate_rule *gate = &plan_feature->gates[i];
        const bool refused = by_gate ? i + 1 == evaluation->gates_asked
                                     : by_budget && gate->name == evaluation->limit;
        explain_gate(view, gate, &evaluation->gates[i], refused,
                     &report->notes[report->note_count++]);
    }
    if (by_gate || evaluation->reason == REASON_SUSPENDED) return;
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        struct note *note = &report->notes[report->note_count++];
        *note = (struct note){
            .kind = NOTE_SOURCE,
            .source = source->kind,
            .name = source->name,
            .skipped = evaluation->split.skipped[i],
            .amount = evaluation->split.offered[i],
            .drawn = evaluation->reason == REASON_OK ? evaluation->split.drawn[i] : 0,
        };
        explain_source(view, source, &evaluation->sources[i], note);
    }
}
