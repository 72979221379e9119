/*
 * testing.h: scratch directories for tests of what lies on disks. Not part of the library.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing.h"

#define SCRATCH_PATH_SIZE 256
struct scratch {
    char path[SCRATCH_PATH_SIZE];
};

static inline struct scratch scratch_make(void)
{
    struct scratch scratch;
    const char *parent = getenv("TMPDIR");
    (void)snprintf(scratch.path, sizeof scratch.path, "%s/weir-XXXXXX",
                   parent != NULL ? parent : P_tmpdir);
    assert_non_null(mkdtemp(scratch.path));
    return scratch;
}

/* With the files in it; tests make no deeper trees but empty directories. */
static inline void scratch_remove(struct scratch *scratch)
{
    DIR *directory = opendir(scratch->path);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[SCRATCH_PATH_SIZE + sizeof entry->d_name];
        (void)snprintf(path, sizeof path, "%s/%s", scratch->path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            assert_int_equal(0, remove(path));
    }
    assert_int_equal(0, closedir(directory));
    assert_int_equal(0, rmdir(scratch->path));
}
