/*
 * key_file.h: idempotency keys on disk: one file, written once, sorted by hash, never changed.
 *
 * The file is pages of 4096 bytes, numbers least significant byte first. Each page ends in 16 bytes
 * of check: SipHash-128 over the rest, under a key made of the journal's genesis hash, the file's
 * serial and the page's number, so that a page of another file, journal or place is seen when it
 * is read.
 *
 *     page 0    magic "weirkeys" | version 4 | zero 4 | serial 8 | genesis hash 32 | made_ms 8 |
 *               before 8 | count 8 | position_first 8 | position_last 8 | until_last_ms 8 |
 *               SHA-256 of all the pages behind this one 32 | zeroes | check 16
 *     page 1..  up to 102 records: hash 16 (high word first) | body hash 8 | position 8 |
 *               until_ms 8, strictly ascending by hash; zeroes | check 16
 *
 * Opening reads all of it once, verifies every bit, and leaves in memory a filter (key_filter.h)
 * and the first hash of each page. So a lookup that passes the filter is one read of a page, which
 * is verified again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "keys/key_filter.h"
#include "platform/platform.h"

#define KEY_FILE_VERSION 1u
#define KEY_FILE_PAGE_BYTES 4096u
#define KEY_FILE_PAGE_RECORDS 102u
#define KEY_FILE_NAME_SIZE 32
#define KEY_FILE_HASH_BYTES 32u
#define KEY_FILE_DETAIL_SIZE (FILE_PATH_SIZE + 256)

#define KEY_FILE_FAULT_TABLE(X)                                         \
    X(KEY_FILE_OK, "no fault")                                          \
    X(KEY_FILE_MISSING, "there is no such file")                        \
    X(KEY_FILE_DAMAGED, "the file is damaged")                          \
    X(KEY_FILE_FOREIGN, "the file is not this journal's")               \
    X(KEY_FILE_OTHER_VERSION, "the file is of another version of Weir") \
    X(KEY_FILE_UNREADABLE, "the file cannot be read")                   \
    X(KEY_FILE_UNWRITABLE, "the file cannot be written")                \
    X(KEY_FILE_NO_MEMORY, "there is no address space for the file's filter")
enum key_file_fault {
#define X(name, text) name,
    KEY_FILE_FAULT_TABLE(X)
#undef X
};
const char *key_file_fault_text(enum key_file_fault fault);

struct key_file_hash {
    uint8_t byte[KEY_FILE_HASH_BYTES];
};

struct key_file_head {
    uint64_t serial; /* from 1, never used again */
    struct key_file_hash genesis;
    int64_t made_ms; /* the stamp at which its keys were listed */
    uint64_t before; /* they were bound before this position */
    uint64_t count;
    uint64_t position_first; /* of its keys; 0: there are none */
    uint64_t position_last;
    int64_t until_last_ms;        /* when all of them are over */
    struct key_file_hash records; /* SHA-256 of the record pages */
};

struct key_file {
    int fd; /* -1: none */
    struct key_file_head head;
    uint64_t pages; /* of records */
    void *block;    /* filter, then the pages' first hashes */
    uint64_t block_bytes;
    struct key_filter filter;
    uint64_t *firsts; /* high words */
};

/* "keys-000001.weir" */
void key_file_name(uint64_t serial, char name_out[KEY_FILE_NAME_SIZE]);
/* What the file will take in memory. */
uint64_t key_file_memory(uint64_t count);

/* Opens `<directory>/<name of serial>` and verifies all of it. detail_out names the path. */
MUST_USE enum key_file_fault key_file_open(const char *directory, uint64_t serial,
                                           const struct key_file_hash *genesis,
                                           struct key_file *file_out,
                                           char detail_out[KEY_FILE_DETAIL_SIZE]);
void key_file_close(struct key_file *file);

/* One read, seldom two. Several threads may ask at once. KEY_FILE_OK with *is_there_out. */
MUST_USE enum key_file_fault key_file_find(const struct key_file *file, struct hash128 hash,
                                           struct kept_key *kept_out, bool *is_there_out);

/* The first of the n-th page of records, from 0. */
MUST_USE enum key_file_fault key_file_first(const struct key_file *file, uint64_t page,
                                            struct kept_key *kept_out);

/* Writing: begin, any number of adds, and end or drop. Under another name until it is whole and
 * durable, so that a file of that name is always whole. */
struct key_writer;
struct key_writer_plan {
    const char *directory;
    uint64_t serial;
    struct key_file_hash genesis;
    int64_t made_ms;
    uint64_t before;
    uint64_t count_max; /* of records to come */
};
MUST_USE enum key_file_fault key_writer_begin(const struct key_writer_plan *plan,
                                              struct key_writer **writer_out,
                                              char detail_out[KEY_FILE_DETAIL_SIZE]);
/* Ascending by hash, behind those before. Durable on return, so that the end has little to do. */
MUST_USE enum key_file_fault key_writer_add(struct key_writer *writer,
                                            const struct kept_key *records, uint64_t count,
                                            char detail_out[KEY_FILE_DETAIL_SIZE]);
/* Gives the file, open and as if verified. The writer is gone either way. */
MUST_USE enum key_file_fault key_writer_end(struct key_writer *writer, struct key_file *file_out,
                                            char detail_out[KEY_FILE_DETAIL_SIZE]);
void key_writer_drop(struct key_writer *writer);

/* Sorts by hash what lies within [first, last] by its high word; scratch has as much room. Linear,
 * because hashes are spread evenly. */
void key_records_sort(struct kept_key *records, struct kept_key *scratch, uint32_t count,
                      uint64_t first, uint64_t last);
