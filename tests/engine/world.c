#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/decide.h"
#include "policy/policy_compile.h"

#define POLICIES_MAX 8

struct label {
    char name[16];
    uint64_t id;
};

/* What a hold's facts said last of how it was asked for, and what they held in all. */
struct stated_hold {
    struct effect terms;
    uint64_t units;
};

struct entry_copy {
    uint8_t *bytes; /* of the fact, then those of the command */
    size_t length;
    size_t command_length;
    int64_t at_ms;
    struct stated_hold *hold; /* that the entry began; NULL */
    uint64_t ending;          /* number of the entry that ended it last; 0 */
    int64_t refunded;         /* of the decision that the entry made */
};

/* The denials that joined a crowd and are not journaled yet: the last of them, and how many. */
struct joined {
    uint64_t first;
    uint32_t count;
    int64_t at_ms;
    uint8_t fact[FACT_BYTES_MAX], command[COMMAND_BYTES_MAX];
    size_t fact_length, command_length;
};

struct world {
    struct engine_ceilings ceilings;
    void *block;
    void *twin_block;
    struct engine *engine;
    struct engine *twin; /* only ever sees decoded facts */
    const struct policy *policy;
    const char *const *policies;
    unsigned policy_count;
    void *arenas[POLICIES_MAX * 8];
    unsigned arena_count;
    int64_t now_ms;
    uint64_t next;
    struct entry_copy *entries;
    struct label labels[WORLD_LABELS_MAX];
    unsigned label_count;
    struct fact *fact;
    struct fact *decoded;
    struct command due_command;
    struct command command;
    struct fact *again; /* as the twin decides it */
    struct evidence *evidence;
    uint8_t evidence_bytes[EVIDENCE_BYTES_MAX];
    struct joined joined;
    struct report report; /* of the last answer, */
    int64_t answered_ms;
    struct problem problem; /* or why there was none */
    bool has_report;
    bool purity;
    enum world_memory memory;
    world_observer *observer;
    void *observer_self;
    char text[4096];
    char scratch[4096];
};

void assertion_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

static const struct engine_ceilings ordinary = {.customers = 4096,
                                                .scopes = 8192,
                                                .slots = 65536,
                                                .rings = 4096,
                                                .grants = 16384,
                                                .holds = 16384,
                                                .lines = 65536,
                                                .keys = 65536};

/* Page-aligned zeroes that are committed on first touch. */
static void *zeroes(size_t bytes)
{
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ENSURE(block != MAP_FAILED);
    return block;
}

static uint64_t position_of(uint64_t number)
{
    return position_make(2 + number / WORLD_BATCH_ENTRIES,
                         (uint32_t)(number % WORLD_BATCH_ENTRIES));
}

static uint64_t number_of(uint64_t position)
{
    return (position_sequence(position) - 2) * WORLD_BATCH_ENTRIES + position_index(position);
}

/* The price of what was settled, once more, from the command and the terms of its hold. */

struct settling {
    struct quote quote;
    uint32_t unit; /* index into meters, or UNIT_COST */
    uint64_t quantities[METERS_MAX];
    bool is_part;       /* a part was granted: whole nano-credits of it, nothing to carry */
    uint64_t units_max; /* of a failed hold that stands; else UINT64_MAX */
};

static void take_outcome(const struct command *command, enum failure_cost on_failure,
                         const uint64_t held[METERS_MAX], uint64_t quantities[METERS_MAX])
{
    for (uint32_t i = 0; i < METERS_MAX && command->status != JOB_SUCCEEDED; i++) {
        if (on_failure == FAILURE_NONE) quantities[i] = 0;
        if (on_failure == FAILURE_FULL) quantities[i] = held[i];
    }
}

static void settling_of_commit(const struct world *world, const struct command *command,
                               const struct fact *fact, struct settling *out)
{
    const struct stated_hold *stated = world->entries[number_of(fact->report.id)].hold;
    const struct effect *terms = &stated->terms;
    const uint32_t requests_meter = terms->hold.requests_meter;
    const uint64_t requests =
        requests_meter < METERS_MAX ? terms->hold.quantities[requests_meter] : 0;
    const struct problem problem =
        measure_quantities(world->engine, command, terms->hold.meters, terms->hold.meter_count,
                           requests_meter, requests, out->quantities);
    ENSURE(problem.code == PROBLEM_NONE);
    if (command->as_held) memcpy(out->quantities, terms->hold.quantities, sizeof out->quantities);
    take_outcome(command, terms->hold.on_failure, terms->hold.quantities, out->quantities);
    out->quote = terms->hold.quote;
    out->unit = terms->hold.unit;
    const bool stands = command->as_held || (command->status != JOB_SUCCEEDED &&
                                             terms->hold.on_failure == FAILURE_FULL);
    out->units_max = stands && !fact->report.late ? stated->units : UINT64_MAX;
}

static void settling_at_once(const struct world *world, const struct command *command,
                             const struct fact *fact, struct settling *out)
{
    const struct policy *policy = world->policy;
    const struct symbols symbols = engine_symbols(world->engine);
    const struct policy_feature *feature = policy_feature_named(policy, &symbols, command->feature);
    struct problem problem =
        measure_quantities(world->engine, command, feature->meters, feature->meter_count,
                           feature->requests_meter, 1, out->quantities);
    if (problem.code == PROBLEM_NONE)
        problem = price_quote(feature, command, fact->at_ms, &out->quote);
    ENSURE(problem.code == PROBLEM_NONE);
    const uint32_t customer = customer_find(world->engine, fact->customer);
    const struct plan *plan = policy_plan_of(policy, customer_at(world->engine, customer)->plan);
    const struct plan_feature *terms =
        plan == NULL ? NULL : plan_feature_of(plan, (uint32_t)(feature - policy->features));
    if (terms != NULL && terms->on_failure == FAILURE_NONE)
        take_outcome(command, FAILURE_NONE, NULL, out->quantities);
    out->unit = feature->unit;
    out->is_part = fact->report.outcome == OUTCOME_PARTIAL;
    out->units_max = UINT64_MAX;
}

