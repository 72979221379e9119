#include "books.h"

#include <inttypes.h>
#include <sqlite3.h>

static void fail_ledger(const char *what, enum ledger_fault fault, const char *detail)
{
    if (fault != LEDGER_OK) fail_msg("%s: %s: %s", what, ledger_fault_text(fault), detail);
}

struct books *books_open(void)
{
    struct books *books = calloc(1, sizeof *books);
    assert_non_null(books);
    books->scratch = scratch_make();
    books->journal = journal_memory_open(WORLD_KEY, 7);
    books->parts.customers_max = 4096;
    books->parts.holds_bytes = 256 * 1024;
    books->parts.now_ns = clock_monotonic_ns;
    return books;
}

void books_start_settler(struct books *books)
{
    struct batch_header genesis;
    struct bytes body;
    assert_int_equal(JOURNAL_OK, books->journal->calls->read(books->journal, 1, &genesis, &body));
    const struct ledger_origin origin = {.genesis_hash = genesis.hash, .key = WORLD_KEY};
    struct ledger_detail detail;
    fail_ledger("open", ledger_open(books->scratch.path, &origin, &books->ledger, &detail),
                detail.text);
    books->parts.ledger = books->ledger;
    books->parts.reader = books->journal;
    books->parts.durable = books->journal->tip.sequence;
    fail_ledger("settler", settler_open(&books->parts, &books->settler, &detail), detail.text);
}

void books_stop_settler(struct books *books)
{
    if (books->settler != NULL) settler_close(books->settler);
    if (books->ledger != NULL) ledger_close(books->ledger);
    books->settler = NULL;
    books->ledger = NULL;
}

void books_close(struct books *books)
{
    books_stop_settler(books);
    books->journal->calls->close(books->journal);
    scratch_remove(&books->scratch);
    free(books);
}

void books_append(struct books *books, const struct world *world, bool offers)
{
    static uint8_t block[JOURNAL_BODY_BYTES_MAX];
    while (books->appended < world_entry_count(world)) {
        struct buffer body = buffer_over(block, sizeof block);
        struct batch_header header = {.kind = BATCH_ENTRIES, .version = JOURNAL_VERSION};
        for (; header.entries < WORLD_BATCH_ENTRIES && books->appended < world_entry_count(world);
             header.entries++) {
            const struct entry entry = world_entry(world, books->appended++);
            if (header.entries == 0) header.first_ms = entry.at_ms;
            header.last_ms = entry.at_ms;
            entry_put(&body, entry);
        }
        assert_false(body.overflowed);
        struct journal *journal = books->journal;
        journal->calls->append_start(journal, header, buffer_bytes(&body));
        assert_int_equal(APPEND_COMMITTED, journal->calls->append_finish(journal));
        if (books->settler == NULL) continue;
        struct bytes kept;
        assert_int_equal(JOURNAL_OK,
                         journal->calls->read(journal, journal->tip.sequence, &header, &kept));
        if (offers) settler_offer(books->settler, &header, kept);
        settler_set_durable(books->settler, journal->tip.sequence);
    }
}

static void check_fault(const struct books *books)
{
    fail_ledger("settle", settler_fault(books->settler), settler_detail(books->settler));
}

void books_settle(struct books *books)
{
    while (settle_step(books->settler)) {
    }
    check_fault(books);
    assert_int_equal(books->journal->tip.sequence, settler_cursor(books->settler));
}

bool books_settle_once(struct books *books)
{
    const uint64_t cursor = settler_cursor(books->settler);
    while (settler_cursor(books->settler) == cursor)
        if (!settle_step(books->settler)) {
            check_fault(books);
            return false;
        }
    return true;
}

/* --- text ------------------------------------------------------------------------------------ */

struct text {
    char *at;
    size_t used, size;
};

static void add(struct text *text, const char *more, size_t length)
{
    if (text->used + length + 1 > text->size) {
        text->size = 2 * (text->used + length + 1);
        text->at = realloc(text->at, text->size);
        assert_non_null(text->at);
    }
    memcpy(text->at + text->used, more, length);
    text->used += length;
    text->at[text->used] = '\0';
}

static void add_column(struct text *text, sqlite3_stmt *row, int column)
{
    if (column > 0) add(text, "|", 1);
    if (sqlite3_column_type(row, column) == SQLITE_NULL) {
        add(text, "~", 1);
        return;
    }
    const int length = sqlite3_column_bytes(row, column);
    if (sqlite3_column_type(row, column) != SQLITE_BLOB) {
        const char *words = (const char *)sqlite3_column_text(row, column);
        add(text, words, strlen(words));
        return;
    }
    const uint8_t *bytes = sqlite3_column_blob(row, column);
    for (int at = 0; at < length; at++) {
        char hex[3];
        (void)snprintf(hex, sizeof hex, "%02x", bytes[at]);
        add(text, hex, 2);
    }
}

