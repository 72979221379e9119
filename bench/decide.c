/*
 * decide.c: decisions per second through the engine in process, one core, customers at random.
 *
 *     decide [CUSTOMERS [DECISIONS]]
 *
 * Without arguments for 1,000 customers, whose state stays in the caches, and for 1,000,000, whose
 * state does not. Every decision runs the whole path of the server's loop except sockets and disk:
 * identify and prefetch, what is due, decide, encode command and fact as for the journal, apply.
 * The funding mix is printed, and what a line from memory costs here: a decision touches some 13.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/engine.h"
#include "policy/policy.h"

static const char yaml[] =
    "version: 1\n"
    "defaults: {plan: plus}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "  render: {meters: [requests], unit: requests, divisible: false}\n"
    "  noise: {meters: [requests], unit: requests}\n"
    "  tiles: {meters: [requests], unit: requests, prices: tiles}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"0.001\", per: 1}}}]\n"
    "  tiles: [{name: tile, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  plus:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: "
    "subject}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, scope: subject, windows: [{limit: 4, per: 5h, start: "
    "first_use}, {limit: 8, per: 7d, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      render:\n"
    "        waterfall:\n"
    "          - allowance: {name: frames, windows: [{limit: 512, per: 7d, start: first_use}, "
    "{limit: 600, per: 1d, start: sliding}]}\n"
    "      noise: {waterfall: [{unlimited: {}}]}\n"
    "      tiles:\n"
    "        waterfall:\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n";

static void *zeroes(size_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ENSURE(block != MAP_FAILED);
    (void)madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* What this thread had of the core: others may be at work on it too. */
