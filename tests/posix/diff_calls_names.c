/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on names: directories, links, renaming, special files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/posix/diff.h"

static void add_paths(struct diff_op *op, struct text *out, const char *call, int count)
{
    text_add(out, " %s ", call);
    text_name(out, op->path1);
    if (count > 1) {
        text_add(out, " ");
        text_name(out, op->path2);
    }
}

static mode_t pick_mode(struct diff_op *op, struct text *out)
{
    static const mode_t modes[] = {0755, 0777, 0700, 01777, 02775, 0000, 0644, 07777};
    mode_t mode = modes[diff_pick(op, sizeof modes / sizeof modes[0])];
    text_add(out, " %04o", mode);
    return mode;
}

static void call_mkdir(struct actor *actor, struct diff_op *op, struct text *out)
{
    add_paths(op, out, "mkdir", 1);
    mode_t mode = pick_mode(op, out);
    text_result(out, mkdirat(actor_at(actor, op->at1), op->path1, mode));
}

static void call_rmdir(struct actor *actor, struct diff_op *op, struct text *out)
{
    add_paths(op, out, "rmdir", 1);
    text_result(out, unlinkat(actor_at(actor, op->at1), op->path1, AT_REMOVEDIR));
}

static void call_unlink(struct actor *actor, struct diff_op *op, struct text *out)
{
    add_paths(op, out, "unlink", 1);
    text_result(out, unlinkat(actor_at(actor, op->at1), op->path1, 0));
}

static void call_rename(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {
        {"0", 0},
        {"0", 0},
        {"0", 0},
        {"NOREPLACE", RENAME_NOREPLACE},
        {"EXCHANGE", RENAME_EXCHANGE},
        {"EXCHANGE", RENAME_EXCHANGE},
        {"NOREPLACE|EXCHANGE", RENAME_NOREPLACE | RENAME_EXCHANGE},
    };
    add_paths(op, out, "rename", 2);
    int flag = DIFF_WORD(op, out, flags);
    text_result(out, renameat2(actor_at(actor, op->at1), op->path1, actor_at(actor, op->at2),
                               op->path2, (unsigned)flag));
}

static void call_link(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {{"0", 0}, {"FOLLOW", AT_SYMLINK_FOLLOW}};
    add_paths(op, out, "link", 2);
    int flag = DIFF_WORD(op, out, flags);
    text_result(out, linkat(actor_at(actor, op->at1), op->path1, actor_at(actor, op->at2),
                            op->path2, flag));
}

static void call_link_fd(struct actor *actor, struct diff_op *op, struct text *out)
{
    text_add(out, " linkat fd ");
    text_name(out, op->path1);
    text_result(out, linkat(actor_fd(actor, op->slot1), "", actor_at(actor, op->at1), op->path1,
                            AT_EMPTY_PATH));
}

static void call_symlink(struct actor *actor, struct diff_op *op, struct text *out)
{
    add_paths(op, out, "symlink at, to", 2);
    text_result(out, symlinkat(op->path2, actor_at(actor, op->at1), op->path1));
}

static void call_readlink(struct actor *actor, struct diff_op *op, struct text *out)
{
    char target[DIFF_PATH_MAX + 1];
    add_paths(op, out, "readlink", 1);
    size_t size = diff_one_in(op, 4) ? 1 + diff_pick(op, 20) : DIFF_PATH_MAX;
    ssize_t n = readlinkat(actor_at(actor, op->at1), op->path1, target, size);
    text_result(out, n);
    if (n >= 0) {
        target[n] = '\0';
        text_add(out, " ");
        text_name(out, target);
    }
}

static void call_mknod(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word kinds[] = {
        {"REG", S_IFREG}, {"FIFO", S_IFIFO}, {"SOCK", S_IFSOCK}, {"CHR", S_IFCHR},
        {"BLK", S_IFBLK}, {"0", 0},          {"DIR", S_IFDIR}};
    add_paths(op, out, "mknod", 1);
    int kind = DIFF_WORD(op, out, kinds);
    mode_t mode = pick_mode(op, out);
    mode &= ~(mode_t)S_ISGID; /* see diff_setgid_file() */
    dev_t device = makedev((unsigned)diff_pick(op, 300), (unsigned)diff_pick(op, 70000));
    text_result(out, mknodat(actor_at(actor, op->at1), op->path1, (mode_t)kind | mode, device));
}

static void call_bind(struct actor *actor, struct diff_op *op, struct text *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)actor;
    add_paths(op, out, "bind", 1);
    if (strlen(op->path1) >= sizeof address.sun_path) {
        return;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s", op->path1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    text_result(out, bind(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
}

static void call_chdir(struct actor *actor, struct diff_op *op, struct text *out)
{
    char place[DIFF_PATH_MAX];
    if (diff_one_in(op, 3)) {
        text_add(out, " fchdir");
        text_result(out, fchdir(actor_fd(actor, op->slot1)));
    } else {
        /* Mostly back to the top, where most names are. */
        const char *path = diff_one_in(op, 2) ? "/" : op->path1;
        text_add(out, " chdir ");
        text_name(out, path);
        text_result(out, chdir(path));
    }
    const char *found = getcwd(place, sizeof place);
    text_add(out, ", getcwd");
    text_result(out, found != NULL ? 0 : -1);
    text_name(out, found != NULL ? found : "");
}

static void call_access(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {
        {"0", 0}, {"EACCESS", AT_EACCESS}, {"NOFOLLOW", AT_SYMLINK_NOFOLLOW}};
    int mode = (int)diff_pick(op, 8);
    add_paths(op, out, "access", 1);
    text_add(out, " %d", mode);
    int flag = DIFF_WORD(op, out, flags);
    text_result(out, faccessat(actor_at(actor, op->at1), op->path1, mode, flag));
}

static void call_stat(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {{"0", 0}, {"0", 0}, {"NOFOLLOW", AT_SYMLINK_NOFOLLOW}};
    struct stat st;
    add_paths(op, out, "stat", 1);
    int flag = DIFF_WORD(op, out, flags);
    int r = fstatat(actor_at(actor, op->at1), op->path1, &st, flag);
    text_result(out, r);
    if (r == 0) {
        text_add(out, " ");
        stat_describe(&st, out);
    }
}

const struct diff_call diff_calls_names[] = {
    {"mkdir", 60, USES_PATH1, call_mkdir},
    {"rmdir", 20, USES_PATH1, call_rmdir},
    {"unlink", 45, USES_PATH1, call_unlink},
    {"rename", 60, USES_PATH1 | USES_PATH2, call_rename},
    {"link", 40, USES_PATH1 | USES_PATH2, call_link},
    {"link_fd", 15, USES_PATH1 | USES_SLOT1, call_link_fd},
    {"symlink", 25, USES_PATH1, call_symlink},
    {"readlink", 15, USES_PATH1, call_readlink},
    {"mknod", 20, USES_PATH1, call_mknod},
    {"bind", 5, USES_PATH1, call_bind},
    {"chdir", 12, USES_PATH1, call_chdir},
    {"access", 20, USES_PATH1, call_access},
    {"stat", 20, USES_PATH1, call_stat},
    {0},
};
