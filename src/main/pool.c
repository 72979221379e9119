/*
 * pool.c: non-blocking sockets and one poll. The requests of a load are short and the answers come
 * together, so a turn of poll serves many (docs/decisions/0003-load-client.md).
 */
#include "main/pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "main/http_response.h"
#include "main/transport.h"

#define MILLISECOND_NS INT64_C(1000000)
#define BACKOFF_NS_MAX (1000 * MILLISECOND_NS)
#define ANSWER_NS_MAX (30000 * MILLISECOND_NS) /* without a byte for so long: a lost answer */

#define WAIT_NS_MAX (500 * MILLISECOND_NS) /* then the driver is asked again */

enum { RECEIVE_BYTES_START = 16 << 10 };

enum phase {
    PHASE_FREE,    /* no request; the socket may be open */
    PHASE_SENDING, /* connecting, or bytes are left to send */
    PHASE_WAITING, /* for the answer */
    PHASE_RESTING  /* a failed attempt, to be repeated at wake_ns */
};

struct connection {
    enum phase phase;
    uint32_t attempt;
    uint64_t token;
    int64_t first_ns; /* of the first attempt */
    int64_t wake_ns;  /* RESTING: when to try again; SENDING, WAITING: when to give up waiting */
    struct transport transport;
    struct buffer request;
    size_t sent;
    char *received;
    size_t received_length;
    size_t received_size;
    uint8_t block[POOL_REQUEST_BYTES_MAX];
};

struct pool {
    const struct pool_settings *settings;
    const struct pool_driver *driver;
    struct connection *connections;
    struct pollfd *sockets; /* fd -1: closed; parallel to connections */
    struct pool_counts counts;
    uint32_t outstanding;
    int64_t silent_since_ns; /* while some are outstanding: without any answer */
    int64_t silence_ns;      /* while none is: how long it had been when the last ended */
    bool is_out_of_memory;
};

int64_t pool_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * MILLISECOND_NS + now.tv_nsec;
}

static void disconnect(struct connection *connection, struct pollfd *socket)
{
    transport_close(&connection->transport);
    *socket = (struct pollfd){.fd = -1};
}

static bool connect_socket(const struct server_address *address, struct connection *connection,
                           struct pollfd *socket)
{
    if (!transport_open(&connection->transport, address, NULL)) return false;
    *socket = (struct pollfd){.fd = connection->transport.socket};
    return true;
}

/* One answer for the driver; the connection is free. */
static void finish(struct pool *pool, struct connection *connection, int64_t now_ns,
                   unsigned status, const char *body)
{
    connection->phase = PHASE_FREE;
    connection->received_length = 0;
    if (--pool->outstanding == 0) pool->silence_ns = now_ns - pool->silent_since_ns;
    pool->driver->answered(pool->driver->self,
                           &(struct pool_answer){.token = connection->token,
                                                 .status = status,
                                                 .body = body,
                                                 .latency_ns = now_ns - connection->first_ns});
}

/* The attempt failed: rest and repeat it, or give up with what there is to say. */
static void fail(struct pool *pool, struct connection *connection, int64_t now_ns, unsigned status,
                 const char *body)
{
    if (connection->attempt >= pool->settings->attempts) {
        finish(pool, connection, now_ns, status, body);
        return;
    }
    const uint32_t doublings = connection->attempt < 7 ? connection->attempt : 7;
    int64_t rest_ns = (10 * MILLISECOND_NS) << doublings;
    if (rest_ns > BACKOFF_NS_MAX) rest_ns = BACKOFF_NS_MAX;
    connection->phase = PHASE_RESTING;
    connection->wake_ns = now_ns + rest_ns;
    ++pool->counts.retries;
}

static void send_more(struct pool *pool, struct connection *connection, struct pollfd *socket,
                      int64_t now_ns)
{
    const struct bytes request = buffer_bytes(&connection->request);
    const ssize_t sent = transport_send(&connection->transport, request.at + connection->sent,
                                        request.length - connection->sent);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
        disconnect(connection, socket);
        fail(pool, connection, now_ns, 0, "");
        return;
    }
    if (sent > 0) connection->sent += (size_t)sent;
    const bool is_sent = connection->sent == request.length;
    connection->phase = is_sent ? PHASE_WAITING : PHASE_SENDING;
    socket->events = is_sent ? POLLIN : connection->transport.wants;
}

