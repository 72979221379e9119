/*
 * image_test.c: an image is the state at its mark, whatever goes on while it is made, and what is
 * loaded from it cannot be told from the engine that it was made of.
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

#include "engine/image_walk.h"
#include "world.h"

#define IMAGE_BYTES_MAX (UINT64_C(32) << 20)
#define FACTS_MAX 20000u

static const struct engine_ceilings ceilings = {.customers = 2048,
                                                .scopes = 4096,
                                                .slots = 32768,
                                                .rings = 4096,
                                                .grants = 16384,
                                                .holds = 8192,
                                                .lines = 32768,
                                                .keys = 32768};
static const struct hash_key key = {
    {1, 2}
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void *zeroes(uint64_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(block != MAP_FAILED);
    return block;
}

static struct engine *engine_make(struct engine_ceilings of)
{
    return engine_over(zeroes(engine_bytes(of)), of, key);
}

static void engine_drop(struct engine *engine)
{
    const uint64_t bytes = engine_bytes(engine->ceilings);
    munmap(engine, bytes);
}

static enum image_fault load(struct engine *engine, struct bytes image)
{
    const enum image_fault fault = engine_image_load(engine, image);
    return fault != IMAGE_OK ? fault : engine_image_loaded(engine);
}

static const char *const policies[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 20m}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n"
    "  cost: {meters: [requests, in], unit: cost, prices: cost}\n"
    "prices:\n"
    "  chat: [{name: c, rates: {requests: {credits: \"0.7\", per: 3}}, minimum: \"0.5\"}]\n"
    "  cost: [{name: m, rates: {in: {credits: \"0.1\", per: 7}}}]\n"
    "pools: {gpu: {capacity: 1, per: 1s, meter: requests}, cpu: {capacity: 1, per: 1s, meter: "
    "requests}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 30, per: 10s, burst: 40, pool: gpu, "
    "scope: "
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
    "        waterfall:\n"
    "          - allowance: {name: free, windows: [{credits: \"0.3\", per: 10m, start: "
    "first_use}]}\n"
    "          - grants: {category: paid}\n"
    "    recurring:\n"
    "      - grant: {name: gift, category: entitlement, credits: \"2\", per: hour, start: anchor, "
    "rollover_max: \"1\"}\n",
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 45s, idempotency_retention: 30m}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: d, rates: {requests: {credits: \"0.3\", per: 1}}}]\n"
    "pools: {cpu: {capacity: 1, per: 1s, meter: requests}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 20, per: 10s, scope: subject, pool: "
    "cpu}\n"
    "          - concurrency: {name: slots, limit: 9}\n"
    "        waterfall:\n"
    "          - allowance: {name: other, windows: [{limit: 12, per: 5m, start: sliding}]}\n"
    "          - grants: {category: paid}\n"
    "    recurring:\n"
    "      - grant: {name: present, category: promotional, credits: \"1\", per: day, start: "
    "calendar}\n",
};

#define CUSTOMERS 6u

static void random_line(struct prng *prng, unsigned hold, char line[256])
{
    static const char *const features[] = {"chat", "solid", "cost"};
    static const char *const meters[] = {"requests", "requests", "in"};
    const unsigned f = (unsigned)prng_below(prng, 3);
    const unsigned c = (unsigned)prng_below(prng, CUSTOMERS);
    const unsigned long long n = prng_below(prng, 12);
    const unsigned subject = (unsigned)prng_below(prng, 5);
    const unsigned old = hold > 20 ? hold - (unsigned)prng_below(prng, 20) : hold;
    static const char *const standings[] = {"normal", "restricted", "probation", "trusted"};
    switch (prng_below(prng, 23)) {
    case 22:
        sprintf(line, "pool %s 0.%02u shed=%s", prng_below(prng, 2) == 0 ? "gpu" : "cpu",
                (unsigned)prng_below(prng, 100), prng_below(prng, 5) == 0 ? "default" : "none");
        return;
    case 21:
        sprintf(line, "standing c%u%s %s", c,
                (const char *[]){"", "/t1", "/t2", "/t2/x"}[prng_below(prng, 4)],
                standings[prng_below(prng, 4)]);
        return;
    case 20:
        if (prng_below(prng, 2) == 0)
            sprintf(line, "revoke k%u way=back", old);
        else
            sprintf(line, "k%u: key read+admin of=c%u ends=+%um way=back by=admin-key", hold, c,
                    1 + (unsigned)prng_below(prng, 90));
        return;
    case 0:
        sprintf(line, "grant c%u %s 0.%03u until=+%um", c,
                prng_below(prng, 2) == 0 ? "paid" : "promotional",
                1 + (unsigned)prng_below(prng, 999), 1 + (unsigned)prng_below(prng, 90));
        return;
    case 1:
        sprintf(line, "g%u: grant c%u paid %u.5 priority=%d from=+%um features=chat,cost", hold, c,
                (unsigned)prng_below(prng, 3), (int)prng_below(prng, 3) - 1,
                (unsigned)prng_below(prng, 30));
        return;
    case 2:
    case 3:
    case 4:
        sprintf(line, "consume c%u %s %s=%llu subject=t%u/x key=q%u", c, features[f], meters[f], n,
                subject, (unsigned)prng_below(prng, 900));
        return;
    case 5:
    case 6:
    case 7:
    case 8:
        sprintf(line, "h%u: authorize c%u %s %s=%llu subject=t%u ttl=%us key=k%u", hold, c,
                features[f], meters[f], n, subject, 1 + (unsigned)prng_below(prng, 300),
                (unsigned)prng_below(prng, 900));
        return;
    case 9:
    case 10:
        sprintf(line, "commit h%u%s", old, prng_below(prng, 5) == 0 ? " status=failed" : "");
        return;
    case 11:
        sprintf(line, "release h%u", old);
        return;
    case 12:
        sprintf(line, "extend h%u requests=%u ttl=90s key=e%u", old, (unsigned)prng_below(prng, 3),
                (unsigned)prng_below(prng, 900));
        return;
    case 13:
        sprintf(line, "refund h%u 0.%u", old, 1 + (unsigned)prng_below(prng, 9));
        return;
    case 14:
        sprintf(line, "usage c%u %s %s=%llu", c, features[f], meters[f], n);
        return;
    case 15:
        sprintf(line, "void g%u", old);
        return;
    case 16:
        sprintf(line, "reset c%u inc subject=t%u", c, subject);
        return;
    case 17:
        sprintf(line, "customer c%u limit.slots=%s", c, prng_below(prng, 3) == 0 ? "none" : "7");
        return;
    case 18:
        sprintf(line, "customer c%u %s=t%u", c, prng_below(prng, 2) == 0 ? "suspend" : "resume",
                subject);
        return;
    default:
        sprintf(line, "customer c%u mode=%s anchor=2026-0%u-03T04:05:06Z", c,
                prng_below(prng, 4) == 0 ? "ask" : "auto", 1 + (unsigned)prng_below(prng, 4));
        return;
    }
}

/* Every fact of a run, as the journal would have it, and the image that is made meanwhile. */
struct run {
    struct world *world;
    struct prng prng;
    struct {
        uint8_t *at;
        size_t length;
        int64_t at_ms;
        uint64_t position;
    } facts[FACTS_MAX];
    uint32_t fact_count;
    struct buffer image;
    bool is_begun;
    bool is_done;
    uint32_t mark; /* facts before it */
    int64_t mark_ms;
};

