/*
 * fact.h: what the engine decided. A fact is one journal entry's second half: a report (everything
 * that an answer can show) and a closed list of effects (everything that state changes by).
 *
 * Effects say delta and after; apply asserts before + delta = after and never sees a policy. So a
 * journal rebuilds exactly what was promised, whatever program and policy run by then.
 *
 * A fact is about at most one customer. All numbers here are journaled: never renumber.
 *
 * What the books take from it (they price nothing):
 *
 *   usage    the report: outcome, reason, units, lines, overshoot, status, and for denials how many
 *            it stands for (crowd). Who, what feature and which attributes are in the command, or
 *            in that of the authorizing entry, whose position is report.id
 *   price    report.price_settled. Exact cost of the settled usage, over q:
 *                q * (charged + overshoot.charged) + rem_after - rem_before
 *            and for `unit: cost`, whose units are nano-credits, with the units allowed and those
 * of the overshoot in place of what they were charged grants   EFFECT_LOT: a lot's settled balance
 * is remaining + held. ENTER adds; SETTLE, CHARGE, EXPIRE, VOID, REPAY, ROLLOVER take; REFUND gives
 * back; HOLD and RETURN move nothing debt     EFFECT_DEBT: down by an overshoot booked as debt, up
 * by what a paid grant repays overage  the report's lines of SOURCE_OVERAGE, by source: charged; in
 * a refund what went back. An overshoot booked as overage: overshoot.charged, in overshoot.overage
 *   overshoot refunded: +charged, then -charged, which moves no account (H3)
 *
 * A customer's settled balance is the sum of his lots' and his debt: available_after +
 * customer_held_after of the newest EFFECT_LOT (an EFFECT_DEBT leaves what is held).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/command.h"
#include "engine/policy.h"

#define FACT_VERSION 2
#define GRANTS_LIVE_MAX 255u /* of one customer */
/* One draw takes at most this many lines: the live grants, and each other source once. */
#define DRAW_LINES_MAX (GRANTS_LIVE_MAX + SOURCES_MAX)
#define HOLD_LINES_MAX 352u                         /* of one hold, extends included */
#define LINES_MAX (HOLD_LINES_MAX + DRAW_LINES_MAX) /* of one answer: a hold's, and its excess */
#define NOTES_MAX (GATES_MAX + SOURCES_MAX)
/* A commit may settle, return and expire each held line, in all its counters, and draw its excess.
 */
#define EFFECTS_MAX 8192u
/* So many equal denials in a second are told apart; the next one stands for a crowd: those that
 * follow answer with its id, and are journaled together, as one entry that says how many. */
#define CROWD_ALONE_MAX 16u
#define POLICY_SYMBOLS_NEW_MAX 4080u /* names that one policy may add */

enum outcome { OUTCOME_NONE, OUTCOME_ALLOW, OUTCOME_PARTIAL, OUTCOME_DENY };

/* name, code, what an edge should answer, whether Retry-After goes with it */
#define REASON_TABLE(X)                                                           \
    X(REASON_OK, "ok", 200, false)                                                \
    X(REASON_NOT_ENTITLED, "not_entitled", 403, false)                            \
    X(REASON_SUSPENDED, "suspended", 403, false)                                  \
    X(REASON_RATE_LIMITED, "rate_limited", 429, true)                             \
    X(REASON_CONCURRENCY_LIMITED, "concurrency_limited", 429, false)              \
    X(REASON_BUDGET_REACHED, "budget_reached", 402, false)                        \
    X(REASON_TEMPORARY_REDUCED_CAPACITY, "temporary_reduced_capacity", 503, true) \
    X(REASON_ABNORMAL_USAGE, "abnormal_usage", 429, true)                         \
    X(REASON_ALLOWANCE_EXHAUSTED, "allowance_exhausted", 429, true)               \
    X(REASON_CREDITS_NEED_CONSENT, "credits_need_consent", 402, false)            \
    X(REASON_INSUFFICIENT_CREDITS, "insufficient_credits", 402, false)            \
    X(REASON_OVERAGE_CAP_REACHED, "overage_cap_reached", 402, false)              \
    X(REASON_INDIVISIBLE, "indivisible", 402, false)
