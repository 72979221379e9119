/*
 * key_desk.h: the desk's work on key files: looking a key up, writing and dropping files. Orders go
 * and ends come back in order, through rings of their own; the desk's thread takes the steps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "keys/keys.h"
#include "platform/platform.h"
#include "server/ceilings.h"
#include "server/harm.h"

struct exchange;

#define KEY_ORDERS_MAX 128u /* looks, and one for a file */

enum key_order_kind {
    KEY_ORDER_LOOK,
    KEY_ORDER_WRITE, /* the piece */
    KEY_ORDER_DROP
};
struct key_order {
    enum key_order_kind kind;
    struct exchange *exchange; /* LOOK: parked; nobody looks at it here */
    struct key_question question;
    uint32_t count; /* WRITE, and the slice */
    uint64_t first, last;
    bool is_last; /* the file is done with it */
};
struct key_end {
    enum key_order_kind kind;
    struct exchange *exchange;
    struct key_answer answer;
    enum key_file_fault fault; /* logged */
};

struct key_desk {
    struct keys *keys;
    struct harm *harm;
    struct ring orders;
    struct ring ends;
    struct key_order order_items[KEY_ORDERS_MAX];
    struct key_end end_items[KEY_ORDERS_MAX];
};

void key_desk_start(struct key_desk *desk, struct keys *keys, struct harm *harm);
/* Loop's side; there is always room. */
void key_desk_order(struct key_desk *desk, const struct key_order *order);
MUST_USE bool key_desk_take_end(struct key_desk *desk, struct key_end *end_out);
/* The thread's side; false: nothing is ordered. */
bool key_desk_step(struct key_desk *desk);
