/*
 * read_inner.h: what the reading files share: the connection and its statements. Private to
 * src/ledger.
 */
#pragma once

#include <sqlite3.h>

#include "ledger/ledger.h"
#include "ledger/read.h"

enum read_statement {
    READ_BEGIN,
    READ_END,
    READ_META,
    READ_CHAIN,
    READ_UPDATE,
    READ_EVENT,
    READ_SOURCES,
    READ_DECISION_USAGE,
    READ_DECISION_MONETIZATION,
    READ_DECISION_BALANCE,
    READ_DECISION_REFUND,
    READ_ENDINGS,
    READ_REFUNDED,
    READ_OWNER,
    READ_GRANT_OWNER,
    READ_STATEMENTS
};

struct ledger_reader {
    struct ledger *ledger;
    sqlite3_stmt *statements[READ_STATEMENTS];
    bool has_groups; /* usage.c has made its table */
    char detail[LEDGER_DETAIL_SIZE];
};

/* What SQLite says, or `what` of the books' own; always false. */
bool read_failed(struct ledger_reader *reader, const char *what);
/* A statement with nothing bound. */
sqlite3_stmt *read_statement(struct ledger_reader *reader, enum read_statement which);
MUST_USE bool read_begin(struct ledger_reader *reader);
void read_bind(sqlite3_stmt *statement, int place, uint64_t number);
bool read_state(struct ledger_reader *reader, struct ledger_state *state);
/* Gives `result` back, or LEDGER_FAILED when the transaction does not end. */
enum ledger_read read_end(struct ledger_reader *reader, enum ledger_read result);
