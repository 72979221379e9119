/*
 * doors.h: the listeners beside HTTP's, as one: opened together, turned, drained and cut together.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/grpc.h"
#include "server/http.h"
#include "server/listener.h"
#include "server/loop.h"
#include "server/resp.h"
#include "server/stream.h"

/* Where a front end listens; not at all unless `is_open`. */
struct door_address {
    bool is_open;
    bool is_usual; /* nobody asked for it: where its port is taken, the server does without */
    struct listener_address address;
};

struct doors_options {
    struct door_address resp;
    struct door_address grpc;
    uint32_t connections_max; /* of each */
    uint32_t request_timeout_ms;
    uint32_t write_timeout_ms;
    uint64_t buffers_bytes_max; /* of each */
    const char *version;
    const struct tls *tls; /* NULL: none is spoken */
    struct loop *loop;
    struct http *http; /* watches them */
};

struct doors {
    struct resp *resp; /* NULL: none */
    struct grpc *grpc; /* likewise */
    struct stream *streams[FRONT_ENDS];
    uint32_t count;
    bool has_tls;
    uint32_t connections_max;                       /* of each */
    char addresses[FRONT_ENDS][LISTENER_TEXT_SIZE]; /* "": none listens there */
};

/* The log says which one does not listen, as its usual port is taken. False: one could not be
 * opened, and standard error says which; those that were are still closed by doors_close. */
MUST_USE bool doors_open(struct doors *doors, struct doors_options *options);
/* Says on standard output where they listen. */
void doors_tell(const struct doors *doors);
/* Behind the loop's step. */
void doors_turn(struct doors *doors);
/* How long nobody need turn to them; at most wait_ms. */
int32_t doors_wait_ms(const struct doors *doors, int32_t wait_ms);
void doors_drain(struct doors *doors);
void doors_cut(struct doors *doors);
/* Whatever is still under way. */
void doors_close(struct doors *doors);
uint32_t doors_connections(const struct doors *doors);
void doors_set_tls(struct doors *doors, const struct tls *tls);
