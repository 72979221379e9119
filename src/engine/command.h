/*
 * command.h: what somebody asks of Weir, as one flat value with one codec.
 *
 * Every front end makes the same commands; their encoding is what crosses threads and what the
 * journal keeps. Encoding is canonical: quantities and attributes are sorted by name, absent fields
 * take no bytes, so that equal requests have equal bytes whatever their JSON looked like. The body
 * of an idempotency key (SEMANTICS I1) is that encoding without the key.
 *
 * Views (struct bytes) point into memory of whoever made the command.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/policy.h"

/* Ceilings of the wire; commands beyond them are not made. */
#define COMMAND_BYTES_MAX (POLICY_BYTES_MAX + 4096u) /* of an encoded command */
#define CUSTOMER_BYTES_MAX 256u
#define SUBJECT_BYTES_MAX 512u
#define KEY_BYTES_MAX 256u
#define ATTRIBUTES_MAX 16u
#define ATTRIBUTE_NAME_BYTES_MAX 64u
#define ATTRIBUTE_VALUE_BYTES_MAX 256u
#define TEXT_BYTES_MAX 1024u /* reason, compute */
#define GRANT_FEATURES_MAX 8u
#define OVERRIDES_MAX 32u
#define SUSPENSIONS_MAX 32u
#define TTL_MS_MAX (30 * DAY_MS)
#define BALANCE_NANO_MAX (INT64_C(1) << 62)
#define ACTOR_BYTES_MAX 32u
#define ACCESS_LABEL_BYTES_MAX 64u
#define GRANT_NANO_MAX (BALANCE_NANO_MAX / 256) /* of one grant: 255 of them cannot overflow */

/* Numbers are journaled: never change one, never reuse one. */
enum command_kind {
    COMMAND_AUTHORIZE = 1,
    COMMAND_CONSUME = 2,
    COMMAND_CHECK = 3, /* never journaled */
    COMMAND_COMMIT = 4,
    COMMAND_RELEASE = 5,
    COMMAND_EXTEND = 6,
    COMMAND_USAGE = 7,
    COMMAND_CUSTOMER = 8,
    COMMAND_GRANT = 9,
    COMMAND_VOID = 10,
    COMMAND_RESET = 11,
    COMMAND_REFUND = 12,
    COMMAND_POLICY = 13,
    COMMAND_DUE = 14,    /* made by the engine itself */
    COMMAND_SEAL = 15,   /* made by the server */
    COMMAND_ACCESS = 16, /* an access key: made, or (target) revoked */
    COMMAND_POOL = 17    /* what an operator says of a pool */
};

enum consent {
    CONSENT_UNSAID,
    CONSENT_GIVEN,
    CONSENT_REFUSED
}; /* use_credits absent, true, false */
enum priority { PRIORITY_DEFAULT, PRIORITY_CRITICAL, PRIORITY_SHEDDABLE };
enum job_status { JOB_SUCCEEDED, JOB_FAILED, JOB_MODERATED };
enum credit_mode { CREDIT_UNSAID, CREDIT_AUTO, CREDIT_ASK, CREDIT_OFF };
enum answer_bool { BOOL_UNSAID, BOOL_TRUE, BOOL_FALSE };

struct quantity {
    struct bytes meter;
    uint64_t amount; /* 0..QUANTITY_MAX */
};

struct attribute {
    struct bytes name;
    struct bytes value;
};

/* An override of one limit, of every feature's limit of that name, or of one feature's. */
struct override {
    struct bytes feature; /* empty: every feature */
    struct bytes name;
    uint32_t place;  /* in the allowance's window list, from 0 */
    bool removed;    /* back to the plan's own */
    bool is_credits; /* value is nano-credits: a budget, an overage cap, a cost window */
    uint64_t value;
    /* Where the request has it, for problems; not journaled. */
    const char *field;   /* static: "limits", "budgets" */
    struct bytes member; /* "chat/included[1]" */
};

/* How somebody has behaved, by an operator's word: it changes speed, never what was promised. In
 * this order from worst to best, but NORMAL says nothing. Journaled. */
enum standing { STANDING_NORMAL, STANDING_RESTRICTED, STANDING_PROBATION, STANDING_TRUSTED };
#define STANDINGS 4u

/* What is set of one subject: whether it is suspended, or its standing. */
struct suspension {
    struct bytes subject;
    bool suspended;
    bool is_standing;
    enum standing standing;
};

/* Which priorities a pool turns away. Journaled. */
enum shed { SHED_NONE, SHED_SHEDDABLE, SHED_DEFAULT, SHED_ALL };

/* A pool's factor is in 1/FACTOR_ONE. */
#define FACTOR_ONE 64u
#define FACTOR_NONE (-1) /* where none was said */

/* What an operator says of a pool; what is unsaid stays as it is. */
struct pool_terms {
    struct bytes name;
    bool says_override;
    bool has_override;     /* else it is taken back */
    int64_t override_nano; /* 0..10^9 */
    bool says_shed;
    enum shed shed;
};

/* Where the journal may begin from now on. What was before went because nobody needs it any more;
 * the hash says which journal it was. */
struct journal_cut {
    uint64_t first;     /* the oldest batch that is kept; below 3 nothing was cut */
    uint64_t before[4]; /* SHA-256 of the batch before it, least significant byte first */
};

/* What an access key may ask for; ADMIN includes the others. Journaled. */
enum access_scope { ACCESS_DECIDE = 1, ACCESS_REPORT = 2, ACCESS_READ = 4, ACCESS_ADMIN = 8 };
#define ACCESS_SCOPES 15u

