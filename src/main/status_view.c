/*
 * status_view.c: a customer on one screen. A narrow terminal gets shorter bars and no clock, a
 * narrower one no bars; never less than names, amounts and when they come back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "main/json_text.h"
#include "main/runway.h"
#include "main/status.h"

enum { WIDE_COLUMNS = 112, MIDDLE_COLUMNS = 80 };
enum { BAR_WIDE = 20, BAR_MIDDLE = 8 };

#define LAG_MS_MAX (5 * SECOND_MS) /* of the books, before it is worth a word */

struct layout {
    const struct page *page;
    struct table *table;
    int64_t now_ms;
    unsigned bar_cells; /* 0: no bars */
    bool is_wide;
};

static struct layout layout_for(const struct page *page, struct table *table, int64_t now_ms)
{
    const bool is_wide = !page->is_terminal || page->columns >= WIDE_COLUMNS;
    const bool is_middle = is_wide || page->columns >= MIDDLE_COLUMNS;
    return (struct layout){.page = page,
                           .table = table,
                           .now_ms = now_ms,
                           .bar_cells = !page->has_bars ? 0
                                        : is_wide       ? BAR_WIDE
                                        : is_middle     ? BAR_MIDDLE
                                                        : 0,
                           .is_wide = is_wide};
}

/* Amounts are whole units, or credits as decimal text. */
struct amount {
    uint64_t value;
    bool is_credits;
};

static struct amount read_amount(yajl_val value, const char *name)
{
    if (answer_text(value, name)[0] == '\0')
        return (struct amount){.value = answer_count(value, name)};
    const int64_t nano = answer_credits(value, name);
    return (struct amount){.value = nano > 0 ? (uint64_t)nano : 0, .is_credits = true};
}

static bool is_null(yajl_val value, const char *name)
{
    const yajl_val found = answer_at(value, name);
    return found == NULL || YAJL_IS_NULL(found);
}

static void put_title(const struct page *page, const char *title)
{
    (void)fprintf(page->file, "\n%s%s%s", page_paint(page, PAINT_BOLD), title, page_plain(page));
}

/* What is left of something, where there are bars. */
static void bar_cell(const struct layout *layout, uint64_t left, uint64_t whole)
{
    char bar[TEXT_BAR_BYTES];
    table_cell(layout->table, "%s", text_bar(left, whole, layout->bar_cells, bar));
}

/* "resets in 4 h 58 min (22:00)"; nothing where there is no such instant. */
static void instant_cell(const struct layout *layout, const char *what, const char *instant)
{
    char relative[TEXT_NUMBER_BYTES];
    char clock[TEXT_NUMBER_BYTES];
    int64_t at_ms = 0;
    if (!calendar_parse(bytes_of_text(instant), &at_ms)) {
        table_cell(layout->table, "%s", "");
        return;
    }
    if (at_ms <= layout->now_ms) {
        table_cell(layout->table, "%snow", what);
        return;
    }
    (void)text_duration(at_ms - layout->now_ms, relative);
    if (layout->is_wide)
        table_cell(layout->table, "%sin %s (%s)", what, relative,
                   text_when(at_ms, layout->now_ms, clock));
    else
        table_cell(layout->table, "%sin %s", what, relative);
}

/* What is used up, and what is nearly. */
static enum paint paint_for(uint64_t left, uint64_t whole)
{
    if (left == 0) return PAINT_RED;
    return left <= whole / 5 ? PAINT_YELLOW : PAINT_GREEN;
}

enum { PACE_BYTES = 48 };

/* ", at 0.5 (probation)"; nothing where nothing slows it. */
static const char *pace_text(yajl_val limit, char text_out[PACE_BYTES])
{
    const char *factor = answer_text(limit, "factor");
    const char *standing = answer_text(limit, "standing");
    text_out[0] = '\0';
    if (factor[0] == '\0') return text_out;
    (void)snprintf(text_out, PACE_BYTES, ", at %s%s%s%s", factor, standing[0] != '\0' ? " (" : "",
                   standing, standing[0] != '\0' ? ")" : "");
    return text_out;
}

/* Grants have no limit of their own, what is unlimited has nothing left to count, and what is left
 * of a pace is of its burst. */
