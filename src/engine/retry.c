/*
 * retry.c: the honest retry_after (SEMANTICS S8): the earliest moment at which the same request
 * would pass if nothing else happened.
 *
 * Only a trial can say whether it passes: what falls due on the way is applied and the ladder asked
 * again (and all of it is taken back). That is dear, so it is done for few moments. Between trials
 * the search keeps a forecast: what gates and sources had at the last trial, and what the events
 * since then can have brought at most. While the forecast does not pass, the request cannot.
 * Events that bring nothing to what this request may use are not looked at a second time.
 *
 * A denial must not cost what an attack pays for, so the work has a ceiling. Past the ceiling what
 * falls due is left out: a trial then sees less than there will be, so what passes does pass,
 * perhaps later than it could. If nothing passes either, the answer is the first moment that was
 * not looked at: before it nothing passes, and never is said only where it is proven. See
 * docs/decisions/0024-retry-search.md.
 */
#include "engine/decide.h"

/* Moments for which the forecast is asked; open holds and their lines that are looked at; due facts
 * that are applied; times that the ladder is asked again. */
#define RETRY_MOMENTS_MAX 2048u
#define RETRY_LINES_MAX 4096u
#define RETRY_FACTS_MAX 512u
#define RETRY_TRIALS_MAX 48u

#define RETRY_EVENTS_MAX 640u /* of grants and renewals that lie ahead at one time */
#define RETRY_WATCHES_MAX (GATES_MAX + SOURCES_MAX * WINDOWS_MAX)
#define RULE_NONE RECURRING_MAX

/* What lies ahead, open holds aside. */
struct event {
    int64_t at_ms;
    enum due_what what;
    enum category category;
    uint32_t rule; /* place among the plan's recurring grants; RULE_NONE */
    uint64_t id;   /* of the grant; of a renewal its name */
    int64_t nano;  /* that comes, or goes, at most */
};

/* A recurring grant of the plan, as far ahead as the forecast is. */
struct prospect {
    bool is_usable;    /* its lots can pay for what is asked */
    bool is_counted;   /* its newest lot is part of the same credits */
    uint64_t lot;      /* the newest lot, if it is there already */
    int64_t lot_nano;  /* of it, at most: what may roll over; 0: it is over before */
    int64_t live_nano; /* of all its lots, at most: part of the credits */
};

/* A counter that binds, or may: what holds return to it. */
struct watch {
    struct slot_name slot;
    int64_t *used; /* in the forecast's readings */
    int64_t gained;
};

struct retry {
    const struct decision_context *c;
    const uint64_t *levels;
    uint32_t level_count;
    const struct plan_feature *terms;
    struct ask ask; /* as it would be priced at now_ms */
    bool is_void;   /* by then it would be no request that can be decided */
    struct view view;
    struct owner owner;
    int64_t now_ms;     /* all before it is known to fail, itself too once it was looked at */
    int64_t tried_ms;   /* the last trial */
    int64_t paced_ms;   /* before it a rate gate refuses */
    int64_t priced_ms;  /* the price changes then */
    int64_t horizon_ms; /* from here on something was left out; INSTANT_NEVER */
    int64_t from_ms;    /* the search began */
    int64_t
        lots_ms; /* recurring grants' lots of that time, and the first of each to come, are over */
    uint32_t moments, lines, trials, facts;
    bool only_forecasts; /* there are no trials any more */
    bool is_quiet;       /* nothing lies ahead but renewals: seen, and that they may suffice */

    /* The next open hold that brings something, and from which on they were left out. */
    uint32_t hold;
    int64_t hold_ms;
    uint64_t hold_id;

    uint32_t categories; /* a bit for each whose grants are asked */
    int64_t credits[CATEGORY_PAID + 1];
    struct prospect rules[RECURRING_MAX];
    uint32_t watch_count;
    struct watch watches[RETRY_WATCHES_MAX];
    struct evaluation *read;
    uint32_t event_count, due_count;
    struct event *events; /* [1..event_count], a binary heap */
    struct due *due;      /* [0..due_count): happened in the forecast, not yet in the trial */
};

static void leave_out_from(struct retry *r, int64_t at_ms)
{
    if (at_ms < r->horizon_ms) r->horizon_ms = at_ms;
}

/* Events. */

static bool event_before(const struct event *left, const struct event *right)
{
    if (left->at_ms != right->at_ms) return left->at_ms < right->at_ms;
    if (left->what != right->what) return left->what < right->what;
    return left->id < right->id;
}

