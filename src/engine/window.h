/*
 * window.h (private): the arithmetic of windows (DESIGN.md section 3, SEMANTICS W1, W5).
 */
#pragma once

#include "engine/state.h"

struct window_span {
    int64_t start_ms;
    int64_t end_ms;
};

/* The span that a draw at now_ms opens. Calendar and anchored spans are whole periods; first_use
 * starts now. `anchor_ms`: the customer's anchor, or creation. Not for START_SLIDING. */
struct window_span window_opens(struct period period, int64_t now_ms, int64_t anchor_ms);

/* For a renewal: the first boundary after now_ms. */
int64_t window_next_boundary(struct period period, int64_t now_ms, int64_t anchor_ms);
