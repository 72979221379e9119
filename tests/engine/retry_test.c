/*
 * retry_test.c: how long to wait (SEMANTICS S8), beside an oracle that waits: a second engine is
 * made from the journal, time goes on in it for good, what falls due happens, and the same request
 * is asked at every millisecond (or, where days lie ahead, at every moment at which a window can
 * end or anything falls due). Every run prints the seed that failed; WEIR_SEED and WEIR_RUNS repeat
 * and lengthen.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "world.h"

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* --- the oracle ------------------------------------------------------------------------------ */

static const struct engine_ceilings small = {.customers = 64,
                                             .scopes = 1024,
                                             .slots = 8192,
                                             .rings = 1024,
                                             .grants = 8192,
                                             .holds = 8192,
                                             .lines = 32768,
                                             .keys = 16384};

struct oracle {
    void *block;
    struct engine *engine;
    const struct policy *policy;
    struct fact *fact;
    struct command due;
    uint64_t position;
};

static void *zeroes(size_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(block != MAP_FAILED);
    return block;
}

static void oracle_open(struct oracle *oracle, const struct world *world)
{
    oracle->block = zeroes(engine_bytes(small));
    oracle->engine = engine_over(oracle->block, small, WORLD_KEY);
    oracle->policy = world_policy(world);
    oracle->fact = zeroes(sizeof *oracle->fact);
    for (uint64_t i = 0; i < world_entry_count(world); i++) {
        const struct entry entry = world_entry(world, i);
        assert_true(fact_decode(entry.fact, oracle->fact));
        oracle->fact->at_ms = entry.at_ms;
        oracle->position =
            position_make(2 + i / WORLD_BATCH_ENTRIES, (uint32_t)(i % WORLD_BATCH_ENTRIES));
        oracle->fact->position = oracle->position;
        engine_apply(oracle->engine, oracle->fact);
    }
}

static void oracle_close(struct oracle *oracle)
{
    munmap(oracle->fact, sizeof *oracle->fact);
    munmap(oracle->block, engine_bytes(small));
}

static struct ruling ask(struct engine *engine, const struct policy *policy,
                         const struct command *command, int64_t at_ms, uint64_t position,
                         struct fact *fact)
{
    return engine_decide(engine, policy, command, (struct stamp){at_ms, position}, fact);
}

static bool oracle_passes(struct oracle *oracle, const struct command *command, int64_t at_ms)
{
    for (;;) {
        const struct stamp stamp = {at_ms, oracle->position + 1};
        if (!engine_due(oracle->engine, oracle->policy, stamp, &oracle->due, oracle->fact)) break;
        oracle->position++;
        engine_apply(oracle->engine, oracle->fact);
    }
    const struct ruling ruling =
        ask(oracle->engine, oracle->policy, command, at_ms, oracle->position + 1, oracle->fact);
    return ruling.kind == RULING_ANSWER && oracle->fact->report.outcome != OUTCOME_DENY;
}

/* --- what is asked ---------------------------------------------------------------------------- */

struct question {
    struct command command;
    int64_t wait_ms; /* as the engine says; -1: null */
};

/* False: it passes now, or its refusal says nothing of waiting. */
static bool question_ask(struct question *question, struct world *world, const char *feature,
                         uint64_t units, uint64_t min_units)
{
    static struct fact fact;
    question->command = (struct command){
        .kind = COMMAND_CHECK,
        .customer = BYTES("a"),
        .feature = bytes_of_text(feature),
        .has_min_units = min_units != 0,
        .min_units = min_units,
        .quantity_count = 1,
        .quantities = {{BYTES("requests"), units}},
    };
    const struct ruling ruling = ask(world_engine(world), world_policy(world), &question->command,
                                     world_now(world), UINT64_C(1) << 50, &fact);
    question->wait_ms = fact.report.retry_after_ms;
    return ruling.kind == RULING_ANSWER && fact.report.outcome == OUTCOME_DENY &&
           (fact.report.reason == REASON_RATE_LIMITED ||
            fact.report.reason == REASON_ALLOWANCE_EXHAUSTED);
}

