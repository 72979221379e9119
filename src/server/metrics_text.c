/*
 * metrics_text.c: GET /metrics in Prometheus's text format, version 0.0.4.
 *
 * Rendered by the loop's thread, from what lies in memory and two looks at the size of the
 * write-ahead logs: a piece a turn (TURN_BYTES), so that no decision waits for a large answer. A
 * scrape after the other; each series is of one moment, and all of them of some turns. The answer
 * is bounded: features beyond METRICS_FEATURES_MAX share a label, calls are those of the route
 * table, all other labels are closed words. Label sets that never counted anything are left out
 * where their number is the product of several lists (docs/METRICS.md says where), so that most
 * answers are short.
 *
 * A family is one of the tables or functions below, and docs/METRICS.md has a row for each: a test
 * compares them.
 */
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "server/loop_inner.h"

#define CONTENT_METRICS "text/plain; version=0.0.4; charset=utf-8"

/* Rendered in a turn, and then the row under way to its end: some tens of microseconds. */
#define TURN_BYTES ((size_t)16 << 10)

enum unit { WHOLE, MILLI, NANO }; /* what a number counts, of what is told */

static void put_text(struct buffer *out, const char *text)
{
    buffer_put_text(out, text);
}

/* "12.5" of 12500 thousandths. */
static void put_number(struct buffer *out, uint128 value, enum unit unit)
{
    uint64_t scale = unit == NANO ? 1000000000 : unit == MILLI ? 1000 : 1;
    uint64_t fraction = 0;
    buffer_put_decimal_128(out, number_divide(value, scale, &fraction));
    if (fraction != 0) buffer_put_byte(out, '.');
    while (fraction != 0) {
        scale /= 10;
        buffer_put_byte(out, (uint8_t)('0' + fraction / scale));
        fraction %= scale;
    }
}

static void begin_family(struct buffer *out, const char *name, const char *type, const char *help)
{
    put_text(out, "# HELP ");
    put_text(out, name);
    buffer_put_byte(out, ' ');
    put_text(out, help);
    put_text(out, "\n# TYPE ");
    put_text(out, name);
    buffer_put_byte(out, ' ');
    put_text(out, type);
    buffer_put_byte(out, '\n');
}

/* A label's value: names come from the policy. */
static void put_escaped(struct buffer *out, struct bytes value)
{
    for (size_t i = 0; i < value.length; ++i) {
        const uint8_t byte = value.at[i];
        if (byte == '\n') {
            put_text(out, "\\n");
            continue;
        }
        if (byte == '"' || byte == '\\') buffer_put_byte(out, '\\');
        buffer_put_byte(out, byte);
    }
}

/* One or two labels; their texts are ours or escaped already. */
struct labels {
    const char *first;
    struct bytes first_value;
    const char *second; /* NULL: there is one */
    const char *second_value;
    const char *third; /* NULL: there are two */
    const char *third_value;
};

static void put_label(struct buffer *out, const char *name, const char *value)
{
    if (name == NULL) return;
    buffer_put_byte(out, ',');
    put_text(out, name);
    put_text(out, "=\"");
    put_text(out, value);
    buffer_put_byte(out, '"');
}

static void put_labels(struct buffer *out, const struct labels *labels)
{
    put_text(out, labels->first);
    put_text(out, "=\"");
    put_escaped(out, labels->first_value);
    buffer_put_byte(out, '"');
    put_label(out, labels->second, labels->second_value);
    put_label(out, labels->third, labels->third_value);
}

static void put_sample(struct buffer *out, const char *name, const struct labels *labels,
                       uint128 value, enum unit unit)
{
    put_text(out, name);
    if (labels != NULL) {
        buffer_put_byte(out, '{');
        put_labels(out, labels);
        buffer_put_byte(out, '}');
    }
    buffer_put_byte(out, ' ');
    put_number(out, value, unit);
    buffer_put_byte(out, '\n');
}

static void put_word(struct buffer *out, const char *name, const char *label, const char *word,
                     uint128 value, enum unit unit)
{
    const struct labels labels = {.first = label, .first_value = bytes_of_text(word)};
    put_sample(out, name, &labels, value, unit);
}

/* ---- families of one number */

struct scalar {
    const char *name;
    const char *type;
    const char *help;
    uint128 value;
    enum unit unit;
};

static void put_scalars(struct buffer *out, const struct scalar *scalars, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        begin_family(out, scalars[i].name, scalars[i].type, scalars[i].help);
        put_sample(out, scalars[i].name, NULL, scalars[i].value, scalars[i].unit);
    }
}

/* ---- histograms */

struct distribution {
    const uint64_t *bounds;
    const uint64_t *counts; /* one more than bounds */
    uint32_t bound_count;
    uint64_t sum;
    enum unit unit;
};

static struct distribution of_latency(const struct latency *latency)
{
    return (struct distribution){.bounds = latency_bounds_ns,
                                 .counts = latency->counts,
                                 .bound_count = LATENCY_BOUNDS,
                                 .sum = latency->sum_ns,
                                 .unit = NANO};
}