/* The exact cost over q, by the rules. */
static uint128 exact_cost(const struct settling *settling, const struct report *report)
{
    const struct quote *quote = &settling->quote;
    if (settling->unit == UNIT_COST && settling->is_part)
        return (uint128)quote->q * report->units_allowed;
    if (settling->unit == UNIT_COST) {
        const uint128 cost = price_cost(quote, settling->quantities);
        const uint128 units = (cost + report->price_settled.rem_before) / quote->q;
        return units > settling->units_max ? (uint128)quote->q * settling->units_max : cost;
    }
    uint64_t funded = report->overshoot.units;
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind == SOURCE_GRANTS || report->lines[i].kind == SOURCE_OVERAGE)
            funded += report->lines[i].units;
    return price_through(price_of_unit(quote, settling->unit), funded);
}

/* What the books will read of the price is exactly what was settled (U4, B1, B3 a). */
static void check_settled_price(const struct world *world, const struct command *command,
                                const struct fact *fact)
{
    const struct report *report = &fact->report;
    const struct settled_price *price = &report->price_settled;
    const bool is_commit = report->kind == COMMAND_COMMIT;
    if ((!is_commit && report->kind != COMMAND_CONSUME && report->kind != COMMAND_USAGE) ||
        report->outcome == OUTCOME_DENY) {
        ENSURE(price->version == 0 && price->q == 0 && price->rem_before == 0);
        return;
    }
    struct settling settling = {0};
    if (is_commit)
        settling_of_commit(world, command, fact, &settling);
    else
        settling_at_once(world, command, fact, &settling);
    int64_t charged = 0;
    uint64_t units = 0;
    for (uint32_t i = 0; i < report->line_count; i++) {
        charged += report->lines[i].charged;
        units += report->lines[i].units;
    }
    ENSURE(charged == report->charged && units == report->units_allowed);
    charged += report->overshoot.charged;
    units += report->overshoot.units;
    ENSURE(price->version == settling.quote.version);
    if (price->version == 0) {
        ENSURE(charged == 0);
        return;
    }
    ENSURE(price->q == settling.quote.q);
    ENSURE(price->rem_before < price->q && price->rem_after < price->q);
    const uint128 settled = settling.unit == UNIT_COST ? units : (uint128)charged;
    ENSURE(settled * price->q + price->rem_after ==
           exact_cost(&settling, report) + price->rem_before);
}

/* The world's own books: all is settled at once. */
static struct books_known books_of(const struct world *world)
{
    return (struct books_known){.are_kept = world->memory != MEMORY_WITHOUT_BOOKS,
                                .lose_holds = world->memory == MEMORY_OF_HOLDS,
                                .through = position_of(world->next) - 1};
}

static const struct fact *fact_at(struct world *world, uint64_t number)
{
    const struct entry_copy *entry = &world->entries[number];
    ENSURE(fact_decode((struct bytes){entry->bytes, entry->length}, world->decoded));
    world->decoded->at_ms = entry->at_ms;
    world->decoded->position = position_of(number);
    return world->decoded;
}

static bool entry_exists(const struct world *world, uint64_t position)
{
    return position_sequence(position) >= 2 && number_of(position) < world->next;
}

static void gather_origin(struct world *world, uint64_t id, uint64_t position)
{
    world->evidence->origin = position;
    if (entry_exists(world, position))
        evidence_add_origin(world->evidence, id, fact_at(world, number_of(position)));
}

static void gather_whole(struct world *world, uint64_t id)
{
    struct evidence *evidence = world->evidence;
    evidence->is_whole = true;
    if (books_of(world).are_kept) evidence->cursor = books_of(world).through;
    evidence->origin = id;
    if (!entry_exists(world, id)) return;
    evidence_add_decision(evidence, id, fact_at(world, number_of(id)));
    const struct entry_copy *decided = &world->entries[number_of(id)];
    if (!books_of(world).are_kept) return;
    if (decided->ending != 0) {
        ENSURE(evidence_add_ending(evidence, id, fact_at(world, decided->ending)));
        gather_origin(world, id, evidence->ending.position);
    }
    evidence_add_refunds(evidence, id, decided->refunded);
}

/* What a server brings for a ruling that asks for it; canonical, like all that is journaled. */
static struct bytes gather(struct world *world, const struct command *command,
                           const struct ruling *ruling)
{
    static uint8_t again[EVIDENCE_BYTES_MAX];
    evidence_clear(world->evidence);
    if (ruling->recall == RECALL_WHOLE)
        gather_whole(world, command->target);
    else
        gather_origin(world, command->target, ruling->position);
    struct buffer buffer = buffer_over(world->evidence_bytes, sizeof world->evidence_bytes);
    evidence_encode(world->evidence, &buffer);
    ENSURE(!buffer.overflowed && evidence_decode(buffer_bytes(&buffer), world->evidence));
    struct buffer second = buffer_over(again, sizeof again);
    evidence_encode(world->evidence, &second);
    ENSURE(bytes_equal(buffer_bytes(&buffer), buffer_bytes(&second)));
    return buffer_bytes(&buffer);
}

static void remember_hold(struct world *world, const struct fact *fact)
{
    struct stated_hold *stated = NULL;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind == EFFECT_HOLD) {
            struct entry_copy *began = &world->entries[number_of(effect->hold.id)];
            if (began->hold == NULL) began->hold = calloc(1, sizeof *began->hold);
            stated = began->hold;
            ENSURE(stated != NULL);
            stated->terms = *effect;
        }
        if (effect->kind == EFFECT_ENDED) {
            struct entry_copy *decided = &world->entries[number_of(effect->ended.id)];
            decided->refunded = effect->ended.refunded_after;
            if (fact->report.kind != COMMAND_REFUND) decided->ending = world->next;
        }
        if (effect->kind == EFFECT_HOLD_LINE) stated->units += effect->hold_line.line.units;
    }
}

