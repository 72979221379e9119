/*
 * status.c: `weir status`, what a customer's next request would meet, from the state that decides;
 * what is left, and for how long at the pace of late, from the books.
 */
#include "main/status.h"

#include "main/client.h"
#include "main/commands.h"
#include "main/options.h"

struct status_options {
    struct client_options client;
    const char *subject;
    const char *feature;
    bool is_json;
};

static void put_query(struct buffer *path, const char *name, const char *value, char *separator)
{
    if (value == NULL) return;
    buffer_put_byte(path, (uint8_t)*separator);
    buffer_put_text(path, name);
    buffer_put_text(path, "=");
    put_path_part(path, value);
    *separator = '&';
}

/* False when nobody answered, or with a refusal; both are said. Not having seen the customer is no
 * refusal where `unseen_out` takes it. */
static bool get(const struct usage *usage, const struct server_address *address,
                const char *customer, const char *call, const struct status_options *options,
                struct client_answer *answer_out, bool *unseen_out)
{
    uint8_t block[2 * CLIENT_PATH_BYTES_MAX];
    struct buffer path = buffer_over(block, sizeof(block));
    char separator = '?';
    buffer_put_text(&path, "/v1/customers/");
    put_path_part(&path, customer);
    buffer_put_text(&path, call);
    if (options != NULL) {
        put_query(&path, "subject", options->subject, &separator);
        put_query(&path, "feature", options->feature, &separator);
    }
    buffer_put_byte(&path, '\0');
    if (path.overflowed) {
        (void)fprintf(stderr, "weir status: names are too long\n");
        return false;
    }
    const struct client_request request = {.method = "GET", .path = (const char *)block};
    if (unseen_out == NULL) return client_expect(usage->command, address, &request, answer_out);
    if (!client_call(usage->command, address, &request, answer_out)) return false;
    *unseen_out = answer_out->status == 404;
    if (answer_out->status != 200 && !*unseen_out) client_complain(usage->command, answer_out);
    return answer_out->status == 200 || *unseen_out;
}

/* What the books say was charged from then to now. */
static void read_pace(const struct usage *usage, const struct server_address *address,
                      const char *customer, int64_t now_ms, struct status_pace *pace)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    uint8_t block[2 * CLIENT_PATH_BYTES_MAX];
    struct buffer path = buffer_over(block, sizeof(block));
    char from[INSTANT_TEXT_SIZE];
    (void)calendar_format(now_ms - pace->span_ms, from);
    buffer_put_text(&path, "/v1/usage?customer=");
    put_path_part(&path, customer);
    buffer_put_text(&path, "&from=");
    buffer_put_text(&path, from);
    buffer_put_byte(&path, '\0');
    const struct client_request request = {.method = "GET", .path = (const char *)block};
    (void)snprintf(pace->why, sizeof(pace->why), "nobody answers");
    if (path.overflowed || !client_call(usage->command, address, &request, &answer)) return;
    CLEANUP(answer_free) yajl_val tree = answer_parse(answer.body);
    if (answer.status != 200) {
        (void)snprintf(pace->why, sizeof(pace->why), "%s", answer_text(tree, "detail"));
        return;
    }
    pace->why[0] = '\0';
    pace->charged = answer_credits(answer_item(tree, "usage", 0), "charged");
}

/* The server's clock, which may be a test clock, and how far its books are behind. */
static bool read_clock(const struct usage *usage, const struct server_address *address,
                       struct status_facts *facts)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    const struct client_request request = {.method = "GET", .path = "/healthz"};
    if (!client_call(usage->command, address, &request, &answer)) return false;
    CLEANUP(answer_free) yajl_val health = answer_parse(answer.body);
    facts->lag_ms = (int64_t)answer_count(health, "settlement.lag_ms");
    if (calendar_parse(bytes_of_text(answer_text(health, "clock.now")), &facts->now_ms))
        return true;
    (void)fprintf(stderr, "weir status: %s/healthz does not tell the time\n", address->url);
    return false;
}

static int run(const struct usage *usage, const struct status_options *options,
               const char *customer)
{
    CLEANUP(server_address_close) struct server_address address = {0};
    if (!server_address_find(usage->command, &options->client, &address)) return STATUS_USAGE;
    CLEANUP(client_answer_free) struct client_answer status = {0};
    CLEANUP(client_answer_free) struct client_answer settings = {0};
    CLEANUP(client_answer_free) struct client_answer balance = {0};
    struct status_facts facts = {
        .customer = customer,
        .subject = options->subject,
        .paces = {{.span = "the last hour", .span_ms = HOUR_MS},
                  {.span = "the last day", .span_ms = DAY_MS}},
    };
    if (!get(usage, &address, customer, "/status", options, &status, NULL)) return STATUS_REFUSED;
    if (!get(usage, &address, customer, "", NULL, &settings, &facts.is_unseen) ||
        !get(usage, &address, customer, "/balance", NULL, &balance, NULL) ||
        !read_clock(usage, &address, &facts))
        return STATUS_REFUSED;
    for (int i = 0; i < STATUS_PACES && !facts.is_unseen; ++i)
        read_pace(usage, &address, customer, facts.now_ms, &facts.paces[i]);
    CLEANUP(answer_free) yajl_val status_tree = answer_parse(status.body);
    CLEANUP(answer_free) yajl_val settings_tree = answer_parse(settings.body);
    CLEANUP(answer_free) yajl_val balance_tree = answer_parse(balance.body);
    facts.status = status_tree;
    facts.settings = settings_tree;
    facts.balance = balance_tree;
    if (options->is_json) {
        const struct status_bodies bodies = {
            .status = status.body, .settings = settings.body, .balance = balance.body};
        status_json(&facts, &bodies, stdout);
    } else {
        const struct page page = page_on(stdout);
        status_view(&facts, &page);
    }
    return fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}

int command_status(int argc, char **argv)
{
    struct status_options options = {0};
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&options.client),
        ROW_TEXT("subject", "PATH",
                 "whose limits, such as team-a/alice; default the customer's own",
                 &options.subject),
        ROW_TEXT("feature", "NAME", "only this; default all of the plan", &options.feature),
        ROW_FLAG("json", "what GET .../status answers, and settings, wallet and runway",
                 &options.is_json),
    };
    const struct usage usage = {
        .command = "status",
        .operands = "CUSTOMER",
        .summary =
            "Shows what a customer's next request would meet, and how long the credits last.",
        .notes =
            "The pace is what the books say was charged in the last hour and the last day, by "
            "the server's clock; clock times are this machine's. Where nothing was charged "
            "nobody knows how long credits last, and it says so. A customer whom the server has "
            "not seen yet has the limits of the policy's default plan.\n"
            "--json is what GET /v1/customers/CUSTOMER/status answers, and in the same object "
            "`settings` (its GET), `wallet` (its balance: settled, pending, held, available, and "
            "each grant; both null for a customer not seen yet), and `runway` at each pace: "
            "lasts_ms and until, or why there are none, and how much of it is of grants that end "
            "before.",
        .examples = {{"all of a customer", "weir status ada"},
                     {"one person's limits for one feature",
                     "weir status ada --subject team-a/alice --feature chat"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
        .operands_min = 1,
        .operands_max = 1,
    };
    struct operands operands;
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    return run(&usage, &options, operands.at[0]);
}
