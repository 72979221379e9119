#include "platform/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "platform/testing.h"

static struct scratch scratch;
static struct file_detail detail;

static int make_scratch(void **state)
{
    (void)state;
    scratch = scratch_make();
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

static const char *in_scratch(const char *name)
{
    static char path[FILE_PATH_SIZE];
    assert_true(file_path(scratch.path, name, path));
    return path;
}

static void assert_detail_names(const char *words)
{
    if (strstr(detail.text, words) == NULL) print_message("detail: %s\n", detail.text);
    assert_non_null(strstr(detail.text, words));
}

static void a_directory_is_made_for_its_owner_only(void **state)
{
    (void)state;
    const char *path = in_scratch("data");
    assert_int_equal(FILE_OK, file_directory_make(path, &detail));
    struct stat status;
    assert_int_equal(0, stat(path, &status));
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(0700, status.st_mode & 0777);
    assert_int_equal(FILE_OK, file_directory_make(path, &detail));
    assert_int_equal(FILE_OK, file_directory_make(in_scratch("slashes//"), &detail));
}

static void a_directory_that_cannot_be_says_why(void **state)
{
    (void)state;
    assert_int_equal(FILE_NO_DIRECTORY, file_directory_make(in_scratch("a/b"), &detail));
    assert_detail_names("/a does not exist");
    const char *path = in_scratch("file");
    assert_int_equal(FILE_OK, file_replace(path, BYTES("x"), &detail));
    assert_int_equal(FILE_NO_DIRECTORY, file_directory_make(path, &detail));
    assert_detail_names("is not a directory");
    assert_int_equal(FILE_NO_DIRECTORY, file_directory_make(in_scratch("file/below"), &detail));
}

static void a_file_is_read_whole_up_to_its_ceiling(void **state)
{
    (void)state;
    const char *path = in_scratch("file");
    assert_int_equal(FILE_OK, file_replace(path, BYTES("four"), &detail));
    char block[4];
    struct bytes bytes = BYTES_NONE;
    assert_int_equal(FILE_OK, file_read(path, block, 4, &bytes, &detail));
    assert_true(bytes_equal(BYTES("four"), bytes));
    assert_int_equal(FILE_TOO_LONG, file_read(path, block, 3, &bytes, &detail));
    assert_detail_names("3 bytes");
    assert_int_equal(FILE_MISSING, file_read(in_scratch("none"), block, 4, &bytes, &detail));
    assert_detail_names("none");
    assert_int_equal(FILE_UNREADABLE, file_read(scratch.path, block, 4, &bytes, &detail));
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    const char *path = in_scratch("file");
    char block[16];
    struct bytes bytes = BYTES_NONE;
    assert_int_equal(FILE_OK, file_replace(path, BYTES("the old one"), &detail));
    assert_int_equal(FILE_OK, file_replace(path, BYTES("new"), &detail));
    assert_int_equal(FILE_OK, file_read(path, block, sizeof block, &bytes, &detail));
    assert_true(bytes_equal(BYTES("new"), bytes));
    struct stat status;
    assert_int_equal(0, stat(path, &status));
    assert_int_equal(0600, status.st_mode & 0777);
    assert_int_not_equal(0, access(in_scratch("file.new"), F_OK));
}

static void a_file_that_cannot_be_written_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(FILE_OK, file_replace(in_scratch("file"), BYTES("old"), &detail));
    assert_int_equal(0, mkdir(in_scratch("file.new"), 0700));
    const char *path = in_scratch("file");
    assert_int_equal(FILE_UNWRITABLE, file_replace(path, BYTES("new"), &detail));
    assert_detail_names("file: cannot be written");
    char block[16];
    struct bytes bytes = BYTES_NONE;
    assert_int_equal(FILE_OK, file_read(path, block, sizeof block, &bytes, &detail));
    assert_true(bytes_equal(BYTES("old"), bytes));
}

static void a_directory_is_not_replaced_by_a_file(void **state)
{
    (void)state;
    assert_int_equal(0, mkdir(in_scratch("data"), 0700));
    assert_int_equal(FILE_UNWRITABLE, file_replace(in_scratch("data"), BYTES("x"), &detail));
    assert_int_not_equal(0, access(in_scratch("data.new"), F_OK));
}

/* A process that takes the lock, says so, and waits to be killed. */
static pid_t hold_lock_elsewhere(void)
{
    int told[2];
    assert_int_equal(0, pipe(told));
    const pid_t child = fork();
    if (child == 0) {
        struct file_lock lock = FILE_LOCK_NONE;
        const enum file_fault fault = file_lock(scratch.path, &lock, &detail);
        const char said = fault == FILE_OK ? 'y' : 'n';
        const ssize_t put = write(told[1], &said, 1);
        (void)put;
        for (;;)
            pause();
    }
    char said = 0;
    assert_int_equal(1, read(told[0], &said, 1));
    assert_int_equal('y', said);
    assert_int_equal(0, close(told[0]));
    assert_int_equal(0, close(told[1]));
    return child;
}

