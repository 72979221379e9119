/*
 * replay.c: does the program still decide what it promised? Every command of the journal is decided
 * again, over the state that the facts before it make, by the policy that was in force, at its
 * stamp; the fact that comes of it must be the journaled one, byte for byte. What was due is
 * drafted again too, and nothing may have been due that the journal does not have.
 *
 * The facts that are applied are the journaled ones, so that a difference is told where it is and
 * not by what follows from it.
 *
 * Two things are not the command's doing and are taken from the journal: where an idempotency key
 * that the state had given to files was found (a fact means: nowhere), and how many denials joined
 * a crowd. That entry says what one of them would have been, and comes at the end of their second,
 * over another state: what is proved of it is that such a crowd ran then.
 *
 * Who decided had forgotten more than is forgotten here: what it was told again is in the command
 * as evidence, and must lead to the same fact as what is still known here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "proof/snapfiles.h"
#include "proof/twin.h"
#include "proof/verdict.h"

#define JOURNAL_FILE "journal.db"
#define ADVICE_OTHER                                                                              \
    "Run weir verify: where that is clean, the program that wrote the journal decided otherwise " \
    "than this one"
#define ADVICE_MEMORY "Run the command with a larger --memory, the server's or more"

/* Two rooms change roles, as the next policy is compiled while the one before may still be asked.
 */
struct policy_place {
    void *block; /* POLICY_ARENA_BYTES; NULL: none yet */
    const struct policy *policy;
};

struct replay {
    struct proof_verdict *verdict;
    struct place place;
    struct walk walk;
    struct twin twin;
    struct policy_place policies[2];
    unsigned current; /* of policies; its policy is NULL until the first is installed */

    struct command *command; /* a copy that may be filled in, or what was due */
    struct fact *fact;       /* decided again */
    struct buffer command_bytes;
    struct buffer fact_bytes;

    uint64_t decided;
    uint64_t due;
    uint64_t installed;
    uint64_t skipped; /* before the snapshot */
    uint64_t others;  /* of another version of the journal: applied, not judged */
};

/* --- findings -------------------------------------------------------------------------------- */

static bool find_in_entry(const struct replay *r, const struct walked *walked, const char *what,
                          const char *advice)
{
    char id[ID_TEXT_SIZE];
    id_format('d', walked->position, id);
    verdict_place(r->verdict, "batch %" PRIu64 ", entry %" PRIu32 " (%s)",
                  position_sequence(walked->position), position_index(walked->position), id);
    return verdict_find(r->verdict, JOURNAL_FILE, what, advice);
}

static void describe(const struct fact *fact, char text_out[PROOF_TEXT_SIZE])
{
    static const char *const OUTCOMES[] = {"no decision", "allow", "partial", "deny"};
    const struct report *report = &fact->report;
    (void)snprintf(text_out, PROOF_TEXT_SIZE,
                   "%s (%s), %" PRIu64 " units, charged %" PRId64 " nano-credits, %" PRIu32
                   " lines, %" PRIu32 " effects",
                   OUTCOMES[report->outcome], reason_code(report->reason), report->units_allowed,
                   report->charged, report->line_count, fact->effect_count);
}

static size_t first_difference(struct bytes left, struct bytes right)
{
    size_t at = 0;
    while (at < left.length && at < right.length && left.at[at] == right.at[at])
        ++at;
    return at;
}

static bool find_other_fact(const struct replay *r, const struct walked *walked)
{
    char journaled[PROOF_TEXT_SIZE];
    char again[PROOF_TEXT_SIZE];
    const struct bytes bytes = buffer_bytes(&r->fact_bytes);
    const size_t at = first_difference(walked->entry.fact, bytes);
    describe(walked->fact, journaled);
    describe(r->fact, again);
    verdict_expected(r->verdict, "%s", journaled);
    verdict_found(r->verdict, "%s; the facts part at byte %zu of %zu", again, at,
                  walked->entry.fact.length);
    return find_in_entry(r, walked, "deciding its command again gives another fact", ADVICE_OTHER);
}

static bool find_other_ruling(const struct replay *r, const struct walked *walked,
                              const struct ruling *ruling)
{
    static const char *const RULINGS[] = {
        [RULING_FACT] = "a fact",
        [RULING_ANSWER] = "an answer that changes nothing",
        [RULING_CROWD] = "an answer that joins a crowd",
        [RULING_REPLAY] = "the answer of an earlier entry: its key was taken",
        [RULING_RECALL] = "a question for evidence that the command does not bring",
        [RULING_KEY] = "a question for a key",
        [RULING_PROBLEM] = "a refusal",
    };
    if (ruling->kind == RULING_PROBLEM && ruling->problem.code == PROBLEM_CAPACITY)
        return find_in_entry(r, walked, "the state has no room for deciding it again",
                             ADVICE_MEMORY);
    verdict_expected(r->verdict, "the fact that the journal has");
    verdict_found(r->verdict, "%s", RULINGS[ruling->kind]);
    return find_in_entry(r, walked, "deciding its command again gives no fact", ADVICE_OTHER);
}

