/*
 * pricing.c: see pricing.h.
 *
 * One settled usage event of cost x (a numerator over q) moves the remainder from r to s and
 * charges c, such that x + r = q * c + s with 0 <= s < q (U4). Where the unit is a meter, x follows
 * from the units that credits fund, overshoot included (U3). Where it is `cost`, x follows from the
 * quantities, and it is units, not charges, that come out.
 */
#include "proof/pricing.h"

#include <inttypes.h>
#include <stdio.h>

#include "proof/members.h"
#include "proof/verdict.h"

/* A rule as it applies: with the attributes' multipliers in it. */
struct applied {
    const struct price_rule *rule;
    uint128 num[METERS_MAX];
};

struct sources {
    uint64_t units;  /* of all lines */
    uint64_t funded; /* by grants and overage */
    int64_t charged;
};

static bool find(const struct pricing *pricing, enum dataset dataset, const char *what)
{
    book_row_place(pricing->verdict, dataset,
                   dataset == DATASET_USAGE ? pricing->usage : pricing->monetization);
    return verdict_find(pricing->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static bool find_numbers(const struct pricing *pricing, int128 expected, int128 found,
                         const char *what)
{
    verdict_expected(pricing->verdict, "%" PRId64, (int64_t)expected);
    verdict_found(pricing->verdict, "%" PRId64, (int64_t)found);
    return find(pricing, DATASET_MONETIZATION, what);
}

static struct bytes symbol_name(const struct pricing *pricing, uint32_t symbol)
{
    const struct symbols *known = &pricing->symbols;
    if (symbol >= 1 && symbol <= known->count) return known->name[symbol];
    const uint32_t place = symbol - known->count - 1;
    return place < pricing->policy->new_symbol_count ? pricing->policy->new_symbols[place]
                                                     : BYTES_NONE;
}

static const struct policy_feature *find_feature(const struct pricing *pricing)
{
    for (uint32_t i = 0; i < pricing->policy->feature_count; ++i) {
        const struct policy_feature *feature = &pricing->policy->features[i];
        if (bytes_equal(symbol_name(pricing, feature->name), pricing->usage[USAGE_feature].bytes))
            return feature;
    }
    return NULL;
}

/* --- rules ----------------------------------------------------------------------------------- */

static bool attribute(const struct pricing *pricing, struct bytes name, struct member *member_out)
{
    struct members members = members_of_object(pricing->usage[USAGE_attributes].bytes);
    while (members_next(&members, member_out))
        if (member_out->is_text && bytes_equal(member_out->name, name)) return true;
    return false;
}

static bool matches(const struct pricing *pricing, const struct price_rule *rule)
{
    struct member given;
    for (uint32_t i = 0; i < rule->match_count; ++i)
        if (!attribute(pricing, rule->match[i].attribute, &given) ||
            !bytes_equal(given.text, rule->match[i].value))
            return false;
    return true;
}

/* The most attributes matched, among those the latest that is in force (U6). */
static const struct price_rule *rule_at(const struct pricing *pricing,
                                        const struct policy_feature *feature, int64_t instant_ms)
{
    const struct price_rule *best = NULL;
    for (uint32_t i = 0; i < feature->rule_count; ++i) {
        const struct price_rule *rule = &feature->rules[i];
        if (rule->from_ms > instant_ms || !matches(pricing, rule)) continue;
        if (best == NULL || rule->match_count > best->match_count ||
            (rule->match_count == best->match_count && rule->from_ms > best->from_ms))
            best = rule;
    }
    return best;
}

/* The rule in force when it was decided. Where that moment is only known within bounds, any that
 * was in force between them, the row's own first. */
static const struct price_rule *find_rule(const struct pricing *pricing,
                                          const struct policy_feature *feature)
{
    const uint64_t claimed = value_unsigned(&pricing->monetization[MONETIZATION_price_version]);
    const struct priced_hold *hold = &pricing->hold;
    const struct price_rule *first = rule_at(pricing, feature, hold->decided_from_ms);
    if (first != NULL && first->version == claimed) return first;
    for (uint32_t i = 0; i < feature->rule_count; ++i) {
        const int64_t from_ms = feature->rules[i].from_ms;
        if (from_ms <= hold->decided_from_ms || from_ms > hold->decided_to_ms) continue;
        const struct price_rule *then = rule_at(pricing, feature, from_ms);
        if (then != NULL && then->version == claimed) return then;
    }
    return first;
}

static bool multiply(const struct pricing *pricing, const struct price_rule *rule,
                     uint128 *product_out)
{
    struct member given;
    uint128 product = 1;
    for (uint32_t i = 0; i < rule->multiplier_count; ++i) {
        const struct price_multiplier *multiplier = &rule->multipliers[i];
        uint64_t factor = multiplier->one_num;
        if (attribute(pricing, multiplier->attribute, &given)) {
            uint32_t pick = 0;
            while (pick < multiplier->value_count &&
                   !bytes_equal(multiplier->value[pick], given.text))
                ++pick;
            if (pick == multiplier->value_count) {
                verdict_found(pricing->verdict, "%.*s", (int)given.text.length,
                              (const char *)given.text.at);
                return find(pricing, DATASET_USAGE,
                            "it has an attribute for which its price rule lists no factor");
            }
            factor = multiplier->num[pick];
        }
        if (!number_multiply_u128(product, factor, &product))
            return find(pricing, DATASET_USAGE, "its price is beyond counting");
    }
    *product_out = product;
    return true;
}

static bool apply_rule(const struct pricing *pricing, const struct policy_feature *feature,
                       struct applied *applied_out)
{
    const struct value *row = pricing->monetization;
    const struct price_rule *rule = find_rule(pricing, feature);
    if (rule == NULL) return find(pricing, DATASET_USAGE, "no price rule matches its attributes");
    const struct bytes name = symbol_name(pricing, rule->name);
    if (rule->version != value_unsigned(&row[MONETIZATION_price_version]) ||
        row[MONETIZATION_price].kind != VALUE_TEXT ||
        !bytes_equal(row[MONETIZATION_price].bytes, name) ||
        rule->q != value_unsigned(&row[MONETIZATION_q])) {
        verdict_expected(pricing->verdict, "%.*s, version %" PRId64 ", q %" PRIu64,
                         (int)name.length, (const char *)name.at, (int64_t)rule->version, rule->q);
        verdict_found(pricing->verdict, "%.*s, version %" PRId64 ", q %" PRIu64,
                      (int)row[MONETIZATION_price].bytes.length,
                      (const char *)row[MONETIZATION_price].bytes.at,
                      row[MONETIZATION_price_version].integer,
                      value_unsigned(&row[MONETIZATION_q]));
        return find(pricing, DATASET_MONETIZATION,
                    "it is priced by another rule than its attributes pick");
    }
    uint128 product = 1;
    *applied_out = (struct applied){.rule = rule};
    if (!multiply(pricing, rule, &product)) return false;
    for (uint32_t i = 0; i < feature->meter_count; ++i)
        if (!number_multiply_u128(product, rule->base_num[i], &applied_out->num[i]))
            return find(pricing, DATASET_USAGE, "its price is beyond counting");
    return true;
}

/* --- costs ----------------------------------------------------------------------------------- */

static bool at_least_minimum(const struct price_rule *rule, uint128 *cost)
{
    uint128 minimum = 0;
    if (!number_multiply_u128(rule->q, (uint64_t)rule->minimum_nano, &minimum)) return false;
    if (*cost < minimum) *cost = minimum;
    return true;
}

/* f(u) = max(u * num, minimum * q), f(0) = 0 */
static bool cost_of_units(const struct applied *applied, uint32_t meter, uint64_t units,
                          uint128 *cost_out)
{
    *cost_out = 0;
    if (units == 0) return true;
    return number_multiply_u128(applied->num[meter], units, cost_out) &&
           at_least_minimum(applied->rule, cost_out);
}

static bool cost_of_quantities(const struct applied *applied, const uint64_t quantities[METERS_MAX],
                               uint128 *cost_out)
{
    uint128 cost = 0;
    bool is_any = false;
    for (uint32_t i = 0; i < METERS_MAX; ++i) {
        uint128 part = 0;
        if (!number_multiply_u128(applied->num[i], quantities[i], &part) ||
            !number_add_u128(cost, part, &cost))
            return false;
        is_any = is_any || quantities[i] != 0;
    }
    *cost_out = cost;
    return !is_any || at_least_minimum(applied->rule, cost_out);
}

/* --- what was used --------------------------------------------------------------------------- */

static bool take_quantities(const struct pricing *pricing, const struct policy_feature *feature,
                            struct bytes json, uint64_t requests,
                            uint64_t quantities_out[METERS_MAX])
{
    struct members members = members_of_object(json);
    struct member member;
    for (uint32_t i = 0; i < METERS_MAX; ++i)
        quantities_out[i] = i == feature->requests_meter ? requests : 0;
    while (members_next(&members, &member)) {
        uint32_t meter = 0;
        while (meter < feature->meter_count &&
               !bytes_equal(symbol_name(pricing, feature->meters[meter]), member.name))
            ++meter;
        if (meter == feature->meter_count || member.is_text || member.number < 0)
            return find(pricing, DATASET_USAGE, "it has a quantity of no meter of its feature");
        quantities_out[meter] = (uint64_t)member.number;
    }
    return !members.is_bad || find(pricing, DATASET_USAGE, "its quantities are no JSON object");
}

static bool is_text(const struct value *value, const char *text)
{
    return value->kind == VALUE_TEXT && bytes_equal(value->bytes, bytes_of_text(text));
}

static bool take_sources(const struct pricing *pricing, struct sources *sources_out)
{
    struct members members = members_of_array(pricing->usage[USAGE_sources].bytes);
    struct member member;
    struct sources sources = {0};
    while (members_next_object(&members)) {
        int64_t units = 0;
        int64_t charged = 0;
        bool is_funded = false;
        while (members_next(&members, &member)) {
            if (bytes_equal(member.name, BYTES("units"))) units = member.number;
            if (bytes_equal(member.name, BYTES("charged"))) charged = member.number;
            if (bytes_equal(member.name, BYTES("kind")))
                is_funded = bytes_equal(member.text, BYTES("grant")) ||
                            bytes_equal(member.text, BYTES("overage"));
        }
        if (units < 0 || !number_add_u64(sources.units, (uint64_t)units, &sources.units) ||
            __builtin_add_overflow(sources.charged, charged, &sources.charged) ||
            (charged != 0 && !is_funded))
            return find(pricing, DATASET_USAGE, "its sources add up to nothing that can be");
        if (is_funded) sources.funded += (uint64_t)units;
    }
    if (members.is_bad) return find(pricing, DATASET_USAGE, "its sources are no JSON array");
    *sources_out = sources;
    return true;
}

/* --- the equations --------------------------------------------------------------------------- */

/* x + before = q * settled + after */
static bool is_settled(const struct applied *applied, const struct value *row, uint128 x,
                       uint128 settled)
{
    uint128 given = 0;
    uint128 taken = 0;
    return number_add_u128(x, value_unsigned(&row[MONETIZATION_remainder_before]), &given) &&
           number_multiply_u128(applied->rule->q, settled, &taken) &&
           number_add_u128(taken, value_unsigned(&row[MONETIZATION_remainder_after]), &taken) &&
           given == taken;
}

static bool find_not_settled(const struct pricing *pricing, uint128 x, uint128 settled)
{
    const struct value *row = pricing->monetization;
    const uint64_t q = value_unsigned(&row[MONETIZATION_q]);
    const uint128 sum = x + value_unsigned(&row[MONETIZATION_remainder_before]);
    verdict_expected(pricing->verdict, "%" PRIu64 " nano-credits, remainder %" PRIu64,
                     (uint64_t)(sum / q), (uint64_t)(sum % q));
    verdict_found(pricing->verdict, "%" PRIu64 ", remainder %" PRIu64, (uint64_t)settled,
                  value_unsigned(&row[MONETIZATION_remainder_after]));
    return find(pricing, DATASET_MONETIZATION,
                "priced anew, its usage does not cost what was settled");
}

static bool is_remainder_in_range(const struct value *row)
{
    const uint64_t q = value_unsigned(&row[MONETIZATION_q]);
    return value_unsigned(&row[MONETIZATION_remainder_before]) < q &&
           value_unsigned(&row[MONETIZATION_remainder_after]) < q;
}

static bool check_meter_unit(const struct pricing *pricing, const struct applied *applied,
                             uint32_t meter, uint64_t funded)
{
    const struct value *row = pricing->monetization;
    uint128 x = 0;
    uint64_t units = 0;
    if (!number_add_u64(funded, value_unsigned(&row[MONETIZATION_overshoot_units]), &units) ||
        !cost_of_units(applied, meter, units, &x))
        return find(pricing, DATASET_USAGE, "its cost is beyond counting");
    const uint128 settled = (uint128)(uint64_t)row[MONETIZATION_charged].integer +
                            (uint64_t)row[MONETIZATION_overshoot_charged].integer;
    return is_settled(applied, row, x, settled) || find_not_settled(pricing, x, settled);
}

static bool keeps_remainder(const struct value *row)
{
    return row[MONETIZATION_remainder_before].integer == row[MONETIZATION_remainder_after].integer;
}

/* What a failed job's quantities may have been taken for (H4); and a part of a request, and a hold
 * that stands in part, are whole nano-credits that carry nothing on. A hold stands when the job
 * failed, or its commit says so by no quantities; where the journal has the hold no longer, it may.
 */
static bool check_cost_unit(const struct pricing *pricing, const struct policy_feature *feature,
                            const struct applied *applied)
{
    const struct value *usage = pricing->usage;
    const struct value *row = pricing->monetization;
    const bool is_commit = is_text(&usage[USAGE_kind], "commit");
    const bool is_failed = !is_text(&usage[USAGE_status], "succeeded");
    const uint128 units = (uint128)value_unsigned(&usage[USAGE_units_allowed]) +
                          value_unsigned(&row[MONETIZATION_overshoot_units]);
    if (is_text(&usage[USAGE_outcome], "partial"))
        return keeps_remainder(row) || find_not_settled(pricing, 0, units);

    uint64_t held[METERS_MAX] = {0};
    uint64_t used[METERS_MAX];
    const uint32_t requests_meter = feature->requests_meter;
    if (pricing->hold.has_held)
        for (uint32_t i = 0; i < METERS_MAX; ++i)
            held[i] = pricing->hold.held[i];
    else if (!take_quantities(pricing, feature, usage[USAGE_asked].bytes, 1, held))
        return false;
    const uint64_t requests = !is_commit                    ? 1
                              : requests_meter < METERS_MAX ? held[requests_meter]
                                                            : 0;
    uint128 x = 0;
    uint128 x_held = 0;
    if (!take_quantities(pricing, feature, usage[USAGE_actual].bytes, requests, used)) return false;
    if (!cost_of_quantities(applied, used, &x) || !cost_of_quantities(applied, held, &x_held))
        return find(pricing, DATASET_USAGE, "its cost is beyond counting");
    if (is_settled(applied, row, x, units)) return true;
    if (is_failed &&
        (is_settled(applied, row, 0, units) || is_settled(applied, row, x_held, units)))
        return true;
    const uint128 whole =
        (x_held + value_unsigned(&row[MONETIZATION_remainder_before])) / applied->rule->q;
    if ((is_failed || pricing->hold.is_as_held || !pricing->hold.has_held) && is_commit &&
        keeps_remainder(row) && units < whole)
        return true;
    return find_not_settled(pricing, x, units);
}

/* (b) units used = lines + overshoot, as far as the quantities say what was used. */
static bool check_used(const struct pricing *pricing, const struct policy_feature *feature)
{
    const struct value *usage = pricing->usage;
    uint64_t used[METERS_MAX];
    if (feature->unit == UNIT_COST || !is_text(&usage[USAGE_status], "succeeded") ||
        is_text(&usage[USAGE_outcome], "partial"))
        return true;
    const bool is_requests = feature->unit == feature->requests_meter;
    const uint64_t requests =
        value_unsigned(&usage[USAGE_units_allowed]) + value_unsigned(&usage[USAGE_overshoot_units]);
    if (!take_quantities(pricing, feature, usage[USAGE_actual].bytes, is_requests ? requests : 0,
                         used))
        return false;
    if (used[feature->unit] == requests) return true;
    verdict_expected(pricing->verdict, "%" PRIu64 " units", used[feature->unit]);
    verdict_found(pricing->verdict, "%" PRIu64 " in lines and overshoot", requests);
    return find(pricing, DATASET_USAGE, "what was used is not what its lines and overshoot say");
}

bool pricing_check(const struct pricing *pricing)
{
    const struct value *usage = pricing->usage;
    const struct value *row = pricing->monetization;
    const struct policy_feature *feature = find_feature(pricing);
    struct sources sources = {0};
    struct applied applied = {0};
    if (feature == NULL)
        return find(pricing, DATASET_USAGE, "its feature is not in the policy of its decision");
    if (!take_sources(pricing, &sources)) return false;
    if (sources.units != value_unsigned(&usage[USAGE_units_allowed]))
        return find_numbers(pricing, usage[USAGE_units_allowed].integer, (int128)sources.units,
                            "the units of its sources are not the units allowed");
    if (sources.charged != row[MONETIZATION_charged].integer)
        return find_numbers(pricing, sources.charged, row[MONETIZATION_charged].integer,
                            "its charge is not the sum of its sources'");
    if (sources.funded != value_unsigned(&row[MONETIZATION_units]))
        return find_numbers(pricing, (int128)sources.funded, row[MONETIZATION_units].integer,
                            "its units are not those that its sources fund with credits");
    if (!check_used(pricing, feature)) return false;
    if (feature->rule_count == 0) {
        const bool is_free = sources.charged == 0 && row[MONETIZATION_price_version].integer == 0 &&
                             row[MONETIZATION_overshoot_charged].integer == 0;
        return is_free || find(pricing, DATASET_MONETIZATION, "it charges what has no price");
    }
    if (!apply_rule(pricing, feature, &applied)) return false;
    if (!is_remainder_in_range(row))
        return find(pricing, DATASET_MONETIZATION, "a remainder is not below its denominator");
    if (feature->unit == UNIT_COST) return check_cost_unit(pricing, feature, &applied);
    return check_meter_unit(pricing, &applied, feature->unit, sources.funded);
}
