/*
 * keys.h: the door of src/keys: idempotency keys that are too old for memory and too young to be
 * forgotten (SEMANTICS I3). They lie in files, each written once (key_file.h), listed in one more
 * (key_list.h); memory keeps a filter of each.
 *
 * Two threads share the set. The loop asks the filters, and says which file is to be written or
 * dropped; the desk reads and writes. A file is the desk's while it is being written or dropped,
 * and nobody's to change in between; orders reach the desk in the order in which the loop gave
 * them, so a file is dropped after every look that the loop asked for. One file at a time is
 * written or dropped.
 *
 * A key may be in a file and in the state: they say the same. A key that was over and bound anew
 * may be in two files: the later position counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "keys/key_file.h"
#include "keys/key_list.h"
#include "keys/key_origin.h"

struct keys; /* lives at the start of its block */

struct keys_parts {
    const char *directory;
    struct key_file_hash genesis;
    uint64_t memory_max; /* of all filters together, bytes */
    uint32_t piece;      /* keys that are sorted at once */
};

uint64_t keys_bytes(uint32_t piece);
struct keys *keys_over(void *block, struct keys_parts parts); /* of zeroes, 64-aligned */
void keys_close(struct keys *keys);

/* ---- at the start, before there are threads */

/* One file of the list that will not do, or a file that is on no list. */
typedef void keys_tell(void *self, enum key_file_fault fault, const char *detail);

/* Reads the list and verifies every file that is not over at now_ms; each that will not do is told,
 * and counted in *bad_out; unlisted files are told (KEY_FILE_OK). A fault is the list's own;
 * MISSING leaves a set without files. Changes nothing on disk: until keys_accept all of the start
 * is in memory, but for files that it writes, and keys_close takes those back. */
MUST_USE enum key_file_fault keys_open(struct keys *keys, int64_t now_ms, keys_tell *tell,
                                       void *self, uint32_t *bad_out,
                                       char detail_out[KEY_FILE_DETAIL_SIZE]);
/* For a directory that has no list: what generation the first one follows, so that none is taken
 * for an older one. */
void keys_number_from(struct keys *keys, uint64_t generation);
/* Of the n-th bad one, as the list knows it. */
struct key_file_head keys_bad(const struct keys *keys, uint32_t n);
/* Their keys are somewhere else by now: they leave the list, and stay on the disk. */
void keys_forget_bad(struct keys *keys);
/* The n-th of keys_status().files. */
const struct key_file *keys_file(const struct keys *keys, uint32_t n);
/* The start goes on: the list on the disk becomes this one, what is over or was left half made by
 * a crash goes. Before the loop's side and the desk's. */
MUST_USE enum key_file_fault keys_accept(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE]);
/* Whether a file says just this; of the start. */
MUST_USE bool keys_has(struct keys *keys, struct kept_key kept);

/* ---- the loop's side */

struct key_question {
    struct hash128 hash;
    uint64_t through;                   /* serial of the newest file there was */
    uint64_t files[KEY_FILES_MAX / 64]; /* a bit for each that may have it */
};
enum key_found { KEY_LOOK_NONE, KEY_LOOK_ABSENT, KEY_LOOK_FOUND, KEY_LOOK_FAILED };
struct key_answer {
    enum key_found found;
    struct hash128 hash;
    uint64_t through; /* ABSENT: from every file up to this one */
    struct kept_key kept;
};

/* Whether a file newer than `after` may have the key, and which to ask. */
MUST_USE bool keys_may_have(const struct keys *keys, struct hash128 hash, uint64_t after,
                            struct key_question *question_out);

/* A file of at most `count` keys is to be written; false: there is no room for one more filter or
 * file. Then desk's side: keys_write, any number of times, keys_write_end; then keys_show, unless
 * the desk's side failed: keys_write_abandon. */
MUST_USE bool keys_plan(struct keys *keys, uint64_t count, int64_t made_ms, uint64_t before);
void keys_show(struct keys *keys);
void keys_write_abandon(struct keys *keys);
/* A file whose keys are all over is asked no longer; true: the desk's side is to drop it, then
 * keys_dropped. */
MUST_USE bool keys_hide_over(struct keys *keys, int64_t now_ms);
void keys_dropped(struct keys *keys);
/* Where the loop lists keys for the next keys_write; the desk's from the order to its end. */
struct kept_key *keys_piece(struct keys *keys);
uint32_t keys_piece_max(const struct keys *keys);

struct keys_status {
    uint32_t files;
    uint64_t kept; /* keys in them, those that are over included */
    uint64_t disk_bytes;
    uint64_t memory_bytes;
    uint64_t memory_max;
    uint64_t generation;     /* of the list as the loop knows it */
    uint64_t position_first; /* of all keys in files: the journal must hold it; UINT64_MAX: none */
};
struct keys_status keys_status(const struct keys *keys);

/* ---- the desk's side */

void keys_look(struct keys *keys, const struct key_question *question,
               struct key_answer *answer_out, char detail_out[KEY_FILE_DETAIL_SIZE]);
/* Sorts the piece, whose high words lie within [first, last], beyond those before, and writes it.
 */
MUST_USE enum key_file_fault keys_write(struct keys *keys, uint32_t count, uint64_t first,
                                        uint64_t last, char detail_out[KEY_FILE_DETAIL_SIZE]);
/* The file stands and is on the list. After any fault nothing of the file counts. */
MUST_USE enum key_file_fault keys_write_end(struct keys *keys,
                                            char detail_out[KEY_FILE_DETAIL_SIZE]);
MUST_USE enum key_file_fault keys_drop(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE]);
