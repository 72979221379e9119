#include "wire/wire.h"

#include "base/testing.h"
#include "wire/json.h"

/* Symbols of the policy in API.md section 2, as far as these answers name them. */
enum {
    NAME_INCLUDED = SYMBOL_FIRST_FREE,
    NAME_PACE,
    NAME_IN_FLIGHT,
    NAME_CAP,
    NAME_OVERAGE,
    NAME_PRICE,
    NAME_CHAT,
    NAME_REQUESTS,
    NAME_PLUS,
    NAMES
};

static struct symbols symbols(void)
{
    static struct bytes names[NAMES];
    names[SYMBOL_PROMOTIONAL] = BYTES("promotional");
    names[SYMBOL_ENTITLEMENT] = BYTES("entitlement");
    names[SYMBOL_PAID] = BYTES("paid");
    names[SYMBOL_UNLIMITED] = BYTES("unlimited");
    names[NAME_INCLUDED] = BYTES("included");
    names[NAME_PACE] = BYTES("pace");
    names[NAME_IN_FLIGHT] = BYTES("in-flight");
    names[NAME_CAP] = BYTES("monthly-cap");
    names[NAME_OVERAGE] = BYTES("overage");
    names[NAME_PRICE] = BYTES("chat/message");
    names[NAME_CHAT] = BYTES("chat");
    names[NAME_REQUESTS] = BYTES("requests");
    names[NAME_PLUS] = BYTES("plus");
    return (struct symbols){names, NAMES - 1};
}

static int64_t at(const char *text)
{
    int64_t instant_ms;
    assert_true(calendar_parse(bytes_of_text(text), &instant_ms));
    return instant_ms;
}

static uint64_t id(char letter, const char *text)
{
    uint64_t number;
    assert_true(id_parse(letter, bytes_of_text(text), &number));
    return number;
}

static uint8_t block[8 << 20];

static void ignore(void *self, const struct json_event *event)
{
    (void)self;
    (void)event;
}

/* The text in the buffer; all that is ever rendered must be JSON. */
static const char *text_of(struct buffer *buffer)
{
    static uint8_t memory[4 << 20];
    struct arena arena = arena_over(memory, sizeof memory);
    assert_false(buffer->overflowed);
    assert_int_equal(json_read(buffer_bytes(buffer), 16, &arena, ignore, NULL).verdict, JSON_READ);
    buffer_put_byte(buffer, 0);
    assert_false(buffer->overflowed);
    return (const char *)buffer->at;
}

#define NOON "2026-05-01T12:00:00Z"

static struct wire_fields fields;

static const char *rendered(const struct report *report)
{
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_report(report, at(NOON), symbols(), &buffer, &fields);
    return text_of(&buffer);
}

static const struct period five_hours = {PERIOD_DURATION, START_FIRST_USE, 5 * HOUR_MS};
static const struct period one_minute = {PERIOD_DURATION, START_SLIDING, MINUTE_MS};

/* The decision of API.md section 3. */
static struct report example(void)
{
    static struct report report;
    report = (struct report){
        .kind = COMMAND_AUTHORIZE,
        .id = id('d', "d_0000000000c81"),
        .outcome = OUTCOME_ALLOW,
        .explain = true,
        .units_requested = 3,
        .units_allowed = 3,
        .charged = 2 * NANO_PER_CREDIT,
        .price = NAME_PRICE,
        .unit = NAME_REQUESTS,
        .retry_after_ms = -1,
        .hold = HOLD_HELD,
        .expires_at_ms = at("2026-05-01T12:10:00Z"),
        .line_count = 2,
        .note_count = 5,
    };
    report.lines[0] = (struct line){.source = NAME_INCLUDED, .kind = SOURCE_ALLOWANCE, .units = 1};
    report.lines[1] = (struct line){.source = SYMBOL_PAID,
                                    .kind = SOURCE_GRANTS,
                                    .grant_id = id('g', "g_0000000000a02"),
                                    .units = 2,
                                    .charged = 2 * NANO_PER_CREDIT};
    report.notes[0] = (struct note){.kind = NOTE_RATE,
                                    .name = NAME_PACE,
                                    .has_window = true,
                                    .amount = 17,
                                    .limit = 60,
                                    .period = one_minute};
    report.notes[1] =
        (struct note){.kind = NOTE_CONCURRENCY, .name = NAME_IN_FLIGHT, .amount = 7, .limit = 8};
    report.notes[2] = (struct note){.kind = NOTE_SOURCE,
                                    .source = SOURCE_ALLOWANCE,
                                    .name = NAME_INCLUDED,
                                    .has_window = true,
                                    .amount = 1,
                                    .drawn = 1,
                                    .limit = 45,
                                    .period = five_hours,
                                    .resets_at_ms = at("2026-05-01T14:02:11Z")};
    report.notes[3] = (struct note){.kind = NOTE_SOURCE, .name = SYMBOL_PROMOTIONAL};
    report.notes[4] =
        (struct note){.kind = NOTE_SOURCE, .name = SYMBOL_PAID, .amount = 40, .drawn = 2};
    return report;
}

static void the_example_of_the_contract_is_reproduced(void **state)
{
    (void)state;
    const struct report report = example();
    assert_string_equal(
        rendered(&report),
        "{\"decision_id\":\"d_0000000000c81\",\"outcome\":\"allow\","
        "\"units\":{\"requested\":3,\"allowed\":3},"
        "\"allocations\":["
        "{\"source\":\"included\",\"kind\":\"allowance\",\"units\":1,\"charged\":\"0\"},"
        "{\"source\":\"paid\",\"kind\":\"grant\",\"grant_id\":\"g_0000000000a02\",\"units\":2,"
        "\"charged\":\"2\"}],"
        "\"charged\":\"2\",\"price\":\"chat/message\",\"reason\":{\"code\":\"ok\"},"
        "\"hold\":{\"state\":\"held\",\"expires_at\":\"2026-05-01T12:10:00Z\"},"
        "\"explain\":["
        "{\"gate\":\"pace\",\"verdict\":\"pass\",\"remaining\":17},"
        "{\"gate\":\"in-flight\",\"verdict\":\"pass\",\"remaining\":7},"
        "{\"source\":\"included\",\"offered\":1,\"drawn\":1,\"window\":\"5h\","
        "\"resets_at\":\"2026-05-01T14:02:11Z\"},"
        "{\"source\":\"promotional\",\"offered\":0,\"drawn\":0},"
        "{\"source\":\"paid\",\"offered\":40,\"drawn\":2}],"
        "\"http\":{\"status\":200,\"headers\":{"
        "\"RateLimit-Policy\":\"\\\"included\\\";q=45;w=18000\","
        "\"RateLimit\":\"\\\"included\\\";r=0;t=7331\"}}}");
}

