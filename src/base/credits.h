/*
 * credits.h: nano-credits <-> the decimal strings in which money travels.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/numbers.h"

/* "9223372036.854775807" with a sign and a NUL. */
#define CREDITS_TEXT_SIZE 24

/* Digits, optionally a point and 1 to 9 digits; optionally a leading '-'. No exponent, no '+', no
 * spaces, no bare point. False when malformed or beyond the range of int64 nano-credits. */
bool credits_parse(struct bytes text, int64_t *nano_out);
/* Whether it is written so, however large the amount. */
bool credits_has_form(struct bytes text);

/* Shortest form: "6", "0.5", "0", "-1.25". Returns the length, without the NUL. */
unsigned credits_format(int64_t nano, char text_out[CREDITS_TEXT_SIZE]);
/* The same of any sum. */
void credits_put(struct buffer *buffer, int128 nano);
