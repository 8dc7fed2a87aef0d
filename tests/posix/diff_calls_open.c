/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that open, close, list and place descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/posix/diff.h"

enum { NAMES_MAX = 512, LISTING_SIZE = 128 * 1024 };

static int pick_flags(struct diff_op *op, struct text *out)
{
    static const struct diff_word access[] = {
        {"RDONLY", O_RDONLY}, {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR}, {"RDWR", O_RDWR},
        {"RDWR", O_RDWR},     {"RDONLY", O_RDONLY}, {"PATH", O_PATH},
    };
    static const struct {
        struct diff_word word;
        unsigned one_in;
    } more[] = {
        {{"CREAT", O_CREAT}, 2},        {{"EXCL", O_EXCL}, 8},
        {{"TRUNC", O_TRUNC}, 6},        {{"APPEND", O_APPEND}, 8},
        {{"NOFOLLOW", O_NOFOLLOW}, 10}, {{"DIRECTORY", O_DIRECTORY}, 20},
        {{"SYNC", O_SYNC}, 30},         {{"DSYNC", O_DSYNC}, 30},
        {{"NOATIME", O_NOATIME}, 20},   {{"DIRECT", O_DIRECT}, 20},
    };
    int flags = DIFF_WORD(op, out, access) | O_NONBLOCK | O_CLOEXEC;
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        if (diff_one_in(op, more[i].one_in)) {
            flags |= more[i].word.value;
            text_add(out, "|%s", more[i].word.name);
        }
    }
    /* ext4 wants the end of the file aligned then, other file systems do not care. */
    return (flags & O_DIRECT) != 0 ? flags & ~O_APPEND : flags;
}

/* Without its write-back cache Linux asks no FUSE file system at open(2): what chattr(1) forbids is
 * refused at the change. Answered here as ext4 does, or the steps that follow would not compare. */
static int refuse_forbidden(int fd, int flags)
{
    unsigned forbids = 0;
    bool writes = (flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0;
    bool appends = (flags & O_APPEND) != 0;
    if (fd < 0 || !writes || ioctl(fd, FS_IOC_GETFLAGS, &forbids) != 0 ||
        ((forbids & FS_IMMUTABLE_FL) == 0 && ((forbids & FS_APPEND_FL) == 0 || appends))) {
        return fd;
    }
    close(fd);
    errno = EPERM;
    return -1;
}

static void call_open(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const mode_t modes[] = {0644, 0666, 0600, 0777, 0000, 04755, 04777, 0640};
    mode_t mode = modes[diff_pick(op, 8)];
    text_add(out, " open ");
    text_name(out, op->path1);
    int flags = pick_flags(op, out);
    text_add(out, " %04o to %u", mode, op->slot1);
    int fd = refuse_forbidden(openat(actor_at(actor, op->at1), op->path1, flags, mode), flags);
    actor_keep(actor, op->slot1, fd);
    text_result(out, fd >= 0 ? 0 : -1);
}

static void call_tmpfile(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {
        {"RDWR", O_RDWR}, {"WRONLY", O_WRONLY}, {"RDWR|EXCL", O_RDWR | O_EXCL}, {"RDONLY", 0}};
    text_add(out, " open TMPFILE ");
    text_name(out, op->path1);
    int flag = DIFF_WORD(op, out, flags);
    int fd = openat(actor_at(actor, op->at1), op->path1, O_TMPFILE | O_CLOEXEC | flag, 0666);
    actor_keep(actor, op->slot1, fd);
    text_result(out, fd >= 0 ? 0 : -1);
}

static void call_close(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " close %u", op->slot1);
    actor_close(actor, op->slot1);
}

static void call_dup(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " dup %u to %u", op->slot1, op->slot2);
    int fd = fcntl(actor_fd(actor, op->slot1), F_DUPFD_CLOEXEC, 0);
    actor_keep(actor, op->slot2, fd);
    text_result(out, fd >= 0 ? 0 : -1);
}

static void call_set_flags(struct actor *actor, struct diff_op *op, struct text *out)
{
    struct stat st;
    int fd = actor_fd(actor, op->slot1);
    int flags = fcntl(fd, F_GETFL);
    /* Of an append-only directory Linux refuses it, on ext4 only. */
    if (flags < 0 || (flags & O_DIRECT) != 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        return;
    }
    flags ^= diff_one_in(op, 2) ? O_APPEND : O_NOATIME;
    text_add(out, " fcntl SETFL %#x", (unsigned)flags);
    text_result(out, fcntl(fd, F_SETFL, flags));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct entry64 {
    uint64_t ino;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* The type of each is put before its name, so that it is sorted with it. */
static size_t gather(char *listing, long size, char **names, size_t count)
{
    for (long at = 0; at < size && count < NAMES_MAX;) {
        struct entry64 *entry = (struct entry64 *)(void *)(listing + at);
        at += entry->size;
        if (asprintf(&names[count], "%s:%u", entry->name, entry->type) > 0) {
            count++;
        }
    }
    return count;
}

static void list(int fd, size_t room, char *listing, struct text *out)
{
    char *names[NAMES_MAX];
    size_t count = 0;
    long r = lseek(fd, 0, SEEK_SET);
    while (r >= 0 && (r = syscall(SYS_getdents64, fd, listing, room)) > 0) {
        count = gather(listing, r, names, count);
    }
    text_result(out, r);
    lseek(fd, 0, SEEK_SET);
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        text_add(out, " ");
        text_name(out, names[i]);
        free(names[i]);
    }
}

/* Through a descriptor that has been there for a while, or afresh. */
static void call_list(struct actor *actor, struct diff_op *op, struct text *out)
{
    char *listing = malloc(LISTING_SIZE);
    size_t room = diff_one_in(op, 2) ? LISTING_SIZE : 600;
    bool afresh = diff_one_in(op, 2);
    text_add(out, " list");
    if (afresh) {
        text_name(out, op->path1);
    }
    int fd = afresh ? openat(actor_at(actor, op->at1), op->path1, O_RDONLY | O_DIRECTORY)
                    : actor_fd(actor, op->slot1);
    if (afresh && fd < 0) {
        text_result(out, -1);
    } else {
        list(fd, room, listing, out);
    }
    if (afresh && fd >= 0) {
        close(fd);
    }
    free(listing);
}

const struct diff_call diff_calls_open[] = {
    {"open", 160, USES_PATH1 | USES_SLOT1, call_open},
    {"tmpfile", 12, USES_PATH1 | USES_SLOT1, call_tmpfile},
    {"close", 40, 0, call_close},
    {"dup", 8, USES_SLOT1, call_dup},
    {"set_flags", 6, USES_SLOT1, call_set_flags},
    {"list", 25, USES_PATH1, call_list},
    {0},
};
