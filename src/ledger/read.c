/*
 * read.c: see read.h. Statements are prepared once; each call runs them between BEGIN and COMMIT of
 * its own.
 */
#include "ledger/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/ledger.h"
#include "ledger/read_inner.h"
#include "ledger/schema.h"
#include "wire/wire.h"

#define USAGE_OF_DECISION(columns)                                                     \
    "SELECT " columns " FROM usage_events WHERE position=?1 UNION ALL SELECT " columns \
    " FROM usage_events WHERE decision=?1 AND decision<>position"

static const char *const texts[READ_STATEMENTS] = {
    [READ_BEGIN] = "BEGIN",
    [READ_END] = "COMMIT",
    [READ_META] = "SELECT ifnull((SELECT value FROM meta WHERE name=?1),0)",
    [READ_CHAIN] = "SELECT last_position,last_place,last_usage FROM customers WHERE id=?1",
    [READ_UPDATE] = "SELECT " LEDGER_COLUMNS_SQL(BALANCE) " FROM balance_updates "
                                                          "WHERE position=?1 AND place=?2",
    [READ_EVENT] = "SELECT " LEDGER_COLUMNS_SQL(USAGE) " FROM usage_events WHERE position=?1",
    [READ_SOURCES] = "SELECT value->>'source',value->>'kind',value->>'grant_id',value->>'units',"
                     "value->>'charged' FROM json_each(?1)",
    [READ_DECISION_USAGE] = USAGE_OF_DECISION(LEDGER_COLUMNS_SQL(USAGE)) " ORDER BY 1",
    [READ_DECISION_MONETIZATION] = "SELECT " LEDGER_COLUMNS_SQL(
        MONETIZATION) " FROM monetization_events "
                      "WHERE position IN(" USAGE_OF_DECISION("position") ") ORDER BY position",
    /* Ends and refunds of a decision are entries of their own: their rows alone are looked at. */
    [READ_DECISION_BALANCE] = "SELECT " LEDGER_COLUMNS_SQL(
        BALANCE) " FROM balance_updates "
                 "WHERE position IN(" USAGE_OF_DECISION(
                     "position") " UNION SELECT position FROM refunds WHERE decision=?1) "
                                 "ORDER BY position,place",
    [READ_DECISION_REFUND] = "SELECT " LEDGER_COLUMNS_SQL(REFUND) " FROM refunds WHERE decision=?1 "
                                                                  "ORDER BY position",
    /* Usage events have their own retention; that a hold was charged outlives it. */
    [READ_ENDINGS] =
        USAGE_OF_DECISION("position,kind,late") " UNION ALL SELECT position,'commit',0 FROM "
                                                "monetization_events AS m WHERE "
                                                "decision=?1 AND decision<>position AND NOT "
                                                "EXISTS(SELECT 1 FROM usage_events AS u "
                                                "WHERE u.position=m.position) ORDER BY 1",
    [READ_REFUNDED] = "SELECT ifnull(sum(credits),0) FROM refunds WHERE decision=?1",
    [READ_OWNER] =
        "SELECT customer FROM monetization_events WHERE position=?1 UNION ALL "
        "SELECT customer FROM monetization_events WHERE decision=?1 AND decision<>position UNION "
        "ALL "
        "SELECT customer FROM usage_events WHERE decision=?1 AND decision<>position LIMIT 1",
    [READ_GRANT_OWNER] = "SELECT customer,category FROM grants WHERE id=?1",
};

bool read_failed(struct ledger_reader *reader, const char *what)
{
    (void)snprintf(reader->detail, sizeof(reader->detail), "%s",
                   what != NULL ? what : sqlite3_errmsg(ledger_connection(reader->ledger)));
    return false;
}

struct ledger_reader *ledger_reader_over(struct ledger *ledger)
{
    struct ledger_reader *reader = calloc(1, sizeof(*reader));
    ENSURE(reader != NULL);
    reader->ledger = ledger;
    for (unsigned i = 0; i < READ_STATEMENTS; ++i) {
        if (sqlite3_prepare_v3(ledger_connection(ledger), texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &reader->statements[i], NULL) == SQLITE_OK)
            continue;
        while (i > 0)
            (void)sqlite3_finalize(reader->statements[--i]);
        free(reader);
        return NULL;
    }
    return reader;
}

