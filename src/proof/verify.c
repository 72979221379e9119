/*
 * verify.c: are the files what was written? Nothing is priced or replayed here: hashes, order and
 * chains alone.
 */
#include "proof/keyfiles.h"
#include "proof/place.h"
#include "proof/seals.h"
#include "proof/snapfiles.h"
#include "proof/verdict.h"
#include "proof/walk.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct verification {
    struct place place;
    const struct proof_parts *parts;
    struct proof_verdict *verdict;
    struct books books;
    struct walk walk;
    struct journal_hash genesis;
    bool is_cursor_met;
    sqlite3_stmt *seal_time;
};

/* --- what ledger and journal say of each other ----------------------------------------------- */

static bool find_meta(const struct verification *v, const char *name, const char *what,
                      const char *advice)
{
    verdict_place(v->verdict, "meta, '%s'", name);
    return verdict_find(v->verdict, LEDGER_FILE, what, advice);
}

static bool is_hash(const struct verification *v, const struct journal_hash *expected,
                    const struct journal_hash *found)
{
    char text[HASH_TEXT_SIZE];
    if (memcmp(expected->byte, found->byte, JOURNAL_HASH_BYTES) == 0) return true;
    verdict_expected(v->verdict, "%s", hash_text(expected->byte, text));
    verdict_found(v->verdict, "%s", hash_text(found->byte, text));
    return false;
}

static bool find_stamp(const struct verification *v, const struct batch_header *header,
                       int64_t found, const char *place)
{
    verdict_place(v->verdict, "%s %" PRIu64, place, header->sequence);
    verdict_expected(v->verdict, "%" PRId64 ", the batch's last stamp", header->last_ms);
    verdict_found(v->verdict, "%" PRId64, found);
    return verdict_find(v->verdict, LEDGER_FILE, "its time is not the journal's", ADVICE_REBUILD);
}

/* A seal bears the last stamp of the last batch it covers. */
static bool check_seal_time(const struct verification *v, const struct batch_header *header)
{
    bool is_good =
        sqlite3_bind_int64(v->seal_time, 1, (sqlite3_int64)header->sequence) == SQLITE_OK;
    const int code = is_good ? sqlite3_step(v->seal_time) : SQLITE_ERROR;
    is_good = code == SQLITE_ROW || code == SQLITE_DONE;
    if (code == SQLITE_ROW && sqlite3_column_int64(v->seal_time, 0) != header->last_ms)
        is_good = find_stamp(v, header, sqlite3_column_int64(v->seal_time, 0), "seals, through");
    else if (!is_good)
        (void)books_find_fault(&v->books, "its table seals cannot be read");
    (void)sqlite3_reset(v->seal_time);
    return is_good;
}

static bool on_batch(void *self, const struct batch_header *header)
{
    struct verification *v = self;
    if (header->sequence == 1) v->genesis = header->hash;
    if (header->sequence == 1 && !is_hash(v, &header->hash, &v->books.genesis_hash))
        return find_meta(v, "genesis_hash", "it belongs to another journal", ADVICE_REBUILD);
    if (header->sequence <= v->books.cursor && !check_seal_time(v, header)) return false;
    if (header->sequence != v->books.cursor) return true;
    v->is_cursor_met = true;
    if (header->last_ms != v->books.cursor_ms && header->sequence > 1)
        return find_stamp(v, header, v->books.cursor_ms, "meta, 'cursor_ms', batch");
    return is_hash(v, &header->hash, &v->books.cursor_hash) ||
           find_meta(v, "cursor_hash", "the batch that was settled last is another in the journal",
                     ADVICE_RESTORE);
}

static bool check_cursor(const struct verification *v)
{
    if (v->is_cursor_met) return true;
    verdict_expected(v->verdict, "at most batch %" PRIu64 ", the journal's newest", v->walk.newest);
    verdict_found(v->verdict, "%" PRIu64, v->books.cursor);
    return find_meta(v, "cursor_sequence", "it has settled batches that the journal does not have",
                     ADVICE_RESTORE);
}

/* --- the files ------------------------------------------------------------------------------- */

static bool prepare(struct verification *v)
{
    return sqlite3_prepare_v2(ledger_connection(v->books.ledger),
                              "SELECT at_ms FROM seals WHERE through=?1", -1, &v->seal_time,
                              NULL) == SQLITE_OK ||
           books_find_fault(&v->books, "its table seals cannot be read");
}

static bool check_journal(struct verification *v)
{
    const bool is_whole = walk_open(&v->walk, &v->place, v->parts, v->verdict) &&
                          walk_run(&v->walk, v, NULL, on_batch);
    verdict_count(v->verdict, "journal", "batches", v->walk.batches);
    verdict_count(v->verdict, "journal", "entries", v->walk.entries);
    verdict_count(v->verdict, "journal", "bytes of entries", v->walk.bytes);
    verdict_count(v->verdict, "journal", "server runs", v->walk.writers);
    return is_whole && place_check_pages(&v->place, "journal.db", v->parts, v->verdict);
}

static bool check_ledger(struct verification *v)
{
    struct chains chains;
    if (!books_reach(&v->books, v->walk.first) || !check_cursor(v)) return false;
    chains_start(&chains, &v->books, v->walk.journal->key);
    const bool is_whole = chains_load_stored(&chains) &&
                          seals_check(&v->books, &chains, v->parts, v->verdict) &&
                          chains_check_stored(&chains);
    verdict_count(v->verdict, "ledger", "customers' chains", chains.heads.count);
    chains_end(&chains);
    return is_whole && place_check_pages(&v->place, LEDGER_FILE, v->parts, v->verdict);
}

void proof_verify(const struct proof_parts *parts, struct proof_verdict *verdict_out)
{
    struct verification v = {.parts = parts, .verdict = verdict_out};
    *verdict_out = (struct proof_verdict){.is_clean = true};
    if (!place_open(&v.place, parts->directory, verdict_out)) return;
    /* The ledger's cursor first: what is settled meanwhile is in the journal, but need not be here.
     */
    const bool is_whole = books_open(&v.books, &v.place, verdict_out) && prepare(&v) &&
                          check_journal(&v) && check_ledger(&v) &&
                          keyfiles_check(&v.place, &v.walk, &v.genesis, parts, verdict_out) &&
                          snapfiles_check(&v.place, &v.walk, &v.genesis, verdict_out);
    ENSURE(is_whole == verdict_out->is_clean);
    (void)sqlite3_finalize(v.seal_time);
    walk_close(&v.walk);
    books_close(&v.books);
    place_close(&v.place, verdict_out);
}
