/*
 * policy_compile_test.c: what a valid file becomes. Numbers are worked out by hand beside the
 * prices that they come from. The example that newcomers start from, named by the first argument,
 * must compile, and nothing that it is mangled into may do harm.
 */
#include "base/prng.h"
#include "policy/testing.h"

#define EXAMPLE_BYTES_MAX (64u << 10)

static struct bytes example;

static const struct policy *must_compile(struct bytes yaml)
{
    static struct policy_complaints complaints;
    const struct policy *policy = compiled(yaml, &complaints);
    for (uint32_t place = 0; place < complaints.count; place++)
        print_error("%u:%u: %s\n", complaints.at[place].line, complaints.at[place].column,
                    complaints.at[place].text);
    assert_non_null(policy);
    return policy;
}

/* The name of a symbol that was not there when compiling began, or of one that was. */
static struct bytes name_of(const struct policy *policy, uint32_t symbol)
{
    assert_true(symbol >= 1 && symbol <= policy->symbol_count);
    const struct symbols *born = born_symbols();
    if (symbol <= born->count) return born->name[symbol];
    return policy->new_symbols[symbol - born->count - 1];
}

static bool is_named(const struct policy *policy, uint32_t symbol, const char *name)
{
    return bytes_equal(name_of(policy, symbol), bytes_of_text(name));
}

static const struct policy_feature *feature_named(const struct policy *policy, const char *name)
{
    for (uint32_t place = 0; place < policy->feature_count; place++)
        if (is_named(policy, policy->features[place].name, name)) return &policy->features[place];
    fail_msg("there is no feature %s", name);
    return NULL;
}

static const struct plan *plan_named(const struct policy *policy, const char *name)
{
    for (uint32_t place = 0; place < policy->plan_count; place++)
        if (is_named(policy, policy->plans[place].name, name)) return &policy->plans[place];
    fail_msg("there is no plan %s", name);
    return NULL;
}

static const struct plan_feature *plan_feature_named(const struct policy *policy, const char *plan,
                                                     const char *feature)
{
    const struct plan *in = plan_named(policy, plan);
    const uint32_t place = (uint32_t)(feature_named(policy, feature) - policy->features);
    for (uint32_t at = 0; at < in->feature_count; at++)
        if (in->features[at].feature == place) return &in->features[at];
    fail_msg("plan %s has no feature %s", plan, feature);
    return NULL;
}

static const struct price_rule *rule_named(const struct policy *policy, const char *feature,
                                           const char *name)
{
    const struct policy_feature *in = feature_named(policy, feature);
    for (uint32_t place = 0; place < in->rule_count; place++)
        if (is_named(policy, in->rules[place].name, name)) return &in->rules[place];
    fail_msg("feature %s has no rule %s", feature, name);
    return NULL;
}

/* The sample of the contract. */
static const char contract_sample[] =
    "version: 1\n"
    "\n"
    "defaults:\n"
    "  plan: free                # a customer never seen before starts here; omit to refuse "
    "strangers\n"
    "  hold_ttl: 60s\n"
    "  idempotency_retention: 24h\n"
    "  on_failure: none          # what a failed job costs: none | full | actual\n"
    "  overshoot: refund         # refund | debt | overage\n"
    "\n"
    "features:\n"
    "  codex:\n"
    "    meters: [requests, input_tokens, cached_tokens, output_tokens]\n"
    "    unit: cost              # the waterfall splits in nano-credits\n"
    "    divisible: true\n"
    "    prices: codex\n"
    "  sora:\n"
    "    meters: [requests, seconds]\n"
    "    unit: seconds\n"
    "    divisible: false\n"
    "    prices: sora\n"
    "  chat:\n"
    "    meters: [requests]\n"
    "    unit: requests\n"
    "    divisible: true\n"
    "    prices: chat\n"
    "\n"
    "prices:\n"
    "  codex:\n"
    "    - name: gpt-5.5\n"
    "      match: {model: gpt-5.5}\n"
    "      from: 2026-04-02T00:00:00Z\n"
    "      rates:\n"
    "        input_tokens:  {credits: \"125\",  per: 1000000}\n"
    "        cached_tokens: {credits: \"12.5\", per: 1000000}\n"
    "        output_tokens: {credits: \"750\",  per: 1000000}\n"
    "      multiply:\n"
    "        speed: {standard: \"1\", fast: \"2\"}     # absent attribute: 1; unlisted value: "
    "refused\n"
    "    - name: default\n"
    "      rates:\n"
    "        input_tokens:  {credits: \"62.5\", per: 1000000}\n"
    "        output_tokens: {credits: \"375\",  per: 1000000}\n"
    "  sora:\n"
    "    - name: video\n"
    "      rates: {seconds: {credits: \"4\", per: 1}}\n"
    "      multiply: {resolution: {480p: \"1\", 720p: \"4\"}}\n"
    "      minimum: \"4\"\n"
    "  chat:\n"
    "    - name: message\n"
    "      rates: {requests: {credits: \"1\", per: 1}}\n"
    "\n"
    "pools:\n"
    "  codex-gpu: {capacity: 2000, per: 1s, meter: requests, stale_after: 10s, safe_factor: "
    "\"0.5\"}\n"
    "\n"
    "plans:\n"
    "  free:\n"
    "    tier: 1\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, scope: customer, windows: [{limit: 10, per: day, start: "
    "calendar}]}\n"
    "          - grants: {category: promotional}\n"
    "  plus:\n"
    "    tier: 2\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: "
    "subject}\n"
    "          - concurrency: {name: in-flight, limit: 8, scope: subject}\n"
    "          - budget: {name: monthly-cap, credits: \"500\", per: month, start: calendar, scope: "
    "customer}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, scope: subject,\n"
    "                        windows: [{limit: 45, per: 5h, start: first_use},\n"
    "                                  {limit: 200, per: 7d, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: overage, credits: \"50\", per: month, start: calendar}\n"
    "      codex:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: "
    "subject, pool: codex-gpu}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, scope: subject,\n"
    "                        windows: [{credits: \"20\", per: 5h, start: first_use},\n"
    "                                  {credits: \"100\", per: 7d, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "    recurring:              # expires at the next renewal unless it says otherwise\n"
    "      - grant: {name: monthly, category: entitlement, credits: \"100\", per: month, start: "
    "anchor, rollover_max: \"50\"}\n"
    "  enterprise:\n"
    "    tier: 3\n"
    "    features:\n"
    "      sora:\n"
    "        waterfall:\n"
    "          - grants: {category: entitlement}\n"
    "          - unlimited: {}\n";

