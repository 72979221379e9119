/*
 * reading_query.c: the parameters of a reading.
 */
#include <string.h>

#include "server/reading.h"
#include "server/routes.h"
#include "wire/wire.h"

enum parameter {
    PARAMETER_LIMIT,
    PARAMETER_FORMAT,
    PARAMETER_BEFORE,
    PARAMETER_AFTER,
    PARAMETER_FROM,
    PARAMETER_TO,
    PARAMETER_GROUP_BY,
    PARAMETER_CUSTOMER,
    PARAMETER_SUBJECT,
    PARAMETER_FEATURE,
    PARAMETER_MODEL,
    PARAMETER_ORIGIN,
    PARAMETER_ENDPOINT,
    PARAMETER_OUTCOME,
    PARAMETER_SOURCE,
    PARAMETERS
};

#define BIT(which) (1u << (which))
#define IN_ROWS (BIT(READING_LEDGER) | BIT(READING_EVENTS))
#define IN_ALL (IN_ROWS | BIT(READING_USAGE))
#define IN_USE (BIT(READING_EVENTS) | BIT(READING_USAGE))
#define NO_FILTER USAGE_DIMENSIONS

static const struct {
    const char *name;
    unsigned readings;       /* that have it */
    enum usage_dimension by; /* a filter of sums by that */
} parameters[PARAMETERS] = {
    [PARAMETER_LIMIT] = {   "limit",             IN_ALL,   NO_FILTER},
    [PARAMETER_FORMAT] = {  "format",             IN_ALL,   NO_FILTER},
    [PARAMETER_BEFORE] = {  "before",            IN_ROWS,   NO_FILTER},
    [PARAMETER_AFTER] = {   "after", BIT(READING_USAGE),   NO_FILTER},
    [PARAMETER_FROM] = {    "from",             IN_USE,   NO_FILTER},
    [PARAMETER_TO] = {      "to",             IN_USE,   NO_FILTER},
    [PARAMETER_GROUP_BY] = {"group_by", BIT(READING_USAGE),   NO_FILTER},
    [PARAMETER_CUSTOMER] = {"customer", BIT(READING_USAGE), BY_CUSTOMER},
    [PARAMETER_SUBJECT] = { "subject",             IN_USE,  BY_SUBJECT},
    [PARAMETER_FEATURE] = { "feature",             IN_USE,  BY_FEATURE},
    [PARAMETER_MODEL] = {   "model", BIT(READING_USAGE),    BY_MODEL},
    [PARAMETER_ORIGIN] = {  "origin", BIT(READING_USAGE),   BY_ORIGIN},
    [PARAMETER_ENDPOINT] = {"endpoint", BIT(READING_USAGE), BY_ENDPOINT},
    [PARAMETER_OUTCOME] = { "outcome",             IN_USE,  BY_OUTCOME},
    [PARAMETER_SOURCE] = {  "source", BIT(READING_USAGE),   BY_SOURCE},
};

static const char *const expected_names[] = {
    [READING_RECEIPT] = "no parameters",
    [READING_LEDGER] = "before, limit or format",
    [READING_EVENTS] = "feature, subject, outcome, from, to, before, limit or format",
    [READING_USAGE] = ("from, to, group_by, customer, subject, feature, model, origin, endpoint, "
                       "outcome, source, after, limit or format"),
};

struct parsing {
    struct reading *reading;
    struct problem *problem;
    uint32_t seen; /* BITs of parameters */
};

static bool refuse(struct parsing *parsing, struct problem problem)
{
    *parsing->problem = problem;
    return false;
}

static bool refuse_value(struct parsing *parsing, enum parameter which, struct bytes value,
                         const char *expected)
{
    return refuse(parsing, (struct problem){.code = PROBLEM_INVALID_VALUE,
                                            .field = parameters[which].name,
                                            .value = value,
                                            .expected = expected});
}

/* ---- one value each */

static bool take_limit(struct parsing *parsing, struct bytes value)
{
    uint32_t limit = 0;
    bool is_number = value.length > 0 && value.length <= 4;
    for (size_t i = 0; i < value.length && is_number; ++i) {
        is_number = value.at[i] >= '0' && value.at[i] <= '9';
        limit = limit * 10 + (uint32_t)(value.at[i] - '0');
    }
    if (!is_number || limit < 1 || limit > READING_LIMIT_MAX)
        return refuse_value(parsing, PARAMETER_LIMIT, value, "an integer from 1 to 1000");
    parsing->reading->limit = limit;
    parsing->reading->has_limit = true;
    return true;
}

static bool take_format(struct parsing *parsing, struct bytes value)
{
    static const char *const words[] = {
        [SHOW_JSON] = "json", [SHOW_NDJSON] = "ndjson", [SHOW_CSV] = "csv"};
    for (unsigned form = 0; form < COUNT_OF(words); ++form) {
        if (!bytes_equal(value, bytes_of_text(words[form]))) continue;
        parsing->reading->form = (enum show_form)form;
        return true;
    }
    return refuse_value(parsing, PARAMETER_FORMAT, value, "json, ndjson or csv");
}

