/*
 * index.h: 64-bit hash -> 32-bit record number, by linear hashing (W. Litwin, 1980): the table
 * grows by splitting one bucket of 64 bytes per few inserts, so no insert ever pays for all.
 *
 * The index keeps the low 32 bits of each hash as a tag, so those must be well mixed; equality of
 * what was indexed is the caller's to check: index_find walks the candidates. Several records may
 * share one hash.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct index {
    uint8_t *base; /* buckets, then overflow buckets from buckets_max on */
    uint32_t entries_max;
    uint32_t buckets_max;
    uint32_t buckets;       /* in use, from the front; at least 1 */
    uint32_t overflow_used; /* overflow buckets ever taken */
    uint32_t overflow_free; /* chain of freed overflow buckets */
    uint32_t entries;
};

/* For up to `entries_max` entries, however they collide. The block must be index_bytes() zero
 * bytes, 64-aligned; what is never used of it is never touched. */
uint64_t index_bytes(uint32_t entries_max);
struct index index_over(void *block, uint32_t entries_max);

void index_insert(struct index *index, uint64_t hash, uint32_t number); /* number >= 1 */
/* The pair must be there. */
void index_remove(struct index *index, uint64_t hash, uint32_t number);

/* Walks the numbers stored under a hash's tag, in no promised order: start with cursor 0; 0 when
 * there are no more. The index must not change during the walk. */
uint32_t index_find(const struct index *index, uint64_t hash, uint64_t *cursor);
void index_prefetch(const struct index *index, uint64_t hash);
