/*
 * exchange.h: the network seam. One request and its answer, without sockets: the HTTP front end
 * makes exchanges out of h2o's requests, tests and the simulator make them out of nothing.
 *
 * Life: the network fills in the request, gives the exchange to loop_take, and gets it back, once,
 * through `send`, which may come at once or batches later. Until then the request's views must
 * live, unless the client is gone: then the network sets is_gone, and only `send` is still called.
 * The answer's views are the loop's and live during `send` only. The loop's thread does all of it.
 *
 * A long answer comes in pieces. `send` with `has_more` lends the exchange to the network: the
 * piece's bytes stay until the network gives the exchange to loop_take again, which it does when
 * they are written out or the client is gone, and not before. So there is one piece at a time, the
 * reader sets the pace, and a slow one holds nothing but that piece. The first piece has status and
 * type for all. The last one, without `has_more`, ends the exchange like any answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "keys/keys.h"
#include "ledger/ledger.h"
#include "server/access.h"
#include "server/request_id.h"
#include "wire/wire.h"

#define ANSWER_HEADERS_MAX 8u

/* Beside Content-Type and Content-Length, which every answer has. */
struct answer_header {
    const char *name; /* a literal in lower case */
    struct bytes value;
};

struct answer {
    unsigned status;
    const char *content_type;
    struct answer_header headers[ANSWER_HEADERS_MAX];
    uint32_t header_count;
    struct bytes body;
    bool has_more; /* the body is a piece, never empty, and another one follows */
    bool is_cut;   /* instead of the next piece: there is none, and the client must notice */
};

/* For metrics; 0: not yet. */
struct exchange_times {
    int64_t begun_ns;   /* the loop turned to it first */
    int64_t turn_ns;    /* and last */
    int64_t waited_ns;  /* between its turns */
    int64_t decided_ns; /* its answer was made, and waits for a batch */
};

/* A queue of exchanges through their `next`. An exchange is in one queue at most. */
struct exchange_queue {
    struct exchange *first;
    struct exchange *last;
    uint32_t count;
};

/* Requests of one connection that are decided in the order in which they came, though several are
 * with the loop: while one is parked, those behind it wait here. Theirs who made it, zero at first;
 * it lives as long as any exchange of it is with the loop. */
struct exchange_line {
    struct exchange *parked; /* NULL: none is */
    struct exchange_queue waiting;
};

/* Beside HTTP's, of which the loop finds the route itself, front ends fill in `form`, `route`,
 * `target` and a body of that form, `method` and `path` not at all. */
struct exchange {
    enum wire_form form;
    struct bytes method;
    struct bytes path;             /* as sent, without the query */
    struct bytes query;            /* as sent, without '?'; empty: none */
    struct bytes content_type;     /* at == NULL: absent */
    struct bytes content_encoding; /* at == NULL: absent */
    struct bytes idempotency_key;  /* at == NULL: absent */
    bool has_two_keys;             /* HTTP: that header again, and another key */
    struct bytes accept;           /* at == NULL: absent */
    struct bytes if_none_match;    /* at == NULL: absent */
    struct bytes authorization;    /* at == NULL: absent */
    struct bytes traceparent;      /* at == NULL: absent */
    struct bytes body;
    struct request_id request_id;
    int64_t taken_ns;     /* clock_monotonic_ns when all of it had been read */
    int64_t unread_ns;    /* how long it lay unread before, while that is long; else 0 */
    _Atomic bool is_gone; /* also read by whoever works long for an answer */

    struct exchange_line *line; /* NULL: it follows nobody */
    const struct route *route;  /* of HTTP: the loop's own */
    struct bytes target;        /* the path's {id}, as sent; of other front ends: as it is */

    struct answer answer;
    void (*send)(struct exchange *exchange);

    /* The loop's own, zero at first. */
    struct exchange *next;
    struct exchange_times times;
    struct access_pass pass;    /* whose it is */
    struct desk_job *job;       /* what the desk brought for it */
    struct key_answer key;      /* what the desk found of its key */
    struct settler_answer head; /* what the settler said of its customer */
    bool has_head;
    struct operations *run;  /* of a batch or list, while under way */
    struct reading *reading; /* of the books */
    bool is_under_way;       /* its first step is done and must not be done again */
    bool was_parked;         /* somebody worked for it: it is not refused for its waiting */
    uint8_t turn;            /* enum turn_class, once it was asked */
};

static inline void answer_add_header(struct answer *answer, const char *name, struct bytes value)
{
    ENSURE(answer->header_count < ANSWER_HEADERS_MAX);
    answer->headers[answer->header_count++] = (struct answer_header){.name = name, .value = value};
}

static inline void exchange_queue_add(struct exchange_queue *queue, struct exchange *exchange)
{
    exchange->next = NULL;
    if (queue->last != NULL)
        queue->last->next = exchange;
    else
        queue->first = exchange;
    queue->last = exchange;
    ++queue->count;
}

static inline void exchange_queue_add_first(struct exchange_queue *queue, struct exchange *exchange)
{
    exchange->next = queue->first;
    queue->first = exchange;
    if (queue->last == NULL) queue->last = exchange;
    ++queue->count;
}

/* NULL when it is empty. */
static inline struct exchange *exchange_queue_take(struct exchange_queue *queue)
{
    struct exchange *exchange = queue->first;
    if (exchange == NULL) return NULL;
    queue->first = exchange->next;
    if (queue->first == NULL) queue->last = NULL;
    --queue->count;
    exchange->next = NULL;
    return exchange;
}
