/*
 * key_file.c: see key_file.h.
 */
#include "keys/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE KEY_FILE_PAGE_BYTES
#define CHECK_BYTES 16u
#define RECORD_BYTES 40u
#define PAGES_AT_ONCE 64u
_Static_assert(KEY_FILE_PAGE_RECORDS *RECORD_BYTES + CHECK_BYTES == PAGE, "a page is full");

static const uint8_t magic[8] = {'w', 'e', 'i', 'r', 'k', 'e', 'y', 's'};

const char *key_file_fault_text(enum key_file_fault fault)
{
    switch (fault) {
#define X(name, text) \
    case name:        \
        return text;
        KEY_FILE_FAULT_TABLE(X)
#undef X
    }
    assertion_failed("a fault of the table", __FILE__, __LINE__);
}

__attribute__((format(printf, 3, 4))) static enum key_file_fault
refuse(enum key_file_fault fault, char detail_out[KEY_FILE_DETAIL_SIZE], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail_out, KEY_FILE_DETAIL_SIZE, format, arguments);
    va_end(arguments);
    return fault;
}

void key_file_name(uint64_t serial, char name_out[KEY_FILE_NAME_SIZE])
{
    (void)snprintf(name_out, KEY_FILE_NAME_SIZE, "keys-%06" PRIu64 ".weir", serial);
}

/* ---- bytes */

