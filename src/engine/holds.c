/*
 * holds.c: what becomes of a hold: commit, release, extend, and the late commit of one that expired
 * (SEMANTICS H1-H6).
 */
#include "engine/decide.h"

#include <string.h>

static struct ruling unknown_decision(const struct past *past)
{
    return recall_unknown(past, RECALL_EXPECTED_REMEMBERED);
}

static struct ruling ended_conflict(enum hold_state state)
{
    enum problem_code code = PROBLEM_HOLD_EXPIRED;
    if (state == HOLD_COMMITTED) code = PROBLEM_HOLD_COMMITTED;
    if (state == HOLD_RELEASED) code = PROBLEM_HOLD_RELEASED;
    return ruling_problem(code, NULL, BYTES_NONE, "a hold that is open");
}

/* Turns a hold's terms into an ask for what was used beyond it. */
static struct ask ask_of_terms(const struct hold_terms *terms)
{
    struct ask ask = {
        .feature = terms->feature,
        .unit = terms->unit,
        .meter_count = terms->meter_count,
        .quote = terms->quote,
        .consent = terms->consent,
        .divisible = true,
    };
    ask.price = price_of_unit(&terms->quote, terms->unit);
    memcpy(ask.meters, terms->meters, sizeof ask.meters);
    return ask;
}

/* Feature units of these quantities at the quoted price; for `unit: cost` the carried remainder
 * moves (U4). */
static bool settled_units(struct view *view, const struct hold_terms *terms,
                          const uint64_t quantities[METERS_MAX], uint64_t *units_out)
{
    if (terms->unit != UNIT_COST) {
        *units_out = quantities[terms->unit];
        return true;
    }
    int64_t units = 0;
    const uint128 cost = price_cost(&terms->quote, quantities);
    if (!price_settle(cost, terms->quote.q, &view->rem, &units)) return false;
    *units_out = (uint64_t)units;
    return true;
}

static uint64_t held_units(const struct engine *engine, const struct hold *hold)
{
    uint64_t units = 0;
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next)
        units += hold_line_at(engine, n)->line.units;
    return units;
}

static void report_cuts(const struct engine *engine, const struct hold *hold,
                        const struct cut *cuts, struct report *report)
{
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next, cuts++) {
        if (cuts->units == 0 && cuts->charged == 0) continue;
        struct line *line = &report->lines[report->line_count++];
        *line = hold_line_at(engine, n)->line;
        line->units = cuts->units;
        line->charged = cuts->charged;
        report->charged += cuts->charged;
        report->units_allowed += cuts->units;
    }
}

/* What was used beyond the hold, meter by meter, counts in the rate gates. */
static void pace_beyond(struct view *view, struct ask *ask, const struct plan_feature *terms,
                        const uint64_t used[METERS_MAX], const uint64_t held[METERS_MAX])
{
    ask->units = 1;
    for (uint32_t i = 0; i < METERS_MAX; i++)
        ask->quantities[i] = used[i] > held[i] ? used[i] - held[i] : 0;
    draw_pace(view, terms, ask, 1, NULL);
}

/* The effect that remembers a settled hold. */
static struct effect ended_effect(const struct decision_context *c, bool late)
{
    struct effect effect = {.kind = EFFECT_ENDED};
    memset(&effect.ended, 0, sizeof effect.ended);
    effect.ended.id = c->command->target;
    effect.ended.late = late;
    effect.ended.position = c->stamp.position;
    effect.ended.body_hash = command_body_hash(c->engine->hash_key, c->command);
    return effect;
}

static struct ruling too_much(void)
{
    return ruling_problem(PROBLEM_OUT_OF_RANGE, "quantities", BYTES_NONE,
                          "an amount whose cost can be counted");
}

/* What was used: what is said, and of requests, if they are not, what was held; all that was held,
 * if no quantities are said (U2). The books read the latter in the report. */
static struct problem measure_used(const struct decision_context *c, const struct hold_terms *terms,
                                   const uint64_t held[METERS_MAX], uint64_t used_out[METERS_MAX])
{
    struct report *report = &c->fact->report;
    const uint32_t requests = terms->requests_meter;
    if (!c->command->as_held)
        return measure_quantities(c->engine, c->command, terms->meters, terms->meter_count,
                                  requests, requests < METERS_MAX ? held[requests] : 0, used_out);
    memcpy(used_out, held, METERS_MAX * sizeof used_out[0]);
    for (uint32_t i = 0; i < terms->meter_count; i++)
        if (held[i] != 0)
            report->used[report->used_count++] =
                (struct used){.meter = terms->meters[i], .amount = held[i]};
    return (struct problem){0};
}

