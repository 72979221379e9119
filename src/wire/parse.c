/*
 * parse.c: bodies -> commands. One reading against the tables, then what only the whole body can
 * show: fields that are missing, that exclude each other, that the path and the header bring, or
 * that an event's attributes make.
 */
#include "wire/wire.h"

#include <string.h>

#include "wire/draft.h"

static const char key_expected[] = "1 to 256 bytes without control characters";
static const char same_key_expected[] =
    "one key, or the same in the header Idempotency-Key and in the body";

static struct place at_field(enum field field)
{
    return (struct place){.field = field_rules[field].name};
}

static void check_missing(struct draft *draft, const struct call_rule *call)
{
    for (uint32_t field = 0; field < FIELDS; field++)
        if ((call->requires & FIELD_BIT(field)) != 0 && !draft_has(draft, (enum field)field))
            draft_fault(draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD, at_field((enum field)field),
                        BYTES_NONE, field_rules[field].expected);
}

/* A refund says credits, or all: true. */
static void check_refund(struct draft *draft)
{
    if (draft->call->kind != COMMAND_REFUND) return;
    if (draft->command.all && draft_has(draft, FIELD_REFUND_CREDITS))
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, at_field(FIELD_ALL), BYTES("true"),
                    "either credits or all");
    if (!draft->command.all && !draft_has(draft, FIELD_REFUND_CREDITS))
        draft_fault(draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD, at_field(FIELD_REFUND_CREDITS),
                    BYTES_NONE, "credits, or all: true");
}

/* The header serves as well as the field. A check ignores keys (A4). */
static void check_key(struct draft *draft, struct bytes header_key)
{
    struct command *command = &draft->command;
    if ((draft->call->takes & FIELD_BIT(FIELD_KEY)) == 0) return;
    if (header_key.at != NULL) {
        if (!schema_is_name(header_key, 1, KEY_BYTES_MAX) || !bytes_is_utf8(header_key))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, at_field(FIELD_KEY),
                        header_key, key_expected);
        else if (draft_has(draft, FIELD_KEY) && !bytes_equal(header_key, command->key))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, at_field(FIELD_KEY),
                        header_key, same_key_expected);
        command->key = header_key;
    }
    if (command->kind == COMMAND_CHECK) command->key = BYTES_NONE;
}

/* "7:gateway:e1": no other source and id come to the same. */
static struct bytes event_key(struct draft *draft)
{
    struct buffer key = buffer_over(arena_take(draft->arena, KEY_BYTES_MAX), KEY_BYTES_MAX);
    if (key.at == NULL) {
        draft_fault(draft, GRAVITY_TEXT, PROBLEM_TOO_LARGE, at_field(FIELD_EVENT_ID), BYTES_NONE,
                    "shorter strings");
        return BYTES_NONE;
    }
    buffer_put_decimal(&key, draft->event_source.length);
    buffer_put_byte(&key, ':');
    buffer_put(&key, draft->event_source.at, draft->event_source.length);
    buffer_put_byte(&key, ':');
    buffer_put(&key, draft->event_id.at, draft->event_id.length);
    ENSURE(!key.overflowed);
    return buffer_bytes(&key);
}

/* An event's data is as native usage, but for the key, which its attributes are. */
static void check_event(struct draft *draft, struct bytes header_key)
{
    if (!draft->call->is_event) return;
    draft->in_data = true;
    check_missing(draft, &call_rules[CALL_EVENT_DATA]);
    draft->in_data = false;
    if (header_key.at != NULL)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, at_field(FIELD_KEY), header_key,
                    event_key_expected);
    if (draft->event_source.length + draft->event_id.length > EVENT_NAMES_BYTES_MAX)
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE, at_field(FIELD_EVENT_ID),
                    draft->event_id, "at most 251 bytes together with source");
    else
        draft->command.key = event_key(draft);
    if (draft->command.has_event_time || !draft_has(draft, FIELD_EVENT_TIME)) return;
    draft->command.has_event_time = true;
    draft->command.event_time_ms = draft->event_time_ms;
}

/* The customer and the end are the key's, not the command's. */
static void take_access_terms(struct draft *draft)
{
    struct command *command = &draft->command;
    if (command->kind != COMMAND_ACCESS) return;
    command->access.customer = command->customer;
    command->access.expires_ms = command->has_expires ? command->expires_ms : INSTANT_NEVER;
    command->customer = BYTES_NONE;
    command->has_expires = false;
    command->expires_ms = 0;
}

