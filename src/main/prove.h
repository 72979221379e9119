/*
 * prove.h: the proofs of a data directory, for other subcommands.
 */
#pragma once

#include <stdbool.h>

/* What is found is told on stderr, in the name of `command`. */
bool prove_verifies(const char *command, const char *directory);
bool prove_reconciles(const char *command, const char *directory);
