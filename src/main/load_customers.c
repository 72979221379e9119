/*
 * load_customers.c: rows belong to customers as requests do in life: few send much, many send
 * little (Zipf), the same for the same seed. What they have, and what the books say of them, is
 * read before and after.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "main/answer.h"
#include "main/load.h"
#include "main/progress.h"

#define BOOKS_LOOK_NS 50000000

enum { BOOKS_CONNECTIONS_MAX = 4 };

void load_customer_name(const struct load_settings *settings, uint32_t customer,
                        char name_out[LOAD_NAME_BYTES])
{
    (void)snprintf(name_out, LOAD_NAME_BYTES, "%s%05" PRIu32, settings->customer_prefix,
                   customer + 1);
}

/* Cumulative weights 1 / rank^exponent. */
static void weigh(const struct load_settings *settings, uint64_t *cumulative_out)
{
    const double exponent = (double)settings->zipf_nano / NANO_PER_CREDIT;
    uint64_t sum = 0;
    for (uint64_t rank = 1; rank <= settings->customers; ++rank) {
        const double share = settings->is_uniform ? 1.0 : pow((double)rank, -exponent);
        sum += 1 + (uint64_t)(share * 1e12);
        cumulative_out[rank - 1] = sum;
    }
}

bool load_assign_customers(const struct load_settings *settings, size_t rows,
                           uint32_t *customer_of_out)
{
    uint64_t *cumulative = malloc(settings->customers * sizeof(*cumulative));
    if (cumulative == NULL) return false;
    weigh(settings, cumulative);
    struct prng prng = {.state = settings->seed};
    for (size_t row = 0; row < rows; ++row) {
        const uint64_t at = prng_below(&prng, cumulative[settings->customers - 1]);
        uint32_t low = 0;
        uint32_t high = (uint32_t)settings->customers - 1;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (cumulative[middle] > at)
                high = middle;
            else
                low = middle + 1;
        }
        customer_of_out[row] = low;
    }
    free(cumulative);
    return true;
}

/* One request for each customer that the trace uses. */
struct round {
    const struct load_settings *settings;
    struct load_customer *customers;
    uint32_t next;
    uint32_t grant; /* which of the settings' grants */
    enum load_moment moment;
    bool is_refused;
    bool only_in_books;
    void (*write)(const struct round *round, const char *name, struct buffer *request);
    void (*take)(struct round *round, struct load_customer *customer, const char *body);
};

static enum pool_turn round_next(void *self, int64_t now_ns, struct pool_job *job,
                                 int64_t *at_ns_out)
{
    struct round *round = self;
    char name[LOAD_NAME_BYTES];
    (void)now_ns;
    (void)at_ns_out;
    while (round->next < round->settings->customers &&
           !(round->only_in_books ? round->customers[round->next].is_in_books
                                  : round->customers[round->next].is_used))
        ++round->next;
    if (round->next == round->settings->customers || round->is_refused) return POOL_DONE;
    load_customer_name(round->settings, round->next, name);
    job->token = round->next++;
    round->write(round, name, job->request);
    return POOL_JOB;
}

static void round_answered(void *self, const struct pool_answer *answer)
{
    struct round *round = self;
    if (answer->status >= 200 && answer->status < 300) {
        if (round->take != NULL) round->take(round, &round->customers[answer->token], answer->body);
        return;
    }
    if (round->is_refused) return; /* the first says it */
    round->is_refused = true;
    char name[LOAD_NAME_BYTES];
    load_customer_name(round->settings, (uint32_t)answer->token, name);
    if (answer->status == 0) {
        (void)fprintf(stderr, "weir load: nobody answers on %s; is `weir serve` running?\n",
                      round->settings->address->url);
        return;
    }
    char who[LOAD_NAME_BYTES + 32];
    (void)snprintf(who, sizeof(who), "load: customer %s", name);
    client_complain(who, &(struct client_answer){.status = answer->status,
                                                 .body = answer->body,
                                                 .body_length = strlen(answer->body)});
}