static void decisions_differ_by_kind_as_the_contract_says(void **state)
{
    (void)state;
    struct report report = example();
    report.explain = false;
    report.note_count = 0;
    report.line_count = 0;
    report.charged = 0;
    report.price = SYMBOL_NONE;
    report.kind = COMMAND_CHECK;
    assert_string_equal(
        rendered(&report),
        "{\"decision_id\":null,\"outcome\":\"allow\",\"units\":{\"requested\":3,\"allowed\":3},"
        "\"allocations\":[],\"charged\":\"0\",\"price\":null,\"reason\":{\"code\":\"ok\"},"
        "\"http\":{\"status\":200,\"headers\":{}}}");
    report.kind = COMMAND_CONSUME;
    report.hold = HOLD_COMMITTED;
    report.outcome = OUTCOME_PARTIAL;
    report.units_allowed = 1;
    report.remedy = REMEDY_USE_CREDITS;
    assert_string_equal(
        rendered(&report),
        "{\"decision_id\":\"d_0000000000c81\",\"outcome\":\"partial\","
        "\"units\":{\"requested\":3,\"allowed\":1},\"allocations\":[],\"charged\":\"0\","
        "\"price\":null,\"reason\":{\"code\":\"ok\",\"remedy\":\"use_credits\"},"
        "\"hold\":{\"state\":\"committed\"},\"http\":{\"status\":200,\"headers\":{}}}");
    report.kind = COMMAND_USAGE;
    report.outcome = OUTCOME_ALLOW;
    report.remedy = REMEDY_NONE;
    report.has_overshoot = true;
    report.overshoot = (struct overshoot){2, 2 * NANO_PER_CREDIT, 0, OVERSHOOT_DEBT, 0};
    assert_non_null(
        strstr(rendered(&report),
               "\"hold\":{\"state\":\"committed\"},\"overshoot\":{\"units\":2,\"charged\":\"2\","
               "\"refunded\":\"0\"},\"overshoot_booked\":\"debt\",\"http\""));
    report = example();
    report.kind = COMMAND_EXTEND;
    assert_non_null(
        strstr(rendered(&report),
               "\"hold\":{\"state\":\"held\",\"expires_at\":\"2026-05-01T12:10:00Z\"}"));
}

static struct report denial(enum reason reason, uint32_t limit)
{
    struct report report = example();
    report.outcome = OUTCOME_DENY;
    report.explain = false;
    report.units_allowed = 0;
    report.charged = 0;
    report.line_count = 0;
    report.hold = HOLD_NONE;
    report.reason = reason;
    report.limit = limit;
    return report;
}

static void a_denial_says_what_refused_and_what_helps(void **state)
{
    (void)state;
    struct report report = denial(REASON_INSUFFICIENT_CREDITS, SYMBOL_PAID);
    report.who = WHO_CUSTOMER;
    report.remedy = REMEDY_ADD_CREDITS;
    report.resets_at_ms = at("2026-05-01T14:02:11Z");
    assert_string_equal(
        rendered(&report),
        "{\"decision_id\":\"d_0000000000c81\",\"outcome\":\"deny\","
        "\"units\":{\"requested\":3,\"allowed\":0},\"allocations\":[],\"charged\":\"0\","
        "\"price\":\"chat/message\","
        "\"reason\":{\"code\":\"insufficient_credits\",\"limit\":\"paid\",\"scope\":\"customer\","
        "\"who\":\"customer\",\"message\":\"The credits left do not cover this request; adding "
        "credits lets it pass. What is included starts anew at 2026-05-01T14:02:11Z.\","
        "\"remedy\":\"add_credits\",\"retry_after_ms\":null,"
        "\"resets_at\":\"2026-05-01T14:02:11Z\"},"
        "\"http\":{\"status\":402,\"headers\":{"
        "\"RateLimit-Policy\":\"\\\"included\\\";q=45;w=18000\","
        "\"RateLimit\":\"\\\"included\\\";r=0;t=7331\"}}}");
}

static void a_rate_refusal_carries_its_wait(void **state)
{
    (void)state;
    struct report report = denial(REASON_RATE_LIMITED, NAME_PACE);
    report.explain = true;
    report.note_count = 1;
    report.notes[0].refused = true;
    report.notes[0].amount = 0;
    report.scope = (struct scope_rule){SCOPE_LEVEL, 2};
    report.who = WHO_CALLER;
    report.remedy = REMEDY_WAIT;
    report.retry_after_ms = 1001;
    assert_string_equal(
        strstr(rendered(&report), "\"reason\""),
        "\"reason\":{\"code\":\"rate_limited\",\"limit\":\"pace\",\"scope\":\"level:2\","
        "\"who\":\"caller\",\"message\":\"The pace 'pace' (60 per 1m) for the first 2 levels of "
        "this subject is reached for now. The same request can pass in 2 s.\","
        "\"remedy\":\"wait\",\"retry_after_ms\":1001,\"resets_at\":null},"
        "\"explain\":[{\"gate\":\"pace\",\"verdict\":\"refuse\",\"remaining\":0}],"
        "\"http\":{\"status\":429,\"headers\":{\"Retry-After\":\"2\","
        "\"RateLimit-Policy\":\"\\\"pace\\\";q=60;w=60\","
        "\"RateLimit\":\"\\\"pace\\\";r=0;t=2\"}}}");
    report.retry_after_ms = -1;
    report.remedy = REMEDY_SPLIT_REQUEST;
    const char *text = rendered(&report);
    assert_non_null(strstr(text,
                           "This asks for more than the pace 'pace' (60 per 1m) for the first "
                           "2 levels of this subject lets through now. Waiting alone does not "
                           "let the same request pass; a smaller one may.\""));
    assert_null(strstr(text, "Retry-After"));
    assert_non_null(strstr(text, "\"RateLimit\":\"\\\"pace\\\";r=0\""));
    report.scope.level = 1;
    assert_non_null(strstr(rendered(&report), " for the first level of this subject lets "));
}

/* A gate that is slowed says so, and its fields tell what is true now. */
static void a_slowed_gate_says_how_much_and_whose(void **state)
{
    (void)state;
    struct report report = denial(REASON_ABNORMAL_USAGE, NAME_PACE);
    report.explain = true;
    report.note_count = 1;
    report.notes[0].refused = true;
    report.notes[0].amount = 0;
    report.notes[0].is_paced = true;
    report.notes[0].factor = 32;
    report.notes[0].standing = STANDING_RESTRICTED;
    report.retry_after_ms = 8000;
    const char *text = rendered(&report);
    assert_non_null(strstr(text, "{\"gate\":\"pace\",\"verdict\":\"refuse\",\"remaining\":0,"
                                 "\"factor\":\"0.125\",\"standing\":\"restricted\"}"));
    assert_non_null(strstr(text, "\"RateLimit-Policy\":\"\\\"pace\\\";q=60;w=480\""));
    assert_non_null(strstr(text, "\"RateLimit\":\"\\\"pace\\\";r=0;t=8\""));
    /* A pool that turns away: nothing to wait for, and no tokens to tell of. */
    report.reason = REASON_TEMPORARY_REDUCED_CAPACITY;
    report.notes[0].amount = 7;
    report.notes[0].factor = 0;
    report.notes[0].standing = STANDING_NORMAL;
    report.retry_after_ms = -1;
    text = rendered(&report);
    assert_non_null(strstr(text, "\"remaining\":7,\"factor\":\"0\"}"));
    assert_non_null(strstr(text, "\"retry_after_ms\":null"));
    assert_non_null(strstr(text, "\"http\":{\"status\":503,\"headers\":{}}"));
}

