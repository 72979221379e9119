/*
 * restore.c: see restore.h.
 */
#include "server/restore.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/snapshots.h"

static void close_reader(struct snapshot_reader **reader)
{
    if (*reader != NULL) snapshot_close(*reader);
}

/* Whether the journal goes on behind batch s as the snapshot says it ended. */
static bool belongs(const struct recovery_parts *parts, uint64_t sequence,
                    const struct snapshot_reader *reader, struct snapshot_detail *detail_out)
{
    struct journal *journal = parts->journal;
    const struct snapshot_header header = snapshot_header(reader);
    const struct journal_hash batch = snapshot_batch_hash(reader);
    struct batch_header row;
    struct bytes body;
    const char *why = NULL;
    if (journal->calls->read(journal, 1, &row, &body) != JOURNAL_OK)
        why = "the journal's first batch cannot be read";
    else if (!journal_hash_equal(&row.hash, &header.genesis))
        why = "it belongs to another journal";
    else if (sequence > journal->tip.sequence)
        why = "it is ahead of the journal, whose newest batches are missing";
    else if (sequence + 1 < journal->first)
        why = "it ends before what is left of the journal begins";
    else if (sequence == journal->tip.sequence)
        why = journal_hash_equal(&journal->tip.hash, &batch) ? NULL
                                                             : "the journal's batch is another one";
    else if (journal->calls->read(journal, sequence + 1, &row, &body) != JOURNAL_OK)
        why = "the batch behind it cannot be read";
    else if (!journal_hash_equal(&row.previous, &batch))
        why = "the journal's batch is another one";
    if (why == NULL) return true;
    (void)snprintf(detail_out->text, sizeof(detail_out->text), "snapshot-%" PRIu64 ".weir: %s",
                   sequence, why);
    return false;
}

static bool take_policy(const struct recovery_parts *parts, struct bytes piece,
                        struct restored *restored_out)
{
    struct reader reader = reader_over(piece);
    const struct bytes yaml = reader_take_bytes(&reader);
    if (reader.bad || yaml.length > POLICY_BYTES_MAX) return false;
    policies_stage(parts->policies, yaml);
    if (!policies_take_versions(parts->policies, &reader)) return false;
    restored_out->keys_generation = reader_take_unsigned(&reader);
    return reader_is_done(&reader);
}

static bool load(const struct recovery_parts *parts, uint64_t sequence,
                 struct snapshot_reader *reader, struct restored *restored_out,
                 struct snapshot_detail *detail_out)
{
    enum image_fault fault = IMAGE_OK;
    for (uint32_t kind = SNAPSHOT_PIECE_POLICY; kind != 0 && fault == IMAGE_OK;) {
        struct bytes piece;
        if (snapshot_next(reader, &kind, &piece, detail_out) != SNAPSHOT_OK) return false;
        if (kind == SNAPSHOT_PIECE_IMAGE)
            fault = engine_image_load(parts->engine, piece);
        else if (kind != 0 &&
                 (kind != SNAPSHOT_PIECE_POLICY || !take_policy(parts, piece, restored_out)))
            fault = IMAGE_DAMAGED;
    }
    if (fault == IMAGE_OK) fault = engine_image_loaded(parts->engine);
    if (fault == IMAGE_OK) return true;
    (void)snprintf(detail_out->text, sizeof(detail_out->text), "snapshot-%" PRIu64 ".weir: %s",
                   sequence, image_fault_text(fault));
    return false;
}

/* As if nothing had been loaded. */
static void start_anew(const struct recovery_parts *parts)
{
    memory_clear(parts->engine, engine_bytes(parts->ceilings));
    (void)engine_over(parts->engine, parts->ceilings, parts->journal->key);
    policies_forget_versions(parts->policies);
}

static bool restore(const struct recovery_parts *parts, uint64_t sequence,
                    struct restored *restored_out, struct snapshot_detail *detail_out)
{
    __attribute__((cleanup(close_reader))) struct snapshot_reader *reader = NULL;
    if (snapshot_open(parts->directory, sequence, &reader, detail_out) != SNAPSHOT_OK ||
        !belongs(parts, sequence, reader, detail_out))
        return false;
    if (!load(parts, sequence, reader, restored_out, detail_out)) {
        start_anew(parts);
        return false;
    }
    restored_out->sequence = sequence;
    restored_out->batch = snapshot_batch_hash(reader);
    restored_out->at_ms = snapshot_header(reader).at_ms;
    return true;
}

struct restored restore_newest(const struct recovery_parts *parts)
{
    struct restored restored = {0};
    struct snapshot_list list;
    if (!snapshot_list(parts->directory, &list)) return restored;
    for (uint32_t i = 0; i < list.count; ++i) {
        struct snapshot_detail detail = {""};
        if (restore(parts, list.sequences[i], &restored, &detail)) {
            if (i + 1 < list.count) restored.older = list.sequences[i + 1];
            return restored;
        }
        ++restored.refused;
        parts->refused(parts->self, detail.text);
    }
    return restored;
}
