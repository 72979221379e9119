/*
 * calendar.h: units of time, and UTC civil dates as pure arithmetic.
 *
 * Instants are milliseconds since 1970-01-01T00:00:00Z, signed; days are proleptic Gregorian; leap
 * seconds do not exist. Formulas: H. Hinnant, "chrono-compatible low-level date algorithms".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define WEEK_MS (7 * DAY_MS)

/* Instants that anything may carry: years 1970 to 9999. */
#define INSTANT_MS_MAX INT64_C(253402300799999)
#define INSTANT_NEVER INT64_MAX

struct civil {
    int32_t year;
    uint32_t month; /* 1..12 */
    uint32_t day;   /* 1..31 */
    int64_t day_ms; /* 0..DAY_MS-1 */
};

struct civil calendar_civil(int64_t instant_ms);
int64_t calendar_instant(struct civil civil);
uint32_t calendar_month_days(int32_t year, uint32_t month);

/* The instant `months` after `from_ms`, clamped to the month's last day (SEMANTICS W5). Beyond what
 * 64 bits hold: INSTANT_NEVER, or INT64_MIN going back. */
int64_t calendar_add_months(int64_t from_ms, int64_t months);

int64_t calendar_hour_start(int64_t instant_ms);
int64_t calendar_day_start(int64_t instant_ms);
int64_t calendar_week_start(int64_t instant_ms); /* ISO: Monday 00:00 UTC */
int64_t calendar_month_start(int64_t instant_ms);

/* "2026-05-01T12:10:00Z", with ".mmm" only when the milliseconds are not 0. */
#define INSTANT_TEXT_SIZE 32
unsigned calendar_format(int64_t instant_ms, char text_out[INSTANT_TEXT_SIZE]);

/* RFC 3339: date, 'T', time, optional fraction of which what is finer than a millisecond is cut
 * off, 'Z' or a numeric offset. A leap second (23:59:60 UTC) is the start of the next. False when
 * malformed, not a real date, or outside 1970..9999. */
bool calendar_parse(struct bytes text, int64_t *instant_ms_out);
#define INSTANT_EXPECTED "an RFC 3339 time from 1970 to 9999, such as 2026-05-01T12:00:00Z"
