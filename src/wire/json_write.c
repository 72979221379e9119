/*
 * json_write.c: compact JSON into a bounded buffer.
 */
#include "wire/json.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

/* A value or key follows another one unless something was just opened or named. The last byte
 * tells: within a string it would be a quote. */
static void separate(struct buffer *buffer)
{
    if (buffer->used == 0) return;
    const uint8_t last = buffer->at[buffer->used - 1];
    if (last != '{' && last != '[' && last != ':' && last != ',') buffer_put_byte(buffer, ',');
}

void json_begin(struct buffer *buffer)
{
    buffer_put_byte(buffer, '{');
}

void json_open(struct buffer *buffer, char bracket)
{
    separate(buffer);
    buffer_put_byte(buffer, (uint8_t)bracket);
}

void json_close(struct buffer *buffer, char bracket)
{
    buffer_put_byte(buffer, (uint8_t)bracket);
}

void json_key(struct buffer *buffer, const char *key)
{
    separate(buffer);
    buffer_put_byte(buffer, '"');
    buffer_put_text(buffer, key);
    buffer_put_text(buffer, "\":");
}

/* Bytes of the well-formed character at the start of the text; 0: there is none. */
static size_t character_length(struct bytes text)
{
    const uint8_t lead = text.at[0];
    if (lead < 0x80) return 1;
    const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (length > text.length || !bytes_is_utf8((struct bytes){text.at, length})) return 0;
    return length;
}

static void put_control(struct buffer *buffer, uint8_t byte)
{
    const char escape[] = {'\\', 'u', '0', '0', hex_digits[byte >> 4], hex_digits[byte & 15]};
    buffer_put(buffer, escape, sizeof escape);
}

void json_text_part(struct buffer *buffer, struct bytes part)
{
    size_t plain = 0; /* start of what needs no escape */
    size_t at = 0;
    while (at < part.length) {
        const uint8_t byte = part.at[at];
        const size_t length = character_length((struct bytes){part.at + at, part.length - at});
        if (length > 0 && byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) {
            at += length;
            continue;
        }
        buffer_put(buffer, part.at + plain, at - plain);
        if (length == 0)
            buffer_put_text(buffer, "\xef\xbf\xbd");
        else if (byte == '"')
            buffer_put_text(buffer, "\\\"");
        else if (byte == '\\')
            buffer_put_text(buffer, "\\\\");
        else if (byte == '\n')
            buffer_put_text(buffer, "\\n");
        else
            put_control(buffer, byte);
        plain = ++at;
    }
    if (at > plain) buffer_put(buffer, part.at + plain, at - plain);
}

void json_words_part(struct buffer *buffer, const char *part)
{
    json_text_part(buffer, bytes_of_text(part));
}

void json_count_part(struct buffer *buffer, uint64_t value)
{
    buffer_put_decimal(buffer, value);
}

void json_text_begin(struct buffer *buffer)
{
    separate(buffer);
    buffer_put_byte(buffer, '"');
}

void json_text_end(struct buffer *buffer)
{
    buffer_put_byte(buffer, '"');
}

void json_text(struct buffer *buffer, struct bytes text)
{
    json_text_begin(buffer);
    json_text_part(buffer, text);
    json_text_end(buffer);
}

void json_key_end(struct buffer *buffer)
{
    buffer_put_text(buffer, "\":");
}

void json_key_text(struct buffer *buffer, struct bytes key)
{
    json_text_begin(buffer);
    json_text_part(buffer, key);
    json_key_end(buffer);
}

void json_words(struct buffer *buffer, const char *text)
{
    json_text(buffer, bytes_of_text(text));
}

void json_count(struct buffer *buffer, uint64_t value)
{
    separate(buffer);
    buffer_put_decimal(buffer, value);
}

void json_number(struct buffer *buffer, int64_t value)
{
    separate(buffer);
    if (value < 0) buffer_put_byte(buffer, '-');
    buffer_put_decimal(buffer, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_bool(struct buffer *buffer, bool value)
{
    separate(buffer);
    buffer_put_text(buffer, value ? "true" : "false");
}

void json_null(struct buffer *buffer)
{
    separate(buffer);
    buffer_put_text(buffer, "null");
}

void json_credits(struct buffer *buffer, int64_t nano)
{
    char text[CREDITS_TEXT_SIZE];
    const unsigned length = credits_format(nano, text);
    json_text(buffer, (struct bytes){(const uint8_t *)text, length});
}

void json_sum(struct buffer *buffer, int128 value)
{
    separate(buffer);
    buffer_put_integer(buffer, value);
}

void json_credits_sum(struct buffer *buffer, int128 nano)
{
    separate(buffer);
    buffer_put_byte(buffer, '"');
    credits_put(buffer, nano);
    buffer_put_byte(buffer, '"');
}

void json_instant(struct buffer *buffer, int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE];
    const unsigned length = calendar_format(instant_ms, text);
    json_text(buffer, (struct bytes){(const uint8_t *)text, length});
}

void json_id(struct buffer *buffer, char letter, uint64_t number)
{
    char text[ID_TEXT_SIZE];
    id_format(letter, number, text);
    json_text(buffer, (struct bytes){(const uint8_t *)text, ID_TEXT_LENGTH});
}

struct bytes json_cut(struct bytes text, size_t bytes_max)
{
    if (text.length <= bytes_max) return text;
    size_t length = bytes_max;
    while (length > 0 && (text.at[length] & 0xc0) == 0x80)
        length--;
    return (struct bytes){text.at, length};
}
