/*
 * batch.c: the frame around operations, and around the elements of a list, which are operations
 * whose call is known. The whole body is read once, so that a torn batch does nothing at all; each
 * operation is only located, and parsed when its turn comes.
 */
#include "wire/wire.h"

#include <string.h>

#include "wire/draft.h"

struct frame {
    struct draft draft; /* for its faults */
    struct bytes body;
    bool is_list; /* has elements, all of the call */
    enum wire_call call;
    bool in_operations;
    bool has_operations;
    bool is_ignored; /* within the value of an unknown field */
    bool is_op;      /* the value that follows is an operation's "op" */
    bool has_op;
    uint32_t count; /* of elements, also those past the ceiling */
    struct wire_operation *operations;
};

static const char operations_expected[] = "an array of 1 to 1000 operations";

static struct place operations_place(void)
{
    return (struct place){.field = "operations"};
}

/* Faults of an operation are its own: they are told when its turn comes. */
static void spoil(struct frame *frame, struct wire_operation *operation, enum problem_code code,
                  const char *field, struct bytes value, const char *expected)
{
    struct draft draft = {.arena = frame->draft.arena,
                          .is_operation = !frame->is_list,
                          .is_element = frame->is_list,
                          .place = operation->index};
    draft_fault(&draft, GRAVITY_SHAPE, code, (struct place){.field = field}, value, expected);
    operation->problem = draft.problem;
}

static void hear_op(struct frame *frame, const struct json_event *event)
{
    struct wire_operation *operation = &frame->operations[frame->count - 1];
    frame->is_op = false;
    frame->has_op = true;
    const char *expected = field_rules[FIELD_OP].expected;
    if (event->kind != JSON_STRING) {
        spoil(frame, operation, PROBLEM_INVALID_SHAPE, "op", event->text, "a string");
        return;
    }
    operation->call = WIRE_CALLS;
    for (uint32_t call = 0; call < WIRE_CALLS; call++)
        if (call_rules[call].op != NULL &&
            bytes_equal(event->text, bytes_of_text(call_rules[call].op)))
            operation->call = (enum wire_call)call;
    if (operation->call == WIRE_CALLS)
        spoil(frame, operation, PROBLEM_INVALID_VALUE, "op", event->text, expected);
}

static void begin_operation(struct frame *frame, const struct json_event *event)
{
    frame->count++;
    if (frame->count > WIRE_OPERATIONS_MAX) return;
    struct wire_operation *operation = &frame->operations[frame->count - 1];
    *operation = (struct wire_operation){
        .index = frame->count - 1, .is_element = frame->is_list, .call = WIRE_CALLS};
    frame->has_op = frame->is_list;
    if (event->kind == JSON_MAP) {
        operation->body.at = frame->body.at + event->offset - 1;
        operation->call = frame->call;
    } else {
        spoil(frame, operation, PROBLEM_INVALID_SHAPE, NULL, event->text, "an object");
    }
}

static void end_operation(struct frame *frame, const struct json_event *event)
{
    if (frame->count > WIRE_OPERATIONS_MAX) return;
    struct wire_operation *operation = &frame->operations[frame->count - 1];
    operation->body.length = (size_t)(frame->body.at + event->offset - operation->body.at);
    if (!frame->has_op)
        spoil(frame, operation, PROBLEM_MISSING_FIELD, "op", BYTES_NONE,
              field_rules[FIELD_OP].expected);
}

/* Where operations begin and end. */
static void hear_operation(struct frame *frame, const struct json_event *event)
{
    if (event->kind == JSON_MAP_END)
        end_operation(frame, event);
    else if (event->kind != JSON_LIST_END)
        begin_operation(frame, event);
}

static void hear_top(struct frame *frame, const struct json_event *event)
{
    struct draft *draft = &frame->draft;
    if (event->kind == JSON_KEY) {
        const bool is_known = bytes_equal(event->text, BYTES("operations"));
        frame->is_ignored = !is_known || frame->has_operations;
        if (!is_known)
            draft_fault(draft, GRAVITY_SHAPE, PROBLEM_UNKNOWN_FIELD,
                        (struct place){.field = "", .member = event->text}, BYTES_NONE, NULL);
        else if (frame->has_operations)
            draft_fault(draft, GRAVITY_SHAPE, PROBLEM_DUPLICATE_FIELD, operations_place(),
                        BYTES_NONE, NULL);
        frame->has_operations = frame->has_operations || is_known;
    } else if (event->kind == JSON_LIST_END || event->kind == JSON_MAP_END) {
        frame->in_operations = false;
    } else if (!frame->is_ignored) {
        frame->in_operations = event->kind == JSON_LIST;
        if (event->kind != JSON_LIST)
            draft_fault(draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, operations_place(),
                        event->text, "an array");
    }
}

