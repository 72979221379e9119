/*
 * books.h (private): ledger.db as it is read here: rows of a dataset in the order of their keys, a
 * bounded number at a time and copied out, so that no transaction lasts while they are looked at.
 */
#pragma once

#include "ledger/ledger.h"
#include "proof/place.h"

#define LEDGER_FILE "ledger.db"

/* The places of columns. */
#define BOOKS_COLUMN_USAGE(name, declaration, value) USAGE_##name,
#define BOOKS_COLUMN_MONETIZATION(name, declaration, value) MONETIZATION_##name,
#define BOOKS_COLUMN_BALANCE(name, declaration, value) BALANCE_##name,
enum { USAGE_FIRST(BOOKS_COLUMN_USAGE) USAGE_REST(BOOKS_COLUMN_USAGE) };
enum { MONETIZATION_FIRST(BOOKS_COLUMN_MONETIZATION) MONETIZATION_REST(BOOKS_COLUMN_MONETIZATION) };
enum { BALANCE_FIRST(BOOKS_COLUMN_BALANCE) BALANCE_REST(BOOKS_COLUMN_BALANCE) };

enum dataset { DATASET_USAGE, DATASET_MONETIZATION, DATASET_BALANCE, DATASETS };
const char *dataset_table(enum dataset dataset);

#define BOOKS_LOOKUPS 3u

struct books {
    struct ledger *ledger;
    struct proof_verdict *verdict;
    uint64_t cursor; /* the last journal batch that was settled at the start */
    struct journal_hash cursor_hash;
    struct journal_hash genesis_hash;
    int64_t cursor_ms; /* its last stamp */
    uint64_t heads_position;
    uint64_t rolled_through;
    int64_t days_through_ms;
    bool is_served;     /* a server may be writing */
    uint64_t usage_cut; /* usage events of batches up to here may be gone */
    struct sqlite3_stmt *lookups[BOOKS_LOOKUPS]; /* compare.c's, prepared once */
};

/* False: the verdict says why. */
MUST_USE bool books_open(struct books *books, const struct place *place,
                         struct proof_verdict *verdict);
/* Whether it goes on where the journal, which begins there behind genesis, can follow. */
MUST_USE bool books_reach(struct books *books, uint64_t journal_first);
/* Whether the usage events of a batch may be gone by now: a server may cut while they are read. */
MUST_USE bool books_is_cut(struct books *books, uint64_t sequence);
void books_close(struct books *books); /* of one that was not opened: nothing */

/* What the database says when it cannot be read. */
bool books_find_fault(const struct books *books, const char *what);

#define BOOKS_PAGE_ROWS 256u

struct book_row {
    struct value values[VALUES_MAX];
    uint8_t *text; /* its own */
    size_t text_size;
};

/* Rows of one dataset, of batches up to a last one. */
struct book_rows {
    struct books *books;
    struct sqlite3_stmt *statement;
    enum dataset dataset;
    uint32_t columns;
    struct book_row page[BOOKS_PAGE_ROWS];
    uint32_t filled, at;
    bool is_last_page;
    uint64_t position; /* key of the last row of the page */
    int64_t place;
    uint64_t through;
    uint64_t count; /* rows passed */
};

MUST_USE bool book_rows_open(struct book_rows *rows, struct books *books, enum dataset dataset,
                             uint64_t through_sequence);
void book_rows_close(struct book_rows *rows);

/* The next row; *row_out is NULL behind the last. False: it cannot be read. The row is good until
 * the next call. */
MUST_USE bool book_rows_peek(struct book_rows *rows, const struct value **row_out);
void book_rows_pass(struct book_rows *rows);

static inline uint64_t value_unsigned(const struct value *value)
{
    return (uint64_t)value->integer;
}

/* "position 77 (d_...), place 1" of a row. */
void book_row_place(struct proof_verdict *verdict, enum dataset dataset, const struct value *row);
