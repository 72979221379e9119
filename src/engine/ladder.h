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
    /* What would be quoted anew at another time; NULL: the quote is honoured (U5). */
    const struct policy_feature *priced_by;
    struct quote quote;
    struct unit_price price; /* of one unit of the waterfall */
    uint64_t units;          /* requested */
    uint64_t min_units;      /* 0: all or nothing */
    uint64_t from;           /* credit-funded units that came before (extend, excess) */
    bool divisible;
    enum consent consent;
    int64_t until_ms; /* the request is void from then on: the hold of an extend; 0: never */
    bool takes_slot;  /* concurrency gates are asked */
    enum priority priority;
};

uint64_t ask_quantity(const struct ask *ask, uint32_t meter_symbol);

/* What the state says of one gate, and of one source's windows: read once in a decision. Draws move
 * the reading with the draft, so that the notes tell what is left. */
struct gate_reading {
    struct slot_name slot;
    uint64_t
        limit; /* holds (what a standing leaves of them) or nano-credits; a bucket has its own */
    uint64_t uncut;          /* GATE_CONCURRENCY: the limit without the standing */
    enum standing standing;  /* GATE_RATE, GATE_CONCURRENCY */
    struct pace_clock clock; /* GATE_RATE */
    union {
        struct rate_slot bucket;
        int64_t in_flight;
        struct counter counter; /* GATE_BUDGET */
    };
};
struct source_reading {
    struct counter counter[WINDOWS_MAX];
    uint64_t limit[WINDOWS_MAX];
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
    uint32_t budgets[LINE_BUDGETS_MAX]; /* their places among the gates */
    struct split split;
    struct gate_reading gates[GATES_MAX];       /* of the gates asked */
    struct source_reading sources[SOURCES_MAX]; /* once the sources were asked */
};

/* Nano-credits that the lots of a category have left for the feature asked for. */
int64_t ask_credits(const struct view *view, const struct ask *ask, enum category category);

/* The whole ladder. `plan_feature` may be NULL: not entitled. */
void ladder_evaluate(const struct view *view, const struct plan_feature *plan_feature,
                     const struct ask *ask, struct evaluation *out);

/* The waterfall alone, for what is never refused (H2): divisible, budgets ignored but counted. */
void ladder_evaluate_unrefusable(const struct view *view, const struct plan_feature *plan_feature,
                                 const struct ask *ask, struct evaluation *out);

/* For waiting (retry.c). A bit for each category of grants that the request would be paid from. */
uint32_t ladder_categories(const struct view *view, const struct plan_feature *plan_feature,
                           const struct ask *ask);
/* From when on no rate gate refuses; INSTANT_NEVER. `scratch`: its readings are written over. */
int64_t ladder_paced_at(const struct view *view, const struct plan_feature *plan_feature,
                        const struct ask *ask, struct evaluation *scratch);
/* Reads what waiting may free, rate gates aside, and when time alone changes any of it. */
void ladder_read(const struct view *view, const struct plan_feature *plan_feature,
                 const struct ask *ask, struct evaluation *out);
/* Whether the ladder could let it pass, rate gates aside, if there were as much as `read` says and
 * these nano-credits of each category. False: nothing that has less, in any place, passes. */
bool ladder_could_pass(const struct view *view, const struct plan_feature *plan_feature,
                       const struct ask *ask, const struct evaluation *read,
                       const int64_t credits[CATEGORY_PAID + 1]);
/* What a pool and a standing leave of a gate, in 1/PACE_ONE. */
uint32_t gate_factor(const struct gate_rule *gate, const struct gate_reading *reading);

void gate_read(const struct view *view, const struct ask *ask, const struct gate_rule *gate,
               struct gate_reading *reading_out);
/* Units that one entry of the waterfall has for the ask, whatever gates, budgets, consent and the
 * other entries leave of them. */
uint64_t source_has(const struct view *view, const struct ask *ask,
                    const struct source_rule *source, const struct source_reading *reading);
/* All windows of an allowance, or of an overage's cap. */
void source_read(const struct view *view, const struct ask *ask, const struct source_rule *source,
                 struct source_reading *reading_out);

/* Fills the report's notes: what each gate and source said; amounts as after this decision. Call
 * once the draws are drafted. */
void ladder_explain(const struct view *view, const struct plan_feature *plan_feature,
                    const struct evaluation *evaluation);
