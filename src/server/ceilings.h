/*
 * ceilings.h: every bound on what clients can make the server hold or wait for, in one place. Those
 * of the wire (names, numbers, operations in a batch) are in engine/command.h and wire/wire.h; of
 * the state, engine_ceilings. docs/CEILINGS.md is the same table for operators: what a client sees
 * at each, and which option moves it. tests/blackbox/test_ceilings.py reaches them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* ---- connections; --connections */

#define CONNECTIONS_DEFAULT 16384u
#define ACCEPTED_PER_TURN_MAX 64u
/* At the ceiling who has waited so long for nothing gives way to a newcomer; where nobody has, the
 * newcomer is turned away. */
#define SHED_AFTER_MS 1000
/* The kernel's buffer of a connection's input: with it one read brings no more than its like. */
#define CONNECTION_RECEIVE_BYTES (256 << 10)

/* One read of a connection that is not HTTP's. */
#define STREAM_READ_BYTES ((size_t)64 << 10)

/* ---- time */

/* From the end of one answer (or the accept) until the next request is read whole. Who has begun
 * one is told so (408), who has not is left without a word. --request-timeout */
#define REQUEST_TIMEOUT_MS_DEFAULT 60000u
/* An answer, or a piece of one, must be taken within this and a second per SLOW_READER_BYTES of it;
 * else its connection is reset. --write-timeout */
#define WRITE_TIMEOUT_MS_DEFAULT 60000u
#define SLOW_READER_BYTES ((int64_t)64 << 10)
#define TIMEOUT_MS_MIN 1000u
#define TIMEOUT_MS_MAX 3600000u
/* From the accept to the first byte on a TLS listener, and from there to the handshake's end. */
#define HANDSHAKE_TIMEOUT_MS 10000u

/* ---- TLS handshakes */

#define HANDSHAKES_MAX 512u   /* under way; beyond it the oldest gives way that ... */
#define HANDSHAKE_OWED_MS 500 /* ... has been waited for so long; else newcomers wait */
#define HANDSHAKE_STEPS_PER_TURN 4u
#define HANDSHAKE_BEGINS_PER_TURN 8u /* so a burst does not push out who is about to be done */
/* Updates of keys and the like, of a connection of HTTP; usual clients send one in 2^24 records. */
#define TLS_ASIDES_MAX 256u
#define CERTIFICATE_WARN_S (INT64_C(14) * 24 * 3600) /* before its end */

/* ---- bytes of a request */

#define HTTP_TARGET_BYTES_MAX 8192u               /* path and query */
#define HTTP_HEADERS_BYTES_MAX ((size_t)32 << 10) /* names and values of one request */
#define HTTP_HEADERS_MAX 100u                     /* h2o's own ceiling */
/* With the request line's other words and four bytes between the parts of each header. */
#define HTTP_HEAD_BYTES_MAX (HTTP_TARGET_BYTES_MAX + HTTP_HEADERS_BYTES_MAX + 1024)
#define HTTP_BODY_BYTES_MAX ((size_t)4 << 20)
#define LOOP_BODY_BYTES_MAX ((size_t)1 << 20)  /* of most calls, and of a policy */
#define LOOP_BATCH_BYTES_MAX ((size_t)4 << 20) /* of POST /v1/batch and /v1/usage */

/* ---- RESP; a command's bytes and arguments are in wire/resp.h */

/* An idle connection, which has no part of a command on its way; part of one: --request-timeout */
#define RESP_IDLE_TIMEOUT_MS 600000u
#define RESP_PIPELINE_MAX 256u  /* commands of one connection at work; then it is not read from */
#define RESP_COMMANDS_MAX 8192u /* of all, so that nobody waits behind more; then one each */
#define RESP_OUTPUT_BYTES_MAX ((size_t)1 << 20) /* answers not taken; then it is not read from */

/* ---- bytes of all requests and answers under way; --buffers */

/* A connection's first block is bounded by the number of connections, and not counted in the sum.
 */
#define BUFFER_FREE_BYTES ((size_t)8 << 10)
#define BUFFERS_BYTES_DEFAULT (UINT64_C(256) << 20)
#define BUFFERS_BYTES_MIN (UINT64_C(16) << 20)
#define BUFFERS_BYTES_MAX (UINT64_C(1) << 40)

/* ---- what is worked on at once */

#define LOOP_RUNS_MAX 4u    /* batches and lists */
#define READINGS_MAX 32u    /* of the books */
#define READING_SUMS_MAX 2u /* of usage, kept for the next page of who asked for them, ... */
#define READING_SUMS_LINES_MAX 100000u /* ... if they are no more than these, ... */
#define READING_SUMS_KEPT_MS 60000     /* ... for so long */
#define READING_STREAMS_MAX 24u        /* of these exports, which a slow reader may keep for long */
#define DESK_JOBS_MAX 64u
#define KEY_LOOKS_MAX 64u

/* ---- and what waits for that; who comes to a full line is answered 503 `overloaded`. What settles
 * work already done (commit, release, usage) finds room for as many again. */

#define WAITING_DESK_MAX 1024u
#define WAITING_KEYS_MAX 4096u
#define WAITING_HEADS_MAX 4096u
#define WAITING_RUNS_MAX 64u
#define WAITING_READINGS_MAX 256u
#define WAITING_POLICIES_MAX 4u

/* ---- how long a request may wait for its turn while more comes than can be done, by its priority
 */

#define PATIENCE_SHEDDABLE_MS 250
#define PATIENCE_DEFAULT_MS 1000
#define PATIENCE_CRITICAL_MS 4000
#define PATIENCE_OWED_MS 10000 /* what settles work already done, and acts of an operator */
/* What lies unread in the kernel counts once requests have lain there for as long as the shortest
 * patience, for so long and without a break of so long: then it is no hiccup. */
#define UNREAD_STANDS_MS 500
#define UNREAD_BREAK_MS 1000
/* Refusals of what lay unread are one for each request that is done; so many may be saved up. */
#define REFUSALS_SAVED_MAX 256u

/* ---- gRPC */

#define GRPC_STREAMS_MAX 256u /* calls of one connection */
/* Calls of all connections that are not answered; of those that are there may be as many again. */
#define GRPC_CALLS_MAX 16384u
#define GRPC_IDLE_TIMEOUT_MS 300000u            /* of a connection without a call */
#define GRPC_UNSENT_BYTES_MAX ((size_t)1 << 20) /* of a connection, before it is not read from */
#define GRPC_RESETS_PER_SECOND_MAX 400u         /* streams of a connection that are reset */
/* Settings, pings, window updates, empty data, of a connection; each call pays for some. */
#define GRPC_UNREST_PER_SECOND_MAX 1000u
/* So many times the ceiling of headers are read of a call; then the connection is ended. */
#define GRPC_HEADERS_BORNE 4u