static void on_fact(void *self, const struct fact *fact)
{
    static uint8_t block[FACT_BYTES_MAX];
    struct run *run = self;
    struct buffer buffer = buffer_over(block, sizeof block);
    fact_encode(fact, &buffer);
    assert_true(!buffer.overflowed && run->fact_count < FACTS_MAX);
    uint8_t *copy = malloc(buffer.used);
    memcpy(copy, block, buffer.used);
    run->facts[run->fact_count].at = copy;
    run->facts[run->fact_count].length = buffer.used;
    run->facts[run->fact_count].at_ms = fact->at_ms;
    run->facts[run->fact_count++].position = fact->position;
    if (run->is_begun && !run->is_done && prng_below(&run->prng, 3) == 0)
        run->is_done = engine_image_step(world_engine(run->world), prng_below(&run->prng, 900));
}

static void replay(struct engine *engine, const struct run *run, uint32_t from, uint32_t to)
{
    static struct fact fact;
    for (uint32_t i = from; i < to; i++) {
        assert_true(fact_decode((struct bytes){run->facts[i].at, run->facts[i].length}, &fact));
        fact.at_ms = run->facts[i].at_ms;
        fact.position = run->facts[i].position;
        engine_apply(engine, &fact);
    }
}

static void play(struct run *run, unsigned steps, int64_t *elapsed_ms, unsigned *hold)
{
    for (unsigned step = 0; step < steps; step++) {
        char line[256];
        const uint64_t what = prng_below(&run->prng, 60);
        if (what < 15) {
            *elapsed_ms += (int64_t)prng_below(&run->prng, 120000);
            sprintf(line, "at +%" PRId64 "ms", *elapsed_ms);
        } else if (what == 15) {
            sprintf(line, "policy %u", (unsigned)prng_below(&run->prng, COUNT_OF(policies)));
        } else {
            random_line(&run->prng, *hold, line);
            *hold += line[0] == 'h' || line[0] == 'g' || line[0] == 'k';
        }
        world_do(run->world, line);
    }
}

static void begin(struct run *run)
{
    run->image = buffer_over(zeroes(IMAGE_BYTES_MAX), IMAGE_BYTES_MAX);
    run->is_begun = true;
    run->mark = run->fact_count;
    run->mark_ms = world_now(run->world);
    engine_image_begin(world_engine(run->world), run->mark_ms, &run->image);
}

