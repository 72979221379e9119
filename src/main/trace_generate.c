/*
 * trace_generate.c: whole numbers only, so that no library's rounding decides a row.
 *
 * The day is 1,440 minutes with weights: a base, a hump of a parabola from 7 to 23 o'clock, and a
 * dozen bursts that multiply a few minutes. A row falls into a minute in proportion to its weight.
 */
#include "main/trace_generate.h"

#include <stdlib.h>

enum { MINUTES = 1440, BURSTS = 12, TOKENS_READ_MAX = 128000, TOKENS_WRITTEN_MAX = 16000 };

#define TRACE_DAY_MS INT64_C(1772409600000) /* 2026-03-02T00:00:00Z, a Monday */
#define ONE INT64_C(65536)

int64_t generate_normal(struct prng *prng)
{
    int64_t sum = -6 * ONE;
    for (int i = 0; i < 12; ++i)
        sum += (int64_t)prng_below(prng, (uint64_t)ONE);
    return sum;
}

uint64_t generate_log_normal(struct prng *prng, uint64_t median, int64_t deviation)
{
    const int64_t octaves = generate_normal(prng) * deviation / ONE;
    int64_t whole = octaves / ONE;
    int64_t part = octaves % ONE;
    if (part < 0) {
        part += ONE;
        --whole;
    }
    /* 2^x on 0..1 is within 0.3 % of 1 + 0.6564 x + 0.3436 x². */
    const int64_t scale = ONE + part * 43018 / ONE + part * part / ONE * 22518 / ONE;
    const uint64_t value = median * (uint64_t)scale;
    return (whole < 0 ? value >> -whole : value << whole) / (uint64_t)ONE;
}

static void weigh_minutes(struct prng *prng, uint64_t weights_out[MINUTES])
{
    for (uint64_t minute = 0; minute < MINUTES; ++minute) {
        const uint64_t rise = minute > 420 && minute < 1380 ? minute - 420 : 0;
        weights_out[minute] = 40 + rise * (960 - rise) / 230;
    }
    for (int burst = 0; burst < BURSTS; ++burst) {
        const uint64_t start = prng_below(prng, MINUTES - 20);
        const uint64_t length = 3 + prng_below(prng, 15);
        const uint64_t times = 3 + prng_below(prng, 5);
        for (uint64_t minute = start; minute < start + length; ++minute)
            weights_out[minute] *= times;
    }
}

/* Rows of one millisecond are ordered by what they hold: qsort is free to swap equal ones. */
static int compare_rows(const void *left, const void *right)
{
    const struct trace_row *a = left;
    const struct trace_row *b = right;
    if (a->at_ms != b->at_ms) return a->at_ms < b->at_ms ? -1 : 1;
    for (int i = 0; i < 2; ++i) {
        if (a->quantity[i] != b->quantity[i]) return a->quantity[i] < b->quantity[i] ? -1 : 1;
    }
    return 0;
}

static uint64_t between(uint64_t low, uint64_t value, uint64_t high)
{
    if (value < low) return low;
    return value > high ? high : value;
}

bool trace_generate(uint64_t rows, uint64_t seed, struct trace *trace_out)
{
    struct prng prng = {.state = seed};
    uint64_t weights[MINUTES];
    uint64_t total = 0;
    weigh_minutes(&prng, weights);
    for (uint64_t minute = 0; minute < MINUTES; ++minute)
        total += weights[minute];

    for (uint64_t i = 0; i < rows; ++i) {
        uint64_t minute = 0;
        for (uint64_t at = prng_below(&prng, total); at >= weights[minute]; ++minute)
            at -= weights[minute];
        struct trace_row row = {.at_ms = TRACE_DAY_MS + (int64_t)minute * MINUTE_MS};
        row.at_ms += (int64_t)prng_below(&prng, MINUTE_MS);
        row.quantity[0] = between(16, generate_log_normal(&prng, 1500, 115000), TOKENS_READ_MAX);
        row.quantity[1] = between(1, generate_log_normal(&prng, 120, 98000), TOKENS_WRITTEN_MAX);
        if (!trace_append(trace_out, &row)) return false;
    }
    qsort(trace_out->rows, trace_out->count, sizeof(trace_out->rows[0]), compare_rows);
    return true;
}
