/*
 * render_view.c: problems, and what is read from the deciding state.
 */
#include "wire/wire.h"

#include "wire/json.h"
#include "wire/render.h"
#include "wire/schema.h"
#include "wire/words.h"

static const struct {
    const char *code;
    const char *title;
    unsigned status;
} problems[] = {
#define X(name, code, status, title) [name] = {code, title, status},
    PROBLEM_TABLE(X)
#undef X
};

unsigned wire_problem_status(enum problem_code code)
{
    return problems[code].status;
}

const char *wire_problem_code(enum problem_code code)
{
    return problems[code].code;
}

bool wire_problem_find(struct bytes code, enum problem_code *code_out)
{
    for (size_t i = 0; i < COUNT_OF(problems); ++i) {
        if (!bytes_equal(code, bytes_of_text(problems[i].code))) continue;
        *code_out = (enum problem_code)i;
        return true;
    }
    return false;
}

/* The engine's fields are names of the contract. */
#define OPERATION_FIELD_BYTES_MAX 128u

/* "attributes.model" */
static void put_field(const struct problem *problem, struct buffer *buffer)
{
    json_words_part(buffer, problem->field);
    if (problem->member.length == 0) return;
    json_words_part(buffer, ".");
    json_text_part(buffer, json_cut(problem->member, WIRE_PROBLEM_VALUE_BYTES_MAX));
}

/* "A value is out of range or malformed: ttl_ms (found '0'), expected an integer from 1 to ..." */
void wire_put_detail(const struct problem *problem, struct buffer *buffer)
{
    const bool has_field = problem->field != NULL && problem->field[0] != 0;
    json_words_part(buffer, problems[problem->code].title);
    if (has_field || problem->value.at != NULL || problem->expected != NULL)
        json_words_part(buffer, ":");
    if (has_field) {
        json_words_part(buffer, " ");
        put_field(problem, buffer);
    }
    if (problem->value.at != NULL) {
        json_words_part(buffer, has_field ? " (found '" : " found '");
        json_text_part(buffer, json_cut(problem->value, WIRE_PROBLEM_VALUE_BYTES_MAX));
        json_words_part(buffer, has_field ? "')" : "'");
    }
    if (problem->expected != NULL) {
        const bool follows = has_field || problem->value.at != NULL;
        json_words_part(buffer, follows ? ", expected " : " expected ");
        json_words_part(buffer, problem->expected);
    }
}

void wire_render_operation_problem(const struct wire_operation *operation,
                                   const struct problem *problem, struct buffer *buffer)
{
    char field[OPERATION_FIELD_BYTES_MAX];
    struct problem within = *problem;
    struct buffer path = buffer_over(field, sizeof field - 1);
    buffer_put_text(&path, operation->is_element ? "[" : "operations[");
    buffer_put_decimal(&path, operation->index);
    buffer_put_byte(&path, ']');
    if (problem->field != NULL && problem->field[0] != 0) {
        buffer_put_byte(&path, '.');
        if (operation->call == WIRE_EVENT) buffer_put_text(&path, "data.");
        buffer_put_text(&path, problem->field);
    }
    ENSURE(!path.overflowed);
    field[path.used] = '\0';
    within.field = field;
    wire_render_problem(&within, BYTES_NONE, buffer);
}

static void put_problem_head(enum problem_code code, struct buffer *buffer)
{
    json_key(buffer, "type");
    json_text_begin(buffer);
    json_words_part(buffer, "/problems/");
    json_words_part(buffer, problems[code].code);
    json_text_end(buffer);
    json_key(buffer, "title");
    json_words(buffer, problems[code].title);
    json_key(buffer, "status");
    json_count(buffer, problems[code].status);
}

static void put_request_id(struct bytes request_id, struct buffer *buffer)
{
    if (request_id.length == 0) return;
    json_key(buffer, "request_id");
    json_text(buffer, request_id);
}

