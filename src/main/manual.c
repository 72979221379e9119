/*
 * manual.c: `weir manual`: manual pages, made from the tables that --help is made from. What
 * installs the program writes them all with --into; nobody edits them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "main/commands.h"
#include "main/help.h"
#include "main/options.h"

/* Text for troff: nothing in it is a request or an escape, `code` is bold. */
static void put_text(FILE *file, const char *text)
{
    bool is_code = false;
    bool is_line_start = true;
    for (; *text != '\0'; ++text) {
        if (is_line_start && (*text == '.' || *text == '\'')) (void)fputs("\\&", file);
        is_line_start = *text == '\n';
        if (*text == '`') {
            is_code = !is_code;
            (void)fputs(is_code ? "\\fB" : "\\fR", file);
        } else if (*text == '\\') {
            (void)fputs("\\e", file);
        } else if (*text == '-') {
            (void)fputs("\\-", file);
        } else if (*text == '\n') {
            (void)fputs("\n.PP\n", file);
        } else {
            (void)fputc(*text, file);
        }
    }
}

static void put_line(FILE *file, const char *text)
{
    put_text(file, text);
    (void)fputc('\n', file);
}

/* "WEIR\-POLICY\-CHECK"; troff macros take it in quotes. */
static void put_heading(FILE *file, const char *name, const char *summary)
{
    (void)fputs(".TH \"WEIR", file);
    for (const char *at = name; *at != '\0'; ++at)
        (void)fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, file);
    (void)fprintf(file, "\" 1 \"\" \"weir " WEIR_VERSION "\" \"Weir\"\n.SH NAME\nweir%s \\- ",
                  name);
    put_line(file, summary);
}

static void put_option(FILE *file, const struct option_rule *rule)
{
    char text[HELP_TEXT_BYTES];
    (void)fprintf(file, ".TP\n\\fB\\-\\-");
    put_text(file, rule->name);
    (void)fputs("\\fR", file);
    if (rule->argument != NULL) {
        (void)fputs(" \\fI", file);
        put_text(file, rule->argument);
        (void)fputs("\\fR", file);
    }
    (void)fputc('\n', file);
    put_line(file, help_text(rule, text));
}

static void put_options(FILE *file, const struct usage *usage)
{
    (void)fputs(".SH OPTIONS\n", file);
    for (int section = SECTION_OWN; section <= SECTION_SERVER; ++section)
        for (size_t i = 0; i < usage->rule_count; ++i)
            if ((int)usage->rules[i].section == section && usage->rules[i].kind != OPTION_ABSENT)
                put_option(file, &usage->rules[i]);
    for (size_t i = 0; i < options_general_count; ++i)
        put_option(file, &options_general[i]);
}

static void put_examples(FILE *file, const struct usage *usage)
{
    if (usage->examples[0].line == NULL) return;
    (void)fputs(".SH EXAMPLES\n", file);
    for (const struct usage_example *one = usage->examples; one->line != NULL; ++one) {
        (void)fputs(".PP\n", file);
        put_line(file, one->does);
        (void)fputs(".PP\n.RS 4\n.nf\n\\fB", file);
        put_text(file, one->line);
        (void)fputs("\\fR\n.fi\n.RE\n", file);
    }
}

static bool reaches_a_server(const struct usage *usage)
{
    for (size_t i = 0; i < usage->rule_count; ++i)
        if (usage->rules[i].section == SECTION_SERVER) return true;
    return false;
}

static void put_environment(FILE *file, bool has_server)
{
    (void)fputs(".SH ENVIRONMENT\n", file);
    if (has_server)
        (void)fputs(".TP\n\\fBWEIR_SERVER\\fR\nThe server, where \\fB\\-\\-server\\fR is not "
                    "given.\n.TP\n\\fBWEIR_KEY\\fR\nThe access key itself, where "
                    "\\fB\\-\\-key\\-file\\fR is not given.\n",
                    file);
    (void)fputs(".TP\n\\fBNO_COLOR\\fR\nNo colours, unless \\fB\\-\\-color always\\fR is given.\n",
                file);
}

