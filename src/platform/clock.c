#include "platform/clock.h"

#include <time.h>

/* What is left of real time while the wall clock catches up: 15 of 16 ms. */
#define CATCH_UP_SHARE 16
#define BRACKET_TRIES 8

struct reading {
    int64_t wall_ms;
    int64_t boot_ms;
};

static int64_t read_ms(clockid_t which)
{
    struct timespec now;
    ENSURE(clock_gettime(which, &now) == 0);
    return (int64_t)now.tv_sec * SECOND_MS + now.tv_nsec / 1000000;
}

static int64_t real_wall_ms(void *context)
{
    (void)context;
    return read_ms(CLOCK_REALTIME);
}

static int64_t real_boot_ms(void *context)
{
    (void)context;
    return read_ms(CLOCK_BOOTTIME);
}

static struct reading read_both(const struct clock_source *source)
{
    struct reading reading;
    reading.wall_ms = source->wall_ms(source->context);
    reading.boot_ms = source->boot_ms(source->context);
    return reading;
}

/* Both at one instant, as nearly as can be had: a thread that lost its processor between the two
 * readings must not take that for a jump. */
static struct reading read_bracketed(const struct clock_source *source)
{
    struct reading reading = {0};
    for (unsigned try = 0; try < BRACKET_TRIES; try++) {
        const int64_t before_ms = source->boot_ms(source->context);
        reading = read_both(source);
        if (reading.boot_ms - before_ms <= 1) break;
    }
    return reading;
}

static bool is_jump(int64_t change_ms)
{
    return change_ms > CLOCK_JITTER_MS || change_ms < -CLOCK_JITTER_MS;
}

/* From here on time runs by the boot clock alone, until the wall clock has caught up. */
static void run_ahead_from(struct clock *clock, int64_t now_ms, int64_t boot_ms)
{
    clock->is_ahead = true;
    clock->anchor_now_ms = now_ms;
    clock->anchor_boot_ms = boot_ms;
}

static void note_jump(struct clock *clock, int64_t change_ms)
{
    struct clock_state *state = &clock->state;
    if (change_ms > CLOCK_JUMP_MS_MAX) {
        state->jumps_forward++;
        state->unconfirmed_ms += change_ms;
    } else if (change_ms < 0) {
        state->jumps_back++;
        /* First it takes back what was not followed; a rest small enough is then followed. */
        state->unconfirmed_ms += change_ms;
        if (state->unconfirmed_ms <= CLOCK_JUMP_MS_MAX) state->unconfirmed_ms = 0;
    }
}

struct clock clock_over(struct clock_source source, int64_t floor_ms)
{
    struct clock clock = {.source = source};
    const struct reading reading = read_bracketed(&source);
    clock.difference_ms = reading.wall_ms - reading.boot_ms;
    clock.state.now_ms = reading.wall_ms;
    if (floor_ms > reading.wall_ms) {
        clock.state.now_ms = floor_ms;
        clock.state.ahead_ms = floor_ms - reading.wall_ms;
        run_ahead_from(&clock, floor_ms, reading.boot_ms);
    }
    clock.boot_ms = reading.boot_ms;
    return clock;
}

struct clock clock_real(int64_t floor_ms)
{
    return clock_over((struct clock_source){.wall_ms = real_wall_ms, .boot_ms = real_boot_ms},
                      floor_ms);
}

struct clock clock_test(int64_t start_ms)
{
    return (struct clock){
        .state = {.now_ms = start_ms, .is_test = true}
    };
}

int64_t clock_now_ms(struct clock *clock)
{
    struct clock_state *state = &clock->state;
    if (state->is_test) return state->now_ms;

    struct reading reading = read_both(&clock->source);
    if (is_jump(reading.wall_ms - reading.boot_ms - clock->difference_ms))
        reading = read_bracketed(&clock->source);
    const int64_t change_ms = reading.wall_ms - reading.boot_ms - clock->difference_ms;
    if (is_jump(change_ms)) note_jump(clock, change_ms);
    /* At the last reading: the time that has passed since then has passed all the same. */
    if (is_jump(change_ms) && change_ms < 0 && !clock->is_ahead)
        run_ahead_from(clock, state->now_ms, clock->boot_ms);
    clock->difference_ms += change_ms;
    clock->boot_ms = reading.boot_ms;

    const int64_t followed_ms = reading.wall_ms - state->unconfirmed_ms;
    int64_t now_ms = followed_ms;
    if (clock->is_ahead) {
        const int64_t passed_ms = reading.boot_ms - clock->anchor_boot_ms;
        now_ms = clock->anchor_now_ms + passed_ms - passed_ms / CATCH_UP_SHARE;
        if (now_ms <= followed_ms) {
            clock->is_ahead = false;
            now_ms = followed_ms;
        }
    }
    if (now_ms > state->now_ms) state->now_ms = now_ms;
    state->ahead_ms = clock->is_ahead ? state->now_ms - followed_ms : 0;
    return state->now_ms;
}

struct clock_state clock_state(const struct clock *clock)
{
    return clock->state;
}

void clock_confirm(struct clock *clock)
{
    clock->state.unconfirmed_ms = 0;
}

bool clock_test_set(struct clock *clock, int64_t now_ms)
{
    ENSURE(clock->state.is_test);
    if (now_ms < clock->state.now_ms) return false;
    clock->state.now_ms = now_ms;
    return true;
}

int64_t clock_monotonic_ns(void)
{
    struct timespec now;
    ENSURE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
