/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on modes, owners, times and the flags of chattr(1). */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/posix/diff.h"

/* See diff_setgid_file(). */
static mode_t setgid_mode(mode_t mode, int at, const char *path)
{
    struct stat st;
    bool directory = fstatat(at, path, &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode);
    return (mode & S_ISGID) != 0 && !directory ? mode | S_IXGRP : mode;
}

static void call_chmod(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const mode_t modes[] = {0755, 0777,  0700,  01777, 02775, 0000,
                                   0644, 07777, 04755, 02755, 06711, 0666};
    mode_t mode = diff_one_in(op, 3) ? (mode_t)diff_pick(op, 010000) : modes[diff_pick(op, 12)];
    if (diff_one_in(op, 3)) {
        mode = setgid_mode(mode, actor_fd(actor, op->slot1), "");
        text_add(out, " fchmod %04o", mode);
        text_result(out, fchmod(actor_fd(actor, op->slot1), mode));
    } else {
        mode = setgid_mode(mode, actor_at(actor, op->at1), op->path1);
        text_add(out, " chmod ");
        text_name(out, op->path1);
        text_add(out, " %04o", mode);
        text_result(out, fchmodat(actor_at(actor, op->at1), op->path1, mode, 0));
    }
}

static void call_chown(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {{"0", 0}, {"NOFOLLOW", AT_SYMLINK_NOFOLLOW}};
    uid_t uid = diff_one_in(op, 2) ? (uid_t)-1 : diff_id(op);
    gid_t gid = diff_one_in(op, 2) ? (gid_t)-1 : diff_id(op);
    if (diff_one_in(op, 3)) {
        text_add(out, " fchown %d %d", (int)uid, (int)gid);
        text_result(out, fchown(actor_fd(actor, op->slot1), uid, gid));
    } else {
        text_add(out, " chown ");
        text_name(out, op->path1);
        text_add(out, " %d %d", (int)uid, (int)gid);
        int flag = DIFF_WORD(op, out, flags);
        text_result(out, fchownat(actor_at(actor, op->at1), op->path1, uid, gid, flag));
    }
}

static void pick_time(struct diff_op *op, struct text *out, struct timespec *ret_time)
{
    static const struct timespec times[] = {{0, 0},          {0, UTIME_NOW},    {0, UTIME_NOW},
                                            {0, UTIME_OMIT}, {0, UTIME_OMIT},   {1, 999999999},
                                            {-100000, 5},    {1000000000, 123}, {1L << 31, 1},
                                            {1L << 33, 2},   {0, 1000000000},   {-1, 999999999}};
    *ret_time = times[diff_pick(op, sizeof times / sizeof times[0])];
    text_add(out, " %ld.%ld", ret_time->tv_sec, ret_time->tv_nsec);
}

static void call_utimens(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {{"0", 0}, {"NOFOLLOW", AT_SYMLINK_NOFOLLOW}};
    struct timespec times[2];
    bool both_now = diff_one_in(op, 5);
    text_add(out, " utimens");
    pick_time(op, out, &times[0]);
    pick_time(op, out, &times[1]);
    if (diff_one_in(op, 3)) {
        text_add(out, " fd");
        text_result(out, futimens(actor_fd(actor, op->slot1), both_now ? NULL : times));
    } else {
        text_add(out, both_now ? " now " : " ");
        text_name(out, op->path1);
        int flag = DIFF_WORD(op, out, flags);
        text_result(out,
                    utimensat(actor_at(actor, op->at1), op->path1, both_now ? NULL : times, flag));
    }
}

static void chattr(struct actor *actor, struct diff_op *op, struct text *out, unsigned wanted)
{
    const unsigned ours = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;
    unsigned flags = 0;
    bool afresh = diff_one_in(op, 2);
    struct stat st;
    if (afresh) {
        text_name(out, op->path1);
    }
    int fd = afresh ? openat(actor_at(actor, op->at1), op->path1, O_RDONLY | O_NONBLOCK)
                    : actor_data_fd(actor, op->slot1);
    /* Unlike ext4, a mount also guards what is append-only against descriptors opened before. */
    wanted &= fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? wanted : ~(unsigned)FS_APPEND_FL;
    int r = ioctl(fd, FS_IOC_GETFLAGS, &flags);
    text_result(out, r);
    if (r == 0) {
        text_add(out, " from %#x", flags & ours);
        flags = (flags & ~ours) | wanted;
        text_result(out, ioctl(fd, FS_IOC_SETFLAGS, &flags));
    }
    if (afresh && fd >= 0) {
        close(fd);
    }
}

static void call_chattr(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word sets[] = {{"none", 0},
                                            {"none", 0},
                                            {"nodump", FS_NODUMP_FL},
                                            {"noatime", FS_NOATIME_FL},
                                            {"nodump|noatime", FS_NODUMP_FL | FS_NOATIME_FL}};
    text_add(out, " chattr");
    chattr(actor, op, out, (unsigned)DIFF_WORD(op, out, sets));
}

/* Seldom: nothing happens to what is immutable. */
static void call_chattr_forbid(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word sets[] = {
        {"immutable", FS_IMMUTABLE_FL},
        {"append", FS_APPEND_FL},
        {"immutable|append|nodump", FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL}};
    text_add(out, " chattr");
    chattr(actor, op, out, (unsigned)DIFF_WORD(op, out, sets));
}

const struct diff_call diff_calls_attrs[] = {
    {"chmod", 45, USES_PATH1 | USES_SLOT1, call_chmod},
    {"chown", 35, USES_PATH1 | USES_SLOT1, call_chown},
    {"utimens", 30, USES_PATH1 | USES_SLOT1, call_utimens},
    {"chattr", 12, USES_PATH1 | USES_SLOT1, call_chattr},
    {"chattr_forbid", 3, USES_PATH1 | USES_SLOT1, call_chattr_forbid},
    {0},
};
