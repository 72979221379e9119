/*
 * settling.h: settlement beside the server: the settler (ledger/settler.h), its connections, and
 * the threads that step it.
 *
 * Decisions come first: the settler's thread runs at low priority, and only when settlement has
 * fallen far behind at the ordinary one, until it has caught up. A process without privileges
 * cannot give a thread its priority back, so there are two threads, calm and hurried, of which one
 * works while the other sleeps.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "journal/journal.h"
#include "ledger/ledger.h"
#include "platform/platform.h"
#include "server/metrics.h"

#define SETTLING_LAG_SAMPLES 256u
#define SETTLING_HURRY_MS 30000 /* behind by more: at ordinary priority ... */
#define SETTLING_CALM_MS 10000  /* ... until it is no more than this */

/* When batches became durable, as far as they are not settled: at most so many, evenly in time. */
struct settling_lag {
    struct settling_sample {
        uint64_t sequence;
        int64_t at_ns;
    } samples[SETTLING_LAG_SAMPLES];
    uint32_t first;
    uint32_t count;
    int64_t spacing_ns;
};

struct settling {
    struct ledger *ledger;
    struct journal *reader;
    struct settler *settler; /* NULL: not open */
    struct runner calm;
    struct runner hurried;
    bool has_calm;
    bool has_hurried;
    _Atomic bool hurries;
    _Atomic bool is_stepping; /* by one of the two */

    uint64_t backlog; /* entries that were not settled when it was opened */

    /* What its transactions took, and their commits of that. */
    struct latency_shared transactions;
    struct latency_shared syncs;

    /* The loop's own. */
    struct settling_lag lag;
    int64_t lag_ms;
};

struct settling_parts {
    const char *directory;
    struct journal *journal; /* recovered; read from before its thread is started */
    uint32_t customers_max;
    int64_t usage_for_ms; /* 0: usage events are kept */
    struct wake *loop_wake;
};

/* Opens or founds the ledger. A fault: *detail_out says why and what to do. */
MUST_USE enum ledger_fault settling_open(struct settling *settling,
                                         const struct settling_parts *parts,
                                         struct ledger_detail *detail_out);
MUST_USE bool settling_start_threads(struct settling *settling);
/* Settles what there is for at most so long, and joins the threads. */
void settling_stop(struct settling *settling, int64_t wait_ms_max);
/* Stops, and closes everything. */
void settling_close(struct settling *settling, int64_t wait_ms_max);

/* The journal's thread: a batch is durable. */
void settling_offer(struct settling *settling, const struct batch_header *header,
                    struct bytes body);

/* The loop's side. */
MUST_USE bool settling_ask_head(struct settling *settling, struct hash128 customer);
MUST_USE bool settling_take_head(struct settling *settling, struct settler_answer *answer_out);
/* Measures how far settlement is behind what is durable, and sets its priority by it. */
void settling_watch(struct settling *settling, uint64_t durable_sequence);

/* One step without threads, for tests and the simulator. */
bool settling_step(struct settling *settling);
