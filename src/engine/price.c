#include "engine/price.h"

static const struct attribute *attribute_named(const struct command *command, struct bytes name)
{
    for (uint32_t i = 0; i < command->attribute_count; i++)
        if (bytes_equal(command->attributes[i].name, name)) return &command->attributes[i];
    return NULL;
}

static bool rule_matches(const struct price_rule *rule, const struct command *command)
{
    for (uint32_t i = 0; i < rule->match_count; i++) {
        const struct attribute *given = attribute_named(command, rule->match[i].attribute);
        if (given == NULL || !bytes_equal(given->value, rule->match[i].value)) return false;
    }
    return true;
}

/* The rules' order makes the first that matches and is in force the one; NULL: none is. */
static const struct price_rule *rule_in_force(const struct policy_feature *feature,
                                              const struct command *command, int64_t now_ms)
{
    for (uint32_t i = 0; i < feature->rule_count; i++) {
        const struct price_rule *rule = &feature->rules[i];
        if (now_ms >= rule->from_ms && rule_matches(rule, command)) return rule;
    }
    return NULL;
}

/* The product of the picked multipliers; 1 = one_num / one_num for an absent attribute. */
static struct problem rule_multiply(const struct price_rule *rule, const struct command *command,
                                    uint64_t *product_out)
{
    uint64_t product = 1;
    for (uint32_t i = 0; i < rule->multiplier_count; i++) {
        const struct price_multiplier *multiplier = &rule->multipliers[i];
        const struct attribute *given = attribute_named(command, multiplier->attribute);
        if (given == NULL) {
            product *= multiplier->one_num;
            continue;
        }
        uint32_t pick = 0;
        while (pick < multiplier->value_count &&
               !bytes_equal(multiplier->value[pick], given->value))
            pick++;
        if (pick == multiplier->value_count)
            return (struct problem){.code = PROBLEM_UNLISTED_VALUE,
                                    .field = "attributes",
                                    .member = given->name,
                                    .value = given->value,
                                    .expected = "a value that the price rule lists"};
        product *= multiplier->num[pick];
    }
    *product_out = product;
    return (struct problem){0};
}

struct problem price_quote(const struct policy_feature *feature, const struct command *command,
                           int64_t now_ms, struct quote *quote_out)
{
    if (feature->rule_count == 0) {
        *quote_out = (struct quote){.q = 1};
        return (struct problem){0};
    }
    const struct price_rule *rule = rule_in_force(feature, command, now_ms);
    if (rule == NULL)
        return (struct problem){.code = PROBLEM_NO_PRICE,
                                .field = "attributes",
                                .expected = "attributes that a price rule in force matches"};
    uint64_t product = 0;
    const struct problem problem = rule_multiply(rule, command, &product);
    if (problem.code != PROBLEM_NONE) return problem;
    *quote_out = (struct quote){.version = rule->version,
                                .name = rule->name,
                                .q = rule->q,
                                .minimum_nano = rule->minimum_nano};
    for (uint32_t meter = 0; meter < feature->meter_count; meter++)
        quote_out->num[meter] = rule->base_num[meter] * product;
    return (struct problem){0};
}

int64_t price_changes_at(const struct policy_feature *feature, const struct command *command,
                         int64_t now_ms)
{
    if (feature->rule_count == 0) return INSTANT_NEVER;
    const struct price_rule *now = rule_in_force(feature, command, now_ms);
    int64_t first_ms = INSTANT_NEVER;
    for (uint32_t i = 0; i < feature->rule_count; i++) {
        const struct price_rule *rule = &feature->rules[i];
        if (rule == now) break; /* those behind it never count while it does */
        if (now_ms < rule->from_ms && rule->from_ms < first_ms && rule_matches(rule, command))
            first_ms = rule->from_ms;
    }
    return first_ms;
}

/* The attributes that a rule asks for. */
static void attributes_state(const struct price_rule *rule, struct command *out)
{
    out->attribute_count = rule->match_count;
    for (uint32_t i = 0; i < rule->match_count; i++)
        out->attributes[i] = (struct attribute){rule->match[i].attribute, rule->match[i].value};
}

static bool is_cheaper(const struct quote *one, const struct quote *other, uint32_t unit)
{
    const uint128 costs[] = {price_through(price_of_unit(one, unit), 1),
                             price_through(price_of_unit(other, unit), 1)};
    const uint128 whole[] = {costs[0] / one->q, costs[1] / other->q};
    if (whole[0] != whole[1]) return whole[0] < whole[1];
    return costs[0] % one->q * other->q < costs[1] % other->q * one->q;
}

struct problem price_quote_cheapest(const struct policy_feature *feature, uint32_t unit,
                                    int64_t now_ms, struct command *attributes_out,
                                    struct quote *quote_out)
{
    attributes_out->attribute_count = 0;
    const struct problem problem = price_quote(feature, attributes_out, now_ms, quote_out);
    if (problem.code == PROBLEM_NONE) return problem;
    const struct price_rule *cheapest = NULL;
    for (uint32_t i = 0; i < feature->rule_count; i++) {
        const struct price_rule *rule = &feature->rules[i];
        struct quote quote;
        attributes_state(rule, attributes_out);
        if (price_quote(feature, attributes_out, now_ms, &quote).code != PROBLEM_NONE) continue;
        if (cheapest != NULL && !is_cheaper(&quote, quote_out, unit)) continue;
        cheapest = rule;
        *quote_out = quote;
    }
    attributes_out->attribute_count = 0;
    if (cheapest == NULL) return problem;
    attributes_state(cheapest, attributes_out);
    return (struct problem){0};
}

uint128 price_cost(const struct quote *quote, const uint64_t quantities[METERS_MAX])
{
    uint128 cost = 0;
    bool any = false;
    for (uint32_t meter = 0; meter < METERS_MAX; meter++) {
        cost += (uint128)quantities[meter] * quote->num[meter];
        any = any || quantities[meter] != 0;
    }
    const uint128 minimum = (uint128)(uint64_t)quote->minimum_nano * quote->q;
    return any && cost < minimum ? minimum : cost;
}

uint64_t price_affordable(struct unit_price price, uint64_t from, uint64_t units_max, int64_t nano)
{
    if (nano < 0) return 0;
    const uint128 bound = (uint128)(uint64_t)nano * price.q + price_through(price, from);
    const uint128 minimum = (uint128)(uint64_t)price.minimum_nano * price.q;
    if (minimum > bound) return 0;
    if (price.num == 0) return units_max;
    uint64_t rest = 0;
    const uint128 units = number_divide(bound, price.num, &rest) - from;
    return units > units_max ? units_max : (uint64_t)units;
}

bool price_settle(uint128 x, uint64_t q, uint64_t *rem, int64_t *charge_out)
{
    const uint128 sum = x + *rem;
    uint64_t rest = 0;
    const uint128 charge = number_divide(sum, q, &rest);
    if (charge > (uint128)BALANCE_NANO_MAX) return false;
    *rem = rest;
    *charge_out = (int64_t)charge;
    return true;
}
