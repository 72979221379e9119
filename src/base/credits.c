/*
 * credits.c: nine decimal places, read and written with integers only. Magnitudes are built
 * unsigned, because the most negative amount has no positive twin.
 */
#include "base/credits.h"

#define FRACTION_DIGITS_MAX 9

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool append_digit(uint64_t *value, uint8_t digit)
{
    return number_multiply_u64(*value, 10, value) &&
           number_add_u64(*value, (uint64_t)(digit - '0'), value);
}

bool credits_has_form(struct bytes text)
{
    size_t place = text.length > 0 && text.at[0] == '-' ? 1 : 0;
    const size_t whole_start = place;
    while (place < text.length && is_digit(text.at[place]))
        place++;
    if (place == whole_start) return false;
    if (place == text.length) return true;
    if (text.at[place++] != '.') return false;
    const size_t fraction_start = place;
    while (place < text.length && is_digit(text.at[place]))
        place++;
    return place == text.length && place > fraction_start &&
           place - fraction_start <= FRACTION_DIGITS_MAX;
}

bool credits_parse(struct bytes text, int64_t *nano_out)
{
    if (!credits_has_form(text)) return false;
    const bool negative = text.at[0] == '-';
    uint64_t nano = 0;
    bool in_fraction = false;
    unsigned fraction_digits = 0;
    for (size_t place = negative ? 1 : 0; place < text.length; place++) {
        if (text.at[place] == '.') {
            in_fraction = true;
            continue;
        }
        if (!append_digit(&nano, text.at[place])) return false;
        fraction_digits += in_fraction;
    }
    for (; fraction_digits < FRACTION_DIGITS_MAX; fraction_digits++)
        if (!append_digit(&nano, '0')) return false;

    if (nano > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *nano_out = (int64_t)(negative ? -nano : nano);
    return true;
}

void credits_put(struct buffer *buffer, int128 nano)
{
    const uint128 magnitude = nano < 0 ? -(uint128)nano : (uint128)nano;
    uint64_t fraction = 0;
    if (nano < 0) buffer_put_byte(buffer, '-');
    buffer_put_integer(buffer,
                       (int128)number_divide(magnitude, (uint64_t)NANO_PER_CREDIT, &fraction));
    if (fraction != 0) buffer_put_byte(buffer, '.');
    while (fraction != 0) {
        fraction *= 10;
        buffer_put_byte(buffer, (uint8_t)('0' + fraction / (uint64_t)NANO_PER_CREDIT));
        fraction %= (uint64_t)NANO_PER_CREDIT;
    }
}

unsigned credits_format(int64_t nano, char text_out[CREDITS_TEXT_SIZE])
{
    struct buffer buffer = buffer_over(text_out, CREDITS_TEXT_SIZE);
    credits_put(&buffer, nano);
    const unsigned length = (unsigned)buffer.used;
    buffer_put_byte(&buffer, '\0');
    return length;
}
