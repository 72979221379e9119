#include "journal/chain.h"

#include "base/testing.h"
#include "journal/core.h"

static void assert_hash(const char *hex, struct journal_hash hash)
{
    char text[2 * JOURNAL_HASH_BYTES + 1];
    for (unsigned at = 0; at < JOURNAL_HASH_BYTES; at++)
        (void)snprintf(text + 2 * at, 3, "%02x", hash.byte[at]);
    assert_string_equal(hex, text);
}

static struct batch_header example(void)
{
    struct batch_header header = {
        .partition = 1,
        .sequence = 2,
        .epoch = 3,
        .kind = 2,
        .version = 5,
        .writer = UINT64_C(0xfedcba9876543210),
        .first_ms = -7,
        .last_ms = 8,
        .entries = 9,
    };
    for (unsigned at = 0; at < JOURNAL_HASH_BYTES; at++)
        header.previous.byte[at] = (uint8_t)at;
    return header;
}

/* The expected hashes were computed with Python's struct and hashlib from the format in chain.h. */
static void the_hash_is_that_of_the_documented_bytes(void **state)
{
    (void)state;
    struct chain chain;
    assert_true(chain_start(&chain));
    const struct batch_header header = example();
    assert_hash("780bb10282dbc8e52e99ccf97ea2bddb69ea8823b196e327102444aae0a1971e",
                chain_hash(&chain, &header, BYTES("the body")));
    const struct hash_key key = {
        {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}
    };
    assert_hash("7b0c339908ac5abb5b89f2c35a08a5e212debef2ccfbf7a68e2e673aa37d2d66",
                core_genesis(&chain, key, 77).header.hash);
    chain_end(&chain);
}

static void every_part_of_a_batch_is_in_its_hash(void **state)
{
    (void)state;
    struct chain chain;
    assert_true(chain_start(&chain));
    const struct batch_header header = example();
    struct batch_header other[10];
    for (unsigned at = 0; at < COUNT_OF(other); at++)
        other[at] = header;
    other[0].partition ^= 1u << 31;
    other[1].sequence ^= UINT64_C(1) << 63;
    other[2].epoch ^= UINT64_C(1) << 63;
    other[3].kind ^= 1u << 31;
    other[4].version ^= 1u << 31;
    other[5].writer ^= UINT64_C(1) << 63;
    other[6].first_ms ^= INT64_C(1) << 62;
    other[7].last_ms ^= INT64_C(1) << 62;
    other[8].entries ^= 1u << 31;
    other[9].previous.byte[31] ^= 0x80;
    const struct journal_hash hash = chain_hash(&chain, &header, BYTES("the body"));
    for (unsigned at = 0; at < COUNT_OF(other); at++) {
        const struct journal_hash changed = chain_hash(&chain, &other[at], BYTES("the body"));
        assert_false(journal_hash_equal(&hash, &changed));
    }
    const struct journal_hash other_body = chain_hash(&chain, &header, BYTES("the bodY"));
    assert_false(journal_hash_equal(&hash, &other_body));

    struct batch_header with_hash = header;
    with_hash.hash = hash;
    const struct journal_hash again = chain_hash(&chain, &with_hash, BYTES("the body"));
    assert_true(journal_hash_equal(&hash, &again));
    chain_end(&chain);
}

static void a_genesis_body_gives_its_key_back_and_nothing_else_does(void **state)
{
    (void)state;
    struct chain chain;
    assert_true(chain_start(&chain));
    const struct hash_key key = {
        {UINT64_C(0x0123456789abcdef), UINT64_MAX}
    };
    struct genesis genesis = core_genesis(&chain, key, 77);
    struct hash_key found = {0};
    assert_true(core_genesis_key((struct bytes){genesis.body, sizeof genesis.body}, &found));
    assert_memory_equal(&key, &found, sizeof key);
    assert_false(core_genesis_key((struct bytes){genesis.body, sizeof genesis.body - 1}, &found));
    genesis.body[sizeof genesis.body - 1] = '2';
    assert_false(core_genesis_key((struct bytes){genesis.body, sizeof genesis.body}, &found));
    chain_end(&chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_that_of_the_documented_bytes),
        cmocka_unit_test(every_part_of_a_batch_is_in_its_hash),
        cmocka_unit_test(a_genesis_body_gives_its_key_back_and_nothing_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
