/*
 * ledger.h: the door of src/ledger: ledger.db, the books that anyone may read.
 *
 * Settlement (settler.h) tails the journal and appends to three datasets, in journal order, each
 * row keyed by the position of the entry that caused it:
 *
 *   usage_events         what was used, allowed or not, charged or not
 *   monetization_events  what it costs, exactly, with the remainder before and after
 *   balance_updates      how an account moved and why, with what it has after
 *
 * Their columns are in rows.h. A balance is the `account_after` of its newest row and moves no
 * other way. Around them:
 *
 *   grants, refunds      what was granted; what decisions got back
 *   policies, symbols    every policy's text; the names that facts number
 *   customers            a number, a name and the head of the chain of each: a checkpoint
 *   accounts             running sums of overage: a checkpoint
 *   seals                one a transaction: a hash over all its rows and the seal before
 *   usage_rollup         sums by hour, made by SQL from usage_events
 *   usage_days           the same by day, made from usage_rollup once the day is over
 *   usage_days_at        the row of usage_rollup that was added to them last
 *   meta                 cursor_sequence, cursor_hash: the last journal batch that is settled;
 *                        cursor_ms: its last stamp; genesis_hash: of the journal;
 *                        heads_position: checkpoints hold everything up to there;
 *                        rolled_through: position up to which usage_rollup holds all;
 *                        days_through_ms: days before it are whole in usage_days;
 *                        usage_cut: the sequence (of a seal) through which usage_events were cut
 *
 * ONE CONNECTION WRITES AND CHECKPOINTS: the settler's. Every other one is opened read-only, and
 * its transactions are short (100 ms): SQLite 3.40 can lose pages when two connections commit or
 * checkpoint one file (journal/sqlite.c), and a long read keeps the log from being folded in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "journal/journal.h"
#include "ledger/project.h"
#include "ledger/read.h"
#include "ledger/rows.h"
#include "ledger/show.h"
#include "ledger/usage.h"

#define LEDGER_VERSION 3u
#define LEDGER_DETAIL_SIZE 512

/* Everything the world can do to the books. */
#define LEDGER_FAULT_TABLE(X)                                                     \
    X(LEDGER_OK, "no fault")                                                      \
    X(LEDGER_CANNOT_OPEN, "the ledger cannot be opened")                          \
    X(LEDGER_MISSING, "there is no ledger")                                       \
    X(LEDGER_FOREIGN, "the file is not a Weir ledger")                            \
    X(LEDGER_OTHER_VERSION, "the ledger is of another version of Weir")           \
    X(LEDGER_OTHER_JOURNAL, "the ledger belongs to another journal")              \
    X(LEDGER_DAMAGED, "the ledger is damaged")                                    \
    X(LEDGER_SETTING_REFUSED, "the database did not accept a durability setting") \
    X(LEDGER_READ_FAILED, "the ledger cannot be read")                            \
    X(LEDGER_WRITE_FAILED, "the ledger cannot be written")                        \
    X(LEDGER_DISAGREES, "the ledger and the journal disagree")                    \
    X(LEDGER_JOURNAL_FAILED, "the journal cannot be read for settlement")         \
    X(LEDGER_NO_ROOM, "the books have more customers than there is memory for")
enum ledger_fault {
#define X(name, text) name,
    LEDGER_FAULT_TABLE(X)
#undef X
};
const char *ledger_fault_text(enum ledger_fault fault);

struct ledger; /* one connection; one thread at a time */

struct ledger_detail {
    char text[LEDGER_DETAIL_SIZE]; /* of a fault: a sentence that says what and where, and what to
                                      do */
};

/* Whether the books can be made anew from it. */
enum ledger_journal { LEDGER_JOURNAL_UNKNOWN, LEDGER_JOURNAL_WHOLE, LEDGER_JOURNAL_CUT };
struct ledger_origin {
    struct journal_hash genesis_hash; /* of the journal's first batch */
    struct hash_key key;              /* its genesis key: customers' ids are made with it */
    enum ledger_journal journal;
};

