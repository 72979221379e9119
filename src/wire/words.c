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
    json_words_part(buffer, " credits");
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
        const bool is_cost = note->kind == NOTE_SOURCE && report->unit == UNIT_COST;
        if (note->kind == NOTE_BUDGET || is_cost || report->reason == REASON_OVERAGE_CAP_REACHED)
            credits_part(buffer, note->limit);
        else
            json_count_part(buffer, note->limit);
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
        json_count_part(buffer, report->scope.level);
        json_words_part(buffer, " levels of this subject");
    }
}

struct sentence {
    const char *before; /* the limit, where it is named */
    const char *after;
    bool names_limit;
};

static struct sentence sentence_of(enum reason reason)
{
    switch (reason) {
    case REASON_OK:
        break;
    case REASON_NOT_ENTITLED:
        return (struct sentence){"The plan does not include this feature",
                                 "; a plan that does lets it pass.", false};
    case REASON_SUSPENDED:
        return (struct sentence){"Requests are paused here for now",
                                 "; the operator can lift that.", false};
    case REASON_RATE_LIMITED:
        return (struct sentence){"The pace", " is reached for now.", true};
    case REASON_CONCURRENCY_LIMITED:
        return (struct sentence){"The number of requests at once",
                                 " is reached; one more can pass when a running one ends.", true};
    case REASON_BUDGET_REACHED:
        return (struct sentence){"The budget", " is reached; it can be raised.", true};
    case REASON_TEMPORARY_REDUCED_CAPACITY:
        return (struct sentence){"Capacity is reduced for a while", ".", false};
    case REASON_ABNORMAL_USAGE:
        return (struct sentence){
            "Usage is far above the usual, so requests are slowed down for now", ".", false};
    case REASON_ALLOWANCE_EXHAUSTED:
        return (struct sentence){"The allowance", " is used up for now.", true};
    case REASON_CREDITS_NEED_CONSENT:
        return (struct sentence){"What is included does not cover this request",
                                 "; credits can pay for it once it says use_credits: true.", false};
    case REASON_INSUFFICIENT_CREDITS:
        return (struct sentence){"The credits left do not cover this request",
                                 "; adding credits lets it pass.", false};
    case REASON_OVERAGE_CAP_REACHED:
        return (struct sentence){
            "The overage", " is full; raising its cap or adding credits lets the request pass.",
            true};
    case REASON_INDIVISIBLE:
        return (struct sentence){
            "This request cannot be split and no single source carries it whole",
            "; a smaller one can pass.", false};
    }
    ENSURE(false);
    return (struct sentence){0};
}

/* When waiting helps, and how long. */
static void wait_part(struct buffer *buffer, const struct report *report, bool names_limit)
{
    if (report->retry_after_ms >= 0) {
        json_words_part(buffer, " The same request can pass in ");
        json_count_part(buffer, ((uint64_t)report->retry_after_ms + 999) / 1000);
        json_words_part(buffer, " s.");
    } else if (report->resets_at_ms > 0) {
        char text[INSTANT_TEXT_SIZE];
        const unsigned length = calendar_format(report->resets_at_ms, text);
        json_words_part(buffer, " ");
        json_words_part(buffer, names_limit ? "It" : "What is included");
        json_words_part(buffer, " starts anew at ");
        json_text_part(buffer, (struct bytes){(const uint8_t *)text, length});
        json_words_part(buffer, ".");
    }
}

void words_message(struct buffer *buffer, const struct report *report, struct symbols symbols)
{
    json_text_begin(buffer);
    const bool never = report->reason == REASON_RATE_LIMITED && report->retry_after_ms < 0;
    if (never) {
        json_words_part(buffer, "This asks for more at once than the pace");
        limit_part(buffer, report, symbols);
        json_words_part(buffer, " ever lets through; smaller requests pass.");
    } else {
        const struct sentence sentence = sentence_of(report->reason);
        json_words_part(buffer, sentence.before);
        if (sentence.names_limit) limit_part(buffer, report, symbols);
        json_words_part(buffer, sentence.after);
        wait_part(buffer, report, sentence.names_limit);
    }
    json_text_end(buffer);
}
