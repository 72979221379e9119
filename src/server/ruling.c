/*
 * ruling.c: one command through the engine: due facts first, then decide, journal, apply, render.
 */
#include "server/loop_inner.h"

/* A command may ask for its past more than once (the decision, then what settled it), and for its
 * key. */
enum { RECALLS_MAX = 6 };

/* It lives until the next one is encoded. */
static struct entry encode_entry(struct loop *loop, const struct command *command,
                                 const struct fact *fact)
{
    loop->command_bytes.used = 0;
    loop->fact_bytes.used = 0;
    command_encode(command, &loop->command_bytes);
    fact_encode(fact, &loop->fact_bytes);
    ENSURE(!loop->command_bytes.overflowed && !loop->fact_bytes.overflowed);
    return (struct entry){.at_ms = fact->at_ms,
                          .command = buffer_bytes(&loop->command_bytes),
                          .fact = buffer_bytes(&loop->fact_bytes)};
}

static void journal_and_apply(struct loop *loop, const struct command *command)
{
    batch_put(loop->open, encode_entry(loop, command, &loop->fact));
    metrics_fact(&loop->metrics, command, &loop->fact);
    engine_apply(loop->parts.engine, &loop->fact);
}

void loop_journal_seal(struct loop *loop, const struct command *seal)
{
    const struct ruling ruling =
        engine_decide(loop->parts.engine, NULL, seal, loop_stamp(loop), &loop->fact);
    ENSURE(ruling.kind == RULING_FACT);
    journal_and_apply(loop, seal);
}

static const struct policy *policy_in_force(const struct loop *loop)
{
    return loop->parts.policies->current->policy;
}

/* False: the batch is full before all was done. */
static bool run_due_for(struct loop *loop, const struct command *command)
{
    const struct policy *policy = policy_in_force(loop);
    if (policy == NULL) return true;
    while (engine_due_for(loop->parts.engine, policy, command, loop_stamp(loop), &loop->due_command,
                          &loop->fact)) {
        journal_and_apply(loop, &loop->due_command);
        if (!batch_has_room(loop->open)) return false;
    }
    return true;
}

bool loop_run_due(struct loop *loop, uint32_t facts_max, uint32_t *done_out)
{
    const struct policy *policy = policy_in_force(loop);
    *done_out = 0;
    if (policy == NULL) return true;
    while (engine_due_at(loop->parts.engine) <= loop->now_ms) {
        if (*done_out == facts_max) return true;
        if (!batch_has_room(loop->open)) return false;
        if (!engine_due(loop->parts.engine, policy, loop_stamp(loop), &loop->due_command,
                        &loop->fact))
            return true;
        journal_and_apply(loop, &loop->due_command);
        ++*done_out;
    }
    return true;
}

/* An entry whose batch is not durable yet. */
static bool find_in_memory(const struct loop *loop, uint64_t position, struct entry *entry_out)
{
    return batch_entry(loop->open, position, entry_out) ||
           (loop->in_flight != NULL && batch_entry(loop->in_flight, position, entry_out));
}

static bool may_be_durable(const struct loop *loop, uint64_t position)
{
    const uint64_t sequence = position_sequence(position);
    return sequence != 0 && sequence <= loop->durable_sequence;
}

/* The engine knows ids and keys, not what the contract calls them. */
static const char *field_meant(enum problem_code code)
{
    static const struct {
        enum problem_code code;
        const char *field;
    } fields[] = {
        {PROBLEM_UNKNOWN_DECISION,     "decision_id"},
        {  PROBLEM_HOLD_COMMITTED,     "decision_id"},
        {   PROBLEM_HOLD_RELEASED,     "decision_id"},
        {    PROBLEM_HOLD_EXPIRED,     "decision_id"},
        {     PROBLEM_NOT_SETTLED,     "decision_id"},
        {   PROBLEM_UNKNOWN_GRANT,        "grant_id"},
        {PROBLEM_UNKNOWN_CUSTOMER,        "customer"},
        {    PROBLEM_KEY_CONFLICT, "idempotency_key"},
    };
    for (size_t i = 0; i < COUNT_OF(fields); ++i)
        if (fields[i].code == code) return fields[i].field;
    return NULL;
}

static void render_problem(struct loop *loop, const struct problem *problem, struct buffer *out,
                           unsigned *status_out)
{
    struct problem named = *problem;
    if (named.field == NULL) named.field = field_meant(problem->code);
    if (loop->within != NULL)
        wire_render_operation_problem(loop->within, &named, out);
    else
        wire_answer_problem(loop->form, &named, loop->request_id, out);
    *status_out = wire_problem_status(problem->code);
    loop_note_problem(loop, problem->code, loop->request_id);
}

