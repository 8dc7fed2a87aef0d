/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on one file through the kernel, compared with an array of bytes.
 *
 *   one_file FILE STATE SEED STEPS
 *
 * The array is kept in STATE between runs, so that the file can be looked at again after a remount:
 * first the file must be what STATE says (a missing STATE: the file is made), then come the steps.
 * The first difference ends the program. FILE.other holds a part of the array now and then, for
 * copies between files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/rng.h"

enum {
    FILE_MAX = 3 << 20,
    PAGE = 4096,
    CHUNK = 32 * 1024,
};

struct test {
    const char *path;
    char other_path[4096];
    int fd, direct_fd;
    struct rng rng;
    uint64_t step, seed;
    const char *what; /* the operation that is under way */
    size_t size;
    uint8_t bytes[FILE_MAX];
    uint8_t buffer[FILE_MAX] __attribute__((aligned(PAGE)));
};

static void fail(const struct test *t, const char *why)
{
    fprintf(stderr, "step %" PRIu64 " (%s, seed %" PRIu64 "): %s: %s\n", t->step, t->what, t->seed,
            why, errno != 0 ? strerror(errno) : "wrong");
    exit(1);
}

static void need(const struct test *t, bool fine, const char *why)
{
    if (!fine) {
        fail(t, why);
    }
}

static size_t pick(struct test *t, size_t bound)
{
    return (size_t)rng_below(&t->rng, bound);
}

static size_t pick_offset(struct test *t)
{
    switch (pick(t, 6)) {
    case 0:
        return t->size < FILE_MAX ? t->size : 0;
    case 1:
        return pick(t, FILE_MAX / PAGE) * PAGE;
    case 2:
        return pick(t, FILE_MAX / CHUNK) * CHUNK;
    case 3:
        return pick(t, 3 * CHUNK);
    default:
        return pick(t, FILE_MAX);
    }
}

static size_t pick_size(struct test *t, size_t offset)
{
    size_t size;
    switch (pick(t, 16)) {
    case 0:
        size = 1 + pick(t, 1200 << 10);
        break;
    case 1:
    case 2:
        size = CHUNK * (1 + pick(t, 5));
        break;
    case 3:
    case 4:
    case 5:
        size = 1 + pick(t, 50000);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        size = PAGE * (1 + pick(t, 4));
        break;
    default:
        size = 1 + pick(t, 600);
        break;
    }
    return size < FILE_MAX - offset ? size : FILE_MAX - offset;
}

static void grow(struct test *t, size_t size)
{
    t->size = t->size > size ? t->size : size;
}

/* Half of it compresses. */
static void fill(struct test *t, uint8_t *to, size_t size)
{
    bool random = pick(t, 2) == 0;
    uint64_t bits = rng_next(&t->rng);
    for (size_t i = 0; i < size; i++) {
        bits = random ? bits * 6364136223846793005u + 1442695040888963407u : bits;
        to[i] = (uint8_t)(1 + (bits >> 33) % 255);
    }
}

static void compare(const struct test *t, const uint8_t *got, size_t offset, size_t size)
{
    char why[128];
    if (memcmp(got, t->bytes + offset, size) == 0) {
        return;
    }
    size_t i = 0;
    while (got[i] == t->bytes[offset + i]) {
        i++;
    }
    snprintf(why, sizeof why, "byte %zu (of %zu) is %u, not %u", offset + i, t->size, got[i],
             t->bytes[offset + i]);
    errno = 0;
    fail(t, why);
}

/* ---- operations ---- */

static void op_write(struct test *t)
{
    size_t offset = pick_offset(t);
    size_t size = pick_size(t, offset);
    fill(t, t->bytes + offset, size);
    need(t, pwrite(t->fd, t->bytes + offset, size, (off_t)offset) == (ssize_t)size, "pwrite");
    grow(t, offset + size);
}

static void op_append(struct test *t)
{
    size_t size = 1 + pick(t, 3000);
    if (size > FILE_MAX - t->size) {
        return;
    }
    int fd = open(t->path, O_WRONLY | O_APPEND);
    need(t, fd >= 0, "open");
    fill(t, t->bytes + t->size, size);
    need(t, write(fd, t->bytes + t->size, size) == (ssize_t)size, "append");
    need(t, close(fd) == 0, "close");
    t->size += size;
}

