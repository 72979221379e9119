/*
 * trace.c: CSV in, rows out. Fields may be quoted; none of the values needs a comma or a quote.
 */
#include "main/trace.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"

enum { COLUMNS_MAX = 64 };

/* Where things stand in a line. */
struct layout {
    size_t columns;
    size_t time;
    size_t meter[TRACE_METERS_MAX];
};

struct fields {
    char *at[COLUMNS_MAX];
    size_t count;
};

static bool copy_name(const char *from, size_t length, char *name_out, size_t size)
{
    if (length == 0 || length >= size) return false;
    memcpy(name_out, from, length);
    name_out[length] = '\0';
    return true;
}

bool trace_map_parse(const char *text, struct trace_map *map_out)
{
    struct trace_map map = {0};
    for (const char *at = text;;) {
        const size_t column = strcspn(at, "=,");
        if (at[column] != '=' || map.count == TRACE_METERS_MAX) return false;
        const char *meter = at + column + 1;
        const size_t length = strcspn(meter, "=,");
        if (!copy_name(at, column, map.at[map.count].column, sizeof(map.at[0].column)) ||
            !copy_name(meter, length, map.at[map.count].meter, sizeof(map.at[0].meter)))
            return false;
        for (uint32_t i = 0; i < map.count; ++i) {
            if (strcmp(map.at[i].meter, map.at[map.count].meter) == 0) return false;
        }
        ++map.count;
        at = meter + length;
        if (*at == '\0') break;
        if (*at != ',') return false;
        ++at;
    }
    *map_out = map;
    return true;
}

/* Cuts the line into its fields, in place. */
static bool cut(char *line, struct fields *fields_out)
{
    fields_out->count = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line;;) {
        char *end = at + strcspn(at, ",");
        const bool is_last = *end == '\0';
        if (fields_out->count == COLUMNS_MAX) return false;
        *end = '\0';
        if (*at == '"' && end - at >= 2 && end[-1] == '"') {
            ++at;
            end[-1] = '\0';
        }
        fields_out->at[fields_out->count++] = at;
        if (is_last) return true;
        at = end + 1;
    }
}

static bool find_column(const struct fields *header, const char *name, size_t *column_out)
{
    for (size_t i = 0; i < header->count; ++i) {
        if (strcmp(header->at[i], name) != 0) continue;
        *column_out = i;
        return true;
    }
    return false;
}

static bool read_layout(const struct fields *header, const struct trace_map *map,
                        struct layout *layout_out, char *complaint_out)
{
    static const char *const time_names[] = {"TIMESTAMP", "timestamp", "time"};
    *layout_out = (struct layout){.columns = header->count};
    for (size_t i = 0; i < COUNT_OF(time_names); ++i) {
        if (find_column(header, time_names[i], &layout_out->time)) break;
    }
    for (uint32_t i = 0; i < map->count; ++i) {
        if (find_column(header, map->at[i].column, &layout_out->meter[i])) continue;
        (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                       "line 1: no column '%s', expected one for the meter %s (see --map)",
                       map->at[i].column, map->at[i].meter);
        return false;
    }
    return true;
}

static bool read_quantity(const char *text, uint64_t *quantity_out)
{
    uint64_t quantity = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; ++text) {
        if (*text < '0' || *text > '9') return false;
        quantity = quantity * 10 + (uint64_t)(*text - '0');
        if (quantity > QUANTITY_MAX) return false;
    }
    *quantity_out = quantity;
    return true;
}

