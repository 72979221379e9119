/*
 * One file: what goes in comes out, and nothing that is not what went in is taken for it.
 */
#include "keys/testing.h"

static char detail[KEY_FILE_DETAIL_SIZE];

static struct key_writer_plan plan_of(const struct scratch *scratch, uint64_t count)
{
    return (struct key_writer_plan){.directory = scratch->path,
                                    .serial = 7,
                                    .genesis = test_genesis,
                                    .made_ms = 5000,
                                    .before = 600000,
                                    .count_max = count};
}

/* Writes keys [0, count) in pieces of slices, as the set does. */
static struct key_file write_file(const struct scratch *scratch, uint32_t count, uint32_t slices)
{
    const struct key_writer_plan plan = plan_of(scratch, count);
    struct key_writer *writer = NULL;
    struct kept_key *keys = calloc(count + 1, sizeof *keys);
    struct kept_key *slice = calloc(count + 1, sizeof *slice);
    struct kept_key *spare = calloc(count + 1, sizeof *spare);
    test_keys(keys, 0, count);
    assert_int_equal(key_writer_begin(&plan, &writer, detail), KEY_FILE_OK);
    const uint64_t width = UINT64_MAX / slices + (slices > 1);
    for (uint32_t s = 0; s < slices; s++) {
        const uint64_t first = s * width;
        const uint64_t last = s + 1 == slices ? UINT64_MAX : first + width - 1;
        uint32_t used = 0;
        for (uint32_t i = 0; i < count; i++)
            if (keys[i].hash.word[0] >= first && keys[i].hash.word[0] <= last)
                slice[used++] = keys[i];
        key_records_sort(slice, spare, used, first, last);
        assert_int_equal(key_writer_add(writer, slice, used, detail), KEY_FILE_OK);
    }
    struct key_file file;
    assert_int_equal(key_writer_end(writer, &file, detail), KEY_FILE_OK);
    free(keys);
    free(slice);
    free(spare);
    return file;
}

static void assert_has(const struct key_file *file, uint64_t count)
{
    struct kept_key found;
    bool is_there = false;
    assert_int_equal(file->head.count, count);
    for (uint64_t i = 0; i < count; i++) {
        const struct kept_key wanted = test_key(i);
        assert_true(key_filter_may_have(&file->filter, wanted.hash));
        assert_int_equal(key_file_find(file, wanted.hash, &found, &is_there), KEY_FILE_OK);
        assert_true(is_there);
        assert_key(&found, &wanted);
    }
    for (uint64_t i = count; i < count + 1000; i++) {
        assert_int_equal(key_file_find(file, test_hash(i), &found, &is_there), KEY_FILE_OK);
        assert_false(is_there);
    }
}

static void files_of_any_length_give_back_what_they_were_given(void **state)
{
    (void)state;
    const uint32_t counts[] = {0, 1, 2, 101, 102, 103, 204, 6527, 6528, 6529, 20000};
    for (unsigned i = 0; i < COUNT_OF(counts); i++) {
        for (uint32_t slices = 1; slices <= 5; slices += 4) {
            struct scratch scratch = scratch_make();
            struct key_file written = write_file(&scratch, counts[i], slices);
            assert_has(&written, counts[i]);
            struct key_file opened;
            assert_int_equal(key_file_open(scratch.path, 7, &test_genesis, &opened, detail),
                             KEY_FILE_OK);
            assert_has(&opened, counts[i]);
            assert_memory_equal(&written.head, &opened.head, sizeof opened.head);
            if (counts[i] > 0) {
                assert_int_equal(opened.head.position_first, test_key(0).position);
                assert_int_equal(opened.head.position_last, test_key(counts[i] - 1).position);
                assert_int_equal(opened.head.until_last_ms, test_key(counts[i] - 1).until_ms);
            }
            key_file_close(&written);
            key_file_close(&opened);
            scratch_remove(&scratch);
        }
    }
}

