/*
 * recovery.h: the state from the newest good snapshot and the journal behind it, by apply alone.
 * Facts say what was decided, so nothing is decided again and no policy is asked; reading the
 * batches in order verifies their chain, from the snapshot's batch on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "server/policies.h"

/* Facts are decoded some ahead of the one that is applied, so that what they touch is on its way
 * from memory meanwhile. */
#define RECOVERY_AHEAD 8u
struct recovery_scratch {
    struct fact facts[RECOVERY_AHEAD];
    struct command ahead[RECOVERY_AHEAD];
};

struct recovery_parts {
    struct journal *journal;
    struct engine *engine;
    struct engine_ceilings ceilings;  /* the engine's */
    struct policies *policies;        /* their versions are noted */
    struct keys *keys;                /* open; keys that are there may be forgotten; or NULL */
    struct recovery_scratch *scratch; /* zeroes */
    const char *directory;            /* of snapshots; NULL: the journal alone */
    struct books_known books;         /* what they have need not be remembered */
    /* Told now and then; false ends the recovery. */
    bool (*progress)(void *self, uint64_t sequence, uint64_t sequence_last);
    /* Told of each snapshot that is not used, and why. */
    void (*refused)(void *self, const char *detail);
    void *self;
};

enum recovery_end { RECOVERY_DONE, RECOVERY_STOPPED, RECOVERY_FAILED };

struct recovery {
    uint64_t batches;
    uint64_t entries;
    uint64_t bytes;           /* of the batches read */
    uint64_t snapshot;        /* batch of the snapshot that was started from; 0: none */
    uint64_t snapshot_before; /* the next older one; 0: none */
    int64_t last_ms;          /* no stamp is newer; 0: there is none */
    uint64_t keys_next; /* so many entries later it is worth looking for keys in files again */
    char detail[512];   /* RECOVERY_FAILED: what is wrong and where */
};

enum recovery_end recovery_run(const struct recovery_parts *parts, struct recovery *recovery_out);

/* Stages the YAML that the entry installed, unless it came with the snapshot. */
MUST_USE bool recovery_policy(struct journal *journal, const struct recovery *recovery,
                              uint64_t position, struct command *scratch,
                              struct policies *policies);
