/*
 * settle_test.c: what the real engine decides, settled into a real ledger.db.
 *
 * Stories say by hand which rows each end of a decision has (SEMANTICS B1, H3, H7, S4). Random
 * worlds say that it is the same however the settler is stopped, its transactions cut and its
 * ledger lost; that the books and the engine agree (B2); and that chains, seals, sums and rollups
 * hold. WEIR_SEED and WEIR_RUNS repeat and lengthen.
 */
#include "books.h"

#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>

#include "ledger/settler_inner.h"

/* One credit a message; tokens at 1/700 nano-credit and a bit, so that remainders move; three ways
 * to overshoot; gifts that recur and roll over. */
static const char *const POLICY[] = {
    "version: 1\n"
    "defaults: {plan: free, hold_ttl: 60s, idempotency_retention: 24h, overshoot: refund}\n"
    "features:\n"
    "  chat: {meters: [requests], unit: requests, divisible: true, prices: chat}\n"
    "  tokens: {meters: [requests, in, out], unit: cost, divisible: true, prices: tokens}\n"
    "  seconds: {meters: [seconds], unit: seconds, divisible: true, prices: seconds}\n"
    "  free: {meters: [requests], unit: requests}\n"
    "prices:\n"
    "  chat:\n"
    "    - {name: message, rates: {requests: {credits: \"1\", per: 1}}}\n"
    "  tokens:\n"
    "    - name: fine\n"
    "      rates: {in: {credits: \"0.0000125\", per: 700}, out: {credits: \"0.0000751\", per: "
    "700}}\n"
    "      multiply: {speed: {standard: \"1\", fast: \"2\"}}\n"
    "  seconds:\n"
    "    - {name: second, rates: {seconds: {credits: \"0.000000001\", per: 3}}}\n"
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 40}\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, windows: [{limit: 2, per: day, start: calendar}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "      tokens:\n"
    "        waterfall:\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      seconds:\n"
    "        waterfall:\n"
    "          - grants: {category: paid}\n"
    "      free:\n"
    "        waterfall: [{unlimited: {}}]\n"
    "  debt:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: debt\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "      tokens:\n"
    "        overshoot: debt\n"
    "        waterfall: [{grants: {category: promotional}}, {grants: {category: paid}}]\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        waterfall:\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: extra, credits: \"3\", per: month, start: calendar}\n"
    "  monthly:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall: [{grants: {category: entitlement}}, {grants: {category: paid}}]\n"
    "    recurring:\n"
    "      - grant: {name: gift, category: entitlement, credits: \"5\", per: day, start: calendar, "
    "rollover_max: \"2\"}\n",
};

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* --- stories --------------------------------------------------------------------------------- */

#define USAGE "SELECT kind,outcome,reason,units_requested,units_allowed,charged,sources,late,count "
#define BALANCES \
    "SELECT number,account,name,cause,delta,account_after,customer_after FROM balance_updates"

static void tell(const char *const *lines, const char *const (*queries)[2], size_t query_count)
{
    struct world *world = world_open(POLICY, 1);
    for (; *lines != NULL; lines++) {
        const char *answer = world_do(world, *lines);
        if (strncmp(answer, "!", 1) == 0) fail_msg("%s: %s", *lines, answer);
    }
    struct books *books = books_open();
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    books_check(books);
    unsigned wrong = 0;
    for (size_t at = 0; at < query_count; at++) {
        char *text = books_query(books, queries[at][0]);
        if (strcmp(text, queries[at][1]) != 0) {
            wrong++;
            print_error("%s\nexpected:\n%s\nfound:\n%s\n", queries[at][0], queries[at][1], text);
        }
        free(text);
    }
    books_close(books);
    world_close(world);
    assert_int_equal(0, wrong);
}

#define TELL(lines, queries) tell(lines, queries, COUNT_OF(queries))

static void each_end_of_a_decision_is_one_usage_event(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "grant a paid 10",
        "consume a chat requests=3 .model=x .endpoint=/v1 subject=team/al",
        "A: authorize a chat requests=4",
        "commit A requests=2",
        "B: authorize a chat requests=1",
        "release B",
        "C: authorize a chat requests=1 ttl=10s",
        "at +1m",
        "commit C requests=1",
        "usage a chat requests=1",
        "consume a chat requests=30",
        "D: authorize a chat requests=1",
        "extend D requests=20",
        "check a chat requests=1",
        "extend D requests=1",
        "commit D status=failed",
        NULL,
    };
    static const char *const queries[][2] = {
        {"SELECT kind,outcome,reason,units_requested,units_allowed,charged,late,count,"
"decision=position,asked,actual,status FROM usage_events ORDER BY position",          "consume|allow|ok|3|3|1000000000|0|1|1|{\"requests\":3}|{\"requests\":3}|succeeded\n"
          "commit|allow|ok|2|2|2000000000|0|1|0|{\"requests\":4}|{\"requests\":2}|succeeded\n"
          "release|allow|ok|0|0|0|0|1|0|{\"requests\":1}|{}|~\n"
          "expiry|allow|ok|0|0|0|0|1|0|{\"requests\":1}|{}|~\n"
          "commit|allow|ok|1|1|1000000000|1|1|0|{\"requests\":1}|{\"requests\":1}|succeeded\n"
          "usage|allow|ok|1|1|1000000000|0|1|1|{\"requests\":1}|{\"requests\":1}|succeeded\n"
          "denial|deny|insufficient_credits|30|0|0|0|1|1|{\"requests\":30}|{}|~\n"
          "denial|deny|insufficient_credits|20|0|0|0|1|0|{\"requests\":20}|{}|~\n"
          "commit|allow|ok|0|0|0|0|1|0|{\"requests\":1}|{\"requests\":2}|failed\n"        },
        {                                                                  "SELECT subject,feature,endpoint,model,origin,attributes,unit,sources FROM usage_events "
                                                                  "LIMIT 1",                                        "team/al|chat|/v1|x|~|{\"endpoint\":\"/v1\",\"model\":\"x\"}|requests|"
                                        "[{\"source\":\"daily\",\"kind\":\"allowance\",\"units\":2,\"charged\":0},"
                                        "{\"source\":\"paid\",\"kind\":\"grant\",\"grant_id\":8193,\"units\":1,"
                                        "\"charged\":1000000000}]\n"        },
        {                           "SELECT kind,price,price_version<>0,units,m.cost,m.charged FROM monetization_events m "
                           "JOIN "
                           "usage_events USING(position) ORDER BY position",                                     "consume|chat/message|1|1|1000000000|1000000000\n"
                                     "commit|chat/message|1|2|2000000000|2000000000\n"
                                     "commit|chat/message|1|1|1000000000|1000000000\n"
                                     "usage|chat/message|1|1|1000000000|1000000000\n"
                                     "commit|chat/message|1|0|0|0\n"        },
        {                                                                            BALANCES, "1|grant|paid|purchase|10000000000|10000000000|10000000000\n"
 "2|grant|paid|charge|-1000000000|9000000000|9000000000\n"
 "3|grant|paid|charge|-2000000000|7000000000|7000000000\n"
 "4|grant|paid|charge|-1000000000|6000000000|6000000000\n"
 "5|grant|paid|charge|-1000000000|5000000000|5000000000\n"         },
        {                                            "SELECT outcome,sum(requests),sum(denied),sum(units),sum(charged) FROM usage_rollup "
                                            "WHERE what='event' GROUP BY 1",                                    "allow|6|0|7|5000000000\ndeny|2|2|0|0\n"},
    };
    TELL(lines, queries);
}

