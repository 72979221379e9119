/*
 * slab.c: a number line and a chain of returned numbers.
 *
 * A record that was never taken is still the kernel's zero page: only a reused one is cleared, so a
 * fresh number costs no write beyond its owner's own.
 */
#include "base/slab.h"

#include <string.h>

#include "base/assert.h"

uint64_t slab_bytes(uint32_t record_bytes, uint32_t records_max)
{
    return ((uint64_t)records_max + 1) * record_bytes;
}

struct slab slab_over(void *block, uint32_t record_bytes, uint32_t records_max)
{
    ENSURE(block != NULL && (uintptr_t)block % 64 == 0);
    ENSURE(record_bytes >= 8 && record_bytes % 8 == 0);
    return (struct slab){.base = block, .record_bytes = record_bytes, .records_max = records_max};
}

uint32_t slab_take(struct slab *slab)
{
    ENSURE(slab->live < slab->records_max);
    slab->live++;
    if (slab->free_head == 0) return ++slab->used;

    const uint32_t number = slab->free_head;
    void *record = slab_at(slab, number);
    memcpy(&slab->free_head, record, sizeof slab->free_head);
    memset(record, 0, slab->record_bytes);
    return number;
}

void slab_give(struct slab *slab, uint32_t number)
{
    ENSURE(number >= 1 && number <= slab->used && slab->live >= 1);
    memcpy(slab_at(slab, number), &slab->free_head, sizeof slab->free_head);
    slab->free_head = number;
    slab->live--;
}

uint32_t slab_room(const struct slab *slab)
{
    return slab->records_max - slab->live;
}
