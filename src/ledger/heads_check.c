/*
 * heads_check.c: a head that was loaded from its checkpoint, held against the rows it stands for,
 * before the first row is chained to it. What is wrong in a checkpoint would else become a row that
 * is right by its hash. The newest balance update must say number, balance and hash, an overage
 * account's newest its sum; both must give their own hash behind the row before. Two look-ups
 * by key for each, once in a settler's life.
 */
#include "ledger/settler_inner.h"

#include <inttypes.h>
#include <string.h>

#define BALANCE_AT(name, declaration, value) AT_##name,
enum { BALANCE_FIRST(BALANCE_AT) BALANCE_REST(BALANCE_AT) };

static bool find(struct settler *settler, uint32_t number, const char *what)
{
    (void)ledger_refuse(settler->ledger, LEDGER_DAMAGED,
                        "%s: the checkpoint of customer %" PRIu32 " (tables customers, accounts) "
                        "is not %s. %s",
                        settler->ledger->path, number, what, ledger_advice(settler->ledger));
    return settler_fail(settler, LEDGER_DAMAGED);
}

/* The hash of a row; of none, position 0, zeroes. False: it is not there. */
static bool hash_of(struct settler *settler, const struct value *position,
                    const struct value *place, struct ledger_hash *hash_out)
{
    sqlite3_stmt *statement = settler->statements[HASH_OF_BALANCE];
    const struct value key[] = {*position, *place};
    *hash_out = (struct ledger_hash){0};
    if (position->integer == 0) return true;
    const bool is_there = ledger_bind(statement, key, COUNT_OF(key)) &&
                          sqlite3_step(statement) == SQLITE_ROW &&
                          sqlite3_column_bytes(statement, 0) == LEDGER_HASH_BYTES;
    if (is_there) memcpy(hash_out->byte, sqlite3_column_blob(statement, 0), LEDGER_HASH_BYTES);
    (void)sqlite3_reset(statement);
    return is_there;
}

/* The row is the customer's, and its bytes give its hash. The texts of `row` live until the
 * statement is reset. */
static bool take_row(struct settler *settler, const struct head *head, uint64_t position,
                     uint32_t place, struct value row[BALANCE_COLUMNS])
{
    sqlite3_stmt *statement = settler->statements[ROW_OF_BALANCE];
    const struct value key[] = {value_of_unsigned(position), value_of_unsigned(place)};
    struct ledger_hash before;
    if (!ledger_bind(statement, key, COUNT_OF(key)) || sqlite3_step(statement) != SQLITE_ROW ||
        !ledger_take_row(statement, BALANCE_COLUMNS, row))
        return false;
    if (!hash_of(settler, &row[AT_previous_position], &row[AT_previous_place], &before))
        return false;
    const struct ledger_hash hash = ledger_balance_hash(settler->ledger, &before, row);
    const struct hash128 id = hash_128(settler->ledger->origin.key, row[AT_customer].bytes);
    return row[AT_hash].bytes.length == LEDGER_HASH_BYTES &&
           memcmp(row[AT_hash].bytes.at, hash.byte, LEDGER_HASH_BYTES) == 0 &&
           hash_128_equal(id, head->id);
}

static bool is_newest_update(struct settler *settler, const struct head *head)
{
    static const struct ledger_hash NOTHING = {0};
    struct value row[BALANCE_COLUMNS];
    if (head->last_position == 0)
        return head->updates == 0 && head->after == 0 &&
               memcmp(head->last_hash.byte, NOTHING.byte, LEDGER_HASH_BYTES) == 0;
    const bool is_same =
        take_row(settler, head, head->last_position, head->last_place, row) &&
        row[AT_number].integer == (int64_t)head->updates &&
        row[AT_customer_after].integer == head->after &&
        memcmp(row[AT_hash].bytes.at, head->last_hash.byte, LEDGER_HASH_BYTES) == 0;
    (void)sqlite3_reset(settler->statements[ROW_OF_BALANCE]);
    return is_same;
}

static bool is_newest_overage(struct settler *settler, const struct head *head,
                              const struct overage_account *account)
{
    struct value row[BALANCE_COLUMNS];
    const bool is_same =
        take_row(settler, head, account->last_position, account->last_place, row) &&
        bytes_equal(row[AT_account].bytes, BYTES("overage")) &&
        bytes_equal(row[AT_name].bytes, settler->symbol_names[account->symbol]) &&
        row[AT_number].integer <= (int64_t)head->updates &&
        row[AT_account_after].integer == account->after.low &&
        row[AT_account_after_e18].integer == account->after.e18;
    (void)sqlite3_reset(settler->statements[ROW_OF_BALANCE]);
    return is_same;
}

/* Events that were cut cannot be asked. */
static bool is_newest_usage(struct settler *settler, const struct head *head)
{
    sqlite3_stmt *statement = settler->statements[CUSTOMER_OF_USAGE];
    const struct value key = value_of_unsigned(head->last_usage);
    if (head->last_usage == 0 || position_sequence(head->last_usage) <= settler->usage_cut)
        return true;
    bool is_his = ledger_bind(statement, &key, 1) && sqlite3_step(statement) == SQLITE_ROW;
    if (is_his) {
        const struct bytes name = {sqlite3_column_text(statement, 0),
                                   (size_t)sqlite3_column_bytes(statement, 0)};
        is_his = hash_128_equal(hash_128(settler->ledger->origin.key, name), head->id);
    }
    (void)sqlite3_reset(statement);
    return is_his;
}

bool settler_check_head(struct settler *settler, uint32_t number)
{
    struct head *head = heads_at(&settler->heads, number);
    if (head->is_checked) return true;
    if (!is_newest_update(settler, head)) return find(settler, number, "his newest balance update");
    for (uint32_t n = head->accounts; n != 0;) {
        const struct overage_account *account = slab_at(&settler->heads.accounts, n);
        if (!is_newest_overage(settler, head, account))
            return find(settler, number, "what his overage's newest balance update says");
        n = account->next;
    }
    if (!is_newest_usage(settler, head)) return find(settler, number, "his newest usage event");
    head->is_checked = true;
    return true;
}
