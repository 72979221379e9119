#include "proof/members.h"

#include "base/testing.h"

static struct member one_of(struct bytes json, unsigned place)
{
    struct members members = members_of_object(json);
    static struct member member;
    for (unsigned n = 0; n <= place; ++n)
        assert_true(members_next(&members, &member));
    assert_false(members.is_bad);
    return member;
}

static void assert_text(const char *expected, struct bytes text)
{
    assert_int_equal(strlen(expected), text.length);
    assert_memory_equal(expected, text.at, text.length);
}

static void texts_are_read_as_they_were_meant(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
    } rows[] = {
        {          "{\"a\":\"plain\"}",      "plain"},
        {               "{\"a\":\"\"}",           ""},
        {    "{\"a\":\"\\\"\\\\\\/\"}",      "\"\\/"},
        {"{\"a\":\"\\b\\f\\n\\r\\t\"}", "\b\f\n\r\t"},
        { "{\"a\":\"\\u001f\\u007f\"}",   "\x1f\x7f"},
        {       "{\"a\":\"\xc3\xbc\"}",   "\xc3\xbc"},
    };
    for (unsigned i = 0; i < COUNT_OF(rows); ++i) {
        const struct member member = one_of(bytes_of_text(rows[i].json), 0);
        assert_true(member.is_text);
        assert_text(rows[i].text, member.text);
    }
}

static void numbers_are_read_to_their_ends(void **state)
{
    (void)state;
    const struct bytes json =
        BYTES("{\"a\":0,\"b\":-1,\"c\":9223372036854775807,\"d\":9007199254740991}");
    assert_int_equal(0, one_of(json, 0).number);
    assert_int_equal(-1, one_of(json, 1).number);
    assert_int_equal(INT64_MAX, one_of(json, 2).number);
    assert_int_equal(9007199254740991, one_of(json, 3).number);
}

static void objects_in_an_array_are_gone_through(void **state)
{
    (void)state;
    struct members members = members_of_array(BYTES("[{\"a\":1,\"b\":\"x\"},{\"a\":2}]"));
    struct member member;
    int64_t sum = 0;
    unsigned objects = 0;
    while (members_next_object(&members)) {
        ++objects;
        while (members_next(&members, &member))
            sum += member.is_text ? 10 : member.number;
    }
    assert_false(members.is_bad);
    assert_int_equal(2, objects);
    assert_int_equal(13, sum);

    members = members_of_array(BYTES("[]"));
    assert_false(members_next_object(&members));
    assert_false(members.is_bad);
}

static void what_the_ledger_does_not_write_is_bad(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":x}",
        "{\"a\":\"x}",
        "{\"a\":\"\\u0100\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":9223372036854775808}",
        "{\"a\":-}",
    };
    for (unsigned i = 0; i < COUNT_OF(texts); ++i) {
        struct members members = members_of_object(bytes_of_text(texts[i]));
        struct member member;
        while (members_next(&members, &member)) {
        }
        assert_true(members.is_bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_they_were_meant),
        cmocka_unit_test(numbers_are_read_to_their_ends),
        cmocka_unit_test(objects_in_an_array_are_gone_through),
        cmocka_unit_test(what_the_ledger_does_not_write_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
