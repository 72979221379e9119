/*
 * list.h: owners in the order in which they came, each of whom may leave at any time.
 *
 * The links are in the owner himself, one place for each list that he may be in, so nothing is
 * allocated and nothing can fail. A list and a place of zeroes are an empty list and a place in
 * none; neither moves while the place is taken.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list_place {
    struct list *list; /* NULL: in none */
    void *owner;
    struct list_place *before;
    struct list_place *after;
};

struct list {
    struct list_place *first;
    struct list_place *last;
};

static inline bool list_has(const struct list_place *place)
{
    return place->list != NULL;
}

/* Behind all others. The place is in no list yet. */
static inline void list_append(struct list *list, struct list_place *place, void *owner)
{
    ENSURE(!list_has(place));
    *place = (struct list_place){.list = list, .owner = owner, .before = list->last};
    *(list->last != NULL ? &list->last->after : &list->first) = place;
    list->last = place;
}

/* Who is in no list stays so. */
static inline void list_leave(struct list_place *place)
{
    struct list *list = place->list;
    if (list == NULL) return;
    *(place->before != NULL ? &place->before->after : &list->first) = place->after;
    *(place->after != NULL ? &place->after->before : &list->last) = place->before;
    *place = (struct list_place){0};
}

/* The owner; NULL: nobody. */
static inline void *list_first(const struct list *list)
{
    return list->first != NULL ? list->first->owner : NULL;
}

static inline void *list_last(const struct list *list)
{
    return list->last != NULL ? list->last->owner : NULL;
}

/* The one behind who has this place; NULL: he is the last, or in no list. */
static inline void *list_after(const struct list_place *place)
{
    return place->after != NULL ? place->after->owner : NULL;
}
