/*
 * grpc_inner.h: what the files of the gRPC front end know of each other.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "engine/engine.h"
#include "platform/platform.h"
#include "server/grpc.h"
#include "server/grpc_status.h"
#include "server/routes.h"
#include "server/stream.h"
#include "wire/wire.h"

enum {
    GRPC_PREFIX_BYTES = 5,      /* before each message: whether it is compressed, its length */
    GRPC_VALUE_BYTES_MAX = 512, /* that is kept of a header; nothing that counts is longer */
    GRPC_VALUES = 6
};

/* Lines of calls, oldest first; DUE in no order. */
enum grpc_line_of {
    GRPC_LINE_ARRIVING, /* the message is not whole: since since_ns */
    GRPC_LINE_LEAVING,  /* the answer is not written out: since since_ns */
    GRPC_LINE_DUE,      /* its client waits no longer than deadline_ns */
    GRPC_LINE_SESSION,  /* of one connection */
    GRPC_LINES
};

enum grpc_what { GRPC_WHAT_UNKNOWN, GRPC_WHAT_DECISION, GRPC_WHAT_HEALTH };

/* The first member is what the loop has. */
struct grpc_call {
    struct exchange exchange;
    struct grpc *grpc;
    struct grpc_session *session; /* NULL: the stream is over */
    int32_t stream;
    enum grpc_what what;
    bool is_with_loop;
    bool is_answered;
    struct list_place places[GRPC_LINES];
    int64_t since_ns;
    int64_t deadline_ns;
    size_t held_bytes; /* of the sum */

    /* the request's head */
    uint32_t headers;
    size_t headers_bytes;
    bool is_post;
    bool is_grpc;      /* by its content-type */
    bool has_two_keys; /* that differ */
    struct bytes path;
    struct bytes timeout;
    uint8_t values[GRPC_VALUES * GRPC_VALUE_BYTES_MAX];
    size_t values_used;

    /* its message */
    uint8_t prefix[GRPC_PREFIX_BYTES];
    size_t prefix_used;
    uint8_t *message;
    size_t message_length; /* as the prefix says */
    size_t message_used;
    size_t message_size;

    /* the answer */
    uint8_t *answer;
    size_t answer_length;
    size_t answer_at;
};

/* How much of something there was in this second. */
struct grpc_rate {
    int64_t second;
    uint32_t count;
};

struct grpc_session {
    struct grpc *grpc;
    struct stream_connection *connection;
    nghttp2_session *http2;
    struct list calls;
    uint32_t call_count;
    struct grpc_rate resets;
    struct grpc_rate unrest; /* frames that ask for nothing */
    bool is_over;            /* GOAWAY is out: nothing of it counts any more */
    bool has_begun;          /* a call */
    bool wants_flush;
    struct grpc_session *next; /* of those that want one */
};

struct grpc {
    struct grpc_options options;
    struct stream *stream;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *http2_options;
    struct prng request_ids;
    const struct route *ready; /* what health asks */
    struct list lines[GRPC_LINE_SESSION];
    uint32_t calls;
    uint32_t unanswered; /* of them */
    int64_t due_ns;      /* no deadline is before */
    int64_t looked_ns;   /* they were last looked at */
    struct grpc_session *flushes;
    bool is_draining;
};

/* ---- grpc_http2.c */

/* NULL: no memory. */
struct grpc_session *grpc_session_open(struct grpc *grpc, struct stream_connection *connection);
void grpc_session_take(struct grpc_session *session, struct bytes input);
void grpc_session_close(struct grpc_session *session);
/* GOAWAY: what runs goes on, unless it is a fault's. */
void grpc_session_part(struct grpc_session *session, uint32_t error);
/* Its answers are not taken: it is reset. */
void grpc_session_cut(struct grpc_session *session);
void grpc_session_want_flush(struct grpc_session *session);
/* Hands to the stream what is to be sent, and says what is waited for. */
void grpc_session_flush(struct grpc_session *session);
bool grpc_http2_start(struct grpc *grpc);
/* Of a stream whose end has not been sent. */
void grpc_http2_answer(struct grpc_call *call);
void grpc_http2_end(struct grpc_call *call, enum grpc_status status, struct bytes code,
                    struct bytes message);
/* Instead of an answer: not gRPC. */
void grpc_http2_refuse(struct grpc_call *call, const char *http_status);
void grpc_http2_reset(struct grpc_call *call, uint32_t error);

/* ---- grpc_call.c */

/* NULL: there are as many as there may be. */
struct grpc_call *grpc_call_begin(struct grpc_session *session, int32_t stream);
void grpc_call_header(struct grpc_call *call, struct bytes name, struct bytes value);
/* One that says nothing, and counts as the others do. */
void grpc_call_count_header(struct grpc_call *call, size_t bytes);
void grpc_call_headed(struct grpc_call *call);
void grpc_call_data(struct grpc_call *call, struct bytes data);
/* The client has sent all. */
void grpc_call_whole(struct grpc_call *call);
/* Its stream is over: no answer can be sent any more. */
void grpc_call_gone(struct grpc_call *call);
void grpc_call_refuse(struct grpc_call *call, const struct problem *problem);
/* It has had its time. What the loop has begun may still be done. */
void grpc_call_expire(struct grpc_call *call);
