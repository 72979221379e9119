/*
 * project.c: see project.h. First the usage event, then its price, then how accounts moved.
 *
 * One row an account and cause: a commit that settles three lines of one grant charges it once
 * (SEMANTICS B1), while what a refund gives back to an expired grant and what at once expires of it
 * are two.
 */
#include "ledger/project.h"

#include <string.h>

#include "wire/wire.h"

uint64_t projection_bytes(void)
{
    return sizeof(struct projection) +
           PROJECTION_BALANCES_MAX * (uint64_t)sizeof(struct balance_row) + PROJECTION_TEXT_BYTES;
}

struct projection *projection_over(void *block)
{
    struct projection *projection = block;
    projection->balances = (struct balance_row *)(projection + 1);
    projection->text =
        buffer_over(projection->balances + PROJECTION_BALANCES_MAX, PROJECTION_TEXT_BYTES);
    return projection;
}

static bool is_hold_expiry(const struct command *command)
{
    return command->kind == COMMAND_DUE && command->due_what == DUE_HOLD_EXPIRY;
}

uint64_t projection_decision(const struct command *command, const struct fact *fact)
{
    if (command->kind == COMMAND_COMMIT || command->kind == COMMAND_RELEASE) return command->target;
    if (command->kind == COMMAND_EXTEND && fact->report.outcome == OUTCOME_DENY)
        return command->target;
    return is_hold_expiry(command) ? command->due_id : 0;
}

/* The decision that the entry is about; 0: none. Who joined a crowd was told the id of its first.
 */
static uint64_t decision_of(const struct projection_parts *parts)
{
    const struct command *command = parts->command;
    switch (command->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
    case COMMAND_USAGE:
        return parts->fact->report.crowd == 0 ? parts->fact->position : parts->fact->report.id;
    case COMMAND_COMMIT:
    case COMMAND_RELEASE:
    case COMMAND_EXTEND:
    case COMMAND_REFUND:
        return command->target;
    case COMMAND_DUE:
        return is_hold_expiry(command) ? command->due_id : 0;
    case COMMAND_CHECK:
    case COMMAND_CUSTOMER:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_POLICY:
    case COMMAND_SEAL:
    case COMMAND_ACCESS:
    case COMMAND_POOL:
        break;
    }
    return 0;
}

/* Due facts act as at their due time. */
static int64_t acts_at(const struct projection_parts *parts)
{
    return parts->command->kind == COMMAND_DUE ? parts->command->due_ms : parts->fact->at_ms;
}

static bool complain(struct projection *projection, const char *complaint)
{
    projection->complaint = complaint;
    return false;
}

/* --- texts ----------------------------------------------------------------------------------- */

static bool symbol_is_known(struct symbols symbols, uint32_t symbol)
{
    return symbol != SYMBOL_NONE && symbol <= symbols.count;
}

/* What was written since `start`. */
static struct bytes written(const struct projection *projection, size_t start)
{
    return (struct bytes){projection->text.at + start, projection->text.used - start};
}

static struct bytes put_quantities(struct projection *projection, const struct command *command)
{
    const size_t start = projection->text.used;
    json_begin(&projection->text);
    for (uint32_t i = 0; i < command->quantity_count; i++) {
        json_key_text(&projection->text, command->quantities[i].meter);
        json_count(&projection->text, command->quantities[i].amount);
    }
    json_close(&projection->text, '}');
    return written(projection, start);
}

/* What was used: as said, or, of a commit that says nothing of it, as held. */
static struct bytes put_used(struct projection *projection, const struct projection_parts *parts)
{
    const struct report *report = &parts->fact->report;
    if (!parts->command->as_held) return put_quantities(projection, parts->command);
    const size_t start = projection->text.used;
    json_begin(&projection->text);
    for (uint32_t i = 0; i < report->used_count; i++) {
        json_key_text(&projection->text, words_name(parts->symbols, report->used[i].meter));
        json_count(&projection->text, report->used[i].amount);
    }
    json_close(&projection->text, '}');
    return written(projection, start);
}

