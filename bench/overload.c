/*
 * overload.c: what a server does that is asked for more than it can do.
 *
 *     overload URL PID [SECONDS [CONNECTIONS [GIVE_UP_MS]]]
 *
 * A job is an authorize, of one of three priorities, and the commit of what it was allowed. First
 * jobs are done one after the other over a fixed number of connections: that many a second is the
 * capacity, in this run. Then they are offered at 0.5, 1, 2 and 10 times that rate, BY TIME: a
 * job's turn comes when its turn comes, whatever became of those before, as among many users who do
 * not know of each other. It takes a connection that is free, or a new one, up to CONNECTIONS; with
 * all of them waiting for answers the job is lost here (`no way`): so many users cannot be had from
 * one machine. Who has waited GIVE_UP_MS for an answer gives up and
 * closes. A commit goes before
 * whatever else would take a connection. At last the capacity is measured once more.
 *
 * Goodput is jobs whose commit was answered. A refusal that is not a 503 `overloaded` with
 * Retry-After, or any other answer than 200, fails the run. PID is the server's, for its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "main/client.h"
#include "main/http_response.h"

#define SECOND_NS INT64_C(1000000000)

enum {
    CUSTOMERS = 10000,
    CAPACITY_CONNECTIONS = 256,
    CONNECTIONS_DEFAULT = 12000,
    GIVE_UP_MS_DEFAULT = 3000,
    GIVE_UP_COMMIT_MS = 15000, /* longer than any patience of the server's */
    REQUEST_BYTES = 512,
    ANSWER_BYTES = 4096,
    ID_BYTES = 32,
    EVENTS = 512,
    LATENCIES_MAX = 4 << 20
};

enum kind { SHEDDABLE, DEFAULT, CRITICAL, COMMIT, KINDS };
static const char *const kind_names[] = {"sheddable", "default", "critical", "commit"};
static const unsigned kind_percent[] = {30, 50, 20}; /* of authorizes */

struct connection {
    int fd; /* -1: closed */
    bool is_new;
    bool is_waiting; /* for an answer */
    enum kind kind;
    char id[ID_BYTES]; /* of the hold that is committed */
    int64_t due_ns;
    struct connection *before; /* in the line of those who wait for an answer */
    struct connection *after;
    struct connection *next; /* free, or closed */
    size_t to_send;
    size_t sent;
    size_t received;
    char request[REQUEST_BYTES];
    char answer[ANSWER_BYTES + 1];
};

/* Whose commit found no connection yet. */
struct owed {
    int64_t due_ns;
    char id[ID_BYTES];
};

struct tally {
    uint64_t sent;
    uint64_t allowed;
    uint64_t refused;     /* 503 overloaded */
    uint64_t turned_away; /* the same for its connection, or a reset, before anything was read */
    uint64_t crossed;     /* an idle connection was closed as it was taken */
    uint64_t given_up;
    uint32_t *latencies_us; /* of those that were allowed; LATENCIES_MAX */
    size_t latency_count;
};

static struct {
    struct server_address address;
    char statm[64];
    char stat[64];
    int epoll;
    struct connection *connections;
    uint32_t connections_max;
    uint32_t limit;     /* of this stage */
    int64_t give_up_ms; /* of an authorize */
    uint32_t open;
    struct connection *idle;
    struct connection *closed;
    struct connection *first_waiting;
    struct connection *last_waiting;
    struct owed *owed; /* a ring of LATENCIES_MAX */
    uint64_t owed_first;
    uint64_t owed_end;
    bool is_by_answers; /* the next job comes when one is done */
    struct prng prng;
    struct tally tallies[KINDS];
    uint64_t offered;
    uint64_t no_way;
    uint64_t resident_most;
    double processor_from_sec;
} run;

