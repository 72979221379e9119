/*
 * snapshot.c: see snapshot.h.
 */
#include <dirent.h>
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

#include "journal/journal.h"
#include "platform/platform.h"

#define MAGIC "weir snapshot\n\0"
#define MAGIC_BYTES 16
#define HEADER_BYTES (MAGIC_BYTES + 4 + 4 + JOURNAL_HASH_BYTES + 8 + 8)
#define FRAME_BYTES 8
#define TRAILER_BYTES (FRAME_BYTES + 2 * (size_t)JOURNAL_HASH_BYTES)
#define SYNC_BYTES (UINT64_C(4) << 20)
#define READ_BYTES ((size_t)1 << 20)
#define WRITING_NAME "snapshot.new"
#define NAME_SIZE 64

const char *snapshot_fault_text(enum snapshot_fault fault)
{
    static const char *const texts[] = {
#define X(name, text) [name] = (text),
        SNAPSHOT_FAULT_TABLE(X)
#undef X
    };
    ENSURE((unsigned)fault < COUNT_OF(texts));
    return texts[fault];
}

__attribute__((format(printf, 3, 4))) static enum snapshot_fault
refuse(enum snapshot_fault fault, struct snapshot_detail *detail_out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail_out->text, sizeof(detail_out->text), format, arguments);
    va_end(arguments);
    return fault;
}

static void name_of(uint64_t sequence, char name_out[NAME_SIZE])
{
    (void)snprintf(name_out, NAME_SIZE, "snapshot-%" PRIu64 ".weir", sequence);
}

static void put_number(struct buffer *buffer, uint64_t number, unsigned bytes)
{
    for (unsigned at = 0; at < bytes; ++at)
        buffer_put_byte(buffer, (uint8_t)(number >> (8 * at)));
}

static uint64_t number_at(const uint8_t *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; ++i)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

/* ---- SHA-256 */

static EVP_MD_CTX *digest_start(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ENSURE(context != NULL && EVP_DigestInit_ex2(context, EVP_sha256(), NULL) == 1);
    return context;
}

static void digest_add(EVP_MD_CTX *context, const void *at, size_t length)
{
    ENSURE(EVP_DigestUpdate(context, at, length) == 1);
}

static void digest_end(EVP_MD_CTX *context, uint8_t hash_out[JOURNAL_HASH_BYTES])
{
    unsigned length = 0;
    ENSURE(EVP_DigestFinal_ex(context, hash_out, &length) == 1 && length == JOURNAL_HASH_BYTES);
}

/* ---- writing */

struct snapshot_writer {
    int fd;
    EVP_MD_CTX *digest;
    uint64_t sequence;
    uint64_t written;
    uint64_t synced;
    char directory[FILE_PATH_SIZE];
    char path[FILE_PATH_SIZE];  /* while it is written */
    char place[FILE_PATH_SIZE]; /* where it belongs */
};

static void writer_free(struct snapshot_writer *writer)
{
    if (writer->fd >= 0) (void)close(writer->fd);
    EVP_MD_CTX_free(writer->digest);
    free(writer);
}

void snapshot_abandon(struct snapshot_writer *writer)
{
    (void)unlink(writer->path);
    writer_free(writer);
}

static enum snapshot_fault give_up(struct snapshot_writer *writer,
                                   struct snapshot_detail *detail_out)
{
    const int reason = errno;
    const enum snapshot_fault fault =
        refuse(SNAPSHOT_UNWRITABLE, detail_out, "%s: cannot be written: %s", writer->path,
               strerror(reason));
    snapshot_abandon(writer);
    return fault;
}

static bool write_whole(struct snapshot_writer *writer, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        const ssize_t put = write(writer->fd, at, length);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        at += put;
        length -= (size_t)put;
        writer->written += (uint64_t)put;
        if (writer->written - writer->synced < SYNC_BYTES) continue;
        if (fdatasync(writer->fd) != 0) return false;
        writer->synced = writer->written;
    }
    return true;
}

static bool put_hashed(struct snapshot_writer *writer, const void *bytes, size_t length)
{
    digest_add(writer->digest, bytes, length);
    return write_whole(writer, bytes, length);
}

static bool put_frame(struct snapshot_writer *writer, uint32_t kind, struct bytes piece)
{
    uint8_t block[FRAME_BYTES];
    struct buffer frame = buffer_over(block, sizeof(block));
    put_number(&frame, kind, 4);
    put_number(&frame, piece.length, 4);
    return put_hashed(writer, block, sizeof(block)) && put_hashed(writer, piece.at, piece.length);
}

