/*
 * recovery.h: the state from the journal, by apply alone. Facts say what was decided, so nothing is
 * decided again and no policy is asked; reading the batches in order verifies their chain.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "server/policies.h"

struct recovery_parts {
    struct journal *journal;
    struct engine *engine;
    struct engine_ceilings ceilings; /* the engine's */
    struct policies *policies;       /* their versions are noted */
    struct keys *keys;               /* open; keys that are there may be forgotten; or NULL */
    struct fact *scratch;
    /* Told now and then; false ends the recovery. */
    bool (*progress)(void *self, uint64_t sequence, uint64_t sequence_last);
    void *self;
};

enum recovery_end { RECOVERY_DONE, RECOVERY_STOPPED, RECOVERY_FAILED };

struct recovery {
    uint64_t batches;
    uint64_t entries;
    int64_t last_ms;    /* the newest stamp; 0: there is none */
    uint64_t keys_next; /* so many entries later it is worth looking for keys in files again */
    char detail[512];   /* RECOVERY_FAILED: what is wrong and where */
};

enum recovery_end recovery_run(const struct recovery_parts *parts, struct recovery *recovery_out);

/* The YAML that the entry installed, as a view into the journal's last read. */
MUST_USE bool recovery_policy(struct journal *journal, uint64_t position, struct command *scratch,
                              struct bytes *yaml_out);
