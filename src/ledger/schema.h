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
/* What is added up. Requests are counted, and nobody makes 2^63 of them; the others are numbers
 * that callers say, so their sums go beyond 64 bits: each has a second column for how many times
 * 10^18 stand above it (struct sum). sum() fails beyond 64 bits and every step of + goes over to
 * floating point, so both halves of nine digits are added up apart. */
#define E18 "1000000000000000000"
#define E9 "1000000000"
#define WIDE_HIGH(column) "(sum(" column "/" E9 ")+sum(" column "%" E9 ")/" E9 ")"
#define WIDE_LOW(column) WIDE_HIGH(column) "%" E9 "*" E9 "+sum(" column "%" E9 ")%" E9
#define WIDE_SUM(column, above) WIDE_LOW(column) "," WIDE_HIGH(column) "/" E9 above
#define ROLLUP_COLUMNS                                                           \
    "requests,denied,units,units_e18,charged,charged_e18,quantity,quantity_e18," \
    "duration_ms,duration_ms_e18"
/* Of events; and of sums that were made. In the order of the columns. */
#define ROLLUP_SUMS                                                                              \
    "sum(requests),sum(denied)," WIDE_SUM("units", "") "," WIDE_SUM("charged", "") "," WIDE_SUM( \
        "quantity", "") "," WIDE_SUM("duration_ms", "")
#define ROLLUP_SUMS_OF_SUMS                                                                      \
    "sum(requests),sum(denied)," WIDE_SUM("units", "+sum(units_e18)") "," WIDE_SUM(              \
        "charged",                                                                               \
        "+sum(charged_e18)") "," WIDE_SUM("quantity",                                            \
                                          "+sum(quantity_e18)") "," WIDE_SUM("duration_ms",      \
                                                                             "+sum(duration_ms_" \
                                                                             "e18)")
/* How sums are put onto sums that are there. */
#define WIDE_ONTO(column)                                                     \
    column "=(" column "+excluded." column ")%" E18 "," column "_e18=" column \
           "_e18+excluded." column "_e18+(" column "+excluded." column ")/" E18
#define ROLLUP_ONTO                                                                 \
    " ON CONFLICT DO UPDATE SET "                                                   \
    "requests=requests+excluded.requests,denied=denied+excluded.denied," WIDE_ONTO( \
        "units") "," WIDE_ONTO("charged") "," WIDE_ONTO("quantity") "," WIDE_ONTO("duration_ms")

/* One usage event seen as what it adds to the rollup: itself, each of its sources, each meter, and
 * its overshoot. A late commit is no request of its own: the expiry was. The view of that name is
 * for people; programs write it out (WITH), because connections that do not trust a file's schema
 * let no view in it call JSON functions. */
#define EXPLODED_DIMENSIONS                                                    \
    "position,at_ms,customer,subject,feature,ifnull(endpoint,'') AS endpoint," \
    "ifnull(model,'') AS model,ifnull(origin,'') AS origin,outcome,"
#define LEDGER_EXPLODED_OF(events)                                                               \
    "SELECT " EXPLODED_DIMENSIONS "'event' AS what,'' AS name,count*(1-late) AS requests,"       \
    "count*(outcome='deny') AS denied,units_allowed AS units,charged,0 AS quantity,"             \
    "ifnull(duration_ms,0) AS duration_ms FROM " events " "                                      \
    "UNION ALL "                                                                                 \
    "SELECT " EXPLODED_DIMENSIONS "'source',source.value->>'source',0,0,source.value->>'units'," \
    "source.value->>'charged',0,0 FROM " events ",json_each(sources) AS source "                 \
    "UNION ALL "                                                                                 \
    "SELECT " EXPLODED_DIMENSIONS "'meter',meter.key,0,0,0,0,meter.value,0 "                     \
    "FROM " events ",json_each(actual) AS meter "                                                \
    "UNION ALL "                                                                                 \
    "SELECT " EXPLODED_DIMENSIONS "'overshoot','',0,0,overshoot_units,"                          \
    "overshoot_charged-overshoot_refunded,0,0 FROM " events " WHERE overshoot_units<>0"
#define LEDGER_EXPLODED_SQL LEDGER_EXPLODED_OF("usage_events")

struct schema_object {
    const char *type;
    const char *name;
    const char *sql;
};

extern const struct schema_object LEDGER_SCHEMA[];
extern const unsigned LEDGER_SCHEMA_COUNT;
