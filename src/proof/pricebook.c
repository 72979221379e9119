/*
 * pricebook.c: see pricebook.h.
 */
#include "proof/pricebook.h"

#include <inttypes.h>
#include <sqlite3.h>

#include "policy/policy.h"
#include "proof/verdict.h"

void pricebook_start(struct pricebook *book, struct books *books)
{
    *book = (struct pricebook){.books = books, .verdict = books->verdict};
}

void pricebook_end(struct pricebook *book)
{
    for (unsigned i = 0; i < PRICEBOOK_COMPILED; ++i)
        if (book->compiled_ones[i].block != NULL)
            memory_release(book->compiled_ones[i].block, POLICY_ARENA_BYTES);
}

struct symbols pricebook_symbols(void)
{
    static const struct bytes names[SYMBOL_FIRST_FREE] = {
        [SYMBOL_PROMOTIONAL] = {(const uint8_t *)"promotional", 11},
        [SYMBOL_ENTITLEMENT] = {(const uint8_t *)"entitlement", 11},
        [SYMBOL_PAID] = {       (const uint8_t *)"paid",  4},
        [SYMBOL_UNLIMITED] = {  (const uint8_t *)"unlimited",  9},
    };
    return (struct symbols){.name = names, .count = SYMBOL_FIRST_FREE - 1};
}

/* Memory starts anew: an arena given back page by page is zeroes again. */
static bool compile(struct pricebook *book, struct priced_policy *place, struct bytes yaml)
{
    static struct policy_complaints complaints;
    const struct symbols known = pricebook_symbols();
    if (place->block != NULL) memory_release(place->block, POLICY_ARENA_BYTES);
    place->block = memory_reserve(POLICY_ARENA_BYTES);
    ENSURE(place->block != NULL);
    struct arena arena = arena_over(place->block, POLICY_ARENA_BYTES);
    place->policy = policy_compile(&arena, yaml, &known, &complaints);
    if (place->policy != NULL) {
        ++book->compiled;
        return true;
    }
    verdict_found(book->verdict, "line %" PRIu32 ": %s", complaints.at[0].line,
                  complaints.at[0].text);
    verdict_place(book->verdict, "policies, position %" PRIu64, place->position);
    place->position = 0;
    return verdict_find(book->verdict, LEDGER_FILE, "its policy does not compile", ADVICE_REBUILD);
}

static struct priced_policy *find_place(struct pricebook *book, uint64_t position)
{
    struct priced_policy *oldest = &book->compiled_ones[0];
    for (unsigned i = 0; i < PRICEBOOK_COMPILED; ++i) {
        struct priced_policy *one = &book->compiled_ones[i];
        if (one->position == position) return one;
        if (one->used < oldest->used) oldest = one;
    }
    return oldest;
}

/* The whole text only where it must be compiled. */
static bool load(struct pricebook *book, struct priced_policy *place, uint64_t position)
{
    sqlite3_stmt *statement = NULL;
    bool is_good = sqlite3_prepare_v2(ledger_connection(book->books->ledger),
                                      "SELECT installed_ms,yaml FROM policies WHERE position=?1",
                                      -1, &statement, NULL) == SQLITE_OK &&
                   sqlite3_bind_int64(statement, 1, (sqlite3_int64)position) == SQLITE_OK &&
                   sqlite3_step(statement) == SQLITE_ROW;
    if (is_good) {
        place->position = position;
        place->installed_ms = sqlite3_column_int64(statement, 0);
        const struct bytes yaml = {sqlite3_column_text(statement, 1),
                                   (size_t)sqlite3_column_bytes(statement, 1)};
        is_good = compile(book, place, yaml);
    } else {
        (void)books_find_fault(book->books, "its table policies cannot be read");
    }
    (void)sqlite3_finalize(statement);
    return is_good;
}

static bool find_position(struct pricebook *book, uint64_t decision, uint64_t *position_out)
{
    sqlite3_stmt *statement = NULL;
    const bool is_good = sqlite3_prepare_v2(ledger_connection(book->books->ledger),
                                            "SELECT max(position) FROM policies WHERE position<?1",
                                            -1, &statement, NULL) == SQLITE_OK &&
                         sqlite3_bind_int64(statement, 1, (sqlite3_int64)decision) == SQLITE_OK &&
                         sqlite3_step(statement) == SQLITE_ROW;
    *position_out = is_good ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_finalize(statement);
    if (!is_good) return books_find_fault(book->books, "its table policies cannot be read");
    if (*position_out != 0) return true;
    verdict_place(book->verdict, "policies");
    verdict_expected(book->verdict, "a policy installed before position %" PRIu64, decision);
    return verdict_find(book->verdict, LEDGER_FILE, "the policy of a decision is missing",
                        ADVICE_REBUILD);
}

bool pricebook_at(struct pricebook *book, uint64_t decision,
                  const struct priced_policy **policy_out)
{
    uint64_t position = 0;
    if (!find_position(book, decision, &position)) return false;
    struct priced_policy *place = find_place(book, position);
    if (place->position != position && !load(book, place, position)) return false;
    place->used = ++book->asked;
    *policy_out = place;
    return true;
}
