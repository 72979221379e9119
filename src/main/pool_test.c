/*
 * pool_test.c: the pool against a real socket and a peer that misbehaves in every way at which a
 * request is worth repeating: hangs up, answers 503, tears its answer, closes after it.
 */
#include "main/pool.h"

#include "main/testing.h"

enum { JOBS = 400, CONNECTIONS = 7 };

struct turns {
    unsigned count;
    bool is_broken; /* answers everything with 503 */
};

/* One answer, good or bad by turns; the request's number stands in its path. */
static bool answer(void *self, int socket, const char *request)
{
    char text[256];
    char body[64];
    struct turns *turns = self;
    const unsigned turn = turns->is_broken ? 2 : turns->count++;
    const int body_length =
        snprintf(body, sizeof(body), "{\"number\":%d}", atoi(request + strlen("GET /")));
    const bool closes = turn % 11 == 3;
    const unsigned status = turn % 7 == 2 ? 503 : 200;
    if (turn % 5 == 4) return false;
    const int length =
        snprintf(text, sizeof(text), "HTTP/1.1 %u Said\r\nContent-Length: %d\r\n%s\r\n%s", status,
                 body_length, closes ? "Connection: close\r\n" : "", body);
    if (turn % 13 == 5) { /* torn: half of it, then gone */
        peer_send(socket, text, (size_t)length / 2);
        return false;
    }
    peer_send(socket, text, 20);
    peer_send(socket, text + 20, (size_t)length - 20);
    return !closes;
}

struct jobs {
    struct server_address address;
    int next;
    int count;
    int answers[JOBS];
    int refused;
    bool is_slow; /* one job per 200 microseconds */
    int64_t due_ns;
};

static enum pool_turn next(void *self, int64_t now_ns, struct pool_job *job, int64_t *at_ns_out)
{
    struct jobs *jobs = self;
    char path[32];
    if (jobs->next == jobs->count) return POOL_DONE;
    if (jobs->is_slow && now_ns < jobs->due_ns) {
        *at_ns_out = jobs->due_ns;
        return POOL_LATER;
    }
    jobs->due_ns = now_ns + 200000;
    (void)snprintf(path, sizeof(path), "/%d", jobs->next);
    job->token = (uint64_t)jobs->next++;
    client_request_put(job->request, &jobs->address,
                       &(struct client_request){.method = "GET", .path = path});
    return POOL_JOB;
}

static void answered(void *self, const struct pool_answer *answer)
{
    struct jobs *jobs = self;
    char body[64];
    (void)snprintf(body, sizeof(body), "{\"number\":%d}", (int)answer->token);
    if (answer->status == 200)
        assert_string_equal(answer->body, body);
    else
        ++jobs->refused;
    assert_true(answer->latency_ns > 0);
    ++jobs->answers[answer->token];
}

static struct pool_counts run_with(struct jobs *jobs, uint16_t port, uint32_t attempts,
                                   int64_t patience_ns)
{
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
    assert_true(
        server_address_find("test", &(struct client_options){.server = url}, &jobs->address));
    const struct pool_settings settings = {
        .address = &jobs->address,
        .connections = CONNECTIONS,
        .attempts = attempts,
        .patience_ns = patience_ns,
    };
    const struct pool_driver driver = {.self = jobs, .next = next, .answered = answered};
    struct pool_counts counts = {0};
    assert_true(pool_run(&settings, &driver, &counts));
    for (int i = 0; i < jobs->next; ++i)
        assert_int_equal(jobs->answers[i], 1);
    return counts;
}

static uint64_t run(struct jobs *jobs, uint16_t port, uint32_t attempts)
{
    const struct pool_counts counts = run_with(jobs, port, attempts, 0);
    assert_int_equal(jobs->next, jobs->count);
    assert_int_equal(counts.silence_ns, 0);
    return counts.retries;
}

static void every_job_is_answered_once_by_a_peer_that_misbehaves(void **state)
{
    struct turns turns = {0};
    struct peer peer = {.self = &turns, .answer = answer};
    struct jobs jobs = {.count = JOBS};
    (void)state;
    peer_start(&peer);
    assert_true(run(&jobs, peer.port, 50) > 0);
    assert_int_equal(jobs.refused, 0);
    peer_stop(&peer);
}

