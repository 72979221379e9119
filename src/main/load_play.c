/*
 * load_play.c: one row is one flight: authorize with what can be known before (tokens read are
 * exact, tokens written are a guess from the rows before), then commit with what it was. Every
 * authorize has a key of its own, so repeating it changes nothing; a commit is repeated safely
 * because its hold ends once.
 *
 * Every row ends exactly once, as allowed, partial, denied or failed, in `land`.
 *
 * With --clock the server's test clock is moved to each second in which the trace has rows, when
 * all rows before have landed: windows open and close, and paces refill, as they did in the trace.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "main/answer.h"
#include "main/load.h"
#include "main/progress.h"

#define NO_FLIGHT UINT32_MAX
#define CLOCK_TOKEN UINT64_MAX
#define CLOCK_STEP_MS (10 * SECOND_MS)

struct flight {
    size_t row;
    enum load_outcome outcome;
    bool is_committing;
    uint32_t next; /* in the list of free flights, or of those to be committed */
    uint64_t quantity[TRACE_METERS_MAX]; /* of the next request: estimated, then actual */
    uint64_t units_held;
    char decision_id[LOAD_ID_BYTES];
};

struct play {
    const struct load_settings *settings;
    const struct trace *trace;
    const uint32_t *customer_of;
    struct load_customer *customers;
    const volatile bool *stop;
    struct load_tally *tally;
    struct progress progress;
    int64_t start_ns;
    size_t next_row;
    uint64_t mean_256ths[TRACE_METERS_MAX];
    struct flight *flights; /* one per connection */
    uint32_t free;
    uint32_t to_commit;
    /* --clock */
    int64_t clock_base_ms; /* what the server's clock showed at first */
    int64_t clock_at_ms;   /* since then */
    bool clock_is_known;
    bool clock_is_moving;
    bool clock_is_stuck;
};

/* How a row ended, for its line in the record. */
struct landing {
    const char *reason; /* the denial's or the problem's code; "ok" */
    int64_t charged;
    uint64_t units; /* without overshoot */
    int64_t overshoot;
};

uint64_t load_mean_after(uint64_t mean_256ths, uint64_t actual)
{
    return mean_256ths - mean_256ths / 64 + actual * 4;
}

/* Rounded up to a power of two: real clients ask in round numbers. */
uint64_t load_estimate(uint64_t mean_256ths, int64_t factor_nano)
{
    const uint128 wanted = (uint128)mean_256ths * (uint64_t)factor_nano / 256 / NANO_PER_CREDIT;
    uint64_t estimate = 1;
    while (estimate < wanted && estimate < (UINT64_C(1) << 40))
        estimate *= 2;
    return estimate;
}

static bool is_estimated(const char *meter)
{
    return strncmp(meter, "output", 6) == 0;
}

static void put_quantities(const struct play *play, const struct flight *flight,
                           struct buffer *body)
{
    buffer_put_text(body, "\"quantities\":{");
    for (uint32_t i = 0; i < play->settings->map.count; ++i) {
        if (i > 0) buffer_put_text(body, ",");
        put_json_string(body, bytes_of_text(play->settings->map.at[i].meter));
        buffer_put_text(body, ":");
        buffer_put_decimal(body, flight->quantity[i]);
    }
    buffer_put_text(body, "}");
}

static void put_attributes(const struct load_pairs *attributes, struct buffer *body)
{
    if (attributes->count == 0) return;
    buffer_put_text(body, ",\"attributes\":{");
    for (uint32_t i = 0; i < attributes->count; ++i) {
        if (i > 0) buffer_put_text(body, ",");
        put_json_string(body, bytes_of_text(attributes->at[i].name));
        buffer_put_text(body, ":");
        put_json_string(body, bytes_of_text(attributes->at[i].value));
    }
    buffer_put_text(body, "}");
}

