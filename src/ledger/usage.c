/*
 * usage.c: see usage.h. Sums are gathered in a temporary table of this connection, keyed by the
 * scan and the group, which SQLite keeps in memory and, when it is long, in a temporary file.
 *
 * While the rollup is read piece by piece, settlement adds to it. So a fence is kept behind each
 * piece, with the position through which the rollup was complete when the piece was read; and of
 * the events behind, those are added that the fence of their own hour and customer does not cover.
 * Days are only read where they were whole before the first fence, so no such event is of theirs.
 *
 * Span by span, the fences are those of the span, and its events are found by customer in a table
 * of positions (usage_behind), made first of everything that was not rolled then.
 */
#include "ledger/usage.h"

#include <string.h>

#include "ledger/read_inner.h"
#include "ledger/schema.h"

/* A step of these takes some 10 to 30 ms. */
enum {
    ROLLUP_ROWS_MAX = 8000,
    ROLLUP_HOURS_MAX = 500, /* of one customer */
    EVENTS_MAX = 2000,
    BEHIND_MAX = 10000, /* events whose positions are noted */
    LINES_MAX_A_CALL = 500,
    /* Of a span, as long as it is not one customer's alone. */
    SPAN_ROWS_MAX = 16000,
    SPAN_ROWS_LEAST = 32, /* of one hour */
    SPAN_EVENTS_MAX = EVENTS_MAX
};

#define TEMPORARY_KIB "32768" /* of what is gathered, in memory; the rest in a temporary file */
#define SQL_BYTES 8192
#define ANY_NAME "\xff" /* behind every customer's */

static const struct {
    const char *rolled;   /* in usage_rollup */
    const char *exploded; /* in usage_exploded */
} dimensions[USAGE_DIMENSIONS] = {
    [BY_CUSTOMER] = {                  "customer",             "customer"},
    [BY_SUBJECT] = {                   "subject",              "subject"},
    [BY_FEATURE] = {                   "feature",              "feature"},
    [BY_MODEL] = {                     "model",                "model"},
    [BY_ORIGIN] = {                    "origin",               "origin"},
    [BY_ENDPOINT] = {                  "endpoint",             "endpoint"},
    [BY_OUTCOME] = {                   "outcome",              "outcome"},
    [BY_SOURCE] = {                      "name",                 "name"},
    [BY_HOUR] = {                  "start_ms",  "at_ms-at_ms%3600000"},
    [BY_DAY] = {"start_ms-start_ms%86400000", "at_ms-at_ms%86400000"},
};

/* Parameters of the statements; filters follow. */
enum { AT_SCAN = 1, AT_LOW, AT_LOW_NAME, AT_HIGH, AT_HIGH_NAME, AT_FROM, AT_TO, AT_FILTERS };

void usage_scan_begin(struct usage_scan *scan, const struct usage_query *query, uint32_t number)
{
    memset(scan, 0, sizeof(*scan));
    scan->query = *query;
    scan->number = number;
    scan->at_customer = buffer_over(scan->customer_block, sizeof(scan->customer_block));
    scan->after = buffer_over(scan->after_block, sizeof(scan->after_block));
    scan->span_from = buffer_over(scan->span_blocks[0], sizeof(scan->span_blocks[0]));
    scan->span_to = buffer_over(scan->span_blocks[1], sizeof(scan->span_blocks[1]));
    uint32_t used = 0;
    for (uint32_t i = 0; i < query->group_count; ++i)
        if (query->group_by[i] == BY_CUSTOMER) scan->places[used++] = i;
    for (uint32_t i = 0; i < query->group_count; ++i)
        if (query->group_by[i] != BY_CUSTOMER) scan->places[used++] = i;
    for (uint32_t i = 0; i < used; ++i)
        scan->query.group_by[i] = query->group_by[scan->places[i]];
}

/* Of customers told apart, or of one. */
static bool is_spanned(const struct usage_scan *scan)
{
    return scan->query.only[BY_CUSTOMER].at != NULL ||
           (scan->query.group_count > 0 && scan->query.group_by[0] == BY_CUSTOMER);
}

static bool is_by_source(const struct usage_query *query)
{
    if (query->only[BY_SOURCE].at != NULL) return true;
    for (uint32_t i = 0; i < query->group_count; ++i)
        if (query->group_by[i] == BY_SOURCE) return true;
    return false;
}

/* ---- SQL */

static void put_key_column(struct buffer *sql, uint32_t place)
{
    buffer_put_text(sql, "k");
    buffer_put_decimal(sql, place);
}

static void put_expression(struct buffer *sql, const struct usage_query *query, uint32_t place,
                           bool is_rolled)
{
    const enum usage_dimension by = query->group_by[place];
    buffer_put_text(sql, is_rolled ? dimensions[by].rolled : dimensions[by].exploded);
    buffer_put_byte(sql, ',');
}

static void put_filters(struct buffer *sql, const struct usage_query *query)
{
    if (is_by_source(query)) buffer_put_text(sql, " AND what='source'");
    for (uint32_t by = 0; by < (uint32_t)USAGE_FILTERS; ++by) {
        if (query->only[by].at == NULL) continue;
        buffer_put_text(sql, " AND ");
        buffer_put_text(sql, dimensions[by].rolled);
        buffer_put_text(sql, "=?");
        buffer_put_decimal(sql, AT_FILTERS + by);
    }
}

#define OF_EVENTS "WITH usage_exploded AS (" LEDGER_EXPLODED_SQL ") "
#define IS_BEHIND_FENCE                                                   \
    "event.position>(SELECT rolled FROM temp.usage_fences WHERE scan=?1 " \
    "AND (hour_ms,usage_fences.customer)>="                               \
    "(event.at_ms-event.at_ms%3600000,event.customer) "                   \
    "ORDER BY hour_ms,usage_fences.customer LIMIT 1)"
/* Positions of these are in usage_behind. */
#define OF_PICKED                                                                       \
    "WITH picked AS MATERIALIZED (SELECT event.* FROM (SELECT * FROM temp.usage_behind" \
    " WHERE scan=?1 AND (customer,position)>(?3,?2) AND (customer,position)<=(?5,?4)"   \
    ") AS behind CROSS JOIN usage_events AS event ON event.position=behind.position "   \
    "WHERE is_cut OR " IS_BEHIND_FENCE "),"                                             \
    "usage_exploded AS (" LEDGER_EXPLODED_OF("picked") ") "

