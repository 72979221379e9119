/*
 * testing.h: a ledger whose rows a test writes itself, through the writing connection, and a
 * reader beside it. Not part of the library.
 */
#pragma once

#include "ledger/store.h"

#include "platform/testing.h"

struct books {
    struct scratch scratch;
    struct ledger *writer;
    struct ledger_reader *reader;
    uint64_t sequence; /* of the newest batch */
};

static inline void books_sql(struct books *books, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    assert_non_null(text);
    const bool is_done = ledger_exec(books->writer, text);
    if (!is_done) print_error("%s: %s\n", sqlite3_errmsg(books->writer->connection), text);
    assert_true(is_done);
    sqlite3_free(text);
}

static inline int books_start(void **state)
{
    static const struct ledger_origin origin = {.genesis_hash = {{1}}, .key = {{2, 3}}};
    struct ledger_detail detail;
    struct ledger *connection = NULL;
    struct books *books = calloc(1, sizeof(*books));
    assert_non_null(books);
    books->scratch = scratch_make();
    assert_int_equal(LEDGER_OK, ledger_open(books->scratch.path, &origin, &books->writer, &detail));
    assert_int_equal(LEDGER_OK,
                     ledger_open_reader(books->scratch.path, &origin, &connection, &detail));
    books->reader = ledger_reader_over(connection);
    assert_non_null(books->reader);
    /* The view is read by name here. */
    books_sql(books, "PRAGMA trusted_schema=on");
    books->sequence = 1;
    *state = books;
    return 0;
}

static inline int books_stop(void **state)
{
    struct books *books = *state;
    ledger_reader_close(books->reader);
    ledger_close(books->writer);
    scratch_remove(&books->scratch);
    free(books);
    return 0;
}

/* The next position, in a batch of its own. */
static inline uint64_t books_next(struct books *books)
{
    return position_make(++books->sequence, 0);
}

static inline void books_settled(struct books *books)
{
    books_sql(books, "UPDATE meta SET value=%lld WHERE name='cursor_sequence'",
              (long long)books->sequence);
}

struct event {
    uint64_t position;
    uint64_t decision; /* 0: itself */
    int64_t at_ms;
    const char *customer;
    const char *subject;
    const char *feature;
    const char *model;
    const char *kind;    /* NULL: "consume" */
    const char *outcome; /* NULL: "allow" */
    int late;
    int64_t count; /* 0: 1 */
    int64_t units;
    int64_t charged;
    const char *sources; /* NULL: [] */
    const char *actual;  /* NULL: {} */
    uint64_t previous;
};

static inline void books_event(struct books *books, const struct event *event)
{
    books_sql(
        books,
        "INSERT INTO usage_events VALUES(%llu,%llu,%lld,NULL,%Q,%Q,%Q,NULL,%Q,NULL,'{}',%Q,%Q,"
        "'ok',NULL,NULL,%d,%lld,'requests',%lld,%lld,'{}',%Q,%Q,%lld,0,0,0,5,NULL,%llu)",
        (unsigned long long)event->position,
        (unsigned long long)(event->decision != 0 ? event->decision : event->position),
        (long long)event->at_ms, event->customer, event->subject != NULL ? event->subject : "",
        event->feature != NULL ? event->feature : "chat", event->model,
        event->kind != NULL ? event->kind : "consume",
        event->outcome != NULL ? event->outcome : "allow", event->late,
        (long long)(event->count != 0 ? event->count : 1), (long long)event->units,
        (long long)event->units, event->actual != NULL ? event->actual : "{}",
        event->sources != NULL ? event->sources : "[]", (long long)event->charged,
        (unsigned long long)event->previous);
}
