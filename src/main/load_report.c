/*
 * load_report.c: what came of a load, on one screen: outcomes, what paid, why not, how fast, and
 * whether the balances agree.
 */
#include <inttypes.h>
#include <string.h>

#include "main/load.h"
#include "main/text_table.h"

static const struct {
    const char *name;
    uint32_t per_100000;
} percentiles[] = {
    {  "p50",  50000},
    {  "p90",  90000},
    {  "p99",  99000},
    {"p99.9",  99900},
    {  "max", 100000}
};

static uint64_t rate_of(uint64_t count, int64_t duration_ns)
{
    return duration_ns <= 0 ? 0 : (uint64_t)((uint128)count * 1000000000 / (uint64_t)duration_ns);
}

bool load_report_is_good(const struct load_report *report)
{
    return report->tally->rows_played == report->rows &&
           report->tally->outcomes[LOAD_FAILED] == 0 && report->is_audited &&
           report->verdict->differing == 0 && report->has_books &&
           report->verdict->books_differing == 0 &&
           (!report->is_proof_asked || report->is_reconciled);
}

static void title(const struct page *page, const char *text)
{
    (void)fprintf(page->file, "\n%s%s%s\n", page_paint(page, PAINT_BOLD), text, page_plain(page));
}

static void report_head(const struct load_report *report, const struct page *page)
{
    const struct load_tally *tally = report->tally;
    const struct load_settings *settings = report->settings;
    char text[4][TEXT_NUMBER_BYTES];
    (void)fprintf(page->file, "%s%s -> %s%s   feature %s", page_paint(page, PAINT_BOLD),
                  report->trace_name, settings->address->url, page_plain(page), settings->feature);
    for (uint32_t i = 0; i < settings->attributes.count; ++i)
        (void)fprintf(page->file, " %s=%s", settings->attributes.at[i].name,
                      settings->attributes.at[i].value);
    (void)fprintf(
        page->file, "\n%s rows of %s customers, %s requests over %s connections",
        text_number(tally->rows_played, text[0]), text_number(report->verdict->customers, text[1]),
        text_number(tally->requests, text[2]), text_number(settings->connections, text[3]));
    (void)fprintf(page->file, " in %" PRId64 ".%02" PRId64 " s: %s requests/s\n",
                  tally->duration_ns / 1000000000, tally->duration_ns / 10000000 % 100,
                  text_number(rate_of(tally->requests, tally->duration_ns), text[0]));
    if (tally->behind_ns > INT64_C(1000000000))
        (void)fprintf(page->file,
                      "the schedule slipped by up to %" PRId64 ".%" PRId64
                      " s: more --connections, or less --speed\n",
                      tally->behind_ns / 1000000000, tally->behind_ns / 100000000 % 10);
    if (tally->retries > 0)
        (void)fprintf(page->file, "%s attempts were repeated with their key\n",
                      text_number(tally->retries, text[0]));
}

static void report_outcomes(const struct load_report *report, const struct page *page,
                            struct table *table)
{
    static const struct {
        const char *name;
        enum paint paint;
    } outcomes[LOAD_OUTCOMES] = {
        {"allowed",  PAINT_GREEN},
        {"partial", PAINT_YELLOW},
        { "denied", PAINT_YELLOW},
        { "failed",    PAINT_RED}
    };
    const struct load_tally *tally = report->tally;
    char number[TEXT_NUMBER_BYTES];
    char share[TEXT_NUMBER_BYTES];
    char bar[TEXT_BAR_BYTES];
    title(page, "Outcomes");
    table_begin(table, "lrrl");
    for (int i = 0; i < LOAD_OUTCOMES; ++i) {
        const uint64_t rows = tally->outcomes[i];
        table_row(table, rows > 0 ? outcomes[i].paint : PAINT_DIM);
        table_cell(table, "%s", outcomes[i].name);
        table_cell(table, "%s", text_number(rows, number));
        table_cell(table, "%s", text_share(rows, tally->rows_played, share));
        table_cell(table, "%s", page->has_bars ? text_bar(rows, tally->rows_played, 30, bar) : "");
    }
    table_row(table, PAINT_PLAIN);
    table_cell(table, "rows");
    table_cell(table, "%s", text_number(tally->rows_played, number));
    table_cell(table, "%s", "");
    if (tally->rows_played == report->rows)
        table_cell(table, "every row of the trace is accounted for");
    else
        table_cell(table, "stopped early: the trace has %s", text_number(report->rows, share));
    table_print(table, page);
}

