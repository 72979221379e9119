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

static void set_actor(struct policy_version *version, struct bytes actor)
{
    version->actor_length = actor.length <= ACTOR_BYTES_MAX ? (uint32_t)actor.length : 0;
    if (version->actor_length != 0) memcpy(version->actor, actor.at, version->actor_length);
}

void policies_record(struct policies *policies, const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_POLICY) continue;
        struct policy_version *version =
            &policies->versions[policies->version_count++ % POLICY_VERSIONS_MAX];
        *version = (struct policy_version){
            .version = effect->policy.version,
            .content_hash = effect->policy.content_hash,
            .installed_ms = fact->at_ms,
            .from_file = effect->policy.from_file,
        };
        set_actor(version, effect->policy.actor);
    }
}

static uint32_t versions_kept(uint32_t count)
{
    return count < POLICY_VERSIONS_MAX ? count : POLICY_VERSIONS_MAX;
}

void policies_put_versions(const struct policies *policies, struct buffer *out)
{
    const uint32_t count = policies->version_count;
    buffer_put_unsigned(out, count);
    for (uint32_t n = count - versions_kept(count); n < count; ++n) {
        const struct policy_version *version = &policies->versions[n % POLICY_VERSIONS_MAX];
        buffer_put_unsigned(out, version->version);
        buffer_put_unsigned(out, version->content_hash);
        buffer_put_signed(out, version->installed_ms);
        buffer_put_unsigned(out, version->from_file);
        buffer_put_bytes(out, policy_version_actor(version));
    }
}

bool policies_take_versions(struct policies *policies, struct reader *reader)
{
    const uint64_t count = reader_take_unsigned(reader);
    if (reader->bad || count > UINT32_MAX) return false;
    policies->version_count = (uint32_t)count;
    for (uint32_t n = (uint32_t)count - versions_kept((uint32_t)count); n < count; ++n) {
        struct policy_version *version = &policies->versions[n % POLICY_VERSIONS_MAX];
        version->version = reader_take_unsigned(reader);
        version->content_hash = reader_take_unsigned(reader);
        version->installed_ms = reader_take_signed(reader);
        version->from_file = reader_take_unsigned(reader) != 0;
        set_actor(version, reader_take_bytes(reader));
    }
    return !reader->bad;
}

void policies_forget_versions(struct policies *policies)
{
    policies->version_count = 0;
}
