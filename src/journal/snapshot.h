/*
 * snapshot.h: files that stand for the batches 1..s of one journal.
 *
 * A snapshot is opaque pieces between a header, which names the journal and the batch, and a
 * trailer: the hash of batch s, known only once that batch is durable, and SHA-256 over all before.
 * It is written in a file of another name and moved into place when whole and synced, so that
 * snapshot-<s>.weir is a snapshot or damage, never something half done.
 *
 * The format, numbers least significant byte first:
 *
 *     "weir snapshot\n\0\0" 16 | version 4 | header bytes 4 | genesis hash 32 | sequence 8 | at_ms
 * 8 pieces: kind 4 | length 4 | bytes the last piece: kind 0 | length 32 | hash of batch s SHA-256
 * of everything before 32
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "journal/journal.h"

#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_PIECE_BYTES_MAX ((size_t)16 << 20)
#define SNAPSHOTS_LISTED_MAX 64u

/* What pieces are: the policy in force and the list of those before it, and the state's image. */
enum { SNAPSHOT_PIECE_POLICY = 1, SNAPSHOT_PIECE_IMAGE = 2 };

#define SNAPSHOT_FAULT_TABLE(X)                                     \
    X(SNAPSHOT_OK, "no fault")                                      \
    X(SNAPSHOT_UNREADABLE, "the snapshot cannot be read")           \
    X(SNAPSHOT_DAMAGED, "the snapshot is damaged")                  \
    X(SNAPSHOT_OTHER_VERSION, "the snapshot is of another version") \
    X(SNAPSHOT_FOREIGN, "the snapshot belongs to another journal")  \
    X(SNAPSHOT_UNWRITABLE, "the snapshot cannot be written")
enum snapshot_fault {
#define X(name, text) name,
    SNAPSHOT_FAULT_TABLE(X)
#undef X
};
const char *snapshot_fault_text(enum snapshot_fault fault);

struct snapshot_header {
    struct journal_hash genesis; /* of the journal's first batch */
    uint64_t sequence;           /* the batch up to which it stands for the journal */
    int64_t at_ms;
};

/* What went wrong, for people, with the file's path. */
#define SNAPSHOT_DETAIL_SIZE 512
struct snapshot_detail {
    char text[SNAPSHOT_DETAIL_SIZE];
};

/* ---- writing. After a fault nothing of the file is left, and the writer is closed. */

struct snapshot_writer;

MUST_USE enum snapshot_fault snapshot_create(const char *directory, struct snapshot_header header,
                                             struct snapshot_writer **writer_out,
                                             struct snapshot_detail *detail_out);
/* kind: not 0; at most SNAPSHOT_PIECE_BYTES_MAX. Written data is sent to the disk as it comes, so
 * that no sync, not even somebody else's, meets much of it at once. */
MUST_USE enum snapshot_fault snapshot_put(struct snapshot_writer *writer, uint32_t kind,
                                          struct bytes piece, struct snapshot_detail *detail_out);
/* Ends, syncs, moves into place; durable on return. Closes the writer. */
MUST_USE enum snapshot_fault snapshot_finish(struct snapshot_writer *writer,
                                             struct journal_hash batch, uint64_t *bytes_out,
                                             struct snapshot_detail *detail_out);
void snapshot_abandon(struct snapshot_writer *writer);

/* ---- reading */

struct snapshot_reader;

/* Reads the whole file once: what was opened is the file whose SHA-256 stands at its end. The
 * header and the hash of batch s are for the caller to judge. */
MUST_USE enum snapshot_fault snapshot_open(const char *directory, uint64_t sequence,
                                           struct snapshot_reader **reader_out,
                                           struct snapshot_detail *detail_out);
struct snapshot_header snapshot_header(const struct snapshot_reader *reader);
struct journal_hash snapshot_batch_hash(const struct snapshot_reader *reader);
/* The next piece, a view that lives until the next call; kind 0: there are no more. */
MUST_USE enum snapshot_fault snapshot_next(struct snapshot_reader *reader, uint32_t *kind_out,
                                           struct bytes *piece_out,
                                           struct snapshot_detail *detail_out);
void snapshot_close(struct snapshot_reader *reader);

/* ---- the directory */

/* What is named like a snapshot, newest first. */
struct snapshot_list {
    uint64_t sequences[SNAPSHOTS_LISTED_MAX];
    uint32_t count;
};
MUST_USE bool snapshot_list(const char *directory, struct snapshot_list *list_out);
/* Removes those before `newest` but `older`, and what was being written when a process ended. */
void snapshot_sweep(const char *directory, uint64_t newest, uint64_t older);
