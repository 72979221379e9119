/*
 * server.c: the order of starting and stopping. Lock, journal, state, recovery, clock, threads,
 * policy, and only then the door; the other way round at the end.
 */
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/engine.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "platform/platform.h"
#include "server/access_start.h"
#include "server/http.h"
#include "server/key_start.h"
#include "server/loop.h"
#include "server/manager.h"
#include "server/recovery.h"

#define CLEANUP(function) __attribute__((cleanup(function)))

enum {
    STOP_MS_MAX = 10000,                    /* from the signal to the end */
    EXPORTS_MS_MAX = 5000,                  /* of that for exports under way; then they are cut */
    SETTLE_MS_MAX = 5000,                   /* then, for settling what is journaled */
    FAILED_MS_MAX = 1000,                   /* for the last answers after the journal failed */
    DESCRIPTORS_SPARE = 64 + KEY_FILES_MAX, /* besides connections */
    KEY_FILTERS_SHARE = 4                   /* of --memory, for the filters over key files */
};

struct reserved {
    void *block;
    uint64_t bytes;
};

struct server {
    struct server_options options;
    struct manager manager;
    struct file_lock lock;
    int signal_fd;
    struct journal *journal;
    struct journal *reader;
    struct reserved state;
    struct reserved desk_memory;
    struct reserved policy_memory;
    struct reserved loop_memory;
    struct reserved keys_memory;
    struct reserved snapshots_memory;
    struct snapshots *snapshots;
    struct journal_hash genesis;
    struct keys *keys;
    struct engine_ceilings ceilings;
    struct engine *engine;
    struct recovery recovered;
    struct clock clock;
    struct bytes admin_key;
    char admin_key_block[ACCESS_TOKEN_BYTES_MAX + 2];
    struct wake wake;
    struct policies *policies;
    struct desk *desk;
    struct journaling journaling;
    struct settling settling;
    struct survey survey;
    struct ledger_reader *books; /* the desk's */
    struct loop *loop;
    struct tls *tls; /* until the front end has it */
    struct http *http;
    struct doors doors; /* beside it */
    bool has_wake;
    bool is_stopping;
    bool is_reloading;
    bool is_hurried; /* asked to stop once more */
    bool is_clean;   /* drained: what is settled now need not be at the next start */
    int64_t recovery_began_ns;
    int64_t recovery_told_ns;
    int64_t recovery_took_ms;
};

static int64_t elapsed_ms(int64_t since_ns)
{
    return (clock_monotonic_ns() - since_ns) / 1000000;
}

static bool reserve(struct reserved *reserved, uint64_t bytes, const char *what)
{
    reserved->bytes = bytes;
    reserved->block = memory_reserve(bytes);
    if (reserved->block != NULL) return true;
    (void)fprintf(stderr, "weir: cannot reserve %" PRIu64 " MiB of address space for %s\n",
                  bytes >> 20, what);
    return false;
}

static void release(struct reserved *reserved)
{
    if (reserved->block != NULL) memory_release(reserved->block, reserved->bytes);
    reserved->block = NULL;
}

/* Also of a server that was started in part. */
static void server_close(struct server *server)
{
    doors_close(&server->doors);
    survey_stop(&server->survey);
    if (server->desk != NULL) desk_stop(server->desk);
    if (server->snapshots != NULL) snapshots_stop(server->snapshots);
    journaling_stop(&server->journaling);
    if (server->books != NULL) ledger_reader_close(server->books);
    settling_close(&server->settling, server->is_clean ? SETTLE_MS_MAX : 0);
    if (server->reader != NULL) server->reader->calls->close(server->reader);
    if (server->journal != NULL) server->journal->calls->close(server->journal);
    if (server->keys != NULL) keys_close(server->keys);
    release(&server->snapshots_memory);
    release(&server->keys_memory);
    release(&server->loop_memory);
    release(&server->desk_memory);
    release(&server->policy_memory);
    release(&server->state);
    if (server->has_wake) wake_close(&server->wake);
    if (server->signal_fd >= 0) (void)close(server->signal_fd);
    tls_free(server->tls);
    file_unlock(&server->lock);
    manager_close(&server->manager);
}

/* ---- the data directory */

/* Founding moves a whole journal into place, so a file without bytes is what is left of one. */
static bool refuse_empty_journal(const char *directory)
{
    char path[FILE_PATH_SIZE];
    if (!file_path(directory, "journal.db", path) || !file_is_empty(path)) return false;
    (void)fprintf(stderr,
                  "weir: %s is empty, which a journal never is: restore the data directory from a "
                  "backup, or move the file away to start anew\n",
                  path);
    return true;
}

