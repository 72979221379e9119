/*
 * explain.c: `weir explain`, one decision as a story: what was asked, what each gate and source
 * said, who paid what and what that left, how it ended, and where it is written down.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "main/answer.h"
#include "main/client_show.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/text_table.h"

struct explain_options {
    struct client_options client;
    bool is_json;
};

/* "3 requests", "120 input_tokens, 40 output_tokens" */
static void print_quantities(const struct page *page, yajl_val quantities)
{
    char text[TEXT_NUMBER_BYTES];
    if (!YAJL_IS_OBJECT(quantities)) return;
    for (size_t i = 0; i < quantities->u.object.len; ++i) {
        const char *meter = quantities->u.object.keys[i];
        (void)fprintf(page->file, "%s%s %s", i > 0 ? ", " : "",
                      text_number(answer_count(quantities, meter), text), meter);
    }
}

static void print_attributes(const struct page *page, yajl_val attributes)
{
    if (!YAJL_IS_OBJECT(attributes)) return;
    for (size_t i = 0; i < attributes->u.object.len; ++i) {
        const char *name = attributes->u.object.keys[i];
        (void)fprintf(page->file, "%s%s %s", i > 0 ? ", " : "; ", name,
                      answer_text(attributes, name));
    }
}

static void show_request(const struct page *page, yajl_val receipt)
{
    const char *subject = answer_text(receipt, "subject");
    const char *key = answer_text(receipt, "request.idempotency_key");
    const bool is_allowed = strcmp(answer_text(receipt, "outcome"), "deny") != 0;
    (void)fprintf(page->file, "%s%s%s  %s\n", page_paint(page, PAINT_BOLD),
                  answer_text(receipt, "decision_id"), page_plain(page),
                  answer_text(receipt, "at"));
    if (answer_at(receipt, "request") == NULL) {
        (void)fputs("  what was asked is no longer in the journal\n", page->file);
        return;
    }
    (void)fprintf(page->file, "  %s%s%s asked to %s ", answer_text(receipt, "customer"),
                  subject[0] != '\0' ? " " : "", subject, answer_text(receipt, "request.call"));
    print_quantities(page, answer_at(receipt, "request.quantities"));
    (void)fprintf(page->file, " of %s", answer_text(receipt, "feature"));
    print_attributes(page, answer_at(receipt, "request.attributes"));
    if (key[0] != '\0') (void)fprintf(page->file, "; key %s", key);
    (void)fprintf(page->file, "\n  %s%s%s", page_paint(page, is_allowed ? PAINT_GREEN : PAINT_RED),
                  answer_text(receipt, "outcome"), page_plain(page));
    const char *message = answer_text(receipt, "reason.message");
    if (message[0] != '\0') (void)fprintf(page->file, ": %s", message);
    (void)fputs("\n", page->file);
}

/* Of a receipt or an event: its units are nano-credits. */
static bool unit_is_cost(yajl_val answer)
{
    return strcmp(answer_text(answer, "unit"), "cost") == 0;
}

static void note_row(struct table *table, yajl_val note, bool is_cost)
{
    const char *gate = answer_text(note, "gate");
    const char *resets_at = answer_text(note, "resets_at");
    const char *factor = answer_text(note, "factor");
    const char *standing = answer_text(note, "standing");
    const bool is_refused = strcmp(answer_text(note, "verdict"), "refuse") == 0;
    char text[2][TEXT_NUMBER_BYTES];
    table_row(table, is_refused ? PAINT_RED : PAINT_PLAIN);
    if (gate[0] != '\0') {
        const char *credits = answer_text(note, "remaining");
        table_cell(table, "gate");
        table_cell(table, "%s", gate);
        table_cell(table, "%s", is_refused ? "refuses" : "passes");
        table_cell(table, "%s left",
                   credits[0] != '\0' ? credits
                                      : text_number(answer_count(note, "remaining"), text[0]));
    } else {
        table_cell(table, "source");
        table_cell(table, "%s", answer_text(note, "source"));
        table_cell(table, "offers %s", text_units(answer_count(note, "offered"), is_cost, text[0]));
        table_cell(table, "%s%s", text_units(answer_count(note, "drawn"), is_cost, text[1]),
                   answer_is_true(note, "skipped") ? " drawn, passed over" : " drawn");
    }
    if (factor[0] != '\0')
        table_cell(table, "at %s of its pace%s%s", factor, standing[0] != '\0' ? ", " : "",
                   standing);
    else
        table_cell(table, "%s%s", resets_at[0] != '\0' ? "resets " : "", resets_at);
}

