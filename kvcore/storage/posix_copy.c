/* SPDX-License-Identifier: Apache-2.0 */
/* Copying the files of a store that may be damaged, see posix_raw.h. */
#include <fcntl.h>
#include <stdlib.h>

#include "kvcore/storage/posix_raw.h"
#include "kvcore/storage/posix_store.h"

enum { PIECE_BYTES = 256 * 1024, PAGE_BYTES = 4096 };

struct copying {
    struct posix_storage *from, *to;
    int in, out;
    uint64_t size; /* of the file */
    const struct raw_copy_watch *watch;
    uint8_t *piece; /* PIECE_BYTES */
};

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* The bytes of `piece`, which begins at `offset`. Pages of zeros become holes, as the ones of a
 * blob that were given back are; the last page of the file is written all the same, so that the
 * file gets its size. */
static int write_piece(const struct copying *c, uint64_t offset, size_t size)
{
    size_t begin = 0;
    int r = 0;

    while (r == 0 && begin < size) {
        size_t end = begin;
        while (end < size && (offset + end + PAGE_BYTES >= c->size ||
                              !is_zero(c->piece + end, smaller(size - end, PAGE_BYTES)))) {
            end += smaller(size - end, PAGE_BYTES);
        }
        if (end > begin) {
            struct iovec part = {.iov_base = c->piece + begin, .iov_len = end - begin};
            r = posix_write(c->to, c->out, &part, 1, offset + begin);
        }
        begin = end + smaller(size - end, PAGE_BYTES);
    }
    return r;
}

/* One page of a piece that could not be read in one go, to the same place of c->piece. */
static int read_page(const struct copying *c, uint64_t offset, uint8_t *to, size_t size)
{
    size_t got = 0;
    int r = posix_read(c->from, c->in, offset, to, size, &got);

    if (r == -ENOMEM) {
        return r;
    }
    if (r == 0) {
        memset(to + got, 0, size - got); /* it became shorter meanwhile */
        return 0;
    }
    memset(to, RAW_COPY_FILL, size);
    return c->watch->lost_fn(c->watch->arg, offset, size, r);
}

static int read_piece(const struct copying *c, uint64_t offset, size_t size)
{
    size_t got = 0;
    int r = posix_read(c->from, c->in, offset, c->piece, size, &got);

    if (r == -ENOMEM || (r == 0 && got == size)) {
        return r;
    }
    r = 0;
    for (size_t at = 0; r == 0 && at < size; at += PAGE_BYTES) {
        r = read_page(c, offset + at, c->piece + at, smaller(size - at, PAGE_BYTES));
    }
    return r;
}

static int copy_bytes(const struct copying *c)
{
    uint64_t offset = 0;
    int r = 0;

    while (r == 0 && offset < c->size) {
        size_t size = smaller(c->size - offset, PIECE_BYTES);
        r = read_piece(c, offset, size);
        r = r != 0 ? r : write_piece(c, offset, size);
        r = r != 0 ? r : c->watch->read_fn(c->watch->arg, size);
        offset += size;
    }
    return r != 0 ? r : c->to->calls->fdatasync(c->to->calls_arg, c->out);
}

static int copy_open(struct copying *c)
{
    struct stat st;
    int r = c->from->calls->fstat(c->from->calls_arg, c->in, &st);

    if (r < 0) {
        return c->watch->lost_fn(c->watch->arg, 0, UINT64_MAX, r);
    }
    c->size = (uint64_t)st.st_size;
    c->piece = malloc(PIECE_BYTES);
    r = c->piece != NULL ? copy_bytes(c) : -ENOMEM;
    free(c->piece);
    return r;
}

int raw_copy(struct kv_storage *from, struct kv_storage *to, const char *name,
             const struct raw_copy_watch *watch)
{
    struct copying c = {.from = posix_storage_if(from), .to = posix_storage_if(to), .watch = watch};
    int r = c.from != NULL && c.to != NULL ? posix_check_writable(c.to) : -EOPNOTSUPP;

    if (r < 0) {
        return r;
    }
    c.in = posix_open_file(c.from, name, O_RDONLY);
    if (c.in < 0) {
        return c.in == -ENOMEM || c.in == -EMFILE || c.in == -ENFILE
                   ? c.in
                   : watch->lost_fn(watch->arg, 0, UINT64_MAX, c.in);
    }
    c.out = posix_open_file(c.to, name, O_RDWR | O_CREAT | O_EXCL);
    r = c.out < 0 ? c.out : copy_open(&c);
    posix_close_file(c.from, c.in);
    posix_close_file(c.to, c.out);
    return r;
}
