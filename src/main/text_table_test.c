/*
 * text_table_test.c: what a terminal shows, character by character.
 */
#include "main/text_table.h"

#include <math.h>

#include "base/testing.h"

static void tables_line_up_and_pipes_get_no_colours(void **state)
{
    char written[512] = "";
    struct table table;
    (void)state;
    FILE *file = fmemopen(written, sizeof(written), "w");
    assert_non_null(file);
    const struct page page = {.file = file, .is_coloured = false};
    table_begin(&table, "lrl");
    table_row(&table, PAINT_BOLD);
    table_cell(&table, "name");
    table_cell(&table, "rows");
    table_row(&table, PAINT_RED);
    table_cell(&table, "caf\xc3\xa9");
    table_cell(&table, "%d", 12345);
    table_cell(&table, "a\tb\033[31m");
    table_print(&table, &page);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, "  name    rows\n"
                                 "  caf\xc3\xa9   12345   a?b?[31m\n");
}

static void rows_past_the_end_are_counted(void **state)
{
    char written[16384] = "";
    struct table table;
    (void)state;
    FILE *file = fmemopen(written, sizeof(written), "w");
    assert_non_null(file);
    const struct page page = {.file = file, .is_coloured = false};
    table_begin(&table, "l");
    for (int i = 0; i < TABLE_ROWS_MAX + 5; ++i) {
        table_row(&table, PAINT_PLAIN);
        table_cell(&table, "%d", i);
    }
    table_print(&table, &page);
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(written, "  71\n  and 5 more\n"));
}

static void numbers_read_well(void **state)
{
    char text[TEXT_NUMBER_BYTES];
    (void)state;
    assert_string_equal(text_number(0, text), "0");
    assert_string_equal(text_number(999, text), "999");
    assert_string_equal(text_number(1000, text), "1,000");
    assert_string_equal(text_number(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(text_credits(INT64_C(1250000000), text), "1.25");
    assert_string_equal(text_units(1250000000, true, text), "1.25");
    assert_string_equal(text_units(1250000000, false, text), "1,250,000,000");
    assert_string_equal(text_share(1, 3, text), "33.3 %");
    assert_string_equal(text_share(0, 0, text), "0.0 %");
    assert_string_equal(text_share(UINT64_MAX, UINT64_MAX, text), "100.0 %");
    assert_string_equal(text_duration(4 * 3600000 + 12 * 60000, text), "4 h 12 min");
    assert_string_equal(text_duration(INT64_C(90000000), text), "1 d 1 h");
    assert_string_equal(text_duration(61000, text), "1 min");
    assert_string_equal(text_duration(1, text), "1 s");
}

static void bars_show_something_for_anything_above_nothing(void **state)
{
    char text[TEXT_BAR_BYTES];
    (void)state;
    assert_string_equal(text_bar(0, 10, 10, text), "[..........]");
    assert_string_equal(text_bar(1, 1000000, 10, text), "[#.........]");
    assert_string_equal(text_bar(5, 10, 10, text), "[#####.....]");
    assert_string_equal(text_bar(20, 10, 10, text), "[##########]");
    assert_string_equal(text_bar(0, 0, 10, text), "[..........]");
}

static void rates_times_and_sizes_are_short(void **state)
{
    char text[TEXT_NUMBER_BYTES];
    (void)state;
    assert_string_equal(text_rate(0, text), "0");
    assert_string_equal(text_rate(0.44, text), "0.4");
    assert_string_equal(text_rate(9.94, text), "9.9");
    assert_string_equal(text_rate(9.96, text), "10");
    assert_string_equal(text_rate(1985.5, text), "1,986");
    assert_string_equal(text_rate(NAN, text), "-");
    assert_string_equal(text_seconds(0.000312, text), "0.31 ms");
    assert_string_equal(text_seconds(0.0124, text), "12.4 ms");
    assert_string_equal(text_seconds(0.5, text), "500 ms");
    assert_string_equal(text_seconds(2.5, text), "2.5 s");
    assert_string_equal(text_seconds(120, text), "2 min");
    assert_string_equal(text_seconds(NAN, text), "-");
    assert_string_equal(text_bytes(0, text), "0 B");
    assert_string_equal(text_bytes(1023, text), "1023 B");
    assert_string_equal(text_bytes(1536, text), "1.5 KiB");
    assert_string_equal(text_bytes(47185920, text), "45 MiB");
}

static void check_wrapped(unsigned columns, bool is_coloured, const char *text,
                          const char *expected)
{
    char written[512] = "";
    FILE *file = fmemopen(written, sizeof(written), "w");
    assert_non_null(file);
    const struct page page = {.file = file, .columns = columns, .is_coloured = is_coloured};
    (void)fputs("12345", file);
    page_wrap(&page, 5, 2, text);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, expected);
}

static void lines_break_between_words_where_the_page_ends(void **state)
{
    (void)state;
    check_wrapped(30, false, "one two three four five six",
                  "12345one two three four five\n  six\n");
    check_wrapped(30, false, "", "12345\n");
    check_wrapped(30, false, "a-word-that-is-longer-than-the-page-is-wide and more",
                  "12345a-word-that-is-longer-than-the-page-is-wide\n  and more\n");
    check_wrapped(30, false, "caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9",
                  "12345caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9\n");
    check_wrapped(30, false, "say `weir --help` twice", "12345say `weir --help` twice\n");
    check_wrapped(30, true, "say `weir --help` twice",
                  "12345say \033[1mweir --help\033[0m twice\n");
    check_wrapped(1, false, "even here", "12345even here\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_line_up_and_pipes_get_no_colours),
        cmocka_unit_test(rows_past_the_end_are_counted),
        cmocka_unit_test(numbers_read_well),
        cmocka_unit_test(rates_times_and_sizes_are_short),
        cmocka_unit_test(lines_break_between_words_where_the_page_ends),
        cmocka_unit_test(bars_show_something_for_anything_above_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
