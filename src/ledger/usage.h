/*
 * usage.h: what was used, summed up: by whom, of what, when, and who paid.
 *
 * A sum is taken from the rollup where whole hours are asked for and from the usage events where
 * an hour is cut, and where the rollup is not yet. Both are the same view of the events
 * (usage_exploded), so the sum equals a scan of them. Where hours are not told apart, days that
 * were whole when the sum began are taken from usage_days, which are sums of the rollup and final.
 *
 * It is taken in steps, each a transaction of its own, while settlement goes on. Every event up to
 * the cursor at the beginning is in it once; of hours not over yet some later ones may be. Where
 * retention takes events before the step that would have summed them, the sum is lost.
 *
 * Where customers are told apart, groups come customer by customer, and are given a span of
 * customers at a time: the first soon, whatever the whole is, and memory is that of a span. Who
 * goes on behind a group sums up nothing before its customer. Otherwise the sum is one, and given
 * when it is whole.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "ledger/read.h"

enum usage_dimension {
    BY_CUSTOMER,
    BY_SUBJECT,
    BY_FEATURE,
    BY_MODEL,
    BY_ORIGIN,
    BY_ENDPOINT,
    BY_OUTCOME,
    BY_SOURCE, /* what one source gave: requests and quantities are no source's */
    BY_HOUR,
    BY_DAY,
    USAGE_DIMENSIONS
};
#define USAGE_FILTERS BY_HOUR /* those before can be asked for by value */

#define USAGE_AFTER_BYTES 4096 /* a group's key: names of their ceilings */
#define USAGE_NAME_BYTES 512   /* a customer's name and a byte */

struct usage_query {
    int64_t from_ms;                  /* from <= time < to */
    int64_t to_ms;                    /* INT64_MAX: no end */
    struct bytes only[USAGE_FILTERS]; /* at == NULL: any; views live as long as the scan */
    uint32_t group_count;             /* 0: one group of all */
    enum usage_dimension group_by[USAGE_DIMENSIONS]; /* each once */
};

enum usage_phase {
    USAGE_START,
    /* Of all customers at once. */
    USAGE_ROLLUP,
    USAGE_TAIL,
    USAGE_EDGES,
    /* Span by span. */
    USAGE_BEHIND,
    USAGE_SPAN,
    USAGE_SPAN_ROLLUP,
    USAGE_SPAN_EVENTS,
    USAGE_SUMMED /* there are groups to be given: of all, or of the span */
};

/* A stretch of the usage events: positions first <= p <= last, times from <= t < to. */
struct usage_stretch {
    uint64_t first, last;
    int64_t from_ms, to_ms;
    bool is_tail; /* behind the rollup; else an hour that is cut */
};

/* A stretch of sums already made: from <= start < to. */
struct usage_part {
    bool is_days; /* usage_days; else usage_rollup */
    int64_t from_ms, to_ms;
};

/* A sum under way. Opaque but for `state`, `is_cut` and `is_lost`. */
struct usage_scan {
    struct usage_query query;
    uint32_t number; /* of the scan, among those under way on one reader */
    enum usage_phase phase;
    struct ledger_state state; /* when it began */
    bool is_cut;  /* an hour is cut whose events retention has taken: there is no sum */
    bool is_lost; /* retention took events meanwhile: begun anew, there is one, or it is cut */
    int64_t hours_from_ms, hours_to_ms;
    struct usage_part parts[3]; /* hours, days, hours; in the order of time */
    uint32_t part_count, part;  /* of how many, the one under way */
    int64_t at_hour_ms;         /* its rows up to this key are summed */
    struct buffer at_customer;
    uint64_t rolled_least;
    struct usage_stretch tail;         /* behind the rollup */
    struct usage_stretch stretches[3]; /* hours that are cut; span by span: the tail too */
    uint32_t stretch_count;
    uint64_t events_from; /* the first position of all stretches; UINT64_MAX: there are none */
    /* The span: customers from <= name < to. */
    bool is_last_span;
    uint32_t slots;      /* of hours and days there were, and */
    uint32_t slots_seen; /* there are so far */
    struct buffer span_from, span_to;
    struct buffer after; /* the group given last */
    /* Keys are ordered by customer first; `query` has group_by in that order, and these the places
     * where it was asked for. */
    uint32_t places[USAGE_DIMENSIONS];
    uint8_t customer_block[USAGE_NAME_BYTES];
    uint8_t span_blocks[2][USAGE_NAME_BYTES];
    uint8_t after_block[USAGE_AFTER_BYTES];
};

void usage_scan_begin(struct usage_scan *scan, const struct usage_query *query, uint32_t number);
/* One step. LEDGER_END: there is something to give, or is_cut, or is_lost. */
enum ledger_read usage_scan_step(struct ledger_reader *reader, struct usage_scan *scan);

/* One line of a group: the event line first (all requests), then meters, overshoot, sources. */
enum usage_what { USAGE_WHAT_EVENT, USAGE_WHAT_METER, USAGE_WHAT_OVERSHOOT, USAGE_WHAT_SOURCE };
struct usage_line {
    bool is_first;            /* of its group */
    const struct value *keys; /* one for each of group_by; hour and day: instants */
    enum usage_what what;
    struct bytes name; /* of the meter or source */
    int64_t requests, denied;
    int128 units, charged, quantity, duration_ms;
};
/* False: the group is not taken, nor what was taken of it: it comes first at the next call. */
typedef bool usage_taker(void *self, const struct usage_line *line);
/* The groups in the order of their keys, some whole ones a call. LEDGER_MORE: call again, behind
 * further steps if the phase says so. */
enum ledger_read usage_scan_take(struct ledger_reader *reader, struct usage_scan *scan,
                                 usage_taker *take, void *self);
/* Goes on behind a group instead: its key as bytes of scan->after. False: that is no key. */
MUST_USE bool usage_scan_behind(struct usage_scan *scan, struct bytes after);
/* All groups there are, of all customers: another scan may give the rest of them. */
bool usage_scan_is_whole(const struct usage_scan *scan);
/* As many lines as they have; UINT64_MAX: it cannot be read. */
uint64_t usage_scan_lines(struct ledger_reader *reader, const struct usage_scan *scan);
/* The same query was summed under this number, by a scan that was whole and was not ended: what is
 * given now is of that one. */
void usage_scan_go_on(struct usage_scan *scan, uint32_t number);
/* Forgets the sum; also of one that did not come to its end. */
void usage_scan_end(struct ledger_reader *reader, struct usage_scan *scan);