/* What only a journal's server writes. */
static bool find_trace(const char *directory, char path_out[FILE_PATH_SIZE])
{
    static const char *const traces[] = {"journal.db-wal", "ledger.db", "keys.weir"};
    for (unsigned i = 0; i < COUNT_OF(traces); ++i)
        if (file_path(directory, traces[i], path_out) && file_is_there(path_out)) return true;
    return false;
}

static bool has_journal(const char *directory)
{
    char path[FILE_PATH_SIZE];
    return !file_path(directory, "journal.db", path) || file_is_there(path);
}

/* A journal is founded in a directory that has none of its traces: beside a new one, the old one's
 * books and keys would be nobody's. */
static bool refuse_lost_journal(const char *directory)
{
    char path[FILE_PATH_SIZE];
    if (has_journal(directory) || !find_trace(directory, path)) return false;
    (void)fprintf(stderr,
                  "weir: journal.db is missing, but %s is there: restore the data directory from a "
                  "backup, or start anew in an empty one\n",
                  path);
    return true;
}

/* Without keys everything listens on loopback only. */
static bool check_addresses(const struct server *server, bool has_keys)
{
    const struct server_options *options = &server->options;
    if (!access_check_address(has_keys, "--http", &options->address)) return false;
    if (options->resp.is_open && !access_check_address(has_keys, "--resp", &options->resp.address))
        return false;
    return !options->grpc.is_open ||
           access_check_address(has_keys, "--grpc", &options->grpc.address);
}

static void tell_no_policy(const struct server *server)
{
    (void)fprintf(stderr, "weir serve: --policy is missing: %s has no policy yet\n",
                  server->options.data);
}

/* A first start that will be refused by its options founds nothing. */
static bool may_found(const struct server *server)
{
    char path[FILE_PATH_SIZE];
    const char *directory = server->options.data;
    if (has_journal(directory) || find_trace(directory, path)) return true;
    if (!check_addresses(server, server->admin_key.length != 0)) return false;
    if (server->options.policy_file != NULL) return true;
    tell_no_policy(server);
    return false;
}

static bool open_journal(struct server *server)
{
    const char *directory = server->options.data;
    struct file_detail file_detail;
    char detail[256];
    if (!may_found(server)) return false;
    if (file_directory_make(directory, &file_detail) != FILE_OK ||
        file_lock(directory, &server->lock, &file_detail) != FILE_OK) {
        (void)fprintf(stderr, "weir: %s\n", file_detail.text);
        return false;
    }
    if (refuse_empty_journal(directory) || refuse_lost_journal(directory)) return false;
    enum journal_fault fault = journal_sqlite_open_as_it_is(
        directory, entropy_hash_key(), entropy_u64(), &server->journal, detail);
    if (fault == JOURNAL_OK) fault = journal_sqlite_open_reader(directory, &server->reader, detail);
    if (fault == JOURNAL_OK) return true;
    (void)fprintf(stderr, "weir: %s: %s: %s\n", directory, journal_fault_text(fault), detail);
    return false;
}

static bool start_state(struct server *server)
{
    server->ceilings = engine_ceilings_for(server->options.memory_bytes);
    if (!reserve(&server->state, engine_bytes(server->ceilings), "the state (--memory)"))
        return false;
    if (!reserve(&server->policy_memory, policies_bytes(), "policies")) return false;
    if (!reserve(&server->desk_memory, desk_bytes(), "the desk")) return false;
    if (!reserve(&server->loop_memory, loop_bytes(), "the loop")) return false;
    if (!reserve(&server->snapshots_memory, snapshots_bytes(), "snapshots")) return false;
    server->engine = engine_over(server->state.block, server->ceilings, server->journal->key);
    server->policies = policies_over(server->policy_memory.block);
    return true;
}

/* ---- key files */

static void tell_key_file(void *self, const char *text)
{
    (void)self;
    (void)fprintf(stderr, "weir: %s\n", text);
}

/* The time that this server will not be before. */
static int64_t earliest_ms(const struct server *server)
{
    const int64_t floor_ms = server->journal->tip.last_ms;
    if (!server->options.has_test_clock) {
        struct clock clock = clock_real(floor_ms);
        return clock_now_ms(&clock);
    }
    return server->options.test_clock_ms > floor_ms ? server->options.test_clock_ms : floor_ms;
}

