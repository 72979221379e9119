/*
 * grpc_status.h: what gRPC calls the ends of calls, and how it writes two things in headers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"

/* gRPC's own numbers. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};

enum grpc_status grpc_status_of(enum problem_code code);

/* Of grpc-timeout: "250m" is 250 ms. False: it is none. Beyond what can be counted: for ever
 * (INT64_MAX). */
MUST_USE bool grpc_timeout_parse(struct bytes text, int64_t *ns_out);

/* grpc-message: printable ASCII, the rest percent-encoded; as much as there is room for. */
void grpc_message_put(struct buffer *out, struct bytes text);