static void fail(const char *what)
{
    (void)fprintf(stderr, "overload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen(run.statm, "re");
    if (file == NULL || fscanf(file, "%*s %lu", &pages) != 1) fail("the server's memory");
    (void)fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The 14th and 15th word; the second, the program's name, has no space in it. */
static double processor_sec(void)
{
    unsigned long user = 0, system = 0;
    FILE *file = fopen(run.stat, "re");
    if (file == NULL || fscanf(file, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
                               &user, &system) != 2)
        fail("the server's processor time");
    (void)fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- connections */

static void leave_line(struct connection *connection)
{
    if (connection->before != NULL)
        connection->before->after = connection->after;
    else
        run.first_waiting = connection->after;
    if (connection->after != NULL)
        connection->after->before = connection->before;
    else
        run.last_waiting = connection->before;
    connection->is_waiting = false;
}

static void join_line(struct connection *connection)
{
    connection->before = run.last_waiting;
    connection->after = NULL;
    if (run.last_waiting != NULL)
        run.last_waiting->after = connection;
    else
        run.first_waiting = connection;
    run.last_waiting = connection;
    connection->is_waiting = true;
}

static void shut(struct connection *connection)
{
    (void)close(connection->fd);
    connection->fd = -1;
    connection->next = run.closed;
    run.closed = connection;
    --run.open;
}

/* NULL: there are as many as there may be, or the system has no more. */
static struct connection *open_one(void)
{
    struct connection *connection = run.closed;
    const struct server_address *address = &run.address;
    const int yes = 1;
    if (run.open >= run.limit || connection == NULL) return NULL;
    const int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, (const struct sockaddr *)&address->socket, address->socket_length) != 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        return NULL;
    }
    run.closed = connection->next;
    connection->fd = fd;
    connection->is_new = true;
    ++run.open;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll");
    return connection;
}

static struct connection *take_connection(void)
{
    struct connection *connection = run.idle;
    if (connection == NULL) return open_one();
    run.idle = connection->next;
    return connection;
}

/* ---- requests */

static void send_some(struct connection *connection)
{
    while (connection->sent < connection->to_send) {
        const ssize_t count = send(connection->fd, connection->request + connection->sent,
                                   connection->to_send - connection->sent, MSG_NOSIGNAL);
        if (count < 0) return; /* not yet; or never, which reading will tell */
        connection->sent += (size_t)count;
    }
}

static void begin(struct connection *connection, enum kind kind, int64_t due_ns)
{
    connection->kind = kind;
    connection->due_ns = due_ns;
    connection->sent = connection->received = 0;
    join_line(connection);
    ++run.tallies[kind].sent;
}

static void put_request(struct connection *connection, const char *path, struct buffer *body)
{
    struct buffer request = buffer_over(connection->request, REQUEST_BYTES);
    const struct client_request asked = {
        .method = "POST", .path = path, .body = buffer_bytes(body)};
    client_request_put(&request, &run.address, &asked);
    ENSURE(!request.overflowed && !body->overflowed);
    connection->to_send = request.used;
    send_some(connection);
}

static void begin_authorize(struct connection *connection, int64_t due_ns)
{
    uint8_t block[256];
    struct buffer body = buffer_over(block, sizeof block);
    uint64_t die = prng_below(&run.prng, 100);
    enum kind kind = SHEDDABLE;
    for (; kind < CRITICAL && die >= kind_percent[kind]; ++kind)
        die -= kind_percent[kind];
    begin(connection, kind, due_ns);
    buffer_put_text(&body, "{\"customer\":\"customer-");
    buffer_put_decimal(&body, prng_below(&run.prng, CUSTOMERS));
    buffer_put_text(&body, "\",\"feature\":\"metered\",\"quantities\":{\"requests\":1},"
                           "\"priority\":\"");
    buffer_put_text(&body, kind_names[kind]);
    buffer_put_text(&body, "\"}");
    put_request(connection, "/v1/authorize", &body);
}

static void begin_commit(struct connection *connection, const struct owed *owed)
{
    char path[128];
    uint8_t block[64];
    struct buffer body = buffer_over(block, sizeof block);
    begin(connection, COMMIT, owed->due_ns);
    (void)snprintf(connection->id, sizeof connection->id, "%s", owed->id);
    buffer_put_text(&body, "{\"quantities\":{\"requests\":1}}");
    (void)snprintf(path, sizeof path, "/v1/holds/%s/commit", owed->id);
    put_request(connection, path, &body);
}

/* A connection is free: the next to have it. */
static void use(struct connection *connection, int64_t time_ns)
{
    if (run.owed_first != run.owed_end) {
        begin_commit(connection, &run.owed[run.owed_first++ % LATENCIES_MAX]);
    } else if (run.is_by_answers) {
        ++run.offered;
        begin_authorize(connection, time_ns);
    } else {
        connection->next = run.idle;
        run.idle = connection;
    }
}

static void offer(int64_t due_ns)
{
    struct connection *connection = take_connection();
    ++run.offered;
    if (connection == NULL)
        ++run.no_way;
    else
        begin_authorize(connection, due_ns);
}

/* ---- answers */

static void owe_commit(const char *id, int64_t due_ns)
{
    struct owed *owed = &run.owed[run.owed_end++ % LATENCIES_MAX];
    ENSURE(run.owed_end - run.owed_first <= LATENCIES_MAX);
    owed->due_ns = due_ns;
    (void)snprintf(owed->id, ID_BYTES, "%s", id);
}

static void take_allowed(const char *body, int64_t time_ns)
{
    static const char name[] = "\"decision_id\":\"";
    const char *found = strstr(body, name);
    char id[ID_BYTES];
    if (found == NULL || strstr(body, "\"outcome\":\"allow\"") == NULL) {
        (void)fprintf(stderr, "overload: not allowed: %s\n", body);
        exit(1);
    }
    found += strlen(name);
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(found, "\""), found);
    owe_commit(id, time_ns);
}

