/*
 * loop.c: the turn of the loop, batches changing hands, and how answers leave.
 */
#include "server/loop_inner.h"

enum {
    SLEEP_MS_MAX = 1000,
    BLOCKED_MS_MAX = 50, /* then the queue is looked over again */
    SWEEP_RECORDS = 64   /* per turn, besides two per entry of the open batch */
};

#define ALIGNED(bytes) (((uint64_t)(bytes) + 63) / 64 * 64)
#define ASKED_ARENA_BYTES WIRE_PARSE_ARENA_BYTES(LOOP_BODY_BYTES_MAX)
#define RUN_ARENA_BYTES WIRE_PARSE_ARENA_BYTES(LOOP_BATCH_BYTES_MAX)

uint64_t loop_bytes(void)
{
    return ALIGNED(sizeof(struct loop)) +
           2 * (ALIGNED(BATCH_BODY_BYTES) + ALIGNED(BATCH_ANSWERS_BYTES)) +
           (LOOP_ASKED_MAX + 1) * ALIGNED(ASKED_ARENA_BYTES) +
           LOOP_RUNS_MAX * (ALIGNED(RUN_ARENA_BYTES) + ALIGNED(LOOP_RUN_ANSWER_BYTES)) +
           READINGS_MAX * ALIGNED(READING_BYTES) + ALIGNED(METRICS_BYTES_MAX) +
           ALIGNED(COMMAND_BYTES_MAX) + ALIGNED(FACT_BYTES_MAX) + ALIGNED(CROWDS_BYTES);
}

static void *carve(uint8_t **at, size_t bytes)
{
    void *piece = *at;
    *at += ALIGNED(bytes);
    return piece;
}

static struct filing_time filing_time(const struct loop *loop)
{
    const struct policy *policy = loop->parts.policies->current->policy;
    return (struct filing_time){
        .now_ms = loop->now_ms,
        .durable_before = position_make(loop->durable_sequence + 1, 0),
        .retention_ms = policy == NULL ? DAY_MS : policy->retention_ms,
    };
}

struct loop *loop_over(void *block, struct loop_parts parts)
{
    struct loop *loop = block;
    uint8_t *at = block;
    (void)carve(&at, sizeof(*loop));
    loop->parts = parts;
    loop->durable_sequence = parts.tip_sequence;
    loop->retention.keep_from = engine_cut(parts.engine).first;
    loop->started_ns = clock_monotonic_ns();
    access_start(&loop->access, parts.engine, parts.admin_key, entropy_hash_key());
    loop->parts.admin_key = BYTES_NONE;
    loop->now_ms = clock_now_ms(parts.clock);
    for (unsigned i = 0; i < COUNT_OF(loop->batches); ++i) {
        void *body = carve(&at, BATCH_BODY_BYTES);
        batch_start(&loop->batches[i], body, carve(&at, BATCH_ANSWERS_BYTES));
    }
    loop->open = &loop->batches[0];
    batch_reset(loop->open, parts.tip_sequence + 1);
    for (unsigned i = 0; i < LOOP_ASKED_MAX; ++i)
        loop->asked[i].arena = arena_over(carve(&at, ASKED_ARENA_BYTES), ASKED_ARENA_BYTES);
    loop->operation.arena = arena_over(carve(&at, ASKED_ARENA_BYTES), ASKED_ARENA_BYTES);
    for (unsigned i = 0; i < LOOP_RUNS_MAX; ++i) {
        struct operations *run = &loop->runs[i];
        run->arena = arena_over(carve(&at, RUN_ARENA_BYTES), RUN_ARENA_BYTES);
        run->answer = buffer_over(carve(&at, LOOP_RUN_ANSWER_BYTES), LOOP_RUN_ANSWER_BYTES);
    }
    for (unsigned i = 0; i < READINGS_MAX; ++i)
        loop->readings[i].block = carve(&at, READING_BYTES);
    loop->metrics_block = carve(&at, METRICS_BYTES_MAX);
    if (parts.keys != NULL)
        filing_start(&loop->filing, parts.engine, parts.keys,
                     filing_piece(engine_counts(parts.engine).keys_max), filing_time(loop));
    loop->command_bytes = buffer_over(carve(&at, COMMAND_BYTES_MAX), COMMAND_BYTES_MAX);
    loop->fact_bytes = buffer_over(carve(&at, (size_t)FACT_BYTES_MAX), (size_t)FACT_BYTES_MAX);
    crowds_start(&loop->crowds, carve(&at, CROWDS_BYTES));
    return loop;
}

