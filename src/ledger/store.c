/*
 * store.c: opening, founding and refusing ledger.db; rows as SQLite has them.
 *
 * As with the journal, a file is founded under another name and moved into place when it is whole
 * and synced, so ledger.db is a ledger or is not there; a file that is not ours is looked at
 * through a descriptor of its own before SQLite sees it, because SQLite may change what it opens.
 */
#include "ledger/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/schema.h"

#define APPLICATION_ID 0x5745424b /* "WEBK": Weir's books */
#define PAGE_BYTES 16384
#define SYNCHRONOUS_FULL 2
#define FILE_HEADER_BYTES 100
/* The log is folded in once it has so many pages: 32 MiB. */
#define CHECKPOINT_PAGES 2048

#define DIGITS_OF(number) #number
#define TEXT_OF(number) DIGITS_OF(number)

const char *ledger_fault_text(enum ledger_fault fault)
{
    static const char *const texts[] = {
#define X(name, text) [name] = (text),
        LEDGER_FAULT_TABLE(X)
#undef X
    };
    ENSURE((unsigned)fault < COUNT_OF(texts));
    return texts[fault];
}

enum ledger_fault ledger_refuse(struct ledger *ledger, enum ledger_fault fault, const char *format,
                                ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(ledger->detail.text, sizeof ledger->detail.text, format, arguments);
    va_end(arguments);
    return fault;
}

const char *ledger_advice(const struct ledger *ledger)
{
    switch (ledger->origin.journal) {
    case LEDGER_JOURNAL_WHOLE:
        return "Move the file away, and the ledger is made anew from the journal";
    case LEDGER_JOURNAL_CUT:
        return "Restore ledger.db from the backup that goes with the journal, whose beginning was "
               "cut: it cannot be made anew";
    case LEDGER_JOURNAL_UNKNOWN:
        break;
    }
    return "Restore ledger.db from a backup, or, while the journal still has its beginning, move "
           "it "
           "away: the server makes it anew";
}

enum ledger_fault ledger_refuse_sqlite(struct ledger *ledger, enum ledger_fault fault,
                                       const char *what)
{
    const int code = sqlite3_errcode(ledger->connection);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_TOOBIG ||
        code == SQLITE_CONSTRAINT)
        fault = LEDGER_DAMAGED;
    return ledger_refuse(ledger, fault, "%s: %s: %s", ledger->path, what,
                         sqlite3_errmsg(ledger->connection));
}

/* --- statements ------------------------------------------------------------------------------ */

void ledger_statement_end(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
}

bool ledger_prepare(struct ledger *ledger, const char *sql, sqlite3_stmt **statement_out)
{
    return sqlite3_prepare_v3(ledger->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, statement_out,
                              NULL) == SQLITE_OK;
}

static int bind_one(sqlite3_stmt *statement, int parameter, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        return sqlite3_bind_null(statement, parameter);
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, parameter, value->integer);
    case VALUE_TEXT:
        return sqlite3_bind_text(statement, parameter, (const char *)value->bytes.at,
                                 (int)value->bytes.length, SQLITE_STATIC);
    case VALUE_BLOB:
        return sqlite3_bind_blob(statement, parameter, value->bytes.at, (int)value->bytes.length,
                                 SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

bool ledger_bind(sqlite3_stmt *statement, const struct value *values, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++)
        if (bind_one(statement, (int)at + 1, &values[at]) != SQLITE_OK) return false;
    return true;
}

bool ledger_run(sqlite3_stmt *statement)
{
    const int code = sqlite3_step(statement);
    return sqlite3_reset(statement) == SQLITE_OK && code == SQLITE_DONE;
}

bool ledger_exec(struct ledger *ledger, const char *sql)
{
    return sqlite3_exec(ledger->connection, sql, NULL, NULL, NULL) == SQLITE_OK;
}

