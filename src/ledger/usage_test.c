/*
 * usage_test.c: a sum of usage equals a scan of the usage events: for any filter, grouping and
 * range, wherever the rollup ends, and while settlement goes on.
 */
#include "ledger/usage.h"

#include "ledger/testing.h"

enum { EVENTS = 600, HOURS = 30 };

static const char *const customers[] = {"a", "b", "c", "\xc3\xa9"};
static const char *const subjects[] = {"", "x", "x/y"};
static const char *const features[] = {"chat", "codex"};
static const char *const models[] = {NULL, "m1", "m2"};
static const char free_line[] =
    "[{\"source\":\"included\",\"kind\":\"allowance\",\"units\":2,\"charged\":0}]";
static const char split_line[] =
    "[{\"source\":\"included\",\"kind\":\"allowance\",\"units\":1,\"charged\":0},"
    "{\"source\":\"paid\",\"kind\":\"grant\",\"grant_id\":4,\"units\":1,\"charged\":7}]";
static const char *const sources[] = {"[]", free_line, split_line};

#define PICK(prng, list) list[prng_below(prng, COUNT_OF(list))]

/* One of so many, more than fit into one span; 0: one of the few above. */
static const char *pick_customer(struct prng *prng, unsigned many)
{
    static char name[16];
    if (many == 0) return PICK(prng, customers);
    (void)snprintf(name, sizeof(name), "c%u", (unsigned)prng_below(prng, many));
    return name;
}

static int64_t put_of(struct books *books, struct prng *prng, unsigned count, int64_t at_ms,
                      unsigned many)
{
    for (unsigned i = 0; i < count; ++i) {
        at_ms += (int64_t)prng_below(prng, 2 * HOURS * HOUR_MS / EVENTS);
        const bool is_denied = prng_below(prng, 6) == 0;
        books_event(books,
                    &(struct event){.position = books_next(books),
                                    .at_ms = at_ms,
                                    .customer = pick_customer(prng, many),
                                    .subject = PICK(prng, subjects),
                                    .feature = PICK(prng, features),
                                    .model = PICK(prng, models),
                                    .outcome = is_denied ? "deny" : "allow",
                                    .count = is_denied ? 1 + (int64_t)prng_below(prng, 9) : 1,
                                    .units = is_denied ? 0 : 2,
                                    .charged = is_denied ? 0 : 7,
                                    .sources = is_denied ? "[]" : PICK(prng, sources),
                                    .actual = is_denied ? "{}" : "{\"requests\":1,\"tokens\":50}"});
    }
    books_settled(books);
    return at_ms;
}

static int64_t put_some(struct books *books, struct prng *prng, unsigned count, int64_t at_ms)
{
    return put_of(books, prng, count, at_ms, 0);
}

/* What settlement does, in one go: everything up to a position. */
static void roll(struct books *books, uint64_t through)
{
    books_sql(books,
              "INSERT INTO usage_rollup SELECT at_ms-at_ms%%3600000,customer,subject,"
              "feature,endpoint,model,origin,outcome,what,name,sum(requests),sum(denied),"
              "sum(units),0,sum(charged),0,sum(quantity),0,sum(duration_ms),0 "
              "FROM usage_exploded WHERE "
              "position>(SELECT value FROM meta WHERE name='rolled_through') AND position<=%llu "
              "GROUP BY 1,2,3,4,5,6,7,8,9,10 ON CONFLICT DO UPDATE SET "
              "requests=requests+excluded.requests,denied=denied+excluded.denied,"
              "units=units+excluded.units,charged=charged+excluded.charged,"
              "quantity=quantity+excluded.quantity,duration_ms=duration_ms+excluded.duration_ms;"
              "UPDATE meta SET value=max(value,%llu) WHERE name='rolled_through'",
              (unsigned long long)through, (unsigned long long)through);
}

/* Likewise: days of which every hour is over and rolled. Of the next day some hours are added, as
 * when settlement is in the middle of it. */
