/* SPDX-License-Identifier: Apache-2.0 */
/* Everything below a directory as a text, one line for each name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kvcore/util/checksum.h"
#include "tests/posix/diff.h"

enum { VALUE_SIZE_MAX = 65536, NAMES_MAX = 1000, DEPTH_MAX = 64 };

/* Files with several links are numbered in the order in which they are met. */
struct walk {
    struct text *out;
    ino_t links[NAMES_MAX];
    size_t link_count;
    char path[PAGE * DEPTH_MAX];
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe_xattrs(struct walk *walk, int fd)
{
    static char list[VALUE_SIZE_MAX];
    static uint8_t value[VALUE_SIZE_MAX];
    char *names[NAMES_MAX];
    char place[64];
    size_t count = 0;
    snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
    ssize_t size = listxattr(place, list, sizeof list);
    for (char *at = list; size > 0 && at < list + size && count < NAMES_MAX; at += strlen(at) + 1) {
        names[count++] = at;
    }
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        ssize_t n = getxattr(place, names[i], value, sizeof value);
        text_add(walk->out, " ");
        text_name(walk->out, names[i]);
        text_result(walk->out, n);
        text_add(walk->out, ":%016lx", hash_bytes(kv_slice(value, n > 0 ? (size_t)n : 0), 0));
    }
}

static void describe_content(struct walk *walk, int at, const char *name)
{
    static uint8_t bytes[1 << 18];
    uint64_t hash = 0;
    ssize_t n;
    unsigned flags = 0;
    const unsigned ours = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        hash = hash_bytes(kv_slice(bytes, (size_t)n), hash);
    }
    text_add(walk->out, " content");
    text_result(walk->out, n);
    text_add(walk->out, ":%016lx flags", hash);
    text_result(walk->out, ioctl(fd, FS_IOC_GETFLAGS, &flags));
    text_add(walk->out, ":%#x", flags & ours);
    if (fd >= 0) {
        close(fd);
    }
}

static void describe_links(struct walk *walk, const struct stat *st)
{
    size_t i = 0;
    while (i < walk->link_count && walk->links[i] != st->st_ino) {
        i++;
    }
    if (i == walk->link_count && i < NAMES_MAX) {
        walk->links[walk->link_count++] = st->st_ino;
    }
    text_add(walk->out, " file %zu", i);
}

static void describe_target(struct walk *walk, int fd)
{
    char target[DIFF_PATH_MAX + 1];
    ssize_t n = readlinkat(fd, "", target, DIFF_PATH_MAX);
    target[n > 0 ? n : 0] = '\0';
    text_add(walk->out, " to ");
    text_name(walk->out, target);
}

static void describe_one(struct walk *walk, int at, const char *name, struct stat *ret_st)
{
    int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    memset(ret_st, 0, sizeof *ret_st);
    text_name(walk->out, walk->path);
    text_add(walk->out, " ");
    if (fd < 0 || fstat(fd, ret_st) != 0) {
        text_result(walk->out, -1);
    } else {
        stat_describe(ret_st, walk->out);
        if (!S_ISDIR(ret_st->st_mode) && ret_st->st_nlink > 1) {
            describe_links(walk, ret_st);
        }
        if (S_ISLNK(ret_st->st_mode)) {
            describe_target(walk, fd);
        } else {
            describe_xattrs(walk, fd);
        }
        if (S_ISREG(ret_st->st_mode) || S_ISDIR(ret_st->st_mode)) {
            describe_content(walk, at, name);
        }
    }
    text_add(walk->out, "\n");
    if (fd >= 0) {
        close(fd);
    }
}

/* The names of the directory, sorted; they and the list are the caller's. */
static size_t names_of(int fd, char **ret_names)
{
    DIR *dir = fdopendir(dup(fd));
    size_t count = 0;
    if (dir == NULL) {
        diff_die("cannot list a directory");
    }
    for (struct dirent *entry; count < NAMES_MAX && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            ret_names[count++] = strdup(entry->d_name);
        }
    }
    closedir(dir);
    qsort(ret_names, count, sizeof ret_names[0], compare_names);
    return count;
}

static void describe_directory(struct walk *walk, int at, const char *name)
{
    char *names[NAMES_MAX];
    size_t length = strlen(walk->path);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        text_add(walk->out, "cannot be opened");
        text_result(walk->out, -1);
        return;
    }
    size_t count = names_of(fd, names);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        snprintf(walk->path + length, sizeof walk->path - length, "/%s", names[i]);
        describe_one(walk, fd, names[i], &st);
        if (S_ISDIR(st.st_mode)) {
            describe_directory(walk, fd, names[i]);
        }
        walk->path[length] = '\0';
        free(names[i]);
    }
    close(fd);
}

void tree_describe(const char *directory, struct text *out)
{
    struct walk *walk = calloc(1, sizeof *walk);
    struct stat st;
    if (walk == NULL) {
        diff_die("no memory");
    }
    walk->out = out;
    describe_one(walk, AT_FDCWD, directory, &st);
    describe_directory(walk, AT_FDCWD, directory);
    free(walk);
}

/* Whatever chattr(1) forbids. */
static void allow(int fd)
{
    unsigned flags = 0;
    const unsigned forbidding = FS_IMMUTABLE_FL | FS_APPEND_FL;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & forbidding) != 0) {
        flags &= ~forbidding;
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
}

static void remove_below(int at, const char *name)
{
    char *names[NAMES_MAX];
    int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0) {
        return;
    }
    allow(fd);
    size_t count = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? names_of(fd, names) : 0;
    for (size_t i = 0; i < count; i++) {
        remove_below(fd, names[i]);
        if (unlinkat(fd, names[i], 0) != 0 && unlinkat(fd, names[i], AT_REMOVEDIR) != 0) {
            diff_die("cannot take a file away");
        }
        free(names[i]);
    }
    close(fd);
}

void tree_remove(const char *directory)
{
    remove_below(AT_FDCWD, directory);
    if (rmdir(directory) != 0) {
        diff_die(directory);
    }
}
