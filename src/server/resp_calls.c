/*
 * resp_calls.c: what the RESP front end answers itself, so that usual clients find what they ask a
 * server when they start. In the words of Redis, which those clients look for.
 */
#include <string.h>

#include "server/resp_inner.h"

static const char no_auth[] = "Authentication required.";
static const char wrong_pass[] = "invalid username-password pair or user is disabled.";

struct own_call {
    struct resp_connection *connection;
    const struct resp_arguments *arguments;
    struct buffer *out;
};

/* ---- who it is */

static bool opens(struct resp_connection *connection, struct bytes authorization, uint32_t scopes,
                  struct problem *problem_out)
{
    const struct resp_options *options = &connection->resp->options;
    return options->calls.opens(options->self, authorization, scopes, problem_out);
}

/* What was shown before stays, unless the key opens. */
static bool authenticate(struct resp_connection *connection, struct bytes key)
{
    static const char scheme[] = "Bearer ";
    char text[sizeof(connection->authorization)];
    struct buffer shown = buffer_over(text, sizeof(text));
    struct problem problem;
    buffer_put_text(&shown, scheme);
    buffer_put(&shown, key.at, key.length);
    const bool is_let_in =
        !shown.overflowed && opens(connection, buffer_bytes(&shown), 0, &problem);
    if (is_let_in) {
        memcpy(connection->authorization, text, shown.used);
        connection->authorization_length = (uint32_t)shown.used;
    }
    explicit_bzero(text, sizeof(text));
    return is_let_in;
}

static void call_auth(struct own_call call)
{
    /* A user's name, if there is one, says nothing: the key does. */
    if (authenticate(call.connection, call.arguments->at[call.arguments->count - 1]))
        resp_put_simple(call.out, "OK");
    else
        resp_put_error(call.out, "WRONGPASS", wrong_pass);
}

static void forget(struct resp_connection *connection)
{
    explicit_bzero(connection->authorization, sizeof(connection->authorization));
    connection->authorization_length = 0;
}

/* ---- HELLO [2|3 [AUTH user key] [SETNAME name]] */

static void set_name(struct resp_connection *connection, struct bytes name)
{
    connection->name_length =
        (uint32_t)(name.length < RESP_NAME_BYTES_MAX ? name.length : RESP_NAME_BYTES_MAX);
    memcpy(connection->name, name.at, connection->name_length);
}

static void put_hello(struct own_call call)
{
    const struct resp_connection *connection = call.connection;
    struct buffer *out = call.out;
    resp_put_map(out, 7, connection->is_resp3);
    resp_put_text(out, "server");
    resp_put_text(out, "weir");
    resp_put_text(out, "version");
    resp_put_text(out, connection->resp->options.version);
    resp_put_text(out, "proto");
    resp_put_integer(out, connection->is_resp3 ? 3 : 2);
    resp_put_text(out, "id");
    resp_put_count(out, connection->id);
    resp_put_text(out, "mode");
    resp_put_text(out, "standalone");
    resp_put_text(out, "role");
    resp_put_text(out, "master");
    resp_put_text(out, "modules");
    resp_put_array(out, 0);
}