static bool open_keys(struct server *server)
{
    struct batch_header genesis;
    struct bytes body;
    char detail[KEY_START_DETAIL_SIZE];
    const uint32_t piece = filing_piece(server->ceilings.keys);
    if (!reserve(&server->keys_memory, keys_bytes(piece), "sorting keys")) return false;
    if (server->journal->calls->read(server->journal, 1, &genesis, &body) != JOURNAL_OK) {
        (void)fprintf(stderr, "weir: %s: the journal's first batch cannot be read: %s\n",
                      server->options.data, server->journal->detail);
        return false;
    }
    struct keys_parts parts = {.directory = server->options.data,
                               .memory_max = server->options.memory_bytes / KEY_FILTERS_SHARE,
                               .piece = piece};
    _Static_assert(sizeof parts.genesis.byte == sizeof genesis.hash.byte, "both are SHA-256");
    memcpy(parts.genesis.byte, genesis.hash.byte, sizeof parts.genesis.byte);
    server->genesis = genesis.hash;
    server->keys = keys_over(server->keys_memory.block, parts);
    struct reserved scratch = {0};
    if (!reserve(&scratch, sizeof(struct fact), "a fact")) return false;
    const bool is_open = key_start(&(struct key_start){.journal = server->journal,
                                                       .keys = server->keys,
                                                       .now_ms = earliest_ms(server),
                                                       .scratch = scratch.block,
                                                       .tell = tell_key_file},
                                   detail);
    release(&scratch);
    if (!is_open) (void)fprintf(stderr, "weir: %s\n", detail);
    return is_open;
}

/* ---- recovery */

static bool asks_to_end(int signal)
{
    return signal != 0 && signal != SIGHUP;
}

static bool tell_recovery(void *self, uint64_t sequence, uint64_t sequence_last)
{
    struct server *server = self;
    if (asks_to_end(signals_take(server->signal_fd))) return false;
    if (elapsed_ms(server->recovery_told_ns) < 1000) return true;
    server->recovery_told_ns = clock_monotonic_ns();
    manager_recovering(&server->manager, sequence, sequence_last);
    struct log_line line = log_begin(LOG_INFO, "recovering");
    log_number(&line, "batch", (int64_t)sequence);
    log_number(&line, "of", (int64_t)sequence_last);
    log_end(&line);
    return true;
}

/* A journal may begin later than it was founded only where an entry says so. */
static bool check_cut(const struct server *server)
{
    const uint64_t first = server->journal->first;
    const uint64_t sealed = engine_cut(server->engine).first;
    if (first <= 2 || first <= sealed) return true;
    (void)fprintf(stderr,
                  "weir: %s: the journal's batches 2 to %" PRIu64
                  " are missing, and no entry says that they were cut: restore the data directory "
                  "from a backup\n",
                  server->options.data, first - 1);
    return false;
}

static void tell_refused(void *self, const char *detail)
{
    const struct server *server = self;
    struct log_line line = log_begin(LOG_WARN, "snapshot_refused");
    log_text(&line, "detail", detail);
    log_end(&line);
    (void)fprintf(stderr, "weir: %s: %s: it is not used\n", server->options.data, detail);
}

/* As text, the lines for people tell of start and end, and once is enough. */
static bool is_told_to_machines(void)
{
    return log_format() == LOG_AS_JSON;
}

static void log_recovered(const struct server *server)
{
    if (!is_told_to_machines()) return;
    struct log_line line = log_begin(LOG_INFO, "recovered");
    log_number(&line, "entries", (int64_t)server->recovered.entries);
    log_number(&line, "batches", (int64_t)server->recovered.batches);
    log_number(&line, "snapshot", (int64_t)server->recovered.snapshot);
    log_number(&line, "ms", server->recovery_took_ms);
    log_end(&line);
}

static void tell_recovered(const struct server *server)
{
    const struct recovery *recovered = &server->recovered;
    log_recovered(server);
    char from[64] = "";
    if (recovered->snapshot != 0)
        (void)snprintf(from, sizeof(from), " behind the snapshot of batch %" PRIu64,
                       recovered->snapshot);
    if (server->journal->is_new)
        (void)printf("weir: data directory %s, new\n", server->options.data);
    else
        (void)printf("weir: data directory %s, recovered %" PRIu64 " entries of %" PRIu64
                     " batches%s in %" PRId64 " ms\n",
                     server->options.data, recovered->entries, recovered->batches, from,
                     server->recovery_took_ms);
}

