/*
 * metrics_test.c: what is counted, through the loop; the stages of a request; the bounds of
 * buckets; and the largest answer there can be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/loop_inner.h"
#include "server/world.h"

#define TEXT_SIZE METRICS_BYTES_MAX

static const char policy[] =
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "  idle: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"0.5\", per: 1}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: some, windows: [{limit: 2, per: 5h, start: first_use}]}\n"
    "          - grants: {category: paid}\n";

#define CONSUME "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}"

static char *scrape(struct world *world)
{
    struct asker *asker = calloc(1, sizeof(*asker));
    char *text = calloc(1, TEXT_SIZE + 1);
    assert_non_null(asker);
    assert_non_null(text);
    world_ask(world, asker, "GET", "/metrics", "");
    asker->is_dropping = true;
    world_settle(world);
    assert_true(asker->is_answered);
    assert_int_equal(asker->status, 200);
    assert_string_equal(asker->content_type, "text/plain; version=0.0.4; charset=utf-8");
    const struct bytes body = asker->exchange.answer.body; /* still in the loop's block */
    assert_true(body.length < TEXT_SIZE);
    memcpy(text, body.at, body.length);
    free(asker);
    return text;
}

/* The value of a series as it stands there; NULL: there is none of that name. */
static const char *value_of(const char *text, const char *series)
{
    static char value[64];
    const size_t length = strlen(series);
    for (const char *at = text; at != NULL && *at != '\0';) {
        const char *end = strchr(at, '\n');
        if (strncmp(at, series, length) == 0 && at[length] == ' ') {
            const size_t digits = (size_t)(end - at) - length - 1;
            assert_true(digits < sizeof(value));
            memcpy(value, at + length + 1, digits);
            value[digits] = '\0';
            return value;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return NULL;
}

#define assert_value(text, series, expected)                   \
    do {                                                       \
        const char *found = value_of(text, series);            \
        if (found == NULL) fail_msg("there is no %s", series); \
        assert_string_equal(found, expected);                  \
    } while (0)

static void finish(struct world *world)
{
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
}

static void decisions_count_by_feature_outcome_reason_and_source(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, policy);
    struct asker *asker = calloc(1, sizeof(*asker));
    world_do(world, asker, "POST", "/v1/customers/acme/grants",
             "{\"category\":\"paid\",\"credits\":\"1\"}");
    assert_int_equal(asker->status, 200);
    for (unsigned i = 0; i < 25; i++)
        world_do(world, asker, "POST", "/v1/consume", CONSUME);
    world_do(world, asker, "POST", "/v1/check", CONSUME);
    world_do(world, asker, "GET", "/v1/nowhere", "");
    char *text = scrape(world);
    assert_value(text, "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"}",
                 "4");
    assert_value(text, "weir_decisions_total{feature=\"idle\",outcome=\"allow\",reason=\"ok\"}",
                 "0");
    assert_value(text,
                 "weir_decisions_total{feature=\"chat\",outcome=\"deny\",reason="
                 "\"insufficient_credits\"}",
                 "21");
    assert_value(text, "weir_checks_total{outcome=\"deny\",reason=\"insufficient_credits\"}", "1");
    assert_value(text, "weir_decision_draws_total{feature=\"chat\",source=\"allowance\"}", "2");
    assert_value(text, "weir_decision_draws_total{feature=\"chat\",source=\"paid\"}", "2");
    assert_value(text, "weir_used_units_total{feature=\"chat\",source=\"allowance\"}", "2");
    assert_value(text, "weir_charged_credits_total{feature=\"chat\",source=\"paid\"}", "1");
    assert_value(text, "weir_granted_credits_total{category=\"paid\"}", "1");
    assert_value(text, "weir_problems_total{code=\"not_found\"}", "1");
    assert_value(text, "weir_requests_total{call=\"other\",code=\"404\"}", "1");
    assert_value(text, "weir_requests_total{call=\"POST /v1/consume\",code=\"200\"}", "25");
    assert_null(value_of(text, "weir_charged_credits_total{feature=\"idle\",source=\"paid\"}"));
    free(text);
    free(asker);
    finish(world);
}

