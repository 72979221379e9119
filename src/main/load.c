/*
 * load.c: `weir load`, options and the order of things: who sends what, balances, the play,
 * balances again, the report.
 */
#include "main/load.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "main/answer.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/prove.h"
#include "main/trace_generate.h"

static const char notes[] =
    "TRACE.csv has a header line, a column of times (TIMESTAMP, timestamp, time, or the first) and "
    "columns of quantities. Each row is authorized with an estimate and committed with what it "
    "says: meters whose name begins with 'output' are estimated from the rows before, the others "
    "are known. Without --map, ContextTokens are input_tokens and GeneratedTokens output_tokens. "
    "Every request carries a key, so it can be repeated safely.\n"
    "With --clock (and `weir serve --test-clock`) the server's time follows the trace's, second "
    "by second: a day of windows in as many seconds as its requests take.\n"
    "--record writes a JSON object per row as it ends: row (0 is the first), customer, the "
    "quantities committed, outcome, reason, decision_id, charged, units (that sources carried), "
    "overshoot.\n"
    "The audit at the end compares what the answers told with what each balance lost, and, once "
    "they are settled, with the requests, denials and charges that the books have of the first "
    "1,000 customers; with --data it is followed "
    "by "
    "what `weir verify` and `weir reconcile` say.\n"
    "A server that does not answer for as long as --patience says is given up; the report then "
    "tells how far the play came, and there is no audit.";

struct load_options {
    struct client_options client;
    struct server_address address;
    const char *map;
    const char *attributes;
    const char *grants;
    const char *speed;
    const char *zipf;
    const char *estimate;
    const char *record;
    const char *data;
    uint64_t generate;
    uint64_t limit;
    bool prints;
    bool is_json;
};

static volatile bool is_interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = true;
}

static bool complain(const char *option, const char *value, const char *expected)
{
    (void)fprintf(stderr, "weir load: --%s '%s': expected %s\n", option, value, expected);
    return false;
}

static bool take_pairs(const char *option, const char *text, struct load_pairs *pairs_out)
{
    for (const char *at = text; at != NULL && *at != '\0';) {
        const size_t length = strcspn(at, ",");
        const char *equals = memchr(at, '=', length);
        const size_t name = equals != NULL ? (size_t)(equals - at) : 0;
        const size_t value = length - name - 1;
        if (equals == NULL || name == 0 || name >= LOAD_ID_BYTES || value >= LOAD_ID_BYTES ||
            pairs_out->count == LOAD_PAIRS_MAX)
            return complain(option, text, "name=value,name=value");
        (void)snprintf(pairs_out->at[pairs_out->count].name, LOAD_ID_BYTES, "%.*s", (int)name, at);
        (void)snprintf(pairs_out->at[pairs_out->count].value, LOAD_ID_BYTES, "%.*s", (int)value,
                       equals + 1);
        ++pairs_out->count;
        at += length;
        if (*at == ',') ++at;
    }
    return true;
}

static bool take_factor(const char *option, const char *text, int64_t min_nano, int64_t *nano_out)
{
    int64_t nano = 0;
    if (!credits_parse(bytes_of_text(text), &nano) || nano < min_nano ||
        nano > INT64_C(1000000) * NANO_PER_CREDIT)
        return complain(option, text, "a decimal number such as 1.5, at most 1000000");
    *nano_out = nano;
    return true;
}

/* Whoever plays a trace again with the same prefix asks for the same answers. */
static const char *fresh_key_prefix(char text_out[40])
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(text_out, 40, "load-%" PRIx64 "-%lx", (uint64_t)now.tv_sec, now.tv_nsec);
    return text_out;
}

static bool take_texts(const struct load_options *options, struct load_settings *settings)
{
    if (strcmp(options->speed, "max") == 0)
        settings->speed_nano = LOAD_SPEED_MAX_GIVEN;
    else if (!take_factor("speed", options->speed, 1, &settings->speed_nano))
        return false;
    if (!trace_map_parse(options->map, &settings->map))
        return complain("map", options->map, "Column=meter,Column=meter");
    if (strlen(settings->key_prefix) > LOAD_ID_BYTES ||
        strlen(settings->customer_prefix) > LOAD_ID_BYTES)
        return complain("key-prefix, --customer-prefix", "...", "at most 65 bytes");
    return take_factor("zipf", options->zipf, 0, &settings->zipf_nano) &&
           take_factor("estimate", options->estimate, 1, &settings->estimate_nano) &&
           take_pairs("attribute", options->attributes, &settings->attributes) &&
           take_pairs("grant", options->grants, &settings->grants);
}

