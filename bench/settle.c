/*
 * settle.c: settlement alone: paid decisions of many customers, from a journal in memory into a
 * real ledger.db (in TMPDIR), every transaction synced.
 *
 *     settle [CUSTOMERS [DECISIONS [PACE]]]
 *
 * Without arguments 1,000,000 customers with a paid grant each, and 1,000,000 decisions by
 * customers at random, each charged to that grant: one usage event, one monetization event, one
 * balance update a decision. First all of it at once: decisions and rows a second, bytes a
 * decision. Then PACE decisions a second (40,000) offered from another thread in batches as a
 * server's group commit makes them, with rollups going on: how far settlement lags behind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "journal/journal.h"
#include "ledger/ledger.h"
#include "ledger/settler.h"
#include "platform/platform.h"
#include "policy/policy.h"

#define PACED_BATCH_MS 10
#define BODY_BYTES (512u * 1024u)

static const char yaml[] =
    "version: 1\n"
    "defaults: {plan: plus}\n"
    "features:\n"
    "  chat: {meters: [requests, input_tokens, output_tokens], unit: cost, prices: chat}\n"
    "prices:\n"
    "  chat:\n"
    "    - name: gpt\n"
    "      match: {model: gpt}\n"
    "      rates:\n"
    "        input_tokens:  {credits: \"0.0000125\", per: 700}\n"
    "        output_tokens: {credits: \"0.0000751\", per: 700}\n"
    "plans:\n"
    "  plus:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n";

static const struct hash_key KEY = {
    {3, 5}
};

struct run {
    struct engine *engine;
    const struct policy *policy;
    struct fact *fact;
    struct command *due;
    uint8_t *bytes;
    struct journal *journal;
    struct buffer body;
    struct batch_header header;
    uint32_t entries_max; /* of a batch */
    int64_t now_ms;
};

static void *zeroes(size_t bytes)
{
    void *block = memory_reserve(bytes);
    ENSURE(block != NULL);
    return block;
}

static double seconds(void)
{
    return (double)clock_monotonic_ns() / 1e9;
}

static void end_batch(struct run *run)
{
    if (run->header.entries == 0) return;
    struct journal *journal = run->journal;
    run->header.kind = BATCH_ENTRIES;
    run->header.version = JOURNAL_VERSION;
    run->header.last_ms = run->now_ms;
    journal->calls->append_start(journal, run->header, buffer_bytes(&run->body));
    ENSURE(journal->calls->append_finish(journal) == APPEND_COMMITTED);
    run->header = (struct batch_header){0};
    run->body.used = 0;
}

static void put(struct run *run, const struct command *command)
{
    static uint8_t fact_bytes[FACT_BYTES_MAX];
    struct buffer command_buffer = buffer_over(run->bytes, COMMAND_BYTES_MAX);
    command_encode(command, &command_buffer);
    struct buffer fact_buffer = buffer_over(fact_bytes, sizeof fact_bytes);
    fact_encode(run->fact, &fact_buffer);
    entry_put(&run->body, (struct entry){
                              .at_ms = run->now_ms,
                              .command = buffer_bytes(&command_buffer),
                              .fact = buffer_bytes(&fact_buffer),
                          });
    ENSURE(!run->body.overflowed);
    engine_apply(run->engine, run->fact);
    if (run->header.entries++ == 0) run->header.first_ms = run->now_ms;
    if (run->header.entries == run->entries_max ||
        run->body.used >= (size_t)JOURNAL_BATCH_BYTES_TARGET)
        end_batch(run);
}

static struct stamp next_stamp(const struct run *run)
{
    return (struct stamp){
        .now_ms = run->now_ms,
        .position = position_make(run->journal->tip.sequence + 1, run->header.entries),
    };
}

static void decide(struct run *run, const struct command *command)
{
    while (engine_due_for(run->engine, run->policy, command, next_stamp(run), run->due, run->fact))
        put(run, run->due);
    const struct ruling ruling =
        engine_decide(run->engine, run->policy, command, next_stamp(run), run->fact);
    ENSURE(ruling.kind == RULING_FACT && run->fact->report.outcome != OUTCOME_DENY);
    put(run, command);
}

static struct bytes name_of(char text[32], uint64_t number)
{
    const int length = snprintf(text, 32, "customer-%" PRIu64, number);
    return (struct bytes){(const uint8_t *)text, (size_t)length};
}

static void install(struct run *run)
{
    struct arena arena = arena_over(zeroes(POLICY_ARENA_BYTES), POLICY_ARENA_BYTES);
    struct policy_complaints complaints;
    const struct symbols symbols = engine_symbols(run->engine);
    run->policy = policy_compile(&arena, BYTES(yaml), &symbols, &complaints);
    ENSURE(run->policy != NULL);
    const struct command command = {
        .kind = COMMAND_POLICY, .yaml = BYTES(yaml), .compiled = run->policy};
    decide(run, &command);
}

