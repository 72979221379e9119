/*
 * suggestion.c: the distance between two short words, and how far is still a slip.
 */
#include "base/suggestion.h"

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static uint32_t least(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

/* Optimal string alignment; both words at most SUGGESTION_BYTES_MAX. */
static uint32_t edit_distance(struct bytes left, struct bytes right)
{
    uint32_t rows[3][SUGGESTION_BYTES_MAX + 1];
    uint32_t *two_before = rows[0], *before = rows[1], *row = rows[2];
    for (uint32_t column = 0; column <= right.length; column++)
        before[column] = two_before[column] = column;
    for (uint32_t line = 1; line <= left.length; line++) {
        row[0] = line;
        for (uint32_t column = 1; column <= right.length; column++) {
            const uint8_t here = lower(left.at[line - 1]), there = lower(right.at[column - 1]);
            row[column] = least(least(before[column], row[column - 1]) + 1,
                                before[column - 1] + (here != there));
            if (line > 1 && column > 1 && here == lower(right.at[column - 2]) &&
                there == lower(left.at[line - 2]))
                row[column] = least(row[column], two_before[column - 2] + 1);
        }
        uint32_t *const oldest = two_before;
        two_before = before;
        before = row;
        row = oldest;
    }
    return before[right.length];
}

struct suggestion suggestion_for(struct bytes word)
{
    return (struct suggestion){.word = word, .distance = UINT32_MAX};
}

void suggestion_offer(struct suggestion *suggestion, struct bytes candidate)
{
    const struct bytes word = suggestion->word;
    if (word.length > SUGGESTION_BYTES_MAX || candidate.length > SUGGESTION_BYTES_MAX) return;
    const uint32_t longer =
        (uint32_t)(word.length > candidate.length ? word.length : candidate.length);
    /* One slip in three letters, three at most: further away it is a guess, not a slip. */
    const uint32_t distance_max = longer < 6 ? 1 : longer < 9 ? 2 : 3;
    const uint32_t distance = edit_distance(word, candidate);
    if (distance > distance_max || distance >= longer || distance >= suggestion->distance) return;
    suggestion->best = candidate;
    suggestion->distance = distance;
}
