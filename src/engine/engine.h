/*
 * engine.h: the door of floor 1. Two functions and a state:
 *
 *     decide : state x policy x command x stamp -> ruling (a fact, or an answer without one)
 *     apply  : state x fact -> state                        (the only way state changes)
 *
 * The caller stamps commands with times that never go back and with the journal position their
 * entry will have. Before a command is decided, everything that its customer has due must have been
 * ruled (engine_due) and applied. See README.md in this folder.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/command.h"
#include "engine/entry.h"
#include "engine/evidence.h"
#include "engine/fact.h"
#include "engine/image.h"
#include "engine/policy.h"
#include "engine/problem.h"

/* How many of each kind of block the memory holds. */
struct engine_ceilings {
    uint32_t customers;
    uint32_t scopes; /* subject scopes, all levels */
    uint32_t slots;  /* counters: windows, buckets, concurrency, overrides, renewals */
    uint32_t rings;  /* sliding windows */
    uint32_t grants;
    uint32_t holds;
    uint32_t lines; /* of open holds */
    uint32_t keys;  /* idempotency keys and ended holds, each */
};

struct engine_ceilings engine_ceilings_for(uint64_t memory_bytes);
uint64_t engine_bytes(struct engine_ceilings ceilings);

struct engine; /* lives at the start of its block */

/* The block: engine_bytes() of zeroes, 64-aligned, its address space reserved. The key makes
 * identities unguessable; it is chosen once in the life of a data directory. */
struct engine *engine_over(void *block, struct engine_ceilings ceilings, struct hash_key key);

struct stamp {
    int64_t now_ms;    /* never below the last one */
    uint64_t position; /* of the entry, if the command becomes one */
};

enum ruling_kind {
    RULING_FACT,   /* journal command and fact, apply the fact, answer from its report */
    RULING_ANSWER, /* nothing changes: answer from fact->report (check; release again) */
    RULING_CROWD,  /* a denial that joins the crowd whose first is at `position`: answer from
                      fact->report, and count it. When the second is over, command and fact of one
                      of them are journaled, with report.crowd how many they were */
    RULING_REPLAY, /* answer what the entry at `position` answered, byte for byte; that entry bound
                      the key of hash `key`, unless that is zero (a commit is repeated) */
    RULING_RECALL, /* decide again with command.evidence, which says what `recall` asks for */
    RULING_KEY, /* decide again with command.key_elsewhere KEY_NOWHERE or KEY_FOUND: where the key
                   of hash `key` is kept, if anywhere, decides. Only of KEY_UNSOUGHT */
    RULING_PROBLEM
};

/* What the state does not know (evidence.h). */
enum recall {
    RECALL_ORIGIN = 1, /* the fact at `position`: evidence_add_origin */
    RECALL_WHOLE       /* the decision or grant at `position`: evidence_add_decision; whether the
                          books have an ending: the cursor first, then evidence_add_ending, and what
                          that names as its origin */
};

/* What an id should have been whose entry the journal keeps no longer. */
#define RECALL_EXPECTED_KEPT "a decision that is not older than receipts are kept"

struct ruling {
    enum ruling_kind kind;
    enum recall recall;
    uint64_t position;
    struct hash128 key;
    struct problem problem;
};

/* Rules one command. Changes nothing that can be seen: when time must be tried out (check, honest
 * retry_after) it works on the state and takes everything back. fact_out is scratch for all kinds;
 * its at_ms, position are the stamp's.
 * PROBLEM_CAPACITY where a ceiling would be passed. Decides as if everything due at the stamp was
 * done; for journaled kinds it must have been done. */
MUST_USE struct ruling engine_decide(struct engine *engine, const struct policy *policy,
                                     const struct command *command, struct stamp stamp,
                                     struct fact *fact_out);

/* The next fact that is due for the command's customer at now_ms; false: none is. Commands by id
 * (commit, void, ...) find their customer themselves. command_out is what to journal with it. */
MUST_USE bool engine_due_for(struct engine *engine, const struct policy *policy,
                             const struct command *command, struct stamp stamp,
                             struct command *command_out, struct fact *fact_out);
/* The same for whoever is due first among all customers. A renewal that finds no room waits: then
 * false, though engine_due_at has passed. */