/* The same commands and the same time give the same facts, byte for byte. */
static void assert_same_future(struct engine *left, struct engine *right, struct world *world)
{
    static struct fact facts[2];
    static struct command due[2];
    static uint8_t blocks[2][FACT_BYTES_MAX];
    struct engine *const engines[] = {left, right};
    static const char *const features[] = {"chat", "solid", "cost"};
    int64_t now_ms = world_now(world);
    uint64_t position = position_make(UINT64_C(1) << 20, 0);
    /* A fact may say of a counter that is over that it starts anew: both have forgotten the same.
     */
    for (unsigned e = 0; e < 2; e++)
        engine_sweep(engines[e], now_ms, ceilings.keys, (struct books_known){0});
    for (unsigned step = 0; step < 400; step++) {
        char customer[8];
        struct command command = {.kind = step % 2 == 0 ? COMMAND_AUTHORIZE : COMMAND_USAGE,
                                  .customer = BYTES("c0"),
                                  .subject = BYTES("t1"),
                                  .feature = bytes_of_text(features[step % 3]),
                                  .quantity_count = 1,
                                  .quantities = {{BYTES("requests"), 1 + step % 7}}};
        sprintf(customer, "c%u", step % CUSTOMERS);
        command.customer = bytes_of_text(customer);
        now_ms += step * 1000;
        for (bool more = true; more; position++) {
            const struct stamp stamp = {now_ms, position};
            bool is_due[2];
            struct buffer buffers[2];
            for (unsigned e = 0; e < 2; e++) {
                buffers[e] = buffer_over(blocks[e], FACT_BYTES_MAX);
                is_due[e] = engine_due(engines[e], world_policy(world), stamp, &due[e], &facts[e]);
                struct ruling ruling = {.kind = RULING_FACT};
                if (!is_due[e])
                    ruling =
                        engine_decide(engines[e], world_policy(world), &command, stamp, &facts[e]);
                assert_true(ruling.kind == RULING_FACT || ruling.kind == RULING_PROBLEM);
                buffer_put_unsigned(&buffers[e], ruling.problem.code);
                if (ruling.kind != RULING_FACT) continue;
                fact_encode(&facts[e], &buffers[e]);
                engine_apply(engines[e], &facts[e]);
            }
            assert_true(bytes_equal(buffer_bytes(&buffers[0]), buffer_bytes(&buffers[1])));
            assert_int_equal(is_due[0], is_due[1]);
            more = is_due[0];
        }
    }
    assert_int_equal(engine_state_hash(left, now_ms), engine_state_hash(right, now_ms));
}

static void assert_counts_equal(const struct engine *left, const struct engine *right)
{
    assert_int_equal(left->customers.live, right->customers.live);
    assert_int_equal(left->holds.live, right->holds.live);
    assert_int_equal(left->lines.live, right->lines.live);
    assert_int_equal(left->heap_count, right->heap_count);
    assert_int_equal(left->access.live, right->access.live);
    assert_int_equal(left->access_made, right->access_made);
}

/* The world installs its first policy before anybody can observe. */
static void install_first_policy(struct engine *engine, const struct policy *policy)
{
    static struct fact fact;
    const struct command command = {
        .kind = COMMAND_POLICY, .yaml = bytes_of_text(policies[0]), .compiled = policy};
    const struct stamp stamp = {WORLD_START_MS, position_make(2, 0)};
    const struct ruling ruling = engine_decide(engine, policy, &command, stamp, &fact);
    assert_int_equal(ruling.kind, RULING_FACT);
    engine_apply(engine, &fact);
}

/* Goal: an image made while everything goes on is replay(1..mark), and goes on like it.
 * Method: random lines with sweeps and policies between them; the image begins after a random
 * number of them and is walked in random pieces, between the facts of one command too. */
static void an_image_is_the_state_at_its_mark(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 80); seed++) {
        static struct run run;
        run = (struct run){.prng = {seed}, .world = world_open(policies, COUNT_OF(policies))};
        int64_t elapsed_ms = 0;
        unsigned hold = 0;
        world_check_purity(run.world, false);
        world_observe(run.world, on_fact, &run);
        const struct policy *const first_policy = world_policy(run.world);
        play(&run, 20 + (unsigned)prng_below(&run.prng, 500), &elapsed_ms, &hold);
        begin(&run);
        while (!run.is_done)
            play(&run, 10, &elapsed_ms, &hold);
        assert_false(run.image.overflowed);
        assert_false(engine_image_is_running(world_engine(run.world)));

        struct engine *replayed = engine_make(ceilings);
        struct engine *loaded = engine_make(ceilings);
        install_first_policy(replayed, first_policy);
        replay(replayed, &run, 0, run.mark);
        if (load(loaded, buffer_bytes(&run.image)) != IMAGE_OK)
            fail_msg("seed %" PRIu64 ": not loaded", seed);
        assert_int_equal(engine_image_at_ms(loaded), run.mark_ms);
        if (engine_state_hash(loaded, run.mark_ms) != engine_state_hash(replayed, run.mark_ms))
            fail_msg("seed %" PRIu64 ": not the state at the mark", seed);
        replay(replayed, &run, run.mark, run.fact_count);
        replay(loaded, &run, run.mark, run.fact_count);
        const int64_t now_ms = world_now(run.world);
        if (engine_state_hash(loaded, now_ms) != engine_state_hash(world_engine(run.world), now_ms))
            fail_msg("seed %" PRIu64 ": does not go on as before", seed);
        assert_counts_equal(loaded, replayed);
        assert_same_future(loaded, replayed, run.world);
        engine_drop(replayed);
        engine_drop(loaded);
        for (uint32_t i = 0; i < run.fact_count; i++)
            free(run.facts[i].at);
        munmap(run.image.at, IMAGE_BYTES_MAX);
        world_close(run.world);
    }
}