/* Tells apart what the truth is from what was said; the earliest wait within the horizon, or -1. */
static int64_t truth_by_millisecond(const struct question *question, const struct world *world,
                                    int64_t horizon_ms)
{
    struct oracle oracle = {0};
    oracle_open(&oracle, world);
    int64_t wait_ms = 1;
    while (wait_ms <= horizon_ms &&
           !oracle_passes(&oracle, &question->command, world_now(world) + wait_ms))
        wait_ms++;
    oracle_close(&oracle);
    return wait_ms <= horizon_ms ? wait_ms : -1;
}

/* --- small worlds, to the millisecond --------------------------------------------------------- */

#define FEATURES                                                                                   \
    "version: 1\n"                                                                                 \
    "defaults: {plan: free, hold_ttl: 2s}\n"                                                       \
    "features:\n"                                                                                  \
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"                \
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n"              \
    "  other: {meters: [requests], unit: requests, divisible: true, prices: other}\n"              \
    "prices:\n"                                                                                    \
    "  chat:\n"                                                                                    \
    "    - {name: message, rates: {requests: {credits: \"1\", per: 1}}}\n"                         \
    "    - {name: message, from: 2026-05-01T12:00:07Z, rates: {requests: {credits: \"0.5\", per: " \
    "1}}}\n"                                                                                       \
    "    - {name: message, from: 2026-05-01T12:00:09Z, rates: {requests: {credits: \"2\", per: "   \
    "1}}}\n"                                                                                       \
    "  other:\n"                                                                                   \
    "    - {name: third, rates: {requests: {credits: \"1\", per: 3}}, minimum: \"1\"}\n"

static const char *const small_policies[][1] = {
    {FEATURES
     "plans:\n"
     "  free:\n"
     "    features:\n"
     "      chat:\n"
     "        gates:\n"
     "          - rate: {name: pace, meter: requests, limit: 7, per: 3s, burst: 9}\n"
     "          - concurrency: {name: slots, limit: 2}\n"
     "        waterfall:\n"
     "          - allowance: {name: two, windows: [{limit: 6, per: 2s, start: first_use}, "
     "{limit: 9, per: 5s, start: sliding}]}\n"
     "          - grants: {category: promotional}\n"
     "      solid:\n"
     "        gates:\n"
     "          - budget: {name: cap, credits: \"7\", per: 4s, start: first_use}\n"
     "          - rate: {name: pace, meter: requests, limit: 3, per: 1s, burst: 30}\n"
     "        waterfall:\n"
     "          - allowance: {name: roll, windows: [{limit: 8, per: 4s, start: sliding}]}\n"
     "          - grants: {category: promotional}\n"
     "          - allowance: {name: late, windows: [{limit: 5, per: 3s, start: "
     "first_use}]}\n"
     "          - grants: {category: entitlement}\n"
     "      other:\n"
     "        gates:\n"
     "          - budget: {name: cap, credits: \"3\", per: 6s, start: sliding}\n"
     "        waterfall:\n"
     "          - grants: {category: promotional}\n"
     "          - grants: {category: entitlement}\n"},
    {FEATURES
     "plans:\n"
     "  free:\n"
     "    features:\n"
     "      chat:\n"
     "        waterfall:\n"
     "          - grants: {category: entitlement}\n"
     "          - allowance: {name: one, windows: [{limit: 3, per: 7s, start: "
     "first_use}]}\n"
     "      solid:\n"
     "        gates:\n"
     "          - concurrency: {name: slots, limit: 1}\n"
     "        waterfall:\n"
     "          - grants: {category: promotional}\n"
     "          - grants: {category: paid}\n"
     "          - overage: {name: over, credits: \"4\", per: 5s, start: first_use}\n"
     "      other:\n"
     "        waterfall:\n"
     "          - allowance: {name: hour, windows: [{limit: 4, per: 1s, start: first_use}, "
     "{limit: 11, per: 3s, start: sliding}, {limit: 30, per: 9s, start: sliding}]}\n"
     "          - grants: {category: promotional}\n"
     "          - grants: {category: entitlement}\n"},
};