static void render_fact(struct loop *loop, const struct command *command, struct buffer *out)
{
    struct engine *engine = loop->parts.engine;
    const struct fact *fact = &loop->fact;
    if (loop->form == WIRE_FORM_JSON && command->kind == COMMAND_CUSTOMER &&
        engine_customer(engine, command->customer, &loop->customer)) {
        engine_customer_limits(engine, loop->parts.policies->current->policy, command->customer,
                               &loop->customer);
        wire_render_customer(command->customer, &loop->customer, engine_symbols(engine), out);
        return;
    }
    wire_answer_report(loop->form, &fact->report, fact->at_ms, engine_symbols(engine), out,
                       &loop->fields);
}

/* Who did what; on a server without keys: what. A policy from the file is nobody's act. */
static void log_act(const struct command *command, const struct report *report,
                    struct bytes request_id)
{
    static const char *const acts[] = {
        [COMMAND_CUSTOMER] = "customer", [COMMAND_GRANT] = "grant",   [COMMAND_VOID] = "void",
        [COMMAND_RESET] = "reset",       [COMMAND_REFUND] = "refund", [COMMAND_POLICY] = "policy",
        [COMMAND_ACCESS] = "key",        [COMMAND_POOL] = "pool"};
    static const char letters[] = {[COMMAND_GRANT] = 'g',
                                   [COMMAND_VOID] = 'g',
                                   [COMMAND_REFUND] = 'd',
                                   [COMMAND_ACCESS] = 'k',
                                   [COMMAND_POOL] = 0};
    const enum command_kind kind = command->kind;
    if (!command_has_actor(kind) || (kind == COMMAND_POLICY && command->from_file)) return;
    char id[ID_TEXT_SIZE] = "";
    if (letters[kind] != 0) id_format(letters[kind], report->id, id);
    struct log_line line = log_begin(LOG_INFO, "admin_act");
    if (command->actor.length != 0) log_bytes(&line, "actor", command->actor);
    log_text(&line, "act",
             kind == COMMAND_ACCESS && command->target != 0 ? "key_revoke" : acts[kind]);
    if (command->customer.length != 0) log_bytes(&line, "customer", command->customer);
    if (kind == COMMAND_POOL) log_bytes(&line, "pool", command->pool.name);
    if (id[0] != '\0') log_text(&line, "id", id);
    if (request_id.length != 0) log_bytes(&line, "request_id", request_id);
    log_end(&line);
}

static enum ruled answer_internal(struct loop *loop, struct buffer *out, unsigned *status_out)
{
    const struct problem problem = {.code = PROBLEM_INTERNAL};
    render_problem(loop, &problem, out, status_out);
    return RULED;
}

/* A key that names an entry which did not bind it: what it was found in is of another moment than
 * the journal, or damaged. Neither is that entry's answer this one's, nor may it be decided again.
 */
static enum ruled answer_misplaced(struct loop *loop, uint64_t position, struct buffer *out,
                                   unsigned *status_out)
{
    harm_key(&loop->parts.desk->harm);
    struct log_line line = log_begin(LOG_ERROR, "key_misplaced");
    log_number(&line, "sequence", (int64_t)position_sequence(position));
    log_number(&line, "entry", (int64_t)position_index(position));
    log_text(&line, "detail", "the entry that an idempotency key names did not bind it");
    if (loop->request_id.length != 0) log_bytes(&line, "request_id", loop->request_id);
    log_end(&line);
    return answer_internal(loop, out, status_out);
}

/* The first answer again: a pure function of the entry, which must be the one that bound the key.
 */
static enum ruled replay(struct loop *loop, const struct desk_question *question,
                         const struct desk_job *brought, struct buffer *out, unsigned *status_out)
{
    static const struct hash128 NO_KEY = {
        {0, 0}
    };
    const bool has_key = !hash_128_equal(question->key, NO_KEY);
    const uint64_t position = question->position;
    struct entry entry;
    if (!find_in_memory(loop, position, &entry)) {
        if (!may_be_durable(loop, position))
            return has_key ? answer_misplaced(loop, position, out, status_out)
                           : answer_internal(loop, out, status_out);
        if (brought == NULL || brought->kind != DESK_FETCH ||
            brought->question.position != position) {
            loop->question = *question;
            return RULED_FETCH;
        }
        if (has_key && (brought->result == DESK_MISSING || brought->result == DESK_OLD))
            return answer_misplaced(loop, position, out, status_out);
        if (brought->result != DESK_FOUND) return answer_internal(loop, out, status_out);
        entry = (struct entry){.at_ms = brought->at_ms, .fact = brought->fact};
    }
    if (!fact_decode(entry.fact, &loop->fact)) return answer_internal(loop, out, status_out);
    if (has_key && !key_is_bound_by(&loop->fact, question->key))
        return answer_misplaced(loop, position, out, status_out);
    wire_answer_report(loop->form, &loop->fact.report, entry.at_ms,
                       engine_symbols(loop->parts.engine), out, &loop->fields);
    *status_out = 200;
    ++loop->metrics.replays;
    return RULED;
}

