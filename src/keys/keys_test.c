/*
 * The set: files come and go, looks find what counts, and every damage is found at the start.
 */
#include "keys/testing.h"

#define PIECE 4096u

static char detail[KEY_FILE_DETAIL_SIZE];

struct told {
    unsigned count;
    enum key_file_fault fault;
    char detail[KEY_FILE_DETAIL_SIZE];
};

static void tell(void *self, enum key_file_fault fault, const char *text)
{
    struct told *told = self;
    told->count++;
    told->fault = fault;
    (void)snprintf(told->detail, sizeof told->detail, "%s", text);
}

static struct keys *make(const struct scratch *scratch, uint64_t memory_max)
{
    return keys_over(memory_reserve(keys_bytes(PIECE)),
                     (struct keys_parts){.directory = scratch->path,
                                         .genesis = test_genesis,
                                         .memory_max = memory_max,
                                         .piece = PIECE});
}

static void finish(struct keys *keys)
{
    keys_close(keys);
    memory_release(keys, keys_bytes(PIECE));
}

/* As a start that is not over. */
static struct keys *begin(const struct scratch *scratch, int64_t now_ms)
{
    struct told told = {0};
    uint32_t bad = 0;
    struct keys *keys = make(scratch, 1 << 24);
    const enum key_file_fault fault = keys_open(keys, now_ms, tell, &told, &bad, detail);
    assert_true(fault == KEY_FILE_OK || fault == KEY_FILE_MISSING);
    assert_int_equal(told.count, 0);
    assert_int_equal(bad, 0);
    return keys;
}

static struct keys *start(const struct scratch *scratch, int64_t now_ms)
{
    struct keys *keys = begin(scratch, now_ms);
    assert_int_equal(keys_accept(keys, detail), KEY_FILE_OK);
    return keys;
}

/* The keys [from, from + count) as one file, in two slices. */
static void put_file(struct keys *keys, uint64_t from, uint32_t count)
{
    const uint64_t middle = UINT64_C(1) << 63;
    assert_true(keys_plan(keys, count, 0, 1));
    for (unsigned half = 0; half < 2; half++) {
        uint32_t used = 0;
        for (uint64_t i = from; i < from + count; i++)
            if (test_hash(i).word[0] >> 63 == half) keys_piece(keys)[used++] = test_key(i);
        assert_int_equal(
            keys_write(keys, used, half * middle, half * middle + (middle - 1), detail),
            KEY_FILE_OK);
    }
    assert_int_equal(keys_write_end(keys, detail), KEY_FILE_OK);
    keys_show(keys);
}

static struct key_answer look(struct keys *keys, uint64_t number)
{
    struct key_question question;
    struct key_answer answer = {.found = KEY_LOOK_ABSENT};
    if (keys_may_have(keys, test_hash(number), 0, &question))
        keys_look(keys, &question, &answer, detail);
    return answer;
}

static void assert_kept(struct keys *keys, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++) {
        const struct kept_key wanted = test_key(i);
        const struct key_answer answer = look(keys, i);
        assert_int_equal(answer.found, KEY_LOOK_FOUND);
        assert_key(&answer.kept, &wanted);
        assert_true(keys_has(keys, wanted));
    }
}

static void assert_absent(struct keys *keys, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++)
        assert_int_equal(look(keys, i).found, KEY_LOOK_ABSENT);
}

static void files_are_asked_until_all_in_them_is_over(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct keys *keys = start(&scratch, 0);
    assert_absent(keys, 0, 100);
    put_file(keys, 0, 1000);
    put_file(keys, 1000, 500);
    assert_kept(keys, 0, 1500);
    assert_absent(keys, 1500, 1000);
    assert_int_equal(keys_status(keys).files, 2);
    assert_int_equal(keys_status(keys).kept, 1500);
    assert_int_equal(keys_status(keys).position_first, test_key(0).position);

    assert_false(keys_hide_over(keys, 1998)); /* the last of the first file is over at 1999 */
    assert_true(keys_hide_over(keys, 1999));
    assert_absent(keys, 0, 1000);
    assert_kept(keys, 1000, 500);
    assert_int_equal(keys_drop(keys, detail), KEY_FILE_OK);
    keys_dropped(keys);
    assert_int_equal(keys_status(keys).files, 1);
    finish(keys);

    keys = start(&scratch, 1999);
    assert_kept(keys, 1000, 500);
    assert_int_equal(keys_status(keys).generation, 4);
    finish(keys);
    keys = start(&scratch, 5000); /* over while nobody ran */
    assert_int_equal(keys_status(keys).files, 0);
    put_file(keys, 7000, 1);
    char path[FILE_PATH_SIZE];
    path_of(&scratch, 3, path);
    assert_int_equal(access(path, F_OK), 0); /* serials are never used again */
    path_of(&scratch, 2, path);
    assert_int_not_equal(access(path, F_OK), 0);
    finish(keys);
    scratch_remove(&scratch);
}

