/*
 * fuzz_protobuf.c: libFuzzer over the messages of the gRPC contract. The first byte picks the call,
 * the rest is the message.
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
    (void)trial_protobuf(input, length);
    return 0;
}
