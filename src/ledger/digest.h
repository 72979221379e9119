/*
 * digest.h: SHA-256 over pieces. Private to src/ledger but for the struct's owners.
 */
#pragma once

#include <stdbool.h>

#include "base/base.h"
#include "ledger/rows.h"

struct digest {
    void *algorithm; /* OpenSSL's: looked up once, since a look-up costs more than a small hash */
    void *context;
};

MUST_USE bool digest_start(struct digest *digest); /* false: no memory, or no SHA-256 */
void digest_end(struct digest *digest);

/* Begins a hash with these bytes, goes on with more, and gives it. */
void digest_begin(struct digest *digest, const struct ledger_hash *previous);
void digest_add(struct digest *digest, struct bytes bytes);
struct ledger_hash digest_take(struct digest *digest);
