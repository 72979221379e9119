/*
 * settle.c: one transaction of settlement. Batches come from memory or from the journal, in order
 * and chained to the cursor; each entry is projected, its rows are linked to the customer's chain,
 * written and sealed; then the cursor moves.
 */
#include "ledger/settler_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- batches --------------------------------------------------------------------------------- */

static bool fail_journal(struct settler *settler, uint64_t sequence)
{
    (void)ledger_refuse(settler->ledger, LEDGER_JOURNAL_FAILED,
                        "batch %" PRIu64 " of the journal cannot be settled: %s", sequence,
                        settler->reader->detail);
    return settler_fail(settler, LEDGER_JOURNAL_FAILED);
}

static bool read_copy(struct settler *settler, uint64_t sequence, struct settler_copy *copy,
                      struct batch_header *header_out)
{
    struct bytes body;
    if (settler->reader->calls->read(settler->reader, sequence, header_out, &body) != JOURNAL_OK)
        return fail_journal(settler, sequence);
    ENSURE(body.length <= JOURNAL_BODY_BYTES_MAX);
    memcpy(copy->body, body.at, body.length);
    copy->length = body.length;
    copy->sequence = sequence;
    return true;
}

static void give_slot(struct settler *settler, uint32_t slot)
{
    const bool is_put = ring_put(&settler->free, &slot);
    ENSURE(is_put);
}

/* The offered batch of that number, if it was not dropped. */
static const struct settler_slot *take_offered(struct settler *settler, uint64_t sequence)
{
    for (;;) {
        if (settler->waiting == SETTLER_SLOTS && !ring_take(&settler->offered, &settler->waiting)) {
            settler->waiting = SETTLER_SLOTS;
            return NULL;
        }
        const struct settler_slot *slot = &settler->slots[settler->waiting];
        if (slot->header.sequence == sequence) return slot;
        if (slot->header.sequence > sequence) return NULL;
        give_slot(settler, settler->waiting); /* settled from the journal meanwhile */
        settler->waiting = SETTLER_SLOTS;
    }
}

/* --- rows ------------------------------------------------------------------------------------ */

/* Adds a row to its table and to its dataset's seal. */
static bool put_sealed(struct settler *settler, enum settler_statement which, enum dataset dataset,
                       uint32_t columns)
{
    struct buffer *bytes = &settler->ledger->canonical;
    bytes->used = 0;
    values_encode(settler->values, columns, bytes);
    digest_add(&settler->seals[dataset], buffer_bytes(bytes));
    settler->rows[dataset]++;
    return settler_put(settler, which, settler->values, columns);
}

/* The same for a row whose last column is the hash of its others. */
static bool put_balance(struct settler *settler, struct head *head, struct balance_row *row)
{
    struct value *hash = &settler->values[BALANCE_COLUMNS - 1];
    balance_values(row, settler->values);
    row->hash = ledger_balance_hash(settler->ledger, &head->last_hash, settler->values);
    head->last_hash = row->hash;
    values_encode(hash, 1, &settler->ledger->canonical); /* behind the others, which are there */
    digest_add(&settler->seals[DATASET_BALANCE], buffer_bytes(&settler->ledger->canonical));
    settler->rows[DATASET_BALANCE]++;
    return settler_put(settler, PUT_BALANCE, settler->values, BALANCE_COLUMNS);
}

static bool put_companions(struct settler *settler)
{
    const struct projection *projection = settler->projection;
    if (projection->has_refund) {
        refund_values(&projection->refund, settler->values);
        if (!settler_put(settler, PUT_REFUND, settler->values, REFUND_COLUMNS)) return false;
    }
    if (projection->has_policy) {
        policy_values(&projection->policy, settler->values);
        if (!settler_put(settler, PUT_POLICY, settler->values, POLICY_COLUMNS)) return false;
    }
    if (!projection->has_grant) return true;
    grant_values(&projection->grant, settler->values);
    return settler_put(settler, PUT_GRANT, settler->values, GRANT_COLUMNS);
}

