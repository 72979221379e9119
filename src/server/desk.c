/*
 * desk.c: see desk.h.
 */
#include "server/desk.h"

#include <string.h>

#include "engine/engine.h"

enum { IDLE_MS = 1000 };

#define ALIGNED(bytes) (((uint64_t)(bytes) + 63) / 64 * 64)

uint64_t desk_bytes(void)
{
    return ALIGNED(sizeof(struct desk)) + ALIGNED(sizeof(struct command)) +
           ALIGNED(sizeof(struct fact)) + ALIGNED(sizeof(struct evidence)) +
           (uint64_t)DESK_JOBS_MAX * (uint64_t)FACT_BYTES_MAX;
}

struct desk *desk_over(void *block, struct journal *journal, struct policies *policies,
                       struct keys *keys, struct wake *loop_wake)
{
    struct desk *desk = block;
    uint8_t *at = (uint8_t *)block + ALIGNED(sizeof(*desk));
    desk->tools = (struct reading_tools){.sums = &desk->sums,
                                         .journal = journal,
                                         .command = (struct command *)at,
                                         .harm = &desk->harm};
    at += ALIGNED(sizeof(struct command));
    desk->fact = desk->tools.fact = (struct fact *)at;
    at += ALIGNED(sizeof(struct fact));
    desk->gathered = (struct evidence *)at;
    at += ALIGNED(sizeof(struct evidence));
    desk->journal = journal;
    desk->policies = policies;
    desk->loop_wake = loop_wake;
    key_desk_start(&desk->keys, keys, &desk->harm);
    for (uint32_t i = DESK_JOBS_MAX; i >= 1; --i) {
        desk->jobs[i].block = at;
        at += (size_t)FACT_BYTES_MAX;
        desk->jobs[i].next_free = desk->free_first;
        desk->free_first = i;
    }
    ring_start(&desk->orders, desk->order_items, sizeof(uint32_t), DESK_JOBS_MAX);
    ring_start(&desk->ends, desk->end_items, sizeof(uint32_t), DESK_JOBS_MAX);
    ring_start(&desk->begun, desk->begun_items, sizeof(uint32_t), DESK_JOBS_MAX);
    return desk;
}

void desk_set_books(struct desk *desk, struct desk_books books)
{
    desk->books = books;
}

void desk_open_books(struct desk *desk, struct ledger_reader *books)
{
    desk->tools.books = books;
}

bool desk_start_thread(struct desk *desk)
{
    desk->has_thread = runner_start(&desk->runner, "weir-desk", desk_step, desk, IDLE_MS);
    return desk->has_thread;
}

void desk_stop(struct desk *desk)
{
    atomic_store(&desk->is_stopping, true);
    if (desk->has_thread) runner_stop(&desk->runner);
    desk->has_thread = false;
}

struct desk_job *desk_take_job(struct desk *desk)
{
    const uint32_t number = desk->free_first;
    if (number == 0) return NULL;
    struct desk_job *job = &desk->jobs[number];
    desk->free_first = job->next_free;
    job->is_taken = true;
    return job;
}

uint32_t desk_jobs_taken(const struct desk *desk)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= DESK_JOBS_MAX; ++i)
        count += desk->jobs[i].is_taken;
    return count;
}

void desk_give_job(struct desk *desk, struct desk_job *job)
{
    ENSURE(job->is_taken);
    job->is_taken = false;
    job->exchange = NULL;
    job->next_free = desk->free_first;
    desk->free_first = (uint32_t)(job - desk->jobs);
}

void desk_order(struct desk *desk, struct desk_job *job)
{
    const uint32_t number = (uint32_t)(job - desk->jobs);
    const bool is_put = ring_put(&desk->orders, &number);
    ENSURE(is_put);
    if (desk->has_thread) runner_wake(&desk->runner);
}

struct desk_job *desk_take_end(struct desk *desk)
{
    uint32_t number = 0;
    if (!ring_take(&desk->ends, &number)) return NULL;
    return &desk->jobs[number];
}

void desk_order_key(struct desk *desk, const struct key_order *order)
{
    key_desk_order(&desk->keys, order);
    if (desk->has_thread) runner_wake(&desk->runner);
}

bool desk_take_key_end(struct desk *desk, struct key_end *end_out)
{
    return key_desk_take_end(&desk->keys, end_out);
}

