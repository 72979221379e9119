/*
 * plans.h: plans: per feature the gates and the waterfall, and what a plan grants again and again.
 */
#pragma once

#include "policy/read.h"

struct feature_draft {
    struct policy_feature compiled;
    struct bytes name;
    struct bytes meters[METERS_MAX];
    const struct node *prices; /* names the list, or NULL */
    bool is_sound;             /* meters and unit are known */
};

/* What defaults, a plan and a feature of a plan may all say; the nearest wins. */
struct settings {
    enum failure_cost on_failure;
    enum overshoot_kind overshoot;
    int64_t hold_ttl_ms;
    const struct node *overshoot_node; /* where it was said; NULL: nowhere */
    bool *is_overshoot_reported;       /* of that place */
};

/* The parts of a policy that plans speak of. */
struct draft {
    uint32_t feature_count;
    struct feature_draft *features;
    struct bytes *feature_names;
    uint32_t pool_count;
    struct pool_rule *pools;
    struct bytes *pool_names;
    struct settings defaults;
};

enum { SETTING_ON_FAILURE, SETTING_OVERSHOOT, SETTING_HOLD_TTL, SETTINGS };
#define SETTINGS_KEYS                                                                         \
    [SETTING_ON_FAILURE] = {"on_failure", false}, [SETTING_OVERSHOOT] = {"overshoot", false}, \
    [SETTING_HOLD_TTL] = {"hold_ttl", false}

/* `values` are those of SETTINGS_KEYS; what they do not say stays as in `settings`. */
void settings_read(struct compiler *compiler, const struct node *const *values, bool *is_reported,
                   struct settings *settings);

/* The place of a name in a list of names; complains with a suggestion when it is not there. */
bool find_name(struct compiler *compiler, const struct node *node, const char *kind,
               const struct bytes *names, uint32_t count, uint32_t *place_out);

/* names_out[i] is that of plans_out[i]. */
uint32_t plans_read(struct compiler *compiler, const struct node *node, const struct draft *draft,
                    const struct plan **plans_out, const struct bytes **names_out);