enum reason {
#define X(name, code, status, retry) name,
    REASON_TABLE(X)
#undef X
};

/* Who can change what refused. */
enum who { WHO_NOBODY, WHO_CUSTOMER, WHO_OPERATOR, WHO_CALLER };
enum remedy {
    REMEDY_NONE,
    REMEDY_WAIT,          /* "wait": after retry_after_ms */
    REMEDY_ADD_CREDITS,   /* "add_credits" */
    REMEDY_USE_CREDITS,   /* "use_credits": repeat with consent */
    REMEDY_UPGRADE_PLAN,  /* "upgrade_plan" */
    REMEDY_RAISE_BUDGET,  /* "raise_budget" */
    REMEDY_RAISE_CAP,     /* "raise_cap": overage */
    REMEDY_FINISH_HOLDS,  /* "finish_holds": concurrency */
    REMEDY_SPLIT_REQUEST, /* "split_request": indivisible, or less could pass */
    REMEDY_CONTACT        /* "contact_operator": suspended */
};

enum hold_state { HOLD_NONE, HOLD_HELD, HOLD_COMMITTED, HOLD_RELEASED, HOLD_EXPIRED };

/* One line of an answer, in the order of drawing. */
struct line {
    uint32_t source; /* symbol */
    enum source_kind kind;
    uint64_t grant_id; /* SOURCE_GRANTS, else 0 */
    uint64_t units;
    int64_t charged; /* nano-credits; while held: the most that a commit of this line charges */
};

enum note_kind { NOTE_RATE = 1, NOTE_CONCURRENCY, NOTE_BUDGET, NOTE_SOURCE };

/* What one gate or source said, in the order asked. */
struct note {
    enum note_kind kind;
    uint32_t name; /* symbol */
    bool refused;  /* gates */
    bool skipped;  /* sources: not asked for lack of consent, or passed over as indivisible */
    bool has_window;
    bool is_paced;
    enum source_kind source; /* NOTE_SOURCE */
    /* gates that a pool or a standing slows: what is left of the limit in 1/256, and whose */
    uint32_t factor;
    enum standing standing;
    /* gates: what is left after this decision (RATE whole tokens, CONCURRENCY slots, BUDGET
     * nano-credits); sources: what it offered, at most QUANTITY_MAX (A2) */
    uint64_t amount;
    uint64_t drawn;       /* sources: units drawn */
    uint64_t limit;       /* of the gate, or of the window that binds; 0 for grants and unlimited */
    struct period period; /* of the binding window; RATE: PERIOD_DURATION of per_ms */
    int64_t resets_at_ms; /* of the binding window, 0: it is not open */
    uint64_t left;        /* sources with a window: units left in it after this decision */
};

struct overshoot {
    uint64_t units;
    int64_t charged;
    int64_t refunded; /* = charged for OVERSHOOT_REFUND, else 0 */
    enum overshoot_kind booked;
    uint32_t overage; /* OVERSHOOT_OVERAGE that was charged: symbol of the source; else 0 */
};

/* By which price rule version usage was settled, and how its remainder moved (U4). */
struct settled_price {
    uint64_t version; /* 0: the feature has no prices, or the fact settles nothing */
    uint64_t q;
    uint64_t rem_before;
    uint64_t rem_after;
};

struct used {
    uint32_t meter; /* symbol */
    uint64_t amount;
};

/* Everything that an answer can show. Fields that a kind does not use are 0. */
struct report {
    enum command_kind kind;
    uint64_t id; /* AUTHORIZE, CONSUME, USAGE, CHECK (0): decision; COMMIT, RELEASE, EXTEND,
                    REFUND: of the decision concerned; GRANT, VOID: grant; ACCESS: access key */
    enum outcome outcome;
    bool explain; /* the request asked for notes in the answer */
    uint64_t units_requested;
    uint64_t units_allowed;
    int64_t charged;
    uint32_t price; /* symbol of "list/rule"; 0: the feature has no prices */
    uint32_t unit;  /* UNIT_COST or the unit's meter symbol */

    enum reason reason;
    uint32_t limit; /* symbol of the gate or source that refused; 0 */
    struct scope_rule scope;
    enum who who;
    enum remedy remedy;
    int64_t retry_after_ms; /* -1: null */
    int64_t resets_at_ms;   /* 0: null */

