/*
 * render_request.c: what was asked, from the command as journaled: in the words of its body.
 */
#include "wire/wire.h"

static void put_optional(struct buffer *buffer, const char *key, struct bytes text)
{
    if (text.length == 0) return;
    json_key(buffer, key);
    json_text(buffer, text);
}

static const char *call_word(enum command_kind kind)
{
    if (kind == COMMAND_AUTHORIZE) return "authorize";
    return kind == COMMAND_CONSUME ? "consume" : "usage";
}

static void put_quantities(const struct command *command, struct buffer *buffer)
{
    json_key(buffer, "quantities");
    json_open(buffer, '{');
    for (uint32_t i = 0; i < command->quantity_count; ++i) {
        json_key_text(buffer, command->quantities[i].meter);
        json_count(buffer, command->quantities[i].amount);
    }
    json_close(buffer, '}');
}

static void put_attributes(const struct command *command, struct buffer *buffer)
{
    json_key(buffer, "attributes");
    json_open(buffer, '{');
    for (uint32_t i = 0; i < command->attribute_count; ++i) {
        json_key_text(buffer, command->attributes[i].name);
        json_text(buffer, command->attributes[i].value);
    }
    json_close(buffer, '}');
}

static void put_options(const struct command *command, struct buffer *buffer)
{
    if (command->has_ttl) {
        json_key(buffer, "ttl_ms");
        json_number(buffer, command->ttl_ms);
    }
    if (command->has_min_units) {
        json_key(buffer, "min_units");
        json_count(buffer, command->min_units);
    }
    if (command->consent != CONSENT_UNSAID) {
        json_key(buffer, "use_credits");
        json_bool(buffer, command->consent == CONSENT_GIVEN);
    }
    if (command->priority != PRIORITY_DEFAULT) {
        json_key(buffer, "priority");
        json_words(buffer, command->priority == PRIORITY_CRITICAL ? "critical" : "sheddable");
    }
    if (command->kind != COMMAND_AUTHORIZE) {
        json_key(buffer, "status");
        json_words(buffer, words_status(command->status));
    }
    if (command->has_duration) {
        json_key(buffer, "duration_ms");
        json_count(buffer, command->duration_ms);
    }
    put_optional(buffer, "compute", command->compute);
    if (command->has_event_time) {
        json_key(buffer, "time");
        json_instant(buffer, command->event_time_ms);
    }
}

void wire_put_request(const struct command *command, struct buffer *buffer)
{
    json_key(buffer, "request");
    json_open(buffer, '{');
    json_key(buffer, "call");
    json_words(buffer, call_word(command->kind));
    put_quantities(command, buffer);
    put_attributes(command, buffer);
    put_optional(buffer, "idempotency_key", command->key);
    put_options(command, buffer);
    json_close(buffer, '}');
}