static bool recover(struct server *server)
{
    struct reserved scratch = {0};
    if (!reserve(&scratch, sizeof(struct recovery_scratch), "facts")) return false;
    server->recovery_began_ns = server->recovery_told_ns = clock_monotonic_ns();
    const struct recovery_parts parts = {.journal = server->journal,
                                         .engine = server->engine,
                                         .ceilings = server->ceilings,
                                         .policies = server->policies,
                                         .keys = server->keys,
                                         .scratch = scratch.block,
                                         .directory = server->options.data,
                                         .progress = tell_recovery,
                                         .refused = tell_refused,
                                         .self = server};
    const enum recovery_end end = recovery_run(&parts, &server->recovered);
    release(&scratch);
    server->recovery_took_ms = elapsed_ms(server->recovery_began_ns);
    switch (end) {
    case RECOVERY_DONE:
        if (!check_cut(server)) return false;
        break;
    case RECOVERY_STOPPED:
        server->is_stopping = true;
        return true;
    case RECOVERY_FAILED:
        (void)fprintf(stderr, "weir: %s: %s\n", server->options.data, server->recovered.detail);
        return false;
    }
    tell_recovered(server);
    return true;
}

/* Time never goes back, so the server lives in the journal's future until the wall clock is there
 * too: after a test clock far ahead, or with a wall clock that is wrong. */
static void tell_clock_ahead(const struct server *server)
{
    const struct clock_state state = clock_state(&server->clock);
    char text[INSTANT_TEXT_SIZE];
    if (state.ahead_ms <= MINUTE_MS) return;
    (void)calendar_format(state.now_ms, text);
    (void)fprintf(stderr,
                  "weir: WARNING: the journal ends at %s, %" PRId64
                  " s after the wall clock: time goes on from there\n",
                  text, state.ahead_ms / SECOND_MS);
}

static void start_clock(struct server *server)
{
    const int64_t floor_ms = server->recovered.last_ms;
    char text[INSTANT_TEXT_SIZE];
    if (!server->options.has_test_clock) {
        server->clock = clock_real(floor_ms);
        tell_clock_ahead(server);
        return;
    }
    const int64_t asked_ms = server->options.test_clock_ms;
    const int64_t start_ms = asked_ms > floor_ms ? asked_ms : floor_ms;
    server->clock = clock_test(start_ms);
    (void)calendar_format(start_ms, text);
    (void)printf("weir: test clock at %s%s\n", text,
                 start_ms > asked_ms ? ", where the journal ends" : "");
}

/* ---- the books */

static bool open_books(struct server *server)
{
    struct ledger_detail detail = {0};
    const struct settling_parts parts = {.directory = server->options.data,
                                         .journal = server->journal,
                                         .customers_max = server->ceilings.customers,
                                         .usage_for_ms = server->options.usage_for_ms,
                                         .loop_wake = &server->wake};
    enum ledger_fault fault = settling_open(&server->settling, &parts, &detail);
    struct ledger *reader = NULL;
    if (fault == LEDGER_OK)
        fault = ledger_open_reader(server->options.data, NULL, &reader, &detail);
    if (fault == LEDGER_OK) {
        server->books = ledger_reader_over(reader);
        if (server->books != NULL) return true;
        fault = LEDGER_READ_FAILED;
    }
    (void)fprintf(stderr, "weir: %s: %s: %s\n", server->options.data, ledger_fault_text(fault),
                  detail.text);
    return false;
}

/* For commands about decisions that the state has forgotten. */
static bool look_up_ending(void *self, uint64_t decision, struct desk_ending *ending_out)
{
    const struct server *server = self;
    struct ledger_ending ending;
    if (!ledger_read_ending(server->books, decision, &ending)) return false;
    *ending_out = (struct desk_ending){
        .through = ending.cursor, .position = ending.settled_position, .refunded = ending.refunded};
    return true;
}

/* Of the engine it uses the key that ids are made with, which never changes. */
static bool look_up_owner(void *self, uint64_t id, struct desk_owner *owner_out)
{
    const struct server *server = self;
    struct ledger_owner owner;
    if (!ledger_read_owner(server->books, id, &owner)) return false;
    *owner_out =
        (struct desk_owner){.is_known = owner.name_length != 0, .category = owner.category};
    if (owner_out->is_known)
        owner_out->customer =
            engine_customer_id(server->engine, (struct bytes){owner.name, owner.name_length});
    return true;
}

/* ---- threads */

/* Nothing behind it refuses the start for what is in the directory, and nothing before it changes
 * what is there. */
static bool accept_directory(struct server *server)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    const enum journal_fault fault = journal_sqlite_fold(server->journal);
    if (fault != JOURNAL_OK) {
        (void)fprintf(stderr, "weir: %s: %s: %s\n", server->options.data, journal_fault_text(fault),
                      server->journal->detail);
        return false;
    }
    if (keys_accept(server->keys, detail) == KEY_FILE_OK) return true;
    (void)fprintf(stderr, "weir: %s\n", detail);
    return false;
}

