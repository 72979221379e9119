/*
 * overload.c: who does not wait. Requests queue up only while the journal is behind: the open batch
 * is full and the one before it not yet durable. Then what has waited longer than its priority's
 * patience is answered 503 at once, and what comes while the queue's head has waited that long is
 * not let in at all. So the queue is as long as the journal works off in that time, whoever is let
 * in is answered in about that time, and the journal goes on at its full rate.
 *
 * What is least missed goes first: sheddable, then default, then critical requests; what settles
 * work that was done (commit, release, usage) comes last, since it gives back what was held.
 *
 * Where the processor is what there is too little of, requests queue up unread, and
 * http_note_unread says how long they lay there. To refuse one takes half of what doing it takes: a
 * server that refused all that waited too long would do little else, and those who come next would
 * wait as long (bench/run.sh overload measured it at a third of the goodput). So only the sheddable
 * are refused for that, and where nobody else asks every other one of them is done; all others wait
 * as long as connections, which bound it, and capacity say.
 *
 * Which priority a request has is in its body, so it is parsed here, once, and once more when its
 * turn comes. A request that cannot be one is told so here: that needs no turn.
 */
#include "server/loop_inner.h"

#define SHED_EVERY_NS (INT64_C(10) * 1000000)

bool loop_is_owed(const struct exchange *exchange)
{
    const struct route *route = exchange->route;
    if (route->call == CALL_USAGE) return true;
    return route->call == CALL_COMMAND &&
           (route->wire == WIRE_COMMIT || route->wire == WIRE_RELEASE ||
            route->wire == WIRE_EXTEND || route->wire == WIRE_REFUND || route->wire == WIRE_USAGE);
}

static enum turn_class class_of_command(const struct asked *asked)
{
    const enum command_kind kind = asked->command.kind;
    if (kind != COMMAND_AUTHORIZE && kind != COMMAND_CONSUME && kind != COMMAND_CHECK)
        return TURN_OWED;
    switch (asked->command.priority) {
    case PRIORITY_SHEDDABLE:
        return TURN_SHEDDABLE;
    case PRIORITY_CRITICAL:
        return TURN_CRITICAL;
    case PRIORITY_DEFAULT:
        break;
    }
    return TURN_DEFAULT;
}

/* TURN_UNKNOWN: it needs none. */
static enum turn_class class_of(const struct asked *asked)
{
    switch (asked->exchange->route->call) {
    case CALL_COMMAND:
        return class_of_command(asked);
    case CALL_USAGE:
    case CALL_POLICY_PUT:
    case CALL_POLICY_GET:
    case CALL_POLICY_VERSIONS:
    case CALL_KEY_CREATE:
    case CALL_KEYS:
    case CALL_POOLS:
    case CALL_CLOCK:
        return TURN_OWED;
    case CALL_BATCH: /* of all kinds */
        return TURN_CRITICAL;
    case CALL_CUSTOMER:
    case CALL_BALANCE:
    case CALL_STATUS:
    case CALL_READ:
        return TURN_DEFAULT;
    case CALL_HEALTH:
    case CALL_READY:
    case CALL_METRICS:
    case CALL_OPENAPI:
    case CALL_PROBLEM_PAGE:
    case CALL_POLICY_FILE:
        break;
    }
    return TURN_UNKNOWN;
}

static bool is_over(enum turn_class class, int64_t waited_ns)
{
    static const int64_t patience_ms[TURN_CLASSES] = {
        [TURN_SHEDDABLE] = PATIENCE_SHEDDABLE_MS,
        [TURN_DEFAULT] = PATIENCE_DEFAULT_MS,
        [TURN_CRITICAL] = PATIENCE_CRITICAL_MS,
        [TURN_OWED] = PATIENCE_OWED_MS,
    };
    return class != TURN_UNKNOWN && waited_ns >= patience_ms[class] * 1000000;
}

static void refuse(struct loop *loop, struct exchange *exchange)
{
    const struct problem problem = {.code = PROBLEM_OVERLOADED,
                                    .expected = "fewer requests a second"};
    ++loop->shed[exchange->turn];
    loop_answer_problem(loop, exchange, &problem, RELEASE_AT_ONCE);
}

bool loop_shed_unread(struct loop *loop, const struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    loop->refusals += loop->refusals < REFUSALS_SAVED_MAX;
    if (exchange->unread_ns == 0 || asked->is_refused || exchange->is_gone) return false;
    if (exchange->was_parked || exchange->is_under_way || exchange->reading != NULL) return false;
    exchange->turn = (uint8_t)class_of(asked);
    if (exchange->turn != TURN_SHEDDABLE || loop->refusals < 2) return false;
    if (!is_over(TURN_SHEDDABLE, exchange->unread_ns)) return false;
    loop->refusals -= 2; /* its own, and that of one that is done */
    refuse(loop, exchange);
    return true;
}

/* Those who wait already, and those who have just come. True: it was answered. */
static bool judge(struct loop *loop, struct exchange *exchange, int64_t now_ns, int64_t head_ns)
{
    struct asked *asked = &loop->operation; /* scratch: no batch of operations is being ruled */
    if (exchange->was_parked || exchange->is_under_way || exchange->reading != NULL) return false;
    if (exchange->is_gone) return false;
    const bool is_new = exchange->turn == TURN_UNKNOWN;
    if (is_new) {
        asked->exchange = exchange;
        arena_reset(&asked->arena);
        loop_prepare(loop, asked);
        if (asked->is_refused || class_of(asked) == TURN_UNKNOWN)
            return loop_call(loop, asked) != PROGRESS_BLOCKED;
        exchange->turn = (uint8_t)class_of(asked);
    }
    const enum turn_class class = (enum turn_class)exchange->turn;
    const int64_t waited_ns = now_ns - exchange->taken_ns;
    if (!is_over(class, waited_ns) && !(is_new && is_over(class, head_ns))) return false;
    refuse(loop, exchange);
    return true;
}

/* How long the first of those has waited who would be refused for it. */
static int64_t head_waited_ns(const struct loop *loop, int64_t now_ns)
{
    const struct exchange *exchange = loop->arrived.first;
    while (exchange != NULL && (exchange->was_parked || exchange->is_under_way))
        exchange = exchange->next;
    return exchange == NULL ? 0 : now_ns - exchange->taken_ns;
}

void loop_shed(struct loop *loop)
{
    const int64_t now_ns = clock_monotonic_ns();
    if (now_ns - loop->waited_ns < SHED_EVERY_NS) return;
    loop->waited_ns = now_ns;
    const int64_t head_ns = head_waited_ns(loop, now_ns);
    if (head_ns < PATIENCE_SHEDDABLE_MS * INT64_C(1000000)) return;
    struct exchange_queue queue = loop->arrived;
    struct exchange *exchange;
    loop->arrived = (struct exchange_queue){0};
    while ((exchange = exchange_queue_take(&queue)) != NULL)
        if (!judge(loop, exchange, now_ns, head_ns)) exchange_queue_add(&loop->arrived, exchange);
}