static void event_add(struct retry *r, const struct event *event)
{
    if (event->at_ms == INSTANT_NEVER) return;
    if (r->event_count == RETRY_EVENTS_MAX) {
        leave_out_from(r, event->at_ms);
        return;
    }
    uint32_t place = ++r->event_count;
    while (place > 1 && event_before(event, &r->events[place / 2])) {
        r->events[place] = r->events[place / 2];
        place /= 2;
    }
    r->events[place] = *event;
}

static struct event event_take(struct retry *r)
{
    const struct event first = r->events[1];
    const struct event last = r->events[r->event_count--];
    uint32_t place = 1;
    for (;;) {
        uint32_t child = place * 2;
        if (child > r->event_count) break;
        if (child < r->event_count && event_before(&r->events[child + 1], &r->events[child]))
            child++;
        if (!event_before(&r->events[child], &last)) break;
        r->events[place] = r->events[child];
        place = child;
    }
    r->events[place] = last;
    return first;
}

/* What pays. */

static bool pays_for(const struct retry *r, uint32_t category, uint32_t feature_count,
                     const uint16_t *features, const uint32_t *symbols)
{
    if ((r->categories >> category & 1) == 0) return false;
    for (uint32_t i = 0; i < feature_count; i++)
        if ((features != NULL ? features[i] : symbols[i]) == r->ask.feature) return true;
    return feature_count == 0;
}

static bool grant_is_usable(const struct retry *r, const struct grant *grant)
{
    return (grant->state == GRANT_LIVE || grant->state == GRANT_PENDING) &&
           pays_for(r, grant->category, grant->feature_count, grant->features, NULL);
}

static uint32_t rule_named(const struct retry *r, uint32_t name)
{
    const struct plan *plan = r->view.plan;
    uint32_t rule = 0;
    while (rule < plan->recurring_count && plan->recurring[rule].name != name)
        rule++;
    return rule < plan->recurring_count && name != SYMBOL_NONE ? rule : RULE_NONE;
}

/* Another policy's lot of the same name may be of another category: none of the rule's. */
static uint32_t rule_of(const struct retry *r, const struct grant *lot)
{
    const uint32_t rule = rule_named(r, lot->recurring);
    const bool is_its =
        rule != RULE_NONE && r->view.plan->recurring[rule].category == lot->category;
    return is_its ? rule : RULE_NONE;
}

/* The most that a recurring grant ever has in lots that were not there at the start. A renewal
 * moves what rolls over and adds its own credits, so of many lots only the oldest has more than
 * those; if they end before the next renewal, only the first, by what was there. */
static int64_t rule_nano_max(const struct recurring_rule *rule, bool has_first)
{
    static const int64_t shortest_ms[] = {
        [PERIOD_HOUR] = HOUR_MS,
        [PERIOD_DAY] = DAY_MS,
        [PERIOD_WEEK] = WEEK_MS,
        [PERIOD_MONTH] = 28 * DAY_MS,
    };
    const int64_t period_ms = shortest_ms[rule->period.kind];
    const int64_t lots =
        (has_first ? 1 : 0) +
        (rule->expires_ms == 0 ? 1 : (rule->expires_ms + period_ms - 1) / period_ms);
    const bool rolls_over = has_first || rule->expires_ms == 0 || rule->expires_ms >= period_ms;
    const uint128 nano =
        (uint128)rule->nano * (uint128)lots + (uint128)(rolls_over ? rule->rollover_nano_max : 0);
    return nano > BALANCE_NANO_MAX ? BALANCE_NANO_MAX : (int64_t)nano;
}

static int64_t rolled_nano(const struct recurring_rule *rule, int64_t lot_nano)
{
    return lot_nano < rule->rollover_nano_max ? lot_nano : rule->rollover_nano_max;
}

static void credits_add(struct retry *r, enum category category, int64_t nano)
{
    int64_t *sum = &r->credits[category];
    *sum = nano > BALANCE_NANO_MAX - *sum ? BALANCE_NANO_MAX : *sum + nano;
}

/* What the newest lot passes on is not lost when it ends. */
static void survey_lot(struct retry *r, const struct grant *grant, struct event *expiry)
{
    struct prospect *prospect = &r->rules[expiry->rule];
    prospect->live_nano += grant->remaining;
    if (prospect->is_counted && prospect->lot == grant->id)
        expiry->nano -= rolled_nano(&r->view.plan->recurring[expiry->rule], grant->remaining);
    if (grant->effective_ms <= r->from_ms && grant->expires_ms > r->lots_ms)
        r->lots_ms = grant->expires_ms;
}