/* Evidence from an entry that is still in memory, or of there being none. Nothing became of it that
 * the state would not remember. */
static struct bytes gather_here(struct loop *loop, const struct desk_question *question,
                                const struct entry *entry)
{
    struct evidence *evidence = &loop->evidence;
    struct fact *fact = &loop->fact;
    evidence_clear(evidence);
    evidence->is_whole = question->recall == RECALL_WHOLE;
    evidence->origin = question->position;
    if (entry != NULL) {
        const bool is_read = fact_decode(entry->fact, fact);
        ENSURE(is_read);
        fact->position = question->position;
        if (evidence->is_whole)
            evidence_add_decision(evidence, question->id, fact);
        else
            evidence_add_origin(evidence, question->id, fact);
    }
    struct buffer out = buffer_over(loop->evidence_block, sizeof(loop->evidence_block));
    evidence_encode(evidence, &out);
    ENSURE(!out.overflowed);
    return buffer_bytes(&out);
}

static bool is_answer_to(const struct desk_job *brought, const struct desk_question *question)
{
    return brought != NULL && brought->kind == DESK_RECALL &&
           brought->question.position == question->position &&
           brought->question.recall == question->recall && brought->question.id == question->id;
}

/* And was too old: the state had forgotten more by then. */
static bool was_used(const struct command *command, const struct desk_job *brought)
{
    return command->evidence.length != 0 && command->evidence.at == brought->evidence.at;
}

/* Neither the journal nor the books have it any more. */
static struct problem unknown_of_old(const struct command *command)
{
    if (command->kind == COMMAND_VOID)
        return (struct problem){.code = PROBLEM_UNKNOWN_GRANT, .expected = "the id of a grant"};
    return (struct problem){.code = PROBLEM_UNKNOWN_DECISION, .expected = RECALL_EXPECTED_KEPT};
}

/* What the engine asked to know again. */
static enum ruled recall(struct loop *loop, struct command *command, const struct desk_job *brought,
                         struct ruling *ruling)
{
    const struct desk_question question = {.kind = DESK_RECALL,
                                           .position = ruling->position,
                                           .recall = ruling->recall,
                                           .id = command->target};
    struct entry entry;
    if (find_in_memory(loop, question.position, &entry)) {
        command->evidence = gather_here(loop, &question, &entry);
    } else if (!may_be_durable(loop, question.position)) {
        command->evidence = gather_here(loop, &question, NULL);
    } else if (!is_answer_to(brought, &question) ||
               (brought->result == DESK_FOUND && was_used(command, brought))) {
        loop->question = question;
        return RULED_FETCH;
    } else if (brought->result == DESK_FOUND) {
        command->evidence = brought->evidence;
    } else {
        *ruling = (struct ruling){.kind = RULING_PROBLEM,
                                  .problem = brought->result == DESK_OLD
                                                 ? unknown_of_old(command)
                                                 : (struct problem){.code = PROBLEM_INTERNAL}};
        return RULED;
    }
    /* Only now is it known whose the command is. */
    if (!run_due_for(loop, command)) return RULED_BLOCKED;
    *ruling = engine_decide(loop->parts.engine, policy_in_force(loop), command, loop_stamp(loop),
                            &loop->fact);
    return RULED;
}

/* A denial that is told the id of its crowd's first, and counted; where there is no room for it
 * among those that wait for the end of their second, by an entry of its own. */
static void join_crowd(struct loop *loop, const struct command *command, uint64_t first)
{
    metrics_crowded(&loop->metrics, &loop->fact);
    const uint64_t hold = command->kind == COMMAND_EXTEND ? command->target : 0;
    if (crowds_join(&loop->crowds, first)) return;
    const struct entry entry = encode_entry(loop, command, &loop->fact);
    if (!crowds_open(&loop->crowds, first, &entry, hold)) batch_put(loop->open, entry);
}

bool loop_tell_crowds(struct loop *loop)
{
    struct entry entry;
    while (crowds_are_open(&loop->crowds)) {
        if (!batch_has_room(loop->open)) return false;
        const bool is_taken =
            crowds_take(&loop->crowds, loop->now_ms, loop->open->sequence, &entry);
        ENSURE(is_taken);
        batch_put(loop->open, entry);
    }
    return true;
}

