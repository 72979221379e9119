/*
 * schema.c: the tables of API.md sections 3 and 4.
 */
#include "wire/schema.h"

#include <string.h>

static const char *const op_words[] = {"authorize", "consume", "check", "commit",
                                       "release",   "extend",  "usage", NULL};
static const char *const priority_words[] = {
    [PRIORITY_DEFAULT] = "default",
    [PRIORITY_CRITICAL] = "critical",
    [PRIORITY_SHEDDABLE] = "sheddable",
    NULL,
};
static const char *const status_words[] = {
    [JOB_SUCCEEDED] = "succeeded",
    [JOB_FAILED] = "failed",
    [JOB_MODERATED] = "moderated",
    NULL,
};
/* CREDIT_UNSAID and category 0 are what an absent field is: no word says them. */
static const char *const credit_mode_words[] = {
    [CREDIT_UNSAID] = "", [CREDIT_AUTO] = "auto", [CREDIT_ASK] = "ask", [CREDIT_OFF] = "off", NULL,
};
static const char *const category_words[] = {
    [0] = "",
    [CATEGORY_PROMOTIONAL] = "promotional",
    [CATEGORY_ENTITLEMENT] = "entitlement",
    [CATEGORY_PAID] = "paid",
    NULL,
};

const char *const standing_words[] = {
    [STANDING_NORMAL] = "normal",
    [STANDING_RESTRICTED] = "restricted",
    [STANDING_PROBATION] = "probation",
    [STANDING_TRUSTED] = "trusted",
    NULL,
};
static const char *const shed_words[] = {
    [SHED_NONE] = "none",
    [SHED_SHEDDABLE] = "sheddable",
    [SHED_DEFAULT] = "default",
    [SHED_ALL] = "all",
    NULL,
};

const char *const access_scope_words[] = {"decide", "report", "read", "admin", NULL};

static const char *const specversion_words[] = {"1.0", NULL};

const char event_key_expected[] = "no key of its own: the event's id and source are its key";

const char subject_settings_expected[] = "at most 32 subjects, suspensions and standings together";

const struct field_rule field_rules[FIELDS] = {
#define X(field, name, rule, least, most, words, expected) \
    [field] = {name, rule, least, most, words, expected},
    FIELD_TABLE(X)
#undef X
};

#define BIT(name) FIELD_BIT(FIELD_##name)

#define ASK                                                                                       \
    (BIT(CUSTOMER) | BIT(SUBJECT) | BIT(FEATURE) | BIT(QUANTITIES) | BIT(ATTRIBUTES) | BIT(KEY) | \
     BIT(TTL_MS) | BIT(MIN_UNITS) | BIT(USE_CREDITS) | BIT(PRIORITY) | BIT(EXPLAIN))
#define ASK_NEEDS (BIT(CUSTOMER) | BIT(FEATURE) | BIT(QUANTITIES))
#define SETTLE (BIT(STATUS) | BIT(DURATION_MS) | BIT(COMPUTE))
#define EVENT (BIT(TIME) | BIT(SPECVERSION))
#define EXTENSION (BIT(QUANTITIES) | BIT(TTL_MS) | BIT(KEY))
#define SETTINGS                                                                             \
    (BIT(PLAN) | BIT(CREDIT_MODE) | BIT(ANCHOR) | BIT(SUSPENDED) | BIT(SUSPENDED_SUBJECTS) | \
     BIT(STANDING) | BIT(SUBJECT_STANDINGS) | BIT(LIMITS) | BIT(BUDGETS) | BIT(AUTO_TOPUP))
#define PURCHASE                                                                                \
    (BIT(CATEGORY) | BIT(CREDITS) | BIT(GRANT_PRIORITY) | BIT(EFFECTIVE_AT) | BIT(EXPIRES_AT) | \
     BIT(FEATURES) | BIT(REASON) | BIT(KEY))
#define PURCHASE_NEEDS (BIT(CATEGORY) | BIT(CREDITS))
#define GIVE_BACK (BIT(REFUND_CREDITS) | BIT(ALL) | BIT(REASON) | BIT(KEY))
#define ENVELOPE_NEEDS \
    (BIT(EVENT_SPECVERSION) | BIT(EVENT_ID) | BIT(EVENT_SOURCE) | BIT(EVENT_TYPE) | BIT(EVENT_DATA))
#define ENVELOPE                                                                       \
    (ENVELOPE_NEEDS | BIT(EVENT_SUBJECT) | BIT(EVENT_TIME) | BIT(EVENT_CONTENT_TYPE) | \
     BIT(EVENT_SCHEMA) | BIT(EVENT_DATA_BASE64))