static void write_authorize(const struct play *play, const struct flight *flight,
                            struct buffer *request)
{
    uint8_t block[POOL_REQUEST_BYTES_MAX - 1024];
    char customer[LOAD_NAME_BYTES];
    struct buffer body = buffer_over(block, sizeof(block));
    load_customer_name(play->settings, play->customer_of[flight->row], customer);
    buffer_put_text(&body, "{\"customer\":");
    put_json_string(&body, bytes_of_text(customer));
    buffer_put_text(&body, ",\"feature\":");
    put_json_string(&body, bytes_of_text(play->settings->feature));
    buffer_put_text(&body, ",");
    put_quantities(play, flight, &body);
    put_attributes(&play->settings->attributes, &body);
    if (play->settings->takes_part) buffer_put_text(&body, ",\"min_units\":1");
    buffer_put_text(&body, ",\"idempotency_key\":\"");
    buffer_put_text(&body, play->settings->key_prefix);
    buffer_put_text(&body, "-");
    buffer_put_decimal(&body, flight->row);
    buffer_put_text(&body, "\"}");
    ENSURE(!body.overflowed);
    client_request_put(request, play->settings->address,
                       &(struct client_request){
                           .method = "POST", .path = "/v1/authorize", .body = buffer_bytes(&body)});
}

static void write_commit(const struct play *play, const struct flight *flight,
                         struct buffer *request)
{
    uint8_t block[1024];
    char path[LOAD_ID_BYTES + 32];
    struct buffer body = buffer_over(block, sizeof(block));
    buffer_put_text(&body, "{");
    put_quantities(play, flight, &body);
    buffer_put_text(&body, "}");
    ENSURE(!body.overflowed);
    (void)snprintf(path, sizeof(path), "/v1/holds/%s/commit", flight->decision_id);
    client_request_put(
        request, play->settings->address,
        &(struct client_request){.method = "POST", .path = path, .body = buffer_bytes(&body)});
}

/* What is known before the request runs. */
static void estimate(struct play *play, struct flight *flight)
{
    const struct trace_map *map = &play->settings->map;
    const struct trace_row *row = &play->trace->rows[flight->row];
    for (uint32_t i = 0; i < map->count; ++i) {
        flight->quantity[i] =
            is_estimated(map->at[i].meter)
                ? load_estimate(play->mean_256ths[i], play->settings->estimate_nano)
                : row->quantity[i];
        play->mean_256ths[i] = load_mean_after(play->mean_256ths[i], row->quantity[i]);
    }
}

/* When the row is due on the clock of the pool. */
static int64_t due_ns(const struct play *play, size_t row)
{
    if (play->settings->speed_nano == LOAD_SPEED_MAX_GIVEN) return play->start_ns;
    const int64_t since_ms = play->trace->rows[row].at_ms - play->trace->rows[0].at_ms;
    if (since_ms <= 0) return play->start_ns;
    const int128 since_ns = (int128)since_ms * 1000000 * NANO_PER_CREDIT;
    return play->start_ns + (int64_t)(since_ns / play->settings->speed_nano);
}

/* Asks for the time, or moves it to that of the next row. */
static void write_clock(const struct play *play, struct buffer *request)
{
    char now[INSTANT_TEXT_SIZE];
    char body[INSTANT_TEXT_SIZE + 32];
    (void)calendar_format(play->clock_base_ms + play->clock_at_ms, now);
    if (play->clock_is_known)
        (void)snprintf(body, sizeof(body), "{\"now\":\"%s\"}", now);
    else
        (void)snprintf(body, sizeof(body), "{\"advance_ms\":0}");
    client_request_put(request, play->settings->address,
                       &(struct client_request){
                           .method = "POST", .path = "/v1/clock", .body = bytes_of_text(body)});
}

