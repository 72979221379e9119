/*
 * prices.c: price rules to numerators over one denominator (SEMANTICS U3).
 *
 * A rate of `credits` per `per` units is the fraction credits x 10^9 / per nano-credits. The
 * denominator that clears all rates of a rule is the least common multiple of theirs in lowest
 * terms. A multiplier attribute adds its own factor `one_num`: the power of ten that clears the
 * decimals of all its values, reduced by what they have in common. Their product is q, and what a
 * request costs is an integer over q whatever it asks for.
 */
#include "policy/prices.h"

#include <stdlib.h>
#include <string.h>

/* Every text with its length, every number, and the counts, at their longest. */
#define CANONICAL_BYTES_MAX                                                                        \
    (2 * (NAME_BYTES_MAX + VARINT_BYTES_MAX) + 5 * VARINT_BYTES_MAX +                              \
     MATCHES_MAX * (ATTRIBUTE_NAME_BYTES_MAX + ATTRIBUTE_VALUE_BYTES_MAX + 2 * VARINT_BYTES_MAX) + \
     METERS_MAX * (NAME_BYTES_MAX + 3 * VARINT_BYTES_MAX) +                                        \
     MULTIPLIERS_MAX *                                                                             \
         (ATTRIBUTE_NAME_BYTES_MAX + 2 * VARINT_BYTES_MAX +                                        \
          MULTIPLIER_VALUES_MAX * (ATTRIBUTE_VALUE_BYTES_MAX + 3 * VARINT_BYTES_MAX)))

static int match_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct price_match *)left)->attribute,
                         ((const struct price_match *)right)->attribute);
}

static bool match_read(struct compiler *compiler, const struct node *node,
                       struct price_draft *draft)
{
    if (!read_mapping(compiler, node, 0, MATCHES_MAX, "attributes to match")) return false;
    draft->match = arena_take_sized(compiler->scratch, node->count * sizeof draft->match[0]);
    bool is_sound = true;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        struct bytes value = BYTES_NONE;
        const bool is_named = check_name(compiler, child->key_place, child->key);
        if (!read_text(compiler, child, ATTRIBUTE_VALUE_BYTES_MAX, &value) || !is_named) {
            is_sound = false;
            continue;
        }
        draft->match[draft->match_count++] = (struct price_match){
            .attribute = bytes_kept(compiler, child->key), .value = bytes_kept(compiler, value)};
    }
    qsort(draft->match, draft->match_count, sizeof draft->match[0], match_compare);
    return is_sound;
}

static int rate_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct price_rate *)left)->meter,
                         ((const struct price_rate *)right)->meter);
}

static bool rate_read(struct compiler *compiler, const struct node *node, struct price_rate *rate)
{
    enum { CREDITS, PER, KEYS };
    static const struct key keys[KEYS] = {
        [CREDITS] = {"credits", true},
          [PER] = {    "per", true}
    };
    const struct node *values[KEYS];
    if (!read_keys(compiler, node, keys, KEYS, values)) return false;
    int64_t nano = 0;
    uint64_t per = 1;
    const bool has_credits =
        values[CREDITS] != NULL && read_decimal(compiler, values[CREDITS], CREDITS_ANY, &nano);
    const bool has_per =
        values[PER] != NULL &&
        read_whole(compiler, values[PER], (struct whole_range){1, QUANTITY_MAX}, &per);
    if (!has_credits || !has_per) return false;
    const uint64_t common = number_gcd((uint64_t)nano, per);
    rate->meter = node->key;
    rate->place = node->key_place;
    rate->num = (uint64_t)nano / common;
    rate->den = per / common;
    return true;
}

static bool rates_read(struct compiler *compiler, const struct node *node,
                       struct price_draft *draft)
{
    if (!read_mapping(compiler, node, 0, METERS_MAX, "rates by meter")) return false;
    draft->rates = arena_take_sized(compiler->scratch, node->count * sizeof draft->rates[0]);
    bool is_sound = true;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        if (!check_name(compiler, child->key_place, child->key) ||
            !rate_read(compiler, child, &draft->rates[draft->rate_count]))
            is_sound = false;
        else
            draft->rate_count++;
    }
    qsort(draft->rates, draft->rate_count, sizeof draft->rates[0], rate_compare);
    return is_sound;
}

struct factor {
    struct bytes value;
    uint64_t nano; /* billionths */
};

