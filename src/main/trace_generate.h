/*
 * trace_generate.h: an invented day of a coding assistant, from a seed: same seed, same rows,
 * on every machine.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "main/trace.h"

/* `rows` rows over 24 hours, in order of time: quiet nights, busy afternoons, bursts of minutes.
 * Quantity 0 is tokens read (median 1,500), quantity 1 tokens written (median 120); both have the
 * long tail of a log-normal. False: no memory. */
bool trace_generate(uint64_t rows, uint64_t seed, struct trace *trace_out);

/* About normal, mean 0, deviation 1, in 1/65536: the sum of twelve uniforms less six. */
int64_t generate_normal(struct prng *prng);
/* median · 2^(normal · deviation): a log-normal quantity; the deviation is in 1/65536 octaves. */
uint64_t generate_log_normal(struct prng *prng, uint64_t median, int64_t deviation);