bool ledger_take_row(sqlite3_stmt *statement, uint32_t columns, struct value *values_out)
{
    for (uint32_t at = 0; at < columns; at++) {
        const int column = (int)at;
        struct value value = {.kind = VALUE_NULL};
        switch (sqlite3_column_type(statement, column)) {
        case SQLITE_NULL:
            break;
        case SQLITE_INTEGER:
            value = value_of_signed(sqlite3_column_int64(statement, column));
            break;
        case SQLITE_TEXT:
            value.kind = VALUE_TEXT;
            value.bytes.at = sqlite3_column_text(statement, column);
            break;
        case SQLITE_BLOB:
            value.kind = VALUE_BLOB;
            value.bytes.at = sqlite3_column_blob(statement, column);
            break;
        default:
            return false;
        }
        if (value.kind >= VALUE_TEXT)
            value.bytes.length = (size_t)sqlite3_column_bytes(statement, column);
        if (value.bytes.length == 0 && value.kind >= VALUE_TEXT) value.bytes = BYTES("");
        values_out[at] = value;
    }
    return true;
}

bool ledger_meta(struct ledger *ledger, const char *name, int64_t *value_out)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    const struct value key = value_of_text(bytes_of_text(name));
    if (!ledger_prepare(ledger, "SELECT value FROM meta WHERE name=?", &statement) ||
        !ledger_bind(statement, &key, 1) || sqlite3_step(statement) != SQLITE_ROW ||
        sqlite3_column_type(statement, 0) != SQLITE_INTEGER) {
        (void)ledger_refuse(ledger, LEDGER_DAMAGED, "%s: %s cannot be read from meta: %s",
                            ledger->path, name, sqlite3_errmsg(ledger->connection));
        return false;
    }
    *value_out = sqlite3_column_int64(statement, 0);
    return true;
}

/* The first column of the first row, as text; empty when there is none. */
static bool query_text(struct ledger *ledger, const char *sql, char *text_out, size_t size)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (!ledger_prepare(ledger, sql, &statement)) return false;
    text_out[0] = '\0';
    const int code = sqlite3_step(statement);
    if (code != SQLITE_ROW) return code == SQLITE_DONE;
    const unsigned char *text = sqlite3_column_text(statement, 0);
    if (text != NULL) (void)snprintf(text_out, size, "%s", (const char *)text);
    return true;
}

/* --- hashes ---------------------------------------------------------------------------------- */

static struct bytes canonical(struct ledger *ledger, const struct value *values, uint32_t count)
{
    ledger->canonical.used = 0;
    values_encode(values, count, &ledger->canonical);
    ENSURE(!ledger->canonical.overflowed);
    return buffer_bytes(&ledger->canonical);
}

struct ledger_hash ledger_balance_hash(struct ledger *ledger, const struct ledger_hash *previous,
                                       const struct value values[BALANCE_COLUMNS])
{
    const struct bytes row = canonical(ledger, values, BALANCE_COLUMNS - 1);
    digest_begin(&ledger->digest, previous);
    digest_add(&ledger->digest, row);
    return digest_take(&ledger->digest);
}

void ledger_seal_begin(struct ledger *ledger, const struct ledger_hash *previous)
{
    digest_begin(&ledger->digest, previous);
}

void ledger_seal_add(struct ledger *ledger, const struct value *values, uint32_t count)
{
    digest_add(&ledger->digest, canonical(ledger, values, count));
}

struct ledger_hash ledger_seal_take(struct ledger *ledger)
{
    return digest_take(&ledger->digest);
}

/* --- before SQLite sees the file ------------------------------------------------------------- */

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum ledger_fault judge_header(struct ledger *ledger, struct bytes header)
{
    if (header.length < FILE_HEADER_BYTES || memcmp(header.at, "SQLite format 3", 16) != 0 ||
        big_endian(header.at + 68) != APPLICATION_ID)
        return ledger_refuse(ledger, LEDGER_FOREIGN, "%s is not a Weir ledger. %s", ledger->path,
                             ledger_advice(ledger));
    const uint32_t version = big_endian(header.at + 60);
    if (version != LEDGER_VERSION)
        return ledger_refuse(ledger, LEDGER_OTHER_VERSION,
                             "%s is of format %" PRIu32
                             ", this program reads and writes format %u: use the program that "
                             "wrote it. %s",
                             ledger->path, version, LEDGER_VERSION,
                             ledger->origin.journal == LEDGER_JOURNAL_WHOLE ? ledger_advice(ledger)
                                                                            : "");
    return LEDGER_OK;
}

