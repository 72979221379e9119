/*
 * operations.c: POST /v1/batch, and POST /v1/usage with a list. Not atomic (SEMANTICS A5): each
 * operation is parsed, stamped and decided when its turn comes, and has its own result or problem.
 * Between two of them the exchange may wait for room in a batch or for the desk; its operations
 * keep their place and what was answered so far.
 */
#include "server/loop_inner.h"

/* What one more operation may add, and what the rest must have room to be refused in. */
#define ANSWER_ROOM ((size_t)WIRE_REPORT_BYTES_MAX + (size_t)WIRE_OPERATIONS_MAX * 1024)

static struct operations *take_run(struct loop *loop)
{
    for (unsigned i = 0; i < LOOP_RUNS_MAX; ++i) {
        struct operations *run = &loop->runs[i];
        if (run->is_taken) continue;
        run->is_taken = true;
        run->count = 0;
        run->next = 0;
        run->answer.used = 0;
        arena_reset(&run->arena);
        return run;
    }
    return NULL;
}

/* False: answered. */
static bool begin(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    struct operations *run = exchange->run;
    const bool is_fine =
        exchange->route->call == CALL_BATCH
            ? wire_parse_batch(exchange->body, &run->arena, &run->at, &run->count, &asked->problem)
            : wire_parse_list(loop_usage_form(exchange).call, exchange->body, &run->arena, &run->at,
                              &run->count, &asked->problem);
    if (!is_fine) {
        loop_answer_problem(loop, exchange, &asked->problem, RELEASE_AT_ONCE);
        return false;
    }
    exchange->is_under_way = true;
    wire_batch_begin(&run->answer);
    return true;
}

/* A refusal in place of a result. */
static void put_problem(struct loop *loop, struct operations *run, const struct problem *problem)
{
    loop_note_problem(loop, problem->code, loop->request_id);
    wire_batch_next(&run->answer);
    wire_render_problem(problem, BYTES_NONE, &run->answer);
    ++run->next;
}

static enum ruled rule_next(struct loop *loop, struct exchange *exchange)
{
    struct operations *run = exchange->run;
    struct asked *asked = &loop->operation;
    const size_t start = run->answer.used;
    const struct problem too_large = {.code = PROBLEM_TOO_LARGE,
                                      .expected = "fewer operations: the answer is full"};
    arena_reset(&asked->arena);
    if (run->answer.size - run->answer.used < ANSWER_ROOM) {
        put_problem(loop, run, &too_large);
        return RULED;
    }
    if (!wire_parse_operation(&run->at[run->next], &asked->arena, &asked->command,
                              &asked->problem)) {
        put_problem(loop, run, &asked->problem);
        return RULED;
    }
    if (!loop_admit_command(loop, exchange, asked)) {
        wire_batch_next(&run->answer);
        wire_render_operation_problem(&run->at[run->next++], &asked->problem, &run->answer);
        return RULED;
    }
    engine_prefetch(loop->parts.engine, &asked->command);
    unsigned status = 0;
    wire_batch_next(&run->answer);
    loop->within = &run->at[run->next];
    const enum ruled ruled = loop_rule(loop, &asked->command, exchange, &run->answer, &status);
    loop->within = NULL;
    if (ruled != RULED) {
        run->answer.used = start;
        return ruled;
    }
    loop_give_job(loop, exchange);
    ++run->next;
    return RULED;
}

enum progress loop_run_operations(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    if (exchange->run == NULL) {
        exchange->run = take_run(loop);
        if (exchange->run == NULL)
            return loop_wait_in_line(loop, exchange, &loop->run_waiting, WAITING_RUNS_MAX);
        if (!begin(loop, asked)) return PROGRESS_DONE;
    }
    struct operations *run = exchange->run;
    while (run->next < run->count) {
        switch (rule_next(loop, exchange)) {
        case RULED:
            break;
        case RULED_BLOCKED:
            return PROGRESS_BLOCKED;
        case RULED_FETCH:
            return loop_fetch(loop, exchange);
        case RULED_ASK_KEY:
            return loop_ask_key(loop, exchange);
        }
    }
    wire_batch_end(&run->answer);
    ENSURE(!run->answer.overflowed);
    loop_answer(loop, exchange,
                (struct answer){.status = 200,
                                .content_type = CONTENT_JSON,
                                .body = buffer_bytes(&run->answer)},
                RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}
