/*
 * reading_receipt.c: everything about one decision: what was asked and said, from the journal; how
 * it ended, what that cost and how the balance moved, from the books.
 */
#include <string.h>

#include "server/harm.h"
#include "server/reading.h"
#include "wire/wire.h"

struct receipt {
    struct reading *reading;
    const struct reading_tools *tools;
    bool is_kept; /* the journal still has the entry */
    struct batch_header header;
    int64_t at_ms;
    struct ledger_ending ending;
};

enum found { FOUND, FOUND_NOT, FOUND_OLD, FOUND_FAILED };

static enum found find_entry(struct receipt *receipt)
{
    struct journal *journal = receipt->tools->journal;
    const uint64_t decision = receipt->reading->decision;
    struct bytes body;
    if (position_sequence(decision) == 0 || position_sequence(decision) > receipt->reading->wanted)
        return FOUND_NOT;
    const enum journal_fault fault =
        journal->calls->read(journal, position_sequence(decision), &receipt->header, &body);
    if (fault == JOURNAL_CUT) return FOUND_OLD;
    if (fault != JOURNAL_OK) {
        harm_batch(receipt->tools->harm, journal, position_sequence(decision), fault);
        return FOUND_FAILED;
    }
    if (receipt->header.kind != BATCH_ENTRIES) return FOUND_NOT;
    struct reader reader = reader_over(body);
    struct entry entry = {0};
    for (uint32_t i = 0; i <= position_index(decision); ++i)
        if (!entry_take(&reader, &entry)) return reader.bad ? FOUND_FAILED : FOUND_NOT;
    if (!command_decode(entry.command, receipt->tools->command) ||
        !fact_decode(entry.fact, receipt->tools->fact))
        return FOUND_FAILED;
    receipt->at_ms = entry.at_ms;
    const enum command_kind kind = receipt->tools->command->kind;
    return kind == COMMAND_AUTHORIZE || kind == COMMAND_CONSUME || kind == COMMAND_USAGE
               ? FOUND
               : FOUND_NOT;
}

static void put_names(struct buffer *out, const struct command *command)
{
    json_key(out, "customer");
    json_text(out, command->customer);
    json_key(out, "subject");
    if (command->subject.length == 0)
        json_null(out);
    else
        json_text(out, command->subject);
    json_key(out, "feature");
    json_text(out, command->feature);
}

/* The end that is settled; else what the state remembers; else what was said first. */
static void put_hold(const struct receipt *receipt, struct buffer *out)
{
    const struct reading *reading = receipt->reading;
    const struct report *report = &receipt->tools->fact->report;
    enum hold_state state = receipt->ending.state;
    if (state == HOLD_NONE && reading->has_hold) state = reading->hold.state;
    if (state == HOLD_NONE && receipt->is_kept) state = report->hold;
    if (state == HOLD_NONE) return;
    json_key(out, "hold");
    json_open(out, '{');
    json_key(out, "state");
    json_words(out, words_hold(state));
    if (state == HOLD_HELD) {
        json_key(out, "expires_at");
        json_instant(out, reading->has_hold ? reading->hold.expires_ms : report->expires_at_ms);
    }
    if (receipt->ending.late) {
        json_key(out, "late");
        json_bool(out, true);
    }
    json_close(out, '}');
}

static const char *settlement_word(const struct receipt *receipt)
{
    const struct report *report = &receipt->tools->fact->report;
    if (position_sequence(receipt->reading->decision) > receipt->ending.cursor) return "pending";
    if (receipt->is_kept && report->outcome == OUTCOME_DENY) return "settled";
    if (receipt->ending.state != HOLD_NONE || !receipt->is_kept) return "settled";
    return receipt->reading->has_hold && receipt->reading->hold.state == HOLD_HELD ? "open"
                                                                                   : "pending";
}

static void put_settlement(const struct receipt *receipt, struct buffer *out)
{
    const char *word = settlement_word(receipt);
    json_key(out, "settlement");
    json_open(out, '{');
    json_key(out, "state");
    json_words(out, word);
    json_key(out, "cursor");
    json_count(out, receipt->ending.cursor);
    json_key(out, "batch");
    if (receipt->ending.settled_position != 0)
        json_count(out, position_sequence(receipt->ending.settled_position));
    else if (strcmp(word, "settled") == 0) /* a denial: it was its own end */
        json_count(out, position_sequence(receipt->reading->decision));
    else
        json_null(out);
    json_close(out, '}');
}

static void put_hash(struct buffer *out, const char *key, const struct journal_hash *hash)
{
    json_key(out, key);
    json_text_begin(out);
    buffer_put_hex(out, (struct bytes){hash->byte, JOURNAL_HASH_BYTES});
    json_text_end(out);
}

