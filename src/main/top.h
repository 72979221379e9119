/*
 * top.h: what the parts of `weir top` share.
 *
 *   top.c          options, asking the server, the terminal
 *   top_figures.c  two readings of GET /metrics to what a person wants to know
 *   top_view.c     the same for eyes and as JSON
 *
 * All it needs is the public HTTP API: /healthz, /metrics, /v1/usage.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "main/answer.h"
#include "main/exposition.h"
#include "main/text_table.h"

enum {
    TOP_REASONS_MAX = 6,
    TOP_CALLS_MAX = 6,
    TOP_FEATURES_MAX = 6,
    TOP_CUSTOMERS_MAX = 8,
    TOP_CONDITIONS_MAX = 16,
    TOP_NAME_BYTES = 64
};

enum top_outcome { TOP_ALLOW, TOP_PARTIAL, TOP_DENY, TOP_OUTCOMES };
extern const char *const top_outcome_names[TOP_OUTCOMES];

/* Rates are per second between the two readings; NAN where nothing is known. */
struct top_counter {
    double rate;
    double total; /* since the server was started */
};

struct top_reason {
    char name[TOP_NAME_BYTES];
    struct top_counter denied;
};

struct top_call {
    char name[TOP_NAME_BYTES]; /* "POST /v1/authorize" */
    double rate;
    double p50_s, p90_s, p99_s;
    bool is_look; /* what `weir top` itself calls: comes last */
};

struct top_feature {
    char name[TOP_NAME_BYTES];
    struct top_counter decisions;
    double denied_rate;
    double charged_rate; /* credits */
};

struct top_customer {
    char name[TOP_NAME_BYTES];
    uint64_t requests;
    uint64_t denied;
    int64_t charged; /* nano-credits */
};

struct top_figures {
    struct top_counter outcomes[TOP_OUTCOMES];
    struct top_reason reasons[TOP_REASONS_MAX]; /* the most frequent now, then ever */
    uint32_t reason_count;
    struct top_call calls[TOP_CALLS_MAX];
    uint32_t call_count;
    struct top_feature features[TOP_FEATURES_MAX];
    uint32_t feature_count;
    double batches_rate;
    double batch_entries; /* the mean of those made between the readings */
    double append_p50_s, append_p99_s;
    double lag_s, lag_entries;
    double holds;
    double connections, queued;
    double resident_bytes, record_bytes, log_bytes;
    char conditions[TOP_CONDITIONS_MAX][TOP_NAME_BYTES]; /* that hold */
    uint32_t condition_count;
};

/* `before` NULL: there are totals and no rates. */
void top_figure(const struct exposition *before, const struct exposition *now, double elapsed_s,
                struct top_figures *figures_out);

/* Of the hour that runs and the one before it, once settled; those who ask most come first. */
struct top_customers {
    struct top_customer at[TOP_CUSTOMERS_MAX];
    uint32_t count;
    bool is_cut;    /* there are more customers than were looked at */
    char why[160];  /* nothing could be read; "" otherwise */
    char since[32]; /* RFC 3339 */
};
void top_customers_take(struct top_customers *customers, yajl_val usage);

/* A moment of the server. */
struct top_moment {
    const char *url;
    yajl_val health;                   /* NULL: nobody answered */
    const struct top_figures *figures; /* NULL: the server tells no metrics */
    const char *why;                   /* it does not */
    const struct top_customers *customers;
};
/* At most `rows` lines, unless not even the heads of it fit: what matters less goes first. */
#define TOP_ROWS_ENDLESS UINT32_MAX
void top_view(const struct top_moment *moment, const struct page *page, uint32_t rows);
void top_json(const struct top_moment *moment, FILE *file);

/* The lines of a frame that fit, each cut at the screen's width and wiped behind its end; its last
 * line below them. */
struct top_screen {
    unsigned rows, columns;
    const char *last;
};
void top_frame(FILE *file, const char *text, const struct top_screen *screen);
