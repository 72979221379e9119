/*
 * world.c: see world.h.
 */
#include "server/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/key_start.h"
#include "server/recovery.h"

#define WORLD_MEMORY_BYTES (UINT64_C(64) << 20)

static void *take_block(struct world *world, uint64_t bytes)
{
    void *block = memory_reserve(bytes);
    ENSURE(block != NULL && world->block_count < COUNT_OF(world->blocks));
    world->blocks[world->block_count] = block;
    world->block_bytes[world->block_count++] = bytes;
    return block;
}

static bool go_on(void *self, uint64_t sequence, uint64_t sequence_last)
{
    (void)self;
    return sequence <= sequence_last;
}

static void keep_refused(void *self, const char *detail)
{
    struct world *world = self;
    ++world->refused_snapshots;
    (void)snprintf(world->refused, sizeof(world->refused), "%s", detail);
}

static void recover(struct world *world, struct engine_ceilings ceilings, const char *directory)
{
    struct recovery_parts parts = {.journal = world->journal,
                                   .engine = world->engine,
                                   .ceilings = ceilings,
                                   .policies = world->policies,
                                   .keys = world->keys,
                                   .scratch = calloc(1, sizeof(struct recovery_scratch)),
                                   .directory = directory,
                                   .progress = go_on,
                                   .refused = keep_refused,
                                   .self = world};
    const enum recovery_end end = recovery_run(&parts, &world->recovered);
    if (end != RECOVERY_DONE) (void)fprintf(stderr, "%s\n", world->recovered.detail);
    ENSURE(end == RECOVERY_DONE);
    free(parts.scratch);
}

static void compile(struct world *world)
{
    const bool is_compiled = policies_compile(world->policies, engine_symbols(world->engine));
    if (!is_compiled) (void)fprintf(stderr, "%s\n", world->policies->complaints.at[0].text);
    ENSURE(is_compiled);
}

static void restore_policy(struct world *world)
{
    struct command *scratch = malloc(sizeof(*scratch));
    const struct engine_policy_info info = engine_policy_info(world->engine);
    const bool is_read =
        recovery_policy(world->journal, &world->recovered, info.position, scratch, world->policies);
    ENSURE(is_read);
    compile(world);
    policies_install(world->policies);
    free(scratch);
}

void world_read_on(struct asker *asker)
{
    ENSURE(asker->is_lent);
    asker->is_lent = false;
    loop_take(asker->world->loop, &asker->exchange);
}

void world_leave(struct asker *asker)
{
    asker->exchange.is_gone = true;
    if (asker->is_lent) world_read_on(asker);
}

/* The network's half of an answer in pieces. */
static void take_piece(struct asker *asker, const struct answer *answer)
{
    ++asker->pieces;
    asker->bytes += answer->body.length;
    if (asker->whole.at != NULL) buffer_put(&asker->whole, answer->body.at, answer->body.length);
    ENSURE(!asker->whole.overflowed && (!answer->has_more || answer->body.length > 0));
}

static void keep_header(struct asker_header *kept, const struct answer_header *header)
{
    ENSURE(header->value.length < sizeof(kept->value));
    kept->name = header->name;
    memcpy(kept->value, header->value.at, header->value.length);
    kept->value[header->value.length] = '\0';
}

const char *world_header(const struct asker *asker, const char *name)
{
    for (uint32_t i = 0; i < asker->header_count; ++i)
        if (strcmp(asker->headers[i].name, name) == 0) return asker->headers[i].value;
    return NULL;
}

