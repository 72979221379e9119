/*
 * journal.h: numbered opaque batches behind one seam. SQLite and memory implement it now; the shape
 * is that of a fenced append to a shared database, so that one fits later.
 *
 * A batch is one row: its header chained by SHA-256 to the row before, and a body of bytes that the
 * journal does not understand. Appending is asynchronous and has three ends:
 *
 *   COMMITTED  durable, and every batch before it
 *   FENCED     somebody else owns the journal: nothing of ours will ever be added again
 *   UNKNOWN    may or may not be there: the caller must stop answering and start over
 *
 * One batch may be in flight.
 *
 * The journal may lose its beginning, never anything else: batches from 2 on go, oldest first, a
 * few in the transaction of each append, up to where its owner said (keep_from). The genesis batch
 * stays. That a beginning may be missing is not the journal's to judge: its owner has an entry,
 * behind the cut, that says how far.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define JOURNAL_VERSION 1u
#define JOURNAL_HASH_BYTES 32u
#define JOURNAL_BODY_BYTES_MAX (4u << 20)
#define JOURNAL_URI_SIZE 12400u /* of the longest path, each byte of it escaped */
/* A batch is closed to further entries beyond either (DESIGN.md section 5). */
#define JOURNAL_BATCH_BYTES_TARGET (256u * 1024u)
#define JOURNAL_BATCH_ENTRIES_MAX 4096u
#define JOURNAL_CUT_PER_APPEND 4u /* batches that go while one comes, at most */

/* Everything the world can do to a journal. */
#define JOURNAL_FAULT_TABLE(X)                                                     \
    X(JOURNAL_OK, "no fault")                                                      \
    X(JOURNAL_CANNOT_OPEN, "the journal cannot be opened")                         \
    X(JOURNAL_FOREIGN, "the file is not a Weir journal")                           \
    X(JOURNAL_OTHER_VERSION, "the journal is of another version of Weir")          \
    X(JOURNAL_DAMAGED, "the journal is damaged")                                   \
    X(JOURNAL_SETTING_REFUSED, "the database did not accept a durability setting") \
    X(JOURNAL_READ_FAILED, "the journal cannot be read")                           \
    X(JOURNAL_WRITE_FAILED, "the journal cannot be written")                       \
    X(JOURNAL_CUT, "the batch is older than what the journal keeps")
enum journal_fault {
#define X(name, text) name,
    JOURNAL_FAULT_TABLE(X)
#undef X
};
const char *journal_fault_text(enum journal_fault fault);

struct journal_hash {
    uint8_t byte[JOURNAL_HASH_BYTES];
};
bool journal_hash_equal(const struct journal_hash *left, const struct journal_hash *right);

enum batch_kind { BATCH_GENESIS = 1, BATCH_ENTRIES = 2 };

struct batch_header {
    uint32_t partition; /* 0 */
    uint64_t sequence;  /* dense, from 1 */
    uint64_t epoch;     /* 1 */
    uint32_t kind;      /* enum batch_kind */
    uint32_t version;   /* JOURNAL_VERSION */
    uint64_t writer;    /* nonce of the process that wrote it */
    int64_t first_ms;   /* stamps of the entries */
    int64_t last_ms;
    uint32_t entries;
    struct journal_hash previous;
    struct journal_hash hash; /* over all of the above in a fixed byte order, then the body */
};

enum append_result { APPEND_NONE, APPEND_COMMITTED, APPEND_FENCED, APPEND_UNKNOWN };

struct journal_tip {
    uint64_t sequence; /* of the newest batch */
    struct journal_hash hash;
    int64_t last_ms;
};

struct journal;

/* What the seam is made of; each implementation fills one in. */
struct journal_calls {
    /* Starts appending tip + 1; the body stays untouched until the end is known. The header's
     * sequence, epoch, writer, previous and hash are filled in by the journal. Where that can go
     * before, all is written here that has to be, and nothing of it counts. After FENCED or UNKNOWN
     * every further append ends the same way, untried. */
    void (*append_start)(struct journal *journal, struct batch_header header, struct bytes body);
    /* Makes it durable: the commit, and in SQLite its sync. APPEND_NONE while it is under way, or
     * when none was started. May block for as long as the disk does: both append calls are the
     * journal's own thread's, and so are tip and detail. */
    enum append_result (*append_finish)(struct journal *journal);
    /* Batches before this one may go, with the appends to come. It is not beyond the tip, and
     * never less than what was said before. A call of the append's thread. */
    void (*keep_from)(struct journal *journal, uint64_t sequence);
    /* Reads one batch, whole. JOURNAL_READ_FAILED when there is none of that number, JOURNAL_CUT
     * when it was cut. Verifies its hash, and the chain to its predecessor if that was the batch
     * read before: JOURNAL_DAMAGED. Reading all in order therefore verifies all. The body is a view
     * that lives until the next read. */
    enum journal_fault (*read)(struct journal *journal, uint64_t sequence,
                               struct batch_header *header_out, struct bytes *body_out);
    void (*close)(struct journal *journal);
};

