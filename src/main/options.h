/*
 * options.h: long options for every subcommand, declared as a table. The same table is what --help,
 * the manual page (manual.c) and the completion of the shell (completion.c) are made from, so that
 * they cannot differ. What is wrong is said on stderr and names the option.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,     /* bool: given */
    OPTION_TEXT,     /* const char *: as given, not empty */
    OPTION_CHOICE,   /* const char *: one of `choices` */
    OPTION_COUNT,    /* uint64_t: decimal digits, min..max */
    OPTION_BYTES,    /* uint64_t: decimal digits and K, M, G or T (powers of 1024), min..max */
    OPTION_DURATION, /* int64_t, ms: decimal digits and s, m, h or d, min..max */
    OPTION_INSTANT,  /* int64_t: RFC 3339, in ms since 1970 */
    OPTION_ABSENT /* known from the contract, not offered yet: refused, saying so, not in --help */
};

/* Where --help shows it. */
enum option_section {
    SECTION_OWN,    /* the subcommand's own */
    SECTION_SERVER, /* how to reach a server */
    SECTION_GENERAL
};

struct option_rule {
    const char *name;     /* without the dashes */
    const char *argument; /* what --help calls the value; NULL for flags. The shell completes paths
                             where this is "FILE", "DIR" or ends with one of them */
    const char *choices;  /* CHOICE: the words, with a blank between them */
    const char *help;     /* one line; ends with "; default X" where there is one */
    void *value_out;      /* of the kind's type; untouched when the option is not given */
    bool *given_out;      /* may be NULL */
    uint64_t min;         /* COUNT, BYTES, DURATION */
    uint64_t max;
    enum option_kind kind;
    enum option_section section;
    bool required;
};

/* Rows of the table. */
#define ROW_FLAG(option, text, out)                                               \
    {                                                                             \
        .name = (option), .help = (text), .value_out = (out), .kind = OPTION_FLAG \
    }
#define ROW_TEXT(option, value, text, out)                                         \
    {                                                                              \
        .name = (option), .argument = (value), .help = (text), .value_out = (out), \
        .kind = OPTION_TEXT                                                        \
    }
#define ROW_TEXT_REQUIRED(option, value, text, out)                                \
    {                                                                              \
        .name = (option), .argument = (value), .help = (text), .value_out = (out), \
        .kind = OPTION_TEXT, .required = true                                      \
    }
#define ROW_CHOICE(option, value, words, text, out)                                \
    {                                                                              \
        .name = (option), .argument = (value), .choices = (words), .help = (text), \
        .value_out = (out), .kind = OPTION_CHOICE                                  \
    }
#define ROW_INSTANT(option, text, out, given)                                        \
    {                                                                                \
        .name = (option), .argument = "RFC3339", .help = (text), .value_out = (out), \
        .given_out = (given), .kind = OPTION_INSTANT                                 \
    }
#define ROW_RANGE(option, value, text, out, least, most, of_kind)                                  \
    {                                                                                              \
        .name = (option), .argument = (value), .help = (text), .value_out = (out), .min = (least), \
        .max = (most), .kind = (of_kind)                                                           \
    }
#define ROW_COUNT(option, value, text, out, least, most) \
    ROW_RANGE(option, value, text, out, least, most, OPTION_COUNT)
#define ROW_BYTES(option, text, out, least, most) \
    ROW_RANGE(option, "SIZE", text, out, least, most, OPTION_BYTES)
#define ROW_DURATION(option, text, out, least, most) \
    ROW_RANGE(option, "TIME", text, out, least, most, OPTION_DURATION)

struct usage_example {
    const char *does; /* "25 credits, bought, for ever" */
    const char *line; /* "weir grant ada 25" */
};
enum { USAGE_EXAMPLES_MAX = 6 };

struct usage {
    const char *command;  /* "policy check" */
    const char *operands; /* "FILE"; "" for none */
    const char *summary;  /* one sentence */
    const char *notes;    /* paragraphs, each a line, `code` in backquotes; NULL: none */
    const char *refusal;  /* when it ends with status 1 */
    const char *failure;  /* when with 3; NULL: it never does */
    struct usage_example examples[USAGE_EXAMPLES_MAX + 1]; /* the last has no line */
    const struct option_rule *rules;
    size_t rule_count;
    const char *amount; /* the operand that a word such as -1 is meant for; NULL: none */
    const char *amount_expected;
    size_t operands_min;
    size_t operands_max;
};

enum options_result {
    OPTIONS_TAKEN, /* values and operands are set */
    OPTIONS_HELP,  /* --help was asked for and printed: leave with STATUS_DONE */
    OPTIONS_WRONG  /* said on stderr: leave with STATUS_USAGE */
};

struct operands {
    char **at;
    size_t count;
};

/* Options may stand before, between and behind operands; "--" ends them; "--name=value" is the same
 * as "--name value"; an option given twice is wrong. */
enum options_result options_take(const struct usage *usage, int argc, char **argv,
                                 struct operands *operands_out);

/* Says on stderr that this is no amount, and what is one. */
void options_refuse_amount(const struct usage *usage, const char *word);

/* What every subcommand has besides its own: --color, --help. */
extern const struct option_rule options_general[];
extern const size_t options_general_count;

/* For what describes subcommands instead of running them: while somebody listens, options_take
 * hands over the usage and answers OPTIONS_HELP, whatever the arguments. NULL: nobody. */
typedef void options_listener(void *self, const struct usage *usage);
void options_listen(options_listener *listener, void *self);