static bool start_threads(struct server *server)
{
    server->has_wake = wake_open(&server->wake);
    if (!server->has_wake) {
        (void)fprintf(stderr, "weir: no file descriptors left\n");
        return false;
    }
    if (!open_books(server) || !accept_directory(server)) return false;
    journaling_start(&server->journaling, server->journal, &server->wake);
    server->journaling.settling = &server->settling;
    server->desk = desk_over(server->desk_memory.block, server->reader, server->policies,
                             server->keys, &server->wake);
    desk_open_books(server->desk, server->books);
    desk_set_books(server->desk, (struct desk_books){.self = server,
                                                     .look_up = look_up_ending,
                                                     .look_up_owner = look_up_owner});
    server->snapshots =
        snapshots_over(server->snapshots_memory.block,
                       (struct snapshots_parts){.directory = server->options.data,
                                                .engine = server->engine,
                                                .policies = server->policies,
                                                .keys = server->keys,
                                                .genesis = server->genesis,
                                                .every_bytes = server->options.snapshot_every_bytes,
                                                .since_bytes = server->recovered.bytes,
                                                .newest = server->recovered.snapshot,
                                                .older = server->recovered.snapshot_before,
                                                .loop_wake = &server->wake});
    server->loop = loop_over(server->loop_memory.block,
                             (struct loop_parts){.engine = server->engine,
                                                 .clock = &server->clock,
                                                 .policies = server->policies,
                                                 .journaling = &server->journaling,
                                                 .desk = server->desk,
                                                 .keys = server->keys,
                                                 .snapshots = server->snapshots,
                                                 .settling = &server->settling,
                                                 .admin_key = server->admin_key,
                                                 .journal_log_bytes = journal_sqlite_log_bytes,
                                                 .tip_sequence = server->journal->tip.sequence,
                                                 .survey = &server->survey,
                                                 .version = server->options.version,
                                                 .receipts_for_ms = server->options.receipts_for_ms,
                                                 .usage_for_ms = server->options.usage_for_ms});
    metrics_recovered(&server->loop->metrics, server->recovery_took_ms, server->recovered.entries);
    survey_start(&server->survey, server->options.data);
    if (survey_start_thread(&server->survey) && settling_start_threads(&server->settling) &&
        journaling_start_thread(&server->journaling) && desk_start_thread(server->desk) &&
        snapshots_start_thread(server->snapshots))
        return true;
    (void)fprintf(stderr, "weir: the system has no threads to give\n");
    return false;
}

/* ---- the policy */

static void tell_complaints(const struct server *server, const char *name)
{
    const struct policy_complaints *complaints = &server->policies->complaints;
    for (uint32_t i = 0; i < complaints->count; ++i) {
        uint8_t block[FILE_PATH_SIZE + 512];
        struct buffer text = buffer_over(block, sizeof(block));
        policy_complaint_format(name, &complaints->at[i], &text);
        (void)fprintf(stderr, "%.*s\n", (int)text.used, (const char *)text.at);
    }
    if (complaints->more) (void)fprintf(stderr, "%s: and more\n", name);
}

/* The policy in force compiled again, from the snapshot or the journal. */
static bool restore_policy(struct server *server)
{
    struct reserved scratch = {0};
    const struct engine_policy_info info = engine_policy_info(server->engine);
    if (info.version == 0) return true;
    if (!reserve(&scratch, sizeof(struct command), "a command")) return false;
    const bool is_read = recovery_policy(server->journal, &server->recovered, info.position,
                                         scratch.block, server->policies);
    release(&scratch);
    if (!is_read) {
        (void)fprintf(stderr, "weir: the journal's policy, version %" PRIu64 ", cannot be read\n",
                      info.version);
        return false;
    }
    if (!policies_compile(server->policies, engine_symbols(server->engine))) {
        (void)fprintf(stderr, "weir: the policy in force is refused by this version of Weir:\n");
        tell_complaints(server, "policy in force");
        return false;
    }
    policies_install(server->policies);
    return true;
}

struct file_install {
    struct exchange exchange;
    bool is_done;
    unsigned status;
};

static void on_installed(struct exchange *exchange)
{
    struct file_install *install = (struct file_install *)exchange;
    install->is_done = true;
    install->status = exchange->answer.status;
    if (install->status != 200)
        (void)fprintf(stderr, "weir: the policy was not taken: %.*s\n",
                      (int)exchange->answer.body.length, (const char *)exchange->answer.body.at);
}

