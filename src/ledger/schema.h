/*
 * schema.h: ledger.db in SQL. Private to src/ledger. Any change of it is another LEDGER_VERSION.
 */
#pragma once

#include "ledger/rows.h"

#define LEDGER_DECLARE_FIRST(name, declaration, value) #name " " declaration
#define LEDGER_DECLARE_NEXT(name, declaration, value) "," #name " " declaration
#define LEDGER_TABLE_SQL(table, TABLE, options)                   \
    "CREATE TABLE " table "(" TABLE##_FIRST(LEDGER_DECLARE_FIRST) \
        TABLE##_REST(LEDGER_DECLARE_NEXT) TABLE##_END ") " options

#define LEDGER_NAME_FIRST(name, declaration, value) #name
#define LEDGER_NAME_NEXT(name, declaration, value) "," #name
#define LEDGER_COLUMNS_SQL(TABLE) TABLE##_FIRST(LEDGER_NAME_FIRST) TABLE##_REST(LEDGER_NAME_NEXT)

#define LEDGER_MARK_FIRST(name, declaration, value) "?"
#define LEDGER_MARK_NEXT(name, declaration, value) ",?"
#define LEDGER_INSERT_SQL(table, TABLE)                              \
    "INSERT INTO " table " VALUES(" TABLE##_FIRST(LEDGER_MARK_FIRST) \
        TABLE##_REST(LEDGER_MARK_NEXT) ")"

/* Dimensions of the rollup. An absent one is the empty text: what is unknown must be equal to
 * itself in a key. */
#define ROLLUP_DIMENSIONS "customer,subject,feature,endpoint,model,origin,outcome,what,name"

struct schema_object {
    const char *type;
    const char *name;
    const char *sql;
};

extern const struct schema_object LEDGER_SCHEMA[];
extern const unsigned LEDGER_SCHEMA_COUNT;
