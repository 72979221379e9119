#include "base/bytes.h"

#include "base/prng.h"
#include "base/testing.h"

static void views_compare_as_memory_does(void **state)
{
    (void)state;
    const struct {
        struct bytes left, right;
        int sign;
    } rows[] = {
        {   BYTES_NONE,    BYTES_NONE,  0},
        {   BYTES_NONE,    BYTES("a"), -1},
        {   BYTES("a"),    BYTES_NONE,  1},
        {  BYTES("ab"),   BYTES("ab"),  0},
        {  BYTES("ab"),  BYTES("abc"), -1},
        {  BYTES("ac"),  BYTES("abc"),  1},
        {BYTES("\x7f"), BYTES("\x80"), -1},
        {BYTES("a\0b"), BYTES("a\0c"), -1},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        const int order = bytes_compare(rows[row].left, rows[row].right);
        assert_int_equal((order > 0) - (order < 0), rows[row].sign);
        assert_int_equal(bytes_equal(rows[row].left, rows[row].right), rows[row].sign == 0);
    }
    assert_true(bytes_equal(bytes_of_text("weir"), BYTES("weir")));
    assert_int_equal(bytes_of_text("").length, 0);
}

static void utf8_is_what_rfc_3629_allows(void **state)
{
    (void)state;
    const struct {
        struct bytes text;
        bool valid;
    } rows[] = {
        {                     BYTES_NONE,  true},
        {                 BYTES("plain"),  true},
        {                    BYTES("\0"),  true},
        {                  BYTES("\x7f"),  true},
        {                  BYTES("\x80"), false}, /* a continuation alone */
        {                  BYTES("\xbf"), false},
        {              BYTES("\xc0\x80"), false}, /* overlong */
        {              BYTES("\xc1\xbf"), false},
        {              BYTES("\xc2\x80"),  true}, /* U+0080 */
        {              BYTES("\xdf\xbf"),  true}, /* U+07FF */
        {                  BYTES("\xc2"), false}, /* cut */
        {              BYTES("\xc2\x7f"), false},
        {              BYTES("\xc2\xc2"), false},
        {          BYTES("\xe0\x9f\xbf"), false}, /* overlong */
        {          BYTES("\xe0\xa0\x80"),  true}, /* U+0800 */
        {          BYTES("\xed\x9f\xbf"),  true}, /* U+D7FF */
        {          BYTES("\xed\xa0\x80"), false}, /* U+D800 */
        {          BYTES("\xed\xbf\xbf"), false}, /* U+DFFF */
        {          BYTES("\xee\x80\x80"),  true}, /* U+E000 */
        {          BYTES("\xef\xbf\xbf"),  true}, /* U+FFFF */
        {              BYTES("\xe2\x82"), false},
        {          BYTES("\xe2\x82\x41"), false},
        {      BYTES("\xf0\x8f\xbf\xbf"), false}, /* overlong */
        {      BYTES("\xf0\x90\x80\x80"),  true}, /* U+10000 */
        {      BYTES("\xf4\x8f\xbf\xbf"),  true}, /* U+10FFFF */
        {      BYTES("\xf4\x90\x80\x80"), false}, /* beyond */
        {      BYTES("\xf5\x80\x80\x80"), false},
        {          BYTES("\xf0\x9f\x98"), false},
        {      BYTES("\xf0\x9f\x98\x41"), false},
        {                  BYTES("\xff"), false},
        {                  BYTES("\xfe"), false},
        {BYTES("a\xf0\x9f\x98\x80z\xc3"), false}, /* valid until the last byte */
        {    BYTES("a\xf0\x9f\x98\x80z"),  true},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++)
        assert_int_equal(bytes_is_utf8(rows[row].text), rows[row].valid);
}

