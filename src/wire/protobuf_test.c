#include "wire/wire.h"

#include <ctype.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>
#include <weir_c.pb-c.h>

#include "base/testing.h"
#include "wire/protobuf_fields.h"
#include "wire/schema.h"
#include "wire/trial.h"
#include "wire/words.h"

#define DECISION "d_0000000000c81"

static uint8_t memory[1 << 20];
static uint8_t body_block[512 << 10];

/* ---- the contract */

static const ProtobufCMessageDescriptor *const answers[] = {
    &weir__v1__units__descriptor,      &weir__v1__allocation__descriptor,
    &weir__v1__reason__descriptor,     &weir__v1__hold__descriptor,
    &weir__v1__overshoot__descriptor,  &weir__v1__note__descriptor,
    &weir__v1__http__descriptor,       &weir__v1__decision__descriptor,
    &weir__v1__settlement__descriptor, &weir__v1__released__descriptor,
};

static const ProtobufCMessageDescriptor *const requests[WIRE_CALLS] = {
    [WIRE_AUTHORIZE] = &weir__v1__authorize_request__descriptor,
    [WIRE_CONSUME] = &weir__v1__consume_request__descriptor,
    [WIRE_CHECK] = &weir__v1__check_request__descriptor,
    [WIRE_USAGE] = &weir__v1__report_request__descriptor,
    [WIRE_COMMIT] = &weir__v1__commit_request__descriptor,
    [WIRE_RELEASE] = &weir__v1__release_request__descriptor,
    [WIRE_EXTEND] = &weir__v1__extend_request__descriptor,
};

static const ProtobufCMessageDescriptor *answer_named(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(answers); ++i)
        if (strcmp(answers[i]->short_name, name) == 0) return answers[i];
    return NULL;
}

static void the_numbers_of_fields_in_answers_are_the_contracts(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        const char *field;
        uint32_t number;
    } fields[] = {
#define X(message, field, name, number) {#message, #field, name},
        PROTOBUF_FIELD_TABLE(X)
#undef X
    };
    unsigned all = 0;
    for (size_t i = 0; i < COUNT_OF(fields); ++i) {
        const ProtobufCMessageDescriptor *message = answer_named(fields[i].message);
        assert_non_null(message);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(message, fields[i].field);
        assert_non_null(field);
        assert_int_equal(field->id, fields[i].number);
    }
    for (size_t i = 0; i < COUNT_OF(answers); ++i)
        all += answers[i]->n_fields;
    assert_int_equal(all, COUNT_OF(fields));
}

/* "REASON_CODE_" and "rate_limited": as the JSON says it. */
static void assert_word(const ProtobufCEnumDescriptor *words, int number, const char *prefix,
                        const char *word)
{
    char name[64];
    const int length = snprintf(name, sizeof name, "%s%s", prefix, word);
    assert_in_range(length, 1, sizeof name - 1);
    for (char *at = name; *at != '\0'; ++at)
        *at = (char)toupper((unsigned char)*at);
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(words, number);
    assert_non_null(value);
    assert_string_equal(value->name, name);
}

static void closed_words_are_those_of_the_json(void **state)
{
    (void)state;
    int reasons = 0;
#define X(name, code, status, retry) \
    assert_word(&weir__v1__reason_code__descriptor, name + 1, "REASON_CODE_", code), ++reasons;
    REASON_TABLE(X)
#undef X
    assert_int_equal(weir__v1__reason_code__descriptor.n_values, reasons + 1);
    for (int outcome = OUTCOME_ALLOW; outcome <= OUTCOME_DENY; ++outcome)
        assert_word(&weir__v1__outcome__descriptor, outcome, "OUTCOME_",
                    words_outcome((enum outcome)outcome));
    for (int hold = HOLD_HELD; hold <= HOLD_EXPIRED; ++hold)
        assert_word(&weir__v1__hold_state__descriptor, hold, "HOLD_STATE_",
                    words_hold((enum hold_state)hold));
    for (int kind = SOURCE_ALLOWANCE; kind <= SOURCE_UNLIMITED; ++kind)
        assert_word(&weir__v1__source_kind__descriptor, kind, "SOURCE_KIND_",
                    words_source((enum source_kind)kind));
    for (int standing = STANDING_NORMAL + 1; standing < (int)STANDINGS; ++standing)
        assert_word(&weir__v1__standing__descriptor, standing, "STANDING_",
                    words_standing((enum standing)standing));
    for (int place = 0; field_rules[FIELD_PRIORITY].words[place] != NULL; ++place)
        assert_word(&weir__v1__priority__descriptor, place + 1, "PRIORITY_",
                    field_rules[FIELD_PRIORITY].words[place]);
    for (int place = 0; field_rules[FIELD_STATUS].words[place] != NULL; ++place)
        assert_word(&weir__v1__status__descriptor, place + 1, "STATUS_",
                    field_rules[FIELD_STATUS].words[place]);
}

