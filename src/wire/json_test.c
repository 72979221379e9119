#include "wire/json.h"

#include "base/testing.h"

/* What was heard, as text that is easy to compare. */
struct heard {
    char text[2048];
    size_t length;
};

static void note(void *self, const struct json_event *event)
{
    static const char signs[] = {
        [JSON_NULL] = '0',    [JSON_FALSE] = 'f',    [JSON_TRUE] = 't', [JSON_NUMBER] = '#',
        [JSON_STRING] = 's',  [JSON_KEY] = 'k',      [JSON_MAP] = '{',  [JSON_LIST] = '[',
        [JSON_MAP_END] = '}', [JSON_LIST_END] = ']',
    };
    struct heard *heard = self;
    const bool has_text =
        event->kind == JSON_NUMBER || event->kind == JSON_STRING || event->kind == JSON_KEY;
    heard->length += (size_t)snprintf(
        heard->text + heard->length, sizeof heard->text - heard->length, "%c%u%.*s ",
        signs[event->kind], event->depth, has_text ? (int)event->text.length : 0,
        has_text ? (const char *)event->text.at : "");
    assert_true(heard->length < sizeof heard->text);
}

static void ignore(void *self, const struct json_event *event)
{
    (void)self;
    (void)event;
}

static uint8_t memory[1 << 20];

static struct json_result read_noting(struct bytes text, struct heard *heard_out)
{
    struct arena arena = arena_over(memory, sizeof memory);
    *heard_out = (struct heard){{0}, 0};
    return json_read(text, 4, &arena, note, heard_out);
}

