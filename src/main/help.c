/*
 * help.c: laid out for eyes: what it does, how it is called, examples that can be pasted, options
 * in one column, how it ends. As wide as the terminal, but never so wide that lines are hard to
 * read.
 */
#include "main/help.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"

enum { HELP_COLUMNS_MAX = 100, OPTION_COLUMN_MAX = 28 };

static void put_title(const struct page *page, const char *title)
{
    (void)fprintf(page->file, "\n%s%s%s\n", page_paint(page, PAINT_BOLD), title, page_plain(page));
}

const char *help_option(const struct option_rule *rule, char text_out[HELP_OPTION_BYTES])
{
    (void)snprintf(text_out, HELP_OPTION_BYTES, "--%s%s%s", rule->name,
                   rule->argument != NULL ? " " : "", rule->argument != NULL ? rule->argument : "");
    return text_out;
}

const char *help_text(const struct option_rule *rule, char text_out[HELP_TEXT_BYTES])
{
    (void)snprintf(text_out, HELP_TEXT_BYTES, "%s%s", rule->help,
                   rule->required ? " (required)" : "");
    return text_out;
}

/* Of all sections, so that they stand in one column. */
static unsigned option_width(const struct usage *usage)
{
    unsigned width = 0;
    char text[HELP_OPTION_BYTES];
    for (size_t i = 0; i < usage->rule_count; ++i) {
        const size_t length = strlen(help_option(&usage->rules[i], text));
        if (length > width && length <= OPTION_COLUMN_MAX) width = (unsigned)length;
    }
    return width < 12 ? 12 : width;
}

static void put_option(const struct page *page, const struct option_rule *rule, unsigned width)
{
    char option[HELP_OPTION_BYTES];
    char text[HELP_TEXT_BYTES];
    const unsigned indent = width + 4;
    const size_t length = strlen(help_option(rule, option));
    (void)fprintf(page->file, "  %s%s%s", page_paint(page, PAINT_GREEN), option, page_plain(page));
    if (length > width)
        (void)fprintf(page->file, "\n%*s", (int)indent, "");
    else
        (void)fprintf(page->file, "%*s", (int)(indent - 2 - length), "");
    page_wrap(page, indent, indent, help_text(rule, text));
}

static void put_section(const struct page *page, const char *title, const struct option_rule *rules,
                        size_t count, enum option_section section, unsigned width)
{
    bool is_titled = false;
    for (size_t i = 0; i < count; ++i) {
        if (rules[i].section != section || rules[i].kind == OPTION_ABSENT) continue;
        if (!is_titled) put_title(page, title);
        is_titled = true;
        put_option(page, &rules[i], width);
    }
}

static void put_notes(const struct page *page, const char *notes)
{
    char paragraph[1024];
    for (const char *at = notes; at != NULL && *at != '\0';) {
        const size_t length = strcspn(at, "\n");
        ENSURE(length < sizeof(paragraph));
        memcpy(paragraph, at, length);
        paragraph[length] = '\0';
        (void)fputc('\n', page->file);
        page_wrap(page, 0, 0, paragraph);
        at += length + strspn(at + length, "\n");
    }
}

static void put_examples(const struct page *page, const struct usage *usage)
{
    if (usage->examples[0].line == NULL) return;
    put_title(page, "Examples");
    for (const struct usage_example *one = usage->examples; one->line != NULL; ++one) {
        (void)fprintf(page->file, "  %s# %s%s\n", page_paint(page, PAINT_DIM), one->does,
                      page_plain(page));
        (void)fprintf(page->file, "  %s\n", one->line);
    }
}

void help_print(const struct usage *usage)
{
    struct page page = page_on(stdout);
    const unsigned width = option_width(usage);
    if (page.columns > HELP_COLUMNS_MAX) page.columns = HELP_COLUMNS_MAX;
    page_wrap(&page, 0, 0, usage->summary);
    (void)fprintf(page.file, "\n%susage:%s weir %s%s%s [OPTIONS]\n", page_paint(&page, PAINT_BOLD),
                  page_plain(&page), usage->command, usage->operands[0] != '\0' ? " " : "",
                  usage->operands);
    put_notes(&page, usage->notes);
    put_examples(&page, usage);
    put_section(&page, "Options", usage->rules, usage->rule_count, SECTION_OWN, width);
    put_section(&page, "The server", usage->rules, usage->rule_count, SECTION_SERVER, width);
    put_section(&page, "General", options_general, options_general_count, SECTION_GENERAL, width);
    put_title(&page, "Exit status");
    (void)fputs("  0  done\n  1  ", page.file);
    page_wrap(&page, 5, 5, usage->refusal != NULL ? usage->refusal : HELP_REFUSAL);
    (void)fputs("  2  the command line is wrong\n", page.file);
    if (usage->failure == NULL) return;
    (void)fputs("  3  ", page.file);
    page_wrap(&page, 5, 5, usage->failure);
}
