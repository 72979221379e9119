/*
 * trace_test.c: CSV rows and their mistakes; the invented day is the same from the same seed and
 * looks like a day.
 */
#include "main/trace.h"

#include "base/testing.h"
#include "main/answer.h"
#include "main/trace_generate.h"

static const char map_text[] = "ContextTokens=input_tokens,GeneratedTokens=output_tokens";

static bool read_text(const char *text, size_t limit, struct trace *trace, char *complaint)
{
    struct trace_map map;
    assert_true(trace_map_parse(map_text, &map));
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(file);
    const bool is_read = trace_read(file, &map, limit, trace, complaint);
    assert_int_equal(fclose(file), 0);
    return is_read;
}

static void maps_are_columns_and_meters(void **state)
{
    static const char *const wrong[] = {
        "",      "a",       "a=",       "=b",   "a=b,",
        "a=b=c", "a=b,c=b", "a=b,,c=d", ",a=b", "a=b,b=c,c=d,d=e,e=f,f=g,g=h,h=i,i=j"};
    struct trace_map map;
    (void)state;
    assert_true(trace_map_parse(map_text, &map));
    assert_int_equal(map.count, 2);
    assert_string_equal(map.at[1].column, "GeneratedTokens");
    assert_string_equal(map.at[1].meter, "output_tokens");
    for (size_t i = 0; i < COUNT_OF(wrong); ++i)
        assert_false(trace_map_parse(wrong[i], &map));
}