static const char *const features[] = {"chat", "solid", "other"};

static void act(struct world *world, struct prng *prng, int64_t *now_ms)
{
    static const char *const categories[] = {"promotional", "entitlement", "paid"};
    char line[160];
    *now_ms += (int64_t)prng_below(prng, 300);
    snprintf(line, sizeof line, "at +%" PRId64 "ms", *now_ms);
    world_do(world, line);
    const char *feature = features[prng_below(prng, COUNT_OF(features))];
    const uint64_t units = prng_below(prng, 5);
    const uint64_t label = prng_below(prng, 8);
    switch (prng_below(prng, 10)) {
    case 0:
        snprintf(line, sizeof line, "commit H%" PRIu64 " requests=%" PRIu64, label, units);
        break;
    case 1:
        snprintf(line, sizeof line, "extend H%" PRIu64 " requests=%" PRIu64 " ttl=%" PRIu64 "ms",
                 label, units, 1000 + prng_below(prng, 4000));
        break;
    case 2:
    case 3:
        snprintf(line, sizeof line,
                 "grant a %s %" PRIu64 ".%" PRIu64 " from=+%" PRIu64 "ms until=+%" PRIu64 "ms%s",
                 categories[prng_below(prng, 3)], 1 + prng_below(prng, 4), prng_below(prng, 10),
                 1 + prng_below(prng, 3000), 3001 + prng_below(prng, 5000),
                 prng_below(prng, 3) == 0 ? " features=chat" : "");
        break;
    case 4:
        snprintf(line, sizeof line, "consume a %s requests=%" PRIu64, feature, units);
        break;
    case 5:
        snprintf(line, sizeof line, "customer a mode=%s",
                 prng_below(prng, 2) == 0 ? "off" : "auto");
        break;
    default:
        snprintf(line, sizeof line,
                 "H%" PRIu64 ": authorize a %s requests=%" PRIu64 " ttl=%" PRIu64 "ms", label,
                 feature, units, 1000 + prng_below(prng, 5000));
        break;
    }
    world_do(world, line);
}

#define SMALL_HORIZON_MS 16000 /* by then all is over but what never is */

/* Goal: what is said is the earliest millisecond, and null where there is none. */
static void waits_are_the_earliest_to_the_millisecond(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    unsigned asked = 0;
    unsigned never = 0;
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 40); seed++) {
        struct prng prng = {seed};
        struct world *world =
            world_open_with(small_policies[prng_below(&prng, COUNT_OF(small_policies))], 1, small);
        world_check_purity(world, false);
        int64_t now_ms = 0;
        for (uint64_t step = 10 + prng_below(&prng, 30); step > 0; step--)
            act(world, &prng, &now_ms);
        for (unsigned i = 0; i < 4; i++) {
            struct question question;
            const char *feature = features[prng_below(&prng, COUNT_OF(features))];
            const uint64_t units = 1 + prng_below(&prng, 16);
            const uint64_t min_units = prng_below(&prng, 3) == 0 ? 1 + prng_below(&prng, units) : 0;
            if (!question_ask(&question, world, feature, units, min_units)) continue;
            const int64_t truth_ms = truth_by_millisecond(&question, world, SMALL_HORIZON_MS);
            if (question.wait_ms != truth_ms)
                fail_msg("seed %" PRIu64 ": %s %" PRIu64 " min %" PRIu64 " at +%" PRId64
                         "ms: said %" PRId64 ", is %" PRId64,
                         seed, feature, units, min_units, now_ms, question.wait_ms, truth_ms);
            asked++;
            never += truth_ms < 0;
        }
        world_close(world);
    }
    print_message("%u waits, of them %u for ever\n", asked, never);
    assert_true(getenv("WEIR_RUNS") != NULL || (asked > 40 && never > 5 && asked - never > 20));
}

