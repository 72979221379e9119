/*
 * render_report.c: what the engine decided, as the contract shows it (API.md sections 3 and 4). A
 * pure function of the entry, because replays must be the first answer, byte for byte.
 */
#include "wire/wire.h"

#include "wire/json.h"
#include "wire/render.h"
#include "wire/words.h"

/* Structured fields (RFC 9651) carry integers of at most 15 digits. */
#define FIELD_INTEGER_MAX UINT64_C(999999999999999)

struct view {
    const struct report *report;
    int64_t at_ms;
    struct symbols symbols;
    struct buffer *buffer;
    struct wire_fields *fields;
};

static void put_decision_id(struct view view)
{
    json_key(view.buffer, "decision_id");
    if (view.report->kind == COMMAND_CHECK)
        json_null(view.buffer);
    else
        json_id(view.buffer, 'd', view.report->id);
}

static void put_units(struct view view)
{
    json_key(view.buffer, "units");
    json_open(view.buffer, '{');
    json_key(view.buffer, "requested");
    json_count(view.buffer, view.report->units_requested);
    json_key(view.buffer, "allowed");
    json_count(view.buffer, view.report->units_allowed);
    json_close(view.buffer, '}');
}

static void put_lines(struct view view)
{
    struct buffer *buffer = view.buffer;
    json_key(buffer, "allocations");
    json_open(buffer, '[');
    for (uint32_t place = 0; place < view.report->line_count; place++) {
        const struct line *line = &view.report->lines[place];
        json_open(buffer, '{');
        json_key(buffer, "source");
        json_text(buffer, words_name(view.symbols, line->source));
        json_key(buffer, "kind");
        json_words(buffer, words_source(line->kind));
        if (line->kind == SOURCE_GRANTS) {
            json_key(buffer, "grant_id");
            json_id(buffer, 'g', line->grant_id);
        }
        json_key(buffer, "units");
        json_count(buffer, line->units);
        json_key(buffer, "charged");
        json_credits(buffer, line->charged);
        json_close(buffer, '}');
    }
    json_close(buffer, ']');
}

static void put_charge(struct view view)
{
    json_key(view.buffer, "charged");
    json_credits(view.buffer, view.report->charged);
    json_key(view.buffer, "price");
    words_symbol(view.buffer, view.symbols, view.report->price);
}

static const char *who_word(enum who who)
{
    switch (who) {
    case WHO_NOBODY:
        return "nobody";
    case WHO_CUSTOMER:
        return "customer";
    case WHO_OPERATOR:
        return "operator";
    case WHO_CALLER:
        return "caller";
    }
    ENSURE(false);
    return NULL;
}

static const char *remedy_word(enum remedy remedy)
{
    switch (remedy) {
    case REMEDY_NONE:
        return NULL;
    case REMEDY_WAIT:
        return "wait";
    case REMEDY_ADD_CREDITS:
        return "add_credits";
    case REMEDY_USE_CREDITS:
        return "use_credits";
    case REMEDY_UPGRADE_PLAN:
        return "upgrade_plan";
    case REMEDY_RAISE_BUDGET:
        return "raise_budget";
    case REMEDY_RAISE_CAP:
        return "raise_cap";
    case REMEDY_FINISH_HOLDS:
        return "finish_holds";
    case REMEDY_SPLIT_REQUEST:
        return "split_request";
    case REMEDY_CONTACT:
        return "contact_operator";
    }
    ENSURE(false);
    return NULL;
}

static void put_reason(struct view view)
{
    const struct report *report = view.report;
    struct buffer *buffer = view.buffer;
    const char *remedy = remedy_word(report->remedy);
    json_key(buffer, "reason");
    json_open(buffer, '{');
    json_key(buffer, "code");
    json_words(buffer, reason_code(report->reason));
    if (report->reason == REASON_OK) {
        if (remedy != NULL) {
            json_key(buffer, "remedy");
            json_words(buffer, remedy);
        }
        json_close(buffer, '}');
        return;
    }
    json_key(buffer, "limit");
    words_symbol(buffer, view.symbols, report->limit);
    json_key(buffer, "scope");
    words_scope(buffer, report->scope);
    json_key(buffer, "who");
    json_words(buffer, who_word(report->who));
    json_key(buffer, "message");
    words_message(buffer, report, view.symbols);
    json_key(buffer, "remedy");
    if (remedy != NULL)
        json_words(buffer, remedy);
    else
        json_null(buffer);
    json_key(buffer, "retry_after_ms");
    if (report->retry_after_ms >= 0)
        json_number(buffer, report->retry_after_ms);
    else
        json_null(buffer);
    json_key(buffer, "resets_at");
    words_instant(buffer, report->resets_at_ms);
    json_close(buffer, '}');
}

