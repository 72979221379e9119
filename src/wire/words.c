/*
 * words.c: closed words and the sentences that explain a denial.
 */
#include "wire/words.h"

#include "wire/json.h"

struct bytes words_name(struct symbols symbols, uint32_t symbol)
{
    ENSURE(symbol != SYMBOL_NONE && symbol <= symbols.count);
    return symbols.name[symbol];
}

const char *words_category(enum category category)
{
    switch (category) {
    case CATEGORY_PROMOTIONAL:
        return "promotional";
    case CATEGORY_ENTITLEMENT:
        return "entitlement";
    case CATEGORY_PAID:
        return "paid";
    }
    ENSURE(false);
    return NULL;
}

const char *words_hold(enum hold_state state)
{
    switch (state) {
    case HOLD_HELD:
        return "held";
    case HOLD_COMMITTED:
        return "committed";
    case HOLD_RELEASED:
        return "released";
    case HOLD_EXPIRED:
        return "expired";
    case HOLD_NONE:
        break;
    }
    ENSURE(false);
    return NULL;
}

const char *words_source(enum source_kind kind)
{
    switch (kind) {
    case SOURCE_ALLOWANCE:
        return "allowance";
    case SOURCE_GRANTS:
        return "grant";
    case SOURCE_OVERAGE:
        return "overage";
    case SOURCE_UNLIMITED:
        return "unlimited";
    }
    ENSURE(false);
    return NULL;
}

const char *words_outcome(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_ALLOW:
        return "allow";
    case OUTCOME_PARTIAL:
        return "partial";
    case OUTCOME_DENY:
        return "deny";
    case OUTCOME_NONE:
        break;
    }
    ENSURE(false);
    return NULL;
}

const char *words_status(enum job_status status)
{
    switch (status) {
    case JOB_SUCCEEDED:
        return "succeeded";
    case JOB_FAILED:
        return "failed";
    case JOB_MODERATED:
        return "moderated";
    }
    ENSURE(false);
    return NULL;
}

const char *words_standing(enum standing standing)
{
    switch (standing) {
    case STANDING_NORMAL:
        return "normal";
    case STANDING_RESTRICTED:
        return "restricted";
    case STANDING_PROBATION:
        return "probation";
    case STANDING_TRUSTED:
        return "trusted";
    }
    ENSURE(false);
    return NULL;
}

const char *words_shed(enum shed shed)
{
    switch (shed) {
    case SHED_NONE:
        return "none";
    case SHED_SHEDDABLE:
        return "sheddable";
    case SHED_DEFAULT:
        return "default";
    case SHED_ALL:
        return "all";
    }
    ENSURE(false);
    return NULL;
}

void words_factor(struct buffer *buffer, uint32_t factor, uint32_t one)
{
    json_credits(buffer, (int64_t)factor * NANO_PER_CREDIT / one);
}

void words_pace(struct buffer *buffer, uint32_t factor, enum standing standing)
{
    json_key(buffer, "factor");
    words_factor(buffer, factor, WORDS_FACTOR_ONE);
    if (standing == STANDING_NORMAL) return;
    json_key(buffer, "standing");
    json_words(buffer, words_standing(standing));
}

void words_pool(struct buffer *buffer, struct pool_view pool)
{
    json_key(buffer, "factor");
    words_factor(buffer, pool.factor, FACTOR_ONE);
    json_key(buffer, "override");
    if (pool.has_override)
        words_factor(buffer, pool.override, FACTOR_ONE);
    else
        json_null(buffer);
    json_key(buffer, "shed");
    json_words(buffer, words_shed(pool.shed));
}

void words_scope(struct buffer *buffer, struct scope_rule scope)
{
    json_text_begin(buffer);
    switch (scope.kind) {
    case SCOPE_CUSTOMER:
        json_words_part(buffer, "customer");
        break;
    case SCOPE_SUBJECT:
        json_words_part(buffer, "subject");
        break;
    case SCOPE_LEVEL:
        json_words_part(buffer, "level:");
        json_count_part(buffer, scope.level);
        break;
    }
    json_text_end(buffer);
}