static void limit_row(const struct layout *layout, yajl_val limit, bool is_cost)
{
    struct table *table = layout->table;
    const bool is_pace = strcmp(answer_text(limit, "kind"), "rate") == 0;
    const struct amount whole = read_amount(limit, is_pace ? "burst" : "limit");
    const struct amount left = read_amount(limit, "remaining");
    const bool is_unlimited = is_null(limit, "remaining");
    const bool is_limited = !is_unlimited && !is_null(limit, "limit");
    const bool is_grants = strcmp(answer_text(limit, "kind"), "grants") == 0;
    const uint64_t told_last = is_limited ? whole.value : left.value;
    const char *unit = is_grants && !left.is_credits                 ? " from credits"
                       : !left.is_credits || (is_cost && !is_grants) ? ""
                       : told_last == NANO_PER_CREDIT                ? " credit"
                                                                     : " credits";
    char text[2][TEXT_NUMBER_BYTES];
    char pace[PACE_BYTES];
    table_row(table, is_limited                         ? paint_for(left.value, whole.value)
                     : left.value == 0 && !is_unlimited ? PAINT_DIM
                                                        : PAINT_PLAIN);
    table_cell(table, "%s", answer_text(limit, "name"));
    if (layout->is_wide) table_cell(table, "%s", answer_text(limit, "kind"));
    table_cell(table, "%s", answer_text(limit, "window"));
    if (layout->bar_cells > 0 && is_limited)
        bar_cell(layout, left.value, whole.value);
    else if (layout->bar_cells > 0)
        table_cell(table, "%s", "");
    if (is_unlimited)
        table_cell(table, "unlimited");
    else if (is_limited)
        table_cell(table, "%s of %s%s%s", text_units(left.value, left.is_credits, text[0]),
                   text_units(whole.value, whole.is_credits, text[1]), unit,
                   pace_text(limit, pace));
    else
        table_cell(table, "%s%s", text_units(left.value, left.is_credits, text[0]), unit);
    instant_cell(layout, "resets ", answer_text(limit, "resets_at"));
}

static void put_feature(const struct layout *layout, yajl_val feature)
{
    const struct page *page = layout->page;
    const bool is_cost = strcmp(answer_text(feature, "unit"), "cost") == 0;
    uint64_t retry_after_ms = 0;
    char text[TEXT_NUMBER_BYTES];
    put_title(page, answer_text(feature, "feature"));
    (void)fprintf(page->file, ", %s left: ", is_cost ? "credits" : answer_text(feature, "unit"));
    if (answer_is_true(feature, "allowed")) {
        (void)fprintf(page->file, "%sthe next request passes%s\n", page_paint(page, PAINT_GREEN),
                      page_plain(page));
    } else {
        (void)fprintf(page->file, "%sthe next request is denied, %s%s", page_paint(page, PAINT_RED),
                      answer_text(feature, "reason"), page_plain(page));
        if (answer_has_count(feature, "retry_after_ms", &retry_after_ms))
            (void)fprintf(page->file, "; passes in %s",
                          text_duration((int64_t)retry_after_ms, text));
        (void)fputs("\n", page->file);
    }
    table_begin(layout->table, "llllll");
    for (size_t i = 0; i < answer_length(feature, "limits"); ++i)
        limit_row(layout, answer_item(feature, "limits", i), is_cost);
    table_print(layout->table, page);
}

static void put_grants(const struct layout *layout, yajl_val balance)
{
    struct table *table = layout->table;
    if (answer_length(balance, "grants") == 0) return;
    put_title(layout->page, "Grants, credits left");
    (void)fputs("\n", layout->page->file);
    table_begin(table, "llllll");
    for (size_t i = 0; i < answer_length(balance, "grants"); ++i) {
        const yajl_val grant = answer_item(balance, "grants", i);
        const char *state = answer_text(grant, "state");
        const int64_t whole = answer_credits(grant, "credits");
        const int64_t left = answer_credits(grant, "remaining");
        const bool is_live = strcmp(state, "live") == 0;
        table_row(table, !is_live || left <= 0 ? PAINT_DIM : PAINT_PLAIN);
        table_cell(table, "%s", answer_text(grant, "category"));
        table_cell(table, "%s", answer_text(grant, "grant_id"));
        if (layout->bar_cells > 0) bar_cell(layout, left > 0 ? (uint64_t)left : 0, (uint64_t)whole);
        table_cell(table, "%s of %s", answer_text(grant, "remaining"),
                   answer_text(grant, "credits"));
        if (is_live)
            instant_cell(layout, "ends ", answer_text(grant, "expires_at"));
        else
            table_cell(table, "%s", state);
        const char *held = answer_text(grant, "held");
        table_cell(table, "%s%s", strcmp(held, "0") == 0 ? "" : held,
                   strcmp(held, "0") == 0 ? "" : " held");
    }
    table_print(table, layout->page);
}