static int factor_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct factor *)left)->value,
                         ((const struct factor *)right)->value);
}

static const struct decimal_range factor_range = {
    0, INT64_MAX,
    "a factor as a decimal such as \"1.5\", from 0 to 9223372036, with at most 9 decimals"};

static bool multiplier_read(struct compiler *compiler, const struct node *node,
                            struct price_multiplier *multiplier)
{
    const bool is_named = check_name(compiler, node->key_place, node->key);
    if (!read_mapping(compiler, node, 1, MULTIPLIER_VALUES_MAX, "factors by value") || !is_named)
        return false;
    struct factor factors[MULTIPLIER_VALUES_MAX];
    uint32_t count = 0;
    uint64_t common = (uint64_t)NANO_PER_CREDIT;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        int64_t nano = 0;
        if (child->key.length == 0 || child->key.length > ATTRIBUTE_VALUE_BYTES_MAX) {
            complaints_add(compiler->complaints, child->key_place,
                           "'%s' cannot be an attribute's value, expected 1 to %u bytes",
                           quote(child->key).text, ATTRIBUTE_VALUE_BYTES_MAX);
        } else if (read_decimal(compiler, child, factor_range, &nano)) {
            factors[count++] = (struct factor){child->key, (uint64_t)nano};
            common = number_gcd(common, (uint64_t)nano);
        }
    }
    if (count != node->count) return false;
    qsort(factors, count, sizeof factors[0], factor_compare);
    multiplier->attribute = bytes_kept(compiler, node->key);
    multiplier->one_num = (uint64_t)NANO_PER_CREDIT / common;
    multiplier->value_count = count;
    for (uint32_t place = 0; place < count; place++) {
        multiplier->value[place] = bytes_kept(compiler, factors[place].value);
        multiplier->num[place] = factors[place].nano / common;
    }
    return true;
}

static int multiplier_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct price_multiplier *)left)->attribute,
                         ((const struct price_multiplier *)right)->attribute);
}

static bool multipliers_read(struct compiler *compiler, const struct node *node,
                             struct price_draft *draft)
{
    if (!read_mapping(compiler, node, 0, MULTIPLIERS_MAX, "attributes that multiply")) return false;
    if (node->count == 0) return true;
    draft->multipliers =
        arena_take_sized(compiler->kept, node->count * sizeof draft->multipliers[0]);
    bool is_sound = true;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        if (multiplier_read(compiler, child, &draft->multipliers[draft->multiplier_count]))
            draft->multiplier_count++;
        else
            is_sound = false;
    }
    qsort(draft->multipliers, draft->multiplier_count, sizeof draft->multipliers[0],
          multiplier_compare);
    return is_sound;
}

/* The largest factor that the attributes of a request can pick. */
static bool product_largest(const struct price_draft *draft, uint64_t *product_out)
{
    uint64_t product = 1;
    for (uint32_t place = 0; place < draft->multiplier_count; place++) {
        const struct price_multiplier *multiplier = &draft->multipliers[place];
        uint64_t largest = multiplier->one_num;
        for (uint32_t value = 0; value < multiplier->value_count; value++)
            if (multiplier->num[value] > largest) largest = multiplier->num[value];
        if (!number_multiply_u64(product, largest, &product)) return false;
    }
    *product_out = product;
    return true;
}

static bool denominator_of(struct price_draft *draft)
{
    uint64_t rates_den = 1;
    for (uint32_t place = 0; place < draft->rate_count; place++)
        if (!number_lcm(rates_den, draft->rates[place].den, &rates_den)) return false;
    uint64_t q = rates_den;
    for (uint32_t place = 0; place < draft->multiplier_count; place++)
        if (!number_multiply_u64(q, draft->multipliers[place].one_num, &q)) return false;
    draft->rates_den = rates_den;
    draft->q = q;
    return q <= PRICE_DENOMINATOR_MAX;
}