#define CREDIT (UINT64_C(1000000000))

static void the_contracts_sample_has_these_features(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(bytes_of_text(contract_sample));
    assert_true(is_named(policy, policy->default_plan, "free"));
    assert_true(policy->retention_ms == DAY_MS);
    assert_int_equal(policy->feature_count, 3);

    const struct policy_feature *codex = &policy->features[0];
    assert_true(is_named(policy, codex->name, "codex"));
    assert_int_equal(codex->meter_count, 4);
    assert_true(is_named(policy, codex->meters[0], "requests"));
    assert_true(is_named(policy, codex->meters[2], "cached_tokens"));
    assert_int_equal(codex->requests_meter, 0);
    assert_true(codex->unit == UNIT_COST);
    assert_true(codex->divisible);

    const struct policy_feature *sora = &policy->features[1];
    assert_int_equal(sora->unit, 1);
    assert_false(sora->divisible);
    assert_int_equal(sora->meters[0], codex->meters[0]);

    assert_int_equal(policy->pool_count, 1);
    const struct pool_rule *pool = &policy->pools[0];
    assert_true(is_named(policy, pool->name, "codex-gpu"));
    assert_int_equal(pool->capacity, 2000);
    assert_int_equal(pool->per_ms, SECOND_MS);
    assert_int_equal(pool->meter, codex->meters[0]);
    assert_int_equal(pool->stale_after_ms, 10 * SECOND_MS);
    assert_int_equal(pool->safe_factor_nano, CREDIT / 2);
}

static void the_contracts_sample_has_these_numerators(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(bytes_of_text(contract_sample));
    const struct policy_feature *codex = feature_named(policy, "codex");
    assert_int_equal(codex->rule_count, 2);

    /* 125 credits per million are 125 x 10^9 / 10^6 nano-credits each, a whole number: q is 1. */
    const struct price_rule *priced = &codex->rules[0];
    assert_true(is_named(policy, priced->name, "codex/gpt-5.5"));
    assert_int_equal(priced->q, 1);
    assert_int_equal(priced->base_num[0], 0);
    assert_int_equal(priced->base_num[1], 125000);
    assert_int_equal(priced->base_num[2], 12500);
    assert_int_equal(priced->base_num[3], 750000);
    assert_int_equal(priced->match_count, 1);
    assert_true(bytes_equal(priced->match[0].attribute, BYTES("model")));
    assert_true(bytes_equal(priced->match[0].value, BYTES("gpt-5.5")));
    assert_true(priced->from_ms == INT64_C(1775088000000)); /* 20545 days after 1970 */
    assert_int_equal(priced->minimum_nano, 0);
    assert_int_equal(priced->multiplier_count, 1);
    const struct price_multiplier *speed = &priced->multipliers[0];
    assert_true(bytes_equal(speed->attribute, BYTES("speed")));
    assert_int_equal(speed->one_num, 1);
    assert_int_equal(speed->value_count, 2);
    assert_true(bytes_equal(speed->value[0], BYTES("fast")));
    assert_int_equal(speed->num[0], 2);
    assert_true(bytes_equal(speed->value[1], BYTES("standard")));
    assert_int_equal(speed->num[1], 1);

    const struct price_rule *otherwise = &codex->rules[1];
    assert_true(is_named(policy, otherwise->name, "codex/default"));
    assert_int_equal(otherwise->match_count, 0);
    assert_int_equal(otherwise->from_ms, 0);
    assert_int_equal(otherwise->q, 1);
    assert_int_equal(otherwise->base_num[1], 62500);
    assert_int_equal(otherwise->base_num[2], 0);
    assert_int_equal(otherwise->base_num[3], 375000);
    assert_int_equal(otherwise->multiplier_count, 0);

    const struct price_rule *video = rule_named(policy, "sora", "sora/video");
    assert_int_equal(video->q, 1);
    assert_int_equal(video->base_num[0], 0);
    assert_int_equal(video->base_num[1], 4 * CREDIT);
    assert_int_equal(video->minimum_nano, 4 * CREDIT);
    assert_int_equal(video->multipliers[0].num[1], 4);
}

