/*
 * stream.h: connections that are not h2o's: bytes in, bytes out, TLS, and every bound on what they
 * may hold or wait for. What the bytes mean is the front end's (resp.h, grpc.h).
 *
 * A stream is one listener and its connections, in an epoll set of its own, whose descriptor the
 * loop's thread watches beside others (http_watch); all of it runs on that thread:
 *
 *   stream_poll   reads what has come and gives it to the front end; writes what sockets take
 *   stream_turn   once a turn, behind the loop's step: goes on with connections that were held
 * back, writes what was sent meanwhile in one piece for each connection, ends what is over or late
 *
 * Bytes in. `on_bytes` sees all bytes that it has not said to be done with, and says how many of
 * them it is done with now; the view ends with the call. What is left is kept, up to
 * input_bytes_max: a front end whose request may be longer refuses it before. A connection that is
 * held (stream_hold) is not read from, and neither is one whose answers are not taken: so a client
 * that does not read, or asks more than is worked off, fills its own socket and nothing else.
 *
 * Bytes out. `stream_send` copies. At output_bytes_max a connection is not read from until half of
 * that is written out; what is still to be answered then goes over it, so front ends bound what
 * they have at work. on_bytes should leave the rest of its input from there on: it comes again.
 *
 * Waiting. The front end says what is waited for (stream_await): a connection that waits longest
 * for a request gives way to a newcomer when there are connections_max, and each kind of waiting
 * has its time. What connections hold beyond their first block (BUFFER_FREE_BYTES) has a sum;
 * beyond buffers_bytes_max the one that has held more for longest is ended.
 *
 * The front end's connection begins with on_open, when bytes can be sent (after TLS), and ends with
 * on_closed, which comes from stream_poll, stream_turn, stream_drain or stream_cut, never from
 * within another call of the front end's: until then its stream_connection lives, closed or not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "server/ceilings.h"
#include "server/metrics.h"
#include "server/tls.h"

struct stream;
struct stream_connection;

/* What a connection waits for; for how long, the stream's options say. */
enum stream_wait {
    STREAM_FOR_FIRST,   /* its first request, from the accept on: request_timeout_ms */
    STREAM_FOR_REQUEST, /* another one: idle_timeout_ms */
    STREAM_FOR_REST,    /* the rest of a request: request_timeout_ms */
    STREAM_FOR_ANSWER   /* nothing: requests of it are at work */
};

/* Why a connection is ended that has done nothing wrong but wait. */
enum stream_refusal {
    STREAM_TOO_MANY,   /* newcomers need the place, or there is none for this one */
    STREAM_TIMED_OUT,  /* the rest of a request did not come in time */
    STREAM_NO_BUFFERS, /* requests on their way in hold too much together */
    STREAM_STOPPING    /* the server ends before the request is whole */
};

struct stream_calls {
    /* A newcomer can be talked to. NULL: it is closed. What is returned is `client` below. */
    void *(*on_open)(void *self, struct stream_connection *connection);
    size_t (*on_bytes)(void *client, struct bytes input);
    /* The client sends no more; it may still read. Behind on_bytes with all that came before. */
    void (*on_end)(void *client);
    void (*on_closed)(void *client);
    /* Last words, as long as they are short. client: NULL before on_open. NULL: none are said. */
    void (*on_refused)(void *self, void *client, enum stream_refusal why, struct buffer *out);
    /* The server stops: requests that come now are not answered any more. NULL: nothing to say. */
    void (*on_drain)(void *client);
};

/* What a front end is opened with and hands on. */
struct stream_terms {
    int listener_fd; /* owned from here on */
    uint32_t connections_max;
    uint32_t request_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t write_timeout_ms;
    uint64_t buffers_bytes_max;
    struct metrics_network *network; /* counted into */
    const struct tls *tls;           /* NULL: none is spoken; kept by reference of its own */
};

struct stream_options {
    const char *name; /* of the listener, in the log: "resp"; a literal */
    struct stream_terms terms;
    size_t input_bytes_max;  /* of one connection, at least STREAM_READ_BYTES */
    size_t output_bytes_max; /* of one connection, before it is not read from */
    const char *protocol;    /* of ALPN, "\2h2"; "": none, whatever is offered; a literal */
    const struct stream_calls *calls;
    void *self;
};

/* NULL: no memory, or no descriptor. */
MUST_USE struct stream *stream_open(const struct stream_options *options);
/* Readable when stream_poll has something to do. */
int stream_fd(const struct stream *stream);
void stream_poll(void *stream);
void stream_turn(struct stream *stream);
/* Whether stream_turn has something to do at once, so that nobody may sleep before. */
bool stream_must_turn(const struct stream *stream);
/* No new connections; those that wait for a request are closed, the others when they would. */
void stream_drain(struct stream *stream);
/* Of a drained one: requests that are not whole are refused. Answers go on. */
void stream_cut(struct stream *stream);
uint32_t stream_connections(const struct stream *stream);
/* New connections get this certificate. */
void stream_set_tls(struct stream *stream, const struct tls *tls);
/* Closes everything, with on_closed for each. NULL is fine. */
void stream_close(struct stream *stream);

/* ---- of one connection; all of these may be called until on_closed, and do nothing on one that is
 * ended already */

void stream_send(struct stream_connection *connection, struct bytes bytes);
/* Sent and not yet written out. */
size_t stream_unsent(const struct stream_connection *connection);
/* The time for it begins anew unless that is what it waits for already. */
void stream_await(struct stream_connection *connection, enum stream_wait what);
/* on_bytes is not called, and nothing read, until stream_go_on; then with what is left, if anything
 * is, in the next stream_turn. */
void stream_hold(struct stream_connection *connection);
void stream_go_on(struct stream_connection *connection);
/* Ends it when what was sent is written out; nothing more is read. */
void stream_end(struct stream_connection *connection);
/* Ends it at once; the client notices. */
void stream_reset(struct stream_connection *connection);
