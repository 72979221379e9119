/*
 * admin.c: what operators do: customers, grants, voids, resets, refunds, policies. The same path as
 * decisions: a draft of effects, or a problem that names the field.
 */
#include "engine/decide.h"

#include <string.h>

/* Customers. */

/* Which limit an override means: kind and unit must fit, and so must the place. */
struct limit_found {
    bool found;
    bool kind_fits;
    bool place_fits;
};

static void look_at_limit(const struct policy *policy, const struct plan_feature *terms,
                          const struct override *override, uint32_t name, struct limit_found *found)
{
    const bool unit_is_cost = policy->features[terms->feature].unit == UNIT_COST;
    for (uint32_t i = 0; i < terms->gate_count; i++) {
        if (terms->gates[i].name != name) continue;
        found->found = true;
        if ((terms->gates[i].kind == GATE_BUDGET) == override->is_credits) found->kind_fits = true;
        if (override->place == 0) found->place_fits = true;
    }
    for (uint32_t i = 0; i < terms->source_count; i++) {
        const struct source_rule *source = &terms->sources[i];
        if (source->name != name || source->window_count == 0) continue;
        const bool is_credits = source->kind == SOURCE_OVERAGE || unit_is_cost;
        found->found = true;
        if (is_credits == override->is_credits) found->kind_fits = true;
        if (override->place < source->window_count) found->place_fits = true;
    }
}

static const char limit_expected[] = "the name of a limit in some plan";

static struct problem override_problem(const struct override *override, enum problem_code code,
                                       struct bytes value, const char *expected)
{
    return (struct problem){.code = code,
                            .field = override->field,
                            .member = override->member,
                            .value = value,
                            .expected = expected};
}

static struct problem find_limit(const struct decision_context *c, const struct override *override,
                                 uint32_t name, uint32_t feature)
{
    struct limit_found found = {0};
    for (uint32_t p = 0; p < c->policy->plan_count; p++) {
        const struct plan *plan = &c->policy->plans[p];
        for (uint32_t f = 0; f < plan->feature_count; f++) {
            const struct plan_feature *terms = &plan->features[f];
            if (feature != SYMBOL_NONE && c->policy->features[terms->feature].name != feature)
                continue;
            look_at_limit(c->policy, terms, override, name, &found);
        }
    }
    if (!found.found)
        return override_problem(override, PROBLEM_UNKNOWN_LIMIT, BYTES_NONE, limit_expected);
    if (!found.place_fits)
        return override_problem(override, PROBLEM_INVALID_VALUE, BYTES_NONE,
                                "no more values than the limit has windows");
    if (!found.kind_fits && !override->removed)
        return override_problem(override, PROBLEM_INVALID_VALUE, BYTES_NONE,
                                "credits as a string for money, an integer for counts");
    return (struct problem){0};
}

/* Taking back the first window's takes back all, and `limits` takes back credits as well. */
static void draft_override(struct view *view, const struct override *override, uint32_t name,
                           uint32_t feature)
{
    const bool is_whole = override->removed && override->place == 0;
    const uint32_t places = is_whole ? WINDOWS_MAX : 1;
    const unsigned kinds = override->removed ? 2 : 1;
    for (uint32_t i = 0; i < places * kinds; i++) {
        const bool is_credits = override->removed ? i % 2 == 1 : override->is_credits;
        struct effect *effect = view_effect(view, EFFECT_OVERRIDE);
        effect->override.id =
            slot_id_override(feature, name, override->place + i / kinds, is_credits);
        effect->override.removed = override->removed;
        effect->override.value = override->removed ? 0 : override->value;
    }
}

