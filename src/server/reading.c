/*
 * reading.c: the desk's work on a reading: rows into the answer, slice by slice.
 */
#include "server/reading.h"

#include <string.h>

#include "wire/wire.h"

enum {
    ROWS_A_STEP = 400,    /* looked at; each a look-up by key */
    TAIL_BYTES = 16 << 10 /* what ends a page: `next` above all */
};

#define OUT_BYTES (READING_BYTES / 2)

const char *reading_content_type(const struct reading *reading)
{
    switch (reading->form) {
    case SHOW_JSON:
        return "application/json";
    case SHOW_NDJSON:
        return "application/x-ndjson";
    case SHOW_CSV:
        return "text/csv; charset=utf-8; header=present";
    }
    ENSURE(false);
    return NULL;
}

static enum reading_end refuse(struct reading *reading, struct problem problem)
{
    reading->problem = problem;
    return READING_REFUSED;
}

static enum reading_end failed(const struct reading_tools *tools)
{
    struct log_line line = log_begin(LOG_ERROR, "books_read_failed");
    log_text(&line, "detail", ledger_reader_detail(tools->books));
    log_end(&line);
    return READING_FAILED;
}

/* ---- where rows begin */

static uint64_t number_of(struct bytes text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.length; ++i)
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    return number;
}

static bool begin_ledger(struct reading *reading, const struct reading_tools *tools)
{
    uint64_t position = 0;
    uint32_t place = 0;
    reading->walk = (struct ledger_walk){.customer = reading->customer,
                                         .position = reading->head.last_position,
                                         .place = reading->head.last_place};
    if (!reading->has_before) return true;
    if (show_parse_update_id(reading->before, &position, &place))
        return ledger_walk_behind(tools->books, &reading->walk, position, place);
    reading->before_number = number_of(reading->before);
    return true;
}

static bool begin_events(struct reading *reading, const struct reading_tools *tools)
{
    uint64_t position = 0;
    reading->events.customer = reading->customer;
    reading->events.position = reading->head.last_usage;
    if (!reading->has_before) return true;
    const bool is_id = id_parse('e', reading->before, &position);
    return is_id && ledger_events_behind(tools->books, &reading->events, position);
}

static bool begin_rows(struct reading *reading, const struct reading_tools *tools)
{
    switch (reading->what) {
    case READING_LEDGER:
        return begin_ledger(reading, tools);
    case READING_EVENTS:
        return begin_events(reading, tools);
    case READING_USAGE:
    case READING_RECEIPT:
        break;
    }
    return true;
}

/* ---- the page around the rows */

static void put_instant(struct buffer *out, const char *key, int64_t instant_ms, int64_t none_ms)
{
    json_key(out, key);
    if (instant_ms == none_ms)
        json_null(out);
    else
        json_instant(out, instant_ms);
}

static void put_page_head(struct reading *reading)
{
    struct buffer *out = &reading->show.out;
    json_begin(out);
    if (reading->what == READING_USAGE) {
        put_instant(out, "from", reading->usage.from_ms, 0);
        put_instant(out, "to", reading->usage.to_ms, INT64_MAX);
        json_key(out, "group_by");
        json_open(out, '[');
        for (uint32_t i = 0; i < reading->usage.group_count; ++i)
            json_words(out, show_dimension(reading->usage.group_by[i]));
        json_close(out, ']');
        json_key(out, "usage");
    } else {
        json_key(out, "customer");
        json_text(out, reading->customer);
        json_key(out, reading->what == READING_LEDGER ? "updates" : "events");
    }
    json_open(out, '[');
}

/* What to ask for the rows that follow; null: these were the last. */
static void put_next(struct reading *reading)
{
    struct buffer *out = &reading->show.out;
    json_key(out, "next");
    if (!reading->is_limit) {
        json_null(out);
        return;
    }
    json_text_begin(out);
    if (reading->what == READING_USAGE) {
        buffer_put_hex(out, buffer_bytes(&reading->scan.after));
    } else if (reading->what == READING_LEDGER) {
        show_update_id(out, reading->last_position, reading->last_place);
    } else {
        char id[ID_TEXT_SIZE];
        id_format('e', reading->last_position, id);
        json_words_part(out, id);
    }
    json_text_end(out);
}

