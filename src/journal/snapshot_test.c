/*
 * snapshot_test.c: what is put is read; what is damaged is named.
 */
#include "journal/testing.h"

static struct journal_hash hash_of(uint8_t fill)
{
    struct journal_hash hash;
    memset(hash.byte, fill, sizeof(hash.byte));
    return hash;
}

static void path_of(const struct scratch *folder, uint64_t sequence,
                    char path_out[2 * SCRATCH_PATH_SIZE])
{
    (void)snprintf(path_out, 2 * SCRATCH_PATH_SIZE, "%s/snapshot-%llu.weir", folder->path,
                   (unsigned long long)sequence);
}

static uint64_t write_one(const struct scratch *folder, uint64_t sequence)
{
    struct snapshot_writer *writer = NULL;
    struct snapshot_detail detail;
    uint64_t bytes = 0;
    const struct snapshot_header header = {
        .genesis = hash_of(7), .sequence = sequence, .at_ms = -5};
    assert_int_equal(snapshot_create(folder->path, header, &writer, &detail), SNAPSHOT_OK);
    for (uint32_t i = 0; i < 5; ++i)
        assert_int_equal(snapshot_put(writer, 1 + i % 2, test_body(sequence + i, 3000), &detail),
                         SNAPSHOT_OK);
    assert_int_equal(snapshot_put(writer, 3, BYTES_NONE, &detail), SNAPSHOT_OK);
    assert_int_equal(snapshot_finish(writer, hash_of(9), &bytes, &detail), SNAPSHOT_OK);
    return bytes;
}

static enum snapshot_fault read_one(const struct scratch *folder, uint64_t sequence)
{
    struct snapshot_reader *reader = NULL;
    struct snapshot_detail detail = {""};
    enum snapshot_fault fault = snapshot_open(folder->path, sequence, &reader, &detail);
    uint32_t kind = 1;
    struct bytes piece;
    while (fault == SNAPSHOT_OK && kind != 0)
        fault = snapshot_next(reader, &kind, &piece, &detail);
    if (fault != SNAPSHOT_OK) assert_non_null(strstr(detail.text, folder->path));
    if (reader != NULL) snapshot_close(reader);
    return fault;
}

static void what_was_put_is_read(void **state)
{
    (void)state;
    struct scratch folder = scratch_make();
    struct snapshot_reader *reader = NULL;
    struct snapshot_detail detail;
    struct stat status;
    char path[2 * SCRATCH_PATH_SIZE];
    path_of(&folder, 12, path);
    const uint64_t bytes = write_one(&folder, 12);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, bytes);
    assert_int_equal(snapshot_open(folder.path, 12, &reader, &detail), SNAPSHOT_OK);
    assert_int_equal(snapshot_header(reader).sequence, 12);
    assert_int_equal(snapshot_header(reader).at_ms, -5);
    const struct journal_hash genesis = snapshot_header(reader).genesis;
    const struct journal_hash batch = snapshot_batch_hash(reader);
    assert_int_equal(genesis.byte[31], 7);
    assert_int_equal(batch.byte[31], 9);
    uint32_t kind;
    struct bytes piece;
    for (uint32_t i = 0; i < 6; ++i) {
        assert_int_equal(snapshot_next(reader, &kind, &piece, &detail), SNAPSHOT_OK);
        assert_int_equal(kind, i == 5 ? 3 : 1 + i % 2);
        assert_true(bytes_equal(piece, i == 5 ? BYTES_NONE : test_body(12 + i, 3000)));
    }
    assert_int_equal(snapshot_next(reader, &kind, &piece, &detail), SNAPSHOT_OK);
    assert_int_equal(kind, 0);
    snapshot_close(reader);
    scratch_remove(&folder);
}

static void an_abandoned_one_was_never_there(void **state)
{
    (void)state;
    struct scratch folder = scratch_make();
    struct snapshot_writer *writer = NULL;
    struct snapshot_detail detail;
    struct snapshot_list list;
    const struct snapshot_header header = {.sequence = 4};
    assert_int_equal(snapshot_create(folder.path, header, &writer, &detail), SNAPSHOT_OK);
    assert_int_equal(snapshot_put(writer, 1, BYTES("some"), &detail), SNAPSHOT_OK);
    assert_true(snapshot_list(folder.path, &list) && list.count == 0);
    snapshot_abandon(writer);
    assert_int_equal(rmdir(folder.path), 0);
}

