/*
 * rows.c: rows as columns, words and hashed bytes.
 */
#include "ledger/rows.h"

#include <string.h>

#include "wire/wire.h"

const char *usage_kind_text(enum usage_kind kind)
{
    static const char *const texts[] = {
        [USAGE_CONSUME] = "consume", [USAGE_COMMIT] = "commit",  [USAGE_RELEASE] = "release",
        [USAGE_EXPIRY] = "expiry",   [USAGE_REPORTED] = "usage", [USAGE_DENIAL] = "denial",
    };
    ENSURE((unsigned)kind < COUNT_OF(texts));
    return texts[kind];
}

const char *balance_account_text(enum balance_account account)
{
    static const char *const texts[] = {
        [ACCOUNT_GRANT] = "grant",
        [ACCOUNT_DEBT] = "debt",
        [ACCOUNT_OVERAGE] = "overage",
        [ACCOUNT_OVERSHOOT] = "overshoot",
    };
    ENSURE((unsigned)account < COUNT_OF(texts));
    return texts[account];
}

const char *balance_cause_text(enum balance_cause cause)
{
    static const char *const texts[] = {
        [CAUSE_PURCHASE] = "purchase",
        [CAUSE_GRANT] = "grant",
        [CAUSE_RENEWAL] = "renewal",
        [CAUSE_CHARGE] = "charge",
        [CAUSE_EXPIRY] = "expiry",
        [CAUSE_VOID] = "void",
        [CAUSE_REFUND] = "refund",
        [CAUSE_REPAYMENT] = "repayment",
        [CAUSE_ROLLOVER] = "rollover",
        [CAUSE_DEBT] = "debt",
        [CAUSE_OVERSHOOT_REFUND] = "overshoot_refund",
        [CAUSE_OVERSHOOT_CHARGE] = "overshoot_charge",
    };
    ENSURE((unsigned)cause < COUNT_OF(texts));
    return texts[cause];
}

const char *overshoot_kind_text(enum overshoot_kind kind)
{
    switch (kind) {
    case OVERSHOOT_REFUND:
        return "refund";
    case OVERSHOOT_DEBT:
        return "debt";
    case OVERSHOOT_OVERAGE:
        return "overage";
    }
    return NULL;
}

#define PUT_VALUE(name, declaration, value) values_out[at++] = (value);
#define VALUES_BODY(TABLE)                                                              \
    {                                                                                   \
        uint32_t at = 0;                                                                \
        TABLE##_FIRST(PUT_VALUE) TABLE##_REST(PUT_VALUE) ENSURE(at == TABLE##_COLUMNS); \
    }

void usage_values(const struct usage_row *row, struct value values_out[USAGE_COLUMNS])
    VALUES_BODY(USAGE)

        void monetization_values(const struct monetization_row *row,
                                 struct value values_out[MONETIZATION_COLUMNS])
            VALUES_BODY(MONETIZATION)

                void balance_values(const struct balance_row *row,
                                    struct value values_out[BALANCE_COLUMNS]) VALUES_BODY(BALANCE)

                    void refund_values(const struct refund_row *row,
                                       struct value values_out[REFUND_COLUMNS]) VALUES_BODY(REFUND)

                        void grant_values(const struct grant_row *row,
                                          struct value values_out[GRANT_COLUMNS]) VALUES_BODY(GRANT)

                            void policy_values(const struct policy_row *row,
                                               struct value values_out[POLICY_COLUMNS])
                                VALUES_BODY(POLICY)

                                    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
                                                   "values_encode copies integers");

void values_encode(const struct value *values, uint32_t count, struct buffer *buffer)
{
    for (uint32_t at = 0; at < count; at++) {
        const struct value *value = &values[at];
        buffer_put_byte(buffer, (uint8_t)value->kind);
        if (value->kind == VALUE_INTEGER)
            buffer_put(buffer, &value->integer, sizeof value->integer);
        if (value->kind != VALUE_TEXT && value->kind != VALUE_BLOB) continue;
        const uint32_t length = (uint32_t)value->bytes.length;
        buffer_put(buffer, &length, sizeof length);
        buffer_put(buffer, value->bytes.at, length);
    }
}

bool values_equal(const struct value *left, const struct value *right, uint32_t count)
{
    for (uint32_t at = 0; at < count; at++) {
        if (left[at].kind != right[at].kind) return false;
        if (left[at].kind == VALUE_INTEGER && left[at].integer != right[at].integer) return false;
        if (left[at].kind >= VALUE_TEXT && !bytes_equal(left[at].bytes, right[at].bytes))
            return false;
    }
    return true;
}
