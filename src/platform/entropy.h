/*
 * entropy.h: secrets and nonces from the kernel. Everything that must be repeatable takes such
 * numbers as arguments instead.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

void entropy_fill(void *block_out, size_t bytes);
uint64_t entropy_u64(void);
struct hash_key entropy_hash_key(void);
