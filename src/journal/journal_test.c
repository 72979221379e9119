/*
 * journal_test.c: what holds for a journal whatever its rows lie in. The same table of tests runs
 * over both implementations.
 */
#include "journal/journal.h"

#include <inttypes.h>
#include <sqlite3.h>

#include "journal/testing.h"

#define BODY_BYTES_MAX 5000

/* One implementation, as tests see it, and the journal under test. */
struct kind {
    const char *name;
    void (*open)(struct kind *kind);
    void (*close)(struct kind *kind);
    void (*reopen)(struct kind *kind);
    void (*intrude)(struct kind *kind); /* somebody else takes the next sequence */
    void (*fill_up)(struct kind *kind); /* the next append finds no room */
    struct journal *journal;
    struct scratch scratch;
};

static char detail[256];

static void sqlite_attach(struct kind *kind)
{
    const enum journal_fault fault =
        journal_sqlite_open(kind->scratch.path, TEST_KEY, TEST_WRITER, &kind->journal, detail);
    if (fault != JOURNAL_OK) print_message("%s\n", detail);
    assert_int_equal(JOURNAL_OK, fault);
}

static void sqlite_start(struct kind *kind)
{
    kind->scratch = scratch_make();
    sqlite_attach(kind);
}

static void sqlite_finish(struct kind *kind)
{
    kind->journal->calls->close(kind->journal);
    scratch_remove(&kind->scratch);
}

static void sqlite_again(struct kind *kind)
{
    kind->journal->calls->close(kind->journal);
    sqlite_attach(kind);
}

static void sqlite_other_writer(struct kind *kind)
{
    char path[SCRATCH_PATH_SIZE + 16];
    (void)snprintf(path, sizeof path, "%s/journal.db", kind->scratch.path);
    sqlite3 *other = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_open(path, &other));
    assert_int_equal(SQLITE_OK,
                     sqlite3_exec(other,
                                  "INSERT INTO batch SELECT sequence+1,partition,epoch,2,writer+1,"
                                  "version,first_ms,last_ms,1,hash,zeroblob(32),body FROM batch "
                                  "ORDER BY sequence DESC LIMIT 1",
                                  NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(other));
}

/* The connection that was opened last by anybody in this process. */
static sqlite3 *newest_connection;

static int note_connection(sqlite3 *connection, const char **message,
                           const struct sqlite3_api_routines *routines)
{
    (void)message;
    (void)routines;
    newest_connection = connection;
    return SQLITE_OK;
}

static void sqlite_no_room(struct kind *kind)
{
    (void)kind;
    assert_int_equal(SQLITE_OK,
                     sqlite3_exec(newest_connection, "PRAGMA max_page_count=1", NULL, NULL, NULL));
}

static void memory_start(struct kind *kind)
{
    kind->journal = journal_memory_open(TEST_KEY, TEST_WRITER);
}

static void memory_finish(struct kind *kind)
{
    kind->journal->calls->close(kind->journal);
}

static void memory_again(struct kind *kind)
{
    journal_memory_reopen(kind->journal, TEST_WRITER);
}

static void memory_other_writer(struct kind *kind)
{
    journal_memory_fail_next(kind->journal, APPEND_FENCED, false);
}

static void memory_no_room(struct kind *kind)
{
    journal_memory_fail_next(kind->journal, APPEND_UNKNOWN, false);
}

static struct kind kinds[] = {
    {
     .name = "sqlite",
     .open = sqlite_start,
     .close = sqlite_finish,
     .reopen = sqlite_again,
     .intrude = sqlite_other_writer,
     .fill_up = sqlite_no_room,
     },
    {
     .name = "memory",
     .open = memory_start,
     .close = memory_finish,
     .reopen = memory_again,
     .intrude = memory_other_writer,
     .fill_up = memory_no_room,
     },
};

static int open_kind(void **state)
{
    struct kind *kind = *state;
    print_message("over %s\n", kind->name);
    kind->open(kind);
    return 0;
}

static int close_kind(void **state)
{
    struct kind *kind = *state;
    kind->close(kind);
    return 0;
}

