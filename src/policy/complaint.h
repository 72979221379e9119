/*
 * complaint.h: saying what is wrong with a policy file: where, what was found, what was expected.
 * What was probably meant is base/suggestion.h's to find.
 */
#pragma once

#include "policy/policy_compile.h"

/* A position in the file, from 1. */
struct place {
    uint32_t line, column;
};

/* Keeps the list sorted. What was said already at the same place is not said twice. */
__attribute__((format(printf, 3, 4))) void
complaints_add(struct policy_complaints *complaints, struct place place, const char *format, ...);

/* Somebody else's text made fit for a message: shortened, without control characters. */
#define QUOTED_BYTES_MAX 64u
struct quoted {
    char text[QUOTED_BYTES_MAX + sizeof "..."];
};
struct quoted quote(struct bytes text);