struct pool_settings load_pool(const struct load_settings *settings)
{
    return (struct pool_settings){
        .address = settings->address,
        .connections = (uint32_t)settings->connections,
        .attempts = (uint32_t)settings->attempts,
        .patience_ns = settings->patience_ms * INT64_C(1000000),
    };
}

static bool run_round(struct round *round)
{
    struct pool_settings pool = load_pool(round->settings);
    /* The server reads its books a few at a time. */
    if (round->only_in_books && pool.connections > BOOKS_CONNECTIONS_MAX)
        pool.connections = BOOKS_CONNECTIONS_MAX;
    const struct pool_driver driver = {
        .self = round, .next = round_next, .answered = round_answered};
    struct pool_counts counts;
    return pool_run(&pool, &driver, &counts) && !round->is_refused;
}

static void write_request(const struct round *round, const char *method, const char *name,
                          const char *call, const struct buffer *body, struct buffer *request)
{
    uint8_t block[CLIENT_PATH_BYTES_MAX];
    struct buffer path = buffer_over(block, sizeof(block));
    buffer_put_text(&path, "/v1/customers/");
    put_path_part(&path, name);
    buffer_put_text(&path, call);
    buffer_put_byte(&path, '\0');
    ENSURE(!path.overflowed);
    client_request_put(
        request, round->settings->address,
        &(struct client_request){.method = method,
                                 .path = (const char *)block,
                                 .body = body != NULL ? buffer_bytes(body) : BYTES_NONE});
}

/* A PUT of nothing makes a stranger a customer of the default plan, so that there is a balance to
 * read before the first decision. */
static void write_customer(const struct round *round, const char *name, struct buffer *request)
{
    uint8_t block[256];
    struct buffer body = buffer_over(block, sizeof(block));
    buffer_put_text(&body, "{");
    if (round->settings->plan != NULL) {
        buffer_put_text(&body, "\"plan\":");
        put_json_string(&body, bytes_of_text(round->settings->plan));
    }
    buffer_put_text(&body, "}");
    write_request(round, "PUT", name, "", &body, request);
}

static void write_grant(const struct round *round, const char *name, struct buffer *request)
{
    uint8_t block[1024];
    struct buffer body = buffer_over(block, sizeof(block));
    const char *category = round->settings->grants.at[round->grant].name;
    buffer_put_text(&body, "{\"category\":");
    put_json_string(&body, bytes_of_text(category));
    buffer_put_text(&body, ",\"credits\":");
    put_json_string(&body, bytes_of_text(round->settings->grants.at[round->grant].value));
    buffer_put_text(&body, ",\"reason\":\"weir load\",\"idempotency_key\":\"");
    buffer_put_text(&body, round->settings->key_prefix);
    buffer_put_text(&body, "-grant-");
    buffer_put_decimal(&body, round->grant);
    buffer_put_text(&body, "\"}");
    write_request(round, "POST", name, "/grants", &body, request);
}

static void write_balance(const struct round *round, const char *name, struct buffer *request)
{
    write_request(round, "GET", name, "/balance", NULL, request);
}

static void take_balance(struct round *round, struct load_customer *customer, const char *body)
{
    CLEANUP(answer_free) yajl_val tree = answer_parse(body);
    const struct load_balance balance = {.available = answer_credits(tree, "available"),
                                         .held = answer_credits(tree, "held")};
    if (round->moment == LOAD_BEFORE)
        customer->before = balance;
    else
        customer->after = balance;
}

bool load_prepare_customers(const struct load_settings *settings, struct load_customer *customers)
{
    struct round round = {.settings = settings, .customers = customers, .write = write_customer};
    if (!run_round(&round)) return false;
    for (uint32_t grant = 0; grant < settings->grants.count; ++grant) {
        round = (struct round){
            .settings = settings, .customers = customers, .grant = grant, .write = write_grant};
        if (!run_round(&round)) return false;
    }
    return true;
}

static uint32_t first_used(const struct load_customer *customers)
{
    uint32_t customer = 0;
    while (!customers[customer].is_used)
        ++customer;
    return customer;
}

