/*
 * upkeep.c: what can wait, in slices of one short transaction each.
 *
 * The rollup is made by SQL from the very view that a scan would read (usage_exploded), in slices
 * behind meta.rolled_through that move it in the same transaction: so rollup plus a scan of the
 * events behind it equals a scan of all, by construction. Days are made from the hours, each once,
 * when it is over: nothing is added to an hour of such a day any more.
 */
#include "ledger/settler_inner.h"

#include <inttypes.h>
#include <string.h>

#define LOAD_ROWS 16384 /* of one slice */
#define CUT_EVENTS 8192 /* likewise, or those of one seal */
/* Under load a slice is cut behind so many transactions, or behind the next while more is due. */
#define CUT_EVERY 8
#define ROLL_SLICES_HURRIED 4 /* what must be rolled before it can be cut goes in larger slices */
/* Of many customers at random a slice touches the same pages whether it is large or small, and each
 * is written once a slice: so a slice is that part of what is behind, within so many of the usual,
 * and within fewer while there is something to settle now and then, which waits for its end.
 * Measured with 100,000 customers and 1 M events behind: 18.3 GB written in slices of 1,024 events,
 * 6.1 GB of 8,192, 1.7 GB of 32,768. */
#define ROLL_SHARE 16
#define ROLL_SLICES_MAX 32
#define SQLITE_STEPS_A_LOOK 1000 /* whether somebody wants the settler to stop */
/* A slice that is not full waits that long: queries scan what is not rolled anyway. */
#define ROLL_IDLE_NS (10 * INT64_C(1000000000))
/* While there is something to settle now and then, slices rest so much longer than they take. */
#define SLICE_RESTS 3
#define IDLE_SWEEP_CUSTOMERS 4096
/* Fewer entries than that behind the checkpoint are read in no time at the next start. */
#define ENTRIES_UNSWEPT_MAX 65536

static bool fail_load(struct settler *settler, const char *what)
{
    (void)ledger_refuse(settler->ledger, LEDGER_DAMAGED, "%s: %s. %s", settler->ledger->path, what,
                        ledger_advice(settler->ledger));
    return settler_fail(settler, LEDGER_DAMAGED);
}

static bool fail_read(struct settler *settler, const char *what)
{
    return settler_fail(settler, ledger_refuse_sqlite(settler->ledger, LEDGER_READ_FAILED, what));
}

/* --- loading heads --------------------------------------------------------------------------- */

/* Runs one slice of a loading query; each row is taken by `take`. True with *rows_out < LOAD_ROWS:
 * that was the last slice. */
static bool load_slice(struct settler *settler, enum settler_statement which,
                       const struct value *from, uint32_t count,
                       bool (*take)(struct settler *, sqlite3_stmt *), uint32_t *rows_out)
{
    sqlite3_stmt *statement = settler->statements[which];
    if (!ledger_bind(statement, from, count)) return fail_read(settler, "heads cannot be read");
    uint32_t rows = 0;
    bool is_taken = true;
    int code = SQLITE_ROW;
    while (is_taken && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        is_taken = take(settler, statement);
        rows++;
    }
    const bool is_read = code == SQLITE_DONE || !is_taken;
    (void)sqlite3_reset(statement);
    if (!is_read) return fail_read(settler, "heads cannot be read");
    *rows_out = rows;
    return is_taken;
}

static bool take_hash(sqlite3_stmt *row, int column, void *hash_out, int bytes)
{
    const void *blob = sqlite3_column_blob(row, column);
    if (blob == NULL || sqlite3_column_bytes(row, column) != bytes) return false;
    memcpy(hash_out, blob, (size_t)bytes);
    return true;
}

