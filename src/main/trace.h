/*
 * trace.h: a request trace: when each request came and what it turned out to use.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TRACE_METERS_MAX = 8, TRACE_ROWS_MAX = 20000000, TRACE_LINE_BYTES_MAX = 4096 };

/* Which column counts for which meter: "ContextTokens=input_tokens,GeneratedTokens=output_tokens"
 */
struct trace_map {
    uint32_t count;
    struct {
        char column[64];
        char meter[65];
    } at[TRACE_METERS_MAX];
};

struct trace_row {
    int64_t at_ms;                       /* since 1970 */
    uint64_t quantity[TRACE_METERS_MAX]; /* in the map's order */
};

struct trace {
    struct trace_row *rows; /* owned; freed by trace_free, which fits CLEANUP */
    size_t count;
    size_t size;
};

/* False when it is not of that form, or names a meter twice. */
bool trace_map_parse(const char *text, struct trace_map *map_out);

/* Reads CSV with a header line. The time stands in the column named TIMESTAMP, timestamp or time,
 * else in the first: RFC 3339, "2023-11-16 18:17:03.9799600" (UTC), or milliseconds since 1970.
 * False with `complaint_out` filled, "line 7: what is wrong, expected what". At most `limit` rows.
 */
#define TRACE_COMPLAINT_BYTES 256
bool trace_read(FILE *file, const struct trace_map *map, size_t limit, struct trace *trace_out,
                char complaint_out[TRACE_COMPLAINT_BYTES]);

bool trace_append(struct trace *trace, const struct trace_row *row); /* false: no memory */
void trace_free(struct trace *trace);
