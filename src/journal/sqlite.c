/*
 * sqlite.c: the journal as one table of one SQLite file, one row a batch.
 *
 * Write-ahead log, synchronous=FULL: what was committed is on the disk. Large pages and a small,
 * frequent checkpoint keep the slowest commits short. One append is one conditional insert: it goes
 * in only where the predecessor is the very row this process knows as the tip, so a second writer,
 * however it came to be, can fork nothing. Its commit stands apart, so that its caller can tell the
 * time of the disk from that of the processor.
 *
 * ONE CONNECTION WRITES AND CHECKPOINTS. Debian 12 ships SQLite 3.40.1, in which two connections
 * that commit or checkpoint the same file can lose committed pages when one of them starts the log
 * over while the other still counts on its old frames (fixed in 3.51.3). Every other connection is
 * opened read-only, which can do neither. Whoever opens another writing connection to journal.db,
 * from this program or with the sqlite3 command, gives up that protection.
 *
 * Founding happens in a file of another name that is moved into place when it is whole and synced:
 * journal.db is a journal or is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/core.h"
#include "journal/journal.h"
#include "journal/page.h"
#include "platform/platform.h"

#define APPLICATION_ID 0x57454952 /* "WEIR" */
#define PAGE_BYTES 16384
#define CHECKPOINT_PAGES 64
#define SYNCHRONOUS_FULL 2
#define FILE_HEADER_BYTES 100
#define ROOT_PAGE 2 /* of the one table */
#define TREE_DEPTH_MAX 20
/* Others hold locks for moments only; beyond this something is wrong. */
#define BUSY_MS 5000

#define DIGITS_OF(number) #number
#define TEXT_OF(number) DIGITS_OF(number)

#define TABLE_SQL                   \
    "CREATE TABLE batch("           \
    "sequence INTEGER PRIMARY KEY," \
    "partition INTEGER NOT NULL,"   \
    "epoch INTEGER NOT NULL,"       \
    "kind INTEGER NOT NULL,"        \
    "writer INTEGER NOT NULL,"      \
    "version INTEGER NOT NULL,"     \
    "first_ms INTEGER NOT NULL,"    \
    "last_ms INTEGER NOT NULL,"     \
    "entries INTEGER NOT NULL,"     \
    "previous BLOB NOT NULL,"       \
    "hash BLOB NOT NULL,"           \
    "body BLOB NOT NULL"            \
    ") STRICT"

/* The columns of both statements, in this order, parameters counted from 1. */
enum column {
    COLUMN_SEQUENCE,
    COLUMN_PARTITION,
    COLUMN_EPOCH,
    COLUMN_KIND,
    COLUMN_WRITER,
    COLUMN_VERSION,
    COLUMN_FIRST_MS,
    COLUMN_LAST_MS,
    COLUMN_ENTRIES,
    COLUMN_PREVIOUS,
    COLUMN_HASH,
    COLUMN_BODY,
};

/* The predecessor's hash is not given but looked up, under the conditions that make it ours. Where
 * there is no such row the lookup gives NULL, which the column refuses, and OR IGNORE turns that
 * refusal, like that of a sequence already taken, into no row inserted. (INSERT ... SELECT ...
 * WHERE EXISTS says the same, but has SQLite copy every body into a temporary table first.) */
#define FOUND_SQL "INSERT INTO batch VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)"
#define APPEND_SQL                                                   \
    "INSERT OR IGNORE INTO batch VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9," \
    "(SELECT hash FROM batch WHERE sequence=?1-1 AND epoch=?3 AND hash=?10),?11,?12)"
#define CUT_SQL "DELETE FROM batch WHERE sequence>=?1 AND sequence<?2"
#define FIRST_SQL "SELECT min(sequence) FROM batch WHERE sequence>1"
#define READ_SQL                                                                    \
    "SELECT sequence,partition,epoch,kind,writer,version,first_ms,last_ms,entries," \
    "previous,hash,body FROM batch WHERE sequence=?1"

struct database {
    struct journal_core core; /* first: the one is the other */
    sqlite3 *connection;
    sqlite3_stmt *begin; /* NULL in a reader, and so are the next three */
    sqlite3_stmt *append;
    sqlite3_stmt *cut;
    sqlite3_stmt *commit;
    enum append_result written; /* what writing the pending batch came to; COMMITTED: it may be */
    sqlite3_stmt *first;
    sqlite3_stmt *read;
    bool is_copy;  /* read without locks */
    uint8_t *body; /* of the batch last read; JOURNAL_BODY_BYTES_MAX, touched as far as needed */
    char path[FILE_PATH_SIZE];
    char log_path[FILE_PATH_SIZE];
};

static void database_close(struct database *database)
{
    (void)sqlite3_finalize(database->begin);
    (void)sqlite3_finalize(database->append);
    (void)sqlite3_finalize(database->cut);
    (void)sqlite3_finalize(database->commit);
    (void)sqlite3_finalize(database->first);
    (void)sqlite3_finalize(database->read);
    ENSURE(sqlite3_close(database->connection) == SQLITE_OK);
    chain_end(&database->core.chain);
    free(database->body);
    free(database);
}

