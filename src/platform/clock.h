/*
 * clock.h: the time that commands are stamped with. Milliseconds since 1970, never going back.
 *
 * The kernel keeps the wall clock and the boot clock (monotonic, counting sleep) in step, at the
 * same corrected rate: their difference changes only when somebody sets the wall clock. So every
 * reading takes both, and a change of the difference is a jump:
 *
 *   back           time goes on from where it was, a little slower (15/16) than real time, until
 *                  the wall clock has caught up: windows do not reopen, and nothing stands still
 *   forward, 1 h   followed
 *   more than 1 h  not followed: time goes on as if there had been no jump, until an operator says
 *                  clock_confirm, or the wall clock goes back again
 *
 * At the start time is the wall clock's or the floor (the journal's last stamp), whichever is
 * later. A test clock stands still until it is set. One thread uses a clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define CLOCK_JUMP_MS_MAX HOUR_MS
/* Differences up to this are two readings taken at different instants, not a jump. */
#define CLOCK_JITTER_MS 50

/* Where raw readings come from. Both in milliseconds; boot_ms never goes back. */
struct clock_source {
    int64_t (*wall_ms)(void *context);
    int64_t (*boot_ms)(void *context);
    void *context;
};

struct clock_state {
    int64_t now_ms; /* the last reading */
    bool is_test;
    uint64_t jumps_back;    /* of the wall clock, seen since the start */
    uint64_t jumps_forward; /* only those of more than CLOCK_JUMP_MS_MAX */
    int64_t unconfirmed_ms; /* forward jumps not followed; 0: none */
    int64_t ahead_ms;       /* by how much time is ahead of the wall clock after a jump back */
};

struct clock {
    struct clock_source source; /* without functions: a test clock */
    struct clock_state state;
    int64_t difference_ms; /* wall - boot at the last reading */
    int64_t boot_ms;       /* at the last reading */
    bool is_ahead;         /* of the wall clock: time runs from the anchor */
    int64_t anchor_now_ms;
    int64_t anchor_boot_ms;
};

struct clock clock_real(int64_t floor_ms);
struct clock clock_over(struct clock_source source, int64_t floor_ms); /* source: for tests */
struct clock clock_test(int64_t start_ms);

int64_t clock_now_ms(struct clock *clock);
struct clock_state clock_state(const struct clock *clock);

/* The operator says that the wall clock is right: the next reading follows it. */
void clock_confirm(struct clock *clock);
/* False, and nothing changes, when that would be going back. Test clocks only. */
MUST_USE bool clock_test_set(struct clock *clock, int64_t now_ms);

/* For measuring how long something took; of no use as a time of day. */
int64_t clock_monotonic_ns(void);
