/*
 * testing.h: keys made of numbers, for this folder's tests. Not part of the library.
 */
#pragma once

#include <fcntl.h>

#include "keys/keys.h"
#include "platform/testing.h"

static const struct key_file_hash test_genesis = {
    {1, 2, 3, 4, 5, 6, 7, 8, 9}
};

static inline struct hash128 test_hash(uint64_t number)
{
    const struct hash_key key = {
        {77, 78}
    };
    return hash_128(key, (struct bytes){(const uint8_t *)&number, sizeof number});
}

static inline struct kept_key test_key(uint64_t number)
{
    return (struct kept_key){.hash = test_hash(number),
                             .body_hash = number * 3,
                             .position = position_make(number / 100 + 2, (uint32_t)(number % 100)),
                             .until_ms = (int64_t)number + 1000};
}

/* Keys [from, from + count), in no order. */
static inline void test_keys(struct kept_key *out, uint64_t from, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        out[i] = test_key(from + i);
}

static inline void assert_key(const struct kept_key *found, const struct kept_key *wanted)
{
    assert_true(hash_128_equal(found->hash, wanted->hash));
    assert_int_equal(found->body_hash, wanted->body_hash);
    assert_int_equal(found->position, wanted->position);
    assert_int_equal(found->until_ms, wanted->until_ms);
}

static inline void path_of(const struct scratch *scratch, uint64_t serial,
                           char path_out[FILE_PATH_SIZE])
{
    char name[KEY_FILE_NAME_SIZE];
    key_file_name(serial, name);
    assert_true(file_path(scratch->path, name, path_out));
}

static inline void flip(const char *path, uint64_t at, uint8_t bits)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    assert_int_equal(close(fd), 0);
}
