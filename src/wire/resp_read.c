/*
 * resp_read.c: where a RESP command ends, and how answers are written.
 */
#include "wire/resp.h"

#include <string.h>

#define LINE_END_BYTES 2u
#define NUMBER_BYTES_MAX 10u

static const char bulk_wrong[] = "invalid bulk length";
static const char count_wrong[] = "invalid multibulk length";
static const char quotes_wrong[] = "unbalanced quotes in request";
static const char long_wrong[] = "too big a command";

/* ---- reading */

enum number { NUMBER_PART, NUMBER_WHOLE, NUMBER_WRONG };

/* A decimal number and its line end at `at`, which is moved behind them. */
static enum number take_number(struct bytes input, size_t *at, int64_t *number_out)
{
    size_t end = *at;
    int64_t number = 0;
    const bool is_negative = end < input.length && input.at[end] == '-';
    if (is_negative) ++end;
    const size_t start = end;
    while (end < input.length && input.at[end] >= '0' && input.at[end] <= '9') {
        if (end - start == NUMBER_BYTES_MAX) return NUMBER_WRONG;
        number = number * 10 + (input.at[end] - '0');
        ++end;
    }
    if (end == input.length) return NUMBER_PART;
    if (end == start || input.at[end] != '\r') return NUMBER_WRONG;
    if (end + 1 == input.length) return NUMBER_PART;
    if (input.at[end + 1] != '\n') return NUMBER_WRONG;
    *number_out = is_negative ? -number : number;
    *at = end + LINE_END_BYTES;
    return NUMBER_WHOLE;
}

static enum resp_read wrong(const char *why, const char **wrong_out)
{
    *wrong_out = why;
    return RESP_WRONG;
}

static enum resp_read read_line(struct resp_reader *reader, struct bytes input, size_t *length_out,
                                const char **wrong_out)
{
    const size_t unseen = input.length - reader->at;
    const uint8_t *end = unseen > 0 ? memchr(input.at + reader->at, '\n', unseen) : NULL;
    const size_t length = end != NULL ? (size_t)(end - input.at) + 1 : input.length;
    if (length > RESP_LINE_BYTES_MAX) return wrong("too big inline request", wrong_out);
    reader->at = length;
    if (end == NULL) return RESP_PART;
    *length_out = length;
    return RESP_LINE;
}

static enum resp_read read_count(struct resp_reader *reader, struct bytes input, size_t *length_out,
                                 const char **wrong_out)
{
    size_t at = 1;
    int64_t count = 0;
    switch (take_number(input, &at, &count)) {
    case NUMBER_PART:
        return RESP_PART;
    case NUMBER_WRONG:
        return wrong(count_wrong, wrong_out);
    case NUMBER_WHOLE:
        break;
    }
    if (count > (int64_t)RESP_ARGUMENTS_MAX) return wrong(count_wrong, wrong_out);
    reader->at = at;
    reader->is_begun = true;
    reader->bulk = -1;
    reader->left = count > 0 ? (uint32_t)count : 0;
    *length_out = at;
    return count > 0 ? RESP_WHOLE : RESP_NONE;
}

/* The length of the argument at hand. */
static enum resp_read read_bulk_length(struct resp_reader *reader, struct bytes input,
                                       const char **wrong_out)
{
    size_t at = reader->at;
    int64_t bulk = 0;
    if (at == input.length) return RESP_PART;
    if (input.at[at++] != '$') return wrong("expected '$'", wrong_out);
    switch (take_number(input, &at, &bulk)) {
    case NUMBER_PART:
        return RESP_PART;
    case NUMBER_WRONG:
        return wrong(bulk_wrong, wrong_out);
    case NUMBER_WHOLE:
        break;
    }
    if (bulk < 0 || bulk > (int64_t)RESP_COMMAND_BYTES_MAX) return wrong(bulk_wrong, wrong_out);
    if (at + (size_t)bulk + LINE_END_BYTES > RESP_COMMAND_BYTES_MAX)
        return wrong(long_wrong, wrong_out);
    reader->at = at;
    reader->bulk = bulk;
    return RESP_WHOLE;
}

