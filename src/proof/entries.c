/*
 * entries.c: see entries.h.
 */
#include "proof/entries.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof/verdict.h"

enum { ENTRIES_PER_PURGE = 1 << 20 };

struct name_record {
    struct hash128 id;
    uint8_t *name; /* its own */
    uint32_t length;
    uint32_t unused;
};

struct grant_record {
    struct hash128 id;
    uint64_t category;
};

static struct bytes copy_of(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.length + 1);
    ENSURE(copy != NULL);
    if (bytes.length > 0) memcpy(copy, bytes.at, bytes.length);
    return (struct bytes){copy, bytes.length};
}

static void note_name(struct entries *entries, struct hash128 id, struct bytes name)
{
    struct name_record *record = map_put(&entries->names, id);
    if (record->name != NULL) return;
    const struct bytes copy = copy_of(name);
    record->name = (uint8_t *)(uintptr_t)copy.at;
    record->length = (uint32_t)copy.length;
}

struct bytes entries_name(const struct entries *entries, struct hash128 customer)
{
    const struct name_record *record = map_find(&entries->names, customer);
    return record == NULL ? BYTES_NONE : (struct bytes){record->name, record->length};
}

static void add_symbol(struct entries *entries, struct bytes name)
{
    entries->symbols[++entries->symbol_count] = copy_of(name);
}

/* --- what the ledger says already ------------------------------------------------------------ */

static bool load_symbols(struct entries *entries)
{
    sqlite3_stmt *statement = NULL;
    int code =
        sqlite3_prepare_v2(ledger_connection(entries->books->ledger),
                           "SELECT number,name FROM symbols ORDER BY number", -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);
        if (number != (uint64_t)entries->symbol_count + 1 || number > SYMBOLS_MAX) break;
        const uint8_t *name = sqlite3_column_text(statement, 1);
        add_symbol(entries, (struct bytes){name, (size_t)sqlite3_column_bytes(statement, 1)});
        code = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    if (code == SQLITE_DONE) return true;
    verdict_place(entries->verdict, "symbols, number %" PRIu32, entries->symbol_count + 1);
    return books_find_fault(entries->books, "its table symbols cannot be read, or is not dense");
}

static bool load_names(struct entries *entries)
{
    sqlite3_stmt *statement = NULL;
    int64_t last = 0;
    bool is_good =
        sqlite3_prepare_v2(ledger_connection(entries->books->ledger),
                           "SELECT number,name FROM customers WHERE number>?1 ORDER BY number "
                           "LIMIT 512",
                           -1, &statement, NULL) == SQLITE_OK;
    for (bool is_more = true; is_good && is_more;) {
        is_more = false;
        int code = sqlite3_bind_int64(statement, 1, last);
        while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
            const struct bytes name = {sqlite3_column_text(statement, 1),
                                       (size_t)sqlite3_column_bytes(statement, 1)};
            note_name(entries, hash_128(entries->key, name), name);
            last = sqlite3_column_int64(statement, 0);
            is_more = true;
            code = SQLITE_OK;
        }
        (void)sqlite3_reset(statement);
        is_good = code == SQLITE_DONE;
    }
    (void)sqlite3_finalize(statement);
    return is_good || books_find_fault(entries->books, "its table customers cannot be read");
}

bool entries_start(struct entries *entries, struct books *books, const struct place *place,
                   struct hash_key key)
{
    char detail[256];
    const struct symbols born = pricebook_symbols();
    *entries = (struct entries){.books = books, .verdict = books->verdict, .key = key};
    map_start(&entries->names, sizeof(struct name_record));
    map_start(&entries->holds, sizeof(struct hold_record));
    map_start(&entries->grants, sizeof(struct grant_record));
    entries->symbols = calloc(SYMBOLS_MAX + 1, sizeof(*entries->symbols));
    entries->decision = malloc(sizeof(*entries->decision));
    void *block = calloc(1, projection_bytes());
    ENSURE(entries->symbols != NULL && entries->decision != NULL && block != NULL);
    entries->projection = projection_over(block);
    const enum journal_fault fault =
        journal_sqlite_open_witness(place->directory, place->access, &entries->lookup, detail);
    if (fault != JOURNAL_OK) {
        verdict_found(entries->verdict, "%s", detail);
        return verdict_find(entries->verdict, "journal.db", journal_fault_text(fault),
                            ADVICE_RESTORE);
    }
    if (sqlite3_prepare_v2(ledger_connection(books->ledger),
                           "SELECT category FROM grants WHERE id=?1", -1, &entries->category,
                           NULL) != SQLITE_OK)
        return books_find_fault(books, "its table grants cannot be read");
    if (!load_symbols(entries) || !load_names(entries)) return false;
    entries->symbols_stored = entries->symbol_count;
    entries->symbols_settled = born.count;
    for (uint32_t i = entries->symbol_count + 1; i <= born.count; ++i)
        add_symbol(entries, born.name[i]);
    return true;
}