static void jobs_wait_for_their_time(void **state)
{
    struct turns turns = {0};
    struct peer peer = {.self = &turns, .answer = answer};
    struct jobs jobs = {.count = 20, .is_slow = true};
    (void)state;
    peer_start(&peer);
    (void)run(&jobs, peer.port, 50);
    peer_stop(&peer);
}

static void after_the_last_attempt_the_driver_hears_what_was_said(void **state)
{
    struct turns turns = {.is_broken = true};
    struct peer peer = {.self = &turns, .answer = answer};
    struct jobs jobs = {.count = 10};
    (void)state;
    peer_start(&peer);
    assert_int_equal(run(&jobs, peer.port, 3), 20);
    assert_int_equal(jobs.refused, 10);
    peer_stop(&peer);
}

static void with_nobody_there_every_job_is_refused(void **state)
{
    struct turns turns = {0};
    struct peer peer = {.self = &turns, .answer = answer};
    struct jobs jobs = {.count = 10};
    (void)state;
    peer_start(&peer);
    peer_stop(&peer);
    (void)run(&jobs, peer.port, 2);
    assert_int_equal(jobs.refused, 10);
}

static void a_server_that_is_silent_too_long_is_given_up(void **state)
{
    static const uint32_t attempts[] = {1000, 3}; /* the first jobs wait; jobs fail one by one */
    const int64_t patience_ns = INT64_C(200000000);
    struct turns turns = {0};
    struct peer peer = {.self = &turns, .answer = answer};
    (void)state;
    peer_start(&peer);
    peer_stop(&peer);
    for (size_t i = 0; i < COUNT_OF(attempts); ++i) {
        struct jobs jobs = {.count = JOBS};
        const struct pool_counts counts = run_with(&jobs, peer.port, attempts[i], patience_ns);
        assert_true(counts.silence_ns >= patience_ns);
        assert_in_range(jobs.next, CONNECTIONS, JOBS - 1);
        assert_int_equal(jobs.refused, jobs.next);
    }
}

static void addresses_are_urls_or_host_and_port(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
    } cases[] = {
        {"http://127.0.0.1:1234", "127.0.0.1:1234"},
        {      "127.0.0.1:1234/", "127.0.0.1:1234"},
        {    "http://127.0.0.1/", "127.0.0.1:7878"},
        {            "127.0.0.1", "127.0.0.1:7878"},
        {      "http://[::1]:80",       "[::1]:80"},
        {  "https://127.0.0.1:1",    "127.0.0.1:1"},
        {    "ftp://127.0.0.1:1",             NULL},
        {                 "[::1",             NULL},
        {              "http://",             NULL},
        {       "127.0.0.1:port",             NULL},
        {    "127.0.0.1:1234/v1",             NULL},
        {     "127.0.0.1:123456",             NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        struct server_address address;
        const bool is_found =
            server_address_find("test", &(struct client_options){.server = cases[i].url}, &address);
        assert_int_equal(is_found, cases[i].host != NULL);
        if (!is_found) continue;
        assert_string_equal(address.host, cases[i].host);
        assert_true((address.tls != NULL) == (strstr(cases[i].url, "https") != NULL));
        server_address_close(&address);
    }
}

static void names_are_escaped_in_paths_and_in_json(void **state)
{
    uint8_t block[128];
    struct buffer buffer = buffer_over(block, sizeof(block));
    (void)state;
    put_path_part(&buffer, "a/b c?\xc3\xa9~");
    put_json_string(&buffer, BYTES("say \"\\\n\x01"));
    buffer_put_byte(&buffer, '\0');
    assert_string_equal((char *)block, "a%2Fb%20c%3F%C3%A9~\"say \\\"\\\\\\u000A\\u0001\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_answered_once_by_a_peer_that_misbehaves),
        cmocka_unit_test(jobs_wait_for_their_time),
        cmocka_unit_test(after_the_last_attempt_the_driver_hears_what_was_said),
        cmocka_unit_test(with_nobody_there_every_job_is_refused),
        cmocka_unit_test(a_server_that_is_silent_too_long_is_given_up),
        cmocka_unit_test(addresses_are_urls_or_host_and_port),
        cmocka_unit_test(names_are_escaped_in_paths_and_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
