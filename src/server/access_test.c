/*
 * access_test.c: access keys at the loop: what an Authorization header may look like, and that a
 * key that is made or revoked counts from that decision on, whatever was read before it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/world.h"

static const char *const POLICY = "version: 1\n"
                                  "defaults: {plan: free}\n"
                                  "features:\n"
                                  "  chat: {meters: [requests], unit: requests}\n"
                                  "plans:\n"
                                  "  free:\n"
                                  "    features:\n"
                                  "      chat:\n"
                                  "        waterfall:\n"
                                  "          - allowance: {name: daily, windows: [{limit: 1000000, "
                                  "per: day, start: calendar}]}\n";

#define ONE "{\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{\"requests\":1}}"

static struct asker askers[4];

/* Asked, not settled: several may be read together. */
static struct asker *ask(struct world *world, unsigned number, const char *key, const char *method,
                         const char *target, const char *body)
{
    static char headers[COUNT_OF(askers)][512];
    struct asker *asker = &askers[number];
    world_ask(world, asker, method, target, body);
    (void)snprintf(headers[number], sizeof(headers[number]), "Bearer %s", key == NULL ? "" : key);
    if (key != NULL) asker->exchange.authorization = bytes_of_text(headers[number]);
    return asker;
}

static struct asker *do_as(struct world *world, const char *key, const char *method,
                           const char *target, const char *body)
{
    struct asker *asker = ask(world, 0, key, method, target, body);
    world_settle(world);
    assert_true(asker->is_answered);
    return asker;
}

static void text_of(const struct asker *asker, const char *name, char *value_out, size_t size)
{
    char pattern[32];
    (void)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
    const char *at = strstr(asker->body, pattern);
    assert_non_null(at);
    at += strlen(pattern);
    const size_t length = strcspn(at, "\"");
    assert_true(length < size);
    memcpy(value_out, at, length);
    value_out[length] = '\0';
}

struct made_key {
    char key[ACCESS_SECRET_SIZE];
    char revoke[64]; /* the path */
};

static struct made_key make_key(struct world *world, const char *as, const char *body)
{
    struct made_key made;
    char id[32];
    const struct asker *asker = do_as(world, as, "POST", "/v1/keys", body);
    if (asker->status != 200) print_error("%s\n", asker->body);
    assert_int_equal(asker->status, 200);
    text_of(asker, "key", made.key, sizeof(made.key));
    text_of(asker, "key_id", id, sizeof(id));
    (void)snprintf(made.revoke, sizeof(made.revoke), "/v1/keys/%s/revoke", id);
    return made;
}

static struct made_key admin;
static struct made_key gateway;

static struct world *open_with_keys(void)
{
    struct world *world = world_open(NULL, POLICY);
    admin = make_key(world, NULL, "{\"scopes\":[\"admin\"]}");
    gateway = make_key(world, admin.key, "{\"scopes\":[\"decide\",\"report\"]}");
    return world;
}

static void close_world(struct world *world)
{
    struct journal *journal = world->journal;
    world_close(world);
    journal->calls->close(journal);
}

static void a_key_is_a_bearer_token_and_nothing_else(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    char exact[128];
    (void)snprintf(exact, sizeof(exact), "Bearer %s", gateway.key);
    static const char *const forms[] = {"Bearer %s", "bearer %s", "BEARER   %s"};
    static const char *const bad[] = {"",           "Bearer",      "Bearer ",    "Bearer  ",
                                      "Basic %s",   "%s",          "Bearer%s",   "Token %s",
                                      " Bearer %s", "Bearer %s ",  "Bearer\t%s", "Bearer %sx",
                                      "Bearer x%s", "Bearer %s,%s"};
    char header[512];
    for (unsigned i = 0; i < COUNT_OF(forms) + COUNT_OF(bad); ++i) {
        const bool is_good = i < COUNT_OF(forms);
        struct buffer out = buffer_over(header, sizeof(header));
        for (const char *at = is_good ? forms[i] : bad[i - COUNT_OF(forms)]; *at != '\0'; ++at) {
            if (*at != '%') {
                buffer_put_byte(&out, (uint8_t)*at);
                continue;
            }
            buffer_put_text(&out, gateway.key);
            ++at;
        }
        struct asker *asker = ask(world, 0, NULL, "POST", "/v1/authorize", ONE);
        asker->exchange.authorization = buffer_bytes(&out);
        world_settle(world);
        if (asker->status != (is_good ? 200 : 401))
            print_error("%.*s: %u\n", (int)out.used, header, asker->status);
        assert_int_equal(asker->status, is_good ? 200 : 401);
        if (is_good) continue;
        assert_string_equal(world_header(asker, "www-authenticate"), "Bearer realm=\"weir\"");
    }
    close_world(world);
}

