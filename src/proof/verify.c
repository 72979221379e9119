/*
 * verify.c: are the files what was written? Nothing is priced or replayed here: hashes, order and
 * chains alone.
 */
#include "proof/place.h"
#include "proof/verdict.h"
#include "proof/walk.h"

static bool check_journal(const struct place *place, const struct proof_parts *parts,
                          struct proof_verdict *verdict)
{
    struct walk walk;
    const bool is_whole =
        walk_open(&walk, place, parts, verdict) && walk_run(&walk, NULL, NULL, NULL);
    verdict_count(verdict, "journal", "batches", walk.batches);
    verdict_count(verdict, "journal", "entries", walk.entries);
    verdict_count(verdict, "journal", "bytes of entries", walk.bytes);
    verdict_count(verdict, "journal", "server runs", walk.writers);
    walk_close(&walk);
    return is_whole;
}

void proof_verify(const struct proof_parts *parts, struct proof_verdict *verdict_out)
{
    struct place place;
    *verdict_out = (struct proof_verdict){.is_clean = true};
    if (!place_open(&place, parts->directory, verdict_out)) return;
    const bool is_whole = check_journal(&place, parts, verdict_out) &&
                          place_check_pages(&place, "journal.db", parts, verdict_out);
    ENSURE(is_whole == verdict_out->is_clean);
    place_close(&place, verdict_out);
}