static void balance_row(struct table *table, yajl_val balance, const char *name,
                        const char *meaning, enum paint paint)
{
    table_row(table, paint);
    table_cell(table, "%s", name);
    table_cell(table, "%s", answer_text(balance, name));
    table_cell(table, "%s", meaning);
}

static void put_balance(const struct layout *layout, yajl_val balance)
{
    struct table *table = layout->table;
    const bool is_left = answer_credits(balance, "available") > 0;
    put_title(layout->page, "Credits");
    (void)fputs("\n", layout->page->file);
    table_begin(table, "lrl");
    balance_row(table, balance, "settled", "in the books", PAINT_PLAIN);
    balance_row(table, balance, "pending", "spent, not in the books yet", PAINT_PLAIN);
    balance_row(table, balance, "held", "kept for requests under way", PAINT_PLAIN);
    balance_row(table, balance, "available", "settled - pending - held",
                is_left ? PAINT_GREEN : PAINT_RED);
    if (!is_null(balance, "debt"))
        balance_row(table, balance, "debt", "paid first by what comes next", PAINT_RED);
    table_print(table, layout->page);
}

/* Of live grants, what is gone with their time before then. */
static int64_t ends_before(yajl_val balance, int64_t now_ms, int64_t until_ms)
{
    int64_t sum = 0;
    for (size_t i = 0; i < answer_length(balance, "grants"); ++i) {
        const yajl_val grant = answer_item(balance, "grants", i);
        int64_t ends_ms = 0;
        if (strcmp(answer_text(grant, "state"), "live") != 0 ||
            !calendar_parse(bytes_of_text(answer_text(grant, "expires_at")), &ends_ms))
            continue;
        if (ends_ms > now_ms && ends_ms < until_ms) sum += answer_credits(grant, "remaining");
    }
    return sum;
}

static struct runway runway_of(const struct status_facts *facts, const struct status_pace *pace)
{
    return runway_at((struct runway_pace){.available = answer_credits(facts->balance, "available"),
                                          .charged = pace->charged,
                                          .span_ms = pace->span_ms});
}

static void pace_row(const struct layout *layout, const struct status_facts *facts,
                     const struct status_pace *pace)
{
    struct table *table = layout->table;
    char text[3][TEXT_NUMBER_BYTES];
    table_row(table, PAINT_PLAIN);
    table_cell(table, "%s", pace->span);
    if (pace->why[0] != '\0') {
        table_cell(table, "%s", "");
        table_cell(table, "unknown: %s", pace->why);
        return;
    }
    const struct runway runway = runway_of(facts, pace);
    const char *charged = text_credits(pace->charged, text[0]);
    table_cell(table, "%s %s", charged, text_credits_unit(charged));
    switch (runway.kind) {
    case RUNWAY_UNKNOWN:
        table_cell(table, "unknown: nothing was charged");
        return;
    case RUNWAY_EMPTY:
        table_cell(table, "no credits are left");
        return;
    case RUNWAY_LONG:
        table_cell(table, "more than ten years");
        return;
    case RUNWAY_LASTS:
        break;
    }
    const int64_t until_ms = facts->now_ms + runway.lasts_ms;
    const int64_t ending = ends_before(facts->balance, facts->now_ms, until_ms);
    table_cell(table, "%s, until %s", text_duration(runway.lasts_ms, text[0]),
               text_when(until_ms, facts->now_ms, text[1]));
    if (ending == 0) return;
    table_row(table, PAINT_YELLOW);
    table_cell(table, "%s", "");
    table_cell(table, "%s", "");
    table_cell(table, "but %s of them end before that", text_credits(ending, text[2]));
}

/* Of what is shown. */
static bool takes_credits(yajl_val status)
{
    for (size_t i = 0; i < answer_length(status, "features"); ++i) {
        const yajl_val feature = answer_item(status, "features", i);
        for (size_t j = 0; j < answer_length(feature, "limits"); ++j)
            if (strcmp(answer_text(answer_item(feature, "limits", j), "kind"), "grants") == 0)
                return true;
    }
    return false;
}

/* Nothing where there are no credits, nor anything that would take them. */
static void put_runway(const struct layout *layout, const struct status_facts *facts)
{
    char text[TEXT_NUMBER_BYTES];
    if (answer_credits(facts->balance, "available") <= 0 && !takes_credits(facts->status)) return;
    put_title(layout->page, "Runway at the pace of");
    (void)fputs("\n", layout->page->file);
    table_begin(layout->table, "lrl");
    for (int i = 0; i < STATUS_PACES; ++i)
        pace_row(layout, facts, &facts->paces[i]);
    table_print(layout->table, layout->page);
    if (facts->lag_ms > LAG_MS_MAX)
        (void)fprintf(layout->page->file, "  the books are %s behind: the pace may be higher\n",
                      text_duration(facts->lag_ms, text));
}

