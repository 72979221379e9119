/*
 * calendar.c: days to dates and back by Hinnant's eras of 400 years, which start on 1 March so that
 * the leap day is a year's last; text by RFC 3339.
 */
#include "base/calendar.h"

#include "base/assert.h"
#include "base/numbers.h"

#define ERA_DAYS INT64_C(146097)
#define EPOCH_DAYS INT64_C(719468) /* from 0000-03-01 to 1970-01-01 */
#define EPOCH_WEEKDAY 3            /* Thursday, counted from Monday */

/* Instants of years within this are exact in 64 bits. */
#define YEAR_MAX INT64_C(200000000)

static int64_t divide_down(int64_t dividend, int64_t divisor)
{
    const int64_t quotient = dividend / divisor;
    return dividend % divisor < 0 ? quotient - 1 : quotient;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

uint32_t calendar_month_days(int32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    ENSURE(month >= 1 && month <= 12);
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* H. Hinnant, civil_from_days. */
struct civil calendar_civil(int64_t instant_ms)
{
    const int64_t epoch_day = divide_down(instant_ms, DAY_MS);
    const int64_t shifted = epoch_day + EPOCH_DAYS;
    const int64_t era = divide_down(shifted, ERA_DAYS);
    const int64_t era_day = shifted - era * ERA_DAYS;
    const int64_t era_year =
        (era_day - era_day / 1460 + era_day / 36524 - era_day / (ERA_DAYS - 1)) / 365;
    const int64_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    const int64_t march_month = (5 * year_day + 2) / 153;
    const int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct civil){
        .year = (int32_t)(era * 400 + era_year + (month <= 2 ? 1 : 0)),
        .month = (uint32_t)month,
        .day = (uint32_t)(year_day - (153 * march_month + 2) / 5 + 1),
        .day_ms = instant_ms % DAY_MS + (instant_ms % DAY_MS < 0 ? DAY_MS : 0),
    };
}

/* H. Hinnant, days_from_civil. */
int64_t calendar_instant(struct civil civil)
{
    ENSURE(civil.year >= -YEAR_MAX && civil.year <= YEAR_MAX);
    ENSURE(civil.month >= 1 && civil.month <= 12);
    const int64_t year = (int64_t)civil.year - (civil.month <= 2 ? 1 : 0);
    const int64_t march_month = civil.month > 2 ? civil.month - 3 : civil.month + 9;
    const int64_t era = divide_down(year, 400);
    const int64_t era_year = year - era * 400;
    const int64_t year_day = (153 * march_month + 2) / 5 + (int64_t)civil.day - 1;
    const int64_t era_day = era_year * 365 + era_year / 4 - era_year / 100 + year_day;
    return (era * ERA_DAYS + era_day - EPOCH_DAYS) * DAY_MS + civil.day_ms;
}

int64_t calendar_add_months(int64_t from_ms, int64_t months)
{
    const struct civil from = calendar_civil(from_ms);
    const int64_t from_month = (int64_t)from.year * 12 + from.month - 1;
    int64_t to_month = 0;
    if (__builtin_add_overflow(from_month, months, &to_month) || to_month > YEAR_MAX * 12 ||
        to_month < -YEAR_MAX * 12)
        return months < 0 ? INT64_MIN : INSTANT_NEVER;

    const int64_t year = divide_down(to_month, 12);
    struct civil to = {.year = (int32_t)year,
                       .month = (uint32_t)(to_month - year * 12 + 1),
                       .day = from.day,
                       .day_ms = from.day_ms};
    const uint32_t last_day = calendar_month_days(to.year, to.month);
    if (to.day > last_day) to.day = last_day;
    return calendar_instant(to);
}

int64_t calendar_hour_start(int64_t instant_ms)
{
    return divide_down(instant_ms, HOUR_MS) * HOUR_MS;
}

int64_t calendar_day_start(int64_t instant_ms)
{
    return divide_down(instant_ms, DAY_MS) * DAY_MS;
}

int64_t calendar_week_start(int64_t instant_ms)
{
    const int64_t day = divide_down(instant_ms, DAY_MS);
    const int64_t week = divide_down(day + EPOCH_WEEKDAY, 7);
    return (week * 7 - EPOCH_WEEKDAY) * DAY_MS;
}

int64_t calendar_month_start(int64_t instant_ms)
{
    const struct civil civil = calendar_civil(instant_ms);
    return calendar_day_start(instant_ms) - ((int64_t)civil.day - 1) * DAY_MS;
}

static void put_padded(struct buffer *buffer, uint64_t value, unsigned width)
{
    uint64_t floor = 10;
    for (unsigned digits = 1; digits < width; digits++, floor *= 10)
        if (value < floor) buffer_put_byte(buffer, '0');
    buffer_put_decimal(buffer, value);
}

unsigned calendar_format(int64_t instant_ms, char text_out[INSTANT_TEXT_SIZE])
{
    const struct civil civil = calendar_civil(instant_ms);
    const uint64_t day_ms = (uint64_t)civil.day_ms;
    const uint64_t year = (uint64_t)(civil.year < 0 ? -(int64_t)civil.year : civil.year);
    struct buffer buffer = buffer_over(text_out, INSTANT_TEXT_SIZE);
    if (civil.year < 0) buffer_put_byte(&buffer, '-');
    put_padded(&buffer, year, 4);
    buffer_put_byte(&buffer, '-');
    put_padded(&buffer, civil.month, 2);
    buffer_put_byte(&buffer, '-');
    put_padded(&buffer, civil.day, 2);
    buffer_put_byte(&buffer, 'T');
    put_padded(&buffer, day_ms / HOUR_MS, 2);
    buffer_put_byte(&buffer, ':');
    put_padded(&buffer, day_ms / MINUTE_MS % 60, 2);
    buffer_put_byte(&buffer, ':');
    put_padded(&buffer, day_ms / SECOND_MS % 60, 2);
    if (day_ms % SECOND_MS != 0) {
        buffer_put_byte(&buffer, '.');
        put_padded(&buffer, day_ms % SECOND_MS, 3);
    }
    buffer_put_byte(&buffer, 'Z');
    const unsigned length = (unsigned)buffer.used;
    buffer_put_byte(&buffer, '\0');
    return length;
}

static bool take_mark(struct reader *reader, char mark)
{
    return reader_take_byte(reader) == (uint8_t)mark;
}

/* Exactly `width` digits, up to `value_max`. */
static bool take_digits(struct reader *reader, unsigned width, uint32_t value_max,
                        uint32_t *value_out)
{
    uint32_t value = 0;
    for (unsigned digit = 0; digit < width; digit++) {
        const uint8_t byte = reader_take_byte(reader);
        if (byte < '0' || byte > '9') return false;
        value = value * 10 + (uint32_t)(byte - '0');
    }
    *value_out = value;
    return value <= value_max;
}

static bool next_is_digit(const struct reader *reader)
{
    return reader->at != reader->end && *reader->at >= '0' && *reader->at <= '9';
}

/* The digits after the point; what is finer than a millisecond is cut off. */
static bool take_fraction(struct reader *reader, int64_t *fraction_ms_out)
{
    int64_t fraction_ms = 0;
    int64_t unit_ms = 100;
    const bool has_digits = next_is_digit(reader);
    for (; next_is_digit(reader); unit_ms /= 10)
        fraction_ms += (reader_take_byte(reader) - '0') * unit_ms;
    *fraction_ms_out = fraction_ms;
    return has_digits;
}

/* Since midnight. A leap second, which does not exist here, is the start of the second after it. */
static bool take_time(struct reader *reader, int64_t *day_ms_out, bool *is_leap_second_out)
{
    uint32_t hour = 0;
    uint32_t minute = 0;
    uint32_t second = 0;
    int64_t fraction_ms = 0;
    if (!take_digits(reader, 2, 23, &hour) || !take_mark(reader, ':')) return false;
    if (!take_digits(reader, 2, 59, &minute) || !take_mark(reader, ':')) return false;
    if (!take_digits(reader, 2, 60, &second)) return false;
    if (reader->at != reader->end && *reader->at == '.') {
        reader->at++;
        if (!take_fraction(reader, &fraction_ms)) return false;
    }
    *is_leap_second_out = second == 60;
    if (*is_leap_second_out) fraction_ms = 0;
    *day_ms_out = hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS + fraction_ms;
    return true;
}

/* 'Z', in any case, or "+hh:mm"; the sign is that of local time minus UTC. */
static bool take_offset(struct reader *reader, int64_t *offset_ms_out)
{
    const uint8_t sign = reader_take_byte(reader);
    if (sign == 'Z' || sign == 'z') {
        *offset_ms_out = 0;
        return true;
    }
    uint32_t hours = 0;
    uint32_t minutes = 0;
    if (sign != '+' && sign != '-') return false;
    if (!take_digits(reader, 2, 23, &hours) || !take_mark(reader, ':')) return false;
    if (!take_digits(reader, 2, 59, &minutes)) return false;
    const int64_t offset_ms = hours * HOUR_MS + minutes * MINUTE_MS;
    *offset_ms_out = sign == '-' ? -offset_ms : offset_ms;
    return true;
}

bool calendar_parse(struct bytes text, int64_t *instant_ms_out)
{
    struct reader reader = reader_over(text);
    uint32_t year = 0;
    uint32_t month = 0;
    uint32_t day = 0;
    if (!take_digits(&reader, 4, 9999, &year) || !take_mark(&reader, '-')) return false;
    if (!take_digits(&reader, 2, 12, &month) || !take_mark(&reader, '-') || month < 1) return false;
    if (!take_digits(&reader, 2, calendar_month_days((int32_t)year, month), &day) || day < 1)
        return false;

    int64_t day_ms = 0;
    int64_t offset_ms = 0;
    bool is_leap_second = false;
    const uint8_t mark = reader_take_byte(&reader);
    if (mark != 'T' && mark != 't') return false;
    if (!take_time(&reader, &day_ms, &is_leap_second)) return false;
    if (!take_offset(&reader, &offset_ms) || !reader_is_done(&reader)) return false;

    const struct civil civil = {.year = (int32_t)year, .month = month, .day = day};
    const int64_t instant_ms = calendar_instant(civil) + day_ms - offset_ms;
    if (is_leap_second && instant_ms % DAY_MS != 0) return false;
    if (instant_ms < 0 || instant_ms > INSTANT_MS_MAX) return false;
    *instant_ms_out = instant_ms;
    return true;
}
