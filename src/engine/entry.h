/*
 * entry.h: one entry of a journal batch: stamp, command, fact. Entries lie one behind the other in
 * the batch's body; the n-th of batch s has position_make(s, n).
 */
#pragma once

#include "base/base.h"

struct entry {
    int64_t at_ms;
    struct bytes command; /* command_encode */
    struct bytes fact;    /* fact_encode */
};

void entry_put(struct buffer *buffer, struct entry entry);
/* Takes the next entry; false at the end of the body or, with reader->bad set, on damage. */
MUST_USE bool entry_take(struct reader *reader, struct entry *entry_out);
#define ENTRY_BYTES_MAX (POLICY_BYTES_MAX + FACT_BYTES_MAX + 8192u)
