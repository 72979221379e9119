/*
 * read_test.c: chains are followed from any row, in pieces of any size, and every break of them is
 * said; what the books have about one decision is found.
 */
#include "ledger/read.h"

#include "ledger/testing.h"

enum { UPDATES = 40 };

static void put_update(struct books *books, uint64_t position, uint32_t place, const char *customer,
                       int number, uint64_t previous, uint32_t previous_place)
{
    books_sql(books,
              "INSERT INTO balance_updates VALUES(%llu,%u,%d,%Q,%d,'grant',7,'paid','charge',%llu,"
              "-1,%d,0,%d,%llu,%u,zeroblob(32))",
              (unsigned long long)position, place, number, customer, number,
              (unsigned long long)position, 100 - number, 100 - number,
              (unsigned long long)previous, previous_place);
}

/* Numbers as they come. */
struct seen {
    int64_t numbers[256];
    uint32_t count;
    uint32_t room; /* rows are refused beyond */
};

static bool take_number(void *self, const struct value *values)
{
    struct seen *seen = self;
    if (seen->count == seen->room) return false;
    seen->numbers[seen->count++] = values[BALANCE_AT_number].integer;
    return true;
}

/* Two customers' rows, mixed; the newest of "a" is given. */
static struct ledger_walk put_chains(struct books *books)
{
    struct ledger_walk newest = {.customer = BYTES("a")};
    uint64_t previous_of_b = 0;
    for (int i = 1; i <= UPDATES; ++i) {
        const uint64_t position = books_next(books);
        const uint32_t place = (uint32_t)i % 3;
        put_update(books, position, place, "a", i, newest.position, newest.place);
        put_update(books, position, 5, "b", i, previous_of_b, previous_of_b == 0 ? 0 : 5);
        newest.position = position;
        newest.place = place;
        previous_of_b = position;
    }
    return newest;
}

static void a_chain_is_read_newest_first_in_pieces_of_any_size(void **state)
{
    struct books *books = *state;
    const struct ledger_walk newest = put_chains(books);
    for (uint32_t piece = 1; piece <= UPDATES + 1; ++piece) {
        struct ledger_walk walk = newest;
        struct seen seen = {.room = 256};
        enum ledger_read result = LEDGER_MORE;
        while (result == LEDGER_MORE)
            result = ledger_read_updates(books->reader, &walk, piece, take_number, &seen);
        assert_int_equal(LEDGER_END, result);
        assert_int_equal(UPDATES, seen.count);
        for (uint32_t i = 0; i < UPDATES; ++i)
            assert_int_equal(UPDATES - i, seen.numbers[i]);
    }
}

static void a_row_that_was_not_taken_comes_first_at_the_next_call(void **state)
{
    struct books *books = *state;
    struct ledger_walk walk = put_chains(books);
    struct seen seen = {.room = 3};
    assert_int_equal(LEDGER_FULL,
                     ledger_read_updates(books->reader, &walk, 100, take_number, &seen));
    seen.room = 4;
    assert_int_equal(LEDGER_FULL,
                     ledger_read_updates(books->reader, &walk, 100, take_number, &seen));
    assert_int_equal(UPDATES - 3, seen.numbers[3]);
}

static void a_walk_goes_on_behind_a_row_of_its_own_customer_alone(void **state)
{
    struct books *books = *state;
    const struct ledger_walk newest = put_chains(books);
    struct ledger_walk walk = {.customer = BYTES("a")};
    struct seen seen = {.room = 1};
    assert_true(ledger_walk_behind(books->reader, &walk, newest.position, newest.place));
    assert_int_equal(LEDGER_MORE, ledger_read_updates(books->reader, &walk, 1, take_number, &seen));
    assert_int_equal(UPDATES - 1, seen.numbers[0]);
    assert_false(ledger_walk_behind(books->reader, &walk, newest.position, 5)); /* b's */
    assert_false(ledger_walk_behind(books->reader, &walk, newest.position, 9));
    assert_false(ledger_walk_behind(books->reader, &walk, newest.position + 1, 0));
}

