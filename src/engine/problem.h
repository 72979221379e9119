/*
 * problem.h: the closed set of problem codes. A problem is an answer to a request that got no
 * decision; a denial is not a problem. Numbers are not journaled; codes are contract.
 */
#pragma once

#include "base/bytes.h"

/* name, code, HTTP status, title */
#define PROBLEM_TABLE(X)                                                                        \
    X(PROBLEM_NONE, "none", 200, "No problem")                                                  \
    X(PROBLEM_BAD_REQUEST, "bad_request", 400, "The request is not valid HTTP")                 \
    X(PROBLEM_MALFORMED, "malformed", 400, "The body is not JSON")                              \
    X(PROBLEM_INVALID_SHAPE, "invalid_shape", 400, "The body is not of the contract's shape")   \
    X(PROBLEM_UNKNOWN_FIELD, "unknown_field", 400, "The body has a field that does not exist")  \
    X(PROBLEM_DUPLICATE_FIELD, "duplicate_field", 400, "The body has a field twice")            \
    X(PROBLEM_MISSING_FIELD, "missing_field", 400, "A required field is missing")               \
    X(PROBLEM_TOO_DEEP, "too_deep", 400, "The body is nested too deeply")                       \
    X(PROBLEM_INVALID_QUERY, "invalid_query", 400,                                              \
      "The query string is not of the contract's shape")                                        \
    X(PROBLEM_INVALID_VALUE, "invalid_value", 422, "A value is out of range or malformed")      \
    X(PROBLEM_UNKNOWN_FEATURE, "unknown_feature", 422, "The policy has no such feature")        \
    X(PROBLEM_UNKNOWN_METER, "unknown_meter", 422, "The feature has no such meter")             \
    X(PROBLEM_UNKNOWN_PLAN, "unknown_plan", 422, "The policy has no such plan")                 \
    X(PROBLEM_UNKNOWN_LIMIT, "unknown_limit", 422, "The policy has no such limit")              \
    X(PROBLEM_NO_PRICE, "no_price", 422, "No price rule matches the request")                   \
    X(PROBLEM_UNLISTED_VALUE, "unlisted_value", 422, "The price rule does not list this value") \
    X(PROBLEM_OUT_OF_RANGE, "out_of_range", 422, "The amount is beyond what can be counted")    \
    X(PROBLEM_TOO_MANY_GRANTS, "too_many_grants", 422, "The customer has too many live grants") \
    X(PROBLEM_POLICY_INVALID, "policy_invalid", 422, "The policy has mistakes")                 \
    X(PROBLEM_REFUND_EXCEEDS, "refund_exceeds", 422, "Refunds may not exceed the charge")       \
    X(PROBLEM_UNSUPPORTED, "unsupported", 422, "This is not offered yet")                       \
    X(PROBLEM_CLOCK_BACKWARD, "clock_backward", 422, "Time does not go back")                   \
    X(PROBLEM_UNAUTHORIZED, "unauthorized", 401, "The request needs an access key")             \
    X(PROBLEM_FORBIDDEN, "forbidden", 403, "The access key does not allow this")                \
    X(PROBLEM_UNKNOWN_CUSTOMER, "unknown_customer", 404, "No such customer")                    \
    X(PROBLEM_UNKNOWN_DECISION, "unknown_decision", 404,                                        \
      "No such decision, or no longer remembered")                                              \
    X(PROBLEM_UNKNOWN_GRANT, "unknown_grant", 404, "No such grant")                             \
    X(PROBLEM_UNKNOWN_KEY, "unknown_key", 404, "No such access key")                            \
    X(PROBLEM_UNKNOWN_POOL, "unknown_pool", 404, "No such pool")                                \
    X(PROBLEM_NO_ROUTE, "not_found", 404, "No such resource")                                   \
    X(PROBLEM_NO_METHOD, "method_not_allowed", 405, "The resource does not take this method")   \
    X(PROBLEM_TIMEOUT, "request_timeout", 408, "The request did not arrive in time")            \
    X(PROBLEM_KEY_CONFLICT, "idempotency_conflict", 409, "The key was used with another body")  \
    X(PROBLEM_HOLD_COMMITTED, "hold_committed", 409, "The hold was committed")                  \
    X(PROBLEM_HOLD_RELEASED, "hold_released", 409, "The hold was released")                     \
    X(PROBLEM_HOLD_EXPIRED, "hold_expired", 409, "The hold has expired")                        \
    X(PROBLEM_NOT_SETTLED, "not_settled", 409, "The decision is not settled yet")               \
    X(PROBLEM_LAST_ADMIN_KEY, "last_admin_key", 409, "Nobody could make keys any more")         \
    X(PROBLEM_TOO_LARGE, "too_large", 413, "The body is too large")                             \
    X(PROBLEM_TARGET_TOO_LONG, "target_too_long", 414, "The path is too long")                  \
    X(PROBLEM_MEDIA_TYPE, "unsupported_media_type", 415, "The body is of another media type")   \
    X(PROBLEM_HEADERS_TOO_LARGE, "headers_too_large", 431, "The headers are too large")         \
    X(PROBLEM_INTERNAL, "internal", 500, "The server failed")                                   \
    X(PROBLEM_OUTCOME_UNKNOWN, "outcome_unknown", 503, "Durability could not be confirmed")     \
    X(PROBLEM_CAPACITY, "capacity", 503, "A memory ceiling is reached")                         \
    X(PROBLEM_OVERLOADED, "overloaded", 503, "The server has more to do than it can")           \
    X(PROBLEM_STARTING, "starting", 503, "The server is starting")                              \
    X(PROBLEM_STOPPING, "stopping", 503, "The server is stopping")

enum problem_code {
#define X(name, code, status, title) name,
    PROBLEM_TABLE(X)
#undef X
};

struct problem {
    enum problem_code code;
    const char *field;    /* static: "quantities", "attributes"; or NULL */
    struct bytes member;  /* "model": the member of the field that is meant; may be empty */
    struct bytes value;   /* what was found there, as given; may be empty */
    const char *expected; /* static: what would have been right, as a phrase; or NULL */
};
