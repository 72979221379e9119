/*
 * reading.h: one GET that is answered from the books: a receipt, a statement, usage events, sums of
 * usage. The loop makes it of a request; the desk works on it, a slice at a time so that others get
 * their turn; the loop sends what it wrote: a page, or an export piece by piece.
 *
 * A reading belongs to the loop, then to the desk, then to the loop again, with its desk job.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "ledger/ledger.h"
#include "server/ceilings.h"

#define READING_BYTES ((size_t)1 << 20) /* an answer or piece, and scratch; committed on touch */
#define READING_PIECE_BYTES ((size_t)32 << 10) /* a piece is sent when it is so long */
#define READING_LIMIT_DEFAULT 100u
#define READING_LIMIT_MAX 1000u
#define READING_FILTER_BYTES_MAX 512u

enum reading_what { READING_RECEIPT, READING_LEDGER, READING_EVENTS, READING_USAGE };

/* What a step came to. */
enum reading_end {
    READING_GOES_ON, /* nothing to send yet: another step, when others had theirs */
    READING_PIECE,   /* `out` has a piece, and there is more */
    READING_DONE,    /* `out` has the answer, or the last piece: may be empty */
    READING_REFUSED, /* `problem` */
    READING_FAILED   /* the books cannot be read */
};

struct reading {
    /* The loop's. */
    bool is_taken;
    bool has_head;
    bool is_stream;  /* counted among them */
    bool is_sending; /* its answer has begun */
    uint64_t wanted; /* batch that should be settled first: durable when the request came */
    int64_t asked_ns;
    enum reading_end end;

    /* What is asked. Texts are in `text`. */
    enum reading_what what;
    enum show_form form;
    struct bytes customer;
    struct bytes bound_to;      /* nothing of another customer is shown; empty: of anybody */
    struct settler_answer head; /* of the customer */
    uint64_t decision;
    struct hold_view hold; /* of the decision, as the state knows it */
    bool has_hold;
    bool has_limit;
    uint32_t limit;
    bool has_before;
    struct bytes before; /* LEDGER: an id or a number; EVENTS: an id; USAGE: bytes of a key */
    struct ledger_events events;
    struct usage_query usage;
    struct symbols symbols;

    /* The desk's. */
    bool has_begun;
    uint32_t taken;         /* rows */
    uint64_t before_number; /* LEDGER: rows of this number and newer are passed over; 0: none */
    struct ledger_state state;
    struct ledger_walk walk;
    struct usage_scan scan;
    struct show show;
    bool is_limit;          /* the limit ended the rows, and there are more */
    uint64_t last_position; /* of the row taken last */
    uint32_t last_place;
    struct problem problem;

    struct arena text;
    uint8_t text_block[12 << 10];
    uint8_t *block; /* READING_BYTES */
};

struct harm;

/* Of a page of usage that had more behind it, for the next one. */
struct reading_kept {
    bool is_kept;
    uint32_t number; /* of the scan */
    int64_t kept_ns;
    struct ledger_state state; /* as of which they are */
    struct usage_query query;  /* texts are in `text` */
    uint8_t text[USAGE_FILTERS * READING_FILTER_BYTES_MAX];
};
struct reading_sums {
    uint32_t scans; /* there were: each has a number of its own */
    struct reading_kept kept[READING_SUMS_MAX];
};

/* What a step works with. */
struct reading_tools {
    struct ledger_reader *books;
    struct reading_sums *sums;
    struct journal *journal; /* a reader */
    struct command *command; /* scratch */
    struct fact *fact;
    struct harm *harm;
};

/* Whether everything of a reading is sent in pieces. */
static inline bool reading_is_stream(const struct reading *reading)
{
    return reading->form != SHOW_JSON;
}

/* What was written, to be sent. */
static inline struct bytes reading_out(const struct reading *reading)
{
    return buffer_bytes(&reading->show.out);
}
const char *reading_content_type(const struct reading *reading);

/* reading_query.c: makes a reading of its request; what, block and text are set. False:
 * *problem_out says which parameter is wrong. `target`: decoded. bound_to: the one customer that
 * may be asked about; empty: all. */
MUST_USE bool reading_parse(struct reading *reading, struct bytes target, struct bytes query,
                            struct bytes accept, struct bytes bound_to,
                            struct problem *problem_out);

enum reading_end reading_step(struct reading *reading, const struct reading_tools *tools);
/* Instead of a step, when nobody waits for it any more: forgets what was gathered. */
enum reading_end reading_give_up(struct reading *reading, const struct reading_tools *tools);

/* reading_sums.c: of a reading of usage that begins, and of one whose page is full. Kept: they are
 * not the reading's any more. */
void reading_sums_take(struct reading *reading, const struct reading_tools *tools);
MUST_USE bool reading_sums_keep(struct reading *reading, const struct reading_tools *tools);

/* reading_receipt.c */
enum reading_end reading_receipt(struct reading *reading, const struct reading_tools *tools);
