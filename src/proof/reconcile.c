/*
 * reconcile.c: usage x price book = monetization = balance updates = balances = engine state
 * (SEMANTICS B3).
 *
 * One pass, in the order of positions, over four streams at once: the journal's entries as far back
 * as it goes, and the rows of the three datasets. Every position is judged on its own, with what is
 * carried from earlier ones in three maps:
 *
 *   (a) the usage is priced anew, and its remainder begins where the one before it of the same
 *       customer and price rule version ended: sums follow by telescoping
 *   (b) units used = lines + overshoot
 *   (c) what moved for the decision = - what it was charged; overshoot nets to zero
 *   (d) every account's balance = its balance before + the row's delta, from zero on
 *   (e) at the cursor, and at the tip after the rows that settlement has yet to add, every account
 *       is what the engine has, rebuilt from the facts
 *
 * and where there is a journal entry, its rows are what projecting it gives, column by column.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "proof/compare.h"
#include "proof/entries.h"
#include "proof/rollups.h"
#include "proof/snapfiles.h"
#include "proof/twin.h"
#include "proof/verdict.h"

enum { ROWS_PER_PROGRESS = 1 << 16, INTEGER_TEXT_SIZE = 48 };

struct remainder {
    struct hash128 id; /* of customer and price rule version */
    uint64_t after;
};

struct reconciliation {
    struct place place;
    struct proof_verdict *verdict;
    struct books books;
    struct walk walk;
    struct chains chains;
    struct entries entries;
    struct pricebook pricebook;
    struct twin twin;
    bool has_twin;
    struct snapshot_list snapshots;
    struct map remainders;
    struct book_rows rows[DATASETS];
    const struct proof_parts *parts;

    uint32_t entries_of_batch;
    bool is_compared; /* with the engine at the cursor */
    uint64_t compared;
    uint64_t alone; /* positions whose journal entry is gone */
    uint64_t priced;
    uint64_t unpriced; /* their usage events were cut */
    uint64_t refunds, grants, policies, customers;
};

/* All rows of one position, as they are summed. */
struct moment {
    uint64_t position;
    const struct value *usage;
    const struct value *monetization;
    const struct projection *projection; /* NULL: not known */
    uint32_t balances;
    int128 charged; /* by cause, sums of deltas */
    int128 debt;
    int128 overage_beyond; /* overshoot booked as overage */
    int128 overshoot_refunded;
    int128 overshoot_charged;
};

static bool find_in(const struct reconciliation *r, enum dataset dataset, const struct value *row,
                    const char *what)
{
    book_row_place(r->verdict, dataset, row);
    return verdict_find(r->verdict, LEDGER_FILE, what, ADVICE_REBUILD);
}

static const char *integer_text(int128 value, char text_out[INTEGER_TEXT_SIZE])
{
    struct buffer buffer = buffer_over(text_out, INTEGER_TEXT_SIZE);
    buffer_put_integer(&buffer, value);
    buffer_put_byte(&buffer, 0);
    return text_out;
}

static bool find_sum(const struct reconciliation *r, const struct moment *moment, int128 expected,
                     int128 found, const char *what)
{
    char text[INTEGER_TEXT_SIZE];
    const struct value row[] = {value_of_unsigned(moment->position)};
    verdict_expected(r->verdict, "%s", integer_text(expected, text));
    verdict_found(r->verdict, "%s", integer_text(found, text));
    return find_in(r, DATASET_MONETIZATION, row, what);
}

/* --- one position ---------------------------------------------------------------------------- */

static bool says(const struct value *value, const char *word)
{
    return value->kind == VALUE_TEXT && bytes_equal(value->bytes, bytes_of_text(word));
}

static void add_balance(struct moment *moment, const struct value *row)
{
    const int64_t delta = row[BALANCE_delta].integer;
    const struct value *cause = &row[BALANCE_cause];
    ++moment->balances;
    if (says(cause, "charge")) moment->charged += delta;
    if (says(cause, "debt")) moment->debt += delta;
    if (says(cause, "overshoot_refund")) moment->overshoot_refunded += delta;
    if (!says(cause, "overshoot_charge")) return;
    if (says(&row[BALANCE_account], "overage"))
        moment->overage_beyond += delta;
    else
        moment->overshoot_charged += delta;
}

