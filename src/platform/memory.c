#include "platform/memory.h"

#include <stddef.h>
#include <sys/mman.h>

void *memory_reserve(uint64_t bytes)
{
    ENSURE(bytes > 0);
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void memory_release(void *block, uint64_t bytes)
{
    if (block != NULL) ENSURE(munmap(block, bytes) == 0);
}

void memory_clear(void *block, uint64_t bytes)
{
    ENSURE(madvise(block, bytes, MADV_DONTNEED) == 0);
}