/* What stands before each bucket's bound is put together once. */
static void put_distribution(struct buffer *out, const char *name, const struct labels *labels,
                             struct distribution of)
{
    uint8_t block[512];
    struct buffer start = buffer_over(block, sizeof(block));
    put_text(&start, name);
    put_text(&start, "_bucket{");
    if (labels != NULL) {
        put_labels(&start, labels);
        buffer_put_byte(&start, ',');
    }
    put_text(&start, "le=\"");
    ENSURE(!start.overflowed);
    uint64_t count = 0;
    for (uint32_t i = 0; i <= of.bound_count; ++i) {
        count += of.counts[i];
        buffer_put(out, start.at, start.used);
        if (i < of.bound_count)
            put_number(out, of.bounds[i], of.unit);
        else
            put_text(out, "+Inf");
        put_text(out, "\"} ");
        buffer_put_decimal(out, count);
        buffer_put_byte(out, '\n');
    }
    char text[64];
    struct buffer whole = buffer_over(text, sizeof(text));
    put_text(&whole, name);
    put_text(&whole, "_sum");
    buffer_put_byte(&whole, '\0');
    put_sample(out, text, labels, of.sum, of.unit);
    whole.used -= sizeof("_sum");
    put_text(&whole, "_count");
    buffer_put_byte(&whole, '\0');
    ENSURE(!whole.overflowed);
    put_sample(out, text, labels, count, WHOLE);
}

static uint64_t count_of(const struct latency *latency)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i <= LATENCY_BOUNDS; ++i)
        count += latency->counts[i];
    return count;
}

/* ---- the server itself */

