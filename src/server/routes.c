/*
 * routes.c: the table of everything that can be called.
 */
#include "server/routes.h"

#include <string.h>

static const struct route routes[] = {
    {"POST",            "/v1/authorize",         CALL_COMMAND,  WIRE_AUTHORIZE,               0},
    {"POST",              "/v1/consume",         CALL_COMMAND,    WIRE_CONSUME,               0},
    {"POST",      "/v1/holds/{}/commit",         CALL_COMMAND,     WIRE_COMMIT,               0},
    {"POST",     "/v1/holds/{}/release",         CALL_COMMAND,    WIRE_RELEASE,               0},
    {"POST",      "/v1/holds/{}/extend",         CALL_COMMAND,     WIRE_EXTEND,               0},
    {"POST",                "/v1/check",         CALL_COMMAND,      WIRE_CHECK,               0},
    {"POST",                "/v1/usage",           CALL_USAGE,      WIRE_USAGE,               0},
    {"POST",                "/v1/batch",           CALL_BATCH,               0,               0},
    { "PUT",         "/v1/customers/{}",         CALL_COMMAND,   WIRE_CUSTOMER,               0},
    { "GET",         "/v1/customers/{}",        CALL_CUSTOMER,               0,               0},
    {"POST",  "/v1/customers/{}/grants",         CALL_COMMAND,      WIRE_GRANT,               0},
    {"POST",  "/v1/customers/{}/resets",         CALL_COMMAND,      WIRE_RESET,               0},
    { "GET", "/v1/customers/{}/balance",         CALL_BALANCE,               0,               0},
    { "GET",  "/v1/customers/{}/status",          CALL_STATUS,               0,               0},
    { "GET",  "/v1/customers/{}/ledger",            CALL_READ,               0,  READING_LEDGER},
    { "GET",  "/v1/customers/{}/events",            CALL_READ,               0,  READING_EVENTS},
    { "GET",         "/v1/decisions/{}",            CALL_READ,               0, READING_RECEIPT},
    { "GET",                "/v1/usage",            CALL_READ,               0,   READING_USAGE},
    {"POST",       "/v1/grants/{}/void",         CALL_COMMAND,       WIRE_VOID,               0},
    {"POST",  "/v1/decisions/{}/refund",         CALL_COMMAND,     WIRE_REFUND,               0},
    { "PUT",               "/v1/policy",      CALL_POLICY_PUT,               0,               0},
    { "GET",               "/v1/policy",      CALL_POLICY_GET,               0,               0},
    { "GET",      "/v1/policy/versions", CALL_POLICY_VERSIONS,               0,               0},
    {"POST",                 "/v1/keys",      CALL_KEY_CREATE, WIRE_KEY_CREATE,               0},
    { "GET",                 "/v1/keys",            CALL_KEYS,               0,               0},
    {"POST",       "/v1/keys/{}/revoke",         CALL_COMMAND, WIRE_KEY_REVOKE,               0},
    { "PUT",             "/v1/pools/{}",         CALL_COMMAND,       WIRE_POOL,               0},
    { "GET",                "/v1/pools",           CALL_POOLS,               0,               0},
    {"POST",                "/v1/clock",           CALL_CLOCK,               0,               0},
    { "GET",            "/openapi.json",         CALL_OPENAPI,               0,               0},
    { "GET",             "/problems/{}",    CALL_PROBLEM_PAGE,               0,               0},
    { "GET",                 "/healthz",          CALL_HEALTH,               0,               0},
    { "GET",                  "/readyz",           CALL_READY,               0,               0},
    { "GET",                 "/metrics",         CALL_METRICS,               0,               0},
    {"GRPC",   "weir.v1.Weir/Authorize",         CALL_COMMAND,  WIRE_AUTHORIZE,               0},
    {"GRPC",     "weir.v1.Weir/Consume",         CALL_COMMAND,    WIRE_CONSUME,               0},
    {"GRPC",       "weir.v1.Weir/Check",         CALL_COMMAND,      WIRE_CHECK,               0},
    {"GRPC",      "weir.v1.Weir/Commit",         CALL_COMMAND,     WIRE_COMMIT,               0},
    {"GRPC",     "weir.v1.Weir/Release",         CALL_COMMAND,    WIRE_RELEASE,               0},
    {"GRPC",      "weir.v1.Weir/Extend",         CALL_COMMAND,     WIRE_EXTEND,               0},
    {"GRPC",      "weir.v1.Weir/Report",         CALL_COMMAND,      WIRE_USAGE,               0},
    {"RESP",           "WEIR.AUTHORIZE",         CALL_COMMAND,  WIRE_AUTHORIZE,               0},
    {"RESP",             "WEIR.CONSUME",         CALL_COMMAND,    WIRE_CONSUME,               0},
    {"RESP",              "WEIR.COMMIT",         CALL_COMMAND,     WIRE_COMMIT,               0},
    {"RESP",             "WEIR.RELEASE",         CALL_COMMAND,    WIRE_RELEASE,               0},
};

