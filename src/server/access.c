/*
 * access.c: see access.h.
 */
#include "server/access.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "platform/platform.h"

#define ADMIN_KEY_BYTES_MIN 32u

static void hash_secret(struct bytes secret, uint64_t hash_out[4])
{
    unsigned length = 0;
    unsigned char block[EVP_MAX_MD_SIZE];
    ENSURE(EVP_Digest(secret.at, secret.length, block, &length, EVP_sha256(), NULL) == 1);
    ENSURE(length == 4 * sizeof(uint64_t));
    memcpy(hash_out, block, 4 * sizeof(uint64_t));
    OPENSSL_cleanse(block, sizeof(block));
}

static bool hash_equal(const uint64_t left[4], const uint64_t right[4])
{
    return CRYPTO_memcmp(left, right, 4 * sizeof(uint64_t)) == 0;
}

void access_start(struct access_guard *guard, const struct engine *engine, struct bytes admin_key,
                  struct hash_key memo_key)
{
    memset(guard, 0, sizeof(*guard));
    guard->engine = engine;
    guard->memo_key = memo_key;
    guard->has_admin_key = admin_key.length != 0;
    if (guard->has_admin_key) hash_secret(admin_key, guard->admin_hash);
}

bool access_is_needed(const struct access_guard *guard)
{
    return guard->has_admin_key || engine_access_is_needed(guard->engine);
}

/* Counted from 1, so that no pass is fresh that nobody looked for. */
static uint64_t changes_now(const struct access_guard *guard)
{
    return engine_access_changes(guard->engine) + 1;
}

bool access_is_fresh(const struct access_guard *guard, const struct access_pass *pass)
{
    return pass->looked == changes_now(guard);
}

/* ---- the header */

static uint8_t lower(uint8_t letter)
{
    return letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + ('a' - 'A')) : letter;
}

/* "Bearer TOKEN", as RFC 6750 has it. */
static bool take_token(struct bytes header, struct bytes *token_out)
{
    static const char scheme[] = "bearer ";
    const size_t length = sizeof(scheme) - 1;
    if (header.at == NULL || header.length <= length) return false;
    for (size_t i = 0; i < length; ++i)
        if (lower(header.at[i]) != (uint8_t)scheme[i]) return false;
    struct bytes token = {header.at + length, header.length - length};
    while (token.length > 0 && *token.at == ' ') {
        ++token.at;
        --token.length;
    }
    *token_out = token;
    return token.length > 0 && token.length <= ACCESS_TOKEN_BYTES_MAX;
}

/* ---- looking */

static struct access_memo *memo_of(struct access_guard *guard, struct hash128 token)
{
    return &guard->memos[token.word[0] % ACCESS_MEMOS];
}

/* The whole of a keyed hash of 128 bits, whatever the first bytes say. */
static bool memo_is_of(const struct access_guard *guard, const struct access_memo *memo,
                       struct hash128 token, int64_t now_ms)
{
    return CRYPTO_memcmp(&memo->token, &token, sizeof(token)) == 0 &&
           access_is_fresh(guard, &memo->pass) && now_ms < memo->expires_ms;
}

static struct access_memo seek(struct access_guard *guard, struct bytes secret, int64_t now_ms)
{
    struct access_memo found = {.pass.looked = changes_now(guard), .expires_ms = INSTANT_NEVER};
    uint64_t hash[4];
    uint64_t cursor = 0;
    struct access_view view;
    hash_secret(secret, hash);
    if (guard->has_admin_key && hash_equal(hash, guard->admin_hash)) {
        found.pass.by = ACCESS_BY_ADMIN_KEY;
        return found;
    }
    for (uint32_t n; (n = engine_access_like(guard->engine, hash[0], &cursor)) != 0;) {
        if (!engine_access_at(guard->engine, n, &view) || !hash_equal(hash, view.hash)) continue;
        if (view.expires_ms <= now_ms) break;
        found.pass.by = ACCESS_BY_KEY;
        found.pass.record = n;
        found.pass.id = view.id;
        found.expires_ms = view.expires_ms;
        break;
    }
    return found;
}

