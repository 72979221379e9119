/*
 * hash.h: keyed hashing, so that a stranger who chooses names cannot choose collisions.
 * SipHash-2-4 with 64 and 128 bits of output (Aumasson and Bernstein, 2012; the reference test
 * vectors are in hash_test.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct hash_key {
    uint64_t word[2];
};

struct hash128 {
    uint64_t word[2];
};

uint64_t hash_64(struct hash_key key, struct bytes bytes);
struct hash128 hash_128(struct hash_key key, struct bytes bytes);
bool hash_128_equal(struct hash128 left, struct hash128 right);

/* Mixes numbers, not bytes: for identities made of identities. Not keyed, not for strangers'
 * input. */
static inline uint64_t hash_mix(uint64_t left, uint64_t right)
{
    /* Multiply and fold, then the finalizer of splitmix64. */
    uint64_t mixed = left * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 32;
    mixed += (right + 1) * UINT64_C(0xd6e8feb86659fd93);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}