/* Opens or founds `<directory>/ledger.db` for the settler. The caller holds the directory's lock.
 * A ledger is founded where there is none, unless the journal's beginning was
 * cut: it is rebuilt from the journal. Refuses, by name and
 * without changing a byte, files that are not ours, other versions, ledgers of other journals, and
 * those whose tables were altered. */
MUST_USE enum ledger_fault ledger_open(const char *directory, const struct ledger_origin *origin,
                                       struct ledger **ledger_out,
                                       struct ledger_detail *detail_out);

/* A connection that can neither commit nor checkpoint. LEDGER_MISSING where there is no ledger
 * (yet). Without an origin (NULL) any journal's. */
MUST_USE enum ledger_fault ledger_open_reader(const char *directory,
                                              const struct ledger_origin *origin,
                                              struct ledger **ledger_out,
                                              struct ledger_detail *detail_out);
/* The same for proofs, of any journal: also of a directory that nobody serves. */
MUST_USE enum ledger_fault ledger_open_witness(const char *directory, enum journal_access access,
                                               struct ledger **ledger_out,
                                               struct ledger_detail *detail_out);
void ledger_close(struct ledger *ledger);

/* What was last read or written wrong, for people. */
const char *ledger_detail(const struct ledger *ledger);

/* For whoever reads with SQL of his own. Statements are his to finalize before ledger_close. */
struct sqlite3;
struct sqlite3 *ledger_connection(const struct ledger *ledger);

/* One integer of meta; false: it cannot be read. */
MUST_USE bool ledger_meta(struct ledger *ledger, const char *name, int64_t *value_out);

/* Bytes in the write-ahead log, which an idle reader can pin; 0 when there is none. Any thread. */
uint64_t ledger_log_bytes(const struct ledger *ledger);
/* What SQLite has taken of memory in this process, above all for pages of all its files. Any
 * thread. */
uint64_t ledger_memory_bytes(void);
/* Bytes of the database file and its log. Any thread. */
uint64_t ledger_file_bytes(const struct ledger *ledger);

/* A row of SELECT <all columns in order> as values; the texts live until the statement is stepped.
 * False: a column is of a type that no row has. */
struct sqlite3_stmt;
MUST_USE bool ledger_take_row(struct sqlite3_stmt *statement, uint32_t columns,
                              struct value *values_out);
/* "position,decision,..." of the datasets, in their order. */
extern const char LEDGER_USAGE_COLUMNS[];
extern const char LEDGER_MONETIZATION_COLUMNS[];
extern const char LEDGER_BALANCE_COLUMNS[];
extern const char LEDGER_REFUND_COLUMNS[];
extern const char LEDGER_GRANT_COLUMNS[];
extern const char LEDGER_POLICY_COLUMNS[];

/* Usage events as what each adds to usage_rollup, as a SELECT: WITH usage_exploded AS (...). Its
 * columns are position, at_ms, and those of usage_rollup from customer on. */
extern const char LEDGER_EXPLODED[];

/* The hash of a row of balance_updates: of the one before it in the customer's chain (zeroes for
 * the first) and of all of this row's columns but `hash`, which is the last. */
struct ledger_hash ledger_balance_hash(struct ledger *ledger, const struct ledger_hash *previous,
                                       const struct value values[BALANCE_COLUMNS]);

/* A seal is taken by beginning with the hash in the seal before (zeroes before the first), adding
 * each row of the dataset with (the seal before).through < position's sequence <= through in the
 * order of its key, and taking the hash. */
void ledger_seal_begin(struct ledger *ledger, const struct ledger_hash *previous);
void ledger_seal_add(struct ledger *ledger, const struct value *values, uint32_t count);
struct ledger_hash ledger_seal_take(struct ledger *ledger);

#include "ledger/settler.h" /* the other half of the door */
