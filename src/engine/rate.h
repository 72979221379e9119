/*
 * rate.h (private): a token bucket in virtual time. It keeps tokens, exactly: whole ones and a
 * rational part, and the virtual time at which that was true. A change of the rate never re-values
 * what was spent (research: plain GCRA keeps time, and does). Virtual time is what a clock says
 * (pace.h): the stamp, or slower and faster by a pool's factor and a standing.
 */
#pragma once

#include "engine/pace.h"

struct rate_shape {
    uint64_t limit; /* tokens per per_ms, at least 1 */
    uint64_t burst; /* at least 1 */
    int64_t per_ms;
};

/* How a bucket is looked at. */
struct rate_terms {
    struct rate_shape shape;
    const struct pace_clock *clock; /* that it is counted by now */
    int64_t changed_ms; /* when shape and clock came into force, if they differ from its own */
    int64_t now_ms;
};

/* The same numbers in the ticks of another clock; a part smaller than those can say is lost. */
void rate_scale(struct rate_slot *slot, uint32_t from_ticks, uint32_t to_ticks);

/* The bucket as it stands now. NULL: never used, full. `own`: the clock that it was counted by;
 * `ticks`: of the clock that its numbers are written in. */
void rate_at(const struct rate_slot *slot, const struct pace_clock *own, uint32_t ticks,
             const struct rate_terms *terms, struct rate_slot *now_out);

/* Whether it would hold `tokens` now, had its clock run at another speed since it was written, or
 * since the clock's or the shape's last change where that is later. */
bool rate_would_hold(const struct rate_slot *slot, const struct pace_clock *own, uint32_t ticks,
                     const struct rate_terms *terms, uint32_t speed, uint64_t tokens);

/* Milliseconds until a bucket that stands at now holds `tokens`; 0: it does; INSTANT_NEVER: more
 * than its burst, or its clock stands still. */
int64_t rate_wait_ms(const struct rate_slot *slot, const struct pace_clock *clock, uint64_t tokens);

/* Full by the time that its clock says `at`: as if it had never been used, since a full bucket is
 * full under any shape and by any clock. */
bool rate_is_full(const struct rate_slot *slot, uint32_t ticks, int64_t at);

/* When a bucket that stands at now is full again; 0 when that is beyond all dates. */
int64_t rate_full_at(const struct rate_slot *slot, const struct pace_clock *clock, int64_t now_ms);