/* The twin has forgotten other things than the engine by now: what it decides must be the same. */
static void decide_again(struct world *world, const struct command *command, struct bytes fact)
{
    static uint8_t block[FACT_BYTES_MAX];
    static struct command due;
    struct fact *again = world->again;
    const struct stamp stamp = {.now_ms = world->now_ms, .position = position_of(world->next)};
    if (command->kind == COMMAND_DUE) {
        ENSURE(engine_due_again(world->twin, world->policy, command, stamp, &due, again));
        ENSURE(due.due_what == command->due_what && due.due_id == command->due_id);
    } else {
        const struct ruling ruling =
            engine_decide(world->twin, world->policy, command, stamp, again);
        ENSURE(ruling.kind == RULING_FACT);
    }
    struct buffer buffer = buffer_over(block, sizeof block);
    fact_encode(again, &buffer);
    ENSURE(bytes_equal(buffer_bytes(&buffer), fact));
}

static void join_crowd(struct world *world, const struct command *command, uint64_t first)
{
    struct joined *joined = &world->joined;
    if (joined->count != 0 && joined->first != first) world_tell_crowd(world);
    joined->first = first;
    joined->at_ms = world->now_ms;
    joined->count++;
    struct buffer fact = buffer_over(joined->fact, sizeof joined->fact);
    fact_encode(world->fact, &fact);
    struct buffer bytes = buffer_over(joined->command, sizeof joined->command);
    command_encode(command, &bytes);
    ENSURE(!fact.overflowed && !bytes.overflowed);
    joined->fact_length = fact.used;
    joined->command_length = bytes.used;
}

/* Nothing is decided by it, and nothing is applied. */
void world_tell_crowd(struct world *world)
{
    static struct command command;
    struct joined *joined = &world->joined;
    if (joined->count == 0) return;
    ENSURE(fact_decode((struct bytes){joined->fact, joined->fact_length}, world->decoded));
    ENSURE(command_decode((struct bytes){joined->command, joined->command_length}, &command));
    world->decoded->report.crowd = joined->count;
    const int64_t last_ms = joined->at_ms / SECOND_MS * SECOND_MS + SECOND_MS - 1;
    ENSURE(world->decoded->effect_count == 0);
    ENSURE(engine_crowd_runs(world->twin, &command, world->decoded, last_ms));
    struct buffer fact = buffer_over(joined->fact, sizeof joined->fact);
    fact_encode(world->decoded, &fact);
    ENSURE(!fact.overflowed && world->next + 1 < WORLD_ENTRIES_MAX);
    struct entry_copy *entry = &world->entries[world->next++];
    *entry = (struct entry_copy){
        .bytes = malloc(fact.used + joined->command_length),
        .length = fact.used,
        .command_length = joined->command_length,
        .at_ms = last_ms < world->now_ms ? last_ms : world->now_ms,
    };
    ENSURE(entry->bytes != NULL);
    memcpy(entry->bytes, joined->fact, fact.used);
    memcpy(entry->bytes + fact.used, joined->command, joined->command_length);
    joined->count = 0;
}

static void record(struct world *world, const struct command *command, struct fact *fact)
{
    static uint8_t block[FACT_BYTES_MAX], again[FACT_BYTES_MAX];
    struct buffer buffer = buffer_over(block, sizeof block);
    fact_encode(fact, &buffer);
    ENSURE(!buffer.overflowed);
    ENSURE(fact_decode(buffer_bytes(&buffer), world->decoded));
    world->decoded->at_ms = fact->at_ms;
    world->decoded->position = fact->position;
    struct buffer second = buffer_over(again, sizeof again);
    fact_encode(world->decoded, &second);
    ENSURE(bytes_equal(buffer_bytes(&buffer), buffer_bytes(&second)));

    static uint8_t body[COMMAND_BYTES_MAX + FACT_BYTES_MAX], body_again[COMMAND_BYTES_MAX];
    static struct command decoded;
    struct buffer command_buffer = buffer_over(body, sizeof body);
    command_encode(command, &command_buffer);
    ENSURE(!command_buffer.overflowed);
    ENSURE(command_decode(buffer_bytes(&command_buffer), &decoded));
    struct buffer command_again = buffer_over(body_again, sizeof body_again);
    command_encode(&decoded, &command_again);
    ENSURE(bytes_equal(buffer_bytes(&command_buffer), buffer_bytes(&command_again)));

    struct entry_copy *entry = &world->entries[world->next];
    *entry = (struct entry_copy){
        .bytes = malloc(buffer.used + command_buffer.used),
        .length = buffer.used,
        .command_length = command_buffer.used,
        .at_ms = fact->at_ms,
    };
    ENSURE(entry->bytes != NULL && world->next + 1 < WORLD_ENTRIES_MAX);
    memcpy(entry->bytes, block, buffer.used);
    memcpy(entry->bytes + buffer.used, body, command_buffer.used);

    if (world->purity) decide_again(world, command, buffer_bytes(&buffer));
    engine_apply(world->engine, fact);
    /* As recovery does: a replay forgets when it must. */
    if (!engine_has_room_for(world->twin, world->decoded))
        engine_sweep(world->twin, world->now_ms, world->ceilings.keys + world->ceilings.grants,
                     books_of(world));
    engine_apply(world->twin, world->decoded);
    remember_hold(world, fact);
    check_settled_price(world, command, fact);
    if (world->observer != NULL) world->observer(world->observer_self, fact);
    world->next++;
}

static struct stamp stamp_of(const struct world *world)
{
    return (struct stamp){.now_ms = world->now_ms, .position = position_of(world->next)};
}

static void do_due_of(struct world *world, const struct command *command)
{
    while (engine_due_for(world->engine, world->policy, command, stamp_of(world),
                          &world->due_command, world->fact))
        record(world, &world->due_command, world->fact);
}

static void do_due_of_all(struct world *world)
{
    while (
        engine_due(world->engine, world->policy, stamp_of(world), &world->due_command, world->fact))
        record(world, &world->due_command, world->fact);
}

