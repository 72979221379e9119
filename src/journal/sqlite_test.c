/*
 * sqlite_test.c: what can happen to a file: strangers, damage, full disks, deaths.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "journal/core.h"
#include "journal/page.h"
#include "journal/testing.h"
#include "platform/file.h"

#define BODY_BYTES_MAX 3000
#define FILE_BYTES_MAX (8u << 20)

enum { KEPT = 20 }; /* batches behind a cut */

static struct scratch scratch;
static char detail[256];

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

static enum journal_fault try_open(struct journal **journal_out)
{
    return journal_sqlite_open(scratch.path, TEST_KEY, TEST_WRITER, journal_out, detail);
}

static struct journal *must_open(void)
{
    struct journal *journal = NULL;
    const enum journal_fault fault = try_open(&journal);
    if (fault != JOURNAL_OK) print_message("%s\n", detail);
    assert_int_equal(JOURNAL_OK, fault);
    return journal;
}

static void must_close(struct journal *journal)
{
    journal->calls->close(journal);
}

static void assert_detail_names(const char *words)
{
    if (strstr(detail, words) == NULL) print_message("detail: %s\n", detail);
    assert_non_null(strstr(detail, words));
}

/* A journal whose newest batch is `tip`, closed. */
static void make_journal(uint64_t tip)
{
    struct journal *journal = must_open();
    while (journal->tip.sequence < tip)
        assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
    must_close(journal);
}

/* Does to journal.db what somebody with the sqlite3 command could. */
static void meddle(const char *sql)
{
    sqlite3 *other = NULL;
    char *message = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open(in_scratch("journal.db"), &other));
    if (sqlite3_exec(other, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(SQLITE_OK, sqlite3_close(other));
}

static struct bytes journal_bytes(uint8_t *block)
{
    struct bytes bytes = BYTES_NONE;
    struct file_detail why;
    assert_int_equal(FILE_OK,
                     file_read(in_scratch("journal.db"), block, FILE_BYTES_MAX, &bytes, &why));
    return bytes;
}

/* Opening gives the fault, and not one byte of the file is another one after it. */
static void assert_refused_unchanged(enum journal_fault fault)
{
    static uint8_t before[FILE_BYTES_MAX];
    static uint8_t after[FILE_BYTES_MAX];
    const struct bytes old = journal_bytes(before);
    struct journal *journal = NULL;
    const enum journal_fault found = try_open(&journal);
    if (found != fault) print_message("detail: %s\n", detail);
    assert_int_equal(fault, found);
    assert_null(journal);
    assert_true(bytes_equal(old, journal_bytes(after)));
}

/* Opens, reads all in order; the first fault of either, its detail in `detail`. */
static enum journal_fault open_and_read_all(void)
{
    struct journal *journal = NULL;
    enum journal_fault fault = try_open(&journal);
    if (fault != JOURNAL_OK) return fault;
    fault = test_read_all(journal, BODY_BYTES_MAX);
    memcpy(detail, journal->detail, sizeof detail);
    must_close(journal);
    return fault;
}

/* --- strangers -------------------------------------------------------------------------------- */

static void a_stranger_s_file_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct file_detail why;
    const struct bytes files[] = {
        BYTES("x"),
        BYTES("these are the notes of somebody who put them here years ago, and who would be very "
              "sorry to find them gone, or changed in any way at all"),
        BYTES("SQLite format 3"),
    };
    for (size_t at = 0; at < COUNT_OF(files); at++) {
        assert_int_equal(FILE_OK, file_replace(in_scratch("journal.db"), files[at], &why));
        assert_refused_unchanged(JOURNAL_FOREIGN);
        assert_detail_names("journal.db is not a Weir journal");
    }
    assert_int_equal(0, unlink(in_scratch("journal.db")));
    meddle("CREATE TABLE notes(text); INSERT INTO notes VALUES('keep me')");
    assert_refused_unchanged(JOURNAL_FOREIGN);
    meddle("PRAGMA journal_mode=wal; PRAGMA application_id=1234");
    assert_refused_unchanged(JOURNAL_FOREIGN);
    assert_int_not_equal(0, access(in_scratch("journal.db-wal"), F_OK));
}

