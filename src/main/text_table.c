/*
 * text_table.c: cells are kept until the widths are known. Widths count code points, so that names
 * in any script line up as well as a terminal lets them.
 */
#include "main/text_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/base.h"

enum { PAGE_COLUMNS = 80, WRAP_COLUMNS_MIN = 24 };

static enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER } colour_when;

void page_colour(const char *when)
{
    colour_when = strcmp(when, "always") == 0  ? COLOUR_ALWAYS
                  : strcmp(when, "never") == 0 ? COLOUR_NEVER
                                               : COLOUR_AUTO;
}

/* https://no-color.org: set, and not empty. */
static bool is_colour_welcome(void)
{
    const char *terminal = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    return terminal != NULL && strcmp(terminal, "dumb") != 0 &&
           (no_color == NULL || no_color[0] == '\0');
}

struct page page_on(FILE *file)
{
    struct winsize size = {0};
    const bool is_terminal = isatty(fileno(file)) != 0;
    const bool is_sized = is_terminal && ioctl(fileno(file), TIOCGWINSZ, &size) == 0;
    return (struct page){.file = file,
                         .columns = is_sized && size.ws_col > 0 ? size.ws_col : PAGE_COLUMNS,
                         .is_terminal = is_terminal,
                         .has_bars = is_terminal || colour_when == COLOUR_ALWAYS,
                         .is_coloured =
                             colour_when == COLOUR_ALWAYS ||
                             (colour_when == COLOUR_AUTO && is_terminal && is_colour_welcome())};
}

const char *page_paint(const struct page *page, enum paint paint)
{
    static const char *const codes[] = {"",         "\033[1m",  "\033[2m",
                                        "\033[32m", "\033[33m", "\033[31m"};
    return page->is_coloured ? codes[paint] : "";
}

const char *page_plain(const struct page *page)
{
    return page->is_coloured ? "\033[0m" : "";
}

static int width_of(const char *text, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes; ++i)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* One word, bold between its backquotes. */
static void put_word(const struct page *page, const char *word, size_t bytes, bool *is_code)
{
    for (size_t i = 0; i < bytes; ++i) {
        if (word[i] != '`' || !page->is_coloured) {
            (void)fputc(word[i], page->file);
            continue;
        }
        *is_code = !*is_code;
        (void)fputs(*is_code ? page_paint(page, PAINT_BOLD) : page_plain(page), page->file);
    }
}

void page_wrap(const struct page *page, unsigned column, unsigned indent, const char *text)
{
    const unsigned most =
        page->columns > indent + WRAP_COLUMNS_MIN ? page->columns : indent + WRAP_COLUMNS_MIN;
    bool is_code = false;
    bool is_first = true;
    while (*text != '\0') {
        const size_t bytes = strcspn(text, " ");
        const unsigned width = (unsigned)width_of(text, bytes);
        if (!is_first && column + 1 + width > most) {
            (void)fprintf(page->file, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!is_first) {
            (void)fputc(' ', page->file);
            ++column;
        }
        put_word(page, text, bytes, &is_code);
        column += width;
        is_first = false;
        text += bytes + strspn(text + bytes, " ");
    }
    (void)fputc('\n', page->file);
}

void table_begin(struct table *table, const char *columns)
{
    ENSURE(strlen(columns) <= TABLE_COLUMNS_MAX);
    table->columns = columns;
    table->rows = 0;
    table->cells = 0;
}

void table_row(struct table *table, enum paint paint)
{
    if (table->rows < TABLE_ROWS_MAX) {
        memset(table->cell[table->rows], 0, sizeof(table->cell[0]));
        table->paint[table->rows] = paint;
        table->is_heading[table->rows] = false;
    }
    ++table->rows;
    table->cells = 0;
}

void table_heading(struct table *table)
{
    table_row(table, PAINT_BOLD);
    if (table->rows <= TABLE_ROWS_MAX) table->is_heading[table->rows - 1] = true;
}

/* Control characters of names from elsewhere must not reach the terminal. */
static void tame(char *text)
{
    for (; *text != '\0'; ++text) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
    }
}

void table_cell(struct table *table, const char *format, ...)
{
    char text[TABLE_CELL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    ENSURE(table->rows > 0 && table->columns[table->cells] != '\0');
    if (table->rows > TABLE_ROWS_MAX) return;
    tame(text);
    memcpy(table->cell[table->rows - 1][table->cells++], text, sizeof(text));
}

static void print_cell(const struct page *page, const char *cell, int width, bool is_right,
                       bool is_last)
{
    const int blanks = width - width_of(cell, strlen(cell));
    if (is_right)
        (void)fprintf(page->file, "%*s%s", blanks, "", cell);
    else
        (void)fprintf(page->file, "%s%*s", cell, is_last ? 0 : blanks, "");
}

void table_print(const struct table *table, const struct page *page)
{
    const size_t rows = table->rows < TABLE_ROWS_MAX ? table->rows : TABLE_ROWS_MAX;
    const size_t columns = strlen(table->columns);
    int widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t row = 0; row < rows; ++row) {
        for (size_t column = 0; column < columns; ++column) {
            const int width = width_of(table->cell[row][column], strlen(table->cell[row][column])) -
                              (column == 0 && table->is_heading[row] ? 2 : 0);
            if (width > widths[column]) widths[column] = width;
        }
    }
    for (size_t row = 0; row < rows; ++row) {
        size_t last = columns;
        while (last > 1 && table->cell[row][last - 1][0] == '\0')
            --last;
        (void)fputs(page_paint(page, table->paint[row]), page->file);
        for (size_t column = 0; column < last; ++column) {
            const bool is_title = column == 0 && table->is_heading[row];
            (void)fputs(column > 0 ? "   " : is_title ? "" : "  ", page->file);
            print_cell(page, table->cell[row][column], widths[column] + (is_title ? 2 : 0),
                       table->columns[column] == 'r', column + 1 == last);
        }
        (void)fprintf(page->file, "%s\n", page_plain(page));
    }
    if (table->rows > rows) (void)fprintf(page->file, "  and %zu more\n", table->rows - rows);
}