static uint64_t state_hash(const struct world *world)
{
    return world->purity ? engine_state_hash(world->engine, world->now_ms) : 0;
}

static struct ruling decide(struct world *world, struct command *command)
{
    uint64_t before = state_hash(world);
    struct ruling ruling =
        engine_decide(world->engine, world->policy, command, stamp_of(world), world->fact);
    if (ruling.kind == RULING_RECALL) {
        command->evidence = gather(world, command, &ruling);
        do_due_of(world, command);
        before = state_hash(world);
        ruling = engine_decide(world->engine, world->policy, command, stamp_of(world), world->fact);
        ENSURE(ruling.kind != RULING_RECALL);
    }
    ENSURE(state_hash(world) == before);
    return ruling;
}

/* NULL: it is wrong, and complaints says why. */
static const struct policy *compile(struct world *world, unsigned number,
                                    struct policy_complaints *complaints)
{
    ENSURE(number < world->policy_count && world->arena_count < COUNT_OF(world->arenas));
    void *block = zeroes(POLICY_ARENA_BYTES);
    world->arenas[world->arena_count++] = block;
    struct arena arena = arena_over(block, POLICY_ARENA_BYTES);
    const struct symbols symbols = engine_symbols(world->engine);
    const struct bytes yaml = bytes_of_text(world->policies[number]);
    return policy_compile(&arena, yaml, &symbols, complaints);
}

static void install_policy(struct world *world, unsigned number, bool from_file)
{
    static struct command command;
    struct policy_complaints complaints;
    const struct policy *compiled = compile(world, number, &complaints);
    if (compiled == NULL) {
        for (uint32_t i = 0; i < complaints.count; i++)
            fprintf(stderr, "policy %u:%u:%u: %s\n", number, complaints.at[i].line,
                    complaints.at[i].column, complaints.at[i].text);
        abort();
    }
    command = (struct command){.kind = COMMAND_POLICY,
                               .yaml = bytes_of_text(world->policies[number]),
                               .compiled = compiled,
                               .from_file = from_file};
    const struct ruling ruling =
        engine_decide(world->engine, compiled, &command, stamp_of(world), world->fact);
    ENSURE(ruling.kind == RULING_FACT);
    record(world, &command, world->fact);
    world->policy = compiled;
}

struct world *world_open(const char *const *policies, unsigned count)
{
    return world_open_with(policies, count, ordinary);
}

struct world *world_open_with(const char *const *policies, unsigned count,
                              struct engine_ceilings ceilings)
{
    struct world *world = zeroes(sizeof *world);
    world->ceilings = ceilings;
    world->block = zeroes(engine_bytes(world->ceilings));
    world->twin_block = zeroes(engine_bytes(world->ceilings));
    world->engine = engine_over(world->block, ceilings, WORLD_KEY);
    world->twin = engine_over(world->twin_block, ceilings, WORLD_KEY);
    world->fact = zeroes(sizeof *world->fact);
    world->decoded = zeroes(sizeof *world->decoded);
    world->evidence = zeroes(sizeof *world->evidence);
    world->again = zeroes(sizeof *world->again);
    world->entries = zeroes(WORLD_ENTRIES_MAX * sizeof *world->entries);
    world->policies = policies;
    world->policy_count = count;
    world->now_ms = WORLD_START_MS;
    world->purity = true;
    world->memory = MEMORY_SHORT;
    install_policy(world, 0, false);
    return world;
}

void world_close(struct world *world)
{
    ENSURE(engine_state_hash(world->engine, world->now_ms) ==
           engine_state_hash(world->twin, world->now_ms));
    const uint64_t forgotten = engine_forgotten_through(world->engine);
    ENSURE(engine_endings_hash(world->engine, forgotten, world->now_ms) ==
           engine_endings_hash(world->twin, forgotten, world->now_ms));
    for (uint64_t i = 0; i < world->next; i++) {
        free(world->entries[i].bytes);
        free(world->entries[i].hold);
    }
    for (unsigned i = 0; i < world->arena_count; i++)
        munmap(world->arenas[i], POLICY_ARENA_BYTES);
    munmap(world->entries, WORLD_ENTRIES_MAX * sizeof *world->entries);
    munmap(world->evidence, sizeof *world->evidence);
    munmap(world->again, sizeof *world->again);
    munmap(world->fact, sizeof *world->fact);
    munmap(world->decoded, sizeof *world->decoded);
    munmap(world->block, engine_bytes(world->ceilings));
    munmap(world->twin_block, engine_bytes(world->ceilings));
    munmap(world, sizeof *world);
}

struct engine *world_twin(struct world *world)
{
    return world->twin;
}

struct engine *world_engine(struct world *world)
{
    return world->engine;
}
const struct policy *world_policy(const struct world *world)
{
    return world->policy;
}
int64_t world_now(const struct world *world)
{
    return world->now_ms;
}
const struct fact *world_fact(const struct world *world)
{
    return world->fact;
}
const struct report *world_report(const struct world *world, int64_t *at_ms_out)
{
    *at_ms_out = world->answered_ms;
    return world->has_report ? &world->report : NULL;
}
const struct problem *world_problem(const struct world *world)
{
    return &world->problem;
}
void world_observe(struct world *world, world_observer *observer, void *self)
{
    world->observer = observer;
    world->observer_self = self;
}
uint64_t world_entry_count(const struct world *world)
{
    return world->next;
}
struct entry world_entry(const struct world *world, uint64_t number)
{
    ENSURE(number < world->next);
    const struct entry_copy *copy = &world->entries[number];
    return (struct entry){
        .at_ms = copy->at_ms,
        .command = {copy->bytes + copy->length, copy->command_length},
        .fact = {               copy->bytes,         copy->length},
    };
}
void world_skip(struct world *world, int64_t ms)
{
    world->now_ms += ms;
}
void world_remember(struct world *world, enum world_memory memory)
{
    world->memory = memory;
}
void world_check_purity(struct world *world, bool on)
{
    world->purity = on;
}