static void an_overshoot_is_refunded_booked_as_debt_or_as_overage(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "grant r paid 1",
        "usage r chat requests=5", /* 2 free, 1 paid, 2 beyond */
        "customer d plan=debt",
        "grant d paid 1",
        "usage d chat requests=4",
        "grant d promotional 1",
        "grant d paid 2",
        "grant d paid 2",
        "customer o plan=over",
        "grant o paid 1",
        "usage o chat requests=7", /* 1 paid, 3 overage, 3 above its cap */
        NULL,
    };
    static const char *const queries[][2] = {
        {                         "SELECT customer,units_allowed,charged,overshoot_units,overshoot_charged,"
                         "overshoot_refunded FROM usage_events","r|3|1000000000|2|2000000000|2000000000\n"
"d|1|1000000000|3|3000000000|0\n"
"o|4|4000000000|3|3000000000|0\n"                                                                                  },
        {"SELECT customer,units,cost/q,overshoot_booked FROM monetization_events",
         "r|1|3000000000|refund\nd|1|4000000000|debt\no|4|7000000000|overage\n"                                                                  },
        {                                          BALANCES " WHERE customer='r'",             /* refund first: no running balance is below zero (H3) */
             "1|grant|paid|purchase|1000000000|1000000000|1000000000\n"
             "2|grant|paid|charge|-1000000000|0|0\n"
             "3|overshoot|~|overshoot_refund|2000000000|2000000000|2000000000\n"
             "4|overshoot|~|overshoot_charge|-2000000000|0|0\n"},
        {                                          BALANCES " WHERE customer='d'",                /* only paid grants repay */
                "1|grant|paid|purchase|1000000000|1000000000|1000000000\n"
                "2|grant|paid|charge|-1000000000|0|0\n"
                "3|debt|~|debt|-3000000000|-3000000000|-3000000000\n"
                "4|grant|promotional|grant|1000000000|1000000000|-2000000000\n"
                "5|grant|paid|purchase|2000000000|2000000000|0\n"
                "6|grant|paid|repayment|-2000000000|0|-2000000000\n"
                "7|debt|~|repayment|2000000000|-1000000000|0\n"
                "8|grant|paid|purchase|2000000000|2000000000|2000000000\n"
                "9|grant|paid|repayment|-1000000000|1000000000|1000000000\n"
                "10|debt|~|repayment|1000000000|0|2000000000\n"},
        {                                          BALANCES " WHERE customer='o'", /* overage stands outside the four numbers (S4) */
 "1|grant|paid|purchase|1000000000|1000000000|1000000000\n"
 "2|grant|paid|charge|-1000000000|0|0\n"
 "3|overage|extra|charge|-3000000000|-3000000000|0\n"
 "4|overage|extra|overshoot_charge|-3000000000|-6000000000|0\n"},
    };
    TELL(lines, queries);
}

static void what_returns_to_a_grant_that_is_over_has_a_row_of_its_own(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "consume a chat requests=2", /* today's free ones */
        "G: grant a paid 10 until=+30m",
        "H: authorize a chat requests=4 ttl=2h",
        "I: consume a chat requests=1",
        "at +31m", /* 5 expire, 4 are held */
        "commit H requests=1",
        "refund I all",
        "V: grant b paid 9",
        "consume b chat requests=2",
        "W: authorize b chat requests=3",
        "void V",
        "release W",
        NULL,
    };
    static const char *const queries[][2] = {
        {                    BALANCES " WHERE customer='a'",
         "1|grant|paid|purchase|10000000000|10000000000|10000000000\n"
         "2|grant|paid|charge|-1000000000|9000000000|9000000000\n"
         "3|grant|paid|expiry|-5000000000|4000000000|4000000000\n"
         "4|grant|paid|charge|-1000000000|3000000000|3000000000\n"
         "5|grant|paid|expiry|-3000000000|0|0\n"
         "6|grant|paid|refund|1000000000|1000000000|1000000000\n"
         "7|grant|paid|expiry|-1000000000|0|0\n"                                                                                          },
        {                    BALANCES " WHERE customer='b'", "1|grant|paid|purchase|9000000000|9000000000|9000000000\n"
 "2|grant|paid|void|-6000000000|3000000000|3000000000\n"
 "3|grant|paid|void|-3000000000|0|0\n"                                        },
        {      "SELECT credits,expired,reason FROM refunds",                                                   "1000000000|1000000000|~\n"},
        {"SELECT number,cause,(at_ms-(SELECT min(at_ms) FROM usage_events))/60000,decision IS NULL "
"FROM balance_updates WHERE customer='a'",                                      /* a grant leaves when it expires */
                                      "1|purchase|0|1\n2|charge|0|0\n3|expiry|30|1\n4|charge|31|0\n5|expiry|31|0\n"
                                      "6|refund|31|0\n7|expiry|31|0\n"                 },
    };
    TELL(lines, queries);
}

