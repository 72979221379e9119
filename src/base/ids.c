/*
 * ids.c: positions and their public spelling. One spelling per number, so an id can be compared and
 * hashed as text; Crockford's look-alikes (o, i, l) are not read as digits for the same reason.
 */
#include "base/ids.h"

#include "base/assert.h"

#define DIGIT_BITS 5

static const char digits[32] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a',
                                'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n',
                                'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z'};

uint64_t position_make(uint64_t sequence, uint32_t index)
{
    ENSURE(sequence <= POSITION_SEQUENCE_MAX);
    ENSURE(index <= POSITION_INDEX_MAX);
    return sequence << POSITION_INDEX_BITS | index;
}

uint64_t position_sequence(uint64_t position)
{
    return position >> POSITION_INDEX_BITS & POSITION_SEQUENCE_MAX;
}

uint32_t position_index(uint64_t position)
{
    return (uint32_t)(position & POSITION_INDEX_MAX);
}

void id_format(char letter, uint64_t number, char text_out[ID_TEXT_SIZE])
{
    ENSURE(number <= INT64_MAX);
    text_out[0] = letter;
    text_out[1] = '_';
    for (unsigned place = ID_TEXT_LENGTH; place-- > 2; number >>= DIGIT_BITS)
        text_out[place] = digits[number & 31];
    text_out[ID_TEXT_LENGTH] = '\0';
}

/* The digit's value, or 32. */
static uint32_t digit_value(uint8_t digit)
{
    uint32_t value = 0;
    while (value < 32 && (uint8_t)digits[value] != digit)
        value++;
    return value;
}

bool id_parse(char letter, struct bytes text, uint64_t *number_out)
{
    if (text.length != ID_TEXT_LENGTH) return false;
    if (text.at[0] != (uint8_t)letter || text.at[1] != '_') return false;

    /* 13 digits carry 65 bits: above 7 in front the number would leave 63. */
    if (digit_value(text.at[2]) > 7) return false;
    uint64_t number = 0;
    for (unsigned place = 2; place < ID_TEXT_LENGTH; place++) {
        const uint32_t value = digit_value(text.at[place]);
        if (value == 32) return false;
        number = number << DIGIT_BITS | value;
    }
    *number_out = number;
    return true;
}