static bool put_header(struct snapshot_writer *writer, const struct snapshot_header *header)
{
    uint8_t block[HEADER_BYTES];
    struct buffer buffer = buffer_over(block, sizeof(block));
    buffer_put(&buffer, MAGIC, MAGIC_BYTES);
    put_number(&buffer, SNAPSHOT_VERSION, 4);
    put_number(&buffer, HEADER_BYTES, 4);
    buffer_put(&buffer, header->genesis.byte, JOURNAL_HASH_BYTES);
    put_number(&buffer, header->sequence, 8);
    put_number(&buffer, (uint64_t)header->at_ms, 8);
    ENSURE(!buffer.overflowed && buffer.used == sizeof(block));
    return put_hashed(writer, block, sizeof(block));
}

enum snapshot_fault snapshot_create(const char *directory, struct snapshot_header header,
                                    struct snapshot_writer **writer_out,
                                    struct snapshot_detail *detail_out)
{
    char name[NAME_SIZE];
    struct snapshot_writer *writer = calloc(1, sizeof(*writer));
    ENSURE(writer != NULL);
    writer->fd = -1;
    writer->digest = digest_start();
    writer->sequence = header.sequence;
    name_of(header.sequence, name);
    (void)snprintf(writer->directory, sizeof(writer->directory), "%s", directory);
    if (!file_path(directory, WRITING_NAME, writer->path) ||
        !file_path(directory, name, writer->place)) {
        writer_free(writer);
        return refuse(SNAPSHOT_UNWRITABLE, detail_out, "the path of the directory is too long");
    }
    writer->fd = open(writer->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (writer->fd < 0 || !put_header(writer, &header)) return give_up(writer, detail_out);
    *writer_out = writer;
    return SNAPSHOT_OK;
}

enum snapshot_fault snapshot_put(struct snapshot_writer *writer, uint32_t kind, struct bytes piece,
                                 struct snapshot_detail *detail_out)
{
    ENSURE(kind != 0 && piece.length <= SNAPSHOT_PIECE_BYTES_MAX);
    return put_frame(writer, kind, piece) ? SNAPSHOT_OK : give_up(writer, detail_out);
}

enum snapshot_fault snapshot_finish(struct snapshot_writer *writer, struct journal_hash batch,
                                    uint64_t *bytes_out, struct snapshot_detail *detail_out)
{
    uint8_t hash[JOURNAL_HASH_BYTES];
    if (!put_frame(writer, 0, (struct bytes){batch.byte, sizeof(batch.byte)}))
        return give_up(writer, detail_out);
    digest_end(writer->digest, hash);
    if (!write_whole(writer, hash, sizeof(hash)) || !file_sync(writer->fd) ||
        rename(writer->path, writer->place) != 0)
        return give_up(writer, detail_out);
    *bytes_out = writer->written;
    enum snapshot_fault fault = SNAPSHOT_OK;
    if (!file_sync_directory(writer->directory))
        fault = refuse(SNAPSHOT_UNWRITABLE, detail_out, "%s: cannot be made durable: %s",
                       writer->directory, strerror(errno));
    writer_free(writer);
    return fault;
}

/* ---- reading */

struct snapshot_reader {
    int fd;
    uint8_t *block; /* of one piece */
    size_t block_size;
    uint64_t left; /* bytes of pieces not yet read */
    struct snapshot_header header;
    struct journal_hash batch;
    char path[FILE_PATH_SIZE];
};

void snapshot_close(struct snapshot_reader *reader)
{
    if (reader->fd >= 0) (void)close(reader->fd);
    free(reader->block);
    free(reader);
}

static void reader_close(struct snapshot_reader **reader)
{
    if (*reader != NULL) snapshot_close(*reader);
}

/* All of it, or 0 with errno, or 0 where the file ends. */
static bool read_whole(int fd, uint8_t *at, size_t length)
{
    errno = 0;
    while (length > 0) {
        const ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

static enum snapshot_fault refuse_read(const struct snapshot_reader *reader,
                                       struct snapshot_detail *detail_out)
{
    if (errno == 0) return refuse(SNAPSHOT_DAMAGED, detail_out, "%s: is cut short", reader->path);
    return refuse(SNAPSHOT_UNREADABLE, detail_out, "%s: cannot be read: %s", reader->path,
                  strerror(errno));
}

static enum snapshot_fault read_header(struct snapshot_reader *reader, uint64_t sequence,
                                       struct snapshot_detail *detail_out)
{
    uint8_t block[HEADER_BYTES];
    if (!read_whole(reader->fd, block, sizeof(block))) return refuse_read(reader, detail_out);
    if (memcmp(block, MAGIC, MAGIC_BYTES) != 0)
        return refuse(SNAPSHOT_DAMAGED, detail_out, "%s: is not a snapshot of Weir's",
                      reader->path);
    const uint64_t version = number_at(block + MAGIC_BYTES, 4);
    if (version != SNAPSHOT_VERSION || number_at(block + MAGIC_BYTES + 4, 4) != HEADER_BYTES)
        return refuse(SNAPSHOT_OTHER_VERSION, detail_out,
                      "%s: is of format %" PRIu64 ", this program reads format %u", reader->path,
                      version, SNAPSHOT_VERSION);
    const uint8_t *at = block + MAGIC_BYTES + 8;
    memcpy(reader->header.genesis.byte, at, JOURNAL_HASH_BYTES);
    reader->header.sequence = number_at(at + JOURNAL_HASH_BYTES, 8);
    reader->header.at_ms = (int64_t)number_at(at + JOURNAL_HASH_BYTES + 8, 8);
    if (reader->header.sequence != sequence)
        return refuse(SNAPSHOT_DAMAGED, detail_out,
                      "%s: is the snapshot of batch %" PRIu64 " under another name", reader->path,
                      reader->header.sequence);
    return SNAPSHOT_OK;
}

static bool hash_up_to(struct snapshot_reader *reader, uint64_t end,
                       uint8_t hash_out[JOURNAL_HASH_BYTES])
{
    EVP_MD_CTX *digest = digest_start();
    bool is_read = lseek(reader->fd, 0, SEEK_SET) == 0;
    for (uint64_t at = 0; is_read && at < end;) {
        const size_t length = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
        is_read = read_whole(reader->fd, reader->block, length);
        if (is_read) digest_add(digest, reader->block, length);
        at += length;
    }
    if (is_read) digest_end(digest, hash_out);
    EVP_MD_CTX_free(digest);
    return is_read;
}

static enum snapshot_fault judge(struct snapshot_reader *reader, uint64_t sequence,
                                 struct snapshot_detail *detail_out)
{
    struct stat status;
    if (fstat(reader->fd, &status) != 0) return refuse_read(reader, detail_out);
    if (!S_ISREG(status.st_mode))
        return refuse(SNAPSHOT_UNREADABLE, detail_out, "%s: is not a file", reader->path);
    if ((uint64_t)status.st_size < HEADER_BYTES + TRAILER_BYTES)
        return refuse(SNAPSHOT_DAMAGED, detail_out, "%s: is cut short", reader->path);

    const enum snapshot_fault fault = read_header(reader, sequence, detail_out);
    if (fault != SNAPSHOT_OK) return fault;
    const uint64_t end = (uint64_t)status.st_size - JOURNAL_HASH_BYTES;
    uint8_t hash[JOURNAL_HASH_BYTES];
    uint8_t trailer[TRAILER_BYTES];
    if (!hash_up_to(reader, end, hash)) return refuse_read(reader, detail_out);
    const uint64_t trailer_at = end - JOURNAL_HASH_BYTES - FRAME_BYTES;
    if (lseek(reader->fd, (off_t)trailer_at, SEEK_SET) < 0 ||
        !read_whole(reader->fd, trailer, sizeof(trailer)))
        return refuse_read(reader, detail_out);
    if (memcmp(trailer + FRAME_BYTES + JOURNAL_HASH_BYTES, hash, sizeof(hash)) != 0)
        return refuse(SNAPSHOT_DAMAGED, detail_out,
                      "%s: its bytes are not those that its SHA-256 was made of", reader->path);
    if (number_at(trailer, 4) != 0 || number_at(trailer + 4, 4) != JOURNAL_HASH_BYTES)
        return refuse(SNAPSHOT_DAMAGED, detail_out, "%s: has no end", reader->path);
    memcpy(reader->batch.byte, trailer + FRAME_BYTES, JOURNAL_HASH_BYTES);
    reader->left = trailer_at - HEADER_BYTES;
    if (lseek(reader->fd, HEADER_BYTES, SEEK_SET) < 0) return refuse_read(reader, detail_out);
    return SNAPSHOT_OK;
}

static struct snapshot_reader *reader_make(void)
{
    struct snapshot_reader *reader = calloc(1, sizeof(*reader));
    ENSURE(reader != NULL);
    reader->fd = -1;
    reader->block_size = READ_BYTES;
    reader->block = malloc(reader->block_size);
    ENSURE(reader->block != NULL);
    return reader;
}

enum snapshot_fault snapshot_open(const char *directory, uint64_t sequence,
                                  struct snapshot_reader **reader_out,
                                  struct snapshot_detail *detail_out)
{
    char name[NAME_SIZE];
    __attribute__((cleanup(reader_close))) struct snapshot_reader *reader = reader_make();
    name_of(sequence, name);
    if (!file_path(directory, name, reader->path))
        return refuse(SNAPSHOT_UNREADABLE, detail_out, "the path of the directory is too long");
    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (reader->fd < 0) return refuse_read(reader, detail_out);
    const enum snapshot_fault fault = judge(reader, sequence, detail_out);
    if (fault != SNAPSHOT_OK) return fault;
    *reader_out = reader;
    reader = NULL; /* read by its cleanup: NOLINT(clang-analyzer-deadcode.DeadStores) */
    return SNAPSHOT_OK;
}

struct snapshot_header snapshot_header(const struct snapshot_reader *reader)
{
    return reader->header;
}

struct journal_hash snapshot_batch_hash(const struct snapshot_reader *reader)
{
    return reader->batch;
}

static enum snapshot_fault refuse_pieces(const struct snapshot_reader *reader,
                                         struct snapshot_detail *detail_out)
{
    return refuse(SNAPSHOT_DAMAGED, detail_out, "%s: its pieces do not fill it", reader->path);
}

enum snapshot_fault snapshot_next(struct snapshot_reader *reader, uint32_t *kind_out,
                                  struct bytes *piece_out, struct snapshot_detail *detail_out)
{
    uint8_t frame[FRAME_BYTES];
    if (reader->left == 0) {
        *kind_out = 0;
        *piece_out = BYTES_NONE;
        return SNAPSHOT_OK;
    }
    if (reader->left < FRAME_BYTES) return refuse_pieces(reader, detail_out);
    if (!read_whole(reader->fd, frame, sizeof(frame))) return refuse_read(reader, detail_out);
    const uint64_t kind = number_at(frame, 4);
    const uint64_t length = number_at(frame + 4, 4);
    if (kind == 0 || length > SNAPSHOT_PIECE_BYTES_MAX || length > reader->left - FRAME_BYTES)
        return refuse_pieces(reader, detail_out);
    if (length > reader->block_size) {
        free(reader->block);
        reader->block_size = (size_t)length;
        reader->block = malloc(reader->block_size);
        ENSURE(reader->block != NULL);
    }
    if (!read_whole(reader->fd, reader->block, (size_t)length))
        return refuse_read(reader, detail_out);
    reader->left -= FRAME_BYTES + length;
    *kind_out = (uint32_t)kind;
    *piece_out = (struct bytes){reader->block, (size_t)length};
    return SNAPSHOT_OK;
}

/* ---- the directory */

/* Exactly what name_of writes. */
static bool sequence_of(const char *name, uint64_t *sequence_out)
{
    char again[NAME_SIZE];
    char *end = NULL;
    if (strncmp(name, "snapshot-", 9) != 0) return false;
    const uint64_t sequence = strtoull(name + 9, &end, 10);
    name_of(sequence, again);
    if (strcmp(name, again) != 0) return false;
    *sequence_out = sequence;
    return true;
}

/* In order, newest first; the oldest fall out at the end. */
static void list_add(struct snapshot_list *list, uint64_t sequence)
{
    if (list->count == SNAPSHOTS_LISTED_MAX) {
        if (sequence < list->sequences[list->count - 1]) return;
        --list->count;
    }
    uint32_t at = list->count++;
    for (; at > 0 && list->sequences[at - 1] < sequence; --at)
        list->sequences[at] = list->sequences[at - 1];
    list->sequences[at] = sequence;
}

bool snapshot_list(const char *directory, struct snapshot_list *list_out)
{
    DIR *open_directory = opendir(directory);
    *list_out = (struct snapshot_list){0};
    if (open_directory == NULL) return false;
    const struct dirent *entry;
    while ((entry = readdir(open_directory)) != NULL) {
        uint64_t sequence = 0;
        if (sequence_of(entry->d_name, &sequence)) list_add(list_out, sequence);
    }
    (void)closedir(open_directory);
    return true;
}

void snapshot_sweep(const char *directory, uint64_t newest, uint64_t older)
{
    char path[FILE_PATH_SIZE];
    struct snapshot_list list;
    if (file_path(directory, WRITING_NAME, path)) (void)unlink(path);
    if (!snapshot_list(directory, &list)) return;
    for (uint32_t i = 0; i < list.count; ++i) {
        char name[NAME_SIZE];
        if (list.sequences[i] >= newest || list.sequences[i] == older) continue;
        name_of(list.sequences[i], name);
        if (file_path(directory, name, path)) (void)unlink(path);
    }
}