static bool fail_entry(struct settler *settler, enum ledger_fault fault, const char *complaint)
{
    char id[ID_TEXT_SIZE];
    id_format('d', settler->fact->position, id);
    (void)ledger_refuse(settler->ledger, fault,
                        "entry %" PRIu32 " of journal batch %" PRIu64
                        " (%s) cannot be settled: %s. Keep the data directory as it is and report "
                        "this",
                        position_index(settler->fact->position),
                        position_sequence(settler->fact->position), id, complaint);
    return settler_fail(settler, fault);
}

static bool fail_balance(struct settler *settler, int64_t books)
{
    char said[CREDITS_TEXT_SIZE];
    char had[CREDITS_TEXT_SIZE];
    char complaint[160];
    (void)credits_format(settler->projection->settled_after, said);
    (void)credits_format(books, had);
    (void)snprintf(complaint, sizeof complaint,
                   "the engine says that its customer has %s credits then, the books say %s", said,
                   had);
    return fail_entry(settler, LEDGER_DISAGREES, complaint);
}

/* The rows of the projection, chained to the customer's head; 0: nobody's, or a stranger's. */
static bool put_rows(struct settler *settler, uint32_t number)
{
    struct projection *projection = settler->projection;
    struct head *head = number == 0 ? NULL : heads_at(&settler->heads, number);
    if (head != NULL && !settler_check_head(settler, number)) return false;
    if (projection->has_usage) {
        if (head != NULL) {
            projection->usage.previous = head->last_usage;
            head->last_usage = projection->usage.position;
            head->is_dirty = true;
        }
        usage_values(&projection->usage, settler->values);
        if (!put_sealed(settler, PUT_USAGE, DATASET_USAGE, USAGE_COLUMNS)) return false;
    }
    if (projection->has_monetization) {
        monetization_values(&projection->monetization, settler->values);
        if (!put_sealed(settler, PUT_MONETIZATION, DATASET_MONETIZATION, MONETIZATION_COLUMNS))
            return false;
    }
    if (!put_companions(settler)) return false;
    if (head == NULL && (projection->balance_count != 0 || projection->says_settled))
        return fail_entry(settler, LEDGER_DISAGREES, "it moves a balance of nobody");
    for (uint32_t i = 0; i < projection->balance_count; i++) {
        if (!heads_chain(&settler->heads, number, &projection->balances[i])) {
            (void)ledger_refuse(settler->ledger, LEDGER_NO_ROOM,
                                "the books have no room for another overage account: start with a "
                                "larger --memory");
            return settler_fail(settler, LEDGER_NO_ROOM);
        }
        if (!put_balance(settler, head, &projection->balances[i])) return false;
    }
    if (head == NULL || !projection->says_settled || projection->settled_after == head->after)
        return true;
    return fail_balance(settler, head->after);
}

/* --- who and what ---------------------------------------------------------------------------- */

static bool put_symbols(struct settler *settler)
{
    const struct fact *fact = settler->fact;
    for (uint32_t i = 0; i < fact->effect_count; i++) {
        if (fact->effects[i].kind != EFFECT_SYMBOL) continue;
        const uint32_t number = fact->effects[i].symbol.number;
        const struct bytes name = fact->effects[i].symbol.name;
        if (number != settler->symbol_count + 1 || number > SYMBOLS_MAX ||
            name.length > NAME_BYTES_MAX)
            return fail_entry(settler, LEDGER_DISAGREES, "it numbers a name out of turn");
        uint8_t *text = settler->symbol_text + (size_t)number * NAME_BYTES_MAX;
        memcpy(text, name.at, name.length);
        settler->symbol_names[number] = (struct bytes){text, name.length};
        settler->symbol_count = number;
        const struct value row[] = {value_of_unsigned(number), value_of_text(name)};
        if (!settler_put(settler, PUT_SYMBOL, row, COUNT_OF(row))) return false;
    }
    return true;
}

static bool founds_customer(const struct fact *fact)
{
    for (uint32_t i = 0; i < fact->effect_count; i++)
        if (fact->effects[i].kind == EFFECT_CUSTOMER) return true;
    return false;
}