/* What the engine may rely on: q up to 2^62, every numerator within 64 bits (policy.h). */
static bool numbers_fit(struct compiler *compiler, struct price_draft *draft)
{
    if (!denominator_of(draft)) {
        complaints_add(compiler->complaints, draft->place,
                       "the common denominator of rule '%s' is beyond 2^62, expected rates and "
                       "factors with fewer decimals, or a rounder 'per'",
                       quote(draft->name).text);
        return false;
    }
    uint64_t product = 0;
    bool does_fit = product_largest(draft, &product);
    for (uint32_t place = 0; does_fit && place < draft->rate_count; place++) {
        const struct price_rate *rate = &draft->rates[place];
        uint64_t num = 0;
        does_fit = number_multiply_u64(rate->num, draft->rates_den / rate->den, &num) &&
                   number_multiply_u64(num, product, &num);
    }
    if (!does_fit)
        complaints_add(compiler->complaints, draft->place,
                       "the largest price of rule '%s' does not fit 64 bits over its common "
                       "denominator, expected lower rates or factors, or fewer decimals",
                       quote(draft->name).text);
    return does_fit;
}

/* Free of the file's order and formatting; a rate of zero is the same as none. */
static uint64_t version_of(struct bytes list, const struct price_draft *draft, uint8_t *work)
{
    struct buffer buffer = buffer_over(work, CANONICAL_BYTES_MAX);
    buffer_put_bytes(&buffer, list);
    buffer_put_bytes(&buffer, draft->name);
    buffer_put_unsigned(&buffer, draft->match_count);
    for (uint32_t place = 0; place < draft->match_count; place++) {
        buffer_put_bytes(&buffer, draft->match[place].attribute);
        buffer_put_bytes(&buffer, draft->match[place].value);
    }
    buffer_put_signed(&buffer, draft->from_ms);
    uint32_t priced = 0;
    for (uint32_t place = 0; place < draft->rate_count; place++)
        if (draft->rates[place].num != 0) priced++;
    buffer_put_unsigned(&buffer, priced);
    for (uint32_t place = 0; place < draft->rate_count; place++) {
        if (draft->rates[place].num == 0) continue;
        buffer_put_bytes(&buffer, draft->rates[place].meter);
        buffer_put_unsigned(&buffer, draft->rates[place].num);
        buffer_put_unsigned(&buffer, draft->rates[place].den);
    }
    buffer_put_unsigned(&buffer, draft->multiplier_count);
    for (uint32_t place = 0; place < draft->multiplier_count; place++) {
        const struct price_multiplier *multiplier = &draft->multipliers[place];
        buffer_put_bytes(&buffer, multiplier->attribute);
        buffer_put_unsigned(&buffer, multiplier->value_count);
        for (uint32_t value = 0; value < multiplier->value_count; value++) {
            const uint64_t common = number_gcd(multiplier->num[value], multiplier->one_num);
            buffer_put_bytes(&buffer, multiplier->value[value]);
            buffer_put_unsigned(&buffer, multiplier->num[value] / common);
            buffer_put_unsigned(&buffer, multiplier->one_num / common);
        }
    }
    buffer_put_signed(&buffer, draft->minimum_nano);
    ENSURE(!buffer.overflowed);
    const struct hash_key no_key = {
        {0, 0}
    };
    const uint64_t version = hash_64(no_key, buffer_bytes(&buffer));
    return version == 0 ? 1 : version;
}

/* The symbol of a rule is "list/rule", and symbols have a ceiling. */
static bool rule_name_read(struct compiler *compiler, const struct node *node, struct bytes list,
                           struct bytes *name_out)
{
    struct bytes name = BYTES_NONE;
    if (!read_name(compiler, node, &name)) return false;
    if (list.length + 1 + name.length > NAME_BYTES_MAX) {
        complaints_add(compiler->complaints, node->place,
                       "the full name '%s/%s' is too long, expected at most %u bytes",
                       quote(list).text, quote(name).text, NAME_BYTES_MAX);
        return false;
    }
    *name_out = name;
    return true;
}

static void rule_read(struct compiler *compiler, const struct node *node, struct bytes list,
                      struct price_draft *draft)
{
    enum { NAME, MATCH, FROM, RATES, MULTIPLY, MINIMUM, KEYS };
    static const struct key keys[KEYS] = {
        [NAME] = {    "name",  true},
          [MATCH] = {   "match", false},
          [FROM] = {    "from", false},
        [RATES] = {   "rates",  true},
          [MULTIPLY] = {"multiply", false},
          [MINIMUM] = { "minimum", false},
    };
    const struct node *values[KEYS];
    draft->place = node->place;
    if (!read_keys(compiler, node, keys, KEYS, values)) return;
    bool is_sound = values[NAME] != NULL && values[RATES] != NULL;
    if (values[NAME] != NULL)
        is_sound &= rule_name_read(compiler, values[NAME], list, &draft->name);
    if (values[MATCH] != NULL) is_sound &= match_read(compiler, values[MATCH], draft);
    if (values[FROM] != NULL) is_sound &= read_instant(compiler, values[FROM], &draft->from_ms);
    if (values[RATES] != NULL) is_sound &= rates_read(compiler, values[RATES], draft);
    if (values[MULTIPLY] != NULL) is_sound &= multipliers_read(compiler, values[MULTIPLY], draft);
    if (values[MINIMUM] != NULL)
        is_sound &= read_decimal(compiler, values[MINIMUM], CREDITS_ANY, &draft->minimum_nano);
    draft->is_sound = is_sound && numbers_fit(compiler, draft);
}