static void clock_answered(struct play *play, const struct pool_answer *answer)
{
    CLEANUP(answer_free) yajl_val tree = answer_parse(answer->body);
    int64_t now_ms = 0;
    play->clock_is_moving = false;
    if (answer->status == 0) {
        play->clock_is_stuck = true;
        (void)fprintf(stderr, "weir load: --clock: the server's clock cannot be moved: nobody "
                              "answers\n");
        return;
    }
    if (answer->status != 200 ||
        !calendar_parse(bytes_of_text(answer_text(tree, "now")), &now_ms)) {
        play->clock_is_stuck = true;
        (void)fprintf(stderr, "weir load: --clock: the server's clock cannot be moved: %s\n",
                      answer_text(tree, "detail"));
        return;
    }
    if (!play->clock_is_known) play->clock_base_ms = now_ms;
    play->clock_is_known = true;
}

/* Whether the clock stands where the next row needs it. If not, *turn_out says what to do. */
static bool clock_is_right(struct play *play, struct pool_job *job, enum pool_turn *turn_out)
{
    const int64_t since_ms = play->trace->rows[play->next_row].at_ms - play->trace->rows[0].at_ms;
    const int64_t step_ms = since_ms < 0 ? 0 : since_ms - since_ms % CLOCK_STEP_MS;
    if (play->clock_is_moving) {
        *turn_out = POOL_LATER;
        return false;
    }
    if (play->clock_is_known && step_ms <= play->clock_at_ms) return true;
    if (play->next_row > play->tally->rows_played) {
        *turn_out = POOL_LATER;
        return false;
    }
    if (play->clock_is_known) play->clock_at_ms = step_ms;
    play->clock_is_moving = true;
    job->token = CLOCK_TOKEN;
    write_clock(play, job->request);
    *turn_out = POOL_JOB;
    return false;
}

static enum pool_turn play_next(void *self, int64_t now_ns, struct pool_job *job,
                                int64_t *at_ns_out)
{
    struct play *play = self;
    progress_show(&play->progress, play->tally->rows_played);
    if (play->to_commit != NO_FLIGHT) {
        struct flight *flight = &play->flights[play->to_commit];
        job->token = play->to_commit;
        play->to_commit = flight->next;
        write_commit(play, flight, job->request);
        return POOL_JOB;
    }
    if (play->next_row == play->trace->count || *play->stop || play->clock_is_stuck)
        return POOL_DONE;
    enum pool_turn turn = POOL_JOB;
    if (play->settings->moves_clock && !clock_is_right(play, job, &turn)) return turn;
    const int64_t due = due_ns(play, play->next_row);
    if (due > now_ns) {
        *at_ns_out = due;
        return POOL_LATER;
    }
    if (play->settings->speed_nano != LOAD_SPEED_MAX_GIVEN && now_ns - due > play->tally->behind_ns)
        play->tally->behind_ns = now_ns - due;
    ENSURE(play->free != NO_FLIGHT);
    struct flight *flight = &play->flights[play->free];
    job->token = play->free;
    play->free = flight->next;
    *flight = (struct flight){.row = play->next_row++};
    estimate(play, flight);
    write_authorize(play, flight, job->request);
    return POOL_JOB;
}

static void record(const struct play *play, const struct flight *flight,
                   const struct landing *landing)
{
    static const char *const outcomes[] = {"allow", "partial", "deny", "failed"};
    const struct trace_map *map = &play->settings->map;
    FILE *file = play->settings->record;
    char customer[LOAD_NAME_BYTES];
    char charged[CREDITS_TEXT_SIZE];
    char overshoot[CREDITS_TEXT_SIZE];
    if (file == NULL) return;
    load_customer_name(play->settings, play->customer_of[flight->row], customer);
    (void)credits_format(landing->charged, charged);
    (void)credits_format(landing->overshoot, overshoot);
    (void)fprintf(file, "{\"row\":%zu,\"customer\":\"%s\"", flight->row, customer);
    for (uint32_t i = 0; i < map->count; ++i)
        (void)fprintf(file, ",\"%s\":%" PRIu64, map->at[i].meter,
                      flight->is_committing ? flight->quantity[i]
                                            : play->trace->rows[flight->row].quantity[i]);
    (void)fprintf(file,
                  ",\"outcome\":\"%s\",\"reason\":\"%s\",\"decision_id\":\"%s\",\"charged\":\"%s\","
                  "\"units\":%" PRIu64 ",\"overshoot\":\"%s\"}\n",
                  outcomes[flight->outcome], landing->reason, flight->decision_id, charged,
                  landing->units, overshoot);
}

