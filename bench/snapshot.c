/*
 * snapshot.c: what a snapshot costs the decisions that go on beside it, and what it saves a start.
 *
 *     snapshot DIRECTORY [CUSTOMERS [DECISIONS]]
 *
 * The directory is made; where it has a journal already, only the starts are measured. Customers
 * get two grants each, then decide at random, 64 a turn of the loop, the whole path but sockets:
 * due work, decide, encode, journal with sync, apply. A turn's time is that of its decisions and of
 * its piece of the snapshot, without the journal's, which has a thread of its own in the server.
 * Then DECISIONS more are journaled, and the state is started twice: from the snapshot and what is
 * behind it, and from the journal alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/recovery.h"
#include "server/snapshots.h"

static const char yaml[] =
    "version: 1\n"
    "defaults: {plan: plus}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"0.001\", per: 1}}}]\n"
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
    "          - grants: {category: paid}\n";

enum { TURN = 64, TURNS_MAX = 1 << 20 };

static void *zeroes(uint64_t bytes)
{
    void *block = memory_reserve(bytes);
    ENSURE(block != NULL);
    return block;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    ENSURE(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How long turns took: by the wall, and of the loop's thread alone, which is all that is ours where
 * others use the machine too. */
struct turns {
    uint32_t count;
    int64_t *wall_ns;
    int64_t *own_ns;
};

struct run {
    const char *directory;
    struct engine_ceilings ceilings;
    struct engine *engine;
    struct policies *policies;
    struct journal *journal;
    struct snapshots *snapshots; /* NULL: none yet */
    struct fact *fact;
    struct command *due;
    struct buffer body;
    struct buffer bytes;
    uint32_t entries;
    int64_t now_ms;
    int64_t first_ms;   /* of the entries that wait to be sealed */
    int64_t last_ms;    /* of the last entry */
    int64_t journal_ns; /* spent appending, in no turn */
    uint64_t journaled;
    int64_t mark_ns; /* the longest of setting a mark */
    uint64_t hash;   /* of the state that was made; 0: it was there */
    struct prng prng;
};

static struct stamp stamp_of(const struct run *run)
{
    return (struct stamp){
        .now_ms = run->now_ms,
        .position = position_make(run->journal->tip.sequence + 1, run->entries),
    };
}

/* Seals, and waits for the disk. */
static void append(struct run *run)
{
    struct journal *journal = run->journal;
    if (run->entries == 0) return;
    if (run->snapshots != NULL) {
        const int64_t mark_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        snapshots_note_sealed(run->snapshots, journal->tip.sequence + 1, run->body.used,
                              run->now_ms);
        const int64_t spent_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - mark_ns;
        if (spent_ns > run->mark_ns) run->mark_ns = spent_ns;
    }
    const int64_t from_ns = clock_ns(CLOCK_MONOTONIC);
    const struct batch_header header = {.kind = BATCH_ENTRIES,
                                        .version = JOURNAL_VERSION,
                                        .first_ms = run->first_ms,
                                        .last_ms = run->last_ms,
                                        .entries = run->entries};
    journal->calls->append_start(journal, header, buffer_bytes(&run->body));
    ENSURE(journal->calls->append_finish(journal) == APPEND_COMMITTED);
    run->journal_ns += clock_ns(CLOCK_MONOTONIC) - from_ns;
    if (run->snapshots != NULL)
        snapshots_note_durable(run->snapshots, journal->tip.sequence, journal->tip.hash);
    run->journaled += run->body.used;
    run->entries = 0;
    run->body.used = 0;
}

static void put(struct run *run, const struct command *command)
{
    run->bytes.used = 0;
    command_encode(command, &run->bytes);
    const size_t length = run->bytes.used;
    fact_encode(run->fact, &run->bytes);
    ENSURE(!run->bytes.overflowed);
    const struct bytes all = buffer_bytes(&run->bytes);
    entry_put(&run->body, (struct entry){
                              .at_ms = run->now_ms,
                              .command = {         all.at,              length},
                              .fact = {all.at + length, all.length - length}
    });
    ENSURE(!run->body.overflowed);
    if (run->entries == 0) run->first_ms = run->now_ms;
    run->last_ms = run->now_ms;
    ++run->entries;
    engine_apply(run->engine, run->fact);
}

static void rule(struct run *run, const struct command *command)
{
    const struct policy *policy = run->policies->current->policy;
    if (run->entries >= JOURNAL_BATCH_ENTRIES_MAX - 8 ||
        run->body.used >= (size_t)JOURNAL_BATCH_BYTES_TARGET)
        append(run);
    while (engine_due_for(run->engine, policy, command, stamp_of(run), run->due, run->fact))
        put(run, run->due);
    const struct ruling ruling =
        engine_decide(run->engine, policy, command, stamp_of(run), run->fact);
    ENSURE(ruling.kind == RULING_FACT);
    put(run, command);
}

