/*
 * keys.c: see keys.h.
 */
#include "keys/keys.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_SLOT KEY_FILES_MAX

/* What a look at all filters needs, close together. */
struct shown {
    struct key_filter filter;
    uint64_t serial;
    uint32_t slot;
};

struct keys {
    struct keys_parts parts;
    char directory[FILE_PATH_SIZE];

    /* A place is the loop's to give; what is in it the desk's to fill. */
    struct key_file files[KEY_FILES_MAX];
    uint64_t memory[KEY_FILES_MAX]; /* of its filter; 0: the place is free */

    /* The loop's. */
    struct shown shown[KEY_FILES_MAX]; /* in the order of serials */
    uint32_t shown_count;
    uint64_t memory_used;
    uint64_t serial_newest; /* of those shown */
    uint64_t generation;
    uint32_t writing; /* a place, or NO_SLOT */
    uint32_t dropping;
    struct key_writer_plan plan;

    /* The desk's. */
    struct key_list list;
    struct key_writer *writer;
    bool has_failed;      /* the file at hand */
    struct key_list bad;  /* of the start: listed, and not what the list says */
    struct key_list over; /* of the start: still on the list that is on disk */
    bool is_accepted;     /* the start is over */
    bool has_news;        /* of the start: the list on disk is another, or there is none */
    uint64_t made_first;  /* serial of the first file that the start wrote; 0: none */
    uint64_t left_behind; /* serial of a file that a crash kept from the list; 0: there is none */

    struct kept_key *piece;
    struct kept_key *scratch;
};

#define ALIGNED(bytes) (((uint64_t)(bytes) + 63) / 64 * 64)

uint64_t keys_bytes(uint32_t piece)
{
    return ALIGNED(sizeof(struct keys)) + 2 * ALIGNED((uint64_t)piece * sizeof(struct kept_key));
}

struct keys *keys_over(void *block, struct keys_parts parts)
{
    struct keys *keys = block;
    uint8_t *at = (uint8_t *)block + ALIGNED(sizeof *keys);
    const size_t length = strlen(parts.directory);
    ENSURE(length < sizeof keys->directory);
    memcpy(keys->directory, parts.directory, length + 1);
    keys->parts = parts;
    keys->parts.directory = keys->directory;
    keys->piece = (struct kept_key *)(void *)at;
    keys->scratch =
        (struct kept_key *)(void *)(at + ALIGNED((uint64_t)parts.piece * sizeof *keys->piece));
    keys->writing = keys->dropping = NO_SLOT;
    keys->list.serial_next = 1;
    for (unsigned i = 0; i < KEY_FILES_MAX; i++)
        keys->files[i].fd = -1;
    return keys;
}

static void unlink_file(const struct keys *keys, uint64_t serial)
{
    char name[KEY_FILE_NAME_SIZE];
    char path[FILE_PATH_SIZE];
    key_file_name(serial, name);
    if (file_path(keys->parts.directory, name, path)) (void)unlink(path);
}

void keys_close(struct keys *keys)
{
    if (keys->writer != NULL) key_writer_drop(keys->writer);
    keys->writer = NULL;
    for (unsigned i = 0; i < KEY_FILES_MAX; i++)
        key_file_close(&keys->files[i]);
    for (uint32_t i = 0; !keys->is_accepted && keys->made_first > 0 && i < keys->list.count; i++)
        if (keys->list.files[i].serial >= keys->made_first)
            unlink_file(keys, keys->list.files[i].serial);
}

/* ---- places */

static uint32_t free_slot(const struct keys *keys)
{
    for (uint32_t slot = 0; slot < KEY_FILES_MAX; slot++)
        if (keys->memory[slot] == 0) return slot;
    return NO_SLOT;
}

static void take_slot(struct keys *keys, uint32_t slot, uint64_t bytes)
{
    keys->memory[slot] = bytes;
    keys->memory_used += bytes;
}