static bool take_customer(struct settler *settler, sqlite3_stmt *row)
{
    struct hash128 id;
    struct ledger_hash hash;
    if (!take_hash(row, 1, id.word, sizeof id.word) ||
        !take_hash(row, 6, hash.byte, sizeof hash.byte))
        return fail_load(settler, "a row of customers is not what was written");
    const uint32_t number = heads_add(&settler->heads, id);
    if (number == 0) {
        (void)ledger_refuse(settler->ledger, LEDGER_NO_ROOM,
                            "the books have more than %" PRIu32
                            " customers: start with a larger --memory",
                            settler->parts.customers_max);
        return settler_fail(settler, LEDGER_NO_ROOM);
    }
    if (number != (uint64_t)sqlite3_column_int64(row, 0))
        return fail_load(settler, "the customers are not numbered without a gap");
    struct head *head = heads_at(&settler->heads, number);
    head->updates = (uint64_t)sqlite3_column_int64(row, 2);
    head->after = sqlite3_column_int64(row, 3);
    head->last_position = (uint64_t)sqlite3_column_int64(row, 4);
    head->last_place = (uint32_t)sqlite3_column_int64(row, 5);
    head->last_hash = hash;
    head->last_usage = (uint64_t)sqlite3_column_int64(row, 7);
    head->founded = (uint64_t)sqlite3_column_int64(row, 8);
    head->overages = (uint32_t)sqlite3_column_int64(row, 9);
    settler->load_number = number;
    return true;
}

static bool take_account(struct settler *settler, sqlite3_stmt *row)
{
    const sqlite3_int64 number = sqlite3_column_int64(row, 0);
    const sqlite3_int64 symbol = sqlite3_column_int64(row, 1);
    if (number < 1 || number > settler->heads.heads.used || symbol < 1 ||
        symbol > settler->symbol_count)
        return fail_load(settler, "a row of accounts belongs to nobody");
    struct overage_account *account =
        heads_account(&settler->heads, (uint32_t)number, (uint32_t)symbol);
    if (account == NULL) return fail_load(settler, "there are more accounts than fit");
    account->after =
        (struct sum){.low = sqlite3_column_int64(row, 2), .e18 = sqlite3_column_int64(row, 3)};
    account->last_position = (uint64_t)sqlite3_column_int64(row, 4);
    account->last_place = (uint32_t)sqlite3_column_int64(row, 5);
    settler->load_number = (uint32_t)number;
    settler->load_symbol = (uint32_t)symbol;
    return true;
}

/* The head of the customer whose name is in the row's first column. */
static struct head *head_named(struct settler *settler, sqlite3_stmt *row, uint32_t *number_out)
{
    const struct bytes name = {sqlite3_column_text(row, 0), (size_t)sqlite3_column_bytes(row, 0)};
    *number_out = heads_find(&settler->heads, hash_128(settler->ledger->origin.key, name));
    return *number_out == 0 ? NULL : heads_at(&settler->heads, *number_out);
}

static uint32_t symbol_named(const struct settler *settler, struct bytes name)
{
    for (uint32_t symbol = 1; symbol <= settler->symbol_count; symbol++)
        if (bytes_equal(settler->symbol_names[symbol], name)) return symbol;
    return SYMBOL_NONE;
}

static bool take_overage(struct settler *settler, sqlite3_stmt *row, uint32_t number)
{
    const struct bytes name = {sqlite3_column_text(row, 7), (size_t)sqlite3_column_bytes(row, 7)};
    const uint32_t symbol = symbol_named(settler, name);
    struct overage_account *account =
        symbol == SYMBOL_NONE ? NULL : heads_account(&settler->heads, number, symbol);
    if (account == NULL) return fail_load(settler, "an overage account has no name or no room");
    account->after =
        (struct sum){.low = sqlite3_column_int64(row, 8), .e18 = sqlite3_column_int64(row, 9)};
    account->is_dirty = true;
    account->last_position = settler->load_position;
    account->last_place = settler->load_place;
    return true;
}

static bool take_balance(struct settler *settler, sqlite3_stmt *row)
{
    uint32_t number = 0;
    struct head *head = head_named(settler, row, &number);
    if (head == NULL) return fail_load(settler, "a balance update is of a customer not there");
    settler->load_position = (uint64_t)sqlite3_column_int64(row, 1);
    settler->load_place = (uint32_t)sqlite3_column_int64(row, 2);
    settler->entries_unswept++;
    const uint64_t update = (uint64_t)sqlite3_column_int64(row, 3);
    if (update > head->updates) { /* else the checkpoint has it */
        if (update != head->updates + 1)
            return fail_load(settler, "a customer's balance updates have a gap");
        head->updates = update;
        head->after = sqlite3_column_int64(row, 4);
        if (!take_hash(row, 5, head->last_hash.byte, sizeof head->last_hash.byte))
            return fail_load(settler, "a balance update has no hash");
        head->last_position = settler->load_position;
        head->last_place = settler->load_place;
        head->is_dirty = true;
    }
    const unsigned char *account = sqlite3_column_text(row, 6);
    if (account == NULL || strcmp((const char *)account, "overage") != 0) return true;
    return take_overage(settler, row, number);
}

