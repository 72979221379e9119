/*
 * grpc.c: the listener, turns and time. What is answered in a step of the loop is sent in the turn
 * behind it, so that one write carries the answers of a batch.
 */
#include "server/grpc_inner.h"

#include <stdlib.h>

/* ---- the stream's calls */

static void *on_open(void *self, struct stream_connection *connection)
{
    return grpc_session_open(self, connection);
}

static size_t on_bytes(void *client, struct bytes input)
{
    grpc_session_take(client, input);
    return input.length;
}

/* HTTP/2 has no half of a connection: who sends no more takes no more either. */
static void on_end(void *client)
{
    struct grpc_session *session = client;
    stream_end(session->connection);
}

static void on_closed(void *client)
{
    grpc_session_close(client);
}

/* What it was refused for, GOAWAY says in HTTP/2's own way: what was not begun may be sent again.
 */
static void on_refused(void *self, void *client, enum stream_refusal why, struct buffer *out)
{
    struct grpc_session *session = client;
    const uint8_t *at;
    ssize_t length;
    (void)self;
    if (session == NULL) return;
    grpc_session_part(session, why == STREAM_NO_BUFFERS || why == STREAM_TIMED_OUT
                                   ? NGHTTP2_ENHANCE_YOUR_CALM
                                   : NGHTTP2_NO_ERROR);
    while ((length = nghttp2_session_mem_send(session->http2, &at)) > 0) {
        if (out->size - out->used < (size_t)length) return; /* the frames before it are whole */
        buffer_put(out, at, (size_t)length);
    }
}

static void on_drain(void *client)
{
    struct grpc_session *session = client;
    session->grpc->is_draining = true;
    grpc_session_part(session, NGHTTP2_NO_ERROR);
    grpc_session_flush(session);
}

static const struct stream_calls stream_calls = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_closed = on_closed,
    .on_refused = on_refused,
    .on_drain = on_drain,
};

/* ---- time */

/* All calls with a deadline are looked at together, so not more often than this. */
#define DEADLINES_EVERY_NS (INT64_C(10) * 1000000)

static int64_t next_look_ns(const struct grpc *grpc)
{
    const int64_t soonest_ns = grpc->looked_ns + DEADLINES_EVERY_NS;
    return grpc->due_ns > soonest_ns ? grpc->due_ns : soonest_ns;
}

static void end_late(struct grpc *grpc)
{
    const int64_t now_ns = clock_monotonic_ns();
    const int64_t request_ns = (int64_t)grpc->options.terms.request_timeout_ms * 1000000;
    const int64_t write_ns = (int64_t)grpc->options.terms.write_timeout_ms * 1000000;
    struct grpc_call *call;
    while ((call = list_first(&grpc->lines[GRPC_LINE_ARRIVING])) != NULL &&
           now_ns - call->since_ns >= request_ns) {
        ++grpc->options.terms.network->timed_out;
        grpc_call_expire(call);
    }
    /* Its client opens no window for the answer, or its socket takes nothing. */
    while ((call = list_first(&grpc->lines[GRPC_LINE_LEAVING])) != NULL &&
           now_ns - call->since_ns >= write_ns) {
        list_leave(&call->places[GRPC_LINE_LEAVING]);
        grpc_session_cut(call->session);
    }
    if (now_ns < next_look_ns(grpc)) return;
    grpc->looked_ns = now_ns;
    grpc->due_ns = INT64_MAX;
    struct grpc_call *next;
    for (call = list_first(&grpc->lines[GRPC_LINE_DUE]); call != NULL; call = next) {
        next = list_after(&call->places[GRPC_LINE_DUE]);
        if (call->deadline_ns <= now_ns)
            grpc_call_expire(call);
        else if (call->deadline_ns < grpc->due_ns)
            grpc->due_ns = call->deadline_ns;
    }
}

int32_t grpc_wait_ms(const struct grpc *grpc, int32_t wait_ms_max)
{
    if (grpc->flushes != NULL) return 0;
    if (grpc->due_ns == INT64_MAX) return wait_ms_max;
    const int64_t left_ms = (next_look_ns(grpc) - clock_monotonic_ns() + 999999) / 1000000;
    if (left_ms <= 0) return 0;
    return left_ms < wait_ms_max ? (int32_t)left_ms : wait_ms_max;
}

void grpc_turn(struct grpc *grpc)
{
    end_late(grpc);
    struct grpc_session *session;
    while ((session = grpc->flushes) != NULL) {
        grpc->flushes = session->next;
        session->wants_flush = false;
        grpc_session_flush(session);
    }
}

/* ---- from open to close */

struct stream *grpc_stream(const struct grpc *grpc)
{
    return grpc->stream;
}

void grpc_close(struct grpc *grpc)
{
    if (grpc == NULL) return;
    stream_close(grpc->stream);
    nghttp2_session_callbacks_del(grpc->callbacks);
    nghttp2_option_del(grpc->http2_options);
    free(grpc);
}

struct grpc *grpc_open(const struct grpc_options *options)
{
    struct grpc *grpc = calloc(1, sizeof(*grpc));
    struct bytes target;
    if (grpc == NULL) return NULL;
    grpc->options = *options;
    grpc->due_ns = INT64_MAX;
    grpc->request_ids.state = options->request_ids_seed;
    const enum route_match match =
        route_find(BYTES("GET"), BYTES("/readyz"), &grpc->ready, &target);
    ENSURE(match == ROUTE_FOUND);
    grpc->stream = stream_open(&(struct stream_options){
        .name = "grpc",
        .terms = options->terms,
        .input_bytes_max = STREAM_READ_BYTES,
        .output_bytes_max = GRPC_UNSENT_BYTES_MAX,
        .protocol = "\x02h2",
        .calls = &stream_calls,
        .self = grpc,
    });
    if (grpc->stream != NULL && grpc_http2_start(grpc)) return grpc;
    grpc_close(grpc);
    return NULL;
}
