/*
 * metrics_survey.c: see metrics_survey.h.
 */
#include "server/metrics_survey.h"

#include <string.h>

static const struct {
    const char *name; /* as the system knows it, in 15 bytes */
    const char *label;
} threads[] = {
#define X(name, thread, label) {thread, label},
    SURVEY_THREAD_TABLE(X)
#undef X
};

static const struct {
    const char *prefix;
    const char *label;
} files[] = {
#define X(name, prefix, label) {prefix, label},
    SURVEY_FILE_TABLE(X)
#undef X
};

const char *survey_thread_label(enum survey_thread which)
{
    return threads[which].label;
}

const char *survey_file_label(enum survey_file which)
{
    return files[which].label;
}

static void take_thread(void *self, const char *name, int64_t cpu_ns)
{
    struct survey *survey = self;
    enum survey_thread which = THREAD_LOOP;
    while (which != THREAD_OTHER && strncmp(name, threads[which].name, THREAD_NAME_SIZE - 1) != 0)
        ++which;
    survey->thread_ns_seen[which] += (uint64_t)cpu_ns;
}

/* "journal.db" is a prefix of its log's name too: the longest one counts. */
static void take_file(void *self, const char *name, uint64_t bytes)
{
    struct survey *survey = self;
    enum survey_file found = FILE_OTHER;
    size_t longest = 0;
    for (enum survey_file which = FILE_JOURNAL; which != FILE_OTHER; ++which) {
        const size_t length = strlen(files[which].prefix);
        if (length <= longest || strncmp(name, files[which].prefix, length) != 0) continue;
        found = which;
        longest = length;
    }
    survey->file_bytes_seen[found] += bytes;
}

static void show(_Atomic uint64_t *shown, uint64_t value)
{
    atomic_store_explicit(shown, value, memory_order_relaxed);
}

static void look(struct survey *survey)
{
    const struct usage_process process = usage_process();
    const struct usage_filesystem filesystem = usage_filesystem(survey->directory);
    const uint64_t numbers[SURVEY_NUMBERS] = {
        [SURVEY_CPU_NS] = (uint64_t)process.cpu_ns,
        [SURVEY_STARTED_MS] = (uint64_t)process.started_unix_ms,
        [SURVEY_RESIDENT_BYTES] = process.resident_bytes,
        [SURVEY_VIRTUAL_BYTES] = process.virtual_bytes,
        [SURVEY_DESCRIPTORS] = process.descriptors,
        [SURVEY_DESCRIPTORS_MAX] = process.descriptors_max,
        [SURVEY_THREADS] = process.threads,
        [SURVEY_FILESYSTEM_BYTES] = filesystem.bytes,
        [SURVEY_FILESYSTEM_FREE_BYTES] = filesystem.free_bytes,
    };
    for (unsigned i = 0; i < SURVEY_NUMBERS; ++i)
        show(&survey->numbers[i], numbers[i]);
    memset(survey->thread_ns_seen, 0, sizeof(survey->thread_ns_seen));
    usage_threads(take_thread, survey);
    for (unsigned i = 0; i < SURVEY_THREADS_COUNT; ++i)
        show(&survey->thread_ns[i], survey->thread_ns_seen[i]);
    memset(survey->file_bytes_seen, 0, sizeof(survey->file_bytes_seen));
    if (!usage_files(survey->directory, take_file, survey)) return;
    for (unsigned i = 0; i < SURVEY_FILES_COUNT; ++i)
        show(&survey->file_bytes[i], survey->file_bytes_seen[i]);
}

static bool look_once(void *self)
{
    look(self);
    return false;
}

void survey_start(struct survey *survey, const char *directory)
{
    survey->directory = directory;
    look(survey);
}

bool survey_start_thread(struct survey *survey)
{
    survey->has_thread =
        runner_start(&survey->runner, "weir-survey", look_once, survey, SURVEY_EVERY_MS);
    return survey->has_thread;
}

void survey_stop(struct survey *survey)
{
    if (survey->has_thread) runner_stop(&survey->runner);
    survey->has_thread = false;
}