static void survey_grant(struct retry *r, const struct grant *grant)
{
    if (!grant_is_usable(r, grant) || grant->expires_ms <= r->now_ms) return;
    struct event event = {.at_ms = grant->expires_ms,
                          .what = DUE_GRANT_EXPIRY,
                          .category = grant->category,
                          .rule = rule_of(r, grant),
                          .id = grant->id,
                          .nano = grant->remaining};
    if (grant->state == GRANT_LIVE) {
        credits_add(r, grant->category, grant->remaining);
        if (event.rule != RULE_NONE) survey_lot(r, grant, &event);
    } else {
        event.nano = grant->amount;
        event_add(r, &(struct event){.at_ms = grant->effective_ms,
                                     .what = DUE_GRANT_EFFECTIVE,
                                     .category = grant->category,
                                     .rule = RULE_NONE,
                                     .id = grant->id,
                                     .nano = grant->amount});
    }
    event_add(r, &event);
}

static void survey_renewal(struct retry *r, const struct slot *slot)
{
    const uint32_t place = rule_named(r, slot_id_name(slot->id));
    if (slot->kind != SLOT_RENEWAL || place == RULE_NONE) return;
    const struct recurring_rule *rule = &r->view.plan->recurring[place];
    struct prospect *prospect = &r->rules[place];
    const uint32_t number = grant_find(r->c->engine, slot->renewal.grant);
    const struct grant *lot = number == 0 ? NULL : grant_at(r->c->engine, number);
    prospect->is_usable = pays_for(r, rule->category, rule->feature_count, NULL, rule->features);
    /* The renewal comes before an expiry at the same time. */
    if (lot != NULL && lot->state == GRANT_LIVE && lot->expires_ms >= slot->renewal.next_ms) {
        prospect->is_counted = grant_is_usable(r, lot) && rule_of(r, lot) == place;
        prospect->lot = lot->id;
        prospect->lot_nano = lot->remaining + (prospect->is_counted ? 0 : lot->held);
    }
    /* The first gap may be shorter than a period, so that the second lot is made of the first. */
    const int64_t second_ms =
        window_next_boundary(rule->period, slot->renewal.next_ms, r->view.anchor_ms);
    if (r->trials == 0 && second_ms + rule->expires_ms > r->lots_ms)
        r->lots_ms = second_ms + rule->expires_ms;
    /* What is not used here still matters if its lots that are there are. */
    if (!prospect->is_usable && (lot == NULL || !grant_is_usable(r, lot))) return;
    event_add(r, &(struct event){.at_ms = slot->renewal.next_ms,
                                 .what = DUE_RENEWAL,
                                 .category = rule->category,
                                 .rule = place,
                                 .id = rule->name});
}

static int64_t until_of(const struct ask *ask)
{
    return ask->until_ms == 0 ? INSTANT_MS_MAX + 1 : ask->until_ms;
}

/* The forecast begins anew from what is there. */
static void survey(struct retry *r)
{
    struct engine *engine = r->c->engine;
    r->event_count = 0;
    r->is_quiet = false;
    for (uint32_t i = 0; i <= CATEGORY_PAID; i++)
        r->credits[i] = 0;
    for (uint32_t i = 0; i < RECURRING_MAX; i++)
        r->rules[i] = (struct prospect){0};
    for (uint32_t i = 0; i < r->watch_count; i++)
        r->watches[i].gained = 0;
    if (r->owner.customer == 0) return;
    for (uint32_t n = r->view.block->slots; n != 0; n = slot_at(engine, n)->next)
        survey_renewal(r, slot_at(engine, n));
    for (uint32_t n = r->view.block->grants; n != 0; n = grant_at(engine, n)->next)
        survey_grant(r, grant_at(engine, n));
}

/* Counters. */

static void watch_add(struct retry *r, struct slot_name slot, int64_t *used)
{
    if (*used > 0) r->watches[r->watch_count++] = (struct watch){.slot = slot, .used = used};
}

static void watch_all(struct retry *r)
{
    for (uint32_t i = 0; i < r->terms->gate_count; i++) {
        struct gate_reading *gate = &r->read->gates[i];
        if (r->terms->gates[i].kind == GATE_BUDGET) watch_add(r, gate->slot, &gate->counter.used);
        if (r->terms->gates[i].kind == GATE_CONCURRENCY) watch_add(r, gate->slot, &gate->in_flight);
    }
    for (uint32_t i = 0; i < r->terms->source_count; i++)
        for (uint32_t place = 0; place < r->terms->sources[i].window_count; place++) {
            struct counter *counter = &r->read->sources[i].counter[place];
            watch_add(r, counter->slot, &counter->used);
        }
}

