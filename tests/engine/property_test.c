/*
 * property_test.c: the engine between the rows of its stories, beside models too plain to be wrong.
 * Every run prints the seed that failed; WEIR_SEED and WEIR_RUNS repeat and lengthen.
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

#include "engine/rate.h"
#include "world.h"

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* Goal: the bucket is exact whatever its rate does.
 * Method: the model counts tokens in units of 1/(product of all periods), so that nothing is ever
 * rounded; the shape changes now and then; every answer and every wait must agree. */
static const struct pace_clock plain = {.ticks = 1, .speed = 1};

static void bucket_agrees_with_exact_tokens(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 200); seed++) {
        struct prng prng = {seed};
        struct rate_shape shape = {1 + prng_below(&prng, 20), 1 + prng_below(&prng, 20),
                                   (int64_t)(1 + prng_below(&prng, 30)) * 1000};
        /* The model's tokens, over one denominator per shape: exact while the shape stands. */
        int128 level = (int128)shape.burst * shape.per_ms;
        struct rate_slot slot;
        rate_at(NULL, &plain, 1, &(struct rate_terms){shape, &plain, 0, 0}, &slot);
        int64_t now_ms = 0;
        for (unsigned step = 0; step < 2000; step++) {
            const int64_t waited_ms = (int64_t)prng_below(&prng, 4000);
            now_ms += waited_ms;
            level += (int128)shape.limit * waited_ms;
            if (level > (int128)shape.burst * shape.per_ms)
                level = (int128)shape.burst * shape.per_ms;
            rate_at(&slot, &plain, 1, &(struct rate_terms){shape, &plain, 0, now_ms}, &slot);
            const uint64_t tokens = prng_below(&prng, shape.burst + 2);
            const int128 need = (int128)tokens * shape.per_ms;
            const int64_t wait_ms = rate_wait_ms(&slot, &plain, tokens);
            int64_t expected_ms = 0;
            if (tokens > shape.burst)
                expected_ms = INSTANT_NEVER;
            else if (level < need)
                expected_ms = (int64_t)((need - level + shape.limit - 1) / shape.limit);
            if (wait_ms != expected_ms) print_error("seed %" PRIu64 " step %u\n", seed, step);
            assert_true(wait_ms == expected_ms);
            if (wait_ms == 0) {
                slot.level -= (int64_t)tokens;
                level -= need;
            }
            if (prng_below(&prng, 50) != 0) continue;
            /* A new burst and limit, the same period: tokens stay, clipped (W3); full stays full.
             */
            const bool is_full = level == (int128)shape.burst * shape.per_ms;
            shape.limit = 1 + prng_below(&prng, 20);
            shape.burst = 1 + prng_below(&prng, 20);
            rate_at(&slot, &plain, 1, &(struct rate_terms){shape, &plain, now_ms, now_ms}, &slot);
            if (is_full || level > (int128)shape.burst * shape.per_ms)
                level = (int128)shape.burst * shape.per_ms;
        }
    }
}

static const char *const sliding_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features: {chat: {meters: [requests], unit: requests}}\n"
    "plans: {free: {features: {chat: {waterfall: [{allowance: {name: a, windows: [{limit: 20, per: "
    "17s, start: sliding}]}}]}}}}\n"};

#define SLIDING_LIMIT 20
#define SLIDING_PER_MS 17000
#define SLIDING_STEPS 3000

/* Goal: never more than the limit in any trailing 17 s, and never stricter than one resolution.
 * Method: all draws are kept in a list; sums are taken by walking it. */
