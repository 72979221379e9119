/*
 * status.c: `weir status`, what a customer's next request would meet: every gate and window as a
 * bar, then the grants. From the state that decides.
 */
#include <stdio.h>
#include <string.h>

#include "main/answer.h"
#include "main/client.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/text_table.h"

struct status_options {
    struct client_options client;
    const char *subject;
    const char *feature;
    bool is_json;
};

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

static void put_query(struct buffer *path, const char *name, const char *value, char *separator)
{
    if (value == NULL) return;
    buffer_put_byte(path, (uint8_t)*separator);
    buffer_put_text(path, name);
    buffer_put_text(path, "=");
    put_path_part(path, value);
    *separator = '&';
}

static bool get(const struct usage *usage, const struct server_address *address,
                const char *customer, const char *call, const struct status_options *options,
                struct client_answer *answer_out)
{
    uint8_t block[2 * CLIENT_PATH_BYTES_MAX];
    struct buffer path = buffer_over(block, sizeof(block));
    char separator = '?';
    buffer_put_text(&path, "/v1/customers/");
    put_path_part(&path, customer);
    buffer_put_text(&path, call);
    if (options != NULL) {
        put_query(&path, "subject", options->subject, &separator);
        put_query(&path, "feature", options->feature, &separator);
    }
    buffer_put_byte(&path, '\0');
    if (path.overflowed) {
        (void)fprintf(stderr, "weir status: names are too long\n");
        return false;
    }
    const struct client_request request = {.method = "GET", .path = (const char *)block};
    return client_expect(usage->command, address, &request, answer_out);
}

static bool is_null(yajl_val value, const char *name)
{
    const yajl_val found = answer_at(value, name);
    return found == NULL || YAJL_IS_NULL(found);
}

/* Grants have no limit of their own, what is unlimited has nothing left to count. */
static void limit_row(struct table *table, yajl_val limit)
{
    const struct amount whole = read_amount(limit, "limit");
    const struct amount left = read_amount(limit, "remaining");
    const char *resets_at = answer_text(limit, "resets_at");
    const bool is_unlimited = is_null(limit, "remaining");
    const bool is_limited = !is_unlimited && !is_null(limit, "limit");
    char text[2][TEXT_NUMBER_BYTES];
    char bar[TEXT_BAR_BYTES];
    table_row(table, left.value == 0 && !is_unlimited ? PAINT_YELLOW : PAINT_PLAIN);
    table_cell(table, "%s", answer_text(limit, "name"));
    table_cell(table, "%s", answer_text(limit, "kind"));
    table_cell(table, "%s", answer_text(limit, "window"));
    table_cell(table, "%s", is_limited ? text_bar(left.value, whole.value, 20, bar) : "");
    if (is_unlimited)
        table_cell(table, "unlimited");
    else if (is_limited)
        table_cell(table, "%s of %s%s left", text_units(left.value, left.is_credits, text[0]),
                   text_units(whole.value, whole.is_credits, text[1]),
                   whole.is_credits ? " credits" : "");
    else
        table_cell(table, "%s%s left", text_units(left.value, left.is_credits, text[0]),
                   left.is_credits ? " credits" : "");
    table_cell(table, "%s%s", resets_at[0] != '\0' ? "resets " : "", resets_at);
}

static void show_feature(const struct page *page, struct table *table, yajl_val feature)
{
    const bool is_allowed = answer_is_true(feature, "allowed");
    uint64_t retry_after_ms = 0;
    char text[TEXT_NUMBER_BYTES];
    (void)fprintf(page->file, "\n%s%s%s  ", page_paint(page, PAINT_BOLD),
                  answer_text(feature, "feature"), page_plain(page));
    if (is_allowed) {
        (void)fprintf(page->file, "%sthe next request passes%s\n", page_paint(page, PAINT_GREEN),
                      page_plain(page));
    } else {
        (void)fprintf(page->file, "%swould be denied: %s%s", page_paint(page, PAINT_RED),
                      answer_text(feature, "reason"), page_plain(page));
        if (answer_has_count(feature, "retry_after_ms", &retry_after_ms))
            (void)fprintf(page->file, "; passes in %s",
                          text_duration((int64_t)retry_after_ms, text));
        (void)fputs("\n", page->file);
    }
    table_begin(table, "llllll");
    for (size_t i = 0; i < answer_length(feature, "limits"); ++i)
        limit_row(table, answer_item(feature, "limits", i));
    table_print(table, page);
}

