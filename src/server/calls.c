/*
 * calls.c: what the routes do: commands go to the ruling; reads are rendered from the deciding
 * state; the clock and the policy are moved; health is told.
 */
#include <string.h>
#include <time.h>

#include "server/documents.h"
#include "server/loop_inner.h"

/* A log that is not folded in: somebody reads the file and does not stop. */
#define LOG_LARGE_BYTES (UINT64_C(1) << 30)

enum { COMPLAINT_TEXT_BYTES = POLICY_COMPLAINT_BYTES_MAX + 64 };

static const struct policy *policy_in_force(const struct loop *loop)
{
    return loop->parts.policies->current->policy;
}

/* ---- before the state is asked */

static bool refuse(struct asked *asked, struct problem problem)
{
    asked->is_refused = true;
    asked->problem = problem;
    return false;
}

static bool find_route(struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    switch (route_find(exchange->method, exchange->path, &exchange->route, &exchange->target)) {
    case ROUTE_FOUND:
        return true;
    case ROUTE_NO_METHOD:
        return refuse(asked,
                      (struct problem){.code = PROBLEM_NO_METHOD, .value = exchange->method});
    case ROUTE_NO_PATH:
        break;
    }
    return refuse(asked, (struct problem){.code = PROBLEM_NO_ROUTE, .value = exchange->path});
}

static uint8_t lower(uint8_t letter)
{
    return letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + ('a' - 'A')) : letter;
}

/* Whether a media type, its parameters aside, starts like `prefix`, and is it when `is_whole`. */
static bool media_type_is(struct bytes type, const char *prefix, bool is_whole)
{
    size_t length = 0;
    while (length < type.length && type.at[length] != ';' && type.at[length] != ' ')
        ++length;
    const size_t prefix_length = strlen(prefix);
    if (length < prefix_length || (is_whole && length != prefix_length)) return false;
    for (size_t i = 0; i < prefix_length; ++i)
        if (lower(type.at[i]) != (uint8_t)prefix[i]) return false;
    return true;
}

static struct bytes trim(struct bytes text)
{
    while (text.length > 0 && (*text.at == ' ' || *text.at == '\t')) {
        ++text.at;
        --text.length;
    }
    while (text.length > 0 && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
        --text.length;
    return text;
}

static bool equals_in_any_case(struct bytes text, struct bytes lower_case)
{
    if (text.length != lower_case.length) return false;
    for (size_t i = 0; i < text.length; ++i)
        if (lower(text.at[i]) != lower_case.at[i]) return false;
    return true;
}

/* Whether no charset is named but the one that is read. */
static bool has_right_charset(struct bytes type)
{
    const struct bytes name = BYTES("charset=");
    size_t at = 0;
    while (at < type.length) {
        size_t end = at;
        while (end < type.length && type.at[end] != ';')
            ++end;
        const struct bytes parameter = trim((struct bytes){type.at + at, end - at});
        at = end + 1;
        if (parameter.length < name.length) continue;
        const struct bytes start = {parameter.at, name.length};
        const struct bytes value = {parameter.at + name.length, parameter.length - name.length};
        if (equals_in_any_case(start, name) && !equals_in_any_case(value, BYTES("utf-8")) &&
            !equals_in_any_case(value, BYTES("\"utf-8\"")))
            return false;
    }
    return true;
}

static bool has_right_encoding(const struct exchange *exchange)
{
    const struct bytes encoding = exchange->content_encoding;
    return encoding.at == NULL || exchange->body.length == 0 ||
           equals_in_any_case(encoding, BYTES("identity"));
}

/* JSON is read as what it is: an object, or an array of them. */
static bool is_array(struct bytes json)
{
    static const char spaces[] = {' ', '\t', '\n', '\r'};
    size_t at = 0;
    while (at < json.length && memchr(spaces, json.at[at], sizeof(spaces)) != NULL)
        ++at;
    return at < json.length && json.at[at] == '[';
}

struct usage_form loop_usage_form(const struct exchange *exchange)
{
    const struct bytes type = exchange->content_type;
    if (type.at == NULL || exchange->body.length == 0 ||
        media_type_is(type, "application/json", true))
        return (struct usage_form){WIRE_USAGE, is_array(exchange->body)};
    if (media_type_is(type, "application/cloudevents+json", true))
        return (struct usage_form){WIRE_EVENT, false};
    if (media_type_is(type, "application/cloudevents-batch+json", true))
        return (struct usage_form){WIRE_EVENT, true};
    return (struct usage_form){WIRE_CALLS, false};
}

static bool has_right_type(const struct exchange *exchange)
{
    const struct bytes type = exchange->content_type;
    if (type.at == NULL || exchange->body.length == 0) return true;
    if (exchange->route->call == CALL_USAGE) return loop_usage_form(exchange).call != WIRE_CALLS;
    if (exchange->route->call != CALL_POLICY_PUT)
        return media_type_is(type, "application/json", true);
    return media_type_is(type, "application/yaml", true) ||
           media_type_is(type, "application/x-yaml", true) || media_type_is(type, "text/", false);
}

static const char *type_expected(enum call call)
{
    if (call == CALL_POLICY_PUT) return "application/yaml";
    if (call != CALL_USAGE) return "application/json";
    return "application/json, application/cloudevents+json or application/cloudevents-batch+json";
}

/* A key says which request it is: passed over, it would let that count twice. */
static bool check_key_header(struct asked *asked, bool is_list)
{
    const struct exchange *exchange = asked->exchange;
    const enum call call = exchange->route->call;
    const char *expected = NULL;
    if (exchange->idempotency_key.at == NULL) return true;
    if (exchange->has_two_keys)
        expected = "one key";
    else if (call == CALL_BATCH)
        expected = "a key in each operation instead";
    else if (is_list)
        expected = "a key in each element instead";
    else if (call == CALL_KEY_CREATE) /* there is no customer whose key it would be */
        expected = "none: a key whose answer was lost is revoked, and another one made";
    if (expected == NULL) return true;
    return refuse(asked, (struct problem){.code = PROBLEM_INVALID_VALUE,
                                          .field = "Idempotency-Key",
                                          .value = exchange->idempotency_key,
                                          .expected = expected});
}

/* Whether the request may be what its route takes. */
static bool check_request(struct asked *asked)
{
    const struct exchange *exchange = asked->exchange;
    const enum call call = exchange->route->call;
    const bool is_list = call == CALL_USAGE && loop_usage_form(exchange).is_list;
    const bool is_long = call == CALL_BATCH || is_list;
    const size_t body_max = is_long ? LOOP_BATCH_BYTES_MAX : LOOP_BODY_BYTES_MAX;
    if (exchange->body.length > body_max)
        return refuse(asked,
                      (struct problem){.code = PROBLEM_TOO_LARGE,
                                       .expected = is_long ? "at most 4 MiB" : "at most 1 MiB"});
    if (exchange->form != WIRE_FORM_JSON) return true; /* the rest is of HTTP's headers */
    if (!has_right_type(exchange))
        return refuse(asked, (struct problem){.code = PROBLEM_MEDIA_TYPE,
                                              .field = "Content-Type",
                                              .value = exchange->content_type,
                                              .expected = type_expected(call)});
    if (exchange->body.length > 0 && !has_right_charset(exchange->content_type))
        return refuse(asked, (struct problem){.code = PROBLEM_MEDIA_TYPE,
                                              .field = "Content-Type",
                                              .value = exchange->content_type,
                                              .expected = "UTF-8"});
    if (!has_right_encoding(exchange))
        return refuse(asked, (struct problem){.code = PROBLEM_MEDIA_TYPE,
                                              .field = "Content-Encoding",
                                              .value = exchange->content_encoding,
                                              .expected = "the body as it is"});
    if (!check_key_header(asked, is_list)) return false;
    if (exchange->query.length > 0 && call != CALL_STATUS && call != CALL_READ)
        return refuse(asked, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                              .field = "query",
                                              .value = exchange->query,
                                              .expected = "none"});
    return true;
}

