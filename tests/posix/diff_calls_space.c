/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on the size of files and on their holes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/posix/diff.h"

static off_t pick_place(struct diff_op *op)
{
    switch (diff_pick(op, 4)) {
    case 0:
        return 0;
    case 1:
        return PAGE * (off_t)diff_pick(op, 30);
    case 2:
        return (off_t)diff_pick(op, 200000);
    default:
        return (off_t)diff_pick(op, 10000);
    }
}

static off_t pick_length(struct diff_op *op)
{
    switch (diff_pick(op, 32)) {
    case 0:
        return -1;
    case 1:
        return DIFF_FILE_MAX;
    default:
        return pick_place(op);
    }
}

static bool has_size(int at, const char *path, off_t size)
{
    struct stat st;
    return fstatat(at, path, &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) && st.st_size == size;
}

static void call_truncate(struct actor *actor, struct diff_op *op, struct text *out)
{
    off_t size = pick_length(op);
    if (actor_avoids(actor, "truncate_to_the_same_size") && has_size(AT_FDCWD, op->path1, size)) {
        return;
    }
    text_add(out, " truncate ");
    text_name(out, op->path1);
    text_add(out, " %ld", size);
    text_result(out, truncate(op->path1, size));
}

static void call_ftruncate(struct actor *actor, struct diff_op *op, struct text *out)
{
    off_t size = pick_length(op);
    int fd = actor_fd(actor, op->slot1);
    if (actor_avoids(actor, "truncate_to_the_same_size") && has_size(fd, "", size)) {
        return;
    }
    text_add(out, " ftruncate %ld", size);
    text_result(out, ftruncate(fd, size));
}

/* Not COLLAPSE_RANGE and INSERT_RANGE, which Linux does not pass to FUSE. */
static void call_fallocate(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const struct diff_word modes[] = {
        {"0", 0},
        {"KEEP_SIZE", FALLOC_FL_KEEP_SIZE},
        {"PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
        {"PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
        {"PUNCH_HOLE alone", FALLOC_FL_PUNCH_HOLE},
        {"ZERO_RANGE", FALLOC_FL_ZERO_RANGE},
        {"ZERO_RANGE|KEEP_SIZE", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
        {"UNSHARE", FALLOC_FL_UNSHARE_RANGE},
    };
    off_t offset = diff_one_in(op, 50) ? -1 : pick_place(op);
    off_t length = pick_length(op);
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        (offset >= 0 && length > 0 && (rlim_t)(offset + length) > limit.rlim_cur)) {
        return; /* ext4 clears setuid and moves times before it refuses */
    }
    text_add(out, " fallocate %ld at %ld", length, offset);
    int mode = DIFF_WORD(op, out, modes);
    text_result(out, fallocate(actor_data_fd(actor, op->slot1), mode, offset, length));
}

static bool all_zero(int fd, off_t begin, off_t end)
{
    uint8_t bytes[PAGE];
    while (begin < end) {
        ssize_t n = pread(fd, bytes, end - begin < PAGE ? (size_t)(end - begin) : PAGE, begin);
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != 0) {
                return false;
            }
        }
        if (n <= 0) {
            return false;
        }
        begin += n;
    }
    return true;
}

/* Which parts are holes differs; that borders follow each other, and that holes read as zeros, does
 * not. Moves the descriptor's place. */
static const char *walk_holes(int fd, off_t size)
{
    off_t at = 0;
    while (at < size) {
        off_t data = lseek(fd, at, SEEK_DATA);
        off_t begin = data < 0 ? size : data;
        if (data < 0 && errno != ENXIO) {
            return "SEEK_DATA fails";
        }
        if (begin < at || begin > size || !all_zero(fd, at, begin)) {
            return "what lies before the data is no hole";
        }
        if (begin == size) {
            return data < 0 ? "fine" : "data at the end";
        }
        at = lseek(fd, begin, SEEK_HOLE);
        if (at <= begin || at > size) {
            return "no hole behind the data";
        }
    }
    return "fine";
}

static void call_holes(struct actor *actor, struct diff_op *op, struct text *out)
{
    struct stat st;
    int fd = actor_data_fd(actor, op->slot1);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || actor_fd_direct(fd) ||
        (fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) == O_WRONLY ||
        (fcntl(fd, F_GETFL) & O_PATH) != 0) {
        return;
    }
    text_add(out, " holes: %s", walk_holes(fd, st.st_size));
    text_add(out, ", data at the end");
    text_result(out, lseek(fd, st.st_size, SEEK_DATA));
    text_add(out, ", hole at the end");
    text_result(out, lseek(fd, st.st_size, SEEK_HOLE));
    text_add(out, ", hole before the beginning");
    text_result(out, lseek(fd, -1, SEEK_HOLE));
    lseek(fd, 0, SEEK_SET);
}

static void call_limit(struct actor *actor, struct diff_op *op, struct text *out)
{
    static const rlim_t limits[] = {RLIM_INFINITY, RLIM_INFINITY, RLIM_INFINITY, 0,
                                    PAGE,          12 * PAGE};
    struct rlimit limit = {limits[diff_pick(op, 8)], RLIM_INFINITY};
    (void)actor;
    text_add(out, " RLIMIT_FSIZE %ld", (long)limit.rlim_cur);
    text_result(out, setrlimit(RLIMIT_FSIZE, &limit));
}

const struct diff_call diff_calls_space[] = {
    {"truncate", 20, USES_PATH1, call_truncate},
    {"ftruncate", 25, USES_SLOT1 | WRITES1, call_ftruncate},
    {"fallocate", 40, USES_SLOT1 | WRITES1, call_fallocate},
    {"holes", 15, USES_SLOT1 | READS1, call_holes},
    {"limit", 5, 0, call_limit},
    {0},
};
