/*
 * top_view.c: one moment of a server on one screen, the most important first. Where lines are
 * short every part gets some, the parts that matter more get more, and blank lines go first.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "main/json_text.h"
#include "main/top.h"

enum { BAR_CELLS_MIN = 6, BAR_CELLS_MAX = 24 };

enum part { PART_REASONS, PART_SERVER, PART_FEATURES, PART_CUSTOMERS, PART_CALLS, PARTS };

/* How many lines each part has below its head. */
struct room {
    uint32_t lines[PARTS];
    bool has_gaps; /* a blank line before a head */
};

/* In turns, so that nobody goes without before another has much. A head is paid with the first. */
static struct room share_room(const uint32_t wanted[PARTS], uint32_t lines, bool has_gaps)
{
    static const enum part turns[] = {PART_REASONS,   PART_SERVER, PART_FEATURES,
                                      PART_CUSTOMERS, PART_SERVER, PART_CALLS};
    struct room room = {.has_gaps = has_gaps};
    for (bool is_given = true; is_given;) {
        is_given = false;
        for (size_t i = 0; i < COUNT_OF(turns); ++i) {
            const enum part part = turns[i];
            const bool is_head_due = room.lines[part] == 0 && part != PART_REASONS;
            const uint32_t price = is_head_due ? 2 + has_gaps : 1;
            if (room.lines[part] == wanted[part] || price > lines) continue;
            lines -= price;
            ++room.lines[part];
            is_given = true;
        }
    }
    return room;
}

enum { LINES_ENOUGH = 3, SERVER_LINES = 4, DECISION_LINES = 1 + TOP_OUTCOMES, HEALTH_LINES = 3 };

static struct room find_room(const struct top_moment *moment, uint32_t rows)
{
    const struct top_figures *figures = moment->figures;
    const struct top_customers *customers = moment->customers;
    uint32_t wanted[PARTS] = {0};
    uint32_t taken = answer_is_true(moment->health, "clock.test") ? 2 : 1;
    wanted[PART_CUSTOMERS] =
        customers->why[0] != '\0' ? 1 : customers->count + (customers->is_cut ? 1 : 0);
    taken += figures != NULL ? DECISION_LINES : HEALTH_LINES;
    if (figures != NULL) {
        wanted[PART_REASONS] = figures->reason_count;
        wanted[PART_SERVER] = SERVER_LINES + (figures->condition_count > 0 ? 1 : 0);
        wanted[PART_FEATURES] = figures->feature_count;
        wanted[PART_CALLS] = figures->call_count;
    }
    const uint32_t left = rows > taken ? rows - taken : 0;
    const struct room airy = share_room(wanted, left > 0 ? left - 1 : 0, true);
    for (int part = 0; part < PARTS; ++part)
        if (airy.lines[part] < wanted[part] && airy.lines[part] < LINES_ENOUGH)
            return share_room(wanted, left, false);
    return airy;
}

static void put_gap(const struct room *room, const struct page *page)
{
    if (room->has_gaps) (void)fputs("\n", page->file);
}

static void put_head(const struct top_moment *moment, const struct page *page)
{
    char text[TEXT_NUMBER_BYTES];
    const char *status = answer_text(moment->health, "status");
    const bool is_well = strcmp(status, "ok") == 0;
    (void)fprintf(page->file, "%sweir top%s  %s", page_paint(page, PAINT_BOLD), page_plain(page),
                  moment->url);
    if (moment->health == NULL) {
        (void)fprintf(page->file, "   %snobody answers%s\n", page_paint(page, PAINT_RED),
                      page_plain(page));
        return;
    }
    (void)fprintf(page->file, "   %s%s%s   up %s   policy %" PRIu64 "\n",
                  page_paint(page, is_well ? PAINT_GREEN : PAINT_RED), status, page_plain(page),
                  text_duration((int64_t)answer_count(moment->health, "uptime_ms"), text),
                  answer_count(moment->health, "policy_version"));
    if (answer_is_true(moment->health, "clock.test"))
        (void)fprintf(page->file, "%stest clock at %s%s\n", page_paint(page, PAINT_YELLOW),
                      answer_text(moment->health, "clock.now"), page_plain(page));
}

static void counter_row(struct table *table, const char *indent, const char *name,
                        const struct top_counter *counter, enum paint paint)
{
    char text[TEXT_NUMBER_BYTES];
    table_row(table, paint);
    table_cell(table, "%s%s", indent, name);
    table_cell(table, "%s", text_rate(counter->rate, text));
}

