/*
 * soak_readers.c: single decisions at a pace, and their latencies, window after window: alone, and
 * while other programs read the same files or ask the same server. Latencies count from when a
 * decision was to leave, so one that waits behind a stall counts the wait.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "main/pool.h"
#include "soak.h"

enum { READER_CONNECTIONS = 128, COMMAND_BYTES = 8192, PERCENTILES = 4 };

struct reading {
    const char *name;
    const char *script; /* for sh, again and again; $1 the data directory, $2 the program,
                           $3 the server, $4 the address space of a state; NULL: nothing runs */
};

static const struct reading readings[] = {
    {         "nobody reads",                               NULL                             },
    { "sqlite3 on ledger.db",
     "sqlite3 -readonly \"$1/ledger.db\" 'SELECT feature,kind,sum(count),sum(charged) FROM "
     "usage_events GROUP BY 1,2; SELECT account,cause,count(*),sum(delta) FROM balance_updates "
     "GROUP BY 1,2; SELECT customer,sum(charged) FROM monetization_events GROUP BY 1 ORDER BY 2 "
     "DESC LIMIT 10'"                                                                        },
    {"sqlite3 on journal.db",
     "for table in $(sqlite3 -readonly \"$1/journal.db\" \"SELECT name FROM sqlite_master WHERE "
     "type='table'\"); do sqlite3 -readonly \"$1/journal.db\" \"SELECT * FROM $table\"; done"},
    {       "weir reconcile",                "\"$2\" reconcile --data \"$1\" --memory \"$4\""},
    {          "weir verify",                                   "\"$2\" verify --data \"$1\""},
    {        "a slow export",
     "curl -sfN --limit-rate 256K "
     "\"$3/v1/usage?from=2026-05-01T00:00:00Z&to=2026-05-09T00:00:00Z&group_by=customer,feature,"
     "hour&format=ndjson\""                                                                  },
    {  "nobody reads, again",                                                            NULL},
};

struct pacing {
    const struct soak_settings *settings;
    const struct soak_server *server;
    struct soak_tally *tally;
    struct soak_samples *samples;
    int64_t start_ns;
    uint64_t sent;
    uint64_t whole;
};

static int64_t departure_ns(const struct pacing *pacing, uint64_t number)
{
    return pacing->start_ns +
           (int64_t)(number * (uint64_t)SOAK_SECOND_NS / pacing->settings->reader_rate);
}

static enum pool_turn next_single(void *self, int64_t now_ns, struct pool_job *job,
                                  int64_t *at_ns_out)
{
    struct pacing *pacing = self;
    char text[160];
    if (pacing->sent == pacing->whole) return POOL_DONE;
    *at_ns_out = departure_ns(pacing, pacing->sent);
    if (now_ns < *at_ns_out) return POOL_LATER;
    (void)snprintf(text, sizeof(text),
                   "{\"customer\":\"c%07" PRIu64
                   "\",\"feature\":\"free\",\"quantities\":{\"requests\":1}}",
                   pacing->sent * 7919 % pacing->settings->customers);
    const struct client_request request = {
        .method = "POST", .path = "/v1/consume", .body = bytes_of_text(text)};
    client_request_put(job->request, &pacing->server->address, &request);
    job->token = pacing->sent++;
    return POOL_JOB;
}

static void single_answered(void *self, const struct pool_answer *answer)
{
    struct pacing *pacing = self;
    if (answer->status != 200 || strstr(answer->body, "\"outcome\":\"allow\"") == NULL) {
        if (pacing->tally->problems++ == 0)
            (void)snprintf(pacing->tally->first_problem, sizeof(pacing->tally->first_problem),
                           "%u %.200s", answer->status, answer->body);
        return;
    }
    pacing->tally->decisions++;
    pacing->tally->events[SOAK_CONSUME].count++;
    soak_sample(pacing->samples, (pool_now_ns() - departure_ns(pacing, answer->token)) / 1000);
}