/* INSERT what `where` finds in a table of sums, or (NULL) in the events that `with` says, grouped,
 * onto what is there. */
static void put_sum(struct buffer *sql, const struct usage_query *query, const char *table,
                    const char *with, const char *where)
{
    const bool is_rolled = table != NULL;
    buffer_put_text(sql, "INSERT INTO temp.usage_groups ");
    if (!is_rolled) buffer_put_text(sql, with);
    buffer_put_text(sql, "SELECT ?1,");
    for (uint32_t i = 0; i < (uint32_t)USAGE_DIMENSIONS; ++i) {
        if (i < query->group_count)
            put_expression(sql, query, i, is_rolled);
        else
            buffer_put_text(sql, "'',");
    }
    buffer_put_text(sql, "what,name,");
    buffer_put_text(sql, is_rolled ? ROLLUP_SUMS_OF_SUMS : ROLLUP_SUMS);
    buffer_put_text(sql, " FROM ");
    buffer_put_text(sql, is_rolled ? table : "usage_exploded AS event");
    buffer_put_text(sql, where);
    put_filters(sql, query);
    buffer_put_text(sql, " GROUP BY ");
    for (uint32_t i = 0; i < query->group_count; ++i)
        put_expression(sql, query, i, is_rolled);
    buffer_put_text(sql, "what,name" ROLLUP_ONTO);
}

static sqlite3_stmt *prepare(struct ledger_reader *reader, const char *text, size_t length)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(ledger_connection(reader->ledger), text, (int)length, &statement,
                           NULL) != SQLITE_OK)
        (void)read_failed(reader, NULL);
    return statement;
}

static void bind_text(sqlite3_stmt *statement, int place, struct bytes text)
{
    (void)sqlite3_bind_text(statement, place, text.at != NULL ? (const char *)text.at : "",
                            (int)text.length, SQLITE_STATIC);
}

static void bind_filters(sqlite3_stmt *statement, const struct usage_query *query)
{
    for (uint32_t by = 0; by < (uint32_t)USAGE_FILTERS; ++by)
        if (query->only[by].at != NULL) bind_text(statement, AT_FILTERS + (int)by, query->only[by]);
}

static bool run(struct ledger_reader *reader, sqlite3_stmt *statement)
{
    if (statement == NULL) return false;
    const bool is_done = sqlite3_step(statement) == SQLITE_DONE || read_failed(reader, NULL);
    (void)sqlite3_finalize(statement);
    return is_done;
}

static bool execute(struct ledger_reader *reader, const char *text)
{
    return sqlite3_exec(ledger_connection(reader->ledger), text, NULL, NULL, NULL) == SQLITE_OK ||
           read_failed(reader, NULL);
}

static bool make_tables(struct ledger_reader *reader)
{
    if (reader->has_groups) return true;
    /* The books cannot be written by this connection, which was opened read-only; its own temporary
     * tables can. */
    reader->has_groups = execute(
        reader, "PRAGMA query_only=off;"
                "PRAGMA temp.journal_mode=memory;"
                "PRAGMA temp.cache_size=-" TEMPORARY_KIB ";"
                "CREATE TEMP TABLE "
                "usage_groups(scan,k0,k1,k2,k3,k4,k5,k6,k7,k8,k9,what,name," ROLLUP_COLUMNS ","
                "PRIMARY KEY(scan,k0,k1,k2,k3,k4,k5,k6,k7,k8,k9,what,name))WITHOUT ROWID;"
                "CREATE TEMP TABLE usage_fences(scan,hour_ms,customer,rolled,"
                "PRIMARY KEY(scan,hour_ms,customer))WITHOUT ROWID;"
                "CREATE TEMP TABLE usage_behind(scan,customer,position,is_cut,"
                "PRIMARY KEY(scan,customer,position))WITHOUT ROWID");
    return reader->has_groups;
}

/* One integer and perhaps a text behind it; false: no row, or `reader` has failed. */
struct found {
    bool is_found;
    int64_t number;
    int64_t second;
};

static bool ask(struct ledger_reader *reader, sqlite3_stmt *statement, struct found *found_out,
                struct buffer *text)
{
    const int end = sqlite3_step(statement);
    *found_out = (struct found){.is_found = end == SQLITE_ROW};
    if (end == SQLITE_ROW) {
        found_out->number = sqlite3_column_int64(statement, 0);
        if (text != NULL) {
            text->used = 0;
            buffer_put(text, sqlite3_column_text(statement, 1),
                       (size_t)sqlite3_column_bytes(statement, 1));
        } else if (sqlite3_column_count(statement) > 1) {
            found_out->second = sqlite3_column_int64(statement, 1);
        }
    }
    (void)sqlite3_reset(statement);
    return end == SQLITE_ROW || end == SQLITE_DONE || read_failed(reader, NULL);
}

/* The same of a statement that is asked once. */
static bool find(struct ledger_reader *reader, sqlite3_stmt *statement, struct found *found_out,
                 struct buffer *text)
{
    if (statement == NULL) return false;
    const bool is_read = ask(reader, statement, found_out, text);
    (void)sqlite3_finalize(statement);
    return is_read;
}

/* ---- where to read */

static sqlite3_stmt *prepare_text(struct ledger_reader *reader, const char *text)
{
    return prepare(reader, text, strlen(text));
}

/* The first usage event at or behind a position. */
static bool find_event(struct ledger_reader *reader, uint64_t position, struct found *found_out)
{
    sqlite3_stmt *statement = prepare_text(
        reader,
        "SELECT position,at_ms FROM usage_events WHERE position>=?1 ORDER BY position LIMIT 1");
    if (statement == NULL) return false;
    read_bind(statement, 1, position);
    return find(reader, statement, found_out, NULL);
}

