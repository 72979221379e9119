/*
 * prove.c: `weir verify`, and what its siblings share: progress while it runs, then what was
 * checked and the verdict, for people or as one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "main/commands.h"
#include "main/json_text.h"
#include "main/options.h"
#include "main/progress.h"
#include "main/prove.h"
#include "main/text_table.h"
#include "proof/proof.h"

struct shown {
    struct progress progress;
    bool is_begun;
};

static void show_progress(void *self, const char *what, uint64_t done, uint64_t whole)
{
    struct shown *shown = self;
    if (!shown->is_begun || strcmp(shown->progress.what, what) != 0) {
        if (shown->is_begun) progress_end(&shown->progress);
        shown->progress = progress_begin(what, whole);
        shown->is_begun = true;
    }
    progress_show(&shown->progress, done);
}

/* --- for people ------------------------------------------------------------------------------ */

static void print_counts(const struct proof_verdict *verdict)
{
    const struct page page = page_on(stdout);
    static struct table table;
    char number[TEXT_NUMBER_BYTES];
    const char *of = "";
    table_begin(&table, "lrl");
    for (uint32_t i = 0; i < verdict->count_count; ++i) {
        const struct proof_count *count = &verdict->counts[i];
        table_row(&table, PAINT_PLAIN);
        table_cell(&table, "%s", strcmp(of, count->of) == 0 ? "" : count->of);
        table_cell(&table, "%s", text_number(count->number, number));
        table_cell(&table, "%s", count->what);
        of = count->of;
    }
    table_print(&table, &page);
    for (unsigned i = 0; i < COUNT_OF(verdict->notes); ++i)
        if (verdict->notes[i][0] != '\0') (void)printf("  note: %s\n", verdict->notes[i]);
    if (verdict->is_clean)
        (void)printf("%sclean%s\n", page_paint(&page, PAINT_GREEN), page_plain(&page));
}

static void print_finding(const char *command, const struct proof_finding *finding)
{
    const struct page page = page_on(stderr);
    (void)fprintf(stderr, "weir %s: %s%s%s%s: %s%s\n", command, page_paint(&page, PAINT_RED),
                  finding->file, finding->place[0] != '\0' ? ", " : "", finding->place,
                  finding->what, page_plain(&page));
    if (finding->expected[0] != '\0') (void)fprintf(stderr, "  expected: %s\n", finding->expected);
    if (finding->found[0] != '\0') (void)fprintf(stderr, "  found:    %s\n", finding->found);
    (void)fprintf(stderr, "  to do:    %s.\n", finding->advice);
}

/* --- for programs ---------------------------------------------------------------------------- */

static void print_json_member(const char *name, const char *text, const char *after)
{
    (void)printf("\"%s\":", name);
    if (text[0] == '\0')
        (void)fputs("null", stdout);
    else
        json_put_text(stdout, text);
    (void)fputs(after, stdout);
}

static void print_json(const struct proof_verdict *verdict)
{
    const struct proof_finding *finding = &verdict->finding;
    (void)printf("{\"clean\":%s,\"checked\":[", verdict->is_clean ? "true" : "false");
    for (uint32_t i = 0; i < verdict->count_count; ++i) {
        const struct proof_count *count = &verdict->counts[i];
        (void)printf("%s{\"of\":\"%s\",\"what\":\"%s\",\"number\":%" PRIu64 "}", i > 0 ? "," : "",
                     count->of, count->what, count->number);
    }
    (void)fputs("],\"notes\":[", stdout);
    for (unsigned i = 0; i < COUNT_OF(verdict->notes) && verdict->notes[i][0] != '\0'; ++i) {
        (void)fputs(i > 0 ? "," : "", stdout);
        json_put_text(stdout, verdict->notes[i]);
    }
    (void)fputs("],\"finding\":", stdout);
    if (verdict->is_clean) {
        (void)puts("null}");
        return;
    }
    (void)fputc('{', stdout);
    print_json_member("file", finding->file, ",");
    print_json_member("place", finding->place, ",");
    print_json_member("what", finding->what, ",");
    print_json_member("expected", finding->expected, ",");
    print_json_member("found", finding->found, ",");
    print_json_member("to_do", finding->advice, "}}\n");
}

