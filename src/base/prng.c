/*
 * prng.c: splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014),
 * and bounded numbers without bias by Lemire's multiplication ("Fast random integer generation in
 * an interval", 2019).
 */
#include "base/prng.h"

#include "base/assert.h"
#include "base/numbers.h"

uint64_t prng_next(struct prng *prng)
{
    prng->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = prng->state;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ENSURE(bound >= 1);
    uint128 scaled = (uint128)prng_next(prng) * bound;
    if ((uint64_t)scaled < bound) {
        const uint64_t unfair = -bound % bound;
        while ((uint64_t)scaled < unfair)
            scaled = (uint128)prng_next(prng) * bound;
    }
    return (uint64_t)(scaled >> 64);
}
