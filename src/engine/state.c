/*
 * state.c: blocks, how they are found, and how a trial takes changes back.
 */
#include "engine/state.h"

#include <string.h>

/* A trial keeps images of touched bytes and the index operations, newest last. Indexes are undone
 * by the opposite operation: what they contain is what they mean. */
enum trial_record_kind { TRIAL_BYTES = 1, TRIAL_INSERTED, TRIAL_REMOVED };

struct trial_record {
    uint64_t before; /* offset + 1 of the record before; 0: none */
    void *at;        /* bytes, or the index */
    uint64_t hash;
    uint32_t number;
    uint32_t bytes;
    uint32_t kind;
    uint32_t unused;
};

/* Address space: a trial commits about 2 KiB for each hold that expires in it. */
#define TRIAL_BYTES_MAX (UINT64_C(256) << 20)
#define TRIAL_FACT_BYTES_MAX (UINT64_C(2) << 20) /* what applying one fact may touch */

struct engine_ceilings engine_ceilings_for(uint64_t memory_bytes)
{
    /* About what one customer of DESIGN.md section 10 takes: 512 bytes of his own, plus one hold in
     * four, two remembered keys and ended holds, and the indexes. */
    const uint64_t share = memory_bytes / 1536;
    const uint64_t capped = share > (UINT64_C(1) << 26) ? UINT64_C(1) << 26 : share;
    const uint32_t n = capped < 1024 ? 1024 : (uint32_t)capped;
    return (struct engine_ceilings){
        .customers = n,
        .scopes = n,
        .slots = n * 4,
        .rings = n / 8,
        .grants = n * 2,
        .holds = n / 4,
        .lines = n / 2,
        .keys = n * 2,
    };
}

/* One reserved block, carved in a fixed order; the same walk computes its size. */
struct carver {
    uint8_t *base;
    uint64_t used;
};

static void *carve(struct carver *carver, uint64_t bytes)
{
    void *at = carver->base == NULL ? NULL : carver->base + carver->used;
    carver->used += (bytes + 63) / 64 * 64;
    return at;
}

static struct slab carve_slab(struct carver *carver, uint64_t record_bytes, uint32_t records)
{
    const uint32_t rounded = (uint32_t)((record_bytes + 7) / 8 * 8);
    void *block = carve(carver, slab_bytes(rounded, records));
    return block == NULL ? (struct slab){0} : slab_over(block, rounded, records);
}

static struct index carve_index(struct carver *carver, uint32_t entries)
{
    void *block = carve(carver, index_bytes(entries));
    return block == NULL ? (struct index){0} : index_over(block, entries);
}