static void gifts_recur_and_roll_over(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "customer a plan=monthly",
        "consume a chat requests=1",
        "at +24h",
        "balance a",
        "grant a paid 3 from=+1h",
        "at +26h",
        "consume a chat requests=1",
        NULL,
    };
    static const char *const queries[][2] = {
        {                                                                            BALANCES,"1|grant|entitlement|renewal|5000000000|5000000000|5000000000\n"
"2|grant|entitlement|charge|-1000000000|4000000000|4000000000\n"
"3|grant|entitlement|rollover|-2000000000|2000000000|2000000000\n"
"4|grant|entitlement|renewal|7000000000|7000000000|9000000000\n"
"5|grant|entitlement|expiry|-2000000000|0|7000000000\n"
"6|grant|paid|purchase|3000000000|3000000000|10000000000\n"
"7|grant|entitlement|charge|-1000000000|6000000000|9000000000\n"},
        {"SELECT customer,category,credits,recurring,expires_ms IS NULL,features FROM grants",
         "a|entitlement|5000000000|gift|0|[]\na|entitlement|7000000000|gift|0|[]\n"
         "a|paid|3000000000|~|1|[]\n"                            },
    };
    TELL(lines, queries);
}

static void remainders_are_carried_from_row_to_row(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "grant a paid 1",
        "consume a seconds seconds=1",
        "consume a seconds seconds=1",
        "consume a seconds seconds=1",
        "consume a tokens in=1 out=1",
        "consume a tokens in=699 out=699 .speed=fast",
        "usage a free requests=3",
        NULL,
    };
    static const char *const queries[][2] = {
        {                                "SELECT feature,price,q,cost,remainder_before,remainder_after,charged FROM "
                                "monetization_events", "seconds|seconds/second|3|1|0|1|0\nseconds|seconds/second|3|1|1|2|0\n"
 "seconds|seconds/second|3|1|2|0|1\n"
 "tokens|tokens/fine|7|876|0|1|125\ntokens|tokens/fine|7|1224648|1|6|174949\n"
 "free|~|0|0|0|0|0\n"                 },
        {"SELECT sum(-delta) FROM balance_updates WHERE cause='charge'",                   "175075\n"},
    };
    TELL(lines, queries);
}

/* --- random worlds --------------------------------------------------------------------------- */

static void random_line(struct prng *prng, unsigned hold, char line[256])
{
    static const char *const plans[] = {"free", "debt", "over", "monthly"};
    static const char *const shapes[] = {"chat requests=%u",         "tokens in=%u out=3",
                                         "seconds seconds=%u",       "chat requests=%u",
                                         "tokens in=%u .speed=fast", "free requests=%u"};
    const unsigned c = (unsigned)prng_below(prng, 4);
    const unsigned n = (unsigned)prng_below(prng, 9);
    const unsigned old = hold > 8 ? hold - (unsigned)prng_below(prng, 8) : hold;
    char what[64];
    const unsigned shape = (unsigned)prng_below(prng, COUNT_OF(shapes));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(what, sizeof what, shapes[shape], n);
#pragma GCC diagnostic pop
    switch (prng_below(prng, 16)) {
    case 0:
        sprintf(line, "g%u: grant c%u paid %u.%u until=+%um", hold, c, n, n, 200 * n + 9);
        return;
    case 1:
        sprintf(line, "g%u: grant c%u promotional 0.0000%u", hold, c, n + 1);
        return;
    case 2:
        sprintf(line, "customer c%u plan=%s", c, plans[prng_below(prng, COUNT_OF(plans))]);
        return;
    case 3:
        sprintf(line, "void g%u", old);
        return;
    case 4:
        sprintf(line, "usage c%u %s", c, what);
        return;
    case 5:
    case 6:
    case 7:
        sprintf(line, "h%u: consume c%u %s subject=s%u%s", hold, c, what, n % 3,
                n == 1 ? " min=1" : "");
        return;
    case 8:
    case 9:
    case 10:
        sprintf(line, "h%u: authorize c%u %s subject=s%u ttl=%us%s", hold, c, what, n % 3,
                1 + 60 * n, n == 2 ? " min=1" : "");
        return;
    case 11:
    case 12:
        sprintf(line, "commit h%u %s", old,
                n == 0   ? "status=failed"
                : n == 1 ? "status=moderated"
                         : strchr(what, ' ') + 1);
        if (strchr(line, '.') != NULL) *strchr(line, '.') = '\0';
        return;
    case 13:
        sprintf(line, "release h%u", old);
        return;
    case 14:
        sprintf(line, "extend h%u ttl=90s", old);
        return;
    default:
        sprintf(line, n < 5 ? "refund h%u all" : "refund h%u 0.5", old);
        return;
    }
}

