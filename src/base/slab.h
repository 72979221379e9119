/*
 * slab.h: records of one size in one reserved stretch of memory, named by a 32-bit number.
 *
 * The owner reserves address space for the ceiling and the kernel commits pages on first touch, so
 * a number never moves and growing costs nothing. Number 0 is nobody. Freed records are reused,
 * last freed first. Taking never fails: the ceiling is checked by whoever accepts work
 * (slab_room), long before.
 */
#pragma once

#include <stdint.h>

struct slab {
    uint8_t *base;
    uint32_t record_bytes; /* a multiple of 8, at least 8 */
    uint32_t records_max;  /* records 1..records_max */
    uint32_t used;         /* highest number ever taken */
    uint32_t free_head;    /* chain of freed records through their first 4 bytes */
    uint32_t live;
};

/* The block must hold slab_bytes(record_bytes, records_max) zero bytes, 64-aligned. */
uint64_t slab_bytes(uint32_t record_bytes, uint32_t records_max);
struct slab slab_over(void *block, uint32_t record_bytes, uint32_t records_max);
uint32_t slab_take(struct slab *slab); /* zeroed; asserts room */
void slab_give(struct slab *slab, uint32_t number);
uint32_t slab_room(const struct slab *slab); /* records that can still be taken */

static inline void *slab_at(const struct slab *slab, uint32_t number)
{
    return slab->base + (uint64_t)number * slab->record_bytes;
}
