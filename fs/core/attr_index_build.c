/* SPDX-License-Identifier: Apache-2.0 */
/* Building the index: the attributes that are there in pieces, each in a batch with the note how
 * far it is, beside writers. A piece looks at rows without locks, then takes the stripes of the
 * inodes it found and reads their rows again: what changed meanwhile was indexed by who changed it,
 * and is indexed as it is now. */
#include <kv/index_entry.h>

#include "fs/core/attr_index.h"
#include "fs/core/fs_internal.h"
#include "fs/core/xattr.h"
#include "kvcore/util/clock.h"

enum {
    PIECE_ENTRIES = 128,
    PIECE_ROWS = 4096, /* looked at */
};
#define RETRY_NS ((uint64_t)1000 * 1000 * 1000)

struct piece {
    uint64_t inos[PIECE_ENTRIES];
    unsigned count;
    struct kv_buf done; /* the last row looked at */
    uint64_t done_ino;
    bool at_end;
};

static int look(const struct attr_index *index, struct kv_iter *iter, struct piece *piece)
{
    int r = 0;
    kv_iter_seek(iter, kv_buf_slice(&piece->done));
    if (kv_iter_valid(iter) && kv_slice_equal(kv_iter_key(iter), kv_buf_slice(&piece->done))) {
        kv_iter_next(iter);
    }
    for (unsigned rows = 0;
         r == 0 && kv_iter_valid(iter) && rows < PIECE_ROWS && piece->count < PIECE_ENTRIES;
         rows++, kv_iter_next(iter)) {
        struct kv_slice name;
        uint64_t ino;
        if (rowkey_decode_xattr(kv_iter_key(iter), &ino, &name)) {
            piece->done_ino = ino;
            if (attr_index_has(index, name)) {
                piece->inos[piece->count++] = ino;
            }
        }
        r = kv_buf_assign(&piece->done, kv_iter_key(iter));
    }
    piece->at_end = !kv_iter_valid(iter);
    return r != 0 ? r : fs_iter_result(iter);
}

/* What is to be indexed next. */
static int gather(struct kvfs *fs, struct piece *piece)
{
    const struct rowkey lower = {.size = 1, .bytes = {ROW_XATTR}};
    const struct rowkey upper = {.size = 1, .bytes = {ROW_XATTR + 1}};
    struct kv_iter *iter = NULL;
    int r = attr_index_read_done(fs, &piece->done);
    if (r == 0 && piece->done.size == 0) {
        r = kv_buf_assign(&piece->done, rowkey_slice(&lower));
    }
    if (r == 0) {
        r = fs_iter(fs->meta, NULL, &lower, &upper, &iter);
    }
    if (r < 0) {
        return r;
    }
    r = look(&fs->index, iter, piece);
    kv_iter_destroy(iter);
    return r;
}

/* A row that cannot be read is not indexed: what it says is lost, fsck tells. */
static int put_entry(struct txn *txn, uint64_t ino)
{
    struct attr_index *index = &txn->fs->index;
    struct kv_buf value = {0};
    struct kv_buf entry = {0};
    int r = xattr_read(txn->fs, ino, attr_index_name(index), &value);
    if (r == 0) {
        r = attr_index_entry(kv_buf_slice(&value), ino, &entry);
        if (r == 0) {
            txn_put_bytes(txn, index->table, kv_buf_slice(&entry), kv_slice(NULL, 0));
        }
    } else if (r == -ENODATA || r == -EIO) {
        r = 0;
    }
    kv_buf_finish(&value);
    kv_buf_finish(&entry);
    return r;
}

static int write_piece(struct kvfs *fs, const struct piece *piece)
{
    struct txn *txn = NULL;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_lock_inodes(txn, piece->inos, piece->count);
    for (unsigned i = 0; i < piece->count && r == 0; i++) {
        r = put_entry(txn, piece->inos[i]);
    }
    struct kv_slice done = piece->at_end ? kv_slice(NULL, 0) : kv_buf_slice(&piece->done);
    r = r < 0 ? r : attr_index_put_state(txn, piece->at_end, done);
    r = r < 0 ? r : txn_commit(txn);
    txn_end(txn);
    return r;
}

static int build_piece(struct kvfs *fs)
{
    struct piece piece = {0};
    int r = gather(fs, &piece);
    r = r < 0 ? r : write_piece(fs, &piece);
    if (r == 0) {
        atomic_store(&fs->index.done_ino, piece.done_ino);
        atomic_store(&fs->index.built, piece.at_end);
    }
    kv_buf_finish(&piece.done);
    return r;
}

int kvfs_index_build(struct kvfs *fs)
{
    int r = fs->read_only ? -EROFS : 0;
    while (r == 0 && fs->index.table != NULL && !atomic_load(&fs->index.built)) {
        r = build_piece(fs);
    }
    return r;
}

/* ---- in the background ------------------------------------------------------------------------
 */

/* Whether to go on, after a pause if something failed. */
static bool goes_on(struct attr_index *index, int error)
{
    uint64_t until = clock_monotonic_ns() + RETRY_NS;
    mutex_lock(&index->mu);
    while (error < 0 && !index->stop && condvar_wait_until(&index->wake, &index->mu, until)) {
    }
    bool go_on = !index->stop;
    mutex_unlock(&index->mu);
    return go_on;
}

static void note(struct kvfs *fs, int error)
{
    int before = atomic_exchange(&fs->index.error, error);
    if (error < 0 && error != before) {
        message(&fs->sink, KV_MESSAGE_WARNING,
                "cannot build the index of %s: %s. It is tried again.", fs->index.name,
                kv_strerror(error));
    }
}

static void *build_main(void *arg)
{
    struct kvfs *fs = arg;
    int r = 0;
    while (!atomic_load(&fs->index.built) && goes_on(&fs->index, r)) {
        r = build_piece(fs);
        note(fs, r);
    }
    return NULL;
}

/* The first piece at once: in a small store there is no other. */
int attr_index_start(struct kvfs *fs)
{
    struct attr_index *index = &fs->index;
    if (index->table == NULL || fs->read_only) {
        return 0;
    }
    if (!atomic_load(&index->built)) {
        note(fs, build_piece(fs));
    }
    if (atomic_load(&index->built)) {
        return 0;
    }
    mutex_init(&index->mu, LOCK_RANK_LEAF, "index");
    condvar_init(&index->wake);
    int r = thread_start(&index->thread, "kvfs-index", build_main, fs);
    index->has_thread = r == 0;
    if (r < 0) {
        condvar_finish(&index->wake);
        mutex_finish(&index->mu);
    }
    return r;
}

void attr_index_close(struct kvfs *fs)
{
    struct attr_index *index = &fs->index;
    if (!index->has_thread) {
        return;
    }
    mutex_lock(&index->mu);
    index->stop = true;
    condvar_signal(&index->wake);
    mutex_unlock(&index->mu);
    thread_join(&index->thread);
    condvar_finish(&index->wake);
    mutex_finish(&index->mu);
    index->has_thread = false;
}
