/*
 * http.h: the HTTP front end: requests become exchanges, answers become responses. One thread.
 *
 * http_h2o.c     requests, answers and pieces, by libh2o
 * http_connection.c    connections: accepting and shedding them, their time, the bytes they hold
 * http_wrongs.c  what no request comes of, and last words on a socket
 * http_tls.c     handshakes and what TLS changes
 * http_head.c    whether bytes can be a request
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/ceilings.h"
#include "server/exchange.h"
#include "server/http_head.h"
#include "server/metrics.h"
#include "server/tls.h"

struct http_options {
    int listener_fd; /* owned from here on */
    uint32_t connections_max;
    uint32_t request_timeout_ms;
    uint32_t write_timeout_ms;
    uint64_t buffers_bytes_max;
    uint64_t request_ids_seed;       /* of those that are made */
    struct metrics_network *network; /* counted into; NULL: nobody asks */
    struct tls *tls;                 /* NULL: none is spoken; owned from here on */
    void (*take)(void *self, struct exchange *exchange);
    void *self;
};

struct http;

/* NULL: no memory. */
MUST_USE struct http *http_open(const struct http_options *options);
/* Calls `on_readable` whenever the descriptor, which stays the caller's, can be read. */
void http_watch(struct http *http, int fd, void (*on_readable)(void *self), void *self);
/* Sleeps up to wait_ms for something to happen, then handles all that is ready. */
void http_turn(struct http *http, int32_t wait_ms);
/* Stops listening, closes idle connections, lets the others finish the request they are at. */
void http_drain(struct http *http);
/* Ends every connection whose answer in pieces has begun, so that its client notices; requests that
 * are not whole yet are refused. */
void http_cut(struct http *http);
uint32_t http_connections(const struct http *http);
/* New connections get this certificate. Owned from here on. */
void http_set_tls(struct http *http, struct tls *tls);