static bool take_usage(struct settler *settler, sqlite3_stmt *row)
{
    uint32_t number = 0;
    struct head *head = head_named(settler, row, &number);
    settler->load_position = (uint64_t)sqlite3_column_int64(row, 1);
    settler->entries_unswept++;
    if (head == NULL || settler->load_position < head->founded) return true; /* a stranger's */
    if (settler->load_position <= head->last_usage) return true; /* the checkpoint has it */
    head->last_usage = settler->load_position;
    head->is_dirty = true;
    return true;
}

/* Of an account whose row was lost the sum would begin at 0. */
static bool check_accounts(struct settler *settler)
{
    for (uint32_t number = 1; number <= settler->heads.heads.used; number++)
        if (heads_accounts(&settler->heads, number) != heads_at(&settler->heads, number)->overages)
            return fail_load(settler, "a customer has more or fewer accounts than were written");
    return true;
}

bool upkeep_load(struct settler *settler)
{
    uint32_t rows = 0;
    const struct value from[] = {
        value_of_unsigned(settler->load <= LOADING_ACCOUNTS ? settler->load_number
                                                            : settler->load_position),
        value_of_unsigned(settler->load == LOADING_BALANCES ? settler->load_place
                                                            : settler->load_symbol),
    };
    bool is_read = false;
    switch (settler->load) {
    case LOADING_CUSTOMERS:
        is_read = load_slice(settler, LOAD_CUSTOMERS, from, 1, take_customer, &rows);
        break;
    case LOADING_ACCOUNTS:
        is_read = load_slice(settler, LOAD_ACCOUNTS, from, 2, take_account, &rows);
        break;
    case LOADING_BALANCES:
        is_read = load_slice(settler, LOAD_BALANCES, from, 2, take_balance, &rows);
        break;
    case LOADING_USAGE:
        is_read = load_slice(settler, LOAD_USAGE, from, 1, take_usage, &rows);
        break;
    case LOADED:
        return false;
    }
    if (!is_read || rows == LOAD_ROWS) return true;
    if (settler->load == LOADING_ACCOUNTS && !check_accounts(settler)) return true;
    settler->load++;
    settler->load_number = 0;
    settler->load_symbol = 0;
    settler->load_place = POSITION_INDEX_MAX; /* more places than a position has */
    settler->load_position = settler->heads_position;
    return true;
}

/* --- the checkpoint -------------------------------------------------------------------------- */

static bool sweep_accounts(struct settler *settler, uint32_t number)
{
    for (uint32_t n = heads_at(&settler->heads, number)->accounts; n != 0;) {
        struct overage_account *account = slab_at(&settler->heads.accounts, n);
        n = account->next;
        if (!account->is_dirty) continue;
        const struct value row[] = {value_of_unsigned(number),
                                    value_of_unsigned(account->symbol),
                                    value_of_signed(account->after.low),
                                    value_of_signed(account->after.e18),
                                    value_of_unsigned(account->last_position),
                                    value_of_unsigned(account->last_place)};
        if (!settler_put(settler, SWEEP_ACCOUNT, row, COUNT_OF(row))) return false;
        account->is_dirty = false;
    }
    return true;
}

static bool sweep_head(struct settler *settler, uint32_t number)
{
    struct head *head = heads_at(&settler->heads, number);
    if (!head->is_dirty) return true;
    const struct value row[] = {
        value_of_unsigned(number),
        value_of_unsigned(head->updates),
        value_of_signed(head->after),
        value_of_unsigned(head->last_position),
        value_of_unsigned(head->last_place),
        value_of_hash(&head->last_hash),
        value_of_unsigned(head->last_usage),
        value_of_unsigned(heads_accounts(&settler->heads, number)),
    };
    if (!settler_put(settler, SWEEP_HEAD, row, COUNT_OF(row))) return false;
    head->is_dirty = false;
    return sweep_accounts(settler, number);
}

/* Inside a transaction. The hand goes round in the order of the table, so that heads of one page
 * are written together; when it comes by the first customer again, everything that was settled when
 * it was last there is in the table. */