static void denials_of_a_crowd_count_one_by_one(void **state)
{
    (void)state;
    enum { ASKERS = 60 };
    struct world *world = world_open(NULL, policy);
    struct asker *askers = calloc(ASKERS, sizeof(*askers));
    for (unsigned i = 0; i < ASKERS; i++)
        world_post(world, &askers[i], "/v1/consume",
                   "{\"customer\":\"poor\",\"feature\":\"chat\",\"quantities\":{\"requests\":3}}");
    world_settle(world);
    char *text = scrape(world);
    const struct metrics *metrics = &world->loop->metrics;
    uint64_t denied = 0;
    for (unsigned reason = 0; reason < METRICS_REASONS; reason++)
        denied += metrics->features[1].decisions[OUTCOME_DENY][reason];
    assert_true(denied == ASKERS);
    assert_value(text, "weir_crowded_denials_total", "43");
    free(text);
    free(askers);
    finish(world);
}

static void a_replay_counts_as_one_and_decides_nothing(void **state)
{
    (void)state;
    static const char keyed[] =
        "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1},"
        "\"idempotency_key\":\"k\"}";
    struct world *world = world_open(NULL, policy);
    struct asker *asker = calloc(1, sizeof(*asker));
    for (unsigned i = 0; i < 3; i++) {
        world_do(world, asker, "POST", "/v1/consume", keyed);
        assert_int_equal(asker->status, 200);
    }
    char *text = scrape(world);
    assert_value(text, "weir_replays_total", "2");
    assert_value(text, "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"}",
                 "1");
    free(text);
    free(asker);
    finish(world);
}

/* Asks as the network does: with the time at which all was read. */
static void ask_timed(struct world *world, struct asker *asker, const char *target,
                      const char *body)
{
    world_ask(world, asker, body == NULL ? "GET" : "POST", target, body == NULL ? "" : body);
    asker->exchange.taken_ns = clock_monotonic_ns();
}

static void the_stages_of_requests_add_up_to_the_whole(void **state)
{
    (void)state;
    enum { ASKERS = 40 };
    struct world *world = world_open(NULL, policy);
    struct asker *askers = calloc(ASKERS, sizeof(*askers));
    for (unsigned i = 0; i < ASKERS; i++)
        ask_timed(world, &askers[i], i % 4 == 3 ? "/v1/customers/acme" : "/v1/consume",
                  i % 4 == 3 ? NULL : CONSUME);
    world_settle(world);
    uint64_t measured = 0;
    for (uint32_t i = 0; i < METRICS_CALLS_MAX; i++) {
        const struct metrics_call *call = &world->loop->metrics.calls[i];
        uint64_t sum = 0;
        for (unsigned stage = 0; stage < STAGES; stage++)
            sum += call->stages[stage].sum_ns;
        assert_true(sum == call->whole.sum_ns);
        for (uint32_t bucket = 0; bucket <= LATENCY_BOUNDS; bucket++)
            measured += call->whole.counts[bucket];
    }
    assert_true(measured == ASKERS);
    free(askers);
    finish(world);
}

static void time_of_waiting_is_no_time_of_deciding(void **state)
{
    (void)state;
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    struct exchange exchange = {0};
    metrics->now_ns = 100;
    metrics_begun(metrics, &exchange);
    metrics->now_ns = 700; /* it was parked, and is there again */
    metrics_begun(metrics, &exchange);
    assert_true(exchange.times.begun_ns == 100);
    assert_true(exchange.times.waited_ns == 600);
    metrics->now_ns = 900;
    metrics_begun(metrics, &exchange);
    assert_true(exchange.times.waited_ns == 800);
    free(metrics);
}

static void a_value_on_a_bound_is_in_its_bucket(void **state)
{
    (void)state;
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    struct batch *batch = calloc(1, sizeof(*batch));
    batch->entries = 1;
    for (uint32_t i = 0; i < LATENCY_BOUNDS; i++) {
        metrics_durable(metrics, batch, (int64_t)latency_bounds_ns[i], 0);
        assert_true(metrics->appends.counts[i] == 1 + (i > 0));
        metrics_durable(metrics, batch, (int64_t)latency_bounds_ns[i] + 1, 0);
        assert_true(metrics->appends.counts[i + 1] == 1);
    }
    metrics_durable(metrics, batch, INT64_MAX, 0);
    assert_true(metrics->appends.counts[LATENCY_BOUNDS] == 2);
    metrics_durable(metrics, batch, 0, 0);
    assert_true(metrics->appends.counts[0] == 2);
    free(batch);
    free(metrics);
}

