#include "engine/evidence.h"

#include <stddef.h>
#include <string.h>

#include "engine/fact_codec.h"

void evidence_clear(struct evidence *evidence)
{
    memset(evidence, 0, offsetof(struct evidence, lines));
}

struct ending ending_of_effect(const struct effect *effect)
{
    return (struct ending){
        .state = effect->ended.state,
        .late = effect->ended.late,
        .position = effect->ended.position,
        .body_hash = effect->ended.body_hash,
        .refunded = effect->ended.refunded_after,
        .until_ms = effect->ended.until_ms,
    };
}

void evidence_add_origin(struct evidence *evidence, uint64_t id, const struct fact *fact)
{
    evidence->origin = fact->position;
    evidence->has_terms = false;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_HOLD || effect->hold.id != id) continue;
        evidence->has_terms = true;
        evidence->terms = *effect;
    }
    const struct report *report = &fact->report;
    const bool is_settling = report->kind == COMMAND_COMMIT || report->kind == COMMAND_CONSUME ||
                             report->kind == COMMAND_USAGE;
    evidence->has_lines = is_settling && report->id == id && report->outcome != OUTCOME_DENY;
    evidence->line_count = evidence->has_lines ? report->line_count : 0;
    evidence->charged = evidence->has_lines ? report->charged : 0;
    for (uint32_t i = 0; i < evidence->line_count; i++)
        evidence->lines[i] = report->lines[i];
}

void evidence_add_decision(struct evidence *evidence, uint64_t id, const struct fact *fact)
{
    evidence->is_whole = true;
    evidence->of = EVIDENCE_NONE;
    if (!fact->has_customer) return;
    evidence->customer = fact->customer;
    evidence_add_origin(evidence, id, fact);
    if (evidence->has_lines && fact->report.kind != COMMAND_COMMIT) evidence->of = EVIDENCE_CHARGE;
    if (evidence->has_terms && evidence->terms.hold.is_new) evidence->of = EVIDENCE_HOLD;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_GRANT || effect->grant.id != id) continue;
        evidence->of = EVIDENCE_GRANT;
        evidence->category = effect->grant.category;
    }
}

void evidence_add_owner(struct evidence *evidence, struct hash128 customer, enum category category)
{
    evidence->is_whole = true;
    evidence->of = category == 0 ? EVIDENCE_CUT : EVIDENCE_GRANT;
    evidence->customer = customer;
    evidence->category = category;
}

bool evidence_add_ending(struct evidence *evidence, uint64_t id, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_ENDED || effect->ended.id != id) continue;
        evidence->has_ending = true;
        evidence->ending = ending_of_effect(effect);
        return true;
    }
    return false;
}

void evidence_add_refunds(struct evidence *evidence, uint64_t id, int64_t refunded)
{
    if (refunded == 0) return;
    if (!evidence->has_ending)
        evidence->ending = (struct ending){.position = id, .until_ms = INSTANT_NEVER};
    evidence->has_ending = true;
    evidence->ending.refunded = refunded;
}

WALK walk_ending(struct codec c, bool w, struct ending *ending)
{
    WALK_ENUM(c, w, ending->state, HOLD_EXPIRED);
    walk_bool(c, w, &ending->late);
    walk_u64(c, w, &ending->position);
    walk_word(c, w, &ending->body_hash);
    walk_i64(c, w, &ending->refunded);
    walk_i64(c, w, &ending->until_ms);
}

WALK walk_evidence(struct codec c, bool w, struct evidence *evidence)
{
    uint32_t version = EVIDENCE_VERSION;
    walk_u32(c, w, &version);
    if (!w && version != EVIDENCE_VERSION) c.in->bad = true;
    walk_bool(c, w, &evidence->is_whole);
    WALK_ENUM(c, w, evidence->of, EVIDENCE_CUT);
    walk_word(c, w, &evidence->customer.word[0]);
    walk_word(c, w, &evidence->customer.word[1]);
    WALK_ENUM(c, w, evidence->category, CATEGORY_PAID);
    walk_u64(c, w, &evidence->cursor);
    walk_bool(c, w, &evidence->has_ending);
    if (evidence->has_ending) walk_ending(c, w, &evidence->ending);
    walk_u64(c, w, &evidence->origin);
    walk_bool(c, w, &evidence->has_terms);
    if (evidence->has_terms) {
        evidence->terms.kind = EFFECT_HOLD;
        walk_hold(c, w, &evidence->terms);
    }
    walk_bool(c, w, &evidence->has_lines);
    walk_i64(c, w, &evidence->charged);
    walk_count(c, w, &evidence->line_count, LINES_MAX);
    for (uint32_t i = 0; i < evidence->line_count; i++)
        walk_line(c, w, &evidence->lines[i]);
}

void evidence_encode(const struct evidence *evidence, struct buffer *buffer)
{
    struct buffer out = *buffer;
    const struct codec c = {.out = &out};
    walk_evidence(c, true, (struct evidence *)(uintptr_t)evidence); /* a writing walk only reads */
    *buffer = out;
}

bool evidence_decode(struct bytes bytes, struct evidence *evidence_out)
{
    struct reader reader = reader_over(bytes);
    const struct codec c = {.in = &reader};
    evidence_clear(evidence_out);
    walk_evidence(c, false, evidence_out);
    return reader_is_done(&reader);
}
