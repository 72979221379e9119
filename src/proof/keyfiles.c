/*
 * keyfiles.c: see keyfiles.h.
 */
#include "proof/keyfiles.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keys.h"
#include "proof/verdict.h"

#define LIST_FILE "keys.weir"
#define ADVICE_KEYS                                                                        \
    "Restore the data directory from a backup; or start the server, which makes the file " \
    "anew from the journal if that still has its range, and refuses by name if not"

#define ADVICE_MOMENT                                                                           \
    "Restore the data directory from one backup; or move keys.weir away: the server takes the " \
    "keys that count from the journal"

struct key_check {
    const struct place *place;
    const struct walk *walk;
    struct fact *fact;
    struct key_file_hash genesis;
    struct proof_verdict *verdict;
    struct key_list list;
    uint64_t files;
    uint64_t keys;
};

static bool find_fault(const struct key_check *check, const char *file, enum key_file_fault fault,
                       const char *detail)
{
    verdict_found(check->verdict, "%s", detail);
    return verdict_find(check->verdict, file, key_file_fault_text(fault), ADVICE_KEYS);
}

/* Where the list is gone, files that were on it give it away. */
static bool has_files(const struct key_check *check)
{
    DIR *directory = opendir(check->place->directory);
    bool has = false;
    if (directory == NULL) return false;
    for (const struct dirent *entry; !has && (entry = readdir(directory)) != NULL;) {
        const size_t length = strlen(entry->d_name);
        has = strncmp(entry->d_name, "keys-", 5) == 0 && length > 10 &&
              strcmp(entry->d_name + length - 5, ".weir") == 0;
    }
    (void)closedir(directory);
    return has;
}

static bool is_same_head(const struct key_file_head *left, const struct key_file_head *right)
{
    return left->serial == right->serial && left->made_ms == right->made_ms &&
           left->before == right->before && left->count == right->count &&
           left->position_first == right->position_first &&
           left->position_last == right->position_last &&
           left->until_last_ms == right->until_last_ms &&
           memcmp(left->records.byte, right->records.byte, KEY_FILE_HASH_BYTES) == 0;
}

static bool read_list(struct key_check *check)
{
    char detail[KEY_FILE_DETAIL_SIZE] = "";
    const enum key_file_fault fault =
        key_list_read(check->place->directory, &check->genesis, &check->list, detail);
    if (fault == KEY_FILE_OK) return true;
    if (fault == KEY_FILE_MISSING && !has_files(check)) return true;
    return find_fault(check, LIST_FILE, fault, detail);
}

/* A server may have dropped the file since its list was read. */
static bool is_dropped(const struct key_check *check, uint64_t serial)
{
    static struct key_list now;
    char detail[KEY_FILE_DETAIL_SIZE];
    if (check->place->access != JOURNAL_SERVED ||
        key_list_read(check->place->directory, &check->genesis, &now, detail) != KEY_FILE_OK)
        return false;
    for (uint32_t i = 0; i < now.count; ++i)
        if (now.files[i].serial == serial) return false;
    return true;
}

/* A server may have added batches, and the file, since the journal was read. */
static bool is_of_journal(const struct key_check *check, const struct key_file *file,
                          const char *name)
{
    char detail[KEY_FILE_DETAIL_SIZE];
    const bool is_served = check->place->access == JOURNAL_SERVED;
    switch (key_origin(file, check->walk->journal, is_served ? UINT64_MAX : check->walk->newest,
                       check->fact, detail)) {
    case KEY_ORIGIN_HERE:
        return true;
    case KEY_ORIGIN_AHEAD:
        verdict_found(check->verdict, "%s", detail);
        return verdict_find(check->verdict, name, "it is ahead of the journal", ADVICE_MOMENT);
    case KEY_ORIGIN_ELSEWHERE:
        break;
    }
    verdict_found(check->verdict, "%s", detail);
    return verdict_find(check->verdict, name, "it is of another life of the journal",
                        ADVICE_MOMENT);
}

static bool check_file(struct key_check *check, const struct key_file_head *listed)
{
    char detail[KEY_FILE_DETAIL_SIZE] = "";
    char name[KEY_FILE_NAME_SIZE];
    struct key_file file = {.fd = -1};
    key_file_name(listed->serial, name);
    const enum key_file_fault fault =
        key_file_open(check->place->directory, listed->serial, &check->genesis, &file, detail);
    if (fault != KEY_FILE_OK)
        return is_dropped(check, listed->serial) || find_fault(check, name, fault, detail);
    const bool is_same = is_same_head(&file.head, listed);
    const bool is_ours = is_of_journal(check, &file, name);
    key_file_close(&file);
    ++check->files;
    check->keys += listed->count;
    if (!is_same)
        return verdict_find(check->verdict, name, "it is not the file that " LIST_FILE " lists",
                            ADVICE_KEYS);
    return is_ours;
}

bool keyfiles_check_older(const struct place *place, const struct journal_hash *genesis,
                          uint64_t generation, const char *snapshot, struct proof_verdict *verdict)
{
    struct key_check *check = calloc(1, sizeof(*check));
    char detail[KEY_FILE_DETAIL_SIZE];
    ENSURE(check != NULL);
    memcpy(check->genesis.byte, genesis->byte, KEY_FILE_HASH_BYTES);
    const bool is_read =
        key_list_read(place->directory, &check->genesis, &check->list, detail) == KEY_FILE_OK;
    const uint64_t found = check->list.generation;
    free(check);
    if (!is_read || found >= generation) return true;
    verdict_expected(verdict, "list number %" PRIu64 " or a later one, of which %s knows",
                     generation, snapshot);
    verdict_found(verdict, "number %" PRIu64, found);
    return verdict_find(verdict, LIST_FILE, "it is an older list of key files", ADVICE_MOMENT);
}

bool keyfiles_check(const struct place *place, const struct walk *walk,
                    const struct journal_hash *genesis, const struct proof_parts *parts,
                    struct proof_verdict *verdict)
{
    struct key_check *check = calloc(1, sizeof(*check));
    ENSURE(check != NULL);
    *check = (struct key_check){
        .place = place, .walk = walk, .verdict = verdict, .fact = malloc(sizeof(*check->fact))};
    ENSURE(check->fact != NULL);
    memcpy(check->genesis.byte, genesis->byte, KEY_FILE_HASH_BYTES);
    bool is_good = read_list(check);
    for (uint32_t i = 0; is_good && i < check->list.count; ++i) {
        parts->progress(parts->self, "key files", i, check->list.count);
        is_good = check_file(check, &check->list.files[i]);
    }
    verdict_count(verdict, "keys", "files", check->files);
    verdict_count(verdict, "keys", "keys in them", check->keys);
    free(check->fact);
    free(check);
    return is_good;
}
