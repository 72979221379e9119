/*
 * telling_test.c: what is told of work that went wrong or slowly, once and not more often than
 * somebody can read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/routes.h"
#include "server/telling.h"

#define SECOND_NS INT64_C(1000000000)
#define ID "4bf92f3577b34da6a3ce929d0e0e4736"

static int out[2];

static int open_pipe(void **state)
{
    (void)state;
    assert_int_equal(pipe2(out, O_NONBLOCK), 0);
    log_configure(LOG_AS_TEXT, LOG_INFO, out[1]);
    return 0;
}

static int close_pipe(void **state)
{
    (void)state;
    log_configure(LOG_AS_TEXT, LOG_INFO, STDERR_FILENO);
    assert_int_equal(close(out[0]), 0);
    assert_int_equal(close(out[1]), 0);
    return 0;
}

/* All that was written since the last call. */
static const char *logged(void)
{
    static char text[65536];
    const ssize_t got = read(out[0], text, sizeof(text) - 1);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

static unsigned lines_with(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        ++count;
    return count;
}

static struct exchange asked(const char *method, const char *path)
{
    struct exchange exchange = {.taken_ns = 5 * SECOND_NS, .answer.status = 200};
    memcpy(exchange.request_id.text, ID, REQUEST_ID_LENGTH);
    assert_int_equal(
        route_find(bytes_of_text(method), bytes_of_text(path), &exchange.route, &exchange.target),
        ROUTE_FOUND);
    return exchange;
}

static void a_slow_request_is_told_with_its_stages(void **state)
{
    (void)state;
    struct telling telling = {0};
    struct exchange exchange = asked("POST", "/v1/consume");
    telling_sent(&telling, &exchange, exchange.taken_ns + TELLING_SLOW_NS);
    assert_string_equal(logged(), "");
    exchange.times = (struct exchange_times){.begun_ns = exchange.taken_ns + SECOND_NS / 2,
                                             .waited_ns = SECOND_NS / 4,
                                             .decided_ns = exchange.taken_ns + SECOND_NS};
    telling_sent(&telling, &exchange, exchange.taken_ns + 3 * SECOND_NS);
    const char *text = logged();
    assert_non_null(strstr(text, " warn slow_request method=POST route=/v1/consume status=200 "
                                 "request_id=" ID " us=3000000 queue_us=500000 wait_us=250000 "
                                 "durable_us=2000000\n"));
}

static void a_flood_of_slow_requests_is_ten_lines_a_second(void **state)
{
    (void)state;
    struct telling telling = {0};
    struct exchange exchange = asked("POST", "/v1/consume");
    for (unsigned i = 0; i < 1000; ++i)
        telling_sent(&telling, &exchange, 20 * SECOND_NS + i);
    assert_int_equal(lines_with(logged(), "slow_request"), 10);
    telling_sent(&telling, &exchange, 21 * SECOND_NS);
    assert_non_null(strstr(logged(), " passed_over=990\n"));
}

static void a_problem_of_the_servers_is_told_and_a_callers_is_not(void **state)
{
    (void)state;
    struct telling telling = {0};
    telling_problem(&telling, PROBLEM_INVALID_VALUE, BYTES(ID), SECOND_NS);
    assert_string_equal(logged(), "");
    telling_problem(&telling, PROBLEM_INTERNAL, BYTES(ID), SECOND_NS);
    assert_non_null(
        strstr(logged(), " error request_failed code=internal status=500 request_id=" ID "\n"));
    for (unsigned i = 0; i < 500; ++i)
        telling_problem(&telling, PROBLEM_OUTCOME_UNKNOWN, BYTES(ID), 9 * SECOND_NS);
    assert_int_equal(lines_with(logged(), " warn request_failed "), 10);
}

static void strangers_are_a_line_a_second_and_counted(void **state)
{
    (void)state;
    struct telling telling = {0};
    for (unsigned i = 0; i < 500; ++i)
        telling_problem(&telling, PROBLEM_UNAUTHORIZED, BYTES(ID), 9 * SECOND_NS + i);
    assert_int_equal(lines_with(logged(), " warn access_refused request_id=" ID "\n"), 1);
    telling_problem(&telling, PROBLEM_UNAUTHORIZED, BYTES(ID), 10 * SECOND_NS);
    assert_non_null(strstr(logged(), " warn access_refused request_id=" ID " passed_over=499\n"));
}

static void an_overload_is_told_at_its_beginning_and_its_end(void **state)
{
    (void)state;
    struct telling telling = {0};
    for (unsigned i = 0; i < 100; ++i)
        telling_problem(&telling, PROBLEM_CAPACITY, BYTES(ID), SECOND_NS + i);
    assert_int_equal(lines_with(logged(), " warn overload_begun\n"), 1);
    telling_turn(&telling, false, 0, SECOND_NS + TELLING_CALM_NS);
    assert_string_equal(logged(), "");
    telling_turn(&telling, false, 0, 2 * SECOND_NS + TELLING_CALM_NS);
    assert_non_null(strstr(logged(), " info overload_ended refused=100\n"));
    telling_turn(&telling, false, 0, 9 * TELLING_CALM_NS);
    assert_string_equal(logged(), "");
}

static void books_that_are_behind_are_told_once_and_once_when_they_are_not(void **state)
{
    (void)state;
    struct telling telling = {0};
    for (unsigned i = 0; i < 5; ++i)
        telling_turn(&telling, true, 31000, SECOND_NS);
    assert_int_equal(lines_with(logged(), " warn ledger_behind lag_ms=31000\n"), 1);
    for (unsigned i = 0; i < 5; ++i)
        telling_turn(&telling, false, 200, SECOND_NS);
    assert_int_equal(lines_with(logged(), " info ledger_caught_up lag_ms=200\n"), 1);
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(a_slow_request_is_told_with_its_stages),
        PIPE_TEST(a_flood_of_slow_requests_is_ten_lines_a_second),
        PIPE_TEST(a_problem_of_the_servers_is_told_and_a_callers_is_not),
        PIPE_TEST(strangers_are_a_line_a_second_and_counted),
        PIPE_TEST(an_overload_is_told_at_its_beginning_and_its_end),
        PIPE_TEST(books_that_are_behind_are_told_once_and_once_when_they_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