static void grant_everybody(struct run *run, uint64_t customers)
{
    for (uint64_t number = 0; number < customers; number++) {
        char text[32];
        const struct command command = {
            .kind = COMMAND_GRANT,
            .customer = name_of(text, number),
            .category = CATEGORY_PAID,
            .nano = 1000 * NANO_PER_CREDIT,
        };
        decide(run, &command);
    }
    end_batch(run);
}

static void consume_at_random(struct run *run, uint64_t customers, uint64_t decisions, double pace)
{
    struct prng prng = {1};
    const int64_t start_ms = run->now_ms;
    for (uint64_t number = 0; number < decisions; number++) {
        char text[32];
        run->now_ms = start_ms + (int64_t)((double)number * 1000 / pace);
        const struct command command = {
            .kind = COMMAND_CONSUME,
            .customer = name_of(text, prng_below(&prng, customers)),
            .subject = BYTES("alice"),
            .feature = BYTES("chat"),
            .quantity_count = 2,
            .quantities = {{BYTES("input_tokens"), 100 + prng_below(&prng, 4000)},
                           {BYTES("output_tokens"), 1 + prng_below(&prng, 400)}},
            .attribute_count = 2,
            .attributes = {           {BYTES("endpoint"), BYTES("/v1/responses")},
                           {BYTES("model"), BYTES("gpt")}                      },
            .has_duration = true,
            .duration_ms = 1 + prng_below(&prng, 9000),
        };
        decide(run, &command);
    }
    end_batch(run);
}

/* --- settling -------------------------------------------------------------------------------- */

struct books {
    char directory[256];
    struct ledger *ledger;
    struct settler *settler;
};

static void open_books(struct books *books, struct run *run, uint64_t durable, uint64_t customers)
{
    struct batch_header genesis;
    struct bytes body;
    ENSURE(run->journal->calls->read(run->journal, 1, &genesis, &body) == JOURNAL_OK);
    const struct ledger_origin origin = {.genesis_hash = genesis.hash, .key = KEY};
    struct ledger_detail detail = {{0}};
    if (ledger_open(books->directory, &origin, &books->ledger, &detail) != LEDGER_OK) {
        fprintf(stderr, "%s\n", detail.text);
        exit(1);
    }
    const struct settler_parts parts = {
        .ledger = books->ledger,
        .reader = run->journal,
        .durable = durable,
        .customers_max = (uint32_t)customers + 16,
        .now_ns = clock_monotonic_ns,
    };
    if (settler_open(&parts, &books->settler, &detail) != LEDGER_OK) {
        fprintf(stderr, "%s\n", detail.text);
        exit(1);
    }
}

