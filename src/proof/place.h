/*
 * place.h (private): the data directory that is proved, and whether a server is at work in it.
 *
 * Whoever holds the directory's lock is a server: then files are read with SQLite's locks, in short
 * transactions. Otherwise the directory is a copy, and read without locks and without leaving a
 * file behind. A server that starts meanwhile would pull the files from under such a reader: so the
 * end looks again, and what was found in a directory that moved is no finding.
 */
#pragma once

#include <sys/stat.h>

#include "journal/journal.h"
#include "platform/platform.h"
#include "proof/proof.h"

#define PLACE_FILES 4

struct place {
    const char *directory;
    enum journal_access access;
    struct stat before[PLACE_FILES];
};

MUST_USE bool place_open(struct place *place, const char *directory, struct proof_verdict *verdict);
/* Overrules the verdict when a copy has changed since. */
void place_close(const struct place *place, struct proof_verdict *verdict);

/* Every page of a database of a copy, by SQLite's own check: structure, order, types, indexes, and
 * that no page is lost. It is one long read, so a server's files are left alone. */
MUST_USE bool place_check_pages(const struct place *place, const char *name,
                                const struct proof_parts *parts, struct proof_verdict *verdict);