static void duration_part(struct buffer *buffer, int64_t duration_ms)
{
    static const struct {
        int64_t ms;
        const char *letter;
    } units[] = {
        {   DAY_MS,  "d"},
        {  HOUR_MS,  "h"},
        {MINUTE_MS,  "m"},
        {SECOND_MS,  "s"},
        {        1, "ms"},
    };
    size_t unit = 0;
    while (duration_ms % units[unit].ms != 0)
        unit++;
    json_count_part(buffer, (uint64_t)(duration_ms / units[unit].ms));
    json_words_part(buffer, units[unit].letter);
}

void words_period_part(struct buffer *buffer, struct period period)
{
    switch (period.kind) {
    case PERIOD_DURATION:
        duration_part(buffer, period.duration_ms);
        break;
    case PERIOD_HOUR:
        json_words_part(buffer, "hour");
        break;
    case PERIOD_DAY:
        json_words_part(buffer, "day");
        break;
    case PERIOD_WEEK:
        json_words_part(buffer, "week");
        break;
    case PERIOD_MONTH:
        json_words_part(buffer, "month");
        break;
    }
}

void words_symbol(struct buffer *buffer, struct symbols symbols, uint32_t symbol)
{
    if (symbol == SYMBOL_NONE)
        json_null(buffer);
    else
        json_text(buffer, words_name(symbols, symbol));
}

void words_instant(struct buffer *buffer, int64_t instant_ms)
{
    if (instant_ms == 0 || instant_ms == INSTANT_NEVER)
        json_null(buffer);
    else
        json_instant(buffer, instant_ms);
}

/* What the gate or source that refused said of itself. */
static const struct note *refusing_note(const struct report *report)
{
    for (uint32_t place = 0; place < report->note_count; place++)
        if (report->limit != SYMBOL_NONE && report->notes[place].name == report->limit)
            return &report->notes[place];
    return NULL;
}

static void credits_part(struct buffer *buffer, uint64_t nano)
{
    char text[CREDITS_TEXT_SIZE];
    const int64_t shown = nano > INT64_MAX ? INT64_MAX : (int64_t)nano;
    const unsigned length = credits_format(shown, text);
    json_text_part(buffer, (struct bytes){(const uint8_t *)text, length});
    json_words_part(buffer, shown == NANO_PER_CREDIT ? " credit" : " credits");
}

/* Of a limit or of what is left of it: what the limit counts. */
static void amount_part(struct buffer *buffer, const struct report *report, const struct note *note,
                        uint64_t amount)
{
    const bool is_source = note->kind == NOTE_SOURCE;
    const bool is_money = is_source && note->source == SOURCE_OVERAGE;
    const bool is_cost = is_source && report->unit == UNIT_COST;
    if (note->kind == NOTE_BUDGET || is_money || is_cost)
        credits_part(buffer, amount);
    else
        json_count_part(buffer, amount);
}

/* " 'included' (45 per 5h) for this subject" */
static void limit_part(struct buffer *buffer, const struct report *report, struct symbols symbols)
{
    if (report->limit == SYMBOL_NONE) return;
    json_words_part(buffer, " '");
    json_text_part(buffer, words_name(symbols, report->limit));
    json_words_part(buffer, "'");
    const struct note *note = refusing_note(report);
    if (note != NULL && note->limit > 0) {
        json_words_part(buffer, " (");
        amount_part(buffer, report, note, note->limit);
        if (note->has_window) {
            json_words_part(buffer, note->period.kind == PERIOD_DURATION ? " per " : " a ");
            words_period_part(buffer, note->period);
        }
        json_words_part(buffer, ")");
    }
    if (report->scope.kind == SCOPE_CUSTOMER) json_words_part(buffer, " for this customer");
    if (report->scope.kind == SCOPE_SUBJECT) json_words_part(buffer, " for this subject");
    if (report->scope.kind == SCOPE_LEVEL) {
        json_words_part(buffer, " for the first ");
        if (report->scope.level > 1) {
            json_count_part(buffer, report->scope.level);
            json_words_part(buffer, " levels");
        } else {
            json_words_part(buffer, "level");
        }
        json_words_part(buffer, " of this subject");
    }
}