static void on_answer(struct exchange *exchange)
{
    struct asker *asker = (struct asker *)exchange;
    struct world *world = asker->world;
    ENSURE(!asker->is_answered);
    if (exchange->answer.has_more) {
        if (asker->pieces == 0) asker->status = exchange->answer.status;
        take_piece(asker, &exchange->answer);
        asker->is_lent = true;
        if (!asker->reads_slowly) world_read_on(asker);
        return;
    }
    if (asker->pieces > 0) {
        take_piece(asker, &exchange->answer);
        asker->is_answered = true;
        asker->is_cut = exchange->answer.is_cut;
        return;
    }
    asker->is_answered = true;
    asker->order = ++world->answers;
    /* With threads the journal's own word is not ours to read. */
    asker->durable_sequence = world->journaling->has_thread ? world->loop->durable_sequence
                                                            : world->journal->tip.sequence;
    asker->status = exchange->answer.status;
    asker->content_type = exchange->answer.content_type;
    asker->header_count = exchange->answer.header_count;
    for (uint32_t i = 0; i < asker->header_count; ++i)
        keep_header(&asker->headers[i], &exchange->answer.headers[i]);
    asker->length = asker->is_dropping ? 0 : exchange->answer.body.length;
    ENSURE(asker->length < sizeof(asker->body));
    if (asker->length > 0) memcpy(asker->body, exchange->answer.body.at, asker->length);
    asker->body[asker->length] = '\0';
}

static void install(struct world *world, const char *policy)
{
    struct asker *asker = malloc(sizeof(*asker));
    memset(asker, 0, offsetof(struct asker, body));
    asker->world = world;
    asker->exchange.send = on_answer;
    policies_stage(world->policies, bytes_of_text(policy));
    compile(world);
    loop_take_policy_file(world->loop, &asker->exchange);
    world_settle(world);
    if (asker->status != 200) (void)fprintf(stderr, "%s\n", asker->body);
    ENSURE(asker->is_answered && asker->status == 200);
    free(asker);
}

struct world *world_open(struct journal *journal, const char *policy)
{
    return world_open_within(journal, policy, engine_ceilings_for(WORLD_MEMORY_BYTES));
}

struct world *world_open_within(struct journal *journal, const char *policy,
                                struct engine_ceilings ceilings)
{
    return world_open_filing(journal, policy, ceilings, NULL);
}

static void tell_key_file(void *self, const char *text)
{
    struct world *world = self;
    ++world->told_of_keys;
    (void)fprintf(stderr, "%s\n", text);
}

static void open_keys(struct world *world, uint32_t keys_max, const char *directory)
{
    struct batch_header genesis;
    struct bytes body;
    char detail[KEY_START_DETAIL_SIZE];
    const int64_t last_ms = world->journal->tip.last_ms;
    struct keys_parts parts = {
        .directory = directory, .memory_max = 16 << 20, .piece = filing_piece(keys_max)};
    ENSURE(world->journal->calls->read(world->journal, 1, &genesis, &body) == JOURNAL_OK);
    memcpy(parts.genesis.byte, genesis.hash.byte, sizeof parts.genesis.byte);
    world->keys = keys_over(take_block(world, keys_bytes(parts.piece)), parts);
    struct key_start start = {.journal = world->journal,
                              .keys = world->keys,
                              .now_ms = last_ms > WORLD_START_MS ? last_ms : WORLD_START_MS,
                              .scratch = malloc(sizeof(struct fact)),
                              .tell = tell_key_file,
                              .self = world};
    const bool is_open = key_start(&start, detail);
    if (!is_open) (void)fprintf(stderr, "%s\n", detail);
    ENSURE(is_open);
    free(start.scratch);
}

struct world *world_open_filing(struct journal *journal, const char *policy,
                                struct engine_ceilings ceilings, const char *directory)
{
    return world_open_snapshotting(journal, policy, ceilings, directory, UINT64_MAX);
}

static void open_snapshots(struct world *world, const char *directory, uint64_t every_bytes)
{
    struct batch_header genesis;
    struct bytes body;
    ENSURE(world->journal->calls->read(world->journal, 1, &genesis, &body) == JOURNAL_OK);
    world->snapshots =
        snapshots_over(take_block(world, snapshots_bytes()),
                       (struct snapshots_parts){.directory = directory,
                                                .engine = world->engine,
                                                .policies = world->policies,
                                                .keys = world->keys,
                                                .genesis = genesis.hash,
                                                .every_bytes = every_bytes,
                                                .since_bytes = world->recovered.bytes,
                                                .newest = world->recovered.snapshot,
                                                .older = world->recovered.snapshot_before});
}

