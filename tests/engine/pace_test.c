/*
 * pace_test.c: buckets under pools and standings beside a model that keeps the whole history of
 * every factor and adds up what each stretch of it refills, in parts so small that nothing is ever
 * rounded. The engine keeps four sums of a pool and two numbers of a bucket.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

#define PACED(gate)                                                                      \
    "version: 1\n"                                                                       \
    "defaults: {plan: free}\n"                                                           \
    "features: {chat: {meters: [requests], unit: requests}}\n"                           \
    "pools: {gpu: {capacity: 9, per: 1s, meter: requests}, cpu: {capacity: 9, per: 1s, " \
    "meter: requests}}\n"                                                                \
    "plans: {free: {features: {chat: {gates: [{rate: " gate                              \
    "}], waterfall: [{unlimited: {}}]}}}}\n"
static const char *const policies[] = {
    PACED("{name: pace, limit: 7, per: 10s, burst: 9, scope: subject, pool: gpu}"),
    PACED("{name: pace, limit: 7, per: 10s, burst: 9, scope: subject}"),
    PACED("{name: pace, limit: 31, per: 10s, burst: 20, scope: subject, pool: gpu}"),
    PACED("{name: pace, limit: 7, per: 10s, burst: 9, scope: subject, pool: cpu}"),
};
#define PER_MS 10000
#define TICKS 256 /* a part is 1 / (TICKS * PER_MS) of a token */
#define TOKEN ((int128)TICKS * PER_MS)

enum { GPU = 1, CPU = 2 };
static const struct {
    int64_t limit;
    int64_t burst;
    unsigned pool;
} gates[] = {
    { 7,  9, GPU},
    { 7,  9,   0},
    {31, 20, GPU},
    { 7,  9, CPU}
};

#define CHANGES_MAX 4096
struct history {
    unsigned count;
    struct {
        int64_t at_ms;
        int factor;
    } changes[CHANGES_MAX];
};

struct model_bucket {
    bool is_used;
    int128 parts; /* level */
    int64_t at_ms;
    int64_t limit, burst;
    unsigned pool; /* that had been said something of by then */
    enum standing standing;
};

#define SUBJECTS 3u
struct model {
    struct history pools[3];
    struct model_bucket buckets[SUBJECTS];
    unsigned policy;
    int64_t own_limit; /* an override; 0: none */
    int64_t changed_ms;
    enum standing customer;
    enum standing subjects[SUBJECTS];
};

/* Ticks in a millisecond: the standing's share of a factor in 64ths. */
static int64_t speed_of(int factor, enum standing standing)
{
    static const int quarters[] = {
        [STANDING_NORMAL] = 4, [STANDING_RESTRICTED] = 1, [STANDING_PROBATION] = 2};
    if (standing != STANDING_TRUSTED) return (int64_t)factor * TICKS * quarters[standing] / 64 / 4;
    if (factor == 64) return TICKS * 5 / 4;
    return TICKS - (64 - factor) * TICKS / 64 / 2;
}

static int factor_now(const struct history *history)
{
    return history->count == 0 ? 64 : history->changes[history->count - 1].factor;
}
static int64_t since(const struct history *history)
{
    return history->count == 0 ? 0 : history->changes[history->count - 1].at_ms;
}

/* What a clock counts in [from, to), stretch by stretch. */
static int64_t ticks_between(const struct history *history, enum standing standing, int64_t from,
                             int64_t to)
{
    int64_t sum = 0;
    int factor = 64;
    for (unsigned i = 0; i < history->count && from < to; i++) {
        const int64_t at_ms = history->changes[i].at_ms;
        if (at_ms > from) {
            const int64_t end = at_ms < to ? at_ms : to;
            sum += (end - from) * speed_of(factor, standing);
            from = end;
        }
        factor = history->changes[i].factor;
    }
    return from < to ? sum + (to - from) * speed_of(factor, standing) : sum;
}

static void refill(struct model_bucket *bucket, int64_t ticks)
{
    const int128 full = bucket->burst * TOKEN;
    bucket->parts += (int128)ticks * bucket->limit;
    if (bucket->parts > full) bucket->parts = full;
}