static void put_hold(struct view view)
{
    if (view.report->hold == HOLD_NONE || view.report->kind == COMMAND_CHECK) return;
    json_key(view.buffer, "hold");
    json_open(view.buffer, '{');
    json_key(view.buffer, "state");
    json_words(view.buffer, words_hold(view.report->hold));
    if (view.report->hold == HOLD_HELD) {
        json_key(view.buffer, "expires_at");
        json_instant(view.buffer, view.report->expires_at_ms);
    }
    json_close(view.buffer, '}');
}

/* The object keeps the contract's shape; that it was not given back stands beside it. */
static void put_overshoot(struct view view)
{
    const struct overshoot *overshoot = &view.report->overshoot;
    struct buffer *buffer = view.buffer;
    if (!view.report->has_overshoot) return;
    json_key(buffer, "overshoot");
    json_open(buffer, '{');
    json_key(buffer, "units");
    json_count(buffer, overshoot->units);
    json_key(buffer, "charged");
    json_credits(buffer, overshoot->charged);
    json_key(buffer, "refunded");
    json_credits(buffer, overshoot->refunded);
    json_close(buffer, '}');
    if (overshoot->booked == OVERSHOOT_REFUND) return;
    json_key(buffer, "overshoot_booked");
    json_words(buffer, overshoot->booked == OVERSHOOT_DEBT ? "debt" : "overage");
}

static void put_gate_note(struct view view, const struct note *note)
{
    struct buffer *buffer = view.buffer;
    json_key(buffer, "gate");
    json_text(buffer, words_name(view.symbols, note->name));
    json_key(buffer, "verdict");
    json_words(buffer, note->refused ? "refuse" : "pass");
    json_key(buffer, "remaining");
    if (note->kind == NOTE_BUDGET)
        json_credits(buffer, (int64_t)note->amount);
    else
        json_count(buffer, note->amount);
    if (note->is_paced) words_pace(buffer, note->factor, note->standing);
}

static void put_source_note(struct view view, const struct note *note)
{
    struct buffer *buffer = view.buffer;
    json_key(buffer, "source");
    json_text(buffer, words_name(view.symbols, note->name));
    json_key(buffer, "offered");
    json_count(buffer, note->amount);
    json_key(buffer, "drawn");
    json_count(buffer, note->drawn);
    if (note->skipped) {
        json_key(buffer, "skipped");
        json_bool(buffer, true);
    }
    if (!note->has_window) return;
    json_key(buffer, "window");
    json_text_begin(buffer);
    words_period_part(buffer, note->period);
    json_text_end(buffer);
    json_key(buffer, "resets_at");
    words_instant(buffer, note->resets_at_ms);
}

static void put_notes(struct view view)
{
    json_key(view.buffer, "explain");
    json_open(view.buffer, '[');
    for (uint32_t place = 0; place < view.report->note_count; place++) {
        const struct note *note = &view.report->notes[place];
        json_open(view.buffer, '{');
        if (note->kind == NOTE_SOURCE)
            put_source_note(view, note);
        else
            put_gate_note(view, note);
        json_close(view.buffer, '}');
    }
    json_close(view.buffer, ']');
}

static void put_explain(struct view view)
{
    if (view.report->explain) put_notes(view);
}

uint64_t render_seconds_up(int64_t ms)
{
    return ms <= 0 ? 0 : ((uint64_t)ms + 999) / 1000;
}

/* How long the window is; of a month, the one that it ends, or else the one that it would be now.
 */
static uint64_t window_seconds(struct view view, const struct note *note)
{
    int64_t start_ms;
    switch (note->period.kind) {
    case PERIOD_DURATION: /* of a bucket that is slowed: in which it gets its limit now */
        if (!note->is_paced || note->factor == 0)
            return render_seconds_up(note->period.duration_ms);
        return render_seconds_up(note->period.duration_ms * (int64_t)WORDS_FACTOR_ONE /
                                 (int64_t)note->factor);
    case PERIOD_HOUR:
        return render_seconds_up(HOUR_MS);
    case PERIOD_DAY:
        return render_seconds_up(DAY_MS);
    case PERIOD_WEEK:
        return render_seconds_up(WEEK_MS);
    case PERIOD_MONTH:
        if (note->resets_at_ms > 0)
            return render_seconds_up(note->resets_at_ms -
                                     calendar_add_months(note->resets_at_ms, -1));
        start_ms = calendar_month_start(view.at_ms);
        return render_seconds_up(calendar_add_months(start_ms, 1) - start_ms);
    }
    ENSURE(false);
    return 0;
}

/* The pool turns away, whatever tokens there are: nothing of the bucket's is worth telling. */
static bool is_shed(const struct report *report)
{
    return report->reason == REASON_TEMPORARY_REDUCED_CAPACITY && report->retry_after_ms < 0;
}

