/*
 * soak.c: a day of mixed load against the real server, everything switched on: settlement,
 * snapshots, retention, key files. The server's clock is a test clock that the load moves on, so a
 * day takes as long as its decisions take; all durations that are printed are real ones.
 *
 * In order: the load, printed in twenty parts; SIGKILL, and how long until the first decision; how
 * long until the books have everything; single decisions while others read; SIGTERM and a start
 * again; `weir verify`, `weir reconcile`; and what the answers said against what the ledger holds.
 * Exit status 1: something differs, a proof found something, or an answer was not what was asked.
 */
#include "soak.h"

#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"
#include "main/options.h"
#include "main/pool.h"
#include "main/text_table.h"

/* 2026-05-01T00:00:00Z; tests and readers know it. */
#define CLOCK_START_MS INT64_C(1777593600000)
#define MIB (1024.0 * 1024.0)

struct soak {
    struct soak_settings settings;
    struct soak_tally tally;
    struct soak_server server;
    struct soak_use uses[SOAK_WINDOWS + 1];
    struct soak_health healths[SOAK_WINDOWS + 1];
    uint32_t use_count;
    uint64_t decisions_before;
    int64_t clock_ms;
    bool is_good;
};

void soak_sample(struct soak_samples *samples, int64_t value_us)
{
    const int64_t value = value_us < 0 ? 0 : value_us > UINT32_MAX ? UINT32_MAX : value_us;
    samples->at[samples->count++ % SOAK_SAMPLES_MAX] = (uint32_t)value;
}

