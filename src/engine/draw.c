#include "engine/draw.h"

uint64_t draw_part(uint64_t quantity, uint64_t granted, uint64_t requested)
{
    if (granted >= requested) return quantity;
    return (uint64_t)number_divide_up((uint128)quantity * granted, requested);
}

/* One draw from one entry of the waterfall, while it is being drafted. */
struct drawing {
    struct view *view;
    const struct ask *ask;
    struct evaluation *evaluation;
    const struct source_rule *source;
    struct source_reading *reading; /* of the source */
    uint64_t hold_id;
    uint32_t draw;
    uint64_t from; /* credit-funded units before this draw */
};

static void put_line(struct drawing *d, struct line line, const struct window_ref *windows,
                     uint32_t window_count, const struct window_ref *budgets, uint32_t budget_count)
{
    struct report *report = &d->view->fact->report;
    ENSURE(report->line_count < LINES_MAX);
    report->lines[report->line_count++] = line;
    report->charged += line.charged;
    if (d->hold_id == DRAW_CHARGED) return;
    struct effect *effect = view_effect(d->view, EFFECT_HOLD_LINE);
    effect->hold_line.hold = d->hold_id;
    effect->hold_line.draw = d->draw;
    effect->hold_line.line = line;
    effect->hold_line.window_count = window_count;
    for (uint32_t i = 0; i < window_count; i++)
        effect->hold_line.windows[i] = windows[i];
    effect->hold_line.budget_count = budget_count;
    for (uint32_t i = 0; i < budget_count; i++)
        effect->hold_line.budgets[i] = budgets[i];
}

static void draw_free(struct drawing *d, uint64_t units)
{
    struct window_ref windows[WINDOWS_MAX];
    for (uint32_t place = 0; place < d->source->window_count; place++)
        windows[place] = counter_add(d->view, &d->reading->counter[place], (int64_t)units);
    const struct line line = {.source = d->source->name, .kind = d->source->kind, .units = units};
    put_line(d, line, windows, d->source->window_count, NULL, 0);
}

static struct counter *budget_counter(struct evaluation *evaluation, uint32_t n)
{
    return &evaluation->gates[evaluation->budgets[n]].counter;
}

/* A credit-funded line: budgets count its money. */
static void put_paid_line(struct drawing *d, struct line line, const struct window_ref *window)
{
    struct window_ref budgets[LINE_BUDGETS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->evaluation->budget_count && line.charged != 0; i++)
        budgets[count++] = counter_add(d->view, budget_counter(d->evaluation, i), line.charged);
    put_line(d, line, window, window == NULL ? 0 : 1, budgets, count);
}

/* The charge runs grant by grant in burn order; a unit that two grants pay counts on the later line
 * (S3). */
static void draw_grants(struct drawing *d, uint64_t units, int64_t nano)
{
    struct view *view = d->view;
    int64_t paid = 0;
    uint64_t counted = 0;
    struct lot_walk walk = {0};
    for (uint32_t n; (n = lot_walk_next(view, &walk, d->source->category, d->ask->feature)) != 0;) {
        const struct grant *grant = grant_at(view->engine, n);
        const int64_t remaining = view_lot(view, n).remaining;
        if (remaining == 0) continue;
        const int64_t pays = remaining < nano - paid ? remaining : nano - paid;
        paid += pays;
        const uint64_t through =
            paid == nano ? units : price_affordable(d->ask->price, d->from, units, paid);
        const struct line line = {
            .source = d->source->name,
            .kind = SOURCE_GRANTS,
            .grant_id = grant->id,
            .units = through - counted,
            .charged = pays,
        };
        counted = through;
        if (d->hold_id == DRAW_CHARGED)
            view_grant_move(view, n, LOT_CHARGE, -pays, 0);
        else
            view_grant_move(view, n, LOT_HOLD, -pays, pays);
        put_paid_line(d, line, NULL);
        if (paid == nano) return;
    }
    ENSURE(false); /* offered without having it */
}

