/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of its own for a test, in TMPDIR or /tmp. */
#ifndef TESTS_LIB_TEMP_DIR_H
#define TESTS_LIB_TEMP_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/check_main.h"

struct temp_dir {
    char path[256];
};

static inline void temp_dir_make(struct temp_dir *dir)
{
    const char *base = getenv("TMPDIR");
    snprintf(dir->path, sizeof dir->path, "%s/kvfs-test-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_msg(mkdtemp(dir->path) != NULL, "cannot make a directory like %s", dir->path);
}

static inline int temp_dir_remove_name(const char *path, const struct stat *st, int type,
                                       struct FTW *ftw)
{
    return remove(path);
}

static inline void temp_dir_remove(const struct temp_dir *dir)
{
    ck_assert_int_eq(nftw(dir->path, temp_dir_remove_name, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The path of `name` in the directory, into `to`, which is returned. */
static inline const char *temp_dir_name(const struct temp_dir *dir, const char *name, char to[512])
{
    snprintf(to, 512, "%s/%s", dir->path, name);
    return to;
}

#endif
