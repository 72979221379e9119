#include "server/manager.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/settling.h"

struct manager manager_open(void)
{
    struct manager manager = {.notifier = NOTIFIER_NONE, .every_ns = MANAGER_TELL_EVERY_NS};
    char detail[NOTIFY_DETAIL_SIZE];
    if (!notifier_open(&manager.notifier, detail))
        (void)fprintf(stderr, "weir: WARNING: the service manager is told nothing: %s\n", detail);
    /* At half the time that it allows, as sd_watchdog_enabled(3) recommends. */
    const int64_t half_ns = manager.notifier.watchdog_ns / 2;
    if (half_ns != 0 && half_ns < manager.every_ns) manager.every_ns = half_ns;
    return manager;
}

void manager_close(struct manager *manager)
{
    notifier_close(&manager->notifier);
}

void manager_recovering(const struct manager *manager, uint64_t sequence, uint64_t sequence_last)
{
    char status[NOTIFY_STATUS_BYTES_MAX];
    (void)snprintf(status, sizeof status, "recovering: batch %" PRIu64 " of %" PRIu64, sequence,
                   sequence_last);
    notify_status(&manager->notifier, status);
}

struct status_line {
    char text[NOTIFY_STATUS_BYTES_MAX];
};

static struct status_line line_of(const struct manager *manager, const struct loop *loop,
                                  const struct http *http)
{
    struct status_line line;
    const struct engine_policy_info policy = engine_policy_info(loop->parts.engine);
    const int64_t lag_ms = loop->parts.settling == NULL ? 0 : loop->parts.settling->lag_ms;
    (void)snprintf(line.text, sizeof line.text,
                   "answering on %s: %" PRIu32 " connections, %" PRIu64
                   " answers so far, policy version %" PRIu64 ", books %" PRId64 " s behind",
                   manager->where, http_connections(http), loop->answers_sent, policy.version,
                   lag_ms / SECOND_MS);
    return line;
}

void manager_ready(struct manager *manager, const char *where, const struct loop *loop,
                   const struct http *http)
{
    (void)snprintf(manager->where, sizeof manager->where, "%s", where);
    manager->next_ns = clock_monotonic_ns() + manager->every_ns;
    notify_ready(&manager->notifier, line_of(manager, loop, http).text);
}

void manager_reloading(const struct manager *manager)
{
    notify_reloading(&manager->notifier, "reading files anew");
}

void manager_reloaded(struct manager *manager, const struct loop *loop, const struct http *http)
{
    notify_ready(&manager->notifier, line_of(manager, loop, http).text);
}

void manager_turn(struct manager *manager, const struct loop *loop, const struct http *http)
{
    if (manager->notifier.fd < 0 || manager->next_ns == 0) return;
    const int64_t now_ns = clock_monotonic_ns();
    if (now_ns < manager->next_ns) return;
    manager->next_ns = now_ns + manager->every_ns;
    notify_alive(&manager->notifier, line_of(manager, loop, http).text);
}

int32_t manager_wait_ms(const struct manager *manager)
{
    if (manager->notifier.fd < 0 || manager->next_ns == 0) return INT32_MAX;
    const int64_t left_ms = (manager->next_ns - clock_monotonic_ns()) / 1000000 + 1;
    return left_ms < 1 ? 1 : (int32_t)left_ms;
}

/* A manager that has heard this waits for the end only, however long it bears it. */
void manager_stopping(struct manager *manager, const char *status)
{
    manager->next_ns = 0;
    notify_stopping(&manager->notifier, status);
}
