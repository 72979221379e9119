/*
 * policy_show.c: `weir policy show`, the YAML as the server has it.
 */
#include <stdio.h>

#include "main/answer.h"
#include "main/client.h"
#include "main/commands.h"
#include "main/options.h"

int command_policy_show(int argc, char **argv)
{
    struct client_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options),
    };
    const struct usage usage = {
        .command = "policy show",
        .operands = "",
        .summary = "Prints the policy in force, as it was put.",
        .examples = {{"keep it, to change it", "weir policy show > policy.yaml"},
                     {"put it back, changed",
                     "curl -T policy.yaml " CLIENT_SERVER_DEFAULT "/v1/policy"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    struct operands operands;
    CLEANUP(server_address_close) struct server_address address = {0};
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    if (!server_address_find(usage.command, &options, &address)) return STATUS_USAGE;

    CLEANUP(client_answer_free) struct client_answer answer = {0};
    if (!client_expect(usage.command, &address,
                       &(struct client_request){.method = "GET", .path = "/v1/policy"}, &answer))
        return STATUS_REFUSED;
    const bool is_written =
        fwrite(answer.body, 1, answer.body_length, stdout) == answer.body_length;
    return is_written && fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}