static void sliding_windows_never_exceed_and_are_not_too_strict(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 5); seed++) {
        struct prng prng = {seed};
        struct world *world = world_open(sliding_policy, 1);
        static struct {
            int64_t at_ms;
            uint64_t units;
        } draws[SLIDING_STEPS];
        unsigned count = 0;
        int64_t now_ms = 0;
        for (unsigned step = 0; step < SLIDING_STEPS; step++) {
            now_ms += (int64_t)prng_below(&prng, 1500);
            const uint64_t units = 1 + prng_below(&prng, 6);
            char line[128];
            snprintf(line, sizeof line, "at +%" PRId64 "ms", now_ms);
            world_do(world, line);
            snprintf(line, sizeof line, "consume a chat requests=%" PRIu64, units);
            const bool allowed = strncmp(world_do(world, line), "allow", 5) == 0;
            uint64_t trailing = 0;
            uint64_t trailing_and_resolution = 0;
            for (unsigned i = count; i-- > 0 && draws[i].at_ms > now_ms - 2 * SLIDING_PER_MS;) {
                if (draws[i].at_ms > now_ms - SLIDING_PER_MS) trailing += draws[i].units;
                if (draws[i].at_ms > now_ms - SLIDING_PER_MS - SLIDING_PER_MS / 60)
                    trailing_and_resolution += draws[i].units;
            }
            if (allowed ? trailing + units > SLIDING_LIMIT
                        : trailing_and_resolution + units <= SLIDING_LIMIT)
                fail_msg("seed %" PRIu64 " step %u", seed, step);
            if (!allowed) continue;
            draws[count].at_ms = now_ms;
            draws[count++].units = units;
        }
        assert_true(count > SLIDING_STEPS / 10);
        world_close(world);
    }
}

static const char *const price_policy[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  unit: {meters: [tokens], unit: tokens, prices: tokens}\n"
    "  cost: {meters: [in, out], unit: cost, prices: model}\n"
    "prices:\n"
    "  tokens: [{name: t, rates: {tokens: {credits: \"0.00000125\", per: 777}}}]\n"
    "  model: [{name: m, rates: {in: {credits: \"0.000007\", per: 13}, out: {credits: "
    "\"0.000011\", per: 17}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      unit: {waterfall: [{grants: {category: paid}}]}\n"
    "      cost: {waterfall: [{grants: {category: paid}}]}\n"};

static int64_t charged(struct world *world, const char *line)
{
    world_do(world, line);
    const struct report *report = &world_fact(world)->report;
    assert_int_equal(report->outcome, OUTCOME_ALLOW);
    assert_false(report->has_overshoot);
    return report->charged;
}

/* Goal: any split of the same usage costs the same in total, to the nano-credit (U4).
 * Method: random pieces, consumed at once or held and committed, against one exact rational sum. */
static void splitting_usage_costs_the_same(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 20); seed++) {
        struct prng prng = {seed};
        struct world *world = world_open(price_policy, 1);
        world_check_purity(world, false);
        for (unsigned i = 0; i < 40; i++) /* many lots, so that charges run across them */
            world_do(world, "grant a paid 0.000005");
        world_do(world, "grant a paid 1000");
        uint128 tokens = 0;
        uint128 cost = 0; /* nano over 13 * 17 */
        int64_t paid_tokens = 0;
        int64_t paid_cost = 0;
        for (unsigned step = 0; step < 400; step++) {
            char line[160];
            const uint64_t a = prng_below(&prng, 50);
            const uint64_t b = prng_below(&prng, 50);
            const bool held = prng_below(&prng, 2) == 0;
            if (prng_below(&prng, 2) == 0) {
                tokens += a;
                if (held) {
                    snprintf(line, sizeof line, "H: authorize a unit tokens=%" PRIu64, a + b);
                    world_do(world, line);
                    snprintf(line, sizeof line, "commit H tokens=%" PRIu64, a);
                } else {
                    snprintf(line, sizeof line, "consume a unit tokens=%" PRIu64, a);
                }
                paid_tokens += charged(world, line);
            } else {
                cost += (uint128)a * 7000 * 17 + (uint128)b * 11000 * 13;
                if (held) {
                    snprintf(line, sizeof line, "H: authorize a cost in=%" PRIu64 " out=%" PRIu64,
                             a / 2, b * 2);
                    world_do(world, line);
                    snprintf(line, sizeof line, "commit H in=%" PRIu64 " out=%" PRIu64, a, b);
                } else {
                    snprintf(line, sizeof line, "consume a cost in=%" PRIu64 " out=%" PRIu64, a, b);
                }
                paid_cost += charged(world, line);
            }
        }
        const int64_t exact_tokens = (int64_t)(tokens * 1250 / 777);
        const int64_t exact_cost = (int64_t)(cost / (13 * 17));
        if (paid_tokens != exact_tokens || paid_cost != exact_cost)
            fail_msg("seed %" PRIu64 ": tokens %" PRId64 " of %" PRId64 ", cost %" PRId64
                     " of %" PRId64,
                     seed, paid_tokens, exact_tokens, paid_cost, exact_cost);
        world_close(world);
    }
}

