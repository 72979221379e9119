/*
 * prng.h: splitmix64, for tests, traces and simulation: same seed, same numbers, everywhere.
 * Never for secrets.
 */
#pragma once

#include <stdint.h>

struct prng {
    uint64_t state;
};

uint64_t prng_next(struct prng *prng);
uint64_t prng_below(struct prng *prng, uint64_t bound); /* 0..bound-1, bound >= 1, unbiased */