uint32_t route_number(const struct route *route)
{
    return route == NULL ? 0 : (uint32_t)(route - routes) + 1;
}

const struct route *route_of(enum wire_form form, enum wire_call call)
{
    static const char *const front_ends[WIRE_FORMS] = {
        [WIRE_FORM_RESP] = "RESP", [WIRE_FORM_PROTOBUF] = "GRPC"};
    ENSURE(form != WIRE_FORM_JSON);
    for (size_t i = 0; i < COUNT_OF(routes); ++i)
        if (routes[i].call == CALL_COMMAND && routes[i].wire == call &&
            strcmp(routes[i].method, front_ends[form]) == 0)
            return &routes[i];
    return NULL;
}

const struct route *route_numbered(uint32_t number)
{
    return number == 0 || number > COUNT_OF(routes) ? NULL : &routes[number - 1];
}

static bool path_matches(const char *pattern, struct bytes path, struct bytes *target_out)
{
    const uint8_t *at = path.at;
    const uint8_t *end = path.at + path.length;
    if (*pattern != '/') return false; /* no path: another front end's */
    for (; *pattern != '\0'; ++pattern) {
        if (*pattern != '{') {
            if (at == end || *at != (uint8_t)*pattern) return false;
            ++at;
            continue;
        }
        const uint8_t *start = at;
        while (at != end && *at != '/')
            ++at;
        if (at == start) return false;
        *target_out = (struct bytes){start, (size_t)(at - start)};
        ++pattern; /* the '}' */
    }
    return at == end;
}

static bool method_is(struct bytes method, const char *name)
{
    return bytes_equal(method, bytes_of_text(name));
}

enum route_match route_find(struct bytes method, struct bytes path, const struct route **route_out,
                            struct bytes *target_out)
{
    enum route_match match = ROUTE_NO_PATH;
    struct bytes target = BYTES_NONE;
    for (size_t i = 0; i < COUNT_OF(routes); ++i) {
        if (!path_matches(routes[i].pattern, path, &target)) continue;
        match = ROUTE_NO_METHOD;
        const bool is_head = method_is(method, "HEAD") && strcmp(routes[i].method, "GET") == 0;
        if (!is_head && !method_is(method, routes[i].method)) continue;
        *route_out = &routes[i];
        *target_out = target;
        return ROUTE_FOUND;
    }
    return match;
}

const char *route_allow(struct bytes path)
{
    enum { GET = 1, PUT = 2, POST = 4 };
    static const char *const texts[] = {
        "",     "GET, HEAD",       "PUT",       "GET, HEAD, PUT",
        "POST", "GET, HEAD, POST", "PUT, POST", "GET, HEAD, PUT, POST",
    };
    unsigned found = 0;
    struct bytes target = BYTES_NONE;
    for (size_t i = 0; i < COUNT_OF(routes); ++i) {
        if (!path_matches(routes[i].pattern, path, &target)) continue;
        const char *method = routes[i].method;
        found |= strcmp(method, "GET") == 0 ? GET : strcmp(method, "PUT") == 0 ? PUT : POST;
    }
    return texts[found];
}

bool route_decode(struct bytes text, bool is_query, struct arena *arena, struct bytes *decoded_out)
{
    uint8_t *decoded = arena_take(arena, text.length + 1);
    if (decoded == NULL) return false;
    size_t length = 0;
    for (size_t i = 0; i < text.length; ++i) {
        uint8_t byte = text.at[i];
        if (byte == '%') {
            if (text.length - i < 3) return false;
            const int high = bytes_hex_digit(text.at[i + 1]);
            const int low = bytes_hex_digit(text.at[i + 2]);
            if (high < 0 || low < 0) return false;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (byte == '+' && is_query) {
            byte = ' ';
        }
        decoded[length++] = byte;
    }
    *decoded_out = (struct bytes){decoded, length};
    return true;
}

/* Up to the first `divider`, which is taken off too. */
static struct bytes take_until(struct bytes *text, uint8_t divider)
{
    const uint8_t *found = text->length > 0 ? memchr(text->at, divider, text->length) : NULL;
    const size_t length = found != NULL ? (size_t)(found - text->at) : text->length;
    const struct bytes taken = {text->at, length};
    const size_t skipped = found != NULL ? length + 1 : length;
    *text = (struct bytes){text->at + skipped, text->length - skipped};
    return taken;
}

bool route_take_parameter(struct bytes *query, struct bytes *name_out, struct bytes *value_out)
{
    while (query->length > 0) {
        struct bytes pair = take_until(query, '&');
        if (pair.length == 0) continue;
        *name_out = take_until(&pair, '=');
        *value_out = pair;
        return true;
    }
    return false;
}
