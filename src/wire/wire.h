/*
 * wire.h: the door of src/wire. JSON bodies -> commands, reports and views -> JSON bodies. No
 * sockets, no clock, no allocation but from the arena that is passed.
 *
 * Parsing (SEMANTICS A3): what is not JSON or not of the contract's shape is 400, a well-formed
 * value that is wrong is 422; when a body has several mistakes, "not JSON" comes before shape,
 * shape before values, and among equals the first in the text. Every problem names its field by
 * path
 * ("quantities.input_tokens", "operations[3].ttl_ms") and the value found there.
 *
 * Commands and problems are views into the body, the target, the key and the arena: these must
 * outlive them.
 *
 * Rendering is a pure function of its arguments; a replayed entry renders to the same bytes. The
 * caller checks buffer.overflowed; the upper bounds are below.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "wire/json_write.h"
#include "wire/resp.h"
#include "wire/words.h"

enum wire_call {
    WIRE_AUTHORIZE,
    WIRE_CONSUME,
    WIRE_CHECK,
    WIRE_USAGE,
    WIRE_COMMIT,   /* target: decision id */
    WIRE_RELEASE,  /* target: decision id */
    WIRE_EXTEND,   /* target: decision id */
    WIRE_CUSTOMER, /* target: customer */
    WIRE_GRANT,    /* target: customer */
    WIRE_RESET,    /* target: customer */
    WIRE_VOID,     /* target: grant id */
    WIRE_REFUND,   /* target: decision id */
    WIRE_KEY_CREATE,
    WIRE_KEY_REVOKE, /* target: key id */
    WIRE_POOL,       /* target: a pool's name */
    WIRE_EVENT,      /* usage as a CloudEvent */
    WIRE_CALLS
};

#define WIRE_DEPTH_MAX 16u
#define WIRE_OPERATIONS_MAX 1000u
#define WIRE_PROBLEM_VALUE_BYTES_MAX 128u /* of a value shown in a problem */

/* An arena of this size suffices for any body (the second: for a batch and its operations one at a
 * time). Ordinary bodies need much less: 10 KiB and four times the longest string, all of it given
 * back on return; the body's length once more, if it has escapes, stays. A body whose longest
 * string does not find room is answered PROBLEM_TOO_LARGE. */
#define WIRE_PARSE_ARENA_BYTES(body_bytes) (32 * (size_t)1024 + 6 * (size_t)(body_bytes))
#define WIRE_BATCH_ARENA_BYTES(body_bytes) (192 * (size_t)1024 + 6 * (size_t)(body_bytes))

/* How a front end writes requests and answers. What they mean is the same: equal requests make
 * equal commands in all forms, so an idempotency key means one request whatever way it comes. */
enum wire_form { WIRE_FORM_JSON, WIRE_FORM_RESP, WIRE_FORM_PROTOBUF, WIRE_FORMS };

struct wire_request {
    enum wire_call call;
    enum wire_form form; /* of the body */
    struct bytes body;
    struct bytes target;     /* the {id} of the path, percent-decoded */
    struct bytes header_key; /* the Idempotency-Key header; at == NULL: absent */
};

/* command_out is written whole on success only; problem_out on failure only. Calls that take no key
 * ignore header_key. In WIRE_FORM_PROTOBUF the body is the call's message of api/weir.proto, which
 * has AUTHORIZE, CONSUME, CHECK, USAGE, COMMIT, RELEASE and EXTEND: with its decision_id, target is
 * not read; what has its default is absent; fields that the contract does not know are refused.
 * RELEASE, VOID and KEY_REVOKE take an empty body for {}. KEY_CREATE makes a
 * command without the secret's hash.
 *
 * Overrides of limits: an integer, credits or null is place 0; in an array each element is its own
 * place, null among them. Null makes an override with `removed`. "feature/name" is cut at its first
 * '/'.
 *
 * EVENT is one CloudEvent 1.0 in structured mode, with usage as its data. Its key is
 * "<bytes of source>:<source>:<id>", so that source and id cannot run into each other; no other key
 * is taken. Its time is the usage's unless the data has one. Attributes that are null are absent,
 * those that nobody knows are passed over. */
MUST_USE bool wire_parse(const struct wire_request *request, struct arena *arena,
                         struct command *command_out, struct problem *problem_out);

