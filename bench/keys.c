/*
 * keys.c: what idempotency keys cost: memory, disk, and time, at so many new keys a second.
 *
 *     keys DIRECTORY [KEYS_PER_SECOND [SECONDS]]
 *
 * Binds the keys of SECONDS (3,600: an hour) in the engine, moves them to a file with the steps
 * that the server's loop and desk take, in turn on one thread, and asks for them in the state, in
 * the file, and through the filters of a day. Opens the file anew, as a start does. The figures of
 * a day are 24 times those of an hour, for the default retention. DIRECTORY should not be on a
 * tmpfs.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "platform/platform.h"
#include "server/filing.h"

enum { FILES = 24, LOOKS = 200000, COLD_LOOKS = 2000, DURABLE = 1 << 30 };

struct run {
    const char *directory;
    uint64_t rate;
    uint64_t keys;
    struct engine *engine;
    struct keys *set;
    struct key_desk desk;
    struct harm harm;
    struct filing filing;
    struct fact *fact;
    struct command command;
    int64_t now_ms;
};

static const struct hash_key hash_key = {
    {1, 2}
};

static void *zeroes(uint64_t bytes)
{
    void *block = memory_reserve(bytes);
    ENSURE(block != NULL);
    return block;
}

static double seconds(void)
{
    return (double)clock_monotonic_ns() / 1e9;
}

/* Of this thread alone: what it costs, whoever else is on the machine. */
static double cpu_seconds(void)
{
    struct timespec spent;
    ENSURE(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent) == 0);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static double resident_mb(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ENSURE(file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2);
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static struct hash128 key_hash(uint64_t number)
{
    return hash_128(hash_key, (struct bytes){(const uint8_t *)&number, sizeof(number)});
}

static void print(const char *what, double value, const char *unit)
{
    printf("  %-52s %12.*f %s\n", what, value < 10 ? 3 : value < 1000 ? 1 : 0, value, unit);
}

/* ---- the state */

static void bind_keys(struct run *run)
{
    const struct engine_ceilings ceilings = {.customers = 1024,
                                             .scopes = 1024,
                                             .slots = 4096,
                                             .rings = 128,
                                             .grants = 2048,
                                             .holds = 256,
                                             .lines = 1024,
                                             .keys = (uint32_t)(run->keys * 2)};
    run->engine = engine_over(zeroes(engine_bytes(ceilings)), ceilings, hash_key);
    run->fact = zeroes(sizeof(*run->fact));
    run->command = (struct command){.kind = COMMAND_CONSUME,
                                    .customer = BYTES("acme"),
                                    .feature = BYTES("chat"),
                                    .key = BYTES("k"),
                                    .has_owner = true,
                                    .has_key_hash = true,
                                    .key_elsewhere = KEY_UNSOUGHT};
    const uint64_t body_hash = command_body_hash(hash_key, &run->command);
    const double before_mb = resident_mb();
    const double from = cpu_seconds();
    for (uint64_t i = 0; i < run->keys; ++i) {
        run->fact->effect_count = 1;
        run->fact->effects[0].kind = EFFECT_KEY;
        run->fact->effects[0].key.hash = key_hash(i);
        run->fact->effects[0].key.body_hash = body_hash;
        run->fact->effects[0].key.position = position_make(2 + i / 4000, (uint32_t)(i % 4000));
        run->fact->effects[0].key.hold = 0;
        run->fact->effects[0].key.until_ms = run->now_ms + DAY_MS;
        engine_apply(run->engine, run->fact);
    }
    const double spent = cpu_seconds() - from;
    const double mb = resident_mb() - before_mb;
    print("state: memory of an hour's keys", mb, "MB");
    print("state: bytes a key, index included", mb * 1e6 / (double)run->keys, "bytes");
    print("state: binding a key", spent / (double)run->keys * 1e9, "ns");
}

static void ask_state(struct run *run, enum ruling_kind wanted, uint64_t from_key, const char *what)
{
    static struct policy policy;
    struct prng prng = {3};
    double spent = 0;
    enum { TURN = 64 };
    for (uint64_t done = 0; done < LOOKS; done += TURN) {
        struct hash128 hashes[TURN];
        for (unsigned i = 0; i < TURN; ++i)
            hashes[i] = key_hash(from_key + prng_below(&prng, run->keys));
        const double from = cpu_seconds();
        for (unsigned i = 0; i < TURN; ++i) {
            run->command.key_hash = hashes[i];
            const struct stamp stamp = {run->now_ms, position_make(DURABLE, 0)};
            const struct ruling ruling =
                engine_decide(run->engine, &policy, &run->command, stamp, run->fact);
            ENSURE(ruling.kind == wanted);
        }
        spent += cpu_seconds() - from;
    }
    print(what, spent / LOOKS * 1e9, "ns");
}

/* ---- to a file */

struct spent {
    double sum;
    double most;
    uint64_t count;
};

static void add(struct spent *spent, double one)
{
    spent->sum += one;
    spent->count++;
    if (one > spent->most) spent->most = one;
}

static struct filing_time time_of(const struct run *run)
{
    return (struct filing_time){
        .now_ms = run->now_ms, .durable_before = position_make(DURABLE, 0), .retention_ms = DAY_MS};
}

static struct keys *open_set(const struct run *run, uint32_t piece)
{
    struct keys_parts parts = {
        .directory = run->directory, .memory_max = UINT64_C(1) << 40, .piece = piece};
    return keys_over(zeroes(keys_bytes(piece)), parts);
}

static void file_keys(struct run *run)
{
    const uint32_t piece = filing_piece((uint32_t)(run->keys * 2));
    struct spent loop = {0};
    struct spent desk = {0};
    char detail[KEY_FILE_DETAIL_SIZE];
    run->set = open_set(run, piece);
    const bool is_accepted = keys_accept(run->set, detail) == KEY_FILE_OK;
    ENSURE(is_accepted);
    key_desk_start(&run->desk, run->set, &run->harm);
    filing_start(&run->filing, run->engine, run->set, piece, time_of(run));
    run->now_ms += HOUR_MS;
    for (;;) {
        struct key_order order;
        bool has_order = false;
        const double cpu_from = cpu_seconds();
        const bool goes_on = filing_step(&run->filing, time_of(run), &order, &has_order);
        add(&loop, cpu_seconds() - cpu_from);
        if (has_order) {
            struct key_end end;
            key_desk_order(&run->desk, &order);
            const double from = seconds();
            const bool has_stepped = key_desk_step(&run->desk);
            add(&desk, seconds() - from);
            const bool has_end = key_desk_take_end(&run->desk, &end);
            ENSURE(has_stepped && has_end && end.fault == KEY_FILE_OK);
            filing_end(&run->filing, &end, run->now_ms);
        } else if (!goes_on && run->filing.stage == FILING_IDLE) {
            break;
        }
    }
    const struct keys_status status = keys_status(run->set);
    ENSURE(status.kept == run->keys && engine_counts(run->engine).keys == 0);
    print("file: the loop's part, in all (processor)", loop.sum, "s");
    print("file: the loop's part, longest of its turns (processor)", loop.most * 1e6, "us");
    print("file: the desk's part, in all", desk.sum, "s");
    print("file: the desk's part, longest of its pieces", desk.most * 1e3, "ms");
    print("file: memory for sorting", (double)piece * 2 * sizeof(struct kept_key) / 1e6, "MB");
    print("file: an hour's on disk", (double)status.disk_bytes / 1e6, "MB");
    print("file: an hour's filter and page index in memory", (double)status.memory_bytes / 1e6,
          "MB");
    printf("  %-52s memory: state %.0f (an hour) to %.0f MB (two), filters %.0f MB; disk %.1f GB\n",
           "a day's keys at this rate", (double)run->keys * 52.2 / 1e6,
           (double)run->keys * 104.4 / 1e6, (double)status.memory_bytes * FILES / 1e6,
           (double)status.disk_bytes * FILES / 1e9);
}

/* ---- asking files */

static void forget_pages(const struct run *run)
{
    char name[KEY_FILE_NAME_SIZE];
    char path[FILE_PATH_SIZE];
    key_file_name(1, name);
    ENSURE(file_path(run->directory, name, path));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && close(fd) == 0);
}