static void a_reader_refuses_strangers_too(void **state)
{
    (void)state;
    struct journal *reader = NULL;
    struct file_detail why;
    assert_int_equal(JOURNAL_CANNOT_OPEN,
                     journal_sqlite_open_reader(scratch.path, &reader, detail));
    assert_int_equal(FILE_OK, file_replace(in_scratch("journal.db"), BYTES_NONE, &why));
    assert_int_equal(JOURNAL_FOREIGN, journal_sqlite_open_reader(scratch.path, &reader, detail));
    meddle("CREATE TABLE notes(text)");
    assert_int_equal(JOURNAL_FOREIGN, journal_sqlite_open_reader(scratch.path, &reader, detail));
    assert_int_equal(0, unlink(in_scratch("journal.db")));
    make_journal(2);
    meddle("PRAGMA user_version=9");
    assert_int_equal(JOURNAL_OTHER_VERSION,
                     journal_sqlite_open_reader(scratch.path, &reader, detail));
    assert_null(reader);
}

static void another_version_is_refused_and_left_alone(void **state)
{
    (void)state;
    make_journal(3);
    meddle("PRAGMA user_version=2");
    assert_refused_unchanged(JOURNAL_OTHER_VERSION);
    assert_detail_names("is of format 2");
}

static void an_empty_file_is_founded(void **state)
{
    (void)state;
    struct file_detail why;
    assert_int_equal(FILE_OK, file_replace(in_scratch("journal.db"), BYTES_NONE, &why));
    struct journal *journal = must_open();
    assert_true(journal->is_new);
    must_close(journal);
}

static void what_a_founding_that_died_left_behind_is_in_nobody_s_way(void **state)
{
    (void)state;
    struct file_detail why;
    const char *names[] = {"journal.db.new", "journal.db.new-wal", "journal.db.new-shm",
                           "journal.db.new-journal"};
    for (size_t at = 0; at < COUNT_OF(names); at++)
        assert_int_equal(FILE_OK, file_replace(in_scratch(names[at]), BYTES("half"), &why));
    struct journal *journal = must_open();
    assert_true(journal->is_new);
    must_close(journal);
    for (size_t at = 0; at < COUNT_OF(names); at++)
        assert_int_not_equal(0, access(in_scratch(names[at]), F_OK));
}

static void a_log_without_its_file_is_not_thrown_away(void **state)
{
    (void)state;
    struct file_detail why;
    const char *log = "journal.db-wal";
    assert_int_equal(FILE_OK, file_replace(in_scratch(log), BYTES("all that is left"), &why));
    struct journal *journal = NULL;
    assert_int_equal(JOURNAL_DAMAGED, try_open(&journal));
    assert_detail_names("journal.db-wal");
    char block[64];
    struct bytes bytes;
    assert_int_equal(FILE_OK, file_read(in_scratch(log), block, sizeof block, &bytes, &why));
    assert_true(bytes_equal(BYTES("all that is left"), bytes));
}

static void a_directory_that_is_not_there_says_so(void **state)
{
    (void)state;
    struct journal *journal = NULL;
    assert_int_equal(JOURNAL_WRITE_FAILED, journal_sqlite_open(in_scratch("none"), TEST_KEY,
                                                               TEST_WRITER, &journal, detail));
    assert_detail_names("none/journal.db");
    static char deep[FILE_PATH_SIZE];
    memset(deep, 'x', sizeof deep - 1);
    assert_int_equal(JOURNAL_CANNOT_OPEN,
                     journal_sqlite_open(deep, TEST_KEY, TEST_WRITER, &journal, detail));
    assert_int_equal(JOURNAL_CANNOT_OPEN, journal_sqlite_open_reader(deep, &journal, detail));
}

/* --- settings --------------------------------------------------------------------------------- */

static sqlite3 *newest_connection;

static int note_connection(sqlite3 *connection, const char **message,
                           const struct sqlite3_api_routines *routines)
{
    (void)message;
    (void)routines;
    newest_connection = connection;
    return SQLITE_OK;
}

static void assert_setting(const char *name, const char *expected)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA %s", name);
    sqlite3_stmt *statement = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(newest_connection, sql, -1, &statement, NULL));
    assert_int_equal(SQLITE_ROW, sqlite3_step(statement));
    assert_string_equal(expected, (const char *)sqlite3_column_text(statement, 0));
    assert_int_equal(SQLITE_OK, sqlite3_finalize(statement));
}

static void the_writer_runs_with_the_settings_that_durability_needs(void **state)
{
    (void)state;
    struct journal *journal = must_open();
    assert_setting("journal_mode", "wal");
    assert_setting("synchronous", "2");
    assert_setting("page_size", "16384");
    assert_setting("wal_autocheckpoint", "64");
    assert_setting("locking_mode", "normal");
    must_close(journal);
}

