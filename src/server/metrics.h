/*
 * metrics.h: what operators count and measure (docs/METRICS.md). GET /metrics tells it.
 *
 * All of it is the loop's thread's own: plain counters, no locks, nothing that waits. What other
 * threads know comes from their own modules, or from the survey (metrics_survey.h). Everything
 * begins at zero with the process.
 *
 * Time is read as seldom as its answer changes: once before the loop works on what arrived, once
 * behind each group of requests that are parsed and ruled together, once when a batch is durable,
 * and once for each few answers that are handed to the network. Each such reading (metrics_tick)
 * dates all that was noted since the one before; so a request costs a fraction of a reading, and
 * its stages are exact to a group.
 *
 * The stages of a request follow each other without gaps:
 *
 *   queue    from its last byte read until the loop turns to it
 *   decide   until its answer is rendered, without
 *   wait     what it was parked for in between: the desk, the books, room in a batch
 *   durable  until all that the answer tells is durable: the batch before it, then its own
 *   send     until it is with the network
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "server/exchange.h"

struct batch;

#define METRICS_CALLS_MAX 64u    /* routes, and 0: what is none of them */
#define METRICS_FEATURES_MAX 65u /* with a label of their own from 1 on; 0: the others */
#define METRICS_STATUSES 24u
#define METRICS_SENT_MAX 16u /* answers that share a reading of the clock */

/* Of a whole answer, with every label there can be (a test fills it). */
#define METRICS_BYTES_MAX ((size_t)2 << 20)

/* How many reasons and problems there are. */
enum {
#define X(name, ...) METRICS_##name,
    REASON_TABLE(X)
#undef X
        METRICS_REASONS
};
enum {
#define X(name, ...) METRICS_##name,
    PROBLEM_TABLE(X)
#undef X
        METRICS_PROBLEMS
};

/* Upper bounds of buckets; the last bucket has none. */
#define LATENCY_BOUNDS 17u
#define SIZE_BOUNDS 13u
extern const uint64_t latency_bounds_ns[LATENCY_BOUNDS];
extern const uint64_t size_bounds[SIZE_BOUNDS];

struct latency {
    uint64_t counts[LATENCY_BOUNDS + 1];
    uint64_t sum_ns;
};
/* One thread notes, another tells. */
struct latency_shared {
    _Atomic uint64_t counts[LATENCY_BOUNDS + 1];
    _Atomic uint64_t sum_ns;
};
void latency_note_shared(struct latency_shared *latency, int64_t ns);
struct latency latency_of_shared(const struct latency_shared *latency);

struct sizes {
    uint64_t counts[SIZE_BOUNDS + 1];
    uint64_t sum;
};

enum metrics_stage { STAGE_QUEUE, STAGE_DECIDE, STAGE_WAIT, STAGE_DURABLE, STAGE_SEND, STAGES };

/* Who paid. */
enum metrics_source {
    PAID_BY_ALLOWANCE,
    PAID_BY_PROMOTIONAL,
    PAID_BY_ENTITLEMENT,
    PAID_BY_PAID,
    PAID_BY_OVERAGE,
    PAID_BY_UNLIMITED,
    PAID_BY_DEBT, /* an overshoot booked so: nobody yet */
    METRICS_SOURCES
};

struct metrics_call {
    uint64_t answers[METRICS_STATUSES];
    struct latency whole;
    struct latency stages[STAGES];
};

struct metrics_feature {
    uint32_t symbol;
    uint64_t decisions[OUTCOME_DENY + 1][METRICS_REASONS];
    uint64_t draws[METRICS_SOURCES];
    uint128 units[METRICS_SOURCES];
    uint128 charged_nano[METRICS_SOURCES];
    uint64_t reports; /* of usage after the fact */
};

/* Who listens; each has connections and buffers of its own. */
enum front_end { FRONT_HTTP, FRONT_RESP, FRONT_GRPC, FRONT_ENDS };

/* The front end's own, which it counts itself. */
struct metrics_network {
    uint64_t accepted;
    uint64_t shed;                       /* connections that waited longest, for newcomers */
    uint64_t turned_away;                /* newcomers, when all connections were at work */
    uint64_t timed_out;                  /* requests that were not whole in time, told so */
    uint64_t out_of_buffers;             /* requests refused for the sum of bytes */
    uint64_t readers_cut;                /* answers not taken in time, or cut for that sum */
    uint64_t handshakes;                 /* TLS, done */
    uint64_t handshakes_failed;          /* and not done, in time or at all */
    uint64_t problems[METRICS_PROBLEMS]; /* told where no exchange came of a request */
    uint64_t buffers_bytes;              /* held by large requests and answers */
    uint64_t buffers_bytes_max;
    int64_t certificate_ends_at_s; /* since 1970; 0: no TLS */
    uint32_t connections;
    uint32_t connections_max;
};

