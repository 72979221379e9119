/*
 * resp_render.h: answers as RESP. Private to src/wire; wire_answer_report and wire_answer_problem
 * are the door.
 */
#pragma once

#include "wire/wire.h"

void resp_render_report(const struct report *report, struct symbols symbols, struct buffer *buffer);
/* One line; what is the server's fault names the request, so that its log can be found. */
void resp_render_problem(const struct problem *problem, struct bytes request_id,
                         struct buffer *buffer);