/* Only before this process has a connection to the file: closing any descriptor of a file drops all
 * locks that the process has on it, SQLite's too. */
static enum ledger_fault look(struct ledger *ledger, bool *is_there_out)
{
    uint8_t header[FILE_HEADER_BYTES];
    size_t used = 0;
    const int fd = open(ledger->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return ledger_refuse(ledger, LEDGER_CANNOT_OPEN, "%s: cannot be opened: %s", ledger->path,
                             strerror(errno));
    if (fd >= 0) {
        const ssize_t got = pread(fd, header, sizeof header, 0);
        const int reason = errno;
        (void)close(fd);
        if (got < 0)
            return ledger_refuse(ledger, LEDGER_CANNOT_OPEN, "%s: cannot be read: %s", ledger->path,
                                 strerror(reason));
        used = (size_t)got;
    }
    *is_there_out = used > 0;
    if (used > 0) return judge_header(ledger, (struct bytes){header, used});

    /* SQLite would delete a log whose database is empty. That log may be all that is left. */
    if (ledger_log_bytes(ledger) > 0)
        return ledger_refuse(
            ledger, LEDGER_DAMAGED,
            "%s is missing or empty but its log %s-wal is there: restore both from "
            "a backup%s",
            ledger->path, ledger->path,
            ledger->origin.journal == LEDGER_JOURNAL_WHOLE
                ? ", or move the log away to have the ledger made anew from the journal"
                : "");
    return LEDGER_OK;
}

/* --- settings -------------------------------------------------------------------------------- */

struct pragma {
    const char *name;
    const char *set;  /* NULL: fixed when the file was founded */
    const char *text; /* what reading it must give */
};

static const struct pragma SETTINGS_OF_ALL[] = {
    {      "page_size",  NULL, TEXT_OF(PAGE_BYTES)},
    {       "encoding",  NULL,             "UTF-8"},
    { "trusted_schema", "off",                 "0"},
    {"cell_size_check",  "on",                 "1"},
};
static const struct pragma SETTINGS_OF_WRITER[] = {
    {      "journal_mode",                     "wal",                     "wal"},
    {       "synchronous",                    "full", TEXT_OF(SYNCHRONOUS_FULL)},
    {"wal_autocheckpoint", TEXT_OF(CHECKPOINT_PAGES), TEXT_OF(CHECKPOINT_PAGES)},
    {        "cache_size",                  "-65536",                  "-65536"},
    {        "temp_store",                  "memory",                       "2"},
};
static const struct pragma SETTINGS_OF_READER[] = {
    {"query_only", "on", "1"},
};
static const struct pragma SETTINGS_OF_SERVED[] = {
    {"locking_mode", "normal", "normal"},
};
/* With it the log's index is in memory, not in a file beside it. */
static const struct pragma SETTINGS_OF_COPY[] = {
    {"locking_mode", "exclusive", "exclusive"},
};

static enum ledger_fault apply_settings(struct ledger *ledger, const struct pragma *pragmas,
                                        size_t count)
{
    for (size_t at = 0; at < count; at++) {
        const struct pragma *pragma = &pragmas[at];
        char sql[64];
        char text[64];
        if (pragma->set != NULL) {
            (void)snprintf(sql, sizeof sql, "PRAGMA %s=%s", pragma->name, pragma->set);
            if (!ledger_exec(ledger, sql))
                return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, pragma->name);
        }
        (void)snprintf(sql, sizeof sql, "PRAGMA %s", pragma->name);
        if (!query_text(ledger, sql, text, sizeof text))
            return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, pragma->name);
        if (strcmp(text, pragma->text) != 0)
            return ledger_refuse(ledger, LEDGER_SETTING_REFUSED,
                                 "%s: %s is '%s' where it must be '%s'", ledger->path, pragma->name,
                                 text, pragma->text);
    }
    return LEDGER_OK;
}

/* --- judging --------------------------------------------------------------------------------- */

/* The tables must be those that were founded, whatever somebody thought they should be since. What
 * others added beside them is theirs. */
