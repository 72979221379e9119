/*
 * show.c: see show.h.
 */
#include "ledger/show.h"

#include <string.h>

#include "ledger/csv.h"
#include "wire/wire.h"

static const char *const dimension_words[USAGE_DIMENSIONS] = {
    [BY_CUSTOMER] = "customer", [BY_SUBJECT] = "subject", [BY_FEATURE] = "feature",
    [BY_MODEL] = "model",       [BY_ORIGIN] = "origin",   [BY_ENDPOINT] = "endpoint",
    [BY_OUTCOME] = "outcome",   [BY_SOURCE] = "source",   [BY_HOUR] = "hour",
    [BY_DAY] = "day",
};

const char *show_dimension(enum usage_dimension by)
{
    return dimension_words[by];
}

/* ---- rows */

/* Ends a row begun at `start`: whole, or not at all. */
static bool keep(struct show *show, size_t start)
{
    if (!show->out.overflowed) return true;
    show->out.overflowed = false;
    show->out.used = start;
    return false;
}

static void begin_object(struct show *show)
{
    if (show->form == SHOW_NDJSON)
        json_begin(&show->out);
    else
        json_open(&show->out, '{');
}

static void end_object(struct show *show)
{
    json_close(&show->out, '}');
    if (show->form == SHOW_NDJSON) buffer_put_byte(&show->out, '\n');
}

static bool is_null(const struct value *value)
{
    return value->kind == VALUE_NULL;
}

static void put_text(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    if (is_null(value))
        json_null(out);
    else
        json_text(out, value->bytes);
}

static void put_id(struct buffer *out, const char *key, char letter, const struct value *value)
{
    json_key(out, key);
    if (is_null(value) || value->integer == 0)
        json_null(out);
    else
        json_id(out, letter, (uint64_t)value->integer);
}

static void put_credits(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    json_credits(out, value->integer);
}

static void put_instant(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    if (is_null(value))
        json_null(out);
    else
        json_instant(out, value->integer);
}

static void put_number(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    if (is_null(value))
        json_null(out);
    else
        json_number(out, value->integer);
}

/* JSON that the books keep as text. */
static void put_json(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    buffer_put(out, value->bytes.at, value->bytes.length);
}

static void csv_optional_id(struct buffer *out, char letter, const struct value *value)
{
    if (is_null(value) || value->integer == 0)
        csv_nothing(out);
    else
        csv_id(out, letter, (uint64_t)value->integer);
}

static void csv_optional_number(struct buffer *out, const struct value *value)
{
    if (is_null(value))
        csv_nothing(out);
    else
        csv_number(out, value->integer);
}

/* ---- balance updates */

void show_update_id(struct buffer *buffer, uint64_t position, uint32_t place)
{
    char text[ID_TEXT_SIZE];
    id_format('b', position, text);
    buffer_put(buffer, text, ID_TEXT_LENGTH);
    buffer_put_byte(buffer, '.');
    buffer_put_decimal(buffer, place);
}

bool show_parse_update_id(struct bytes text, uint64_t *position_out, uint32_t *place_out)
{
    enum { DIGITS_MAX = 5 };
    const size_t start = ID_TEXT_LENGTH + 1;
    uint64_t position = 0;
    uint32_t place = 0;
    if (text.length <= start || text.length > start + DIGITS_MAX || text.at[start - 1] != '.' ||
        !id_parse('b', (struct bytes){text.at, ID_TEXT_LENGTH}, &position))
        return false;
    if (text.at[start] == '0' && text.length > start + 1) return false;
    for (size_t i = start; i < text.length; ++i) {
        if (text.at[i] < '0' || text.at[i] > '9') return false;
        place = place * 10 + (uint32_t)(text.at[i] - '0');
    }
    *position_out = position;
    *place_out = place;
    return true;
}