bool load_find_unit(const struct load_settings *settings, const struct load_customer *customers,
                    bool *unit_is_cost_out)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    uint8_t block[CLIENT_PATH_BYTES_MAX];
    char name[LOAD_NAME_BYTES];
    struct buffer path = buffer_over(block, sizeof(block));
    load_customer_name(settings, first_used(customers), name);
    buffer_put_text(&path, "/v1/customers/");
    put_path_part(&path, name);
    buffer_put_text(&path, "/status?feature=");
    put_path_part(&path, settings->feature);
    buffer_put_byte(&path, '\0');
    if (!client_call("load", settings->address,
                     &(struct client_request){.method = "GET", .path = (const char *)block},
                     &answer))
        return false;
    CLEANUP(answer_free) yajl_val tree = answer_parse(answer.body);
    if (strcmp(answer_text(tree, "code"), "unknown_feature") == 0) {
        (void)fprintf(stderr,
                      "weir load: the policy has no feature '%s': --feature NAME asks for one that "
                      "it has\n",
                      settings->feature);
        return false;
    }
    if (answer.status != 200) {
        client_complain("load", &answer);
        return false;
    }
    const yajl_val feature = answer_item(tree, "features", 0);
    if (strcmp(answer_text(feature, "reason"), "not_entitled") == 0)
        (void)fprintf(stderr,
                      "weir load: the plan of %s does not have the feature '%s', so that it is "
                      "denied: --feature NAME asks for another, --plan NAME puts customers in one "
                      "that has it\n",
                      name, settings->feature);
    *unit_is_cost_out = strcmp(answer_text(feature, "unit"), "cost") == 0;
    return true;
}

bool load_read_balances(const struct load_settings *settings, struct load_customer *customers,
                        enum load_moment moment)
{
    struct round round = {.settings = settings,
                          .customers = customers,
                          .moment = moment,
                          .write = write_balance,
                          .take = take_balance};
    return run_round(&round);
}

static void put_books_path(struct buffer *path, const char *name)
{
    buffer_put_text(path, "/v1/usage?customer=");
    put_path_part(path, name);
    buffer_put_byte(path, '\0');
    ENSURE(!path->overflowed);
}

static void write_books(const struct round *round, const char *name, struct buffer *request)
{
    uint8_t block[CLIENT_PATH_BYTES_MAX];
    struct buffer path = buffer_over(block, sizeof(block));
    put_books_path(&path, name);
    client_request_put(request, round->settings->address,
                       &(struct client_request){.method = "GET", .path = (const char *)block});
}

static void take_books(struct round *round, struct load_customer *customer, const char *body)
{
    CLEANUP(answer_free) yajl_val tree = answer_parse(body);
    const yajl_val row = answer_item(tree, "usage", 0);
    const struct load_books books = {.requests = answer_count(row, "requests"),
                                     .denied = answer_count(row, "denied"),
                                     .charged = answer_credits(row, "charged")};
    if (round->moment == LOAD_BEFORE)
        customer->books_before = books;
    else
        customer->books_after = books;
}

bool load_read_books(const struct load_settings *settings, struct load_customer *customers,
                     enum load_moment moment)
{
    struct round round = {.settings = settings,
                          .customers = customers,
                          .moment = moment,
                          .only_in_books = true,
                          .write = write_books,
                          .take = take_books};
    return run_round(&round);
}

/* Which batches must be settled, so that the books have all that was told by now. */
struct books_wanted {
    uint64_t sequence; /* once it is known */
    bool is_known;
    bool has_read;
    char second[INSTANT_TEXT_SIZE]; /* of the crowds that must be over before it is; or "" */
};

/* Where time stands still, no second ends by itself: a reader ends the count. */
static bool end_crowds(const struct load_settings *settings, const struct load_customer *customers)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    uint8_t block[CLIENT_PATH_BYTES_MAX];
    char name[LOAD_NAME_BYTES];
    struct buffer path = buffer_over(block, sizeof(block));
    load_customer_name(settings, first_used(customers), name);
    put_books_path(&path, name);
    if (!client_call("load", settings->address,
                     &(struct client_request){.method = "GET", .path = (const char *)block},
                     &answer))
        return false;
    if (answer.status != 200) client_complain("load", &answer);
    return answer.status == 200;
}