/* --- large worlds, from moment to moment ------------------------------------------------------ */

/* When a window may end that something was drawn from. */
struct edges {
    int64_t at_ms[65536];
    unsigned count;
};
static struct edges edges;

static const int64_t fixed_ms[] = {2 * HOUR_MS, 9 * HOUR_MS};
static const int64_t sliding_ms[] = {HOUR_MS, 6 * HOUR_MS};

static void note_edges(int64_t at_ms)
{
    for (unsigned i = 0; i < COUNT_OF(fixed_ms); i++)
        edges.at_ms[edges.count++] = at_ms + fixed_ms[i];
    for (unsigned i = 0; i < COUNT_OF(sliding_ms); i++) {
        const int64_t slot_ms = sliding_ms[i] / 60;
        edges.at_ms[edges.count++] = at_ms / slot_ms * slot_ms + slot_ms - 1 + sliding_ms[i];
    }
    assert_true(edges.count + 8 < COUNT_OF(edges.at_ms));
}

static int64_t edge_after(int64_t at_ms)
{
    int64_t next_ms = (at_ms / HOUR_MS + 1) * HOUR_MS; /* hours, days and prices begin on these */
    for (unsigned i = 0; i < edges.count; i++)
        if (edges.at_ms[i] > at_ms && edges.at_ms[i] < next_ms) next_ms = edges.at_ms[i];
    return next_ms;
}

/* Whether it passes after a wait: whoever says so must be right. */
static bool passes_after(const struct question *question, const struct world *world,
                         int64_t wait_ms)
{
    struct oracle oracle = {0};
    oracle_open(&oracle, world);
    const bool passes = oracle_passes(&oracle, &question->command, world_now(world) + wait_ms);
    oracle_close(&oracle);
    return passes;
}

static int64_t truth_by_moment(const struct question *question, const struct world *world,
                               int64_t horizon_ms)
{
    struct oracle oracle = {0};
    oracle_open(&oracle, world);
    const int64_t from_ms = world_now(world);
    int64_t at_ms = from_ms;
    bool passes = oracle_passes(&oracle, &question->command, at_ms);
    assert_false(passes);
    while (!passes) {
        const int64_t edge_ms = edge_after(at_ms);
        const int64_t due_ms = engine_due_at(oracle.engine);
        at_ms = due_ms > at_ms && due_ms < edge_ms ? due_ms : edge_ms;
        if (at_ms > from_ms + horizon_ms) break;
        passes = oracle_passes(&oracle, &question->command, at_ms);
    }
    oracle_close(&oracle);
    return passes ? at_ms - from_ms : -1;
}

static const char *const large_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n"
    "  other: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"
    "prices:\n"
    "  chat:\n"
    "    - {name: message, rates: {requests: {credits: \"1\", per: 1}}}\n"
    "    - {name: message, from: 2026-05-01T22:00:00Z, rates: {requests: {credits: \"0.75\", per: "
    "1}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: two, windows: [{limit: 90, per: 2h, start: first_use}, {limit: "
    "150, per: 6h, start: sliding}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - grants: {category: entitlement}\n"
    "          - allowance: {name: roll, windows: [{limit: 80, per: 1h, start: sliding}]}\n"
    "          - grants: {category: promotional}\n"
    "      other:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1h, burst: 300}\n"
    "          - budget: {name: cap, credits: \"60\", per: 9h, start: first_use}\n"
    "        waterfall: [{grants: {category: promotional}}]\n"
    "    recurring:\n"
    "      - grant: {name: hourly, category: entitlement, credits: \"3\", per: hour, start: "
    "calendar, rollover_max: \"20\"}\n"
    "      - grant: {name: daily, category: promotional, credits: \"9\", per: day, start: anchor, "
    "expires: 40h}\n",
};