/* The first position whose event is not before the instant: positions are in the order of time. */
static bool find_instant(struct ledger_reader *reader, int64_t instant_ms, uint64_t end,
                         uint64_t *position_out)
{
    uint64_t low = 0;
    uint64_t high = end;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        struct found found;
        if (!find_event(reader, middle, &found)) return false;
        if (!found.is_found || found.second >= instant_ms)
            high = middle;
        else
            low = (uint64_t)found.number + 1;
    }
    *position_out = low;
    return true;
}

static uint64_t last_position(const struct usage_scan *scan)
{
    return position_make(scan->state.cursor, POSITION_INDEX_MAX);
}

static void note_stretch(struct usage_scan *scan, const struct usage_stretch *stretch)
{
    if (stretch->first < scan->events_from) scan->events_from = stretch->first;
}

static bool add_stretch(struct ledger_reader *reader, struct usage_scan *scan, int64_t from_ms,
                        int64_t to_ms)
{
    struct usage_stretch *stretch = &scan->stretches[scan->stretch_count];
    struct found oldest;
    if (from_ms >= to_ms) return true;
    if (scan->state.usage_cut != 0) {
        if (!find_event(reader, 0, &oldest)) return false;
        scan->is_cut = scan->is_cut || !oldest.is_found || from_ms < oldest.second;
    }
    const uint64_t end = last_position(scan) + 1;
    uint64_t behind = 0;
    if (!find_instant(reader, from_ms, end, &stretch->first) ||
        !find_instant(reader, to_ms, end, &behind))
        return false;
    stretch->from_ms = from_ms;
    stretch->to_ms = to_ms;
    if (behind <= stretch->first) return true;
    stretch->last = behind - 1;
    note_stretch(scan, stretch);
    ++scan->stretch_count;
    return true;
}

static int64_t hour_up(int64_t instant_ms)
{
    const int64_t start_ms = calendar_hour_start(instant_ms);
    return start_ms == instant_ms ? start_ms : start_ms + HOUR_MS;
}

static bool forget_rows(struct ledger_reader *reader, const struct usage_scan *scan,
                        const char *text)
{
    sqlite3_stmt *statement = prepare_text(reader, text);
    if (statement == NULL) return false;
    (void)sqlite3_bind_int64(statement, 1, scan->number);
    return run(reader, statement);
}

static bool forget_sums(struct ledger_reader *reader, const struct usage_scan *scan)
{
    return forget_rows(reader, scan, "DELETE FROM temp.usage_groups WHERE scan=?1") &&
           forget_rows(reader, scan, "DELETE FROM temp.usage_fences WHERE scan=?1");
}

/* What is gathered under this number, also by a scan that nobody ended. */
static bool forget(struct ledger_reader *reader, const struct usage_scan *scan)
{
    return forget_sums(reader, scan) &&
           forget_rows(reader, scan, "DELETE FROM temp.usage_behind WHERE scan=?1");
}

static void add_part(struct usage_scan *scan, bool is_days, int64_t from_ms, int64_t to_ms)
{
    if (from_ms < to_ms)
        scan->parts[scan->part_count++] = (struct usage_part){is_days, from_ms, to_ms};
}

static void begin_part(struct usage_scan *scan)
{
    if (scan->part < scan->part_count) scan->at_hour_ms = scan->parts[scan->part].from_ms - 1;
    scan->at_customer.used = 0;
}

/* Goes over the parts from the first on. */
static void begin_pass(struct usage_scan *scan, enum usage_phase phase)
{
    scan->phase = phase;
    scan->part = 0;
    begin_part(scan);
}

static bool is_by_hour(const struct usage_query *query)
{
    for (uint32_t i = 0; i < query->group_count; ++i)
        if (query->group_by[i] == BY_HOUR) return true;
    return false;
}

static void add_parts(struct usage_scan *scan)
{
    const int64_t through_ms = scan->state.days_through_ms;
    int64_t from_ms = scan->hours_to_ms;
    int64_t to_ms = scan->hours_to_ms;
    if (scan->hours_from_ms < through_ms && !is_by_hour(&scan->query)) {
        const int64_t start_ms = calendar_day_start(scan->hours_from_ms);
        from_ms = start_ms == scan->hours_from_ms ? start_ms : start_ms + DAY_MS;
        to_ms = to_ms < through_ms ? calendar_day_start(to_ms) : through_ms;
    }
    if (from_ms >= to_ms) from_ms = to_ms = scan->hours_to_ms;
    add_part(scan, false, scan->hours_from_ms, from_ms);
    add_part(scan, true, from_ms, to_ms);
    add_part(scan, false, to_ms, scan->hours_to_ms);
}

static void set_name(struct buffer *name, struct bytes text)
{
    name->used = 0;
    buffer_put(name, text.at, text.length);
    ENSURE(!name->overflowed);
}

/* Behind this name and before every other one. */
static void set_name_behind(struct buffer *name, struct bytes text)
{
    set_name(name, text);
    buffer_put_byte(name, 0);
    ENSURE(!name->overflowed);
}

/* The span that begins at a name. One customer's ends behind him; where others end is to be found.
 */
static void begin_span(struct usage_scan *scan, struct bytes from)
{
    const bool is_one = scan->query.only[BY_CUSTOMER].at != NULL;
    set_name(&scan->span_from, from);
    if (is_one)
        set_name_behind(&scan->span_to, from);
    else
        set_name(&scan->span_to, BYTES(ANY_NAME));
    scan->is_last_span = is_one;
    scan->slots_seen = 0;
    begin_pass(scan, is_one ? USAGE_SPAN_ROLLUP : USAGE_SPAN);
}

/* The customers that are asked for: one; all; or those from the one of a group on. */
static void begin_spans(struct usage_scan *scan)
{
    const struct bytes only = scan->query.only[BY_CUSTOMER];
    struct reader after = reader_over(buffer_bytes(&scan->after));
    struct bytes from = BYTES("");
    if (only.at != NULL)
        from = only.length <= CUSTOMER_BYTES_MAX ? only : BYTES(ANY_NAME); /* nobody has it */
    else if (scan->after.used > 0)
        from = reader_take_bytes(&after);
    begin_span(scan, from);
}

