/*
 * grpc_http2.c: one HTTP/2 connection. nghttp2 keeps the protocol; here is what its callbacks mean
 * for calls, and how much of what asks for nothing is borne.
 *
 * A client may open a stream and reset it at once, again and again (rapid reset), or send frames
 * that only make work: settings, pings, window updates, empty data. Both are counted by the second;
 * who goes beyond is sent GOAWAY with ENHANCE_YOUR_CALM and is not listened to any more. Resets
 * that the client makes us send count as his.
 */
#include <stdlib.h>
#include <string.h>

#include "server/grpc_inner.h"

#define HEADER_VALUE(text) ((uint8_t *)(uintptr_t)(text))

enum {
    MESSAGE_BYTES_MAX = 1024, /* of grpc-message, encoded */
    CALM_PER_CALL = 8         /* frames of unrest that go with each call */
};

/* False: it is one too many in this second. */
static bool bear(struct grpc_rate *rate, uint32_t most)
{
    const int64_t second = clock_monotonic_ns() / 1000000000;
    if (rate->second != second) *rate = (struct grpc_rate){.second = second};
    return ++rate->count <= most;
}

void grpc_session_part(struct grpc_session *session, uint32_t error)
{
    nghttp2_session *http2 = session->http2;
    if (session->is_over) return;
    (void)nghttp2_submit_goaway(http2, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(http2), error, NULL, 0);
    session->is_over = error != NGHTTP2_NO_ERROR;
    grpc_session_want_flush(session);
}

static void lose_patience(struct grpc_session *session)
{
    if (session->is_over) return;
    ++session->grpc->options.terms.network->shed;
    grpc_session_part(session, NGHTTP2_ENHANCE_YOUR_CALM);
}

void grpc_session_cut(struct grpc_session *session)
{
    if (session->is_over) return;
    ++session->grpc->options.terms.network->readers_cut;
    session->is_over = true;
    stream_reset(session->connection);
}

static void note_reset(struct grpc_session *session)
{
    if (!bear(&session->resets, GRPC_RESETS_PER_SECOND_MAX)) lose_patience(session);
}

static void note_unrest(struct grpc_session *session)
{
    if (!bear(&session->unrest, GRPC_UNREST_PER_SECOND_MAX)) lose_patience(session);
}

static struct grpc_call *call_of(nghttp2_session *http2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(http2, stream);
}

/* ---- what has come */

