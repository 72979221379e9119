/*
 * engine.c: the door. Dispatch, ceilings, and the trials that make check honest.
 */
#include "engine/decide.h"

#include <string.h>

void fact_clear(struct fact *fact, struct stamp stamp)
{
    fact->at_ms = stamp.now_ms;
    fact->position = stamp.position;
    fact->has_customer = false;
    fact->customer_hint = 0;
    fact->scope_hint = 0;
    fact->is_out_of_range = false;
    fact->feature = SYMBOL_NONE;
    fact->effect_count = 0;
    memset(&fact->report, 0, offsetof(struct report, lines));
    fact->report.retry_after_ms = -1;
}

/* Which customer a command is about: by name, or through the id that it names. */
static bool command_owner(struct engine *engine, const struct command *command,
                          struct owner *owner_out)
{
    if (command->owner_hint != 0) {
        *owner_out = (struct owner){command->owner, command->owner_hint};
        return true;
    }
    if (command->customer.length != 0) {
        *owner_out = owner_of_id(
            engine, command->has_owner ? command->owner : customer_id(engine, command->customer));
        return true;
    }
    if (command->target == 0 || command->kind == COMMAND_ACCESS) return false;
    uint32_t customer = 0;
    const uint32_t hold = hold_find(engine, command->target);
    const uint32_t ended = hold == 0 ? ended_find(engine, command->target) : 0;
    const uint32_t grant = command->kind == COMMAND_VOID ? grant_find(engine, command->target) : 0;
    if (hold != 0) customer = hold_at(engine, hold)->customer;
    if (ended != 0) customer = ((const struct ended *)slab_at(&engine->ended, ended))->customer;
    if (grant != 0) customer = grant_at(engine, grant)->customer;
    if (customer != 0) {
        *owner_out = owner_of_customer(engine, customer);
        return true;
    }
    if (command->evidence.length == 0 || !evidence_decode(command->evidence, engine->evidence))
        return false;
    *owner_out = owner_of_id(engine, engine->evidence->customer);
    return engine->evidence->of != EVIDENCE_NONE;
}

/* Another's hold, decision or grant, for a key that is bound to a customer: asked for and not
 * found, as an id that nobody has. */
static bool is_hidden(const struct command *command, struct owner owner)
{
    return command->is_bound && !hash_128_equal(owner.id, command->bound_to);
}

static struct ruling hide(struct engine *engine, const struct command *command)
{
    if (command->evidence.length == 0)
        return (struct ruling){
            .kind = RULING_RECALL, .recall = RECALL_WHOLE, .position = command->target};
    if (command->kind == COMMAND_VOID) return unknown_grant();
    const struct past past = {.is_cut = evidence_decode(command->evidence, engine->evidence) &&
                                        engine->evidence->of == EVIDENCE_CUT};
    return recall_unknown(&past, command->kind == COMMAND_REFUND ? RECALL_EXPECTED_CHARGED
                                                                 : RECALL_EXPECTED_REMEMBERED);
}

static struct ruling dispatch(const struct decision_context *c)
{
    switch (c->command->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
        return decide_request(c);
    case COMMAND_USAGE:
        return decide_usage(c);
    case COMMAND_COMMIT:
        return decide_commit(c);
    case COMMAND_RELEASE:
        return decide_release(c);
    case COMMAND_EXTEND:
        return decide_extend(c);
    case COMMAND_CUSTOMER:
        return decide_customer(c);
    case COMMAND_GRANT:
        return decide_grant(c);
    case COMMAND_VOID:
        return decide_void(c);
    case COMMAND_RESET:
        return decide_reset(c);
    case COMMAND_REFUND:
        return decide_refund(c);
    case COMMAND_POLICY:
        return decide_policy(c);
    case COMMAND_SEAL:
        return decide_seal(c);
    case COMMAND_ACCESS:
        return decide_access(c);
    case COMMAND_POOL:
        return decide_pool(c);
    case COMMAND_DUE:
        break;
    }
    ENSURE(false);
}

/* As authorize, in a trial: what is due is done, and all of it taken back (A4). */
static struct ruling check(struct decision_context *c)
{
    trial_begin(c->engine);
    (void)due_settle_trial(c->engine, c->policy, c->owner.id, c->stamp.now_ms, UINT32_MAX);
    c->owner = owner_of_id(c->engine, c->owner.id);
    struct ruling ruling = dispatch(c);
    if (ruling.kind == RULING_FACT) ruling.kind = RULING_ANSWER;
    c->fact->report.hold = HOLD_NONE;
    trial_end(c->engine);
    return ruling;
}

/* A stranger who would be let in has been, by his recurring grants (lets_in): who is still outside
 * is refused, and told so as if they were his (A4). */
static bool waits_outside(const struct decision_context *c)
{
    if (c->command->kind != COMMAND_AUTHORIZE && c->command->kind != COMMAND_CONSUME) return false;
    const struct plan *plan = policy_plan_of(c->policy, c->policy->default_plan);
    return c->owner.customer == 0 && plan != NULL && plan->recurring_count != 0;
}

static struct ruling refuse_stranger(struct decision_context *c)
{
    trial_begin(c->engine);
    (void)due_settle_trial(c->engine, c->policy, c->owner.id, c->stamp.now_ms, RECURRING_MAX);
    const struct owner outside = c->owner;
    c->owner = owner_of_id(c->engine, c->owner.id);
    struct ruling ruling = dispatch(c);
    c->owner = outside;
    trial_end(c->engine);
    c->fact->customer_hint = 0;
    c->fact->scope_hint = 0;
    /* Let in after all but not founded: there was no room for him. */
    if (ruling.kind == RULING_FACT && c->fact->report.outcome != OUTCOME_DENY)
        return ruling_problem(PROBLEM_CAPACITY, NULL, BYTES_NONE, "a server with more --memory");
    return ruling;
}