struct access_pass access_look(struct access_guard *guard, struct bytes authorization,
                               int64_t now_ms)
{
    struct access_pass pass = {.looked = changes_now(guard)};
    struct bytes token;
    if (!access_is_needed(guard)) {
        pass.by = ACCESS_BY_OPEN_DOOR;
        return pass;
    }
    if (!take_token(authorization, &token)) {
        ++guard->refused;
        return pass;
    }
    const struct hash128 hash = hash_128(guard->memo_key, token);
    struct access_memo *memo = memo_of(guard, hash);
    if (memo_is_of(guard, memo, hash, now_ms)) return memo->pass;
    struct access_memo found = seek(guard, token, now_ms);
    if (found.pass.by == ACCESS_BY_NOBODY) {
        ++guard->refused;
        return pass; /* strangers do not push out those who are known */
    }
    found.token = hash;
    *memo = found;
    return found.pass;
}

struct access_right access_right_of(const struct access_guard *guard,
                                    const struct access_pass *pass)
{
    struct access_view view;
    switch (pass->by) {
    case ACCESS_BY_NOBODY:
        break;
    case ACCESS_BY_OPEN_DOOR:
    case ACCESS_BY_ADMIN_KEY:
        return (struct access_right){.scopes = ACCESS_SCOPES};
    case ACCESS_BY_KEY:
        if (!engine_access_at(guard->engine, pass->record, &view)) break;
        return (struct access_right){.scopes = (view.scopes & ACCESS_ADMIN) != 0 ? ACCESS_SCOPES
                                                                                 : view.scopes,
                                     .customer = view.customer};
    }
    return (struct access_right){0};
}

/* ---- what calls need */

static struct access_need need(uint32_t any_of)
{
    return (struct access_need){.any_of = any_of};
}

static struct access_need need_unbound(uint32_t any_of)
{
    return (struct access_need){.any_of = any_of, .is_unbound = true};
}

struct access_need access_need_of_command(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_RELEASE:
    case COMMAND_EXTEND:
        return need(ACCESS_DECIDE);
    case COMMAND_CHECK:
        return need(ACCESS_DECIDE | ACCESS_READ);
    case COMMAND_COMMIT:
        return need(ACCESS_DECIDE | ACCESS_REPORT);
    case COMMAND_USAGE:
        return need(ACCESS_REPORT);
    case COMMAND_CUSTOMER:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_REFUND:
        return need(ACCESS_ADMIN);
    case COMMAND_POLICY:
    case COMMAND_ACCESS:
    case COMMAND_POOL:
        return need_unbound(ACCESS_ADMIN);
    case COMMAND_DUE:
    case COMMAND_SEAL:
        break;
    }
    ENSURE(false); /* nobody asks for it */
    return need_unbound(0);
}

struct access_need access_need_of(const struct route *route)
{
    switch (route->call) {
    case CALL_COMMAND:
        return access_need_of_command(wire_command_kind(route->wire));
    case CALL_USAGE:
        return need(ACCESS_REPORT);
    case CALL_BATCH: /* each operation is judged on its own */
        return need(ACCESS_DECIDE | ACCESS_REPORT | ACCESS_READ);
    case CALL_CUSTOMER:
    case CALL_BALANCE:
    case CALL_STATUS:
    case CALL_READ:
        return need(ACCESS_READ);
    case CALL_POLICY_GET:
    case CALL_POLICY_VERSIONS:
    case CALL_POOLS:
    case CALL_METRICS:
        return need_unbound(ACCESS_READ);
    case CALL_POLICY_PUT:
    case CALL_CLOCK:
    case CALL_KEY_CREATE:
    case CALL_KEYS:
        return need_unbound(ACCESS_ADMIN);
    case CALL_OPENAPI:
    case CALL_PROBLEM_PAGE:
    case CALL_HEALTH:
    case CALL_READY:
    case CALL_POLICY_FILE:
        return (struct access_need){.is_open = true};
    }
    ENSURE(false);
    return need_unbound(0);
}

