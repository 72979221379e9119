/*
 * map.c: open addressing with linear probing, at most two thirds full; removing shifts back.
 */
#include "proof/map.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 1024 };

static uint8_t *slot_at(const struct map *map, uint64_t place)
{
    return map->slots + (place & (map->capacity - 1)) * map->record_bytes;
}

static struct hash128 key_at(const uint8_t *slot)
{
    struct hash128 key;
    memcpy(&key, slot, sizeof(key));
    return key;
}

static bool is_free(const uint8_t *slot)
{
    const struct hash128 key = key_at(slot);
    return key.word[0] == 0 && key.word[1] == 0;
}

static void allocate(struct map *map, uint64_t capacity)
{
    map->capacity = capacity;
    map->slots = calloc(capacity, map->record_bytes);
    ENSURE(map->slots != NULL);
}

void map_start(struct map *map, uint32_t record_bytes)
{
    *map = (struct map){.record_bytes = record_bytes};
    allocate(map, CAPACITY_FIRST);
}

void map_end(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

/* The slot of the key, or the free one where it would be. */
static uint8_t *find_slot(const struct map *map, struct hash128 key)
{
    ENSURE(key.word[0] != 0 || key.word[1] != 0);
    for (uint64_t place = key.word[0];; ++place) {
        uint8_t *slot = slot_at(map, place);
        if (is_free(slot) || hash_128_equal(key_at(slot), key)) return slot;
    }
}

static void grow(struct map *map)
{
    struct map old = *map;
    allocate(map, old.capacity * 2);
    for (uint64_t place = 0; place < old.capacity; ++place) {
        const uint8_t *slot = slot_at(&old, place);
        if (!is_free(slot)) memcpy(find_slot(map, key_at(slot)), slot, map->record_bytes);
    }
    free(old.slots);
}

void *map_put(struct map *map, struct hash128 key)
{
    if ((map->count + 1) * 3 > map->capacity * 2) grow(map);
    uint8_t *slot = find_slot(map, key);
    if (!is_free(slot)) return slot;
    memcpy(slot, &key, sizeof(key));
    ++map->count;
    return slot;
}

void *map_find(const struct map *map, struct hash128 key)
{
    uint8_t *slot = find_slot(map, key);
    return is_free(slot) ? NULL : slot;
}

void map_remove(struct map *map, void *record)
{
    uint64_t hole = (uint64_t)((uint8_t *)record - map->slots) / map->record_bytes;
    for (uint64_t place = hole + 1; !is_free(slot_at(map, place)); ++place) {
        const uint64_t home = key_at(slot_at(map, place)).word[0];
        /* A record may move back to the hole unless its home lies behind it. */
        if (((place - home) & (map->capacity - 1)) < ((place - hole) & (map->capacity - 1)))
            continue;
        memcpy(slot_at(map, hole), slot_at(map, place), map->record_bytes);
        hole = place;
    }
    memset(slot_at(map, hole), 0, map->record_bytes);
    --map->count;
}

void *map_next(const struct map *map, const void *record)
{
    uint64_t place = record == NULL
                         ? 0
                         : (uint64_t)((const uint8_t *)record - map->slots) / map->record_bytes + 1;
    for (; place < map->capacity; ++place)
        if (!is_free(slot_at(map, place))) return slot_at(map, place);
    return NULL;
}
