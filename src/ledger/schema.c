/*
 * schema.c: see schema.h.
 *
 * The three datasets are appended to at their right edge: their keys grow. The indexes on them are
 * of rows that settle an older decision, which grow nearly in order too. Usage events go after a
 * while; what was charged for them is found without them.
 */
#include "ledger/schema.h"

#include "base/base.h"
#include "ledger/ledger.h"

const char LEDGER_USAGE_COLUMNS[] = LEDGER_COLUMNS_SQL(USAGE);
const char LEDGER_MONETIZATION_COLUMNS[] = LEDGER_COLUMNS_SQL(MONETIZATION);
const char LEDGER_BALANCE_COLUMNS[] = LEDGER_COLUMNS_SQL(BALANCE);
const char LEDGER_REFUND_COLUMNS[] = LEDGER_COLUMNS_SQL(REFUND);
const char LEDGER_GRANT_COLUMNS[] = LEDGER_COLUMNS_SQL(GRANT);
const char LEDGER_POLICY_COLUMNS[] = LEDGER_COLUMNS_SQL(POLICY);

const char LEDGER_EXPLODED[] = LEDGER_EXPLODED_SQL;

#define ROLLUP_KEY_SQL                                                                           \
    "start_ms INTEGER NOT NULL,"                                                                 \
    "customer TEXT NOT NULL,subject TEXT NOT NULL,feature TEXT NOT NULL,endpoint TEXT NOT NULL," \
    "model TEXT NOT NULL,origin TEXT NOT NULL,outcome TEXT NOT NULL,what TEXT NOT NULL,"         \
    "name TEXT NOT NULL"
#define WIDE_COLUMN(name) name " INTEGER NOT NULL," name "_e18 INTEGER NOT NULL"
#define ROLLUP_TABLE_SQL(table)                                                                     \
    "CREATE TABLE " table "(" ROLLUP_KEY_SQL                                                        \
    ",requests INTEGER NOT NULL,denied INTEGER NOT NULL," WIDE_COLUMN("units") "," WIDE_COLUMN(     \
        "charged") "," WIDE_COLUMN("quantity") "," WIDE_COLUMN("duration_ms") ","                   \
                                                                              "PRIMARY "            \
                                                                              "KEY(start_"          \
                                                                              "ms"                  \
                                                                              "," ROLLUP_DIMENSIONS \
                                                                              ")) STRICT,WITHOUT "  \
                                                                              "ROWID"

const struct schema_object LEDGER_SCHEMA[] = {
    {"table",                     "meta","CREATE TABLE meta(name TEXT PRIMARY KEY,value ANY NOT NULL) STRICT"                                         },
    {"table",             "usage_events",                                      LEDGER_TABLE_SQL("usage_events",USAGE, "STRICT")},
    {"index",        "usage_by_decision",
     "CREATE INDEX usage_by_decision ON usage_events(decision) WHERE decision<>position"                                                                                     },
    {"table",      "monetization_events",
     LEDGER_TABLE_SQL("monetization_events",MONETIZATION, "STRICT")},
    {"index", "monetization_by_decision",
     "CREATE INDEX monetization_by_decision ON monetization_events(decision) "
     "WHERE decision<>position"                                           },
    {"table",          "balance_updates",
     LEDGER_TABLE_SQL("balance_updates",                                                                               BALANCE, "STRICT,WITHOUT ROWID")},
    {"table",                  "refunds",                                           LEDGER_TABLE_SQL("refunds",                                                                       REFUND, "STRICT,WITHOUT ROWID")},
    {"table",                   "grants",                                            LEDGER_TABLE_SQL("grants",                                                                       GRANT, "STRICT")},
    {"table",                 "policies",                                          LEDGER_TABLE_SQL("policies",POLICY, "STRICT")},
    {"table",                  "symbols",
     "CREATE TABLE symbols(number INTEGER PRIMARY KEY,name TEXT NOT NULL) STRICT"},
    {"table",                "customers",
     "CREATE TABLE customers(number INTEGER PRIMARY KEY,id BLOB NOT NULL UNIQUE,name TEXT NOT NULL,"
     "founded INTEGER NOT NULL,"
     "updates INTEGER NOT NULL,after INTEGER NOT NULL,last_position INTEGER NOT NULL,"
     "last_place INTEGER NOT NULL,last_hash BLOB NOT NULL,last_usage INTEGER NOT NULL,"
     "overages INTEGER NOT NULL) STRICT"                                                                                     },
    {"table",                 "accounts",
     "CREATE TABLE accounts(customer INTEGER NOT NULL,symbol INTEGER NOT NULL,"
     "after INTEGER NOT NULL,after_e18 INTEGER NOT NULL,last_position INTEGER NOT NULL,"
     "last_place INTEGER NOT NULL,PRIMARY KEY(customer,symbol)) STRICT,WITHOUT ROWID"                  },
    {"table",                    "seals",
     "CREATE TABLE seals(through INTEGER PRIMARY KEY,first INTEGER NOT NULL,at_ms INTEGER NOT NULL,"
     "usage_rows INTEGER NOT NULL,monetization_rows INTEGER NOT NULL,balance_rows INTEGER NOT NULL,"
     "usage_hash BLOB NOT NULL,monetization_hash BLOB NOT NULL,balance_hash BLOB NOT NULL) STRICT"                             },
    {"table",             "usage_rollup",                                     ROLLUP_TABLE_SQL("usage_rollup")                                                                      },
    {"table",               "usage_days",                                       ROLLUP_TABLE_SQL("usage_days")                         },
 /* The hour row added to usage_days last, in the order of its key. */
    {"table",            "usage_days_at",
     "CREATE TABLE usage_days_at(one INTEGER PRIMARY KEY CHECK(one=1)," ROLLUP_KEY_SQL ") STRICT"            },
 /* One usage event seen as what it adds to the rollup: itself, each of its sources, each meter,
  * and its overshoot. A late commit is no request of its own: the expiry was. */
    { "view",           "usage_exploded",                 "CREATE VIEW usage_exploded AS " LEDGER_EXPLODED_SQL},
};
const unsigned LEDGER_SCHEMA_COUNT = COUNT_OF(LEDGER_SCHEMA);
