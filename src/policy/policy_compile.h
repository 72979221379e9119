/*
 * policy_compile.h: a policy file becomes the engine's immutable policy, or a list of everything
 * that is wrong with it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"

#define POLICY_COMPLAINT_BYTES_MAX 256u
#define POLICY_COMPLAINTS_MAX 64u

/* Lines and columns count from 1, columns in characters. */
struct policy_complaint {
    uint32_t line, column;
    char text[POLICY_COMPLAINT_BYTES_MAX]; /* what is wrong, expected what; UTF-8, with a NUL */
};

/* The first POLICY_COMPLAINTS_MAX in the file's order; `more` when there were others after them. */
struct policy_complaints {
    uint32_t count;
    struct policy_complaint at[POLICY_COMPLAINTS_MAX];
    bool more;
};

/* What the largest possible policy takes, the tree it is read from included: address space, of
 * which an ordinary policy touches some hundred KiB. */
#define POLICY_ARENA_BYTES ((size_t)144 << 20)

/* Compiles into memory taken from `arena`, which must have POLICY_ARENA_BYTES left; the policy and
 * its names live as long as the arena, `yaml` and `known` need not. `known` holds at least the
 * symbols that every state is born with. NULL when anything is wrong, with every complaint sorted
 * by line and column, and the arena as it was. */
const struct policy *policy_compile(struct arena *arena, struct bytes yaml,
                                    const struct symbols *known,
                                    struct policy_complaints *complaints_out);

/* Appends "file:line:column: what is wrong, expected what", without a line end. */
void policy_complaint_format(const char *file, const struct policy_complaint *complaint,
                             struct buffer *out);
