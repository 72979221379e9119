/*
 * tls.c: see tls.h.
 *
 * TLS 1.2 with forward secrecy and authenticated encryption, and TLS 1.3, are spoken; which
 * protocol is, a connection's front end says. Sessions are resumed by tickets alone, so a client
 * costs no memory when it has left. Quiet shutdown: h2o's close would otherwise wait, without a
 * time-out, for a client to take the end of the stream; http_tls.c and stream.c send that where it
 * matters.
 */
#include "server/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char usual_protocol[] = "\x8http/1.1";

/* Why OpenSSL refused, in its own words. */
static void tell_openssl(const char *file, const char *what, char detail_out[TLS_DETAIL_SIZE])
{
    char reason[256] = "no reason given";
    const unsigned long error = ERR_peek_last_error();
    if (error != 0 && ERR_reason_error_string(error) != NULL)
        (void)snprintf(reason, sizeof(reason), "%s", ERR_reason_error_string(error));
    (void)snprintf(detail_out, TLS_DETAIL_SIZE, "%s: %s: %s", file, what, reason);
}

static bool check_mode(const char *file, char detail_out[TLS_DETAIL_SIZE])
{
    struct stat facts;
    if (stat(file, &facts) != 0) {
        (void)snprintf(detail_out, TLS_DETAIL_SIZE, "%s: %s", file, strerror(errno));
        return false;
    }
    if ((facts.st_mode & (S_IROTH | S_IWOTH)) == 0) return true;
    (void)snprintf(detail_out, TLS_DETAIL_SIZE,
                   "%s: everybody on this machine can read or write the private key (mode %04o): "
                   "chmod o-rw",
                   file, (unsigned)(facts.st_mode & 07777));
    return false;
}

/* A key that asks for a passphrase cannot be loaded by a server. */
static int no_passphrase(char *text, int size, int is_written, void *self)
{
    (void)text;
    (void)size;
    (void)is_written;
    (void)self;
    return -1;
}

/* Where an SSL has what tls_speak was told. */
static int protocol_index(void)
{
    static int index = -1;
    if (index < 0) index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    ENSURE(index >= 0);
    return index;
}

void tls_speak(struct ssl_st *ssl, const char *protocol)
{
    ENSURE(SSL_set_ex_data(ssl, protocol_index(), (void *)(uintptr_t)protocol) == 1);
}

static int choose_protocol(SSL *ssl, const unsigned char **chosen_out, unsigned char *length_out,
                           const unsigned char *offered, unsigned offered_length, void *self)
{
    (void)self;
    unsigned char *chosen = NULL;
    const char *protocol = SSL_get_ex_data(ssl, protocol_index());
    if (protocol == NULL) protocol = usual_protocol;
    if (protocol[0] == '\0') return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, length_out, (const unsigned char *)protocol,
                              (unsigned)strlen(protocol), offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen_out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) return NULL;
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    (void)SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_quiet_shutdown(context, 1);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    return context;
}

static bool load_files(SSL_CTX *context, struct tls_files files, char detail_out[TLS_DETAIL_SIZE])
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate) != 1) {
        tell_openssl(files.certificate, "no certificate in PEM can be read", detail_out);
        return false;
    }
    if (!check_mode(files.key, detail_out)) return false;
    if (SSL_CTX_use_PrivateKey_file(context, files.key, SSL_FILETYPE_PEM) != 1) {
        tell_openssl(files.key, "no key of this certificate, in PEM and not encrypted, can be read",
                     detail_out);
        return false;
    }
    return true;
}

static bool read_end(const SSL_CTX *context, int64_t *ends_at_s_out)
{
    struct tm parts;
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1)
        return false;
    *ends_at_s_out = (int64_t)timegm(&parts);
    return true;
}

struct tls *tls_load(struct tls_files files, char detail_out[TLS_DETAIL_SIZE])
{
    struct tls *tls = calloc(1, sizeof(*tls));
    SSL_CTX *context = make_context();
    if (tls == NULL || context == NULL) {
        (void)snprintf(detail_out, TLS_DETAIL_SIZE, "no memory for TLS");
    } else if (load_files(context, files, detail_out)) {
        tls->context = context;
        if (read_end(context, &tls->ends_at_s)) return tls;
        (void)snprintf(detail_out, TLS_DETAIL_SIZE, "%s: the certificate has no end",
                       files.certificate);
    }
    SSL_CTX_free(context);
    free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) return;
    SSL_CTX_free(tls->context); /* connections that began with it keep it */
    free(tls);
}

int64_t tls_left_s(const struct tls *tls)
{
    return tls->ends_at_s - (int64_t)time(NULL);
}
