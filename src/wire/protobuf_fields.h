/*
 * protobuf_fields.h: the numbers that api/weir.proto gives to the fields of answers: MESSAGE_FIELD,
 * in the contract's own words. protobuf_test.c compares each with the contract. Private to
 * src/wire.
 */
#pragma once

/* message, field, name here, number */
#define PROTOBUF_FIELD_TABLE(X)                                     \
    X(Units, requested, UNITS_REQUESTED, 1)                         \
    X(Units, allowed, UNITS_ALLOWED, 2)                             \
    X(Allocation, source, ALLOCATION_SOURCE, 1)                     \
    X(Allocation, kind, ALLOCATION_KIND, 2)                         \
    X(Allocation, grant_id, ALLOCATION_GRANT_ID, 3)                 \
    X(Allocation, units, ALLOCATION_UNITS, 4)                       \
    X(Allocation, charged, ALLOCATION_CHARGED, 5)                   \
    X(Reason, code, REASON_CODE, 1)                                 \
    X(Reason, limit, REASON_LIMIT, 2)                               \
    X(Reason, scope, REASON_SCOPE, 3)                               \
    X(Reason, who, REASON_WHO, 4)                                   \
    X(Reason, message, REASON_MESSAGE, 5)                           \
    X(Reason, remedy, REASON_REMEDY, 6)                             \
    X(Reason, retry_after_ms, REASON_RETRY_AFTER_MS, 7)             \
    X(Reason, resets_at, REASON_RESETS_AT, 8)                       \
    X(Hold, state, HOLD_STATE, 1)                                   \
    X(Hold, expires_at, HOLD_EXPIRES_AT, 2)                         \
    X(Overshoot, units, OVERSHOOT_UNITS, 1)                         \
    X(Overshoot, charged, OVERSHOOT_CHARGED, 2)                     \
    X(Overshoot, refunded, OVERSHOOT_REFUNDED, 3)                   \
    X(Note, gate, NOTE_GATE, 1)                                     \
    X(Note, verdict, NOTE_VERDICT, 2)                               \
    X(Note, remaining, NOTE_REMAINING, 3)                           \
    X(Note, remaining_credits, NOTE_REMAINING_CREDITS, 4)           \
    X(Note, source, NOTE_SOURCE_NAME, 5)                            \
    X(Note, offered, NOTE_OFFERED, 6)                               \
    X(Note, drawn, NOTE_DRAWN, 7)                                   \
    X(Note, skipped, NOTE_SKIPPED, 8)                               \
    X(Note, window, NOTE_WINDOW, 9)                                 \
    X(Note, resets_at, NOTE_RESETS_AT, 10)                          \
    X(Note, factor, NOTE_FACTOR, 11)                                \
    X(Note, standing, NOTE_STANDING, 12)                            \
    X(Http, status, HTTP_STATUS, 1)                                 \
    X(Http, headers, HTTP_HEADERS, 2)                               \
    X(Decision, decision_id, DECISION_DECISION_ID, 1)               \
    X(Decision, outcome, DECISION_OUTCOME, 2)                       \
    X(Decision, units, DECISION_UNITS, 3)                           \
    X(Decision, allocations, DECISION_ALLOCATIONS, 4)               \
    X(Decision, charged, DECISION_CHARGED, 5)                       \
    X(Decision, price, DECISION_PRICE, 6)                           \
    X(Decision, reason, DECISION_REASON, 7)                         \
    X(Decision, hold, DECISION_HOLD, 8)                             \
    X(Decision, overshoot, DECISION_OVERSHOOT, 9)                   \
    X(Decision, overshoot_booked, DECISION_OVERSHOOT_BOOKED, 10)    \
    X(Decision, explain, DECISION_EXPLAIN, 11)                      \
    X(Decision, http, DECISION_HTTP, 12)                            \
    X(Settlement, decision_id, SETTLEMENT_DECISION_ID, 1)           \
    X(Settlement, units, SETTLEMENT_UNITS, 2)                       \
    X(Settlement, allocations, SETTLEMENT_ALLOCATIONS, 3)           \
    X(Settlement, charged, SETTLEMENT_CHARGED, 4)                   \
    X(Settlement, price, SETTLEMENT_PRICE, 5)                       \
    X(Settlement, hold, SETTLEMENT_HOLD, 6)                         \
    X(Settlement, late, SETTLEMENT_LATE, 7)                         \
    X(Settlement, overshoot, SETTLEMENT_OVERSHOOT, 8)               \
    X(Settlement, overshoot_booked, SETTLEMENT_OVERSHOOT_BOOKED, 9) \
    X(Released, decision_id, RELEASED_DECISION_ID, 1)               \
    X(Released, hold, RELEASED_HOLD, 2)

enum protobuf_field {
#define X(message, field, name, number) name = (number),
    PROTOBUF_FIELD_TABLE(X)
#undef X
};

enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 }; /* of any map */
enum { VERDICT_PASS = 1, VERDICT_REFUSE };
enum { BOOKING_DEBT = 1, BOOKING_OVERAGE };
