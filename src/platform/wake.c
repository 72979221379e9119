#include "platform/wake.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool wake_open(struct wake *wake)
{
    wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&wake->is_signalled, false);
    return wake->fd >= 0;
}

void wake_close(struct wake *wake)
{
    if (wake->fd >= 0) (void)close(wake->fd);
    wake->fd = -1;
}

void wake_signal(struct wake *wake)
{
    if (atomic_exchange_explicit(&wake->is_signalled, true, memory_order_acq_rel)) return;
    const uint64_t one = 1;
    while (write(wake->fd, &one, sizeof one) < 0)
        ENSURE(errno == EINTR);
}

void wake_clear(struct wake *wake)
{
    uint64_t count;
    while (read(wake->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    /* Last: a signal that comes in between writes nothing and is taken up by the look for work
     * that follows. Were the flag cleared first, the read could eat the write of a newer signal
     * and leave its flag up: nobody would ever write again. */
    (void)atomic_exchange_explicit(&wake->is_signalled, false, memory_order_acq_rel);
}

void wake_wait(struct wake *wake, int32_t wait_ms)
{
    struct pollfd watched = {.fd = wake->fd, .events = POLLIN};
    (void)poll(&watched, 1, wait_ms);
}
