/*
 * sha.h (private): SHA-256 over rows of the ledger, written from the description of the format
 * alone (ledger/rows.h): an auditor does not borrow the bookkeeper's pen.
 */
#pragma once

#include "ledger/ledger.h"

struct sha {
    void *algorithm;
    void *context;
};

void sha_start(struct sha *sha);
void sha_end(struct sha *sha);
void sha_begin(struct sha *sha, const struct ledger_hash *previous);
void sha_add_row(struct sha *sha, const struct value *values, uint32_t count);
struct ledger_hash sha_take(struct sha *sha);

#define HASH_TEXT_SIZE (2 * LEDGER_HASH_BYTES + 1)
const char *hash_text(const uint8_t hash[LEDGER_HASH_BYTES], char text_out[HASH_TEXT_SIZE]);
