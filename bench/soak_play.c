/*
 * soak_play.c: the mixed load. Decisions leave in batches over keep-alive connections, refunds and
 * grants as requests of their own, and the server's clock is moved on by a second or more whenever
 * enough decisions have left. What became of each operation is taken from its answer: when the
 * clock overtakes a commit, the answer says that it was late, and so it is counted.
 *
 * The first decision of every customer comes in order, the others go to anybody.
 */
#include "soak.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "main/pool.h"

enum {
    HOLD_MS = 120000, /* hold_ttl of soak.yaml */
    LATE_MS = 5000,   /* a late commit comes so long after */
    OPERATION_BYTES_MAX = 256,
    FRAME_BYTES = 512, /* what a request has beside its operations */
    BATCH_MAX = 60,
    CROWD = 25, /* equal denials in a row; from the 17th on they are counted in one row */
    CROWDED_CUSTOMERS = 64,
    QUEUE_SIZE = 1 << 20,
    REFUND_MS = 3600000, /* a refund comes so long after, or a third of the load */
    REPEAT_MS = 5400000, /* the same for a repeated key */
    ID_BYTES = 24,
    HEALTH_MS = 200
};

enum operation {
    OPERATION_FREE,
    OPERATION_SPLIT,
    OPERATION_PAID,
    OPERATION_AUTHORIZE,
    OPERATION_USAGE,
    OPERATION_DENIED,
    OPERATION_REPEAT,
    OPERATION_COMMIT,
    OPERATION_RELEASE
};

/* In a thousand; the rest is free. */
static const struct {
    enum operation operation;
    uint32_t share;
} mix[] = {
    {    OPERATION_SPLIT, 220},
    {     OPERATION_PAID, 200},
    {OPERATION_AUTHORIZE, 180},
    {    OPERATION_USAGE,  20},
    {   OPERATION_DENIED,  40},
    {   OPERATION_REPEAT,  10}
};
enum { CROWDS_IN_100000 = 200 };

enum fate { FATE_COMMIT, FATE_RELEASE, FATE_LATE, FATE_EXPIRE };

struct queued {
    int64_t due_ms;
    uint64_t customer; /* repeats */
    uint64_t key;
    char id[ID_BYTES];
    enum fate fate;
};

struct queue {
    struct queued *at; /* QUEUE_SIZE; what comes when it is full is left out */
    uint64_t first;
    uint64_t end;
};

enum job { JOB_BATCH, JOB_REFUND, JOB_CLOCK, JOB_HEALTH, JOB_GRANT };

struct slot {
    enum job job;
    uint32_t count;
    struct sent {
        enum operation operation;
        enum fate fate;
        uint64_t customer;
        uint64_t key;
        char id[ID_BYTES];
    } sent[BATCH_MAX];
};

struct playing {
    const struct soak_play *play;
    struct prng prng;
    struct slot *slots; /* one per connection */
    uint32_t *free_slots;
    uint32_t free_count;
    uint64_t left;    /* decisions that were sent */
    uint64_t granted; /* customers who were looked at for a grant */
    uint64_t next_key;
    uint64_t crowd_left;
    uint64_t crowd_customer;
    int64_t start_ms;  /* of the server's clock */
    int64_t health_ns; /* when to ask next */
    bool moves_clock;  /* a request that does is on its way */
    bool asks_health;
    struct queue endings; /* commits and releases, now */
    struct queue overdue;
    struct queue refundable;
    struct queue repeatable;
    int64_t window_ns; /* began */
};

static void queue_put(struct queue *queue, const struct queued *queued)
{
    if (queue->end - queue->first < QUEUE_SIZE) queue->at[queue->end++ % QUEUE_SIZE] = *queued;
}

/* What is due, if anything is. */
static const struct queued *queue_first(const struct queue *queue, int64_t now_ms)
{
    const struct queued *first = &queue->at[queue->first % QUEUE_SIZE];
    return queue->end > queue->first && first->due_ms <= now_ms ? first : NULL;
}

/* ---- what leaves */

static void put_name(struct buffer *out, uint64_t customer)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "c%07" PRIu64, customer);
    buffer_put_text(out, name);
}

static void put_tail(struct buffer *out, uint64_t key)
{
    buffer_put_byte(out, '}');
    if (key != 0) {
        buffer_put_text(out, ",\"idempotency_key\":\"k");
        buffer_put_decimal(out, key);
        buffer_put_byte(out, '"');
    }
    buffer_put_byte(out, '}');
}

