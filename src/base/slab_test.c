#include "base/slab.h"

#include "base/prng.h"
#include "base/testing.h"

#define RECORDS 100u
#define RECORD_BYTES 24u

static _Alignas(64) uint8_t block[(RECORDS + 1) * RECORD_BYTES];

static struct slab fresh_slab(void)
{
    assert_int_equal(slab_bytes(RECORD_BYTES, RECORDS), sizeof block);
    memset(block, 0, sizeof block);
    return slab_over(block, RECORD_BYTES, RECORDS);
}

static void numbers_start_at_one_and_the_last_freed_is_reused_first(void **state)
{
    (void)state;
    struct slab slab = fresh_slab();
    assert_int_equal(slab_room(&slab), RECORDS);
    for (uint32_t number = 1; number <= 4; number++)
        assert_int_equal(slab_take(&slab), number);
    slab_give(&slab, 2);
    slab_give(&slab, 4);
    assert_int_equal(slab_room(&slab), RECORDS - 2);
    assert_int_equal(slab_take(&slab), 4);
    assert_int_equal(slab_take(&slab), 2);
    assert_int_equal(slab_take(&slab), 5);
    assert_int_equal(slab.live, 5);
    assert_int_equal(slab.used, 5);
}

static void misuse_stops_the_process(void **state)
{
    (void)state;
    struct slab slab = fresh_slab();
    expect_assert_failure(slab_give(&slab, 1));
    for (uint32_t number = 1; number <= RECORDS; number++)
        (void)slab_take(&slab);
    assert_int_equal(slab_room(&slab), 0);
    expect_assert_failure((void)slab_take(&slab));
    expect_assert_failure(slab_give(&slab, 0));
    expect_assert_failure(slab_give(&slab, RECORDS + 1));
    expect_assert_failure((void)slab_over(block, 4, RECORDS));
    expect_assert_failure((void)slab_over(block, 12, RECORDS));
    expect_assert_failure((void)slab_over(block + 8, RECORD_BYTES, RECORDS));
}

/* Random taking and giving; every taken record is zero, and keeps what its owner writes. */
static void live_records_never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng = {seed};
        struct slab slab = fresh_slab();
        uint32_t live[RECORDS];
        uint32_t count = 0;
        for (unsigned step = 0; step < 2000; step++) {
            if (slab_room(&slab) > 0 && prng_below(&prng, 2) == 0) {
                const uint32_t number = slab_take(&slab);
                const uint8_t zero[RECORD_BYTES] = {0};
                assert_in_range(number, 1, RECORDS);
                assert_memory_equal(slab_at(&slab, number), zero, RECORD_BYTES);
                memset(slab_at(&slab, number), (int)number, RECORD_BYTES);
                live[count++] = number;
            } else if (count > 0) {
                const uint32_t chosen = (uint32_t)prng_below(&prng, count);
                uint8_t expected[RECORD_BYTES];
                memset(expected, (int)live[chosen], RECORD_BYTES);
                assert_memory_equal(slab_at(&slab, live[chosen]), expected, RECORD_BYTES);
                slab_give(&slab, live[chosen]);
                live[chosen] = live[--count];
            }
            assert_int_equal(slab.live, count);
            assert_int_equal(slab_room(&slab), RECORDS - count);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_start_at_one_and_the_last_freed_is_reused_first),
        cmocka_unit_test(misuse_stops_the_process),
        cmocka_unit_test(live_records_never_overlap),
    };
    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
