/*
 * lone.c: what durability adds for a client that is alone.
 *
 *     lone URL FILE [ROUNDS]
 *
 * Every round times three things, one after the other: a page of FILE written over and synced, a
 * check (decided, nothing to make durable) and a consume (the same, and durable before it is
 * answered) over one connection. FILE has to be on the disk that the server's data directory is on.
 * Medians, and what a consume takes longer than a check as a multiple of the sync.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "main/client.h"
#include "main/http_response.h"

#define PAGE_BYTES 4096
#define ROUNDS_MAX 100000
#define ANSWER_BYTES_MAX 65536

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void page_sync(int file)
{
    static uint8_t page[PAGE_BYTES];
    page[0]++;
    if (pwrite(file, page, sizeof page, 0) != (ssize_t)sizeof page) fail("write");
    if (fdatasync(file) != 0) fail("fdatasync");
}

static void ask(int connection, struct bytes request)
{
    static char received[ANSWER_BYTES_MAX + 1];
    size_t length = 0;
    struct http_response response;
    if (write(connection, request.at, request.length) != (ssize_t)request.length) fail("send");
    for (;;) {
        const ssize_t count = read(connection, received + length, ANSWER_BYTES_MAX - length);
        if (count <= 0) fail("receive");
        length += (size_t)count;
        switch (http_response_read(received, length, false, &response)) {
        case HTTP_MORE:
            continue;
        case HTTP_COMPLETE:
            if (response.status == 200) return;
            (void)fprintf(stderr, "status %u: %s\n", response.status, response.body);
            exit(1);
        case HTTP_BROKEN:
            (void)fprintf(stderr, "no HTTP answer\n");
            exit(1);
        }
    }
}

static int by_size(const void *left, const void *right)
{
    const int64_t difference = *(const int64_t *)left - *(const int64_t *)right;
    return (difference > 0) - (difference < 0);
}

static int64_t report(const char *name, int64_t *times_ns, size_t rounds)
{
    qsort(times_ns, rounds, sizeof *times_ns, by_size);
    const int64_t median = times_ns[rounds / 2];
    const int64_t late = times_ns[rounds * 99 / 100];
    printf("  %-28s median %7.1f us   p99 %7.1f us\n", name, (double)median / 1e3,
           (double)late / 1e3);
    return median;
}

int main(int argc, char **argv)
{
    static int64_t syncs_ns[ROUNDS_MAX], checks_ns[ROUNDS_MAX], consumes_ns[ROUNDS_MAX];
    const size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
    struct server_address address;
    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: lone URL FILE [ROUNDS]\n");
        return 2;
    }
    if (!server_address_find("lone", &(struct client_options){.server = argv[1]}, &address))
        return 1;

    const int file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) fail(argv[2]);
    page_sync(file);
    const int connection = socket(address.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 ||
        connect(connection, (const struct sockaddr *)&address.socket, address.socket_length) != 0)
        fail(argv[1]);
    const int yes = 1;
    (void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);

    static uint8_t texts[2][1024];
    struct buffer check = buffer_over(texts[0], sizeof texts[0]);
    struct buffer consume = buffer_over(texts[1], sizeof texts[1]);
    struct client_request request = {
        .method = "POST",
        .path = "/v1/check",
        .body = BYTES(
            "{\"customer\":\"lone\",\"feature\":\"metered\",\"quantities\":{\"requests\":1}}")};
    client_request_put(&check, &address, &request);
    request.path = "/v1/consume";
    client_request_put(&consume, &address, &request);
    ENSURE(!check.overflowed && !consume.overflowed);

    ask(connection, buffer_bytes(&consume)); /* the customer and its window are there from now on */
    for (size_t i = 0; i < rounds; i++) {
        const int64_t from = now_ns();
        page_sync(file);
        const int64_t synced = now_ns();
        ask(connection, buffer_bytes(&check));
        const int64_t checked = now_ns();
        ask(connection, buffer_bytes(&consume));
        consumes_ns[i] = now_ns() - checked;
        checks_ns[i] = checked - synced;
        syncs_ns[i] = synced - from;
    }
    const int64_t sync = report("one fdatasync", syncs_ns, rounds);
    const int64_t checked = report("check", checks_ns, rounds);
    const int64_t consumed = report("consume, durable", consumes_ns, rounds);
    printf("  %-28s %5.2f of one fdatasync\n", "durability adds",
           (double)(consumed - checked) / (double)sync);
    return 0;
}
