/*
 * words.h: the closed words of the contract that reports and views share, and
 * that the books use as well.
 */
#pragma once

#include "base/base.h"
#include "engine/engine.h"

struct bytes words_name(struct symbols symbols, uint32_t symbol); /* of a symbol other than 0 */

const char *words_category(enum category category);
const char *words_hold(enum hold_state state);
const char *words_source(enum source_kind kind);
const char *words_outcome(enum outcome outcome); /* of a decision: not OUTCOME_NONE */
const char *words_status(enum job_status status);

/* "customer", "subject", "level:2" as a value. */
void words_scope(struct buffer *buffer, struct scope_rule scope);

const char *words_standing(enum standing standing);
const char *words_shed(enum shed shed);
/* A factor in 1/one, as a value: "0.5". */
void words_factor(struct buffer *buffer, uint32_t factor, uint32_t one);
/* Members of a gate: "factor", and "standing" where it is not normal; the factor is in
 * 1/WORDS_FACTOR_ONE. */
#define WORDS_FACTOR_ONE 256u
void words_pace(struct buffer *buffer, uint32_t factor, enum standing standing);
/* Members of a pool: "factor", "override", "shed". */
void words_pool(struct buffer *buffer, struct pool_view pool);

/* "5h", "90m", "day": as part of a text. */
void words_period_part(struct buffer *buffer, struct period period);

/* A symbol's name as a value; null for 0. */
void words_symbol(struct buffer *buffer, struct symbols symbols, uint32_t symbol);

/* Null for 0 and INSTANT_NEVER. */
void words_instant(struct buffer *buffer, int64_t instant_ms);

/* One sentence for a person: what refused, and what helps. Never blames. */
void words_message(struct buffer *buffer, const struct report *report, struct symbols symbols);
