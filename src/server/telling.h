/*
 * telling.h: what the loop says of its work in the log. docs/LOGS.md lists every event; a test
 * holds the two together. What a stranger can bring about is said so many times a second at most,
 * and the next line says how many were passed over. The loop's thread.
 *
 * Lines name a request by its id. They never have bodies, idempotency keys or secrets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "platform/platform.h"
#include "server/exchange.h"

#define TELLING_SLOW_NS INT64_C(1000000000)
#define TELLING_CALM_NS (10 * INT64_C(1000000000)) /* without a refusal: the overload has ended */

struct telling {
    struct log_pace slow;
    struct log_pace failed;
    struct log_pace strangers;
    bool is_behind;     /* settlement hurries */
    bool is_overloaded; /* requests are refused for want of room */
    int64_t refused_ns; /* the last of them */
    uint64_t refused;   /* since it began */
};

/* The answer of an exchange is about to leave; now_ns may be some microseconds old. */
void telling_sent(struct telling *telling, const struct exchange *exchange, int64_t now_ns);
/* A problem was rendered; request_id may be empty. */
void telling_problem(struct telling *telling, enum problem_code code, struct bytes request_id,
                     int64_t now_ns);
void telling_policy_applied(const struct exchange *exchange, const struct engine_policy_info *info,
                            bool from_file);
/* By the API; at the start people are told on standard error. */
void telling_policy_refused(const struct exchange *exchange, uint32_t mistakes, struct bytes first);
/* Once a turn. */
void telling_turn(struct telling *telling, bool is_behind, int64_t lag_ms, int64_t now_ns);