static void make_days(struct books *books)
{
    static const char add[] =
        "INSERT INTO usage_days SELECT start_ms-start_ms%%86400000,customer,subject,feature,"
        "endpoint,model,origin,outcome,what,name,sum(requests),sum(denied),sum(units),"
        "0,sum(charged),0,sum(quantity),0,sum(duration_ms),0 FROM usage_rollup WHERE "
        "start_ms>=%lld AND "
        "start_ms<%lld GROUP BY 1,2,3,4,5,6,7,8,9,10";
    int64_t last_ms = 0;
    int64_t through_ms = 0;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(SQLITE_OK,
                     sqlite3_prepare_v2(books->writer->connection,
                                        "SELECT ifnull(max(start_ms),0),(SELECT value FROM meta "
                                        "WHERE name='days_through_ms') FROM usage_rollup",
                                        -1, &statement, NULL));
    assert_int_equal(SQLITE_ROW, sqlite3_step(statement));
    last_ms = sqlite3_column_int64(statement, 0);
    through_ms = sqlite3_column_int64(statement, 1);
    assert_int_equal(SQLITE_OK, sqlite3_finalize(statement));
    const int64_t day_ms = calendar_day_start(last_ms);
    books_sql(books, "DELETE FROM usage_days WHERE start_ms>=%lld", (long long)through_ms);
    books_sql(books, add, (long long)through_ms, (long long)day_ms);
    books_sql(books, "UPDATE meta SET value=%lld WHERE name='days_through_ms'", (long long)day_ms);
    books_sql(books, add, (long long)day_ms, (long long)day_ms + 7 * HOUR_MS);
}

/* Everything a sum says, as one text; sums of numbers for those who want less. */
struct told {
    char text[1u << 18];
    size_t used;
    uint32_t groups;
    uint32_t groups_max;
    int64_t requests;
    uint32_t group_count;
};

__attribute__((format(printf, 2, 3))) static void tell(struct told *told, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length =
        vsnprintf(told->text + told->used, sizeof(told->text) - told->used, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < sizeof(told->text) - told->used);
    told->used += (size_t)length;
}

static void tell_line(struct told *told, const char *what, const char *name, const int64_t *sums)
{
    tell(told, "%s|%s|%lld|%lld|%lld|%lld|%lld|%lld\n", what, name, (long long)sums[0],
         (long long)sums[1], (long long)sums[2], (long long)sums[3], (long long)sums[4],
         (long long)sums[5]);
}

static bool take_line(void *self, const struct usage_line *line)
{
    static const char *const kinds[] = {"event", "meter", "overshoot", "source"};
    struct told *told = self;
    if (line->is_first && told->groups == told->groups_max) return false;
    told->groups += line->is_first ? 1 : 0;
    char name[64];
    (void)snprintf(name, sizeof(name), "%.*s", (int)line->name.length, (const char *)line->name.at);
    for (uint32_t i = 0; i < told->group_count; ++i) {
        if (line->keys[i].kind == VALUE_INTEGER)
            tell(told, "%lld|", (long long)line->keys[i].integer);
        else
            tell(told, "%.*s|", (int)line->keys[i].bytes.length,
                 (const char *)line->keys[i].bytes.at);
    }
    const int64_t sums[] = {line->requests,          line->denied,
                            (int64_t)line->units,    (int64_t)line->charged,
                            (int64_t)line->quantity, (int64_t)line->duration_ms};
    told->requests += line->requests;
    tell_line(told, kinds[line->what], name, sums);
    return true;
}

/* Sums up what is to be given next, all of it or a span. */
static enum ledger_read sum_up(struct books *books, struct usage_scan *scan)
{
    enum ledger_read result = LEDGER_MORE;
    while (result == LEDGER_MORE)
        result = usage_scan_step(books->reader, scan);
    return result;
}

static enum ledger_read take_all(struct books *books, struct usage_scan *scan, struct told *told)
{
    enum ledger_read result = LEDGER_MORE;
    while (result == LEDGER_MORE) {
        assert_int_equal(LEDGER_END, sum_up(books, scan));
        result = usage_scan_take(books->reader, scan, take_line, told);
    }
    return result;
}

