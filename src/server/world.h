/*
 * world.h: a server without sockets, disks or threads, for tests: the loop, the journal in memory
 * and the desk, stepped by hand; exchanges made of nothing. Not part of the library.
 */
#pragma once

#include "server/loop.h"
#include "server/recovery.h"

#define WORLD_START_MS INT64_C(1777636800000) /* 2026-05-01T12:00:00Z */
#define WORLD_BODY_SIZE 16384

struct asker_header {
    const char *name;
    char value[512];
};

/* One request, and what came of it. */
struct asker {
    struct exchange exchange; /* first: the one is the other */
    struct world *world;
    bool is_answered;
    unsigned status;
    uint64_t order;            /* of its answer among all */
    uint64_t durable_sequence; /* of the journal when it was answered */
    const char *content_type;
    struct asker_header headers[ANSWER_HEADERS_MAX];
    uint32_t header_count;

    /* Of an answer in pieces. It reads on at once, unless told not to. */
    bool reads_slowly;
    bool is_lent; /* has a piece, and has not asked for the next */
    bool is_cut;
    bool is_dropping; /* an answer's bytes are not kept */
    unsigned pieces;
    uint64_t bytes;
    struct buffer whole; /* all pieces, over the test's memory; at NULL: not kept */

    size_t length;
    char body[WORLD_BODY_SIZE]; /* with a NUL */
};

struct world {
    struct journal *journal;
    struct engine *engine;
    struct clock clock;
    struct policies *policies;
    struct desk *desk;
    struct keys *keys;     /* NULL: the state alone remembers keys */
    uint32_t told_of_keys; /* lines about key files at the start */
    struct journaling *journaling;
    struct loop *loop;
    struct snapshots *snapshots; /* NULL: none are made */
    struct recovery recovered;
    uint32_t refused_snapshots;
    char refused[512]; /* why, of the last one */
    uint64_t answers;
    void *blocks[10];
    uint64_t block_bytes[10];
    unsigned block_count;
};

/* Over a new journal, or (recovering) over one that is kept. The policy is installed unless NULL.
 */
struct world *world_open(struct journal *journal, const char *policy);
struct world *world_open_within(struct journal *journal, const char *policy,
                                struct engine_ceilings ceilings);
/* With key files in a directory. */
struct world *world_open_filing(struct journal *journal, const char *policy,
                                struct engine_ceilings ceilings, const char *directory);
/* With snapshots in it too, one for so many bytes of journal. Those that are there are used by all
 * who name the directory. */
struct world *world_open_snapshotting(struct journal *journal, const char *policy,
                                      struct engine_ceilings ceilings, const char *directory,
                                      uint64_t every_bytes);
/* The journal lives on. */
void world_close(struct world *world);

void world_ask(struct world *world, struct asker *asker, const char *method, const char *target,
               const char *body);
void world_ask_bytes(struct world *world, struct asker *asker, const char *method,
                     const char *target, struct bytes body);
void world_post(struct world *world, struct asker *asker, const char *target, const char *body);
/* NULL: the answer has none of that name. */
const char *world_header(const struct asker *asker, const char *name);
/* Asks for the next piece. */
void world_read_on(struct asker *asker);
/* Goes away, with a piece or without. */
void world_leave(struct asker *asker);
/* Steps everything until nothing happens. */
void world_settle(struct world *world);
/* Asks and settles. */
void world_do(struct world *world, struct asker *asker, const char *method, const char *target,
              const char *body);
