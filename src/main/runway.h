/*
 * runway.h: how long credits last at a pace, and when that is, for people.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "main/text_table.h"

enum runway_kind {
    RUNWAY_UNKNOWN, /* nothing was charged: there is no pace */
    RUNWAY_EMPTY,   /* nothing is left */
    RUNWAY_LASTS,   /* for `lasts_ms` more */
    RUNWAY_LONG     /* RUNWAY_MS_MAX or more: nobody knows the pace of then */
};

#define RUNWAY_MS_MAX (INT64_C(10) * 365 * 24 * 3600 * 1000)

struct runway {
    enum runway_kind kind;
    int64_t lasts_ms;
};

/* `charged` nano-credits went in the last `span_ms`, above 0; `available` are left. */
struct runway_pace {
    int64_t available;
    int64_t charged;
    int64_t span_ms;
};
struct runway runway_at(struct runway_pace pace);

/* By the local clock, as short as it can be told from `now_ms`: "22:00" on the same day, "Wed
 * 22:00" within six days, else "Dec 1 00:00", and with its year where that is another. */
const char *text_when(int64_t at_ms, int64_t now_ms, char text_out[TEXT_NUMBER_BYTES]);