static void close_file(FILE **file)
{
    if (*file != NULL) (void)fclose(*file);
    *file = NULL;
}

/* The invented day has two columns: the map says which meter each is for. */
static bool arrange(const struct trace_map *map, struct trace *trace)
{
    static const char *const columns[] = {"ContextTokens", "GeneratedTokens"};
    size_t column_of[TRACE_METERS_MAX];
    for (uint32_t i = 0; i < map->count; ++i) {
        column_of[i] = 0;
        while (column_of[i] < COUNT_OF(columns) &&
               strcmp(map->at[i].column, columns[column_of[i]]) != 0)
            ++column_of[i];
        if (column_of[i] == COUNT_OF(columns))
            return complain("map", map->at[i].column,
                            "ContextTokens or GeneratedTokens, the columns of --generate");
    }
    for (size_t row = 0; row < trace->count; ++row) {
        const struct trace_row from = trace->rows[row];
        for (uint32_t i = 0; i < map->count; ++i)
            trace->rows[row].quantity[i] = from.quantity[column_of[i]];
    }
    return true;
}

static bool get_trace(const struct load_options *options, const char *path,
                      const struct load_settings *settings, struct trace *trace_out)
{
    char complaint[TRACE_COMPLAINT_BYTES];
    if (path == NULL) {
        if (trace_generate(options->generate, settings->seed, trace_out))
            return options->prints || arrange(&settings->map, trace_out);
        (void)fprintf(stderr, "weir load: no memory for %" PRIu64 " rows\n", options->generate);
        return false;
    }
    CLEANUP(close_file) FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)fprintf(stderr, "weir load: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (trace_read(file, &settings->map, options->limit, trace_out, complaint)) return true;
    (void)fprintf(stderr, "weir load: %s: %s\n", path, complaint);
    return false;
}

static int print_trace(const struct trace *trace)
{
    (void)puts("TIMESTAMP,ContextTokens,GeneratedTokens");
    for (size_t i = 0; i < trace->count; ++i) {
        char time[INSTANT_TEXT_SIZE];
        (void)calendar_format(trace->rows[i].at_ms, time);
        (void)printf("%s,%" PRIu64 ",%" PRIu64 "\n", time, trace->rows[i].quantity[0],
                     trace->rows[i].quantity[1]);
    }
    return fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}

struct load_memory {
    uint32_t *customer_of;
    struct load_customer *customers;
    struct load_tally tally;
};

static void load_memory_free(struct load_memory *memory)
{
    free(memory->customer_of);
    free(memory->customers);
    load_tally_free(&memory->tally);
}

static bool load_memory_take(struct load_memory *memory, const struct load_settings *settings,
                             const struct trace *trace)
{
    memory->customer_of = calloc(trace->count, sizeof(uint32_t));
    memory->customers = calloc(settings->customers, sizeof(struct load_customer));
    if (memory->customer_of == NULL || memory->customers == NULL ||
        !load_tally_begin(&memory->tally, trace->count) ||
        !load_assign_customers(settings, trace->count, memory->customer_of)) {
        (void)fprintf(stderr, "weir load: no memory for %zu rows\n", trace->count);
        return false;
    }
    for (size_t row = 0; row < trace->count; ++row)
        memory->customers[memory->customer_of[row]].is_used = true;
    uint32_t in_books = 0;
    for (uint64_t i = 0; i < settings->customers && in_books < LOAD_BOOKS_CUSTOMERS_MAX; ++i) {
        memory->customers[i].is_in_books = memory->customers[i].is_used;
        in_books += memory->customers[i].is_in_books;
    }
    return true;
}

static void say_given_up(const struct load_report *report)
{
    const struct load_tally *tally = report->tally;
    (void)fflush(stdout); /* the report stands before this where both go to one place */
    (void)fprintf(stderr,
                  "weir load: the server at %s did not answer for %" PRId64 ".%" PRId64
                  " s: %" PRIu64 " of %" PRIu64 " rows were answered\n",
                  report->settings->address->url, tally->silence_ns / 1000000000,
                  tally->silence_ns / 100000000 % 10, tally->rows_played - tally->rows_unanswered,
                  report->rows);
}