static void run_scan(struct books *books, const struct usage_query *query, struct told *told)
{
    static struct usage_scan scan;
    usage_scan_begin(&scan, query, 3);
    told->group_count = query->group_count;
    const enum ledger_read result = sum_up(books, &scan);
    if (result != LEDGER_END) print_error("%s\n", ledger_reader_detail(books->reader));
    assert_int_equal(LEDGER_END, result);
    assert_false(scan.is_cut);
    assert_int_equal(told->groups < told->groups_max ? LEDGER_END : LEDGER_FULL,
                     take_all(books, &scan, told));
    usage_scan_end(books->reader, &scan);
}

/* The same by one statement over the events, which is what a sum must equal. */
static void run_plainly(struct books *books, const struct usage_query *query, struct told *told)
{
    static const char *const columns[USAGE_DIMENSIONS] = {"customer",
                                                          "subject",
                                                          "feature",
                                                          "model",
                                                          "origin",
                                                          "endpoint",
                                                          "outcome",
                                                          "name",
                                                          "at_ms/3600000*3600000",
                                                          "at_ms/86400000*86400000"};
    char keys[512] = "";
    char order[512] = ""; /* by customer first */
    char filters[1024] = "";
    bool is_by_source = query->only[BY_SOURCE].at != NULL;
    for (uint32_t i = 0; i < query->group_count; ++i) {
        (void)strcat(strcat(keys, columns[query->group_by[i]]), ",");
        is_by_source |= query->group_by[i] == BY_SOURCE;
        if (query->group_by[i] == BY_CUSTOMER) (void)strcat(order, "customer,");
    }
    (void)strcat(order, keys);
    for (uint32_t by = 0; by < (uint32_t)USAGE_FILTERS; ++by)
        if (query->only[by].at != NULL)
            (void)snprintf(filters + strlen(filters), sizeof(filters) - strlen(filters),
                           " AND %s='%s'", columns[by], (const char *)query->only[by].at);
    char *text = sqlite3_mprintf(
        "SELECT %swhat,name,sum(requests),sum(denied),sum(units),sum(charged),sum(quantity),"
        "sum(duration_ms) FROM usage_exploded WHERE at_ms>=%lld AND at_ms<%lld%s%s GROUP BY "
        "%swhat,name ORDER BY %swhat,name",
        keys, (long long)query->from_ms, (long long)query->to_ms,
        is_by_source ? " AND what='source'" : "", filters, keys, order);
    sqlite3_stmt *statement = NULL;
    assert_int_equal(SQLITE_OK,
                     sqlite3_prepare_v2(books->writer->connection, text, -1, &statement, NULL));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const int count = (int)query->group_count;
        for (int i = 0; i < count; ++i)
            tell(told, "%s|", (const char *)sqlite3_column_text(statement, i));
        int64_t sums[6];
        for (int i = 0; i < 6; ++i)
            sums[i] = sqlite3_column_int64(statement, count + 2 + i);
        tell_line(told, (const char *)sqlite3_column_text(statement, count),
                  (const char *)sqlite3_column_text(statement, count + 1), sums);
    }
    assert_int_equal(SQLITE_OK, sqlite3_finalize(statement));
    sqlite3_free(text);
}

/* Shows where two texts part. */
static void expect_same(const char *got, const char *expected)
{
    size_t line = 0;
    size_t at = 0;
    for (; got[at] != 0 && got[at] == expected[at]; ++at)
        if (got[at] == '\n') line = at + 1;
    if (got[at] != expected[at])
        print_error("got %.200s\n--- expected %.200s\n", got + line, expected + line);
    assert_true(got[at] == expected[at]);
}

static void expect_equal(struct books *books, const struct usage_query *query)
{
    static struct told got;
    static struct told expected;
    memset(&got, 0, sizeof(got));
    memset(&expected, 0, sizeof(expected));
    got.groups_max = UINT32_MAX;
    run_scan(books, query, &got);
    run_plainly(books, query, &expected);
    expect_same(got.text, expected.text);
}

