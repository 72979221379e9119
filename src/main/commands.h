/*
 * commands.h: the subcommands, one file each. argv[0] is the subcommand's last word, the rest are
 * its options and operands; the result is the exit status of the process.
 */
#pragma once

enum exit_status {
    STATUS_DONE = 0,
    STATUS_REFUSED = 1, /* a discrepancy, or the world did not let us */
    STATUS_USAGE = 2
};

int command_serve(int argc, char **argv);
int command_policy_check(int argc, char **argv);
int command_policy_show(int argc, char **argv);
int command_grant(int argc, char **argv);
int command_status(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_load(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_reconcile(int argc, char **argv);
