/*
 * verdict.h (private): filling in a verdict. Every check is a ladder of conditions, and the first
 * that fails writes the finding; so all of these give false, for `return`.
 */
#pragma once

#include <stdbool.h>

#include "proof/proof.h"

#define PROOF_FORMAT(at) __attribute__((format(printf, at, (at) + 1)))

/* The usual advices. */
#define ADVICE_RESTORE "Restore the data directory from a backup"
/* Of ledger.db: that it is made anew is said where the journal's beginning is there. */
extern const char ADVICE_REBUILD[];
#define ADVICE_SNAPSHOT                                                               \
    "Move the file away, if there is an older snapshot or the journal still has its " \
    "beginning: the server starts from those and makes it anew"
#define WHAT_NO_STATE \
    "its beginning was cut and no snapshot stands for it: a server refuses to start"
#define ADVICE_NO_STATE "Restore a snapshot-*.weir from a backup of this directory"
#define ADVICE_AGAIN "Run the command again"

void verdict_write(struct proof_verdict *verdict, const char *file, const char *what,
                   const char *advice);
static inline bool verdict_find(struct proof_verdict *verdict, const char *file, const char *what,
                                const char *advice)
{
    verdict_write(verdict, file, what, advice);
    return false;
}
PROOF_FORMAT(2) void verdict_place(struct proof_verdict *verdict, const char *format, ...);
PROOF_FORMAT(2) void verdict_expected(struct proof_verdict *verdict, const char *format, ...);
PROOF_FORMAT(2) void verdict_found(struct proof_verdict *verdict, const char *format, ...);

void verdict_count(struct proof_verdict *verdict, const char *of, const char *what,
                   uint64_t number);
PROOF_FORMAT(2) void verdict_note(struct proof_verdict *verdict, const char *format, ...);