static void a_pool_tells_what_it_runs_at_and_why(void **state)
{
    (void)state;
    const struct pool_rule rule = {
        .name = NAME_PACE, .capacity = 2000, .per_ms = 1000, .meter = NAME_REQUESTS};
    struct wire_pool pool = {
        .rule = &rule, .view = {.factor = 64},
             .tiers = { 3, 1, 3},
             .tier_count = 3
    };
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_pool(&pool, symbols(), &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"pool\":\"pace\",\"capacity\":2000,\"per\":\"1s\",\"meter\":\"requests\",\"factor\":"
        "\"1\","
        "\"override\":null,\"shed\":\"none\",\"why\":\"nominal\",\"since\":null,\"tiers\":[{"
        "\"tier\":1,\"factor\":\"1\"},{\"tier\":3,\"factor\":\"1\"}]}");
    pool.view = (struct pool_view){.factor = 19,
                                   .has_override = true,
                                   .override = 19,
                                   .shed = SHED_SHEDDABLE,
                                   .since_ms = at("2026-06-01T00:00:00Z")};
    pool.tier_count = 0;
    buffer = buffer_over(block, sizeof block);
    wire_render_pool(&pool, symbols(), &buffer);
    assert_non_null(
        strstr(text_of(&buffer),
               "\"factor\":\"0.296875\",\"override\":\"0.296875\",\"shed\":\"sheddable\","
               "\"why\":\"override\",\"since\":\"2026-06-01T00:00:00Z\",\"tiers\":[]}"));
}

struct saying {
    const char *code;
    unsigned status;
    bool has_retry;
};

static void says(enum reason reason, uint32_t limit, struct saying saying, const char *message)
{
    struct report report = denial(reason, limit);
    char expected[512];
    report.retry_after_ms = saying.has_retry ? 1 : -1;
    const char *text = rendered(&report);
    (void)snprintf(expected, sizeof expected, "\"reason\":{\"code\":\"%s\",", saying.code);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof expected, "\"message\":\"%s\"", message);
    if (strstr(text, expected) == NULL) print_error("%s\n%s\n", expected, text);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof expected, "\"http\":{\"status\":%u,", saying.status);
    assert_non_null(strstr(text, expected));
    assert_int_equal(strstr(text, "\"Retry-After\":\"1\"") != NULL, saying.has_retry);
}

static void every_reason_has_its_code_status_and_sentence(void **state)
{
    (void)state;
    says(REASON_NOT_ENTITLED, SYMBOL_NONE, (struct saying){"not_entitled", 403, false},
         "The plan does not include this feature; a plan that does lets it pass.");
    says(REASON_SUSPENDED, SYMBOL_NONE, (struct saying){"suspended", 403, false},
         "Requests are paused here for now; the operator can lift that.");
    says(REASON_RATE_LIMITED, NAME_PACE, (struct saying){"rate_limited", 429, true},
         "This asks for more than the pace 'pace' (60 per 1m) for this customer lets through now. "
         "The same request can pass in 1 s.");
    says(REASON_CONCURRENCY_LIMITED, NAME_IN_FLIGHT,
         (struct saying){"concurrency_limited", 429, false},
         "The number of requests at once 'in-flight' (8) for this customer is reached; more can "
         "pass as running ones end.");
    says(REASON_BUDGET_REACHED, NAME_CAP, (struct saying){"budget_reached", 402, false},
         "The budget 'monthly-cap' for this customer does not cover this request; it can be "
         "raised.");
    says(REASON_TEMPORARY_REDUCED_CAPACITY, NAME_PACE,
         (struct saying){"temporary_reduced_capacity", 503, true},
         "Capacity is reduced for a while. The same request can pass in 1 s.");
    says(REASON_ABNORMAL_USAGE, SYMBOL_NONE, (struct saying){"abnormal_usage", 429, true},
         "Requests are slowed down here for now; the operator can lift that. The same request can "
         "pass in 1 s.");
    says(REASON_ALLOWANCE_EXHAUSTED, NAME_INCLUDED,
         (struct saying){"allowance_exhausted", 429, true},
         "The allowance 'included' (45 per 5h) for this customer is used up for now. The same "
         "request can pass in 1 s.");
    says(REASON_CREDITS_NEED_CONSENT, SYMBOL_PAID,
         (struct saying){"credits_need_consent", 402, false},
         "What is included does not cover this request; credits can pay for it once it says "
         "use_credits: true.");
    says(REASON_INSUFFICIENT_CREDITS, SYMBOL_PAID,
         (struct saying){"insufficient_credits", 402, false},
         "The credits left do not cover this request; adding credits lets it pass.");
    says(REASON_OVERAGE_CAP_REACHED, NAME_OVERAGE,
         (struct saying){"overage_cap_reached", 402, false},
         "The overage 'overage' for this customer does not cover this request; raising its cap or "
         "adding credits can let it pass.");
    says(REASON_INDIVISIBLE, SYMBOL_NONE, (struct saying){"indivisible", 402, false},
         "This request cannot be split and no single source carries it whole; a smaller one can "
         "pass.");
}

/* A denial by a limit of which so much is left; its first note is the limit's. */
static struct report denial_with(enum reason reason, struct note note)
{
    struct report report = denial(reason, note.name);
    report.retry_after_ms = -1;
    report.resets_at_ms = note.resets_at_ms;
    report.note_count = 1;
    report.notes[0] = note;
    return report;
}

static void message_is(const struct report *report, const char *message)
{
    char expected[512];
    const char *text = rendered(report);
    (void)snprintf(expected, sizeof expected, "\"message\":\"%s\"", message);
    if (strstr(text, expected) == NULL) print_error("%s\n%s\n", expected, text);
    assert_non_null(strstr(text, expected));
}

static void money_limits_are_told_in_credits(void **state)
{
    (void)state;
    struct report report =
        denial_with(REASON_BUDGET_REACHED, (struct note){
                                               .kind = NOTE_BUDGET,
                                               .name = NAME_CAP,
                                               .refused = true,
                                               .has_window = true,
                                               .amount = 500000000,
                                               .left = 500000000,
                                               .limit = UINT64_C(500000000000),
                                               .period = {PERIOD_MONTH, START_CALENDAR, 0},
                                               .resets_at_ms = at("2026-06-01T00:00:00Z")
    });
    report.explain = true;
    message_is(&report, "The budget 'monthly-cap' (500 credits a month) for this customer has 0.5 "
                        "credits left, too little for this request; it can be raised. It starts "
                        "anew at 2026-06-01T00:00:00Z.");
    const char *text = rendered(&report);
    assert_non_null(
        strstr(text, "{\"gate\":\"monthly-cap\",\"verdict\":\"refuse\",\"remaining\":\"0.5\"}"));
    /* A budget is no window of a source: an edge does not pass it on. */
    assert_non_null(strstr(text, "\"headers\":{}"));
    report.notes[0].amount = 0;
    report.notes[0].left = 0;
    message_is(&report, "The budget 'monthly-cap' (500 credits a month) for this customer is "
                        "reached; it can be raised. It starts anew at 2026-06-01T00:00:00Z.");
}

