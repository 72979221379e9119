/*
 * crowd.c: denials in crowds. Who is refused again and again must not fill the journal: of equal
 * denials (customer, subject, feature, reason, limit) the first CROWD_ALONE_MAX in a second are
 * facts of their own, and so is the next, the crowd's first. Those that follow in that second are
 * no facts: they answer with its id (RULING_CROWD), and the caller counts them and journals how
 * many they were as one entry more, when the second is over.
 *
 * What was counted in the second that runs is kept in a table of fixed size, by hash: a refusal
 * allocates nothing, not even for a subject or a customer never seen before. Two that meet in one
 * place take turns; then either may be told apart more often than it had to be, never less.
 */
#include "engine/decide.h"

struct crowd *crowd_at(const struct engine *engine, uint64_t of)
{
    return &engine->crowds[of >> (64 - CROWDS_LOG2)];
}

/* Never 0. The hold of an extend is part of it: each such answer names its own. */
static uint64_t crowd_identity(struct hash128 customer, uint64_t level, uint32_t feature,
                               const struct report *report)
{
    uint64_t hash = hash_mix(customer.word[0], level);
    hash = hash_mix(hash, (uint64_t)feature << 32 | report->limit);
    hash = hash_mix(hash, (uint64_t)report->reason);
    if (report->kind == COMMAND_EXTEND) hash = hash_mix(hash, report->id);
    return hash | 1;
}

struct ruling crowd_count(struct view *view, uint32_t feature)
{
    struct report *report = &view->fact->report;
    if (report->kind == COMMAND_CHECK) return ruling_fact();
    const uint64_t of =
        crowd_identity(view->id, view->levels[view->level_count - 1], feature, report);
    const int64_t second = view->now_ms / SECOND_MS;
    const struct crowd *crowd = crowd_at(view->engine, of);
    const uint32_t before = crowd->of == of && crowd->second == second ? crowd->count : 0;
    if (before > CROWD_ALONE_MAX) {
        report->crowd = 1;
        if (report->kind != COMMAND_EXTEND) report->id = crowd->first;
        return (struct ruling){.kind = RULING_CROWD, .position = crowd->first};
    }
    struct effect *effect = view_effect(view, EFFECT_CROWD);
    effect->crowd.of = of;
    effect->crowd.second = second;
    effect->crowd.after = before + 1;
    return ruling_fact();
}

/* Who is refused what; false: its hold has ended since. */
static bool crowd_of_command(const struct engine *engine, const struct command *command,
                             const struct fact *fact, uint64_t *of_out)
{
    uint64_t levels[LEVELS_MAX];
    if (command->kind != COMMAND_EXTEND) {
        const uint32_t count = subject_levels(engine, command->subject, levels);
        *of_out = crowd_identity(fact->customer, levels[count - 1],
                                 symbol_find(engine, command->feature), &fact->report);
        return true;
    }
    const uint32_t number = hold_find(engine, command->target);
    if (number == 0) return false;
    const struct hold_terms *terms = &hold_at(engine, number)->terms;
    *of_out = crowd_identity(fact->customer, terms->levels[terms->level_count - 1], terms->feature,
                             &fact->report);
    return true;
}

bool engine_crowd_runs(const struct engine *engine, const struct command *command,
                       const struct fact *fact, int64_t now_ms)
{
    const struct report *report = &fact->report;
    const bool is_extend = command->kind == COMMAND_EXTEND;
    uint64_t of = 0;
    if (report->kind != command->kind || report->outcome != OUTCOME_DENY || !fact->has_customer ||
        fact->effect_count != 0 || (is_extend && report->id != command->target))
        return false;
    if (!is_extend && !hash_128_equal(fact->customer, customer_id(engine, command->customer)))
        return false;
    if (!crowd_of_command(engine, command, fact, &of)) return true;
    const struct crowd *crowd = crowd_at(engine, of);
    if (crowd->second != now_ms / SECOND_MS) return false;
    if (crowd->of != of || crowd->first == 0) return true; /* it has lost its place since */
    return is_extend || report->id <= crowd->first;
}
