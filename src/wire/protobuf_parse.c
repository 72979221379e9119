/*
 * protobuf_parse.c: messages of api/weir.proto -> commands. A message is told to the draft as the
 * events that its JSON would make, so the rules of the contract are checked in one place, whoever
 * speaks. Only what protobuf itself leaves open is checked here: whether the bytes are the message,
 * numbers of fields that nobody has named, text that is no UTF-8.
 *
 * protobuf-c takes its memory from the arena, and never gives it back: a message that would need
 * more (each empty entry of a map is two bytes to send and fifty to keep) is too large.
 */
#include "wire/wire.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include <weir_c.pb-c.h>

#include "wire/draft.h"

static const ProtobufCMessageDescriptor *const messages[WIRE_CALLS] = {
    [WIRE_AUTHORIZE] = &weir__v1__authorize_request__descriptor,
    [WIRE_CONSUME] = &weir__v1__consume_request__descriptor,
    [WIRE_CHECK] = &weir__v1__check_request__descriptor,
    [WIRE_USAGE] = &weir__v1__report_request__descriptor,
    [WIRE_COMMIT] = &weir__v1__commit_request__descriptor,
    [WIRE_RELEASE] = &weir__v1__release_request__descriptor,
    [WIRE_EXTEND] = &weir__v1__extend_request__descriptor,
};

enum { NUMBER_TEXT_BYTES = 20 }; /* of 64 bits */

struct room {
    struct arena *arena;
    bool is_over;
};

static void *take_room(void *self, size_t bytes)
{
    struct room *room = self;
    void *block = arena_take(room->arena, bytes);
    if (block == NULL) room->is_over = true;
    return block;
}

static void give_no_room(void *self, void *block)
{
    (void)self;
    (void)block;
}

static void tell(struct draft *draft, enum json_kind kind, uint32_t depth, struct bytes text)
{
    draft_hear(draft,
               &(struct json_event){.kind = kind, .depth = depth, .offset = 0, .text = text});
}

static void fault(struct draft *draft, struct place place, enum problem_code code,
                  struct bytes value, const char *expected)
{
    draft_fault(draft, GRAVITY_SHAPE, code, place, value, expected);
}

static struct bytes decimal(struct draft *draft, uint64_t value)
{
    uint8_t *block = arena_take(draft->arena, NUMBER_TEXT_BYTES);
    if (block == NULL) {
        draft_fault(draft, GRAVITY_TEXT, PROBLEM_TOO_LARGE, (struct place){0}, BYTES_NONE,
                    "fewer fields");
        return BYTES("0");
    }
    struct buffer text = buffer_over(block, NUMBER_TEXT_BYTES);
    buffer_put_decimal(&text, value);
    return buffer_bytes(&text);
}

static struct bytes bytes_at(const uint8_t *member)
{
    ProtobufCBinaryData data;
    memcpy(&data, member, sizeof data);
    return (struct bytes){data.data != NULL ? data.data : (const uint8_t *)"", data.len};
}

static int number_at(const uint8_t *member)
{
    int number;
    memcpy(&number, member, sizeof number);
    return number;
}

static uint64_t count_at(const uint8_t *member)
{
    uint64_t count;
    memcpy(&count, member, sizeof count);
    return count;
}

/* False: the text is none, and that is noted. */
static bool check_text(struct draft *draft, const char *field, struct bytes text)
{
    if (bytes_is_utf8(text)) return true;
    fault(draft, (struct place){.field = field}, PROBLEM_INVALID_SHAPE, text, "UTF-8");
    return false;
}

/* Numbers that the contract has not given to a field. */
static void refuse_unknown(struct draft *draft, const ProtobufCMessage *message, const char *field)
{
    for (unsigned i = 0; i < message->n_unknown_fields; ++i)
        fault(draft,
              (struct place){.field = field,
                             .member = decimal(draft, message->unknown_fields[i].tag)},
              PROBLEM_UNKNOWN_FIELD, BYTES_NONE, message->descriptor->name);
}

/* Whether a field that stands by itself was sent: what has its default was not, unless the contract
 * says `optional`. */
static bool is_there(const ProtobufCFieldDescriptor *field, const uint8_t *message)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return (uint32_t)number_at(message + field->quantifier_offset) == field->id;
    if (field->type == PROTOBUF_C_TYPE_BYTES) return bytes_at(message + field->offset).length > 0;
    if (field->type == PROTOBUF_C_TYPE_UINT64) return count_at(message + field->offset) != 0;
    return number_at(message + field->offset) != 0; /* a bool is an int to protobuf-c */
}

/* The word that the contract has for a number of one of its enums; one that it does not have is
 * told as what it is, which no rule lets pass. */
static struct bytes word_of(struct draft *draft, const ProtobufCFieldDescriptor *field, int number)
{
    const char *const *words = NULL;
    for (uint32_t rule = 0; rule < FIELDS; ++rule)
        if (field_rules[rule].rule == RULE_STRING_WORD &&
            strcmp(field_rules[rule].name, field->name) == 0)
            words = field_rules[rule].words;
    ENSURE(words != NULL);
    for (int word = 0; words[word] != NULL; ++word)
        if (number == word + 1) return bytes_of_text(words[word]);
    return decimal(draft, (uint32_t)number);
}