void show_updates_head(struct show *show)
{
    if (show->form == SHOW_CSV)
        buffer_put_text(&show->out,
                        "id,number,at,customer,account,grant_id,source,cause,decision_id,delta,"
                        "account_after,customer_after,hash\r\n");
}

static int128 account_after(const struct value *values)
{
    return sum_value((struct sum){.low = values[BALANCE_AT_account_after].integer,
                                  .e18 = values[BALANCE_AT_account_after_e18].integer});
}

static void csv_update(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    show_update_id(out, (uint64_t)values[BALANCE_AT_position].integer,
                   (uint32_t)values[BALANCE_AT_place].integer);
    csv_nothing(out);
    csv_number(out, values[BALANCE_AT_number].integer);
    csv_instant(out, values[BALANCE_AT_at_ms].integer);
    csv_text(out, values[BALANCE_AT_customer].bytes);
    csv_text(out, values[BALANCE_AT_account].bytes);
    csv_optional_id(out, 'g', &values[BALANCE_AT_grant_id]);
    csv_text(out, values[BALANCE_AT_name].bytes);
    csv_text(out, values[BALANCE_AT_cause].bytes);
    csv_optional_id(out, 'd', &values[BALANCE_AT_decision]);
    csv_credits(out, values[BALANCE_AT_delta].integer);
    csv_credits_sum(out, account_after(values));
    csv_credits(out, values[BALANCE_AT_customer_after].integer);
    buffer_put_hex(out, values[BALANCE_AT_hash].bytes);
    csv_nothing(out);
    csv_end(out);
}

bool show_update(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    const size_t start = out->used;
    if (show->form == SHOW_CSV) {
        csv_update(show, values);
        return keep(show, start);
    }
    begin_object(show);
    json_key(out, "id");
    json_text_begin(out);
    show_update_id(out, (uint64_t)values[BALANCE_AT_position].integer,
                   (uint32_t)values[BALANCE_AT_place].integer);
    json_text_end(out);
    put_number(out, "number", &values[BALANCE_AT_number]);
    put_instant(out, "at", &values[BALANCE_AT_at_ms]);
    put_text(out, "customer", &values[BALANCE_AT_customer]);
    put_text(out, "account", &values[BALANCE_AT_account]);
    put_id(out, "grant_id", 'g', &values[BALANCE_AT_grant_id]);
    put_text(out, "source", &values[BALANCE_AT_name]);
    put_text(out, "cause", &values[BALANCE_AT_cause]);
    put_id(out, "decision_id", 'd', &values[BALANCE_AT_decision]);
    put_credits(out, "delta", &values[BALANCE_AT_delta]);
    json_key(out, "account_after");
    json_credits_sum(out, account_after(values));
    put_credits(out, "customer_after", &values[BALANCE_AT_customer_after]);
    json_key(out, "hash");
    json_text_begin(out);
    buffer_put_hex(out, values[BALANCE_AT_hash].bytes);
    json_text_end(out);
    end_object(show);
    return keep(show, start);
}

/* ---- usage events */

static void put_source(void *self, const struct ledger_source *source)
{
    struct buffer *out = self;
    json_open(out, '{');
    json_key(out, "source");
    json_text(out, source->name);
    json_key(out, "kind");
    json_text(out, source->kind);
    if (source->grant_id != 0) {
        json_key(out, "grant_id");
        json_id(out, 'g', source->grant_id);
    }
    json_key(out, "units");
    json_count(out, source->units);
    json_key(out, "charged");
    json_credits(out, source->charged);
    json_close(out, '}');
}

static bool put_sources(struct show *show, struct buffer *out, const struct value *sources)
{
    json_open(out, '[');
    const bool is_read = ledger_read_sources(show->reader, sources->bytes, put_source, out);
    json_close(out, ']');
    return is_read;
}

