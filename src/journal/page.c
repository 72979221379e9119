#include "journal/page.h"

#define TYPE_INTERIOR 0x05
#define TYPE_LEAF 0x0d
#define LEAF_HEADER_BYTES 8
#define INTERIOR_HEADER_BYTES 12
#define CELL_BYTES_MIN 4
#define OVERFLOW_POINTER_BYTES 4

static uint32_t two_bytes(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t page_rightmost(struct bytes page)
{
    if (page.length < INTERIOR_HEADER_BYTES || page.at[0] != TYPE_INTERIOR) return 0;
    return two_bytes(page.at + 8) << 16 | two_bytes(page.at + 10);
}

/* SQLite's varint: seven bits a byte, most significant first, the ninth byte whole. */
static uint64_t take_varint(struct reader *reader)
{
    uint64_t number = 0;
    for (unsigned byte = 0; byte < 9; byte++) {
        const uint8_t next = reader_take_byte(reader);
        if (byte == 8) return number << 8 | next;
        number = number << 7 | (next & 0x7f);
        if (next < 0x80) break;
    }
    return number;
}

/* What of a row of `payload` bytes lies in the leaf itself. */
static uint64_t local_bytes(uint64_t payload, uint64_t usable)
{
    const uint64_t most = usable - 35;
    if (payload <= most) return payload;
    const uint64_t least = (usable - 12) * 32 / 255 - 23;
    const uint64_t kept = least + (payload - least) % (usable - 4);
    return (kept <= most ? kept : least) + OVERFLOW_POINTER_BYTES;
}

/* Bytes that the row at `offset` takes up; 0 when there can be no row. */
static uint64_t cell_bytes(struct bytes page, uint32_t offset)
{
    if (offset >= page.length) return 0;
    struct reader reader = reader_over((struct bytes){page.at + offset, page.length - offset});
    const uint64_t payload = take_varint(&reader);
    (void)take_varint(&reader);
    if (reader.bad) return 0;
    const uint64_t head = (uint64_t)(reader.at - (page.at + offset));
    const uint64_t bytes = head + local_bytes(payload, page.length);
    return bytes > CELL_BYTES_MIN ? bytes : CELL_BYTES_MIN;
}

/* Bytes in the chain of free blocks, each naming the next and its own size; more than the page has
 * when the chain is not one. */
static uint64_t free_bytes(struct bytes page)
{
    uint64_t sum = 0;
    uint32_t offset = two_bytes(page.at + 1);
    while (offset != 0 && sum <= page.length) {
        if (offset + 4 > page.length) return page.length + 1;
        sum += two_bytes(page.at + offset + 2);
        const uint32_t next = two_bytes(page.at + offset);
        if (next != 0 && next <= offset) return page.length + 1;
        offset = next;
    }
    return sum;
}

bool page_leaf_is_whole(struct bytes page)
{
    if (page.length < LEAF_HEADER_BYTES || page.at[0] != TYPE_LEAF) return false;
    const uint32_t rows = two_bytes(page.at + 3);
    const uint32_t content = two_bytes(page.at + 5);
    if (rows == 0 || content > page.length) return false;
    if (LEAF_HEADER_BYTES + 2 * rows > content) return false;

    uint64_t accounted = free_bytes(page) + page.at[7];
    for (uint32_t row = 0; row < rows && accounted <= page.length; row++) {
        const uint64_t bytes =
            cell_bytes(page, two_bytes(page.at + LEAF_HEADER_BYTES + (size_t)2 * row));
        if (bytes == 0) return false;
        accounted += bytes;
    }
    return accounted == page.length - content;
}