/* An access key as it is asked for. Of the secret only its hash is ever known here. */
struct access_terms {
    uint64_t hash[4];      /* SHA-256 of the secret, as it lies in memory */
    uint32_t scopes;       /* ACCESS_..., at least one */
    struct bytes customer; /* the one that it is bound to; empty: to none */
    struct bytes label;
    int64_t expires_ms; /* INSTANT_NEVER */
};

/* What an idempotency key that is kept says: who used it how, where, and until when it counts. */
struct kept_key {
    struct hash128 hash;
    uint64_t body_hash;
    uint64_t position; /* of the entry that bound it */
    int64_t until_ms;  /* over at a stamp >= this */
};

/* Whether a key that the state does not hold is kept somewhere else, in files. */
enum key_elsewhere {
    KEY_NOWHERE,
    KEY_UNSOUGHT, /* nobody has looked */
    KEY_FOUND
};

/* How far engine_prefetch has come, and what it has found: numbers of blocks, checked before they
 * are used. */
struct fetched {
    uint32_t steps;
    uint32_t customer;
    uint32_t grant; /* the next of the chain */
    uint32_t level_count;
    uint64_t levels[LEVELS_MAX]; /* of the subject */
    uint32_t scopes[LEVELS_MAX];
    uint32_t chain_count;
    uint32_t slots[LEVELS_MAX + 1]; /* the next of each chain that has not ended */
};

/* Fields that a kind does not have stay zero. */
struct command {
    enum command_kind kind;

    struct bytes customer;
    bool has_owner; /* engine_prefetch has hashed the customer's name; not encoded */
    struct hash128 owner;
    uint32_t owner_hint;  /* engine_prefetch has found the customer's block; 0: has not */
    struct bytes subject; /* a path, parts divided by '/'; empty: the one absent subject */
    struct bytes feature;
    struct bytes key; /* idempotency key; empty: none */

    /* Not encoded: a key that is found makes no fact, and one that is not is as if nobody had
     * asked.
     */
    bool has_key_hash; /* engine_prefetch has hashed the key */
    struct hash128 key_hash;
    enum key_elsewhere key_elsewhere;
    struct kept_key key_kept; /* KEY_FOUND: under the key's hash */
    struct fetched fetched;   /* not encoded */

    uint64_t target; /* COMMIT, RELEASE, EXTEND, REFUND: decision id; VOID: grant id */

    /* Decisions and settling. */
    bool as_held; /* COMMIT: no quantities were said, which is another word than none: what was held
                   */
    uint32_t quantity_count;
    struct quantity quantities[METERS_MAX];
    uint32_t attribute_count;
    struct attribute attributes[ATTRIBUTES_MAX];
    bool has_ttl;
    int64_t ttl_ms; /* 1..TTL_MS_MAX */
    bool has_min_units;
    uint64_t min_units;
    enum consent consent;
    enum priority priority;
    bool explain;
    enum job_status status;
    bool has_duration;
    uint64_t duration_ms;
    struct bytes compute;
    bool has_event_time; /* USAGE: the event's own time, recorded only (A7) */
    int64_t event_time_ms;

    /* CUSTOMER: what is unsaid stays as it is. */
    struct bytes plan;
    enum credit_mode credit_mode;
    bool has_anchor;
    int64_t anchor_ms;
    bool anchor_removed; /* back to the creation; has_anchor is false */
    enum answer_bool suspended;
    bool has_standing;
    enum standing standing;
    uint32_t suspension_count;
    struct suspension suspensions[SUSPENSIONS_MAX];
    uint32_t override_count;
    struct override overrides[OVERRIDES_MAX];

    /* GRANT */
    enum category category;
    int64_t nano; /* GRANT: 1..GRANT_NANO_MAX; REFUND: the amount unless `all` */
    int32_t grant_priority;
    bool has_effective;
    int64_t effective_ms;
    bool has_expires;
    int64_t expires_ms;
    uint32_t grant_feature_count;
    struct bytes grant_features[GRANT_FEATURES_MAX];
    struct bytes reason;

    /* RESET */
    struct bytes limit;

    /* SEAL */
    struct journal_cut cut;

    /* ACCESS: `target` is revoked; 0: a key is made. */
    struct access_terms access;
    bool has_way_back; /* somebody can make keys whatever becomes of those that there are */

    /* POOL */
    struct pool_terms pool;

    /* Who did it, of commands of operators (command_has_actor): an access key's id, "admin-key",
     * or empty: whoever reaches a server without keys. No part of the body. */
    struct bytes actor;
    /* Asked for with a key that is bound to a customer: what is another's, is as if it was not
     * there. Not encoded. */
    bool is_bound;
    struct hash128 bound_to;

    /* REFUND */
    bool all;

    /* COMMIT, REFUND of something the state no longer holds: the encoded fact that settled it. */
    struct bytes evidence;

    /* POLICY: the YAML, and the policy compiled from it (not encoded). */
    struct bytes yaml;
    bool from_file; /* --policy at start, not PUT */
    const struct policy *compiled;

    /* DUE: what became due, to `owner`, who is encoded here alone. */
    int64_t due_ms;
    uint32_t due_what; /* enum due_what */
    uint64_t due_id;   /* hold's decision id, grant id, or recurring rule's symbol */
};

/* Canonical encoding, appended. overflowed is set when it does not fit. */
void command_encode(const struct command *command, struct buffer *buffer);
/* False when the bytes are not one whole canonical command. Views point into the bytes. */
MUST_USE bool command_decode(struct bytes bytes, struct command *command_out);

/* Whether commands of the kind say who gave them. */
bool command_has_actor(enum command_kind kind);

/* The hash that an idempotency key is bound to: of everything but the key. */
uint64_t command_body_hash(struct hash_key key, const struct command *command);