static bool is_count(struct bytes value)
{
    enum { DIGITS_MAX = 15 };
    if (value.length == 0 || value.length > DIGITS_MAX || value.at[0] == '0') return false;
    for (size_t i = 0; i < value.length; ++i)
        if (value.at[i] < '0' || value.at[i] > '9') return false;
    return true;
}

static bool take_before(struct parsing *parsing, struct bytes value)
{
    struct reading *reading = parsing->reading;
    uint64_t position = 0;
    uint32_t place = 0;
    reading->has_before = true;
    reading->before = value;
    if (reading->what == READING_EVENTS) {
        if (id_parse('e', value, &position)) return true;
        return refuse_value(parsing, PARAMETER_BEFORE, value, "the id of a usage event");
    }
    if (show_parse_update_id(value, &position, &place) || is_count(value)) return true;
    return refuse_value(parsing, PARAMETER_BEFORE, value, "the id or number of a balance update");
}

/* The key's bytes in hex; whether they fit group_by is seen when that is known. */
static bool take_after(struct parsing *parsing, struct bytes value)
{
    struct reading *reading = parsing->reading;
    uint8_t *bytes = arena_take(&reading->text, value.length / 2 + 1);
    bool is_hex = bytes != NULL && value.length > 0 && value.length % 2 == 0;
    for (size_t i = 0; is_hex && i < value.length; i += 2) {
        const int high = bytes_hex_digit(value.at[i]);
        const int low = bytes_hex_digit(value.at[i + 1]);
        is_hex = high >= 0 && low >= 0;
        if (is_hex) bytes[i / 2] = (uint8_t)(16 * high + low);
    }
    if (!is_hex) return refuse_value(parsing, PARAMETER_AFTER, value, "the `next` of a page");
    reading->has_before = true;
    reading->before = (struct bytes){bytes, value.length / 2};
    return true;
}

static bool take_instant(struct parsing *parsing, enum parameter which, struct bytes value)
{
    struct reading *reading = parsing->reading;
    int64_t instant_ms = 0;
    if (!calendar_parse(value, &instant_ms))
        return refuse_value(parsing, which, value, INSTANT_EXPECTED);
    if (which == PARAMETER_FROM)
        reading->events.from_ms = reading->usage.from_ms = instant_ms;
    else
        reading->events.to_ms = reading->usage.to_ms = instant_ms;
    return true;
}

static bool take_dimension(struct parsing *parsing, struct bytes name, struct bytes all)
{
    struct usage_query *usage = &parsing->reading->usage;
    static const char expected[] = "customer, subject, feature, model, origin, endpoint, outcome, "
                                   "source, hour or day, each once, with commas";
    for (uint32_t by = 0; by < (uint32_t)USAGE_DIMENSIONS; ++by) {
        if (!bytes_equal(name, bytes_of_text(show_dimension((enum usage_dimension)by)))) continue;
        for (uint32_t i = 0; i < usage->group_count; ++i)
            if (usage->group_by[i] == (enum usage_dimension)by)
                return refuse_value(parsing, PARAMETER_GROUP_BY, all, expected);
        usage->group_by[usage->group_count++] = (enum usage_dimension)by;
        return true;
    }
    return refuse_value(parsing, PARAMETER_GROUP_BY, name, expected);
}

static bool take_group_by(struct parsing *parsing, struct bytes value)
{
    size_t start = 0;
    for (size_t at = 0; at <= value.length; ++at) {
        if (at < value.length && value.at[at] != ',') continue;
        if (!take_dimension(parsing, (struct bytes){value.at + start, at - start}, value))
            return false;
        start = at + 1;
    }
    return true;
}

static bool may_ask_about(struct parsing *parsing, struct bytes customer)
{
    const struct bytes bound_to = parsing->reading->bound_to;
    if (bound_to.length == 0 || bytes_equal(bound_to, customer)) return true;
    return refuse(parsing, (struct problem){.code = PROBLEM_FORBIDDEN,
                                            .field = "customer",
                                            .expected = "the customer that the key is bound to"});
}

static bool take_name(struct parsing *parsing, enum parameter which, struct bytes value)
{
    struct reading *reading = parsing->reading;
    if (value.length > READING_FILTER_BYTES_MAX || !bytes_is_utf8(value))
        return refuse_value(parsing, which, value, "at most 512 bytes of UTF-8");
    if (which == PARAMETER_CUSTOMER && !may_ask_about(parsing, value)) return false;
    reading->usage.only[parameters[which].by] = value;
    if (which == PARAMETER_SUBJECT) reading->events.subject = value;
    if (which == PARAMETER_FEATURE) reading->events.feature = value;
    if (which != PARAMETER_OUTCOME) return true;
    reading->events.outcome = value;
    for (enum outcome outcome = OUTCOME_ALLOW; outcome <= OUTCOME_DENY; ++outcome)
        if (bytes_equal(value, bytes_of_text(words_outcome(outcome)))) return true;
    return refuse_value(parsing, which, value, "allow, partial or deny");
}