static void look(struct run *run, uint64_t looks, const char *what)
{
    struct prng prng = {11};
    struct spent spent = {0};
    char detail[KEY_FILE_DETAIL_SIZE];
    for (uint64_t i = 0; i < looks; ++i) {
        struct key_question question;
        struct key_answer answer;
        const struct hash128 hash = key_hash(prng_below(&prng, run->keys));
        const double from = seconds();
        ENSURE(keys_may_have(run->set, hash, 0, &question));
        keys_look(run->set, &question, &answer, detail);
        add(&spent, seconds() - from);
        ENSURE(answer.found == KEY_LOOK_FOUND);
    }
    print(what, spent.sum / (double)looks * 1e6, "us");
}

/* As keys_may_have goes through a day's files; false hits counted. */
static uint64_t strangers(const struct key_filter *filters)
{
    enum { TURN = 8 };
    struct prng prng = {17};
    double spent = 0;
    uint64_t hits = 0;
    for (uint64_t done = 0; done < LOOKS; done += TURN) {
        struct hash128 hashes[TURN];
        for (unsigned i = 0; i < TURN; ++i)
            hashes[i] = (struct hash128){
                {prng_next(&prng), prng_next(&prng)}
            };
        const double from = cpu_seconds();
        for (unsigned i = 0; i < TURN; ++i) {
            bool may_have = false;
            for (unsigned f = 0; f < FILES; ++f)
                may_have |= key_filter_may_have(&filters[f], hashes[i]);
            hits += may_have;
        }
        spent += cpu_seconds() - from;
    }
    print("filters: a new key through 24", spent / LOOKS * 1e9, "ns");
    return hits;
}

