/*
 * notify_test.c: the manager is a socket of the test's own.
 */
#include "platform/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/testing.h"

static char place[] = "/tmp/weir-notify-XXXXXX";
static char path[64];

static int make_place(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(place));
    (void)snprintf(path, sizeof path, "%s/manager", place);
    return 0;
}

static int remove_place(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(place);
}

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t length = strlen(name);
    assert_true(length < sizeof address.sun_path);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    assert_int_equal(0, bind(fd, (const struct sockaddr *)&address, size));
    return fd;
}

/* The next message; empty when there is none. */
static const char *heard(int fd)
{
    static char text[2048];
    const ssize_t got = recv(fd, text, sizeof text - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    return text;
}

static struct notifier open_with(const char *socket_name, const char *watchdog, const char *whose)
{
    char detail[NOTIFY_DETAIL_SIZE];
    struct notifier notifier;
    assert_int_equal(0, setenv("NOTIFY_SOCKET", socket_name, 1));
    if (watchdog != NULL) assert_int_equal(0, setenv("WATCHDOG_USEC", watchdog, 1));
    if (whose != NULL) assert_int_equal(0, setenv("WATCHDOG_PID", whose, 1));
    assert_true(notifier_open(&notifier, detail));
    return notifier;
}

static void without_a_manager_nothing_is_told(void **state)
{
    (void)state;
    char detail[NOTIFY_DETAIL_SIZE];
    struct notifier notifier;
    assert_true(notifier_open(&notifier, detail));
    assert_int_equal(-1, notifier.fd);
    assert_int_equal(0, notifier.watchdog_ns);
    notify_ready(&notifier, "answering");
    notifier_close(&notifier);
}

static void every_news_is_one_message_with_its_status(void **state)
{
    (void)state;
    const int manager = listen_at(path);
    struct notifier notifier = open_with(path, NULL, NULL);
    assert_int_equal(0, notifier.watchdog_ns);
    notify_status(&notifier, "recovering: batch 2 of 9");
    assert_string_equal("STATUS=recovering: batch 2 of 9\n", heard(manager));
    notify_ready(&notifier, "answering");
    assert_string_equal("READY=1\nSTATUS=answering\n", heard(manager));
    notify_alive(&notifier, "3 connections");
    assert_string_equal("WATCHDOG=1\nSTATUS=3 connections\n", heard(manager));
    notify_reloading(&notifier, "reading files anew");
    const char *reloading = heard(manager);
    assert_non_null(strstr(reloading, "RELOADING=1\nMONOTONIC_USEC="));
    assert_non_null(strstr(reloading, "\nSTATUS=reading files anew\n"));
    notify_stopping(&notifier, "stopping");
    assert_string_equal("STOPPING=1\nSTATUS=stopping\n", heard(manager));
    assert_string_equal("", heard(manager));
    notifier_close(&notifier);
    assert_int_equal(0, close(manager));
    assert_int_equal(0, unlink(path));
}

static void a_name_without_a_file_is_an_address_too(void **state)
{
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof name, "@weir-notify-%d", (int)getpid());
    const int manager = listen_at(name);
    struct notifier notifier = open_with(name, NULL, NULL);
    notify_ready(&notifier, "answering");
    assert_string_equal("READY=1\nSTATUS=answering\n", heard(manager));
    notifier_close(&notifier);
    assert_int_equal(0, close(manager));
}

static void the_environment_is_taken_and_not_left_to_children(void **state)
{
    (void)state;
    const int manager = listen_at(path);
    struct notifier notifier = open_with(path, "30000000", NULL);
    assert_int_equal(INT64_C(30000000000), notifier.watchdog_ns);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    notifier_close(&notifier);
    assert_int_equal(0, close(manager));
    assert_int_equal(0, unlink(path));
}

static void the_watchdog_of_another_process_is_not_ours(void **state)
{
    (void)state;
    char own[24];
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    const int manager = listen_at(path);
    struct notifier notifier = open_with(path, "5000", "1");
    assert_int_equal(0, notifier.watchdog_ns);
    notifier_close(&notifier);
    notifier = open_with(path, "5000", own);
    assert_int_equal(5000000, notifier.watchdog_ns);
    notifier_close(&notifier);
    assert_int_equal(0, close(manager));
    assert_int_equal(0, unlink(path));
}

static void what_is_of_no_use_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        const char *value;
        const char *named;
    } cases[] = {
        {"NOTIFY_SOCKET",               "manager",          "absolute path"},
        {"NOTIFY_SOCKET",                     "/",          "absolute path"},
        {"NOTIFY_SOCKET", "/nowhere/at/all/there", "NOTIFY_SOCKET: No such"},
        {"WATCHDOG_USEC",                     "0",          "WATCHDOG_USEC"},
        {"WATCHDOG_USEC",                    "-5",          "WATCHDOG_USEC"},
        {"WATCHDOG_USEC",                   "30s",          "WATCHDOG_USEC"},
        {"WATCHDOG_USEC",  "99999999999999999999",          "WATCHDOG_USEC"},
        { "WATCHDOG_PID",                      "",           "WATCHDOG_PID"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        char detail[NOTIFY_DETAIL_SIZE] = "";
        struct notifier notifier = {.fd = 77};
        assert_int_equal(0, setenv(cases[i].variable, cases[i].value, 1));
        assert_false(notifier_open(&notifier, detail));
        assert_non_null(strstr(detail, cases[i].named));
        assert_int_equal(77, notifier.fd);
        assert_null(getenv(cases[i].variable));
    }
}

static void a_manager_that_is_behind_costs_signs_of_life_not_time(void **state)
{
    (void)state;
    const int manager = listen_at(path);
    struct notifier notifier = open_with(path, NULL, NULL);
    for (int i = 0; i < 100000; ++i)
        notify_alive(&notifier, "nobody reads");
    unsigned heard_of = 0;
    while (heard(manager)[0] != '\0')
        ++heard_of;
    assert_in_range(heard_of, 1, 99999);
    notify_alive(&notifier, "again");
    assert_string_equal("WATCHDOG=1\nSTATUS=again\n", heard(manager));
    /* One that is gone for good is no reason to die. */
    assert_int_equal(0, close(manager));
    notify_ready(&notifier, "answering");
    notifier_close(&notifier);
    assert_int_equal(0, unlink(path));
}

static void a_long_status_is_cut(void **state)
{
    (void)state;
    char status[2 * NOTIFY_STATUS_BYTES_MAX + 1];
    const int manager = listen_at(path);
    struct notifier notifier = open_with(path, NULL, NULL);
    memset(status, 'x', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    notify_ready(&notifier, status);
    assert_int_equal(strlen("READY=1\nSTATUS=\n") + NOTIFY_STATUS_BYTES_MAX,
                     strlen(heard(manager)));
    notifier_close(&notifier);
    assert_int_equal(0, close(manager));
    assert_int_equal(0, unlink(path));
}

int main(void)
{
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_manager_nothing_is_told),
        cmocka_unit_test(every_news_is_one_message_with_its_status),
        cmocka_unit_test(a_name_without_a_file_is_an_address_too),
        cmocka_unit_test(the_environment_is_taken_and_not_left_to_children),
        cmocka_unit_test(the_watchdog_of_another_process_is_not_ours),
        cmocka_unit_test(what_is_of_no_use_is_named),
        cmocka_unit_test(a_manager_that_is_behind_costs_signs_of_life_not_time),
        cmocka_unit_test(a_long_status_is_cut),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