static void a_file_of_another_page_size_is_refused(void **state)
{
    (void)state;
    make_journal(3);
    meddle("PRAGMA journal_mode=delete; PRAGMA page_size=4096; VACUUM; PRAGMA journal_mode=wal");
    assert_refused_unchanged(JOURNAL_SETTING_REFUSED);
    assert_detail_names("page_size is '4096' where it must be '16384'");
}

static void a_file_taken_out_of_log_mode_is_put_back(void **state)
{
    (void)state;
    make_journal(3);
    meddle("PRAGMA journal_mode=delete");
    struct journal *journal = must_open();
    assert_setting("journal_mode", "wal");
    must_close(journal);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Goal: nothing in a row can be another than what was written.
 * Method: change each column of a middle row, of the tip and of genesis, one at a time. */
static void a_change_anywhere_in_a_row_is_found_and_named(void **state)
{
    (void)state;
    const char *changes[] = {
        "partition=1",
        "partition=partition+4294967296",
        "epoch=epoch+1",
        "epoch=-epoch",
        "kind=3-kind",
        "kind=kind+4294967296",
        "writer=writer+1",
        "version=version+4294967296",
        "version=2",
        "first_ms=first_ms-1",
        "last_ms=last_ms+1",
        "entries=entries+1",
        "entries=entries+4294967296",
        "previous=randomblob(32)",
        "previous=CAST(previous||x'00' AS BLOB)",
        "hash=zeroblob(32)",
        "hash=x''",
        "body=CAST(body||x'00' AS BLOB)",
        "body=x''",
        "body=zeroblob(5000000)",
        "body=CAST(x'ff'||body AS BLOB)",
    };
    const struct {
        uint64_t sequence;
        const char *named;
    } rows[] = {
        {1, "batch 1 "},
        {5, "batch 5 "},
        {9, "batch 9 "}
    };
    make_journal(9);
    meddle("PRAGMA journal_mode=delete; CREATE TABLE copy AS SELECT * FROM batch");
    for (size_t at = 0; at < COUNT_OF(changes); at++) {
        for (size_t row = 0; row < COUNT_OF(rows); row++) {
            char sql[256];
            (void)snprintf(sql, sizeof sql, "UPDATE batch SET %s WHERE sequence=%" PRIu64,
                           changes[at], rows[row].sequence);
            meddle(sql);
            const enum journal_fault fault = open_and_read_all();
            if (fault != JOURNAL_DAMAGED) print_message("%s: %s\n", sql, detail);
            assert_int_equal(JOURNAL_DAMAGED, fault);
            if (strstr(changes[at], "5000000") == NULL) assert_detail_names(rows[row].named);
            meddle("DELETE FROM batch; INSERT INTO batch SELECT * FROM copy");
        }
    }
    assert_int_equal(JOURNAL_OK, open_and_read_all());
}

/* Goal: every single bit of a body and of both hashes is watched, in the file itself.
 * Method: find the bytes in the file, flip one bit at a time. */
static void a_flipped_bit_in_the_file_is_found(void **state)
{
    (void)state;
    static uint8_t block[FILE_BYTES_MAX];
    make_journal(4);
    struct bytes file = journal_bytes(block);
    const struct bytes body = test_body(3, BODY_BYTES_MAX);
    uint8_t *at = memmem(block, file.length, body.at, body.length);
    assert_non_null(at);
    const int fd = open(in_scratch("journal.db"), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    /* The hashes lie right before the body in the row. */
    const size_t first = (size_t)(at - block) - 2 * (size_t)JOURNAL_HASH_BYTES;
    const size_t length = body.length + 2 * (size_t)JOURNAL_HASH_BYTES;
    for (size_t offset = 0; offset < length; offset += offset < 80 ? 1 : 97) {
        const uint8_t flipped = block[first + offset] ^ (uint8_t)(1u << (offset % 8));
        assert_int_equal(1, pwrite(fd, &flipped, 1, (off_t)(first + offset)));
        const enum journal_fault fault = open_and_read_all();
        if (fault != JOURNAL_DAMAGED) print_message("offset %zu\n", offset);
        assert_int_equal(JOURNAL_DAMAGED, fault);
        assert_detail_names("batch 3 ");
        assert_int_equal(1, pwrite(fd, &block[first + offset], 1, (off_t)(first + offset)));
    }
    assert_int_equal(JOURNAL_OK, open_and_read_all());
    assert_int_equal(0, close(fd));
}

/* Goal: no single bit in the tree that leads to the rows can make rows disappear unnoticed.
 * Method: flip every bit of the header of every page, and two bits of every byte that page 1 uses:
 * the journal is refused, or all its batches are there. */
static void a_flipped_bit_in_the_tree_hides_no_batch(void **state)
{
    (void)state;
    static uint8_t block[FILE_BYTES_MAX];
    const uint64_t tip = 27;
    make_journal(tip);
    const struct bytes file = journal_bytes(block);
    const size_t page_bytes = 16384;
    assert_true(file.length > 3 * page_bytes);
    /* The root is page 2; its rightmost leaf must have rows to lose. */
    const uint32_t rightmost = page_rightmost((struct bytes){block + page_bytes, page_bytes});
    assert_in_range(rightmost, 3, file.length / page_bytes);
    assert_in_range(block[(rightmost - 1) * page_bytes + 4], 3, 20);
    const int fd = open(in_scratch("journal.db"), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    unsigned refused = 0;
    for (size_t offset = 0; offset < file.length; offset++) {
        const bool is_header = offset % page_bytes < 12;
        const bool is_first_page = offset < page_bytes && block[offset] != 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            if (!is_header && !(is_first_page && (bit == 0 || bit == offset % 8))) continue;
            const uint8_t flipped = block[offset] ^ (uint8_t)(1u << bit);
            assert_int_equal(1, pwrite(fd, &flipped, 1, (off_t)offset));
            struct journal *journal = NULL;
            const enum journal_fault fault = try_open(&journal);
            if (fault != JOURNAL_OK) {
                refused++;
            } else {
                if (journal->tip.sequence != tip) print_message("%zu, bit %u\n", offset, bit);
                assert_int_equal(tip, journal->tip.sequence);
                must_close(journal);
            }
            assert_int_equal(0, ftruncate(fd, (off_t)file.length));
            assert_int_equal(page_bytes, pwrite(fd, block, page_bytes, 0));
            assert_int_equal(1, pwrite(fd, block + offset, 1, (off_t)offset));
            (void)unlink(in_scratch("journal.db-wal"));
            (void)unlink(in_scratch("journal.db-shm"));
        }
    }
    assert_true(refused > 300);
    assert_int_equal(0, close(fd));
    assert_int_equal(JOURNAL_OK, open_and_read_all());
}

static void a_damaged_journal_is_not_changed_by_opening_it(void **state)
{
    (void)state;
    make_journal(5);
    meddle("UPDATE batch SET entries=77 WHERE sequence=5");
    assert_refused_unchanged(JOURNAL_DAMAGED);
    assert_detail_names("batch 5 ");

    /* The same with the damage still in the log. */
    sqlite3 *other = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open(in_scratch("journal.db"), &other));
    assert_int_equal(SQLITE_OK,
                     sqlite3_db_config(other, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_exec(other, "UPDATE batch SET entries=78 WHERE sequence=5",
                                             NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(other));
    struct stat before;
    struct stat after;
    assert_int_equal(0, stat(in_scratch("journal.db-wal"), &before));
    assert_true(before.st_size > 0);
    assert_refused_unchanged(JOURNAL_DAMAGED);
    assert_int_equal(0, stat(in_scratch("journal.db-wal"), &after));
    assert_int_equal(before.st_size, after.st_size);
}

static void a_genesis_that_follows_something_is_none(void **state)
{
    (void)state;
    make_journal(1);
    struct chain chain;
    assert_true(chain_start(&chain));
    struct genesis genesis = core_genesis(&chain, TEST_KEY, TEST_WRITER);
    genesis.header.previous.byte[0] = 1;
    const struct bytes body = {.at = genesis.body, .length = sizeof genesis.body};
    const struct journal_hash hash = chain_hash(&chain, &genesis.header, body);
    chain_end(&chain);
    char sql[512];
    int used = snprintf(sql, sizeof sql, "UPDATE batch SET previous=x'01%062d',hash=x'", 0);
    for (unsigned at = 0; at < JOURNAL_HASH_BYTES; at++)
        used += snprintf(sql + used, sizeof sql - (size_t)used, "%02x", hash.byte[at]);
    (void)snprintf(sql + used, sizeof sql - (size_t)used, "'");
    meddle(sql);
    assert_refused_unchanged(JOURNAL_DAMAGED);
    assert_detail_names("the chain is broken between batches 0 and 1");
}

static void a_missing_batch_is_found(void **state)
{
    (void)state;
    make_journal(9);
    meddle("PRAGMA journal_mode=delete; CREATE TABLE copy AS SELECT * FROM batch");
    for (unsigned sequence = 1; sequence < 9; sequence++) {
        char sql[64];
        if (sequence == 2) continue; /* a beginning may have been cut */
        (void)snprintf(sql, sizeof sql, "DELETE FROM batch WHERE sequence=%u", sequence);
        meddle(sql);
        assert_refused_unchanged(JOURNAL_DAMAGED);
        assert_detail_names("8 batches where the oldest is number 2 and the newest number 9");
        meddle("DELETE FROM batch; INSERT INTO batch SELECT * FROM copy");
    }
    meddle("DELETE FROM batch");
    assert_refused_unchanged(JOURNAL_DAMAGED);
    meddle("DROP TABLE copy; INSERT INTO batch SELECT 0,0,1,1,0,1,0,0,0,x'00',x'00',x'00'");
    assert_refused_unchanged(JOURNAL_DAMAGED);
}

static void a_beginning_that_is_gone_is_said(void **state)
{
    (void)state;
    make_journal(9);
    meddle("DELETE FROM batch WHERE sequence BETWEEN 2 AND 4");
    struct journal *journal = must_open();
    assert_int_equal(5, journal->first);
    struct batch_header header;
    struct bytes body;
    for (uint64_t sequence = 2; sequence < 5; sequence++)
        assert_int_equal(JOURNAL_CUT, journal->calls->read(journal, sequence, &header, &body));
    assert_int_equal(JOURNAL_OK, journal->calls->read(journal, 5, &header, &body));
    must_close(journal);
    meddle("DELETE FROM batch WHERE sequence=6");
    assert_refused_unchanged(JOURNAL_DAMAGED);
}

/* Goal: with a beginning that goes as fast as batches come, the file stops growing. */
static void what_was_cut_makes_room_for_what_comes(void **state)
{
    (void)state;
    enum { ROUNDS = 6, PER_ROUND = 200 };
    struct journal *journal = must_open();
    uint64_t settled = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned at = 0; at < PER_ROUND; at++) {
            const uint64_t tip = journal->tip.sequence;
            if (tip > KEPT) journal->calls->keep_from(journal, tip - KEPT);
            assert_int_equal(APPEND_COMMITTED, test_append(journal, 60000));
        }
        assert_int_equal(journal->tip.sequence - KEPT - 1, journal->first);
        struct stat status;
        assert_int_equal(0, stat(in_scratch("journal.db"), &status));
        const uint64_t bytes = (uint64_t)status.st_size + journal_sqlite_log_bytes(journal);
        if (round == 1) settled = bytes;
        if (round > 1) assert_true(bytes <= settled + settled / 8);
    }
    must_close(journal);
    journal = must_open();
    assert_int_equal(JOURNAL_OK, test_read_all(journal, 60000));
    must_close(journal);
}

/* Goal: a row that is right by itself, but was never in this journal, breaks the chain.
 * Method: two journals under one key, one row of the other put in the place of ours. */
static void a_row_of_another_journal_breaks_the_chain(void **state)
{
    (void)state;
    make_journal(6);
    struct journal *other = journal_memory_open(TEST_KEY, TEST_WRITER + 1);
    while (other->tip.sequence < 6)
        assert_int_equal(APPEND_COMMITTED, test_append(other, BODY_BYTES_MAX));
    for (uint64_t sequence = 1; sequence <= 6; sequence++) {
        struct batch_header header;
        struct bytes body;
        assert_int_equal(JOURNAL_OK, other->calls->read(other, sequence, &header, &body));
        sqlite3 *connection = NULL;
        sqlite3_stmt *replace = NULL;
        assert_int_equal(SQLITE_OK, sqlite3_open(in_scratch("journal.db"), &connection));
        assert_int_equal(SQLITE_OK,
                         sqlite3_exec(connection,
                                      "CREATE TEMP TABLE kept AS SELECT * FROM batch; BEGIN", NULL,
                                      NULL, NULL));
        assert_int_equal(SQLITE_OK,
                         sqlite3_prepare_v2(connection,
                                            "UPDATE batch SET writer=?1,previous=?2,hash=?3 "
                                            "WHERE sequence=?4",
                                            -1, &replace, NULL));
        (void)sqlite3_bind_int64(replace, 1, (sqlite3_int64)header.writer);
        (void)sqlite3_bind_blob(replace, 2, header.previous.byte, JOURNAL_HASH_BYTES, NULL);
        (void)sqlite3_bind_blob(replace, 3, header.hash.byte, JOURNAL_HASH_BYTES, NULL);
        (void)sqlite3_bind_int64(replace, 4, (sqlite3_int64)sequence);
        assert_int_equal(SQLITE_DONE, sqlite3_step(replace));
        assert_int_equal(SQLITE_OK, sqlite3_finalize(replace));
        assert_int_equal(SQLITE_OK, sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL));

        assert_int_equal(JOURNAL_DAMAGED, open_and_read_all());
        assert_detail_names("the chain is broken between batches");
        /* Genesis is known from the opening, so its successor can be read first. */
        struct journal *journal = NULL;
        if (sequence <= 2) {
            assert_int_equal(JOURNAL_OK, try_open(&journal));
            assert_int_equal(JOURNAL_DAMAGED, journal->calls->read(journal, 2, &header, &body));
            must_close(journal);
        }
        assert_int_equal(SQLITE_OK,
                         sqlite3_exec(connection,
                                      "DELETE FROM batch; INSERT INTO batch SELECT * FROM kept",
                                      NULL, NULL, NULL));
        assert_int_equal(SQLITE_OK, sqlite3_close(connection));
    }
    other->calls->close(other);
    assert_int_equal(JOURNAL_OK, open_and_read_all());
}

