/*
 * fuzz_json.c: libFuzzer over everything that reads a JSON body. The first byte picks the call, the
 * rest is the body.
 */
#include "wire/trial.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

void assertion_failed(const char *expression, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, expression);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    (void)trial(input, length);
    return 0;
}
