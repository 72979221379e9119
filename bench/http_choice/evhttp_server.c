/*
 * Candidate: libevent 2.1 evhttp, one event loop thread. POST /now answers at once; /durable keeps
 * the request until the committer has made its batch durable.
 *
 * usage: evhttp_server <port> <file to fdatasync>
 */
#include "answer.h"
#include "committer.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct exchange {
    struct parked link;
    struct evhttp_request *request;
};

static void answer(struct evhttp_request *request)
{
    struct evbuffer *body = evhttp_request_get_output_buffer(request);
    evbuffer_add_reference(body, ANSWER_JSON, ANSWER_BYTES, NULL, NULL);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evhttp_send_reply(request, 200, "OK", NULL);
}

static void on_now(struct evhttp_request *request, void *unused)
{
    (void)unused;
    answer(request);
}

static void on_durable(struct evhttp_request *request, void *unused)
{
    (void)unused;
    struct exchange *exchange = malloc(sizeof(*exchange));
    if (exchange == NULL) {
        abort();
    }
    exchange->request = request;
    committer_park(&exchange->link);
}

static void on_batch_durable(evutil_socket_t fd, short what, void *unused)
{
    (void)fd;
    (void)what;
    (void)unused;
    struct parked *batch = committer_take();
    while (batch != NULL) {
        struct parked *next = batch->next;
        answer(((struct exchange *)batch)->request);
        free(batch);
        batch = next;
    }
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 3) {
        fprintf(stderr, "usage: evhttp_server <port> <file to fdatasync>\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    evhttp_set_cb(http, "/now", on_now, NULL);
    evhttp_set_cb(http, "/durable", on_durable, NULL);
    evhttp_set_timeout(http, 75);
    if (evhttp_bind_socket(http, "127.0.0.1", (uint16_t)atoi(arguments[1])) != 0) {
        fprintf(stderr, "cannot listen\n");
        return 1;
    }
    struct event *durable = event_new(base, committer_start(arguments[2]), EV_READ | EV_PERSIST,
                                      on_batch_durable, NULL);
    event_add(durable, NULL);
    event_base_dispatch(base);
    return 0;
}
