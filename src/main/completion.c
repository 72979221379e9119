/*
 * completion.c: `weir completion`: a function for bash that knows every subcommand, every option,
 * the words an option chooses from, and where a path is wanted. Made from the tables, so that it
 * cannot lag behind them.
 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "main/commands.h"
#include "main/options.h"

/* COMP_WORDS is cut at '=' and ':', so "--color=al" comes as three words. The at sign stands for
 * the first words of all subcommands. */
static const char head[] =
    "_weir()\n"
    "{\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command=${COMP_WORDS[1]} second='' options='' words='' paths='' values=''\n"
    "    local commands='@'\n"
    "    COMPREPLY=()\n"
    "    if [[ $current == = ]]; then\n"
    "        current=''\n"
    "    elif [[ $option == = ]]; then\n"
    "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$commands help --help --version\" -- "
    "\"$current\")\n"
    "        return\n"
    "    fi\n"
    "    ((COMP_CWORD > 2)) && second=${COMP_WORDS[2]}\n"
    "    case \"$command $second\" in\n"
    "    'help '*) words=$commands ;;\n";

static const char tail[] =
    "    esac\n"
    "    if [[ $values == files || ( -z $values && $current != -* && $paths == files ) ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "    elif [[ $values == directories ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -d -- \"$current\")\n"
    "    elif [[ $values == text ]]; then\n"
    "        return\n"
    "    else\n"
    "        [[ -n $values ]] || words+=\" $options\"\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"${values:-$words}\" -- \"$current\")\n"
    "    fi\n"
    "}\n"
    "complete -F _weir weir\n";

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static const char *values_of(const struct option_rule *rule)
{
    if (rule->choices != NULL) return rule->choices;
    if (ends_with(rule->argument, "FILE")) return "files";
    return ends_with(rule->argument, "DIR") ? "directories" : "text";
}

static void put_names(const struct option_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (rules[i].kind != OPTION_ABSENT) (void)printf(" --%s", rules[i].name);
}

static bool has_text_value(const struct option_rule *rule)
{
    return rule->kind != OPTION_ABSENT && rule->kind != OPTION_FLAG &&
           strcmp(values_of(rule), "text") == 0;
}

/* The options after which no word can be offered share one line. */
static void put_texts(const struct option_rule *rules, size_t count)
{
    bool is_begun = false;
    for (size_t i = 0; i < count; ++i) {
        if (!has_text_value(&rules[i])) continue;
        (void)printf("%s--%s", is_begun ? " | " : "        ", rules[i].name);
        is_begun = true;
    }
    if (is_begun) (void)fputs(") values=text ;;\n", stdout);
}

static void put_values(const struct option_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (rules[i].kind != OPTION_ABSENT && rules[i].kind != OPTION_FLAG &&
            !has_text_value(&rules[i]))
            (void)printf("        --%s) values='%s' ;;\n", rules[i].name, values_of(&rules[i]));
    put_texts(rules, count);
}

/* Its branch of the case. */
static void put_branch(void *self, const struct usage *usage)
{
    const struct subcommand *one = self;
    const bool wants_path =
        strstr(usage->operands, "FILE") != NULL || strstr(usage->operands, ".csv") != NULL;
    (void)printf("    '%s %s'%s)\n        options='", one->first,
                 one->second != NULL ? one->second : "", one->second != NULL ? "" : "*");
    put_names(usage->rules, usage->rule_count);
    put_names(options_general, options_general_count);
    (void)fputs("'\n", stdout);
    if (wants_path) (void)fputs("        paths=files\n", stdout);
    if (strstr(usage->operands, "COMMAND") != NULL)
        (void)fputs("        words=$commands\n", stdout);
    (void)fputs("        case $option in\n", stdout);
    put_values(usage->rules, usage->rule_count);
    put_values(options_general, options_general_count);
    (void)fputs("        esac\n        ;;\n", stdout);
}

static bool is_first_of_its_word(size_t number)
{
    for (size_t i = 0; i < number; ++i)
        if (strcmp(subcommands[i].first, subcommands[number].first) == 0) return false;
    return true;
}

/* The second words of what begins with this one. */
static void put_second_words(const char *first)
{
    (void)printf("    '%s '*)\n        ((COMP_CWORD == 2)) && words='", first);
    for (size_t i = 0; i < subcommand_count; ++i)
        if (strcmp(subcommands[i].first, first) == 0) (void)printf("%s ", subcommands[i].second);
    (void)fputs("--help'\n        ;;\n", stdout);
}

static void put_branches(void)
{
    for (size_t i = 0; i < subcommand_count; ++i) {
        struct subcommand one = subcommands[i];
        char name[COMMAND_NAME_BYTES];
        char *argv[] = {name, NULL};
        (void)subcommand_name(&one, ' ', name);
        options_listen(put_branch, &one);
        (void)one.run(1, argv);
        options_listen(NULL, NULL);
    }
    for (size_t i = 0; i < subcommand_count; ++i)
        if (subcommands[i].second != NULL && is_first_of_its_word(i))
            put_second_words(subcommands[i].first);
}

static void put_head(void)
{
    const char *commands = strchr(head, '@');
    (void)printf("# bash completion for weir; made by `weir completion`\n%.*s",
                 (int)(commands - head), head);
    for (size_t i = 0; i < subcommand_count; ++i)
        if (is_first_of_its_word(i)) (void)printf("%s%s", i > 0 ? " " : "", subcommands[i].first);
    (void)fputs(commands + 1, stdout);
}

int command_completion(int argc, char **argv)
{
    const struct usage usage = {
        .command = "completion",
        .operands = "",
        .summary = "Prints the completion for bash.",
        .notes = "An installed Weir has it in place already, where the package bash-completion is.",
        .refusal = "it could not be written",
        .examples = {{"complete in this shell", "source <(weir completion)"}},
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    put_head();
    put_branches();
    (void)fputs(tail, stdout);
    return fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}