static const char *const mixed_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 1h}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n"
    "  cost: {meters: [requests, in], unit: cost, prices: cost}\n"
    "prices:\n"
    "  chat: [{name: c, rates: {requests: {credits: \"0.7\", per: 3}}, minimum: \"0.5\"}]\n"
    "  cost: [{name: m, rates: {in: {credits: \"0.1\", per: 7}}}]\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 30, per: 10s, burst: 40, scope: "
    "subject}\n"
    "          - concurrency: {name: slots, limit: 6}\n"
    "          - budget: {name: cap, credits: \"9\", per: 1h, start: sliding}\n"
    "        waterfall:\n"
    "          - allowance: {name: inc, scope: subject, windows: [{limit: 9, per: 5m, start: "
    "first_use}, {limit: 20, per: 30m, start: sliding}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: over, credits: \"3\", per: hour, start: anchor}\n"
    "      solid:\n"
    "        overshoot: debt\n"
    "        waterfall:\n"
    "          - allowance: {name: one, scope: {level: 1}, windows: [{limit: 4, per: hour, start: "
    "calendar}]}\n"
    "          - grants: {category: paid}\n"
    "      cost:\n"
    "        on_failure: full\n"
    "        waterfall:\n"
    "          - allowance: {name: free, windows: [{credits: \"0.3\", per: 10m, start: "
    "first_use}]}\n"
    "          - grants: {category: paid}\n"
    "    recurring:\n"
    "      - grant: {name: gift, category: entitlement, credits: \"2\", per: hour, start: anchor, "
    "rollover_max: \"1\"}\n",
};

/* What the model knows of money: everything that came and went by the facts' own rows. */
struct tally {
    struct hash128 ids[3];
    int64_t sum[3]; /* per customer: entered - charged + refunded - lapsed + debt */
};

static void count_rows(void *self, const struct fact *fact)
{
    struct tally *books = self;
    unsigned customer = 0;
    while (customer < 3 && !hash_128_equal(fact->customer, books->ids[customer]))
        customer++;
    if (customer == 3) return; /* the policy */
    int64_t by_lines = 0;
    int64_t by_rows = 0;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind == EFFECT_DEBT) books->sum[customer] += effect->debt.delta;
        if (effect->kind != EFFECT_LOT) continue;
        const int64_t delta = effect->lot.remaining_delta + effect->lot.held_delta;
        books->sum[customer] += delta;
        if (effect->lot.cause == LOT_SETTLE || effect->lot.cause == LOT_CHARGE) by_rows -= delta;
    }
    /* A settled report's grant lines are exactly what left the lots. */
    const struct report *report = &fact->report;
    if (report->kind != COMMAND_COMMIT && report->kind != COMMAND_CONSUME &&
        report->kind != COMMAND_USAGE)
        return;
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind == SOURCE_GRANTS) by_lines += report->lines[i].charged;
    assert_int_equal(by_lines, by_rows);
    uint64_t units = 0;
    for (uint32_t i = 0; i < report->line_count; i++)
        units += report->lines[i].units;
    assert_int_equal(units, report->units_allowed);
}