struct stamp loop_stamp(const struct loop *loop)
{
    return (struct stamp){.now_ms = loop->now_ms, .position = batch_next_position(loop->open)};
}

/* ---- answers */

static void queue_all(struct loop *loop, struct exchange_queue *queue)
{
    struct exchange *exchange;
    while ((exchange = exchange_queue_take(queue)) != NULL)
        exchange_queue_add(&loop->arrived, exchange);
}

void loop_give_job(struct loop *loop, struct exchange *exchange)
{
    if (exchange->job == NULL) return;
    desk_give_job(loop->parts.desk, exchange->job);
    exchange->job = NULL;
}

/* Gives back all that the exchange had, then the exchange itself; or lends it, with a piece. */
static void send_answer(struct loop *loop, struct exchange *exchange)
{
    loop_give_job(loop, exchange);
    if (exchange->answer.has_more) {
        exchange->send(exchange);
        return;
    }
    if (loop->policy_exchange == exchange) {
        loop->policy_exchange = NULL;
        queue_all(loop, &loop->policy_waiting);
    }
    metrics_sent(&loop->metrics, exchange);
    telling_sent(&loop->telling, exchange, loop->metrics.now_ns);
    struct operations *run = exchange->run;
    struct reading *reading = exchange->reading;
    exchange->run = NULL;
    exchange->reading = NULL;
    --loop->exchanges;
    ++loop->answers_sent;
    exchange->send(exchange);
    if (reading != NULL) loop_give_reading(loop, reading);
    if (run == NULL) return;
    run->is_taken = false; /* its memory held the answer until now */
    queue_all(loop, &loop->run_waiting);
}

/* What an exchange came to is known: those behind it in its line go on, before all who came later.
 */
static void let_line_on(struct loop *loop, struct exchange *exchange)
{
    struct exchange_line *line = exchange->line;
    if (line == NULL || line->parked != exchange) return;
    line->parked = NULL;
    if (line->waiting.first == NULL) return;
    line->waiting.last->next = loop->arrived.first;
    if (loop->arrived.last == NULL) loop->arrived.last = line->waiting.last;
    loop->arrived.first = line->waiting.first;
    loop->arrived.count += line->waiting.count;
    line->waiting = (struct exchange_queue){0};
}

/* Whether it must wait for another one of its line, and does now. */
static bool stands_behind(struct exchange *exchange)
{
    struct exchange_line *line = exchange->line;
    if (line == NULL || line->parked == NULL || line->parked == exchange) return false;
    exchange_queue_add(&line->waiting, exchange);
    return true;
}

void loop_drop(struct loop *loop, struct exchange *exchange)
{
    let_line_on(loop, exchange);
    exchange->answer = (struct answer){0};
    send_answer(loop, exchange);
}

/* Whose end an answer waits for, that was made now; NULL: nobody's. */
static struct batch *batch_to_wait_for(struct loop *loop)
{
    return loop->open->entries > 0 ? loop->open : loop->in_flight;
}

/* The body, and the headers' values that stand right behind it. */
static size_t answer_length(const struct answer *answer)
{
    size_t length = answer->body.length;
    for (uint32_t i = 0; i < answer->header_count; ++i)
        if (answer->headers[i].value.at == answer->body.at + length)
            length += answer->headers[i].value.length;
    return length;
}

void loop_answer(struct loop *loop, struct exchange *exchange, struct answer answer,
                 enum release release)
{
    struct batch *batch = release == RELEASE_IN_ORDER ? batch_to_wait_for(loop) : NULL;
    let_line_on(loop, exchange);
    exchange->answer = answer;
    if (batch == NULL) {
        send_answer(loop, exchange);
        return;
    }
    if (answer.body.at == loop->open->answers + loop->open->answers_used)
        batch_keep_answer(loop->open, answer_length(&answer));
    metrics_answered(&loop->metrics, exchange);
    exchange_queue_add(&batch->waiting, exchange);
}

void loop_note_problem(struct loop *loop, enum problem_code code, struct bytes request_id)
{
    metrics_problem(&loop->metrics, code);
    telling_problem(&loop->telling, code, request_id, loop->metrics.now_ns);
}