/* What the columns of numbers and the longest name leave. */
static unsigned bar_cells_for(const struct top_figures *figures, const struct room *room,
                              const struct page *page)
{
    static const char numbers[] = "     per second   100.0 %   []   since start";
    size_t used = strlen("Decisions") - 2;
    for (uint32_t i = 0; i < room->lines[PART_REASONS]; ++i) {
        const size_t name = strlen("  ") + strlen(figures->reasons[i].name);
        if (name > used) used = name;
    }
    used += strlen(numbers);
    if (!page->has_bars || used + BAR_CELLS_MIN > page->columns) return 0;
    const size_t left = page->columns - used;
    return left < BAR_CELLS_MAX ? (unsigned)left : BAR_CELLS_MAX;
}

static void outcome_rows(const struct top_figures *figures, unsigned bar_cells, struct table *table)
{
    static const enum paint paints[TOP_OUTCOMES] = {PAINT_GREEN, PAINT_YELLOW, PAINT_RED};
    char text[TEXT_NUMBER_BYTES];
    char bar[TEXT_BAR_BYTES];
    double all = 0;
    for (int i = 0; i < TOP_OUTCOMES; ++i)
        all += isnan(figures->outcomes[i].rate) ? 0 : figures->outcomes[i].rate;
    for (int i = 0; i < TOP_OUTCOMES; ++i) {
        const struct top_counter *one = &figures->outcomes[i];
        /* Thousandths of a decision per second are whole enough for a bar. */
        const uint64_t part = isnan(one->rate) ? 0 : (uint64_t)(one->rate * 1000);
        counter_row(table, "", top_outcome_names[i], one, one->rate > 0 ? paints[i] : PAINT_PLAIN);
        table_cell(table, "%s", all > 0 ? text_share(part, (uint64_t)(all * 1000), text) : "-");
        if (bar_cells > 0)
            table_cell(table, "%s", text_bar(part, (uint64_t)(all * 1000), bar_cells, bar));
        table_cell(table, "%s", text_number((uint64_t)one->total, text));
    }
}

static void put_decisions(const struct top_figures *figures, const struct room *room,
                          const struct page *page, struct table *table)
{
    const unsigned bar_cells = bar_cells_for(figures, room, page);
    char text[TEXT_NUMBER_BYTES];
    put_gap(room, page);
    table_begin(table, bar_cells > 0 ? "lrrlr" : "lrrr");
    table_heading(table);
    table_cell(table, "Decisions");
    table_cell(table, "per second");
    table_cell(table, "share");
    if (bar_cells > 0) table_cell(table, "%s", "");
    table_cell(table, "since start");
    outcome_rows(figures, bar_cells, table);
    for (uint32_t i = 0; i < room->lines[PART_REASONS]; ++i) {
        counter_row(table, "  ", figures->reasons[i].name, &figures->reasons[i].denied, PAINT_DIM);
        table_cell(table, "%s", "");
        if (bar_cells > 0) table_cell(table, "%s", "");
        table_cell(table, "%s", text_number((uint64_t)figures->reasons[i].denied.total, text));
    }
    table_print(table, page);
}

static void put_calls(const struct top_figures *figures, const struct room *room,
                      const struct page *page, struct table *table)
{
    char text[TEXT_NUMBER_BYTES];
    if (room->lines[PART_CALLS] == 0) return;
    put_gap(room, page);
    table_begin(table, "lrrrr");
    table_heading(table);
    table_cell(table, "Latency");
    table_cell(table, "per second");
    table_cell(table, "p50");
    table_cell(table, "p90");
    table_cell(table, "p99");
    for (uint32_t i = 0; i < room->lines[PART_CALLS]; ++i) {
        const struct top_call *call = &figures->calls[i];
        table_row(table, call->is_look ? PAINT_DIM : PAINT_PLAIN);
        table_cell(table, "%s", call->name);
        table_cell(table, "%s", text_rate(call->rate, text));
        table_cell(table, "%s", text_seconds(call->p50_s, text));
        table_cell(table, "%s", text_seconds(call->p90_s, text));
        table_cell(table, "%s", text_seconds(call->p99_s, text));
    }
    table_print(table, page);
}

static void put_conditions(const struct top_figures *figures, const struct page *page)
{
    (void)fprintf(page->file, "  %sconditions  ", page_paint(page, PAINT_YELLOW));
    for (uint32_t i = 0; i < figures->condition_count; ++i)
        (void)fprintf(page->file, " %s", figures->conditions[i]);
    (void)fprintf(page->file, "%s\n", page_plain(page));
}

