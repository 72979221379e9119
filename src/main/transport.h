/*
 * transport.h: bytes to a server and back, plain or through TLS, with the manners of send and recv
 * in both cases, so that client.c (blocking) and pool.c (not) need not know which it is.
 *
 * TLS is OpenSSL's client as it comes: 1.2 at least, the server's certificate checked against its
 * name or address, no client certificate (access keys say who asks).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/types.h>

#include "main/client.h"

#define TLS_COMPLAINT_BYTES 512

/* `ca` NULL: the system's certificates. NULL on failure, `complaint_out` says why. */
struct tls_client *tls_client_open(const char *host, const char *ca,
                                   char complaint_out[TLS_COMPLAINT_BYTES]);
void tls_client_close(struct tls_client *client); /* NULL is fine */

struct transport {
    int socket;
    struct ssl_st *tls; /* NULL: plain */
    short wants;        /* after EAGAIN: what to poll for */
};
#define TRANSPORT_CLOSED ((struct transport){.socket = -1})

/* With `patience` the socket blocks, for that long at most; without, it does not block, and may
 * still be connecting. False: errno says why. */
bool transport_open(struct transport *transport, const struct server_address *address,
                    const struct timeval *patience);
void transport_close(struct transport *transport); /* fits CLEANUP; closed is fine */

/* Bytes moved; 0 from receive: the peer has closed; -1: errno, EPROTO where TLS went wrong. */
ssize_t transport_send(struct transport *transport, const void *at, size_t length);
ssize_t transport_receive(struct transport *transport, void *at, size_t length);
/* Bytes are here that no poll of the socket will tell of. */
bool transport_has_more(const struct transport *transport);
/* Right after a failure with EPROTO: why, in words. False: it was not TLS that failed. */
bool transport_tls_complaint(const struct transport *transport,
                             char complaint_out[TLS_COMPLAINT_BYTES]);