static void act_at_large(struct world *world, struct prng *prng, int64_t *now_ms)
{
    char line[160];
    *now_ms += (int64_t)prng_below(prng, 20000);
    snprintf(line, sizeof line, "at +%" PRId64 "ms", *now_ms);
    world_do(world, line);
    const char *feature = features[prng_below(prng, COUNT_OF(features))];
    if (prng_below(prng, 5) < 2)
        snprintf(line, sizeof line,
                 "grant a %s %" PRIu64 " from=+%" PRIu64 "m until=+%" PRIu64 "m%s",
                 prng_below(prng, 2) == 0 ? "promotional" : "entitlement", 1 + prng_below(prng, 3),
                 1 + prng_below(prng, 300), 301 + prng_below(prng, 900),
                 prng_below(prng, 4) == 0 ? " features=chat" : "");
    else
        snprintf(line, sizeof line, "authorize a %s requests=%" PRIu64 " ttl=%" PRIu64 "s", feature,
                 1 + prng_below(prng, 3), 600 + prng_below(prng, 36000));
    note_edges(world_now(world));
    world_do(world, line);
}

/* Goal: the same beside hundreds of holds and as many grants as there may be, with renewals for
 * ever. */
static void waits_are_the_earliest_beside_hundreds_of_holds_and_grants(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    unsigned asked = 0;
    unsigned never = 0;
    uint64_t holds = 0;
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 12); seed++) {
        struct prng prng = {seed};
        struct world *world = world_open_with(large_policy, 1, small);
        world_check_purity(world, false);
        edges.count = 0;
        int64_t now_ms = 0;
        for (uint64_t step = 100 + prng_below(&prng, 1100); step > 0; step--)
            act_at_large(world, &prng, &now_ms);
        holds += engine_counts(world_engine(world)).holds;
        for (unsigned i = 0; i < 8; i++) {
            struct question question;
            const char *feature = features[prng_below(&prng, COUNT_OF(features))];
            const uint64_t units = 1 + prng_below(&prng, 260);
            if (!question_ask(&question, world, feature, units, 0)) continue;
            const int64_t truth_ms = truth_by_moment(&question, world, 10 * DAY_MS);
            if (question.wait_ms >= 0 && !passes_after(&question, world, question.wait_ms))
                fail_msg("seed %" PRIu64 ": %s %" PRIu64 " at +%" PRId64 "ms: not after %" PRId64,
                         seed, feature, units, now_ms, question.wait_ms);
            if (question.wait_ms != truth_ms)
                fail_msg("seed %" PRIu64 ": %s %" PRIu64 " at +%" PRId64 "ms: said %" PRId64
                         ", is %" PRId64,
                         seed, feature, units, now_ms, question.wait_ms, truth_ms);
            asked++;
            never += truth_ms < 0;
        }
        world_close(world);
    }
    print_message("%u waits, of them %u for ever; %" PRIu64 " holds\n", asked, never, holds);
    assert_true(getenv("WEIR_RUNS") != NULL || (asked > 20 && asked - never > 10));
}

/* --- renewals, for ever ----------------------------------------------------------------------- */

static const char *const periods[] = {"hour", "day"};
static const char *const lives[] = {"", ", expires: 30m", ", expires: 90m", ", expires: 40h",
                                    ", expires: 5d"};