/* The loop has checked that the position is not beyond what is durable. */
static enum desk_result read_batch(struct desk *desk, uint64_t sequence)
{
    struct batch_header header;
    if (sequence == desk->read_sequence) return DESK_FOUND;
    desk->read_sequence = 0;
    const enum journal_fault fault =
        desk->journal->calls->read(desk->journal, sequence, &header, &desk->read_body);
    if (fault == JOURNAL_CUT) return DESK_OLD;
    if (fault != JOURNAL_OK) {
        harm_batch(&desk->harm, desk->journal, sequence, fault);
        return DESK_FAILED;
    }
    if (header.kind != BATCH_ENTRIES) return DESK_MISSING;
    desk->read_sequence = sequence;
    return DESK_FOUND;
}

/* A view into the batch read last. */
static enum desk_result read_entry(struct desk *desk, uint64_t position, struct entry *entry_out)
{
    const enum desk_result result = read_batch(desk, position_sequence(position));
    if (result != DESK_FOUND) return result;
    struct reader reader = reader_over(desk->read_body);
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(position); ++i)
        if (!entry_take(&reader, &entry)) return reader.bad ? DESK_FAILED : DESK_MISSING;
    *entry_out = entry;
    return DESK_FOUND;
}

static enum desk_result fetch(struct desk *desk, struct desk_job *job)
{
    struct entry entry;
    const enum desk_result result = read_entry(desk, job->question.position, &entry);
    if (result != DESK_FOUND) return result;
    ENSURE(entry.fact.length <= (size_t)FACT_BYTES_MAX);
    if (entry.fact.length > 0) memcpy(job->block, entry.fact.at, entry.fact.length);
    job->fact = (struct bytes){job->block, entry.fact.length};
    job->at_ms = entry.at_ms;
    return DESK_FOUND;
}

static enum desk_result read_fact(struct desk *desk, uint64_t position)
{
    struct entry entry;
    const enum desk_result result = read_entry(desk, position, &entry);
    if (result != DESK_FOUND) return result;
    if (!fact_decode(entry.fact, desk->fact)) return DESK_FAILED;
    desk->fact->at_ms = entry.at_ms;
    desk->fact->position = position;
    return DESK_FOUND;
}

static enum desk_result gather_origin(struct desk *desk, uint64_t id, uint64_t position)
{
    desk->gathered->origin = position;
    if (position == 0) return DESK_FOUND; /* of a release: there is none */
    const enum desk_result result = read_fact(desk, position);
    if (result == DESK_FOUND) evidence_add_origin(desk->gathered, id, desk->fact);
    return result;
}

static enum desk_result gather_ending(struct desk *desk, uint64_t id)
{
    struct evidence *evidence = desk->gathered;
    struct desk_ending ending;
    if (desk->books.look_up == NULL) return DESK_FOUND;
    if (!desk->books.look_up(desk->books.self, id, &ending)) return DESK_FAILED;
    evidence->cursor = position_make(ending.through, POSITION_INDEX_MAX);
    if (ending.position != 0 && ending.position != id) {
        enum desk_result result = read_fact(desk, ending.position);
        if (result != DESK_FOUND) return result;
        if (!evidence_add_ending(evidence, id, desk->fact)) return DESK_FAILED;
        result = gather_origin(desk, id, evidence->ending.position);
        if (result != DESK_FOUND) return result;
    }
    evidence_add_refunds(evidence, id, ending.refunded);
    return DESK_FOUND;
}

/* Keys outlive the entries that they are about: with them it is enough to know whose those were. */
static enum desk_result gather_owner(struct desk *desk, uint64_t id)
{
    struct desk_owner owner;
    if (desk->books.look_up_owner == NULL) return DESK_OLD;
    if (!desk->books.look_up_owner(desk->books.self, id, &owner)) return DESK_FAILED;
    if (!owner.is_known) return DESK_OLD;
    evidence_add_owner(desk->gathered, owner.customer, owner.category);
    return DESK_FOUND;
}

static enum desk_result gather_whole(struct desk *desk, uint64_t id)
{
    struct evidence *evidence = desk->gathered;
    evidence->is_whole = true;
    evidence->origin = id;
    const enum desk_result result = read_fact(desk, id);
    if (result == DESK_MISSING) return DESK_FOUND; /* that there is none is evidence too */
    if (result == DESK_OLD) return gather_owner(desk, id);
    if (result != DESK_FOUND) return result;
    evidence_add_decision(evidence, id, desk->fact);
    if (evidence->of != EVIDENCE_HOLD && evidence->of != EVIDENCE_CHARGE) return DESK_FOUND;
    return gather_ending(desk, id);
}