static int play(const struct load_settings *settings, const struct trace *trace,
                const char *trace_name, const struct load_options *options,
                struct load_memory *memory)
{
    struct load_customer *customers = memory->customers;
    if (!load_prepare_customers(settings, customers) ||
        !load_find_unit(settings, customers, &memory->tally.unit_is_cost) ||
        !load_read_balances(settings, customers, LOAD_BEFORE) ||
        !load_wait_for_books(settings, customers) ||
        !load_read_books(settings, customers, LOAD_BEFORE) ||
        !load_play(settings, trace, memory->customer_of, customers, &is_interrupted,
                   &memory->tally))
        return STATUS_REFUSED;
    const bool is_given_up = memory->tally.silence_ns > 0;
    const bool is_audited = !is_given_up && load_read_balances(settings, customers, LOAD_AFTER);
    const bool has_books = is_audited && load_wait_for_books(settings, customers) &&
                           load_read_books(settings, customers, LOAD_AFTER);

    load_tally_order(&memory->tally);
    const struct load_verdict verdict = load_audit(settings, customers);
    struct load_report report = {.settings = settings,
                                 .tally = &memory->tally,
                                 .verdict = &verdict,
                                 .trace_name = trace_name,
                                 .rows = trace->count,
                                 .is_audited = is_audited,
                                 .has_books = has_books};
    if (options->data != NULL && is_audited) {
        report.is_proof_asked = true;
        report.is_verified = prove_verifies("load", options->data);
        report.is_reconciled = report.is_verified && prove_reconciles("load", options->data);
    }
    if (options->is_json)
        load_report_json(&report, stdout);
    else
        load_report_text(&report, stdout);
    if (is_given_up) say_given_up(&report);
    if (settings->record != NULL && fflush(settings->record) != 0) {
        (void)fprintf(stderr, "weir load: the record cannot be written: %s\n", strerror(errno));
        return STATUS_REFUSED;
    }
    return load_report_is_good(&report) ? STATUS_DONE : STATUS_REFUSED;
}

/* A certificate that is not trusted is told at once: no attempt of the pool would help. */
static bool can_greet(const struct server_address *address)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    return client_call("load", address,
                       &(struct client_request){.method = "GET", .path = "/healthz"}, &answer);
}

/* The settings are whole: find the trace and the server, open the record, play. */
static int run(struct load_options *options, const char *path, struct load_settings *settings)
{
    CLEANUP(trace_free) struct trace trace = {0};
    CLEANUP(close_file) FILE *record = NULL;
    char name[64];
    if (!get_trace(options, path, settings, &trace)) return STATUS_REFUSED;
    if (options->prints) return print_trace(&trace);
    if (!server_address_find("load", &options->client, &options->address)) return STATUS_USAGE;
    if (options->address.tls != NULL && !can_greet(&options->address)) return STATUS_REFUSED;
    if (options->record != NULL) {
        record = fopen(options->record, "we");
        if (record == NULL) {
            (void)fprintf(stderr, "weir load: %s: %s\n", options->record, strerror(errno));
            return STATUS_REFUSED;
        }
        settings->record = record;
    }
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    (void)snprintf(name, sizeof(name), "generated day, seed %" PRIu64, settings->seed);
    const struct sigaction once = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &once, NULL);
    const char *file_name = slash != NULL ? slash + 1 : path;
    struct load_memory memory = {0};
    const int status =
        load_memory_take(&memory, settings, &trace)
            ? play(settings, &trace, path == NULL ? name : file_name, options, &memory)
            : STATUS_REFUSED;
    load_memory_free(&memory);
    return status;
}

/* What one option's value alone cannot say. */
static bool do_agree(const struct load_options *options, const char *path,
                     struct load_settings *settings)
{
    if ((path == NULL) == (options->generate == 0)) {
        (void)fprintf(stderr, "weir load: expected either TRACE.csv or --generate ROWS\n");
        return false;
    }
    if (!take_texts(options, settings)) return false;
    if (!settings->moves_clock || settings->speed_nano == LOAD_SPEED_MAX_GIVEN) return true;
    (void)fprintf(stderr, "weir load: --clock and --speed exclude each other\n");
    return false;
}