static enum ledger_fault check_schema(struct ledger *ledger)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (!ledger_prepare(ledger, "SELECT sql FROM sqlite_schema WHERE type=? AND name=?",
                        &statement))
        return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, "its layout cannot be read");
    for (unsigned at = 0; at < LEDGER_SCHEMA_COUNT; at++) {
        const struct schema_object *object = &LEDGER_SCHEMA[at];
        const struct value key[] = {value_of_word(object->type), value_of_word(object->name)};
        if (!ledger_bind(statement, key, COUNT_OF(key)))
            return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, "its layout cannot be read");
        const int code = sqlite3_step(statement);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            return ledger_refuse_sqlite(ledger, LEDGER_READ_FAILED, "its layout cannot be read");
        const char *sql =
            code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (sql == NULL || strcmp(sql, object->sql) != 0)
            return ledger_refuse(ledger, LEDGER_DAMAGED,
                                 "%s: its %s %s is missing or was altered. %s", ledger->path,
                                 object->type, object->name, ledger_advice(ledger));
        (void)sqlite3_reset(statement);
    }
    return LEDGER_OK;
}

static enum ledger_fault check_origin(struct ledger *ledger)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    if (!ledger_prepare(ledger, "SELECT value FROM meta WHERE name='genesis_hash'", &statement))
        return ledger_refuse_sqlite(ledger, LEDGER_READ_FAILED, "its origin cannot be read");
    const int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return ledger_refuse_sqlite(ledger, LEDGER_READ_FAILED, "its origin cannot be read");
    struct value origin = {.kind = VALUE_NULL};
    if (code == SQLITE_ROW && !ledger_take_row(statement, 1, &origin)) origin.kind = VALUE_NULL;
    if (origin.kind != VALUE_BLOB || origin.bytes.length != JOURNAL_HASH_BYTES)
        return ledger_refuse(ledger, LEDGER_DAMAGED,
                             "%s: it does not say which journal it belongs to. %s", ledger->path,
                             ledger_advice(ledger));
    if (memcmp(origin.bytes.at, ledger->origin.genesis_hash.byte, JOURNAL_HASH_BYTES) != 0)
        return ledger_refuse(ledger, LEDGER_OTHER_JOURNAL,
                             "%s belongs to another journal than the journal.db beside it: bring "
                             "back the one that belongs there. %s",
                             ledger->path, ledger_advice(ledger));
    return LEDGER_OK;
}

/* Reads and changes nothing: a file that is refused stays as it is. */
static enum ledger_fault judge(struct ledger *ledger, bool knows_origin)
{
    enum ledger_fault fault = apply_settings(ledger, SETTINGS_OF_ALL, COUNT_OF(SETTINGS_OF_ALL));
    if (fault == LEDGER_OK) fault = check_schema(ledger);
    if (fault == LEDGER_OK && knows_origin) fault = check_origin(ledger);
    return fault;
}

/* --- opening --------------------------------------------------------------------------------- */

static void ledger_close_unless_null(struct ledger **ledger)
{
    if (*ledger != NULL) ledger_close(*ledger);
}
#define LEDGER_CLOSED_AT_END __attribute__((cleanup(ledger_close_unless_null)))

static struct ledger *ledger_make(const struct ledger_origin *origin)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    ENSURE(ledger != NULL);
    ENSURE(digest_start(&ledger->digest));
    uint8_t *block = malloc(LEDGER_TEXT_BYTES_MAX);
    ENSURE(block != NULL);
    ledger->canonical = buffer_over(block, LEDGER_TEXT_BYTES_MAX);
    if (origin != NULL) ledger->origin = *origin;
    return ledger;
}

void ledger_close(struct ledger *ledger)
{
    ENSURE(sqlite3_close(ledger->connection) == SQLITE_OK);
    digest_end(&ledger->digest);
    free(ledger->canonical.at);
    free(ledger);
}

