/*
 * state.h (private): the engine's memory, as blocks.
 *
 * A customer block heads everything of one customer: its counters (slots), its grants in burn
 * order, its open holds in a treap by expiry, its subject scopes. Blocks live in slabs and name
 * each other by number; nothing here holds a pointer to another block, and nothing that can be seen
 * depends on the numbers.
 *
 * Every change passes through state_touch first. While a trial runs (trial_begin) touched bytes are
 * kept and trial_end puts them back: that is how time is tried out without changing anything.
 */
#pragma once

#include "engine/engine.h"

#define RING_SLOTS 66u /* per / (per / 60) + 1, for any per >= 1 s, rounded up to be safe */

enum slot_kind {
    SLOT_WINDOW = 1,
    SLOT_SLIDING,
    SLOT_RATE,
    SLOT_CONCURRENCY,
    SLOT_OVERRIDE,
    SLOT_RENEWAL
};

/* A generation counts how often a counter was reset: what was drawn before a reset gives nothing
 * back after it. */
struct window_slot {
    int64_t used;
    int64_t end_ms;
    uint32_t generation;
};
struct sliding_slot {
    uint32_t ring; /* number of the ring block */
    uint32_t generation;
    int64_t per_ms;
};
struct rate_slot {
    int64_t level;
    uint64_t part;
    uint64_t limit;
    uint64_t burst;
    int64_t per_ms;
    int64_t at; /* of the clock that counts it (pace.h); so is what `part` is a part of */
};
struct renewal_slot {
    int64_t next_ms;
    uint64_t grant;
};

struct slot {
    uint32_t next; /* of the same scope */
    uint8_t kind;
    uint8_t pool;     /* SLOT_RATE: its clock (pace.h) */
    uint8_t standing; /* likewise */
    uint8_t unused;
    uint64_t id;
    union {
        struct window_slot window;
        struct sliding_slot sliding;
        struct rate_slot rate;
        int64_t in_flight;
        uint64_t override;
        struct renewal_slot renewal;
    };
};
_Static_assert(sizeof(struct slot) == 64, "a counter takes a cache line");

struct ring {
    int64_t newest; /* number of the newest slot: its start / resolution */
    int64_t counts[RING_SLOTS];
};

struct remainder {
    uint32_t next;
    uint64_t version;
    uint64_t rem;
    uint64_t q;
};

struct customer {
    struct hash128 id;
    int64_t created_ms;
    int64_t anchor_ms;
    int64_t available; /* sum of live grants' remaining, plus debt */
    int64_t held;
    int64_t debt;
    int64_t next_due_ms;
    int64_t limits_changed_ms; /* by an override, another plan, or a standing */
    uint32_t heap_place;       /* 0: not in the heap */
    uint32_t plan;
    uint32_t slots;
    uint32_t scopes;
    uint32_t grants;
    uint32_t holds; /* root of the treap */
    uint32_t remainders;
    uint32_t open_holds;
    uint32_t overrides;
    uint16_t grants_live; /* not yet spent, expired or voided */
    uint8_t mode;
    uint8_t suspended : 1;
    uint8_t has_anchor : 1;
    uint8_t standing : 2;
};

struct scope {
    uint64_t hash;
    uint32_t customer; /* 0: the record was given back */
    uint32_t next;
    uint32_t before;
    uint32_t slots;
    uint16_t suspended;
    uint16_t standing;
};

/* A record that was given back; grants' own states begin at 0. */
#define GRANT_FREE 255u

struct grant {
    uint64_t id;
    uint32_t customer;
    uint32_t next;
    uint8_t category;
    uint8_t state;
    uint16_t feature_count;
    int32_t priority;
    int64_t amount;
    int64_t remaining;
    int64_t held;
    int64_t effective_ms;
    int64_t expires_ms;
    uint32_t recurring;
    uint16_t features[GRANT_FEATURES_MAX]; /* symbols */
};
_Static_assert(SYMBOLS_MAX <= UINT16_MAX, "a grant keeps symbols in 16 bits");

struct hold_line {
    uint32_t next;
    uint32_t draw;
    struct line line;
    uint32_t window_count;
    uint32_t budget_count;
    struct window_ref windows[LINE_WINDOWS_MAX];
    struct window_ref budgets[LINE_BUDGETS_MAX];
};

