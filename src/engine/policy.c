/*
 * policy.c: looking things up in a compiled policy.
 */
#include "engine/policy.h"

const struct policy_feature *policy_feature_named(const struct policy *policy,
                                                  const struct symbols *symbols, struct bytes name)
{
    for (uint32_t i = 0; i < policy->feature_count; i++)
        if (bytes_equal(symbols->name[policy->features[i].name], name)) return &policy->features[i];
    return NULL;
}

const struct plan *policy_plan_named(const struct policy *policy, const struct symbols *symbols,
                                     struct bytes name)
{
    for (uint32_t i = 0; i < policy->plan_count; i++)
        if (bytes_equal(symbols->name[policy->plans[i].name], name)) return &policy->plans[i];
    return NULL;
}

const struct plan_feature *plan_feature_of(const struct plan *plan, uint32_t feature_index)
{
    for (uint32_t i = 0; i < plan->feature_count; i++)
        if (plan->features[i].feature == feature_index) return &plan->features[i];
    return NULL;
}