void ledger_reader_close(struct ledger_reader *reader)
{
    for (unsigned i = 0; i < READ_STATEMENTS; ++i)
        (void)sqlite3_finalize(reader->statements[i]);
    ledger_close(reader->ledger);
    free(reader);
}

const char *ledger_reader_detail(const struct ledger_reader *reader)
{
    return reader->detail;
}

sqlite3_stmt *read_statement(struct ledger_reader *reader, enum read_statement which)
{
    sqlite3_stmt *statement = reader->statements[which];
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return statement;
}

bool read_begin(struct ledger_reader *reader)
{
    if (sqlite3_step(read_statement(reader, READ_BEGIN)) == SQLITE_DONE) return true;
    return read_failed(reader, NULL);
}

enum ledger_read read_end(struct ledger_reader *reader, enum ledger_read result)
{
    /* A statement in mid-way would keep the transaction open. */
    for (unsigned i = READ_META; i < READ_STATEMENTS; ++i)
        (void)sqlite3_reset(reader->statements[i]);
    if (sqlite3_step(read_statement(reader, READ_END)) == SQLITE_DONE) return result;
    (void)read_failed(reader, NULL);
    return LEDGER_FAILED;
}

void read_bind(sqlite3_stmt *statement, int place, uint64_t number)
{
    (void)sqlite3_bind_int64(statement, place, (sqlite3_int64)number);
}

static bool read_meta(struct ledger_reader *reader, const char *name, uint64_t *value_out)
{
    sqlite3_stmt *statement = read_statement(reader, READ_META);
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_ROW) return read_failed(reader, NULL);
    *value_out = (uint64_t)sqlite3_column_int64(statement, 0);
    return true;
}

bool read_state(struct ledger_reader *reader, struct ledger_state *state)
{
    uint64_t cursor_ms = 0;
    uint64_t days_through_ms = 0;
    if (!read_meta(reader, "cursor_sequence", &state->cursor) ||
        !read_meta(reader, "cursor_ms", &cursor_ms) ||
        !read_meta(reader, "rolled_through", &state->rolled_through) ||
        !read_meta(reader, "days_through_ms", &days_through_ms) ||
        !read_meta(reader, "usage_cut", &state->usage_cut))
        return false;
    state->cursor_ms = (int64_t)cursor_ms;
    state->days_through_ms = (int64_t)days_through_ms;
    return true;
}

bool ledger_read_state(struct ledger_reader *reader, struct ledger_state *state_out)
{
    struct ledger_state state;
    if (!read_begin(reader)) return false;
    const enum ledger_read end = read_state(reader, &state) ? LEDGER_END : LEDGER_FAILED;
    if (read_end(reader, end) != LEDGER_END) return false;
    *state_out = state;
    return true;
}

/* ---- chains */

enum row { ROW_FOUND, ROW_NONE, ROW_FAILED };

static enum row take_row(struct ledger_reader *reader, sqlite3_stmt *statement, uint32_t columns,
                         struct value *values)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        if (ledger_take_row(statement, columns, values)) return ROW_FOUND;
        (void)read_failed(reader, "a row of the ledger has a column of a wrong type");
        return ROW_FAILED;
    case SQLITE_DONE:
        return ROW_NONE;
    default:
        (void)read_failed(reader, NULL);
        return ROW_FAILED;
    }
}

static uint64_t unsigned_of(const struct value *value)
{
    return (uint64_t)value->integer;
}

static enum row find_update(struct ledger_reader *reader, uint64_t position, uint32_t place,
                            struct value *values)
{
    sqlite3_stmt *statement = read_statement(reader, READ_UPDATE);
    read_bind(statement, 1, position);
    read_bind(statement, 2, place);
    return take_row(reader, statement, BALANCE_COLUMNS, values);
}