static struct bytes put_attributes(struct projection *projection, const struct command *command)
{
    const size_t start = projection->text.used;
    json_begin(&projection->text);
    for (uint32_t i = 0; i < command->attribute_count; i++) {
        json_key_text(&projection->text, command->attributes[i].name);
        json_text(&projection->text, command->attributes[i].value);
    }
    json_close(&projection->text, '}');
    return written(projection, start);
}

static struct bytes attribute_named(const struct command *command, struct bytes name)
{
    for (uint32_t i = 0; i < command->attribute_count; i++)
        if (bytes_equal(command->attributes[i].name, name))
            return value_of_text(command->attributes[i].value).bytes;
    return BYTES_NONE;
}

static bool put_sources(const struct projection_parts *parts, struct projection *projection,
                        struct bytes *sources_out)
{
    const struct report *report = &parts->fact->report;
    struct buffer *text = &projection->text;
    const size_t start = text->used;
    buffer_put_byte(text, '[');
    for (uint32_t i = 0; i < report->line_count; i++) {
        const struct line *line = &report->lines[i];
        if (!symbol_is_known(parts->symbols, line->source))
            return complain(projection, "a line names a source that no policy had");
        json_open(text, '{');
        json_key(text, "source");
        json_text(text, words_name(parts->symbols, line->source));
        json_key(text, "kind");
        json_words(text, words_source(line->kind));
        if (line->grant_id != 0) {
            json_key(text, "grant_id");
            json_count(text, line->grant_id);
        }
        json_key(text, "units");
        json_count(text, line->units);
        json_key(text, "charged");
        json_number(text, line->charged);
        json_close(text, '}');
    }
    buffer_put_byte(text, ']');
    *sources_out = written(projection, start);
    return true;
}

/* The unit's name; at NULL for entries that have none. */
static bool unit_name(const struct projection_parts *parts, struct projection *projection,
                      struct bytes *name_out)
{
    const uint32_t unit = parts->fact->report.unit;
    *name_out = BYTES_NONE;
    if (unit == UNIT_COST) *name_out = BYTES("cost");
    if (unit == UNIT_COST || unit == SYMBOL_NONE) return true;
    if (!symbol_is_known(parts->symbols, unit))
        return complain(projection, "a unit is no meter of any policy");
    *name_out = words_name(parts->symbols, unit);
    return true;
}

/* --- usage ----------------------------------------------------------------------------------- */

static bool usage_kind_of(const struct projection_parts *parts, enum usage_kind *kind_out)
{
    const enum command_kind kind = parts->command->kind;
    if (parts->fact->report.outcome == OUTCOME_DENY &&
        (kind == COMMAND_AUTHORIZE || kind == COMMAND_CONSUME || kind == COMMAND_EXTEND))
        *kind_out = USAGE_DENIAL;
    else if (kind == COMMAND_CONSUME)
        *kind_out = USAGE_CONSUME;
    else if (kind == COMMAND_USAGE)
        *kind_out = USAGE_REPORTED;
    else if (kind == COMMAND_COMMIT)
        *kind_out = USAGE_COMMIT;
    else if (kind == COMMAND_RELEASE)
        *kind_out = USAGE_RELEASE;
    else if (is_hold_expiry(parts->command))
        *kind_out = USAGE_EXPIRY;
    else
        return false;
    return true;
}

static bool kind_settles(enum usage_kind kind)
{
    return kind == USAGE_CONSUME || kind == USAGE_COMMIT || kind == USAGE_REPORTED;
}