static void only_files_newer_than_an_answer_are_asked_again(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct keys *keys = start(&scratch, 0);
    struct key_question question;
    put_file(keys, 0, 100);
    assert_true(keys_may_have(keys, test_hash(5), 0, &question));
    assert_int_equal(question.through, 1);
    assert_false(keys_may_have(keys, test_hash(5), 1, &question));
    put_file(keys, 0, 100);
    assert_true(keys_may_have(keys, test_hash(5), 1, &question));
    assert_int_equal(question.through, 2);
    finish(keys);
    scratch_remove(&scratch);
}

/* A key that was over was bound anew, and both files are still there. */
static void of_two_the_later_counts(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 10);
    struct kept_key anew = test_key(4);
    anew.position += 1000000;
    anew.until_ms += 100000;
    assert_true(keys_plan(keys, 1, 0, 1));
    keys_piece(keys)[0] = anew;
    assert_int_equal(keys_write(keys, 1, 0, UINT64_MAX, detail), KEY_FILE_OK);
    assert_int_equal(keys_write_end(keys, detail), KEY_FILE_OK);
    keys_show(keys);
    const struct key_answer answer = look(keys, 4);
    assert_key(&answer.kept, &anew);
    assert_false(keys_has(keys, test_key(4)));
    assert_true(keys_has(keys, anew));
    finish(keys);
    scratch_remove(&scratch);
}

static void no_more_filters_than_there_is_memory_for(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct told told = {0};
    uint32_t bad = 0;
    struct keys *keys = make(&scratch, 3 * key_file_memory(1000));
    assert_int_equal(keys_open(keys, 0, tell, &told, &bad, detail), KEY_FILE_MISSING);
    assert_int_equal(keys_accept(keys, detail), KEY_FILE_OK);
    for (unsigned i = 0; i < 3; i++)
        put_file(keys, i * 1000, 1000);
    assert_false(keys_plan(keys, 1000, 0, 1));
    assert_true(keys_hide_over(keys, 1999));
    assert_int_equal(keys_drop(keys, detail), KEY_FILE_OK);
    keys_dropped(keys);
    put_file(keys, 9000, 1000);
    assert_kept(keys, 1000, 2000);
    assert_kept(keys, 9000, 1000);
    finish(keys);
    scratch_remove(&scratch);
}

static void a_file_that_was_not_finished_leaves_nothing(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 10);
    assert_true(keys_plan(keys, 100, 0, 1));
    test_keys(keys_piece(keys), 100, 50);
    assert_int_equal(keys_write(keys, 50, 0, UINT64_MAX, detail), KEY_FILE_OK);
    /* The process dies here: only what is on disk remains, and the half file with it. */
    struct keys *next = start(&scratch, 0);
    assert_kept(next, 0, 10);
    assert_absent(next, 100, 50);
    put_file(next, 100, 50);
    assert_kept(next, 100, 50);
    finish(next);
    finish(keys);
    scratch_remove(&scratch);
}

/* Between the file's name and the list: it stands, and counts for nothing. */
static void a_file_that_was_not_listed_yet_goes(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    char list[FILE_PATH_SIZE];
    char aside[FILE_PATH_SIZE];
    char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch.path, "keys.weir", list));
    assert_true(file_path(scratch.path, "aside", aside));
    path_of(&scratch, 2, path);
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 10);
    assert_int_equal(link(list, aside), 0);
    put_file(keys, 10, 10);
    finish(keys);
    assert_int_equal(rename(aside, list), 0);
    keys = start(&scratch, 0);
    assert_kept(keys, 0, 10);
    assert_absent(keys, 10, 10);
    assert_int_not_equal(access(path, F_OK), 0);
    finish(keys);
    scratch_remove(&scratch);
}

static void a_strange_file_under_our_name_is_told_and_stays(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct told told = {0};
    uint32_t bad = 0;
    char path[FILE_PATH_SIZE];
    path_of(&scratch, 1, path);
    FILE *file = fopen(path, "w");
    assert_true(file != NULL && fputs("mine", file) >= 0 && fclose(file) == 0);
    struct keys *keys = make(&scratch, 1 << 24);
    assert_int_equal(keys_open(keys, 0, tell, &told, &bad, detail), KEY_FILE_MISSING);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.detail, path));
    assert_int_equal(keys_accept(keys, detail), KEY_FILE_OK);
    put_file(keys, 0, 10); /* beside it */
    assert_kept(keys, 0, 10);
    finish(keys);
    struct bytes bytes;
    char block[16];
    struct file_detail file_detail;
    assert_int_equal(file_read(path, block, sizeof block, &bytes, &file_detail), FILE_OK);
    assert_int_equal(bytes.length, 4);
    scratch_remove(&scratch);
}

