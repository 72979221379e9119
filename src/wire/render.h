/*
 * render.h: pieces of answers that are the same in every form. Private to src/wire.
 */
#pragma once

#include <stdint.h>

#include "wire/wire.h"

/* Whole seconds, no shorter than the milliseconds; 0 for what is not positive. */
uint64_t render_seconds_up(int64_t ms);

/* What an edge passes on as header fields. */
void render_fields(const struct report *report, int64_t at_ms, struct symbols symbols,
                   struct wire_fields *fields_out);