static struct usage_query random_query(struct prng *prng)
{
    static const char *const outcomes[] = {"allow", "deny"};
    static const char *const payers[] = {"included", "paid"};
    const int64_t day_ms = DAY_MS;
    struct usage_query query = {.to_ms = INT64_MAX};
    if (prng_below(prng, 3) != 0) query.from_ms = day_ms + (int64_t)prng_below(prng, 40 * HOUR_MS);
    if (prng_below(prng, 3) != 0)
        query.to_ms = query.from_ms + (int64_t)prng_below(prng, 30 * HOUR_MS);
    if (prng_below(prng, 4) == 0) query.from_ms = calendar_hour_start(query.from_ms);
    if (prng_below(prng, 3) == 0) query.only[BY_CUSTOMER] = bytes_of_text(PICK(prng, customers));
    if (prng_below(prng, 4) == 0) query.only[BY_SUBJECT] = bytes_of_text(PICK(prng, subjects));
    if (prng_below(prng, 4) == 0) query.only[BY_FEATURE] = bytes_of_text(PICK(prng, features));
    if (prng_below(prng, 5) == 0) query.only[BY_MODEL] = BYTES("m1");
    if (prng_below(prng, 5) == 0) query.only[BY_OUTCOME] = bytes_of_text(PICK(prng, outcomes));
    if (prng_below(prng, 6) == 0) query.only[BY_SOURCE] = bytes_of_text(PICK(prng, payers));
    for (uint32_t by = 0; by < (uint32_t)USAGE_DIMENSIONS; ++by)
        if (prng_below(prng, 4) == 0)
            query.group_by[query.group_count++] = (enum usage_dimension)by;
    for (uint32_t i = query.group_count; i > 1; --i) {
        const uint32_t other = (uint32_t)prng_below(prng, i);
        const enum usage_dimension by = query.group_by[other];
        query.group_by[other] = query.group_by[i - 1];
        query.group_by[i - 1] = by;
    }
    return query;
}

static void a_sum_equals_a_scan_wherever_the_rollup_ends(void **state)
{
    struct books *books = *state;
    struct prng prng = {20260501};
    (void)put_some(books, &prng, EVENTS, DAY_MS);
    const unsigned ends[] = {0, 1, EVENTS / 3, EVENTS / 2, EVENTS - 1, EVENTS};
    for (unsigned i = 0; i < COUNT_OF(ends); ++i) {
        roll(books, position_make(1 + ends[i], 0));
        for (unsigned round = 0; round < 60; ++round) {
            const struct usage_query query = random_query(&prng);
            expect_equal(books, &query);
        }
    }
}

static void a_sum_equals_a_scan_whatever_days_are_made(void **state)
{
    struct books *books = *state;
    struct prng prng = {20260502};
    int64_t at_ms = DAY_MS;
    for (unsigned day = 0; day < 5; ++day) {
        at_ms = put_some(books, &prng, 200, at_ms + (int64_t)prng_below(&prng, 30 * HOUR_MS));
        roll(books, position_make(books->sequence - prng_below(&prng, 90), 0));
        if (day > 0) make_days(books);
        for (unsigned round = 0; round < 30; ++round) {
            struct usage_query query = random_query(&prng);
            if (prng_below(&prng, 2) == 0)
                query.from_ms = DAY_MS + (int64_t)prng_below(&prng, 4 * DAY_MS);
            if (prng_below(&prng, 2) == 0)
                query.to_ms = query.from_ms + (int64_t)prng_below(&prng, 4 * DAY_MS);
            if (prng_below(&prng, 3) == 0) query.from_ms = calendar_day_start(query.from_ms);
            if (prng_below(&prng, 3) == 0 && query.to_ms != INT64_MAX)
                query.to_ms = calendar_day_start(query.to_ms);
            expect_equal(books, &query);
        }
    }
}