static void put_exits(FILE *file, const char *refusal, const char *failure)
{
    (void)fputs(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nDone.\n.TP\n\\fB1\\fR\n", file);
    put_line(file, refusal);
    (void)fputs(".TP\n\\fB2\\fR\nThe command line is wrong.\n", file);
    if (failure == NULL) return;
    (void)fputs(".TP\n\\fB3\\fR\n", file);
    put_line(file, failure);
}

struct page_of {
    FILE *file;
    const struct subcommand *one;
};

static void put_page(void *self, const struct usage *usage)
{
    const struct page_of *page = self;
    char name[COMMAND_NAME_BYTES];
    char heading[COMMAND_NAME_BYTES + 1];
    (void)snprintf(heading, sizeof(heading), "-%s", subcommand_name(page->one, '-', name));
    put_heading(page->file, heading, page->one->summary);
    (void)fputs(".SH SYNOPSIS\n\\fBweir ", page->file);
    put_text(page->file, usage->command);
    (void)fputs("\\fR ", page->file);
    if (usage->operands[0] != '\0') {
        (void)fputs("\\fI", page->file);
        put_text(page->file, usage->operands);
        (void)fputs("\\fR ", page->file);
    }
    (void)fputs("[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n", page->file);
    put_line(page->file, usage->summary);
    if (usage->notes != NULL) {
        (void)fputs(".PP\n", page->file);
        put_line(page->file, usage->notes);
    }
    put_options(page->file, usage);
    put_examples(page->file, usage);
    put_environment(page->file, reaches_a_server(usage));
    put_exits(page->file, usage->refusal != NULL ? usage->refusal : HELP_REFUSAL, usage->failure);
    (void)fputs(".SH SEE ALSO\n\\fBweir\\fR(1)\n", page->file);
}

static void put_subcommand(FILE *file, const struct subcommand *one)
{
    char name[COMMAND_NAME_BYTES];
    char *argv[] = {name, NULL};
    struct page_of page = {.file = file, .one = one};
    (void)subcommand_name(one, ' ', name);
    options_listen(put_page, &page);
    (void)one->run(1, argv);
    options_listen(NULL, NULL);
}

/* weir(1): the subcommands by group. */
static void put_program(FILE *file)
{
    put_heading(file, "", "decide how much of a metered product a request may use, and who pays");
    (void)fputs(".SH SYNOPSIS\n\\fBweir\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n",
                file);
    put_line(file, WEIR_SUMMARY);
    for (int group = 0; group < COMMAND_GROUPS; ++group) {
        (void)fprintf(file, ".SS %s\n", command_group_names[group]);
        for (size_t i = 0; i < subcommand_count; ++i) {
            char name[COMMAND_NAME_BYTES];
            if ((int)subcommands[i].group != group) continue;
            (void)fputs(".TP\n\\fBweir\\-", file);
            put_text(file, subcommand_name(&subcommands[i], '-', name));
            (void)fputs("\\fR(1)\n", file);
            put_line(file, subcommands[i].summary);
        }
    }
    put_environment(file, true);
    put_exits(file, "A discrepancy, or a refusal.", "A server that answered had to stop.");
}

static bool write_page(const char *directory, const struct subcommand *one)
{
    char path[1024];
    char name[COMMAND_NAME_BYTES] = "";
    if (one != NULL) (void)subcommand_name(one, '-', name);
    (void)snprintf(path, sizeof(path), "%s/weir%s%s.1", directory, one != NULL ? "-" : "", name);
    FILE *file = fopen(path, "we");
    if (file != NULL) {
        if (one != NULL)
            put_subcommand(file, one);
        else
            put_program(file);
    }
    if (file != NULL && fclose(file) == 0) return true;
    (void)fprintf(stderr, "weir manual: %s: %s\n", path, strerror(errno));
    return false;
}

static int write_all(const char *directory)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "weir manual: %s: %s\n", directory, strerror(errno));
        return STATUS_REFUSED;
    }
    if (!write_page(directory, NULL)) return STATUS_REFUSED;
    for (size_t i = 0; i < subcommand_count; ++i)
        if (!write_page(directory, &subcommands[i])) return STATUS_REFUSED;
    return STATUS_DONE;
}

static int print_one(const struct operands *operands)
{
    char wanted[COMMAND_NAME_BYTES] = "";
    if (operands->count == 0) {
        put_program(stdout);
        return STATUS_DONE;
    }
    (void)snprintf(wanted, sizeof(wanted), "%s%s%s", operands->at[0],
                   operands->count > 1 ? " " : "", operands->count > 1 ? operands->at[1] : "");
    for (size_t i = 0; i < subcommand_count; ++i) {
        char name[COMMAND_NAME_BYTES];
        if (strcmp(subcommand_name(&subcommands[i], ' ', name), wanted) != 0) continue;
        put_subcommand(stdout, &subcommands[i]);
        return STATUS_DONE;
    }
    (void)fprintf(stderr, "weir manual: unknown command '%s'; `weir --help` lists them\n", wanted);
    return STATUS_USAGE;
}

int command_manual(int argc, char **argv)
{
    const char *directory = NULL;
    const struct option_rule rules[] = {
        ROW_TEXT("into", "DIR", "write every page there, instead of printing one", &directory),
    };
    const struct usage usage = {
        .command = "manual",
        .operands = "[COMMAND]",
        .summary = "Prints the manual page of a subcommand, or of the whole program.",
        .refusal = "a page could not be written",
        .examples = {{"read about one subcommand", "weir manual policy check | man -l -"},
                     {"have all pages in a directory of one's own", "weir manual --into man1"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_max = 2,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return directory != NULL ? write_all(directory) : print_one(&operands);
}