static void write_renewing_policy(char *out, size_t size, struct prng *prng)
{
    char rules[2][160];
    for (unsigned i = 0; i < 2; i++)
        snprintf(rules[i], sizeof rules[i],
                 "      - grant: {name: %s, category: %s, credits: \"%" PRIu64
                 "\", per: %s, start: %s, rollover_max: \"%" PRIu64 "\"%s%s}\n",
                 i == 0 ? "one" : "two", prng_below(prng, 4) == 0 ? "promotional" : "entitlement",
                 1 + prng_below(prng, 4), periods[prng_below(prng, 2)],
                 prng_below(prng, 2) == 0 ? "calendar" : "anchor", prng_below(prng, 9),
                 lives[prng_below(prng, COUNT_OF(lives))],
                 prng_below(prng, 4) == 0 ? ", features: [solid]" : "");
    const uint64_t count = 1 + prng_below(prng, 2);
    snprintf(out, size,
             FEATURES "plans:\n"
                      "  free:\n"
                      "    features:\n"
                      "      chat: {waterfall: [{grants: {category: entitlement}}]}\n"
                      "      solid: {waterfall: [{grants: {category: promotional}}, {grants: "
                      "{category: entitlement}}]}\n"
                      "    recurring:\n%s%s",
             rules[0], count == 2 ? rules[1] : "");
}

static void act_on_renewals(struct world *world, struct prng *prng, int64_t *now_ms)
{
    char line[160];
    *now_ms += (int64_t)prng_below(prng, prng_below(prng, 4) == 0 ? 30 * HOUR_MS : HOUR_MS);
    snprintf(line, sizeof line, "at +%" PRId64 "ms", *now_ms);
    world_do(world, line);
    const char *feature = features[prng_below(prng, 2)];
    if (prng_below(prng, 8) == 0)
        snprintf(line, sizeof line, "grant a entitlement %" PRIu64 " until=+%" PRIu64 "m",
                 1 + prng_below(prng, 3),
                 (uint64_t)(*now_ms / MINUTE_MS) + 1 + prng_below(prng, 3000));
    else
        snprintf(line, sizeof line, "authorize a %s requests=%" PRIu64 " ttl=%" PRIu64 "s", feature,
                 1 + prng_below(prng, 4), 60 + prng_below(prng, 90000));
    world_do(world, line);
}

/* Goal: what a recurring grant's lots can hold together, and never more, is waited for: lots that
 * outlive their period, roll over, are held meanwhile, or were made under another policy. */
static void renewals_are_waited_for_only_if_they_come_to_suffice(void **state)
{
    (void)state;
    const int64_t horizon_ms = 30 * DAY_MS;
    const uint64_t first = setting("WEIR_SEED", 1);
    unsigned asked = 0;
    unsigned never = 0;
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 60); seed++) {
        struct prng prng = {seed};
        static char texts[2][2048];
        const char *policies[2] = {texts[0], texts[1]};
        for (unsigned i = 0; i < 2; i++)
            write_renewing_policy(texts[i], sizeof texts[i], &prng);
        struct world *world = world_open_with(policies, 2, small);
        world_check_purity(world, false);
        edges.count = 0;
        int64_t now_ms = 0;
        for (uint64_t step = 1 + prng_below(&prng, 12); step > 0; step--)
            act_on_renewals(world, &prng, &now_ms);
        if (prng_below(&prng, 2) == 0) {
            world_do(world, "policy 1");
            for (uint64_t step = prng_below(&prng, 4); step > 0; step--)
                act_on_renewals(world, &prng, &now_ms);
        }
        for (unsigned i = 0; i < 6; i++) {
            struct question question;
            const char *feature = features[prng_below(&prng, 2)];
            const uint64_t units = 1 + prng_below(&prng, 24);
            if (!question_ask(&question, world, feature, units, 0)) continue;
            const int64_t truth_ms = truth_by_moment(&question, world, horizon_ms);
            if (question.wait_ms != truth_ms) {
                print_message("%s%s", strstr(texts[0], "plans:"), strstr(texts[1], "plans:"));
                fail_msg("seed %" PRIu64 ": %s %" PRIu64 " at +%" PRId64 "ms: said %" PRId64
                         ", is %" PRId64,
                         seed, feature, units, now_ms, question.wait_ms, truth_ms);
            }
            asked++;
            never += truth_ms < 0;
        }
        world_close(world);
    }
    print_message("%u waits, of them %u for ever\n", asked, never);
    assert_true(getenv("WEIR_RUNS") != NULL || (asked > 100 && asked - never > 40 && never > 40));
}