static bool take_balances(struct reconciliation *r, struct moment *moment)
{
    const struct projection *projection = moment->projection;
    const struct value *row = NULL;
    for (;;) {
        if (!book_rows_peek(&r->rows[DATASET_BALANCE], &row)) return false;
        if (row == NULL || value_unsigned(row) != moment->position) break;
        if (projection != NULL && moment->balances >= projection->balance_count)
            return find_in(r, DATASET_BALANCE, row, "no journal entry makes this row");
        if (projection != NULL &&
            !compare_balance(r->verdict, &projection->balances[moment->balances], row))
            return false;
        if (!chains_take_balance(&r->chains, row)) return false;
        add_balance(moment, row);
        book_rows_pass(&r->rows[DATASET_BALANCE]);
    }
    if (projection == NULL || moment->balances == projection->balance_count) return true;
    return compare_balance(r->verdict, &projection->balances[moment->balances], NULL);
}

/* (c) */
static bool check_sums(const struct reconciliation *r, const struct moment *moment)
{
    const struct value *row = moment->monetization;
    const bool is_refunded = row != NULL && says(&row[MONETIZATION_overshoot_booked], "refund");
    const bool is_debt = row != NULL && says(&row[MONETIZATION_overshoot_booked], "debt");
    const bool is_overage = row != NULL && says(&row[MONETIZATION_overshoot_booked], "overage");
    const int128 beyond = row == NULL ? 0 : row[MONETIZATION_overshoot_charged].integer;
    const int128 refunded = row == NULL ? 0 : row[MONETIZATION_overshoot_refunded].integer;
    const struct {
        int128 expected, found;
        const char *what;
    } sums[] = {
        {row == NULL ? 0 : -(int128)row[MONETIZATION_charged].integer,            moment->charged,
         "its balance updates do not take what it charges"                                                                                         },
        {                                       is_debt ? -beyond : 0,               moment->debt,                  "its debt is not its overshoot"},
        {                                    is_overage ? -beyond : 0,     moment->overage_beyond,               "its overage is not its overshoot"},
        {                                    is_refunded ? beyond : 0,                   refunded, "its overshoot is not refunded as it is charged"},
        {                                                    refunded, moment->overshoot_refunded,  "its overshoot's refund is not in the balances"},
        {                                                   -refunded,  moment->overshoot_charged,             "its overshoot does not net to zero"},
    };
    for (unsigned i = 0; i < COUNT_OF(sums); ++i)
        if (sums[i].expected != sums[i].found)
            return find_sum(r, moment, sums[i].expected, sums[i].found, sums[i].what);
    return true;
}

static struct hash128 remainder_id(const struct reconciliation *r, const struct value *row)
{
    uint8_t block[CUSTOMER_BYTES_MAX + 16];
    struct buffer text = buffer_over(block, sizeof(block));
    buffer_put_unsigned(&text, value_unsigned(&row[MONETIZATION_price_version]));
    buffer_put_bytes(&text, row[MONETIZATION_customer].bytes);
    return hash_128(r->chains.key, buffer_bytes(&text));
}

/* (a), between events: what remained is what was carried on. */
static bool take_remainder(struct reconciliation *r, const struct value *row)
{
    if (row[MONETIZATION_price_version].integer == 0) return true;
    struct remainder *remainder = map_put(&r->remainders, remainder_id(r, row));
    const uint64_t before = value_unsigned(&row[MONETIZATION_remainder_before]);
    if (before != remainder->after) {
        verdict_expected(r->verdict, "remainder_before %" PRIu64, remainder->after);
        verdict_found(r->verdict, "%" PRIu64, before);
        return find_in(r, DATASET_MONETIZATION, row,
                       "its remainder is not what the customer's usage before it left");
    }
    remainder->after = value_unsigned(&row[MONETIZATION_remainder_after]);
    if (remainder->after == 0) map_remove(&r->remainders, remainder);
    return true;
}

/* (a) and (b), of one event. */
static bool price(struct reconciliation *r, const struct moment *moment)
{
    const struct value *row = moment->monetization;
    const struct priced_policy *policy = NULL;
    if (moment->usage == NULL) {
        ++r->unpriced;
        return true;
    }
    if (!pricebook_at(&r->pricebook, value_unsigned(&row[MONETIZATION_decision]), &policy))
        return false;
    const struct pricing pricing = {
        .policy = policy->policy,
        .symbols = pricebook_symbols(),
        .usage = moment->usage,
        .monetization = row,
        .hold = entries_hold(&r->entries, moment->usage, policy->installed_ms),
        .verdict = r->verdict,
    };
    ++r->priced;
    return pricing_check(&pricing);
}