static void put_decision(struct buffer *out, const struct sent *sent, struct prng *prng)
{
    static const char *const openings[] = {
        [OPERATION_FREE] = "consume\",\"feature\":\"free",
        [OPERATION_REPEAT] = "consume\",\"feature\":\"free",
        [OPERATION_SPLIT] = "consume\",\"feature\":\"split",
        [OPERATION_PAID] = "consume\",\"feature\":\"paid",
        [OPERATION_AUTHORIZE] = "authorize\",\"feature\":\"paid",
        [OPERATION_USAGE] = "usage\",\"feature\":\"paid",
        [OPERATION_DENIED] = "consume\",\"feature\":\"refused",
    };
    buffer_put_text(out, "{\"op\":\"");
    buffer_put_text(out, openings[sent->operation]);
    buffer_put_text(out, "\",\"customer\":\"");
    put_name(out, sent->customer);
    buffer_put_text(out, "\",\"quantities\":{\"requests\":");
    buffer_put_decimal(out, sent->operation == OPERATION_SPLIT ? 5 : 1);
    if (sent->operation == OPERATION_PAID || sent->operation == OPERATION_AUTHORIZE ||
        sent->operation == OPERATION_USAGE) {
        buffer_put_text(out, ",\"tokens\":");
        buffer_put_decimal(out, 3000 + prng_below(prng, 3000));
    }
    put_tail(out, sent->key);
}

static void put_ending(struct buffer *out, const struct sent *sent, struct prng *prng)
{
    const bool is_commit = sent->operation == OPERATION_COMMIT;
    buffer_put_text(out, is_commit ? "{\"op\":\"commit\",\"decision_id\":\""
                                   : "{\"op\":\"release\",\"decision_id\":\"");
    buffer_put_text(out, sent->id);
    buffer_put_byte(out, '"');
    if (is_commit) {
        buffer_put_text(out, ",\"quantities\":{\"requests\":1,\"tokens\":");
        buffer_put_decimal(out, 1 + prng_below(prng, 3000));
        buffer_put_byte(out, '}');
    }
    buffer_put_byte(out, '}');
}

static enum fate choose_fate(struct prng *prng)
{
    const uint64_t chosen = prng_below(prng, 100);
    return chosen < 72   ? FATE_COMMIT
           : chosen < 82 ? FATE_RELEASE
           : chosen < 90 ? FATE_LATE
                         : FATE_EXPIRE;
}

static void choose_decision(struct playing *playing, struct sent *sent)
{
    const uint64_t customers = playing->play->settings->customers;
    if (playing->crowd_left > 0) {
        playing->crowd_left--;
        *sent = (struct sent){.operation = OPERATION_DENIED, .customer = playing->crowd_customer};
        return;
    }
    if (prng_below(&playing->prng, 100000) < CROWDS_IN_100000) {
        playing->crowd_left = CROWD;
        playing->crowd_customer = prng_below(&playing->prng, CROWDED_CUSTOMERS) % customers;
    }
    *sent = (struct sent){.operation = OPERATION_FREE};
    uint64_t chosen = prng_below(&playing->prng, 1000);
    for (size_t i = 0; i < COUNT_OF(mix); ++i) {
        if (chosen < mix[i].share) {
            sent->operation = mix[i].operation;
            break;
        }
        chosen -= mix[i].share;
    }
    const struct queued *repeated = queue_first(&playing->repeatable, *playing->play->clock_ms);
    if (sent->operation == OPERATION_REPEAT && repeated != NULL) {
        sent->customer = repeated->customer;
        sent->key = repeated->key;
        memcpy(sent->id, repeated->id, ID_BYTES);
        playing->repeatable.first++;
        return;
    }
    if (sent->operation == OPERATION_REPEAT) sent->operation = OPERATION_FREE;
    sent->customer =
        playing->left < customers ? playing->left : prng_below(&playing->prng, customers);
    if (playing->left % 2 == 0) sent->key = ++playing->next_key;
    sent->fate = choose_fate(&playing->prng);
}

/* A hold that waits for its end, if there is one. */
static bool take_ending(struct playing *playing, struct sent *sent)
{
    const int64_t now_ms = *playing->play->clock_ms;
    struct queue *queue = &playing->overdue;
    const struct queued *queued = queue_first(queue, now_ms);
    if (queued == NULL) queued = queue_first(queue = &playing->endings, now_ms);
    if (queued == NULL) return false;
    *sent = (struct sent){.operation =
                              queued->fate == FATE_RELEASE ? OPERATION_RELEASE : OPERATION_COMMIT};
    memcpy(sent->id, queued->id, ID_BYTES);
    queue->first++;
    return true;
}