static void attempt(struct pool *pool, struct connection *connection, struct pollfd *socket,
                    int64_t now_ns)
{
    ++connection->attempt;
    connection->sent = 0;
    connection->received_length = 0;
    connection->wake_ns = now_ns + ANSWER_NS_MAX;
    if (socket->fd < 0 && !connect_socket(pool->settings->address, connection, socket)) {
        disconnect(connection, socket);
        fail(pool, connection, now_ns, 0, "");
        return;
    }
    send_more(pool, connection, socket, now_ns);
}

static bool make_room(struct connection *connection)
{
    if (connection->received_size - connection->received_length > RECEIVE_BYTES_START / 4)
        return true;
    const size_t size =
        connection->received_size == 0 ? RECEIVE_BYTES_START : connection->received_size * 2;
    char *grown = size <= CLIENT_ANSWER_BYTES_MAX ? realloc(connection->received, size) : NULL;
    if (grown == NULL) return false;
    connection->received = grown;
    connection->received_size = size;
    return true;
}

/* True: there is more to take, of which poll would not tell. */
static bool receive_more(struct pool *pool, struct connection *connection, struct pollfd *socket)
{
    if (!make_room(connection)) {
        pool->is_out_of_memory = true;
        return false;
    }
    char *at = connection->received + connection->received_length;
    const ssize_t got = transport_receive(
        &connection->transport, at, connection->received_size - connection->received_length - 1);
    socket->events = connection->transport.wants;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    connection->received_length += got > 0 ? (size_t)got : 0;

    struct http_response response;
    const enum http_progress progress =
        http_response_read(connection->received, connection->received_length, got <= 0, &response);
    if (progress == HTTP_MORE) return transport_has_more(&connection->transport);
    const int64_t now_ns = pool_now_ns();
    const bool is_whole = progress == HTTP_COMPLETE;
    if (!is_whole || !response.keeps_alive || got <= 0) disconnect(connection, socket);
    if (is_whole) pool->silent_since_ns = now_ns;
    if (!is_whole)
        fail(pool, connection, now_ns, 0, "");
    else if (response.status == 503)
        fail(pool, connection, now_ns, response.status, response.body);
    else
        finish(pool, connection, now_ns, response.status, response.body);
    return false;
}

static void serve_connection(struct pool *pool, struct connection *connection,
                             struct pollfd *socket, int64_t now_ns)
{
    const short happened = socket->revents;
    socket->revents = 0;
    switch (connection->phase) {
    case PHASE_FREE: /* nothing was asked: the server closed an idle connection */
        if (happened != 0) disconnect(connection, socket);
        return;
    case PHASE_RESTING:
        if (now_ns >= connection->wake_ns)
            attempt(pool, connection, socket, now_ns);
        else if (happened != 0)
            disconnect(connection, socket);
        return;
    case PHASE_SENDING:
        if (happened != 0) send_more(pool, connection, socket, now_ns);
        break;
    case PHASE_WAITING:
        while (happened != 0 && receive_more(pool, connection, socket)) {
        }
        break;
    }
    const bool is_outstanding =
        connection->phase == PHASE_SENDING || connection->phase == PHASE_WAITING;
    if (is_outstanding && now_ns >= connection->wake_ns) {
        disconnect(connection, socket);
        fail(pool, connection, now_ns, 0, "");
    }
}

