/*
 * rows.h: what the three datasets and their companions hold, as values of C and as columns of SQL.
 *
 * A table's columns are written down once, below: its CREATE, its INSERT, its SELECT, the values
 * bound and the bytes hashed all follow from that list and cannot drift apart.
 *
 * Units: times are milliseconds since 1970 UTC, money is nano-credits, ids are journal positions.
 * What is unsigned with 64 bits (price versions, denominators, remainders) is stored as the signed
 * integer of the same bits.
 *
 * Hashes are SHA-256. The bytes of a row that are hashed are its columns in order, each a tag byte
 * and its value: 0 nothing | 1 integer, 8 bytes, least significant first | 2 text or 3 blob, 4
 * bytes of length, then the bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"

#define LEDGER_HASH_BYTES 32u
struct ledger_hash {
    uint8_t byte[LEDGER_HASH_BYTES];
};

enum usage_kind {
    USAGE_CONSUME,
    USAGE_COMMIT,
    USAGE_RELEASE,
    USAGE_EXPIRY,
    USAGE_REPORTED, /* "usage": after the fact */
    USAGE_DENIAL
};
const char *usage_kind_text(enum usage_kind kind);

/* One end of a decision (SEMANTICS B1). Texts are views; `at` NULL is SQL's NULL where a column may
 * be that, else the empty text. */
struct usage_row {
    uint64_t position; /* of the entry that made it */
    uint64_t decision; /* the authorizing decision: itself for consume, usage, and most denials */
    int64_t at_ms;     /* the entry's stamp: of all rows in the order of their positions */
    bool has_event_ms;
    int64_t
        event_ms; /* when it happened, as the caller says (A7); an expiry: when the hold ended */
    struct bytes customer;
    struct bytes subject;
    struct bytes feature;
    struct bytes endpoint, model, origin; /* of the attributes; NULL: not said */
    struct bytes attributes;              /* JSON object: all of them */
    enum usage_kind kind;
    enum outcome outcome; /* of the decision; a release, an expiry: OUTCOME_ALLOW */
    enum reason reason;
    struct bytes refused_by; /* a denial: the gate or source that refused; NULL */
    bool has_status;
    enum job_status status; /* consume, usage, commit */
    bool late;
    uint64_t count;    /* 1; of a crowd of equal denials: how many */
    struct bytes unit; /* a meter, or "cost"; NULL: release, expiry */
    uint64_t units_requested;
    uint64_t units_allowed;
    struct bytes asked;   /* JSON object: the quantities of the authorizing decision, as given */
    struct bytes actual;  /* JSON object: those used, as given; {} where nothing was */
    struct bytes sources; /* JSON array: {"source","kind","grant_id"?,"units","charged"} */
    int64_t charged;      /* by the sources; the overshoot is apart (H3) */
    uint64_t overshoot_units;
    int64_t overshoot_charged;
    int64_t overshoot_refunded;
    bool has_duration;
    uint64_t duration_ms;
    struct bytes compute; /* NULL: not said */
    uint64_t previous;    /* position of the customer's usage event before; 0: none */
};

/* What settled usage costs. */
struct monetization_row {
    uint64_t position; /* the usage event's */
    uint64_t decision;
    struct bytes customer;
    struct bytes feature;
    struct bytes price;     /* "list/rule"; NULL: the feature has no prices */
    uint64_t price_version; /* 0 likewise */
    uint64_t q;
    uint64_t units;    /* funded by credits */
    struct bytes cost; /* numerator over q, decimal: 128 bits */
    uint64_t remainder_before;
    uint64_t remainder_after;
    int64_t charged;
    uint64_t overshoot_units;
    int64_t overshoot_charged;
    int64_t overshoot_refunded;
    enum overshoot_kind overshoot_booked; /* 0: there was none */
};

enum balance_account { ACCOUNT_GRANT, ACCOUNT_DEBT, ACCOUNT_OVERAGE, ACCOUNT_OVERSHOOT };
enum balance_cause {
    CAUSE_PURCHASE, /* a paid grant enters */
    CAUSE_GRANT,    /* any other grant that was given enters */
    CAUSE_RENEWAL,  /* a recurring grant enters */
    CAUSE_CHARGE,
    CAUSE_EXPIRY,
    CAUSE_VOID,
    CAUSE_REFUND,
    CAUSE_REPAYMENT, /* of debt by a paid grant: a row of each */
    CAUSE_ROLLOVER,  /* into the next lot of a recurring grant, whose entry has it in its amount */
    CAUSE_DEBT,      /* an overshoot booked as debt */
    CAUSE_OVERSHOOT_REFUND,
    CAUSE_OVERSHOOT_CHARGE
};
const char *balance_account_text(enum balance_account account);
const char *balance_cause_text(enum balance_cause cause);