/* ---- damage */

struct harm {
    const char *name;
    void (*inflict)(const struct scratch *scratch);
    enum key_file_fault fault; /* of the file; of the list when bad is 0 */
    uint32_t bad;
};

static void harm_byte(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    path_of(scratch, 2, path);
    flip(path, 5000, 0x40);
}
static void harm_cut(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    path_of(scratch, 2, path);
    assert_int_equal(truncate(path, 4096), 0);
}
static void harm_missing(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    path_of(scratch, 2, path);
    assert_int_equal(unlink(path), 0);
}
static void harm_swapped(const struct scratch *scratch)
{
    char one[FILE_PATH_SIZE];
    char two[FILE_PATH_SIZE];
    path_of(scratch, 1, one);
    path_of(scratch, 2, two);
    assert_int_equal(rename(one, two), 0);
}
/* A whole file of the right journal and number, with other keys: from another life of a copy. */
static void harm_other_life(const struct scratch *scratch)
{
    const struct key_writer_plan plan = {
        .directory = scratch->path, .serial = 2, .genesis = test_genesis, .count_max = 1};
    struct key_writer *writer = NULL;
    struct key_file file;
    const struct kept_key key = test_key(99);
    assert_int_equal(key_writer_begin(&plan, &writer, detail), KEY_FILE_OK);
    assert_int_equal(key_writer_add(writer, &key, 1, detail), KEY_FILE_OK);
    assert_int_equal(key_writer_end(writer, &file, detail), KEY_FILE_OK);
    key_file_close(&file);
}
static void harm_list_byte(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch->path, "keys.weir", path));
    flip(path, 100, 1);
}
static void harm_list_cut(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch->path, "keys.weir", path));
    assert_int_equal(truncate(path, 60), 0);
}
static void harm_list_missing(const struct scratch *scratch)
{
    char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch->path, "keys.weir", path));
    assert_int_equal(unlink(path), 0);
}

static void damage_is_found_named_and_nothing_overwritten(void **state)
{
    (void)state;
    static const struct harm harms[] = {
        {        "a byte",         harm_byte, KEY_FILE_DAMAGED, 1},
        {           "cut",          harm_cut, KEY_FILE_DAMAGED, 1},
        {       "missing",      harm_missing, KEY_FILE_MISSING, 1},
        {       "swapped",      harm_swapped, KEY_FILE_FOREIGN, 2},
        {    "other life",   harm_other_life, KEY_FILE_FOREIGN, 1},
        { "a list's byte",    harm_list_byte, KEY_FILE_DAMAGED, 0},
        {    "a list cut",     harm_list_cut, KEY_FILE_DAMAGED, 0},
        {"a list missing", harm_list_missing, KEY_FILE_MISSING, 0}
    };
    for (unsigned i = 0; i < COUNT_OF(harms); i++) {
        struct scratch scratch = scratch_make();
        struct told told = {0};
        uint32_t bad = 0;
        struct keys *keys = start(&scratch, 0);
        put_file(keys, 0, 300);
        put_file(keys, 300, 300);
        put_file(keys, 600, 300);
        finish(keys);
        harms[i].inflict(&scratch);
        keys = make(&scratch, 1 << 24);
        const enum key_file_fault fault = keys_open(keys, 0, tell, &told, &bad, detail);
        assert_int_equal(bad, harms[i].bad);
        if (bad == 0) {
            assert_int_equal(fault, harms[i].fault);
            assert_non_null(strstr(detail, "keys.weir"));
            /* Once it is moved away, the files are strangers: told, and left alone. */
            assert_int_equal(told.count, fault == KEY_FILE_MISSING ? 3 : 0);
        } else {
            assert_int_equal(fault, KEY_FILE_OK);
            assert_int_equal(told.fault, harms[i].fault);
            assert_non_null(strstr(told.detail, "keys-00000"));
            assert_int_equal(keys_bad(keys, bad - 1).serial, 2);
            assert_kept(keys, 600, 300);
            put_file(keys, 300, 300); /* their keys were found elsewhere */
            keys_forget_bad(keys);
            assert_kept(keys, 300, 600);
            assert_int_equal(keys_accept(keys, detail), KEY_FILE_OK);
            assert_kept(keys, 300, 600);
        }
        finish(keys);
        scratch_remove(&scratch);
    }
}

static void a_list_made_again_is_newer_than_what_it_follows(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct keys *keys = begin(&scratch, 0);
    keys_number_from(keys, 1000);
    put_file(keys, 0, 300);
    assert_int_equal(keys_accept(keys, detail), KEY_FILE_OK);
    assert_int_equal(keys_status(keys).generation, 1001);
    finish(keys);
    keys = start(&scratch, 0);
    assert_int_equal(keys_status(keys).generation, 1001);
    assert_kept(keys, 0, 300);
    finish(keys);
    scratch_remove(&scratch);
}