/* Sorted keys, as a file gives them; spread as SipHash spreads. */
static void ask_filters(const struct run *run)
{
    struct key_filter filters[FILES];
    struct prng prng = {23};
    const uint64_t step = UINT64_MAX / run->keys;
    for (unsigned f = 0; f < FILES; ++f) {
        filters[f] = key_filter_over(zeroes(key_filter_bytes(run->keys)), run->keys);
        for (uint64_t i = 0; i < run->keys; ++i)
            key_filter_add(&filters[f],
                           (struct hash128){
                               {i * step + prng_below(&prng, step), prng_next(&prng)}
            });
    }
    const uint64_t hits = strangers(filters);
    print("filters: new keys that must ask a file all the same", (double)hits / LOOKS * 100, "%");
    for (unsigned f = 0; f < FILES; ++f)
        memory_release(filters[f].lines, key_filter_bytes(run->keys));
}

static void tell(void *self, enum key_file_fault fault, const char *detail)
{
    (void)self;
    printf("%s: %s\n", key_file_fault_text(fault), detail);
}

static void start_again(struct run *run, const char *what)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    uint32_t bad = 0;
    keys_close(run->set);
    run->set = open_set(run, 4096);
    const double from = seconds();
    const double cpu_from = cpu_seconds();
    const enum key_file_fault fault = keys_open(run->set, run->now_ms, tell, NULL, &bad, detail);
    const double spent = seconds() - from;
    const double cpu_spent = cpu_seconds() - cpu_from;
    ENSURE(fault == KEY_FILE_OK && bad == 0);
    const double bytes = (double)keys_status(run->set).disk_bytes;
    print(what, spent, "s");
    print("  of which on a processor", cpu_spent, "s");
    print("  which is, of the latter", bytes / cpu_spent / 1e6, "MB/s");
}

static void clear(const char *directory)
{
    char path[FILE_PATH_SIZE];
    ENSURE(file_path(directory, "keys.weir", path));
    (void)unlink(path);
    ENSURE(file_path(directory, "keys-000001.weir", path));
    (void)unlink(path);
}

static void play(const char *directory, uint64_t rate, uint64_t seconds_of)
{
    struct run run = {.directory = directory,
                      .rate = rate,
                      .keys = rate * seconds_of,
                      .now_ms = INT64_C(1777636800000)};
    printf("%" PRIu64 " new keys a second, %" PRIu64 " s: %" PRIu64 " keys\n", rate, seconds_of,
           run.keys);
    clear(directory);
    bind_keys(&run);
    ask_state(&run, RULING_REPLAY, 0, "state: a key that is there, decided");
    ask_state(&run, RULING_KEY, run.keys, "state: a key that is not, until files are asked");
    file_keys(&run);
    look(&run, LOOKS, "file: a key that is there, page in the page cache");
    forget_pages(&run);
    look(&run, COLD_LOOKS, "file: a key that is there, page on disk");
    ask_filters(&run);
    start_again(&run, "start: verifying an hour's file, in the page cache");
    forget_pages(&run);
    start_again(&run, "start: verifying an hour's file, on disk");
    keys_close(run.set);
    clear(directory);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: keys DIRECTORY [KEYS_PER_SECOND [SECONDS]]\n");
        return 2;
    }
    const uint64_t seconds_of = argc > 3 ? strtoull(argv[3], NULL, 10) : 3600;
    if (argc > 2) {
        play(argv[1], strtoull(argv[2], NULL, 10), seconds_of);
        return 0;
    }
    play(argv[1], 1000, seconds_of);
    play(argv[1], 10000, seconds_of);
    return 0;
}