/* --- past the ceilings ------------------------------------------------------------------------ */

static const char *const crowded_policy[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s}\n"
    "features:\n"
    "  seats: {meters: [requests], unit: requests}\n"
    "  coins: {meters: [requests], unit: requests, prices: coins}\n"
    "  noise: {meters: [requests], unit: requests}\n"
    "prices: {coins: [{name: coin, rates: {requests: {credits: \"1\", per: 1}}}]}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      seats: {waterfall: [{allowance: {name: seats, windows: [{limit: 5000, per: 9h, start: "
    "first_use}]}}]}\n"
    "      coins: {waterfall: [{grants: {category: promotional}}]}\n"
    "      noise: {waterfall: [{unlimited: {}}]}\n"};

static struct world *crowded_world(const char *feature, unsigned holds)
{
    struct world *world = world_open_with(crowded_policy, 1, small);
    char line[96];
    world_check_purity(world, false);
    world_do(world, "grant a promotional 5000");
    for (unsigned i = 0; i < holds; i++) {
        snprintf(line, sizeof line, "authorize a %s requests=1 ttl=%us", feature, 3600 + i);
        assert_int_equal(strncmp(world_do(world, line), "allow", 5), 0);
    }
    return world;
}

static int64_t wait_for(struct world *world, const char *feature, uint64_t units,
                        struct question *question)
{
    assert_true(question_ask(question, world, feature, units, 0));
    return question->wait_ms;
}

/* Goal: beside more holds than are looked at, what is said is still true: it passes then, or
 * nothing passes before, and never is proven. */
static void past_the_ceilings_waits_are_late_and_never_false(void **state)
{
    (void)state;
    struct question question;
    struct world *world = crowded_world("seats", 5000);
    /* As many as are applied: exact. */
    assert_int_equal(wait_for(world, "seats", 512, &question), (3600 + 511) * SECOND_MS);
    /* One more: the end of the window helps, and whoever waits for it is let in. */
    assert_int_equal(wait_for(world, "seats", 513, &question), 9 * HOUR_MS);
    assert_true(passes_after(&question, world, question.wait_ms));
    assert_int_equal(wait_for(world, "seats", 5001, &question), -1);
    world_close(world);

    world = crowded_world("coins", 5000);
    assert_int_equal(wait_for(world, "coins", 512, &question), (3600 + 511) * SECOND_MS);
    /* Nothing but holds: to be asked again when they may have brought enough. */
    assert_int_equal(wait_for(world, "coins", 2000, &question), (3600 + 1999) * SECOND_MS);
    assert_true(passes_after(&question, world, question.wait_ms));
    /* More of them than are looked at: when the first comes back that was left out. */
    const int64_t wait_ms = wait_for(world, "coins", 4900, &question);
    assert_in_range(wait_ms, (3600 + 2000) * SECOND_MS, (3600 + 4899) * SECOND_MS);
    assert_false(passes_after(&question, world, wait_ms - 1));
    assert_int_equal(wait_for(world, "coins", 5001, &question), -1);
    world_close(world);

    /* Holds that bring nothing are passed by, and those too many do not hide a window's end. */
    world = crowded_world("noise", 2000);
    world_do(world, "consume a seats requests=5000");
    assert_int_equal(wait_for(world, "seats", 1, &question), 9 * HOUR_MS);
    for (unsigned i = 0; i < 3000; i++)
        world_do(world, "authorize a noise requests=1 ttl=8h");
    assert_int_equal(wait_for(world, "seats", 1, &question), 9 * HOUR_MS);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_are_the_earliest_to_the_millisecond),
        cmocka_unit_test(waits_are_the_earliest_beside_hundreds_of_holds_and_grants),
        cmocka_unit_test(renewals_are_waited_for_only_if_they_come_to_suffice),
        cmocka_unit_test(past_the_ceilings_waits_are_late_and_never_false),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