static double core_seconds(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

enum phase { PHASE_PREFETCH, PHASE_DUE, PHASE_DECIDE, PHASE_ENCODE, PHASE_APPLY, PHASES };

struct run {
    struct engine *engine;
    const struct policy *policy;
    struct fact *fact;
    struct command *command;
    uint8_t *bytes;
    int64_t now_ms;
    uint64_t number;
    uint64_t fact_bytes;
    uint64_t outcomes[4];
    uint64_t by_source[SOURCE_UNLIMITED + 1];
    /* Where the time goes; reading the clock so often slows everything, so only when asked. */
    bool is_split;
    double clock_s; /* what one reading costs */
    double last_s;
    double spent_s[PHASES];
};

static void phase_end(struct run *run, enum phase phase)
{
    if (!run->is_split) return;
    const double now_s = seconds();
    run->spent_s[phase] += now_s - run->last_s - run->clock_s;
    run->last_s = now_s;
}

static struct stamp next_stamp(struct run *run)
{
    run->number++;
    return (struct stamp){
        .now_ms = run->now_ms,
        .position = position_make(2 + run->number / 4000, (uint32_t)(run->number % 4000))};
}

static void decide(struct run *run, const struct command *command)
{
    const struct stamp stamp = next_stamp(run);
    while (engine_due_for(run->engine, run->policy, command, stamp, run->command, run->fact))
        engine_apply(run->engine, run->fact);
    phase_end(run, PHASE_DUE);
    const struct ruling ruling = engine_decide(run->engine, run->policy, command, stamp, run->fact);
    ENSURE(ruling.kind == RULING_FACT);
    phase_end(run, PHASE_DECIDE);
    struct buffer buffer = buffer_over(run->bytes, COMMAND_BYTES_MAX + FACT_BYTES_MAX);
    command_encode(command, &buffer);
    fact_encode(run->fact, &buffer);
    run->fact_bytes += buffer.used;
    phase_end(run, PHASE_ENCODE);
    engine_apply(run->engine, run->fact);
    const struct report *report = &run->fact->report;
    run->outcomes[report->outcome]++;
    for (uint32_t i = 0; i < report->line_count; i++)
        run->by_source[report->lines[i].kind]++;
    phase_end(run, PHASE_APPLY);
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
    const struct ruling ruling =
        engine_decide(run->engine, run->policy, &command, next_stamp(run), run->fact);
    ENSURE(ruling.kind == RULING_FACT);
    engine_apply(run->engine, run->fact);
}

static struct bytes name_of(char text[32], uint64_t number)
{
    const int length = snprintf(text, 32, "customer-%" PRIu64, number);
    return (struct bytes){(const uint8_t *)text, (size_t)length};
}

static const struct command consume = {
    .kind = COMMAND_CONSUME,
    .subject = {             (const uint8_t *)"alice", 5},
    .feature = {              (const uint8_t *)"chat", 4},
    .quantity_count = 1,
    .quantities = {{{(const uint8_t *)"requests", 8}, 1}  },
};

/* Two grants each, and one decision: every block that the measured decisions touch is there. */
static void found_customers(struct run *run, uint64_t customers)
{
    char text[32];
    for (uint64_t i = 0; i < customers; i++) {
        for (enum category category = CATEGORY_PROMOTIONAL; category <= CATEGORY_PAID;
             category += 2) {
            const struct command grant = {
                .kind = COMMAND_GRANT,
                .customer = name_of(text, i),
                .category = category,
                .nano = category == CATEGORY_PAID ? 1000000 * NANO_PER_CREDIT : 3000000};
            decide(run, &grant);
        }
        struct command first = consume;
        first.customer = name_of(text, i);
        decide(run, &first);
    }
    run->now_ms += 8 * DAY_MS;
}

#define TURN 256 /* commands that one turn of a server's loop has at hand */
#define AHEAD 8

/* One turn: commands arrive, and are decided in order while the next few are walked ahead. */
static double turn(struct run *run, struct command *commands, const struct bytes *names)
{
    const double from = core_seconds();
    run->last_s = seconds();
    for (unsigned i = 0; i < TURN; i++) {
        commands[i].customer = names[i];
        commands[i].owner_hint = 0;
        commands[i].fetched = (struct fetched){0};
    }
    for (unsigned i = 0; i < AHEAD; i++)
        engine_prefetch(run->engine, &commands[i]);
    for (unsigned i = 0; i < TURN; i++) {
        for (unsigned ahead = i + 1; ahead <= i + AHEAD && ahead < TURN; ahead++)
            engine_prefetch(run->engine, &commands[ahead]);
        phase_end(run, PHASE_PREFETCH);
        decide(run, &commands[i]);
    }
    return core_seconds() - from;
}

/* The names are made before the clock runs. All windows are over after five decisions a customer,
 * so that the mix is the same for however many of both. */
static double play(struct run *run, uint64_t customers, uint64_t decisions, struct prng *prng)
{
    static char text[TURN][32];
    static struct bytes names[TURN];
    static struct command commands[TURN];
    for (unsigned i = 0; i < TURN; i++)
        commands[i] = consume;
    double spent = 0;
    uint64_t until_jump = 5 * customers;
    for (uint64_t done = 0; done < decisions; done += TURN) {
        for (unsigned i = 0; i < TURN; i++)
            names[i] = name_of(text[i], prng_below(prng, customers));
        spent += turn(run, commands, names);
        run->now_ms += 1;
        if (done < until_jump) continue;
        until_jump += 5 * customers;
        run->now_ms += 8 * DAY_MS;
    }
    return spent / (double)decisions;
}

static void forget_counts(struct run *run)
{
    run->fact_bytes = 0;
    memset(run->outcomes, 0, sizeof run->outcomes);
    memset(run->by_source, 0, sizeof run->by_source);
}

static void print_phases(const struct run *run, uint64_t decisions)
{
    static const char *const names[PHASES] = {"prefetch", "due", "decide", "encode", "apply"};
    printf("  %-28s", "of which, ns");
    for (unsigned i = 0; i < PHASES; i++)
        printf(" %s %.0f", names[i], run->spent_s[i] / (double)decisions * 1e9);
    printf("\n");
}

static double time_denials(struct run *run, const struct command *denied)
{
    enum { DENIALS = 200 };
    double from = 0;
    for (unsigned n = 0; n <= DENIALS; n++) {
        if (n == 1) from = core_seconds(); /* the first makes the room for trials */
        const struct ruling ruling =
            engine_decide(run->engine, run->policy, denied, next_stamp(run), run->fact);
        ENSURE(ruling.kind == RULING_FACT && run->fact->report.outcome == OUTCOME_DENY);
    }
    return (core_seconds() - from) / DENIALS;
}

static void print_denials(const struct run *run, double each, const char *what)
{
    printf("  %-28s %12.1f us with %s, to wait %" PRId64 " s\n", "a denial that says when",
           each * 1e6, what, run->fact->report.retry_after_ms / SECOND_MS);
}

static struct command request_of(enum command_kind kind, struct bytes customer,
                                 struct bytes feature, uint64_t units)
{
    return (struct command){.kind = kind,
                            .customer = customer,
                            .feature = feature,
                            .quantity_count = 1,
                            .quantities = {{BYTES("requests"), units}}};
}

static void open_holds(struct run *run, struct bytes customer, struct bytes feature, unsigned count)
{
    struct command hold = request_of(COMMAND_AUTHORIZE, customer, feature, 1);
    hold.has_ttl = true;
    for (unsigned n = 0; n < count; n++) {
        run->now_ms += SECOND_MS;
        hold.ttl_ms = 9 * HOUR_MS + n * SECOND_MS;
        decide(run, &hold);
    }
}

static void give_lot(struct run *run, struct bytes customer, int64_t credits, int64_t after_ms)
{
    const struct command grant = {.kind = COMMAND_GRANT,
                                  .customer = customer,
                                  .category = CATEGORY_PROMOTIONAL,
                                  .nano = credits * NANO_PER_CREDIT,
                                  .has_effective = after_ms != 0,
                                  .effective_ms = run->now_ms + after_ms,
                                  .has_expires = true,
                                  .expires_ms = run->now_ms + DAY_MS + after_ms};
    decide(run, &grant);
}

/* A customer is refused what only the ends of many holds would free, or many lots that are to come:
 * each refusal looks for the moment at which waiting would help. */
static void measure_denials(struct run *run)
{
    static const unsigned counts[] = {1, 64, 512, 4096};
    char text[32], what[64];
    for (unsigned i = 0; i < COUNT_OF(counts); i++) {
        const struct bytes customer = name_of(text, UINT64_C(1000000000) + i);
        const unsigned drawn = counts[i] < 512 ? counts[i] : 512;
        open_holds(run, customer, BYTES("render"), drawn);
        open_holds(run, customer, BYTES("noise"), counts[i] - drawn);
        const struct command denied = request_of(COMMAND_CONSUME, customer, BYTES("render"), 512);
        snprintf(what, sizeof what, "%u open holds", counts[i]);
        print_denials(run, time_denials(run, &denied), what);
    }
    struct bytes customer = name_of(text, UINT64_C(1000000100));
    for (unsigned n = 0; n < 200; n++)
        give_lot(run, customer, 1, 0);
    open_holds(run, customer, BYTES("tiles"), 200);
    for (unsigned n = 0; n < 55; n++)
        give_lot(run, customer, 1, n * HOUR_MS / 8);
    struct command denied = request_of(COMMAND_CONSUME, customer, BYTES("tiles"), 255);
    print_denials(run, time_denials(run, &denied), "255 lots, 200 of them held");
    denied = request_of(COMMAND_CONSUME, customer, BYTES("tiles"), 256);
    print_denials(run, time_denials(run, &denied), "the same, and no moment helps");
    customer = name_of(text, UINT64_C(1000000101));
    give_lot(run, customer, 5000, 0);
    open_holds(run, customer, BYTES("tiles"), 5000);
    denied = request_of(COMMAND_CONSUME, customer, BYTES("tiles"), 5000);
    print_denials(run, time_denials(run, &denied), "5000 open holds, more than are looked at");
}

enum { LINES = 1 << 23, LINE = 64, READS = 1 << 21 };

/* What reading lines of a block that no cache holds takes, each: when the place of the next depends
 * on what was read, and when many are on their way at once. */
static inline __attribute__((always_inline)) double read_lines(const uint8_t *block, bool waits)
{
    uint64_t x = 7;
    uint64_t sum = 0;
    const double from = core_seconds();
    for (unsigned i = 0; i < READS; i++) {
        const uint8_t read = block[(x >> 32) % LINES * LINE];
        x = x * UINT64_C(6364136223846793005) + (waits ? read : 1);
        sum += read;
    }
    ENSURE(sum == READS);
    return (core_seconds() - from) / READS;
}

static void measure_memory(void)
{
    uint8_t *block = zeroes((size_t)LINES * LINE);
    for (size_t i = 0; i < LINES; i++)
        block[i * LINE] = 1;
    printf("a line from memory: %.0f ns when it is waited for, %.0f ns among others\n",
           read_lines(block, true) * 1e9, read_lines(block, false) * 1e9);
    munmap(block, (size_t)LINES * LINE);
}

static double clock_cost(void)
{
    enum { READINGS = 1000000 };
    const double from = seconds();
    for (int i = 0; i < READINGS; i++)
        (void)seconds();
    return (seconds() - from) / READINGS;
}

static void measure(uint64_t customers, uint64_t decisions)
{
    const struct engine_ceilings ceilings = engine_ceilings_for((customers + 65536) * 2048);
    struct run run = {.now_ms = INT64_C(1777636800000), .clock_s = clock_cost()};
    run.engine = engine_over(zeroes(engine_bytes(ceilings)), ceilings,
                             (struct hash_key){
                                 {1, 2}
    });
    run.fact = zeroes(sizeof *run.fact);
    run.command = zeroes(sizeof *run.command);
    run.bytes = zeroes(COMMAND_BYTES_MAX + FACT_BYTES_MAX);
    install(&run);
    struct prng prng = {7};
    printf("engine in process, one core, %" PRIu64
           " customers (2 grants, 2 windows, 1 rate slot, 1 "
           "subject each)\n",
           customers);
    found_customers(&run, customers);
    forget_counts(&run);
    const double each = play(&run, customers, decisions, &prng);
    printf("  %-28s %12.0f decisions/s   %5.0f ns each   %" PRIu64 " journal bytes each\n",
           "decide+encode+apply", 1 / each, each * 1e9, run.fact_bytes / decisions);
    printf("  %-28s allow %" PRIu64 ", deny %" PRIu64 "; lines: allowance %" PRIu64
           ", grants %" PRIu64 "\n",
           "mix", run.outcomes[OUTCOME_ALLOW], run.outcomes[OUTCOME_DENY],
           run.by_source[SOURCE_ALLOWANCE], run.by_source[SOURCE_GRANTS]);
    const struct engine_counts counts = engine_counts(run.engine);
    printf("  %-28s %12" PRIu64 " bytes\n", "state per customer", counts.bytes_live / customers);
    run.is_split = true;
    (void)play(&run, customers, decisions / 4, &prng);
    print_phases(&run, decisions / 4);
    run.is_split = false;
    measure_denials(&run);
}

int main(int argc, char **argv)
{
    const uint64_t decisions = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000000;
    if (argc > 1) {
        measure(strtoull(argv[1], NULL, 10), decisions);
        return 0;
    }
    measure_memory();
    measure(1000, decisions);
    measure(1000000, decisions);
    return 0;
}