static void check_target(struct draft *draft, struct bytes target)
{
    struct command *command = &draft->command;
    struct problem problem;
    switch (draft->call->target) {
    case TARGET_NONE:
        break;
    case TARGET_CUSTOMER:
        command->customer = target;
        if (!wire_check_name(WIRE_NAME_CUSTOMER, target, &problem))
            draft_fault(draft, GRAVITY_VALUE, problem.code, (struct place){.field = problem.field},
                        target, problem.expected);
        break;
    case TARGET_DECISION:
        command->target = draft->target;
        if (!draft->is_operation && !id_parse('d', target, &command->target))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_UNKNOWN_DECISION, at_field(FIELD_DECISION_ID),
                        target, field_rules[FIELD_DECISION_ID].expected);
        break;
    case TARGET_GRANT:
        if (!id_parse('g', target, &command->target))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_UNKNOWN_GRANT,
                        (struct place){.field = "grant_id"}, target, "a grant id");
        break;
    case TARGET_POOL:
        command->pool.name = target;
        if (!schema_is_name(target, 1, NAME_BYTES_MAX))
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_UNKNOWN_POOL, (struct place){.field = "pool"},
                        target, "a pool of the policy");
        break;
    case TARGET_KEY:
        /* A command without a target would make one. */
        if (!id_parse('k', target, &command->target) || command->target == 0)
            draft_fault(draft, GRAVITY_VALUE, PROBLEM_UNKNOWN_KEY,
                        (struct place){.field = "key_id"}, target, "the id of an access key");
        break;
    }
}

static int compare_overrides(const struct override *left, const struct override *right)
{
    int order = bytes_compare(left->feature, right->feature);
    if (order == 0) order = bytes_compare(left->name, right->name);
    if (order == 0) order = (left->place > right->place) - (left->place < right->place);
    return order;
}

static int compare_suspensions(const struct suspension *left, const struct suspension *right)
{
    const int order = bytes_compare(left->subject, right->subject);
    return order != 0 ? order : left->is_standing - right->is_standing;
}

/* Equal requests have equal commands, whatever the order in their JSON. */
static void sort(struct command *command)
{
    for (uint32_t end = 1; end < command->quantity_count; end++) {
        const struct quantity moved = command->quantities[end];
        uint32_t at = end;
        for (; at > 0 && bytes_compare(command->quantities[at - 1].meter, moved.meter) > 0; at--)
            command->quantities[at] = command->quantities[at - 1];
        command->quantities[at] = moved;
    }
    for (uint32_t end = 1; end < command->attribute_count; end++) {
        const struct attribute moved = command->attributes[end];
        uint32_t at = end;
        for (; at > 0 && bytes_compare(command->attributes[at - 1].name, moved.name) > 0; at--)
            command->attributes[at] = command->attributes[at - 1];
        command->attributes[at] = moved;
    }
    for (uint32_t end = 1; end < command->suspension_count; end++) {
        const struct suspension moved = command->suspensions[end];
        uint32_t at = end;
        for (; at > 0 && compare_suspensions(&command->suspensions[at - 1], &moved) > 0; at--)
            command->suspensions[at] = command->suspensions[at - 1];
        command->suspensions[at] = moved;
    }
    for (uint32_t end = 1; end < command->override_count; end++) {
        const struct override moved = command->overrides[end];
        uint32_t at = end;
        for (; at > 0 && compare_overrides(&command->overrides[at - 1], &moved) > 0; at--)
            command->overrides[at] = command->overrides[at - 1];
        command->overrides[at] = moved;
    }
}

/* One limit named both in limits and in budgets would have two amounts. */
static void check_overrides(struct draft *draft)
{
    const struct command *command = &draft->command;
    for (uint32_t place = 1; place < command->override_count; place++) {
        const struct override *pair = &command->overrides[place - 1];
        if (compare_overrides(&pair[0], &pair[1]) != 0) continue;
        const char *budgets = field_rules[FIELD_BUDGETS].name;
        const struct override *said = pair[0].field == budgets ? &pair[0] : &pair[1];
        draft_fault(draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE,
                    (struct place){.field = said->field, .member = said->member}, BYTES_NONE,
                    "each limit once");
    }
}

static void read_body(struct draft *draft, const struct wire_request *request)
{
    switch (request->form) {
    case WIRE_FORM_JSON:
        if (request->body.length > 0 || !draft->call->may_be_empty)
            draft_read(draft, request->body, draft_hear, draft);
        return;
    case WIRE_FORM_RESP:
        draft_read_resp(draft, request->body);
        return;
    case WIRE_FORM_PROTOBUF:
        draft_read_protobuf(draft, request->call, request->body);
        return;
    case WIRE_FORMS:
        break;
    }
    ENSURE(false); /* no front end speaks it */
}

