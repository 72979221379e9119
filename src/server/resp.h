/*
 * resp.h: the RESP front end (API.md section 5): commands of Redis's protocol become exchanges,
 * answers go back in their order. One thread, the loop's.
 *
 * resp.c         connections and their pipelines
 * resp_calls.c   what is answered without the loop: HELLO, AUTH, PING, INFO and the like
 *
 * Commands of one connection are given to the loop as they come, up to RESP_PIPELINE_MAX at a time,
 * in one line (exchange.h): so they are decided in order, share batches, and are answered in order.
 * What the front end answers itself waits until everything before it is answered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/ceilings.h"
#include "server/exchange.h"
#include "server/stream.h"

/* Whom the front end asks for what it does not know. */
struct resp_calls {
    void (*take)(void *self, struct exchange *exchange);
    /* Whether who shows this (as a header would: "Bearer ..."; at == NULL: nothing) may do what one
     * of these scopes allows; 0: anything at all. False: problem_out says why not. */
    bool (*opens)(void *self, struct bytes authorization, uint32_t scopes,
                  struct problem *problem_out);
    /* Lines of INFO, "name:value\r\n" below "# Section\r\n". */
    void (*tell)(void *self, struct buffer *out);
};

struct resp_options {
    struct stream_terms terms;
    uint64_t request_ids_seed; /* of those that are made */
    const char *version;       /* of the program */
    struct resp_calls calls;
    void *self;
};

struct resp;

/* NULL: no memory, or no descriptor. */
MUST_USE struct resp *resp_open(const struct resp_options *options);
/* What is polled, turned, drained and cut. */
struct stream *resp_stream(const struct resp *resp);
/* At the end: exchanges that the loop still has are nobody's. NULL is fine. */
void resp_close(struct resp *resp);