static void a_new_journal_holds_its_genesis(void **state)
{
    struct kind *kind = *state;
    struct journal *journal = kind->journal;
    assert_true(journal->is_new);
    assert_int_equal(1, journal->tip.sequence);
    assert_int_equal(0, journal->tip.last_ms);
    assert_memory_equal(&TEST_KEY, &journal->key, sizeof TEST_KEY);
    struct batch_header header;
    struct bytes body;
    assert_int_equal(JOURNAL_OK, journal->calls->read(journal, 1, &header, &body));
    assert_int_equal(BATCH_GENESIS, header.kind);
    assert_int_equal(JOURNAL_VERSION, header.version);
    assert_int_equal(0, header.entries);
    assert_true(TEST_WRITER == header.writer);
    assert_memory_equal(&journal->tip.hash, &header.hash, sizeof header.hash);
}

static void what_was_committed_is_read_back_whole_and_chained(void **state)
{
    struct kind *kind = *state;
    struct journal_hash previous = kind->journal->tip.hash;
    for (uint64_t sequence = 2; sequence <= 60; sequence++) {
        struct journal *journal = kind->journal;
        assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
        assert_int_equal(sequence, journal->tip.sequence);
        assert_int_equal((int64_t)sequence * 1000 + 999, journal->tip.last_ms);
        struct batch_header header;
        struct bytes body;
        assert_int_equal(JOURNAL_OK, journal->calls->read(journal, sequence, &header, &body));
        assert_memory_equal(&previous, &header.previous, sizeof previous);
        assert_memory_equal(&journal->tip.hash, &header.hash, sizeof previous);
        assert_true(TEST_WRITER == header.writer);
        previous = header.hash;
    }
    assert_int_equal(JOURNAL_OK, test_read_all(kind->journal, BODY_BYTES_MAX));
}

static void opening_again_finds_everything(void **state)
{
    struct kind *kind = *state;
    for (uint64_t sequence = 2; sequence <= 20; sequence++)
        assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    const struct journal_tip tip = kind->journal->tip;
    kind->reopen(kind);
    assert_false(kind->journal->is_new);
    assert_int_equal(tip.sequence, kind->journal->tip.sequence);
    assert_int_equal(tip.last_ms, kind->journal->tip.last_ms);
    assert_memory_equal(&tip.hash, &kind->journal->tip.hash, sizeof tip.hash);
    assert_memory_equal(&TEST_KEY, &kind->journal->key, sizeof TEST_KEY);
    assert_int_equal(JOURNAL_OK, test_read_all(kind->journal, BODY_BYTES_MAX));
}

static void the_largest_and_the_smallest_body_go_in(void **state)
{
    struct kind *kind = *state;
    static uint8_t block[JOURNAL_BODY_BYTES_MAX];
    const size_t lengths[] = {1, JOURNAL_BODY_BYTES_MAX, 16384, 1};
    for (size_t at = 0; at < COUNT_OF(lengths); at++) {
        memset(block, (int)at + 1, sizeof block);
        const struct bytes body = {.at = block, .length = lengths[at]};
        assert_int_equal(APPEND_COMMITTED, test_append_body(kind->journal, body));
    }
    kind->reopen(kind);
    for (size_t at = 0; at < COUNT_OF(lengths); at++) {
        struct batch_header header;
        struct bytes body;
        assert_int_equal(JOURNAL_OK,
                         kind->journal->calls->read(kind->journal, at + 2, &header, &body));
        assert_int_equal(lengths[at], body.length);
        assert_int_equal(at + 1, body.at[0]);
        assert_int_equal(at + 1, body.at[body.length - 1]);
    }
}

static void a_batch_that_is_not_there_is_not_damage(void **state)
{
    struct kind *kind = *state;
    struct journal *journal = kind->journal;
    struct batch_header header;
    struct bytes body;
    const uint64_t numbers[] = {0, 2, POSITION_SEQUENCE_MAX, UINT64_MAX};
    for (size_t at = 0; at < COUNT_OF(numbers); at++)
        assert_int_equal(JOURNAL_READ_FAILED,
                         journal->calls->read(journal, numbers[at], &header, &body));
    assert_non_null(strstr(journal->detail, "there is no batch"));
}

static void nothing_started_ends_in_nothing(void **state)
{
    struct kind *kind = *state;
    assert_int_equal(APPEND_NONE, kind->journal->calls->append_finish(kind->journal));
    assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(APPEND_NONE, kind->journal->calls->append_finish(kind->journal));
}