static void close_books(struct books *books)
{
    settler_close(books->settler);
    ledger_close(books->ledger);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    ENSURE(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

/* Until the cursor is there; what can wait gets its turns on the way. */
static void settle_through(struct books *books, uint64_t sequence)
{
    settler_set_durable(books->settler, sequence);
    while (settler_cursor(books->settler) < sequence)
        if (!settle_step(books->settler) && settler_fault(books->settler) != LEDGER_OK) {
            fprintf(stderr, "%s\n", settler_detail(books->settler));
            exit(1);
        }
}

static void run_deferred(struct books *books, uint64_t first, uint64_t last, uint64_t decisions)
{
    settle_through(books, first);
    const uint64_t bytes_before = ledger_file_bytes(books->ledger);
    const double cpu_start = cpu_seconds();
    const double start = seconds();
    settle_through(books, last);
    const double spent = seconds() - start;
    const double rate = (double)decisions / spent;
    printf("  at once       %8.0f decisions/s  %8.0f rows/s  %5.0f bytes a decision  (%.2f of a "
           "core)\n",
           rate, 3 * rate,
           (double)(ledger_file_bytes(books->ledger) - bytes_before) / (double)decisions,
           (cpu_seconds() - cpu_start) / spent);
}

static void run_idle(struct books *books)
{
    const double roll_start = seconds();
    while (settle_step(books->settler)) {
    }
    printf("  what can wait %8.2f s until all is rolled up and the checkpoint is whole\n",
           seconds() - roll_start);
}

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

struct offer {
    struct batch_header header;
    struct bytes body;
};

/* Offers a batch every PACED_BATCH_MS, and looks how long each takes to be settled. */
static void run_paced(struct books *books, struct run *run, uint64_t first, uint64_t last)
{
    ENSURE(first < last);
    const uint64_t batches = last - first;
    struct offer *offers = calloc(batches, sizeof *offers);
    double *offered_s = calloc(batches, sizeof *offered_s);
    double *lag_s = calloc(batches, sizeof *lag_s);
    ENSURE(offers != NULL && offered_s != NULL && lag_s != NULL);
    /* The journal in memory is one thread's: what is offered was read before, and a batch that is
     * dropped is the settler's to read. */
    for (uint64_t at = 0; at < batches; at++)
        ENSURE(run->journal->calls->read(run->journal, first + 1 + at, &offers[at].header,
                                         &offers[at].body) == JOURNAL_OK);
    struct runner runner;
    ENSURE(runner_start(&runner, "settle", settle_step, books->settler, 100));
    const double cpu_start = cpu_seconds();
    const double start = seconds();
    uint64_t offered = 0;
    uint64_t settled = 0;
    while (settled < batches) {
        const double now_s = seconds();
        if (offered < batches && now_s - start >= (double)offered * PACED_BATCH_MS / 1000) {
            settler_offer(books->settler, &offers[offered].header, offers[offered].body);
            settler_set_durable(books->settler, first + 1 + offered);
            offered_s[offered++] = now_s;
            runner_wake(&runner);
        }
        ENSURE(settler_fault(books->settler) == LEDGER_OK);
        for (const uint64_t cursor = settler_cursor(books->settler); first + settled < cursor;
             settled++)
            lag_s[settled] = now_s - offered_s[settled];
        (void)usleep(500);
    }
    const double spent = seconds() - start;
    const double cpu = cpu_seconds() - cpu_start;
    settler_wind_down(books->settler, clock_monotonic_ns());
    runner_stop(&runner);
    qsort(lag_s, batches, sizeof *lag_s, by_size);
    printf("  lag           p50 %.0f ms  p99 %.0f ms  max %.0f ms over %.1f s  (%.2f of a core, "
           "rollups and the offering thread included)\n",
           lag_s[batches / 2] * 1e3, lag_s[batches * 99 / 100] * 1e3, lag_s[batches - 1] * 1e3,
           spent, cpu / spent);
    const struct settler_counts counts = settler_counts(books->settler);
    printf("  batches       %" PRIu64 " from memory, %" PRIu64 " from the journal, %" PRIu64
           " transactions\n",
           counts.batches_offered, counts.batches_read, counts.transactions);
    free(offers);
    free(offered_s);
    free(lag_s);
}

static uint64_t argument(int count, char **arguments, int at, uint64_t otherwise)
{
    return at < count ? strtoull(arguments[at], NULL, 10) : otherwise;
}

static void make_directory(struct books *books)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(books->directory, sizeof books->directory, "%s/weir-settle-XXXXXX",
                   parent != NULL ? parent : P_tmpdir);
    ENSURE(mkdtemp(books->directory) != NULL);
}

static void remove_directory(const struct books *books)
{
    static const char *const NAMES[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"};
    for (size_t at = 0; at < COUNT_OF(NAMES); at++) {
        char path[FILE_PATH_SIZE];
        ENSURE(file_path(books->directory, NAMES[at], path));
        (void)unlink(path);
    }
    (void)rmdir(books->directory);
}

static void start_engine(struct run *run, uint64_t customers)
{
    const struct engine_ceilings ceilings =
        engine_ceilings_for((UINT64_C(64) << 20) + customers * 2048);
    *run = (struct run){
        .engine = engine_over(zeroes(engine_bytes(ceilings)), ceilings, KEY),
        .fact = zeroes(sizeof *run->fact),
        .due = zeroes(sizeof *run->due),
        .bytes = zeroes(COMMAND_BYTES_MAX),
        .journal = journal_memory_open(KEY, 1),
        .body = buffer_over(zeroes((size_t)BODY_BYTES), (size_t)BODY_BYTES),
        .entries_max = JOURNAL_BATCH_ENTRIES_MAX,
        .now_ms = INT64_C(1777636800000),
    };
}

int main(int count, char **arguments)
{
    const uint64_t customers = argument(count, arguments, 1, 1000000);
    const uint64_t decisions = argument(count, arguments, 2, 1000000);
    const uint64_t pace = argument(count, arguments, 3, 40000);
    struct run run;
    struct books books = {0};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    start_engine(&run, customers);
    install(&run);
    grant_everybody(&run, customers);
    const uint64_t granted = run.journal->tip.sequence;
    consume_at_random(&run, customers, decisions, pace == 0 ? 40000 : (double)pace);
    const uint64_t at_once = run.journal->tip.sequence;
    run.entries_max = (uint32_t)(pace * PACED_BATCH_MS / 1000);
    if (run.entries_max == 0) run.entries_max = 1;
    if (pace != 0) consume_at_random(&run, customers, decisions, (double)pace);
    const uint64_t paced = run.journal->tip.sequence;

    printf("settlement of paid decisions, %" PRIu64 " customers, %" PRIu64 " decisions\n",
           customers, decisions);
    make_directory(&books);
    open_books(&books, &run, granted, customers);
    run_deferred(&books, granted, at_once, decisions);
    if (pace != 0) {
        run_idle(&books);
        const double start = seconds();
        close_books(&books);
        open_books(&books, &run, at_once, customers);
        settle_through(&books, at_once);
        while (settle_step(books.settler)) {
        }
        printf("  restart       %8.2f s until all heads are in memory\n", seconds() - start);
        printf("at %" PRIu64 " decisions/s, a batch every %d ms\n", pace, PACED_BATCH_MS);
        run_paced(&books, &run, at_once, paced);
    }
    close_books(&books);
    remove_directory(&books);
    run.journal->calls->close(run.journal);
    return 0;
}