/* What is in usage_days for a whole day is what a sum says, and only where hours are not asked. */
static void whole_days_are_read_as_days(void **state)
{
    struct books *books = *state;
    struct prng prng = {3};
    (void)put_some(books, &prng, EVENTS, DAY_MS);
    roll(books, position_make(books->sequence, 0));
    make_days(books);
    books_sql(books, "UPDATE usage_days SET requests=1000000 WHERE what='event'");
    static const struct {
        enum usage_dimension by;
        int64_t from_ms, to_ms;
        bool is_days;
    } asked[] = {
        {    BY_DAY,           DAY_MS,           2 * DAY_MS,  true},
        {BY_FEATURE,           DAY_MS,            INT64_MAX,  true},
        {BY_FEATURE, DAY_MS - HOUR_MS,       2 * DAY_MS + 1,  true},
        {   BY_HOUR,           DAY_MS,           2 * DAY_MS, false},
        {    BY_DAY, DAY_MS + HOUR_MS,           2 * DAY_MS, false},
        {    BY_DAY,           DAY_MS, 2 * DAY_MS - HOUR_MS, false},
        {    BY_DAY,       2 * DAY_MS,            INT64_MAX, false},
    };
    for (unsigned i = 0; i < COUNT_OF(asked); ++i) {
        static struct told told;
        memset(&told, 0, sizeof(told));
        told.groups_max = UINT32_MAX;
        const struct usage_query query = {.from_ms = asked[i].from_ms,
                                          .to_ms = asked[i].to_ms,
                                          .group_count = 1,
                                          .group_by = {asked[i].by}};
        run_scan(books, &query, &told);
        assert_true(told.requests > 0);
        assert_int_equal(asked[i].is_days, told.requests >= 1000000);
    }
}

static void a_sum_is_taken_in_pieces_of_whole_groups(void **state)
{
    struct books *books = *state;
    struct prng prng = {7};
    (void)put_some(books, &prng, EVENTS, DAY_MS);
    roll(books, position_make(EVENTS / 2, 0));
    const struct usage_query query = {
        .to_ms = INT64_MAX, .group_count = 3, .group_by = {BY_HOUR, BY_CUSTOMER, BY_MODEL}
    };
    static struct told whole;
    static struct told pieces;
    static struct usage_scan scan;
    memset(&whole, 0, sizeof(whole));
    memset(&pieces, 0, sizeof(pieces));
    whole.groups_max = UINT32_MAX;
    run_scan(books, &query, &whole);
    assert_true(whole.groups > 100);
    pieces.group_count = query.group_count;
    uint8_t after[USAGE_AFTER_BYTES];
    size_t after_length = 0;
    enum ledger_read result = LEDGER_FULL;
    while (result == LEDGER_FULL) { /* each page by a scan of its own */
        usage_scan_begin(&scan, &query, 1);
        if (after_length > 0)
            assert_true(usage_scan_behind(&scan, (struct bytes){after, after_length}));
        pieces.groups_max = pieces.groups + 7;
        result = take_all(books, &scan, &pieces);
        after_length = scan.after.used;
        memcpy(after, scan.after.at, after_length);
        usage_scan_end(books->reader, &scan);
    }
    assert_int_equal(LEDGER_END, result);
    expect_same(pieces.text, whole.text);
}

static const struct usage_query by_customer = {
    .to_ms = INT64_MAX, .group_count = 3, .group_by = {BY_FEATURE, BY_CUSTOMER, BY_HOUR}
};
enum { MANY = 400 };

static void many_customers_are_summed_span_by_span(void **state)
{
    struct books *books = *state;
    struct prng prng = {17};
    const int64_t at_ms = put_of(books, &prng, EVENTS, DAY_MS, MANY);
    roll(books, books->sequence << POSITION_INDEX_BITS);
    (void)put_of(books, &prng, EVENTS, at_ms, MANY);
    struct usage_query query = by_customer;
    expect_equal(books, &query);
    query.from_ms = DAY_MS + HOUR_MS / 2;
    query.to_ms = at_ms + HOUR_MS / 3;
    expect_equal(books, &query);
    query.only[BY_MODEL] = BYTES("m1");
    expect_equal(books, &query);
}

