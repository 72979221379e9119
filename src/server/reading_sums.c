/*
 * reading_sums.c: sums of usage that are kept for their next page. A page of all customers together
 * takes the sum of all usage in its time, whichever groups it shows; so where a page ends and there
 * are more groups, its sums are kept for whoever asks for the next one, who takes them over. All
 * pages of one walk are then of one moment, which `settled_through` tells.
 *
 * What is kept is bounded in number, size and time. Sums that are gone are made anew.
 */
#include <string.h>

#include "platform/platform.h"
#include "server/reading.h"

static void forget(const struct reading_tools *tools, struct reading_kept *sums)
{
    struct usage_scan scan = {.number = sums->number, .phase = USAGE_SUMMED};
    usage_scan_end(tools->books, &scan);
    sums->is_kept = false;
}

static bool is_same(const struct usage_query *left, const struct usage_query *right)
{
    if (left->from_ms != right->from_ms || left->to_ms != right->to_ms) return false;
    if (left->group_count != right->group_count) return false;
    for (uint32_t i = 0; i < left->group_count; ++i)
        if (left->group_by[i] != right->group_by[i]) return false;
    for (uint32_t by = 0; by < (uint32_t)USAGE_FILTERS; ++by) {
        const struct bytes *one = &left->only[by], *other = &right->only[by];
        if (one->at == NULL && other->at == NULL) continue;
        if (one->at == NULL || other->at == NULL || !bytes_equal(*one, *other)) return false;
    }
    return true;
}

void reading_sums_take(struct reading *reading, const struct reading_tools *tools)
{
    const int64_t now_ns = clock_monotonic_ns();
    for (uint32_t i = 0; i < READING_SUMS_MAX; ++i) {
        struct reading_kept *sums = &tools->sums->kept[i];
        if (!sums->is_kept) continue;
        if (now_ns - sums->kept_ns > READING_SUMS_KEPT_MS * INT64_C(1000000)) {
            forget(tools, sums);
        } else if (reading->has_before && is_same(&sums->query, &reading->usage)) {
            usage_scan_go_on(&reading->scan, sums->number);
            reading->state = sums->state;
            sums->is_kept = false;
            return;
        }
    }
    reading->scan.number = ++tools->sums->scans;
}

/* The free place, or that of what was kept first. */
static struct reading_kept *find_place(const struct reading_tools *tools)
{
    struct reading_kept *kept = tools->sums->kept;
    struct reading_kept *place = &kept[0];
    for (uint32_t i = 0; i < READING_SUMS_MAX && place->is_kept; ++i)
        if (!kept[i].is_kept || kept[i].kept_ns < place->kept_ns) place = &kept[i];
    if (place->is_kept) forget(tools, place);
    return place;
}

bool reading_sums_keep(struct reading *reading, const struct reading_tools *tools)
{
    if (reading_is_stream(reading) || !reading->is_limit) return false;
    if (!usage_scan_is_whole(&reading->scan) ||
        usage_scan_lines(tools->books, &reading->scan) > READING_SUMS_LINES_MAX)
        return false;
    struct reading_kept *sums = find_place(tools);
    struct buffer text = buffer_over(sums->text, sizeof(sums->text));
    sums->number = reading->scan.number;
    sums->kept_ns = clock_monotonic_ns();
    sums->state = reading->state;
    sums->query = reading->usage;
    for (uint32_t by = 0; by < (uint32_t)USAGE_FILTERS; ++by) {
        struct bytes *only = &sums->query.only[by];
        if (only->at == NULL) continue;
        const uint8_t *at = text.at + text.used;
        buffer_put(&text, only->at, only->length);
        only->at = at;
    }
    ENSURE(!text.overflowed);
    sums->is_kept = true;
    return true;
}