static void every_time_is_in_the_bucket_of_its_bounds(void **state)
{
    (void)state;
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    struct batch *batch = calloc(1, sizeof(*batch));
    for (unsigned bits = 0; bits < 63; bits++)
        for (int64_t off = -1; off <= 1; off++) {
            const int64_t ns = (INT64_C(1) << bits) + off;
            uint32_t bucket = 0;
            while (bucket < LATENCY_BOUNDS && (uint64_t)ns > latency_bounds_ns[bucket])
                bucket++;
            const uint64_t before = metrics->appends.counts[bucket];
            metrics_durable(metrics, batch, ns, 0);
            assert_true(metrics->appends.counts[bucket] == before + 1);
        }
    free(batch);
    free(metrics);
}

static void a_sync_counts_apart_from_its_append(void **state)
{
    (void)state;
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    struct batch *batch = calloc(1, sizeof(*batch));
    metrics_durable(metrics, batch, 900000, 90000);
    assert_true(metrics->appends.sum_ns == 900000 && metrics->syncs.sum_ns == 90000);
    assert_true(metrics->appends.counts[4] == 1 && metrics->syncs.counts[1] == 1);
    free(batch);
    free(metrics);
}

static void what_another_thread_noted_is_told_as_it_was(void **state)
{
    (void)state;
    struct latency_shared shared = {0};
    latency_note_shared(&shared, 50000);
    latency_note_shared(&shared, 50001);
    latency_note_shared(&shared, -1); /* no clock of ours: nothing, not an age */
    const struct latency seen = latency_of_shared(&shared);
    assert_true(seen.sum_ns == 100001 && seen.counts[0] == 2 && seen.counts[1] == 1);
}

static void a_batch_counts_with_its_entries_and_bytes(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, policy);
    struct asker *askers = calloc(5, sizeof(*askers));
    const struct metrics before = world->loop->metrics;
    for (unsigned i = 0; i < 5; i++)
        world_post(world, &askers[i], "/v1/consume", CONSUME);
    world_settle(world);
    const struct metrics *metrics = &world->loop->metrics;
    assert_true(metrics->batches == before.batches + 1);
    assert_true(metrics->batch_entries.sum == before.batch_entries.sum + 5);
    assert_true(metrics->batch_entries.counts[3] == before.batch_entries.counts[3] + 1); /* 5..8 */
    assert_true(metrics->batch_bytes > before.batch_bytes);
    free(askers);
    finish(world);
}

/* More features than have labels, with the longest names there are. */
static char *wide_policy(unsigned features)
{
    char *text = calloc(1, POLICY_BYTES_MAX);
    size_t used =
        (size_t)snprintf(text, POLICY_BYTES_MAX, "version: 1\ndefaults: {plan: free}\nfeatures:\n");
    for (unsigned i = 0; i < features; i++)
        used +=
            (size_t)snprintf(text + used, POLICY_BYTES_MAX - used,
                             "  feature-%03u-%052d: {meters: [requests], unit: requests}\n", i, 0);
    used +=
        (size_t)snprintf(text + used, POLICY_BYTES_MAX - used, "plans:\n  free:\n    features:\n");
    for (unsigned i = 0; i < features; i++)
        used +=
            (size_t)snprintf(text + used, POLICY_BYTES_MAX - used,
                             "      feature-%03u-%052d: {waterfall: [{unlimited: {}}]}\n", i, 0);
    return text;
}

static void fill(uint64_t *numbers, size_t count, uint64_t value)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = value;
}