static bool project_usage(const struct projection_parts *parts, struct projection *projection,
                          enum usage_kind kind)
{
    const struct command *command = parts->command;
    const struct report *report = &parts->fact->report;
    const struct command *decision = parts->decision == NULL ? command : parts->decision;
    const bool settles = kind_settles(kind);
    const bool is_due = command->kind == COMMAND_DUE;
    struct usage_row *row = &projection->usage;
    for (uint32_t i = 0; i < report->used_count; i++)
        if (!symbol_is_known(parts->symbols, report->used[i].meter))
            return complain(projection, "it used what is no meter of any policy");
    *row = (struct usage_row){
        .position = parts->fact->position,
        .decision = decision_of(parts),
        .at_ms = parts->fact->at_ms,
        .has_event_ms = is_due || command->has_event_time,
        .event_ms = is_due ? command->due_ms : command->event_time_ms,
        .customer = parts->customer,
        .subject = decision->subject,
        .feature = decision->feature,
        .endpoint = attribute_named(decision, BYTES("endpoint")),
        .model = attribute_named(decision, BYTES("model")),
        .origin = attribute_named(decision, BYTES("origin")),
        .attributes = put_attributes(projection, decision),
        .kind = kind,
        .outcome = report->outcome == OUTCOME_NONE ? OUTCOME_ALLOW : report->outcome,
        .reason = report->reason,
        .has_status = settles,
        .status = report->status,
        .late = report->late,
        .count = report->crowd == 0 ? 1 : report->crowd,
        .units_requested = report->units_requested,
        .units_allowed = report->units_allowed,
        .asked = put_quantities(projection, kind == USAGE_DENIAL ? command : decision),
        .actual = settles ? put_used(projection, parts) : BYTES("{}"),
        .charged = report->charged,
        .overshoot_units = report->overshoot.units,
        .overshoot_charged = report->overshoot.charged,
        .overshoot_refunded = report->overshoot.refunded,
        .has_duration = command->has_duration,
        .duration_ms = command->duration_ms,
        .compute = command->compute.length == 0 ? BYTES_NONE : command->compute,
    };
    if (kind == USAGE_DENIAL && symbol_is_known(parts->symbols, report->limit))
        row->refused_by = words_name(parts->symbols, report->limit);
    return unit_name(parts, projection, &row->unit) &&
           put_sources(parts, projection, &row->sources);
}

/* --- prices ---------------------------------------------------------------------------------- */

static struct bytes put_decimal_128(struct projection *projection, uint128 number)
{
    const size_t start = projection->text.used;
    buffer_put_decimal_128(&projection->text, number);
    return written(projection, start);
}

static uint64_t units_by_credits(const struct report *report)
{
    uint64_t units = 0;
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind == SOURCE_GRANTS || report->lines[i].kind == SOURCE_OVERAGE)
            units += report->lines[i].units;
    return units;
}

/* x = q (charged + overshoot) + rem' - rem, exactly; for `unit: cost`, whose units are
 * nano-credits, of all units, free ones too (SEMANTICS B3 a). */
static bool exact_cost(const struct report *report, uint128 *cost_out)
{
    const struct settled_price *price = &report->price_settled;
    uint64_t nano = 0;
    const bool is_cost = report->unit == UNIT_COST;
    const uint64_t carried = is_cost ? report->units_allowed : (uint64_t)report->charged;
    const uint64_t beyond = is_cost ? report->overshoot.units : (uint64_t)report->overshoot.charged;
    if (!number_add_u64(carried, beyond, &nano)) return false;
    const uint128 whole = (uint128)price->q * nano;
    if (whole > ~(uint128)0 - price->rem_after || whole + price->rem_after < price->rem_before)
        return false;
    *cost_out = whole + price->rem_after - price->rem_before;
    return true;
}

static bool project_price(const struct projection_parts *parts, struct projection *projection)
{
    const struct report *report = &parts->fact->report;
    const struct settled_price *price = &report->price_settled;
    uint128 cost = 0;
    if (price->version != 0 && !exact_cost(report, &cost))
        return complain(projection, "its charge and its remainders fit no cost");
    if (price->version != 0 && !symbol_is_known(parts->symbols, report->price))
        return complain(projection, "its price has no name");
    projection->monetization = (struct monetization_row){
        .position = projection->usage.position,
        .decision = projection->usage.decision,
        .customer = projection->usage.customer,
        .feature = projection->usage.feature,
        .price = price->version == 0 ? BYTES_NONE : words_name(parts->symbols, report->price),
        .price_version = price->version,
        .q = price->q,
        .units = units_by_credits(report),
        .cost = put_decimal_128(projection, cost),
        .remainder_before = price->rem_before,
        .remainder_after = price->rem_after,
        .charged = report->charged,
        .overshoot_units = report->overshoot.units,
        .overshoot_charged = report->overshoot.charged,
        .overshoot_refunded = report->overshoot.refunded,
        .overshoot_booked = report->has_overshoot ? report->overshoot.booked : 0,
    };
    projection->has_monetization = true;
    return true;
}