static bool take_value(struct parsing *parsing, enum parameter which, struct bytes value)
{
    if (parameters[which].by != NO_FILTER) return take_name(parsing, which, value);
    if (which == PARAMETER_LIMIT) return take_limit(parsing, value);
    if (which == PARAMETER_FORMAT) return take_format(parsing, value);
    if (which == PARAMETER_BEFORE) return take_before(parsing, value);
    if (which == PARAMETER_AFTER) return take_after(parsing, value);
    if (which == PARAMETER_GROUP_BY) return take_group_by(parsing, value);
    ENSURE(which == PARAMETER_FROM || which == PARAMETER_TO);
    return take_instant(parsing, which, value);
}

static bool take_parameter(struct parsing *parsing, struct bytes name, struct bytes value)
{
    struct reading *reading = parsing->reading;
    uint32_t which = 0;
    while (which < (uint32_t)PARAMETERS &&
           !((parameters[which].readings & BIT(reading->what)) != 0 &&
             bytes_equal(name, bytes_of_text(parameters[which].name))))
        ++which;
    if (which == (uint32_t)PARAMETERS)
        return refuse(parsing, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                                .field = "query",
                                                .value = name,
                                                .expected = expected_names[reading->what]});
    if ((parsing->seen & BIT(which)) != 0)
        return refuse(parsing, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                                .field = parameters[which].name,
                                                .value = value,
                                                .expected = "each parameter once"});
    parsing->seen |= BIT(which);
    struct bytes decoded;
    if (!route_decode(value, true, &reading->text, &decoded))
        return refuse(parsing, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                                .field = parameters[which].name,
                                                .value = value,
                                                .expected = "percent-encoded bytes"});
    return take_value(parsing, (enum parameter)which, decoded);
}

/* ---- all of it */

static bool names(struct bytes accept, const char *type)
{
    const size_t length = strlen(type);
    for (size_t at = 0; at + length <= accept.length; ++at)
        if (bytes_equal((struct bytes){accept.at + at, length}, bytes_of_text(type))) return true;
    return false;
}

/* A client that asks for a type by name gets it; `format` is the plainer word. */
static enum show_form form_accepted(struct bytes accept)
{
    if (names(accept, "application/x-ndjson")) return SHOW_NDJSON;
    if (names(accept, "text/csv")) return SHOW_CSV;
    return SHOW_JSON;
}

static bool check_whole(struct parsing *parsing)
{
    struct reading *reading = parsing->reading;
    if (reading->what == READING_RECEIPT) return true;
    if (reading->usage.to_ms < reading->usage.from_ms)
        return refuse_value(parsing, PARAMETER_TO, BYTES_NONE, "a time not before `from`");
    if (!reading->has_limit && !reading_is_stream(reading)) reading->limit = READING_LIMIT_DEFAULT;
    if (reading->what != READING_USAGE) return true;
    if (reading->bound_to.length != 0) reading->usage.only[BY_CUSTOMER] = reading->bound_to;
    usage_scan_begin(&reading->scan, &reading->usage, 0); /* its number is the desk's */
    reading->show.usage = &reading->usage;
    if (!reading->has_before) return true;
    if (reading->usage.group_count > 0 && usage_scan_behind(&reading->scan, reading->before))
        return true;
    return refuse_value(parsing, PARAMETER_AFTER, BYTES_NONE,
                        "the `next` of a page of the same group_by");
}

static struct bytes copy_of(struct reading *reading, struct bytes text)
{
    uint8_t *copy = arena_take(&reading->text, text.length);
    ENSURE(copy != NULL);
    if (text.length != 0) memcpy(copy, text.at, text.length);
    return (struct bytes){copy, text.length};
}

/* The texts outlive the request, whose client may leave. */
static bool take_target(struct parsing *parsing, struct bytes target)
{
    struct reading *reading = parsing->reading;
    if (reading->what == READING_USAGE) return true;
    if (reading->what == READING_RECEIPT) {
        if (id_parse('d', target, &reading->decision)) return true;
        return refuse(parsing, (struct problem){.code = PROBLEM_UNKNOWN_DECISION,
                                                .field = "decision_id",
                                                .value = target,
                                                .expected = "a decision id"});
    }
    if (!wire_check_name(WIRE_NAME_CUSTOMER, target, parsing->problem)) return false;
    if (!may_ask_about(parsing, target)) return false;
    reading->customer = copy_of(reading, target);
    return true;
}

bool reading_parse(struct reading *reading, struct bytes target, struct bytes query,
                   struct bytes accept, struct bytes bound_to, struct problem *problem_out)
{
    struct parsing parsing = {.reading = reading, .problem = problem_out};
    struct bytes name;
    struct bytes value;
    reading->form = reading->what == READING_RECEIPT ? SHOW_JSON : form_accepted(accept);
    reading->events.to_ms = reading->usage.to_ms = INT64_MAX;
    reading->bound_to = copy_of(reading, bound_to);
    if (!take_target(&parsing, target)) return false;
    while (route_take_parameter(&query, &name, &value))
        if (!take_parameter(&parsing, name, value)) return false;
    return check_whole(&parsing);
}
