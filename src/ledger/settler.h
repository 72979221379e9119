/*
 * settler.h: settlement. Tails the journal and writes ledger.db, on a thread of its own.
 *
 * EXACTLY ONCE, by two guards that do not know of each other. The cursor (sequence and hash of the
 * last settled batch) moves in the transaction that adds the rows, from the very predecessor of the
 * first batch in it to the last: a transaction that would settle a batch again, or pass one over,
 * moves no cursor and is taken back. And every row's key is the position of its entry: a row that
 * is there already cannot be added again. Rows and cursor are one commit, so no crash of ours
 * leaves rows behind the cursor; whoever meets one has met damage or a second writer. So nothing is
 * ever skipped as "identical": it is a fault, it names the position, and the settler stops.
 *
 * A step is bounded (about 50 ms) and never waits for a peer: one transaction over whole batches,
 * or a slice of what can wait (half a second where the sums are half a million events behind).
 * After a fault every step does nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "journal/journal.h"
#include "ledger/ledger.h"
#include "platform/platform.h"

#define SETTLER_SLOTS 16u            /* batches that wait in memory; beyond, journal.db is read */
#define SETTLER_ASKS_MAX 256u        /* heads asked for and not taken; a power of two */
#define SETTLER_BATCHES_MAX 16u      /* of one transaction, by default */
#define SETTLER_ENTRIES_TARGET 4096u /* a transaction takes no further batch beyond */
#define SETTLER_ROLL_EVENTS 1024u
#define SETTLER_HOLDS_BYTES (UINT64_C(64) << 20)

struct settler;

struct settler_parts {
    struct ledger *ledger;   /* the writer; the settler's alone from now on, but not its to close */
    struct journal *reader;  /* of the same directory; likewise */
    uint64_t durable;        /* sequence of the newest batch that is durable */
    uint32_t customers_max;  /* the engine's ceiling */
    uint32_t batches_max;    /* of one transaction; 0: SETTLER_BATCHES_MAX */
    uint64_t holds_bytes;    /* for the commands of open holds; 0: SETTLER_HOLDS_BYTES */
    uint32_t roll_events;    /* of one slice of the rollup; 0: SETTLER_ROLL_EVENTS */
    int64_t usage_for_ms;    /* usage events of older seals are cut; 0: they are kept */
    struct wake *loop_wake;  /* signalled behind answers; NULL: nobody sleeps */
    int64_t (*now_ns)(void); /* monotonic: paces what can wait; nothing that is written has it */
    /* Behind each transaction: what it took, and the commit alone. NULL: nobody asks. */
    void (*on_commit)(void *self, int64_t took_ns, int64_t commit_ns);
    void *self;
};

/* Checks that cursor and journal are of one history, and reserves memory. Heads are loaded by the
 * first steps. */
MUST_USE enum ledger_fault settler_open(const struct settler_parts *parts,
                                        struct settler **settler_out,
                                        struct ledger_detail *detail_out);
void settler_close(struct settler *settler);

/* The journal's thread, behind APPEND_COMMITTED, in order: copies the batch; dropped when all slots
 * are taken, for the settler reads it from journal.db then. settler_set_durable comes after. */
void settler_offer(struct settler *settler, const struct batch_header *header, struct bytes body);
void settler_set_durable(struct settler *settler, uint64_t sequence); /* any one thread */

/* One bounded piece of work; false: nothing to do. For a runner. */
bool settle_step(void *settler);
/* From now on steps only settle, and no longer than until then (by parts.now_ns). Any thread. */
void settler_wind_down(struct settler *settler, int64_t until_ns);

/* Any thread. */
uint64_t settler_cursor(const struct settler *settler);   /* last settled batch, durable */
uint64_t settler_entries(const struct settler *settler);  /* settled since settler_open */
int64_t settler_cursor_ms(const struct settler *settler); /* its last stamp; 0: none yet */
enum ledger_fault settler_fault(const struct settler *settler);
const char *settler_detail(const struct settler *settler); /* after a fault */

/* Memory, as of the last transaction. */
struct settler_memory {
    uint64_t heads_bytes; /* grow with customers */
    uint64_t holds_bytes; /* commands of recent authorizations: up to their ceiling, once */
};
struct settler_memory settler_memory(const struct settler *settler);

/* Heads: what the ledger says of a customer, as of its cursor, durable. One thread asks and takes
 * (the loop). */
struct settler_ask {
    uint64_t token; /* comes back */
    struct hash128 customer;
};
struct settler_answer {
    uint64_t token;
    uint64_t cursor;
    bool is_known; /* else zeroes: nobody of that name was settled yet */
    int64_t settled;
    uint64_t updates;       /* number of the newest balance update */
    uint64_t last_position; /* its key */
    uint32_t last_place;
    uint64_t last_usage; /* position of the newest usage event */
};
MUST_USE bool settler_ask_head(struct settler *settler, const struct settler_ask *ask);
MUST_USE bool settler_take_answer(struct settler *settler, struct settler_answer *answer_out);

struct settler_counts {
    uint64_t transactions;
    uint64_t batches_offered; /* settled from memory */
    uint64_t batches_read;    /* settled from journal.db */
    uint64_t holds_recalled;  /* authorizing commands read from journal.db */
    uint64_t customers;
};
struct settler_counts settler_counts(const struct settler *settler); /* the settler's thread */
