/*
 * complaint.c: the list of complaints, sorted as it grows, so that the ones that are kept when
 * there are too many are the first of the file whatever order the checks run in.
 */
#include "policy/complaint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int place_compare(struct place left, struct place right)
{
    if (left.line != right.line) return left.line < right.line ? -1 : 1;
    return (left.column > right.column) - (left.column < right.column);
}

/* A message cut at its ceiling must not end within a character: it travels on in JSON. */
static void cut_to_utf8(char *text)
{
    struct bytes whole = bytes_of_text(text);
    while (whole.length > 0 && !bytes_is_utf8(whole))
        text[--whole.length] = '\0';
}

static void complaints_insert(struct policy_complaints *complaints,
                              const struct policy_complaint *complaint)
{
    const struct place place = {complaint->line, complaint->column};
    uint32_t spot = complaints->count;
    for (; spot > 0; spot--) {
        const struct policy_complaint *before = &complaints->at[spot - 1];
        const int order = place_compare((struct place){before->line, before->column}, place);
        if (order < 0) break;
        if (order == 0 && strcmp(before->text, complaint->text) == 0) return;
    }
    /* Among equals the first said stays first. */
    while (spot < complaints->count && complaints->at[spot].line == complaint->line &&
           complaints->at[spot].column == complaint->column)
        spot++;

    if (complaints->count == POLICY_COMPLAINTS_MAX) {
        complaints->more = true;
        if (spot == POLICY_COMPLAINTS_MAX) return;
        complaints->count--;
    }
    memmove(&complaints->at[spot + 1], &complaints->at[spot],
            (complaints->count - spot) * sizeof complaints->at[0]);
    complaints->at[spot] = *complaint;
    complaints->count++;
}

void complaints_add(struct policy_complaints *complaints, struct place place, const char *format,
                    ...)
{
    struct policy_complaint complaint = {.line = place.line, .column = place.column};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(complaint.text, sizeof complaint.text, format, arguments);
    va_end(arguments);
    cut_to_utf8(complaint.text);
    complaints_insert(complaints, &complaint);
}

void policy_complaint_format(const char *file, const struct policy_complaint *complaint,
                             struct buffer *out)
{
    buffer_put_text(out, file);
    buffer_put_byte(out, ':');
    buffer_put_decimal(out, complaint->line);
    buffer_put_byte(out, ':');
    buffer_put_decimal(out, complaint->column);
    buffer_put_text(out, ": ");
    buffer_put_text(out, complaint->text);
}

struct quoted quote(struct bytes text)
{
    struct quoted quoted = {0};
    const bool is_cut = text.length > QUOTED_BYTES_MAX;
    size_t length = is_cut ? QUOTED_BYTES_MAX : text.length;
    while (is_cut && length > 0 && (text.at[length] & 0xc0) == 0x80)
        length--;
    for (size_t place = 0; place < length; place++) {
        const uint8_t byte = text.at[place];
        quoted.text[place] = (char)(byte < 0x20 || byte == 0x7f ? '?' : byte);
    }
    if (is_cut) memcpy(quoted.text + length, "...", sizeof "...");
    return quoted;
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static uint32_t least(uint32_t left, uint32_t right)
{
    return left < right ? left : right;
}

/* Optimal string alignment; both words at most NAME_BYTES_MAX. */
static uint32_t edit_distance(struct bytes left, struct bytes right)
{
    uint32_t rows[3][NAME_BYTES_MAX + 1];
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
    if (word.length > NAME_BYTES_MAX || candidate.length > NAME_BYTES_MAX) return;
    const uint32_t longer =
        (uint32_t)(word.length > candidate.length ? word.length : candidate.length);
    /* One slip in three letters, three at most: further away it is a guess, not a slip. */
    const uint32_t distance_max = longer < 6 ? 1 : longer < 9 ? 2 : 3;
    const uint32_t distance = edit_distance(word, candidate);
    if (distance > distance_max || distance >= longer || distance >= suggestion->distance) return;
    suggestion->best = candidate;
    suggestion->distance = distance;
}
