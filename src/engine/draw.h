/*
 * draw.h (private): drafting what was granted. A held draw reserves rounded up (U4); a charged one
 * settles at once, rounded down with the carried remainder.
 */
#pragma once

#include "engine/ladder.h"

/* Sentinel for draws that are charged at once instead of held. */
#define DRAW_CHARGED 0u

/* Draws evaluation->split.drawn from the waterfall: counters, lots, report lines; for a hold also
 * its lines, numbered from first_draw. False when a charge leaves the range of balances. */
MUST_USE bool draw_split(struct view *view, const struct plan_feature *plan_feature,
                         const struct ask *ask, struct evaluation *evaluation, uint64_t hold_id,
                         uint32_t first_draw);

/* Rate gates count what was granted: parts round up (G3). The evaluation that asked them, or NULL.
 */
void draw_pace(struct view *view, const struct plan_feature *plan_feature, const struct ask *ask,
               uint64_t granted, struct evaluation *evaluation);

/* Scales a quantity to the granted part of the requested units, rounded up. */
uint64_t draw_part(uint64_t quantity, uint64_t granted, uint64_t requested);

/* What nothing could carry of an unrefusable ask (H3). False as draw_split. */
MUST_USE bool draw_overshoot(struct view *view, const struct plan_feature *plan_feature,
                             const struct ask *ask, struct evaluation *evaluation, uint64_t from,
                             enum overshoot_kind kind);

/* What was used without asking (H2): the current plan's waterfall, divisible, at the quoted price;
 * what nothing carries is overshoot. Settles ask->quantities (for `unit: cost` their exact cost,
 * unless `excess_units` says how many units are beyond a hold already settled). Fills the report.
 * False as draw_split. */
MUST_USE bool draw_unrefusable(struct view *view, const struct plan_feature *plan_feature,
                               struct ask *ask, const uint64_t *excess_units);

/* One line of a hold, cut to what was used. */
struct cut {
    uint64_t units;
    int64_t charged;
};

/* Cuts a hold's lines, in drawing order, to `units` and prices them anew (H1). The view's remainder
 * moves. Says how many credit-funded units there were. False as draw_split. */
MUST_USE bool draw_cut(struct view *view, const struct hold *hold, struct unit_price price,
                       uint64_t units, struct cut cuts[HOLD_LINES_MAX], uint64_t *from_out);

/* Ends the hold: settles its cuts, returns the rest last line first, frees its slots, lets its keys
 * age, remembers the end. */
void draw_end_hold(struct view *view, const struct hold *hold, const struct cut *cuts,
                   struct effect *ended, enum hold_state state);