static void the_contracts_sample_has_these_plans(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(bytes_of_text(contract_sample));
    assert_int_equal(policy->plan_count, 3);
    assert_int_equal(plan_named(policy, "free")->tier, 1);
    assert_int_equal(plan_named(policy, "enterprise")->tier, 3);

    const struct plan_feature *chat = plan_feature_named(policy, "plus", "chat");
    assert_int_equal(chat->on_failure, FAILURE_NONE);
    assert_int_equal(chat->overshoot, OVERSHOOT_REFUND);
    assert_int_equal(chat->hold_ttl_ms, MINUTE_MS);
    assert_int_equal(chat->gate_count, 3);
    const struct gate_rule *pace = &chat->gates[0];
    assert_int_equal(pace->kind, GATE_RATE);
    assert_true(is_named(policy, pace->name, "pace"));
    assert_int_equal(pace->scope.kind, SCOPE_SUBJECT);
    assert_int_equal(pace->limit, 60);
    assert_int_equal(pace->burst, 20);
    assert_int_equal(pace->per_ms, MINUTE_MS);
    assert_int_equal(pace->meter, 0);
    assert_int_equal(pace->pool, 0);
    assert_int_equal(chat->gates[1].kind, GATE_CONCURRENCY);
    assert_int_equal(chat->gates[1].limit, 8);
    const struct gate_rule *cap = &chat->gates[2];
    assert_int_equal(cap->kind, GATE_BUDGET);
    assert_int_equal(cap->scope.kind, SCOPE_CUSTOMER);
    assert_true(cap->limit == 500 * CREDIT);
    assert_int_equal(cap->period.kind, PERIOD_MONTH);
    assert_int_equal(cap->period.start, START_CALENDAR);

    assert_int_equal(chat->source_count, 5);
    const struct source_rule *included = &chat->sources[0];
    assert_int_equal(included->kind, SOURCE_ALLOWANCE);
    assert_true(is_named(policy, included->name, "included"));
    assert_int_equal(included->scope.kind, SCOPE_SUBJECT);
    assert_int_equal(included->window_count, 2);
    assert_int_equal(included->windows[0].limit, 45);
    assert_int_equal(included->windows[0].period.kind, PERIOD_DURATION);
    assert_int_equal(included->windows[0].period.start, START_FIRST_USE);
    assert_int_equal(included->windows[0].period.duration_ms, 5 * HOUR_MS);
    assert_int_equal(included->windows[1].limit, 200);
    assert_int_equal(included->windows[1].period.duration_ms, 7 * DAY_MS);
    assert_int_equal(chat->sources[1].category, CATEGORY_PROMOTIONAL);
    assert_int_equal(chat->sources[1].name, SYMBOL_PROMOTIONAL);
    assert_int_equal(chat->sources[3].kind, SOURCE_GRANTS);
    assert_int_equal(chat->sources[3].name, SYMBOL_PAID);
    const struct source_rule *overage = &chat->sources[4];
    assert_int_equal(overage->kind, SOURCE_OVERAGE);
    assert_int_equal(overage->window_count, 1);
    assert_true(overage->windows[0].limit == 50 * CREDIT);
    assert_int_equal(overage->scope.kind, SCOPE_CUSTOMER);

    const struct plan_feature *codex = plan_feature_named(policy, "plus", "codex");
    assert_true(codex->sources[0].windows[1].limit == 100 * CREDIT);
    assert_int_equal(codex->gates[0].pool, policy->pools[0].name);
    const struct plan_feature *sora = plan_feature_named(policy, "enterprise", "sora");
    assert_int_equal(sora->sources[1].kind, SOURCE_UNLIMITED);
    assert_int_equal(sora->sources[1].name, SYMBOL_UNLIMITED);

    const struct plan *plus = plan_named(policy, "plus");
    assert_int_equal(plus->recurring_count, 1);
    const struct recurring_rule *monthly = &plus->recurring[0];
    assert_int_equal(monthly->category, CATEGORY_ENTITLEMENT);
    assert_true(monthly->nano == (int64_t)(100 * CREDIT));
    assert_true(monthly->rollover_nano_max == (int64_t)(50 * CREDIT));
    assert_int_equal(monthly->period.kind, PERIOD_MONTH);
    assert_int_equal(monthly->period.start, START_ANCHOR);
    assert_int_equal(monthly->expires_ms, 0);
    assert_int_equal(monthly->feature_count, 0);
}

/* Names become symbols in the order in which they are met, after those that are known. */
static void new_names_are_numbered_after_the_known_ones(void **state)
{
    (void)state;
    static struct policy_complaints complaints;
    const char *yaml =
        "version: 1\n"
        "features: {a: {meters: [requests, b], unit: b, prices: p}}\n"
        "prices: {p: [{name: r, rates: {}}], unused: [{name: x, rates: {}}]}\n"
        "plans: {free: {features: {a: {waterfall: [{grants: {category: paid}}]}}}}\n";
    struct bytes known[SYMBOL_FIRST_FREE + 2] = {{0}};
    for (uint32_t symbol = 1; symbol < SYMBOL_FIRST_FREE; symbol++)
        known[symbol] = born_symbols()->name[symbol];
    known[SYMBOL_FIRST_FREE] = BYTES("free");
    known[SYMBOL_FIRST_FREE + 1] = BYTES("gone");
    const struct symbols symbols = {known, SYMBOL_FIRST_FREE + 1};

    const struct policy *policy =
        policy_compile(test_arena(), bytes_of_text(yaml), &symbols, &complaints);
    assert_non_null(policy);
    assert_int_equal(policy->symbol_count, 10);
    assert_int_equal(policy->new_symbol_count, 4);
    const char *names[] = {"a", "requests", "b", "p/r"};
    for (uint32_t place = 0; place < COUNT_OF(names); place++)
        assert_true(bytes_equal(policy->new_symbols[place], bytes_of_text(names[place])));
    assert_int_equal(policy->plans[0].name, SYMBOL_FIRST_FREE);
    assert_int_equal(policy->features[0].name, 7);
    for (uint32_t symbol = 0; symbol <= policy->symbol_count; symbol++) {
        assert_int_equal(policy->feature_of_symbol[symbol], symbol == 7 ? 1 : 0);
        assert_int_equal(policy->plan_of_symbol[symbol], symbol == SYMBOL_FIRST_FREE ? 1 : 0);
    }
}

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    const struct policy *policy =
        must_compile(BYTES("version: 1\n"
                           "features: {f: {meters: [requests], unit: requests, prices: p},\n"
                           "           g: {meters: [m], unit: m}}\n"
                           "prices: {p: [{name: r, rates: {}}]}\n"
                           "pools: {q: {capacity: 1, per: 1s, meter: m}}\n"
                           "plans:\n"
                           "  a:\n"
                           "    features:\n"
                           "      f:\n"
                           "        gates: [{rate: {name: x, limit: 7, per: 1h}}]\n"
                           "        waterfall: [{unlimited: {}}]\n"
                           "    recurring:\n"
                           "      - grant: {name: y, category: paid, credits: 1, per: week,\n"
                           "                start: calendar}\n"));
    assert_int_equal(policy->default_plan, SYMBOL_NONE);
    assert_true(policy->retention_ms == DAY_MS);
    assert_int_equal(policy->plans[0].tier, 1);
    const struct plan_feature *feature = &policy->plans[0].features[0];
    assert_int_equal(feature->hold_ttl_ms, MINUTE_MS);
    assert_int_equal(feature->on_failure, FAILURE_NONE);
    assert_int_equal(feature->overshoot, OVERSHOOT_REFUND);
    assert_int_equal(feature->gates[0].burst, 7);
    assert_int_equal(feature->gates[0].meter, 0);
    assert_int_equal(feature->gates[0].scope.kind, SCOPE_CUSTOMER);
    assert_true(policy->features[0].divisible);
    assert_int_equal(policy->features[1].requests_meter, METERS_MAX);
    assert_int_equal(policy->features[1].rule_count, 0);
    assert_int_equal(policy->pools[0].stale_after_ms, 10 * SECOND_MS);
    assert_int_equal(policy->pools[0].safe_factor_nano, CREDIT / 2);
    const struct recurring_rule *grant = &policy->plans[0].recurring[0];
    assert_int_equal(grant->rollover_nano_max, 0);
    assert_int_equal(grant->priority, 0);
}