/* Every code point written by the encoding table is valid; nothing else of 1 to 3 bytes is. */
static void utf8_accepts_exactly_the_code_points(void **state)
{
    (void)state;
    static uint8_t valid[1u << 24];
    memset(valid, 0, sizeof valid);
    for (uint32_t point = 0; point < 0x10000; point++) {
        if (point >= 0xd800 && point <= 0xdfff) continue;
        uint32_t code = point;
        if (point >= 0x800)
            code = (0xe0 | point >> 12) << 16 | (0x80 | (point >> 6 & 0x3f)) << 8 |
                   (0x80 | (point & 0x3f));
        else if (point >= 0x80)
            code = (0xc0 | point >> 6) << 8 | (0x80 | (point & 0x3f));
        valid[code] = 1;
    }
    for (uint32_t code = 0; code < 1u << 24; code++) {
        const uint8_t three[3] = {(uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code};
        const size_t length = code >> 16 != 0 ? 3 : code >> 8 != 0 ? 2 : 1;
        if (three[3 - length] < 0x80 && length > 1) continue; /* several characters */
        const bool answer = bytes_is_utf8((struct bytes){three + 3 - length, length});
        /* Three bytes may also be a character of two and one of one. */
        const bool pair = length == 3 && valid[code >> 8] && code >> 16 != 0 && three[2] < 0x80;
        if (answer != (valid[code] || pair)) fail_msg("bytes %06x", code);
    }
}

static void numbers_are_written_as_leb128(void **state)
{
    (void)state;
    const struct {
        uint64_t value;
        struct bytes varint;
    } rows[] = {
        {                      0,                                     BYTES("\x00")},
        {                    127,                                     BYTES("\x7f")},
        {                    128,                                 BYTES("\x80\x01")},
        {                    300,                                 BYTES("\xac\x02")},
        {                  16383,                                 BYTES("\xff\x7f")},
        {                  16384,                             BYTES("\x80\x80\x01")},
        {(UINT64_C(1) << 63) - 1,     BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
        {      UINT64_C(1) << 63, BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
        {             UINT64_MAX, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint8_t block[10];
        struct buffer buffer = buffer_over(block, sizeof block);
        buffer_put_unsigned(&buffer, rows[row].value);
        assert_true(bytes_equal(buffer_bytes(&buffer), rows[row].varint));
        struct reader reader = reader_over(buffer_bytes(&buffer));
        assert_true(reader_take_unsigned(&reader) == rows[row].value);
        assert_true(reader_is_done(&reader));
    }
}

static void small_signed_numbers_are_short(void **state)
{
    (void)state;
    const struct {
        int64_t value;
        uint64_t folded;
    } rows[] = {
        {        0,              0},
        {       -1,              1},
        {        1,              2},
        {       -2,              3},
        {INT64_MAX, UINT64_MAX - 1},
        {INT64_MIN,     UINT64_MAX},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint8_t block[10];
        struct buffer buffer = buffer_over(block, sizeof block);
        buffer_put_signed(&buffer, rows[row].value);
        struct reader as_unsigned = reader_over(buffer_bytes(&buffer));
        assert_true(reader_take_unsigned(&as_unsigned) == rows[row].folded);
        struct reader as_signed = reader_over(buffer_bytes(&buffer));
        assert_true(reader_take_signed(&as_signed) == rows[row].value);
    }
}

static void second_spellings_of_a_number_are_bad(void **state)
{
    (void)state;
    const struct bytes rows[] = {
        BYTES_NONE,
        BYTES("\x80"),                                             /* cut */
        BYTES("\xff\xff"),                                         /* cut */
        BYTES("\x80\x00"),                                         /* 0 in two bytes */
        BYTES("\xff\x00"),                                         /* 127 in two bytes */
        BYTES("\x80\x80\x00"),                                     /* 0 in three */
        BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),         /* 65 bits */
        BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),         /* 70 bits */
        BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"),     /* an eleventh byte */
        BYTES("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), /* beyond any number */
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct reader reader = reader_over(rows[row]);
        assert_int_equal(reader_take_unsigned(&reader), 0);
        assert_true(reader.bad);
    }
}

/* Whatever bytes read as a number are exactly the bytes that writing it gives. */
static void what_reads_well_writes_the_same_bytes(void **state)
{
    (void)state;
    struct prng prng = {1};
    unsigned well_read = 0;
    for (unsigned round = 0; round < 50000; round++) {
        uint8_t input[11];
        for (size_t place = 0; place < sizeof input; place++) {
            /* Mostly the bytes in which varints go wrong. */
            const uint8_t edges[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0x81, 0xff, 0xfe};
            input[place] = prng_below(&prng, 4) == 0 ? (uint8_t)prng_next(&prng)
                                                     : edges[prng_below(&prng, COUNT_OF(edges))];
            if (place < 9 && prng_below(&prng, 4) != 0) input[place] |= 0x80;
        }
        struct reader reader = reader_over((struct bytes){input, sizeof input});
        const uint64_t value = reader_take_unsigned(&reader);
        if (reader.bad) continue;
        well_read++;
        uint8_t block[10];
        struct buffer buffer = buffer_over(block, sizeof block);
        buffer_put_unsigned(&buffer, value);
        assert_int_equal(buffer.used, reader.at - input);
        assert_memory_equal(block, input, buffer.used);
    }
    assert_true(well_read > 1000);
}

static void a_straight_list_of_puts_reads_back(void **state)
{
    (void)state;
    uint8_t block[64];
    struct buffer buffer = buffer_over(block, sizeof block);
    buffer_put_byte(&buffer, 7);
    buffer_put_unsigned(&buffer, 1000000);
    buffer_put_bytes(&buffer, BYTES("alice"));
    buffer_put_bytes(&buffer, BYTES_NONE);
    buffer_put_signed(&buffer, -5);
    assert_false(buffer.overflowed);

    struct reader reader = reader_over(buffer_bytes(&buffer));
    assert_int_equal(reader_take_byte(&reader), 7);
    assert_int_equal(reader_take_unsigned(&reader), 1000000);
    assert_true(bytes_equal(reader_take_bytes(&reader), BYTES("alice")));
    assert_int_equal(reader_take_bytes(&reader).length, 0);
    assert_false(reader_is_done(&reader));
    assert_int_equal(reader_take_signed(&reader), -5);
    assert_true(reader_is_done(&reader));

    assert_int_equal(reader_take_byte(&reader), 0);
    assert_false(reader_is_done(&reader));
}

static void a_bad_reader_gives_only_zeros(void **state)
{
    (void)state;
    /* A length of 9 before 3 bytes. */
    struct reader reader = reader_over(BYTES("\x09\x01\x02\x03"));
    assert_int_equal(reader_take_bytes(&reader).length, 0);
    assert_true(reader.bad);
    assert_int_equal(reader_take_byte(&reader), 0);
    assert_int_equal(reader_take_unsigned(&reader), 0);
    assert_int_equal(reader_take_signed(&reader), 0);
    assert_int_equal(reader_take_bytes(&reader).length, 0);
    assert_false(reader_is_done(&reader));

    struct reader huge = reader_over(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01zz"));
    assert_int_equal(reader_take_bytes(&huge).length, 0);
    assert_true(huge.bad);
}

static void an_overflowing_buffer_keeps_a_clean_front(void **state)
{
    (void)state;
    uint8_t block[8];
    memset(block, 0xee, sizeof block);
    struct buffer buffer = buffer_over(block, 4);
    buffer_put_text(&buffer, "abc");
    buffer_put_text(&buffer, "de");
    assert_true(buffer.overflowed);
    buffer_put_byte(&buffer, 'f');
    buffer_put_unsigned(&buffer, 1);
    buffer_put_decimal(&buffer, 1);
    assert_true(bytes_equal(buffer_bytes(&buffer), BYTES("abc")));
    for (size_t place = 3; place < sizeof block; place++)
        assert_int_equal(block[place], 0xee);

    struct buffer exact = buffer_over(block, 3);
    buffer_put_text(&exact, "abc");
    buffer_put(&exact, NULL, 0);
    assert_false(exact.overflowed);
    buffer_put_byte(&exact, 'd');
    assert_true(exact.overflowed);

    struct buffer none = buffer_over(NULL, 0);
    buffer_put(&none, NULL, 0);
    assert_false(none.overflowed);
    assert_int_equal(buffer_bytes(&none).length, 0);
    buffer_put_unsigned(&none, 300);
    assert_true(none.overflowed);
}

static void decimals_have_no_leading_zeros(void **state)
{
    (void)state;
    const struct {
        uint64_t value;
        const char *text;
    } rows[] = {
        {         0,                    "0"},
        {         9,                    "9"},
        {        10,                   "10"},
        {UINT64_MAX, "18446744073709551615"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint8_t block[20];
        struct buffer buffer = buffer_over(block, sizeof block);
        buffer_put_decimal(&buffer, rows[row].value);
        assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of_text(rows[row].text)));
    }
}

static void hex_is_two_lower_case_digits_a_byte(void **state)
{
    (void)state;
    uint8_t block[24];
    const uint8_t bytes[] = {0x00, 0x9a, 0xff, 0x10};
    struct buffer buffer = buffer_over(block, sizeof block);
    buffer_put_hex(&buffer, (struct bytes){bytes, sizeof bytes});
    buffer_put_hex_number(&buffer, UINT64_C(0x0123456789abcdef));
    assert_true(bytes_equal(buffer_bytes(&buffer), BYTES("009aff100123456789abcdef")));
    assert_false(buffer.overflowed);
}

static void a_hex_digit_is_one_of_22_bytes(void **state)
{
    (void)state;
    const char *digits = "0123456789abcdef", *capitals = "0123456789ABCDEF";
    for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
        const char *place = byte == 0 ? NULL : strchr(digits, (int)byte);
        const char *capital = byte == 0 ? NULL : strchr(capitals, (int)byte);
        const int expected = place != NULL     ? (int)(place - digits)
                             : capital != NULL ? (int)(capital - capitals)
                                               : -1;
        assert_int_equal(bytes_hex_digit((uint8_t)byte), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_as_memory_does),
        cmocka_unit_test(utf8_is_what_rfc_3629_allows),
        cmocka_unit_test(utf8_accepts_exactly_the_code_points),
        cmocka_unit_test(numbers_are_written_as_leb128),
        cmocka_unit_test(small_signed_numbers_are_short),
        cmocka_unit_test(second_spellings_of_a_number_are_bad),
        cmocka_unit_test(what_reads_well_writes_the_same_bytes),
        cmocka_unit_test(a_straight_list_of_puts_reads_back),
        cmocka_unit_test(a_bad_reader_gives_only_zeros),
        cmocka_unit_test(an_overflowing_buffer_keeps_a_clean_front),
        cmocka_unit_test(decimals_have_no_leading_zeros),
        cmocka_unit_test(hex_is_two_lower_case_digits_a_byte),
        cmocka_unit_test(a_hex_digit_is_one_of_22_bytes),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