struct ruling engine_decide(struct engine *engine, const struct policy *policy,
                            const struct command *command, struct stamp stamp,
                            struct fact *fact_out)
{
    struct decision_context c = {
        .engine = engine, .policy = policy, .command = command, .stamp = stamp, .fact = fact_out};
    fact_clear(fact_out, stamp);
    const bool has_owner = command_owner(engine, command, &c.owner);
    c.is_outside = has_owner && c.owner.customer == 0;
    if (has_owner && is_hidden(command, c.owner)) return hide(engine, command);
    if (command->kind == COMMAND_CHECK) return check(&c);

    const bool has_key = has_owner && command->key.length != 0 && key_is_taken_by(command->kind);
    struct hash128 hash = command->key_hash;
    if (has_key) {
        if (!command->has_key_hash) hash = key_id(engine, c.owner.id, command->key);
        const struct ruling ruling = key_rule(engine, command, hash, stamp.now_ms);
        if (ruling.kind != RULING_FACT) return ruling;
    }
    const struct ruling ruling = waits_outside(&c) ? refuse_stranger(&c) : dispatch(&c);
    if (ruling.kind == RULING_FACT && fact_out->is_out_of_range)
        return ruling_problem(PROBLEM_OUT_OF_RANGE, NULL, BYTES_NONE, "sums that can be counted");
    if (ruling.kind == RULING_FACT && has_key) key_bind(engine, policy, command, hash, fact_out);
    if (ruling.kind == RULING_FACT && !engine_has_room_for(engine, fact_out))
        return ruling_problem(PROBLEM_CAPACITY, NULL, BYTES_NONE, "a server with more --memory");
    return ruling;
}

/* A stranger has nothing due unless the command lets him in: then his plan's recurring grants come
 * first, so that it can use them. Tried out, so that a refusal leaves nothing behind. */
static bool lets_in(struct engine *engine, const struct policy *policy,
                    const struct command *command, struct owner owner, struct stamp stamp,
                    struct fact *fact)
{
    const bool founds = command->kind == COMMAND_AUTHORIZE || command->kind == COMMAND_CONSUME ||
                        command->kind == COMMAND_USAGE || command->kind == COMMAND_GRANT;
    const struct plan *plan = policy_plan_of(policy, policy->default_plan);
    if (!founds || plan == NULL || plan->recurring_count == 0) return false;
    struct decision_context c = {engine, policy, command, stamp, fact, owner, true};
    trial_begin(engine);
    (void)due_settle_trial(engine, policy, owner.id, stamp.now_ms, RECURRING_MAX);
    c.owner = owner_of_id(engine, owner.id);
    fact_clear(fact, stamp);
    const struct ruling ruling = dispatch(&c);
    trial_end(engine);
    return ruling.kind == RULING_FACT && fact->report.outcome != OUTCOME_DENY &&
           !fact->is_out_of_range;
}

bool engine_due_for(struct engine *engine, const struct policy *policy,
                    const struct command *command, struct stamp stamp, struct command *command_out,
                    struct fact *fact_out)
{
    struct owner owner;
    if (command->kind == COMMAND_POLICY || command->kind == COMMAND_SEAL ||
        command->kind == COMMAND_ACCESS || command->kind == COMMAND_POOL)
        return false;
    if (!command_owner(engine, command, &owner) || is_hidden(command, owner)) return false;
    if (owner.customer == 0 && !lets_in(engine, policy, command, owner, stamp, fact_out))
        return false;
    if (!due_draft(engine, policy, owner, stamp, command_out, fact_out)) return false;
    if (owner.customer == 0) command_out->customer = command->customer;
    return true;
}

bool engine_due_again(struct engine *engine, const struct policy *policy, const struct command *due,
                      struct stamp stamp, struct command *command_out, struct fact *fact_out)
{
    ENSURE(due->kind == COMMAND_DUE);
    const struct owner owner = owner_of_id(engine, due->owner);
    if (!due_draft(engine, policy, owner, stamp, command_out, fact_out)) return false;
    if (owner.customer == 0) command_out->customer = due->customer;
    return true;
}

/* Customers of before who lack a recurring grant that a policy brought: looked for once, after each
 * policy, so that the idle ones get theirs too. */
static bool due_of_new_recurring(struct engine *engine, const struct policy *policy,
                                 struct stamp stamp, struct command *command_out,
                                 struct fact *fact_out)
{
    while (engine->recurring_cursor != 0 && engine->recurring_cursor <= engine->customers.used) {
        const uint32_t customer = engine->recurring_cursor;
        const struct plan *plan = policy_plan_of(policy, customer_at(engine, customer)->plan);
        if (plan != NULL && plan->recurring_count != 0 &&
            due_draft(engine, policy, owner_of_customer(engine, customer), stamp, command_out,
                      fact_out))
            return true;
        engine->recurring_cursor++;
    }
    engine->recurring_cursor = 0;
    return false;
}

bool engine_due(struct engine *engine, const struct policy *policy, struct stamp stamp,
                struct command *command_out, struct fact *fact_out)
{
    if (due_of_new_recurring(engine, policy, stamp, command_out, fact_out)) return true;
    if (engine_due_at(engine) > stamp.now_ms) return false;
    return due_draft(engine, policy, owner_of_customer(engine, engine->heap[1]), stamp, command_out,
                     fact_out);
}
