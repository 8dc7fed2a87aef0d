/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/index/index.h"

#include <kv/index_entry.h>

static int verify_row(struct kv_txn *txn, const struct kv_index *index, struct kv_txn_iter *it,
                      struct kv_index_verdict *verdict)
{
    struct kv_index_keys keys = {0};
    struct kv_buf none = {0};
    struct kv_slice value;
    int r = kv_txn_iter_value(it, &value);

    r = r < 0 ? r : keys_collect(index, kv_txn_iter_key(it), value, &keys);
    for (size_t i = 0; i < keys.count && r == 0; i++) {
        r = kv_txn_get(txn, index->table, kv_buf_slice(&keys.items[i]), &none);
        verdict->missing += r == -ENOENT;
        verdict->surplus -= r == 0; /* all entries are counted later */
        r = r == -ENOENT ? 0 : r;
    }
    keys_finish(&keys);
    kv_buf_finish(&none);
    return r;
}

static int verify_rows(struct kv_txn *txn, const struct kv_index *index,
                       struct kv_index_verdict *verdict)
{
    const struct kv_txn_iter_options options = {.keep_cache = true};
    struct kv_txn_iter *it = NULL;
    int r = kv_txn_iter_create(txn, index->owner->table, &options, &it);

    if (r < 0) {
        return r;
    }
    for (kv_txn_iter_seek_first(it); kv_txn_iter_valid(it) && r == 0; kv_txn_iter_next(it)) {
        r = verify_row(txn, index, it, verdict);
        verdict->rows++;
    }
    r = r != 0 ? r : kv_txn_iter_error(it);
    kv_txn_iter_destroy(it);
    return r;
}

static int count_entries(struct kv_txn *txn, const struct kv_index *index,
                         struct kv_index_verdict *verdict)
{
    const struct kv_txn_iter_options options = {
        .lower = kv_index_entries_from(), .upper = kv_index_entries_to(), .keep_cache = true};
    struct kv_txn_iter *it = NULL;
    int r = kv_txn_iter_create(txn, index->table, &options, &it);

    if (r < 0) {
        return r;
    }
    for (kv_txn_iter_seek_first(it); kv_txn_iter_valid(it); kv_txn_iter_next(it)) {
        verdict->entries++;
    }
    r = kv_txn_iter_error(it);
    kv_txn_iter_destroy(it);
    return r;
}

int kv_index_verify(struct kv_index *index, struct kv_index_verdict *ret_verdict)
{
    const struct kv_txn_options options = {.read_now = true};
    struct kv_index_verdict verdict = {0};
    struct kv_txn *txn = NULL;
    int r = atomic_load(&index->built) ? 0 : -EINPROGRESS;

    r = r < 0 ? r : kv_txn_begin(index->owner->manager, &options, &txn);
    if (r < 0) {
        return r;
    }
    r = verify_rows(txn, index, &verdict);
    r = r != 0 ? r : count_entries(txn, index, &verdict);
    kv_txn_rollback(txn);
    if (r != 0) {
        return r;
    }
    verdict.surplus += verdict.entries;
    *ret_verdict = verdict;
    return verdict.missing > 0 || verdict.surplus > 0 ? -KV_EDAMAGED : 0;
}
