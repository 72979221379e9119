/*
 * chains.h (private): the heads of all customers' chains while their rows pass by, and the checks
 * of one row against them: numbers without a gap, links, running sums, hashes; and of the table of
 * heads against the rows.
 *
 * Memory: one record a customer, and one an account whose balance is not zero.
 */
#pragma once

#include "proof/books.h"
#include "proof/map.h"
#include "proof/sha.h"

/* What the table `customers` says of a customer. */
struct stored_head {
    uint64_t number; /* of the customer; 0: it says nothing */
    uint64_t updates;
    int64_t after;
    uint64_t position;
    uint32_t place;
    bool is_met; /* the row was there, and was as it says */
    bool is_usage_met;
    struct ledger_hash hash;
    uint64_t usage;
    uint64_t founded;                /* position: usage events before it are a stranger's */
    uint64_t overages, overages_met; /* accounts: as many as it says, and as there are */
};

struct head {
    struct hash128 id; /* the engine's: hash of the name */
    uint64_t updates;
    int64_t after; /* settled */
    uint64_t position;
    uint32_t place;
    struct ledger_hash hash;
    uint64_t usage; /* position of the newest usage event */
    struct stored_head stored;
};

struct account {
    struct hash128 id; /* of customer, kind and name */
    struct sum after;  /* of overage alone beyond 64 bits */
};

/* An overage account: its row in the table `accounts`, and its newest row that passed. */
struct overage {
    struct hash128 id; /* as of struct account */
    uint64_t number;   /* of the customer; 0: the table says nothing */
    uint64_t symbol;
    uint64_t stored_position;
    uint64_t position;
    uint32_t stored_place;
    uint32_t place;
    struct sum stored_after;
    bool is_met;
};

struct chains {
    struct books *books;
    struct proof_verdict *verdict;
    struct hash_key key; /* the data directory's */
    struct sha sha;
    struct map heads;
    struct map accounts;
    struct map overages;
};

void chains_start(struct chains *chains, struct books *books, struct hash_key key);
void chains_end(struct chains *chains);

/* Reads the tables of heads and of overage accounts, before any row passes. */
MUST_USE bool chains_load_stored(struct chains *chains);
/* The next row of a dataset, in the order of its keys. */
MUST_USE bool chains_take_usage(struct chains *chains, const struct value *row);
MUST_USE bool chains_take_balance(struct chains *chains, const struct value *row);
/* All rows up to the cursor have passed: every stored head must have met its row. */
MUST_USE bool chains_check_stored(const struct chains *chains);

/* A row that settlement has yet to add: moves the balances, not the chain. */
MUST_USE bool chains_expect(struct chains *chains, const struct balance_row *row,
                            struct bytes customer);

struct head *chains_head(struct chains *chains, struct bytes customer);
/* What an account of a row has, and no overage; 0 where it has never been moved. */
int64_t chains_account(const struct chains *chains, const struct value *row);