static void put_journal(const struct top_figures *figures, const struct page *page)
{
    char text[4][TEXT_NUMBER_BYTES];
    if (figures->batches_rate == 0) {
        (void)fputs("  journal      nothing to write\n", page->file);
        return;
    }
    (void)fprintf(
        page->file, "  journal      %s batches/s of %s entries; durable p50 %s, p99 %s\n",
        text_rate(figures->batches_rate, text[0]), text_rate(figures->batch_entries, text[1]),
        text_seconds(figures->append_p50_s, text[2]), text_seconds(figures->append_p99_s, text[3]));
}

static void put_settlement(double lag_s, uint64_t lag_entries, const struct page *page)
{
    char text[2][TEXT_NUMBER_BYTES];
    const enum paint lag = lag_s > 60 ? PAINT_RED : lag_s > 5 ? PAINT_YELLOW : PAINT_PLAIN;
    if (lag_s <= 0 && lag_entries == 0) {
        (void)fputs("  settlement   the books have everything\n", page->file);
        return;
    }
    (void)fprintf(page->file, "  settlement   %s%s behind, %s entries%s\n", page_paint(page, lag),
                  text_seconds(lag_s, text[0]), text_number(lag_entries, text[1]),
                  page_plain(page));
}

static void put_holds(const struct top_figures *figures, const struct page *page)
{
    char text[3][TEXT_NUMBER_BYTES];
    (void)fprintf(page->file, "  open holds   %s; connections %s, queued %s\n",
                  text_number((uint64_t)figures->holds, text[0]),
                  text_number((uint64_t)figures->connections, text[1]),
                  text_number((uint64_t)figures->queued, text[2]));
}

static void put_memory(const struct top_figures *figures, const struct page *page)
{
    char text[3][TEXT_NUMBER_BYTES];
    (void)fprintf(page->file, "  memory       %s resident, %s of records; logs %s\n",
                  text_bytes(figures->resident_bytes, text[0]),
                  text_bytes(figures->record_bytes, text[1]),
                  text_bytes(figures->log_bytes, text[2]));
}

/* Alarms first, then what decides how soon an answer comes. */
static void put_server(const struct top_figures *figures, const struct room *room,
                       const struct page *page)
{
    const uint32_t lines = room->lines[PART_SERVER];
    uint32_t used = 0;
    if (lines == 0) return;
    put_gap(room, page);
    (void)fprintf(page->file, "%sServer%s\n", page_paint(page, PAINT_BOLD), page_plain(page));
    if (figures->condition_count > 0) {
        put_conditions(figures, page);
        ++used;
    }
    if (used++ < lines) put_journal(figures, page);
    if (used++ < lines) put_settlement(figures->lag_s, (uint64_t)figures->lag_entries, page);
    if (used++ < lines) put_holds(figures, page);
    if (used < lines) put_memory(figures, page);
}

static void put_features(const struct top_figures *figures, const struct room *room,
                         const struct page *page, struct table *table)
{
    char text[TEXT_NUMBER_BYTES];
    if (room->lines[PART_FEATURES] == 0) return;
    put_gap(room, page);
    table_begin(table, "lrrrr");
    table_heading(table);
    table_cell(table, "Features");
    table_cell(table, "per second");
    table_cell(table, "denied");
    table_cell(table, "credits/s");
    table_cell(table, "since start");
    for (uint32_t i = 0; i < room->lines[PART_FEATURES]; ++i) {
        const struct top_feature *one = &figures->features[i];
        counter_row(table, "", one->name, &one->decisions, PAINT_PLAIN);
        table_cell(table, "%s", text_rate(one->denied_rate, text));
        table_cell(table, "%s", text_rate(one->charged_rate, text));
        table_cell(table, "%s", text_number((uint64_t)one->decisions.total, text));
    }
    table_print(table, page);
}

