/*
 * seals.c: see seals.h. A seal says how many rows a stretch of journal batches gave each dataset,
 * and their hash behind that of the seal before. So nothing can be added, taken away, changed or
 * moved within what is sealed without a seal that says so, and no seal changed without the next.
 */
#include "proof/seals.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "proof/verdict.h"

#define SEALS_SQL                                                                \
    "SELECT through,first,usage_rows,monetization_rows,balance_rows,usage_hash," \
    "monetization_hash,balance_hash FROM seals WHERE through>?1 ORDER BY through LIMIT 128"

enum { SEALS_PAGE = 128 };

struct seal {
    uint64_t through, first;
    uint64_t rows[DATASETS];
    struct ledger_hash hash[DATASETS];
};

struct seal_walk {
    struct books *books;
    struct chains *chains;
    struct proof_verdict *verdict;
    sqlite3_stmt *statement;
    struct sha sha;
    struct book_rows *rows; /* DATASETS of them */
    struct seal before;
    uint64_t seals;
    uint32_t filled;
    struct seal page[SEALS_PAGE];
};

static bool find_in_seal(const struct seal_walk *walk, const struct seal *seal, const char *what)
{
    verdict_place(walk->verdict, "seals, through %" PRIu64 " (batches %" PRIu64 " to %" PRIu64 ")",
                  seal->through, seal->first, seal->through);
    return verdict_find(walk->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool take_seal(struct seal_walk *walk)
{
    sqlite3_stmt *row = walk->statement;
    struct seal *seal = &walk->page[walk->filled];
    *seal = (struct seal){.through = (uint64_t)sqlite3_column_int64(row, 0),
                          .first = (uint64_t)sqlite3_column_int64(row, 1)};
    for (int i = 0; i < DATASETS; ++i) {
        seal->rows[i] = (uint64_t)sqlite3_column_int64(row, 2 + i);
        if (sqlite3_column_bytes(row, 5 + i) != (int)LEDGER_HASH_BYTES)
            return find_in_seal(walk, seal, "a column holds what no seal has");
        memcpy(seal->hash[i].byte, sqlite3_column_blob(row, 5 + i), LEDGER_HASH_BYTES);
    }
    ++walk->filled;
    return true;
}

/* Copied out, so that no transaction lasts while their rows are read. */
static bool fill_page(struct seal_walk *walk)
{
    walk->filled = 0;
    bool is_good =
        sqlite3_bind_int64(walk->statement, 1, (sqlite3_int64)walk->before.through) == SQLITE_OK;
    int code = SQLITE_DONE;
    while (is_good && (code = sqlite3_step(walk->statement)) == SQLITE_ROW)
        is_good = take_seal(walk);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        is_good = books_find_fault(walk->books, "its table seals cannot be read");
    (void)sqlite3_reset(walk->statement);
    return is_good;
}

static bool take_row(struct seal_walk *walk, enum dataset dataset, const struct value *row)
{
    switch (dataset) {
    case DATASET_USAGE:
        return chains_take_usage(walk->chains, row);
    case DATASET_BALANCE:
        return chains_take_balance(walk->chains, row);
    case DATASET_MONETIZATION:
    case DATASETS:
        break;
    }
    return true;
}

/* How its rows must be is known by the row's own story first: that names the row, where the seal
 * can only name a stretch. */
static bool check_dataset(struct seal_walk *walk, const struct seal *seal, enum dataset dataset)
{
    struct book_rows *rows = &walk->rows[dataset];
    const struct value *row = NULL;
    uint64_t count = 0;
    sha_begin(&walk->sha, &walk->before.hash[dataset]);
    for (;;) {
        if (!book_rows_peek(rows, &row)) return false;
        if (row == NULL || position_sequence(value_unsigned(row)) > seal->through) break;
        if (!take_row(walk, dataset, row)) return false;
        sha_add_row(&walk->sha, row, rows->columns);
        ++count;
        book_rows_pass(rows);
    }
    const struct ledger_hash hash = sha_take(&walk->sha);
    const bool is_whole = count == seal->rows[dataset] &&
                          memcmp(hash.byte, seal->hash[dataset].byte, LEDGER_HASH_BYTES) == 0;
    if (is_whole) return true;
    if (dataset == DATASET_USAGE && books_is_cut(walk->books, seal->through)) {
        if (count == 0 || walk->books->is_served) return true;
        return find_in_seal(walk, seal, "usage events stand where all were cut");
    }
    if (count != seal->rows[dataset]) {
        verdict_expected(walk->verdict, "%" PRIu64 " rows of %s", seal->rows[dataset],
                         dataset_table(dataset));
        verdict_found(walk->verdict, "%" PRIu64, count);
        return find_in_seal(walk, seal, "rows are missing, or there are more than were sealed");
    }
    char text[HASH_TEXT_SIZE];
    verdict_expected(walk->verdict, "%s", hash_text(seal->hash[dataset].byte, text));
    verdict_found(walk->verdict, "%s of its rows of %s", hash_text(hash.byte, text),
                  dataset_table(dataset));
    return find_in_seal(walk, seal, "a row that it seals was changed");
}

static bool check_seal(struct seal_walk *walk, const struct seal *seal)
{
    if (seal->first != walk->before.through + 1 || seal->through < seal->first) {
        verdict_expected(walk->verdict, "a seal that begins at batch %" PRIu64,
                         walk->before.through + 1);
        verdict_found(walk->verdict, "one from %" PRIu64 " to %" PRIu64, seal->first,
                      seal->through);
        return find_in_seal(walk, seal, "the seals are not dense");
    }
    for (unsigned i = 0; i < DATASETS; ++i)
        if (!check_dataset(walk, seal, (enum dataset)i)) return false;
    walk->before = *seal;
    ++walk->seals;
    return true;
}

static bool check_end(struct seal_walk *walk)
{
    const struct value *row = NULL;
    if (walk->before.through != walk->books->cursor) {
        verdict_expected(walk->verdict, "a seal through batch %" PRIu64, walk->books->cursor);
        verdict_found(walk->verdict, "the newest through %" PRIu64, walk->before.through);
        return find_in_seal(walk, &walk->before,
                            "seals are missing between the newest and the cursor");
    }
    for (unsigned i = 0; i < DATASETS; ++i) {
        if (!book_rows_peek(&walk->rows[i], &row)) return false;
        if (row == NULL) continue;
        book_row_place(walk->verdict, (enum dataset)i, row);
        return verdict_find(walk->verdict, LEDGER_FILE, "stands behind the cursor: nothing says so",
                            ADVICE_REBUILD);
    }
    return true;
}

static bool run(struct seal_walk *walk, const struct proof_parts *parts)
{
    for (;;) {
        if (!fill_page(walk)) return false;
        if (walk->filled == 0) return check_end(walk);
        for (uint32_t i = 0; i < walk->filled; ++i) {
            if (walk->page[i].through > walk->books->cursor)
                return walk->books->is_served
                           ? check_end(walk)
                           : find_in_seal(walk, &walk->page[i],
                                          "stands behind the cursor: nothing says so");
            if (!check_seal(walk, &walk->page[i])) return false;
        }
        parts->progress(parts->self, "settled batches", walk->before.through, walk->books->cursor);
    }
}

bool seals_check(struct books *books, struct chains *chains, const struct proof_parts *parts,
                 struct proof_verdict *verdict)
{
    struct seal_walk *walk = calloc(1, sizeof(*walk));
    struct book_rows *rows = calloc(DATASETS, sizeof(*rows));
    ENSURE(walk != NULL && rows != NULL);
    *walk = (struct seal_walk){.books = books, .chains = chains, .verdict = verdict, .rows = rows};
    walk->before.through = 1; /* genesis makes no rows */
    sha_start(&walk->sha);
    /* A copy has nothing behind its cursor; a server may be writing there. */
    const uint64_t through = books->is_served ? books->cursor : POSITION_SEQUENCE_MAX - 1;
    bool is_good = sqlite3_prepare_v2(ledger_connection(books->ledger), SEALS_SQL, -1,
                                      &walk->statement, NULL) == SQLITE_OK ||
                   books_find_fault(books, "its table seals cannot be read");
    for (unsigned i = 0; i < DATASETS && is_good; ++i)
        is_good = book_rows_open(&rows[i], books, (enum dataset)i, through);
    is_good = is_good && run(walk, parts);
    for (unsigned i = 0; i < DATASETS; ++i) {
        verdict_count(verdict, "ledger", dataset_table((enum dataset)i), rows[i].count);
        book_rows_close(&rows[i]);
    }
    verdict_count(verdict, "ledger", "seals", walk->seals);
    if (books->usage_cut > 0)
        verdict_note(verdict,
                     "usage events through batch %" PRIu64 " were cut: their money is there",
                     books->usage_cut);
    (void)sqlite3_finalize(walk->statement);
    sha_end(&walk->sha);
    free(rows);
    free(walk);
    return is_good;
}
