/*
 * key_origin.c: see key_origin.h.
 */
#include "keys/key_origin.h"

#include <inttypes.h>
#include <stdio.h>

bool key_is_bound_by(const struct fact *fact, struct hash128 hash)
{
    for (uint32_t i = 0; i < fact->effect_count; ++i)
        if (fact->effects[i].kind == EFFECT_KEY && hash_128_equal(fact->effects[i].key.hash, hash))
            return true;
    return false;
}

/* False: it cannot be read. */
static bool read_fact(struct journal *journal, uint64_t position, struct fact *fact)
{
    struct batch_header header;
    struct bytes body;
    struct entry entry = {0};
    const uint64_t sequence = position_sequence(position);
    if (journal->calls->read(journal, sequence, &header, &body) != JOURNAL_OK ||
        header.kind != BATCH_ENTRIES)
        return false;
    struct reader reader = reader_over(body);
    for (uint32_t i = 0; i <= position_index(position); ++i)
        if (!entry_take(&reader, &entry)) {
            /* Another life's batch was longer: this one's binds nothing there. */
            fact->effect_count = 0;
            return !reader.bad;
        }
    return fact_decode(entry.fact, fact);
}

static bool is_here(const struct kept_key *kept, struct journal *journal, struct fact *scratch)
{
    return !read_fact(journal, kept->position, scratch) || key_is_bound_by(scratch, kept->hash);
}

/* The key that was bound last: its entry says which it is. */
static bool has_last(const struct key_file *file, struct journal *journal, struct fact *scratch)
{
    if (!read_fact(journal, file->head.position_last, scratch)) return true;
    for (uint32_t i = 0; i < scratch->effect_count; ++i) {
        const struct effect *effect = &scratch->effects[i];
        struct kept_key kept;
        bool is_there = false;
        if (effect->kind != EFFECT_KEY) continue;
        if (key_file_find(file, effect->key.hash, &kept, &is_there) != KEY_FILE_OK) return true;
        if (is_there && kept.position == file->head.position_last) return true;
    }
    return false;
}

enum key_origin key_origin(const struct key_file *file, struct journal *journal, uint64_t newest,
                           struct fact *scratch, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    const uint64_t last = position_sequence(file->head.position_last);
    char name[KEY_FILE_NAME_SIZE];
    key_file_name(file->head.serial, name);
    if (file->head.count == 0) return KEY_ORIGIN_HERE;
    if (last > newest) {
        (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE,
                       "%s has a key of batch %" PRIu64 ", and the journal ends at batch %" PRIu64,
                       name, last, newest);
        return KEY_ORIGIN_AHEAD;
    }
    bool is_ours = has_last(file, journal, scratch);
    const uint64_t step = file->pages / KEY_ORIGIN_SAMPLES + 1;
    for (uint64_t page = 0; is_ours && page < file->pages; page += step) {
        struct kept_key kept;
        if (key_file_first(file, page, &kept) == KEY_FILE_OK)
            is_ours = is_here(&kept, journal, scratch);
    }
    if (is_ours) return KEY_ORIGIN_HERE;
    (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE,
                   "%s has keys that this journal's entries do not bind", name);
    return KEY_ORIGIN_ELSEWHERE;
}
