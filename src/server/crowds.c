/*
 * crowds.c: see crowds.h.
 */
#include "server/crowds.h"

#include <string.h>

void crowds_start(struct crowds *crowds, void *block)
{
    crowds->bytes = buffer_over(block, CROWDS_BYTES);
}

bool crowds_are_open(const struct crowds *crowds)
{
    return crowds->count > crowds->taken;
}

bool crowds_are_over(const struct crowds *crowds, int64_t now_ms)
{
    return crowds_are_open(crowds) && now_ms / SECOND_MS > crowds->second;
}

/* The place of the crowd, or the one that it would get. */
static uint16_t *place_of(struct crowds *crowds, uint64_t first)
{
    uint32_t at = (uint32_t)(hash_mix(first, 1) % CROWDS_PLACES);
    while (crowds->places[at] != 0 && crowds->rests[crowds->places[at] - 1].first != first)
        at = (at + 1) % CROWDS_PLACES;
    return &crowds->places[at];
}

bool crowds_join(struct crowds *crowds, uint64_t first)
{
    const uint16_t place = *place_of(crowds, first);
    if (place == 0 || place <= crowds->taken) return false;
    const struct crowd_rest *rest = &crowds->rests[place - 1];
    fact_crowd_join(crowds->bytes.at + rest->at + rest->command_length, rest->fact_length);
    return true;
}

static void start_anew(struct crowds *crowds, int64_t second)
{
    memset(crowds->places, 0, sizeof(crowds->places));
    crowds->second = second;
    crowds->count = 0;
    crowds->taken = 0;
    crowds->bytes.used = 0;
}

bool crowds_open(struct crowds *crowds, uint64_t first, const struct entry *entry, uint64_t hold)
{
    const int64_t second = entry->at_ms / SECOND_MS;
    if (!crowds_are_open(crowds)) start_anew(crowds, second);
    ENSURE(second == crowds->second);
    const size_t length = entry->command.length + entry->fact.length;
    if (crowds->count == CROWDS_MAX || length > CROWDS_BYTES - crowds->bytes.used) return false;
    uint16_t *place = place_of(crowds, first);
    ENSURE(*place <= crowds->taken);
    crowds->rests[crowds->count] = (struct crowd_rest){
        .first = first,
        .at = (uint32_t)crowds->bytes.used,
        .command_length = (uint32_t)entry->command.length,
        .fact_length = (uint32_t)entry->fact.length,
    };
    *place = (uint16_t)++crowds->count;
    buffer_put(&crowds->bytes, entry->command.at, entry->command.length);
    buffer_put(&crowds->bytes, entry->fact.at, entry->fact.length);
    if (hold != 0 && (crowds->hold_first == 0 || hold < crowds->hold_first))
        crowds->hold_first = hold;
    return true;
}

bool crowds_take(struct crowds *crowds, int64_t now_ms, uint64_t sequence, struct entry *entry_out)
{
    if (!crowds_are_open(crowds)) return false;
    const struct crowd_rest *rest = &crowds->rests[crowds->taken++];
    const uint8_t *at = crowds->bytes.at + rest->at;
    const int64_t last_ms = (crowds->second + 1) * SECOND_MS - 1;
    *entry_out = (struct entry){
        .at_ms = now_ms < last_ms ? now_ms : last_ms,
        .command = {                       at, rest->command_length},
        .fact = {at + rest->command_length,    rest->fact_length},
    };
    crowds->told_in = sequence;
    return true;
}

uint64_t crowds_need(struct crowds *crowds, uint64_t settled_sequence)
{
    if (!crowds_are_open(crowds) && crowds->told_in <= settled_sequence) crowds->hold_first = 0;
    return crowds->hold_first == 0 ? UINT64_MAX : crowds->hold_first;
}
