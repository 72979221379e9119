/*
 * transport.c: a socket, and OpenSSL over it when the URL says https. The handshake happens inside
 * the first send, as SSL_write does it; that one may have to read, hence `wants`.
 */
#include "main/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tls_client {
    SSL_CTX *context;
    char host[256];
    bool is_number; /* the host is an IP address */
};

static bool is_ip_address(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* The oldest error of the queue, which is the cause; the queue is empty afterwards. */
static const char *take_error(void)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return reason != NULL ? reason : "failed without a reason";
}

struct tls_client *tls_client_open(const char *host, const char *ca,
                                   char complaint_out[TLS_COMPLAINT_BYTES])
{
    struct tls_client *client = calloc(1, sizeof(*client));
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    const char *wrong = "no memory";
    if (client != NULL && context != NULL) {
        const bool is_trusted = ca != NULL ? SSL_CTX_load_verify_file(context, ca) == 1
                                           : SSL_CTX_set_default_verify_paths(context) == 1;
        if (is_trusted && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1) {
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
            (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
            client->context = context;
            client->is_number = is_ip_address(host);
            (void)snprintf(client->host, sizeof(client->host), "%s", host);
            /* OpenSSL writes with write(2): a peer that hangs up must not end the program. */
            (void)signal(SIGPIPE, SIG_IGN);
            return client;
        }
        wrong = take_error();
    }
    (void)snprintf(complaint_out, TLS_COMPLAINT_BYTES, "%s: expected certificates in PEM form: %s",
                   ca != NULL ? ca : "(the system's)", wrong);
    SSL_CTX_free(context);
    free(client);
    return NULL;
}

void tls_client_close(struct tls_client *client)
{
    if (client == NULL) return;
    SSL_CTX_free(client->context);
    free(client);
}

static bool begin_tls(struct transport *transport, const struct tls_client *client)
{
    SSL *tls = SSL_new(client->context);
    if (tls == NULL) return false;
    transport->tls = tls;
    SSL_set_connect_state(tls);
    if (SSL_set_fd(tls, transport->socket) != 1) return false;
    if (client->is_number)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), client->host) == 1;
    return SSL_set1_host(tls, client->host) == 1 && SSL_set_tlsext_host_name(tls, client->host);
}

bool transport_open(struct transport *transport, const struct server_address *address,
                    const struct timeval *patience)
{
    const int one = 1;
    const int kind = SOCK_STREAM | SOCK_CLOEXEC | (patience == NULL ? SOCK_NONBLOCK : 0);
    *transport = TRANSPORT_CLOSED;
    transport->socket = socket(address->socket.ss_family, kind, 0);
    if (transport->socket < 0) return false;
    (void)setsockopt(transport->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (patience != NULL &&
        (setsockopt(transport->socket, SOL_SOCKET, SO_RCVTIMEO, patience, sizeof(*patience)) != 0 ||
         setsockopt(transport->socket, SOL_SOCKET, SO_SNDTIMEO, patience, sizeof(*patience)) != 0))
        return false;
    if (connect(transport->socket, (const struct sockaddr *)&address->socket,
                address->socket_length) != 0 &&
        !(patience == NULL && errno == EINPROGRESS))
        return false;
    if (address->tls == NULL || begin_tls(transport, address->tls)) return true;
    errno = EPROTO;
    return false;
}

void transport_close(struct transport *transport)
{
    SSL_free(transport->tls);
    if (transport->socket >= 0) (void)close(transport->socket);
    *transport = TRANSPORT_CLOSED;
}

/* The result of SSL_read or SSL_write as recv and send would have put it. */
static ssize_t tls_result(struct transport *transport, int result)
{
    if (result > 0) return result;
    switch (SSL_get_error(transport->tls, result)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
        transport->wants = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        transport->wants = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_SYSCALL:
        if (errno == 0) errno = ECONNRESET;
        return -1;
    default:
        errno = EPROTO;
        return -1;
    }
}

static int short_length(size_t length)
{
    return length < (1 << 30) ? (int)length : 1 << 30;
}

ssize_t transport_send(struct transport *transport, const void *at, size_t length)
{
    transport->wants = POLLOUT;
    if (transport->tls == NULL) return send(transport->socket, at, length, MSG_NOSIGNAL);
    ERR_clear_error();
    errno = 0;
    return tls_result(transport, SSL_write(transport->tls, at, short_length(length)));
}

ssize_t transport_receive(struct transport *transport, void *at, size_t length)
{
    transport->wants = POLLIN;
    if (transport->tls == NULL) return recv(transport->socket, at, length, 0);
    ERR_clear_error();
    errno = 0;
    return tls_result(transport, SSL_read(transport->tls, at, short_length(length)));
}

bool transport_has_more(const struct transport *transport)
{
    return transport->tls != NULL && SSL_pending(transport->tls) > 0;
}

bool transport_tls_complaint(const struct transport *transport,
                             char complaint_out[TLS_COMPLAINT_BYTES])
{
    if (transport->tls == NULL || errno != EPROTO) return false;
    const long verified = SSL_get_verify_result(transport->tls);
    if (verified != X509_V_OK)
        (void)snprintf(complaint_out, TLS_COMPLAINT_BYTES, "the certificate is not trusted: %s",
                       X509_verify_cert_error_string(verified));
    else
        (void)snprintf(complaint_out, TLS_COMPLAINT_BYTES, "%s", take_error());
    return true;
}
