/*
 * policies.c: see policies.h.
 */
#include "server/policies.h"

#include <string.h>

uint64_t policies_bytes(void)
{
    return sizeof(struct policies) + 64 + 2 * (POLICY_ARENA_BYTES + POLICY_BYTES_MAX);
}

struct policies *policies_over(void *block)
{
    struct policies *policies = block;
    uint8_t *at = (uint8_t *)block + (sizeof(*policies) + 63) / 64 * 64;
    for (unsigned i = 0; i < COUNT_OF(policies->rooms); ++i) {
        policies->rooms[i].arena = arena_over(at, POLICY_ARENA_BYTES);
        at += POLICY_ARENA_BYTES;
        policies->rooms[i].yaml_block = at;
        at += POLICY_BYTES_MAX;
    }
    policies->current = &policies->rooms[0];
    policies->spare = &policies->rooms[1];
    return policies;
}

void policies_stage(struct policies *policies, struct bytes yaml)
{
    struct policy_room *room = policies->spare;
    ENSURE(yaml.length <= POLICY_BYTES_MAX);
    room->policy = NULL;
    arena_reset(&room->arena);
    if (yaml.length > 0) memcpy(room->yaml_block, yaml.at, yaml.length);
    room->yaml = (struct bytes){room->yaml_block, yaml.length};
}

bool policies_compile(struct policies *policies, struct symbols known)
{
    struct policy_room *room = policies->spare;
    room->policy = policy_compile(&room->arena, room->yaml, &known, &policies->complaints);
    return room->policy != NULL;
}

void policies_install(struct policies *policies)
{
    ENSURE(policies->spare->policy != NULL);
    struct policy_room *installed = policies->spare;
    policies->spare = policies->current;
    policies->current = installed;
}

void policies_record(struct policies *policies, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_POLICY) continue;
        policies->versions[policies->version_count++ % POLICY_VERSIONS_MAX] =
            (struct policy_version){
                .version = effect->policy.version,
                .content_hash = effect->policy.content_hash,
                .installed_ms = fact->at_ms,
                .from_file = effect->policy.from_file,
            };
    }
}