/* The staged policy goes through the loop like any other change, and is durable on return. */
static bool install_file(struct server *server)
{
    struct file_install install = {.exchange.send = on_installed};
    loop_take_policy_file(server->loop, &install.exchange);
    while (!install.is_done) {
        wake_clear(&server->wake);
        if (loop_step(server->loop)) continue;
        wake_wait(&server->wake, loop_wait_ms(server->loop));
    }
    return install.status == 200;
}

static bool apply_file(struct server *server)
{
    const char *path = server->options.policy_file;
    struct file_detail detail;
    struct reserved block = {0};
    struct bytes yaml;
    if (!reserve(&block, POLICY_BYTES_MAX, "the policy file")) return false;
    const enum file_fault fault = file_read(path, block.block, POLICY_BYTES_MAX, &yaml, &detail);
    if (fault == FILE_OK) policies_stage(server->policies, yaml);
    release(&block);
    if (fault != FILE_OK) {
        (void)fprintf(stderr, "weir: --policy: %s\n", detail.text);
        return false;
    }
    if (!policies_compile(server->policies, engine_symbols(server->engine))) {
        tell_complaints(server, path);
        return false;
    }
    const uint64_t content_hash = server->policies->spare->policy->content_hash;
    return !engine_takes_file(server->engine, content_hash) || install_file(server);
}

static bool start_policy(struct server *server)
{
    if (!restore_policy(server)) return false;
    if (server->options.policy_file != NULL && !apply_file(server)) return false;
    const struct engine_policy_info info = engine_policy_info(server->engine);
    if (info.version == 0) {
        tell_no_policy(server);
        return false;
    }
    const bool is_file = info.file_hash == info.content_hash && server->options.policy_file != NULL;
    (void)printf("weir: policy version %" PRIu64 "%s%s\n", info.version, is_file ? " from " : "",
                 is_file ? server->options.policy_file : ", from the journal");
    return true;
}

/* ---- the door */

/* Most connections of HTTP, and of each other listener. */
struct connections_max {
    uint32_t http;
    uint32_t other;
};

/* Every connection is a descriptor: as many as the system gives. Where it gives too few, one of the
 * others gets an eighth, since their clients keep a few connections for much, and HTTP the rest. */
static struct connections_max connections_possible(uint32_t wanted, uint32_t others)
{
    const struct connections_max all = {wanted, wanted};
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return all;
    const rlim_t needed = (rlim_t)wanted * (1 + others) + DESCRIPTORS_SPARE;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
            return all;
    }
    if (limit.rlim_cur >= needed) return all;
    const uint32_t left = limit.rlim_cur / 2 > DESCRIPTORS_SPARE
                              ? (uint32_t)limit.rlim_cur - DESCRIPTORS_SPARE
                              : DESCRIPTORS_SPARE;
    struct connections_max possible = {.other = left / 8 < wanted ? left / 8 : wanted};
    const uint32_t rest = left - others * possible.other;
    possible.http = rest < wanted ? rest : wanted;
    (void)printf("weir: at most %" PRIu32 " connections of HTTP", possible.http);
    if (others > 0) (void)printf(" and %" PRIu32 " of each other listener", possible.other);
    (void)printf(": the system gives %" PRIu64 " descriptors (ulimit -n)\n",
                 (uint64_t)limit.rlim_cur);
    return possible;
}

static bool check_doors(const struct server *server)
{
    const bool has_admin_key = server->admin_key.length != 0;
    if (!check_addresses(server, has_admin_key || engine_access_is_needed(server->engine)))
        return false;
    access_tell_door(server->engine, has_admin_key);
    return true;
}

static void take_exchange(void *self, struct exchange *exchange)
{
    loop_take(self, exchange);
}

static void on_wake(void *self)
{
    wake_clear(self);
}

/* ---- TLS */

/* Whole days that are left, rounded down: the last day is 0, what is over has less. */
static int64_t days_of(int64_t left_s)
{
    const int64_t day_s = DAY_MS / 1000;
    return left_s / day_s - (left_s % day_s < 0 ? 1 : 0);
}

/* Whether it is time to say so. */
static bool warn_of_end(const struct tls *tls)
{
    const int64_t left_s = tls_left_s(tls);
    if (left_s >= CERTIFICATE_WARN_S) return false;
    struct log_line line = log_begin(LOG_WARN, "certificate_expires");
    log_number(&line, "days_left", days_of(left_s));
    log_end(&line);
    return true;
}