static void take_refusal(struct tally *tally, const char *head, const char *body)
{
    if (strstr(body, "\"code\":\"overloaded\"") == NULL ||
        strcasestr(head, "\r\nretry-after: ") == NULL) {
        (void)fprintf(stderr, "overload: no proper refusal: %s\n%s\n", head, body);
        exit(1);
    }
    if (strstr(body, "fewer connections") != NULL)
        ++tally->turned_away;
    else
        ++tally->refused;
}

static void take_answer(struct connection *connection, const struct http_response *response)
{
    struct tally *tally = &run.tallies[connection->kind];
    const int64_t time_ns = now_ns();
    leave_line(connection);
    connection->is_new = false;
    if (response->status == 200) {
        const int64_t latency_us = (time_ns - connection->due_ns) / 1000;
        ++tally->allowed;
        if (tally->latency_count < LATENCIES_MAX)
            tally->latencies_us[tally->latency_count++] = (uint32_t)latency_us;
        if (connection->kind != COMMIT) take_allowed(response->body, time_ns);
    } else if (response->status == 503) {
        take_refusal(tally, connection->answer, response->body);
        if (connection->kind == COMMIT) owe_commit(connection->id, connection->due_ns);
    } else {
        (void)fprintf(stderr, "overload: status %u: %s\n", response->status, response->body);
        exit(1);
    }
    if (response->keeps_alive)
        use(connection, time_ns);
    else
        shut(connection);
}

/* The server has closed. Idle: its right, and whoever has begun to ask meanwhile asks again, as
 * HTTP clients do. New: it was turned away. */
static void take_end(struct connection *connection)
{
    struct connection **link = &run.idle;
    if (connection->is_waiting) {
        struct tally *tally = &run.tallies[connection->kind];
        leave_line(connection);
        ++*(connection->is_new ? &tally->turned_away : &tally->crossed);
        if (connection->kind == COMMIT) owe_commit(connection->id, connection->due_ns);
    } else {
        while (*link != connection)
            link = &(*link)->next;
        *link = connection->next;
    }
    shut(connection);
}

static void receive(struct connection *connection)
{
    struct http_response response;
    for (;;) {
        const size_t room = ANSWER_BYTES - connection->received;
        const ssize_t count =
            recv(connection->fd, connection->answer + connection->received, room, 0);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0) {
            take_end(connection);
            return;
        }
        connection->received += (size_t)count;
        connection->answer[connection->received] = '\0';
        switch (http_response_read(connection->answer, connection->received, false, &response)) {
        case HTTP_MORE:
            continue;
        case HTTP_BROKEN:
            (void)fprintf(stderr, "overload: no HTTP answer: %s\n", connection->answer);
            exit(1);
        case HTTP_COMPLETE:
            take_answer(connection, &response);
            if (connection->fd < 0) return;
            break;
        }
    }
}

static void give_up_late(int64_t time_ns)
{
    struct connection *after;
    for (struct connection *connection = run.first_waiting; connection != NULL;
         connection = after) {
        const int64_t waited_ms = (time_ns - connection->due_ns) / 1000000;
        after = connection->after;
        if (waited_ms < run.give_up_ms) return;
        if (connection->kind == COMMIT && waited_ms < GIVE_UP_COMMIT_MS) continue;
        ++run.tallies[connection->kind].given_up;
        leave_line(connection);
        shut(connection);
    }
}