/* Ends the first line. */
static void put_settings(yajl_val settings, const struct page *page)
{
    const char *mode = answer_text(settings, "credit_mode");
    (void)fprintf(page->file, "  plan %s", answer_text(settings, "plan"));
    if (strcmp(mode, "auto") != 0) (void)fprintf(page->file, "  credit mode %s", mode);
    if (answer_is_true(settings, "suspended"))
        (void)fprintf(page->file, "  %ssuspended%s", page_paint(page, PAINT_RED), page_plain(page));
    (void)fputs("\n", page->file);
}

void status_view(const struct status_facts *facts, const struct page *page)
{
    static struct table table;
    const struct layout layout = layout_for(page, &table, facts->now_ms);
    (void)fprintf(page->file, "%s%s%s", page_paint(page, PAINT_BOLD), facts->customer,
                  page_plain(page));
    if (facts->subject != NULL) (void)fprintf(page->file, " %s", facts->subject);
    if (facts->is_unseen) {
        (void)fputs("  not seen yet, no balance: the default plan's limits\n", page->file);
    } else {
        put_settings(facts->settings, page);
        put_balance(&layout, facts->balance);
        put_runway(&layout, facts);
    }
    for (size_t i = 0; i < answer_length(facts->status, "features"); ++i)
        put_feature(&layout, answer_item(facts->status, "features", i));
    put_grants(&layout, facts->balance);
}

/* ---- as JSON */

static void put_instant(FILE *file, int64_t at_ms)
{
    char text[INSTANT_TEXT_SIZE];
    (void)calendar_format(at_ms, text);
    json_put_text(file, text);
}

/* `why` it lasts for no time that is known; null where one is. */
static const char *why_unknown(const struct status_pace *pace, struct runway runway)
{
    if (pace->why[0] != '\0') return pace->why;
    switch (runway.kind) {
    case RUNWAY_UNKNOWN:
        return "nothing was charged";
    case RUNWAY_EMPTY:
        return "no credits are left";
    case RUNWAY_LONG:
        return "more than ten years";
    case RUNWAY_LASTS:
        break;
    }
    return NULL;
}

static void put_pace_json(const struct status_facts *facts, const struct status_pace *pace,
                          FILE *file)
{
    char text[TEXT_NUMBER_BYTES];
    const struct runway runway = runway_of(facts, pace);
    const char *why = why_unknown(pace, runway);
    const int64_t until_ms = facts->now_ms + runway.lasts_ms;
    (void)fprintf(file, "{\"span_ms\":%" PRId64 ",\"charged\":", pace->span_ms);
    if (pace->why[0] == '\0')
        json_put_text(file, text_credits(pace->charged, text));
    else
        (void)fputs("null", file);
    if (why != NULL) {
        (void)fputs(",\"lasts_ms\":null,\"until\":null,\"ending_before\":null,\"why\":", file);
        json_put_text(file, why);
    } else {
        (void)fprintf(file, ",\"lasts_ms\":%" PRId64 ",\"until\":", runway.lasts_ms);
        put_instant(file, until_ms);
        (void)fputs(",\"ending_before\":", file);
        json_put_text(file,
                      text_credits(ends_before(facts->balance, facts->now_ms, until_ms), text));
        (void)fputs(",\"why\":null", file);
    }
    (void)fputs("}", file);
}

void status_json(const struct status_facts *facts, const struct status_bodies *bodies, FILE *file)
{
    const char *end = strrchr(bodies->status, '}'); /* of the object, which goes on here */
    (void)fwrite(bodies->status, 1, (size_t)(end - bodies->status), file);
    (void)fputs(",\"now\":", file);
    put_instant(file, facts->now_ms);
    (void)fprintf(file, ",\"settings\":%s,\"wallet\":%s",
                  facts->is_unseen ? "null" : bodies->settings,
                  facts->is_unseen ? "null" : bodies->balance);
    (void)fprintf(file, ",\"books_behind_ms\":%" PRId64 ",\"runway\":[", facts->lag_ms);
    for (int i = 0; i < STATUS_PACES && !facts->is_unseen; ++i) {
        if (i > 0) (void)fputs(",", file);
        put_pace_json(facts, &facts->paces[i], file);
    }
    (void)fputs("]}\n", file);
}