static void the_nearest_setting_wins(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(BYTES(
        "version: 1\n"
        "defaults: {hold_ttl: 2m, on_failure: full, overshoot: overage, idempotency_retention: "
        "1m}\n"
        "features: {f: {meters: [m], unit: m, prices: p}, g: {meters: [m], unit: m, prices: p}}\n"
        "prices: {p: [{name: r, rates: {}}]}\n"
        "plans:\n"
        "  a:\n"
        "    features:\n"
        "      f:\n"
        "        waterfall: [{overage: {name: o, credits: 1, per: 1d, start: sliding}}]\n"
        "  b:\n"
        "    overshoot: debt\n"
        "    hold_ttl: 3m\n"
        "    features:\n"
        "      f: {waterfall: [{unlimited: {}}]}\n"
        "      g: {hold_ttl: 30d, on_failure: actual, overshoot: refund, "
        "waterfall: [{unlimited: {}}]}\n"));
    assert_true(policy->retention_ms == MINUTE_MS);
    const struct plan_feature *far = plan_feature_named(policy, "a", "f");
    assert_int_equal(far->hold_ttl_ms, 2 * MINUTE_MS);
    assert_int_equal(far->on_failure, FAILURE_FULL);
    assert_int_equal(far->overshoot, OVERSHOOT_OVERAGE);
    const struct plan_feature *near = plan_feature_named(policy, "b", "f");
    assert_int_equal(near->hold_ttl_ms, 3 * MINUTE_MS);
    assert_int_equal(near->on_failure, FAILURE_FULL);
    assert_int_equal(near->overshoot, OVERSHOOT_DEBT);
    const struct plan_feature *nearest = plan_feature_named(policy, "b", "g");
    assert_true(nearest->hold_ttl_ms == 30 * DAY_MS);
    assert_int_equal(nearest->on_failure, FAILURE_ACTUAL);
    assert_int_equal(nearest->overshoot, OVERSHOOT_REFUND);
}

static void scopes_and_periods_are_read_in_all_their_forms(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(BYTES(
        "version: 1\n"
        "features: {f: {meters: [m], unit: m}}\n"
        "plans:\n"
        "  a:\n"
        "    features:\n"
        "      f:\n"
        "        gates:\n"
        "          - concurrency: {name: a, limit: 0, scope: {level: 8}}\n"
        "          - concurrency: {name: b, limit: 9007199254740991, scope: \"level: 1\"}\n"
        "          - concurrency: {name: c, limit: 1, scope: level:2}\n"
        "          - budget: {name: d, credits: 9223372036.854775807, per: 366d, start: sliding}\n"
        "        waterfall:\n"
        "          - allowance:\n"
        "              name: e\n"
        "              scope: {level: 3}\n"
        "              windows:\n"
        "                - {limit: 1, per: 1000ms, start: first_use}\n"
        "                - {limit: 0, per: hour, start: anchor}\n"
        "                - {limit: 2, per: day, start: calendar}\n"
        "                - {limit: 3, per: week, start: anchor}\n"
        "    recurring:\n"
        "      - grant: {name: g, category: promotional, credits: 18014398.509481984, per: hour,\n"
        "                start: anchor, expires: 90d, priority: -1000000, features: [f]}\n"));
    const struct plan_feature *feature = &policy->plans[0].features[0];
    assert_int_equal(feature->gates[0].scope.kind, SCOPE_LEVEL);
    assert_int_equal(feature->gates[0].scope.level, 8);
    assert_int_equal(feature->gates[1].scope.level, 1);
    assert_true(feature->gates[1].limit == QUANTITY_MAX);
    assert_int_equal(feature->gates[2].scope.level, 2);
    assert_true(feature->gates[3].limit == (uint64_t)INT64_MAX);
    assert_true(feature->gates[3].period.duration_ms == PERIOD_MS_MAX);
    assert_int_equal(feature->gates[3].period.start, START_SLIDING);
    const struct source_rule *source = &feature->sources[0];
    assert_int_equal(source->scope.level, 3);
    assert_int_equal(source->window_count, 4);
    assert_int_equal(source->windows[0].period.duration_ms, PERIOD_MS_MIN);
    assert_int_equal(source->windows[1].period.kind, PERIOD_HOUR);
    assert_int_equal(source->windows[1].period.duration_ms, 0);
    assert_int_equal(source->windows[2].period.kind, PERIOD_DAY);
    assert_int_equal(source->windows[3].period.kind, PERIOD_WEEK);
    assert_int_equal(source->windows[3].period.start, START_ANCHOR);
    const struct recurring_rule *grant = &policy->plans[0].recurring[0];
    assert_true(grant->nano == INT64_C(18014398509481984));
    assert_true(grant->expires_ms == 90 * DAY_MS);
    assert_int_equal(grant->priority, -1000000);
    assert_int_equal(grant->feature_count, 1);
    assert_int_equal(grant->features[0], policy->features[0].name);
}

#define PRICED(rules)                                                                         \
    "version: 1\nfeatures: {f: {meters: [z, y, x], unit: cost, prices: p}}\nplans: {a: {}}\n" \
    "prices:\n  p:\n" rules

