/*
 * load.h: what the parts of `weir load` share.
 *
 *   load.c            options, order of things
 *   load_customers.c  who sends which row; their plans, grants and balances
 *   load_play.c       the trace itself: authorize with an estimate, commit with the actual
 *   load_tally.c      what came of it, and how long it took
 *   load_report.c     the same for eyes and as JSON
 *
 * Factors, speeds and exponents come as decimals and are kept in thousand-millionths, like credits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "main/client.h"
#include "main/pool.h"
#include "main/trace.h"

enum {
    LOAD_SOURCES_MAX = 32,
    LOAD_CODES_MAX = 32,
    LOAD_PAIRS_MAX = 16,
    LOAD_ID_BYTES = 65,
    LOAD_NAME_BYTES = 80,
    LOAD_CUSTOMERS_MAX = 1000000,
    LOAD_BOOKS_CUSTOMERS_MAX = 1000 /* whose books are compared: the first who are used */
};

#define LOAD_SPEED_MAX_GIVEN INT64_C(0) /* `--speed max`: as fast as the connections carry */

/* "name=value", in order. */
struct load_pairs {
    uint32_t count;
    struct {
        char name[LOAD_ID_BYTES];
        char value[LOAD_ID_BYTES];
    } at[LOAD_PAIRS_MAX];
};

struct load_settings {
    const struct server_address *address;
    struct trace_map map;
    struct load_pairs attributes;
    struct load_pairs grants; /* category=credits, for every customer before the play */
    const char *feature;
    const char *plan; /* NULL: whatever they have */
    const char *customer_prefix;
    const char *key_prefix;
    FILE *record; /* NULL: none */
    uint64_t customers;
    uint64_t connections;
    uint64_t attempts;
    int64_t patience_ms; /* without any answer, until the server is given up */
    uint64_t seed;
    int64_t zipf_nano;
    int64_t speed_nano;
    int64_t estimate_nano;
    bool is_uniform;
    bool takes_part;  /* a part of what was asked is welcome */
    bool moves_clock; /* the server's test clock follows the trace */
};

struct load_balance {
    int64_t available;
    int64_t held;
};

/* Of a customer's requests: as the answers told, or as the books have it. */
struct load_books {
    uint64_t requests;
    uint64_t denied;
    int64_t charged; /* nano-credits, by all sources */
};

struct load_customer {
    bool is_used;
    bool is_in_books; /* one of those whose books are read */
    bool is_spoiled;  /* a request of theirs failed: what it moved is not known here */
    struct load_books told;
    struct load_books books_before;
    struct load_books books_after;
    struct load_balance before;
    struct load_balance after;
    int64_t charged; /* by commits, to grants or as debt: what must be gone from the balance */
};

struct load_source {
    char name[LOAD_ID_BYTES];
    char kind[16];
    uint64_t rows;
    uint64_t units;
    int64_t charged;
};

struct load_code {
    char name[LOAD_ID_BYTES];
    char detail[160]; /* of the first of them */
    uint64_t rows;
};

struct load_codes {
    uint32_t count;
    struct load_code at[LOAD_CODES_MAX];
};

struct load_overshoot {
    uint64_t rows;
    uint64_t units;
    int64_t charged;
    int64_t refunded;
};

struct load_latencies {
    uint32_t *microseconds; /* owned; a place per row */
    size_t count;
};

enum load_outcome { LOAD_ALLOWED, LOAD_PARTIAL, LOAD_DENIED, LOAD_FAILED, LOAD_OUTCOMES };

struct load_tally {
    uint64_t outcomes[LOAD_OUTCOMES];
    uint64_t rows_played;
    uint64_t rows_unanswered; /* of those played: their last request had no answer */
    uint64_t requests;
    uint64_t retries;
    uint64_t late;
    uint32_t source_count;
    struct load_source sources[LOAD_SOURCES_MAX];
    struct load_codes denials;
    struct load_codes failures;
    struct load_overshoot overshoot;
    uint64_t underestimated; /* rows that used more than was held for them */
    uint64_t units_held;
    uint64_t units_used;
    bool unit_is_cost;
    struct load_latencies authorize;
    struct load_latencies commit;
    int64_t duration_ns;
    int64_t behind_ns;  /* the most that a row left after its time */
    int64_t silence_ns; /* of a server that was given up for it; else 0 */
};

