/*
 * load_tally.c: sums by name, and every latency kept, so that percentiles are exact.
 */
#include <stdlib.h>
#include <string.h>

#include "main/load.h"

bool load_tally_begin(struct load_tally *tally, size_t rows)
{
    *tally = (struct load_tally){0};
    tally->authorize.microseconds = calloc(rows, sizeof(uint32_t));
    tally->commit.microseconds = calloc(rows, sizeof(uint32_t));
    return tally->authorize.microseconds != NULL && tally->commit.microseconds != NULL;
}

void load_tally_free(struct load_tally *tally)
{
    free(tally->authorize.microseconds);
    free(tally->commit.microseconds);
    *tally = (struct load_tally){0};
}

/* Sources past the table's end share its last place: the totals stay true. */
void load_tally_source(struct load_tally *tally, const struct load_source *line)
{
    uint32_t i = 0;
    while (i < tally->source_count && (strcmp(tally->sources[i].name, line->name) != 0 ||
                                       strcmp(tally->sources[i].kind, line->kind) != 0))
        ++i;
    if (i == LOAD_SOURCES_MAX) --i;
    if (i == tally->source_count)
        tally->sources[tally->source_count++] = *line;
    else {
        tally->sources[i].rows += line->rows;
        tally->sources[i].units += line->units;
        tally->sources[i].charged += line->charged;
    }
}

static int rank_of(const struct load_source *source)
{
    static const char *const order[] = {"allowance", "promotional", "entitlement", "paid",
                                        "overage",   "debt",        "unlimited"};
    int rank = 0;
    while (rank < (int)COUNT_OF(order) && strcmp(source->kind, order[rank]) != 0 &&
           strcmp(source->name, order[rank]) != 0)
        ++rank;
    return rank;
}

static int compare_latencies(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left;
    const uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static int compare_sources(const void *left, const void *right)
{
    const int by_rank = rank_of(left) - rank_of(right);
    if (by_rank != 0) return by_rank;
    return strcmp(((const struct load_source *)left)->name,
                  ((const struct load_source *)right)->name);
}

void load_tally_order(struct load_tally *tally)
{
    qsort(tally->sources, tally->source_count, sizeof(tally->sources[0]), compare_sources);
    qsort(tally->authorize.microseconds, tally->authorize.count, sizeof(uint32_t),
          compare_latencies);
    qsort(tally->commit.microseconds, tally->commit.count, sizeof(uint32_t), compare_latencies);
}

void load_tally_code(struct load_codes *codes, const char *name, const char *detail)
{
    uint32_t i = 0;
    while (i < codes->count && strcmp(codes->at[i].name, name) != 0)
        ++i;
    if (i == LOAD_CODES_MAX) --i;
    if (i == codes->count) {
        codes->at[i].rows = 0;
        (void)snprintf(codes->at[i].name, sizeof(codes->at[i].name), "%s", name);
        (void)snprintf(codes->at[i].detail, sizeof(codes->at[i].detail), "%s", detail);
        ++codes->count;
    }
    ++codes->at[i].rows;
}

void load_latencies_add(struct load_latencies *latencies, int64_t latency_ns)
{
    const int64_t microseconds = latency_ns / 1000;
    latencies->microseconds[latencies->count++] =
        microseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)microseconds;
}

uint32_t load_latencies_at(const struct load_latencies *latencies, uint32_t per_100000)
{
    if (latencies->count == 0) return 0;
    const uint64_t rank = ((uint64_t)latencies->count * per_100000 + 99999) / 100000;
    return latencies->microseconds[rank == 0 ? 0 : rank - 1];
}