/* Everything that is here now; waits for it a little. */
static void turn(int wait_ms)
{
    static struct epoll_event events[EVENTS];
    const int count = epoll_wait(run.epoll, events, EVENTS, wait_ms);
    if (count < 0 && errno != EINTR) fail("epoll");
    for (int i = 0; i < count; ++i) {
        struct connection *connection = events[i].data.ptr;
        if (connection->fd < 0) continue;
        if ((events[i].events & EPOLLOUT) != 0 && connection->is_waiting) send_some(connection);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) receive(connection);
    }
    /* Who has work under way has a connection: a commit does not come on a new one where there is
     * another way. */
    while (run.owed_first != run.owed_end && (run.idle != NULL || run.first_waiting == NULL)) {
        struct connection *connection = take_connection();
        if (connection == NULL) break;
        begin_commit(connection, &run.owed[run.owed_first++ % LATENCIES_MAX]);
    }
    give_up_late(now_ns());
}

/* ---- stages */

static void begin_stage(uint32_t connections)
{
    for (unsigned kind = 0; kind < KINDS; ++kind) {
        uint32_t *latencies_us = run.tallies[kind].latencies_us;
        run.tallies[kind] = (struct tally){.latencies_us = latencies_us};
    }
    run.offered = run.no_way = 0;
    run.limit = connections;
    run.resident_most = resident_bytes();
    run.processor_from_sec = processor_sec();
}

/* Until nobody waits any more. */
static void finish(void)
{
    run.is_by_answers = false;
    while (run.first_waiting != NULL || run.owed_first != run.owed_end)
        turn(10);
}

/* As many as there may be, with a job each: from now on they are there, as those of gateways are.
 */
static void connect_all(void)
{
    enum { AT_ONCE = 256 };
    begin_stage(run.connections_max);
    for (uint32_t opened = 0; opened < run.connections_max; ++opened) {
        struct connection *connection = open_one();
        if (connection == NULL) fail("connect");
        begin_authorize(connection, now_ns());
        while (run.tallies[COMMIT].sent + AT_ONCE < opened)
            turn(10);
    }
    finish();
}

static void watch_memory(int64_t time_ns, int64_t *looked_ns)
{
    if (time_ns - *looked_ns < SECOND_NS / 20) return;
    *looked_ns = time_ns;
    const uint64_t resident = resident_bytes();
    if (resident > run.resident_most) run.resident_most = resident;
}

/* Jobs of a second, and of a second of the server's processor time: on a machine that others use
 * too, the second tells more. */
struct rate {
    double by_clock;
    double by_processor;
};

static struct rate rate_since(int64_t from_ns)
{
    const double jobs = (double)run.tallies[COMMIT].allowed;
    const double processor = processor_sec() - run.processor_from_sec;
    return (struct rate){.by_clock = jobs * 1e9 / (double)(now_ns() - from_ns),
                         .by_processor = processor > 0 ? jobs / processor : 0};
}

static struct rate measure_capacity(double seconds)
{
    begin_stage(CAPACITY_CONNECTIONS);
    run.is_by_answers = true;
    const int64_t from_ns = now_ns();
    for (unsigned i = 0; i < CAPACITY_CONNECTIONS; ++i)
        offer(from_ns);
    int64_t looked_ns = 0;
    while (now_ns() - from_ns < (int64_t)(seconds * 1e9)) {
        turn(10);
        watch_memory(now_ns(), &looked_ns);
    }
    const struct rate rate = rate_since(from_ns);
    finish();
    return rate;
}