/* How one account moved. number .. hash are the customer's chain: filled in behind the projection,
 * from his head. */
struct balance_row {
    uint64_t position;
    uint32_t place; /* among the rows of one position, from 0 */
    int64_t at_ms;
    struct bytes customer;
    uint64_t number; /* 1, 2, 3 ... of the customer, without a gap */
    enum balance_account account;
    uint64_t grant_id; /* ACCOUNT_GRANT, else 0: NULL */
    struct bytes name; /* a grant's category, an overage's name; NULL: debt, overshoot */
    enum balance_cause cause;
    uint64_t decision;          /* 0, NULL: no decision moved it */
    int64_t delta;              /* never 0 */
    int64_t account_after;      /* ACCOUNT_OVERAGE: filled in from its head */
    int64_t account_after_e18;  /* so many times 10^18 above it: overage alone is not bounded */
    int64_t customer_after;     /* settled: grants and debt; overage does not move it */
    uint64_t previous_position; /* 0: this is the first */
    uint32_t previous_place;
    struct ledger_hash hash; /* of the previous row's hash and this row's other columns */
    uint32_t overage;        /* symbol of the name; 0: another account */
};

struct refund_row {
    uint64_t decision;
    uint64_t position;
    int64_t at_ms;
    struct bytes customer;
    int64_t credits;
    int64_t expired;     /* of that, gone at once with an expired or voided grant */
    struct bytes reason; /* NULL: none was given */
    struct bytes actor;  /* who did it (command.h); NULL: a server without keys */
};

struct grant_row {
    uint64_t id; /* the position of the entry that made it */
    int64_t at_ms;
    struct bytes customer;
    enum category category;
    int32_t priority;
    int64_t credits;
    int64_t effective_ms;
    int64_t expires_ms;     /* INSTANT_NEVER: NULL */
    struct bytes recurring; /* the rule that gives it; NULL: given by hand */
    struct bytes features;  /* JSON array; empty: any */
    struct bytes reason;    /* NULL */
    struct bytes actor;     /* NULL: nobody, or a server without keys */
};

struct policy_row {
    uint64_t position;
    uint64_t version;
    int64_t installed_ms;
    struct bytes yaml;
    struct bytes actor; /* NULL: --policy, or a server without keys */
};

/* One column of one row. */
enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT, VALUE_BLOB };
struct value {
    enum value_kind kind;
    int64_t integer;
    struct bytes bytes;
};

static inline struct value value_of_unsigned(uint64_t number)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = (int64_t)number};
}

static inline struct value value_of_signed(int64_t number)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = number};
}

static inline struct value value_if(bool is_said, uint64_t number)
{
    return is_said ? value_of_unsigned(number) : (struct value){.kind = VALUE_NULL};
}

static inline struct value value_of_text(struct bytes text)
{
    return (struct value){.kind = VALUE_TEXT, .bytes = text.at == NULL ? BYTES("") : text};
}

static inline struct value value_of_optional(struct bytes text)
{
    return text.at == NULL ? (struct value){.kind = VALUE_NULL} : value_of_text(text);
}

static inline struct value value_of_word(const char *word)
{
    return value_of_optional(word == NULL ? BYTES_NONE : bytes_of_text(word));
}

static inline struct value value_of_hash(const struct ledger_hash *hash)
{
    return (struct value){
        .kind = VALUE_BLOB, .bytes = {hash->byte, LEDGER_HASH_BYTES}
    };
}

const char *overshoot_kind_text(enum overshoot_kind kind); /* NULL: there was none */

/* The tables: X(column, declaration, the value of `row`). The first column is apart because the
 * others follow it behind commas. */
