/*
 * snapshots.h: when a snapshot is made, and by whom.
 *
 * The mark is the seal of a batch: the engine's image begins there, and a piece of it is walked
 * each turn of the loop (engine/image.h says how the rest of the state keeps its past). Full chunks
 * go to a thread of its own, which hashes, writes and syncs; it is not the desk, because a recall
 * must not wait for a disk that is busy with a few hundred megabytes. The file becomes a snapshot
 * only when the image is whole and its batch is durable.
 *
 * A snapshot that cannot be made (a full disk, a writer that is too slow for what the loop keeps)
 * is given up and said in the log; decisions go on, and it is tried again later.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "platform/platform.h"
#include "server/policies.h"

#define SNAPSHOT_CHUNKS 4u
/* Walked in one step of the loop. */
#define SNAPSHOT_STEP_BYTES (UINT64_C(48) << 10)

struct snapshots_parts {
    const char *directory;
    struct engine *engine;
    struct policies *policies;
    const struct keys *keys;     /* NULL: there are no key files */
    struct journal_hash genesis; /* of the journal's first batch */
    uint64_t every_bytes;        /* of journal, and never less than was written the last time */
    uint64_t since_bytes;        /* of journal since the newest snapshot */
    uint64_t newest;             /* batch of the snapshot that was started from; 0: none */
    uint64_t older;              /* of the one before; 0: none */
    struct wake *loop_wake;      /* NULL: nobody sleeps (simulation) */
};

enum snapshots_stage {
    SNAPSHOTS_REST,
    SNAPSHOTS_WALK,   /* the image is being made */
    SNAPSHOTS_WAIT,   /* it is whole; its batch is not durable yet */
    SNAPSHOTS_FINISH, /* the file is being ended */
    SNAPSHOTS_GIVE_UP /* until the thread has answered all it was asked */
};

enum snapshot_order_kind {
    SNAPSHOT_ORDER_CREATE,
    SNAPSHOT_ORDER_PIECE,
    SNAPSHOT_ORDER_FINISH,
    SNAPSHOT_ORDER_ABANDON
};

/* Every order is answered once. */
struct snapshot_order {
    enum snapshot_order_kind kind;
    struct snapshot_header header; /* CREATE */
    uint32_t piece_kind;           /* PIECE */
    uint32_t chunk;
    size_t length;
    struct journal_hash batch; /* FINISH */
    uint64_t older;            /* FINISH: kept beside the new one */
};
struct snapshot_end {
    enum snapshot_order_kind kind;
    uint32_t chunk;            /* PIECE: free again */
    enum snapshot_fault fault; /* said in the log, and nothing of the file is left */
    uint64_t bytes;            /* FINISH: of the file */
};
#define SNAPSHOT_ORDERS_MAX 8u

/* What became of the newest ones. */
struct snapshots_news {
    uint64_t sequence; /* of the newest; 0: there is none */
    int64_t at_ms;     /* its stamp; 0: not made by this process, like: */
    uint64_t bytes;
    uint64_t failures; /* since then */
    uint64_t failed_sequence;
    int64_t failed_at_ms; /* stamp of its mark */
    const char *failure;  /* of the last one; NULL without failures */
};

/* Since the start. */
struct snapshots_totals {
    uint64_t made;
    uint64_t failed;
    int64_t took_ns; /* the last one that was made */
};

struct snapshots {
    struct snapshots_parts parts;
    enum snapshots_stage stage;
    uint64_t sequence;
    bool is_durable; /* batch `sequence` is, and this is its hash: */
    struct journal_hash batch;
    uint64_t since_bytes; /* of journal, since the mark of the newest snapshot */
    uint64_t wanted_at;   /* so many of them, and the next is begun */
    uint64_t file_bytes;  /* of the last one */
    int64_t began_ns;
    int64_t at_ms; /* stamp of the mark */

    struct snapshots_news news;
    struct snapshots_totals totals;
    uint32_t orders_open;

    struct buffer chunks[SNAPSHOT_CHUNKS];
    bool is_lent[SNAPSHOT_CHUNKS]; /* to the thread */
    uint32_t filling;

    struct ring orders; /* loop -> thread */
    struct ring ends;   /* thread -> loop */
    struct snapshot_order order_items[SNAPSHOT_ORDERS_MAX];
    struct snapshot_end end_items[SNAPSHOT_ORDERS_MAX];
    struct snapshot_writer *writer; /* the thread's */
    struct runner runner;
    bool has_thread;
};

uint64_t snapshots_bytes(void); /* of zeroes, 64-aligned */
struct snapshots *snapshots_over(void *block, struct snapshots_parts parts);
MUST_USE bool snapshots_start_thread(struct snapshots *snapshots);
/* What is under way is given up. */
void snapshots_stop(struct snapshots *snapshots);

/* Loop's side. A batch was sealed, so many bytes long; the state is exactly that of all batches up
 * to it. */
void snapshots_note_sealed(struct snapshots *snapshots, uint64_t sequence, uint64_t bytes,
                           int64_t now_ms);
void snapshots_note_durable(struct snapshots *snapshots, uint64_t sequence,
                            struct journal_hash hash);
/* One piece of work; false: there was none. */
bool snapshots_turn(struct snapshots *snapshots);
/* The image can go on at once. */
bool snapshots_has_work(const struct snapshots *snapshots);
/* The older one of the snapshots that recovery can choose from; 0: there are not two. */
uint64_t snapshots_kept(const struct snapshots *snapshots);

/* The thread's side. */
bool snapshots_step(void *snapshots);