static void put_server(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct engine_policy_info policy = engine_policy_info(loop->parts.engine);
    struct condition conditions[CONDITIONS_MAX];
    const uint32_t condition_count = loop_conditions(loop, conditions);
    const char *version = loop->parts.version != NULL ? loop->parts.version : "unknown";
    begin_family(out, "weir_build_info", "gauge", "Which program runs: always 1.");
    put_word(out, "weir_build_info", "version", version, 1, WHOLE);
    begin_family(
        out, "weir_condition", "gauge",
        "Conditions of GET /healthz, and whether the server has failed: 1 where it holds.");
    put_word(out, "weir_condition", "condition", "failed", loop->failure != APPEND_NONE, WHOLE);
    for (uint32_t i = 0; i < condition_count; ++i)
        put_word(out, "weir_condition", "condition", conditions[i].name, conditions[i].holds,
                 WHOLE);
    const struct scalar scalars[] = {
        {                             "weir_ready", "gauge","1 while requests are taken, 0 while the server is stopping.",
         !loop->is_stopping && loop->failure == APPEND_NONE, WHOLE                                                                                              },
        {                    "weir_uptime_seconds", "gauge",                                 "Since the loop was started.",
         (uint64_t)(clock_monotonic_ns() - loop->started_ns),  NANO                                                                                             },
        {                  "weir_recovery_seconds", "gauge",                   "What the start took to rebuild the state.",
         (uint64_t)loop->metrics.recovery_ms, MILLI                                                                                                             },
        {                 "weir_recovered_entries", "gauge",              "Entries of the journal that the start applied.",
         loop->metrics.recovered_entries, WHOLE                                                                                                                 },
        {                    "weir_policy_version", "gauge",                             "Version of the policy in force.",                policy.version, WHOLE},
        {"weir_policy_installed_timestamp_seconds", "gauge",
         "When the policy in force was installed, in seconds since 1970.", (uint64_t)policy.installed_ms, MILLI                                                 },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static void put_pools(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct policy *policy = loop->parts.policies->current->policy;
    const struct symbols symbols = engine_symbols(loop->parts.engine);
    if (policy == NULL || policy->pool_count == 0) return;
    begin_family(out, "weir_pool_factor", "gauge",
                 "What is left of the pace of a pool's gates; 1 where nothing is slowed.");
    for (uint32_t i = 0; i < policy->pool_count; ++i) {
        const uint32_t name = policy->pools[i].name;
        const struct labels labels = {.first = "pool", .first_value = symbols.name[name]};
        put_sample(out, "weir_pool_factor", &labels,
                   engine_pool(loop->parts.engine, name).factor * (uint64_t)NANO_PER_CREDIT /
                       FACTOR_ONE,
                   NANO);
    }
}

/* ---- decisions and money, by feature */

static const char *const outcome_words[] = {NULL, "allow", "partial", "deny"};

static const char *const source_words[METRICS_SOURCES] = {
    [PAID_BY_ALLOWANCE] = "allowance",
    [PAID_BY_PROMOTIONAL] = "promotional",
    [PAID_BY_ENTITLEMENT] = "entitlement",
    [PAID_BY_PAID] = "paid",
    [PAID_BY_OVERAGE] = "overage",
    [PAID_BY_UNLIMITED] = "unlimited",
    [PAID_BY_DEBT] = "debt",
};

static struct bytes feature_name(const struct loop *loop, uint32_t number)
{
    if (number == 0) return BYTES("other");
    return engine_symbols(loop->parts.engine).name[loop->metrics.features[number].symbol];
}

static void put_decisions(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_decisions_total";
    if (row == 0)
        begin_family(out, name, "counter",
                     "Decisions (authorize, consume, extend), by feature, outcome and reason.");
    if (row > loop->metrics.feature_count) return;
    const struct metrics_feature *feature = &loop->metrics.features[row];
    struct labels labels = {.first = "feature",
                            .first_value = feature_name(loop, row),
                            .second = "outcome",
                            .third = "reason"};
    for (unsigned outcome = OUTCOME_ALLOW; outcome <= OUTCOME_DENY; ++outcome) {
        labels.second_value = outcome_words[outcome];
        for (unsigned reason = 0; reason < METRICS_REASONS; ++reason) {
            const uint64_t count = feature->decisions[outcome][reason];
            const bool is_plain = outcome == OUTCOME_ALLOW && reason == REASON_OK && row != 0;
            labels.third_value = reason_code((enum reason)reason);
            if (count != 0 || is_plain) put_sample(out, name, &labels, count, WHOLE);
        }
    }
}

/* One number of a feature for each source. */
static void put_sums(const struct loop *loop, uint32_t row, const char *name,
                     const uint128 *numbers, enum unit unit, struct buffer *out)
{
    struct labels labels = {
        .first = "feature", .first_value = feature_name(loop, row), .second = "source"};
    for (unsigned source = 0; source < METRICS_SOURCES; ++source) {
        labels.second_value = source_words[source];
        if (numbers[source] != 0) put_sample(out, name, &labels, numbers[source], unit);
    }
}

static void put_counts(const struct loop *loop, uint32_t row, const char *name,
                       const uint64_t *counts, struct buffer *out)
{
    uint128 numbers[METRICS_SOURCES];
    for (unsigned source = 0; source < METRICS_SOURCES; ++source)
        numbers[source] = counts[source];
    put_sums(loop, row, name, numbers, WHOLE, out);
}

static void put_draws(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_decision_draws_total";
    if (row == 0)
        begin_family(out, name, "counter",
                     "Decisions that took or held something of a source, by feature and source.");
    if (row <= loop->metrics.feature_count)
        put_counts(loop, row, name, loop->metrics.features[row].draws, out);
}

static void put_units(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_used_units_total";
    if (row == 0)
        begin_family(out, name, "counter",
                     "Units that were used and settled, by feature and source that paid.");
    if (row <= loop->metrics.feature_count)
        put_sums(loop, row, name, loop->metrics.features[row].units, WHOLE, out);
}

static void put_charges(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_charged_credits_total";
    if (row == 0)
        begin_family(out, name, "counter",
                     "Credits charged for use, before refunds, by feature and source that paid.");
    if (row <= loop->metrics.feature_count)
        put_sums(loop, row, name, loop->metrics.features[row].charged_nano, NANO, out);
}

static void put_reports(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_usage_reports_total";
    if (row == 0)
        begin_family(out, name, "counter",
                     "Reports of usage after the fact (POST /v1/usage), by feature.");
    if (row > loop->metrics.feature_count) return;
    const struct labels labels = {.first = "feature", .first_value = feature_name(loop, row)};
    put_sample(out, name, &labels, loop->metrics.features[row].reports, WHOLE);
}

static void put_checks(const struct loop *loop, uint32_t row, struct buffer *out)
{
    const struct metrics *metrics = &loop->metrics;
    (void)row;
    begin_family(out, "weir_checks_total", "counter",
                 "Checks, which change nothing, by outcome and reason.");
    for (unsigned outcome = OUTCOME_ALLOW; outcome <= OUTCOME_DENY; ++outcome)
        for (unsigned reason = 0; reason < METRICS_REASONS; ++reason) {
            const uint64_t count = metrics->checks[outcome][reason];
            const struct labels labels = {.first = "outcome",
                                          .first_value = bytes_of_text(outcome_words[outcome]),
                                          .second = "reason",
                                          .second_value = reason_code((enum reason)reason)};
            if (count != 0 || (outcome == OUTCOME_ALLOW && reason == REASON_OK))
                put_sample(out, "weir_checks_total", &labels, count, WHOLE);
        }
}

static void put_credits(const struct loop *loop, uint32_t row, struct buffer *out)
{
    const struct metrics *metrics = &loop->metrics;
    (void)row;
    static const char granted[] = "weir_granted_credits_total";
    static const char overshoot[] = "weir_overshoot_credits_total";
    begin_family(out, granted, "counter",
                 "Credits of grants that came to be, bought or renewed, by category.");
    put_word(out, granted, "category", "promotional", metrics->granted_nano[CATEGORY_PROMOTIONAL],
             NANO);
    put_word(out, granted, "category", "entitlement", metrics->granted_nano[CATEGORY_ENTITLEMENT],
             NANO);
    put_word(out, granted, "category", "paid", metrics->granted_nano[CATEGORY_PAID], NANO);
    begin_family(out, overshoot, "counter",
                 "What usage cost beyond all that could pay, by how the plan books it.");
    put_word(out, overshoot, "booked", "refund", metrics->overshoot_nano[OVERSHOOT_REFUND], NANO);
    put_word(out, overshoot, "booked", "debt", metrics->overshoot_nano[OVERSHOOT_DEBT], NANO);
    put_word(out, overshoot, "booked", "overage", metrics->overshoot_nano[OVERSHOOT_OVERAGE], NANO);
    const struct scalar scalars[] = {
        {"weir_refunded_credits_total", "counter",                  "Credits given back by refunds.",
         metrics->refunded_nano, NANO},
        { "weir_expired_credits_total", "counter", "Credits that were gone with their grants' time.",
         metrics->expired_nano, NANO },
        {  "weir_voided_credits_total", "counter",           "Credits taken back by voiding grants.",
         metrics->voided_nano, NANO  },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static void put_holds(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    static const char ended[] = "weir_holds_ended_total";
    static const char due[] = "weir_due_total";
    const struct metrics *metrics = &loop->metrics;
    begin_family(out, ended, "counter",
                 "Holds that ended, by how; late commits count as committed.");
    put_word(out, ended, "how", "committed", metrics->holds_ended[HOLD_COMMITTED], WHOLE);
    put_word(out, ended, "how", "released", metrics->holds_ended[HOLD_RELEASED], WHOLE);
    put_word(out, ended, "how", "expired", metrics->holds_ended[HOLD_EXPIRED], WHOLE);
    begin_family(out, due, "counter", "What fell due and was done, by what it was.");
    put_word(out, due, "what", "hold_expiry", metrics->due[DUE_HOLD_EXPIRY], WHOLE);
    put_word(out, due, "what", "renewal", metrics->due[DUE_RENEWAL], WHOLE);
    put_word(out, due, "what", "grant_expiry", metrics->due[DUE_GRANT_EXPIRY], WHOLE);
    put_word(out, due, "what", "grant_effective", metrics->due[DUE_GRANT_EFFECTIVE], WHOLE);
    const struct scalar scalars[] = {
        {           "weir_open_holds",   "gauge","Holds that are open now.",
         engine_counts(loop->parts.engine).holds,WHOLE                                                                                                                  },
        {   "weir_holds_opened_total", "counter",                "Holds that were opened.", metrics->holds_opened,
         WHOLE                                                                                                          },
        {   "weir_commits_late_total", "counter",     "Commits of holds that had expired.",
         metrics->commits_late, WHOLE                                                                                   },
        {"weir_crowded_denials_total", "counter",
         "Denials that were counted into the journal's entry of an equal one.",      metrics->crowded,
         WHOLE                                                                                                          },
        {        "weir_replays_total", "counter",
         "Requests that were answered with what their idempotency key was answered first.",      metrics->replays, WHOLE},
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

/* ---- requests */

/* "POST /v1/consume" */
static struct bytes call_name(uint32_t number, uint8_t block[128])
{
    const struct route *route = route_numbered(number);
    if (route == NULL) return BYTES("other");
    struct buffer name = buffer_over(block, 128);
    put_text(&name, route->method);
    buffer_put_byte(&name, ' ');
    put_text(&name, route->pattern);
    ENSURE(!name.overflowed);
    return buffer_bytes(&name);
}

/* 0 is what is none of the routes. */
static bool is_call(uint32_t number)
{
    return number == 0 || route_numbered(number) != NULL;
}

static const char *status_word(unsigned place, uint8_t block[16])
{
    const unsigned status = metrics_status(place);
    if (status == 0) return "none";
    if (status == 1) return "other";
    struct buffer text = buffer_over(block, 16);
    buffer_put_decimal(&text, status);
    buffer_put_byte(&text, '\0');
    return (const char *)block;
}

static bool has_answered(const struct metrics_call *call)
{
    uint64_t answers = 0;
    for (uint32_t i = 0; i < METRICS_STATUSES; ++i)
        answers |= call->answers[i];
    return answers != 0;
}

/* What alerts divide by each other must be there before the first one, or that is not seen. */
static bool status_is_watched(unsigned status)
{
    return status == 200 || status == 500 || status == 503;
}

static void put_requests(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_requests_total";
    uint8_t call_block[128];
    uint8_t status_block[16];
    const struct metrics_call *call = &loop->metrics.calls[row];
    if (row == 0)
        begin_family(out, name, "counter",
                     "Requests answered, by call and HTTP status; none: the client had left.");
    if (!is_call(row) || !has_answered(call)) return;
    struct labels labels = {
        .first = "call", .first_value = call_name(row, call_block), .second = "code"};
    for (unsigned place = 0; metrics_status(place) != UINT_MAX; ++place) {
        if (call->answers[place] == 0 && !status_is_watched(metrics_status(place))) continue;
        labels.second_value = status_word(place, status_block);
        put_sample(out, name, &labels, call->answers[place], WHOLE);
    }
}

static void put_latency(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_request_seconds";
    uint8_t block[128];
    const struct latency *latency = &loop->metrics.calls[row].whole;
    const struct labels labels = {.first = "call", .first_value = call_name(row, block)};
    if (row == 0)
        begin_family(
            out, name, "histogram",
            "From a request's last byte read to its answer handed to the network, by call.");
    if (is_call(row) && count_of(latency) != 0)
        put_distribution(out, name, &labels, of_latency(latency));
}

static void put_stages(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char name[] = "weir_request_stage_seconds";
    static const char *const stage_words[STAGES] = {
        [STAGE_QUEUE] = "queue",     [STAGE_DECIDE] = "decide", [STAGE_WAIT] = "wait",
        [STAGE_DURABLE] = "durable", [STAGE_SEND] = "send",
    };
    uint8_t block[128];
    struct labels labels = {
        .first = "call", .first_value = call_name(row, block), .second = "stage"};
    if (row == 0)
        begin_family(out, name, "histogram", "Parts of weir_request_seconds, by call and stage.");
    for (unsigned stage = 0; stage < STAGES && is_call(row); ++stage) {
        const struct latency *latency = &loop->metrics.calls[row].stages[stage];
        labels.second_value = stage_words[stage];
        if (count_of(latency) != 0) put_distribution(out, name, &labels, of_latency(latency));
    }
}

static void put_problems(const struct loop *loop, uint32_t row, struct buffer *out)
{
    const struct metrics *metrics = &loop->metrics;
    (void)row;
    static const char *const codes[] = {
#define X(name, code, status, title) code,
        PROBLEM_TABLE(X)
#undef X
    };
    static const char name[] = "weir_problems_total";
    begin_family(out, name, "counter",
                 "Problems told (RFC 9457), operations of batches included, by code.");
    for (unsigned i = PROBLEM_NONE + 1; i < METRICS_PROBLEMS; ++i) {
        uint64_t told = metrics->problems[i];
        for (unsigned which = 0; which < FRONT_ENDS; ++which)
            told += metrics->networks[which].problems[i];
        put_word(out, name, "code", codes[i], told, WHOLE);
    }
}

/* One number of each listener. */
struct listener_row {
    const char *name;
    const char *type;
    const char *help;
    size_t at; /* in struct metrics_network */
};

static uint64_t number_at(const struct metrics_network *network, size_t at)
{
    const uint8_t *field = (const uint8_t *)network + at;
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, field, sizeof(narrow));
    if (at >= offsetof(struct metrics_network, connections)) return narrow;
    memcpy(&wide, field, sizeof(wide));
    return wide;
}

static void put_listeners(const struct loop *loop, uint32_t row, struct buffer *out)
{
    static const char *const names[FRONT_ENDS] = {
        [FRONT_HTTP] = "http", [FRONT_RESP] = "resp", [FRONT_GRPC] = "grpc"};
    static const struct listener_row rows[] = {
        {                  "weir_connections",   "gauge","Connections that are open, by listener.",
         offsetof(struct metrics_network,       connections)                                                                         },
        {              "weir_connections_max",   "gauge", "As many as may be open at a time (--connections).",
         offsetof(struct metrics_network,   connections_max)                                                                         },
        {   "weir_connections_accepted_total", "counter",                             "Connections accepted.",
         offsetof(struct metrics_network,          accepted)                                                                         },
        {       "weir_connections_shed_total", "counter",
         "Connections closed for newcomers, since they had waited longest.", offsetof(struct metrics_network,              shed)     },
        {"weir_connections_turned_away_total", "counter",
         "Newcomers refused, since all connections were at work.", offsetof(struct metrics_network,       turned_away)               },
        {     "weir_requests_timed_out_total", "counter",             "Requests that were not whole in time.",
         offsetof(struct metrics_network,         timed_out)                                                                         },
        {            "weir_readers_cut_total", "counter",
         "Answers cut, since nobody took them in time or the buffers were full.", offsetof(struct metrics_network,       readers_cut)},
        {                "weir_buffers_bytes",   "gauge",     "Held by large requests and answers under way.",
         offsetof(struct metrics_network,     buffers_bytes)                                                                         },
        {            "weir_buffers_bytes_max",   "gauge",             "As much as they may hold (--buffers).",
         offsetof(struct metrics_network, buffers_bytes_max)                                                                         },
        {        "weir_buffers_refused_total", "counter",    "Requests refused, since the buffers were full.",
         offsetof(struct metrics_network,    out_of_buffers)                                                                         },
        {         "weir_tls_handshakes_total", "counter",                    "TLS handshakes that were done.",
         offsetof(struct metrics_network,        handshakes)                                                                         },
        {  "weir_tls_handshakes_failed_total", "counter",         "Connections that ended before theirs was.",
         offsetof(struct metrics_network, handshakes_failed)                                                                         },
    };
    (void)row;
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        begin_family(out, rows[i].name, rows[i].type, rows[i].help);
        for (unsigned which = 0; which < FRONT_ENDS; ++which) {
            const struct metrics_network *network = &loop->metrics.networks[which];
            if (which != FRONT_HTTP && network->connections_max == 0) continue;
            put_word(out, rows[i].name, "listener", names[which], number_at(network, rows[i].at),
                     WHOLE);
        }
    }
}

static void put_queues(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    static const char parked[] = "weir_parked_requests";
    const struct metrics *metrics = &loop->metrics;
    static const char shed[] = "weir_requests_shed_total";
    begin_family(out, parked, "gauge", "Requests that wait for their turn, by whose.");
    put_word(out, parked, "on", "desk", loop->desk_waiting.count, WHOLE);
    put_word(out, parked, "on", "policy", loop->policy_waiting.count, WHOLE);
    put_word(out, parked, "on", "batch", loop->run_waiting.count, WHOLE);
    put_word(out, parked, "on", "reading", loop->reading_waiting.count, WHOLE);
    put_word(out, parked, "on", "settlement", loop->head_asked.count + loop->head_waiting.count,
             WHOLE);
    put_word(out, parked, "on", "key_files", loop->key_waiting.count + loop->key_looks, WHOLE);
    begin_family(out, shed, "counter", "Requests refused for their wait, by priority.");
    put_word(out, shed, "priority", "sheddable", loop->shed[TURN_SHEDDABLE], WHOLE);
    put_word(out, shed, "priority", "default", loop->shed[TURN_DEFAULT], WHOLE);
    put_word(out, shed, "priority", "critical", loop->shed[TURN_CRITICAL], WHOLE);
    put_word(out, shed, "priority", "owed", loop->shed[TURN_OWED], WHOLE);
    const struct scalar scalars[] = {
        {                  "weir_exchanges",   "gauge","Requests taken and not answered yet, this one included.",
         loop->exchanges, WHOLE                                                                                                                           },
        {            "weir_queued_requests",   "gauge",               "Requests that the loop has not turned to.",
         loop->arrived.count, WHOLE                                                                                                                       },
        {        "weir_blocked_turns_total", "counter",
         "Turns of the loop that ended with one batch full and the other in flight.",                                              metrics->blocked, WHOLE},
        {    "weir_lines_turned_away_total", "counter",
         "Requests refused, since too many waited for the same already.",                                             loop->turned_away, WHOLE            },
        {"weir_tls_certificate_end_seconds",   "gauge",
         "When the certificate ends, since 1970; 0: no TLS.", (uint64_t)metrics->networks[FRONT_HTTP].certificate_ends_at_s, WHOLE                        },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

/* ---- durability */

static void put_journal(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct metrics *metrics = &loop->metrics;
    begin_family(out, "weir_journal_batch_entries", "histogram",
                 "Entries of a batch made durable.");
    put_distribution(out, "weir_journal_batch_entries", NULL,
                     (struct distribution){.bounds = size_bounds,
                                           .counts = metrics->batch_entries.counts,
                                           .bound_count = SIZE_BOUNDS,
                                           .sum = metrics->batch_entries.sum});
    begin_family(out, "weir_journal_append_seconds", "histogram",
                 "What appending a batch took the journal's thread: hash, insert, sync.");
    put_distribution(out, "weir_journal_append_seconds", NULL, of_latency(&metrics->appends));
    begin_family(out, "weir_journal_sync_seconds", "histogram",
                 "Of that, the commit: what the disk took to make the batch durable.");
    put_distribution(out, "weir_journal_sync_seconds", NULL, of_latency(&metrics->syncs));
    begin_family(out, "weir_log_bytes", "gauge", "Size of a database's write-ahead log.");
    put_word(out, "weir_log_bytes", "database", "journal", loop_journal_log_bytes(loop), WHOLE);
    put_word(out, "weir_log_bytes", "database", "ledger", loop_ledger_log_bytes(loop), WHOLE);
    begin_family(out, "weir_retention_bound_batch", "gauge",
                 "No batch from this one on may leave the journal now, by what keeps it.");
    put_word(out, "weir_retention_bound_batch", "by", retained_by_text(loop->retention.found.by),
             loop->retention.found.sequence, WHOLE);
    const struct scalar scalars[] = {
        {"weir_journal_batches_total", "counter","Batches made durable.",metrics->batches,WHOLE                                                                                                                       },
        {  "weir_journal_bytes_total", "counter",                 "Their bytes, headers aside.",                 metrics->batch_bytes,
         WHOLE                                                                                                               },
        {"weir_journal_entries_total", "counter",                              "Their entries.",           metrics->batch_entries.sum,
         WHOLE                                                                                                               },
        {        "weir_journal_batch",   "gauge", "Number of the newest batch that is durable.",
         loop->durable_sequence, WHOLE                                                                                       },
        {  "weir_journal_first_batch",   "gauge",
         "Number of the first batch that the journal keeps; 0: nothing was cut.", engine_cut(loop->parts.engine).first, WHOLE},
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static void put_snapshots(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct snapshots *snapshots = loop->parts.snapshots;
    const struct snapshots_news news =
        snapshots != NULL ? snapshots->news : (struct snapshots_news){0};
    const struct snapshots_totals totals =
        snapshots != NULL ? snapshots->totals : (struct snapshots_totals){0};
    static const char age[] = "weir_snapshot_age_seconds";
    begin_family(out, age, "gauge",
                 "Since the state of the newest snapshot; none: there is none of this process.");
    if (news.at_ms != 0)
        put_sample(out, age, NULL,
                   loop->now_ms > news.at_ms ? (uint64_t)(loop->now_ms - news.at_ms) : 0, MILLI);
    const struct scalar scalars[] = {
        {              "weir_snapshot_batch",   "gauge","Number of the newest snapshot's batch; 0: there is none.",
         news.sequence,WHOLE                                                                                                                                                                    },
        {              "weir_snapshot_bytes",   "gauge",                "Its size; 0: it is of an earlier process.",                                     news.bytes,
         WHOLE                                                                                                                                                            },
        {   "weir_snapshot_duration_seconds",   "gauge",                   "What making it took, beside decisions.",
         (uint64_t)totals.took_ns,  NANO                                                                                                                                  },
        {             "weir_snapshots_total", "counter",                                          "Snapshots made.",                                    totals.made, WHOLE},
        {     "weir_snapshot_failures_total", "counter",                                      "Snapshots given up.",                                  totals.failed, WHOLE},
        {"weir_journal_since_snapshot_bytes",   "gauge",
         "Journal behind the newest snapshot: what a start would read.", snapshots != NULL ? snapshots->since_bytes : 0, WHOLE                                            },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static uint64_t entries_unsettled(const struct loop *loop)
{
    const struct settling *settling = loop->parts.settling;
    const uint64_t durable = settling->backlog + loop->metrics.batch_entries.sum;
    const uint64_t settled = settler_entries(settling->settler);
    return durable > settled ? durable - settled : 0;
}

static void put_settlement(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct settling *settling = loop->parts.settling;
    const bool is_open = settling != NULL;
    const uint64_t settled = is_open ? loop->settled_sequence : loop->durable_sequence;
    const struct scalar scalars[] = {
        {"weir_settlement_lag_seconds", "gauge",
         "How long ago the oldest entry became durable that is not in the books.",is_open ? (uint64_t)settling->lag_ms : 0,MILLI                                                                                                                                                    },
        {"weir_settlement_lag_entries", "gauge",    "Durable entries that are not in the books.",
         is_open ? entries_unsettled(loop) : 0, WHOLE                                                                                                     },
        {"weir_settlement_lag_batches", "gauge",
         "Durable batches (rows of journal.db) that are not in the books.", loop->durable_sequence > settled ? loop->durable_sequence - settled : 0, WHOLE},
        {      "weir_settlement_batch", "gauge",      "Number of the newest batch in the books.",                                                                 settled,
         WHOLE                                                                                                                                            },
        {    "weir_settlement_hurries", "gauge", "1 while settlement runs at ordinary priority.",
         is_open && atomic_load(&settling->hurries), WHOLE                                                                                                },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
    const struct latency none = {0};
    const struct latency whole = is_open ? latency_of_shared(&settling->transactions) : none;
    const struct latency syncs = is_open ? latency_of_shared(&settling->syncs) : none;
    begin_family(out, "weir_settlement_transaction_seconds", "histogram",
                 "What a transaction of settlement took: rows, sums or cuts, and its commit.");
    put_distribution(out, "weir_settlement_transaction_seconds", NULL, of_latency(&whole));
    begin_family(out, "weir_settlement_sync_seconds", "histogram",
                 "Of that, the commit: what the disk took to make it durable.");
    put_distribution(out, "weir_settlement_sync_seconds", NULL, of_latency(&syncs));
}

/* ---- capacity */

static void put_slabs(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    struct engine_slab slabs[ENGINE_SLABS];
    engine_slabs(loop->parts.engine, slabs);
    begin_family(out, "weir_slab_records", "gauge", "Records of the state, by kind.");
    for (unsigned i = 0; i < ENGINE_SLABS; ++i)
        put_word(out, "weir_slab_records", "slab", slabs[i].name, slabs[i].live, WHOLE);
    begin_family(out, "weir_slab_records_max", "gauge",
                 "Their ceilings, which --memory gives: beyond, requests get 503 capacity.");
    for (unsigned i = 0; i < ENGINE_SLABS; ++i)
        put_word(out, "weir_slab_records_max", "slab", slabs[i].name, slabs[i].records_max, WHOLE);
    begin_family(out, "weir_slab_bytes", "gauge", "Memory of the records there are.");
    for (unsigned i = 0; i < ENGINE_SLABS; ++i)
        put_word(out, "weir_slab_bytes", "slab", slabs[i].name, slabs[i].bytes_live, WHOLE);
    begin_family(out, "weir_slab_touched_bytes", "gauge",
                 "Memory of as many records as there ever were: the process keeps it.");
    for (unsigned i = 0; i < ENGINE_SLABS; ++i)
        put_word(out, "weir_slab_touched_bytes", "slab", slabs[i].name, slabs[i].bytes_touched,
                 WHOLE);
}

static void put_keys(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    const struct keys_status keys =
        loop->parts.keys != NULL ? keys_status(loop->parts.keys) : (struct keys_status){0};
    const struct scalar scalars[] = {
        {           "weir_key_files", "gauge","Files of idempotency keys.",            keys.files,WHOLE                                                                                                                    },
        {       "weir_key_file_keys", "gauge", "Keys in them, those that are over included.",             keys.kept,
         WHOLE                                                                                                            },
        {    "weir_key_filter_bytes", "gauge",                    "Memory of their filters.",     keys.memory_bytes, WHOLE},
        {"weir_key_filter_bytes_max", "gauge",            "As much as the filters may take.",       keys.memory_max,
         WHOLE                                                                                                            },
        {      "weir_key_room_short", "gauge",
         "1 while no filter more has room, and keys stay in the state.", loop->filing.is_short,
         WHOLE                                                                                                            },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static void put_desk(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    uint64_t readings = 0;
    for (uint32_t i = 0; i < READINGS_MAX; ++i)
        readings += loop->readings[i].is_taken;
    const struct scalar scalars[] = {
        {    "weir_desk_jobs", "gauge", "Jobs that the desk's thread has or has done.",
         desk_jobs_taken(loop->parts.desk), WHOLE                                                                 },
        {"weir_desk_jobs_max", "gauge",                      "As many as it may have.",       DESK_JOBS_MAX, WHOLE},
        {     "weir_readings", "gauge",                "Reads of the books under way.",            readings, WHOLE},
        { "weir_readings_max", "gauge",                           "As many as may be.",        READINGS_MAX, WHOLE},
        {      "weir_exports", "gauge",       "Of the readings, those sent in pieces.",       loop->streams, WHOLE},
        {  "weir_exports_max", "gauge",                           "As many as may be.", READING_STREAMS_MAX, WHOLE},
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

static void put_clock(const struct loop *loop, uint32_t row, struct buffer *out)
{
    (void)row;
    static const char jumps[] = "weir_clock_jumps_total";
    const struct clock_state clock = clock_state(loop->parts.clock);
    begin_family(out, jumps, "counter", "Jumps of the wall clock, by direction.");
    put_word(out, jumps, "direction", "back", clock.jumps_back, WHOLE);
    put_word(out, jumps, "direction", "forward", clock.jumps_forward, WHOLE);
    const struct scalar scalars[] = {
        {  "weir_clock_timestamp_seconds", "gauge","The time of decisions, in seconds since 1970.",
         (uint64_t)loop->now_ms,MILLI                                        },
        {            "weir_clock_is_test", "gauge", "1 where the clock stands still until it is moved.",
         clock.is_test, WHOLE                 },
        {"weir_clock_unconfirmed_seconds", "gauge",              "Jumps forward that are not followed.",
         (uint64_t)clock.unconfirmed_ms, MILLI},
        {      "weir_clock_ahead_seconds", "gauge",
         "How far the time of decisions is ahead of the wall clock.", (uint64_t)clock.ahead_ms,
         MILLI                                },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

/* ---- the process and its disk */

static void put_survey(const struct loop *loop, uint32_t row, struct buffer *out)
{
    const struct survey *survey = loop->parts.survey;
    (void)row;
    if (survey == NULL) return;
    static const char threads[] = "weir_thread_cpu_seconds_total";
    static const char files[] = "weir_data_bytes";
    begin_family(out, threads, "counter", "Processor time, by thread; loop decides.");
    for (unsigned i = 0; i < SURVEY_THREADS_COUNT; ++i)
        put_word(out, threads, "thread", survey_thread_label((enum survey_thread)i),
                 survey_thread_ns(survey, (enum survey_thread)i), NANO);
    begin_family(out, files, "gauge", "Disk space of the data directory, by kind of file.");
    for (unsigned i = 0; i < SURVEY_FILES_COUNT; ++i)
        put_word(out, files, "file", survey_file_label((enum survey_file)i),
                 survey_file_bytes(survey, (enum survey_file)i), WHOLE);
    const struct scalar scalars[] = {
        {        "weir_filesystem_bytes",   "gauge", "Size of the data directory's file system.",
         survey_number(survey,      SURVEY_FILESYSTEM_BYTES), WHOLE                                                                                         },
        {   "weir_filesystem_free_bytes",   "gauge",                       "What is left of it.",
         survey_number(survey, SURVEY_FILESYSTEM_FREE_BYTES), WHOLE                                                                                         },
        {    "process_cpu_seconds_total", "counter",          "Processor time, user and system.",
         survey_number(survey,                SURVEY_CPU_NS),  NANO                                                                                         },
        {"process_resident_memory_bytes",   "gauge",                            "Memory in use.",
         survey_number(survey,        SURVEY_RESIDENT_BYTES), WHOLE                                                                                         },
        { "process_virtual_memory_bytes",   "gauge",  "Address space, most of it only reserved.",
         survey_number(survey,         SURVEY_VIRTUAL_BYTES), WHOLE                                                                                         },
        {             "process_open_fds",   "gauge",                  "File descriptors in use.",
         survey_number(survey,           SURVEY_DESCRIPTORS), WHOLE                                                                                         },
        {              "process_max_fds",   "gauge",                 "As many as may be in use.",
         survey_number(survey,       SURVEY_DESCRIPTORS_MAX), WHOLE                                                                                         },
        {              "process_threads",   "gauge",                                  "Threads.", survey_number(survey,               SURVEY_THREADS), WHOLE},
        {   "process_start_time_seconds",   "gauge", "When the process was started, since 1970.",
         survey_number(survey,            SURVEY_STARTED_MS), MILLI                                                                                         },
    };
    put_scalars(out, scalars, COUNT_OF(scalars));
}

/* ---- */

/* The answer, in order. Rows of a part are rendered one by one; the first has the family's head. */
static const struct part {
    void (*put)(const struct loop *loop, uint32_t row, struct buffer *out);
    uint32_t rows;
} parts[] = {
    {    put_server,                    1},
    {     put_pools,                    1},
    { put_decisions, METRICS_FEATURES_MAX},
    {     put_draws, METRICS_FEATURES_MAX},
    {     put_units, METRICS_FEATURES_MAX},
    {   put_charges, METRICS_FEATURES_MAX},
    {   put_reports, METRICS_FEATURES_MAX},
    {    put_checks,                    1},
    {   put_credits,                    1},
    {     put_holds,                    1},
    {  put_requests,    METRICS_CALLS_MAX},
    {   put_latency,    METRICS_CALLS_MAX},
    {    put_stages,    METRICS_CALLS_MAX},
    {  put_problems,                    1},
    {    put_queues,                    1},
    { put_listeners,                    1},
    {   put_journal,                    1},
    { put_snapshots,                    1},
    {put_settlement,                    1},
    {     put_slabs,                    1},
    {      put_keys,                    1},
    {      put_desk,                    1},
    {     put_clock,                    1},
    {    put_survey,                    1},
};

enum progress loop_call_metrics(struct loop *loop, struct exchange *exchange)
{
    exchange_queue_add(&loop->scrapes, exchange);
    return PROGRESS_PARKED;
}

/* False: there is more. */
static bool put_some(const struct loop *loop, struct metrics_scrape *scrape, struct buffer *out)
{
    const size_t end = out->used + TURN_BYTES;
    for (; scrape->part < COUNT_OF(parts); ++scrape->part, scrape->row = 0)
        for (; scrape->row < parts[scrape->part].rows; ++scrape->row) {
            if (out->used >= end) return false;
            parts[scrape->part].put(loop, scrape->row, out);
        }
    return true;
}

bool loop_tell_metrics(struct loop *loop)
{
    struct metrics_scrape *scrape = &loop->scrape;
    struct buffer out = buffer_over(loop->metrics_block, METRICS_BYTES_MAX);
    const struct policy *policy = loop->parts.policies->current->policy;
    if (loop->scrapes.first == NULL) return false;
    if (policy != NULL) metrics_know_features(&loop->metrics, policy);
    out.used = scrape->used;
    const bool is_whole = put_some(loop, scrape, &out);
    ENSURE(!out.overflowed);
    scrape->used = out.used;
    if (!is_whole) return true;
    *scrape = (struct metrics_scrape){0};
    struct exchange *exchange = exchange_queue_take(&loop->scrapes);
    if (exchange->is_gone)
        loop_drop(loop, exchange);
    else
        loop_answer(loop, exchange,
                    (struct answer){
                        .status = 200, .content_type = CONTENT_METRICS, .body = buffer_bytes(&out)},
                    RELEASE_AT_ONCE);
    metrics_tick(&loop->metrics);
    return true;
}