static void requests_have_the_fields_of_their_calls_and_no_others(void **state)
{
    (void)state;
    for (uint32_t call = 0; call < WIRE_CALLS; ++call) {
        if (requests[call] == NULL) continue;
        unsigned fields = call_rules[call].target == TARGET_DECISION;
        for (uint32_t field = 0; field < FIELDS; ++field) {
            if ((call_rules[call].takes & FIELD_BIT(field)) == 0) continue;
            if (field_rules[field].rule == RULE_UNSUPPORTED) continue;
            assert_non_null(protobuf_c_message_descriptor_get_field_by_name(
                requests[call], field_rules[field].name));
            ++fields;
        }
        assert_int_equal(requests[call]->n_fields, fields);
    }
}

/* ---- requests */

static uint32_t number_of(enum wire_call call, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(requests[call], name);
    assert_non_null(field);
    return field->id;
}

static void put_text(struct buffer *body, uint32_t field, struct bytes text)
{
    buffer_put_unsigned(body, (uint64_t)field << 3 | 2);
    buffer_put_bytes(body, text);
}

static void put_count(struct buffer *body, uint32_t field, uint64_t value)
{
    buffer_put_unsigned(body, (uint64_t)field << 3);
    buffer_put_unsigned(body, value);
}

static void put_entry(struct buffer *body, uint32_t field, const char *key, struct bytes text,
                      uint64_t count)
{
    uint8_t block[512];
    struct buffer entry = buffer_over(block, sizeof block);
    put_text(&entry, 1, bytes_of_text(key));
    if (text.at != NULL)
        put_text(&entry, 2, text);
    else
        put_count(&entry, 2, count);
    put_text(body, field, buffer_bytes(&entry));
}

struct verdict {
    bool is_fine;
    struct command command;
    struct problem problem;
};

static struct verdict parsed(enum wire_call call, struct bytes body, struct bytes key)
{
    static struct verdict verdict;
    struct arena arena = arena_over(memory, sizeof memory);
    const struct wire_request request = {
        .call = call, .form = WIRE_FORM_PROTOBUF, .body = body, .header_key = key};
    memset(&verdict, 0, sizeof verdict);
    verdict.is_fine = wire_parse(&request, &arena, &verdict.command, &verdict.problem);
    return verdict;
}

/* Everything that a call takes, as a message. */
static struct bytes full_message(enum wire_call call)
{
    static const struct {
        const char *name;
        const char *text;
        uint64_t count;
    } values[] = {
        {       "customer",                 "acme",      0},
        {        "subject",         "team-a/alice",      0},
        {        "feature",                 "chat",      0},
        {"idempotency_key",               "req_01",      0},
        {    "decision_id",               DECISION,      0},
        {         "ttl_ms",                   NULL, 600000},
        {      "min_units",                   NULL,      1},
        {    "use_credits",                   NULL,      1},
        {       "priority",                   NULL,      3},
        {        "explain",                   NULL,      1},
        {         "status",                   NULL,      2},
        {    "duration_ms",                   NULL,      0},
        {        "compute",             "h100 x 8",      0},
        {           "time", "2026-05-01T12:00:00Z",      0},
    };
    struct buffer body = buffer_over(body_block, sizeof body_block);
    for (size_t i = 0; i < COUNT_OF(values); ++i) {
        if (protobuf_c_message_descriptor_get_field_by_name(requests[call], values[i].name) == NULL)
            continue;
        if (values[i].text != NULL)
            put_text(&body, number_of(call, values[i].name), bytes_of_text(values[i].text));
        else
            put_count(&body, number_of(call, values[i].name), values[i].count);
    }
    if ((call_rules[call].takes & FIELD_BIT(FIELD_QUANTITIES)) != 0) {
        put_entry(&body, number_of(call, "quantities"), "requests", BYTES_NONE, 3);
        put_entry(&body, number_of(call, "quantities"), "input_tokens", BYTES_NONE, QUANTITY_MAX);
    }
    if ((call_rules[call].takes & FIELD_BIT(FIELD_ATTRIBUTES)) != 0)
        put_entry(&body, number_of(call, "attributes"), "model", BYTES("gpt-5.5"), 0);
    assert_false(body.overflowed);
    return buffer_bytes(&body);
}