/* By the scopes that would do, as bits. */
static const char *missing(uint32_t any_of)
{
    static const char *const texts[ACCESS_SCOPES + 1] = {
        [ACCESS_DECIDE] = "a key with the scope decide",
        [ACCESS_REPORT] = "a key with the scope report",
        [ACCESS_READ] = "a key with the scope read",
        [ACCESS_ADMIN] = "a key with the scope admin",
        [ACCESS_DECIDE | ACCESS_REPORT] = "a key with the scope decide or report",
        [ACCESS_DECIDE | ACCESS_READ] = "a key with the scope decide or read",
        [ACCESS_DECIDE | ACCESS_REPORT | ACCESS_READ] =
            "a key with the scope decide, report or read",
    };
    ENSURE(any_of <= ACCESS_SCOPES && texts[any_of] != NULL);
    return texts[any_of];
}

static bool forbid(struct problem *problem_out, const char *field, const char *expected)
{
    *problem_out =
        (struct problem){.code = PROBLEM_FORBIDDEN, .field = field, .expected = expected};
    return false;
}

bool access_allows(const struct access_right *right, struct access_need needed,
                   struct problem *problem_out)
{
    if ((right->scopes & needed.any_of) == 0)
        return forbid(problem_out, NULL, missing(needed.any_of));
    if (needed.is_unbound && right->customer.length != 0)
        return forbid(problem_out, NULL, "a key that is bound to no customer");
    return true;
}

bool access_allows_customer(const struct access_right *right, struct bytes customer,
                            struct problem *problem_out)
{
    if (right->customer.length == 0 || bytes_equal(right->customer, customer)) return true;
    return forbid(problem_out, "customer", "the customer that the key is bound to");
}

bool access_find_made(const struct access_guard *guard, uint64_t id, struct access_view *view_out)
{
    for (uint32_t n = 1; n <= engine_access_records(guard->engine); ++n)
        if (engine_access_at(guard->engine, n, view_out) && view_out->id == id) return true;
    return false;
}

struct bytes access_actor(const struct access_pass *pass, char block[ACTOR_BYTES_MAX])
{
    _Static_assert(ID_TEXT_SIZE <= ACTOR_BYTES_MAX, "an id is an actor");
    if (pass->by == ACCESS_BY_ADMIN_KEY) return BYTES("admin-key");
    if (pass->by != ACCESS_BY_KEY) return BYTES_NONE;
    id_format('k', pass->id, block);
    return bytes_of_text(block);
}

/* ---- secrets */

void access_make_secret(char secret_out[ACCESS_SECRET_SIZE], uint64_t hash_out[4])
{
    static const char prefix[] = "weir_";
    uint8_t chance[(ACCESS_SECRET_LENGTH - (sizeof(prefix) - 1)) / 2];
    entropy_fill(chance, sizeof(chance));
    struct buffer secret = buffer_over(secret_out, ACCESS_SECRET_SIZE);
    buffer_put_text(&secret, prefix);
    buffer_put_hex(&secret, (struct bytes){chance, sizeof(chance)});
    buffer_put_byte(&secret, '\0');
    ENSURE(!secret.overflowed);
    OPENSSL_cleanse(chance, sizeof(chance));
    hash_secret((struct bytes){(const uint8_t *)secret_out, ACCESS_SECRET_LENGTH}, hash_out);
}

bool access_is_admin_key(struct bytes text)
{
    if (text.length < ADMIN_KEY_BYTES_MIN || text.length > ACCESS_TOKEN_BYTES_MAX) return false;
    for (size_t i = 0; i < text.length; ++i)
        if (text.at[i] <= ' ' || text.at[i] > '~') return false;
    return true;
}
