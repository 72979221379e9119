/*
 * show.h: rows of the books as the contract shows them: JSON, a line of JSON each, or CSV. Credits
 * are decimal strings, times RFC 3339, ids in text.
 */
#pragma once

#include <stdbool.h>

#include "base/base.h"
#include "ledger/read.h"
#include "ledger/usage.h"

/* Ends any group. */
#define SHOW_CLOSE_BYTES 1024u

enum show_form { SHOW_JSON, SHOW_NDJSON, SHOW_CSV };

/* Where rows go. Zeroed but for the first three; a row that does not fit leaves no trace. */
struct show {
    enum show_form form;
    struct buffer out;
    struct buffer scratch; /* as large as the longest row; CSV */
    struct ledger_reader *reader;
    const struct usage_query *usage; /* of show_usage_* */

    /* The group of usage under way. */
    bool in_group;
    size_t group_start;
    enum usage_what section;
    bool section_is_written;
};

/* What stands before the rows of an export: the header of CSV. */
void show_updates_head(struct show *show);
void show_events_head(struct show *show);
void show_usage_head(struct show *show);

/* False: no room for it. */
MUST_USE bool show_update(struct show *show, const struct value *values);
MUST_USE bool show_event(struct show *show, const struct value *values);
/* The lines of a group make one row; show_usage_close ends the last. */
MUST_USE bool show_usage_line(struct show *show, const struct usage_line *line);
void show_usage_close(struct show *show);

/* For receipts: JSON alone. */
MUST_USE bool show_monetization(struct show *show, const struct value *values);
MUST_USE bool show_refund(struct show *show, const struct value *values);

/* "b_0000000000c81.2": a balance update's id. */
void show_update_id(struct buffer *buffer, uint64_t position, uint32_t place);
MUST_USE bool show_parse_update_id(struct bytes text, uint64_t *position_out, uint32_t *place_out);
/* The word of a dimension: "customer", "hour". */
const char *show_dimension(enum usage_dimension by);