static void show_notes(const struct page *page, struct table *table, yajl_val receipt)
{
    if (answer_length(receipt, "explain") == 0) return;
    (void)fprintf(page->file, "\n%sgates and sources%s\n", page_paint(page, PAINT_BOLD),
                  page_plain(page));
    table_begin(table, "lllll");
    for (size_t i = 0; i < answer_length(receipt, "explain"); ++i)
        note_row(table, answer_item(receipt, "explain", i), unit_is_cost(receipt));
    table_print(table, page);
}

/* A denial in a crowd is told by its first and by those that joined: together they are one line. */
static size_t denials_from(yajl_val receipt, size_t from, uint64_t *denials_out)
{
    size_t at = from;
    *denials_out = 0;
    for (; at < answer_length(receipt, "events"); ++at) {
        const yajl_val event = answer_item(receipt, "events", at);
        if (strcmp(answer_text(event, "kind"), "denial") != 0) break;
        *denials_out += answer_count(event, "count");
    }
    return at - from;
}

static void credits_cell(struct table *table, const char *credits)
{
    table_cell(table, "%s %s", credits, text_credits_unit(credits));
}

static void event_rows(struct table *table, yajl_val event, uint64_t denials)
{
    char text[TEXT_NUMBER_BYTES];
    const char *ended_at = answer_text(event, "event_at");
    for (size_t i = 0; i < answer_length(event, "allocations"); ++i) {
        const yajl_val line = answer_item(event, "allocations", i);
        table_row(table, PAINT_PLAIN);
        table_cell(table, "%s", i == 0 ? answer_text(event, "kind") : "");
        table_cell(table, "%s", text_units(answer_count(line, "units"), unit_is_cost(event), text));
        table_cell(table, "by %s %s", answer_text(line, "source"), answer_text(line, "grant_id"));
        credits_cell(table, answer_text(line, "charged"));
        table_cell(table, "%s", i == 0 ? answer_text(event, "at") : "");
    }
    if (answer_length(event, "allocations") > 0) return;
    table_row(table, PAINT_PLAIN);
    if (denials > 1)
        table_cell(table, "%s denials", text_number(denials, text));
    else
        table_cell(table, "%s", answer_text(event, "kind"));
    table_cell(table, "0");
    table_cell(table, "%s", answer_text(event, "reason.limit"));
    credits_cell(table, answer_text(event, "charged"));
    table_cell(table, "%s", ended_at[0] != '\0' ? ended_at : answer_text(event, "at"));
}

static void show_events(const struct page *page, struct table *table, yajl_val receipt)
{
    const char *state = answer_text(receipt, "hold.state");
    const char *until = answer_text(receipt, "hold.expires_at");
    (void)fprintf(page->file, "\n%show it ended%s", page_paint(page, PAINT_BOLD), page_plain(page));
    if (state[0] != '\0') (void)fprintf(page->file, "  %s", state);
    if (answer_is_true(receipt, "hold.late")) (void)fputs(", late", page->file);
    if (until[0] != '\0') (void)fprintf(page->file, " until %s", until);
    (void)fputs("\n", page->file);
    if (answer_length(receipt, "events") == 0) return;
    table_begin(table, "lrlrl");
    for (size_t i = 0; i < answer_length(receipt, "events");) {
        uint64_t denials = 0;
        const size_t events = denials_from(receipt, i, &denials);
        event_rows(table, answer_item(receipt, "events", i), denials);
        i += events > 0 ? events : 1;
    }
    table_print(table, page);
}

/* What nothing could carry, and where that went. */
static void show_overshoot(const struct page *page, yajl_val row, bool is_cost)
{
    char text[TEXT_NUMBER_BYTES];
    const char *booked = answer_text(row, "overshoot_booked");
    if (answer_at(row, "overshoot") == NULL) return;
    const char *charged = answer_text(row, "overshoot.charged");
    (void)fprintf(page->file, "  overshoot %s: charged %s %s, refunded %s",
                  text_units(answer_count(row, "overshoot.units"), is_cost, text), charged,
                  text_credits_unit(charged), answer_text(row, "overshoot.refunded"));
    if (booked[0] != '\0' && strcmp(booked, "refund") != 0)
        (void)fprintf(page->file, ", booked as %s", booked);
    (void)fputs("\n", page->file);
}