static void fractions_are_cleared_by_the_least_common_denominator(void **state)
{
    (void)state;
    const struct policy *policy =
        must_compile(BYTES(PRICED("    - name: r\n"
                                  "      rates:\n"
                                  "        x: {credits: 1, per: 3}\n"
                                  "        y: {credits: \"0.5\", per: 7}\n"
                                  "      multiply:\n"
                                  "        speed: {slow: \"0.5\", fast: \"1.25\"}\n"
                                  "        origin: {batch: \"0.1\", free: \"0\"}\n"
                                  "      minimum: \"0.000000001\"\n")));
    const struct price_rule *rule = &policy->features[0].rules[0];
    /* x is 10^9/3, y is 5 x 10^8/7 nano-credits: 21 clears both. Batch needs tenths, speed
     * quarters: of 100 hundredths 25 are common to 50, 100 and 125. q = 21 x 10 x 4. */
    assert_int_equal(rule->q, 840);
    assert_int_equal(rule->base_num[0], 0);
    assert_true(rule->base_num[1] == UINT64_C(1500000000));
    assert_true(rule->base_num[2] == UINT64_C(7000000000));
    assert_int_equal(rule->minimum_nano, 1);
    assert_int_equal(rule->multiplier_count, 2);
    const struct price_multiplier *origin = &rule->multipliers[0];
    assert_true(bytes_equal(origin->attribute, BYTES("origin")));
    assert_int_equal(origin->one_num, 10);
    assert_int_equal(origin->num[0], 1);
    assert_int_equal(origin->num[1], 0);
    const struct price_multiplier *speed = &rule->multipliers[1];
    assert_int_equal(speed->one_num, 4);
    assert_true(bytes_equal(speed->value[0], BYTES("fast")));
    assert_int_equal(speed->num[0], 5);
    assert_int_equal(speed->num[1], 2);
}

/* Price of one unit, by the fractions of the file and by the compiled numerators, which must be the
 * same number: cross-multiplied, since neither is an integer. */
static void compiled_prices_equal_the_files_fractions(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng = {seed};
        uint64_t milli[3], per[3], factor[2][2];
        char yaml[2048];
        for (unsigned meter = 0; meter < 3; meter++) {
            milli[meter] = prng_below(&prng, 10000);
            per[meter] = 1 + prng_below(&prng, 11);
        }
        for (unsigned dimension = 0; dimension < 2; dimension++)
            for (unsigned value = 0; value < 2; value++)
                factor[dimension][value] = prng_below(&prng, 1300);
        (void)snprintf(yaml, sizeof yaml,
                       PRICED("    - name: r\n"
                              "      rates:\n"
                              "        z: {credits: %u.%03u, per: %u}\n"
                              "        y: {credits: %u.%03u, per: %u}\n"
                              "        x: {credits: %u.%03u, per: %u}\n"
                              "      multiply:\n"
                              "        a: {s: %u.%03u, t: %u.%03u}\n"
                              "        b: {s: %u.%03u, t: %u.%03u}\n"),
                       (unsigned)milli[0] / 1000, (unsigned)milli[0] % 1000, (unsigned)per[0],
                       (unsigned)milli[1] / 1000, (unsigned)milli[1] % 1000, (unsigned)per[1],
                       (unsigned)milli[2] / 1000, (unsigned)milli[2] % 1000, (unsigned)per[2],
                       (unsigned)factor[0][0] / 1000, (unsigned)factor[0][0] % 1000,
                       (unsigned)factor[0][1] / 1000, (unsigned)factor[0][1] % 1000,
                       (unsigned)factor[1][0] / 1000, (unsigned)factor[1][0] % 1000,
                       (unsigned)factor[1][1] / 1000, (unsigned)factor[1][1] % 1000);
        const struct policy *policy = must_compile(bytes_of_text(yaml));
        const struct price_rule *rule = &policy->features[0].rules[0];
        for (unsigned meter = 0; meter < 3; meter++)
            for (unsigned pick = 0; pick < 9; pick++) {
                /* 2 picks no value: the factor is one. */
                const unsigned a = pick % 3, b = pick / 3;
                const struct price_multiplier *first = &rule->multipliers[0];
                const struct price_multiplier *second = &rule->multipliers[1];
                const uint128 num = (uint128)rule->base_num[meter] *
                                    (a == 2 ? first->one_num : first->num[a]) *
                                    (b == 2 ? second->one_num : second->num[b]);
                const uint128 exact = (uint128)milli[meter] * 1000000 *
                                      (a == 2 ? 1000 : factor[0][a]) *
                                      (b == 2 ? 1000 : factor[1][b]);
                const uint128 over = (uint128)per[meter] * 1000 * 1000;
                if (num * over != exact * rule->q) print_error("seed %u\n", (unsigned)seed);
                assert_true(num * over == exact * rule->q);
            }
    }
}

static void the_largest_numerators_still_fit(void **state)
{
    (void)state;
    /* q = 2^62 exactly: 2^53 is too many for `per`, so 2^52 times a factor in 1024ths. */
    const struct policy *policy = must_compile(
        BYTES(PRICED("    - {name: r, rates: {x: {credits: 0.000000001, per: 4503599627370496}},\n"
                     "       multiply: {a: {v: 0.001953125}, b: {v: 0.5}}}\n")));
    assert_true(policy->features[0].rules[0].q == UINT64_C(1) << 62);
    static struct policy_complaints complaints;
    assert_null(compiled(
        BYTES(PRICED("    - {name: r, rates: {x: {credits: 0.000000001, per: 4503599627370496}},\n"
                     "       multiply: {a: {v: 0.001953125}, b: {v: 0.25}}}\n")),
        &complaints));

    /* 9223372036.854775807 credits are 2^63 - 1; twice that fits 64 bits, three times does not. */
    policy = must_compile(
        BYTES(PRICED("    - {name: r, rates: {x: {credits: 9223372036.854775807, per: 1}},\n"
                     "       multiply: {a: {v: 2}}}\n")));
    assert_true(policy->features[0].rules[0].base_num[2] == (uint64_t)INT64_MAX);
    assert_null(compiled(
        BYTES(PRICED("    - {name: r, rates: {x: {credits: 9223372036.854775807, per: 1}},\n"
                     "       multiply: {a: {v: 3}}}\n")),
        &complaints));
}

