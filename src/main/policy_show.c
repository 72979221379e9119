/*
 * policy_show.c: `weir policy show`, the YAML as the server has it, alone or with where it is from.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "main/answer.h"
#include "main/client.h"
#include "main/commands.h"
#include "main/json_text.h"
#include "main/options.h"

enum { TRIES = 8 }; /* while it is changed between two questions */

struct policy_show_options {
    struct client_options client;
    bool is_json;
};

static bool get(const struct usage *usage, const struct server_address *address, const char *path,
                struct client_answer *answer_out)
{
    const struct client_request request = {.method = "GET", .path = path};
    return client_expect(usage->command, address, &request, answer_out);
}

static void put_json(yajl_val version, const char *yaml)
{
    const char *actor = answer_text(version, "actor");
    (void)printf("{\"version\":%" PRIu64 ",\"content_hash\":", answer_count(version, "version"));
    json_put_text(stdout, answer_text(version, "content_hash"));
    (void)fputs(",\"installed_at\":", stdout);
    json_put_text(stdout, answer_text(version, "installed_at"));
    (void)printf(",\"from_file\":%s,\"actor\":",
                 answer_is_true(version, "from_file") ? "true" : "false");
    if (actor[0] != '\0')
        json_put_text(stdout, actor);
    else
        (void)fputs("null", stdout);
    (void)fputs(",\"yaml\":", stdout);
    json_put_text(stdout, yaml);
    (void)puts("}");
}

/* The newest version, before and behind the text: the text is of that version. */
static bool show_json(const struct usage *usage, const struct server_address *address)
{
    for (int i = 0; i < TRIES; ++i) {
        CLEANUP(client_answer_free) struct client_answer before = {0};
        CLEANUP(client_answer_free) struct client_answer text = {0};
        CLEANUP(client_answer_free) struct client_answer behind = {0};
        if (!get(usage, address, "/v1/policy/versions", &before) ||
            !get(usage, address, "/v1/policy", &text) ||
            !get(usage, address, "/v1/policy/versions", &behind))
            return false;
        if (strcmp(before.body, behind.body) != 0) continue;
        CLEANUP(answer_free) yajl_val tree = answer_parse(before.body);
        put_json(answer_item(tree, "versions", 0), text.body);
        return true;
    }
    (void)fprintf(stderr, "weir policy show: the policy changes all the time\n");
    return false;
}

static bool show_yaml(const struct usage *usage, const struct server_address *address)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    return get(usage, address, "/v1/policy", &answer) &&
           fwrite(answer.body, 1, answer.body_length, stdout) == answer.body_length;
}

int command_policy_show(int argc, char **argv)
{
    struct policy_show_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_FLAG("json", "one object: version, content_hash, installed_at, from_file, actor, yaml",
                 &options.is_json),
    };
    const struct usage usage = {
        .command = "policy show",
        .operands = "",
        .summary = "Prints the policy in force, as it was put.",
        .examples = {{"keep it, to change it", "weir policy show > policy.yaml"},
                     {"put it back, changed",
                     "curl -T policy.yaml " CLIENT_SERVER_DEFAULT "/v1/policy"},
                     {"with its version, for a program", "weir policy show --json"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    struct operands operands;
    CLEANUP(server_address_close) struct server_address address = {0};
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    if (!server_address_find(usage.command, &options.client, &address)) return STATUS_USAGE;
    const bool is_shown =
        options.is_json ? show_json(&usage, &address) : show_yaml(&usage, &address);
    return is_shown && fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}
