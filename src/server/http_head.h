/*
 * http_head.h: whether the bytes that have come can be the beginning of a request. h2o judges them
 * by the same parser a moment later, but closes or answers in plain text where they cannot; this
 * says it as a problem, in time. What h2o lets through though two readers may take it for two
 * different requests is refused here too.
 */
#pragma once

#include "base/base.h"
#include "engine/engine.h"

#define HTTP_TARGET_BYTES_MAX 8192u               /* path and query */
#define HTTP_HEADERS_BYTES_MAX ((size_t)32 << 10) /* names and values of one request */
#define HTTP_HEADERS_MAX 100u                     /* h2o's own ceiling */
/* With the request line's other words and four bytes between the parts of each header. */
#define HTTP_HEAD_BYTES_MAX (HTTP_TARGET_BYTES_MAX + HTTP_HEADERS_BYTES_MAX + 1024)

enum http_head { HTTP_HEAD_PART, HTTP_HEAD_WHOLE, HTTP_HEAD_WRONG };

/* bytes_out: of the head, when it is WHOLE; problem_out: when it is WRONG. */
enum http_head http_head_judge(struct bytes text, size_t *bytes_out, struct problem *problem_out);
