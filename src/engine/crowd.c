/*
 * crowd.c: denials in crowds. Who is refused again and again must not fill the journal: of equal
 * denials (customer, subject, feature, reason, limit) the first CROWD_ALONE_MAX in a second are
 * facts of their own; from then on a denial is a fact that stands for a crowd, and the caller
 * counts those that follow into it (fact_crowd_join) while its batch is open.
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
static uint64_t crowd_identity(const struct view *view, const struct report *report,
                               uint32_t feature)
{
    uint64_t hash = hash_mix(view->id.word[0], view->levels[view->level_count - 1]);
    hash = hash_mix(hash, (uint64_t)feature << 32 | report->limit);
    hash = hash_mix(hash, (uint64_t)report->reason);
    if (report->kind == COMMAND_EXTEND) hash = hash_mix(hash, report->id);
    return hash | 1;
}

void crowd_count(struct view *view, uint32_t feature)
{
    struct report *report = &view->fact->report;
    if (report->kind == COMMAND_CHECK) return;
    const uint64_t of = crowd_identity(view, report, feature);
    const int64_t second = view->now_ms / SECOND_MS;
    const struct crowd *crowd = crowd_at(view->engine, of);
    const uint32_t before = crowd->of == of && crowd->second == second ? crowd->count : 0;
    if (before == CROWD_ALONE_MAX) {
        report->crowd = 1;
        view->fact->crowd_of = of;
        return;
    }
    struct effect *effect = view_effect(view, EFFECT_CROWD);
    effect->crowd.of = of;
    effect->crowd.second = second;
    effect->crowd.after = before + 1;
}