static struct usage_stretch tail_of(const struct usage_scan *scan, uint64_t rolled_through)
{
    return (struct usage_stretch){.first = rolled_through + 1,
                                  .last = last_position(scan),
                                  .from_ms = scan->hours_from_ms,
                                  .to_ms = scan->hours_to_ms,
                                  .is_tail = true};
}

static bool start(struct ledger_reader *reader, struct usage_scan *scan)
{
    const int64_t from_ms = scan->query.from_ms;
    const int64_t to_ms = scan->query.to_ms;
    if (!forget(reader, scan) || !read_state(reader, &scan->state)) return false;
    scan->events_from = UINT64_MAX;
    scan->rolled_least = UINT64_MAX;
    scan->hours_from_ms = hour_up(from_ms);
    scan->hours_to_ms = to_ms == INT64_MAX ? to_ms : calendar_hour_start(to_ms);
    if (scan->hours_from_ms >= scan->hours_to_ms) {
        scan->hours_to_ms = scan->hours_from_ms;
        return add_stretch(reader, scan, from_ms, to_ms);
    }
    add_parts(scan);
    if (!add_stretch(reader, scan, from_ms, scan->hours_from_ms) ||
        !add_stretch(reader, scan, scan->hours_to_ms, to_ms))
        return false;
    if (!is_spanned(scan) || scan->state.rolled_through >= last_position(scan)) return true;
    scan->stretches[scan->stretch_count] = tail_of(scan, scan->state.rolled_through);
    note_stretch(scan, &scan->stretches[scan->stretch_count++]);
    return true;
}

/* ---- the rollup */

static const char *table_of(const struct usage_scan *scan)
{
    return scan->parts[scan->part].is_days ? "usage_days" : "usage_rollup";
}

static int64_t part_end(const struct usage_scan *scan)
{
    return scan->parts[scan->part].to_ms;
}

