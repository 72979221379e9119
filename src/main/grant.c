/*
 * grant.c: `weir grant`, a purchase or a gift by hand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/answer.h"
#include "main/client_show.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/text_table.h"

struct grant_options {
    struct client_options client;
    const char *category;
    const char *priority;
    const char *features;
    const char *reason;
    const char *key;
    int64_t expires_ms;
    int64_t effective_ms;
    bool has_expiry;
    bool has_effect;
    bool is_json;
};

static void put_text(struct buffer *body, const char *name, const char *text)
{
    if (text == NULL) return;
    buffer_put_text(body, ",");
    put_json_string(body, bytes_of_text(name));
    buffer_put_text(body, ":");
    put_json_string(body, bytes_of_text(text));
}

static void put_instant(struct buffer *body, const char *name, bool is_given, int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE];
    if (!is_given) return;
    (void)calendar_format(instant_ms, text);
    put_text(body, name, text);
}

static void put_features(struct buffer *body, const char *features)
{
    if (features == NULL) return;
    buffer_put_text(body, ",\"features\":[");
    for (const char *at = features;;) {
        const size_t length = strcspn(at, ",");
        put_json_string(body, (struct bytes){.at = (const uint8_t *)at, .length = length});
        if (at[length] == '\0') break;
        buffer_put_text(body, ",");
        at += length + 1;
    }
    buffer_put_text(body, "]");
}

/* An optional sign and digits; the range is the server's to judge. */
static bool is_whole_number(const char *text)
{
    if (*text == '-') ++text;
    const size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 10 && text[digits] == '\0';
}

static void put_body(struct buffer *body, const struct grant_options *options, const char *amount)
{
    buffer_put_text(body, "{\"category\":");
    put_json_string(body, bytes_of_text(options->category));
    put_text(body, "credits", amount);
    if (options->priority != NULL) {
        buffer_put_text(body, ",\"priority\":");
        buffer_put_text(body, options->priority);
    }
    put_instant(body, "effective_at", options->has_effect, options->effective_ms);
    put_instant(body, "expires_at", options->has_expiry, options->expires_ms);
    put_features(body, options->features);
    put_text(body, "reason", options->reason);
    put_text(body, "idempotency_key", options->key);
    buffer_put_text(body, "}");
}

static void show(const void *self, yajl_val grant)
{
    const char *expires = answer_text(grant, "expires_at");
    (void)self;
    const char *credits = answer_text(grant, "credits");
    (void)printf("%s: %s %s, %s, from %s%s%s\n", answer_text(grant, "grant_id"), credits,
                 text_credits_unit(credits), answer_text(grant, "category"),
                 answer_text(grant, "effective_at"), expires[0] != '\0' ? " until " : "", expires);
}

static int give(const struct usage *usage, const struct grant_options *options,
                const struct operands *operands)
{
    uint8_t block[16 << 10];
    char path[CLIENT_PATH_BYTES_MAX];
    struct buffer body = buffer_over(block, sizeof(block));
    const struct client_place place = {
        .before = "/v1/customers/", .part = operands->at[0], .behind = "/grants"};
    put_body(&body, options, operands->at[1]);
    if (body.overflowed) {
        (void)fprintf(stderr, "weir grant: too long: expected at most 16 KiB in all\n");
        return STATUS_USAGE;
    }
    if (!client_path(usage, place, path)) return STATUS_USAGE;
    return client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "POST", .path = path, .body = buffer_bytes(&body)},
        .is_json = options->is_json,
        .show = show
    });
}

int command_grant(int argc, char **argv)
{
    struct grant_options options = {.category = "paid"};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_CHOICE("category", "NAME", "paid promotional entitlement",
                   "paid, promotional or entitlement; default paid", &options.category),
        ROW_TEXT("priority", "N", "the lower, the sooner it is used; default 0", &options.priority),
        ROW_INSTANT("effective", "from when it can be used; default now", &options.effective_ms,
                    &options.has_effect),
        ROW_INSTANT("expires", "until when; default for ever", &options.expires_ms,
                    &options.has_expiry),
        ROW_TEXT("features", "NAME,...", "for these only; default all", &options.features),
        ROW_TEXT("reason", "TEXT", "kept with the grant", &options.reason),
        ROW_TEXT("key", "TEXT",
                 "idempotency key: the same key gives the same grant, once; default none",
                 &options.key),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "grant",
        .operands = "CUSTOMER AMOUNT",
        .summary = "Gives a customer credits.",
        .notes = "AMOUNT is in credits, with at most 9 decimals. A grant counts from the very next "
                 "decision.",
        .examples = {{"bought", "weir grant ada 25"},
                     {"a gift that ends with the year",
                     "weir grant ada 5 --category promotional --expires 2026-12-31T00:00:00Z "
                     "--reason welcome"},
                     {"once, however often it is repeated",
                     "weir grant ada 25 --key invoice-1881"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .amount = "AMOUNT",
        .amount_expected = "credits above 0, such as 25 or 0.5",
        .operands_min = 2,
        .operands_max = 2,
    };
    struct operands operands;
    int64_t nano = 0;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    if (!credits_parse(bytes_of_text(operands.at[1]), &nano) || nano <= 0) {
        options_refuse_amount(&usage, operands.at[1]);
        return STATUS_USAGE;
    }
    if (options.priority != NULL && !is_whole_number(options.priority)) {
        (void)fprintf(stderr, "weir grant: --priority '%s': expected a whole number\n",
                      options.priority);
        return STATUS_USAGE;
    }
    return give(&usage, &options, &operands);
}