/* The counters as they stand then, and what holds have returned to them since the trial. */
static void read_counters(struct retry *r)
{
    r->view.now_ms = r->now_ms;
    ladder_read(&r->view, r->terms, &r->ask, r->read);
    for (uint32_t i = 0; i < r->watch_count; i++)
        *r->watches[i].used -= r->watches[i].gained;
}

static bool watch_gains(struct retry *r, struct slot_name slot, int64_t gain, bool takes)
{
    bool gains = false;
    for (uint32_t i = 0; i < r->watch_count; i++) {
        struct watch *watch = &r->watches[i];
        if (watch->slot.id != slot.id || watch->slot.scope != slot.scope) continue;
        gains = true;
        if (!takes) continue;
        watch->gained += gain;
        *watch->used -= gain;
    }
    return gains;
}

/* Open holds. */

/* What returns to a window that is over by then frees nothing (W4). */
static bool window_gains(struct retry *r, const struct window_ref *ref, int64_t gain, int64_t at_ms,
                         bool takes)
{
    return (ref->sliding || at_ms < ref->instance_ms) && watch_gains(r, ref->slot, gain, takes);
}

static void lot_gains(struct prospect *prospect, uint64_t lot, int64_t nano)
{
    prospect->live_nano += nano;
    if (prospect->is_counted && prospect->lot == lot) prospect->lot_nano += nano;
}

/* What this request may not use passes on to lots that it may. */
static bool rolls_over(const struct retry *r, uint64_t lot)
{
    for (uint32_t i = 0; i < r->view.plan->recurring_count; i++)
        if (r->rules[i].is_usable && r->rules[i].lot == lot) return true;
    return false;
}

static bool line_brings(struct retry *r, const struct hold_line *line, int64_t at_ms, bool takes)
{
    bool brings = false;
    const int64_t units =
        line->line.kind == SOURCE_OVERAGE ? line->line.charged : (int64_t)line->line.units;
    for (uint32_t i = 0; i < line->window_count; i++)
        brings |= window_gains(r, &line->windows[i], units, at_ms, takes);
    for (uint32_t i = 0; i < line->budget_count; i++)
        brings |= window_gains(r, &line->budgets[i], line->line.charged, at_ms, takes);
    if (line->line.kind != SOURCE_GRANTS || r->categories == 0) return brings;
    const uint32_t number = grant_find(r->c->engine, line->line.grant_id);
    if (number == 0) return brings;
    const struct grant *grant = grant_at(r->c->engine, number);
    if (at_ms >= grant->expires_ms) return brings;
    if (!grant_is_usable(r, grant)) return brings || rolls_over(r, grant->id);
    if (takes) {
        const uint32_t rule = rule_of(r, grant);
        credits_add(r, grant->category, line->line.charged);
        if (rule != RULE_NONE) lot_gains(&r->rules[rule], grant->id, line->line.charged);
    }
    return true;
}

/* Whether the end of a hold brings something; takes it into the forecast. */
static bool hold_brings(struct retry *r, const struct hold *hold, bool takes)
{
    bool brings = false;
    for (uint32_t i = 0; i < hold->concurrency_count; i++)
        brings |= watch_gains(r, hold->concurrency[i], 1, takes);
    for (uint32_t n = hold->lines_first; n != 0; n = hold_line_at(r->c->engine, n)->next)
        brings |= line_brings(r, hold_line_at(r->c->engine, n), hold->expires_ms, takes);
    return brings;
}

/* Moves on to the next open hold that brings something. */
static void hold_next(struct retry *r)
{
    const struct engine *engine = r->c->engine;
    do {
        r->hold = 0;
        if (r->owner.customer == 0 || r->hold_ms >= r->horizon_ms) return;
        r->hold = holds_after(engine, r->owner.customer, r->hold_ms, r->hold_id);
        if (r->hold == 0) return;
        const struct hold *hold = hold_at(engine, r->hold);
        r->hold_ms = hold->expires_ms;
        r->hold_id = hold->id;
        r->lines += 1 + hold->line_count;
        if (r->lines <= RETRY_LINES_MAX) continue;
        leave_out_from(r, hold->expires_ms);
        r->hold = 0;
        return;
    } while (!hold_brings(r, hold_at(engine, r->hold), false));
}

/* The forecast moves on. */

/* False: more facts than are applied; whatever they bring is left out. */
static bool will_happen(struct retry *r, struct due due)
{
    if (due.at_ms >= r->horizon_ms) return false;
    if (r->only_forecasts) return true;
    if (r->facts + r->due_count == RETRY_FACTS_MAX) {
        leave_out_from(r, due.at_ms);
        return false;
    }
    r->due[r->due_count++] = due;
    return true;
}

