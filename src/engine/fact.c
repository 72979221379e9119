/*
 * fact.c: the codec of facts. Unsigned fields are varints, fields that most facts leave at zero are
 * behind a bit of a mask, lists are counted. fact_decode accepts exactly what fact_encode writes.
 */
#include "engine/fact.h"

#include "engine/fact_codec.h"

const char *reason_code(enum reason reason)
{
    static const char *const codes[] = {
#define X(name, code, status, retry) [name] = (code),
        REASON_TABLE(X)
#undef X
    };
    ENSURE((unsigned)reason < COUNT_OF(codes));
    return codes[reason];
}

unsigned reason_http_status(enum reason reason)
{
    static const uint16_t statuses[] = {
#define X(name, code, status, retry) [name] = (status),
        REASON_TABLE(X)
#undef X
    };
    ENSURE((unsigned)reason < COUNT_OF(statuses));
    return statuses[reason];
}

bool reason_has_retry(enum reason reason)
{
    static const bool retries[] = {
#define X(name, code, status, retry) [name] = (retry),
        REASON_TABLE(X)
#undef X
    };
    ENSURE((unsigned)reason < COUNT_OF(retries));
    return retries[reason];
}

WALK walk_period(struct codec c, bool w, struct period *period)
{
    WALK_ENUM(c, w, period->kind, PERIOD_MONTH);
    WALK_ENUM(c, w, period->start, START_SLIDING);
    walk_i64(c, w, &period->duration_ms);
}

WALK walk_scope(struct codec c, bool w, struct scope_rule *scope)
{
    WALK_ENUM(c, w, scope->kind, SCOPE_LEVEL);
    walk_u32(c, w, &scope->level);
}

enum {
    NOTE_REFUSED = 1,
    NOTE_SKIPPED = 2,
    NOTE_WINDOW = 4,
    NOTE_SOURCE_BITS = 7 << 3,
    NOTE_PACED = 64
};

WALK walk_note(struct codec c, bool w, struct note *note)
{
    WALK_ENUM(c, w, note->kind, NOTE_SOURCE);
    walk_u32(c, w, &note->name);
    uint32_t flags = (note->refused ? NOTE_REFUSED : 0u) | (note->skipped ? NOTE_SKIPPED : 0u) |
                     (note->has_window ? NOTE_WINDOW : 0u) | (note->is_paced ? NOTE_PACED : 0u) |
                     (uint32_t)note->source << 3;
    walk_u32(c, w, &flags);
    walk_u64(c, w, &note->amount);
    walk_u64(c, w, &note->drawn);
    if (!w) {
        const uint32_t source = (flags & NOTE_SOURCE_BITS) >> 3;
        if (source > SOURCE_UNLIMITED || flags >= 2 * NOTE_PACED) c.in->bad = true;
        note->source = (enum source_kind)source;
        note->is_paced = (flags & NOTE_PACED) != 0;
        note->factor = 0;
        note->standing = STANDING_NORMAL;
        note->refused = (flags & NOTE_REFUSED) != 0;
        note->skipped = (flags & NOTE_SKIPPED) != 0;
        note->has_window = (flags & NOTE_WINDOW) != 0;
        note->limit = 0;
        note->period = (struct period){0};
        note->resets_at_ms = 0;
        note->left = 0;
    }
    if (note->is_paced) {
        walk_u32(c, w, &note->factor);
        WALK_ENUM(c, w, note->standing, STANDING_TRUSTED);
    }
    if (!note->has_window && note->kind == NOTE_SOURCE) return;
    walk_u64(c, w, &note->limit);
    walk_period(c, w, &note->period);
    walk_i64(c, w, &note->resets_at_ms);
    walk_u64(c, w, &note->left);
}

enum {
    REPORT_REFUSAL = 1,
    REPORT_HOLD = 2,
    REPORT_OVERSHOOT = 4,
    REPORT_MONEY = 8,
    REPORT_EXPLAIN = 16,
    REPORT_LATE = 32,
    REPORT_PRICED = 64,
    REPORT_CROWD = 128,
    REPORT_USED = 256,
    REPORT_FLAGS = 511
};