static enum resp_read read_command(struct resp_reader *reader, struct bytes input,
                                   size_t *length_out, const char **wrong_out)
{
    if (input.length == 0) return RESP_PART;
    if (input.at[0] != '*') return read_line(reader, input, length_out, wrong_out);
    if (!reader->is_begun) {
        const enum resp_read begun = read_count(reader, input, length_out, wrong_out);
        if (begun != RESP_WHOLE) return begun;
    }
    while (reader->left > 0) {
        if (reader->bulk < 0) {
            const enum resp_read begun = read_bulk_length(reader, input, wrong_out);
            if (begun != RESP_WHOLE) return begun;
        }
        const size_t end = reader->at + (size_t)reader->bulk;
        if (input.length > end && input.at[end] != '\r') return wrong(bulk_wrong, wrong_out);
        if (input.length < end + LINE_END_BYTES) return RESP_PART;
        if (input.at[end + 1] != '\n') return wrong(bulk_wrong, wrong_out);
        reader->at = end + LINE_END_BYTES;
        reader->bulk = -1;
        --reader->left;
    }
    *length_out = reader->at;
    return RESP_WHOLE;
}

enum resp_read resp_read(struct resp_reader *reader, struct bytes input, size_t *length_out,
                         const char **wrong_out)
{
    const enum resp_read read = read_command(reader, input, length_out, wrong_out);
    if (read == RESP_PART && input.length >= RESP_COMMAND_BYTES_MAX)
        return wrong(long_wrong, wrong_out); /* an argument's length line would end behind it */
    return read;
}

void resp_split(struct bytes command, struct resp_arguments *arguments_out)
{
    size_t at = 1;
    int64_t number = 0;
    arguments_out->count = 0;
    if (command.length == 0 || command.at[0] != '*' ||
        take_number(command, &at, &number) != NUMBER_WHOLE || number > (int64_t)RESP_ARGUMENTS_MAX)
        return;
    for (int64_t left = number; left > 0; --left) {
        ++at; /* the '$' */
        if (at >= command.length || take_number(command, &at, &number) != NUMBER_WHOLE ||
            number < 0 || (uint64_t)number > command.length - at) {
            arguments_out->count = 0;
            return;
        }
        arguments_out->at[arguments_out->count++] = (struct bytes){command.at + at, (size_t)number};
        at += (size_t)number + LINE_END_BYTES;
    }
}

/* ---- lines of words */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* What stands for a backslash and what follows it, within double quotes. */
static uint8_t take_escape(struct bytes line, size_t *at)
{
    static const char names[] = "nrtba";
    static const char values[] = "\n\r\t\b\a";
    const uint8_t byte = line.at[++*at];
    if (byte == 'x' && line.length - *at > 2) {
        const int high = bytes_hex_digit(line.at[*at + 1]);
        const int low = bytes_hex_digit(line.at[*at + 2]);
        if (high >= 0 && low >= 0) {
            *at += 2;
            return (uint8_t)(high * 16 + low);
        }
    }
    const char *name = byte != 0 ? strchr(names, byte) : NULL;
    return name != NULL ? (uint8_t)values[name - names] : byte;
}

/* One word at `at`, into the block; false: its quotes do not end, or something follows them. */
static bool take_word(struct bytes line, size_t *at, uint8_t *block, size_t *length_out)
{
    const uint8_t quote =
        line.at[*at] == '"' || line.at[*at] == '\'' ? line.at[*at] : (uint8_t)'\0';
    size_t length = 0;
    bool is_ended = quote == '\0';
    if (quote != '\0') ++*at;
    for (; *at < line.length; ++*at) {
        const uint8_t byte = line.at[*at];
        if (quote == '\0' && is_space(byte)) break;
        if (quote == '\0' && (byte == '"' || byte == '\'')) return false;
        if (quote != '\0' && byte == quote) {
            is_ended = true;
            ++*at;
            break;
        }
        if (quote == '"' && byte == '\\' && line.length - *at > 1)
            block[length++] = take_escape(line, at);
        else if (quote == '\'' && byte == '\\' && line.length - *at > 1 && line.at[*at + 1] == '\'')
            block[length++] = line.at[++*at];
        else
            block[length++] = byte;
    }
    *length_out = length;
    return is_ended && (*at == line.length || is_space(line.at[*at]));
}

