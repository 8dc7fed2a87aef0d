/* SPDX-License-Identifier: Apache-2.0 */
/* copy_file_range(2) within the filesystem.
 *
 * One call is one batch, of at most SHARE_MAX bytes that are shared or COPY_MAX that are copied;
 * the caller goes on from there. What is shared are whole chunks of the target; the parts of chunks
 * before and behind them are read and written, and so is what lies below `lost_below` of either
 * file: there a hole is an error to read, and zeros take its place in the target. */
#include "fs/core/contents.h"
#include "fs/core/file.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"

enum {
    CHUNK_BYTES = FORMAT_CHUNK_BYTES,
    PAGE_BYTES = 4096,    /* shared bytes must lie alike within pages */
    SHARE_MAX = 32 << 20, /* small extents among them are copied: they must fit into a batch */
    COPY_MAX = 1 << 20,
};

struct copying {
    struct txn *txn;
    struct txn_node *in, *out;
    uint64_t offset_in, offset_out, size;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void advance(struct copying *copying, uint64_t size)
{
    copying->offset_in += size;
    copying->offset_out += size;
    copying->size -= size;
}

/* Whether the next `size` bytes are a hole. */
static int is_hole(const struct copying *copying, uint64_t size)
{
    uint64_t data;
    int r = extent_seek(copying->txn->fs, &copying->in->node, copying->offset_in, true, &data);
    if (r < 0) {
        return r == -ENXIO ? 1 : r;
    }
    return data >= copying->offset_in + size;
}

/* Read and write the next `size` bytes, at most COPY_MAX. */
static int copy_bytes(struct copying *copying, uint64_t size)
{
    struct txn *txn = copying->txn;
    struct extent_view view;
    struct kv_buf bytes = {0};
    int r = is_hole(copying, size);
    if (r < 0) {
        return r;
    }
    if (r > 0 && copying->out->node.inode.lost_below <= copying->offset_out) {
        return contents_punch(txn, copying->out, copying->offset_out, copying->offset_out + size);
    }
    r = kv_buf_reserve(&bytes, (size_t)size);
    if (r == 0) {
        r = extent_view_open(&view, txn->fs, NULL, &copying->in->node, copying->offset_in);
    }
    if (r == 0) {
        r = extent_view_read(&view, copying->offset_in, bytes.data, (size_t)size);
        extent_view_close(&view);
    }
    if (r == 0) {
        r = contents_write(txn, copying->out, copying->offset_out,
                           kv_slice(bytes.data, (size_t)size));
    }
    kv_buf_finish(&bytes);
    return r;
}

static int copy_and_advance(struct copying *copying, uint64_t size)
{
    int r = size > 0 ? copy_bytes(copying, size) : 0;
    if (r == 0) {
        advance(copying, size);
    }
    return r;
}

/* Whole chunks of the target, with the parts of chunks before and behind. */
static int share(struct copying *copying)
{
    uint64_t front = (CHUNK_BYTES - copying->offset_out % CHUNK_BYTES) % CHUNK_BYTES;
    int r = copy_and_advance(copying, min_u64(front, copying->size));
    uint64_t whole = copying->size - copying->size % CHUNK_BYTES;
    if (r == 0 && whole > 0) {
        struct contents_sharing sharing = {
            .from = copying->in,
            .to = copying->out,
            .from_offset = copying->offset_in,
            .offset = copying->offset_out,
            .size = whole,
        };
        r = contents_share(copying->txn, &sharing);
        advance(copying, whole);
    }
    return r < 0 ? r : copy_and_advance(copying, copying->size);
}

/* 0 or how much can be copied at most. */
static int check(struct copying *copying, uint64_t *ret_size)
{
    uint64_t size = copying->size;
    uint64_t length = copying->in->node.inode.size;
    int r = file_check_regular(&copying->in->node.inode);
    if (r == 0) {
        r = file_check_regular(&copying->out->node.inode);
    }
    if (r < 0) {
        return r;
    }
    size = copying->offset_in < length ? min_u64(size, length - copying->offset_in) : 0;
    if (copying->in == copying->out && copying->offset_in < copying->offset_out + size &&
        copying->offset_out < copying->offset_in + size) {
        return -EINVAL;
    }
    if (flags_check_write(&copying->out->node.inode, copying->offset_out) < 0) {
        return -EPERM;
    }
    if (size > 0 && (copying->offset_out > KVFS_FILE_SIZE_MAX ||
                     size > KVFS_FILE_SIZE_MAX - copying->offset_out)) {
        return -EFBIG;
    }
    *ret_size = size;
    return 0;
}

/* Holes are shared, too: they must be ones in both files. */
static bool can_share(const struct copying *copying)
{
    return copying->offset_in % PAGE_BYTES == copying->offset_out % PAGE_BYTES &&
           copying->size >= CHUNK_BYTES &&
           copying->in->node.inode.lost_below <= copying->offset_in &&
           copying->out->node.inode.lost_below <= copying->offset_out;
}

static int run(struct copying *copying, uint64_t *ret_size)
{
    struct inode *inode = &copying->out->node.inode;
    uint64_t begin = copying->offset_out;
    int r = check(copying, &copying->size);
    if (r < 0) {
        return r;
    }
    if (copying->size == 0) {
        *ret_size = 0;
        return 0;
    }
    if (can_share(copying)) {
        copying->size = min_u64(copying->size, SHARE_MAX);
        r = share(copying);
    } else {
        r = copy_and_advance(copying, min_u64(copying->size, COPY_MAX));
    }
    if (r < 0) {
        return r;
    }
    inode->size = inode->size > copying->offset_out ? inode->size : copying->offset_out;
    file_touch(copying->txn, copying->out);
    r = txn_commit(copying->txn);
    if (r == 0) {
        *ret_size = copying->offset_out - begin;
    }
    return r;
}

static int copy_once(struct kvfs *fs, const struct kvfs_copy *copy, uint64_t *ret_size)
{
    struct copying copying = {
        .offset_in = copy->offset_in, .offset_out = copy->offset_out, .size = copy->size};
    const uint64_t inos[] = {copy->ino_in, copy->ino_out};
    struct txn *txn = NULL;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    copying.txn = txn;
    txn_lock_inodes(txn, inos, 2);
    r = txn_load(txn, copy->ino_in, NULL, &copying.in);
    if (r == 0) {
        r = txn_load(txn, copy->ino_out, NULL, &copying.out);
    }
    if (r == 0) {
        r = run(&copying, ret_size);
    }
    txn_end(txn);
    return r;
}

int kvfs_copy_range(struct kvfs *fs, const struct kvfs_copy *copy, uint64_t *ret_size)
{
    int r;
    do {
        r = copy_once(fs, copy, ret_size);
    } while (r == -ESTALE);
    return r;
}
