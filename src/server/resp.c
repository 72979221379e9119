/*
 * resp.c: see resp.h.
 */
#include "server/resp.h"

#include <stdlib.h>
#include <string.h>

#include "server/resp_inner.h"

/* ---- commands */

static struct resp_command *take_item(struct resp *resp)
{
    struct resp_command *command = resp->free;
    if (command != NULL)
        resp->free = command->next;
    else if (resp->items_used < resp->items_max)
        command = &resp->items[resp->items_used++];
    else
        return NULL;
    memset(command, 0, offsetof(struct resp_command, block));
    ++resp->at_work;
    return command;
}

static void give_item(struct resp *resp, struct resp_command *command)
{
    free(command->large);
    command->large = NULL;
    command->next = resp->free;
    resp->free = command;
    --resp->at_work;
}

/* Of one that has left, when the last of its exchanges is back. */
static void give_connection(struct resp_connection *connection)
{
    if (connection->stream != NULL || connection->at_work > 0) return;
    explicit_bzero(connection, sizeof(*connection));
    free(connection);
}

struct bytes resp_authorization(const struct resp_connection *connection)
{
    if (connection->authorization_length == 0) return BYTES_NONE;
    return (struct bytes){(const uint8_t *)connection->authorization,
                          connection->authorization_length};
}

/* Room for so many bytes in the command's own memory; NULL: none. */
static uint8_t *room_in(struct resp_command *command, size_t length)
{
    if (length <= sizeof(command->block)) return command->block;
    free(command->large);
    command->large = malloc(length);
    return command->large;
}

/* ---- answers */

static void await_next(struct resp_connection *connection)
{
    if (connection->at_work > 0)
        stream_await(connection->stream, STREAM_FOR_ANSWER);
    else if (connection->is_ending)
        stream_end(connection->stream);
    else
        stream_await(connection->stream,
                     connection->has_rest ? STREAM_FOR_REST : STREAM_FOR_REQUEST);
}

/* Answers that are there, up to the first that is not. */
static void send_ready(struct resp_connection *connection)
{
    struct resp *resp = connection->resp;
    while (connection->first != NULL && connection->first->is_answered) {
        struct resp_command *command = connection->first;
        connection->first = command->next;
        if (connection->first == NULL) connection->last = NULL;
        --connection->at_work;
        stream_send(connection->stream, command->answer);
        give_item(resp, command);
    }
    const uint32_t few = connection->waits_alone ? 0 : RESP_PIPELINE_MAX / 2;
    if (connection->at_work <= few) {
        connection->waits_alone = false;
        stream_go_on(connection->stream);
    }
    await_next(connection);
}

/* The answer's bytes are the loop's, and those of commands before it are not there yet. The command
 * itself is over: its memory can hold them. */
static bool keep_answer(struct resp_command *command, struct bytes body)
{
    uint8_t *room = room_in(command, body.length);
    if (room == NULL) return false;
    memcpy(room, body.at, body.length);
    command->answer = (struct bytes){room, body.length};
    return true;
}

static void send_exchange(struct exchange *exchange)
{
    struct resp_command *command = (struct resp_command *)exchange;
    struct resp_connection *connection = command->connection;
    if (connection->stream == NULL) {
        --connection->at_work;
        give_item(connection->resp, command);
        give_connection(connection);
        return;
    }
    command->is_answered = true;
    command->answer = exchange->answer.body;
    if (command == connection->first)
        send_ready(connection);
    else if (!keep_answer(command, exchange->answer.body))
        stream_reset(connection->stream);
}

/* What the front end says itself; nothing is at work. */
static void say(struct resp_connection *connection, struct bytes text)
{
    ENSURE(connection->at_work == 0);
    stream_send(connection->stream, text);
}

static void say_problem(struct resp_connection *connection, struct problem problem)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX];
    struct buffer out = buffer_over(block, sizeof(block));
    ++connection->resp->options.terms.network->problems[problem.code];
    wire_answer_problem(WIRE_FORM_RESP, &problem, BYTES_NONE, &out);
    ENSURE(!out.overflowed);
    say(connection, buffer_bytes(&out));
}

/* What is wrong with the bytes themselves: nobody knows where the next command would begin. */
static void end_for(struct resp_connection *connection, const char *wrong)
{
    uint8_t block[128];
    struct buffer out = buffer_over(block, sizeof(block));
    buffer_put_text(&out, "-ERR Protocol error: ");
    buffer_put_text(&out, wrong);
    buffer_put_text(&out, "\r\n");
    ENSURE(!out.overflowed);
    ++connection->resp->options.terms.network->problems[PROBLEM_BAD_REQUEST];
    say(connection, buffer_bytes(&out));
    connection->is_ending = true;
}

/* ---- taking commands */