#define USAGE_FIRST(X) X(position, "INTEGER PRIMARY KEY", value_of_unsigned(row->position))
#define USAGE_REST(X)                                                                    \
    X(decision, "INTEGER NOT NULL", value_of_unsigned(row->decision))                    \
    X(at_ms, "INTEGER NOT NULL", value_of_signed(row->at_ms))                            \
    X(event_ms, "INTEGER", value_if(row->has_event_ms, (uint64_t)row->event_ms))         \
    X(customer, "TEXT NOT NULL", value_of_text(row->customer))                           \
    X(subject, "TEXT NOT NULL", value_of_text(row->subject))                             \
    X(feature, "TEXT NOT NULL", value_of_text(row->feature))                             \
    X(endpoint, "TEXT", value_of_optional(row->endpoint))                                \
    X(model, "TEXT", value_of_optional(row->model))                                      \
    X(origin, "TEXT", value_of_optional(row->origin))                                    \
    X(attributes, "TEXT NOT NULL", value_of_text(row->attributes))                       \
    X(kind, "TEXT NOT NULL", value_of_word(usage_kind_text(row->kind)))                  \
    X(outcome, "TEXT NOT NULL", value_of_word(words_outcome(row->outcome)))              \
    X(reason, "TEXT NOT NULL", value_of_word(reason_code(row->reason)))                  \
    X(refused_by, "TEXT", value_of_optional(row->refused_by))                            \
    X(status, "TEXT", value_of_word(row->has_status ? words_status(row->status) : NULL)) \
    X(late, "INTEGER NOT NULL", value_of_unsigned(row->late ? 1 : 0))                    \
    X(count, "INTEGER NOT NULL", value_of_unsigned(row->count))                          \
    X(unit, "TEXT", value_of_optional(row->unit))                                        \
    X(units_requested, "INTEGER NOT NULL", value_of_unsigned(row->units_requested))      \
    X(units_allowed, "INTEGER NOT NULL", value_of_unsigned(row->units_allowed))          \
    X(asked, "TEXT NOT NULL", value_of_text(row->asked))                                 \
    X(actual, "TEXT NOT NULL", value_of_text(row->actual))                               \
    X(sources, "TEXT NOT NULL", value_of_text(row->sources))                             \
    X(charged, "INTEGER NOT NULL", value_of_signed(row->charged))                        \
    X(overshoot_units, "INTEGER NOT NULL", value_of_unsigned(row->overshoot_units))      \
    X(overshoot_charged, "INTEGER NOT NULL", value_of_signed(row->overshoot_charged))    \
    X(overshoot_refunded, "INTEGER NOT NULL", value_of_signed(row->overshoot_refunded))  \
    X(duration_ms, "INTEGER", value_if(row->has_duration, row->duration_ms))             \
    X(compute, "TEXT", value_of_optional(row->compute))                                  \
    X(previous, "INTEGER NOT NULL", value_of_unsigned(row->previous))
#define USAGE_END ""

#define MONETIZATION_FIRST(X) X(position, "INTEGER PRIMARY KEY", value_of_unsigned(row->position))
#define MONETIZATION_REST(X)                                                            \
    X(decision, "INTEGER NOT NULL", value_of_unsigned(row->decision))                   \
    X(customer, "TEXT NOT NULL", value_of_text(row->customer))                          \
    X(feature, "TEXT NOT NULL", value_of_text(row->feature))                            \
    X(price, "TEXT", value_of_optional(row->price))                                     \
    X(price_version, "INTEGER NOT NULL", value_of_unsigned(row->price_version))         \
    X(q, "INTEGER NOT NULL", value_of_unsigned(row->q))                                 \
    X(units, "INTEGER NOT NULL", value_of_unsigned(row->units))                         \
    X(cost, "TEXT NOT NULL", value_of_text(row->cost))                                  \
    X(remainder_before, "INTEGER NOT NULL", value_of_unsigned(row->remainder_before))   \
    X(remainder_after, "INTEGER NOT NULL", value_of_unsigned(row->remainder_after))     \
    X(charged, "INTEGER NOT NULL", value_of_signed(row->charged))                       \
    X(overshoot_units, "INTEGER NOT NULL", value_of_unsigned(row->overshoot_units))     \
    X(overshoot_charged, "INTEGER NOT NULL", value_of_signed(row->overshoot_charged))   \
    X(overshoot_refunded, "INTEGER NOT NULL", value_of_signed(row->overshoot_refunded)) \
    X(overshoot_booked, "TEXT", value_of_word(overshoot_kind_text(row->overshoot_booked)))
#define MONETIZATION_END ""

#define BALANCE_FIRST(X) X(position, "INTEGER NOT NULL", value_of_unsigned(row->position))
#define BALANCE_REST(X)                                                                 \
    X(place, "INTEGER NOT NULL", value_of_unsigned(row->place))                         \
    X(at_ms, "INTEGER NOT NULL", value_of_signed(row->at_ms))                           \
    X(customer, "TEXT NOT NULL", value_of_text(row->customer))                          \
    X(number, "INTEGER NOT NULL", value_of_unsigned(row->number))                       \
    X(account, "TEXT NOT NULL", value_of_word(balance_account_text(row->account)))      \
    X(grant_id, "INTEGER", value_if(row->grant_id != 0, row->grant_id))                 \
    X(name, "TEXT", value_of_optional(row->name))                                       \
    X(cause, "TEXT NOT NULL", value_of_word(balance_cause_text(row->cause)))            \
    X(decision, "INTEGER", value_if(row->decision != 0, row->decision))                 \
    X(delta, "INTEGER NOT NULL", value_of_signed(row->delta))                           \
    X(account_after, "INTEGER NOT NULL", value_of_signed(row->account_after))           \
    X(account_after_e18, "INTEGER NOT NULL", value_of_signed(row->account_after_e18))   \
    X(customer_after, "INTEGER NOT NULL", value_of_signed(row->customer_after))         \
    X(previous_position, "INTEGER NOT NULL", value_of_unsigned(row->previous_position)) \
    X(previous_place, "INTEGER NOT NULL", value_of_unsigned(row->previous_place))       \
    X(hash, "BLOB NOT NULL", value_of_hash(&row->hash))
