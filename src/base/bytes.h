/*
 * bytes.h: pointer plus length everywhere; a bounded writer; a reader that cannot overrun.
 *
 * The writer and the reader are the one codec of the project: unsigned LEB128 varints, zigzag for
 * signed numbers, length-prefixed bytes. Both remember their first failure in a flag, so that a
 * codec is a straight list of calls with one check at its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/numbers.h"

/* A view of somebody else's memory. */
struct bytes {
    const uint8_t *at;
    size_t length;
};

#define BYTES(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})
#define BYTES_NONE ((struct bytes){NULL, 0})

struct bytes bytes_of_text(const char *text); /* up to, without, its NUL */
static inline bool bytes_equal(struct bytes left, struct bytes right);
int bytes_compare(struct bytes left, struct bytes right); /* as memcmp, shorter first */
size_t bytes_utf8_length(struct bytes text);              /* of the longest prefix that is UTF-8 */
bool bytes_is_utf8(struct bytes text);                    /* RFC 3629; no surrogates */
int bytes_hex_digit(uint8_t digit); /* its value, in either case; -1: it is none */

#define VARINT_BYTES_MAX 10u

/* Writes into a fixed block. What does not fit is not written at all, and neither is anything after
 * it: `overflowed` stays set. */
struct buffer {
    uint8_t *at;
    size_t used;
    size_t size;
    bool overflowed;
};

struct buffer buffer_over(void *block, size_t size);
struct bytes buffer_bytes(const struct buffer *buffer);
void buffer_put(struct buffer *buffer, const void *data, size_t length);
void buffer_put_text(struct buffer *buffer, const char *text);
static inline void buffer_put_byte(struct buffer *buffer, uint8_t byte);
static inline void buffer_put_unsigned(struct buffer *buffer, uint64_t value); /* 1..10 bytes */
static inline void buffer_put_signed(struct buffer *buffer, int64_t value);    /* zigzag */
void buffer_put_bytes(struct buffer *buffer, struct bytes bytes); /* length, then the bytes */
void buffer_put_decimal(struct buffer *buffer, uint64_t value);   /* ASCII digits */
void buffer_put_hex(struct buffer *buffer, struct bytes bytes); /* two digits a byte, lower case */
void buffer_put_hex_number(struct buffer *buffer, uint64_t value); /* 16 digits */
void buffer_put_decimal_128(struct buffer *buffer, uint128 value);
void buffer_put_integer(struct buffer *buffer, int128 value); /* with a sign if it is negative */

/* Reads from a fixed block. After the first bad read every read gives 0 and `bad` stays set. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct reader reader_over(struct bytes bytes);
static inline uint8_t reader_take_byte(struct reader *reader);
static inline uint64_t reader_take_unsigned(struct reader *reader); /* canonical LEB128 only */
static inline int64_t reader_take_signed(struct reader *reader);
struct bytes reader_take_bytes(struct reader *reader); /* a view into the block */
bool reader_is_done(const struct reader *reader);      /* all read and nothing bad */

/* Most numbers in facts fit one byte: that path is inline, these two are the rest of it. */
void buffer_put_unsigned_wide(struct buffer *buffer, uint64_t value);
/* Into at least VARINT_BYTES_MAX bytes, of which some behind the varint may change; says how long
 * it is. */
unsigned varint_write(uint8_t *at, uint64_t value);
uint64_t reader_take_unsigned_wide(struct reader *reader);

static inline bool bytes_equal(struct bytes left, struct bytes right)
{
    if (left.length != right.length) return false;
    return left.length == 0 || __builtin_memcmp(left.at, right.at, left.length) == 0;
}

static inline void buffer_put_byte(struct buffer *buffer, uint8_t byte)
{
    if (buffer->overflowed || buffer->used == buffer->size) {
        buffer->overflowed = true;
        return;
    }
    buffer->at[buffer->used++] = byte;
}

static inline void buffer_put_unsigned(struct buffer *buffer, uint64_t value)
{
    if (value < 0x80)
        buffer_put_byte(buffer, (uint8_t)value);
    else
        buffer_put_unsigned_wide(buffer, value);
}

static inline void buffer_put_signed(struct buffer *buffer, int64_t value)
{
    const uint64_t sign = value < 0 ? UINT64_MAX : 0;
    buffer_put_unsigned(buffer, ((uint64_t)value << 1) ^ sign);
}

static inline uint8_t reader_take_byte(struct reader *reader)
{
    if (reader->at == reader->end) {
        reader->bad = true;
        return 0;
    }
    return *reader->at++;
}

static inline uint64_t reader_take_unsigned(struct reader *reader)
{
    if (reader->at != reader->end && *reader->at < 0x80) return *reader->at++;
    return reader_take_unsigned_wide(reader);
}

static inline int64_t reader_take_signed(struct reader *reader)
{
    const uint64_t folded = reader_take_unsigned(reader);
    const uint64_t sign = (folded & 1) != 0 ? UINT64_MAX : 0;
    return (int64_t)((folded >> 1) ^ sign);
}
