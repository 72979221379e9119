#include "platform/clock.h"

#include <inttypes.h>
#include <time.h>

#include "base/testing.h"

/* A wall clock and a boot clock that tests set. */
struct hands {
    int64_t wall_ms;
    int64_t boot_ms;
    int64_t stall_ms; /* taken once, after the next reading of the wall clock */
};

static int64_t hands_wall(void *context)
{
    struct hands *hands = context;
    const int64_t wall_ms = hands->wall_ms;
    hands->wall_ms += hands->stall_ms;
    hands->boot_ms += hands->stall_ms;
    hands->stall_ms = 0;
    return wall_ms;
}

static int64_t hands_boot(void *context)
{
    return ((const struct hands *)context)->boot_ms;
}

static void pass(struct hands *hands, int64_t ms)
{
    hands->wall_ms += ms;
    hands->boot_ms += ms;
}

#define START_MS INT64_C(1700000000000)

static struct clock clock_on(struct hands *hands, int64_t floor_ms)
{
    return clock_over(
        (struct clock_source){.wall_ms = hands_wall, .boot_ms = hands_boot, .context = hands},
        floor_ms);
}

/* T3, and every kind of jump, in one life. Each row lets time pass, sets the wall clock by a jump,
 * and says what the clock then shows, relative to the start. */
static void clock_tells_a_story_of_jumps(void **state)
{
    (void)state;
    const struct {
        int64_t passes_ms, jump_ms;
        bool confirms;
        int64_t now_ms, unconfirmed_ms, ahead_ms;
        uint64_t jumps_back, jumps_forward;
    } story[] = {
        {          1000,            0, false,                 1000,           0,     0, 0, 0},
        {             0,           10, false,                 1010,           0,     0, 0, 0}, /* jitter: followed */
        {             0,          -10, false,                 1010,           0,     0, 0, 0}, /* jitter: held still */
        {          1000,      HOUR_MS, false,       HOUR_MS + 2000,           0,     0, 0, 0}, /* an hour is followed */
        {          1000,  HOUR_MS + 1, false,       HOUR_MS + 3000, HOUR_MS + 1,     0, 0, 1}, /* more is not */
        {          1000,            0, false,       HOUR_MS + 4000, HOUR_MS + 1,     0, 0, 1}, /* time goes on */
        {             0, -HOUR_MS - 1, false,       HOUR_MS + 4000,           0,     0, 1, 1}, /* it went back by itself */
        {          1000,  4 * HOUR_MS, false,       HOUR_MS + 5000, 4 * HOUR_MS,     0, 1, 2},
        {             0,            0,  true,   5 * HOUR_MS + 5000,           0,     0, 1, 2}, /* confirmed */
        {             0,       -16000, false,   5 * HOUR_MS + 5000,           0, 16000, 2, 2}, /* stands, then goes on */
        {         16000,            0, false,  5 * HOUR_MS + 20000,           0, 15000, 2, 2}, /* at 15/16 */
        {16000 * 15 - 1,            0, false, 5 * HOUR_MS + 245000,           0,     1, 2, 2},
        {             1,            0, false, 5 * HOUR_MS + 245000,           0,     0, 2, 2}, /* caught up */
        {          1000,            0, false, 5 * HOUR_MS + 246000,           0,     0, 2, 2},
    };
    struct hands hands = {.wall_ms = START_MS, .boot_ms = 5000};
    struct clock clock = clock_on(&hands, 0);
    for (unsigned row = 0; row < COUNT_OF(story); row++) {
        pass(&hands, story[row].passes_ms);
        hands.wall_ms += story[row].jump_ms;
        if (story[row].confirms) clock_confirm(&clock);
        const int64_t now_ms = clock_now_ms(&clock);
        const struct clock_state seen = clock_state(&clock);
        if (now_ms - START_MS != story[row].now_ms) print_message("row %u\n", row);
        assert_int_equal(story[row].now_ms, now_ms - START_MS);
        assert_int_equal(now_ms, seen.now_ms);
        assert_int_equal(story[row].unconfirmed_ms, seen.unconfirmed_ms);
        assert_int_equal(story[row].ahead_ms, seen.ahead_ms);
        assert_int_equal(story[row].jumps_back, seen.jumps_back);
        assert_int_equal(story[row].jumps_forward, seen.jumps_forward);
        assert_false(seen.is_test);
    }
}

static void clock_follows_the_small_rest_of_a_jump_that_was_taken_back(void **state)
{
    (void)state;
    struct hands hands = {.wall_ms = START_MS};
    struct clock clock = clock_on(&hands, 0);
    hands.wall_ms += 3 * HOUR_MS;
    assert_int_equal(START_MS, clock_now_ms(&clock));
    hands.wall_ms -= 2 * HOUR_MS + 10 * MINUTE_MS;
    assert_int_equal(START_MS + 50 * MINUTE_MS, clock_now_ms(&clock));
    assert_int_equal(0, clock_state(&clock).unconfirmed_ms);
}