static struct world *random_world(uint64_t seed, unsigned steps)
{
    struct world *world = world_open(POLICY, 1);
    world_check_purity(world, false);
    struct prng prng = {seed};
    int64_t now_ms = 0;
    for (unsigned step = 0; step < steps; step++) {
        char line[256];
        if (prng_below(&prng, 4) == 0) {
            now_ms += (int64_t)prng_below(&prng, 20 * 60000);
            sprintf(line, "at +%" PRId64 "ms", now_ms);
        } else {
            random_line(&prng, step, line);
        }
        (void)world_do(world, line);
    }
    return world;
}

static void check_balances_against_engine(struct books *books, struct world *world, uint64_t seed)
{
    for (unsigned c = 0; c < 4; c++) {
        char name[8];
        (void)snprintf(name, sizeof name, "c%u", c);
        static struct balance_view view;
        const struct settler_ask ask = {.token = c,
                                        .customer = hash_128(WORLD_KEY, bytes_of_text(name))};
        assert_true(settler_ask_head(books->settler, &ask));
        struct settler_answer answer;
        assert_true(settle_step(books->settler));
        assert_true(settler_take_answer(books->settler, &answer));
        assert_int_equal(c, answer.token);
        const bool is_known = engine_balance(world_engine(world), world_policy(world),
                                             bytes_of_text(name), world_now(world), &view);
        assert_int_equal(is_known, answer.is_known);
        if (is_known && answer.settled != view.available + view.held)
            fail_msg("seed %" PRIu64 " %s: settled %" PRId64 ", available %" PRId64
                     " held %" PRId64,
                     seed, name, answer.settled, view.available, view.held);
    }
}

/* A scan of all events, in the shape of the rollup. */
static void check_rollup(struct books *books)
{
    char sql[4096];
    (void)snprintf(sql, sizeof sql,
                   "WITH usage_exploded AS (%s) SELECT "
                   "at_ms-at_ms%%3600000,customer,subject,feature,endpoint,model,origin,outcome,"
                   "what,name,sum(requests),sum(denied),sum(units),sum(charged),sum(quantity),"
                   "sum(duration_ms) FROM usage_exploded GROUP BY 1,2,3,4,5,6,7,8,9,10",
                   LEDGER_EXPLODED);
    char *scan = books_query(books, sql);
    char *rollup =
        books_query(books, "SELECT start_ms,customer,subject,feature,endpoint,model,origin,"
                           "outcome,what,name,requests,denied,units,charged,quantity,duration_ms "
                           "FROM usage_rollup ORDER BY 1,2,3,4,5,6,7,8,9,10");
    assert_string_equal(scan, rollup);
    free(scan);
    free(rollup);
}

static void check_equal(char *left, char *right)
{
    if (strcmp(left, right) != 0) {
        size_t at = 0;
        while (left[at] == right[at])
            at++;
        while (at > 0 && left[at - 1] != '\n')
            at--;
        fail_msg("%.300s\n----\n%.300s", left + at, right + at);
    }
    free(left);
    free(right);
}

#define DAYS_THROUGH "(SELECT value FROM meta WHERE name='days_through_ms')"

/* Days are the sums of their hours: of all days but the last that has an event, once all is done;
 * at any moment, of those before days_through_ms. Gives how many rows. */
static unsigned check_days(struct books *books, bool is_done)
{
    if (is_done)
        check_equal(books_query(books, "SELECT " DAYS_THROUGH),
                    books_query(books, "SELECT ifnull((SELECT start_ms-start_ms%86400000+86400000 "
                                       "FROM usage_rollup WHERE start_ms<(SELECT max(start_ms)-"
                                       "max(start_ms)%86400000 FROM usage_rollup) "
                                       "ORDER BY start_ms DESC LIMIT 1),0)"));
    check_equal(
        books_query(books, "SELECT start_ms-start_ms%86400000,customer,subject,feature,endpoint,"
                           "model,origin,outcome,what,name,sum(requests),sum(denied),sum(units),"
                           "sum(charged),sum(quantity),sum(duration_ms) FROM usage_rollup "
                           "WHERE start_ms<" DAYS_THROUGH " GROUP BY 1,2,3,4,5,6,7,8,9,10"),
        books_query(books, "SELECT start_ms,customer,subject,feature,endpoint,model,"
                           "origin,outcome,what,name,requests,denied,units,charged,"
                           "quantity,duration_ms FROM usage_days WHERE start_ms<" DAYS_THROUGH
                           " ORDER BY 1,2,3,4,5,6,7,8,9,10"));
    char *rows = books_query(books, "SELECT count(*) FROM usage_days");
    const unsigned count = (unsigned)atoi(rows);
    free(rows);
    return count;
}

/* In each life something more is used, settled and rolled before days go on. */
static void days_are_made_once_whatever_is_killed(void **state)
{
    (void)state;
    const uint64_t first = number_from("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + number_from("WEIR_RUNS", 2); seed++) {
        struct world *world = random_world(seed, 900);
        struct prng prng = {seed};
        struct books *books = books_open();
        books->parts.roll_events = seed % 2 == 0 ? 3 : 1;
        uint64_t steps_max = UINT32_MAX; /* of the first life: until a day is begun */
        unsigned halves = 0;
        bool is_done = false;
        while (!is_done) {
            (void)world_do(world, "usage c1 chat requests=1");
            books_append(books, world, false);
            books_start_settler(books);
            bool is_half = false;
            for (uint64_t steps = 0; steps < steps_max && !is_done; steps++) {
                is_done = !settle_step(books->settler);
                char *half = books_query(
                    books, "SELECT count(*)>0 FROM usage_days WHERE start_ms>=" DAYS_THROUGH);
                is_half = atoi(half) == 1;
                free(half);
                if (is_half && steps_max == UINT32_MAX) break;
            }
            assert_int_equal(LEDGER_OK, settler_fault(books->settler));
            steps_max = 4 + prng_below(&prng, 8);
            halves += is_half ? 1 : 0;
            (void)check_days(books, is_done);
            if (!is_done) books_stop_settler(books);
        }
        check_rollup(books);
        assert_true(check_days(books, true) > 20);
        assert_true(halves > 2);
        books_close(books);
        world_close(world);
    }
}

