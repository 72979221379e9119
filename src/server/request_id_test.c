/*
 * request_id_test.c: which traceparents are believed, and that no other bytes are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/request_id.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static bool reads(const char *text)
{
    struct request_id id = {""};
    const bool is_read = request_id_of_trace(bytes_of_text(text), &id);
    if (is_read)
        assert_memory_equal(id.text, text + 3, REQUEST_ID_LENGTH);
    else
        assert_int_equal(request_id_bytes(&id).length, 0);
    return is_read;
}

static void the_trace_id_of_a_valid_traceparent_is_the_request_id(void **state)
{
    (void)state;
    assert_true(reads("00-" TRACE "-" PARENT "-01"));
    assert_true(reads("00-" TRACE "-" PARENT "-00"));
    assert_true(reads("00-" TRACE "-" PARENT "-ff"));
    assert_true(reads("01-" TRACE "-" PARENT "-01"));
    assert_true(reads("cc-" TRACE "-" PARENT "-01-what-comes-later"));
    assert_true(reads("cc-" TRACE "-" PARENT "-01-"));
}

static void anything_else_is_no_traceparent(void **state)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-" TRACE,
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-more",
        "01-" TRACE "-" PARENT "-01.more",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0x",
        " 00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01 ",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); ++i)
        assert_false(reads(wrong[i]));
    struct request_id id;
    assert_false(request_id_of_trace(BYTES_NONE, &id));
}

/* Any one byte of a valid one replaced by any other: what is still believed differs in a digit. */
static void one_byte_off_is_refused_or_another_digit(void **state)
{
    char text[] = "00-" TRACE "-" PARENT "-01";
    unsigned believed = 0;
    (void)state;
    for (size_t at = 0; at < sizeof(text) - 1; ++at) {
        const char kept = text[at];
        for (unsigned byte = 0; byte < 256; ++byte) {
            struct request_id id;
            text[at] = (char)byte;
            const struct bytes all = {(const uint8_t *)text, sizeof(text) - 1};
            if (!request_id_of_trace(all, &id)) continue;
            ++believed;
            assert_true((char)byte == kept || memchr("0123456789abcdef", (int)byte, 16) != NULL);
        }
        text[at] = kept;
    }
    /* Every hex digit may be another one, and no byte beside the digits any other. */
    assert_int_equal(believed, 52 * 16 + 3);
}

/* Random bytes of random lengths, biased towards what a traceparent is made of. */
static void random_bytes_are_read_within_their_bounds(void **state)
{
    static const char bits[] = "0123456789abcdef-0f-";
    struct prng prng = {20260501};
    (void)state;
    for (unsigned run = 0; run < 200000; ++run) {
        uint8_t *text = test_malloc(64);
        const size_t length = prng_below(&prng, 64);
        for (size_t i = 0; i < length; ++i)
            text[i] = prng_below(&prng, 16) == 0 ? (uint8_t)prng_next(&prng)
                                                 : (uint8_t)bits[prng_below(&prng, 20)];
        if (length > 35) text[2] = text[35] = '-';
        struct request_id id;
        if (request_id_of_trace((struct bytes){text, length}, &id))
            assert_memory_equal(id.text, text + 3, REQUEST_ID_LENGTH);
        test_free(text);
    }
}

static void made_ids_are_hex_and_differ(void **state)
{
    struct prng prng = {7};
    struct request_id before = {""};
    (void)state;
    for (unsigned run = 0; run < 10000; ++run) {
        const struct request_id id = request_id_make(&prng);
        for (unsigned i = 0; i < REQUEST_ID_LENGTH; ++i)
            assert_non_null(memchr("0123456789abcdef", id.text[i], 16));
        assert_memory_not_equal(id.text, before.text, REQUEST_ID_LENGTH);
        before = id;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trace_id_of_a_valid_traceparent_is_the_request_id),
        cmocka_unit_test(anything_else_is_no_traceparent),
        cmocka_unit_test(one_byte_off_is_refused_or_another_digit),
        cmocka_unit_test(random_bytes_are_read_within_their_bounds),
        cmocka_unit_test(made_ids_are_hex_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