/* The command that a call makes. */
enum command_kind wire_command_kind(enum wire_call call);

/* One operation of a batch, or element of a list, not parsed further than its own bytes. */
struct wire_operation {
    uint32_t index;
    bool is_element;        /* of a list: has no "op" */
    enum wire_call call;    /* WIRE_CALLS: it is no object, or its "op" is none: see problem */
    struct bytes body;      /* a view into the batch's body */
    struct problem problem; /* told by wire_parse_operation */
};

/* The batch's own shape: {"operations": [...]}, 1 to WIRE_OPERATIONS_MAX of them, all of the body
 * well-formed JSON. The array is in the arena. */
MUST_USE bool wire_parse_batch(struct bytes body, struct arena *arena,
                               struct wire_operation **operations_out, uint32_t *count_out,
                               struct problem *problem_out);
/* A list of bodies of one call: [...], up to WIRE_OPERATIONS_MAX of them; else as a batch. */
MUST_USE bool wire_parse_list(enum wire_call call, struct bytes body, struct arena *arena,
                              struct wire_operation **operations_out, uint32_t *count_out,
                              struct problem *problem_out);
/* One operation, when its turn comes; problems are the operation's own. The arena may be cut back
 * to where it was once the command is no longer needed. */
MUST_USE bool wire_parse_operation(const struct wire_operation *operation, struct arena *arena,
                                   struct command *command_out, struct problem *problem_out);

/* POST /v1/clock: exactly one of the three. */
enum wire_clock_kind { WIRE_CLOCK_NOW, WIRE_CLOCK_ADVANCE, WIRE_CLOCK_CONFIRM_JUMP };
struct wire_clock {
    enum wire_clock_kind kind;
    int64_t ms; /* NOW: the instant; ADVANCE: how far, 0..INSTANT_MS_MAX */
};
MUST_USE bool wire_parse_clock(struct bytes body, struct arena *arena, struct wire_clock *clock_out,
                               struct problem *problem_out);

/* Names that come by path or query, percent-decoded: the same rules as in bodies. */
enum wire_name { WIRE_NAME_CUSTOMER, WIRE_NAME_SUBJECT, WIRE_NAME_FEATURE };
MUST_USE bool wire_check_name(enum wire_name which, struct bytes text, struct problem *problem_out);

/* Upper bounds of rendered answers, for names of their ceilings and every byte escaped. */
#define WIRE_REPORT_BYTES_MAX (512 * (size_t)1024)
#define WIRE_PROBLEM_BYTES_MAX (8 * (size_t)1024)
#define WIRE_CUSTOMER_BYTES_MAX ((LIMIT_VIEWS_MAX + 4) * (size_t)1024)
#define WIRE_ACCESS_BYTES_MAX (1024 * (size_t)1) /* no control characters in its names */
#define WIRE_BALANCE_BYTES_MAX ((GRANT_VIEWS_MAX + 1) * (size_t)4096)
#define WIRE_STATUS_BYTES_MAX(features) ((8 + 48 * (size_t)(features)) * 1024)

/* What an edge passes on of a decision as header fields, of
 * draft-ietf-httpapi-ratelimit-headers-10: lists of structured fields, a member per limit as long
 * as there is room for whole ones. Empty: the decision met no window. */
#define WIRE_FIELD_BYTES_MAX 1024u
struct wire_fields {
    uint32_t policy_length; /* RateLimit-Policy */
    uint32_t limit_length;  /* RateLimit */
    char policy[WIRE_FIELD_BYTES_MAX];
    char limit[WIRE_FIELD_BYTES_MAX];
};

/* Any report's answer: decisions, commit, release, extend, grant, void, reset, refund. For callers
 * without a view at hand, CUSTOMER gives {"effective_at"} and POLICY {"version"}. at_ms is the
 * entry's. HTTP status 200. Not for COMMAND_DUE. fields_out: the answer's body has them too. */
void wire_render_report(const struct report *report, int64_t at_ms, struct symbols symbols,
                        struct buffer *buffer, struct wire_fields *fields_out);

/* The same as a message of api/weir.proto, canonically encoded. For reports of the calls that it
 * has. */
void wire_render_report_protobuf(const struct report *report, int64_t at_ms, struct symbols symbols,
                                 struct buffer *buffer);