static void an_altered_table_is_refused(void **state)
{
    (void)state;
    make_journal(3);
    meddle("ALTER TABLE batch ADD COLUMN note TEXT");
    assert_refused_unchanged(JOURNAL_DAMAGED);
    assert_detail_names("its table was altered");
}

static void somebody_s_trigger_does_not_fire(void **state)
{
    (void)state;
    make_journal(3);
    meddle("CREATE TRIGGER spoil AFTER INSERT ON batch BEGIN DELETE FROM batch WHERE sequence=2; "
           "END");
    struct journal *journal = must_open();
    assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
    assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX));
    must_close(journal);
}

/* Goal: a batch goes in after the very batch that this process knows, and after no other.
 * Method: take the next number, or change what makes the tip the tip, behind the writer's back. */
static void anything_but_its_own_tip_fences_a_writer(void **state)
{
    (void)state;
    const char *changes[] = {
        "INSERT INTO batch SELECT 4,0,1,2,0,1,0,0,1,hash,hash,body FROM batch WHERE sequence=3",
        "UPDATE batch SET hash=zeroblob(32) WHERE sequence=3",
        "UPDATE batch SET epoch=2 WHERE sequence=3",
        "DELETE FROM batch WHERE sequence=3",
    };
    for (size_t at = 0; at < COUNT_OF(changes); at++) {
        make_journal(3);
        struct journal *journal = must_open();
        meddle(changes[at]);
        assert_int_equal(APPEND_FENCED, test_append(journal, BODY_BYTES_MAX));
        assert_int_equal(3, journal->tip.sequence);
        assert_non_null(strstr(journal->detail, "find the other server"));
        must_close(journal);
        assert_int_equal(0, unlink(in_scratch("journal.db")));
    }
}