static struct problem draft_overrides(struct view *view, const struct decision_context *c)
{
    for (uint32_t i = 0; i < c->command->override_count; i++) {
        const struct override *override = &c->command->overrides[i];
        const uint32_t name = symbol_find(c->engine, override->name);
        const uint32_t feature =
            override->feature.length == 0 ? SYMBOL_NONE : symbol_find(c->engine, override->feature);
        if (override->feature.length != 0 && feature == SYMBOL_NONE)
            return override_problem(override, PROBLEM_UNKNOWN_FEATURE, override->feature,
                                    "a feature of the policy");
        const struct problem problem =
            name == SYMBOL_NONE
                ? override_problem(override, PROBLEM_UNKNOWN_LIMIT, BYTES_NONE, limit_expected)
                : find_limit(c, override, name, feature);
        if (problem.code != PROBLEM_NONE) return problem;
        draft_override(view, override, name, feature);
    }
    return (struct problem){0};
}

static void draft_setting(struct view *view, enum setting which, uint64_t scope, int64_t before,
                          int64_t after)
{
    if (before == after) return;
    struct effect *effect = view_effect(view, EFFECT_SETTING);
    effect->setting.which = which;
    effect->setting.scope = scope;
    effect->setting.before = before;
    effect->setting.after = after;
}

static void draft_suspensions(struct view *view, const struct decision_context *c)
{
    const struct command *command = c->command;
    const struct customer *customer = customer_at(c->engine, view->customer);
    const bool suspended = view->customer != 0 && customer->suspended;
    if (command->suspended != BOOL_UNSAID)
        draft_setting(view, SETTING_SUSPENDED, 0, suspended, command->suspended == BOOL_TRUE);
    for (uint32_t i = 0; i < command->suspension_count; i++) {
        const struct suspension *suspension = &command->suspensions[i];
        if (suspension->is_standing) continue;
        draft_setting(view, SETTING_SUSPENDED, scope_hash(c->engine, suspension->subject),
                      !suspension->suspended, suspension->suspended);
    }
}

static void draft_standings(struct view *view, const struct decision_context *c)
{
    const struct command *command = c->command;
    if (command->has_standing)
        draft_setting(view, SETTING_STANDING, 0, view->block->standing, command->standing);
    for (uint32_t i = 0; i < command->suspension_count; i++) {
        const struct suspension *said = &command->suspensions[i];
        if (!said->is_standing) continue;
        const uint64_t hash = scope_hash(c->engine, said->subject);
        const uint32_t scope =
            view->customer == 0 ? 0 : scope_find(c->engine, view->customer, hash);
        const enum standing before =
            scope == 0 ? STANDING_NORMAL : (enum standing)scope_at(c->engine, scope)->standing;
        draft_setting(view, SETTING_STANDING, hash, before, said->standing);
    }
}

struct ruling decide_customer(const struct decision_context *c)
{
    const struct command *command = c->command;
    const struct symbols symbols = engine_symbols(c->engine);
    struct view view;
    view_open(&view, c->engine, c->policy, c->owner, c->stamp.now_ms, c->fact);
    const struct plan *plan = view.plan;
    if (command->plan.length != 0) {
        plan = policy_plan_named(c->policy, &symbols, command->plan);
        if (plan == NULL)
            return ruling_problem(PROBLEM_UNKNOWN_PLAN, "plan", command->plan,
                                  "a plan of the policy");
    }
    if (view.customer == 0 && plan == NULL)
        return ruling_problem(PROBLEM_MISSING_FIELD, "plan", BYTES_NONE,
                              "a plan, as the policy has no default");
    const struct customer *customer = customer_at(c->engine, view.customer);
    const bool exists = view.customer != 0;
    if (!exists) view_effect(&view, EFFECT_CUSTOMER)->customer.created_ms = view.now_ms;
    if (plan != NULL)
        draft_setting(&view, SETTING_PLAN, 0, exists ? customer->plan : SYMBOL_NONE, plan->name);
    if (command->credit_mode != CREDIT_UNSAID)
        draft_setting(&view, SETTING_MODE, 0, exists ? customer->mode : CREDIT_AUTO,
                      command->credit_mode);
    if (command->has_anchor || command->anchor_removed)
        draft_setting(&view, SETTING_ANCHOR, 0,
                      exists && customer->has_anchor ? customer->anchor_ms : ANCHOR_NONE,
                      command->has_anchor ? command->anchor_ms : ANCHOR_NONE);
    draft_suspensions(&view, c);
    draft_standings(&view, c);
    const struct problem problem = draft_overrides(&view, c);
    if (problem.code != PROBLEM_NONE)
        return (struct ruling){.kind = RULING_PROBLEM, .problem = problem};
    c->fact->report.kind = COMMAND_CUSTOMER;
    return ruling_fact();
}

