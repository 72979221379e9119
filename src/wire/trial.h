/*
 * trial.h: one body, whatever its bytes, through everything that reads it, with what must hold
 * afterwards. Shared by the mutation test and the fuzz target.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/schema.h"
#include "wire/wire.h"

/* The first byte of the input picks what reads the rest. */
enum { TRIAL_CLOCK = WIRE_CALLS, TRIAL_BATCH, TRIAL_LIST, TRIALS };

static inline void trial_ignore(void *self, const struct json_event *event)
{
    (void)self;
    (void)event;
}

/* A problem is the client's to mend, names its field, and can be shown. */
static inline void trial_problem(const struct problem *problem)
{
    static uint8_t text[WIRE_PROBLEM_BYTES_MAX];
    static uint8_t memory[64 * 1024];
    const unsigned status = wire_problem_status(problem->code);
    ENSURE(status >= 400 && status < 500);
    ENSURE(problem->field != NULL && problem->field[0] != '\0');
    struct buffer buffer = buffer_over(text, sizeof text);
    wire_render_problem(problem, BYTES_NONE, &buffer);
    ENSURE(!buffer.overflowed);
    struct arena arena = arena_over(memory, sizeof memory);
    const struct json_result shown =
        json_read(buffer_bytes(&buffer), 1, &arena, trial_ignore, NULL);
    ENSURE(shown.verdict == JSON_READ);
}

/* A command keeps the ceilings and survives its codec. */
static inline void trial_command(const struct command *command)
{
    static uint8_t first[COMMAND_BYTES_MAX];
    static uint8_t second[COMMAND_BYTES_MAX];
    static struct command decoded;
    ENSURE(command->customer.length <= CUSTOMER_BYTES_MAX && bytes_is_utf8(command->customer));
    ENSURE(command->subject.length <= SUBJECT_BYTES_MAX && command->key.length <= KEY_BYTES_MAX);
    ENSURE(command->quantity_count <= METERS_MAX && command->attribute_count <= ATTRIBUTES_MAX);
    for (uint32_t place = 0; place < command->quantity_count; place++) {
        ENSURE(command->quantities[place].amount <= QUANTITY_MAX);
        ENSURE(place == 0 || bytes_compare(command->quantities[place - 1].meter,
                                           command->quantities[place].meter) < 0);
    }
    for (uint32_t place = 1; place < command->attribute_count; place++)
        ENSURE(bytes_compare(command->attributes[place - 1].name, command->attributes[place].name) <
               0);
    ENSURE(command->override_count <= OVERRIDES_MAX);
    ENSURE(command->suspension_count <= SUSPENSIONS_MAX);
    ENSURE(command->grant_feature_count <= GRANT_FEATURES_MAX);

    struct buffer once = buffer_over(first, sizeof first);
    command_encode(command, &once);
    ENSURE(!once.overflowed && command_decode(buffer_bytes(&once), &decoded));
    struct buffer again = buffer_over(second, sizeof second);
    command_encode(&decoded, &again);
    ENSURE(bytes_equal(buffer_bytes(&once), buffer_bytes(&again)));
}

static inline struct bytes trial_target(uint32_t call)
{
    if (call_rules[call].target == TARGET_CUSTOMER) return BYTES("acme");
    if (call_rules[call].target == TARGET_GRANT) return BYTES("g_0000000000a02");
    return BYTES("d_0000000000c81");
}

static inline void trial_batch(struct bytes body, bool is_list, struct arena *arena)
{
    struct wire_operation *operations;
    uint32_t count;
    struct problem problem;
    static struct command command;
    const bool is_fine =
        is_list ? wire_parse_list(WIRE_EVENT, body, arena, &operations, &count, &problem)
                : wire_parse_batch(body, arena, &operations, &count, &problem);
    if (!is_fine) {
        trial_problem(&problem);
        return;
    }
    ENSURE((is_list || count >= 1) && count <= WIRE_OPERATIONS_MAX);
    const size_t used = arena->used;
    for (uint32_t place = 0; place < count; place++) {
        arena->used = used;
        if (wire_parse_operation(&operations[place], arena, &command, &problem))
            trial_command(&command);
        else
            trial_problem(&problem);
    }
}

/* True: the body was accepted. */
static inline bool trial(const uint8_t *input, size_t length)
{
    if (length == 0) return false;
    const uint32_t call = input[0] % TRIALS;
    const struct bytes body = {input + 1, length - 1};
    const bool is_batch = call == TRIAL_BATCH || call == TRIAL_LIST;
    const size_t bytes =
        is_batch ? WIRE_BATCH_ARENA_BYTES(body.length) : WIRE_PARSE_ARENA_BYTES(body.length);
    void *block = malloc(bytes);
    ENSURE(block != NULL);
    struct arena arena = arena_over(block, bytes);
    struct problem problem;
    bool is_fine = false;
    if (is_batch) {
        trial_batch(body, call == TRIAL_LIST, &arena);
    } else if (call == TRIAL_CLOCK) {
        struct wire_clock clock;
        is_fine = wire_parse_clock(body, &arena, &clock, &problem);
        if (!is_fine) trial_problem(&problem);
    } else {
        static struct command command;
        const struct wire_request request = {
            .call = (enum wire_call)call, .body = body, .target = trial_target(call)};
        is_fine = wire_parse(&request, &arena, &command, &problem);
        if (is_fine)
            trial_command(&command);
        else
            trial_problem(&problem);
    }
    free(block);
    return is_fine;
}

/* The same of a message of the gRPC contract. */
static inline bool trial_protobuf(const uint8_t *input, size_t length)
{
    if (length == 0) return false;
    static struct command command;
    struct problem problem;
    const size_t bytes = WIRE_PARSE_ARENA_BYTES(length);
    void *block = malloc(bytes);
    ENSURE(block != NULL);
    struct arena arena = arena_over(block, bytes);
    const struct wire_request request = {
        .call = (enum wire_call)(input[0] % (WIRE_EXTEND + 1)),
        .form = WIRE_FORM_PROTOBUF,
        .body = {input + 1, length - 1}
    };
    const bool is_fine = wire_parse(&request, &arena, &command, &problem);
    if (is_fine)
        trial_command(&command);
    else
        trial_problem(&problem);
    free(block);
    return is_fine;
}