void show_events_head(struct show *show)
{
    if (show->form == SHOW_CSV)
        buffer_put_text(&show->out,
                        "id,decision_id,at,event_at,customer,subject,feature,endpoint,model,origin,"
                        "attributes,kind,outcome,reason,limit,status,late,count,unit,"
                        "units_requested,units_allowed,quantities_asked,quantities_actual,"
                        "allocations,charged,overshoot_units,overshoot_charged,overshoot_refunded,"
                        "duration_ms,compute\r\n");
}

static void csv_event(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    csv_id(out, 'e', (uint64_t)values[USAGE_AT_position].integer);
    csv_id(out, 'd', (uint64_t)values[USAGE_AT_decision].integer);
    csv_instant(out, values[USAGE_AT_at_ms].integer);
    if (is_null(&values[USAGE_AT_event_ms]))
        csv_nothing(out);
    else
        csv_instant(out, values[USAGE_AT_event_ms].integer);
    for (unsigned place = USAGE_AT_customer; place <= USAGE_AT_origin; ++place)
        csv_text(out, values[place].bytes);
    csv_json(out, values[USAGE_AT_attributes].bytes);
    for (unsigned place = USAGE_AT_kind; place <= USAGE_AT_status; ++place)
        csv_text(out, values[place].bytes);
    csv_words(out, values[USAGE_AT_late].integer != 0 ? "true" : "false");
    csv_number(out, values[USAGE_AT_count].integer);
    csv_text(out, values[USAGE_AT_unit].bytes);
    csv_number(out, values[USAGE_AT_units_requested].integer);
    csv_number(out, values[USAGE_AT_units_allowed].integer);
    csv_json(out, values[USAGE_AT_asked].bytes);
    csv_json(out, values[USAGE_AT_actual].bytes);
    show->scratch.used = 0;
    (void)put_sources(show, &show->scratch, &values[USAGE_AT_sources]);
    ENSURE(!show->scratch.overflowed);
    csv_json(out, buffer_bytes(&show->scratch));
    csv_credits(out, values[USAGE_AT_charged].integer);
    csv_number(out, values[USAGE_AT_overshoot_units].integer);
    csv_credits(out, values[USAGE_AT_overshoot_charged].integer);
    csv_credits(out, values[USAGE_AT_overshoot_refunded].integer);
    csv_optional_number(out, &values[USAGE_AT_duration_ms]);
    csv_text(out, values[USAGE_AT_compute].bytes);
    csv_end(out);
}

/* The absent subject is one subject, the empty path (SEMANTICS G6): nobody's name. */
static void put_subject(struct buffer *out, const struct value *subject)
{
    json_key(out, "subject");
    if (subject->bytes.length == 0)
        json_null(out);
    else
        json_text(out, subject->bytes);
}

static void put_reason(struct buffer *out, const struct value *values)
{
    json_key(out, "reason");
    json_open(out, '{');
    put_text(out, "code", &values[USAGE_AT_reason]);
    if (!is_null(&values[USAGE_AT_refused_by]))
        put_text(out, "limit", &values[USAGE_AT_refused_by]);
    json_close(out, '}');
}

static void put_overshoot(struct buffer *out, const struct value *units,
                          const struct value *charged, const struct value *refunded)
{
    if (units->integer == 0 && charged->integer == 0) return;
    json_key(out, "overshoot");
    json_open(out, '{');
    put_number(out, "units", units);
    put_credits(out, "charged", charged);
    put_credits(out, "refunded", refunded);
    json_close(out, '}');
}

static void put_event_head(struct buffer *out, const struct value *values)
{
    put_id(out, "id", 'e', &values[USAGE_AT_position]);
    put_id(out, "decision_id", 'd', &values[USAGE_AT_decision]);
    put_instant(out, "at", &values[USAGE_AT_at_ms]);
    put_instant(out, "event_at", &values[USAGE_AT_event_ms]);
    put_text(out, "customer", &values[USAGE_AT_customer]);
    put_subject(out, &values[USAGE_AT_subject]);
    put_text(out, "feature", &values[USAGE_AT_feature]);
    put_json(out, "attributes", &values[USAGE_AT_attributes]);
    put_text(out, "kind", &values[USAGE_AT_kind]);
    put_text(out, "outcome", &values[USAGE_AT_outcome]);
    put_reason(out, values);
    put_text(out, "status", &values[USAGE_AT_status]);
    json_key(out, "late");
    json_bool(out, values[USAGE_AT_late].integer != 0);
    put_number(out, "count", &values[USAGE_AT_count]);
}

