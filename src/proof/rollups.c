/*
 * rollups.c: see rollups.h. Hour by hour (then day by day) SQLite groups the events (the hours)
 * anew in the order of the key, and the rows are read side by side with those that are kept. So
 * what is sorted at a time is one hour, whatever there is in all; what of it does not fit into
 * memory spills into temporary files outside the data directory.
 */
#include "proof/rollups.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>

#include "proof/verdict.h"

enum { STEPS_PER_PROGRESS = 1000000, KEY_COLUMNS = 10, COUNTED = 2, WIDE = 4 };

#define SORTED_IN_MEMORY "PRAGMA cache_size=-65536"

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
/* SQLite's sums end at 64 bits, so both halves of a number are added up, and put together here;
 * what sums had above 10^18 is the third. */
#define HALVES(of, above) ",sum(" of ">>32),sum(" of "&4294967295)," above
#define SUMS(above)                                                               \
    ",sum(requests),sum(denied)" HALVES("units", above("units"))                  \
        HALVES("charged", above("charged")) HALVES("quantity", above("quantity")) \
            HALVES("duration_ms", above("duration_ms")) " "
#define NOTHING_ABOVE(of) "0"
#define SUM_ABOVE(of) "sum(" of "_e18)"

/* ?1 the start; ?2 to ?4, of hours: behind which position, up to which, before which instant. */
struct comparison {
    const char *what;
    const char *none;   /* what is wrong with a kept row that is no sum */
    const char *wrong;  /* and with a sum that is not kept, or not so */
    const char *summed; /* in the order of the key, as is */
    const char *kept;
};

static const struct comparison HOURS = {
    .what = "usage_rollup, hour",
    .none = "a sum of no events",
    .wrong = "missing, or not the sum of its events",
    .summed = "WITH part AS (" EVENTS " UNION ALL " SOURCES " UNION ALL " METERS
              " UNION ALL " OVERSHOOTS ") SELECT at_ms-at_ms%3600000," DIMENSIONS SUMS(
                  NOTHING_ABOVE) "FROM part WHERE ?1 IS NOT NULL AND position>?2 AND position<=?3 "
                                 "GROUP BY at_ms-at_ms%3600000," DIMENSIONS
                                 " ORDER BY at_ms-at_ms%3600000," DIMENSIONS,
    .kept = "SELECT * FROM usage_rollup WHERE start_ms>=?1 AND start_ms<?1+3600000 "
            "ORDER BY start_ms," DIMENSIONS,
};

/* Of the day that is being made, the hours that were added. */
#define KEY "start_ms," DIMENSIONS
static const struct comparison DAYS = {
    .what = "usage_days, day",
    .none = "a sum of no hours",
    .wrong = "missing, or not the sum of its hours",
    .summed = "SELECT ?1," DIMENSIONS SUMS(
        SUM_ABOVE) "FROM usage_rollup WHERE start_ms>=?1 AND "
                   "start_ms<?1+86400000 AND "
                   "(start_ms<(SELECT value FROM meta WHERE name='days_through_ms') OR "
                   "(" KEY ")<=(SELECT " KEY " FROM usage_days_at)) "
                   "GROUP BY " DIMENSIONS " ORDER BY " DIMENSIONS,
    .kept = "SELECT * FROM usage_days WHERE start_ms>=?1 AND start_ms<?1+86400000 "
            "ORDER BY start_ms," DIMENSIONS,
};

struct rollups {
    struct books *books;
    const struct proof_parts *parts;
    sqlite3 *connection;
    const struct comparison *of;
    sqlite3_stmt *summed, *kept;
    uint64_t position; /* events up to there are compared */
};

static void show(const struct rollups *rollups)
{
    rollups->parts->progress(rollups->parts->self, "sums added up anew, through batch",
                             position_sequence(rollups->position),
                             position_sequence(rollups->books->rolled_through));
}

static int show_steps(void *self)
{
    show(self);
    return 0;
}

static bool find(const struct rollups *rollups, sqlite3_stmt *row, const char *wrong)
{
    struct proof_verdict *verdict = rollups->books->verdict;
    verdict_place(verdict, "%s from %" PRId64 ", customer '%s', feature '%s'", rollups->of->what,
                  (int64_t)sqlite3_column_int64(row, 0), (const char *)sqlite3_column_text(row, 1),
                  (const char *)sqlite3_column_text(row, 3));
    return verdict_find(verdict, LEDGER_FILE, wrong, ADVICE_REBUILD);
}

/* A sum of a time that no stamp has: there is none of an event there. */
#define LAST_START_MS (INT64_MAX / 2)
static bool find_start(const struct rollups *rollups, const struct comparison *of, int64_t start_ms)
{
    verdict_place(rollups->books->verdict, "%s from %" PRId64, of->what, start_ms);
    return verdict_find(rollups->books->verdict, LEDGER_FILE, of->none, ADVICE_REBUILD);
}

