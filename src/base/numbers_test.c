#include "base/numbers.h"

#include "base/testing.h"

static void sums_and_products_of_64_bits_fit_or_are_refused(void **state)
{
    (void)state;
    const struct {
        uint64_t left, right;
        bool sum_fits, product_fits;
    } rows[] = {
        {             0,              0,  true,  true},
        {    UINT64_MAX,              0,  true,  true},
        {    UINT64_MAX,              1, false,  true},
        {    UINT64_MAX,              2, false, false},
        {UINT64_MAX / 2, UINT64_MAX / 2,  true, false},
        {    UINT32_MAX,     UINT32_MAX,  true,  true},
        {    1ull << 32,     1ull << 32,  true, false},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint64_t result = 77;
        assert_int_equal(number_add_u64(rows[row].left, rows[row].right, &result),
                         rows[row].sum_fits);
        assert_true(result == (rows[row].sum_fits ? rows[row].left + rows[row].right : 77));
        result = 77;
        assert_int_equal(number_multiply_u64(rows[row].left, rows[row].right, &result),
                         rows[row].product_fits);
        assert_true(result == (rows[row].product_fits ? rows[row].left * rows[row].right : 77));
    }
}

static void sums_and_products_of_128_bits_fit_or_are_refused(void **state)
{
    (void)state;
    const uint128 most = ~(uint128)0;
    uint128 result = 77;
    assert_true(number_add_u128(most - 1, 1, &result));
    assert_true(result == most);
    assert_true(number_multiply_u128((uint128)1 << 64, UINT64_MAX, &result));
    assert_true(result == (uint128)UINT64_MAX << 64);
    result = 77;
    assert_false(number_add_u128(most, 1, &result));
    assert_false(number_multiply_u128((uint128)1 << 64, (uint128)1 << 64, &result));
    assert_false(number_multiply_u128(most / 2 + 1, 2, &result));
    assert_true(result == 77);
}

static void gcd_and_lcm_agree_with_trial(void **state)
{
    (void)state;
    for (uint64_t left = 1; left <= 60; left++) {
        for (uint64_t right = 1; right <= 60; right++) {
            uint64_t divisor = left < right ? left : right;
            while (left % divisor != 0 || right % divisor != 0)
                divisor--;
            uint64_t multiple = left;
            while (multiple % right != 0)
                multiple += left;
            uint64_t lcm = 0;
            assert_int_equal(number_gcd(left, right), divisor);
            assert_true(number_lcm(left, right, &lcm));
            assert_int_equal(lcm, multiple);
        }
    }
    assert_int_equal(number_gcd(0, 5), 5);
    assert_int_equal(number_gcd(5, 0), 5);
}

static void an_lcm_beyond_64_bits_is_refused(void **state)
{
    (void)state;
    uint64_t lcm = 77;
    assert_false(number_lcm(UINT64_MAX, UINT64_MAX - 1, &lcm));
    assert_int_equal(lcm, 77);
    assert_true(number_lcm(UINT64_MAX, UINT64_MAX, &lcm));
    assert_true(lcm == UINT64_MAX);
    expect_assert_failure((void)number_lcm(0, 1, &lcm));
}

static void division_rounds_up_at_every_width(void **state)
{
    (void)state;
    const uint128 wide = (uint128)1 << 100;
    assert_true(number_divide_up(0, 7) == 0);
    assert_true(number_divide_up(1, 7) == 1);
    assert_true(number_divide_up(7, 7) == 1);
    assert_true(number_divide_up(8, 7) == 2);
    assert_true(number_divide_up(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(number_divide_up(wide, 3) == wide / 3 + 1);
    assert_true(number_divide_up(wide, UINT64_MAX) == ((uint128)1 << 36) + 1);
    assert_true(number_divide_up(5, UINT64_MAX) == 1);
    uint64_t rest = 0;
    assert_true(number_divide(wide + 5, 7, &rest) == (wide + 5) / 7);
    assert_int_equal(rest, (wide + 5) % 7);
    assert_true(number_divide(23, 7, &rest) == 3);
    assert_int_equal(rest, 2);
    assert_true(number_divide_up(~(uint128)0, 1) == ~(uint128)0);
    expect_assert_failure((void)number_divide_up(1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_of_64_bits_fit_or_are_refused),
        cmocka_unit_test(sums_and_products_of_128_bits_fit_or_are_refused),
        cmocka_unit_test(gcd_and_lcm_agree_with_trial),
        cmocka_unit_test(an_lcm_beyond_64_bits_is_refused),
        cmocka_unit_test(division_rounds_up_at_every_width),
    };
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