/* What an edge passes on: windows of the sources asked, and the rate gate that refused. */
static bool is_for_edge(const struct report *report, const struct note *note)
{
    if (!note->has_window) return false;
    if (note->kind == NOTE_SOURCE) return note->source == SOURCE_ALLOWANCE;
    return note->kind == NOTE_RATE && note->refused && !is_shed(report);
}

/* A String holds printable ASCII: what else a name has is percent-encoded. */
static void put_string(struct buffer *field, struct bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    buffer_put_byte(field, '"');
    for (size_t at = 0; at < text.length; at++) {
        const uint8_t byte = text.at[at];
        if (byte < 0x20 || byte > 0x7e) {
            buffer_put_byte(field, '%');
            buffer_put_byte(field, (uint8_t)digits[byte >> 4]);
            buffer_put_byte(field, (uint8_t)digits[byte & 15]);
            continue;
        }
        if (byte == '"' || byte == '\\') buffer_put_byte(field, '\\');
        buffer_put_byte(field, byte);
    }
    buffer_put_byte(field, '"');
}

static void put_parameter(struct buffer *field, const char *name, uint64_t value)
{
    buffer_put_text(field, name);
    buffer_put_decimal(field, value < FIELD_INTEGER_MAX ? value : FIELD_INTEGER_MAX);
}

/* Requests are what a quota counts where nothing is said. */
static void put_quota_unit(struct view view, const struct note *note, struct buffer *field)
{
    if (note->kind != NOTE_SOURCE || view.report->unit == SYMBOL_NONE) return;
    const struct bytes unit = view.report->unit == UNIT_COST
                                  ? BYTES("nano-credits")
                                  : words_name(view.symbols, view.report->unit);
    if (bytes_equal(unit, BYTES("requests"))) return;
    buffer_put_text(field, ";qu=");
    put_string(field, unit);
}

static void put_policy_member(struct view view, const struct note *note, struct buffer *field)
{
    put_parameter(field, ";q=", note->limit);
    put_quota_unit(view, note, field);
    put_parameter(field, ";w=", window_seconds(view, note));
}

static void put_limit_member(struct view view, const struct note *note, struct buffer *field)
{
    put_parameter(field, ";r=", note->kind == NOTE_SOURCE ? note->left : note->amount);
    if (note->resets_at_ms > 0)
        put_parameter(field, ";t=", render_seconds_up(note->resets_at_ms - view.at_ms));
    else if (note->kind == NOTE_RATE && view.report->retry_after_ms >= 0)
        put_parameter(field, ";t=", render_seconds_up(view.report->retry_after_ms));
}

/* Says how long the field is. */
static uint32_t put_field(struct view view, char *block,
                          void (*put)(struct view, const struct note *, struct buffer *))
{
    struct buffer field = buffer_over(block, WIRE_FIELD_BYTES_MAX);
    for (uint32_t place = 0; place < view.report->note_count; place++) {
        const struct note *note = &view.report->notes[place];
        if (!is_for_edge(view.report, note)) continue;
        const size_t whole = field.used;
        if (whole > 0) buffer_put_text(&field, ", ");
        put_string(&field, words_name(view.symbols, note->name));
        put(view, note, &field);
        if (field.overflowed) return (uint32_t)whole;
    }
    return (uint32_t)field.used;
}

void render_fields(const struct report *report, int64_t at_ms, struct symbols symbols,
                   struct wire_fields *fields_out)
{
    const struct view view = {.report = report, .at_ms = at_ms, .symbols = symbols};
    fields_out->policy_length = put_field(view, fields_out->policy, put_policy_member);
    fields_out->limit_length = put_field(view, fields_out->limit, put_limit_member);
}

static void put_header(struct view view, const char *name, const char *value, uint32_t length)
{
    if (length == 0) return;
    json_key(view.buffer, name);
    json_text(view.buffer, (struct bytes){(const uint8_t *)value, length});
}

static void put_http(struct view view)
{
    const struct report *report = view.report;
    json_key(view.buffer, "http");
    json_open(view.buffer, '{');
    json_key(view.buffer, "status");
    json_count(view.buffer, reason_http_status(report->reason));
    json_key(view.buffer, "headers");
    json_open(view.buffer, '{');
    if (reason_has_retry(report->reason) && report->retry_after_ms >= 0) {
        json_key(view.buffer, "Retry-After");
        json_text_begin(view.buffer);
        json_count_part(view.buffer, render_seconds_up(report->retry_after_ms));
        json_text_end(view.buffer);
    }
    struct wire_fields *fields = view.fields;
    render_fields(report, view.at_ms, view.symbols, fields);
    put_header(view, "RateLimit-Policy", fields->policy, fields->policy_length);
    put_header(view, "RateLimit", fields->limit, fields->limit_length);
    json_close(view.buffer, '}');
    json_close(view.buffer, '}');
}

