/*
 * commands.c: the table of subcommands. `weir --help`, weir(1) and the shell's completion are made
 * from it.
 */
#include "main/commands.h"

#include <stdio.h>

const char *const command_group_names[COMMAND_GROUPS] = {
    [GROUP_SERVE] = "Serve", [GROUP_LOOK] = "Look",    [GROUP_CHANGE] = "Change",
    [GROUP_PROVE] = "Prove", [GROUP_SHELL] = "Set up",
};

/* A row by itself, so that a new one does not move the others. */
#define COMMAND(first_word, second_word, function, in_group, words)                \
    {                                                                              \
        .first = (first_word), .second = (second_word), .run = command_##function, \
        .group = (in_group), .summary = (words)                                    \
    }

const struct subcommand subcommands[] = {
    COMMAND("serve", NULL, serve, GROUP_SERVE, "run the server"),
    COMMAND("policy", "check", policy_check, GROUP_SERVE, "say what is wrong with a policy file"),
    COMMAND("load", NULL, load, GROUP_SERVE, "play a request trace against a server"),
    COMMAND("status", NULL, status, GROUP_LOOK, "show what a customer's next request would meet"),
    COMMAND("top", NULL, top, GROUP_LOOK, "watch what a server is doing"),
    COMMAND("explain", NULL, explain, GROUP_LOOK, "tell all about one decision"),
    COMMAND("policy", "show", policy_show, GROUP_LOOK, "print the policy in force"),
    COMMAND("key", "list", key_list, GROUP_LOOK, "list the access keys"),
    COMMAND("grant", NULL, grant, GROUP_CHANGE, "give a customer credits"),
    COMMAND("pool", NULL, pool, GROUP_CHANGE, "show what the pools run at, or slow one"),
    COMMAND("key", "create", key_create, GROUP_CHANGE, "make an access key"),
    COMMAND("key", "revoke", key_revoke, GROUP_CHANGE, "end an access key at once"),
    COMMAND("verify", NULL, verify, GROUP_PROVE,
            "check that a data directory's files are what was written"),
    COMMAND("reconcile", NULL, reconcile, GROUP_PROVE,
            "check that usage, prices and balances agree"),
    COMMAND("replay", NULL, replay, GROUP_PROVE, "decide everything again and compare the facts"),
    COMMAND("completion", NULL, completion, GROUP_SHELL, "print the completion for bash"),
    COMMAND("manual", NULL, manual, GROUP_SHELL, "print a manual page, or write them all"),
};
const size_t subcommand_count = sizeof(subcommands) / sizeof(subcommands[0]);

const char *subcommand_name(const struct subcommand *one, char between,
                            char name_out[COMMAND_NAME_BYTES])
{
    if (one->second == NULL)
        (void)snprintf(name_out, COMMAND_NAME_BYTES, "%s", one->first);
    else
        (void)snprintf(name_out, COMMAND_NAME_BYTES, "%s%c%s", one->first, between, one->second);
    return name_out;
}
