/*
 * settler.c: see settler.h. Opening, the step, and what other threads see.
 */
#include "ledger/settler_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/schema.h"

#define LOAD_LIMIT " LIMIT 16384"
#define HOUR_OF_EVENT "at_ms-at_ms%3600000"
#define ROLL_SQL                                                            \
    "INSERT INTO usage_rollup WITH usage_exploded AS (" LEDGER_EXPLODED_SQL \
    ") SELECT " HOUR_OF_EVENT "," ROLLUP_DIMENSIONS "," ROLLUP_SUMS         \
    " FROM usage_exploded WHERE position>?1 AND position<=?2 "              \
    "GROUP BY " HOUR_OF_EVENT "," ROLLUP_DIMENSIONS ROLLUP_ONTO
#define HOUR_KEY "start_ms," ROLLUP_DIMENSIONS
/* The rows of hours before an instant that are not in usage_days yet, in the order of their key. A
 * plus keeps a column's type out of the comparison, which the index then serves whole. */
#define DAYS_KEY \
    "+start_ms,+customer,+subject,+feature,+endpoint,+model,+origin,+outcome,+what,+name"
#define HOURS_LEFT                                                                          \
    " FROM usage_rollup WHERE (" HOUR_KEY ")>(SELECT " DAYS_KEY " FROM usage_days_at) AND " \
    "start_ms<?1 ORDER BY " HOUR_KEY

