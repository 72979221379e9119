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