static void database_close_unless_null(struct database **database)
{
    if (*database != NULL) database_close(*database);
}
#define DATABASE_CLOSED_AT_END __attribute__((cleanup(database_close_unless_null)))

static void statement_end(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}
#define STATEMENT_ENDED_AT_END __attribute__((cleanup(statement_end)))

static enum journal_fault refuse_sqlite(struct database *database, enum journal_fault fault,
                                        const char *what)
{
    const int code = sqlite3_errcode(database->connection);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_TOOBIG)
        fault = JOURNAL_DAMAGED;
    return core_refuse(&database->core, fault, "%s: %s: %s", database->path, what,
                       sqlite3_errmsg(database->connection));
}

/* --- before SQLite sees the file ------------------------------------------------------------- */

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum journal_fault judge_header(struct database *database, struct bytes header)
{
    struct journal_core *core = &database->core;
    if (header.length < FILE_HEADER_BYTES || memcmp(header.at, "SQLite format 3", 16) != 0 ||
        big_endian(header.at + 68) != APPLICATION_ID)
        return core_refuse(core, JOURNAL_FOREIGN,
                           "%s is not a Weir journal: move it away, or choose another directory",
                           database->path);
    const uint32_t version = big_endian(header.at + 60);
    if (version != JOURNAL_VERSION)
        return core_refuse(
            core, JOURNAL_OTHER_VERSION,
            "%s is of format %" PRIu32
            ", this program reads and writes format %u: use the program that wrote it",
            database->path, version, JOURNAL_VERSION);
    return JOURNAL_OK;
}

/* Looks at the first bytes with a descriptor of its own: SQLite, once it has opened a file for
 * writing, may change it. Only before this process has a connection to the file, because closing
 * any descriptor of a file drops all the locks that the process has on it, SQLite's too. */
static enum journal_fault look(struct database *database, bool *is_there_out)
{
    struct journal_core *core = &database->core;
    uint8_t header[FILE_HEADER_BYTES];
    size_t used = 0;
    const int fd = open(database->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return core_refuse(core, JOURNAL_CANNOT_OPEN, "%s: cannot be opened: %s", database->path,
                           strerror(errno));
    if (fd >= 0) {
        const ssize_t got = pread(fd, header, sizeof header, 0);
        const int reason = errno;
        (void)close(fd);
        if (got < 0)
            return core_refuse(core, JOURNAL_CANNOT_OPEN, "%s: cannot be read: %s", database->path,
                               strerror(reason));
        used = (size_t)got;
    }
    *is_there_out = used > 0;
    if (used > 0) return judge_header(database, (struct bytes){header, used});

    /* SQLite would delete a log whose database is empty. That log may be all that is left. */
    if (journal_sqlite_log_bytes(&core->journal) > 0)
        return core_refuse(
            core, JOURNAL_DAMAGED,
            "%s is missing or empty but its log %s-wal is there: restore both from a "
            "backup, or move the log away to start anew",
            database->path, database->path);
    return JOURNAL_OK;
}

/* --- settings -------------------------------------------------------------------------------- */

struct setting {
    const char *name;
    const char *set;  /* NULL: fixed when the file was founded */
    const char *text; /* what reading it must give */
};

static const struct setting SETTINGS_OF_ALL[] = {
    {      "page_size",  NULL, TEXT_OF(PAGE_BYTES)},
    {       "encoding",  NULL,             "UTF-8"},
    { "trusted_schema", "off",                 "0"},
    {"cell_size_check",  "on",                 "1"},
};
static const struct setting SETTINGS_OF_WRITER[] = {
    {      "journal_mode",                     "wal",                     "wal"},
    {       "synchronous",                    "full", TEXT_OF(SYNCHRONOUS_FULL)},
    {"wal_autocheckpoint", TEXT_OF(CHECKPOINT_PAGES), TEXT_OF(CHECKPOINT_PAGES)},
};
static const struct setting SETTINGS_OF_READER[] = {
    {"query_only", "on", "1"},
};
static const struct setting SETTINGS_OF_SERVED[] = {
    {"locking_mode", "normal", "normal"},
};
/* With it the log's index is in memory, not in a file beside it. */
static const struct setting SETTINGS_OF_COPY[] = {
    {"locking_mode", "exclusive", "exclusive"},
};

/* The first column of the first row, as text; empty when there is none. */
static bool query_text(struct database *database, const char *sql, char *text_out, size_t size)
{
    STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->connection, sql, -1, &statement, NULL) != SQLITE_OK)
        return false;
    text_out[0] = '\0';
    const int code = sqlite3_step(statement);
    if (code != SQLITE_ROW) return code == SQLITE_DONE;
    const unsigned char *text = sqlite3_column_text(statement, 0);
    if (text != NULL) (void)snprintf(text_out, size, "%s", (const char *)text);
    return true;
}