/* Buckets are summed up: their counts must not overflow. */
static void fill_latency(struct latency *latency)
{
    fill(latency->counts, COUNT_OF(latency->counts), UINT64_C(1000000000000000000));
    latency->sum_ns = UINT64_MAX;
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* A turn, and the longest row. */
#define TURN_BYTES_MAX ((size_t)32 << 10)

static void the_largest_answer_has_room_and_no_turn_renders_much_of_it(void **state)
{
    (void)state;
    char *yaml = wide_policy(METRICS_FEATURES_MAX + 5);
    struct world *world = world_open(NULL, yaml);
    struct metrics *metrics = &world->loop->metrics;
    free(scrape(world)); /* features have their labels */
    for (uint32_t i = 0; i < METRICS_CALLS_MAX; i++) {
        fill(metrics->calls[i].answers, METRICS_STATUSES, UINT64_MAX);
        fill_latency(&metrics->calls[i].whole);
        for (unsigned stage = 0; stage < STAGES; stage++)
            fill_latency(&metrics->calls[i].stages[stage]);
    }
    for (uint32_t i = 0; i < METRICS_FEATURES_MAX; i++) {
        struct metrics_feature *feature = &metrics->features[i];
        for (unsigned outcome = 0; outcome <= OUTCOME_DENY; outcome++)
            fill(feature->decisions[outcome], METRICS_REASONS, UINT64_MAX);
        fill(feature->draws, METRICS_SOURCES, UINT64_MAX);
        for (unsigned source = 0; source < METRICS_SOURCES; source++) {
            feature->units[source] = (uint128)UINT64_MAX * UINT64_MAX;
            feature->charged_nano[source] = (uint128)UINT64_MAX * UINT64_MAX;
        }
        feature->reports = UINT64_MAX;
    }
    fill(&metrics->checks[0][0], sizeof(metrics->checks) / sizeof(uint64_t), UINT64_MAX);
    fill(metrics->problems, METRICS_PROBLEMS, UINT64_MAX / 2);
    fill_latency(&metrics->appends);
    fill_latency(&metrics->syncs);
    free(scrape(world)); /* its memory has been touched */
    struct asker *asker = calloc(1, sizeof(*asker));
    world_ask(world, asker, "GET", "/metrics", "");
    asker->is_dropping = true;
    int64_t longest_ns = 0;
    unsigned turns = 0;
    size_t before = 0;
    for (; !asker->is_answered; turns++) {
        const int64_t began_ns = cpu_ns();
        assert_true(loop_step(world->loop));
        const int64_t took_ns = cpu_ns() - began_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        assert_true(world->loop->scrape.used <= before + TURN_BYTES_MAX);
        before = world->loop->scrape.used;
    }
    char *text = scrape(world);
    assert_true(metrics->feature_count == METRICS_FEATURES_MAX - 1);
    print_message("the largest answer: %zu of %zu bytes, %u turns, the longest %d us\n",
                  strlen(text), TEXT_SIZE, turns, (int)(longest_ns / 1000));
    free(asker);
    assert_true(strlen(text) < TEXT_SIZE - TEXT_SIZE / 4);
    assert_value(text, "weir_decisions_total{feature=\"other\",outcome=\"deny\",reason=\"ok\"}",
                 "18446744073709551615");
    free(text);
    free(yaml);
    finish(world);
}

static void features_beyond_the_labels_share_one(void **state)
{
    (void)state;
    char *yaml = wide_policy(METRICS_FEATURES_MAX + 5);
    struct world *world = world_open(NULL, yaml);
    struct asker *asker = calloc(1, sizeof(*asker));
    free(scrape(world));
    for (unsigned i = METRICS_FEATURES_MAX - 2; i < METRICS_FEATURES_MAX + 5; i++) {
        char body[256];
        (void)snprintf(body, sizeof(body),
                       "{\"customer\":\"acme\",\"feature\":\"feature-%03u-%052d\",\"quantities\":{"
                       "\"requests\":1}}",
                       i, 0);
        world_do(world, asker, "POST", "/v1/consume", body);
        assert_int_equal(asker->status, 200);
    }
    char *text = scrape(world);
    assert_value(text, "weir_decisions_total{feature=\"other\",outcome=\"allow\",reason=\"ok\"}",
                 "6");
    free(text);
    free(asker);
    free(yaml);
    finish(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_count_by_feature_outcome_reason_and_source),
        cmocka_unit_test(denials_of_a_crowd_count_one_by_one),
        cmocka_unit_test(a_replay_counts_as_one_and_decides_nothing),
        cmocka_unit_test(the_stages_of_requests_add_up_to_the_whole),
        cmocka_unit_test(time_of_waiting_is_no_time_of_deciding),
        cmocka_unit_test(a_value_on_a_bound_is_in_its_bucket),
        cmocka_unit_test(every_time_is_in_the_bucket_of_its_bounds),
        cmocka_unit_test(a_sync_counts_apart_from_its_append),
        cmocka_unit_test(what_another_thread_noted_is_told_as_it_was),
        cmocka_unit_test(a_batch_counts_with_its_entries_and_bytes),
        cmocka_unit_test(the_largest_answer_has_room_and_no_turn_renders_much_of_it),
        cmocka_unit_test(features_beyond_the_labels_share_one),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
