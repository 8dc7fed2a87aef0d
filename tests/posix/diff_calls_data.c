/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that read, write and copy. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kvcore/util/checksum.h"
#include "tests/posix/diff.h"

/* Mostly near the beginning, the borders of pages and of the store's chunks. */
static off_t pick_offset(struct diff_op *op, int fd)
{
    struct stat st;
    off_t offset;
    switch (diff_pick(op, 8)) {
    case 0:
        offset = 0;
        break;
    case 1:
        offset = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
        break;
    case 2:
        offset = (off_t)diff_pick(op, 1 << 20);
        break;
    case 3:
        offset = 32768 * (off_t)diff_pick(op, 8) - (off_t)diff_pick(op, 3);
        break;
    default:
        offset = (off_t)diff_pick(op, 20000);
        break;
    }
    if (actor_fd_direct(fd)) {
        offset = offset / PAGE * PAGE;
    }
    return offset < DIFF_FILE_MAX / 2 ? offset : DIFF_FILE_MAX / 2;
}

static size_t pick_size(struct diff_op *op, int fd)
{
    static const size_t bounds[] = {2, 100, 100, 5000, 5000, 40000, 40000, 200000};
    size_t size = diff_pick(op, bounds[diff_pick(op, 8)]);
    return actor_fd_direct(fd) ? (size + PAGE - 1) / PAGE * PAGE : size;
}

static void tell_data(struct text *out, const uint8_t *data, ssize_t size)
{
    text_result(out, size);
    if (size > 0) {
        text_add(out, " data %016lx starts %02x", hash_bytes(kv_slice(data, (size_t)size), 0),
                 data[0]);
    }
}

static void call_read(struct actor *actor, struct diff_op *op, struct text *out)
{
    int fd = actor_data_fd(actor, op->slot1);
    size_t size = pick_size(op, fd);
    if (diff_one_in(op, 2) && !actor_fd_direct(fd)) {
        text_add(out, " read %zu", size);
        tell_data(out, actor_buffer(actor), read(fd, actor_buffer(actor), size));
    } else {
        off_t offset = diff_one_in(op, 100) ? -1 : pick_offset(op, fd);
        text_add(out, " pread %zu at %ld", size, offset);
        tell_data(out, actor_buffer(actor), pread(fd, actor_buffer(actor), size, offset));
    }
}

static void call_write(struct actor *actor, struct diff_op *op, struct text *out)
{
    int fd = actor_data_fd(actor, op->slot1);
    size_t size = pick_size(op, fd);
    actor_fill(actor, op, size);
    if (diff_one_in(op, 2) && !actor_fd_direct(fd)) {
        text_add(out, " write %zu", size);
        text_result(out, write(fd, actor_buffer(actor), size));
    } else {
        off_t offset = diff_one_in(op, 100) ? -1 : pick_offset(op, fd);
        text_add(out, " pwrite %zu at %ld", size, offset);
        text_result(out, pwrite(fd, actor_buffer(actor), size, offset));
    }
}

static void call_append(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word flags[] = {
        {"APPEND", RWF_APPEND}, {"APPEND|DSYNC", RWF_APPEND | RWF_DSYNC}, {"SYNC", RWF_SYNC}};
    struct stat st;
    int fd = actor_data_fd(actor, op->slot1);
    size_t size = diff_pick(op, 3000);
    if (actor_fd_direct(fd) || (fstat(fd, &st) == 0 && st.st_size > DIFF_FILE_MAX)) {
        return;
    }
    actor_fill(actor, op, size);
    struct iovec parts[2] = {{actor_buffer(actor), size / 2},
                             {actor_buffer(actor) + size / 2, size - size / 2}};
    text_add(out, " pwritev2 %zu", size);
    int flag = DIFF_WORD(op, out, flags);
    text_result(out, pwritev2(fd, parts, 2, -1, flag));
}

static void call_lseek(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word whences[] = {
        {"SET", SEEK_SET}, {"CUR", SEEK_CUR}, {"END", SEEK_END}};
    struct stat st;
    int fd = actor_fd(actor, op->slot1);
    off_t offset = (off_t)diff_pick(op, 40000) - (diff_one_in(op, 3) ? 30000 : 0);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        return; /* where a directory can be sought to is each file system's own */
    }
    text_add(out, " lseek %ld", offset);
    int whence = DIFF_WORD(op, out, whences);
    text_result(out, lseek(fd, offset, whence));
}