    enum hold_state hold;
    int64_t expires_at_ms; /* HOLD_HELD */
    bool late;
    enum job_status status; /* COMMIT, CONSUME, USAGE */
    bool has_overshoot;
    struct overshoot overshoot;
    struct settled_price price_settled; /* CONSUME, USAGE, COMMIT: for the books, never rendered */
    /* COMMIT of what was held: its quantities, as the command does not say them; likewise. */
    uint32_t used_count;
    struct used used[METERS_MAX];

    /* GRANT: nano = amount; VOID: nano = taken back; REFUND: nano = refunded by this call, expired
     * = of that, gone at once with an expired or voided grant, total = refunded so far of the
     * decision; RESET: count = counters set to zero; POLICY: count = version;
     * ACCESS: count = 1: revoked;
     * POOL: limit = its name, nano = override in 1/FACTOR_ONE or FACTOR_NONE, total = factor in
     * 1/FACTOR_ONE, count = enum shed */
    int64_t nano;
    int64_t expired;
    int64_t total;
    uint64_t count;
    uint64_t crowd; /* denials: 0: one of its own; n: so many more that joined a crowd, whose first
                       is `id`. Of fixed width in the encoding, so that it can be raised in place */
    enum category category;     /* GRANT */
    int64_t grant_effective_ms; /* GRANT */
    int64_t grant_expires_ms;   /* GRANT; 0: never */

    uint32_t line_count;
    uint32_t note_count;
    struct line lines[LINES_MAX];
    struct note notes[NOTES_MAX];
};

enum effect_kind {
    EFFECT_CUSTOMER = 1, /* a customer comes to be */
    EFFECT_SETTING = 2,  /* plan, mode, anchor, suspension */
    EFFECT_WINDOW = 3,   /* a fixed window's counter: allowance, budget, overage */
    EFFECT_SLIDING = 4,  /* one slot of a sliding window's counter */
    EFFECT_RATE = 5,     /* a token bucket */
    EFFECT_CONCURRENCY = 6,
    EFFECT_OVERRIDE = 7,
    EFFECT_GRANT = 8, /* a grant comes to be */
    EFFECT_LOT = 9,   /* a grant's remaining and held move, and the customer's sums with it */
    EFFECT_GRANT_STATE = 10, /* entered, expired, voided */
    EFFECT_DEBT = 11,
    EFFECT_REMAINDER = 12,
    EFFECT_HOLD = 13,      /* a hold comes to be, or is extended */
    EFFECT_HOLD_LINE = 14, /* one line is added to a hold */
    EFFECT_HOLD_END = 15,  /* the hold and its lines go; what remains is remembered */
    EFFECT_ENDED = 16,     /* what is remembered of an ended hold or a refunded decision */
    EFFECT_KEY = 17,       /* an idempotency key is bound */
    EFFECT_RENEWAL = 18,   /* a recurring grant's next renewal */
    EFFECT_SYMBOL = 19,
    EFFECT_POLICY = 20,
    EFFECT_CROWD = 21,      /* one more denial of its own in the second that runs */
    EFFECT_SEAL = 22,       /* the journal may begin later from now on */
    EFFECT_ACCESS = 24,     /* an access key comes to be */
    EFFECT_ACCESS_END = 25, /* it goes: revoked, or expired and in the way of a new one */
    EFFECT_POOL = 26,       /* what is said of a pool; it comes to be by the first one */
    EFFECT_PACED = 27       /* a token bucket, by another clock than the plain one */
};

enum setting {
    SETTING_PLAN = 1,
    SETTING_MODE,
    SETTING_ANCHOR,
    SETTING_SUSPENDED,
    SETTING_STANDING
};
#define ANCHOR_NONE (-1) /* of SETTING_ANCHOR: the creation is the anchor; instants are >= 0 */
enum lot_cause {
    LOT_ENTER = 1, /* a purchase or renewal arrives */
    LOT_HOLD,      /* remaining -> held */
    LOT_RETURN,    /* held -> remaining */
    LOT_SETTLE,    /* held -> charged */
    LOT_CHARGE,    /* remaining -> charged (consume, excess) */
    LOT_EXPIRE,
    LOT_VOID,
    LOT_REFUND,
    LOT_REPAY,   /* remaining -> debt repaid */
    LOT_ROLLOVER /* remaining -> the next lot of a recurring grant */
};
enum grant_state { GRANT_PENDING, GRANT_LIVE, GRANT_EXPIRED, GRANT_VOIDED };
enum due_what { DUE_HOLD_EXPIRY = 1, DUE_RENEWAL, DUE_GRANT_EXPIRY, DUE_GRANT_EFFECTIVE };