static bool found_customer(struct settler *settler, uint32_t *number_out)
{
    const struct bytes name = settler->command.customer;
    if (name.length == 0)
        return fail_entry(settler, LEDGER_DISAGREES, "it founds a customer without a name");
    if (*number_out != 0)
        return fail_entry(settler, LEDGER_DISAGREES, "it founds a customer who is there");
    *number_out = heads_add(&settler->heads, settler->fact->customer);
    if (*number_out == 0) {
        (void)ledger_refuse(settler->ledger, LEDGER_NO_ROOM,
                            "the books have no room for more than %" PRIu32
                            " customers: start with a larger --memory",
                            settler->parts.customers_max);
        return settler_fail(settler, LEDGER_NO_ROOM);
    }
    struct head *head = heads_at(&settler->heads, *number_out);
    head->founded = settler->fact->position;
    head->is_checked = true;
    const struct value row[] = {
        value_of_unsigned(*number_out),
        {.kind = VALUE_BLOB, .bytes = {(const uint8_t *)head->id.word, sizeof head->id.word}},
        value_of_text(name),
        value_of_unsigned(head->founded),
        value_of_unsigned(0),
        value_of_unsigned(0),
        value_of_unsigned(0),
        value_of_unsigned(0),
        value_of_hash(&head->last_hash),
        value_of_unsigned(0),
        value_of_unsigned(0),
    };
    return settler_put(settler, PUT_CUSTOMER, row, COUNT_OF(row));
}

/* Due facts, voids and refunds know their customer by hash alone. */
static bool look_up_name(struct settler *settler, uint32_t number, struct bytes *name_out)
{
    sqlite3_stmt *statement = settler->statements[NAME_OF_CUSTOMER];
    bool is_found = sqlite3_bind_int64(statement, 1, number) == SQLITE_OK &&
                    sqlite3_step(statement) == SQLITE_ROW;
    if (is_found) {
        const int length = sqlite3_column_bytes(statement, 0);
        is_found = length > 0 && (size_t)length <= sizeof settler->name;
        if (is_found) memcpy(settler->name, sqlite3_column_text(statement, 0), (size_t)length);
        *name_out = (struct bytes){settler->name, (size_t)length};
        is_found = is_found && hash_128_equal(hash_128(settler->ledger->origin.key, *name_out),
                                              heads_at(&settler->heads, number)->id);
    }
    (void)sqlite3_reset(statement);
    if (is_found) return true;
    (void)ledger_refuse(settler->ledger, LEDGER_DAMAGED,
                        "%s: customer %" PRIu32
                        " is missing from the table customers, or has another name. %s",
                        settler->ledger->path, number, ledger_advice(settler->ledger));
    return settler_fail(settler, LEDGER_DAMAGED);
}

static enum category category_of(void *self, uint64_t grant_id)
{
    struct settler *settler = self;
    sqlite3_stmt *statement = settler->statements[CATEGORY_OF_GRANT];
    enum category category = 0;
    if (sqlite3_bind_int64(statement, 1, (sqlite3_int64)grant_id) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        category = (enum category)sqlite3_column_int(statement, 0);
    (void)sqlite3_reset(statement);
    return category;
}

/* The command of the entry at a position: of an authorization whose hold ends now. */
static bool recall_decision(struct settler *settler, uint64_t position, struct bytes *command_out)
{
    const uint64_t sequence = position_sequence(position);
    struct settler_copy *copy = &settler->recalled;
    if (sequence == settler->current.sequence) copy = &settler->current;
    if (copy->sequence != sequence) {
        struct batch_header header;
        copy->sequence = 0;
        if (!read_copy(settler, sequence, copy, &header)) return false;
    }
    settler->counts.holds_recalled++;
    struct reader reader = reader_over((struct bytes){copy->body, copy->length});
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(position); i++)
        if (!entry_take(&reader, &entry))
            return fail_entry(settler, LEDGER_DISAGREES, "the decision it is about is not there");
    *command_out = entry.command;
    return true;
}