/* What a job's outcome makes of its quantities (H4). */
static void price_outcome(const struct command *command, enum failure_cost on_failure,
                          const uint64_t held[METERS_MAX], uint64_t quantities[METERS_MAX])
{
    if (command->status == JOB_SUCCEEDED || on_failure == FAILURE_ACTUAL) return;
    if (on_failure == FAILURE_FULL)
        memcpy(quantities, held, METERS_MAX * sizeof quantities[0]);
    else
        memset(quantities, 0, METERS_MAX * sizeof quantities[0]);
}

static struct ruling commit_open(const struct decision_context *c, const struct hold *hold)
{
    const struct hold_terms *terms = &hold->terms;
    uint64_t quantities[METERS_MAX];
    const struct problem problem = measure_used(c, terms, hold->quantities, quantities);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    price_outcome(c->command, terms->on_failure, hold->quantities, quantities);

    struct view view;
    view_open(&view, c->engine, c->policy, owner_of_customer(c->engine, hold->customer),
              c->stamp.now_ms, c->fact);
    view_levels(&view, terms->levels, terms->level_count);
    view_remainder_load(&view, &terms->quote);
    uint64_t units = 0;
    if (!settled_units(&view, terms, quantities, &units)) return too_much();
    const uint64_t held = held_units(c->engine, hold);
    const bool stands = c->command->as_held ||
                        (c->command->status != JOB_SUCCEEDED && terms->on_failure == FAILURE_FULL);
    if (stands && units > held) { /* a part was granted: that much stands, and nothing is carried */
        units = held;
        view.rem = view.rem_before;
    }

    struct report *report = &c->fact->report;
    c->fact->feature = terms->feature;
    report->kind = COMMAND_COMMIT;
    report->id = hold->id;
    report->status = c->command->status;
    report->hold = HOLD_COMMITTED;
    report->outcome = OUTCOME_ALLOW;
    report->price = terms->quote.name;
    report->unit = terms->unit == UNIT_COST ? UNIT_COST : terms->meters[terms->unit];
    report->units_requested = units < held ? units : held;

    struct cut cuts[HOLD_LINES_MAX];
    struct ask ask = ask_of_terms(terms);
    const uint64_t kept = units < held ? units : held;
    if (!draw_cut(&view, hold, ask.price, kept, cuts, &ask.from)) return too_much();
    report_cuts(c->engine, hold, cuts, report);
    struct effect ended = ended_effect(c, false);
    draw_end_hold(&view, hold, cuts, &ended, HOLD_COMMITTED);

    const struct plan_feature *current = current_terms(&view, &ask);
    pace_beyond(&view, &ask, current, quantities, hold->quantities);
    if (units <= held) {
        view_remainder_store(&view);
        return ruling_fact();
    }
    const uint64_t excess = units - held;
    if (!draw_unrefusable(&view, current, &ask, &excess)) return too_much();
    return ruling_fact();
}

static struct hold_terms terms_of_effect(const struct effect *effect)
{
    struct hold_terms terms = {
        .feature = effect->hold.feature,
        .unit = effect->hold.unit,
        .requests_meter = effect->hold.requests_meter,
        .consent = effect->hold.consent,
        .on_failure = effect->hold.on_failure,
        .ttl_ms = effect->hold.ttl_ms,
        .retention_ms = effect->hold.retention_ms,
        .meter_count = effect->hold.meter_count,
        .quote = effect->hold.quote,
        .level_count = effect->hold.level_count,
    };
    memcpy(terms.meters, effect->hold.meters, sizeof terms.meters);
    memcpy(terms.levels, effect->hold.levels, sizeof terms.levels);
    return terms;
}

/* Usage is never lost: a commit after expiry goes through the sources now (H2, H6). */
static struct ruling commit_late(const struct decision_context *c, const struct past *past)
{
    struct ruling ruling;
    const struct evidence *evidence = recall_origin(c, past->ending.position, &ruling);
    if (evidence == NULL) return ruling;
    if (!evidence->has_terms) return unknown_decision(past);
    const struct effect *effect = &evidence->terms;
    const struct hold_terms terms = terms_of_effect(effect);
    struct view view;
    view_open(&view, c->engine, c->policy, past->owner, c->stamp.now_ms, c->fact);
    view_levels(&view, terms.levels, terms.level_count);
    struct ask ask = ask_of_terms(&terms);
    const struct problem problem = measure_used(c, &terms, effect->hold.quantities, ask.quantities);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    price_outcome(c->command, terms.on_failure, effect->hold.quantities, ask.quantities);