/* ---- no field is forgotten */

/* Bytes of a block that an image does not carry: what loading makes anew, and holes. */
struct made_anew {
    size_t at;
    size_t bytes;
};
#define ANEW(type, field)                                               \
    {                                                                   \
        offsetof(struct type, field), sizeof(((struct type *)0)->field) \
    }
/* From the end of one field to the next one, or to the end of the block. */
#define HOLE(type, field, end)                                                         \
    {                                                                                  \
        offsetof(struct type, field) + sizeof(((struct type *)0)->field),              \
            (end) - (offsetof(struct type, field) + sizeof(((struct type *)0)->field)) \
    }

static const struct made_anew customer_anew[] = {
    ANEW(customer, available),
    ANEW(customer, held),
    ANEW(customer, next_due_ms),
    ANEW(customer, heap_place),
    ANEW(customer, slots),
    ANEW(customer, scopes),
    ANEW(customer, grants),
    ANEW(customer, holds),
    ANEW(customer, remainders),
    ANEW(customer, open_holds),
    ANEW(customer, overrides),
    ANEW(customer, grants_live),
    {offsetof(struct customer, mode) + 2,
                             sizeof(struct customer) - offsetof(struct customer, mode) - 2},
};
static const struct made_anew scope_anew[] = {
    ANEW(scope, next),
    ANEW(scope, before),
    ANEW(scope, slots),
    HOLE(scope, standing, sizeof(struct scope)),
};
static const struct made_anew grant_anew[] = {
    ANEW(grant, next),
    HOLE(grant, recurring, offsetof(struct grant, features)),
    HOLE(grant, features, sizeof(struct grant)),
};
static const struct made_anew hold_anew[] = {
    ANEW(hold, left),
    ANEW(hold, right),
    ANEW(hold, lines_first),
    ANEW(hold, lines_last),
    ANEW(hold, keys),
    HOLE(hold, concurrency_count, offsetof(struct hold, concurrency)),
    HOLE(hold, terms.on_failure, offsetof(struct hold, terms.ttl_ms)),
    HOLE(hold, terms.meters, offsetof(struct hold, terms.quote)),
    HOLE(hold, terms.quote.name, offsetof(struct hold, terms.quote.q)),
    HOLE(hold, terms.level_count, offsetof(struct hold, terms.levels)),
};
static const struct made_anew ended_anew[] = {
    HOLE(ended, late, sizeof(struct ended)),
};
static const struct made_anew access_anew[] = {
    HOLE(access, label, sizeof(struct access)),
};
static const struct made_anew line_anew[] = {ANEW(hold_line, next)};
/* A slot's own part, by kind, and where the image carries less than all of it. */
static const struct {
    size_t bytes;
    size_t from;
} slot_parts[] = {
    [SLOT_WINDOW] = {offsetof(struct window_slot, generation) + sizeof(uint32_t), 0},
    [SLOT_SLIDING] = {sizeof(struct sliding_slot),               sizeof(uint32_t)  }, /* the ring's number */
    [SLOT_RATE] = {   sizeof(struct rate_slot),                              0  },
    [SLOT_CONCURRENCY] = {            sizeof(int64_t),                              0  },
    [SLOT_OVERRIDE] = {           sizeof(uint64_t),                              0  },
    [SLOT_RENEWAL] = {sizeof(struct renewal_slot),                              0  },
};
static const struct made_anew remainder_anew[] = {
    ANEW(remainder, next),
    HOLE(remainder, next, offsetof(struct remainder, version)),
};