static struct engine *engine_carve(struct carver *carver, struct engine_ceilings ceilings)
{
    struct engine *engine = carve(carver, sizeof(struct engine));
    struct engine nowhere;
    struct engine *into = engine == NULL ? &nowhere : engine;
    into->customers = carve_slab(carver, sizeof(struct customer), ceilings.customers);
    into->scopes = carve_slab(carver, sizeof(struct scope), ceilings.scopes);
    into->slots = carve_slab(carver, sizeof(struct slot), ceilings.slots);
    into->rings = carve_slab(carver, sizeof(struct ring), ceilings.rings);
    into->grants = carve_slab(carver, sizeof(struct grant), ceilings.grants);
    into->holds = carve_slab(carver, sizeof(struct hold), ceilings.holds);
    into->lines = carve_slab(carver, sizeof(struct hold_line), ceilings.lines);
    into->keys = carve_slab(carver, sizeof(struct key), ceilings.keys);
    into->ended = carve_slab(carver, sizeof(struct ended), ceilings.keys);
    into->remainders = carve_slab(carver, sizeof(struct remainder), ceilings.grants);
    into->access = carve_slab(carver, sizeof(struct access), ACCESS_KEYS_MAX);
    into->customer_index = carve_index(carver, ceilings.customers);
    into->scope_index = carve_index(carver, ceilings.scopes);
    into->grant_index = carve_index(carver, ceilings.grants);
    into->hold_index = carve_index(carver, ceilings.holds);
    into->key_index = carve_index(carver, ceilings.keys);
    into->ended_index = carve_index(carver, ceilings.keys);
    into->access_index = carve_index(carver, ACCESS_KEYS_MAX);
    const uint32_t objects[IMAGE_KINDS] = {ceilings.customers, ceilings.scopes, ceilings.grants,
                                           ceilings.holds,     ceilings.keys,   ceilings.keys,
                                           ACCESS_KEYS_MAX};
    for (enum image_kind kind = 0; kind < IMAGE_KINDS; kind++)
        into->image.is_out[kind] =
            carve(carver, ((uint64_t)objects[kind] / 64 + 1) * sizeof(uint64_t));
    into->heap = carve(carver, ((uint64_t)ceilings.customers + 1) * sizeof(uint32_t));
    into->crowds = carve(carver, CROWDS * sizeof(struct crowd));
    into->pools = carve(carver, (POOL_STATES_MAX + 1) * sizeof(struct pool));
    into->symbol_names = carve(carver, (SYMBOLS_MAX + 1) * sizeof(struct bytes));
    into->symbol_text = carve(carver, (uint64_t)SYMBOLS_MAX * NAME_BYTES_MAX * 2);
    into->scratch = carve(carver, sizeof(struct fact));
    into->reading = carve(carver, sizeof(struct fact));
    into->evidence = carve(carver, sizeof(struct evidence));
    into->scratch_command = carve(carver, sizeof(struct command));
    into->trial.block = carve(carver, TRIAL_BYTES_MAX);
    return engine;
}

uint64_t engine_bytes(struct engine_ceilings ceilings)
{
    struct carver carver = {0};
    (void)engine_carve(&carver, ceilings);
    return carver.used;
}

bool symbol_fits(const struct engine *engine, struct bytes name)
{
    return engine->symbol_count < SYMBOLS_MAX && name.length <= (size_t)2 * NAME_BYTES_MAX;
}

void symbol_add(struct engine *engine, struct bytes name)
{
    uint8_t *text = engine->symbol_text + engine->symbol_text_used;
    if (name.length != 0) memcpy(text, name.at, name.length);
    engine->symbol_text_used += (uint32_t)name.length;
    engine->symbol_count++;
    engine->symbol_names[engine->symbol_count] = (struct bytes){text, name.length};
}

struct engine *engine_over(void *block, struct engine_ceilings ceilings, struct hash_key key)
{
    struct carver carver = {.base = block};
    struct engine *engine = engine_carve(&carver, ceilings);
    engine->ceilings = ceilings;
    engine->hash_key = key;
    engine->trial.size = TRIAL_BYTES_MAX;
    symbol_add(engine, BYTES("promotional"));
    symbol_add(engine, BYTES("entitlement"));
    symbol_add(engine, BYTES("paid"));
    symbol_add(engine, BYTES("unlimited"));
    return engine;
}

struct symbols engine_symbols(const struct engine *engine)
{
    return (struct symbols){.name = engine->symbol_names, .count = engine->symbol_count};
}

struct journal_cut engine_cut(const struct engine *engine)
{
    return engine->cut;
}

/* Of a hold, of what is remembered of one, of a key; UINT64_MAX where there is none. */
static uint64_t position_of_hold(const struct engine *engine, uint32_t number)
{
    const struct hold *hold = hold_at(engine, number);
    return hold->id != 0 && hold_find(engine, hold->id) == number ? hold->id : UINT64_MAX;
}

static uint64_t position_of_ended(const struct engine *engine, uint32_t number)
{
    const struct ended *ended = slab_at(&engine->ended, number);
    return ended->changed != 0 ? ended->id : UINT64_MAX;
}