static int by_size(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

uint32_t soak_sample_at(struct soak_samples *samples, uint32_t per_100000)
{
    const uint64_t count = samples->count < SOAK_SAMPLES_MAX ? samples->count : SOAK_SAMPLES_MAX;
    if (count == 0) return 0;
    qsort(samples->at, count, sizeof(samples->at[0]), by_size);
    const uint64_t place = (count * per_100000 + 99999) / 100000;
    return samples->at[place > 0 ? place - 1 : 0];
}

static void judge(struct soak *soak, bool is_good, const char *what)
{
    if (is_good) return;
    soak->is_good = false;
    printf("  NOT GOOD: %s\n", what);
}

/* ---- the load */

static void print_heading(void)
{
    printf("\n  %11s %8s %8s | %20s | %45s | %20s | %23s\n", "", "", "server's", "MiB of memory",
           "MiB of disk", "settlement lag, s", "batch latency, ms");
    printf("  %11s %8s %8s | %6s %6s %6s | %15s %15s %6s %6s | %6s %6s %6s | %7s %7s %7s\n",
           "decisions", "a second", "clock", "RSS", "anon", "state", "journal + log",
           "ledger + log", "snaps", "keys", "p50", "p99", "max", "p50", "p99", "max");
}

static double mib(uint64_t bytes)
{
    return (double)bytes / MIB;
}

static void print_window(void *self, const struct soak_window *window)
{
    struct soak *soak = self;
    struct soak_samples *lag = (struct soak_samples *)(uintptr_t)&window->lag_us;
    struct soak_samples *latency = (struct soak_samples *)(uintptr_t)&window->latency_us;
    char number[TEXT_NUMBER_BYTES];
    struct soak_use use;
    soak_server_use(&soak->settings, &soak->server, &use);
    if (soak->use_count <= SOAK_WINDOWS) {
        soak->healths[soak->use_count] = window->health;
        soak->uses[soak->use_count++] = use;
    }
    const int64_t minutes = (soak->clock_ms - CLOCK_START_MS) / 60000;
    const double rate =
        (double)(window->decisions - soak->decisions_before) * 1e9 / (double)window->duration_ns;
    soak->decisions_before = window->decisions;
    printf("  %11s %8.0f %5" PRId64 ":%02" PRId64
           " | %6.0f %6.0f %6.0f | %7.0f %7.1f %7.0f %7.1f %6.0f %6.0f | %6.2f %6.2f %6.2f | "
           "%7.1f %7.1f %7.1f\n",
           text_number(window->decisions, number), rate, minutes / 60, minutes % 60,
           mib(use.resident_bytes), mib(use.anonymous_bytes), mib(window->health.state_bytes),
           mib(use.files[SOAK_JOURNAL]), mib(use.files[SOAK_JOURNAL_LOG]),
           mib(use.files[SOAK_LEDGER]), mib(use.files[SOAK_LEDGER_LOG]),
           mib(use.files[SOAK_SNAPSHOTS]), mib(use.files[SOAK_KEY_FILES]),
           soak_sample_at(lag, 50000) / 1e6, soak_sample_at(lag, 99000) / 1e6,
           soak_sample_at(lag, 100000) / 1e6, soak_sample_at(latency, 50000) / 1e3,
           soak_sample_at(latency, 99000) / 1e3, soak_sample_at(latency, 100000) / 1e3);
    (void)fflush(stdout);
}

/* What there is of each part at the quarters. The rest: the program, the buffers of its threads,
 * what the allocator has of memory that nobody has now. */
static void print_memory(const struct soak *soak)
{
    static const char *const names[] = {"state",  "heads of customers", "recent authorizations",
                                        "SQLite", "program's files",    "the rest",
                                        "RSS"};
    enum { PARTS = COUNT_OF(names), QUARTERS = 4 };
    double parts[PARTS][QUARTERS];
    if (soak->use_count < SOAK_WINDOWS) return;
    for (uint32_t i = 0; i < QUARTERS; ++i) {
        const struct soak_use *use = &soak->uses[(i + 1) * SOAK_WINDOWS / QUARTERS - 1];
        const struct soak_health *health = &soak->healths[(i + 1) * SOAK_WINDOWS / QUARTERS - 1];
        parts[0][i] = mib(health->state_bytes);
        parts[1][i] = mib(health->heads_bytes);
        parts[2][i] = mib(health->held_bytes);
        parts[3][i] = mib(health->sqlite_bytes);
        parts[4][i] = mib(use->resident_bytes - use->anonymous_bytes);
        parts[6][i] = mib(use->resident_bytes);
        parts[5][i] = parts[6][i];
        for (uint32_t part = 0; part < 5; ++part)
            parts[5][i] -= parts[part][i];
    }
    printf("\n  %-22s %9s %9s %9s %9s  MiB; of RSS's growth in the last half\n", "memory at",
           "25 %", "50 %", "75 %", "100 %");
    const double growth = parts[6][3] - parts[6][1];
    for (uint32_t part = 0; part < PARTS; ++part)
        printf("  %-22s %9.1f %9.1f %9.1f %9.1f  %+.1f (%.0f %%)\n", names[part], parts[part][0],
               parts[part][1], parts[part][2], parts[part][3], parts[part][3] - parts[part][1],
               growth > 0 ? 100 * (parts[part][3] - parts[part][1]) / growth : 0);
    printf("  the last half grew by %.1f %%, without the state by %.1f %%\n",
           100 * (parts[6][3] / parts[6][1] - 1),
           100 * ((parts[6][3] - parts[0][3]) / (parts[6][1] - parts[0][1]) - 1));
}

static void play(struct soak *soak)
{
    struct soak_window *window = calloc(1, sizeof(*window));
    if (window == NULL) soak_fail("out of memory");
    const struct soak_play playing = {.settings = &soak->settings,
                                      .server = &soak->server,
                                      .tally = &soak->tally,
                                      .clock_ms = &soak->clock_ms,
                                      .window = window,
                                      .window_over = print_window,
                                      .self = soak};
    print_heading();
    const int64_t from_ns = pool_now_ns();
    soak_play_run(&playing);
    const double seconds = (double)(pool_now_ns() - from_ns) / 1e9;
    struct soak_use use;
    soak_server_use(&soak->settings, &soak->server, &use);
    printf("  %" PRIu64 " decisions in %.1f s, %.0f a second; the server had %.1f s of processor;\n"
           "  journal begins at batch %" PRIu64 ", ends at %" PRIu64 "; %" PRIu64
           " keys and %" PRIu64 " holds in memory\n",
           soak->tally.decisions, seconds, (double)soak->tally.decisions / seconds,
           use.processor_sec, window->health.first, window->health.sequence, window->health.keys,
           window->health.holds);
    printf("  %" PRIu64 " holds, %" PRIu64 " repeated keys answered alike, %" PRIu64
           " refunds, %" PRIu64 " grants\n",
           soak->tally.holds, soak->tally.repeats, soak->tally.refunds.count, soak->tally.grants);
    print_memory(soak);
    free(window);
}

/* ---- after it */

static void decide_once(struct soak *soak)
{
    struct client_answer answer;
    soak_ask(&soak->server, "POST", "/v1/consume",
             "{\"customer\":\"c0000000\",\"feature\":\"free\",\"quantities\":{\"requests\":1}}",
             &answer);
    client_answer_free(&answer);
    soak->tally.decisions++;
    soak->tally.events[SOAK_CONSUME].count++;
}

static void restart(struct soak *soak, int signal_number, const char *name)
{
    const int64_t from_ns = pool_now_ns();
    judge(soak, soak_server_end(&soak->server, signal_number), "the server's end");
    const double ended = (double)(pool_now_ns() - from_ns) / 1e9;
    soak_server_start(&soak->settings, soak->clock_ms, &soak->server);
    decide_once(soak);
    const double started = (double)(pool_now_ns() - soak->server.started_ns) / 1e9;
    struct soak_use use;
    soak_server_use(&soak->settings, &soak->server, &use);
    printf("  %s: gone after %.2f s; first decision %.2f s after the next start: its threads ran "
           "%.2f s and waited %.2f s for a processor\n",
           name, ended, started, use.processor_sec, use.waited_sec);
    (void)fflush(stdout);
}

/* Holds that nobody ended expire. */
static void pass(struct soak *soak, uint64_t ms)
{
    char body[64];
    struct client_answer answer;
    (void)snprintf(body, sizeof(body), "{\"advance_ms\":%" PRIu64 "}", ms);
    soak_ask(&soak->server, "POST", "/v1/clock", body, &answer);
    client_answer_free(&answer);
    soak->clock_ms += ms;
}

static void let_expire(struct soak *soak)
{
    struct soak_sum *events = soak->tally.events;
    pass(soak, 600000);
    events[SOAK_EXPIRY].count =
        soak->tally.holds - events[SOAK_COMMIT].count - events[SOAK_RELEASE].count;
}

static void print_last_line(const char *path)
{
    char line[512], last[512] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL) return;
    while (fgets(line, sizeof(line), file) != NULL)
        if (line[0] != '\n') memcpy(last, line, sizeof(line));
    (void)fclose(file);
    last[strcspn(last, "\n")] = '\0';
    printf("%s\n", last);
}