static void draw_overage(struct drawing *d, uint64_t units, int64_t nano)
{
    const struct window_ref window = counter_add(d->view, &d->reading->counter[0], nano);
    const struct line line = {
        .source = d->source->name, .kind = SOURCE_OVERAGE, .units = units, .charged = nano};
    put_paid_line(d, line, &window);
}

/* What a draw of `units` costs: reserved when held, settled with the remainder when charged. */
static bool draw_nano(struct drawing *d, uint64_t units, int64_t *nano_out)
{
    const struct unit_price price = d->ask->price;
    const uint128 x = price_of_draw(price, d->from, units);
    if (d->hold_id == DRAW_CHARGED && d->ask->unit != UNIT_COST)
        return price_settle(x, price.q, &d->view->rem, nano_out);
    const uint128 nano = number_divide_up(x, price.q);
    if (nano > (uint128)BALANCE_NANO_MAX) return false;
    *nano_out = (int64_t)nano;
    return true;
}

bool draw_split(struct view *view, const struct plan_feature *plan_feature, const struct ask *ask,
                struct evaluation *evaluation, uint64_t hold_id, uint32_t first_draw)
{
    struct drawing d = {.view = view,
                        .ask = ask,
                        .evaluation = evaluation,
                        .hold_id = hold_id,
                        .draw = first_draw,
                        .from = ask->from};
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const uint64_t units = evaluation->split.drawn[i];
        if (units == 0) continue;
        d.source = &plan_feature->sources[i];
        d.reading = &evaluation->sources[i];
        d.draw++;
        if (d.source->kind == SOURCE_ALLOWANCE || d.source->kind == SOURCE_UNLIMITED) {
            draw_free(&d, units);
            continue;
        }
        int64_t nano = 0;
        if (!draw_nano(&d, units, &nano)) return false;
        if (d.source->kind == SOURCE_GRANTS)
            draw_grants(&d, units, nano);
        else
            draw_overage(&d, units, nano);
        d.from += units;
    }
    return true;
}

void draw_pace(struct view *view, const struct plan_feature *plan_feature, const struct ask *ask,
               uint64_t granted, struct evaluation *evaluation)
{
    if (plan_feature == NULL) return;
    const uint16_t place = view->policy->feature_of_symbol[ask->feature];
    for (uint32_t i = 0; i < plan_feature->gate_count; i++) {
        const struct gate_rule *gate = &plan_feature->gates[i];
        if (gate->kind != GATE_RATE) continue;
        struct gate_reading unasked;
        struct gate_reading *reading = evaluation == NULL ? &unasked : &evaluation->gates[i];
        if (evaluation == NULL) gate_read(view, ask, gate, reading);
        const uint32_t meter = view->policy->features[place - 1].meters[gate->meter];
        const uint64_t tokens = draw_part(ask_quantity(ask, meter), granted, ask->units);
        view_rate_take(view, reading->slot, &reading->clock, &reading->bucket, tokens);
    }
}

static void overshoot_to_overage(struct view *view, const struct plan_feature *plan_feature,
                                 struct evaluation *evaluation, int64_t charged)
{
    for (uint32_t i = 0; i < plan_feature->source_count; i++) {
        const struct source_rule *source = &plan_feature->sources[i];
        if (source->kind != SOURCE_OVERAGE) continue;
        (void)counter_add(view, &evaluation->sources[i].counter[0], charged);
        view->fact->report.overshoot.overage = source->name;
        return;
    }
}