static void give_slot(struct keys *keys, uint32_t slot)
{
    keys->memory_used -= keys->memory[slot];
    keys->memory[slot] = 0;
}

static void show_slot(struct keys *keys, uint32_t slot)
{
    const struct key_file *file = &keys->files[slot];
    keys->shown[keys->shown_count++] =
        (struct shown){.filter = file->filter, .serial = file->head.serial, .slot = slot};
    keys->serial_newest = file->head.serial;
}

/* ---- the start */

static bool is_listed(const struct key_list *list, uint64_t serial)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->files[i].serial == serial) return true;
    return false;
}

/* "keys-000001.weir" and no other spelling; 0: it is none. */
static uint64_t serial_of_name(const char *text)
{
    char name[KEY_FILE_NAME_SIZE];
    if (strncmp(text, "keys-", 5) != 0) return 0;
    const uint64_t serial = strtoull(text + 5, NULL, 10);
    key_file_name(serial, name);
    return strcmp(name, text) == 0 ? serial : 0;
}

static void tell_unlisted(const struct keys *keys, uint64_t serial, keys_tell *tell, void *self)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    char name[KEY_FILE_NAME_SIZE];
    key_file_name(serial, name);
    (void)snprintf(detail, sizeof detail, "%s/%s: is on no list and not used: it may be moved away",
                   keys->parts.directory, name);
    tell(self, KEY_FILE_OK, detail);
}

/* One that stood but was not listed yet when a crash came is to go, if there is a list and it is
 * ours to the last bit; others are told. The serials of all are passed by. */
static void look_around(struct keys *keys, keys_tell *tell, void *self)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    const uint64_t next = keys->list.serial_next;
    DIR *directory = opendir(keys->parts.directory);
    if (directory == NULL) return;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        const uint64_t serial = serial_of_name(entry->d_name);
        if (serial == 0 || is_listed(&keys->list, serial)) continue;
        struct key_file file = {.fd = -1};
        if (serial >= keys->list.serial_next) keys->list.serial_next = serial + 1;
        if (serial == next && keys->list.generation > 0 &&
            key_file_open(keys->parts.directory, serial, &keys->parts.genesis, &file, detail) ==
                KEY_FILE_OK) {
            key_file_close(&file);
            keys->left_behind = serial;
            continue;
        }
        tell_unlisted(keys, serial, tell, self);
    }
    (void)closedir(directory);
}

/* Files that a crash left half made. */
static void unlink_half_made(const struct keys *keys)
{
    static const char ending[] = ".weir.new";
    const size_t ending_length = sizeof ending - 1;
    DIR *directory = opendir(keys->parts.directory);
    if (directory == NULL) return;
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        char path[FILE_PATH_SIZE];
        const size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, "keys", 4) == 0 && length > ending_length &&
            strcmp(entry->d_name + length - ending_length, ending) == 0 &&
            file_path(keys->parts.directory, entry->d_name, path))
            (void)unlink(path);
    }
    (void)closedir(directory);
}

static enum key_file_fault open_listed(struct keys *keys, const struct key_file_head *listed,
                                       char detail_out[KEY_FILE_DETAIL_SIZE])
{
    const uint32_t slot = free_slot(keys);
    ENSURE(slot != NO_SLOT);
    struct key_file *file = &keys->files[slot];
    const enum key_file_fault fault = key_file_open(keys->parts.directory, listed->serial,
                                                    &keys->parts.genesis, file, detail_out);
    if (fault != KEY_FILE_OK) return fault;
    if (memcmp(file->head.records.byte, listed->records.byte, KEY_FILE_HASH_BYTES) != 0 ||
        file->head.count != listed->count) {
        char name[KEY_FILE_NAME_SIZE];
        key_file_name(listed->serial, name);
        key_file_close(file);
        (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE, "%s/%s: is not the file on the list",
                       keys->parts.directory, name);
        return KEY_FILE_FOREIGN;
    }
    take_slot(keys, slot, file->block_bytes);
    show_slot(keys, slot);
    return KEY_FILE_OK;
}