/* --- balances -------------------------------------------------------------------------------- */

/* The row of this account and cause: the one there is, or a new one. */
static struct balance_row *row_of(const struct projection_parts *parts,
                                  struct projection *projection, struct balance_row like)
{
    for (uint32_t i = projection->balance_count; i-- > 0;) {
        struct balance_row *row = &projection->balances[i];
        if (row->account == like.account && row->grant_id == like.grant_id &&
            row->overage == like.overage && row->cause == like.cause)
            return row;
    }
    ENSURE(projection->balance_count < PROJECTION_BALANCES_MAX);
    struct balance_row *row = &projection->balances[projection->balance_count];
    *row = like;
    row->position = parts->fact->position;
    row->place = projection->balance_count++;
    row->at_ms = acts_at(parts);
    row->customer = parts->customer;
    row->decision = decision_of(parts);
    return row;
}

static enum category category_of_grant(const struct projection_parts *parts, uint64_t id)
{
    const struct fact *fact = parts->fact;
    for (uint32_t i = 0; i < fact->effect_count; i++)
        if (fact->effects[i].kind == EFFECT_GRANT && fact->effects[i].grant.id == id)
            return fact->effects[i].grant.category;
    for (uint32_t i = 0; i < fact->report.line_count; i++)
        if (fact->report.lines[i].grant_id == id) /* a source of grants is named after them */
            return (enum category)(fact->report.lines[i].source - SYMBOL_PROMOTIONAL +
                                   CATEGORY_PROMOTIONAL);
    return parts->category_of == NULL ? 0 : parts->category_of(parts->self, id);
}

static enum balance_cause cause_of_entry(const struct projection_parts *parts,
                                         enum category category)
{
    if (parts->command->kind == COMMAND_DUE && parts->command->due_what == DUE_RENEWAL)
        return CAUSE_RENEWAL;
    return category == CATEGORY_PAID ? CAUSE_PURCHASE : CAUSE_GRANT;
}

static bool project_lot(const struct projection_parts *parts, struct projection *projection,
                        const struct effect *effect)
{
    projection->says_settled = true;
    projection->settled_after = effect->lot.available_after + effect->lot.customer_held_after;
    const int64_t delta = effect->lot.remaining_delta + effect->lot.held_delta;
    if (delta == 0) return true;
    const enum category category = category_of_grant(parts, effect->lot.id);
    if (category < CATEGORY_PROMOTIONAL || category > CATEGORY_PAID)
        return complain(projection, "it moves a grant that is not in the books");
    enum balance_cause cause = CAUSE_CHARGE;
    switch (effect->lot.cause) {
    case LOT_ENTER:
        cause = cause_of_entry(parts, category);
        break;
    case LOT_SETTLE:
    case LOT_CHARGE:
        cause = CAUSE_CHARGE;
        break;
    case LOT_EXPIRE:
        cause = CAUSE_EXPIRY;
        break;
    case LOT_VOID:
        cause = CAUSE_VOID;
        break;
    case LOT_REFUND:
        cause = CAUSE_REFUND;
        break;
    case LOT_REPAY:
        cause = CAUSE_REPAYMENT;
        break;
    case LOT_ROLLOVER:
        cause = CAUSE_ROLLOVER;
        break;
    case LOT_HOLD:
    case LOT_RETURN:
        return complain(projection, "a hold or a return changes what a grant has in all");
    }
    struct balance_row *row = row_of(parts, projection,
                                     (struct balance_row){
                                         .account = ACCOUNT_GRANT,
                                         .grant_id = effect->lot.id,
                                         .name = bytes_of_text(words_category(category)),
                                         .cause = cause,
                                     });
    row->delta += delta;
    return true;
}

/* What each grant's account has after its last row is what the last effect says; rows before it are
 * reckoned back from there. */