static void a_broken_chain_is_a_fault(void **state)
{
    struct books *books = *state;
    struct ledger_walk walk = put_chains(books);
    struct seen seen = {.room = 256};
    books_sql(books, "DELETE FROM balance_updates WHERE customer='a' AND number=20");
    assert_int_equal(LEDGER_FAILED,
                     ledger_read_updates(books->reader, &walk, 100, take_number, &seen));
    assert_non_null(strstr(ledger_reader_detail(books->reader), "broken"));
    assert_int_equal(UPDATES - 20, seen.count);
}

static bool take_position(void *self, const struct value *values)
{
    struct seen *seen = self;
    if (seen->count == seen->room) return false;
    seen->numbers[seen->count++] = values[USAGE_AT_position].integer;
    return true;
}

/* Events of "a", alternating in feature, subject and outcome; the newest's position. */
static uint64_t put_events(struct books *books, uint64_t *positions_out)
{
    uint64_t previous = 0;
    for (int i = 0; i < UPDATES; ++i) {
        const uint64_t position = books_next(books);
        books_event(books, &(struct event){.position = position,
                                           .at_ms = 1000 * i,
                                           .customer = "a",
                                           .subject = i % 2 == 0 ? "x" : "y",
                                           .feature = i % 3 == 0 ? "chat" : "codex",
                                           .outcome = i % 5 == 0 ? "deny" : "allow",
                                           .previous = previous});
        positions_out[i] = previous = position;
    }
    return previous;
}

static void events_are_found_by_all_that_is_asked(void **state)
{
    struct books *books = *state;
    uint64_t positions[UPDATES];
    const uint64_t newest = put_events(books, positions);
    struct ledger_events events = {.customer = BYTES("a"),
                                   .subject = BYTES("x"),
                                   .feature = BYTES("chat"),
                                   .outcome = BYTES("allow"),
                                   .from_ms = 6000,
                                   .to_ms = 36000,
                                   .position = newest};
    struct seen seen = {.room = 256};
    enum ledger_read result = LEDGER_MORE;
    while (result == LEDGER_MORE)
        result = ledger_read_events(books->reader, &events, 7, take_position, &seen);
    assert_int_equal(LEDGER_END, result);
    uint32_t expected = 0;
    for (int i = UPDATES - 1; i >= 0; --i) {
        if (i < 6 || i >= 36 || i % 2 != 0 || i % 3 != 0 || i % 5 == 0) continue;
        assert_int_equal(positions[i], seen.numbers[expected]);
        ++expected;
    }
    assert_int_equal(expected, seen.count);
}

static void events_end_where_retention_has_cut_them(void **state)
{
    struct books *books = *state;
    uint64_t positions[UPDATES];
    struct ledger_events events = {
        .customer = BYTES("a"), .to_ms = INT64_MAX, .position = put_events(books, positions)};
    struct seen seen = {.room = 256};
    books_sql(books, "DELETE FROM usage_events WHERE position<%llu",
              (unsigned long long)positions[10]);
    assert_int_equal(LEDGER_END,
                     ledger_read_events(books->reader, &events, 100, take_position, &seen));
    assert_int_equal(UPDATES - 10, seen.count);
}

static void put_source(void *self, const struct ledger_source *source)
{
    struct seen *seen = self;
    assert_true(bytes_equal(source->name, BYTES("in\"c")) || source->grant_id == 9);
    seen->numbers[seen->count++] = (int64_t)source->units + source->charged;
}

static void sources_are_read_line_by_line(void **state)
{
    struct books *books = *state;
    struct seen seen = {.room = 256};
    const struct bytes sources =
        BYTES("[{\"source\":\"in\\\"c\",\"kind\":\"allowance\",\"units\":3,\"charged\":0},"
              "{\"source\":\"paid\",\"kind\":\"grant\",\"grant_id\":9,\"units\":2,"
              "\"charged\":2000000000}]");
    assert_true(ledger_read_sources(books->reader, sources, put_source, &seen));
    assert_int_equal(2, seen.count);
    assert_int_equal(3, seen.numbers[0]);
    assert_int_equal(2000000002, seen.numbers[1]);
    assert_false(ledger_read_sources(books->reader, BYTES("[{"), put_source, &seen));
    assert_true(ledger_read_sources(books->reader, BYTES("[]"), put_source, &seen));
    assert_int_equal(2, seen.count);
}