static void source_row(struct table *table, const struct load_source *source, bool is_cost)
{
    char text[TEXT_NUMBER_BYTES];
    table_row(table, PAINT_PLAIN);
    table_cell(table, "%s", source->name);
    table_cell(table, "%s", source->kind);
    table_cell(table, "%s", text_number(source->rows, text));
    table_cell(table, "%s", text_units(source->units, is_cost, text));
    table_cell(table, "%s", text_credits(source->charged, text));
}

static void report_sources(const struct load_report *report, const struct page *page,
                           struct table *table)
{
    const struct load_tally *tally = report->tally;
    const struct load_overshoot *overshoot = &tally->overshoot;
    char text[3][TEXT_NUMBER_BYTES];
    title(page, "What paid");
    table_begin(table, "llrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "source");
    table_cell(table, "kind");
    table_cell(table, "rows");
    table_cell(table, "%s", tally->unit_is_cost ? "worth, credits" : "units");
    table_cell(table, "charged, credits");
    struct load_source total = {.name = "total"};
    uint64_t rows_by_source = 0;
    for (uint32_t i = 0; i < tally->source_count; ++i) {
        source_row(table, &tally->sources[i], tally->unit_is_cost);
        rows_by_source += tally->sources[i].rows;
        total.units += tally->sources[i].units;
        total.charged += tally->sources[i].charged;
    }
    total.rows = tally->outcomes[LOAD_ALLOWED] + tally->outcomes[LOAD_PARTIAL];
    source_row(table, &total, tally->unit_is_cost);
    table_print(table, page);
    if (rows_by_source > total.rows)
        (void)fprintf(
            page->file,
            "  a row paid by several sources counts in each of them, once in the total\n");
    if (overshoot->rows > 0) {
        const char *charged = text_credits(overshoot->charged, text[1]);
        (void)fprintf(page->file,
                      "  overshoot, used but carried by nothing: %s %s in %s %s, %s of them "
                      "refunded\n",
                      charged, text_credits_unit(charged), text_number(overshoot->rows, text[0]),
                      overshoot->rows == 1 ? "row" : "rows",
                      text_credits(overshoot->refunded, text[2]));
    }
    (void)fprintf(page->file, "  held %s on estimates, used %s; %s rows used more than was held\n",
                  text_units(tally->units_held, tally->unit_is_cost, text[0]),
                  text_units(tally->units_used, tally->unit_is_cost, text[1]),
                  text_number(tally->underestimated, text[2]));
    if (tally->late > 0)
        (void)fprintf(page->file, "  %s commits came after their hold had expired\n",
                      text_number(tally->late, text[0]));
}

static void report_codes(const struct page *page, struct table *table, const char *heading,
                         const struct load_codes *codes, enum paint paint)
{
    const bool has_details = paint == PAINT_RED; /* a denial's tell of one customer's windows */
    char number[TEXT_NUMBER_BYTES];
    if (codes->count == 0) return;
    title(page, heading);
    table_begin(table, "lrl");
    for (uint32_t i = 0; i < codes->count; ++i) {
        table_row(table, paint);
        table_cell(table, "%s", codes->at[i].name);
        table_cell(table, "%s", text_number(codes->at[i].rows, number));
        table_cell(table, "%s", has_details ? codes->at[i].detail : "");
    }
    table_print(table, page);
}

static void latency_row(struct table *table, const char *name,
                        const struct load_latencies *latencies)
{
    char number[TEXT_NUMBER_BYTES];
    table_row(table, PAINT_PLAIN);
    table_cell(table, "%s", name);
    table_cell(table, "%s", text_number(latencies->count, number));
    for (size_t i = 0; i < COUNT_OF(percentiles); ++i) {
        const uint32_t microseconds = load_latencies_at(latencies, percentiles[i].per_100000);
        table_cell(table, "%" PRIu32 ".%02" PRIu32, microseconds / 1000, microseconds / 10 % 100);
    }
}

static void report_latencies(const struct load_report *report, const struct page *page,
                             struct table *table)
{
    title(page, "Latency, milliseconds");
    table_begin(table, "lrrrrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "%s", "");
    table_cell(table, "answers");
    for (size_t i = 0; i < COUNT_OF(percentiles); ++i)
        table_cell(table, "%s", percentiles[i].name);
    latency_row(table, "authorize", &report->tally->authorize);
    latency_row(table, "commit", &report->tally->commit);
    table_print(table, page);
}

static void books_row(struct table *table, const char *who, const struct load_books *books)
{
    char text[TEXT_NUMBER_BYTES];
    table_row(table, PAINT_PLAIN);
    table_cell(table, "%s", who);
    table_cell(table, "%s", text_number(books->requests, text));
    table_cell(table, "%s", text_number(books->denied, text));
    table_cell(table, "%s", text_credits(books->charged, text));
}

static void report_books(const struct load_report *report, const struct page *page,
                         struct table *table)
{
    const struct load_verdict *verdict = report->verdict;
    char text[TEXT_NUMBER_BYTES];
    char name[LOAD_NAME_BYTES];
    if (!report->has_books) {
        (void)fprintf(page->file, "  %sthe books were not compared%s\n",
                      page_paint(page, PAINT_RED), page_plain(page));
        return;
    }
    table_begin(table, "lrrr");
    table_row(table, PAINT_DIM);
    table_cell(table, "%s customers", text_number(verdict->books_customers, text));
    table_cell(table, "requests");
    table_cell(table, "denied");
    table_cell(table, "charged, credits");
    books_row(table, "told by the answers", &verdict->told);
    books_row(table, "added to the books", &verdict->found);
    table_print(table, page);
    if (verdict->books_differing == 0) {
        (void)fprintf(page->file, "  %sthe books have every request as it was answered%s\n",
                      page_paint(page, PAINT_GREEN), page_plain(page));
        return;
    }
    load_customer_name(report->settings, verdict->books_first_differing, name);
    (void)fprintf(page->file, "  %sthe books of %s customers differ, the first are %s's%s\n",
                  page_paint(page, PAINT_RED), text_number(verdict->books_differing, text), name,
                  page_plain(page));
}

static void report_proof(const struct load_report *report, const struct page *page)
{
    if (!report->is_proof_asked) return;
    (void)fprintf(page->file, "  %sverify: %s%s\n",
                  page_paint(page, report->is_verified ? PAINT_GREEN : PAINT_RED),
                  report->is_verified ? "clean" : "not clean", page_plain(page));
    if (!report->is_verified) return;
    (void)fprintf(page->file, "  %sreconcile: %s%s\n",
                  page_paint(page, report->is_reconciled ? PAINT_GREEN : PAINT_RED),
                  report->is_reconciled ? "clean" : "not clean", page_plain(page));
}

static void report_verdict(const struct load_report *report, const struct page *page)
{
    const struct load_verdict *verdict = report->verdict;
    char text[3][TEXT_NUMBER_BYTES];
    title(page, "Audit");
    if (!report->is_audited) {
        (void)fprintf(page->file, "  %snone: the balances could not be read after the play%s\n",
                      page_paint(page, PAINT_RED), page_plain(page));
        return;
    }
    (void)fprintf(page->file, "  balances of %s customers, before less after: %s credits\n",
                  text_number(verdict->customers - verdict->spoiled, text[0]),
                  text_credits(verdict->moved, text[1]));
    (void)fprintf(page->file, "  charged to their grants, by the answers:    %s credits\n",
                  text_credits(verdict->charged, text[1]));
    if (verdict->spoiled > 0)
        (void)fprintf(page->file, "  %s more had failed requests and are not judged\n",
                      text_number(verdict->spoiled, text[0]));
    if (verdict->differing == 0) {
        (void)fprintf(page->file,
                      "  %severy %sbalance moved by what its answers charged, nothing is left held"
                      "%s\n",
                      page_paint(page, PAINT_GREEN), verdict->spoiled > 0 ? "other " : "",
                      page_plain(page));
        return;
    }
    char name[LOAD_NAME_BYTES];
    load_customer_name(report->settings, verdict->first_differing, name);
    (void)fprintf(page->file,
                  "  %s%s customers differ, the first is %s%s (were they used by others, or their "
                  "keys before?)\n",
                  page_paint(page, PAINT_RED), text_number(verdict->differing, text[0]), name,
                  page_plain(page));
}

void load_report_text(const struct load_report *report, FILE *file)
{
    const struct page page = page_on(file);
    struct table table;
    report_head(report, &page);
    report_outcomes(report, &page, &table);
    report_sources(report, &page, &table);
    report_codes(&page, &table, "Denied because", &report->tally->denials, PAINT_YELLOW);
    report_codes(&page, &table, "Failed because", &report->tally->failures, PAINT_RED);
    report_latencies(report, &page, &table);
    report_verdict(report, &page);
    if (!report->is_audited) return;
    report_books(report, &page, &table);
    report_proof(report, &page);
}

static void json_latencies(FILE *file, const char *name, const struct load_latencies *latencies)
{
    (void)fprintf(file, "\"%s\":{\"answers\":%zu", name, latencies->count);
    for (size_t i = 0; i < COUNT_OF(percentiles); ++i)
        (void)fprintf(file, ",\"%s_us\":%" PRIu32, percentiles[i].name,
                      load_latencies_at(latencies, percentiles[i].per_100000));
    (void)fputs("}", file);
}

static void json_codes(FILE *file, const char *name, const struct load_codes *codes)
{
    (void)fprintf(file, "\"%s\":{", name);
    for (uint32_t i = 0; i < codes->count; ++i)
        (void)fprintf(file, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", codes->at[i].name,
                      codes->at[i].rows);
    (void)fputs("},", file);
}

static void json_books(const struct load_report *report, FILE *file)
{
    const struct load_verdict *verdict = report->verdict;
    char text[2][TEXT_NUMBER_BYTES];
    if (!report->has_books) {
        (void)fputs("null", file);
        return;
    }
    (void)fprintf(
        file,
        "{\"customers\":%" PRIu64 ",\"differing\":%" PRIu64 ",\"told\":{\"requests\":%" PRIu64
        ",\"denied\":%" PRIu64 ",\"charged\":\"%s\"},\"found\":{\"requests\":%" PRIu64
        ",\"denied\":%" PRIu64 ",\"charged\":\"%s\"}}",
        verdict->books_customers, verdict->books_differing, verdict->told.requests,
        verdict->told.denied, text_credits(verdict->told.charged, text[0]), verdict->found.requests,
        verdict->found.denied, text_credits(verdict->found.charged, text[1]));
}

void load_report_json(const struct load_report *report, FILE *file)
{
    const struct load_tally *tally = report->tally;
    const struct load_verdict *verdict = report->verdict;
    char text[2][TEXT_NUMBER_BYTES];
    (void)fprintf(file,
                  "{\"rows\":%" PRIu64 ",\"rows_played\":%" PRIu64 ",\"allowed\":%" PRIu64
                  ",\"partial\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"failed\":%" PRIu64 ",",
                  report->rows, tally->rows_played, tally->outcomes[LOAD_ALLOWED],
                  tally->outcomes[LOAD_PARTIAL], tally->outcomes[LOAD_DENIED],
                  tally->outcomes[LOAD_FAILED]);
    (void)fprintf(file,
                  "\"requests\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"late\":%" PRIu64
                  ",\"duration_ms\":%" PRId64 ",\"requests_per_second\":%" PRIu64
                  ",\"units_held\":%" PRIu64 ",\"units_used\":%" PRIu64
                  ",\"underestimated\":%" PRIu64 ",\"sources\":[",
                  tally->requests, tally->retries, tally->late, tally->duration_ns / 1000000,
                  rate_of(tally->requests, tally->duration_ns), tally->units_held,
                  tally->units_used, tally->underestimated);
    for (uint32_t i = 0; i < tally->source_count; ++i)
        (void)fprintf(file,
                      "%s{\"source\":\"%s\",\"kind\":\"%s\",\"rows\":%" PRIu64 ",\"units\":%" PRIu64
                      ",\"charged\":\"%s\"}",
                      i > 0 ? "," : "", tally->sources[i].name, tally->sources[i].kind,
                      tally->sources[i].rows, tally->sources[i].units,
                      text_credits(tally->sources[i].charged, text[0]));
    (void)fprintf(file,
                  "],\"overshoot\":{\"rows\":%" PRIu64 ",\"units\":%" PRIu64
                  ",\"charged\":\"%s\",\"refunded\":\"%s\"},",
                  tally->overshoot.rows, tally->overshoot.units,
                  text_credits(tally->overshoot.charged, text[0]),
                  text_credits(tally->overshoot.refunded, text[1]));
    json_codes(file, "denials", &tally->denials);
    json_codes(file, "failures", &tally->failures);
    json_latencies(file, "authorize", &tally->authorize);
    (void)fputs(",", file);
    json_latencies(file, "commit", &tally->commit);
    if (!report->is_audited) {
        (void)fputs(",\"audit\":null}\n", file);
        return;
    }
    (void)fprintf(file,
                  ",\"audit\":{\"customers\":%" PRIu64 ",\"differing\":%" PRIu64
                  ",\"not_judged\":%" PRIu64 ",\"moved\":\"%s\",\"charged\":\"%s\",\"books\":",
                  verdict->customers, verdict->differing, verdict->spoiled,
                  text_credits(verdict->moved, text[0]), text_credits(verdict->charged, text[1]));
    json_books(report, file);
    if (report->is_proof_asked)
        (void)fprintf(file, ",\"verified\":%s,\"reconciled\":%s",
                      report->is_verified ? "true" : "false",
                      report->is_reconciled ? "true" : "false");
    (void)fputs("}}\n", file);
}
