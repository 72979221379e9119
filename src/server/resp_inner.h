/*
 * resp_inner.h: what the files of the RESP front end know of each other.
 */
#pragma once

#include "engine/engine.h"
#include "platform/platform.h"
#include "server/access.h"
#include "server/resp.h"
#include "server/routes.h"
#include "server/stream.h"
#include "wire/wire.h"

#define RESP_NAME_BYTES_MAX 64u
#define RESP_BLOCK_BYTES 448u /* of a command, and of its answer while that waits */
/* Of the front end's own: an argument that is told back, or COMMAND INFO of as many as there may
 * be. */
#define RESP_ANSWER_BYTES_MAX (RESP_COMMAND_BYTES_MAX + ((size_t)32 << 10))
#define RESP_LINE_ROOM (2 * RESP_LINE_BYTES_MAX)

/* One command with the loop, or answered and waiting for those before it. */
struct resp_command {
    struct exchange exchange; /* first: the one is the other */
    struct resp_connection *connection;
    struct resp_command *next; /* behind it in the pipeline; or free */
    bool is_answered;
    struct bytes answer; /* in `block` or `large` */
    uint8_t *large;      /* what `block` is too small for; NULL */
    uint8_t block[RESP_BLOCK_BYTES];
};

struct resp_connection {
    struct resp *resp;
    struct stream_connection *stream; /* NULL: closed; it waits for its exchanges */
    struct exchange_line line;
    struct resp_reader reader;
    struct resp_command *first; /* of the pipeline, in order */
    struct resp_command *last;
    uint32_t at_work; /* as many */
    uint64_t id;
    bool is_resp3;
    bool waits_alone; /* what comes next waits until nothing is at work */
    bool is_ending;   /* nothing more is taken; it ends when nothing is at work */
    bool has_rest;    /* a part of a command is there */
    uint32_t name_length;
    uint32_t authorization_length; /* 0: it has shown nothing */
    char name[RESP_NAME_BYTES_MAX];
    char authorization[ACCESS_TOKEN_BYTES_MAX + 8]; /* as the header would be */
};

struct resp {
    struct resp_options options;
    struct stream *stream;
    struct prng request_ids;
    struct resp_command *items;
    struct resp_command *free;
    uint32_t items_max;
    uint32_t items_used; /* of those that were never free again */
    uint32_t at_work;    /* of all connections, those included that have left */
    uint64_t connections_so_far;
    uint8_t line_block[RESP_LINE_ROOM];
    uint8_t answer_block[RESP_ANSWER_BYTES_MAX];
};

/* Whether the front end answers it: then `out` has the answer. False: there is no such command. */
bool resp_answer(struct resp_connection *connection, const struct resp_arguments *arguments,
                 struct buffer *out);
/* What the connection has shown, as a header would be; at == NULL: nothing. */
struct bytes resp_authorization(const struct resp_connection *connection);
