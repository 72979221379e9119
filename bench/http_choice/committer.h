#pragma once
/*
 * Group commit as the daemon will do it, reduced to its waiting: requests are parked by the event
 * loop, one thread takes everything parked, makes 4 KB durable with one fdatasync, hands the batch
 * back and signals an eventfd that the event loop watches. Every candidate uses this same code, so
 * the programs differ only in the HTTP library.
 */

struct parked {
    struct parked *next;
};

/*
 * Starts the thread; writes to path. Returns the eventfd (non-blocking) to be watched. HOLD_MS in
 * the environment holds every batch back that long, for probing what happens while parked.
 */
int committer_start(const char *path);

/* Called by the event loop; the caller keeps the memory alive until it is taken back. */
void committer_park(struct parked *request);

/* Called by the event loop when the eventfd is readable: clears it, returns what is durable. */
struct parked *committer_take(void);
