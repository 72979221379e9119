/*
 * loop.h: the one thread that decides. It takes exchanges, turns them into commands, stamps,
 * decides, applies, puts entries into the open batch, and lets answers go when what they tell is
 * durable.
 *
 * The release rule: an answer that read engine state leaves with the batch that was open when it
 * was made; at once only if nothing is unsealed or in flight. So nobody is ever told what a crash
 * could take back.
 *
 * Group commit: one batch is in flight at the journal's thread (journaling.h) while the next fills.
 * When the journal is idle, what a turn of the loop has gathered is sealed and handed over.
 *
 * A step never waits: what cannot go on now (the batch is full, an old entry is needed) stays
 * queued or parked, and is begun anew from the exchange's bytes when its turn comes again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "server/access.h"
#include "server/batch.h"
#include "server/ceilings.h"
#include "server/crowds.h"
#include "server/desk.h"
#include "server/exchange.h"
#include "server/filing.h"
#include "server/journaling.h"
#include "server/metrics.h"
#include "server/metrics_survey.h"
#include "server/policies.h"
#include "server/retention.h"
#include "server/snapshots.h"
#include "server/telling.h"

#define LOOP_ASKED_MAX 8u /* commands parsed ahead, so that memory can be fetched */
#define LOOP_RUN_ANSWER_BYTES ((size_t)32 << 20)
#define LOOP_DUE_PER_STEP_MAX 256u

/* By what a request has to wait for its turn, least first. */
enum turn_class {
    TURN_UNKNOWN,
    TURN_SHEDDABLE,
    TURN_DEFAULT,
    TURN_CRITICAL,
    TURN_OWED, /* settles work already done; acts of an operator */
    TURN_CLASSES
};

/* One exchange whose turn has come, parsed. */
struct asked {
    struct exchange *exchange;
    bool is_refused; /* problem says why; the engine was not asked */
    struct problem problem;
    struct command command;
    struct arena arena;
    char actor[ACTOR_BYTES_MAX]; /* command.actor is here */
};

/* One POST /v1/batch under way, or one list of usage. */
struct operations {
    bool is_taken;
    struct arena arena;
    struct wire_operation *at;
    uint32_t count;
    uint32_t next;
    struct buffer answer;
};

struct loop_parts {
    struct engine *engine;
    struct clock *clock;
    struct policies *policies;
    struct journaling *journaling;
    struct desk *desk;
    struct keys *keys;           /* NULL: the state alone remembers keys */
    struct snapshots *snapshots; /* NULL: none are made */
    struct settling *settling;   /* NULL: nobody settles, and nothing is ever settled */
    struct bytes admin_key;      /* of --admin-key; empty: none. Read by loop_over only */
    uint64_t tip_sequence;       /* the newest batch of the journal */
    uint64_t (*journal_log_bytes)(const struct journal *journal); /* NULL: it has none */
    int64_t receipts_for_ms;     /* batches older than that may go; 0: none do */
    int64_t usage_for_ms;        /* so may usage events of the books */
    const struct survey *survey; /* NULL: nobody looks at the machine */
    const char *version;         /* of the program; NULL: unknown */
};

struct loop {
    struct loop_parts parts;
    int64_t now_ms; /* of this turn */
    int64_t started_ns;

    struct batch batches[2];
    struct batch *open;
    struct batch *in_flight; /* NULL: the journal is idle */
    uint64_t durable_sequence;
    uint64_t settled_sequence; /* of the books; the journal keeps what is not in them */
    uint64_t snapshot_kept;    /* batch of the older one of the kept snapshots; 0: there is none */
    struct retention retention;
    struct access_guard access;
    struct crowds crowds;

    struct exchange_queue arrived;
    struct exchange_queue desk_waiting;    /* for a free job */
    struct exchange_queue policy_waiting;  /* for the spare room */
    struct exchange_queue run_waiting;     /* for free operations */
    struct exchange_queue reading_waiting; /* for a free one */
    struct exchange_queue head_asked;      /* the settler, in this order */
    struct exchange_queue head_waiting;    /* to ask it */
    struct exchange_queue key_waiting;     /* for a look at key files */
    uint32_t key_looks;                    /* under way */
    struct filing filing;
    bool files_keys;                  /* there is more to do at once */
    struct exchange *policy_exchange; /* has the spare room */
    bool is_blocked;                  /* the open batch is full and the other in flight */
    bool due_waits;                   /* what is due finds no room: asked again later */
    bool is_stopping;
    enum append_result failure; /* APPEND_NONE: all is well */
    const char *failed;         /* what has: "the journal", "settlement" */

    int64_t waited_ns; /* the queue was last looked over for who waited too long */
    uint32_t refusals; /* paid for by what was done, up to REFUSALS_SAVED_MAX */
    uint64_t shed[TURN_CLASSES];
    uint64_t turned_away; /* by a full line of those who wait for something */

    uint64_t jumps_told; /* of the wall clock, logged so far */
    struct telling telling;
    uint32_t exchanges; /* taken and not yet given back */
    uint64_t answers_sent;
    struct metrics metrics;
    struct exchange_queue scrapes; /* the first one's answer is being rendered */
    struct metrics_scrape scrape;
    uint8_t *metrics_block; /* METRICS_BYTES_MAX */

    struct asked asked[LOOP_ASKED_MAX];
    struct operations runs[LOOP_RUNS_MAX];
    struct reading readings[READINGS_MAX];
    uint32_t streams;  /* readings that are exports */
    bool cuts_streams; /* whatever of them is still to be sent */

    /* Scratch of one ruling. */
    struct asked operation;              /* of a batch */
    const struct wire_operation *within; /* the ruling's problems are this operation's; or NULL */
    struct command due_command;
    struct fact fact;
    struct buffer command_bytes;
    struct buffer fact_bytes;
    struct desk_question question;
    struct evidence evidence;
    uint8_t evidence_block[EVIDENCE_BYTES_MAX];
    struct key_question key_question;
    struct balance_view balance;
    struct status_view status;
    struct customer_view customer;
    struct wire_fields fields; /* of the decision rendered last */
    struct bytes request_id;   /* of the exchange at hand, for its problems */
    enum wire_form form;       /* and of its answer */
};

uint64_t loop_bytes(void); /* of zeroes, 64-aligned */
struct loop *loop_over(void *block, struct loop_parts parts);

/* From the network: a request was read, or the piece of an answer is out and the next is wanted.
 * Answered in a later step. */
void loop_take(struct loop *loop, struct exchange *exchange);
/* What front ends ask that answer something themselves: whether who shows this (as the header; at
 * == NULL: nothing) may do what one of these scopes allows, for all customers; 0: anything at all.
 */
bool loop_opens(struct loop *loop, struct bytes authorization, uint32_t scopes,
                struct problem *problem_out);
/* A few numbers for people, "name:value\r\n" below "# Section\r\n". */
void loop_tell_briefly(const struct loop *loop, struct buffer *out);
/* One turn; false: there was nothing to do. */
bool loop_step(struct loop *loop);
/* How long the loop may sleep unless something arrives or its wake is signalled. */
int32_t loop_wait_ms(const struct loop *loop);
/* From here on /readyz says no; what was read is still answered. */
void loop_stop(struct loop *loop);
/* Exports that are still under way end at their next piece, so that their clients notice. */
void loop_cut(struct loop *loop);
/* Nothing is queued, parked, unsealed or in flight. */
bool loop_is_idle(const struct loop *loop);

/* Installs the policy compiled in the spare room, before anything that arrives later; the exchange
 * is answered like any other. */
void loop_take_policy_file(struct loop *loop, struct exchange *exchange);
