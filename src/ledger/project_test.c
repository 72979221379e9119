/*
 * project_test.c: entries made by hand. What no engine writes is refused with a complaint and not
 * turned into rows; sums are exact at the edge of 128 bits; rows hash as rows.h says. (What real
 * entries become is in tests/ledger.)
 */
#include "ledger/project.h"

#include "base/testing.h"
#include "ledger/rows.h"

static const struct bytes NAMES[] = {
    {                           NULL,  0},
    { (const uint8_t *)"promotional", 11},
    { (const uint8_t *)"entitlement", 11},
    {        (const uint8_t *)"paid",  4},
    {   (const uint8_t *)"unlimited",  9},
    {        (const uint8_t *)"chat",  4},
    {    (const uint8_t *)"requests",  8},
    {(const uint8_t *)"chat/message", 12},
    {       (const uint8_t *)"extra",  5},
};
enum { CHAT = SYMBOL_FIRST_FREE, REQUESTS, MESSAGE, EXTRA, UNKNOWN };

struct desk {
    struct command command;
    struct fact *fact;
    struct projection *projection;
    struct projection_parts parts;
};

static int start(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    assert_non_null(desk);
    desk->fact = calloc(1, sizeof *desk->fact);
    void *block = calloc(1, projection_bytes());
    assert_non_null(desk->fact);
    assert_non_null(block);
    desk->projection = projection_over(block);
    desk->fact->position = position_make(9, 3);
    desk->fact->at_ms = 1000;
    desk->fact->has_customer = true;
    desk->command = (struct command){
        .kind = COMMAND_CONSUME,
        .customer = BYTES("acme"),
        .feature = BYTES("chat"),
    };
    desk->fact->report = (struct report){
        .kind = COMMAND_CONSUME,
        .id = desk->fact->position,
        .outcome = OUTCOME_ALLOW,
        .unit = REQUESTS,
    };
    desk->parts = (struct projection_parts){
        .command = &desk->command,
        .fact = desk->fact,
        .customer = BYTES("acme"),
        .symbols = {.name = NAMES, .count = EXTRA},
    };
    *state = desk;
    return 0;
}

static int stop(void **state)
{
    struct desk *desk = *state;
    free(desk->fact);
    free(desk->projection);
    free(desk);
    return 0;
}

static struct effect *add_lot(struct desk *desk, enum lot_cause cause, int64_t remaining,
                              int64_t held)
{
    struct effect *effect = &desk->fact->effects[desk->fact->effect_count++];
    effect->kind = EFFECT_LOT;
    effect->lot.id = 77;
    effect->lot.cause = cause;
    effect->lot.remaining_delta = remaining;
    effect->lot.held_delta = held;
    effect->lot.remaining_after = 100 + remaining;
    effect->lot.held_after = held;
    return effect;
}

static void add_line(struct desk *desk, uint32_t source, enum source_kind kind, int64_t charged)
{
    struct report *report = &desk->fact->report;
    report->lines[report->line_count++] = (struct line){
        .source = source,
        .kind = kind,
        .grant_id = kind == SOURCE_GRANTS ? 77 : 0,
        .charged = charged,
    };
    report->charged += charged;
}

static void check_refused(struct desk *desk, const char *complaint)
{
    assert_false(project(&desk->parts, desk->projection));
    if (strstr(desk->projection->complaint, complaint) == NULL)
        fail_msg("%s", desk->projection->complaint);
}

static void names_that_no_policy_had_are_refused(void **state)
{
    struct desk *desk = *state;
    add_line(desk, UNKNOWN, SOURCE_UNLIMITED, 0);
    check_refused(desk, "source");
    desk->fact->report.line_count = 0;
    desk->fact->report.unit = UNKNOWN;
    check_refused(desk, "unit");
    desk->fact->report.unit = REQUESTS;
    desk->fact->report.price_settled = (struct settled_price){.version = 1, .q = 1};
    desk->fact->report.price = UNKNOWN;
    check_refused(desk, "price");
    desk->fact->report.price = MESSAGE;
    desk->fact->report.has_overshoot = true;
    desk->fact->report.overshoot = (struct overshoot){
        .units = 1, .charged = 5, .booked = OVERSHOOT_OVERAGE, .overage = UNKNOWN};
    check_refused(desk, "overage");
    desk->fact->report.overshoot.overage = EXTRA;
    assert_true(project(&desk->parts, desk->projection));
}

