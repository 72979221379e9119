/*
 * metrics.c: see metrics.h. Counting; metrics_text.c tells what was counted.
 */
#include "server/metrics.h"

#include <limits.h>

#include "platform/platform.h"
#include "server/batch.h"
#include "server/routes.h"

const uint64_t latency_bounds_ns[LATENCY_BOUNDS] = {
    50000,     100000,     250000,     500000,     1000000,     2500000,
    5000000,   10000000,   25000000,   50000000,   100000000,   250000000,
    500000000, 1000000000, 2500000000, 5000000000, 10000000000,
};
const uint64_t size_bounds[SIZE_BOUNDS] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

/* The first is nobody's: the client had left, or an export was cut. */
static const unsigned statuses[] = {0,   200, 400, 401, 403, 404, 405, 408, 409,
                                    413, 414, 415, 422, 429, 431, 500, 503};
_Static_assert(COUNT_OF(statuses) < METRICS_STATUSES, "and one place for all others");

unsigned metrics_status(unsigned place)
{
    if (place < COUNT_OF(statuses)) return statuses[place];
    return place == COUNT_OF(statuses) ? 1 : UINT_MAX;
}

static uint32_t place_of_status(unsigned status)
{
    if (status == 200) return 1;
    uint32_t place = 0;
    while (place < COUNT_OF(statuses) && statuses[place] != status)
        ++place;
    return place;
}

/* ---- time */

/* The first bound that the value is not above, at `from` or behind. */
static uint32_t bucket_from(uint32_t from, const uint64_t *bounds, uint32_t count, uint64_t value)
{
    uint32_t bucket = from;
    while (bucket < count && value > bounds[bucket])
        ++bucket;
    return bucket;
}

/* How many bounds any value of so many bits is above: with that, two steps at most are left. */
enum { TIME_BITS_MIN = 16, TIME_BITS_MAX = 35 };
static const uint8_t bounds_below[TIME_BITS_MAX - TIME_BITS_MIN + 1] = {
    0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 14, 15, 16, 17,
};

static uint32_t bucket_of_time(uint64_t ns)
{
    int bits = 64 - __builtin_clzll(ns | 1);
    if (bits < TIME_BITS_MIN) bits = TIME_BITS_MIN;
    if (bits > TIME_BITS_MAX) bits = TIME_BITS_MAX;
    return bucket_from(bounds_below[bits - TIME_BITS_MIN], latency_bounds_ns, LATENCY_BOUNDS, ns);
}

static void note_latency(struct latency *latency, int64_t ns)
{
    const uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    ++latency->counts[bucket_of_time(value)];
    latency->sum_ns += value;
}

/* One thread writes: what it reads is what it wrote. */
static void add_shared(_Atomic uint64_t *number, uint64_t more)
{
    const uint64_t now = atomic_load_explicit(number, memory_order_relaxed);
    atomic_store_explicit(number, now + more, memory_order_relaxed);
}

void latency_note_shared(struct latency_shared *latency, int64_t ns)
{
    const uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    add_shared(&latency->counts[bucket_of_time(value)], 1);
    add_shared(&latency->sum_ns, value);
}

struct latency latency_of_shared(const struct latency_shared *latency)
{
    struct latency seen = {
        .sum_ns = atomic_load_explicit(&latency->sum_ns, memory_order_relaxed),
    };
    for (uint32_t i = 0; i <= LATENCY_BOUNDS; ++i)
        seen.counts[i] = atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
    return seen;
}

static void date_sent(struct metrics *metrics, const struct metrics_sent *sent, int64_t now_ns)
{
    struct metrics_call *call = &metrics->calls[sent->call];
    const struct exchange_times *times = &sent->times;
    const bool has_waited = times->decided_ns != 0;
    const int64_t decided_ns = has_waited ? times->decided_ns : now_ns;
    note_latency(&call->whole, now_ns - sent->taken_ns);
    note_latency(&call->stages[STAGE_QUEUE], times->begun_ns - sent->taken_ns);
    note_latency(&call->stages[STAGE_DECIDE], decided_ns - times->begun_ns - times->waited_ns);
    if (times->waited_ns > 0) note_latency(&call->stages[STAGE_WAIT], times->waited_ns);
    if (!has_waited) return;
    note_latency(&call->stages[STAGE_DURABLE], sent->durable_ns - decided_ns);
    note_latency(&call->stages[STAGE_SEND], now_ns - sent->durable_ns);
}