/* Where a counter is: hash of the scope's path (0: the customer), and the limit's identity
 * (SEMANTICS W2). */
struct slot_name {
    uint64_t scope;
    uint64_t id;
};

/* A price as quoted: what a hold keeps of a price rule and of the attributes that picked it. */
struct quote {
    uint64_t version;
    uint32_t name; /* symbol */
    uint64_t q;
    int64_t minimum_nano;
    uint64_t num[METERS_MAX];
};

/* Which counters of which windows a hold line was drawn from, so that returns find them. */
struct window_ref {
    struct slot_name slot;
    int64_t instance_ms; /* which one: the end of a fixed window, whose ends only go forward; the
                            start of a sliding one's slot within the ring */
    uint32_t generation;
    bool sliding;
};

#define LINE_BUDGETS_MAX 4u
#define LINE_WINDOWS_MAX WINDOWS_MAX

struct effect {
    enum effect_kind kind;
    union {
        struct {
            int64_t created_ms;
        } customer;
        struct {
            enum setting which;
            uint64_t scope; /* SETTING_SUSPENDED, SETTING_STANDING of a subject */
            int64_t before;
            int64_t after;
        } setting;
        struct {
            struct slot_name slot;
            int64_t end_ms;      /* of the instance after the effect: it is known by that */
            uint32_t generation; /* how often the instance was reset */
            int64_t delta; /* against the instance's own count; a new instance counts from 0 */
            int64_t after;
        } window;
        struct {
            struct slot_name slot;
            int64_t per_ms;
            int64_t start_ms; /* of the ring's slot */
            int64_t delta;
            int64_t after; /* of that slot of the ring */
            bool cleared;  /* the counter starts anew: the whole ring is emptied first */
            uint32_t generation;
        } sliding;
        struct {
            struct slot_name slot;
            int64_t level_after; /* whole tokens left, may be negative */
            uint64_t part_after; /* plus part_after / per_ms of a token; PACED: / (256 per_ms) */
            uint64_t limit;      /* the shape for which that is true */
            uint64_t burst;
            int64_t per_ms;
            int64_t at;             /* virtual time at which it is true: ms; PACED: in 1/256 ms */
            uint32_t pool;          /* PACED: symbol, or none */
            enum standing standing; /* PACED */
        } rate;
        struct {
            struct slot_name slot;
            int64_t delta;
            int64_t after;
        } concurrency;
        struct {
            uint64_t id;
            bool removed;
            uint64_t value;
        } override;
        struct {
            uint64_t id;
            enum category category;
            int32_t priority;
            int64_t amount;
            int64_t effective_ms;
            int64_t expires_ms; /* INSTANT_NEVER */
            uint32_t recurring; /* symbol of the rule that made it; 0 */
            uint32_t feature_count;
            uint32_t features[GRANT_FEATURES_MAX];
        } grant;
        struct {
            uint64_t id;
            enum lot_cause cause;
            int64_t remaining_delta;
            int64_t remaining_after;
            int64_t held_delta;
            int64_t held_after;
            int64_t available_after; /* of the customer, debt included */
            int64_t customer_held_after;
        } lot;
        struct {
            uint64_t id;
            enum grant_state after;
        } grant_state;
        struct {
            int64_t delta;
            int64_t after;           /* <= 0 */
            int64_t available_after; /* of the customer */
        } debt;
        struct {
            uint64_t version;
            uint64_t q;
            uint64_t before;
            uint64_t after;
        } remainder;
        struct {
            uint64_t id;
            bool is_new;
            int64_t expires_ms;
            /* how it was asked for */
            uint32_t feature;        /* symbol */
            uint32_t unit;           /* index into meters, or UNIT_COST */
            uint32_t requests_meter; /* likewise, or METERS_MAX */
            enum consent consent;
            int64_t ttl_ms;
            int64_t retention_ms;
            enum failure_cost on_failure;
            uint32_t meter_count;
            uint32_t meters[METERS_MAX]; /* symbols */
            struct quote quote;
            uint32_t level_count;
            uint64_t levels[LEVELS_MAX]; /* scope hashes of the subject's 1st..last level */
            uint32_t concurrency_count;
            struct slot_name concurrency[GATES_MAX];
            /* held in all, after */
            uint64_t quantities[METERS_MAX];
        } hold;
        struct {
            uint64_t hold;
            uint32_t draw; /* lines of one draw from one waterfall entry share a number */
            struct line line;
            uint32_t window_count;
            struct window_ref windows[LINE_WINDOWS_MAX];
            uint32_t budget_count;
            struct window_ref budgets[LINE_BUDGETS_MAX];
        } hold_line;
        struct {
            uint64_t id;
            enum hold_state state;
            int64_t keys_until_ms; /* the keys that waited for the end are kept until then (I3) */
        } hold_end;
        struct {
            uint64_t id; /* decision */
            enum hold_state state;
            bool late;
            uint64_t position;  /* of the fact that settled it; of an expired hold: of the one that
                                       last said its terms; 0: released, or only refunded */
            uint64_t body_hash; /* of the commit */
            int64_t refunded_after;
            int64_t until_ms; /* remembered until then */
        } ended;
        struct {
            struct hash128 hash;
            uint64_t body_hash;
            uint64_t position;
            uint64_t hold;    /* decision id whose end starts the retention; 0 */
            int64_t until_ms; /* INSTANT_NEVER while the hold is open */
        } key;
        struct {
            uint32_t name;     /* symbol */
            int64_t next_ms;   /* 0: no longer */
            uint64_t grant_id; /* the lot now alive */
        } renewal;
        struct {
            uint32_t number;
            struct bytes name;
        } symbol;
        struct {
            uint64_t version;
            uint64_t content_hash;
            bool from_file;
            struct bytes actor; /* who installed it (command.h) */
        } policy;
        struct journal_cut seal;
        struct {
            uint32_t name; /* symbol */
            bool has_override;
            uint32_t override; /* in 1/FACTOR_ONE, like the factors */
            enum shed shed;
            uint32_t factor_before;
            uint32_t factor_after;
            int64_t base[STANDINGS]; /* what its clocks say now, in 1/256 ms */
        } pool;
        struct {
            uint64_t of; /* hash of who is denied what, and why */
            int64_t second;
            uint32_t after; /* 1..CROWD_ALONE_MAX + 1: this is the first of a crowd */
        } crowd;
        struct {
            uint64_t id; /* the fact's position */
            struct access_terms terms;
        } access;
        struct {
            uint64_t id;
        } access_end;
    };
};