static int on_begin_headers(nghttp2_session *http2, const nghttp2_frame *frame, void *self)
{
    struct grpc_session *session = self;
    const int32_t stream = frame->hd.stream_id;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (session->is_over) return 0;
    struct grpc_call *call = grpc_call_begin(session, stream);
    if (call == NULL) {
        (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct grpc_rate *unrest = &session->unrest;
    unrest->count -= unrest->count < CALM_PER_CALL ? unrest->count : CALM_PER_CALL;
    return nghttp2_session_set_stream_user_data(http2, stream, call);
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *self)
{
    struct grpc_session *session = self;
    struct grpc_call *call = call_of(http2, frame->hd.stream_id);
    (void)flags;
    if (call == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* nobody's: not read */
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        grpc_call_header(call, (struct bytes){name, name_length},
                         (struct bytes){value, value_length});
    else /* behind a message: they say nothing, but take as much time */
        grpc_call_count_header(call, name_length + value_length);
    /* A block of headers that packs its like many times over is not even read to its end. */
    if (call->headers_bytes <= GRPC_HEADERS_BORNE * HTTP_HEADERS_BYTES_MAX) return 0;
    lose_patience(session);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *http2, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t length, void *self)
{
    struct grpc_call *call = call_of(http2, stream);
    (void)flags;
    (void)self;
    if (call != NULL) grpc_call_data(call, (struct bytes){data, length});
    return 0;
}

static int on_frame(nghttp2_session *http2, const nghttp2_frame *frame, void *self)
{
    struct grpc_session *session = self;
    struct grpc_call *call = call_of(http2, frame->hd.stream_id);
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool is_data = frame->hd.type == NGHTTP2_DATA;
    if (session->is_over) return 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        note_reset(session);
    } else if (frame->hd.type == NGHTTP2_HEADERS) {
        if (call != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) grpc_call_headed(call);
    } else if (!is_data || (frame->hd.length == 0 && !ends)) {
        note_unrest(session);
    }
    const bool has_end = ends && (is_data || frame->hd.type == NGHTTP2_HEADERS);
    if (has_end && call != NULL && !session->is_over) grpc_call_whole(call);
    return 0;
}

static int on_stream_close(nghttp2_session *http2, int32_t stream, uint32_t error, void *self)
{
    struct grpc_call *call = call_of(http2, stream);
    (void)error;
    if (call != NULL) grpc_call_gone(call);
    grpc_session_want_flush(self);
    return 0;
}

/* A call that is answered before it was whole is not waited for. */
static int on_sent(nghttp2_session *http2, const nghttp2_frame *frame, void *self)
{
    const int32_t stream = frame->hd.stream_id;
    const bool ends =
        frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        note_reset(self);
    if (ends && nghttp2_session_get_stream_remote_close(http2, stream) == 0)
        return nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- what goes out */

static nghttp2_nv header(const char *name, struct bytes value)
{
    return (nghttp2_nv){.name = HEADER_VALUE(name),
                        .value = HEADER_VALUE(value.at),
                        .namelen = strlen(name),
                        .valuelen = value.length,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* One that is another each time: in HPACK's table it would be looked past by all that follow. */
static nghttp2_nv passing_header(const char *name, struct bytes value)
{
    nghttp2_nv made = header(name, value);
    made.flags = NGHTTP2_NV_FLAG_NO_INDEX;
    return made;
}

static void check_sent(struct grpc_call *call, int result)
{
    if (result != 0) grpc_http2_reset(call, NGHTTP2_INTERNAL_ERROR);
}

void grpc_http2_reset(struct grpc_call *call, uint32_t error)
{
    (void)nghttp2_submit_rst_stream(call->session->http2, NGHTTP2_FLAG_NONE, call->stream, error);
    grpc_session_want_flush(call->session);
}

void grpc_http2_refuse(struct grpc_call *call, const char *http_status)
{
    const nghttp2_nv headers[] = {header(":status", bytes_of_text(http_status))};
    check_sent(call, nghttp2_submit_response(call->session->http2, call->stream, headers,
                                             COUNT_OF(headers), NULL));
}

void grpc_http2_end(struct grpc_call *call, enum grpc_status status, struct bytes code,
                    struct bytes message)
{
    uint8_t status_block[4];
    uint8_t message_block[MESSAGE_BYTES_MAX];
    struct buffer number = buffer_over(status_block, sizeof(status_block));
    struct buffer text = buffer_over(message_block, sizeof(message_block));
    buffer_put_decimal(&number, status);
    grpc_message_put(&text, message);
    const nghttp2_nv headers[] = {
        header(":status", BYTES("200")),
        header("content-type", BYTES("application/grpc")),
        header("grpc-accept-encoding", BYTES("identity")),
        header("grpc-status", buffer_bytes(&number)),
        passing_header("grpc-message", buffer_bytes(&text)),
        header("weir-code", code),
        passing_header("x-request-id", request_id_bytes(&call->exchange.request_id)),
    };
    check_sent(call, nghttp2_submit_response(call->session->http2, call->stream, headers,
                                             COUNT_OF(headers), NULL));
}

static ssize_t read_answer(nghttp2_session *http2, int32_t stream, uint8_t *out, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *self)
{
    struct grpc_call *call = source->ptr;
    const size_t left = call->answer_length - call->answer_at;
    const size_t length = left < room ? left : room;
    (void)self;
    memcpy(out, call->answer + call->answer_at, length);
    call->answer_at += length;
    if (call->answer_at < call->answer_length) return (ssize_t)length;
    const nghttp2_nv trailers[] = {
        header("grpc-status", BYTES("0")),
        passing_header("x-request-id", request_id_bytes(&call->exchange.request_id)),
    };
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(http2, stream, trailers, COUNT_OF(trailers)) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)length;
}

void grpc_http2_answer(struct grpc_call *call)
{
    const nghttp2_nv headers[] = {
        header(":status", BYTES("200")),
        header("content-type", BYTES("application/grpc")),
        header("grpc-accept-encoding", BYTES("identity")),
    };
    const nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_answer};
    check_sent(call, nghttp2_submit_response(call->session->http2, call->stream, headers,
                                             COUNT_OF(headers), &provider));
}

/* ---- the session */

bool grpc_http2_start(struct grpc *grpc)
{
    if (nghttp2_session_callbacks_new(&grpc->callbacks) != 0) return false;
    if (nghttp2_option_new(&grpc->http2_options) != 0) return false;
    nghttp2_session_callbacks *callbacks = grpc->callbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_option_set_no_closed_streams(grpc->http2_options, 1);
    /* Ours come first; these are nghttp2's own against the same. */
    nghttp2_option_set_max_outbound_ack(grpc->http2_options,
                                        (size_t)2 * GRPC_UNREST_PER_SECOND_MAX);
    const uint64_t resets = UINT64_C(2) * GRPC_RESETS_PER_SECOND_MAX;
    nghttp2_option_set_stream_reset_rate_limit(grpc->http2_options, resets, resets);
    return true;
}

struct grpc_session *grpc_session_open(struct grpc *grpc, struct stream_connection *connection)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,       GRPC_STREAMS_MAX},
        {  NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADERS_BYTES_MAX},
    };
    struct grpc_session *session = calloc(1, sizeof(*session));
    if (session == NULL) return NULL;
    session->grpc = grpc;
    session->connection = connection;
    if (nghttp2_session_server_new2(&session->http2, grpc->callbacks, session,
                                    grpc->http2_options) != 0) {
        free(session);
        return NULL;
    }
    if (nghttp2_submit_settings(session->http2, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) !=
        0) {
        nghttp2_session_del(session->http2);
        free(session);
        return NULL;
    }
    grpc_session_want_flush(session);
    return session;
}

