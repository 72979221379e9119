/*
 * due.c: what time itself brings: holds expire, recurring grants renew, grants expire and become
 * effective. Each is a fact of its own, acting as at its due time (SEMANTICS T2).
 */
#include "engine/decide.h"

#include <string.h>

/* Ordered by (due time; hold expiry, renewal, grant expiry, grant effective; id). */
static bool due_is_sooner(struct due left, struct due right)
{
    if (left.at_ms != right.at_ms) return left.at_ms < right.at_ms;
    if (left.what != right.what) return left.what < right.what;
    return left.id < right.id;
}

static void due_consider(struct due *first, struct due other)
{
    if (due_is_sooner(other, *first)) *first = other;
}

static const struct renewal_slot *renewal_of(const struct engine *engine, uint32_t customer,
                                             uint32_t name)
{
    const uint32_t n = slot_find(engine, customer, (struct slot_name){0, slot_id_renewal(name)});
    return n == 0 ? NULL : &slot_at(engine, n)->renewal;
}

/* Recurring grants of the plan that this customer has not been given yet start now. */
static void consider_new_recurring(const struct engine *engine, const struct plan *plan,
                                   uint32_t customer, int64_t now_ms, struct due *first)
{
    for (uint32_t i = 0; plan != NULL && i < plan->recurring_count; i++) {
        const uint32_t name = plan->recurring[i].name;
        if (customer == 0 || renewal_of(engine, customer, name) == NULL)
            due_consider(first, (struct due){now_ms, DUE_RENEWAL, name});
    }
}

static struct due due_first(const struct engine *engine, const struct policy *policy,
                            uint32_t number, int64_t now_ms)
{
    struct due first = {.at_ms = INSTANT_NEVER};
    if (number == 0) {
        const struct plan *plan = policy_plan_of(policy, policy->default_plan);
        consider_new_recurring(engine, plan, 0, now_ms, &first);
        return first;
    }
    const struct customer *customer = customer_at(engine, number);
    consider_new_recurring(engine, policy_plan_of(policy, customer->plan), number, now_ms, &first);
    if (customer->next_due_ms > now_ms) return first;
    const uint32_t hold = holds_first(engine, number);
    if (hold != 0)
        due_consider(&first, (struct due){hold_at(engine, hold)->expires_ms, DUE_HOLD_EXPIRY,
                                          hold_at(engine, hold)->id});
    for (uint32_t n = customer->slots; n != 0; n = slot_at(engine, n)->next) {
        const struct slot *slot = slot_at(engine, n);
        if (slot->kind == SLOT_RENEWAL)
            due_consider(&first,
                         (struct due){slot->renewal.next_ms, DUE_RENEWAL, slot_id_name(slot->id)});
    }
    for (uint32_t n = customer->grants; n != 0; n = grant_at(engine, n)->next) {
        const struct grant *grant = grant_at(engine, n);
        if (grant->state == GRANT_PENDING)
            due_consider(&first, (struct due){grant->effective_ms, DUE_GRANT_EFFECTIVE, grant->id});
        if (grant->state == GRANT_LIVE || grant->state == GRANT_VOIDED)
            due_consider(&first, (struct due){grant->expires_ms, DUE_GRANT_EXPIRY, grant->id});
    }
    return first;
}

static void draft_hold_expiry(struct view *view, uint64_t id)
{
    const struct hold *hold = hold_at(view->engine, hold_find(view->engine, id));
    struct cut cuts[HOLD_LINES_MAX];
    memset(cuts, 0, hold->line_count * sizeof cuts[0]);
    struct effect ended = {.kind = EFFECT_ENDED};
    memset(&ended.ended, 0, sizeof ended.ended);
    ended.ended.id = id;
    draw_end_hold(view, hold, cuts, &ended, HOLD_EXPIRED);
    view->fact->report.id = id;
    view->fact->report.hold = HOLD_EXPIRED;
}

static const struct recurring_rule *recurring_named(const struct plan *plan, uint32_t name)
{
    for (uint32_t i = 0; plan != NULL && i < plan->recurring_count; i++)
        if (plan->recurring[i].name == name) return &plan->recurring[i];
    return NULL;
}

/* What the old lot passes on; the rest of it expires by itself. */
static int64_t draft_rollover(struct view *view, const struct recurring_rule *rule,
                              uint64_t old_grant)
{
    const uint32_t number = old_grant == 0 ? 0 : grant_find(view->engine, old_grant);
    if (number == 0 || rule->rollover_nano_max == 0) return 0;
    const struct grant *grant = grant_at(view->engine, number);
    if (grant->state != GRANT_LIVE) return 0;
    const int64_t rolled =
        grant->remaining < rule->rollover_nano_max ? grant->remaining : rule->rollover_nano_max;
    view_lot_move(view, old_grant, LOT_ROLLOVER, -rolled, 0);
    return rolled;
}