void loop_answer_problem(struct loop *loop, struct exchange *exchange,
                         const struct problem *problem, enum release release)
{
    uint8_t block[WIRE_PROBLEM_BYTES_MAX];
    struct buffer out = buffer_over(block, sizeof(block));
    wire_answer_problem(exchange->form, problem, request_id_bytes(&exchange->request_id), &out);
    ENSURE(!out.overflowed);
    struct bytes body = buffer_bytes(&out);
    loop_note_problem(loop, problem->code, request_id_bytes(&exchange->request_id));
    if (release == RELEASE_IN_ORDER) {
        struct buffer kept = batch_answer_buffer(loop->open);
        buffer_put(&kept, body.at, body.length);
        ENSURE(!kept.overflowed);
        body = buffer_bytes(&kept);
    }
    struct answer answer = {.status = wire_problem_status(problem->code),
                            .content_type = CONTENT_PROBLEM,
                            .body = body};
    if (problem->code == PROBLEM_NO_METHOD)
        answer_add_header(&answer, "allow", bytes_of_text(route_allow(exchange->path)));
    if (problem->code == PROBLEM_UNAUTHORIZED)
        answer_add_header(&answer, "www-authenticate", BYTES("Bearer realm=\"weir\""));
    loop_answer(loop, exchange, answer, release);
}

static void answer_all(struct loop *loop, struct exchange_queue *queue, enum problem_code code)
{
    const struct problem problem = {.code = code};
    struct exchange *exchange;
    while ((exchange = exchange_queue_take(queue)) != NULL)
        loop_answer_problem(loop, exchange, &problem, RELEASE_AT_ONCE);
}

/* ---- batches */

static void hand_over(struct loop *loop)
{
    struct batch *sealed = loop->open;
    const struct journal_order order = {
        .keep_from = loop->retention.keep_from,
        .header = {.kind = BATCH_ENTRIES,
                   .version = JOURNAL_VERSION,
                   .first_ms = sealed->first_ms,
                   .last_ms = sealed->last_ms,
                   .entries = sealed->entries},
        .body = buffer_bytes(&sealed->body),
    };
    loop->in_flight = sealed;
    loop->open = sealed == &loop->batches[0] ? &loop->batches[1] : &loop->batches[0];
    batch_reset(loop->open, sealed->sequence + 1);
    journaling_order(loop->parts.journaling, &order);
    if (loop->parts.snapshots != NULL)
        snapshots_note_sealed(loop->parts.snapshots, sealed->sequence, sealed->body.used,
                              loop->now_ms);
}

/* Seals and hands over what was gathered, if the journal is idle. */
static bool seal(struct loop *loop)
{
    if (loop->in_flight != NULL || loop->open->entries == 0) return false;
    hand_over(loop);
    return true;
}

/* Whoever waits is told that the outcome is unknown, and so is all that comes. */
static void stop_answering(struct loop *loop, enum append_result end, const char *failed)
{
    loop->failure = end;
    loop->failed = failed;
    if (loop->in_flight != NULL)
        answer_all(loop, &loop->in_flight->waiting, PROBLEM_OUTCOME_UNKNOWN);
    answer_all(loop, &loop->open->waiting, PROBLEM_OUTCOME_UNKNOWN);
    answer_all(loop, &loop->scrapes, PROBLEM_OUTCOME_UNKNOWN);
    answer_all(loop, &loop->head_asked, PROBLEM_OUTCOME_UNKNOWN);
    answer_all(loop, &loop->head_waiting, PROBLEM_OUTCOME_UNKNOWN);
    queue_all(loop, &loop->desk_waiting);
    queue_all(loop, &loop->key_waiting);
    queue_all(loop, &loop->reading_waiting);
    loop->in_flight = NULL;
}

/* Nobody can know any more what is durable. */
static void fail(struct loop *loop, enum append_result end)
{
    struct log_line line = log_begin(LOG_ERROR, "journal_append_failed");
    log_text(&line, "end", end == APPEND_FENCED ? "fenced" : "unknown");
    log_number(&line, "sequence", (int64_t)loop->in_flight->sequence);
    log_text(&line, "detail", loop->parts.journaling->journal->detail);
    log_end(&line);
    stop_answering(loop, end, "the journal");
}

