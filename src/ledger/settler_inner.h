/*
 * settler_inner.h: what the parts of the settler share. Private to src/ledger.
 *
 *   settler.c  opening, the step, what other threads see
 *   heads_check.c  a loaded head against its rows
 *   settle.c   one transaction: whole batches become rows, and the cursor moves
 *   upkeep.c   what can wait: loading heads and writing their checkpoint, the rollups, cutting
 * usage
 */
#pragma once

#include "ledger/heads.h"
#include "ledger/held.h"
#include "ledger/settler.h"

enum settler_statement {
    BEGIN_TRANSACTION,
    COMMIT_TRANSACTION,
    ROLLBACK_TRANSACTION,
    PUT_USAGE,
    PUT_MONETIZATION,
    PUT_BALANCE,
    PUT_REFUND,
    PUT_GRANT,
    PUT_POLICY,
    PUT_SYMBOL,
    PUT_CUSTOMER,
    PUT_SEAL,
    MOVE_CURSOR,
    SET_META,
    SWEEP_HEAD,
    SWEEP_ACCOUNT,
    ROW_OF_BALANCE,
    HASH_OF_BALANCE,
    CUSTOMER_OF_USAGE,
    NAME_OF_CUSTOMER,
    CATEGORY_OF_GRANT,
    LAST_SEAL,
    LOAD_SYMBOLS,
    LOAD_CUSTOMERS,
    LOAD_ACCOUNTS,
    LOAD_BALANCES,
    LOAD_USAGE,
    ROLL_END,
    ROLL_EVENTS,
    DAY_OVER,
    ADD_HOURS,
    MOVE_DAYS,
    END_DAY,
    CUT_NEXT,
    CUT_USAGE,
    SETTLER_STATEMENTS
};

enum settler_load { LOADING_CUSTOMERS, LOADING_ACCOUNTS, LOADING_BALANCES, LOADING_USAGE, LOADED };

enum dataset { DATASET_USAGE, DATASET_MONETIZATION, DATASET_BALANCE, DATASETS };

/* One offered batch: header and a copy of the body. */
struct settler_slot {
    struct batch_header header;
    uint32_t length;
    uint8_t *body; /* JOURNAL_BODY_BYTES_MAX */
};

/* A batch body of the settler's own, so that reading another batch does not take it away. */
struct settler_copy {
    uint64_t sequence; /* 0: none */
    size_t length;
    uint8_t *body; /* JOURNAL_BODY_BYTES_MAX */
};

struct settler {
    struct settler_parts parts;
    struct ledger *ledger;
    struct journal *reader;
    sqlite3_stmt *statements[SETTLER_STATEMENTS];

    /* What the ledger holds, as of its last commit; in a transaction, as of what is added so far.
     */
    uint64_t cursor;
    struct journal_hash cursor_hash;
    int64_t cursor_ms;
    struct ledger_hash sealed[DATASETS]; /* of the last seal */
    struct heads heads;
    struct bytes symbol_names[SYMBOLS_MAX + 1];
    uint32_t symbol_count;
    uint8_t *symbol_text; /* SYMBOLS_MAX * NAME_BYTES_MAX */

    /* The transaction under way. */
    int64_t began_ns;
    struct digest seals[DATASETS];
    uint64_t rows[DATASETS];
    uint64_t first_sequence;
    uint32_t entries;

    /* The entry under way. */
    struct command command;
    struct command decision;
    struct fact *fact;
    struct projection *projection;
    struct value values[VALUES_MAX];
    uint8_t name[CUSTOMER_BYTES_MAX];
    struct held held;
    struct settler_copy current;
    struct settler_copy recalled;

    /* Upkeep. */
    enum settler_load load;
    uint64_t load_position; /* rows up to there are loaded */
    uint32_t load_place;
    uint32_t load_number;
    uint32_t load_symbol;
    uint32_t hand;          /* the checkpoint goes on with this customer */
    uint64_t hand_position; /* settled when the hand was last at the first */
    uint64_t heads_position;
    uint64_t entries_unswept; /* settled behind heads_position */
    uint64_t entries_of_turn; /* settled behind hand_position */
    uint64_t rolled_through;
    uint64_t events_unrolled; /* usage events behind it, at most */
    int64_t rolled_ns;        /* when the last slice was rolled */
    int64_t days_through_ms;
    uint64_t days_rolled;   /* rolled_through when no day was found to be over */
    int64_t slice_ns;       /* when the last slice of hours or days ended */
    int64_t slice_took_ns;  /* and how long it took */
    uint64_t slices_behind; /* transactions there had been by then */
    uint64_t usage_cut;
    uint64_t cut_at; /* under load, not before so many transactions */
    struct settler_counts counts;

    /* Other threads. */
    struct settler_slot slots[SETTLER_SLOTS];
    uint32_t offered_items[SETTLER_SLOTS];
    uint32_t free_items[SETTLER_SLOTS];
    struct ring offered; /* slot numbers: journal's thread -> settler */
    struct ring free;    /* back */
    uint32_t waiting;    /* slot taken from the ring and not yet settled; SETTLER_SLOTS: none */
    struct settler_ask ask_items[SETTLER_ASKS_MAX];
    struct settler_answer answer_items[SETTLER_ASKS_MAX];
    struct ring asks;
    struct ring answers;
    uint32_t asked; /* the asking thread's: asks whose answers were not taken */
    _Atomic uint64_t durable;
    _Atomic uint64_t cursor_shown;
    _Atomic uint64_t entries_shown;
    _Atomic int64_t cursor_ms_shown;
    _Atomic uint64_t heads_bytes_shown;
    _Atomic uint64_t holds_bytes_shown;
    _Atomic int64_t until_ns; /* INT64_MAX: not winding down */
    _Atomic int fault;

    void *block;
    uint64_t block_bytes;
};

/* Ends the settler's life: the ledger's detail becomes what is shown. Gives false. */
bool settler_fail(struct settler *settler, enum ledger_fault fault);

/* --- statements --- */
MUST_USE bool settler_put(struct settler *settler, enum settler_statement which,
                          const struct value *values, uint32_t count);
MUST_USE bool settler_set_meta(struct settler *settler, const char *name, int64_t value);
/* A transaction: false after a fault, with everything taken back. */
MUST_USE bool settler_begin(struct settler *settler);
MUST_USE bool settler_commit(struct settler *settler);

/* --- settle.c --- */
bool settle_batches(struct settler *settler); /* false: nothing durable that is not settled */

/* --- heads_check.c --- */
/* Before a loaded head is gone on from, once: it must be what the rows say that it names. */
MUST_USE bool settler_check_head(struct settler *settler, uint32_t number);

/* --- upkeep.c --- */
bool upkeep_load(struct settler *settler); /* false: all is loaded */
MUST_USE bool upkeep_sweep(struct settler *settler, uint32_t customers_max);
bool upkeep_sweep_idle(struct settler *settler);
bool upkeep_roll(struct settler *settler);
bool upkeep_days(struct settler *settler);
bool upkeep_cut(struct settler *settler);
bool upkeep_cut_under_load(struct settler *settler); /* between two transactions, at most once */

/* The last position that batch `sequence` can have. */
static inline uint64_t position_end(uint64_t sequence)
{
    return position_make(sequence, POSITION_INDEX_MAX);
}
