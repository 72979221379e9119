/*
 * assert.c: the end of a process that has met a bug of its own. Says what and where with nothing
 * but write(2), since any other part of the program may be what is broken, and leaves a core.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void assertion_failed(const char *expression, const char *file, int line)
{
    char text[512];
    const int length = snprintf(text, sizeof text, "weir: assertion failed: %s, at %s:%d\n",
                                expression, file, line);
    if (length > 0) {
        const size_t kept = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
        const ssize_t written = write(STDERR_FILENO, text, kept);
        (void)written;
    }
    abort();
}
