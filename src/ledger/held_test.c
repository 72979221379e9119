/*
 * held_test.c: the newest commands are found as they were put, the oldest make room.
 */
#include "ledger/held.h"

#include "base/testing.h"

#define BLOCK_BYTES (192u * 1024u)

static struct bytes command_of(uint64_t decision)
{
    static uint8_t block[2048];
    struct prng prng = {decision};
    const size_t length = 1 + (size_t)prng_below(&prng, sizeof block);
    for (size_t at = 0; at < length; at++)
        block[at] = (uint8_t)prng_next(&prng);
    return (struct bytes){block, length};
}

static void the_newest_are_found_and_the_oldest_make_room(void **state)
{
    (void)state;
    struct held held;
    assert_true(held_start(&held, BLOCK_BYTES));
    struct bytes found;
    assert_false(held_find(&held, 1, &found));
    for (uint64_t decision = 1; decision <= 5000; decision++) {
        held_put(&held, decision, command_of(decision));
        /* 192 KiB hold at least 80 commands of at most 2 KiB and some. */
        for (uint64_t old = decision > 80 ? decision - 80 : 1; old <= decision;
             old += 1 + decision % 13) {
            assert_true(held_find(&held, old, &found));
            assert_true(bytes_equal(command_of(old), found));
        }
        if (decision > 400) assert_false(held_find(&held, decision - 400, &found));
    }
    held_end(&held);
}

static void what_is_too_long_is_not_kept(void **state)
{
    (void)state;
    static uint8_t block[100 * 1024];
    struct held held;
    assert_true(held_start(&held, BLOCK_BYTES));
    struct bytes found;
    held_put(&held, 1, (struct bytes){block, sizeof block});
    assert_false(held_find(&held, 1, &found));
    held_end(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_found_and_the_oldest_make_room),
        cmocka_unit_test(what_is_too_long_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