/* For receipts, members of an object under way: what a decision said, explained whether that was
 * asked for or not; and what was asked of it. */
void wire_put_decision(const struct report *report, int64_t at_ms, struct symbols symbols,
                       struct buffer *buffer);
void wire_put_request(const struct command *command, struct buffer *buffer);

/* The same and problems in the form that was asked in. Pure functions too: a replay in another form
 * tells the same. fields_out is of use in WIRE_FORM_JSON alone. In WIRE_FORM_PROTOBUF a problem is
 * no message: its code, a space, and its detail as text. */
void wire_answer_report(enum wire_form form, const struct report *report, int64_t at_ms,
                        struct symbols symbols, struct buffer *buffer,
                        struct wire_fields *fields_out);
void wire_answer_problem(enum wire_form form, const struct problem *problem,
                         struct bytes request_id, struct buffer *buffer);

/* application/problem+json, with the status of wire_problem_status. An empty request_id is not
 * shown. */
unsigned wire_problem_status(enum problem_code code);
const char *wire_problem_code(enum problem_code code);
/* The other way round; false: there is no such code. */
MUST_USE bool wire_problem_find(struct bytes code, enum problem_code *code_out);
void wire_render_problem(const struct problem *problem, struct bytes request_id,
                         struct buffer *buffer);
/* What its detail says: one line, escaped as in JSON, without quotes around it. */
void wire_put_detail(const struct problem *problem, struct buffer *buffer);
/* Its `detail` alone, as plain text. */
void wire_render_detail(const struct problem *problem, struct buffer *buffer);
/* The same of one operation: "quantities.furlongs" is "operations[3].quantities.furlongs" there, or
 * "[3].quantities.furlongs" in a list; a problem without a field is the operation's. For problems
 * that wire_parse_operation did not raise: its own are named already. */
void wire_render_operation_problem(const struct wire_operation *operation,
                                   const struct problem *problem, struct buffer *buffer);
/* PROBLEM_POLICY_INVALID with one string per mistake ("file:line:column: ..."). Bound: 1 KiB + 6
 * bytes per byte of the strings. */
void wire_render_policy_problem(const struct bytes *errors, uint32_t count, struct bytes request_id,
                                struct buffer *buffer);

void wire_render_customer(struct bytes customer, const struct customer_view *view,
                          struct symbols symbols, struct buffer *buffer);
/* `settled`: of the books, no newer than the view. */
void wire_render_balance(struct bytes customer, const struct balance_view *view, int64_t settled,
                         struct symbols symbols, struct buffer *buffer);

/* A pool of the policy, as an element of a list: what the policy says of it, what it runs at and
 * why. `tiers`: those of the plans, in no order, some twice. */
struct wire_pool {
    const struct pool_rule *rule;
    struct pool_view view;
    uint32_t tiers[PLANS_MAX];
    uint32_t tier_count;
};
#define WIRE_POOL_BYTES_MAX (8 * (size_t)1024)
void wire_render_pool(const struct wire_pool *pool, struct symbols symbols, struct buffer *buffer);

/* An access key. `secret`: the one time that it is told; NULL. */
void wire_render_access(const struct access_view *view, const char *secret, int64_t now_ms,
                        struct buffer *buffer);

/* Status is rendered feature by feature: begin, any number of features, end. */
void wire_status_begin(struct bytes customer, struct bytes subject, struct buffer *buffer);
void wire_status_feature(const struct status_view *view, struct symbols symbols,
                         struct buffer *buffer);
/* balance: NULL for a customer never seen (all "0"). */
void wire_status_end(const struct balance_view *balance, bool allowed, struct buffer *buffer);

/* A batch's answer: {"results": [...]}: begin, then wire_batch_next before each answer or problem
 * is rendered into the same buffer, end. Problems stand where their answer would. */
void wire_batch_begin(struct buffer *buffer);
void wire_batch_next(struct buffer *buffer);
void wire_batch_end(struct buffer *buffer);

void wire_render_clock(int64_t now_ms, struct buffer *buffer); /* {"now": RFC 3339} */
/* {"version": n, "content_hash": 16 hex digits, "changed": bool, "installed_at", "from_file"} */
void wire_render_policy(const struct engine_policy_info *info, bool changed, bool from_file,
                        struct buffer *buffer);