/* What the directory has: names and lengths, and of our files the bytes' sum. */
static uint64_t digest_of(const struct scratch *scratch, uint64_t *files_out)
{
    uint64_t sum = 0;
    *files_out = 0;
    for (uint64_t serial = 0; serial < 9; serial++) {
        char path[FILE_PATH_SIZE];
        static uint8_t block[1 << 20];
        struct bytes bytes;
        struct file_detail file_detail;
        if (serial == 0)
            assert_true(file_path(scratch->path, "keys.weir", path));
        else
            path_of(scratch, serial, path);
        if (file_read(path, block, sizeof block, &bytes, &file_detail) != FILE_OK) continue;
        ++*files_out;
        for (size_t i = 0; i < bytes.length; i++)
            sum = sum * 31 + bytes.at[i] + serial;
    }
    return sum;
}

static void a_start_that_is_given_up_changes_nothing(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct told told = {0};
    uint32_t bad = 0;
    uint64_t files = 0;
    uint64_t files_after = 0;
    char list[FILE_PATH_SIZE];
    char aside[FILE_PATH_SIZE];
    assert_true(file_path(scratch.path, "keys.weir", list));
    assert_true(file_path(scratch.path, "aside", aside));
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 300);
    put_file(keys, 300, 300);
    assert_int_equal(link(list, aside), 0);
    put_file(keys, 600, 300);
    finish(keys);
    assert_int_equal(rename(aside, list), 0); /* an older list: the third is on none */
    harm_byte(&scratch);                      /* and the second is bad */
    const uint64_t sum = digest_of(&scratch, &files);
    assert_int_equal(files, 4);
    keys = make(&scratch, 1 << 24);
    /* The first is over by then. */
    assert_int_equal(keys_open(keys, 1400, tell, &told, &bad, detail), KEY_FILE_OK);
    assert_int_equal(bad, 1);
    put_file(keys, 300, 300);
    keys_forget_bad(keys);
    assert_kept(keys, 300, 300);
    assert_absent(keys, 0, 300);
    finish(keys);
    assert_int_equal(digest_of(&scratch, &files_after), sum);
    assert_int_equal(files_after, files);
    scratch_remove(&scratch);
}

static void every_bit_of_the_list_counts(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    struct key_list list;
    char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch.path, "keys.weir", path));
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 3);
    finish(keys);
    const uint64_t length = 72 + 88 + 32;
    for (uint64_t at = 0; at < length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(path, at, (uint8_t)(1u << bit));
            assert_int_not_equal(key_list_read(scratch.path, &test_genesis, &list, detail),
                                 KEY_FILE_OK);
            flip(path, at, (uint8_t)(1u << bit));
        }
    }
    assert_int_equal(key_list_read(scratch.path, &test_genesis, &list, detail), KEY_FILE_OK);
    scratch_remove(&scratch);
}

/* The directory is gone: the file at hand fails, the ones before go on. */
static void what_cannot_be_written_is_said_and_changes_nothing(void **state)
{
    (void)state;
    struct scratch scratch = scratch_make();
    char aside[SCRATCH_PATH_SIZE + 8];
    struct keys *keys = start(&scratch, 0);
    put_file(keys, 0, 10);
    (void)snprintf(aside, sizeof aside, "%s-aside", scratch.path);
    assert_int_equal(rename(scratch.path, aside), 0);
    assert_true(keys_plan(keys, 10, 0, 1));
    test_keys(keys_piece(keys), 10, 10);
    assert_int_equal(keys_write(keys, 10, 0, UINT64_MAX, detail), KEY_FILE_UNWRITABLE);
    keys_write_abandon(keys);
    assert_kept(keys, 0, 10);
    assert_int_equal(rename(aside, scratch.path), 0);
    put_file(keys, 10, 10);
    assert_kept(keys, 0, 20);
    finish(keys);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_asked_until_all_in_them_is_over),
        cmocka_unit_test(only_files_newer_than_an_answer_are_asked_again),
        cmocka_unit_test(of_two_the_later_counts),
        cmocka_unit_test(no_more_filters_than_there_is_memory_for),
        cmocka_unit_test(a_file_that_was_not_finished_leaves_nothing),
        cmocka_unit_test(a_file_that_was_not_listed_yet_goes),
        cmocka_unit_test(a_strange_file_under_our_name_is_told_and_stays),
        cmocka_unit_test(damage_is_found_named_and_nothing_overwritten),
        cmocka_unit_test(a_list_made_again_is_newer_than_what_it_follows),
        cmocka_unit_test(a_start_that_is_given_up_changes_nothing),
        cmocka_unit_test(every_bit_of_the_list_counts),
        cmocka_unit_test(what_cannot_be_written_is_said_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
