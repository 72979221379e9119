/*
 * assert.h: the third kind of answer, "we failed".
 *
 * An outcome is a domain answer, a fault is the world failing, an assertion is a bug of ours: it
 * stops the process, in production too, because a ledger that goes on after a broken invariant
 * writes wrong rows that look right.
 */
#pragma once

/* Provided by the program (platform/assert.c; tests link the same). Never returns. */
__attribute__((noreturn)) void assertion_failed(const char *expression, const char *file, int line);

#define ENSURE(expression) \
    ((expression) ? (void)0 : assertion_failed(#expression, __FILE__, __LINE__))

#define MUST_USE __attribute__((warn_unused_result))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