/* Denials that joined a crowd are in no batch before their second is over. */
static bool find_wanted(const struct load_settings *settings, const struct load_customer *customers,
                        yajl_val health, struct books_wanted *wanted)
{
    const char *second = answer_text(health, "crowds.second");
    const bool has_crowds = answer_count(health, "crowds.open") > 0;
    if (has_crowds && answer_is_true(health, "clock.test") && !wanted->has_read) {
        wanted->has_read = true;
        return end_crowds(settings, customers);
    }
    if (wanted->second[0] == '\0' && has_crowds && !wanted->has_read)
        (void)snprintf(wanted->second, sizeof(wanted->second), "%s", second);
    if (has_crowds && strcmp(wanted->second, second) == 0) return true;
    const uint64_t durable = answer_count(health, "journal.sequence");
    const uint64_t told_in = answer_count(health, "crowds.told_in");
    wanted->sequence = durable > told_in ? durable : told_in;
    wanted->is_known = true;
    return true;
}

bool load_wait_for_books(const struct load_settings *settings,
                         const struct load_customer *customers)
{
    const struct client_request request = {.method = "GET", .path = "/healthz"};
    const struct timespec rest = {.tv_nsec = BOOKS_LOOK_NS};
    struct progress progress = progress_begin("waiting for the books", 0);
    struct books_wanted wanted = {0};
    uint64_t settled_before = 0;
    int64_t moved_ns = pool_now_ns();
    for (;;) {
        CLEANUP(client_answer_free) struct client_answer answer = {0};
        if (!client_call("load", settings->address, &request, &answer)) break;
        CLEANUP(answer_free) yajl_val health = answer_parse(answer.body);
        const uint64_t settled = answer_count(health, "settlement.sequence");
        if (!wanted.is_known && !find_wanted(settings, customers, health, &wanted)) break;
        if (settled > settled_before || !wanted.is_known) moved_ns = pool_now_ns();
        settled_before = settled;
        if (wanted.is_known && settled >= wanted.sequence) {
            progress_end(&progress);
            return true;
        }
        if (pool_now_ns() - moved_ns > settings->patience_ms * INT64_C(1000000)) {
            (void)fprintf(stderr,
                          "weir load: the books stand still at batch %" PRIu64 " of %" PRIu64 "\n",
                          settled, wanted.sequence);
            break;
        }
        progress_show(&progress, 0);
        (void)nanosleep(&rest, NULL);
    }
    progress_end(&progress);
    return false;
}

static void audit_books(const struct load_customer *customer, uint32_t number,
                        struct load_verdict *verdict)
{
    const struct load_books *told = &customer->told;
    const struct load_books found = {
        .requests = customer->books_after.requests - customer->books_before.requests,
        .denied = customer->books_after.denied - customer->books_before.denied,
        .charged = customer->books_after.charged - customer->books_before.charged};
    ++verdict->books_customers;
    verdict->told.requests += told->requests;
    verdict->told.denied += told->denied;
    verdict->told.charged += told->charged;
    verdict->found.requests += found.requests;
    verdict->found.denied += found.denied;
    verdict->found.charged += found.charged;
    if (told->requests == found.requests && told->denied == found.denied &&
        told->charged == found.charged)
        return;
    if (verdict->books_differing == 0) verdict->books_first_differing = number;
    ++verdict->books_differing;
}

struct load_verdict load_audit(const struct load_settings *settings,
                               const struct load_customer *customers)
{
    struct load_verdict verdict = {0};
    for (uint32_t i = 0; i < settings->customers; ++i) {
        const struct load_customer *customer = &customers[i];
        if (!customer->is_used) continue;
        const int64_t moved = customer->before.available - customer->after.available;
        ++verdict.customers;
        if (customer->is_spoiled) {
            ++verdict.spoiled;
            continue;
        }
        if (customer->is_in_books) audit_books(customer, i, &verdict);
        verdict.moved += moved;
        verdict.charged += customer->charged;
        if (moved != customer->charged || customer->before.held != customer->after.held) {
            if (verdict.differing == 0) verdict.first_differing = i;
            ++verdict.differing;
        }
    }
    return verdict;
}