static void land(struct play *play, uint32_t number, const struct landing *landing)
{
    struct flight *flight = &play->flights[number];
    ++play->tally->outcomes[flight->outcome];
    ++play->tally->rows_played;
    struct load_customer *customer = &play->customers[play->customer_of[flight->row]];
    if (flight->outcome == LOAD_FAILED) {
        customer->is_spoiled = true;
    } else {
        ++customer->told.requests;
        customer->told.denied += flight->outcome == LOAD_DENIED;
        customer->told.charged += landing->charged;
    }
    record(play, flight, landing);
    flight->next = play->free;
    play->free = number;
}

static void land_failed(struct play *play, uint32_t number, const struct pool_answer *answer)
{
    CLEANUP(answer_free) yajl_val problem = answer_parse(answer->body);
    const char *code = answer->status == 0 ? "no_answer" : answer_text(problem, "code");
    if (code[0] == '\0') code = "not_understood";
    if (answer->status == 0) ++play->tally->rows_unanswered;
    load_tally_code(&play->tally->failures, code, answer_text(problem, "detail"));
    play->flights[number].outcome = LOAD_FAILED;
    land(play, number, &(struct landing){.reason = code});
}

static void decided(struct play *play, uint32_t number, yajl_val answer)
{
    struct flight *flight = &play->flights[number];
    const char *outcome = answer_text(answer, "outcome");
    const char *reason = answer_text(answer, "reason.code");
    (void)snprintf(flight->decision_id, sizeof(flight->decision_id), "%s",
                   answer_text(answer, "decision_id"));
    if (strcmp(outcome, "deny") == 0) {
        flight->outcome = LOAD_DENIED;
        load_tally_code(&play->tally->denials, reason, answer_text(answer, "reason.message"));
        land(play, number, &(struct landing){.reason = reason});
        return;
    }
    const uint64_t requested = answer_count(answer, "units.requested");
    flight->units_held = answer_count(answer, "units.allowed");
    play->tally->units_held += flight->units_held;

    const struct trace_row *row = &play->trace->rows[flight->row];
    const bool is_partial = strcmp(outcome, "partial") == 0;
    flight->outcome = is_partial ? LOAD_PARTIAL : LOAD_ALLOWED;
    for (uint32_t i = 0; i < play->settings->map.count; ++i) {
        uint64_t actual = row->quantity[i];
        /* Who got a part stops there. */
        const uint128 share = (uint128)flight->quantity[i] * flight->units_held;
        if (is_partial && requested > 0 && actual > share / requested)
            actual = (uint64_t)(share / requested);
        flight->quantity[i] = actual;
    }
    flight->is_committing = true;
    flight->next = play->to_commit;
    play->to_commit = number;
}

/* A source has a line for what was held and one for what was used beyond: still one row. */
static bool is_named_before(yajl_val answer, size_t line)
{
    const yajl_val own = answer_item(answer, "allocations", line);
    for (size_t i = 0; i < line; ++i) {
        const yajl_val other = answer_item(answer, "allocations", i);
        if (strcmp(answer_text(other, "source"), answer_text(own, "source")) == 0 &&
            strcmp(answer_text(other, "kind"), answer_text(own, "kind")) == 0)
            return true;
    }
    return false;
}