static void call_hello(struct own_call call)
{
    struct resp_connection *connection = call.connection;
    const struct resp_arguments *arguments = call.arguments;
    struct bytes name = BYTES_NONE;
    struct problem problem;
    const bool is_3 = arguments->count > 1 && bytes_equal(arguments->at[1], BYTES("3"));
    if (arguments->count > 1 && !is_3 && !bytes_equal(arguments->at[1], BYTES("2"))) {
        resp_put_error(call.out, "NOPROTO", "unsupported protocol version");
        return;
    }
    for (uint32_t at = 2; at < arguments->count;) {
        const uint32_t following = arguments->count - at - 1;
        if (resp_is_word(arguments->at[at], "AUTH") && following >= 2) {
            if (!authenticate(connection, arguments->at[at + 2])) {
                resp_put_error(call.out, "WRONGPASS", wrong_pass);
                return;
            }
            at += 3;
        } else if (resp_is_word(arguments->at[at], "SETNAME") && following >= 1) {
            name = arguments->at[at + 1];
            at += 2;
        } else {
            resp_put_error(call.out, "ERR", "syntax error in HELLO");
            return;
        }
    }
    if (!opens(connection, resp_authorization(connection), 0, &problem)) {
        resp_put_error(call.out, "NOAUTH",
                       "HELLO must be called with the client already authenticated, otherwise the "
                       "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                       "client and select the RESP protocol version at the same time");
        return;
    }
    if (name.at != NULL) set_name(connection, name);
    if (arguments->count > 1) connection->is_resp3 = is_3;
    put_hello(call);
}

/* ---- small ones */

static void call_ping(struct own_call call)
{
    if (call.arguments->count == 1)
        resp_put_simple(call.out, "PONG");
    else
        resp_put_bulk(call.out, call.arguments->at[1]);
}

static void call_echo(struct own_call call)
{
    resp_put_bulk(call.out, call.arguments->at[1]);
}

static void call_quit(struct own_call call)
{
    resp_put_simple(call.out, "OK");
    call.connection->is_ending = true;
}

static void call_reset(struct own_call call)
{
    forget(call.connection);
    call.connection->is_resp3 = false;
    call.connection->name_length = 0;
    resp_put_simple(call.out, "RESET");
}

static void call_select(struct own_call call)
{
    if (bytes_equal(call.arguments->at[1], BYTES("0")))
        resp_put_simple(call.out, "OK");
    else
        resp_put_error(call.out, "ERR", "DB index is out of range");
}

static void call_client(struct own_call call)
{
    struct resp_connection *connection = call.connection;
    const struct resp_arguments *arguments = call.arguments;
    const struct bytes what = arguments->at[1];
    if (resp_is_word(what, "SETNAME") && arguments->count == 3) {
        set_name(connection, arguments->at[2]);
        resp_put_simple(call.out, "OK");
    } else if (resp_is_word(what, "SETINFO") && arguments->count == 4) {
        resp_put_simple(call.out, "OK");
    } else if (resp_is_word(what, "GETNAME") && arguments->count == 2) {
        resp_put_bulk(call.out,
                      (struct bytes){(const uint8_t *)connection->name, connection->name_length});
    } else if (resp_is_word(what, "ID") && arguments->count == 2) {
        resp_put_count(call.out, connection->id);
    } else {
        resp_put_error(call.out, "ERR",
                       "unknown subcommand or wrong number of arguments for CLIENT");
    }
}

/* Numbers about everybody: as much as /metrics asks for. */
static void call_info(struct own_call call)
{
    const struct resp_options *options = &call.connection->resp->options;
    uint8_t block[4096];
    struct buffer text = buffer_over(block, sizeof(block));
    struct problem problem;
    if (!opens(call.connection, resp_authorization(call.connection), ACCESS_READ, &problem)) {
        wire_answer_problem(WIRE_FORM_RESP, &problem, BYTES_NONE, call.out);
        return;
    }
    buffer_put_text(&text, "# Server\r\nserver:weir\r\nweir_version:");
    buffer_put_text(&text, options->version);
    buffer_put_text(&text, "\r\n\r\n# Clients\r\nconnected_clients:");
    buffer_put_decimal(&text, options->terms.network->connections);
    buffer_put_text(&text, "\r\nmaxclients:");
    buffer_put_decimal(&text, options->terms.connections_max);
    buffer_put_text(&text, "\r\ntotal_connections_received:");
    buffer_put_decimal(&text, options->terms.network->accepted);
    buffer_put_text(&text, "\r\ncommands_at_work:");
    buffer_put_decimal(&text, call.connection->resp->at_work);
    buffer_put_text(&text, "\r\n\r\n");
    options->calls.tell(options->self, &text);
    ENSURE(!text.overflowed);
    resp_put_bulk(call.out, buffer_bytes(&text));
}

/* ---- COMMAND */

static void call_command(struct own_call call);

struct command_row {
    const char *name;
    void (*answer)(struct own_call call); /* NULL: the loop does */
    uint32_t least;                       /* arguments, its name among them */
    uint32_t most;
    bool is_open; /* also to whoever has not shown a key */
    const char *summary;
};

static const struct command_row rows[] = {
    {  "WEIR.CONSUME",         NULL, 5, RESP_ARGUMENTS_MAX, false,
     "Decides and settles: customer subject|- feature key|- METER n [METER n ...] "
     "[ATTR name value ...] [MIN n] [CREDITS] [STATUS s]"                                                         },
    {"WEIR.AUTHORIZE",         NULL, 5, RESP_ARGUMENTS_MAX, false,
     "Decides and holds: customer subject|- feature key|- [TTL ms] METER n [METER n ...] "
     "[ATTR name value ...] [MIN n] [CREDITS]"                                                                    },
    {   "WEIR.COMMIT",         NULL, 2, RESP_ARGUMENTS_MAX, false,
     "Settles a hold: decision_id METER n [METER n ...] [STATUS s]"                                               },
    {  "WEIR.RELEASE",         NULL, 2,                  2, false,                "Gives a hold back: decision_id"},
    {          "AUTH",    call_auth, 2,                  3,  true,               "Shows an access key: [user] key"},
    {        "CLIENT",  call_client, 2,                  8, false, "SETNAME name, GETNAME, SETINFO what value, ID"},
    {       "COMMAND", call_command, 1, RESP_ARGUMENTS_MAX, false,
     "Tells of commands: [COUNT | LIST | DOCS [name ...] | INFO [name ...]]"                                      },
    {          "ECHO",    call_echo, 2,                  2, false,                          "Answers its argument"},
    {         "HELLO",   call_hello, 1,                 16,  true,          "[2|3 [AUTH user key] [SETNAME name]]"},
    {          "INFO",    call_info, 1,                  2, false,                 "Tells of the server, in lines"},
    {          "PING",    call_ping, 1,                  2, false,                 "Answers PONG, or its argument"},
    {          "QUIT",    call_quit, 1,                  1,  true,                           "Ends the connection"},
    {         "RESET",   call_reset, 1,                  1,  true,    "Forgets the key and the protocol's version"},
    {        "SELECT",  call_select, 2,                  2, false,                      "There is one database: 0"},
};

/* As Redis tells of commands: the arity is negative where more may follow. */
static void put_row(const struct command_row *row, struct buffer *out)
{
    resp_put_array(out, 6);
    resp_put_text(out, row->name);
    resp_put_integer(out, row->least == row->most ? (int64_t)row->least : -(int64_t)row->least);
    resp_put_array(out, 1);
    resp_put_simple(out, row->answer == NULL ? "write" : "fast");
    resp_put_integer(out, 0);
    resp_put_integer(out, 0);
    resp_put_integer(out, 0);
}

static void put_doc(const struct command_row *row, bool is_resp3, struct buffer *out)
{
    resp_put_text(out, row->name);
    resp_put_map(out, 2, is_resp3);
    resp_put_text(out, "summary");
    resp_put_text(out, row->summary);
    resp_put_text(out, "group");
    resp_put_text(out, row->answer == NULL ? "weir" : "connection");
}

static const struct command_row *row_of(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(rows); ++i)
        if (resp_is_word(name, rows[i].name)) return &rows[i];
    return NULL;
}