/* B2, B3. */
static void the_books_agree_with_the_engine_and_with_themselves(void **state)
{
    (void)state;
    const uint64_t first = number_from("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + number_from("WEIR_RUNS", 8); seed++) {
        struct world *world = random_world(seed, 400);
        struct books *books = books_open();
        books->parts.roll_events = seed % 2 == 0 ? 1 : 7;
        books_start_settler(books);
        books_append(books, world, true);
        books_settle(books);
        books_check(books);
        check_balances_against_engine(books, world, seed);
        check_rollup(books);
        (void)check_days(books, true);
        books_close(books);
        world_close(world);
    }
}

/* Settles with a kill behind every transaction. */
static char *settle_in_lives(const struct world *world, uint32_t batches_max, bool with_seals)
{
    struct books *books = books_open();
    books->parts.batches_max = batches_max;
    books_append(books, world, false);
    do
        books_start_settler(books);
    while (books_settle_once(books) && (books_stop_settler(books), true));
    books_check(books);
    char *dump = books_dump(books, with_seals);
    books_close(books);
    return dump;
}

static char *settle_at_once(const struct world *world, uint32_t batches_max, bool with_seals)
{
    struct books *books = books_open();
    books->parts.batches_max = batches_max;
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    char *dump = books_dump(books, with_seals);
    books_close(books);
    return dump;
}

static void a_kill_behind_any_transaction_changes_no_byte(void **state)
{
    (void)state;
    const uint64_t first = number_from("WEIR_SEED", 1);
    for (uint64_t seed = first; seed < first + number_from("WEIR_RUNS", 3); seed++) {
        struct world *world = random_world(seed, 250);
        check_equal(settle_at_once(world, 2, true), settle_in_lives(world, 2, true));
        world_close(world);
    }
}

static void however_transactions_are_cut_the_rows_are_the_same(void **state)
{
    (void)state;
    struct world *world = random_world(41, 400);
    check_equal(settle_at_once(world, 1, false), settle_at_once(world, 64, false));
    check_equal(settle_at_once(world, 3, false), settle_in_lives(world, 5, false));
    world_close(world);
}

static int refuse_commit(void *countdown)
{
    return --*(int *)countdown == 0;
}

/* The commit itself fails, at every place where there is one: nothing of that transaction is there,
 * the settler stops, and the next life goes on as if nothing had been. */
static void a_transaction_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct world *world = random_world(7, 120);
    char *expected = settle_at_once(world, 2, true);
    bool has_failed = true;
    int commit = 1;
    for (; has_failed; commit++) {
        struct books *books = books_open();
        books->parts.batches_max = 2;
        books_append(books, world, false);
        books_start_settler(books);
        int countdown = commit;
        (void)sqlite3_commit_hook(ledger_connection(books->ledger), refuse_commit, &countdown);
        while (settle_step(books->settler)) {
        }
        has_failed = countdown == 0; /* else it was done before its n-th commit */
        assert_true(countdown >= 0);
        assert_true(has_failed == (settler_fault(books->settler) != LEDGER_OK));
        assert_false(settle_step(books->settler));
        books_stop_settler(books);
        books_start_settler(books);
        books_settle(books);
        char *found = books_dump(books, true);
        assert_string_equal(expected, found);
        free(found);
        books_close(books);
    }
    assert_true(commit > 8);
    free(expected);
    world_close(world);
}

static void a_lost_ledger_is_made_anew_from_the_journal(void **state)
{
    (void)state;
    struct world *world = random_world(9, 300);
    struct books *books = books_open();
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    char *before = books_dump(books, true);
    books_stop_settler(books);
    char path[FILE_PATH_SIZE];
    assert_true(file_path(books->scratch.path, "ledger.db", path));
    assert_int_equal(0, unlink(path));
    books_start_settler(books);
    books_settle(books);
    check_equal(before, books_dump(books, true));
    books_close(books);
    world_close(world);
}

static void heads_are_rebuilt_from_wherever_the_checkpoint_is(void **state)
{
    (void)state;
    struct world *world = random_world(11, 300);
    struct books *books = books_open();
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    static const char *const DAMAGES[] = {
        "UPDATE meta SET value=0 WHERE name='heads_position'",
        "UPDATE meta SET value=0 WHERE name='heads_position';DELETE FROM accounts;"
        "UPDATE customers SET "
        "updates=0,after=0,last_position=0,last_place=0,last_usage=0,overages=0,"
        "last_hash=zeroblob(32)",
    };
    for (size_t at = 0; at < COUNT_OF(DAMAGES); at++) {
        assert_int_equal(SQLITE_OK, sqlite3_exec(ledger_connection(books->ledger), DAMAGES[at],
                                                 NULL, NULL, NULL));
        books_stop_settler(books);
        books_start_settler(books);
        while (settler_counts(books->settler).customers == 0)
            assert_true(settle_step(books->settler));
        books_settle(books);
        check_balances_against_engine(books, world, 11);
    }
    /* What follows is chained to the right place. */
    (void)world_do(world, "usage c0 chat requests=9");
    (void)world_do(world, "usage c1 chat requests=9");
    books_append(books, world, true);
    books_settle(books);
    books_check(books);
    check_balances_against_engine(books, world, 11);
    books_close(books);
    world_close(world);
}

/* --- offers ---------------------------------------------------------------------------------- */