/* For people, where they are told how it starts. */
static void tell_end(const struct tls *tls)
{
    char text[INSTANT_TEXT_SIZE];
    (void)calendar_format(tls->ends_at_s * 1000, text);
    (void)printf("weir: WARNING: the certificate ends at %s\n", text);
}

static bool load_tls(const struct server *server, struct tls **tls_out)
{
    char detail[TLS_DETAIL_SIZE];
    *tls_out = NULL;
    if (server->options.tls.certificate == NULL) return true;
    *tls_out = tls_load(server->options.tls, detail);
    if (*tls_out == NULL) {
        (void)fprintf(stderr, "weir: %s\n", detail);
        return false;
    }
    if (warn_of_end(*tls_out)) tell_end(*tls_out);
    return true;
}

/* Connections there are keep what they began with. */
static void reload_tls(struct server *server)
{
    char detail[TLS_DETAIL_SIZE];
    struct tls *tls = tls_load(server->options.tls, detail);
    if (tls == NULL) {
        struct log_line line = log_begin(LOG_ERROR, "certificate_kept");
        log_text(&line, "detail", detail);
        log_end(&line);
        return;
    }
    log_event(LOG_INFO, "certificate_loaded");
    doors_set_tls(&server->doors, tls);
    http_set_tls(server->http, tls);
    (void)warn_of_end(tls);
}

static void on_signal(void *self)
{
    struct server *server = self;
    int signal;
    while ((signal = signals_take(server->signal_fd)) != 0) {
        if (signal == SIGHUP) {
            server->is_reloading = true;
            continue;
        }
        server->is_hurried = server->is_stopping;
        server->is_stopping = true;
    }
}

/* What SIGHUP asks for. Of files only those of TLS are read anew: a policy is changed through the
 * API. */
static void reload(struct server *server)
{
    server->is_reloading = false;
    manager_reloading(&server->manager);
    if (server->options.tls.certificate != NULL) reload_tls(server);
    log_event(LOG_INFO, "reloaded");
    manager_reloaded(&server->manager, server->loop, server->http);
}

static void tell_ready(struct server *server, const char *address)
{
    char where[LISTENER_TEXT_SIZE + 8];
    (void)snprintf(where, sizeof where, "%s://%s",
                   server->options.tls.certificate != NULL ? "https" : "http", address);
    manager_ready(&server->manager, where, server->loop, server->http);
}

static void log_listening(const char *address, uint32_t connections)
{
    if (!is_told_to_machines()) return;
    struct log_line line = log_begin(LOG_INFO, "listening");
    log_text(&line, "listener", "http");
    log_text(&line, "address", address);
    log_number(&line, "connections_max", connections);
    log_end(&line);
}

static bool open_door(struct server *server)
{
    char text[LISTENER_TEXT_SIZE];
    struct listener_address address = server->options.address;
    const struct connections_max connections = connections_possible(
        server->options.connections_max,
        (server->options.resp.is_open ? 1u : 0u) + (server->options.grpc.is_open ? 1u : 0u));
    const int fd = listener_open(&address);
    listener_format(&address, text);
    if (fd < 0) {
        (void)fprintf(stderr, "weir: --http %s: %s\n", text, strerror(errno));
        return false;
    }
    const struct tls *tls = server->tls;
    server->http =
        http_open(&(struct http_options){.listener_fd = fd,
                                         .connections_max = connections.http,
                                         .request_timeout_ms = server->options.request_timeout_ms,
                                         .write_timeout_ms = server->options.write_timeout_ms,
                                         .buffers_bytes_max = server->options.buffers_bytes_max,
                                         .request_ids_seed = entropy_u64(),
                                         .network = &server->loop->metrics.networks[FRONT_HTTP],
                                         .tls = server->tls,
                                         .take = take_exchange,
                                         .self = server->loop});
    server->tls = NULL;
    if (server->http == NULL) {
        (void)fprintf(stderr, "weir: no memory for %" PRIu32 " connections\n", connections.http);
        return false;
    }
    http_watch(server->http, server->wake.fd, on_wake, &server->wake);
    http_watch(server->http, server->signal_fd, on_signal, server);
    struct doors_options doors = {.resp = server->options.resp,
                                  .grpc = server->options.grpc,
                                  .connections_max = connections.other,
                                  .request_timeout_ms = server->options.request_timeout_ms,
                                  .write_timeout_ms = server->options.write_timeout_ms,
                                  .buffers_bytes_max = server->options.buffers_bytes_max,
                                  .version = server->options.version,
                                  .tls = tls,
                                  .loop = server->loop,
                                  .http = server->http};
    if (!doors_open(&server->doors, &doors)) return false;
    (void)printf("weir: listening on %s://%s\n", tls != NULL ? "https" : "http", text);
    log_listening(text, connections.http);
    doors_tell(&server->doors);
    (void)fflush(stdout);
    tell_ready(server, text);
    return true;
}