/* The path's {id}, decoded into the asked's arena. */
static bool decode_target(struct asked *asked, struct bytes *target_out)
{
    const struct exchange *exchange = asked->exchange;
    *target_out = BYTES_NONE;
    if (exchange->form != WIRE_FORM_JSON) {
        *target_out = exchange->target;
        return true;
    }
    if (exchange->target.length == 0) return true;
    if (route_decode(exchange->target, false, &asked->arena, target_out)) return true;
    return refuse(asked, (struct problem){.code = PROBLEM_INVALID_VALUE,
                                          .field = "path",
                                          .value = exchange->target,
                                          .expected = "percent-encoded bytes"});
}

static void parse_command(struct loop *loop, struct asked *asked, enum wire_call call)
{
    const struct exchange *exchange = asked->exchange;
    struct wire_request request = {.call = call,
                                   .form = exchange->form,
                                   .body = exchange->body,
                                   .header_key = exchange->idempotency_key};
    if (!decode_target(asked, &request.target)) return;
    if (!wire_parse(&request, &asked->arena, &asked->command, &asked->problem) ||
        !loop_admit_command(loop, asked->exchange, asked)) {
        asked->is_refused = true;
        return;
    }
    engine_prefetch(loop->parts.engine, &asked->command);
}

void loop_prepare(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    asked->is_refused = false;
    asked->command.customer = BYTES_NONE; /* nobody's, until it is parsed */
    if (exchange->is_gone || exchange->is_under_way) return;
    const bool is_found = exchange->route != NULL || find_route(asked);
    if (!loop_admit(loop, asked) || !is_found || !check_request(asked)) return;
    if (exchange->route->call == CALL_COMMAND || exchange->route->call == CALL_KEY_CREATE)
        parse_command(loop, asked, exchange->route->wire);
    if (exchange->route->call != CALL_USAGE) return;
    const struct usage_form form = loop_usage_form(exchange);
    if (!form.is_list) parse_command(loop, asked, form.call);
}

/* ---- answers */

static struct answer ok(struct bytes body, const char *content_type)
{
    return (struct answer){.status = 200, .content_type = content_type, .body = body};
}

