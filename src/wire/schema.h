/*
 * schema.h: which call takes which fields, and what each field may hold. Tables, so that the parser
 * is one walk and the tests go through every field of every call. Private to src/wire.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "wire/wire.h"

/* Of an event's source and id together: what their joint leaves of the key (wire.h). */
#define EVENT_NAMES_BYTES_MAX (KEY_BYTES_MAX - 5u)
#define EVENT_NAME_BYTES_MAX (EVENT_NAMES_BYTES_MAX - 1u)

/* What a value must be. The first word of the name is its JSON type. */
enum rule {
    RULE_STRING_NAME,    /* least..most bytes, no control characters */
    RULE_STRING_PATH,    /* likewise, in parts divided by '/' */
    RULE_STRING_TEXT,    /* least..most bytes, no NUL */
    RULE_STRING_WORD,    /* one of words */
    RULE_STRING_CREDITS, /* least..most nano-credits */
    RULE_STRING_FACTOR,  /* least..most billionths, as a decimal; or null */
    RULE_STRING_INSTANT, /* RFC 3339 */
    RULE_INSTANT_OR_NULL,
    RULE_STRING_JSON,     /* a media type that is JSON */
    RULE_STRING_DECISION, /* a decision id */
    RULE_NUMBER_INTEGER,  /* least..most */
    RULE_BOOL,
    RULE_MAP_QUANTITIES, /* up to `most` members: meter -> integer */
    RULE_MAP_ATTRIBUTES, /* name -> string */
    RULE_MAP_LIMITS,     /* [feature/]name -> integer, credits or null, or a list of these */
    RULE_MAP_BUDGETS,    /* [feature/]name -> credits or null */
    RULE_MAP_SUBJECTS,   /* path -> bool */
    RULE_MAP_STANDINGS,  /* path -> standing */
    RULE_MAP_DATA,       /* an event's data: the fields of CALL_EVENT_DATA */
    RULE_LIST_NAMES,     /* least..most distinct names */
    RULE_LIST_WORDS,     /* least..most distinct ones of words */
    RULE_REFUSED,        /* of any type: PROBLEM_INVALID_VALUE */
    RULE_UNSUPPORTED     /* of any type: PROBLEM_UNSUPPORTED */
};

