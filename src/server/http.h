/*
 * http.h: the HTTP front end: requests become exchanges, answers become responses. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/exchange.h"
#include "server/http_head.h"
#include "server/metrics.h"

/* From the end of one answer (or the accept) until the next request is read whole. Who has begun
 * one is told so (408), who has not is left without a word. */
#define HTTP_REQUEST_TIMEOUT_MS 60000u
/* An answer that nobody reads for so long ends its connection. */
#define HTTP_WRITE_TIMEOUT_MS 60000u
#define HTTP_BODY_BYTES_MAX ((size_t)4 << 20)

struct http_options {
    int listener_fd; /* owned from here on */
    uint32_t connections_max;
    uint32_t request_timeout_ms;     /* HTTP_REQUEST_TIMEOUT_MS, but in tests */
    uint64_t request_ids_seed;       /* of those that are made */
    struct metrics_network *network; /* counted into; NULL: nobody asks */
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
/* Ends every connection whose answer in pieces has begun, so that its client notices. */
void http_cut(struct http *http);
uint32_t http_connections(const struct http *http);
