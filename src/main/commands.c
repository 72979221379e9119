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

const struct subcommand subcommands[] = {
    {     "serve",     NULL,        command_serve,  GROUP_SERVE,"run the server"                                                                },
    {    "policy",  "check", command_policy_check,  GROUP_SERVE,           "say what is wrong with a policy file"},
    {      "load",     NULL,         command_load,  GROUP_SERVE,          "play a request trace against a server"},
    {    "status",     NULL,       command_status,   GROUP_LOOK, "show what a customer's next request would meet"},
    {   "explain",     NULL,      command_explain,   GROUP_LOOK,                    "tell all about one decision"},
    {    "policy",   "show",  command_policy_show,   GROUP_LOOK,                      "print the policy in force"},
    {     "grant",     NULL,        command_grant, GROUP_CHANGE,                        "give a customer credits"},
    {       "key", "create",   command_key_create, GROUP_CHANGE,                             "make an access key"},
    {       "key",   "list",     command_key_list,   GROUP_LOOK,                           "list the access keys"},
    {       "key", "revoke",   command_key_revoke, GROUP_CHANGE,                      "end an access key at once"},
    {    "verify",     NULL,       command_verify,  GROUP_PROVE,
     "check that a data directory's files are what was written"                                                  },
    { "reconcile",     NULL,    command_reconcile,  GROUP_PROVE,
     "check that usage, prices and balances agree"                                                               },
    {    "replay",     NULL,       command_replay,  GROUP_PROVE,  "decide everything again and compare the facts"},
    {"completion",     NULL,   command_completion,  GROUP_SHELL,                  "print the completion for bash"},
    {    "manual",     NULL,       command_manual,  GROUP_SHELL,         "print a manual page, or write them all"},
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