static void the_first_groups_are_given_before_the_others_are_summed(void **state)
{
    struct books *books = *state;
    struct prng prng = {18};
    static struct told told;
    static struct usage_scan scan;
    memset(&told, 0, sizeof(told));
    told.groups_max = UINT32_MAX;
    told.group_count = by_customer.group_count;
    (void)put_of(books, &prng, EVENTS, DAY_MS, MANY);
    roll(books, books->sequence << POSITION_INDEX_BITS);
    usage_scan_begin(&scan, &by_customer, 1);
    assert_int_equal(LEDGER_END, sum_up(books, &scan));
    assert_int_equal(LEDGER_MORE, usage_scan_take(books->reader, &scan, take_line, &told));
    assert_true(told.groups > 0);
    const uint32_t first = told.groups;
    assert_int_equal(LEDGER_END, take_all(books, &scan, &told));
    assert_true(told.groups > 2 * first);
    usage_scan_end(books->reader, &scan);
}

/* However far the rollup comes while spans are summed, every event is in one of them once. */
static void the_rollup_may_go_on_between_spans(void **state)
{
    struct books *books = *state;
    struct prng prng = {19};
    const struct usage_query query = {
        .to_ms = INT64_MAX, .group_count = 1, .group_by = {BY_CUSTOMER}};
    static struct usage_scan scan;
    for (unsigned round = 0; round < 4; ++round) {
        static struct told before;
        static struct told during;
        memset(&before, 0, sizeof(before));
        memset(&during, 0, sizeof(during));
        before.groups_max = during.groups_max = UINT32_MAX;
        (void)put_of(books, &prng, EVENTS, DAY_MS + round * 60 * HOUR_MS, MANY);
        roll(books, position_make(books->sequence - prng_below(&prng, EVENTS), 0));
        run_scan(books, &query, &before);
        usage_scan_begin(&scan, &query, 2);
        during.group_count = 1;
        enum ledger_read result = LEDGER_MORE;
        while (result == LEDGER_MORE) {
            while ((result = usage_scan_step(books->reader, &scan)) == LEDGER_MORE)
                roll(books, position_make(books->sequence - prng_below(&prng, EVENTS), 0));
            assert_int_equal(LEDGER_END, result);
            result = usage_scan_take(books->reader, &scan, take_line, &during);
        }
        assert_int_equal(LEDGER_END, result);
        usage_scan_end(books->reader, &scan);
        expect_same(during.text, before.text);
    }
}

static void settlement_may_go_on_meanwhile(void **state)
{
    struct books *books = *state;
    struct prng prng = {11};
    for (unsigned round = 0; round < 12; ++round) {
        int64_t at_ms = put_some(books, &prng, 60, DAY_MS + (int64_t)round * 200 * HOUR_MS);
        roll(books, position_make(books->sequence - prng_below(&prng, 30), 0));
        if (prng_below(&prng, 2) == 0) make_days(books);
        struct usage_query query = {.to_ms = INT64_MAX};
        if (prng_below(&prng, 2) == 0) query.only[BY_CUSTOMER] = BYTES("a");
        static struct told before;
        static struct told during;
        static struct told after;
        static struct usage_scan scan;
        memset(&before, 0, sizeof(before));
        memset(&during, 0, sizeof(during));
        memset(&after, 0, sizeof(after));
        before.groups_max = during.groups_max = after.groups_max = UINT32_MAX;
        run_scan(books, &query, &before);
        usage_scan_begin(&scan, &query, 2);
        enum ledger_read result = LEDGER_MORE;
        while (result == LEDGER_MORE) {
            result = usage_scan_step(books->reader, &scan);
            at_ms = put_some(books, &prng, 3, at_ms);
            roll(books, position_make(books->sequence - prng_below(&prng, 3), 0));
            make_days(books);
        }
        assert_int_equal(LEDGER_END, result);
        assert_int_equal(LEDGER_END, usage_scan_take(books->reader, &scan, take_line, &during));
        usage_scan_end(books->reader, &scan);
        run_scan(books, &query, &after);
        assert_true(before.requests <= during.requests);
        assert_true(during.requests <= after.requests);
    }
}

