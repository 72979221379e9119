/*
 * decide.c: authorize, consume, check and usage. Identify, measure, ask the ladder, draft what was
 * granted.
 */
#include "engine/decide.h"

#include <string.h>

struct ruling ruling_problem(enum problem_code code, const char *field, struct bytes value,
                             const char *expected)
{
    return (struct ruling){
        .kind = RULING_PROBLEM,
        .problem = {.code = code, .field = field, .value = value, .expected = expected}
    };
}

struct ruling ruling_fact(void)
{
    return (struct ruling){.kind = RULING_FACT};
}

const struct plan_feature *current_terms(const struct view *view, const struct ask *ask)
{
    if (view->plan == NULL || ask->feature > view->policy->symbol_count) return NULL;
    const uint16_t place = view->policy->feature_of_symbol[ask->feature];
    if (place == 0) return NULL;
    const struct policy_feature *feature = &view->policy->features[place - 1];
    const bool same_unit = ask->unit == UNIT_COST || feature->unit == UNIT_COST
                               ? ask->unit == feature->unit
                               : ask->meters[ask->unit] == feature->meters[feature->unit];
    return same_unit ? plan_feature_of(view->plan, place - 1u) : NULL;
}

struct problem measure_quantities(const struct engine *engine, const struct command *command,
                                  const uint32_t meters[METERS_MAX], uint32_t meter_count,
                                  uint32_t requests_meter, uint64_t requests_default,
                                  uint64_t quantities_out[METERS_MAX])
{
    memset(quantities_out, 0, METERS_MAX * sizeof quantities_out[0]);
    if (requests_meter < METERS_MAX) quantities_out[requests_meter] = requests_default;
    for (uint32_t i = 0; i < command->quantity_count; i++) {
        const struct quantity *given = &command->quantities[i];
        uint32_t meter = 0;
        while (meter < meter_count &&
               !bytes_equal(engine->symbol_names[meters[meter]], given->meter))
            meter++;
        if (meter == meter_count)
            return (struct problem){.code = PROBLEM_UNKNOWN_METER,
                                    .field = "quantities",
                                    .member = given->meter,
                                    .expected = "a meter of the feature"};
        if (given->amount > QUANTITY_MAX)
            return (struct problem){.code = PROBLEM_OUT_OF_RANGE,
                                    .field = "quantities",
                                    .member = given->meter,
                                    .expected = "at most 9007199254740991"};
        quantities_out[meter] = given->amount;
    }
    return (struct problem){0};
}

/* Units of the waterfall for these quantities: the unit's meter, or the exact cost rounded up. */
static struct problem measure_units(struct ask *ask)
{
    uint128 units = 0;
    if (ask->unit == UNIT_COST)
        units = number_divide_up(price_cost(&ask->quote, ask->quantities), ask->quote.q);
    else
        units = ask->quantities[ask->unit];
    if (units > QUANTITY_MAX)
        return (struct problem){.code = PROBLEM_OUT_OF_RANGE,
                                .field = "quantities",
                                .expected = "an amount whose cost can be counted"};
    ask->units = (uint64_t)units;
    return (struct problem){0};
}

struct problem measure_price(const struct command *command, int64_t at_ms, struct ask *ask)
{
    const struct problem problem = price_quote(ask->priced_by, command, at_ms, &ask->quote);
    if (problem.code != PROBLEM_NONE) return problem;
    ask->price = price_of_unit(&ask->quote, ask->unit);
    const struct problem too_much = measure_units(ask);
    if (too_much.code != PROBLEM_NONE || !command->has_min_units) return too_much;
    if (command->min_units < 1 || command->min_units > ask->units)
        return (struct problem){.code = PROBLEM_INVALID_VALUE,
                                .field = "min_units",
                                .expected = "1 to the requested units"};
    return (struct problem){0};
}

/* Step 2 of the decision: what is asked for, exactly. */
static struct problem measure(const struct decision_context *c,
                              const struct policy_feature *feature, struct ask *ask)
{
    const struct command *command = c->command;
    *ask = (struct ask){
        .feature = feature->name,
        .unit = feature->unit,
        .meter_count = feature->meter_count,
        .divisible = feature->divisible,
        .consent = command->consent,
        .takes_slot = true,
        .priority = command->priority,
        .priced_by = feature,
    };
    memcpy(ask->meters, feature->meters, sizeof ask->meters);
    struct problem problem =
        measure_quantities(c->engine, command, feature->meters, feature->meter_count,
                           feature->requests_meter, 1, ask->quantities);
    if (problem.code != PROBLEM_NONE) return problem;
    problem = measure_price(command, c->stamp.now_ms, ask);
    if (problem.code != PROBLEM_NONE) return problem;
    if (command->has_min_units && feature->divisible) ask->min_units = command->min_units;
    return (struct problem){0};
}