static void put_proof(const struct receipt *receipt, struct buffer *out)
{
    json_key(out, "proof");
    if (!receipt->is_kept) {
        json_null(out);
        return;
    }
    json_open(out, '{');
    json_key(out, "batch");
    json_count(out, receipt->header.sequence);
    json_key(out, "entry");
    json_count(out, position_index(receipt->reading->decision));
    put_hash(out, "hash", &receipt->header.hash);
    put_hash(out, "previous_hash", &receipt->header.previous);
    json_close(out, '}');
}

/* ---- what the books have */

static bool take_event(void *self, const struct value *values)
{
    struct receipt *receipt = self;
    ++receipt->reading->taken;
    return show_event(&receipt->reading->show, values);
}

static bool take_monetization(void *self, const struct value *values)
{
    return show_monetization(&((struct receipt *)self)->reading->show, values);
}

static bool take_update(void *self, const struct value *values)
{
    return show_update(&((struct receipt *)self)->reading->show, values);
}

static bool take_refund(void *self, const struct value *values)
{
    return show_refund(&((struct receipt *)self)->reading->show, values);
}

static bool take_none(void *self, const struct value *values)
{
    (void)self;
    (void)values;
    return true;
}

/* One list of rows; false: the books cannot be read, or the rows have no room. */
static bool put_rows(struct receipt *receipt, const char *key, struct ledger_decision_takers takers)
{
    struct buffer *out = &receipt->reading->show.out;
    struct ledger_decision_takers all = {
        .usage = takers.usage != NULL ? takers.usage : take_none,
        .monetization = takers.monetization != NULL ? takers.monetization : take_none,
        .balance = takers.balance != NULL ? takers.balance : take_none,
        .refund = takers.refund != NULL ? takers.refund : take_none,
        .self = receipt};
    json_key(out, key);
    json_open(out, '[');
    const enum ledger_read result =
        ledger_read_decision(receipt->tools->books, receipt->reading->decision, &all);
    json_close(out, ']');
    return result == LEDGER_END;
}

static bool put_books(struct receipt *receipt)
{
    struct buffer *out = &receipt->reading->show.out;
    if (!put_rows(receipt, "events", (struct ledger_decision_takers){.usage = take_event}) ||
        !put_rows(receipt, "monetization",
                  (struct ledger_decision_takers){.monetization = take_monetization}) ||
        !put_rows(receipt, "balance_updates",
                  (struct ledger_decision_takers){.balance = take_update}) ||
        !put_rows(receipt, "refunds", (struct ledger_decision_takers){.refund = take_refund}))
        return false;
    json_key(out, "refunded");
    json_credits(out, receipt->ending.refunded);
    return true;
}

/* What `units` count; a release and the like have none. */
static void put_unit(const struct report *report, struct symbols symbols, struct buffer *out)
{
    json_key(out, "unit");
    if (report->unit == UNIT_COST)
        json_words(out, "cost");
    else if (report->unit == SYMBOL_NONE)
        json_null(out);
    else
        json_text(out, words_name(symbols, report->unit));
}

static void put_receipt(struct receipt *receipt)
{
    struct reading *reading = receipt->reading;
    struct buffer *out = &reading->show.out;
    json_begin(out);
    json_key(out, "decision_id");
    json_id(out, 'd', reading->decision);
    if (receipt->is_kept) {
        json_key(out, "at");
        json_instant(out, receipt->at_ms);
        put_names(out, receipt->tools->command);
        wire_put_request(receipt->tools->command, out);
        put_unit(&receipt->tools->fact->report, reading->symbols, out);
        wire_put_decision(&receipt->tools->fact->report, receipt->at_ms, reading->symbols, out);
    }
    put_hold(receipt, out);
}

enum reading_end reading_receipt(struct reading *reading, const struct reading_tools *tools)
{
    struct receipt receipt = {.reading = reading, .tools = tools};
    const enum found found = find_entry(&receipt);
    reading->problem = (struct problem){.code = PROBLEM_UNKNOWN_DECISION, .field = "decision_id"};
    if (found == FOUND_NOT) return READING_REFUSED;
    if (found == FOUND_FAILED) return READING_FAILED;
    receipt.is_kept = found == FOUND;
    /* Whose it was is in the journal alone. */
    if (reading->bound_to.length != 0 &&
        (!receipt.is_kept || !bytes_equal(reading->bound_to, tools->command->customer)))
        return READING_REFUSED;
    reading->show = (struct show){.form = SHOW_JSON,
                                  .out = buffer_over(reading->block, READING_BYTES),
                                  .reader = tools->books};
    if (!ledger_read_ending(tools->books, reading->decision, &receipt.ending))
        return READING_FAILED;
    put_receipt(&receipt);
    if (!put_books(&receipt)) return READING_FAILED;
    /* Of what the journal no longer has, the books must know. */
    if (!receipt.is_kept && reading->taken == 0) return READING_REFUSED;
    put_settlement(&receipt, &reading->show.out);
    put_proof(&receipt, &reading->show.out);
    json_close(&reading->show.out, '}');
    return reading->show.out.overflowed ? READING_FAILED : READING_DONE;
}