static bool settles(const struct value *usage)
{
    return says(&usage[USAGE_kind], "consume") || says(&usage[USAGE_kind], "commit") ||
           says(&usage[USAGE_kind], "usage");
}

/* A usage event and what it costs come together, and say the same. */
static bool check_pair(struct reconciliation *r, const struct moment *moment)
{
    const struct value *usage = moment->usage;
    const struct value *row = moment->monetization;
    if (usage != NULL && settles(usage) != (row != NULL))
        return find_in(r, DATASET_USAGE, usage,
                       row == NULL ? "it settles usage and has no monetization event"
                                   : "it settles nothing and has a monetization event");
    if (usage == NULL && row != NULL &&
        !books_is_cut(&r->books, position_sequence(moment->position)))
        return find_in(r, DATASET_MONETIZATION, row, "its usage event is missing");
    if (usage == NULL || row == NULL) return true;
    static const struct {
        uint32_t usage, monetization;
    } SAME[] = {
        {          USAGE_decision,           MONETIZATION_decision},
        {          USAGE_customer,           MONETIZATION_customer},
        {           USAGE_feature,            MONETIZATION_feature},
        {           USAGE_charged,            MONETIZATION_charged},
        {   USAGE_overshoot_units,    MONETIZATION_overshoot_units},
        { USAGE_overshoot_charged,  MONETIZATION_overshoot_charged},
        {USAGE_overshoot_refunded, MONETIZATION_overshoot_refunded},
    };
    for (unsigned i = 0; i < COUNT_OF(SAME); ++i)
        if (!values_equal(&usage[SAME[i].usage], &row[SAME[i].monetization], 1))
            return find_in(r, DATASET_MONETIZATION, row,
                           "it does not say what its usage event says");
    return true;
}

static bool compare_pair(struct reconciliation *r, const struct moment *moment)
{
    const struct projection *projection = moment->projection;
    if (projection == NULL) return true;
    if (moment->usage != NULL && !projection->has_usage)
        return find_in(r, DATASET_USAGE, moment->usage, "no journal entry makes this row");
    if (moment->monetization != NULL && !projection->has_monetization)
        return find_in(r, DATASET_MONETIZATION, moment->monetization,
                       "no journal entry makes this row");
    const bool is_gone = projection->has_usage && moment->usage == NULL &&
                         books_is_cut(&r->books, position_sequence(moment->position));
    if (projection->has_usage && !is_gone &&
        !compare_usage(r->verdict, &projection->usage, moment->usage))
        return false;
    return !projection->has_monetization ||
           compare_monetization(r->verdict, &projection->monetization, moment->monetization);
}

static bool compare_others(struct reconciliation *r, const struct projection *projection)
{
    if (projection == NULL) return true;
    r->refunds += projection->has_refund;
    r->grants += projection->has_grant;
    r->policies += projection->has_policy;
    if (projection->has_refund && !compare_refund(&r->books, &projection->refund)) return false;
    if (projection->has_grant && !compare_grant(&r->books, &projection->grant)) return false;
    return !projection->has_policy || compare_policy(&r->books, &projection->policy);
}

/* The customer's balance as the fact itself says it. */
static bool check_said(struct reconciliation *r, const struct moment *moment, struct bytes customer)
{
    if (moment->projection == NULL || !moment->projection->says_settled) return true;
    const struct head *head = chains_head(&r->chains, customer);
    if (head->after == moment->projection->settled_after) return true;
    return find_sum(r, moment, moment->projection->settled_after, head->after,
                    "the customer's balance is not what the fact says it became");
}

static bool take_position(struct reconciliation *r, uint64_t position,
                          const struct projection *projection, struct bytes customer)
{
    struct moment moment = {.position = position, .projection = projection};
    const struct value *usage = NULL;
    const struct value *monetization = NULL;
    if (!book_rows_peek(&r->rows[DATASET_USAGE], &usage) ||
        !book_rows_peek(&r->rows[DATASET_MONETIZATION], &monetization))
        return false;
    if (usage != NULL && value_unsigned(usage) == position) moment.usage = usage;
    if (monetization != NULL && value_unsigned(monetization) == position)
        moment.monetization = monetization;
    if (!compare_pair(r, &moment) || !check_pair(r, &moment) || !take_balances(r, &moment))
        return false;
    if (!check_sums(r, &moment) || !compare_others(r, projection)) return false;
    if (!check_said(r, &moment, customer)) return false;
    if (moment.usage != NULL && !chains_take_usage(&r->chains, moment.usage)) return false;
    if (moment.monetization != NULL &&
        (!take_remainder(r, moment.monetization) || !price(r, &moment)))
        return false;
    if (moment.usage != NULL) book_rows_pass(&r->rows[DATASET_USAGE]);
    if (moment.monetization != NULL) book_rows_pass(&r->rows[DATASET_MONETIZATION]);
    return true;
}

