/*
 * serve.c: `weir serve`.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/base.h"
#include "main/commands.h"
#include "main/options.h"
#include "server/server.h"

#define CONNECTIONS_MAX 1000000u

static bool take_address(const char *text, struct listener_address *address_out)
{
    if (!listener_parse(text, address_out)) {
        (void)fprintf(stderr,
                      "weir serve: --http '%s': expected ADDRESS:PORT such as 127.0.0.1:7878\n",
                      text);
        return false;
    }
    if (listener_is_loopback(address_out)) return true;
    (void)fprintf(stderr,
                  "weir serve: --http '%s': without keys Weir listens on loopback only; expected "
                  "127.0.0.1, [::1] or localhost\n",
                  text);
    return false;
}

int command_serve(int argc, char **argv)
{
    const char *http = "127.0.0.1:7878";
    uint64_t connections = SERVER_CONNECTIONS_DEFAULT;
    struct server_options options = {.memory_bytes = SERVER_MEMORY_DEFAULT,
                                     .receipts_for_ms = SERVER_RECEIPTS_FOR_MS_DEFAULT,
                                     .snapshot_every_bytes = SERVER_SNAPSHOT_EVERY_DEFAULT,
                                     .usage_for_ms = SERVER_USAGE_FOR_MS_DEFAULT};
    const struct option_rule rules[] = {
        {          .name = "data",
         .argument = "DIR",
         .help = "data directory, made if it is not there",
         .value_out = &options.data,
         .kind = OPTION_TEXT,
         .required = true},
        {        .name = "policy",
         .argument = "FILE",
         .help = "policy, applied if it is not the file last applied",
         .value_out = &options.policy_file,
         .kind = OPTION_TEXT},
        {          .name = "http",
         .argument = "ADDR",
         .help = "where to listen (127.0.0.1:7878; port 0: any)",
         .value_out = &http,
         .kind = OPTION_TEXT},
        {    .name = "test-clock",
         .argument = "RFC3339",
         .help = "time stands still, from here, until POST /v1/clock",
         .value_out = &options.test_clock_ms,
         .given_out = &options.has_test_clock,
         .kind = OPTION_INSTANT},
        {        .name = "memory",
         .argument = "SIZE",
         .help = "address space of the state, such as 512M or 8G (1G)",
         .value_out = &options.memory_bytes,
         .min = SERVER_MEMORY_MIN,
         .max = SERVER_MEMORY_MAX,
         .kind = OPTION_BYTES},
        {.name = "snapshot-every",
         .argument = "SIZE",
         .help = "journal written between two snapshots of the state (128M)",
         .value_out = &options.snapshot_every_bytes,
         .min = SERVER_SNAPSHOT_EVERY_MIN,
         .max = SERVER_SNAPSHOT_EVERY_MAX,
         .kind = OPTION_BYTES},
        {   .name = "connections",
         .argument = "N",
         .help = "most connections at a time (16384)",
         .value_out = &connections,
         .min = 1,
         .max = CONNECTIONS_MAX,
         .kind = OPTION_COUNT},
        {  .name = "receipts-for",
         .argument = "TIME",
         .help = "how long decisions can be looked up and refunded (90d)",
         .value_out = &options.receipts_for_ms,
         .min = SECOND_MS,
         .max = SERVER_RETENTION_MS_MAX,
         .kind = OPTION_DURATION},
        {     .name = "usage-for",
         .argument = "TIME",
         .help = "how long usage events are kept in the ledger (400d)",
         .value_out = &options.usage_for_ms,
         .min = SECOND_MS,
         .max = SERVER_RETENTION_MS_MAX,
         .kind = OPTION_DURATION},
        {          .name = "resp", .kind = OPTION_ABSENT                                                 },
        {          .name = "grpc", .kind = OPTION_ABSENT                                                 },
    };
    const struct usage usage = {
        .command = "serve",
        .operands = "",
        .summary = "Decides, holds and settles over HTTP until SIGTERM.",
        .notes = "The policy file is needed once; later starts may leave it out.",
        .rules = rules,
        .rule_count = sizeof(rules) / sizeof(rules[0]),
    };
    struct operands operands;
    switch (options_take(&usage, argc, argv, &operands)) {
    case OPTIONS_TAKEN:
        break;
    case OPTIONS_HELP:
        return STATUS_DONE;
    case OPTIONS_WRONG:
        return STATUS_USAGE;
    }
    options.connections_max = (uint32_t)connections;
    if (!take_address(http, &options.address)) return STATUS_USAGE;
    return server_run(&options) ? STATUS_DONE : STATUS_REFUSED;
}