static bool find_decision(struct settler *settler, uint64_t position)
{
    struct bytes bytes = {0};
    if (!held_find(&settler->held, position, &bytes) && !recall_decision(settler, position, &bytes))
        return false;
    if (command_decode(bytes, &settler->decision) && settler->decision.kind == COMMAND_AUTHORIZE)
        return true;
    return fail_entry(settler, LEDGER_DISAGREES, "the decision it is about is no authorization");
}

/* --- entries --------------------------------------------------------------------------------- */

static bool settle_entry(struct settler *settler, const struct entry *entry, uint64_t position)
{
    struct fact *fact = settler->fact;
    struct command *command = &settler->command;
    const bool is_decoded =
        command_decode(entry->command, command) && fact_decode(entry->fact, fact);
    fact->position = position;
    fact->at_ms = entry->at_ms;
    if (!is_decoded) return fail_entry(settler, LEDGER_DISAGREES, "it cannot be decoded");
    if (!put_symbols(settler)) return false;

    uint32_t number = fact->has_customer ? heads_find(&settler->heads, fact->customer) : 0;
    if (founds_customer(fact) && !found_customer(settler, &number)) return false;
    const uint64_t decision = projection_decision(command, fact);
    if (decision != 0 && !find_decision(settler, decision)) return false;
    struct bytes name = command->customer;
    if (name.length == 0 && decision != 0) name = settler->decision.customer;
    if (name.length == 0 && number != 0 && !look_up_name(settler, number, &name)) return false;
    if (command->kind == COMMAND_AUTHORIZE && fact->report.outcome != OUTCOME_DENY)
        held_put(&settler->held, position, entry->command);

    const struct projection_parts parts = {
        .command = command,
        .fact = fact,
        .decision = decision == 0 ? NULL : &settler->decision,
        .customer = name,
        .symbols = {.name = settler->symbol_names, .count = settler->symbol_count},
        .category_of = category_of,
        .self = settler,
    };
    if (!project(&parts, settler->projection))
        return fail_entry(settler, LEDGER_DISAGREES, settler->projection->complaint);
    return put_rows(settler, number);
}

static bool settle_body(struct settler *settler, const struct batch_header *header,
                        struct bytes body)
{
    struct reader reader = reader_over(body);
    struct entry entry;
    uint32_t index = 0;
    while (entry_take(&reader, &entry)) {
        if (!settle_entry(settler, &entry, position_make(header->sequence, index++))) return false;
    }
    settler->entries += index;
    if (!reader.bad && index == header->entries) return true;
    (void)ledger_refuse(settler->ledger, LEDGER_DISAGREES,
                        "batch %" PRIu64 " of the journal ends where it should not",
                        header->sequence);
    return settler_fail(settler, LEDGER_DISAGREES);
}

static bool settle_batch(struct settler *settler)
{
    const uint64_t sequence = settler->cursor + 1;
    const struct settler_slot *slot = take_offered(settler, sequence);
    struct batch_header header = {0};
    struct bytes body = {0};
    settler->current.sequence = 0;
    if (slot != NULL) {
        header = slot->header;
        body = (struct bytes){slot->body, slot->length};
        settler->counts.batches_offered++;
    } else {
        if (!read_copy(settler, sequence, &settler->current, &header)) return false;
        body = (struct bytes){settler->current.body, settler->current.length};
        settler->counts.batches_read++;
    }
    if (header.sequence != sequence ||
        memcmp(header.previous.byte, settler->cursor_hash.byte, JOURNAL_HASH_BYTES) != 0) {
        (void)ledger_refuse(settler->ledger, LEDGER_DISAGREES,
                            "batch %" PRIu64 " of the journal does not follow the one that was "
                            "settled last: ledger.db and journal.db are not of one history",
                            sequence);
        return settler_fail(settler, LEDGER_DISAGREES);
    }
    if (header.kind == BATCH_ENTRIES && !settle_body(settler, &header, body)) return false;
    settler->cursor = sequence;
    settler->cursor_hash = header.hash;
    settler->cursor_ms = header.last_ms;
    if (slot != NULL) {
        give_slot(settler, settler->waiting);
        settler->waiting = SETTLER_SLOTS;
    }
    return true;
}