/* A reader who left in the middle. */
static void a_scan_that_was_given_up_leaves_nothing_to_the_next_of_its_number(void **state)
{
    struct books *books = *state;
    struct prng prng = {13};
    (void)put_some(books, &prng, EVENTS, DAY_MS);
    roll(books, position_make(EVENTS / 2, 0));
    const struct usage_query query = {
        .to_ms = INT64_MAX, .group_count = 1, .group_by = {BY_CUSTOMER}};
    static struct usage_scan scan;
    usage_scan_begin(&scan, &query, 3);
    assert_int_equal(LEDGER_END, sum_up(books, &scan));
    expect_equal(books, &query);
}

static void an_hour_cut_through_what_retention_took_has_no_sum(void **state)
{
    struct books *books = *state;
    struct prng prng = {5};
    static struct usage_scan scan;
    (void)put_some(books, &prng, EVENTS, DAY_MS);
    roll(books, position_make(books->sequence, 0));
    books_sql(books,
              "DELETE FROM usage_events WHERE position<=%llu;"
              "UPDATE meta SET value=300 WHERE name='usage_cut'",
              (unsigned long long)position_make(300, POSITION_INDEX_MAX));
    struct usage_query query = {.from_ms = DAY_MS + 1, .to_ms = INT64_MAX};
    usage_scan_begin(&scan, &query, 1);
    assert_int_equal(LEDGER_END, usage_scan_step(books->reader, &scan));
    assert_true(scan.is_cut);
    usage_scan_end(books->reader, &scan);
    /* Whole hours are in the rollup for ever. */
    static struct told told;
    memset(&told, 0, sizeof(told));
    told.groups_max = UINT32_MAX;
    query.from_ms = DAY_MS;
    run_scan(books, &query, &told);
    assert_true(told.requests >= EVENTS);
}

static void cut(struct books *books, uint64_t through)
{
    books_sql(books,
              "BEGIN;DELETE FROM usage_events WHERE position<=%llu;"
              "UPDATE meta SET value=%llu WHERE name='usage_cut';COMMIT",
              (unsigned long long)position_make(through, POSITION_INDEX_MAX),
              (unsigned long long)through);
}

/* Sums up and takes all; after so many steps retention has its turn. False: the sum was lost. */
static bool run_while_cut(struct books *books, struct usage_scan *scan, unsigned steps,
                          uint64_t through, struct told *told, bool *is_cut_out)
{
    enum ledger_read result = LEDGER_MORE;
    *is_cut_out = false;
    for (unsigned step = 0; result == LEDGER_MORE; ++step) {
        if (step == steps) {
            roll(books, position_make(books->sequence, POSITION_INDEX_MAX));
            cut(books, through);
            *is_cut_out = true;
        }
        if (scan->phase == USAGE_SUMMED) {
            result = usage_scan_take(books->reader, scan, take_line, told);
            continue;
        }
        result = usage_scan_step(books->reader, scan);
        assert_int_not_equal(LEDGER_FAILED, result);
        if (scan->is_lost) return false;
        if (result == LEDGER_END) result = LEDGER_MORE; /* to be given */
    }
    assert_int_equal(LEDGER_END, result);
    return true;
}

static const struct usage_query groupings[] = {
    {.group_count = 0                                   },
    { .group_count = 1,                              .group_by = {BY_HOUR}},
    { .group_count = 2,               .group_by = {BY_FEATURE, BY_SUBJECT}},
    { .group_count = 2,                 .group_by = {BY_CUSTOMER, BY_HOUR}},
    { .group_count = 0,.only = {[BY_CUSTOMER] = {(const uint8_t *)"a", 1}}},
};

