/*
 * load_test.c: who sends what, what is estimated, how it is summed and judged.
 */
#include "main/load.h"

#include "base/testing.h"
#include "main/answer.h"

static void customers_share_rows_by_zipf_the_same_for_one_seed(void **state)
{
    enum { ROWS = 60000, CUSTOMERS = 50 };
    static uint32_t first[ROWS];
    static uint32_t again[ROWS];
    uint32_t rows_of[CUSTOMERS] = {0};
    struct load_settings settings = {
        .customers = CUSTOMERS, .seed = 5, .zipf_nano = NANO_PER_CREDIT};
    (void)state;
    assert_true(load_assign_customers(&settings, ROWS, first));
    assert_true(load_assign_customers(&settings, ROWS, again));
    assert_memory_equal(first, again, sizeof(first));
    for (size_t i = 0; i < ROWS; ++i)
        ++rows_of[first[i]];
    /* H(50) = 4.499: the first sends 13,336, the second half of that, the last a fiftieth. */
    assert_in_range(rows_of[0], 12900, 13800);
    assert_in_range(rows_of[1], 6400, 6950);
    assert_in_range(rows_of[49], 200, 340);

    settings.is_uniform = true;
    memset(rows_of, 0, sizeof(rows_of));
    assert_true(load_assign_customers(&settings, ROWS, first));
    for (size_t i = 0; i < ROWS; ++i)
        ++rows_of[first[i]];
    for (size_t i = 0; i < CUSTOMERS; ++i)
        assert_in_range(rows_of[i], 1000, 1400);
}

static void estimates_are_round_and_follow_the_rows_before(void **state)
{
    uint64_t mean_256ths = UINT64_C(256) * 256;
    (void)state;
    assert_int_equal(load_estimate(mean_256ths, 2 * NANO_PER_CREDIT), 512);
    assert_int_equal(load_estimate(mean_256ths, NANO_PER_CREDIT / 2), 128);
    assert_int_equal(load_estimate(0, NANO_PER_CREDIT), 1);
    for (int i = 0; i < 1000; ++i)
        mean_256ths = load_mean_after(mean_256ths, 30);
    assert_in_range(mean_256ths / 256, 29, 31);
    assert_int_equal(load_estimate(mean_256ths, 2 * NANO_PER_CREDIT), 64);
}

static void percentiles_are_exact(void **state)
{
    CLEANUP(load_tally_free) struct load_tally tally;
    (void)state;
    assert_true(load_tally_begin(&tally, 1000));
    assert_int_equal(load_latencies_at(&tally.commit, 99000), 0);
    for (int64_t i = 1000; i >= 1; --i)
        load_latencies_add(&tally.authorize, i * 1000);
    load_tally_order(&tally);
    assert_int_equal(load_latencies_at(&tally.authorize, 50000), 500);
    assert_int_equal(load_latencies_at(&tally.authorize, 99900), 999);
    assert_int_equal(load_latencies_at(&tally.authorize, 100000), 1000);
}

static void sources_are_summed_and_ordered_as_money_runs(void **state)
{
    CLEANUP(load_tally_free) struct load_tally tally;
    static const struct load_source lines[] = {
        {    .name = "overage",   .kind = "overage", .rows = 1, .units = 5, .charged = 5 },
        {       .name = "paid",     .kind = "grant", .rows = 1, .units = 3, .charged = 3 },
        {   .name = "included", .kind = "allowance", .rows = 1, .units = 2             },
        {       .name = "paid",     .kind = "grant", .rows = 1, .units = 4, .charged = 4},
        {.name = "promotional",     .kind = "grant", .rows = 1, .units = 1, .charged = 1                     },
    };
    static const char *const order[] = {"included", "promotional", "paid", "overage"};
    (void)state;
    assert_true(load_tally_begin(&tally, 1));
    for (size_t i = 0; i < COUNT_OF(lines); ++i)
        load_tally_source(&tally, &lines[i]);
    load_tally_order(&tally);
    assert_int_equal(tally.source_count, COUNT_OF(order));
    for (size_t i = 0; i < COUNT_OF(order); ++i)
        assert_string_equal(tally.sources[i].name, order[i]);
    assert_int_equal(tally.sources[2].rows, 2);
    assert_int_equal(tally.sources[2].charged, 7);
}

static void names_past_the_tables_end_keep_the_totals_true(void **state)
{
    CLEANUP(load_tally_free) struct load_tally tally;
    uint64_t rows = 0;
    uint64_t codes = 0;
    (void)state;
    assert_true(load_tally_begin(&tally, 1));
    for (int i = 0; i < 100; ++i) {
        struct load_source line = {.kind = "grant", .rows = 1};
        (void)snprintf(line.name, sizeof(line.name), "source %d", i);
        load_tally_source(&tally, &line);
        load_tally_code(&tally.denials, line.name, "");
    }
    for (uint32_t i = 0; i < tally.source_count; ++i)
        rows += tally.sources[i].rows;
    for (uint32_t i = 0; i < tally.denials.count; ++i)
        codes += tally.denials.at[i].rows;
    assert_int_equal(rows, 100);
    assert_int_equal(codes, 100);
}

static void the_audit_finds_who_moved_by_something_else(void **state)
{
    static const struct load_customer customers[] = {
        { .is_used = true, .before = {.available = 10},   .after = {.available = 7}, .charged = 3},
        {.is_used = false, .before = {.available = 10}                            },
        { .is_used = true, .before = {.available = 10},   .after = {.available = 6}, .charged = 3},
        { .is_used = true,        .after = {.held = 1}                            },
        { .is_used = true,          .is_spoiled = true, .before = {.available = 10}             },
    };
    const struct load_settings settings = {.customers = COUNT_OF(customers)};
    (void)state;
    const struct load_verdict verdict = load_audit(&settings, customers);
    assert_int_equal(verdict.customers, 4);
    assert_int_equal(verdict.differing, 2);
    assert_int_equal(verdict.first_differing, 2);
    assert_int_equal(verdict.spoiled, 1);
    assert_int_equal(verdict.moved, 7);
    assert_int_equal(verdict.charged, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(customers_share_rows_by_zipf_the_same_for_one_seed),
        cmocka_unit_test(estimates_are_round_and_follow_the_rows_before),
        cmocka_unit_test(percentiles_are_exact),
        cmocka_unit_test(sources_are_summed_and_ordered_as_money_runs),
        cmocka_unit_test(names_past_the_tables_end_keep_the_totals_true),
        cmocka_unit_test(the_audit_finds_who_moved_by_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
