/*
 * suggestion.h: what somebody meant who misspelt one of a few words.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

#define SUGGESTION_BYTES_MAX 64u /* of a word; longer ones are not compared */

/* Which of the offered words was probably meant: start, offer all, look at `best` (length 0: none
 * is near). Distance counts inserted, lost, wrong and swapped letters; case does not matter. */
struct suggestion {
    struct bytes word;
    struct bytes best;
    uint32_t distance;
};
struct suggestion suggestion_for(struct bytes word);
void suggestion_offer(struct suggestion *suggestion, struct bytes candidate);
