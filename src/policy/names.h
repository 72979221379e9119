/*
 * names.h: names to symbols while a policy is compiled: the known ones by hash, new ones numbered
 * from there in the order in which they are met.
 */
#pragma once

#include "policy/complaint.h"

struct names {
    struct arena *kept;
    struct policy_complaints *complaints;
    const struct symbols *known;
    uint32_t *slots;    /* symbol numbers by hash, open addressing; 0 is free */
    struct bytes *more; /* the new ones, in order */
    uint32_t more_count;
    bool is_full;
};

/* Tables from scratch, texts of new names from kept. */
struct names names_over(struct arena *kept, struct arena *scratch,
                        struct policy_complaints *complaints, const struct symbols *known);
/* 0 when no more names fit, with a complaint at the place. */
uint32_t names_symbol(struct names *names, struct place place, struct bytes name);