static enum options_result take_options(int argc, char **argv, struct load_options *options,
                                        struct load_settings *settings, struct operands *operands)
{
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options->client),
        ROW_COUNT("generate", "ROWS", "an invented day instead of TRACE.csv", &options->generate, 1,
                  TRACE_ROWS_MAX),
        ROW_COUNT("seed", "N", "of the invented day and of who sends what; default 1",
                  &settings->seed, 0, UINT64_MAX),
        ROW_FLAG("print", "print the invented day as CSV and play nothing", &options->prints),
        ROW_TEXT("map", "COLUMN=METER", "which column is which meter, several with commas",
                 &options->map),
        ROW_COUNT("limit", "ROWS", "play only the first", &options->limit, 1, TRACE_ROWS_MAX),
        ROW_TEXT("speed", "X", "times the trace's own pace; default max: no waiting",
                 &options->speed),
        ROW_FLAG("clock", "move the server's test clock along with the trace",
                 &settings->moves_clock),
        ROW_COUNT("connections", "N", "requests outstanding at a time; default 32",
                  &settings->connections, 1, POOL_CONNECTIONS_MAX),
        ROW_COUNT("attempts", "N", "per request, before it counts as failed; default 8",
                  &settings->attempts, 1, 1000),
        ROW_DURATION("patience", "without any answer, until the load ends; default 30s",
                     &settings->patience_ms, 1000, 86400000),
        ROW_COUNT("customers", "N", "who share the rows; default 100", &settings->customers, 1,
                  LOAD_CUSTOMERS_MAX),
        ROW_TEXT("customer-prefix", "TEXT", "they are TEXT00001, ...; default load-",
                 &settings->customer_prefix),
        ROW_TEXT("zipf", "S", "customer n sends in proportion to 1/n^S; default 1", &options->zipf),
        ROW_FLAG("uniform", "all customers send alike", &settings->is_uniform),
        ROW_TEXT("plan", "NAME", "put every customer on this plan first", &settings->plan),
        ROW_TEXT("grant", "CATEGORY=N,...", "give every customer N credits of it first",
                 &options->grants),
        ROW_TEXT("feature", "NAME", "what the rows ask for; default codex", &settings->feature),
        ROW_TEXT("attribute", "NAME=VALUE", "on every request; several with commas",
                 &options->attributes),
        ROW_TEXT("estimate", "X", "hold X times the recent mean, rounded up; default 2",
                 &options->estimate),
        ROW_FLAG("partial", "a part of what was asked is welcome", &settings->takes_part),
        ROW_TEXT("key-prefix", "TEXT", "of idempotency keys; default: new each time",
                 &settings->key_prefix),
        ROW_TEXT("record", "FILE", "a JSON line per row", &options->record),
        ROW_TEXT("data", "DIR", "the server's data directory, to verify and reconcile afterwards",
                 &options->data),
        ROW_FLAG("json", "the report as one JSON object", &options->is_json),
    };
    const struct usage usage = {
        .command = "load",
        .operands = "[TRACE.csv]",
        .summary = "Plays a request trace against a running server and reports what came of it.",
        .notes = notes,
        .refusal = "a request failed, the audit found a difference, or the trace was not "
                   "played to its end",
        .examples = {{"an invented day, for customers with money",
"weir load --generate 5000 --plan plus --grant promotional=1,paid=2"},
                     {"a trace of one's own, sixty times as fast as it was",
                     "weir load trace.csv --speed 60 --attribute model=gpt-5.5 --record "
                     "played.ndjson"},
                     {"the invented day as a file", "weir load --generate 1000 --seed 7 --print > "
                     "trace.csv"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_max = 1,
    };
    return options_take(&usage, argc, argv, operands);
}

int command_load(int argc, char **argv)
{
    char key_prefix[40];
    struct load_options options = {.map =
                                       "ContextTokens=input_tokens,GeneratedTokens=output_tokens",
                                   .speed = "max",
                                   .zipf = "1",
                                   .estimate = "2",
                                   .limit = TRACE_ROWS_MAX};
    struct load_settings settings = {.address = &options.address,
                                     .feature = "codex",
                                     .customer_prefix = "load-",
                                     .key_prefix = fresh_key_prefix(key_prefix),
                                     .customers = 100,
                                     .connections = 32,
                                     .attempts = 8,
                                     .patience_ms = 30000,
                                     .seed = 1};
    struct operands operands;
    const enum options_result result = take_options(argc, argv, &options, &settings, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    const char *path = operands.count == 1 ? operands.at[0] : NULL;
    if (!do_agree(&options, path, &settings)) return STATUS_USAGE;
    const int status = run(&options, path, &settings);
    server_address_close(&options.address);
    return status;
}