static enum ledger_fault connect(struct ledger *ledger, const char *path, int flags)
{
    char uri[JOURNAL_URI_SIZE];
    if (ledger->is_copy) {
        if (!journal_copy_uri(path, uri))
            return ledger_refuse(ledger, LEDGER_CANNOT_OPEN, "%s: the path is too long", path);
        path = uri;
        flags |= SQLITE_OPEN_URI;
    }
    if (sqlite3_open_v2(path, &ledger->connection, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, "cannot be opened");
    ENSURE(sqlite3_busy_timeout(ledger->connection, LEDGER_BUSY_MS) == SQLITE_OK);
    /* Closing a log that holds nothing would delete it, also for somebody who only reads. */
    ENSURE(sqlite3_db_config(ledger->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                             (flags & SQLITE_OPEN_READONLY) != 0, NULL) == SQLITE_OK);
    (void)sqlite3_limit(ledger->connection, SQLITE_LIMIT_LENGTH, LEDGER_TEXT_BYTES_MAX);
    if (ledger->is_copy)
        return apply_settings(ledger, SETTINGS_OF_COPY, COUNT_OF(SETTINGS_OF_COPY));
    return apply_settings(ledger, SETTINGS_OF_SERVED, COUNT_OF(SETTINGS_OF_SERVED));
}

static void disconnect(struct ledger *ledger)
{
    ENSURE(sqlite3_close(ledger->connection) == SQLITE_OK);
    ledger->connection = NULL;
}

static bool put_meta(struct ledger *ledger, const char *name, struct value value)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    const struct value row[] = {value_of_word(name), value};
    return ledger_prepare(ledger, "INSERT INTO meta VALUES(?,?)", &statement) &&
           ledger_bind(statement, row, COUNT_OF(row)) && ledger_run(statement);
}

/* The genesis batch holds no entries: it is settled by having been read. */
static bool put_first_meta(struct ledger *ledger)
{
    const struct value genesis = {
        .kind = VALUE_BLOB,
        .bytes = {ledger->origin.genesis_hash.byte, JOURNAL_HASH_BYTES},
    };
    static const char *const ZEROES[] = {"cursor_ms", "heads_position", "rolled_through",
                                         "days_through_ms", "usage_cut"};
    bool is_put = put_meta(ledger, "genesis_hash", genesis) &&
                  put_meta(ledger, "cursor_sequence", value_of_signed(1)) &&
                  put_meta(ledger, "cursor_hash", genesis);
    for (size_t at = 0; at < COUNT_OF(ZEROES); at++)
        is_put = is_put && put_meta(ledger, ZEROES[at], value_of_signed(0));
    return is_put;
}

/* The names that every state is born with. */
static bool put_first_symbols(struct ledger *ledger)
{
    LEDGER_STATEMENT_ENDED_AT_END sqlite3_stmt *statement = NULL;
    static const char *const NAMES[] = {
        [SYMBOL_PROMOTIONAL] = "promotional",
        [SYMBOL_ENTITLEMENT] = "entitlement",
        [SYMBOL_PAID] = "paid",
        [SYMBOL_UNLIMITED] = "unlimited",
    };
    bool is_put = ledger_prepare(ledger, "INSERT INTO symbols VALUES(?,?)", &statement);
    for (unsigned number = 1; number < COUNT_OF(NAMES); number++) {
        const struct value row[] = {value_of_unsigned(number), value_of_word(NAMES[number])};
        is_put = is_put && ledger_bind(statement, row, COUNT_OF(row)) && ledger_run(statement);
    }
    return is_put;
}

static enum ledger_fault fill_new(struct ledger *ledger)
{
    char founding[512];
    (void)snprintf(founding, sizeof founding,
                   "PRAGMA page_size=%d;PRAGMA encoding='UTF-8';PRAGMA journal_mode=wal;"
                   "PRAGMA synchronous=full;PRAGMA application_id=%d;PRAGMA user_version=%u;BEGIN",
                   PAGE_BYTES, APPLICATION_ID, LEDGER_VERSION);
    bool is_filled = ledger_exec(ledger, founding);
    for (unsigned at = 0; at < LEDGER_SCHEMA_COUNT; at++)
        is_filled = is_filled && ledger_exec(ledger, LEDGER_SCHEMA[at].sql);
    is_filled = is_filled && put_first_meta(ledger) && put_first_symbols(ledger) &&
                ledger_exec(ledger, "INSERT INTO usage_days_at "
                                    "VALUES(1,-1,'','','','','','','','','')") &&
                ledger_exec(ledger, "COMMIT");
    if (!is_filled ||
        sqlite3_wal_checkpoint_v2(ledger->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                  NULL) != SQLITE_OK)
        return ledger_refuse_sqlite(ledger, LEDGER_WRITE_FAILED, "cannot be founded");
    return LEDGER_OK;
}