static void put_64(uint8_t *at, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t get_64(const uint8_t *at)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

static void put_record(uint8_t *at, const struct kept_key *record)
{
    put_64(at, record->hash.word[0]);
    put_64(at + 8, record->hash.word[1]);
    put_64(at + 16, record->body_hash);
    put_64(at + 24, record->position);
    put_64(at + 32, (uint64_t)record->until_ms);
}

static struct kept_key get_record(const uint8_t *at)
{
    return (struct kept_key){
        .hash = {{get_64(at), get_64(at + 8)}},
        .body_hash = get_64(at + 16),
        .position = get_64(at + 24),
        .until_ms = (int64_t)get_64(at + 32),
    };
}

static bool hash_is_below(struct hash128 left, struct hash128 right)
{
    if (left.word[0] != right.word[0]) return left.word[0] < right.word[0];
    return left.word[1] < right.word[1];
}

static struct hash128 page_check(const struct key_file_head *head, uint64_t number,
                                 const uint8_t *page)
{
    const struct hash_key key = {
        {get_64(head->genesis.byte) ^ head->serial, number}
    };
    return hash_128(key, (struct bytes){page, PAGE - CHECK_BYTES});
}

static void page_seal(const struct key_file_head *head, uint64_t number, uint8_t *page)
{
    const struct hash128 check = page_check(head, number, page);
    put_64(page + PAGE - 16, check.word[0]);
    put_64(page + PAGE - 8, check.word[1]);
}

static bool page_is_whole(const struct key_file_head *head, uint64_t number, const uint8_t *page)
{
    const struct hash128 found = {
        {get_64(page + PAGE - 16), get_64(page + PAGE - 8)}
    };
    return hash_128_equal(found, page_check(head, number, page));
}

static uint64_t pages_for(uint64_t count)
{
    return (count + KEY_FILE_PAGE_RECORDS - 1) / KEY_FILE_PAGE_RECORDS;
}

/* How many records the n-th page of records has, from 0. */
static uint32_t records_of_page(uint64_t count, uint64_t page)
{
    const uint64_t left = count - page * KEY_FILE_PAGE_RECORDS;
    return left < KEY_FILE_PAGE_RECORDS ? (uint32_t)left : KEY_FILE_PAGE_RECORDS;
}

/* The head's numbers, behind magic and version and in front of the hash. */
#define HEAD_WORDS 7u
static void head_words(const struct key_file_head *head, uint64_t words_out[HEAD_WORDS])
{
    const uint64_t words[HEAD_WORDS] = {
        (uint64_t)head->made_ms, head->before,        head->count,
        head->position_first,    head->position_last, (uint64_t)head->until_last_ms,
        pages_for(head->count),
    };
    memcpy(words_out, words, sizeof words);
}

#define HEAD_GENESIS_AT 24u
#define HEAD_WORDS_AT (HEAD_GENESIS_AT + KEY_FILE_HASH_BYTES)
#define HEAD_HASH_AT (HEAD_WORDS_AT + 8 * HEAD_WORDS)
#define HEAD_END (HEAD_HASH_AT + KEY_FILE_HASH_BYTES)

static void head_put(const struct key_file_head *head, uint8_t page_out[PAGE])
{
    uint64_t words[HEAD_WORDS];
    memset(page_out, 0, PAGE);
    memcpy(page_out, magic, sizeof magic);
    put_64(page_out + 8, KEY_FILE_VERSION);
    put_64(page_out + 16, head->serial);
    memcpy(page_out + HEAD_GENESIS_AT, head->genesis.byte, KEY_FILE_HASH_BYTES);
    head_words(head, words);
    for (unsigned i = 0; i < HEAD_WORDS; i++)
        put_64(page_out + HEAD_WORDS_AT + (size_t)8 * i, words[i]);
    memcpy(page_out + HEAD_HASH_AT, head->records.byte, KEY_FILE_HASH_BYTES);
    page_seal(head, 0, page_out);
}

static struct key_file_head head_get(const uint8_t page[PAGE])
{
    struct key_file_head head = {.serial = get_64(page + 16)};
    uint64_t words[HEAD_WORDS];
    memcpy(head.genesis.byte, page + HEAD_GENESIS_AT, KEY_FILE_HASH_BYTES);
    for (unsigned i = 0; i < HEAD_WORDS; i++)
        words[i] = get_64(page + HEAD_WORDS_AT + (size_t)8 * i);
    head.made_ms = (int64_t)words[0];
    head.before = words[1];
    head.count = words[2];
    head.position_first = words[3];
    head.position_last = words[4];
    head.until_last_ms = (int64_t)words[5];
    memcpy(head.records.byte, page + HEAD_HASH_AT, KEY_FILE_HASH_BYTES);
    return head;
}

/* ---- the file in memory */

static uint64_t firsts_at(uint64_t count)
{
    return (key_filter_bytes(count) + 63) / 64 * 64;
}

uint64_t key_file_memory(uint64_t count)
{
    return firsts_at(count) + (pages_for(count) + 1) * sizeof(uint64_t);
}

static bool file_reserve(struct key_file *file, uint64_t count)
{
    file->block_bytes = key_file_memory(count);
    file->block = memory_reserve(file->block_bytes);
    if (file->block == NULL) return false;
    file->filter = key_filter_over(file->block, count);
    file->firsts = (uint64_t *)(void *)((uint8_t *)file->block + firsts_at(count));
    return true;
}

void key_file_close(struct key_file *file)
{
    if (file->fd >= 0) (void)close(file->fd);
    memory_release(file->block, file->block_bytes);
    *file = (struct key_file){.fd = -1};
}

/* One record more, in the head's sums and in memory. */
static void file_note(struct key_file *file, const struct kept_key *record)
{
    struct key_file_head *head = &file->head;
    if (head->count % KEY_FILE_PAGE_RECORDS == 0)
        file->firsts[head->count / KEY_FILE_PAGE_RECORDS] = record->hash.word[0];
    if (head->count == 0 || record->position < head->position_first)
        head->position_first = record->position;
    if (record->position > head->position_last) head->position_last = record->position;
    if (record->until_ms > head->until_last_ms) head->until_last_ms = record->until_ms;
    head->count++;
    key_filter_add(&file->filter, record->hash);
}

/* ---- reading */

static bool read_at(int fd, uint8_t *at, uint64_t length, uint64_t offset)
{
    while (length > 0) {
        const ssize_t got = pread(fd, at, length, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return true;
}

/* All pages of records, in order: against their checks, the head's sums and its hash. NULL: whole;
 * else what is wrong. */
static const char *verify_records(struct key_file *file, const struct key_file_head *said,
                                  uint8_t *block, EVP_MD_CTX *digest)
{
    struct hash128 last = {
        {0, 0}
    };
    for (uint64_t page = 0; page < file->pages; page += PAGES_AT_ONCE) {
        const uint64_t left = file->pages - page;
        const uint64_t pages = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;
        if (!read_at(file->fd, block, pages * PAGE, (page + 1) * PAGE)) return "it cannot be read";
        ENSURE(EVP_DigestUpdate(digest, block, pages * PAGE) == 1);
        for (uint64_t i = 0; i < pages; i++) {
            const uint8_t *at = block + i * PAGE;
            if (!page_is_whole(said, page + i + 1, at)) return "a page fails its check";
            const uint32_t records = records_of_page(said->count, page + i);
            for (uint32_t k = 0; k < records; k++) {
                const struct kept_key record = get_record(at + (size_t)k * RECORD_BYTES);
                if (file->head.count > 0 && !hash_is_below(last, record.hash))
                    return "its keys are out of order";
                last = record.hash;
                file_note(file, &record);
            }
        }
    }
    struct key_file_hash hash;
    ENSURE(EVP_DigestFinal_ex(digest, hash.byte, NULL) == 1);
    if (memcmp(hash.byte, said->records.byte, sizeof hash.byte) != 0) return "its hash is another";
    uint64_t words[2][HEAD_WORDS];
    head_words(&file->head, words[0]);
    head_words(said, words[1]);
    return memcmp(words[0], words[1], sizeof words[0]) == 0 ? NULL
                                                            : "its head and its keys disagree";
}

/* Everything that the first page says, against what was asked for. */
static enum key_file_fault verify_head(const char *path, const uint8_t page[PAGE], uint64_t length,
                                       uint64_t serial, const struct key_file_hash *genesis,
                                       char detail_out[KEY_FILE_DETAIL_SIZE])
{
    if (memcmp(page, magic, sizeof magic) != 0)
        return refuse(KEY_FILE_FOREIGN, detail_out, "%s: is not a Weir key file", path);
    if (get_64(page + 8) != KEY_FILE_VERSION)
        return refuse(KEY_FILE_OTHER_VERSION, detail_out, "%s: is of version %" PRIu64 ", not %u",
                      path, get_64(page + 8), KEY_FILE_VERSION);
    const struct key_file_head head = head_get(page);
    if (memcmp(head.genesis.byte, genesis->byte, sizeof genesis->byte) != 0)
        return refuse(KEY_FILE_FOREIGN, detail_out, "%s: belongs to another journal", path);
    if (head.serial != serial)
        return refuse(KEY_FILE_FOREIGN, detail_out, "%s: is file %" PRIu64 " under another's name",
                      path, head.serial);
    if (!page_is_whole(&head, 0, page))
        return refuse(KEY_FILE_DAMAGED, detail_out, "%s: its head fails its check", path);
    if (length != (pages_for(head.count) + 1) * PAGE)
        return refuse(KEY_FILE_DAMAGED, detail_out, "%s: has %" PRIu64 " bytes, not %" PRIu64, path,
                      length, (pages_for(head.count) + 1) * PAGE);
    return KEY_FILE_OK;
}

static enum key_file_fault open_and_verify(const char *path, uint64_t serial,
                                           const struct key_file_hash *genesis,
                                           struct key_file *file, uint8_t *block,
                                           EVP_MD_CTX *digest,
                                           char detail_out[KEY_FILE_DETAIL_SIZE])
{
    struct stat status;
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0)
        return refuse(errno == ENOENT ? KEY_FILE_MISSING : KEY_FILE_UNREADABLE, detail_out,
                      "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(file->fd, &status) != 0)
        return refuse(KEY_FILE_UNREADABLE, detail_out, "%s: %s", path, strerror(errno));
    if (status.st_size < (off_t)PAGE)
        return refuse(KEY_FILE_DAMAGED, detail_out, "%s: is cut off", path);
    if (!read_at(file->fd, block, PAGE, 0))
        return refuse(KEY_FILE_UNREADABLE, detail_out, "%s: cannot be read: %s", path,
                      strerror(errno));
    const enum key_file_fault fault =
        verify_head(path, block, (uint64_t)status.st_size, serial, genesis, detail_out);
    if (fault != KEY_FILE_OK) return fault;

    const struct key_file_head said = head_get(block);
    file->pages = pages_for(said.count);
    file->head = (struct key_file_head){.serial = said.serial,
                                        .genesis = said.genesis,
                                        .made_ms = said.made_ms,
                                        .before = said.before,
                                        .records = said.records};
    if (!file_reserve(file, said.count))
        return refuse(KEY_FILE_NO_MEMORY, detail_out, "%s: no address space for its filter", path);
    const char *wrong = verify_records(file, &said, block, digest);
    if (wrong == NULL) return KEY_FILE_OK;
    return refuse(KEY_FILE_DAMAGED, detail_out, "%s: %s", path, wrong);
}

static EVP_MD_CTX *digest_begin(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    ENSURE(digest != NULL && EVP_DigestInit_ex2(digest, EVP_sha256(), NULL) == 1);
    return digest;
}

enum key_file_fault key_file_open(const char *directory, uint64_t serial,
                                  const struct key_file_hash *genesis, struct key_file *file_out,
                                  char detail_out[KEY_FILE_DETAIL_SIZE])
{
    char path[FILE_PATH_SIZE];
    char name[KEY_FILE_NAME_SIZE];
    key_file_name(serial, name);
    if (!file_path(directory, name, path))
        return refuse(KEY_FILE_UNREADABLE, detail_out, "the path of the directory is too long");
    struct key_file file = {.fd = -1};
    uint8_t *block = malloc((size_t)PAGES_AT_ONCE * PAGE);
    ENSURE(block != NULL);
    EVP_MD_CTX *digest = digest_begin();
    const enum key_file_fault fault =
        open_and_verify(path, serial, genesis, &file, block, digest, detail_out);
    EVP_MD_CTX_free(digest);
    free(block);
    if (fault == KEY_FILE_OK)
        *file_out = file;
    else
        key_file_close(&file);
    return fault;
}

/* The last page whose first hash is at most this; there is one or the key is nowhere. */
static bool page_of(const struct key_file *file, uint64_t word, uint64_t *page_out)
{
    uint64_t low = 0;
    uint64_t high = file->pages;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (file->firsts[middle] <= word)
            low = middle + 1;
        else
            high = middle;
    }
    *page_out = low - 1;
    return low > 0;
}

static bool find_in_page(const uint8_t *page, uint32_t records, struct hash128 hash,
                         struct kept_key *kept_out)
{
    uint32_t low = 0;
    uint32_t high = records;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct kept_key record = get_record(page + (size_t)middle * RECORD_BYTES);
        if (hash_128_equal(record.hash, hash)) {
            *kept_out = record;
            return true;
        }
        if (hash_is_below(record.hash, hash))
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

enum key_file_fault key_file_find(const struct key_file *file, struct hash128 hash,
                                  struct kept_key *kept_out, bool *is_there_out)
{
    uint8_t page[PAGE];
    uint64_t number = 0;
    *is_there_out = false;
    if (!page_of(file, hash.word[0], &number)) return KEY_FILE_OK;
    for (;;) {
        if (!read_at(file->fd, page, PAGE, (number + 1) * PAGE)) return KEY_FILE_UNREADABLE;
        if (!page_is_whole(&file->head, number + 1, page)) return KEY_FILE_DAMAGED;
        *is_there_out =
            find_in_page(page, records_of_page(file->head.count, number), hash, kept_out);
        /* Keys that share a high word may lie on both sides of a page's edge. */
        if (*is_there_out || number == 0 || file->firsts[number] != hash.word[0])
            return KEY_FILE_OK;
        number--;
    }
}

enum key_file_fault key_file_first(const struct key_file *file, uint64_t page,
                                   struct kept_key *kept_out)
{
    uint8_t block[PAGE];
    ENSURE(page < file->pages);
    if (!read_at(file->fd, block, PAGE, (page + 1) * PAGE)) return KEY_FILE_UNREADABLE;
    if (!page_is_whole(&file->head, page + 1, block)) return KEY_FILE_DAMAGED;
    *kept_out = get_record(block);
    return KEY_FILE_OK;
}

/* ---- writing */

struct key_writer {
    struct key_file file;
    uint64_t count_max;
    struct hash128 last;
    EVP_MD_CTX *digest;
    uint64_t pages_written;
    uint32_t page_records; /* in the last page of the block */
    uint32_t block_pages;  /* filled */
    char directory[FILE_PATH_SIZE];
    char path[FILE_PATH_SIZE];
    char path_new[FILE_PATH_SIZE];
    uint8_t block[PAGES_AT_ONCE * PAGE];
};

static bool write_at(int fd, const uint8_t *at, uint64_t length, uint64_t offset)
{
    while (length > 0) {
        const ssize_t put = pwrite(fd, at, length, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        at += put;
        offset += (uint64_t)put;
        length -= (uint64_t)put;
    }
    return true;
}

static enum key_file_fault unwritable(const struct key_writer *writer,
                                      char detail_out[KEY_FILE_DETAIL_SIZE])
{
    return refuse(KEY_FILE_UNWRITABLE, detail_out, "%s: cannot be written: %s", writer->path,
                  strerror(errno));
}

static void writer_free(struct key_writer *writer)
{
    EVP_MD_CTX_free(writer->digest);
    key_file_close(&writer->file);
    free(writer);
}

void key_writer_drop(struct key_writer *writer)
{
    (void)unlink(writer->path_new);
    writer_free(writer);
}

enum key_file_fault key_writer_begin(const struct key_writer_plan *plan,
                                     struct key_writer **writer_out,
                                     char detail_out[KEY_FILE_DETAIL_SIZE])
{
    struct key_writer *writer = calloc(1, sizeof *writer);
    ENSURE(writer != NULL);
    char name[KEY_FILE_NAME_SIZE];
    key_file_name(plan->serial, name);
    writer->file = (struct key_file){
        .fd = -1,
        .head = {.serial = plan->serial,
                 .genesis = plan->genesis,
                 .made_ms = plan->made_ms,
                 .before = plan->before}
    };
    writer->count_max = plan->count_max;
    writer->digest = digest_begin();
    const int length = snprintf(writer->directory, sizeof writer->directory, "%s", plan->directory);
    if (length < 0 || length + KEY_FILE_NAME_SIZE + 8 > FILE_PATH_SIZE) {
        writer_free(writer);
        return refuse(KEY_FILE_UNWRITABLE, detail_out, "the path of the directory is too long");
    }
    const bool has_paths = file_path(plan->directory, name, writer->path);
    ENSURE(has_paths);
    (void)snprintf(writer->path_new, sizeof writer->path_new, "%.*s.new", FILE_PATH_SIZE - 8,
                   writer->path);
    writer->file.fd = open(writer->path_new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (writer->file.fd < 0) {
        const enum key_file_fault fault = unwritable(writer, detail_out);
        writer_free(writer);
        return fault;
    }
    if (!file_reserve(&writer->file, plan->count_max)) {
        key_writer_drop(writer);
        return refuse(KEY_FILE_NO_MEMORY, detail_out, "no address space for a filter");
    }
    *writer_out = writer;
    return KEY_FILE_OK;
}

static bool writer_flush(struct key_writer *writer)
{
    const uint64_t length = (uint64_t)writer->block_pages * PAGE;
    if (!write_at(writer->file.fd, writer->block, length, (writer->pages_written + 1) * PAGE))
        return false;
    ENSURE(EVP_DigestUpdate(writer->digest, writer->block, length) == 1);
    /* The page at hand, if it has begun, is now the first. */
    if (writer->page_records > 0)
        memmove(writer->block, writer->block + length, (size_t)writer->page_records * RECORD_BYTES);
    writer->pages_written += writer->block_pages;
    writer->block_pages = 0;
    return true;
}

/* The page at hand is done. */
static bool writer_seal_page(struct key_writer *writer)
{
    uint8_t *page = writer->block + (size_t)writer->block_pages * PAGE;
    const uint64_t used = (uint64_t)writer->page_records * RECORD_BYTES;
    memset(page + used, 0, PAGE - used);
    page_seal(&writer->file.head, writer->pages_written + writer->block_pages + 1, page);
    writer->page_records = 0;
    writer->block_pages++;
    return writer->block_pages < PAGES_AT_ONCE || writer_flush(writer);
}

enum key_file_fault key_writer_add(struct key_writer *writer, const struct kept_key *records,
                                   uint64_t count, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    struct key_file *file = &writer->file;
    for (uint64_t i = 0; i < count; i++) {
        ENSURE(file->head.count < writer->count_max);
        ENSURE(file->head.count == 0 || hash_is_below(writer->last, records[i].hash));
        uint8_t *page = writer->block + (size_t)writer->block_pages * PAGE;
        put_record(page + (size_t)writer->page_records * RECORD_BYTES, &records[i]);
        file_note(file, &records[i]);
        writer->last = records[i].hash;
        writer->page_records++;
        if (writer->page_records == KEY_FILE_PAGE_RECORDS && !writer_seal_page(writer))
            return unwritable(writer, detail_out);
    }
    return writer_flush(writer) && file_sync(file->fd) ? KEY_FILE_OK
                                                       : unwritable(writer, detail_out);
}

static bool writer_finish(struct key_writer *writer)
{
    struct key_file *file = &writer->file;
    uint8_t head[PAGE];
    if (writer->page_records > 0 && !writer_seal_page(writer)) return false;
    if (!writer_flush(writer)) return false;
    ENSURE(EVP_DigestFinal_ex(writer->digest, file->head.records.byte, NULL) == 1);
    file->pages = writer->pages_written;
    ENSURE(file->pages == pages_for(file->head.count));
    head_put(&file->head, head);
    return write_at(file->fd, head, PAGE, 0) && file_sync(file->fd) &&
           rename(writer->path_new, writer->path) == 0 && file_sync_directory(writer->directory);
}

enum key_file_fault key_writer_end(struct key_writer *writer, struct key_file *file_out,
                                   char detail_out[KEY_FILE_DETAIL_SIZE])
{
    if (!writer_finish(writer)) {
        const enum key_file_fault fault = unwritable(writer, detail_out);
        key_writer_drop(writer);
        return fault;
    }
    *file_out = writer->file;
    writer->file = (struct key_file){.fd = -1};
    writer_free(writer);
    return KEY_FILE_OK;
}

/* ---- sorting */

void key_records_sort(struct kept_key *records, struct kept_key *scratch, uint32_t count,
                      uint64_t first, uint64_t last)
{
    enum { PER_BIN = 4 };
    const uint32_t bins = count / PER_BIN + 2;
    const uint64_t width = (last - first) / bins + 1;
    uint32_t *ends = calloc((size_t)bins + 1, sizeof *ends);
    ENSURE(ends != NULL);
    for (uint32_t i = 0; i < count; i++)
        ends[(records[i].hash.word[0] - first) / width + 1]++;
    for (uint32_t bin = 0; bin < bins; bin++)
        ends[bin + 1] += ends[bin];
    for (uint32_t i = 0; i < count; i++)
        scratch[ends[(records[i].hash.word[0] - first) / width]++] = records[i];
    free(ends);
    /* Bins are in order, and few share one. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;
        for (; place > 0 && hash_is_below(scratch[i].hash, records[place - 1].hash); place--)
            records[place] = records[place - 1];
        records[place] = scratch[i];
    }
}
