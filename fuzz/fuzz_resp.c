/*
 * fuzz_resp.c: libFuzzer over everything that reads RESP. The first byte says how many bytes come
 * at a time, the rest is what a client sends.
 */
#include "wire/resp_trial.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length);

void assertion_failed(const char *expression, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, expression);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
    if (length < 2) return 0;
    (void)resp_trial((struct bytes){input + 1, length - 1}, input[0] == 0 ? length : input[0]);
    return 0;
}
