/*
 * key_start.c: see key_start.h.
 */
#include "server/key_start.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The keys that a stretch of the journal binds. */
struct gathered {
    struct kept_key *keys;
    uint64_t *holds; /* of each key: whose end it waits for; 0 */
    uint64_t count;
    uint64_t room;
    struct hold_end {
        uint64_t hold;
        int64_t until_ms;
    } * endings;
    uint64_t ending_count;
    uint64_t ending_room;
};

static void *grow(void *array, uint64_t *room, uint64_t used, size_t item_bytes)
{
    if (used < *room) return array;
    *room = *room == 0 ? 1024 : *room * 2;
    void *grown = realloc(array, *room * item_bytes);
    ENSURE(grown != NULL);
    return grown;
}

static void gather_key(struct gathered *all, const struct effect *effect)
{
    uint64_t room = all->room;
    all->keys = grow(all->keys, &all->room, all->count, sizeof(all->keys[0]));
    all->holds = grow(all->holds, &room, all->count, sizeof(all->holds[0]));
    all->keys[all->count] = (struct kept_key){.hash = effect->key.hash,
                                              .body_hash = effect->key.body_hash,
                                              .position = effect->key.position,
                                              .until_ms = effect->key.until_ms};
    all->holds[all->count++] = effect->key.hold;
}

static void gather_fact(struct gathered *all, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind == EFFECT_KEY) gather_key(all, effect);
        if (effect->kind != EFFECT_HOLD_END) continue;
        all->endings =
            grow(all->endings, &all->ending_room, all->ending_count, sizeof(all->endings[0]));
        all->endings[all->ending_count++] =
            (struct hold_end){effect->hold_end.id, effect->hold_end.keys_until_ms};
    }
}

static bool gather(const struct key_start *start, uint64_t from, struct gathered *all,
                   char detail_out[KEY_START_DETAIL_SIZE])
{
    struct journal *journal = start->journal;
    for (uint64_t sequence = from; sequence <= journal->tip.sequence; ++sequence) {
        struct batch_header header;
        struct bytes body;
        const enum journal_fault fault = journal->calls->read(journal, sequence, &header, &body);
        if (fault != JOURNAL_OK) {
            (void)snprintf(detail_out, KEY_START_DETAIL_SIZE, "batch %" PRIu64 ": %s: %s", sequence,
                           journal_fault_text(fault), journal->detail);
            return false;
        }
        if (header.kind != BATCH_ENTRIES) continue;
        struct reader reader = reader_over(body);
        struct entry entry;
        while (entry_take(&reader, &entry)) {
            if (!fact_decode(entry.fact, start->scratch)) reader.bad = true;
            if (reader.bad) break;
            gather_fact(all, start->scratch);
        }
        if (!reader.bad) continue;
        (void)snprintf(detail_out, KEY_START_DETAIL_SIZE,
                       "batch %" PRIu64 ": an entry cannot be read", sequence);
        return false;
    }
    return true;
}

static int compare_endings(const void *left, const void *right)
{
    const struct hold_end *one = left;
    const struct hold_end *other = right;
    return one->hold < other->hold ? -1 : one->hold > other->hold;
}

/* By hash; of one hash, the latest first. */
static int compare_keys(const void *left, const void *right)
{
    const struct kept_key *one = left;
    const struct kept_key *other = right;
    for (unsigned i = 0; i < 2; ++i)
        if (one->hash.word[i] != other->hash.word[i])
            return one->hash.word[i] < other->hash.word[i] ? -1 : 1;
    return one->position > other->position ? -1 : one->position < other->position;
}

/* What counts of it: whose hold has ended, and that is not over; each key once. The keys of open
 * holds are in the state. */
static uint64_t settle(const struct key_start *start, struct gathered *all)
{
    uint64_t kept = 0;
    if (all->ending_count > 0)
        qsort(all->endings, all->ending_count, sizeof(all->endings[0]), compare_endings);
    for (uint64_t i = 0; i < all->count; ++i) {
        struct kept_key key = all->keys[i];
        if (all->holds[i] != 0) {
            const struct hold_end wanted = {.hold = all->holds[i]};
            const struct hold_end *ending = all->ending_count == 0
                                                ? NULL
                                                : bsearch(&wanted, all->endings, all->ending_count,
                                                          sizeof(all->endings[0]), compare_endings);
            if (ending == NULL) continue;
            key.until_ms = ending->until_ms;
        }
        if (key.until_ms > start->now_ms) all->keys[kept++] = key;
    }
    if (kept > 0) qsort(all->keys, kept, sizeof(all->keys[0]), compare_keys);
    uint64_t count = 0;
    for (uint64_t i = 0; i < kept; ++i)
        if (count == 0 || !hash_128_equal(all->keys[count - 1].hash, all->keys[i].hash))
            all->keys[count++] = all->keys[i];
    return count;
}

