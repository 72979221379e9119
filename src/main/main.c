/*
 * main.c: `weir`, one program with subcommands. Exit status 0 done, 1 discrepancy or refusal,
 * 2 usage, 3 a server that had to stop.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "main/commands.h"
#include "main/text_table.h"

/* Those of one first word, or all. */
static void print_subcommands(const struct page *page, const char *first)
{
    for (int group = 0; group < COMMAND_GROUPS; ++group) {
        bool is_titled = first != NULL;
        for (size_t i = 0; i < subcommand_count; ++i) {
            char name[COMMAND_NAME_BYTES];
            const struct subcommand *one = &subcommands[i];
            if ((int)one->group != group) continue;
            if (first != NULL && strcmp(one->first, first) != 0) continue;
            if (!is_titled)
                (void)fprintf(page->file, "\n%s%s%s\n", page_paint(page, PAINT_BOLD),
                              command_group_names[group], page_plain(page));
            is_titled = true;
            (void)fprintf(page->file, "  %sweir %-14s%s ", page_paint(page, PAINT_GREEN),
                          subcommand_name(one, ' ', name), page_plain(page));
            page_wrap(page, 22, 22, one->summary);
        }
    }
}

static void print_help(FILE *to)
{
    const struct page page = page_on(to);
    page_wrap(&page, 0, 0, WEIR_SUMMARY);
    (void)fprintf(to, "\n%susage:%s weir COMMAND [OPTIONS]\n", page_paint(&page, PAINT_BOLD),
                  page_plain(&page));
    print_subcommands(&page, NULL);
    (void)fprintf(to,
                  "\n%sFirst steps%s\n"
                  "  weir serve --data data --policy policy.yaml\n"
                  "  weir grant ada 25\n"
                  "  weir status ada\n\n",
                  page_paint(&page, PAINT_BOLD), page_plain(&page));
    page_wrap(
        &page, 0, 0,
        "`weir COMMAND --help` says more, with examples. `weir --version` prints the version.");
}

static int refuse_word(const char *word)
{
    struct suggestion meant = suggestion_for(bytes_of_text(word));
    for (size_t i = 0; i < subcommand_count; ++i)
        suggestion_offer(&meant, bytes_of_text(subcommands[i].first));
    (void)fprintf(stderr, "weir: unknown command '%s'", word);
    if (meant.best.length > 0)
        (void)fprintf(stderr, "; did you mean `weir %.*s`?\n", (int)meant.best.length,
                      (const char *)meant.best.at);
    else
        (void)fprintf(stderr, "; `weir --help` lists them\n");
    return STATUS_USAGE;
}

/* Everything that starts with this word, for a word that needs a second one. */
static int refuse_second_word(const char *first, const char *second)
{
    if (second == NULL)
        (void)fprintf(stderr, "weir %s: a second word is missing; there is:", first);
    else
        (void)fprintf(stderr, "weir %s: unknown command '%s'; there is:", first, second);
    for (size_t i = 0; i < subcommand_count; ++i) {
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
    const struct page page = page_on(stdout);
    (void)printf("%susage:%s weir %s COMMAND [OPTIONS]\n\n", page_paint(&page, PAINT_BOLD),
                 page_plain(&page), first);
    print_subcommands(&page, first);
    return STATUS_DONE;
}

static int run(int argc, char **argv)
{
    const char *word = argv[0];
    bool is_known = false;
    for (size_t i = 0; i < subcommand_count; ++i) {
        const struct subcommand *one = &subcommands[i];
        if (strcmp(one->first, word) != 0) continue;
        is_known = true;
        if (one->second == NULL) return one->run(argc, argv);
        if (argc > 1 && strcmp(one->second, argv[1]) == 0) return one->run(argc - 1, argv + 1);
    }
    if (is_known) return help_with_second_word(word, argc > 1 ? argv[1] : NULL);
    return refuse_word(word);
}

/* `weir help policy check` is `weir policy check --help`. */
static int help_about(int argc, char **argv)
{
    char help[] = "--help";
    char *words[4] = {argv[0], help, NULL, NULL};
    if (argc > 2) {
        (void)fprintf(stderr, "weir help: unexpected '%s'\n", argv[2]);
        return STATUS_USAGE;
    }
    if (argc == 2) {
        words[1] = argv[1];
        words[2] = help;
    }
    return run(argc + 1, words);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 && argc > 2) return help_about(argc - 2, argv + 2);
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return STATUS_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        (void)printf("weir %s\n", WEIR_VERSION);
        return STATUS_DONE;
    }
    return run(argc - 1, argv + 1);
}