static enum ledger_fault found(struct ledger *ledger, const char *directory)
{
    char path[FILE_PATH_SIZE];
    if (!file_path(directory, "ledger.db.new", path) || !file_make_empty(path))
        return ledger_refuse(ledger, LEDGER_WRITE_FAILED, "%s: cannot be founded: %s", ledger->path,
                             strerror(errno));
    enum ledger_fault fault = connect(ledger, path, SQLITE_OPEN_READWRITE);
    if (fault == LEDGER_OK) fault = fill_new(ledger);
    disconnect(ledger);
    if (fault != LEDGER_OK) return fault;
    if (!file_sync_path(path) || rename(path, ledger->path) != 0 || !file_sync_directory(directory))
        return ledger_refuse(ledger, LEDGER_WRITE_FAILED, "%s: cannot be founded: %s", ledger->path,
                             strerror(errno));
    return LEDGER_OK;
}

/* Decides whether closing the last connection folds the log into the file. */
static void set_fold_on_close(struct ledger *ledger, bool folds)
{
    ENSURE(sqlite3_db_config(ledger->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, folds ? 0 : 1,
                             NULL) == SQLITE_OK);
}

static enum ledger_fault open_writer(struct ledger *ledger)
{
    enum ledger_fault fault = connect(ledger, ledger->path, SQLITE_OPEN_READWRITE);
    if (fault != LEDGER_OK) return fault;
    if (sqlite3_db_readonly(ledger->connection, "main") != 0)
        return ledger_refuse(ledger, LEDGER_CANNOT_OPEN,
                             "%s: may not be written by this user, or lies on a read-only disk",
                             ledger->path);
    ENSURE(sqlite3_db_config(ledger->connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) ==
           SQLITE_OK);
    ledger->is_writer = true;
    set_fold_on_close(ledger, false);
    fault = judge(ledger, true);
    if (fault != LEDGER_OK) return fault;
    set_fold_on_close(ledger, true);
    fault = apply_settings(ledger, SETTINGS_OF_WRITER, COUNT_OF(SETTINGS_OF_WRITER));
    if (fault != LEDGER_OK) return fault;
    /* The last process may have ended on a failed sync: what the kernel still shows of its log need
     * not be on the disk. Writing it into the file and syncing that makes sure. */
    if (sqlite3_wal_checkpoint_v2(ledger->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
                                  NULL) != SQLITE_OK)
        return ledger_refuse_sqlite(ledger, LEDGER_WRITE_FAILED,
                                    "its log cannot be folded in (end whatever else reads the "
                                    "file)");
    return LEDGER_OK;
}

static enum ledger_fault open_reader(struct ledger *ledger, bool knows_origin)
{
    enum ledger_fault fault = connect(ledger, ledger->path, SQLITE_OPEN_READONLY);
    if (fault != LEDGER_OK) return fault;
    /* Through SQLite: a descriptor of our own would drop the locks of this process's writer. */
    char application[32];
    char version[32];
    if (!query_text(ledger, "PRAGMA application_id", application, sizeof application) ||
        !query_text(ledger, "PRAGMA user_version", version, sizeof version))
        return ledger_refuse_sqlite(ledger, LEDGER_CANNOT_OPEN, "cannot be read");
    if (strtoull(application, NULL, 10) != APPLICATION_ID)
        return ledger_refuse(ledger, LEDGER_FOREIGN, "%s is not a Weir ledger", ledger->path);
    if (strtoull(version, NULL, 10) != LEDGER_VERSION)
        return ledger_refuse(ledger, LEDGER_OTHER_VERSION,
                             "%s is of format %s, this program reads format %u", ledger->path,
                             version, LEDGER_VERSION);
    fault = apply_settings(ledger, SETTINGS_OF_READER, COUNT_OF(SETTINGS_OF_READER));
    return fault == LEDGER_OK ? judge(ledger, knows_origin) : fault;
}

