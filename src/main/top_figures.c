/*
 * top_figures.c: rates, quantiles and rankings from two readings of the metrics. Pure.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "main/top.h"

#define ANY ((struct label_wanted){NULL, NULL})
#define IS(name, word) ((struct label_wanted){.label = (name), .value = (word)})

const char *const top_outcome_names[TOP_OUTCOMES] = {"allow", "partial", "deny"};

/* Both readings. */
struct span {
    const struct exposition *before;
    const struct exposition *now;
    double elapsed_s;
};

static double rate_of(const struct span *span, const char *name, struct label_wanted first,
                      struct label_wanted second)
{
    if (span->before == NULL || span->elapsed_s <= 0) return NAN;
    return exposition_growth(span->before, span->now, name, first, second) / span->elapsed_s;
}

static struct top_counter counter_of(const struct span *span, const char *name,
                                     struct label_wanted first, struct label_wanted second)
{
    return (struct top_counter){.rate = rate_of(span, name, first, second),
                                .total = exposition_sum(span->now, name, first, second)};
}

static double quantile_of(const struct span *span, const char *name, struct label_wanted wanted,
                          double share)
{
    return span->before == NULL ? NAN
                                : exposition_quantile(span->before, span->now, name, wanted, share);
}

/* The different values of a label, in their order, at most `max`. */
static uint32_t words_of(const struct exposition *now, const char *name, const char *label,
                         struct label_wanted wanted, char (*words)[TOP_NAME_BYTES], uint32_t max)
{
    uint32_t count = 0;
    for (size_t i = 0; i < now->count && count < max; ++i) {
        const struct sample *sample = &now->samples[i];
        char value[TOP_NAME_BYTES];
        uint32_t known = 0;
        if (strcmp(sample->name, name) != 0 ||
            !sample_label(sample, label, words[count], TOP_NAME_BYTES))
            continue;
        if (wanted.label != NULL && (!sample_label(sample, wanted.label, value, sizeof(value)) ||
                                     strcmp(value, wanted.value) != 0))
            continue;
        while (known < count && strcmp(words[known], words[count]) != 0)
            ++known;
        count += known == count;
    }
    return count;
}

enum { WORDS_MAX = 128 };

/* What is frequent now comes before what was frequent ever. */
static int compare_counters(const struct top_counter *a, const struct top_counter *b)
{
    const double rate_a = isnan(a->rate) ? 0 : a->rate;
    const double rate_b = isnan(b->rate) ? 0 : b->rate;
    if (rate_a != rate_b) return rate_a < rate_b ? 1 : -1;
    return (a->total < b->total) - (a->total > b->total);
}

static int compare_reasons(const void *a, const void *b)
{
    return compare_counters(&((const struct top_reason *)a)->denied,
                            &((const struct top_reason *)b)->denied);
}

static int compare_features(const void *a, const void *b)
{
    return compare_counters(&((const struct top_feature *)a)->decisions,
                            &((const struct top_feature *)b)->decisions);
}

static int compare_calls(const void *a, const void *b)
{
    const struct top_call *one = a;
    const struct top_call *other = b;
    if (one->is_look != other->is_look) return one->is_look ? 1 : -1;
    return (one->rate < other->rate) - (one->rate > other->rate);
}

static bool is_look(const char *call)
{
    static const char *const looks[] = {"GET /healthz", "GET /metrics", "GET /v1/usage"};
    for (size_t i = 0; i < COUNT_OF(looks); ++i)
        if (strcmp(call, looks[i]) == 0) return true;
    return false;
}

static const char decisions[] = "weir_decisions_total";

static void figure_reasons(const struct span *span, struct top_figures *figures)
{
    static struct top_reason all[WORDS_MAX];
    static char words[WORDS_MAX][TOP_NAME_BYTES];
    const uint32_t count =
        words_of(span->now, decisions, "reason", IS("outcome", "deny"), words, WORDS_MAX);
    for (uint32_t i = 0; i < count; ++i) {
        memcpy(all[i].name, words[i], TOP_NAME_BYTES);
        all[i].denied = counter_of(span, decisions, IS("outcome", "deny"), IS("reason", words[i]));
    }
    qsort(all, count, sizeof(all[0]), compare_reasons);
    figures->reason_count = count < TOP_REASONS_MAX ? count : TOP_REASONS_MAX;
    memcpy(figures->reasons, all, figures->reason_count * sizeof(all[0]));
}

static void figure_features(const struct span *span, struct top_figures *figures)
{
    static struct top_feature all[WORDS_MAX];
    static char words[WORDS_MAX][TOP_NAME_BYTES];
    uint32_t used = 0;
    const uint32_t count = words_of(span->now, decisions, "feature", ANY, words, WORDS_MAX);
    for (uint32_t i = 0; i < count; ++i) {
        const struct label_wanted feature = IS("feature", words[i]);
        struct top_feature *one = &all[used];
        memcpy(one->name, words[i], TOP_NAME_BYTES);
        one->decisions = counter_of(span, decisions, feature, ANY);
        one->denied_rate = rate_of(span, decisions, feature, IS("outcome", "deny"));
        one->charged_rate = rate_of(span, "weir_charged_credits_total", feature, ANY);
        used += one->decisions.total > 0;
    }
    qsort(all, used, sizeof(all[0]), compare_features);
    figures->feature_count = used < TOP_FEATURES_MAX ? used : TOP_FEATURES_MAX;
    memcpy(figures->features, all, figures->feature_count * sizeof(all[0]));
}