/* Grants. */

void grant_enter(struct view *view, uint64_t id, enum category category, int64_t nano)
{
    struct effect *state = view_effect(view, EFFECT_GRANT_STATE);
    state->grant_state.id = id;
    state->grant_state.after = GRANT_LIVE;
    view_lot_move(view, id, LOT_ENTER, nano, 0);
    if (category != CATEGORY_PAID || view->debt == 0) return;
    const int64_t repaid = -view->debt < nano ? -view->debt : nano;
    view_lot_move(view, id, LOT_REPAY, -repaid, 0);
    view_debt_move(view, repaid);
}

struct ruling decide_grant(const struct decision_context *c)
{
    const struct command *command = c->command;
    struct view view;
    view_open(&view, c->engine, c->policy, c->owner, c->stamp.now_ms, c->fact);
    if (view.customer == 0 && c->policy->default_plan == SYMBOL_NONE)
        return ruling_problem(PROBLEM_UNKNOWN_CUSTOMER, "customer", command->customer,
                              "a customer that was created before");
    const int64_t effective_ms = command->has_effective && command->effective_ms > view.now_ms
                                     ? command->effective_ms
                                     : view.now_ms;
    if (command->has_expires && command->expires_ms <= effective_ms)
        return ruling_problem(PROBLEM_INVALID_VALUE, "expires_at", BYTES_NONE,
                              "a time after effective_at and after now");
    if (view.customer != 0 && customer_at(c->engine, view.customer)->grants_live >= GRANTS_LIVE_MAX)
        return ruling_problem(PROBLEM_TOO_MANY_GRANTS, "customer", command->customer,
                              "at most 255 live grants");
    const struct symbols symbols = engine_symbols(c->engine);
    uint32_t features[GRANT_FEATURES_MAX] = {0};
    for (uint32_t i = 0; i < command->grant_feature_count; i++) {
        const struct policy_feature *feature =
            policy_feature_named(c->policy, &symbols, command->grant_features[i]);
        if (feature == NULL)
            return ruling_problem(PROBLEM_UNKNOWN_FEATURE, "features", command->grant_features[i],
                                  "features of the policy");
        features[i] = feature->name;
    }
    if (view.customer == 0) view_found_customer(&view);
    struct effect *effect = view_effect(&view, EFFECT_GRANT);
    effect->grant.id = c->stamp.position;
    effect->grant.category = command->category;
    effect->grant.priority = command->grant_priority;
    effect->grant.amount = command->nano;
    effect->grant.effective_ms = effective_ms;
    effect->grant.expires_ms = command->has_expires ? command->expires_ms : INSTANT_NEVER;
    effect->grant.recurring = SYMBOL_NONE;
    effect->grant.feature_count = command->grant_feature_count;
    memcpy(effect->grant.features, features, sizeof features);
    if (effective_ms <= view.now_ms)
        grant_enter(&view, c->stamp.position, command->category, command->nano);

    struct report *report = &c->fact->report;
    report->kind = COMMAND_GRANT;
    report->id = c->stamp.position;
    report->nano = command->nano;
    report->category = command->category;
    report->grant_effective_ms = effective_ms;
    report->grant_expires_ms = command->has_expires ? command->expires_ms : 0;
    return ruling_fact();
}

struct ruling unknown_grant(void)
{
    return ruling_problem(PROBLEM_UNKNOWN_GRANT, NULL, BYTES_NONE, "the id of a grant");
}

