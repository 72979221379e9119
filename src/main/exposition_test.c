/*
 * exposition_test.c: samples read and asked, against small pages written by hand.
 */
#include "main/exposition.h"

#include <math.h>

#include "base/testing.h"

#define ANY ((struct label_wanted){NULL, NULL})
#define IS(name, word) ((struct label_wanted){.label = (name), .value = (word)})

static const char early[] =
    "# HELP weir_decisions_total Decisions.\n"
    "# TYPE weir_decisions_total counter\n"
    "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"} 10\n"
    "weir_decisions_total{feature=\"a \\\"b\\\" {c}\",outcome=\"deny\",reason=\"suspended\"} 4\n"
    "weir_uptime_seconds 12.5\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"0.001\"} 0\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"0.002\"} 10\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"+Inf\"} 10\n";

static const char late[] =
    "weir_decisions_total{feature=\"chat\",outcome=\"allow\",reason=\"ok\"} 25\n"
    "weir_decisions_total{feature=\"chat\",outcome=\"deny\",reason=\"suspended\"} 2\n"
    "weir_decisions_total{feature=\"a \\\"b\\\" {c}\",outcome=\"deny\",reason=\"suspended\"} 4\n"
    "weir_uptime_seconds 13.5\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"0.001\"} 80\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"0.002\"} 109\n"
    "weir_request_seconds_bucket{call=\"POST /v1/consume\",le=\"+Inf\"} 110";

static struct exposition page(const char *text)
{
    struct exposition exposition;
    assert_true(exposition_read(text, &exposition));
    return exposition;
}

static void samples_are_read_with_their_labels(void **state)
{
    struct exposition now = page(early);
    char value[32];
    char little[4];
    (void)state;
    assert_int_equal(now.count, 6);
    assert_string_equal(now.samples[2].name, "weir_uptime_seconds");
    assert_true(now.samples[2].value == 12.5);
    assert_true(sample_label(&now.samples[1], "feature", value, sizeof(value)));
    assert_string_equal(value, "a \"b\" {c}");
    assert_true(sample_label(&now.samples[1], "reason", little, sizeof(little)));
    assert_string_equal(little, "sus");
    assert_false(sample_label(&now.samples[1], "out", value, sizeof(value)));
    assert_false(sample_label(&now.samples[2], "feature", value, sizeof(value)));
    exposition_free(&now);
}

static void what_is_no_exposition_is_refused(void **state)
{
    static const char *const texts[] = {"<html>", "name", "name{label=\"x\" 1", "name{} x", "{} 1"};
    struct exposition exposition;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); ++i)
        assert_false(exposition_read(texts[i], &exposition));
}

static void sums_and_growth_are_of_what_has_the_labels(void **state)
{
    static const char name[] = "weir_decisions_total";
    struct exposition before = page(early);
    struct exposition now = page(late);
    (void)state;
    assert_true(exposition_sum(&now, name, ANY, ANY) == 31);
    assert_true(exposition_sum(&now, name, IS("outcome", "deny"), ANY) == 6);
    assert_true(exposition_sum(&now, name, IS("outcome", "deny"), IS("feature", "chat")) == 2);
    assert_true(exposition_sum(&now, name, IS("nothing", NULL), ANY) == 0);
    assert_true(exposition_growth(&before, &now, name, ANY, ANY) == 17);
    assert_true(exposition_growth(NULL, &now, name, ANY, ANY) == 31);
    exposition_free(&before);
    exposition_free(&now);
}

static void a_counter_that_fell_began_anew(void **state)
{
    struct exposition before = page(late);
    struct exposition now = page(early);
    (void)state;
    assert_true(exposition_growth(&before, &now, "weir_decisions_total", ANY, ANY) == 14);
    assert_true(
        fabs(exposition_quantile(&before, &now, "weir_request_seconds", ANY, 0.5) - 0.0015) < 1e-9);
    exposition_free(&before);
    exposition_free(&now);
}

static void quantiles_are_of_the_growth_and_even_within_a_bucket(void **state)
{
    static const char name[] = "weir_request_seconds";
    struct exposition before = page(early);
    struct exposition now = page(late);
    const struct label_wanted call = IS("call", "POST /v1/consume");
    (void)state;
    /* 100 more: 80 up to 1 ms, 19 up to 2 ms, one beyond */
    assert_true(fabs(exposition_quantile(&before, &now, name, call, 0.4) - 0.0005) < 1e-9);
    assert_true(fabs(exposition_quantile(&before, &now, name, call, 0.99) - 0.002) < 1e-9);
    assert_true(exposition_quantile(&before, &now, name, call, 1.0) == 0.002);
    assert_true(isnan(exposition_quantile(&now, &now, name, call, 0.5)));
    assert_true(isnan(exposition_quantile(&before, &now, name, IS("call", "GET /"), 0.5)));
    exposition_free(&before);
    exposition_free(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_read_with_their_labels),
        cmocka_unit_test(what_is_no_exposition_is_refused),
        cmocka_unit_test(sums_and_growth_are_of_what_has_the_labels),
        cmocka_unit_test(a_counter_that_fell_began_anew),
        cmocka_unit_test(quantiles_are_of_the_growth_and_even_within_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
