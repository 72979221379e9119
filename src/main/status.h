/*
 * status.h: what the parts of `weir status` share: status.c asks, status_view.c lays out and
 * writes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "main/answer.h"
#include "main/text_table.h"

/* What was charged lately, by the books. */
struct status_pace {
    const char *span; /* "the last hour" */
    int64_t span_ms;
    int64_t charged; /* nano-credits */
    char why[160];   /* it is not known; "" when it is */
};
enum { STATUS_PACES = 2 };

struct status_facts {
    const char *customer;
    const char *subject; /* NULL: the customer's own */
    bool is_unseen;      /* no settings, no balance: the limits are the default plan's */
    int64_t now_ms;      /* by the server's clock */
    int64_t lag_ms;      /* how far the books are behind */
    yajl_val settings;
    yajl_val status;
    yajl_val balance;
    struct status_pace paces[STATUS_PACES];
};

void status_view(const struct status_facts *facts, const struct page *page);

/* Answers as they came. */
struct status_bodies {
    const char *status;
    const char *settings;
    const char *balance;
};
/* The same as one object. */
void status_json(const struct status_facts *facts, const struct status_bodies *bodies, FILE *file);
