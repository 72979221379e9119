/*
 * testing.h: what every test program of this folder needs once: cmocka with its prerequisites, and
 * an assertion handler that expect_assert_failure can catch. Not part of the library.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"

/* Weak: a test program of several sources has it once. */
__attribute__((weak)) void assertion_failed(const char *expression, const char *file, int line)
{
    mock_assert(0, expression, file, line);
    abort();
}
