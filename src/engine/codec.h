/*
 * codec.h (private): one description of a record serves both directions. A walk names each field
 * once; `writing` is a constant in each of its two instances, so the compiler makes two straight
 * codecs of it and they cannot drift apart.
 */
#pragma once

#include "base/base.h"

struct codec {
    struct buffer *out;
    struct reader *in;
};

#define WALK static inline __attribute__((always_inline)) void

WALK walk_u64(struct codec c, bool writing, uint64_t *value)
{
    if (writing)
        buffer_put_unsigned(c.out, *value);
    else
        *value = reader_take_unsigned(c.in);
}

WALK walk_u32(struct codec c, bool writing, uint32_t *value)
{
    if (writing) {
        buffer_put_unsigned(c.out, *value);
        return;
    }
    const uint64_t read = reader_take_unsigned(c.in);
    if (read > UINT32_MAX) c.in->bad = true;
    *value = (uint32_t)read;
}

/* A count of what follows; more than `max` is damage. */
WALK walk_count(struct codec c, bool writing, uint32_t *value, uint32_t max)
{
    walk_u32(c, writing, value);
    if (writing) {
        ENSURE(*value <= max);
    } else if (*value > max) {
        c.in->bad = true;
        *value = 0;
    }
}

WALK walk_i64(struct codec c, bool writing, int64_t *value)
{
    if (writing)
        buffer_put_signed(c.out, *value);
    else
        *value = reader_take_signed(c.in);
}

WALK walk_i32(struct codec c, bool writing, int32_t *value)
{
    int64_t wide = *value;
    walk_i64(c, writing, &wide);
    if (writing) return;
    if (wide < INT32_MIN || wide > INT32_MAX) c.in->bad = true;
    *value = (int32_t)wide;
}

WALK walk_bytes(struct codec c, bool writing, struct bytes *value)
{
    if (writing)
        buffer_put_bytes(c.out, *value);
    else
        *value = reader_take_bytes(c.in);
}

WALK walk_bool(struct codec c, bool writing, bool *value)
{
    if (writing) {
        buffer_put_byte(c.out, *value ? 1 : 0);
        return;
    }
    const uint8_t read = reader_take_byte(c.in);
    if (read > 1) c.in->bad = true;
    *value = read == 1;
}

/* Fixed width, for hashes, whose bits a varint would only lengthen. */
WALK walk_word(struct codec c, bool writing, uint64_t *value)
{
    uint64_t word = *value;
    if (writing) {
        buffer_put(c.out, &word, sizeof word);
        return;
    }
    word = 0;
    for (unsigned byte = 0; byte < sizeof word; byte++)
        word |= (uint64_t)reader_take_byte(c.in) << (8 * byte);
    *value = word;
}

/* An enumeration whose greatest value is max. */
#define WALK_ENUM(c, writing, lvalue, max)          \
    do {                                            \
        uint64_t walked_ = (uint64_t)(lvalue);      \
        walk_u64((c), (writing), &walked_);         \
        if (!(writing)) {                           \
            if (walked_ > (uint64_t)(max)) {        \
                (c).in->bad = true;                 \
                walked_ = 0;                        \
            }                                       \
            (lvalue) = (__typeof__(lvalue))walked_; \
        }                                           \
    } while (0)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "walk_word writes little-endian");
