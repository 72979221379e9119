#include "base/index.h"

#include "base/prng.h"
#include "base/testing.h"

#define ENTRIES 5000u

struct pair {
    uint64_t hash;
    uint32_t number;
    bool found;
};

/* The model: a plain list of what should be there. */
struct model {
    struct pair pairs[ENTRIES];
    uint32_t count;
};

static struct model model;

static void *block_for(uint32_t entries_max)
{
    const uint64_t bytes = index_bytes(entries_max);
    assert_int_equal(bytes % 64, 0);
    void *block = aligned_alloc(64, bytes);
    assert_non_null(block);
    memset(block, 0, bytes);
    return block;
}

/* Each number under the hash exactly once, nothing that is not there. Tags of other hashes may
 * coincide: numbers tell. */
static void check_hash(const struct index *index, uint64_t hash)
{
    uint32_t expected = 0;
    for (uint32_t entry = 0; entry < model.count; entry++) {
        model.pairs[entry].found = false;
        expected += (uint32_t)model.pairs[entry].hash == (uint32_t)hash;
    }
    uint64_t cursor = 0;
    uint32_t number = 0;
    while ((number = index_find(index, hash, &cursor)) != 0) {
        uint32_t entry = 0;
        while (entry < model.count && (model.pairs[entry].number != number))
            entry++;
        assert_true(entry < model.count);
        assert_true((uint32_t)model.pairs[entry].hash == (uint32_t)hash);
        assert_false(model.pairs[entry].found);
        model.pairs[entry].found = true;
        assert_true(expected-- > 0);
    }
    assert_int_equal(expected, 0);
    assert_int_equal(index_find(index, hash, &cursor), 0); /* the end stays the end */
}

/* Random insertion and removal against the model; `hashes` small makes long chains. */
static void run_model(uint64_t seed, uint64_t hashes, uint32_t entries_max, unsigned steps)
{
    struct prng prng = {seed};
    void *block = block_for(entries_max);
    struct index index = index_over(block, entries_max);
    model.count = 0;
    uint32_t next_number = 1;
    for (unsigned step = 0; step < steps; step++) {
        /* Long runs of growing and of shrinking. */
        const bool growing = step / (steps / 8) % 2 == 0;
        const bool insert = prng_below(&prng, 8) < (growing ? 7 : 2);
        if (insert && model.count < entries_max) {
            const struct pair pair = {.hash =
                                          prng_below(&prng, hashes) * UINT64_C(0x9e3779b97f4a7c15),
                                      .number = next_number++};
            index_insert(&index, pair.hash, pair.number);
            model.pairs[model.count++] = pair;
        } else if (model.count > 0) {
            const uint32_t chosen = (uint32_t)prng_below(&prng, model.count);
            index_remove(&index, model.pairs[chosen].hash, model.pairs[chosen].number);
            model.pairs[chosen] = model.pairs[--model.count];
        }
        assert_int_equal(index.entries, model.count);
        const uint64_t asked = prng_below(&prng, hashes) * UINT64_C(0x9e3779b97f4a7c15);
        if (step % 16 == 0) check_hash(&index, asked);
    }
    for (uint64_t hash = 0; hash < hashes && hash < 2000; hash++)
        check_hash(&index, hash * UINT64_C(0x9e3779b97f4a7c15));
    while (model.count > 0) {
        model.count--;
        index_remove(&index, model.pairs[model.count].hash, model.pairs[model.count].number);
    }
    assert_int_equal(index.entries, 0);
    free(block);
}

static void the_index_agrees_with_a_plain_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        const uint64_t hashes = (const uint64_t[]){1, 3, 40, 1000, 100000, UINT64_MAX}[seed - 1];
        print_message("seed %u\n", (unsigned)seed);
        run_model(seed, hashes, 1200, 16000);
    }
}

