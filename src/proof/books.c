/*
 * books.c: see books.h.
 */
#include "proof/books.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof/verdict.h"

const char *dataset_table(enum dataset dataset)
{
    static const char *const names[DATASETS] = {"usage_events", "monetization_events",
                                                "balance_updates"};
    return names[dataset];
}

static const char *advice_of(enum ledger_fault fault)
{
    if (fault == LEDGER_OTHER_VERSION) return "Use the program that wrote it";
    return ADVICE_REBUILD;
}

static bool find_ledger_fault(struct proof_verdict *verdict, enum ledger_fault fault,
                              const char *detail)
{
    verdict_found(verdict, "%s", detail);
    return verdict_find(verdict, LEDGER_FILE, ledger_fault_text(fault), advice_of(fault));
}

bool books_find_fault(const struct books *books, const char *what)
{
    verdict_found(books->verdict, "%s", sqlite3_errmsg(ledger_connection(books->ledger)));
    return verdict_find(books->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool find_meta(const struct books *books, const char *name)
{
    verdict_place(books->verdict, "table meta, '%s'", name);
    return verdict_find(books->verdict, LEDGER_FILE, "missing, or not of its type", ADVICE_REBUILD);
}

static bool take_hash(sqlite3_stmt *statement, struct journal_hash *hash_out)
{
    if (sqlite3_column_type(statement, 1) != SQLITE_BLOB ||
        sqlite3_column_bytes(statement, 1) != JOURNAL_HASH_BYTES)
        return false;
    memcpy(hash_out->byte, sqlite3_column_blob(statement, 1), JOURNAL_HASH_BYTES);
    return true;
}

static bool take_number(sqlite3_stmt *statement, uint64_t *number_out)
{
    if (sqlite3_column_type(statement, 1) != SQLITE_INTEGER ||
        sqlite3_column_int64(statement, 1) < 0)
        return false;
    *number_out = (uint64_t)sqlite3_column_int64(statement, 1);
    return true;
}

/* All of meta that is needed, at one moment. */
static bool read_meta(struct books *books)
{
    struct {
        const char *name;
        uint64_t *number;
        struct journal_hash *hash;
        bool is_seen;
    } wanted[] = {
        {"cursor_sequence",                      &books->cursor,                 NULL, false},
        {    "cursor_hash",                                NULL,  &books->cursor_hash, false},
        {   "genesis_hash",                                NULL, &books->genesis_hash, false},
        {      "cursor_ms",       (uint64_t *)&books->cursor_ms,                 NULL, false},
        { "heads_position",              &books->heads_position,                 NULL, false},
        { "rolled_through",              &books->rolled_through,                 NULL, false},
        {      "usage_cut",                   &books->usage_cut,                 NULL, false},
        {"days_through_ms", (uint64_t *)&books->days_through_ms,                 NULL, false},
    };
    sqlite3_stmt *statement = NULL;
    const char *bad = NULL;
    unsigned unknown = 0;
    int code = sqlite3_prepare_v2(ledger_connection(books->ledger), "SELECT name,value FROM meta",
                                  -1, &statement, NULL);
    while (code == SQLITE_OK && bad == NULL && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        bool is_known = false;
        for (unsigned i = 0; i < COUNT_OF(wanted) && name != NULL; ++i) {
            if (strcmp(name, wanted[i].name) != 0) continue;
            is_known = true;
            wanted[i].is_seen = wanted[i].number != NULL ? take_number(statement, wanted[i].number)
                                                         : take_hash(statement, wanted[i].hash);
            if (!wanted[i].is_seen) bad = wanted[i].name;
        }
        if (!is_known) unknown++;
        code = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    if (bad != NULL) return find_meta(books, bad);
    if (code != SQLITE_DONE) return books_find_fault(books, "its table meta cannot be read");
    for (unsigned i = 0; i < COUNT_OF(wanted); ++i)
        if (!wanted[i].is_seen) return find_meta(books, wanted[i].name);
    if (unknown == 0) return true;
    verdict_place(books->verdict, "table meta");
    return verdict_find(books->verdict, LEDGER_FILE, "a row that nobody writes", ADVICE_REBUILD);
}

/* Where what can wait goes on from. Each must be a place at which it can have stopped: another one
 * would leave something out, or take it twice. */
static bool check_marks(const struct books *books)
{
    static const struct {
        const char *name, *what, *sql;
    } MARKS[] = {
        { "heads_position",                   "it is not the end of a settled batch",
         "SELECT ?1=0 OR (?1%4096=4095 AND ?1/4096<=?2)"                                                                                },
        {      "usage_cut",                                     "no seal ends there", "SELECT ?1=0 OR ?1 IN (SELECT through FROM seals)"},
        { "rolled_through",                                "no usage event is there",
         "SELECT ?1=0 OR ?1/4096<=?3 OR ?1 IN (SELECT position FROM usage_events)"                                                      },
        {"days_through_ms",                "it is not the end of a day that is over",
         "SELECT ?1=0 OR (?1%86400000=0 AND ?1<=(SELECT max(start_ms) FROM usage_rollup))"                                              },
        {"days_through_ms", "the one row of usage_days_at does not go on from there",
         "SELECT (SELECT count(*) FROM usage_days_at)=1 AND EXISTS (SELECT 1 FROM usage_days_at AS "
         "a "
         "WHERE (start_ms=?1-1 AND customer='' AND subject='' AND feature='' AND endpoint='' AND "
         "model='' AND origin='' AND outcome='' AND what='' AND name='') OR (start_ms>=?1 AND "
         "EXISTS "
         "(SELECT 1 FROM usage_rollup AS r WHERE (r.start_ms,r.customer,r.subject,r.feature,"
         "r.endpoint,r.model,r.origin,r.outcome,r.what,r.name)=(a.start_ms,a.customer,a.subject,"
         "a.feature,a.endpoint,a.model,a.origin,a.outcome,a.what,a.name))))"                                                            },
    };
    const int64_t marks[] = {(int64_t)books->heads_position, (int64_t)books->usage_cut,
                             (int64_t)books->rolled_through, books->days_through_ms,
                             books->days_through_ms};
    _Static_assert(COUNT_OF(marks) == COUNT_OF(MARKS), "one each");
    for (unsigned i = 0; i < COUNT_OF(MARKS); ++i) {
        const int64_t values[] = {marks[i], (int64_t)books->cursor, (int64_t)books->usage_cut};
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(ledger_connection(books->ledger), MARKS[i].sql, -1,
                                      &statement, NULL);
        const int count = code == SQLITE_OK ? sqlite3_bind_parameter_count(statement) : 0;
        ENSURE(count <= (int)COUNT_OF(values));
        for (int at = 0; code == SQLITE_OK && at < count; ++at)
            code = sqlite3_bind_int64(statement, at + 1, values[at]);
        if (code == SQLITE_OK) code = sqlite3_step(statement);
        const bool is_good = code == SQLITE_ROW && sqlite3_column_int(statement, 0) == 1;
        (void)sqlite3_finalize(statement);
        if (is_good) continue;
        if (code != SQLITE_ROW) return books_find_fault(books, "its marks cannot be read");
        verdict_place(books->verdict, "table meta, '%s'", MARKS[i].name);
        verdict_found(books->verdict, "%" PRId64, marks[i]);
        return verdict_find(books->verdict, LEDGER_FILE, MARKS[i].what, ADVICE_REBUILD);
    }
    return true;
}

bool books_reach(struct books *books, uint64_t journal_first)
{
    int64_t cursor = (int64_t)books->cursor;
    if (books->is_served && !ledger_meta(books->ledger, "cursor_sequence", &cursor))
        return books_find_fault(books, "its table meta cannot be read");
    if (journal_first <= 2 || (uint64_t)cursor + 1 >= journal_first) return true;
    verdict_place(books->verdict, "table meta, 'cursor_sequence'");
    verdict_expected(books->verdict, "at least batch %" PRIu64 ": the journal begins behind it",
                     journal_first - 1);
    verdict_found(books->verdict, "%" PRId64, cursor);
    return verdict_find(books->verdict, LEDGER_FILE,
                        "it has not settled what was cut from the journal", ADVICE_REBUILD);
}

bool books_open(struct books *books, const struct place *place, struct proof_verdict *verdict)
{
    struct ledger_detail detail;
    *books = (struct books){.verdict = verdict, .is_served = place->access == JOURNAL_SERVED};
    const enum ledger_fault fault =
        ledger_open_witness(place->directory, place->access, &books->ledger, &detail);
    if (fault != LEDGER_OK) return find_ledger_fault(verdict, fault, detail.text);
    /* At one moment. */
    if (sqlite3_exec(ledger_connection(books->ledger), "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return books_find_fault(books, "it cannot be read");
    const bool is_good = read_meta(books) && check_marks(books);
    (void)sqlite3_exec(ledger_connection(books->ledger), "COMMIT", NULL, NULL, NULL);
    return is_good;
}

bool books_is_cut(struct books *books, uint64_t sequence)
{
    int64_t cut = 0;
    if (sequence > books->usage_cut && books->is_served &&
        ledger_meta(books->ledger, "usage_cut", &cut) && cut > 0)
        books->usage_cut = (uint64_t)cut;
    return sequence <= books->usage_cut;
}

void books_close(struct books *books)
{
    for (unsigned i = 0; i < BOOKS_LOOKUPS; ++i)
        (void)sqlite3_finalize(books->lookups[i]);
    if (books->ledger != NULL) ledger_close(books->ledger);
    books->ledger = NULL;
}

/* --- rows ------------------------------------------------------------------------------------ */

bool book_rows_open(struct book_rows *rows, struct books *books, enum dataset dataset,
                    uint64_t through_sequence)
{
    static const char *const columns[DATASETS] = {LEDGER_USAGE_COLUMNS, LEDGER_MONETIZATION_COLUMNS,
                                                  LEDGER_BALANCE_COLUMNS};
    static const uint32_t counts[DATASETS] = {USAGE_COLUMNS, MONETIZATION_COLUMNS, BALANCE_COLUMNS};
    char sql[1024];
    memset(rows, 0, sizeof(*rows));
    rows->books = books;
    rows->dataset = dataset;
    rows->columns = counts[dataset];
    rows->place = -1;
    rows->through = through_sequence;
    const int length =
        dataset == DATASET_BALANCE
            ? snprintf(sql, sizeof(sql),
                       "SELECT %s FROM %s WHERE (position,place)>(?1,?3) AND position<?2 "
                       "ORDER BY position,place LIMIT %u",
                       columns[dataset], dataset_table(dataset), BOOKS_PAGE_ROWS)
            : snprintf(sql, sizeof(sql),
                       "SELECT %s FROM %s WHERE position>?1 AND position<?2 AND ?3 IS NOT NULL "
                       "ORDER BY position LIMIT %u",
                       columns[dataset], dataset_table(dataset), BOOKS_PAGE_ROWS);
    ENSURE(length > 0 && (size_t)length < sizeof(sql));
    if (sqlite3_prepare_v2(ledger_connection(books->ledger), sql, -1, &rows->statement, NULL) ==
        SQLITE_OK)
        return true;
    return books_find_fault(books, "a dataset cannot be read");
}

void book_rows_close(struct book_rows *rows)
{
    (void)sqlite3_finalize(rows->statement);
    for (unsigned i = 0; i < BOOKS_PAGE_ROWS; ++i)
        free(rows->page[i].text);
    memset(rows, 0, sizeof(*rows));
}

/* Gives a row's texts memory of their own. */
static void keep_row(struct book_row *row, uint32_t columns)
{
    size_t needed = 0;
    for (uint32_t i = 0; i < columns; ++i)
        if (row->values[i].kind >= VALUE_TEXT) needed += row->values[i].bytes.length;
    if (needed > row->text_size) {
        free(row->text);
        row->text = malloc(needed);
        ENSURE(row->text != NULL);
        row->text_size = needed;
    }
    uint8_t *at = row->text;
    for (uint32_t i = 0; i < columns; ++i) {
        struct value *value = &row->values[i];
        if (value->kind < VALUE_TEXT || value->bytes.length == 0) continue;
        memcpy(at, value->bytes.at, value->bytes.length);
        value->bytes.at = at;
        at += value->bytes.length;
    }
}

static bool find_row(const struct book_rows *rows, const struct value *row, const char *what)
{
    struct proof_verdict *verdict = rows->books->verdict;
    book_row_place(verdict, rows->dataset, row);
    return verdict_find(verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool take_row(struct book_rows *rows)
{
    struct book_row *row = &rows->page[rows->filled];
    if (!ledger_take_row(rows->statement, rows->columns, row->values)) {
        row->values[0] = value_of_signed(sqlite3_column_int64(rows->statement, 0));
        row->values[1] = value_of_signed(sqlite3_column_int64(rows->statement, 1));
        return find_row(rows, row->values, "a column holds what no row has");
    }
    const uint64_t position = value_unsigned(&row->values[0]);
    const int64_t place = rows->dataset == DATASET_BALANCE ? row->values[BALANCE_place].integer : 0;
    if (position < rows->position || (position == rows->position && place <= rows->place))
        return find_row(rows, row->values, "stands out of order");
    rows->position = position;
    rows->place = place;
    keep_row(row, rows->columns);
    ++rows->filled;
    return true;
}

static bool fill_page(struct book_rows *rows)
{
    sqlite3_stmt *statement = rows->statement;
    const uint64_t behind = (rows->through + 1) << POSITION_INDEX_BITS;
    rows->filled = 0;
    rows->at = 0;
    bool is_good = sqlite3_bind_int64(statement, 1, (sqlite3_int64)rows->position) == SQLITE_OK &&
                   sqlite3_bind_int64(statement, 2, (sqlite3_int64)behind) == SQLITE_OK &&
                   sqlite3_bind_int64(statement, 3, rows->place) == SQLITE_OK;
    int code = SQLITE_ROW;
    while (is_good && rows->filled < BOOKS_PAGE_ROWS &&
           (code = sqlite3_step(statement)) == SQLITE_ROW)
        is_good = take_row(rows);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        is_good = books_find_fault(rows->books, "a dataset cannot be read");
    (void)sqlite3_reset(statement); /* ends the transaction */
    rows->is_last_page = rows->filled < BOOKS_PAGE_ROWS;
    return is_good;
}

bool book_rows_peek(struct book_rows *rows, const struct value **row_out)
{
    *row_out = NULL;
    if (rows->at == rows->filled && !rows->is_last_page && !fill_page(rows)) return false;
    if (rows->at < rows->filled) *row_out = rows->page[rows->at].values;
    return true;
}

void book_rows_pass(struct book_rows *rows)
{
    ENSURE(rows->at < rows->filled);
    ++rows->at;
    ++rows->count;
}

void book_row_place(struct proof_verdict *verdict, enum dataset dataset, const struct value *row)
{
    char id[ID_TEXT_SIZE];
    const uint64_t position = value_unsigned(&row[0]);
    id_format('d', position & INT64_MAX, id);
    if (dataset == DATASET_BALANCE)
        verdict_place(verdict, "%s, position %" PRIu64 " (%s), place %" PRId64,
                      dataset_table(dataset), position, id, row[BALANCE_place].integer);
    else
        verdict_place(verdict, "%s, position %" PRIu64 " (%s)", dataset_table(dataset), position,
                      id);
}