static bool is_same_match(const struct price_draft *left, const struct price_draft *right)
{
    if (left->match_count != right->match_count) return false;
    for (uint32_t place = 0; place < left->match_count; place++)
        if (!bytes_equal(left->match[place].attribute, right->match[place].attribute) ||
            !bytes_equal(left->match[place].value, right->match[place].value))
            return false;
    return true;
}

/* Whether one request can match both: no attribute of which they want different values. */
static bool is_compatible(const struct price_draft *left, const struct price_draft *right)
{
    for (uint32_t here = 0; here < left->match_count; here++)
        for (uint32_t there = 0; there < right->match_count; there++)
            if (bytes_equal(left->match[here].attribute, right->match[there].attribute) &&
                !bytes_equal(left->match[here].value, right->match[there].value))
                return false;
    return true;
}

/* A rule is in force until a later one with the same match takes over, so some rule of every match
 * is in force for ever: two that can meet do meet, whatever their `from` (SEMANTICS U6). */
static bool do_conflict(struct compiler *compiler, const struct price_draft *earlier,
                        const struct price_draft *later)
{
    const uint32_t line = earlier->place.line;
    if (bytes_equal(earlier->name, later->name) && earlier->from_ms == later->from_ms) {
        complaints_add(compiler->complaints, later->place,
                       "the rule in line %u has the same name '%s' and the same 'from', expected "
                       "another name or another 'from'",
                       line, quote(later->name).text);
        return true;
    }
    if (is_same_match(earlier, later)) {
        if (earlier->from_ms != later->from_ms) return false;
        complaints_add(compiler->complaints, later->place,
                       "the rule '%s' in line %u has the same match and the same 'from', expected "
                       "another match or a later 'from'",
                       quote(earlier->name).text, line);
        return true;
    }
    if (earlier->match_count != later->match_count || !is_compatible(earlier, later)) return false;
    complaints_add(compiler->complaints, later->place,
                   "a request can match this rule and '%s' in line %u alike, expected one of them "
                   "to match more attributes, or another value of the same attribute",
                   quote(earlier->name).text, line);
    return true;
}

static bool rules_compare(struct compiler *compiler, struct price_list *list)
{
    bool is_sound = true;
    for (uint32_t later = 0; later < list->rule_count; later++) {
        struct price_draft *draft = &list->rules[later];
        draft->file_order = later;
        if (!draft->is_sound) {
            is_sound = false;
            continue;
        }
        for (uint32_t earlier = later; earlier-- > 0;)
            if (list->rules[earlier].is_sound && is_same_match(&list->rules[earlier], draft))
                draft->file_order = list->rules[earlier].file_order;
        for (uint32_t earlier = 0; earlier < later; earlier++) {
            if (!list->rules[earlier].is_sound) continue;
            if (!do_conflict(compiler, &list->rules[earlier], draft)) continue;
            is_sound = false;
            break;
        }
    }
    return is_sound;
}

/* The order of policy_feature.rules: the first that matches and is in force wins. */
static int draft_compare(const void *left, const void *right)
{
    const struct price_draft *one = left, *other = right;
    if (one->match_count != other->match_count)
        return one->match_count > other->match_count ? -1 : 1;
    if (one->file_order != other->file_order) return one->file_order < other->file_order ? -1 : 1;
    return (one->from_ms < other->from_ms) - (one->from_ms > other->from_ms);
}

