#include "base/ids.h"

#include "base/prng.h"
#include "base/testing.h"

static void positions_come_apart_as_they_were_made(void **state)
{
    (void)state;
    const struct {
        uint64_t sequence;
        uint32_t index;
    } rows[] = {
        {                    0,                  0},
        {                    3,                257},
        {POSITION_SEQUENCE_MAX,                  0},
        {POSITION_SEQUENCE_MAX, POSITION_INDEX_MAX},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        const uint64_t position = position_make(rows[row].sequence, rows[row].index);
        assert_true(position <= INT64_MAX);
        assert_true(position_sequence(position) == rows[row].sequence);
        assert_int_equal(position_index(position), rows[row].index);
    }
    expect_assert_failure((void)position_make(POSITION_SEQUENCE_MAX + 1, 0));
    expect_assert_failure((void)position_make(0, POSITION_INDEX_MAX + 1));
}

static void ids_have_one_spelling(void **state)
{
    (void)state;
    const struct {
        char letter;
        uint64_t number;
        const char *text;
    } rows[] = {
        {'d', position_make(3,              257), "d_0000000000c81"},
        {'g',               0, "g_0000000000000"                  },
        {'d',              31, "d_000000000000z"                  },
        {'d',       INT64_MAX, "d_7zzzzzzzzzzzz"                  },
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        char text[ID_TEXT_SIZE];
        uint64_t number = 77;
        id_format(rows[row].letter, rows[row].number, text);
        assert_string_equal(text, rows[row].text);
        assert_true(id_parse(rows[row].letter, bytes_of_text(text), &number));
        assert_true(number == rows[row].number);
    }
    char text[ID_TEXT_SIZE];
    expect_assert_failure(id_format('d', (uint64_t)INT64_MAX + 1, text));
}

static void any_number_survives_its_text(void **state)
{
    (void)state;
    struct prng prng = {1};
    for (unsigned round = 0; round < 20000; round++) {
        const uint64_t number = prng_next(&prng) >> 1 >> prng_below(&prng, 63);
        char text[ID_TEXT_SIZE];
        uint64_t parsed = 0;
        id_format('h', number, text);
        assert_int_equal(strlen(text), ID_TEXT_LENGTH);
        assert_true(id_parse('h', bytes_of_text(text), &parsed));
        assert_true(parsed == number);
    }
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    const char *rows[] = {
        "",                 /* nothing */
        "d",                /* too short */
        "d_000000000000",   /* a digit short */
        "d_00000000000000", /* a digit long */
        "g_0000000000000",  /* another letter */
        "d-0000000000000",  /* no underscore */
        "d_000000000000Z",  /* upper case */
        "d_000000000000i",  /* the four letters Crockford leaves out */
        "d_000000000000l",
        "d_000000000000o",
        "d_000000000000u",
        "d_000000000000 ",
        "d_000000-000000",
        "d_8000000000000", /* 2^63 */
        "d_z000000000000",
        " d_000000000000",
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint64_t number = 77;
        assert_false(id_parse('d', bytes_of_text(rows[row]), &number));
        assert_int_equal(number, 77);
    }
    uint64_t number = 77;
    assert_false(id_parse('d', BYTES("d_000000\0000000"), &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_come_apart_as_they_were_made),
        cmocka_unit_test(ids_have_one_spelling),
        cmocka_unit_test(any_number_survives_its_text),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
