/*
 * resp_trial.h: a client's bytes, whatever they are, through all that reads RESP, with what must
 * hold afterwards. Shared by the test and the fuzz target.
 */
#pragma once

#include "wire/trial.h"

enum { RESP_TRIAL_COMMANDS_MAX = 16 };

/* What came of a stream of bytes. */
struct resp_told {
    uint32_t commands; /* whole ones, lines of words included */
    uint32_t accepted; /* that are commands of Weir's and right */
    bool is_wrong;     /* the bytes were no commands in the end */
    size_t left;       /* of a part of a command */
    size_t lengths[RESP_TRIAL_COMMANDS_MAX];
};

/* As one of Weir's commands, by its length and arguments: what it comes to must be an answer. */
static inline uint32_t resp_trial_command(struct bytes command, struct arena *arena)
{
    static const enum wire_call calls[] = {WIRE_CONSUME, WIRE_AUTHORIZE, WIRE_COMMIT, WIRE_RELEASE};
    static struct command parsed;
    static uint8_t text[WIRE_PROBLEM_BYTES_MAX];
    struct resp_arguments arguments;
    struct problem problem;
    resp_split(command, &arguments);
    if (arguments.count == 0) return 0;
    const struct wire_request request = {
        .call = calls[(arguments.count >= 5 ? 0 : 2) + command.length % 2],
        .form = WIRE_FORM_RESP,
        .body = command,
        .target = arguments.count > 1 ? arguments.at[1] : BYTES_NONE};
    arena_reset(arena);
    if (wire_parse(&request, arena, &parsed, &problem)) {
        trial_command(&parsed);
        return 1;
    }
    trial_problem(&problem);
    struct buffer out = buffer_over(text, sizeof text);
    wire_answer_problem(WIRE_FORM_RESP, &problem, BYTES_NONE, &out);
    ENSURE(!out.overflowed && out.used > 3 && text[0] == '-');
    ENSURE(memchr(text, '\n', out.used) == text + out.used - 1);
    ENSURE(memchr(text, '\r', out.used) == text + out.used - 2);
    ENSURE(bytes_is_utf8(buffer_bytes(&out)));
    return 0;
}

/* Reads the bytes as they come, `step` at a time, each time from a block that ends where they do.
 */
static inline struct resp_told resp_trial(struct bytes input, size_t step)
{
    static uint8_t memory[WIRE_PARSE_ARENA_BYTES(2 * RESP_LINE_BYTES_MAX + RESP_COMMAND_BYTES_MAX)];
    static uint8_t line[2 * RESP_LINE_BYTES_MAX];
    struct arena arena = arena_over(memory, sizeof memory);
    struct resp_told told = {0};
    struct resp_reader reader = {0};
    size_t begun = 0;
    for (size_t seen = 0; seen < input.length && !told.is_wrong;) {
        seen = input.length - seen < step ? input.length : seen + step;
        bool goes_on = true;
        while (goes_on && begun < seen && told.commands < RESP_TRIAL_COMMANDS_MAX) {
            uint8_t *block = malloc(seen - begun);
            ENSURE(block != NULL);
            memcpy(block, input.at + begun, seen - begun);
            const struct bytes rest = {block, seen - begun};
            size_t length = 0;
            const char *wrong = NULL;
            const enum resp_read read = resp_read(&reader, rest, &length, &wrong);
            goes_on = read != RESP_PART && read != RESP_WRONG;
            ENSURE((read == RESP_WRONG) == (wrong != NULL));
            ENSURE(!goes_on || (length > 0 && length <= rest.length));
            ENSURE(read != RESP_PART || rest.length < RESP_COMMAND_BYTES_MAX);
            told.is_wrong = read == RESP_WRONG;
            struct bytes command = {block, length};
            if (read == RESP_LINE) {
                struct buffer out = buffer_over(line, sizeof line);
                told.is_wrong = !resp_from_line(command, &out, &wrong);
                ENSURE(!out.overflowed);
                command = buffer_bytes(&out);
            }
            if (goes_on && !told.is_wrong) {
                told.accepted += resp_trial_command(command, &arena);
                told.lengths[told.commands++] = length;
                begun += length;
                reader = (struct resp_reader){0};
            }
            goes_on = goes_on && !told.is_wrong;
            free(block);
        }
    }
    told.left = input.length - begun;
    return told;
}