/* --- the commands ---------------------------------------------------------------------------- */

struct prove_options {
    const char *directory;
    uint64_t memory_bytes;
    bool is_json;
};

typedef void proof_command(const struct proof_parts *parts, struct proof_verdict *verdict_out);

static void prove_with_progress(proof_command *prove, const struct prove_options *options,
                                struct proof_verdict *verdict_out)
{
    struct shown shown = {0};
    const struct proof_parts parts = {
        .directory = options->directory,
        .memory_bytes = options->memory_bytes,
        .progress = show_progress,
        .self = &shown,
    };
    prove(&parts, verdict_out);
    if (shown.is_begun) progress_end(&shown.progress);
}

static int run(const char *command, proof_command *prove, const struct prove_options *options)
{
    static struct proof_verdict verdict;
    prove_with_progress(prove, options, &verdict);
    if (options->is_json)
        print_json(&verdict);
    else
        print_counts(&verdict);
    if (verdict.is_clean) return STATUS_DONE;
    if (!options->is_json) print_finding(command, &verdict.finding);
    return STATUS_REFUSED;
}

static bool is_clean(const char *command, const char *directory, proof_command *prove)
{
    static struct proof_verdict verdict;
    const struct prove_options options = {.directory = directory,
                                          .memory_bytes = PROOF_MEMORY_DEFAULT};
    prove_with_progress(prove, &options, &verdict);
    if (!verdict.is_clean) print_finding(command, &verdict.finding);
    return verdict.is_clean;
}

bool prove_verifies(const char *command, const char *directory)
{
    return is_clean(command, directory, proof_verify);
}

bool prove_reconciles(const char *command, const char *directory)
{
    return is_clean(command, directory, proof_reconcile);
}

#define NOTES                                                                                  \
    "The directory may be served meanwhile, or be a copy. A running server is not disturbed; " \
    "what "                                                                                    \
    "it writes meanwhile is left alone. docs/PROOF.md says what this proves, and what not."

/* `memory` is behind the others: whoever takes it says so by the count. */
static int take_and_run(int argc, char **argv, const char *command, const char *summary,
                        proof_command *prove, size_t rule_count)
{
    struct prove_options options = {.memory_bytes = PROOF_MEMORY_DEFAULT};
    const struct option_rule rules[] = {
        ROW_TEXT_REQUIRED("data", "DIR",
                          "data directory, served or a copy; nothing in it is changed",
                          &options.directory),
        ROW_FLAG("json", "one object instead of text", &options.is_json),
        ROW_BYTES("memory", "address space of the rebuilt state, the server's or more; default 1G",
                  &options.memory_bytes, PROOF_MEMORY_MIN, PROOF_MEMORY_MAX),
    };
    char example[64];
    (void)snprintf(example, sizeof(example), "weir %s --data data", command);
    const struct usage usage = {
        .command = command,
        .operands = "",
        .summary = summary,
        .notes = NOTES,
        .refusal = "something is not as it must be; the first of it is told, with what to do",
        .examples = {{"beside a running server", example}},
        .rules = rules,
        .rule_count = rule_count,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return run(command, prove, &options);
}

int command_verify(int argc, char **argv)
{
    return take_and_run(argc, argv, "verify",
                        "Checks that the files of a data directory are what was written: hashes, "
                        "order, chains.",
                        proof_verify, 2);
}

int command_reconcile(int argc, char **argv)
{
    return take_and_run(argc, argv, "reconcile",
                        "Checks that usage, prices, charges, balances and the engine's state "
                        "agree, to the nano-credit.",
                        proof_reconcile, 3);
}

int command_replay(int argc, char **argv)
{
    return take_and_run(argc, argv, "replay",
                        "Decides every command of the journal again: each must give the fact that "
                        "was promised.",
                        proof_replay, 3);
}
