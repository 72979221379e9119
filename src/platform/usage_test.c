/*
 * usage_test.c: what Linux tells of this very process and of a folder of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/platform.h"

static void a_process_has_memory_descriptors_threads_and_a_beginning(void **state)
{
    (void)state;
    const struct usage_process before = usage_process();
    assert_true(before.resident_bytes > 0);
    assert_true(before.virtual_bytes >= before.resident_bytes);
    assert_true(before.threads >= 1);
    assert_true(before.descriptors >= 1 && before.descriptors <= before.descriptors_max);
    struct clock clock = clock_real(0);
    const int64_t now_ms = clock_now_ms(&clock);
    assert_true(before.started_unix_ms <= now_ms + SECOND_MS);
    assert_true(before.started_unix_ms > now_ms - HOUR_MS);

    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const struct usage_process after = usage_process();
    assert_true(after.descriptors == before.descriptors + 2);
    assert_true(after.cpu_ns >= before.cpu_ns);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

struct seen {
    unsigned first;
    unsigned others;
};

static void count_thread(void *self, const char *name, int64_t cpu_ns)
{
    struct seen *seen = self;
    assert_true(cpu_ns >= 0);
    if (strcmp(name, "main") == 0) ++seen->first;
    if (strcmp(name, "usage-test") == 0) ++seen->others;
}

static bool rest(void *self)
{
    (void)self;
    return false;
}

static void threads_are_told_by_name_and_the_first_one_is_main(void **state)
{
    (void)state;
    struct runner runner;
    struct seen seen = {0};
    assert_true(runner_start(&runner, "usage-test", rest, NULL, 1000));
    /* A thread has its name a moment after it is there. */
    for (unsigned tries = 0; tries < 1000000 && seen.others == 0; ++tries) {
        seen = (struct seen){0};
        usage_threads(count_thread, &seen);
    }
    runner_stop(&runner);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.others, 1);
}

static void add_file(void *self, const char *name, uint64_t bytes)
{
    if (strcmp(name, "here") == 0) *(uint64_t *)self += bytes;
    assert_true(strcmp(name, "folder") != 0);
}

static void files_are_told_with_what_they_take_of_the_disk(void **state)
{
    (void)state;
    enum { LENGTH = 100000 };
    char directory[] = "/tmp/weir-usage-XXXXXX";
    char path[64];
    uint8_t *block = calloc(1, LENGTH);
    struct file_detail detail;
    uint64_t bytes = 0;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/here", directory);
    memset(block, 7, LENGTH);
    assert_int_equal(file_replace(path, (struct bytes){block, LENGTH}, &detail), FILE_OK);
    char folder[64];
    (void)snprintf(folder, sizeof(folder), "%s/folder", directory);
    assert_int_equal(file_directory_make(folder, &detail), FILE_OK);
    assert_true(usage_files(directory, add_file, &bytes));
    assert_true(bytes >= LENGTH);
    const struct usage_filesystem filesystem = usage_filesystem(directory);
    assert_true(filesystem.bytes > 0 && filesystem.free_bytes <= filesystem.bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_false(usage_files(directory, add_file, &bytes));
    assert_true(usage_filesystem(directory).bytes == 0);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_memory_descriptors_threads_and_a_beginning),
        cmocka_unit_test(threads_are_told_by_name_and_the_first_one_is_main),
        cmocka_unit_test(files_are_told_with_what_they_take_of_the_disk),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