static enum journal_fault apply_settings(struct database *database, const struct setting *settings,
                                         size_t count)
{
    for (size_t at = 0; at < count; at++) {
        const struct setting *setting = &settings[at];
        char sql[64];
        char text[64];
        if (setting->set != NULL) {
            (void)snprintf(sql, sizeof sql, "PRAGMA %s=%s", setting->name, setting->set);
            if (sqlite3_exec(database->connection, sql, NULL, NULL, NULL) != SQLITE_OK)
                return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, setting->name);
        }
        (void)snprintf(sql, sizeof sql, "PRAGMA %s", setting->name);
        if (!query_text(database, sql, text, sizeof text))
            return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, setting->name);
        if (strcmp(text, setting->text) != 0)
            return core_refuse(&database->core, JOURNAL_SETTING_REFUSED,
                               "%s: %s is '%s' where it must be '%s'", database->path,
                               setting->name, text, setting->text);
    }
    return JOURNAL_OK;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* The bodies stay the caller's until the statement was reset. Unsigned 64-bit numbers are stored as
 * the signed ones of the same bits. */
static bool bind_batch(sqlite3_stmt *statement, const struct batch_header *header,
                       struct bytes body)
{
    const struct {
        enum column column;
        uint64_t number;
    } numbers[] = {
        { COLUMN_SEQUENCE,           header->sequence},
        {COLUMN_PARTITION,          header->partition},
        {    COLUMN_EPOCH,              header->epoch},
        {     COLUMN_KIND,               header->kind},
        {   COLUMN_WRITER,             header->writer},
        {  COLUMN_VERSION,            header->version},
        { COLUMN_FIRST_MS, (uint64_t)header->first_ms},
        {  COLUMN_LAST_MS,  (uint64_t)header->last_ms},
        {  COLUMN_ENTRIES,            header->entries},
    };
    for (size_t at = 0; at < COUNT_OF(numbers); at++) {
        const int parameter = (int)numbers[at].column + 1;
        if (sqlite3_bind_int64(statement, parameter, (sqlite3_int64)numbers[at].number) !=
            SQLITE_OK)
            return false;
    }
    return sqlite3_bind_blob(statement, COLUMN_PREVIOUS + 1, header->previous.byte,
                             JOURNAL_HASH_BYTES, SQLITE_STATIC) == SQLITE_OK &&
           sqlite3_bind_blob(statement, COLUMN_HASH + 1, header->hash.byte, JOURNAL_HASH_BYTES,
                             SQLITE_STATIC) == SQLITE_OK &&
           sqlite3_bind_blob(statement, COLUMN_BODY + 1, body.at, (int)body.length,
                             SQLITE_STATIC) == SQLITE_OK;
}

static bool take_u32(sqlite3_stmt *statement, enum column column, uint32_t *number_out)
{
    const sqlite3_int64 number = sqlite3_column_int64(statement, (int)column);
    if (number < 0 || number > UINT32_MAX) return false;
    *number_out = (uint32_t)number;
    return true;
}

static bool take_hash(sqlite3_stmt *statement, enum column column, struct journal_hash *hash_out)
{
    const void *blob = sqlite3_column_blob(statement, (int)column);
    if (blob == NULL || sqlite3_column_bytes(statement, (int)column) != JOURNAL_HASH_BYTES)
        return false;
    memcpy(hash_out->byte, blob, JOURNAL_HASH_BYTES);
    return true;
}

/* False where a column holds what no batch can have: numbers must not be cut to fit, or a flipped
 * bit beyond the cut would go unseen by the hash. */
static bool take_batch(struct database *database, struct batch_header *header_out,
                       struct bytes *body_out)
{
    sqlite3_stmt *row = database->read;
    for (int column = COLUMN_SEQUENCE; column <= COLUMN_ENTRIES; column++)
        if (sqlite3_column_type(row, column) != SQLITE_INTEGER) return false;
    for (int column = COLUMN_PREVIOUS; column <= COLUMN_BODY; column++)
        if (sqlite3_column_type(row, column) != SQLITE_BLOB) return false;

    struct batch_header header = {
        .sequence = (uint64_t)sqlite3_column_int64(row, COLUMN_SEQUENCE),
        .epoch = (uint64_t)sqlite3_column_int64(row, COLUMN_EPOCH),
        .writer = (uint64_t)sqlite3_column_int64(row, COLUMN_WRITER),
        .first_ms = sqlite3_column_int64(row, COLUMN_FIRST_MS),
        .last_ms = sqlite3_column_int64(row, COLUMN_LAST_MS),
    };
    if (!take_u32(row, COLUMN_PARTITION, &header.partition)) return false;
    if (!take_u32(row, COLUMN_KIND, &header.kind)) return false;
    if (!take_u32(row, COLUMN_VERSION, &header.version)) return false;
    if (!take_u32(row, COLUMN_ENTRIES, &header.entries)) return false;
    if (!take_hash(row, COLUMN_PREVIOUS, &header.previous)) return false;
    if (!take_hash(row, COLUMN_HASH, &header.hash)) return false;

    const void *body = sqlite3_column_blob(row, COLUMN_BODY);
    const int length = sqlite3_column_bytes(row, COLUMN_BODY);
    if (body == NULL || length <= 0 || (size_t)length > JOURNAL_BODY_BYTES_MAX) return false;
    memcpy(database->body, body, (size_t)length);
    *header_out = header;
    *body_out = (struct bytes){.at = database->body, .length = (size_t)length};
    return true;
}

/* Why there is no such batch. Only a beginning can have been cut, so whatever is older than the
 * oldest was; batches in between can only have been lost. */