static void show_price(const struct page *page, yajl_val receipt)
{
    char text[TEXT_NUMBER_BYTES];
    const bool is_cost = unit_is_cost(receipt);
    for (size_t i = 0; i < answer_length(receipt, "monetization"); ++i) {
        const yajl_val row = answer_item(receipt, "monetization", i);
        const char *price = answer_text(row, "price");
        if (price[0] != '\0')
            (void)fprintf(
                page->file,
                "  priced by %s, version %s: %s / %s nano-credits, remainder %s -> %s; %s paid "
                "with credits, charged %s\n",
                price, answer_text(row, "price_version"), answer_text(row, "cost"),
                answer_text(row, "cost_denominator"), answer_text(row, "remainder_before"),
                answer_text(row, "remainder_after"),
                text_units(answer_count(row, "units"), is_cost, text), answer_text(row, "charged"));
        show_overshoot(page, row, is_cost);
    }
}

static void show_balance(const struct page *page, struct table *table, yajl_val receipt)
{
    char text[TEXT_NUMBER_BYTES];
    if (answer_length(receipt, "balance_updates") == 0) return;
    (void)fprintf(page->file, "\n%sbalance%s\n", page_paint(page, PAINT_BOLD), page_plain(page));
    table_begin(table, "rllrl");
    for (size_t i = 0; i < answer_length(receipt, "balance_updates"); ++i) {
        const yajl_val row = answer_item(receipt, "balance_updates", i);
        /* Overage is outside the balance: its own account is shown. */
        const bool is_inside = strcmp(answer_text(row, "account"), "overage") != 0;
        const char *after = is_inside ? "customer_after" : "account_after";
        const int64_t before = answer_credits(row, after) - answer_credits(row, "delta");
        table_row(table, PAINT_PLAIN);
        table_cell(table, "#%" PRIu64, answer_count(row, "number"));
        table_cell(table, "%s", answer_text(row, "cause"));
        table_cell(table, "%s %s", answer_text(row, "account"), answer_text(row, "grant_id"));
        table_cell(table, "%s", answer_text(row, "delta"));
        table_cell(table, "%s -> %s", text_credits(before, text), answer_text(row, after));
    }
    table_print(table, page);
}

static void show_proof(const struct page *page, yajl_val receipt)
{
    const char *state = answer_text(receipt, "settlement.state");
    (void)fprintf(page->file, "\n%sbooks%s  %s; settled through batch %" PRIu64 "\n",
                  page_paint(page, PAINT_BOLD), page_plain(page),
                  strcmp(state, "pending") == 0 ? "not settled yet" : state,
                  answer_count(receipt, "settlement.cursor"));
    const char *refunded = answer_text(receipt, "refunded");
    if (strcmp(refunded, "0") != 0)
        (void)fprintf(page->file, "  refunded %s %s\n", refunded, text_credits_unit(refunded));
    if (answer_text(receipt, "proof.hash")[0] == '\0') return;
    (void)fprintf(page->file, "  journal batch %" PRIu64 ", entry %" PRIu64 "\n",
                  answer_count(receipt, "proof.batch"), answer_count(receipt, "proof.entry"));
    (void)fprintf(page->file, "  hash     %s\n  previous %s\n", answer_text(receipt, "proof.hash"),
                  answer_text(receipt, "proof.previous_hash"));
}

static void show(const void *self, yajl_val receipt)
{
    const struct page page = page_on(stdout);
    struct table table;
    (void)self;
    show_request(&page, receipt);
    show_notes(&page, &table, receipt);
    show_events(&page, &table, receipt);
    show_price(&page, receipt);
    show_balance(&page, &table, receipt);
    show_proof(&page, receipt);
}

static int run(const struct usage *usage, const struct explain_options *options,
               const char *decision)
{
    char path[CLIENT_PATH_BYTES_MAX];
    const struct client_place place = {.before = "/v1/decisions/", .part = decision, .behind = ""};
    if (!client_path(usage, place, path)) return STATUS_USAGE;
    return client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "GET", .path = path},
        .is_json = options->is_json,
        .show = show
    });
}

int command_explain(int argc, char **argv)
{
    struct explain_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "explain",
        .operands = "DECISION",
        .summary = "Tells all about one decision: gates, sources, price, balance, end and proof.",
        .notes = "The id is the `decision_id` of an answer. Decisions can be looked up for as long "
                 "as `weir serve --receipts-for` says.",
        .examples = {{"the story of one decision", "weir explain d_0000000000c81"},
                     {"what it charged, for a program", "weir explain d_0000000000c81 --json"}},
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