static void rules_stand_most_specific_and_latest_first(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(
        BYTES(PRICED("    - {name: any, rates: {}}\n"
                     "    - {name: m, match: {m: a}, from: 2026-01-01T00:00:00Z, rates: {}}\n"
                     "    - {name: other, match: {m: b}, rates: {}}\n"
                     "    - {name: m, match: {m: a}, from: 2026-03-01T00:00:00Z, rates: {}}\n"
                     "    - {name: both, match: {n: c, m: a}, rates: {}}\n"
                     "    - {name: any, from: 2026-02-01T00:00:00Z, rates: {}}\n"
                     "    - {name: m, match: {m: a}, from: 2026-02-01T00:00:00Z, rates: {}}\n")));
    static const struct {
        const char *name;
        const char *from;
    } order[] = {
        { "p/both",                   NULL},
        {    "p/m", "2026-03-01T00:00:00Z"},
        {    "p/m", "2026-02-01T00:00:00Z"},
        {    "p/m", "2026-01-01T00:00:00Z"},
        {"p/other",                   NULL},
        {  "p/any", "2026-02-01T00:00:00Z"},
        {  "p/any",                   NULL},
    };
    const struct policy_feature *feature = &policy->features[0];
    assert_int_equal(feature->rule_count, COUNT_OF(order));
    for (uint32_t place = 0; place < COUNT_OF(order); place++) {
        int64_t from_ms = 0;
        if (order[place].from != NULL)
            assert_true(calendar_parse(bytes_of_text(order[place].from), &from_ms));
        assert_true(is_named(policy, feature->rules[place].name, order[place].name));
        assert_true(feature->rules[place].from_ms == from_ms);
    }
    assert_true(bytes_equal(feature->rules[0].match[0].attribute, BYTES("m")));
    assert_true(bytes_equal(feature->rules[0].match[1].value, BYTES("c")));
}

/* The list binds to each feature in that feature's own order of meters. */
static void one_list_serves_several_features(void **state)
{
    (void)state;
    const struct policy *policy =
        must_compile(BYTES("version: 1\nplans: {a: {}}\n"
                           "features:\n"
                           "  f: {meters: [x, y], unit: cost, prices: p}\n"
                           "  g: {meters: [y, z, x], unit: cost, prices: p}\n"
                           "prices: {p: [{name: r, rates: {x: {credits: 1, per: 1}, "
                           "y: {credits: 2, per: 1}}}]}\n"));
    const struct price_rule *one = policy->features[0].rules, *other = policy->features[1].rules;
    assert_true(one->base_num[0] == CREDIT && one->base_num[1] == 2 * CREDIT);
    assert_true(other->base_num[0] == 2 * CREDIT && other->base_num[1] == 0);
    assert_true(other->base_num[2] == CREDIT);
    assert_true(one->version == other->version);
}

static uint64_t version_of(const char *rule)
{
    char yaml[2048];
    (void)snprintf(yaml, sizeof yaml, PRICED("%s"), rule);
    return must_compile(bytes_of_text(yaml))->features[0].rules[0].version;
}

static void the_same_rule_is_the_same_version_however_it_is_written(void **state)
{
    (void)state;
    const uint64_t version =
        version_of("    - {name: r, match: {m: a, n: b}, from: 2026-01-01T00:00:00Z,\n"
                   "       rates: {x: {credits: \"2.5\", per: 10}, y: {credits: 1, per: 3}},\n"
                   "       multiply: {s: {u: 1, v: \"2.50\"}, t: {w: 3}}, minimum: 4}\n");
    assert_true(version != 0);
    assert_true(version == version_of("    - minimum: \"4.000\"\n"
                                      "      multiply:\n"
                                      "        t: {w: \"3.0\"}   # a comment\n"
                                      "        s:\n"
                                      "          v: 2.5\n"
                                      "          u: \"1\"\n"
                                      "      rates:\n"
                                      "        z: {credits: 0, per: 9}\n"
                                      "        y: {credits: 2, per: 6}\n"
                                      "        x: {credits: 0.25, per: 1}\n"
                                      "      from: 2026-01-01T01:00:00+01:00\n"
                                      "      match: {n: 'b', m: a}\n"
                                      "      name: \"r\"\n"));
    /* Its neighbours are not part of it. */
    assert_true(
        version ==
        version_of("    - {name: r, match: {m: a, n: b}, from: 2026-01-01T00:00:00Z,\n"
                   "       rates: {x: {credits: \"2.5\", per: 10}, y: {credits: 1, per: 3}},\n"
                   "       multiply: {s: {u: 1, v: \"2.50\"}, t: {w: 3}}, minimum: 4}\n"
                   "    - {name: other, rates: {}}\n"));
}

static void another_rule_is_another_version(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "    - {name: r, rates: {x: {credits: 1, per: 1}}}\n",
        "    - {name: s, rates: {x: {credits: 1, per: 1}}}\n",
        "    - {name: r, rates: {y: {credits: 1, per: 1}}}\n",
        "    - {name: r, rates: {x: {credits: 2, per: 1}}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 2}}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, minimum: 1}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, from: 2026-01-01T00:00:00Z}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, match: {m: a}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, match: {m: b}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, match: {n: a}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, multiply: {m: {a: 1}}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, multiply: {m: {a: 2}}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, multiply: {m: {b: 2}}}\n",
        "    - {name: r, rates: {x: {credits: 1, per: 1}}, multiply: {n: {a: 2}}}\n",
    };
    uint64_t versions[COUNT_OF(rules)];
    for (size_t place = 0; place < COUNT_OF(rules); place++) {
        versions[place] = version_of(rules[place]);
        for (size_t before = 0; before < place; before++)
            assert_true(versions[before] != versions[place]);
    }
}

/* Remainders are kept in journals by these numbers: a change of the encoding would lose them. */
static void versions_do_not_change_from_one_program_to_the_next(void **state)
{
    (void)state;
    assert_true(version_of("    - {name: r, rates: {x: {credits: 1, per: 3}}}\n") ==
                UINT64_C(0x5ecca9bcfa0e2cff));
}

