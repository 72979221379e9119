#include "base/prng.h"

#include "base/testing.h"

static void the_published_sequence_comes_out(void **state)
{
    (void)state;
    /* The reference implementation's first numbers for seed 1234567. */
    const uint64_t expected[] = {
        UINT64_C(6457827717110365317),  UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423),  UINT64_C(4593380528125082431),
        UINT64_C(16408922859458223821),
    };
    struct prng prng = {1234567};
    for (size_t row = 0; row < COUNT_OF(expected); row++)
        assert_true(prng_next(&prng) == expected[row]);
}

static void bounded_numbers_stay_below_and_reach_every_value(void **state)
{
    (void)state;
    struct prng prng = {1};
    for (uint64_t bound = 1; bound <= 12; bound++) {
        uint64_t seen = 0;
        for (unsigned draw = 0; draw < 1000; draw++) {
            const uint64_t value = prng_below(&prng, bound);
            assert_true(value < bound);
            seen |= UINT64_C(1) << value;
        }
        assert_true(seen == (UINT64_C(1) << bound) - 1);
    }
    expect_assert_failure((void)prng_below(&prng, 0));
}

static void bounds_near_the_top_are_unbiased(void **state)
{
    (void)state;
    /* With 3/4 of the range as bound, four numbers share three places: scaling alone would give
     * every third place two of them. */
    const uint64_t bound = UINT64_C(3) << 62;
    struct prng prng = {2};
    unsigned thirds = 0;
    for (unsigned draw = 0; draw < 30000; draw++)
        thirds += prng_below(&prng, bound) % 3 == 0;
    assert_in_range(thirds, 9500, 10500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_sequence_comes_out),
        cmocka_unit_test(bounded_numbers_stay_below_and_reach_every_value),
        cmocka_unit_test(bounds_near_the_top_are_unbiased),
    };
    return cmocka_run_group_tests_name("prng", tests, NULL, NULL);
}
