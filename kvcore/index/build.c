/* SPDX-License-Identifier: Apache-2.0 */
/* Building: the rows in pieces, each in a transaction with the note how far it is. Writers go on
 * beside it, and keep the entries of what they write, wherever the builder is. */
#include "kvcore/index/index.h"

#include <kv/index_entry.h>

enum { PIECE_ROWS = 256 };

/* One piece. */
struct piece {
    struct kv_index *index;
    unsigned rows_max;
    unsigned rows;
    struct kv_buf done; /* in and out: rows up to this key are indexed */
    bool at_end;
};

/* Got for update: should somebody change the row before the commit, the piece is done again. */
static int index_row(struct piece *piece, struct kv_txn *txn, struct kv_slice key)
{
    struct kv_index *index = piece->index;
    struct kv_index_keys keys = {0};
    struct kv_buf value = {0};
    int r = kv_txn_get_for_update(txn, index->owner->table, key, &value);

    r = r != 0 ? r : keys_collect(index, key, kv_buf_slice(&value), &keys);
    for (size_t i = 0; i < keys.count && r == 0; i++) {
        struct kv_slice entry = kv_buf_slice(&keys.items[i]);
        r = entry.size > KV_KEY_SIZE_MAX
                ? -E2BIG
                : kv_txn_put(txn, index->table, entry, (struct kv_slice){0});
    }
    keys_finish(&keys);
    kv_buf_finish(&value);
    return r;
}

static int index_rows(struct piece *piece, struct kv_txn *txn, struct kv_txn_iter *it)
{
    int r = 0;

    kv_txn_iter_seek(it, kv_buf_slice(&piece->done));
    if (kv_txn_iter_valid(it) && piece->done.size > 0 &&
        kv_slice_equal(kv_txn_iter_key(it), kv_buf_slice(&piece->done))) {
        kv_txn_iter_next(it);
    }
    for (piece->rows = 0; kv_txn_iter_valid(it) && piece->rows < piece->rows_max && r == 0;
         kv_txn_iter_next(it)) {
        r = index_row(piece, txn, kv_txn_iter_key(it));
        r = r != 0 ? r : kv_buf_assign(&piece->done, kv_txn_iter_key(it));
        piece->rows++;
    }
    r = r != 0 ? r : kv_txn_iter_error(it);
    piece->at_end = !kv_txn_iter_valid(it);
    return r;
}

static int fill_piece(struct piece *piece, struct kv_txn *txn)
{
    struct kv_buf bytes = {0};
    struct kv_index_state state;
    struct kv_txn_iter *it = NULL;
    int r = index_read_state(txn, piece->index, &bytes, &state);

    r = r < 0 ? r : kv_buf_assign(&piece->done, state.done);
    r = r < 0 ? r : kv_txn_iter_create(txn, piece->index->owner->table, NULL, &it);
    r = r < 0 ? r : index_rows(piece, txn, it);
    kv_txn_iter_destroy(it);
    r = r != 0 ? r
               : index_write_state(txn, piece->index, piece->at_end, kv_buf_slice(&piece->done));
    kv_buf_finish(&bytes);
    return r;
}

static int build_piece(struct piece *piece)
{
    struct kv_txn *txn = NULL;
    int r = kv_txn_begin(piece->index->owner->manager, NULL, &txn);

    if (r < 0) {
        return r;
    }
    r = fill_piece(piece, txn);
    if (r != 0) {
        kv_txn_rollback(txn);
        return r;
    }
    return kv_txn_commit(txn, KV_DURABLE_WRITE);
}

int kv_index_build(struct kv_index *index, kv_index_progress_fn *progress, void *arg)
{
    struct piece piece = {.index = index, .rows_max = PIECE_ROWS};
    uint64_t rows = 0;
    int r = 0;

    while (r == 0 && !atomic_load(&index->built)) {
        r = build_piece(&piece);
        if (r == -EAGAIN || (r == -E2BIG && piece.rows_max > 1)) {
            /* Fewer rows meet fewer writers, and take less memory. */
            piece.rows_max = piece.rows_max > 1 ? piece.rows_max / 2 : 1;
            r = 0;
            continue;
        }
        if (r == 0) {
            rows += piece.rows;
            r = progress != NULL ? progress(arg, rows, kv_buf_slice(&piece.done)) : 0;
            atomic_store(&index->built, piece.at_end);
            piece.rows_max = piece.rows_max < PIECE_ROWS ? piece.rows_max * 2 : PIECE_ROWS;
        }
    }
    kv_buf_finish(&piece.done);
    return r;
}