static void put_request(struct playing *playing, struct pool_job *job, const char *method,
                        const char *path, struct bytes body)
{
    const struct client_request request = {.method = method, .path = path, .body = body};
    client_request_put(job->request, &playing->play->server->address, &request);
}

static bool put_batch(struct playing *playing, struct slot *slot, struct pool_job *job)
{
    static uint8_t block[POOL_REQUEST_BYTES_MAX];
    const struct soak_settings *settings = playing->play->settings;
    struct buffer body = buffer_over(block, sizeof(block));
    slot->job = JOB_BATCH;
    slot->count = 0;
    buffer_put_text(&body, "{\"operations\":[");
    while (slot->count < settings->batch &&
           buffer_bytes(&body).length + OPERATION_BYTES_MAX + FRAME_BYTES < sizeof(block)) {
        struct sent *sent = &slot->sent[slot->count];
        const bool is_ending = take_ending(playing, sent);
        if (!is_ending && playing->left == settings->decisions) break;
        if (slot->count++ > 0) buffer_put_byte(&body, ',');
        if (is_ending) {
            put_ending(&body, sent, &playing->prng);
            continue;
        }
        choose_decision(playing, sent);
        if (sent->operation != OPERATION_REPEAT) playing->left++;
        put_decision(&body, sent, &playing->prng);
    }
    buffer_put_text(&body, "]}");
    if (slot->count == 0) return false;
    put_request(playing, job, "POST", "/v1/batch", buffer_bytes(&body));
    return true;
}

static bool put_refund(struct playing *playing, struct slot *slot, struct pool_job *job)
{
    char path[64];
    const struct queued *queued = queue_first(&playing->refundable, *playing->play->clock_ms);
    if (queued == NULL) return false;
    slot->job = JOB_REFUND;
    (void)snprintf(path, sizeof(path), "/v1/decisions/%s/refund", queued->id);
    playing->refundable.first++;
    put_request(playing, job, "POST", path, BYTES("{\"all\":true,\"reason\":\"soak\"}"));
    return true;
}

/* Every twentieth customer has bought something, as soon as they are known. */
static bool put_grant(struct playing *playing, struct slot *slot, struct pool_job *job)
{
    char path[64];
    if (playing->granted >= playing->play->settings->customers || playing->granted >= playing->left)
        return false;
    slot->job = JOB_GRANT;
    (void)snprintf(path, sizeof(path), "/v1/customers/c%07" PRIu64 "/grants", playing->granted);
    playing->granted += 20;
    put_request(playing, job, "POST", path, BYTES("{\"category\":\"paid\",\"credits\":\"1000\"}"));
    return true;
}

static bool put_clock(struct playing *playing, struct slot *slot, struct pool_job *job)
{
    char body[64];
    const int64_t passed_ms = *playing->play->clock_ms - playing->start_ms;
    const int64_t due_ms =
        (int64_t)(playing->left * 1000 / playing->play->settings->pace) - passed_ms;
    if (playing->moves_clock || due_ms < 1000) return false;
    playing->moves_clock = true;
    *playing->play->clock_ms += due_ms;
    slot->job = JOB_CLOCK;
    (void)snprintf(body, sizeof(body), "{\"advance_ms\":%" PRId64 "}", due_ms);
    put_request(playing, job, "POST", "/v1/clock", bytes_of_text(body));
    return true;
}

static bool put_health(struct playing *playing, struct slot *slot, struct pool_job *job,
                       int64_t now_ns)
{
    if (playing->asks_health || now_ns < playing->health_ns) return false;
    playing->asks_health = true;
    playing->health_ns = now_ns + HEALTH_MS * SOAK_SECOND_NS / 1000;
    slot->job = JOB_HEALTH;
    put_request(playing, job, "GET", "/healthz", BYTES_NONE);
    return true;
}

static enum pool_turn next_job(void *self, int64_t now_ns, struct pool_job *job, int64_t *at_ns_out)
{
    struct playing *playing = self;
    const uint32_t place = playing->free_slots[playing->free_count - 1];
    struct slot *slot = &playing->slots[place];
    (void)at_ns_out;
    job->token = place;
    if (!put_health(playing, slot, job, now_ns) && !put_clock(playing, slot, job) &&
        !put_grant(playing, slot, job) && !put_refund(playing, slot, job) &&
        !put_batch(playing, slot, job))
        return POOL_DONE;
    playing->free_count--;
    return POOL_JOB;
}

/* ---- what comes back */

struct text {
    const char *at;
    size_t length;
};

static const char *find(struct text text, const char *what)
{
    return memmem(text.at, text.length, what, strlen(what));
}

