/*
 * progress.h: how far long work is: one line on stderr, drawn over itself, when that is a terminal;
 * nothing in a pipe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "rows" */
    uint64_t whole;
    int64_t start_ns;
    int64_t drawn_ns;
    bool is_shown;
};

/* whole 0: nobody knows how much there is; then `what` stands alone. */
struct progress progress_begin(const char *what, uint64_t whole);
void progress_show(struct progress *progress, uint64_t done); /* cheap: draws ten times a second */
void progress_end(struct progress *progress);                 /* wipes the line */
