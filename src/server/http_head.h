/*
 * http_head.h: whether the bytes that have come can be the beginning of a request. h2o judges them
 * by the same parser a moment later, but closes or answers in plain text where they cannot; this
 * says it as a problem, in time. What h2o lets through though two readers may take it for two
 * different requests is refused here too.
 */
#pragma once

#include "base/base.h"
#include "engine/engine.h"
#include "server/ceilings.h"

enum http_head { HTTP_HEAD_PART, HTTP_HEAD_WHOLE, HTTP_HEAD_WRONG };

/* bytes_out: of the head, when it is WHOLE; problem_out: when it is WRONG. */
enum http_head http_head_judge(struct bytes text, size_t *bytes_out, struct problem *problem_out);