WALK walk_refusal(struct codec c, bool w, struct report *report)
{
    WALK_ENUM(c, w, report->reason, REASON_INDIVISIBLE);
    walk_u32(c, w, &report->limit);
    walk_scope(c, w, &report->scope);
    WALK_ENUM(c, w, report->who, WHO_CALLER);
    WALK_ENUM(c, w, report->remedy, REMEDY_CONTACT);
    walk_i64(c, w, &report->retry_after_ms);
    walk_i64(c, w, &report->resets_at_ms);
}

WALK walk_money(struct codec c, bool w, struct report *report)
{
    walk_i64(c, w, &report->nano);
    walk_i64(c, w, &report->expired);
    walk_i64(c, w, &report->total);
    walk_u64(c, w, &report->count);
    WALK_ENUM(c, w, report->category, CATEGORY_PAID);
    walk_i64(c, w, &report->grant_effective_ms);
    walk_i64(c, w, &report->grant_expires_ms);
}

WALK walk_overshoot(struct codec c, bool w, struct overshoot *overshoot)
{
    walk_u64(c, w, &overshoot->units);
    walk_i64(c, w, &overshoot->charged);
    walk_i64(c, w, &overshoot->refunded);
    WALK_ENUM(c, w, overshoot->booked, OVERSHOOT_OVERAGE);
    walk_u32(c, w, &overshoot->overage);
}

WALK walk_settled_price(struct codec c, bool w, struct settled_price *price)
{
    walk_word(c, w, &price->version);
    walk_u64(c, w, &price->q);
    walk_u64(c, w, &price->rem_before);
    walk_u64(c, w, &price->rem_after);
}

WALK walk_used(struct codec c, bool w, struct report *report)
{
    walk_count(c, w, &report->used_count, METERS_MAX);
    if (!w && report->used_count == 0) c.in->bad = true;
    for (uint32_t i = 0; i < report->used_count; i++) {
        walk_u32(c, w, &report->used[i].meter);
        walk_u64(c, w, &report->used[i].amount);
    }
}

static bool report_has_refusal(const struct report *report)
{
    return report->reason != REASON_OK || report->remedy != REMEDY_NONE || report->limit != 0 ||
           report->resets_at_ms != 0 || report->retry_after_ms != -1;
}

static bool report_has_money(const struct report *report)
{
    return report->nano != 0 || report->expired != 0 || report->total != 0 || report->count != 0 ||
           report->category != 0 || report->grant_effective_ms != 0 ||
           report->grant_expires_ms != 0;
}

WALK walk_report(struct codec c, bool w, struct report *report)
{
    uint32_t flags = 0;
    if (w)
        flags = (report_has_refusal(report) ? REPORT_REFUSAL : 0u) |
                (report->hold != HOLD_NONE ? REPORT_HOLD : 0u) |
                (report->has_overshoot ? REPORT_OVERSHOOT : 0u) |
                (report_has_money(report) ? REPORT_MONEY : 0u) |
                (report->explain ? REPORT_EXPLAIN : 0u) | (report->late ? REPORT_LATE : 0u) |
                (report->price_settled.version != 0 ? REPORT_PRICED : 0u) |
                (report->crowd != 0 ? REPORT_CROWD : 0u) |
                (report->used_count != 0 ? REPORT_USED : 0u);
    walk_u32(c, w, &flags);
    if (!w) {
        if (flags > REPORT_FLAGS) c.in->bad = true;
        report->retry_after_ms = -1;
        report->explain = (flags & REPORT_EXPLAIN) != 0;
        report->late = (flags & REPORT_LATE) != 0;
        report->has_overshoot = (flags & REPORT_OVERSHOOT) != 0;
    }
    if (flags & REPORT_CROWD) walk_word(c, w, &report->crowd);
    WALK_ENUM(c, w, report->kind, COMMAND_POOL);
    walk_u64(c, w, &report->id);
    WALK_ENUM(c, w, report->outcome, OUTCOME_DENY);
    walk_u64(c, w, &report->units_requested);
    walk_u64(c, w, &report->units_allowed);
    walk_i64(c, w, &report->charged);
    walk_u32(c, w, &report->price);
    walk_u32(c, w, &report->unit);
    WALK_ENUM(c, w, report->status, JOB_MODERATED);
    if (flags & REPORT_REFUSAL) walk_refusal(c, w, report);
    if (flags & REPORT_HOLD) {
        WALK_ENUM(c, w, report->hold, HOLD_EXPIRED);
        walk_i64(c, w, &report->expires_at_ms);
    }
    if (flags & REPORT_OVERSHOOT) walk_overshoot(c, w, &report->overshoot);
    if (flags & REPORT_PRICED) walk_settled_price(c, w, &report->price_settled);
    if (flags & REPORT_USED) walk_used(c, w, report);
    if (flags & REPORT_MONEY) walk_money(c, w, report);
    walk_count(c, w, &report->line_count, LINES_MAX);
    for (uint32_t i = 0; i < report->line_count; i++)
        walk_line(c, w, &report->lines[i]);
    walk_count(c, w, &report->note_count, NOTES_MAX);
    for (uint32_t i = 0; i < report->note_count; i++)
        walk_note(c, w, &report->notes[i]);
}