/* field, name, rule, least, most, words (schema.c), what is expected */
#define FIELD_TABLE(X)                                                                             \
    X(FIELD_OP, "op", RULE_STRING_WORD, 0, 0, op_words,                                            \
      "one of authorize, consume, check, commit, release, extend, usage")                          \
    X(FIELD_DECISION_ID, "decision_id", RULE_STRING_DECISION, 0, 0, NULL, "a decision id")         \
    X(FIELD_CUSTOMER, "customer", RULE_STRING_NAME, 1, CUSTOMER_BYTES_MAX, NULL,                   \
      "1 to 256 bytes without control characters")                                                 \
    X(FIELD_SUBJECT, "subject", RULE_STRING_PATH, 1, SUBJECT_BYTES_MAX, NULL,                      \
      "1 to 8 non-empty parts divided by '/', 1 to 512 bytes without control characters")          \
    X(FIELD_FEATURE, "feature", RULE_STRING_NAME, 1, NAME_BYTES_MAX, NULL,                         \
      "1 to 64 bytes without control characters")                                                  \
    X(FIELD_QUANTITIES, "quantities", RULE_MAP_QUANTITIES, 0, METERS_MAX, NULL,                    \
      "at most 8 meters")                                                                          \
    X(FIELD_ATTRIBUTES, "attributes", RULE_MAP_ATTRIBUTES, 0, ATTRIBUTES_MAX, NULL,                \
      "at most 16 attributes")                                                                     \
    X(FIELD_KEY, "idempotency_key", RULE_STRING_NAME, 1, KEY_BYTES_MAX, NULL,                      \
      "1 to 256 bytes without control characters")                                                 \
    X(FIELD_TTL_MS, "ttl_ms", RULE_NUMBER_INTEGER, 1, TTL_MS_MAX, NULL,                            \
      "an integer from 1 to 2592000000")                                                           \
    X(FIELD_MIN_UNITS, "min_units", RULE_NUMBER_INTEGER, 1, (int64_t)QUANTITY_MAX, NULL,           \
      "an integer from 1 to 9007199254740991")                                                     \
    X(FIELD_USE_CREDITS, "use_credits", RULE_BOOL, 0, 0, NULL, "true or false")                    \
    X(FIELD_PRIORITY, "priority", RULE_STRING_WORD, 0, 0, priority_words,                          \
      "one of default, critical, sheddable")                                                       \
    X(FIELD_EXPLAIN, "explain", RULE_BOOL, 0, 0, NULL, "true or false")                            \
    X(FIELD_STATUS, "status", RULE_STRING_WORD, 0, 0, status_words,                                \
      "one of succeeded, failed, moderated")                                                       \
    X(FIELD_DURATION_MS, "duration_ms", RULE_NUMBER_INTEGER, 0, (int64_t)QUANTITY_MAX, NULL,       \
      "an integer from 0 to 9007199254740991")                                                     \
    X(FIELD_COMPUTE, "compute", RULE_STRING_TEXT, 1, TEXT_BYTES_MAX, NULL,                         \
      "1 to 1024 bytes without NUL")                                                               \
    X(FIELD_TIME, "time", RULE_STRING_INSTANT, 0, 0, NULL, INSTANT_EXPECTED)                       \
    X(FIELD_SPECVERSION, "specversion", RULE_UNSUPPORTED, 0, 0, NULL,                              \
      "the content type application/cloudevents+json, or application/cloudevents-batch+json")      \
    X(FIELD_EVENT_SPECVERSION, "specversion", RULE_STRING_WORD, 0, 0, specversion_words, "1.0")    \
    X(FIELD_EVENT_ID, "id", RULE_STRING_NAME, 1, EVENT_NAME_BYTES_MAX, NULL,                       \
      "1 to 250 bytes without control characters")                                                 \
    X(FIELD_EVENT_SOURCE, "source", RULE_STRING_NAME, 1, EVENT_NAME_BYTES_MAX, NULL,               \
      "1 to 250 bytes without control characters")                                                 \
    X(FIELD_EVENT_TYPE, "type", RULE_STRING_NAME, 1, TEXT_BYTES_MAX, NULL,                         \
      "1 to 1024 bytes without control characters")                                                \
    X(FIELD_EVENT_SUBJECT, "subject", RULE_STRING_NAME, 1, TEXT_BYTES_MAX, NULL,                   \
      "1 to 1024 bytes without control characters")                                                \
    X(FIELD_EVENT_TIME, "time", RULE_STRING_INSTANT, 0, 0, NULL, INSTANT_EXPECTED)                 \
    X(FIELD_EVENT_CONTENT_TYPE, "datacontenttype", RULE_STRING_JSON, 0, 0, NULL,                   \
      "application/json, or another type that is JSON")                                            \
    X(FIELD_EVENT_SCHEMA, "dataschema", RULE_STRING_NAME, 1, TEXT_BYTES_MAX, NULL,                 \
      "1 to 1024 bytes without control characters")                                                \
    X(FIELD_EVENT_DATA, "data", RULE_MAP_DATA, 0, 0, NULL, "usage, as an object")                  \
    X(FIELD_EVENT_DATA_BASE64, "data_base64", RULE_UNSUPPORTED, 0, 0, NULL,                        \
      "usage in data, as an object")                                                               \
    X(FIELD_EVENT_KEY, "idempotency_key", RULE_REFUSED, 0, 0, NULL, event_key_expected)            \
    X(FIELD_PLAN, "plan", RULE_STRING_NAME, 1, NAME_BYTES_MAX, NULL,                               \
      "1 to 64 bytes without control characters")                                                  \
    X(FIELD_CREDIT_MODE, "credit_mode", RULE_STRING_WORD, 0, 0, credit_mode_words,                 \
      "one of auto, ask, off")                                                                     \
    X(FIELD_ANCHOR, "anchor", RULE_INSTANT_OR_NULL, 0, 0, NULL, INSTANT_EXPECTED ", or null")      \
    X(FIELD_SUSPENDED, "suspended", RULE_BOOL, 0, 0, NULL, "true or false")                        \
    X(FIELD_SUSPENDED_SUBJECTS, "suspended_subjects", RULE_MAP_SUBJECTS, 0, SUSPENSIONS_MAX, NULL, \
      subject_settings_expected)                                                                   \
    X(FIELD_STANDING, "standing", RULE_STRING_WORD, 0, 0, standing_words,                          \
      "one of normal, restricted, probation, trusted")                                             \
    X(FIELD_SUBJECT_STANDINGS, "subject_standings", RULE_MAP_STANDINGS, 0, SUSPENSIONS_MAX, NULL,  \
      subject_settings_expected)                                                                   \
    X(FIELD_LIMITS, "limits", RULE_MAP_LIMITS, 0, OVERRIDES_MAX, NULL,                             \
      "at most 32 overrides, limits and budgets together")                                         \
    X(FIELD_BUDGETS, "budgets", RULE_MAP_BUDGETS, 0, OVERRIDES_MAX, NULL,                          \
      "at most 32 overrides, limits and budgets together")                                         \
    X(FIELD_AUTO_TOPUP, "auto_topup", RULE_UNSUPPORTED, 0, 0, NULL,                                \
      "no auto_topup (it comes later)")                                                            \
    X(FIELD_CATEGORY, "category", RULE_STRING_WORD, 0, 0, category_words,                          \
      "one of promotional, entitlement, paid")                                                     \
    X(FIELD_CREDITS, "credits", RULE_STRING_CREDITS, 1, GRANT_NANO_MAX, NULL,                      \
      "credits from 0.000000001 to 18014398.509481984, at most 9 decimals")                        \
    X(FIELD_REFUND_CREDITS, "credits", RULE_STRING_CREDITS, 1, BALANCE_NANO_MAX, NULL,             \
      "credits from 0.000000001 to 4611686018.427387904, at most 9 decimals")                      \
    X(FIELD_GRANT_PRIORITY, "priority", RULE_NUMBER_INTEGER, -1000000, 1000000, NULL,              \
      "an integer from -1000000 to 1000000")                                                       \
    X(FIELD_EFFECTIVE_AT, "effective_at", RULE_STRING_INSTANT, 0, 0, NULL, INSTANT_EXPECTED)       \
    X(FIELD_EXPIRES_AT, "expires_at", RULE_STRING_INSTANT, 0, 0, NULL, INSTANT_EXPECTED)           \
    X(FIELD_FEATURES, "features", RULE_LIST_NAMES, 1, GRANT_FEATURES_MAX, NULL, "1 to 8 features") \
    X(FIELD_REASON, "reason", RULE_STRING_TEXT, 1, TEXT_BYTES_MAX, NULL,                           \
      "1 to 1024 bytes without NUL")                                                               \
    X(FIELD_LIMIT, "limit", RULE_STRING_NAME, 1, NAME_BYTES_MAX, NULL,                             \
      "1 to 64 bytes without control characters")                                                  \
    X(FIELD_ALL, "all", RULE_BOOL, 0, 0, NULL, "true or false")                                    \
    X(FIELD_NOW, "now", RULE_STRING_INSTANT, 0, 0, NULL, INSTANT_EXPECTED)                         \
    X(FIELD_ADVANCE_MS, "advance_ms", RULE_NUMBER_INTEGER, 0, INSTANT_MS_MAX, NULL,                \
      "an integer from 0 to 253402300799999")                                                      \
    X(FIELD_CONFIRM_JUMP, "confirm_jump", RULE_BOOL, 0, 0, NULL, "true or false")                  \
    X(FIELD_SCOPES, "scopes", RULE_LIST_WORDS, 1, 4, access_scope_words,                           \
      "1 to 4 of decide, report, read, admin, each once")                                          \
    X(FIELD_LABEL, "label", RULE_STRING_NAME, 1, ACCESS_LABEL_BYTES_MAX, NULL,                     \
      "1 to 64 bytes without control characters")                                                  \
    X(FIELD_OVERRIDE, "override", RULE_STRING_FACTOR, 0, NANO_PER_CREDIT, NULL,                    \
      "a factor from 0 to 1, such as 0.5, or null")                                                \
    X(FIELD_SHED, "shed", RULE_STRING_WORD, 0, 0, shed_words,                                      \
      "one of none, sheddable, default, all")                                                      \
    X(FIELD_LOAD, "load", RULE_UNSUPPORTED, 0, 0, NULL,                                            \
      "override or shed: load signals are not taken yet")

