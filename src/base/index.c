/*
 * index.c: linear hashing over buckets of one cache line.
 *
 * With N buckets in use, a tag's bucket is its low bits modulo the power of two above N, or modulo
 * the one below where that bucket does not exist yet. When entries pass three quarters of the
 * places in N buckets, bucket N opens and takes its share of bucket N minus that lower power:
 * the tag alone says which entries move, so the records are never touched.
 *
 * A full bucket chains overflow buckets. In a chain only its first overflow bucket may have free
 * places (all others and the bucket itself are full), which makes insertion and the filling of a
 * hole constant, and bounds the overflow buckets that any set of entries can need: a chain with k
 * of them holds more than 7k entries, so all chains together have fewer than entries / 7.
 */
#include "base/index.h"

#include <string.h>

#include "base/assert.h"

#define PLACES 7
#define BUCKET_BYTES 64

/* Split when entries exceed 3/4 of the places: entries / buckets > 7 * 3 / 4. */
#define ENTRIES_PER_SPLIT UINT64_C(21)
#define BUCKETS_PER_SPLIT UINT64_C(4)

struct bucket {
    uint32_t tag[PLACES];
    uint32_t number[PLACES];
    uint32_t overflow; /* place of the chain's next bucket in the block; 0: none */
    uint32_t count;
};
_Static_assert(sizeof(struct bucket) == BUCKET_BYTES, "a bucket is one cache line");

static uint32_t buckets_ceiling(uint32_t entries_max)
{
    return (uint32_t)(entries_max * BUCKETS_PER_SPLIT / ENTRIES_PER_SPLIT) + 1;
}

static uint32_t overflow_ceiling(uint32_t entries_max)
{
    return entries_max / PLACES;
}

uint64_t index_bytes(uint32_t entries_max)
{
    const uint64_t buckets = (uint64_t)buckets_ceiling(entries_max) + overflow_ceiling(entries_max);
    return buckets * BUCKET_BYTES;
}

struct index index_over(void *block, uint32_t entries_max)
{
    ENSURE(block != NULL && (uintptr_t)block % BUCKET_BYTES == 0);
    return (struct index){.base = block,
                          .entries_max = entries_max,
                          .buckets_max = buckets_ceiling(entries_max),
                          .buckets = 1};
}

static inline struct bucket *bucket_at(const struct index *index, uint32_t place)
{
    return (struct bucket *)(void *)(index->base + (uint64_t)place * BUCKET_BYTES);
}

/* The largest power of two that is at most `buckets`. */
static inline uint32_t floor_power(uint32_t buckets)
{
    return UINT32_C(0x80000000) >> __builtin_clz(buckets);
}

static inline uint32_t home_of(const struct index *index, uint32_t tag)
{
    const uint32_t low = floor_power(index->buckets) - 1;
    const uint32_t high = low << 1 | 1;
    const uint32_t wide = tag & high;
    return wide < index->buckets ? wide : tag & low;
}

static uint32_t overflow_take(struct index *index)
{
    if (index->overflow_free != 0) {
        const uint32_t place = index->overflow_free;
        index->overflow_free = bucket_at(index, place)->overflow;
        return place;
    }
    ENSURE(index->overflow_used < overflow_ceiling(index->entries_max));
    return index->buckets_max + index->overflow_used++;
}

static void overflow_give(struct index *index, uint32_t place)
{
    bucket_at(index, place)->overflow = index->overflow_free;
    index->overflow_free = place;
}

static inline void bucket_append(struct bucket *bucket, uint32_t tag, uint32_t number)
{
    bucket->tag[bucket->count] = tag;
    bucket->number[bucket->count] = number;
    bucket->count++;
}

static void chain_append(struct index *index, uint32_t home, uint32_t tag, uint32_t number)
{
    struct bucket *bucket = bucket_at(index, home);
    if (bucket->count < PLACES) {
        bucket_append(bucket, tag, number);
        return;
    }
    if (bucket->overflow != 0) {
        struct bucket *first = bucket_at(index, bucket->overflow);
        if (first->count < PLACES) {
            bucket_append(first, tag, number);
            return;
        }
    }
    const uint32_t place = overflow_take(index);
    struct bucket *first = bucket_at(index, place);
    *first = (struct bucket){.overflow = bucket->overflow};
    bucket_append(first, tag, number);
    bucket->overflow = place;
}

