#include "base/calendar.h"

#include "base/prng.h"
#include "base/testing.h"

static const uint32_t plain_days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

static uint32_t plain_month_days(int32_t year, uint32_t month)
{
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : plain_days[month];
}

/* A calendar that turns one leaf a day. */
static void every_day_from_1970_to_2400_agrees_with_a_day_counter(void **state)
{
    (void)state;
    int64_t day = 0;
    unsigned weekday = 3; /* 1970-01-01 was a Thursday; Monday is 0 */
    for (int32_t year = 1970; year <= 2400; year++) {
        for (uint32_t month = 1; month <= 12; month++) {
            const int64_t month_start_ms = day * DAY_MS;
            assert_int_equal(calendar_month_days(year, month), plain_month_days(year, month));
            for (uint32_t date = 1; date <= plain_month_days(year, month); date++) {
                const int64_t noon_ms = day * DAY_MS + DAY_MS / 2 + 7;
                const struct civil civil = calendar_civil(noon_ms);
                assert_int_equal(civil.year, year);
                assert_int_equal(civil.month, month);
                assert_int_equal(civil.day, date);
                assert_int_equal(civil.day_ms, DAY_MS / 2 + 7);
                assert_int_equal(calendar_instant(civil), noon_ms);
                assert_int_equal(calendar_day_start(noon_ms), day * DAY_MS);
                assert_int_equal(calendar_hour_start(noon_ms), noon_ms - 7);
                assert_int_equal(calendar_week_start(noon_ms), (day - weekday) * DAY_MS);
                assert_int_equal(calendar_month_start(noon_ms), month_start_ms);
                /* The edges of the day belong to it. */
                assert_int_equal(calendar_civil(day * DAY_MS).day, date);
                assert_int_equal(calendar_civil((day + 1) * DAY_MS - 1).day, date);
                day++;
                weekday = (weekday + 1) % 7;
            }
        }
    }
}