void entries_end(struct entries *entries)
{
    for (struct name_record *one = NULL; (one = map_next(&entries->names, one)) != NULL;)
        free(one->name);
    for (struct hold_record *one = NULL; (one = map_next(&entries->holds, one)) != NULL;)
        free(one->command);
    for (uint32_t i = 1; i <= entries->symbol_count; ++i)
        free((void *)(uintptr_t)entries->symbols[i].at);
    (void)sqlite3_finalize(entries->category);
    if (entries->lookup != NULL) entries->lookup->calls->close(entries->lookup);
    map_end(&entries->names);
    map_end(&entries->holds);
    map_end(&entries->grants);
    free(entries->symbols);
    free(entries->decision);
    free(entries->decision_bytes);
    free(entries->projection);
}

/* --- holds ----------------------------------------------------------------------------------- */

static struct hash128 number_id(uint64_t decision)
{
    return (struct hash128){
        {hash_mix(decision, 1), decision}
    };
}

static void note_holds(struct entries *entries, const struct walked *walked)
{
    const struct fact *fact = walked->fact;
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_HOLD) continue;
        struct hold_record *hold = map_put(&entries->holds, number_id(effect->hold.id));
        hold->until_ms = INSTANT_NEVER;
        hold->has_held = true;
        memcpy(hold->held, effect->hold.quantities, sizeof(hold->held));
        if (!effect->hold.is_new) continue;
        const struct bytes command = copy_of(walked->entry.command);
        hold->decision = effect->hold.id;
        hold->decided_ms = walked->at_ms;
        hold->command = (uint8_t *)(uintptr_t)command.at;
        hold->command_bytes = (uint32_t)command.length;
    }
    if (!walked->command->as_held) return;
    struct hold_record *hold = map_find(&entries->holds, number_id(walked->command->target));
    if (hold != NULL) hold->is_as_held = true;
}

static void note_grants(struct entries *entries, const struct walked *walked)
{
    if (position_sequence(walked->position) <= entries->books->cursor) return;
    for (uint32_t i = 0; i < walked->fact->effect_count; ++i) {
        const struct effect *effect = &walked->fact->effects[i];
        if (effect->kind != EFFECT_GRANT) continue;
        struct grant_record *grant = map_put(&entries->grants, number_id(effect->grant.id));
        grant->category = effect->grant.category;
    }
}

static void purge_holds(struct entries *entries, int64_t now_ms)
{
    for (struct hold_record *hold = NULL; (hold = map_next(&entries->holds, hold)) != NULL;) {
        if (hold->until_ms > now_ms) continue;
        free(hold->command);
        map_remove(&entries->holds, hold);
        hold = NULL; /* others have moved: from the start */
    }
}

void entries_pass(struct entries *entries, const struct walked *walked)
{
    const struct fact *fact = walked->fact;
    for (uint32_t i = 0; i < fact->effect_count; ++i) {
        const struct effect *effect = &fact->effects[i];
        if (effect->kind != EFFECT_ENDED) continue;
        struct hold_record *hold = map_find(&entries->holds, number_id(effect->ended.id));
        if (hold == NULL) continue;
        if (effect->ended.state == HOLD_EXPIRED) { /* it may still be committed */
            hold->until_ms = effect->ended.until_ms;
            continue;
        }
        free(hold->command);
        map_remove(&entries->holds, hold);
    }
    if (++entries->taken % ENTRIES_PER_PURGE == 0) purge_holds(entries, walked->at_ms);
}

struct priced_hold entries_hold(const struct entries *entries, const struct value *usage,
                                int64_t installed_ms)
{
    const uint64_t decision = value_unsigned(&usage[USAGE_decision]);
    const int64_t at_ms = usage[USAGE_at_ms].integer;
    struct priced_hold known = {.decided_from_ms = at_ms, .decided_to_ms = at_ms};
    if (decision == value_unsigned(&usage[USAGE_position])) return known;
    const struct hold_record *hold = map_find(&entries->holds, number_id(decision));
    if (hold == NULL || hold->decision == 0) {
        known.decided_from_ms = installed_ms;
        return known;
    }
    known.decided_from_ms = hold->decided_ms;
    known.decided_to_ms = hold->decided_ms;
    known.has_held = hold->has_held;
    known.is_as_held = hold->is_as_held;
    memcpy(known.held, hold->held, sizeof(known.held));
    return known;
}

/* --- one entry ------------------------------------------------------------------------------- */

