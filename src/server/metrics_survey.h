/*
 * metrics_survey.h: what the process and its data directory take of the machine, looked at by a
 * thread of its own every few seconds, because it costs a system call per descriptor, thread and
 * file. It alone writes the board; each number on it is whole, and they need not be of one moment.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "platform/platform.h"

#define SURVEY_EVERY_MS 5000

enum survey_number {
    SURVEY_CPU_NS,
    SURVEY_STARTED_MS, /* since 1970 */
    SURVEY_RESIDENT_BYTES,
    SURVEY_VIRTUAL_BYTES,
    SURVEY_DESCRIPTORS,
    SURVEY_DESCRIPTORS_MAX,
    SURVEY_THREADS,
    SURVEY_FILESYSTEM_BYTES,
    SURVEY_FILESYSTEM_FREE_BYTES,
    SURVEY_NUMBERS
};

/* Whose processor time. */
#define SURVEY_THREAD_TABLE(X)                                  \
    X(THREAD_LOOP, "main", "loop")                              \
    X(THREAD_JOURNAL, "weir-journal", "journal")                \
    X(THREAD_DESK, "weir-desk", "desk")                         \
    X(THREAD_SETTLE, "weir-settle", "settle")                   \
    X(THREAD_SETTLE_FAST, "weir-settle-fast", "settle_hurried") \
    X(THREAD_SNAPSHOT, "weir-snapshot", "snapshot")             \
    X(THREAD_SURVEY, "weir-survey", "survey")                   \
    X(THREAD_OTHER, "", "other")
enum survey_thread {
#define X(name, thread, label) name,
    SURVEY_THREAD_TABLE(X)
#undef X
        SURVEY_THREADS_COUNT
};

/* Whose disk space. */
#define SURVEY_FILE_TABLE(X)                          \
    X(FILE_JOURNAL, "journal.db", "journal")          \
    X(FILE_JOURNAL_LOG, "journal.db-", "journal_log") \
    X(FILE_LEDGER, "ledger.db", "ledger")             \
    X(FILE_LEDGER_LOG, "ledger.db-", "ledger_log")    \
    X(FILE_SNAPSHOTS, "snapshot", "snapshots")        \
    X(FILE_KEYS, "keys", "keys")                      \
    X(FILE_OTHER, "", "other")
enum survey_file {
#define X(name, prefix, label) name,
    SURVEY_FILE_TABLE(X)
#undef X
        SURVEY_FILES_COUNT
};

struct survey {
    const char *directory;
    _Atomic uint64_t numbers[SURVEY_NUMBERS];
    _Atomic uint64_t thread_ns[SURVEY_THREADS_COUNT];
    _Atomic uint64_t file_bytes[SURVEY_FILES_COUNT];
    struct runner runner;
    bool has_thread;

    /* The thread's own. */
    uint64_t thread_ns_seen[SURVEY_THREADS_COUNT];
    uint64_t file_bytes_seen[SURVEY_FILES_COUNT];
};

/* Looks once, on the caller's thread. */
void survey_start(struct survey *survey, const char *directory);
MUST_USE bool survey_start_thread(struct survey *survey);
void survey_stop(struct survey *survey);

static inline uint64_t survey_number(const struct survey *survey, enum survey_number which)
{
    return atomic_load_explicit(&survey->numbers[which], memory_order_relaxed);
}
static inline uint64_t survey_thread_ns(const struct survey *survey, enum survey_thread which)
{
    return atomic_load_explicit(&survey->thread_ns[which], memory_order_relaxed);
}
static inline uint64_t survey_file_bytes(const struct survey *survey, enum survey_file which)
{
    return atomic_load_explicit(&survey->file_bytes[which], memory_order_relaxed);
}
const char *survey_thread_label(enum survey_thread which);
const char *survey_file_label(enum survey_file which);
