/*
 * chain.h: what makes a batch the successor of exactly one other: SHA-256 over its header, in which
 * the predecessor's hash stands, and its body.
 *
 * The bytes that are hashed, numbers least significant byte first:
 *
 *     partition 4 | sequence 8 | epoch 8 | kind 4 | version 4 | writer 8 | first_ms 8 | last_ms 8 |
 *     entries 4 | previous 32 | body
 *
 * This order is the journal's format: it cannot change without another JOURNAL_VERSION.
 */
#pragma once

#include <stdbool.h>

#include "base/base.h"
#include "journal/journal.h"

#define CHAIN_HEADER_BYTES 88

struct chain {
    void *digest; /* OpenSSL's: looked up once, since a look-up costs more than a small hash */
    void *context;
};

MUST_USE bool
chain_start(struct chain *chain); /* false: no memory, or no SHA-256 in this OpenSSL */
void chain_end(struct chain *chain);

/* Of everything but header->hash. */
struct journal_hash chain_hash(const struct chain *chain, const struct batch_header *header,
                               struct bytes body);