static bool find_entry(const struct entries *entries, const struct walked *walked, const char *file,
                       const char *what)
{
    char id[ID_TEXT_SIZE];
    id_format('d', walked->position, id);
    verdict_place(entries->verdict, "batch %" PRIu64 ", entry %" PRIu32 " (%s)",
                  position_sequence(walked->position), position_index(walked->position), id);
    return verdict_find(entries->verdict, file, what, ADVICE_REBUILD);
}

/* New names are taken, known ones compared. */
static bool take_symbols(struct entries *entries, const struct walked *walked)
{
    for (uint32_t i = 0; i < walked->fact->effect_count; ++i) {
        const struct effect *effect = &walked->fact->effects[i];
        if (effect->kind != EFFECT_SYMBOL) continue;
        const uint32_t number = effect->symbol.number;
        const bool is_settled = position_sequence(walked->position) <= entries->books->cursor;
        entries->symbols_settled += is_settled;
        if (number == entries->symbol_count + 1 && !is_settled && number <= SYMBOLS_MAX) {
            add_symbol(entries, effect->symbol.name);
            continue;
        }
        if (number <= entries->symbol_count &&
            bytes_equal(entries->symbols[number], effect->symbol.name))
            continue;
        verdict_expected(entries->verdict, "symbol %" PRIu32 " to be '%.*s'", number,
                         (int)effect->symbol.name.length, (const char *)effect->symbol.name.at);
        return find_entry(entries, walked, LEDGER_FILE, "a name it gives is not in table symbols");
    }
    return true;
}

static enum category category_of(void *self, uint64_t grant_id)
{
    const struct entries *entries = self;
    const struct grant_record *grant = map_find(&entries->grants, number_id(grant_id));
    if (grant != NULL) return (enum category)grant->category;
    enum category category = 0;
    if (sqlite3_bind_int64(entries->category, 1, (sqlite3_int64)grant_id) == SQLITE_OK &&
        sqlite3_step(entries->category) == SQLITE_ROW) {
        const struct bytes word = {sqlite3_column_text(entries->category, 0),
                                   (size_t)sqlite3_column_bytes(entries->category, 0)};
        const struct symbols born = pricebook_symbols();
        for (uint32_t i = CATEGORY_PROMOTIONAL; i <= CATEGORY_PAID; ++i)
            if (bytes_equal(word, born.name[SYMBOL_PROMOTIONAL + i - CATEGORY_PROMOTIONAL]))
                category = (enum category)i;
    }
    (void)sqlite3_reset(entries->category);
    return category;
}

/* The command of an entry that is not remembered, out of the journal. */
static bool look_up(struct entries *entries, uint64_t position)
{
    struct batch_header header;
    struct bytes body;
    if (entries->lookup->calls->read(entries->lookup, position_sequence(position), &header,
                                     &body) != JOURNAL_OK)
        return false;
    struct reader reader = reader_over(body);
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(position); ++i)
        if (!entry_take(&reader, &entry)) return false;
    free(entries->decision_bytes);
    entries->decision_bytes = (uint8_t *)(uintptr_t)copy_of(entry.command).at;
    return command_decode((struct bytes){entries->decision_bytes, entry.command.length},
                          entries->decision);
}

static bool find_decision(struct entries *entries, uint64_t position)
{
    const struct hold_record *hold = map_find(&entries->holds, number_id(position));
    if (hold != NULL && hold->command != NULL)
        return command_decode((struct bytes){hold->command, hold->command_bytes},
                              entries->decision);
    return look_up(entries, position);
}

bool entries_take(struct entries *entries, const struct walked *walked,
                  const struct projection **projection_out)
{
    const struct command *command = walked->command;
    const struct fact *fact = walked->fact;
    *projection_out = NULL;
    if (command->customer.length > 0)
        note_name(entries, hash_128(entries->key, command->customer), command->customer);
    if (!take_symbols(entries, walked)) return false;
    note_holds(entries, walked);
    note_grants(entries, walked);

    const uint64_t decision = projection_decision(command, fact);
    if (decision != 0 && !find_decision(entries, decision)) {
        ++entries->unknown;
        return true;
    }
    const struct projection_parts parts = {
        .command = command,
        .fact = fact,
        .decision = decision == 0 ? NULL : entries->decision,
        .customer = fact->has_customer ? entries_name(entries, fact->customer) : BYTES_NONE,
        .symbols = {.name = entries->symbols, .count = entries->symbol_count},
        .category_of = category_of,
        .self = entries,
    };
    if (fact->has_customer && parts.customer.at == NULL)
        return find_entry(entries, walked, LEDGER_FILE, "its customer is not in table customers");
    if (!project(&parts, entries->projection))
        return find_entry(entries, walked, "journal.db", entries->projection->complaint);
    *projection_out = entries->projection;
    return true;
}