/* What a window that does not carry the request has left: all of it can be there. */
static void left_part(struct buffer *buffer, const struct report *report, const char *used_up)
{
    const struct note *note = refusing_note(report);
    if (note == NULL || !note->has_window) {
        json_words_part(buffer, " does not cover this request");
    } else if (note->limit == 0) {
        json_words_part(buffer, " is 0");
    } else if (note->left == 0) {
        json_words_part(buffer, used_up);
    } else {
        json_words_part(buffer, " has ");
        amount_part(buffer, report, note, note->left);
        json_words_part(buffer, " left, too little for this request");
    }
}

/* After a search for a time at which the same request passes found none. */
static void never_part(struct buffer *buffer, enum remedy remedy)
{
    json_words_part(buffer, " Waiting alone does not let the same request pass");
    if (remedy == REMEDY_SPLIT_REQUEST) json_words_part(buffer, "; a smaller one may");
    if (remedy == REMEDY_UPGRADE_PLAN) json_words_part(buffer, "; another plan may");
    json_words_part(buffer, ".");
}

/* When waiting helps, and how long. */
static void wait_part(struct buffer *buffer, const struct report *report, const char *what)
{
    if (report->retry_after_ms >= 0) {
        json_words_part(buffer, " The same request can pass in ");
        json_count_part(buffer, ((uint64_t)report->retry_after_ms + 999) / 1000);
        json_words_part(buffer, " s.");
    } else if (report->resets_at_ms > 0) {
        char text[INSTANT_TEXT_SIZE];
        const unsigned length = calendar_format(report->resets_at_ms, text);
        json_words_part(buffer, " ");
        json_words_part(buffer, what);
        json_words_part(buffer, " starts anew at ");
        json_text_part(buffer, (struct bytes){(const uint8_t *)text, length});
        json_words_part(buffer, ".");
    }
}

/* Of a window of which nothing is used it would say nothing that it starts anew. */
static void window_wait_part(struct buffer *buffer, const struct report *report)
{
    const struct note *note = refusing_note(report);
    const bool is_whole = note != NULL && note->has_window && note->left >= note->limit;
    if (report->retry_after_ms >= 0 || !is_whole) wait_part(buffer, report, "It");
}

static void rate_sentence(struct buffer *buffer, const struct report *report,
                          struct symbols symbols)
{
    const struct note *note = refusing_note(report);
    const bool is_drained = note != NULL && note->amount == 0 && report->retry_after_ms >= 0;
    json_words_part(buffer, is_drained ? "The pace" : "This asks for more than the pace");
    limit_part(buffer, report, symbols);
    json_words_part(buffer, is_drained ? " is reached for now." : " lets through now.");
    if (report->retry_after_ms < 0)
        never_part(buffer, report->remedy);
    else
        wait_part(buffer, report, "It");
}

static void concurrency_sentence(struct buffer *buffer, const struct report *report,
                                 struct symbols symbols)
{
    const struct note *note = refusing_note(report);
    json_words_part(buffer, "The number of requests at once");
    limit_part(buffer, report, symbols);
    json_words_part(buffer, note != NULL && note->limit == 0
                                ? " is 0; it can be raised."
                                : " is reached; more can pass as running ones end.");
}

static void budget_sentence(struct buffer *buffer, const struct report *report,
                            struct symbols symbols)
{
    json_words_part(buffer, "The budget");
    limit_part(buffer, report, symbols);
    left_part(buffer, report, " is reached");
    json_words_part(buffer, "; it can be raised.");
    window_wait_part(buffer, report);
}

