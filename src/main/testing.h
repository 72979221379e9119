/*
 * testing.h: a peer for the tests of this folder: a listening socket and a thread that hands every
 * request to the test's own function. Not part of the program.
 */
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"

enum { PEERS_MAX = 64, PEER_REQUEST_BYTES_MAX = 16384 };

struct peer {
    void *self;
    bool (*answer)(void *self, int socket, const char *request); /* false: hang up */
    int listener;
    uint16_t port;
    atomic_bool is_stopping;
    pthread_t thread;
};

static inline void peer_send(int socket, const char *text, size_t length)
{
    assert_int_equal(send(socket, text, length, MSG_NOSIGNAL), length);
}

/* Requests of the tests are short and come in one piece. False: the connection is over. */
static inline bool peer_take(struct peer *peer, int socket)
{
    char request[PEER_REQUEST_BYTES_MAX];
    const ssize_t got = recv(socket, request, sizeof(request) - 1, 0);
    if (got <= 0) return false;
    request[got] = '\0';
    assert_non_null(strstr(request, "\r\n\r\n"));
    return peer->answer(peer->self, socket, request);
}

static inline void *peer_serve(void *self)
{
    struct peer *peer = self;
    struct pollfd sockets[PEERS_MAX] = {
        {.fd = peer->listener, .events = POLLIN}
    };
    nfds_t count = 1;
    while (!atomic_load(&peer->is_stopping)) {
        (void)poll(sockets, count, 20);
        for (nfds_t i = count; i-- > 1;) {
            if (sockets[i].revents == 0 || peer_take(peer, sockets[i].fd)) continue;
            (void)close(sockets[i].fd);
            sockets[i] = sockets[--count];
        }
        if (sockets[0].revents != 0 && count < PEERS_MAX)
            sockets[count++] =
                (struct pollfd){.fd = accept(peer->listener, NULL, NULL), .events = POLLIN};
    }
    for (nfds_t i = 0; i < count; ++i)
        (void)close(sockets[i].fd);
    return NULL;
}

static inline void peer_start(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    peer->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(peer->listener, PEERS_MAX), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_serve, peer), 0);
}

static inline void peer_stop(struct peer *peer)
{
    atomic_store(&peer->is_stopping, true);
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
}
