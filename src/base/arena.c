/*
 * arena.c: a bump pointer. Alignment is that of the address, not of the offset, so that any block
 * will do.
 */
#include "base/arena.h"

#include <string.h>

#define ARENA_ALIGNMENT_BYTES 16u

struct arena arena_over(void *block, size_t size)
{
    return (struct arena){.block = block, .size = size};
}

void *arena_take(struct arena *arena, size_t bytes)
{
    if (arena->block == NULL) return NULL;
    const uintptr_t next = (uintptr_t)arena->block + arena->used;
    const size_t padding = (size_t)(-next % ARENA_ALIGNMENT_BYTES);
    const size_t room = arena->size - arena->used;
    if (padding > room || bytes > room - padding) return NULL;
    uint8_t *taken = arena->block + arena->used + padding;
    arena->used += padding + bytes;
    memset(taken, 0, bytes);
    return taken;
}

void arena_reset(struct arena *arena)
{
    arena->used = 0;
}
