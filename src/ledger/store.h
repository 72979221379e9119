/*
 * store.h: the connection to ledger.db. Private to src/ledger.
 */
#pragma once

#include <sqlite3.h>

#include "ledger/digest.h"
#include "ledger/ledger.h"
#include "platform/platform.h"

/* Others hold locks for moments only; beyond this something is wrong. */
#define LEDGER_BUSY_MS 5000
#define LEDGER_TEXT_BYTES_MAX (4u << 20) /* of any one column */

struct ledger {
    sqlite3 *connection;
    bool is_writer;
    bool is_copy; /* read without locks */
    struct digest digest;
    struct ledger_origin origin;
    struct buffer canonical; /* one row's hashed bytes, while it is hashed */
    struct ledger_detail detail;
    char path[FILE_PATH_SIZE];
    char log_path[FILE_PATH_SIZE];
};

/* Writes the detail for people and gives the fault back. */
__attribute__((format(printf, 3, 4))) enum ledger_fault
ledger_refuse(struct ledger *ledger, enum ledger_fault fault, const char *format, ...);
/* The same after a call of SQLite failed; damage is told from the rest. */
enum ledger_fault ledger_refuse_sqlite(struct ledger *ledger, enum ledger_fault fault,
                                       const char *what);

/* What can be done about a ledger that cannot be used. */
const char *ledger_advice(const struct ledger *ledger);

void ledger_statement_end(sqlite3_stmt **statement);
#define LEDGER_STATEMENT_ENDED_AT_END __attribute__((cleanup(ledger_statement_end)))

/* False: SQLite refuses it. */
MUST_USE bool ledger_prepare(struct ledger *ledger, const char *sql, sqlite3_stmt **statement_out);
MUST_USE bool ledger_bind(sqlite3_stmt *statement, const struct value *values, uint32_t count);
/* Runs a statement that gives no rows, and makes it ready for the next time. */
MUST_USE bool ledger_run(sqlite3_stmt *statement);
/* Statements without parameters. */
MUST_USE bool ledger_exec(struct ledger *ledger, const char *sql);
