/*
 * rollups.c: see rollups.h. SQLite groups the events (for days: the hours) anew and lists what is
 * not the same on both sides; its sorting spills into temporary files outside the data directory.
 */
#include "proof/rollups.h"

#include <inttypes.h>
#include <sqlite3.h>

#include "proof/verdict.h"

enum { STEPS_PER_PROGRESS = 1000000 };

#define DIMENSIONS "customer,subject,feature,endpoint,model,origin,outcome,what,name"
#define OF_EVENT                                                               \
    "position,at_ms,customer,subject,feature,ifnull(endpoint,'') AS endpoint," \
    "ifnull(model,'') AS model,ifnull(origin,'') AS origin,outcome,"
#define EVENTS                                                                         \
    "SELECT " OF_EVENT "'event' AS what,'' AS name,"                                   \
    "CASE WHEN late THEN 0 ELSE count END AS requests,"                                \
    "CASE WHEN outcome='deny' THEN count ELSE 0 END AS denied,units_allowed AS units," \
    "charged,0 AS quantity,ifnull(duration_ms,0) AS duration_ms FROM usage_events"
#define SOURCES                                                                  \
    "SELECT " OF_EVENT "'source',json_extract(one.value,'$.source'),0,0,"        \
    "json_extract(one.value,'$.units'),json_extract(one.value,'$.charged'),0,0 " \
    "FROM usage_events,json_each(sources) AS one"
#define METERS                                                \
    "SELECT " OF_EVENT "'meter',one.key,0,0,0,0,one.value,0 " \
    "FROM usage_events,json_each(actual) AS one"
#define OVERSHOOTS                                           \
    "SELECT " OF_EVENT "'overshoot','',0,0,overshoot_units," \
    "overshoot_charged-overshoot_refunded,0,0 FROM usage_events WHERE overshoot_units<>0"
#define SUMMED                                                                           \
    "SELECT at_ms-at_ms%3600000 AS start_ms," DIMENSIONS                                 \
    ",sum(requests),sum(denied),sum(units),sum(charged),sum(quantity),sum(duration_ms) " \
    "FROM part WHERE position<=?1 AND at_ms-at_ms%3600000>?2 "                           \
    "GROUP BY at_ms-at_ms%3600000," DIMENSIONS
/* Events of all that was cut lie in hours that began before the cut. */
#define COMPARE_SQL                                                                             \
    "WITH part AS (" EVENTS " UNION ALL " SOURCES " UNION ALL " METERS " UNION ALL " OVERSHOOTS \
    "),summed AS (" SUMMED "),kept AS (SELECT * FROM usage_rollup WHERE start_ms>?2) "          \
    "SELECT 'missing, or not the sum of its events',* FROM "                                    \
    "(SELECT * FROM summed EXCEPT SELECT * FROM kept) "                                         \
    "UNION ALL SELECT 'a sum of no events',* FROM "                                             \
    "(SELECT * FROM kept EXCEPT SELECT * FROM summed) LIMIT 1"

/* Of the day that is being made, the hours that were added. */
#define KEY "start_ms," DIMENSIONS
#define COMPARE_DAYS_SQL                                                         \
    "WITH through AS (SELECT value FROM meta WHERE name='days_through_ms'),"     \
    "summed AS (SELECT start_ms-start_ms%86400000," DIMENSIONS ",sum(requests)," \
    "sum(denied),sum(units),sum(charged),sum(quantity),sum(duration_ms) "        \
    "FROM usage_rollup WHERE start_ms<(SELECT value FROM through) OR "           \
    "(" KEY ")<=(SELECT " KEY " FROM usage_days_at) "                            \
    "GROUP BY start_ms-start_ms%86400000," DIMENSIONS ") "                       \
    "SELECT 'missing, or not the sum of its hours',* FROM "                      \
    "(SELECT * FROM summed EXCEPT SELECT * FROM usage_days) "                    \
    "UNION ALL SELECT 'a sum of no hours',* FROM "                               \
    "(SELECT * FROM usage_days EXCEPT SELECT * FROM summed) LIMIT 1"

static int show(void *self)
{
    const struct proof_parts *parts = self;
    parts->progress(parts->self, "adding up the rollups anew", 0, 0);
    return 0;
}

static bool find(const struct books *books, sqlite3_stmt *row, const char *what)
{
    verdict_place(books->verdict, "%s from %" PRId64 ", customer '%s', feature '%s'", what,
                  (int64_t)sqlite3_column_int64(row, 1), (const char *)sqlite3_column_text(row, 2),
                  (const char *)sqlite3_column_text(row, 4));
    return verdict_find(books->verdict, LEDGER_FILE, (const char *)sqlite3_column_text(row, 0),
                        ADVICE_REBUILD);
}

/* The last stamp of what was cut; -1: nothing was. */
static bool find_cut(struct books *books, int64_t *cut_ms_out)
{
    sqlite3_stmt *statement = NULL;
    const bool is_good =
        sqlite3_prepare_v2(ledger_connection(books->ledger),
                           "SELECT max(at_ms) FROM seals WHERE through<=?1", -1, &statement,
                           NULL) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)books->usage_cut) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW;
    const bool is_cut = is_good && sqlite3_column_type(statement, 0) == SQLITE_INTEGER;
    *cut_ms_out = is_cut ? sqlite3_column_int64(statement, 0) : -1;
    (void)sqlite3_finalize(statement);
    return is_good || books_find_fault(books, "its table seals cannot be read");
}

/* The first row of a comparison is a finding. */
static bool compare(struct books *books, const char *sql, int64_t cut_ms, const char *what)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(ledger_connection(books->ledger), sql, -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 0) {
        code = sqlite3_bind_int64(statement, 1, (sqlite3_int64)books->rolled_through);
        if (code == SQLITE_OK) code = sqlite3_bind_int64(statement, 2, cut_ms);
    }
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    const bool is_good = code == SQLITE_DONE;
    if (code == SQLITE_ROW)
        (void)find(books, statement, what);
    else if (!is_good)
        (void)books_find_fault(books, "its rollups cannot be added up");
    (void)sqlite3_finalize(statement);
    return is_good;
}

bool rollups_check(struct books *books, const struct proof_parts *parts)
{
    sqlite3 *connection = ledger_connection(books->ledger);
    int64_t cut_ms = -1;
    if (books->is_served) {
        verdict_note(books->verdict, "ledger.db is being served: its sums by hour and day were not "
                                     "added up anew (that takes a copy)");
        return true;
    }
    if (!find_cut(books, &cut_ms)) return false;
    sqlite3_progress_handler(connection, STEPS_PER_PROGRESS, show, (void *)(uintptr_t)parts);
    const bool is_good = compare(books, COMPARE_SQL, cut_ms, "usage_rollup, hour") &&
                         compare(books, COMPARE_DAYS_SQL, cut_ms, "usage_days, day");
    sqlite3_progress_handler(connection, 0, NULL, NULL);
    return is_good;
}
