/*
 * testing.h: batches for tests of journals: bodies that follow from their sequence, appending one,
 * reading all. Not part of the library.
 */
#pragma once

#include "base/base.h"
#include "journal/journal.h"
#include "platform/testing.h"

static const struct hash_key TEST_KEY = {
    .word = {UINT64_C(0x1122334455667788), UINT64_C(0xffeeddccbbaa9900)},
};
#define TEST_WRITER UINT64_C(0xfedcba9876543210)

/* What batch `sequence` holds in tests; at most bytes_max. */
static inline struct bytes test_body(uint64_t sequence, uint64_t bytes_max)
{
    static uint8_t block[JOURNAL_BODY_BYTES_MAX];
    struct prng prng = {sequence};
    const size_t length = 1 + (size_t)prng_below(&prng, bytes_max);
    for (size_t at = 0; at < length; at++)
        block[at] = (uint8_t)prng_next(&prng);
    return (struct bytes){.at = block, .length = length};
}

static inline struct batch_header test_header(uint64_t sequence)
{
    return (struct batch_header){
        .kind = BATCH_ENTRIES,
        .version = JOURNAL_VERSION,
        .first_ms = (int64_t)sequence * 1000,
        .last_ms = (int64_t)sequence * 1000 + 999,
        .entries = 1 + (uint32_t)(sequence % JOURNAL_BATCH_ENTRIES_MAX),
    };
}

static inline enum append_result test_append_body(struct journal *journal, struct bytes body)
{
    journal->calls->append_start(journal, test_header(journal->tip.sequence + 1), body);
    return journal->calls->append_finish(journal);
}

/* Appends what belongs after the tip. */
static inline enum append_result test_append(struct journal *journal, uint64_t bytes_max)
{
    return test_append_body(journal, test_body(journal->tip.sequence + 1, bytes_max));
}

/* Reads everything that was not cut in order; the first fault, or JOURNAL_OK with all as it was
 * appended. */
static inline enum journal_fault test_read_all(struct journal *journal, uint64_t bytes_max)
{
    for (uint64_t sequence = 1; sequence <= journal->tip.sequence; sequence++) {
        struct batch_header header;
        struct bytes body;
        const enum journal_fault fault = journal->calls->read(journal, sequence, &header, &body);
        if (fault != JOURNAL_OK) return fault;
        assert_int_equal(sequence, header.sequence);
        if (sequence == 1) {
            sequence = journal->first - 1;
            continue;
        }
        const struct batch_header expected = test_header(sequence);
        assert_int_equal(BATCH_ENTRIES, header.kind);
        assert_int_equal(0, header.partition);
        assert_int_equal(1, header.epoch);
        assert_int_equal(expected.first_ms, header.first_ms);
        assert_int_equal(expected.last_ms, header.last_ms);
        assert_int_equal(expected.entries, header.entries);
        assert_true(bytes_equal(test_body(sequence, bytes_max), body));
    }
    return JOURNAL_OK;
}
