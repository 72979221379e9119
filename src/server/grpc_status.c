/*
 * grpc_status.c: the table of statuses, timeouts and messages.
 */
#include "server/grpc_status.h"

enum grpc_status grpc_status_of(enum problem_code code)
{
    switch (code) {
    case PROBLEM_NONE:
        return GRPC_OK;
    case PROBLEM_BAD_REQUEST:
    case PROBLEM_MALFORMED:
    case PROBLEM_INVALID_SHAPE:
    case PROBLEM_UNKNOWN_FIELD:
    case PROBLEM_DUPLICATE_FIELD:
    case PROBLEM_MISSING_FIELD:
    case PROBLEM_TOO_DEEP:
    case PROBLEM_INVALID_QUERY:
    case PROBLEM_INVALID_VALUE:
    case PROBLEM_UNKNOWN_FEATURE:
    case PROBLEM_UNKNOWN_METER:
    case PROBLEM_UNKNOWN_PLAN:
    case PROBLEM_UNKNOWN_LIMIT:
    case PROBLEM_NO_PRICE:
    case PROBLEM_UNLISTED_VALUE:
    case PROBLEM_OUT_OF_RANGE:
    case PROBLEM_POLICY_INVALID:
    case PROBLEM_REFUND_EXCEEDS:
    case PROBLEM_CLOCK_BACKWARD:
    case PROBLEM_TARGET_TOO_LONG:
    case PROBLEM_MEDIA_TYPE:
        return GRPC_INVALID_ARGUMENT;
    case PROBLEM_UNAUTHORIZED:
        return GRPC_UNAUTHENTICATED;
    case PROBLEM_FORBIDDEN:
        return GRPC_PERMISSION_DENIED;
    case PROBLEM_UNKNOWN_CUSTOMER:
    case PROBLEM_UNKNOWN_DECISION:
    case PROBLEM_UNKNOWN_GRANT:
    case PROBLEM_UNKNOWN_KEY:
    case PROBLEM_UNKNOWN_POOL:
        return GRPC_NOT_FOUND;
    case PROBLEM_UNSUPPORTED:
    case PROBLEM_NO_ROUTE:
    case PROBLEM_NO_METHOD:
        return GRPC_UNIMPLEMENTED;
    case PROBLEM_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case PROBLEM_KEY_CONFLICT:
        return GRPC_ALREADY_EXISTS;
    case PROBLEM_HOLD_COMMITTED:
    case PROBLEM_HOLD_RELEASED:
    case PROBLEM_HOLD_EXPIRED:
    case PROBLEM_NOT_SETTLED:
    case PROBLEM_LAST_ADMIN_KEY:
        return GRPC_FAILED_PRECONDITION;
    case PROBLEM_TOO_LARGE:
    case PROBLEM_HEADERS_TOO_LARGE:
    case PROBLEM_TOO_MANY_GRANTS:
    case PROBLEM_CAPACITY:
        return GRPC_RESOURCE_EXHAUSTED;
    case PROBLEM_INTERNAL:
        return GRPC_INTERNAL;
    case PROBLEM_OUTCOME_UNKNOWN:
    case PROBLEM_OVERLOADED:
    case PROBLEM_STARTING:
    case PROBLEM_STOPPING:
        return GRPC_UNAVAILABLE;
    }
    ENSURE(false);
    return GRPC_INTERNAL;
}

bool grpc_timeout_parse(struct bytes text, int64_t *ns_out)
{
    enum { DIGITS_MAX = 8 };
    static const struct {
        uint8_t letter;
        int64_t ns;
    } units[] = {
        {'n',                          1},
        {'u',                       1000},
        {'m',                    1000000},
        {'S',        INT64_C(1000000000)},
        {'M',   60 * INT64_C(1000000000)},
        {'H', 3600 * INT64_C(1000000000)},
    };
    int64_t value = 0;
    if (text.length < 2 || text.length > DIGITS_MAX + 1) return false;
    for (size_t at = 0; at + 1 < text.length; ++at) {
        if (text.at[at] < '0' || text.at[at] > '9') return false;
        value = value * 10 + (text.at[at] - '0');
    }
    for (size_t unit = 0; unit < COUNT_OF(units); ++unit) {
        if (units[unit].letter != text.at[text.length - 1]) continue;
        *ns_out = value > INT64_MAX / units[unit].ns ? INT64_MAX : value * units[unit].ns;
        return true;
    }
    return false;
}

void grpc_message_put(struct buffer *out, struct bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t at = 0; at < text.length; ++at) {
        const uint8_t byte = text.at[at];
        const uint8_t escaped[] = {'%', (uint8_t)digits[byte >> 4], (uint8_t)digits[byte & 15]};
        const bool is_plain = byte >= 0x20 && byte <= 0x7e && byte != '%';
        const size_t length = is_plain ? 1 : sizeof(escaped);
        if (out->size - out->used < length) return;
        buffer_put(out, is_plain ? &byte : escaped, length);
    }
}