static void put_page_tail(struct reading *reading)
{
    struct buffer *out = &reading->show.out;
    out->size = OUT_BYTES;
    json_close(out, ']');
    put_next(reading);
    json_key(out, "settled_through");
    json_open(out, '{');
    json_key(out, "batch");
    json_count(out, reading->state.cursor);
    put_instant(out, "at", reading->state.cursor_ms, 0);
    json_close(out, '}');
    json_close(out, '}');
    ENSURE(!out->overflowed);
}

static void put_export_head(struct reading *reading)
{
    switch (reading->what) {
    case READING_LEDGER:
        show_updates_head(&reading->show);
        break;
    case READING_EVENTS:
        show_events_head(&reading->show);
        break;
    case READING_USAGE:
        show_usage_head(&reading->show);
        break;
    case READING_RECEIPT:
        break;
    }
}

/* ---- rows */

/* Whether one more row may be taken: a piece is long enough, or the limit is reached. */
static bool takes_more(struct reading *reading)
{
    if (reading_is_stream(reading) && reading->show.out.used >= READING_PIECE_BYTES) return false;
    if (reading->limit == 0 || reading->taken < reading->limit) return true;
    reading->is_limit = true;
    return false;
}

static bool take_update(void *self, const struct value *values)
{
    struct reading *reading = self;
    if (reading->before_number != 0 &&
        (uint64_t)values[BALANCE_AT_number].integer >= reading->before_number)
        return true;
    if (!takes_more(reading) || !show_update(&reading->show, values)) return false;
    ++reading->taken;
    reading->last_position = (uint64_t)values[BALANCE_AT_position].integer;
    reading->last_place = (uint32_t)values[BALANCE_AT_place].integer;
    return true;
}

static bool take_event(void *self, const struct value *values)
{
    struct reading *reading = self;
    if (!takes_more(reading) || !show_event(&reading->show, values)) return false;
    ++reading->taken;
    reading->last_position = (uint64_t)values[USAGE_AT_position].integer;
    return true;
}

static bool take_usage(void *self, const struct usage_line *line)
{
    struct reading *reading = self;
    if (line->is_first && !takes_more(reading)) return false;
    if (!show_usage_line(&reading->show, line)) return false;
    if (line->is_first) ++reading->taken;
    return true;
}

static enum ledger_read step_usage(struct reading *reading, const struct reading_tools *tools)
{
    struct usage_scan *scan = &reading->scan;
    if (scan->phase != USAGE_SUMMED) {
        const enum ledger_read summed = usage_scan_step(tools->books, scan);
        return summed == LEDGER_END ? LEDGER_MORE : summed;
    }
    const enum ledger_read result = usage_scan_take(tools->books, scan, take_usage, reading);
    show_usage_close(&reading->show);
    return result;
}

static enum ledger_read step_rows(struct reading *reading, const struct reading_tools *tools)
{
    switch (reading->what) {
    case READING_LEDGER:
        return ledger_read_updates(tools->books, &reading->walk, ROWS_A_STEP, take_update, reading);
    case READING_EVENTS:
        return ledger_read_events(tools->books, &reading->events, ROWS_A_STEP, take_event, reading);
    case READING_USAGE:
        return step_usage(reading, tools);
    case READING_RECEIPT:
        break;
    }
    ENSURE(false);
    return LEDGER_FAILED;
}

static void end_scan(struct reading *reading, const struct reading_tools *tools)
{
    if (reading->what == READING_USAGE) usage_scan_end(tools->books, &reading->scan);
}

