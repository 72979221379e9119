/*
 * books.h: the books in a test's hands. A world (tests/engine) makes facts with the real engine;
 * its entries go into a journal in memory; a settler writes them into a real ledger.db. What the
 * ledger holds comes back as text, to be compared whole.
 */
#pragma once

#include "ledger/ledger.h"
#include "ledger/settler.h"
#include "platform/testing.h"

#include "../engine/world.h"

struct books {
    struct scratch scratch;
    struct journal *journal; /* writer and reader: one thread */
    struct ledger *ledger;
    struct settler *settler;
    uint64_t appended;          /* entries of the world that are in the journal */
    struct settler_parts parts; /* what a settler is opened with: tests change it */
};

struct books *books_open(void);
void books_close(struct books *books);

/* Batches made of the world's entries that are not in the journal yet, the last one as full as it
 * is; offered to the settler too if `offers`. A batch that was not full stays as it is: to be
 * called once, or with full batches. */
void books_append(struct books *books, const struct world *world, bool offers);

void books_start_settler(struct books *books);
void books_stop_settler(struct books *books); /* as a kill would: nothing more is written */
void books_settle(struct books *books);       /* steps until there is nothing to do */
/* Until something was committed; false: nothing to do. */
bool books_settle_once(struct books *books);

/* Rows of a query, one a line, columns by '|', NULL as '~', hashes in hex. The caller frees. */
char *books_query(struct books *books, const char *sql);
/* All that is the same however often the settler was stopped: the datasets and their companions,
 * names and the cursor; with the seals, if the transactions were cut alike. */
char *books_dump(struct books *books, bool with_seals);

/* Chains, links, running sums and seals, checked by reading ledger.db alone. */
void books_check(struct books *books);