bool show_event(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    const size_t start = out->used;
    if (show->form == SHOW_CSV) {
        csv_event(show, values);
        return keep(show, start);
    }
    begin_object(show);
    put_event_head(out, values);
    put_text(out, "unit", &values[USAGE_AT_unit]);
    json_key(out, "units");
    json_open(out, '{');
    put_number(out, "requested", &values[USAGE_AT_units_requested]);
    put_number(out, "allowed", &values[USAGE_AT_units_allowed]);
    json_close(out, '}');
    json_key(out, "quantities");
    json_open(out, '{');
    put_json(out, "asked", &values[USAGE_AT_asked]);
    put_json(out, "actual", &values[USAGE_AT_actual]);
    json_close(out, '}');
    json_key(out, "allocations");
    (void)put_sources(show, out, &values[USAGE_AT_sources]);
    put_credits(out, "charged", &values[USAGE_AT_charged]);
    put_overshoot(out, &values[USAGE_AT_overshoot_units], &values[USAGE_AT_overshoot_charged],
                  &values[USAGE_AT_overshoot_refunded]);
    put_number(out, "duration_ms", &values[USAGE_AT_duration_ms]);
    put_text(out, "compute", &values[USAGE_AT_compute]);
    end_object(show);
    return keep(show, start);
}

/* ---- receipts */

static void put_unsigned(struct buffer *out, const char *key, const struct value *value)
{
    json_key(out, key);
    json_text_begin(out);
    json_count_part(out, (uint64_t)value->integer);
    json_text_end(out);
}

bool show_monetization(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    const size_t start = out->used;
    begin_object(show);
    put_id(out, "id", 'e', &values[MONETIZATION_AT_position]);
    put_text(out, "price", &values[MONETIZATION_AT_price]);
    json_key(out, "price_version");
    json_text_begin(out);
    buffer_put_hex_number(out, (uint64_t)values[MONETIZATION_AT_price_version].integer);
    json_text_end(out);
    put_number(out, "units", &values[MONETIZATION_AT_units]);
    put_text(out, "cost", &values[MONETIZATION_AT_cost]);
    put_unsigned(out, "cost_denominator", &values[MONETIZATION_AT_q]);
    put_unsigned(out, "remainder_before", &values[MONETIZATION_AT_remainder_before]);
    put_unsigned(out, "remainder_after", &values[MONETIZATION_AT_remainder_after]);
    put_credits(out, "charged", &values[MONETIZATION_AT_charged]);
    put_overshoot(out, &values[MONETIZATION_AT_overshoot_units],
                  &values[MONETIZATION_AT_overshoot_charged],
                  &values[MONETIZATION_AT_overshoot_refunded]);
    if (!is_null(&values[MONETIZATION_AT_overshoot_booked]))
        put_text(out, "overshoot_booked", &values[MONETIZATION_AT_overshoot_booked]);
    end_object(show);
    return keep(show, start);
}

bool show_refund(struct show *show, const struct value *values)
{
    struct buffer *out = &show->out;
    const size_t start = out->used;
    begin_object(show);
    put_id(out, "id", 'e', &values[REFUND_AT_position]);
    put_instant(out, "at", &values[REFUND_AT_at_ms]);
    put_credits(out, "credits", &values[REFUND_AT_credits]);
    put_credits(out, "expired", &values[REFUND_AT_expired]);
    put_text(out, "reason", &values[REFUND_AT_reason]);
    put_text(out, "actor", &values[REFUND_AT_actor]);
    end_object(show);
    return keep(show, start);
}