static int by_size(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(const struct tally *tally, double percent)
{
    if (tally->latency_count == 0) return 0;
    const size_t at = (size_t)((double)(tally->latency_count - 1) * percent / 100);
    return (double)tally->latencies_us[at] / 1e3;
}

static void report(double times, struct rate capacity, struct rate goodput, double seconds)
{
    printf("\n  %.1f of capacity: %.0f jobs/s offered, %.0f/s done: goodput %.2f of capacity "
           "(%.2f by processor time); %.0f MiB at most\n",
           times, (double)run.offered / seconds, goodput.by_clock,
           goodput.by_clock / capacity.by_clock, goodput.by_processor / capacity.by_processor,
           (double)run.resident_most / (1 << 20));
    if (run.no_way > 0)
        printf("  %.0f/s of them found all connections of this program waiting for answers\n",
               (double)run.no_way / seconds);
    printf("  %-10s %8s %8s %8s %9s %8s %9s %8s %8s %8s\n", "", "sent/s", "200/s", "503/s",
           "no entry", "crossed", "given up", "p50 ms", "p99 ms", "max ms");
    for (unsigned kind = 0; kind < KINDS; ++kind) {
        struct tally *tally = &run.tallies[kind];
        qsort(tally->latencies_us, tally->latency_count, sizeof *tally->latencies_us, by_size);
        printf("  %-10s %8.0f %8.0f %8.0f %9.0f %8" PRIu64 " %9" PRIu64 " %8.1f %8.1f %8.1f\n",
               kind_names[kind], (double)tally->sent / seconds, (double)tally->allowed / seconds,
               (double)tally->refused / seconds, (double)tally->turned_away / seconds,
               tally->crossed, tally->given_up, percentile_ms(tally, 50), percentile_ms(tally, 99),
               percentile_ms(tally, 100));
    }
}

static void run_stage(double times, struct rate capacity, double seconds)
{
    begin_stage(run.connections_max);
    const double every_ns = 1e9 / (capacity.by_clock * times);
    const int64_t from_ns = now_ns();
    const int64_t until_ns = from_ns + (int64_t)(seconds * 1e9);
    double due_ns = (double)from_ns;
    int64_t looked_ns = 0;
    for (int64_t time_ns = from_ns; time_ns < until_ns; time_ns = now_ns()) {
        /* Answers are looked at in between, however many are late. */
        for (unsigned i = 0; i < EVENTS && due_ns <= (double)time_ns; ++i, due_ns += every_ns)
            offer((int64_t)due_ns);
        turn(due_ns > (double)time_ns + 1e6 ? 1 : 0);
        watch_memory(time_ns, &looked_ns);
    }
    const struct rate goodput = rate_since(from_ns);
    const double spent = (double)(now_ns() - from_ns) / 1e9;
    finish();
    report(times, capacity, goodput, spent);
}

static void start(const char *url, const char *pid)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) fail("limits");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) fail("limits");
    if (run.connections_max + 64 > files.rlim_cur) {
        run.connections_max = (uint32_t)files.rlim_cur - 64;
        printf("  (no more than %u connections: ulimit -n)\n", run.connections_max);
    }
    (void)snprintf(run.statm, sizeof run.statm, "/proc/%s/statm", pid);
    (void)snprintf(run.stat, sizeof run.stat, "/proc/%s/stat", pid);
    if (!server_address_find("overload", &(struct client_options){.server = url}, &run.address))
        exit(1);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.connections = calloc(run.connections_max, sizeof *run.connections);
    run.owed = calloc(LATENCIES_MAX, sizeof *run.owed);
    ENSURE(run.epoll >= 0 && run.connections != NULL && run.owed != NULL);
    for (uint32_t i = run.connections_max; i > 0; --i) {
        run.connections[i - 1].fd = -1;
        run.connections[i - 1].next = run.closed;
        run.closed = &run.connections[i - 1];
    }
    for (unsigned kind = 0; kind < KINDS; ++kind) {
        run.tallies[kind].latencies_us = calloc(LATENCIES_MAX, sizeof(uint32_t));
        ENSURE(run.tallies[kind].latencies_us != NULL);
    }
}

int main(int argc, char **argv)
{
    static const double stages[] = {0.5, 1, 2, 10};
    const double seconds = argc > 3 ? strtod(argv[3], NULL) : 10;
    run.connections_max = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : CONNECTIONS_DEFAULT;
    run.give_up_ms = argc > 5 ? strtol(argv[5], NULL, 10) : GIVE_UP_MS_DEFAULT;
    if (argc < 3 || !(seconds > 0) || run.connections_max < CAPACITY_CONNECTIONS) {
        (void)fprintf(stderr, "usage: overload URL PID [SECONDS [CONNECTIONS [GIVE_UP_MS]]]\n");
        return 2;
    }
    start(argv[1], argv[2]);
    connect_all();
    (void)measure_capacity(seconds / 4); /* customers come to be */
    const struct rate capacity = measure_capacity(seconds);
    printf(
        "  capacity: %.0f jobs/s (authorize and commit) over %u connections, %.0f for each second "
        "of the server's processor; %.0f MiB\n",
        capacity.by_clock, (unsigned)CAPACITY_CONNECTIONS, capacity.by_processor,
        (double)run.resident_most / (1 << 20));
    for (size_t i = 0; i < COUNT_OF(stages); ++i)
        run_stage(stages[i], capacity, seconds);
    const struct rate after = measure_capacity(seconds);
    printf("\n  afterwards: %.0f jobs/s, %.2f of before (%.2f by processor time); %.0f MiB\n",
           after.by_clock, after.by_clock / capacity.by_clock,
           after.by_processor / capacity.by_processor, (double)run.resident_most / (1 << 20));
    return 0;
}