/* A lot of which nothing is left: nothing is taken. */
static struct ruling void_gone(const struct decision_context *c, struct report *report)
{
    struct ruling ruling;
    const struct evidence *evidence = recall_whole(c, &ruling);
    if (evidence == NULL) return ruling;
    if (evidence->of != EVIDENCE_GRANT) return unknown_grant();
    report->category = evidence->category;
    return (struct ruling){.kind = RULING_ANSWER};
}

struct ruling decide_void(const struct decision_context *c)
{
    const uint32_t number = grant_find(c->engine, c->command->target);
    struct report *report = &c->fact->report;
    report->kind = COMMAND_VOID;
    report->id = c->command->target;
    if (number == 0) return void_gone(c, report);
    const struct grant *grant = grant_at(c->engine, number);
    report->category = (enum category)grant->category;
    if (grant->state == GRANT_VOIDED || grant->state == GRANT_EXPIRED)
        return (struct ruling){.kind = RULING_ANSWER};
    struct view view;
    view_open(&view, c->engine, c->policy, owner_of_customer(c->engine, grant->customer),
              c->stamp.now_ms, c->fact);
    report->nano = grant->state == GRANT_PENDING ? grant->amount : grant->remaining;
    struct effect *state = view_effect(&view, EFFECT_GRANT_STATE);
    state->grant_state.id = grant->id;
    state->grant_state.after = GRANT_VOIDED;
    view_lot_move(&view, grant->id, LOT_VOID, -grant->remaining, 0);
    return ruling_fact();
}

/* Goodwill resets: used to zero, start and end as they were (W6). */

static bool slot_is_of_limit(const struct slot *slot, uint32_t name, uint32_t feature)
{
    if (slot->id >> 62 != 0) return false; /* an override or a renewal */
    if (slot_id_name(slot->id) != name) return false;
    return feature == SYMBOL_NONE || slot_id_feature(slot->id) == feature;
}

static uint64_t reset_ring(struct view *view, struct slot_name slot, const struct slot *at)
{
    const struct ring *ring = slab_at(&view->engine->rings, at->sliding.ring);
    const int64_t per_ms = at->sliding.per_ms;
    if (sliding_used(ring, per_ms, view->now_ms) == 0) return 0;
    struct effect *effect = view_effect(view, EFFECT_SLIDING);
    effect->sliding.slot = slot;
    effect->sliding.per_ms = per_ms;
    effect->sliding.start_ms = ring->newest * sliding_resolution(per_ms);
    effect->sliding.delta = 0;
    effect->sliding.after = 0;
    effect->sliding.cleared = true;
    effect->sliding.generation = at->sliding.generation + 1;
    return 1;
}

static uint64_t reset_slots(struct view *view, uint64_t scope, uint32_t first, uint32_t name,
                            uint32_t feature)
{
    uint64_t count = 0;
    for (uint32_t n = first; n != 0; n = slot_at(view->engine, n)->next) {
        const struct slot *slot = slot_at(view->engine, n);
        if (!slot_is_of_limit(slot, name, feature)) continue;
        if (view->fact->effect_count + 1 == EFFECTS_MAX) {
            view->fact->is_out_of_range = true; /* naming one feature makes it fewer */
            return count;
        }
        const struct slot_name at = {scope, slot->id};
        if (slot->kind == SLOT_SLIDING) count += reset_ring(view, at, slot);
        if (slot->kind == SLOT_WINDOW && view->now_ms < slot->window.end_ms &&
            slot->window.used != 0) {
            struct effect *effect = view_effect(view, EFFECT_WINDOW);
            effect->window.slot = at;
            effect->window.end_ms = slot->window.end_ms;
            effect->window.generation = slot->window.generation + 1;
            effect->window.delta = -slot->window.used;
            effect->window.after = 0;
            count++;
        }
    }
    return count;
}

