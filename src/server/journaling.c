/*
 * journaling.c: see journaling.h.
 */
#include "server/journaling.h"

enum { IDLE_MS = 1000 };

void journaling_start(struct journaling *journaling, struct journal *journal,
                      struct wake *loop_wake)
{
    journaling->journal = journal;
    journaling->loop_wake = loop_wake;
    journaling->is_appending = false;
    journaling->has_thread = false;
    ring_start(&journaling->orders, journaling->order_items, sizeof(journaling->order_items[0]),
               COUNT_OF(journaling->order_items));
    ring_start(&journaling->ends, journaling->end_items, sizeof(journaling->end_items[0]),
               COUNT_OF(journaling->end_items));
}

bool journaling_start_thread(struct journaling *journaling)
{
    journaling->has_thread =
        runner_start(&journaling->runner, "weir-journal", journal_step, journaling, IDLE_MS);
    return journaling->has_thread;
}

void journaling_stop(struct journaling *journaling)
{
    if (journaling->has_thread) runner_stop(&journaling->runner);
    journaling->has_thread = false;
}

void journaling_order(struct journaling *journaling, const struct journal_order *order)
{
    const bool is_put = ring_put(&journaling->orders, order);
    ENSURE(is_put);
    if (journaling->has_thread) runner_wake(&journaling->runner);
}

enum append_result journaling_take_end(struct journaling *journaling)
{
    enum append_result end = APPEND_NONE;
    if (!ring_take(&journaling->ends, &end)) return APPEND_NONE;
    return end;
}

bool journal_step(void *self)
{
    struct journaling *journaling = self;
    struct journal *journal = journaling->journal;
    struct journal_order order;
    bool has_worked = false;
    if (!journaling->is_appending) {
        if (!ring_take(&journaling->orders, &order)) return false;
        if (order.keep_from != 0) journal->calls->keep_from(journal, order.keep_from);
        journaling->began_ns = clock_monotonic_ns();
        journal->calls->append_start(journal, order.header, order.body);
        journaling->written_ns = clock_monotonic_ns();
        journaling->is_appending = true;
        journaling->body = order.body;
        has_worked = true;
    }
    const enum append_result end = journal->calls->append_finish(journal);
    if (end == APPEND_NONE) return has_worked;
    journaling->is_appending = false;
    const int64_t ended_ns = clock_monotonic_ns();
    journaling->append_ns = ended_ns - journaling->began_ns;
    journaling->sync_ns = ended_ns - journaling->written_ns;
    if (end == APPEND_COMMITTED && journaling->settling != NULL)
        settling_offer(journaling->settling, &journal->committed, journaling->body);
    const bool is_put = ring_put(&journaling->ends, &end);
    ENSURE(is_put);
    if (journaling->loop_wake != NULL) wake_signal(journaling->loop_wake);
    return true;
}