MUST_USE bool engine_due(struct engine *engine, const struct policy *policy, struct stamp stamp,
                         struct command *command_out, struct fact *fact_out);
/* The same for whom a journaled due command is about: drafts again what he had due first. For
 * audits: who is a stranger is taken to have been let in. */
MUST_USE bool engine_due_again(struct engine *engine, const struct policy *policy,
                               const struct command *due, struct stamp stamp,
                               struct command *command_out, struct fact *fact_out);
/* When the next of all customers is due; INSTANT_NEVER. */
int64_t engine_due_at(const struct engine *engine);

/* Whether the ceilings leave room for what a fact will take. Decided facts have been asked; a
 * replay into another memory asks again. */
MUST_USE bool engine_has_room_for(const struct engine *engine, const struct fact *fact);

void engine_apply(struct engine *engine, const struct fact *fact);

/* Whether a fact that says how many joined a crowd can be of one that ran at that time: of the same
 * customer, subject, feature, reason and limit, with the id of its first. */
MUST_USE bool engine_crowd_runs(const struct engine *engine, const struct command *command,
                                const struct fact *fact, int64_t now_ms);

/* Walks ahead of a decision: says whose the command is, and begins to fetch what it will touch. One
 * step a call: the first when the command arrives, the others while commands before it are decided
 * (PREFETCH_STEPS are enough for most; more do no harm). A step does not wait for memory if the one
 * before was some 200 ns ago. Optional. */
#define PREFETCH_STEPS 6u
void engine_prefetch(const struct engine *engine, struct command *command);
/* The first step for a fact that will be applied: fills in what engine_prefetch needs of `ahead`,
 * zeroes before. Once that has found the customer, fact->customer_hint may be ahead->owner_hint. */
void engine_prefetch_fact(const struct engine *engine, const struct fact *fact,
                          struct command *ahead);

/* How far the books are, by whom evidence will be brought. */
struct books_known {
    bool are_kept;
    bool lose_holds; /* they or the journal may lose a hold while its end is still asked for (H6) */
    uint64_t through; /* position of the newest entry that they have, durably */
};

/* Forgets what is over, spent or at its default: keys, ended holds, lots, counters, scopes; looks
 * at up to so many records of each kind. How holds ended is forgotten once the books have it; where
 * they lose holds, and of holds that were open for long, once nobody but a refund may ask for it
 * besides; where none are kept, when
 * nobody may ask and nothing was refunded. Not a fact: all of that is already treated as absent, or
 * is told by evidence as it was. */
void engine_sweep(struct engine *engine, int64_t now_ms, uint32_t records,
                  struct books_known books);

/* Keys that leave the state for files (src/keys), a bounded piece at a time, in three walks over
 * the key records 1..engine_key_records: count, list, forget. A key may leave when no open hold
 * needs it; it is listed when it was bound before `before`, is not over, and the high word of its
 * hash is in [first, last]. Between list and forget keys are answered as ever. None of it is a
 * fact: who keeps the list asks it before he says that a key is new. */
struct keys_wanted {
    int64_t now_ms;
    uint64_t before; /* position */
    uint64_t first, last;
};
uint32_t engine_key_records(const struct engine *engine);
/* How many of the records [from, from + records) would be listed; what was listed and not forgotten
 * no longer counts as listed. */
uint32_t engine_keys_count(struct engine *engine, const struct keys_wanted *wanted, uint32_t from,
                           uint32_t records);
/* Appends them, at most `room` (more are passed over), and says how many. */
uint32_t engine_keys_list(struct engine *engine, const struct keys_wanted *wanted, uint32_t from,
                          uint32_t records, struct kept_key *out, uint32_t room);
/* Forgets the listed ones among the records; what was bound anew since stays. */
void engine_keys_forget(struct engine *engine, uint32_t from, uint32_t records);
/* Forgets one that somebody else keeps; false: the state does not have it, or it waits. */
bool engine_key_forget(struct engine *engine, struct kept_key kept);

/* What customers are known by, outside of the state too. */
struct hash128 engine_customer_id(const struct engine *engine, struct bytes name);

struct symbols engine_symbols(const struct engine *engine);

