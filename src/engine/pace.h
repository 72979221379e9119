/*
 * pace.h (private): clocks that rate gates run by. A clock is named by a pool and a standing; it
 * counts ticks, PACE_ONE in a millisecond where nothing is slowed, and runs at the pool's factor
 * and the standing's share of it. All speeds are whole ticks, so a clock is exact whatever it did.
 *
 * The plain clock, of no pool and normal standing, is the stamp itself: it counts milliseconds and
 * has no state. Without a pool the other standings have none either: their speed never changes.
 * A pool's clocks are kept from the first time that an operator said anything of it (pool.c), and
 * begin as what those of no pool say then: what was counted by these before goes on by the pool's.
 */
#pragma once

#include "engine/state.h"

#define PACE_ONE 256u

/* Of what only slowed gates run: out of the way of what all do. */
#define SELDOM __attribute__((noinline, cold))

struct pace_clock {
    uint8_t pool; /* its place in the state; 0: none */
    uint8_t standing;
    uint16_t ticks;   /* in a millisecond at speed 1: 1 of the plain clock, PACE_ONE of others */
    uint32_t speed;   /* ticks in a millisecond, from since_ms on */
    int64_t since_ms; /* the last change of the speed; before that only `base` is known */
    int64_t base;     /* what the clock said at since_ms */
};

static inline bool pace_is_plain(uint8_t pool, uint8_t standing)
{
    return pool == 0 && standing == STANDING_NORMAL;
}

/* What a clock says at a time; at one before its last change what it said then: it never goes back.
 */
static inline int64_t pace_at(const struct pace_clock *clock, int64_t at_ms)
{
    return at_ms <= clock->since_ms ? clock->base
                                    : clock->base + clock->speed * (at_ms - clock->since_ms);
}

/* Its speed in 1/PACE_ONE, of the plain clock too. */
static inline uint32_t pace_per_ms(const struct pace_clock *clock)
{
    return clock->ticks == 1 ? clock->speed * PACE_ONE : clock->speed;
}

/* Ticks in a millisecond under a pool's factor, in 1/FACTOR_ONE. */
uint32_t pace_speed(uint32_t factor, enum standing standing);
#define PACE_PLAIN ((struct pace_clock){.ticks = 1, .speed = 1})
/* The clock of a pool's place (0: none) and a standing. */
struct pace_clock pace_clock_of(const struct engine *engine, uint8_t pool, enum standing standing);
/* The clock that a bucket was counting by, which is about to be counted by `clock`: the one of its
 * label, or the pool's that began as that after the bucket was written, at `at`. */
struct pace_clock pace_clock_behind(const struct engine *engine, uint8_t pool,
                                    enum standing standing, int64_t at,
                                    const struct pace_clock *clock);

/* The worst that was said; normal says nothing. */
static inline enum standing standing_worse(enum standing left, enum standing right)
{
    if (left == STANDING_NORMAL) return right;
    return right != STANDING_NORMAL && right < left ? right : left;
}

/* The share of a concurrency limit that a standing leaves: at least one of what is not closed. */
uint64_t standing_cut(uint64_t limit, enum standing standing);
/* Of what a standing leaves, in 1/PACE_ONE. */
uint32_t standing_share(enum standing standing);