static void clock_starts_at_the_floor_when_the_wall_clock_is_behind_it(void **state)
{
    (void)state;
    struct hands hands = {.wall_ms = START_MS};
    struct clock clock = clock_on(&hands, START_MS + 1600);
    assert_int_equal(START_MS + 1600, clock_now_ms(&clock));
    assert_int_equal(1600, clock_state(&clock).ahead_ms);
    pass(&hands, 16);
    assert_int_equal(START_MS + 1615, clock_now_ms(&clock));
    pass(&hands, 100000);
    assert_int_equal(hands.wall_ms, clock_now_ms(&clock));
    assert_int_equal(0, clock_state(&clock).jumps_back);
}

static void clock_starts_at_the_wall_clock_when_that_is_past_the_floor(void **state)
{
    (void)state;
    struct hands hands = {.wall_ms = START_MS};
    struct clock clock = clock_on(&hands, START_MS - 5 * HOUR_MS);
    assert_int_equal(START_MS, clock_now_ms(&clock));
    assert_int_equal(0, clock_state(&clock).unconfirmed_ms);
}

static void a_thread_stopped_between_two_readings_is_not_a_jump(void **state)
{
    (void)state;
    struct hands hands = {.wall_ms = START_MS};
    struct clock clock = clock_on(&hands, 0);
    hands.stall_ms = 5000;
    assert_int_equal(START_MS + 5000, clock_now_ms(&clock));
    assert_int_equal(0, clock_state(&clock).jumps_back);
    pass(&hands, 1);
    assert_int_equal(START_MS + 5001, clock_now_ms(&clock));
    assert_int_equal(0, clock_state(&clock).ahead_ms);
}

/* Goal: whatever the wall clock does, time never goes back, never leaps by more than an hour
 * without an operator, and never runs slower than 15/16 while it is ahead.
 * Method: random passing of time and random jumps, against the bounds. */
static void time_never_goes_back_and_never_leaps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng = {seed};
        struct hands hands = {.wall_ms = START_MS};
        struct clock clock = clock_on(&hands, START_MS + (int64_t)prng_below(&prng, 2 * HOUR_MS));
        int64_t last_ms = clock_now_ms(&clock);
        for (unsigned step = 0; step < 500; step++) {
            const int64_t passed_ms =
                (int64_t)prng_below(&prng, 3) * (int64_t)prng_below(&prng, 5000);
            pass(&hands, passed_ms);
            if (prng_below(&prng, 10) == 0)
                hands.wall_ms += (int64_t)prng_below(&prng, 6 * HOUR_MS) - 3 * HOUR_MS;
            const int64_t now_ms = clock_now_ms(&clock);
            const int64_t gone_ms = now_ms - last_ms;
            const bool is_right = gone_ms >= 0 &&
                                  gone_ms <= passed_ms + HOUR_MS + CLOCK_JITTER_MS &&
                                  gone_ms >= passed_ms - passed_ms / 16 - CLOCK_JITTER_MS;
            if (!is_right) print_message("seed %" PRIu64 " step %u\n", seed, step);
            assert_true(is_right);
            last_ms = now_ms;
        }
    }
}

static void a_test_clock_stands_still_until_it_is_set_forward(void **state)
{
    (void)state;
    struct clock clock = clock_test(START_MS);
    assert_int_equal(START_MS, clock_now_ms(&clock));
    assert_int_equal(START_MS, clock_now_ms(&clock));
    assert_true(clock_test_set(&clock, START_MS + 5));
    assert_int_equal(START_MS + 5, clock_now_ms(&clock));
    assert_false(clock_test_set(&clock, START_MS + 4));
    assert_int_equal(START_MS + 5, clock_now_ms(&clock));
    assert_true(clock_test_set(&clock, START_MS + 5));
    assert_true(clock_state(&clock).is_test);
}

static void a_real_clock_cannot_be_set(void **state)
{
    (void)state;
    struct clock clock = clock_real(0);
    expect_assert_failure((void)!clock_test_set(&clock, INSTANT_MS_MAX));
}

static void the_real_clock_shows_the_system_s_time(void **state)
{
    (void)state;
    const int64_t before_ms = (int64_t)time(NULL) * SECOND_MS;
    struct clock clock = clock_real(0);
    int64_t last_ms = clock_now_ms(&clock);
    assert_true(last_ms >= before_ms);
    int64_t last_ns = clock_monotonic_ns();
    for (unsigned reading = 0; reading < 10000; reading++) {
        const int64_t now_ms = clock_now_ms(&clock);
        const int64_t now_ns = clock_monotonic_ns();
        assert_true(now_ms >= last_ms);
        assert_true(now_ns >= last_ns);
        last_ms = now_ms;
        last_ns = now_ns;
    }
    assert_true(last_ms <= ((int64_t)time(NULL) + 1) * SECOND_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_tells_a_story_of_jumps),
        cmocka_unit_test(clock_follows_the_small_rest_of_a_jump_that_was_taken_back),
        cmocka_unit_test(clock_starts_at_the_floor_when_the_wall_clock_is_behind_it),
        cmocka_unit_test(clock_starts_at_the_wall_clock_when_that_is_past_the_floor),
        cmocka_unit_test(a_thread_stopped_between_two_readings_is_not_a_jump),
        cmocka_unit_test(time_never_goes_back_and_never_leaps),
        cmocka_unit_test(a_test_clock_stands_still_until_it_is_set_forward),
        cmocka_unit_test(a_real_clock_cannot_be_set),
        cmocka_unit_test(the_real_clock_shows_the_system_s_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
