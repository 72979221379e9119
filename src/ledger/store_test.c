/*
 * store_test.c: ledger.db is founded whole, opened only where it belongs, and refused in a sentence
 * that says what to do, with no byte of it changed.
 */
#include "ledger/store.h"

#include <fcntl.h>
#include <unistd.h>

#include "platform/testing.h"

static const struct ledger_origin ORIGIN = {
    .genesis_hash = {{1, 2, 3}},
    .key = {{4, 5}},
};
static const struct ledger_origin OTHER = {
    .genesis_hash = {{1, 2, 4}},
    .key = {{4, 5}},
};

struct fixture {
    struct scratch scratch;
    char path[FILE_PATH_SIZE];
    struct ledger_detail detail;
};

static int start(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->scratch = scratch_make();
    assert_true(file_path(fixture->scratch.path, "ledger.db", fixture->path));
    *state = fixture;
    return 0;
}

static int stop(void **state)
{
    struct fixture *fixture = *state;
    scratch_remove(&fixture->scratch);
    free(fixture);
    return 0;
}

static struct ledger *open_good(struct fixture *fixture)
{
    struct ledger *ledger = NULL;
    const enum ledger_fault fault =
        ledger_open(fixture->scratch.path, &ORIGIN, &ledger, &fixture->detail);
    if (fault != LEDGER_OK) print_error("%s\n", fixture->detail.text);
    assert_int_equal(LEDGER_OK, fault);
    return ledger;
}

static void found_one(struct fixture *fixture)
{
    ledger_close(open_good(fixture));
}

static size_t read_file(const char *path, uint8_t *block, size_t size)
{
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    const ssize_t got = read(fd, block, size);
    assert_true(got >= 0);
    assert_int_equal(0, close(fd));
    return (size_t)got;
}

/* Opening gives the fault, says the word, and leaves the file as it is. */
static void refuse(struct fixture *fixture, const struct ledger_origin *origin,
                   enum ledger_fault expected, const char *word)
{
    static uint8_t before[1u << 20], after[1u << 20];
    const size_t length = read_file(fixture->path, before, sizeof before);
    struct ledger *ledger = NULL;
    assert_int_equal(expected,
                     ledger_open(fixture->scratch.path, origin, &ledger, &fixture->detail));
    assert_null(ledger);
    if (strstr(fixture->detail.text, word) == NULL) print_error("%s\n", fixture->detail.text);
    assert_non_null(strstr(fixture->detail.text, word));
    assert_int_equal(length, read_file(fixture->path, after, sizeof after));
    assert_memory_equal(before, after, length);
}

static void write_at(const char *path, off_t offset, const void *bytes, size_t length)
{
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(length, pwrite(fd, bytes, length, offset));
    assert_int_equal(0, close(fd));
}

static void alter(struct fixture *fixture, const char *sql)
{
    sqlite3 *connection = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open(fixture->path, &connection));
    assert_int_equal(SQLITE_OK, sqlite3_exec(connection, sql, NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(connection));
}

static void a_ledger_is_founded_where_there_is_none(void **state)
{
    struct fixture *fixture = *state;
    struct ledger *ledger = open_good(fixture);
    int64_t cursor = 0;
    assert_true(ledger_meta(ledger, "cursor_sequence", &cursor));
    assert_int_equal(1, cursor);
    assert_true(ledger_meta(ledger, "usage_cut", &cursor));
    assert_int_equal(0, cursor);
    assert_false(ledger_meta(ledger, "no_such_name", &cursor));
    ledger_close(ledger);
    ledger_close(open_good(fixture));
}

static void an_empty_file_is_no_ledger_yet(void **state)
{
    struct fixture *fixture = *state;
    write_at(fixture->path, 0, "", 0);
    ledger_close(open_good(fixture));
}

static void a_founding_that_was_cut_short_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    char path[FILE_PATH_SIZE];
    assert_true(file_path(fixture->scratch.path, "ledger.db.new", path));
    write_at(path, 0, "half of it", 10);
    ledger_close(open_good(fixture));
}

static void a_foreign_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_at(fixture->path, 0, "a letter to my mother", 21);
    refuse(fixture, &ORIGIN, LEDGER_FOREIGN, "move it away");
    assert_int_equal(0, unlink(fixture->path));
    alter(fixture, "CREATE TABLE letters(text)");
    refuse(fixture, &ORIGIN, LEDGER_FOREIGN, "is not a Weir ledger");
}

