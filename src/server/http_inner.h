/*
 * http_inner.h: what the files of the HTTP front end know of each other.
 */
#pragma once

#define H2O_USE_LIBUV 0

#include <h2o.h>
#include <h2o/http1.h>

#include "engine/engine.h"
#include "platform/platform.h"
#include "server/http.h"
#include "wire/wire.h"

enum { WATCHES_MAX = 4 };

/* Lines of connections, oldest first. */
enum line_of {
    LINE_WAITING, /* a request of theirs is waited for: since since_ns */
    LINE_HELLO,   /* the first byte of theirs is, on a TLS listener */
    LINE_SHAKING, /* the end of their TLS handshake is */
    LINE_HOLDING, /* more bytes than a connection's first block */
    LINES
};

enum stage {
    STAGE_HELLO,     /* TLS: the first byte is waited for */
    STAGE_HANDSHAKE, /* TLS */
    STAGE_OPEN       /* h2o speaks HTTP on it */
};

/* What h2o's socket does not tell of its connection. */
struct connection {
    struct http *http;
    h2o_socket_t *socket; /* NULL: closed */
    h2o_socket_cb read;   /* h2o's own callbacks, called through ours */
    h2o_socket_cb write;
    h2o_req_t *request;   /* while it is answered */
    size_t request_bytes; /* of its head, then of all of it, in the socket's input */
    size_t held_bytes;    /* of the sum */
    size_t answer_bytes;  /* of an answer on its way out, or of a piece */
    int64_t since_ns;     /* the accept, or the end of the last answer */
    int64_t deadline_ns;  /* for taking what is on its way out; 0: not set yet */
    int64_t owes_ns;      /* since when the next bytes of its handshake are waited for */
    SSL *ssl;             /* of an open TLS connection; the socket's */
    SSL_CTX *ssl_context; /* of a handshake under way, which may need it */
    uint32_t asides;      /* messages of TLS since its handshake that are no bytes of HTTP */
    struct list_place places[LINES];
    enum stage stage;
    bool has_head;     /* of the request under way */
    bool is_parked;    /* its request is with the loop */
    bool was_parked;   /* already when connections were last looked over */
    bool can_be_asked; /* while parked: an interim answer may still come */
    bool is_granted;   /* a step of its handshake */
    bool wants_step;   /* its bytes are there, and it has none */
    bool is_answered;  /* and the answer may still be on its way out */
    bool has_asked;    /* a request of it was read */
    struct connection *next_free;
};

struct piece_generator {
    h2o_generator_t base;
    struct http_exchange *held;
};

/* An exchange as h2o's request has it. It outlives a request whose client has gone, so it is not in
 * the request's pool; the tether is, and the tether's disposal is the request's end. */
struct http_exchange {
    struct exchange exchange;
    struct http *http;
    h2o_req_t *request; /* NULL: the client is gone */
    struct tether *tether;
    struct piece_generator generator; /* of an answer in pieces */
    bool has_begun;                   /* its headers are out */
    bool is_sending;                  /* a piece is with h2o */
    struct http_exchange *next_free;
};

struct watch {
    void (*on_readable)(void *self);
    void *self;
};

struct http {
    struct http_options options;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept_context;
    h2o_socket_t *listener; /* NULL: draining */
    struct tls *tls;
    bool must_turn; /* something was begun that the next turn ends: it must not sleep */
    struct prng request_ids;
    uint32_t shaking;       /* TLS handshakes under way */
    uint32_t shake_steps;   /* of them, left in this turn */
    uint32_t shake_begins;  /* and new ones */
    int64_t swept_ns;       /* connections were last looked over for their time */
    uint32_t swept;         /* up to here */
    uint32_t unread_looks;  /* requests since one was looked at for how long it lay unread */
    int64_t unread_ns;      /* one was last found to have lain there for long ... */
    int64_t unread_from_ns; /* ... as they have been since */
    int64_t told_ns;        /* what was shed and refused was last logged ... */
    uint64_t told;          /* ... and was so much */
    struct metrics_network *network;
    struct metrics_network own; /* where nobody asks */
    struct list lines[LINES];
    uint32_t connections;
    struct http_exchange *exchanges;
    struct http_exchange *free;
    struct connection *connection_items;
    struct connection *connection_free;
    struct watch watches[WATCHES_MAX];
    uint32_t watch_count;
};

static inline struct connection *connection_of(h2o_socket_t *socket)
{
    return socket->on_close.data;
}

static inline struct bytes input_of(const h2o_socket_t *socket)
{
    return (struct bytes){(const uint8_t *)socket->input->bytes, socket->input->size};
}

/* Whether enough is there of the requests behind the one that is answered: no more is read then. */
static inline bool http_is_ahead(const struct connection *connection)
{
    enum { AHEAD_BYTES = 16 << 10 };
    return connection->socket->input->size > connection->request_bytes + AHEAD_BYTES;
}

/* ---- http_h2o.c */

const char *http_reason(unsigned status);
/* What a request is called that no exchange was made of; NULL: of none that was read. */
struct request_id http_name_request(struct http *http, h2o_req_t *request);
h2o_socket_t *http_watch_fd(struct http *http, int fd, h2o_socket_cb on_readable, void *data);

/* ---- http_connection.c */

void http_line_add(enum line_of which, struct connection *connection);
void http_give_connection(struct http *http, struct connection *connection);
void http_on_accept(h2o_socket_t *listener, const char *error);
/* From now on a request of it is waited for. */
void http_await(struct connection *connection);
/* What it holds now, of input and of an answer; makes room if the sum passes its ceiling. The
 * connection may be closed on return, unless it `is_kept`. */
void http_hold(struct connection *connection, bool is_kept);
/* How long the request that was just read has lain unread, if that is what requests do now. */
void http_note_unread(struct connection *connection, struct exchange *exchange);
/* The next piece of looking over connections for their time; tells the log what was refused. */
void http_sweep(struct http *http);
/* Its client notices, and what it holds is given back. */
void http_reset(struct connection *connection);
void http_reset_at_close(h2o_socket_t *socket);

/* ---- http_wrongs.c */

/* Puts our callbacks in front of those that h2o has set. */
void http_stand_between(struct connection *connection);
/* h2o has a socket without a request under way: tells what is wrong and lets it close. */
void http_refuse_unfinished(struct connection *connection, struct problem problem);
/* Without TLS, on any socket, as the last word. */
void http_tell_bare(struct http *http, int fd, struct problem problem);
/* Whether h2o waits for bytes of a request. */
bool http_is_reading(const struct connection *connection);
/* What lies in the input before h2o is asked is judged here. False: it was refused and told. */
bool http_judge_input(struct connection *connection);
void http_on_parked_readable(h2o_socket_t *socket, const char *error);

/* ---- http_tls.c */

void http_tls_accept(struct connection *connection);
/* Its handshake is over, one way or the other. */
void http_tls_end_handshake(struct connection *connection);
void http_tls_give_up(struct connection *connection);
/* The client has said that it sends no more. */
bool http_tls_has_ended(const struct connection *connection);
/* Sends what is given, sealed, and the end of the stream: the last words on a TLS connection. */
void http_tls_say_last(struct connection *connection, struct bytes text);
/* Sends it, sealed, where h2o has nothing on its way out. */
void http_tls_say(struct connection *connection, struct bytes text);
