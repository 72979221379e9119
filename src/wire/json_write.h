/*
 * json_write.h: JSON values -> text, into a bounded buffer. Whoever writes JSON in this project
 * writes it with these.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Writing. Commas take care of themselves: whether one is due shows in the last byte written. An
 * answer's outermost brace is json_begin: what stands before it in the buffer is not its business.
 * Everything else inside an object is a key and a value, inside a list a value. */
void json_begin(struct buffer *buffer);
void json_open(struct buffer *buffer, char bracket); /* '{' or '[' as a value */
void json_close(struct buffer *buffer, char bracket);
void json_key(struct buffer *buffer, const char *key);
void json_key_text(struct buffer *buffer, struct bytes key); /* one that needs escaping */

void json_text(struct buffer *buffer, struct bytes text); /* bad UTF-8 becomes U+FFFD */
void json_words(struct buffer *buffer, const char *text);
void json_number(struct buffer *buffer, int64_t value);
void json_count(struct buffer *buffer, uint64_t value);
void json_bool(struct buffer *buffer, bool value);
void json_null(struct buffer *buffer);
void json_sum(struct buffer *buffer, int128 value); /* exact digits, however many */
void json_credits(struct buffer *buffer, int64_t nano);
void json_credits_sum(struct buffer *buffer, int128 nano);
void json_instant(struct buffer *buffer, int64_t instant_ms);
void json_id(struct buffer *buffer, char letter, uint64_t number);

/* A string made of pieces. */
void json_text_begin(struct buffer *buffer);
void json_text_part(struct buffer *buffer, struct bytes part);
void json_words_part(struct buffer *buffer, const char *part);
void json_count_part(struct buffer *buffer, uint64_t value);
void json_text_end(struct buffer *buffer);
void json_key_end(struct buffer *buffer); /* instead of it, when the string is a key */