void wire_render_problem(const struct problem *problem, struct bytes request_id,
                         struct buffer *buffer)
{
    json_begin(buffer);
    put_problem_head(problem->code, buffer);
    json_key(buffer, "detail");
    json_text_begin(buffer);
    wire_put_detail(problem, buffer);
    json_text_end(buffer);
    json_key(buffer, "code");
    json_words(buffer, problems[problem->code].code);
    if (problem->field != NULL && problem->field[0] != 0) {
        json_key(buffer, "field");
        json_text_begin(buffer);
        put_field(problem, buffer);
        json_text_end(buffer);
    }
    if (problem->value.at != NULL) {
        json_key(buffer, "value");
        json_text(buffer, json_cut(problem->value, WIRE_PROBLEM_VALUE_BYTES_MAX));
    }
    put_request_id(request_id, buffer);
    json_close(buffer, '}');
}

void wire_render_policy_problem(const struct bytes *errors, uint32_t count, struct bytes request_id,
                                struct buffer *buffer)
{
    const enum problem_code code = PROBLEM_POLICY_INVALID;
    json_begin(buffer);
    put_problem_head(code, buffer);
    json_key(buffer, "detail");
    json_text_begin(buffer);
    json_words_part(buffer, problems[code].title);
    if (count > 0) {
        json_words_part(buffer, ": ");
        json_text_part(buffer, json_cut(errors[0], 512));
    }
    if (count > 1) {
        json_words_part(buffer, " (and ");
        json_count_part(buffer, count - 1);
        json_words_part(buffer, " more)");
    }
    json_text_end(buffer);
    json_key(buffer, "code");
    json_words(buffer, problems[code].code);
    json_key(buffer, "errors");
    json_open(buffer, '[');
    for (uint32_t place = 0; place < count; place++)
        json_text(buffer, errors[place]);
    json_close(buffer, ']');
    put_request_id(request_id, buffer);
    json_close(buffer, '}');
}

static const char *mode_word(enum credit_mode mode)
{
    switch (mode) {
    case CREDIT_UNSAID:
    case CREDIT_AUTO:
        return "auto";
    case CREDIT_ASK:
        return "ask";
    case CREDIT_OFF:
        return "off";
    }
    ENSURE(false);
    return NULL;
}

static void put_text_or_null(struct buffer *buffer, struct bytes text)
{
    if (text.length == 0)
        json_null(buffer);
    else
        json_text(buffer, text);
}

static void put_own_value(const struct limit_view *limit, uint32_t place, struct buffer *buffer)
{
    if (!limit->is_own[place])
        json_null(buffer);
    else if (limit->is_credits)
        json_credits(buffer, (int64_t)limit->values[place]);
    else
        json_count(buffer, limit->values[place]);
}

/* Credits are taken by `budgets` too, but not for each window: such lists stand in `limits`. */
static bool stands_in_budgets(const struct limit_view *limit)
{
    return limit->is_credits && limit->window_count == 1;
}

/* The same name may stand for counts in one plan and for credits, in windows, in another. */
static bool is_said_before(const struct customer_view *view, uint32_t place)
{
    const struct limit_view *limit = &view->limits[place];
    for (uint32_t i = 0; i < place; i++)
        if (view->limits[i].feature == limit->feature && view->limits[i].name == limit->name &&
            stands_in_budgets(&view->limits[i]) == stands_in_budgets(limit))
            return true;
    return false;
}

/* As PUT takes them. */
static void put_own_limits(const struct customer_view *view, bool in_budgets,
                           struct symbols symbols, struct buffer *buffer)
{
    json_key(buffer, in_budgets ? "budgets" : "limits");
    json_open(buffer, '{');
    for (uint32_t i = 0; i < view->limit_count; i++) {
        const struct limit_view *limit = &view->limits[i];
        if (stands_in_budgets(limit) != in_budgets || is_said_before(view, i)) continue;
        json_text_begin(buffer); /* "feature/name" */
        if (limit->feature != SYMBOL_NONE) {
            json_text_part(buffer, words_name(symbols, limit->feature));
            json_words_part(buffer, "/");
        }
        json_text_part(buffer, words_name(symbols, limit->name));
        json_key_end(buffer);
        if (limit->window_count == 1) {
            put_own_value(limit, 0, buffer);
            continue;
        }
        json_open(buffer, '[');
        for (uint32_t place = 0; place < limit->window_count; place++)
            put_own_value(limit, place, buffer);
        json_close(buffer, ']');
    }
    json_close(buffer, '}');
}