#define EVENT_DATA ((ASK & ~BIT(KEY)) | BIT(EVENT_KEY) | SETTLE | BIT(TIME))
#define ACCESS_KEY (BIT(SCOPES) | BIT(CUSTOMER) | BIT(LABEL) | BIT(EXPIRES_AT))
#define POOL (BIT(OVERRIDE) | BIT(SHED) | BIT(LOAD))
#define CLOCK (BIT(NOW) | BIT(ADVANCE_MS) | BIT(CONFIRM_JUMP))

#define CALL(name, takes, requires, target, may_be_empty, op)                     \
    {                                                                             \
        COMMAND_##name, takes, requires, TARGET_##target, may_be_empty, op, false \
    }

#define EVENT_CALL(takes, requires)                                    \
    {                                                                  \
        COMMAND_USAGE, takes, requires, TARGET_NONE, false, NULL, true \
    }
#define NO_COMMAND(takes, requires)                         \
    {                                                       \
        0, takes, requires, TARGET_NONE, false, NULL, false \
    }

const struct call_rule call_rules[CALLS] = {
    [WIRE_AUTHORIZE] = CALL(AUTHORIZE, ASK, ASK_NEEDS, NONE, false, "authorize"),
    [WIRE_CONSUME] = CALL(CONSUME, ASK | SETTLE, ASK_NEEDS, NONE, false, "consume"),
    [WIRE_CHECK] = CALL(CHECK, ASK, ASK_NEEDS, NONE, false, "check"),
    [WIRE_USAGE] = CALL(USAGE, ASK | SETTLE | EVENT, ASK_NEEDS, NONE, false, "usage"),
    [WIRE_COMMIT] = CALL(COMMIT, BIT(QUANTITIES) | SETTLE, 0, DECISION, false, "commit"),
    [WIRE_RELEASE] = CALL(RELEASE, 0, 0, DECISION, true, "release"),
    [WIRE_EXTEND] = CALL(EXTEND, EXTENSION, 0, DECISION, false, "extend"),
    [WIRE_CUSTOMER] = CALL(CUSTOMER, SETTINGS, 0, CUSTOMER, false, NULL),
    [WIRE_GRANT] = CALL(GRANT, PURCHASE, PURCHASE_NEEDS, CUSTOMER, false, NULL),
    [WIRE_RESET] = CALL(RESET, BIT(LIMIT) | BIT(SUBJECT), BIT(LIMIT), CUSTOMER, false, NULL),
    [WIRE_VOID] = CALL(VOID, 0, 0, GRANT, true, NULL),
    [WIRE_REFUND] = CALL(REFUND, GIVE_BACK, 0, DECISION, false, NULL),
    [WIRE_KEY_CREATE] = CALL(ACCESS, ACCESS_KEY, BIT(SCOPES), NONE, false, NULL),
    [WIRE_KEY_REVOKE] = CALL(ACCESS, 0, 0, KEY, true, NULL),
    [WIRE_POOL] = CALL(POOL, POOL, 0, POOL, false, NULL),
    [WIRE_EVENT] = EVENT_CALL(ENVELOPE, ENVELOPE_NEEDS),
    [CALL_CLOCK] = NO_COMMAND(CLOCK, 0),
    [CALL_EVENT_DATA] = NO_COMMAND(EVENT_DATA, ASK_NEEDS),
};

static bool has_controls(struct bytes text)
{
    for (size_t at = 0; at < text.length; at++)
        if (text.at[at] < 0x20 || text.at[at] == 0x7f) return true;
    return false;
}

bool schema_is_name(struct bytes text, size_t least, size_t most)
{
    return text.length >= least && text.length <= most && !has_controls(text);
}

bool schema_is_path(struct bytes text, size_t most)
{
    if (!schema_is_name(text, 1, most)) return false;
    uint32_t parts = 0;
    size_t start = 0;
    for (size_t at = 0; at <= text.length; at++) {
        if (at < text.length && text.at[at] != '/') continue;
        if (at == start) return false;
        parts++;
        start = at + 1;
    }
    return parts <= LEVELS_MAX;
}

static uint8_t lower(uint8_t letter)
{
    return letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + ('a' - 'A')) : letter;
}

bool schema_is_json_type(struct bytes text)
{
    static const char json[] = "json";
    const size_t json_length = sizeof json - 1;
    size_t length = 0;
    size_t slash = 0;
    for (; length < text.length && text.at[length] != ';' && text.at[length] != ' '; length++)
        if (text.at[length] == '/') slash = length;
    if (slash == 0 || has_controls(text) || length < slash + 1 + json_length) return false;
    const size_t start = length - json_length;
    for (size_t at = 0; at < json_length; at++)
        if (lower(text.at[start + at]) != (uint8_t)json[at]) return false;
    return start == slash + 1 || (start > slash + 2 && text.at[start - 1] == '+');
}

bool schema_is_attribute(struct bytes text)
{
    for (size_t at = 0; at < text.length; at++) {
        const uint8_t letter = text.at[at];
        const bool is_fine = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
        if (!is_fine) return false;
    }
    return text.length > 0;
}
