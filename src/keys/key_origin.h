/*
 * key_origin.h: whether a key file is of the journal beside it. Each of its keys names the entry
 * that bound it. A file of a later moment names entries that are not there yet; one of another life
 * of the same directory (a copy that went on by itself) names entries that bind something else. The
 * key bound last is asked, which tells all of it where two lives share nothing behind the point at
 * which they parted, and some more, as a sample; whoever answers from an entry asks that one
 * entry again.
 */
#pragma once

#include "journal/journal.h"
#include "keys/key_file.h"

#define KEY_ORIGIN_SAMPLES 16u

enum key_origin {
    KEY_ORIGIN_HERE,
    KEY_ORIGIN_AHEAD,    /* the journal ends before */
    KEY_ORIGIN_ELSEWHERE /* the journal's entry binds no such key */
};

/* Whether the entry's fact binds the key. */
MUST_USE bool key_is_bound_by(const struct fact *fact, struct hash128 hash);

/* Asks for as much as the journal still has and can read. newest is its last batch; detail_out
 * names the file, unless HERE. The file cannot be read, or the journal: that is for others to find.
 */
MUST_USE enum key_origin key_origin(const struct key_file *file, struct journal *journal,
                                    uint64_t newest, struct fact *scratch,
                                    char detail_out[KEY_FILE_DETAIL_SIZE]);