static void credits_lapse(struct retry *r, const struct event *event)
{
    r->credits[event->category] -= event->nano;
    if (event->rule != RULE_NONE) r->rules[event->rule].live_nano -= event->nano;
}

static void forecast_renewal(struct retry *r, const struct event *event)
{
    if (!will_happen(r, (struct due){event->at_ms, DUE_RENEWAL, event->id})) return;
    const struct recurring_rule *rule = &r->view.plan->recurring[event->rule];
    struct prospect *prospect = &r->rules[event->rule];
    const int64_t rolled = rolled_nano(rule, prospect->lot_nano);
    const int64_t gain = rule->nano + (prospect->is_counted ? 0 : rolled);
    struct event next = *event;
    next.at_ms = window_next_boundary(rule->period, event->at_ms, r->view.anchor_ms);
    event_add(r, &next);
    struct event expiry = *event;
    expiry.what = DUE_GRANT_EXPIRY;
    expiry.at_ms = rule->expires_ms != 0 ? event->at_ms + rule->expires_ms : next.at_ms;
    const bool is_renewed = expiry.at_ms >= next.at_ms; /* first, at the same time */
    prospect->lot = 0;
    prospect->lot_nano = is_renewed ? rule->nano + rolled : 0;
    prospect->is_counted = is_renewed && prospect->is_usable;
    if (!prospect->is_usable) return;
    credits_add(r, rule->category, gain);
    prospect->live_nano += gain;
    expiry.nano = rule->nano + rolled - rolled_nano(rule, prospect->lot_nano);
    event_add(r, &expiry);
}

static void forecast_event(struct retry *r, const struct event *event)
{
    switch (event->what) {
    case DUE_RENEWAL:
        forecast_renewal(r, event);
        return;
    case DUE_GRANT_EXPIRY: /* no fact is needed: a lot that is over pays for nothing */
        credits_lapse(r, event);
        return;
    case DUE_GRANT_EFFECTIVE:
        if (will_happen(r, (struct due){event->at_ms, DUE_GRANT_EFFECTIVE, event->id}))
            credits_add(r, event->category, event->nano);
        return;
    case DUE_HOLD_EXPIRY:
        break;
    }
    ENSURE(false);
}

/* All that happens up to now_ms, in the order in which it falls due. */
static void forecast_through(struct retry *r, int64_t now_ms)
{
    for (;;) {
        const int64_t event_ms = r->event_count == 0 ? INSTANT_NEVER : r->events[1].at_ms;
        if (r->hold != 0 && r->hold_ms <= event_ms && r->hold_ms <= now_ms) {
            if (will_happen(r, (struct due){r->hold_ms, DUE_HOLD_EXPIRY, r->hold_id}))
                (void)hold_brings(r, hold_at(r->c->engine, r->hold), true);
            hold_next(r);
            continue;
        }
        if (event_ms > now_ms) return;
        const struct event event = event_take(r);
        forecast_event(r, &event);
    }
}

static void price_then(struct retry *r)
{
    r->is_void = false;
    r->priced_ms = INSTANT_NEVER;
    if (r->ask.priced_by == NULL) return;
    r->is_void = measure_price(r->c->command, r->now_ms, &r->ask).code != PROBLEM_NONE;
    r->priced_ms = price_changes_at(r->ask.priced_by, r->c->command, r->now_ms);
}

static void forecast_to(struct retry *r, int64_t now_ms)
{
    forecast_through(r, now_ms);
    r->now_ms = now_ms;
    if (now_ms >= r->priced_ms) price_then(r);
    if (now_ms >= r->read->changes_at_ms) read_counters(r);
}

static int64_t next_moment(const struct retry *r)
{
    if (r->now_ms < r->paced_ms) return r->paced_ms;
    int64_t next_ms = r->read->changes_at_ms;
    if (r->priced_ms < next_ms) next_ms = r->priced_ms;
    if (r->hold != 0 && r->hold_ms < next_ms) next_ms = r->hold_ms;
    if (r->event_count != 0 && r->events[1].at_ms < next_ms) next_ms = r->events[1].at_ms;
    return next_ms;
}

static bool forecast_passes(const struct retry *r)
{
    return ladder_could_pass(&r->view, r->terms, &r->ask, r->read, r->credits);
}

/* Proofs. */

static bool passes_at_some_price(struct retry *r)
{
    const struct ask ask = r->ask;
    const int64_t now_ms = r->now_ms;
    const int64_t priced_ms = r->priced_ms;
    bool passes = forecast_passes(r);
    while (!passes && r->priced_ms != INSTANT_NEVER) {
        r->now_ms = r->priced_ms;
        price_then(r);
        passes = !r->is_void && forecast_passes(r);
    }
    r->ask = ask;
    r->is_void = false;
    r->priced_ms = priced_ms;
    r->now_ms = now_ms;
    return passes;
}

