/*
 * loop_inner.h: what the files of the loop know of each other: loop.c turns, ruling.c rules one
 * command, calls.c has the calls that are no commands, operations.c has batches of operations and
 * lists of usage.
 */
#pragma once

#include "server/loop.h"
#include "server/routes.h"

enum progress {
    PROGRESS_DONE,    /* answered, or the answer waits with a batch */
    PROGRESS_BLOCKED, /* the open batch is full: the same again when there is room */
    PROGRESS_PARKED   /* somebody has it and will queue it again */
};

#define CONTENT_JSON "application/json"
#define CONTENT_PROBLEM "application/problem+json"
#define CONTENT_YAML "application/yaml"

/* ---- loop.c */

struct stamp loop_stamp(const struct loop *loop);

/* How an answer leaves. */
enum release {
    RELEASE_AT_ONCE, /* it tells nothing of the state */
    RELEASE_IN_ORDER /* by the release rule */
};
/* The body is what stands in batch_answer_buffer of the open batch, or memory of the exchange's own
 * operations. */
void loop_answer(struct loop *loop, struct exchange *exchange, struct answer answer,
                 enum release release);
void loop_answer_problem(struct loop *loop, struct exchange *exchange,
                         const struct problem *problem, enum release release);
/* A problem was rendered: counted, and told where it is the server's fault. */
void loop_note_problem(struct loop *loop, enum problem_code code, struct bytes request_id);
/* The client has gone: nothing is answered. */
void loop_drop(struct loop *loop, struct exchange *exchange);
/* Puts it into a line for something that all have in use, unless `most` wait there already: then it
 * is answered 503. What settles work already done finds room for as many again, and what is under
 * way always. */
enum progress loop_wait_in_line(struct loop *loop, struct exchange *exchange,
                                struct exchange_queue *line, uint32_t most);
/* Asks the desk for an old entry. */
enum progress loop_fetch(struct loop *loop, struct exchange *exchange);
/* Asks it what loop->key_question says. */
enum progress loop_ask_key(struct loop *loop, struct exchange *exchange);
/* Asks the settler what the books say of a customer. */
enum progress loop_ask_head(struct loop *loop, struct exchange *exchange, struct hash128 customer);
void loop_give_job(struct loop *loop, struct exchange *exchange);

/* ---- overload.c */

/* While the open batch is full: answers those in the queue who may not wait any longer. */
void loop_shed(struct loop *loop);
/* Of a request whose turn has come. True: it was answered. */
bool loop_shed_unread(struct loop *loop, const struct asked *asked);
/* Whether it settles work that was done. */
bool loop_is_owed(const struct exchange *exchange);

/* ---- ruling.c */

enum ruled {
    RULED,
    RULED_BLOCKED, /* the open batch is full */
    RULED_FETCH,   /* loop->question must be answered by the desk first */
    RULED_ASK_KEY  /* an answer to loop->key_question is needed first */
};

/* Everything due for the customer of the command is done first; then the command is ruled,
 * journaled and applied, and its answer appended to `out`. `exchange`: has what the desk brought
 * for it; NULL for what needs nothing. status_out: of HTTP; 200 or a problem's. */
enum ruled loop_rule(struct loop *loop, struct command *command, const struct exchange *exchange,
                     struct buffer *out, unsigned *status_out);
/* What is due for anybody up to now, at most `facts_max`. False: blocked with some left. */
bool loop_run_due(struct loop *loop, uint32_t facts_max, uint32_t *done_out);

/* Journals how many joined each crowd; false: blocked with some left. */
bool loop_tell_crowds(struct loop *loop);

/* Journals and applies a seal; the open batch has room. */
void loop_journal_seal(struct loop *loop, const struct command *seal);

/* ---- retention.c */

/* One piece of work towards a shorter journal; false: there is none now. */
bool loop_retain(struct loop *loop);
/* The desk's answer to what retention asked. */
void loop_take_cut(struct loop *loop, struct desk_job *job);
/* More is durable. */
void loop_note_durable_seal(struct loop *loop);

/* ---- calls.c */

/* Parses the exchange of an `asked`, as far as that needs no state; never blocks. */
void loop_prepare(struct loop *loop, struct asked *asked);
enum progress loop_call(struct loop *loop, struct asked *asked);
/* /healthz and /readyz answer also when nothing else does. */
void loop_answer_health(struct loop *loop, struct exchange *exchange);
void loop_answer_ready(struct loop *loop, struct exchange *exchange);

/* What an operator should look at; the server goes on. */
struct condition {
    const char *name;
    bool holds;
};
#define CONDITIONS_MAX 16u
uint32_t loop_conditions(const struct loop *loop, struct condition conditions_out[CONDITIONS_MAX]);
/* Write-ahead logs of the two databases. */
uint64_t loop_journal_log_bytes(const struct loop *loop);
uint64_t loop_ledger_log_bytes(const struct loop *loop);

/* ---- metrics_text.c */

enum progress loop_call_metrics(struct loop *loop, struct exchange *exchange);
/* Renders a piece of the answer to a scrape; false: nobody asks. */
bool loop_tell_metrics(struct loop *loop);

/* How usage is told. */
struct usage_form {
    enum wire_call call; /* WIRE_CALLS: in none of the forms */
    bool is_list;
};
struct usage_form loop_usage_form(const struct exchange *exchange);

/* ---- admission.c */

/* Whether whoever asks may ask that of this route; false: `asked` is refused. Before anything is
 * parsed, and again whenever a key was made or went since (loop_is_admitted). */
bool loop_admit(struct loop *loop, struct asked *asked);
bool loop_is_admitted(const struct loop *loop, const struct exchange *exchange);
/* The same of the command in `asked`, one of a batch's or the exchange's own, which gets what goes
 * with it: the customer that the key is bound to, the actor. False: `asked` has the problem. */
bool loop_admit_command(struct loop *loop, struct exchange *exchange, struct asked *asked);
/* The right of an exchange that is admitted. */
struct access_right loop_right(const struct loop *loop, const struct exchange *exchange);

/* ---- reads.c */

/* A call that is answered from the books. */
enum progress loop_read(struct loop *loop, struct asked *asked);
uint32_t loop_free_readings(const struct loop *loop);
/* Its exchange has been answered. */
void loop_give_reading(struct loop *loop, struct reading *reading);

/* ---- operations.c */

enum progress loop_run_operations(struct loop *loop, struct asked *asked);