static void rows_have_times_of_several_forms(void **state)
{
    static const struct {
        const char *time;
        int64_t at_ms; /* -1: refused */
    } cases[] = {
        {        "2023-11-16 18:17:03.9799600", INT64_C(1700158623979)},
        {                "2023-11-16 18:17:03", INT64_C(1700158623000)},
        {             "2023-11-16T18:17:03.9Z", INT64_C(1700158623900)},
        {"2023-11-16T19:17:03.123456789+01:00", INT64_C(1700158623123)},
        {           "\"2023-11-16T18:17:03Z\"", INT64_C(1700158623000)},
        {                      "1700158623979", INT64_C(1700158623979)},
        {                                  "0",                      0},
        {                                   "",                     -1},
        {                          "yesterday",                     -1},
        {                         "2023-11-16",                     -1},
        {                "2023-11-31 18:17:03",                     -1},
        {               "2023-11-16 18:17:03.",                     -1},
        {            "2023-11-16 18:17:03Zulu",                     -1},
        {                                 "-5",                     -1},
        {                    "253402300800000",                     -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        CLEANUP(trace_free) struct trace trace = {0};
        char complaint[TRACE_COMPLAINT_BYTES];
        char text[256];
        (void)snprintf(text, sizeof(text), "TIMESTAMP,ContextTokens,GeneratedTokens\n%s,4808,10\n",
                       cases[i].time);
        const bool is_read = read_text(text, SIZE_MAX, &trace, complaint);
        assert_int_equal(is_read, cases[i].at_ms >= 0);
        if (!is_read) continue;
        assert_int_equal(trace.count, 1);
        assert_int_equal(trace.rows[0].at_ms, cases[i].at_ms);
        assert_int_equal(trace.rows[0].quantity[0], 4808);
        assert_int_equal(trace.rows[0].quantity[1], 10);
    }
}

static void mistakes_are_told_with_their_line(void **state)
{
    static const struct {
        const char *text;
        const char *complaint;
    } cases[] = {
        {                                                               "","no rows, expected a header line and at least one row"                                  },
        {                      "TIMESTAMP,ContextTokens,GeneratedTokens\n",
         "no rows, expected a header line and at least one row"                          },
        {                                 "TIMESTAMP,ContextTokens\n1,2\n",
         "line 1: no column 'GeneratedTokens', expected one for the meter output_tokens (see "
         "--map)"                                                                        },
        {          "TIMESTAMP,ContextTokens,GeneratedTokens\n1,2,3\n4,5\n",
         "line 3: 2 fields, expected 3 as in the header"                                 },
        {              "TIMESTAMP,ContextTokens,GeneratedTokens\n1,-2,3\n",
         "line 2: ContextTokens '-2', expected a whole number below 2^53"                },
        {"TIMESTAMP,ContextTokens,GeneratedTokens\n1,2,9007199254740992\n",
         "line 2: GeneratedTokens '9007199254740992', expected a whole number below 2^53"},
        {            "TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,2,3\n",
         "line 2: time 'noon', expected 2026-05-01T12:00:00Z, 2026-05-01 12:00:00.000 or "
         "milliseconds since 1970"                                                       },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        CLEANUP(trace_free) struct trace trace = {0};
        char complaint[TRACE_COMPLAINT_BYTES];
        assert_false(read_text(cases[i].text, SIZE_MAX, &trace, complaint));
        assert_string_equal(complaint, cases[i].complaint);
    }
}

static void columns_are_found_by_name_and_rows_stop_at_the_limit(void **state)
{
    CLEANUP(trace_free) struct trace trace = {0};
    char complaint[TRACE_COMPLAINT_BYTES];
    (void)state;
    assert_true(read_text("GeneratedTokens,model,time,ContextTokens\r\n"
                          "10,x,1000,20\r\n\r\n11,x,2000,21\r\n12,x,3000,22\r\n",
                          2, &trace, complaint));
    assert_int_equal(trace.count, 2);
    assert_int_equal(trace.rows[1].at_ms, 2000);
    assert_int_equal(trace.rows[1].quantity[0], 21);
    assert_int_equal(trace.rows[1].quantity[1], 11);
}

static void one_seed_gives_one_day(void **state)
{
    CLEANUP(trace_free) struct trace first = {0};
    CLEANUP(trace_free) struct trace again = {0};
    CLEANUP(trace_free) struct trace other = {0};
    (void)state;
    assert_true(trace_generate(3000, 42, &first));
    assert_true(trace_generate(3000, 42, &again));
    assert_true(trace_generate(3000, 43, &other));
    assert_int_equal(first.count, 3000);
    assert_memory_equal(first.rows, again.rows, first.count * sizeof(first.rows[0]));
    assert_memory_not_equal(first.rows, other.rows, first.count * sizeof(first.rows[0]));
    /* Pinned: what other machines must get as well. */
    assert_int_equal(first.rows[0].at_ms, INT64_C(1772409764742));
    assert_int_equal(first.rows[0].quantity[0], 1118);
    assert_int_equal(first.rows[2999].quantity[1], 1735);
}

static int compare_counts(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left;
    const uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void a_day_has_an_order_a_night_and_a_long_tail(void **state)
{
    enum { ROWS = 20000 };
    CLEANUP(trace_free) struct trace trace = {0};
    static uint64_t written[ROWS];
    uint64_t sum = 0;
    size_t at_night = 0;
    (void)state;
    assert_true(trace_generate(ROWS, 7, &trace));
    for (size_t i = 0; i < ROWS; ++i) {
        const struct trace_row *row = &trace.rows[i];
        if (i > 0) assert_true(row->at_ms >= row[-1].at_ms);
        assert_true(row->at_ms - trace.rows[0].at_ms < DAY_MS);
        assert_in_range(row->quantity[0], 16, 128000);
        assert_in_range(row->quantity[1], 1, 16000);
        at_night += row->at_ms % DAY_MS < 6 * HOUR_MS;
        written[i] = row->quantity[1];
        sum += row->quantity[1];
    }
    qsort(written, ROWS, sizeof(written[0]), compare_counts);
    assert_in_range(written[ROWS / 2], 110, 130);
    assert_in_range(sum / ROWS, 170, 250);
    assert_true(written[ROWS - 1] > 1500);
    assert_true(at_night < ROWS / 8);
}

static void normal_numbers_have_mean_zero_and_deviation_one(void **state)
{
    enum { DRAWS = 100000 };
    struct prng prng = {.state = 99};
    int64_t sum = 0;
    int64_t squares = 0;
    (void)state;
    for (int i = 0; i < DRAWS; ++i) {
        const int64_t draw = generate_normal(&prng);
        sum += draw;
        squares += draw * draw >> 16;
    }
    assert_true(llabs(sum / DRAWS) < 65536 / 50);
    assert_in_range(squares / DRAWS, 64000, 67000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_columns_and_meters),
        cmocka_unit_test(rows_have_times_of_several_forms),
        cmocka_unit_test(mistakes_are_told_with_their_line),
        cmocka_unit_test(columns_are_found_by_name_and_rows_stop_at_the_limit),
        cmocka_unit_test(one_seed_gives_one_day),
        cmocka_unit_test(a_day_has_an_order_a_night_and_a_long_tail),
        cmocka_unit_test(normal_numbers_have_mean_zero_and_deviation_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