static void install(struct run *run)
{
    policies_stage(run->policies, BYTES(yaml));
    ENSURE(policies_compile(run->policies, engine_symbols(run->engine)));
    const struct policy *policy = run->policies->spare->policy;
    policies_install(run->policies);
    rule(run, &(struct command){.kind = COMMAND_POLICY, .yaml = BYTES(yaml), .compiled = policy});
    policies_record(run->policies, run->fact);
}

static struct bytes name_of(char text[32], uint64_t number)
{
    const int length = snprintf(text, 32, "customer-%" PRIu64, number);
    return (struct bytes){(const uint8_t *)text, (size_t)length};
}

static void found_customers(struct run *run, uint64_t customers)
{
    char text[32];
    for (uint64_t i = 0; i < customers; ++i)
        for (enum category category = CATEGORY_PROMOTIONAL; category <= CATEGORY_PAID;
             category += 2)
            rule(run, &(struct command){.kind = COMMAND_GRANT,
                                        .customer = name_of(text, i),
                                        .category = category,
                                        .nano = 20000000});
}

static void turn(struct run *run, uint64_t customers, struct turns *turns)
{
    static char text[TURN][32];
    static struct command commands[TURN];
    for (unsigned i = 0; i < TURN; ++i)
        commands[i] =
            (struct command){.kind = COMMAND_CONSUME,
                             .customer = name_of(text[i], prng_below(&run->prng, customers)),
                             .subject = BYTES("alice"),
                             .feature = BYTES("chat"),
                             .quantity_count = 1,
                             .quantities = {{BYTES("requests"), 1}}};
    run->journal_ns = 0;
    const int64_t wall_ns = clock_ns(CLOCK_MONOTONIC);
    const int64_t own_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < TURN; ++i)
        rule(run, &commands[i]);
    engine_sweep(run->engine, run->now_ms, 64 + 2 * TURN, (struct books_known){0});
    if (run->snapshots != NULL) (void)snapshots_turn(run->snapshots);
    const int64_t own_end_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    const int64_t wall_end_ns = clock_ns(CLOCK_MONOTONIC);
    ++run->now_ms;
    if (run->journal_ns != 0 || turns->count == TURNS_MAX) return; /* the journal's work is in it */
    turns->wall_ns[turns->count] = wall_end_ns - wall_ns;
    turns->own_ns[turns->count++] = own_end_ns - own_ns;
}

static struct turns turns_make(void)
{
    return (struct turns){.wall_ns = zeroes(TURNS_MAX * sizeof(int64_t)),
                          .own_ns = zeroes(TURNS_MAX * sizeof(int64_t))};
}