static enum progress answer_problem(struct loop *loop, struct exchange *exchange,
                                    struct problem problem)
{
    loop_answer_problem(loop, exchange, &problem, RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

/* What was rendered for a read; one that did not fit beside others has the next batch's room. */
static enum progress answer_read(struct loop *loop, struct exchange *exchange,
                                 const struct buffer *out, const char *content_type)
{
    if (out->overflowed) {
        ENSURE(loop->open->answers_used > 0);
        return PROGRESS_BLOCKED;
    }
    loop_answer(loop, exchange, ok(buffer_bytes(out), content_type), RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

/* ---- commands */

/* Behind the body, in the batch's memory: the next ruling has the loop's. */
static void add_field(struct answer *answer, const char *name, const char *value, uint32_t length,
                      struct buffer *out)
{
    if (length == 0) return;
    const struct bytes copy = {out->at + out->used, length};
    buffer_put(out, value, length);
    ENSURE(!out->overflowed);
    answer_add_header(answer, name, copy);
}

static enum progress call_command(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    struct buffer out = batch_answer_buffer(loop->open);
    unsigned status = 0;
    switch (loop_rule(loop, &asked->command, exchange, &out, &status)) {
    case RULED_BLOCKED:
        return PROGRESS_BLOCKED;
    case RULED_FETCH:
        return loop_fetch(loop, exchange);
    case RULED_ASK_KEY:
        return loop_ask_key(loop, exchange);
    case RULED:
        break;
    }
    ENSURE(!out.overflowed);
    struct answer answer = {.status = status,
                            .content_type = status == 200 ? CONTENT_JSON : CONTENT_PROBLEM,
                            .body = buffer_bytes(&out)};
    const struct wire_fields *fields = &loop->fields;
    add_field(&answer, "ratelimit-policy", fields->policy, fields->policy_length, &out);
    add_field(&answer, "ratelimit", fields->limit, fields->limit_length, &out);
    loop_answer(loop, exchange, answer, RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

/* ---- reads */

/* The customer of the path, decoded and checked; false: refused. */
static bool customer_of(struct loop *loop, struct asked *asked, struct bytes *customer_out)
{
    const struct access_right right = loop_right(loop, asked->exchange);
    return decode_target(asked, customer_out) &&
           wire_check_name(WIRE_NAME_CUSTOMER, *customer_out, &asked->problem) &&
           access_allows_customer(&right, *customer_out, &asked->problem);
}

static enum progress call_customer(struct loop *loop, struct asked *asked)
{
    struct bytes customer;
    struct engine *engine = loop->parts.engine;
    if (!customer_of(loop, asked, &customer))
        return answer_problem(loop, asked->exchange, asked->problem);
    if (!engine_customer(engine, customer, &loop->customer))
        return answer_problem(loop, asked->exchange,
                              (struct problem){.code = PROBLEM_UNKNOWN_CUSTOMER,
                                               .field = "customer",
                                               .value = customer});
    engine_customer_limits(engine, loop->parts.policies->current->policy, customer,
                           &loop->customer);
    struct buffer out = batch_answer_buffer(loop->open);
    wire_render_customer(customer, &loop->customer, engine_symbols(engine), &out);
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

/* The four numbers (SEMANTICS B2). What the books say is asked for first, and the state is read
 * after: so nothing is settled that the state does not know of, and what it knows and the books do
 * not is pending. */
static enum progress call_balance(struct loop *loop, struct asked *asked)
{
    struct bytes customer;
    struct engine *engine = loop->parts.engine;
    if (!customer_of(loop, asked, &customer))
        return answer_problem(loop, asked->exchange, asked->problem);
    if (loop->parts.settling != NULL && !asked->exchange->has_head)
        return loop_ask_head(loop, asked->exchange, engine_customer_id(engine, customer));
    if (!engine_balance(engine, policy_in_force(loop), customer, loop->now_ms, &loop->balance)) {
        if (policy_in_force(loop)->default_plan == SYMBOL_NONE)
            return answer_problem(loop, asked->exchange,
                                  (struct problem){.code = PROBLEM_UNKNOWN_CUSTOMER,
                                                   .field = "customer",
                                                   .value = customer});
        /* A customer never seen has a plan, and nothing in the wallet. */
        loop->balance.available = loop->balance.held = loop->balance.debt = 0;
        loop->balance.grant_count = 0;
    }
    struct buffer out = batch_answer_buffer(loop->open);
    const int64_t settled = asked->exchange->head.settled;
    wire_render_balance(customer, &loop->balance, settled, engine_symbols(engine), &out);
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

struct status_query {
    struct bytes customer;
    struct bytes subject; /* at == NULL: not said yet; empty is as if it were not */
    struct bytes feature; /* likewise; empty: all of the plan */
    bool allowed;         /* of the features rendered so far, one at least would pass */
};

static bool take_status_parameter(struct asked *asked, struct bytes name, struct bytes value,
                                  struct status_query *query)
{
    const bool is_subject = bytes_equal(name, BYTES("subject"));
    if (!is_subject && !bytes_equal(name, BYTES("feature")))
        return refuse(asked, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                              .field = "query",
                                              .value = name,
                                              .expected = "subject or feature"});
    struct bytes *place = is_subject ? &query->subject : &query->feature;
    if (place->at != NULL)
        return refuse(asked, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                              .field = "query",
                                              .value = name,
                                              .expected = "each parameter once"});
    if (!route_decode(value, true, &asked->arena, place))
        return refuse(asked, (struct problem){.code = PROBLEM_INVALID_QUERY,
                                              .field = "query",
                                              .value = value,
                                              .expected = "percent-encoded bytes"});
    return place->length == 0 || wire_check_name(is_subject ? WIRE_NAME_SUBJECT : WIRE_NAME_FEATURE,
                                                 *place, &asked->problem);
}

static bool parse_status(struct loop *loop, struct asked *asked, struct status_query *query_out)
{
    struct bytes rest = asked->exchange->query;
    struct bytes name;
    struct bytes value;
    *query_out = (struct status_query){0};
    if (!customer_of(loop, asked, &query_out->customer)) return false;
    while (route_take_parameter(&rest, &name, &value))
        if (!take_status_parameter(asked, name, value, query_out)) return false;
    return true;
}

static enum problem_code render_feature(struct loop *loop, struct status_query *query,
                                        struct bytes feature, struct buffer *out)
{
    struct engine *engine = loop->parts.engine;
    const enum problem_code code =
        engine_status(engine, policy_in_force(loop), query->customer, query->subject, feature,
                      loop->now_ms, &loop->status);
    if (code != PROBLEM_NONE) return code;
    wire_status_feature(&loop->status, engine_symbols(engine), out);
    query->allowed = query->allowed || loop->status.allowed;
    return PROBLEM_NONE;
}

/* Every feature of the customer's plan; a customer never seen has the default plan. */
static enum problem_code render_features(struct loop *loop, struct status_query *query,
                                         bool is_known, struct buffer *out)
{
    const struct policy *policy = policy_in_force(loop);
    const struct symbols symbols = engine_symbols(loop->parts.engine);
    const uint32_t plan_name = is_known ? loop->customer.plan : policy->default_plan;
    if (plan_name == 0) return PROBLEM_UNKNOWN_CUSTOMER;
    const struct plan *plan = policy_plan_of(policy, plan_name);
    for (uint32_t i = 0; plan != NULL && i < plan->feature_count; ++i) {
        const struct policy_feature *feature = &policy->features[plan->features[i].feature];
        const enum problem_code code =
            render_feature(loop, query, symbols.name[feature->name], out);
        if (code != PROBLEM_NONE) return code;
    }
    return PROBLEM_NONE;
}

static enum progress call_status(struct loop *loop, struct asked *asked)
{
    struct status_query query;
    struct engine *engine = loop->parts.engine;
    if (!parse_status(loop, asked, &query))
        return answer_problem(loop, asked->exchange, asked->problem);

    struct buffer out = batch_answer_buffer(loop->open);
    const bool is_known = engine_customer(engine, query.customer, &loop->customer);
    wire_status_begin(query.customer, query.subject, &out);
    const enum problem_code code = query.feature.length > 0
                                       ? render_feature(loop, &query, query.feature, &out)
                                       : render_features(loop, &query, is_known, &out);
    if (code != PROBLEM_NONE) {
        const bool is_customer = code == PROBLEM_UNKNOWN_CUSTOMER;
        return answer_problem(
            loop, asked->exchange,
            (struct problem){.code = code,
                             .field = is_customer ? "customer" : "feature",
                             .value = is_customer ? query.customer : query.feature});
    }
    const bool has_balance =
        is_known &&
        engine_balance(engine, policy_in_force(loop), query.customer, loop->now_ms, &loop->balance);
    wire_status_end(has_balance ? &loop->balance : NULL, query.allowed, &out);
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

/* ---- the clock */

static bool move_test_clock(struct loop *loop, struct asked *asked, struct wire_clock wanted)
{
    struct clock *clock = loop->parts.clock;
    const char *field = wanted.kind == WIRE_CLOCK_ADVANCE ? "advance_ms" : "now";
    if (!clock_state(clock).is_test)
        return refuse(asked, (struct problem){.code = PROBLEM_UNSUPPORTED,
                                              .field = field,
                                              .expected = "a server started with --test-clock"});
    const int64_t now_ms = clock_now_ms(clock);
    if (wanted.kind == WIRE_CLOCK_ADVANCE && wanted.ms > INSTANT_MS_MAX - now_ms)
        return refuse(asked, (struct problem){.code = PROBLEM_OUT_OF_RANGE,
                                              .field = field,
                                              .expected = "a time before the year 10000"});
    const int64_t target_ms = wanted.kind == WIRE_CLOCK_ADVANCE ? now_ms + wanted.ms : wanted.ms;
    if (clock_test_set(clock, target_ms)) return true;
    return refuse(asked, (struct problem){.code = PROBLEM_CLOCK_BACKWARD,
                                          .field = field,
                                          .expected = "a time not before the clock's own"});
}

static bool confirm_jump(struct loop *loop, struct asked *asked)
{
    const struct clock_state state = clock_state(loop->parts.clock);
    if (state.is_test)
        return refuse(asked, (struct problem){.code = PROBLEM_UNSUPPORTED,
                                              .field = "confirm_jump",
                                              .expected = "a server on the wall clock"});
    clock_confirm(loop->parts.clock);
    return true;
}

/* Moves the clock once, then stays at the head of the queue until all that falls due on the way is
 * journaled. */
static enum progress call_clock(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    if (!exchange->is_under_way) {
        struct wire_clock wanted;
        const bool is_moved =
            wire_parse_clock(exchange->body, &asked->arena, &wanted, &asked->problem) &&
            (wanted.kind == WIRE_CLOCK_CONFIRM_JUMP ? confirm_jump(loop, asked)
                                                    : move_test_clock(loop, asked, wanted));
        if (!is_moved) return answer_problem(loop, exchange, asked->problem);
        exchange->is_under_way = true;
        loop->now_ms = clock_now_ms(loop->parts.clock);
    }
    uint32_t done = 0;
    if (crowds_are_over(&loop->crowds, loop->now_ms) && !loop_tell_crowds(loop))
        return PROGRESS_BLOCKED;
    if (!loop_run_due(loop, UINT32_MAX, &done)) return PROGRESS_BLOCKED;
    if (!batch_has_room(loop->open)) return PROGRESS_BLOCKED;
    struct buffer out = batch_answer_buffer(loop->open);
    wire_render_clock(loop->now_ms, &out);
    return answer_read(loop, exchange, &out, CONTENT_JSON);
}

/* ---- the policy */

static enum progress answer_complaints(struct loop *loop, struct exchange *exchange)
{
    const struct policy_complaints *complaints = &loop->parts.policies->complaints;
    static const char more[] = "policy: and more, not listed";
    uint8_t block[POLICY_COMPLAINTS_MAX * COMPLAINT_TEXT_BYTES];
    struct bytes errors[POLICY_COMPLAINTS_MAX + 1];
    struct buffer text = buffer_over(block, sizeof(block));
    uint32_t count = 0;
    for (; count < complaints->count; ++count) {
        const size_t start = text.used;
        policy_complaint_format("policy", &complaints->at[count], &text);
        ENSURE(!text.overflowed);
        errors[count] = (struct bytes){text.at + start, text.used - start};
    }
    ENSURE(count > 0);
    if (complaints->more) errors[count++] = BYTES(more);

    struct buffer out = batch_answer_buffer(loop->open);
    wire_render_policy_problem(errors, count, request_id_bytes(&exchange->request_id), &out);
    metrics_problem(&loop->metrics, PROBLEM_POLICY_INVALID);
    telling_policy_refused(exchange, count, errors[0]);
    ENSURE(!out.overflowed);
    loop_answer(loop, exchange,
                (struct answer){.status = wire_problem_status(PROBLEM_POLICY_INVALID),
                                .content_type = CONTENT_PROBLEM,
                                .body = buffer_bytes(&out)},
                RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

/* The spare room's policy becomes the one in force, after everything due under the old one. */
static enum progress install_policy(struct loop *loop, struct asked *asked, bool from_file)
{
    struct exchange *exchange = asked->exchange;
    struct policies *policies = loop->parts.policies;
    const uint64_t hash_before = engine_policy_info(loop->parts.engine).content_hash;
    uint32_t done = 0;
    if (!loop_run_due(loop, UINT32_MAX, &done)) return PROGRESS_BLOCKED;

    memset(&asked->command, 0, sizeof(asked->command));
    asked->command.kind = COMMAND_POLICY;
    asked->command.yaml = policies->spare->yaml;
    asked->command.compiled = policies->spare->policy;
    asked->command.from_file = from_file;
    asked->command.actor = access_actor(&exchange->pass, asked->actor);
    struct buffer out = batch_answer_buffer(loop->open);
    const size_t start = out.used;
    unsigned status = 0;
    if (loop_rule(loop, &asked->command, NULL, &out, &status) != RULED) return PROGRESS_BLOCKED;
    if (status == 200) {
        const struct engine_policy_info info = engine_policy_info(loop->parts.engine);
        policies_record(policies, &loop->fact);
        policies_install(policies);
        out.used = start;
        wire_render_policy(&info, info.content_hash != hash_before, from_file, &out);
        telling_policy_applied(exchange, &info, from_file);
    }
    ENSURE(!out.overflowed);
    loop_answer(loop, exchange,
                (struct answer){.status = status,
                                .content_type = status == 200 ? CONTENT_JSON : CONTENT_PROBLEM,
                                .body = buffer_bytes(&out)},
                RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

static enum progress call_policy_put(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    if (exchange->is_under_way) {
        if (exchange->job->result == DESK_FOUND) return install_policy(loop, asked, false);
        return answer_complaints(loop, exchange);
    }
    if (loop->policy_exchange != NULL)
        return loop_wait_in_line(loop, exchange, &loop->policy_waiting, WAITING_POLICIES_MAX);
    struct desk_job *job = desk_take_job(loop->parts.desk);
    if (job == NULL)
        return loop_wait_in_line(loop, exchange, &loop->desk_waiting, WAITING_DESK_MAX);
    loop->policy_exchange = exchange;
    exchange->is_under_way = true;
    policies_stage(loop->parts.policies, exchange->body);
    job->kind = DESK_COMPILE;
    job->exchange = exchange;
    job->symbols = engine_symbols(loop->parts.engine);
    desk_order(loop->parts.desk, job);
    return PROGRESS_PARKED;
}

static enum progress call_policy_get(struct loop *loop, struct asked *asked)
{
    struct buffer out = batch_answer_buffer(loop->open);
    const struct bytes yaml = loop->parts.policies->current->yaml;
    buffer_put(&out, yaml.at, yaml.length);
    return answer_read(loop, asked->exchange, &out, CONTENT_YAML);
}

static void put_instant(struct buffer *out, int64_t instant_ms)
{
    char text[INSTANT_TEXT_SIZE];
    buffer_put(out, text, calendar_format(instant_ms, text));
}

/* Nobody is known on a server without keys. */
static void put_actor(struct buffer *out, struct bytes actor)
{
    if (actor.length == 0)
        json_null(out);
    else
        json_text(out, actor);
}

/* Newest first. */
static enum progress call_policy_versions(struct loop *loop, struct asked *asked)
{
    const struct policies *policies = loop->parts.policies;
    struct buffer out = batch_answer_buffer(loop->open);
    buffer_put_text(&out, "{\"versions\":[");
    for (uint32_t i = 0; i < policies->version_count && i < POLICY_VERSIONS_MAX; ++i) {
        const uint32_t place = (policies->version_count - 1 - i) % POLICY_VERSIONS_MAX;
        const struct policy_version *one = &policies->versions[place];
        buffer_put_text(&out, i == 0 ? "{\"version\":" : ",{\"version\":");
        buffer_put_decimal(&out, one->version);
        buffer_put_text(&out, ",\"content_hash\":\"");
        buffer_put_hex_number(&out, one->content_hash);
        buffer_put_text(&out, "\",\"installed_at\":\"");
        put_instant(&out, one->installed_ms);
        buffer_put_text(&out, one->from_file ? "\",\"from_file\":true" : "\",\"from_file\":false");
        buffer_put_text(&out, ",\"actor\":");
        put_actor(&out, policy_version_actor(one));
        buffer_put_byte(&out, '}');
    }
    buffer_put_text(&out, "]}");
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

/* ---- pools */

static enum progress call_pools(struct loop *loop, struct asked *asked)
{
    const struct policy *policy = policy_in_force(loop);
    struct buffer out = batch_answer_buffer(loop->open);
    struct wire_pool pool = {.tier_count = policy->plan_count};
    for (uint32_t i = 0; i < policy->plan_count; ++i)
        pool.tiers[i] = policy->plans[i].tier;
    json_begin(&out);
    json_key(&out, "pools");
    json_open(&out, '[');
    for (uint32_t i = 0; i < policy->pool_count; ++i) {
        pool.rule = &policy->pools[i];
        pool.view = engine_pool(loop->parts.engine, pool.rule->name);
        wire_render_pool(&pool, engine_symbols(loop->parts.engine), &out);
    }
    json_close(&out, ']');
    json_close(&out, '}');
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

/* ---- documents */

static enum progress call_openapi(struct loop *loop, struct asked *asked)
{
    const bool is_known = document_is_known(asked->exchange->if_none_match);
    struct answer answer = ok(is_known ? BYTES_NONE : document_openapi, CONTENT_JSON);
    if (is_known) answer.status = 304;
    answer_add_header(&answer, "etag", bytes_of_text(document_openapi_tag));
    loop_answer(loop, asked->exchange, answer, RELEASE_AT_ONCE);
    return PROGRESS_DONE;
}

/* What the type of a problem points to. */
static enum progress call_problem_page(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    const struct bytes page = document_problem(exchange->target);
    const struct problem none = {.code = PROBLEM_NO_ROUTE, .value = exchange->path};
    if (page.length == 0)
        loop_answer_problem(loop, exchange, &none, RELEASE_AT_ONCE);
    else
        loop_answer(loop, exchange, ok(page, "text/markdown; charset=utf-8"), RELEASE_AT_ONCE);
    return PROGRESS_DONE;
}

/* ---- health */

static void put_number(struct buffer *out, const char *name, uint64_t value)
{
    buffer_put_text(out, name);
    buffer_put_decimal(out, value);
}

static void put_key_health(const struct loop *loop, struct buffer *out)
{
    if (loop->parts.keys == NULL) return;
    const struct keys_status status = keys_status(loop->parts.keys);
    put_number(out, ",\"key_files\":{\"files\":", status.files);
    put_number(out, ",\"keys\":", status.kept);
    put_number(out, ",\"disk_bytes\":", status.disk_bytes);
    put_number(out, ",\"filter_bytes\":", status.memory_bytes);
    put_number(out, ",\"filter_bytes_max\":", status.memory_max);
    buffer_put_text(out, loop->filing.is_short ? ",\"full\":true}" : ",\"full\":false}");
}

uint64_t loop_journal_log_bytes(const struct loop *loop)
{
    return loop->parts.journal_log_bytes == NULL
               ? 0
               : loop->parts.journal_log_bytes(loop->parts.journaling->journal);
}

uint64_t loop_ledger_log_bytes(const struct loop *loop)
{
    return loop->parts.settling == NULL ? 0 : ledger_log_bytes(loop->parts.settling->ledger);
}

static int64_t certificate_left_s(const struct loop *loop)
{
    const int64_t ends_at_s = loop->metrics.networks[FRONT_HTTP].certificate_ends_at_s;
    return ends_at_s == 0 ? INT64_MAX : ends_at_s - (int64_t)time(NULL);
}

static void put_network(const struct loop *loop, struct buffer *out)
{
    const struct metrics_network total = metrics_all_networks(&loop->metrics);
    const struct metrics_network *network = &total;
    uint64_t shed = 0;
    for (unsigned i = 0; i < TURN_CLASSES; ++i)
        shed += loop->shed[i];
    put_number(out, ",\"connections\":{\"open\":", network->connections);
    put_number(out, ",\"accepted\":", network->accepted);
    put_number(out, ",\"shed\":", network->shed);
    put_number(out, ",\"turned_away\":", network->turned_away);
    put_number(out, ",\"timed_out\":", network->timed_out);
    put_number(out, ",\"readers_cut\":", network->readers_cut);
    put_number(out, ",\"handshakes_failed\":", network->handshakes_failed);
    put_number(out, "},\"buffers\":{\"bytes\":", network->buffers_bytes);
    put_number(out, ",\"refused\":", network->out_of_buffers);
    put_number(out, "},\"overload\":{\"shed\":", shed);
    put_number(out, ",\"turned_away\":", loop->turned_away);
    buffer_put_byte(out, '}');
}

uint32_t loop_conditions(const struct loop *loop, struct condition conditions_out[CONDITIONS_MAX])
{
    const struct settling *settling = loop->parts.settling;
    const struct snapshots *snapshots = loop->parts.snapshots;
    const struct harm *harm = &loop->parts.desk->harm;
    const struct condition conditions[] = {
        {"clock_jump_unconfirmed",       clock_state(loop->parts.clock).unconfirmed_ms != 0},
        {     "settlement_behind", settling != NULL && settling->lag_ms > SETTLING_HURRY_MS},
        {     "journal_log_large",           loop_journal_log_bytes(loop) > LOG_LARGE_BYTES},
        {      "ledger_log_large",            loop_ledger_log_bytes(loop) > LOG_LARGE_BYTES},
        {       "snapshot_failed",       snapshots != NULL && snapshots->news.failures != 0},
        {       "journal_damaged",                         atomic_load(&harm->batches) != 0},
        {          "keys_damaged",                            atomic_load(&harm->keys) != 0},
        {   "certificate_expires",            certificate_left_s(loop) < CERTIFICATE_WARN_S},
    };
    _Static_assert(COUNT_OF(conditions) <= CONDITIONS_MAX, "they fit");
    memcpy(conditions_out, conditions, sizeof(conditions));
    return COUNT_OF(conditions);
}

static bool put_conditions(const struct loop *loop, struct buffer *out)
{
    struct condition conditions[CONDITIONS_MAX];
    const uint32_t count = loop_conditions(loop, conditions);
    bool any = false;
    buffer_put_text(out, ",\"conditions\":[");
    for (uint32_t i = 0; i < count; ++i) {
        if (!conditions[i].holds) continue;
        buffer_put_text(out, any ? ",\"" : "\"");
        buffer_put_text(out, conditions[i].name);
        buffer_put_byte(out, '"');
        any = true;
    }
    buffer_put_byte(out, ']');
    return any;
}

static void put_settlement(const struct loop *loop, struct buffer *out)
{
    const struct settling *settling = loop->parts.settling;
    if (settling == NULL) return;
    const uint64_t settled = loop->settled_sequence;
    put_number(out, ",\"settlement\":{\"sequence\":", settled);
    put_number(out, ",\"lag_batches\":",
               loop->durable_sequence > settled ? loop->durable_sequence - settled : 0);
    put_number(out, ",\"lag_ms\":", (uint64_t)settling->lag_ms);
    buffer_put_text(out,
                    atomic_load(&settling->hurries) ? ",\"hurries\":true}" : ",\"hurries\":false}");
    put_number(out, ",\"logs\":{\"journal_bytes\":", loop_journal_log_bytes(loop));
    put_number(out, ",\"ledger_bytes\":", loop_ledger_log_bytes(loop));
    buffer_put_byte(out, '}');
}

static void put_books_memory(const struct loop *loop, struct buffer *out)
{
    if (loop->parts.settling == NULL) return;
    const struct settler_memory memory = settler_memory(loop->parts.settling->settler);
    put_number(out, ",\"books_bytes\":{\"heads\":", memory.heads_bytes);
    put_number(out, ",\"holds\":", memory.holds_bytes);
    put_number(out, ",\"sqlite\":", ledger_memory_bytes());
    buffer_put_byte(out, '}');
}

static void put_snapshots(const struct loop *loop, struct buffer *out)
{
    if (loop->parts.snapshots == NULL) return;
    const struct snapshots_news news = loop->parts.snapshots->news;
    put_number(out, ",\"snapshots\":{\"sequence\":", news.sequence);
    put_number(out, ",\"older\":", loop->snapshot_kept);
    if (news.at_ms != 0) {
        put_number(out, ",\"age_ms\":", (uint64_t)(loop->now_ms - news.at_ms));
        put_number(out, ",\"bytes\":", news.bytes);
    }
    put_number(out, ",\"failures\":", news.failures);
    if (news.failures != 0) {
        put_number(out, ",\"failed\":{\"sequence\":", news.failed_sequence);
        buffer_put_text(out, ",\"at\":\"");
        put_instant(out, news.failed_at_ms);
        buffer_put_text(out, "\",\"why\":\"");
        buffer_put_text(out, news.failure);
        buffer_put_text(out, "\"}");
    }
    buffer_put_byte(out, '}');
}

static void put_harm(const struct loop *loop, struct buffer *out)
{
    const struct harm *harm = &loop->parts.desk->harm;
    put_number(out, ",\"damage\":{\"batches\":", atomic_load(&harm->batches));
    put_number(out, ",\"batch\":", atomic_load(&harm->batch));
    put_number(out, ",\"keys\":", atomic_load(&harm->keys));
    buffer_put_byte(out, '}');
}

/* What bounds the journal's beginning, as of the last look. */
static void put_retention(const struct loop *loop, struct buffer *out)
{
    if (loop->parts.receipts_for_ms == 0) return;
    const struct retention_bound bound = loop->retention.found;
    put_number(out, ",\"retention\":{\"sequence\":", bound.sequence);
    buffer_put_text(out, ",\"by\":\"");
    buffer_put_text(out, retained_by_text(bound.by));
    buffer_put_text(out, "\"}");
}

/* What was told, and is no entry before its second is over. */
static void put_crowds(const struct loop *loop, struct buffer *out)
{
    const struct crowds *crowds = &loop->crowds;
    const bool are_open = crowds_are_open(crowds);
    put_number(out, ",\"crowds\":{\"open\":", are_open ? crowds->count - crowds->taken : 0);
    if (are_open) {
        buffer_put_text(out, ",\"second\":\"");
        put_instant(out, crowds->second * SECOND_MS);
        buffer_put_byte(out, '"');
    }
    put_number(out, ",\"told_in\":", crowds->told_in);
    buffer_put_byte(out, '}');
}

static void put_health(const struct loop *loop, const char *status, struct buffer *out)
{
    const struct engine_counts counts = engine_counts(loop->parts.engine);
    const struct clock_state clock = clock_state(loop->parts.clock);
    const int64_t uptime_ns = clock_monotonic_ns() - loop->started_ns;
    buffer_put_text(out, "{\"status\":\"");
    buffer_put_text(out, status);
    put_number(out, "\",\"uptime_ms\":", (uint64_t)uptime_ns / 1000000);
    put_number(out, ",\"policy_version\":", engine_policy_info(loop->parts.engine).version);
    put_number(out, ",\"journal\":{\"sequence\":", loop->durable_sequence);
    put_number(out, ",\"first\":", engine_cut(loop->parts.engine).first);
    put_number(out, ",\"open_entries\":", loop->open->entries);
    buffer_put_text(out,
                    loop->in_flight != NULL ? ",\"in_flight\":true}" : ",\"in_flight\":false}");
    put_number(out, ",\"customers\":", counts.customers);
    put_number(out, ",\"grants\":", counts.grants);
    put_number(out, ",\"open_holds\":", counts.holds);
    put_number(out, ",\"keys\":", counts.keys);
    put_number(out, ",\"endings\":", counts.ended);
    put_key_health(loop, out);
    put_crowds(loop, out);
    put_settlement(loop, out);
    put_snapshots(loop, out);
    put_retention(loop, out);
    put_harm(loop, out);
    put_number(out, ",\"state_bytes\":", counts.bytes_live);
    put_books_memory(loop, out);
    put_number(out, ",\"exchanges\":", loop->exchanges);
    put_number(out, ",\"queued\":", loop->arrived.count);
    put_network(loop, out);
    buffer_put_text(out, ",\"clock\":{\"now\":\"");
    put_instant(out, loop->now_ms);
    buffer_put_text(out, clock.is_test ? "\",\"test\":true" : "\",\"test\":false");
    put_number(out, ",\"jumps_back\":", clock.jumps_back);
    put_number(out, ",\"jumps_forward\":", clock.jumps_forward);
    put_number(out, ",\"unconfirmed_ms\":", (uint64_t)clock.unconfirmed_ms);
    put_number(out, ",\"ahead_ms\":", (uint64_t)clock.ahead_ms);
    buffer_put_byte(out, '}');
}

void loop_tell_briefly(const struct loop *loop, struct buffer *out)
{
    const struct metrics *metrics = &loop->metrics;
    uint64_t decisions = 0;
    for (uint32_t i = 0; i <= metrics->feature_count; ++i)
        for (unsigned outcome = OUTCOME_ALLOW; outcome <= OUTCOME_DENY; ++outcome)
            for (unsigned reason = 0; reason < METRICS_REASONS; ++reason)
                decisions += metrics->features[i].decisions[outcome][reason];
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {                  "# Stats\r\ntotal_answers",                                               loop->answers_sent},
        {                           "total_decisions",                                                        decisions},
        {                          "requests_at_work",                                                  loop->exchanges},
        {"\r\n# Persistence\r\njournal_batch_durable",                                           loop->durable_sequence},
        {                     "journal_batch_settled",                                           loop->settled_sequence},
        {                   "\r\n# Weir\r\ncustomers",                      engine_counts(loop->parts.engine).customers},
        {                                "open_holds",                          engine_counts(loop->parts.engine).holds},
        {                            "policy_version",                   engine_policy_info(loop->parts.engine).version},
        {                         "uptime_in_seconds", (uint64_t)(clock_monotonic_ns() - loop->started_ns) / 1000000000},
    };
    for (size_t i = 0; i < COUNT_OF(rows); ++i) {
        buffer_put_text(out, rows[i].name);
        buffer_put_byte(out, ':');
        buffer_put_decimal(out, rows[i].value);
        buffer_put_text(out, "\r\n");
    }
}

void loop_answer_health(struct loop *loop, struct exchange *exchange)
{
    uint8_t block[4096];
    uint8_t conditions_block[256];
    struct buffer out = buffer_over(block, sizeof(block));
    struct buffer conditions = buffer_over(conditions_block, sizeof(conditions_block));
    const bool has_failed = loop->failure != APPEND_NONE;
    const bool is_degraded = put_conditions(loop, &conditions);
    put_health(loop, has_failed ? "failed" : is_degraded ? "degraded" : "ok", &out);
    if (has_failed) {
        buffer_put_text(&out, ",\"failed\":\"");
        buffer_put_text(&out, loop->failed);
        buffer_put_byte(&out, '"');
    }
    ENSURE(!conditions.overflowed);
    buffer_put(&out, conditions.at, conditions.used);
    buffer_put_byte(&out, '}');
    ENSURE(!out.overflowed);
    struct answer answer = ok(buffer_bytes(&out), CONTENT_JSON);
    if (has_failed) answer.status = 503;
    loop_answer(loop, exchange, answer, RELEASE_AT_ONCE);
}

void loop_answer_ready(struct loop *loop, struct exchange *exchange)
{
    const struct problem stopping = {.code = PROBLEM_STOPPING};
    if (loop->is_stopping)
        loop_answer_problem(loop, exchange, &stopping, RELEASE_AT_ONCE);
    else
        loop_answer(loop, exchange, ok(BYTES("{\"status\":\"ready\"}"), CONTENT_JSON),
                    RELEASE_AT_ONCE);
}

/* ---- access keys */

/* The secret is made with the command, and told in its answer alone: who loses that makes another
 * key. */
static enum progress call_key_create(struct loop *loop, struct asked *asked)
{
    char secret[ACCESS_SECRET_SIZE];
    struct access_view view;
    struct buffer out = batch_answer_buffer(loop->open);
    const size_t start = out.used;
    unsigned status = 0;
    access_make_secret(secret, asked->command.access.hash);
    if (loop_rule(loop, &asked->command, NULL, &out, &status) != RULED) return PROGRESS_BLOCKED;
    if (status == 200) {
        const bool is_there = access_find_made(&loop->access, loop->fact.report.id, &view);
        ENSURE(is_there);
        out.used = start;
        wire_render_access(&view, secret, loop->now_ms, &out);
    }
    ENSURE(!out.overflowed);
    loop_answer(loop, asked->exchange,
                (struct answer){.status = status,
                                .content_type = status == 200 ? CONTENT_JSON : CONTENT_PROBLEM,
                                .body = buffer_bytes(&out)},
                RELEASE_IN_ORDER);
    return PROGRESS_DONE;
}

static enum progress call_keys(struct loop *loop, struct asked *asked)
{
    struct buffer out = batch_answer_buffer(loop->open);
    struct access_view view;
    const char *between = "{\"keys\":[";
    for (uint32_t n = 1; n <= engine_access_records(loop->parts.engine); ++n) {
        if (!engine_access_at(loop->parts.engine, n, &view)) continue;
        buffer_put_text(&out, between);
        wire_render_access(&view, NULL, loop->now_ms, &out);
        between = ",";
    }
    buffer_put_text(&out, between[0] == ',' ? "]}" : "{\"keys\":[]}");
    return answer_read(loop, asked->exchange, &out, CONTENT_JSON);
}

/* ---- */

/* A key may have gone since the request was looked at: between two requests that were read
 * together, or while this one waited. What has begun to change something goes on to its end: the
 * clock as a whole, a batch by the operation. */
static bool is_still_admitted(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    const enum call call = exchange->route->call;
    const bool goes_on =
        exchange->is_under_way && (call == CALL_CLOCK || call == CALL_BATCH || call == CALL_USAGE);
    if (goes_on || loop_is_admitted(loop, exchange)) return true;
    if (exchange->is_gone) {
        loop_drop(loop, exchange);
        return false;
    }
    if (loop_admit(loop, asked)) return true;
    if (exchange->reading != NULL && exchange->reading->is_sending)
        loop_answer(loop, exchange, (struct answer){.is_cut = true}, RELEASE_AT_ONCE);
    else
        loop_answer_problem(loop, exchange, &asked->problem, RELEASE_AT_ONCE);
    return false;
}

enum progress loop_call(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    if (exchange->is_gone && exchange != loop->policy_exchange) {
        loop_drop(loop, exchange);
        return PROGRESS_DONE;
    }
    if (asked->is_refused) {
        loop_answer_problem(loop, exchange, &asked->problem, RELEASE_AT_ONCE);
        return PROGRESS_DONE;
    }
    loop->request_id = request_id_bytes(&exchange->request_id);
    loop->form = exchange->form;
    if (!is_still_admitted(loop, asked)) return PROGRESS_DONE;
    const enum call call = exchange->route->call;
    if (call == CALL_HEALTH) {
        loop_answer_health(loop, exchange);
        return PROGRESS_DONE;
    }
    if (call == CALL_READY) {
        loop_answer_ready(loop, exchange);
        return PROGRESS_DONE;
    }
    if (call == CALL_METRICS) return loop_call_metrics(loop, exchange);
    if (call == CALL_OPENAPI) return call_openapi(loop, asked);
    if (call == CALL_PROBLEM_PAGE) return call_problem_page(loop, asked);
    if (!batch_has_room(loop->open)) return PROGRESS_BLOCKED;
    switch (call) {
    case CALL_COMMAND:
        return call_command(loop, asked);
    case CALL_USAGE:
        return loop_usage_form(exchange).is_list ? loop_run_operations(loop, asked)
                                                 : call_command(loop, asked);
    case CALL_BATCH:
        return loop_run_operations(loop, asked);
    case CALL_CUSTOMER:
        return call_customer(loop, asked);
    case CALL_BALANCE:
        return call_balance(loop, asked);
    case CALL_STATUS:
        return call_status(loop, asked);
    case CALL_READ:
        return loop_read(loop, asked);
    case CALL_POLICY_PUT:
        return call_policy_put(loop, asked);
    case CALL_POLICY_FILE:
        return install_policy(loop, asked, true);
    case CALL_POLICY_GET:
        return call_policy_get(loop, asked);
    case CALL_POLICY_VERSIONS:
        return call_policy_versions(loop, asked);
    case CALL_CLOCK:
        return call_clock(loop, asked);
    case CALL_KEY_CREATE:
        return call_key_create(loop, asked);
    case CALL_KEYS:
        return call_keys(loop, asked);
    case CALL_POOLS:
        return call_pools(loop, asked);
    case CALL_OPENAPI:
    case CALL_PROBLEM_PAGE:
    case CALL_HEALTH:
    case CALL_READY:
    case CALL_METRICS:
        break;
    }
    ENSURE(false);
    return PROGRESS_DONE;
}