/* Labels. */

static void set_label(struct world *world, const char *name, uint64_t id)
{
    ENSURE(world->label_count < WORLD_LABELS_MAX);
    struct label *label = &world->labels[world->label_count++];
    snprintf(label->name, sizeof label->name, "%s", name);
    label->id = id;
}

static uint64_t label_id(const struct world *world, const char *name)
{
    for (unsigned i = world->label_count; i-- > 0;)
        if (strcmp(world->labels[i].name, name) == 0) return world->labels[i].id;
    return position_make(1u << 30, 1); /* an id that nothing has */
}

static const char *label_name(const struct world *world, uint64_t id)
{
    for (unsigned i = world->label_count; i-- > 0;)
        if (world->labels[i].id == id) return world->labels[i].name;
    return "?";
}

/* Parsing. */

int64_t world_duration(const char *text)
{
    int64_t sum = 0;
    while (*text != '\0') {
        char *end;
        const int64_t number = strtoll(text, &end, 10);
        ENSURE(end != text);
        static const struct {
            const char *unit;
            int64_t ms;
        } units[] = {
            {"ms",         1},
            { "d",    DAY_MS},
            { "h",   HOUR_MS},
            { "m", MINUTE_MS},
            { "s", SECOND_MS}
        };
        unsigned u = 0;
        while (u < COUNT_OF(units) && strncmp(end, units[u].unit, strlen(units[u].unit)) != 0)
            u++;
        ENSURE(u < COUNT_OF(units));
        sum += number * units[u].ms;
        text = end + strlen(units[u].unit);
    }
    return sum;
}

static int64_t credits(const char *text)
{
    int64_t nano = 0;
    ENSURE(credits_parse(bytes_of_text(text), &nano));
    return nano;
}

static bool option(const char *word, const char *name, const char **value_out)
{
    const size_t length = strlen(name);
    if (strncmp(word, name, length) != 0 || word[length] != '=') return false;
    *value_out = word + length + 1;
    return true;
}

static void parse_override(struct command *command, const char *word, bool is_credits)
{
    const char *dot = strchr(word, '.');
    const char *equals = strchr(word, '=');
    struct override *override = &command->overrides[command->override_count++];
    override->name = (struct bytes){(const uint8_t *)dot + 1, (size_t)(equals - dot - 1)};
    override->field = is_credits ? "budgets" : "limits";
    override->member = override->name;
    override->is_credits = is_credits;
    override->removed = strcmp(equals + 1, "none") == 0;
    if (override->removed) return;
    override->value = is_credits ? (uint64_t)credits(equals + 1) : strtoull(equals + 1, NULL, 10);
}

static void parse_option(struct world *world, struct command *command, const char *word)
{
    const char *value;
    if (option(word, "subject", &value)) {
        command->subject = bytes_of_text(value);
    } else if (option(word, "key", &value)) {
        command->key = bytes_of_text(value);
    } else if (option(word, "ttl", &value)) {
        command->has_ttl = true;
        command->ttl_ms = world_duration(value);
    } else if (option(word, "min", &value)) {
        command->has_min_units = true;
        command->min_units = strtoull(value, NULL, 10);
    } else if (option(word, "explain", &value)) {
        command->explain = strcmp(value, "yes") == 0;
    } else if (option(word, "credits", &value)) {
        command->consent = strcmp(value, "yes") == 0 ? CONSENT_GIVEN : CONSENT_REFUSED;
    } else if (option(word, "status", &value)) {
        command->status = strcmp(value, "failed") == 0 ? JOB_FAILED : JOB_MODERATED;
    } else if (option(word, "plan", &value)) {
        command->plan = bytes_of_text(value);
    } else if (option(word, "mode", &value)) {
        command->credit_mode = strcmp(value, "ask") == 0   ? CREDIT_ASK
                               : strcmp(value, "off") == 0 ? CREDIT_OFF
                                                           : CREDIT_AUTO;
    } else if (option(word, "suspended", &value)) {
        command->suspended = strcmp(value, "yes") == 0 ? BOOL_TRUE : BOOL_FALSE;
    } else if (option(word, "suspend", &value) || option(word, "resume", &value)) {
        command->suspensions[command->suspension_count++] =
            (struct suspension){.subject = bytes_of_text(value), .suspended = word[0] == 's'};
    } else if (option(word, "anchor", &value)) {
        command->anchor_removed = strcmp(value, "none") == 0;
        command->has_anchor = !command->anchor_removed;
        if (command->has_anchor) ENSURE(calendar_parse(bytes_of_text(value), &command->anchor_ms));
    } else if (option(word, "priority", &value)) {
        command->grant_priority = (int32_t)strtol(value, NULL, 10);
    } else if (option(word, "from", &value)) {
        command->has_effective = true;
        command->effective_ms = world->now_ms + world_duration(value + 1);
    } else if (option(word, "until", &value)) {
        command->has_expires = true;
        command->expires_ms = world->now_ms + world_duration(value + 1);
    } else if (option(word, "as", &value)) {
        command->priority = value[0] == 'c' ? PRIORITY_CRITICAL : PRIORITY_SHEDDABLE;
    } else if (option(word, "shed", &value)) {
        command->pool.says_shed = true;
        command->pool.shed = value[0] == 'n'   ? SHED_NONE
                             : value[0] == 's' ? SHED_SHEDDABLE
                             : value[0] == 'd' ? SHED_DEFAULT
                                               : SHED_ALL;
    } else if (option(word, "of", &value)) {
        command->access.customer = bytes_of_text(value);
    } else if (option(word, "ends", &value)) {
        command->access.expires_ms = world->now_ms + world_duration(value + 1);
    } else if (option(word, "way", &value)) {
        command->has_way_back = strcmp(value, "back") == 0;
    } else if (option(word, "by", &value)) {
        command->actor = bytes_of_text(value);
    } else if (option(word, "bound", &value)) {
        command->is_bound = true;
        command->bound_to = engine_customer_id(world->engine, bytes_of_text(value));
    } else if (option(word, "features", &value)) {
        command->grant_features[command->grant_feature_count++] = bytes_of_text(value);
    } else if (strncmp(word, "limit.", 6) == 0) {
        parse_override(command, word, false);
    } else if (strncmp(word, "budget.", 7) == 0) {
        parse_override(command, word, true);
    } else if (strcmp(word, "{}") == 0) {
        command->as_held = false;
    } else if (word[0] == '.') {
        const char *equals = strchr(word, '=');
        command->attributes[command->attribute_count++] = (struct attribute){
            {(const uint8_t *)word + 1, (size_t)(equals - word - 1)},
            bytes_of_text(equals + 1)
        };
    } else {
        const char *equals = strchr(word, '=');
        ENSURE(equals != NULL);
        command->as_held = false;
        command->quantities[command->quantity_count++] = (struct quantity){
            {(const uint8_t *)word, (size_t)(equals - word)},
            strtoull(equals + 1, NULL, 10)
        };
    }
}