static void fill_grant_accounts(const struct fact *fact, struct projection *projection)
{
    for (uint32_t i = projection->balance_count; i-- > 0;) {
        struct balance_row *row = &projection->balances[i];
        if (row->account != ACCOUNT_GRANT) continue;
        uint32_t later = i + 1;
        while (later < projection->balance_count &&
               projection->balances[later].grant_id != row->grant_id)
            later++;
        if (later < projection->balance_count) {
            row->account_after =
                projection->balances[later].account_after - projection->balances[later].delta;
            continue;
        }
        for (uint32_t e = fact->effect_count; e-- > 0;) {
            const struct effect *effect = &fact->effects[e];
            if (effect->kind != EFFECT_LOT || effect->lot.id != row->grant_id) continue;
            row->account_after = effect->lot.remaining_after + effect->lot.held_after;
            break;
        }
    }
}

static void project_debt(const struct projection_parts *parts, struct projection *projection,
                         const struct effect *effect)
{
    /* It leaves what is held: known where the fact has moved a lot before. */
    if (projection->says_settled) projection->settled_after += effect->debt.delta;
    const enum balance_cause cause = effect->debt.delta < 0 ? CAUSE_DEBT : CAUSE_REPAYMENT;
    struct balance_row *row =
        row_of(parts, projection, (struct balance_row){.account = ACCOUNT_DEBT, .cause = cause});
    row->delta += effect->debt.delta;
    row->account_after = effect->debt.after;
}

static bool project_overage(const struct projection_parts *parts, struct projection *projection,
                            uint32_t source, enum balance_cause cause, int64_t delta)
{
    if (delta == 0) return true;
    if (!symbol_is_known(parts->symbols, source))
        return complain(projection, "an overage has no name");
    struct balance_row *row = row_of(parts, projection,
                                     (struct balance_row){
                                         .account = ACCOUNT_OVERAGE,
                                         .overage = source,
                                         .name = words_name(parts->symbols, source),
                                         .cause = cause,
                                     });
    row->delta += delta;
    return true;
}

/* Overage is outside the four balance numbers: its charges are in the report alone. Holds of it
 * move nothing. */
static bool project_overage_lines(const struct projection_parts *parts,
                                  struct projection *projection)
{
    const struct report *report = &parts->fact->report;
    const bool is_refund = parts->command->kind == COMMAND_REFUND;
    if (!projection->has_monetization && !is_refund) return true;
    for (uint32_t i = 0; i < report->line_count; i++) {
        const struct line *line = &report->lines[i];
        if (line->kind != SOURCE_OVERAGE) continue;
        if (!project_overage(parts, projection, line->source,
                             is_refund ? CAUSE_REFUND : CAUSE_CHARGE,
                             is_refund ? line->charged : -line->charged))
            return false;
    }
    return true;
}

/* H3: refunded first, charged second, so that no running balance is below zero; or booked. A debt
 * has moved by its effect. */
static bool project_overshoot(const struct projection_parts *parts, struct projection *projection)
{
    const struct overshoot *overshoot = &parts->fact->report.overshoot;
    if (!parts->fact->report.has_overshoot || overshoot->charged == 0) return true;
    if (overshoot->booked == OVERSHOOT_OVERAGE)
        return project_overage(parts, projection, overshoot->overage, CAUSE_OVERSHOOT_CHARGE,
                               -overshoot->charged);
    if (overshoot->booked != OVERSHOOT_REFUND) return true;
    struct balance_row *row =
        row_of(parts, projection,
               (struct balance_row){.account = ACCOUNT_OVERSHOOT, .cause = CAUSE_OVERSHOOT_REFUND});
    row->delta = overshoot->charged;
    row->account_after = overshoot->charged;
    row =
        row_of(parts, projection,
               (struct balance_row){.account = ACCOUNT_OVERSHOOT, .cause = CAUSE_OVERSHOOT_CHARGE});
    row->delta = -overshoot->charged;
    return true;
}

static bool project_balances(const struct projection_parts *parts, struct projection *projection)
{
    const struct fact *fact = parts->fact;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind == EFFECT_LOT && !project_lot(parts, projection, effect)) return false;
        if (effect->kind == EFFECT_DEBT) project_debt(parts, projection, effect);
    }
    /* Movements of one account for one cause that cancel out moved nothing. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < projection->balance_count; i++) {
        if (projection->balances[i].delta == 0) continue;
        projection->balances[kept] = projection->balances[i];
        projection->balances[kept].place = kept;
        kept++;
    }
    projection->balance_count = kept;
    fill_grant_accounts(fact, projection);
    return project_overage_lines(parts, projection) && project_overshoot(parts, projection);
}

/* --- the rest -------------------------------------------------------------------------------- */

