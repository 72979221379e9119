/*
 * soak_server.c: the server as a process, seen from outside: what the kernel says of its memory,
 * what its directory holds, what it says of itself.
 */
#include "soak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "main/pool.h"

enum { PATH_BYTES = 4096, START_MS_MAX = 600000 };

void soak_fail(const char *what)
{
    (void)fprintf(stderr, "soak: %s\n", what);
    exit(1);
}

static void rest_ms(long ms)
{
    const struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&rest, NULL);
}

pid_t soak_run(const char *const *arguments, const char *output)
{
    (void)fflush(NULL);
    const pid_t pid = fork();
    if (pid < 0) soak_fail("fork failed");
    if (pid > 0) {
        (void)setpgid(pid, pid); /* whoever is first, parent or child */
        return pid;
    }
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody outlives a soak that failed */
    const int file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0) _exit(127);
    (void)execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

int soak_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The line that says where it listens, once it is there. */
static bool find_address(const char *log, char url_out[64])
{
    static const char before[] = "listening on http://";
    char text[8192];
    FILE *file = fopen(log, "re");
    if (file == NULL) return false;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    const char *found = strstr(text, before);
    if (found == NULL || strchr(found, '\n') == NULL) return false;
    found += strlen("listening on ");
    (void)snprintf(url_out, 64, "%.*s", (int)strcspn(found, "\n"), found);
    return true;
}

void soak_server_start(const struct soak_settings *settings, int64_t clock_ms,
                       struct soak_server *server_out)
{
    char data[PATH_BYTES], log[PATH_BYTES], instant[32], url[64];
    (void)snprintf(data, sizeof(data), "%s/data", settings->directory);
    (void)snprintf(log, sizeof(log), "%s/server.log", settings->directory);
    const time_t seconds = clock_ms / 1000;
    struct tm parts;
    (void)strftime(instant, sizeof(instant), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
    const char *const arguments[] = {settings->weir,
                                     "serve",
                                     "--data",
                                     data,
                                     "--policy",
                                     settings->policy,
                                     "--http",
                                     "127.0.0.1:0",
                                     "--resp",
                                     "off",
                                     "--grpc",
                                     "off",
                                     "--test-clock",
                                     instant,
                                     "--receipts-for",
                                     settings->receipts_for,
                                     "--snapshot-every",
                                     settings->snapshot_every,
                                     "--memory",
                                     settings->memory,
                                     NULL};
    (void)unlink(log);
    server_out->started_ns = pool_now_ns();
    server_out->pid = soak_run(arguments, log);
    for (int waited_ms = 0; !find_address(log, url); waited_ms += 2) {
        int status = 0;
        if (waitpid(server_out->pid, &status, WNOHANG) != 0 || waited_ms > START_MS_MAX) {
            (void)fprintf(stderr, "soak: the server did not start; see %s\n", log);
            exit(1);
        }
        rest_ms(2);
    }
    if (!server_address_find("soak", &(struct client_options){.server = url}, &server_out->address))
        exit(1);
}

bool soak_server_end(struct soak_server *server, int signal_number)
{
    int status = 0;
    (void)kill(server->pid, signal_number);
    while (waitpid(server->pid, &status, 0) < 0)
        if (errno != EINTR) return false;
    server->pid = 0;
    if (signal_number == SIGKILL) return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum soak_file file_kind(const char *name)
{
    if (strcmp(name, "journal.db") == 0) return SOAK_JOURNAL;
    if (strcmp(name, "journal.db-wal") == 0) return SOAK_JOURNAL_LOG;
    if (strcmp(name, "ledger.db") == 0) return SOAK_LEDGER;
    if (strcmp(name, "ledger.db-wal") == 0) return SOAK_LEDGER_LOG;
    if (strncmp(name, "snapshot-", 9) == 0) return SOAK_SNAPSHOTS;
    return strncmp(name, "keys", 4) == 0 ? SOAK_KEY_FILES : SOAK_FILES;
}

static void read_files(const struct soak_settings *settings, uint64_t files_out[SOAK_FILES])
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/data", settings->directory);
    DIR *directory = opendir(path);
    if (directory == NULL) soak_fail("the data directory cannot be read");
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat found;
        const enum soak_file kind = file_kind(entry->d_name);
        if (kind != SOAK_FILES && fstatat(dirfd(directory), entry->d_name, &found, 0) == 0)
            files_out[kind] += (uint64_t)found.st_blocks * 512;
    }
    (void)closedir(directory);
}

