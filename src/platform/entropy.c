#include "platform/entropy.h"

#include <errno.h>
#include <sys/random.h>

void entropy_fill(void *block_out, size_t bytes)
{
    uint8_t *at = block_out;
    while (bytes > 0) {
        const ssize_t got = getrandom(at, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        /* Every kernel since 3.17 has it: going on with guessable secrets is not an answer. */
        ENSURE(got > 0);
        at += got;
        bytes -= (size_t)got;
    }
}

uint64_t entropy_u64(void)
{
    uint64_t number;
    entropy_fill(&number, sizeof number);
    return number;
}

struct hash_key entropy_hash_key(void)
{
    return (struct hash_key){
        .word = {entropy_u64(), entropy_u64()}
    };
}