static void put_decision(struct view view)
{
    put_decision_id(view);
    json_key(view.buffer, "outcome");
    json_words(view.buffer, words_outcome(view.report->outcome));
    put_units(view);
    put_lines(view);
    put_charge(view);
    put_reason(view);
    put_hold(view);
    put_overshoot(view);
    put_explain(view);
    put_http(view);
}

static void put_commit(struct view view)
{
    put_decision_id(view);
    json_key(view.buffer, "outcome");
    json_words(view.buffer, "committed");
    put_units(view);
    put_lines(view);
    put_charge(view);
    put_hold(view);
    if (view.report->late) {
        json_key(view.buffer, "late");
        json_bool(view.buffer, true);
    }
    put_overshoot(view);
}

static void put_grant(struct view view)
{
    const struct report *report = view.report;
    json_key(view.buffer, "grant_id");
    json_id(view.buffer, 'g', report->id);
    json_key(view.buffer, "category");
    json_words(view.buffer, words_category(report->category));
    json_key(view.buffer, "credits");
    json_credits(view.buffer, report->nano);
    json_key(view.buffer, "effective_at");
    json_instant(view.buffer, report->grant_effective_ms);
    json_key(view.buffer, "expires_at");
    words_instant(view.buffer, report->grant_expires_ms);
}

static void put_void(struct view view)
{
    json_key(view.buffer, "grant_id");
    json_id(view.buffer, 'g', view.report->id);
    json_key(view.buffer, "voided");
    json_credits(view.buffer, view.report->nano);
}

static void put_reset(struct view view)
{
    if (view.report->limit != SYMBOL_NONE) {
        json_key(view.buffer, "limit");
        words_symbol(view.buffer, view.symbols, view.report->limit);
    }
    json_key(view.buffer, "counters");
    json_count(view.buffer, view.report->count);
}

static void put_pool(struct view view)
{
    const struct report *report = view.report;
    json_key(view.buffer, "pool");
    words_symbol(view.buffer, view.symbols, report->limit);
    words_pool(view.buffer, (struct pool_view){.factor = (uint32_t)report->total,
                                               .has_override = report->nano != FACTOR_NONE,
                                               .override = (uint32_t)report->nano,
                                               .shed = (enum shed)report->count});
}

static void put_refund(struct view view)
{
    put_decision_id(view);
    json_key(view.buffer, "refunded");
    json_credits(view.buffer, view.report->nano);
    if (view.report->expired > 0) {
        json_key(view.buffer, "expired");
        json_credits(view.buffer, view.report->expired);
    }
    json_key(view.buffer, "refunded_total");
    json_credits(view.buffer, view.report->total);
}

void wire_render_report(const struct report *report, int64_t at_ms, struct symbols symbols,
                        struct buffer *buffer, struct wire_fields *fields_out)
{
    const struct view view = {report, at_ms, symbols, buffer, fields_out};
    fields_out->policy_length = fields_out->limit_length = 0;
    json_begin(buffer);
    switch (report->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
    case COMMAND_USAGE:
    case COMMAND_EXTEND:
        put_decision(view);
        break;
    case COMMAND_COMMIT:
        put_commit(view);
        break;
    case COMMAND_RELEASE:
        put_decision_id(view);
        put_hold(view);
        break;
    case COMMAND_GRANT:
        put_grant(view);
        break;
    case COMMAND_VOID:
        put_void(view);
        break;
    case COMMAND_RESET:
        put_reset(view);
        break;
    case COMMAND_REFUND:
        put_refund(view);
        break;
    case COMMAND_CUSTOMER:
        json_key(buffer, "effective_at");
        json_instant(buffer, at_ms);
        break;
    case COMMAND_POLICY:
        json_key(buffer, "version");
        json_count(buffer, report->count);
        break;
    case COMMAND_ACCESS:
        json_key(buffer, "key_id");
        json_id(buffer, 'k', report->id);
        json_key(buffer, "revoked");
        json_bool(buffer, report->count != 0);
        break;
    case COMMAND_POOL:
        put_pool(view);
        break;
    case COMMAND_DUE:
    case COMMAND_SEAL:
        ENSURE(false); /* nobody asked for it */
        break;
    }
    json_close(buffer, '}');
}

void wire_put_decision(const struct report *report, int64_t at_ms, struct symbols symbols,
                       struct buffer *buffer)
{
    const struct view view = {report, at_ms, symbols, buffer, NULL};
    json_key(buffer, "outcome");
    json_words(buffer, words_outcome(report->outcome));
    put_units(view);
    put_lines(view);
    put_charge(view);
    put_reason(view);
    put_overshoot(view);
    put_notes(view);
}
