/*
 * value.h: one JSON value against one rule. Private to src/wire.
 */
#pragma once

#include "wire/draft.h"

enum value_fault {
    VALUE_FINE,
    VALUE_SHAPE,     /* of another JSON type */
    VALUE_BAD,       /* of the type, but not allowed */
    VALUE_TOO_LARGE, /* a number beyond what can be counted */
    VALUE_UNKNOWN    /* an identifier that nothing can have */
};

/* value_out is written when VALUE_FINE. */
MUST_USE enum value_fault value_check(const struct field_rule *rule, const struct json_event *event,
                                      struct value *value_out);

/* Where null says that there is to be none. */
bool value_may_be_null(enum rule rule);

const char *value_type_expected(enum rule rule); /* "a string" */
