/*
 * top_view.c: one moment of a server on one screen, the most important first: whoever has little
 * room sees the decisions.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "main/json_text.h"
#include "main/top.h"

enum { BAR_CELLS = 24 };

static void put_title(const struct page *page, const char *title)
{
    (void)fprintf(page->file, "\n%s%s%s\n", page_paint(page, PAINT_BOLD), title, page_plain(page));
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

static void put_decisions(const struct top_figures *figures, const struct page *page,
                          struct table *table)
{
    static const enum paint paints[TOP_OUTCOMES] = {PAINT_GREEN, PAINT_YELLOW, PAINT_RED};
    char text[TEXT_NUMBER_BYTES];
    char bar[TEXT_BAR_BYTES];
    double all = 0;
    for (int i = 0; i < TOP_OUTCOMES; ++i)
        all += isnan(figures->outcomes[i].rate) ? 0 : figures->outcomes[i].rate;
    put_title(page, "Decisions");
    table_begin(table, "lrrlr");
    table_row(table, PAINT_DIM);
    table_cell(table, "%s", "");
    table_cell(table, "per second");
    table_cell(table, "share");
    table_cell(table, "%s", "");
    table_cell(table, "since start");
    for (int i = 0; i < TOP_OUTCOMES; ++i) {
        const struct top_counter *one = &figures->outcomes[i];
        /* Thousandths of a decision per second are whole enough for a bar. */
        const uint64_t part = isnan(one->rate) ? 0 : (uint64_t)(one->rate * 1000);
        counter_row(table, "", top_outcome_names[i], one, one->rate > 0 ? paints[i] : PAINT_PLAIN);
        table_cell(table, "%s", all > 0 ? text_share(part, (uint64_t)(all * 1000), text) : "-");
        table_cell(table, "%s",
                   page->has_bars ? text_bar(part, (uint64_t)(all * 1000), BAR_CELLS, bar) : "");
        table_cell(table, "%s", text_number((uint64_t)one->total, text));
    }
    for (uint32_t i = 0; i < figures->reason_count; ++i) {
        counter_row(table, "  ", figures->reasons[i].name, &figures->reasons[i].denied, PAINT_DIM);
        table_cell(table, "%s", "");
        table_cell(table, "%s", "");
        table_cell(table, "%s", text_number((uint64_t)figures->reasons[i].denied.total, text));
    }
    table_print(table, page);
}