static void keys_that_share_a_high_word_are_told_apart_across_pages(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct scratch scratch = scratch_make();
    const struct key_writer_plan plan = plan_of(&scratch, COUNT);
    struct key_writer *writer = NULL;
    struct key_file file;
    struct kept_key keys[COUNT] = {0};
    assert_int_equal(key_writer_begin(&plan, &writer, detail), KEY_FILE_OK);
    for (uint64_t i = 0; i < COUNT; i++)
        keys[i] = (struct kept_key){.hash = {{i < 10 ? 4 : 5, i * 2}}, .body_hash = i};
    assert_int_equal(key_writer_add(writer, keys, COUNT, detail), KEY_FILE_OK);
    assert_int_equal(key_writer_end(writer, &file, detail), KEY_FILE_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct kept_key found;
        bool is_there = false;
        assert_int_equal(key_file_find(&file, keys[i].hash, &found, &is_there), KEY_FILE_OK);
        assert_true(is_there && found.body_hash == i);
        const struct hash128 between = {
            {keys[i].hash.word[0], keys[i].hash.word[1] + 1}
        };
        assert_int_equal(key_file_find(&file, between, &found, &is_there), KEY_FILE_OK);
        assert_false(is_there);
    }
    key_file_close(&file);
    scratch_remove(&scratch);
}

static enum key_file_fault open_again(const struct scratch *scratch, uint64_t serial)
{
    struct key_file file;
    const enum key_file_fault fault =
        key_file_open(scratch->path, serial, &test_genesis, &file, detail);
    if (fault == KEY_FILE_OK) key_file_close(&file);
    return fault;
}

static void every_bit_flipped_is_found(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    char path[FILE_PATH_SIZE];
    struct key_file file = write_file(&scratch, 3, 1);
    key_file_close(&file);
    path_of(&scratch, 7, path);
    for (uint64_t at = 0; at < 2 * KEY_FILE_PAGE_BYTES; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(path, at, (uint8_t)(1u << bit));
            assert_int_not_equal(open_again(&scratch, 7), KEY_FILE_OK);
            assert_non_null(strstr(detail, path));
            flip(path, at, (uint8_t)(1u << bit));
        }
    }
    assert_int_equal(open_again(&scratch, 7), KEY_FILE_OK);
    scratch_remove(&scratch);
}

static void a_page_that_rots_while_open_is_found_when_read(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    char path[FILE_PATH_SIZE];
    struct key_file file = write_file(&scratch, 3, 1);
    struct kept_key found;
    bool is_there = false;
    path_of(&scratch, 7, path);
    flip(path, KEY_FILE_PAGE_BYTES + 20, 1);
    assert_int_equal(key_file_find(&file, test_hash(1), &found, &is_there), KEY_FILE_DAMAGED);
    assert_int_equal(truncate(path, KEY_FILE_PAGE_BYTES), 0);
    assert_int_equal(key_file_find(&file, test_hash(1), &found, &is_there), KEY_FILE_UNREADABLE);
    key_file_close(&file);
    scratch_remove(&scratch);
}

static void cut_longer_swapped_and_foreign_files_are_named(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    char path[FILE_PATH_SIZE];
    char other[FILE_PATH_SIZE];
    struct key_file file = write_file(&scratch, 300, 1);
    struct key_file_hash genesis = test_genesis;
    key_file_close(&file);
    path_of(&scratch, 7, path);
    path_of(&scratch, 8, other);

    assert_int_equal(open_again(&scratch, 8), KEY_FILE_MISSING);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(open_again(&scratch, 8), KEY_FILE_FOREIGN); /* it says that it is 7 */
    assert_int_equal(rename(other, path), 0);
    genesis.byte[31] ^= 1;
    assert_int_equal(key_file_open(scratch.path, 7, &genesis, &file, detail), KEY_FILE_FOREIGN);

    const off_t whole = 4 * KEY_FILE_PAGE_BYTES;
    const off_t lengths[] = {0, 1, 4095, 4096, whole - 4096, whole - 1, whole + 1, whole + 4096};
    for (unsigned i = 0; i < COUNT_OF(lengths); i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_int_not_equal(open_again(&scratch, 7), KEY_FILE_OK);
    }
    scratch_remove(&scratch);
}