static void batches_come_from_memory_and_those_dropped_from_the_journal(void **state)
{
    (void)state;
    struct world *world = random_world(13, 500);
    char *expected = settle_at_once(world, 16, false);
    struct books *books = books_open();
    books_start_settler(books);
    books_append(books, world, true); /* many more than there are slots */
    books_settle(books);
    const struct settler_counts counts = settler_counts(books->settler);
    assert_int_equal(SETTLER_SLOTS, counts.batches_offered);
    assert_true(counts.batches_read > 0);
    check_equal(expected, books_dump(books, false));
    books_close(books);
    world_close(world);
}

static void commands_of_old_holds_are_read_from_the_journal(void **state)
{
    (void)state;
    struct world *world = world_open(POLICY, 1);
    (void)world_do(world, "grant a paid 9");
    (void)world_do(world, "A: authorize a chat requests=1 subject=me ttl=9h");
    for (unsigned i = 0; i < 400; i++) {
        char line[600];
        (void)snprintf(line, sizeof line,
                       "authorize b free requests=1 ttl=9h .padding=%0210u .more=%0210u", i, i);
        (void)world_do(world, line);
    }
    (void)world_do(world, "commit A requests=1");
    struct books *books = books_open();
    books->parts.holds_bytes = 128 * 1024;
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    assert_int_equal(1, settler_counts(books->settler).holds_recalled);
    char *text = books_query(books, "SELECT kind,subject FROM usage_events");
    assert_string_equal("commit|me\n", text);
    free(text);
    books_close(books);
    world_close(world);
}

/* --- refusals -------------------------------------------------------------------------------- */

/* Settles some, does the damage, and the rest must end in this fault, with this in its words. */
static void refuse_after(const char *damage, enum ledger_fault expected, const char *words)
{
    struct world *world = random_world(17, 120);
    struct books *books = books_open();
    books->parts.batches_max = 1;
    books_append(books, world, false);
    books_start_settler(books);
    for (unsigned i = 0; i < 4; i++)
        assert_true(books_settle_once(books));
    assert_int_equal(SQLITE_OK,
                     sqlite3_exec(ledger_connection(books->ledger), damage, NULL, NULL, NULL));
    while (settle_step(books->settler)) {
    }
    assert_int_equal(expected, settler_fault(books->settler));
    if (strstr(settler_detail(books->settler), words) == NULL)
        fail_msg("%s", settler_detail(books->settler));
    books_close(books);
    world_close(world);
}

static void nothing_is_settled_twice_by_either_guard(void **state)
{
    (void)state;
    refuse_after("UPDATE meta SET value=value+1 WHERE name='cursor_sequence'", LEDGER_DISAGREES,
                 "cursor_sequence");
    refuse_after("UPDATE meta SET value=zeroblob(32) WHERE name='cursor_hash'", LEDGER_DISAGREES,
                 "cursor_hash");
    /* A row that is there already, though it is the very one. */
    refuse_after("INSERT INTO balance_updates SELECT (7<<12)+position%4096,places.value,at_ms,"
                 "customer,number,account,grant_id,name,cause,decision,delta,account_after,"
                 "account_after_e18,customer_after,previous_position,previous_place,hash FROM "
                 "balance_updates,"
                 "json_each('[0]') AS places GROUP BY position%4096",
                 LEDGER_DAMAGED, "UNIQUE");
}

/* A batch of one entry, whatever it says. */
static void append_entry(struct books *books, struct bytes command, const struct fact *fact)
{
    static uint8_t fact_block[FACT_BYTES_MAX];
    static uint8_t body_block[2 * FACT_BYTES_MAX];
    struct buffer fact_buffer = buffer_over(fact_block, sizeof fact_block);
    struct buffer body = buffer_over(body_block, sizeof body_block);
    fact_encode(fact, &fact_buffer);
    entry_put(&body, (struct entry){.at_ms = fact->at_ms,
                                    .command = command,
                                    .fact = buffer_bytes(&fact_buffer)});
    const struct batch_header header = {.kind = BATCH_ENTRIES,
                                        .version = JOURNAL_VERSION,
                                        .first_ms = fact->at_ms,
                                        .last_ms = fact->at_ms,
                                        .entries = 1};
    struct journal *journal = books->journal;
    journal->calls->append_start(journal, header, buffer_bytes(&body));
    assert_int_equal(APPEND_COMMITTED, journal->calls->append_finish(journal));
}

/* The last entry of a real world, changed; NULL: as it is. */
static void refuse_entry(void (*change)(struct fact *), enum ledger_fault expected,
                         const char *words)
{
    struct world *world = world_open(POLICY, 1);
    static const char *const lines[] = {"grant a paid 5", "grant b paid 5", "customer c mode=off",
                                        "consume a free requests=1", "usage a chat requests=9"};
    for (size_t at = 0; at < COUNT_OF(lines); at++)
        (void)world_do(world, lines[at]);
    struct fact *fact = calloc(1, sizeof *fact);
    assert_non_null(fact);
    const uint64_t last = world_entry_count(world) - 1;
    assert_int_equal(0, last % WORLD_BATCH_ENTRIES); /* in a batch of its own */
    assert_true(fact_decode(world_entry(world, last).fact, fact));
    fact->at_ms = world_now(world);
    if (change != NULL) change(fact);
    /* Everything but that entry, then that entry. */
    struct books *books = books_open();
    struct world *shorter = world_open(POLICY, 1);
    for (size_t at = 0; at + 1 < COUNT_OF(lines); at++)
        (void)world_do(shorter, lines[at]);
    books_append(books, shorter, false);
    append_entry(books, world_entry(world, last).command, fact);
    books_start_settler(books);
    while (settle_step(books->settler)) {
    }
    assert_int_equal(expected, settler_fault(books->settler));
    if (expected != LEDGER_OK && strstr(settler_detail(books->settler), words) == NULL)
        fail_msg("%s", settler_detail(books->settler));
    free(fact);
    books_close(books);
    world_close(shorter);
    world_close(world);
}