/* The first position that any dataset has a row of next; UINT64_MAX: none has. */
static bool next_position(struct reconciliation *r, uint64_t *position_out,
                          enum dataset *dataset_out)
{
    *position_out = UINT64_MAX;
    for (unsigned i = 0; i < DATASETS; ++i) {
        const struct value *row = NULL;
        if (!book_rows_peek(&r->rows[i], &row)) return false;
        if (row == NULL || value_unsigned(row) >= *position_out) continue;
        *position_out = value_unsigned(row);
        *dataset_out = (enum dataset)i;
    }
    return true;
}

/* Rows whose entries the journal no longer has are judged without them; others need one. */
static bool take_rows_before(struct reconciliation *r, uint64_t position)
{
    for (;;) {
        uint64_t next = 0;
        enum dataset dataset = DATASET_USAGE;
        if (!next_position(r, &next, &dataset)) return false;
        if (next >= position) return true;
        const uint64_t sequence = position_sequence(next);
        if (r->walk.first != 0 && sequence >= r->walk.first && sequence <= r->walk.newest) {
            const struct value row[BALANCE_COLUMNS] = {value_of_unsigned(next)};
            return find_in(r, dataset, row, "no journal entry makes this row");
        }
        if (!take_position(r, next, NULL, BYTES_NONE)) return false;
        if (++r->alone % ROWS_PER_PROGRESS == 0)
            r->parts->progress(r->parts->self, "batches of which the ledger alone is left",
                               sequence, r->walk.first - 1);
    }
}

/* --- the suffix ------------------------------------------------------------------------------ */

/* What settlement will add: moves the balances, so that they can be compared at the tip. */
static bool expect_rows(struct reconciliation *r, const struct projection *projection,
                        struct bytes customer)
{
    if (projection == NULL) return true;
    for (uint32_t i = 0; i < projection->balance_count; ++i)
        if (!chains_expect(&r->chains, &projection->balances[i], customer)) return false;
    return true;
}

/* --- the pass -------------------------------------------------------------------------------- */

/* Who becomes a customer, and when, is in the table of heads. */
static bool check_founded(struct reconciliation *r, const struct walked *walked,
                          struct bytes customer)
{
    bool is_founded = false;
    for (uint32_t i = 0; i < walked->fact->effect_count; ++i)
        is_founded = is_founded || walked->fact->effects[i].kind == EFFECT_CUSTOMER;
    if (!is_founded) return true;
    const struct head *head = chains_head(&r->chains, customer);
    ++r->customers;
    if (head->stored.founded == walked->position) return true;
    verdict_place(r->verdict, "customers, '%.*s'", (int)customer.length, (const char *)customer.at);
    verdict_expected(r->verdict, "founded %" PRIu64, walked->position);
    verdict_found(r->verdict, "%" PRIu64, head->stored.founded);
    return verdict_find(r->verdict, LEDGER_FILE, "it is not founded where its journal entry is",
                        ADVICE_REBUILD);
}

static bool on_entry(void *self, const struct walked *walked)
{
    struct reconciliation *r = self;
    const struct projection *projection = NULL;
    const bool is_settled = position_sequence(walked->position) <= r->books.cursor;
    if (!entries_take(&r->entries, walked, &projection)) return false;
    const struct bytes customer =
        walked->fact->has_customer ? entries_name(&r->entries, walked->fact->customer) : BYTES_NONE;
    ++r->entries_of_batch;
    const bool is_new = r->has_twin && position_sequence(walked->position) > r->twin.sequence;
    if (is_new && !twin_apply(&r->twin, walked)) return false;
    if (is_settled) {
        if (!check_founded(r, walked, customer)) return false;
        if (!take_rows_before(r, walked->position)) return false;
        if (!take_position(r, walked->position, projection, customer)) return false;
        r->compared += projection != NULL;
    } else if (!expect_rows(r, projection, customer)) {
        return false;
    }
    entries_pass(&r->entries, walked);
    return true;
}