static const char *const SQL[SETTLER_STATEMENTS] = {
    [BEGIN_TRANSACTION] = "BEGIN IMMEDIATE",
    [COMMIT_TRANSACTION] = "COMMIT",
    [ROLLBACK_TRANSACTION] = "ROLLBACK",
    [PUT_USAGE] = LEDGER_INSERT_SQL("usage_events", USAGE),
    [PUT_MONETIZATION] = LEDGER_INSERT_SQL("monetization_events", MONETIZATION),
    [PUT_BALANCE] = LEDGER_INSERT_SQL("balance_updates", BALANCE),
    [PUT_REFUND] = LEDGER_INSERT_SQL("refunds", REFUND),
    [PUT_GRANT] = LEDGER_INSERT_SQL("grants", GRANT),
    [PUT_POLICY] = LEDGER_INSERT_SQL("policies", POLICY),
    [PUT_SYMBOL] = "INSERT INTO symbols VALUES(?,?)",
    [PUT_CUSTOMER] = "INSERT INTO customers VALUES(?,?,?,?,?,?,?,?,?,?,?)",
    [PUT_SEAL] = "INSERT INTO seals VALUES(?,?,?,?,?,?,?,?,?)",
    [MOVE_CURSOR] = "UPDATE meta SET value=?3 WHERE name=?1 AND value=?2",
    [SET_META] = "UPDATE meta SET value=?2 WHERE name=?1",
    [SWEEP_HEAD] = "UPDATE customers SET updates=?2,after=?3,last_position=?4,last_place=?5,"
                   "last_hash=?6,last_usage=?7,overages=?8 WHERE number=?1",
    [SWEEP_ACCOUNT] = "INSERT INTO accounts VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
                      "after=excluded.after,after_e18=excluded.after_e18,"
                      "last_position=excluded.last_position,last_place=excluded.last_place",
    [ROW_OF_BALANCE] = "SELECT " LEDGER_COLUMNS_SQL(BALANCE) " FROM balance_updates "
                                                             "WHERE position=? AND place=?",
    [HASH_OF_BALANCE] = "SELECT hash FROM balance_updates WHERE position=? AND place=?",
    [CUSTOMER_OF_USAGE] = "SELECT customer FROM usage_events WHERE position=?",
    [NAME_OF_CUSTOMER] = "SELECT name FROM customers WHERE number=?",
    [CATEGORY_OF_GRANT] =
        "SELECT CASE category WHEN 'promotional' THEN 1 WHEN 'entitlement' THEN 2 "
        "WHEN 'paid' THEN 3 END FROM grants WHERE id=?",
    [LAST_SEAL] = "SELECT usage_hash,monetization_hash,balance_hash FROM seals "
                  "ORDER BY through DESC LIMIT 1",
    [LOAD_SYMBOLS] = "SELECT number,name FROM symbols ORDER BY number",
    [LOAD_CUSTOMERS] =
        "SELECT number,id,updates,after,last_position,last_place,last_hash,last_usage,founded,"
        "overages FROM customers WHERE number>?1 ORDER BY number" LOAD_LIMIT,
    [LOAD_ACCOUNTS] = "SELECT customer,symbol,after,after_e18,last_position,last_place FROM "
                      "accounts WHERE (customer,symbol)>(?1,?2) "
                      "ORDER BY customer,symbol" LOAD_LIMIT,
    [LOAD_BALANCES] =
        "SELECT customer,position,place,number,customer_after,hash,account,name,"
        "account_after,account_after_e18 FROM balance_updates WHERE (position,place)>(?1,?2) "
        "ORDER BY position,place" LOAD_LIMIT,
    [LOAD_USAGE] = "SELECT customer,position FROM usage_events WHERE position>?1 "
                   "ORDER BY position" LOAD_LIMIT,
    [ROLL_END] = "SELECT max(position) FROM (SELECT position FROM usage_events WHERE position>?1 "
                 "ORDER BY position LIMIT ?2)",
    [ROLL_EVENTS] = ROLL_SQL,
    /* Positions are in the order of time: where an hour behind a day has a row, the day is over,
     * and every event of it is rolled. */
    [DAY_OVER] = "SELECT end_ms FROM (SELECT start_ms-start_ms%86400000+86400000 AS end_ms "
                 "FROM usage_rollup WHERE start_ms>=?1 ORDER BY start_ms LIMIT 1) "
                 "WHERE end_ms<=(SELECT max(start_ms) FROM usage_rollup)",
    [ADD_HOURS] = "INSERT INTO usage_days SELECT start_ms-start_ms%86400000," ROLLUP_DIMENSIONS
                  "," ROLLUP_SUMS_OF_SUMS " FROM (SELECT *" HOURS_LEFT " LIMIT ?2) "
                  "GROUP BY start_ms-start_ms%86400000," ROLLUP_DIMENSIONS ROLLUP_ONTO,
    /* Nothing where fewer rows are left: those were the last. */
    [MOVE_DAYS] =
        "INSERT OR REPLACE INTO usage_days_at SELECT 1," HOUR_KEY HOURS_LEFT " LIMIT 1 OFFSET ?2-1",
    /* No row is of that instant. */
    [END_DAY] = "UPDATE usage_days_at SET start_ms=?1-1,customer='',subject='',feature='',"
                "endpoint='',model='',origin='',outcome='',what='',name=''",
    /* As many seals as hold about so many events, and at least one. */
    [CUT_NEXT] = "SELECT max(through) FROM (SELECT through,"
                 "sum(usage_rows) OVER (ORDER BY through)-usage_rows AS before FROM "
                 "(SELECT through,usage_rows FROM seals WHERE through>?1 AND at_ms<?2 "
                 "ORDER BY through LIMIT 256)) WHERE before<?3",
    [CUT_USAGE] = "DELETE FROM usage_events WHERE position<=?1",
};

/* --- statements ------------------------------------------------------------------------------ */

bool settler_fail(struct settler *settler, enum ledger_fault fault)
{
    const struct ledger_detail detail = settler->ledger->detail;
    (void)sqlite3_step(settler->statements[ROLLBACK_TRANSACTION]);
    (void)sqlite3_reset(settler->statements[ROLLBACK_TRANSACTION]);
    settler->ledger->detail = detail;
    atomic_store_explicit(&settler->fault, (int)fault, memory_order_release);
    return false;
}

bool settler_put(struct settler *settler, enum settler_statement which, const struct value *values,
                 uint32_t count)
{
    sqlite3_stmt *statement = settler->statements[which];
    if (ledger_bind(statement, values, count) && ledger_run(statement)) return true;
    char what[48]; /* the verb and the table */
    (void)snprintf(what, sizeof what, "%s", sqlite3_sql(statement));
    return settler_fail(settler, ledger_refuse_sqlite(settler->ledger, LEDGER_WRITE_FAILED, what));
}

