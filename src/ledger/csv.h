/*
 * csv.h: rows of comma-separated values (RFC 4180: CRLF, quotes doubled). Private to src/ledger.
 *
 * A spreadsheet takes a cell that begins with = + - @ for a formula. Names are chosen by callers,
 * so a text that begins like that gets an apostrophe in front; numbers and amounts stay as they
 * are. Whoever needs names byte for byte reads JSON.
 */
#pragma once

#include "base/base.h"

void csv_text(struct buffer *buffer, struct bytes text); /* at == NULL: an empty cell */
void csv_words(struct buffer *buffer, const char *text);
void csv_json(struct buffer *buffer, struct bytes json); /* an object or list */
void csv_number(struct buffer *buffer, int64_t value);
void csv_sum(struct buffer *buffer, int128 value);
void csv_credits(struct buffer *buffer, int64_t nano);
void csv_credits_sum(struct buffer *buffer, int128 nano);
void csv_instant(struct buffer *buffer, int64_t instant_ms);
void csv_id(struct buffer *buffer, char letter, uint64_t number);
void csv_nothing(struct buffer *buffer);
/* Ends the row; every cell before it ended with a comma, which goes. */
void csv_end(struct buffer *buffer);
