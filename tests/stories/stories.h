/*
 * stories.h: one table in chapters. A row says which rules it shows, a line for the stage (play.h,
 * and the engine's world in it), and the answer; tests/rules.py counts the rows of each rule. A
 * story is rows told one after the other in one world, under policies of which the first is in
 * force.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "play.h"

struct row {
    const char *rule; /* "S7 budget_reached": numbered rules, and a word where it helps */
    const char *line;
    const char *answer;
};

/* Fails, after all rows, if one was answered otherwise. */
void tell(const char *const *policies, unsigned policy_count, const struct row *rows,
          unsigned row_count);

#define TELL(policies, rows) tell(policies, COUNT_OF(policies), rows, COUNT_OF(rows))

/* The chapters, in the order of precedence: first why requests are refused, in the order in which
 * reasons are asked, then the rules as SEMANTICS numbers them. Each returns how many stories
 * failed. */
int tell_precedence(void);
int tell_units(void);
int tell_gates(void);
int tell_pace(void);
int tell_sources(void);
int tell_windows(void);
int tell_holds(void);
int tell_idempotency(void);
int tell_time(void);
int tell_books(void);
int tell_answers(void);

/* One credit a message throughout, so that units and credits read alike. */
#define CHAT_FEATURES                                                                 \
    "version: 1\n"                                                                    \
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h}\n"             \
    "features:\n"                                                                     \
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"   \
    "  solid: {meters: [requests], unit: requests, divisible: false, prices: chat}\n" \
    "  extra: {meters: [requests], unit: requests, prices: chat}\n"                   \
    "prices:\n"                                                                       \
    "  chat:\n"                                                                       \
    "    - {name: message, rates: {requests: {credits: \"1\", per: 1}}}\n"

/* Policies under which more than one chapter has rows: story_test.c. */
extern const char *const precedence_policy[1];
extern const char *const holds_policy[1];
extern const char *const grants_policy[1];
extern const char *const edges_policy[1];
extern const char *const rhythm_policy[1];