/* From another implementation (CPython's datetime). */
static void known_instants_have_their_text_and_their_starts(void **state)
{
    (void)state;
    const struct {
        int64_t instant_ms;
        const char *text;
        int64_t hour_ms, day_ms, week_ms, month_ms;
    } rows[] = {
        {              INT64_C(0),     "1970-01-01T00:00:00Z",               INT64_C(0),INT64_C(0),      INT64_C(-259200000),
         INT64_C(0)                                                                  },
        {            INT64_C(999), "1970-01-01T00:00:00.999Z",               INT64_C(0), INT64_C(0),      INT64_C(-259200000),
         INT64_C(0)                                                                  },
        {   INT64_C(951782400000),     "2000-02-29T00:00:00Z",    INT64_C(951782400000),
         INT64_C(951782400000),    INT64_C(951696000000),    INT64_C(949363200000)   },
        {   INT64_C(951868799999), "2000-02-29T23:59:59.999Z",    INT64_C(951865200000),
         INT64_C(951782400000),    INT64_C(951696000000),    INT64_C(949363200000)   },
        {  INT64_C(4107542399999), "2100-02-28T23:59:59.999Z",   INT64_C(4107538800000),
         INT64_C(4107456000000),   INT64_C(4106937600000),   INT64_C(4105123200000)  },
        {  INT64_C(4107542400000),     "2100-03-01T00:00:00Z",   INT64_C(4107542400000),
         INT64_C(4107542400000),   INT64_C(4107542400000),   INT64_C(4107542400000)  },
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z", INT64_C(253402297200000),
         INT64_C(253402214400000), INT64_C(253401868800000), INT64_C(253399622400000)},
        {INT64_C(111132926676279), "5491-08-30T17:24:36.279Z", INT64_C(111132925200000),
         INT64_C(111132864000000), INT64_C(111132345600000), INT64_C(111130358400000)},
        { INT64_C(13592072266000),     "2400-09-18T15:37:46Z",  INT64_C(13592070000000),
         INT64_C(13592016000000),  INT64_C(13592016000000),  INT64_C(13590547200000) },
        {INT64_C(231168335884083), "9295-06-07T10:38:04.083Z", INT64_C(231168333600000),
         INT64_C(231168297600000), INT64_C(231168211200000), INT64_C(231167779200000)},
        { INT64_C(26493659877419), "2809-07-20T13:57:57.419Z",  INT64_C(26493656400000),
         INT64_C(26493609600000),  INT64_C(26493609600000),  INT64_C(26491968000000) },
        {INT64_C(164039256558072), "7168-03-13T12:09:18.072Z", INT64_C(164039256000000),
         INT64_C(164039212800000), INT64_C(164039040000000), INT64_C(164038176000000)},
        { INT64_C(60432369274000),     "3885-01-09T17:14:34Z",  INT64_C(60432368400000),
         INT64_C(60432307200000),  INT64_C(60431961600000),  INT64_C(60431616000000) },
        { INT64_C(24189416853720), "2736-07-14T02:27:33.720Z",  INT64_C(24189415200000),
         INT64_C(24189408000000),  INT64_C(24189321600000),  INT64_C(24188284800000) },
        {INT64_C(117705441240922), "5699-12-08T11:54:00.922Z", INT64_C(117705438000000),
         INT64_C(117705398400000), INT64_C(117705312000000), INT64_C(117704793600000)},
        { INT64_C(67740524219279), "4116-08-11T20:16:59.279Z",  INT64_C(67740523200000),
         INT64_C(67740451200000),  INT64_C(67740364800000),  INT64_C(67739587200000) },
        {INT64_C(155104543569000),     "6885-01-24T11:26:09Z", INT64_C(155104542000000),
         INT64_C(155104502400000), INT64_C(155104329600000), INT64_C(155102515200000)},
        { INT64_C(16636231633446), "2497-03-06T23:27:13.446Z",  INT64_C(16636230000000),
         INT64_C(16636147200000),  INT64_C(16635974400000),  INT64_C(16635715200000) },
        {INT64_C(159162154390703), "7013-08-25T13:33:10.703Z", INT64_C(159162152400000),
         INT64_C(159162105600000), INT64_C(159161932800000), INT64_C(159160032000000)},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        char text[INSTANT_TEXT_SIZE];
        int64_t parsed_ms = -1;
        assert_int_equal(calendar_format(rows[row].instant_ms, text), strlen(rows[row].text));
        assert_string_equal(text, rows[row].text);
        assert_true(calendar_parse(bytes_of_text(text), &parsed_ms));
        assert_int_equal(parsed_ms, rows[row].instant_ms);
        assert_int_equal(calendar_hour_start(rows[row].instant_ms), rows[row].hour_ms);
        assert_int_equal(calendar_day_start(rows[row].instant_ms), rows[row].day_ms);
        assert_int_equal(calendar_week_start(rows[row].instant_ms), rows[row].week_ms);
        assert_int_equal(calendar_month_start(rows[row].instant_ms), rows[row].month_ms);
    }
}

static int64_t instant(const char *text)
{
    int64_t instant_ms = -1;
    assert_true(calendar_parse(bytes_of_text(text), &instant_ms));
    return instant_ms;
}

