/*
 * journaling.h: the journal's thread. One batch at a time comes in, its end goes out; while the
 * disk syncs, only this thread waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "journal/journal.h"
#include "platform/platform.h"
#include "server/settling.h"

/* A sealed batch: the body stays untouched until its end is known. */
struct journal_order {
    struct batch_header header; /* first_ms, last_ms, entries; the journal fills in the rest */
    struct bytes body;
    uint64_t keep_from; /* batches before it may go; 0: none */
};

struct journaling {
    struct journal *journal;
    struct ring orders; /* loop -> journal */
    struct ring ends;   /* journal -> loop */
    struct journal_order order_items[2];
    enum append_result end_items[2];
    bool is_appending;
    struct bytes body;  /* of the batch that is being appended */
    int64_t began_ns;   /* when that was begun */
    int64_t written_ns; /* and when nothing but its commit was left */
    /* What the last one took, and its commit of that; the loop's to read from its end on. */
    int64_t append_ns;
    int64_t sync_ns;
    struct settling *settling; /* is offered each batch; NULL: nobody settles */
    struct wake *loop_wake;    /* signalled after each end; NULL: nobody sleeps (simulation) */
    struct runner runner;
    bool has_thread;
};

void journaling_start(struct journaling *journaling, struct journal *journal,
                      struct wake *loop_wake);
MUST_USE bool journaling_start_thread(struct journaling *journaling);
/* Finishes what was ordered, then joins the thread if there is one. */
void journaling_stop(struct journaling *journaling);

/* Loop's side. One order may be unanswered. */
void journaling_order(struct journaling *journaling, const struct journal_order *order);
/* APPEND_NONE: not yet. */
enum append_result journaling_take_end(struct journaling *journaling);

/* The thread's side. */
bool journal_step(void *journaling);