static enum journal_fault refuse_missing(struct database *database, uint64_t sequence)
{
    struct journal_core *core = &database->core;
    uint64_t first = 0;
    if (sqlite3_step(database->first) == SQLITE_ROW)
        first = (uint64_t)sqlite3_column_int64(database->first, 0);
    (void)sqlite3_reset(database->first);
    if (sequence >= 2 && sequence < first && core->journal.tip.sequence != 0)
        return core_refuse(core, JOURNAL_CUT,
                           "batch %" PRIu64 " was cut: the journal begins at %" PRIu64, sequence,
                           first);
    if (sequence >= 1 && sequence <= core->journal.tip.sequence)
        return core_refuse(core, JOURNAL_DAMAGED,
                           "batch %" PRIu64 " is missing. Restore the data directory from a backup",
                           sequence);
    return core_refuse(core, JOURNAL_READ_FAILED, "there is no batch %" PRIu64 " in the journal",
                       sequence);
}

static enum journal_fault read_row(struct journal *journal, uint64_t sequence,
                                   struct batch_header *header_out, struct bytes *body_out)
{
    struct database *database = (struct database *)journal;
    struct journal_core *core = &database->core;
    if (sqlite3_bind_int64(database->read, 1, (sqlite3_int64)sequence) != SQLITE_OK)
        return refuse_sqlite(database, JOURNAL_READ_FAILED, "cannot ask for a batch");

    struct batch_header header = {0};
    struct bytes body = {0};
    enum journal_fault fault = JOURNAL_OK;
    const int code = sqlite3_step(database->read);
    if (code == SQLITE_ROW) {
        if (!take_batch(database, &header, &body))
            fault = core_refuse(core, JOURNAL_DAMAGED,
                                "batch %" PRIu64 " is not what was written: a column holds what no "
                                "batch has. Restore the data directory from a backup",
                                sequence);
    } else if (code != SQLITE_DONE) {
        fault = refuse_sqlite(database, JOURNAL_READ_FAILED, "a batch cannot be read");
    } else {
        fault = refuse_missing(database, sequence);
    }
    /* Ends the transaction: nothing read here may keep the log from being started over. */
    (void)sqlite3_reset(database->read);
    if (fault == JOURNAL_OK) fault = core_check(core, sequence, &header, body);
    if (fault != JOURNAL_OK) return fault;
    *header_out = header;
    *body_out = body;
    return JOURNAL_OK;
}

static bool is_done(sqlite3_stmt *statement)
{
    const bool is_done = sqlite3_step(statement) == SQLITE_DONE;
    (void)sqlite3_reset(statement);
    return is_done;
}

/* The oldest batches that may go. */
static bool cut(struct database *database)
{
    const struct journal_core *core = &database->core;
    const uint64_t first = core->journal.first;
    const uint64_t first_after = core->first_after;
    const bool is_cut =
        sqlite3_bind_int64(database->cut, 1, (sqlite3_int64)first) == SQLITE_OK &&
        sqlite3_bind_int64(database->cut, 2, (sqlite3_int64)first_after) == SQLITE_OK &&
        sqlite3_step(database->cut) == SQLITE_DONE &&
        (uint64_t)sqlite3_changes(database->connection) == first_after - first;
    (void)sqlite3_reset(database->cut);
    return is_cut;
}

/* The pending batch, and what goes for it, in a transaction. False: the world failed. */
static bool write_pending(struct database *database, bool *is_in_out)
{
    const struct journal_core *core = &database->core;
    const bool cuts = core->first_after > core->journal.first;
    if (!bind_batch(database->append, &core->pending, core->pending_body)) return false;
    if (!is_done(database->begin) || (cuts && !cut(database))) return false;
    const bool is_written = sqlite3_step(database->append) == SQLITE_DONE;
    *is_in_out = sqlite3_changes(database->connection) == 1;
    return is_written;
}

static const char *failure_of(struct database *database)
{
    const int code = sqlite3_errcode(database->connection);
    if (code == SQLITE_OK || code == SQLITE_DONE)
        return "the batches that were to be cut are not all there";
    return sqlite3_errmsg(database->connection);
}

/* Whatever it was, it is not tried again: after a failed sync the kernel takes pages for written
 * that are not, and a second try would succeed on top of a hole. */
static enum append_result give_up(struct database *database)
{
    struct journal_core *core = &database->core;
    (void)core_refuse(core, JOURNAL_WRITE_FAILED,
                      "%s: batch %" PRIu64 " may or may not be there: %s. Make room or mend the "
                      "disk, then start again",
                      database->path, core->pending.sequence, failure_of(database));
    return APPEND_UNKNOWN;
}

static enum append_result try_write(struct database *database)
{
    struct journal_core *core = &database->core;
    bool is_in = false;
    if (!write_pending(database, &is_in)) return give_up(database);
    if (is_in) return APPEND_COMMITTED;
    (void)core_refuse(core, JOURNAL_WRITE_FAILED,
                      "%s: somebody else has written batch %" PRIu64 " or changed batch %" PRIu64
                      ": find the other server that uses this directory",
                      database->path, core->pending.sequence, core->pending.sequence - 1);
    return APPEND_FENCED;
}

