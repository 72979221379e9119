#include "platform/ring.h"

#include <string.h>

void ring_start(struct ring *ring, void *block, uint32_t item_bytes, uint32_t items_max)
{
    ENSURE(item_bytes > 0);
    ENSURE(items_max > 0 && items_max <= UINT32_C(1) << 31 && (items_max & (items_max - 1)) == 0);
    ring->items = block;
    ring->item_bytes = item_bytes;
    ring->items_max = items_max;
    ring->taken_seen = 0;
    ring->put_seen = 0;
    atomic_init(&ring->put, 0);
    atomic_init(&ring->taken, 0);
}

static uint8_t *slot(const struct ring *ring, uint32_t count)
{
    return ring->items + (size_t)(count & (ring->items_max - 1)) * ring->item_bytes;
}

bool ring_put(struct ring *ring, const void *item)
{
    const uint32_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    if (put - ring->taken_seen == ring->items_max) {
        ring->taken_seen = atomic_load_explicit(&ring->taken, memory_order_acquire);
        if (put - ring->taken_seen == ring->items_max) return false;
    }
    memcpy(slot(ring, put), item, ring->item_bytes);
    atomic_store_explicit(&ring->put, put + 1, memory_order_release);
    return true;
}

bool ring_take(struct ring *ring, void *item_out)
{
    const uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (taken == ring->put_seen) {
        ring->put_seen = atomic_load_explicit(&ring->put, memory_order_acquire);
        if (taken == ring->put_seen) return false;
    }
    memcpy(item_out, slot(ring, taken), ring->item_bytes);
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
    return true;
}

uint32_t ring_used(const struct ring *ring)
{
    /* In this order, so that the producer's newer count cannot meet the consumer's older one. */
    const uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
    const uint32_t put = atomic_load_explicit(&ring->put, memory_order_acquire);
    const uint32_t used = put - taken;
    return used <= ring->items_max ? used : ring->items_max;
}
