/*
 * names.c: a hash table that is never more than half full.
 */
#include "policy/names.h"

#include <string.h>

#define SLOTS 65536u

_Static_assert(SLOTS >= 2 * (SYMBOLS_MAX + POLICY_SYMBOLS_NEW_MAX), "probing ends at a free slot");

static struct bytes name_of(const struct names *names, uint32_t symbol)
{
    if (symbol <= names->known->count) return names->known->name[symbol];
    return names->more[symbol - names->known->count - 1];
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *slot_of(const struct names *names, struct bytes name)
{
    const struct hash_key no_key = {
        {0, 0}
    };
    uint32_t place = (uint32_t)hash_64(no_key, name) % SLOTS;
    while (names->slots[place] != 0 && !bytes_equal(name_of(names, names->slots[place]), name))
        place = (place + 1) % SLOTS;
    return &names->slots[place];
}

struct names names_over(struct arena *kept, struct arena *scratch,
                        struct policy_complaints *complaints, const struct symbols *known)
{
    ENSURE(known->count >= SYMBOL_FIRST_FREE - 1 && known->count <= SYMBOLS_MAX);
    struct names names = {
        .kept = kept,
        .complaints = complaints,
        .known = known,
        .slots = arena_take(scratch, SLOTS * sizeof(uint32_t)),
        .more = arena_take(scratch, POLICY_SYMBOLS_NEW_MAX * sizeof(struct bytes)),
    };
    ENSURE(names.slots != NULL && names.more != NULL);
    for (uint32_t symbol = 1; symbol <= known->count; symbol++)
        *slot_of(&names, known->name[symbol]) = symbol;
    return names;
}

uint32_t names_symbol(struct names *names, struct place place, struct bytes name)
{
    uint32_t *slot = slot_of(names, name);
    if (*slot != 0) return *slot;
    if (names->is_full) return 0;
    const uint32_t free_symbols = SYMBOLS_MAX - names->known->count;
    const uint32_t more_max =
        free_symbols < POLICY_SYMBOLS_NEW_MAX ? free_symbols : POLICY_SYMBOLS_NEW_MAX;
    if (names->more_count == more_max) {
        names->is_full = true;
        complaints_add(names->complaints, place,
                       "too many names that were not in use before, expected at most %u", more_max);
        return 0;
    }
    uint8_t *text = arena_take(names->kept, name.length);
    ENSURE(text != NULL);
    if (name.length > 0) memcpy(text, name.at, name.length);
    names->more[names->more_count++] = (struct bytes){text, name.length};
    *slot = names->known->count + names->more_count;
    return *slot;
}
