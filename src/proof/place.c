/*
 * place.c: see place.h.
 */
#include "proof/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proof/verdict.h"

enum { STEPS_PER_PROGRESS = 100000 };

static const char *const FILES[PLACE_FILES] = {"journal.db", "journal.db-wal", "ledger.db",
                                               "ledger.db-wal"};

static bool is_served(const char *directory)
{
    char path[FILE_PATH_SIZE];
    if (!file_path(directory, "lock", path)) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool is_held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(fd); /* and with it a lock of ours */
    return is_held;
}

static void take_state(const char *directory, struct stat state_out[PLACE_FILES])
{
    for (unsigned i = 0; i < PLACE_FILES; ++i) {
        char path[FILE_PATH_SIZE];
        memset(&state_out[i], 0, sizeof(state_out[i]));
        if (file_path(directory, FILES[i], path)) (void)stat(path, &state_out[i]);
    }
}

/* What cannot be read is said when it is walked. */
static bool journal_is_cut(const struct place *place)
{
    struct journal *journal = NULL;
    char detail[256];
    uint64_t first = 0;
    uint64_t newest = 0;
    if (journal_sqlite_open_witness(place->directory, place->access, &journal, detail) !=
        JOURNAL_OK)
        return false;
    if (journal_sqlite_find(journal, 2, &first, &newest) != JOURNAL_OK) first = 0;
    journal->calls->close(journal);
    return first > 2;
}

bool place_open(struct place *place, const char *directory, struct proof_verdict *verdict)
{
    struct stat status;
    char path[FILE_PATH_SIZE];
    *place = (struct place){.directory = directory};
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode)) {
        verdict_found(verdict, "%s", errno != 0 ? strerror(errno) : "something else");
        return verdict_find(verdict, directory, "is not a directory that can be read",
                            "Name the directory that `weir serve --data` was given");
    }
    if (file_path(directory, "journal.db", path) && stat(path, &status) != 0 && errno == ENOENT)
        return verdict_find(verdict, "journal.db", "is not in this directory",
                            "Name the directory that `weir serve --data` was given; if it is this "
                            "one, restore it from a backup");
    place->access = is_served(directory) ? JOURNAL_SERVED : JOURNAL_A_COPY;
    take_state(directory, place->before);
    verdict->journal_is_cut = journal_is_cut(place);
    return true;
}

static bool is_same(const struct stat *left, const struct stat *right)
{
    return left->st_ino == right->st_ino && left->st_size == right->st_size &&
           left->st_mtim.tv_sec == right->st_mtim.tv_sec &&
           left->st_mtim.tv_nsec == right->st_mtim.tv_nsec;
}

void place_close(const struct place *place, struct proof_verdict *verdict)
{
    struct stat after[PLACE_FILES];
    if (place->access == JOURNAL_SERVED) return;
    take_state(place->directory, after);
    for (unsigned i = 0; i < PLACE_FILES; ++i) {
        if (is_same(&place->before[i], &after[i])) continue;
        verdict->finding = (struct proof_finding){0};
        (void)verdict_find(verdict, FILES[i],
                           "changed while it was read: a server was started meanwhile",
                           ADVICE_AGAIN);
        return;
    }
}

struct page_check {
    const struct proof_parts *parts;
    char what[64];
};

static int show_steps(void *self)
{
    const struct page_check *check = self;
    check->parts->progress(check->parts->self, check->what, 0, 0);
    return 0;
}

static bool judge_pages(sqlite3 *connection, const char *name, struct proof_verdict *verdict)
{
    sqlite3_stmt *statement = NULL;
    bool is_whole = false;
    const char *said = NULL;
    if (sqlite3_prepare_v2(connection, "PRAGMA integrity_check(1)", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        said = (const char *)sqlite3_column_text(statement, 0);
    if (said == NULL) said = sqlite3_errmsg(connection);
    is_whole = strcmp(said, "ok") == 0;
    if (!is_whole) {
        verdict_found(verdict, "%s", said);
        (void)verdict_find(verdict, name, "its pages are damaged", ADVICE_RESTORE);
    }
    (void)sqlite3_finalize(statement);
    return is_whole;
}

bool place_check_pages(const struct place *place, const char *name, const struct proof_parts *parts,
                       struct proof_verdict *verdict)
{
    char path[FILE_PATH_SIZE];
    char uri[JOURNAL_URI_SIZE];
    sqlite3 *connection = NULL;
    struct page_check check = {.parts = parts};
    (void)snprintf(check.what, sizeof(check.what), "checking the pages of %s", name);
    if (place->access == JOURNAL_SERVED) {
        verdict_note(
            verdict,
            "%s is being served: its pages were not checked one by one (that takes a copy)", name);
        return true;
    }
    if (!file_path(place->directory, name, path) || !journal_copy_uri(path, uri))
        return verdict_find(verdict, name, "its path is too long", "Choose a shorter one");
    bool is_whole = false;
    if (sqlite3_open_v2(uri, &connection,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                        NULL) == SQLITE_OK &&
        /* An empty log would be deleted at the end. */
        sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
        sqlite3_exec(connection,
                     "PRAGMA locking_mode=exclusive;PRAGMA trusted_schema=off;"
                     "PRAGMA cell_size_check=on",
                     NULL, NULL, NULL) == SQLITE_OK) {
        sqlite3_progress_handler(connection, STEPS_PER_PROGRESS, show_steps, &check);
        is_whole = judge_pages(connection, name, verdict);
    } else {
        verdict_found(verdict, "%s", sqlite3_errmsg(connection));
        (void)verdict_find(verdict, name, "cannot be opened", ADVICE_RESTORE);
    }
    ENSURE(sqlite3_close(connection) == SQLITE_OK);
    return is_whole;
}
