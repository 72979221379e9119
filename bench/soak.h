/*
 * soak.h: what the parts of bench/soak share.
 *
 *   soak.c          options, order of things, what is printed
 *   soak_play.c     the mixed load, and what its answers said
 *   soak_server.c   the server as a process: start, kill, memory, files, health
 *   soak_readers.c  single decisions at a pace, beside programs that read
 *   soak_books.c    what the answers said against what the ledger holds
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "main/client.h"

#define SOAK_SECOND_NS INT64_C(1000000000)

struct soak_settings {
    const char *weir;      /* the program */
    const char *directory; /* everything is made in there */
    const char *policy;
    const char *receipts_for; /* the server's options, as text */
    const char *snapshot_every;
    const char *memory;
    uint64_t customers;
    uint64_t decisions;
    uint64_t connections;
    uint64_t batch; /* operations in a request, at most */
    uint64_t pace;  /* decisions in a second of the server's clock */
    uint64_t seed;
    uint64_t reader_rate;       /* single decisions a second while others read */
    uint64_t reader_window_sec; /* 0: no readers */
};

/* What the books call usage events. */
enum soak_event {
    SOAK_CONSUME,
    SOAK_USAGE,
    SOAK_COMMIT,
    SOAK_LATE,
    SOAK_RELEASE,
    SOAK_EXPIRY,
    SOAK_DENIAL,
    SOAK_EVENTS
};

struct soak_sum {
    uint64_t count;
    int64_t charged; /* nano-credits */
};

struct soak_tally {
    uint64_t decisions; /* answered with an id, allowed or denied; repeats are not counted again */
    uint64_t holds;
    uint64_t repeats;
    uint64_t grants;
    uint64_t problems;       /* answers that no part of the load asks for */
    char first_problem[240]; /* "" when none */
    struct soak_sum events[SOAK_EVENTS];
    struct soak_sum refunds;
};

/* ---- soak_server.c */

struct soak_server {
    pid_t pid; /* 0: not running */
    struct server_address address;
    int64_t started_ns;
};

/* Until it listens; the server's clock stands at `clock_ms`. Ends the program when it does not. */
void soak_server_start(const struct soak_settings *settings, int64_t clock_ms,
                       struct soak_server *server_out);
/* Sends the signal and waits. True: the end was the one that the signal means. */
bool soak_server_end(struct soak_server *server, int signal_number);

enum soak_file {
    SOAK_JOURNAL,
    SOAK_JOURNAL_LOG,
    SOAK_LEDGER,
    SOAK_LEDGER_LOG,
    SOAK_SNAPSHOTS,
    SOAK_KEY_FILES,
    SOAK_FILES
};

struct soak_use {
    uint64_t resident_bytes;
    uint64_t anonymous_bytes; /* of these: not a file's pages */
    double processor_sec;     /* since it started */
    double waited_sec;        /* for a processor, all threads */
    uint64_t files[SOAK_FILES];
};

void soak_server_use(const struct soak_settings *settings, const struct soak_server *server,
                     struct soak_use *use_out);

struct soak_health {
    uint64_t sequence;
    uint64_t first; /* batch that the journal begins with; 0: nothing was cut */
    uint64_t lag_batches;
    uint64_t lag_ms;
    uint64_t state_bytes;
    uint64_t heads_bytes; /* settlement's, of customers */
    uint64_t held_bytes;  /* and of authorizations */
    uint64_t sqlite_bytes;
    uint64_t holds;
    uint64_t keys;
};

void soak_health_read(const char *body, struct soak_health *health_out);
/* One request, answered 200; ends the program otherwise. */
void soak_ask(const struct soak_server *server, const char *method, const char *path,
              const char *body, struct client_answer *answer_out);
void soak_health_ask(const struct soak_server *server, struct soak_health *health_out);
/* Seconds until the books have everything. */
double soak_catch_up(const struct soak_server *server);
/* A child with its own group; `weir verify`, and what reads beside. */
pid_t soak_run(const char *const *arguments, const char *output);
int soak_wait(pid_t pid); /* exit status; -1: ended otherwise */
void soak_fail(const char *what) __attribute__((noreturn));

/* ---- soak_play.c */

/* Samples of one window, in microseconds; the oldest are overwritten when it is full. */
enum { SOAK_SAMPLES_MAX = 1 << 18 };
struct soak_samples {
    uint64_t count;
    uint32_t at[SOAK_SAMPLES_MAX];
};

void soak_sample(struct soak_samples *samples, int64_t value_us);
/* The smallest that `per_100000` of all do not exceed; orders them. 0: none. */
uint32_t soak_sample_at(struct soak_samples *samples, uint32_t per_100000);

/* What happened in one twentieth of the load. */
struct soak_window {
    struct soak_samples lag_us;     /* of settlement, asked for five times a second */
    struct soak_samples latency_us; /* of batches */
    struct soak_health health;      /* the last */
    uint64_t decisions;             /* so far */
    int64_t duration_ns;
};

struct soak_play {
    const struct soak_settings *settings;
    const struct soak_server *server;
    struct soak_tally *tally;
    int64_t *clock_ms; /* the server's */
    struct soak_window *window;
    void (*window_over)(void *self, const struct soak_window *window);
    void *self;
};

enum { SOAK_WINDOWS = 20 };

void soak_play_run(const struct soak_play *play);

/* ---- soak_readers.c, soak_books.c */

void soak_readers_run(const struct soak_settings *settings, const struct soak_server *server,
                      struct soak_tally *tally);
/* Prints both sides; false where they differ. */
bool soak_books_agree(const struct soak_settings *settings, const struct soak_tally *tally);