/* What a hold knows of how it was asked for; a late commit takes it from the journaled fact. */
struct hold_terms {
    uint32_t feature;
    uint32_t unit;
    uint32_t requests_meter;
    enum consent consent;
    enum failure_cost on_failure;
    int64_t ttl_ms;
    int64_t retention_ms;
    uint32_t meter_count;
    uint32_t meters[METERS_MAX];
    struct quote quote;
    uint32_t level_count;
    uint64_t levels[LEVELS_MAX];
};

struct hold {
    uint64_t id;
    uint64_t position; /* of the fact that last said its terms */
    int64_t opened_ms;
    int64_t expires_ms;
    uint32_t customer;    /* 0: the record was given back */
    uint32_t left, right; /* treap by (expires_ms, id) */
    uint32_t lines_first, lines_last, line_count;
    uint32_t keys; /* chain of the idempotency keys that wait for its end */
    uint32_t concurrency_count;
    struct slot_name concurrency[GATES_MAX];
    uint64_t quantities[METERS_MAX];
    struct hold_terms terms;
};

struct ended {
    uint64_t id;
    uint64_t changed; /* position of the fact that said so; 0: the record was given back */
    uint64_t position;
    uint64_t body_hash;
    int64_t refunded;
    int64_t until_ms; /* 0: the record was given back */
    uint32_t customer;
    uint8_t state;
    uint8_t late;
    uint8_t was_long; /* open for longer than TTL_MS_MAX, by being extended */
};

/* An idempotency key: its state in the low 8 bits of `term`, and above them when it is over (ms),
 * or while it waits the next key of its hold. With its entry in the index a key costs 52 bytes. */
enum key_state {
    KEY_FREE,  /* the record was given back */
    KEY_WAITS, /* for the end of its hold */
    KEY_KEPT,
    KEY_FILED /* as KEPT; listed for a file, and forgotten once that stands */
};
struct key {
    struct hash128 hash;
    uint64_t body_hash;
    uint64_t position;
    uint64_t term;
};
_Static_assert(sizeof(struct key) == 40, "a key takes 40 bytes");

static inline enum key_state key_state(const struct key *key)
{
    return (enum key_state)(key->term & 0xff);
}
static inline uint64_t key_term(const struct key *key)
{
    return key->term >> 8;
}
static inline void key_set(struct key *key, enum key_state state, uint64_t term)
{
    key->term = term << 8 | state;
}

/* How often equal denials were told apart in one second (crowd.c). */
struct crowd {
    uint64_t of; /* 0: nobody's yet */
    int64_t second;
    uint64_t first; /* position of the one that stands for a crowd; 0: there is none yet */
    uint32_t count;
};
#define CROWDS_LOG2 14
#define CROWDS (1u << CROWDS_LOG2)

struct trial {
    uint8_t *block;
    uint64_t size;
    uint64_t used;
    uint32_t last; /* offset + 1 of the newest record */
    uint32_t ids;  /* given to what a trial makes */
    bool is_running;
    bool forgets_due; /* nobody asks what is due next: it is not kept right */
};

/* An access key. */
#define ACCESS_KEYS_MAX 4096u
struct access {
    uint64_t hash[4]; /* SHA-256 of the secret */
    uint64_t id;      /* 0: the record was given back */
    int64_t created_ms;
    int64_t expires_ms;
    uint32_t scopes;
    uint16_t customer_length; /* 0: bound to none */
    uint16_t label_length;
    uint8_t customer[CUSTOMER_BYTES_MAX];
    uint8_t label[ACCESS_LABEL_BYTES_MAX];
};

/* What was said of a pool. Its place is part of every bucket's label that it counts, so it stays.
 */
#define POOL_STATES_MAX 255u
struct pool {
    uint32_t name;  /* symbol */
    uint8_t factor; /* in 1/FACTOR_ONE: what it runs at since since_ms */
    uint8_t override;
    uint8_t shed;
    bool has_override;
    int64_t began_ms;
    int64_t since_ms;
    int64_t base[STANDINGS]; /* what its clocks said at since_ms, in 1/256 ms */
};

/* The objects of an image (image.h); counters, remainders and lines go with their owners. */
enum image_kind {
    IMAGE_CUSTOMER,
    IMAGE_SCOPE,
    IMAGE_GRANT,
    IMAGE_HOLD,
    IMAGE_KEY,
    IMAGE_ENDED,
    IMAGE_ACCESS,
    IMAGE_KINDS
};

/* What was read of an image so far. */
struct image_load {
    int64_t at_ms;
    uint64_t counts[IMAGE_KINDS];
    bool has_head;
    bool has_end;
};

