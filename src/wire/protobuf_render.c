/*
 * protobuf_render.c: reports -> messages of api/weir.proto. What the JSON says, in the order of the
 * fields' numbers, what has its default left out: the one canonical encoding, so that a replay has
 * the same bytes. Written straight into the answer's memory; protobuf-c would want it built first,
 * of some hundred lines.
 *
 * The numbers of fields are the contract's; protobuf_test.c compares them with it by name.
 */
#include "wire/wire.h"

#include <string.h>

#include "wire/protobuf_fields.h"
#include "wire/render.h"
#include "wire/words.h"

enum { WIRE_TYPE_VARINT = 0, WIRE_TYPE_LENGTH = 2 };

struct view {
    const struct report *report;
    int64_t at_ms;
    struct symbols symbols;
    struct buffer *buffer;
};

/* ---- values */

static void put_tag(struct buffer *buffer, uint32_t field, unsigned type)
{
    buffer_put_unsigned(buffer, (uint64_t)field << 3 | type);
}

/* Also when it is 0: for `optional`. */
static void put_count_said(struct buffer *buffer, uint32_t field, uint64_t value)
{
    put_tag(buffer, field, WIRE_TYPE_VARINT);
    buffer_put_unsigned(buffer, value);
}

static void put_count(struct buffer *buffer, uint32_t field, uint64_t value)
{
    if (value != 0) put_count_said(buffer, field, value);
}

static void put_text(struct buffer *buffer, uint32_t field, struct bytes text)
{
    if (text.length == 0) return;
    put_tag(buffer, field, WIRE_TYPE_LENGTH);
    buffer_put_bytes(buffer, text);
}

static void put_symbol(struct view view, uint32_t field, uint32_t symbol)
{
    if (symbol != SYMBOL_NONE) put_text(view.buffer, field, words_name(view.symbols, symbol));
}

static void put_credits(struct buffer *buffer, uint32_t field, int64_t nano)
{
    char text[CREDITS_TEXT_SIZE];
    const unsigned length = credits_format(nano, text);
    put_text(buffer, field, (struct bytes){(const uint8_t *)text, length});
}

static void put_id(struct buffer *buffer, uint32_t field, char letter, uint64_t number)
{
    char text[ID_TEXT_SIZE];
    id_format(letter, number, text);
    put_text(buffer, field, (struct bytes){(const uint8_t *)text, ID_TEXT_LENGTH});
}

static void put_instant(struct buffer *buffer, uint32_t field, int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE];
    if (instant_ms == 0 || instant_ms == INSTANT_NEVER) return;
    const unsigned length = calendar_format(instant_ms, text);
    put_text(buffer, field, (struct bytes){(const uint8_t *)text, length});
}

/* ---- messages within, and texts that are made in place: what they take is known at their end */

static size_t open_part(struct buffer *buffer, uint32_t field)
{
    put_tag(buffer, field, WIRE_TYPE_LENGTH);
    return buffer->used;
}

static void close_part(struct buffer *buffer, size_t start)
{
    uint8_t length[VARINT_BYTES_MAX];
    if (buffer->overflowed) return;
    const size_t bytes = buffer->used - start;
    const unsigned width = varint_write(length, bytes);
    buffer_put(buffer, length, width); /* makes room, or overflows */
    if (buffer->overflowed) return;
    memmove(buffer->at + start + width, buffer->at + start, bytes);
    memcpy(buffer->at + start, length, width);
}

/* Sentences and words are made as JSON strings, alone in what is left of the buffer ... */
static struct buffer words_begin(const struct buffer *buffer)
{
    struct buffer rest = buffer_over(buffer->at + buffer->used, buffer->size - buffer->used);
    rest.overflowed = buffer->overflowed;
    return rest;
}

/* ... and kept as the text that they stand for. */
static void words_end(struct buffer *buffer, const struct buffer *words)
{
    buffer->overflowed = words->overflowed;
    if (buffer->overflowed) return;
    for (size_t at = 1; at < words->used - 1; ++at) { /* between the quotes */
        uint8_t byte = words->at[at];
        if (byte == '\\') {
            byte = words->at[++at];
            if (byte == 'n') byte = '\n';
            if (byte == 'u') { /* 00 and two digits: a control character */
                byte = (uint8_t)(bytes_hex_digit(words->at[at + 3]) * 16 +
                                 bytes_hex_digit(words->at[at + 4]));
                at += 4;
            }
        }
        buffer->at[buffer->used++] = byte;
    }
}

/* ---- parts of answers */

static void put_units(struct view view, uint32_t field)
{
    const size_t start = open_part(view.buffer, field);
    put_count(view.buffer, UNITS_REQUESTED, view.report->units_requested);
    put_count(view.buffer, UNITS_ALLOWED, view.report->units_allowed);
    close_part(view.buffer, start);
}

