/*
 * settling.c: see settling.h.
 */
#include "server/settling.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IDLE_MS = 1000, NICE = 10 };

#define SAMPLE_NS INT64_C(50000000)

/* ---- opening */

static void note_transaction(void *self, int64_t took_ns, int64_t commit_ns)
{
    struct settling *settling = self;
    latency_note_shared(&settling->transactions, took_ns);
    latency_note_shared(&settling->syncs, commit_ns);
}

enum ledger_fault settling_open(struct settling *settling, const struct settling_parts *parts,
                                struct ledger_detail *detail_out)
{
    struct batch_header genesis;
    struct bytes body;
    char detail[256];
    struct journal *journal = parts->journal;
    settling->lag.spacing_ns = SAMPLE_NS;
    enum journal_fault journal_fault = journal->calls->read(journal, 1, &genesis, &body);
    (void)snprintf(detail, sizeof(detail), "%s", journal->detail);
    if (journal_fault == JOURNAL_OK)
        journal_fault = journal_sqlite_open_reader(parts->directory, &settling->reader, detail);
    if (journal_fault != JOURNAL_OK) {
        (void)snprintf(detail_out->text, sizeof(detail_out->text), "%s: %s",
                       journal_fault_text(journal_fault), detail);
        return LEDGER_JOURNAL_FAILED;
    }
    const struct ledger_origin origin = {.genesis_hash = genesis.hash,
                                         .key = journal->key,
                                         .journal = journal->first > 2 ? LEDGER_JOURNAL_CUT
                                                                       : LEDGER_JOURNAL_WHOLE};
    const enum ledger_fault fault =
        ledger_open(parts->directory, &origin, &settling->ledger, detail_out);
    if (fault != LEDGER_OK) return fault;
    const struct settler_parts settler_parts = {.ledger = settling->ledger,
                                                .reader = settling->reader,
                                                .durable = journal->tip.sequence,
                                                .customers_max = parts->customers_max,
                                                .usage_for_ms = parts->usage_for_ms,
                                                .loop_wake = parts->loop_wake,
                                                .now_ns = clock_monotonic_ns,
                                                .on_commit = note_transaction,
                                                .self = settling};
    const enum ledger_fault settler_fault =
        settler_open(&settler_parts, &settling->settler, detail_out);
    if (settler_fault != LEDGER_OK) return settler_fault;
    if (journal_sqlite_entries_after(settling->reader, settler_cursor(settling->settler),
                                     &settling->backlog) == JOURNAL_OK)
        return LEDGER_OK;
    (void)snprintf(detail_out->text, sizeof(detail_out->text), "%s", settling->reader->detail);
    return LEDGER_JOURNAL_FAILED;
}

/* ---- the threads */

bool settling_step(struct settling *settling)
{
    return settle_step(settling->settler);
}

/* Whoever's turn it is. The other one may be at its last step still: then this one is woken at its
 * end. */
static bool step_in_turn(struct settling *settling, bool is_hurried)
{
    if (atomic_load(&settling->hurries) != is_hurried) return false;
    if (atomic_exchange(&settling->is_stepping, true)) return false;
    const bool has_worked = settle_step(settling->settler);
    atomic_store(&settling->is_stepping, false);
    if (atomic_load(&settling->hurries) != is_hurried)
        runner_wake(is_hurried ? &settling->calm : &settling->hurried);
    return has_worked;
}

static bool calm_step(void *self)
{
    return step_in_turn(self, false);
}

static bool hurried_step(void *self)
{
    return step_in_turn(self, true);
}

/* The threads are born with the priority of whoever starts them: the calm one is made so first. */
static bool calm_first_step(void *self)
{
    static _Thread_local bool is_calm;
    if (!is_calm) {
        is_calm = true;
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    }
    return calm_step(self);
}

bool settling_start_threads(struct settling *settling)
{
    settling->has_hurried =
        runner_start(&settling->hurried, "weir-settle-fast", hurried_step, settling, IDLE_MS);
    if (!settling->has_hurried) return false;
    settling->has_calm =
        runner_start(&settling->calm, "weir-settle", calm_first_step, settling, IDLE_MS);
    return settling->has_calm;
}