static void a_limit_that_has_something_left_is_not_called_used_up(void **state)
{
    (void)state;
    struct report report =
        denial_with(REASON_ALLOWANCE_EXHAUSTED, (struct note){
                                                    .kind = NOTE_SOURCE,
                                                    .source = SOURCE_ALLOWANCE,
                                                    .name = NAME_INCLUDED,
                                                    .has_window = true,
                                                    .left = 1,
                                                    .limit = 3,
                                                    .period = {PERIOD_DAY, START_CALENDAR, 0}
    });
    report.retry_after_ms = 1000;
    message_is(&report, "The allowance 'included' (3 a day) for this customer has 1 left, too "
                        "little for this request. The same request can pass in 1 s.");
    report.notes[0].left = 3;
    report.retry_after_ms = -1;
    report.remedy = REMEDY_SPLIT_REQUEST;
    message_is(&report, "The allowance 'included' (3 a day) for this customer has 3 left, too "
                        "little for this request. Waiting alone does not let the same request "
                        "pass; a smaller one may.");
    report.notes[0].left = 0;
    report.remedy = REMEDY_UPGRADE_PLAN;
    message_is(&report, "The allowance 'included' (3 a day) for this customer is used up. Waiting "
                        "alone does not let the same request pass; another plan may.");
    report.notes[0].limit = 0;
    report.remedy = REMEDY_NONE;
    message_is(&report, "The allowance 'included' for this customer is 0. Waiting alone does not "
                        "let the same request pass.");
    report.limit = SYMBOL_NONE;
    message_is(&report, "What is included does not cover this request. Waiting alone does not let "
                        "the same request pass.");
}

static void an_overage_that_nothing_was_taken_from_is_neither_full_nor_starts_anew(void **state)
{
    (void)state;
    struct report report =
        denial_with(REASON_OVERAGE_CAP_REACHED, (struct note){
                                                    .kind = NOTE_SOURCE,
                                                    .source = SOURCE_OVERAGE,
                                                    .name = NAME_OVERAGE,
                                                    .has_window = true,
                                                    .left = NANO_PER_CREDIT,
                                                    .limit = NANO_PER_CREDIT,
                                                    .period = {PERIOD_MONTH, START_CALENDAR, 0},
                                                    .resets_at_ms = at("2026-06-01T00:00:00Z")
    });
    message_is(&report, "The overage 'overage' (1 credit a month) for this customer has 1 credit "
                        "left, too little for this request; raising its cap can let it pass.");
    report.notes[1] =
        (struct note){.kind = NOTE_SOURCE, .source = SOURCE_GRANTS, .name = SYMBOL_PAID};
    report.note_count = 2;
    report.notes[0].left = 0;
    message_is(&report, "The overage 'overage' (1 credit a month) for this customer is full; "
                        "raising its cap or adding credits can let it pass. It starts anew at "
                        "2026-06-01T00:00:00Z.");
}

/* A window of that shape shows as this label, and to an edge as w and the rest. */
static void window_shows(struct period period, const char *resets_at, const char *label,
                         const char *parameters[2])
{
    struct report report = example();
    char expected[256];
    report.notes[2].period = period;
    report.notes[2].resets_at_ms = resets_at == NULL ? 0 : at(resets_at);
    report.notes[2].left = 3;
    const char *text = rendered(&report);
    (void)snprintf(expected, sizeof expected, "\"window\":\"%s\",\"resets_at\":%s", label,
                   resets_at == NULL ? "null}" : "\"");
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof expected, "\"\\\"included\\\";q=45;%s\"", parameters[0]);
    assert_non_null(strstr(text, expected));
    (void)snprintf(expected, sizeof expected, "\"RateLimit\":\"\\\"included\\\";%s\"",
                   parameters[1]);
    assert_non_null(strstr(text, expected));
}

static struct period duration(int64_t ms)
{
    return (struct period){PERIOD_DURATION, START_SLIDING, ms};
}

static struct period calendar(enum period_kind kind)
{
    return (struct period){kind, START_CALENDAR, 0};
}

#define SHOWN(...) ((const char *[2]){__VA_ARGS__})

static void windows_are_told_to_the_edge_in_seconds(void **state)
{
    (void)state;
    window_shows(duration(7 * DAY_MS), NULL, "7d", SHOWN("w=604800", "r=3"));
    window_shows(duration(90 * MINUTE_MS), NULL, "90m", SHOWN("w=5400", "r=3"));
    window_shows(duration(30 * SECOND_MS), NULL, "30s", SHOWN("w=30", "r=3"));
    window_shows(duration(1500), NULL, "1500ms", SHOWN("w=2", "r=3"));
    window_shows(calendar(PERIOD_HOUR), "2026-05-01T12:00:00.001Z", "hour",
                 SHOWN("w=3600", "r=3;t=1"));
    window_shows(calendar(PERIOD_DAY), "2026-05-02T00:00:00Z", "day",
                 SHOWN("w=86400", "r=3;t=43200"));
    window_shows(calendar(PERIOD_WEEK), "2026-05-01T11:00:00Z", "week",
                 SHOWN("w=604800", "r=3;t=0"));
    window_shows(calendar(PERIOD_MONTH), "2026-06-01T00:00:00Z", "month",
                 SHOWN("w=2678400", "r=3;t=2635200"));
    window_shows(calendar(PERIOD_MONTH), "2026-05-30T00:00:00Z", "month",
                 SHOWN("w=2592000", "r=3;t=2462400"));
    window_shows(calendar(PERIOD_MONTH), NULL, "month", SHOWN("w=2678400", "r=3"));
    /* Several members, and integers no longer than structured fields allow. */
    struct report report = example();
    report.notes[3] = report.notes[2];
    report.notes[3].name = NAME_OVERAGE;
    report.notes[3].limit = UINT64_MAX;
    report.notes[3].skipped = true;
    const char *text = rendered(&report);
    assert_non_null(strstr(text, "\"RateLimit-Policy\":\"\\\"included\\\";q=45;w=18000, "
                                 "\\\"overage\\\";q=999999999999999;w=18000\""));
    assert_non_null(strstr(text, "\"drawn\":1,\"skipped\":true,\"window\""));
}

static bool field_is(const char *field, uint32_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(field, expected, length) == 0;
}

static void the_fields_of_the_body_are_given_beside_it(void **state)
{
    (void)state;
    struct report report = example();
    (void)rendered(&report);
    assert_true(field_is(fields.policy, fields.policy_length, "\"included\";q=45;w=18000"));
    assert_true(field_is(fields.limit, fields.limit_length, "\"included\";r=0;t=7331"));
    report.kind = COMMAND_RELEASE;
    (void)rendered(&report);
    assert_int_equal(fields.policy_length, 0);
    assert_int_equal(fields.limit_length, 0);
}

static void a_quota_that_does_not_count_requests_names_its_unit(void **state)
{
    (void)state;
    struct report report = example();
    report.unit = UNIT_COST;
    (void)rendered(&report);
    assert_true(field_is(fields.policy, fields.policy_length,
                         "\"included\";q=45;qu=\"nano-credits\";w=18000"));
    report.unit = NAME_OVERAGE; /* any name will do */
    (void)rendered(&report);
    assert_true(
        field_is(fields.policy, fields.policy_length, "\"included\";q=45;qu=\"overage\";w=18000"));
}

/* RFC 9651: a String is printable ASCII, with quotes and backslashes escaped. */
static void names_are_strings_of_structured_fields(void **state)
{
    (void)state;
    struct report report = example();
    struct bytes names[64];
    struct symbols odd = symbols();
    memcpy(names, odd.name, (odd.count + 1) * sizeof names[0]);
    names[report.notes[2].name] = BYTES("say \"\\\" \xc3\xbc\x7f~");
    odd.name = names;
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_report(&report, at(NOON), odd, &buffer, &fields);
    assert_true(
        field_is(fields.limit, fields.limit_length, "\"say \\\"\\\\\\\" %C3%BC%7F~\";r=0;t=7331"));
    assert_non_null(strstr(text_of(&buffer),
                           "\"RateLimit\":\"\\\"say \\\\\\\"\\\\\\\\\\\\\\\" %C3%BC%7F~\\\";r=0"));
}

