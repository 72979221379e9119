/*
 * twin.c: see twin.h.
 */
#include "proof/twin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof/verdict.h"

enum { SWEEP_RECORDS = 16, SWEEP_RECORDS_FULL = 4096 };

bool twin_start(struct twin *twin, uint64_t memory_bytes, struct hash_key key,
                struct proof_verdict *verdict)
{
    *twin = (struct twin){.verdict = verdict,
                          .key = key,
                          .memory_bytes = memory_bytes,
                          .ceilings = engine_ceilings_for(memory_bytes)};
    twin->block_bytes = engine_bytes(twin->ceilings);
    twin->block = memory_reserve(twin->block_bytes);
    twin->view = malloc(sizeof(*twin->view));
    ENSURE(twin->view != NULL);
    if (twin->block == NULL)
        return verdict_find(verdict, "memory", "the state cannot be reserved",
                            "Run the command with a smaller --memory");
    twin->engine = engine_over(twin->block, twin->ceilings, key);
    return true;
}

void twin_end(struct twin *twin)
{
    memory_release(twin->block, twin->block_bytes);
    free(twin->view);
    free((void *)(uintptr_t)twin->yaml.at);
}

/* So many that every kind is swept whole. */
static uint32_t records_most(const struct engine_ceilings *ceilings)
{
    const uint32_t kinds[] = {ceilings->customers, ceilings->scopes, ceilings->grants,
                              ceilings->keys};
    uint32_t most = 0;
    for (unsigned i = 0; i < COUNT_OF(kinds); ++i)
        if (kinds[i] > most) most = kinds[i];
    return most;
}

bool twin_apply(struct twin *twin, const struct walked *walked)
{
    const uint32_t most = records_most(&twin->ceilings);
    for (uint32_t swept = 0; !engine_has_room_for(twin->engine, walked->fact);
         swept += SWEEP_RECORDS_FULL) {
        if (swept >= most) {
            verdict_place(twin->verdict, "batch %" PRIu64, position_sequence(walked->position));
            return verdict_find(twin->verdict, "memory", "the state has no room for the journal",
                                "Run the command with a larger --memory, the server's or more");
        }
        engine_sweep(twin->engine, walked->at_ms, SWEEP_RECORDS_FULL, (struct books_known){0});
    }
    engine_apply(twin->engine, walked->fact);
    return true;
}

void twin_sweep(struct twin *twin, int64_t now_ms, uint32_t entries)
{
    engine_sweep(twin->engine, now_ms, SWEEP_RECORDS + 2 * entries, (struct books_known){0});
}

/* --- snapshots ------------------------------------------------------------------------------- */

static bool find_in_snapshot(const struct twin *twin, uint64_t sequence, const char *what,
                             const char *detail)
{
    char file[64];
    (void)snprintf(file, sizeof(file), "snapshot-%" PRIu64 ".weir", sequence);
    verdict_found(twin->verdict, "%s", detail);
    return verdict_find(twin->verdict, file, what, ADVICE_SNAPSHOT);
}

/* It begins with the YAML; what follows is the server's. */
static bool take_policy(struct twin *twin, struct bytes piece)
{
    struct reader reader = reader_over(piece);
    const struct bytes yaml = reader_take_bytes(&reader);
    if (reader.bad) return false;
    free((void *)(uintptr_t)twin->yaml.at);
    uint8_t *copy = malloc(yaml.length + 1);
    ENSURE(copy != NULL);
    if (yaml.length > 0) memcpy(copy, yaml.at, yaml.length);
    twin->yaml = (struct bytes){copy, yaml.length};
    return true;
}

static bool load_pieces(struct twin *twin, struct snapshot_reader *reader, uint64_t sequence)
{
    struct snapshot_detail detail;
    enum image_fault fault = IMAGE_OK;
    for (uint32_t kind = SNAPSHOT_PIECE_POLICY; kind != 0 && fault == IMAGE_OK;) {
        struct bytes piece;
        const enum snapshot_fault read = snapshot_next(reader, &kind, &piece, &detail);
        if (read != SNAPSHOT_OK)
            return find_in_snapshot(twin, sequence, snapshot_fault_text(read), detail.text);
        if (kind == SNAPSHOT_PIECE_IMAGE) fault = engine_image_load(twin->engine, piece);
        if (kind == SNAPSHOT_PIECE_POLICY && !take_policy(twin, piece)) fault = IMAGE_DAMAGED;
    }
    if (fault == IMAGE_OK) fault = engine_image_loaded(twin->engine);
    if (fault == IMAGE_OK) return true;
    return find_in_snapshot(twin, sequence, "its image cannot be loaded", image_fault_text(fault));
}

bool twin_load(struct twin *twin, const char *directory, uint64_t sequence)
{
    struct snapshot_reader *reader = NULL;
    struct snapshot_detail detail;
    const enum snapshot_fault fault = snapshot_open(directory, sequence, &reader, &detail);
    if (fault != SNAPSHOT_OK)
        return find_in_snapshot(twin, sequence, snapshot_fault_text(fault), detail.text);
    const bool is_loaded = load_pieces(twin, reader, sequence);
    snapshot_close(reader);
    twin->sequence = sequence;
    return is_loaded;
}

bool twin_begin(struct twin *twin, const struct walk *walk, const char *directory,
                const struct snapshot_list *list, bool *has_out)
{
    *has_out = walk->first <= 2;
    for (uint32_t i = list->count; !*has_out && i-- > 0;) {
        const uint64_t sequence = list->sequences[i];
        if (sequence + 1 < walk->first || sequence > walk->newest) continue;
        if (!twin_load(twin, directory, sequence)) return false;
        *has_out = true;
    }
    return true;
}