/* How far the answer to a scrape is rendered. */
struct metrics_scrape {
    uint32_t part;
    uint32_t row;
    size_t used;
};

/* An answer that was handed over, and whose time is not known yet. */
struct metrics_sent {
    uint32_t call;
    struct exchange_times times;
    int64_t taken_ns;
    int64_t durable_ns;
};

struct metrics {
    int64_t now_ns;     /* the last reading */
    int64_t durable_ns; /* when what is sent now became durable; 0: it waited for nothing */
    struct exchange *answered[METRICS_SENT_MAX]; /* since then, waiting for a batch */
    uint32_t answered_count;
    struct metrics_sent sent[METRICS_SENT_MAX];
    uint32_t sent_count;

    struct metrics_call calls[METRICS_CALLS_MAX];
    struct metrics_feature features[METRICS_FEATURES_MAX];
    uint32_t feature_count;                     /* taken, from 1 on */
    uint8_t feature_of_symbol[SYMBOLS_MAX + 1]; /* 0: none, or one of the others */

    uint64_t checks[OUTCOME_DENY + 1][METRICS_REASONS];
    uint64_t crowded;
    uint64_t replays;
    uint64_t problems[METRICS_PROBLEMS];
    uint64_t holds_opened;
    uint64_t holds_ended[HOLD_EXPIRED + 1];
    uint64_t commits_late;
    uint64_t due[DUE_GRANT_EFFECTIVE + 1];
    uint128 refunded_nano;
    uint128 overshoot_nano[OVERSHOOT_OVERAGE + 1];
    uint128 granted_nano[CATEGORY_PAID + 1];
    uint128 expired_nano;
    uint128 voided_nano;

    uint64_t blocked; /* turns that ended with both batches full */
    uint64_t batches;
    uint64_t batch_bytes;
    struct sizes batch_entries;
    struct latency appends;
    struct latency syncs; /* of these, the commits alone */

    struct metrics_network networks[FRONT_ENDS]; /* without connections_max: does not listen */
    int64_t recovery_ms;
    uint64_t recovered_entries;
};

/* Reads the clock, and dates what was noted since the last reading. */
void metrics_tick(struct metrics *metrics);

/* An exchange's turn has come, or has come again. */
static inline void metrics_begun(const struct metrics *metrics, struct exchange *exchange)
{
    struct exchange_times *times = &exchange->times;
    if (times->begun_ns == 0)
        times->begun_ns = metrics->now_ns;
    else
        times->waited_ns += metrics->now_ns - times->turn_ns;
    times->turn_ns = metrics->now_ns;
}
/* Its answer is made, and waits for a batch. */
void metrics_answered(struct metrics *metrics, struct exchange *exchange);
/* It is about to be sent, whole or its last piece. */
void metrics_sent(struct metrics *metrics, const struct exchange *exchange);
/* The batch that was in flight is durable: its answers are sent next, up to metrics_released. */
void metrics_durable(struct metrics *metrics, const struct batch *batch, int64_t append_ns,
                     int64_t sync_ns);
void metrics_released(struct metrics *metrics);

/* What a command or a due date came to. */
void metrics_fact(struct metrics *metrics, const struct command *command, const struct fact *fact);
/* The same of a denial that was counted into an earlier one's entry. */
void metrics_crowded(struct metrics *metrics, const struct fact *fact);
/* An answer that changes nothing. */
void metrics_answer(struct metrics *metrics, const struct command *command,
                    const struct fact *fact);
static inline void metrics_problem(struct metrics *metrics, enum problem_code code)
{
    ++metrics->problems[code];
}

/* What the start read of the journal, and how long it took. */
static inline void metrics_recovered(struct metrics *metrics, int64_t took_ms, uint64_t entries)
{
    metrics->recovery_ms = took_ms;
    metrics->recovered_entries = entries;
}

/* Names get their labels in this order: those of the policy in force come to be at once. */
void metrics_know_features(struct metrics *metrics, const struct policy *policy);

/* All listeners' counts and what they hold, together; ceilings and problems are not. */
struct metrics_network metrics_all_networks(const struct metrics *metrics);

/* HTTP statuses that are counted one by one: the n-th; 0: another one; UINT_MAX: no such place. */
unsigned metrics_status(unsigned place);