/* What is on the list must be there: files go after they have left it. */
static enum key_file_fault write_list(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    const enum key_file_fault fault =
        key_list_write(keys->parts.directory, &keys->parts.genesis, &keys->list, detail_out);
    if (fault != KEY_FILE_OK) return fault;
    for (uint32_t i = 0; i < keys->over.count; i++)
        unlink_file(keys, keys->over.files[i].serial);
    keys->over.count = 0;
    return KEY_FILE_OK;
}

enum key_file_fault keys_open(struct keys *keys, int64_t now_ms, keys_tell *tell, void *self,
                              uint32_t *bad_out, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    char detail[KEY_FILE_DETAIL_SIZE];
    const enum key_file_fault fault =
        key_list_read(keys->parts.directory, &keys->parts.genesis, &keys->list, detail_out);
    *bad_out = 0;
    keys->has_news = fault == KEY_FILE_MISSING;
    if (fault == KEY_FILE_MISSING) look_around(keys, tell, self);
    if (fault != KEY_FILE_OK) return fault;
    keys->generation = keys->list.generation;
    look_around(keys, tell, self);
    for (uint32_t i = 0; i < keys->list.count;) {
        const struct key_file_head listed = keys->list.files[i];
        if (now_ms >= listed.until_last_ms) {
            key_list_add(&keys->over, &listed);
            key_list_remove(&keys->list, listed.serial);
            continue;
        }
        const enum key_file_fault bad = open_listed(keys, &listed, detail);
        if (bad != KEY_FILE_OK) {
            key_list_add(&keys->bad, &listed);
            tell(self, bad, detail);
        }
        i++;
    }
    *bad_out = keys->bad.count;
    return KEY_FILE_OK;
}

void keys_number_from(struct keys *keys, uint64_t generation)
{
    ENSURE(keys->generation == 0 && !keys->is_accepted);
    keys->list.generation = keys->generation = generation;
}

struct key_file_head keys_bad(const struct keys *keys, uint32_t n)
{
    ENSURE(n < keys->bad.count);
    return keys->bad.files[n];
}

void keys_forget_bad(struct keys *keys)
{
    for (uint32_t i = 0; i < keys->bad.count; i++)
        key_list_remove(&keys->list, keys->bad.files[i].serial);
    keys->has_news = keys->has_news || keys->bad.count > 0;
    keys->bad.count = 0;
}

const struct key_file *keys_file(const struct keys *keys, uint32_t n)
{
    ENSURE(n < keys->shown_count);
    return &keys->files[keys->shown[n].slot];
}

enum key_file_fault keys_accept(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    ENSURE(!keys->is_accepted && keys->bad.count == 0);
    if (keys->left_behind > 0) {
        unlink_file(keys, keys->left_behind);
        if (keys->list.serial_next == keys->left_behind + 1)
            keys->list.serial_next = keys->left_behind;
    }
    unlink_half_made(keys);
    if (keys->has_news || keys->over.count > 0) {
        const enum key_file_fault fault = write_list(keys, detail_out);
        if (fault != KEY_FILE_OK) return fault;
        keys->generation = keys->list.generation;
    }
    keys->is_accepted = true;
    return KEY_FILE_OK;
}

bool keys_has(struct keys *keys, struct kept_key kept)
{
    struct key_question question;
    struct key_answer answer;
    char detail[KEY_FILE_DETAIL_SIZE];
    if (!keys_may_have(keys, kept.hash, 0, &question)) return false;
    keys_look(keys, &question, &answer, detail);
    return answer.found == KEY_LOOK_FOUND && answer.kept.position == kept.position;
}

/* ---- the loop's side */