static const struct {
    const char *verb;
    enum command_kind kind;
} verbs[] = {
    {"authorize", COMMAND_AUTHORIZE},
    {  "consume",   COMMAND_CONSUME},
    {    "check",     COMMAND_CHECK},
    {    "usage",     COMMAND_USAGE},
    {   "commit",    COMMAND_COMMIT},
    {  "release",   COMMAND_RELEASE},
    {   "extend",    COMMAND_EXTEND},
    { "customer",  COMMAND_CUSTOMER},
    {    "grant",     COMMAND_GRANT},
    {     "void",      COMMAND_VOID},
    {    "reset",     COMMAND_RESET},
    {   "refund",    COMMAND_REFUND},
    {      "key",    COMMAND_ACCESS},
    {   "revoke",    COMMAND_ACCESS},
    {     "pool",      COMMAND_POOL},
    { "standing",  COMMAND_CUSTOMER},
};

#define WORDS_MAX 32

/* "decide+read": a key with some hash that no other has. */
static void parse_scopes(struct command *command, const char *text)
{
    static uint64_t made;
    static const char *const words[] = {"decide", "report", "read", "admin"};
    for (unsigned i = 0; i < COUNT_OF(words); i++)
        if (strstr(text, words[i]) != NULL) command->access.scopes |= 1u << i;
    for (unsigned i = 0; i < COUNT_OF(command->access.hash); i++)
        command->access.hash[i] = hash_mix(++made, i);
    command->access.expires_ms = INSTANT_NEVER;
}

static void parse_standing(struct command *command, const char *whose, const char *word)
{
    const enum standing standing = word[0] == 'r'   ? STANDING_RESTRICTED
                                   : word[0] == 'p' ? STANDING_PROBATION
                                   : word[0] == 't' ? STANDING_TRUSTED
                                                    : STANDING_NORMAL;
    const char *slash = strchr(whose, '/');
    command->customer = bytes_of_text(whose);
    if (slash == NULL) {
        command->has_standing = true;
        command->standing = standing;
        return;
    }
    command->customer.length = (size_t)(slash - whose);
    command->suspensions[command->suspension_count++] = (struct suspension){
        .subject = bytes_of_text(slash + 1), .is_standing = true, .standing = standing};
}

static unsigned parse_positional(struct world *world, struct command *command, char **words)
{
    switch (command->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
    case COMMAND_USAGE:
        command->customer = bytes_of_text(words[1]);
        command->feature = bytes_of_text(words[2]);
        return 3;
    case COMMAND_COMMIT:
    case COMMAND_RELEASE:
    case COMMAND_EXTEND:
    case COMMAND_VOID:
        command->as_held = command->kind == COMMAND_COMMIT; /* until quantities are said */
        command->target = label_id(world, words[1]);
        return 2;
    case COMMAND_CUSTOMER:
        if (strcmp(words[0], "standing") == 0) {
            parse_standing(command, words[1], words[2]);
            return 3;
        }
        command->customer = bytes_of_text(words[1]);
        return 2;
    case COMMAND_POOL:
        command->pool.name = bytes_of_text(words[1]);
        command->pool.says_override = words[2][0] != '-';
        command->pool.has_override = words[2][0] != '-' && words[2][0] != 'n';
        if (command->pool.has_override) command->pool.override_nano = credits(words[2]);
        return 3;
    case COMMAND_GRANT:
        command->customer = bytes_of_text(words[1]);
        command->category = words[2][1] == 'r'   ? CATEGORY_PROMOTIONAL
                            : words[2][0] == 'e' ? CATEGORY_ENTITLEMENT
                                                 : CATEGORY_PAID;
        command->nano = credits(words[3]);
        return 4;
    case COMMAND_RESET:
        command->customer = bytes_of_text(words[1]);
        command->limit = bytes_of_text(words[2]);
        return 3;
    case COMMAND_REFUND:
        command->target = label_id(world, words[1]);
        command->all = strcmp(words[2], "all") == 0;
        if (!command->all) command->nano = credits(words[2]);
        return 3;
    case COMMAND_ACCESS:
        if (strcmp(words[0], "revoke") == 0)
            command->target = label_id(world, words[1]);
        else
            parse_scopes(command, words[1]);
        return 2;
    case COMMAND_POLICY:
    case COMMAND_DUE:
    case COMMAND_SEAL:
        break;
    }
    ENSURE(false);
}

/* Rendering. */

static void say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *world, const char *format, ...)
{
    const size_t used = strlen(world->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->text + used, sizeof world->text - used, format, arguments);
    va_end(arguments);
}

static void say_symbol(struct world *world, uint32_t symbol)
{
    const struct bytes name = engine_symbols(world->engine).name[symbol];
    say(world, "%.*s", (int)name.length, (const char *)name.at);
}

static void say_credits(struct world *world, int64_t nano)
{
    char text[CREDITS_TEXT_SIZE];
    credits_format(nano, text);
    say(world, "%s", text);
}

