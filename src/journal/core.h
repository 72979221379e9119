/*
 * core.h: what every kind of journal does alike, whatever holds its rows: making the genesis batch,
 * completing headers, the three ends of an append, and judging a row that was read. Only for the
 * implementations in this folder.
 */
#pragma once

#include "base/base.h"
#include "journal/chain.h"
#include "journal/journal.h"

#define JOURNAL_DETAIL_SIZE 256

struct journal_core {
    struct journal journal; /* first: the one is the other */
    struct chain chain;
    uint64_t epoch;
    uint64_t writer;

    struct batch_header pending;
    struct bytes pending_body;
    bool is_pending;
    uint64_t keep_from;     /* batches before it may go */
    uint64_t first_after;   /* the oldest one when the pending append has ended */
    enum append_result end; /* FENCED or UNKNOWN once one was reached; NONE before */

    struct journal_hash genesis_hash;
    uint64_t read_sequence; /* of the last batch read whole; 0: none */
    struct journal_hash read_hash;
};

/* The genesis batch: its body is the key and the name of the format. */
#define GENESIS_FORMAT "weir journal, format 1"
#define GENESIS_BODY_BYTES (16 + sizeof GENESIS_FORMAT - 1)
struct genesis {
    struct batch_header header;
    uint8_t body[GENESIS_BODY_BYTES];
};
struct genesis core_genesis(const struct chain *chain, struct hash_key key, uint64_t writer);
MUST_USE bool core_genesis_key(struct bytes body, struct hash_key *key_out);

/* append_start: completes the header and holds on to the batch. */
void core_append_start(struct journal *journal, struct batch_header header, struct bytes body);
void core_keep_from(struct journal *journal, uint64_t sequence);
/* What append_finish answers without trying: whether there is anything to try. */
bool core_append_is_pending(const struct journal_core *core);
/* append_finish is over: moves the tip, or ends the journal's life as a writer. */
enum append_result core_append_end(struct journal_core *core, enum append_result result);

/* Judges a row against what a batch must be, and against the batch read before it if that was its
 * predecessor. JOURNAL_DAMAGED and JOURNAL_OTHER_VERSION leave a detail. */
MUST_USE enum journal_fault core_check(struct journal_core *core, uint64_t sequence,
                                       const struct batch_header *header, struct bytes body);

/* Writes the detail for people and gives the fault back. */
__attribute__((format(printf, 3, 4))) enum journal_fault
core_refuse(struct journal_core *core, enum journal_fault fault, const char *format, ...);
