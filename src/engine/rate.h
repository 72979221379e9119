/*
 * rate.h (private): a token bucket in virtual time. It keeps tokens, exactly: whole ones and a
 * rational part, and the virtual time at which that was true. A change of the rate never re-values
 * what was spent (research: plain GCRA keeps time, and does). Virtual time runs with the pool's
 * factor; the factor is 1 for now, so it is the stamp's time.
 */
#pragma once

#include "engine/state.h"

struct rate_shape {
    uint64_t limit; /* tokens per per_ms, at least 1 */
    uint64_t burst; /* at least 1 */
    int64_t per_ms;
};

/* The bucket as it stands at now_ms under `shape`. NULL: never used, full. `changed_ms`: when the
 * shape came into force, where it differs from the slot's own. */
void rate_at(const struct rate_slot *slot, struct rate_shape shape, int64_t changed_ms,
             int64_t now_ms, struct rate_slot *now_out);

/* Milliseconds until the bucket holds `tokens`; 0: it does; INSTANT_NEVER: more than its burst. */
int64_t rate_wait_ms(const struct rate_slot *slot, uint64_t tokens);

/* Full under its own shape, by the time that shape was changed if it was: as if it had never been
 * used, since a full bucket is full under any shape. */
bool rate_is_full(const struct rate_slot *slot, int64_t changed_ms, int64_t now_ms);

/* When the bucket is full again; 0 when that is beyond all dates. */
int64_t rate_full_at(const struct rate_slot *slot);
