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