/* Only those that were called between the readings: an old latency says nothing. */
static void figure_calls(const struct span *span, struct top_figures *figures)
{
    static const char count_name[] = "weir_request_seconds_count";
    static const char name[] = "weir_request_seconds";
    static struct top_call all[WORDS_MAX];
    static char words[WORDS_MAX][TOP_NAME_BYTES];
    uint32_t used = 0;
    const uint32_t count = words_of(span->now, count_name, "call", ANY, words, WORDS_MAX);
    for (uint32_t i = 0; i < count && span->before != NULL; ++i) {
        const struct label_wanted call = IS("call", words[i]);
        struct top_call *one = &all[used];
        one->rate = rate_of(span, count_name, call, ANY);
        if (!(one->rate > 0)) continue;
        memcpy(one->name, words[i], TOP_NAME_BYTES);
        one->is_look = is_look(one->name);
        one->p50_s = quantile_of(span, name, call, 0.5);
        one->p90_s = quantile_of(span, name, call, 0.9);
        one->p99_s = quantile_of(span, name, call, 0.99);
        ++used;
    }
    qsort(all, used, sizeof(all[0]), compare_calls);
    figures->call_count = used < TOP_CALLS_MAX ? used : TOP_CALLS_MAX;
    memcpy(figures->calls, all, figures->call_count * sizeof(all[0]));
}

static void figure_server(const struct span *span, struct top_figures *figures)
{
    const struct exposition *now = span->now;
    static const char batches[] = "weir_journal_batches_total";
    const double entries_rate = rate_of(span, "weir_journal_entries_total", ANY, ANY);
    figures->batches_rate = rate_of(span, batches, ANY, ANY);
    figures->batch_entries = figures->batches_rate > 0 ? entries_rate / figures->batches_rate : NAN;
    figures->append_p50_s = quantile_of(span, "weir_journal_append_seconds", ANY, 0.5);
    figures->append_p99_s = quantile_of(span, "weir_journal_append_seconds", ANY, 0.99);
    figures->lag_s = exposition_sum(now, "weir_settlement_lag_seconds", ANY, ANY);
    figures->lag_entries = exposition_sum(now, "weir_settlement_lag_entries", ANY, ANY);
    figures->holds = exposition_sum(now, "weir_open_holds", ANY, ANY);
    figures->connections = exposition_sum(now, "weir_connections", ANY, ANY);
    figures->queued = exposition_sum(now, "weir_queued_requests", ANY, ANY);
    figures->resident_bytes = exposition_sum(now, "process_resident_memory_bytes", ANY, ANY);
    figures->record_bytes = exposition_sum(now, "weir_slab_bytes", ANY, ANY);
    figures->log_bytes = exposition_sum(now, "weir_log_bytes", ANY, ANY);
    for (size_t i = 0; i < now->count && figures->condition_count < TOP_CONDITIONS_MAX; ++i) {
        const struct sample *sample = &now->samples[i];
        if (strcmp(sample->name, "weir_condition") == 0 && sample->value > 0 &&
            sample_label(sample, "condition", figures->conditions[figures->condition_count],
                         TOP_NAME_BYTES))
            ++figures->condition_count;
    }
}

void top_figure(const struct exposition *before, const struct exposition *now, double elapsed_s,
                struct top_figures *figures_out)
{
    const struct span span = {.before = before, .now = now, .elapsed_s = elapsed_s};
    *figures_out = (struct top_figures){0};
    for (int i = 0; i < TOP_OUTCOMES; ++i)
        figures_out->outcomes[i] =
            counter_of(&span, decisions, IS("outcome", top_outcome_names[i]), ANY);
    figure_reasons(&span, figures_out);
    figure_calls(&span, figures_out);
    figure_features(&span, figures_out);
    figure_server(&span, figures_out);
}

static void place_customer(struct top_customers *customers, const struct top_customer *one)
{
    uint32_t place = customers->count;
    while (place > 0 && customers->at[place - 1].requests < one->requests)
        --place;
    if (place == TOP_CUSTOMERS_MAX) return;
    if (customers->count < TOP_CUSTOMERS_MAX) ++customers->count;
    for (uint32_t i = customers->count - 1; i > place; --i)
        customers->at[i] = customers->at[i - 1];
    customers->at[place] = *one;
}

void top_customers_take(struct top_customers *customers, yajl_val usage)
{
    const yajl_val next = answer_at(usage, "next");
    customers->count = 0;
    customers->is_cut = next != NULL && !YAJL_IS_NULL(next);
    for (size_t i = 0; i < answer_length(usage, "usage"); ++i) {
        const yajl_val row = answer_item(usage, "usage", i);
        struct top_customer one = {.requests = answer_count(row, "requests"),
                                   .denied = answer_count(row, "denied"),
                                   .charged = answer_credits(row, "charged")};
        (void)snprintf(one.name, sizeof(one.name), "%s", answer_text(row, "customer"));
        place_customer(customers, &one);
    }
}