/* Nothing that time can bring would be enough, even if all of it came together. */
static bool is_hopeless(struct retry *r)
{
    const struct engine *engine = r->c->engine;
    int64_t credits[CATEGORY_PAID + 1];
    for (uint32_t i = 0; i <= CATEGORY_PAID; i++)
        credits[i] = r->credits[i];
    for (uint32_t n = r->owner.customer == 0 ? 0 : r->view.block->grants; n != 0;
         n = grant_at(engine, n)->next) {
        const struct grant *grant = grant_at(engine, n);
        if (!grant_is_usable(r, grant)) continue;
        credits_add(r, grant->category, grant->held);
        if (grant->state == GRANT_PENDING) credits_add(r, grant->category, grant->amount);
    }
    for (uint32_t i = 0; i < RECURRING_MAX; i++)
        if (r->rules[i].is_usable)
            credits_add(r, r->view.plan->recurring[i].category,
                        rule_nano_max(&r->view.plan->recurring[i], true));
    for (uint32_t i = 0; i < r->watch_count; i++)
        *r->watches[i].used = 0;
    const bool passes = passes_at_some_price(r);
    for (uint32_t i = 0; i <= CATEGORY_PAID; i++)
        r->credits[i] = credits[i];
    read_counters(r);
    return !passes;
}

/* Only renewals lie ahead, for ever, and no number of them is enough. */
static bool is_hopeless_from_here(struct retry *r)
{
    if (r->is_quiet || r->hold != 0 || r->read->changes_at_ms != INSTANT_NEVER ||
        r->priced_ms != INSTANT_NEVER || r->now_ms < r->lots_ms)
        return false;
    for (uint32_t i = 1; i <= r->event_count; i++)
        if (r->events[i].what == DUE_GRANT_EFFECTIVE) return false;
    r->is_quiet = true;
    int64_t credits[CATEGORY_PAID + 1];
    for (uint32_t i = 0; i <= CATEGORY_PAID; i++)
        credits[i] = r->credits[i];
    for (uint32_t i = 0; i < RECURRING_MAX; i++) {
        if (!r->rules[i].is_usable) continue;
        const struct recurring_rule *rule = &r->view.plan->recurring[i];
        r->credits[rule->category] -= r->rules[i].live_nano;
        credits_add(r, rule->category, rule_nano_max(rule, false));
    }
    const bool passes = forecast_passes(r);
    for (uint32_t i = 0; i <= CATEGORY_PAID; i++)
        r->credits[i] = credits[i];
    return !passes;
}

/* Trials. */

/* A lot that is over before the next renewal passes nothing on. */
static bool apply_expiry_before(struct retry *r, struct due renewal)
{
    struct engine *engine = r->c->engine;
    const struct slot_name name = {0, slot_id_renewal((uint32_t)renewal.id)};
    const uint32_t slot = slot_find(engine, r->owner.customer, name);
    const uint32_t number =
        slot == 0 ? 0 : grant_find(engine, slot_at(engine, slot)->renewal.grant);
    if (number == 0) return true;
    const struct grant *lot = grant_at(engine, number);
    if (lot->state != GRANT_LIVE || lot->expires_ms >= renewal.at_ms) return true;
    return due_apply_trial(engine, r->c->policy, r->owner,
                           (struct due){lot->expires_ms, DUE_GRANT_EXPIRY, lot->id});
}

/* Applies what the forecast had happen before at_ms. */
static void apply_before(struct retry *r, int64_t at_ms)
{
    uint32_t done = 0;
    for (; done < r->due_count && r->due[done].at_ms < at_ms; done++) {
        const struct due due = r->due[done];
        if (due.what == DUE_RENEWAL && !apply_expiry_before(r, due)) break;
        if (!due_apply_trial(r->c->engine, r->c->policy, r->owner, due)) break;
    }
    if (done < r->due_count && r->due[done].at_ms < at_ms) { /* a trial has no room for more */
        leave_out_from(r, r->due[done].at_ms);
        r->due_count = done;
    }
    r->facts += done;
    for (uint32_t i = done; i < r->due_count; i++)
        r->due[i - done] = r->due[i];
    r->due_count -= done;
}

static void look(struct retry *r, int64_t now_ms)
{
    struct engine *engine = r->c->engine;
    fact_clear(engine->scratch, (struct stamp){.now_ms = now_ms});
    view_open(&r->view, engine, r->c->policy, r->owner, now_ms, engine->scratch);
    view_levels(&r->view, r->levels, r->level_count);
}