/* The books cannot be kept any more: decisions that nobody could account for are not made. */
static bool take_settling_fault(struct loop *loop)
{
    const struct settling *settling = loop->parts.settling;
    if (settling == NULL || settler_fault(settling->settler) == LEDGER_OK) return false;
    struct log_line line = log_begin(LOG_ERROR, "settlement_failed");
    log_text(&line, "fault", ledger_fault_text(settler_fault(settling->settler)));
    log_text(&line, "detail", settler_detail(settling->settler));
    log_end(&line);
    stop_answering(loop, APPEND_UNKNOWN, "settlement");
    return true;
}

static bool take_journal_end(struct loop *loop)
{
    const enum append_result end = journaling_take_end(loop->parts.journaling);
    if (end == APPEND_NONE) return false;
    if (loop->failure != APPEND_NONE) return true; /* nobody is told any more */
    struct batch *ended = loop->in_flight;
    ENSURE(ended != NULL);
    if (end != APPEND_COMMITTED) {
        fail(loop, end);
        return true;
    }
    loop->durable_sequence = ended->sequence;
    loop->in_flight = NULL;
    loop_note_durable_seal(loop);
    /* The journal's tip is ours to read until the next order. */
    if (loop->parts.snapshots != NULL)
        snapshots_note_durable(loop->parts.snapshots, ended->sequence,
                               loop->parts.journaling->journal->tip.hash);
    metrics_durable(&loop->metrics, ended, loop->parts.journaling->append_ns,
                    loop->parts.journaling->sync_ns);
    struct exchange *exchange;
    while ((exchange = exchange_queue_take(&ended->waiting)) != NULL)
        send_answer(loop, exchange);
    metrics_released(&loop->metrics);
    /* Answers of reads that waited for this batch alone lie in the open one's memory. */
    if (loop->open->entries == 0) loop->open->answers_used = 0;
    return true;
}

/* ---- lines */

enum progress loop_wait_in_line(struct loop *loop, struct exchange *exchange,
                                struct exchange_queue *line, uint32_t most)
{
    const bool is_begun = exchange->is_under_way || exchange->was_parked || exchange->run != NULL;
    const uint32_t room = loop_is_owed(exchange) ? 2 * most : most;
    if (is_begun || line->count < room) {
        exchange_queue_add(line, exchange);
        return PROGRESS_PARKED;
    }
    const struct problem problem = {.code = PROBLEM_OVERLOADED,
                                    .expected = "fewer requests of this kind at once"};
    ++loop->turned_away;
    loop_answer_problem(loop, exchange, &problem, RELEASE_AT_ONCE);
    return PROGRESS_DONE;
}

static bool let_on(struct loop *loop, struct exchange_queue *line, uint32_t places)
{
    bool has_worked = false;
    for (; places > 0 && line->first != NULL; --places) {
        exchange_queue_add(&loop->arrived, exchange_queue_take(line));
        has_worked = true;
    }
    return has_worked;
}

/* Who waits in a line for what there is some of again. That is counted here, not where it is given
 * back: who is let on may have left, or need it no more, and the next one has it then. */
static bool let_waiting_on(struct loop *loop)
{
    bool has_worked = let_on(loop, &loop->key_waiting, KEY_LOOKS_MAX - loop->key_looks);
    if (loop->desk_waiting.first != NULL)
        has_worked |=
            let_on(loop, &loop->desk_waiting, DESK_JOBS_MAX - desk_jobs_taken(loop->parts.desk));
    if (loop->reading_waiting.first != NULL)
        has_worked |= let_on(loop, &loop->reading_waiting, loop_free_readings(loop));
    return has_worked;
}

/* ---- the desk */

enum progress loop_fetch(struct loop *loop, struct exchange *exchange)
{
    loop_give_job(loop, exchange);
    struct desk_job *job = desk_take_job(loop->parts.desk);
    if (job == NULL)
        return loop_wait_in_line(loop, exchange, &loop->desk_waiting, WAITING_DESK_MAX);
    job->kind = loop->question.kind;
    job->exchange = exchange;
    job->question = loop->question;
    desk_order(loop->parts.desk, job);
    return PROGRESS_PARKED;
}