static void put_calls(const struct top_figures *figures, const struct page *page,
                      struct table *table)
{
    char text[TEXT_NUMBER_BYTES];
    if (figures->call_count == 0) return;
    put_title(page, "Latency");
    table_begin(table, "lrrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "%s", "");
    table_cell(table, "per second");
    table_cell(table, "p50");
    table_cell(table, "p90");
    table_cell(table, "p99");
    for (uint32_t i = 0; i < figures->call_count; ++i) {
        const struct top_call *call = &figures->calls[i];
        table_row(table, PAINT_PLAIN);
        table_cell(table, "%s", call->name);
        table_cell(table, "%s", text_rate(call->rate, text));
        table_cell(table, "%s", text_seconds(call->p50_s, text));
        table_cell(table, "%s", text_seconds(call->p90_s, text));
        table_cell(table, "%s", text_seconds(call->p99_s, text));
    }
    table_print(table, page);
}

static void put_server(const struct top_figures *figures, const struct page *page)
{
    char text[4][TEXT_NUMBER_BYTES];
    const enum paint lag = figures->lag_s > 60  ? PAINT_RED
                           : figures->lag_s > 5 ? PAINT_YELLOW
                                                : PAINT_PLAIN;
    put_title(page, "Server");
    (void)fprintf(page->file, "  open holds   %s; connections %s, queued %s\n",
                  text_number((uint64_t)figures->holds, text[0]),
                  text_number((uint64_t)figures->connections, text[1]),
                  text_number((uint64_t)figures->queued, text[2]));
    (void)fprintf(
        page->file, "  journal      %s batches/s of %s entries; durable in p50 %s, p99 %s\n",
        text_rate(figures->batches_rate, text[0]), text_rate(figures->batch_entries, text[1]),
        text_seconds(figures->append_p50_s, text[2]), text_seconds(figures->append_p99_s, text[3]));
    (void)fprintf(page->file, "  settlement   %s%s behind, %s entries%s\n", page_paint(page, lag),
                  text_seconds(figures->lag_s, text[0]),
                  text_number((uint64_t)figures->lag_entries, text[1]), page_plain(page));
    (void)fprintf(page->file, "  memory       %s resident, %s of records; logs %s\n",
                  text_bytes(figures->resident_bytes, text[0]),
                  text_bytes(figures->record_bytes, text[1]),
                  text_bytes(figures->log_bytes, text[2]));
    if (figures->condition_count == 0) return;
    (void)fprintf(page->file, "  %sconditions  ", page_paint(page, PAINT_YELLOW));
    for (uint32_t i = 0; i < figures->condition_count; ++i)
        (void)fprintf(page->file, " %s", figures->conditions[i]);
    (void)fprintf(page->file, "%s\n", page_plain(page));
}

static void put_features(const struct top_figures *figures, const struct page *page,
                         struct table *table)
{
    char text[TEXT_NUMBER_BYTES];
    if (figures->feature_count == 0) return;
    put_title(page, "Features");
    table_begin(table, "lrrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "%s", "");
    table_cell(table, "per second");
    table_cell(table, "denied");
    table_cell(table, "credits/s");
    table_cell(table, "since start");
    for (uint32_t i = 0; i < figures->feature_count; ++i) {
        const struct top_feature *one = &figures->features[i];
        counter_row(table, "", one->name, &one->decisions, PAINT_PLAIN);
        table_cell(table, "%s", text_rate(one->denied_rate, text));
        table_cell(table, "%s", text_rate(one->charged_rate, text));
        table_cell(table, "%s", text_number((uint64_t)one->decisions.total, text));
    }
    table_print(table, page);
}

static void put_customers(const struct top_customers *customers, const struct page *page,
                          struct table *table)
{
    char text[TEXT_NUMBER_BYTES];
    if (customers->count == 0 && customers->why[0] == '\0') return;
    put_title(page, "Customers");
    if (customers->why[0] != '\0') {
        (void)fprintf(page->file, "  %s\n", customers->why);
        return;
    }
    table_begin(table, "lrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "settled since %.16sZ", customers->since);
    table_cell(table, "requests");
    table_cell(table, "denied");
    table_cell(table, "credits");
    for (uint32_t i = 0; i < customers->count; ++i) {
        table_row(table, PAINT_PLAIN);
        table_cell(table, "%s", customers->at[i].name);
        table_cell(table, "%s", text_number(customers->at[i].requests, text));
        table_cell(table, "%s", text_number(customers->at[i].denied, text));
        table_cell(table, "%s", text_credits(customers->at[i].charged, text));
    }
    table_print(table, page);
    if (customers->is_cut)
        (void)fputs("  of the first 1,000 customers by name; there are more\n", page->file);
}

/* Without metrics: what health tells. */
static void put_health(const struct top_moment *moment, const struct page *page)
{
    char text[4][TEXT_NUMBER_BYTES];
    (void)fprintf(page->file, "\n  %sno metrics: %s%s\n", page_paint(page, PAINT_YELLOW),
                  moment->why, page_plain(page));
    (void)fprintf(page->file, "  open holds   %s; customers %s, grants %s\n",
                  text_number(answer_count(moment->health, "open_holds"), text[0]),
                  text_number(answer_count(moment->health, "customers"), text[1]),
                  text_number(answer_count(moment->health, "grants"), text[2]));
    (void)fprintf(
        page->file, "  settlement   %s behind\n",
        text_seconds((double)answer_count(moment->health, "settlement.lag_ms") / 1000, text[3]));
}

void top_view(const struct top_moment *moment, const struct page *page)
{
    static struct table table;
    put_head(moment, page);
    if (moment->health == NULL) return;
    if (moment->figures != NULL) {
        put_decisions(moment->figures, page, &table);
        put_calls(moment->figures, page, &table);
        put_server(moment->figures, page);
        put_features(moment->figures, page, &table);
    } else {
        put_health(moment, page);
    }
    put_customers(moment->customers, page, &table);
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

void top_json(const struct top_moment *moment, FILE *file)
{
    (void)fputs("{", file);
    json_text(file, "server", moment->url, ",");
    json_text(file, "status", answer_text(moment->health, "status"), ",");
    (void)fprintf(file, "\"uptime_ms\":%" PRIu64 ",", answer_count(moment->health, "uptime_ms"));
    json_customers(file, moment->customers);
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

void top_frame(FILE *file, const char *text, unsigned rows, unsigned columns)
{
    (void)fputs("\033[H", file);
    for (unsigned row = 0; row < rows && *text != '\0'; ++row) {
        if (row > 0) (void)fputs("\n", file);
        text = put_cut_line(file, text, columns);
    }
    (void)fputs("\033[0m\033[J", file);
}