/* What the audit says: balances, and the books, against what the answers told. */
struct load_verdict {
    uint64_t books_customers; /* compared with their books */
    uint64_t books_differing;
    uint32_t books_first_differing;
    struct load_books told;
    struct load_books found;
    uint64_t customers;
    uint64_t differing;
    uint64_t spoiled;
    int64_t moved;
    int64_t charged;
    uint32_t first_differing;
};

/* load_customers.c */
struct pool_settings load_pool(const struct load_settings *settings);
void load_customer_name(const struct load_settings *settings, uint32_t customer,
                        char name_out[LOAD_NAME_BYTES]);
/* customer_of_out: one per row. */
bool load_assign_customers(const struct load_settings *settings, size_t rows,
                           uint32_t *customer_of_out);
/* Each false when a request was refused or nobody answered, said on stderr. */
bool load_prepare_customers(const struct load_settings *settings, struct load_customer *customers);
/* Whether the feature's units are nano-credits; said by the status of any customer who is used. A
 * feature that the policy or the plan does not have is told on stderr, with --feature. */
bool load_find_unit(const struct load_settings *settings, const struct load_customer *customers,
                    bool *unit_is_cost_out);
enum load_moment { LOAD_BEFORE, LOAD_AFTER };
bool load_read_balances(const struct load_settings *settings, struct load_customer *customers,
                        enum load_moment moment);
/* Until all that was told by now is in the books, for as long as that goes on: what is durable, and
 * how many denials joined crowds in the second that runs. False when they stand still for longer
 * than the patience, or nobody answers, said on stderr. */
bool load_wait_for_books(const struct load_settings *settings,
                         const struct load_customer *customers);
bool load_read_books(const struct load_settings *settings, struct load_customer *customers,
                     enum load_moment moment);
struct load_verdict load_audit(const struct load_settings *settings,
                               const struct load_customer *customers);

/* load_play.c. Ends early, in order, when *stop becomes true or the server is given up. */
bool load_play(const struct load_settings *settings, const struct trace *trace,
               const uint32_t *customer_of, struct load_customer *customers,
               const volatile bool *stop, struct load_tally *tally);
/* The next estimate: never looks at what it estimates, only at the rows before. */
uint64_t load_estimate(uint64_t mean_256ths, int64_t factor_nano);
uint64_t load_mean_after(uint64_t mean_256ths, uint64_t actual);

/* load_tally.c */
bool load_tally_begin(struct load_tally *tally, size_t rows);
void load_tally_free(struct load_tally *tally);
void load_tally_source(struct load_tally *tally, const struct load_source *line);
void load_tally_code(struct load_codes *codes, const char *name, const char *detail);
void load_latencies_add(struct load_latencies *latencies, int64_t latency_ns);
/* When all is in: sources as money usually runs, latencies by size. */
void load_tally_order(struct load_tally *tally);
/* The smallest latency that `per_100000` of all do not exceed; once ordered. 0 when none. */
uint32_t load_latencies_at(const struct load_latencies *latencies, uint32_t per_100000);

/* load_report.c */
struct load_report {
    const struct load_settings *settings;
    const struct load_tally *tally;
    const struct load_verdict *verdict;
    const char *trace_name;
    uint64_t rows;       /* of the trace */
    bool is_audited;     /* the balances after the play were read; else only `customers` is told */
    bool has_books;      /* and the books */
    bool is_proof_asked; /* verify and reconcile ran, too */
    bool is_verified;
    bool is_reconciled;
};
void load_report_text(const struct load_report *report, FILE *file);
void load_report_json(const struct load_report *report, FILE *file);
bool load_report_is_good(const struct load_report *report);