static const char ask_json[] =
    "\"customer\":\"acme\",\"subject\":\"team-a/alice\",\"feature\":\"chat\",\"quantities\":"
    "{\"input_tokens\":9007199254740991,\"requests\":3},\"attributes\":{\"model\":\"gpt-5.5\"},"
    "\"idempotency_key\":\"req_01\",\"ttl_ms\":600000,\"min_units\":1,\"use_credits\":true,"
    "\"priority\":\"sheddable\",\"explain\":true";
static const char settle_json[] =
    ",\"status\":\"failed\",\"duration_ms\":0,\"compute\":\"h100 x 8\"";
static const char used_json[] = "\"quantities\":{\"requests\":3,\"input_tokens\":9007199254740991}";

static struct bytes full_json(enum wire_call call)
{
    static char text[2048];
    const bool is_ask = call_rules[call].target == TARGET_NONE;
    const bool settles = (call_rules[call].takes & FIELD_BIT(FIELD_STATUS)) != 0;
    const int length = snprintf(
        text, sizeof text, "{%s%s%s%s}",
        is_ask                 ? ask_json
        : call == WIRE_RELEASE ? ""
                               : used_json,
        settles ? settle_json : "", call == WIRE_USAGE ? ",\"time\":\"2026-05-01T12:00:00Z\"" : "",
        call == WIRE_EXTEND ? ",\"ttl_ms\":600000,\"idempotency_key\":\"req_01\"" : "");
    assert_in_range(length, 1, sizeof text - 1);
    return (struct bytes){(const uint8_t *)text, (size_t)length};
}

static struct bytes encoded(const struct command *command, uint8_t block[4096])
{
    struct buffer out = buffer_over(block, 4096);
    command_encode(command, &out);
    assert_false(out.overflowed);
    return buffer_bytes(&out);
}

static void a_message_makes_the_command_that_its_json_makes(void **state)
{
    (void)state;
    static struct command command;
    static uint8_t json_memory[256 << 10];
    uint8_t one[4096];
    uint8_t other[4096];
    for (uint32_t call = 0; call < WIRE_CALLS; ++call) {
        if (requests[call] == NULL) continue;
        struct problem problem;
        struct arena arena = arena_over(json_memory, sizeof json_memory);
        const struct wire_request request = {.call = (enum wire_call)call,
                                             .body = full_json((enum wire_call)call),
                                             .target = BYTES(DECISION)};
        assert_true(wire_parse(&request, &arena, &command, &problem));
        const struct verdict verdict =
            parsed((enum wire_call)call, full_message((enum wire_call)call), BYTES_NONE);
        assert_true(verdict.is_fine);
        assert_true(bytes_equal(encoded(&command, one), encoded(&verdict.command, other)));
    }
}

static void what_has_its_default_is_absent_and_optional_zero_is_not(void **state)
{
    (void)state;
    struct buffer body = buffer_over(body_block, sizeof body_block);
    put_text(&body, number_of(WIRE_CONSUME, "customer"), BYTES("acme"));
    put_text(&body, number_of(WIRE_CONSUME, "feature"), BYTES("chat"));
    put_count(&body, number_of(WIRE_CONSUME, "priority"), 0);
    put_count(&body, number_of(WIRE_CONSUME, "status"), 0);
    put_text(&body, number_of(WIRE_CONSUME, "subject"), BYTES(""));
    const size_t without = body.used;
    struct verdict verdict = parsed(WIRE_CONSUME, buffer_bytes(&body), BYTES_NONE);
    assert_true(verdict.is_fine);
    assert_false(verdict.command.has_duration || verdict.command.has_ttl);
    assert_int_equal(verdict.command.consent, CONSENT_UNSAID);
    assert_int_equal(verdict.command.quantity_count, 0);

    put_count(&body, number_of(WIRE_CONSUME, "duration_ms"), 0);
    put_count(&body, number_of(WIRE_CONSUME, "use_credits"), 0);
    verdict = parsed(WIRE_CONSUME, buffer_bytes(&body), BYTES_NONE);
    assert_true(verdict.is_fine && verdict.command.has_duration);
    assert_int_equal(verdict.command.consent, CONSENT_REFUSED);

    body.used = without;
    put_count(&body, number_of(WIRE_CONSUME, "min_units"), 0);
    verdict = parsed(WIRE_CONSUME, buffer_bytes(&body), BYTES_NONE);
    assert_false(verdict.is_fine);
    assert_string_equal(verdict.problem.field, "min_units");
}