static void a_hold_that_changes_a_balance_is_refused(void **state)
{
    struct desk *desk = *state;
    add_line(desk, SYMBOL_PAID, SOURCE_GRANTS, 5);
    add_lot(desk, LOT_HOLD, -5, 4);
    check_refused(desk, "hold or a return");
    desk->fact->effect_count = 0;
    add_lot(desk, LOT_HOLD, -5, 5);
    assert_true(project(&desk->parts, desk->projection));
    assert_int_equal(0, desk->projection->balance_count);
}

static enum category always_promotional(void *self, uint64_t grant_id)
{
    (void)self;
    return grant_id == 77 ? CATEGORY_PROMOTIONAL : 0;
}

static void a_grant_that_nobody_knows_is_refused(void **state)
{
    struct desk *desk = *state;
    desk->command.kind = COMMAND_DUE;
    desk->command.due_what = DUE_GRANT_EXPIRY;
    desk->command.due_ms = 900;
    desk->fact->report = (struct report){.kind = COMMAND_DUE};
    add_lot(desk, LOT_EXPIRE, -100, 0);
    check_refused(desk, "not in the books");
    desk->parts.category_of = always_promotional;
    assert_true(project(&desk->parts, desk->projection));
    const struct balance_row *row = &desk->projection->balances[0];
    assert_true(bytes_equal(BYTES("promotional"), row->name));
    assert_int_equal(900, row->at_ms); /* as at its due time */
    assert_int_equal(0, row->decision);
    assert_int_equal(CAUSE_EXPIRY, row->cause);
}

static void one_account_and_cause_is_one_row_and_what_cancels_out_is_none(void **state)
{
    struct desk *desk = *state;
    add_line(desk, SYMBOL_PAID, SOURCE_GRANTS, 12);
    add_lot(desk, LOT_CHARGE, -5, 0)->lot.remaining_after = 95;
    add_lot(desk, LOT_CHARGE, -7, 0)->lot.remaining_after = 88;
    add_lot(desk, LOT_REFUND, 3, 0)->lot.remaining_after = 91;
    add_lot(desk, LOT_EXPIRE, -3, 0)->lot.remaining_after = 88;
    assert_true(project(&desk->parts, desk->projection));
    assert_int_equal(3, desk->projection->balance_count);
    const struct balance_row *rows = desk->projection->balances;
    assert_int_equal(-12, rows[0].delta);
    assert_int_equal(88, rows[0].account_after);
    assert_int_equal(91, rows[1].account_after);
    assert_int_equal(88, rows[2].account_after);
    assert_int_equal(2, rows[2].place);

    desk->fact->effect_count = 0;
    desk->fact->report.line_count = 0;
    desk->fact->report.charged = 0;
    desk->parts.category_of = always_promotional;
    add_lot(desk, LOT_CHARGE, -5, 0);
    add_lot(desk, LOT_CHARGE, 5, 0);
    assert_true(project(&desk->parts, desk->projection));
    assert_int_equal(0, desk->projection->balance_count);
}