static struct effect *lot_of(struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; i++)
        if (fact->effects[i].kind == EFFECT_LOT) return &fact->effects[i];
    fail_msg("no lot moved");
    return NULL;
}

static void say_more(struct fact *fact)
{
    lot_of(fact)->lot.available_after++;
}

static void move_less(struct fact *fact)
{
    lot_of(fact)->lot.remaining_delta++;
}

static void be_a_stranger(struct fact *fact)
{
    fact->customer.word[0] ^= 1;
}

static void be_a_stranger_whose_hold_moves(struct fact *fact)
{
    struct effect *lot = lot_of(fact);
    fact->customer.word[0] ^= 1;
    lot->lot.cause = LOT_HOLD;
    lot->lot.held_delta = -lot->lot.remaining_delta;
    fact->report.has_overshoot = false;
}

static void be_founded_again(struct fact *fact)
{
    struct effect *effect = &fact->effects[fact->effect_count++];
    memset(effect, 0, sizeof *effect);
    effect->kind = EFFECT_CUSTOMER;
}

static void an_entry_that_contradicts_the_books_stops_settlement(void **state)
{
    (void)state;
    refuse_entry(NULL, LEDGER_OK, "");
    refuse_entry(say_more, LEDGER_DISAGREES, "the books say");
    refuse_entry(move_less, LEDGER_DISAGREES, "the books say");
    refuse_entry(be_a_stranger, LEDGER_DISAGREES, "nobody");
    refuse_entry(be_a_stranger_whose_hold_moves, LEDGER_DISAGREES, "nobody");
    refuse_entry(be_founded_again, LEDGER_DISAGREES, "who is there");
}

static void a_ledger_of_another_history_is_refused(void **state)
{
    (void)state;
    struct world *world = random_world(19, 100);
    struct books *books = books_open();
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    struct journal *longer = books->journal;
    struct ledger_detail detail;
    settler_close(books->settler);
    books->settler = NULL;

    books->parts.durable = 2; /* an older backup of the journal */
    assert_int_equal(LEDGER_DISAGREES, settler_open(&books->parts, &books->settler, &detail));
    assert_non_null(strstr(detail.text, "ends with batch 2"));

    books->journal = journal_memory_open(WORLD_KEY, 7);
    struct world *other = random_world(20, 200);
    books->appended = 0;
    books_append(books, other, false);
    books->parts.reader = books->journal;
    books->parts.durable = books->journal->tip.sequence;
    assert_int_equal(LEDGER_DISAGREES, settler_open(&books->parts, &books->settler, &detail));
    assert_non_null(strstr(detail.text, "not the journal's"));
    longer->calls->close(longer);
    books_close(books);
    world_close(other);
    world_close(world);
}

static void too_many_customers_are_said(void **state)
{
    (void)state;
    struct world *world = random_world(23, 100);
    struct books *books = books_open();
    books->parts.customers_max = 2;
    books_append(books, world, false);
    books_start_settler(books);
    while (settle_step(books->settler)) {
    }
    assert_int_equal(LEDGER_NO_ROOM, settler_fault(books->settler));
    assert_non_null(strstr(settler_detail(books->settler), "--memory"));
    books_close(books);
    world_close(world);
}

/* --- the rollup ------------------------------------------------------------------------------ */

static void what_a_run_left_unrolled_the_next_one_rolls_at_once(void **state)
{
    (void)state;
    struct world *world = random_world(31, 300);
    struct books *books = books_open();
    books->parts.roll_events = 5;
    books_append(books, world, false);
    books_start_settler(books);
    while (settler_cursor(books->settler) < books->journal->tip.sequence)
        assert_true(settle_step(books->settler));
    books_stop_settler(books);
    books_start_settler(books);
    books_settle(books);
    char *text = books_query(books, "SELECT count(*) FROM usage_events,meta WHERE "
                                    "meta.name='rolled_through' AND position>meta.value");
    assert_string_equal("0\n", text);
    free(text);
    books_close(books);
    world_close(world);
}

static void a_slice_is_given_up_for_a_stop_and_rolled_later(void **state)
{
    (void)state;
    struct world *world = random_world(37, 900);
    struct books *books = books_open();
    books->parts.roll_events = 1u << 20;
    books_append(books, world, false);
    books_start_settler(books);
    while (settler_cursor(books->settler) < books->journal->tip.sequence)
        assert_true(settle_step(books->settler));
    settler_wind_down(books->settler, INT64_MAX - 1); /* from now on */
    assert_false(upkeep_roll(books->settler));
    assert_int_equal(LEDGER_OK, settler_fault(books->settler));
    char *text = books_query(books, "SELECT count(*) FROM usage_rollup");
    assert_string_equal("0\n", text);
    free(text);
    books_stop_settler(books);
    books_start_settler(books);
    books_settle(books);
    check_rollup(books);
    books_close(books);
    world_close(world);
}

/* --- retention ------------------------------------------------------------------------------- */