/* Gives free connections work. Says when to look again, and whether all is done. */
static bool feed(struct pool *pool, int64_t now_ns, int64_t *look_ns_out)
{
    bool is_idle = true;
    enum pool_turn turn = POOL_JOB;
    for (uint32_t i = 0; i < pool->settings->connections; ++i) {
        struct connection *connection = &pool->connections[i];
        while (connection->phase == PHASE_FREE && turn == POOL_JOB) {
            int64_t at_ns = INT64_MAX;
            connection->request = buffer_over(connection->block, sizeof(connection->block));
            struct pool_job job = {.request = &connection->request};
            turn = pool->driver->next(pool->driver->self, now_ns, &job, &at_ns);
            if (turn == POOL_LATER && at_ns < *look_ns_out) *look_ns_out = at_ns;
            if (turn != POOL_JOB) break;
            ENSURE(!connection->request.overflowed);
            connection->token = job.token;
            connection->attempt = 0;
            connection->first_ns = pool_now_ns();
            if (pool->outstanding++ == 0)
                pool->silent_since_ns = connection->first_ns - pool->silence_ns;
            attempt(pool, connection, &pool->sockets[i], now_ns);
        }
        if (connection->phase == PHASE_FREE) continue;
        is_idle = false;
        if (connection->wake_ns < *look_ns_out) *look_ns_out = connection->wake_ns;
    }
    return is_idle && turn == POOL_DONE;
}

static void wait_for_sockets(struct pool *pool, int64_t until_ns)
{
    int64_t rest_ns = until_ns - pool_now_ns();
    if (rest_ns < 0) rest_ns = 0;
    if (rest_ns > WAIT_NS_MAX) rest_ns = WAIT_NS_MAX;
    const struct timespec rest = {.tv_nsec = (long)rest_ns};
    (void)ppoll(pool->sockets, pool->settings->connections, &rest, NULL);
}

static bool pool_open(struct pool *pool)
{
    const uint32_t count = pool->settings->connections;
    pool->sockets = malloc(count * sizeof(struct pollfd));
    if (pool->sockets == NULL) return false;
    for (uint32_t i = 0; i < count; ++i)
        pool->sockets[i] = (struct pollfd){.fd = -1};
    pool->connections = calloc(count, sizeof(struct connection));
    if (pool->connections == NULL) return false;
    for (uint32_t i = 0; i < count; ++i)
        pool->connections[i].transport = TRANSPORT_CLOSED;
    return true;
}

/* Whether nothing was answered for too long; then everything that is outstanding ends. */
static bool lose_patience(struct pool *pool)
{
    const int64_t now_ns = pool_now_ns();
    const int64_t silence_ns = now_ns - pool->silent_since_ns;
    if (pool->settings->patience_ns == 0 || pool->outstanding == 0 ||
        silence_ns < pool->settings->patience_ns)
        return false;
    pool->counts.silence_ns = silence_ns;
    for (uint32_t i = 0; i < pool->settings->connections; ++i)
        if (pool->connections[i].phase != PHASE_FREE)
            finish(pool, &pool->connections[i], now_ns, 0, "");
    return true;
}

static bool pool_turns(struct pool *pool)
{
    for (;;) {
        int64_t look_ns = INT64_MAX;
        if (feed(pool, pool_now_ns(), &look_ns)) return true;
        wait_for_sockets(pool, look_ns);
        const int64_t woken_ns = pool_now_ns();
        for (uint32_t i = 0; i < pool->settings->connections; ++i)
            serve_connection(pool, &pool->connections[i], &pool->sockets[i], woken_ns);
        if (pool->is_out_of_memory) return false;
        if (lose_patience(pool)) return true;
    }
}

static void pool_close(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->settings->connections; ++i) {
        if (pool->connections == NULL) break;
        disconnect(&pool->connections[i], &pool->sockets[i]);
        free(pool->connections[i].received);
    }
    free(pool->connections);
    free(pool->sockets);
}

bool pool_run(const struct pool_settings *settings, const struct pool_driver *driver,
              struct pool_counts *counts_out)
{
    ENSURE(settings->connections >= 1 && settings->connections <= POOL_CONNECTIONS_MAX);
    ENSURE(settings->attempts >= 1);
    ENSURE(settings->patience_ns >= 0);
    struct pool pool = {.settings = settings, .driver = driver};
    const bool is_run = pool_open(&pool) && pool_turns(&pool);
    pool_close(&pool);
    *counts_out = pool.counts;
    return is_run;
}