static void add(struct key_writer *writer, const struct kept_key *keys, uint64_t count)
{
    assert_int_equal(key_writer_add(writer, keys, count, detail), KEY_FILE_OK);
}

static void keys_out_of_order_or_twice_are_never_written(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    const struct key_writer_plan plan = plan_of(&scratch, 4);
    struct key_writer *writer = NULL;
    struct kept_key keys[2] = {{.hash = {{2, 0}}}, {.hash = {{1, 9}}}};
    assert_int_equal(key_writer_begin(&plan, &writer, detail), KEY_FILE_OK);
    expect_assert_failure(add(writer, keys, 2));
    expect_assert_failure(add(writer, keys, 1)); /* the same again */
    key_writer_drop(writer);
    assert_int_equal(open_again(&scratch, 7), KEY_FILE_MISSING);
    scratch_remove(
        &scratch); /* and nothing is left of it: the directory is empty but for nothing */
}

static void sorting_sorts(void **state)
{
    (void)state;
    struct prng prng = {5};
    for (uint32_t count = 0; count < 3000; count += 1 + count / 3) {
        struct kept_key *keys = calloc(count + 1, sizeof *keys);
        struct kept_key *spare = calloc(count + 1, sizeof *spare);
        const bool is_narrow = prng_below(&prng, 2) == 0;
        const uint64_t first = is_narrow ? UINT64_C(1) << 63 : 0;
        const uint64_t last = is_narrow ? first + 50 : UINT64_MAX;
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t high = is_narrow ? first + prng_below(&prng, 51) : prng_next(&prng);
            keys[i] = (struct kept_key){.hash = {{high, prng_next(&prng)}}, .position = i};
            sum += keys[i].hash.word[1];
        }
        key_records_sort(keys, spare, count, first, last);
        for (uint32_t i = 0; i < count; i++) {
            sum -= keys[i].hash.word[1];
            if (i == 0) continue;
            const struct hash128 left = keys[i - 1].hash;
            const struct hash128 right = keys[i].hash;
            assert_true(left.word[0] < right.word[0] ||
                        (left.word[0] == right.word[0] && left.word[1] <= right.word[1]));
        }
        assert_int_equal(sum, 0);
        free(keys);
        free(spare);
    }
}

/* 20 bits a key: 0.031 % by the formula. */
static void the_filter_seldom_errs_and_never_forgets(void **state)
{
    (void)state;
    enum { KEYS = 200000, STRANGERS = 1000000 };
    const uint64_t bytes = key_filter_bytes(KEYS);
    assert_true(bytes * 8 >= (uint64_t)KEYS * KEY_FILTER_BITS_PER_KEY);
    assert_true(bytes * 8 < (uint64_t)KEYS * KEY_FILTER_BITS_PER_KEY + 2048);
    void *block = memory_reserve(bytes);
    struct key_filter filter = key_filter_over(block, KEYS);
    unsigned errors = 0;
    for (uint64_t i = 0; i < KEYS; i++)
        key_filter_add(&filter, test_hash(i));
    for (uint64_t i = 0; i < KEYS; i++)
        assert_true(key_filter_may_have(&filter, test_hash(i)));
    for (uint64_t i = 0; i < STRANGERS; i++)
        errors += key_filter_may_have(&filter, test_hash(KEYS + i));
    assert_in_range(errors, 200, 450);
    memory_release(block, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_any_length_give_back_what_they_were_given),
        cmocka_unit_test(keys_that_share_a_high_word_are_told_apart_across_pages),
        cmocka_unit_test(every_bit_flipped_is_found),
        cmocka_unit_test(a_page_that_rots_while_open_is_found_when_read),
        cmocka_unit_test(cut_longer_swapped_and_foreign_files_are_named),
        cmocka_unit_test(keys_out_of_order_or_twice_are_never_written),
        cmocka_unit_test(sorting_sorts),
        cmocka_unit_test(the_filter_seldom_errs_and_never_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