static uint64_t position_of_key(const struct engine *engine, uint32_t number)
{
    const struct key *key = slab_at(&engine->keys, number);
    return key_state(key) != KEY_FREE ? key->position : UINT64_MAX;
}

uint32_t engine_recall_records(const struct engine *engine, enum recall_by by)
{
    const struct slab *const slabs[] = {[RECALL_BY_HOLD] = &engine->holds,
                                        [RECALL_BY_ENDED] = &engine->ended,
                                        [RECALL_BY_KEY] = &engine->keys};
    return slabs[by]->used;
}

uint64_t engine_recall_first(const struct engine *engine, enum recall_by by, uint32_t from,
                             uint32_t records)
{
    static uint64_t (*const position_of[])(const struct engine *engine, uint32_t number) = {
        [RECALL_BY_HOLD] = position_of_hold,
        [RECALL_BY_ENDED] = position_of_ended,
        [RECALL_BY_KEY] = position_of_key};
    const uint32_t last = engine_recall_records(engine, by);
    uint64_t first = UINT64_MAX;
    for (uint32_t number = from; number <= last && number - from < records; number++) {
        const uint64_t position = position_of[by](engine, number);
        if (position < first) first = position;
    }
    return first;
}

struct engine_policy_info engine_policy_info(const struct engine *engine)
{
    return engine->policy;
}

bool engine_takes_file(const struct engine *engine, uint64_t content_hash)
{
    return engine->policy.version == 0 || content_hash != engine->policy.file_hash;
}

struct engine_counts engine_counts(const struct engine *engine)
{
    const struct slab *slabs[] = {
        &engine->customers, &engine->scopes, &engine->slots, &engine->rings, &engine->grants,
        &engine->holds,     &engine->lines,  &engine->keys,  &engine->ended, &engine->remainders};
    uint64_t bytes = 0;
    for (unsigned i = 0; i < COUNT_OF(slabs); i++)
        bytes += (uint64_t)slabs[i]->live * slabs[i]->record_bytes;
    return (struct engine_counts){
        .customers = engine->customers.live,
        .grants = engine->grants.live,
        .holds = engine->holds.live,
        .keys = engine->keys.live,
        .keys_max = engine->keys.records_max,
        .ended = engine->ended.live,
        .slots = engine->slots.live,
        .scopes = engine->scopes.live,
        .bytes_live = bytes,
    };
}

void engine_slabs(const struct engine *engine, struct engine_slab slabs_out[ENGINE_SLABS])
{
    const struct {
        const char *name;
        const struct slab *slab;
    } slabs[ENGINE_SLABS] = {
        { "customers",  &engine->customers},
        {    "scopes",     &engine->scopes},
        {     "slots",      &engine->slots},
        {     "rings",      &engine->rings},
        {    "grants",     &engine->grants},
        {     "holds",      &engine->holds},
        {     "lines",      &engine->lines},
        {      "keys",       &engine->keys},
        {     "ended",      &engine->ended},
        {"remainders", &engine->remainders},
    };
    for (unsigned i = 0; i < ENGINE_SLABS; i++) {
        const struct slab *slab = slabs[i].slab;
        slabs_out[i] = (struct engine_slab){
            .name = slabs[i].name,
            .live = slab->live,
            .records_max = slab->records_max,
            .bytes_live = (uint64_t)slab->live * slab->record_bytes,
            .bytes_touched = (uint64_t)slab->used * slab->record_bytes,
        };
    }
}

/* Identities. */

struct hash128 customer_id(const struct engine *engine, struct bytes name)
{
    return hash_128(engine->hash_key, name);
}

struct hash128 engine_customer_id(const struct engine *engine, struct bytes name)
{
    return customer_id(engine, name);
}

uint64_t scope_hash(const struct engine *engine, struct bytes path)
{
    const uint64_t hash = hash_64(engine->hash_key, path);
    return hash == 0 ? 1 : hash;
}