void settling_stop(struct settling *settling, int64_t wait_ms_max)
{
    if (settling->settler == NULL) return;
    settler_wind_down(settling->settler, clock_monotonic_ns() + wait_ms_max * 1000000);
    atomic_store(&settling->hurries, false);
    if (settling->has_calm) runner_stop(&settling->calm);
    if (settling->has_hurried) runner_stop(&settling->hurried);
    settling->has_calm = settling->has_hurried = false;
    /* They may have stopped while one waited for the other. */
    while (settle_step(settling->settler)) {
    }
}

void settling_close(struct settling *settling, int64_t wait_ms_max)
{
    settling_stop(settling, wait_ms_max);
    if (settling->settler != NULL) settler_close(settling->settler);
    settling->settler = NULL;
    if (settling->ledger != NULL) ledger_close(settling->ledger);
    settling->ledger = NULL;
    if (settling->reader != NULL) settling->reader->calls->close(settling->reader);
    settling->reader = NULL;
}

static void wake_worker(struct settling *settling)
{
    if (!settling->has_calm) return;
    runner_wake(atomic_load(&settling->hurries) ? &settling->hurried : &settling->calm);
}

/* ---- the journal's side */

void settling_offer(struct settling *settling, const struct batch_header *header, struct bytes body)
{
    settler_offer(settling->settler, header, body);
    settler_set_durable(settling->settler, header->sequence);
    wake_worker(settling);
}

/* ---- the loop's side */

bool settling_ask_head(struct settling *settling, struct hash128 customer)
{
    const struct settler_ask ask = {.customer = customer};
    if (!settler_ask_head(settling->settler, &ask)) return false;
    wake_worker(settling);
    return true;
}

bool settling_take_head(struct settling *settling, struct settler_answer *answer_out)
{
    return settler_take_answer(settling->settler, answer_out);
}

/* ---- lag */

static struct settling_sample *sample_at(struct settling_lag *lag, uint32_t place)
{
    return &lag->samples[(lag->first + place) % SETTLING_LAG_SAMPLES];
}

/* Every other one goes, and from now on half as many come. */
static void thin_out(struct settling_lag *lag)
{
    for (uint32_t place = 0; 2 * place < lag->count; ++place)
        *sample_at(lag, place) = *sample_at(lag, 2 * place);
    lag->count = (lag->count + 1) / 2;
    lag->spacing_ns *= 2;
}

static void sample(struct settling_lag *lag, uint64_t durable, int64_t now_ns)
{
    if (lag->count > 0) {
        const struct settling_sample *newest = sample_at(lag, lag->count - 1);
        if (newest->sequence == durable || now_ns - newest->at_ns < lag->spacing_ns) return;
    }
    if (lag->count == SETTLING_LAG_SAMPLES) thin_out(lag);
    *sample_at(lag, lag->count++) = (struct settling_sample){durable, now_ns};
}

void settling_watch(struct settling *settling, uint64_t durable_sequence)
{
    struct settling_lag *lag = &settling->lag;
    const uint64_t cursor = settler_cursor(settling->settler);
    const int64_t now_ns = clock_monotonic_ns();
    while (lag->count > 0 && sample_at(lag, 0)->sequence <= cursor) {
        lag->first = (lag->first + 1) % SETTLING_LAG_SAMPLES;
        --lag->count;
    }
    if (lag->count == 0) lag->spacing_ns = SAMPLE_NS;
    if (durable_sequence > cursor) sample(lag, durable_sequence, now_ns);
    settling->lag_ms = lag->count > 0 ? (now_ns - sample_at(lag, 0)->at_ns) / 1000000 : 0;

    const bool hurries = atomic_load(&settling->hurries);
    const int64_t most_ms = hurries ? SETTLING_CALM_MS : SETTLING_HURRY_MS;
    if (hurries == (settling->lag_ms > most_ms)) return;
    atomic_store(&settling->hurries, !hurries);
    wake_worker(settling);
}
