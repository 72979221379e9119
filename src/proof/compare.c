/*
 * compare.c: see compare.h.
 */
#include "proof/compare.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

#include "proof/verdict.h"

#define COMPARE_NAME(name, declaration, value) #name,
#define COMPARE_NAMES(TABLE)                                   \
    {                                                          \
        TABLE##_FIRST(COMPARE_NAME) TABLE##_REST(COMPARE_NAME) \
    }

static const char *const USAGE_NAMES[] = COMPARE_NAMES(USAGE);
static const char *const MONETIZATION_NAMES[] = COMPARE_NAMES(MONETIZATION);
static const char *const BALANCE_NAMES[] = COMPARE_NAMES(BALANCE);
static const char *const REFUND_NAMES[] = COMPARE_NAMES(REFUND);
static const char *const GRANT_NAMES[] = COMPARE_NAMES(GRANT);
static const char *const POLICY_NAMES[] = COMPARE_NAMES(POLICY);

#define VALUE_TEXT_SIZE 160

static const char *value_text(const struct value *value, char text_out[VALUE_TEXT_SIZE])
{
    switch (value->kind) {
    case VALUE_NULL:
        return "nothing";
    case VALUE_INTEGER:
        (void)snprintf(text_out, VALUE_TEXT_SIZE, "%" PRId64, value->integer);
        return text_out;
    case VALUE_TEXT:
        (void)snprintf(text_out, VALUE_TEXT_SIZE, "'%.*s'", (int)value->bytes.length,
                       (const char *)value->bytes.at);
        return text_out;
    case VALUE_BLOB:
        (void)snprintf(text_out, VALUE_TEXT_SIZE, "%zu bytes", value->bytes.length);
        return text_out;
    }
    return "";
}

/* The first column that differs; count: none does. */
static uint32_t first_difference(const struct value *expected, const struct value *actual,
                                 uint32_t count)
{
    uint32_t at = 0;
    while (at < count && values_equal(&expected[at], &actual[at], 1))
        ++at;
    return at;
}

static bool find_difference(struct proof_verdict *verdict, const char *name,
                            const struct value *expected, const struct value *actual)
{
    char text[VALUE_TEXT_SIZE];
    verdict_expected(verdict, "%s %s", name, value_text(expected, text));
    verdict_found(verdict, "%s", value_text(actual, text));
    return verdict_find(verdict, LEDGER_FILE, "its row is not what its journal entry makes",
                        ADVICE_REBUILD);
}

static bool find_missing(struct proof_verdict *verdict)
{
    verdict_expected(verdict, "the row that its journal entry makes");
    return verdict_find(verdict, LEDGER_FILE, "its row is missing", ADVICE_REBUILD);
}

bool compare_usage(struct proof_verdict *verdict, const struct usage_row *expected,
                   const struct value *actual)
{
    struct value values[USAGE_COLUMNS];
    usage_values(expected, values);
    if (actual != NULL) values[USAGE_previous] = actual[USAGE_previous]; /* the chain's */
    const uint32_t at = actual == NULL ? 0 : first_difference(values, actual, USAGE_COLUMNS);
    if (at == USAGE_COLUMNS) return true;
    book_row_place(verdict, DATASET_USAGE, values);
    if (actual == NULL) return find_missing(verdict);
    return find_difference(verdict, USAGE_NAMES[at], &values[at], &actual[at]);
}

bool compare_monetization(struct proof_verdict *verdict, const struct monetization_row *expected,
                          const struct value *actual)
{
    struct value values[MONETIZATION_COLUMNS];
    monetization_values(expected, values);
    const uint32_t at = actual == NULL ? 0 : first_difference(values, actual, MONETIZATION_COLUMNS);
    if (at == MONETIZATION_COLUMNS) return true;
    book_row_place(verdict, DATASET_MONETIZATION, values);
    if (actual == NULL) return find_missing(verdict);
    return find_difference(verdict, MONETIZATION_NAMES[at], &values[at], &actual[at]);
}