static int by_size(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left;
    const int64_t b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static void print_times(const char *what, int64_t *times_ns, uint32_t count)
{
    if (count == 0) return;
    qsort(times_ns, count, sizeof(*times_ns), by_size);
    printf("  %-44s %7" PRIu32 " turns  p50 %5" PRId64 "  p99 %5" PRId64 "  p99.9 %5" PRId64
           "  max %5" PRId64 " us\n",
           what, count, times_ns[count / 2] / 1000, times_ns[count * UINT64_C(99) / 100] / 1000,
           times_ns[count * UINT64_C(999) / 1000] / 1000, times_ns[count - 1] / 1000);
}

static void open_snapshots(struct run *run)
{
    struct batch_header genesis;
    struct bytes body;
    ENSURE(run->journal->calls->read(run->journal, 1, &genesis, &body) == JOURNAL_OK);
    run->snapshots = snapshots_over(zeroes(snapshots_bytes()),
                                    (struct snapshots_parts){.directory = run->directory,
                                                             .engine = run->engine,
                                                             .policies = run->policies,
                                                             .genesis = genesis.hash,
                                                             .every_bytes = 1});
    ENSURE(snapshots_start_thread(run->snapshots));
}

static void take_snapshot(struct run *run, uint64_t customers)
{
    struct turns turns = turns_make();
    const int64_t from_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t walked = 0;
    append(run);
    open_snapshots(run);
    while (run->snapshots->parts.newest == 0) {
        turn(run, customers, &turns);
        walked += run->snapshots->stage == SNAPSHOTS_WALK;
    }
    printf("  %-44s %7.1f MiB, %.2f s with decisions going on, %" PRIu64 " turns of walking\n",
           "snapshot", (double)run->snapshots->file_bytes / (1 << 20),
           (double)(clock_ns(CLOCK_MONOTONIC) - from_ns) / 1e9, walked);
    print_times("a turn, snapshot under way, wall", turns.wall_ns, turns.count);
    print_times("a turn, snapshot under way, loop's own", turns.own_ns, turns.count);
    printf("  %-44s %7" PRId64 " us\n", "setting the mark, loop's own", run->mark_ns / 1000);
    append(run);
    snapshots_stop(run->snapshots);
    run->snapshots = NULL;
}

static bool go_on(void *self, uint64_t sequence, uint64_t sequence_last)
{
    (void)self;
    return sequence <= sequence_last;
}

static void tell_refused(void *self, const char *detail)
{
    (void)self;
    printf("  refused: %s\n", detail);
}

/* From nothing; gives back the state's hash a moment later, when all that the other swept is over.
 */
static uint64_t start(struct run *run, const char *what, const char *directory)
{
    struct journal *journal = NULL;
    char detail[256];
    ENSURE(journal_sqlite_open_reader(run->directory, &journal, detail) == JOURNAL_OK);
    struct engine *engine = zeroes(engine_bytes(run->ceilings));
    (void)engine_over(engine, run->ceilings, journal->key);
    struct policies *policies = policies_over(zeroes(policies_bytes()));
    const struct recovery_parts parts = {.journal = journal,
                                         .engine = engine,
                                         .ceilings = run->ceilings,
                                         .policies = policies,
                                         .directory = directory,
                                         .scratch = zeroes(sizeof(struct recovery_scratch)),
                                         .progress = go_on,
                                         .refused = tell_refused};
    struct recovery recovery;
    const int64_t wall_ns = clock_ns(CLOCK_MONOTONIC);
    const int64_t own_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    ENSURE(recovery_run(&parts, &recovery) == RECOVERY_DONE);
    printf("  %-44s %7.2f s, %.2f s of it the processor's; %" PRIu64
           " entries of the journal read\n",
           what, (double)(clock_ns(CLOCK_MONOTONIC) - wall_ns) / 1e9,
           (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - own_ns) / 1e9, recovery.entries);
    const uint64_t hash = engine_state_hash(engine, recovery.last_ms + SECOND_MS);
    journal->calls->close(journal);
    memory_release(policies, policies_bytes());
    memory_release(engine, engine_bytes(run->ceilings));
    return hash;
}

/* A directory with customers, a snapshot and so many decisions behind it. */
static void make(struct run *run, uint64_t customers, uint64_t decisions)
{
    run->engine =
        engine_over(zeroes(engine_bytes(run->ceilings)), run->ceilings, run->journal->key);
    run->policies = policies_over(zeroes(policies_bytes()));
    run->due = zeroes(sizeof(*run->due));
    const size_t body_bytes = JOURNAL_BATCH_BYTES_TARGET + ENTRY_BYTES_MAX;
    run->body = buffer_over(zeroes(body_bytes), body_bytes);
    run->bytes = buffer_over(zeroes(ENTRY_BYTES_MAX), ENTRY_BYTES_MAX);
    install(run);

    printf("%" PRIu64 " customers (2 grants, 2 windows, 1 rate slot, 1 subject each)\n", customers);
    found_customers(run, customers);
    struct turns before = turns_make();
    for (uint64_t done = 0; done < 2 * customers; done += TURN)
        turn(run, customers, &before);
    print_times("a turn of 64 decisions, no snapshot, wall", before.wall_ns, before.count);
    print_times("a turn of 64 decisions, no snapshot, own", before.own_ns, before.count);
    take_snapshot(run, customers);
    struct turns after = turns_make();
    for (uint64_t done = 0; done < decisions; done += TURN)
        turn(run, customers, &after);
    append(run);
    run->hash = engine_state_hash(run->engine, run->last_ms + SECOND_MS);
    memory_release(run->engine, engine_bytes(run->ceilings));
    printf("  %-44s %7.1f MiB\n", "journal", (double)run->journaled / (1 << 20));
}

int main(int argc, char **argv)
{
    struct file_detail file_detail;
    char detail[256];
    if (argc < 2) {
        (void)fprintf(stderr, "usage: snapshot DIRECTORY [CUSTOMERS [DECISIONS]]\n");
        return 2;
    }
    const uint64_t customers = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    const uint64_t decisions = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
    struct run run = {.directory = argv[1],
                      .ceilings = engine_ceilings_for((customers + 4096) * 2048),
                      .now_ms = INT64_C(1777636800000),
                      .prng = {7}};
    ENSURE(file_directory_make(run.directory, &file_detail) == FILE_OK);
    ENSURE(journal_sqlite_open(run.directory, entropy_hash_key(), 1, &run.journal, detail) ==
           JOURNAL_OK);
    run.fact = zeroes(sizeof(*run.fact));
    if (run.journal->is_new) make(&run, customers, decisions);
    run.journal->calls->close(run.journal);
    const uint64_t hash = start(&run, "start from the snapshot", run.directory);
    ENSURE(start(&run, "start from the journal alone", NULL) == hash);
    ENSURE(run.hash == 0 || run.hash == hash);
    return 0;
}