static bool limit_is_window(const struct policy *policy, uint32_t name)
{
    for (uint32_t p = 0; p < policy->plan_count; p++)
        for (uint32_t f = 0; f < policy->plans[p].feature_count; f++) {
            const struct plan_feature *terms = &policy->plans[p].features[f];
            for (uint32_t i = 0; i < terms->gate_count; i++)
                if (terms->gates[i].name == name && terms->gates[i].kind == GATE_BUDGET)
                    return true;
            for (uint32_t i = 0; i < terms->source_count; i++)
                if (terms->sources[i].name == name && terms->sources[i].window_count != 0)
                    return true;
        }
    return false;
}

struct ruling decide_reset(const struct decision_context *c)
{
    const struct command *command = c->command;
    struct view view;
    view_open(&view, c->engine, c->policy, c->owner, c->stamp.now_ms, c->fact);
    if (view.customer == 0)
        return ruling_problem(PROBLEM_UNKNOWN_CUSTOMER, "customer", command->customer,
                              "a customer that was created before");
    const uint32_t name = symbol_find(c->engine, command->limit);
    if (name == SYMBOL_NONE || !limit_is_window(c->policy, name))
        return ruling_problem(PROBLEM_UNKNOWN_LIMIT, "limit", command->limit,
                              "the name of an allowance, a budget or an overage");
    const struct symbols symbols = engine_symbols(c->engine);
    uint32_t feature = SYMBOL_NONE;
    if (command->feature.length != 0) {
        const struct policy_feature *found =
            policy_feature_named(c->policy, &symbols, command->feature);
        if (found == NULL)
            return ruling_problem(PROBLEM_UNKNOWN_FEATURE, "feature", command->feature,
                                  "a feature of the policy");
        feature = found->name;
    }
    view_subject(&view, command->subject);
    const struct customer *customer = customer_at(c->engine, view.customer);
    uint64_t count = reset_slots(&view, 0, customer->slots, name, feature);
    for (uint32_t level = 0; level < view.level_count; level++) {
        if (view.scopes[level] == 0) continue;
        const struct scope *scope = scope_at(c->engine, view.scopes[level]);
        count += reset_slots(&view, scope->hash, scope->slots, name, feature);
    }
    c->fact->report.kind = COMMAND_RESET;
    c->fact->report.limit = name;
    c->fact->report.count = count;
    return ruling_fact();
}

/* Refunds: back to the very grants that paid, in reverse burn order; the last paid first. */

struct refund {
    int64_t skip; /* given back by earlier refunds */
    int64_t left; /* of this one */
    int64_t expired;
};

static void refund_lines(struct view *view, const struct evidence *settled, struct refund *refund)
{
    for (uint32_t i = settled->line_count; i-- > 0 && refund->left != 0;) {
        const struct line *line = &settled->lines[i];
        const int64_t skipped = line->charged < refund->skip ? line->charged : refund->skip;
        refund->skip -= skipped;
        const int64_t open = line->charged - skipped;
        const int64_t back = open < refund->left ? open : refund->left;
        if (back == 0) continue;
        refund->left -= back;
        struct line *shown = &view->fact->report.lines[view->fact->report.line_count++];
        *shown = *line;
        shown->units = 0;
        shown->charged = back;
        if (line->kind != SOURCE_GRANTS) continue;
        view_lot_move(view, line->grant_id, LOT_REFUND, back, 0);
        refund->expired += view_lot_lapse(view, line->grant_id, back);
    }
}