static void a_full_index_of_one_hash_still_fits(void **state)
{
    (void)state;
    for (uint32_t entries_max = 1; entries_max <= 200; entries_max++) {
        void *block = block_for(entries_max);
        struct index index = index_over(block, entries_max);
        for (unsigned round = 0; round < 3; round++) {
            for (uint32_t number = 1; number <= entries_max; number++)
                index_insert(&index, 42, number);
            uint64_t cursor = 0;
            uint64_t sum = 0;
            for (uint32_t number = 0; (number = index_find(&index, 42, &cursor)) != 0;)
                sum += number;
            assert_int_equal(sum, (uint64_t)entries_max * (entries_max + 1) / 2);
            for (uint32_t number = 1; number <= entries_max; number++)
                index_remove(&index, 42, number);
            cursor = 0;
            assert_int_equal(index_find(&index, 42, &cursor), 0);
        }
        free(block);
    }
}

static void one_pair_of_many_equal_ones_goes_at_a_time(void **state)
{
    (void)state;
    void *block = block_for(20);
    struct index index = index_over(block, 20);
    for (unsigned copy = 0; copy < 20; copy++)
        index_insert(&index, 7, 3);
    for (unsigned left = 20; left > 0; left--) {
        uint64_t cursor = 0;
        unsigned count = 0;
        while (index_find(&index, 7, &cursor) != 0)
            count++;
        assert_int_equal(count, left);
        index_remove(&index, 7, 3);
    }
    free(block);
}

static void one_entry_too_many_stops_the_process(void **state)
{
    (void)state;
    struct index index = index_over(block_for(30), 30);
    for (uint32_t number = 1; number <= 30; number++)
        index_insert(&index, 42, number);
    expect_assert_failure(index_insert(&index, 42, 31));
    free(index.base);
}

static void misuse_stops_the_process(void **state)
{
    (void)state;
    void *block = block_for(8);
    struct index index = index_over(block, 8);
    expect_assert_failure(index_insert(&index, 1, 0));
    expect_assert_failure(index_remove(&index, 1, 1));
    index_insert(&index, 1, 1);
    expect_assert_failure(index_remove(&index, 1, 2));
    expect_assert_failure(index_remove(&index, 2, 1));
    expect_assert_failure((void)index_over((uint8_t *)block + 8, 8));
    index_prefetch(&index, 1);
    free(block);
}

static void the_same_history_gives_the_same_bytes(void **state)
{
    (void)state;
    void *blocks[2];
    for (unsigned copy = 0; copy < 2; copy++) {
        blocks[copy] = block_for(ENTRIES);
        struct index index = index_over(blocks[copy], ENTRIES);
        struct prng prng = {9};
        for (uint32_t number = 1; number <= ENTRIES; number++)
            index_insert(&index, prng_next(&prng), number);
        prng.state = 9;
        for (uint32_t number = 1; number <= ENTRIES / 2; number++)
            index_remove(&index, prng_next(&prng), number);
    }
    assert_memory_equal(blocks[0], blocks[1], index_bytes(ENTRIES));
    free(blocks[0]);
    free(blocks[1]);
}

static void well_mixed_hashes_need_few_overflow_buckets(void **state)
{
    (void)state;
    void *block = block_for(100000);
    struct index index = index_over(block, 100000);
    struct prng prng = {3};
    for (uint32_t number = 1; number <= 100000; number++)
        index_insert(&index, prng_next(&prng), number);
    /* Three quarters full: all but about one bucket in five have no chain. */
    assert_in_range(index.buckets, 100000 / 6, index.buckets_max);
    assert_true(index.overflow_used < index.buckets * 3 / 10);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_agrees_with_a_plain_list),
        cmocka_unit_test(a_full_index_of_one_hash_still_fits),
        cmocka_unit_test(one_pair_of_many_equal_ones_goes_at_a_time),
        cmocka_unit_test(one_entry_too_many_stops_the_process),
        cmocka_unit_test(misuse_stops_the_process),
        cmocka_unit_test(the_same_history_gives_the_same_bytes),
        cmocka_unit_test(well_mixed_hashes_need_few_overflow_buckets),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