#define BALANCE_END ",PRIMARY KEY(position,place)"

#define REFUND_FIRST(X) X(decision, "INTEGER NOT NULL", value_of_unsigned(row->decision))
#define REFUND_REST(X)                                                \
    X(position, "INTEGER NOT NULL", value_of_unsigned(row->position)) \
    X(at_ms, "INTEGER NOT NULL", value_of_signed(row->at_ms))         \
    X(customer, "TEXT NOT NULL", value_of_text(row->customer))        \
    X(credits, "INTEGER NOT NULL", value_of_signed(row->credits))     \
    X(expired, "INTEGER NOT NULL", value_of_signed(row->expired))     \
    X(reason, "TEXT", value_of_optional(row->reason))                 \
    X(actor, "TEXT", value_of_optional(row->actor))
#define REFUND_END ",PRIMARY KEY(decision,position)"

#define GRANT_FIRST(X) X(id, "INTEGER PRIMARY KEY", value_of_unsigned(row->id))
#define GRANT_REST(X)                                                          \
    X(at_ms, "INTEGER NOT NULL", value_of_signed(row->at_ms))                  \
    X(customer, "TEXT NOT NULL", value_of_text(row->customer))                 \
    X(category, "TEXT NOT NULL", value_of_word(words_category(row->category))) \
    X(priority, "INTEGER NOT NULL", value_of_signed(row->priority))            \
    X(credits, "INTEGER NOT NULL", value_of_signed(row->credits))              \
    X(effective_ms, "INTEGER NOT NULL", value_of_signed(row->effective_ms))    \
    X(expires_ms, "INTEGER",                                                   \
      value_if(row->expires_ms != INSTANT_NEVER, (uint64_t)row->expires_ms))   \
    X(recurring, "TEXT", value_of_optional(row->recurring))                    \
    X(features, "TEXT NOT NULL", value_of_text(row->features))                 \
    X(reason, "TEXT", value_of_optional(row->reason))                          \
    X(actor, "TEXT", value_of_optional(row->actor))
#define GRANT_END ""

#define POLICY_FIRST(X) X(position, "INTEGER PRIMARY KEY", value_of_unsigned(row->position))
#define POLICY_REST(X)                                                      \
    X(version, "INTEGER NOT NULL", value_of_unsigned(row->version))         \
    X(installed_ms, "INTEGER NOT NULL", value_of_signed(row->installed_ms)) \
    X(yaml, "TEXT NOT NULL", value_of_text(row->yaml))                      \
    X(actor, "TEXT", value_of_optional(row->actor))
#define POLICY_END ""

#define LEDGER_COUNT_COLUMN_(name, declaration, value) 0,
#define LEDGER_COLUMNS(TABLE) \
    sizeof((char[]){TABLE##_FIRST(LEDGER_COUNT_COLUMN_) TABLE##_REST(LEDGER_COUNT_COLUMN_)})
enum {
    USAGE_COLUMNS = LEDGER_COLUMNS(USAGE),
    MONETIZATION_COLUMNS = LEDGER_COLUMNS(MONETIZATION),
    BALANCE_COLUMNS = LEDGER_COLUMNS(BALANCE),
    REFUND_COLUMNS = LEDGER_COLUMNS(REFUND),
    GRANT_COLUMNS = LEDGER_COLUMNS(GRANT),
    POLICY_COLUMNS = LEDGER_COLUMNS(POLICY),
    VALUES_MAX = USAGE_COLUMNS /* of any row */
};

void usage_values(const struct usage_row *row, struct value values_out[USAGE_COLUMNS]);
void monetization_values(const struct monetization_row *row,
                         struct value values_out[MONETIZATION_COLUMNS]);
/* The last is the row's hash. */
void balance_values(const struct balance_row *row, struct value values_out[BALANCE_COLUMNS]);
void refund_values(const struct refund_row *row, struct value values_out[REFUND_COLUMNS]);
void grant_values(const struct grant_row *row, struct value values_out[GRANT_COLUMNS]);
void policy_values(const struct policy_row *row, struct value values_out[POLICY_COLUMNS]);

/* The bytes of these columns that are hashed, appended. */
void values_encode(const struct value *values, uint32_t count, struct buffer *buffer);
bool values_equal(const struct value *left, const struct value *right, uint32_t count);