/* Half a member would be another policy, or none. */
static void what_has_no_room_in_a_field_is_left_out_whole(void **state)
{
    (void)state;
    static char longest[NAME_BYTES_MAX];
    struct report report = example();
    struct bytes names[64];
    struct symbols odd = symbols();
    memset(longest, 0xff, sizeof longest);
    memcpy(names, odd.name, (odd.count + 1) * sizeof names[0]);
    names[report.notes[2].name] = (struct bytes){(const uint8_t *)longest, sizeof longest};
    odd.name = names;
    for (uint32_t place = 3; place < NOTES_MAX; place++)
        report.notes[place] = report.notes[2];
    report.note_count = NOTES_MAX;
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_report(&report, at(NOON), odd, &buffer, &fields);
    (void)text_of(&buffer);
    assert_int_equal(fields.limit_length,
                     4 * (2 + 3 * NAME_BYTES_MAX + strlen(";r=0;t=7331")) + 3 * 2);
    assert_memory_equal(fields.limit + fields.limit_length - 7, ";t=7331", 7);
}

static void a_commit_shows_the_final_allocations(void **state)
{
    (void)state;
    struct report report = example();
    report.kind = COMMAND_COMMIT;
    report.outcome = OUTCOME_NONE;
    report.hold = HOLD_COMMITTED;
    report.line_count = 1;
    report.charged = 0;
    assert_string_equal(
        rendered(&report),
        "{\"decision_id\":\"d_0000000000c81\",\"outcome\":\"committed\","
        "\"units\":{\"requested\":3,\"allowed\":3},\"allocations\":[{\"source\":\"included\","
        "\"kind\":\"allowance\",\"units\":1,\"charged\":\"0\"}],\"charged\":\"0\","
        "\"price\":\"chat/message\",\"hold\":{\"state\":\"committed\"}}");
    report.late = true;
    report.has_overshoot = true;
    report.overshoot = (struct overshoot){5, 1500000000, 1500000000, OVERSHOOT_REFUND, 0};
    assert_non_null(strstr(rendered(&report),
                           "\"hold\":{\"state\":\"committed\"},\"late\":true,\"overshoot\":{"
                           "\"units\":5,\"charged\":\"1.5\",\"refunded\":\"1.5\"}}"));
    report.overshoot.booked = OVERSHOOT_OVERAGE;
    assert_non_null(strstr(rendered(&report), "},\"overshoot_booked\":\"overage\"}"));
}

static void renders(struct report report, const char *text)
{
    assert_string_equal(rendered(&report), text);
}

static void other_reports_have_their_shapes(void **state)
{
    (void)state;
    const uint64_t decision = id('d', "d_0000000000c81");
    const uint64_t grant = id('g', "g_0000000000a02");
    renders((struct report){.kind = COMMAND_RELEASE, .id = decision, .hold = HOLD_RELEASED},
            "{\"decision_id\":\"d_0000000000c81\",\"hold\":{\"state\":\"released\"}}");
    renders((struct report){.kind = COMMAND_RELEASE, .id = decision, .hold = HOLD_EXPIRED},
            "{\"decision_id\":\"d_0000000000c81\",\"hold\":{\"state\":\"expired\"}}");
    struct report report = {.kind = COMMAND_GRANT,
                            .id = grant,
                            .category = CATEGORY_PAID,
                            .nano = NANO_PER_CREDIT / 2,
                            .grant_effective_ms = at(NOON)};
    renders(report, "{\"grant_id\":\"g_0000000000a02\",\"category\":\"paid\",\"credits\":\"0.5\","
                    "\"effective_at\":\"2026-05-01T12:00:00Z\",\"expires_at\":null}");
    report.category = CATEGORY_PROMOTIONAL;
    report.nano = 1;
    report.grant_expires_ms = at("2026-06-01T00:00:00Z");
    renders(report, "{\"grant_id\":\"g_0000000000a02\",\"category\":\"promotional\",\"credits\":"
                    "\"0.000000001\",\"effective_at\":\"2026-05-01T12:00:00Z\",\"expires_at\":"
                    "\"2026-06-01T00:00:00Z\"}");
    renders((struct report){.kind = COMMAND_VOID, .id = grant, .nano = 7 * NANO_PER_CREDIT},
            "{\"grant_id\":\"g_0000000000a02\",\"voided\":\"7\"}");
    renders((struct report){.kind = COMMAND_RESET, .limit = NAME_INCLUDED, .count = 4},
            "{\"limit\":\"included\",\"counters\":4}");
    renders((struct report){.kind = COMMAND_RESET, .count = 0}, "{\"counters\":0}");
    report = (struct report){.kind = COMMAND_REFUND,
                             .id = decision,
                             .nano = NANO_PER_CREDIT,
                             .total = 2 * NANO_PER_CREDIT};
    renders(report, "{\"decision_id\":\"d_0000000000c81\",\"refunded\":\"1\",\"refunded_total\":"
                    "\"2\"}");
    report.expired = NANO_PER_CREDIT / 4;
    renders(report, "{\"decision_id\":\"d_0000000000c81\",\"refunded\":\"1\",\"expired\":\"0.25\","
                    "\"refunded_total\":\"2\"}");
    renders((struct report){.kind = COMMAND_CUSTOMER},
            "{\"effective_at\":\"2026-05-01T12:00:00Z\"}");
    renders((struct report){.kind = COMMAND_POLICY, .count = 3}, "{\"version\":3}");
}

static const char *rendered_problem(const struct problem *problem)
{
    struct buffer buffer = buffer_over(block, WIRE_PROBLEM_BYTES_MAX);
    wire_render_problem(problem, BYTES_NONE, &buffer);
    return text_of(&buffer);
}

static void a_problem_names_the_field_and_the_value(void **state)
{
    (void)state;
    assert_string_equal(
        rendered_problem(&(struct problem){.code = PROBLEM_INVALID_VALUE,
                                           .field = "operations[3].ttl_ms",
                                           .value = BYTES("0"),
                                           .expected = "an integer from 1 to 2592000000"}),
        "{\"type\":\"/problems/invalid_value\",\"title\":\"A value is out of range or malformed\","
        "\"status\":422,\"detail\":\"A value is out of range or malformed: operations[3].ttl_ms "
        "(found '0'), expected an integer from 1 to 2592000000\",\"code\":\"invalid_value\","
        "\"field\":\"operations[3].ttl_ms\",\"value\":\"0\"}");
    assert_string_equal(
        rendered_problem(&(struct problem){.code = PROBLEM_UNKNOWN_FIELD, .field = "colour"}),
        "{\"type\":\"/problems/unknown_field\",\"title\":\"The body has a field that does not "
        "exist\",\"status\":400,\"detail\":\"The body has a field that does not exist: colour\","
        "\"code\":\"unknown_field\",\"field\":\"colour\"}");
    assert_string_equal(
        rendered_problem(&(struct problem){.code = PROBLEM_MALFORMED, .expected = "JSON"}),
        "{\"type\":\"/problems/malformed\",\"title\":\"The body is not JSON\",\"status\":400,"
        "\"detail\":\"The body is not JSON: expected JSON\",\"code\":\"malformed\"}");
    assert_string_equal(
        rendered_problem(&(struct problem){
            .code = PROBLEM_INVALID_SHAPE, .value = BYTES("3"), .expected = "an object"}),
        "{\"type\":\"/problems/invalid_shape\",\"title\":\"The body is not of the contract's "
        "shape\",\"status\":400,\"detail\":\"The body is not of the contract's shape: found '3', "
        "expected an object\",\"code\":\"invalid_shape\",\"value\":\"3\"}");
    assert_string_equal(
        rendered_problem(&(struct problem){.code = PROBLEM_CAPACITY}),
        "{\"type\":\"/problems/capacity\",\"title\":\"A memory ceiling is reached\",\"status\":503,"
        "\"detail\":\"A memory ceiling is reached\",\"code\":\"capacity\"}");
}

