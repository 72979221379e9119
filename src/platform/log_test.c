#include "platform/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

#include "base/testing.h"

static int out[2];

static int open_pipe(void **state)
{
    (void)state;
    assert_int_equal(0, pipe2(out, O_NONBLOCK));
    log_configure(LOG_AS_TEXT, LOG_INFO, out[1]);
    return 0;
}

static int close_pipe(void **state)
{
    (void)state;
    log_configure(LOG_AS_TEXT, LOG_INFO, STDERR_FILENO);
    assert_int_equal(0, close(out[0]));
    assert_int_equal(0, close(out[1]));
    return 0;
}

/* The next bytes of the log; empty when there are none. */
static const char *logged(void)
{
    static char text[2 * LOG_LINE_BYTES_MAX];
    const ssize_t got = read(out[0], text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* Past the time stamp, whose form is checked on the way. */
static const char *logged_after_time(const char *prefix)
{
    const char *text = logged();
    assert_int_equal(0, strncmp(text, prefix, strlen(prefix)));
    text += strlen(prefix);
    const size_t length = strspn(text, "0123456789-:.TZ");
    int64_t instant_ms = 0;
    assert_true(calendar_parse((struct bytes){(const uint8_t *)text, length}, &instant_ms));
    assert_true(instant_ms > INT64_C(1700000000000));
    return text + length;
}

static void a_pace_passes_over_what_is_too_much_and_says_so(void **state)
{
    (void)state;
    struct log_pace pace = {0};
    const int64_t second = INT64_C(1000000000);
    unsigned taken = 0;
    for (unsigned i = 0; i < 10; ++i)
        taken += log_pace_take(&pace, 5 * second + i, 3);
    assert_int_equal(taken, 3);
    struct log_line line = log_begin(LOG_WARN, "flood");
    assert_true(log_pace_take(&pace, 6 * second, 3));
    log_paced(&line, &pace);
    log_paced(&line, &pace);
    log_end(&line);
    assert_string_equal(logged_after_time(""), " warn flood passed_over=7\n");
}

static void debug_is_off_until_it_is_asked_for(void **state)
{
    (void)state;
    assert_false(log_is_on(LOG_DEBUG));
    log_event(LOG_DEBUG, "unheard");
    assert_string_equal(logged(), "");
    log_configure(LOG_AS_TEXT, LOG_DEBUG, out[1]);
    assert_true(log_is_on(LOG_DEBUG));
    log_event(LOG_DEBUG, "heard");
    assert_string_equal(logged_after_time(""), " debug heard\n");
}

static void write_line_of_three(void)
{
    struct log_line line = log_begin(LOG_WARN, "disk_low");
    log_text(&line, "directory", "/var/lib/weir");
    log_text(&line, "says", "two words");
    log_number(&line, "bytes", INT64_MIN);
    log_end(&line);
}

static void text_is_one_line_of_names_and_values(void **state)
{
    (void)state;
    write_line_of_three();
    assert_string_equal(
        " warn disk_low directory=/var/lib/weir says=\"two words\" bytes=-9223372036854775808\n",
        logged_after_time(""));
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    log_configure(LOG_AS_JSON, LOG_INFO, out[1]);
    write_line_of_three();
    assert_string_equal(
        "\",\"level\":\"warn\",\"event\":\"disk_low\",\"directory\":\"/var/lib/weir\","
        "\"says\":\"two words\",\"bytes\":-9223372036854775808}\n",
        logged_after_time("{\"time\":\""));
}

static void an_event_needs_no_fields(void **state)
{
    (void)state;
    log_event(LOG_ERROR, "out_of_luck");
    assert_string_equal(" error out_of_luck\n", logged_after_time(""));
}

/* Goal: no value, whoever chose it, breaks a line or reaches a terminal. */
static void hostile_values_are_spelt_out(void **state)
{
    (void)state;
    const struct {
        struct bytes value;
        const char *text;
    } rows[] = {
        {              BYTES(""),"\"\""                                 },
        {         BYTES("plain"),               "plain"},
        {           BYTES("a=b"),             "\"a=b\""},
        {          BYTES("a\nb"),           "\"a\\nb\""},
        {   BYTES("\x1b[31mred"),  "\"\\u001b[31mred\""},
        {          BYTES("\"\\"),        "\"\\\"\\\\\""},
        {          BYTES("a\0b"),       "\"a\\u0000b\""},
        {          BYTES("\x7f"),         "\"\\u007f\""},
        {BYTES("gr\xc3\xbc\x6e"),  "\"gr\xc3\xbc\x6e\""},
        {   BYTES("\xc2\x9b"
   "1m"),
         "\"\\u009b1m\""                               },
        {      BYTES("\xc2\xa9"),        "\"\xc2\xa9\""},
        {     BYTES("\xff!\xc2"), "\"\\ufffd!\\ufffd\""},
    };
    for (unsigned row = 0; row < COUNT_OF(rows); row++) {
        struct log_line line = log_begin(LOG_INFO, "e");
        log_bytes(&line, "v", rows[row].value);
        log_end(&line);
        char expected[64];
        (void)snprintf(expected, sizeof expected, " info e v=%s\n", rows[row].text);
        assert_string_equal(expected, logged_after_time(""));
    }
}

static void a_field_that_does_not_fit_is_left_out_whole(void **state)
{
    (void)state;
    static char wide[LOG_LINE_BYTES_MAX];
    memset(wide, 'x', sizeof wide - 1);
    struct log_line line = log_begin(LOG_INFO, "e");
    log_number(&line, "before", 1);
    log_text(&line, "wide", wide);
    log_number(&line, "after", 2);
    log_end(&line);
    assert_string_equal(" info e before=1 after=2 cut=true\n", logged_after_time(""));
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    log_configure(LOG_AS_TEXT, LOG_WARN, out[1]);
    log_event(LOG_INFO, "nothing_much");
    assert_string_equal("", logged());
    log_event(LOG_WARN, "something");
    assert_string_equal(" warn something\n", logged_after_time(""));
}

/* Goal: a reader that does not read costs lines and stops nobody, and is told how many. */
static void lines_that_found_no_reader_are_counted(void **state)
{
    (void)state;
    static uint8_t page[4096];
    while (write(out[1], page, sizeof page) > 0) {
    }
    for (unsigned line = 0; line < 3; line++)
        log_event(LOG_INFO, "unheard");
    while (read(out[0], page, sizeof page) > 0) {
    }
    log_event(LOG_INFO, "heard");
    const char *text = logged_after_time("");
    const char *first = " warn log_dropped lines=3\n";
    assert_int_equal(0, strncmp(text, first, strlen(first)));
    assert_non_null(strstr(text, " info heard\n"));
    log_event(LOG_INFO, "heard_again");
    assert_string_equal(" info heard_again\n", logged_after_time(""));
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(a_pace_passes_over_what_is_too_much_and_says_so),
        PIPE_TEST(debug_is_off_until_it_is_asked_for),
        PIPE_TEST(text_is_one_line_of_names_and_values),
        PIPE_TEST(json_is_one_object_a_line),
        PIPE_TEST(an_event_needs_no_fields),
        PIPE_TEST(hostile_values_are_spelt_out),
        PIPE_TEST(a_field_that_does_not_fit_is_left_out_whole),
        PIPE_TEST(lines_below_the_level_are_not_written),
        PIPE_TEST(lines_that_found_no_reader_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