/* Any one bit of it wrong, and many that were never made: nothing changes. */
static void a_key_that_is_not_exact_opens_nothing(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    const uint64_t before = engine_state_hash(world->engine, WORLD_START_MS);
    const uint64_t sequence = world->journal->tip.sequence;
    for (unsigned bit = 0; bit < 8 * ACCESS_SECRET_LENGTH; ++bit) {
        char wrong[ACCESS_SECRET_SIZE];
        memcpy(wrong, gateway.key, sizeof(wrong));
        wrong[bit / 8] = (char)(wrong[bit / 8] ^ 1 << bit % 8);
        if (wrong[bit / 8] == '\0') continue;
        assert_int_equal(do_as(world, wrong, "POST", "/v1/authorize", ONE)->status, 401);
    }
    for (unsigned i = 0; i < 5000; ++i) {
        char secret[ACCESS_SECRET_SIZE];
        uint64_t hash[4];
        access_make_secret(secret, hash);
        assert_int_equal(do_as(world, secret, "GET", "/v1/keys", "")->status, 401);
    }
    assert_true(engine_state_hash(world->engine, WORLD_START_MS) == before);
    assert_int_equal(world->journal->tip.sequence, sequence);
    assert_true(world->loop->access.refused > 5000);
    close_world(world);
}

/* Also where one is read before the other is ruled. */
static void what_is_read_together_is_judged_in_order(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    const struct asker *before = ask(world, 0, gateway.key, "POST", "/v1/authorize", ONE);
    const struct asker *revoked = ask(world, 1, admin.key, "POST", gateway.revoke, "");
    const struct asker *after = ask(world, 2, gateway.key, "POST", "/v1/authorize", ONE);
    const struct asker *again = ask(world, 3, admin.key, "POST", gateway.revoke, "");
    world_settle(world);
    assert_int_equal(before->status, 200);
    assert_int_equal(revoked->status, 200);
    assert_int_equal(after->status, 401);
    assert_int_equal(again->status, 404);
    close_world(world);
}

static void the_first_key_closes_the_door(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, POLICY);
    assert_int_equal(do_as(world, NULL, "POST", "/v1/authorize", ONE)->status, 200);
    assert_int_equal(do_as(world, "anything", "POST", "/v1/authorize", ONE)->status, 200);
    assert_int_equal(do_as(world, NULL, "POST", "/v1/keys", "{\"scopes\":[\"decide\"]}")->status,
                     409);
    const struct asker *made = ask(world, 0, NULL, "POST", "/v1/keys", "{\"scopes\":[\"admin\"]}");
    const struct asker *after = ask(world, 1, NULL, "POST", "/v1/authorize", ONE);
    world_settle(world);
    assert_int_equal(made->status, 200);
    assert_int_equal(after->status, 401);
    assert_int_equal(do_as(world, NULL, "GET", "/healthz", "")->status, 200);
    assert_int_equal(do_as(world, NULL, "GET", "/readyz", "")->status, 200);
    close_world(world);
}

/* What waits for the desk is looked at again when it comes back. */
static void a_batch_stops_where_its_key_is_revoked(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    /* The policy's own entry, which only the desk can tell is no decision. */
    const struct asker *batch =
        ask(world, 0, gateway.key, "POST", "/v1/batch",
            "{\"operations\":[{\"op\":\"check\",\"customer\":\"acme\",\"feature\":\"chat\","
            "\"quantities\":{}},{\"op\":\"release\",\"decision_id\":\"d_0000000000400\"},"
            "{\"op\":\"check\",\"customer\":\"acme\",\"feature\":\"chat\",\"quantities\":{}}]}");
    const struct asker *revoked = ask(world, 1, admin.key, "POST", gateway.revoke, "");
    world_settle(world);
    assert_int_equal(revoked->status, 200);
    assert_int_equal(batch->status, 200);
    const char *allowed = strstr(batch->body, "\"outcome\":\"allow\"");
    assert_non_null(allowed);
    assert_null(strstr(allowed + 1, "\"outcome\":\"allow\""));
    assert_non_null(strstr(batch->body, "\"code\":\"unauthorized\",\"field\":\"operations[1]\""));
    assert_non_null(strstr(batch->body, "\"code\":\"unauthorized\",\"field\":\"operations[2]\""));
    close_world(world);
}

static void a_policy_under_way_is_not_installed_for_a_revoked_key(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    const struct made_key other = make_key(world, admin.key, "{\"scopes\":[\"admin\"]}");
    const uint64_t version = engine_policy_info(world->engine).version;
    struct asker *put = ask(world, 0, other.key, "PUT", "/v1/policy", POLICY);
    put->exchange.content_type = BYTES("application/yaml");
    const struct asker *revoked = ask(world, 1, admin.key, "POST", other.revoke, "");
    world_settle(world);
    assert_int_equal(revoked->status, 200);
    assert_int_equal(put->status, 401);
    assert_int_equal(engine_policy_info(world->engine).version, version);
    put = ask(world, 0, admin.key, "PUT", "/v1/policy", POLICY);
    put->exchange.content_type = BYTES("application/yaml");
    world_settle(world);
    assert_int_equal(put->status, 200);
    const struct asker *versions = do_as(world, admin.key, "GET", "/v1/policy/versions", "");
    assert_non_null(strstr(versions->body, "\"actor\":\"k_"));
    assert_non_null(strstr(versions->body, "\"actor\":null"));
    close_world(world);
}