bool settler_set_meta(struct settler *settler, const char *name, int64_t value)
{
    const struct value row[] = {value_of_word(name), value_of_signed(value)};
    return settler_put(settler, SET_META, row, COUNT_OF(row));
}

bool settler_begin(struct settler *settler)
{
    settler->began_ns = settler->parts.now_ns();
    return settler_put(settler, BEGIN_TRANSACTION, NULL, 0);
}

bool settler_commit(struct settler *settler)
{
    const struct settler_parts *parts = &settler->parts;
    const int64_t written_ns = parts->now_ns();
    if (!settler_put(settler, COMMIT_TRANSACTION, NULL, 0)) return false;
    const int64_t ended_ns = parts->now_ns();
    if (parts->on_commit != NULL)
        parts->on_commit(parts->self, ended_ns - settler->began_ns, ended_ns - written_ns);
    return true;
}

/* --- opening --------------------------------------------------------------------------------- */

static void end_statements(struct settler *settler)
{
    for (unsigned at = 0; at < SETTLER_STATEMENTS; at++)
        (void)sqlite3_finalize(settler->statements[at]);
}

static enum ledger_fault start_statements(struct settler *settler)
{
    for (unsigned at = 0; at < SETTLER_STATEMENTS; at++)
        if (!ledger_prepare(settler->ledger, SQL[at], &settler->statements[at]))
            return ledger_refuse_sqlite(settler->ledger, LEDGER_DAMAGED, "its layout is not known");
    return LEDGER_OK;
}

static enum ledger_fault damaged(struct settler *settler, const char *what)
{
    return ledger_refuse(settler->ledger, LEDGER_DAMAGED, "%s: %s. %s", settler->ledger->path, what,
                         ledger_advice(settler->ledger));
}

static enum ledger_fault read_symbols(struct settler *settler)
{
    sqlite3_stmt *rows = settler->statements[LOAD_SYMBOLS];
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        const uint32_t number = settler->symbol_count + 1;
        const int length = sqlite3_column_bytes(rows, 1);
        if (sqlite3_column_int64(rows, 0) != number || number > SYMBOLS_MAX || length <= 0 ||
            length > (int)NAME_BYTES_MAX)
            break;
        uint8_t *text = settler->symbol_text + (size_t)number * NAME_BYTES_MAX;
        memcpy(text, sqlite3_column_text(rows, 1), (size_t)length);
        settler->symbol_names[number] = (struct bytes){text, (size_t)length};
        settler->symbol_count = number;
    }
    (void)sqlite3_reset(rows);
    if (code == SQLITE_DONE) return LEDGER_OK;
    return damaged(settler, "its symbols are not what was written");
}

static enum ledger_fault read_seal(struct settler *settler)
{
    sqlite3_stmt *row = settler->statements[LAST_SEAL];
    const int code = sqlite3_step(row);
    bool is_good = code == SQLITE_DONE;
    if (code == SQLITE_ROW) {
        is_good = true;
        for (int dataset = 0; dataset < DATASETS; dataset++) {
            const void *hash = sqlite3_column_blob(row, dataset);
            is_good =
                is_good && hash != NULL && sqlite3_column_bytes(row, dataset) == LEDGER_HASH_BYTES;
            if (is_good) memcpy(settler->sealed[dataset].byte, hash, LEDGER_HASH_BYTES);
        }
    }
    (void)sqlite3_reset(row);
    return is_good ? LEDGER_OK : damaged(settler, "its last seal cannot be read");
}

static bool read_cursor_hash(struct settler *settler)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (!ledger_prepare(settler->ledger, "SELECT value FROM meta WHERE name='cursor_hash'",
                        &statement) ||
        sqlite3_step(statement) != SQLITE_ROW)
        return false;
    const void *hash = sqlite3_column_blob(statement, 0);
    if (hash == NULL || sqlite3_column_bytes(statement, 0) != JOURNAL_HASH_BYTES) return false;
    memcpy(settler->cursor_hash.byte, hash, JOURNAL_HASH_BYTES);
    return true;
}

