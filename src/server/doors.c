/*
 * doors.c: see doors.h.
 */
#include "server/doors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"

static void take(void *self, struct exchange *exchange)
{
    loop_take(self, exchange);
}

static bool opens(void *self, struct bytes authorization, uint32_t scopes,
                  struct problem *problem_out)
{
    return loop_opens(self, authorization, scopes, problem_out);
}

static void tell(void *self, struct buffer *out)
{
    loop_tell_briefly(self, out);
}

static void log_not_listening(const char *front_end, const char *option, const char *address)
{
    struct log_line line = log_begin(LOG_WARN, "not_listening");
    log_text(&line, "listener", front_end);
    log_text(&line, "address", address);
    log_text(&line, "option", option);
    log_text(&line, "detail", strerror(EADDRINUSE));
    log_end(&line);
}

/* Less than 0: there is none; has_failed_out says whether that was asked for. */
static int listen_at(const char *front_end, const char *option, struct door_address *door,
                     char address_out[LISTENER_TEXT_SIZE], bool *has_failed_out)
{
    char text[LISTENER_TEXT_SIZE];
    *has_failed_out = false;
    if (!door->is_open) return -1;
    const int fd = listener_open(&door->address);
    const int error = errno;
    listener_format(&door->address, text);
    if (fd >= 0) {
        memcpy(address_out, text, sizeof(text));
        return fd;
    }
    if (error == EADDRINUSE && door->is_usual) {
        log_not_listening(front_end, option, text);
        return -1;
    }
    *has_failed_out = true;
    (void)fprintf(stderr, "weir: %s %s: %s\n", option, text, strerror(error));
    return -1;
}

static void log_listening(const char *front_end, const char *address, uint32_t connections)
{
    if (log_format() != LOG_AS_JSON) return;
    struct log_line line = log_begin(LOG_INFO, "listening");
    log_text(&line, "listener", front_end);
    log_text(&line, "address", address);
    log_number(&line, "connections_max", connections);
    log_end(&line);
}

static bool add(struct doors *doors, struct doors_options *options, struct stream *stream)
{
    doors->streams[doors->count++] = stream;
    http_watch(options->http, stream_fd(stream), stream_poll, stream);
    return true;
}

static struct stream_terms terms_of(const struct doors_options *options, enum front_end which,
                                    int fd, uint32_t idle_timeout_ms)
{
    return (struct stream_terms){
        .listener_fd = fd,
        .connections_max = options->connections_max,
        .request_timeout_ms = options->request_timeout_ms,
        .idle_timeout_ms = idle_timeout_ms,
        .write_timeout_ms = options->write_timeout_ms,
        .buffers_bytes_max = options->buffers_bytes_max,
        .network = &options->loop->metrics.networks[which],
        .tls = options->tls,
    };
}

static bool open_resp(struct doors *doors, struct doors_options *options)
{
    bool has_failed;
    const int fd =
        listen_at("resp", "--resp", &options->resp, doors->addresses[FRONT_RESP], &has_failed);
    if (fd < 0) return !has_failed;
    doors->resp = resp_open(&(struct resp_options){
        .terms = terms_of(options, FRONT_RESP, fd, RESP_IDLE_TIMEOUT_MS),
        .request_ids_seed = entropy_u64(),
        .version = options->version,
        .calls = {.take = take, .opens = opens, .tell = tell},
        .self = options->loop
    });
    if (doors->resp == NULL) {
        (void)fprintf(stderr, "weir: no memory for %" PRIu32 " connections of RESP\n",
                      options->connections_max);
        return false;
    }
    return add(doors, options, resp_stream(doors->resp));
}

static bool open_grpc(struct doors *doors, struct doors_options *options)
{
    bool has_failed;
    const int fd =
        listen_at("grpc", "--grpc", &options->grpc, doors->addresses[FRONT_GRPC], &has_failed);
    if (fd < 0) return !has_failed;
    doors->grpc = grpc_open(&(struct grpc_options){
        .terms = terms_of(options, FRONT_GRPC, fd, GRPC_IDLE_TIMEOUT_MS),
        .calls_max = GRPC_CALLS_MAX,
        .request_ids_seed = entropy_u64(),
        .take = take,
        .self = options->loop,
    });
    if (doors->grpc == NULL) {
        (void)fprintf(stderr, "weir: no memory for %" PRIu32 " connections of gRPC\n",
                      options->connections_max);
        return false;
    }
    return add(doors, options, grpc_stream(doors->grpc));
}

bool doors_open(struct doors *doors, struct doors_options *options)
{
    doors->has_tls = options->tls != NULL;
    doors->connections_max = options->connections_max;
    return open_resp(doors, options) && open_grpc(doors, options);
}

void doors_tell(const struct doors *doors)
{
    static const struct {
        const char *name;
        const char *scheme;
    } words[FRONT_ENDS] = {
        [FRONT_RESP] = {"resp", "redis"},
          [FRONT_GRPC] = {"grpc",  "grpc"}
    };
    for (enum front_end which = FRONT_RESP; which < FRONT_ENDS; ++which) {
        const char *address = doors->addresses[which];
        if (address[0] == '\0') continue;
        (void)printf("weir: listening on %s%s://%s\n", words[which].scheme,
                     doors->has_tls ? "s" : "", address);
        log_listening(words[which].name, address, doors->connections_max);
    }
}

void doors_turn(struct doors *doors)
{
    if (doors->grpc != NULL) grpc_turn(doors->grpc);
    for (uint32_t i = 0; i < doors->count; ++i)
        stream_turn(doors->streams[i]);
}

int32_t doors_wait_ms(const struct doors *doors, int32_t wait_ms)
{
    for (uint32_t i = 0; i < doors->count; ++i)
        if (stream_must_turn(doors->streams[i])) return 0;
    return doors->grpc != NULL ? grpc_wait_ms(doors->grpc, wait_ms) : wait_ms;
}

void doors_drain(struct doors *doors)
{
    for (uint32_t i = 0; i < doors->count; ++i)
        stream_drain(doors->streams[i]);
}

void doors_cut(struct doors *doors)
{
    for (uint32_t i = 0; i < doors->count; ++i)
        stream_cut(doors->streams[i]);
}

void doors_close(struct doors *doors)
{
    doors->count = 0;
    resp_close(doors->resp);
    doors->resp = NULL;
    grpc_close(doors->grpc);
    doors->grpc = NULL;
}

uint32_t doors_connections(const struct doors *doors)
{
    uint32_t connections = 0;
    for (uint32_t i = 0; i < doors->count; ++i)
        connections += stream_connections(doors->streams[i]);
    return connections;
}

void doors_set_tls(struct doors *doors, const struct tls *tls)
{
    for (uint32_t i = 0; i < doors->count; ++i)
        stream_set_tls(doors->streams[i], tls);
}
