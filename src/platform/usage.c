/*
 * usage.c: see usage.h. Linux tells of a process in files of text below /proc/self.
 */
#include "platform/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 1024 };

#define NS_PER_S INT64_C(1000000000)

/* The whole of a small file as text; false: it cannot be read. */
static bool read_text(const char *path, char text_out[TEXT_SIZE])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t length = read(fd, text_out, TEXT_SIZE - 1);
    (void)close(fd);
    if (length <= 0) return false;
    text_out[length] = '\0';
    return true;
}

static int64_t ns_of_ticks(uint64_t ticks)
{
    return (int64_t)ticks * (NS_PER_S / sysconf(_SC_CLK_TCK));
}

/* The numbers of a stat file from `first` on, as proc(5) counts them. They stand behind the name,
 * which is in parentheses and may hold anything. */
static bool read_stat(const char *path, unsigned first, unsigned count, uint64_t *numbers_out,
                      char name_out[TEXT_SIZE])
{
    char text[TEXT_SIZE];
    if (!read_text(path, text)) return false;
    char *open = strchr(text, '(');
    char *close = strrchr(text, ')');
    if (open == NULL || close == NULL || close < open) return false;
    *close = '\0';
    (void)snprintf(name_out, TEXT_SIZE, "%s", open + 1);
    char *at = close + 1;
    unsigned number = 2; /* the name's */
    while (*at == ' ' && number + 1 < first + count) {
        ++at;
        ++number;
        if (number >= first) numbers_out[number - first] = strtoull(at, NULL, 10);
        at += strcspn(at, " \n");
    }
    return number + 1 == first + count;
}

static uint64_t count_entries(const char *path)
{
    uint64_t count = 0;
    DIR *directory = opendir(path);
    if (directory == NULL) return 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') ++count;
    (void)closedir(directory);
    return count;
}

/* When the machine was started, by the wall clock as it is now. */
static int64_t boot_unix_ms(void)
{
    struct timespec wall;
    struct timespec boot;
    if (clock_gettime(CLOCK_REALTIME, &wall) != 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return 0;
    return (wall.tv_sec - boot.tv_sec) * 1000 + (wall.tv_nsec - boot.tv_nsec) / 1000000;
}

struct usage_process usage_process(void)
{
    /* proc(5): 20 threads, 21 always 0, 22 start, 23 virtual bytes, 24 resident pages */
    enum { THREADS, ALWAYS_ZERO, START, VIRTUAL, RESIDENT, NUMBERS };
    struct usage_process usage = {0};
    uint64_t numbers[NUMBERS] = {0};
    char name[TEXT_SIZE];
    struct timespec cpu;
    struct rlimit limit;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        usage.cpu_ns = cpu.tv_sec * NS_PER_S + cpu.tv_nsec;
    if (read_stat("/proc/self/stat", 20, NUMBERS, numbers, name)) {
        usage.threads = numbers[THREADS];
        usage.started_unix_ms = boot_unix_ms() + ns_of_ticks(numbers[START]) / 1000000;
        usage.virtual_bytes = numbers[VIRTUAL];
        usage.resident_bytes = numbers[RESIDENT] * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    const uint64_t descriptors = count_entries("/proc/self/fd");
    usage.descriptors = descriptors > 0 ? descriptors - 1 : 0; /* without the one that looks */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.descriptors_max = limit.rlim_cur;
    return usage;
}

void usage_threads(void (*take)(void *self, const char *name, int64_t cpu_ns), void *self)
{
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) return;
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        enum { USER, SYSTEM, NUMBERS };
        uint64_t ticks[NUMBERS];
        char path[sizeof(entry->d_name) + 32];
        char name[TEXT_SIZE];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
        /* proc(5): 14 user, 15 system */
        if (!read_stat(path, 14, NUMBERS, ticks, name)) continue; /* it has just ended */
        const bool is_first = strtol(entry->d_name, NULL, 10) == getpid();
        take(self, is_first ? "main" : name, ns_of_ticks(ticks[USER] + ticks[SYSTEM]));
    }
    (void)closedir(tasks);
}

bool usage_files(const char *directory, void (*take)(void *self, const char *name, uint64_t bytes),
                 void *self)
{
    DIR *files = opendir(directory);
    if (files == NULL) return false;
    for (const struct dirent *entry; (entry = readdir(files)) != NULL;) {
        struct stat status;
        if (fstatat(dirfd(files), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (!S_ISREG(status.st_mode)) continue;
        take(self, entry->d_name, (uint64_t)status.st_blocks * 512);
    }
    (void)closedir(files);
    return true;
}

struct usage_filesystem usage_filesystem(const char *path)
{
    struct statvfs status;
    if (statvfs(path, &status) != 0) return (struct usage_filesystem){0};
    return (struct usage_filesystem){
        .bytes = (uint64_t)status.f_blocks * status.f_frsize,
        .free_bytes = (uint64_t)status.f_bavail * status.f_frsize,
    };
}
