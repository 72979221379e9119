/*
 * key_list.c: see key_list.h.
 */
#include "keys/key_list.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define LIST_NAME "keys.weir"
#define LIST_VERSION 1u
#define HEAD_BYTES (8u + 8u + KEY_FILE_HASH_BYTES + 3u * 8u)
#define ENTRY_BYTES (7u * 8u + KEY_FILE_HASH_BYTES)
#define LIST_BYTES_MAX (HEAD_BYTES + KEY_FILES_MAX * ENTRY_BYTES + KEY_FILE_HASH_BYTES)

static const uint8_t magic[8] = {'w', 'e', 'i', 'r', 'k', 'e', 'y', 'l'};

static void put_64(struct buffer *out, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        buffer_put_byte(out, (uint8_t)(number >> (8 * i)));
}

static uint64_t get_64(struct reader *in)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)reader_take_byte(in) << (8 * i);
    return number;
}

static void get_hash(struct reader *in, struct key_file_hash *hash_out)
{
    for (unsigned i = 0; i < KEY_FILE_HASH_BYTES; i++)
        hash_out->byte[i] = reader_take_byte(in);
}

static struct key_file_hash sha256(struct bytes bytes)
{
    struct key_file_hash hash;
    ENSURE(EVP_Digest(bytes.at, bytes.length, hash.byte, NULL, EVP_sha256(), NULL) == 1);
    return hash;
}

static enum key_file_fault refuse(enum key_file_fault fault, char detail_out[KEY_FILE_DETAIL_SIZE],
                                  const char *path, const char *what)
{
    (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE, "%s: %s", path, what);
    return fault;
}

static void put_entry(struct buffer *out, const struct key_file_head *head)
{
    put_64(out, head->serial);
    put_64(out, (uint64_t)head->made_ms);
    put_64(out, head->before);
    put_64(out, head->count);
    put_64(out, head->position_first);
    put_64(out, head->position_last);
    put_64(out, (uint64_t)head->until_last_ms);
    buffer_put(out, head->records.byte, KEY_FILE_HASH_BYTES);
}

static struct key_file_head get_entry(struct reader *in, const struct key_file_hash *genesis)
{
    struct key_file_head head = {.genesis = *genesis};
    head.serial = get_64(in);
    head.made_ms = (int64_t)get_64(in);
    head.before = get_64(in);
    head.count = get_64(in);
    head.position_first = get_64(in);
    head.position_last = get_64(in);
    head.until_last_ms = (int64_t)get_64(in);
    get_hash(in, &head.records);
    return head;
}

static enum key_file_fault decode(struct bytes bytes, const struct key_file_hash *genesis,
                                  struct key_list *list_out, const char *path,
                                  char detail_out[KEY_FILE_DETAIL_SIZE])
{
    struct key_file_hash said;
    if (bytes.length < HEAD_BYTES + KEY_FILE_HASH_BYTES)
        return refuse(KEY_FILE_DAMAGED, detail_out, path, "is cut off");
    if (memcmp(bytes.at, magic, sizeof magic) != 0)
        return refuse(KEY_FILE_FOREIGN, detail_out, path, "is not a Weir list of key files");
    const struct bytes body = {bytes.at, bytes.length - KEY_FILE_HASH_BYTES};
    const struct key_file_hash found = sha256(body);
    memcpy(said.byte, bytes.at + body.length, sizeof said.byte);
    if (memcmp(said.byte, found.byte, sizeof said.byte) != 0)
        return refuse(KEY_FILE_DAMAGED, detail_out, path, "its hash is another");

    struct reader in = reader_over(body);
    (void)get_64(&in);
    if (get_64(&in) != LIST_VERSION)
        return refuse(KEY_FILE_OTHER_VERSION, detail_out, path, "is of another version of Weir");
    get_hash(&in, &said);
    if (memcmp(said.byte, genesis->byte, sizeof said.byte) != 0)
        return refuse(KEY_FILE_FOREIGN, detail_out, path, "belongs to another journal");
    struct key_list list = {.generation = get_64(&in), .serial_next = get_64(&in)};
    const uint64_t count = get_64(&in);
    if (count > KEY_FILES_MAX || body.length != HEAD_BYTES + count * ENTRY_BYTES)
        return refuse(KEY_FILE_DAMAGED, detail_out, path, "its count and its length disagree");
    for (uint64_t i = 0; i < count; i++)
        list.files[i] = get_entry(&in, genesis);
    list.count = (uint32_t)count;
    *list_out = list;
    return KEY_FILE_OK;
}

enum key_file_fault key_list_read(const char *directory, const struct key_file_hash *genesis,
                                  struct key_list *list_out, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    uint8_t block[LIST_BYTES_MAX];
    char path[FILE_PATH_SIZE];
    struct bytes bytes;
    struct file_detail detail;
    *list_out = (struct key_list){.serial_next = 1};
    if (!file_path(directory, LIST_NAME, path))
        return refuse(KEY_FILE_UNREADABLE, detail_out, directory, "its path is too long");
    const enum file_fault fault = file_read(path, block, sizeof block, &bytes, &detail);
    switch (fault) {
    case FILE_OK:
        return decode(bytes, genesis, list_out, path, detail_out);
    case FILE_MISSING:
        return refuse(KEY_FILE_MISSING, detail_out, path, "there is no such file");
    case FILE_TOO_LONG:
        return refuse(KEY_FILE_DAMAGED, detail_out, path, "is longer than a list can be");
    case FILE_UNREADABLE:
    case FILE_UNWRITABLE:
    case FILE_NO_DIRECTORY:
    case FILE_LOCKED:
        break;
    }
    (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE, "%s", detail.text);
    return KEY_FILE_UNREADABLE;
}

enum key_file_fault key_list_write(const char *directory, const struct key_file_hash *genesis,
                                   struct key_list *list, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    uint8_t block[LIST_BYTES_MAX];
    char path[FILE_PATH_SIZE];
    struct file_detail detail;
    struct buffer out = buffer_over(block, sizeof block);
    list->generation++;
    buffer_put(&out, magic, sizeof magic);
    put_64(&out, LIST_VERSION);
    buffer_put(&out, genesis->byte, KEY_FILE_HASH_BYTES);
    put_64(&out, list->generation);
    put_64(&out, list->serial_next);
    put_64(&out, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        put_entry(&out, &list->files[i]);
    const struct key_file_hash hash = sha256(buffer_bytes(&out));
    buffer_put(&out, hash.byte, sizeof hash.byte);
    ENSURE(!out.overflowed);
    if (!file_path(directory, LIST_NAME, path))
        return refuse(KEY_FILE_UNWRITABLE, detail_out, directory, "its path is too long");
    if (file_replace(path, buffer_bytes(&out), &detail) == FILE_OK) return KEY_FILE_OK;
    (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE, "%s", detail.text);
    return KEY_FILE_UNWRITABLE;
}

void key_list_add(struct key_list *list, const struct key_file_head *head)
{
    ENSURE(list->count < KEY_FILES_MAX);
    ENSURE(list->count == 0 || list->files[list->count - 1].serial < head->serial);
    list->files[list->count++] = *head;
}

void key_list_remove(struct key_list *list, uint64_t serial)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->files[i].serial != serial) list->files[kept++] = list->files[i];
    ENSURE(kept + 1 == list->count);
    list->count = kept;
}