static void show_grants(const struct page *page, struct table *table, yajl_val balance)
{
    char bar[TEXT_BAR_BYTES];
    if (answer_length(balance, "grants") == 0) return;
    (void)fprintf(page->file, "\n%sgrants%s\n", page_paint(page, PAINT_BOLD), page_plain(page));
    table_begin(table, "llllll");
    for (size_t i = 0; i < answer_length(balance, "grants"); ++i) {
        const yajl_val grant = answer_item(balance, "grants", i);
        const char *expires = answer_text(grant, "expires_at");
        const int64_t whole = answer_credits(grant, "credits");
        const int64_t left = answer_credits(grant, "remaining");
        table_row(table, left <= 0 ? PAINT_DIM : PAINT_PLAIN);
        table_cell(table, "%s", answer_text(grant, "category"));
        table_cell(table, "%s", answer_text(grant, "grant_id"));
        table_cell(table, "%s", text_bar(left > 0 ? (uint64_t)left : 0, (uint64_t)whole, 20, bar));
        table_cell(table, "%s of %s credits left", answer_text(grant, "remaining"),
                   answer_text(grant, "credits"));
        table_cell(table, "%s%s", expires[0] != '\0' ? "until " : "", expires);
        const char *state = answer_text(grant, "state");
        table_cell(table, "%s", strcmp(state, "live") == 0 ? "" : state);
    }
    table_print(table, page);
}

static void show(const struct status_options *options, const char *customer, yajl_val settings,
                 yajl_val status, yajl_val balance)
{
    const struct page page = page_on(stdout);
    struct table table;
    (void)fprintf(page.file, "%s%s%s", page_paint(&page, PAINT_BOLD), customer, page_plain(&page));
    if (options->subject != NULL) (void)fprintf(page.file, " %s", options->subject);
    (void)fprintf(page.file, "  plan %s", answer_text(settings, "plan"));
    const char *mode = answer_text(settings, "credit_mode");
    if (strcmp(mode, "auto") != 0) (void)fprintf(page.file, "  credit mode %s", mode);
    (void)fprintf(page.file, "\n  available %s credits = settled %s - pending %s - held %s\n",
                  answer_text(balance, "available"), answer_text(balance, "settled"),
                  answer_text(balance, "pending"), answer_text(balance, "held"));
    for (size_t i = 0; i < answer_length(status, "features"); ++i)
        show_feature(&page, &table, answer_item(status, "features", i));
    show_grants(&page, &table, balance);
}

static int run(const struct usage *usage, const struct status_options *options,
               const char *customer)
{
    CLEANUP(server_address_close) struct server_address address = {0};
    if (!server_address_find(usage->command, &options->client, &address)) return STATUS_USAGE;
    CLEANUP(client_answer_free) struct client_answer status = {0};
    CLEANUP(client_answer_free) struct client_answer settings = {0};
    CLEANUP(client_answer_free) struct client_answer balance = {0};
    if (!get(usage, &address, customer, "/status", options, &status)) return STATUS_REFUSED;
    if (options->is_json) {
        (void)puts(status.body);
        return STATUS_DONE;
    }
    if (!get(usage, &address, customer, "", NULL, &settings) ||
        !get(usage, &address, customer, "/balance", NULL, &balance))
        return STATUS_REFUSED;
    CLEANUP(answer_free) yajl_val status_tree = answer_parse(status.body);
    CLEANUP(answer_free) yajl_val settings_tree = answer_parse(settings.body);
    CLEANUP(answer_free) yajl_val balance_tree = answer_parse(balance.body);
    show(options, customer, settings_tree, status_tree, balance_tree);
    return STATUS_DONE;
}

int command_status(int argc, char **argv)
{
    struct status_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_TEXT("subject", "PATH",
                 "whose limits, such as team-a/alice; default the customer's own",
                 &options.subject),
        ROW_TEXT("feature", "NAME", "only this; default all of the plan", &options.feature),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "status",
        .operands = "CUSTOMER",
        .summary = "Shows what a customer's next request would meet: windows, gates, balance.",
        .examples = {{"all of a customer", "weir status ada"},
                     {"one person's limits for one feature",
                     "weir status ada --subject team-a/alice --feature chat"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_min = 1,
        .operands_max = 1,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return run(&usage, &options, operands.at[0]);
}
