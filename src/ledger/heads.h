/*
 * heads.h: the end of every customer's chain, in memory. Private to src/ledger.
 *
 * A balance is the `after` of its newest row. Finding that row in the tables would be a search for
 * each row added, and updating a table of balances in place a random write for each; so heads live
 * here, and the table of them is a checkpoint that a hand going round writes page by page:
 * everything up to meta.heads_position is in it, and the rest is rebuilt at the start by a scan of
 * the rows behind that position.
 */
#pragma once

#include "ledger/store.h"

struct head {
    struct hash128 id;
    uint64_t founded; /* position: usage events before it were a stranger's */
    int64_t after;    /* settled */
    uint64_t updates;
    uint64_t last_position;
    uint64_t last_usage;
    struct ledger_hash last_hash;
    uint32_t last_place;
    uint32_t accounts; /* chain of overage accounts */
    uint32_t overages; /* how many there are, says the checkpoint that was loaded */
    bool is_dirty;     /* the checkpoint is older */
    bool is_checked;   /* by the rows that it stands for (heads_check.c) */
};

struct overage_account {
    uint32_t next;
    uint32_t symbol;
    uint32_t last_place;
    bool is_dirty;
    struct sum after;
    uint64_t last_position; /* of the row that says so */
};

struct heads {
    void *block;
    uint64_t block_bytes;
    struct slab heads; /* numbered as in the table customers, from 1 */
    struct slab accounts;
    struct index by_id;
};

MUST_USE bool heads_start(struct heads *heads,
                          uint32_t customers_max); /* false: no address space */
void heads_end(struct heads *heads);
/* Of memory: records that were ever used, and the index of them. */
uint64_t heads_bytes(const struct heads *heads);

uint32_t heads_find(const struct heads *heads, struct hash128 id); /* 0: there is none */
uint32_t heads_add(struct heads *heads, struct hash128 id);        /* 0: no room */
static inline struct head *heads_at(const struct heads *heads, uint32_t number)
{
    return slab_at(&heads->heads, number);
}

/* How many overage accounts a customer has. */
uint32_t heads_accounts(const struct heads *heads, uint32_t number);
/* The overage account of that name; NULL: no room for a new one. */
struct overage_account *heads_account(struct heads *heads, uint32_t number, uint32_t symbol);

/* Moves the head by a row, and completes the row's link to the one before, all but its hash. */
MUST_USE bool heads_chain(struct heads *heads, uint32_t number, struct balance_row *row);