static void put_lines(struct view view, uint32_t field)
{
    for (uint32_t place = 0; place < view.report->line_count; ++place) {
        const struct line *line = &view.report->lines[place];
        const size_t start = open_part(view.buffer, field);
        put_symbol(view, ALLOCATION_SOURCE, line->source);
        put_count(view.buffer, ALLOCATION_KIND, line->kind);
        if (line->kind == SOURCE_GRANTS)
            put_id(view.buffer, ALLOCATION_GRANT_ID, 'g', line->grant_id);
        put_count(view.buffer, ALLOCATION_UNITS, line->units);
        put_credits(view.buffer, ALLOCATION_CHARGED, line->charged);
        close_part(view.buffer, start);
    }
}

static void put_reason(struct view view, uint32_t field)
{
    const struct report *report = view.report;
    struct buffer *buffer = view.buffer;
    const size_t start = open_part(buffer, field);
    put_count(buffer, REASON_CODE, (uint64_t)report->reason + 1);
    if (report->reason != REASON_OK) {
        put_symbol(view, REASON_LIMIT, report->limit);
        const size_t scope = open_part(buffer, REASON_SCOPE);
        struct buffer words = words_begin(buffer);
        words_scope(&words, report->scope);
        words_end(buffer, &words);
        close_part(buffer, scope);
        put_count(buffer, REASON_WHO, (uint64_t)report->who + 1);
        const size_t message = open_part(buffer, REASON_MESSAGE);
        words = words_begin(buffer);
        words_message(&words, report, view.symbols);
        words_end(buffer, &words);
        close_part(buffer, message);
    }
    put_count(buffer, REASON_REMEDY, report->remedy);
    if (report->reason != REASON_OK) {
        if (report->retry_after_ms >= 0)
            put_count_said(buffer, REASON_RETRY_AFTER_MS, (uint64_t)report->retry_after_ms);
        put_instant(buffer, REASON_RESETS_AT, report->resets_at_ms);
    }
    close_part(buffer, start);
}

static void put_hold(struct view view, uint32_t field)
{
    const struct report *report = view.report;
    if (report->hold == HOLD_NONE || report->kind == COMMAND_CHECK) return;
    const size_t start = open_part(view.buffer, field);
    put_count(view.buffer, HOLD_STATE, report->hold);
    if (report->hold == HOLD_HELD) put_instant(view.buffer, HOLD_EXPIRES_AT, report->expires_at_ms);
    close_part(view.buffer, start);
}

static void put_overshoot(struct view view, uint32_t field, uint32_t booked_field)
{
    const struct overshoot *overshoot = &view.report->overshoot;
    if (!view.report->has_overshoot) return;
    const size_t start = open_part(view.buffer, field);
    put_count(view.buffer, OVERSHOOT_UNITS, overshoot->units);
    put_credits(view.buffer, OVERSHOOT_CHARGED, overshoot->charged);
    put_credits(view.buffer, OVERSHOOT_REFUNDED, overshoot->refunded);
    close_part(view.buffer, start);
    if (overshoot->booked == OVERSHOOT_REFUND) return;
    put_count(view.buffer, booked_field,
              overshoot->booked == OVERSHOOT_DEBT ? BOOKING_DEBT : BOOKING_OVERAGE);
}

static void put_gate_note(struct view view, const struct note *note)
{
    put_symbol(view, NOTE_GATE, note->name);
    put_count(view.buffer, NOTE_VERDICT, note->refused ? VERDICT_REFUSE : VERDICT_PASS);
    if (note->kind == NOTE_BUDGET)
        put_credits(view.buffer, NOTE_REMAINING_CREDITS, (int64_t)note->amount);
    else
        put_count(view.buffer, NOTE_REMAINING, note->amount);
    if (!note->is_paced) return;
    const size_t start = open_part(view.buffer, NOTE_FACTOR);
    struct buffer words = words_begin(view.buffer);
    words_factor(&words, note->factor, WORDS_FACTOR_ONE);
    words_end(view.buffer, &words);
    close_part(view.buffer, start);
    put_count(view.buffer, NOTE_STANDING, note->standing);
}

static void put_source_note(struct view view, const struct note *note)
{
    put_symbol(view, NOTE_SOURCE_NAME, note->name);
    put_count(view.buffer, NOTE_OFFERED, note->amount);
    put_count(view.buffer, NOTE_DRAWN, note->drawn);
    put_count(view.buffer, NOTE_SKIPPED, note->skipped);
    if (!note->has_window) return;
    const size_t start = open_part(view.buffer, NOTE_WINDOW);
    words_period_part(view.buffer, note->period);
    close_part(view.buffer, start);
    put_instant(view.buffer, NOTE_RESETS_AT, note->resets_at_ms);
}