struct fact {
    int64_t at_ms;     /* the stamp; due facts act as at command.due_ms */
    uint64_t position; /* of the journal entry */
    bool has_customer;
    struct hash128 customer;
    uint32_t customer_hint; /* the block's number where it is known, not encoded; 0 */
    uint32_t scope_hint;    /* likewise of the subject's last level, whose hash is: */
    uint64_t scope_hash;
    bool is_out_of_range; /* a draft moved a sum beyond its range: never journaled */
    uint32_t feature;     /* symbol of what was asked for or used, not encoded; 0: of nothing */
    struct report report;
    uint32_t effect_count;
    struct effect effects[EFFECTS_MAX];
};

/* Report and effects, appended; overflowed is set when they do not fit. at_ms and position are the
 * entry's, not encoded here. */
void fact_encode(const struct fact *fact, struct buffer *buffer);
/* False when the bytes are not one whole fact. Views point into the bytes. */
MUST_USE bool fact_decode(struct bytes bytes, struct fact *fact_out);
#define FACT_BYTES_MAX (512u * 1024u)
/* Counts one denial more into an encoded fact of a crowd. */
void fact_crowd_join(uint8_t *bytes, size_t length);

/* The closed texts of the contract, for every front end. */
const char *reason_code(enum reason reason);
unsigned reason_http_status(enum reason reason);
bool reason_has_retry(enum reason reason);