static bool write_file(const struct key_start *start, const struct kept_key *sorted, uint64_t count,
                       char detail_out[KEY_START_DETAIL_SIZE])
{
    struct keys *keys = start->keys;
    const uint32_t piece = keys_piece_max(keys);
    const uint64_t before = position_make(start->journal->tip.sequence + 1, 0);
    if (count == 0) return true;
    if (!keys_plan(keys, count, start->now_ms, before)) {
        (void)snprintf(detail_out, KEY_START_DETAIL_SIZE,
                       "no memory for a filter of %" PRIu64 " keys: start with a larger --memory",
                       count);
        return false;
    }
    for (uint64_t done = 0; done < count;) {
        const uint64_t left = count - done;
        const uint32_t now = left < piece ? (uint32_t)left : piece;
        memcpy(keys_piece(keys), sorted + done, now * sizeof(*sorted));
        if (keys_write(keys, now, sorted[done].hash.word[0], sorted[done + now - 1].hash.word[0],
                       detail_out) != KEY_FILE_OK)
            return false;
        done += now;
    }
    if (keys_write_end(keys, detail_out) != KEY_FILE_OK) return false;
    keys_show(keys);
    return true;
}

/* All keys that were bound from this batch on and count, as one more file. */
static bool rebuild(const struct key_start *start, uint64_t from,
                    char detail_out[KEY_START_DETAIL_SIZE])
{
    struct gathered all = {0};
    bool is_done = gather(start, from, &all, detail_out);
    if (is_done) {
        const uint64_t count = settle(start, &all);
        is_done = write_file(start, all.keys, count, detail_out);
        char text[128];
        (void)snprintf(text, sizeof(text), "%" PRIu64 " keys were taken from the journal", count);
        if (is_done) start->tell(start->self, text);
    }
    free(all.keys);
    free(all.holds);
    free(all.endings);
    return is_done;
}

static void tell_file(void *self, enum key_file_fault fault, const char *detail)
{
    const struct key_start *start = self;
    char text[KEY_START_DETAIL_SIZE];
    (void)snprintf(text, sizeof(text), "%s%s", detail,
                   fault == KEY_FILE_OK || fault == KEY_FILE_MISSING
                       ? ""
                       : "; it is not used any more and may be moved away");
    start->tell(start->self, text);
}

/* The bad ones leave the list for one that is made of the journal. */
static bool replace(const struct key_start *start, uint32_t bad,
                    char detail_out[KEY_START_DETAIL_SIZE])
{
    struct journal *journal = start->journal;
    char why[KEY_START_DETAIL_SIZE] = "its beginning is gone";
    uint64_t from = UINT64_MAX;
    int64_t over_ms = 0;
    for (uint32_t i = 0; i < bad; ++i) {
        const struct key_file_head head = keys_bad(start->keys, i);
        const uint64_t sequence = position_sequence(head.position_first);
        if (sequence < from) from = sequence;
        if (head.until_last_ms > over_ms) over_ms = head.until_last_ms;
    }
    if (from >= journal->first && rebuild(start, from, why)) {
        keys_forget_bad(start->keys);
        return true;
    }
    char name[KEY_FILE_NAME_SIZE];
    char instant[INSTANT_TEXT_SIZE];
    key_file_name(keys_bad(start->keys, 0).serial, name);
    (void)calendar_format(over_ms, instant);
    (void)snprintf(detail_out, KEY_START_DETAIL_SIZE,
                   "%s: its keys cannot be taken from the journal: %s: restore the file from a "
                   "backup, or start again after %s, when all its keys are over",
                   name, why, instant);
    return false;
}

/* Files of a later moment than the journal, or of another life of it: what it binds itself may be
 * in none of them, so they are not mended one by one. */
static bool are_ours(const struct key_start *start, char detail_out[KEY_START_DETAIL_SIZE])
{
    const uint32_t files = keys_status(start->keys).files;
    for (uint32_t i = 0; i < files; ++i) {
        char why[KEY_FILE_DETAIL_SIZE];
        if (key_origin(keys_file(start->keys, i), start->journal, start->journal->tip.sequence,
                       start->scratch, why) == KEY_ORIGIN_HERE)
            continue;
        (void)snprintf(detail_out, KEY_START_DETAIL_SIZE,
                       "keys.weir and its files are not of the journal's moment: %s: restore "
                       "journal and key files from the same backup, or move keys.weir away: then "
                       "the keys that count are taken from the journal",
                       why);
        return false;
    }
    return true;
}

bool key_start(const struct key_start *start, char detail_out[KEY_START_DETAIL_SIZE])
{
    char detail[KEY_FILE_DETAIL_SIZE];
    uint32_t bad = 0;
    const enum key_file_fault fault =
        keys_open(start->keys, start->now_ms, tell_file, (void *)(uintptr_t)start, &bad, detail);
    switch (fault) {
    case KEY_FILE_OK:
        return are_ours(start, detail_out) && (bad == 0 || replace(start, bad, detail_out));
    case KEY_FILE_MISSING:
        /* A directory has a list from its first start on. */
        if (start->journal->is_new) return true;
        start->tell(start->self, detail);
        keys_number_from(start->keys, (uint64_t)start->now_ms);
        return rebuild(start, start->journal->first, detail_out);
    case KEY_FILE_DAMAGED:
    case KEY_FILE_FOREIGN:
    case KEY_FILE_OTHER_VERSION:
    case KEY_FILE_UNREADABLE:
    case KEY_FILE_UNWRITABLE:
    case KEY_FILE_NO_MEMORY:
        break;
    }
    (void)snprintf(detail_out, KEY_START_DETAIL_SIZE,
                   "%s: restore it from a backup, or move it away: then the keys that count are "
                   "taken from the journal",
                   detail);
    return false;
}
