/*
 * usage.h: what the process takes of the machine: processor, memory, descriptors, disk. For
 * operators; nothing is decided by it. Every number costs system calls, some of them one per
 * descriptor or file: not for a thread that must not wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* What could not be read is 0. */
struct usage_process {
    int64_t cpu_ns;          /* of all threads, user and system */
    int64_t started_unix_ms; /* when the process was started */
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t descriptors;
    uint64_t descriptors_max;
    uint64_t threads;
};
struct usage_process usage_process(void);

/* Calls take() with the name and the processor time of each thread there is; the first one's, which
 * is the process's own, is "main". */
void usage_threads(void (*take)(void *self, const char *name, int64_t cpu_ns), void *self);

/* Calls take() with the name and the allocated size of each file of a directory. False: it cannot
 * be read. */
MUST_USE bool usage_files(const char *directory,
                          void (*take)(void *self, const char *name, uint64_t bytes), void *self);

struct usage_filesystem {
    uint64_t bytes;
    uint64_t free_bytes; /* for who has no privileges */
};
/* Zeroes: it cannot be asked. */
struct usage_filesystem usage_filesystem(const char *path);