static void a_key_ends_when_it_expires(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    const struct made_key brief = make_key(
        world, admin.key, "{\"scopes\":[\"decide\"],\"expires_at\":\"2026-05-01T13:00:00Z\"}");
    assert_int_equal(do_as(world, brief.key, "POST", "/v1/authorize", ONE)->status, 200);
    assert_int_equal(
        do_as(world, admin.key, "POST", "/v1/clock", "{\"now\":\"2026-05-01T12:59:59.999Z\"}")
            ->status,
        200);
    assert_int_equal(do_as(world, brief.key, "POST", "/v1/authorize", ONE)->status, 200);
    assert_int_equal(do_as(world, admin.key, "POST", "/v1/clock", "{\"advance_ms\":1}")->status,
                     200);
    assert_int_equal(do_as(world, brief.key, "POST", "/v1/authorize", ONE)->status, 401);
    assert_non_null(
        strstr(do_as(world, admin.key, "GET", "/v1/keys", "")->body, "\"state\":\"expired\""));
    close_world(world);
}

static void keys_are_there_after_a_restart(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    const struct made_key gone = make_key(world, admin.key, "{\"scopes\":[\"read\"]}");
    assert_int_equal(do_as(world, admin.key, "POST", gone.revoke, "")->status, 200);
    struct journal *journal = world->journal;
    world_close(world);
    world = world_open(journal, NULL);
    assert_int_equal(do_as(world, NULL, "POST", "/v1/authorize", ONE)->status, 401);
    assert_int_equal(do_as(world, gateway.key, "POST", "/v1/authorize", ONE)->status, 200);
    assert_int_equal(do_as(world, gone.key, "GET", "/v1/customers/acme", "")->status, 401);
    const struct asker *versions = do_as(world, admin.key, "GET", "/v1/policy/versions", "");
    assert_int_equal(versions->status, 200);
    close_world(world);
}

static void a_key_is_not_made_with_an_idempotency_key(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    struct asker *asker = ask(world, 0, admin.key, "POST", "/v1/keys", "{\"scopes\":[\"read\"]}");
    asker->exchange.idempotency_key = BYTES("k");
    world_settle(world);
    assert_int_equal(asker->status, 422);
    assert_non_null(strstr(asker->body, "\"field\":\"Idempotency-Key\""));
    /* An id of nothing is no order to make one. */
    assert_int_equal(do_as(world, admin.key, "POST", "/v1/keys/k_0000000000000/revoke", "")->status,
                     404);
    assert_int_equal(do_as(world, admin.key, "POST", "/v1/keys/x/revoke", "")->status, 404);
    close_world(world);
}

/* Whoever is not known is told nothing but that: not what routes there are, nor what is wrong. */
static void a_stranger_sees_no_routes(void **state)
{
    (void)state;
    struct world *world = open_with_keys();
    static const struct {
        const char *method;
        const char *target;
        const char *body;
    } asked[] = {
        {   "GET",       "/v1/nothing",  ""},
        {"DELETE",          "/v1/keys",  ""},
        {  "POST",     "/v1/authorize", "{"},
        {  "POST", "/v1/authorize?x=1", ONE},
        {   "GET", "/v1/customers/%zz",  ""},
        {  "POST", "/v1/keys/x/revoke",  ""},
        {  "POST",          "/healthz",  ""},
    };
    static char first[WORLD_BODY_SIZE];
    for (unsigned i = 0; i < COUNT_OF(asked); ++i) {
        const struct asker *asker =
            do_as(world, "no key", asked[i].method, asked[i].target, asked[i].body);
        assert_int_equal(asker->status, 401);
        if (i == 0) (void)snprintf(first, sizeof(first), "%s", asker->body);
        assert_string_equal(asker->body, first);
    }
    assert_int_equal(do_as(world, admin.key, "GET", "/v1/nothing", "")->status, 404);
    assert_int_equal(do_as(world, admin.key, "DELETE", "/v1/keys", "")->status, 405);
    /* And whoever lacks the scope is not told what is wrong with a body. */
    assert_int_equal(do_as(world, gateway.key, "POST", "/v1/keys", "{")->status, 403);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_a_bearer_token_and_nothing_else),
        cmocka_unit_test(a_key_that_is_not_exact_opens_nothing),
        cmocka_unit_test(what_is_read_together_is_judged_in_order),
        cmocka_unit_test(the_first_key_closes_the_door),
        cmocka_unit_test(a_batch_stops_where_its_key_is_revoked),
        cmocka_unit_test(a_policy_under_way_is_not_installed_for_a_revoked_key),
        cmocka_unit_test(a_key_ends_when_it_expires),
        cmocka_unit_test(keys_are_there_after_a_restart),
        cmocka_unit_test(a_key_is_not_made_with_an_idempotency_key),
        cmocka_unit_test(a_stranger_sees_no_routes),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