static void add_query(struct books *books, struct text *text, const char *sql)
{
    sqlite3_stmt *row = NULL;
    sqlite3 *connection = ledger_connection(books->ledger);
    if (sqlite3_prepare_v2(connection, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(connection));
    int code;
    while ((code = sqlite3_step(row)) == SQLITE_ROW) {
        for (int column = 0; column < sqlite3_column_count(row); column++)
            add_column(text, row, column);
        add(text, "\n", 1);
    }
    assert_int_equal(SQLITE_DONE, code);
    (void)sqlite3_finalize(row);
}

char *books_query(struct books *books, const char *sql)
{
    struct text text = {0};
    add(&text, "", 0);
    add_query(books, &text, sql);
    return text.at;
}

char *books_dump(struct books *books, bool with_seals)
{
    static const char *const QUERIES[] = {
        "SELECT * FROM usage_events ORDER BY position",
        "SELECT * FROM monetization_events ORDER BY position",
        "SELECT * FROM balance_updates ORDER BY position,place",
        "SELECT * FROM refunds ORDER BY decision,position",
        "SELECT * FROM grants ORDER BY id",
        "SELECT * FROM policies ORDER BY position",
        "SELECT * FROM symbols ORDER BY number",
        "SELECT number,id,name,founded FROM customers ORDER BY number",
        "SELECT name,value FROM meta WHERE name IN('cursor_sequence','cursor_hash','cursor_ms')",
    };
    struct text text = {0};
    for (size_t at = 0; at < COUNT_OF(QUERIES); at++)
        add_query(books, &text, QUERIES[at]);
    if (with_seals) add_query(books, &text, "SELECT * FROM seals ORDER BY through");
    return text.at;
}

/* --- proof ----------------------------------------------------------------------------------- */

#define CUSTOMERS_MAX 16

struct chain_end {
    char name[CUSTOMER_BYTES_MAX + 1];
    int64_t number, after, position, place, usage;
    struct ledger_hash hash;
};

static struct chain_end *end_of(struct chain_end ends[CUSTOMERS_MAX], const struct value *name)
{
    for (unsigned at = 0; at < CUSTOMERS_MAX; at++) {
        if (ends[at].name[0] == '\0') memcpy(ends[at].name, name->bytes.at, name->bytes.length);
        if (bytes_equal(bytes_of_text(ends[at].name), name->bytes)) return &ends[at];
    }
    fail_msg("more customers than the test knows");
    return NULL;
}

enum {
    POSITION,
    PLACE,
    AT_MS,
    CUSTOMER,
    NUMBER,
    ACCOUNT,
    GRANT_ID,
    NAME,
    CAUSE,
    DECISION,
    DELTA,
    ACCOUNT_AFTER,
    ACCOUNT_AFTER_E18,
    CUSTOMER_AFTER,
    PREVIOUS_POSITION,
    PREVIOUS_PLACE,
    HASH
};

static void check_balances(struct books *books, struct chain_end *ends)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM balance_updates ORDER BY position,place",
                   LEDGER_BALANCE_COLUMNS);
    sqlite3_stmt *row = NULL;
    assert_int_equal(SQLITE_OK,
                     sqlite3_prepare_v2(ledger_connection(books->ledger), sql, -1, &row, NULL));
    struct value values[BALANCE_COLUMNS];
    while (sqlite3_step(row) == SQLITE_ROW) {
        assert_true(ledger_take_row(row, BALANCE_COLUMNS, values));
        struct chain_end *end = end_of(ends, &values[CUSTOMER]);
        assert_int_equal(end->number + 1, values[NUMBER].integer);
        assert_int_equal(end->position, values[PREVIOUS_POSITION].integer);
        assert_int_equal(end->place, values[PREVIOUS_PLACE].integer);
        assert_true(values[DELTA].integer != 0);
        const bool is_overage = bytes_equal(values[ACCOUNT].bytes, BYTES("overage"));
        assert_int_equal(end->after + (is_overage ? 0 : values[DELTA].integer),
                         values[CUSTOMER_AFTER].integer);
        const struct ledger_hash hash = ledger_balance_hash(books->ledger, &end->hash, values);
        assert_memory_equal(hash.byte, values[HASH].bytes.at, LEDGER_HASH_BYTES);
        end->hash = hash;
        end->number++;
        end->position = values[POSITION].integer;
        end->place = values[PLACE].integer;
        end->after = values[CUSTOMER_AFTER].integer;
    }
    (void)sqlite3_finalize(row);
}