/* All but the commit, which is what waits for the disk. */
static void append_start(struct journal *journal, struct batch_header header, struct bytes body)
{
    struct database *database = (struct database *)journal;
    core_append_start(journal, header, body);
    if (!core_append_is_pending(&database->core)) return;
    database->written = try_write(database);
    (void)sqlite3_reset(database->append);
    (void)sqlite3_clear_bindings(database->append);
}

static enum append_result append_finish(struct journal *journal)
{
    struct database *database = (struct database *)journal;
    enum append_result result = APPEND_NONE;
    if (core_append_is_pending(&database->core)) {
        result = database->written;
        if (result == APPEND_COMMITTED && !is_done(database->commit)) result = give_up(database);
        if (result != APPEND_COMMITTED)
            (void)sqlite3_exec(database->connection, "ROLLBACK", NULL, NULL, NULL);
    }
    return core_append_end(&database->core, result);
}

static void close_journal(struct journal *journal)
{
    database_close((struct database *)journal);
}

/* --- opening --------------------------------------------------------------------------------- */

static const struct journal_calls CALLS = {
    .append_start = append_start,
    .append_finish = append_finish,
    .keep_from = core_keep_from,
    .read = read_row,
    .close = close_journal,
};

static struct database *database_make(void)
{
    struct database *database = calloc(1, sizeof *database);
    ENSURE(database != NULL);
    ENSURE(chain_start(&database->core.chain));
    database->body = malloc(JOURNAL_BODY_BYTES_MAX);
    ENSURE(database->body != NULL);
    database->core.journal.calls = &CALLS;
    database->core.epoch = 1;
    return database;
}

static enum journal_fault name_files(struct database *database, const char *directory)
{
    if (file_path(directory, "journal.db", database->path) &&
        file_path(directory, "journal.db-wal", database->log_path))
        return JOURNAL_OK;
    return core_refuse(&database->core, JOURNAL_CANNOT_OPEN,
                       "the path of the data directory is too long");
}

bool journal_copy_uri(const char *path, char uri_out[JOURNAL_URI_SIZE])
{
    char log[FILE_PATH_SIZE + 8];
    struct stat status;
    (void)snprintf(log, sizeof log, "%s-wal", path);
    /* Without a log the file is all there is; with one SQLite must read it, but need not lock. */
    const bool has_log = stat(log, &status) == 0 && status.st_size > 0;
    struct buffer uri = buffer_over(uri_out, JOURNAL_URI_SIZE);
    buffer_put_text(&uri, "file:");
    for (; *path != '\0'; path++) {
        const uint8_t byte = (uint8_t)*path;
        const bool is_plain = byte > ' ' && byte < 0x7f && strchr("%?#", byte) == NULL;
        if (is_plain) {
            buffer_put_byte(&uri, byte);
        } else {
            buffer_put_byte(&uri, '%');
            buffer_put_hex(&uri, (struct bytes){&byte, 1});
        }
    }
    buffer_put_text(&uri, has_log ? "?vfs=unix-none" : "?immutable=1");
    buffer_put_byte(&uri, '\0');
    return !uri.overflowed;
}

