/*
 * grpc.h: the gRPC front end: calls of api/weir.proto become exchanges, answers become messages.
 * HTTP/2 by nghttp2 over stream.h; without TLS a client begins with HTTP/2 (prior knowledge), with
 * TLS it is agreed on by ALPN. Unary calls only. One thread, the loop's.
 *
 * grpc.c         the listener, turns, time
 * grpc_http2.c   one connection: nghttp2's callbacks, and how much unrest is borne
 * grpc_call.c    one call: its headers, its message, its answer
 * grpc_status.c  what the ends of calls are called
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/ceilings.h"
#include "server/exchange.h"
#include "server/stream.h"

struct grpc_options {
    struct stream_terms terms;
    uint32_t calls_max;        /* that are not answered; of all that there are, twice as many */
    uint64_t request_ids_seed; /* of those that are made */
    void (*take)(void *self, struct exchange *exchange);
    void *self;
};

struct grpc;

/* NULL: no memory, or no descriptor. */
MUST_USE struct grpc *grpc_open(const struct grpc_options *options);
/* Its listener and connections, for whoever polls, turns and drains them. */
struct stream *grpc_stream(const struct grpc *grpc);
/* Once a turn, behind the loop's step and before stream_turn: sends what was answered, ends what is
 * late. */
void grpc_turn(struct grpc *grpc);
/* How long nobody need look; at most wait_ms_max. */
int32_t grpc_wait_ms(const struct grpc *grpc, int32_t wait_ms_max);
/* Ends everything; the loop must not have any exchange of it. NULL is fine. */
void grpc_close(struct grpc *grpc);