static void put_notes(struct view view, uint32_t field)
{
    if (!view.report->explain) return;
    for (uint32_t place = 0; place < view.report->note_count; ++place) {
        const struct note *note = &view.report->notes[place];
        const size_t start = open_part(view.buffer, field);
        if (note->kind == NOTE_SOURCE)
            put_source_note(view, note);
        else
            put_gate_note(view, note);
        close_part(view.buffer, start);
    }
}

static void put_header(struct buffer *buffer, const char *name, struct bytes value)
{
    if (value.length == 0) return;
    const size_t start = open_part(buffer, HTTP_HEADERS);
    put_text(buffer, ENTRY_KEY, bytes_of_text(name));
    put_text(buffer, ENTRY_VALUE, value);
    close_part(buffer, start);
}

/* Headers in the order of their names, as whoever writes maps canonically does. */
static void put_http(struct view view, uint32_t field)
{
    const struct report *report = view.report;
    struct buffer *buffer = view.buffer;
    struct wire_fields fields;
    render_fields(report, view.at_ms, view.symbols, &fields);
    const size_t start = open_part(buffer, field);
    put_count(buffer, HTTP_STATUS, reason_http_status(report->reason));
    put_header(buffer, "RateLimit",
               (struct bytes){(const uint8_t *)fields.limit, fields.limit_length});
    put_header(buffer, "RateLimit-Policy",
               (struct bytes){(const uint8_t *)fields.policy, fields.policy_length});
    if (reason_has_retry(report->reason) && report->retry_after_ms >= 0) {
        uint8_t block[VARINT_BYTES_MAX * 2];
        struct buffer seconds = buffer_over(block, sizeof block);
        buffer_put_decimal(&seconds, render_seconds_up(report->retry_after_ms));
        put_header(buffer, "Retry-After", buffer_bytes(&seconds));
    }
    close_part(buffer, start);
}

static void put_decision(struct view view)
{
    const struct report *report = view.report;
    struct buffer *buffer = view.buffer;
    if (report->kind != COMMAND_CHECK) put_id(buffer, DECISION_DECISION_ID, 'd', report->id);
    put_count(buffer, DECISION_OUTCOME, report->outcome);
    put_units(view, DECISION_UNITS);
    put_lines(view, DECISION_ALLOCATIONS);
    put_credits(buffer, DECISION_CHARGED, report->charged);
    put_symbol(view, DECISION_PRICE, report->price);
    put_reason(view, DECISION_REASON);
    put_hold(view, DECISION_HOLD);
    put_overshoot(view, DECISION_OVERSHOOT, DECISION_OVERSHOOT_BOOKED);
    put_notes(view, DECISION_EXPLAIN);
    put_http(view, DECISION_HTTP);
}

static void put_settlement(struct view view)
{
    const struct report *report = view.report;
    struct buffer *buffer = view.buffer;
    put_id(buffer, SETTLEMENT_DECISION_ID, 'd', report->id);
    put_units(view, SETTLEMENT_UNITS);
    put_lines(view, SETTLEMENT_ALLOCATIONS);
    put_credits(buffer, SETTLEMENT_CHARGED, report->charged);
    put_symbol(view, SETTLEMENT_PRICE, report->price);
    put_hold(view, SETTLEMENT_HOLD);
    put_count(buffer, SETTLEMENT_LATE, report->late);
    put_overshoot(view, SETTLEMENT_OVERSHOOT, SETTLEMENT_OVERSHOOT_BOOKED);
}

void wire_render_report_protobuf(const struct report *report, int64_t at_ms, struct symbols symbols,
                                 struct buffer *buffer)
{
    const struct view view = {report, at_ms, symbols, buffer};
    switch (report->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
    case COMMAND_USAGE:
    case COMMAND_EXTEND:
        put_decision(view);
        return;
    case COMMAND_COMMIT:
        put_settlement(view);
        return;
    case COMMAND_RELEASE:
        put_id(buffer, RELEASED_DECISION_ID, 'd', report->id);
        put_hold(view, RELEASED_HOLD);
        return;
    case COMMAND_CUSTOMER:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_REFUND:
    case COMMAND_POLICY:
    case COMMAND_DUE:
    case COMMAND_SEAL:
    case COMMAND_ACCESS:
    case COMMAND_POOL:
        break;
    }
    ENSURE(false); /* the contract has no call of this kind */
}

void wire_render_detail(const struct problem *problem, struct buffer *buffer)
{
    struct buffer words = words_begin(buffer);
    buffer_put_byte(&words, '"');
    wire_put_detail(problem, &words);
    buffer_put_byte(&words, '"');
    words_end(buffer, &words);
}