void wire_render_customer(struct bytes customer, const struct customer_view *view,
                          struct symbols symbols, struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "customer");
    json_text(buffer, customer);
    json_key(buffer, "plan");
    words_symbol(buffer, symbols, view->plan);
    json_key(buffer, "credit_mode");
    json_words(buffer, mode_word(view->credit_mode));
    json_key(buffer, "anchor");
    if (view->has_anchor)
        json_instant(buffer, view->anchor_ms);
    else
        json_null(buffer);
    json_key(buffer, "suspended");
    json_bool(buffer, view->suspended);
    json_key(buffer, "standing");
    json_words(buffer, words_standing(view->standing));
    json_key(buffer, "overrides");
    json_count(buffer, view->override_count);
    put_own_limits(view, false, symbols, buffer);
    put_own_limits(view, true, symbols, buffer);
    json_key(buffer, "open_holds");
    json_count(buffer, view->open_holds);
    json_key(buffer, "created_at");
    json_instant(buffer, view->created_ms);
    json_close(buffer, '}');
}

/* The next tier above `tier`; 0: there is none. */
static uint32_t next_tier(const struct wire_pool *pool, uint32_t tier)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < pool->tier_count; i++)
        if (pool->tiers[i] > tier && (next == 0 || pool->tiers[i] < next)) next = pool->tiers[i];
    return next;
}

void wire_render_pool(const struct wire_pool *pool, struct symbols symbols, struct buffer *buffer)
{
    const struct pool_rule *rule = pool->rule;
    json_open(buffer, '{');
    json_key(buffer, "pool");
    words_symbol(buffer, symbols, rule->name);
    json_key(buffer, "capacity");
    json_count(buffer, rule->capacity);
    json_key(buffer, "per");
    json_text_begin(buffer);
    words_period_part(buffer, (struct period){PERIOD_DURATION, START_SLIDING, rule->per_ms});
    json_text_end(buffer);
    json_key(buffer, "meter");
    words_symbol(buffer, symbols, rule->meter);
    words_pool(buffer, pool->view);
    json_key(buffer, "why");
    json_words(buffer, pool->view.has_override ? "override" : "nominal");
    json_key(buffer, "since");
    words_instant(buffer, pool->view.since_ms);
    json_key(buffer, "tiers");
    json_open(buffer, '[');
    for (uint32_t tier = next_tier(pool, 0); tier != 0; tier = next_tier(pool, tier)) {
        json_open(buffer, '{');
        json_key(buffer, "tier");
        json_count(buffer, tier);
        json_key(buffer, "factor");
        words_factor(buffer, pool->view.factor, FACTOR_ONE);
        json_close(buffer, '}');
    }
    json_close(buffer, ']');
    json_close(buffer, '}');
}

void wire_render_access(const struct access_view *view, const char *secret, int64_t now_ms,
                        struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "key_id");
    json_id(buffer, 'k', view->id);
    if (secret != NULL) {
        json_key(buffer, "key");
        json_words(buffer, secret);
    }
    json_key(buffer, "scopes");
    json_open(buffer, '[');
    for (uint32_t scope = 0; access_scope_words[scope] != NULL; ++scope)
        if ((view->scopes >> scope & 1) != 0) json_words(buffer, access_scope_words[scope]);
    json_close(buffer, ']');
    json_key(buffer, "customer");
    put_text_or_null(buffer, view->customer);
    json_key(buffer, "label");
    put_text_or_null(buffer, view->label);
    json_key(buffer, "state");
    json_words(buffer, view->expires_ms <= now_ms ? "expired" : "live");
    json_key(buffer, "created_at");
    json_instant(buffer, view->created_ms);
    json_key(buffer, "expires_at");
    if (view->expires_ms == INSTANT_NEVER)
        json_null(buffer);
    else
        json_instant(buffer, view->expires_ms);
    json_close(buffer, '}');
}

