#include "proof/map.h"

#include <string.h>

#include "base/prng.h"
#include "base/testing.h"

enum { RECORDS = 5000, KEYS = 600, STEPS = 200000 };

struct record {
    struct hash128 id;
    uint64_t value;
};

/* Few different homes, so that records crowd and wrap around. */
static struct hash128 key_of(uint64_t number)
{
    return (struct hash128){
        {number % 7 == 0 ? UINT64_MAX - number % 3 : number * 31, number + 1}
    };
}

static void a_record_is_found_by_its_key_however_many_there_are(void **state)
{
    (void)state;
    struct map map;
    map_start(&map, sizeof(struct record));
    for (uint64_t n = 0; n < RECORDS; ++n) {
        struct record *record = map_put(&map, key_of(n));
        assert_int_equal(0, record->value);
        record->value = n + 1;
    }
    assert_int_equal(RECORDS, map.count);
    for (uint64_t n = 0; n < RECORDS; ++n) {
        const struct record *record = map_find(&map, key_of(n));
        assert_non_null(record);
        assert_int_equal(n + 1, record->value);
        assert_ptr_equal(record, map_put(&map, key_of(n)));
    }
    assert_null(map_find(&map, key_of(RECORDS)));
    map_end(&map);
}

static void records_come_and_go_as_in_a_plain_list(void **state)
{
    (void)state;
    static uint64_t plain[KEYS];
    struct map map;
    struct prng prng = {.state = 7};
    uint64_t count = 0;
    map_start(&map, sizeof(struct record));
    memset(plain, 0, sizeof plain);
    for (unsigned step = 1; step <= STEPS; ++step) {
        const uint64_t n = prng_below(&prng, KEYS);
        struct record *record = map_find(&map, key_of(n));
        assert_int_equal(plain[n] != 0, record != NULL);
        if (record != NULL) {
            assert_int_equal(plain[n], record->value);
            map_remove(&map, record);
            plain[n] = 0;
            --count;
        } else {
            ((struct record *)map_put(&map, key_of(n)))->value = step;
            plain[n] = step;
            ++count;
        }
        assert_int_equal(count, map.count);
    }
    uint64_t seen = 0;
    for (const void *one = NULL; (one = map_next(&map, one)) != NULL;)
        ++seen;
    assert_int_equal(count, seen);
    map_end(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_found_by_its_key_however_many_there_are),
        cmocka_unit_test(records_come_and_go_as_in_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