enum progress loop_ask_key(struct loop *loop, struct exchange *exchange)
{
    if (loop->key_looks == KEY_LOOKS_MAX)
        return loop_wait_in_line(loop, exchange, &loop->key_waiting, WAITING_KEYS_MAX);
    ++loop->key_looks;
    desk_order_key(loop->parts.desk, &(struct key_order){.kind = KEY_ORDER_LOOK,
                                                         .exchange = exchange,
                                                         .question = loop->key_question});
    return PROGRESS_PARKED;
}

static void take_look(struct loop *loop, const struct key_end *end)
{
    --loop->key_looks;
    end->exchange->key = end->answer;
    exchange_queue_add(&loop->arrived, end->exchange);
}

static bool take_key_ends(struct loop *loop)
{
    bool has_worked = false;
    struct key_end end;
    while (desk_take_key_end(loop->parts.desk, &end)) {
        if (end.kind == KEY_ORDER_LOOK)
            take_look(loop, &end);
        else
            filing_end(&loop->filing, &end, loop->now_ms);
        has_worked = true;
    }
    return has_worked;
}

static bool file_keys(struct loop *loop)
{
    struct key_order order;
    bool has_order = false;
    if (loop->parts.keys == NULL) return false;
    loop->files_keys = filing_step(&loop->filing, filing_time(loop), &order, &has_order);
    if (has_order) desk_order_key(loop->parts.desk, &order);
    return loop->files_keys || has_order;
}

static bool take_desk_ends(struct loop *loop)
{
    bool has_worked = take_key_ends(loop);
    struct desk_job *job;
    while ((job = desk_take_end(loop->parts.desk)) != NULL) {
        has_worked = true;
        if (job->kind == DESK_CUT) {
            loop_take_cut(loop, job);
            continue;
        }
        job->exchange->job = job;
        exchange_queue_add(&loop->arrived, job->exchange);
    }
    return has_worked;
}

/* ---- the settler */

enum progress loop_ask_head(struct loop *loop, struct exchange *exchange, struct hash128 customer)
{
    const bool is_asked = settling_ask_head(loop->parts.settling, customer);
    if (!is_asked) return loop_wait_in_line(loop, exchange, &loop->head_waiting, WAITING_HEADS_MAX);
    exchange_queue_add(&loop->head_asked, exchange);
    return PROGRESS_PARKED;
}

/* Answers come in the order of the questions. */
static bool take_heads(struct loop *loop)
{
    struct settler_answer answer;
    bool has_worked = false;
    if (loop->parts.settling == NULL) return false;
    while (settling_take_head(loop->parts.settling, &answer)) {
        struct exchange *exchange = exchange_queue_take(&loop->head_asked);
        ENSURE(exchange != NULL);
        exchange->head = answer;
        exchange->has_head = true;
        exchange_queue_add(&loop->arrived, exchange);
        has_worked = true;
    }
    if (has_worked) queue_all(loop, &loop->head_waiting);
    loop->settled_sequence = settler_cursor(loop->parts.settling->settler);
    settling_watch(loop->parts.settling, loop->durable_sequence);
    telling_turn(&loop->telling, atomic_load(&loop->parts.settling->hurries),
                 loop->parts.settling->lag_ms, loop->metrics.now_ns);
    return has_worked;
}

/* ---- the turn */

void loop_take(struct loop *loop, struct exchange *exchange)
{
    if (exchange->reading == NULL) ++loop->exchanges; /* else it was lent */
    exchange_queue_add(&loop->arrived, exchange);
}

void loop_take_policy_file(struct loop *loop, struct exchange *exchange)
{
    static const struct route policy_file = {.method = "", .pattern = "", .call = CALL_POLICY_FILE};
    ENSURE(loop->policy_exchange == NULL);
    loop->policy_exchange = exchange;
    exchange->route = &policy_file;
    exchange->is_under_way = true;
    ++loop->exchanges;
    exchange_queue_add_first(&loop->arrived, exchange);
}

/* After a failure only health is told. */
static void answer_in_failure(struct loop *loop, struct exchange *exchange)
{
    const struct route *route = NULL;
    struct bytes target;
    const struct problem unknown = {.code = PROBLEM_OUTCOME_UNKNOWN};
    if (exchange->is_gone) /* and so are its views */
        loop_drop(loop, exchange);
    else if (exchange->reading != NULL && exchange->reading->is_sending)
        loop_answer(loop, exchange, (struct answer){.is_cut = true}, RELEASE_AT_ONCE);
    else if (exchange->form == WIRE_FORM_JSON &&
             route_find(exchange->method, exchange->path, &route, &target) == ROUTE_FOUND &&
             route->call == CALL_HEALTH)
        loop_answer_health(loop, exchange);
    else
        loop_answer_problem(loop, exchange, &unknown, RELEASE_AT_ONCE);
}

