/*
 * soak_books.c: what the client was told, added up, and what the ledger holds, added up by SQL.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "main/text_table.h"
#include "soak.h"

static const char *const names[SOAK_EVENTS] = {"consume", "usage",  "commit", "late commit",
                                               "release", "expiry", "denial"};

static const char events_sql[] =
    "SELECT CASE WHEN late THEN 'late commit' ELSE kind END,sum(count),sum(charged) "
    "FROM usage_events GROUP BY 1";
static const char refunds_sql[] = "SELECT 'refund',count(*),coalesce(sum(credits),0) FROM refunds";

static bool print_line(const char *name, const struct soak_sum *told, const struct soak_sum *held)
{
    char numbers[4][TEXT_NUMBER_BYTES];
    const bool is_equal = told->count == held->count && told->charged == held->charged;
    printf("  %-12s %14s %14s %20s %20s  %s\n", name, text_number(told->count, numbers[0]),
           text_number(held->count, numbers[1]), text_credits(told->charged, numbers[2]),
           text_credits(held->charged, numbers[3]), is_equal ? "equal" : "DIFFERENT");
    return is_equal;
}

/* A kind that nobody here knows counts among the last: it is a difference all the same. */
static bool read_sums(sqlite3 *ledger, const char *sql, struct soak_sum *sums)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(ledger, sql, -1, &statement, NULL) != SQLITE_OK) return false;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        size_t event = 0;
        while (event < SOAK_EVENTS && strcmp(names[event], name) != 0)
            ++event;
        sums[event].count += (uint64_t)sqlite3_column_int64(statement, 1);
        sums[event].charged += sqlite3_column_int64(statement, 2);
    }
    (void)sqlite3_finalize(statement);
    return result == SQLITE_DONE;
}

bool soak_books_agree(const struct soak_settings *settings, const struct soak_tally *tally)
{
    char path[4096];
    struct soak_sum sums[SOAK_EVENTS + 1] = {0}; /* the last: refunds */
    (void)snprintf(path, sizeof(path), "%s/data/ledger.db", settings->directory);
    sqlite3 *ledger = NULL;
    const bool is_read = sqlite3_open_v2(path, &ledger, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                         read_sums(ledger, events_sql, sums) &&
                         read_sums(ledger, refunds_sql, sums);
    if (!is_read) (void)fprintf(stderr, "soak: %s: %s\n", path, sqlite3_errmsg(ledger));
    (void)sqlite3_close(ledger);
    if (!is_read) return false;

    printf("\n  %-12s %14s %14s %20s %20s\n", "usage events", "told", "in the ledger",
           "credits, told", "in the ledger");
    bool agree = true;
    for (size_t event = 0; event < SOAK_EVENTS; ++event)
        agree = print_line(names[event], &tally->events[event], &sums[event]) && agree;
    return print_line("refund", &tally->refunds, &sums[SOAK_EVENTS]) && agree;
}