WALK walk_window_ref(struct codec c, bool w, struct window_ref *ref)
{
    walk_slot(c, w, &ref->slot);
    walk_i64(c, w, &ref->instance_ms);
    walk_u32(c, w, &ref->generation);
    walk_bool(c, w, &ref->sliding);
}

WALK walk_hold_line(struct codec c, bool w, struct effect *effect)
{
    walk_u64(c, w, &effect->hold_line.hold);
    walk_u32(c, w, &effect->hold_line.draw);
    walk_line(c, w, &effect->hold_line.line);
    walk_count(c, w, &effect->hold_line.window_count, LINE_WINDOWS_MAX);
    for (uint32_t i = 0; i < effect->hold_line.window_count; i++)
        walk_window_ref(c, w, &effect->hold_line.windows[i]);
    walk_count(c, w, &effect->hold_line.budget_count, LINE_BUDGETS_MAX);
    for (uint32_t i = 0; i < effect->hold_line.budget_count; i++)
        walk_window_ref(c, w, &effect->hold_line.budgets[i]);
}

WALK walk_grant(struct codec c, bool w, struct effect *effect)
{
    walk_u64(c, w, &effect->grant.id);
    WALK_ENUM(c, w, effect->grant.category, CATEGORY_PAID);
    walk_i32(c, w, &effect->grant.priority);
    walk_i64(c, w, &effect->grant.amount);
    walk_i64(c, w, &effect->grant.effective_ms);
    walk_i64(c, w, &effect->grant.expires_ms);
    walk_u32(c, w, &effect->grant.recurring);
    walk_count(c, w, &effect->grant.feature_count, GRANT_FEATURES_MAX);
    for (uint32_t i = 0; i < GRANT_FEATURES_MAX; i++) {
        if (i < effect->grant.feature_count)
            walk_u32(c, w, &effect->grant.features[i]);
        else
            effect->grant.features[i] = 0;
    }
}

WALK walk_lot(struct codec c, bool w, struct effect *effect)
{
    walk_u64(c, w, &effect->lot.id);
    WALK_ENUM(c, w, effect->lot.cause, LOT_ROLLOVER);
    walk_i64(c, w, &effect->lot.remaining_delta);
    walk_i64(c, w, &effect->lot.remaining_after);
    walk_i64(c, w, &effect->lot.held_delta);
    walk_i64(c, w, &effect->lot.held_after);
    walk_i64(c, w, &effect->lot.available_after);
    walk_i64(c, w, &effect->lot.customer_held_after);
}

WALK walk_ended(struct codec c, bool w, struct effect *effect)
{
    walk_u64(c, w, &effect->ended.id);
    WALK_ENUM(c, w, effect->ended.state, HOLD_EXPIRED);
    walk_bool(c, w, &effect->ended.late);
    walk_u64(c, w, &effect->ended.position);
    walk_word(c, w, &effect->ended.body_hash);
    walk_i64(c, w, &effect->ended.refunded_after);
    walk_i64(c, w, &effect->ended.until_ms);
}

WALK walk_window(struct codec c, bool w, struct effect *effect)
{
    walk_slot(c, w, &effect->window.slot);
    walk_i64(c, w, &effect->window.end_ms);
    walk_u32(c, w, &effect->window.generation);
    walk_i64(c, w, &effect->window.delta);
    walk_i64(c, w, &effect->window.after);
}