/* Takes up to LOOP_ASKED_MAX of the queue and parses them all before the first is ruled; then walks
 * them ahead together, so that what each will touch comes to the caches while the others take their
 * step. False: blocked. */
static bool work_on_some(struct loop *loop)
{
    uint32_t count = 0;
    while (count < LOOP_ASKED_MAX) {
        struct exchange *exchange = exchange_queue_take(&loop->arrived);
        if (exchange == NULL) break;
        if (stands_behind(exchange)) continue;
        struct asked *asked = &loop->asked[count++];
        asked->exchange = exchange;
        metrics_begun(&loop->metrics, exchange);
        arena_reset(&asked->arena);
        loop_prepare(loop, asked);
    }
    for (uint32_t step = 1; step < PREFETCH_STEPS; ++step)
        for (uint32_t i = 0; i < count; ++i)
            engine_prefetch(loop->parts.engine, &loop->asked[i].command);
    for (uint32_t i = 0; i < count; ++i) {
        struct exchange *exchange = loop->asked[i].exchange;
        if (stands_behind(exchange)) continue; /* of one that was parked just now */
        if (loop_shed_unread(loop, &loop->asked[i])) continue;
        const enum progress progress = loop_call(loop, &loop->asked[i]);
        if (progress == PROGRESS_PARKED) {
            exchange->was_parked = true;
            if (exchange->line != NULL) exchange->line->parked = exchange;
        }
        if (progress != PROGRESS_BLOCKED) continue;
        while (count > i)
            exchange_queue_add_first(&loop->arrived, loop->asked[--count].exchange);
        return false;
    }
    return true;
}

/* What arrived, in order. A full batch is sealed at once if the journal is idle; with the other one
 * in flight, the rest waits in the queue, and that is where load stops. */
static bool work(struct loop *loop)
{
    bool has_worked = false;
    if (loop->arrived.first != NULL) metrics_tick(&loop->metrics);
    while (loop->arrived.first != NULL || let_waiting_on(loop)) {
        has_worked = true;
        const bool has_room = work_on_some(loop);
        metrics_tick(&loop->metrics);
        if (has_room || seal(loop)) continue;
        loop->is_blocked = true;
        ++loop->metrics.blocked;
        break;
    }
    return has_worked;
}

static bool run_due(struct loop *loop)
{
    uint32_t done = 0;
    if (loop->is_blocked) return false;
    const bool had_room = loop_run_due(loop, LOOP_DUE_PER_STEP_MAX, &done);
    if (!had_room && !seal(loop)) loop->is_blocked = true;
    loop->due_waits = had_room && done < LOOP_DUE_PER_STEP_MAX &&
                      engine_due_at(loop->parts.engine) <= loop->now_ms;
    return done > 0;
}

static void read_clock(struct loop *loop)
{
    loop->now_ms = clock_now_ms(loop->parts.clock);
    const struct clock_state state = clock_state(loop->parts.clock);
    const uint64_t jumps = state.jumps_back + state.jumps_forward;
    if (jumps == loop->jumps_told) return;
    loop->jumps_told = jumps;
    struct log_line line = log_begin(LOG_WARN, "wall_clock_jumped");
    log_number(&line, "jumps_back", (int64_t)state.jumps_back);
    log_number(&line, "jumps_forward", (int64_t)state.jumps_forward);
    log_number(&line, "ahead_ms", state.ahead_ms);
    log_number(&line, "unconfirmed_ms", state.unconfirmed_ms);
    log_end(&line);
}

/* Who joined a crowd in a second that is over is told of before anything that is stamped later; who
 * did when the last answer leaves, before the end. */
static bool tell_crowds(struct loop *loop)
{
    const bool is_last = loop->is_stopping && loop->exchanges == 0;
    if (!crowds_are_open(&loop->crowds)) return false;
    if (!crowds_are_over(&loop->crowds, loop->now_ms) && !is_last) return false;
    while (!loop->is_blocked && !loop_tell_crowds(loop))
        loop->is_blocked = !seal(loop);
    return true;
}

