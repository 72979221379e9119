/*
 * numbers.h: integers that cannot lie. 128-bit in between, 64-bit at rest, checked at the border.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

/* The largest integer that survives every JSON reader (RFC 7493). */
#define QUANTITY_MAX (UINT64_C(9007199254740991))

#define NANO_PER_CREDIT INT64_C(1000000000)

/* Each gives false, and leaves *result_out alone, when the exact result does not fit. */
static inline bool number_add_u64(uint64_t left, uint64_t right, uint64_t *result_out)
{
    uint64_t result;
    if (__builtin_add_overflow(left, right, &result)) return false;
    *result_out = result;
    return true;
}

static inline bool number_add_u128(uint128 left, uint128 right, uint128 *result_out)
{
    uint128 result;
    if (__builtin_add_overflow(left, right, &result)) return false;
    *result_out = result;
    return true;
}

static inline bool number_multiply_u64(uint64_t left, uint64_t right, uint64_t *result_out)
{
    uint64_t result;
    if (__builtin_mul_overflow(left, right, &result)) return false;
    *result_out = result;
    return true;
}

static inline bool number_multiply_u128(uint128 left, uint128 right, uint128 *result_out)
{
    uint128 result;
    if (__builtin_mul_overflow(left, right, &result)) return false;
    *result_out = result;
    return true;
}

/* A sum that 64 bits do not bound, as it is kept: low + e18 * 10^18, |low| < 10^18, both of one
 * sign or 0. So its decimal digits can be read off: those of e18, then 18 of low. */
#define SUM_E18 INT64_C(1000000000000000000)
struct sum {
    int64_t low;
    int64_t e18;
};

static inline int128 sum_value(struct sum sum)
{
    return (int128)sum.e18 * SUM_E18 + sum.low;
}

/* |value| < 10^18 * 2^63 */
static inline struct sum sum_of(int128 value)
{
    return (struct sum){.low = (int64_t)(value % SUM_E18), .e18 = (int64_t)(value / SUM_E18)};
}

uint64_t number_gcd(uint64_t left, uint64_t right);
bool number_lcm(uint64_t left, uint64_t right, uint64_t *result_out); /* operands >= 1 */

/* Division where the operands mostly fit 64 bits, which costs a fraction of the library's. divisor
 * >= 1. */
static inline uint128 number_divide(uint128 dividend, uint64_t divisor, uint64_t *rest_out)
{
    ENSURE(divisor >= 1);
    if (dividend <= UINT64_MAX) {
        *rest_out = (uint64_t)dividend % divisor;
        return (uint64_t)dividend / divisor;
    }
    *rest_out = (uint64_t)(dividend % divisor);
    return dividend / divisor;
}

static inline uint128 number_divide_up(uint128 dividend, uint64_t divisor)
{
    uint64_t rest = 0;
    const uint128 quotient = number_divide(dividend, divisor, &rest);
    return quotient + (rest != 0);
}
