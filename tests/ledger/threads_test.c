/*
 * threads_test.c: the settler between its three threads: one offers batches, one settles, one asks
 * for heads. What is asked is what is durable, never goes back, and ends where the engine is.
 */
#include "books.h"

#include <stdatomic.h>

static const char *const POLICY[] = {
    "version: 1\n"
    "defaults: {plan: free}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, prices: chat}\n"
    "prices:\n"
    "  chat: [{name: message, rates: {requests: {credits: \"1\", per: 1}}}]\n"
    "plans:\n"
    "  free: {features: {chat: {waterfall: [{grants: {category: paid}}]}}}\n",
};
#define CHARGES 2000u
#define BATCHES_MAX 1000u

struct offer {
    struct batch_header header;
    struct bytes body;
};

struct offering {
    struct settler *settler;
    struct runner *runner;
    struct offer offers[BATCHES_MAX];
    uint32_t count;
};

static void offer_all(void *argument)
{
    struct offering *offering = argument;
    for (uint32_t at = 0; at < offering->count; at++) {
        const struct offer *offer = &offering->offers[at];
        settler_offer(offering->settler, &offer->header, offer->body);
        settler_set_durable(offering->settler, offer->header.sequence);
        runner_wake(offering->runner);
    }
}

/* The journal in memory belongs to the settling thread while that runs: the views into it are taken
 * before, and stay. */
static void collect(struct books *books, struct offering *offering)
{
    struct journal *journal = books->journal;
    for (uint64_t sequence = 2; sequence <= journal->tip.sequence; sequence++) {
        assert_true(offering->count < BATCHES_MAX);
        struct offer *offer = &offering->offers[offering->count++];
        assert_int_equal(JOURNAL_OK,
                         journal->calls->read(journal, sequence, &offer->header, &offer->body));
    }
}

/* Asks until the answer is as of the last batch. */
static void ask_to_the_end(struct books *books, uint64_t last)
{
    struct settler_answer before = {0};
    const struct settler_ask ask = {.token = 5, .customer = hash_128(WORLD_KEY, BYTES("acme"))};
    while (before.cursor < last) {
        struct settler_answer answer;
        assert_int_equal(LEDGER_OK, settler_fault(books->settler));
        assert_true(settler_ask_head(books->settler, &ask));
        while (!settler_take_answer(books->settler, &answer))
            wake_wait(books->parts.loop_wake, 1000);
        wake_clear(books->parts.loop_wake);
        assert_int_equal(5, answer.token);
        assert_true(answer.cursor >= before.cursor && answer.updates >= before.updates);
        assert_true(settler_cursor(books->settler) >= answer.cursor);
        /* Bought once, then a credit less with each row. */
        if (answer.updates != 0)
            assert_int_equal(((int64_t)CHARGES + 1 - (int64_t)answer.updates) * NANO_PER_CREDIT,
                             answer.settled);
        before = answer;
    }
    assert_int_equal(CHARGES + 1, before.updates);
    assert_int_equal(0, before.settled);
}

static void heads_are_asked_while_batches_are_offered_and_settled(void **state)
{
    (void)state;
    struct world *world = world_open(POLICY, 1);
    world_check_purity(world, false);
    char line[64];
    (void)snprintf(line, sizeof line, "grant acme paid %u", CHARGES);
    (void)world_do(world, line);
    for (unsigned i = 0; i < CHARGES; i++)
        (void)world_do(world, "consume acme chat requests=1");
    struct books *books = books_open();
    struct wake wake;
    assert_true(wake_open(&wake));
    books->parts.loop_wake = &wake;
    books_append(books, world, false);
    struct offering *offering = calloc(1, sizeof *offering);
    assert_non_null(offering);
    collect(books, offering);
    const uint64_t last = books->journal->tip.sequence;
    books_start_settler(books);
    settler_close(books->settler);
    books->parts.durable = 1;
    struct ledger_detail detail;
    assert_int_equal(LEDGER_OK, settler_open(&books->parts, &books->settler, &detail));

    struct runner runner;
    struct thread thread;
    offering->settler = books->settler;
    offering->runner = &runner;
    assert_true(runner_start(&runner, "settle", settle_step, books->settler, 1));
    assert_true(thread_start(&thread, "offer", offer_all, offering));
    ask_to_the_end(books, last);
    thread_join(&thread);
    runner_stop(&runner);
    books_check(books);
    free(offering);
    books_close(books);
    wake_close(&wake);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_asked_while_batches_are_offered_and_settled),
    };
    return cmocka_run_group_tests_name("settler's threads", tests, NULL, NULL);
}