/* Whatever step retention comes behind: the sum is whole, or it says that it is lost. */
static void expect_whole_or_lost(void **state, const struct usage_query *query, uint64_t rolled,
                                 uint64_t through, bool is_cut_behind)
{
    static struct told before;
    static struct told during;
    static struct usage_scan scan;
    unsigned lost = 0;
    bool is_cut = true;
    for (unsigned steps = 1; is_cut; ++steps) {
        assert_int_equal(0, books_start(state)); /* the same books each time */
        struct books *books = *state;
        struct prng prng = {17};
        (void)put_some(books, &prng, EVENTS, DAY_MS);
        roll(books, position_make(rolled, 0));
        memset(&before, 0, sizeof(before));
        memset(&during, 0, sizeof(during));
        before.groups_max = during.groups_max = UINT32_MAX;
        run_scan(books, query, &before);
        during.group_count = query->group_count;
        usage_scan_begin(&scan, query, 1);
        if (run_while_cut(books, &scan, steps, through, &during, &is_cut)) {
            assert_string_equal(before.text, during.text);
        } else {
            ++lost;
            usage_scan_end(books->reader, &scan);
            usage_scan_begin(&scan, query, 1); /* anew */
            assert_int_equal(LEDGER_END, sum_up(books, &scan));
            assert_int_equal(is_cut_behind, scan.is_cut);
            usage_scan_end(books->reader, &scan);
            if (!is_cut_behind) {
                memset(&during, 0, sizeof(during));
                during.groups_max = UINT32_MAX;
                run_scan(books, query, &during);
                assert_string_equal(before.text, during.text);
            }
        }
        assert_int_equal(0, books_stop(state));
    }
    assert_in_range(lost, 1, UINT32_MAX);
}

static void an_hour_that_retention_takes_while_it_is_summed_is_missed(void **state)
{
    for (unsigned i = 0; i < COUNT_OF(groupings); ++i) {
        struct usage_query query = groupings[i];
        query.from_ms = DAY_MS + 1;
        query.to_ms = INT64_MAX;
        expect_whole_or_lost(state, &query, EVENTS, 300, true);
    }
}

static void what_is_rolled_and_taken_while_it_is_summed_is_missed(void **state)
{
    for (unsigned i = 0; i < COUNT_OF(groupings); ++i) {
        struct usage_query query = groupings[i];
        query.to_ms = INT64_MAX;
        expect_whole_or_lost(state, &query, EVENTS / 2, EVENTS - 100, false);
    }
}

static void keys_that_are_none_are_refused(void **state)
{
    (void)state;
    static struct usage_scan scan;
    const struct usage_query query = {
        .group_count = 2, .group_by = {BY_CUSTOMER, BY_HOUR}
    };
    usage_scan_begin(&scan, &query, 1);
    assert_true(usage_scan_behind(&scan, BYTES("\x01"
                                               "a"
                                               "\x02")));
    assert_false(usage_scan_behind(&scan, BYTES("\x01"
                                                "a")));
    assert_false(usage_scan_behind(&scan, BYTES("\x01"
                                                "a"
                                                "\x02"
                                                "\x02")));
    assert_false(usage_scan_behind(&scan, BYTES("\x01"
                                                "\xff"
                                                "\x02")));
    assert_false(usage_scan_behind(&scan, BYTES("")));
}

int main(void)
{
#define BOOKS_TEST(name) cmocka_unit_test_setup_teardown(name, books_start, books_stop)
    const struct CMUnitTest tests[] = {
        BOOKS_TEST(a_sum_equals_a_scan_wherever_the_rollup_ends),
        BOOKS_TEST(a_sum_equals_a_scan_whatever_days_are_made),
        BOOKS_TEST(whole_days_are_read_as_days),
        BOOKS_TEST(a_sum_is_taken_in_pieces_of_whole_groups),
        BOOKS_TEST(settlement_may_go_on_meanwhile),
        BOOKS_TEST(many_customers_are_summed_span_by_span),
        BOOKS_TEST(the_first_groups_are_given_before_the_others_are_summed),
        BOOKS_TEST(the_rollup_may_go_on_between_spans),
        BOOKS_TEST(a_scan_that_was_given_up_leaves_nothing_to_the_next_of_its_number),
        BOOKS_TEST(an_hour_cut_through_what_retention_took_has_no_sum),
        cmocka_unit_test(an_hour_that_retention_takes_while_it_is_summed_is_missed),
        cmocka_unit_test(what_is_rolled_and_taken_while_it_is_summed_is_missed),
        cmocka_unit_test(keys_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