    struct report *report = &c->fact->report;
    c->fact->feature = terms.feature;
    report->kind = COMMAND_COMMIT;
    report->id = c->command->target;
    report->status = c->command->status;
    report->hold = HOLD_COMMITTED;
    report->late = true;
    const struct plan_feature *current = current_terms(&view, &ask);
    ask.units = ask.unit == UNIT_COST ? 1 : ask.quantities[ask.unit];
    draw_pace(&view, current, &ask, ask.units, NULL);
    if (!draw_unrefusable(&view, current, &ask, NULL)) return too_much();
    struct effect *memory = view_effect(&view, EFFECT_ENDED);
    *memory = ended_effect(c, true);
    memory->ended.state = HOLD_COMMITTED;
    memory->ended.until_ms = c->stamp.now_ms + terms.retention_ms;
    return ruling_fact();
}

struct ruling decide_commit(const struct decision_context *c)
{
    const uint32_t number = hold_find(c->engine, c->command->target);
    if (number != 0) return commit_open(c, hold_at(c->engine, number));
    struct past past;
    struct ruling ruling;
    if (!recall_remembered(c, &past, &ruling)) return ruling;
    if (!past.is_known) return unknown_decision(&past);
    const struct ending *ending = &past.ending;
    if (ending->state == HOLD_EXPIRED) return commit_late(c, &past);
    if (ending->state == HOLD_COMMITTED &&
        ending->body_hash == command_body_hash(c->engine->hash_key, c->command))
        return (struct ruling){.kind = RULING_REPLAY, .position = ending->position};
    return ended_conflict(ending->state);
}

struct ruling decide_release(const struct decision_context *c)
{
    struct report *report = &c->fact->report;
    report->kind = COMMAND_RELEASE;
    report->id = c->command->target;
    const uint32_t number = hold_find(c->engine, c->command->target);
    if (number == 0) {
        struct past past;
        struct ruling ruling;
        if (!recall_remembered(c, &past, &ruling)) return ruling;
        if (!past.is_known) return unknown_decision(&past);
        if (past.ending.state == HOLD_COMMITTED) return ended_conflict(past.ending.state);
        report->hold = past.ending.state;
        return (struct ruling){.kind = RULING_ANSWER};
    }
    const struct hold *hold = hold_at(c->engine, number);
    struct view view;
    view_open(&view, c->engine, c->policy, owner_of_customer(c->engine, hold->customer),
              c->stamp.now_ms, c->fact);
    struct cut cuts[HOLD_LINES_MAX];
    memset(cuts, 0, hold->line_count * sizeof cuts[0]);
    struct effect ended = {.kind = EFFECT_ENDED};
    memset(&ended.ended, 0, sizeof ended.ended);
    ended.ended.id = hold->id;
    draw_end_hold(&view, hold, cuts, &ended, HOLD_RELEASED);
    report->hold = HOLD_RELEASED;
    return ruling_fact();
}

/* The addition as an ask: at the quoted price, behind what the hold already has. */
static struct problem measure_addition(const struct decision_context *c, const struct hold *hold,
                                       uint64_t added[METERS_MAX], struct ask *ask)
{
    const struct hold_terms *terms = &hold->terms;
    *ask = ask_of_terms(terms);
    ask->until_ms = hold->expires_ms;
    const uint16_t place = terms->feature <= c->policy->symbol_count
                               ? c->policy->feature_of_symbol[terms->feature]
                               : 0;
    if (place != 0) ask->divisible = c->policy->features[place - 1].divisible;
    const struct problem problem = measure_quantities(
        c->engine, c->command, terms->meters, terms->meter_count, terms->requests_meter, 0, added);
    if (problem.code != PROBLEM_NONE) return problem;
    uint64_t total[METERS_MAX];
    uint128 units = 0;
    bool fits = true;
    for (uint32_t i = 0; i < METERS_MAX; i++) {
        total[i] = hold->quantities[i] + added[i];
        fits = fits && total[i] <= QUANTITY_MAX;
    }
    if (fits && terms->unit == UNIT_COST)
        units = number_divide_up(price_cost(&terms->quote, total) -
                                     price_cost(&terms->quote, hold->quantities),
                                 terms->quote.q);
    else
        units = added[terms->unit];
    if (!fits || units > QUANTITY_MAX)
        return (struct problem){.code = PROBLEM_OUT_OF_RANGE,
                                .field = "quantities",
                                .expected = "an amount whose cost can be counted"};
    ask->units = (uint64_t)units;
    memcpy(ask->quantities, added, sizeof ask->quantities);
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(c->engine, n)->next) {
        const struct line *line = &hold_line_at(c->engine, n)->line;
        if (line->kind == SOURCE_GRANTS || line->kind == SOURCE_OVERAGE) ask->from += line->units;
    }
    return (struct problem){0};
}