static void put_customers(const struct top_customers *customers, const struct room *room,
                          const struct page *page, struct table *table)
{
    const uint32_t lines = room->lines[PART_CUSTOMERS];
    char text[TEXT_NUMBER_BYTES];
    if (lines == 0) return;
    put_gap(room, page);
    if (customers->why[0] != '\0') {
        (void)fprintf(page->file, "%sCustomers%s\n  %s\n", page_paint(page, PAINT_BOLD),
                      page_plain(page), customers->why);
        return;
    }
    table_begin(table, "lrrr");
    table_heading(table);
    /* The hour is of today or of last night: its date goes without saying. */
    table_cell(table, "Customers, settled since %.5sZ", customers->since + strlen("2026-11-21T"));
    table_cell(table, "requests");
    table_cell(table, "denied");
    table_cell(table, "credits");
    for (uint32_t i = 0; i < customers->count && i < lines; ++i) {
        table_row(table, PAINT_PLAIN);
        table_cell(table, "%s", customers->at[i].name);
        table_cell(table, "%s", text_number(customers->at[i].requests, text));
        table_cell(table, "%s", text_number(customers->at[i].denied, text));
        table_cell(table, "%s", text_credits(customers->at[i].charged, text));
    }
    table_print(table, page);
    if (customers->is_cut && lines > customers->count)
        (void)fputs("  of the first 1,000 customers by name; there are more\n", page->file);
}

/* Without metrics: what health tells. */
static void put_health(const struct top_moment *moment, const struct room *room,
                       const struct page *page)
{
    char text[3][TEXT_NUMBER_BYTES];
    const uint64_t sequence = answer_count(moment->health, "journal.sequence");
    const uint64_t settled = answer_count(moment->health, "settlement.sequence");
    put_gap(room, page);
    (void)fprintf(page->file, "  %sno metrics: %s%s\n", page_paint(page, PAINT_YELLOW), moment->why,
                  page_plain(page));
    (void)fprintf(page->file, "  open holds   %s; customers %s, grants %s\n",
                  text_number(answer_count(moment->health, "open_holds"), text[0]),
                  text_number(answer_count(moment->health, "customers"), text[1]),
                  text_number(answer_count(moment->health, "grants"), text[2]));
    put_settlement((double)answer_count(moment->health, "settlement.lag_ms") / 1000,
                   sequence > settled ? sequence - settled : 0, page);
}

void top_view(const struct top_moment *moment, const struct page *page, uint32_t rows)
{
    static struct table table;
    const struct room room = find_room(moment, rows);
    put_head(moment, page);
    if (moment->health == NULL) return;
    if (moment->figures != NULL) {
        put_decisions(moment->figures, &room, page, &table);
        put_calls(moment->figures, &room, page, &table);
        put_server(moment->figures, &room, page);
        put_features(moment->figures, &room, page, &table);
    } else {
        put_health(moment, &room, page);
    }
    put_customers(moment->customers, &room, page, &table);
}

/* --- for programs ---------------------------------------------------------------------------- */

static void json_number(FILE *file, const char *name, double value, const char *after)
{
    if (isnan(value))
        (void)fprintf(file, "\"%s\":null%s", name, after);
    else
        (void)fprintf(file, "\"%s\":%.9g%s", name, value, after);
}

static void json_text(FILE *file, const char *name, const char *text, const char *after)
{
    (void)fprintf(file, "\"%s\":", name);
    json_put_text(file, text);
    (void)fputs(after, file);
}

static void json_decisions(FILE *file, const struct top_figures *figures)
{
    (void)fputs("\"decisions\":[", file);
    for (int i = 0; i < TOP_OUTCOMES; ++i) {
        (void)fputs(i > 0 ? ",{" : "{", file);
        json_text(file, "outcome", top_outcome_names[i], ",");
        json_number(file, "per_second", figures->outcomes[i].rate, ",");
        json_number(file, "total", figures->outcomes[i].total, "}");
    }
    (void)fputs("],\"denials\":[", file);
    for (uint32_t i = 0; i < figures->reason_count; ++i) {
        (void)fputs(i > 0 ? ",{" : "{", file);
        json_text(file, "reason", figures->reasons[i].name, ",");
        json_number(file, "per_second", figures->reasons[i].denied.rate, ",");
        json_number(file, "total", figures->reasons[i].denied.total, "}");
    }
    (void)fputs("],\"features\":[", file);
    for (uint32_t i = 0; i < figures->feature_count; ++i) {
        const struct top_feature *one = &figures->features[i];
        (void)fputs(i > 0 ? ",{" : "{", file);
        json_text(file, "feature", one->name, ",");
        json_number(file, "per_second", one->decisions.rate, ",");
        json_number(file, "denied_per_second", one->denied_rate, ",");
        json_number(file, "charged_per_second", one->charged_rate, ",");
        json_number(file, "total", one->decisions.total, "}");
    }
    (void)fputs("],", file);
}

