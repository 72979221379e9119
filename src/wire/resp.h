/*
 * resp.h: the RESP protocol (of Redis, versions 2 and 3) as bytes: where a command ends, what its
 * arguments are, and how answers are written. What WEIR.* commands mean goes the way of JSON
 * bodies: wire_parse and wire_answer_report with WIRE_FORM_RESP, of a body that is a whole command
 * in multibulk form.
 *
 * The other end is not believed: every length has a ceiling, and what is not of the protocol is
 * said at its first byte.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* The longest WEIR command that can be right has 74 arguments. */
#define RESP_ARGUMENTS_MAX 128u
/* As sent, with lengths and line ends. */
#define RESP_COMMAND_BYTES_MAX ((size_t)64 << 10)
/* An inline command: words in a line. As multibulk it takes no more than twice RESP_COMMAND. */
#define RESP_LINE_BYTES_MAX ((size_t)16 << 10)

enum resp_read {
    RESP_PART,  /* more bytes are needed */
    RESP_WHOLE, /* a command */
    RESP_LINE,  /* the same, as a line of words: resp_from_line */
    RESP_NONE,  /* bytes that are no command, and mean nothing */
    RESP_WRONG
};

/* How far a command was read; zero for a new one. */
struct resp_reader {
    size_t at;     /* bytes that are not looked at again */
    uint32_t left; /* arguments that are still to come */
    int64_t bulk;  /* the length of the one at hand; -1: not known yet */
    bool is_begun;
};

/* Reads on; the input begins with the command. length_out: of all but RESP_PART and RESP_WRONG.
 * wrong_out: what is wrong, in Redis's words where it has some: "Protocol error: " goes in front.
 */
enum resp_read resp_read(struct resp_reader *reader, struct bytes input, size_t *length_out,
                         const char **wrong_out);

struct resp_arguments {
    uint32_t count;
    struct bytes at[RESP_ARGUMENTS_MAX]; /* views into the command */
};

/* Of a whole command; anything else has no arguments. */
void resp_split(struct bytes command, struct resp_arguments *arguments_out);
/* A line as multibulk, with Redis's quotes: "a\x20b" and 'a b'. Empty: no words. False: it cannot
 * be one, wrong_out as above. */
MUST_USE bool resp_from_line(struct bytes line, struct buffer *out, const char **wrong_out);

/* Whether an argument is a word, in any case; `word` in capitals. */
bool resp_is_word(struct bytes argument, const char *word);

/* ---- writing */

void resp_put_array(struct buffer *buffer, uint32_t elements);
/* RESP 3: a map; before that, an array of keys and values. */
void resp_put_map(struct buffer *buffer, uint32_t pairs, bool is_resp3);
void resp_put_bulk(struct buffer *buffer, struct bytes text);
void resp_put_text(struct buffer *buffer, const char *text); /* a bulk string */
void resp_put_integer(struct buffer *buffer, int64_t number);
void resp_put_count(struct buffer *buffer, uint64_t number);
void resp_put_simple(struct buffer *buffer, const char *text); /* "+OK" */
/* "-ERR ...": code and words without line ends. */
void resp_put_error(struct buffer *buffer, const char *code, const char *words);