static enum desk_result recall(struct desk *desk, struct desk_job *job)
{
    evidence_clear(desk->gathered);
    const enum desk_result result =
        job->question.recall == RECALL_WHOLE
            ? gather_whole(desk, job->question.id)
            : gather_origin(desk, job->question.id, job->question.position);
    if (result != DESK_FOUND && result != DESK_MISSING) return result;
    struct buffer out = buffer_over(job->block, (size_t)FACT_BYTES_MAX);
    evidence_encode(desk->gathered, &out);
    ENSURE(!out.overflowed);
    job->evidence = buffer_bytes(&out);
    return DESK_FOUND;
}

static bool read_header(struct desk *desk, uint64_t sequence, struct batch_header *header_out)
{
    struct bytes body;
    const enum journal_fault fault =
        desk->journal->calls->read(desk->journal, sequence, header_out, &body);
    if (fault != JOURNAL_OK) harm_batch(&desk->harm, desk->journal, sequence, fault);
    return fault == JOURNAL_OK;
}

/* The last one of [first, last] before which all batches end before that time: they end in order.
 */
static enum desk_result find_cut(struct desk *desk, struct desk_job *job)
{
    struct batch_header header;
    uint64_t low = job->cut.first;
    uint64_t high = job->cut_last;
    desk->read_sequence = 0;
    while (low < high) {
        const uint64_t middle = low + (high - low + 1) / 2;
        if (!read_header(desk, middle - 1, &header)) return DESK_FAILED;
        if (header.last_ms < job->before_ms)
            low = middle;
        else
            high = middle - 1;
    }
    if (low == job->cut.first) return DESK_MISSING;
    if (!read_header(desk, low - 1, &header)) return DESK_FAILED;
    job->cut = (struct journal_cut){.first = low};
    for (unsigned i = 0; i < JOURNAL_HASH_BYTES; ++i)
        job->cut.before[i / 8] |= (uint64_t)header.hash.byte[i] << (8 * (i % 8));
    return DESK_FOUND;
}

/* False: the job is not done, and goes to the end of the line. */
static bool read_books(struct desk *desk, struct desk_job *job)
{
    struct reading *reading = job->reading;
    desk->read_sequence = 0; /* a receipt reads another batch */
    const bool is_given_up =
        atomic_load(&desk->is_stopping) || atomic_load(&job->exchange->is_gone);
    reading->end =
        is_given_up ? reading_give_up(reading, &desk->tools) : reading_step(reading, &desk->tools);
    if (reading->end == READING_GOES_ON) return false;
    job->result = reading->end == READING_FAILED ? DESK_FAILED : DESK_FOUND;
    return true;
}

static bool work_on(struct desk *desk, struct desk_job *job)
{
    switch (job->kind) {
    case DESK_FETCH:
        job->result = fetch(desk, job);
        return true;
    case DESK_CUT:
        job->result = find_cut(desk, job);
        return true;
    case DESK_RECALL:
        job->result = recall(desk, job);
        return true;
    case DESK_COMPILE:
        job->result = policies_compile(desk->policies, job->symbols) ? DESK_FOUND : DESK_FAILED;
        return true;
    case DESK_READ:
        return read_books(desk, job);
    }
    ENSURE(false);
    return true;
}

/* Those have a slice at a time, for as long as it takes. */
static bool is_long(const struct desk_job *job)
{
    return job->kind == DESK_READ || job->kind == DESK_COMPILE;
}

/* What decisions wait for: it is done before the next slice of what takes long. */
static bool short_step(struct desk *desk)
{
    uint32_t number = 0;
    bool has_worked = false;
    for (uint32_t jobs = 0; jobs < DESK_JOBS_MAX && ring_take(&desk->orders, &number); ++jobs) {
        struct desk_job *job = &desk->jobs[number];
        const bool is_done = !is_long(job) && work_on(desk, job);
        const bool is_put = ring_put(is_done ? &desk->ends : &desk->begun, &number);
        ENSURE(is_put);
        has_worked |= is_done;
    }
    for (uint32_t looks = 0; looks < KEY_LOOKS_MAX && key_desk_step(&desk->keys); ++looks)
        has_worked = true;
    return has_worked;
}

/* What is new comes behind what is begun: each job has its slice in turn. */
static bool long_step(struct desk *desk)
{
    uint32_t number = 0;
    if (!ring_take(&desk->begun, &number)) return false;
    const bool is_done = work_on(desk, &desk->jobs[number]);
    const bool is_put = ring_put(is_done ? &desk->ends : &desk->begun, &number);
    ENSURE(is_put);
    return true;
}

bool desk_step(void *self)
{
    struct desk *desk = self;
    bool has_worked = short_step(desk);
    if (has_worked && desk->loop_wake != NULL) wake_signal(desk->loop_wake);
    if (!long_step(desk)) return has_worked;
    if (desk->loop_wake != NULL) wake_signal(desk->loop_wake);
    return true;
}
