/*
 * log.h: one line per event, on standard error, as text or as JSON.
 *
 *     struct log_line line = log_begin(LOG_INFO, "journal_opened");
 *     log_text(&line, "directory", directory);
 *     log_number(&line, "sequence", sequence);
 *     log_end(&line);
 *
 * Names are ours (snake_case literals); values may be anybody's and are quoted so that they can
 * neither break a line nor reach a terminal. A reader that does not read costs lines, not
 * decisions: after a short wait lines are dropped, and the next that gets out says how many.
 *
 * The one piece of ambient state in the project: where the log goes, set once at the start.
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AS_TEXT, LOG_AS_JSON };

#define LOG_LINE_BYTES_MAX 3072 /* below PIPE_BUF, so that lines of two threads never mix */

struct log_line {
    enum log_level level;
    enum log_format format;
    size_t used;
    bool is_cut; /* fields that did not fit were left out */
    char text[LOG_LINE_BYTES_MAX];
};

/* Before the first line and before other threads. Unset: text to standard error, LOG_INFO. */
void log_configure(enum log_format format, enum log_level level_min, int fd);

struct log_line log_begin(enum log_level level, const char *event);
void log_text(struct log_line *line, const char *name, const char *value);
void log_bytes(struct log_line *line, const char *name, struct bytes value);
void log_number(struct log_line *line, const char *name, int64_t value);
void log_end(struct log_line *line);

/* An event with nothing to add. */
void log_event(enum log_level level, const char *event);

/* Whether lines of a level go out: for those that would cost something to put together. */
bool log_is_on(enum log_level level);
enum log_format log_format(void);

/* For events that a stranger can bring about as often as he likes. Zeroed at first; one thread. */
struct log_pace {
    int64_t second;
    uint32_t lines; /* in that second */
    uint64_t passed_over;
};
/* False: there were enough in this second. */
MUST_USE bool log_pace_take(struct log_pace *pace, int64_t now_ns, uint32_t a_second);
/* Says in a line how many before it were passed over, if any were. */
void log_paced(struct log_line *line, struct log_pace *pace);
