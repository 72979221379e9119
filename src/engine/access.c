/*
 * access.c: access keys, as the state keeps them: who may ask what. They are decided and journaled
 * like everything else, so that a restart, a snapshot and a replay know them. What they are worth
 * at a request is the server's to judge; the secret itself is never here.
 *
 * A key goes when it is revoked. An expired one stays, to be seen in the list, until there is no
 * room for a new one.
 */
#include "engine/decide.h"

#include <string.h>

uint32_t access_find(const struct engine *engine, uint64_t id)
{
    for (uint32_t n = 1; n <= engine->access.used; n++)
        if (access_at(engine, n)->id == id) return n;
    return 0;
}

struct bytes access_customer(const struct access *access)
{
    return (struct bytes){access->customer, access->customer_length};
}

struct bytes access_label(const struct access *access)
{
    return (struct bytes){access->label, access->label_length};
}

bool access_set(struct access *access, const struct access_terms *terms)
{
    if (terms->customer.length > sizeof access->customer ||
        terms->label.length > sizeof access->label)
        return false;
    memcpy(access->hash, terms->hash, sizeof access->hash);
    access->scopes = terms->scopes;
    access->expires_ms = terms->expires_ms;
    access->customer_length = (uint16_t)terms->customer.length;
    access->label_length = (uint16_t)terms->label.length;
    if (terms->customer.length != 0)
        memcpy(access->customer, terms->customer.at, terms->customer.length);
    if (terms->label.length != 0) memcpy(access->label, terms->label.at, terms->label.length);
    return true;
}

/* ---- decisions */

/* Whoever has it can always make keys again. */
static bool is_master(uint32_t scopes, struct bytes customer, int64_t expires_ms)
{
    return (scopes & ACCESS_ADMIN) != 0 && customer.length == 0 && expires_ms == INSTANT_NEVER;
}

/* Whether one is left besides the key of that id. */
static bool has_master(const struct engine *engine, uint64_t besides)
{
    for (uint32_t n = 1; n <= engine->access.used; n++) {
        const struct access *access = access_at(engine, n);
        if (access->id != 0 && access->id != besides &&
            is_master(access->scopes, access_customer(access), access->expires_ms))
            return true;
    }
    return false;
}

static struct effect *draft(struct fact *fact, enum effect_kind kind)
{
    ENSURE(fact->effect_count < EFFECTS_MAX);
    struct effect *effect = &fact->effects[fact->effect_count++];
    effect->kind = kind;
    return effect;
}

static struct ruling refuse_lockout(const char *field)
{
    return ruling_problem(PROBLEM_LAST_ADMIN_KEY, field, BYTES_NONE,
                          "an admin key besides, bound to no customer and without an end, or a "
                          "server with --admin-key");
}

static struct ruling decide_revoke(const struct decision_context *c)
{
    const struct command *command = c->command;
    if (access_find(c->engine, command->target) == 0)
        return ruling_problem(PROBLEM_UNKNOWN_KEY, "key_id", BYTES_NONE,
                              "the id of an access key that was not revoked");
    if (!command->has_way_back && !has_master(c->engine, command->target))
        return refuse_lockout("key_id");
    draft(c->fact, EFFECT_ACCESS_END)->access_end.id = command->target;
    c->fact->report.id = command->target;
    c->fact->report.count = 1;
    return ruling_fact();
}

/* Where all places are taken: those of keys that are expired. */
static void draft_room(const struct decision_context *c)
{
    if (slab_room(&c->engine->access) != 0) return;
    for (uint32_t n = 1; n <= c->engine->access.used; n++) {
        const struct access *access = access_at(c->engine, n);
        if (access->id != 0 && access->expires_ms <= c->stamp.now_ms)
            draft(c->fact, EFFECT_ACCESS_END)->access_end.id = access->id;
    }
}

struct ruling decide_access(const struct decision_context *c)
{
    const struct command *command = c->command;
    const struct access_terms *terms = &command->access;
    c->fact->has_customer = false;
    c->fact->report.kind = COMMAND_ACCESS;
    if (command->target != 0) return decide_revoke(c);
    ENSURE(terms->scopes != 0 && (terms->scopes & ~ACCESS_SCOPES) == 0);
    ENSURE(terms->customer.length <= CUSTOMER_BYTES_MAX);
    ENSURE(terms->label.length <= ACCESS_LABEL_BYTES_MAX);
    if (terms->expires_ms <= c->stamp.now_ms)
        return ruling_problem(PROBLEM_INVALID_VALUE, "expires_at", BYTES_NONE,
                              "a time that is not over");
    if (!command->has_way_back && !has_master(c->engine, 0) &&
        !is_master(terms->scopes, terms->customer, terms->expires_ms))
        return refuse_lockout("scopes");
    draft_room(c);
    if (slab_room(&c->engine->access) == 0 && c->fact->effect_count == 0)
        return ruling_problem(PROBLEM_CAPACITY, NULL, BYTES_NONE,
                              "fewer than 4096 access keys: revoke some");
    struct effect *effect = draft(c->fact, EFFECT_ACCESS);
    effect->access.id = c->stamp.position;
    effect->access.terms = *terms;
    c->fact->report.id = c->stamp.position;
    return ruling_fact();
}

/* ---- changes; access facts are never tried out */

void access_apply(struct engine *engine, const struct fact *fact, const struct effect *effect)
{
    ENSURE(!engine->trial.is_running);
    const uint32_t number = state_take(engine, &engine->access);
    struct access *access = access_at(engine, number);
    const bool fits = access_set(access, &effect->access.terms);
    ENSURE(fits && effect->access.id == fact->position);
    access->id = effect->access.id;
    access->created_ms = fact->at_ms;
    engine->access_made++;
    engine->access_changes++;
    state_index_insert(engine, &engine->access_index, access->hash[0], number);
}

void access_apply_end(struct engine *engine, const struct effect *effect)
{
    ENSURE(!engine->trial.is_running);
    const uint32_t number = access_find(engine, effect->access_end.id);
    ENSURE(number != 0);
    struct access *access = access_at(engine, number);
    state_index_remove(engine, &engine->access_index, access->hash[0], number);
    access->id = 0;
    state_give(engine, &engine->access, number);
    engine->access_changes++;
}

/* ---- reading */

static struct access_view view_of(const struct access *access)
{
    struct access_view view = {.id = access->id,
                               .scopes = access->scopes,
                               .customer = access_customer(access),
                               .label = access_label(access),
                               .created_ms = access->created_ms,
                               .expires_ms = access->expires_ms};
    memcpy(view.hash, access->hash, sizeof view.hash);
    return view;
}

bool engine_access_is_needed(const struct engine *engine)
{
    return engine->access_made != 0;
}

bool engine_access_has_master(const struct engine *engine)
{
    return has_master(engine, 0);
}

uint64_t engine_access_changes(const struct engine *engine)
{
    return engine->access_changes;
}

uint32_t engine_access_records(const struct engine *engine)
{
    return engine->access.used;
}

bool engine_access_at(const struct engine *engine, uint32_t record, struct access_view *view_out)
{
    const struct access *access = access_at(engine, record);
    if (record == 0 || record > engine->access.used || access->id == 0) return false;
    *view_out = view_of(access);
    return true;
}

uint32_t engine_access_like(const struct engine *engine, uint64_t hash, uint64_t *cursor)
{
    return index_find(&engine->access_index, hash, cursor);
}