/* Reads and checks all; the problem, if any, is in the draft. */
static void complete(struct draft *draft, const struct wire_request *request)
{
    draft->field = FIELDS;
    draft->command.kind = draft->call->kind;
    read_body(draft, request);
    check_missing(draft, draft->call);
    check_refund(draft);
    check_key(draft, request->header_key);
    check_event(draft, request->header_key);
    check_target(draft, draft->has_id ? draft->id : request->target);
    take_access_terms(draft);
    draft->command.as_held =
        draft->command.kind == COMMAND_COMMIT && !draft_has(draft, FIELD_QUANTITIES);
    sort(&draft->command);
    check_overrides(draft);
}

enum command_kind wire_command_kind(enum wire_call call)
{
    return call_rules[call].kind;
}

bool wire_parse(const struct wire_request *request, struct arena *arena,
                struct command *command_out, struct problem *problem_out)
{
    struct draft draft = {.arena = arena, .call = &call_rules[request->call]};
    complete(&draft, request);
    if (draft.gravity != GRAVITY_NONE) {
        *problem_out = draft.problem;
        return false;
    }
    *command_out = draft.command;
    return true;
}

bool wire_parse_operation(const struct wire_operation *operation, struct arena *arena,
                          struct command *command_out, struct problem *problem_out)
{
    if (operation->call == WIRE_CALLS) {
        *problem_out = operation->problem;
        return false;
    }
    struct call_rule call = call_rules[operation->call];
    if (!operation->is_element) call.takes |= FIELD_BIT(FIELD_OP);
    if (!operation->is_element && call.target == TARGET_DECISION) {
        call.takes |= FIELD_BIT(FIELD_DECISION_ID);
        call.requires |= FIELD_BIT(FIELD_DECISION_ID);
    }
    struct draft draft = {.arena = arena,
                          .call = &call,
                          .is_operation = !operation->is_element,
                          .is_element = operation->is_element,
                          .place = operation->index};
    complete(&draft, &(struct wire_request){.call = operation->call, .body = operation->body});
    if (draft.gravity != GRAVITY_NONE) {
        *problem_out = draft.problem;
        return false;
    }
    *command_out = draft.command;
    return true;
}

bool wire_parse_clock(struct bytes body, struct arena *arena, struct wire_clock *clock_out,
                      struct problem *problem_out)
{
    struct draft draft = {.arena = arena, .call = &call_rules[CALL_CLOCK]};
    complete(&draft, &(struct wire_request){.body = body});
    const bool now = draft_has(&draft, FIELD_NOW);
    const bool advance = draft_has(&draft, FIELD_ADVANCE_MS);
    const bool confirm = draft.confirm_jump;
    if (!now && !advance && !confirm)
        draft_fault(&draft, GRAVITY_SHAPE, PROBLEM_MISSING_FIELD, at_field(FIELD_NOW), BYTES_NONE,
                    "now or advance_ms");
    if (now + advance + confirm > 1)
        draft_fault(&draft, GRAVITY_VALUE, PROBLEM_INVALID_VALUE,
                    at_field(now ? FIELD_NOW : FIELD_ADVANCE_MS), BYTES_NONE, "one field only");
    if (draft.gravity != GRAVITY_NONE) {
        *problem_out = draft.problem;
        return false;
    }
    *clock_out = (struct wire_clock){
        .kind = now       ? WIRE_CLOCK_NOW
                : advance ? WIRE_CLOCK_ADVANCE
                          : WIRE_CLOCK_CONFIRM_JUMP,
        .ms = now ? draft.now_ms : draft.advance_ms,
    };
    return true;
}

bool wire_check_name(enum wire_name which, struct bytes text, struct problem *problem_out)
{
    static const enum field fields[] = {
        [WIRE_NAME_CUSTOMER] = FIELD_CUSTOMER,
        [WIRE_NAME_SUBJECT] = FIELD_SUBJECT,
        [WIRE_NAME_FEATURE] = FIELD_FEATURE,
    };
    const struct field_rule *rule = &field_rules[fields[which]];
    const bool is_fine = which == WIRE_NAME_SUBJECT
                             ? schema_is_path(text, (size_t)rule->most)
                             : schema_is_name(text, (size_t)rule->least, (size_t)rule->most);
    if (is_fine && bytes_is_utf8(text)) return true;
    *problem_out = (struct problem){
        .code = PROBLEM_INVALID_VALUE,
        .field = rule->name,
        .value = text,
        .expected = rule->expected,
    };
    return false;
}