static void another_version_is_refused_by_its_number(void **state)
{
    struct fixture *fixture = *state;
    found_one(fixture);
    alter(fixture, "PRAGMA user_version=7");
    refuse(fixture, &ORIGIN, LEDGER_OTHER_VERSION, "format 7");
}

static void the_ledger_of_another_journal_is_refused(void **state)
{
    struct fixture *fixture = *state;
    found_one(fixture);
    refuse(fixture, &OTHER, LEDGER_OTHER_JOURNAL, "another journal");
}

static void a_ledger_whose_tables_were_altered_is_refused(void **state)
{
    struct fixture *fixture = *state;
    found_one(fixture);
    alter(fixture, "ALTER TABLE refunds ADD COLUMN mood TEXT");
    refuse(fixture, &ORIGIN, LEDGER_DAMAGED, "table refunds");
    assert_int_equal(0, unlink(fixture->path));
    found_one(fixture);
    alter(fixture, "DROP INDEX usage_by_decision");
    refuse(fixture, &ORIGIN, LEDGER_DAMAGED, "index usage_by_decision");
    assert_int_equal(0, unlink(fixture->path));
    found_one(fixture);
    alter(fixture, "DELETE FROM meta WHERE name='genesis_hash'");
    refuse(fixture, &ORIGIN, LEDGER_DAMAGED, "which journal");
}

static void what_others_add_beside_the_tables_is_theirs(void **state)
{
    struct fixture *fixture = *state;
    found_one(fixture);
    alter(fixture, "CREATE VIEW mine AS SELECT * FROM usage_events");
    ledger_close(open_good(fixture));
}

static void a_damaged_page_is_refused_as_damage(void **state)
{
    struct fixture *fixture = *state;
    found_one(fixture);
    uint8_t noise[8192];
    memset(noise, 0xa5, sizeof noise);
    write_at(fixture->path, 120, noise, sizeof noise);
    refuse(fixture, &ORIGIN, LEDGER_DAMAGED, "malformed");
}

static void a_log_without_its_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char log_path[FILE_PATH_SIZE];
    assert_true(file_path(fixture->scratch.path, "ledger.db-wal", log_path));
    write_at(log_path, 0, "rows", 4);
    struct ledger *ledger = NULL;
    assert_int_equal(LEDGER_DAMAGED,
                     ledger_open(fixture->scratch.path, &ORIGIN, &ledger, &fixture->detail));
    assert_non_null(strstr(fixture->detail.text, "its log"));
    assert_int_equal(0, access(log_path, F_OK));
}

static void a_reader_finds_no_ledger_or_reads_and_cannot_write(void **state)
{
    struct fixture *fixture = *state;
    struct ledger *reader = NULL;
    assert_int_equal(LEDGER_MISSING,
                     ledger_open_reader(fixture->scratch.path, &ORIGIN, &reader, &fixture->detail));
    struct ledger *writer = open_good(fixture);
    assert_int_equal(LEDGER_OTHER_JOURNAL,
                     ledger_open_reader(fixture->scratch.path, &OTHER, &reader, &fixture->detail));
    assert_int_equal(LEDGER_OK,
                     ledger_open_reader(fixture->scratch.path, NULL, &reader, &fixture->detail));
    assert_true(ledger_exec(writer, "UPDATE meta SET value=9 WHERE name='cursor_ms'"));
    int64_t value = 0;
    assert_true(ledger_meta(reader, "cursor_ms", &value));
    assert_int_equal(9, value);
    assert_false(ledger_exec(reader, "UPDATE meta SET value=8 WHERE name='cursor_ms'"));
    ledger_close(reader);
    ledger_close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ledger_is_founded_where_there_is_none, start, stop),
        cmocka_unit_test_setup_teardown(an_empty_file_is_no_ledger_yet, start, stop),
        cmocka_unit_test_setup_teardown(a_founding_that_was_cut_short_begins_anew, start, stop),
        cmocka_unit_test_setup_teardown(a_foreign_file_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(another_version_is_refused_by_its_number, start, stop),
        cmocka_unit_test_setup_teardown(the_ledger_of_another_journal_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_ledger_whose_tables_were_altered_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_others_add_beside_the_tables_is_theirs, start, stop),
        cmocka_unit_test_setup_teardown(a_damaged_page_is_refused_as_damage, start, stop),
        cmocka_unit_test_setup_teardown(a_log_without_its_database_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_reader_finds_no_ledger_or_reads_and_cannot_write, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
