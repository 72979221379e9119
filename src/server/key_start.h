/*
 * key_start.h: the key files at the start of a server: found, verified, and where they will not do,
 * made again from the journal, which holds the entry of every key that counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "journal/journal.h"
#include "keys/keys.h"

#define KEY_START_DETAIL_SIZE ((size_t)2 * KEY_FILE_DETAIL_SIZE)

struct key_start {
    struct journal *journal;
    struct keys *keys;
    int64_t now_ms; /* no later than the first stamp */
    struct fact *scratch;
    /* A line for people about a file that will not do, or was replaced. */
    void (*tell)(void *self, const char *text);
    void *self;
};

/* False: the server must not start; detail_out says which file, why, and what can be done. Either
 * way nothing on the disk changes before keys_accept, when the rest of the start has succeeded. */
MUST_USE bool key_start(const struct key_start *start, char detail_out[KEY_START_DETAIL_SIZE]);