static void tell_value(struct draft *draft, const ProtobufCFieldDescriptor *field,
                       const uint8_t *member, uint32_t depth)
{
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        tell(draft, JSON_STRING, depth, bytes_at(member));
    } else if (field->type == PROTOBUF_C_TYPE_UINT64) {
        tell(draft, JSON_NUMBER, depth, decimal(draft, count_at(member)));
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        tell(draft, number_at(member) != 0 ? JSON_TRUE : JSON_FALSE, depth, BYTES_NONE);
    } else {
        ENSURE(field->type == PROTOBUF_C_TYPE_ENUM);
        tell(draft, JSON_STRING, depth, word_of(draft, field, number_at(member)));
    }
}

/* A map: entries of a key, which is text, and a value. */
static void tell_map(struct draft *draft, const ProtobufCFieldDescriptor *field,
                     const uint8_t *message)
{
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    ENSURE(entry->n_fields == 2 && entry->fields[0].type == PROTOBUF_C_TYPE_BYTES);
    size_t count;
    ProtobufCMessage **entries;
    memcpy(&count, message + field->quantifier_offset, sizeof count);
    memcpy(&entries, message + field->offset, sizeof entries);
    tell(draft, JSON_MAP, 1, BYTES_NONE);
    for (size_t i = 0; i < count; ++i) {
        const uint8_t *at = (const uint8_t *)entries[i];
        const struct bytes key = bytes_at(at + entry->fields[0].offset);
        const uint8_t *value = at + entry->fields[1].offset;
        refuse_unknown(draft, entries[i], field->name);
        if (!check_text(draft, field->name, key)) continue;
        if (entry->fields[1].type == PROTOBUF_C_TYPE_BYTES &&
            !check_text(draft, field->name, bytes_at(value)))
            continue;
        tell(draft, JSON_KEY, 2, key);
        tell_value(draft, &entry->fields[1], value, 2);
    }
    tell(draft, JSON_MAP_END, 1, BYTES_NONE);
}

static bool is_empty_map(const ProtobufCFieldDescriptor *field, const uint8_t *message)
{
    size_t count;
    memcpy(&count, message + field->quantifier_offset, sizeof count);
    return count == 0;
}

static bool is_required(const struct draft *draft, const ProtobufCFieldDescriptor *field)
{
    for (enum field known = 0; known < FIELDS; ++known)
        if (strcmp(field->name, field_rules[known].name) == 0)
            return (draft->call->requires & FIELD_BIT(known)) != 0;
    return false;
}

/* A map without entries cannot be told from none: it is none, unless there has to be one. */
static void tell_field(struct draft *draft, const ProtobufCFieldDescriptor *field,
                       const uint8_t *message)
{
    const uint8_t *member = message + field->offset;
    const bool is_text = field->type == PROTOBUF_C_TYPE_BYTES;
    const bool is_map = field->label == PROTOBUF_C_LABEL_REPEATED;
    if (is_map ? is_empty_map(field, message) && !is_required(draft, field)
               : !is_there(field, message))
        return;
    if (is_text && !check_text(draft, field->name, bytes_at(member))) return;
    if (strcmp(field->name, field_rules[FIELD_DECISION_ID].name) == 0) {
        draft->id = bytes_at(member);
        draft->has_id = true;
        return;
    }
    tell(draft, JSON_KEY, 1, bytes_of_text(field->name));
    if (is_map)
        tell_map(draft, field, message);
    else
        tell_value(draft, field, member, 1);
}

static void tell_message(struct draft *draft, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    tell(draft, JSON_MAP, 0, BYTES_NONE);
    for (unsigned i = 0; i < descriptor->n_fields; ++i)
        tell_field(draft, &descriptor->fields[i], (const uint8_t *)message);
    tell(draft, JSON_MAP_END, 0, BYTES_NONE);
    refuse_unknown(draft, message, "");
    if (draft->call->target == TARGET_DECISION && !draft->has_id)
        fault(draft, (struct place){.field = field_rules[FIELD_DECISION_ID].name},
              PROBLEM_MISSING_FIELD, BYTES_NONE, field_rules[FIELD_DECISION_ID].expected);
}

void draft_read_protobuf(struct draft *draft, enum wire_call call, struct bytes body)
{
    const ProtobufCMessageDescriptor *descriptor = messages[call];
    ENSURE(descriptor != NULL);
    struct room room = {.arena = draft->arena};
    ProtobufCAllocator allocator = {
        .alloc = take_room, .free = give_no_room, .allocator_data = &room};
    const ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, body.length, body.at);
    if (message != NULL)
        tell_message(draft, message);
    else if (room.is_over)
        draft_fault(draft, GRAVITY_TEXT, PROBLEM_TOO_LARGE, (struct place){0}, BYTES_NONE,
                    "fewer fields");
    else
        draft_fault(draft, GRAVITY_TEXT, PROBLEM_INVALID_SHAPE, (struct place){0}, BYTES_NONE,
                    descriptor->name);
}
