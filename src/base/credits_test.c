#include "base/credits.h"

#include "base/numbers.h"
#include "base/prng.h"
#include "base/testing.h"

/* A2 */
static void amounts_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    const struct {
        int64_t nano;
        const char *text;
    } rows[] = {
        {                  0,                     "0"},
        {    NANO_PER_CREDIT,                     "1"},
        {6 * NANO_PER_CREDIT,                     "6"},
        {          500000000,                   "0.5"},
        {        -1250000000,                 "-1.25"},
        {                  1,           "0.000000001"},
        {                 -1,          "-0.000000001"},
        {                 10,            "0.00000001"},
        {        10000000010,           "10.00000001"},
        {          INT64_MAX,  "9223372036.854775807"},
        {          INT64_MIN, "-9223372036.854775808"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        char text[CREDITS_TEXT_SIZE];
        int64_t nano = 77;
        assert_int_equal(credits_format(rows[row].nano, text), strlen(rows[row].text));
        assert_string_equal(text, rows[row].text);
        assert_true(credits_parse(bytes_of_text(text), &nano));
        assert_true(nano == rows[row].nano);
    }
}

static void longer_forms_are_read_too(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t nano;
    } rows[] = {
        {                             "6.0", 6 * NANO_PER_CREDIT},
        {                     "6.500000000",          6500000000},
        {                             "007", 7 * NANO_PER_CREDIT},
        {                              "-0",                   0},
        {                            "-0.0",                   0},
        {"00000000000000000000000000000001",     NANO_PER_CREDIT},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t nano = 77;
        assert_true(credits_parse(bytes_of_text(rows[row].text), &nano));
        assert_true(nano == rows[row].nano);
    }
}

static void malformed_and_outsized_amounts_are_refused(void **state)
{
    (void)state;
    const char *rows[] = {
        "",
        "-",
        ".",
        "-.",
        "1.",
        ".5",
        "-.5",
        "+1",
        "--1",
        "1-",
        " 1",
        "1 ",
        "1e3",
        "0x1",
        "1,5",
        "1.2.3",
        "1..2",
        "1.0000000000", /* ten digits, though all are zero */
        "1.-5",
        "nan",
        "9223372036.854775808",
        "-9223372036.854775809",
        "9223372037",
        "18446744073.709551616",
        "99999999999999999999",
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t nano = 77;
        assert_false(credits_parse(bytes_of_text(rows[row]), &nano));
        assert_int_equal(nano, 77);
    }
    int64_t nano = 77;
    assert_false(credits_parse(BYTES("1\0"), &nano));
    assert_false(credits_parse(BYTES_NONE, &nano));
}

static void what_is_too_large_is_well_formed(void **state)
{
    (void)state;
    static const char *const formed[] = {"9223372036.854775808",
                                         "-9223372036.854775809",
                                         "99999999999999999999",
                                         "99999999999999999999.000000001",
                                         "0",
                                         "-1.25"};
    static const char *const malformed[] = {"",
                                            "-",
                                            ".5",
                                            "5.",
                                            "99999999999999999999.",
                                            "1..2",
                                            "1e3",
                                            "+1",
                                            " 1",
                                            "99999999999999999999x",
                                            "1.0000000000"};
    for (size_t row = 0; row < COUNT_OF(formed); row++)
        assert_true(credits_has_form(bytes_of_text(formed[row])));
    for (size_t row = 0; row < COUNT_OF(malformed); row++)
        assert_false(credits_has_form(bytes_of_text(malformed[row])));
    assert_false(credits_has_form(BYTES_NONE));
}

static void any_amount_survives_its_text(void **state)
{
    (void)state;
    struct prng prng = {1};
    for (unsigned round = 0; round < 50000; round++) {
        int64_t nano = (int64_t)(prng_next(&prng) >> prng_below(&prng, 64));
        if (prng_below(&prng, 2) == 0) nano -= nano % NANO_PER_CREDIT;
        char text[CREDITS_TEXT_SIZE];
        int64_t parsed = 0;
        const unsigned length = credits_format(nano, text);
        assert_int_equal(strlen(text), length);
        assert_true(credits_parse((struct bytes){(const uint8_t *)text, length}, &parsed));
        assert_true(parsed == nano);
    }
}

static void sums_of_credits_are_written_to_the_last_digit(void **state)
{
    (void)state;
    static const struct {
        struct sum nano;
        const char *text;
    } rows[] = {
        {                  {0, 0},                                      "0"},
        {                  {1, 1},                   "1000000000.000000001"},
        {           {-5, -999999},             "-999999000000000.000000005"},
        {                {0, 123},                           "123000000000"},
        {{SUM_E18 - 1, INT64_MAX}, "9223372036854775807999999999.999999999"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint8_t block[64];
        struct buffer buffer = buffer_over(block, sizeof block);
        credits_put(&buffer, sum_value(rows[row].nano));
        assert_int_equal(buffer.used, strlen(rows[row].text));
        assert_memory_equal(block, rows[row].text, buffer.used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_written_in_their_shortest_form),
        cmocka_unit_test(longer_forms_are_read_too),
        cmocka_unit_test(malformed_and_outsized_amounts_are_refused),
        cmocka_unit_test(any_amount_survives_its_text),
        cmocka_unit_test(sums_of_credits_are_written_to_the_last_digit),
        cmocka_unit_test(what_is_too_large_is_well_formed),
    };
    return cmocka_run_group_tests_name("credits", tests, NULL, NULL);
}