static void json_server(FILE *file, const struct top_figures *figures)
{
    (void)fputs("\"calls\":[", file);
    for (uint32_t i = 0; i < figures->call_count; ++i) {
        const struct top_call *call = &figures->calls[i];
        (void)fputs(i > 0 ? ",{" : "{", file);
        json_text(file, "call", call->name, ",");
        json_number(file, "per_second", call->rate, ",");
        json_number(file, "p50_seconds", call->p50_s, ",");
        json_number(file, "p90_seconds", call->p90_s, ",");
        json_number(file, "p99_seconds", call->p99_s, "}");
    }
    (void)fputs("],\"journal\":{", file);
    json_number(file, "batches_per_second", figures->batches_rate, ",");
    json_number(file, "entries_per_batch", figures->batch_entries, ",");
    json_number(file, "append_p50_seconds", figures->append_p50_s, ",");
    json_number(file, "append_p99_seconds", figures->append_p99_s, "},");
    json_number(file, "settlement_lag_seconds", figures->lag_s, ",");
    json_number(file, "settlement_lag_entries", figures->lag_entries, ",");
    json_number(file, "open_holds", figures->holds, ",");
    json_number(file, "connections", figures->connections, ",");
    json_number(file, "resident_bytes", figures->resident_bytes, ",");
    json_number(file, "record_bytes", figures->record_bytes, ",");
    json_number(file, "log_bytes", figures->log_bytes, ",\"conditions\":[");
    for (uint32_t i = 0; i < figures->condition_count; ++i) {
        if (i > 0) (void)fputc(',', file);
        json_put_text(file, figures->conditions[i]);
    }
    (void)fputs("]", file);
}

static void json_customers(FILE *file, const struct top_customers *customers)
{
    char text[TEXT_NUMBER_BYTES];
    (void)fputs("\"customers\":[", file);
    for (uint32_t i = 0; i < customers->count; ++i) {
        const struct top_customer *one = &customers->at[i];
        (void)fputs(i > 0 ? ",{" : "{", file);
        json_text(file, "customer", one->name, ",");
        (void)fprintf(file, "\"requests\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"charged\":\"%s\"}",
                      one->requests, one->denied, text_credits(one->charged, text));
    }
    (void)fputs("],", file);
    json_text(file, "customers_since", customers->since, ",");
}

/* What was refused, and why. */
static void json_whys(FILE *file, const struct top_moment *moment)
{
    if (moment->figures == NULL) json_text(file, "metrics_error", moment->why, ",");
    if (moment->customers->why[0] != '\0')
        json_text(file, "customers_error", moment->customers->why, ",");
}

void top_json(const struct top_moment *moment, FILE *file)
{
    (void)fputs("{", file);
    json_text(file, "server", moment->url, ",");
    json_text(file, "status", answer_text(moment->health, "status"), ",");
    (void)fprintf(file, "\"uptime_ms\":%" PRIu64 ",", answer_count(moment->health, "uptime_ms"));
    json_customers(file, moment->customers);
    json_whys(file, moment);
    if (moment->figures == NULL) {
        (void)fputs("\"metrics\":null}\n", file);
        return;
    }
    (void)fputs("\"metrics\":{", file);
    json_decisions(file, moment->figures);
    json_server(file, moment->figures);
    (void)fputs("}}\n", file);
}

/* --- a screen -------------------------------------------------------------------------------- */

/* One line, cut behind `columns`; colours take no room. Answers where it ends in the text. */
static const char *put_cut_line(FILE *file, const char *at, unsigned columns)
{
    unsigned column = 0;
    bool is_escape = false;
    for (; *at != '\0' && *at != '\n'; ++at) {
        if (*at == '\033') is_escape = true;
        const bool begins = !is_escape && ((unsigned char)*at & 0xc0) != 0x80;
        column += begins;
        if (is_escape || column <= columns) (void)fputc(*at, file);
        if (is_escape && *at == 'm') is_escape = false;
    }
    (void)fputs("\033[K", file);
    return *at == '\n' ? at + 1 : at;
}

void top_frame(FILE *file, const char *text, const struct top_screen *screen)
{
    (void)fputs("\033[H", file);
    for (unsigned row = 0; row + 1 < screen->rows && *text != '\0'; ++row) {
        text = put_cut_line(file, text, screen->columns);
        (void)fputs("\n", file);
    }
    (void)put_cut_line(file, screen->last, screen->columns);
    (void)fputs("\033[0m\033[J", file);
}
