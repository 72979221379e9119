/*
 * pool.h: many requests over a fixed number of keep-alive connections, one outstanding on each.
 *
 * The driver says what comes next whenever a connection is free and is told every answer. A request
 * that found no ear, or was answered 503, is sent again, later and later; since every request here
 * carries a key or changes nothing twice, that is safe. Each request is answered to the driver
 * exactly once, with status 0 when the pool gave up.
 *
 * A server that is silent for longer than the pool's patience is given up altogether: what is
 * outstanding is answered with status 0, and the driver is not asked again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "main/client.h"

enum { POOL_CONNECTIONS_MAX = 4096, POOL_REQUEST_BYTES_MAX = 8 << 10 };

struct pool_job {
    uint64_t token;         /* the driver's, handed back with the answer */
    struct buffer *request; /* POOL_REQUEST_BYTES_MAX: to be filled by client_request_put */
};

struct pool_answer {
    uint64_t token;
    unsigned status;    /* 0: nobody answered */
    const char *body;   /* ends with NUL; "" for status 0 */
    int64_t latency_ns; /* from the first attempt's first byte to the whole answer */
};

enum pool_turn {
    POOL_JOB,   /* *job_out is filled */
    POOL_LATER, /* nothing before *at_ns_out, or before another answer */
    POOL_DONE   /* nothing more, unless an answer brings it */
};

struct pool_driver {
    void *self;
    enum pool_turn (*next)(void *self, int64_t now_ns, struct pool_job *job, int64_t *at_ns_out);
    void (*answered)(void *self, const struct pool_answer *answer);
};

struct pool_settings {
    const struct server_address *address;
    uint32_t connections; /* 1..POOL_CONNECTIONS_MAX */
    uint32_t attempts;    /* per request, at least 1 */
    int64_t patience_ns;  /* with requests outstanding and no answer to any; 0: without end */
};

struct pool_counts {
    uint64_t retries;
    int64_t silence_ns; /* that was too long, so that the server was given up; 0: it was not */
};

/* Until the driver is done and everything is answered, or the server is given up. False when the
 * machine refused memory. */
bool pool_run(const struct pool_settings *settings, const struct pool_driver *driver,
              struct pool_counts *counts_out);

int64_t pool_now_ns(void); /* the clock of latencies and of at_ns */