static bool compare_with_engine(struct reconciliation *r, const char *when)
{
    if (!r->has_twin) return true;
    return twin_compare(&r->twin, &r->entries, &r->chains, when);
}

/* Where all of the journal is there, every snapshot is compared with it. */
static bool compare_snapshots(struct reconciliation *r, uint64_t sequence)
{
    for (uint32_t i = 0; r->walk.first <= 2 && i < r->snapshots.count; ++i)
        if (r->snapshots.sequences[i] == sequence && !snapfiles_is_gone(&r->place, sequence))
            return twin_compare_snapshot(&r->twin, &r->entries, r->place.directory, sequence);
    return true;
}

static bool on_batch(void *self, const struct batch_header *header)
{
    struct reconciliation *r = self;
    if (r->has_twin && header->sequence > r->twin.sequence) {
        twin_sweep(&r->twin, header->last_ms, r->entries_of_batch);
        r->twin.sequence = header->sequence;
    }
    r->entries_of_batch = 0;
    if (r->has_twin && !compare_snapshots(r, header->sequence)) return false;
    if (header->sequence != r->books.cursor) return true;
    r->is_compared = true;
    if (!take_rows_before(r, UINT64_MAX) || !chains_check_stored(&r->chains)) return false;
    /* A snapshot may be newer than what is settled; then there is the tip alone. */
    return header->sequence < r->twin.sequence || compare_with_engine(r, "at the cursor");
}

/* Rows of the lesser tables that nothing makes would stand there uncounted. */
static bool check_count(struct reconciliation *r, const char *table, const char *sql,
                        uint64_t expected)
{
    sqlite3_stmt *statement = NULL;
    const uint64_t behind = (r->books.cursor + 1) << POSITION_INDEX_BITS;
    const bool is_good = sqlite3_prepare_v2(ledger_connection(r->books.ledger), sql, -1, &statement,
                                            NULL) == SQLITE_OK &&
                         sqlite3_bind_int64(statement, 1, (sqlite3_int64)behind) == SQLITE_OK &&
                         sqlite3_step(statement) == SQLITE_ROW;
    const uint64_t count = is_good ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_finalize(statement);
    if (!is_good) return books_find_fault(&r->books, "a table cannot be counted");
    if (count == expected) return true;
    verdict_place(r->verdict, "%s", table);
    verdict_expected(r->verdict, "%" PRIu64 " rows, as many as journal entries make", expected);
    verdict_found(r->verdict, "%" PRIu64, count);
    return verdict_find(r->verdict, LEDGER_FILE, "there are rows that no journal entry makes",
                        ADVICE_REBUILD);
}

static bool check_symbols(const struct reconciliation *r)
{
    if (r->entries.symbols_stored == r->entries.symbols_settled) return true;
    verdict_place(r->verdict, "symbols");
    verdict_expected(r->verdict, "%" PRIu32 " rows", r->entries.symbols_settled);
    verdict_found(r->verdict, "%" PRIu32, r->entries.symbols_stored);
    return verdict_find(r->verdict, LEDGER_FILE, "there are rows that no journal entry makes",
                        ADVICE_REBUILD);
}

static bool check_counts(struct reconciliation *r)
{
    if (r->walk.first > 2 || r->entries.unknown > 0) return true;
    return check_count(r, "refunds", "SELECT count(*) FROM refunds WHERE position<?1",
                       r->refunds) &&
           check_count(r, "grants", "SELECT count(*) FROM grants WHERE id<?1", r->grants) &&
           check_count(r, "policies", "SELECT count(*) FROM policies WHERE position<?1",
                       r->policies) &&
           check_count(r, "customers", "SELECT count(*) FROM customers WHERE founded<?1",
                       r->customers) &&
           check_symbols(r);
}

/* From the journal's beginning, else from the oldest snapshot that what is left of it goes on
 * from. */