struct image {
    struct buffer *out;            /* NULL: none is being made */
    uint64_t *is_out[IMAGE_KINDS]; /* a bit for each object: written, or not there at the mark */
    uint32_t last[IMAGE_KINDS];    /* highest number taken at the mark */
    uint64_t counts[IMAGE_KINDS];  /* written */
    enum image_kind kind;          /* the walker is here */
    uint32_t next;
    struct image_load load;
};

struct engine {
    struct hash_key hash_key;
    struct engine_ceilings ceilings;
    struct engine_policy_info policy;
    struct journal_cut cut; /* the newest */
    struct trial trial;
    struct image image;

    struct slab customers, scopes, slots, rings, grants, holds, lines, keys, ended, remainders;
    struct slab access;
    struct index customer_index, scope_index, grant_index, hold_index, key_index, ended_index;
    struct index access_index;
    uint32_t *heap; /* [1..heap_count]: customers by (next_due_ms, id), a binary heap */
    uint32_t heap_count;
    uint32_t sweep_key, sweep_ended, sweep_grant, sweep_scope, sweep_customer;
    struct crowd *crowds;       /* [0..CROWDS) */
    uint64_t forgotten_through; /* the newest ending that was forgotten as the books have it */
    uint64_t access_made;       /* access keys, ever */
    uint64_t access_changes;    /* since this state is in memory: made, loaded, gone */
    uint32_t pool_count;
    struct pool *pools;        /* [1..pool_count]; [0] is all zeroes */
    uint32_t recurring_cursor; /* customers from here on may lack a recurring grant; 0: none does */

    uint32_t symbol_count;
    struct bytes *symbol_names; /* [0..SYMBOLS_MAX] */
    uint8_t *symbol_text;
    uint32_t symbol_text_used;

    struct fact *scratch;      /* due facts of a trial */
    struct fact *reading;      /* what a read tries out */
    struct evidence *evidence; /* decoded */
    struct command *scratch_command;
};

/* Blocks by number. */
static inline struct customer *customer_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->customers, number);
}
static inline struct scope *scope_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->scopes, number);
}
static inline struct slot *slot_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->slots, number);
}
static inline struct grant *grant_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->grants, number);
}
static inline struct hold *hold_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->holds, number);
}
static inline struct hold_line *hold_line_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->lines, number);
}
static inline struct key *key_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->keys, number);
}
static inline struct ended *ended_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->ended, number);
}

static inline struct access *access_at(const struct engine *engine, uint32_t number)
{
    return slab_at(&engine->access, number);
}

/* Access keys (access.c). */
uint32_t access_find(const struct engine *engine, uint64_t id); /* 0: none has it */
struct bytes access_customer(const struct access *access);
struct bytes access_label(const struct access *access);
/* False: the texts are longer than there is room. */
MUST_USE bool access_set(struct access *access, const struct access_terms *terms);
void access_apply(struct engine *engine, const struct fact *fact, const struct effect *effect);
void access_apply_end(struct engine *engine, const struct effect *effect);

/* Pools (pool.c): the place of one, 0: nothing was said of it; and what it turns away. */
uint8_t pool_find(const struct engine *engine, uint32_t name);
bool pool_sheds(const struct engine *engine, uint32_t name, enum priority priority);
void pool_apply(struct engine *engine, const struct fact *fact, const struct effect *effect);

/* Identities. */
struct hash128 customer_id(const struct engine *engine, struct bytes name);
uint64_t scope_hash(const struct engine *engine, struct bytes path); /* never 0 */
uint32_t subject_levels(const struct engine *engine, struct bytes subject,
                        uint64_t levels_out[LEVELS_MAX]); /* empty path: one level, "" */
struct hash128 key_id(const struct engine *engine, struct hash128 customer, struct bytes key);
bool key_is_taken_by(enum command_kind kind);
/* `unit`: symbol of the meter that an allowance counts, 0 for cost and for gates. Another unit is
 * another counter. */
static inline uint64_t slot_id_limit(uint32_t feature, uint32_t unit, uint32_t name, uint32_t place)
{
    return (uint64_t)unit << 46 | (uint64_t)feature << 31 | (uint64_t)name << 8 | place;
}
uint32_t slot_id_feature(uint64_t id);
uint32_t slot_id_name(uint64_t id);
/* Overrides of counts and of credits are told apart: one name may be both, in two features. */
uint64_t slot_id_override(uint32_t feature, uint32_t name, uint32_t place, bool is_credits);
uint64_t slot_id_renewal(uint32_t name);