static void a_second_process_is_refused_by_the_name_of_the_first(void **state)
{
    (void)state;
    const pid_t holder = hold_lock_elsewhere();
    struct file_lock lock = FILE_LOCK_NONE;
    const enum file_fault while_held = file_lock(scratch.path, &lock, &detail);
    const struct file_detail told = detail;
    assert_int_equal(0, kill(holder, SIGKILL));
    assert_int_equal(holder, waitpid(holder, NULL, 0));

    assert_int_equal(FILE_LOCKED, while_held);
    assert_int_equal(-1, lock.fd);
    char number[32];
    (void)snprintf(number, sizeof number, "process %ld", (long)holder);
    assert_non_null(strstr(told.text, number));
    assert_non_null(strstr(told.text, scratch.path));

    /* However the holder went, its lock went with it. */
    assert_int_equal(FILE_OK, file_lock(scratch.path, &lock, &detail));
    file_unlock(&lock);
    file_unlock(&lock);
}

static void a_lock_given_back_can_be_taken(void **state)
{
    (void)state;
    struct file_lock lock = FILE_LOCK_NONE;
    struct file_lock other = FILE_LOCK_NONE;
    assert_int_equal(FILE_OK, file_lock(scratch.path, &lock, &detail));
    assert_int_equal(FILE_LOCKED, file_lock(scratch.path, &other, &detail));
    file_unlock(&lock);
    assert_int_equal(FILE_OK, file_lock(scratch.path, &other, &detail));
    file_unlock(&other);
    assert_int_equal(FILE_NO_DIRECTORY, file_lock(in_scratch("none"), &lock, &detail));
}

static void a_foreign_file_of_the_locks_name_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "Dear diary,", "12", "12\n13\n", "\n", "-12\n", "123456789012345678901234567890123\n"};
    struct file_lock lock = FILE_LOCK_NONE;
    char block[64];
    struct bytes bytes = BYTES_NONE;
    for (size_t i = 0; i < COUNT_OF(foreign); i++) {
        const char *path = in_scratch("lock");
        assert_int_equal(FILE_OK, file_replace(path, bytes_of_text(foreign[i]), &detail));
        assert_int_equal(FILE_NO_DIRECTORY, file_lock(scratch.path, &lock, &detail));
        assert_detail_names("/lock");
        assert_int_equal(-1, lock.fd);
        assert_int_equal(FILE_OK, file_read(path, block, sizeof block, &bytes, &detail));
        assert_true(bytes_equal(bytes_of_text(foreign[i]), bytes));
    }
    static const char *const ours[] = {"", "12\n", "12345678\n"};
    for (size_t i = 0; i < COUNT_OF(ours); i++) {
        assert_int_equal(FILE_OK,
                         file_replace(in_scratch("lock"), bytes_of_text(ours[i]), &detail));
        assert_int_equal(FILE_OK, file_lock(scratch.path, &lock, &detail));
        file_unlock(&lock);
    }
}

static void a_file_without_bytes_is_told_from_one_that_is_absent(void **state)
{
    (void)state;
    assert_false(file_is_empty(in_scratch("file")));
    assert_int_equal(FILE_OK, file_replace(in_scratch("file"), BYTES_NONE, &detail));
    assert_true(file_is_empty(in_scratch("file")));
    assert_int_equal(FILE_OK, file_replace(in_scratch("file"), BYTES("x"), &detail));
    assert_false(file_is_empty(in_scratch("file")));
}

static void every_fault_has_its_text(void **state)
{
    (void)state;
    for (int fault = FILE_OK; fault <= FILE_LOCKED; fault++)
        assert_true(strlen(file_fault_text((enum file_fault)fault)) > 0);
    expect_assert_failure((void)file_fault_text((enum file_fault)99));
}

#define SCRATCH_TEST(name) cmocka_unit_test_setup_teardown(name, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(a_directory_is_made_for_its_owner_only),
        SCRATCH_TEST(a_directory_that_cannot_be_says_why),
        SCRATCH_TEST(a_file_is_read_whole_up_to_its_ceiling),
        SCRATCH_TEST(a_file_is_replaced_whole),
        SCRATCH_TEST(a_file_that_cannot_be_written_leaves_the_old_one),
        SCRATCH_TEST(a_directory_is_not_replaced_by_a_file),
        SCRATCH_TEST(a_second_process_is_refused_by_the_name_of_the_first),
        SCRATCH_TEST(a_lock_given_back_can_be_taken),
        SCRATCH_TEST(a_foreign_file_of_the_locks_name_stays_as_it_is),
        SCRATCH_TEST(a_file_without_bytes_is_told_from_one_that_is_absent),
        cmocka_unit_test(every_fault_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