static bool start_twin(struct reconciliation *r, const struct proof_parts *parts,
                       struct hash_key key)
{
    if (!snapshot_list(r->place.directory, &r->snapshots)) r->snapshots.count = 0;
    if (!twin_start(&r->twin, parts->memory_bytes, key, r->verdict)) return false;
    if (!twin_begin(&r->twin, &r->walk, r->place.directory, &r->snapshots, &r->has_twin))
        return false;
    if (r->has_twin) return true;
    if (r->place.access != JOURNAL_SERVED)
        return verdict_find(r->verdict, "journal.db", WHAT_NO_STATE, ADVICE_NO_STATE);
    verdict_note(r->verdict, "the journal's beginning was cut and the snapshots that stand for it "
                             "came later: the engine's state was not compared");
    return true;
}

static bool open_all(struct reconciliation *r, const struct proof_parts *parts)
{
    if (!place_open(&r->place, parts->directory, r->verdict)) return false;
    if (!books_open(&r->books, &r->place, r->verdict)) return false;
    if (!walk_open(&r->walk, &r->place, parts, r->verdict)) return false;
    const struct hash_key key = r->walk.journal->key;
    chains_start(&r->chains, &r->books, key);
    map_start(&r->remainders, sizeof(struct remainder));
    if (!pricebook_start(&r->pricebook, &r->books)) return false;
    if (!chains_load_stored(&r->chains)) return false;
    if (!entries_start(&r->entries, &r->books, &r->place, key)) return false;
    for (unsigned i = 0; i < DATASETS; ++i)
        if (!book_rows_open(&r->rows[i], &r->books, (enum dataset)i, r->books.cursor)) return false;
    return start_twin(r, parts, key);
}

static bool run(struct reconciliation *r, const struct proof_parts *parts)
{
    if (!open_all(r, parts) || !walk_run(&r->walk, r, on_entry, on_batch)) return false;
    if (!books_reach(&r->books, r->walk.first)) return false;
    if (!r->is_compared) {
        verdict_place(r->verdict, "meta, 'cursor_sequence'");
        verdict_expected(r->verdict, "at most batch %" PRIu64 ", the journal's newest",
                         r->walk.newest);
        verdict_found(r->verdict, "%" PRIu64, r->books.cursor);
        return verdict_find(r->verdict, LEDGER_FILE,
                            "it has settled batches that the journal does not have",
                            ADVICE_RESTORE);
    }
    return check_counts(r) && compare_with_engine(r, "at the tip") &&
           rollups_check(&r->books, parts);
}

static void count_all(const struct reconciliation *r, struct proof_verdict *verdict)
{
    const uint64_t suffix = r->walk.newest > r->books.cursor ? r->walk.newest - r->books.cursor : 0;
    verdict_count(verdict, "journal", "entries", r->walk.entries);
    verdict_count(verdict, "journal", "entries projected again", r->compared);
    verdict_count(verdict, "journal", "batches not yet settled", suffix);
    for (unsigned i = 0; i < DATASETS; ++i)
        verdict_count(verdict, "ledger", dataset_table((enum dataset)i), r->rows[i].count);
    verdict_count(verdict, "ledger", "events priced anew", r->priced);
    verdict_count(verdict, "ledger", "events whose usage was cut", r->unpriced);
    verdict_count(verdict, "ledger", "policies compiled", r->pricebook.compiled);
    verdict_count(verdict, "engine", "snapshots compared", r->twin.snapshots);
    verdict_count(verdict, "engine", "customers compared", r->twin.customers);
    verdict_count(verdict, "engine", "grants compared", r->twin.grants);
}

static void close_all(struct reconciliation *r)
{
    for (unsigned i = 0; i < DATASETS; ++i)
        if (r->rows[i].statement != NULL) book_rows_close(&r->rows[i]);
    if (r->twin.view != NULL) twin_end(&r->twin);
    if (r->entries.symbols != NULL) entries_end(&r->entries);
    if (r->remainders.slots != NULL) map_end(&r->remainders);
    if (r->chains.heads.slots != NULL) chains_end(&r->chains);
    pricebook_end(&r->pricebook);
    walk_close(&r->walk);
    books_close(&r->books);
}

void proof_reconcile(const struct proof_parts *parts, struct proof_verdict *verdict_out)
{
    struct reconciliation *r = calloc(1, sizeof(*r));
    ENSURE(r != NULL);
    *verdict_out = (struct proof_verdict){.is_clean = true};
    r->verdict = verdict_out;
    r->parts = parts;
    const bool is_whole = run(r, parts);
    ENSURE(is_whole == verdict_out->is_clean);
    count_all(r, verdict_out);
    close_all(r);
    if (r->place.directory != NULL) place_close(&r->place, verdict_out);
    free(r);
}