static void draft_renewal(struct view *view, uint32_t name, uint64_t grant_id)
{
    struct effect *renewal;
    const struct recurring_rule *rule = recurring_named(view->plan, name);
    if (rule == NULL) { /* the plan no longer gives it */
        renewal = view_effect(view, EFFECT_RENEWAL);
        memset(&renewal->renewal, 0, sizeof renewal->renewal);
        renewal->renewal.name = name;
        return;
    }
    const struct renewal_slot *old = renewal_of(view->engine, view->customer, name);
    if (view->customer == 0) view_found_customer(view);
    const int64_t rolled = old == NULL ? 0 : draft_rollover(view, rule, old->grant);
    const int64_t next_ms = window_next_boundary(rule->period, view->now_ms, view->anchor_ms);
    const int64_t amount = rule->nano + rolled;
    struct effect *grant = view_effect(view, EFFECT_GRANT);
    grant->grant.id = grant_id;
    grant->grant.category = rule->category;
    grant->grant.priority = rule->priority;
    grant->grant.amount = amount;
    grant->grant.effective_ms = view->now_ms;
    grant->grant.expires_ms = rule->expires_ms == 0 ? next_ms : view->now_ms + rule->expires_ms;
    grant->grant.recurring = name;
    grant->grant.feature_count = rule->feature_count;
    for (uint32_t i = 0; i < GRANT_FEATURES_MAX; i++)
        grant->grant.features[i] = i < rule->feature_count ? rule->features[i] : SYMBOL_NONE;
    grant_enter(view, grant_id, rule->category, amount);
    renewal = view_effect(view, EFFECT_RENEWAL);
    renewal->renewal.name = name;
    renewal->renewal.next_ms = next_ms;
    renewal->renewal.grant_id = grant_id;
    view->fact->report.id = grant_id;
    view->fact->report.nano = amount;
    view->fact->report.category = rule->category;
}

static void draft_grant_expiry(struct view *view, uint64_t id)
{
    const struct grant *grant = grant_at(view->engine, grant_find(view->engine, id));
    view_lot_move(view, id, LOT_EXPIRE, -grant->remaining, 0);
    struct effect *state = view_effect(view, EFFECT_GRANT_STATE);
    state->grant_state.id = id;
    state->grant_state.after = GRANT_EXPIRED;
    view->fact->report.id = id;
    view->fact->report.nano = grant->remaining;
}

static void draft_grant_effective(struct view *view, uint64_t id)
{
    const struct grant *grant = grant_at(view->engine, grant_find(view->engine, id));
    grant_enter(view, id, (enum category)grant->category, grant->amount);
    view->fact->report.id = id;
    view->fact->report.nano = grant->amount;
}

static void draft(struct view *view, struct due due, uint64_t position)
{
    view->fact->report.kind = COMMAND_DUE;
    switch (due.what) {
    case DUE_HOLD_EXPIRY:
        draft_hold_expiry(view, due.id);
        return;
    case DUE_RENEWAL:
        draft_renewal(view, (uint32_t)due.id, position);
        return;
    case DUE_GRANT_EXPIRY:
        draft_grant_expiry(view, due.id);
        return;
    case DUE_GRANT_EFFECTIVE:
        draft_grant_effective(view, due.id);
        return;
    }
    ENSURE(false);
}

bool due_draft(struct engine *engine, const struct policy *policy, struct owner owner,
               struct stamp stamp, struct command *command_out, struct fact *fact_out)
{
    const struct due due = due_first(engine, policy, owner.customer, stamp.now_ms);
    if (due.at_ms > stamp.now_ms) return false;
    fact_clear(fact_out, stamp);
    struct view view;
    view_open(&view, engine, policy, owner, due.at_ms, fact_out);
    draft(&view, due, stamp.position);
    if (!engine_has_room_for(engine, fact_out)) return false;
    memset(command_out, 0, sizeof *command_out);
    command_out->kind = COMMAND_DUE;
    command_out->owner = owner.id;
    command_out->due_ms = due.at_ms;
    command_out->due_what = due.what;
    command_out->due_id = due.id;
    return true;
}

bool due_apply_trial(struct engine *engine, const struct policy *policy, struct owner owner,
                     struct due due)
{
    ENSURE(engine->trial.is_running);
    if (!trial_has_room(engine)) return false;
    const struct stamp stamp = {.now_ms = due.at_ms, .position = trial_id(engine)};
    struct view view;
    fact_clear(engine->scratch, stamp);
    view_open(&view, engine, policy, owner, due.at_ms, engine->scratch);
    draft(&view, due, stamp.position);
    if (!engine_has_room_for(engine, engine->scratch)) return false;
    engine_apply(engine, engine->scratch);
    return true;
}

uint32_t due_settle_trial(struct engine *engine, const struct policy *policy, struct hash128 id,
                          int64_t now_ms, uint32_t facts_max)
{
    ENSURE(engine->trial.is_running);
    uint32_t facts = 0;
    struct stamp stamp = {.now_ms = now_ms, .position = trial_id(engine)};
    while (facts < facts_max && trial_has_room(engine) &&
           due_draft(engine, policy, owner_of_id(engine, id), stamp, engine->scratch_command,
                     engine->scratch)) {
        engine_apply(engine, engine->scratch);
        stamp.position = trial_id(engine);
        facts++;
    }
    return facts;
}
