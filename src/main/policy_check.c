/*
 * policy_check.c: `weir policy check FILE`: everything that is wrong with a policy, at once.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/engine.h"
#include "main/commands.h"
#include "main/json_text.h"
#include "main/options.h"
#include "platform/platform.h"
#include "policy/policy.h"

#define CLEANUP(function) __attribute__((cleanup(function)))

struct block {
    void *at;
    uint64_t bytes;
};

static void block_release(struct block *block)
{
    if (block->at != NULL) memory_release(block->at, block->bytes);
}

static void print_complaints(const char *file, const struct policy_complaints *complaints)
{
    for (uint32_t i = 0; i < complaints->count; ++i) {
        uint8_t line[FILE_PATH_SIZE + 2 * POLICY_COMPLAINT_BYTES_MAX];
        struct buffer text = buffer_over(line, sizeof(line));
        policy_complaint_format(file, &complaints->at[i], &text);
        (void)printf("%.*s\n", (int)text.used, (const char *)text.at);
    }
    if (complaints->more) (void)printf("%s: and more; mend these first\n", file);
}

/* What an editor or a pipeline wants of it. */
static void print_json(const char *file, const struct policy_complaints *complaints)
{
    (void)fputs("{\"file\":", stdout);
    json_put_text(stdout, file);
    (void)printf(",\"ok\":%s,\"complaints\":[", complaints->count == 0 ? "true" : "false");
    for (uint32_t i = 0; i < complaints->count; ++i) {
        const struct policy_complaint *one = &complaints->at[i];
        (void)printf("%s{\"line\":%" PRIu32 ",\"column\":%" PRIu32 ",\"text\":", i > 0 ? "," : "",
                     one->line, one->column);
        json_put_text(stdout, one->text);
        (void)fputs("}", stdout);
    }
    (void)printf("],\"more\":%s}\n", complaints->more ? "true" : "false");
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void print_summary(const char *file, const struct policy *policy)
{
    uint32_t prices = 0;
    for (uint32_t i = 0; i < policy->feature_count; ++i)
        prices += policy->features[i].rule_count;
    (void)printf("%s: ok (%" PRIu32 " feature%s, %" PRIu32 " plan%s, %" PRIu32 " price%s)\n", file,
                 policy->feature_count, plural(policy->feature_count), policy->plan_count,
                 plural(policy->plan_count), prices, plural(prices));
}

/* The symbols that every state is born with. */
static struct symbols symbols_at_birth(void)
{
    static const struct bytes names[SYMBOL_FIRST_FREE] = {
        [SYMBOL_PROMOTIONAL] = {(const uint8_t *)"promotional", 11},
        [SYMBOL_ENTITLEMENT] = {(const uint8_t *)"entitlement", 11},
        [SYMBOL_PAID] = {       (const uint8_t *)"paid",  4},
        [SYMBOL_UNLIMITED] = {  (const uint8_t *)"unlimited",  9},
    };
    return (struct symbols){.name = names, .count = SYMBOL_FIRST_FREE - 1};
}

static int check_file(const char *file, bool is_json)
{
    CLEANUP(block_release) struct block text = {.bytes = POLICY_BYTES_MAX};
    CLEANUP(block_release) struct block room = {.bytes = POLICY_ARENA_BYTES};
    text.at = memory_reserve(text.bytes);
    room.at = memory_reserve(room.bytes);
    if (text.at == NULL || room.at == NULL) {
        (void)fprintf(stderr, "weir policy check: no memory\n");
        return STATUS_REFUSED;
    }
    struct file_detail detail;
    struct bytes yaml;
    if (file_read(file, text.at, text.bytes, &yaml, &detail) != FILE_OK) {
        (void)fprintf(stderr, "weir policy check: %s\n", detail.text);
        return STATUS_REFUSED;
    }
    static struct policy_complaints complaints;
    struct arena arena = arena_over(room.at, room.bytes);
    const struct symbols symbols = symbols_at_birth();
    const struct policy *policy = policy_compile(&arena, yaml, &symbols, &complaints);
    if (is_json)
        print_json(file, &complaints);
    else if (policy == NULL)
        print_complaints(file, &complaints);
    else
        print_summary(file, policy);
    return policy != NULL ? STATUS_DONE : STATUS_REFUSED;
}

int command_policy_check(int argc, char **argv)
{
    bool is_json = false;
    const struct option_rule rules[] = {
        ROW_FLAG("json", "one object: ok, and every complaint with its place", &is_json),
    };
    const struct usage usage = {
        .command = "policy check",
        .operands = "FILE",
        .summary = "Says everything that is wrong with a policy file, as file:line:column.",
        .notes = "The same words as the server's when a policy is put: the place, what is wrong, "
                 "what was expected. All mistakes at once.",
        .refusal = "the file has mistakes, or cannot be read",
        .examples = {{"before it is put in force", "weir policy check policy.yaml"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_min = 1,
        .operands_max = 1,
    };
    struct operands operands;
    switch (options_take(&usage, argc, argv, &operands)) {
    case OPTIONS_TAKEN:
        return check_file(operands.at[0], is_json);
    case OPTIONS_HELP:
        return STATUS_DONE;
    case OPTIONS_WRONG:
        break;
    }
    return STATUS_USAGE;
}
