/*
 * grpc_call.c: one call from its headers to its answer.
 *
 * Memory: a call is given back when both are done with it, the loop and its HTTP/2 stream. Bytes of
 * messages and answers count into the same sum as those of the sockets (--buffers); where there is
 * no room for more, the call that wants it is refused.
 */
#include <stdlib.h>
#include <string.h>

#include <health_c.pb-c.h>

#include "server/grpc_inner.h"

/* grpc.health.v1.HealthCheckResponse: field 1 is SERVING, or NOT_SERVING. */
#define HEALTH_SERVING BYTES("\x08\x01")
#define HEALTH_NOT_SERVING BYTES("\x08\x02")

static const struct {
    const char *path;
    enum wire_call call;
} methods[] = {
    {"/weir.v1.Weir/Authorize", WIRE_AUTHORIZE},
    {  "/weir.v1.Weir/Consume",   WIRE_CONSUME},
    {    "/weir.v1.Weir/Check",     WIRE_CHECK},
    {   "/weir.v1.Weir/Commit",    WIRE_COMMIT},
    {  "/weir.v1.Weir/Release",   WIRE_RELEASE},
    {   "/weir.v1.Weir/Extend",    WIRE_EXTEND},
    {   "/weir.v1.Weir/Report",     WIRE_USAGE},
};
static const char health_path[] = "/grpc.health.v1.Health/Check";

/* ---- memory */

/* What is small is bounded by the number of calls, and not counted in the sum. */
static size_t counted(size_t bytes)
{
    return bytes > BUFFER_FREE_BYTES ? bytes : 0;
}

static void note_held(struct grpc_call *call)
{
    struct metrics_network *network = call->grpc->options.terms.network;
    const size_t bytes = counted(call->message_size) + counted(call->answer_length);
    network->buffers_bytes += bytes - call->held_bytes;
    call->held_bytes = bytes;
}

/* Whether the message may have so much room: the oldest gives way that is not whole either. */
static bool make_room(struct grpc_call *call, size_t size)
{
    const struct grpc_options *options = &call->grpc->options;
    const size_t more = counted(size) - counted(call->message_size);
    const struct problem overloaded = {.code = PROBLEM_OVERLOADED,
                                       .expected = "fewer large messages at once"};
    struct grpc_call *other = list_first(&call->grpc->lines[GRPC_LINE_ARRIVING]);
    while (options->terms.network->buffers_bytes + more > options->terms.buffers_bytes_max &&
           more > 0) {
        while (other != NULL && (other == call || other->held_bytes == 0))
            other = list_after(&other->places[GRPC_LINE_ARRIVING]);
        if (other == NULL) return false;
        struct grpc_call *after = list_after(&other->places[GRPC_LINE_ARRIVING]);
        ++options->terms.network->out_of_buffers;
        grpc_call_refuse(other, &overloaded);
        other = after;
    }
    return true;
}

static void give_message(struct grpc_call *call)
{
    free(call->message);
    call->message = NULL;
    call->message_size = 0;
    note_held(call);
}

static void give_back(struct grpc_call *call)
{
    if (call->is_with_loop || call->session != NULL) return;
    free(call->message);
    free(call->answer);
    call->grpc->options.terms.network->buffers_bytes -= call->held_bytes;
    --call->grpc->calls;
    free(call);
}

static bool has_waited(const struct grpc_call *call)
{
    return clock_monotonic_ns() - call->since_ns >= (int64_t)SHED_AFTER_MS * 1000000;
}

/* At a ceiling the oldest gives way: of calls that are waited for, or of answers that are not
 * taken, whose connection goes. False: there is no place. */
static bool make_place(struct grpc *grpc)
{
    const struct problem overloaded = {.code = PROBLEM_OVERLOADED,
                                       .expected = "fewer calls at once"};
    struct grpc_call *arriving = list_first(&grpc->lines[GRPC_LINE_ARRIVING]);
    struct grpc_call *leaving = list_first(&grpc->lines[GRPC_LINE_LEAVING]);
    if (grpc->calls >= 2 * grpc->options.calls_max) {
        if (leaving != NULL && has_waited(leaving)) grpc_session_cut(leaving->session);
        return false; /* its places are free in the next turn */
    }
    if (grpc->unanswered < grpc->options.calls_max) return true;
    if (arriving == NULL || !has_waited(arriving)) return false;
    ++grpc->options.terms.network->shed;
    grpc_call_refuse(arriving, &overloaded);
    return true;
}

