/*
 * server.h: the door of this floor: one server from start to stop. What it says to people goes to
 * standard output, one readable line per fact; what went wrong goes to standard error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "server/ceilings.h"
#include "server/doors.h"
#include "server/listener.h"
#include "server/tls.h"

#define SERVER_SNAPSHOT_EVERY_DEFAULT (UINT64_C(128) << 20)
#define SERVER_SNAPSHOT_EVERY_MIN (UINT64_C(4) << 10)
#define SERVER_SNAPSHOT_EVERY_MAX (UINT64_C(1) << 40)
#define SERVER_MEMORY_DEFAULT (UINT64_C(1) << 30)
#define SERVER_MEMORY_MIN (UINT64_C(16) << 20)
#define SERVER_MEMORY_MAX (UINT64_C(4) << 40)

#define SERVER_RECEIPTS_FOR_MS_DEFAULT (90 * DAY_MS)
#define SERVER_USAGE_FOR_MS_DEFAULT (400 * DAY_MS)
#define SERVER_RETENTION_MS_MAX (36500 * DAY_MS)

struct server_options {
    const char *version;             /* of the program, for operators */
    const char *data;                /* the data directory */
    const char *policy_file;         /* NULL: the policy in force stays */
    struct listener_address address; /* of HTTP; beyond loopback only with keys */
    struct door_address resp;        /* of RESP; likewise */
    struct door_address grpc;        /* of gRPC; likewise */
    const char *admin_key_file;      /* NULL: no key beside those that are journaled */
    bool has_test_clock;
    int64_t test_clock_ms; /* where it starts, unless the journal is further */
    uint64_t memory_bytes; /* address space of the state */
    uint32_t connections_max;
    uint32_t request_timeout_ms;
    uint32_t write_timeout_ms;
    uint64_t buffers_bytes_max;    /* of large requests and answers under way */
    struct tls_files tls;          /* NULLs: none is spoken */
    uint64_t snapshot_every_bytes; /* of journal */
    int64_t receipts_for_ms;       /* what is older leaves the journal */
    int64_t usage_for_ms;          /* and usage events the ledger */
};

enum server_end {
    SERVER_STOPPED, /* asked to: everything acknowledged is durable and all is closed */
    SERVER_REFUSED, /* it did not come to answer: somebody has to do something first */
    SERVER_FAILED   /* it answered, until the journal or the books failed: a new start may do */
};

/* Serves until SIGTERM or SIGINT. */
enum server_end server_run(const struct server_options *options);
