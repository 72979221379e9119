/*
 * key.c: `weir key create|list|revoke`. A new key goes to standard output alone, so that it can go
 * to a file; what there is to say about it goes to standard error.
 */
#include <stdio.h>
#include <string.h>

#include "main/answer.h"
#include "main/client_show.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/text_table.h"
#include "platform/platform.h"

enum { ROWS_AT_A_TIME = 64 };
_Static_assert((int)ROWS_AT_A_TIME <= (int)TABLE_ROWS_MAX, "a piece fits a table");

struct key_options {
    struct client_options client;
    const char *scopes;
    const char *customer;
    const char *label;
    int64_t expires_ms; /* from now; 0: never */
    bool is_json;
};

static void put_text(struct buffer *body, const char *name, const char *text)
{
    if (text == NULL) return;
    buffer_put_text(body, ",\"");
    buffer_put_text(body, name);
    buffer_put_text(body, "\":");
    put_json_string(body, bytes_of_text(text));
}

static void put_scopes(struct buffer *body, const char *scopes)
{
    buffer_put_text(body, "{\"scopes\":[");
    for (const char *at = scopes;;) {
        const size_t length = strcspn(at, ",");
        put_json_string(body, (struct bytes){.at = (const uint8_t *)at, .length = length});
        if (at[length] == '\0') break;
        buffer_put_text(body, ",");
        at += length + 1;
    }
    buffer_put_text(body, "]");
}

static void put_body(struct buffer *body, const struct key_options *options)
{
    char expires[INSTANT_TEXT_SIZE];
    put_scopes(body, options->scopes);
    put_text(body, "customer", options->customer);
    put_text(body, "label", options->label);
    if (options->expires_ms != 0) {
        struct clock clock = clock_real(0);
        (void)calendar_format(clock_now_ms(&clock) + options->expires_ms, expires);
        put_text(body, "expires_at", expires);
    }
    buffer_put_text(body, "}");
}

/* "decide, read" */
static const char *scopes_text(yajl_val key, char text_out[TABLE_CELL_BYTES])
{
    text_out[0] = '\0';
    const char *between = "";
    for (size_t i = 0; i < answer_length(key, "scopes"); ++i) {
        const size_t used = strlen(text_out);
        (void)snprintf(text_out + used, TABLE_CELL_BYTES - used, "%s%s", between,
                       answer_text(answer_item(key, "scopes", i), ""));
        between = ",";
    }
    return text_out;
}

static void show_key(const void *self, yajl_val key)
{
    (void)self;
    (void)puts(answer_text(key, "key"));
}

static void note_key(yajl_val key)
{
    char scopes[TABLE_CELL_BYTES];
    (void)fprintf(stderr, "weir: made %s (%s); keep the key now: it is not told again\n",
                  answer_text(key, "key_id"), scopes_text(key, scopes));
}

static int create(const struct usage *usage, const struct key_options *options)
{
    uint8_t block[4 << 10];
    struct buffer body = buffer_over(block, sizeof(block));
    put_body(&body, options);
    if (body.overflowed) {
        (void)fprintf(stderr, "weir key create: too long: expected at most 4 KiB in all\n");
        return STATUS_USAGE;
    }
    return client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "POST", .path = "/v1/keys", .body = buffer_bytes(&body)},
        .is_json = options->is_json,
        .show = show_key,
        .note = note_key
    });
}