void metrics_tick(struct metrics *metrics)
{
    const int64_t now_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < metrics->answered_count; ++i)
        metrics->answered[i]->times.decided_ns = now_ns;
    for (uint32_t i = 0; i < metrics->sent_count; ++i)
        date_sent(metrics, &metrics->sent[i], now_ns);
    metrics->answered_count = 0;
    metrics->sent_count = 0;
    metrics->now_ns = now_ns;
}

void metrics_answered(struct metrics *metrics, struct exchange *exchange)
{
    if (metrics->answered_count == METRICS_SENT_MAX) metrics_tick(metrics);
    metrics->answered[metrics->answered_count++] = exchange;
}

void metrics_sent(struct metrics *metrics, const struct exchange *exchange)
{
    const struct route *route = exchange->route;
    if (route != NULL && route->call == CALL_POLICY_FILE) return; /* nobody's request */
    const uint32_t call = route_number(route);
    const bool is_failed = exchange->times.decided_ns != 0 && metrics->durable_ns == 0;
    ENSURE(call < METRICS_CALLS_MAX);
    ++metrics->calls[call].answers[place_of_status(exchange->answer.status)];
    /* What took as long as its reader, or has no time, is not measured. */
    if (exchange->times.begun_ns == 0 || exchange->taken_ns == 0 || is_failed) return;
    if (exchange->reading != NULL && exchange->reading->is_stream) return;
    if (metrics->sent_count == METRICS_SENT_MAX) metrics_tick(metrics);
    metrics->sent[metrics->sent_count++] = (struct metrics_sent){.call = call,
                                                                 .times = exchange->times,
                                                                 .taken_ns = exchange->taken_ns,
                                                                 .durable_ns = metrics->durable_ns};
}

void metrics_durable(struct metrics *metrics, const struct batch *batch, int64_t append_ns,
                     int64_t sync_ns)
{
    metrics_tick(metrics);
    metrics->durable_ns = metrics->now_ns;
    ++metrics->batches;
    metrics->batch_bytes += batch->body.used;
    ++metrics->batch_entries.counts[bucket_from(0, size_bounds, SIZE_BOUNDS, batch->entries)];
    metrics->batch_entries.sum += batch->entries;
    note_latency(&metrics->appends, append_ns);
    note_latency(&metrics->syncs, sync_ns);
}

void metrics_released(struct metrics *metrics)
{
    metrics_tick(metrics);
    metrics->durable_ns = 0;
}

/* ---- listeners */

struct metrics_network metrics_all_networks(const struct metrics *metrics)
{
    struct metrics_network all = {0};
    for (unsigned which = 0; which < FRONT_ENDS; ++which) {
        const struct metrics_network *one = &metrics->networks[which];
        all.accepted += one->accepted;
        all.shed += one->shed;
        all.turned_away += one->turned_away;
        all.timed_out += one->timed_out;
        all.out_of_buffers += one->out_of_buffers;
        all.readers_cut += one->readers_cut;
        all.handshakes += one->handshakes;
        all.handshakes_failed += one->handshakes_failed;
        all.buffers_bytes += one->buffers_bytes;
        all.connections += one->connections;
    }
    return all;
}

/* ---- decisions and money */

static uint32_t know_feature(struct metrics *metrics, uint32_t symbol)
{
    if (metrics->feature_of_symbol[symbol] != 0) return metrics->feature_of_symbol[symbol];
    if (symbol == SYMBOL_NONE || metrics->feature_count + 1 == METRICS_FEATURES_MAX) return 0;
    const uint32_t number = ++metrics->feature_count;
    metrics->features[number].symbol = symbol;
    metrics->feature_of_symbol[symbol] = (uint8_t)number;
    return number;
}
_Static_assert(METRICS_FEATURES_MAX <= UINT8_MAX, "a feature's number fits a byte");

void metrics_know_features(struct metrics *metrics, const struct policy *policy)
{
    for (uint32_t i = 0; i < policy->feature_count; ++i)
        (void)know_feature(metrics, policy->features[i].name);
}

static enum metrics_source source_of(const struct line *line)
{
    switch (line->kind) {
    case SOURCE_ALLOWANCE:
        return PAID_BY_ALLOWANCE;
    case SOURCE_OVERAGE:
        return PAID_BY_OVERAGE;
    case SOURCE_UNLIMITED:
        return PAID_BY_UNLIMITED;
    case SOURCE_GRANTS:
        break;
    }
    return line->source == SYMBOL_PROMOTIONAL   ? PAID_BY_PROMOTIONAL
           : line->source == SYMBOL_ENTITLEMENT ? PAID_BY_ENTITLEMENT
                                                : PAID_BY_PAID;
}