bool draw_overshoot(struct view *view, const struct plan_feature *plan_feature,
                    const struct ask *ask, struct evaluation *evaluation, uint64_t from,
                    enum overshoot_kind kind)
{
    const uint64_t units = ask->units - evaluation->units;
    if (units == 0) return true;
    int64_t charged = 0;
    const uint128 x = price_of_draw(ask->price, from, units);
    if (!price_settle(x, ask->price.q, ask->unit == UNIT_COST ? &(uint64_t){0} : &view->rem,
                      &charged))
        return false;
    struct report *report = &view->fact->report;
    report->has_overshoot = true;
    report->overshoot = (struct overshoot){
        .units = units,
        .charged = charged,
        .refunded = kind == OVERSHOOT_REFUND ? charged : 0,
        .booked = kind,
    };
    if (charged == 0 || kind == OVERSHOOT_REFUND) return true;
    for (uint32_t i = 0; i < evaluation->budget_count;
         i++) /* it is charged: budgets count it (G5) */
        (void)counter_add(view, budget_counter(evaluation, i), charged);
    if (kind == OVERSHOOT_DEBT) {
        if (view->debt - charged < -BALANCE_NANO_MAX) return false;
        view_debt_move(view, -charged);
    } else {
        overshoot_to_overage(view, plan_feature, evaluation, charged);
    }
    return true;
}

bool draw_unrefusable(struct view *view, const struct plan_feature *plan_feature, struct ask *ask,
                      const uint64_t *excess_units)
{
    struct report *report = &view->fact->report;
    const bool is_excess = excess_units != NULL;
    if (is_excess) {
        ask->units = *excess_units;
    } else {
        view_remainder_load(view, &ask->quote);
        if (ask->unit == UNIT_COST) {
            int64_t units = 0;
            if (!price_settle(price_cost(&ask->quote, ask->quantities), ask->quote.q, &view->rem,
                              &units))
                return false;
            ask->units = (uint64_t)units;
        }
    }
    ask->divisible = true;
    ask->min_units = 0;
    struct evaluation evaluation;
    ladder_evaluate_unrefusable(view, plan_feature, ask, &evaluation);
    if (evaluation.units != 0 && !draw_split(view, plan_feature, ask, &evaluation, DRAW_CHARGED, 0))
        return false;
    uint64_t from = ask->from;
    for (uint32_t i = 0; plan_feature != NULL && i < plan_feature->source_count; i++)
        if (plan_feature->sources[i].kind == SOURCE_GRANTS ||
            plan_feature->sources[i].kind == SOURCE_OVERAGE)
            from += evaluation.split.drawn[i];
    if (!draw_overshoot(view, plan_feature, ask, &evaluation, from,
                        plan_feature == NULL ? OVERSHOOT_REFUND : plan_feature->overshoot))
        return false;
    view_remainder_store(view);
    report->units_requested += ask->units;
    report->units_allowed += evaluation.units;
    report->price = ask->quote.name;
    report->unit = ask->unit == UNIT_COST ? UNIT_COST : ask->meters[ask->unit];
    report->outcome = OUTCOME_ALLOW;
    return true;
}

/* Ending holds. */

static bool is_credit_funded(const struct hold_line *line)
{
    return line->line.kind == SOURCE_GRANTS || line->line.kind == SOURCE_OVERAGE;
}

/* Prices the lines of one draw anew and runs the charge through them in drawing order. Returns the
 * number of the first line behind the draw. */
static uint32_t cut_draw(struct view *view, uint32_t first, struct unit_price price,
                         bool unit_is_cost, uint64_t from, uint64_t units, struct cut *cuts,
                         bool *fits)
{
    const struct engine *engine = view->engine;
    int64_t charge = 0;
    const uint128 x = price_of_draw(price, from, units);
    uint64_t none = 0;
    *fits = price_settle(x, price.q, unit_is_cost ? &none : &view->rem, &charge) && *fits;
    int64_t paid = 0;
    uint64_t counted = 0;
    const uint32_t draw = hold_line_at(engine, first)->draw;
    struct cut *last = cuts;
    for (uint32_t n = first; n != 0; n = hold_line_at(engine, n)->next, cuts++) {
        const struct hold_line *line = hold_line_at(engine, n);
        if (line->draw != draw) {
            last->units += units - counted;
            ENSURE(paid == charge || !*fits);
            return n;
        }
        const int64_t rest = charge - paid;
        const int64_t pays = line->line.charged < rest ? line->line.charged : rest;
        if (pays != 0) last = cuts;
        paid += pays;
        const uint64_t through =
            paid == charge ? counted : price_affordable(price, from, units, paid);
        *cuts = (struct cut){.units = through - counted, .charged = pays};
        counted = through;
    }
    last->units += units - counted;
    ENSURE(paid == charge || !*fits);
    return 0;
}

