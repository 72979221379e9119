/*
 * memory.h: address space for the state, reserved at the start and committed by the kernel page by
 * page on first touch.
 */
#pragma once

#include <stdint.h>

#include "base/base.h"

/* Zeroed, page-aligned; NULL when the kernel does not give that much address space. */
MUST_USE void *memory_reserve(uint64_t bytes);
void memory_release(void *block, uint64_t bytes); /* the same number of bytes */
/* Zeroes again, and the memory given back: the whole of what was reserved. */
void memory_clear(void *block, uint64_t bytes);