static void hear(void *self, const struct json_event *event)
{
    struct frame *frame = self;
    if (event->depth == 0) {
        if (event->kind != JSON_MAP && event->kind != JSON_MAP_END)
            draft_fault(&frame->draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, (struct place){0},
                        event->text, "an object");
        frame->is_ignored = frame->is_ignored || event->kind == JSON_LIST;
    } else if (event->depth == 1) {
        hear_top(frame, event);
    } else if (!frame->in_operations) {
        return;
    } else if (event->depth == 2) {
        hear_operation(frame, event);
    } else if (event->depth == 3 && frame->count <= WIRE_OPERATIONS_MAX &&
               frame->operations[frame->count - 1].body.at != NULL) {
        if (frame->is_op)
            hear_op(frame, event);
        else if (event->kind == JSON_KEY)
            frame->is_op = bytes_equal(event->text, BYTES("op"));
    }
}

static void hear_list(void *self, const struct json_event *event)
{
    struct frame *frame = self;
    if (event->depth == 0 && (event->kind == JSON_LIST || event->kind == JSON_LIST_END)) {
        frame->in_operations = event->kind == JSON_LIST;
    } else if (event->depth == 0) {
        draft_fault(&frame->draft, GRAVITY_SHAPE, PROBLEM_INVALID_SHAPE, (struct place){0},
                    event->text, "an array");
    } else if (frame->in_operations && event->depth == 1) {
        hear_operation(frame, event);
    }
}

/* NULL: the arena has no room. */
static struct wire_operation *take_operations(struct arena *arena, struct problem *problem_out)
{
    struct wire_operation *operations = arena_take(arena, WIRE_OPERATIONS_MAX * sizeof *operations);
    if (operations == NULL)
        *problem_out = (struct problem){.code = PROBLEM_CAPACITY, .field = "operations"};
    return operations;
}

static bool finish(const struct frame *frame, struct wire_operation **operations_out,
                   uint32_t *count_out, struct problem *problem_out)
{
    if (frame->draft.gravity != GRAVITY_NONE) {
        *problem_out = frame->draft.problem;
        return false;
    }
    *operations_out = frame->operations;
    *count_out = frame->count;
    return true;
}

bool wire_parse_batch(struct bytes body, struct arena *arena,
                      struct wire_operation **operations_out, uint32_t *count_out,
                      struct problem *problem_out)
{
    struct frame frame = {
        .draft = {.arena = arena, .field = FIELDS},
          .body = body, .call = WIRE_CALLS
    };
    frame.operations = take_operations(arena, problem_out);
    if (frame.operations == NULL) return false;
    draft_read(&frame.draft, body, hear, &frame);
    if (!frame.has_operations)
        draft_fault(&frame.draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD, operations_place(),
                    BYTES_NONE, operations_expected);
    if (frame.count == 0 || frame.count > WIRE_OPERATIONS_MAX)
        draft_fault(&frame.draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, operations_place(),
                    BYTES_NONE, operations_expected);
    return finish(&frame, operations_out, count_out, problem_out);
}

bool wire_parse_list(enum wire_call call, struct bytes body, struct arena *arena,
                     struct wire_operation **operations_out, uint32_t *count_out,
                     struct problem *problem_out)
{
    struct frame frame = {
        .draft = {.arena = arena, .field = FIELDS},
          .body = body, .is_list = true, .call = call
    };
    frame.operations = take_operations(arena, problem_out);
    if (frame.operations == NULL) return false;
    draft_read(&frame.draft, body, hear_list, &frame);
    if (frame.count > WIRE_OPERATIONS_MAX)
        draft_fault(&frame.draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE,
                    (struct place){.in_list = true, .element = WIRE_OPERATIONS_MAX}, BYTES_NONE,
                    "an array of at most 1000");
    return finish(&frame, operations_out, count_out, problem_out);
}
