#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *file_fault_text(enum file_fault fault)
{
    switch (fault) {
#define X(name, text) \
    case name:        \
        return text;
        FILE_FAULT_TABLE(X)
#undef X
    }
    assertion_failed("a fault of the table", __FILE__, __LINE__);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}
#define CLOSED_AT_END __attribute__((cleanup(close_fd)))

__attribute__((format(printf, 3, 4))) static enum file_fault
refuse(enum file_fault fault, struct file_detail *detail_out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail_out->text, sizeof detail_out->text, format, arguments);
    va_end(arguments);
    return fault;
}

bool file_path(const char *directory, const char *name, char path_out[FILE_PATH_SIZE])
{
    const int length = snprintf(path_out, FILE_PATH_SIZE, "%s/%s", directory, name);
    return length > 0 && length < FILE_PATH_SIZE;
}

bool file_is_there(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 || errno != ENOENT;
}

bool file_is_private(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

bool file_is_empty(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0;
}

bool file_sync(int fd)
{
    return fsync(fd) == 0;
}

bool file_sync_path(const char *path)
{
    CLOSED_AT_END int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && file_sync(fd);
}

bool file_make_empty(const char *path)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
    for (size_t at = 0; at < COUNT_OF(SUFFIXES); at++) {
        char left[FILE_PATH_SIZE + 16];
        (void)snprintf(left, sizeof left, "%s%s", path, SUFFIXES[at]);
        if (unlink(left) != 0 && errno != ENOENT) return false;
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 && close(fd) == 0;
}

bool file_sync_directory(const char *path)
{
    CLOSED_AT_END int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && file_sync(fd);
}

/* "a/b" -> "a", "/a" -> "/", "a" -> ".", slashes at the end ignored. False: does not fit. */
static bool parent_of(const char *path, char parent_out[FILE_PATH_SIZE])
{
    size_t length = strlen(path);
    if (length >= FILE_PATH_SIZE) return false;
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0) {
        memcpy(parent_out, ".", 2);
    } else {
        memcpy(parent_out, path, length);
        parent_out[length] = '\0';
    }
    return true;
}

enum file_fault file_directory_make(const char *path, struct file_detail *detail_out)
{
    char parent[FILE_PATH_SIZE];
    if (!parent_of(path, parent))
        return refuse(FILE_NO_DIRECTORY, detail_out, "the path of the directory is too long");

    if (mkdir(path, 0700) == 0) {
        if (file_sync_directory(parent)) return FILE_OK;
        return refuse(FILE_UNWRITABLE, detail_out, "%s: cannot be made durable: %s", parent,
                      strerror(errno));
    }
    if (errno == ENOENT)
        return refuse(FILE_NO_DIRECTORY, detail_out,
                      "%s: cannot be made because %s does not exist: make that first", path,
                      parent);
    if (errno != EEXIST)
        return refuse(FILE_NO_DIRECTORY, detail_out, "%s: cannot be made: %s", path,
                      strerror(errno));

    struct stat status;
    if (stat(path, &status) != 0)
        return refuse(FILE_NO_DIRECTORY, detail_out, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return refuse(FILE_NO_DIRECTORY, detail_out, "%s: is not a directory", path);
    return FILE_OK;
}

/* What the holder of a lock wrote into it; 0: nothing yet. */
static long holder_of(int fd)
{
    char text[32] = {0};
    if (pread(fd, text, sizeof text - 1, 0) <= 0) return 0;
    return strtol(text, NULL, 10);
}

/* Locks are empty or hold a number and a newline; anything else is somebody's file. */
static bool is_our_lock(int fd)
{
    char text[32] = {0};
    const ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length <= 0) return length == 0;
    const size_t digits = strspn(text, "0123456789");
    return digits > 0 && (size_t)length == digits + 1 && text[digits] == '\n';
}