static void prove(struct soak *soak, const char *command)
{
    char data[PATH_MAX], output[PATH_MAX];
    (void)snprintf(data, sizeof(data), "%s/data", soak->settings.directory);
    (void)snprintf(output, sizeof(output), "%s/%s.log", soak->settings.directory, command);
    const bool is_reconcile = strcmp(command, "reconcile") == 0;
    const char *const arguments[] = {
        soak->settings.weir,   command, "--data", data, is_reconcile ? "--memory" : NULL,
        soak->settings.memory, NULL};
    const int64_t from_ns = pool_now_ns();
    const int status = soak_wait(soak_run(arguments, output));
    printf("  weir %s: exit status %d after %.1f s: ", command, status,
           (double)(pool_now_ns() - from_ns) / 1e9);
    print_last_line(output);
    judge(soak, status == 0, command);
    (void)fflush(stdout);
}

static void print_files(struct soak *soak)
{
    static const char *const names[SOAK_FILES] = {"journal",      "journal's log", "ledger",
                                                  "ledger's log", "snapshots",     "key files"};
    struct soak_use use;
    soak_server_use(&soak->settings, &soak->server, &use);
    printf("  on disk, MiB:");
    for (size_t i = 0; i < SOAK_FILES; ++i)
        printf("%s %s %.0f", i > 0 ? "," : "", names[i], mib(use.files[i]));
    printf("\n");
}

static void run(struct soak *soak)
{
    soak_server_start(&soak->settings, soak->clock_ms, &soak->server);
    play(soak);
    printf("\n");
    pass(soak, 1000); /* how many joined a crowd is durable when its second is over */
    restart(soak, SIGKILL, "SIGKILL right behind the last answer");
    printf("  the books had everything %.2f s later\n", soak_catch_up(&soak->server));
    let_expire(soak);
    printf("  the clock moved on by 10 min, open holds over: settled %.2f s later\n",
           soak_catch_up(&soak->server));
    if (soak->settings.reader_window_sec > 0)
        soak_readers_run(&soak->settings, &soak->server, &soak->tally);
    printf("\n");
    restart(soak, SIGTERM, "SIGTERM");
    (void)soak_catch_up(&soak->server);
    print_files(soak);
    judge(soak, soak_server_end(&soak->server, SIGTERM), "the server's end");
    prove(soak, "verify");
    prove(soak, "reconcile");
    judge(soak, soak_books_agree(&soak->settings, &soak->tally), "the ledger");
    if (soak->tally.problems > 0)
        printf("  %" PRIu64 " problems, the first: %s\n", soak->tally.problems,
               soak->tally.first_problem);
    judge(soak, soak->tally.problems == 0, "answers");
    printf("  %s\n", soak->is_good ? "all is well" : "NOT all is well");
}