/* ---- serving */

static void turn(struct server *server, int32_t wait_ms_max)
{
    const int32_t wait_ms = loop_wait_ms(server->loop);
    http_turn(server->http,
              doors_wait_ms(&server->doors, wait_ms < wait_ms_max ? wait_ms : wait_ms_max));
    (void)loop_step(server->loop);
    doors_turn(&server->doors);
    manager_turn(&server->manager, server->loop, server->http);
}

static uint32_t connections_open(const struct server *server)
{
    return http_connections(server->http) + doors_connections(&server->doors);
}

static void log_stopping(const struct server *server)
{
    struct log_line line = log_begin(LOG_INFO, "stopping");
    log_number(&line, "connections", connections_open(server));
    log_number(&line, "requests", server->loop->exchanges);
    log_end(&line);
}

static void log_stopped(const struct server *server, int64_t ms)
{
    struct log_line line = log_begin(LOG_INFO, "stopped");
    log_number(&line, "answers", (int64_t)server->loop->answers_sent);
    log_number(&line, "ms", ms);
    log_end(&line);
}

/* Answers what was read, up to a bound. */
static bool drain(struct server *server)
{
    const int64_t began_ns = clock_monotonic_ns();
    manager_stopping(&server->manager, "stopping: answering what was read");
    log_stopping(server);
    loop_stop(server->loop);
    http_drain(server->http);
    doors_drain(&server->doors);
    while (connections_open(server) > 0 || !loop_is_idle(server->loop)) {
        if (server->loop->failure != APPEND_NONE) return false;
        if (server->is_hurried || elapsed_ms(began_ns) >= STOP_MS_MAX) {
            (void)fprintf(stderr, "weir: stopping with %" PRIu32 " connections still open\n",
                          connections_open(server));
            break;
        }
        if (elapsed_ms(began_ns) >= EXPORTS_MS_MAX) {
            loop_cut(server->loop);
            http_cut(server->http);
            doors_cut(&server->doors);
        }
        turn(server, 100);
    }
    (void)printf("weir: stopped\n");
    log_stopped(server, elapsed_ms(began_ns));
    server->is_clean = !server->is_hurried;
    return true;
}

/* The journal cannot be trusted any more: the last answers say so, then the process leaves. */
static void leave_failed(struct server *server)
{
    const int64_t began_ns = clock_monotonic_ns();
    (void)fprintf(stderr,
                  "weir: %s failed; leaving. What was not answered is unknown: clients repeat it "
                  "with their keys\n",
                  server->loop->failed);
    manager_stopping(&server->manager, "failed: see the log; what was not answered is unknown");
    while (elapsed_ms(began_ns) < FAILED_MS_MAX)
        turn(server, 50);
}

static bool serve(struct server *server)
{
    while (!server->is_stopping && server->loop->failure == APPEND_NONE) {
        turn(server, manager_wait_ms(&server->manager));
        if (server->is_reloading) reload(server);
    }
    if (server->loop->failure == APPEND_NONE && drain(server)) return true;
    leave_failed(server);
    return false;
}

enum server_end server_run(const struct server_options *options)
{
    CLEANUP(server_close)
    struct server server = {
        .options = *options, .manager = manager_open(), .lock = FILE_LOCK_NONE, .signal_fd = -1};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    server.signal_fd = signals_open();
    if (server.signal_fd < 0) {
        (void)fprintf(stderr, "weir: no file descriptors left\n");
        return SERVER_REFUSED;
    }
    if (!load_tls(&server, &server.tls)) return SERVER_REFUSED;
    if (!access_read_admin_key(options->admin_key_file, server.admin_key_block,
                               &server.admin_key) ||
        !open_journal(&server) || !start_state(&server) || !open_keys(&server))
        return SERVER_REFUSED;
    if (!recover(&server)) return SERVER_REFUSED;
    if (server.is_stopping) return SERVER_STOPPED;
    if (!check_doors(&server)) return SERVER_REFUSED;
    start_clock(&server);
    const bool has_threads = start_threads(&server);
    /* The loop has its hash. */
    explicit_bzero(server.admin_key_block, sizeof(server.admin_key_block));
    if (!has_threads || !start_policy(&server) || !open_door(&server)) return SERVER_REFUSED;
    return serve(&server) ? SERVER_STOPPED : SERVER_FAILED;
}