/* --- policies -------------------------------------------------------------------------------- */

static bool find_complaint(const struct replay *r, const struct policy_complaints *complaints)
{
    verdict_found(r->verdict, "line %" PRIu32 ": %s", complaints->at[0].line,
                  complaints->at[0].text);
    return verdict_find(r->verdict, JOURNAL_FILE, "a policy that was installed does not compile",
                        ADVICE_OTHER);
}

/* Into the place that is not in force. */
static const struct policy *compile(struct replay *r, struct bytes yaml)
{
    static struct policy_complaints complaints;
    struct policy_place *place = &r->policies[1 - r->current];
    const struct symbols known = engine_symbols(r->twin.engine);
    if (place->block != NULL) memory_release(place->block, POLICY_ARENA_BYTES);
    place->block = memory_reserve(POLICY_ARENA_BYTES);
    ENSURE(place->block != NULL);
    struct arena arena = arena_over(place->block, POLICY_ARENA_BYTES);
    place->policy = policy_compile(&arena, yaml, &known, &complaints);
    if (place->policy == NULL) (void)find_complaint(r, &complaints);
    return place->policy;
}

static const struct policy *policy_in_force(const struct replay *r)
{
    return r->policies[r->current].policy;
}

/* --- one entry ------------------------------------------------------------------------------- */

static bool is_journaled_fact(struct replay *r, const struct walked *walked)
{
    r->fact_bytes.used = 0;
    fact_encode(r->fact, &r->fact_bytes);
    ENSURE(!r->fact_bytes.overflowed);
    return bytes_equal(buffer_bytes(&r->fact_bytes), walked->entry.fact) ||
           find_other_fact(r, walked);
}

static bool is_journaled_command(struct replay *r, const struct walked *walked, const char *what)
{
    r->command_bytes.used = 0;
    command_encode(r->command, &r->command_bytes);
    ENSURE(!r->command_bytes.overflowed);
    return bytes_equal(buffer_bytes(&r->command_bytes), walked->entry.command) ||
           find_in_entry(r, walked, what, ADVICE_OTHER);
}

static struct stamp stamp_of(const struct walked *walked)
{
    return (struct stamp){.now_ms = walked->at_ms, .position = walked->position};
}

static bool draft_due(struct replay *r, const struct walked *walked)
{
    ++r->due;
    if (policy_in_force(r) == NULL ||
        !engine_due_again(r->twin.engine, policy_in_force(r), walked->command, stamp_of(walked),
                          r->command, r->fact))
        return find_in_entry(r, walked, "nothing was due then", ADVICE_OTHER);
    return is_journaled_command(r, walked, "something else was due first") &&
           is_journaled_fact(r, walked);
}

static bool check_nothing_due(struct replay *r, const struct walked *walked)
{
    const struct policy *policy = policy_in_force(r);
    static struct command due;
    if (policy == NULL ||
        !engine_due_for(r->twin.engine, policy, walked->command, stamp_of(walked), &due, r->fact))
        return true;
    verdict_expected(r->verdict, "what its customer had due as an entry before it");
    return find_in_entry(r, walked, "something was due that the journal does not have",
                         ADVICE_OTHER);
}

static bool decide(struct replay *r, const struct walked *walked)
{
    ++r->decided;
    *r->command = *walked->command;
    if (!is_journaled_command(r, walked, "its command is not written as it is read")) return false;
    if (walked->fact->report.crowd != 0)
        return engine_crowd_runs(r->twin.engine, walked->command, walked->fact, walked->at_ms) ||
               find_in_entry(r, walked, "it counts denials of a crowd that there was not",
                             ADVICE_OTHER);
    if (!check_nothing_due(r, walked)) return false;
    if (r->command->kind == COMMAND_POLICY) {
        r->command->compiled = compile(r, r->command->yaml);
        if (r->command->compiled == NULL) return false;
    }
    r->command->key_elsewhere = KEY_NOWHERE;
    const struct ruling ruling =
        engine_decide(r->twin.engine, policy_in_force(r), r->command, stamp_of(walked), r->fact);
    if (ruling.kind != RULING_FACT) return find_other_ruling(r, walked, &ruling);
    return is_journaled_fact(r, walked);
}