int command_key_create(int argc, char **argv)
{
    struct key_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_TEXT_REQUIRED("scopes", "SCOPE,...", "decide, report, read or admin, with commas",
                          &options.scopes),
        ROW_TEXT("customer", "CUSTOMER", "good for this customer only; default all",
                 &options.customer),
        ROW_TEXT("label", "TEXT", "what it is for, shown by the list", &options.label),
        ROW_DURATION("expires", "how long it is good, such as 90d; default for ever",
                     &options.expires_ms, SECOND_MS, 36500 * DAY_MS),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "key create",
        .operands = "",
        .summary = "Makes an access key.",
        .notes =
            "decide is for authorize, consume, check and holds; report for usage and commit; read "
            "for every GET but the keys, and check; admin for everything.\n"
            "As soon as there is a key, every request needs one: so the first is an admin's, bound "
            "to no customer and without an end.\n"
            "A key is told once; the server keeps its hash. It goes to standard output alone.",
        .refusal = "the server refused it, or nobody answered",
        .examples =
            {{"the first one, kept in a file",
"(umask 077; weir key create --scopes admin > admin.key)"},
                       {"for a gateway",
                       "weir key create --scopes decide,report --label gateway --key-file admin.key"},
                       {"for a customer's own page, three months",
                       "weir key create --scopes read --customer ada --expires 90d --key-file "
                       "admin.key"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return create(&usage, &options);
}

static void key_row(struct table *table, yajl_val key)
{
    const char *expires = answer_text(key, "expires_at");
    const bool is_live = strcmp(answer_text(key, "state"), "live") == 0;
    char scopes[TABLE_CELL_BYTES];
    table_row(table, is_live ? PAINT_PLAIN : PAINT_DIM);
    table_cell(table, "%s", answer_text(key, "key_id"));
    table_cell(table, "%s", scopes_text(key, scopes));
    table_cell(table, "%s", answer_text(key, "customer"));
    table_cell(table, "%s", answer_text(key, "label"));
    table_cell(table, "made %s", answer_text(key, "created_at"));
    if (expires[0] == '\0')
        table_cell(table, "%s", "");
    else
        table_cell(table, "%s %s", is_live ? "until" : "expired", expires);
}

static void show_keys(const void *self, yajl_val keys)
{
    (void)self;
    const struct page page = page_on(stdout);
    const size_t count = answer_length(keys, "keys");
    struct table table;
    if (count == 0) (void)puts("no access keys");
    for (size_t i = 0; i < count; i += ROWS_AT_A_TIME) {
        table_begin(&table, "llllll");
        for (size_t row = i; row < count && row < i + ROWS_AT_A_TIME; ++row)
            key_row(&table, answer_item(keys, "keys", row));
        table_print(&table, &page);
    }
}

int command_key_list(int argc, char **argv)
{
    struct key_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "key list",
        .operands = "",
        .summary =
            "Lists the access keys, those that expired too, but not those that were revoked.",
        .refusal = "the server refused it, or nobody answered",
        .examples = {{"all of them", "weir key list --key-file admin.key"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return client_show(&(struct client_show){
        .usage = &usage,
        .options = &options.client,
        .request = {.method = "GET", .path = "/v1/keys"},
        .is_json = options.is_json,
        .show = show_keys
    });
}

static void show_end(const void *id, yajl_val key)
{
    (void)key;
    (void)printf("%s is revoked\n", (const char *)id);
}

static int revoke(const struct usage *usage, const struct key_options *options, const char *id)
{
    char path[CLIENT_PATH_BYTES_MAX];
    const struct client_place place = {.before = "/v1/keys/", .part = id, .behind = "/revoke"};
    if (!client_path(usage, place, path)) return STATUS_USAGE;
    return client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "POST", .path = path},
        .is_json = options->is_json,
        .show = show_end,
        .self = id
    });
}

int command_key_revoke(int argc, char **argv)
{
    struct key_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "key revoke",
        .operands = "ID",
        .summary = "Ends an access key at once, on connections that are open too.",
        .notes =
            "ID is what `weir key list` shows. The last admin key that is bound to no customer "
            "and has no end stays, unless the server was started with --admin-key.",
        .refusal = "the server refused it, or nobody answered",
        .examples = {{"by its id", "weir key revoke k_0000000000c81 --key-file admin.key"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_min = 1,
        .operands_max = 1,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return revoke(&usage, &options, operands.at[0]);
}