static void usage_events_go_seal_by_seal_and_sums_stay(void **state)
{
    (void)state;
    struct world *world = random_world(29, 900);
    struct books *books = books_open();
    books->parts.batches_max = 2;
    books->parts.roll_events = 5;
    books_append(books, world, false);
    books_start_settler(books);
    books_settle(books);
    char *rollup = books_query(books, "SELECT * FROM usage_rollup ORDER BY 1,2,3,4,5,6,7,8,9,10");
    char *days = books_query(books, "SELECT * FROM usage_days ORDER BY 1,2,3,4,5,6,7,8,9,10");
    assert_true(check_days(books, true) > 0);
    char *money = books_query(books, "SELECT * FROM balance_updates ORDER BY 1,2");
    char *all = books_query(books, "SELECT count(*) FROM usage_events");
    books_stop_settler(books);
    books->parts.usage_for_ms = 3 * HOUR_MS;
    books_start_settler(books);
    books_settle(books);
    char *left = books_query(books, "SELECT count(*) FROM usage_events");
    assert_true(atoi(left) > 0 && atoi(left) < atoi(all));
    char *text =
        books_query(books, "SELECT count(*) FROM usage_events,meta WHERE meta.name='usage_cut' AND "
                           "position>>12<=meta.value");
    assert_string_equal("0\n", text);
    free(text);
    text = books_query(books, "SELECT count(*) FROM seals,meta AS cut,meta AS cursor WHERE "
                              "cut.name='usage_cut' AND cursor.name='cursor_ms' AND "
                              "through=cut.value AND at_ms<cursor.value-3*3600000");
    assert_string_equal("1\n", text);
    free(text);
    check_equal(rollup,
                books_query(books, "SELECT * FROM usage_rollup ORDER BY 1,2,3,4,5,6,7,8,9,10"));
    check_equal(days, books_query(books, "SELECT * FROM usage_days ORDER BY 1,2,3,4,5,6,7,8,9,10"));
    check_equal(money, books_query(books, "SELECT * FROM balance_updates ORDER BY 1,2"));
    free(all);
    free(left);
    books_close(books);
    world_close(world);
}

/* All of it: of what a settler has left for later, the next one rolls a slice at once. */
static char *rollup_of(struct books *books)
{
    unsigned left = UINT_MAX;
    for (unsigned settlers = 0; left != 0; settlers++) {
        assert_in_range(settlers, 0, 50);
        books_settle(books);
        char *text = books_query(books, "SELECT count(*) FROM usage_events,meta WHERE "
                                        "name='rolled_through' AND position>value");
        left = (unsigned)atoi(text);
        free(text);
        books_stop_settler(books);
        books_start_settler(books);
    }
    return books_query(books, "SELECT * FROM usage_rollup ORDER BY 1,2,3,4,5,6,7,8,9,10");
}

/* Goal: there is always another batch to settle, and yet what is too old is gone soon. */
static void usage_events_go_under_endless_load_too(void **state)
{
    (void)state;
    struct world *world = random_world(31, 2000);
    struct books *books = books_open();
    books->parts.batches_max = 1;
    books->parts.roll_events = 5;
    books_append(books, world, false);
    books_start_settler(books);
    char *rollup = rollup_of(books);
    books_close(books);

    books = books_open();
    books->parts.batches_max = 1;
    books->parts.roll_events = 5;
    books->parts.usage_for_ms = 3 * HOUR_MS;
    books_append(books, world, false);
    books_start_settler(books);
    unsigned batches = 0;
    while (settler_cursor(books->settler) + 1 < books->journal->tip.sequence) {
        assert_true(settle_step(books->settler));
        if (settler_cursor(books->settler) < batches + 40) continue;
        batches = (unsigned)settler_cursor(books->settler);
        /* Seals that are old enough, and whose events are there still: of a few turns, however
         * much has been settled. */
        char *late = books_query(books, "SELECT count(*) FROM seals,meta AS cut,meta AS cursor "
                                        "WHERE cut.name='usage_cut' AND cursor.name='cursor_ms' "
                                        "AND through>cut.value AND at_ms<cursor.value-3*3600000");
        assert_in_range(atoi(late), 0, 32);
        free(late);
    }
    assert_true(batches > 200);
    char *cut = books_query(books, "SELECT value FROM meta WHERE name='usage_cut'");
    assert_true(atoi(cut) > 100);
    free(cut);
    check_equal(rollup, rollup_of(books));
    books_close(books);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_of_a_decision_is_one_usage_event),
        cmocka_unit_test(an_overshoot_is_refunded_booked_as_debt_or_as_overage),
        cmocka_unit_test(what_returns_to_a_grant_that_is_over_has_a_row_of_its_own),
        cmocka_unit_test(gifts_recur_and_roll_over),
        cmocka_unit_test(remainders_are_carried_from_row_to_row),
        cmocka_unit_test(the_books_agree_with_the_engine_and_with_themselves),
        cmocka_unit_test(days_are_made_once_whatever_is_killed),
        cmocka_unit_test(a_kill_behind_any_transaction_changes_no_byte),
        cmocka_unit_test(however_transactions_are_cut_the_rows_are_the_same),
        cmocka_unit_test(a_transaction_that_fails_leaves_nothing),
        cmocka_unit_test(a_lost_ledger_is_made_anew_from_the_journal),
        cmocka_unit_test(heads_are_rebuilt_from_wherever_the_checkpoint_is),
        cmocka_unit_test(batches_come_from_memory_and_those_dropped_from_the_journal),
        cmocka_unit_test(commands_of_old_holds_are_read_from_the_journal),
        cmocka_unit_test(nothing_is_settled_twice_by_either_guard),
        cmocka_unit_test(an_entry_that_contradicts_the_books_stops_settlement),
        cmocka_unit_test(a_ledger_of_another_history_is_refused),
        cmocka_unit_test(too_many_customers_are_said),
        cmocka_unit_test(what_a_run_left_unrolled_the_next_one_rolls_at_once),
        cmocka_unit_test(a_slice_is_given_up_for_a_stop_and_rolled_later),
        cmocka_unit_test(usage_events_go_seal_by_seal_and_sums_stay),
        cmocka_unit_test(usage_events_go_under_endless_load_too),
    };
    return cmocka_run_group_tests_name("settlement", tests, NULL, NULL);
}