static uint64_t status_kib(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) : 0;
}

/* The 14th and 15th word of the line; the second, the program's name, has no space in it. */
static double processor_sec(pid_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    const int found =
        fscanf(file, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system);
    (void)fclose(file);
    return found == 2 ? (double)(user + system) / (double)sysconf(_SC_CLK_TCK) : 0;
}

/* What its threads waited with everything there but a processor. */
static double waited_sec(pid_t pid)
{
    char path[64];
    double sum = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) return 0;
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        unsigned long long ran = 0, waited = 0;
        char name[sizeof(path) + sizeof(task->d_name) + 16];
        if (task->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof(name), "%s/%s/schedstat", path, task->d_name);
        FILE *file = fopen(name, "re");
        if (file == NULL) continue;
        if (fscanf(file, "%llu %llu", &ran, &waited) == 2) sum += (double)waited / 1e9;
        (void)fclose(file);
    }
    (void)closedir(tasks);
    return sum;
}

void soak_server_use(const struct soak_settings *settings, const struct soak_server *server,
                     struct soak_use *use_out)
{
    char path[64], text[8192];
    *use_out = (struct soak_use){0};
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)server->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) soak_fail("the server is gone");
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    use_out->resident_bytes = status_kib(text, "\nVmRSS:") << 10;
    use_out->processor_sec = processor_sec(server->pid);
    use_out->waited_sec = waited_sec(server->pid);
    use_out->anonymous_bytes = status_kib(text, "\nRssAnon:") << 10;
    read_files(settings, use_out->files);
}

static uint64_t number_behind(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) : 0;
}

void soak_health_read(const char *body, struct soak_health *health_out)
{
    *health_out =
        (struct soak_health){.sequence = number_behind(body, "\"journal\":{\"sequence\":"),
                             .first = number_behind(body, "\"first\":"),
                             .lag_batches = number_behind(body, "\"lag_batches\":"),
                             .lag_ms = number_behind(body, "\"lag_ms\":"),
                             .state_bytes = number_behind(body, "\"state_bytes\":"),
                             .heads_bytes = number_behind(body, "\"books_bytes\":{\"heads\":"),
                             .held_bytes = number_behind(body, ",\"holds\":"),
                             .sqlite_bytes = number_behind(body, "\"sqlite\":"),
                             .holds = number_behind(body, "\"open_holds\":"),
                             .keys = number_behind(body, "\"keys\":")};
}

void soak_ask(const struct soak_server *server, const char *method, const char *path,
              const char *body, struct client_answer *answer_out)
{
    const struct client_request request = {
        .method = method, .path = path, .body = bytes_of_text(body)};
    if (!client_expect("soak", &server->address, &request, answer_out)) exit(1);
}

void soak_health_ask(const struct soak_server *server, struct soak_health *health_out)
{
    struct client_answer answer;
    soak_ask(server, "GET", "/healthz", "", &answer);
    soak_health_read(answer.body, health_out);
    client_answer_free(&answer);
}

double soak_catch_up(const struct soak_server *server)
{
    const int64_t from_ns = pool_now_ns();
    struct soak_health health;
    for (;;) {
        soak_health_ask(server, &health);
        if (health.lag_batches == 0) return (double)(pool_now_ns() - from_ns) / 1e9;
        rest_ms(5);
    }
}