/* Lookups; 0 when absent. */
uint32_t customer_find(const struct engine *engine, struct hash128 id);
uint32_t scope_find(const struct engine *engine, uint32_t customer, uint64_t hash);
uint32_t slot_find(const struct engine *engine, uint32_t customer, struct slot_name name);
static inline uint32_t slot_in_chain(const struct engine *engine, uint32_t first, uint64_t id)
{
    uint32_t n = first;
    while (n != 0 && slot_at(engine, n)->id != id)
        n = slot_at(engine, n)->next;
    return n;
}
uint32_t grant_find(const struct engine *engine, uint64_t id);
uint32_t hold_find(const struct engine *engine, uint64_t id);
uint32_t ended_find(const struct engine *engine, uint64_t id);
uint32_t key_find(const struct engine *engine, struct hash128 hash);
void key_forget(struct engine *engine, uint32_t number);
uint32_t symbol_find(const struct engine *engine, struct bytes name);
uint32_t remainder_find(const struct engine *engine, uint32_t customer, uint64_t version);

/* Where a crowd is counted, whoever is there now. */
struct crowd *crowd_at(const struct engine *engine, uint64_t of);

int64_t sliding_used(const struct ring *ring, int64_t per_ms, int64_t now_ms);
/* When the oldest count frees; INSTANT_NEVER when none is left. */
int64_t sliding_frees_at(const struct ring *ring, int64_t per_ms, int64_t now_ms);
int64_t sliding_resolution(int64_t per_ms);
bool sliding_is_live(int64_t slot_start_ms, int64_t per_ms, int64_t now_ms);
int64_t sliding_count(const struct ring *ring, int64_t per_ms, int64_t slot_start_ms);

/* The table of symbols; names are at most 2 * NAME_BYTES_MAX long. */
bool symbol_fits(const struct engine *engine, struct bytes name);
void symbol_add(struct engine *engine, struct bytes name);

/* Changes; each remembers what a trial must put back. */
void state_touch(struct engine *engine, void *at, uint32_t bytes);
uint32_t state_take(struct engine *engine, struct slab *slab);
void state_give(struct engine *engine, struct slab *slab, uint32_t number);
void state_index_insert(struct engine *engine, struct index *index, uint64_t hash, uint32_t number);
void state_index_remove(struct engine *engine, struct index *index, uint64_t hash, uint32_t number);
void trial_begin(struct engine *engine);
void trial_end(struct engine *engine);
/* Whether one fact more can be applied and taken back. */
bool trial_has_room(const struct engine *engine);
/* An id that no journal position is. */
uint64_t trial_id(struct engine *engine);

/* While an image is made: what must happen before anything changes, outside of trials. */
void image_keep_touched(struct engine *engine, const struct fact *fact, uint32_t customer);
void image_keep(struct engine *engine, enum image_kind kind, uint32_t number);
/* A record is taken that nobody had at the mark. */
void image_skip(struct engine *engine, const struct slab *slab, uint32_t number);

/* A counter that nobody can tell from one that was never used. A full bucket is one. */
bool slot_is_default(const struct engine *engine, const struct customer *customer,
                     const struct slot *slot, int64_t now_ms);
/* When the shapes of a customer's limits may have changed last: by a policy, or for him alone. */
int64_t limits_changed_ms(const struct engine *engine, const struct customer *customer);

/* Only what holds something, or will, is in the burn chain; a spent lot is found by its id. */
bool grant_is_linked(const struct grant *grant);
bool grant_counts_as_live(const struct grant *grant);
/* The link in the customer's burn chain that leads, or would lead, to the grant. */
uint32_t *grant_link(struct engine *engine, uint32_t customer, const struct grant *grant);
void grant_forget(struct engine *engine, uint32_t number);

/* The treap of a customer's open holds, earliest expiry first. */
void holds_insert(struct engine *engine, uint32_t customer, uint32_t hold);
void holds_remove(struct engine *engine, uint32_t customer, uint32_t hold);
uint32_t holds_first(const struct engine *engine, uint32_t customer);
/* The first behind (expires_ms, id); 0: there is none. */
uint32_t holds_after(const struct engine *engine, uint32_t customer, int64_t expires_ms,
                     uint64_t id);

/* Recomputes when the customer is next due, and its place among all. */
void due_refresh(struct engine *engine, uint32_t customer);