static void ask_again(struct retry *r, int64_t now_ms, struct evaluation *out)
{
    apply_before(r, now_ms + 1);
    look(r, now_ms);
    ladder_evaluate(&r->view, r->terms, &r->ask, out);
}

/* The window named is the one that binds then. */
static void name_limit(const struct evaluation *last, struct evaluation *named)
{
    if (last->reason != named->reason || last->reason != REASON_ALLOWANCE_EXHAUSTED) return;
    named->limit = last->limit;
    named->scope = last->scope;
    named->resets_at_ms = last->resets_at_ms;
}

/* Whether it passes at now_ms; then nothing before did. */
static bool passes_now(struct retry *r, bool is_first, struct evaluation *named)
{
    struct evaluation last;
    if (!is_first && named->reason == REASON_ALLOWANCE_EXHAUSTED && r->tried_ms < r->now_ms - 1) {
        ask_again(r, r->now_ms - 1, &last);
        name_limit(&last, named);
    }
    ask_again(r, r->now_ms, &last);
    r->tried_ms = r->now_ms;
    r->trials++;
    if (last.reason == REASON_OK) {
        named->resets_at_ms = r->now_ms;
        return true;
    }
    name_limit(&last, named);
    survey(r);
    read_counters(r);
    return false;
}

static void begin(struct retry *r, int64_t from_ms)
{
    r->now_ms = from_ms;
    r->horizon_ms = INSTANT_NEVER;
    r->moments = r->lines = r->due_count = 0;
    r->hold_ms = from_ms;
    r->hold_id = UINT64_MAX;
    look(r, from_ms);
    price_then(r);
    survey(r);
    read_counters(r);
}

/* The search is undecided from a moment on: what the forecast alone says of all that follows. The
 * moment before which it is proven that nothing passes; -1: never. */
static int64_t look_again_at(struct retry *r, int64_t from_ms, int64_t until_ms)
{
    const int64_t undecided_ms = r->horizon_ms;
    r->only_forecasts = true;
    r->paced_ms = undecided_ms;
    begin(r, from_ms);
    hold_next(r);
    for (;;) {
        const int64_t next_ms = next_moment(r);
        if (next_ms >= until_ms && r->horizon_ms >= until_ms) return -1;
        if (next_ms < until_ms) forecast_to(r, next_ms);
        if (r->horizon_ms <= next_ms)
            return r->horizon_ms < undecided_ms ? undecided_ms : r->horizon_ms;
        if (r->horizon_ms >= until_ms && is_hopeless_from_here(r)) return -1;
        if ((!r->is_void && forecast_passes(r)) || r->moments++ == RETRY_MOMENTS_MAX)
            return next_ms;
    }
}

/* -1: never. */
static int64_t search(struct retry *r, int64_t until_ms, struct evaluation *named)
{
    const int64_t from_ms = r->now_ms;
    bool is_first = true;
    for (;; is_first = false) {
        int64_t next_ms = next_moment(r);
        if (r->moments++ == RETRY_MOMENTS_MAX || r->trials == RETRY_TRIALS_MAX) {
            leave_out_from(r, next_ms);
            next_ms = INSTANT_NEVER;
        }
        if (next_ms < until_ms) forecast_to(r, next_ms);
        if (next_ms >= until_ms || is_hopeless_from_here(r)) break;
        if (!r->is_void && forecast_passes(r) && passes_now(r, is_first, named))
            return r->now_ms - from_ms;
    }
    if (r->horizon_ms >= until_ms) return -1;
    const int64_t at_ms = look_again_at(r, from_ms, until_ms);
    return at_ms < 0 ? -1 : at_ms - from_ms;
}

/* False: some rate gate never has that many tokens in time. */
static bool retry_open(struct retry *r, const struct decision_context *c, const struct ask *ask,
                       const uint64_t *levels, uint32_t level_count)
{
    r->c = c;
    r->levels = levels;
    r->level_count = level_count;
    r->ask = *ask;
    r->owner = owner_of_id(c->engine, c->fact->customer);
    r->now_ms = r->from_ms = r->tried_ms = c->stamp.now_ms;
    look(r, r->now_ms);
    r->terms = current_terms(&r->view, ask);
    r->categories = ladder_categories(&r->view, r->terms, ask);
    r->paced_ms = ladder_paced_at(&r->view, r->terms, ask, r->read);
    if (r->paced_ms >= until_of(ask)) return false;
    ladder_read(&r->view, r->terms, ask, r->read);
    watch_all(r);
    begin(r, r->now_ms);
    return true;
}

