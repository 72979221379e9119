#include "base/arena.h"

#include "base/testing.h"

static void pieces_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    uint8_t block[256];
    memset(block, 0xee, sizeof block);
    struct arena arena = arena_over(block + 1, sizeof block - 1); /* no alignment of its own */
    uint8_t *previous_end = block;
    for (size_t bytes = 1; bytes <= 17; bytes += 8) {
        uint8_t *piece = arena_take(&arena, bytes);
        assert_non_null(piece);
        assert_true((uintptr_t)piece % 16 == 0);
        assert_true(piece >= previous_end);
        for (size_t place = 0; place < bytes; place++)
            assert_int_equal(piece[place], 0);
        memset(piece, 0xdd, bytes);
        previous_end = piece + bytes;
    }
}

static void what_does_not_fit_takes_nothing(void **state)
{
    (void)state;
    _Alignas(16) uint8_t block[64];
    struct arena arena = arena_over(block, sizeof block);
    assert_ptr_equal(arena_take(&arena, 17), block);
    assert_null(arena_take(&arena, 33));
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_ptr_equal(arena_take(&arena, 32), block + 32);
    assert_null(arena_take(&arena, 1));

    struct arena narrow = arena_over(block + 1, 8); /* ends before the next aligned address */
    assert_null(arena_take(&narrow, 1));
    assert_int_equal(narrow.used, 0);
}

static void a_reset_arena_gives_its_block_again_zeroed(void **state)
{
    (void)state;
    _Alignas(16) uint8_t block[32];
    struct arena arena = arena_over(block, sizeof block);
    memset(arena_take(&arena, 32), 0xff, 32);
    arena_reset(&arena);
    const uint8_t *again = arena_take(&arena, 32);
    assert_ptr_equal(again, block);
    for (size_t place = 0; place < 32; place++)
        assert_int_equal(again[place], 0);
}

static void an_arena_over_nothing_gives_nothing(void **state)
{
    (void)state;
    struct arena arena = arena_over(NULL, 0);
    assert_null(arena_take(&arena, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_zeroed_and_apart),
        cmocka_unit_test(what_does_not_fit_takes_nothing),
        cmocka_unit_test(a_reset_arena_gives_its_block_again_zeroed),
        cmocka_unit_test(an_arena_over_nothing_gives_nothing),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
