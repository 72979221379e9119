/*
 * json_text.h: JSON that subcommands write themselves, where no server's answer is passed on.
 */
#pragma once

#include <stdio.h>

/* A string with its quotes. */
void json_put_text(FILE *file, const char *text);