static void problems_cut_and_escape_what_was_found(void **state)
{
    (void)state;
    static uint8_t value[1000];
    memset(value, 'x', sizeof value);
    const char *text = rendered_problem(&(struct problem){
        .code = PROBLEM_INVALID_VALUE, .field = "customer", .value = {value, sizeof value}
    });
    const char *shown = strstr(text, "\"value\":\"");
    assert_non_null(shown);
    assert_int_equal(strlen(shown), strlen("\"value\":\"\"}") + WIRE_PROBLEM_VALUE_BYTES_MAX);
    assert_non_null(
        strstr(rendered_problem(&(struct problem){
                   .code = PROBLEM_INVALID_VALUE, .field = "customer", .value = BYTES("\"\n\xff")}),
               "\"value\":\"\\\"\\n\xef\xbf\xbd\""));
    assert_non_null(strstr(rendered_problem(&(struct problem){
                               .code = PROBLEM_INVALID_VALUE, .field = "f", .value = BYTES("")}),
                           "\"value\":\"\""));
}

static void every_problem_code_renders_with_its_status(void **state)
{
    (void)state;
    for (unsigned code = PROBLEM_NONE; code <= PROBLEM_STOPPING; code++) {
        char expected[64];
        const struct problem problem = {.code = (enum problem_code)code};
        (void)snprintf(expected, sizeof expected, "\"status\":%u,",
                       wire_problem_status(problem.code));
        assert_non_null(strstr(rendered_problem(&problem), expected));
    }
    assert_int_equal(wire_problem_status(PROBLEM_KEY_CONFLICT), 409);
    assert_int_equal(wire_problem_status(PROBLEM_STOPPING), 503);
}

static void a_policy_problem_lists_all_mistakes(void **state)
{
    (void)state;
    const struct bytes errors[] = {BYTES("policy:3:5: unknown key 'waterfal'"),
                                   BYTES("policy:9:1: \"x\"")};
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_policy_problem(errors, 2, BYTES_NONE, &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"type\":\"/problems/policy_invalid\",\"title\":\"The policy has mistakes\",\"status\":"
        "422,\"detail\":\"The policy has mistakes: policy:3:5: unknown key 'waterfal' (and 1 "
        "more)\",\"code\":\"policy_invalid\",\"errors\":[\"policy:3:5: unknown key 'waterfal'\","
        "\"policy:9:1: \\\"x\\\"\"]}");
}

static void a_customer_shows_settings_and_plan(void **state)
{
    (void)state;
    struct customer_view view = {.plan = NAME_PLUS,
                                 .credit_mode = CREDIT_ASK,
                                 .created_ms = at(NOON),
                                 .open_holds = 2,
                                 .override_count = 1};
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_customer(BYTES("acme"), &view, symbols(), &buffer);
    assert_string_equal(text_of(&buffer),
                        "{\"customer\":\"acme\",\"plan\":\"plus\",\"credit_mode\":\"ask\","
                        "\"anchor\":null,\"suspended\":false,\"standing\":\"normal\",\"overrides\":"
                        "1,\"limits\":{},\"budgets\":{},\"open_holds\":2,"
                        "\"created_at\":\"2026-05-01T12:00:00Z\"}");
    view.has_anchor = true;
    view.anchor_ms = 0;
    view.suspended = true;
    view.limit_count = 4;
    view.limits[0] =
        (struct limit_view){.name = NAME_PACE, .window_count = 1, .is_own = {true}, .values = {7}};
    view.limits[1] = (struct limit_view){
        .feature = NAME_CHAT,
        .name = NAME_INCLUDED,
        .window_count = 3,
        .is_own = {true, false, true},
        .values = {   1,     0,    0}
    };
    view.limits[2] = (struct limit_view){.feature = NAME_CHAT,
                                         .name = NAME_OVERAGE,
                                         .is_credits = true,
                                         .window_count = 1,
                                         .is_own = {true},
                                         .values = {500000000}};
    view.limits[3] = (struct limit_view){
        .feature = NAME_CHAT,
        .name = NAME_PACE,
        .is_credits = true,
        .window_count = 2,
        .is_own = {false,      true},
        .values = {    0, 500000000}
    };
    view.credit_mode = CREDIT_UNSAID;
    view.plan = SYMBOL_NONE;
    buffer = buffer_over(block, sizeof block);
    wire_render_customer(BYTES("a\"b"), &view, symbols(), &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"customer\":\"a\\\"b\",\"plan\":null,\"credit_mode\":\"auto\","
        "\"anchor\":\"1970-01-01T00:00:00Z\",\"suspended\":true,\"standing\":"
        "\"normal\",\"overrides\":1,\"limits\":{\"pace\":7,\"chat/included\":[1,null,0],\"chat/"
        "pace\":[null,\"0.5\"]},\"budgets\":{\"chat/overage\":\"0.5\"},"
        "\"open_holds\":2,\"created_at\":\"2026-05-01T12:00:00Z\"}");
}

static struct balance_view balance;

static void a_balance_shows_each_grant(void **state)
{
    (void)state;
    balance = (struct balance_view){.available = -NANO_PER_CREDIT,
                                    .held = 2 * NANO_PER_CREDIT,
                                    .debt = -3 * NANO_PER_CREDIT,
                                    .grant_count = 2};
    balance.grants[0] = (struct grant_view){.id = id('g', "g_0000000000a02"),
                                            .category = CATEGORY_PROMOTIONAL,
                                            .state = GRANT_LIVE,
                                            .priority = -1,
                                            .amount = 5 * NANO_PER_CREDIT,
                                            .remaining = 2 * NANO_PER_CREDIT,
                                            .held = 2 * NANO_PER_CREDIT,
                                            .effective_ms = at(NOON),
                                            .expires_ms = at("2026-06-01T00:00:00Z"),
                                            .feature_count = 1,
                                            .features = {NAME_CHAT}};
    balance.grants[1] = (struct grant_view){.id = id('g', "g_0000000000a02"),
                                            .category = CATEGORY_PAID,
                                            .state = GRANT_PENDING,
                                            .amount = NANO_PER_CREDIT,
                                            .effective_ms = at(NOON),
                                            .expires_ms = INSTANT_NEVER};
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_render_balance(BYTES("acme"), &balance, 4 * NANO_PER_CREDIT, symbols(), &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"customer\":\"acme\",\"settled\":\"4\",\"pending\":\"3\",\"held\":\"2\",\"available\":"
        "\"-1\",\"debt\":\"-3\",\"grants\":["
        "{\"grant_id\":\"g_0000000000a02\",\"category\":\"promotional\",\"remaining\":\"2\","
        "\"held\":\"2\",\"credits\":\"5\",\"priority\":-1,\"effective_at\":\"2026-05-01T12:00:"
        "00Z\","
        "\"expires_at\":\"2026-06-01T00:00:00Z\",\"features\":[\"chat\"],\"state\":\"live\"},"
        "{\"grant_id\":\"g_0000000000a02\",\"category\":\"paid\",\"remaining\":\"0\",\"held\":"
        "\"0\",\"credits\":\"1\",\"priority\":0,\"effective_at\":\"2026-05-01T12:00:00Z\","
        "\"expires_at\":null,\"features\":null,\"state\":\"pending\"}]}");
    balance = (struct balance_view){0};
    buffer = buffer_over(block, sizeof block);
    wire_render_balance(BYTES("acme"), &balance, 0, symbols(), &buffer);
    assert_string_equal(text_of(&buffer),
                        "{\"customer\":\"acme\",\"settled\":\"0\",\"pending\":\"0\",\"held\":\"0\","
                        "\"available\":\"0\",\"grants\":[]}");
}