static enum ledger_fault name_files(struct ledger *ledger, const char *directory)
{
    if (file_path(directory, "ledger.db", ledger->path) &&
        file_path(directory, "ledger.db-wal", ledger->log_path))
        return LEDGER_OK;
    return ledger_refuse(ledger, LEDGER_CANNOT_OPEN, "the path of the data directory is too long");
}

static enum ledger_fault hand_over(struct ledger **ledger, enum ledger_fault fault,
                                   struct ledger **ledger_out, struct ledger_detail *detail_out)
{
    *detail_out = (*ledger)->detail;
    if (fault != LEDGER_OK) return fault;
    *ledger_out = *ledger;
    *ledger = NULL;
    return LEDGER_OK;
}

enum ledger_fault ledger_open(const char *directory, const struct ledger_origin *origin,
                              struct ledger **ledger_out, struct ledger_detail *detail_out)
{
    LEDGER_CLOSED_AT_END struct ledger *ledger = ledger_make(origin);
    bool is_there = false;
    enum ledger_fault fault = name_files(ledger, directory);
    if (fault == LEDGER_OK) fault = look(ledger, &is_there);
    if (fault == LEDGER_OK && !is_there && origin->journal == LEDGER_JOURNAL_CUT)
        fault = ledger_refuse(ledger, LEDGER_MISSING, "%s is missing. %s", ledger->path,
                              ledger_advice(ledger));
    if (fault == LEDGER_OK && !is_there) fault = found(ledger, directory);
    if (fault == LEDGER_OK) fault = open_writer(ledger);
    return hand_over(&ledger, fault, ledger_out, detail_out);
}

static enum ledger_fault look_in(struct ledger *ledger, const char *directory, bool knows_origin)
{
    enum ledger_fault fault = name_files(ledger, directory);
    struct stat status;
    if (fault == LEDGER_OK && stat(ledger->path, &status) != 0)
        fault = ledger_refuse(ledger, errno == ENOENT ? LEDGER_MISSING : LEDGER_CANNOT_OPEN,
                              "%s: cannot be opened: %s", ledger->path, strerror(errno));
    return fault == LEDGER_OK ? open_reader(ledger, knows_origin) : fault;
}

enum ledger_fault ledger_open_reader(const char *directory, const struct ledger_origin *origin,
                                     struct ledger **ledger_out, struct ledger_detail *detail_out)
{
    LEDGER_CLOSED_AT_END struct ledger *ledger = ledger_make(origin);
    const enum ledger_fault fault = look_in(ledger, directory, origin != NULL);
    return hand_over(&ledger, fault, ledger_out, detail_out);
}

/* What was cut from a last page that the log has too is missed by nobody but this. */
static enum ledger_fault check_length(struct ledger *ledger)
{
    struct stat status;
    if (stat(ledger->path, &status) == 0 && status.st_size % PAGE_BYTES == 0) return LEDGER_OK;
    return ledger_refuse(ledger, LEDGER_DAMAGED, "%s: does not end with a whole page",
                         ledger->path);
}

enum ledger_fault ledger_open_witness(const char *directory, enum journal_access access,
                                      struct ledger **ledger_out, struct ledger_detail *detail_out)
{
    LEDGER_CLOSED_AT_END struct ledger *ledger = ledger_make(NULL);
    ledger->is_copy = access == JOURNAL_A_COPY;
    enum ledger_fault fault = look_in(ledger, directory, false);
    if (fault == LEDGER_OK && ledger->is_copy) fault = check_length(ledger);
    return hand_over(&ledger, fault, ledger_out, detail_out);
}

const char *ledger_detail(const struct ledger *ledger)
{
    return ledger->detail.text;
}

sqlite3 *ledger_connection(const struct ledger *ledger)
{
    return ledger->connection;
}

uint64_t ledger_log_bytes(const struct ledger *ledger)
{
    struct stat status;
    return stat(ledger->log_path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t ledger_memory_bytes(void)
{
    return (uint64_t)sqlite3_memory_used();
}

uint64_t ledger_file_bytes(const struct ledger *ledger)
{
    struct stat status;
    return ledger_log_bytes(ledger) +
           (stat(ledger->path, &status) == 0 ? (uint64_t)status.st_size : 0);
}