static void complain(struct playing *playing, struct text text)
{
    struct soak_tally *tally = playing->play->tally;
    if (tally->problems++ == 0)
        (void)snprintf(tally->first_problem, sizeof(tally->first_problem), "%.*s",
                       (int)(text.length < 200 ? text.length : 200), text.at);
}

static int64_t credits_behind(struct text text, const char *name)
{
    int64_t nano = 0;
    const char *found = find(text, name);
    if (found == NULL) return 0;
    found += strlen(name);
    return credits_parse((struct bytes){(const uint8_t *)found, strcspn(found, "\"")}, &nano) ? nano
                                                                                              : 0;
}

static bool take_id(struct text text, char id_out[ID_BYTES])
{
    static const char name[] = "{\"decision_id\":\"";
    if (text.length < sizeof(name) + ID_BYTES || memcmp(text.at, name, sizeof(name) - 1) != 0)
        return false;
    const char *id = text.at + sizeof(name) - 1;
    const size_t length = strcspn(id, "\"");
    if (length >= ID_BYTES) return false;
    (void)snprintf(id_out, ID_BYTES, "%.*s", (int)length, id);
    return true;
}

static void add(struct playing *playing, enum soak_event event, int64_t charged)
{
    struct soak_sum *sum = &playing->play->tally->events[event];
    sum->count++;
    sum->charged += charged;
}

static int64_t later_ms(const struct playing *playing, int64_t most_ms)
{
    const struct soak_settings *settings = playing->play->settings;
    const int64_t third_ms = (int64_t)(settings->decisions * 1000 / settings->pace / 3);
    return third_ms < most_ms ? third_ms : most_ms;
}

static void hear_decision(struct playing *playing, const struct sent *sent, struct text text)
{
    struct queued queued = {.customer = sent->customer, .key = sent->key, .fate = sent->fate};
    if (!take_id(text, queued.id)) {
        complain(playing, text);
        return;
    }
    playing->play->tally->decisions++;
    if (find(text, "\"outcome\":\"deny\"") != NULL) {
        add(playing, SOAK_DENIAL, 0);
        return;
    }
    const int64_t charged = credits_behind(text, "],\"charged\":\"");
    const int64_t now_ms = *playing->play->clock_ms;
    queued.due_ms = now_ms;
    if (sent->operation == OPERATION_AUTHORIZE) {
        playing->play->tally->holds++;
        if (queued.fate == FATE_LATE) queued.due_ms += HOLD_MS + LATE_MS;
        if (queued.fate == FATE_COMMIT || queued.fate == FATE_RELEASE)
            queue_put(&playing->endings, &queued);
        else if (queued.fate == FATE_LATE)
            queue_put(&playing->overdue, &queued);
        return;
    }
    add(playing, sent->operation == OPERATION_USAGE ? SOAK_USAGE : SOAK_CONSUME, charged);
    const uint64_t number = playing->play->tally->decisions;
    if (charged > 0 && number % 32 == 0) {
        queued.due_ms = now_ms + later_ms(playing, REFUND_MS);
        queue_put(&playing->refundable, &queued);
    }
    if (sent->operation == OPERATION_FREE && sent->key % 32 == 1) {
        queued.due_ms = now_ms + later_ms(playing, REPEAT_MS);
        queue_put(&playing->repeatable, &queued);
    }
}

static void hear_operation(struct playing *playing, const struct sent *sent, struct text text)
{
    char id[ID_BYTES];
    switch (sent->operation) {
    case OPERATION_REPEAT:
        if (!take_id(text, id) || strcmp(id, sent->id) != 0)
            complain(playing, text);
        else
            playing->play->tally->repeats++;
        return;
    case OPERATION_COMMIT:
        if (!take_id(text, id) || find(text, "\"outcome\":\"committed\"") == NULL)
            complain(playing, text);
        else
            add(playing, find(text, "\"late\":true") != NULL ? SOAK_LATE : SOAK_COMMIT,
                credits_behind(text, "],\"charged\":\""));
        return;
    case OPERATION_RELEASE:
        if (find(text, "\"state\":\"released\"") != NULL)
            add(playing, SOAK_RELEASE, 0);
        else if (find(text, "\"state\":\"expired\"") == NULL)
            complain(playing, text);
        return;
    case OPERATION_FREE:
    case OPERATION_SPLIT:
    case OPERATION_PAID:
    case OPERATION_AUTHORIZE:
    case OPERATION_USAGE:
    case OPERATION_DENIED:
        hear_decision(playing, sent, text);
        return;
    }
}