/* Several grants of one category are one source. */
static void count_draws(struct metrics_feature *feature, const struct report *report)
{
    unsigned drawn = 0;
    for (uint32_t i = 0; i < report->line_count; ++i)
        drawn |= 1u << source_of(&report->lines[i]);
    for (unsigned source = 0; drawn != 0; ++source, drawn >>= 1)
        feature->draws[source] += drawn & 1;
}

static void count_use(struct metrics *metrics, struct metrics_feature *feature,
                      const struct report *report)
{
    for (uint32_t i = 0; i < report->line_count; ++i) {
        const struct line *line = &report->lines[i];
        const enum metrics_source source = source_of(line);
        feature->units[source] += line->units;
        feature->charged_nano[source] += (uint64_t)line->charged;
    }
    if (!report->has_overshoot) return;
    const struct overshoot *overshoot = &report->overshoot;
    const enum metrics_source source =
        overshoot->booked == OVERSHOOT_OVERAGE ? PAID_BY_OVERAGE : PAID_BY_DEBT;
    const int64_t charged = overshoot->charged - overshoot->refunded;
    metrics->overshoot_nano[overshoot->booked] += (uint64_t)overshoot->charged;
    if (overshoot->booked == OVERSHOOT_REFUND) return;
    feature->units[source] += overshoot->units;
    feature->charged_nano[source] += (uint64_t)charged;
}

/* Credits that come and go without being used. */
static void count_credits(struct metrics *metrics, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind == EFFECT_GRANT)
            metrics->granted_nano[effect->grant.category] += (uint64_t)effect->grant.amount;
        if (effect->kind != EFFECT_LOT) continue;
        const int64_t gone = -(effect->lot.remaining_delta + effect->lot.held_delta);
        if (effect->lot.cause == LOT_EXPIRE) metrics->expired_nano += (uint64_t)gone;
        if (effect->lot.cause == LOT_VOID) metrics->voided_nano += (uint64_t)gone;
    }
}

static void count_decision(struct metrics *metrics, const struct fact *fact)
{
    const struct report *report = &fact->report;
    struct metrics_feature *feature = &metrics->features[know_feature(metrics, fact->feature)];
    ++feature->decisions[report->outcome][report->reason];
    count_draws(feature, report);
}

void metrics_crowded(struct metrics *metrics, const struct fact *fact)
{
    ++metrics->crowded;
    count_decision(metrics, fact);
}

void metrics_answer(struct metrics *metrics, const struct command *command, const struct fact *fact)
{
    if (command->kind == COMMAND_CHECK)
        ++metrics->checks[fact->report.outcome][fact->report.reason];
}

void metrics_fact(struct metrics *metrics, const struct command *command, const struct fact *fact)
{
    const struct report *report = &fact->report;
    struct metrics_feature *feature = &metrics->features[know_feature(metrics, fact->feature)];
    switch (command->kind) {
    case COMMAND_AUTHORIZE:
        metrics->holds_opened += report->hold == HOLD_HELD;
        count_decision(metrics, fact);
        return;
    case COMMAND_EXTEND:
        count_decision(metrics, fact);
        return;
    case COMMAND_CONSUME:
        count_decision(metrics, fact);
        count_use(metrics, feature, report);
        return;
    case COMMAND_USAGE:
        ++feature->reports;
        count_use(metrics, feature, report);
        return;
    case COMMAND_COMMIT:
        ++metrics->holds_ended[HOLD_COMMITTED];
        metrics->commits_late += report->late;
        count_use(metrics, feature, report);
        break;
    case COMMAND_RELEASE:
        ++metrics->holds_ended[HOLD_RELEASED];
        break;
    case COMMAND_REFUND:
        metrics->refunded_nano += (uint64_t)report->nano;
        break;
    case COMMAND_DUE:
        ++metrics->due[command->due_what];
        metrics->holds_ended[HOLD_EXPIRED] += command->due_what == DUE_HOLD_EXPIRY;
        break;
    case COMMAND_CHECK:
    case COMMAND_CUSTOMER:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_POLICY:
    case COMMAND_SEAL:
    case COMMAND_ACCESS:
    case COMMAND_POOL:
        break;
    }
    count_credits(metrics, fact);
}