WALK walk_sliding(struct codec c, bool w, struct effect *effect)
{
    walk_slot(c, w, &effect->sliding.slot);
    walk_i64(c, w, &effect->sliding.per_ms);
    walk_i64(c, w, &effect->sliding.start_ms);
    walk_i64(c, w, &effect->sliding.delta);
    walk_i64(c, w, &effect->sliding.after);
    walk_bool(c, w, &effect->sliding.cleared);
    walk_u32(c, w, &effect->sliding.generation);
}

WALK walk_rate(struct codec c, bool w, struct effect *effect)
{
    walk_slot(c, w, &effect->rate.slot);
    walk_i64(c, w, &effect->rate.level_after);
    walk_u64(c, w, &effect->rate.part_after);
    walk_u64(c, w, &effect->rate.limit);
    walk_u64(c, w, &effect->rate.burst);
    walk_i64(c, w, &effect->rate.per_ms);
    walk_i64(c, w, &effect->rate.at);
}

WALK walk_paced(struct codec c, bool w, struct effect *effect)
{
    walk_rate(c, w, effect);
    walk_u32(c, w, &effect->rate.pool);
    WALK_ENUM(c, w, effect->rate.standing, STANDING_TRUSTED);
}

WALK walk_pool(struct codec c, bool w, struct effect *effect)
{
    walk_u32(c, w, &effect->pool.name);
    walk_bool(c, w, &effect->pool.has_override);
    walk_count(c, w, &effect->pool.override, FACTOR_ONE);
    WALK_ENUM(c, w, effect->pool.shed, SHED_ALL);
    walk_count(c, w, &effect->pool.factor_before, FACTOR_ONE);
    walk_count(c, w, &effect->pool.factor_after, FACTOR_ONE);
    for (unsigned i = 0; i < STANDINGS; i++)
        walk_i64(c, w, &effect->pool.base[i]);
}

WALK walk_concurrency(struct codec c, bool w, struct effect *effect)
{
    walk_slot(c, w, &effect->concurrency.slot);
    walk_i64(c, w, &effect->concurrency.delta);
    walk_i64(c, w, &effect->concurrency.after);
}

WALK walk_key(struct codec c, bool w, struct effect *effect)
{
    walk_word(c, w, &effect->key.hash.word[0]);
    walk_word(c, w, &effect->key.hash.word[1]);
    walk_word(c, w, &effect->key.body_hash);
    walk_u64(c, w, &effect->key.position);
    walk_u64(c, w, &effect->key.hold);
    walk_i64(c, w, &effect->key.until_ms);
}

/* Effects in families: walk_effect says which kind is of which. */

/* Customers, and denials in crowds. */
WALK walk_of_customer(struct codec c, bool w, struct effect *effect)
{
    switch ((unsigned)effect->kind) {
    case EFFECT_CUSTOMER:
        walk_i64(c, w, &effect->customer.created_ms);
        return;
    case EFFECT_SETTING:
        WALK_ENUM(c, w, effect->setting.which, SETTING_STANDING);
        walk_word(c, w, &effect->setting.scope);
        walk_i64(c, w, &effect->setting.before);
        walk_i64(c, w, &effect->setting.after);
        return;
    case EFFECT_CROWD:
        walk_word(c, w, &effect->crowd.of);
        walk_i64(c, w, &effect->crowd.second);
        walk_u32(c, w, &effect->crowd.after);
        return;
    }
    ENSURE(false);
}

/* What gates and windows count. */
WALK walk_of_counter(struct codec c, bool w, struct effect *effect)
{
    switch ((unsigned)effect->kind) {
    case EFFECT_WINDOW:
        walk_window(c, w, effect);
        return;
    case EFFECT_SLIDING:
        walk_sliding(c, w, effect);
        return;
    case EFFECT_RATE:
        walk_rate(c, w, effect);
        return;
    case EFFECT_PACED:
        walk_paced(c, w, effect);
        return;
    case EFFECT_CONCURRENCY:
        walk_concurrency(c, w, effect);
        return;
    case EFFECT_OVERRIDE:
        walk_word(c, w, &effect->override.id);
        walk_bool(c, w, &effect->override.removed);
        walk_u64(c, w, &effect->override.value);
        return;
    }
    ENSURE(false);
}

