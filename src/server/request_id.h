/*
 * request_id.h: what one request is called, in its answer, in problems and in logs: the trace-id of
 * the client's traceparent (W3C Trace Context), so that one word finds it in everybody's records;
 * else 128 random bits. Always 32 lower-case hex digits.
 */
#pragma once

#include <stdbool.h>

#include "base/base.h"

#define REQUEST_ID_LENGTH 32u

struct request_id {
    char text[REQUEST_ID_LENGTH]; /* without a NUL; it begins with one: there is none */
};

/* Reads the header strictly, as the specification wants it: what is not of its form, of version ff,
 * or has a trace-id or parent-id of zeroes alone counts as absent. False: absent. */
MUST_USE bool request_id_of_trace(struct bytes traceparent, struct request_id *id_out);

/* No system call: the generator is seeded once, from the kernel. */
struct request_id request_id_make(struct prng *prng);

/* Empty: there is none. */
static inline struct bytes request_id_bytes(const struct request_id *id)
{
    return (struct bytes){(const uint8_t *)id->text, id->text[0] == '\0' ? 0 : REQUEST_ID_LENGTH};
}
