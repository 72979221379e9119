/*
 * ladder.h (private): the questions of a decision, in order: gates, then sources. ladder.c asks and
 * changes nothing; draw.c drafts what was granted.
 */
#pragma once

#include "engine/view.h"

/* What is asked for, once measured. */
struct ask {
    uint32_t feature; /* symbol */
    uint32_t unit;    /* index into meters, or UNIT_COST */
    uint32_t meter_count;
    uint32_t meters[METERS_MAX]; /* symbols */
    uint64_t quantities[METERS_MAX];
    struct quote quote;
    struct unit_price price; /* of one unit of the waterfall */
    uint64_t units;          /* requested */
    uint64_t min_units;      /* 0: all or nothing */
    uint64_t from;           /* credit-funded units that came before (extend, excess) */
    bool divisible;
    enum consent consent;
    int64_t until_ms;    /* the request is void from then on: the hold of an extend; 0: never */
    bool takes_slot;     /* concurrency gates are asked */
    bool is_unrefusable; /* excess, late, usage: budgets count and do not refuse (H2) */
};

uint64_t ask_quantity(const struct ask *ask, uint32_t meter_symbol);

struct budget {
    struct counter counter;
    uint32_t name;
    struct scope_rule scope;
    uint64_t left;
};

/* How much each entry of the waterfall gives. */
struct split {
    uint64_t total;
    bool passes;         /* enough for the outcome that the ask accepts */
    bool lacked_consent; /* something was not asked for lack of consent */
    uint64_t offered[SOURCES_MAX];
    uint64_t drawn[SOURCES_MAX];
    bool skipped[SOURCES_MAX];
};

struct evaluation {
    enum reason reason; /* REASON_OK: passes */
    uint64_t units;     /* granted */
    uint32_t limit;     /* symbol of what refused */
    struct scope_rule scope;
    enum who who;
    enum remedy remedy;
    int64_t resets_at_ms;  /* of the limit named; 0 */
    int64_t changes_at_ms; /* earliest time at which time alone (counters; not due facts) may change
                              the answer; INSTANT_NEVER */
    uint32_t gates_asked;  /* how many gates were asked before the end */
    uint32_t budget_count;
    struct budget budgets[LINE_BUDGETS_MAX];
    struct split split;
};

/* The whole ladder. `plan_feature` may be NULL: not entitled. */
void ladder_evaluate(const struct view *view, const struct plan_feature *plan_feature,
                     const struct ask *ask, struct evaluation *out);

/* The waterfall alone, for what is never refused (H2): divisible, budgets ignored but counted. */
void ladder_evaluate_unrefusable(const struct view *view, const struct plan_feature *plan_feature,
                                 const struct ask *ask, struct evaluation *out);

/* The counter of one window of an allowance, of an overage's cap, or of a budget gate. */
struct counter source_counter(const struct view *view, const struct ask *ask,
                              const struct source_rule *source, uint32_t place);
struct rate_shape gate_shape(const struct view *view, const struct ask *ask,
                             const struct gate_rule *gate);
uint64_t gate_limit(const struct view *view, const struct ask *ask, const struct gate_rule *gate);
struct slot_name gate_slot(const struct view *view, uint32_t feature, const struct gate_rule *gate);
uint64_t source_limit(const struct view *view, const struct ask *ask,
                      const struct source_rule *source, uint32_t place);

/* Fills the report's notes: what each gate and source said; amounts as after this decision. Call
 * once the draws are drafted. */
void ladder_explain(const struct view *view, const struct plan_feature *plan_feature,
                    const struct ask *ask, const struct evaluation *evaluation);