static void call_copy_range(struct actor *actor, struct diff_op *op, struct text *out)
{
    int from = actor_data_fd(actor, op->slot1);
    int to = actor_data_fd(actor, op->slot2);
    if (actor_fd_direct(from) || actor_fd_direct(to)) {
        return;
    }
    off_t in = pick_offset(op, from);
    off_t at = pick_offset(op, to);
    size_t size = pick_size(op, from);
    if (diff_one_in(op, 3)) {
        text_add(out, " copy_file_range %zu", size);
        text_result(out, copy_file_range(from, NULL, to, NULL, size, 0));
    } else {
        text_add(out, " copy_file_range %zu from %ld to %ld", size, in, at);
        text_result(out, copy_file_range(from, &in, to, &at, size, 0));
        text_add(out, " at %ld and %ld", in, at);
    }
}

static void call_sendfile(struct actor *actor, struct diff_op *op, struct text *out)
{
    int from = actor_data_fd(actor, op->slot1);
    int to = actor_data_fd(actor, op->slot2);
    off_t in = pick_offset(op, from);
    size_t size = pick_size(op, from);
    if (actor_fd_direct(from) || actor_fd_direct(to)) {
        return;
    }
    text_add(out, " sendfile %zu from %ld", size, in);
    text_result(out, sendfile(to, from, &in, size));
}

/* ext4 refuses the store itself with a signal, FUSE what is made of it later. */
static bool is_immutable(int fd)
{
    unsigned flags = 0;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_IMMUTABLE_FL) != 0;
}

/* Within the file: what is stored beyond its end in the last page goes nowhere. */
static void call_map(struct actor *actor, struct diff_op *op, struct text *out)
{
    struct stat st;
    int fd = actor_data_fd(actor, op->slot1);
    bool stores = diff_one_in(op, 2);
    size_t page = diff_pick(op, 10);
    size_t size = 1 + diff_pick(op, 3 * PAGE);
    size_t skip = diff_pick(op, PAGE);
    actor_fill(actor, op, size);
    if (fd < 0 || actor_fd_direct(fd) || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (size_t)st.st_size <= page * PAGE + skip || (stores && is_immutable(fd))) {
        return;
    }
    size_t room = (size_t)st.st_size - page * PAGE - skip;
    size = size < room ? size : room;
    text_add(out, " mmap to %s %zu at %zu", stores ? "store" : "load", size, page * PAGE + skip);
    uint8_t *map = mmap(NULL, skip + size, stores ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                        fd, (off_t)(page * PAGE));
    text_result(out, map == MAP_FAILED ? -1 : 0);
    if (map == MAP_FAILED) {
        return;
    }
    if (stores) {
        memcpy(map + skip, actor_buffer(actor), size);
        text_result(out, msync(map, skip + size, MS_SYNC));
    } else {
        tell_data(out, map + skip, (ssize_t)size);
    }
    munmap(map, skip + size);
}

static void call_sync(struct actor *actor, struct diff_op *op, struct text *out)
{
    int fd = actor_data_fd(actor, op->slot1);
    int kind = (int)diff_pick(op, 5);
    text_add(out, " %s", kind < 2 ? "fsync" : kind < 4 ? "fdatasync" : "syncfs");
    text_result(out, kind < 2 ? fsync(fd) : kind < 4 ? fdatasync(fd) : syncfs(fd));
}

const struct diff_call diff_calls_data[] = {
    {"read", 50, USES_SLOT1 | READS1, call_read},
    {"write", 90, USES_SLOT1 | WRITES1, call_write},
    {"append", 20, USES_SLOT1 | WRITES1, call_append},
    {"lseek", 15, USES_SLOT1, call_lseek},
    {"copy_file_range", 30, USES_SLOT1 | USES_SLOT2 | READS1 | WRITES2, call_copy_range},
    {"sendfile", 10, USES_SLOT1 | USES_SLOT2 | READS1 | WRITES2, call_sendfile},
    {"map", 25, USES_SLOT1 | READS1 | WRITES1, call_map},
    {"sync", 4, USES_SLOT1, call_sync},
    {0},
};