struct grpc_call *grpc_call_begin(struct grpc_session *session, int32_t stream)
{
    struct grpc *grpc = session->grpc;
    struct grpc_call *call = make_place(grpc) ? calloc(1, sizeof(*call)) : NULL;
    if (call == NULL) {
        ++grpc->options.terms.network->turned_away;
        return NULL;
    }
    ++grpc->calls;
    ++grpc->unanswered;
    ++session->call_count;
    session->has_begun = true;
    call->grpc = grpc;
    call->session = session;
    call->stream = stream;
    call->since_ns = clock_monotonic_ns();
    list_append(&session->calls, &call->places[GRPC_LINE_SESSION], call);
    list_append(&grpc->lines[GRPC_LINE_ARRIVING], &call->places[GRPC_LINE_ARRIVING], call);
    return call;
}

void grpc_call_gone(struct grpc_call *call)
{
    for (enum grpc_line_of which = 0; which < GRPC_LINE_SESSION; ++which)
        list_leave(&call->places[which]);
    list_leave(&call->places[GRPC_LINE_SESSION]);
    --call->session->call_count;
    if (!call->is_answered) --call->grpc->unanswered;
    call->is_answered = true;
    call->session = NULL;
    call->exchange.is_gone = true;
    give_back(call);
}

/* ---- answers */

/* Nothing of the request is needed any more that the loop does not have. */
static void note_answered(struct grpc_call *call)
{
    struct grpc *grpc = call->grpc;
    call->is_answered = true;
    --grpc->unanswered;
    list_leave(&call->places[GRPC_LINE_ARRIVING]);
    list_leave(&call->places[GRPC_LINE_DUE]);
    if (!call->is_with_loop) give_message(call);
    call->since_ns = clock_monotonic_ns();
    list_append(&grpc->lines[GRPC_LINE_LEAVING], &call->places[GRPC_LINE_LEAVING], call);
    grpc_session_want_flush(call->session);
}

/* `told` is what the form makes of a problem: its code, a space, its detail. */
static void end_with(struct grpc_call *call, struct bytes told)
{
    const uint8_t *space = told.length > 0 ? memchr(told.at, ' ', told.length) : NULL;
    ENSURE(space != NULL);
    const struct bytes code = {told.at, (size_t)(space - told.at)};
    const struct bytes detail = {space + 1, told.length - code.length - 1};
    enum problem_code problem = PROBLEM_NONE;
    const bool is_known = wire_problem_find(code, &problem);
    ENSURE(is_known);
    grpc_http2_end(call, grpc_status_of(problem), code, detail);
    note_answered(call);
}

void grpc_call_refuse(struct grpc_call *call, const struct problem *problem)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX];
    struct buffer told = buffer_over(block, sizeof(block));
    wire_answer_problem(WIRE_FORM_PROTOBUF, problem, BYTES_NONE, &told);
    ENSURE(!told.overflowed);
    end_with(call, buffer_bytes(&told));
}

void grpc_call_expire(struct grpc_call *call)
{
    if (!call->is_with_loop) {
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_TIMEOUT});
        return;
    }
    call->exchange.is_gone = true; /* what is not decided yet need not be */
    grpc_http2_end(call, GRPC_DEADLINE_EXCEEDED,
                   bytes_of_text(wire_problem_code(PROBLEM_OUTCOME_UNKNOWN)),
                   BYTES("The deadline has passed and the outcome is not known: repeat the call "
                         "with its key"));
    note_answered(call);
}