struct journal {
    const struct journal_calls *calls;
    struct journal_tip tip;
    uint64_t first;      /* the oldest batch behind genesis; above 2: a beginning was cut */
    struct hash_key key; /* chosen at genesis, in the genesis batch's body */
    struct batch_header committed; /* of the newest batch that this opening has added */
    bool is_new;                   /* genesis was written by this opening */
    char detail[256];              /* of the last fault, for people */
};

/* Opens or founds `<directory>/journal.db`. The caller holds the directory's lock. `genesis_key`
 * and `writer` come from the system's entropy; the key is used only when founding. Refuses, by name
 * and without changing a byte, files that are not ours, other versions, and journals whose chain is
 * broken. */
MUST_USE enum journal_fault journal_sqlite_open(const char *directory, struct hash_key genesis_key,
                                                uint64_t writer, struct journal **journal_out,
                                                char detail_out[256]);
/* The same in two: first everything is judged, and may be read; what the last process left in the
 * log stays there. Then, before the first append, it is folded in, so that all that was read is on
 * the disk. Closed in between, an existing file is as it was. */
MUST_USE enum journal_fault
journal_sqlite_open_as_it_is(const char *directory, struct hash_key genesis_key, uint64_t writer,
                             struct journal **journal_out, char detail_out[256]);
MUST_USE enum journal_fault journal_sqlite_fold(struct journal *journal);

/* A second connection to the same file, for reading only, on another thread. append_* of it are
 * never called. Transactions are one row long. */
MUST_USE enum journal_fault journal_sqlite_open_reader(const char *directory,
                                                       struct journal **journal_out,
                                                       char detail_out[256]);

/* How a file is read by somebody who only looks. */
enum journal_access {
    JOURNAL_SERVED, /* a server may be at work: with its locks, in short transactions */
    JOURNAL_A_COPY  /* nobody is: without locks, without making a file, also where nothing may be
                       written */
};

/* For SQLite: an URI that opens a database as a copy, to be followed by `PRAGMA
 * locking_mode=exclusive` before anything else. False when it does not fit. */
MUST_USE bool journal_copy_uri(const char *path, char uri_out[JOURNAL_URI_SIZE]);

/* For proofs: a reader that takes nothing for granted. Only the file's kind, its layout and the
 * genesis batch are judged by opening it; there is no tip, so `read` says of a batch that is
 * missing only that it is not there. */
MUST_USE enum journal_fault journal_sqlite_open_witness(const char *directory,
                                                        enum journal_access access,
                                                        struct journal **journal_out,
                                                        char detail_out[256]);

/* What a witness finds there, at one moment: the first batch numbered `from` or higher (0: none),
 * and the newest. */
MUST_USE enum journal_fault journal_sqlite_find(struct journal *journal, uint64_t from,
                                                uint64_t *first_out, uint64_t *newest_out);

/* How many entries there are in the batches behind one. */
MUST_USE enum journal_fault journal_sqlite_entries_after(struct journal *journal, uint64_t sequence,
                                                         uint64_t *entries_out);

/* Bytes in the write-ahead log, which an idle reader can pin; 0 when there is none. Any thread. */
uint64_t journal_sqlite_log_bytes(const struct journal *journal);

/* The twin in memory: same chain, same ends. The next append's end can be chosen, for tests:
 * whether the batch is in the journal all the same is chosen with it. APPEND_NONE: it is under way
 * for one call of append_finish longer. */
struct journal *journal_memory_open(struct hash_key genesis_key, uint64_t writer);
void journal_memory_fail_next(struct journal *journal, enum append_result result,
                              bool batch_is_kept);
/* As if closed and opened again by another process: keeps the rows, forgets the ends. */
void journal_memory_reopen(struct journal *journal, uint64_t writer);

#include "journal/snapshot.h"
