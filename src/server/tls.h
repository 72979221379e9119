/*
 * tls.h: the certificate that a listener shows, loaded from files whole or not at all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define TLS_DETAIL_SIZE 640

struct ssl_st; /* OpenSSL's SSL */

struct tls {
    struct ssl_ctx_st *context; /* OpenSSL's SSL_CTX */
    int64_t ends_at_s;          /* of the certificate, since 1970 */
};

struct tls_files {
    const char *certificate; /* PEM: the server's first, then those up to the root */
    const char *key;         /* PEM, not encrypted, not readable by everybody */
};

/* NULL: detail_out names the file and says what is wrong with it. */
MUST_USE struct tls *tls_load(struct tls_files files, char detail_out[TLS_DETAIL_SIZE]);
void tls_free(struct tls *tls);
/* What a connection answers where the client offers protocols (ALPN): this one, or refuses; "":
 * none is agreed on. Of a connection that is not told: "\x8http/1.1". A literal. */
void tls_speak(struct ssl_st *ssl, const char *protocol);
/* Seconds until the certificate is over, by the wall clock; negative after. */
int64_t tls_left_s(const struct tls *tls);