bool upkeep_sweep(struct settler *settler, uint32_t customers_max)
{
    const uint32_t customers = settler->heads.heads.used;
    for (uint32_t swept = 0; swept < customers_max && swept <= customers; swept++) {
        if (settler->hand > customers) {
            settler->hand = 1;
            settler->heads_position = settler->hand_position;
            settler->hand_position = position_end(settler->cursor);
            settler->entries_unswept = settler->entries_of_turn;
            settler->entries_of_turn = 0;
            if (!settler_set_meta(settler, "heads_position", (int64_t)settler->heads_position))
                return false;
            continue;
        }
        if (!sweep_head(settler, settler->hand++)) return false;
    }
    return true;
}

bool upkeep_sweep_idle(struct settler *settler)
{
    if (settler->entries_unswept < ENTRIES_UNSWEPT_MAX) return false;
    return settler_begin(settler) && upkeep_sweep(settler, IDLE_SWEEP_CUSTOMERS) &&
           settler_commit(settler);
}

/* --- the rollup ------------------------------------------------------------------------------ */

/* The number in the first column of the first row; 0: there is none. */
static bool ask_number(struct settler *settler, enum settler_statement which,
                       const struct value *values, uint32_t count, uint64_t *number_out)
{
    sqlite3_stmt *statement = settler->statements[which];
    if (!ledger_bind(statement, values, count)) return fail_read(settler, "a slice");
    const int code = sqlite3_step(statement);
    *number_out = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE || fail_read(settler, "a slice");
}

/* Makes way for what is to be settled. */
static bool is_resting(const struct settler *settler, int64_t now_ns)
{
    return settler->counts.transactions != settler->slices_behind &&
           now_ns - settler->slice_ns < SLICE_RESTS * settler->slice_took_ns;
}

static void end_slice(struct settler *settler, int64_t began_ns)
{
    settler->slice_ns = settler->parts.now_ns();
    settler->slice_took_ns = settler->slice_ns - began_ns;
    settler->slices_behind = settler->counts.transactions;
}

/* A slice of what can wait is given up for a stop. */
static int is_winding_down(void *self)
{
    const struct settler *settler = self;
    return atomic_load_explicit(&settler->until_ns, memory_order_relaxed) != INT64_MAX;
}

/* In a transaction: the sums of a slice's events. False: a fault; or given up, and the transaction
 * is taken back. */
static bool put_sums(struct settler *settler, const struct value *slice, uint32_t count)
{
    sqlite3 *connection = settler->ledger->connection;
    sqlite3_stmt *statement = settler->statements[ROLL_EVENTS];
    sqlite3_progress_handler(connection, SQLITE_STEPS_A_LOOK, is_winding_down, settler);
    const bool is_put = ledger_bind(statement, slice, count) && ledger_run(statement);
    const int code = sqlite3_errcode(connection);
    sqlite3_progress_handler(connection, 0, NULL, NULL);
    if (is_put) return true;
    if (code != SQLITE_INTERRUPT)
        return settler_fail(settler, ledger_refuse_sqlite(settler->ledger, LEDGER_WRITE_FAILED,
                                                          "INSERT INTO usage_rollup"));
    /* SQLite takes back what it interrupts, mostly by itself. */
    if (sqlite3_get_autocommit(connection) == 0) {
        (void)sqlite3_step(settler->statements[ROLLBACK_TRANSACTION]);
        (void)sqlite3_reset(settler->statements[ROLLBACK_TRANSACTION]);
    }
    return false;
}

static bool roll_slice(struct settler *settler, uint64_t events_max)
{
    const int64_t began_ns = settler->parts.now_ns();
    const struct value from[] = {value_of_unsigned(settler->rolled_through),
                                 value_of_unsigned(events_max)};
    uint64_t end = 0;
    if (!ask_number(settler, ROLL_END, from, COUNT_OF(from), &end)) return false;
    if (end == 0) { /* nothing behind it: what is settled is rolled, without a write */
        settler->rolled_through = position_end(settler->cursor);
        settler->events_unrolled = 0;
        return false;
    }
    const struct value slice[] = {value_of_unsigned(settler->rolled_through),
                                  value_of_unsigned(end)};
    if (!settler_begin(settler) || !put_sums(settler, slice, COUNT_OF(slice)) ||
        !settler_set_meta(settler, "rolled_through", (int64_t)end) || !settler_commit(settler))
        return false;
    settler->rolled_through = end;
    end_slice(settler, began_ns);
    settler->rolled_ns = settler->slice_ns;
    settler->events_unrolled -=
        settler->events_unrolled < events_max ? settler->events_unrolled : events_max;
    return true;
}