static void expect_ending(struct books *books, uint64_t decision, enum hold_state state, bool late,
                          uint64_t settled, int64_t refunded)
{
    struct ledger_ending ending;
    assert_true(ledger_read_ending(books->reader, decision, &ending));
    assert_int_equal(books->sequence, ending.cursor);
    assert_int_equal(state, ending.state);
    assert_int_equal(late, ending.late);
    assert_int_equal(settled, ending.settled_position);
    assert_int_equal(refunded, ending.refunded);
}

static void put_end(struct books *books, uint64_t position, uint64_t decision, const char *kind,
                    int late)
{
    books_event(books, &(struct event){.position = position,
                                       .decision = decision,
                                       .customer = "a",
                                       .kind = kind,
                                       .late = late});
}

static void a_decision_says_how_it_ended(void **state)
{
    struct books *books = *state;
    uint64_t at[8];
    for (unsigned i = 0; i < COUNT_OF(at); ++i)
        at[i] = books_next(books);
    put_end(books, at[0], at[0], "consume", 0);
    put_end(books, at[3], at[1], "expiry", 0);
    put_end(books, at[4], at[1], "denial", 0); /* an extend that was refused */
    books_settled(books);
    expect_ending(books, at[0], HOLD_COMMITTED, false, at[0], 0);
    expect_ending(books, at[1], HOLD_EXPIRED, false, at[3], 0);
    expect_ending(books, at[2], HOLD_NONE, false, 0, 0);
    put_end(books, at[5], at[1], "commit", 1);
    put_end(books, at[6], at[2], "release", 0);
    books_sql(books,
              "INSERT INTO refunds VALUES(%llu,%llu,1,'a',5,0,NULL,NULL),(%llu,%llu,1,'a',6,1,'x',"
              "'k_1')",
              (unsigned long long)at[1], (unsigned long long)at[6], (unsigned long long)at[1],
              (unsigned long long)at[7]);
    expect_ending(books, at[1], HOLD_COMMITTED, true, at[5], 11);
    expect_ending(books, at[2], HOLD_RELEASED, false, at[6], 0);
}

/* Goal: that a hold was charged is known for as long as money rows are kept. */
static void what_was_charged_outlives_its_usage_event(void **state)
{
    struct books *books = *state;
    const uint64_t hold = books_next(books);
    const uint64_t commit = books_next(books);
    put_end(books, commit, hold, "commit", 0);
    books_sql(books,
              "INSERT INTO monetization_events VALUES(%llu,%llu,'a','chat',NULL,0,0,0,'0',0,0,0,0,"
              "0,0,NULL)",
              (unsigned long long)commit, (unsigned long long)hold);
    books_settled(books);
    expect_ending(books, hold, HOLD_COMMITTED, false, commit, 0);
    books_sql(books, "DELETE FROM usage_events");
    expect_ending(books, hold, HOLD_COMMITTED, false, commit, 0);
}

static void expect_owner(struct books *books, uint64_t id, const char *name, enum category category)
{
    struct ledger_owner owner;
    assert_true(ledger_read_owner(books->reader, id, &owner));
    assert_int_equal(owner.name_length, strlen(name));
    assert_memory_equal(owner.name, name, strlen(name));
    assert_int_equal(owner.category, category);
}

