/*
 * client.h: one request to a server, one answer; and the pieces that pool.c shares: the server's
 * address, who asks it, the text of a request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/base.h"
#include "main/options.h"

#define CLIENT_SERVER_DEFAULT "http://127.0.0.1:7878"
#define CLIENT_ANSWER_BYTES_MAX (16u << 20)
#define CLIENT_PATH_BYTES_MAX 2048u
#define CLIENT_KEY_BYTES_MAX 512u

/* The options that every subcommand with a server has. */
struct client_options {
    const char *server;   /* NULL: $WEIR_SERVER, else the default */
    const char *key_file; /* NULL: the key in $WEIR_KEY, else none */
    const char *ca;       /* NULL: the system's certificates */
};
#define CLIENT_OPTION_COUNT 3
/* In a table of options, before the command's own. */
#define CLIENT_OPTIONS(options) \
    client_server_option(options), client_key_file_option(options), client_ca_option(options)
struct option_rule client_server_option(struct client_options *options);
struct option_rule client_key_file_option(struct client_options *options);
struct option_rule client_ca_option(struct client_options *options);
struct option_rule client_json_option(bool *is_json_out);

struct tls_client; /* transport.h */

struct server_address {
    struct sockaddr_storage socket;
    socklen_t socket_length;
    char host[300];                     /* "127.0.0.1:7878", for the Host header */
    char url[320];                      /* "https://127.0.0.1:7878", for people */
    char key[CLIENT_KEY_BYTES_MAX + 1]; /* an access key; "": none */
    struct tls_client *tls;             /* owned; NULL: plain HTTP */
};

/* What is wrong with a URL, a key or certificates is said on stderr. */
bool server_address_find(const char *command, const struct client_options *options,
                         struct server_address *address_out);
void server_address_close(struct server_address *address); /* fits CLEANUP */

struct client_request {
    const char *method;
    const char *path; /* percent-encoded, with its query */
    struct bytes body;
};

/* The whole request. The buffer overflows when it does not fit. */
void client_request_put(struct buffer *buffer, const struct server_address *address,
                        const struct client_request *request);

struct client_answer {
    unsigned status;
    char *received; /* owned; freed by client_answer_free, which fits CLEANUP */
    const char *body;
    size_t body_length;
};

/* False when nobody answered, which is said on stderr unless `command` is NULL. Waits at most 30
 * seconds. */
bool client_call(const char *command, const struct server_address *address,
                 const struct client_request *request, struct client_answer *answer_out);
void client_answer_free(struct client_answer *answer);

/* The same, and false as well when the answer is no success, which client_complain tells. */
bool client_expect(const char *command, const struct server_address *address,
                   const struct client_request *request, struct client_answer *answer_out);

/* Tells a problem document on stderr: its detail and its code. */
void client_complain(const char *command, const struct client_answer *answer);

/* Texts of requests. */
void put_path_part(struct buffer *buffer,
                   const char *part); /* percent-encodes all but unreserved */
void put_json_string(struct buffer *buffer, struct bytes text); /* with its quotes */
