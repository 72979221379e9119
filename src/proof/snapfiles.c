/*
 * snapfiles.c: see snapfiles.h.
 */
#include "proof/snapfiles.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proof/keyfiles.h"
#include "proof/verdict.h"

struct snap_check {
    const struct place *place;
    const struct walk *walk;
    const struct journal_hash *genesis;
    struct proof_verdict *verdict;
    uint64_t files;
    bool has_state; /* the journal goes on from one of them */
};

bool snapfiles_is_gone(const struct place *place, uint64_t sequence)
{
    char name[64];
    char path[FILE_PATH_SIZE];
    struct stat status;
    (void)snprintf(name, sizeof(name), "snapshot-%" PRIu64 ".weir", sequence);
    return place->access == JOURNAL_SERVED && file_path(place->directory, name, path) &&
           stat(path, &status) != 0;
}

static bool find(const struct snap_check *check, uint64_t sequence, const char *what,
                 const char *detail)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "snapshot-%" PRIu64 ".weir", sequence);
    verdict_found(check->verdict, "%s", detail);
    return verdict_find(check->verdict, name, what, ADVICE_SNAPSHOT);
}

static bool is_hash(const struct journal_hash *left, const struct journal_hash *right)
{
    return memcmp(left->byte, right->byte, JOURNAL_HASH_BYTES) == 0;
}

/* The batch itself, or the one behind it, which names it. Where both were cut there is nobody to
 * ask. */
static bool check_batch(const struct snap_check *check, uint64_t sequence,
                        const struct journal_hash *batch)
{
    struct journal *journal = check->walk->journal;
    struct batch_header header;
    struct bytes body;
    if (journal->calls->read(journal, sequence, &header, &body) == JOURNAL_OK)
        return is_hash(&header.hash, batch) ||
               find(check, sequence, "the journal's batch is another one", "another hash");
    if (sequence > check->walk->newest)
        return find(check, sequence, "it is ahead of the journal, whose newest batches are missing",
                    "a batch that the journal does not have");
    if (journal->calls->read(journal, sequence + 1, &header, &body) == JOURNAL_OK)
        return is_hash(&header.previous, batch) ||
               find(check, sequence, "the journal's batch is another one", "another hash");
    return true;
}

/* The piece with the policy ends in it: a number, behind bytes that end below 0x80 (a number, or
 * the name of who put a policy), so that its first byte is found from its end. */
static uint64_t generation_of_keys(struct snapshot_reader *reader)
{
    struct snapshot_detail detail;
    struct bytes piece;
    uint32_t kind = SNAPSHOT_PIECE_POLICY;
    while (snapshot_next(reader, &kind, &piece, &detail) == SNAPSHOT_OK && kind != 0) {
        if (kind != SNAPSHOT_PIECE_POLICY || piece.length == 0) continue;
        size_t at = piece.length - 1;
        while (at > 0 && piece.at[at - 1] >= 0x80)
            --at;
        struct reader last = reader_over((struct bytes){piece.at + at, piece.length - at});
        return reader_take_unsigned(&last);
    }
    return 0;
}

static bool check_file(struct snap_check *check, uint64_t sequence)
{
    struct snapshot_detail detail;
    struct snapshot_reader *reader = NULL;
    const enum snapshot_fault fault =
        snapshot_open(check->place->directory, sequence, &reader, &detail);
    if (fault != SNAPSHOT_OK)
        return snapfiles_is_gone(check->place, sequence) ||
               find(check, sequence, snapshot_fault_text(fault), detail.text);
    const struct snapshot_header header = snapshot_header(reader);
    const struct journal_hash batch = snapshot_batch_hash(reader);
    const uint64_t generation = generation_of_keys(reader);
    snapshot_close(reader);
    ++check->files;
    if (header.sequence != sequence)
        return find(check, sequence, "it is the snapshot of another batch", "another sequence");
    if (!is_hash(&header.genesis, check->genesis))
        return find(check, sequence, snapshot_fault_text(SNAPSHOT_FOREIGN), "another genesis hash");
    char name[64];
    (void)snprintf(name, sizeof(name), "snapshot-%" PRIu64 ".weir", sequence);
    if (!keyfiles_check_older(check->place, check->genesis, generation, name, check->verdict))
        return false;
    check->has_state = check->has_state || sequence + 1 >= check->walk->first;
    return check_batch(check, sequence, &batch);
}

/* Where the journal's beginning was cut, what it made is in snapshots only. One that is served has
 * them; they come and go. */
static bool check_state(const struct snap_check *check)
{
    return check->has_state || check->walk->first <= 2 || check->place->access == JOURNAL_SERVED ||
           verdict_find(check->verdict, "journal.db", WHAT_NO_STATE, ADVICE_NO_STATE);
}

bool snapfiles_check(const struct place *place, const struct walk *walk,
                     const struct journal_hash *genesis, struct proof_verdict *verdict)
{
    struct snap_check check = {
        .place = place, .walk = walk, .genesis = genesis, .verdict = verdict};
    struct snapshot_list list;
    bool is_good = snapshot_list(place->directory, &list) ||
                   verdict_find(verdict, place->directory, "cannot be listed", ADVICE_AGAIN);
    for (uint32_t i = 0; is_good && i < list.count; ++i)
        is_good = check_file(&check, list.sequences[i]);
    verdict_count(verdict, "snapshots", "files", check.files);
    return is_good && check_state(&check);
}
