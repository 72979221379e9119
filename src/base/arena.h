/*
 * arena.h: a block taken piece by piece and given back whole. Passed, never ambient.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *block;
    size_t size;
    size_t used;
};

struct arena arena_over(void *block, size_t size);
/* 16-aligned and zeroed; NULL when there is no room: the caller turns that into its own fault. */
void *arena_take(struct arena *arena, size_t bytes);
void arena_reset(struct arena *arena);