bool keys_may_have(const struct keys *keys, struct hash128 hash, uint64_t after,
                   struct key_question *question_out)
{
    struct key_question question = {.hash = hash, .through = keys->serial_newest};
    bool may_have = false;
    for (uint32_t i = 0; i < keys->shown_count; i++) {
        const struct shown *shown = &keys->shown[i];
        if (shown->serial <= after || !key_filter_may_have(&shown->filter, hash)) continue;
        question.files[shown->slot / 64] |= UINT64_C(1) << (shown->slot % 64);
        may_have = true;
    }
    if (may_have) *question_out = question;
    return may_have;
}

bool keys_plan(struct keys *keys, uint64_t count, int64_t made_ms, uint64_t before)
{
    ENSURE(keys->writing == NO_SLOT && keys->dropping == NO_SLOT);
    const uint64_t bytes = key_file_memory(count);
    const uint32_t slot = free_slot(keys);
    if (slot == NO_SLOT || keys->memory_used + bytes > keys->parts.memory_max) return false;
    take_slot(keys, slot, bytes);
    keys->writing = slot;
    keys->has_failed = false;
    keys->plan = (struct key_writer_plan){.directory = keys->parts.directory,
                                          .genesis = keys->parts.genesis,
                                          .made_ms = made_ms,
                                          .before = before,
                                          .count_max = count};
    return true;
}

void keys_show(struct keys *keys)
{
    ENSURE(keys->writing != NO_SLOT && keys->writer == NULL && !keys->has_failed);
    show_slot(keys, keys->writing);
    keys->generation = keys->list.generation;
    keys->writing = NO_SLOT;
}

void keys_write_abandon(struct keys *keys)
{
    ENSURE(keys->writing != NO_SLOT && keys->writer == NULL);
    give_slot(keys, keys->writing);
    keys->writing = NO_SLOT;
}

bool keys_hide_over(struct keys *keys, int64_t now_ms)
{
    ENSURE(keys->writing == NO_SLOT && keys->dropping == NO_SLOT);
    for (uint32_t i = 0; i < keys->shown_count; i++) {
        const uint32_t slot = keys->shown[i].slot;
        if (now_ms < keys->files[slot].head.until_last_ms) continue;
        keys->shown_count--;
        memmove(&keys->shown[i], &keys->shown[i + 1],
                (keys->shown_count - i) * sizeof keys->shown[0]);
        keys->dropping = slot;
        return true;
    }
    return false;
}

void keys_dropped(struct keys *keys)
{
    ENSURE(keys->dropping != NO_SLOT);
    give_slot(keys, keys->dropping);
    keys->generation = keys->list.generation;
    keys->dropping = NO_SLOT;
}

struct kept_key *keys_piece(struct keys *keys)
{
    return keys->piece;
}

uint32_t keys_piece_max(const struct keys *keys)
{
    return keys->parts.piece;
}

struct keys_status keys_status(const struct keys *keys)
{
    struct keys_status status = {.files = keys->shown_count,
                                 .memory_bytes = keys->memory_used,
                                 .memory_max = keys->parts.memory_max,
                                 .generation = keys->generation,
                                 .position_first = UINT64_MAX};
    for (uint32_t i = 0; i < keys->shown_count; i++) {
        const struct key_file *file = &keys->files[keys->shown[i].slot];
        status.kept += file->head.count;
        status.disk_bytes += (file->pages + 1) * KEY_FILE_PAGE_BYTES;
        if (file->head.count > 0 && file->head.position_first < status.position_first)
            status.position_first = file->head.position_first;
    }
    return status;
}

/* ---- the desk's side */

/* The same binding may be in two files, if a crash took back the end of its hold. */
static bool is_later(const struct kept_key *one, const struct kept_key *other)
{
    if (one->position != other->position) return one->position > other->position;
    return one->until_ms > other->until_ms;
}