static void answer_with(struct grpc_call *call, struct bytes message)
{
    const size_t length = GRPC_PREFIX_BYTES + message.length;
    call->answer = malloc(length);
    if (call->answer == NULL) {
        grpc_http2_reset(call, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    call->answer[0] = 0;
    for (unsigned i = 0; i < 4; ++i)
        call->answer[1 + i] = (uint8_t)(message.length >> (24 - 8 * i));
    if (message.length > 0) memcpy(call->answer + GRPC_PREFIX_BYTES, message.at, message.length);
    call->answer_length = length;
    note_held(call);
    grpc_http2_answer(call);
    note_answered(call);
}

/* From the loop, once for each exchange. */
static void send_answer(struct exchange *exchange)
{
    struct grpc_call *call = (struct grpc_call *)exchange;
    const struct answer *answer = &exchange->answer;
    ENSURE(!answer->has_more);
    call->is_with_loop = false;
    if (call->is_answered) {
        give_message(call);
        give_back(call);
        return;
    }
    if (call->what == GRPC_WHAT_HEALTH)
        answer_with(call, answer->status == 200 ? HEALTH_SERVING : HEALTH_NOT_SERVING);
    else if (answer->status == 200)
        answer_with(call, answer->body);
    else
        end_with(call, answer->body);
}

/* ---- headers */

/* A copy of what counts of it. */
static struct bytes keep(struct grpc_call *call, struct bytes value)
{
    const size_t length = value.length < GRPC_VALUE_BYTES_MAX ? value.length : GRPC_VALUE_BYTES_MAX;
    uint8_t *copy = call->values + call->values_used;
    if (sizeof(call->values) - call->values_used < length) return (struct bytes){copy, 0};
    memcpy(copy, value.at, length);
    call->values_used += length;
    return (struct bytes){copy, length};
}

static void keep_once(struct grpc_call *call, struct bytes value, struct bytes *kept)
{
    if (kept->at == NULL) *kept = keep(call, value);
}

static bool begins_with(struct bytes text, struct bytes start)
{
    return text.length >= start.length && bytes_equal((struct bytes){text.at, start.length}, start);
}

/* "application/grpc", "application/grpc+proto", "application/grpc;..." */
static bool is_grpc_type(struct bytes type)
{
    const struct bytes name = BYTES("application/grpc");
    if (!begins_with(type, name)) return false;
    const struct bytes rest = {type.at + name.length, type.length - name.length};
    return rest.length == 0 || rest.at[0] == ';' || begins_with(rest, BYTES("+proto"));
}

void grpc_call_count_header(struct grpc_call *call, size_t bytes)
{
    ++call->headers;
    call->headers_bytes += bytes + 32; /* as HTTP/2 counts */
}

void grpc_call_header(struct grpc_call *call, struct bytes name, struct bytes value)
{
    struct exchange *exchange = &call->exchange;
    grpc_call_count_header(call, name.length + value.length);
    if (bytes_equal(name, BYTES(":method")))
        call->is_post = bytes_equal(value, BYTES("POST"));
    else if (bytes_equal(name, BYTES(":path")))
        keep_once(call, value, &call->path);
    else if (bytes_equal(name, BYTES("content-type")))
        call->is_grpc = is_grpc_type(value);
    else if (bytes_equal(name, BYTES("authorization")))
        keep_once(call, value, &exchange->authorization);
    else if (bytes_equal(name, BYTES("traceparent")))
        keep_once(call, value, &exchange->traceparent);
    else if (bytes_equal(name, BYTES("grpc-timeout")))
        keep_once(call, value, &call->timeout);
    else if (bytes_equal(name, BYTES("idempotency-key")) && exchange->idempotency_key.at != NULL)
        call->has_two_keys |= !bytes_equal(value, exchange->idempotency_key);
    else if (bytes_equal(name, BYTES("idempotency-key")))
        exchange->idempotency_key = keep(call, value);
}

static bool find_method(struct grpc_call *call)
{
    for (size_t i = 0; i < COUNT_OF(methods); ++i) {
        if (!bytes_equal(call->path, bytes_of_text(methods[i].path))) continue;
        call->what = GRPC_WHAT_DECISION;
        call->exchange.route = route_of(WIRE_FORM_PROTOBUF, methods[i].call);
        ENSURE(call->exchange.route != NULL);
        return true;
    }
    if (!bytes_equal(call->path, bytes_of_text(health_path))) return false;
    call->what = GRPC_WHAT_HEALTH;
    call->exchange.route = call->grpc->ready;
    return true;
}

static void start_deadline(struct grpc_call *call)
{
    struct grpc *grpc = call->grpc;
    int64_t timeout_ns = 0;
    if (call->timeout.at == NULL) return;
    if (!grpc_timeout_parse(call->timeout, &timeout_ns)) {
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_INVALID_VALUE,
                                                 .field = "grpc-timeout",
                                                 .value = call->timeout,
                                                 .expected = "1 to 8 digits and a unit"});
        return;
    }
    if (timeout_ns > INT64_MAX - call->since_ns) return;
    call->deadline_ns = call->since_ns + timeout_ns;
    if (call->deadline_ns < grpc->due_ns) grpc->due_ns = call->deadline_ns;
    list_append(&grpc->lines[GRPC_LINE_DUE], &call->places[GRPC_LINE_DUE], call);
}

void grpc_call_headed(struct grpc_call *call)
{
    struct exchange *exchange = &call->exchange;
    if (call->is_answered) return;
    if (!call->is_post || !call->is_grpc) {
        grpc_http2_refuse(call, call->is_post ? "415" : "405");
        note_answered(call);
        return;
    }
    if (!request_id_of_trace(exchange->traceparent, &exchange->request_id))
        exchange->request_id = request_id_make(&call->grpc->request_ids);
    if (call->headers > HTTP_HEADERS_MAX || call->headers_bytes > HTTP_HEADERS_BYTES_MAX)
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_HEADERS_TOO_LARGE,
                                                 .expected = "at most 100 headers and 32 KiB"});
    else if (!find_method(call))
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_NO_ROUTE,
                                                 .value = call->path,
                                                 .expected = "a method of weir.v1.Weir"});
    else if (call->has_two_keys)
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_INVALID_VALUE,
                                                 .field = "idempotency-key",
                                                 .expected = "one key"});
    else
        start_deadline(call);
}