/* --- readers ---------------------------------------------------------------------------------- */

static void a_reader_sees_what_is_committed_while_the_writer_writes(void **state)
{
    (void)state;
    struct journal *journal = must_open();
    struct journal *reader = NULL;
    assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
    assert_int_equal(JOURNAL_OK, journal_sqlite_open_reader(scratch.path, &reader, detail));
    assert_int_equal(2, reader->tip.sequence);
    assert_memory_equal(&TEST_KEY, &reader->key, sizeof TEST_KEY);
    for (uint64_t sequence = 3; sequence <= 40; sequence++) {
        struct batch_header header;
        struct bytes body;
        assert_int_equal(JOURNAL_READ_FAILED,
                         reader->calls->read(reader, sequence, &header, &body));
        assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
        assert_int_equal(JOURNAL_OK, reader->calls->read(reader, sequence, &header, &body));
        assert_true(bytes_equal(test_body(sequence, BODY_BYTES_MAX), body));
    }
    must_close(reader);
    must_close(journal);
}

static void a_reader_cannot_write(void **state)
{
    (void)state;
    make_journal(3);
    struct journal *reader = NULL;
    assert_int_equal(JOURNAL_OK, journal_sqlite_open_reader(scratch.path, &reader, detail));
    assert_int_equal(SQLITE_READONLY,
                     sqlite3_exec(newest_connection, "DELETE FROM batch", NULL, NULL, NULL));
    assert_int_equal(SQLITE_READONLY,
                     sqlite3_exec(newest_connection, "PRAGMA query_only=off; DELETE FROM batch",
                                  NULL, NULL, NULL));
    assert_setting("locking_mode", "normal");
    must_close(reader);
}