static void check_seal(struct books *books, const char *table, const char *columns_sql,
                       uint32_t columns, const char *hash_column, const char *rows_column)
{
    char sql[1024];
    sqlite3 *connection = ledger_connection(books->ledger);
    (void)snprintf(sql, sizeof sql, "SELECT through,%s,%s FROM seals ORDER BY through", hash_column,
                   rows_column);
    sqlite3_stmt *seal = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(connection, sql, -1, &seal, NULL));
    (void)snprintf(sql, sizeof sql,
                   "SELECT %s FROM %s WHERE position>?1 AND position<=?2 ORDER BY 1,2", columns_sql,
                   table);
    sqlite3_stmt *row = NULL;
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(connection, sql, -1, &row, NULL));
    struct ledger_hash hash = {{0}};
    sqlite3_int64 from = 0;
    struct value values[VALUES_MAX];
    while (sqlite3_step(seal) == SQLITE_ROW) {
        const sqlite3_int64 through = (sqlite3_int64)position_make(
            (uint64_t)sqlite3_column_int64(seal, 0), POSITION_INDEX_MAX);
        sqlite3_bind_int64(row, 1, from);
        sqlite3_bind_int64(row, 2, through);
        ledger_seal_begin(books->ledger, &hash);
        int rows = 0;
        for (; sqlite3_step(row) == SQLITE_ROW; rows++) {
            assert_true(ledger_take_row(row, columns, values));
            ledger_seal_add(books->ledger, values, columns);
        }
        hash = ledger_seal_take(books->ledger);
        assert_memory_equal(hash.byte, sqlite3_column_blob(seal, 1), LEDGER_HASH_BYTES);
        assert_int_equal(rows, sqlite3_column_int(seal, 2));
        from = through;
        (void)sqlite3_reset(row);
    }
    (void)sqlite3_finalize(row);
    (void)sqlite3_finalize(seal);
}

static void check_empty(struct books *books, const char *what, const char *sql)
{
    char *text = books_query(books, sql);
    if (text[0] != '\0') fail_msg("%s:\n%s", what, text);
    free(text);
}

void books_check(struct books *books)
{
    struct chain_end ends[CUSTOMERS_MAX] = {0};
    check_balances(books, ends);
    check_seal(books, "usage_events", LEDGER_USAGE_COLUMNS, USAGE_COLUMNS, "usage_hash",
               "usage_rows");
    check_seal(books, "monetization_events", LEDGER_MONETIZATION_COLUMNS, MONETIZATION_COLUMNS,
               "monetization_hash", "monetization_rows");
    check_seal(books, "balance_updates", LEDGER_BALANCE_COLUMNS, BALANCE_COLUMNS, "balance_hash",
               "balance_rows");
    check_empty(books, "an account is not the sum of its rows",
                "SELECT position,place FROM (SELECT position,place,account_after,sum(delta) OVER "
                "(PARTITION BY customer,account,grant_id,CASE account WHEN 'overage' THEN name END "
                "ORDER BY position,place) AS reckoned FROM balance_updates) "
                "WHERE account_after<>reckoned");
    check_empty(books, "an account but debt and overage is below zero",
                "SELECT position,place,account,account_after FROM balance_updates WHERE "
                "account IN('grant','overshoot') AND account_after<0");
    check_empty(
        books, "usage events are not linked",
        "SELECT position FROM (SELECT position,previous,lag(position,1,0) OVER "
        "(PARTITION BY customer ORDER BY position) AS before FROM usage_events "
        "JOIN customers ON customers.name=customer AND position>=founded) WHERE previous<>before");
    check_empty(books, "monetization without usage, or usage without",
                "SELECT u.position,m.position FROM usage_events u FULL JOIN monetization_events m "
                "USING(position) WHERE (u.kind IN('consume','usage','commit'))<>"
                "(m.position IS NOT NULL) OR u.position IS NULL OR u.charged<>m.charged");
    check_empty(books, "what was charged did not move the accounts",
                "SELECT m.position,m.charged,m.overshoot_charged FROM monetization_events m WHERE "
                "ifnull((SELECT sum(delta) FROM balance_updates b WHERE b.position=m.position AND "
                "cause IN('charge','debt','overshoot_charge','overshoot_refund')),0)<>"
                "overshoot_refunded-m.charged-overshoot_charged");
    check_empty(books, "the exact cost is not what was charged",
                "SELECT position FROM monetization_events JOIN usage_events USING(position) "
                "WHERE price_version<>0 AND CAST(cost AS INTEGER)<>"
                "q*CASE unit WHEN 'cost' THEN units_allowed+usage_events.overshoot_units "
                "ELSE usage_events.charged+usage_events.overshoot_charged END"
                "+remainder_after-remainder_before");
    check_empty(books, "sources do not add up",
                "SELECT position FROM usage_events WHERE kind<>'denial' AND charged<>"
                "(SELECT ifnull(sum(value->>'charged'),0) FROM json_each(sources)) OR "
                "units_allowed<>(SELECT ifnull(sum(value->>'units'),0) FROM json_each(sources))");
}