static void events_come_in_order_with_their_depth(void **state)
{
    (void)state;
    const struct {
        struct bytes text;
        const char *heard;
    } rows[] = {
        {                                  BYTES("{}"),                                   "{0 }0 "},
        {                               BYTES(" [ ] "),                                   "[0 ]0 "},
        {                                  BYTES("12"),                                    "#012 "},
        {                           BYTES("-1.50e+7 "),                              "#0-1.50e+7 "},
        {                               BYTES("\"a\""),                                     "s0a "},
        {                                BYTES("\"\""),                                      "s0 "},
        {                                BYTES("null"),                                      "00 "},
        {BYTES("{\"a\":[1,{\"b\":true}],\"c\":false}"), "{0 k1a [1 #21 {2 k3b t3 }2 ]1 k1c f1 }0 "},
        {           BYTES("\"\\u0041\\n\\\\\\/\\\"\""),                              "s0A\n\\/\" "},
        {           BYTES("\"\\ud83d\\ude00\\u00e9\""),              "s0\xf0\x9f\x98\x80\xc3\xa9 "},
        { BYTES("{\"\\u0061\":\"x\\ty\",\"b\":\"z\"}"),                "{0 k1a s1x\ty k1b s1z }0 "},
        {                            BYTES("\"\x7f\""),                                  "s0\x7f "},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct heard heard;
        const struct json_result result = read_noting(rows[row].text, &heard);
        assert_int_equal(result.verdict, JSON_READ);
        assert_string_equal(heard.text, rows[row].heard);
    }
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    const struct {
        struct bytes text;
        enum json_verdict verdict;
    } rows[] = {
        {                    BYTES(""), JSON_MALFORMED},
        {                   BYTES(" "), JSON_MALFORMED},
        {                   BYTES("{"), JSON_MALFORMED},
        {                BYTES("{}{}"), JSON_MALFORMED},
        {                 BYTES("{}x"), JSON_MALFORMED},
        {                 BYTES("{}1"), JSON_MALFORMED},
        {                 BYTES("{},"), JSON_MALFORMED},
        {                 BYTES("{}]"), JSON_MALFORMED},
        {             BYTES("{}\"abc"), JSON_MALFORMED},
        {           BYTES("{}\"abc\""), JSON_MALFORMED},
        {              BYTES("{} tru"), JSON_MALFORMED},
        {                BYTES("{}\0"), JSON_MALFORMED},
        {          BYTES("{\"a\":1,}"), JSON_MALFORMED},
        {           BYTES("{\"a\" 1}"), JSON_MALFORMED},
        {               BYTES("{a:1}"), JSON_MALFORMED},
        {               BYTES("{1:1}"), JSON_MALFORMED},
        {             BYTES("{'a':1}"), JSON_MALFORMED},
        {                BYTES("[1,]"), JSON_MALFORMED},
        {                BYTES("[,1]"), JSON_MALFORMED},
        {                 BYTES("[1}"), JSON_MALFORMED},
        {                  BYTES("01"), JSON_MALFORMED},
        {                  BYTES("+1"), JSON_MALFORMED},
        {                   BYTES("-"), JSON_MALFORMED},
        {                  BYTES("1."), JSON_MALFORMED},
        {                  BYTES(".5"), JSON_MALFORMED},
        {                  BYTES("1e"), JSON_MALFORMED},
        {                 BYTES("0x1"), JSON_MALFORMED},
        {                 BYTES("NaN"), JSON_MALFORMED},
        {            BYTES("Infinity"), JSON_MALFORMED},
        {                 BYTES("nul"), JSON_MALFORMED},
        {                BYTES("True"), JSON_MALFORMED},
        {          BYTES("/* c */ {}"), JSON_MALFORMED},
        {             BYTES("{} // c"), JSON_MALFORMED},
        {      BYTES("\xef\xbb\xbf{}"), JSON_MALFORMED},
        {                 BYTES("\"a"), JSON_MALFORMED},
        {            BYTES("\"a\nb\""), JSON_MALFORMED},
        {            BYTES("\"a\0b\""), JSON_MALFORMED},
        {             BYTES("\"\\x\""), JSON_MALFORMED},
        {         BYTES("\"\\u12g4\""), JSON_MALFORMED},
        {           BYTES("\"\\u12\""), JSON_MALFORMED},
        {                BYTES("\"\\"), JSON_MALFORMED},
        {                  BYTES("\\"), JSON_MALFORMED},
        {            BYTES("\"\xff\""),  JSON_NOT_UTF8},
        {        BYTES("\"\xc0\xaf\""),  JSON_NOT_UTF8},
        {    BYTES("\"\xed\xa0\x80\""),  JSON_NOT_UTF8},
        {BYTES("\"\xf4\x90\x80\x80\""),  JSON_NOT_UTF8},
        {         BYTES("\"\\ud83d\""),  JSON_NOT_UTF8},
        {        BYTES("\"\\ud83dx\""),  JSON_NOT_UTF8},
        {  BYTES("\"\\ud83d\\u0041\""),  JSON_NOT_UTF8},
        {      BYTES("\"\\ud83d\\n\""),  JSON_NOT_UTF8},
        {  BYTES("\"\\ude00\\ud83d\""),  JSON_NOT_UTF8},
        {         BYTES("\"\\uDFFF\""),  JSON_NOT_UTF8},
        {          BYTES("[[[[[]]]]]"),  JSON_TOO_DEEP},
        {   BYTES("{\"a\":[{\"a\":[{"),  JSON_TOO_DEEP},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct heard heard;
        const struct json_result result = read_noting(rows[row].text, &heard);
        if (result.verdict != rows[row].verdict) print_error("row %zu\n", row);
        assert_int_equal(result.verdict, rows[row].verdict);
    }
}

static void escaped_backslashes_are_not_taken_for_surrogates(void **state)
{
    (void)state;
    struct heard heard;
    const struct json_result result = read_noting(BYTES("\"\\\\ud83d\""), &heard);
    assert_int_equal(result.verdict, JSON_READ);
    assert_string_equal(heard.text, "s0\\ud83d ");
}

/* yajl runs in memory that was measured before: too little would stop the process. */
static void measured_memory_suffices_for_tokens_of_any_length(void **state)
{
    (void)state;
    static const size_t around[] = {0, 2047, 2048, 4095, 4096, 8191, 8192, 16384, 32768};
    static char text[80 * 1024];
    static char filling[40 * 1024];
    memset(filling, 'a', sizeof filling);
    for (size_t place = 0; place < COUNT_OF(around); place++) {
        for (size_t length = around[place] < 3 ? 0 : around[place] - 3; length < around[place] + 3;
             length++) {
            /* A string with escapes, then an open one; then a number that the text ends with. */
            struct buffer body = buffer_over(text, sizeof text);
            buffer_put_text(&body, "[\"\\n");
            buffer_put(&body, filling, length);
            buffer_put_text(&body, "\",\"");
            buffer_put(&body, filling, length);
            struct arena arena = arena_over(memory, sizeof memory);
            struct json_result result = json_read(buffer_bytes(&body), 4, &arena, ignore, NULL);
            assert_int_equal(result.verdict, JSON_MALFORMED);
            memset(text, '7', length + 1);
            result =
                json_read((struct bytes){(uint8_t *)text, length + 1}, 4, &arena, ignore, NULL);
            assert_int_equal(result.verdict, JSON_READ);
        }
    }
}