static void split(struct index *index)
{
    ENSURE(index->buckets < index->buckets_max);
    const uint32_t opened = index->buckets++;
    const uint32_t halved = opened - floor_power(opened);

    /* Each bucket of the old chain is copied out and freed before its entries go anywhere, so that
     * a split never needs more overflow buckets than the entries themselves do. */
    struct bucket moving = *bucket_at(index, halved);
    *bucket_at(index, halved) = (struct bucket){0};
    for (;;) {
        for (uint32_t entry = 0; entry < moving.count; entry++) {
            const uint32_t tag = moving.tag[entry];
            chain_append(index, home_of(index, tag), tag, moving.number[entry]);
        }
        const uint32_t next = moving.overflow;
        if (next == 0) return;
        moving = *bucket_at(index, next);
        overflow_give(index, next);
    }
}

void index_insert(struct index *index, uint64_t hash, uint32_t number)
{
    ENSURE(number >= 1);
    ENSURE(index->entries < index->entries_max);
    const uint32_t tag = (uint32_t)hash;
    chain_append(index, home_of(index, tag), tag, number);
    index->entries++;
    if (index->entries * BUCKETS_PER_SPLIT > index->buckets * ENTRIES_PER_SPLIT) split(index);
}

/* One bit per place whose tag is this one. Without a branch per place, which would be guessed wrong
 * most of the time. */
static inline uint32_t bucket_matches(const struct bucket *bucket, uint32_t tag)
{
    const uint32_t *at = bucket->tag;
    const uint32_t low =
        (uint32_t)(at[0] == tag) + (uint32_t)(at[1] == tag) * 2 + (uint32_t)(at[2] == tag) * 4;
    const uint32_t high = (uint32_t)(at[3] == tag) + (uint32_t)(at[4] == tag) * 2 +
                          (uint32_t)(at[5] == tag) * 4 + (uint32_t)(at[6] == tag) * 8;
    return (low | high << 3) & ((UINT32_C(1) << bucket->count) - 1);
}
_Static_assert(PLACES == 7, "every place is looked at");

void index_remove(struct index *index, uint64_t hash, uint32_t number)
{
    const uint32_t tag = (uint32_t)hash;
    struct bucket *home = bucket_at(index, home_of(index, tag));
    struct bucket *bucket = home;
    uint32_t entry = PLACES;
    for (;;) {
        for (uint32_t matches = bucket_matches(bucket, tag); matches != 0; matches &= matches - 1) {
            entry = (uint32_t)__builtin_ctz(matches);
            if (bucket->number[entry] == number) break;
            entry = PLACES;
        }
        if (entry < PLACES) break;
        ENSURE(bucket->overflow != 0);
        bucket = bucket_at(index, bucket->overflow);
    }

    struct bucket *donor = home->overflow == 0 ? home : bucket_at(index, home->overflow);
    donor->count--;
    bucket->tag[entry] = donor->tag[donor->count];
    bucket->number[entry] = donor->number[donor->count];
    if (donor != home && donor->count == 0) {
        const uint32_t emptied = home->overflow;
        home->overflow = donor->overflow;
        overflow_give(index, emptied);
    }
    index->entries--;
}

/* A cursor is the place of a bucket, then in its low byte the entry to look at next; never 0 after
 * the first answer, because that entry is then at least 1. */
uint32_t index_find(const struct index *index, uint64_t hash, uint64_t *cursor)
{
    const uint32_t tag = (uint32_t)hash;
    uint32_t place = *cursor == 0 ? home_of(index, tag) : (uint32_t)(*cursor >> 8);
    uint32_t seen = (UINT32_C(1) << (*cursor & 0xff)) - 1;
    for (;;) {
        const struct bucket *bucket = bucket_at(index, place);
        const uint32_t matches = bucket_matches(bucket, tag) & ~seen;
        if (matches != 0) {
            const uint32_t entry = (uint32_t)__builtin_ctz(matches);
            *cursor = (uint64_t)place << 8 | (entry + 1);
            return bucket->number[entry];
        }
        if (bucket->overflow == 0) return 0;
        place = bucket->overflow;
        seen = 0;
    }
}

void index_prefetch(const struct index *index, uint64_t hash)
{
    __builtin_prefetch(bucket_at(index, home_of(index, (uint32_t)hash)));
}