static int64_t retry_in_trial(const struct decision_context *c, const struct ask *ask,
                              const uint64_t *levels, uint32_t level_count,
                              struct evaluation *evaluation)
{
    struct evaluation read;
    struct event events[RETRY_EVENTS_MAX + 1];
    struct due due[RETRY_FACTS_MAX];
    struct retry r = {.read = &read, .events = events, .due = due};
    if (!retry_open(&r, c, ask, levels, level_count) || is_hopeless(&r)) return -1;
    hold_next(&r);
    return search(&r, until_of(ask), evaluation);
}

/* Whether the least that can be asked for is not hopeless, at the price of now. */
static bool less_may_pass(const struct decision_context *c, const struct ask *ask,
                          const uint64_t *levels, uint32_t level_count)
{
    struct evaluation read;
    struct event events[RETRY_EVENTS_MAX + 1];
    struct retry r = {.read = &read, .events = events};
    struct ask less = *ask;
    if (ask->units <= 1) return false;
    less.units = 1;
    less.min_units = 0;
    less.priced_by = NULL;
    for (uint32_t i = 0; i < less.meter_count; i++)
        if (less.quantities[i] > 1) less.quantities[i] = 1;
    return retry_open(&r, c, &less, levels, level_count) && !is_hopeless(&r);
}

/* Whoever is no customer yet becomes one when he is let in, with his recurring grants as they are
 * then: of what time brings to customers nothing comes to him. Another price may help. */
static int64_t retry_outside(const struct decision_context *c, const struct ask *ask,
                             const uint64_t *levels, uint32_t level_count,
                             struct evaluation *evaluation)
{
    struct engine *engine = c->engine;
    struct evaluation last = {.reason = evaluation->reason};
    struct retry r = {.c = c,
                      .levels = levels,
                      .level_count = level_count,
                      .ask = *ask,
                      .now_ms = c->stamp.now_ms};
    price_then(&r);
    while (last.reason != REASON_OK && r.priced_ms != INSTANT_NEVER) {
        r.now_ms = r.priced_ms;
        if (r.trials++ == RETRY_TRIALS_MAX) return r.now_ms - c->stamp.now_ms;
        price_then(&r);
        if (r.is_void) continue;
        trial_begin(engine);
        (void)due_settle_trial(engine, c->policy, c->fact->customer, r.now_ms, RECURRING_MAX);
        r.owner = owner_of_id(engine, c->fact->customer);
        look(&r, r.now_ms);
        ladder_evaluate(&r.view, current_terms(&r.view, &r.ask), &r.ask, &last);
        trial_end(engine);
    }
    if (last.reason != REASON_OK) return -1;
    evaluation->resets_at_ms = r.now_ms;
    return r.now_ms - c->stamp.now_ms;
}

/* In a trial, or in none. */
static int64_t retry_any(const struct decision_context *c, const struct ask *ask,
                         const uint64_t *levels, uint32_t level_count,
                         struct evaluation *evaluation)
{
    struct engine *engine = c->engine;
    const bool is_nested = engine->trial.is_running; /* a check is a trial already */
    int64_t wait_ms = 0;
    if (c->is_outside) {
        if (is_nested) trial_end(engine);
        wait_ms = retry_outside(c, ask, levels, level_count, evaluation);
        if (!is_nested) return wait_ms;
        trial_begin(engine);
        (void)due_settle_trial(engine, c->policy, c->fact->customer, c->stamp.now_ms,
                               RECURRING_MAX);
        return wait_ms;
    }
    if (!is_nested) trial_begin(engine);
    engine->trial.forgets_due = true;
    wait_ms = retry_in_trial(c, ask, levels, level_count, evaluation);
    engine->trial.forgets_due = false;
    if (!is_nested) trial_end(engine);
    return wait_ms;
}

int64_t retry_search(const struct decision_context *c, const struct ask *ask,
                     const uint64_t *levels, uint32_t level_count, struct evaluation *evaluation)
{
    const int64_t wait_ms = retry_any(c, ask, levels, level_count, evaluation);
    if (wait_ms < 0) { /* waiting does not help: less at once may, or another plan */
        evaluation->resets_at_ms = 0;
        if (evaluation->remedy == REMEDY_WAIT &&
            evaluation->reason != REASON_TEMPORARY_REDUCED_CAPACITY)
            evaluation->remedy = less_may_pass(c, ask, levels, level_count) ? REMEDY_SPLIT_REQUEST
                                                                            : REMEDY_UPGRADE_PLAN;
    }
    return wait_ms;
}