void grpc_session_take(struct grpc_session *session, struct bytes input)
{
    if (session->is_over) return;
    const ssize_t taken = nghttp2_session_mem_recv(session->http2, input.at, input.length);
    /* Not HTTP/2, or a flood: nothing of it can be understood any more. */
    if (taken < 0) {
        (void)nghttp2_session_terminate_session(session->http2, taken == NGHTTP2_ERR_FLOODED
                                                                    ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                    : NGHTTP2_PROTOCOL_ERROR);
        session->is_over = true;
    }
    grpc_session_want_flush(session);
}

void grpc_session_close(struct grpc_session *session)
{
    struct grpc_session **link = &session->grpc->flushes;
    while (*link != NULL && *link != session)
        link = &(*link)->next;
    if (*link != NULL) *link = session->next;
    while (list_first(&session->calls) != NULL)
        grpc_call_gone(list_first(&session->calls));
    nghttp2_session_del(session->http2);
    free(session);
}

void grpc_session_want_flush(struct grpc_session *session)
{
    if (session->wants_flush) return;
    session->wants_flush = true;
    session->next = session->grpc->flushes;
    session->grpc->flushes = session;
}

/* Calls have their own times; the connection waits for what nobody else looks after. Of one that is
 * being drained the stream reads only while it waits for the rest of something. */
static void await_next(struct grpc_session *session)
{
    enum stream_wait what = session->has_begun ? STREAM_FOR_REQUEST : STREAM_FOR_FIRST;
    if (session->call_count > 0)
        what = session->grpc->is_draining ? STREAM_FOR_REST : STREAM_FOR_ANSWER;
    stream_await(session->connection, what);
}

void grpc_session_flush(struct grpc_session *session)
{
    const uint8_t *at;
    ssize_t length;
    while ((length = nghttp2_session_mem_send(session->http2, &at)) > 0)
        stream_send(session->connection, (struct bytes){at, (size_t)length});
    const bool is_done = nghttp2_session_want_read(session->http2) == 0 &&
                         nghttp2_session_want_write(session->http2) == 0;
    const bool is_drained = session->grpc->is_draining && session->call_count == 0;
    if (length < 0 || session->is_over || is_done || is_drained)
        stream_end(session->connection);
    else
        await_next(session);
}