bool compare_balance(struct proof_verdict *verdict, const struct balance_row *expected,
                     const struct value *actual)
{
    static const uint32_t OF_CHAIN[] = {BALANCE_number, BALANCE_customer_after,
                                        BALANCE_previous_position, BALANCE_previous_place,
                                        BALANCE_hash};
    struct value values[BALANCE_COLUMNS];
    balance_values(expected, values);
    for (unsigned i = 0; i < COUNT_OF(OF_CHAIN) && actual != NULL; ++i)
        values[OF_CHAIN[i]] = actual[OF_CHAIN[i]];
    /* An overage's running sum is the chain's too. */
    if (actual != NULL && expected->account == ACCOUNT_OVERAGE) {
        values[BALANCE_account_after] = actual[BALANCE_account_after];
        values[BALANCE_account_after_e18] = actual[BALANCE_account_after_e18];
    }
    const uint32_t at = actual == NULL ? 0 : first_difference(values, actual, BALANCE_COLUMNS);
    if (at == BALANCE_COLUMNS) return true;
    book_row_place(verdict, DATASET_BALANCE, values);
    if (actual == NULL) return find_missing(verdict);
    return find_difference(verdict, BALANCE_NAMES[at], &values[at], &actual[at]);
}

enum { LOOKUP_REFUND, LOOKUP_GRANT, LOOKUP_POLICY };

struct lookup {
    unsigned place; /* in books.lookups */
    const char *table;
    const char *where; /* the key's columns, as parameters 1 and 2 */
    const char *columns;
    const char *const *names;
    uint32_t count;
};

static int start_lookup(struct books *books, const struct lookup *lookup, const int64_t key[2])
{
    char sql[512];
    sqlite3_stmt **statement = &books->lookups[lookup->place];
    int code = SQLITE_OK;
    if (*statement == NULL) {
        (void)snprintf(sql, sizeof(sql), "SELECT %s FROM %s WHERE %s", lookup->columns,
                       lookup->table, lookup->where);
        code = sqlite3_prepare_v2(ledger_connection(books->ledger), sql, -1, statement, NULL);
    }
    for (int i = 0; code == SQLITE_OK && i < 2 && i < sqlite3_bind_parameter_count(*statement); ++i)
        code = sqlite3_bind_int64(*statement, i + 1, key[i]);
    return code == SQLITE_OK ? sqlite3_step(*statement) : code;
}

static bool look_up(struct books *books, const struct lookup *lookup, const int64_t key[2],
                    const struct value *expected)
{
    struct value actual[VALUES_MAX];
    bool is_good = false;
    const int code = start_lookup(books, lookup, key);
    sqlite3_stmt *statement = books->lookups[lookup->place];
    verdict_place(books->verdict, "%s, %" PRId64, lookup->table, key[0]);
    if (code == SQLITE_DONE) {
        (void)find_missing(books->verdict);
    } else if (code != SQLITE_ROW || !ledger_take_row(statement, lookup->count, actual)) {
        (void)books_find_fault(books, "a row cannot be read");
    } else {
        const uint32_t at = first_difference(expected, actual, lookup->count);
        is_good = at == lookup->count;
        if (!is_good)
            (void)find_difference(books->verdict, lookup->names[at], &expected[at], &actual[at]);
    }
    (void)sqlite3_reset(statement);
    if (is_good) books->verdict->finding.place[0] = '\0';
    return is_good;
}

bool compare_refund(struct books *books, const struct refund_row *expected)
{
    static const struct lookup REFUNDS = {
        LOOKUP_REFUND,         "refunds",    "decision=?1 AND position=?2",
        LEDGER_REFUND_COLUMNS, REFUND_NAMES, REFUND_COLUMNS};
    struct value values[REFUND_COLUMNS];
    refund_values(expected, values);
    return look_up(books, &REFUNDS,
                   (const int64_t[2]){(int64_t)expected->decision, (int64_t)expected->position},
                   values);
}

bool compare_grant(struct books *books, const struct grant_row *expected)
{
    static const struct lookup GRANTS = {LOOKUP_GRANT,         "grants",    "id=?1",
                                         LEDGER_GRANT_COLUMNS, GRANT_NAMES, GRANT_COLUMNS};
    struct value values[GRANT_COLUMNS];
    grant_values(expected, values);
    return look_up(books, &GRANTS, (const int64_t[2]){(int64_t)expected->id, 0}, values);
}

bool compare_policy(struct books *books, const struct policy_row *expected)
{
    static const struct lookup POLICIES = {LOOKUP_POLICY,         "policies",   "position=?1",
                                           LEDGER_POLICY_COLUMNS, POLICY_NAMES, POLICY_COLUMNS};
    struct value values[POLICY_COLUMNS];
    policy_values(expected, values);
    return look_up(books, &POLICIES, (const int64_t[2]){(int64_t)expected->position, 0}, values);
}
