/*
 * fact_codec.h (private): the parts of facts that evidence has too.
 */
#pragma once

#include "engine/codec.h"
#include "engine/fact.h"

WALK walk_line(struct codec c, bool w, struct line *line)
{
    walk_u32(c, w, &line->source);
    WALK_ENUM(c, w, line->kind, SOURCE_UNLIMITED);
    walk_u64(c, w, &line->grant_id);
    walk_u64(c, w, &line->units);
    walk_i64(c, w, &line->charged);
}

WALK walk_slot(struct codec c, bool w, struct slot_name *slot)
{
    bool scoped = slot->scope != 0;
    walk_bool(c, w, &scoped);
    if (scoped)
        walk_word(c, w, &slot->scope);
    else
        slot->scope = 0;
    walk_u64(c, w, &slot->id);
}

WALK walk_quote(struct codec c, bool w, struct quote *quote, uint32_t meter_count)
{
    walk_word(c, w, &quote->version);
    walk_u32(c, w, &quote->name);
    walk_u64(c, w, &quote->q);
    walk_i64(c, w, &quote->minimum_nano);
    for (uint32_t i = 0; i < meter_count; i++)
        walk_u64(c, w, &quote->num[i]);
    for (uint32_t i = meter_count; i < METERS_MAX; i++)
        quote->num[i] = 0;
}

WALK walk_hold(struct codec c, bool w, struct effect *effect)
{
    walk_u64(c, w, &effect->hold.id);
    walk_bool(c, w, &effect->hold.is_new);
    walk_i64(c, w, &effect->hold.expires_ms);
    walk_count(c, w, &effect->hold.meter_count, METERS_MAX);
    for (uint32_t i = 0; i < METERS_MAX; i++) {
        if (i < effect->hold.meter_count)
            walk_u64(c, w, &effect->hold.quantities[i]);
        else
            effect->hold.quantities[i] = 0;
    }
    walk_u32(c, w, &effect->hold.feature);
    walk_u32(c, w, &effect->hold.unit);
    walk_u32(c, w, &effect->hold.requests_meter);
    WALK_ENUM(c, w, effect->hold.consent, CONSENT_REFUSED);
    walk_i64(c, w, &effect->hold.ttl_ms);
    walk_i64(c, w, &effect->hold.retention_ms);
    WALK_ENUM(c, w, effect->hold.on_failure, FAILURE_ACTUAL);
    for (uint32_t i = 0; i < METERS_MAX; i++) {
        if (i < effect->hold.meter_count)
            walk_u32(c, w, &effect->hold.meters[i]);
        else
            effect->hold.meters[i] = 0;
    }
    walk_quote(c, w, &effect->hold.quote, effect->hold.meter_count);
    walk_count(c, w, &effect->hold.level_count, LEVELS_MAX);
    for (uint32_t i = 0; i < effect->hold.level_count; i++)
        walk_word(c, w, &effect->hold.levels[i]);
    walk_count(c, w, &effect->hold.concurrency_count, GATES_MAX);
    for (uint32_t i = 0; i < effect->hold.concurrency_count; i++)
        walk_slot(c, w, &effect->hold.concurrency[i]);
}
