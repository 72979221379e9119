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
    bool
        has_room; /* constant: the writer has room for all that will be written, and does not ask */
};

#define WALK static inline __attribute__((always_inline)) void

/* Into a writer that lives in registers: encoders work on a copy of the caller's buffer, so that no
 * byte stored makes the compiler read the writer's fields again. */
static inline __attribute__((always_inline)) bool codec_fits(struct codec c, size_t bytes)
{
    if (c.has_room) return true;
    if (!c.out->overflowed && c.out->size - c.out->used >= bytes) return true;
    c.out->overflowed = true;
    return false;
}

/* Wants room for the longest varint. */
WALK codec_put(struct codec c, uint64_t value)
{
    if (!codec_fits(c, VARINT_BYTES_MAX)) return;
    uint8_t *at = c.out->at + c.out->used;
    if (__builtin_expect(value < 0x80, 1)) {
        *at = (uint8_t)value;
        c.out->used++;
        return;
    }
    c.out->used += varint_write(at, value);
}

WALK codec_put_word(struct codec c, uint64_t value)
{
    if (!codec_fits(c, sizeof value)) return;
    __builtin_memcpy(c.out->at + c.out->used, &value, sizeof value);
    c.out->used += sizeof value;
}

WALK put_varint(struct buffer *out, uint64_t value)
{
    codec_put((struct codec){.out = out}, value);
}

WALK put_word(struct buffer *out, uint64_t value)
{
    codec_put_word((struct codec){.out = out}, value);
}

WALK walk_u64(struct codec c, bool writing, uint64_t *value)
{
    if (writing)
        codec_put(c, *value);
    else
        *value = reader_take_unsigned(c.in);
}

WALK walk_u32(struct codec c, bool writing, uint32_t *value)
{
    if (writing) {
        codec_put(c, *value);
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
        codec_put(c, ((uint64_t)*value << 1) ^ (*value < 0 ? UINT64_MAX : 0));
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
    if (!writing) {
        *value = reader_take_bytes(c.in);
        return;
    }
    codec_put(c, value->length);
    if (!codec_fits(c, value->length)) return;
    if (value->length != 0) __builtin_memcpy(c.out->at + c.out->used, value->at, value->length);
    c.out->used += value->length;
}

WALK walk_bool(struct codec c, bool writing, bool *value)
{
    if (writing) {
        codec_put(c, *value & 1);
        return;
    }
    const uint8_t read = reader_take_byte(c.in);
    if (read > 1) c.in->bad = true;
    *value = read == 1;
}

/* Fixed width, for hashes, whose bits a varint would only lengthen. */
WALK walk_word(struct codec c, bool writing, uint64_t *value)
{
    if (writing) {
        codec_put_word(c, *value);
        return;
    }
    uint64_t word = 0;
    for (unsigned byte = 0; byte < sizeof word; byte++)
        word |= (uint64_t)reader_take_byte(c.in) << (8 * byte);
    *value = word;
}

WALK walk_cut(struct codec c, bool writing, struct journal_cut *cut)
{
    walk_u64(c, writing, &cut->first);
    for (unsigned i = 0; i < COUNT_OF(cut->before); i++)
        walk_word(c, writing, &cut->before[i]);
}

WALK walk_access_terms(struct codec c, bool writing, struct access_terms *terms)
{
    for (unsigned i = 0; i < COUNT_OF(terms->hash); i++)
        walk_word(c, writing, &terms->hash[i]);
    walk_u32(c, writing, &terms->scopes);
    walk_bytes(c, writing, &terms->customer);
    walk_bytes(c, writing, &terms->label);
    walk_i64(c, writing, &terms->expires_ms);
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