/* ---- the message */

static void refuse_message(struct grpc_call *call, const char *expected)
{
    grpc_call_refuse(call, &(struct problem){.code = PROBLEM_BAD_REQUEST, .expected = expected});
}

/* False: refused. */
static bool read_prefix(struct grpc_call *call)
{
    uint32_t length = 0;
    for (unsigned i = 0; i < 4; ++i)
        length = length << 8 | call->prefix[1 + i];
    call->message_length = length;
    if (call->prefix[0] != 0) {
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_UNSUPPORTED,
                                                 .field = "grpc-encoding",
                                                 .expected = "identity: nothing compressed"});
        return false;
    }
    if (length <= LOOP_BODY_BYTES_MAX) return true;
    grpc_call_refuse(call,
                     &(struct problem){.code = PROBLEM_TOO_LARGE, .expected = "at most 1 MiB"});
    return false;
}

/* Room grows with what has come, not with what is promised. False: refused. */
static bool make_fit(struct grpc_call *call, size_t more)
{
    const size_t needed = call->message_used + more;
    size_t size = call->message_size < 512 ? 512 : call->message_size;
    if (needed <= call->message_size) return true;
    while (size < needed)
        size *= 2;
    if (size > call->message_length) size = call->message_length;
    uint8_t *moved = make_room(call, size) ? realloc(call->message, size) : NULL;
    if (moved == NULL) {
        ++call->grpc->options.terms.network->out_of_buffers;
        grpc_call_refuse(call, &(struct problem){.code = PROBLEM_OVERLOADED,
                                                 .expected = "fewer large messages at once"});
        return false;
    }
    call->message = moved;
    call->message_size = size;
    note_held(call);
    return true;
}

void grpc_call_data(struct grpc_call *call, struct bytes data)
{
    while (data.length > 0 && !call->is_answered) {
        size_t taken;
        if (call->prefix_used < GRPC_PREFIX_BYTES) {
            taken = GRPC_PREFIX_BYTES - call->prefix_used;
            if (taken > data.length) taken = data.length;
            memcpy(call->prefix + call->prefix_used, data.at, taken);
            call->prefix_used += taken;
            if (call->prefix_used == GRPC_PREFIX_BYTES && !read_prefix(call)) return;
        } else {
            taken = data.length;
            if (taken > call->message_length - call->message_used) {
                refuse_message(call, "one message");
                return;
            }
            if (!make_fit(call, taken)) return;
            memcpy(call->message + call->message_used, data.at, taken);
            call->message_used += taken;
        }
        data = (struct bytes){data.at + taken, data.length - taken};
    }
}

/* Whether there is such a service; nobody needs a key to ask. */
static bool check_health_request(struct grpc_call *call)
{
    Grpc__Health__V1__HealthCheckRequest *request = NULL;
    if (call->message_length <= GRPC_VALUE_BYTES_MAX)
        request = grpc__health__v1__health_check_request__unpack(NULL, call->message_length,
                                                                 call->message);
    if (request == NULL) {
        refuse_message(call, "a HealthCheckRequest");
        return false;
    }
    const struct bytes service = {request->service.data, request->service.len};
    const bool is_known = service.length == 0 || bytes_equal(service, BYTES("weir.v1.Weir"));
    grpc__health__v1__health_check_request__free_unpacked(request, NULL);
    if (is_known) return true;
    grpc_http2_end(call, GRPC_NOT_FOUND, BYTES("not_found"),
                   BYTES("No such service: expected weir.v1.Weir, or none"));
    note_answered(call);
    return false;
}

void grpc_call_whole(struct grpc_call *call)
{
    struct exchange *exchange = &call->exchange;
    if (call->is_answered) return;
    if (call->prefix_used < GRPC_PREFIX_BYTES || call->message_used < call->message_length) {
        refuse_message(call, "one whole message");
        return;
    }
    if (call->what == GRPC_WHAT_HEALTH && !check_health_request(call)) return;
    list_leave(&call->places[GRPC_LINE_ARRIVING]);
    exchange->form = WIRE_FORM_PROTOBUF;
    exchange->body = (struct bytes){call->message, call->message_length};
    if (call->what == GRPC_WHAT_HEALTH) exchange->body = BYTES_NONE;
    exchange->taken_ns = clock_monotonic_ns();
    exchange->send = send_answer;
    call->is_with_loop = true;
    call->grpc->options.take(call->grpc->options.self, exchange);
}
