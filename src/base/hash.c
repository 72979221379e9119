/*
 * hash.c: SipHash-2-4. Words are assembled from bytes in little-endian order, which compilers turn
 * into one load where the machine has that order, so that hashes in a journal mean the same on
 * every machine.
 */
#include "base/hash.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline uint64_t load_word(const uint8_t *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 |
           (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

/* The less than eight bytes from `place` on: of a longer text, from its last eight. */
static inline uint64_t load_rest(struct bytes bytes, size_t place)
{
    const size_t rest = bytes.length - place;
    if (rest == 0) return 0;
    if (place != 0) return load_word(bytes.at + bytes.length - 8) >> 8 * (8 - rest);
    uint64_t word = 0;
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t)bytes.at[i] << 8 * i;
    return word;
}

static inline void sip_round(struct sip *sip)
{
    sip->v0 += sip->v1;
    sip->v1 = rotate_left(sip->v1, 13) ^ sip->v0;
    sip->v0 = rotate_left(sip->v0, 32);
    sip->v2 += sip->v3;
    sip->v3 = rotate_left(sip->v3, 16) ^ sip->v2;
    sip->v0 += sip->v3;
    sip->v3 = rotate_left(sip->v3, 21) ^ sip->v0;
    sip->v2 += sip->v1;
    sip->v1 = rotate_left(sip->v1, 17) ^ sip->v2;
    sip->v2 = rotate_left(sip->v2, 32);
}

static inline void sip_word(struct sip *sip, uint64_t word)
{
    sip->v3 ^= word;
    sip_round(sip);
    sip_round(sip);
    sip->v0 ^= word;
}

static inline __attribute__((always_inline)) void sip_absorb(struct sip *sip, struct bytes bytes)
{
    const size_t words = bytes.length / 8;
    for (size_t word = 0; word < words; word++)
        sip_word(sip, load_word(bytes.at + 8 * word));

    sip_word(sip, (uint64_t)bytes.length << 56 | load_rest(bytes, 8 * words));
}

static inline uint64_t sip_finish(struct sip *sip)
{
    for (unsigned round = 0; round < 4; round++)
        sip_round(sip);
    return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

static inline struct sip sip_begin(struct hash_key key)
{
    return (struct sip){
        .v0 = key.word[0] ^ UINT64_C(0x736f6d6570736575),
        .v1 = key.word[1] ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key.word[0] ^ UINT64_C(0x6c7967656e657261),
        .v3 = key.word[1] ^ UINT64_C(0x7465646279746573),
    };
}

uint64_t hash_64(struct hash_key key, struct bytes bytes)
{
    struct sip sip = sip_begin(key);
    sip_absorb(&sip, bytes);
    sip.v2 ^= 0xff;
    return sip_finish(&sip);
}

struct hash128 hash_128(struct hash_key key, struct bytes bytes)
{
    struct sip sip = sip_begin(key);
    sip.v1 ^= 0xee;
    sip_absorb(&sip, bytes);
    struct hash128 hash;
    sip.v2 ^= 0xee;
    hash.word[0] = sip_finish(&sip);
    sip.v1 ^= 0xdd;
    hash.word[1] = sip_finish(&sip);
    return hash;
}

bool hash_128_equal(struct hash128 left, struct hash128 right)
{
    return ((left.word[0] ^ right.word[0]) | (left.word[1] ^ right.word[1])) == 0;
}