/* --- the transaction ------------------------------------------------------------------------- */

static bool put_seal(struct settler *settler)
{
    for (enum dataset dataset = 0; dataset < DATASETS; dataset++)
        settler->sealed[dataset] = digest_take(&settler->seals[dataset]);
    const struct value row[] = {
        value_of_unsigned(settler->cursor),
        value_of_unsigned(settler->first_sequence),
        value_of_signed(settler->cursor_ms),
        value_of_unsigned(settler->rows[DATASET_USAGE]),
        value_of_unsigned(settler->rows[DATASET_MONETIZATION]),
        value_of_unsigned(settler->rows[DATASET_BALANCE]),
        value_of_hash(&settler->sealed[DATASET_USAGE]),
        value_of_hash(&settler->sealed[DATASET_MONETIZATION]),
        value_of_hash(&settler->sealed[DATASET_BALANCE]),
    };
    return settler_put(settler, PUT_SEAL, row, COUNT_OF(row));
}

static struct value value_of_batch_hash(const struct journal_hash *hash)
{
    return (struct value){
        .kind = VALUE_BLOB, .bytes = {hash->byte, JOURNAL_HASH_BYTES}
    };
}

static bool move_cursor_field(struct settler *settler, const char *name, struct value before,
                              struct value after)
{
    const struct value row[] = {value_of_word(name), before, after};
    if (!settler_put(settler, MOVE_CURSOR, row, COUNT_OF(row))) return false;
    if (sqlite3_changes(settler->ledger->connection) == 1) return true;
    (void)ledger_refuse(settler->ledger, LEDGER_DISAGREES,
                        "%s: its %s is not where this server left it: somebody else settles into "
                        "this file",
                        settler->ledger->path, name);
    return settler_fail(settler, LEDGER_DISAGREES);
}

bool settle_batches(struct settler *settler)
{
    const uint64_t durable = atomic_load_explicit(&settler->durable, memory_order_acquire);
    if (settler->cursor >= durable) return false;
    const uint64_t cursor_before = settler->cursor;
    const struct journal_hash hash_before = settler->cursor_hash;
    settler->first_sequence = cursor_before + 1;
    settler->entries = 0;
    for (enum dataset dataset = 0; dataset < DATASETS; dataset++) {
        settler->rows[dataset] = 0;
        digest_begin(&settler->seals[dataset], &settler->sealed[dataset]);
    }
    if (!settler_begin(settler)) return false;
    for (uint32_t batch = 0; batch < settler->parts.batches_max && settler->cursor < durable &&
                             settler->entries < SETTLER_ENTRIES_TARGET;
         batch++)
        if (!settle_batch(settler)) return false;
    settler->entries_unswept += settler->entries;
    settler->entries_of_turn += settler->entries;
    settler->events_unrolled += settler->rows[DATASET_USAGE];
    const bool is_committed =
        put_seal(settler) &&
        move_cursor_field(settler, "cursor_sequence", value_of_unsigned(cursor_before),
                          value_of_unsigned(settler->cursor)) &&
        move_cursor_field(settler, "cursor_hash", value_of_batch_hash(&hash_before),
                          value_of_batch_hash(&settler->cursor_hash)) &&
        settler_set_meta(settler, "cursor_ms", settler->cursor_ms) &&
        upkeep_sweep(settler, settler->entries) && settler_commit(settler);
    if (!is_committed) return false;
    settler->counts.transactions++;
    atomic_fetch_add_explicit(&settler->entries_shown, settler->entries, memory_order_relaxed);
    atomic_store_explicit(&settler->heads_bytes_shown, heads_bytes(&settler->heads),
                          memory_order_relaxed);
    atomic_store_explicit(&settler->holds_bytes_shown, held_bytes(&settler->held),
                          memory_order_relaxed);
    atomic_store_explicit(&settler->cursor_ms_shown, settler->cursor_ms, memory_order_relaxed);
    atomic_store_explicit(&settler->cursor_shown, settler->cursor, memory_order_release);
    return true;
}
