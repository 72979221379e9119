/*
 * csv.c: see csv.h.
 */
#include "ledger/csv.h"

#include <string.h>

static void put_quoted(struct buffer *buffer, struct bytes text)
{
    for (size_t i = 0; i < text.length; ++i) {
        if (text.at[i] == '"') buffer_put_byte(buffer, '"');
        buffer_put_byte(buffer, text.at[i]);
    }
}

static bool is_formula(struct bytes text)
{
    static const char marks[] = {'=', '+', '-', '@', '\t', '\r', '\n'};
    return text.length > 0 && memchr(marks, text.at[0], sizeof marks) != NULL;
}

static bool needs_quotes(struct bytes text)
{
    static const char marks[] = {',', '"', '\r', '\n'};
    for (size_t i = 0; i < text.length; ++i)
        if (memchr(marks, text.at[i], sizeof marks) != NULL) return true;
    return text.length > 0 && (text.at[0] == ' ' || text.at[text.length - 1] == ' ');
}

void csv_text(struct buffer *buffer, struct bytes text)
{
    const bool has_quotes = needs_quotes(text);
    if (has_quotes) buffer_put_byte(buffer, '"');
    if (is_formula(text)) buffer_put_byte(buffer, '\'');
    put_quoted(buffer, text);
    if (has_quotes) buffer_put_byte(buffer, '"');
    buffer_put_byte(buffer, ',');
}

void csv_words(struct buffer *buffer, const char *text)
{
    csv_text(buffer, bytes_of_text(text));
}

void csv_json(struct buffer *buffer, struct bytes json)
{
    buffer_put_byte(buffer, '"');
    put_quoted(buffer, json);
    buffer_put_text(buffer, "\",");
}

void csv_number(struct buffer *buffer, int64_t value)
{
    if (value < 0) buffer_put_byte(buffer, '-');
    buffer_put_decimal(buffer, value < 0 ? -(uint64_t)value : (uint64_t)value);
    buffer_put_byte(buffer, ',');
}

void csv_credits(struct buffer *buffer, int64_t nano)
{
    char text[CREDITS_TEXT_SIZE];
    buffer_put(buffer, text, credits_format(nano, text));
    buffer_put_byte(buffer, ',');
}

void csv_sum(struct buffer *buffer, int128 value)
{
    buffer_put_integer(buffer, value);
    buffer_put_byte(buffer, ',');
}

void csv_credits_sum(struct buffer *buffer, int128 nano)
{
    credits_put(buffer, nano);
    buffer_put_byte(buffer, ',');
}

void csv_instant(struct buffer *buffer, int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE];
    buffer_put(buffer, text, calendar_format(instant_ms, text));
    buffer_put_byte(buffer, ',');
}

void csv_id(struct buffer *buffer, char letter, uint64_t number)
{
    char text[ID_TEXT_SIZE];
    id_format(letter, number, text);
    buffer_put(buffer, text, ID_TEXT_LENGTH);
    buffer_put_byte(buffer, ',');
}

void csv_nothing(struct buffer *buffer)
{
    buffer_put_byte(buffer, ',');
}

void csv_end(struct buffer *buffer)
{
    if (buffer->overflowed) return;
    ENSURE(buffer->used > 0 && buffer->at[buffer->used - 1] == ',');
    --buffer->used;
    buffer_put_text(buffer, "\r\n");
}