static void a_journal_that_somebody_else_writes_is_fenced_for_good(void **state)
{
    struct kind *kind = *state;
    assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    const struct journal_tip tip = kind->journal->tip;
    kind->intrude(kind);
    for (unsigned again = 0; again < 3; again++)
        assert_int_equal(APPEND_FENCED, test_append(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(tip.sequence, kind->journal->tip.sequence);
    assert_memory_equal(&tip.hash, &kind->journal->tip.hash, sizeof tip.hash);
}

static void a_failed_append_is_unknown_for_good_and_what_came_before_is_kept(void **state)
{
    struct kind *kind = *state;
    for (unsigned batch = 0; batch < 5; batch++)
        assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    kind->fill_up(kind);
    /* Large enough not to fit what is left of a page. */
    const struct bytes large = {.at = test_body(99, 1).at, .length = 100000};
    assert_int_equal(APPEND_UNKNOWN, test_append_body(kind->journal, large));
    for (unsigned again = 0; again < 3; again++)
        assert_int_equal(APPEND_UNKNOWN, test_append(kind->journal, 10));
    assert_int_equal(6, kind->journal->tip.sequence);
    kind->reopen(kind);
    assert_int_equal(6, kind->journal->tip.sequence);
    assert_int_equal(JOURNAL_OK, test_read_all(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
}

static void a_batch_that_our_side_got_wrong_is_our_bug(void **state)
{
    struct kind *kind = *state;
    struct journal *journal = kind->journal;
    void (*const start)(struct journal *, struct batch_header, struct bytes) =
        journal->calls->append_start;
    const struct bytes body = BYTES("body");
    assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));

    struct batch_header header = test_header(1); /* older than the tip */
    expect_assert_failure(start(journal, header, body));
    header = test_header(3);
    header.last_ms = header.first_ms - 1;
    expect_assert_failure(start(journal, header, body));
    header = test_header(3);
    header.entries = JOURNAL_BATCH_ENTRIES_MAX + 1;
    expect_assert_failure(start(journal, header, body));
    header = test_header(3);
    header.version = JOURNAL_VERSION + 1;
    expect_assert_failure(start(journal, header, body));
    header = test_header(3);
    expect_assert_failure(start(journal, header, BYTES_NONE));
    const struct bytes too_large = {.at = body.at, .length = JOURNAL_BODY_BYTES_MAX + 1};
    expect_assert_failure(start(journal, header, too_large));
    start(journal, header, body);
    expect_assert_failure(start(journal, header, body));
    assert_int_equal(APPEND_COMMITTED, journal->calls->append_finish(journal));
}

/* Goal: of a beginning that may go, a few batches go with each append, and nothing else does. */
static void a_beginning_goes_a_few_at_a_time_for_good(void **state)
{
    struct kind *kind = *state;
    struct batch_header header;
    struct bytes body;
    while (kind->journal->tip.sequence < 20)
        assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(2, kind->journal->first);
    kind->journal->calls->keep_from(kind->journal, 12);
    assert_int_equal(2, kind->journal->first); /* only appends cut */
    const uint64_t firsts[] = {6, 10, 12, 12};
    for (size_t at = 0; at < COUNT_OF(firsts); at++) {
        assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
        assert_int_equal(firsts[at], kind->journal->first);
    }
    for (unsigned again = 0; again < 2; again++) {
        struct journal *journal = kind->journal;
        assert_int_equal(12, journal->first);
        assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX));
        for (uint64_t sequence = 2; sequence < 12; sequence++)
            assert_int_equal(JOURNAL_CUT, journal->calls->read(journal, sequence, &header, &body));
        assert_int_equal(JOURNAL_READ_FAILED, journal->calls->read(journal, 25, &header, &body));
        kind->reopen(kind);
    }
    /* Nothing was said to this opening: nothing goes. */
    assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(12, kind->journal->first);
}

static void an_append_that_fails_cuts_nothing(void **state)
{
    struct kind *kind = *state;
    while (kind->journal->tip.sequence < 9)
        assert_int_equal(APPEND_COMMITTED, test_append(kind->journal, BODY_BYTES_MAX));
    kind->journal->calls->keep_from(kind->journal, 5);
    kind->intrude(kind);
    assert_int_equal(APPEND_FENCED, test_append(kind->journal, BODY_BYTES_MAX));
    assert_int_equal(2, kind->journal->first);
    struct batch_header header;
    struct bytes body;
    for (uint64_t sequence = 2; sequence < 10; sequence++)
        assert_int_equal(JOURNAL_OK,
                         kind->journal->calls->read(kind->journal, sequence, &header, &body));
}