static void op_read(struct test *t)
{
    bool direct = pick(t, 4) == 0;
    size_t offset = direct ? pick(t, FILE_MAX / PAGE) * PAGE : pick_offset(t);
    size_t size = direct ? PAGE * (1 + pick(t, 40)) : pick_size(t, offset);
    size = size < FILE_MAX - offset ? size : FILE_MAX - offset;
    size_t left = t->size > offset ? t->size - offset : 0;
    ssize_t expected = (ssize_t)(left < size ? left : size);
    need(t, pread(direct ? t->direct_fd : t->fd, t->buffer, size, (off_t)offset) == expected,
         "pread");
    compare(t, t->buffer, offset, (size_t)expected);
}

static void op_direct_write(struct test *t)
{
    size_t offset = pick(t, FILE_MAX / PAGE) * PAGE;
    size_t size = PAGE * (1 + pick(t, 30));
    size = size < FILE_MAX - offset ? size : FILE_MAX - offset;
    fill(t, t->buffer, size);
    memcpy(t->bytes + offset, t->buffer, size);
    need(t, pwrite(t->direct_fd, t->buffer, size, (off_t)offset) == (ssize_t)size, "direct pwrite");
    grow(t, offset + size);
}

static void op_truncate(struct test *t)
{
    size_t size = pick_offset(t);
    need(t, ftruncate(t->fd, (off_t)size) == 0, "ftruncate");
    memset(t->bytes + size, 0, FILE_MAX - size);
    t->size = size;
}

static void op_allocate(struct test *t)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[pick(t, sizeof modes / sizeof modes[0])];
    size_t offset = pick_offset(t);
    size_t size = pick_size(t, offset);
    need(t, fallocate(t->fd, mode, (off_t)offset, (off_t)size) == 0, "fallocate");
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
        memset(t->bytes + offset, 0, size);
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
        grow(t, offset + size);
    }
}

static void copy(struct test *t, int in, size_t from, int out, size_t to, size_t size)
{
    while (size > 0) {
        loff_t in_at = (loff_t)from;
        loff_t out_at = (loff_t)to;
        ssize_t n = copy_file_range(in, &in_at, out, &out_at, size, 0);
        need(t, n > 0 && (size_t)n <= size, "copy_file_range");
        from += (size_t)n;
        to += (size_t)n;
        size -= (size_t)n;
    }
}

static void op_copy(struct test *t)
{
    size_t from = pick_offset(t);
    size_t to = pick(t, 3) == 0 ? pick_offset(t) : pick(t, FILE_MAX / PAGE) * PAGE + from % PAGE;
    to = to < FILE_MAX ? to : from;
    size_t size = pick_size(t, from > to ? from : to);
    size_t left = t->size > from ? t->size - from : 0;
    size = size < left ? size : left;
    if (size == 0 || (from < to + size && to < from + size)) {
        return;
    }
    copy(t, t->fd, from, t->fd, to, size);
    memcpy(t->bytes + to, t->bytes + from, size);
    grow(t, to + size);
}

/* There and back again, while the original changes. */
static void op_copy_other(struct test *t)
{
    size_t offset = pick_offset(t);
    size_t size = pick_size(t, offset);
    size_t left = t->size > offset ? t->size - offset : 0;
    size = size < left ? size : left;
    int fd = open(t->other_path, O_RDWR | O_CREAT, 0600);
    need(t, fd >= 0, "open");
    copy(t, t->fd, offset, fd, offset, size);
    if (size > 0) {
        fill(t, t->buffer, size);
        need(t, pwrite(t->fd, t->buffer, size, (off_t)offset) == (ssize_t)size, "pwrite");
        copy(t, fd, offset, t->fd, offset, size);
    }
    need(t, pick(t, 2) == 0 || unlink(t->other_path) == 0, "unlink");
    need(t, close(fd) == 0, "close");
}