static void short_arenas_refuse_long_strings_and_get_their_room_back(void **state)
{
    (void)state;
    static char text[64 * 1024];
    memset(text, 'a', sizeof text);
    text[0] = '"';
    text[sizeof text - 1] = '"';
    const struct bytes body = {(uint8_t *)text, sizeof text};
    struct arena arena = arena_over(memory, sizeof text);
    assert_int_equal(json_read(body, 4, &arena, ignore, NULL).verdict, JSON_NO_ROOM);
    assert_int_equal(arena.size, sizeof text);
    assert_int_equal(json_read(BYTES("[1]"), 4, &arena, ignore, NULL).verdict, JSON_READ);
    assert_int_equal(arena.size, sizeof text);
    assert_true(arena.used <= 16);
}

static struct bytes written(struct buffer buffer)
{
    assert_false(buffer.overflowed);
    return buffer_bytes(&buffer);
}

#define assert_text(buffer, expected)               \
    do {                                            \
        const struct bytes text_ = written(buffer); \
        char copy_[512] = {0};                      \
        assert_true(text_.length < sizeof copy_);   \
        memcpy(copy_, text_.at, text_.length);      \
        assert_string_equal(copy_, expected);       \
    } while (0)

static void values_are_separated_by_commas(void **state)
{
    (void)state;
    uint8_t block[512];
    struct buffer buffer = buffer_over(block, sizeof block);
    buffer_put_text(&buffer, "before");
    json_begin(&buffer);
    json_key(&buffer, "a");
    json_count(&buffer, UINT64_MAX);
    json_key(&buffer, "b");
    json_open(&buffer, '[');
    json_number(&buffer, INT64_MIN);
    json_bool(&buffer, true);
    json_null(&buffer);
    json_open(&buffer, '{');
    json_close(&buffer, '}');
    json_open(&buffer, '{');
    json_close(&buffer, '}');
    json_words(&buffer, "[");
    json_words(&buffer, "{");
    json_credits(&buffer, -1);
    json_instant(&buffer, 1);
    json_id(&buffer, 'g', 1);
    json_close(&buffer, ']');
    json_key(&buffer, "c");
    json_bool(&buffer, false);
    json_close(&buffer, '}');
    assert_text(buffer,
                "before{\"a\":18446744073709551615,\"b\":[-9223372036854775808,true,null,{},"
                "{},\"[\",\"{\",\"-0.000000001\",\"1970-01-01T00:00:00.001Z\","
                "\"g_0000000000001\"],\"c\":false}");
}

static void text_is_escaped_and_always_utf8(void **state)
{
    (void)state;
    const struct {
        struct bytes text;
        const char *written;
    } rows[] = {
        {                        BYTES(""),                                     "\"\""},
        {                   BYTES("plain"),                                "\"plain\""},
        {        BYTES("a\"b\\c\nd\re\tf"),      "\"a\\\"b\\\\c\\nd\\u000de\\u0009f\""},
        {              BYTES("\0\x1f\x7f"),                "\"\\u0000\\u001f\\u007f\""},
        {BYTES("\xc3\xa9\xf0\x9f\x98\x80"),             "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {                  BYTES("a\xffz"),                       "\"a\xef\xbf\xbdz\""},
        {            BYTES("\xf0\x9f\x98"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        uint8_t block[128];
        struct buffer buffer = buffer_over(block, sizeof block);
        json_text(&buffer, rows[row].text);
        assert_text(buffer, rows[row].written);
    }
}

static void cutting_leaves_characters_whole(void **state)
{
    (void)state;
    const struct bytes text = BYTES("ab\xc3\xa9z");
    const size_t lengths[] = {0, 1, 2, 2, 4, 5, 5};
    for (size_t most = 0; most < COUNT_OF(lengths); most++)
        assert_int_equal(json_cut(text, most).length, lengths[most]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_with_their_depth),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(escaped_backslashes_are_not_taken_for_surrogates),
        cmocka_unit_test(measured_memory_suffices_for_tokens_of_any_length),
        cmocka_unit_test(short_arenas_refuse_long_strings_and_get_their_room_back),
        cmocka_unit_test(values_are_separated_by_commas),
        cmocka_unit_test(text_is_escaped_and_always_utf8),
        cmocka_unit_test(cutting_leaves_characters_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