void world_tell_time(int64_t ms, char text_out[WORLD_TIME_SIZE])
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {
        { "d",    DAY_MS},
        { "h",   HOUR_MS},
        { "m", MINUTE_MS},
        { "s", SECOND_MS},
        {"ms",         1}
    };
    size_t used = (size_t)snprintf(text_out, WORLD_TIME_SIZE, ms == 0 ? "+0" : "+");
    for (unsigned i = 0; i < COUNT_OF(units); i++) {
        if (ms / units[i].ms != 0)
            used += (size_t)snprintf(text_out + used, WORLD_TIME_SIZE - used, "%" PRId64 "%s",
                                     ms / units[i].ms, units[i].unit);
        ms %= units[i].ms;
    }
}

static void say_time(struct world *world, int64_t at_ms)
{
    char text[WORLD_TIME_SIZE];
    world_tell_time(at_ms - WORLD_START_MS, text);
    say(world, "%s", text);
}

static void say_lines(struct world *world, const struct report *report)
{
    for (uint32_t i = 0; i < report->line_count; i++) {
        const struct line *line = &report->lines[i];
        say(world, " | ");
        say_symbol(world, line->source);
        if (line->grant_id != 0) say(world, "[%s]", label_name(world, line->grant_id));
        say(world, " %" PRIu64, line->units);
        if (line->charged == 0) continue;
        say(world, "=");
        say_credits(world, line->charged);
    }
}

static void say_refusal(struct world *world, const struct report *report)
{
    say(world, " %s", reason_code(report->reason));
    if (report->limit != SYMBOL_NONE) {
        say(world, "(");
        say_symbol(world, report->limit);
        say(world, ")");
    }
    if (report->retry_after_ms >= 0) {
        say(world, " retry ");
        say_time(world, WORLD_START_MS + report->retry_after_ms);
    }
}

static void say_decision(struct world *world, const struct report *report)
{
    static const char *const outcomes[] = {"none", "allow", "partial", "deny"};
    say(world, "%s %" PRIu64 "/%" PRIu64, outcomes[report->outcome], report->units_allowed,
        report->units_requested);
    if (report->charged != 0) {
        say(world, " =");
        say_credits(world, report->charged);
    }
    if (report->reason != REASON_OK) say_refusal(world, report);
    if (report->reason == REASON_OK && report->remedy == REMEDY_USE_CREDITS)
        say(world, " remedy use_credits");
    say_lines(world, report);
    if (report->late) say(world, " late");
    if (report->has_overshoot) {
        say(world, " over %" PRIu64 "=", report->overshoot.units);
        say_credits(world, report->overshoot.charged);
        say(world, "-");
        say_credits(world, report->overshoot.refunded);
    }
}

static void say_report(struct world *world, const struct report *report)
{
    static const char *const states[] = {"none", "held", "committed", "released", "expired"};
    switch (report->kind) {
    case COMMAND_RELEASE:
        say(world, "%s", states[report->hold]);
        return;
    case COMMAND_CUSTOMER:
        say(world, "ok");
        return;
    case COMMAND_GRANT:
        say(world, "granted ");
        say_credits(world, report->nano);
        return;
    case COMMAND_VOID:
        say(world, "voided ");
        say_credits(world, report->nano);
        return;
    case COMMAND_RESET:
        say(world, "reset %" PRIu64, report->count);
        return;
    case COMMAND_REFUND:
        say(world, "refunded ");
        say_credits(world, report->nano);
        if (report->expired != 0) {
            say(world, " expired ");
            say_credits(world, report->expired);
        }
        say(world, " of ");
        say_credits(world, report->total);
        say_lines(world, report);
        return;
    case COMMAND_EXTEND:
        say_decision(world, report);
        say(world, " until ");
        say_time(world, report->expires_at_ms);
        return;
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_CHECK:
    case COMMAND_USAGE:
    case COMMAND_COMMIT:
        say_decision(world, report);
        return;
    case COMMAND_POOL:
        say(world, "factor %" PRId64 "/64", report->total);
        if (report->nano != FACTOR_NONE) say(world, " override");
        if (report->count != SHED_NONE) say(world, " shed %" PRIu64, report->count);
        return;
    case COMMAND_ACCESS:
        say(world, report->count != 0 ? "revoked" : "made");
        return;
    case COMMAND_POLICY:
    case COMMAND_DUE:
    case COMMAND_SEAL:
        return;
    }
}

static const char *problem_name(enum problem_code code)
{
    static const char *const names[] = {
#define X(name, code_text, status, title) [name] = code_text,
        PROBLEM_TABLE(X)
#undef X
    };
    return names[code];
}

static void do_balance(struct world *world, const char *customer)
{
    static struct balance_view view;
    if (!engine_balance(world->engine, world->policy, bytes_of_text(customer), world->now_ms,
                        &view)) {
        say(world, "! unknown_customer");
        return;
    }
    say(world, "available ");
    say_credits(world, view.available);
    say(world, " held ");
    say_credits(world, view.held);
    if (view.debt != 0) {
        say(world, " debt ");
        say_credits(world, view.debt);
    }
    int64_t sum = view.debt;
    for (uint32_t i = 0; i < view.grant_count; i++) {
        if (view.grants[i].state != GRANT_PENDING) sum += view.grants[i].remaining;
        say(world, " | %s ", label_name(world, view.grants[i].id));
        say_credits(world, view.grants[i].remaining);
    }
    ENSURE(sum == view.available);
}

static void say_amounts(struct world *world, const struct status_row *row)
{
    say(world, " %" PRId64 " of %" PRIu64, row->used, row->limit);
    if (row->kind == NOTE_RATE && row->burst != row->limit)
        say(world, " burst %" PRIu64, row->burst);
    say(world, " left %" PRIu64, row->remaining);
}

static void say_pace(struct world *world, const struct status_row *row)
{
    static const char *const standings[] = {"", " restricted", " probation", " trusted"};
    say(world, " at %" PRIu32 "/256%s", row->factor, standings[row->standing]);
}

