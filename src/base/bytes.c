/*
 * bytes.c: the parts of the codec that are not inline. A null pointer with length 0 is an ordinary
 * empty view everywhere, so mem* are never called with one.
 */
#include "base/bytes.h"

#include <string.h>

#define DECIMAL_DIGITS_MAX 20
#define DECIMAL_DIGITS_MAX_128 39

struct bytes bytes_of_text(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return (struct bytes){(const uint8_t *)text, length};
}

int bytes_compare(struct bytes left, struct bytes right)
{
    const size_t common = left.length < right.length ? left.length : right.length;
    const int order = common == 0 ? 0 : memcmp(left.at, right.at, common);
    if (order != 0) return order;
    return (left.length > right.length) - (left.length < right.length);
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the well-formed sequence at the front, by the table of RFC 3629 §4; 0 if none. */
static size_t utf8_sequence(const uint8_t *at, size_t length)
{
    const uint8_t first = at[0];
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (length < 2 || !is_continuation(at[1])) return 0;
    if (first < 0xe0) return 2;

    /* The second byte is what rules out overlong forms, surrogates and beyond U+10FFFF. */
    if (first == 0xe0 && at[1] < 0xa0) return 0;
    if (first == 0xed && at[1] > 0x9f) return 0;
    if (first == 0xf0 && at[1] < 0x90) return 0;
    if (first == 0xf4 && at[1] > 0x8f) return 0;
    if (length < 3 || !is_continuation(at[2])) return 0;
    if (first < 0xf0) return 3;
    if (length < 4 || !is_continuation(at[3])) return 0;
    return 4;
}

size_t bytes_utf8_length(struct bytes text)
{
    size_t length = 0;
    while (length < text.length) {
        const size_t step = utf8_sequence(text.at + length, text.length - length);
        if (step == 0) break;
        length += step;
    }
    return length;
}

bool bytes_is_utf8(struct bytes text)
{
    return bytes_utf8_length(text) == text.length;
}

struct buffer buffer_over(void *block, size_t size)
{
    return (struct buffer){.at = block, .size = size};
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->at, buffer->used};
}

void buffer_put(struct buffer *buffer, const void *data, size_t length)
{
    if (buffer->overflowed || length > buffer->size - buffer->used) {
        buffer->overflowed = true;
        return;
    }
    if (length == 0) return;
    memcpy(buffer->at + buffer->used, data, length);
    buffer->used += length;
}

void buffer_put_text(struct buffer *buffer, const char *text)
{
    const struct bytes bytes = bytes_of_text(text);
    buffer_put(buffer, bytes.at, bytes.length);
}

unsigned varint_write(uint8_t *at, uint64_t value)
{
    if (value < UINT64_C(1) << 56) {
        /* Eight groups of seven bits, each moved to a byte of its own, all at once: lengths differ
         * from field to field, and no branch has to guess them. */
        uint64_t groups = (value & 0x0fffffff) | (value & UINT64_C(0xfffffff0000000)) << 4;
        groups = (groups & UINT64_C(0x00003fff00003fff)) | (groups & UINT64_C(0x0fffc0000fffc000))
                                                               << 2;
        groups = (groups & UINT64_C(0x007f007f007f007f)) | (groups & UINT64_C(0x3f803f803f803f80))
                                                               << 1;
        const unsigned last = (63 - (unsigned)__builtin_clzll(value | 1)) * 37 / 256; /* by 7 */
        groups |= UINT64_C(0x80808080808080) >> 8 * (7 - last);
        memcpy(at, &groups, sizeof groups);
        return last + 1;
    }
    unsigned length = 0;
    for (; value >= 0x80; value >>= 7)
        at[length++] = (uint8_t)(value | 0x80);
    at[length++] = (uint8_t)value;
    return length;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first group is the first byte");

void buffer_put_unsigned_wide(struct buffer *buffer, uint64_t value)
{
    uint8_t varint[VARINT_BYTES_MAX];
    buffer_put(buffer, varint, varint_write(varint, value));
}

void buffer_put_bytes(struct buffer *buffer, struct bytes bytes)
{
    buffer_put_unsigned(buffer, bytes.length);
    buffer_put(buffer, bytes.at, bytes.length);
}

void buffer_put_decimal(struct buffer *buffer, uint64_t value)
{
    uint8_t digits[DECIMAL_DIGITS_MAX];
    size_t first = DECIMAL_DIGITS_MAX;
    do {
        digits[--first] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    buffer_put(buffer, digits + first, DECIMAL_DIGITS_MAX - first);
}

void buffer_put_hex(struct buffer *buffer, struct bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t at = 0; at < bytes.length; ++at) {
        buffer_put_byte(buffer, (uint8_t)digits[bytes.at[at] >> 4]);
        buffer_put_byte(buffer, (uint8_t)digits[bytes.at[at] & 15]);
    }
}

void buffer_put_hex_number(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned at = 0; at < sizeof bytes; ++at)
        bytes[at] = (uint8_t)(value >> (56 - 8 * at));
    buffer_put_hex(buffer, (struct bytes){bytes, sizeof bytes});
}

int bytes_hex_digit(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

void buffer_put_decimal_128(struct buffer *buffer, uint128 value)
{
    uint8_t digits[DECIMAL_DIGITS_MAX_128];
    size_t first = DECIMAL_DIGITS_MAX_128;
    for (; value > UINT64_MAX; value /= 10)
        digits[--first] = (uint8_t)('0' + (unsigned)(value % 10));
    buffer_put_decimal(buffer, (uint64_t)value);
    buffer_put(buffer, digits + first, DECIMAL_DIGITS_MAX_128 - first);
}

void buffer_put_integer(struct buffer *buffer, int128 value)
{
    if (value < 0) buffer_put_byte(buffer, '-');
    buffer_put_decimal_128(buffer, value < 0 ? -(uint128)value : (uint128)value);
}

struct reader reader_over(struct bytes bytes)
{
    return (struct reader){.at = bytes.at,
                           .end = bytes.length == 0 ? bytes.at : bytes.at + bytes.length};
}

/* An emptied reader fails every later read by itself: reads need no second question. */
static void reader_spoil(struct reader *reader)
{
    reader->at = reader->end;
    reader->bad = true;
}

uint64_t reader_take_unsigned_wide(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned place = 0; place < VARINT_BYTES_MAX; place++) {
        if (reader->at == reader->end) break;
        const uint8_t byte = *reader->at++;
        /* One spelling per number: no zero at the end, nothing beyond 64 bits. */
        if (place > 0 && byte == 0) break;
        if (place == VARINT_BYTES_MAX - 1 && byte > 1) break;
        value |= (uint64_t)(byte & 0x7f) << 7 * place;
        if (byte < 0x80) return value;
    }
    reader_spoil(reader);
    return 0;
}

struct bytes reader_take_bytes(struct reader *reader)
{
    const uint64_t length = reader_take_unsigned(reader);
    if (length > (size_t)(reader->end - reader->at)) {
        reader_spoil(reader);
        return BYTES_NONE;
    }
    if (length == 0) return BYTES_NONE;
    const struct bytes taken = {reader->at, (size_t)length};
    reader->at += length;
    return taken;
}

bool reader_is_done(const struct reader *reader)
{
    return !reader->bad && reader->at == reader->end;
}