static bool take_snapshot(struct loop *loop)
{
    if (loop->parts.snapshots == NULL) return false;
    const bool has_worked = snapshots_turn(loop->parts.snapshots);
    loop->snapshot_kept = snapshots_kept(loop->parts.snapshots);
    return has_worked;
}

/* What is in the books may be forgotten: the desk brings it when it is asked for. It needs the
 * entry that opened a hold, and the usage event of its end. */
static struct books_known books_of(const struct loop *loop)
{
    const struct policy *policy = loop->parts.policies->current->policy;
    const int64_t kept_ms = loop->parts.receipts_for_ms;
    const int64_t events_ms = loop->parts.usage_for_ms;
    const int64_t ended_ms = policy == NULL ? INSTANT_NEVER : policy->retention_ms;
    const int64_t opened_ms = policy == NULL ? INSTANT_NEVER : ended_ms + TTL_MS_MAX;
    return (struct books_known){
        .are_kept = loop->parts.desk->books.look_up != NULL,
        .lose_holds =
            (kept_ms != 0 && kept_ms < opened_ms) || (events_ms != 0 && events_ms < ended_ms),
        .through = position_make(loop->settled_sequence, POSITION_INDEX_MAX),
    };
}

bool loop_step(struct loop *loop)
{
    bool has_worked = take_journal_end(loop);
    has_worked |= take_desk_ends(loop);
    if (loop->failure == APPEND_NONE) has_worked |= take_settling_fault(loop) || take_heads(loop);
    if (loop->failure != APPEND_NONE) {
        struct exchange *exchange;
        while ((exchange = exchange_queue_take(&loop->arrived)) != NULL) {
            answer_in_failure(loop, exchange);
            has_worked = true;
        }
        return has_worked;
    }
    loop->is_blocked = loop->is_blocked && loop->in_flight != NULL;
    read_clock(loop);
    if (!loop->is_blocked) has_worked |= tell_crowds(loop);
    if (!loop->is_blocked) {
        has_worked |= work(loop);
        has_worked |= run_due(loop);
        has_worked |= loop_retain(loop);
    }
    if (loop->is_blocked) loop_shed(loop);
    engine_sweep(loop->parts.engine, loop->now_ms, SWEEP_RECORDS + 2 * loop->open->entries,
                 books_of(loop));
    has_worked |= loop_tell_metrics(loop);
    has_worked |= file_keys(loop);
    has_worked |= take_snapshot(loop);
    has_worked |= seal(loop);
    return has_worked;
}

int32_t loop_wait_ms(const struct loop *loop)
{
    if (loop->failure != APPEND_NONE) return SLEEP_MS_MAX;
    if (loop->scrapes.first != NULL) return 0;
    if (loop->is_blocked) return loop->arrived.first != NULL ? BLOCKED_MS_MAX : SLEEP_MS_MAX;
    if (loop->arrived.first != NULL || loop->files_keys) return 0;
    if (loop->parts.snapshots != NULL && snapshots_has_work(loop->parts.snapshots)) return 0;
    const bool has_crowds = crowds_are_open(&loop->crowds);
    if (has_crowds && loop->is_stopping && loop->exchanges == 0) return 0;
    int64_t due_ms = engine_due_at(loop->parts.engine);
    if (due_ms <= loop->now_ms) return loop->due_waits ? SLEEP_MS_MAX : 0;
    if (has_crowds && (loop->crowds.second + 1) * SECOND_MS < due_ms)
        due_ms = (loop->crowds.second + 1) * SECOND_MS;
    if (due_ms <= loop->now_ms) return 0;
    const bool stands_still = clock_state(loop->parts.clock).is_test;
    if (stands_still || due_ms - loop->now_ms > SLEEP_MS_MAX) return SLEEP_MS_MAX;
    return (int32_t)(due_ms - loop->now_ms);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

void loop_cut(struct loop *loop)
{
    loop->cuts_streams = true;
}

bool loop_is_idle(const struct loop *loop)
{
    return loop->exchanges == 0 && loop->in_flight == NULL && loop->open->entries == 0 &&
           !(loop->is_stopping && crowds_are_open(&loop->crowds));
}