uint32_t subject_levels(const struct engine *engine, struct bytes subject,
                        uint64_t levels_out[LEVELS_MAX])
{
    uint32_t count = 0;
    for (size_t i = 0; i < subject.length && count + 1 < LEVELS_MAX; i++)
        if (subject.at[i] == '/')
            levels_out[count++] = scope_hash(engine, (struct bytes){subject.at, i});
    levels_out[count++] = scope_hash(engine, subject);
    return count;
}

struct hash128 key_id(const struct engine *engine, struct hash128 customer, struct bytes key)
{
    const struct hash_key own = {
        {engine->hash_key.word[0] ^ customer.word[0], engine->hash_key.word[1] ^ customer.word[1]}
    };
    return hash_128(own, key);
}

/* 2 bits kind, 1 credits, 15 unit, 15 feature, 23 name, 8 place. */
_Static_assert(SYMBOLS_MAX < 1u << 15, "a symbol fits its bits");

uint32_t slot_id_feature(uint64_t id)
{
    return (uint32_t)(id >> 31 & 0x7fff);
}

uint32_t slot_id_name(uint64_t id)
{
    return (uint32_t)(id >> 8 & 0x7fffff);
}

uint64_t slot_id_override(uint32_t feature, uint32_t name, uint32_t place, bool is_credits)
{
    return UINT64_C(1) << 63 | (uint64_t)is_credits << 61 | slot_id_limit(feature, 0, name, place);
}

uint64_t slot_id_renewal(uint32_t name)
{
    return UINT64_C(1) << 62 | slot_id_limit(0, 0, name, 0);
}

/* Lookups. */

uint32_t customer_find(const struct engine *engine, struct hash128 id)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->customer_index, id.word[0], &cursor)) != 0;)
        if (hash_128_equal(customer_at(engine, n)->id, id)) return n;
    return 0;
}

uint32_t scope_find(const struct engine *engine, uint32_t customer, uint64_t hash)
{
    const uint64_t mixed = hash_mix(customer_at(engine, customer)->id.word[0], hash);
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->scope_index, mixed, &cursor)) != 0;) {
        const struct scope *scope = slab_at(&engine->scopes, n);
        if (scope->customer == customer && scope->hash == hash) return n;
    }
    return 0;
}

uint32_t slot_find(const struct engine *engine, uint32_t customer, struct slot_name name)
{
    if (customer == 0) return 0;
    if (name.scope == 0)
        return slot_in_chain(engine, customer_at(engine, customer)->slots, name.id);
    const uint32_t scope = scope_find(engine, customer, name.scope);
    return scope == 0 ? 0 : slot_in_chain(engine, scope_at(engine, scope)->slots, name.id);
}

uint32_t grant_find(const struct engine *engine, uint64_t id)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->grant_index, hash_mix(id, 1), &cursor)) != 0;)
        if (grant_at(engine, n)->id == id) return n;
    return 0;
}

uint32_t hold_find(const struct engine *engine, uint64_t id)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->hold_index, hash_mix(id, 1), &cursor)) != 0;)
        if (hold_at(engine, n)->id == id) return n;
    return 0;
}

uint32_t ended_find(const struct engine *engine, uint64_t id)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->ended_index, hash_mix(id, 1), &cursor)) != 0;)
        if (((const struct ended *)slab_at(&engine->ended, n))->id == id) return n;
    return 0;
}

uint32_t key_find(const struct engine *engine, struct hash128 hash)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&engine->key_index, hash.word[0], &cursor)) != 0;)
        if (hash_128_equal(((const struct key *)slab_at(&engine->keys, n))->hash, hash)) return n;
    return 0;
}

uint32_t symbol_find(const struct engine *engine, struct bytes name)
{
    for (uint32_t n = 1; n <= engine->symbol_count; n++)
        if (bytes_equal(engine->symbol_names[n], name)) return n;
    return 0;
}

