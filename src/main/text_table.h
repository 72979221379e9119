/*
 * text_table.h: what a person reads on a terminal: aligned tables, bars, grouped numbers. ASCII
 * only. Bars and colours are for terminals: none in a pipe, unless colours are asked for; no
 * colours with NO_COLOR set.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_ROWS_MAX = 72, TABLE_COLUMNS_MAX = 10, TABLE_CELL_BYTES = 72 };

enum paint { PAINT_PLAIN, PAINT_BOLD, PAINT_DIM, PAINT_GREEN, PAINT_YELLOW, PAINT_RED };

struct table {
    const char *columns; /* a letter per column: 'l' or 'r' */
    size_t rows;
    size_t cells; /* of the last row */
    enum paint paint[TABLE_ROWS_MAX];
    bool is_heading[TABLE_ROWS_MAX];
    char cell[TABLE_ROWS_MAX][TABLE_COLUMNS_MAX][TABLE_CELL_BYTES];
};

struct page {
    FILE *file;
    unsigned columns; /* of the terminal; 80 where there is none */
    bool is_terminal;
    bool has_bars; /* a terminal, or colours were asked for all the same */
    bool is_coloured;
};

struct page page_on(FILE *file);
void page_colour(const char *when); /* for every page from now on: "auto", "always" or "never" */
const char *page_paint(const struct page *page, enum paint paint); /* "" when not coloured */
const char *page_plain(const struct page *page);

/* Breaks lines between words so that they fit; the first line is begun already, at `column`. What
 * follows it is indented by `indent`. `code` in backquotes is bold, without the quotes, where there
 * are colours. Ends with a line break. */
void page_wrap(const struct page *page, unsigned column, unsigned indent, const char *text);

void table_begin(struct table *table, const char *columns);
/* Rows past the table's end are counted, not kept; table_print says how many there were. */
void table_row(struct table *table, enum paint paint);
/* A row of column heads, bold; the table's title is its first cell and stands out to the left. */
void table_heading(struct table *table);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *table, const struct page *page);

#define TEXT_NUMBER_BYTES 32
#define TEXT_BAR_BYTES 64
/* The result is the caller's array, for use as an argument of printf. */
const char *text_number(uint64_t number, char text_out[TEXT_NUMBER_BYTES]); /* "1,234,567" */
const char *text_credits(int64_t nano, char text_out[TEXT_NUMBER_BYTES]);   /* exact */
const char *text_credits_unit(const char *credits); /* of an exact amount: "credit", "credits" */
const char *text_units(uint64_t units, bool is_cost, char text_out[TEXT_NUMBER_BYTES]);
const char *text_share(uint64_t part, uint64_t whole,
                       char text_out[TEXT_NUMBER_BYTES]); /* "9.1 %" */
/* "[####......]", `width` cells; anything above nothing shows at least one. */
const char *text_bar(uint64_t part, uint64_t whole, unsigned width, char text_out[TEXT_BAR_BYTES]);
/* What is not known (NAN) is "-". */
const char *text_rate(double per_second, char text_out[TEXT_NUMBER_BYTES]); /* "0.4", "1,986" */
const char *text_seconds(double seconds, char text_out[TEXT_NUMBER_BYTES]); /* "0.31 ms", "2.5 s" */
const char *text_bytes(double bytes, char text_out[TEXT_NUMBER_BYTES]);     /* "1.5 MiB" */
const char *text_duration(int64_t duration_ms, char text_out[TEXT_NUMBER_BYTES]); /* "4 h 12 min" */
