/*
 * read.h: one value of the tree at a time, checked: names, integers, credits, durations, choices,
 * mappings with known keys. Each reader says what it expected when it finds something else, and
 * then gives false and leaves its output alone.
 */
#pragma once

#include "policy/names.h"
#include "policy/tree.h"

/* What every part of a compilation needs. */
struct compiler {
    struct arena *kept;    /* the policy's; what is taken is there for the largest policy */
    struct arena *scratch; /* gone when the compilation ends */
    struct policy_complaints *complaints;
    struct names names;
};

/* From arenas that are sized for the ceilings: never NULL. */
void *arena_take_sized(struct arena *arena, size_t bytes);
struct bytes bytes_kept(struct compiler *compiler, struct bytes text);

/* "'limit' is 'ten', expected ..." */
__attribute__((format(printf, 3, 4))) void
complain_found(struct compiler *compiler, const struct node *node, const char *format, ...);

/* Which of the names was probably meant; length 0: none. */
struct bytes suggest_among(const struct compiler *compiler, struct bytes word,
                           const struct bytes *names, uint32_t count);

#define KEYS_MAX 16u /* of one mapping */
struct key {
    const char *name;
    bool is_required;
};

/* values_out[i] is the value under keys[i], or NULL. False when the node is no mapping. */
bool read_keys(struct compiler *compiler, const struct node *node, const struct key *keys,
               uint32_t count, const struct node **values_out);

/* A list item of the form `- tag: value`. */
bool read_tagged(struct compiler *compiler, const struct node *item, const char *const *tags,
                 uint32_t count, uint32_t *tag_out, const struct node **value_out);

bool read_list(struct compiler *compiler, const struct node *node, uint32_t count_min,
               uint32_t count_max, const char *of_what);
bool read_mapping(struct compiler *compiler, const struct node *node, uint32_t count_min,
                  uint32_t count_max, const char *of_what);

bool check_name(struct compiler *compiler, struct place place, struct bytes name);
bool read_name(struct compiler *compiler, const struct node *node, struct bytes *name_out);
/* Any text of 1..bytes_max bytes. */
bool read_text(struct compiler *compiler, const struct node *node, uint32_t bytes_max,
               struct bytes *text_out);

struct whole_range {
    uint64_t min, max;
};
bool read_whole(struct compiler *compiler, const struct node *node, struct whole_range range,
                uint64_t *value_out);
bool read_signed(struct compiler *compiler, const struct node *node, int32_t magnitude_max,
                 int32_t *value_out);

/* Decimals in billionths, which credits are. */
struct decimal_range {
    int64_t min, max;
    const char *expected;
};
#define CREDITS_ANY                                                                        \
    ((struct decimal_range){0, INT64_MAX,                                                  \
                            "credits as a decimal such as \"2.5\", from 0 to 9223372036, " \
                            "with at most 9 decimals"})
bool read_decimal(struct compiler *compiler, const struct node *node, struct decimal_range range,
                  int64_t *nano_out);

struct duration_range {
    int64_t min_ms, max_ms;
    const char *text; /* "from 1s to 366d" */
};
#define DURATION_PERIOD ((struct duration_range){PERIOD_MS_MIN, PERIOD_MS_MAX, "from 1s to 366d"})
bool read_duration(struct compiler *compiler, const struct node *node, struct duration_range range,
                   int64_t *duration_ms_out);

bool read_instant(struct compiler *compiler, const struct node *node, int64_t *instant_ms_out);
bool read_boolean(struct compiler *compiler, const struct node *node, bool *value_out);

struct choice {
    const char *name;
    int value;
};
bool read_choice(struct compiler *compiler, const struct node *node, const struct choice *choices,
                 uint32_t count, int *value_out);

bool read_scope(struct compiler *compiler, const struct node *node, struct scope_rule *scope_out);

/* Both nodes may be NULL: then read_keys has said so. `calendar_only`: hour, day, week or month. */
bool read_period(struct compiler *compiler, const struct node *per, const struct node *start,
                 bool calendar_only, struct period *period_out);
