/*
 * decide.h (private): one function per kind of command. Each drafts into view->fact or says why
 * not; engine.c dispatches, and handles keys and capacity around them.
 */
#pragma once

#include "engine/draw.h"

struct decision_context {
    struct engine *engine;
    const struct policy *policy;
    const struct command *command;
    struct stamp stamp;
    struct fact *fact;
    struct owner owner; /* of commands that name their customer */
    bool is_outside;    /* who is no customer yet; a trial may have let him in */
};

/* An empty draft for a stamp; lines, notes and effects beyond their counts keep their old bytes. */
void fact_clear(struct fact *fact, struct stamp stamp);

struct ruling ruling_problem(enum problem_code code, const char *field, struct bytes value,
                             const char *expected);
struct ruling ruling_fact(void);

/* Maps the command's quantities onto meters (symbols); a meter that is not among them is
 * PROBLEM_UNKNOWN_METER. `requests_default` is taken for the requests meter when unsaid. */
struct problem measure_quantities(const struct engine *engine, const struct command *command,
                                  const uint32_t meters[METERS_MAX], uint32_t meter_count,
                                  uint32_t requests_meter, uint64_t requests_default,
                                  uint64_t quantities_out[METERS_MAX]);

/* Prices an ask by the rule in force at at_ms, measures its units by that, and looks whether the
 * part that it would accept is one. */
struct problem measure_price(const struct command *command, int64_t at_ms, struct ask *ask);

/* The plan's terms for what is asked; NULL when the plan or the feature is gone, or counts another
 * unit by now, which is another feature to whoever asked before. */
const struct plan_feature *current_terms(const struct view *view, const struct ask *ask);

struct ruling decide_request(const struct decision_context *c); /* authorize, consume, check */
struct ruling decide_usage(const struct decision_context *c);
struct ruling decide_commit(const struct decision_context *c);
struct ruling decide_release(const struct decision_context *c);
struct ruling decide_extend(const struct decision_context *c);
struct ruling decide_customer(const struct decision_context *c);
struct ruling decide_grant(const struct decision_context *c);
struct ruling decide_void(const struct decision_context *c);
struct ruling decide_reset(const struct decision_context *c);
struct ruling decide_refund(const struct decision_context *c);
struct ruling decide_policy(const struct decision_context *c);
struct ruling decide_seal(const struct decision_context *c);
struct ruling decide_access(const struct decision_context *c);
struct ruling decide_pool(const struct decision_context *c);

struct ruling unknown_grant(void);

/* I1: the first answer, a conflict, RULING_KEY, or RULING_FACT: the key is new. */
struct ruling key_rule(struct engine *engine, const struct command *command, struct hash128 hash,
                       int64_t now_ms);
/* Binds it by an effect of its own, unless the fact is a denial (I2). */
void key_bind(struct engine *engine, const struct policy *policy, const struct command *command,
              struct hash128 hash, struct fact *fact);

/* A grant begins to count: it enters the balance, and a paid one repays debt first (S4). */
void grant_enter(struct view *view, uint64_t id, enum category category, int64_t nano);

/* One thing that falls due; `id`: of the hold or grant, the name of a renewal. */
struct due {
    int64_t at_ms;
    enum due_what what;
    uint64_t id;
};

/* Drafts the next due fact of a customer at the stamp, or says that none is due. */
MUST_USE bool due_draft(struct engine *engine, const struct policy *policy, struct owner owner,
                        struct stamp stamp, struct command *command_out, struct fact *fact_out);

/* Applies, in a trial, what the customer has due at now_ms: all of it, unless that is more facts
 * than facts_max or than a trial can take back. Says how many facts it were. */
uint32_t due_settle_trial(struct engine *engine, const struct policy *policy, struct hash128 id,
                          int64_t now_ms, uint32_t facts_max);

/* Applies, in a trial, one thing at the moment at which it falls due, whatever else is due by then.
 * False: there is no room for it. */
MUST_USE bool due_apply_trial(struct engine *engine, const struct policy *policy,
                              struct owner owner, struct due due);

/* Reports what was refused, and how long to wait for it. Drafts nothing but its place in a crowd.
 */
struct ruling deny(const struct decision_context *c, struct view *view,
                   const struct plan_feature *terms, const struct ask *ask,
                   struct evaluation *evaluation);
/* Of a denial whose report is filled: counts it, or says whose crowd it joins (crowd.c). */
struct ruling crowd_count(struct view *view, uint32_t feature);

/* What became of a decision that ended. */
struct past {
    bool is_known;
    bool is_cut; /* not known, because its entry is kept no longer */
    struct owner owner;
    struct ending ending;
};
/* Of the decision that the command names, which is no open hold; false: the ruling asks for
 * evidence. */
MUST_USE bool recall_past(const struct decision_context *c, struct past *past_out,
                          struct ruling *ruling_out);
/* The same of a hold, as far as it is remembered (H6). */
MUST_USE bool recall_remembered(const struct decision_context *c, struct past *past_out,
                                struct ruling *ruling_out);
/* What is not known: what was expected instead, unless its entry was there once. */
#define RECALL_EXPECTED_CHARGED "the id of a decision that was charged"
#define RECALL_EXPECTED_REMEMBERED "the id of a decision that is still remembered"
struct ruling recall_unknown(const struct past *past, const char *expected);
/* All that is said of what the command names, or of the fact at a position alone; NULL: the ruling
 * asks for it. */
const struct evidence *recall_whole(const struct decision_context *c, struct ruling *ruling_out);
const struct evidence *recall_origin(const struct decision_context *c, uint64_t position,
                                     struct ruling *ruling_out);

/* Fills the report of a refusal or a grant of one ask. */
void report_evaluation(struct report *report, const struct evaluation *evaluation,
                       const struct ask *ask);

/* The honest retry_after of S8, for reasons that carry one: tries time out and takes it back, the
 * ask priced anew where it is not quoted. The view's draft must be finished; `evaluation` gets the
 * limit that binds last. -1: never. Past the ceilings of retry.c: a later moment at which it
 * passes, or one before which nothing does. */
int64_t retry_search(const struct decision_context *c, const struct ask *ask,
                     const uint64_t *levels, uint32_t level_count, struct evaluation *evaluation);
