/*
 * help.h: what --help prints, from the tables of options and of subcommands.
 */
#pragma once

#include "main/options.h"
#include "main/text_table.h"

void help_print(const struct usage *usage); /* one subcommand, on stdout */

/* "--data DIR", into an array of that many bytes. */
#define HELP_OPTION_BYTES 48
const char *help_option(const struct option_rule *rule, char text_out[HELP_OPTION_BYTES]);

/* What its help, its choices and whether it is required come to, in one line. */
#define HELP_TEXT_BYTES 256
const char *help_text(const struct option_rule *rule, char text_out[HELP_TEXT_BYTES]);

/* What exit status 1 means, where the subcommand does not say. */
#define HELP_REFUSAL "the server refused, or nobody answered"
