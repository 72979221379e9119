/*
 * policies.h: the policy in force and the one that may follow it. Two rooms of memory change roles:
 * the desk compiles into the spare one while the loop decides from the other; what is installed
 * makes its predecessor's room the spare one. So there is one candidate at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "policy/policy.h"

struct policy_room {
    struct arena arena;  /* POLICY_ARENA_BYTES */
    uint8_t *yaml_block; /* POLICY_BYTES_MAX */
    struct bytes yaml;
    const struct policy *policy; /* NULL: did not compile */
};

/* One installed policy, for GET /v1/policy/versions. */
struct policy_version {
    uint64_t version;
    uint64_t content_hash;
    int64_t installed_ms;
    bool from_file;
    uint32_t actor_length;
    char actor[ACTOR_BYTES_MAX]; /* who installed it (command.h) */
};
static inline struct bytes policy_version_actor(const struct policy_version *version)
{
    return (struct bytes){(const uint8_t *)version->actor, version->actor_length};
}
#define POLICY_VERSIONS_MAX 1024u /* kept; older ones are in the journal only */

struct policies {
    struct policy_room rooms[2];
    struct policy_room *current; /* its policy is NULL until the first is installed */
    struct policy_room *spare;
    struct policy_complaints complaints;                 /* of the last compilation */
    uint32_t version_count;                              /* ever installed */
    struct policy_version versions[POLICY_VERSIONS_MAX]; /* n-th at (n - 1) % MAX */
};

/* The block is policies_bytes() of zeroes. */
uint64_t policies_bytes(void);
struct policies *policies_over(void *block);

/* Copies the YAML (at most POLICY_BYTES_MAX) into the spare room, dropping what was there. */
void policies_stage(struct policies *policies, struct bytes yaml);
/* Compiles what is staged. Any thread, the loop keeping its hands off the spare room meanwhile; the
 * symbols are a copy of the table's extent. False: see complaints. */
MUST_USE bool policies_compile(struct policies *policies, struct symbols known);
/* The spare room's policy is the one in force from now on. */
void policies_install(struct policies *policies);

/* Notes the installation that a POLICY fact tells of. */
void policies_record(struct policies *policies, const struct fact *fact);

/* The list of versions as bytes, and from bytes; false: they are not such a list. */
void policies_put_versions(const struct policies *policies, struct buffer *out);
MUST_USE bool policies_take_versions(struct policies *policies, struct reader *reader);
void policies_forget_versions(struct policies *policies);
