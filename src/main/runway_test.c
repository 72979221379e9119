/*
 * runway_test.c: how long credits last, and how an instant is told.
 */
#include "main/runway.h"

#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "base/testing.h"

static int64_t instant(const char *text)
{
    int64_t at_ms = 0;
    assert_true(calendar_parse(bytes_of_text(text), &at_ms));
    return at_ms;
}

static void credits_last_for_what_is_left_over_what_goes(void **state)
{
    static const struct {
        struct runway_pace pace;
        struct runway runway;
    } cases[] = {
        {              {.available = 10, .charged = 5, .span_ms = HOUR_MS},    {RUNWAY_LASTS, 2 * HOUR_MS}},
        {               {.available = 1, .charged = 3, .span_ms = HOUR_MS}, {RUNWAY_LASTS, 20 * MINUTE_MS}},
        {              {.available = 10, .charged = 0, .span_ms = HOUR_MS},            {RUNWAY_UNKNOWN, 0}},
        {             {.available = 10, .charged = -5, .span_ms = HOUR_MS},            {RUNWAY_UNKNOWN, 0}},
        {               {.available = 0, .charged = 5, .span_ms = HOUR_MS},              {RUNWAY_EMPTY, 0}},
        {              {.available = -4, .charged = 0, .span_ms = HOUR_MS},              {RUNWAY_EMPTY, 0}},
        {        {.available = INT64_MAX, .charged = 1, .span_ms = DAY_MS},               {RUNWAY_LONG, 0}},
        {{.available = INT64_MAX, .charged = INT64_MAX, .span_ms = DAY_MS},         {RUNWAY_LASTS, DAY_MS}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        const struct runway runway = runway_at(cases[i].pace);
        assert_int_equal(runway.kind, cases[i].runway.kind);
        assert_int_equal(runway.lasts_ms, cases[i].runway.lasts_ms);
    }
}

static void instants_are_told_by_the_local_clock_and_no_longer_than_needed(void **state)
{
    static const struct {
        const char *at;
        const char *told;
    } cases[] = {
        {"2026-11-21T16:59:00Z",            "17:59"},
        {"2026-11-21T22:59:00Z",            "23:59"},
        {"2026-11-21T23:00:00Z",        "Sun 00:00"},
        {"2026-11-27T10:00:00Z",        "Fri 11:00"},
        {"2026-12-01T00:00:00Z",      "Dec 1 01:00"},
        {"2026-11-20T12:00:00Z",     "Nov 20 13:00"},
        {"2027-07-01T12:00:00Z", "Jul 1 2027 14:00"},
    };
    char text[TEXT_NUMBER_BYTES];
    (void)state;
    assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    for (size_t i = 0; i < COUNT_OF(cases); ++i)
        assert_string_equal(text_when(instant(cases[i].at), instant("2026-11-21T16:53:00Z"), text),
                            cases[i].told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credits_last_for_what_is_left_over_what_goes),
        cmocka_unit_test(instants_are_told_by_the_local_clock_and_no_longer_than_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