static bool cannot(const struct rollups *rollups)
{
    return books_find_fault(rollups->books, "its rollups cannot be added up");
}

/* The first column of the first row; false: the verdict says why. NULL gives `none`. */
static bool ask(const struct rollups *rollups, const char *sql, int64_t first, int64_t second,
                int64_t none, int64_t *number_out)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(rollups->connection, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_bind_int64(statement, 1, first);
    if (code == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 1)
        code = sqlite3_bind_int64(statement, 2, second);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    const bool has_number =
        code == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_INTEGER;
    *number_out = has_number ? sqlite3_column_int64(statement, 0) : none;
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE || cannot(rollups);
}

/* Of two rows' keys: which comes first. */
static int compare_keys(sqlite3_stmt *left, sqlite3_stmt *right)
{
    const sqlite3_int64 starts[] = {sqlite3_column_int64(left, 0), sqlite3_column_int64(right, 0)};
    if (starts[0] != starts[1]) return starts[0] < starts[1] ? -1 : 1;
    for (int i = 1; i < KEY_COLUMNS; ++i) {
        const void *texts[] = {sqlite3_column_text(left, i), sqlite3_column_text(right, i)};
        const size_t lengths[] = {(size_t)sqlite3_column_bytes(left, i),
                                  (size_t)sqlite3_column_bytes(right, i)};
        const size_t least = lengths[0] < lengths[1] ? lengths[0] : lengths[1];
        const int order = least == 0 ? 0 : memcmp(texts[0], texts[1], least);
        if (order != 0) return order;
        if (lengths[0] != lengths[1]) return lengths[0] < lengths[1] ? -1 : 1;
    }
    return 0;
}

static bool are_sums_equal(sqlite3_stmt *summed, sqlite3_stmt *kept)
{
    for (int i = KEY_COLUMNS; i < KEY_COLUMNS + COUNTED; ++i)
        if (sqlite3_column_int64(summed, i) != sqlite3_column_int64(kept, i)) return false;
    for (int i = 0; i < WIDE; ++i) {
        const int at = KEY_COLUMNS + COUNTED + 3 * i;
        const int kept_at = KEY_COLUMNS + COUNTED + 2 * i;
        const int128 sum = (int128)sqlite3_column_int64(summed, at) * (INT64_C(1) << 32) +
                           sqlite3_column_int64(summed, at + 1) +
                           (int128)sqlite3_column_int64(summed, at + 2) * SUM_E18;
        const struct sum is = sum_of(sum);
        if (is.low != sqlite3_column_int64(kept, kept_at) ||
            is.e18 != sqlite3_column_int64(kept, kept_at + 1))
            return false;
    }
    return true;
}

/* Side by side, to the end of both. */
static bool compare_rows(const struct rollups *rollups)
{
    for (;;) {
        const int summed = sqlite3_step(rollups->summed);
        const int kept = sqlite3_step(rollups->kept);
        if ((summed != SQLITE_ROW && summed != SQLITE_DONE) ||
            (kept != SQLITE_ROW && kept != SQLITE_DONE))
            return cannot(rollups);
        if (summed == SQLITE_DONE && kept == SQLITE_DONE) return true;
        const int order = summed == SQLITE_DONE ? 1
                          : kept == SQLITE_DONE ? -1
                                                : compare_keys(rollups->summed, rollups->kept);
        if (order > 0) return find(rollups, rollups->kept, rollups->of->none);
        if (order < 0 || !are_sums_equal(rollups->summed, rollups->kept))
            return find(rollups, rollups->summed, rollups->of->wrong);
    }
}

static bool compare_one(const struct rollups *rollups, int64_t start_ms, uint64_t through)
{
    bool is_good = true;
    sqlite3_stmt *both[] = {rollups->summed, rollups->kept};
    for (unsigned i = 0; is_good && i < COUNT_OF(both); ++i) {
        const bool has_range = sqlite3_bind_parameter_count(both[i]) > 1;
        is_good = sqlite3_bind_int64(both[i], 1, start_ms) == SQLITE_OK &&
                  (!has_range ||
                   (sqlite3_bind_int64(both[i], 2, (sqlite3_int64)rollups->position) == SQLITE_OK &&
                    sqlite3_bind_int64(both[i], 3, (sqlite3_int64)through) == SQLITE_OK));
    }
    is_good = is_good ? compare_rows(rollups) : cannot(rollups);
    (void)sqlite3_reset(rollups->summed);
    (void)sqlite3_reset(rollups->kept);
    return is_good;
}

/* Up to which position events lie that come before an instant: without one behind in between. */
static bool find_through(const struct rollups *rollups, int64_t end_ms, uint64_t *through_out)
{
    int64_t behind = 0;
    const int64_t rolled = (int64_t)rollups->books->rolled_through;
    if (!ask(rollups,
             "SELECT position FROM usage_events WHERE position>?1 AND at_ms>=?2 "
             "ORDER BY position LIMIT 1",
             (int64_t)rollups->position, end_ms, INT64_MAX, &behind))
        return false;
    *through_out = (uint64_t)(behind <= rolled ? behind - 1 : rolled);
    return true;
}