struct world *world_open_snapshotting(struct journal *journal, const char *policy,
                                      struct engine_ceilings ceilings, const char *directory,
                                      uint64_t every_bytes)
{
    struct world *world = calloc(1, sizeof(*world));
    ENSURE(world != NULL);
    const struct hash_key key = {
        {1, 2}
    };
    world->journal = journal != NULL ? journal : journal_memory_open(key, 1);
    world->engine =
        engine_over(take_block(world, engine_bytes(ceilings)), ceilings, world->journal->key);
    world->policies = policies_over(take_block(world, policies_bytes()));
    if (directory != NULL) open_keys(world, ceilings.keys, directory);
    recover(world, ceilings, directory);
    if (world->keys != NULL) {
        char detail[KEY_FILE_DETAIL_SIZE];
        const bool is_accepted = keys_accept(world->keys, detail) == KEY_FILE_OK;
        ENSURE(is_accepted);
    }
    const int64_t last_ms = world->recovered.last_ms;
    world->clock = clock_test(last_ms > WORLD_START_MS ? last_ms : WORLD_START_MS);
    world->journaling = take_block(world, sizeof(*world->journaling));
    journaling_start(world->journaling, world->journal, NULL);
    world->desk = desk_over(take_block(world, desk_bytes()), world->journal, world->policies,
                            world->keys, NULL);
    if (every_bytes != UINT64_MAX) open_snapshots(world, directory, every_bytes);
    world->loop = loop_over(take_block(world, loop_bytes()),
                            (struct loop_parts){.engine = world->engine,
                                                .clock = &world->clock,
                                                .policies = world->policies,
                                                .journaling = world->journaling,
                                                .desk = world->desk,
                                                .keys = world->keys,
                                                .snapshots = world->snapshots,
                                                .tip_sequence = world->journal->tip.sequence});
    if (engine_policy_info(world->engine).version != 0) restore_policy(world);
    if (policy != NULL) install(world, policy);
    return world;
}

void world_close(struct world *world)
{
    if (world->snapshots != NULL) snapshots_stop(world->snapshots);
    if (world->keys != NULL) keys_close(world->keys);
    for (unsigned i = 0; i < world->block_count; ++i)
        memory_release(world->blocks[i], world->block_bytes[i]);
    free(world);
}

/* However slow the machine is, nobody is refused for the real time that he waits. */
#define PATIENT_NS (INT64_C(3600) * 1000000000)

void world_ask_bytes(struct world *world, struct asker *asker, const char *method,
                     const char *target, struct bytes body)
{
    memset(asker, 0, offsetof(struct asker, body));
    const char *query = strchr(target, '?');
    asker->world = world;
    asker->exchange.method = bytes_of_text(method);
    asker->exchange.path = bytes_of_text(target);
    if (query != NULL) {
        asker->exchange.path.length = (size_t)(query - target);
        asker->exchange.query = bytes_of_text(query + 1);
    }
    asker->exchange.body = body;
    asker->exchange.taken_ns = clock_monotonic_ns() + PATIENT_NS;
    asker->exchange.send = on_answer;
    loop_take(world->loop, &asker->exchange);
}

void world_ask(struct world *world, struct asker *asker, const char *method, const char *target,
               const char *body)
{
    world_ask_bytes(world, asker, method, target, bytes_of_text(body));
}

void world_post(struct world *world, struct asker *asker, const char *target, const char *body)
{
    world_ask(world, asker, "POST", target, body);
}

void world_settle(struct world *world)
{
    bool has_worked = true;
    while (has_worked) {
        has_worked = loop_step(world->loop);
        has_worked |= journal_step(world->journaling);
        has_worked |= desk_step(world->desk);
        if (world->snapshots != NULL) has_worked |= snapshots_step(world->snapshots);
    }
}

void world_do(struct world *world, struct asker *asker, const char *method, const char *target,
              const char *body)
{
    world_ask(world, asker, method, target, body);
    world_settle(world);
    ENSURE(asker->is_answered);
}