static int64_t later(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static enum standing worse(enum standing left, enum standing right)
{
    static const int badness[] = {[STANDING_RESTRICTED] = 3,
                                  [STANDING_PROBATION] = 2,
                                  [STANDING_TRUSTED] = 1,
                                  [STANDING_NORMAL] = 0};
    return badness[left] > badness[right] ? left : right;
}

/* The bucket as it stood when the clock that it has now changed last, or when it was written. */
static struct model_bucket model_meet(const struct model *model, unsigned subject, int64_t now_ms)
{
    struct model_bucket bucket = model->buckets[subject];
    const unsigned named = gates[model->policy].pool;
    const unsigned pool = model->pools[named].count == 0 ? 0 : named;
    const enum standing standing = worse(model->customer, model->subjects[subject]);
    const int64_t limit = model->own_limit != 0 ? model->own_limit : gates[model->policy].limit;
    const int64_t burst = gates[model->policy].burst;
    if (!bucket.is_used)
        return (struct model_bucket){true, burst * TOKEN, now_ms, limit, burst, pool, standing};
    if (bucket.pool == 0 && pool != 0 && bucket.at_ms <= model->pools[pool].changes[0].at_ms)
        bucket.pool = pool;
    const bool same_clock = bucket.pool == pool && bucket.standing == standing;
    if (!same_clock || bucket.limit != limit || bucket.burst != burst) {
        int64_t over_ms = later(model->changed_ms, since(&model->pools[bucket.pool]));
        over_ms = later(over_ms, since(&model->pools[pool]));
        over_ms = later(over_ms, bucket.at_ms);
        refill(&bucket,
               ticks_between(&model->pools[bucket.pool], bucket.standing, bucket.at_ms, over_ms));
        const bool is_full = bucket.parts == bucket.burst * TOKEN;
        /* The plain clock counts in whole milliseconds. */
        if (!same_clock && pool == 0 && standing == STANDING_NORMAL && bucket.parts % TICKS != 0)
            bucket.parts -= (bucket.parts % TICKS + TICKS) % TICKS;
        if (is_full || bucket.parts > burst * TOKEN) bucket.parts = burst * TOKEN;
        bucket = (struct model_bucket){true, bucket.parts, over_ms, limit, burst, pool, standing};
    }
    if (pool != 0 && bucket.at_ms < since(&model->pools[pool])) {
        const int64_t to_ms = since(&model->pools[pool]);
        refill(&bucket, ticks_between(&model->pools[pool], standing, bucket.at_ms, to_ms));
        bucket.at_ms = to_ms;
    }
    return bucket;
}

static int64_t model_speed(const struct model *model, const struct model_bucket *bucket)
{
    return speed_of(factor_now(&model->pools[bucket->pool]), bucket->standing);
}

static enum reason model_reason(const struct model *model, const struct model_bucket *met,
                                int64_t waited_ms, uint64_t tokens)
{
    if ((int64_t)tokens > met->burst) return REASON_RATE_LIMITED;
    const int64_t speeds[] = {speed_of(factor_now(&model->pools[met->pool]), STANDING_NORMAL),
                              later(TICKS, speed_of(64, met->standing))};
    const enum reason reasons[] = {REASON_ABNORMAL_USAGE, REASON_TEMPORARY_REDUCED_CAPACITY};
    for (unsigned i = 0; i < COUNT_OF(speeds); i++) {
        struct model_bucket other = *met;
        refill(&other, waited_ms * speeds[i]);
        if (speeds[i] > model_speed(model, met) && other.parts >= (int128)tokens * TOKEN)
            return reasons[i];
    }
    return REASON_RATE_LIMITED;
}

struct run {
    struct world *world;
    struct prng prng;
    struct model model;
    int64_t elapsed_ms;
    uint64_t seed;
    unsigned step;
};

static int64_t now_of(const struct run *run)
{
    return WORLD_START_MS + run->elapsed_ms;
}

static void ask(struct run *run)
{
    static const char *const verbs[] = {"consume", "consume", "check", "usage"};
    char line[128];
    const char *verb = verbs[prng_below(&run->prng, COUNT_OF(verbs))];
    const unsigned subject = (unsigned)prng_below(&run->prng, SUBJECTS);
    const uint64_t tokens = 1 + prng_below(&run->prng, prng_below(&run->prng, 4) == 0 ? 21 : 4);
    const struct model_bucket met = model_meet(&run->model, subject, now_of(run));
    struct model_bucket bucket = met;
    const int64_t waited_ms = now_of(run) - met.at_ms;
    refill(&bucket,
           ticks_between(&run->model.pools[met.pool], met.standing, met.at_ms, now_of(run)));
    bucket.at_ms = now_of(run);
    snprintf(line, sizeof line, "%s a chat requests=%" PRIu64 " subject=u%u", verb, tokens,
             subject);
    world_do(run->world, line);
    const struct report *report = &world_fact(run->world)->report;
    const int128 missing = (int128)tokens * TOKEN - bucket.parts;
    if (verb[0] != 'u' && missing > 0) {
        const int64_t a_ms = bucket.limit * model_speed(&run->model, &bucket);
        int64_t wait_ms = (int64_t)((missing + a_ms - 1) / a_ms);
        if ((int64_t)tokens > bucket.burst) wait_ms = -1;
        const enum reason reason = model_reason(&run->model, &met, waited_ms, tokens);
        if (report->outcome != OUTCOME_DENY || report->reason != reason ||
            report->retry_after_ms != wait_ms)
            fail_msg("seed %" PRIu64 " step %u: %s: %s retry %" PRId64 ", expected %s %" PRId64,
                     run->seed, run->step, line, reason_code(report->reason),
                     report->retry_after_ms, reason_code(reason), wait_ms);
        return;
    }
    if (report->outcome != OUTCOME_ALLOW)
        fail_msg("seed %" PRIu64 " step %u: %s: %s, expected to pass", run->seed, run->step, line,
                 reason_code(report->reason));
    if (verb[1] == 'h') return;
    bucket.parts -= (int128)tokens * TOKEN;
    run->model.buckets[subject] = bucket;
}

static void change_pool(struct run *run)
{
    static const char *const names[] = {"", "gpu", "cpu"};
    char line[64];
    struct history *history = &run->model.pools[GPU + prng_below(&run->prng, 2)];
    const int factor = 1 + (int)prng_below(&run->prng, 64);
    const unsigned pool = (unsigned)(history - run->model.pools);
    const bool is_off = prng_below(&run->prng, 4) == 0;
    if (is_off)
        snprintf(line, sizeof line, "pool %s none", names[pool]);
    else
        snprintf(line, sizeof line, "pool %s %d.%06d", names[pool], factor / 64,
                 factor % 64 * 15625);
    const uint64_t entries = world_entry_count(run->world);
    world_do(run->world, line);
    assert_int_equal(world_entry_count(run->world), entries + 1);
    if (world_fact(run->world)->effect_count == 0) return; /* nothing new was said */
    history->changes[history->count].at_ms = now_of(run);
    history->changes[history->count++].factor = is_off ? 64 : factor;
    assert_true(history->count < CHANGES_MAX);
}

static void change_standing(struct run *run)
{
    static const char *const words[] = {"normal", "restricted", "probation", "trusted"};
    char line[64];
    const enum standing standing = (enum standing)prng_below(&run->prng, STANDINGS);
    const unsigned subject = (unsigned)prng_below(&run->prng, SUBJECTS + 1);
    enum standing *said =
        subject == SUBJECTS ? &run->model.customer : &run->model.subjects[subject];
    if (subject == SUBJECTS)
        snprintf(line, sizeof line, "standing a %s", words[standing]);
    else
        snprintf(line, sizeof line, "standing a/u%u %s", subject, words[standing]);
    world_do(run->world, line);
    if (*said != standing) run->model.changed_ms = now_of(run);
    *said = standing;
}

static void step(struct run *run)
{
    char line[64];
    switch (prng_below(&run->prng, 24)) {
    case 0:
    case 1:
        change_pool(run);
        return;
    case 2:
        change_standing(run);
        return;
    case 3:
        if (prng_below(&run->prng, 3) != 0) return;
        run->model.policy = (unsigned)prng_below(&run->prng, COUNT_OF(policies));
        snprintf(line, sizeof line, "policy %u", run->model.policy);
        run->model.changed_ms = now_of(run);
        break;
    case 4:
        if (prng_below(&run->prng, 3) != 0) return;
        run->model.own_limit = prng_below(&run->prng, 2) == 0 ? 0 : 13;
        snprintf(line, sizeof line, "customer a limit.pace=%s",
                 run->model.own_limit == 0 ? "none" : "13");
        run->model.changed_ms = now_of(run);
        break;
    case 5:
        run->elapsed_ms += (int64_t)prng_below(&run->prng, 200000);
        snprintf(line, sizeof line, "at +%" PRId64 "ms", run->elapsed_ms);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
        run->elapsed_ms += (int64_t)prng_below(&run->prng, 3000);
        snprintf(line, sizeof line, "at +%" PRId64 "ms", run->elapsed_ms);
        break;
    default:
        ask(run);
        return;
    }
    world_do(run->world, line);
}

/* Goal: a bucket holds what the history of its clock says, to the part of a token, and a refusal
 * says the right reason and the right millisecond.
 * Method: random changes of pools, standings, policies and limits, while the world forgets full
 * buckets at other times than its twin. */
static void buckets_agree_with_their_history(void **state)
{
    (void)state;
    static struct run run;
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 40); seed++) {
        run = (struct run){
            .world = world_open(policies, COUNT_OF(policies)), .prng = {seed}, .seed = seed};
        world_remember(run.world, seed % 2 == 0 ? MEMORY_NONE : MEMORY_SHORT);
        if (seed % 4 != 1) world_check_purity(run.world, false);
        world_do(run.world, "customer a plan=free");
        run.model.changed_ms = WORLD_START_MS;
        for (run.step = 0; run.step < 600; run.step++) {
            step(&run);
        }
        world_close(run.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_agree_with_their_history),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
