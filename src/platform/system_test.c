/*
 * system_test.c: the thin parts of the floor: entropy, memory, signals, and the real end of a
 * process that found a bug of its own (so this program does not use base/testing.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/entropy.h"
#include "platform/memory.h"
#include "platform/signals.h"

static void entropy_fills_all_of_a_block_with_something_new(void **state)
{
    (void)state;
    uint8_t first[1000] = {0};
    uint8_t second[1000] = {0};
    entropy_fill(first, sizeof first);
    entropy_fill(second, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
    /* 32 zeroes in a row have a chance of 2^-246. */
    static const uint8_t ZEROES[32] = {0};
    for (size_t at = 0; at + sizeof ZEROES <= sizeof first; at += sizeof ZEROES)
        assert_memory_not_equal(ZEROES, first + at, sizeof ZEROES);
    assert_true(entropy_u64() != entropy_u64());
    const struct hash_key key = entropy_hash_key();
    assert_true(key.word[0] != key.word[1]);
}

static void reserved_memory_is_zero_and_costs_nothing_until_touched(void **state)
{
    (void)state;
    const uint64_t bytes = UINT64_C(1) << 38;
    uint8_t *block = memory_reserve(bytes);
    assert_non_null(block);
    assert_int_equal(0, (uintptr_t)block % 64);
    assert_int_equal(0, block[0]);
    assert_int_equal(0, block[bytes - 1]);
    block[bytes / 2] = 1;
    memory_release(block, bytes);
    assert_null(memory_reserve(UINT64_C(1) << 62));
    memory_release(NULL, 1);
}

static void signals_are_something_to_read(void **state)
{
    (void)state;
    const int fd = signals_open();
    assert_true(fd >= 0);
    assert_int_equal(0, signals_take(fd));
    assert_int_equal(0, raise(SIGTERM));
    assert_int_equal(0, raise(SIGINT));
    const int first = signals_take(fd);
    const int second = signals_take(fd);
    assert_true((first == SIGTERM && second == SIGINT) || (first == SIGINT && second == SIGTERM));
    assert_int_equal(0, signals_take(fd));
    assert_int_equal(0, close(fd));
}

static void a_peer_that_went_away_is_an_error_code(void **state)
{
    (void)state;
    const int fd = signals_open();
    int ends[2];
    assert_int_equal(0, pipe(ends));
    assert_int_equal(0, close(ends[0]));
    assert_int_equal(-1, write(ends[1], "x", 1));
    assert_int_equal(EPIPE, errno);
    assert_int_equal(0, close(ends[1]));
    assert_int_equal(0, close(fd));
}

static void a_broken_invariant_says_where_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(0, pipe(ends));
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        const int two = 2;
        ENSURE(two + two == 5);
        _exit(0);
    }
    assert_int_equal(0, close(ends[1]));
    char text[512] = {0};
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_int_equal(0, close(ends[0]));
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGABRT, WTERMSIG(status));
    assert_non_null(strstr(text, "two + two == 5"));
    assert_non_null(strstr(text, "system_test.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entropy_fills_all_of_a_block_with_something_new),
        cmocka_unit_test(reserved_memory_is_zero_and_costs_nothing_until_touched),
        cmocka_unit_test(signals_are_something_to_read),
        cmocka_unit_test(a_peer_that_went_away_is_an_error_code),
        cmocka_unit_test(a_broken_invariant_says_where_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
