/*
 * client_show.h: the frame of a subcommand that asks a server once: its answer is printed as it
 * came with --json, else by what the subcommand makes of it.
 */
#pragma once

#include <stdbool.h>

#include "main/answer.h"
#include "main/client.h"
#include "main/options.h"

struct client_show {
    const struct usage *usage;
    const struct client_options *options;
    struct client_request request;
    bool is_json;
    void (*show)(const void *self, yajl_val answer); /* on standard output */
    void (*note)(yajl_val answer); /* on standard error, behind either; NULL: nothing */
    const void *self;
};

/* The exit status; what went wrong was said on stderr. */
int client_show(const struct client_show *show);

/* `before`, the part percent-encoded, `behind`. False: it is too long, which is said on stderr. */
struct client_place {
    const char *before;
    const char *part;
    const char *behind;
};
bool client_path(const struct usage *usage, struct client_place place,
                 char path_out[CLIENT_PATH_BYTES_MAX]);