enum file_fault file_lock(const char *directory, struct file_lock *lock_out,
                          struct file_detail *detail_out)
{
    char path[FILE_PATH_SIZE];
    if (!file_path(directory, "lock", path))
        return refuse(FILE_NO_DIRECTORY, detail_out, "the path of the directory is too long");

    CLOSED_AT_END int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(FILE_NO_DIRECTORY, detail_out, "%s: cannot be opened: %s", path,
                      strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return refuse(FILE_NO_DIRECTORY, detail_out, "%s: cannot be locked: %s", path,
                          strerror(errno));
        const long holder = holder_of(fd);
        if (holder <= 0)
            return refuse(FILE_LOCKED, detail_out, "%s: in use by another process", directory);
        return refuse(FILE_LOCKED, detail_out,
                      "%s: in use by process %ld: stop that one first, or choose another directory",
                      directory, holder);
    }

    if (!is_our_lock(fd))
        return refuse(FILE_NO_DIRECTORY, detail_out,
                      "%s: is not Weir's: move it away, or choose another directory", path);

    /* Only a help for people: the lock is the kernel's, and a number left behind means nothing. */
    char text[32];
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return refuse(FILE_UNWRITABLE, detail_out, "%s: cannot be written: %s", path,
                      strerror(errno));
    lock_out->fd = fd;
    fd = -1; /* read by its cleanup: NOLINT(clang-analyzer-deadcode.DeadStores) */
    return FILE_OK;
}

void file_unlock(struct file_lock *lock)
{
    close_fd(&lock->fd);
}

/* As much as there is, up to `size`; -1 with errno on failure. */
static ssize_t read_whole(int fd, uint8_t *at, size_t size)
{
    size_t used = 0;
    while (used < size) {
        const ssize_t got = read(fd, at + used, size - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

enum file_fault file_read(const char *path, void *block, size_t block_size, struct bytes *bytes_out,
                          struct file_detail *detail_out)
{
    CLOSED_AT_END int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse(errno == ENOENT ? FILE_MISSING : FILE_UNREADABLE, detail_out,
                      "%s: cannot be opened: %s", path, strerror(errno));

    const ssize_t length = read_whole(fd, block, block_size);
    uint8_t beyond;
    const ssize_t more = length < 0 ? -1 : read_whole(fd, &beyond, 1);
    if (more < 0)
        return refuse(FILE_UNREADABLE, detail_out, "%s: cannot be read: %s", path, strerror(errno));
    if (more > 0)
        return refuse(FILE_TOO_LONG, detail_out, "%s: is longer than %zu bytes", path, block_size);
    *bytes_out = (struct bytes){.at = block, .length = (size_t)length};
    return FILE_OK;
}

static bool write_whole(int fd, struct bytes bytes)
{
    while (bytes.length > 0) {
        const ssize_t put = write(fd, bytes.at, bytes.length);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes.at += put;
        bytes.length -= (size_t)put;
    }
    return true;
}

static bool write_new(const char *path, struct bytes bytes)
{
    CLOSED_AT_END int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd >= 0 && write_whole(fd, bytes) && file_sync(fd);
}

enum file_fault file_replace(const char *path, struct bytes bytes, struct file_detail *detail_out)
{
    char parent[FILE_PATH_SIZE];
    char beside[FILE_PATH_SIZE];
    const int length = snprintf(beside, sizeof beside, "%s.new", path);
    if (!parent_of(path, parent) || length < 0 || length >= FILE_PATH_SIZE)
        return refuse(FILE_UNWRITABLE, detail_out, "the path of the file is too long");

    if (!write_new(beside, bytes) || rename(beside, path) != 0) {
        const int reason = errno;
        (void)unlink(beside);
        return refuse(FILE_UNWRITABLE, detail_out, "%s: cannot be written: %s", path,
                      strerror(reason));
    }
    if (!file_sync_directory(parent))
        return refuse(FILE_UNWRITABLE, detail_out, "%s: cannot be made durable: %s", path,
                      strerror(errno));
    return FILE_OK;
}
