/*
 * verdict.c: see verdict.h.
 */
#include "proof/verdict.h"

#include <stdarg.h>
#include <stdio.h>

const char ADVICE_REBUILD[] =
    "Restore ledger.db from a backup, or move it away: the server makes it anew from the journal, "
    "whose beginning is there";

void verdict_write(struct proof_verdict *verdict, const char *file, const char *what,
                   const char *advice)
{
    struct proof_finding *finding = &verdict->finding;
    verdict->is_clean = false;
    (void)snprintf(finding->file, sizeof(finding->file), "%s", file);
    (void)snprintf(finding->what, sizeof(finding->what), "%s", what);
    if (advice == ADVICE_REBUILD && verdict->journal_is_cut)
        advice =
            "Restore ledger.db from the backup that goes with the journal, whose beginning was "
            "cut: it cannot be made anew";
    (void)snprintf(finding->advice, sizeof(finding->advice), "%s", advice);
}

void verdict_place(struct proof_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(verdict->finding.place, PROOF_TEXT_SIZE, format, arguments);
    va_end(arguments);
}

void verdict_expected(struct proof_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(verdict->finding.expected, PROOF_TEXT_SIZE, format, arguments);
    va_end(arguments);
}

void verdict_found(struct proof_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(verdict->finding.found, PROOF_TEXT_SIZE, format, arguments);
    va_end(arguments);
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
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(verdict->notes[i], PROOF_TEXT_SIZE, format, arguments);
        va_end(arguments);
        return;
    }
}