/* Runs again and again until its group is killed; each end that is no success leaves a mark. */
static pid_t start_reading(const struct soak_settings *settings, const struct soak_server *server,
                           const struct reading *reading, const char *marks)
{
    char data[4096], url[320], command[COMMAND_BYTES];
    (void)snprintf(data, sizeof(data), "%s/data", settings->directory);
    (void)snprintf(url, sizeof(url), "http://%s", server->address.host);
    (void)snprintf(
        command, sizeof(command),
        "while :; do { %s; } >/dev/null && echo done || { echo failed; sleep 0.1; }; done",
        reading->script);
    const char *const arguments[] = {"sh",           "-c", command,          "sh", data,
                                     settings->weir, url,  settings->memory, NULL};
    return soak_run(arguments, marks);
}

static void count_marks(const char *marks, unsigned *done_out, unsigned *failed_out,
                        char said_out[128])
{
    char line[1024];
    FILE *file = fopen(marks, "re");
    *done_out = *failed_out = 0;
    said_out[0] = '\0';
    if (file == NULL) return;
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "done") == 0)
            ++*done_out;
        else if (strcmp(line, "failed") == 0)
            ++*failed_out;
        else
            (void)snprintf(said_out, 128, "%.120s", line);
    }
    (void)fclose(file);
}

static void run_window(struct pacing *pacing, const struct reading *reading,
                       uint32_t micros_out[PERCENTILES])
{
    static const uint32_t per_100000[PERCENTILES] = {50000, 99000, 99900, 100000};
    const struct pool_settings settings = {
        .address = &pacing->server->address, .connections = READER_CONNECTIONS, .attempts = 1};
    const struct pool_driver driver = {
        .self = pacing, .next = next_single, .answered = single_answered};
    struct pool_counts counts;
    char marks[4096], said[128] = "", counted[64] = "";
    (void)snprintf(marks, sizeof(marks), "%s/reading", pacing->settings->directory);
    const pid_t reader = reading->script != NULL
                             ? start_reading(pacing->settings, pacing->server, reading, marks)
                             : 0;
    pacing->samples->count = 0;
    pacing->sent = 0;
    pacing->whole = pacing->settings->reader_rate * pacing->settings->reader_window_sec;
    pacing->start_ns = pool_now_ns();
    if (!pool_run(&settings, &driver, &counts)) soak_fail("out of memory");
    if (reader != 0) {
        unsigned done = 0, failed = 0;
        (void)kill(-reader, SIGKILL);
        (void)soak_wait(reader);
        count_marks(marks, &done, &failed, said);
        (void)snprintf(counted, sizeof(counted), "%u done, %u failed", done, failed);
    }
    for (size_t i = 0; i < PERCENTILES; ++i)
        micros_out[i] = soak_sample_at(pacing->samples, per_100000[i]);
    printf("  %-22s %9.2f %9.2f %9.2f %9.2f", reading->name, micros_out[0] / 1e3,
           micros_out[1] / 1e3, micros_out[2] / 1e3, micros_out[3] / 1e3);
    if (counted[0] != '\0') printf("  %s%s%s", counted, said[0] != '\0' ? ": " : "", said);
    printf("\n");
    (void)fflush(stdout);
}

void soak_readers_run(const struct soak_settings *settings, const struct soak_server *server,
                      struct soak_tally *tally)
{
    uint32_t micros[COUNT_OF(readings)][PERCENTILES];
    struct pacing pacing = {.settings = settings,
                            .server = server,
                            .tally = tally,
                            .samples = malloc(sizeof(struct soak_samples))};
    if (pacing.samples == NULL) soak_fail("out of memory");
    printf("\n  single decisions, %" PRIu64 " a second, %" PRIu64
           " s each; latencies in ms from when each was to leave\n",
           settings->reader_rate, settings->reader_window_sec);
    printf("  %-22s %9s %9s %9s %9s  %s\n", "while", "p50", "p99", "p99.9", "max", "readings");
    for (size_t i = 0; i < COUNT_OF(readings); ++i)
        run_window(&pacing, &readings[i], micros[i]);
    printf("\n  %-22s %9s %9s %9s %9s  times the first window\n", "while", "p50", "p99", "p99.9",
           "max");
    for (size_t i = 1; i < COUNT_OF(readings); ++i) {
        printf("  %-22s", readings[i].name);
        for (size_t k = 0; k < PERCENTILES; ++k)
            printf(" %9.2f", (double)micros[i][k] / (double)(micros[0][k] > 0 ? micros[0][k] : 1));
        printf("\n");
    }
    free(pacing.samples);
}