const char *text_number(uint64_t number, char text_out[TEXT_NUMBER_BYTES])
{
    char digits[24];
    const int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    size_t used = 0;
    for (int i = 0; i < length; ++i) {
        if (i > 0 && (length - i) % 3 == 0) text_out[used++] = ',';
        text_out[used++] = digits[i];
    }
    text_out[used] = '\0';
    return text_out;
}

const char *text_credits(int64_t nano, char text_out[TEXT_NUMBER_BYTES])
{
    (void)credits_format(nano, text_out);
    return text_out;
}

const char *text_credits_unit(const char *credits)
{
    return strcmp(credits, "1") == 0 ? "credit" : "credits";
}

const char *text_units(uint64_t units, bool is_cost, char text_out[TEXT_NUMBER_BYTES])
{
    if (is_cost && units <= (uint64_t)INT64_MAX) return text_credits((int64_t)units, text_out);
    return text_number(units, text_out);
}

const char *text_share(uint64_t part, uint64_t whole, char text_out[TEXT_NUMBER_BYTES])
{
    const uint64_t permille = whole == 0 ? 0 : (uint64_t)((uint128)part * 1000 / whole);
    (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " %%", permille / 10,
                   permille % 10);
    return text_out;
}

const char *text_bar(uint64_t part, uint64_t whole, unsigned width, char text_out[TEXT_BAR_BYTES])
{
    ENSURE(width + 3 <= TEXT_BAR_BYTES);
    const uint64_t shown = part < whole ? part : whole;
    unsigned full = whole == 0 ? 0 : (unsigned)((uint128)shown * width / whole);
    if (full == 0 && shown > 0) full = 1;
    text_out[0] = '[';
    memset(text_out + 1, '#', full);
    memset(text_out + 1 + full, '.', width - full);
    text_out[1 + width] = ']';
    text_out[2 + width] = '\0';
    return text_out;
}

const char *text_duration(int64_t duration_ms, char text_out[TEXT_NUMBER_BYTES])
{
    static const struct {
        int64_t larger_ms;
        int64_t smaller_ms;
        const char *larger;
        const char *smaller;
    } forms[] = {
        { DAY_MS,   HOUR_MS, "d",   "h"},
        {HOUR_MS, MINUTE_MS, "h", "min"}
    };
    for (size_t i = 0; i < COUNT_OF(forms); ++i) {
        if (duration_ms < forms[i].larger_ms) continue;
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%" PRId64 " %s %" PRId64 " %s",
                       duration_ms / forms[i].larger_ms, forms[i].larger,
                       duration_ms % forms[i].larger_ms / forms[i].smaller_ms, forms[i].smaller);
        return text_out;
    }
    if (duration_ms >= MINUTE_MS)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%" PRId64 " min", duration_ms / MINUTE_MS);
    else
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%" PRId64 " s",
                       (duration_ms + SECOND_MS - 1) / SECOND_MS);
    return text_out;
}

static const char *text_unknown(char text_out[TEXT_NUMBER_BYTES])
{
    (void)snprintf(text_out, TEXT_NUMBER_BYTES, "-");
    return text_out;
}

const char *text_rate(double per_second, char text_out[TEXT_NUMBER_BYTES])
{
    if (isnan(per_second)) return text_unknown(text_out);
    if (per_second >= 9.95) return text_number((uint64_t)(per_second + 0.5), text_out);
    (void)snprintf(text_out, TEXT_NUMBER_BYTES, per_second == 0 ? "%.0f" : "%.1f", per_second);
    return text_out;
}

const char *text_seconds(double seconds, char text_out[TEXT_NUMBER_BYTES])
{
    const double ms = seconds * 1000;
    if (isnan(seconds)) return text_unknown(text_out);
    if (ms < 9.995)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%.2f ms", ms);
    else if (ms < 999.5)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, ms < 99.95 ? "%.1f ms" : "%.0f ms", ms);
    else if (seconds < 99.95)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%.1f s", seconds);
    else
        return text_duration((int64_t)(seconds * SECOND_MS), text_out);
    return text_out;
}

const char *text_bytes(double bytes, char text_out[TEXT_NUMBER_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    if (isnan(bytes)) return text_unknown(text_out);
    for (; bytes >= 1023.5 && unit + 1 < COUNT_OF(units); ++unit)
        bytes /= 1024;
    (void)snprintf(text_out, TEXT_NUMBER_BYTES, unit == 0 || bytes >= 9.95 ? "%.0f %s" : "%.1f %s",
                   bytes, units[unit]);
    return text_out;
}