/* What was journaled is what happens, whatever came of deciding it again. */
static bool apply(struct replay *r, const struct walked *walked)
{
    if (!twin_apply(&r->twin, walked)) return false;
    if (walked->command->kind != COMMAND_POLICY) return true;
    if (r->policies[1 - r->current].policy == NULL && compile(r, walked->command->yaml) == NULL)
        return false;
    r->current = 1 - r->current;
    r->policies[1 - r->current].policy = NULL;
    ++r->installed;
    return true;
}

static bool on_entry(void *self, const struct walked *walked)
{
    struct replay *r = self;
    if (r->walk.header.sequence <= r->twin.sequence) {
        ++r->skipped;
        return true;
    }
    if (r->walk.header.version != JOURNAL_VERSION) {
        ++r->others;
        return apply(r, walked);
    }
    const bool is_same =
        walked->command->kind == COMMAND_DUE ? draft_due(r, walked) : decide(r, walked);
    return is_same && apply(r, walked);
}

static bool on_batch(void *self, const struct batch_header *header)
{
    struct replay *r = self;
    if (header->sequence <= r->twin.sequence) return true;
    twin_sweep(&r->twin, header->last_ms, header->entries);
    r->twin.sequence = header->sequence;
    return true;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* From the journal's beginning, else from the oldest snapshot that what is left of it goes on from.
 */
static bool start(struct replay *r)
{
    struct snapshot_list list;
    bool has_state = false;
    if (!snapshot_list(r->place.directory, &list)) list.count = 0;
    if (!twin_begin(&r->twin, &r->walk, r->place.directory, &list, &has_state)) return false;
    if (r->twin.yaml.length > 0 && compile(r, r->twin.yaml) == NULL) return false;
    if (r->twin.yaml.length > 0) r->current = 1 - r->current;
    if (r->twin.sequence > 0)
        verdict_note(r->verdict,
                     "the journal's beginning was cut: decided again from batch %" PRIu64
                     " on, where the snapshot stands",
                     r->twin.sequence + 1);
    if (has_state) return true;
    return verdict_find(r->verdict, JOURNAL_FILE, WHAT_NO_STATE, ADVICE_NO_STATE);
}

static void *take_memory(size_t bytes)
{
    void *block = malloc(bytes);
    ENSURE(block != NULL);
    return block;
}

static bool run(struct replay *r, const struct proof_parts *parts)
{
    if (!place_open(&r->place, parts->directory, r->verdict)) return false;
    if (!walk_open(&r->walk, &r->place, parts, r->verdict)) return false;
    r->command = take_memory(sizeof(*r->command));
    r->fact = take_memory(sizeof(*r->fact));
    r->command_bytes =
        buffer_over(take_memory((size_t)COMMAND_BYTES_MAX), (size_t)COMMAND_BYTES_MAX);
    r->fact_bytes = buffer_over(take_memory((size_t)FACT_BYTES_MAX), (size_t)FACT_BYTES_MAX);
    return twin_start(&r->twin, parts->memory_bytes, r->walk.journal->key, r->verdict) &&
           start(r) && walk_run(&r->walk, r, on_entry, on_batch);
}

static void count_all(const struct replay *r, struct proof_verdict *verdict)
{
    verdict_count(verdict, "journal", "batches", r->walk.batches);
    verdict_count(verdict, "journal", "entries", r->walk.entries);
    verdict_count(verdict, "engine", "commands decided again", r->decided);
    verdict_count(verdict, "engine", "due facts drafted again", r->due);
    verdict_count(verdict, "engine", "policies compiled", r->installed);
    if (r->others == 0) return;
    verdict_note(verdict,
                 "%" PRIu64 " entries of another version of the journal were applied, not judged",
                 r->others);
}

void proof_replay(const struct proof_parts *parts, struct proof_verdict *verdict_out)
{
    struct replay r = {.verdict = verdict_out};
    *verdict_out = (struct proof_verdict){.is_clean = true};
    const bool is_whole = run(&r, parts);
    ENSURE(is_whole == verdict_out->is_clean);
    count_all(&r, verdict_out);
    for (unsigned i = 0; i < COUNT_OF(r.policies); ++i)
        if (r.policies[i].block != NULL) memory_release(r.policies[i].block, POLICY_ARENA_BYTES);
    if (r.twin.view != NULL) twin_end(&r.twin);
    walk_close(&r.walk);
    free(r.command);
    free(r.fact);
    free(r.command_bytes.at);
    free(r.fact_bytes.at);
    if (r.place.directory != NULL) place_close(&r.place, verdict_out);
}
