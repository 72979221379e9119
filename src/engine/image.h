/*
 * image.h: the state as bytes, and bytes as a state again.
 *
 * An image is made while decisions go on. engine_image_begin sets the mark; from then on apply and
 * sweep write out each object that they are about to change for the first time since the mark, as
 * it still is, and engine_image_step writes the others, a bounded piece at a time. So the image is
 * exactly the state at the mark, and nobody ever waits for all of it.
 *
 * The bytes say what the state means, not how it lies in memory: objects with their fields, each
 * with the identity of its own, in any order, without block numbers (but customers' own). Chains,
 * free lists, indexes, sums and who is due when are made anew at loading, in whatever memory there
 * is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define IMAGE_VERSION 3u /* a program reads its own version and the one before */

struct engine;

/* Starts an image of the state as it is now; none is being made. at_ms: the time, no earlier than
 * any stamp that was applied and any at which was swept: what is over by then need not be in the
 * image, so a state loaded from it must not be asked about the time before. The records go to
 * `out`, each one whole; when one finds no room, `overflowed` is set and the image is worth nothing
 * any more. */
void engine_image_begin(struct engine *engine, int64_t at_ms, struct buffer *out);
/* Writes about so many bytes more (looking at objects counts as well). True: the image is complete
 * and ended. */
MUST_USE bool engine_image_step(struct engine *engine, uint64_t bytes);
/* From here on the records go to `out`. */
void engine_image_redirect(struct engine *engine, struct buffer *out);
/* Gives up the image that is being made, if one is. */
void engine_image_stop(struct engine *engine);
/* An image is being made: apply and sweep may write to `out`. */
bool engine_image_is_running(const struct engine *engine);

#define IMAGE_FAULT_TABLE(X)                                         \
    X(IMAGE_OK, "no fault")                                          \
    X(IMAGE_DAMAGED, "what it says of the state contradicts itself") \
    X(IMAGE_OTHER_VERSION, "it is of another version of Weir")       \
    X(IMAGE_FOREIGN, "it was made with another directory's key")     \
    X(IMAGE_NO_ROOM, "the state has no room for it: start with a larger --memory")
enum image_fault {
#define X(name, text) name,
    IMAGE_FAULT_TABLE(X)
#undef X
};
const char *image_fault_text(enum image_fault fault);

/* Loads whole records, in the order in which they were written, into an engine that nothing was
 * applied to; engine_image_loaded after the last of them. After a fault the engine is of no use.
 * Nothing in the bytes is trusted. */
MUST_USE enum image_fault engine_image_load(struct engine *engine, struct bytes records);
MUST_USE enum image_fault engine_image_loaded(struct engine *engine);
/* The at_ms of the image that was loaded. */
int64_t engine_image_at_ms(const struct engine *engine);
