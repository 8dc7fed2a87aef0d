/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/posix/look.h"

#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PART = 64 * 1024, XATTR_MAX = 64 * 1024 };

/* FNV-1a, as a sum to compare. */
static uint64_t add(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ at[i]) * 1099511628211U;
    }
    return sum;
}

static int sum_contents(const char *path, off_t size, uint64_t *ret_sum)
{
    static char bytes[PART];
    const off_t offsets[] = {0, size > PART ? size - PART : 0};
    int r = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        ssize_t read = pread(fd, bytes, sizeof bytes, offsets[i]);
        r |= read < 0;
        *ret_sum = add(*ret_sum, bytes, read > 0 ? (size_t)read : 0);
    }
    close(fd);
    return r;
}

/* Their names come in no order, so the sums are added up. */
static int sum_attributes(const char *path, uint64_t *ret_sum)
{
    static char names[XATTR_MAX];
    static char value[XATTR_MAX];
    ssize_t size = llistxattr(path, names, sizeof names);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        ssize_t length = lgetxattr(path, names + at, value, sizeof value);
        if (length < 0) {
            return 1;
        }
        *ret_sum += add(add(1, names + at, strlen(names + at)), value, (size_t)length);
    }
    return size < 0 ? 1 : 0;
}

static int print_one(const char *path)
{
    struct statx st;
    char target[4096];
    uint64_t sum = 1;
    int r = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) != 0;
    if (r == 0 && S_ISREG(st.stx_mode)) {
        r = sum_contents(path, (off_t)st.stx_size, &sum);
    } else if (r == 0 && S_ISLNK(st.stx_mode)) {
        ssize_t size = readlink(path, target, sizeof target);
        r = size < 0;
        sum = add(sum, target, size > 0 ? (size_t)size : 0);
    }
    if (r == 0) {
        r = sum_attributes(path, &sum);
    }
    if (r != 0) {
        perror(path);
        return 1;
    }
    printf("%s %llu %o %u %u:%u %llu %u:%u %lld.%09u %lld.%09u %lld.%09u %016llx\n", path,
           (unsigned long long)st.stx_ino, st.stx_mode, st.stx_nlink, st.stx_uid, st.stx_gid,
           (unsigned long long)st.stx_size, st.stx_rdev_major, st.stx_rdev_minor,
           (long long)st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec, (long long)st.stx_ctime.tv_sec,
           st.stx_ctime.tv_nsec, (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec,
           (unsigned long long)sum);
    return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

int look_print(const char *directory)
{
    char top[] = ".";
    char *const tops[] = {top, NULL};
    int r = chdir(directory) != 0;
    FTS *tree = r == 0 ? fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    if (tree == NULL) {
        perror(directory);
        return 1;
    }
    for (const FTSENT *entry = fts_read(tree); entry != NULL; entry = fts_read(tree)) {
        if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR) {
            fprintf(stderr, "%s: %s\n", entry->fts_path, strerror(entry->fts_errno));
            r = 1;
        } else if (entry->fts_info != FTS_DP) {
            /* A path may be longer than a call takes; then its directory has been looked at. */
            r |= entry->fts_pathlen < 4000 ? print_one(entry->fts_path) : 0;
        }
    }
    fts_close(tree);
    return r;
}
