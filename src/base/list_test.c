#include "base/list.h"

#include "base/prng.h"
#include "base/testing.h"

enum { GUESTS = 12, LISTS = 2 };

struct guest {
    unsigned number;
    struct list_place places[LISTS];
};

static struct guest guests[GUESTS];

static void empty_house(void)
{
    for (unsigned i = 0; i < GUESTS; i++)
        guests[i] = (struct guest){.number = i};
}

static void check_order(const struct list *list, unsigned which, const unsigned *order,
                        unsigned count)
{
    const struct guest *guest = list_first(list);
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(guest);
        assert_int_equal(guest->number, order[i]);
        assert_true(list_has(&guest->places[which]));
        if (i + 1 == count) assert_ptr_equal(list_last(list), guest);
        guest = list_after(&guest->places[which]);
    }
    assert_null(guest);
    if (count == 0) assert_null(list_last(list));
}

static void zeroes_are_an_empty_list_and_a_place_in_none(void **state)
{
    (void)state;
    struct list list = {0};
    empty_house();
    check_order(&list, 0, NULL, 0);
    assert_false(list_has(&guests[0].places[0]));
    assert_null(list_after(&guests[0].places[0]));
    list_leave(&guests[0].places[0]);
    check_order(&list, 0, NULL, 0);
}

static void who_leaves_a_list_stays_in_the_others_and_comes_back_last(void **state)
{
    (void)state;
    struct list lists[LISTS] = {0};
    empty_house();
    for (unsigned i = 0; i < 3; i++) {
        list_append(&lists[0], &guests[i].places[0], &guests[i]);
        list_append(&lists[1], &guests[2 - i].places[1], &guests[2 - i]);
    }
    list_leave(&guests[1].places[0]);
    assert_false(list_has(&guests[1].places[0]));
    assert_null(list_after(&guests[1].places[0]));
    check_order(&lists[0], 0, (const unsigned[]){0, 2}, 2);
    check_order(&lists[1], 1, (const unsigned[]){2, 1, 0}, 3);
    list_leave(&guests[0].places[0]);
    list_append(&lists[0], &guests[0].places[0], &guests[0]);
    check_order(&lists[0], 0, (const unsigned[]){2, 0}, 2);
}

static void nobody_is_in_two_lists_with_one_place(void **state)
{
    (void)state;
    struct list lists[LISTS] = {0};
    empty_house();
    list_append(&lists[0], &guests[0].places[0], &guests[0]);
    expect_assert_failure(list_append(&lists[0], &guests[0].places[0], &guests[0]));
    expect_assert_failure(list_append(&lists[1], &guests[0].places[0], &guests[0]));
    check_order(&lists[0], 0, (const unsigned[]){0}, 1);
    check_order(&lists[1], 0, NULL, 0);
}

/* Against an array that says who is there in which order. */
static void order_is_kept_however_they_come_and_go(void **state)
{
    (void)state;
    struct prng prng = {1};
    struct list list = {0};
    unsigned order[GUESTS] = {0};
    unsigned count = 0;
    empty_house();
    for (unsigned step = 0; step < 5000; step++) {
        struct guest *guest = &guests[prng_below(&prng, GUESTS)];
        if (!list_has(&guest->places[0])) {
            list_append(&list, &guest->places[0], guest);
            order[count++] = guest->number;
        } else {
            unsigned at = 0;
            while (order[at] != guest->number)
                at++;
            count--;
            memmove(order + at, order + at + 1, (count - at) * sizeof order[0]);
            list_leave(&guest->places[0]);
        }
        check_order(&list, 0, order, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroes_are_an_empty_list_and_a_place_in_none),
        cmocka_unit_test(who_leaves_a_list_stays_in_the_others_and_comes_back_last),
        cmocka_unit_test(nobody_is_in_two_lists_with_one_place),
        cmocka_unit_test(order_is_kept_however_they_come_and_go),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