static void random_line(struct prng *prng, unsigned customer, unsigned hold, char line[256])
{
    static const char *const features[] = {"chat", "solid", "cost"};
    static const char *const meters[] = {"requests", "requests", "in"};
    const unsigned f = (unsigned)prng_below(prng, 3);
    const unsigned long long n = prng_below(prng, 12);
    const unsigned subject = (unsigned)prng_below(prng, 3);
    const unsigned old = hold > 12 ? hold - (unsigned)prng_below(prng, 12) : hold;
    switch (prng_below(prng, 14)) {
    case 0:
        sprintf(line, "grant c%u %s 0.%03u until=+%um", customer,
                prng_below(prng, 2) == 0 ? "paid" : "promotional",
                1 + (unsigned)prng_below(prng, 999), 1 + (unsigned)prng_below(prng, 90));
        return;
    case 1:
        sprintf(line, "grant c%u paid %u.5 priority=%d from=+%um", customer,
                (unsigned)prng_below(prng, 3), (int)prng_below(prng, 3) - 1,
                (unsigned)prng_below(prng, 30));
        return;
    case 2:
    case 3:
        sprintf(line, "consume c%u %s %s=%llu subject=t%u/x%s", customer, features[f], meters[f], n,
                subject, prng_below(prng, 4) == 0 ? " min=1" : "");
        return;
    case 4:
    case 5:
    case 6:
        sprintf(line, "h%u: authorize c%u %s %s=%llu subject=t%u ttl=%us key=k%u%s", hold, customer,
                features[f], meters[f], n, subject, 1 + (unsigned)prng_below(prng, 200),
                (unsigned)prng_below(prng, 400), prng_below(prng, 3) == 0 ? " min=1" : "");
        return;
    case 7:
    case 8:
        sprintf(line, "commit h%u%s", old, prng_below(prng, 5) == 0 ? " status=failed" : "");
        return;
    case 9:
        sprintf(line, "release h%u", old);
        return;
    case 10:
        sprintf(line, "extend h%u requests=%u ttl=90s", old, (unsigned)prng_below(prng, 3));
        return;
    case 11:
        sprintf(line, "refund h%u 0.%u", old, 1 + (unsigned)prng_below(prng, 9));
        return;
    case 12:
        sprintf(line, "usage c%u %s %s=%llu", customer, features[f], meters[f], n);
        return;
    default:
        sprintf(line, "customer c%u mode=%s", customer, prng_below(prng, 4) == 0 ? "ask" : "auto");
        return;
    }
}

/* Goal: whatever happens in whatever order, money is conserved, no balance but debt is below zero,
 * deciding changes nothing, and a replay of the facts gives the same state.
 * Method: random lines; the world checks purity, codecs and the twin behind each. */
static void money_is_conserved_in_random_runs(void **state)
{
    (void)state;
    static const char *const names[] = {"c0", "c1", "c2"};
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 12); seed++) {
        struct prng prng = {seed};
        struct world *world = world_open(mixed_policy, 1);
        world_remember(world, (enum world_memory)(seed % (MEMORY_WITHOUT_BOOKS + 1)));
        struct tally books = {0};
        for (unsigned i = 0; i < 3; i++)
            books.ids[i] = customer_id(world_engine(world), bytes_of_text(names[i]));
        world_observe(world, count_rows, &books);
        int64_t now_ms = 0;
        unsigned hold = 0;
        for (unsigned step = 0; step < 500; step++) {
            char line[256];
            if (prng_below(&prng, 3) == 0) {
                now_ms += (int64_t)prng_below(&prng, 120000);
                sprintf(line, "at +%" PRId64 "ms", now_ms);
            } else {
                random_line(&prng, (unsigned)prng_below(&prng, 3), hold, line);
                if (line[0] == 'h') hold = (hold + 1) % 400;
            }
            world_do(world, line);
            for (unsigned i = 0; i < 3; i++) {
                static struct balance_view view;
                if (!engine_balance(world_engine(world), world_policy(world),
                                    bytes_of_text(names[i]), world_now(world), &view))
                    continue;
                if (view.available - view.debt < 0 || view.held < 0 || view.debt > 0 ||
                    view.available + view.held != books.sum[i])
                    fail_msg("seed %" PRIu64 " step %u (%s): available %" PRId64 " held %" PRId64
                             " debt %" PRId64 ", rows say %" PRId64,
                             seed, step, line, view.available, view.held, view.debt, books.sum[i]);
            }
        }
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_agrees_with_exact_tokens),
        cmocka_unit_test(sliding_windows_never_exceed_and_are_not_too_strict),
        cmocka_unit_test(splitting_usage_costs_the_same),
        cmocka_unit_test(money_is_conserved_in_random_runs),
    };
    return cmocka_run_group_tests_name("properties", tests, NULL, NULL);
}