static enum journal_fault connect(struct database *database, const char *path, int flags)
{
    char uri[JOURNAL_URI_SIZE];
    if (database->is_copy) {
        if (!journal_copy_uri(path, uri))
            return core_refuse(&database->core, JOURNAL_CANNOT_OPEN, "%s: the path is too long",
                               path);
        path = uri;
        flags |= SQLITE_OPEN_URI;
    }
    if (sqlite3_open_v2(path, &database->connection, flags | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, "cannot be opened");
    ENSURE(sqlite3_busy_timeout(database->connection, BUSY_MS) == SQLITE_OK);
    /* Closing a log that holds nothing would delete it, also for somebody who only reads. */
    ENSURE(sqlite3_db_config(database->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                             (flags & SQLITE_OPEN_READONLY) != 0, NULL) == SQLITE_OK);
    /* Room for the largest batch and its header; more than that is damage. */
    (void)sqlite3_limit(database->connection, SQLITE_LIMIT_LENGTH, JOURNAL_BODY_BYTES_MAX + 65536);
    if (database->is_copy)
        return apply_settings(database, SETTINGS_OF_COPY, COUNT_OF(SETTINGS_OF_COPY));
    return apply_settings(database, SETTINGS_OF_SERVED, COUNT_OF(SETTINGS_OF_SERVED));
}

static void disconnect(struct database *database)
{
    ENSURE(sqlite3_close(database->connection) == SQLITE_OK);
    database->connection = NULL;
}

static bool insert_genesis(struct database *database, const struct genesis *genesis)
{
    STATEMENT_ENDED_AT_END sqlite3_stmt *insert = NULL;
    return sqlite3_prepare_v2(database->connection, FOUND_SQL, -1, &insert, NULL) == SQLITE_OK &&
           bind_batch(insert, &genesis->header,
                      (struct bytes){genesis->body, sizeof genesis->body}) &&
           sqlite3_step(insert) == SQLITE_DONE;
}

/* Everything goes through the log into the file before anybody sees it. */
static enum journal_fault fill_new(struct database *database, const struct genesis *genesis)
{
    char founding[512];
    (void)snprintf(founding, sizeof founding,
                   "PRAGMA page_size=%d;PRAGMA encoding='UTF-8';PRAGMA journal_mode=wal;"
                   "PRAGMA synchronous=full;PRAGMA application_id=%d;PRAGMA user_version=%u;",
                   PAGE_BYTES, APPLICATION_ID, JOURNAL_VERSION);
    if (sqlite3_exec(database->connection, founding, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(database->connection, TABLE_SQL, NULL, NULL, NULL) != SQLITE_OK ||
        !insert_genesis(database, genesis) ||
        sqlite3_wal_checkpoint_v2(database->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                  NULL) != SQLITE_OK)
        return refuse_sqlite(database, JOURNAL_WRITE_FAILED, "cannot be founded");
    return JOURNAL_OK;
}

static enum journal_fault found(struct database *database, const char *directory,
                                const struct genesis *genesis)
{
    char path[FILE_PATH_SIZE];
    if (!file_path(directory, "journal.db.new", path) || !file_make_empty(path))
        return core_refuse(&database->core, JOURNAL_WRITE_FAILED, "%s: cannot be founded: %s",
                           database->path, strerror(errno));
    enum journal_fault fault = connect(database, path, SQLITE_OPEN_READWRITE);
    if (fault == JOURNAL_OK) fault = fill_new(database, genesis);
    disconnect(database);
    if (fault != JOURNAL_OK) return fault;
    if (!file_sync_path(path) || rename(path, database->path) != 0 ||
        !file_sync_directory(directory))
        return core_refuse(&database->core, JOURNAL_WRITE_FAILED, "%s: cannot be founded: %s",
                           database->path, strerror(errno));
    database->core.journal.is_new = true;
    return JOURNAL_OK;
}

/* The table must be the one that was founded: nothing about it may be left to what somebody else
 * thought it should be, or to a flipped bit in where its pages begin. */
static enum journal_fault check_table(struct database *database)
{
    char root[32];
    char sql[sizeof TABLE_SQL + 8];
    if (!query_text(database, "SELECT sql FROM sqlite_schema WHERE type='table' AND name='batch'",
                    sql, sizeof sql) ||
        !query_text(database,
                    "SELECT rootpage FROM sqlite_schema WHERE type='table' AND name='batch'", root,
                    sizeof root))
        return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, "its layout cannot be read");
    if (strcmp(sql, TABLE_SQL) != 0 || strcmp(root, TEXT_OF(ROOT_PAGE)) != 0)
        return core_refuse(&database->core, JOURNAL_DAMAGED,
                           "%s: its table was altered. Restore the data directory from a backup",
                           database->path);
    if (sqlite3_prepare_v3(database->connection, READ_SQL, -1, SQLITE_PREPARE_PERSISTENT,
                           &database->read, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(database->connection, FIRST_SQL, -1, SQLITE_PREPARE_PERSISTENT,
                           &database->first, NULL) != SQLITE_OK)
        return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, "its layout is not known");
    return JOURNAL_OK;
}

/* Through SQLite's own descriptor: see look. Right once the log was folded into the file. */
static bool read_page(struct database *database, uint32_t page, uint8_t block[PAGE_BYTES])
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(database->connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) !=
        SQLITE_OK)
        return false;
    const sqlite3_int64 offset = ((sqlite3_int64)page - 1) * PAGE_BYTES;
    return file->pMethods->xRead(file, block, PAGE_BYTES, offset) == SQLITE_OK;
}

static enum journal_fault check_newest_page(struct database *database)
{
    uint8_t block[PAGE_BYTES];
    const struct bytes page = {.at = block, .length = PAGE_BYTES};
    uint32_t below = ROOT_PAGE;
    for (unsigned depth = 0; below != 0 && depth < TREE_DEPTH_MAX; depth++) {
        if (!read_page(database, below, block))
            return core_refuse(&database->core, JOURNAL_READ_FAILED,
                               "%s: page %" PRIu32 " cannot be read", database->path, below);
        below = page_rightmost(page);
    }
    if (page_leaf_is_whole(page)) return JOURNAL_OK;
    return core_refuse(
        &database->core, JOURNAL_DAMAGED,
        "%s: the page of the newest batches is damaged: some may be missing. Restore "
        "the data directory from a backup",
        database->path);
}

/* One statement, hence one moment: a writer may be at work beside a reader. Genesis aside, which
 * may stand apart, every number up to the newest must be there. */
static enum journal_fault check_density(struct database *database, uint64_t *newest_out)
{
    STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->connection,
                           "SELECT (SELECT max(sequence) FROM batch),(SELECT count(*) FROM batch),"
                           "(" FIRST_SQL ")",
                           -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return refuse_sqlite(database, JOURNAL_READ_FAILED, "its batches cannot be counted");
    const sqlite3_int64 newest = sqlite3_column_int64(statement, 0);
    const sqlite3_int64 count = sqlite3_column_int64(statement, 1);
    const bool has_others = sqlite3_column_type(statement, 2) == SQLITE_INTEGER;
    const sqlite3_int64 first = has_others ? sqlite3_column_int64(statement, 2) : 2;
    if (newest - first + 2 != count)
        return core_refuse(&database->core, JOURNAL_DAMAGED,
                           "%s: there are %lld batches where the oldest is number %lld and the "
                           "newest number %lld. "
                           "Restore the data directory from a backup",
                           database->path, (long long)count, (long long)first, (long long)newest);
    *newest_out = (uint64_t)newest;
    database->core.journal.first = (uint64_t)first;
    return JOURNAL_OK;
}