/* Goal: any life of appends, reads in any order and restarts gives back what went in.
 * Method: random steps; bodies follow from their sequence. */
static void a_random_life_loses_nothing(void **state)
{
    struct kind *kind = *state;
    const uint64_t seed = 42;
    struct prng prng = {seed};
    print_message("seed %" PRIu64 "\n", seed);
    for (unsigned step = 0; step < 300; step++) {
        struct journal *journal = kind->journal;
        const uint64_t choice = prng_below(&prng, 20);
        if (choice < 12) {
            assert_int_equal(APPEND_COMMITTED, test_append(journal, 100000));
        } else if (choice < 19 && journal->tip.sequence > 1) {
            const uint64_t sequence = 2 + prng_below(&prng, journal->tip.sequence - 1);
            struct batch_header header;
            struct bytes body;
            assert_int_equal(JOURNAL_OK, journal->calls->read(journal, sequence, &header, &body));
            assert_true(bytes_equal(test_body(sequence, 100000), body));
        } else {
            kind->reopen(kind);
        }
    }
    assert_int_equal(JOURNAL_OK, test_read_all(kind->journal, 100000));
}

/* Only the twin: ends that the disk cannot be asked for. */
static void the_twin_ends_an_append_as_it_was_told(void **state)
{
    (void)state;
    struct journal *journal = journal_memory_open(TEST_KEY, TEST_WRITER);
    journal_memory_fail_next(journal, APPEND_NONE, false);
    journal->calls->append_start(journal, test_header(2), test_body(2, BODY_BYTES_MAX));
    assert_int_equal(APPEND_NONE, journal->calls->append_finish(journal));
    assert_int_equal(1, journal->tip.sequence);
    assert_int_equal(APPEND_COMMITTED, journal->calls->append_finish(journal));
    assert_int_equal(2, journal->tip.sequence);

    journal_memory_fail_next(journal, APPEND_UNKNOWN, true);
    assert_int_equal(APPEND_UNKNOWN, test_append(journal, BODY_BYTES_MAX));
    assert_int_equal(2, journal->tip.sequence);
    journal_memory_reopen(journal, TEST_WRITER);
    assert_int_equal(3, journal->tip.sequence);
    assert_int_equal(JOURNAL_OK, test_read_all(journal, BODY_BYTES_MAX));
    assert_int_equal(APPEND_COMMITTED, test_append(journal, BODY_BYTES_MAX));
    journal->calls->close(journal);
}

static void every_fault_has_its_text(void **state)
{
    (void)state;
    for (int fault = JOURNAL_OK; fault <= JOURNAL_WRITE_FAILED; fault++)
        assert_true(strlen(journal_fault_text((enum journal_fault)fault)) > 0);
    expect_assert_failure((void)journal_fault_text((enum journal_fault)99));
}

#define SEAM_TEST(test, kind) \
    cmocka_unit_test_prestate_setup_teardown(test, open_kind, close_kind, &kinds[kind])
#define SEAM_TESTS(kind)                                                                   \
    SEAM_TEST(a_new_journal_holds_its_genesis, kind),                                      \
        SEAM_TEST(what_was_committed_is_read_back_whole_and_chained, kind),                \
        SEAM_TEST(opening_again_finds_everything, kind),                                   \
        SEAM_TEST(the_largest_and_the_smallest_body_go_in, kind),                          \
        SEAM_TEST(a_batch_that_is_not_there_is_not_damage, kind),                          \
        SEAM_TEST(nothing_started_ends_in_nothing, kind),                                  \
        SEAM_TEST(a_journal_that_somebody_else_writes_is_fenced_for_good, kind),           \
        SEAM_TEST(a_failed_append_is_unknown_for_good_and_what_came_before_is_kept, kind), \
        SEAM_TEST(a_batch_that_our_side_got_wrong_is_our_bug, kind),                       \
        SEAM_TEST(a_beginning_goes_a_few_at_a_time_for_good, kind),                        \
        SEAM_TEST(an_append_that_fails_cuts_nothing, kind),                                \
        SEAM_TEST(a_random_life_loses_nothing, kind)

int main(void)
{
    assert_int_equal(SQLITE_OK, sqlite3_auto_extension((void (*)(void))note_connection));
    const struct CMUnitTest tests[] = {
        SEAM_TESTS(0),
        SEAM_TESTS(1),
        cmocka_unit_test(the_twin_ends_an_append_as_it_was_told),
        cmocka_unit_test(every_fault_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