static const char *grant_state_word(enum grant_state state)
{
    switch (state) {
    case GRANT_PENDING:
        return "pending";
    case GRANT_LIVE:
        return "live";
    case GRANT_EXPIRED:
        return "expired";
    case GRANT_VOIDED:
        return "voided";
    }
    ENSURE(false);
    return NULL;
}

static void put_grant(const struct grant_view *grant, struct symbols symbols, struct buffer *buffer)
{
    json_open(buffer, '{');
    json_key(buffer, "grant_id");
    json_id(buffer, 'g', grant->id);
    json_key(buffer, "category");
    json_words(buffer, words_category(grant->category));
    json_key(buffer, "remaining");
    json_credits(buffer, grant->remaining);
    json_key(buffer, "held");
    json_credits(buffer, grant->held);
    json_key(buffer, "credits");
    json_credits(buffer, grant->amount);
    json_key(buffer, "priority");
    json_number(buffer, grant->priority);
    json_key(buffer, "effective_at");
    json_instant(buffer, grant->effective_ms);
    json_key(buffer, "expires_at");
    words_instant(buffer, grant->expires_ms);
    json_key(buffer, "features");
    if (grant->feature_count == 0) {
        json_null(buffer);
    } else {
        json_open(buffer, '[');
        for (uint32_t place = 0; place < grant->feature_count; place++)
            json_text(buffer, words_name(symbols, grant->features[place]));
        json_close(buffer, ']');
    }
    json_key(buffer, "state");
    json_words(buffer, grant_state_word(grant->state));
    json_close(buffer, '}');
}

void wire_render_balance(struct bytes customer, const struct balance_view *view, int64_t settled,
                         struct symbols symbols, struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "customer");
    json_text(buffer, customer);
    json_key(buffer, "settled");
    json_credits(buffer, settled);
    json_key(buffer, "pending");
    json_credits(buffer,
                 (int64_t)((uint64_t)settled - (uint64_t)view->held - (uint64_t)view->available));
    json_key(buffer, "held");
    json_credits(buffer, view->held);
    json_key(buffer, "available");
    json_credits(buffer, view->available);
    if (view->debt != 0) {
        json_key(buffer, "debt");
        json_credits(buffer, view->debt);
    }
    json_key(buffer, "grants");
    json_open(buffer, '[');
    for (uint32_t place = 0; place < view->grant_count; place++)
        put_grant(&view->grants[place], symbols, buffer);
    json_close(buffer, ']');
    json_close(buffer, '}');
}

void wire_status_begin(struct bytes customer, struct bytes subject, struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "customer");
    json_text(buffer, customer);
    json_key(buffer, "subject");
    if (subject.length == 0)
        json_null(buffer);
    else
        json_text(buffer, subject);
    json_key(buffer, "features");
    json_open(buffer, '[');
}

static const char *row_word(const struct status_row *row)
{
    switch (row->kind) {
    case NOTE_RATE:
        return "rate";
    case NOTE_CONCURRENCY:
        return "concurrency";
    case NOTE_BUDGET:
        return "budget";
    case NOTE_SOURCE:
        return row->source == SOURCE_GRANTS ? "grants" : words_source(row->source);
    }
    ENSURE(false);
    return NULL;
}

static void put_amount(struct buffer *buffer, const char *key, bool is_credits, int64_t amount)
{
    json_key(buffer, key);
    if (is_credits)
        json_credits(buffer, amount);
    else
        json_number(buffer, amount);
}

static int64_t clamp(uint64_t amount)
{
    return amount > INT64_MAX ? INT64_MAX : (int64_t)amount;
}