static void months_are_clamped_to_their_last_day(void **state)
{
    (void)state;
    const struct {
        const char *from;
        int64_t months;
        const char *to;
    } rows[] = {
        {    "2026-01-31T10:00:00Z",    0,     "2026-01-31T10:00:00Z"},
        {    "2026-01-31T10:00:00Z",    1,     "2026-02-28T10:00:00Z"},
        {    "2026-01-31T10:00:00Z",    2,     "2026-03-31T10:00:00Z"},
        {    "2026-01-31T10:00:00Z",    3,     "2026-04-30T10:00:00Z"},
        {    "2024-01-31T00:00:00Z",    1,     "2024-02-29T00:00:00Z"},
        {    "2024-02-29T00:00:00Z",   12,     "2025-02-28T00:00:00Z"},
        {    "2024-02-29T00:00:00Z",   48,     "2028-02-29T00:00:00Z"},
        {"2026-11-30T23:59:59.999Z",    3, "2027-02-28T23:59:59.999Z"},
        {    "2026-12-15T00:00:00Z",    1,     "2027-01-15T00:00:00Z"},
        {    "2026-03-31T00:00:00Z",   -1,     "2026-02-28T00:00:00Z"},
        {    "2026-01-15T00:00:00Z",  -13,     "2024-12-15T00:00:00Z"},
        {    "1970-01-31T00:00:00Z", 1561,     "2100-02-28T00:00:00Z"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++)
        assert_int_equal(calendar_add_months(instant(rows[row].from), rows[row].months),
                         instant(rows[row].to));
}

static void months_beyond_the_range_are_never(void **state)
{
    (void)state;
    assert_true(calendar_add_months(0, INT64_MAX) == INSTANT_NEVER);
    assert_true(calendar_add_months(INT64_MAX, 1) == INSTANT_NEVER);
    assert_true(calendar_add_months(0, INT64_MIN) == INT64_MIN);
    assert_true(calendar_add_months(INSTANT_MS_MAX, 1) > INSTANT_MS_MAX);
}

/* n months on, the same day or the month's last; the time of day stays. */
static void added_months_agree_with_counting_them(void **state)
{
    (void)state;
    struct prng prng = {5};
    for (unsigned round = 0; round < 20000; round++) {
        const int64_t from_ms = (int64_t)prng_below(&prng, (uint64_t)INSTANT_MS_MAX);
        struct civil expected = calendar_civil(from_ms);
        const uint32_t day = expected.day;
        const uint64_t months = prng_below(&prng, 40);
        for (uint64_t month = 0; month < months; month++) {
            expected.year += expected.month == 12;
            expected.month = expected.month % 12 + 1;
        }
        const uint32_t last_day = plain_month_days(expected.year, expected.month);
        expected.day = day < last_day ? day : last_day;
        const struct civil actual = calendar_civil(calendar_add_months(from_ms, (int64_t)months));
        assert_int_equal(actual.year, expected.year);
        assert_int_equal(actual.month, expected.month);
        assert_int_equal(actual.day, expected.day);
        assert_int_equal(actual.day_ms, expected.day_ms);
        assert_int_equal(calendar_add_months(calendar_instant(actual), -(int64_t)months),
                         calendar_instant((struct civil){.year = calendar_civil(from_ms).year,
                                                         .month = calendar_civil(from_ms).month,
                                                         .day = day < last_day ? day : last_day,
                                                         .day_ms = expected.day_ms}));
    }
}

static void instants_before_1970_count_down(void **state)
{
    (void)state;
    const struct civil civil = calendar_civil(-1);
    assert_int_equal(civil.year, 1969);
    assert_int_equal(civil.month, 12);
    assert_int_equal(civil.day, 31);
    assert_int_equal(civil.day_ms, DAY_MS - 1);
    assert_int_equal(calendar_instant(civil), -1);
    assert_int_equal(calendar_week_start(-1), -3 * DAY_MS);
    assert_int_equal(calendar_hour_start(-1), -HOUR_MS);
    char text[INSTANT_TEXT_SIZE];
    (void)calendar_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    assert_in_range(calendar_format(INT64_MAX, text), 1, INSTANT_TEXT_SIZE - 1);
    assert_in_range(calendar_format(INT64_MIN, text), 1, INSTANT_TEXT_SIZE - 1);
    expect_assert_failure((void)calendar_month_days(2026, 0));
    expect_assert_failure((void)calendar_month_days(2026, 13));
}

static void other_spellings_of_an_instant_are_read(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *same;
    } rows[] = {
        {                          "2026-05-01T12:10:00.0Z",     "2026-05-01T12:10:00Z"},
        {                          "2026-05-01T12:10:00.5Z", "2026-05-01T12:10:00.500Z"},
        {                         "2026-05-01T12:10:00.05Z", "2026-05-01T12:10:00.050Z"},
        {                  "2026-05-01T12:10:00.123000000Z", "2026-05-01T12:10:00.123Z"},
        {                       "2026-05-01T12:10:00+00:00",     "2026-05-01T12:10:00Z"},
        {                       "2026-05-01T12:10:00-00:00",     "2026-05-01T12:10:00Z"},
        {                       "2026-05-01T12:10:00+02:00",     "2026-05-01T10:10:00Z"},
        {                       "2026-05-01T12:10:00-05:30",     "2026-05-01T17:40:00Z"},
        {                       "1969-12-31T23:30:00-01:00",     "1970-01-01T00:30:00Z"},
        {                   "2026-01-01T00:00:00.001+23:59", "2025-12-31T00:01:00.001Z"},
        {                       "1970-01-01T02:00:00+02:00",     "1970-01-01T00:00:00Z"},
        {                            "2026-05-01t12:10:00z",     "2026-05-01T12:10:00Z"},
        {                     "2026-05-01T12:10:00.999999Z", "2026-05-01T12:10:00.999Z"}, /* cut off, not rounded */
        {                  "2026-05-01T12:10:00.123456789Z", "2026-05-01T12:10:00.123Z"},
        {"2026-05-01T12:10:00.5000000000000000000001+02:00", "2026-05-01T10:10:00.500Z"},
        {                            "1990-12-31T23:59:60Z",     "1991-01-01T00:00:00Z"}, /* of RFC 3339 */
        {                       "1990-12-31T15:59:60-08:00",     "1991-01-01T00:00:00Z"},
        {                         "2016-12-31T23:59:60.75Z",     "2017-01-01T00:00:00Z"},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++)
        assert_int_equal(instant(rows[row].text), instant(rows[row].same));
}