/* ---- options */

#define TEXT(option, value, text, out)                                             \
    {                                                                              \
        .name = (option), .argument = (value), .help = (text), .value_out = (out), \
        .kind = OPTION_TEXT                                                        \
    }
#define COUNT(option, text, out, least, most)                                                  \
    {                                                                                          \
        .name = (option), .argument = "N", .help = (text), .value_out = (out), .min = (least), \
        .max = (most), .kind = OPTION_COUNT                                                    \
    }

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove(path);
}

int main(int argc, char **argv)
{
    static struct soak soak = {
        .settings = {.receipts_for = "2h",
                     .snapshot_every = "128M",
                     .memory = "4G",
                     .customers = 1000000,
                     .decisions = 10000000,
                     .connections = 32,
                     .batch = 50,
                     .pace = 120,
                     .seed = 1,
                     .reader_rate = 1000,
                     .reader_window_sec = 20},
        .clock_ms = CLOCK_START_MS,
        .is_good = true
    };
    struct soak_settings *settings = &soak.settings;
    bool keeps = false;
    const struct option_rule rules[] = {
        COUNT("customers", "how many (1000000)", &settings->customers, 20, 9999999),
        COUNT("decisions", "how many (10000000)", &settings->decisions, 1000, 1000000000),
        COUNT("connections", "keep-alive (32)", &settings->connections, 2, 1024),
        COUNT("batch", "operations in a request (50)", &settings->batch, 1, 60),
        COUNT("pace", "decisions in a second of the server's clock (120)", &settings->pace, 1,
              1000000),
        COUNT("seed", "of all that is drawn by lot (1)", &settings->seed, 0, UINT64_MAX),
        COUNT("reader-rate", "single decisions a second while others read (1000)",
              &settings->reader_rate, 1, 12000),
        COUNT("reader-window", "seconds of each such window; 0: none (20)",
              &settings->reader_window_sec, 0, 20),
        TEXT("receipts-for", "TIME", "of the server (2h)", &settings->receipts_for),
        TEXT("snapshot-every", "SIZE", "of the server (128M)", &settings->snapshot_every),
        TEXT("memory", "SIZE", "of the server (4G)", &settings->memory),
        {.name = "keep",
                                                                     .help = "the files stay, also when all is well",
                                                                     .value_out = &keeps,
                                                                     .kind = OPTION_FLAG},
    };
    const struct usage usage = {.command = "soak",
                                .operands = "WEIR POLICY DIRECTORY",
                                .summary = "Plays a mixed load against `WEIR serve`; its files "
                                           "are in DIRECTORY meanwhile.",
                                .rules = rules,
                                .rule_count = COUNT_OF(rules),
                                .operands_min = 3,
                                .operands_max = 3};
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? 0 : 2;
    settings->weir = operands.at[0];
    settings->policy = operands.at[1];
    char directory[PATH_MAX];
    (void)snprintf(directory, sizeof(directory), "%s/soak.XXXXXX", operands.at[2]);
    settings->directory = mkdtemp(directory);
    if (settings->directory == NULL) soak_fail("no directory can be made there");
    printf("%" PRIu64 " customers, %" PRIu64 " decisions, batches of %" PRIu64 " over %" PRIu64
           " connections, seed %" PRIu64 ";\n%" PRIu64
           " decisions in a second of the server's clock, receipts for %s, a snapshot every %s\n",
           settings->customers, settings->decisions, settings->batch, settings->connections,
           settings->seed, settings->pace, settings->receipts_for, settings->snapshot_every);
    run(&soak);
    if (keeps || !soak.is_good)
        printf("  all files are in %s\n", directory);
    else
        (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return soak.is_good ? 0 : 1;
}