/* ---- sums of usage */

static bool is_told_apart(const struct usage_query *query, enum usage_dimension by)
{
    if (query->only[by].at != NULL) return true;
    for (uint32_t i = 0; i < query->group_count; ++i)
        if (query->group_by[i] == by) return true;
    return false;
}

static bool is_by_source(const struct usage_query *query)
{
    return is_told_apart(query, BY_SOURCE);
}

/* Each feature has a unit of its own, so only those of one feature add up to anything. */
static bool has_units(const struct usage_query *query)
{
    return is_told_apart(query, BY_FEATURE);
}

void show_usage_head(struct show *show)
{
    if (show->form != SHOW_CSV) return;
    for (uint32_t i = 0; i < show->usage->group_count; ++i) {
        buffer_put_text(&show->out, dimension_words[show->usage->group_by[i]]);
        buffer_put_byte(&show->out, ',');
    }
    buffer_put_text(&show->out, is_by_source(show->usage)
                                    ? "units,charged\r\n"
                                    : "requests,denied,charged,duration_ms,quantities,"
                                      "overshoot_units,overshoot_charged,units\r\n");
}

static bool is_instant(enum usage_dimension by)
{
    return by == BY_HOUR || by == BY_DAY;
}

/* What is not said is the empty text in the rollup. */
static void put_keys(struct show *show, const struct value *keys)
{
    struct buffer *out = &show->out;
    for (uint32_t i = 0; i < show->usage->group_count; ++i) {
        const enum usage_dimension by = show->usage->group_by[i];
        if (show->form == SHOW_CSV) {
            if (is_instant(by))
                csv_instant(out, keys[i].integer);
            else
                csv_text(out, keys[i].bytes);
            continue;
        }
        json_key(out, dimension_words[by]);
        if (is_instant(by))
            json_instant(out, keys[i].integer);
        else if (keys[i].bytes.length == 0)
            json_null(out);
        else
            json_text(out, keys[i].bytes);
    }
}

/* The sections of a group that has a line for all requests, in their order; each is there, even
 * empty, so that every row has the same members and cells. */
static void open_section(struct show *show, enum usage_what what)
{
    const bool is_csv = show->form == SHOW_CSV;
    struct buffer *out = is_csv ? &show->scratch : &show->out;
    if (is_csv) show->scratch.used = 0;
    if (what == USAGE_WHAT_OVERSHOOT) return;
    if (!is_csv) json_key(out, what == USAGE_WHAT_METER ? "quantities" : "units");
    if (what == USAGE_WHAT_SOURCE && !has_units(show->usage)) return;
    json_open(out, '{');
}

static void put_overshoot_sum(struct show *show, int128 units, int128 charged)
{
    struct buffer *out = &show->out;
    if (show->form == SHOW_CSV) {
        if (has_units(show->usage))
            csv_sum(out, units);
        else
            csv_nothing(out);
        csv_credits_sum(out, charged);
        return;
    }
    json_key(out, "overshoot");
    json_open(out, '{');
    json_key(out, "units");
    if (has_units(show->usage))
        json_sum(out, units);
    else
        json_null(out);
    json_key(out, "charged");
    json_credits_sum(out, charged);
    json_close(out, '}');
}

static void close_section(struct show *show, enum usage_what what, bool was_written)
{
    if (what == USAGE_WHAT_EVENT) return;
    if (what == USAGE_WHAT_OVERSHOOT) {
        if (!was_written) put_overshoot_sum(show, 0, 0);
        return;
    }
    if (what == USAGE_WHAT_SOURCE && !has_units(show->usage)) {
        if (show->form == SHOW_CSV)
            csv_nothing(&show->out);
        else
            json_null(&show->out);
        return;
    }
    if (show->form != SHOW_CSV) {
        json_close(&show->out, '}');
        return;
    }
    json_close(&show->scratch, '}');
    ENSURE(!show->scratch.overflowed);
    csv_json(&show->out, buffer_bytes(&show->scratch));
}