static bool read_time(const char *text, int64_t *at_ms_out)
{
    uint64_t milliseconds = 0;
    if (read_quantity(text, &milliseconds)) {
        *at_ms_out = (int64_t)milliseconds;
        return milliseconds <= (uint64_t)INSTANT_MS_MAX;
    }
    /* Traces have finer clocks than ours and leave out what is always the same: cut the fraction
     * to milliseconds, put the T and the Z. */
    enum { WHOLE = 19 };
    char written[48];
    if (strnlen(text, WHOLE) < WHOLE) return false;
    const char *fraction = text + WHOLE;
    const size_t digits = *fraction == '.' ? strspn(fraction + 1, "0123456789") : 0;
    if (*fraction == '.' && digits == 0) return false;
    const char *zone = digits > 0 ? fraction + 1 + digits : fraction;
    const int kept = digits > 3 ? 4 : (int)(zone - fraction); /* the point and at most three */
    (void)snprintf(written, sizeof(written), "%.*s%.*s%.8s", WHOLE, text, kept, fraction,
                   *zone != '\0' ? zone : "Z");
    if (written[10] == ' ') written[10] = 'T';
    return calendar_parse(bytes_of_text(written), at_ms_out);
}

static bool read_row(const struct fields *fields, const struct layout *layout,
                     const struct trace_map *map, struct trace_row *row_out, size_t line,
                     char *complaint_out)
{
    *row_out = (struct trace_row){0};
    if (fields->count != layout->columns) {
        (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                       "line %zu: %zu fields, expected %zu as in the header", line, fields->count,
                       layout->columns);
        return false;
    }
    if (!read_time(fields->at[layout->time], &row_out->at_ms)) {
        (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                       "line %zu: time '%.64s', expected 2026-05-01T12:00:00Z, "
                       "2026-05-01 12:00:00.000 or milliseconds since 1970",
                       line, fields->at[layout->time]);
        return false;
    }
    for (uint32_t i = 0; i < map->count; ++i) {
        if (read_quantity(fields->at[layout->meter[i]], &row_out->quantity[i])) continue;
        (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                       "line %zu: %s '%.64s', expected a whole number below 2^53", line,
                       map->at[i].column, fields->at[layout->meter[i]]);
        return false;
    }
    return true;
}

bool trace_append(struct trace *trace, const struct trace_row *row)
{
    if (trace->count == trace->size) {
        const size_t size = trace->size == 0 ? 1024 : trace->size * 2;
        struct trace_row *grown = realloc(trace->rows, size * sizeof(*grown));
        if (grown == NULL) return false;
        trace->rows = grown;
        trace->size = size;
    }
    trace->rows[trace->count++] = *row;
    return true;
}

bool trace_read(FILE *file, const struct trace_map *map, size_t limit, struct trace *trace_out,
                char complaint_out[TRACE_COMPLAINT_BYTES])
{
    char line[TRACE_LINE_BYTES_MAX];
    struct fields fields;
    struct layout layout = {0};
    for (size_t number = 1; trace_out->count < limit; ++number) {
        if (fgets(line, sizeof(line), file) == NULL) break;
        const bool is_cut_off = strlen(line) == sizeof(line) - 1 && strchr(line, '\n') == NULL;
        if (is_cut_off || !cut(line, &fields)) {
            (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                           "line %zu: too long, expected at most %d bytes and %d fields", number,
                           TRACE_LINE_BYTES_MAX - 2, COLUMNS_MAX);
            return false;
        }
        struct trace_row row;
        if (number == 1) {
            if (!read_layout(&fields, map, &layout, complaint_out)) return false;
            continue;
        }
        if (fields.count == 1 && fields.at[0][0] == '\0') continue;
        if (!read_row(&fields, &layout, map, &row, number, complaint_out)) return false;
        if (trace_out->count == TRACE_ROWS_MAX || !trace_append(trace_out, &row)) {
            (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES,
                           "line %zu: more rows than fit, expected at most %d (see --limit)",
                           number, TRACE_ROWS_MAX);
            return false;
        }
    }
    if (trace_out->count > 0) return true;
    (void)snprintf(complaint_out, TRACE_COMPLAINT_BYTES, "%s",
                   ferror(file) ? "cannot be read"
                                : "no rows, expected a header line and at least one row");
    return false;
}

void trace_free(struct trace *trace)
{
    free(trace->rows);
    *trace = (struct trace){0};
}