/* Without it no hour would be added to days any more, and they would be taken for whole. */
static bool has_days_at(struct settler *settler)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    return ledger_prepare(settler->ledger, "SELECT start_ms FROM usage_days_at", &statement) &&
           sqlite3_step(statement) == SQLITE_ROW &&
           sqlite3_column_int64(statement, 0) >= settler->days_through_ms - 1;
}

static enum ledger_fault read_meta(struct settler *settler)
{
    int64_t cursor = 0, heads = 0, rolled = 0, cut = 0;
    if (!ledger_meta(settler->ledger, "cursor_sequence", &cursor) ||
        !ledger_meta(settler->ledger, "cursor_ms", &settler->cursor_ms) ||
        !ledger_meta(settler->ledger, "heads_position", &heads) ||
        !ledger_meta(settler->ledger, "rolled_through", &rolled) ||
        !ledger_meta(settler->ledger, "days_through_ms", &settler->days_through_ms) ||
        !ledger_meta(settler->ledger, "usage_cut", &cut))
        return LEDGER_DAMAGED;
    if (!read_cursor_hash(settler)) return damaged(settler, "its cursor has no hash");
    if (!has_days_at(settler))
        return damaged(settler, "its table usage_days_at does not go on from days_through_ms");
    settler->cursor = (uint64_t)cursor;
    settler->heads_position = (uint64_t)heads;
    settler->rolled_through = (uint64_t)rolled;
    settler->usage_cut = (uint64_t)cut;
    settler->events_unrolled = UINT64_MAX / 2; /* nobody counted: as long as there is any */
    settler->hand = 1;
    settler->hand_position = position_end(settler->cursor);
    return LEDGER_OK;
}

/* The batch that the cursor is on must be the journal's; where it was cut from there, the next one
 * will have to follow it. */