enum taken {
    TAKEN,
    TAKEN_LATER /* when there is place, or when nothing is at work */
};

static const struct route *route_of_word(struct bytes word)
{
    static const enum wire_call calls[] = {WIRE_CONSUME, WIRE_AUTHORIZE, WIRE_COMMIT, WIRE_RELEASE};
    for (size_t i = 0; i < COUNT_OF(calls); ++i) {
        const struct route *route = route_of(WIRE_FORM_RESP, calls[i]);
        if (resp_is_word(word, route->pattern)) return route;
    }
    return NULL;
}

static enum taken wait_alone(struct resp_connection *connection)
{
    connection->waits_alone = true;
    return TAKEN_LATER;
}

/* For the loop. `bytes` are the command in multibulk form. */
static enum taken give_to_loop(struct resp_connection *connection, const struct route *route,
                               struct bytes bytes, int64_t now_ns)
{
    struct resp *resp = connection->resp;
    if (connection->at_work == RESP_PIPELINE_MAX) return TAKEN_LATER;
    /* Whoever has none at work always finds place for one, or is told that there is none. */
    if (connection->at_work > 0 && resp->at_work >= RESP_COMMANDS_MAX) return TAKEN_LATER;
    struct resp_command *command = take_item(resp);
    uint8_t *room = command != NULL ? room_in(command, bytes.length) : NULL;
    if (room == NULL) {
        if (command != NULL) give_item(resp, command);
        if (connection->at_work > 0) return TAKEN_LATER;
        say_problem(connection, (struct problem){.code = PROBLEM_OVERLOADED,
                                                 .expected = "fewer commands at once"});
        return TAKEN;
    }
    struct resp_arguments arguments;
    memcpy(room, bytes.at, bytes.length);
    command->connection = connection;
    struct exchange *exchange = &command->exchange;
    exchange->form = WIRE_FORM_RESP;
    exchange->route = route;
    exchange->body = (struct bytes){room, bytes.length};
    resp_split(exchange->body, &arguments);
    if (arguments.count > 1) exchange->target = arguments.at[1];
    exchange->authorization = resp_authorization(connection);
    exchange->line = &connection->line;
    exchange->taken_ns = now_ns;
    exchange->request_id = request_id_make(&resp->request_ids);
    exchange->send = send_exchange;
    if (connection->last != NULL)
        connection->last->next = command;
    else
        connection->first = command;
    connection->last = command;
    ++connection->at_work;
    resp->options.calls.take(resp->options.self, exchange);
    return TAKEN;
}

/* As much of a stranger's word as fits a line. */
static void put_visible(struct bytes text, struct buffer *out)
{
    for (size_t at = 0; at < text.length && at < WIRE_PROBLEM_VALUE_BYTES_MAX; ++at) {
        const bool is_visible = text.at[at] >= ' ' && text.at[at] <= '~';
        buffer_put_byte(out, is_visible ? text.at[at] : (uint8_t)'?');
    }
}

static enum taken answer_here(struct resp_connection *connection,
                              const struct resp_arguments *arguments, bool is_line)
{
    struct resp *resp = connection->resp;
    struct buffer out = buffer_over(resp->answer_block, sizeof(resp->answer_block));
    if (connection->at_work > 0) return wait_alone(connection);
    if (resp_answer(connection, arguments, &out)) {
        ENSURE(!out.overflowed);
        say(connection, buffer_bytes(&out));
    } else if (is_line) {
        /* A browser that was made to send a form here would go on with lines of its own choice. */
        end_for(connection, "unknown command in a line");
    } else {
        buffer_put_text(&out, "-ERR unknown command '");
        put_visible(arguments->at[0], &out);
        buffer_put_text(&out, "'\r\n");
        ENSURE(!out.overflowed);
        say(connection, buffer_bytes(&out));
    }
    return TAKEN;
}

static enum taken take_command(struct resp_connection *connection, struct bytes bytes, bool is_line,
                               int64_t now_ns)
{
    struct resp *resp = connection->resp;
    struct resp_arguments arguments;
    struct buffer room = buffer_over(resp->line_block, sizeof(resp->line_block));
    const char *wrong = NULL;
    if (is_line) {
        if (!resp_from_line(bytes, &room, &wrong)) {
            if (connection->at_work > 0) return wait_alone(connection);
            end_for(connection, wrong);
            return TAKEN;
        }
        ENSURE(!room.overflowed);
        bytes = buffer_bytes(&room);
    }
    resp_split(bytes, &arguments);
    if (arguments.count == 0) return TAKEN; /* an empty line */
    const struct route *route = route_of_word(arguments.at[0]);
    if (route != NULL) return give_to_loop(connection, route, bytes, now_ns);
    return answer_here(connection, &arguments, is_line);
}