static enum reading_end done(struct reading *reading, const struct reading_tools *tools)
{
    if (!reading_is_stream(reading)) put_page_tail(reading);
    if (reading->what != READING_USAGE || !reading_sums_keep(reading, tools))
        end_scan(reading, tools);
    return READING_DONE;
}

/* ---- steps */

static enum reading_end begin(struct reading *reading, const struct reading_tools *tools)
{
    reading->show.form = reading->form;
    reading->show.reader = tools->books;
    reading->show.out = buffer_over(reading->block, OUT_BYTES - TAIL_BYTES);
    reading->show.scratch = buffer_over(reading->block + OUT_BYTES, READING_BYTES - OUT_BYTES);
    if (!ledger_read_state(tools->books, &reading->state)) return failed(tools);
    if (reading->what == READING_USAGE) reading_sums_take(reading, tools);
    if (!begin_rows(reading, tools))
        return refuse(reading, (struct problem){.code = PROBLEM_INVALID_VALUE,
                                                .field = "before",
                                                .value = reading->before,
                                                .expected = "a row of this customer that is kept"});
    if (reading_is_stream(reading))
        put_export_head(reading);
    else
        put_page_head(reading);
    reading->has_begun = true;
    return READING_GOES_ON;
}

/* Of what was summed up some was gone before it was read. Nothing was sent yet: once more, which
 * finds what is kept, or refuses. Else whoever reads must notice. */
static enum reading_end begin_anew(struct reading *reading, const struct reading_tools *tools)
{
    end_scan(reading, tools);
    if (reading->is_sending) {
        struct log_line line = log_begin(LOG_WARN, "export_cut");
        log_text(&line, "detail", "usage events went while they were summed up");
        log_end(&line);
        return READING_FAILED;
    }
    usage_scan_begin(&reading->scan, &reading->usage, 0);
    /* It was one when it was asked for. */
    const bool is_key = !reading->has_before || usage_scan_behind(&reading->scan, reading->before);
    ENSURE(is_key);
    reading->has_begun = reading->is_limit = false;
    reading->taken = 0;
    return READING_GOES_ON;
}

static enum reading_end step(struct reading *reading, const struct reading_tools *tools)
{
    const enum ledger_read result = step_rows(reading, tools);
    if (reading->what == READING_USAGE && reading->scan.is_lost) return begin_anew(reading, tools);
    if (reading->what == READING_USAGE && reading->scan.is_cut) {
        end_scan(reading, tools);
        return refuse(reading,
                      (struct problem){.code = PROBLEM_INVALID_VALUE,
                                       .field = "from",
                                       .expected = "whole hours where usage events are no longer "
                                                   "kept, or later"});
    }
    switch (result) {
    case LEDGER_END:
        return done(reading, tools);
    case LEDGER_MORE:
        if (reading_is_stream(reading) && reading->show.out.used >= READING_PIECE_BYTES)
            return READING_PIECE;
        return READING_GOES_ON;
    case LEDGER_FULL:
        if (reading->is_limit || !reading_is_stream(reading)) {
            reading->is_limit = true;
            return done(reading, tools);
        }
        return READING_PIECE;
    case LEDGER_FAILED:
        end_scan(reading, tools);
        return failed(tools);
    }
    ENSURE(false);
    return READING_FAILED;
}

enum reading_end reading_step(struct reading *reading, const struct reading_tools *tools)
{
    if (reading->what == READING_RECEIPT) return reading_receipt(reading, tools);
    if (!reading->has_begun) {
        const enum reading_end begun = begin(reading, tools);
        if (begun != READING_GOES_ON) return begun;
    } else if (reading->end == READING_PIECE) {
        reading->show.out.used = 0; /* the last piece is out */
        reading->end = READING_GOES_ON;
    }
    return step(reading, tools);
}

enum reading_end reading_give_up(struct reading *reading, const struct reading_tools *tools)
{
    if (reading->has_begun) end_scan(reading, tools);
    return READING_FAILED;
}
