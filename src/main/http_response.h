/*
 * http_response.h: reads one HTTP/1.1 answer out of what has been received so far. Pure; the
 * sockets are the callers' (client.c, pool.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_progress {
    HTTP_MORE,     /* not all here yet */
    HTTP_COMPLETE, /* *response_out is set */
    HTTP_BROKEN    /* this is not an HTTP/1.1 answer, or it was torn */
};

struct http_response {
    unsigned status;
    bool keeps_alive; /* the connection may carry another request */
    const char *body; /* into `received`, where a NUL was put behind it */
    size_t body_length;
};

/* `received` has room for length + 1 bytes. Chunks are joined in place, so a complete answer is
 * read once. `is_ended`: the peer has closed. What follows the answer is not looked at: one request
 * at a time is outstanding. */
enum http_progress http_response_read(char *received, size_t length, bool is_ended,
                                      struct http_response *response_out);