static void the_log_stays_small_beside_a_reader(void **state)
{
    (void)state;
    struct journal *journal = must_open();
    struct journal *reader = NULL;
    assert_int_equal(JOURNAL_OK, journal_sqlite_open_reader(scratch.path, &reader, detail));
    for (unsigned batch = 0; batch < 500; batch++) {
        struct batch_header header;
        struct bytes body;
        assert_int_equal(APPEND_COMMITTED, test_append(journal, 60000));
        assert_int_equal(JOURNAL_OK,
                         reader->calls->read(reader, journal->tip.sequence, &header, &body));
    }
    const uint64_t log_bytes = journal_sqlite_log_bytes(journal);
    assert_true(log_bytes > 0);
    assert_true(log_bytes < 4u << 20);
    must_close(reader);
    must_close(journal);
}

static void a_clean_end_leaves_one_file(void **state)
{
    (void)state;
    make_journal(20);
    assert_int_equal(0, access(in_scratch("journal.db"), F_OK));
    assert_int_not_equal(0, access(in_scratch("journal.db-wal"), F_OK));
    assert_int_not_equal(0, access(in_scratch("journal.db-shm"), F_OK));
    struct stat status;
    assert_int_equal(0, stat(in_scratch("journal.db"), &status));
    assert_int_equal(0600, status.st_mode & 0777);
}