/* An extend says the terms again: whatever recalls the hold later needs this fact alone. */
static void state_terms(struct effect *effect, const struct hold *hold)
{
    const struct hold_terms *terms = &hold->terms;
    effect->hold.feature = terms->feature;
    effect->hold.unit = terms->unit;
    effect->hold.requests_meter = terms->requests_meter;
    effect->hold.consent = terms->consent;
    effect->hold.on_failure = terms->on_failure;
    effect->hold.ttl_ms = terms->ttl_ms;
    effect->hold.retention_ms = terms->retention_ms;
    effect->hold.meter_count = terms->meter_count;
    effect->hold.quote = terms->quote;
    effect->hold.level_count = terms->level_count;
    effect->hold.concurrency_count = hold->concurrency_count;
    memcpy(effect->hold.meters, terms->meters, sizeof effect->hold.meters);
    memcpy(effect->hold.levels, terms->levels, sizeof effect->hold.levels);
    memcpy(effect->hold.concurrency, hold->concurrency, sizeof effect->hold.concurrency);
}

struct ruling decide_extend(const struct decision_context *c)
{
    const uint32_t number = hold_find(c->engine, c->command->target);
    if (number == 0) {
        struct past past;
        struct ruling ruling;
        if (!recall_remembered(c, &past, &ruling)) return ruling;
        return past.is_known ? ended_conflict(past.ending.state) : unknown_decision(&past);
    }
    const struct hold *hold = hold_at(c->engine, number);
    uint64_t added[METERS_MAX];
    struct ask ask;
    const struct problem problem = measure_addition(c, hold, added, &ask);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    struct view view;
    view_open(&view, c->engine, c->policy, owner_of_customer(c->engine, hold->customer),
              c->stamp.now_ms, c->fact);
    view_levels(&view, hold->terms.levels, hold->terms.level_count);
    const struct plan_feature *terms = current_terms(&view, &ask);

    struct report *report = &c->fact->report;
    c->fact->feature = hold->terms.feature;
    report->kind = COMMAND_EXTEND;
    report->id = hold->id;
    report->hold = HOLD_HELD;
    report->expires_at_ms = hold->expires_ms;
    struct evaluation evaluation;
    ladder_evaluate(&view, terms, &ask, &evaluation);
    if (evaluation.reason != REASON_OK) return deny(c, &view, terms, &ask, &evaluation);
    const int64_t ttl_ms = c->command->has_ttl ? c->command->ttl_ms : hold->terms.ttl_ms;
    const int64_t until_ms = c->stamp.now_ms + ttl_ms;
    draw_pace(&view, terms, &ask, ask.units, &evaluation);
    struct effect *effect = view_effect(&view, EFFECT_HOLD);
    effect->hold.id = hold->id;
    effect->hold.is_new = false;
    effect->hold.expires_ms = until_ms > hold->expires_ms ? until_ms : hold->expires_ms;
    state_terms(effect, hold);
    for (uint32_t i = 0; i < METERS_MAX; i++)
        effect->hold.quantities[i] = hold->quantities[i] + added[i];
    report->expires_at_ms = effect->hold.expires_ms;
    const uint32_t last_draw =
        hold->lines_last == 0 ? 0 : hold_line_at(c->engine, hold->lines_last)->draw;
    if (!draw_split(&view, terms, &ask, &evaluation, hold->id, last_draw)) return too_much();
    _Static_assert(HOLD_LINES_MAX == 352, "the text below says so");
    if (hold->line_count + report->line_count > HOLD_LINES_MAX)
        return ruling_problem(PROBLEM_OUT_OF_RANGE, "quantities", BYTES_NONE,
                              "a hold of at most 352 lines, of which each addition makes one for "
                              "each source and grant that it draws from: commit it and authorize "
                              "anew");
    ladder_explain(&view, terms, &evaluation);
    report_evaluation(report, &evaluation, &ask);
    return ruling_fact();
}