static void other_peoples_line_ends_and_byte_order_marks_are_read(void **state)
{
    (void)state;
    static const char plain[] = "version: 1\r\n"
                                "features: {f: {meters: [m], unit: m}}\r\n"
                                "plans: {a: {}}\r\n";
    static const char marked[] = "\357\273\277version: 1\n"
                                 "features: {f: {meters: [m], unit: m}}\n"
                                 "plans: {a: {}}\n";
    assert_int_equal(must_compile(bytes_of_text(plain))->feature_count, 1);
    assert_int_equal(must_compile(bytes_of_text(marked))->feature_count, 1);
    assert_string_equal(complaints_of(BYTES("\357\273\277version: 2\nfeatures: {f: {meters: [m], "
                                            "unit: m}}\nplans: {a: {}}\n")),
                        "1:10: 'version' is '2', expected 1, the version of this format\n");
}

static void the_content_hash_is_of_the_bytes(void **state)
{
    (void)state;
    struct text text = {0};
    text_put(&text, contract_sample);
    const struct policy *policy = must_compile(text_bytes(&text));
    const uint64_t hash = policy->content_hash;
    assert_true(must_compile(text_bytes(&text))->content_hash == hash);
    text_put(&text, "\n");
    assert_true(must_compile(text_bytes(&text))->content_hash != hash);
}

/* Two compilations in one arena: the server keeps the old policy until the new one is published. */
static void policies_share_an_arena_without_harm(void **state)
{
    (void)state;
    static struct policy_complaints complaints;
    static uint8_t block[POLICY_ARENA_BYTES + (1u << 20)];
    struct arena arena = arena_over(block, sizeof block);
    char yaml[sizeof contract_sample];
    memcpy(yaml, contract_sample, sizeof yaml);
    const struct policy *first =
        policy_compile(&arena, bytes_of_text(yaml), born_symbols(), &complaints);
    assert_non_null(first);
    const size_t used = arena.used;
    assert_null(policy_compile(&arena, BYTES("version: 2\n"), born_symbols(), &complaints));
    assert_int_equal(arena.used, used);
    const struct policy *second =
        policy_compile(&arena, bytes_of_text(yaml), born_symbols(), &complaints);
    assert_non_null(second);
    assert_true(arena.used > used);
    /* Nothing of a policy lies in the file that it came from. */
    memset(yaml, 0, sizeof yaml);
    assert_true(is_named(first, first->features[1].name, "sora"));
    assert_true(bytes_equal(first->features[0].rules[0].match[0].value, BYTES("gpt-5.5")));
    assert_true(bytes_equal(second->features[0].rules[0].multipliers[0].value[0], BYTES("fast")));
}

/* As many price rules as features and lists allow, and as many plan features as the file can hold.
 */
static void the_largest_policy_fits_the_arena(void **state)
{
    (void)state;
    struct text text = {0};
    text_put(&text, "version: 1\nfeatures:\n");
    for (unsigned feature = 0; feature < FEATURES_MAX; feature++)
        text_put_numbered(&text, "  f#: {meters: [m], unit: cost, prices: p}\n", feature);
    text_put(&text, "prices:\n  p:\n");
    for (unsigned rule = 0; rule < PRICE_RULES_MAX; rule++)
        text_put_numbered(&text, "    - {name: r#, match: {m: v#}, rates: {}}\n", rule);
    text_put(&text, "plans:\n");
    for (unsigned plan = 0; plan < 56; plan++) {
        text_put_numbered(&text, " p#:\n  features:\n", plan);
        for (unsigned feature = 0; feature < FEATURES_MAX; feature++)
            text_put_numbered(&text, "   f#: {waterfall: [{unlimited: {}}]}\n", feature);
    }
    const struct policy *policy = must_compile(text_bytes(&text));
    assert_int_equal(policy->features[FEATURES_MAX - 1].rule_count, PRICE_RULES_MAX);
    assert_int_equal(policy->plans[55].feature_count, FEATURES_MAX);
    assert_int_equal(policy->plans[55].features[FEATURES_MAX - 1].feature, FEATURES_MAX - 1);
}

/* Mistakes are cheap to write: every list item and every key may be one. */
static void the_largest_broken_files_fit_the_arena(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        unsigned values; /* of the tree */
    } rows[] = {
        {                                                                                    "x,",1                                                                                                  },
        {                                                                                   "{},",  1},
        {                                                           "{match: {a: ,b: ,c: ,d: }},",  6},
        {                                           "{rates: {a: ,b: ,c: ,d: ,e: ,f: ,g: ,h: }},", 10},
        {                                                        "{multiply: {a: ,b: ,c: ,d: }},",  6},
        {"{name: r,match: {m: a},multiply: {a: {v: 1},b: {v: 1},c: {v: 1},d: {v: 1}},rates: {}},",
         14                                                                                          },
    };
    const unsigned values_max = 65536; /* of a file */
    static struct policy_complaints complaints;
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct text text = {0};
        text_put(&text, "version: 1\nprices:\n");
        unsigned values = 3;
        for (unsigned list = 0; list < 256 && values < values_max; list++) {
            text_put_numbered(&text, " p#: [", list);
            values++;
            for (unsigned rule = 0; rule < PRICE_RULES_MAX; rule++) {
                if (values + rows[row].values > values_max) break;
                if (text.length + 200 > POLICY_BYTES_MAX) break;
                text_put(&text, rows[row].rule);
                values += rows[row].values;
            }
            text_put(&text, "]\n");
            if (text.length + 200 > POLICY_BYTES_MAX) break;
        }
        assert_null(compiled(text_bytes(&text), &complaints));
        assert_true(complaints.more); /* so it was read to its end, and then checked */
    }
}