struct engine_policy_info {
    uint64_t version; /* 0: none yet */
    uint64_t content_hash;
    uint64_t file_hash; /* of the last one applied from --policy; 0 */
    uint64_t position;  /* of the entry that holds its YAML */
    int64_t installed_ms;
};
struct engine_policy_info engine_policy_info(const struct engine *engine);
/* At a start, whether a file with this content is to be applied: only if it is not the one that was
 * applied from there last; else the policy that was journaled stays (SEMANTICS P1). */
bool engine_takes_file(const struct engine *engine, uint64_t content_hash);

/* Where the newest seal lets the journal begin; zeroes before the first. */
struct journal_cut engine_cut(const struct engine *engine);

/* Which of the journal's entries may still be asked for because of an open hold, an ended one that
 * is remembered, or a key: the least of their positions among the records from, from + 1, ... of
 * 1..engine_recall_records; UINT64_MAX: there is none. A walk in pieces goes through one kind after
 * the other, in this order: a hold that ends meanwhile was seen before, or is seen among the ended;
 * what comes to be otherwise is newer than the walk's beginning. */
enum recall_by { RECALL_BY_HOLD, RECALL_BY_ENDED, RECALL_BY_KEY };
uint32_t engine_recall_records(const struct engine *engine, enum recall_by by);
uint64_t engine_recall_first(const struct engine *engine, enum recall_by by, uint32_t from,
                             uint32_t records);

/* Access keys (access.c). The first one that is made closes the server to whoever has none, for
 * good: also when the last one goes. */
bool engine_access_is_needed(const struct engine *engine);
/* Whether there is an admin key that is bound to nobody and has no end. */
bool engine_access_has_master(const struct engine *engine);
/* Grows with each key that is made or goes: what was found out before may be wrong then. */
uint64_t engine_access_changes(const struct engine *engine);

struct access_view {
    uint64_t id;
    uint64_t hash[4]; /* SHA-256 of the secret, as it lies in memory */
    uint32_t scopes;
    struct bytes customer; /* empty: bound to none; lives until the next change */
    struct bytes label;
    int64_t created_ms;
    int64_t expires_ms; /* INSTANT_NEVER; over at a time >= this */
};
/* Records 1..engine_access_records, in no order. False: nothing is there. */
uint32_t engine_access_records(const struct engine *engine);
MUST_USE bool engine_access_at(const struct engine *engine, uint32_t record,
                               struct access_view *view_out);
/* Walks the records whose hash may begin with this word: cursor 0 at first; 0 when there are no
 * more. The hash of each is the caller's to compare, in constant time. */
uint32_t engine_access_like(const struct engine *engine, uint64_t hash, uint64_t *cursor);

/* A pool as it is now, by its symbol; one that nothing was said of runs at 1. */
struct pool_view {
    uint32_t factor; /* in 1/FACTOR_ONE, like the override */
    bool has_override;
    uint32_t override;
    enum shed shed;
    int64_t since_ms; /* of the last word; 0: there was none */
};
struct pool_view engine_pool(const struct engine *engine, uint32_t name);

struct engine_counts {
    uint32_t customers, grants, holds, keys, ended, slots, scopes;
    uint32_t keys_max; /* the ceiling of keys */
    uint64_t bytes_live;
};
struct engine_counts engine_counts(const struct engine *engine);

/* What each kind of block takes. */
struct engine_slab {
    const char *name;
    uint32_t live;
    uint32_t records_max; /* the ceiling */
    uint64_t bytes_live;
    uint64_t bytes_touched; /* of memory that was ever used: stays with the process */
};
#define ENGINE_SLABS 10u
void engine_slabs(const struct engine *engine, struct engine_slab slabs_out[ENGINE_SLABS]);

/* A hash over everything that can be seen, for tests and audits: equal states, equal hashes,
 * whatever the order of blocks in memory. Walks all. */
uint64_t engine_state_hash(const struct engine *engine, int64_t now_ms);
/* A hash over how decisions ended by entries behind `after`, and the position up to which some were
 * forgotten because the books have them: behind that two states know the same. */
uint64_t engine_endings_hash(const struct engine *engine, uint64_t after, int64_t now_ms);
uint64_t engine_forgotten_through(const struct engine *engine);

/* Reading. All answer as if everything due at now_ms was done. */