bool draw_cut(struct view *view, const struct hold *hold, struct unit_price price, uint64_t units,
              struct cut cuts[HOLD_LINES_MAX], uint64_t *from_out)
{
    const struct engine *engine = view->engine;
    const bool unit_is_cost = hold->terms.unit == UNIT_COST;
    uint64_t from = 0;
    bool fits = true;
    uint32_t place = 0;
    for (uint32_t n = hold->lines_first; n != 0;) {
        const struct hold_line *line = hold_line_at(engine, n);
        uint64_t held = line->line.units;
        if (!is_credit_funded(line)) {
            const uint64_t used = held < units ? held : units;
            cuts[place++] = (struct cut){.units = used};
            units -= used;
            n = line->next;
            continue;
        }
        uint32_t count = 1;
        for (uint32_t m = line->next; m != 0 && hold_line_at(engine, m)->draw == line->draw;
             m = hold_line_at(engine, m)->next, count++)
            held += hold_line_at(engine, m)->line.units;
        const uint64_t used = held < units ? held : units;
        n = cut_draw(view, n, price, unit_is_cost, from, used, &cuts[place], &fits);
        place += count;
        units -= used;
        from += used;
    }
    *from_out = from;
    return fits;
}

static void return_line(struct view *view, const struct hold_line *line, struct cut cut)
{
    const int64_t nano = line->line.charged - cut.charged;
    const int64_t units = (int64_t)(line->line.units - cut.units);
    if (line->line.kind == SOURCE_GRANTS) {
        view_lot_move(view, line->line.grant_id, LOT_RETURN, nano, -nano);
        (void)view_lot_lapse(view, line->line.grant_id, nano);
    }
    for (uint32_t i = 0; i < line->window_count; i++)
        counter_return(view, line->windows[i], line->line.kind == SOURCE_OVERAGE ? nano : units);
    for (uint32_t i = 0; i < line->budget_count; i++)
        counter_return(view, line->budgets[i], nano);
}

void draw_end_hold(struct view *view, const struct hold *hold, const struct cut *cuts,
                   struct effect *ended, enum hold_state state)
{
    const struct engine *engine = view->engine;
    uint32_t numbers[HOLD_LINES_MAX];
    uint32_t count = 0;
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(engine, n)->next) {
        const struct hold_line *line = hold_line_at(engine, n);
        if (line->line.kind == SOURCE_GRANTS)
            view_lot_move(view, line->line.grant_id, LOT_SETTLE, 0, -cuts[count].charged);
        numbers[count++] = n;
    }
    while (count-- > 0)
        return_line(view, hold_line_at(engine, numbers[count]), cuts[count]);
    for (uint32_t i = 0; i < hold->concurrency_count; i++)
        view_in_flight_add(view, hold->concurrency[i], -1);

    struct effect *effect = view_effect(view, EFFECT_HOLD_END);
    effect->hold_end.id = hold->id;
    effect->hold_end.state = state;
    effect->hold_end.keys_until_ms = view->now_ms + hold->terms.retention_ms;
    ended->ended.state = state;
    ended->ended.until_ms = view->now_ms + hold->terms.retention_ms;
    if (state == HOLD_EXPIRED) ended->ended.position = hold->position;
    *view_effect(view, EFFECT_ENDED) = *ended;
}
