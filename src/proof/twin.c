/*
 * twin.c: see twin.h.
 */
#include "proof/twin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proof/verdict.h"

enum { SWEEP_RECORDS = 16, SWEEP_RECORDS_FULL = 4096 };

bool twin_start(struct twin *twin, uint64_t memory_bytes, struct hash_key key,
                struct proof_verdict *verdict)
{
    *twin = (struct twin){.verdict = verdict, .ceilings = engine_ceilings_for(memory_bytes)};
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
    static const uint16_t NO_PLANS[1] = {0};
    static const struct policy NO_POLICY = {.plan_of_symbol = NO_PLANS};
    struct balance_view *view = twin->view;
    const struct head *head = map_find(&chains->heads, hash_128(chains->key, name));
    const int64_t settled = head == NULL ? 0 : head->after;
    int64_t sum = 0;
    /* As of the beginning of time: nothing of what is due has been done. */
    if (!engine_balance(twin->engine, &NO_POLICY, name, INT64_MIN, view))
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
        __builtin_memcpy(&id, one, sizeof(id));
        if (!compare_customer(twin, chains, entries_name(entries, id), when)) return false;
    }
    return true;
}