void report_evaluation(struct report *report, const struct evaluation *evaluation,
                       const struct ask *ask)
{
    report->units_requested = ask->units;
    report->units_allowed = evaluation->units;
    report->price = ask->quote.name;
    report->unit = ask->unit == UNIT_COST ? UNIT_COST : ask->meters[ask->unit];
    report->reason = evaluation->reason;
    report->remedy = evaluation->remedy;
    report->outcome = OUTCOME_DENY;
    if (evaluation->reason == REASON_OK) {
        report->outcome = evaluation->units == ask->units ? OUTCOME_ALLOW : OUTCOME_PARTIAL;
        return;
    }
    report->limit = evaluation->limit;
    report->scope = evaluation->scope;
    report->who = evaluation->who;
    report->resets_at_ms = evaluation->resets_at_ms;
}

struct ruling deny(const struct decision_context *c, struct view *view,
                   const struct plan_feature *terms, const struct ask *ask,
                   struct evaluation *evaluation)
{
    struct report *report = &view->fact->report;
    ladder_explain(view, terms, evaluation);
    if (reason_has_retry(evaluation->reason))
        report->retry_after_ms = retry_search(c, ask, view->levels, view->level_count, evaluation);
    report_evaluation(report, evaluation, ask);
    return crowd_count(view, ask->feature);
}

/* Draws a hold: reserves, takes slots, and keeps the terms for everything that comes later. */
static bool grant_hold(struct view *view, const struct decision_context *c,
                       const struct policy_feature *feature, const struct plan_feature *terms,
                       const struct ask *ask, struct evaluation *evaluation)
{
    const struct command *command = c->command;
    const int64_t ttl_ms = command->has_ttl ? command->ttl_ms : terms->hold_ttl_ms;
    struct effect *effect = view_effect(view, EFFECT_HOLD);
    effect->hold.id = c->stamp.position;
    effect->hold.is_new = true;
    effect->hold.expires_ms = view->now_ms + ttl_ms;
    effect->hold.feature = feature->name;
    effect->hold.unit = ask->unit;
    effect->hold.requests_meter = feature->requests_meter;
    effect->hold.consent = ask->consent;
    effect->hold.ttl_ms = ttl_ms;
    effect->hold.retention_ms = view->policy->retention_ms;
    effect->hold.on_failure = terms->on_failure;
    effect->hold.meter_count = ask->meter_count;
    memcpy(effect->hold.meters, ask->meters, sizeof effect->hold.meters);
    effect->hold.quote = ask->quote;
    effect->hold.level_count = view->level_count;
    memcpy(effect->hold.levels, view->levels, sizeof effect->hold.levels);
    for (uint32_t i = 0; i < METERS_MAX; i++)
        effect->hold.quantities[i] = draw_part(ask->quantities[i], evaluation->units, ask->units);
    effect->hold.concurrency_count = 0;
    for (uint32_t i = 0; i < terms->gate_count; i++) {
        if (terms->gates[i].kind != GATE_CONCURRENCY) continue;
        struct gate_reading *reading = &evaluation->gates[i];
        effect->hold.concurrency[effect->hold.concurrency_count++] = reading->slot;
        view_in_flight_add(view, reading->slot, 1);
        reading->in_flight++;
    }
    view->fact->report.hold = HOLD_HELD;
    view->fact->report.expires_at_ms = effect->hold.expires_ms;
    return draw_split(view, terms, ask, evaluation, c->stamp.position, 0);
}

/* For `unit: cost` the remainder is applied once, to the whole cost, before the split (U4): what
 * was affordable rounded up is charged rounded down. */
static bool settle_units(struct view *view, const struct ask *ask, struct evaluation *evaluation)
{
    if (ask->unit != UNIT_COST || evaluation->units < ask->units) return true;
    int64_t units = 0;
    if (!price_settle(price_cost(&ask->quote, ask->quantities), ask->quote.q, &view->rem, &units))
        return false;
    uint64_t excess = evaluation->units - (uint64_t)units;
    for (uint32_t i = SOURCES_MAX; i-- > 0 && excess != 0;) {
        const uint64_t cut =
            evaluation->split.drawn[i] < excess ? evaluation->split.drawn[i] : excess;
        evaluation->split.drawn[i] -= cut;
        excess -= cut;
    }
    evaluation->units = (uint64_t)units;
    return true;
}

