/*
 * pools.c: `weir pool`, what an operator says of a pool, and what the pools run at.
 */
#include <stdio.h>
#include <string.h>

#include "main/answer.h"
#include "main/client_show.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/text_table.h"

struct pool_options {
    struct client_options client;
    const char *override;
    const char *shed;
    bool no_override;
    bool is_json;
};

static void put_body(struct buffer *body, const struct pool_options *options)
{
    buffer_put_text(body, "{");
    if (options->no_override) buffer_put_text(body, "\"override\":null");
    if (options->override != NULL) {
        buffer_put_text(body, "\"override\":");
        put_json_string(body, bytes_of_text(options->override));
    }
    if (options->shed != NULL) {
        buffer_put_text(body, body->used > 1 ? ",\"shed\":" : "\"shed\":");
        put_json_string(body, bytes_of_text(options->shed));
    }
    buffer_put_text(body, "}");
}

static void pool_row(struct table *table, yajl_val pool)
{
    const char *factor = answer_text(pool, "factor");
    const char *shed = answer_text(pool, "shed");
    const char *since = answer_text(pool, "since");
    const bool is_calm = strcmp(factor, "1") == 0 && strcmp(shed, "none") == 0;
    char capacity[TEXT_NUMBER_BYTES];
    table_row(table, is_calm ? PAINT_PLAIN : PAINT_YELLOW);
    table_cell(table, "%s", answer_text(pool, "pool"));
    table_cell(table, "%s %s per %s", text_number(answer_count(pool, "capacity"), capacity),
               answer_text(pool, "meter"), answer_text(pool, "per"));
    table_cell(table, "factor %s", factor);
    table_cell(table, "%s", answer_text(pool, "why"));
    table_cell(table, "sheds %s", shed);
    table_cell(table, "%s%s", since[0] == '\0' ? "" : "since ", since);
}

/* Which are meant, and whether there was any. */
struct looking {
    const char *name; /* NULL: all */
    size_t *shown_out;
};

static void show_pools(const void *self, yajl_val answer)
{
    const struct looking *looking = self;
    const struct page page = page_on(stdout);
    const size_t count = answer_length(answer, "pools");
    struct table table;
    size_t shown = 0;
    table_begin(&table, "llllll");
    for (size_t i = 0; i < count; ++i) {
        const yajl_val pool = answer_item(answer, "pools", i);
        if (looking->name != NULL && strcmp(answer_text(pool, "pool"), looking->name) != 0)
            continue;
        pool_row(&table, pool);
        ++shown;
    }
    if (shown != 0) table_print(&table, &page);
    if (count == 0 && looking->name == NULL) (void)puts("the policy has no pools");
    *looking->shown_out = shown;
}

static int look(const struct usage *usage, const struct pool_options *options, const char *name)
{
    size_t shown = 0;
    const struct looking looking = {.name = name, .shown_out = &shown};
    const int status = client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "GET", .path = "/v1/pools"},
        .is_json = options->is_json,
        .show = show_pools,
        .self = &looking
    });
    if (status != STATUS_DONE || options->is_json || shown != 0 || name == NULL) return status;
    (void)fprintf(stderr, "weir pool: the policy has no pool '%s'\n", name);
    return STATUS_REFUSED;
}

static void show_change(const void *self, yajl_val pool)
{
    const char *override = answer_text(pool, "override");
    (void)self;
    (void)printf("%s: factor %s%s, sheds %s\n", answer_text(pool, "pool"),
                 answer_text(pool, "factor"), override[0] != '\0' ? " by hand" : "",
                 answer_text(pool, "shed"));
}

static int change(const struct usage *usage, const struct pool_options *options, const char *name)
{
    char path[CLIENT_PATH_BYTES_MAX];
    uint8_t block[1 << 10];
    struct buffer body = buffer_over(block, sizeof(block));
    const struct client_place place = {.before = "/v1/pools/", .part = name, .behind = ""};
    put_body(&body, options);
    if (body.overflowed) {
        (void)fprintf(stderr, "weir pool: too long: expected at most 1 KiB in all\n");
        return STATUS_USAGE;
    }
    if (!client_path(usage, place, path)) return STATUS_USAGE;
    return client_show(&(struct client_show){
        .usage = usage,
        .options = &options->client,
        .request = {.method = "PUT", .path = path, .body = buffer_bytes(&body)},
        .is_json = options->is_json,
        .show = show_change
    });
}

int command_pool(int argc, char **argv)
{
    struct pool_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_TEXT("override", "F",
                 "run the pool's gates at this factor, from 0 to 1; 0 turns everything away",
                 &options.override),
        ROW_FLAG("no-override", "take the override back", &options.no_override),
        ROW_CHOICE("shed", "CLASS", "none sheddable default all",
                   "turn away these priorities and those below; none, sheddable, default or all",
                   &options.shed),
        client_json_option(&options.is_json),
    };
    const struct usage usage = {
        .command = "pool",
        .operands = "[NAME]",
        .summary = "Shows what the pools of the policy run at, or says what one shall run at.",
        .notes = "A factor is kept in 64ths, rounded down; the answer says which. A pool's factor "
                 "slows the rate gates that name it, from the next decision on; tokens that were "
                 "spent are worth what they were.",
        .refusal = "the server refused it, nobody answered, or there is no such pool",
        .examples = {{"all pools", "weir pool"},
                     {"half the pace, and nothing that can wait",
                     "weir pool codex-gpu --override 0.5 --shed sheddable"},
                     {"as the policy has it", "weir pool codex-gpu --no-override --shed none"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_max = 1,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    const char *name = operands.count == 0 ? NULL : operands.at[0];
    const bool is_change = options.override != NULL || options.no_override || options.shed != NULL;
    if (options.override != NULL && options.no_override) {
        (void)fprintf(stderr, "weir pool: --override and --no-override: expected one of them\n");
        return STATUS_USAGE;
    }
    if (is_change && name == NULL) {
        (void)fprintf(stderr, "weir pool: NAME is missing: expected the pool to change\n");
        return STATUS_USAGE;
    }
    return is_change ? change(&usage, &options, name) : look(&usage, &options, name);
}