uint32_t remainder_find(const struct engine *engine, uint32_t customer, uint64_t version)
{
    uint32_t n = customer == 0 ? 0 : customer_at(engine, customer)->remainders;
    while (n != 0 &&
           ((const struct remainder *)slab_at(&engine->remainders, n))->version != version)
        n = ((const struct remainder *)slab_at(&engine->remainders, n))->next;
    return n;
}

/* Changes, and taking them back. */

static struct trial_record *trial_push(struct engine *engine, uint32_t bytes)
{
    struct trial *trial = &engine->trial;
    const uint64_t size = sizeof(struct trial_record) + (bytes + UINT64_C(7)) / 8 * 8;
    ENSURE(size <= trial->size - trial->used);
    struct trial_record *record = (struct trial_record *)(void *)(trial->block + trial->used);
    record->before = trial->last;
    trial->last = (uint32_t)(trial->used + 1);
    trial->used += size;
    return record;
}

void state_touch(struct engine *engine, void *at, uint32_t bytes)
{
    if (!engine->trial.is_running) return;
    struct trial_record *record = trial_push(engine, bytes);
    record->kind = TRIAL_BYTES;
    record->at = at;
    record->bytes = bytes;
    memcpy(record + 1, at, bytes);
}

uint32_t state_take(struct engine *engine, struct slab *slab)
{
    state_touch(engine, slab, sizeof *slab);
    const uint32_t next = slab->free_head != 0 ? slab->free_head : slab->used + 1;
    state_touch(engine, slab_at(slab, next), slab->record_bytes);
    if (engine->image.out != NULL) image_skip(engine, slab, next);
    return slab_take(slab);
}

void state_give(struct engine *engine, struct slab *slab, uint32_t number)
{
    state_touch(engine, slab, sizeof *slab);
    state_touch(engine, slab_at(slab, number), slab->record_bytes);
    slab_give(slab, number);
}

static void trial_note_index(struct engine *engine, uint32_t kind, struct index *index,
                             uint64_t hash, uint32_t number)
{
    if (!engine->trial.is_running) return;
    struct trial_record *record = trial_push(engine, 0);
    record->kind = kind;
    record->at = index;
    record->hash = hash;
    record->number = number;
}

void state_index_insert(struct engine *engine, struct index *index, uint64_t hash, uint32_t number)
{
    index_insert(index, hash, number);
    trial_note_index(engine, TRIAL_INSERTED, index, hash, number);
}

void state_index_remove(struct engine *engine, struct index *index, uint64_t hash, uint32_t number)
{
    index_remove(index, hash, number);
    trial_note_index(engine, TRIAL_REMOVED, index, hash, number);
}

void trial_begin(struct engine *engine)
{
    ENSURE(!engine->trial.is_running);
    engine->trial.is_running = true;
    engine->trial.used = 0;
    engine->trial.last = 0;
    engine->trial.ids = 0;
}

bool trial_has_room(const struct engine *engine)
{
    return engine->trial.size - engine->trial.used >= TRIAL_FACT_BYTES_MAX;
}

uint64_t trial_id(struct engine *engine)
{
    return UINT64_C(1) << 62 | ++engine->trial.ids;
}

void trial_end(struct engine *engine)
{
    struct trial *trial = &engine->trial;
    ENSURE(trial->is_running);
    trial->is_running = false;
    for (uint64_t at = trial->last; at != 0;) {
        const struct trial_record *record =
            (const struct trial_record *)(const void *)(trial->block + at - 1);
        if (record->kind == TRIAL_BYTES) memcpy(record->at, record + 1, record->bytes);
        if (record->kind == TRIAL_INSERTED) index_remove(record->at, record->hash, record->number);
        if (record->kind == TRIAL_REMOVED) index_insert(record->at, record->hash, record->number);
        at = record->before;
    }
}
