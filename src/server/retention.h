/*
 * retention.h: how the journal loses its beginning. What nobody can ask for any more goes: batches
 * older than receipts are kept, that are settled, and covered by the older of the kept snapshots,
 * and in which no open hold, no ended one that is remembered and no key has its entry.
 *
 * In steps of the loop, so that none of them is long: the state is walked for the oldest entry that
 * it may ask for, the desk finds the batch up to which stamps are old enough, a seal is journaled
 * that says where the journal begins from now on, and once that is durable the journal cuts, a few
 * batches with each append.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

enum retention_stage { RETENTION_RESTS, RETENTION_WALKS, RETENTION_WAITS, RETENTION_SEALS };

/* What lets no batch from the bound on go. */
enum retained_by {
    RETAINED_BY_NOTHING, /* nobody has looked yet */
    RETAINED_BY_JOURNAL, /* it ends there */
    RETAINED_BY_SETTLEMENT,
    RETAINED_BY_SNAPSHOT,
    RETAINED_BY_KEY_FILE,
    RETAINED_BY_HOLD,
    RETAINED_BY_ENDED,
    RETAINED_BY_KEY,
    RETAINED_BY_AGE
};
struct retention_bound {
    uint64_t sequence;
    enum retained_by by;
};

struct retention {
    enum retention_stage stage;
    uint64_t look_at;             /* at rest until so many batches are durable, */
    int64_t look_at_ms;           /* and not before that time */
    struct retention_bound bound; /* no batch from there on may go, as far as is known */
    struct retention_bound found; /* by the newest look that was ended */
    enum recall_by kind;          /* of the walk: what it is at, */
    uint32_t record;              /* and the next one */
    struct journal_cut cut;       /* to be sealed */
    uint64_t seal_sequence;       /* of the batch with the newest seal; 0: none of this process */
    uint64_t keep_from;           /* the newest durable seal's; 0: none */
};

const char *retained_by_text(enum retained_by by);