/* --- deaths ----------------------------------------------------------------------------------- */

struct end {
    uint64_t sequence; /* of the last batch that was acknowledged */
    enum append_result result;
    char detail[256];
};

/* Appends until the disk has no more; reports how that ended. Never returns. */
static void append_until_full(int report)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct journal *journal = NULL;
    struct end end = {.result = APPEND_NONE};
    if (try_open(&journal) == JOURNAL_OK) {
        const struct rlimit limit = {.rlim_cur = 1u << 20, .rlim_max = 1u << 20};
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        for (unsigned batch = 0; batch < 1000; batch++) {
            end.result = test_append(journal, BODY_BYTES_MAX * 20);
            if (end.result != APPEND_COMMITTED) break;
        }
        end.sequence = journal->tip.sequence;
        memcpy(end.detail, journal->detail, sizeof end.detail);
        if (test_append(journal, 1) != end.result) end.result = APPEND_NONE;
    }
    _exit(write(report, &end, sizeof end) == (ssize_t)sizeof end ? 0 : 1);
}

static void a_full_disk_is_unknown_and_takes_nothing_back(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(0, pipe(ends));
    const pid_t child = fork();
    if (child == 0) append_until_full(ends[1]);
    struct end end;
    assert_int_equal(sizeof end, read(ends[0], &end, sizeof end));
    assert_int_equal(child, waitpid(child, NULL, 0));
    assert_int_equal(0, close(ends[0]));
    assert_int_equal(0, close(ends[1]));
    assert_int_equal(APPEND_UNKNOWN, end.result);
    assert_true(end.sequence > 3);
    assert_non_null(strstr(end.detail, "may or may not be there"));

    struct journal *journal = must_open();
    assert_in_range(journal->tip.sequence, end.sequence, end.sequence + 1);
    assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX * 20));
    must_close(journal);
}

/* Appends for ever, perhaps cutting what is older than KEPT batches, and says each sequence once it
 * is committed. Never returns. */
static void append_and_tell(int told, bool cuts)
{
    struct journal *journal = NULL;
    if (try_open(&journal) != JOURNAL_OK) _exit(1);
    do {
        const uint64_t tip = journal->tip.sequence;
        if (cuts && tip > KEPT) journal->calls->keep_from(journal, tip - KEPT);
        if (test_append(journal, BODY_BYTES_MAX) != APPEND_COMMITTED) break;
    } while (write(told, &journal->tip.sequence, sizeof journal->tip.sequence) ==
             (ssize_t)sizeof journal->tip.sequence);
    _exit(1);
}