static void do_status(struct world *world, char **words, unsigned count)
{
    static struct status_view view;
    const char *subject = "";
    if (count > 3) ENSURE(option(words[3], "subject", &subject));
    const enum problem_code code =
        engine_status(world->engine, world->policy, bytes_of_text(words[1]), bytes_of_text(subject),
                      bytes_of_text(words[2]), world->now_ms, &view);
    if (code != PROBLEM_NONE) {
        say(world, "! %s", problem_name(code));
        return;
    }
    say(world, "%s", view.allowed ? "allowed" : reason_code(view.reason));
    if (view.retry_after_ms >= 0) {
        say(world, " retry ");
        say_time(world, WORLD_START_MS + view.retry_after_ms);
    }
    for (uint32_t i = 0; i < view.row_count; i++) {
        say(world, " | ");
        say_symbol(world, view.rows[i].name);
        if (view.rows[i].unlimited)
            say(world, " unlimited");
        else
            say_amounts(world, &view.rows[i]);
        if (view.rows[i].is_paced) say_pace(world, &view.rows[i]);
    }
}

static void play(struct world *world, struct command *command, const char *label)
{
    do_due_of(world, command);
    const struct ruling ruling = decide(world, command);
    world->has_report = ruling.kind != RULING_PROBLEM;
    world->answered_ms = world->now_ms;
    switch (ruling.kind) {
    case RULING_FACT:
        if (label != NULL) set_label(world, label, world->fact->report.id);
        world->report = world->fact->report;
        say_report(world, &world->report);
        record(world, command, world->fact);
        do_due_of(world, command);
        return;
    case RULING_CROWD:
        join_crowd(world, command, ruling.position);
        world->report = world->fact->report;
        say_report(world, &world->report);
        return;
    case RULING_ANSWER:
        world->report = world->fact->report;
        say_report(world, &world->report);
        return;
    case RULING_REPLAY: {
        const struct entry_copy *entry = &world->entries[number_of(ruling.position)];
        ENSURE(fact_decode((struct bytes){entry->bytes, entry->length}, world->decoded));
        world->report = world->decoded->report;
        world->answered_ms = entry->at_ms;
        say(world, "again ");
        say_report(world, &world->report);
        return;
    }
    case RULING_PROBLEM:
        world->problem = ruling.problem;
        say(world, "! %s", problem_name(ruling.problem.code));
        if (ruling.problem.field != NULL) say(world, " %s", ruling.problem.field);
        if (ruling.problem.member.length != 0)
            say(world, ".%.*s", (int)ruling.problem.member.length,
                (const char *)ruling.problem.member.at);
        if (ruling.problem.value.length != 0)
            say(world, ":%.*s", (int)ruling.problem.value.length,
                (const char *)ruling.problem.value.at);
        return;
    case RULING_RECALL:
    case RULING_KEY:
        break;
    }
    ENSURE(false);
}

static void do_command(struct world *world, char **words, unsigned count, const char *label)
{
    struct command *command = &world->command;
    memset(command, 0, sizeof *command);
    for (unsigned i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(words[0], verbs[i].verb) == 0) command->kind = verbs[i].kind;
    ENSURE(command->kind != 0);
    for (unsigned i = parse_positional(world, command, words); i < count; i++)
        parse_option(world, command, words[i]);
    play(world, command, label);
}

static void forget(struct world *world)
{
    /* A running server forgets now and then; a replay may not have: nobody can tell. */
    engine_sweep(world->engine, world->now_ms, world->memory == MEMORY_NONE ? UINT32_MAX : 16,
                 books_of(world));
}

const char *world_play(struct world *world, struct command *command)
{
    forget(world);
    world->text[0] = '\0';
    play(world, command, NULL);
    return world->text;
}

/* A server starts with a file. */
static void start_with(struct world *world, unsigned number)
{
    struct policy_complaints complaints;
    const struct policy *compiled = compile(world, number, &complaints);
    if (compiled == NULL) {
        say(world, "! %s", complaints.at[0].text);
        return;
    }
    const bool is_taken = engine_takes_file(world->engine, compiled->content_hash);
    if (is_taken) install_policy(world, number, true);
    say(world, is_taken ? "applied" : "kept");
}

const char *world_do(struct world *world, const char *line)
{
    forget(world);
    ENSURE(strlen(line) < sizeof world->scratch);
    strcpy(world->scratch, line);
    world->text[0] = '\0';
    char *words[WORDS_MAX];
    unsigned count = 0;
    for (char *word = strtok(world->scratch, " "); word != NULL; word = strtok(NULL, " ")) {
        ENSURE(count < WORDS_MAX);
        words[count++] = word;
    }
    ENSURE(count >= 2);
    char **first = words;
    const char *label = NULL;
    const size_t length = strlen(words[0]);
    if (words[0][length - 1] == ':') {
        words[0][length - 1] = '\0';
        label = words[0];
        first++;
        count--;
    }
    if (strcmp(first[0], "at") == 0) {
        const int64_t to_ms = WORLD_START_MS + world_duration(first[1] + 1);
        ENSURE(to_ms >= world->now_ms);
        const bool is_over = to_ms / SECOND_MS != world->now_ms / SECOND_MS;
        world->now_ms = to_ms;
        if (is_over) world_tell_crowd(world);
        do_due_of_all(world);
        say(world, "ok");
    } else if (strcmp(first[0], "policy") == 0) {
        install_policy(world, (unsigned)strtoul(first[1], NULL, 10), false);
        say(world, "ok");
    } else if (strcmp(first[0], "file") == 0) {
        start_with(world, (unsigned)strtoul(first[1], NULL, 10));
    } else if (strcmp(first[0], "balance") == 0) {
        do_balance(world, first[1]);
    } else if (strcmp(first[0], "status") == 0) {
        do_status(world, first, count);
    } else {
        do_command(world, first, count, label);
    }
    return world->text;
}
