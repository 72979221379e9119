/*
 * ring.h: the only contact between two threads: a bounded queue of small items, copied in and out,
 * for exactly one producer and one consumer. Never waits: full and empty are answers.
 *
 * Each side owns one counter, publishes it with release, and keeps a copy of the other's so that
 * the shared cache line moves only when the copy says full or empty. What the producer wrote before
 * ring_put is seen by the consumer after ring_take.
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define RING_LINE_BYTES 64

struct ring {
    uint8_t *items;
    uint32_t item_bytes;
    uint32_t items_max;
    alignas(RING_LINE_BYTES) _Atomic uint32_t put; /* the producer's: items ever put, mod 2^32 */
    uint32_t taken_seen;
    alignas(RING_LINE_BYTES) _Atomic uint32_t taken; /* the consumer's */
    uint32_t put_seen;
};

/* items_max: a power of two. The block (items_max * item_bytes) is the caller's and outlives the
 * ring. */
void ring_start(struct ring *ring, void *block, uint32_t item_bytes, uint32_t items_max);

MUST_USE bool ring_put(struct ring *ring, const void *item); /* producer; false: full */
MUST_USE bool ring_take(struct ring *ring, void *item_out);  /* consumer; false: empty */

/* Either side: exact for the caller's own doings, and only ever late about the other's. */
uint32_t ring_used(const struct ring *ring);