/* Lets a child append until it has told of `batches`, kills it, and gives the last it told of. */
static uint64_t append_and_die(uint64_t batches, bool cuts)
{
    int ends[2];
    assert_int_equal(0, pipe(ends));
    const pid_t child = fork();
    if (child == 0) append_and_tell(ends[1], cuts);
    assert_int_equal(0, close(ends[1]));
    uint64_t last = 0;
    uint64_t sequence;
    while (batches-- > 0) {
        assert_int_equal(sizeof sequence, read(ends[0], &sequence, sizeof sequence));
        last = sequence;
    }
    assert_int_equal(0, kill(child, SIGKILL));
    while (read(ends[0], &sequence, sizeof sequence) == (ssize_t)sizeof sequence)
        last = sequence;
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(0, close(ends[0]));
    return last;
}

/* Goal: kill -9 at any instant loses nothing that was acknowledged.
 * Method: a child appends and tells; it is killed in the middle, again and again on one journal. */
static void every_acknowledged_batch_survives_kill_9(void **state)
{
    (void)state;
    struct prng prng = {7};
    for (unsigned death = 0; death < 12; death++) {
        const uint64_t told = append_and_die(1 + prng_below(&prng, 80), death % 2 == 1);
        struct journal *journal = must_open();
        assert_in_range(journal->tip.sequence, told, told + 1);
        assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX));
        assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
        must_close(journal);
    }
}

static void a_torn_tail_that_was_never_acknowledged_is_cut(void **state)
{
    (void)state;
    for (unsigned tear = 0; tear < 4; tear++) {
        const uint64_t told = append_and_die(5, false);
        const int fd = open(in_scratch("journal.db-wal"), O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(fd >= 0);
        const struct bytes rubbish = test_body(1000 + tear, 40000);
        assert_int_equal(rubbish.length, write(fd, rubbish.at, rubbish.length));
        assert_int_equal(0, close(fd));
        struct journal *journal = must_open();
        assert_in_range(journal->tip.sequence, told, told + 1);
        assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX));
        must_close(journal);
    }
}

#define SCRATCH_TEST(name) cmocka_unit_test_setup_teardown(name, make_scratch, remove_scratch)

int main(void)
{
    assert_int_equal(SQLITE_OK, sqlite3_auto_extension((void (*)(void))note_connection));
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(a_stranger_s_file_is_refused_and_left_alone),
        SCRATCH_TEST(a_reader_refuses_strangers_too),
        SCRATCH_TEST(another_version_is_refused_and_left_alone),
        SCRATCH_TEST(an_empty_file_is_founded),
        SCRATCH_TEST(what_a_founding_that_died_left_behind_is_in_nobody_s_way),
        SCRATCH_TEST(a_log_without_its_file_is_not_thrown_away),
        SCRATCH_TEST(a_directory_that_is_not_there_says_so),
        SCRATCH_TEST(the_writer_runs_with_the_settings_that_durability_needs),
        SCRATCH_TEST(a_file_of_another_page_size_is_refused),
        SCRATCH_TEST(a_file_taken_out_of_log_mode_is_put_back),
        SCRATCH_TEST(a_change_anywhere_in_a_row_is_found_and_named),
        SCRATCH_TEST(a_flipped_bit_in_the_file_is_found),
        SCRATCH_TEST(a_flipped_bit_in_the_tree_hides_no_batch),
        SCRATCH_TEST(a_damaged_journal_is_not_changed_by_opening_it),
        SCRATCH_TEST(a_genesis_that_follows_something_is_none),
        SCRATCH_TEST(a_missing_batch_is_found),
        SCRATCH_TEST(a_beginning_that_is_gone_is_said),
        SCRATCH_TEST(what_was_cut_makes_room_for_what_comes),
        SCRATCH_TEST(a_row_of_another_journal_breaks_the_chain),
        SCRATCH_TEST(an_altered_table_is_refused),
        SCRATCH_TEST(somebody_s_trigger_does_not_fire),
        SCRATCH_TEST(anything_but_its_own_tip_fences_a_writer),
        SCRATCH_TEST(a_reader_sees_what_is_committed_while_the_writer_writes),
        SCRATCH_TEST(a_reader_cannot_write),
        SCRATCH_TEST(the_log_stays_small_beside_a_reader),
        SCRATCH_TEST(a_clean_end_leaves_one_file),
        SCRATCH_TEST(a_full_disk_is_unknown_and_takes_nothing_back),
        SCRATCH_TEST(every_acknowledged_batch_survives_kill_9),
        SCRATCH_TEST(a_torn_tail_that_was_never_acknowledged_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
