/*
 * ids.h: public identifiers. A letter, '_', and 13 digits of Crockford's base 32 in lower case
 * (0-9 a-z without i l o u), most significant first: "d_0000000000c81". The number is a journal
 * position: partition 11 bits, sequence 40, index within the batch 12; never above 2^63 - 1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define ID_TEXT_LENGTH 15
#define ID_TEXT_SIZE 16

#define POSITION_INDEX_BITS 12
#define POSITION_INDEX_MAX ((1u << POSITION_INDEX_BITS) - 1)
#define POSITION_SEQUENCE_MAX ((UINT64_C(1) << 40) - 1)

uint64_t position_make(uint64_t sequence, uint32_t index); /* partition 0 */
uint64_t position_sequence(uint64_t position);
uint32_t position_index(uint64_t position);

void id_format(char letter, uint64_t number, char text_out[ID_TEXT_SIZE]);
/* False unless the text is exactly what id_format writes for that letter. */
bool id_parse(char letter, struct bytes text, uint64_t *number_out);