/* An empty text is none. */
static struct bytes said(struct bytes text)
{
    return text.length == 0 ? BYTES_NONE : text;
}

static void project_refund(const struct projection_parts *parts, struct projection *projection)
{
    const struct report *report = &parts->fact->report;
    if (parts->command->kind != COMMAND_REFUND || report->nano == 0) return;
    projection->has_refund = true;
    projection->refund = (struct refund_row){
        .decision = parts->command->target,
        .position = parts->fact->position,
        .at_ms = parts->fact->at_ms,
        .customer = parts->customer,
        .credits = report->nano,
        .expired = report->expired,
        .reason = said(parts->command->reason),
        .actor = said(parts->command->actor),
    };
}

static bool put_features(const struct projection_parts *parts, struct projection *projection,
                         const struct effect *effect, struct bytes *features_out)
{
    struct buffer *text = &projection->text;
    const size_t start = text->used;
    buffer_put_byte(text, '[');
    for (uint32_t i = 0; i < effect->grant.feature_count; i++) {
        if (!symbol_is_known(parts->symbols, effect->grant.features[i]))
            return complain(projection, "a grant is for a feature that no policy had");
        json_text(text, words_name(parts->symbols, effect->grant.features[i]));
    }
    buffer_put_byte(text, ']');
    *features_out = written(projection, start);
    return true;
}

static bool project_grant(const struct projection_parts *parts, struct projection *projection)
{
    const struct fact *fact = parts->fact;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_GRANT) continue;
        const bool recurs = effect->grant.recurring != SYMBOL_NONE;
        if (recurs && !symbol_is_known(parts->symbols, effect->grant.recurring))
            return complain(projection, "a grant is of a rule that no policy had");
        projection->has_grant = true;
        projection->grant = (struct grant_row){
            .id = effect->grant.id,
            .at_ms = acts_at(parts),
            .customer = parts->customer,
            .category = effect->grant.category,
            .priority = effect->grant.priority,
            .credits = effect->grant.amount,
            .effective_ms = effect->grant.effective_ms,
            .expires_ms = effect->grant.expires_ms,
            .recurring = recurs ? words_name(parts->symbols, effect->grant.recurring) : BYTES_NONE,
            .reason = said(parts->command->reason),
            .actor = said(parts->command->actor),
        };
        return put_features(parts, projection, effect, &projection->grant.features);
    }
    return true;
}

static void project_policy(const struct projection_parts *parts, struct projection *projection)
{
    const struct fact *fact = parts->fact;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        if (fact->effects[i].kind != EFFECT_POLICY) continue;
        projection->has_policy = true;
        projection->policy = (struct policy_row){
            .position = fact->position,
            .version = fact->effects[i].policy.version,
            .installed_ms = fact->at_ms,
            .yaml = parts->command->yaml,
            .actor = said(parts->command->actor),
        };
    }
}

bool project(const struct projection_parts *parts, struct projection *projection)
{
    projection->has_usage = false;
    projection->has_monetization = false;
    projection->balance_count = 0;
    projection->has_refund = false;
    projection->has_grant = false;
    projection->has_policy = false;
    projection->says_settled = false;
    projection->complaint = NULL;
    projection->text.used = 0;
    const uint64_t decision = projection_decision(parts->command, parts->fact);
    ENSURE((decision == 0) == (parts->decision == NULL));

    enum usage_kind kind;
    if (usage_kind_of(parts, &kind)) {
        projection->has_usage = true;
        if (!project_usage(parts, projection, kind)) return false;
        if (kind_settles(kind) && !project_price(parts, projection)) return false;
    }
    if (!project_grant(parts, projection)) return false;
    if (!project_balances(parts, projection)) return false;
    project_refund(parts, projection);
    project_policy(parts, projection);
    ENSURE(!projection->text.overflowed);
    return true;
}