static bool grant_consumption(struct view *view, const struct plan_feature *terms, struct ask *ask,
                              struct evaluation *evaluation)
{
    view_remainder_load(view, &ask->quote);
    const bool whole = evaluation->units == ask->units;
    if (!settle_units(view, ask, evaluation)) return false;
    if (whole) ask->units = evaluation->units;
    if (!draw_split(view, terms, ask, evaluation, DRAW_CHARGED, 0)) return false;
    view_remainder_store(view);
    view->fact->report.hold = HOLD_COMMITTED;
    return true;
}

static struct ruling out_of_range(void)
{
    return ruling_problem(PROBLEM_OUT_OF_RANGE, "quantities", BYTES_NONE,
                          "an amount whose cost can be counted");
}

/* A failed job that was consumed in one step costs what the plan says (H4). */
static bool costs_nothing(const struct command *command, const struct plan_feature *terms)
{
    return command->status != JOB_SUCCEEDED && terms != NULL && terms->on_failure == FAILURE_NONE;
}

static void ask_nothing(struct ask *ask)
{
    memset(ask->quantities, 0, sizeof ask->quantities);
    ask->units = 0;
    ask->min_units = 0;
}

struct ruling decide_request(const struct decision_context *c)
{
    const struct command *command = c->command;
    const struct symbols symbols = engine_symbols(c->engine);
    struct view view;
    view_open(&view, c->engine, c->policy, c->owner, c->stamp.now_ms, c->fact);
    if (view.customer == 0 && c->policy->default_plan == SYMBOL_NONE)
        return ruling_problem(PROBLEM_UNKNOWN_CUSTOMER, "customer", command->customer,
                              "a customer that was created before");
    const struct policy_feature *feature =
        policy_feature_named(c->policy, &symbols, command->feature);
    if (feature == NULL)
        return ruling_problem(PROBLEM_UNKNOWN_FEATURE, "feature", command->feature,
                              "a feature of the policy");
    view_subject_of(&view, command);
    struct ask ask;
    const struct problem problem = measure(c, feature, &ask);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    const struct plan_feature *terms = current_terms(&view, &ask);

    struct report *report = &c->fact->report;
    c->fact->feature = feature->name;
    report->kind = command->kind;
    report->id = command->kind == COMMAND_CHECK ? 0 : c->stamp.position;
    report->explain = command->explain;
    report->status = command->status;

    struct evaluation evaluation;
    ladder_evaluate(&view, terms, &ask, &evaluation);
    if (evaluation.reason != REASON_OK) return deny(c, &view, terms, &ask, &evaluation);
    ENSURE(terms != NULL); /* without them nobody is entitled */
    if (view.customer == 0) view_found_customer(&view);
    draw_pace(&view, terms, &ask, evaluation.units, &evaluation);
    if (command->kind == COMMAND_CONSUME && costs_nothing(command, terms)) {
        ask_nothing(&ask);
        ladder_evaluate(&view, terms, &ask, &evaluation);
    }
    const bool drawn = command->kind == COMMAND_CONSUME
                           ? grant_consumption(&view, terms, &ask, &evaluation)
                           : grant_hold(&view, c, feature, terms, &ask, &evaluation);
    if (!drawn) return out_of_range();
    ladder_explain(&view, terms, &evaluation);
    report_evaluation(report, &evaluation, &ask);
    return ruling_fact();
}

/* Usage after the fact: no gates, never refused for lack of funds (H2, A7). */
struct ruling decide_usage(const struct decision_context *c)
{
    const struct command *command = c->command;
    const struct symbols symbols = engine_symbols(c->engine);
    struct view view;
    view_open(&view, c->engine, c->policy, c->owner, c->stamp.now_ms, c->fact);
    if (view.customer == 0 && c->policy->default_plan == SYMBOL_NONE)
        return ruling_problem(PROBLEM_UNKNOWN_CUSTOMER, "customer", command->customer,
                              "a customer that was created before");
    const struct policy_feature *feature =
        policy_feature_named(c->policy, &symbols, command->feature);
    if (feature == NULL)
        return ruling_problem(PROBLEM_UNKNOWN_FEATURE, "feature", command->feature,
                              "a feature of the policy");
    view_subject_of(&view, command);
    struct ask ask;
    const struct problem problem = measure(c, feature, &ask);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    const struct plan_feature *terms = current_terms(&view, &ask);
    struct report *report = &c->fact->report;
    c->fact->feature = feature->name;
    report->kind = command->kind;
    report->id = c->stamp.position;
    report->explain = command->explain;
    report->status = command->status;
    if (view.customer == 0) view_found_customer(&view);
    draw_pace(&view, terms, &ask, ask.units, NULL);
    if (costs_nothing(command, terms)) ask_nothing(&ask);
    if (!draw_unrefusable(&view, terms, &ask, NULL)) return out_of_range();
    report->hold = HOLD_COMMITTED;
    return ruling_fact();
}
