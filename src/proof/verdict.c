/*
 * verdict.c: see verdict.h.
 */
#include "proof/verdict.h"

#include <stdarg.h>
#include <stdio.h>

bool verdict_find(struct proof_verdict *verdict, const char *file, const char *what,
                  const char *advice)
{
    struct proof_finding *finding = &verdict->finding;
    verdict->is_clean = false;
    (void)snprintf(finding->file, sizeof(finding->file), "%s", file);
    (void)snprintf(finding->what, sizeof(finding->what), "%s", what);
    (void)snprintf(finding->advice, sizeof(finding->advice), "%s", advice);
    return false;
}

#define WRITE_TEXT(text, format)                                    \
    do {                                                            \
        va_list arguments;                                          \
        va_start(arguments, format);                                \
        (void)vsnprintf((text), sizeof(text), (format), arguments); \
        va_end(arguments);                                          \
    } while (0)

void verdict_place(struct proof_verdict *verdict, const char *format, ...)
{
    WRITE_TEXT(verdict->finding.place, format);
}

void verdict_expected(struct proof_verdict *verdict, const char *format, ...)
{
    WRITE_TEXT(verdict->finding.expected, format);
}

void verdict_found(struct proof_verdict *verdict, const char *format, ...)
{
    WRITE_TEXT(verdict->finding.found, format);
}

void verdict_count(struct proof_verdict *verdict, const char *of, const char *what, uint64_t number)
{
    ENSURE(verdict->count_count < PROOF_COUNTS_MAX);
    verdict->counts[verdict->count_count++] =
        (struct proof_count){.of = of, .what = what, .number = number};
}

void verdict_note(struct proof_verdict *verdict, const char *format, ...)
{
    for (unsigned i = 0; i < COUNT_OF(verdict->notes); ++i) {
        if (verdict->notes[i][0] != '\0') continue;
        WRITE_TEXT(verdict->notes[i], format);
        return;
    }
}