static sqlite3_stmt *prepare_of_table(struct ledger_reader *reader, const struct usage_scan *scan,
                                      const char *before, const char *behind)
{
    uint8_t block[SQL_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    buffer_put_text(&sql, before);
    buffer_put_text(&sql, table_of(scan));
    buffer_put_text(&sql, behind);
    ENSURE(!sql.overflowed);
    return prepare(reader, (const char *)sql.at, sql.used);
}

/* The end of the next piece: some rows on, or all that is left. */
static bool find_piece(struct ledger_reader *reader, const struct usage_scan *scan,
                       struct found *end_out, struct buffer *customer)
{
    sqlite3_stmt *statement =
        prepare_of_table(reader, scan, "SELECT start_ms,customer FROM ",
                         " WHERE (start_ms,customer)>(?1,?2) AND start_ms<?3 ORDER BY "
                         "start_ms,customer LIMIT 1 OFFSET ?4");
    if (statement == NULL) return false;
    (void)sqlite3_bind_int64(statement, 1, scan->at_hour_ms);
    bind_text(statement, 2, buffer_bytes(&scan->at_customer));
    (void)sqlite3_bind_int64(statement, 3, part_end(scan));
    (void)sqlite3_bind_int64(statement, 4, ROLLUP_ROWS_MAX);
    return find(reader, statement, end_out, customer);
}

static bool put_fence(struct ledger_reader *reader, struct usage_scan *scan, int64_t hour_ms,
                      struct bytes customer)
{
    struct ledger_state state;
    if (!read_state(reader, &state)) return false;
    if (state.rolled_through < scan->rolled_least) scan->rolled_least = state.rolled_through;
    sqlite3_stmt *statement =
        prepare_text(reader, "INSERT OR REPLACE INTO temp.usage_fences VALUES(?1,?2,?3,?4)");
    if (statement == NULL) return false;
    (void)sqlite3_bind_int64(statement, 1, scan->number);
    (void)sqlite3_bind_int64(statement, 2, hour_ms);
    bind_text(statement, 3, customer);
    read_bind(statement, 4, state.rolled_through);
    return run(reader, statement);
}

/* The fence is behind every hour of the part. */
static enum ledger_read end_part(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (!put_fence(reader, scan, part_end(scan) - 1, BYTES(""))) return LEDGER_FAILED;
    ++scan->part;
    begin_part(scan);
    return scan->part == scan->part_count ? LEDGER_END : LEDGER_MORE;
}

/* Sums up to and with a key; without one, all that is left. */
static enum ledger_read sum_rollup(struct ledger_reader *reader, struct usage_scan *scan,
                                   const struct found *end, struct bytes end_customer)
{
    uint8_t block[SQL_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    put_sum(&sql, &scan->query, table_of(scan), NULL,
            end->is_found ? " WHERE (start_ms,customer)>(?2,?3) AND "
                            "(start_ms,customer)<=(?4,?5)"
                          : " WHERE (start_ms,customer)>(?2,?3) AND start_ms<?4");
    ENSURE(!sql.overflowed);
    sqlite3_stmt *statement = prepare(reader, (const char *)sql.at, sql.used);
    if (statement == NULL) return LEDGER_FAILED;
    (void)sqlite3_bind_int64(statement, AT_SCAN, scan->number);
    (void)sqlite3_bind_int64(statement, AT_LOW, scan->at_hour_ms);
    bind_text(statement, AT_LOW_NAME, buffer_bytes(&scan->at_customer));
    (void)sqlite3_bind_int64(statement, AT_HIGH, end->is_found ? end->number : part_end(scan));
    if (end->is_found) bind_text(statement, AT_HIGH_NAME, end_customer);
    bind_filters(statement, &scan->query);
    if (!run(reader, statement)) return LEDGER_FAILED;
    if (!end->is_found) return end_part(reader, scan);
    if (!put_fence(reader, scan, end->number, end_customer)) return LEDGER_FAILED;
    scan->at_hour_ms = end->number;
    scan->at_customer.used = 0;
    buffer_put(&scan->at_customer, end_customer.at, end_customer.length);
    return LEDGER_MORE;
}

static enum ledger_read step_rollup(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (scan->hours_from_ms >= scan->hours_to_ms) return LEDGER_END;
    uint8_t block[USAGE_NAME_BYTES];
    struct buffer customer = buffer_over(block, sizeof(block));
    struct found end;
    if (!find_piece(reader, scan, &end, &customer)) return LEDGER_FAILED;
    return sum_rollup(reader, scan, &end, buffer_bytes(&customer));
}

/* ---- the events */

/* The end of a stretch's next piece: so many events on, or all that is left. */
static bool find_end(struct ledger_reader *reader, const struct usage_stretch *stretch,
                     uint32_t events_max, uint64_t *last_out, bool *is_last_out)
{
    struct found bound;
    sqlite3_stmt *statement = prepare_text(reader, "SELECT position FROM usage_events WHERE "
                                                   "position>=?1 ORDER BY position LIMIT 1 "
                                                   "OFFSET ?2");
    if (statement == NULL) return false;
    read_bind(statement, 1, stretch->first);
    (void)sqlite3_bind_int64(statement, 2, events_max - 1);
    if (!find(reader, statement, &bound, NULL)) return false;
    *is_last_out = !bound.is_found || (uint64_t)bound.number >= stretch->last;
    *last_out = *is_last_out ? stretch->last : (uint64_t)bound.number;
    return true;
}

static void bind_stretch(sqlite3_stmt *statement, const struct usage_scan *scan,
                         const struct usage_stretch *stretch, uint64_t last)
{
    (void)sqlite3_bind_int64(statement, AT_SCAN, scan->number);
    read_bind(statement, AT_LOW, stretch->first);
    read_bind(statement, AT_HIGH, last);
    (void)sqlite3_bind_int64(statement, AT_FROM, stretch->from_ms);
    (void)sqlite3_bind_int64(statement, AT_TO, stretch->to_ms);
}

static enum ledger_read sum_events(struct ledger_reader *reader, struct usage_scan *scan,
                                   struct usage_stretch *stretch, const char *where)
{
    uint8_t block[SQL_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    uint64_t last = 0;
    bool is_last = false;
    if (!find_end(reader, stretch, EVENTS_MAX, &last, &is_last)) return LEDGER_FAILED;
    put_sum(&sql, &scan->query, NULL, OF_EVENTS, where);
    ENSURE(!sql.overflowed);
    sqlite3_stmt *statement = prepare(reader, (const char *)sql.at, sql.used);
    if (statement == NULL) return LEDGER_FAILED;
    bind_stretch(statement, scan, stretch, last);
    bind_filters(statement, &scan->query);
    if (!run(reader, statement)) return LEDGER_FAILED;
    stretch->first = last + 1;
    return is_last ? LEDGER_END : LEDGER_MORE;
}

#define EVENTS_WHERE " WHERE position>=?2 AND position<=?4 AND at_ms>=?6 AND at_ms<?7"
#define EVENTS_BEHIND_FENCES EVENTS_WHERE " AND " IS_BEHIND_FENCE

/* ---- span by span */

/* Notes where the events of a stretch are. */
static enum ledger_read note_events(struct ledger_reader *reader, struct usage_scan *scan,
                                    struct usage_stretch *stretch)
{
    uint64_t last = 0;
    bool is_last = false;
    if (!find_end(reader, stretch, BEHIND_MAX, &last, &is_last)) return LEDGER_FAILED;
    sqlite3_stmt *statement =
        prepare_text(reader, "INSERT INTO temp.usage_behind SELECT ?1,customer,position,?3 "
                             "FROM usage_events" EVENTS_WHERE
                             " AND (?8 IS NULL OR customer=?8) ORDER BY customer,position");
    if (statement == NULL) return LEDGER_FAILED;
    bind_stretch(statement, scan, stretch, last);
    (void)sqlite3_bind_int64(statement, AT_LOW_NAME, !stretch->is_tail);
    if (scan->query.only[BY_CUSTOMER].at != NULL)
        bind_text(statement, AT_FILTERS, scan->query.only[BY_CUSTOMER]);
    if (!run(reader, statement)) return LEDGER_FAILED;
    stretch->first = last + 1;
    return is_last ? LEDGER_END : LEDGER_MORE;
}

static enum ledger_read step_behind(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (scan->stretch_count == 0) {
        begin_spans(scan);
        return LEDGER_MORE;
    }
    const enum ledger_read result =
        note_events(reader, scan, &scan->stretches[scan->stretch_count - 1]);
    if (result == LEDGER_END) --scan->stretch_count;
    return result == LEDGER_FAILED ? result : LEDGER_MORE;
}

/* What lies by customer under one key: the name behind so many rows, from a name on. */
#define NAME_BEHIND(key) \
    " WHERE " key "=?1 AND customer>=?2 AND customer<?3 ORDER BY customer LIMIT 1 OFFSET ?4"

/* Ends the span before the customer behind so many rows; one customer is never divided. */
static bool lower_end(struct ledger_reader *reader, struct usage_scan *scan,
                      sqlite3_stmt *statement, int64_t key, uint32_t rows)
{
    uint8_t blocks[2][USAGE_NAME_BYTES];
    struct buffer name = buffer_over(blocks[0], sizeof(blocks[0]));
    struct buffer second = buffer_over(blocks[1], sizeof(blocks[1]));
    struct found found;
    (void)sqlite3_bind_int64(statement, 1, key);
    bind_text(statement, 2, buffer_bytes(&scan->span_from));
    bind_text(statement, 3, buffer_bytes(&scan->span_to));
    (void)sqlite3_bind_int64(statement, 4, rows);
    if (!ask(reader, statement, &found, &name)) return false;
    if (found.is_found && bytes_equal(buffer_bytes(&name), buffer_bytes(&scan->span_from))) {
        set_name_behind(&second, buffer_bytes(&name));
        bind_text(statement, 2, buffer_bytes(&second));
        (void)sqlite3_bind_int64(statement, 4, 0);
        if (!ask(reader, statement, &found, &name)) return false;
    }
    if (found.is_found) set_name(&scan->span_to, buffer_bytes(&name));
    return true;
}

/* One hour, or day, behind the one before. False: it failed, or there is none in the part. */
typedef bool slot_taker(struct ledger_reader *reader, struct usage_scan *scan,
                        sqlite3_stmt *statement);

/* Some slots of the part under way. *is_over_out: there are no more. */
static bool take_slots(struct ledger_reader *reader, struct usage_scan *scan,
                       sqlite3_stmt *statement, slot_taker *take, bool *is_over_out)
{
    struct found next;
    bool is_good = true;
    *is_over_out = false;
    sqlite3_stmt *find_next =
        prepare_of_table(reader, scan, "SELECT min(start_ms) FROM ", " WHERE start_ms>?1");
    if (statement == NULL || find_next == NULL) is_good = false;
    for (unsigned i = 0; is_good && i < ROLLUP_HOURS_MAX; ++i) {
        (void)sqlite3_bind_int64(find_next, 1, scan->at_hour_ms);
        is_good = ask(reader, find_next, &next, NULL);
        *is_over_out =
            is_good && (next.number <= scan->at_hour_ms || next.number >= part_end(scan));
        if (!is_good || *is_over_out) break;
        scan->at_hour_ms = next.number;
        is_good = take(reader, scan, statement);
    }
    (void)sqlite3_finalize(find_next);
    (void)sqlite3_finalize(statement);
    return is_good;
}

static bool look_at_slot(struct ledger_reader *reader, struct usage_scan *scan,
                         sqlite3_stmt *statement)
{
    const uint32_t share = scan->slots > 0 ? SPAN_ROWS_MAX / scan->slots : 0;
    ++scan->slots_seen;
    return lower_end(reader, scan, statement, scan->at_hour_ms,
                     share > SPAN_ROWS_LEAST ? share : SPAN_ROWS_LEAST);
}

/* Finds where the span ends. */
static enum ledger_read step_span(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (scan->part < scan->part_count) {
        bool is_over = false;
        if (!take_slots(
                reader, scan,
                prepare_of_table(reader, scan, "SELECT 0,customer FROM ", NAME_BEHIND("start_ms")),
                look_at_slot, &is_over))
            return LEDGER_FAILED;
        if (is_over) {
            ++scan->part;
            begin_part(scan);
        }
        return LEDGER_MORE;
    }
    sqlite3_stmt *statement =
        prepare_text(reader, "SELECT 0,customer FROM temp.usage_behind" NAME_BEHIND("scan"));
    const bool is_found =
        statement != NULL && lower_end(reader, scan, statement, scan->number, SPAN_EVENTS_MAX);
    (void)sqlite3_finalize(statement);
    if (!is_found) return LEDGER_FAILED;
    scan->is_last_span = bytes_equal(buffer_bytes(&scan->span_to), BYTES(ANY_NAME));
    scan->slots = scan->slots_seen;
    begin_pass(scan, USAGE_SPAN_ROLLUP);
    return LEDGER_MORE;
}

static bool sum_slot(struct ledger_reader *reader, struct usage_scan *scan, sqlite3_stmt *statement)
{
    (void)sqlite3_bind_int64(statement, AT_LOW, scan->at_hour_ms);
    const bool is_done = sqlite3_step(statement) == SQLITE_DONE || read_failed(reader, NULL);
    (void)sqlite3_reset(statement);
    return is_done;
}

/* The rows of one slot and span lie together: from slot to slot. */
static enum ledger_read step_span_rollup(struct ledger_reader *reader, struct usage_scan *scan)
{
    uint8_t block[SQL_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    bool is_over = false;
    if (scan->part == scan->part_count) {
        scan->phase = USAGE_SPAN_EVENTS;
        scan->tail.first = 0;
        set_name(&scan->at_customer, buffer_bytes(&scan->span_from));
        return LEDGER_MORE;
    }
    put_sum(&sql, &scan->query, table_of(scan), NULL,
            " WHERE start_ms=?2 AND customer>=?3 AND customer<?5");
    ENSURE(!sql.overflowed);
    sqlite3_stmt *statement = prepare(reader, (const char *)sql.at, sql.used);
    if (statement == NULL) return LEDGER_FAILED;
    (void)sqlite3_bind_int64(statement, AT_SCAN, scan->number);
    bind_text(statement, AT_LOW_NAME, buffer_bytes(&scan->span_from));
    bind_text(statement, AT_HIGH_NAME, buffer_bytes(&scan->span_to));
    bind_filters(statement, &scan->query);
    if (!take_slots(reader, scan, statement, sum_slot, &is_over)) return LEDGER_FAILED;
    if (is_over) return end_part(reader, scan) == LEDGER_FAILED ? LEDGER_FAILED : LEDGER_MORE;
    /* Behind every customer's name, as far as this slot goes. */
    if (!put_fence(reader, scan, scan->at_hour_ms, BYTES(ANY_NAME))) return LEDGER_FAILED;
    return LEDGER_MORE;
}

/* The span's events that its fences do not cover. */
static enum ledger_read step_span_events(struct ledger_reader *reader, struct usage_scan *scan)
{
    uint8_t block[SQL_BYTES];
    uint8_t name_block[USAGE_NAME_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    struct buffer name = buffer_over(name_block, sizeof(name_block));
    struct found end;
    sqlite3_stmt *statement = prepare_text(
        reader, "SELECT position,customer FROM temp.usage_behind WHERE scan=?1 AND "
                "(customer,position)>(?3,?2) AND customer<?5 ORDER BY customer,position "
                "LIMIT 1 OFFSET ?6");
    if (statement == NULL) return LEDGER_FAILED;
    (void)sqlite3_bind_int64(statement, AT_SCAN, scan->number);
    read_bind(statement, AT_LOW, scan->tail.first);
    bind_text(statement, AT_LOW_NAME, buffer_bytes(&scan->at_customer));
    bind_text(statement, AT_HIGH_NAME, buffer_bytes(&scan->span_to));
    (void)sqlite3_bind_int64(statement, AT_FROM, EVENTS_MAX - 1);
    if (!find(reader, statement, &end, &name)) return LEDGER_FAILED;
    put_sum(&sql, &scan->query, NULL, OF_PICKED, " WHERE 1");
    ENSURE(!sql.overflowed);
    statement = prepare(reader, (const char *)sql.at, sql.used);
    if (statement == NULL) return LEDGER_FAILED;
    (void)sqlite3_bind_int64(statement, AT_SCAN, scan->number);
    read_bind(statement, AT_LOW, scan->tail.first);
    bind_text(statement, AT_LOW_NAME, buffer_bytes(&scan->at_customer));
    read_bind(statement, AT_HIGH, end.is_found ? (uint64_t)end.number : 0);
    bind_text(statement, AT_HIGH_NAME, buffer_bytes(end.is_found ? &name : &scan->span_to));
    bind_filters(statement, &scan->query);
    if (!run(reader, statement)) return LEDGER_FAILED;
    scan->tail.first = (uint64_t)end.number;
    if (end.is_found) set_name(&scan->at_customer, buffer_bytes(&name));
    return end.is_found ? LEDGER_MORE : LEDGER_END;
}

/* ---- steps */

static enum ledger_read step(struct ledger_reader *reader, struct usage_scan *scan)
{
    enum ledger_read result;
    switch (scan->phase) {
    case USAGE_START:
        if (!start(reader, scan)) return LEDGER_FAILED;
        if (scan->is_cut) return LEDGER_END;
        begin_pass(scan, is_spanned(scan) ? USAGE_BEHIND : USAGE_ROLLUP);
        return LEDGER_MORE;
    case USAGE_ROLLUP:
        result = step_rollup(reader, scan);
        if (result != LEDGER_END) return result;
        scan->tail = tail_of(scan, scan->rolled_least);
        note_stretch(scan, &scan->tail);
        scan->phase = scan->rolled_least < last_position(scan) ? USAGE_TAIL : USAGE_EDGES;
        return LEDGER_MORE;
    case USAGE_TAIL:
        result = sum_events(reader, scan, &scan->tail, EVENTS_BEHIND_FENCES);
        if (result != LEDGER_END) return result;
        scan->phase = USAGE_EDGES;
        return LEDGER_MORE;
    case USAGE_EDGES:
        if (scan->stretch_count == 0) {
            scan->phase = USAGE_SUMMED;
            return LEDGER_END;
        }
        result = sum_events(reader, scan, &scan->stretches[scan->stretch_count - 1], EVENTS_WHERE);
        if (result == LEDGER_END) --scan->stretch_count;
        return result == LEDGER_FAILED ? result : LEDGER_MORE;
    case USAGE_BEHIND:
        return step_behind(reader, scan);
    case USAGE_SPAN:
        return step_span(reader, scan);
    case USAGE_SPAN_ROLLUP:
        return step_span_rollup(reader, scan);
    case USAGE_SPAN_EVENTS:
        result = step_span_events(reader, scan);
        if (result == LEDGER_END) scan->phase = USAGE_SUMMED;
        return result;
    case USAGE_SUMMED:
        return LEDGER_END;
    }
    ENSURE(false);
    return LEDGER_FAILED;
}

/* What this transaction sees of the events: whether some are gone that the scan may yet read, or
 * has read in this very step. What went before the scan began it has judged then. Events go a
 * seal at a time, with the number of its last batch in the same transaction. */
static enum ledger_read check_kept(struct ledger_reader *reader, struct usage_scan *scan)
{
    struct ledger_state state;
    if (!read_state(reader, &state)) return LEDGER_FAILED;
    scan->is_lost = state.usage_cut != scan->state.usage_cut &&
                    state.usage_cut >= position_sequence(scan->events_from);
    return scan->is_lost ? LEDGER_END : LEDGER_MORE;
}

enum ledger_read usage_scan_step(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (!make_tables(reader) || !read_begin(reader)) return LEDGER_FAILED;
    const bool has_events = scan->phase != USAGE_START && scan->events_from != UINT64_MAX;
    enum ledger_read result = has_events ? check_kept(reader, scan) : LEDGER_MORE;
    if (result == LEDGER_MORE) result = step(reader, scan);
    return read_end(reader, result);
}

/* ---- giving */

static bool is_instant(enum usage_dimension by)
{
    return by == BY_HOUR || by == BY_DAY;
}

bool usage_scan_behind(struct usage_scan *scan, struct bytes after)
{
    struct reader reader = reader_over(after);
    if (after.length > sizeof(scan->after_block)) return false;
    for (uint32_t i = 0; i < scan->query.group_count; ++i) {
        if (is_instant(scan->query.group_by[i]))
            (void)reader_take_signed(&reader);
        else if (!bytes_is_utf8(reader_take_bytes(&reader)))
            return false;
    }
    if (!reader_is_done(&reader)) return false;
    if (is_spanned(scan)) {
        reader = reader_over(after);
        if (scan->query.group_by[0] == BY_CUSTOMER &&
            reader_take_bytes(&reader).length > CUSTOMER_BYTES_MAX)
            return false;
    }
    scan->after.used = 0;
    buffer_put(&scan->after, after.at, after.length);
    return true;
}

static void put_key(struct buffer *key, const struct usage_scan *scan, const struct value *values)
{
    key->used = 0;
    for (uint32_t i = 0; i < scan->query.group_count; ++i) {
        const struct value *value = &values[scan->places[i]];
        if (is_instant(scan->query.group_by[i]))
            buffer_put_signed(key, value->integer);
        else
            buffer_put_bytes(key, value->bytes);
    }
    ENSURE(!key->overflowed);
}

static sqlite3_stmt *prepare_lines(struct ledger_reader *reader, const struct usage_scan *scan)
{
    uint8_t block[SQL_BYTES];
    struct buffer sql = buffer_over(block, sizeof(block));
    const uint32_t count = scan->query.group_count;
    const bool goes_on = scan->after.used > 0;
    buffer_put_text(&sql, "SELECT k0,k1,k2,k3,k4,k5,k6,k7,k8,k9,what,name," ROLLUP_COLUMNS
                          " FROM temp.usage_groups WHERE scan=?1");
    for (uint32_t i = 0; goes_on && i < count; ++i) {
        buffer_put_text(&sql, i == 0 ? " AND (" : ",");
        put_key_column(&sql, i);
    }
    for (uint32_t i = 0; goes_on && i < count; ++i) {
        buffer_put_text(&sql, i == 0 ? ")>(?" : ",?");
        buffer_put_decimal(&sql, i + 2);
    }
    if (goes_on) buffer_put_text(&sql, ")");
    buffer_put_text(&sql, " ORDER BY scan,k0,k1,k2,k3,k4,k5,k6,k7,k8,k9,what,name");
    ENSURE(!sql.overflowed);
    sqlite3_stmt *statement = prepare(reader, (const char *)sql.at, sql.used);
    if (statement == NULL) return NULL;
    (void)sqlite3_bind_int64(statement, 1, scan->number);
    /* Copies: the key moves on while the statement runs. */
    struct reader after = reader_over(buffer_bytes(&scan->after));
    for (uint32_t i = 0; goes_on && i < count; ++i) {
        if (is_instant(scan->query.group_by[i])) {
            (void)sqlite3_bind_int64(statement, (int)i + 2, reader_take_signed(&after));
        } else {
            const struct bytes text = reader_take_bytes(&after);
            (void)sqlite3_bind_text(statement, (int)i + 2,
                                    text.length > 0 ? (const char *)text.at : "", (int)text.length,
                                    SQLITE_TRANSIENT);
        }
    }
    return statement;
}

static struct bytes column_text(sqlite3_stmt *statement, int column)
{
    const uint8_t *at = sqlite3_column_text(statement, column);
    return (struct bytes){at, (size_t)sqlite3_column_bytes(statement, column)};
}

static int128 column_sum(sqlite3_stmt *statement, int column)
{
    return sum_value((struct sum){.low = sqlite3_column_int64(statement, column),
                                  .e18 = sqlite3_column_int64(statement, column + 1)});
}

static enum usage_what what_of(struct bytes text)
{
    if (bytes_equal(text, BYTES("event"))) return USAGE_WHAT_EVENT;
    if (bytes_equal(text, BYTES("meter"))) return USAGE_WHAT_METER;
    if (bytes_equal(text, BYTES("overshoot"))) return USAGE_WHAT_OVERSHOOT;
    return USAGE_WHAT_SOURCE;
}

static void take_line(sqlite3_stmt *statement, const struct usage_scan *scan, struct value *keys,
                      struct usage_line *line)
{
    for (uint32_t i = 0; i < scan->query.group_count; ++i)
        keys[scan->places[i]] = is_instant(scan->query.group_by[i])
                                    ? value_of_signed(sqlite3_column_int64(statement, (int)i))
                                    : value_of_text(column_text(statement, (int)i));
    const int at = USAGE_DIMENSIONS;
    *line = (struct usage_line){
        .keys = keys,
        .what = what_of(column_text(statement, at)),
        .name = column_text(statement, at + 1),
        .requests = sqlite3_column_int64(statement, at + 2),
        .denied = sqlite3_column_int64(statement, at + 3),
        .units = column_sum(statement, at + 4),
        .charged = column_sum(statement, at + 6),
        .quantity = column_sum(statement, at + 8),
        .duration_ms = column_sum(statement, at + 10),
    };
}

static void keep_after(struct usage_scan *scan, const struct buffer *key)
{
    scan->after.used = 0;
    buffer_put(&scan->after, key->at, key->used);
}

enum ledger_read usage_scan_take(struct ledger_reader *reader, struct usage_scan *scan,
                                 usage_taker *take, void *self)
{
    struct value keys[USAGE_DIMENSIONS];
    struct usage_line line;
    uint8_t blocks[2][USAGE_AFTER_BYTES];
    struct buffer key = buffer_over(blocks[0], sizeof(blocks[0]));
    struct buffer taken = buffer_over(blocks[1], sizeof(blocks[1]));
    enum ledger_read result = LEDGER_END;
    uint32_t lines = 0;
    int end;
    sqlite3_stmt *statement = prepare_lines(reader, scan);
    if (statement == NULL) return LEDGER_FAILED;
    while ((end = sqlite3_step(statement)) == SQLITE_ROW) {
        take_line(statement, scan, keys, &line);
        put_key(&key, scan, keys);
        line.is_first = lines == 0 || !bytes_equal(buffer_bytes(&key), buffer_bytes(&taken));
        if (line.is_first && lines > 0) keep_after(scan, &taken);
        if (line.is_first && lines >= LINES_MAX_A_CALL) {
            result = LEDGER_MORE;
            break;
        }
        if (!take(self, &line)) {
            result = LEDGER_FULL;
            break;
        }
        taken.used = 0;
        buffer_put(&taken, key.at, key.used);
        ++lines;
    }
    if (end == SQLITE_DONE && lines > 0) keep_after(scan, &taken);
    if (end != SQLITE_ROW && end != SQLITE_DONE) {
        (void)read_failed(reader, NULL);
        result = LEDGER_FAILED;
    }
    (void)sqlite3_finalize(statement);
    if (result != LEDGER_END || !is_spanned(scan) || scan->is_last_span) return result;
    if (!forget_sums(reader, scan)) return LEDGER_FAILED;
    struct buffer from = buffer_over(blocks[0], sizeof(blocks[0]));
    set_name(&from, buffer_bytes(&scan->span_to));
    begin_span(scan, buffer_bytes(&from));
    return LEDGER_MORE;
}

bool usage_scan_is_whole(const struct usage_scan *scan)
{
    return scan->phase == USAGE_SUMMED && !is_spanned(scan);
}

uint64_t usage_scan_lines(struct ledger_reader *reader, const struct usage_scan *scan)
{
    struct found found;
    sqlite3_stmt *statement =
        prepare_text(reader, "SELECT count(*) FROM temp.usage_groups WHERE scan=?1");
    if (statement == NULL) return UINT64_MAX;
    (void)sqlite3_bind_int64(statement, 1, scan->number);
    return find(reader, statement, &found, NULL) ? (uint64_t)found.number : UINT64_MAX;
}

void usage_scan_go_on(struct usage_scan *scan, uint32_t number)
{
    scan->number = number;
    scan->phase = USAGE_SUMMED;
}

void usage_scan_end(struct ledger_reader *reader, struct usage_scan *scan)
{
    if (reader->has_groups && scan->phase != USAGE_START) (void)forget(reader, scan);
}
