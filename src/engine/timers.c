/*
 * timers.c: who is due when. A treap per customer orders its open holds by expiry; one binary heap
 * orders all customers by the first thing that any of them has due. Ties are broken by identities,
 * never by block numbers, so that a replay finds the same order.
 */
#include "engine/state.h"

/* The treap. Priorities are a hash of the id: the shape depends on the content alone. */

static bool hold_before(const struct hold *left, const struct hold *right)
{
    if (left->expires_ms != right->expires_ms) return left->expires_ms < right->expires_ms;
    return left->id < right->id;
}

static void touch_links(struct engine *engine, struct hold *hold)
{
    state_touch(engine, &hold->left, sizeof hold->left + sizeof hold->right);
}
_Static_assert(offsetof(struct hold, right) == offsetof(struct hold, left) + sizeof(uint32_t),
               "both links lie side by side");

static uint64_t hold_weight(const struct hold *hold)
{
    return hash_mix(hold->id, 7);
}

/* Everything before `pivot` to the left, everything from it on to the right. */
static void treap_split(struct engine *engine, uint32_t root, const struct hold *pivot,
                        uint32_t *left_out, uint32_t *right_out)
{
    uint32_t *left_end = left_out;
    uint32_t *right_end = right_out;
    while (root != 0) {
        struct hold *hold = hold_at(engine, root);
        touch_links(engine, hold);
        if (hold_before(hold, pivot)) {
            *left_end = root;
            left_end = &hold->right;
            root = hold->right;
        } else {
            *right_end = root;
            right_end = &hold->left;
            root = hold->left;
        }
    }
    *left_end = 0;
    *right_end = 0;
}

static uint32_t treap_join(struct engine *engine, uint32_t left, uint32_t right)
{
    uint32_t root = 0;
    uint32_t *end = &root;
    while (left != 0 && right != 0) {
        struct hold *a = hold_at(engine, left);
        struct hold *b = hold_at(engine, right);
        if (hold_weight(a) > hold_weight(b)) {
            touch_links(engine, a);
            *end = left;
            end = &a->right;
            left = a->right;
        } else {
            touch_links(engine, b);
            *end = right;
            end = &b->left;
            right = b->left;
        }
    }
    *end = left != 0 ? left : right;
    return root;
}

/* The link under the customer that leads to the first hold not heavier than, or equal to, `hold`.
 */
static uint32_t *treap_link(struct engine *engine, uint32_t customer, uint32_t number,
                            bool stop_at_lighter)
{
    const struct hold *hold = hold_at(engine, number);
    struct customer *owner = customer_at(engine, customer);
    state_touch(engine, owner, sizeof *owner);
    uint32_t *link = &owner->holds;
    while (*link != 0 && *link != number) {
        struct hold *at = hold_at(engine, *link);
        if (stop_at_lighter && hold_weight(at) < hold_weight(hold)) break;
        touch_links(engine, at);
        link = hold_before(at, hold) ? &at->right : &at->left;
    }
    return link;
}

void holds_insert(struct engine *engine, uint32_t customer, uint32_t number)
{
    struct hold *hold = hold_at(engine, number);
    uint32_t *link = treap_link(engine, customer, number, true);
    touch_links(engine, hold);
    uint32_t left = 0;
    uint32_t right = 0;
    treap_split(engine, *link, hold, &left, &right);
    hold->left = left;
    hold->right = right;
    *link = number;
}

void holds_remove(struct engine *engine, uint32_t customer, uint32_t number)
{
    struct hold *hold = hold_at(engine, number);
    uint32_t *link = treap_link(engine, customer, number, false);
    ENSURE(*link == number);
    touch_links(engine, hold);
    *link = treap_join(engine, hold->left, hold->right);
    hold->left = 0;
    hold->right = 0;
}

uint32_t holds_first(const struct engine *engine, uint32_t customer)
{
    uint32_t number = customer_at(engine, customer)->holds;
    while (number != 0 && hold_at(engine, number)->left != 0)
        number = hold_at(engine, number)->left;
    return number;
}