/* From the section at hand to another: those between are empty. */
static void go_to_section(struct show *show, enum usage_what what)
{
    while (show->section < what) {
        close_section(show, show->section, show->section_is_written);
        show->section = (enum usage_what)(show->section + 1);
        show->section_is_written = false;
        open_section(show, show->section);
    }
}

static void put_all_requests(struct show *show, const struct usage_line *line)
{
    struct buffer *out = &show->out;
    if (show->form == SHOW_CSV) {
        csv_number(out, line->requests);
        csv_number(out, line->denied);
        csv_credits_sum(out, line->charged);
        csv_sum(out, line->duration_ms);
        return;
    }
    json_key(out, "requests");
    json_number(out, line->requests);
    json_key(out, "denied");
    json_number(out, line->denied);
    json_key(out, "charged");
    json_credits_sum(out, line->charged);
    json_key(out, "duration_ms");
    json_sum(out, line->duration_ms);
}

static void put_line(struct show *show, const struct usage_line *line)
{
    struct buffer *out = show->form == SHOW_CSV ? &show->scratch : &show->out;
    go_to_section(show, line->what);
    show->section_is_written = true;
    switch (line->what) {
    case USAGE_WHAT_EVENT:
        put_all_requests(show, line);
        break;
    case USAGE_WHAT_OVERSHOOT:
        put_overshoot_sum(show, line->units, line->charged);
        break;
    case USAGE_WHAT_METER:
        json_key_text(out, line->name);
        json_sum(out, line->quantity);
        break;
    case USAGE_WHAT_SOURCE:
        if (!has_units(show->usage)) break;
        json_key_text(out, line->name);
        json_sum(out, line->units);
        break;
    }
}

/* One source's line is all of its group. */
static void put_source_sum(struct show *show, const struct usage_line *line)
{
    struct buffer *out = &show->out;
    if (show->form == SHOW_CSV) {
        if (has_units(show->usage))
            csv_sum(out, line->units);
        else
            csv_nothing(out);
        csv_credits_sum(out, line->charged);
        return;
    }
    json_key(out, "units");
    if (has_units(show->usage)) {
        json_open(out, '{');
        json_key_text(out, line->name);
        json_sum(out, line->units);
        json_close(out, '}');
    } else {
        json_null(out);
    }
    json_key(out, "charged");
    json_credits_sum(out, line->charged);
}

void show_usage_close(struct show *show)
{
    if (!show->in_group) return;
    show->in_group = false;
    if (!is_by_source(show->usage)) {
        go_to_section(show, USAGE_WHAT_SOURCE);
        close_section(show, USAGE_WHAT_SOURCE, true);
    }
    if (show->form == SHOW_CSV)
        csv_end(&show->out);
    else
        end_object(show);
}

bool show_usage_line(struct show *show, const struct usage_line *line)
{
    if (line->is_first) {
        show_usage_close(show);
        ENSURE(!show->out.overflowed);
        show->group_start = show->out.used;
        show->in_group = true;
        show->section = USAGE_WHAT_EVENT;
        show->section_is_written = false;
        if (show->form != SHOW_CSV) begin_object(show);
        put_keys(show, line->keys);
    }
    if (is_by_source(show->usage))
        put_source_sum(show, line);
    else
        put_line(show, line);
    /* Room for what closes the group is kept: a cell of JSON may double by its quotes. */
    const size_t left = show->out.size - show->out.used;
    const size_t needed = SHOW_CLOSE_BYTES + 2 * show->scratch.used;
    if (left >= needed && !show->out.overflowed) return true;
    show->out.overflowed = false;
    show->out.used = show->group_start;
    show->in_group = false;
    return false;
}