/* Where the hour or day begins that has the earlier of both; INT64_MAX: there is neither. */
static int64_t first_start(int64_t one_ms, int64_t other_ms, int64_t length_ms)
{
    const int64_t first_ms = one_ms < other_ms ? one_ms : other_ms;
    return first_ms == INT64_MAX ? first_ms : first_ms - first_ms % length_ms;
}

/* Every hour that has events or a row. Events of all that was cut lie in hours that began before
 * the cut: those are left out. */
static bool compare_hours(struct rollups *rollups, int64_t cut_ms)
{
    int64_t last_ms = cut_ms;
    for (;;) {
        int64_t kept_ms = 0;
        int64_t event_ms = 0;
        uint64_t through = 0;
        show(rollups);
        if (!ask(rollups, "SELECT min(start_ms) FROM usage_rollup WHERE start_ms>?1", last_ms, 0,
                 INT64_MAX, &kept_ms) ||
            !ask(rollups,
                 "SELECT at_ms-at_ms%3600000 FROM usage_events WHERE position>?1 AND position<=?2 "
                 "ORDER BY position LIMIT 1",
                 (int64_t)rollups->position, (int64_t)rollups->books->rolled_through, INT64_MAX,
                 &event_ms))
            return false;
        const int64_t start_ms = first_start(kept_ms, event_ms, HOUR_MS);
        if (start_ms == INT64_MAX) return true;
        if (start_ms > LAST_START_MS) return find_start(rollups, &HOURS, start_ms);
        if (!find_through(rollups, start_ms + HOUR_MS, &through)) return false;
        if (start_ms > cut_ms && !compare_one(rollups, start_ms, through)) return false;
        last_ms = start_ms + HOUR_MS - 1;
        rollups->position = through;
    }
}

/* Every day that has hours or a row. */
static bool compare_days(const struct rollups *rollups)
{
    int64_t behind_ms = -1;
    for (;;) {
        int64_t kept_ms = 0;
        int64_t hour_ms = 0;
        if (!ask(rollups, "SELECT min(start_ms) FROM usage_days WHERE start_ms>?1", behind_ms, 0,
                 INT64_MAX, &kept_ms) ||
            !ask(rollups, "SELECT min(start_ms) FROM usage_rollup WHERE start_ms>?1", behind_ms, 0,
                 INT64_MAX, &hour_ms))
            return false;
        const int64_t start_ms = first_start(kept_ms, hour_ms, DAY_MS);
        if (start_ms == INT64_MAX) return true;
        if (start_ms > LAST_START_MS) return find_start(rollups, &DAYS, start_ms);
        if (!compare_one(rollups, start_ms, 0)) return false;
        behind_ms = start_ms + DAY_MS - 1;
    }
}

/* The last stamp of what was cut; -1: nothing was. */
static bool find_cut(const struct rollups *rollups, int64_t *cut_ms_out)
{
    return ask(rollups, "SELECT max(at_ms) FROM seals WHERE through<=?1",
               (int64_t)rollups->books->usage_cut, 0, -1, cut_ms_out);
}

static bool begin(struct rollups *rollups, const struct comparison *of)
{
    rollups->of = of;
    return (sqlite3_prepare_v2(rollups->connection, of->summed, -1, &rollups->summed, NULL) ==
                SQLITE_OK &&
            sqlite3_prepare_v2(rollups->connection, of->kept, -1, &rollups->kept, NULL) ==
                SQLITE_OK) ||
           cannot(rollups);
}

static void end(struct rollups *rollups)
{
    (void)sqlite3_finalize(rollups->summed);
    (void)sqlite3_finalize(rollups->kept);
    rollups->summed = rollups->kept = NULL;
}

bool rollups_check(struct books *books, const struct proof_parts *parts)
{
    struct rollups rollups = {
        .books = books, .parts = parts, .connection = ledger_connection(books->ledger)};
    int64_t cut_ms = -1;
    if (books->is_served) {
        verdict_note(books->verdict, "ledger.db is being served: its sums by hour and day were not "
                                     "added up anew (that takes a copy)");
        return true;
    }
    if (!find_cut(&rollups, &cut_ms)) return false;
    if (sqlite3_exec(rollups.connection, SORTED_IN_MEMORY, NULL, NULL, NULL) != SQLITE_OK)
        return cannot(&rollups);
    sqlite3_progress_handler(rollups.connection, STEPS_PER_PROGRESS, show_steps, &rollups);
    bool is_good = begin(&rollups, &HOURS) && compare_hours(&rollups, cut_ms);
    end(&rollups);
    is_good = is_good && begin(&rollups, &DAYS) && compare_days(&rollups);
    end(&rollups);
    sqlite3_progress_handler(rollups.connection, 0, NULL, NULL);
    return is_good;
}