static void allowance_sentence(struct buffer *buffer, const struct report *report,
                               struct symbols symbols)
{
    const bool is_named = report->limit != SYMBOL_NONE;
    json_words_part(buffer, is_named ? "The allowance" : "What is included");
    limit_part(buffer, report, symbols);
    left_part(buffer, report, report->retry_after_ms >= 0 ? " is used up for now" : " is used up");
    json_words_part(buffer, ".");
    if (report->retry_after_ms < 0)
        never_part(buffer, report->remedy);
    else
        wait_part(buffer, report, "It");
}

static void overage_sentence(struct buffer *buffer, const struct report *report,
                             struct symbols symbols)
{
    bool takes_credits = false;
    for (uint32_t place = 0; place < report->note_count; place++)
        if (report->notes[place].kind == NOTE_SOURCE && report->notes[place].name == SYMBOL_PAID)
            takes_credits = true;
    json_words_part(buffer, "The overage");
    limit_part(buffer, report, symbols);
    left_part(buffer, report, " is full");
    json_words_part(buffer, takes_credits ? "; raising its cap or adding credits can let it pass."
                                          : "; raising its cap can let it pass.");
    window_wait_part(buffer, report);
}

/* An extend cannot consent: its hold did, or did not. */
static bool is_hold_s_consent(const struct report *report)
{
    return report->reason == REASON_CREDITS_NEED_CONSENT && report->kind == COMMAND_EXTEND;
}

/* Of a reason that needs no limit to be understood. */
static const char *sentence_of(enum reason reason)
{
    switch (reason) {
    case REASON_NOT_ENTITLED:
        return "The plan does not include this feature; a plan that does lets it pass.";
    case REASON_SUSPENDED:
        return "Requests are paused here for now; the operator can lift that.";
    case REASON_TEMPORARY_REDUCED_CAPACITY:
        return "Capacity is reduced for a while.";
    case REASON_ABNORMAL_USAGE:
        return "Requests are slowed down here for now; the operator can lift that.";
    case REASON_CREDITS_NEED_CONSENT:
        return "What is included does not cover this request; credits can pay for it once it says "
               "use_credits: true.";
    case REASON_INSUFFICIENT_CREDITS:
        return "The credits left do not cover this request; adding credits lets it pass.";
    case REASON_INDIVISIBLE:
        return "This request cannot be split and no single source carries it whole; a smaller one "
               "can pass.";
    case REASON_OK:
    case REASON_RATE_LIMITED:
    case REASON_CONCURRENCY_LIMITED:
    case REASON_BUDGET_REACHED:
    case REASON_ALLOWANCE_EXHAUSTED:
    case REASON_OVERAGE_CAP_REACHED:
        break;
    }
    ENSURE(false);
    return NULL;
}

void words_message(struct buffer *buffer, const struct report *report, struct symbols symbols)
{
    json_text_begin(buffer);
    switch (report->reason) {
    case REASON_RATE_LIMITED:
        rate_sentence(buffer, report, symbols);
        break;
    case REASON_CONCURRENCY_LIMITED:
        concurrency_sentence(buffer, report, symbols);
        break;
    case REASON_BUDGET_REACHED:
        budget_sentence(buffer, report, symbols);
        break;
    case REASON_ALLOWANCE_EXHAUSTED:
        allowance_sentence(buffer, report, symbols);
        break;
    case REASON_OVERAGE_CAP_REACHED:
        overage_sentence(buffer, report, symbols);
        break;
    case REASON_OK:
    case REASON_NOT_ENTITLED:
    case REASON_SUSPENDED:
    case REASON_TEMPORARY_REDUCED_CAPACITY:
    case REASON_ABNORMAL_USAGE:
    case REASON_CREDITS_NEED_CONSENT:
    case REASON_INSUFFICIENT_CREDITS:
    case REASON_INDIVISIBLE:
        json_words_part(buffer,
                        is_hold_s_consent(report)
                            ? "What is included does not cover this request, and its hold was "
                              "authorized without use_credits: true."
                            : sentence_of(report->reason));
        wait_part(buffer, report, "What is included");
        break;
    }
    json_text_end(buffer);
}