static void committed(struct play *play, uint32_t number, yajl_val answer)
{
    struct flight *flight = &play->flights[number];
    struct load_customer *customer = &play->customers[play->customer_of[flight->row]];
    struct load_tally *tally = play->tally;
    for (size_t i = 0; i < answer_length(answer, "allocations"); ++i) {
        const yajl_val line = answer_item(answer, "allocations", i);
        struct load_source source = {.rows = is_named_before(answer, i) ? 0 : 1,
                                     .units = answer_count(line, "units"),
                                     .charged = answer_credits(line, "charged")};
        (void)snprintf(source.name, sizeof(source.name), "%s", answer_text(line, "source"));
        (void)snprintf(source.kind, sizeof(source.kind), "%s", answer_text(line, "kind"));
        load_tally_source(tally, &source);
        if (strcmp(source.kind, "grant") == 0) customer->charged += source.charged;
    }
    const uint64_t allowed = answer_count(answer, "units.allowed");
    const uint64_t beyond = answer_count(answer, "overshoot.units");
    const int64_t beyond_charged = answer_credits(answer, "overshoot.charged");
    if (answer_at(answer, "overshoot") != NULL) {
        ++tally->overshoot.rows;
        tally->overshoot.units += beyond;
        tally->overshoot.charged += beyond_charged;
        tally->overshoot.refunded += answer_credits(answer, "overshoot.refunded");
        if (strcmp(answer_text(answer, "overshoot_booked"), "debt") == 0)
            customer->charged += beyond_charged;
    }
    if (answer_is_true(answer, "late")) ++tally->late;
    if (allowed + beyond > flight->units_held) ++tally->underestimated;
    tally->units_used += allowed + beyond;
    land(play, number,
         &(struct landing){.reason = "ok",
                           .charged = answer_credits(answer, "charged"),
                           .units = allowed,
                           .overshoot = beyond_charged});
}

static void play_answered(void *self, const struct pool_answer *answer)
{
    struct play *play = self;
    if (answer->token == CLOCK_TOKEN) {
        clock_answered(play, answer);
        return;
    }
    const uint32_t number = (uint32_t)answer->token;
    const bool is_commit = play->flights[number].is_committing;
    ++play->tally->requests;
    if (answer->status != 200) {
        land_failed(play, number, answer);
        return;
    }
    load_latencies_add(is_commit ? &play->tally->commit : &play->tally->authorize,
                       answer->latency_ns);
    CLEANUP(answer_free) yajl_val tree = answer_parse(answer->body);
    if (answer_text(tree, "outcome")[0] == '\0' || answer_text(tree, "decision_id")[0] == '\0')
        land_failed(play, number, answer);
    else if (is_commit)
        committed(play, number, tree);
    else
        decided(play, number, tree);
}

bool load_play(const struct load_settings *settings, const struct trace *trace,
               const uint32_t *customer_of, struct load_customer *customers,
               const volatile bool *stop, struct load_tally *tally)
{
    struct play play = {
        .settings = settings,
        .trace = trace,
        .customer_of = customer_of,
        .customers = customers,
        .stop = stop,
        .tally = tally,
        .progress = progress_begin("rows", trace->count),
        .flights = calloc(settings->connections, sizeof(struct flight)),
        .to_commit = NO_FLIGHT,
    };
    if (play.flights == NULL) return false;
    for (uint32_t i = 0; i < settings->connections; ++i)
        play.flights[i].next = i + 1 < settings->connections ? i + 1 : NO_FLIGHT;
    for (uint32_t i = 0; i < TRACE_METERS_MAX; ++i)
        play.mean_256ths[i] = UINT64_C(256) * 256;

    const struct pool_settings pool = load_pool(settings);
    const struct pool_driver driver = {.self = &play, .next = play_next, .answered = play_answered};
    struct pool_counts counts = {0};
    play.start_ns = pool_now_ns();
    const bool is_run = pool_run(&pool, &driver, &counts);
    tally->duration_ns = pool_now_ns() - play.start_ns;
    tally->retries = counts.retries;
    tally->silence_ns = counts.silence_ns;
    progress_end(&play.progress);
    free(play.flights);
    return is_run && (!play.clock_is_stuck || tally->rows_played > 0);
}