/* One result after the other: an object each. Returns NULL when there is none. */
static const char *next_result(const char *at, struct text *text_out)
{
    at = strchr(at, '{');
    if (at == NULL) return NULL;
    const char *begin = at;
    unsigned depth = 0;
    for (;; ++at) {
        at += strcspn(at, "\"{}");
        if (*at == '\0') return NULL;
        if (*at == '"') {
            for (++at; *at != '"'; ++at)
                if (*at == '\0' || (*at == '\\' && *++at == '\0')) return NULL;
        } else if (*at == '{') {
            ++depth;
        } else if (--depth == 0) {
            *text_out = (struct text){begin, (size_t)(at + 1 - begin)};
            return at + 1;
        }
    }
}

static void hear_batch(struct playing *playing, const struct slot *slot, const char *body)
{
    const char *at = strchr(body, '[');
    uint32_t heard = 0;
    struct text text;
    while (at != NULL && heard < slot->count && (at = next_result(at, &text)) != NULL)
        hear_operation(playing, &slot->sent[heard++], text);
    if (heard != slot->count) complain(playing, (struct text){body, strlen(body)});
}

static void finish_window(struct playing *playing, int64_t now_ns)
{
    struct soak_window *window = playing->play->window;
    const struct soak_settings *settings = playing->play->settings;
    const uint64_t done = playing->play->tally->decisions;
    if (done < (window->decisions / (settings->decisions / SOAK_WINDOWS) + 1) *
                   (settings->decisions / SOAK_WINDOWS))
        return;
    window->decisions = done;
    window->duration_ns = now_ns - playing->window_ns;
    playing->play->window_over(playing->play->self, window);
    window->lag_us.count = window->latency_us.count = 0;
    playing->window_ns = pool_now_ns();
}

static void hear_answer(void *self, const struct pool_answer *answer)
{
    struct playing *playing = self;
    struct soak_window *window = playing->play->window;
    struct soak_tally *tally = playing->play->tally;
    struct slot *slot = &playing->slots[answer->token];
    const struct text text = {answer->body, strlen(answer->body)};
    playing->free_slots[playing->free_count++] = (uint32_t)answer->token;
    if (slot->job == JOB_CLOCK) playing->moves_clock = false;
    if (slot->job == JOB_HEALTH) playing->asks_health = false;
    if (answer->status < 200 || answer->status > 299) {
        complain(playing, text);
        return;
    }
    switch (slot->job) {
    case JOB_BATCH:
        soak_sample(&window->latency_us, answer->latency_ns / 1000);
        hear_batch(playing, slot, answer->body);
        finish_window(playing, pool_now_ns());
        return;
    case JOB_REFUND:
        tally->refunds.count++;
        tally->refunds.charged += credits_behind(text, "\"refunded\":\"");
        return;
    case JOB_HEALTH:
        soak_health_read(answer->body, &window->health);
        soak_sample(&window->lag_us, (int64_t)window->health.lag_ms * 1000);
        return;
    case JOB_GRANT:
        tally->grants++;
        return;
    case JOB_CLOCK:
        return;
    }
}

static void queue_open(struct queue *queue)
{
    queue->at = malloc(QUEUE_SIZE * sizeof(struct queued));
    if (queue->at == NULL) soak_fail("out of memory");
}

void soak_play_run(const struct soak_play *play)
{
    const uint32_t connections = (uint32_t)play->settings->connections;
    struct playing playing = {.play = play,
                              .prng = {.state = play->settings->seed},
                              .slots = malloc(connections * sizeof(struct slot)),
                              .free_slots = malloc(connections * sizeof(uint32_t)),
                              .start_ms = *play->clock_ms,
                              .window_ns = pool_now_ns()};
    if (playing.slots == NULL || playing.free_slots == NULL) soak_fail("out of memory");
    while (playing.free_count < connections) {
        playing.free_slots[playing.free_count] = playing.free_count;
        playing.free_count++;
    }
    struct queue *const queues[] = {&playing.endings, &playing.overdue, &playing.refundable,
                                    &playing.repeatable};
    for (size_t i = 0; i < COUNT_OF(queues); ++i)
        queue_open(queues[i]);
    const struct pool_settings settings = {
        .address = &play->server->address, .connections = connections, .attempts = 1};
    const struct pool_driver driver = {.self = &playing, .next = next_job, .answered = hear_answer};
    struct pool_counts counts;
    if (!pool_run(&settings, &driver, &counts)) soak_fail("out of memory");
    for (size_t i = 0; i < COUNT_OF(queues); ++i)
        free(queues[i]->at);
    free(playing.slots);
    free(playing.free_slots);
}