static void put_row(const struct status_row *row, struct symbols symbols, struct buffer *buffer)
{
    /* Grants and unlimited sources have neither a limit nor a count against it. */
    const bool is_counted = row->kind != NOTE_SOURCE || row->source == SOURCE_ALLOWANCE ||
                            row->source == SOURCE_OVERAGE;
    json_open(buffer, '{');
    json_key(buffer, "name");
    json_text(buffer, words_name(symbols, row->name));
    json_key(buffer, "kind");
    json_words(buffer, row_word(row));
    json_key(buffer, "scope");
    words_scope(buffer, row->scope);
    json_key(buffer, "window");
    if (row->has_window) {
        json_text_begin(buffer);
        words_period_part(buffer, row->period);
        json_text_end(buffer);
    } else {
        json_null(buffer);
    }
    if (is_counted) {
        put_amount(buffer, "limit", row->is_credits, clamp(row->limit));
        if (row->kind == NOTE_RATE) put_amount(buffer, "burst", false, clamp(row->burst));
        put_amount(buffer, "used", row->is_credits, row->used);
    } else {
        json_key(buffer, "limit");
        json_null(buffer);
        json_key(buffer, "used");
        json_null(buffer);
    }
    if (row->unlimited) {
        json_key(buffer, "remaining");
        json_null(buffer);
    } else {
        put_amount(buffer, "remaining", row->is_credits, clamp(row->remaining));
    }
    json_key(buffer, "resets_at");
    words_instant(buffer, row->resets_at_ms);
    if (row->is_paced) words_pace(buffer, row->factor, row->standing);
    json_close(buffer, '}');
}

void wire_status_feature(const struct status_view *view, struct symbols symbols,
                         struct buffer *buffer)
{
    json_open(buffer, '{');
    json_key(buffer, "feature");
    json_text(buffer, words_name(symbols, view->feature));
    json_key(buffer, "unit");
    if (view->unit == UNIT_COST)
        json_words(buffer, "cost");
    else
        words_symbol(buffer, symbols, view->unit);
    json_key(buffer, "allowed");
    json_bool(buffer, view->allowed);
    json_key(buffer, "reason");
    json_words(buffer, reason_code(view->reason));
    json_key(buffer, "retry_after_ms");
    if (view->retry_after_ms >= 0)
        json_number(buffer, view->retry_after_ms);
    else
        json_null(buffer);
    json_key(buffer, "limits");
    json_open(buffer, '[');
    for (uint32_t place = 0; place < view->row_count; place++)
        put_row(&view->rows[place], symbols, buffer);
    json_close(buffer, ']');
    json_close(buffer, '}');
}

void wire_status_end(const struct balance_view *balance, bool allowed, struct buffer *buffer)
{
    json_close(buffer, ']');
    json_key(buffer, "allowed");
    json_bool(buffer, allowed);
    json_key(buffer, "balance");
    json_open(buffer, '{');
    json_key(buffer, "available");
    json_credits(buffer, balance != NULL ? balance->available : 0);
    json_key(buffer, "held");
    json_credits(buffer, balance != NULL ? balance->held : 0);
    json_close(buffer, '}');
    json_close(buffer, '}');
}

void wire_batch_begin(struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "results");
    json_open(buffer, '[');
}

void wire_batch_next(struct buffer *buffer)
{
    if (buffer->used > 0 && buffer->at[buffer->used - 1] != '[') buffer_put_byte(buffer, ',');
}

void wire_batch_end(struct buffer *buffer)
{
    json_close(buffer, ']');
    json_close(buffer, '}');
}

void wire_render_clock(int64_t now_ms, struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "now");
    json_instant(buffer, now_ms);
    json_close(buffer, '}');
}

void wire_render_policy(const struct engine_policy_info *info, bool changed, bool from_file,
                        struct buffer *buffer)
{
    json_begin(buffer);
    json_key(buffer, "version");
    json_count(buffer, info->version);
    json_key(buffer, "content_hash");
    json_text_begin(buffer);
    buffer_put_hex_number(buffer, info->content_hash);
    json_text_end(buffer);
    json_key(buffer, "changed");
    json_bool(buffer, changed);
    json_key(buffer, "installed_at");
    words_instant(buffer, info->installed_ms);
    json_key(buffer, "from_file");
    json_bool(buffer, from_file);
    json_close(buffer, '}');
}
