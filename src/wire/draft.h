/*
 * draft.h: a body on its way to being a command: what was read so far, and the worst mistake so
 * far. Private to src/wire.
 *
 * A mistake does not end the reading: only the end of the text tells whether it was JSON at all,
 * and that is said first. So the draft keeps one problem, and a graver one takes its place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "wire/json.h"
#include "wire/schema.h"

enum gravity { GRAVITY_NONE, GRAVITY_VALUE, GRAVITY_SHAPE, GRAVITY_UNSUPPORTED, GRAVITY_TEXT };

#define MEMBERS_MAX 32u /* of any object within a body */

/* One value as read. */
struct value {
    struct bytes text;
    int64_t number; /* integer, nano-credits, instant, index of the word */
    uint64_t id;
    bool boolean;
    bool is_null; /* where value_may_be_null */
};

struct draft {
    struct arena *arena;
    const struct call_rule *call;
    bool
        is_operation; /* of a batch: "op" and "decision_id" stand in the body, problems are named */
    bool is_element;  /* of a list: problems are named */
    uint32_t place;   /* of the operation or element */
    struct command command;

    /* What commands have no place for. */
    uint64_t seen;   /* FIELD_BITs */
    uint64_t unset;  /* FIELD_BITs: seen, but null, which in an event is absent */
    uint64_t target; /* decision_id in the body */
    int64_t now_ms;
    int64_t advance_ms;
    bool confirm_jump;
    struct bytes event_id;
    struct bytes event_source;
    int64_t event_time_ms;
    bool has_id;     /* of a message: its decision_id, which is the path's elsewhere */
    struct bytes id; /* as it stands there */

    /* Where the reading is. */
    bool in_data;           /* of an event: depths count from there */
    enum field field;       /* FIELDS: in none */
    uint32_t ignored_depth; /* within a container deeper than this nothing counts; 0: all counts */
    struct bytes member;    /* in an object within the body: the key at hand */
    bool member_counts;
    bool in_list;
    uint32_t element; /* in a list: of the element at hand */
    uint32_t member_count;
    struct bytes members[MEMBERS_MAX];

    enum gravity gravity;
    struct problem problem;
};

/* Where in the body: the field's path. */
struct place {
    const char *field;   /* NULL: the body as a whole */
    struct bytes member; /* at == NULL: none */
    bool in_list;
    uint32_t element;
};

/* Kept unless something as grave is known already. */
void draft_fault(struct draft *draft, enum gravity gravity, enum problem_code code,
                 struct place place, struct bytes value, const char *expected);

/* Whether the body has the field. */
MUST_USE bool draft_has(const struct draft *draft, enum field field);

/* Puts one checked value of a plain field where it belongs. */
void draft_store(struct draft *draft, enum field field, const struct value *value);

/* Reads the body; that it is no JSON, too deep or too large is noted. */
void draft_read(struct draft *draft, struct bytes body, json_listener *listener, void *self);
/* The same of a whole RESP command. */
void draft_read_resp(struct draft *draft, struct bytes command);
/* The listener for a body that the draft's call describes. */
void draft_hear(void *draft, const struct json_event *event);

/* Tells the draft a message of the call (protobuf_parse.c). */
void draft_read_protobuf(struct draft *draft, enum wire_call call, struct bytes body);