bool resp_from_line(struct bytes line, struct buffer *out, const char **wrong_out)
{
    uint8_t block[RESP_LINE_BYTES_MAX];
    size_t starts[RESP_ARGUMENTS_MAX + 1] = {0};
    uint32_t count = 0;
    ENSURE(line.length <= sizeof(block));
    for (size_t at = 0;;) {
        while (at < line.length && is_space(line.at[at]))
            ++at;
        if (at == line.length) break;
        size_t length = 0;
        if (count == RESP_ARGUMENTS_MAX) {
            *wrong_out = count_wrong;
            return false;
        }
        if (!take_word(line, &at, block + starts[count], &length)) {
            *wrong_out = quotes_wrong;
            return false;
        }
        ++count;
        starts[count] = starts[count - 1] + length;
    }
    if (count == 0) return true;
    resp_put_array(out, count);
    for (uint32_t i = 0; i < count; ++i)
        resp_put_bulk(out, (struct bytes){block + starts[i], starts[i + 1] - starts[i]});
    return true;
}

bool resp_is_word(struct bytes argument, const char *word)
{
    size_t at = 0;
    for (; at < argument.length && word[at] != '\0'; ++at) {
        const uint8_t byte = argument.at[at];
        const bool is_small = byte >= 'a' && byte <= 'z';
        if ((is_small ? byte - ('a' - 'A') : byte) != word[at]) return false;
    }
    return at == argument.length && word[at] == '\0';
}

/* ---- writing */

static void end_line(struct buffer *buffer)
{
    buffer_put(buffer, "\r\n", LINE_END_BYTES);
}

static void put_number(struct buffer *buffer, char kind, uint64_t number)
{
    buffer_put_byte(buffer, (uint8_t)kind);
    buffer_put_decimal(buffer, number);
    end_line(buffer);
}

void resp_put_array(struct buffer *buffer, uint32_t elements)
{
    put_number(buffer, '*', elements);
}

void resp_put_map(struct buffer *buffer, uint32_t pairs, bool is_resp3)
{
    if (is_resp3)
        put_number(buffer, '%', pairs);
    else
        put_number(buffer, '*', 2 * (uint64_t)pairs);
}

void resp_put_bulk(struct buffer *buffer, struct bytes text)
{
    put_number(buffer, '$', text.length);
    buffer_put(buffer, text.at, text.length);
    end_line(buffer);
}

void resp_put_text(struct buffer *buffer, const char *text)
{
    resp_put_bulk(buffer, bytes_of_text(text));
}

void resp_put_count(struct buffer *buffer, uint64_t number)
{
    put_number(buffer, ':', number);
}

void resp_put_integer(struct buffer *buffer, int64_t number)
{
    if (number >= 0) {
        resp_put_count(buffer, (uint64_t)number);
        return;
    }
    buffer_put_text(buffer, ":-");
    buffer_put_decimal(buffer, 0 - (uint64_t)number);
    end_line(buffer);
}

void resp_put_simple(struct buffer *buffer, const char *text)
{
    buffer_put_byte(buffer, '+');
    buffer_put_text(buffer, text);
    end_line(buffer);
}

void resp_put_error(struct buffer *buffer, const char *code, const char *words)
{
    buffer_put_byte(buffer, '-');
    buffer_put_text(buffer, code);
    buffer_put_byte(buffer, ' ');
    buffer_put_text(buffer, words);
    end_line(buffer);
}
