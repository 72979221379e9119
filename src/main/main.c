/*
 * main.c: `weir`, one program with subcommands. Exit status 0 done, 1 discrepancy or refusal,
 * 2 usage.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "main/commands.h"

#define WEIR_VERSION "0.1.0"

struct subcommand {
    const char *first;
    const char *second; /* NULL: one word is enough */
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {    "serve",    NULL,        command_serve,                                           "run the server"},
    {   "policy", "check", command_policy_check,                     "say what is wrong with a policy file"},
    {   "policy",  "show",  command_policy_show,                                "print the policy in force"},
    {    "grant",    NULL,        command_grant,                                  "give a customer credits"},
    {   "status",    NULL,       command_status,           "show what a customer's next request would meet"},
    {  "explain",    NULL,      command_explain,                              "tell all about one decision"},
    {     "load",    NULL,         command_load,                    "play a request trace against a server"},
    {   "verify",    NULL,       command_verify, "check that a data directory's files are what was written"},
    {"reconcile",    NULL,    command_reconcile,              "check that usage, prices and balances agree"},
};
#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

/* Those of one first word, or all. */
static void print_subcommands(FILE *to, const char *first)
{
    for (size_t i = 0; i < SUBCOMMAND_COUNT; ++i) {
        char words[32];
        const struct subcommand *one = &subcommands[i];
        if (first != NULL && strcmp(one->first, first) != 0) continue;
        (void)snprintf(words, sizeof(words), "%s%s%s", one->first, one->second != NULL ? " " : "",
                       one->second != NULL ? one->second : "");
        (void)fprintf(to, "  weir %-14s %s\n", words, one->summary);
    }
}

static void print_help(FILE *to)
{
    (void)fprintf(to, "usage: weir COMMAND [OPTIONS]\n\n"
                      "Weir decides how much of a metered product a request may use, and from\n"
                      "where it is paid.\n\n");
    print_subcommands(to, NULL);
    (void)fprintf(to, "\n`weir COMMAND --help` says more. `weir --version` prints the version.\n");
}

/* Everything that starts with this word, for a word that needs a second one. */
static int refuse_second_word(const char *first, const char *second)
{
    if (second == NULL)
        (void)fprintf(stderr, "weir %s: a second word is missing; there is:", first);
    else
        (void)fprintf(stderr, "weir %s: unknown command '%s'; there is:", first, second);
    for (size_t i = 0; i < SUBCOMMAND_COUNT; ++i) {
        if (strcmp(subcommands[i].first, first) == 0)
            (void)fprintf(stderr, " `weir %s %s`", first, subcommands[i].second);
    }
    (void)fprintf(stderr, "\n");
    return STATUS_USAGE;
}

/* After the first of two words something else than the second. */
static int help_with_second_word(const char *first, const char *second)
{
    if (second == NULL || strcmp(second, "--help") != 0) return refuse_second_word(first, second);
    (void)printf("usage: weir %s COMMAND [OPTIONS]\n\n", first);
    print_subcommands(stdout, first);
    return STATUS_DONE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return STATUS_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        (void)printf("weir %s\n", WEIR_VERSION);
        return STATUS_DONE;
    }
    bool is_known = false;
    for (size_t i = 0; i < SUBCOMMAND_COUNT; ++i) {
        const struct subcommand *one = &subcommands[i];
        if (strcmp(one->first, word) != 0) continue;
        is_known = true;
        if (one->second == NULL) return one->run(argc - 1, argv + 1);
        if (argc > 2 && strcmp(one->second, argv[2]) == 0) return one->run(argc - 2, argv + 2);
    }
    if (is_known) return help_with_second_word(word, argc > 2 ? argv[2] : NULL);
    (void)fprintf(stderr, "weir: unknown command '%s'; `weir --help` lists them\n", word);
    return STATUS_USAGE;
}