/* The lines that were settled; NULL: the ruling says why not yet, or why never. */
static const struct evidence *refund_evidence(const struct decision_context *c,
                                              struct past *past_out, struct ruling *ruling_out)
{
    if (hold_find(c->engine, c->command->target) != 0) {
        *ruling_out =
            ruling_problem(PROBLEM_NOT_SETTLED, NULL, BYTES_NONE, "a decision that is settled");
        return NULL;
    }
    if (!recall_past(c, past_out, ruling_out)) return NULL;
    *ruling_out = recall_unknown(past_out, RECALL_EXPECTED_CHARGED);
    if (!past_out->is_known) return NULL;
    const enum hold_state state = past_out->ending.state;
    if (state == HOLD_RELEASED || state == HOLD_EXPIRED) {
        *ruling_out =
            ruling_problem(PROBLEM_REFUND_EXCEEDS, NULL, BYTES_NONE, "a decision that was charged");
        return NULL;
    }
    const struct evidence *evidence = recall_origin(c, past_out->ending.position, ruling_out);
    return evidence != NULL && evidence->has_lines ? evidence : NULL;
}

struct ruling decide_refund(const struct decision_context *c)
{
    struct past past;
    struct ruling ruling;
    const struct evidence *settled = refund_evidence(c, &past, &ruling);
    if (settled == NULL) return ruling;
    struct view view;
    view_open(&view, c->engine, c->policy, past.owner, c->stamp.now_ms, c->fact);
    const int64_t before = past.ending.refunded;
    const int64_t left = settled->charged - before;
    if (!c->command->all && c->command->nano > left)
        return ruling_problem(PROBLEM_REFUND_EXCEEDS, "credits", BYTES_NONE,
                              "at most what the decision was charged and has not got back");
    struct refund refund = {.skip = before, .left = c->command->all ? left : c->command->nano};
    const int64_t nano = refund.left;
    struct report *report = &c->fact->report;
    report->kind = COMMAND_REFUND;
    report->id = c->command->target;
    refund_lines(&view, settled, &refund);
    ENSURE(refund.left == 0);
    report->nano = nano;
    report->expired = refund.expired;
    report->total = before + nano;
    if (nano == 0) return ruling_fact();
    struct effect *effect = view_effect(&view, EFFECT_ENDED);
    effect->ended.id = c->command->target;
    effect->ended.state = past.ending.state;
    effect->ended.late = past.ending.late;
    effect->ended.position = past.ending.position;
    effect->ended.body_hash = past.ending.body_hash;
    effect->ended.refunded_after = before + nano;
    effect->ended.until_ms = past.ending.until_ms;
    return ruling_fact();
}

/* Policies: the names that are new, and the version. */
struct ruling decide_policy(const struct decision_context *c)
{
    const struct policy *compiled = c->command->compiled;
    ENSURE(compiled != NULL);
    if (compiled->new_symbol_count > POLICY_SYMBOLS_NEW_MAX ||
        c->engine->symbol_count + compiled->new_symbol_count > SYMBOLS_MAX)
        return ruling_problem(PROBLEM_CAPACITY, NULL, BYTES_NONE, "fewer names new to the server");
    c->fact->has_customer = false;
    for (uint32_t i = 0; i < compiled->new_symbol_count; i++) {
        struct effect *effect = &c->fact->effects[c->fact->effect_count++];
        effect->kind = EFFECT_SYMBOL;
        effect->symbol.number = c->engine->symbol_count + 1 + i;
        effect->symbol.name = compiled->new_symbols[i];
    }
    struct effect *effect = &c->fact->effects[c->fact->effect_count++];
    effect->kind = EFFECT_POLICY;
    effect->policy.version = c->engine->policy.version + 1;
    effect->policy.content_hash = compiled->content_hash;
    effect->policy.from_file = c->command->from_file;
    effect->policy.actor = c->command->actor;
    c->fact->report.kind = COMMAND_POLICY;
    c->fact->report.count = effect->policy.version;
    return ruling_fact();
}

/* Where the journal begins from now on: the server's word, which only goes forward. */
struct ruling decide_seal(const struct decision_context *c)
{
    ENSURE(c->command->cut.first > c->engine->cut.first);
    c->fact->has_customer = false;
    struct effect *effect = &c->fact->effects[c->fact->effect_count++];
    effect->kind = EFFECT_SEAL;
    effect->seal = c->command->cut;
    c->fact->report.kind = COMMAND_SEAL;
    return ruling_fact();
}