static enum journal_fault check_genesis(struct database *database)
{
    struct journal_core *core = &database->core;
    struct batch_header header = {0};
    struct bytes body = {0};
    const enum journal_fault fault = read_row(&core->journal, 1, &header, &body);
    if (fault == JOURNAL_READ_FAILED ||
        (fault == JOURNAL_OK && !core_genesis_key(body, &core->journal.key)))
        return core_refuse(
            core, JOURNAL_DAMAGED,
            "%s: its first batch is missing or not known. Restore the data directory "
            "from a backup",
            database->path);
    if (fault == JOURNAL_OK) core->genesis_hash = header.hash;
    return fault;
}

/* Genesis and tip are read and judged; between them every number must be there. The rest is judged
 * by whoever reads it. */
static enum journal_fault check_ends(struct database *database)
{
    struct journal_core *core = &database->core;
    struct batch_header header = {0};
    struct bytes body = {0};
    uint64_t newest = 0;
    enum journal_fault fault = check_density(database, &newest);
    if (fault == JOURNAL_OK) fault = check_genesis(database);
    if (fault == JOURNAL_OK) fault = read_row(&core->journal, newest, &header, &body);
    if (fault != JOURNAL_OK) return fault;
    core->journal.tip = (struct journal_tip){
        .sequence = header.sequence,
        .hash = header.hash,
        .last_ms = header.last_ms,
    };
    return JOURNAL_OK;
}

/* Reads and changes nothing: a file that is refused stays as it is. */
static enum journal_fault judge(struct database *database)
{
    enum journal_fault fault = apply_settings(database, SETTINGS_OF_ALL, COUNT_OF(SETTINGS_OF_ALL));
    if (fault == JOURNAL_OK) fault = check_table(database);
    return fault;
}

/* Decides whether closing the last connection folds the log into the file. */
static void set_fold_on_close(struct database *database, bool folds)
{
    ENSURE(sqlite3_db_config(database->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, folds ? 0 : 1,
                             NULL) == SQLITE_OK);
}

/* The one connection that writes and checkpoints. */
static enum journal_fault open_writer(struct database *database)
{
    enum journal_fault fault = connect(database, database->path, SQLITE_OPEN_READWRITE);
    if (fault != JOURNAL_OK) return fault;
    if (sqlite3_db_readonly(database->connection, "main") != 0)
        return core_refuse(&database->core, JOURNAL_CANNOT_OPEN,
                           "%s: may not be written by this user, or lies on a read-only disk",
                           database->path);
    ENSURE(sqlite3_db_config(database->connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) ==
           SQLITE_OK);
    set_fold_on_close(database, false);
    fault = judge(database);
    if (fault == JOURNAL_OK) fault = check_ends(database);
    if (fault != JOURNAL_OK) return fault;

    fault = apply_settings(database, SETTINGS_OF_WRITER, COUNT_OF(SETTINGS_OF_WRITER));
    if (fault != JOURNAL_OK) return fault;
    const struct {
        const char *sql;
        sqlite3_stmt **statement;
    } statements[] = {
        {"BEGIN IMMEDIATE",  &database->begin},
        {       APPEND_SQL, &database->append},
        {          CUT_SQL,    &database->cut},
        {         "COMMIT", &database->commit},
    };
    for (size_t at = 0; at < COUNT_OF(statements); at++)
        if (sqlite3_prepare_v3(database->connection, statements[at].sql, -1,
                               SQLITE_PREPARE_PERSISTENT, statements[at].statement,
                               NULL) != SQLITE_OK)
            return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, "cannot be written");
    return JOURNAL_OK;
}

enum journal_fault journal_sqlite_fold(struct journal *journal)
{
    struct database *database = (struct database *)journal;
    set_fold_on_close(database, true);
    /* The last process may have ended on a failed sync: what the kernel still shows of its log need
     * not be on the disk. Writing it into the file and syncing that makes sure. */
    if (sqlite3_wal_checkpoint_v2(database->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                  NULL) != SQLITE_OK)
        return refuse_sqlite(database, JOURNAL_WRITE_FAILED,
                             "its log cannot be folded in (end whatever else reads the file)");
    return check_newest_page(database);
}

/* A connection that can neither commit nor checkpoint. It is judged through SQLite alone: see
 * look. */
static enum journal_fault open_reader(struct database *database)
{
    enum journal_fault fault = connect(database, database->path, SQLITE_OPEN_READONLY);
    if (fault != JOURNAL_OK) return fault;
    char application[32];
    char version[32];
    if (!query_text(database, "PRAGMA application_id", application, sizeof application) ||
        !query_text(database, "PRAGMA user_version", version, sizeof version))
        return refuse_sqlite(database, JOURNAL_CANNOT_OPEN, "cannot be read");
    if (strtoull(application, NULL, 10) != APPLICATION_ID)
        return core_refuse(&database->core, JOURNAL_FOREIGN, "%s is not a Weir journal",
                           database->path);
    if (strtoull(version, NULL, 10) != JOURNAL_VERSION)
        return core_refuse(&database->core, JOURNAL_OTHER_VERSION,
                           "%s is of format %s, this program reads format %u", database->path,
                           version, JOURNAL_VERSION);
    fault = apply_settings(database, SETTINGS_OF_READER, COUNT_OF(SETTINGS_OF_READER));
    return fault == JOURNAL_OK ? judge(database) : fault;
}