/* Where a key is kept that the state lacks, as far as filters and an earlier look can tell; false:
 * the desk must look. Files may have come since it looked, with keys that left the state: only
 * those are asked again. */
static bool seek_key(struct loop *loop, struct command *command, struct hash128 hash,
                     const struct key_answer *looked)
{
    uint64_t after = 0;
    command->key_elsewhere = KEY_NOWHERE;
    if (looked != NULL && looked->found != KEY_LOOK_NONE && hash_128_equal(looked->hash, hash)) {
        after = looked->through;
        if (looked->found == KEY_LOOK_FOUND && loop->now_ms < looked->kept.until_ms) {
            command->key_elsewhere = KEY_FOUND;
            command->key_kept = looked->kept;
            return true;
        }
    }
    return !keys_may_have(loop->parts.keys, hash, after, &loop->key_question);
}

static enum ruled rule_with_key(struct loop *loop, struct command *command,
                                const struct key_answer *looked, struct ruling *ruling)
{
    if (looked != NULL && looked->found == KEY_LOOK_FAILED &&
        hash_128_equal(looked->hash, ruling->key)) {
        *ruling = (struct ruling){.kind = RULING_PROBLEM, .problem = {.code = PROBLEM_INTERNAL}};
        return RULED;
    }
    if (!seek_key(loop, command, ruling->key, looked)) return RULED_ASK_KEY;
    *ruling = engine_decide(loop->parts.engine, policy_in_force(loop), command, loop_stamp(loop),
                            &loop->fact);
    return RULED;
}

/* Most keys are new, and their filters say so: then one decision is enough. */
static void expect_new_key(struct loop *loop, struct command *command)
{
    command->key_elsewhere = loop->parts.keys == NULL ? KEY_NOWHERE : KEY_UNSOUGHT;
    if (loop->parts.keys != NULL && command->has_key_hash &&
        !keys_may_have(loop->parts.keys, command->key_hash, 0, &loop->key_question))
        command->key_elsewhere = KEY_NOWHERE;
}

enum ruled loop_rule(struct loop *loop, struct command *command, const struct exchange *exchange,
                     struct buffer *out, unsigned *status_out)
{
    const struct desk_job *brought = exchange == NULL ? NULL : exchange->job;
    const struct key_answer *looked = exchange == NULL ? NULL : &exchange->key;
    command->evidence = BYTES_NONE;
    loop->fields.policy_length = loop->fields.limit_length = 0;
    expect_new_key(loop, command);
    if (!batch_has_room(loop->open)) return RULED_BLOCKED;
    /* What a sticky answer was does not change; other evidence would have to be fetched again. */
    if (brought != NULL && brought->kind == DESK_FETCH)
        return replay(loop, &brought->question, brought, out, status_out);
    if (!run_due_for(loop, command)) return RULED_BLOCKED;

    struct ruling ruling = engine_decide(loop->parts.engine, policy_in_force(loop), command,
                                         loop_stamp(loop), &loop->fact);
    for (unsigned i = 0; ruling.kind == RULING_RECALL || ruling.kind == RULING_KEY; ++i) {
        ENSURE(i < RECALLS_MAX);
        const enum ruled ruled = ruling.kind == RULING_KEY
                                     ? rule_with_key(loop, command, looked, &ruling)
                                     : recall(loop, command, brought, &ruling);
        if (ruled != RULED) return ruled;
    }
    *status_out = 200;
    switch (ruling.kind) {
    case RULING_FACT:
        journal_and_apply(loop, command);
        log_act(command, &loop->fact.report, loop->request_id);
        render_fact(loop, command, out);
        /* What the command itself brought on, a new plan's recurring grants above all; where the
         * batch is full, it waits for the customer's next command. */
        (void)(batch_has_room(loop->open) && run_due_for(loop, command));
        return RULED;
    case RULING_CROWD:
        join_crowd(loop, command, ruling.position);
        render_fact(loop, command, out);
        return RULED;
    case RULING_ANSWER:
        metrics_answer(&loop->metrics, command, &loop->fact);
        render_fact(loop, command, out);
        return RULED;
    case RULING_REPLAY:
        return replay(loop,
                      &(struct desk_question){
                          .kind = DESK_FETCH, .position = ruling.position, .key = ruling.key},
                      brought, out, status_out);
    case RULING_PROBLEM:
        render_problem(loop, &ruling.problem, out, status_out);
        return RULED;
    case RULING_RECALL:
    case RULING_KEY:
        break;
    }
    ENSURE(false);
    return RULED;
}
