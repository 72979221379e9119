/*
 * desk.h: the thread for work that a decision must not wait for: reading old entries from the
 * journal through a connection of its own, compiling policies, reading the books. A job is a slot
 * that belongs to the loop, then to the desk, then to the loop again; it is given back when the
 * exchange it was for has been answered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "platform/platform.h"
#include "server/ceilings.h"
#include "server/exchange.h"
#include "server/harm.h"
#include "server/key_desk.h"
#include "server/policies.h"
#include "server/reading.h"

enum desk_kind { DESK_FETCH, DESK_RECALL, DESK_COMPILE, DESK_CUT, DESK_READ };
enum desk_result {
    DESK_FOUND,
    DESK_MISSING, /* there is no such entry */
    DESK_OLD,     /* there was, and the journal keeps it no longer */
    DESK_FAILED   /* the journal could not be read; compilation: the policy has mistakes */
};

/* What the books say of a decision: the desk asks them between two decisions' entries. */
struct desk_ending {
    uint64_t through;  /* newest batch that was in them */
    uint64_t position; /* of the entry that ended it last; 0, or the decision's own: none did */
    int64_t refunded;  /* so far */
};
/* Whose a decision or grant was that the journal no longer has. */
struct desk_owner {
    bool is_known; /* else there is none of that id, as far as the books go back */
    struct hash128 customer;
    enum category category; /* of a grant; 0: a decision */
};
struct desk_books {
    void *self;
    /* False: they cannot be read. NULL: none are kept. */
    bool (*look_up)(void *self, uint64_t decision, struct desk_ending *ending_out);
    bool (*look_up_owner)(void *self, uint64_t id, struct desk_owner *owner_out);
};

/* What somebody waits for. */
struct desk_question {
    enum desk_kind kind; /* FETCH: an entry whose answer is told again; RECALL: evidence */
    uint64_t position;
    enum recall recall;
    uint64_t id;        /* RECALL: the decision or grant that is asked after */
    struct hash128 key; /* FETCH: what that entry must have bound; zero: nothing */
};

struct desk_job {
    enum desk_kind kind;
    enum desk_result result;
    struct exchange *exchange; /* parked; the desk looks at its is_gone alone */

    /* FETCH, RECALL */
    struct desk_question question;
    uint8_t *block;    /* FACT_BYTES_MAX: what was found */
    struct bytes fact; /* FETCH */
    int64_t at_ms;
    struct bytes evidence; /* RECALL */

    /* COMPILE: of the spare room */
    struct symbols symbols;

    /* CUT: without an exchange. The desk moves cut.first up to cut_last at most, while the batches
     * before it end before before_ms; MISSING: it stays. */
    struct journal_cut cut;
    uint64_t cut_last;
    int64_t before_ms;

    /* READ: one piece or page; in slices, between which other jobs have their turn. */
    struct reading *reading;

    uint32_t next_free;
    bool is_taken;
};

struct desk {
    struct journal *journal; /* a reader */
    struct policies *policies;
    struct desk_books books;
    struct desk_job jobs[DESK_JOBS_MAX + 1]; /* 0 is nobody */
    uint32_t free_first;
    struct ring orders; /* of uint32_t, job numbers: loop -> desk */
    struct ring ends;   /* desk -> loop */
    uint32_t order_items[DESK_JOBS_MAX];
    uint32_t end_items[DESK_JOBS_MAX];
    struct key_desk keys;
    struct harm harm;
    struct wake *loop_wake; /* NULL: nobody sleeps (simulation) */
    struct runner runner;
    bool has_thread;

    /* The desk's own: jobs in their order, and the batch read last. */
    struct ring begun;
    uint32_t begun_items[DESK_JOBS_MAX];
    struct reading_tools tools;
    struct reading_sums sums;
    _Atomic bool is_stopping; /* readings under way are given up */
    uint64_t read_sequence;
    struct bytes read_body;
    struct fact *fact;
    struct evidence *gathered;
};

uint64_t desk_bytes(void); /* of zeroes */
/* keys: NULL where there are no key files. */
struct desk *desk_over(void *block, struct journal *journal, struct policies *policies,
                       struct keys *keys, struct wake *loop_wake);
/* Before the first job. */
void desk_set_books(struct desk *desk, struct desk_books books);
/* What readings are read from, before the first job; without it there are none. Stays the caller's.
 */
void desk_open_books(struct desk *desk, struct ledger_reader *books);
MUST_USE bool desk_start_thread(struct desk *desk);
void desk_stop(struct desk *desk);

/* Loop's side. NULL: all jobs are taken. */
struct desk_job *desk_take_job(struct desk *desk);
void desk_give_job(struct desk *desk, struct desk_job *job);
void desk_order(struct desk *desk, struct desk_job *job);
uint32_t desk_jobs_taken(const struct desk *desk);
struct desk_job *desk_take_end(struct desk *desk); /* NULL: none is done */
void desk_order_key(struct desk *desk, const struct key_order *order);
MUST_USE bool desk_take_key_end(struct desk *desk, struct key_end *end_out);

/* The thread's side. */
bool desk_step(void *desk);
