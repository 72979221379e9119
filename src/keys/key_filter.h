/*
 * key_filter.h: which keys a file cannot have, in memory: a Bloom filter whose bits for one key all
 * lie in one cache line (F. Putze, P. Sanders, J. Singler: "Cache-, Hash- and Space-Efficient Bloom
 * Filters", 2007, section 3). A key's high word picks the line, so that sorted keys fill the filter
 * from front to back; its low word gives seven places of nine bits.
 *
 * With c bits a key, a line of 512 bits gets a number of keys that is Poisson with mean 512 / c,
 * and n keys in it leave a strange one unseen with probability 1 - (1 - (1 - 1/512)^(7n))^7. Summed
 * over n, 20 bits a key are right in 99.97 of 100 cases; with a day of hourly files, 24 filters are
 * all right in 99.2. (10 bits: 99.0 and 79.) Keys are SipHash values under a secret: nobody chooses
 * them so that they collide.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define KEY_FILTER_BITS_PER_KEY 20u

struct key_filter {
    uint64_t *lines; /* of 8 words */
    uint64_t line_count;
};

/* Of zeroes, 64-aligned, for that many keys. */
uint64_t key_filter_bytes(uint64_t keys);
struct key_filter key_filter_over(void *block, uint64_t keys);
void key_filter_add(struct key_filter *filter, struct hash128 hash);
/* False: it was never added. */
MUST_USE bool key_filter_may_have(const struct key_filter *filter, struct hash128 hash);