static void list_read(struct compiler *compiler, const struct node *node, uint8_t *work,
                      struct price_list *list)
{
    list->name = node->key;
    const bool is_named = check_name(compiler, node->key_place, node->key);
    if (!read_list(compiler, node, 1, PRICE_RULES_MAX, "price rules")) return;
    list->rules = arena_take_sized(compiler->scratch, node->count * sizeof list->rules[0]);
    for (const struct node *child = node->first; child != NULL; child = child->next)
        rule_read(compiler, child, list->name, &list->rules[list->rule_count++]);
    list->is_sound = rules_compare(compiler, list) && is_named;
    if (!list->is_sound) return;
    qsort(list->rules, list->rule_count, sizeof list->rules[0], draft_compare);
    for (uint32_t place = 0; place < list->rule_count; place++)
        list->rules[place].version = version_of(list->name, &list->rules[place], work);
}

struct price_book prices_read(struct compiler *compiler, const struct node *node)
{
    struct price_book book = {0};
    if (!read_mapping(compiler, node, 0, PRICE_LISTS_MAX, "price lists by name")) return book;
    uint8_t *work = arena_take_sized(compiler->scratch, CANONICAL_BYTES_MAX);
    book.lists = arena_take_sized(compiler->scratch, node->count * sizeof book.lists[0]);
    book.names = arena_take_sized(compiler->scratch, node->count * sizeof book.names[0]);
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        book.names[book.count] = child->key;
        list_read(compiler, child, work, &book.lists[book.count++]);
    }
    return book;
}

static uint32_t rule_symbol(struct compiler *compiler, struct bytes list,
                            const struct price_draft *draft)
{
    uint8_t text[NAME_BYTES_MAX];
    struct buffer name = buffer_over(text, sizeof text);
    buffer_put(&name, list.at, list.length);
    buffer_put_byte(&name, '/');
    buffer_put(&name, draft->name.at, draft->name.length);
    ENSURE(!name.overflowed);
    return names_symbol(&compiler->names, draft->place, buffer_bytes(&name));
}

static void complain_no_meter(struct compiler *compiler, const struct price_rate *rate,
                              struct bytes feature_name, const struct bytes *meters, uint32_t count)
{
    const struct bytes best = suggest_among(compiler, rate->meter, meters, count);
    if (best.length > 0)
        complaints_add(compiler->complaints, rate->place,
                       "feature '%s' has no meter '%s', did you mean '%s'?",
                       quote(feature_name).text, quote(rate->meter).text, quote(best).text);
    else
        complaints_add(compiler->complaints, rate->place,
                       "feature '%s' has no meter '%s', expected one of its meters",
                       quote(feature_name).text, quote(rate->meter).text);
}

static void rates_bind(struct compiler *compiler, const struct price_draft *draft,
                       struct bytes feature_name, const struct bytes *meters,
                       const struct policy_feature *feature, struct price_rule *rule)
{
    for (uint32_t place = 0; place < draft->rate_count; place++) {
        const struct price_rate *rate = &draft->rates[place];
        uint32_t meter = 0;
        while (meter < feature->meter_count && !bytes_equal(meters[meter], rate->meter))
            meter++;
        if (meter == feature->meter_count)
            complain_no_meter(compiler, rate, feature_name, meters, feature->meter_count);
        else if (feature->unit != UNIT_COST && meter != feature->unit)
            complaints_add(compiler->complaints, rate->place,
                           "feature '%s' is priced by its unit alone, expected a rate for '%s' "
                           "only, or 'unit: cost'",
                           quote(feature_name).text, quote(meters[feature->unit]).text);
        else
            rule->base_num[meter] = rate->num * (draft->rates_den / rate->den);
    }
}

void prices_bind(struct compiler *compiler, const struct price_list *list,
                 struct bytes feature_name, const struct bytes *meters,
                 struct policy_feature *feature)
{
    if (!list->is_sound) return;
    struct price_rule *rules = arena_take_sized(compiler->kept, list->rule_count * sizeof rules[0]);
    for (uint32_t place = 0; place < list->rule_count; place++) {
        const struct price_draft *draft = &list->rules[place];
        struct price_rule *rule = &rules[place];
        rule->version = draft->version;
        rule->name = rule_symbol(compiler, list->name, draft);
        rule->match_count = draft->match_count;
        for (uint32_t at = 0; at < draft->match_count; at++)
            rule->match[at] = draft->match[at];
        rule->from_ms = draft->from_ms;
        rule->q = draft->q;
        rule->minimum_nano = draft->minimum_nano;
        rule->multiplier_count = draft->multiplier_count;
        rule->multipliers = draft->multipliers;
        rates_bind(compiler, draft, feature_name, meters, feature, rule);
    }
    feature->rules = rules;
    feature->rule_count = list->rule_count;
}
