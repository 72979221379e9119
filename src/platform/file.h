/*
 * file.h: the few things Weir does with files itself: a data directory that one server owns, files
 * read whole under a ceiling, files replaced whole or not at all.
 *
 * A fault comes with a line for people that names the path and what to do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

#define FILE_FAULT_TABLE(X)                               \
    X(FILE_OK, "no fault")                                \
    X(FILE_MISSING, "there is no such file")              \
    X(FILE_UNREADABLE, "the file cannot be read")         \
    X(FILE_TOO_LONG, "the file is longer than it may be") \
    X(FILE_UNWRITABLE, "the file cannot be written")      \
    X(FILE_NO_DIRECTORY, "the directory cannot be used")  \
    X(FILE_LOCKED, "another process uses the directory")
enum file_fault {
#define X(name, text) name,
    FILE_FAULT_TABLE(X)
#undef X
};
const char *file_fault_text(enum file_fault fault);

#define FILE_PATH_SIZE 4096
#define FILE_DETAIL_SIZE 512
struct file_detail {
    char text[FILE_DETAIL_SIZE];
};

/* Makes the directory (mode 0700) unless it is there; its parent must be. Durable on return. */
MUST_USE enum file_fault file_directory_make(const char *path, struct file_detail *detail_out);

/* One server a directory: held until given back or the process is gone, however it goes. */
struct file_lock {
    int fd; /* -1: not held */
};
#define FILE_LOCK_NONE ((struct file_lock){.fd = -1})

/* Takes `<directory>/lock`. FILE_LOCKED names the holder's process id in the detail. A file of that
 * name that no lock was in stays as it is: FILE_NO_DIRECTORY. */
MUST_USE enum file_fault file_lock(const char *directory, struct file_lock *lock_out,
                                   struct file_detail *detail_out);
void file_unlock(struct file_lock *lock); /* of one not held: nothing */

/* Reads the whole file into the block; FILE_TOO_LONG when it does not fit. */
MUST_USE enum file_fault file_read(const char *path, void *block, size_t block_size,
                                   struct bytes *bytes_out, struct file_detail *detail_out);

/* After a crash the path holds all of the old content or all of the new (mode 0600). */
MUST_USE enum file_fault file_replace(const char *path, struct bytes bytes,
                                      struct file_detail *detail_out);

/* Something of that name is there, or cannot be looked at. */
MUST_USE bool file_is_there(const char *path);
/* An ordinary file that nobody but its owner (and root) can read or write. */
MUST_USE bool file_is_private(const char *path);
/* It is there and has no bytes. */
MUST_USE bool file_is_empty(const char *path);

/* False: what was written may not be there after a power loss, and trying again proves nothing. */
MUST_USE bool file_sync(int fd);
MUST_USE bool file_sync_directory(const char *path);
MUST_USE bool file_sync_path(const char *path);

/* Founds an empty database file (mode 0600); what a former try left of it and of its logs goes. */
MUST_USE bool file_make_empty(const char *path);

/* "<directory>/<name>"; false when it does not fit. */
MUST_USE bool file_path(const char *directory, const char *name, char path_out[FILE_PATH_SIZE]);