/* Of those that are named, or of all. */
static void put_docs(struct own_call call)
{
    const bool is_resp3 = call.connection->is_resp3;
    uint32_t count = 0;
    if (call.arguments->count == 2) {
        resp_put_map(call.out, COUNT_OF(rows), is_resp3);
        for (size_t i = 0; i < COUNT_OF(rows); ++i)
            put_doc(&rows[i], is_resp3, call.out);
        return;
    }
    /* A name that comes twice is told of once. */
    bool is_named[COUNT_OF(rows)] = {false};
    for (uint32_t at = 2; at < call.arguments->count; ++at) {
        const struct command_row *row = row_of(call.arguments->at[at]);
        if (row == NULL || is_named[row - rows]) continue;
        is_named[row - rows] = true;
        ++count;
    }
    resp_put_map(call.out, count, is_resp3);
    for (size_t i = 0; i < COUNT_OF(rows); ++i)
        if (is_named[i]) put_doc(&rows[i], is_resp3, call.out);
}

static void put_infos(struct own_call call)
{
    resp_put_array(call.out, call.arguments->count - 2);
    for (uint32_t at = 2; at < call.arguments->count; ++at) {
        const struct command_row *row = row_of(call.arguments->at[at]);
        if (row != NULL)
            put_row(row, call.out);
        else
            buffer_put_text(call.out, call.connection->is_resp3 ? "_\r\n" : "*-1\r\n");
    }
}

static void call_command(struct own_call call)
{
    const struct resp_arguments *arguments = call.arguments;
    const struct bytes what = arguments->count > 1 ? arguments->at[1] : BYTES("");
    const bool is_info = resp_is_word(what, "INFO");
    if (arguments->count == 1 || (is_info && arguments->count == 2)) {
        resp_put_array(call.out, COUNT_OF(rows));
        for (size_t i = 0; i < COUNT_OF(rows); ++i)
            put_row(&rows[i], call.out);
    } else if (is_info) {
        put_infos(call);
    } else if (resp_is_word(what, "DOCS")) {
        put_docs(call);
    } else if (resp_is_word(what, "COUNT") && arguments->count == 2) {
        resp_put_count(call.out, COUNT_OF(rows));
    } else if (resp_is_word(what, "LIST") && arguments->count == 2) {
        resp_put_array(call.out, COUNT_OF(rows));
        for (size_t i = 0; i < COUNT_OF(rows); ++i)
            resp_put_text(call.out, rows[i].name);
    } else {
        resp_put_error(call.out, "ERR",
                       "unknown subcommand or wrong number of arguments for COMMAND");
    }
}

bool resp_answer(struct resp_connection *connection, const struct resp_arguments *arguments,
                 struct buffer *out)
{
    const struct own_call call = {connection, arguments, out};
    const struct command_row *row = row_of(arguments->at[0]);
    struct problem problem;
    if (row == NULL || row->answer == NULL) return false;
    if (!row->is_open && !opens(connection, resp_authorization(connection), 0, &problem)) {
        resp_put_error(out, "NOAUTH", no_auth);
    } else if (arguments->count < row->least || arguments->count > row->most) {
        buffer_put_text(out, "-ERR wrong number of arguments for '");
        buffer_put_text(out, row->name);
        buffer_put_text(out, "' command\r\n");
    } else {
        row->answer(call);
    }
    return true;
}