bool upkeep_roll(struct settler *settler)
{
    if (settler->rolled_through >= position_end(settler->cursor)) return false;
    const int64_t now_ns = settler->parts.now_ns();
    if (settler->events_unrolled < settler->parts.roll_events &&
        now_ns - settler->rolled_ns < ROLL_IDLE_NS)
        return false;
    if (is_resting(settler, now_ns)) return false;
    const uint64_t share = settler->events_unrolled / ROLL_SHARE;
    const uint64_t least = settler->parts.roll_events;
    const bool is_alone = settler->counts.transactions == settler->slices_behind;
    const uint64_t most = least * (is_alone ? ROLL_SLICES_MAX : ROLL_SLICES_HURRIED);
    return roll_slice(settler, share < least ? least : share < most ? share : most);
}

/* As many hour rows a slice as events are rolled in one: each is added to one row. */
bool upkeep_days(struct settler *settler)
{
    if (settler->days_rolled == settler->rolled_through) return false;
    const int64_t now_ns = settler->parts.now_ns();
    if (is_resting(settler, now_ns)) return false;
    const struct value through = value_of_signed(settler->days_through_ms);
    uint64_t end_ms = 0;
    if (!ask_number(settler, DAY_OVER, &through, 1, &end_ms)) return false;
    if (end_ms == 0) {
        settler->days_rolled = settler->rolled_through;
        return false;
    }
    const struct value slice[] = {value_of_unsigned(end_ms),
                                  value_of_signed(settler->parts.roll_events)};
    if (!settler_begin(settler) || !settler_put(settler, ADD_HOURS, slice, COUNT_OF(slice)) ||
        !settler_put(settler, MOVE_DAYS, slice, COUNT_OF(slice)))
        return false;
    const bool is_whole = sqlite3_changes(settler->ledger->connection) == 0;
    if (is_whole && (!settler_put(settler, END_DAY, slice, 1) ||
                     !settler_set_meta(settler, "days_through_ms", (int64_t)end_ms)))
        return false;
    if (!settler_commit(settler)) return false;
    if (is_whole) settler->days_through_ms = (int64_t)end_ms;
    end_slice(settler, now_ns);
    return true;
}

/* --- retention of usage events --------------------------------------------------------------- */

/* Events go seal by seal, so that the seal at the cut is where checking begins. Gives the last
 * batch of those that go next; 0: none is old enough. */
static bool next_cut(struct settler *settler, uint64_t *through_out)
{
    const struct value from[] = {
        value_of_unsigned(settler->usage_cut),
        value_of_signed(settler->cursor_ms - settler->parts.usage_for_ms),
        value_of_signed(CUT_EVENTS),
    };
    return ask_number(settler, CUT_NEXT, from, COUNT_OF(from), through_out);
}

static bool cut_through(struct settler *settler, uint64_t through)
{
    const struct value end = value_of_unsigned(position_end(through));
    if (!settler_begin(settler) || !settler_put(settler, CUT_USAGE, &end, 1)) return false;
    const int events = sqlite3_changes(settler->ledger->connection);
    if (!settler_set_meta(settler, "usage_cut", (int64_t)through) || !settler_commit(settler))
        return false;
    settler->usage_cut = through;
    settler->cut_at = settler->counts.transactions + (events < CUT_EVENTS ? CUT_EVERY : 1);
    return true;
}

bool upkeep_cut(struct settler *settler)
{
    uint64_t through = 0;
    if (settler->parts.usage_for_ms == 0 || !next_cut(settler, &through)) return false;
    if (through == 0 || position_end(through) > settler->rolled_through) return false;
    return cut_through(settler, through);
}

/* The ledger must stop growing for who never rests, too: so what must go is rolled for its sake. */
bool upkeep_cut_under_load(struct settler *settler)
{
    uint64_t through = 0;
    if (settler->parts.usage_for_ms == 0 || settler->counts.transactions < settler->cut_at)
        return false;
    settler->cut_at = settler->counts.transactions + CUT_EVERY;
    if (!next_cut(settler, &through) || through == 0) return false;
    if (position_end(through) <= settler->rolled_through) return cut_through(settler, through);
    settler->cut_at = settler->counts.transactions + 1;
    return roll_slice(settler, (uint64_t)ROLL_SLICES_HURRIED * settler->parts.roll_events);
}