/* A limit of the customer's own, as a name says it; in the order of the policy's limits. */
struct limit_view {
    uint32_t feature;         /* symbol; SYMBOL_NONE: of every feature */
    uint32_t name;            /* symbol */
    bool is_credits;          /* values are nano-credits */
    uint32_t window_count;    /* up to the last that is the customer's own */
    bool is_own[WINDOWS_MAX]; /* else the plan's */
    uint64_t values[WINDOWS_MAX];
};
#define LIMIT_VIEWS_MAX 128u
struct customer_view {
    uint32_t plan; /* symbol */
    enum credit_mode credit_mode;
    bool suspended;
    enum standing standing;
    bool has_anchor;
    int64_t anchor_ms;
    int64_t created_ms;
    uint32_t open_holds;
    uint32_t override_count; /* limits and budgets that differ from the plan's, window by window */
    uint32_t limit_count;    /* those of limits that a plan of the policy in force has */
    struct limit_view limits[LIMIT_VIEWS_MAX];
};
/* All but the limits. */
MUST_USE bool engine_customer(struct engine *engine, struct bytes customer,
                              struct customer_view *view_out);
/* Those too, of a customer that was found: walks the policy's limits until all are. */
void engine_customer_limits(struct engine *engine, const struct policy *policy,
                            struct bytes customer, struct customer_view *view);

struct grant_view {
    uint64_t id;
    enum category category;
    enum grant_state state; /* PENDING or LIVE; EXPIRED, VOIDED only while part of it is held */
    int32_t priority;
    int64_t amount;
    int64_t remaining;
    int64_t held;
    int64_t effective_ms;
    int64_t expires_ms; /* INSTANT_NEVER */
    uint32_t feature_count;
    uint32_t features[GRANT_FEATURES_MAX]; /* symbols */
};
#define GRANT_VIEWS_MAX 1024u
struct balance_view {
    int64_t available; /* debt included */
    int64_t held;
    int64_t debt; /* <= 0 */
    uint32_t grant_count;
    struct grant_view grants[GRANT_VIEWS_MAX]; /* burn order within category order */
};
MUST_USE bool engine_balance(struct engine *engine, const struct policy *policy,
                             struct bytes customer, int64_t now_ms, struct balance_view *view_out);

/* What the state remembers of a decision's hold: open ones, and ends that are young. False:
 * nothing.
 */
struct hold_view {
    enum hold_state state;
    int64_t expires_ms; /* HOLD_HELD */
};
MUST_USE bool engine_hold(const struct engine *engine, uint64_t decision, int64_t now_ms,
                          struct hold_view *view_out);

/* One gate, window or source as the next request would meet it; of grants what they have, whatever
 * the gates, a budget or the consent leave of that. */
struct status_row {
    enum note_kind kind;
    uint32_t name; /* symbol */
    enum source_kind source;
    struct scope_rule scope;
    uint32_t place; /* of the window in its list */
    bool has_window;
    struct period period;
    bool unlimited;
    bool is_credits; /* limit, used and remaining are nano-credits */
    uint64_t limit;
    uint64_t burst; /* NOTE_RATE: what the bucket holds: used and remaining are of that */
    int64_t used;   /* of a bucket at most QUANTITY_MAX, however deep it is below empty */
    uint64_t remaining;
    int64_t resets_at_ms; /* 0: not open */
    /* Gates that a pool or a standing slows: the share of the limit in 1/256, and whose. */
    bool is_paced;
    uint32_t factor;
    enum standing standing;
};
#define STATUS_ROWS_MAX (GATES_MAX + SOURCES_MAX * WINDOWS_MAX)
struct status_view {
    uint32_t feature; /* symbol */
    uint32_t unit;    /* symbol of the unit's meter, or UNIT_COST */
    bool allowed;     /* one unit more would pass, plan and credits together */
    enum reason reason;
    int64_t retry_after_ms; /* -1 */
    uint32_t row_count;
    struct status_row rows[STATUS_ROWS_MAX];
};
/* One feature for one subject, as a request without attributes would meet it. Where attributes
 * alone say the price: as the cheapest would, with what lots have left in credits; before any price
 * is in force: not allowed, REASON_NOT_ENTITLED. PROBLEM_NONE, or why not (unknown customer,
 * feature). A customer never seen is shown as the default plan would meet him. */
MUST_USE enum problem_code engine_status(struct engine *engine, const struct policy *policy,
                                         struct bytes customer, struct bytes subject,
                                         struct bytes feature, int64_t now_ms,
                                         struct status_view *view_out);
