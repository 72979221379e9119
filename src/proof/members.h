/*
 * members.h (private): the members of the small flat JSON values in the ledger's columns. The same
 * texts that people read with SQL are what is priced anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define MEMBER_TEXT_MAX 512u

/* One name and value of an object: either a text, unescaped, or a whole number. */
struct member {
    uint8_t name_block[MEMBER_TEXT_MAX];
    uint8_t text_block[MEMBER_TEXT_MAX];
    struct bytes name;
    bool is_text;
    struct bytes text;
    int64_t number;
};

struct members {
    const uint8_t *at;
    const uint8_t *end;
    bool is_bad;
};

/* Over an object, or over an array of objects: members_next_object goes to each. */
struct members members_of_object(struct bytes json);
struct members members_of_array(struct bytes json);
MUST_USE bool members_next_object(struct members *members);
/* False: the object is over, or is_bad is set. */
MUST_USE bool members_next(struct members *members, struct member *member_out);
