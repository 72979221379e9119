/*
 * routes.h: which call a method and a path mean, and how names in paths and queries are decoded.
 * Paths are matched as sent, so a customer's id may hold an encoded '/'.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/reading.h"
#include "wire/wire.h"

enum call {
    CALL_COMMAND, /* a body that wire_parse understands */
    CALL_USAGE,   /* in one of several forms */
    CALL_BATCH,
    CALL_CUSTOMER,
    CALL_BALANCE,
    CALL_STATUS,
    CALL_READ, /* from the books */
    CALL_POLICY_PUT,
    CALL_POLICY_GET,
    CALL_POLICY_VERSIONS,
    CALL_CLOCK,
    CALL_KEY_CREATE,
    CALL_KEYS,
    CALL_POOLS,
    CALL_OPENAPI,
    CALL_PROBLEM_PAGE,
    CALL_HEALTH,
    CALL_READY,
    CALL_METRICS,
    CALL_POLICY_FILE /* no route: --policy at start */
};

struct route {
    const char *method;  /* of HTTP, or another front end's name */
    const char *pattern; /* "{}" stands for one non-empty part */
    enum call call;
    enum wire_call wire;    /* CALL_COMMAND */
    enum reading_what read; /* CALL_READ */
};

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* HEAD finds GET. target_out: what stands at "{}", as sent. */
enum route_match route_find(struct bytes method, struct bytes path, const struct route **route_out,
                            struct bytes *target_out);
/* The same call through another front end; NULL: that has no such call. */
const struct route *route_of(enum wire_form form, enum wire_call call);
/* From 1 on; 0: none of the table. */
uint32_t route_number(const struct route *route);
/* NULL: there is none of that number. */
const struct route *route_numbered(uint32_t number);
/* The Allow header for a path that has routes. */
const char *route_allow(struct bytes path);

/* Percent-decodes into the arena; in queries '+' is a space. False: a '%' without two hex digits,
 * or no room. */
MUST_USE bool route_decode(struct bytes text, bool is_query, struct arena *arena,
                           struct bytes *decoded_out);

/* Takes the next "name=value" off a query, as sent. False: no more. */
MUST_USE bool route_take_parameter(struct bytes *query, struct bytes *name_out,
                                   struct bytes *value_out);