/* The engine's memory in use, and its description. */
static void assert_carried(const char *what, const void *before, const void *after, size_t bytes,
                           const struct made_anew *anew, size_t count)
{
    for (size_t i = 0; i < bytes; i++) {
        bool is_anew = false;
        for (size_t a = 0; a < count; a++)
            is_anew |= i >= anew[a].at && i < anew[a].at + anew[a].bytes;
        if (!is_anew && ((const uint8_t *)before)[i] != ((const uint8_t *)after)[i])
            fail_msg("byte %zu of a %s is not in the image", i, what);
    }
}
#define ASSERT_CARRIED(type, before, after, anew) \
    assert_carried(#type, before, after, sizeof(struct type), anew, COUNT_OF(anew))

static void *take_filled(struct engine *engine, struct slab *slab, int fill, size_t bytes)
{
    void *block = slab_at(slab, state_take(engine, slab));
    memset(block, fill, bytes);
    return block;
}

static void sliding_ref(struct window_ref *ref)
{
    const size_t at = offsetof(struct window_ref, sliding);
    memset((uint8_t *)ref + at, 0, sizeof *ref - at); /* and what is no field behind it */
    ref->sliding = true;
}

/* One block of each kind, every byte of it set, then made sound where loading looks. */
static void fill_engine(struct engine *engine)
{
    symbol_add(engine, BYTES("a"));
    symbol_add(engine, BYTES("b"));
    memset(&engine->policy, 0x07, sizeof engine->policy);
    engine->policy.installed_ms = 5;
    memset(&engine->cut, 0x08, sizeof engine->cut);
    engine->recurring_cursor = 1;
    struct customer *customer = take_filled(engine, &engine->customers, 0x11, sizeof *customer);
    customer->debt = -0x0101010101010101;
    customer->limits_changed_ms = 6;
    customer->plan = 3;
    memset(&customer->mode, 0, 2); /* the flags behind it are bits */
    customer->mode = CREDIT_OFF;
    customer->suspended = 1;
    customer->has_anchor = 1;
    customer->standing = STANDING_TRUSTED;
    struct scope *scope = take_filled(engine, &engine->scopes, 0x12, sizeof *scope);
    scope->customer = 1;
    scope->suspended = 1;
    scope->standing = STANDING_PROBATION;
    customer->slots = engine->slots.used + 1;
    scope->slots = 0;
    for (uint32_t kind = SLOT_WINDOW; kind <= SLOT_RENEWAL; kind++) {
        struct slot *slot = take_filled(engine, &engine->slots, 0x13, sizeof *slot);
        slot->kind = (uint8_t)kind;
        slot->pool = slot->standing = 0;
        slot->next = kind == SLOT_RENEWAL ? 0 : engine->slots.used + 1;
        if (kind == SLOT_SLIDING) {
            slot->sliding.per_ms = 66000;
            struct ring *ring = take_filled(engine, &engine->rings, 0x14, sizeof *ring);
            ring->newest = 0;
            slot->sliding.ring = engine->rings.used;
        }
        if (kind == SLOT_RATE) {
            slot->rate.per_ms = PERIOD_MS_MAX;
            slot->rate.part = 0x13131313;
            slot->rate.at = 7;
            slot->pool = 1;
            slot->standing = STANDING_TRUSTED;
        }
    }
    struct remainder *remainder = take_filled(engine, &engine->remainders, 0x15, sizeof *remainder);
    remainder->q = UINT64_MAX;
    remainder->next = 0;
    customer->remainders = 1;
    struct grant *grant = take_filled(engine, &engine->grants, 0x16, sizeof *grant);
    grant->customer = 1;
    grant->category = CATEGORY_PAID;
    grant->state = GRANT_VOIDED;
    grant->recurring = 4;
    grant->feature_count = GRANT_FEATURES_MAX;
    for (uint32_t i = 0; i < GRANT_FEATURES_MAX; i++)
        grant->features[i] = 5;
    struct hold *hold = take_filled(engine, &engine->holds, 0x17, sizeof *hold);
    hold->customer = 1;
    hold->left = hold->right = 0;
    hold->lines_first = hold->lines_last = hold->line_count = 1;
    hold->concurrency_count = GATES_MAX;
    struct hold_terms *terms = &hold->terms;
    terms->feature = terms->quote.name = 5;
    terms->unit = UNIT_COST;
    terms->requests_meter = METERS_MAX;
    terms->consent = CONSENT_REFUSED;
    terms->on_failure = FAILURE_ACTUAL;
    terms->meter_count = METERS_MAX;
    terms->level_count = LEVELS_MAX;
    for (uint32_t i = 0; i < METERS_MAX; i++) {
        terms->meters[i] = 1 + i % 6;
        hold->quantities[i] = 1 + i;
    }
    struct hold_line *line = take_filled(engine, &engine->lines, 0x18, sizeof *line);
    line->next = 0;
    line->line.source = 6;
    line->line.kind = SOURCE_GRANTS;
    line->line.grant_id = grant->id;
    line->line.units = 0x0018181818181818;
    line->line.charged = grant->held;
    line->window_count = LINE_WINDOWS_MAX;
    line->budget_count = LINE_BUDGETS_MAX;
    for (uint32_t i = 0; i < LINE_WINDOWS_MAX; i++)
        sliding_ref(&line->windows[i]);
    for (uint32_t i = 0; i < LINE_BUDGETS_MAX; i++)
        sliding_ref(&line->budgets[i]);
    for (unsigned i = 0; i < 2; i++) {
        struct key *made = take_filled(engine, &engine->keys, 0x19 + (int)i, sizeof *made);
        key_set(made, i == 0 ? KEY_KEPT : KEY_WAITS, i == 0 ? 0x191919 : 0);
    }
    hold->keys = 2;
    struct access *access = take_filled(engine, &engine->access, 0x1c, sizeof *access);
    access->scopes = ACCESS_READ;
    access->customer_length = sizeof access->customer;
    access->label_length = sizeof access->label;
    engine->access_made = 9;
    memset(&engine->pools[++engine->pool_count], 0, sizeof(struct pool));
    engine->pools[1] = (struct pool){
        .name = 5,
        .factor = 63,
        .override = 62,
        .shed = SHED_ALL,
        .has_override = true,
        .began_ms = 4,
        .since_ms = 6,
        .base = {11, 12, 13, 14}
    };
    struct crowd *crowd = crowd_at(engine, 0x1b1b1b1b1b1b1b1b);
    *crowd = (struct crowd){0x1b1b1b1b1b1b1b1b, 0x1b1b, 0x1b1b1b1b, CROWD_ALONE_MAX + 1};
    struct ended *ended = take_filled(engine, &engine->ended, 0x1a, sizeof *ended);
    ended->customer = 1;
    ended->state = HOLD_EXPIRED;
    ended->late = 1;
    ended->was_long = 1;
}

/* Goal: a field added to a block is in the image, or named above as made anew.
 * Method: every byte of a block of each kind is set before, and compared after. */
static void no_field_is_forgotten(void **state)
{
    (void)state;
    struct engine *made = engine_make(ceilings);
    struct engine *loaded = engine_make(ceilings);
    fill_engine(made);
    struct buffer image = buffer_over(zeroes(IMAGE_BYTES_MAX), IMAGE_BYTES_MAX);
    engine_image_begin(made, 1000, &image);
    assert_true(engine_image_step(made, UINT64_MAX));
    assert_int_equal(load(loaded, buffer_bytes(&image)), IMAGE_OK);

    ASSERT_CARRIED(customer, customer_at(made, 1), customer_at(loaded, 1), customer_anew);
    ASSERT_CARRIED(scope, scope_at(made, 1), scope_at(loaded, 1), scope_anew);
    ASSERT_CARRIED(grant, grant_at(made, 1), grant_at(loaded, 1), grant_anew);
    ASSERT_CARRIED(hold, hold_at(made, 1), hold_at(loaded, 1), hold_anew);
    /* The one that waits comes with its hold, so it is the first. */
    assert_memory_equal(key_at(made, 1), key_at(loaded, 2), sizeof(struct key));
    assert_memory_equal(key_at(made, 2), key_at(loaded, 1), sizeof(struct key));
    assert_int_equal(hold_at(loaded, 1)->keys, 1);
    const uint64_t of = UINT64_C(0x1b1b1b1b1b1b1b1b);
    assert_int_equal(crowd_at(loaded, of)->of, of);
    assert_int_equal(crowd_at(loaded, of)->second, crowd_at(made, of)->second);
    assert_int_equal(crowd_at(loaded, of)->first, crowd_at(made, of)->first);
    assert_int_equal(crowd_at(loaded, of)->count, crowd_at(made, of)->count);
    assert_memory_equal(&made->cut, &loaded->cut, sizeof made->cut);
    ASSERT_CARRIED(access, access_at(made, 1), access_at(loaded, 1), access_anew);
    assert_int_equal(loaded->access_made, made->access_made);
    assert_int_equal(loaded->pool_count, 1);
    assert_memory_equal(&loaded->pools[1], &made->pools[1], sizeof(struct pool));
    ASSERT_CARRIED(ended, ended_at(made, 1), ended_at(loaded, 1), ended_anew);
    ASSERT_CARRIED(hold_line, hold_line_at(made, 1), hold_line_at(loaded, 1), line_anew);
    ASSERT_CARRIED(remainder, slab_at(&made->remainders, 1), slab_at(&loaded->remainders, 1),
                   remainder_anew);
    assert_memory_equal(slab_at(&made->rings, 1), slab_at(&loaded->rings, 1), sizeof(struct ring));
    for (uint32_t n = 1; n <= made->slots.used; n++) {
        const struct slot *before = slot_at(made, n);
        const struct slot *after = slot_at(loaded, n);
        const size_t from = slot_parts[before->kind].from;
        assert_int_equal(before->kind, after->kind);
        assert_int_equal(before->id, after->id);
        assert_int_equal(before->pool, after->pool);
        assert_int_equal(before->standing, after->standing);
        assert_memory_equal((const uint8_t *)&before->window + from,
                            (const uint8_t *)&after->window + from,
                            slot_parts[before->kind].bytes - from);
    }
    assert_int_equal(loaded->slots.used, made->slots.used);
    assert_memory_equal(&made->policy, &loaded->policy, sizeof made->policy);
    assert_int_equal(made->recurring_cursor, loaded->recurring_cursor);
    assert_int_equal(made->symbol_count, loaded->symbol_count);
    for (uint32_t n = 1; n <= made->symbol_count; n++)
        assert_true(bytes_equal(made->symbol_names[n], loaded->symbol_names[n]));
    engine_drop(made);
    engine_drop(loaded);
    munmap(image.at, IMAGE_BYTES_MAX);
}

/* ---- damage, and other memories */

/* An image of a state that has a bit of everything, and the world that it was made of. */
static struct run *run_of(uint64_t seed, unsigned steps)
{
    static struct run run;
    run = (struct run){.prng = {seed}, .world = world_open(policies, COUNT_OF(policies))};
    int64_t elapsed_ms = 0;
    unsigned hold = 0;
    world_check_purity(run.world, false);
    play(&run, steps, &elapsed_ms, &hold);
    begin(&run);
    run.is_done = engine_image_step(world_engine(run.world), UINT64_MAX);
    assert_true(run.is_done);
    return &run;
}

static void run_close(struct run *run)
{
    munmap(run->image.at, IMAGE_BYTES_MAX);
    world_close(run->world);
}

/* Decides, ends holds, lets time pass: whatever the state says, nothing stops. */
static void live_on(struct engine *engine, struct world *world, uint64_t seed)
{
    static struct fact fact;
    static struct command due;
    static struct balance_view balance;
    struct prng prng = {seed};
    int64_t now_ms = world_now(world);
    uint64_t position = position_make(UINT64_C(1) << 20, 0);
    for (unsigned step = 0; step < 60; step++, now_ms += (int64_t)prng_below(&prng, 600000)) {
        for (unsigned i = 0; i < 40; i++, position++) {
            const struct stamp stamp = {now_ms, position};
            if (!engine_due(engine, world_policy(world), stamp, &due, &fact)) break;
            engine_apply(engine, &fact);
        }
        char customer[8];
        sprintf(customer, "c%u", (unsigned)prng_below(&prng, CUSTOMERS));
        struct command command = {.kind = COMMAND_CONSUME,
                                  .customer = bytes_of_text(customer),
                                  .subject = BYTES("t1"),
                                  .feature = BYTES("chat"),
                                  .quantity_count = 1,
                                  .quantities = {{BYTES("requests"), prng_below(&prng, 20)}}};
        const uint32_t hold = 1 + (uint32_t)prng_below(&prng, engine->holds.used + UINT64_C(1));
        if (step % 2 == 0 && hold <= engine->holds.used) {
            command = (struct command){.kind = step % 4 == 0 ? COMMAND_COMMIT : COMMAND_RELEASE,
                                       .target = hold_at(engine, hold)->id};
        }
        struct stamp stamp = {now_ms, position++};
        unsigned dues = 0; /* years of renewals, where a date was hit: not all of them */
        for (; dues < 100 &&
               engine_due_for(engine, world_policy(world), &command, stamp, &due, &fact);
             dues++) {
            engine_apply(engine, &fact);
            stamp.position = position++;
        }
        if (dues == 100) return;
        if (engine_decide(engine, world_policy(world), &command, stamp, &fact).kind == RULING_FACT)
            engine_apply(engine, &fact);
        if (engine_balance(engine, world_policy(world), bytes_of_text(customer), now_ms, &balance))
            assert_true(balance.grant_count <= GRANT_VIEWS_MAX);
        engine_sweep(engine, now_ms, 50, (struct books_known){0});
    }
    (void)engine_state_hash(engine, now_ms);
}

/* Goal: a flipped bit is refused, or makes a state that goes on without stopping the process.
 * Method: one bit, or a few, anywhere; what loads all the same lives on for a while. */
static void a_damaged_image_is_refused_or_harmless(void **state)
{
    (void)state;
    const uint64_t first = setting("WEIR_SEED", 1);
    struct run *run = run_of(first, 400);
    uint64_t refused = 0;
    uint64_t loaded = 0;
    for (uint64_t seed = first; seed < first + setting("WEIR_RUNS", 1) * 1000; seed++) {
        struct prng prng = {seed};
        const size_t length = run->image.used;
        uint8_t *copy = malloc(length);
        memcpy(copy, run->image.at, length);
        for (uint64_t flips = 1 + prng_below(&prng, 2); flips > 0; flips--)
            copy[prng_below(&prng, length)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        struct engine *engine = engine_make(ceilings);
        if (load(engine, (struct bytes){copy, length}) == IMAGE_OK) {
            loaded++;
            live_on(engine, run->world, seed);
        } else {
            refused++;
        }
        engine_drop(engine);
        free(copy);
    }
    assert_true(refused > 100 && loaded > 100);
    run_close(run);
}

static void an_image_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct run *run = run_of(3, 200);
    for (size_t length = 0; length < run->image.used; length += 1 + length / 64) {
        struct engine *engine = engine_make(ceilings);
        assert_int_not_equal(load(engine, (struct bytes){run->image.at, length}), IMAGE_OK);
        engine_drop(engine);
    }
    run_close(run);
}

static void an_image_loads_into_more_memory_and_not_into_too_little(void **state)
{
    (void)state;
    struct run *run = run_of(5, 400);
    struct engine_ceilings other = ceilings;
    other.customers *= 3;
    other.grants *= 2;
    struct engine *larger = engine_make(other);
    assert_int_equal(load(larger, buffer_bytes(&run->image)), IMAGE_OK);
    assert_int_equal(engine_state_hash(larger, run->mark_ms),
                     engine_state_hash(world_engine(run->world), run->mark_ms));
    engine_drop(larger);
    const struct engine *made = world_engine(run->world);
    const struct {
        uint32_t *ceiling;
        uint32_t live;
    } smaller[] = {
        {&other.customers, made->customers.live},
        {   &other.scopes,    made->scopes.live},
        {    &other.slots,     made->slots.live},
        {    &other.rings,     made->rings.live},
        {   &other.grants,    made->grants.live},
        {     &other.keys,      made->keys.live},
    };
    for (unsigned i = 0; i < COUNT_OF(smaller); i++) {
        other = ceilings;
        *smaller[i].ceiling = smaller[i].live - 1;
        assert_true(smaller[i].live >= 1);
        struct engine *engine = engine_make(other);
        assert_int_equal(load(engine, buffer_bytes(&run->image)), IMAGE_NO_ROOM);
        engine_drop(engine);
    }
    run_close(run);
}

static void an_image_of_another_key_or_version_is_refused(void **state)
{
    (void)state;
    struct run *run = run_of(5, 50);
    const struct hash_key another = {
        {1, 3}
    };
    struct engine *engine = engine_over(zeroes(engine_bytes(ceilings)), ceilings, another);
    assert_int_equal(load(engine, buffer_bytes(&run->image)), IMAGE_FOREIGN);
    engine_drop(engine);
    run->image.at[1] = IMAGE_VERSION + 1;
    engine = engine_make(ceilings);
    assert_int_equal(load(engine, buffer_bytes(&run->image)), IMAGE_OTHER_VERSION);
    engine_drop(engine);
    run_close(run);
}

/* Goal: what the program before wrote is read: it knew no pools and no standings.
 * Method: the head of an image of a state that has none, written as it was then. */
static void an_image_of_the_version_before_is_read(void **state)
{
    (void)state;
    struct world *world = world_open(policies, COUNT_OF(policies));
    world_do(world, "consume c0 chat requests=3 subject=t1/x");
    world_do(world, "customer c0 suspend=t2");
    world_do(world, "h: authorize c1 chat requests=2 key=k");
    struct buffer now = buffer_over(zeroes(IMAGE_BYTES_MAX), IMAGE_BYTES_MAX);
    struct buffer then = buffer_over(zeroes(IMAGE_BYTES_MAX), IMAGE_BYTES_MAX);
    engine_image_begin(world_engine(world), world_now(world), &now);
    assert_true(engine_image_step(world_engine(world), UINT64_MAX));

    struct reader reader = reader_over(buffer_bytes(&now));
    struct image_head head = {0};
    assert_int_equal(reader_take_unsigned(&reader), IMAGE_RECORD_HEAD);
    walk_image_head((struct codec){.in = &reader}, false, &head);
    assert_false(reader.bad);
    assert_int_equal(head.pool_count, 0);
    head.version = 2;
    put_varint(&then, IMAGE_RECORD_HEAD);
    walk_image_head((struct codec){.out = &then}, true, &head);
    memcpy(then.at + then.used, reader.at, (size_t)(reader.end - reader.at));
    then.used += (size_t)(reader.end - reader.at);
    assert_int_equal(then.used, now.used - 1); /* the count of pools */

    struct engine *engine = engine_make(ceilings);
    assert_int_equal(load(engine, buffer_bytes(&then)), IMAGE_OK);
    assert_int_equal(engine_state_hash(engine, world_now(world)),
                     engine_state_hash(world_engine(world), world_now(world)));
    engine_drop(engine);
    munmap(now.at, IMAGE_BYTES_MAX);
    munmap(then.at, IMAGE_BYTES_MAX);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_the_state_at_its_mark),
        cmocka_unit_test(no_field_is_forgotten),
        cmocka_unit_test(a_damaged_image_is_refused_or_harmless),
        cmocka_unit_test(an_image_cut_anywhere_is_refused),
        cmocka_unit_test(an_image_loads_into_more_memory_and_not_into_too_little),
        cmocka_unit_test(an_image_of_another_key_or_version_is_refused),
        cmocka_unit_test(an_image_of_the_version_before_is_read),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
