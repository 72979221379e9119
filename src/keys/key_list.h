/*
 * key_list.h: which key files there are: `<directory>/keys.weir`, replaced whole whenever one comes
 * or goes. What is on the list must be there and be that file, to its hash; what is not on it does
 * not count. Its generation rises with each replacement, so that whoever noted it (a snapshot) can
 * tell an older list.
 *
 *     magic "weirkeyl" | version 8 | genesis hash 32 | generation 8 | next serial 8 | count 8 |
 *     per file: serial 8, made_ms 8, before 8, count 8, position_first 8, position_last 8,
 *     until_last_ms 8, SHA-256 of its records 32 | SHA-256 of all that 32
 */
#pragma once

#include "keys/key_file.h"

#define KEY_FILES_MAX 256u

struct key_list {
    uint64_t generation; /* 0: never written */
    uint64_t serial_next;
    uint32_t count;
    struct key_file_head files[KEY_FILES_MAX]; /* in the order of serials */
};

/* KEY_FILE_MISSING leaves an empty list. */
MUST_USE enum key_file_fault key_list_read(const char *directory,
                                           const struct key_file_hash *genesis,
                                           struct key_list *list_out,
                                           char detail_out[KEY_FILE_DETAIL_SIZE]);
/* Durable on return; the generation is raised by one first. */
MUST_USE enum key_file_fault key_list_write(const char *directory,
                                            const struct key_file_hash *genesis,
                                            struct key_list *list,
                                            char detail_out[KEY_FILE_DETAIL_SIZE]);
void key_list_add(struct key_list *list, const struct key_file_head *head); /* asserts room */
void key_list_remove(struct key_list *list, uint64_t serial);