static void malformed_unreal_and_distant_instants_are_refused(void **state)
{
    (void)state;
    const char *rows[] = {
        "",
        "2026",
        "2026-05-01",
        "2026-05-01T12:10:00",  /* no zone */
        "2026-05-01T12:10Z",    /* no seconds */
        "2026-05-01 12:10:00Z", /* no T */
        "2026-5-01T12:10:00Z",
        "26-05-01T12:10:00Z",
        "02026-05-01T12:10:00Z",
        "+2026-05-01T12:10:00Z",
        "2026-05-01T12:10:00Z ",
        " 2026-05-01T12:10:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-05-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T23:60:00Z",
        "2026-05-01T23:59:61Z",
        "2026-05-01T12:10:60Z", /* a leap second ends a day in UTC */
        "2026-05-01T23:59:60+02:00",
        "2026-05-01T22:59:60Z",
        "9999-12-31T23:59:60Z",
        "2026-05-01T12:10:00.Z",
        "2026-05-01T12:10:00.5.5Z",
        "2026-05-01T12:10:00.-5Z",
        "2026-05-01T12:10:00,5Z",
        "2026-05-01T12:10:00+0200",
        "2026-05-01T12:10:00+02",
        "2026-05-01T12:10:00+24:00",
        "2026-05-01T12:10:00+02:60",
        "2026-05-01T12:10:00+02:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:30:00+01:00",
        "9999-12-31T23:30:00-01:00",
        "0000-01-01T00:00:00Z",
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        int64_t instant_ms = -77;
        if (calendar_parse(bytes_of_text(rows[row]), &instant_ms)) fail_msg("%s", rows[row]);
        assert_int_equal(instant_ms, -77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_from_1970_to_2400_agrees_with_a_day_counter),
        cmocka_unit_test(known_instants_have_their_text_and_their_starts),
        cmocka_unit_test(months_are_clamped_to_their_last_day),
        cmocka_unit_test(months_beyond_the_range_are_never),
        cmocka_unit_test(added_months_agree_with_counting_them),
        cmocka_unit_test(instants_before_1970_count_down),
        cmocka_unit_test(other_spellings_of_an_instant_are_read),
        cmocka_unit_test(malformed_unreal_and_distant_instants_are_refused),
    };
    return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
