/*
 * key_desk.c: see key_desk.h.
 */
#include "server/key_desk.h"

void key_desk_start(struct key_desk *desk, struct keys *keys, struct harm *harm)
{
    desk->keys = keys;
    desk->harm = harm;
    ring_start(&desk->orders, desk->order_items, sizeof(desk->order_items[0]), KEY_ORDERS_MAX);
    ring_start(&desk->ends, desk->end_items, sizeof(desk->end_items[0]), KEY_ORDERS_MAX);
}

void key_desk_order(struct key_desk *desk, const struct key_order *order)
{
    const bool is_put = ring_put(&desk->orders, order);
    ENSURE(is_put);
}

bool key_desk_take_end(struct key_desk *desk, struct key_end *end_out)
{
    return ring_take(&desk->ends, end_out);
}

static void tell(const char *event, const char *detail)
{
    struct log_line line = log_begin(LOG_ERROR, event);
    log_text(&line, "detail", detail);
    log_end(&line);
}

bool key_desk_step(struct key_desk *desk)
{
    struct key_order order;
    char detail[KEY_FILE_DETAIL_SIZE] = "";
    if (!ring_take(&desk->orders, &order)) return false;
    struct key_end end = {.kind = order.kind, .exchange = order.exchange};
    switch (order.kind) {
    case KEY_ORDER_LOOK:
        keys_look(desk->keys, &order.question, &end.answer, detail);
        if (end.answer.found == KEY_LOOK_FAILED) {
            harm_key(desk->harm);
            tell("key_file_read_failed", detail);
        }
        break;
    case KEY_ORDER_WRITE:
        end.fault = keys_write(desk->keys, order.count, order.first, order.last, detail);
        if (end.fault == KEY_FILE_OK && order.is_last)
            end.fault = keys_write_end(desk->keys, detail);
        break;
    case KEY_ORDER_DROP:
        end.fault = keys_drop(desk->keys, detail);
        break;
    }
    if (end.fault != KEY_FILE_OK) tell("key_file_write_failed", detail);
    const bool is_put = ring_put(&desk->ends, &end);
    ENSURE(is_put);
    return true;
}