/* Grants, and what moves on accounts. */
WALK walk_of_account(struct codec c, bool w, struct effect *effect)
{
    switch ((unsigned)effect->kind) {
    case EFFECT_GRANT:
        walk_grant(c, w, effect);
        return;
    case EFFECT_LOT:
        walk_lot(c, w, effect);
        return;
    case EFFECT_GRANT_STATE:
        walk_u64(c, w, &effect->grant_state.id);
        WALK_ENUM(c, w, effect->grant_state.after, GRANT_VOIDED);
        return;
    case EFFECT_DEBT:
        walk_i64(c, w, &effect->debt.delta);
        walk_i64(c, w, &effect->debt.after);
        walk_i64(c, w, &effect->debt.available_after);
        return;
    case EFFECT_REMAINDER:
        walk_word(c, w, &effect->remainder.version);
        walk_u64(c, w, &effect->remainder.q);
        walk_u64(c, w, &effect->remainder.before);
        walk_u64(c, w, &effect->remainder.after);
        return;
    case EFFECT_RENEWAL:
        walk_u32(c, w, &effect->renewal.name);
        walk_i64(c, w, &effect->renewal.next_ms);
        walk_u64(c, w, &effect->renewal.grant_id);
        return;
    }
    ENSURE(false);
}

/* Holds, how they ended, and the keys that wait for that. */
WALK walk_of_hold(struct codec c, bool w, struct effect *effect)
{
    switch ((unsigned)effect->kind) {
    case EFFECT_HOLD:
        walk_hold(c, w, effect);
        return;
    case EFFECT_HOLD_LINE:
        walk_hold_line(c, w, effect);
        return;
    case EFFECT_HOLD_END:
        walk_u64(c, w, &effect->hold_end.id);
        WALK_ENUM(c, w, effect->hold_end.state, HOLD_EXPIRED);
        walk_i64(c, w, &effect->hold_end.keys_until_ms);
        return;
    case EFFECT_ENDED:
        walk_ended(c, w, effect);
        return;
    case EFFECT_KEY:
        walk_key(c, w, effect);
        return;
    }
    ENSURE(false);
}

/* What is no customer's. */
WALK walk_of_nobody(struct codec c, bool w, struct effect *effect)
{
    switch ((unsigned)effect->kind) {
    case EFFECT_SYMBOL:
        walk_u32(c, w, &effect->symbol.number);
        walk_bytes(c, w, &effect->symbol.name);
        return;
    case EFFECT_POLICY:
        walk_u64(c, w, &effect->policy.version);
        walk_word(c, w, &effect->policy.content_hash);
        walk_bool(c, w, &effect->policy.from_file);
        walk_bytes(c, w, &effect->policy.actor);
        return;
    case EFFECT_POOL:
        walk_pool(c, w, effect);
        return;
    case EFFECT_SEAL:
        walk_cut(c, w, &effect->seal);
        return;
    case EFFECT_ACCESS:
        walk_u64(c, w, &effect->access.id);
        walk_access_terms(c, w, &effect->access.terms);
        return;
    case EFFECT_ACCESS_END:
        walk_u64(c, w, &effect->access_end.id);
        return;
    }
    ENSURE(false);
}

WALK walk_effect(struct codec c, bool w, struct effect *effect)
{
    WALK_ENUM(c, w, effect->kind, EFFECT_PACED);
    switch (effect->kind) {
    case EFFECT_CUSTOMER:
    case EFFECT_SETTING:
    case EFFECT_CROWD:
        walk_of_customer(c, w, effect);
        return;
    case EFFECT_WINDOW:
    case EFFECT_SLIDING:
    case EFFECT_RATE:
    case EFFECT_PACED:
    case EFFECT_CONCURRENCY:
    case EFFECT_OVERRIDE:
        walk_of_counter(c, w, effect);
        return;
    case EFFECT_GRANT:
    case EFFECT_LOT:
    case EFFECT_GRANT_STATE:
    case EFFECT_DEBT:
    case EFFECT_REMAINDER:
    case EFFECT_RENEWAL:
        walk_of_account(c, w, effect);
        return;
    case EFFECT_HOLD:
    case EFFECT_HOLD_LINE:
    case EFFECT_HOLD_END:
    case EFFECT_ENDED:
    case EFFECT_KEY:
        walk_of_hold(c, w, effect);
        return;
    case EFFECT_SYMBOL:
    case EFFECT_POLICY:
    case EFFECT_POOL:
    case EFFECT_SEAL:
    case EFFECT_ACCESS:
    case EFFECT_ACCESS_END:
        walk_of_nobody(c, w, effect);
        return;
    }
    if (!w) c.in->bad = true;
}