static void costs_are_exact_to_the_last_bit(void **state)
{
    struct desk *desk = *state;
    struct report *report = &desk->fact->report;
    report->price = MESSAGE;
    report->price_settled = (struct settled_price){
        .version = UINT64_MAX, .q = UINT64_MAX, .rem_before = 1, .rem_after = UINT64_MAX - 1};
    report->charged = INT64_MAX;
    assert_true(project(&desk->parts, desk->projection));
    /* (2^64 - 1)(2^63 - 1) + 2^64 - 2 - 1 */
    assert_true(bytes_equal(BYTES("170141183460469231722463931679029329918"),
                            desk->projection->monetization.cost));
    report->unit = UNIT_COST;
    report->units_allowed = UINT64_MAX;
    report->overshoot.units = 1;
    check_refused(desk, "fit no cost");
    report->unit = REQUESTS;
    report->charged = 0;
    report->overshoot.units = 0;
    report->price_settled.rem_after = 0;
    check_refused(desk, "fit no cost"); /* less than nothing */
}

static void names_are_escaped_in_json(void **state)
{
    struct desk *desk = *state;
    desk->command.attribute_count = 1;
    desk->command.attributes[0] = (struct attribute){BYTES("a\"b"), BYTES("c\\\n")};
    assert_true(project(&desk->parts, desk->projection));
    assert_true(
        bytes_equal(BYTES("{\"a\\\"b\":\"c\\\\\\n\"}"), desk->projection->usage.attributes));
    assert_true(bytes_equal(BYTES("{}"), desk->projection->usage.asked));
    assert_true(bytes_equal(BYTES("[]"), desk->projection->usage.sources));
    assert_null(desk->projection->usage.model.at);
}

/* Goal: what joined a crowd is found by the id that it was told, and by the rows of its own. */
static void who_joined_a_crowd_is_of_its_first(void **state)
{
    struct desk *desk = *state;
    desk->fact->report.outcome = OUTCOME_DENY;
    desk->fact->report.reason = REASON_INSUFFICIENT_CREDITS;
    assert_true(project(&desk->parts, desk->projection));
    assert_int_equal(desk->projection->usage.decision, desk->fact->position);
    assert_int_equal(desk->projection->usage.count, 1);
    desk->fact->report.crowd = 983;
    desk->fact->report.id = position_make(8, 17);
    assert_true(project(&desk->parts, desk->projection));
    assert_int_equal(desk->projection->usage.position, desk->fact->position);
    assert_int_equal(desk->projection->usage.decision, position_make(8, 17));
    assert_int_equal(desk->projection->usage.count, 983);
    assert_false(desk->projection->has_monetization);
}

static void rows_hash_as_they_are_described(void **state)
{
    (void)state;
    const struct value values[] = {
        {.kind = VALUE_NULL    },
        value_of_signed(-2),
        value_of_text(BYTES("ab")),
        value_of_text(BYTES_NONE),
        { .kind = VALUE_BLOB,.bytes = BYTES("\x07")},
    };
    uint8_t block[64];
    struct buffer buffer = buffer_over(block, sizeof block);
    values_encode(values, COUNT_OF(values), &buffer);
    static const uint8_t expected[] = {0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       2, 2, 0,    0,    0,    'a',  'b',  2,    0,    0,
                                       0, 0, 3,    1,    0,    0,    0,    7};
    assert_int_equal(sizeof expected, buffer.used);
    assert_memory_equal(expected, block, sizeof expected);
    struct value other[COUNT_OF(values)];
    memcpy(other, values, sizeof other);
    assert_true(values_equal(values, other, COUNT_OF(values)));
    other[4].bytes = BYTES("\x08");
    assert_false(values_equal(values, other, COUNT_OF(values)));
    other[4].kind = VALUE_TEXT;
    assert_false(values_equal(values, other, COUNT_OF(values)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_that_no_policy_had_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_hold_that_changes_a_balance_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(a_grant_that_nobody_knows_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(
            one_account_and_cause_is_one_row_and_what_cancels_out_is_none, start, stop),
        cmocka_unit_test_setup_teardown(costs_are_exact_to_the_last_bit, start, stop),
        cmocka_unit_test_setup_teardown(names_are_escaped_in_json, start, stop),
        cmocka_unit_test_setup_teardown(who_joined_a_crowd_is_of_its_first, start, stop),
        cmocka_unit_test(rows_hash_as_they_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