static bool is_same_grant(const struct grant_view *left, const struct grant_view *right)
{
    return left->id == right->id && left->state == right->state &&
           left->category == right->category && left->amount == right->amount &&
           left->remaining == right->remaining && left->held == right->held &&
           left->priority == right->priority && left->effective_ms == right->effective_ms &&
           left->expires_ms == right->expires_ms;
}

/* As of the beginning of time: nothing of what is due has been done. */
static bool read_balance(struct engine *engine, struct bytes name, struct balance_view *view)
{
    static const uint16_t NO_PLANS[1] = {0};
    static const struct policy NO_POLICY = {.plan_of_symbol = NO_PLANS};
    return engine_balance(engine, &NO_POLICY, name, INT64_MIN, view);
}

static bool is_same_balance(const struct balance_view *left, const struct balance_view *right)
{
    bool is_same = left->available == right->available && left->held == right->held &&
                   left->debt == right->debt && left->grant_count == right->grant_count;
    for (uint32_t i = 0; is_same && i < left->grant_count; ++i)
        is_same = is_same_grant(&left->grants[i], &right->grants[i]);
    return is_same;
}

static bool compare_engines(struct twin *twin, struct twin *other, const struct entries *entries)
{
    for (const void *one = NULL; (one = map_next(&entries->names, one)) != NULL;) {
        struct hash128 id;
        memcpy(&id, one, sizeof(id));
        const struct bytes name = entries_name(entries, id);
        const bool is_here = read_balance(twin->engine, name, twin->view);
        const bool is_there = read_balance(other->engine, name, other->view);
        if (is_here == is_there && (!is_here || is_same_balance(twin->view, other->view))) continue;
        verdict_place(twin->verdict, "customer '%.*s'", (int)name.length, (const char *)name.at);
        return find_in_snapshot(twin, other->sequence,
                                "it is not the state that the journal's facts make",
                                "another balance");
    }
    return true;
}

bool twin_compare_snapshot(struct twin *twin, const struct entries *entries, const char *directory,
                           uint64_t sequence)
{
    struct twin other;
    const uint64_t memory_bytes = twin->memory_bytes;
    const bool is_same = twin_start(&other, memory_bytes, twin->key, twin->verdict) &&
                         twin_load(&other, directory, sequence) &&
                         compare_engines(twin, &other, entries);
    twin->snapshots += is_same;
    twin_end(&other);
    return is_same;
}

/* --- the ledger ------------------------------------------------------------------------------ */

static bool find_difference(const struct twin *twin, struct bytes name, const char *account,
                            const char *when, int64_t ledger, int64_t engine)
{
    char what[160];
    verdict_place(twin->verdict, "customer '%.*s', %s", (int)name.length, (const char *)name.at,
                  account);
    verdict_expected(twin->verdict, "%" PRId64 " nano-credits, as the journal's facts make it",
                     engine);
    verdict_found(twin->verdict, "%" PRId64, ledger);
    (void)snprintf(what, sizeof(what), "its balance is not the engine's %s", when);
    return verdict_find(twin->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

/* An account as a row of it would name it. */
static int64_t account_of(const struct chains *chains, struct bytes customer, const char *account,
                          uint64_t grant_id)
{
    struct value row[BALANCE_COLUMNS] = {0};
    row[BALANCE_customer] = value_of_text(customer);
    row[BALANCE_account] = value_of_word(account);
    row[BALANCE_grant_id] = value_if(grant_id != 0, grant_id);
    return chains_account(chains, row);
}

static bool compare_customer(struct twin *twin, const struct chains *chains, struct bytes name,
                             const char *when)
{
    struct balance_view *view = twin->view;
    const struct head *head = map_find(&chains->heads, hash_128(chains->key, name));
    const int64_t settled = head == NULL ? 0 : head->after;
    int64_t sum = 0;
    if (!read_balance(twin->engine, name, view))
        return settled == 0 || find_difference(twin, name, "all", when, settled, 0);
    ++twin->customers;
    for (uint32_t i = 0; i < view->grant_count; ++i) {
        const struct grant_view *grant = &view->grants[i];
        if (grant->state == GRANT_PENDING) continue;
        char account[48];
        char id[ID_TEXT_SIZE];
        const int64_t has = grant->remaining + grant->held;
        const int64_t books = account_of(chains, name, "grant", grant->id);
        id_format('g', grant->id, id);
        (void)snprintf(account, sizeof(account), "grant %s", id);
        if (has != books) return find_difference(twin, name, account, when, books, has);
        sum += has;
        ++twin->grants;
    }
    const int64_t debt = account_of(chains, name, "debt", 0);
    if (debt != view->debt) return find_difference(twin, name, "debt", when, debt, view->debt);
    if (settled != view->available + view->held)
        return find_difference(twin, name, "all", when, settled, view->available + view->held);
    if (sum + debt != settled)
        return find_difference(twin, name, "its accounts together", when, sum + debt, settled);
    return true;
}

bool twin_compare(struct twin *twin, const struct entries *entries, const struct chains *chains,
                  const char *when)
{
    twin->customers = 0;
    twin->grants = 0;
    for (const void *one = NULL; (one = map_next(&entries->names, one)) != NULL;) {
        struct hash128 id;
        memcpy(&id, one, sizeof(id));
        if (!compare_customer(twin, chains, entries_name(entries, id), when)) return false;
    }
    return true;
}