static void the_example_compiles_and_shows_every_kind(void **state)
{
    (void)state;
    const struct policy *policy = must_compile(example);
    assert_true(is_named(policy, policy->default_plan, "free"));
    bool has_gate[GATE_BUDGET + 1] = {false}, has_source[SOURCE_UNLIMITED + 1] = {false};
    bool has_start[START_SLIDING + 1] = {false}, has_scope[SCOPE_LEVEL + 1] = {false};
    for (uint32_t plan = 0; plan < policy->plan_count; plan++)
        for (uint32_t at = 0; at < policy->plans[plan].feature_count; at++) {
            const struct plan_feature *feature = &policy->plans[plan].features[at];
            for (uint32_t gate = 0; gate < feature->gate_count; gate++) {
                has_gate[feature->gates[gate].kind] = true;
                has_scope[feature->gates[gate].scope.kind] = true;
            }
            for (uint32_t source = 0; source < feature->source_count; source++) {
                const struct source_rule *rule = &feature->sources[source];
                has_source[rule->kind] = true;
                for (uint32_t window = 0; window < rule->window_count; window++)
                    has_start[rule->windows[window].period.start] = true;
            }
        }
    for (unsigned kind = GATE_RATE; kind <= GATE_BUDGET; kind++)
        assert_true(has_gate[kind]);
    for (unsigned kind = SOURCE_ALLOWANCE; kind <= SOURCE_UNLIMITED; kind++)
        assert_true(has_source[kind]);
    for (unsigned start = START_FIRST_USE; start <= START_SLIDING; start++)
        assert_true(has_start[start]);
    for (unsigned scope = SCOPE_CUSTOMER; scope <= SCOPE_LEVEL; scope++)
        assert_true(has_scope[scope]);

    /* The demo walks down this waterfall. */
    const struct plan_feature *chat = plan_feature_named(policy, "plus", "chat");
    assert_int_equal(chat->source_count, 5);
    assert_int_equal(chat->sources[0].kind, SOURCE_ALLOWANCE);
    assert_int_equal(chat->sources[1].category, CATEGORY_PROMOTIONAL);
    assert_int_equal(chat->sources[3].category, CATEGORY_PAID);
    assert_int_equal(chat->sources[4].kind, SOURCE_OVERAGE);
}

/* What every compilation keeps to, whatever it is given. */
static void check_manners(struct bytes yaml)
{
    static struct policy_complaints complaints;
    (void)compiled(yaml, &complaints);
    assert_true(complaints.count <= POLICY_COMPLAINTS_MAX);
    for (uint32_t place = 0; place < complaints.count; place++) {
        const struct policy_complaint *complaint = &complaints.at[place];
        const struct bytes message = bytes_of_text(complaint->text);
        assert_true(complaint->line >= 1 && complaint->column >= 1);
        assert_true(message.length > 0 && message.length < POLICY_COMPLAINT_BYTES_MAX);
        assert_true(bytes_is_utf8(message));
        if (place == 0) continue;
        const struct policy_complaint *before = complaint - 1;
        assert_true(before->line < complaint->line ||
                    (before->line == complaint->line && before->column <= complaint->column));
    }
}

static size_t mutate(struct prng *prng, uint8_t *text, size_t length)
{
    static const char telling[] = "\n\t :-{}[],\"'&*!%#?|>0123456789.x\303\251\377";
    const size_t at = (size_t)prng_below(prng, length);
    size_t span = 1 + (size_t)prng_below(prng, 40);
    if (span > length - at) span = length - at;
    switch (prng_below(prng, 4)) {
    case 0:
        text[at] = (uint8_t)prng_below(prng, 256);
        return length;
    case 1:
        text[at] = (uint8_t)telling[prng_below(prng, sizeof telling - 1)];
        return length;
    case 2:
        memmove(text + at, text + at + span, length - at - span);
        return length - span;
    default:
        memmove(text + at + span, text + at, length - at);
        return length + span;
    }
}

static void mangled_examples_do_no_harm(void **state)
{
    (void)state;
    static uint8_t text[EXAMPLE_BYTES_MAX + 16 * 40];
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct prng prng = {seed};
        size_t length = example.length;
        memcpy(text, example.at, length);
        const uint64_t times = 1 + prng_below(&prng, 8);
        for (uint64_t time = 0; time < times && length > 0; time++)
            length = mutate(&prng, text, length);
        if (seed % 500 == 1) print_message("seeds from %u\n", (unsigned)seed);
        check_manners((struct bytes){text, length});
    }
    for (size_t length = 0; length < example.length; length += 13)
        check_manners((struct bytes){example.at, length});
}

static bool example_read(const char *path)
{
    static uint8_t block[EXAMPLE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    example = (struct bytes){block, fread(block, 1, sizeof block, file)};
    const bool is_whole = ferror(file) == 0 && feof(file) != 0;
    (void)fclose(file);
    return is_whole && example.length > 0;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2 || !example_read(arguments[1])) {
        (void)fprintf(stderr, "usage: policy_compile_test EXAMPLE.yaml\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_contracts_sample_has_these_features),
        cmocka_unit_test(the_contracts_sample_has_these_numerators),
        cmocka_unit_test(the_contracts_sample_has_these_plans),
        cmocka_unit_test(new_names_are_numbered_after_the_known_ones),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(the_nearest_setting_wins),
        cmocka_unit_test(scopes_and_periods_are_read_in_all_their_forms),
        cmocka_unit_test(fractions_are_cleared_by_the_least_common_denominator),
        cmocka_unit_test(compiled_prices_equal_the_files_fractions),
        cmocka_unit_test(the_largest_numerators_still_fit),
        cmocka_unit_test(rules_stand_most_specific_and_latest_first),
        cmocka_unit_test(one_list_serves_several_features),
        cmocka_unit_test(the_same_rule_is_the_same_version_however_it_is_written),
        cmocka_unit_test(another_rule_is_another_version),
        cmocka_unit_test(versions_do_not_change_from_one_program_to_the_next),
        cmocka_unit_test(other_peoples_line_ends_and_byte_order_marks_are_read),
        cmocka_unit_test(the_content_hash_is_of_the_bytes),
        cmocka_unit_test(policies_share_an_arena_without_harm),
        cmocka_unit_test(the_largest_policy_fits_the_arena),
        cmocka_unit_test(the_largest_broken_files_fit_the_arena),
        cmocka_unit_test(the_example_compiles_and_shows_every_kind),
        cmocka_unit_test(mangled_examples_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
