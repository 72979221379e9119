/*
 * chains.c: see chains.h.
 */
#include "proof/chains.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>

#include "proof/verdict.h"

#define HEADS_SQL                                                                                \
    "SELECT number,id,name,updates,after,last_position,last_place,last_hash,last_usage,founded," \
    "overages FROM customers WHERE number>?1 ORDER BY number LIMIT 512"

void chains_start(struct chains *chains, struct books *books, struct hash_key key)
{
    *chains = (struct chains){.books = books, .verdict = books->verdict, .key = key};
    sha_start(&chains->sha);
    map_start(&chains->heads, sizeof(struct head));
    map_start(&chains->accounts, sizeof(struct account));
    map_start(&chains->overages, sizeof(struct overage));
}

void chains_end(struct chains *chains)
{
    sha_end(&chains->sha);
    map_end(&chains->heads);
    map_end(&chains->accounts);
    map_end(&chains->overages);
}

struct head *chains_head(struct chains *chains, struct bytes customer)
{
    return map_put(&chains->heads, hash_128(chains->key, customer));
}

/* --- the table of heads ---------------------------------------------------------------------- */

static bool find_customer(const struct chains *chains, uint64_t number, const char *what)
{
    verdict_place(chains->verdict, "customers, number %" PRIu64, number);
    return verdict_find(chains->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

/* Nothing has moved his balance: there is no row that the head could be checked against. */
static bool check_unmoved(const struct chains *chains, const struct stored_head *stored)
{
    static const struct ledger_hash NOTHING = {0};
    if (stored->updates == 0 && stored->after == 0 && stored->place == 0 &&
        memcmp(stored->hash.byte, NOTHING.byte, LEDGER_HASH_BYTES) == 0)
        return true;
    return find_customer(chains, stored->number, "the head of no row is not empty");
}

/* They are numbered as they came: what is behind `last` in the table was founded behind it. */
static bool take_stored(struct chains *chains, sqlite3_stmt *statement, struct stored_head *last)
{
    const uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
    if (number != last->number + 1)
        return find_customer(chains, number, "the customers are not numbered without a gap");
    const uint8_t *name = sqlite3_column_text(statement, 2);
    const struct bytes customer = {name, (size_t)sqlite3_column_bytes(statement, 2)};
    if (sqlite3_column_bytes(statement, 1) != (int)sizeof(struct hash128) ||
        sqlite3_column_bytes(statement, 7) != (int)LEDGER_HASH_BYTES || name == NULL)
        return find_customer(chains, number, "a column holds what no row has");
    struct head *head = chains_head(chains, customer);
    uint8_t id[sizeof(struct hash128)];
    for (unsigned i = 0; i < sizeof(id); ++i)
        id[i] = (uint8_t)(head->id.word[i / 8] >> (8 * (i % 8)));
    if (memcmp(id, sqlite3_column_blob(statement, 1), sizeof(id)) != 0)
        return find_customer(chains, number, "its id is not its name's");
    if (head->stored.number != 0)
        return find_customer(chains, number, "its name stands there twice");
    head->stored = (struct stored_head){
        .number = number,
        .updates = (uint64_t)sqlite3_column_int64(statement, 3),
        .after = sqlite3_column_int64(statement, 4),
        .position = (uint64_t)sqlite3_column_int64(statement, 5),
        .place = (uint32_t)sqlite3_column_int64(statement, 6),
        .usage = (uint64_t)sqlite3_column_int64(statement, 8),
        .founded = (uint64_t)sqlite3_column_int64(statement, 9),
        .overages = (uint64_t)sqlite3_column_int64(statement, 10),
    };
    memcpy(head->stored.hash.byte, sqlite3_column_blob(statement, 7), LEDGER_HASH_BYTES);
    if (head->stored.founded <= last->founded)
        return find_customer(chains, number, "he was founded before the one before him");
    *last = head->stored;
    return head->stored.position != 0 || check_unmoved(chains, &head->stored);
}

static bool load_heads(struct chains *chains)
{
    sqlite3_stmt *statement = NULL;
    struct stored_head last = {0};
    bool is_good = sqlite3_prepare_v2(ledger_connection(chains->books->ledger), HEADS_SQL, -1,
                                      &statement, NULL) == SQLITE_OK;
    for (bool is_more = true; is_good && is_more;) {
        is_more = false;
        is_good = sqlite3_bind_int64(statement, 1, (sqlite3_int64)last.number) == SQLITE_OK;
        int code = SQLITE_DONE;
        while (is_good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
            if (!take_stored(chains, statement, &last)) {
                (void)sqlite3_finalize(statement);
                return false;
            }
            is_more = true;
        }
        (void)sqlite3_reset(statement);
        is_good = is_good && code == SQLITE_DONE;
    }
    if (!is_good) (void)books_find_fault(chains->books, "its table customers cannot be read");
    (void)sqlite3_finalize(statement);
    return is_good;
}

/* --- the table of overage accounts ----------------------------------------------------------- */

#define ACCOUNTS_SQL                                                                             \
    "SELECT a.customer,a.symbol,c.name,s.name,a.after,a.after_e18,a.last_position,a.last_place " \
    "FROM accounts AS a LEFT JOIN customers AS c ON c.number=a.customer "                        \
    "LEFT JOIN symbols AS s ON s.number=a.symbol WHERE (a.customer,a.symbol)>(?1,?2) "           \
    "ORDER BY a.customer,a.symbol LIMIT 512"

static struct hash128 id_of_account(const struct chains *chains, struct bytes customer,
                                    struct bytes account, int64_t grant_id, struct bytes name)
{
    uint8_t block[CUSTOMER_BYTES_MAX + 512];
    struct buffer text = buffer_over(block, sizeof(block));
    buffer_put_bytes(&text, customer);
    buffer_put_bytes(&text, account);
    buffer_put_signed(&text, grant_id);
    if (name.at != NULL) buffer_put_bytes(&text, name);
    return hash_128(chains->key, buffer_bytes(&text));
}

static bool find_account(const struct chains *chains, uint64_t number, uint64_t symbol,
                         const char *what)
{
    verdict_place(chains->verdict, "accounts, customer %" PRIu64 ", symbol %" PRIu64, number,
                  symbol);
    return verdict_find(chains->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool take_stored_account(struct chains *chains, sqlite3_stmt *statement)
{
    const uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
    const uint64_t symbol = (uint64_t)sqlite3_column_int64(statement, 1);
    const struct bytes customer = {sqlite3_column_text(statement, 2),
                                   (size_t)sqlite3_column_bytes(statement, 2)};
    const struct bytes name = {sqlite3_column_text(statement, 3),
                               (size_t)sqlite3_column_bytes(statement, 3)};
    if (customer.at == NULL || name.at == NULL || name.length > NAME_BYTES_MAX)
        return find_account(chains, number, symbol, "its customer or its name is not there");
    struct overage *overage =
        map_put(&chains->overages, id_of_account(chains, customer, BYTES("overage"), 0, name));
    overage->number = number;
    overage->symbol = symbol;
    overage->stored_after = (struct sum){.low = sqlite3_column_int64(statement, 4),
                                         .e18 = sqlite3_column_int64(statement, 5)};
    overage->stored_position = (uint64_t)sqlite3_column_int64(statement, 6);
    overage->stored_place = (uint32_t)sqlite3_column_int64(statement, 7);
    ++chains_head(chains, customer)->stored.overages_met;
    return true;
}

static bool load_accounts(struct chains *chains)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 last[2] = {INT64_MIN, INT64_MIN};
    bool is_good = sqlite3_prepare_v2(ledger_connection(chains->books->ledger), ACCOUNTS_SQL, -1,
                                      &statement, NULL) == SQLITE_OK;
    for (bool is_more = true; is_good && is_more;) {
        is_more = false;
        is_good = sqlite3_bind_int64(statement, 1, last[0]) == SQLITE_OK &&
                  sqlite3_bind_int64(statement, 2, last[1]) == SQLITE_OK;
        int code = SQLITE_DONE;
        while (is_good && (code = sqlite3_step(statement)) == SQLITE_ROW) {
            if (!take_stored_account(chains, statement)) {
                (void)sqlite3_finalize(statement);
                return false;
            }
            last[0] = sqlite3_column_int64(statement, 0);
            last[1] = sqlite3_column_int64(statement, 1);
            is_more = true;
        }
        (void)sqlite3_reset(statement);
        is_good = is_good && code == SQLITE_DONE;
    }
    if (!is_good) (void)books_find_fault(chains->books, "its table accounts cannot be read");
    (void)sqlite3_finalize(statement);
    return is_good;
}

/* Of a copy: a server writes both tables at once, but they are read one after the other. */
static bool check_overages(const struct chains *chains)
{
    for (const struct head *head = NULL; (head = map_next(&chains->heads, head)) != NULL;)
        if (!chains->books->is_served && head->stored.overages != head->stored.overages_met) {
            verdict_expected(chains->verdict, "%" PRIu64 " rows of accounts",
                             head->stored.overages);
            verdict_found(chains->verdict, "%" PRIu64, head->stored.overages_met);
            return find_customer(chains, head->stored.number,
                                 "an account is missing, or there are more than it says");
        }
    return true;
}

bool chains_load_stored(struct chains *chains)
{
    return load_heads(chains) && load_accounts(chains) && check_overages(chains);
}

static bool is_before(uint64_t position, uint32_t place, const struct stored_head *stored)
{
    return position < stored->position || (position == stored->position && place < stored->place);
}

/* A checkpoint is right when it is one of the chain's states, and no older than promised. */
static bool check_stored(const struct chains *chains, struct head *head)
{
    struct stored_head *stored = &head->stored;
    if (stored->number == 0) return true;
    if (head->position == stored->position && head->place == stored->place) {
        stored->is_met = head->updates == stored->updates && head->after == stored->after &&
                         memcmp(head->hash.byte, stored->hash.byte, LEDGER_HASH_BYTES) == 0;
        if (stored->is_met) return true;
        verdict_expected(chains->verdict, "update %" PRIu64 ", balance %" PRId64, head->updates,
                         head->after);
        verdict_found(chains->verdict, "update %" PRIu64 ", balance %" PRId64 "%s", stored->updates,
                      stored->after,
                      head->updates == stored->updates && head->after == stored->after
                          ? ", another hash"
                          : "");
        return find_customer(chains, stored->number, "the head is not what its row says");
    }
    if (head->position > chains->books->heads_position ||
        is_before(head->position, head->place, stored))
        return true;
    verdict_expected(chains->verdict, "a head at position %" PRIu64 " or later", head->position);
    verdict_found(chains->verdict, "position %" PRIu64 ", place %" PRIu32, stored->position,
                  stored->place);
    return find_customer(chains, stored->number, "the head is older than the books say");
}

/* The row of an overage account has passed; the table says one of the account's states, and none
 * older than promised. */
static bool check_stored_account(struct chains *chains, const struct value *row, struct hash128 id,
                                 struct sum after)
{
    struct overage *overage = map_put(&chains->overages, id);
    const uint64_t position = value_unsigned(&row[BALANCE_position]);
    const uint32_t place = (uint32_t)row[BALANCE_place].integer;
    overage->position = position;
    overage->place = place;
    if (overage->number != 0 && position == overage->stored_position &&
        place == overage->stored_place) {
        overage->is_met =
            after.low == overage->stored_after.low && after.e18 == overage->stored_after.e18;
        return overage->is_met || find_account(chains, overage->number, overage->symbol,
                                               "the account is not what its row says");
    }
    const bool is_newer = position > overage->stored_position ||
                          (position == overage->stored_position && place > overage->stored_place);
    if (position > chains->books->heads_position || !is_newer) return true;
    book_row_place(chains->verdict, DATASET_BALANCE, row);
    return verdict_find(chains->verdict, LEDGER_FILE,
                        overage->number == 0
                            ? "its account is missing in the table accounts"
                            : "its account is older in the table accounts than the books say",
                        ADVICE_REBUILD);
}

static bool check_stored_accounts(const struct chains *chains, uint64_t end)
{
    for (const struct overage *one = NULL; (one = map_next(&chains->overages, one)) != NULL;)
        if (one->number != 0 && one->stored_position < end && !one->is_met)
            return find_account(chains, one->number, one->symbol,
                                "the account names a row that is not there");
    return true;
}

bool chains_check_stored(const struct chains *chains)
{
    const uint64_t end = (chains->books->cursor + 1) << POSITION_INDEX_BITS;
    if (!check_stored_accounts(chains, end)) return false;
    const uint64_t cut = (chains->books->usage_cut + 1) << POSITION_INDEX_BITS;
    for (const struct head *head = NULL; (head = map_next(&chains->heads, head)) != NULL;) {
        const struct stored_head *stored = &head->stored;
        if (stored->number == 0) {
            if (head->position == 0) continue;
            book_row_place(chains->verdict, DATASET_BALANCE,
                           (const struct value[BALANCE_COLUMNS]){value_of_unsigned(head->position),
                                                                 value_of_unsigned(head->place)});
            return verdict_find(chains->verdict, LEDGER_FILE,
                                "its customer is missing in the table customers", ADVICE_REBUILD);
        }
        if (stored->position != 0 && stored->position < end && !stored->is_met) {
            verdict_found(chains->verdict, "position %" PRIu64 ", place %" PRIu32, stored->position,
                          stored->place);
            return find_customer(chains, stored->number, "the head names a row that is not there");
        }
        if (stored->usage >= cut && stored->usage < end && !stored->is_usage_met) {
            verdict_found(chains->verdict, "position %" PRIu64, stored->usage);
            return find_customer(chains, stored->number,
                                 "the head names a usage event that is not there");
        }
    }
    return true;
}

/* --- rows ------------------------------------------------------------------------------------ */

static bool find_in_row(const struct chains *chains, enum dataset dataset, const struct value *row,
                        const char *what)
{
    book_row_place(chains->verdict, dataset, row);
    return verdict_find(chains->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool find_number(const struct chains *chains, enum dataset dataset, const struct value *row,
                        int64_t expected, int64_t found, const char *what)
{
    verdict_expected(chains->verdict, "%" PRId64, expected);
    verdict_found(chains->verdict, "%" PRId64, found);
    return find_in_row(chains, dataset, row, what);
}

bool chains_take_usage(struct chains *chains, const struct value *row)
{
    struct head *head = chains_head(chains, row[USAGE_customer].bytes);
    const struct stored_head *stored = &head->stored;
    const uint64_t position = value_unsigned(&row[USAGE_position]);
    const uint64_t previous = value_unsigned(&row[USAGE_previous]);
    /* Denials of somebody who is no customer, or none yet, stand alone. */
    const bool is_stranger = stored->number == 0 || position < stored->founded;
    const uint64_t expected = is_stranger ? 0 : head->usage;
    /* Behind a cut the link leads to a row that is gone. */
    if (previous != expected &&
        !(expected < previous && books_is_cut(chains->books, position_sequence(previous))))
        return find_number(chains, DATASET_USAGE, row, (int64_t)expected, (int64_t)previous,
                           "its link is not to the customer's usage event before");
    if (is_stranger) return true;
    head->usage = position;
    if (stored->usage == position) head->stored.is_usage_met = true;
    if (position <= chains->books->heads_position && stored->usage < position)
        return find_customer(chains, stored->number,
                             "the head's usage event is older than the books say");
    return true;
}

static struct hash128 account_id(const struct chains *chains, const struct value *row)
{
    const bool is_named =
        row[BALANCE_grant_id].kind == VALUE_NULL && row[BALANCE_name].kind == VALUE_TEXT;
    return id_of_account(chains, row[BALANCE_customer].bytes, row[BALANCE_account].bytes,
                         row[BALANCE_grant_id].integer,
                         is_named ? row[BALANCE_name].bytes : BYTES_NONE);
}

int64_t chains_account(const struct chains *chains, const struct value *row)
{
    const struct account *account = map_find(&chains->accounts, account_id(chains, row));
    return account == NULL ? 0 : account->after.low;
}

static bool is_overage(const struct value *row)
{
    return bytes_equal(row[BALANCE_account].bytes, BYTES("overage"));
}

/* An overage's sum has as many digits as it takes; another account's is one column. */
static bool add_to_account(struct account *account, bool is_of_overage, int64_t delta)
{
    if (is_of_overage) account->after = sum_of(sum_value(account->after) + delta);
    return is_of_overage || !__builtin_add_overflow(account->after.low, delta, &account->after.low);
}

static bool check_account(struct chains *chains, const struct value *row)
{
    const struct hash128 id = account_id(chains, row);
    struct account *account = map_put(&chains->accounts, id);
    if (!add_to_account(account, is_overage(row), row[BALANCE_delta].integer))
        return find_in_row(chains, DATASET_BALANCE, row, "its delta leaves the range of balances");
    const struct sum after = account->after;
    if (after.low != row[BALANCE_account_after].integer)
        return find_number(chains, DATASET_BALANCE, row, after.low,
                           row[BALANCE_account_after].integer,
                           "its account_after is not the account's balance before and its delta");
    if (after.e18 != row[BALANCE_account_after_e18].integer)
        return find_number(
            chains, DATASET_BALANCE, row, after.e18, row[BALANCE_account_after_e18].integer,
            "its account_after_e18 is not the account's balance before and its delta");
    if (after.low == 0 && after.e18 == 0) map_remove(&chains->accounts, account);
    return !is_overage(row) || check_stored_account(chains, row, id, after);
}

/* Overage is outside the balance (S4); an overshoot that is given back goes through it (H3). */
static bool moves_balance(const struct value *row)
{
    return !is_overage(row);
}

static bool check_link(struct chains *chains, const struct head *head, const struct value *row)
{
    const int64_t number = row[BALANCE_number].integer;
    if (number != (int64_t)head->updates + 1)
        return find_number(chains, DATASET_BALANCE, row, (int64_t)head->updates + 1, number,
                           "its number is not the next of its customer's");
    if (value_unsigned(&row[BALANCE_previous_position]) != head->position ||
        row[BALANCE_previous_place].integer != (int64_t)head->place) {
        verdict_expected(chains->verdict, "position %" PRIu64 ", place %" PRIu32, head->position,
                         head->place);
        verdict_found(chains->verdict, "position %" PRIu64 ", place %" PRId64,
                      value_unsigned(&row[BALANCE_previous_position]),
                      row[BALANCE_previous_place].integer);
        return find_in_row(chains, DATASET_BALANCE, row,
                           "its link is not to the customer's row before");
    }
    int64_t after = head->after;
    if (moves_balance(row) && __builtin_add_overflow(after, row[BALANCE_delta].integer, &after))
        return find_in_row(chains, DATASET_BALANCE, row, "its delta leaves the range of balances");
    if (after != row[BALANCE_customer_after].integer)
        return find_number(chains, DATASET_BALANCE, row, after, row[BALANCE_customer_after].integer,
                           "its customer_after is not the customer's balance before and its delta");
    return true;
}

bool chains_take_balance(struct chains *chains, const struct value *row)
{
    struct head *head = chains_head(chains, row[BALANCE_customer].bytes);
    if (!check_link(chains, head, row) || !check_account(chains, row)) return false;

    sha_begin(&chains->sha, &head->hash);
    sha_add_row(&chains->sha, row, BALANCE_hash);
    const struct ledger_hash hash = sha_take(&chains->sha);
    if (row[BALANCE_hash].bytes.length != LEDGER_HASH_BYTES ||
        memcmp(hash.byte, row[BALANCE_hash].bytes.at, LEDGER_HASH_BYTES) != 0)
        return find_in_row(chains, DATASET_BALANCE, row,
                           "its bytes do not give its hash: it, or one before it, was changed");
    head->updates++;
    head->after = row[BALANCE_customer_after].integer;
    head->position = value_unsigned(&row[BALANCE_position]);
    head->place = (uint32_t)row[BALANCE_place].integer;
    head->hash = hash;
    return check_stored(chains, head);
}

bool chains_expect(struct chains *chains, const struct balance_row *row, struct bytes customer)
{
    struct value values[BALANCE_COLUMNS];
    balance_values(row, values);
    values[BALANCE_customer] = value_of_text(customer);
    struct account *account = map_put(&chains->accounts, account_id(chains, values));
    bool is_good = add_to_account(account, is_overage(values), row->delta);
    if (account->after.low == 0 && account->after.e18 == 0) map_remove(&chains->accounts, account);
    struct head *head = chains_head(chains, customer);
    if (moves_balance(values))
        is_good = is_good && !__builtin_add_overflow(head->after, row->delta, &head->after);
    return is_good || find_in_row(chains, DATASET_BALANCE, values,
                                  "its delta, yet to be settled, leaves the range of balances");
}
