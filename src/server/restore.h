/*
 * restore.h: the state from the newest snapshot that can be trusted. One that cannot is told and
 * passed over, and the next older one is tried.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/recovery.h"

struct restored {
    uint64_t sequence; /* the state is that of all batches up to it; 0: no snapshot was of use */
    struct journal_hash batch; /* its hash */
    uint64_t older;            /* the next older file named as a snapshot; 0: there is none */
    int64_t at_ms;
    uint64_t keys_generation; /* of the list of key files, or a later one; 0: of none */
    uint32_t refused;         /* that were told */
};

/* The engine is as new when nothing was restored. The YAML of the policy in force at the snapshot
 * is staged. */
struct restored restore_newest(const struct recovery_parts *parts);