static enum ledger_fault check_history(struct settler *settler)
{
    const uint64_t durable = settler->parts.durable;
    struct batch_header header;
    struct bytes body;
    if (settler->cursor > durable)
        return ledger_refuse(settler->ledger, LEDGER_DISAGREES,
                             "%s has settled batch %" PRIu64
                             " of the journal, which ends with batch %" PRIu64
                             ": bring back the journal.db that belongs to it",
                             settler->ledger->path, settler->cursor, durable);
    struct journal *reader = settler->reader;
    const bool is_there =
        reader->calls->read(reader, settler->cursor, &header, &body) == JOURNAL_OK;
    if (is_there && memcmp(header.hash.byte, settler->cursor_hash.byte, JOURNAL_HASH_BYTES) != 0)
        return ledger_refuse(settler->ledger, LEDGER_DISAGREES,
                             "%s has settled a batch %" PRIu64
                             " that is not the journal's: bring back the journal.db that belongs "
                             "to it. %s",
                             settler->ledger->path, settler->cursor,
                             ledger_advice(settler->ledger));
    if (settler->cursor == durable && is_there) return LEDGER_OK;
    if (settler->cursor == durable ||
        reader->calls->read(reader, settler->cursor + 1, &header, &body) != JOURNAL_OK)
        return ledger_refuse(settler->ledger, LEDGER_JOURNAL_FAILED,
                             "%s goes on behind batch %" PRIu64
                             " of the journal, which cannot be read (%s): bring back a ledger.db "
                             "that has settled more, from the backup that goes with the journal",
                             settler->ledger->path, settler->cursor, reader->detail);
    return LEDGER_OK;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void lay_out(struct settler *settler, uint8_t *at)
{
    settler->fact = (struct fact *)at;
    at += round_up(sizeof *settler->fact);
    settler->projection = projection_over(at);
    at += round_up(projection_bytes());
    settler->symbol_text = at;
    at += (size_t)(SYMBOLS_MAX + 1) * NAME_BYTES_MAX;
    settler->current.body = at;
    at += JOURNAL_BODY_BYTES_MAX;
    settler->recalled.body = at;
    for (uint32_t slot = 0; slot < SETTLER_SLOTS; slot++)
        settler->slots[slot].body = at + (uint64_t)(slot + 1) * JOURNAL_BODY_BYTES_MAX;
}

static void start_rings(struct settler *settler)
{
    ring_start(&settler->offered, settler->offered_items, sizeof settler->offered_items[0],
               SETTLER_SLOTS);
    ring_start(&settler->free, settler->free_items, sizeof settler->free_items[0], SETTLER_SLOTS);
    ring_start(&settler->asks, settler->ask_items, sizeof settler->ask_items[0], SETTLER_ASKS_MAX);
    ring_start(&settler->answers, settler->answer_items, sizeof settler->answer_items[0],
               SETTLER_ASKS_MAX);
    for (uint32_t slot = 0; slot < SETTLER_SLOTS; slot++) {
        const bool is_put = ring_put(&settler->free, &slot);
        ENSURE(is_put);
    }
    settler->waiting = SETTLER_SLOTS;
}

static struct settler *make(const struct settler_parts *parts)
{
    const uint64_t own = round_up(sizeof(struct settler));
    const uint64_t bytes = own + round_up(sizeof(struct fact)) + round_up(projection_bytes()) +
                           (uint64_t)(SYMBOLS_MAX + 1) * NAME_BYTES_MAX +
                           (uint64_t)(SETTLER_SLOTS + 2) * JOURNAL_BODY_BYTES_MAX;
    uint8_t *block = memory_reserve(bytes);
    if (block == NULL) return NULL;
    struct settler *settler = (struct settler *)block;
    settler->block = block;
    settler->block_bytes = bytes;
    settler->parts = *parts;
    settler->ledger = parts->ledger;
    settler->reader = parts->reader;
    if (settler->parts.batches_max == 0) settler->parts.batches_max = SETTLER_BATCHES_MAX;
    if (settler->parts.roll_events == 0) settler->parts.roll_events = SETTLER_ROLL_EVENTS;
    if (settler->parts.holds_bytes == 0) settler->parts.holds_bytes = SETTLER_HOLDS_BYTES;
    lay_out(settler, block + own);
    start_rings(settler);
    atomic_store(&settler->durable, parts->durable);
    atomic_store(&settler->until_ns, INT64_MAX);
    bool is_made = heads_start(&settler->heads, parts->customers_max) &&
                   held_start(&settler->held, settler->parts.holds_bytes);
    for (int dataset = 0; dataset < DATASETS; dataset++)
        is_made = digest_start(&settler->seals[dataset]) && is_made;
    if (is_made) return settler;
    settler_close(settler);
    return NULL;
}

enum ledger_fault settler_open(const struct settler_parts *parts, struct settler **settler_out,
                               struct ledger_detail *detail_out)
{
    struct settler *settler = make(parts);
    if (settler == NULL) {
        (void)snprintf(detail_out->text, sizeof detail_out->text,
                       "no memory for the books of %" PRIu32 " customers: start with a smaller "
                       "--memory",
                       parts->customers_max);
        return LEDGER_NO_ROOM;
    }
    enum ledger_fault fault = start_statements(settler);
    if (fault == LEDGER_OK) fault = read_meta(settler);
    if (fault == LEDGER_OK) fault = check_history(settler);
    if (fault == LEDGER_OK) fault = read_symbols(settler);
    if (fault == LEDGER_OK) fault = read_seal(settler);
    if (fault != LEDGER_OK) {
        *detail_out = settler->ledger->detail;
        settler_close(settler);
        return fault;
    }
    atomic_store(&settler->cursor_shown, settler->cursor);
    atomic_store(&settler->cursor_ms_shown, settler->cursor_ms);
    *settler_out = settler;
    return LEDGER_OK;
}

void settler_close(struct settler *settler)
{
    end_statements(settler);
    for (int dataset = 0; dataset < DATASETS; dataset++)
        digest_end(&settler->seals[dataset]);
    held_end(&settler->held);
    heads_end(&settler->heads);
    memory_release(settler->block, settler->block_bytes);
}

/* --- the journal's side ---------------------------------------------------------------------- */

void settler_offer(struct settler *settler, const struct batch_header *header, struct bytes body)
{
    uint32_t number = 0;
    if (body.length > JOURNAL_BODY_BYTES_MAX || !ring_take(&settler->free, &number)) return;
    struct settler_slot *slot = &settler->slots[number];
    slot->header = *header;
    slot->length = (uint32_t)body.length;
    memcpy(slot->body, body.at, body.length);
    const bool is_put = ring_put(&settler->offered, &number);
    ENSURE(is_put);
}

void settler_set_durable(struct settler *settler, uint64_t sequence)
{
    atomic_store_explicit(&settler->durable, sequence, memory_order_release);
}

/* --- heads ----------------------------------------------------------------------------------- */

bool settler_ask_head(struct settler *settler, const struct settler_ask *ask)
{
    if (settler->asked == SETTLER_ASKS_MAX || !ring_put(&settler->asks, ask)) return false;
    settler->asked++;
    return true;
}

bool settler_take_answer(struct settler *settler, struct settler_answer *answer_out)
{
    if (!ring_take(&settler->answers, answer_out)) return false;
    settler->asked--;
    return true;
}

/* Between transactions: heads are what is durable. */
static bool answer_asks(struct settler *settler)
{
    struct settler_ask ask;
    bool has_worked = false;
    while (ring_take(&settler->asks, &ask)) {
        struct settler_answer answer = {.token = ask.token, .cursor = settler->cursor};
        const uint32_t number = heads_find(&settler->heads, ask.customer);
        if (number != 0) {
            const struct head *head = heads_at(&settler->heads, number);
            answer.is_known = true;
            answer.settled = head->after;
            answer.updates = head->updates;
            answer.last_position = head->last_position;
            answer.last_place = head->last_place;
            answer.last_usage = head->last_usage;
        }
        const bool is_put = ring_put(&settler->answers, &answer);
        ENSURE(is_put); /* there is an ask for each */
        has_worked = true;
    }
    if (has_worked && settler->parts.loop_wake != NULL) wake_signal(settler->parts.loop_wake);
    return has_worked;
}

/* --- the step -------------------------------------------------------------------------------- */

static bool has_failed(const struct settler *settler)
{
    return atomic_load_explicit(&settler->fault, memory_order_relaxed) != LEDGER_OK;
}

bool settle_step(void *self)
{
    struct settler *settler = self;
    if (has_failed(settler)) return false;
    const int64_t until_ns = atomic_load_explicit(&settler->until_ns, memory_order_relaxed);
    if (until_ns != INT64_MAX && settler->parts.now_ns() >= until_ns) return false;
    if (settler->load != LOADED) return upkeep_load(settler);
    const bool has_answered = answer_asks(settler);
    if (until_ns == INT64_MAX && upkeep_cut_under_load(settler)) return true;
    if (has_failed(settler)) return false;
    if (settle_batches(settler)) return true;
    if (has_failed(settler)) return false; /* what is in memory was not committed */
    if (until_ns != INT64_MAX) return has_answered;
    return upkeep_roll(settler) || upkeep_days(settler) || upkeep_cut(settler) ||
           upkeep_sweep_idle(settler) || has_answered;
}

void settler_wind_down(struct settler *settler, int64_t until_ns)
{
    atomic_store_explicit(&settler->until_ns, until_ns, memory_order_relaxed);
}

uint64_t settler_cursor(const struct settler *settler)
{
    return atomic_load_explicit(&settler->cursor_shown, memory_order_acquire);
}

uint64_t settler_entries(const struct settler *settler)
{
    return atomic_load_explicit(&settler->entries_shown, memory_order_relaxed);
}

int64_t settler_cursor_ms(const struct settler *settler)
{
    return atomic_load_explicit(&settler->cursor_ms_shown, memory_order_relaxed);
}

struct settler_memory settler_memory(const struct settler *settler)
{
    return (struct settler_memory){
        .heads_bytes = atomic_load_explicit(&settler->heads_bytes_shown, memory_order_relaxed),
        .holds_bytes = atomic_load_explicit(&settler->holds_bytes_shown, memory_order_relaxed),
    };
}

enum ledger_fault settler_fault(const struct settler *settler)
{
    return (enum ledger_fault)atomic_load_explicit(&settler->fault, memory_order_acquire);
}

const char *settler_detail(const struct settler *settler)
{
    return settler->ledger->detail.text;
}

struct settler_counts settler_counts(const struct settler *settler)
{
    struct settler_counts counts = settler->counts;
    counts.customers = settler->heads.heads.live;
    return counts;
}