static void status_shows_what_the_next_request_would_meet(void **state)
{
    (void)state;
    static struct status_view view;
    view = (struct status_view){.feature = NAME_CHAT,
                                .unit = NAME_REQUESTS,
                                .allowed = true,
                                .retry_after_ms = -1,
                                .row_count = 4};
    view.rows[0] = (struct status_row){
        .kind = NOTE_RATE,
        .name = NAME_PACE,
        .scope = {SCOPE_SUBJECT, 0},
        .has_window = true,
        .period = one_minute,
        .limit = 60,
        .burst = 20,
        .used = -1,
        .remaining = 20
    };
    view.rows[1] = (struct status_row){
        .kind = NOTE_BUDGET,
        .name = NAME_CAP,
        .has_window = true,
        .period = {PERIOD_MONTH, START_CALENDAR, 0},
        .is_credits = true,
        .limit = UINT64_C(500000000000),
        .used = 500000000,
        .remaining = UINT64_C(499500000000),
        .resets_at_ms = at("2026-06-01T00:00:00Z")
    };
    view.rows[2] = (struct status_row){.kind = NOTE_SOURCE,
                                       .name = SYMBOL_PAID,
                                       .source = SOURCE_GRANTS,
                                       .is_credits = true,
                                       .remaining = NANO_PER_CREDIT};
    view.rows[3] = (struct status_row){.kind = NOTE_SOURCE,
                                       .name = SYMBOL_UNLIMITED,
                                       .source = SOURCE_UNLIMITED,
                                       .unlimited = true};
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_status_begin(BYTES("acme"), BYTES("team-a/alice"), &buffer);
    wire_status_feature(&view, symbols(), &buffer);
    view = (struct status_view){.feature = NAME_CHAT,
                                .unit = UNIT_COST,
                                .reason = REASON_ALLOWANCE_EXHAUSTED,
                                .retry_after_ms = 5};
    wire_status_feature(&view, symbols(), &buffer);
    balance = (struct balance_view){.available = NANO_PER_CREDIT};
    wire_status_end(&balance, true, &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"customer\":\"acme\",\"subject\":\"team-a/alice\",\"features\":[{\"feature\":\"chat\","
        "\"unit\":\"requests\",\"allowed\":true,\"reason\":\"ok\",\"retry_after_ms\":null,"
        "\"limits\":["
        "{\"name\":\"pace\",\"kind\":\"rate\",\"scope\":\"subject\",\"window\":\"1m\",\"limit\":60,"
        "\"burst\":20,\"used\":-1,\"remaining\":20,\"resets_at\":null},"
        "{\"name\":\"monthly-cap\",\"kind\":\"budget\",\"scope\":\"customer\",\"window\":\"month\","
        "\"limit\":\"500\",\"used\":\"0.5\",\"remaining\":\"499.5\",\"resets_at\":"
        "\"2026-06-01T00:00:00Z\"},"
        "{\"name\":\"paid\",\"kind\":\"grants\",\"scope\":\"customer\",\"window\":null,\"limit\":"
        "null,\"used\":null,\"remaining\":\"1\",\"resets_at\":null},"
        "{\"name\":\"unlimited\",\"kind\":\"unlimited\",\"scope\":\"customer\",\"window\":null,"
        "\"limit\":null,\"used\":null,\"remaining\":null,\"resets_at\":null}]},"
        "{\"feature\":\"chat\",\"unit\":\"cost\",\"allowed\":false,\"reason\":"
        "\"allowance_exhausted\",\"retry_after_ms\":5,\"limits\":[]}],"
        "\"allowed\":true,\"balance\":{\"available\":\"1\",\"held\":\"0\"}}");
    buffer = buffer_over(block, sizeof block);
    wire_status_begin(BYTES("acme"), BYTES_NONE, &buffer);
    wire_status_end(NULL, false, &buffer);
    assert_string_equal(
        text_of(&buffer),
        "{\"customer\":\"acme\",\"subject\":null,\"features\":[],\"allowed\":false,\"balance\":{"
        "\"available\":\"0\",\"held\":\"0\"}}");
}

static void batches_clock_and_policy_have_their_frames(void **state)
{
    (void)state;
    const struct report report = {.kind = COMMAND_POLICY, .count = 1};
    const struct problem problem = {.code = PROBLEM_CAPACITY};
    struct buffer buffer = buffer_over(block, sizeof block);
    wire_batch_begin(&buffer);
    wire_batch_next(&buffer);
    wire_render_report(&report, 0, symbols(), &buffer, &fields);
    wire_batch_next(&buffer);
    wire_render_problem(&problem, BYTES_NONE, &buffer);
    wire_batch_end(&buffer);
    assert_string_equal(text_of(&buffer),
                        "{\"results\":[{\"version\":1},{\"type\":\"/problems/capacity\",\"title\":"
                        "\"A memory ceiling is reached\",\"status\":503,\"detail\":\"A memory "
                        "ceiling is reached\",\"code\":\"capacity\"}]}");
    buffer = buffer_over(block, sizeof block);
    wire_render_clock(at(NOON), &buffer);
    assert_string_equal(text_of(&buffer), "{\"now\":\"2026-05-01T12:00:00Z\"}");
    buffer = buffer_over(block, sizeof block);
    const struct engine_policy_info info = {
        .version = 2, .content_hash = UINT64_C(0x0123456789abcdef), .installed_ms = at(NOON)};
    wire_render_policy(&info, true, false, &buffer);
    assert_string_equal(text_of(&buffer),
                        "{\"version\":2,\"content_hash\":\"0123456789abcdef\",\"changed\":true,"
                        "\"installed_at\":\"2026-05-01T12:00:00Z\",\"from_file\":false}");
}

/* The largest of everything, every name of its ceiling and every byte of it escaped. */
static struct symbols worst_symbols(void)
{
    static struct bytes names[NAMES];
    static uint8_t name[NAME_BYTES_MAX];
    memset(name, 1, sizeof name);
    for (unsigned symbol = 1; symbol < NAMES; symbol++)
        names[symbol] = (struct bytes){name, sizeof name};
    return (struct symbols){names, NAMES - 1};
}