void keys_look(struct keys *keys, const struct key_question *question,
               struct key_answer *answer_out, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    struct key_answer answer = {
        .found = KEY_LOOK_ABSENT, .hash = question->hash, .through = question->through};
    for (uint32_t slot = 0; slot < KEY_FILES_MAX; slot++) {
        if ((question->files[slot / 64] >> (slot % 64) & 1) == 0) continue;
        const struct key_file *file = &keys->files[slot];
        struct kept_key kept;
        bool is_there = false;
        const enum key_file_fault fault = key_file_find(file, question->hash, &kept, &is_there);
        if (fault != KEY_FILE_OK) {
            char name[KEY_FILE_NAME_SIZE];
            key_file_name(file->head.serial, name);
            (void)snprintf(detail_out, KEY_FILE_DETAIL_SIZE, "%s/%s: %s", keys->parts.directory,
                           name, key_file_fault_text(fault));
            answer.found = KEY_LOOK_FAILED;
            break;
        }
        if (!is_there) continue;
        if (answer.found == KEY_LOOK_FOUND && is_later(&answer.kept, &kept)) continue;
        answer.found = KEY_LOOK_FOUND;
        answer.kept = kept;
    }
    *answer_out = answer;
}

static enum key_file_fault give_up(struct keys *keys, enum key_file_fault fault)
{
    if (keys->writer != NULL) key_writer_drop(keys->writer);
    keys->writer = NULL;
    keys->has_failed = true;
    return fault;
}

static enum key_file_fault begin(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    if (keys->writer != NULL) return KEY_FILE_OK;
    ENSURE(keys->writing != NO_SLOT && !keys->has_failed);
    keys->plan.serial = keys->list.serial_next;
    return key_writer_begin(&keys->plan, &keys->writer, detail_out);
}

enum key_file_fault keys_write(struct keys *keys, uint32_t count, uint64_t first, uint64_t last,
                               char detail_out[KEY_FILE_DETAIL_SIZE])
{
    ENSURE(count <= keys->parts.piece);
    enum key_file_fault fault = begin(keys, detail_out);
    if (fault != KEY_FILE_OK) return give_up(keys, fault);
    key_records_sort(keys->piece, keys->scratch, count, first, last);
    fault = key_writer_add(keys->writer, keys->piece, count, detail_out);
    return fault == KEY_FILE_OK ? KEY_FILE_OK : give_up(keys, fault);
}

enum key_file_fault keys_write_end(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    enum key_file_fault fault = begin(keys, detail_out);
    if (fault != KEY_FILE_OK) return give_up(keys, fault);
    struct key_file *file = &keys->files[keys->writing];
    struct key_writer *writer = keys->writer;
    keys->writer = NULL;
    fault = key_writer_end(writer, file, detail_out);
    if (fault != KEY_FILE_OK) return give_up(keys, fault);
    keys->list.serial_next++; /* also when it does not get onto the list: it may be there all the
                                 same, and then it must be that file */
    struct key_list list = keys->list;
    key_list_add(&list, &file->head);
    if (!keys->is_accepted) {
        if (keys->made_first == 0) keys->made_first = file->head.serial;
        keys->has_news = true;
        keys->list = list;
        return KEY_FILE_OK;
    }
    fault = key_list_write(keys->parts.directory, &keys->parts.genesis, &list, detail_out);
    keys->list.generation = list.generation;
    if (fault == KEY_FILE_OK) {
        keys->list = list;
        return KEY_FILE_OK;
    }
    key_file_close(file);
    return give_up(keys, fault);
}

enum key_file_fault keys_drop(struct keys *keys, char detail_out[KEY_FILE_DETAIL_SIZE])
{
    ENSURE(keys->dropping != NO_SLOT);
    struct key_file *file = &keys->files[keys->dropping];
    const uint64_t serial = file->head.serial;
    key_file_close(file);
    key_list_remove(&keys->list, serial);
    const enum key_file_fault fault = write_list(keys, detail_out);
    if (fault == KEY_FILE_OK) unlink_file(keys, serial);
    return fault;
}
