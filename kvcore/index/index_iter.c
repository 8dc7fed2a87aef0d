/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/index/index.h"

#include <stdlib.h>

#include <kv/index_entry.h>

struct kv_index_iter {
    struct kv_txn_iter *entries;
    bool begun;
    struct kv_buf index_key;
};

static int put_bounds(struct kv_slice lower, struct kv_slice upper, struct kv_buf *from,
                      struct kv_buf *to)
{
    int r = kv_index_entry_put_bound(from, lower);
    return r < 0            ? r
           : upper.size > 0 ? kv_index_entry_put_bound(to, upper)
                            : kv_buf_assign(to, kv_index_entries_to());
}

int kv_index_iter_create(struct kv_txn *txn, struct kv_index *index, struct kv_slice lower,
                         struct kv_slice upper, struct kv_index_iter **ret_iter)
{
    struct kv_txn_iter_options options = {0};
    struct kv_index_iter *it = NULL;
    struct kv_buf from = {0};
    struct kv_buf to = {0};
    int r = atomic_load(&index->built) ? put_bounds(lower, upper, &from, &to) : -EINPROGRESS;

    if (r == 0) {
        it = calloc(1, sizeof *it);
        r = it != NULL ? 0 : -ENOMEM;
    }
    if (r == 0) {
        options.lower = kv_buf_slice(&from);
        options.upper = kv_buf_slice(&to);
        r = kv_txn_iter_create(txn, index->table, &options, &it->entries);
    }
    kv_buf_finish(&from);
    kv_buf_finish(&to);
    if (r < 0) {
        free(it);
        return r;
    }
    *ret_iter = it;
    return 0;
}

void kv_index_iter_destroy(struct kv_index_iter *it)
{
    if (it != NULL) {
        kv_txn_iter_destroy(it->entries);
        kv_buf_finish(&it->index_key);
        free(it);
    }
}

int kv_index_iter_next(struct kv_index_iter *it, struct kv_slice *ret_index_key,
                       struct kv_slice *ret_row_key)
{
    int r;

    if (!it->begun) {
        kv_txn_iter_seek_first(it->entries);
        it->begun = true;
    } else if (kv_txn_iter_valid(it->entries)) {
        kv_txn_iter_next(it->entries);
    }
    if (!kv_txn_iter_valid(it->entries)) {
        return kv_txn_iter_error(it->entries);
    }
    r = kv_index_entry_get(kv_txn_iter_key(it->entries), &it->index_key, ret_row_key);
    if (r < 0) {
        return r == -EBADMSG ? -KV_EDAMAGED : r;
    }
    *ret_index_key = kv_buf_slice(&it->index_key);
    return 1;
}
