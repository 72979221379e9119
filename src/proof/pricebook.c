/*
 * pricebook.c: see pricebook.h.
 */
#include "proof/pricebook.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "policy/policy.h"
#include "proof/verdict.h"

static bool load_positions(struct pricebook *book, sqlite3_stmt *statement)
{
    uint32_t room = 0;
    int code = SQLITE_DONE;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (book->position_count == room) {
            room = room == 0 ? 64 : 2 * room;
            book->positions = realloc(book->positions, room * sizeof(*book->positions));
            ENSURE(book->positions != NULL);
        }
        book->positions[book->position_count++] = (uint64_t)sqlite3_column_int64(statement, 0);
    }
    return code == SQLITE_DONE;
}

bool pricebook_start(struct pricebook *book, struct books *books)
{
    sqlite3_stmt *statement = NULL;
    *book = (struct pricebook){.books = books, .verdict = books->verdict};
    const bool is_good = sqlite3_prepare_v2(ledger_connection(books->ledger),
                                            "SELECT position FROM policies ORDER BY position", -1,
                                            &statement, NULL) == SQLITE_OK &&
                         load_positions(book, statement);
    (void)sqlite3_finalize(statement);
    return is_good || books_find_fault(books, "its table policies cannot be read");
}

void pricebook_end(struct pricebook *book)
{
    for (unsigned i = 0; i < PRICEBOOK_COMPILED; ++i)
        if (book->compiled_ones[i].block != NULL)
            memory_release(book->compiled_ones[i].block, POLICY_ARENA_BYTES);
    free(book->positions);
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

/* The newest before the decision; 0: there is none. */
static uint64_t find_position(const struct pricebook *book, uint64_t decision)
{
    uint32_t low = 0;
    uint32_t high = book->position_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (book->positions[middle] < decision)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : book->positions[low - 1];
}

bool pricebook_at(struct pricebook *book, uint64_t decision,
                  const struct priced_policy **policy_out)
{
    const uint64_t position = find_position(book, decision);
    if (position == 0) {
        verdict_place(book->verdict, "policies");
        verdict_expected(book->verdict, "a policy installed before position %" PRIu64, decision);
        return verdict_find(book->verdict, LEDGER_FILE, "the policy of a decision is missing",
                            ADVICE_REBUILD);
    }
    struct priced_policy *place = find_place(book, position);
    if (place->position != position && !load(book, place, position)) return false;
    place->used = ++book->asked;
    *policy_out = place;
    return true;
}
