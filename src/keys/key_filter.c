/*
 * key_filter.c: see key_filter.h.
 */
#include "keys/key_filter.h"

enum { LINE_WORDS = 8, PROBES = 7, PLACE_BITS = 9 };

static uint64_t lines_for(uint64_t keys)
{
    const uint64_t line_bits = UINT64_C(1) << PLACE_BITS;
    return (keys * KEY_FILTER_BITS_PER_KEY + line_bits - 1) / line_bits + 1;
}

uint64_t key_filter_bytes(uint64_t keys)
{
    return lines_for(keys) * LINE_WORDS * sizeof(uint64_t);
}

struct key_filter key_filter_over(void *block, uint64_t keys)
{
    ENSURE(block != NULL && (uintptr_t)block % 64 == 0);
    return (struct key_filter){.lines = block, .line_count = lines_for(keys)};
}

static uint64_t *line_of(const struct key_filter *filter, struct hash128 hash)
{
    const uint64_t line = (uint64_t)((uint128)hash.word[0] * filter->line_count >> 64);
    return filter->lines + line * LINE_WORDS;
}

/* The seven places of a key within its line. */
static void places_of(struct hash128 hash, uint64_t mask_out[LINE_WORDS])
{
    uint64_t places = hash.word[1];
    for (unsigned i = 0; i < LINE_WORDS; i++)
        mask_out[i] = 0;
    for (unsigned i = 0; i < PROBES; i++) {
        mask_out[places >> 6 & 7] |= UINT64_C(1) << (places & 63);
        places >>= PLACE_BITS;
    }
}

void key_filter_add(struct key_filter *filter, struct hash128 hash)
{
    uint64_t mask[LINE_WORDS];
    uint64_t *line = line_of(filter, hash);
    places_of(hash, mask);
    for (unsigned i = 0; i < LINE_WORDS; i++)
        line[i] |= mask[i];
}

bool key_filter_may_have(const struct key_filter *filter, struct hash128 hash)
{
    const uint64_t *line = line_of(filter, hash);
    uint64_t places = hash.word[1];
    for (unsigned i = 0; i < PROBES; i++) {
        if ((line[places >> 6 & 7] >> (places & 63) & 1) == 0) return false;
        places >>= PLACE_BITS;
    }
    return true;
}
