/*
 * answer_test.c: lookups by path, and what is not there.
 */
#include "main/answer.h"

#include "base/testing.h"

static void members_are_found_by_path(void **state)
{
    CLEANUP(answer_free)
    yajl_val tree = answer_parse(
        "{\"units\":{\"allowed\":9007199254740991,\"x\":-1,\"y\":1.5},\"charged\":\"0.000000001\","
        "\"late\":true,\"un\":\"short\",\"allocations\":[{\"source\":\"paid\"},{}]}");
    uint64_t count = 7;
    (void)state;
    assert_non_null(tree);
    assert_int_equal(answer_count(tree, "units.allowed"), INT64_C(9007199254740991));
    assert_int_equal(answer_count(tree, "units.x"), 0);
    assert_false(answer_has_count(tree, "units.y", &count));
    assert_false(answer_has_count(tree, "units", &count));
    assert_int_equal(count, 7);
    assert_int_equal(answer_credits(tree, "charged"), 1);
    assert_true(answer_is_true(tree, "late"));
    assert_false(answer_is_true(tree, "absent.late"));
    assert_string_equal(answer_text(tree, "un"), "short");
    assert_string_equal(answer_text(tree, "unit"), "");
    assert_int_equal(answer_length(tree, "allocations"), 2);
    assert_string_equal(answer_text(answer_item(tree, "allocations", 0), "source"), "paid");
    assert_null(answer_item(tree, "allocations", 2));
    assert_null(answer_item(tree, "units", 0));
}

static void what_is_not_json_has_no_members(void **state)
{
    CLEANUP(answer_free) yajl_val tree = answer_parse("<html>");
    (void)state;
    assert_null(tree);
    assert_string_equal(answer_text(tree, "detail"), "");
    assert_int_equal(answer_length(tree, "allocations"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_by_path),
        cmocka_unit_test(what_is_not_json_has_no_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
