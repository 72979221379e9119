/*
 * serve.c: `weir serve`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "main/commands.h"
#include "main/options.h"
#include "platform/platform.h"
#include "server/server.h"

#define CONNECTIONS_MAX 1000000u

static bool take_address(const char *option, const char *text, const char *usual,
                         struct listener_address *address_out)
{
    if (listener_parse(text, address_out)) return true;
    (void)fprintf(stderr, "weir serve: %s '%s': expected ADDRESS:PORT such as %s\n", option, text,
                  usual);
    return false;
}

/* "off": nobody listens. */
/* text: NULL, where it was not asked for. */
static bool take_door(const char *option, const char *text, const char *usual,
                      struct door_address *door_out)
{
    door_out->is_usual = text == NULL;
    if (text == NULL) text = usual;
    door_out->is_open = strcmp(text, "off") != 0;
    return !door_out->is_open || take_address(option, text, usual, &door_out->address);
}

/* Both are of the words that the options allow. */
static void configure_log(const char *format, const char *level)
{
    static const char *const levels[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
    enum log_level least = LOG_DEBUG;
    while (strcmp(levels[least], level) != 0)
        ++least;
    log_configure(strcmp(format, "json") == 0 ? LOG_AS_JSON : LOG_AS_TEXT, least, STDERR_FILENO);
}

int command_serve(int argc, char **argv)
{
    const char *log_format = "text";
    const char *log_level = "info";
    static const char http_usual[] = "127.0.0.1:7878";
    const char *http = http_usual;
    const char *resp = NULL;
    const char *grpc = NULL;
    uint64_t connections = CONNECTIONS_DEFAULT;
    int64_t request_timeout_ms = REQUEST_TIMEOUT_MS_DEFAULT;
    int64_t write_timeout_ms = WRITE_TIMEOUT_MS_DEFAULT;
    struct server_options options = {.version = WEIR_VERSION,
                                     .memory_bytes = SERVER_MEMORY_DEFAULT,
                                     .buffers_bytes_max = BUFFERS_BYTES_DEFAULT,
                                     .receipts_for_ms = SERVER_RECEIPTS_FOR_MS_DEFAULT,
                                     .snapshot_every_bytes = SERVER_SNAPSHOT_EVERY_DEFAULT,
                                     .usage_for_ms = SERVER_USAGE_FOR_MS_DEFAULT};
    const struct option_rule rules[] = {
        ROW_TEXT_REQUIRED("data", "DIR", "data directory, made if it is not there", &options.data),
        ROW_TEXT("policy", "FILE", "policy, applied if it is not the file last applied",
                 &options.policy_file),
        ROW_TEXT("http", "ADDR", "where to listen, port 0: any; default 127.0.0.1:7878", &http),
        ROW_TEXT("resp", "ADDR",
                 "where to listen for Redis clients; default 127.0.0.1:7879, or off", &resp),
        ROW_TEXT("grpc", "ADDR", "where to listen for gRPC; default 127.0.0.1:7880, or off", &grpc),
        ROW_TEXT("admin-key", "FILE", "a key that is always let in, as an admin; mode 0600",
                 &options.admin_key_file),
        ROW_INSTANT("test-clock", "time stands still, from here, until POST /v1/clock",
                    &options.test_clock_ms, &options.has_test_clock),
        ROW_BYTES("memory", "address space of the state, such as 512M or 8G; default 1G",
                  &options.memory_bytes, SERVER_MEMORY_MIN, SERVER_MEMORY_MAX),
        ROW_BYTES("snapshot-every", "journal written between two snapshots; default 128M",
                  &options.snapshot_every_bytes, SERVER_SNAPSHOT_EVERY_MIN,
                  SERVER_SNAPSHOT_EVERY_MAX),
        ROW_COUNT("connections", "N", "most connections at a time; default 16384", &connections, 1,
                  CONNECTIONS_MAX),
        ROW_BYTES("buffers", "memory of large requests and answers under way; default 256M",
                  &options.buffers_bytes_max, BUFFERS_BYTES_MIN, BUFFERS_BYTES_MAX),
        ROW_DURATION("request-timeout",
                     "for a request to arrive whole, from the last answer on; default 60s",
                     &request_timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX),
        ROW_DURATION("write-timeout",
                     "for an answer to be taken, and a second per 64 KiB of it; default 60s",
                     &write_timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX),
        ROW_TEXT("tls-cert", "FILE", "certificate chain in PEM: speak TLS; loaded again on SIGHUP",
                 &options.tls.certificate),
        ROW_TEXT("tls-key", "FILE", "its private key in PEM, which others may not read",
                 &options.tls.key),
        ROW_DURATION("receipts-for",
                     "how long decisions can be looked up and refunded; default 90d",
                     &options.receipts_for_ms, SECOND_MS, SERVER_RETENTION_MS_MAX),
        ROW_DURATION("usage-for", "how long usage events are kept in the ledger; default 400d",
                     &options.usage_for_ms, SECOND_MS, SERVER_RETENTION_MS_MAX),
        ROW_CHOICE("log-format", "FORMAT", "text json",
                   "how the log on stderr is written; default text", &log_format),
        ROW_CHOICE("log-level", "LEVEL", "debug info warn error",
                   "what of it is written; default info", &log_level),
    };
    const struct usage usage = {
        .command = "serve",
        .operands = "",
        .summary = "Decides, holds and settles over HTTP, until SIGTERM or SIGINT.",
        .notes = "The policy file is needed once: the directory remembers it, later starts may "
                 "leave it out. A file that differs from the one last applied is applied at start. "
                 "All that the server knows is in the data directory; docs/OPERATING.md tells its "
                 "files.",
        .refusal = "it could not start; stderr says why",
        .failure = "it answered, and had to stop: the journal or the books failed; stderr says why",
        .examples = {{"a first start", "weir serve --data data --policy policy.yaml"},
                     {"time by hand, to try what next month brings",
                     "weir serve --data try --policy policy.yaml --test-clock "
                     "2026-05-01T12:00:00Z"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
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
    options.request_timeout_ms = (uint32_t)request_timeout_ms;
    options.write_timeout_ms = (uint32_t)write_timeout_ms;
    if ((options.tls.certificate == NULL) != (options.tls.key == NULL)) {
        (void)fprintf(stderr, "weir serve: --tls-cert and --tls-key belong together\n");
        return STATUS_USAGE;
    }
    configure_log(log_format, log_level);
    if (!take_address("--http", http, http_usual, &options.address) ||
        !take_door("--resp", resp, "127.0.0.1:7879", &options.resp) ||
        !take_door("--grpc", grpc, "127.0.0.1:7880", &options.grpc))
        return STATUS_USAGE;
    switch (server_run(&options)) {
    case SERVER_STOPPED:
        return STATUS_DONE;
    case SERVER_REFUSED:
        return STATUS_REFUSED;
    case SERVER_FAILED:
        return STATUS_FAILED;
    }
    return STATUS_FAILED;
}
