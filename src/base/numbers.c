/*
 * numbers.c: the arithmetic that is more than one instruction; the checked operations are inline in
 * the header.
 */
#include "base/numbers.h"

#include "base/assert.h"

uint64_t number_gcd(uint64_t left, uint64_t right)
{
    while (right != 0) {
        const uint64_t rest = left % right;
        left = right;
        right = rest;
    }
    return left;
}

bool number_lcm(uint64_t left, uint64_t right, uint64_t *result_out)
{
    ENSURE(left >= 1 && right >= 1);
    return number_multiply_u64(left / number_gcd(left, right), right, result_out);
}

uint128 number_divide_up(uint128 dividend, uint128 divisor)
{
    ENSURE(divisor >= 1);
    /* Prices are small: a 64-bit division costs a fraction of the library's 128-bit one. */
    if (dividend <= UINT64_MAX && divisor <= UINT64_MAX) {
        const uint64_t narrow = (uint64_t)dividend;
        const uint64_t by = (uint64_t)divisor;
        return narrow / by + (narrow % by != 0);
    }
    return dividend / divisor + (dividend % divisor != 0);
}