WALK walk_fact(struct codec c, bool w, struct fact *fact)
{
    uint32_t version = FACT_VERSION;
    walk_u32(c, w, &version);
    if (!w && version != FACT_VERSION) c.in->bad = true;
    walk_bool(c, w, &fact->has_customer);
    if (fact->has_customer) {
        walk_word(c, w, &fact->customer.word[0]);
        walk_word(c, w, &fact->customer.word[1]);
    }
    walk_report(c, w, &fact->report);
    walk_count(c, w, &fact->effect_count, EFFECTS_MAX);
}

WALK write_fact(const struct fact *fact, struct buffer *buffer, bool has_room)
{
    struct buffer out = *buffer;
    const struct codec c = {.out = &out, .has_room = has_room};
    struct fact *fields = (struct fact *)(uintptr_t)fact; /* a writing walk only reads */
    walk_fact(c, true, fields);
    for (uint32_t i = 0; i < fact->effect_count; i++)
        walk_effect(c, true, &fields->effects[i]);
    ENSURE(out.used <= out.size);
    *buffer = out;
}

static __attribute__((noinline)) void write_checked(const struct fact *fact, struct buffer *buffer)
{
    write_fact(fact, buffer, false);
}

/* More than the head of a report, a line, a note or an effect takes: the longest, a hold, has 75
 * varints, 8 levels and 12 slots. */
#define RECORD_BYTES_MAX 1280u

void fact_encode(const struct fact *fact, struct buffer *buffer)
{
    const struct report *report = &fact->report;
    const uint64_t records =
        UINT64_C(1) + report->line_count + report->note_count + fact->effect_count;
    if (!buffer->overflowed && buffer->size - buffer->used >= records * RECORD_BYTES_MAX)
        write_fact(fact, buffer, true);
    else
        write_checked(fact, buffer);
}

static void report_clear(struct report *report)
{
    report->hold = HOLD_NONE;
    report->expires_at_ms = 0;
    report->reason = REASON_OK;
    report->limit = 0;
    report->scope = (struct scope_rule){0};
    report->who = WHO_NOBODY;
    report->remedy = REMEDY_NONE;
    report->resets_at_ms = 0;
    report->overshoot = (struct overshoot){0};
    report->price_settled = (struct settled_price){0};
    report->used_count = 0;
    report->nano = 0;
    report->expired = 0;
    report->total = 0;
    report->count = 0;
    report->crowd = 0;
    report->category = 0;
    report->grant_effective_ms = 0;
    report->grant_expires_ms = 0;
}

bool fact_decode(struct bytes bytes, struct fact *fact_out)
{
    struct reader reader = reader_over(bytes);
    const struct codec c = {.in = &reader};
    fact_out->at_ms = 0;
    fact_out->position = 0;
    fact_out->effect_count = 0;
    fact_out->customer_hint = 0;
    fact_out->scope_hint = 0;
    fact_out->is_out_of_range = false;
    report_clear(&fact_out->report);
    walk_fact(c, false, fact_out);
    for (uint32_t i = 0; i < fact_out->effect_count && !reader.bad; i++)
        walk_effect(c, false, &fact_out->effects[i]);
    return reader_is_done(&reader);
}

void fact_crowd_join(uint8_t *bytes, size_t length)
{
    struct reader reader = reader_over((struct bytes){bytes, length});
    const struct codec c = {.in = &reader};
    uint32_t version = 0;
    uint32_t flags = 0;
    bool has_customer = false;
    uint64_t skipped = 0;
    walk_u32(c, false, &version);
    walk_bool(c, false, &has_customer);
    for (unsigned word = 0; has_customer && word < 2; word++)
        walk_word(c, false, &skipped);
    walk_u32(c, false, &flags);
    const size_t at = (size_t)(reader.at - bytes);
    uint64_t count = 0;
    walk_word(c, false, &count);
    ENSURE(!reader.bad && version == FACT_VERSION && (flags & REPORT_CROWD) != 0);
    struct buffer out = buffer_over(bytes + at, sizeof count);
    put_word(&out, count + 1);
}
