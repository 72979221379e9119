/*
 * commands.h: the subcommands, one file each, and the table of them (commands.c). argv[0] is the
 * subcommand's last word, the rest are its options and operands; the result is the exit status of
 * the process.
 */
#pragma once

#include <stddef.h>

#define WEIR_SUMMARY \
    "Weir decides how much of a metered product a request may use, and from where it is paid."

enum exit_status {
    STATUS_DONE = 0,
    STATUS_REFUSED = 1, /* a discrepancy, or the world did not let us */
    STATUS_USAGE = 2,
    STATUS_FAILED = 3 /* a server that answered had to leave; packaging/ restarts that one only */
};

/* How they are laid out in `weir --help`, in this order. */
enum command_group {
    GROUP_SERVE,
    GROUP_LOOK,
    GROUP_CHANGE,
    GROUP_PROVE,
    GROUP_SHELL,
    COMMAND_GROUPS
};

struct subcommand {
    const char *first;
    const char *second; /* NULL: one word is enough */
    int (*run)(int argc, char **argv);
    enum command_group group;
    const char *summary; /* a few words, no full stop */
};

extern const struct subcommand subcommands[];
extern const size_t subcommand_count;
extern const char *const command_group_names[COMMAND_GROUPS];

/* Its words with `between` them: "policy check", "policy-check". */
#define COMMAND_NAME_BYTES 32
const char *subcommand_name(const struct subcommand *one, char between,
                            char name_out[COMMAND_NAME_BYTES]);

int command_serve(int argc, char **argv);
int command_policy_check(int argc, char **argv);
int command_policy_show(int argc, char **argv);
int command_key_create(int argc, char **argv);
int command_key_list(int argc, char **argv);
int command_key_revoke(int argc, char **argv);
int command_grant(int argc, char **argv);
int command_pool(int argc, char **argv);
int command_status(int argc, char **argv);
int command_top(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_load(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_reconcile(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_manual(int argc, char **argv);
int command_completion(int argc, char **argv);
