/*
 * filing.h: when idempotency keys leave the state for files, and how: the loop's part of src/keys.
 *
 * Once a period (an hour; a twenty-fourth of the retention where that is longer) the settled keys
 * that were bound before the last one go to a file; so do all settled keys when three quarters of
 * the state's room for keys are taken. One walk over the key records counts them; then, slice by
 * slice of their hashes, a walk lists a slice and the desk sorts and writes it, so that the file is
 * sorted and memory for a slice suffices; when the file stands and its filter is asked, a last walk
 * forgets. Each walk takes a bounded piece a turn of the loop.
 *
 * Whatever fails, the keys stay in the state, and the next time begins anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "server/key_desk.h"

#define FILING_RECORDS 2048u  /* looked at per turn */
#define FILING_FORGOTTEN 512u /* forgotten per turn: each costs a miss or two */

/* Keys that are sorted at once, for a state with room for so many. */
uint32_t filing_piece(uint32_t keys_max);

enum filing_stage {
    FILING_IDLE,
    FILING_COUNT,
    FILING_LIST,
    FILING_WRITE, /* the desk has the piece */
    FILING_FORGET,
    FILING_DROP /* the desk drops a file */
};

struct filing {
    struct engine *engine;
    struct keys *keys;
    uint32_t piece;

    enum filing_stage stage;
    struct keys_wanted wanted;
    uint32_t at; /* the next record of this walk */
    uint32_t listed;
    uint64_t count;
    uint64_t room; /* of the file, left */
    uint64_t slice;
    uint64_t slices;

    int64_t mark_ms; /* when the last period began */
    uint64_t mark_position;
    int64_t looked_ms;   /* for files that are over */
    int64_t pressed_ms;  /* when room was made last */
    uint32_t pressed_at; /* and how many keys there were */
    bool is_short;       /* no memory for one filter more: keys pile up in the state */
};

struct filing_time {
    int64_t now_ms;
    uint64_t durable_before; /* the first position that is not durable yet */
    int64_t retention_ms;
};

void filing_start(struct filing *filing, struct engine *engine, struct keys *keys, uint32_t piece,
                  struct filing_time time);
/* One bounded piece of work; true: there is more at once. *order_out is for the desk when
 * has_order_out. */
MUST_USE bool filing_step(struct filing *filing, struct filing_time time,
                          struct key_order *order_out, bool *has_order_out);
/* The end of what was ordered. */
void filing_end(struct filing *filing, const struct key_end *end, int64_t now_ms);