/* Takes one command off the input; false: none can be taken now. */
static bool take_one(struct resp_connection *connection, struct bytes *input, int64_t now_ns)
{
    size_t length = 0;
    const char *wrong = NULL;
    const enum resp_read read = resp_read(&connection->reader, *input, &length, &wrong);
    if (read == RESP_PART) return false;
    connection->reader = (struct resp_reader){0};
    enum taken taken = TAKEN;
    if (read == RESP_WRONG && connection->at_work > 0) {
        taken = wait_alone(connection);
    } else if (read == RESP_WRONG) {
        end_for(connection, wrong);
        length = input->length;
    } else if (read != RESP_NONE) {
        stream_await(connection->stream, STREAM_FOR_ANSWER);
        taken =
            take_command(connection, (struct bytes){input->at, length}, read == RESP_LINE, now_ns);
    }
    if (taken == TAKEN_LATER) {
        stream_hold(connection->stream);
        return false;
    }
    *input = (struct bytes){input->at + length, input->length - length};
    return true;
}

/* ---- the stream's calls */

static void *on_open(void *self, struct stream_connection *stream)
{
    struct resp *resp = self;
    struct resp_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) return NULL;
    connection->resp = resp;
    connection->stream = stream;
    connection->id = ++resp->connections_so_far;
    return connection;
}

static size_t on_bytes(void *client, struct bytes input)
{
    struct resp_connection *connection = client;
    const size_t length = input.length;
    const int64_t now_ns = clock_monotonic_ns();
    while (input.length > 0 && !connection->is_ending &&
           stream_unsent(connection->stream) < RESP_OUTPUT_BYTES_MAX)
        if (!take_one(connection, &input, now_ns)) break;
    connection->has_rest = input.length > 0;
    await_next(connection);
    return connection->is_ending ? length : length - input.length;
}

static void on_end(void *client)
{
    struct resp_connection *connection = client;
    connection->is_ending = true;
    if (connection->at_work == 0) stream_end(connection->stream);
}

static void on_closed(void *client)
{
    struct resp_connection *connection = client;
    struct resp *resp = connection->resp;
    struct resp_command *command = connection->first;
    connection->first = connection->last = NULL;
    connection->stream = NULL;
    while (command != NULL) {
        struct resp_command *next = command->next;
        if (command->is_answered) {
            --connection->at_work;
            give_item(resp, command);
        } else {
            command->exchange.is_gone = true;
        }
        command = next;
    }
    give_connection(connection);
}

static void on_refused(void *self, void *client, enum stream_refusal why, struct buffer *out)
{
    static const struct problem problems[] = {
        [STREAM_TOO_MANY] = {.code = PROBLEM_OVERLOADED,.expected = "fewer connections at once"},
        [STREAM_TIMED_OUT] = {   .code = PROBLEM_TIMEOUT,
                             .field = "command",
                             .expected = "all of it in time"},
        [STREAM_NO_BUFFERS] = {.code = PROBLEM_OVERLOADED,
                             .field = "command",
                             .expected = "fewer or smaller commands at once"},
        [STREAM_STOPPING] = {  .code = PROBLEM_STOPPING                                        },
    };
    const struct resp *resp = self;
    (void)client;
    ++resp->options.terms.network->problems[problems[why].code];
    wire_answer_problem(WIRE_FORM_RESP, &problems[why], BYTES_NONE, out);
}

/* ---- */

struct resp *resp_open(const struct resp_options *options)
{
    static const struct stream_calls calls = {.on_open = on_open,
                                              .on_bytes = on_bytes,
                                              .on_end = on_end,
                                              .on_closed = on_closed,
                                              .on_refused = on_refused};
    struct resp *resp = calloc(1, sizeof(*resp));
    if (resp == NULL) return NULL;
    resp->options = *options;
    resp->request_ids.state = options->request_ids_seed;
    resp->items_max = RESP_COMMANDS_MAX + options->terms.connections_max;
    resp->items = calloc(resp->items_max, sizeof(*resp->items));
    if (resp->items != NULL)
        resp->stream = stream_open(&(struct stream_options){
            .name = "resp",
            .terms = options->terms,
            .input_bytes_max = RESP_COMMAND_BYTES_MAX,
            .output_bytes_max = RESP_OUTPUT_BYTES_MAX,
            .protocol = "",
            .calls = &calls,
            .self = resp,
        });
    if (resp->stream != NULL) return resp;
    free(resp->items);
    free(resp);
    return NULL;
}

struct stream *resp_stream(const struct resp *resp)
{
    return resp->stream;
}

void resp_close(struct resp *resp)
{
    if (resp == NULL) return;
    stream_close(resp->stream);
    free(resp->items);
    free(resp);
}
