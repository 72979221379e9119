/*
 * reads.c: the loop's side of readings (reading.h): slots, what is asked before the desk, and how
 * answers, whole and in pieces, leave.
 *
 * Who reads what he was just answered finds it in the books, if settlement is not far behind: a
 * reading waits until what was durable when it came is settled, for a second at most. What it then
 * shows says how far it goes. Denials that joined a crowd are in no batch before their second is
 * over; a reading does not wait for that.
 */
#include <string.h>

#include "server/loop_inner.h"

#define SETTLED_WAIT_NS (INT64_C(1000) * 1000000)

static struct reading *take_slot(struct loop *loop)
{
    for (uint32_t i = 0; i < READINGS_MAX; ++i) {
        struct reading *reading = &loop->readings[i];
        if (reading->is_taken) continue;
        uint8_t *block = reading->block;
        memset(reading, 0, offsetof(struct reading, text_block));
        reading->is_taken = true;
        reading->block = block;
        reading->text = arena_over(reading->text_block, sizeof(reading->text_block));
        return reading;
    }
    return NULL;
}

void loop_give_reading(struct loop *loop, struct reading *reading)
{
    if (reading->is_stream) --loop->streams;
    reading->is_taken = false;
}

uint32_t loop_free_readings(const struct loop *loop)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < READINGS_MAX; ++i)
        count += !loop->readings[i].is_taken;
    return count;
}

static enum progress answer_problem(struct loop *loop, struct exchange *exchange,
                                    const struct problem *problem)
{
    loop_answer_problem(loop, exchange, problem, RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

/* Whoever was never seen and has no plan to be seen with is nobody. */
static bool is_known(struct loop *loop, const struct reading *reading)
{
    const bool has_default = loop->parts.policies->current->policy->default_plan != SYMBOL_NONE;
    return reading->customer.length == 0 || has_default ||
           engine_customer(loop->parts.engine, reading->customer, &loop->customer);
}

/* False: answered, or waiting for a slot. */
static bool begin(struct loop *loop, struct asked *asked, enum progress *progress_out)
{
    struct exchange *exchange = asked->exchange;
    struct bytes target;
    struct problem problem = {.code = PROBLEM_INVALID_VALUE,
                              .field = "path",
                              .value = exchange->target,
                              .expected = "percent-encoded bytes"};
    struct reading *reading = take_slot(loop);
    if (reading == NULL) {
        *progress_out =
            loop_wait_in_line(loop, exchange, &loop->reading_waiting, WAITING_READINGS_MAX);
        return false;
    }
    exchange->reading = reading;
    reading->what = exchange->route->read;
    bool is_fine = route_decode(exchange->target, false, &asked->arena, &target) &&
                   reading_parse(reading, target, exchange->query, exchange->accept,
                                 loop_right(loop, exchange).customer, &problem);
    if (is_fine && !is_known(loop, reading)) {
        problem = (struct problem){
            .code = PROBLEM_UNKNOWN_CUSTOMER, .field = "customer", .value = reading->customer};
        is_fine = false;
    }
    if (is_fine && reading_is_stream(reading) && loop->streams == READING_STREAMS_MAX) {
        problem = (struct problem){.code = PROBLEM_OVERLOADED, .expected = "fewer exports at once"};
        is_fine = false;
    }
    if (!is_fine) {
        *progress_out = answer_problem(loop, exchange, &problem);
        return false;
    }
    reading->is_stream = reading_is_stream(reading);
    loop->streams += reading->is_stream ? 1 : 0;
    reading->wanted = loop->durable_sequence > loop->crowds.told_in ? loop->durable_sequence
                                                                    : loop->crowds.told_in;
    reading->asked_ns = clock_monotonic_ns();
    exchange->is_under_way = true;
    return true;
}

/* What the settler says of the customer, and how far it is. */
static bool has_books(struct loop *loop, struct exchange *exchange)
{
    struct reading *reading = exchange->reading;
    if (reading->has_head) return true;
    if (!exchange->has_head) return false;
    const bool is_settled = exchange->head.cursor >= reading->wanted;
    const bool has_waited = clock_monotonic_ns() - reading->asked_ns >= SETTLED_WAIT_NS;
    exchange->has_head = false;
    if (!is_settled && !has_waited && !loop->is_stopping) return false;
    reading->head = exchange->head;
    reading->has_head = true;
    return true;
}

static enum progress order(struct loop *loop, struct exchange *exchange)
{
    struct reading *reading = exchange->reading;
    struct desk_job *job = desk_take_job(loop->parts.desk);
    if (job == NULL)
        return loop_wait_in_line(loop, exchange, &loop->desk_waiting, WAITING_DESK_MAX);
    if (reading->what == READING_RECEIPT)
        reading->has_hold =
            engine_hold(loop->parts.engine, reading->decision, loop->now_ms, &reading->hold);
    reading->symbols = engine_symbols(loop->parts.engine);
    job->kind = DESK_READ;
    job->exchange = exchange;
    job->reading = reading;
    desk_order(loop->parts.desk, job);
    return PROGRESS_PARKED;
}

/* The first piece says the status; of a later one that cannot be had, the client must notice. */
static enum progress answer_failure(struct loop *loop, struct exchange *exchange)
{
    const struct problem problem = {.code = PROBLEM_INTERNAL};
    if (!exchange->reading->is_sending) return answer_problem(loop, exchange, &problem);
    loop_answer(loop, exchange, (struct answer){.is_cut = true}, RELEASE_AT_ONCE);
    return PROGRESS_DONE;
}

static enum progress take_step(struct loop *loop, struct exchange *exchange)
{
    struct reading *reading = exchange->reading;
    loop_give_job(loop, exchange);
    if (reading->end == READING_REFUSED) return answer_problem(loop, exchange, &reading->problem);
    if (reading->end == READING_FAILED || (loop->cuts_streams && reading->is_stream))
        return answer_failure(loop, exchange);
    const bool has_more = reading->end == READING_PIECE;
    const enum release release = reading->is_sending ? RELEASE_AT_ONCE : RELEASE_IN_ORDER;
    reading->is_sending = true;
    loop_answer(loop, exchange,
                (struct answer){.status = 200,
                                .content_type = reading_content_type(reading),
                                .body = reading_out(reading),
                                .has_more = has_more},
                release);
    return PROGRESS_DONE;
}

enum progress loop_read(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    enum progress progress;
    if (loop->parts.settling == NULL)
        return answer_problem(loop, exchange,
                              &(struct problem){.code = PROBLEM_UNSUPPORTED,
                                                .expected = "a server that keeps books"});
    if (exchange->reading == NULL) {
        /* Where time stands still, no second ends by itself. */
        if (clock_state(loop->parts.clock).is_test && !loop_tell_crowds(loop))
            return PROGRESS_BLOCKED;
        if (!begin(loop, asked, &progress)) return progress;
    }
    if (exchange->job != NULL) return take_step(loop, exchange);
    if (!has_books(loop, exchange))
        return loop_ask_head(loop, exchange,
                             engine_customer_id(loop->parts.engine, exchange->reading->customer));
    return order(loop, exchange);
}
