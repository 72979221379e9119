/*
 * thread_test.c: rings, wake-ups and runners. Run it under ThreadSanitizer too: that is where the
 * order of memory is judged.
 */
#include "platform/thread.h"

#include <inttypes.h>

#include "base/testing.h"
#include "platform/ring.h"

struct item {
    uint64_t number;
    uint32_t check;
};

/* Goal: first in, first out, full and empty exact, also when the counters wrap.
 * Method: random puts and takes on rings of several sizes against two plain counters. */
static void a_ring_is_a_queue_with_a_ceiling(void **state)
{
    (void)state;
    struct item block[8];
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct prng prng = {seed};
        const uint32_t items_max = UINT32_C(1) << prng_below(&prng, 4);
        struct ring ring;
        ring_start(&ring, block, sizeof *block, items_max);
        /* As after a long life, just before the counters wrap. */
        atomic_store(&ring.put, UINT32_MAX - 20);
        atomic_store(&ring.taken, UINT32_MAX - 20);
        ring.put_seen = ring.taken_seen = UINT32_MAX - 20;
        uint64_t put = 0;
        uint64_t taken = 0;
        for (unsigned step = 0; step < 500; step++) {
            struct item item = {.number = put};
            if (prng_below(&prng, 2) == 0) {
                const bool fits = put - taken < items_max;
                assert_int_equal(fits, ring_put(&ring, &item));
                put += fits;
            } else {
                const bool is_there = put > taken;
                assert_int_equal(is_there, ring_take(&ring, &item));
                if (is_there && item.number != taken) print_message("seed %" PRIu64 "\n", seed);
                if (is_there) assert_int_equal(taken, item.number);
                taken += is_there;
            }
            assert_int_equal(put - taken, ring_used(&ring));
        }
    }
}

static void a_ring_s_size_is_a_power_of_two(void **state)
{
    (void)state;
    struct ring ring;
    uint8_t block[8];
    expect_assert_failure(ring_start(&ring, block, 1, 0));
    expect_assert_failure(ring_start(&ring, block, 1, 6));
    expect_assert_failure(ring_start(&ring, block, 0, 8));
}

/* One that takes from a ring, checks the order, and answers through another. */
struct echo {
    struct ring asked;
    struct ring answered;
    struct item asked_block[16];
    struct item answered_block[16];
    struct wake asker;
    struct runner runner;
    uint64_t next;
    bool is_out_of_order;
    bool has_name;
    bool is_held_up; /* has an answer that did not fit */
    struct item held;
};

static bool echo_step(void *self)
{
    struct echo *echo = self;
    if (echo->next == 0) {
        char name[THREAD_NAME_SIZE];
        echo->has_name =
            pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "echo") == 0;
    }
    if (!echo->is_held_up) {
        if (!ring_take(&echo->asked, &echo->held)) return false;
        if (echo->held.number != echo->next || echo->held.check != (uint32_t)(echo->next * 7))
            echo->is_out_of_order = true;
        echo->next++;
    }
    echo->is_held_up = !ring_put(&echo->answered, &echo->held);
    wake_signal(&echo->asker);
    return !echo->is_held_up;
}

static void echo_start(struct echo *echo, int32_t idle_ms)
{
    *echo = (struct echo){0};
    ring_start(&echo->asked, echo->asked_block, sizeof(struct item), COUNT_OF(echo->asked_block));
    ring_start(&echo->answered, echo->answered_block, sizeof(struct item),
               COUNT_OF(echo->answered_block));
    assert_true(wake_open(&echo->asker));
    assert_true(runner_start(&echo->runner, "echo", echo_step, echo, idle_ms));
}

/* A minute: a wake-up that was lost shows as a sleep that nobody ended. */
#define LONG_MS 60000
#define ITEMS 100000

/* Goal: all that goes into one ring comes out of the other, in order, and no wake-up is lost: both
 * sides sleep without end but for their wake-ups. */
static void two_threads_pass_items_through_rings_and_lose_no_wake_up(void **state)
{
    (void)state;
    static struct echo echo;
    echo_start(&echo, LONG_MS);
    uint64_t asked = 0;
    uint64_t answered = 0;
    while (answered < ITEMS) {
        bool did_work = false;
        struct item item = {.number = asked, .check = (uint32_t)(asked * 7)};
        while (asked < ITEMS && ring_put(&echo.asked, &item)) {
            did_work = true;
            asked++;
            item = (struct item){.number = asked, .check = (uint32_t)(asked * 7)};
            if (asked % 5 == 0) runner_wake(&echo.runner);
        }
        runner_wake(&echo.runner);
        while (ring_take(&echo.answered, &item)) {
            did_work = true;
            assert_int_equal(answered, item.number);
            answered++;
        }
        if (did_work) continue;
        wake_wait(&echo.asker, LONG_MS);
        assert_true(atomic_load(&echo.asker.is_signalled));
        wake_clear(&echo.asker);
    }
    runner_stop(&echo.runner);
    wake_close(&echo.asker);
    assert_int_equal(ITEMS, echo.next);
    assert_false(echo.is_out_of_order);
    assert_true(echo.has_name);
}

static void a_runner_finishes_what_is_there_before_it_stops(void **state)
{
    (void)state;
    static struct echo echo;
    for (unsigned round = 0; round < 100; round++) {
        echo_start(&echo, LONG_MS);
        for (uint64_t number = 0; number < 10; number++) {
            const struct item item = {.number = number, .check = (uint32_t)(number * 7)};
            assert_true(ring_put(&echo.asked, &item));
        }
        runner_stop(&echo.runner);
        wake_close(&echo.asker);
        assert_int_equal(10, echo.next);
        assert_int_equal(10, ring_used(&echo.answered));
    }
}

struct pulse {
    struct wake seen;
    _Atomic unsigned steps;
};

static bool pulse_step(void *self)
{
    struct pulse *pulse = self;
    if (atomic_fetch_add(&pulse->steps, 1) == 3) wake_signal(&pulse->seen);
    return false;
}

static void a_runner_that_nobody_wakes_steps_all_the_same(void **state)
{
    (void)state;
    struct pulse pulse = {.steps = 0};
    struct runner runner;
    assert_true(wake_open(&pulse.seen));
    assert_true(runner_start(&runner, "pulse", pulse_step, &pulse, 1));
    wake_wait(&pulse.seen, LONG_MS);
    assert_true(atomic_load(&pulse.seen.is_signalled));
    runner_stop(&runner);
    wake_close(&pulse.seen);
}

static void a_wake_up_is_remembered_until_it_is_cleared(void **state)
{
    (void)state;
    struct wake wake;
    assert_true(wake_open(&wake));
    wake_wait(&wake, 0);
    assert_false(atomic_load(&wake.is_signalled));
    wake_signal(&wake);
    wake_signal(&wake);
    wake_wait(&wake, LONG_MS);
    wake_clear(&wake);
    assert_false(atomic_load(&wake.is_signalled));
    wake_signal(&wake);
    wake_wait(&wake, LONG_MS);
    wake_close(&wake);
    wake_close(&wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_is_a_queue_with_a_ceiling),
        cmocka_unit_test(a_ring_s_size_is_a_power_of_two),
        cmocka_unit_test(two_threads_pass_items_through_rings_and_lose_no_wake_up),
        cmocka_unit_test(a_runner_finishes_what_is_there_before_it_stops),
        cmocka_unit_test(a_runner_that_nobody_wakes_steps_all_the_same),
        cmocka_unit_test(a_wake_up_is_remembered_until_it_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
