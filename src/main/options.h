/*
 * options.h: long options for every subcommand, declared as a table. The table is also the --help
 * text, so the two cannot differ. What is wrong is said on stderr and names the option.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_FLAG,     /* bool: given */
    OPTION_TEXT,     /* const char *: as given, not empty */
    OPTION_COUNT,    /* uint64_t: decimal digits, min..max */
    OPTION_BYTES,    /* uint64_t: decimal digits and K, M, G or T (powers of 1024), min..max */
    OPTION_DURATION, /* int64_t, ms: decimal digits and s, m, h or d, min..max */
    OPTION_INSTANT,  /* int64_t: RFC 3339, in ms since 1970 */
    OPTION_ABSENT /* known from the contract, not offered yet: refused, saying so, not in --help */
};

struct option_rule {
    const char *name;     /* without the dashes */
    const char *argument; /* what --help calls the value: "DIR"; NULL for flags */
    const char *help;     /* one line; names the default */
    void *value_out;      /* of the kind's type; untouched when the option is not given */
    bool *given_out;      /* may be NULL */
    uint64_t min;         /* COUNT, BYTES, DURATION */
    uint64_t max;
    enum option_kind kind;
    bool required;
};

struct usage {
    const char *command;  /* "policy check" */
    const char *operands; /* "FILE"; "" for none */
    const char *summary;  /* one sentence */
    const char *notes;    /* printed after the options; NULL: nothing */
    const struct option_rule *rules;
    size_t rule_count;
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
