/*
 * map.h (private): records of one size by 128-bit keys, in memory that grows with their number.
 * What is kept of customers and accounts while their rows pass by.
 *
 * Keys are hashes made with the data directory's own key: nobody chooses their collisions, and two
 * that are equal are one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct map {
    uint8_t *slots; /* a record each; its first 16 bytes are the key, zeroes where it is free */
    uint32_t record_bytes; /* a multiple of 8 */
    uint64_t capacity;     /* a power of two */
    uint64_t count;
};

void map_start(struct map *map, uint32_t record_bytes);
void map_end(struct map *map);

/* The record, zeroes behind its key if it is new. Good until the next call that changes the map. */
void *map_put(struct map *map, struct hash128 key);
void *map_find(const struct map *map, struct hash128 key); /* NULL: none */
void map_remove(struct map *map, void *record);
/* The record after `record` (NULL: the first) in no promised order; NULL: there is none. */
void *map_next(const struct map *map, const void *record);