uint32_t holds_after(const struct engine *engine, uint32_t customer, int64_t expires_ms,
                     uint64_t id)
{
    uint32_t next = 0;
    for (uint32_t n = customer_at(engine, customer)->holds; n != 0;) {
        const struct hold *hold = hold_at(engine, n);
        const bool is_after =
            hold->expires_ms != expires_ms ? hold->expires_ms > expires_ms : hold->id > id;
        if (is_after) next = n;
        n = is_after ? hold->left : hold->right;
    }
    return next;
}

/* The heap. Trials leave it alone: they look at one customer's next_due_ms only. */

static bool due_before(const struct engine *engine, uint32_t left, uint32_t right)
{
    const struct customer *a = customer_at(engine, left);
    const struct customer *b = customer_at(engine, right);
    if (a->next_due_ms != b->next_due_ms) return a->next_due_ms < b->next_due_ms;
    if (a->id.word[0] != b->id.word[0]) return a->id.word[0] < b->id.word[0];
    return a->id.word[1] < b->id.word[1];
}

static void heap_put(struct engine *engine, uint32_t place, uint32_t customer)
{
    engine->heap[place] = customer;
    customer_at(engine, customer)->heap_place = place;
}

static void heap_settle(struct engine *engine, uint32_t place, uint32_t customer)
{
    while (place > 1 && due_before(engine, customer, engine->heap[place / 2])) {
        heap_put(engine, place, engine->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        uint32_t child = place * 2;
        if (child > engine->heap_count) break;
        if (child < engine->heap_count &&
            due_before(engine, engine->heap[child + 1], engine->heap[child]))
            child++;
        if (!due_before(engine, engine->heap[child], customer)) break;
        heap_put(engine, place, engine->heap[child]);
        place = child;
    }
    heap_put(engine, place, customer);
}

static void heap_drop(struct engine *engine, uint32_t customer)
{
    const uint32_t place = customer_at(engine, customer)->heap_place;
    customer_at(engine, customer)->heap_place = 0;
    const uint32_t last = engine->heap[engine->heap_count];
    engine->heap_count--;
    if (last != customer) heap_settle(engine, place, last);
}

int64_t engine_due_at(const struct engine *engine)
{
    if (engine->recurring_cursor != 0) return 0; /* a new policy may bring something to anyone */
    return engine->heap_count == 0 ? INSTANT_NEVER
                                   : customer_at(engine, engine->heap[1])->next_due_ms;
}

static int64_t customer_due(const struct engine *engine, uint32_t number)
{
    const struct customer *customer = customer_at(engine, number);
    int64_t due = INSTANT_NEVER;
    const uint32_t hold = holds_first(engine, number);
    if (hold != 0) due = hold_at(engine, hold)->expires_ms;
    for (uint32_t n = customer->grants; n != 0; n = grant_at(engine, n)->next) {
        const struct grant *grant = grant_at(engine, n);
        int64_t at = INSTANT_NEVER;
        if (grant->state == GRANT_PENDING) at = grant->effective_ms;
        if (grant->state == GRANT_LIVE || grant->state == GRANT_VOIDED) at = grant->expires_ms;
        if (at < due) due = at;
    }
    for (uint32_t n = customer->slots; n != 0; n = slot_at(engine, n)->next) {
        const struct slot *slot = slot_at(engine, n);
        if (slot->kind == SLOT_RENEWAL && slot->renewal.next_ms < due) due = slot->renewal.next_ms;
    }
    return due;
}

void due_refresh(struct engine *engine, uint32_t number)
{
    if (engine->trial.forgets_due) return;
    struct customer *customer = customer_at(engine, number);
    const int64_t due = customer_due(engine, number);
    if (due == customer->next_due_ms) return;
    state_touch(engine, customer, sizeof *customer);
    customer->next_due_ms = due;
    if (engine->trial.is_running) return;
    if (due == INSTANT_NEVER) {
        if (customer->heap_place != 0) heap_drop(engine, number);
        return;
    }
    if (customer->heap_place == 0) {
        engine->heap_count++;
        heap_settle(engine, engine->heap_count, number);
        return;
    }
    heap_settle(engine, customer->heap_place, number);
}