enum field {
#define X(field, name, rule, least, most, words, expected) field,
    FIELD_TABLE(X)
#undef X
        FIELDS
};

struct field_rule {
    const char *name;
    enum rule rule;
    int64_t least;
    int64_t most;
    const char *const
        *words; /* RULE_STRING_WORD, RULE_LIST_WORDS: up to NULL; the index is what is stored */
    const char *expected;
};

extern const struct field_rule field_rules[FIELDS];

#define FIELD_BIT(field) (UINT64_C(1) << (field))

/* Calls that are not of enum wire_call; the second is a part of WIRE_EVENT. */
enum { CALL_CLOCK = WIRE_CALLS, CALL_EVENT_DATA, CALLS };

enum target_kind {
    TARGET_NONE,
    TARGET_CUSTOMER,
    TARGET_DECISION,
    TARGET_GRANT,
    TARGET_KEY,
    TARGET_POOL
};

struct call_rule {
    enum command_kind kind; /* 0: makes no command */
    uint64_t takes;         /* FIELD_BITs */
    uint64_t requires;
    enum target_kind target;
    bool may_be_empty; /* an empty body stands for {} */
    const char *op;    /* as an operation of a batch; NULL: cannot be one */
    bool is_event;     /* of CloudEvents: null is absent, and attributes may be added */
};

extern const struct call_rule call_rules[CALLS];
extern const char event_key_expected[];
extern const char subject_settings_expected[];
extern const char *const standing_words[];
extern const char *const access_scope_words[]; /* the index is the bit of enum access_scope */

MUST_USE bool schema_is_name(struct bytes text, size_t least, size_t most);
MUST_USE bool schema_is_path(struct bytes text, size_t most);
/* Whether a media type, whatever its parameters, is JSON: "application/json", "x/y+json". */
MUST_USE bool schema_is_json_type(struct bytes text);
/* Whether CloudEvents lets an attribute be called so. */
MUST_USE bool schema_is_attribute(struct bytes text);
