/*
 * read.h: reading the books: ledger.db through one connection that never writes, on one thread.
 *
 * Every call is one transaction over a bounded number of rows, because a reader that stays pins the
 * write-ahead log. What is long is read in several calls, each going on by position. That fits
 * together without holding a snapshot: rows of the datasets are only ever added, at the end.
 *
 * A customer's rows are a chain, newest first: each names the one before it. So nothing needs an
 * index by customer, and a page costs its own rows whatever the ledger's size.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "ledger/rows.h"

struct ledger_reader;

/* Over a connection of ledger_open_reader, which is its own from then on. NULL: the connection
 * cannot read the books, and says why. */
struct ledger;
MUST_USE struct ledger_reader *ledger_reader_over(struct ledger *ledger);
void ledger_reader_close(struct ledger_reader *reader);
/* Of the last call that failed, for people. */
const char *ledger_reader_detail(const struct ledger_reader *reader);

enum ledger_read {
    LEDGER_END,   /* there is no more */
    LEDGER_MORE,  /* the bound is reached: call again to go on */
    LEDGER_FULL,  /* the taker has not taken the last row: it comes first at the next call */
    LEDGER_FAILED /* the file cannot be read, or is not what it says */
};

/* Takes one row as its columns; views live during the call. False: it did not fit. */
typedef bool ledger_taker(void *self, const struct value *values);

/* Places of columns among the values of a row. */
#define LEDGER_PLACE_(TABLE, name) TABLE##_AT_##name,
#define USAGE_PLACE_(name, declaration, value) LEDGER_PLACE_(USAGE, name)
#define MONETIZATION_PLACE_(name, declaration, value) LEDGER_PLACE_(MONETIZATION, name)
#define BALANCE_PLACE_(name, declaration, value) LEDGER_PLACE_(BALANCE, name)
#define REFUND_PLACE_(name, declaration, value) LEDGER_PLACE_(REFUND, name)
enum usage_place { USAGE_FIRST(USAGE_PLACE_) USAGE_REST(USAGE_PLACE_) };
enum monetization_place {
    MONETIZATION_FIRST(MONETIZATION_PLACE_) MONETIZATION_REST(MONETIZATION_PLACE_)
};
enum balance_place { BALANCE_FIRST(BALANCE_PLACE_) BALANCE_REST(BALANCE_PLACE_) };
enum refund_place { REFUND_FIRST(REFUND_PLACE_) REFUND_REST(REFUND_PLACE_) };

/* How far the books are. */
struct ledger_state {
    uint64_t cursor;         /* the last journal batch that is settled */
    int64_t cursor_ms;       /* its last stamp */
    uint64_t rolled_through; /* usage events up to this position are in the rollup */
    int64_t days_through_ms; /* days before it are whole in usage_days, for ever */
    uint64_t usage_cut;      /* usage events of batches up to this one are gone; 0: none are */
};
MUST_USE bool ledger_read_state(struct ledger_reader *reader, struct ledger_state *state_out);

/* Where a customer's chains begin: the newest row of each. 0: there is none. */
struct ledger_chain {
    uint64_t position; /* of balance updates */
    uint32_t place;
    uint64_t usage; /* of usage events */
};

/* A customer's balance updates, newest first. */
struct ledger_walk {
    struct bytes customer; /* each row must say it: else the chain is broken */
    uint64_t position;     /* of the next row; 0: the end */
    uint32_t place;
};
enum ledger_read ledger_read_updates(struct ledger_reader *reader, struct ledger_walk *walk,
                                     uint32_t rows_max, ledger_taker *take, void *self);
/* Puts the walk behind the customer's row at (position, place); false: he has no such row. */
MUST_USE bool ledger_walk_behind(struct ledger_reader *reader, struct ledger_walk *walk,
                                 uint64_t position, uint32_t place);

/* A customer's usage events, newest first; those asked for are taken. */
struct ledger_events {
    struct bytes customer;
    struct bytes subject, feature, outcome; /* at == NULL: any */
    int64_t from_ms, to_ms;                 /* from <= at_ms < to */
    uint64_t position;                      /* of the next row; 0: the end */
};
enum ledger_read ledger_read_events(struct ledger_reader *reader, struct ledger_events *events,
                                    uint32_t rows_max, ledger_taker *take, void *self);
MUST_USE bool ledger_events_behind(struct ledger_reader *reader, struct ledger_events *events,
                                   uint64_t position);

/* What a row's `sources` hold, line by line. False: they are no such list. */
struct ledger_source {
    struct bytes name;
    struct bytes kind;
    uint64_t grant_id; /* 0: no grant */
    uint64_t units;
    int64_t charged;
};
typedef void ledger_source_taker(void *self, const struct ledger_source *source);
MUST_USE bool ledger_read_sources(struct ledger_reader *reader, struct bytes sources,
                                  ledger_source_taker *take, void *self);

/* Everything the books have about one decision, each in the order of the journal. */
struct ledger_decision_takers {
    ledger_taker *usage;
    ledger_taker *monetization;
    ledger_taker *balance;
    ledger_taker *refund;
    void *self;
};
enum ledger_read ledger_read_decision(struct ledger_reader *reader, uint64_t decision,
                                      const struct ledger_decision_takers *takers);

/* How a decision ended, as far as it is settled. */
struct ledger_ending {
    uint64_t cursor;           /* as of which this is true */
    enum hold_state state;     /* HOLD_NONE: no end is settled (open, a denial, unknown) */
    bool late;                 /* committed after it had expired */
    uint64_t settled_position; /* of the entry that ended it last; 0: none */
    int64_t refunded;          /* so far, nano-credits */
};
MUST_USE bool ledger_read_ending(struct ledger_reader *reader, uint64_t decision,
                                 struct ledger_ending *ending_out);

/* Whose a decision was that was charged or ended behind its entry, or a grant. */
struct ledger_owner {
    uint8_t name[CUSTOMER_BYTES_MAX];
    size_t name_length;     /* 0: the books have no such decision or grant */
    enum category category; /* of a grant; 0: a decision */
};
MUST_USE bool ledger_read_owner(struct ledger_reader *reader, uint64_t id,
                                struct ledger_owner *owner_out);