/* The walk's next row is taken, and the walk is behind it. */
static enum ledger_read step_update(struct ledger_reader *reader, struct ledger_walk *walk,
                                    ledger_taker *take, void *self)
{
    struct value values[BALANCE_COLUMNS];
    if (walk->position == 0) return LEDGER_END;
    const enum row row = find_update(reader, walk->position, walk->place, values);
    if (row == ROW_FAILED) return LEDGER_FAILED;
    if (row == ROW_NONE || !bytes_equal(values[BALANCE_AT_customer].bytes, walk->customer)) {
        (void)read_failed(reader, "a customer's chain of balance updates is broken");
        return LEDGER_FAILED;
    }
    const uint64_t previous = unsigned_of(&values[BALANCE_AT_previous_position]);
    const uint32_t previous_place = (uint32_t)values[BALANCE_AT_previous_place].integer;
    if (!take(self, values)) return LEDGER_FULL;
    walk->position = previous;
    walk->place = previous_place;
    return LEDGER_MORE;
}

enum ledger_read ledger_read_updates(struct ledger_reader *reader, struct ledger_walk *walk,
                                     uint32_t rows_max, ledger_taker *take, void *self)
{
    enum ledger_read result = LEDGER_MORE;
    if (!read_begin(reader)) return LEDGER_FAILED;
    for (uint32_t i = 0; i < rows_max && result == LEDGER_MORE; ++i)
        result = step_update(reader, walk, take, self);
    if (result == LEDGER_MORE && walk->position == 0) result = LEDGER_END;
    return read_end(reader, result);
}

bool ledger_walk_behind(struct ledger_reader *reader, struct ledger_walk *walk, uint64_t position,
                        uint32_t place)
{
    struct value values[BALANCE_COLUMNS];
    if (find_update(reader, position, place, values) != ROW_FOUND ||
        !bytes_equal(values[BALANCE_AT_customer].bytes, walk->customer))
        return false;
    walk->position = unsigned_of(&values[BALANCE_AT_previous_position]);
    walk->place = (uint32_t)values[BALANCE_AT_previous_place].integer;
    (void)read_statement(reader, READ_UPDATE);
    return true;
}

static enum row find_event(struct ledger_reader *reader, uint64_t position, struct value *values)
{
    sqlite3_stmt *statement = read_statement(reader, READ_EVENT);
    read_bind(statement, 1, position);
    return take_row(reader, statement, USAGE_COLUMNS, values);
}

static bool is_asked(struct bytes asked, const struct value *value)
{
    return asked.at == NULL || bytes_equal(asked, value->bytes);
}

static bool event_is_asked(const struct ledger_events *events, const struct value *values)
{
    return values[USAGE_AT_at_ms].integer < events->to_ms &&
           is_asked(events->subject, &values[USAGE_AT_subject]) &&
           is_asked(events->feature, &values[USAGE_AT_feature]) &&
           is_asked(events->outcome, &values[USAGE_AT_outcome]);
}

static enum ledger_read step_event(struct ledger_reader *reader, struct ledger_events *events,
                                   ledger_taker *take, void *self)
{
    struct value values[USAGE_COLUMNS];
    if (events->position == 0) return LEDGER_END;
    const enum row row = find_event(reader, events->position, values);
    if (row == ROW_FAILED) return LEDGER_FAILED;
    if (row == ROW_NONE) { /* cut: retention has taken it and all before it */
        events->position = 0;
        return LEDGER_END;
    }
    if (!bytes_equal(values[USAGE_AT_customer].bytes, events->customer)) {
        (void)read_failed(reader, "a customer's chain of usage events is broken");
        return LEDGER_FAILED;
    }
    const uint64_t previous = unsigned_of(&values[USAGE_AT_previous]);
    /* A customer's events are in the order of their times. */
    if (values[USAGE_AT_at_ms].integer < events->from_ms) {
        events->position = 0;
        return LEDGER_END;
    }
    if (event_is_asked(events, values) && !take(self, values)) return LEDGER_FULL;
    events->position = previous;
    return LEDGER_MORE;
}

