/*
 * complaint.h: saying what is wrong with a policy file: where, what was found, what was expected,
 * and what was probably meant.
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

/* Which of the offered words was probably meant: start, offer all, look at `best` (length 0: none
 * is near). Distance counts inserted, lost, wrong and swapped letters; case does not matter. */
struct suggestion {
    struct bytes word;
    struct bytes best;
    uint32_t distance;
};
struct suggestion suggestion_for(struct bytes word);
void suggestion_offer(struct suggestion *suggestion, struct bytes candidate);