static void the_largest_answers_fit_their_bounds(void **state)
{
    (void)state;
    static uint8_t customer[SUBJECT_BYTES_MAX];
    memset(customer, 1, sizeof customer);
    const struct bytes widest = {customer, CUSTOMER_BYTES_MAX};
    struct report report = denial(REASON_RATE_LIMITED, NAME_PACE);
    report.explain = true;
    report.units_requested = report.units_allowed = UINT64_MAX;
    report.charged = INT64_MIN;
    report.hold = HOLD_HELD;
    report.has_overshoot = true;
    report.overshoot =
        (struct overshoot){UINT64_MAX, INT64_MIN, INT64_MIN, OVERSHOOT_OVERAGE, UINT32_MAX};
    report.retry_after_ms = INT64_MAX;
    report.resets_at_ms = at("2026-06-01T00:00:00.001Z");
    report.line_count = LINES_MAX;
    report.note_count = NOTES_MAX;
    for (unsigned place = 0; place < LINES_MAX; place++)
        report.lines[place] =
            (struct line){SYMBOL_PAID, SOURCE_GRANTS, INT64_MAX, UINT64_MAX, INT64_MIN};
    for (unsigned place = 0; place < NOTES_MAX; place++)
        report.notes[place] = (struct note){
            .kind = NOTE_SOURCE,
            .name = NAME_PACE,
            .skipped = true,
            .has_window = true,
            .amount = UINT64_MAX,
            .drawn = UINT64_MAX,
            .limit = UINT64_MAX,
            .left = UINT64_MAX,
            .period = {PERIOD_DURATION, START_SLIDING, 1},
            .resets_at_ms = at("9999-06-01T00:00:00.001Z")
        };
    struct buffer buffer = buffer_over(block, WIRE_REPORT_BYTES_MAX);
    wire_render_report(&report, 0, worst_symbols(), &buffer, &fields);
    assert_false(buffer.overflowed);

    balance.grant_count = GRANT_VIEWS_MAX;
    for (unsigned place = 0; place < GRANT_VIEWS_MAX; place++) {
        struct grant_view *grant = &balance.grants[place];
        *grant = (struct grant_view){.id = INT64_MAX,
                                     .category = CATEGORY_PROMOTIONAL,
                                     .priority = INT32_MIN,
                                     .amount = INT64_MIN,
                                     .remaining = INT64_MIN,
                                     .held = INT64_MIN,
                                     .effective_ms = 1,
                                     .expires_ms = 1,
                                     .feature_count = GRANT_FEATURES_MAX};
        for (unsigned feature = 0; feature < GRANT_FEATURES_MAX; feature++)
            grant->features[feature] = NAME_CHAT;
    }
    buffer = buffer_over(block, WIRE_BALANCE_BYTES_MAX);
    wire_render_balance(widest, &balance, -BALANCE_NANO_MAX, worst_symbols(), &buffer);
    assert_false(buffer.overflowed);

    static struct status_view view;
    view = (struct status_view){.feature = NAME_CHAT,
                                .unit = NAME_REQUESTS,
                                .reason = REASON_TEMPORARY_REDUCED_CAPACITY,
                                .retry_after_ms = INT64_MAX,
                                .row_count = STATUS_ROWS_MAX};
    for (unsigned place = 0; place < STATUS_ROWS_MAX; place++)
        view.rows[place] = (struct status_row){
            .kind = NOTE_CONCURRENCY,
            .name = NAME_PACE,
            .scope = {    SCOPE_LEVEL,    UINT32_MAX},
            .has_window = true,
            .period = { PERIOD_DURATION, START_SLIDING,              1},
            .limit = UINT64_MAX,
            .used = INT64_MIN,
            .remaining = UINT64_MAX,
            .resets_at_ms = 1
        };
    buffer = buffer_over(block, WIRE_STATUS_BYTES_MAX(1));
    wire_status_begin(widest, (struct bytes){customer, SUBJECT_BYTES_MAX}, &buffer);
    wire_status_feature(&view, worst_symbols(), &buffer);
    wire_status_end(&balance, true, &buffer);
    assert_false(buffer.overflowed);

    static struct customer_view settings = {.plan = NAME_PLUS,
                                            .has_anchor = true,
                                            .override_count = UINT32_MAX,
                                            .open_holds = UINT32_MAX,
                                            .limit_count = LIMIT_VIEWS_MAX};
    const uint32_t names = worst_symbols().count;
    assert_true(names * names >= LIMIT_VIEWS_MAX);
    for (uint32_t i = 0; i < LIMIT_VIEWS_MAX; i++) {
        settings.limits[i] = (struct limit_view){.feature = 1 + i % names,
                                                 .name = 1 + i / names,
                                                 .is_credits = true,
                                                 .window_count = WINDOWS_MAX};
        for (uint32_t place = 0; place < WINDOWS_MAX; place++) {
            settings.limits[i].is_own[place] = true;
            settings.limits[i].values[place] = (uint64_t)BALANCE_NANO_MAX - 1;
        }
    }
    buffer = buffer_over(block, WIRE_CUSTOMER_BYTES_MAX);
    wire_render_customer(widest, &settings, worst_symbols(), &buffer);
    assert_false(buffer.overflowed);

    static char path[256];
    memset(path, 1, sizeof path - 1);
    const struct problem problem = {
        .code = PROBLEM_INVALID_SHAPE, .field = path, .value = widest, .expected = path};
    buffer = buffer_over(block, WIRE_PROBLEM_BYTES_MAX);
    wire_render_problem(&problem, BYTES_NONE, &buffer);
    assert_false(buffer.overflowed);
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    const struct report report = example();
    for (size_t size = 0; size < 700; size += 7) {
        struct buffer buffer = buffer_over(block, size);
        wire_render_report(&report, at(NOON), symbols(), &buffer, &fields);
        assert_true(buffer.overflowed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_contract_is_reproduced),
        cmocka_unit_test(decisions_differ_by_kind_as_the_contract_says),
        cmocka_unit_test(a_denial_says_what_refused_and_what_helps),
        cmocka_unit_test(a_rate_refusal_carries_its_wait),
        cmocka_unit_test(a_slowed_gate_says_how_much_and_whose),
        cmocka_unit_test(a_pool_tells_what_it_runs_at_and_why),
        cmocka_unit_test(every_reason_has_its_code_status_and_sentence),
        cmocka_unit_test(money_limits_are_told_in_credits),
        cmocka_unit_test(a_limit_that_has_something_left_is_not_called_used_up),
        cmocka_unit_test(an_overage_that_nothing_was_taken_from_is_neither_full_nor_starts_anew),
        cmocka_unit_test(windows_are_told_to_the_edge_in_seconds),
        cmocka_unit_test(the_fields_of_the_body_are_given_beside_it),
        cmocka_unit_test(a_quota_that_does_not_count_requests_names_its_unit),
        cmocka_unit_test(names_are_strings_of_structured_fields),
        cmocka_unit_test(what_has_no_room_in_a_field_is_left_out_whole),
        cmocka_unit_test(a_commit_shows_the_final_allocations),
        cmocka_unit_test(other_reports_have_their_shapes),
        cmocka_unit_test(a_problem_names_the_field_and_the_value),
        cmocka_unit_test(problems_cut_and_escape_what_was_found),
        cmocka_unit_test(every_problem_code_renders_with_its_status),
        cmocka_unit_test(a_policy_problem_lists_all_mistakes),
        cmocka_unit_test(a_customer_shows_settings_and_plan),
        cmocka_unit_test(a_balance_shows_each_grant),
        cmocka_unit_test(status_shows_what_the_next_request_would_meet),
        cmocka_unit_test(batches_clock_and_policy_have_their_frames),
        cmocka_unit_test(the_largest_answers_fit_their_bounds),
        cmocka_unit_test(what_does_not_fit_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