enum ledger_read ledger_read_events(struct ledger_reader *reader, struct ledger_events *events,
                                    uint32_t rows_max, ledger_taker *take, void *self)
{
    enum ledger_read result = LEDGER_MORE;
    if (!read_begin(reader)) return LEDGER_FAILED;
    for (uint32_t i = 0; i < rows_max && result == LEDGER_MORE; ++i)
        result = step_event(reader, events, take, self);
    if (result == LEDGER_MORE && events->position == 0) result = LEDGER_END;
    return read_end(reader, result);
}

bool ledger_events_behind(struct ledger_reader *reader, struct ledger_events *events,
                          uint64_t position)
{
    struct value values[USAGE_COLUMNS];
    if (find_event(reader, position, values) != ROW_FOUND ||
        !bytes_equal(values[USAGE_AT_customer].bytes, events->customer))
        return false;
    events->position = unsigned_of(&values[USAGE_AT_previous]);
    (void)read_statement(reader, READ_EVENT);
    return true;
}

static struct bytes text_of(sqlite3_stmt *statement, int column)
{
    const uint8_t *at = sqlite3_column_text(statement, column);
    return (struct bytes){at, (size_t)sqlite3_column_bytes(statement, column)};
}

bool ledger_read_sources(struct ledger_reader *reader, struct bytes sources,
                         ledger_source_taker *take, void *self)
{
    sqlite3_stmt *statement = read_statement(reader, READ_SOURCES);
    (void)sqlite3_bind_text(statement, 1, (const char *)sources.at, (int)sources.length,
                            SQLITE_STATIC);
    int end;
    while ((end = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct ledger_source source = {
            .name = text_of(statement, 0),
            .kind = text_of(statement, 1),
            .grant_id = (uint64_t)sqlite3_column_int64(statement, 2),
            .units = (uint64_t)sqlite3_column_int64(statement, 3),
            .charged = sqlite3_column_int64(statement, 4),
        };
        take(self, &source);
    }
    const bool is_done = end == SQLITE_DONE || read_failed(reader, NULL);
    (void)read_statement(reader, READ_SOURCES);
    return is_done;
}

/* ---- one decision */

static enum ledger_read take_all(struct ledger_reader *reader, enum read_statement which,
                                 uint32_t columns, uint64_t decision, ledger_taker *take,
                                 void *self)
{
    struct value values[VALUES_MAX];
    sqlite3_stmt *statement = read_statement(reader, which);
    read_bind(statement, 1, decision);
    enum row row;
    while ((row = take_row(reader, statement, columns, values)) == ROW_FOUND)
        if (!take(self, values)) return LEDGER_FULL;
    return row == ROW_NONE ? LEDGER_END : LEDGER_FAILED;
}

enum ledger_read ledger_read_decision(struct ledger_reader *reader, uint64_t decision,
                                      const struct ledger_decision_takers *takers)
{
    const struct {
        enum read_statement which;
        uint32_t columns;
        ledger_taker *take;
    } parts[] = {
        {       READ_DECISION_USAGE,        USAGE_COLUMNS,        takers->usage},
        {READ_DECISION_MONETIZATION, MONETIZATION_COLUMNS, takers->monetization},
        {     READ_DECISION_BALANCE,      BALANCE_COLUMNS,      takers->balance},
        {      READ_DECISION_REFUND,       REFUND_COLUMNS,       takers->refund},
    };
    enum ledger_read result = LEDGER_END;
    if (!read_begin(reader)) return LEDGER_FAILED;
    for (unsigned i = 0; i < COUNT_OF(parts) && result == LEDGER_END; ++i)
        result = take_all(reader, parts[i].which, parts[i].columns, decision, parts[i].take,
                          takers->self);
    return read_end(reader, result);
}

/* A denial ends nothing. */
static void add_ending(sqlite3_stmt *statement, struct ledger_ending *ending)
{
    static const struct {
        enum usage_kind kind;
        enum hold_state state;
    } ends[] = {
        { USAGE_CONSUME, HOLD_COMMITTED},
        {  USAGE_COMMIT, HOLD_COMMITTED},
        {USAGE_REPORTED, HOLD_COMMITTED},
        { USAGE_RELEASE,  HOLD_RELEASED},
        {  USAGE_EXPIRY,   HOLD_EXPIRED},
    };
    const struct bytes kind = text_of(statement, 1);
    for (unsigned i = 0; i < COUNT_OF(ends); ++i) {
        if (!bytes_equal(kind, bytes_of_text(usage_kind_text(ends[i].kind)))) continue;
        ending->state = ends[i].state;
        ending->late = sqlite3_column_int(statement, 2) != 0;
        ending->settled_position = (uint64_t)sqlite3_column_int64(statement, 0);
    }
}

static bool read_ending(struct ledger_reader *reader, uint64_t decision,
                        struct ledger_ending *ending)
{
    struct ledger_state state;
    if (!read_state(reader, &state)) return false;
    ending->cursor = state.cursor;
    sqlite3_stmt *statement = read_statement(reader, READ_ENDINGS);
    read_bind(statement, 1, decision);
    int end;
    while ((end = sqlite3_step(statement)) == SQLITE_ROW)
        add_ending(statement, ending);
    if (end != SQLITE_DONE) return read_failed(reader, NULL);
    statement = read_statement(reader, READ_REFUNDED);
    read_bind(statement, 1, decision);
    if (sqlite3_step(statement) != SQLITE_ROW) return read_failed(reader, NULL);
    ending->refunded = sqlite3_column_int64(statement, 0);
    return true;
}

bool ledger_read_ending(struct ledger_reader *reader, uint64_t decision,
                        struct ledger_ending *ending_out)
{
    struct ledger_ending ending = {.state = HOLD_NONE};
    if (!read_begin(reader)) return false;
    const enum ledger_read end =
        read_ending(reader, decision, &ending) ? LEDGER_END : LEDGER_FAILED;
    if (read_end(reader, end) != LEDGER_END) return false;
    *ending_out = ending;
    return true;
}

static bool category_of_text(struct bytes text, enum category *category_out)
{
    for (enum category category = CATEGORY_PROMOTIONAL; category <= CATEGORY_PAID; ++category) {
        if (!bytes_equal(text, bytes_of_text(words_category(category)))) continue;
        *category_out = category;
        return true;
    }
    return false;
}

static bool take_owner(struct ledger_reader *reader, sqlite3_stmt *statement,
                       struct ledger_owner *owner)
{
    const int end = sqlite3_step(statement);
    if (end != SQLITE_ROW) return end == SQLITE_DONE || read_failed(reader, NULL);
    const struct bytes name = text_of(statement, 0);
    if (name.length == 0 || name.length > sizeof(owner->name))
        return read_failed(reader, "a row of the ledger has no customer");
    memcpy(owner->name, name.at, name.length);
    owner->name_length = name.length;
    return sqlite3_column_count(statement) == 1 ||
           category_of_text(text_of(statement, 1), &owner->category) ||
           read_failed(reader, "a grant of the ledger has no category");
}

static bool read_owner(struct ledger_reader *reader, uint64_t id, struct ledger_owner *owner)
{
    static const enum read_statement texts_of[] = {READ_OWNER, READ_GRANT_OWNER};
    for (unsigned i = 0; i < COUNT_OF(texts_of) && owner->name_length == 0; ++i) {
        sqlite3_stmt *statement = read_statement(reader, texts_of[i]);
        read_bind(statement, 1, id);
        if (!take_owner(reader, statement, owner)) return false;
    }
    return true;
}

bool ledger_read_owner(struct ledger_reader *reader, uint64_t id, struct ledger_owner *owner_out)
{
    struct ledger_owner owner = {0};
    if (!read_begin(reader)) return false;
    const enum ledger_read end = read_owner(reader, id, &owner) ? LEDGER_END : LEDGER_FAILED;
    if (read_end(reader, end) != LEDGER_END) return false;
    *owner_out = owner;
    return true;
}