static void op_map(struct test *t)
{
    size_t offset = pick_offset(t);
    size_t size = pick_size(t, offset);
    size_t left = t->size > offset ? t->size - offset : 0;
    size = size < left ? size : left;
    if (size == 0) {
        return;
    }
    size_t base = offset / PAGE * PAGE;
    size_t mapped = offset - base + size;
    uint8_t *at = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, (off_t)base);
    need(t, at != MAP_FAILED, "mmap");
    compare(t, at, base, mapped);
    if (pick(t, 2) == 0) {
        fill(t, t->bytes + offset, size);
        memcpy(at + (offset - base), t->bytes + offset, size);
        need(t, pick(t, 2) == 0 || msync(at, mapped, MS_SYNC) == 0, "msync");
    }
    need(t, munmap(at, mapped) == 0, "munmap");
}

static void op_seek(struct test *t)
{
    size_t offset = pick_offset(t);
    bool data = pick(t, 2) == 0;
    off_t found = lseek(t->fd, (off_t)offset, data ? SEEK_DATA : SEEK_HOLE);
    if (offset >= t->size) {
        need(t, found < 0 && errno == ENXIO, "seek beyond the end");
        return;
    }
    need(t, found >= 0 || (data && errno == ENXIO), "seek");
    size_t end = found < 0 ? t->size : (size_t)found;
    need(t, end >= offset && end <= t->size, "seek went astray");
    for (size_t i = offset; data && i < end; i++) {
        need(t, t->bytes[i] == 0, "data was called a hole");
    }
}

static void open_file(struct test *t)
{
    t->fd = open(t->path, O_RDWR | O_CREAT, 0600);
    need(t, t->fd >= 0, "open");
    t->direct_fd = open(t->path, O_RDWR | O_DIRECT);
    need(t, t->direct_fd >= 0, "open direct");
}

static void close_file(struct test *t)
{
    need(t, close(t->fd) == 0 && close(t->direct_fd) == 0, "close");
}

static void op_sync(struct test *t)
{
    struct stat st;
    if (pick(t, 4) == 0) {
        close_file(t);
        open_file(t);
    } else {
        need(t, fsync(t->fd) == 0, "fsync");
    }
    if (pick(t, 3) == 0) {
        need(t, posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
    }
    need(t, fstat(t->fd, &st) == 0, "fstat");
    errno = 0;
    need(t, (size_t)st.st_size == t->size, "size");
}

/* ---- the whole ---- */

static void check_all(struct test *t)
{
    t->what = "whole file";
    need(t, pread(t->fd, t->buffer, FILE_MAX, 0) == (ssize_t)t->size, "pread");
    compare(t, t->buffer, 0, t->size);
}

static void run(struct test *t, uint64_t steps)
{
    static const struct {
        unsigned weight;
        const char *name;
        void (*fn)(struct test *t);
    } ops[] = {
        {22, "write", op_write},
        {8, "append", op_append},
        {4, "direct write", op_direct_write},
        {18, "read", op_read},
        {4, "truncate", op_truncate},
        {8, "fallocate", op_allocate},
        {8, "copy", op_copy},
        {4, "copy to another file", op_copy_other},
        {12, "mmap", op_map},
        {4, "seek", op_seek},
        {3, "fsync", op_sync},
    };
    for (t->step = 1; t->step <= steps; t->step++) {
        size_t draw = pick(t, 95);
        size_t i = 0;
        while (draw >= ops[i].weight) {
            draw -= ops[i++].weight;
        }
        t->what = ops[i].name;
        errno = 0;
        ops[i].fn(t);
        if (t->step % 5000 == 0) {
            check_all(t);
        }
    }
    check_all(t);
}

static void load_state(struct test *t, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        t->size = fread(t->bytes, 1, FILE_MAX, file);
        fclose(file);
        errno = 0;
        check_all(t);
    }
}

static void save_state(const struct test *t, const char *path)
{
    FILE *file = fopen(path, "wb");
    need(t, file != NULL && fwrite(t->bytes, 1, t->size, file) == t->size && fclose(file) == 0,
         "saving what is expected");
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: one_file FILE STATE SEED STEPS\n");
        return 2;
    }
    struct test *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return 1;
    }
    t->path = argv[1];
    t->seed = strtoull(argv[3], NULL, 10);
    t->rng.state = t->seed;
    t->what = "start";
    snprintf(t->other_path, sizeof t->other_path, "%s.other", argv[1]);
    open_file(t);
    load_state(t, argv[2]);
    run(t, strtoull(argv[4], NULL, 10));
    close_file(t);
    save_state(t, argv[2]);
    free(t);
    return 0;
}