static void a_directory_that_is_gone_is_named(void **state)
{
    (void)state;
    struct snapshot_writer *writer = NULL;
    struct snapshot_detail detail;
    const struct snapshot_header header = {.sequence = 4};
    assert_int_equal(snapshot_create("/nowhere/at/all", header, &writer, &detail),
                     SNAPSHOT_UNWRITABLE);
    assert_non_null(strstr(detail.text, "/nowhere/at/all"));
}

/* Goal: any changed, missing or added byte is found by opening the file. */
static void damage_is_found(void **state)
{
    (void)state;
    struct scratch folder = scratch_make();
    char path[2 * SCRATCH_PATH_SIZE];
    path_of(&folder, 3, path);
    const long bytes = (long)write_one(&folder, 3);
    for (long at = 0; at < bytes; at += at < 200 || at > bytes - 100 ? 1 : 97) {
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        (void)fseek(file, at, SEEK_SET);
        const int byte = fgetc(file);
        (void)fseek(file, at, SEEK_SET);
        (void)fputc(byte ^ 1, file);
        (void)fclose(file);
        assert_int_not_equal(read_one(&folder, 3), SNAPSHOT_OK);
        file = fopen(path, "r+");
        (void)fseek(file, at, SEEK_SET);
        (void)fputc(byte, file);
        (void)fclose(file);
    }
    assert_int_equal(read_one(&folder, 3), SNAPSHOT_OK);
    FILE *file = fopen(path, "a");
    (void)fputc(0, file);
    (void)fclose(file);
    assert_int_equal(read_one(&folder, 3), SNAPSHOT_DAMAGED);
    for (long length = bytes; length >= 0; length -= 1 + length / 7) {
        assert_int_equal(truncate(path, length == bytes ? bytes - 1 : length), 0);
        assert_int_equal(read_one(&folder, 3), SNAPSHOT_DAMAGED);
    }
    scratch_remove(&folder);
}

static void what_is_no_snapshot_is_named(void **state)
{
    (void)state;
    struct scratch folder = scratch_make();
    char path[2 * SCRATCH_PATH_SIZE];
    char other[2 * SCRATCH_PATH_SIZE];
    path_of(&folder, 5, path);
    path_of(&folder, 6, other);
    assert_int_equal(read_one(&folder, 5), SNAPSHOT_UNREADABLE);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_one(&folder, 5), SNAPSHOT_UNREADABLE);
    assert_int_equal(rmdir(path), 0);
    (void)write_one(&folder, 6);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(read_one(&folder, 5), SNAPSHOT_DAMAGED);
    scratch_remove(&folder);
}

static void the_list_is_newest_first_and_the_sweep_keeps_two(void **state)
{
    (void)state;
    struct scratch folder = scratch_make();
    struct snapshot_list list;
    char strange[2 * SCRATCH_PATH_SIZE];
    for (uint64_t sequence = 9; sequence <= 12; ++sequence)
        (void)write_one(&folder, sequence);
    (void)snprintf(strange, sizeof(strange), "%s/snapshot-007.weir", folder.path);
    FILE *file = fopen(strange, "w");
    (void)fclose(file);
    assert_true(snapshot_list(folder.path, &list));
    assert_int_equal(list.count, 4);
    for (uint32_t i = 0; i < 4; ++i)
        assert_int_equal(list.sequences[i], 12 - i);
    snapshot_sweep(folder.path, 11, 9);
    assert_true(snapshot_list(folder.path, &list));
    assert_int_equal(list.count, 3);
    assert_int_equal(list.sequences[0], 12); /* of a future that is not ours to judge */
    assert_int_equal(list.sequences[1], 11);
    assert_int_equal(list.sequences[2], 9);
    assert_int_equal(access(strange, F_OK), 0);
    scratch_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_read),
        cmocka_unit_test(an_abandoned_one_was_never_there),
        cmocka_unit_test(a_directory_that_is_gone_is_named),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(what_is_no_snapshot_is_named),
        cmocka_unit_test(the_list_is_newest_first_and_the_sweep_keeps_two),
    };
    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
