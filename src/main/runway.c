/*
 * runway.c: a division, and a clock face.
 */
#include "main/runway.h"

#include <time.h>

#include "base/base.h"

struct runway runway_at(struct runway_pace pace)
{
    if (pace.available <= 0) return (struct runway){.kind = RUNWAY_EMPTY};
    if (pace.charged <= 0 || pace.span_ms <= 0) return (struct runway){.kind = RUNWAY_UNKNOWN};
    const uint128 lasts_ms =
        (uint128)(uint64_t)pace.available * (uint64_t)pace.span_ms / (uint64_t)pace.charged;
    if (lasts_ms >= RUNWAY_MS_MAX) return (struct runway){.kind = RUNWAY_LONG};
    return (struct runway){.kind = RUNWAY_LASTS, .lasts_ms = (int64_t)lasts_ms};
}

static struct tm local_time(int64_t at_ms)
{
    const time_t seconds = (time_t)(at_ms / SECOND_MS);
    struct tm local = {0};
    (void)localtime_r(&seconds, &local);
    return local;
}

const char *text_when(int64_t at_ms, int64_t now_ms, char text_out[TEXT_NUMBER_BYTES])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const struct tm at = local_time(at_ms);
    const struct tm now = local_time(now_ms);
    const bool is_near = at_ms >= now_ms && at_ms < now_ms + 6 * DAY_MS;
    char time[16];
    (void)snprintf(time, sizeof(time), "%02d:%02d", at.tm_hour % 100, at.tm_min % 100);
    if (at.tm_year == now.tm_year && at.tm_yday == now.tm_yday)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%s", time);
    else if (is_near)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%s %s", days[at.tm_wday], time);
    else if (at.tm_year == now.tm_year)
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%s %d %s", months[at.tm_mon], at.tm_mday,
                       time);
    else
        (void)snprintf(text_out, TEXT_NUMBER_BYTES, "%s %d %d %s", months[at.tm_mon], at.tm_mday,
                       at.tm_year + 1900, time);
    return text_out;
}