static enum journal_fault hand_over(struct database **database, enum journal_fault fault,
                                    struct journal **journal_out, char detail_out[256])
{
    memcpy(detail_out, (*database)->core.journal.detail, JOURNAL_DETAIL_SIZE);
    if (fault != JOURNAL_OK) return fault;
    *journal_out = &(*database)->core.journal;
    *database = NULL;
    return JOURNAL_OK;
}

enum journal_fault journal_sqlite_open_as_it_is(const char *directory, struct hash_key genesis_key,
                                                uint64_t writer, struct journal **journal_out,
                                                char detail_out[256])
{
    DATABASE_CLOSED_AT_END struct database *database = database_make();
    database->core.writer = writer;
    bool is_there = false;
    enum journal_fault fault = name_files(database, directory);
    if (fault == JOURNAL_OK) fault = look(database, &is_there);
    if (fault == JOURNAL_OK && !is_there) {
        const struct genesis genesis = core_genesis(&database->core.chain, genesis_key, writer);
        fault = found(database, directory, &genesis);
    }
    if (fault == JOURNAL_OK) fault = open_writer(database);
    return hand_over(&database, fault, journal_out, detail_out);
}

enum journal_fault journal_sqlite_open(const char *directory, struct hash_key genesis_key,
                                       uint64_t writer, struct journal **journal_out,
                                       char detail_out[256])
{
    struct journal *journal = NULL;
    enum journal_fault fault =
        journal_sqlite_open_as_it_is(directory, genesis_key, writer, &journal, detail_out);
    if (fault != JOURNAL_OK) return fault;
    fault = journal_sqlite_fold(journal);
    memcpy(detail_out, journal->detail, JOURNAL_DETAIL_SIZE);
    if (fault == JOURNAL_OK)
        *journal_out = journal;
    else
        journal->calls->close(journal);
    return fault;
}

enum journal_fault journal_sqlite_open_reader(const char *directory, struct journal **journal_out,
                                              char detail_out[256])
{
    DATABASE_CLOSED_AT_END struct database *database = database_make();
    enum journal_fault fault = name_files(database, directory);
    if (fault == JOURNAL_OK) fault = open_reader(database);
    if (fault == JOURNAL_OK) fault = check_ends(database);
    return hand_over(&database, fault, journal_out, detail_out);
}

/* What was cut from a last page that the log has too is missed by nobody but this. */
static enum journal_fault check_length(struct database *database)
{
    struct stat status;
    if (stat(database->path, &status) == 0 && status.st_size % PAGE_BYTES == 0) return JOURNAL_OK;
    return core_refuse(&database->core, JOURNAL_DAMAGED, "%s: does not end with a whole page",
                       database->path);
}

enum journal_fault journal_sqlite_open_witness(const char *directory, enum journal_access access,
                                               struct journal **journal_out, char detail_out[256])
{
    DATABASE_CLOSED_AT_END struct database *database = database_make();
    database->is_copy = access == JOURNAL_A_COPY;
    enum journal_fault fault = name_files(database, directory);
    if (fault == JOURNAL_OK) fault = open_reader(database);
    if (fault == JOURNAL_OK) fault = check_genesis(database);
    if (fault == JOURNAL_OK && database->is_copy) fault = check_length(database);
    return hand_over(&database, fault, journal_out, detail_out);
}

enum journal_fault journal_sqlite_find(struct journal *journal, uint64_t from, uint64_t *first_out,
                                       uint64_t *newest_out)
{
    struct database *database = (struct database *)journal;
    STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->connection,
                           "SELECT (SELECT min(sequence) FROM batch WHERE sequence>=?1),"
                           "(SELECT max(sequence) FROM batch)",
                           -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)from) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return refuse_sqlite(database, JOURNAL_READ_FAILED, "its batches cannot be found");
    *first_out = (uint64_t)sqlite3_column_int64(statement, 0);
    *newest_out = (uint64_t)sqlite3_column_int64(statement, 1);
    return JOURNAL_OK;
}

uint64_t journal_sqlite_log_bytes(const struct journal *journal)
{
    const struct database *database = (const struct database *)journal;
    struct stat status;
    if (stat(database->log_path, &status) != 0) return 0;
    return (uint64_t)status.st_size;
}

enum journal_fault journal_sqlite_entries_after(struct journal *journal, uint64_t sequence,
                                                uint64_t *entries_out)
{
    struct database *database = (struct database *)journal;
    STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->connection,
                           "SELECT coalesce(sum(entries),0) FROM batch WHERE sequence>?1", -1,
                           &statement, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)sequence) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        return refuse_sqlite(database, JOURNAL_READ_FAILED, "its entries cannot be counted");
    *entries_out = (uint64_t)sqlite3_column_int64(statement, 0);
    return JOURNAL_OK;
}
