/*
 * top_test.c: figures out of two readings, and a frame cut to a screen.
 */
#include "main/top.h"

#include <math.h>

#include "base/base.h"
#include "base/testing.h"

static const char before_text[] =
    "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"} 10\n"
    "weir_decisions_total{feature=\"chat\",outcome=\"deny\",reason=\"suspended\"} 90\n"
    "weir_request_seconds_count{call=\"GET /healthz\"} 5\n";
static const char now_text[] =
    "weir_decisions_total{feature=\"idle\",outcome=\"allow\",reason=\"ok\"} 0\n"
    "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"} 30\n"
    "weir_decisions_total{feature=\"chat\",outcome=\"deny\",reason=\"suspended\"} 90\n"
    "weir_decisions_total{feature=\"code\",outcome=\"deny\",reason=\"rate_limited\"} 8\n"
    "weir_request_seconds_count{call=\"GET /healthz\"} 5\n"
    "weir_journal_batches_total 0\n"
    "weir_condition{condition=\"calm\"} 0\n"
    "weir_condition{condition=\"snapshots_fail\"} 1\n";

struct readings {
    struct exposition before;
    struct exposition now;
};

static void read_both(struct readings *readings)
{
    assert_true(exposition_read(before_text, &readings->before));
    assert_true(exposition_read(now_text, &readings->now));
}

static void free_both(struct readings *readings)
{
    exposition_free(&readings->before);
    exposition_free(&readings->now);
}

static void rates_are_growth_over_time_and_the_busiest_comes_first(void **state)
{
    struct readings readings;
    struct top_figures figures;
    (void)state;
    read_both(&readings);
    top_figure(&readings.before, &readings.now, 2.0, &figures);
    assert_true(figures.outcomes[TOP_ALLOW].rate == 10);
    assert_true(figures.outcomes[TOP_ALLOW].total == 30);
    assert_true(figures.outcomes[TOP_DENY].rate == 4);
    assert_true(figures.outcomes[TOP_DENY].total == 98);
    assert_int_equal(figures.reason_count, 2);
    assert_string_equal(figures.reasons[0].name, "rate_limited"); /* now, the other ever */
    assert_int_equal(figures.feature_count, 2);                   /* idle has none */
    assert_string_equal(figures.features[0].name, "chat");
    assert_true(figures.features[0].denied_rate == 0);
    assert_int_equal(figures.call_count, 0); /* not called in between */
    assert_true(isnan(figures.batch_entries));
    assert_int_equal(figures.condition_count, 1);
    assert_string_equal(figures.conditions[0], "snapshots_fail");
    free_both(&readings);
}

static void with_one_reading_there_are_totals_and_no_rates(void **state)
{
    struct readings readings;
    struct top_figures figures;
    (void)state;
    read_both(&readings);
    top_figure(NULL, &readings.now, 0, &figures);
    assert_true(isnan(figures.outcomes[TOP_ALLOW].rate));
    assert_true(figures.outcomes[TOP_ALLOW].total == 30);
    assert_string_equal(figures.reasons[0].name, "suspended");
    assert_true(isnan(figures.batches_rate));
    free_both(&readings);
}

static void the_customers_who_ask_most_are_kept(void **state)
{
    char text[4096];
    struct top_customers customers = {0};
    int used = snprintf(text, sizeof(text), "{\"next\":\"more\",\"usage\":[");
    (void)state;
    for (int i = 0; i < 12; ++i)
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "%s{\"customer\":\"c%d\",\"requests\":%d,\"denied\":1,\"charged\":\"2\"}",
                         i > 0 ? "," : "", i, i * 7 % 12);
    (void)snprintf(text + used, sizeof(text) - (size_t)used, "]}");
    CLEANUP(answer_free) yajl_val usage = answer_parse(text);
    top_customers_take(&customers, usage);
    assert_int_equal(customers.count, TOP_CUSTOMERS_MAX);
    assert_true(customers.is_cut);
    for (uint32_t i = 0; i < customers.count; ++i)
        assert_int_equal(customers.at[i].requests, 11 - i);
    assert_string_equal(customers.at[0].name, "c5"); /* 35 mod 12 */
    assert_int_equal(customers.at[0].charged, INT64_C(2000000000));
}

static void a_frame_is_cut_at_the_screen_and_its_colours_take_no_room(void **state)
{
    char written[256] = "";
    FILE *file = fmemopen(written, sizeof(written), "w");
    (void)state;
    assert_non_null(file);
    top_frame(file, "\033[31mred line\033[0m\ncaf\xc3\xa9s\nthird\n",
              &(struct top_screen){.rows = 3, .columns = 4, .last = "leave"});
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, "\033[H\033[31mred \033[0m\033[K\ncaf\xc3\xa9\033[K\nleav\033[K"
                                 "\033[0m\033[J");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_growth_over_time_and_the_busiest_comes_first),
        cmocka_unit_test(with_one_reading_there_are_totals_and_no_rates),
        cmocka_unit_test(the_customers_who_ask_most_are_kept),
        cmocka_unit_test(a_frame_is_cut_at_the_screen_and_its_colours_take_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