static void a_key_may_come_beside_the_message_but_not_another_one(void **state)
{
    (void)state;
    struct buffer body = buffer_over(body_block, sizeof body_block);
    put_text(&body, number_of(WIRE_CONSUME, "customer"), BYTES("acme"));
    put_text(&body, number_of(WIRE_CONSUME, "feature"), BYTES("chat"));
    struct verdict verdict = parsed(WIRE_CONSUME, buffer_bytes(&body), BYTES("beside"));
    assert_true(verdict.is_fine);
    assert_true(bytes_equal(verdict.command.key, BYTES("beside")));
    put_text(&body, number_of(WIRE_CONSUME, "idempotency_key"), BYTES("within"));
    verdict = parsed(WIRE_CONSUME, buffer_bytes(&body), BYTES("beside"));
    assert_false(verdict.is_fine);
    assert_string_equal(verdict.problem.field, "idempotency_key");
}

/* One thing more than `full_message` of CONSUME has, which is wrong. */
struct bad {
    const char *field; /* of the problem, as it is told */
    enum problem_code code;
    struct bytes more;
};

static void what_is_wrong_is_named_and_is_what_json_calls_it(void **state)
{
    (void)state;
    const struct bad bads[] = {
  /* customer, subject, feature, key: texts; a later one takes the place of the first */
        {       "customer",   PROBLEM_INVALID_VALUE,BYTES("\x0a\x03\x61\x00\x62")                                                    },
        {       "customer",   PROBLEM_INVALID_SHAPE,                             BYTES("\x0a\x02\xff\xfe")},
        {        "subject",   PROBLEM_INVALID_VALUE,                                   BYTES("\x12\x02//")},
        {        "feature",   PROBLEM_INVALID_VALUE,                                 BYTES("\x1a\x01\x07")},
        {"idempotency_key",   PROBLEM_INVALID_VALUE,                             BYTES("\x32\x02\x61\x7f")},
 /* quantities: no key; 2^53; twice the same; a meter that is no UTF-8 */
        {     "quantities",   PROBLEM_INVALID_VALUE,                             BYTES("\x22\x02\x10\x05")},
        {     "quantities",    PROBLEM_OUT_OF_RANGE,
         BYTES("\x22\x0c\x0a\x01x\x10\x80\x80\x80\x80\x80\x80\x80\x10")                                   },
        {     "quantities", PROBLEM_DUPLICATE_FIELD,             BYTES("\x22\x0c\x0a\x08requests\x10\x01")},
        {     "quantities",   PROBLEM_INVALID_SHAPE,                 BYTES("\x22\x05\x0a\x01\xff\x10\x01")},
        {     "quantities",   PROBLEM_UNKNOWN_FIELD,            BYTES("\x22\x07\x0a\x01x\x10\x01\x18\x01")},
 /* attributes: an empty value; a value that is no UTF-8 */
        {     "attributes",   PROBLEM_INVALID_VALUE,                            BYTES("\x2a\x03\x0a\x01x")},
        {     "attributes",   PROBLEM_INVALID_SHAPE,                BYTES("\x2a\x06\x0a\x01x\x12\x01\xff")},
        {         "ttl_ms",   PROBLEM_INVALID_VALUE,                                     BYTES("\x38\x00")},
        {         "ttl_ms",    PROBLEM_OUT_OF_RANGE, BYTES("\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {      "min_units",   PROBLEM_INVALID_VALUE,                                     BYTES("\x40\x00")},
        {       "priority",   PROBLEM_INVALID_VALUE,                                     BYTES("\x50\x07")},
        {         "status",   PROBLEM_INVALID_VALUE, BYTES("\x60\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {               "",   PROBLEM_UNKNOWN_FIELD,                                 BYTES("\x98\x06\x01")}, /* field 99 */
        {           "body",   PROBLEM_INVALID_SHAPE,                                     BYTES("\x0a\x20")}, /* shorter than it says */
        {           "body",   PROBLEM_INVALID_SHAPE,                                         BYTES("\x0b")}, /* a group */
    };
    for (size_t i = 0; i < COUNT_OF(bads); ++i) {
        const struct bytes whole = full_message(WIRE_CONSUME);
        memcpy(body_block + whole.length, bads[i].more.at, bads[i].more.length);
        const struct verdict verdict =
            parsed(WIRE_CONSUME, (struct bytes){body_block, whole.length + bads[i].more.length},
                   BYTES_NONE);
        assert_false(verdict.is_fine);
        assert_int_equal(verdict.problem.code, bads[i].code);
        assert_non_null(verdict.problem.field);
        assert_memory_equal(verdict.problem.field, bads[i].field, strlen(bads[i].field));
        assert_int_not_equal(verdict.problem.field[0], '\0');
    }
}

static void an_empty_message_lacks_what_is_required(void **state)
{
    (void)state;
    struct verdict verdict = parsed(WIRE_AUTHORIZE, BYTES_NONE, BYTES_NONE);
    assert_int_equal(verdict.problem.code, PROBLEM_MISSING_FIELD);
    assert_string_equal(verdict.problem.field, "customer");
    verdict = parsed(WIRE_COMMIT, BYTES_NONE, BYTES_NONE);
    assert_int_equal(verdict.problem.code, PROBLEM_MISSING_FIELD);
    assert_string_equal(verdict.problem.field, "decision_id");
    verdict = parsed(WIRE_RELEASE,
                     BYTES("\x0a\x03"
                           "d_1"),
                     BYTES_NONE);
    assert_int_equal(verdict.problem.code, PROBLEM_UNKNOWN_DECISION);
    assert_string_equal(verdict.problem.field, "decision_id");
}

/* Two bytes each on the wire, and some fifty in memory. */
static void a_message_that_grows_beyond_its_room_is_too_large(void **state)
{
    (void)state;
    for (size_t at = 0; at < sizeof body_block; at += 2)
        memcpy(body_block + at, "\x22\x00", 2);
    const struct verdict verdict =
        parsed(WIRE_CONSUME, (struct bytes){body_block, sizeof body_block}, BYTES_NONE);
    assert_false(verdict.is_fine);
    assert_int_equal(verdict.problem.code, PROBLEM_TOO_LARGE);
}

static void whatever_comes_is_a_command_or_a_problem(void **state)
{
    (void)state;
    enum { ROUNDS = 20000, MORE = 16 };
    static uint8_t input[4096];
    struct prng prng = {20260501};
    unsigned accepted = 0;
    for (unsigned round = 0; round < ROUNDS; ++round) {
        const uint32_t call = (uint32_t)prng_below(&prng, WIRE_EXTEND + 1);
        const struct bytes whole = full_message((enum wire_call)call);
        size_t length = whole.length;
        input[0] = (uint8_t)call;
        memcpy(input + 1, whole.at, length);
        for (uint64_t changes = prng_below(&prng, 4); changes > 0; --changes) {
            const size_t at = 1 + prng_below(&prng, length);
            switch (prng_below(&prng, 3)) {
            case 0: /* one byte becomes another */
                input[at] = (uint8_t)prng_next(&prng);
                break;
            case 1: /* torn */
                length = at;
                break;
            default: /* something is twice */
                memmove(input + at + MORE, input + at, length + 1 - at);
                length += MORE;
                break;
            }
        }
        accepted += trial_protobuf(input, 1 + length);
    }
    assert_in_range(accepted, ROUNDS / 5, ROUNDS - ROUNDS / 5);
}

/* ---- answers */

enum { NAME_INCLUDED = SYMBOL_FIRST_FREE, NAME_PACE, NAME_CAP, NAME_PRICE, NAME_REQUESTS, NAMES };

static struct symbols symbols(void)
{
    static struct bytes names[NAMES];
    names[SYMBOL_PROMOTIONAL] = BYTES("promotional");
    names[SYMBOL_ENTITLEMENT] = BYTES("entitlement");
    names[SYMBOL_PAID] = BYTES("paid");
    names[SYMBOL_UNLIMITED] = BYTES("unlimited");
    names[NAME_INCLUDED] = BYTES("included");
    names[NAME_PACE] = BYTES("\"pace\\\"");
    names[NAME_CAP] = BYTES("monthly-cap");
    names[NAME_PRICE] = BYTES("chat/message");
    names[NAME_REQUESTS] = BYTES("requests");
    return (struct symbols){names, NAMES - 1};
}

static uint64_t id(char letter, const char *text)
{
    uint64_t number;
    assert_true(id_parse(letter, bytes_of_text(text), &number));
    return number;
}

static struct report *example(void)
{
    static struct report report;
    report = (struct report){
        .kind = COMMAND_AUTHORIZE,
        .id = id('d', DECISION),
        .outcome = OUTCOME_ALLOW,
        .explain = true,
        .units_requested = 3,
        .units_allowed = 3,
        .charged = 2 * NANO_PER_CREDIT,
        .price = NAME_PRICE,
        .unit = NAME_REQUESTS,
        .retry_after_ms = -1,
        .hold = HOLD_HELD,
        .expires_at_ms = 1777637400000,
        .line_count = 2,
        .note_count = 3,
    };
    report.lines[0] = (struct line){.source = NAME_INCLUDED, .kind = SOURCE_ALLOWANCE, .units = 1};
    report.lines[1] = (struct line){.source = SYMBOL_PAID,
                                    .kind = SOURCE_GRANTS,
                                    .grant_id = id('g', "g_0000000000a02"),
                                    .units = 2,
                                    .charged = 2 * NANO_PER_CREDIT};
    report.notes[0] = (struct note){.kind = NOTE_RATE,
                                    .name = NAME_PACE,
                                    .amount = 17,
                                    .is_paced = true,
                                    .factor = WORDS_FACTOR_ONE / 4,
                                    .standing = STANDING_PROBATION};
    report.notes[1] =
        (struct note){.kind = NOTE_BUDGET, .name = NAME_CAP, .amount = NANO_PER_CREDIT / 2};
    report.notes[2] = (struct note){
        .kind = NOTE_SOURCE,
        .source = SOURCE_ALLOWANCE,
        .name = NAME_INCLUDED,
        .amount = 1,
        .drawn = 1,
        .has_window = true,
        .limit = 45,
        .period = {PERIOD_DURATION, START_FIRST_USE, 5 * HOUR_MS},
        .resets_at_ms = 1777644131000
    };
    return &report;
}

static uint8_t answer_block[1 << 20];

static struct bytes rendered(const struct report *report)
{
    struct buffer buffer = buffer_over(answer_block, sizeof answer_block);
    wire_render_report_protobuf(report, 1777636800000, symbols(), &buffer);
    assert_false(buffer.overflowed);
    return buffer_bytes(&buffer);
}

/* What protobuf-c reads, it writes as the same bytes: nothing stands out of order, twice or for
 * nothing. */
static void assert_canonical(const ProtobufCMessageDescriptor *descriptor, struct bytes bytes)
{
    static uint8_t again[1 << 20];
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, bytes.length, bytes.at);
    assert_non_null(message);
    assert_int_equal(protobuf_c_message_get_packed_size(message), bytes.length);
    assert_int_equal(protobuf_c_message_pack(message, again), bytes.length);
    assert_memory_equal(again, bytes.at, bytes.length);
    protobuf_c_message_free_unpacked(message, NULL);
}

static void assert_text(ProtobufCBinaryData data, const char *text)
{
    assert_int_equal(data.len, strlen(text));
    assert_memory_equal(data.data, text, strlen(text));
}

static void a_decision_says_what_its_json_says(void **state)
{
    (void)state;
    const struct bytes bytes = rendered(example());
    assert_canonical(&weir__v1__decision__descriptor, bytes);
    Weir__V1__Decision *decision = weir__v1__decision__unpack(NULL, bytes.length, bytes.at);
    assert_text(decision->decision_id, DECISION);
    assert_int_equal(decision->outcome, WEIR__V1__OUTCOME__OUTCOME_ALLOW);
    assert_int_equal(decision->units->requested, 3);
    assert_int_equal(decision->n_allocations, 2);
    assert_text(decision->allocations[0]->charged, "0");
    assert_int_equal(decision->allocations[0]->grant_id.len, 0);
    assert_text(decision->allocations[1]->grant_id, "g_0000000000a02");
    assert_int_equal(decision->allocations[1]->kind, WEIR__V1__SOURCE_KIND__SOURCE_KIND_GRANT);
    assert_text(decision->charged, "2");
    assert_text(decision->price, "chat/message");
    assert_int_equal(decision->reason->code, WEIR__V1__REASON_CODE__REASON_CODE_OK);
    assert_text(decision->hold->expires_at, "2026-05-01T12:10:00Z");
    assert_null(decision->overshoot);
    assert_int_equal(decision->n_explain, 3);
    assert_text(decision->explain[0]->gate, "\"pace\\\"");
    assert_int_equal(decision->explain[0]->remaining, 17);
    assert_text(decision->explain[0]->factor, "0.25");
    assert_int_equal(decision->explain[0]->standing, WEIR__V1__STANDING__STANDING_PROBATION);
    assert_text(decision->explain[1]->remaining_credits, "0.5");
    assert_text(decision->explain[2]->window, "5h");
    assert_text(decision->explain[2]->resets_at, "2026-05-01T14:02:11Z");
    assert_int_equal(decision->http->status, 200);
    assert_int_equal(decision->http->n_headers, 2);
    assert_text(decision->http->headers[0]->key, "RateLimit");
    assert_text(decision->http->headers[1]->value, "\"included\";q=45;w=18000");
    weir__v1__decision__free_unpacked(decision, NULL);
}

static void a_denial_says_why_in_plain_words(void **state)
{
    (void)state;
    struct report *report = example();
    report->outcome = OUTCOME_DENY;
    report->reason = REASON_RATE_LIMITED;
    report->limit = NAME_PACE;
    report->scope = (struct scope_rule){.kind = SCOPE_LEVEL, .level = 2};
    report->who = WHO_CALLER;
    report->remedy = REMEDY_WAIT;
    report->retry_after_ms = 0;
    report->hold = HOLD_NONE;
    report->line_count = 0;
    const struct bytes bytes = rendered(report);
    assert_canonical(&weir__v1__decision__descriptor, bytes);
    Weir__V1__Decision *decision = weir__v1__decision__unpack(NULL, bytes.length, bytes.at);
    const Weir__V1__Reason *reason = decision->reason;
    assert_int_equal(reason->code, WEIR__V1__REASON_CODE__REASON_CODE_RATE_LIMITED);
    assert_text(reason->scope, "level:2");
    assert_int_equal(reason->who, WEIR__V1__WHO__WHO_CALLER);
    assert_int_equal(reason->remedy, WEIR__V1__REMEDY__REMEDY_WAIT);
    assert_non_null(memmem(reason->message.data, reason->message.len, " '\"pace\\\"'", 10));
    assert_int_equal(reason->retry_after_ms_or_none_case,
                     WEIR__V1__REASON__RETRY_AFTER_MS_OR_NONE_RETRY_AFTER_MS);
    assert_null(decision->hold);
    assert_text(decision->http->headers[decision->http->n_headers - 1]->key, "Retry-After");
    weir__v1__decision__free_unpacked(decision, NULL);
}

/* The JSON has the words, the contract the names. */
static void who_and_remedy_are_the_words_of_the_json(void **state)
{
    (void)state;
    static struct wire_fields fields;
    struct report *report = example();
    report->outcome = OUTCOME_DENY;
    report->reason = REASON_NOT_ENTITLED;
    for (int remedy = REMEDY_WAIT; remedy <= REMEDY_CONTACT; ++remedy) {
        report->remedy = (enum remedy)remedy;
        report->who = (enum who)(remedy % (WHO_CALLER + 1));
        struct buffer json = buffer_over(memory, sizeof memory);
        wire_render_report(report, 1, symbols(), &json, &fields);
        buffer_put_byte(&json, 0);
        char word[2][40];
        assert_int_equal(
            sscanf(strstr((const char *)json.at, "\"who\":"), "\"who\":\"%39[a-z_]", word[0]), 1);
        assert_int_equal(
            sscanf(strstr((const char *)json.at, "\"remedy\":"), "\"remedy\":\"%39[a-z_]", word[1]),
            1);
        assert_word(&weir__v1__who__descriptor, (int)report->who + 1, "WHO_", word[0]);
        assert_word(&weir__v1__remedy__descriptor, remedy, "REMEDY_", word[1]);
    }
}

static void a_settlement_tells_of_its_overshoot(void **state)
{
    (void)state;
    struct report *report = example();
    report->kind = COMMAND_COMMIT;
    report->hold = HOLD_COMMITTED;
    report->late = true;
    report->has_overshoot = true;
    report->overshoot = (struct overshoot){
        .units = 2, .charged = NANO_PER_CREDIT, .refunded = 0, .booked = OVERSHOOT_OVERAGE};
    const struct bytes bytes = rendered(report);
    assert_canonical(&weir__v1__settlement__descriptor, bytes);
    Weir__V1__Settlement *settlement = weir__v1__settlement__unpack(NULL, bytes.length, bytes.at);
    assert_true(settlement->late);
    assert_int_equal(settlement->hold->state, WEIR__V1__HOLD_STATE__HOLD_STATE_COMMITTED);
    assert_text(settlement->overshoot->charged, "1");
    assert_text(settlement->overshoot->refunded, "0");
    assert_int_equal(settlement->overshoot_booked,
                     WEIR__V1__OVERSHOOT_BOOKING__OVERSHOOT_BOOKING_OVERAGE);
    weir__v1__settlement__free_unpacked(settlement, NULL);

    report->kind = COMMAND_RELEASE;
    report->hold = HOLD_RELEASED;
    assert_canonical(&weir__v1__released__descriptor, rendered(report));
}

/* 607 lines of the longest names. */
static void the_largest_answer_fits_and_is_canonical(void **state)
{
    (void)state;
    struct report *report = example();
    report->line_count = LINES_MAX;
    for (uint32_t i = 0; i < LINES_MAX; ++i)
        report->lines[i] = (struct line){.source = NAME_PACE,
                                         .kind = SOURCE_GRANTS,
                                         .grant_id = UINT64_C(1) << 60,
                                         .units = QUANTITY_MAX,
                                         .charged = BALANCE_NANO_MAX};
    const struct bytes bytes = rendered(report);
    assert_true(bytes.length < WIRE_REPORT_BYTES_MAX);
    assert_canonical(&weir__v1__decision__descriptor, bytes);
}

static void an_answer_without_room_overflows_and_writes_no_further(void **state)
{
    (void)state;
    const size_t whole = rendered(example()).length;
    static uint8_t block[4096];
    for (size_t size = 0; size < whole; ++size) {
        memset(block, 0xa5, sizeof block);
        struct buffer buffer = buffer_over(block, size);
        wire_render_report_protobuf(example(), 1777636800000, symbols(), &buffer);
        assert_true(buffer.overflowed);
        assert_int_equal(block[size], 0xa5);
    }
}

static void a_detail_is_plain_text(void **state)
{
    (void)state;
    const struct problem problem = {.code = PROBLEM_INVALID_VALUE,
                                    .field = "subject",
                                    .value = BYTES("a\"\\\n\x01"),
                                    .expected = "less"};
    struct buffer buffer = buffer_over(memory, sizeof memory);
    wire_render_detail(&problem, &buffer);
    buffer_put_byte(&buffer, 0);
    assert_string_equal((const char *)buffer.at,
                        "A value is out of range or malformed: subject (found 'a\"\\\n\x01'), "
                        "expected less");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_of_fields_in_answers_are_the_contracts),
        cmocka_unit_test(closed_words_are_those_of_the_json),
        cmocka_unit_test(requests_have_the_fields_of_their_calls_and_no_others),
        cmocka_unit_test(a_message_makes_the_command_that_its_json_makes),
        cmocka_unit_test(what_has_its_default_is_absent_and_optional_zero_is_not),
        cmocka_unit_test(a_key_may_come_beside_the_message_but_not_another_one),
        cmocka_unit_test(what_is_wrong_is_named_and_is_what_json_calls_it),
        cmocka_unit_test(an_empty_message_lacks_what_is_required),
        cmocka_unit_test(a_message_that_grows_beyond_its_room_is_too_large),
        cmocka_unit_test(whatever_comes_is_a_command_or_a_problem),
        cmocka_unit_test(a_decision_says_what_its_json_says),
        cmocka_unit_test(a_denial_says_why_in_plain_words),
        cmocka_unit_test(who_and_remedy_are_the_words_of_the_json),
        cmocka_unit_test(a_settlement_tells_of_its_overshoot),
        cmocka_unit_test(the_largest_answer_fits_and_is_canonical),
        cmocka_unit_test(an_answer_without_room_overflows_and_writes_no_further),
        cmocka_unit_test(a_detail_is_plain_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