static void the_books_know_whose_a_decision_or_a_grant_was(void **state)
{
    struct books *books = *state;
    uint64_t at[6];
    for (unsigned i = 0; i < COUNT_OF(at); ++i)
        at[i] = books_next(books);
    put_end(books, at[1], at[0], "release", 0);
    books_sql(books,
              "INSERT INTO monetization_events VALUES(%llu,%llu,'b','chat',NULL,0,0,0,'0',0,0,0,0,"
              "0,0,NULL),(%llu,%llu,'c','chat',NULL,0,0,0,'0',0,0,0,0,0,0,NULL)",
              (unsigned long long)at[2], (unsigned long long)at[2], (unsigned long long)at[4],
              (unsigned long long)at[3]);
    books_sql(books,
              "INSERT INTO grants VALUES(%llu,1,'d','entitlement',0,5,1,NULL,NULL,'[]',NULL,NULL)",
              (unsigned long long)at[5]);
    books_settled(books);
    expect_owner(books, at[0], "a", 0);
    expect_owner(books, at[2], "b", 0);
    expect_owner(books, at[3], "c", 0);
    expect_owner(books, at[4], "c", 0);
    expect_owner(books, at[5], "d", CATEGORY_ENTITLEMENT);
    expect_owner(books, at[5] + 1, "", 0);
}

static bool count_row(void *self, const struct value *values)
{
    (void)values;
    ++*(uint32_t *)self;
    return true;
}

static void everything_about_a_decision_is_found(void **state)
{
    struct books *books = *state;
    const uint64_t decision = books_next(books);
    const uint64_t commit = books_next(books);
    const uint64_t refund = books_next(books);
    const uint64_t other = books_next(books);
    put_end(books, commit, decision, "commit", 0);
    put_end(books, other, other, "consume", 0);
    put_update(books, commit, 0, "a", 1, 0, 0);
    put_update(books, refund, 0, "a", 2, commit, 0);
    put_update(books, refund, 1, "a", 3, refund, 0);
    put_update(books, other, 0, "a", 4, refund, 1);
    books_sql(books, "INSERT INTO refunds VALUES(%llu,%llu,1,'a',5,0,NULL,NULL)",
              (unsigned long long)decision, (unsigned long long)refund);
    uint32_t rows = 0;
    const struct ledger_decision_takers takers = {.usage = count_row,
                                                  .monetization = count_row,
                                                  .balance = count_row,
                                                  .refund = count_row,
                                                  .self = &rows};
    assert_int_equal(LEDGER_END, ledger_read_decision(books->reader, decision, &takers));
    assert_int_equal(1 + 0 + 3 + 1, rows);
}

static void readers_leave_no_transaction_open(void **state)
{
    struct books *books = *state;
    struct ledger_walk walk = put_chains(books);
    struct seen seen = {.room = 3};
    (void)ledger_read_updates(books->reader, &walk, 100, take_number, &seen);
    int log_pages = 0;
    int moved = 0;
    assert_int_equal(SQLITE_OK,
                     sqlite3_wal_checkpoint_v2(books->writer->connection, NULL,
                                               SQLITE_CHECKPOINT_TRUNCATE, &log_pages, &moved));
}

int main(void)
{
#define BOOKS_TEST(name) cmocka_unit_test_setup_teardown(name, books_start, books_stop)
    const struct CMUnitTest tests[] = {
        BOOKS_TEST(a_chain_is_read_newest_first_in_pieces_of_any_size),
        BOOKS_TEST(a_row_that_was_not_taken_comes_first_at_the_next_call),
        BOOKS_TEST(a_walk_goes_on_behind_a_row_of_its_own_customer_alone),
        BOOKS_TEST(a_broken_chain_is_a_fault),
        BOOKS_TEST(events_are_found_by_all_that_is_asked),
        BOOKS_TEST(events_end_where_retention_has_cut_them),
        BOOKS_TEST(sources_are_read_line_by_line),
        BOOKS_TEST(a_decision_says_how_it_ended),
        BOOKS_TEST(what_was_charged_outlives_its_usage_event),
        BOOKS_TEST(the_books_know_whose_a_decision_or_a_grant_was),
        BOOKS_TEST(everything_about_a_decision_is_found),
        BOOKS_TEST(readers_leave_no_transaction_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
